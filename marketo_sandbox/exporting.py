"""Bulk extract: jobs that are made, queued and written, their quota, and what their status says of them.

Source of the numbers: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/bulk-extract/bulk-extract
"""

from __future__ import annotations

import csv
import hashlib
import io
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from .clock import lead_database_time
from .errors import ApiError

if TYPE_CHECKING:
    from .clock import Clock
    from .settings import Settings
    from .store import Json, Store

ExportKind = Literal["leads", "activities", "program/members"]
"""Whose file it is; as in the path of the endpoints."""
ExportState = Literal["Created", "Queued", "Processing", "Canceled", "Completed", "Failed"]
DELIMITERS: Final = {"CSV": ",", "TSV": "\t", "SSV": ";"}
NO_VALUE: Final = "null"
_DAY_SECONDS: Final = 86_400

Rows = Callable[[], Iterable[Iterable[Any]]]


class ExportJob(msgspec.Struct):
    """One extract. Times are wall seconds, None until then.

    Attributes:
        user: login of its maker, the only one who sees it.
        header: column names of the file.
        rows: gives the rows, asked once, when the job starts.
        file: the finished file.
        failure: what the job ends with instead of a file; empty for nothing.
    """

    id: str
    kind: ExportKind
    user: str
    format: str
    header: list[str]
    rows: Rows
    created_at: float
    failure: str = ""
    queued_at: float | None = None
    started_at: float | None = None
    ends_at: float | None = None
    canceled_at: float | None = None
    state: ExportState = "Created"
    records: int = 0
    file: bytes = b""
    checksum: str = ""


class ExportJobs:
    """The queue of all extracts, whatever they hold. Moves on whenever somebody looks.

    Args:
        settings: gives the settings in force.
    """

    def __init__(self, store: Store, clock: Clock, settings: Callable[[], Settings]) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings
        self._jobs: dict[str, ExportJob] = {}
        self._slot_free_at = 0.0

    def jobs(self) -> list[ExportJob]:
        """All jobs, oldest first."""
        with self._store.lock:
            self.advance()
            return list(self._jobs.values())

    def get(self, job_id: str, kind: ExportKind, user: str) -> ExportJob:
        """A job of this user that can still be asked about.

        Raises:
            ApiError: 1013 for any other.
        """
        job = self._jobs.get(job_id)
        kept_seconds = self._settings().export_job_days * _DAY_SECONDS
        if (
            job is None
            or job.kind != kind
            or job.user != user
            or (job.ends_at is not None and self._clock.now() - job.ends_at > kept_seconds)
        ):
            raise ApiError("1013", f"Export job '{job_id}' not found")
        return job

    def add(
        self, kind: ExportKind, user: str, file_format: str, header: list[str], rows: Rows, failure: str = ""
    ) -> ExportJob:
        """Make a job, which waits for `enqueue`. `failure` makes it end without a file.

        Raises:
            ApiError: 1029 with the day's quota used up.
        """
        self._check_quota()
        job = ExportJob(str(uuid.uuid4()), kind, user, file_format, header, rows, self._clock.now(), failure)
        self._jobs[job.id] = job
        return job

    def enqueue(self, job: ExportJob) -> None:
        """Queue a job.

        Raises:
            ApiError: 1029 in each of its three meanings: quota used up, queue full, already queued.
        """
        self._check_quota()
        if job.state != "Created":
            raise ApiError("1029", "Job already queued")
        if (
            sum(other.state in {"Queued", "Processing"} for other in self._jobs.values())
            >= self._settings().export_queue
        ):
            raise ApiError("1029", "Too many jobs in queue")
        job.state = "Queued"
        job.queued_at = self._clock.now()
        self.advance()

    def cancel(self, job: ExportJob) -> None:
        """End a job that has not ended.

        Raises:
            ApiError: 1003 for one that has.
        """
        self.advance()
        if job.state in {"Completed", "Failed"}:
            raise ApiError("1003", "Job has ended")
        job.state = "Canceled"
        job.canceled_at = job.canceled_at or self._clock.now()
        job.file = b""

    def bytes_today(self) -> int:
        """Bytes of the files finished today."""
        today = self._clock.today()
        finished = [job for job in self._jobs.values() if job.state == "Completed" and job.ends_at is not None]
        return sum(len(job.file) for job in finished if self._clock.day_of(job.ends_at or 0.0) == today)

    def _check_quota(self) -> None:
        self.advance()
        most = self._settings().export_daily_bytes
        if self.bytes_today() >= most:
            raise ApiError("1029", f"Export daily quota {most // 1_000_000}MB exceeded.")

    def advance(self) -> None:
        """Start and finish what is due by now."""
        if not self._jobs:
            return
        with self._store.lock:
            while self._start_next() or self._finish_next():
                pass

    def _running(self) -> list[ExportJob]:
        return [job for job in self._jobs.values() if job.state == "Processing"]

    def _start_next(self) -> bool:
        settings, now = self._settings(), self._clock.now()
        waiting = [job for job in self._jobs.values() if job.state == "Queued"]
        if not waiting or len(self._running()) >= settings.export_running:
            return False
        job = min(waiting, key=lambda job: job.queued_at or 0.0)
        start = max((job.queued_at or 0.0) + settings.export_start_seconds, self._slot_free_at)
        if start > now:
            return False
        job.state = "Processing"
        job.started_at = start
        job.records, job.file = _written(job)
        job.checksum = "sha256:" + hashlib.sha256(job.file).hexdigest()
        work = settings.export_job_seconds + settings.export_seconds_per_1000_rows * job.records / 1000
        job.ends_at = start + work
        return True

    def _finish_next(self) -> bool:
        running = self._running()
        if not running:
            return False
        job = min(running, key=lambda job: job.ends_at or 0.0)
        if job.ends_at is None or job.ends_at > self._clock.now():
            return False
        job.state = "Failed" if job.failure else "Completed"
        self._slot_free_at = job.ends_at
        return True

    def shown(self, job: ExportJob) -> Json:
        """The status that is told: that of its last renewal, so many seconds after the job was queued."""
        seen = self._renewed_at(job)
        row: Json = {"exportId": job.id, "format": job.format, "status": "Created"}
        row["createdAt"] = lead_database_time(job.created_at)
        if job.queued_at is not None:
            row |= {"status": "Queued", "queuedAt": lead_database_time(job.queued_at)}
        if job.canceled_at is not None:
            return row | {"status": "Canceled"}
        if job.started_at is not None and job.started_at <= seen:
            row |= {"status": "Processing", "startedAt": lead_database_time(job.started_at)}
        if job.state == "Failed" and job.ends_at is not None and job.ends_at <= seen:
            row |= {"status": "Failed", "finishedAt": lead_database_time(job.ends_at), "errorMsg": job.failure}
        if job.state == "Completed" and job.ends_at is not None and job.ends_at <= seen:
            row |= {
                "status": "Completed",
                "finishedAt": lead_database_time(job.ends_at),
                "numberOfRecords": job.records,
                "fileSize": len(job.file),
                "fileChecksum": job.checksum,
            }
        return row

    def _renewed_at(self, job: ExportJob) -> float:
        now, every = self._clock.now(), self._settings().export_status_seconds
        if job.queued_at is None or every <= 0:
            return now
        return job.queued_at + (now - job.queued_at) // every * every


def _written(job: ExportJob) -> tuple[int, bytes]:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=DELIMITERS[job.format], lineterminator="\n")
    writer.writerow(job.header)
    count = 0
    for row in job.rows():
        writer.writerow([_cell(value) for value in row])
        count += 1
    return count, out.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None or value == "":
        return NO_VALUE
    return str(value).lower() if isinstance(value, bool) else str(value)
