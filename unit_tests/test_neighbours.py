"""Runs of one instance: never two that create people, and nothing forgotten of what a dead one left."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.delivery.creates import Creates
from destination_marketo_programs.delivery.loop import Terminated
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.failures import NeighbourError
from destination_marketo_programs.neighbours import (
    CREATES_TOLD_SECONDS,
    Inheritance,
    RunJournal,
    take_over,
)
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.storage.runs import ImportJob, RunFile, runs_in
from destination_marketo_programs.storage.store import Blob, NoStore

if TYPE_CHECKING:
    from collections.abc import Callable

BEGAN = datetime(2026, 11, 26, 10, 0, 0, tzinfo=UTC)
SETTLE = 95.0


class Clock:
    def __init__(self) -> None:
        self.now = BEGAN

    def __call__(self) -> datetime:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.now += timedelta(seconds=seconds)
        return True


class Blobs(NoStore):
    """A store of small files, as any two runs share it."""

    location: str = "memory"  # type: ignore[assignment]

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.files: dict[str, tuple[datetime, bytes]] = {}
        self.writes = 0
        self.failure: StorageError | None = None

    def read_blob(self, name: str) -> bytes | None:  # type: ignore[override]
        return self.files[name][1] if name in self.files else None

    def write_blob(self, name: str, data: bytes) -> None:
        if self.failure is not None:
            raise self.failure
        self.writes += 1
        self.files[name] = (self.clock.now, data)

    def list_blobs(self, prefix: str) -> list[Blob]:
        return [
            Blob(name, len(data), at)
            for name, (at, data) in self.files.items()
            if name.rpartition("/")[2].startswith(prefix)
        ]

    def runs(self) -> dict[str, RunFile]:
        return {run.run_id: run for run in runs_in(self, "123-ABC-456")}


def run_file(run_id: str, started: datetime = BEGAN, **members: Any) -> RunFile:
    at = started.strftime("%Y-%m-%dT%H:%M:%SZ")
    return RunFile(run_id=run_id, started=at, instance="123-ABC-456", host="other", **members)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> Blobs:
    return Blobs(clock)


def journal_of(store: Blobs, run_id: str = "b", started: datetime = BEGAN, **members: Any) -> RunJournal:
    return RunJournal(store, run_file(run_id, started, **members), store.clock, Tally())


def taken_over(store: Blobs, journal: RunJournal, wait: Callable[[float], bool] | None = None) -> Inheritance:
    return take_over(store, journal, store.clock, wait or store.clock.wait, 60.0, SETTLE)


# --- alone -------------------------------------------------------------------------------------------------------


def test_a_run_alone_begins_at_once_and_its_file_says_so(store: Blobs) -> None:
    journal = journal_of(store)
    assert taken_over(store, journal) == Inheritance()
    assert store.clock.now == BEGAN
    run = store.runs()["b"]
    assert (run.waiting, run.is_open) == (False, True)


def test_runs_that_are_over_and_dry_runs_and_other_instances_are_nobodys_neighbours(store: Blobs) -> None:
    over: list[dict[str, Any]] = [{"ended": "2026-11-26T09:59:59Z"}, {"dry_run": True}]
    for number, members in enumerate(over):
        journal_of(store, f"o{number}", BEGAN - timedelta(minutes=1), **members).write()
    other = run_file("elsewhere")
    other.instance = "999-ZZZ-999"
    RunJournal(store, other, store.clock, Tally()).write()
    assert taken_over(store, journal_of(store)).creates_in == 0.0
    assert store.clock.now == BEGAN


# --- waiting -----------------------------------------------------------------------------------------------------


def test_a_living_run_is_waited_for_told_each_minute_and_followed(
    store: Blobs, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "airbyte.neighbours")
    first = journal_of(store, "a", BEGAN - timedelta(minutes=5), records_read=7, process_id=0)
    first.write()

    def wait(seconds: float) -> bool:
        clock.wait(seconds)
        if clock.now - BEGAN < timedelta(minutes=3):
            first.write()
        elif first.run.is_open:
            first.close("complete")
        return True

    assert taken_over(store, journal_of(store), wait) == Inheritance()
    assert timedelta(minutes=3) <= clock.now - BEGAN <= timedelta(minutes=3, seconds=10)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert "started 2026-11-26T09:55:00Z, 7 records read, 0 settled, host other" in lines[0]


def test_waiting_has_an_end_that_names_the_other_run(store: Blobs, clock: Clock) -> None:
    first = journal_of(store, "a", BEGAN - timedelta(minutes=5))
    first.write()

    def wait(seconds: float) -> bool:
        clock.wait(seconds)
        first.write()
        return True

    with pytest.raises(NeighbourError, match=r"started 2026-11-26T09:55:00Z.*host other"):
        taken_over(store, journal_of(store), wait)
    assert timedelta(minutes=60) <= clock.now - BEGAN <= timedelta(minutes=61)


def test_a_run_that_is_asked_to_end_while_it_waits_ends(store: Blobs) -> None:
    journal_of(store, "a", BEGAN - timedelta(minutes=5)).write()
    with pytest.raises(Terminated):
        taken_over(store, journal_of(store), lambda _seconds: False)


def test_of_those_that_wait_the_one_that_began_first_goes_first(store: Blobs, clock: Clock) -> None:
    earlier = journal_of(store, "z", BEGAN - timedelta(seconds=10), waiting=True)
    earlier.write()

    def wait(seconds: float) -> bool:
        clock.wait(seconds)
        if earlier.run.waiting:
            earlier.write(waiting=False)
        elif earlier.run.is_open:
            earlier.close("complete")
        return True

    taken_over(store, journal_of(store, "b"), wait)
    assert clock.now - BEGAN == timedelta(seconds=10)


def test_one_that_began_to_wait_later_is_not_waited_for(store: Blobs, clock: Clock) -> None:
    journal_of(store, "z", BEGAN + timedelta(seconds=1), waiting=True).write()
    taken_over(store, journal_of(store, "b"))
    assert clock.now == BEGAN


# --- what a dead run left ----------------------------------------------------------------------------------------


def test_of_a_run_that_was_killed_creates_and_jobs_are_inherited(store: Blobs, clock: Clock) -> None:
    dead = journal_of(store, "a", BEGAN - timedelta(minutes=10))
    clock.now = BEGAN - timedelta(seconds=40)
    dead.uploading(7, "Registered")
    dead.uploaded(7, 1234)
    dead.uploading(8, "Registered")
    clock.now = BEGAN
    mine = journal_of(store)
    inherited = taken_over(store, mine)
    # It was written at most every 10 seconds: a create may have been sent until then.
    assert inherited.creates_in == pytest.approx(SETTLE - 40.0 + 10.0)
    assert [(job.program_id, job.batch_id) for job in inherited.jobs] == [(7, 1234), (8, None)]
    runs = store.runs()
    assert (runs["a"].ending, runs["a"].imports) == ("killed", [])
    assert "b" in runs["a"].left_undone
    assert [job.batch_id for job in runs["b"].imports] == [1234, None], "should this run die as well"


def test_of_a_run_that_closed_with_creates_unanswered_these_are_inherited(
    store: Blobs, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    seconds = [1_000.0]
    creates = Creates(lambda: seconds[0], SETTLE)
    closed = journal_of(store, "a", BEGAN - timedelta(minutes=10))
    clock.now = BEGAN - timedelta(seconds=30)
    closed.keep_alive(creates, lambda _error: None)
    closed.creating()
    with creates:
        closed.close("stopped")
    clock.now = BEGAN
    caplog.set_level("INFO", "airbyte.neighbours")
    assert taken_over(store, journal_of(store)).creates_in == pytest.approx(SETTLE - 30.0)
    assert "New people are created in 65 seconds; everything else continues now." in caplog.text


def test_of_a_run_that_closed_in_order_nothing_is_inherited(store: Blobs) -> None:
    closed = journal_of(store, "a", BEGAN - timedelta(minutes=10))
    closed.creating()
    closed.close("complete")
    assert taken_over(store, journal_of(store)) == Inheritance()


def test_what_is_inherited_is_inherited_once(store: Blobs, clock: Clock) -> None:
    dead = journal_of(store, "a", BEGAN - timedelta(minutes=10))
    dead.uploading(7, "Registered")
    dead.uploaded(7, 1234)
    clock.now += timedelta(minutes=1)
    mine = journal_of(store)
    assert len(taken_over(store, mine).jobs) == 1
    mine.job_ended(1234)
    mine.close("complete")
    third = journal_of(store, "c", clock.now)
    assert taken_over(store, third).jobs == ()


def test_a_store_that_cannot_be_read_ends_the_run_before_it_writes(store: Blobs) -> None:
    store.failure = StorageError("object_storage_config", "not there", "fix it")
    with pytest.raises(StorageError):
        taken_over(store, journal_of(store))


# --- two that begin together -------------------------------------------------------------------------------------


class Steps(Blobs):
    """A store each of whose uses waits until the test says so: two runs, interleaved as hypothesis likes.

    A run is held up for less than the time after which others take it for dead.
    """

    HELD_UP = timedelta(seconds=1)

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.go: dict[str, threading.Semaphore] = {}
        self.arrived = threading.Semaphore(0)
        self.last: dict[str, datetime] = {}
        self.over: set[str] = set()
        self.working: list[str] = []
        self.most_working = 0
        self.errors: list[BaseException] = []

    def step(self) -> None:
        name = threading.current_thread().name
        self.arrived.release()
        assert self.go[name].acquire(timeout=20)
        self.last[name] = self.clock.now

    def read_blob(self, name: str) -> bytes | None:  # type: ignore[override]
        self.step()
        return super().read_blob(name)

    def write_blob(self, name: str, data: bytes) -> None:
        self.step()
        super().write_blob(name, data)

    def list_blobs(self, prefix: str) -> list[Blob]:
        self.step()
        return super().list_blobs(prefix)

    def wait(self, seconds: float) -> bool:
        for _ in range(round(seconds)):
            self.step()
            self.clock.wait(1.0)
        return True

    def run(self, run_id: str) -> None:
        try:
            journal = journal_of(self, run_id)
            take_over(self, journal, self.clock, self.wait, 60.0, SETTLE)
            self.working.append(run_id)
            self.most_working = max(self.most_working, len(self.working))
            for _ in range(3):
                self.wait(4.0)
                journal.write()
            self.working.remove(run_id)
            journal.close("complete")
        except BaseException as error:  # noqa: BLE001 - told to the test
            self.errors.append(error)
        finally:
            self.over.add(run_id)
            self.arrived.release()

    def start(self, run_id: str) -> None:
        self.go[run_id] = threading.Semaphore(0)
        self.last[run_id] = self.clock.now
        threading.Thread(target=self.run, args=(run_id,), name=run_id, daemon=True).start()
        assert self.arrived.acquire(timeout=20)

    def choose(self, which: int) -> str:
        running = sorted(self.go.keys() - self.over)
        late = [name for name in running if self.clock.now - self.last[name] >= self.HELD_UP]
        return min(late, key=lambda name: self.last[name]) if late else running[which % len(running)]

    def advance(self, which: int) -> None:
        self.go[self.choose(which)].release()
        assert self.arrived.acquire(timeout=20)


@given(choices=st.lists(st.integers(0, 2), max_size=60), number=st.integers(2, 3))
@settings(max_examples=60)
def test_of_runs_that_begin_together_never_two_work(choices: list[int], number: int) -> None:
    store = Steps(Clock())
    names = ["a", "b", "c"][:number]
    for name in names:
        store.start(name)
    for place in range(5_000):
        if store.over == set(names):
            break
        store.advance(choices[place % len(choices)] if choices else place)
    assert store.errors == []
    assert store.over == set(names), "somebody waits for ever"
    assert store.most_working == 1


def test_a_run_that_came_late_to_its_first_look_does_not_pass_one_that_works(store: Blobs, clock: Clock) -> None:
    """It was started first, and announces itself between the other one's looks: neither may take the other for idle."""
    early, late = journal_of(store, "a"), journal_of(store, "b", BEGAN + timedelta(seconds=5))
    late.write(waiting=False)
    waits = 0

    def wait(seconds: float) -> bool:
        nonlocal waits
        waits += 1
        if waits == 3:
            late.close("complete")
        else:
            late.write()
        return clock.wait(seconds)

    taken_over(store, early, wait)
    assert waits == 3


def test_a_run_that_was_held_up_while_it_looked_looks_again(store: Blobs, clock: Clock) -> None:
    """Meanwhile another one took it for dead, and works."""
    other = journal_of(store, "b", BEGAN + timedelta(seconds=5))
    held_up = store.list_blobs
    looks = 0

    def list_blobs(prefix: str) -> list[Blob]:
        nonlocal looks
        looks += 1
        found = held_up(prefix)
        if looks == 2:
            clock.wait(40.0)
            other.write(waiting=False)
        return found

    def wait(seconds: float) -> bool:
        other.close("complete")
        return clock.wait(seconds)

    store.list_blobs = list_blobs  # type: ignore[method-assign]
    taken_over(store, journal_of(store, "a"), wait)
    assert not other.run.is_open, "it was waited for"


def test_a_storage_that_is_too_slow_to_tell_ends_the_run_in_the_end(store: Blobs, clock: Clock) -> None:
    listed = store.list_blobs

    def list_blobs(prefix: str) -> list[Blob]:
        clock.wait(20.0)
        return listed(prefix)

    store.list_blobs = list_blobs  # type: ignore[method-assign]
    with pytest.raises(StorageError, match="more than 25 seconds") as raised:
        taken_over(store, journal_of(store))
    assert raised.value.transient
    assert clock.now - BEGAN < timedelta(minutes=62)


# --- the run's own file ------------------------------------------------------------------------------------------


def test_a_create_and_an_upload_are_written_down_before_they_are_sent(store: Blobs) -> None:
    journal = journal_of(store)
    journal.creating()
    assert store.runs()["b"].last_create_sent_at == "2026-11-26T10:00:00Z"
    journal.uploading(7, "Registered")
    assert [(job.program_id, job.status, job.batch_id) for job in store.runs()["b"].imports] == [(7, "Uploading", None)]
    journal.uploaded(7, 1234)
    assert [(job.status, job.batch_id) for job in store.runs()["b"].imports] == [("Importing", 1234)]
    journal.job_ended(1234)
    journal.uploading(8, "Registered")
    journal.not_uploaded(8)
    journal.in_doubt("One upload.")
    journal.in_doubt("Another one.")
    run = store.runs()["b"]
    assert (run.imports, run.in_doubt) == ([], "One upload. Another one.")


def test_creates_in_quick_succession_cost_one_write_in_five_seconds(store: Blobs, clock: Clock) -> None:
    journal = journal_of(store)
    for _ in range(100):
        journal.creating()
        clock.wait(0.5)
    assert store.writes == pytest.approx(50 / CREATES_TOLD_SECONDS, abs=1)


def test_the_first_create_is_always_written_down(store: Blobs, clock: Clock) -> None:
    journal = journal_of(store)
    journal.write()
    clock.wait(1.0)
    journal.creating()
    assert store.runs()["b"].last_create_sent_at == "2026-11-26T10:00:01Z"


def test_a_create_that_cannot_be_written_down_is_not_sent(store: Blobs) -> None:
    creates = Creates(lambda: 0.0, SETTLE, journal=journal_of(store))
    store.failure = StorageError("object_storage_config", "full", "make room")
    sent = []
    with pytest.raises(StorageError), creates:
        sent.append(1)
    assert sent == []
    assert not creates.unanswered


def test_without_storage_nothing_is_written(clock: Clock) -> None:
    journal = RunJournal(NoStore(), run_file("b"), clock, Tally())
    journal.creating()
    journal.uploading(7, "Registered")
    journal.close("complete")
    assert (journal.run.ending, len(journal.run.imports)) == ("complete", 1)


def test_a_closed_file_says_how_far_the_run_came_and_what_is_left(store: Blobs) -> None:
    journal = RunJournal(store, run_file("b"), store.clock, Tally(records_read=7, records_settled=5))
    journal.keep_alive(Creates(lambda: 0.0, SETTLE), lambda _error: None)
    journal.close("stopped", left_undone="Two records.")
    run = store.runs()["b"]
    assert (run.records_read, run.records_settled, run.ending, run.left_undone) == (7, 5, "stopped", "Two records.")
    assert not run.is_open


def test_jobs_are_named_by_program_in_the_order_of_their_uploads(store: Blobs) -> None:
    journal = journal_of(store, imports=[ImportJob(7, "Importing", "2026-11-26T09:00:00Z", 1)])
    journal.uploading(7, "Registered")
    journal.uploaded(7, 2)
    assert [job.batch_id for job in store.runs()["b"].imports] == [1, 2]


# --- handed on -------------------------------------------------------------------------------------------------------


def test_a_run_that_ends_before_it_has_waited_hands_on_the_time_of_the_last_create(store: Blobs, clock: Clock) -> None:
    """A is killed, B takes over and ends in order: C still waits for A's creates."""
    assert taken_over(store, journal_of(store, "a")) == Inheritance()
    clock.now += timedelta(seconds=40)
    heir = journal_of(store, "b", clock.now)
    assert taken_over(store, heir).creates_in == pytest.approx(65)
    heir.close("stopped")
    clock.now += timedelta(seconds=5)
    assert taken_over(store, journal_of(store, "c", clock.now)).creates_in == pytest.approx(60)
    clock.now += timedelta(seconds=60)
    assert store.runs()["a"].ending == "killed"


def test_jobs_are_in_one_file_or_the_other_at_every_moment(store: Blobs, clock: Clock) -> None:
    """Killed between two writes of a take-over, nothing of what the dead run left is forgotten."""
    job = ImportJob(1004, "Importing", "2026-11-26T10:00:00Z", 77)
    dead = journal_of(store, "a")
    dead.write(waiting=False, imports=[job])
    clock.now += timedelta(seconds=40)
    seen: list[list[ImportJob]] = []
    write = store.write_blob

    def watched(name: str, data: bytes) -> None:
        write(name, data)
        seen.append([each for run in store.runs().values() for each in run.imports])

    store.write_blob = watched  # type: ignore[method-assign]
    assert taken_over(store, journal_of(store, "b", clock.now)).jobs == (job,)
    assert all(seen)
    assert store.runs()["b"].imports == [job]


def test_a_process_that_stood_still_creates_nobody(store: Blobs, clock: Clock) -> None:
    """As with a machine that slept: others may have taken it for dead, and its file no longer speaks for it."""
    journal = journal_of(store)
    taken_over(store, journal)
    clock.now += timedelta(seconds=20)
    journal.creating()
    clock.now += timedelta(seconds=26)
    writes = store.writes
    with pytest.raises(StorageError, match="another sync may have begun"):
        journal.creating()
    with pytest.raises(StorageError, match="another sync may have begun"):
        journal.uploading(1004, "Registered")
    assert store.writes == writes
    journal.close("failed")
    assert store.runs()["b"].ending == "failed"
