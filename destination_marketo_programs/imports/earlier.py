"""Import jobs that an earlier run left: nothing is sent for their programs, and nobody is created, until they ended."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.delivery.stage import NEVER, Call, Timed, Why
from destination_marketo_programs.imports.jobs import StuckJobError
from destination_marketo_programs.marketo.bulk_import import JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.journal import Journal
    from destination_marketo_programs.imports.calls import ImportCalls
    from destination_marketo_programs.imports.pace import ImportPace
    from destination_marketo_programs.marketo.bulk_import import ImportStatus

logger = logging.getLogger("airbyte.imports")


class EarlierJob(NamedTuple):
    """An import job of an earlier run; `batch_id` is None if Marketo had not named it when that run ended."""

    program_id: int
    batch_id: int | None


class EarlierJobs:
    """Holds records for programs whose import job of an earlier run may still create the same people.

    Args:
        jobs: what earlier runs left.
        calls: asks about jobs.
        then: takes records whose programs are free.
        journal: told of ended jobs.
        pace: how often Marketo is asked.
        clock: monotonic seconds.
        unnamed_seconds: how long the program of an upload without a job's number is held.
    """

    full = False

    def __init__(
        self,
        jobs: Sequence[EarlierJob],
        calls: ImportCalls,
        then: Callable[[Sequence[Entry]], None],
        journal: Journal,
        pace: ImportPace,
        clock: Callable[[], float],
        unnamed_seconds: float,
    ) -> None:
        self.in_flight = 0
        self._calls = calls
        self._then = then
        self._journal = journal
        self._pace = pace
        self._clock = clock
        self._began = clock()
        self._running = set(jobs)
        # The people of a file may be meant for other programs too.
        calls.creates.hold(held=bool(jobs))
        self._entries: list[Entry] = []
        self._due: Timed[tuple[EarlierJob, float]] = Timed()
        for job in jobs:
            first = 0.0 if job.batch_id is not None else unnamed_seconds
            self._due.add(self._began + first, (job, pace.first_poll_seconds))
            logger.info(
                "Program %d waits: %s of an earlier run may still be running.",
                job.program_id,
                f"import job {job.batch_id}" if job.batch_id is not None else "an upload",
            )

    def __len__(self) -> int:
        return len(self._entries)

    def accept(self, entries: Iterable[Entry]) -> list[Entry]:
        """Keep records of held programs; returns the others."""
        if not self._running:
            return list(entries)
        held = {job.program_id for job in self._running}
        free: list[Entry] = []
        for entry in entries:
            waits = any(target.program_id in held for target in entry.targets)
            (self._entries if waits else free).append(entry)
        return free

    def oldest(self) -> float:
        """See `Stage`. No age makes a record go before its program is free."""
        return NEVER

    def due_in(self, now: float) -> float:
        """See `Stage`."""
        return self._due.due_in(now)

    def advance(self, now: float, *, ended: bool) -> None:
        """See `Stage`."""

    def lost(self) -> None:
        """See `Stage`."""
        self.in_flight -= 1

    def take(self, why: Why, now: float) -> Call | None:
        """See `Stage`."""
        if why is not Why.FULL:
            return None
        due = self._due.take(now)
        if due is None:
            return None
        job, interval = due
        batch_id = job.batch_id
        self.in_flight += 1
        if batch_id is None:
            return Call(self, lambda: None, lambda _nothing: self._answered(job, interval, None))
        return Call(self, lambda: self._calls.poll(batch_id), lambda status: self._answered(job, interval, status))

    def _answered(self, job: EarlierJob, interval: float, status: ImportStatus | None) -> None:
        self.in_flight -= 1
        if status is not None and status.state not in (JobState.COMPLETE, JobState.FAILED):
            now = self._clock()
            if job.batch_id is not None and now - self._began > self._pace.job_patience_seconds:
                raise StuckJobError(job.batch_id, job.program_id, self._pace.job_patience_seconds)
            self._due.add(now + interval, (job, self._pace.next_poll(interval)))
            return
        self._running.discard(job)
        self._calls.creates.hold(held=bool(self._running))
        if job.batch_id is not None:
            self._journal.job_ended(job.batch_id)
        else:
            self._journal.not_uploaded(job.program_id)
        logger.info("Program %d waits no longer for an import of an earlier run.", job.program_id)
        entries, self._entries = self._entries, []
        self._then(self.accept(entries))
