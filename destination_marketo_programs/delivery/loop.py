"""The way of a record, top to bottom: lines in, lead, membership, membership data, outcome, acknowledgement.

One thread, the caller's, owns all state and reads nothing but its queue of events. Workers make calls and return what
they learned; they share nothing and print nothing.
"""

from __future__ import annotations

import heapq
import logging
import queue
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from destination_marketo_programs.delivery.intake import InputEnded, Intake, Lines
from destination_marketo_programs.delivery.lead_writer import MATCHED, Found, Gone, Later, Rejected
from destination_marketo_programs.delivery.queues import LeadQueue, MemberQueue
from destination_marketo_programs.delivery.work import Again, Item, encode_row
from destination_marketo_programs.mapping import primary_key_text
from destination_marketo_programs.marketo.client import MAX_ROWS_PER_CALL
from destination_marketo_programs.marketo.errors import (
    ALREADY_IN_OR_PAST_STATUS,
    LEAD_NOT_FOUND,
    OBJECT_NOT_FOUND,
    QuotaReachedError,
    StoppedError,
    category_for,
)
from destination_marketo_programs.outcomes import Category, Result
from destination_marketo_programs.protocol import RecordMessage, UndecodableLineError, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from destination_marketo_programs.delivery.bulk.lane import BulkLane
    from destination_marketo_programs.delivery.lead_writer import Fates
    from destination_marketo_programs.delivery.ledger import Ledger
    from destination_marketo_programs.delivery.member_writer import DataReplies, StatusReplies
    from destination_marketo_programs.delivery.queues import GroupKey
    from destination_marketo_programs.delivery.recorder import Recorder
    from destination_marketo_programs.delivery.work import LeadRow, MemberRow
    from destination_marketo_programs.mapping import Mapper
    from destination_marketo_programs.marketo.limits import Gate
    from destination_marketo_programs.marketo.rows import RowReply
    from destination_marketo_programs.protocol import StateMessage, StreamKey

logger = logging.getLogger("airbyte.delivery")

MAX_WAITING_BYTES = 24_000_000
"""Records on their way, in bytes; beyond it standard input is not read."""
WRITTEN_LEADS_REMEMBERED = 50_000
DUE_CHECK_SECONDS = 0.2
EVENTS_BEFORE_DISPATCH = 8
UNDURABLE_BEFORE_COMMIT = 100_000
"""Decided records after which a store that likes to gather is committed all the same."""
PROGRESS_SECONDS = 30.0
STOP_GRACE_SECONDS = 5.0
NEW_LEAD_VISIBLE_SECONDS = 3.0
"""Marketo does not say how soon a created lead can become a member; one "not found" is tried again after this."""


class LeadWrites(Protocol):
    """What delivery asks of whoever writes leads (or, for a plan, only looks)."""

    def write_by_id(self, rows: Sequence[LeadRow]) -> Fates:
        """Leads named by Marketo id."""

    def write_by_key(self, rows: Sequence[LeadRow]) -> Fates:
        """Leads named by the lookup field."""


class MemberWrites(Protocol):
    """What delivery asks of whoever writes memberships (or, for a plan, only looks)."""

    def write_status(self, rows: Sequence[MemberRow]) -> StatusReplies:
        """One status in one program."""

    def write_data(self, rows: Sequence[MemberRow]) -> DataReplies:
        """Membership fields in one program."""


class Terminated(Exception):  # noqa: N818 - it is what happened, not an error
    """The process was asked to end."""


class Options(NamedTuple):
    """How delivery goes about it.

    Attributes:
        lookup_field: the lead field that names a person without Marketo id.
        writes_existing: whether fields of existing leads are written.
        concurrent_calls: workers.
        max_batch_age_seconds: longest wait of a record for its batch to fill.
        primary_keys: paths of the primary key, by stream.
        acknowledge: whether STATEs are echoed.
        max_waiting_bytes: records on their way, in bytes.
    """

    lookup_field: str
    writes_existing: bool
    concurrent_calls: int
    max_batch_age_seconds: float
    primary_keys: Mapping[StreamKey, Sequence[Sequence[str]]]
    acknowledge: bool = True
    max_waiting_bytes: int = MAX_WAITING_BYTES
    commit_interval_seconds: float = 0.0


class _Stage(Enum):
    LEADS = "leads"
    STATUS = "status"
    DATA = "data"
    BULK = "bulk"


class _Job(NamedTuple):
    stage: _Stage
    run: Callable[[], Any]
    finish: Callable[[Any], None]


class _JobEnded(NamedTuple):
    job: _Job
    result: Any
    error: BaseException | None


class _Stop(NamedTuple):
    pass


class Delivery:
    """Delivers everything on standard input, once.

    Args:
        mapper: record to targets.
        leads: who writes leads.
        members: who writes memberships.
        step_of: progression step of (program id, status).
        recorder: takes every fate.
        ledger: says which STATE may go.
        acknowledge: emits a STATE line with (line, record count, rejected count).
        gate: the limits; its clock is delivery's clock.
        bulk: the way by file; None where everything goes over REST.
        progress: text for the log, every 30 seconds.
    """

    def __init__(
        self,
        mapper: Mapper,
        leads: LeadWrites,
        members: MemberWrites,
        step_of: Callable[[GroupKey], int],
        recorder: Recorder,
        ledger: Ledger,
        acknowledge: Callable[[StateMessage, int, int], None],
        gate: Gate,
        options: Options,
        bulk: BulkLane | None = None,
    ) -> None:
        self._map = mapper.map
        self._lead_writes = leads
        self._member_writes = members
        self._recorder = recorder
        self._ledger = ledger
        self._acknowledge = acknowledge
        self._gate = gate
        self._clock = gate.clock
        self._options = options
        self._by_id = LeadQueue(lambda item: ("id", item.person.marketo_id or 0))
        self._by_key = LeadQueue(
            lambda item: (options.lookup_field, item.person.lookup_value or ""),
            fields_merge=options.writes_existing,
        )
        self._members = MemberQueue(step_of)
        self._data: dict[int, list[MemberRow]] = {}
        self._delayed: list[tuple[float, int, _Job]] = []
        self._numbers = count()
        # Two generations: the older one is dropped as a whole, which is cheaper than finding the oldest entry.
        self._written: dict[str, tuple[int, int]] = {}
        self._written_before: dict[str, tuple[int, int]] = {}
        self._positions: dict[StreamKey, int] = {}
        self._waiting_bytes = 0
        self._events: queue.SimpleQueue[Lines | InputEnded | _JobEnded | _Stop] = queue.SimpleQueue()
        self._in_flight: Counter[_Stage] = Counter()
        self._chunks_owed = 0
        self._input_ended = False
        self._failure: BaseException | None = None
        self._input_failure: BaseException | None = None
        self._stop_deadline = float("inf")
        self._next_due_check = 0.0
        self._next_commit = 0.0
        self._next_turn = 0.0
        self._next_progress = 0.0
        self._bulk = bulk
        if bulk is not None:
            recorder.on_finished = bulk.left_rest
            bulk.forget = self._forget
        self._workers = ThreadPoolExecutor(options.concurrent_calls, thread_name_prefix="call")

    def stop(self) -> None:
        """End soon: settle what is in flight, acknowledge what is settled. May be called from a signal handler."""
        self._events.put(_Stop())

    def run(self, intake: Intake) -> None:
        """Deliver until the input ends.

        Raises:
            UndecodableLineError: a line was no Airbyte message; everything before it was delivered.
            MarketoError: no further call is possible; what was under way is settled and acknowledged.
            Terminated: `stop` was called.
            OutputClosedError, StorageError: nothing can be acknowledged any more.
        """
        self._recorder.tick()
        self._next_progress = self._clock() + PROGRESS_SECONDS
        intake.start(self._events.put)
        try:
            while not self._finished():
                self._handle_events(intake)
                self._tend_bulk()
                self._dispatch()
                self._settle(force=False)
                self._look_after_input(intake)
                self._report_progress()
            self._settle(force=True)
        finally:
            self._gate.stop()
            self._workers.shutdown(wait=False, cancel_futures=True)
            if self._bulk is not None:
                self._bulk.close()
        failure = self._failure or self._input_failure
        if failure is not None:
            raise failure

    def _finished(self) -> bool:
        if self._failure is not None:
            return self._calls_in_flight == 0 or self._clock() >= self._stop_deadline
        return self._input_ended and self._calls_in_flight == 0 and not self._work_waits()

    @property
    def _calls_in_flight(self) -> int:
        return self._in_flight.total()

    def _work_waits(self) -> bool:
        return bool(self._by_key or self._by_id or self._members or self._data or self._delayed or self._bulk)

    # --- events ----------------------------------------------------------------------------------------------

    def _handle_events(self, intake: Intake) -> None:
        try:
            event = self._events.get(timeout=self._seconds_to_wait())
        except queue.Empty:
            return
        self._recorder.tick()
        self._handle(event, intake)
        for _ in range(EVENTS_BEFORE_DISPATCH):
            if self._events.empty():
                return
            self._handle(self._events.get(), intake)

    def _seconds_to_wait(self) -> float:
        now = self._clock()
        wait = min(self._next_progress, self._stop_deadline) - now
        if self._failure is None:
            if self._delayed:
                wait = min(wait, self._delayed[0][0] - now)
            if self._bulk:
                wait = min(wait, self._bulk.seconds_until_due(now))
            if self._work_waits():
                wait = min(wait, DUE_CHECK_SECONDS)
                if self._next_turn > now:
                    wait = min(wait, self._next_turn - now)
        if self._recorder.undurable:
            wait = min(wait, self._next_commit - now)
        return max(wait, 0.001)

    def _handle(self, event: Lines | InputEnded | _JobEnded | _Stop, intake: Intake) -> None:
        match event:
            case Lines(lines, first_number):
                self._chunks_owed += 1
                if self._failure is None and not self._input_ended:
                    self._accept_lines(lines, first_number)
                self._look_after_input(intake)
            case _JobEnded(job, result, error):
                self._in_flight[job.stage] -= 1
                if error is None:
                    job.finish(result)
                else:
                    self._fail(error)
            case InputEnded(error):
                self._input_ended = True
                self._input_failure = self._input_failure or error
            case _Stop():
                self._fail(Terminated())

    def _fail(self, error: BaseException) -> None:
        """No further call begins. With calls still possible for others, they end by themselves; else they are cut."""
        if self._failure is None or isinstance(self._failure, StoppedError):
            self._failure = error
        if not isinstance(error, QuotaReachedError):
            self._gate.stop()
            self._stop_deadline = min(self._stop_deadline, self._clock() + STOP_GRACE_SECONDS)

    def _look_after_input(self, intake: Intake) -> None:
        """Let the input go on while there is room."""
        if self._bulk is not None and self._bulk.full:
            return
        while self._chunks_owed and self._waiting_bytes < self._options.max_waiting_bytes:
            self._chunks_owed -= 1
            intake.permit()

    # --- a record arrives ------------------------------------------------------------------------------------

    def _accept_lines(self, lines: Iterable[bytes], number: int) -> None:
        now = self._clock()
        for line in lines:
            try:
                message = parse_line(line, number)
            except UndecodableLineError as error:
                self._input_failure = error
                self._input_ended = True
                return
            number += 1
            if message is None:
                continue
            if isinstance(message, RecordMessage):
                self._accept_record(message, now)
            elif self._options.acknowledge:
                self._ledger.state(message)

    def _accept_record(self, message: RecordMessage, now: float) -> None:
        stream = message.stream
        position = self._positions[stream] = self._positions.get(stream, 0) + 1
        mapped = self._map(stream[1], message.data)
        self._recorder.accept(mapped)
        key = primary_key_text(message.data, self._options.primary_keys.get(stream, ())) or mapped.record_id
        is_position = key is None
        key = key or str(position)
        segment = self._ledger.open()
        rejections = None
        if mapped.verdicts:
            rejections = self._recorder.verdicts(stream, key, mapped.verdicts, key_is_position=is_position)
        person = mapped.person
        if person is None:
            self._recorder.finish_without_targets(segment, stream, message.line, rejections or [])
            return
        targets = mapped.targets
        item = Item(
            stream, key, is_position, message.line, now, person, targets, len(targets), segment, rejections=rejections
        )
        if self._bulk is not None and self._bulk.offer(item):
            return
        self._waiting_bytes += item.size()
        self._find_lead(item)

    def _tend_bulk(self) -> None:
        """Let files and jobs get on, and take what goes over REST after all."""
        bulk = self._bulk
        if bulk is None or self._failure is not None:
            return
        bulk.advance(self._clock(), input_ended=self._input_ended)
        self._waiting_bytes += bulk.take_restored_bytes()
        while bulk.has_rows_for_rest and self._waiting_bytes < self._options.max_waiting_bytes:
            for item in bulk.take_for_rest():
                self._waiting_bytes += item.size()
                self._find_lead(item)

    # --- the lead --------------------------------------------------------------------------------------------

    def _find_lead(self, item: Item) -> None:
        """The Marketo id on the record first, then the lookup field."""
        person = item.person
        lead_id, key = person.marketo_id, person.key
        if lead_id is not None and item.again is Again.NOT_NEEDED:
            if person.fields and self._options.writes_existing:
                self._by_id.add(str(lead_id), item)
            else:
                self._lead_found(item, lead_id, MATCHED)
            return
        if key is None:
            self._reject(item, Rejected(Category.LEAD_NOT_FOUND, None, None, None))
            return
        written = self._written.get(key) or self._written_before.get(key)
        if written is not None and not self._by_key.waits_for(key):
            known_id, fingerprint = written
            head = (self._options.lookup_field, person.lookup_value or "")
            if not self._options.writes_existing or fingerprint == hash(encode_row(head, person.fields)):
                self._lead_found(item, known_id, MATCHED)
                return
        self._by_key.add(key, item)

    def _lead_found(self, item: Item, lead_id: int, action: str) -> None:
        item.lead_action = action
        if item.again is Again.UNDER_WAY:
            item.again = Again.DONE
        targets, item.targets = item.targets, []
        for target in targets:
            self._members.add(item, target, lead_id)

    def _leads_ended(self, rows: Sequence[LeadRow], fates: Fates, source: LeadQueue) -> None:
        delayed: dict[Later, dict[str, LeadRow]] = {}
        for row, items, fate in fates:
            match fate:
                case Found(lead_id, action, code, message):
                    if source is self._by_key:
                        self._remember(row, lead_id)
                    for item in items:
                        item.note = (code, message)
                        self._lead_found(item, lead_id, action)
                case Rejected():
                    for item in items:
                        self._reject(item, fate)
                case Gone(refusal):
                    for item in items:
                        self._look_again(item, refusal)
                case Later():
                    delayed.setdefault(fate, {})[row.key] = row
        waiting = {key for rows_of in delayed.values() for key in rows_of}
        source.release(row for row in rows if row.key not in waiting)
        for later, again in delayed.items():
            self._delay(later.not_before, self._lead_job(list(again.values()), source))

    def _remember(self, row: LeadRow, lead_id: int) -> None:
        """A lead written with these fields need not be written with them again in this run."""
        if len(self._written) >= WRITTEN_LEADS_REMEMBERED // 2:
            self._written_before, self._written = self._written, {}
        self._written[row.key] = (lead_id, hash(row.encoded))

    def _forget(self, key: str) -> None:
        """What this run knows of a lead no longer holds."""
        self._written.pop(key, None)
        self._written_before.pop(key, None)

    def _look_again(self, item: Item, refusal: Rejected) -> None:
        """The lead id on the record, or the one that its key gave before, means nobody any more."""
        if item.again is Again.UNDER_WAY:
            return
        if item.person.key is None or item.again is Again.DONE:
            self._reject(item, refusal)
            return
        item.again = Again.UNDER_WAY
        self._forget(item.person.key)
        self._find_lead(item)

    def _reject(self, item: Item, fate: Rejected) -> None:
        targets, item.targets = item.targets, []
        for target in targets:
            self._recorder.rejected(item, target, fate.category, fate.code, fate.message, fate.request_id)

    # --- the membership --------------------------------------------------------------------------------------

    def _status_ended(self, replies: StatusReplies) -> None:
        again: list[MemberRow] = []
        for row, reply in replies:
            if reply.status or reply.code == ALREADY_IN_OR_PAST_STATUS:
                self._member_there(row, reply)
            elif reply.code in (LEAD_NOT_FOUND, OBJECT_NOT_FOUND):
                if row.tries == 0 and any(item.lead_action == Result.CREATED for item, _ in row.claims):
                    row.tries += 1
                    again.append(row)
                else:
                    self._members.release(row)
                    self._lead_denied(row, reply)
            else:
                self._members.release(row)
                self._status_refused(row, reply)
        if again:
            self._delay(self._clock() + NEW_LEAD_VISIBLE_SECONDS, self._status_job(again))

    def _member_there(self, row: MemberRow, reply: RowReply) -> None:
        row.result = reply.status or Result.UNCHANGED.value
        row.request_id = reply.request_id
        if row.has_data():
            # The pair stays in flight until its fields are written, so that nothing overtakes them.
            self._data.setdefault(row.program_id, []).append(row)
            return
        self._members.release(row)
        self._claims_delivered(row)

    def _claims_delivered(self, row: MemberRow, refused: Sequence[tuple[Mapping[str, Any], RowReply]] = ()) -> None:
        for item, target in row.claims:
            refusal = _refusal_of(item, refused) if refused else None
            if refusal is not None:
                self._refuse_claim(item, target, row, refusal)
            elif target.program_status == row.program_status:
                self._recorder.delivered(item, target, row.lead_id, row.result, row.request_id)
            else:
                self._recorder.superseded(item, target, row.lead_id, row.program_status)

    def _refuse_claim(self, item: Item, target: Any, row: MemberRow, reply: RowReply) -> None:
        category = category_for(reply.code)
        self._recorder.rejected(item, target, category, reply.code, reply.message, reply.request_id, row.lead_id)

    def _lead_denied(self, row: MemberRow, reply: RowReply) -> None:
        refusal = Rejected(Category.LEAD_NOT_FOUND, reply.code, reply.message, reply.request_id)
        for item, target in row.claims:
            item.targets.append(target)
            self._look_again(item, refusal)

    def _status_refused(self, row: MemberRow, reply: RowReply) -> None:
        """The status of this row is refused; lower ones that it stood for get their own try."""
        for item, target in row.claims:
            if target.program_status == row.program_status:
                self._refuse_claim(item, target, row, reply)
            else:
                self._members.add(item, target, row.lead_id)

    def _data_ended(self, rows: Sequence[MemberRow], replies: DataReplies) -> None:
        refused: dict[int, list[tuple[Mapping[str, Any], RowReply]]] = {}
        for row, fields, reply in replies:
            if not reply.status:
                refused.setdefault(row.lead_id, []).append((fields, reply))
        for row in rows:
            self._members.release(row)
            self._claims_delivered(row, refused.get(row.lead_id, ()))

    # --- calls -----------------------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Give idle workers the calls that are worth making now."""
        while self._failure is None and self._calls_in_flight < self._options.concurrent_calls:
            wait = self._gate.seconds_until_free()
            self._next_turn = self._clock() + (wait or 0.0)
            if self._calls_in_flight and (wait is None or wait > 0):
                # A batch that cannot go yet may as well go on filling.
                return
            job = self._next_job(self._clock())
            if job is None:
                return
            self._in_flight[job.stage] += 1
            self._workers.submit(self._work, job)

    def _work(self, job: _Job) -> None:
        try:
            result = job.run()
        except BaseException as error:  # noqa: BLE001 - it is handed to the thread that owns the run
            self._events.put(_JobEnded(job, None, error))
        else:
            self._events.put(_JobEnded(job, result, None))

    def _next_job(self, now: float) -> _Job | None:
        """What is nearest to its end first, full before old before partial."""
        if self._delayed and self._delayed[0][0] <= now:
            return heapq.heappop(self._delayed)[2]
        call = self._bulk.next_call(now) if self._bulk else None
        if call is not None:
            return _Job(_Stage.BULK, call.run, call.finish)
        return self._full_job() or self._due_job(now) or self._partial_job()

    def _full_job(self) -> _Job | None:
        for program_id, rows in self._data.items():
            if len(rows) >= MAX_ROWS_PER_CALL:
                return self._data_job(program_id)
        group = self._members.full_group()
        if group is not None:
            return self._take_status_job(group)
        for leads in (self._by_id, self._by_key):
            if leads.full:
                return self._take_lead_job(leads)
        return None

    def _due_job(self, now: float) -> _Job | None:
        if now < self._next_due_check:
            return None
        born_before = now - self._options.max_batch_age_seconds
        for program_id, rows in self._data.items():
            if min(row.born for row in rows) <= born_before:
                return self._data_job(program_id)
        oldest = self._members.oldest_group()
        if oldest is not None and oldest[0] <= born_before:
            return self._take_status_job(oldest[1])
        for leads in (self._by_id, self._by_key):
            born = leads.oldest()
            if born is not None and born <= born_before:
                return self._take_lead_job(leads)
        self._next_due_check = now + DUE_CHECK_SECONDS
        return None

    def _partial_job(self) -> _Job | None:
        """Batches that will not fill: at the end of the input, or because memory is needed.

        Leads go first at the end: what they give may fill the batches behind them.
        """
        if not self._input_ended and (
            self._calls_in_flight > 1 or self._waiting_bytes < self._options.max_waiting_bytes
        ):
            return None
        for leads in (self._by_id, self._by_key):
            if leads.ready and self._input_ended:
                return self._take_lead_job(leads)
        if self._in_flight[_Stage.LEADS] and self._input_ended:
            return None
        group = self._members.largest_group()
        if group is not None:
            return self._take_status_job(group)
        if self._in_flight[_Stage.STATUS] and self._input_ended:
            return None
        for program_id in self._data:
            return self._data_job(program_id)
        for leads in (self._by_id, self._by_key):
            if leads.ready:
                return self._take_lead_job(leads)
        return None

    def _take_lead_job(self, source: LeadQueue) -> _Job:
        return self._lead_job(source.take(), source)

    def _lead_job(self, rows: list[LeadRow], source: LeadQueue) -> _Job:
        write = self._lead_writes.write_by_id if source is self._by_id else self._lead_writes.write_by_key
        return _Job(_Stage.LEADS, lambda: write(rows), lambda fates: self._leads_ended(rows, fates, source))

    def _take_status_job(self, group: GroupKey) -> _Job:
        return self._status_job(self._members.take(group))

    def _status_job(self, rows: list[MemberRow]) -> _Job:
        return _Job(_Stage.STATUS, lambda: self._member_writes.write_status(rows), self._status_ended)

    def _data_job(self, program_id: int) -> _Job:
        waiting = self._data.pop(program_id)
        rows, rest = waiting[:MAX_ROWS_PER_CALL], waiting[MAX_ROWS_PER_CALL:]
        if rest:
            self._data[program_id] = rest
        return _Job(
            _Stage.DATA,
            lambda: self._member_writes.write_data(rows),
            lambda replies: self._data_ended(rows, replies),
        )

    def _delay(self, not_before: float, job: _Job) -> None:
        heapq.heappush(self._delayed, (not_before, next(self._numbers), job))

    # --- settling --------------------------------------------------------------------------------------------

    def _settle(self, *, force: bool) -> None:
        """Make decided records durable, and echo every STATE that this releases."""
        now = self._clock()
        self._waiting_bytes -= self._recorder.take_freed_bytes()
        undurable = self._recorder.undurable
        if undurable and (force or now >= self._next_commit or undurable >= UNDURABLE_BEFORE_COMMIT):
            self._next_commit = now + self._options.commit_interval_seconds
            for segment, stream, rejected in self._recorder.commit():
                self._ledger.settle(segment, stream, rejected=rejected)
        if self._ledger.states_waiting:
            for state, record_count, rejected_count in self._ledger.release():
                self._acknowledge(state, record_count, rejected_count)

    def _report_progress(self) -> None:
        now = self._clock()
        if now < self._next_progress:
            return
        self._next_progress = now + PROGRESS_SECONDS
        tally, pace, budget = self._recorder.tally, self._gate.pace, self._gate.budget
        oldest = [born for born in (self._by_key.oldest(), self._by_id.oldest()) if born is not None]
        oldest_group = self._members.oldest_group()
        if oldest_group is not None:
            oldest.append(oldest_group[0])
        age = f"oldest waiting record {now - min(oldest):.0f} s" if oldest else "no record waits for its batch"
        if self._bulk:
            age += f"; {self._bulk.describe()}"
        logger.info(
            "Progress: %d records read, %d settled, %d rejected; %d calls made; "
            "pace %d of %d calls per 20 s, %d at once; %s.",
            tally.records_read,
            tally.records_settled,
            tally.records_rejected,
            budget.used_now,
            pace.calls_per_window,
            pace.ceiling,
            pace.concurrent_calls,
            age,
        )


def _refusal_of(item: Item, refused: Iterable[tuple[Mapping[str, Any], RowReply]]) -> RowReply | None:
    """The answer that refused what this record wanted to write to the membership."""
    return next((reply for fields, reply in refused if fields == item.person.member_fields), None)
