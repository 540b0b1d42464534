"""Import jobs of earlier runs: nothing is sent for their programs until they have ended; everything else goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from imports_bench import PACE, FakeImports, Told, status

from destination_marketo_programs.delivery.creates import Creates
from destination_marketo_programs.delivery.entry import Entry
from destination_marketo_programs.delivery.ledger import Segment
from destination_marketo_programs.delivery.stage import NEVER, Why
from destination_marketo_programs.imports.earlier import EarlierJob, EarlierJobs
from destination_marketo_programs.imports.jobs import StuckJobError
from destination_marketo_programs.model import Person, Target

if TYPE_CHECKING:
    from collections.abc import Sequence


def entry(*programs: int) -> Entry:
    person = Person(None, "a@x.y", "a@x.y", {}, {})
    targets = [Target(program, "Registered", None) for program in programs]
    return Entry(("", "s"), "1", False, b"line", 0.0, Segment(), person, targets, len(targets))


class Bench:
    def __init__(self, *jobs: EarlierJob) -> None:
        self.now = 1_000.0
        self.then: list[Entry] = []
        self.journal = Told()
        self.marketo = FakeImports(Creates(lambda: self.now, 95.0))
        self.stage = EarlierJobs(jobs, self.marketo, self.accept, self.journal, PACE, lambda: self.now, 95.0)

    def accept(self, entries: Sequence[Entry]) -> None:
        self.then += entries

    def go(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            while (call := self.stage.take(Why.FULL, self.now)) is not None:
                call.finish(call.run())
            if self.now >= until:
                return
            self.now += min(until - self.now, self.stage.due_in(self.now))


def test_records_of_a_held_program_wait_for_its_job_and_others_go() -> None:
    bench = Bench(EarlierJob(1, 77))
    bench.marketo.polls = [status(77, "Importing"), status(77, "Importing"), status(77, "Complete")]
    held, both, free = entry(1), entry(2, 1), entry(2)
    assert bench.stage.accept([held, both, free]) == [free]
    assert len(bench.stage) == 2
    assert bench.stage.oldest() == NEVER, "no age makes a record go"
    assert bench.stage.take(Why.OLD, bench.now) is None
    bench.go(100.0)
    assert bench.marketo.polled == [77, 77, 77]
    assert bench.then == [held, both]
    assert len(bench.stage) == 0
    assert bench.journal.events == [("ended", 77)]
    assert bench.stage.accept([held]) == [held]


@pytest.mark.parametrize("answer", [status(77, "Failed"), None])
def test_a_job_that_failed_or_is_forgotten_has_ended(answer: object) -> None:
    bench = Bench(EarlierJob(1, 77))
    bench.marketo.polls = [answer]  # type: ignore[list-item]
    bench.stage.accept([entry(1)])
    bench.go(0.0)
    assert len(bench.then) == 1


def test_an_upload_that_marketo_had_not_named_is_waited_for() -> None:
    """Nobody can ask about it; it is held for as long as a create may take."""
    bench = Bench(EarlierJob(1, None))
    bench.stage.accept([entry(1)])
    bench.go(94.0)
    assert bench.then == []
    bench.go(1.0)
    assert len(bench.then) == 1
    assert bench.marketo.polled == []
    assert bench.journal.events == [("not uploaded", 1)]


def test_a_program_is_free_when_the_last_of_its_jobs_has_ended() -> None:
    bench = Bench(EarlierJob(1, 77), EarlierJob(1, 78), EarlierJob(2, 79))
    bench.stage.accept([entry(1, 2)])
    polls = {77: "Complete", 78: "Importing", 79: "Complete"}

    def poll(batch_id: int) -> object:
        return status(batch_id, polls[batch_id])

    bench.marketo.poll = poll  # type: ignore[method-assign, assignment]
    bench.go(20.0)
    assert bench.then == []
    polls[78] = "Complete"
    bench.go(30.0)
    assert len(bench.then) == 1


def test_a_job_that_never_ends_ends_the_sync() -> None:
    bench = Bench(EarlierJob(1, 77))
    bench.marketo.polls = [status(77, "Importing")] * 1_000
    with pytest.raises(StuckJobError, match="77"):
        bench.go(5_000.0)


@given(
    jobs=st.lists(st.tuples(st.integers(1, 3), st.integers(70, 79)), max_size=4, unique=True),
    records=st.lists(st.sets(st.integers(1, 4), min_size=1), max_size=12),
    random=st.randoms(use_true_random=False),
)
def test_every_record_goes_on_once_and_never_before_its_programs_are_free(
    jobs: list[tuple[int, int]], records: list[set[int]], random: object
) -> None:
    bench = Bench(*(EarlierJob(*job) for job in jobs))
    running = set(jobs)
    ended: set[int] = set()

    def poll(batch_id: int) -> object:
        if random.random() < 0.5:  # type: ignore[attr-defined]
            ended.add(batch_id)
            running.difference_update({job for job in running if job[1] == batch_id})
        return status(batch_id, "Complete" if batch_id in ended else "Importing")

    bench.marketo.poll = poll  # type: ignore[method-assign, assignment]

    def accept(entries: Sequence[Entry]) -> None:
        held = {program for program, batch_id in jobs if ("ended", batch_id) not in bench.journal.events}
        for one in entries:
            assert not held & {target.program_id for target in one.targets}
        bench.then.extend(entries)

    bench.stage = EarlierJobs(
        [EarlierJob(*job) for job in jobs], bench.marketo, accept, bench.journal, PACE, lambda: bench.now, 95.0
    )
    entries = [entry(*programs) for programs in records]
    for one in entries:
        bench.then += bench.stage.accept([one])
        bench.go(1.0)
    bench.go(2_000.0)
    assert sorted(map(id, bench.then)) == sorted(map(id, entries))
    assert len(bench.stage) == 0
