"""Import jobs and where each of them stands."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from destination_marketo_programs.imports.pace import JOBS_AT_ONCE
from destination_marketo_programs.marketo.bulk_import import ImportStatus, JobState
from destination_marketo_programs.marketo.errors import UnreachableError
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.delivery.journal import Journal
    from destination_marketo_programs.imports.files import File
    from destination_marketo_programs.imports.pace import ImportPace
    from destination_marketo_programs.imports.results import RowRefusal

_SECONDS_PER_HOUR = 3_600


def _hours(seconds: float) -> str:
    return counted(round(seconds / _SECONDS_PER_HOUR), "hour")


class StuckJobError(UnreachableError):
    """An import job does not end."""

    what = "import job does not end"

    def __init__(self, batch_id: int, program_id: int, seconds: float) -> None:
        self.batch_id = batch_id
        super().__init__("import_status", "timeout")
        hours = _hours(seconds)
        text = f"Bulk import job {batch_id} for program {program_id} has not ended for {hours}"
        self.args = (f"{text}. Look for it in Marketo (Admin > Imports and Exports), or ask Marketo Support about it",)


class NoSignError(UnreachableError):
    """Nobody of a file has shown up whose upload was not answered."""

    what = "upload not answered"

    def __init__(self, program_id: int, rows: int, seconds: float) -> None:
        super().__init__("create_import", "timeout")
        upload = f"An upload of {counted(rows, 'row')} for program {program_id} was not answered"
        hours = _hours(seconds)
        self.args = (f"{upload}, and none of its people has shown up in Marketo for {hours}",)


class Phase(Enum):
    """Where a file stands."""

    UNDER_WAY = "Marketo works on it"
    LOST = "nobody knows whether Marketo has it"
    ENDED = "its result files are wanted"
    UNCLEAR = "its rows are read back"


class Sign(Enum):
    """What looking for people of a file says whose upload was not answered."""

    WAIT = "too early to say"
    ENDED = "some have shown up, and no more do: the job has ended"
    NONE = "nobody has shown up for too long"


@dataclass(eq=False)
class Job:
    """A file that Marketo has taken, or may have taken.

    Attributes:
        since: monotonic seconds of its upload.
        interval: seconds between two calls for it.
        not_before: monotonic seconds of the next call for it; infinite while one is being made.
        refused, warned: what Marketo says of single rows.
        unknown: people of a sample whom Marketo did not have at the last look that said something new; None before.
        shown: whether some of them have shown up since.
    """

    file: File
    status: ImportStatus
    phase: Phase
    since: float
    interval: float = 0.0
    not_before: float = 0.0
    refused: dict[int, RowRefusal] = field(default_factory=dict)
    warned: dict[int, str] = field(default_factory=dict)
    unknown: set[str] | None = None
    shown: bool = False

    def note(self, refused: dict[int, RowRefusal], warned: dict[int, str]) -> None:
        """What Marketo's result files say of single rows."""
        self.refused, self.warned = refused, warned


@dataclass
class Attempts:
    """What has gone wrong with the file that is next to be uploaded."""

    failed: int = 0
    slot_seconds: float = 0.0
    slot_wanted_since: float = 0.0


class Jobs:
    """All jobs of this run, and when each is asked about again.

    Attributes:
        settling: jobs whose rows are being settled.
    """

    def __init__(self, pace: ImportPace, journal: Journal, clock: Callable[[], float]) -> None:
        self.settling: list[Job] = []
        self._jobs: list[Job] = []
        self._pace = pace
        self._journal = journal
        self._clock = clock

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def under_way(self) -> int:
        """Jobs that take one of Marketo's places, or may take one."""
        return sum(job.phase in (Phase.UNDER_WAY, Phase.LOST) for job in self._jobs)

    def to_ask(self) -> list[Job]:
        """Jobs worth a call: Marketo runs two at once, first in, first out, so that later ones cannot be running."""
        under_way = [job for job in self._jobs if job.phase is Phase.UNDER_WAY]
        return [job for job in self._jobs if job.phase is not Phase.UNDER_WAY] + under_way[:JOBS_AT_ONCE]

    def begin(self, file: File, status: ImportStatus) -> Job:
        """Marketo has taken a file."""
        job = Job(file, status, Phase.UNDER_WAY, self._clock())
        job.interval = self._pace.first_poll(file.rows)
        self._jobs.append(job)
        return job

    def lose(self, file: File) -> None:
        """Marketo may have taken a file."""
        job = Job(file, ImportStatus(0, JobState.QUEUED, None, None, None, None, None), Phase.LOST, self._clock())
        job.interval = self._pace.lost_first_look_seconds
        job.not_before = self._clock()
        self._jobs.append(job)

    def refuse(self, file: File, refused: dict[int, RowRefusal]) -> None:
        """A file that Marketo refused as a whole: its rows are settled as refused."""
        job = Job(file, ImportStatus(0, JobState.FAILED, None, None, None, None, None), Phase.ENDED, self._clock())
        job.refused = refused
        self.settling.append(job)

    def end(self, job: Job) -> None:
        """Marketo is done with a job, so that the next in its queue begins."""
        waited = [other for other in self._jobs if other.phase is Phase.UNDER_WAY][JOBS_AT_ONCE:]
        self._jobs.remove(job)
        if waited:
            first = waited[0]
            first.not_before = self._clock() + first.interval
        self._journal.job_ended(job.status.batch_id)

    def next_phase(self, job: Job, phase: Phase) -> None:
        """There is something else to ask about a job, at once."""
        if job not in self._jobs:
            self._jobs.append(job)
        job.phase = phase
        job.not_before = self._clock()

    def settled(self, job: Job) -> None:
        """Every row of the job is settled."""
        self.settling.remove(job)

    def settle(self, job: Job) -> None:
        """Everything is known of a job's rows."""
        self._jobs.remove(job)
        self.settling.append(job)

    def drop(self, job: Job) -> None:
        """Nothing is left of a job."""
        self._jobs.remove(job)

    def ask_later(self, job: Job) -> bool:
        """Ask about a job that has not ended after a while; True if it should have ended long ago."""
        now = self._clock()
        job.not_before = now + job.interval
        job.interval = self._pace.next_poll(job.interval)
        return now - job.since > self._pace.job_patience_seconds

    def look_later(self, job: Job, unknown: set[str]) -> Sign:
        """Look after a while whether more people show up; says what the looks so far mean."""
        now = self._clock()
        if job.unknown is None:
            job.unknown = unknown
        elif len(unknown) < len(job.unknown):
            # Every sign of life renews the patience: the job runs.
            job.unknown, job.since, job.shown = unknown, now, True
        job.not_before = now + job.interval
        job.interval = self._pace.next_look(job.interval)
        quiet = now - job.since
        if job.shown:
            return Sign.ENDED if quiet > self._pace.lost_settled_seconds else Sign.WAIT
        return Sign.NONE if quiet > self._pace.lost_patience_seconds else Sign.WAIT
