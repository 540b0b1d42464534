"""The loop of a run: events in, calls out. Knows stages, and none of them by name.

One thread, the caller's, owns all state and reads nothing but its queue of events. Workers make calls and return what
they learned; they share nothing and print nothing.
"""

from __future__ import annotations

import queue
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.delivery.intake import InputEnded, Intake, Lines
from destination_marketo_programs.delivery.progress import Progress, Watch
from destination_marketo_programs.delivery.schedule import choose
from destination_marketo_programs.delivery.stage import NEVER
from destination_marketo_programs.marketo.errors import QuotaReachedError, StoppedError
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.delivery.entry import Entry, Holding
    from destination_marketo_programs.delivery.ledger import Acknowledgement, Ledger
    from destination_marketo_programs.delivery.reading import Reader
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.delivery.stage import Call, Stage
    from destination_marketo_programs.delivery.tally import Tally
    from destination_marketo_programs.marketo.limits import Gate

DUE_CHECK_SECONDS = 0.2
EVENTS_BEFORE_DISPATCH = 8
DEAD_ENDS_SEEN = 5
CALLS_LEFT_PER_CALL_AT_ONCE = 4
"""Of the day's budget: from here on what has begun is finished before anything else begins."""
UNDURABLE_BEFORE_COMMIT = 100_000
"""Decided records after which a store that likes to gather is committed all the same."""
STOP_GRACE_SECONDS = 5.0
"""How long calls in flight may still end after the process was asked to end."""
OWN_END_GRACE_SECONDS = 130.0
"""How long they may after an end of our own making: longer than any call that creates people may take."""


REPORT_AND_SYNC_AGAIN = "This is a fault of the connector: report it. Sync again; what was acknowledged is delivered."


class Terminated(Exception):  # noqa: N818 - it is what happened, not an error
    """The process was asked to end."""


class IncompleteRunError(Exception):
    """The run would end although something is owed: a fault of this connector, and never a success."""


class Pacing(NamedTuple):
    """How the loop goes about it.

    Attributes:
        concurrent_calls: workers.
        max_batch_age_seconds: longest wait of a record for its batch to fill.
        commit_interval_seconds: least time between two commits of the store.
        watch: who is told how far the run is.
    """

    concurrent_calls: int
    max_batch_age_seconds: float
    commit_interval_seconds: float = 0.0
    watch: Watch = Watch()


class _CallEnded(NamedTuple):
    call: Call
    result: Any
    error: BaseException | None


class _Stop(NamedTuple):
    error: BaseException


class Loop:
    """Delivers everything on standard input, once.

    Args:
        reader: lines to entries.
        accept: takes entries on their way.
        stages: kinds of call, in the order in which a record passes them.
        settlement: takes every result.
        ledger: says which STATE may go.
        holding: what is held in memory.
        acknowledge: emits a STATE line with its counts.
        gate: the limits; its clock is the loop's clock.
        finishing: stages that go first once few calls are left of a daily budget: they finish what others began.
    """

    def __init__(
        self,
        reader: Reader,
        accept: Callable[[Sequence[Entry]], None],
        stages: Sequence[Stage],
        settlement: Settlement,
        ledger: Ledger,
        holding: Holding,
        acknowledge: Callable[[Acknowledgement], None],
        gate: Gate,
        pacing: Pacing,
        finishing: Sequence[Stage] = (),
    ) -> None:
        self._reader = reader
        self._accept = accept
        self._stages = stages
        self._finishing = finishing
        self._settlement = settlement
        self._ledger = ledger
        self._holding = holding
        self._acknowledge = acknowledge
        self._gate = gate
        self._clock = gate.clock
        self._pacing = pacing
        self._events: queue.SimpleQueue[Lines | InputEnded | _CallEnded | _Stop] = queue.SimpleQueue()
        self._chunks_owed = 0
        self._input_ended = False
        self._failure: BaseException | None = None
        self._input_failure: BaseException | None = None
        self._stop_deadline = NEVER
        self._next_due_check = 0.0
        self._dead_ends = 0
        self._next_commit = 0.0
        self._next_turn = 0.0
        self._next_progress = 0.0
        self._workers = ThreadPoolExecutor(pacing.concurrent_calls, thread_name_prefix="call")

    def stop(self) -> None:
        """End soon: settle what is in flight, acknowledge what is settled. May be called from a signal handler."""
        self._events.put(_Stop(Terminated()))

    def fail(self, error: BaseException) -> None:
        """End the run with an error. May be called from any thread."""
        self._events.put(_Stop(error))

    def run(self, intake: Intake) -> None:
        """Deliver until the input ends.

        Raises:
            UndecodableLineError: a line is not an Airbyte message; everything before it was delivered.
            MarketoError: no further call is possible; what was under way is settled and acknowledged.
            Terminated: `stop` was called.
            OutputClosedError, StorageError: nothing can be acknowledged any more.
            IncompleteRunError: something is owed although nothing is left to do.
        """
        self._settlement.tick()
        self._next_progress = self._clock() + self._pacing.watch.seconds
        intake.start(self._events.put)
        try:
            self._turn_until_finished(intake)
        finally:
            self._gate.stop()
            self._workers.shutdown(wait=False, cancel_futures=True)
        failure = self._failure or self._input_failure
        if failure is not None:
            raise failure
        self._check_sums()

    def _turn_until_finished(self, intake: Intake) -> None:
        try:
            while not self._finished():
                self._handle_events(intake)
                if self._failure is None:
                    now = self._clock()
                    for stage in self._stages:
                        stage.advance(now, ended=self._input_ended)
                    self._dispatch()
                self._settle(force=False)
                self._look_after_input(intake)
                self._report_progress()
            self._settle(force=True)
        except Exception as error:
            # Nothing can be acknowledged any more; creates in flight are still waited for, as others may depend on it.
            self._fail(error)
            while not self._finished():
                self._wait_for_calls()
            raise

    def _finished(self) -> bool:
        if self._failure is not None:
            return self._calls_in_flight == 0 or self._clock() >= self._stop_deadline
        return self._input_ended and self._calls_in_flight == 0 and not self._work_waits()

    @property
    def _calls_in_flight(self) -> int:
        return sum([stage.in_flight for stage in self._stages])

    def _work_waits(self) -> bool:
        return any(len(stage) for stage in self._stages)

    # --- events ----------------------------------------------------------------------------------------------

    def _handle_events(self, intake: Intake) -> None:
        try:
            event = self._events.get(timeout=self._seconds_to_wait())
        except queue.Empty:
            return
        self._settlement.tick()
        self._handle(event, intake)
        for _ in range(EVENTS_BEFORE_DISPATCH):
            if self._events.empty():
                return
            self._handle(self._events.get(), intake)

    def _wait_for_calls(self) -> None:
        """After a failure: take back calls that end, and do nothing with what they say."""
        try:
            event = self._events.get(timeout=max(min(self._stop_deadline - self._clock(), 1.0), 0.001))
        except queue.Empty:
            return
        if isinstance(event, _CallEnded):
            event.call.stage.lost()
        elif isinstance(event, _Stop):
            self._stop_deadline = min(self._stop_deadline, self._clock() + STOP_GRACE_SECONDS)

    def _seconds_to_wait(self) -> float:
        now = self._clock()
        wait = min(self._next_progress, self._stop_deadline) - now
        if self._failure is None:
            due = min(stage.due_in(now) for stage in self._stages)
            if due > 0 or self._calls_in_flight < self._pacing.concurrent_calls:
                wait = min(wait, due)
            if self._work_waits():
                wait = min(wait, DUE_CHECK_SECONDS)
                if self._next_turn > now:
                    wait = min(wait, self._next_turn - now)
        if self._settlement.undurable:
            wait = min(wait, self._next_commit - now)
        return max(wait, 0.001)

    def _handle(self, event: Lines | InputEnded | _CallEnded | _Stop, intake: Intake) -> None:
        match event:
            case Lines(lines, first_number):
                self._chunks_owed += 1
                if self._failure is None and not self._input_ended:
                    entries, error = self._reader.read(lines, first_number, self._clock())
                    if error is not None:
                        self._input_failure = error
                        self._input_ended = True
                    self._accept(entries)
                self._look_after_input(intake)
            case _CallEnded(call, result, error):
                if error is None:
                    call.finish(result)
                else:
                    call.stage.lost()
                    self._fail(error)
            case InputEnded(error):
                self._input_ended = True
                self._input_failure = self._input_failure or error
            case _Stop(error):
                self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Start no more calls. Calls in flight end and are settled; how long they may, depends on who ends the run."""
        if self._failure is None or isinstance(self._failure, StoppedError):
            self._failure = error
        if isinstance(error, Terminated):
            self._gate.stop()
            self._stop_deadline = min(self._stop_deadline, self._clock() + STOP_GRACE_SECONDS)
        elif not isinstance(error, QuotaReachedError):
            # Whoever waits for a turn gives up; a call that has been sent is answered within its own time limit.
            self._gate.stop()
            self._stop_deadline = min(self._stop_deadline, self._clock() + OWN_END_GRACE_SECONDS)

    def _look_after_input(self, intake: Intake) -> None:
        """Allow more input while memory and disk for waiting records are left."""
        if any(stage.full for stage in self._stages):
            return
        while self._chunks_owed and self._holding.room:
            self._chunks_owed -= 1
            intake.permit()

    # --- calls -----------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give idle workers the calls that are worth making now."""
        while self._failure is None and self._calls_in_flight < self._pacing.concurrent_calls:
            now = self._clock()
            wait = self._gate.seconds_until_free()
            self._next_turn = now + (wait or 0.0)
            in_flight = self._calls_in_flight
            if in_flight and (wait is None or wait > 0):
                # A batch that cannot go yet may as well go on filling.
                return
            born_before = -NEVER
            if now >= self._next_due_check:
                born_before = now - self._pacing.max_batch_age_seconds
            pressed = not self._holding.room and in_flight <= 1
            few_left = self._gate.budget.left <= CALLS_LEFT_PER_CALL_AT_ONCE * self._pacing.concurrent_calls
            first = self._finishing if few_left else ()
            call = choose(self._stages, now, born_before, ended=self._input_ended, pressed=pressed, finish_first=first)
            if call is None:
                if now >= self._next_due_check:
                    self._next_due_check = now + DUE_CHECK_SECONDS
                    self._look_for_a_dead_end(now, in_flight)
                return
            self._workers.submit(self._work, call)

    def _look_for_a_dead_end(self, now: float, in_flight: int) -> None:
        """At the end of the input something always is in flight or due, until nothing waits.

        Seen once it proves nothing: what a stage has just done may give it something to do in the next turn.
        """
        dead = self._input_ended and not in_flight and self._work_waits()
        dead = dead and all(stage.due_in(now) == NEVER for stage in self._stages)
        self._dead_ends = self._dead_ends + 1 if dead else 0
        if self._dead_ends >= DEAD_ENDS_SEEN:
            raise IncompleteRunError(
                f"{counted(sum(map(len, self._stages)), 'record still waits', 'records still wait')}, and no call is "
                f"due for any of them. {REPORT_AND_SYNC_AGAIN}"
            )

    def _work(self, call: Call) -> None:
        try:
            result = call.run()
        except BaseException as error:  # noqa: BLE001 - it is handed to the thread that owns the run
            self._events.put(_CallEnded(call, None, error))
        else:
            self._events.put(_CallEnded(call, result, None))

    # --- settling --------------------------------------------------------------------------------------------

    def _settle(self, *, force: bool) -> None:
        """Make decided records durable, and echo every STATE that this releases."""
        now = self._clock()
        undurable = self._settlement.undurable
        if undurable and (force or now >= self._next_commit or undurable >= UNDURABLE_BEFORE_COMMIT):
            self._next_commit = now + self._pacing.commit_interval_seconds
            for done in self._settlement.commit():
                self._ledger.settle(done.ticket, done.stream, rejected=done.rejected)
        if self._ledger.states_waiting:
            for acknowledgement in self._ledger.release():
                self._acknowledge(acknowledgement)
                self._settlement.tally.states_echoed += 1

    def _check_sums(self) -> None:
        tally = self._settlement.tally
        owed = missing_from(tally)
        if owed:
            raise IncompleteRunError(f"The run ended with {owed}. {REPORT_AND_SYNC_AGAIN}")

    def _report_progress(self) -> None:
        now = self._clock()
        if now < self._next_progress:
            return
        watch = self._pacing.watch
        self._next_progress = now + watch.seconds
        oldest = min(stage.oldest() for stage in self._stages)
        watch.tell(Progress(self._settlement.tally, self._gate, now - oldest if oldest < NEVER else None))


def missing_from(tally: Tally) -> str:
    """What a run that succeeds must not leave open; "" if nothing is."""
    open_records = tally.records_read - tally.records_settled
    missing = tally.outcomes_due - tally.outcomes
    states = tally.states_read - tally.states_echoed
    parts = [
        counted(open_records, "unsettled record") if open_records else "",
        f"{counted(abs(missing), 'outcome')} {'missing' if missing > 0 else 'too many'}" if missing else "",
        counted(states, "STATE message") + " not acknowledged" if states else "",
    ]
    return ", ".join(filter(None, parts))
