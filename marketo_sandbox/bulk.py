"""Bulk program member import: jobs in a queue, and what became of their rows."""

from __future__ import annotations

import csv
import io
import math
import re
from typing import TYPE_CHECKING, Literal

import msgspec

from .catalogue import DEFAULT_PARTITION, Program, Status
from .errors import ApiError
from .fields import TEXT_TYPES, Field, value_problem
from .members import find_program, find_status, write_member_fields
from .request import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .faults import Fault
    from .instance import Instance
    from .request import Request
    from .store import Json

JobState = Literal["Queued", "Importing", "Complete", "Failed"]
_DELIMITERS = {"csv": ",", "tsv": "\t", "ssv": ";"}
_DAY_SECONDS = 86_400
_FIRST_JOB_ID = 2_001
_EVERY_THIRD = 3
_NEVER = math.inf
_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;.]+")


class Job(msgspec.Struct):
    """One import. Times are wall seconds; `start_after` is when it may leave the queue at the earliest."""

    id: int
    program: Program
    status_name: Status
    delimiter: str
    file: bytes
    start_after: float
    work_seconds: float
    fault: Fault
    state: JobState = "Queued"
    ends_at: float = _NEVER
    processed: int = 0
    header: list[str] = []
    failed: list[tuple[list[str], str]] = []
    warned: list[tuple[list[str], str]] = []
    message: str = ""


class BulkJobs:
    """The import queue: first in, first out, so many at once. Moves on whenever somebody looks."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._jobs: dict[int, Job] = {}
        self._queue: list[Job] = []
        self._running: list[Job] = []
        self._slot_free_at = 0.0

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        with self._instance.store.lock:
            self.advance()
            return list(self._jobs.values())

    def get(self, job_id: int) -> Job | None:
        """A job that can still be asked about."""
        job = self._jobs.get(job_id)
        if job is None or self._instance.clock.now() - job.ends_at > self._kept_seconds():
            return None
        return job

    def _kept_seconds(self) -> float:
        return self._instance.settings.bulk_job_days * _DAY_SECONDS

    def is_full(self) -> bool:
        """Whether one more job would be one too many (1016)."""
        return len(self._queue) + len(self._running) >= self._instance.settings.bulk_queue

    def add(
        self,
        program: Program,
        status: Status,
        delimiter: str,
        file: bytes,
        fault: Fault,
    ) -> Job:
        """Queue a job."""
        settings, now = self._instance.settings, self._instance.clock.now()
        rows = max(0, file.count(b"\n") - 1)
        work = settings.bulk_job_seconds + settings.bulk_seconds_per_1000_rows * rows / 1000
        number = len(self._jobs)
        wait = 0.0 if number % _EVERY_THIRD == _EVERY_THIRD - 1 else settings.bulk_start_seconds
        job = Job(_FIRST_JOB_ID + number, program, status, delimiter, file, now + wait, work, fault)
        self._jobs[job.id] = job
        self._queue.append(job)
        self.advance()
        return job

    def advance(self) -> None:
        """Start and finish what is due by now, in the order in which it was due."""
        if not self._queue and not self._running:
            return
        with self._instance.store.lock:
            while self._start_next() or self._finish_next():
                pass

    def _start_next(self) -> bool:
        now = self._instance.clock.now()
        if not self._queue or len(self._running) >= self._instance.settings.bulk_running:
            return False
        job = self._queue[0]
        start = max(job.start_after, self._slot_free_at)
        if start > now:
            return False
        self._queue.pop(0)
        job.state = "Importing"
        job.ends_at = _NEVER if job.fault.hold_job else start + job.work_seconds
        self._running.append(job)
        return True

    def _finish_next(self) -> bool:
        now = self._instance.clock.now()
        for job in self._running:
            if job.ends_at == _NEVER and self._instance.faults.is_released(job.fault.name):
                job.ends_at = now
        if not self._running:
            return False
        job = min(self._running, key=lambda job: job.ends_at)
        if job.ends_at > now:
            return False
        self._running.remove(job)
        self._slot_free_at = job.ends_at
        _run(self._instance, job)
        job.file = b""
        return True


def create(instance: Instance, request: Request) -> Callable[[], Answer]:
    """Import Program Members: take the file, queue a job."""
    program = find_program(instance, request.path_id())
    status = find_status(instance, program, request.required("programMemberStatus"))
    delimiter = _DELIMITERS.get(request.required("format").lower())
    if delimiter is None:
        raise ApiError("1003", "Invalid value for parameter 'format'")
    file = file_part(request.content_type, request.body)
    request.call.records = max(0, file.count(b"\n") - 1)

    def commit() -> Answer:
        with instance.store.lock:
            instance.bulk.advance()
            if instance.bulk.is_full():
                raise ApiError("1016")
            job = instance.bulk.add(program, status, delimiter, file, request.fault)
        return Answer([_job_row(job)])

    return commit


def file_part(content_type: str, body: bytes) -> bytes:
    """Content of the multipart body's part named `file`.

    Raises:
        ApiError: 612 for another content type, 613 for a body that is no proper multipart with such a part.
    """
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise ApiError("612")
    boundary = re.search(r'boundary=(?:"([^"]+)"|([^\s;]+))', parameters)
    if boundary is None:
        raise ApiError("613")
    mark = b"--" + (boundary[1] or boundary[2]).encode()
    if not body.startswith(mark) or (mark + b"--") not in body:
        raise ApiError("613")
    for part in body.split(mark)[1:-1]:
        head, blank, content = part.partition(b"\r\n\r\n")
        named = re.search(rb'content-disposition:[^\r\n]*[;\s]name="?file"?(?:[;\s]|$)', head, re.IGNORECASE)
        if blank and named and b"filename" in head:
            return content.removesuffix(b"\r\n")
    raise ApiError("613")


def _job_row(job: Job) -> Json:
    return {"batchId": job.id, "importId": str(job.id), "status": job.state}


def _job(instance: Instance, request: Request) -> Job:
    instance.bulk.advance()
    job = instance.bulk.get(request.path_id())
    if job is None:
        raise ApiError("1013", f"Batch '{request.path_id()}' not found")
    return job


def status(instance: Instance, request: Request) -> Answer:
    """Status of a job; the counters come with its end."""
    job = _job(instance, request)
    row = _job_row(job)
    if job.state == "Complete":
        row |= {
            "numOfLeadsProcessed": job.processed,
            "numOfRowsFailed": len(job.failed),
            "numOfRowsWithWarning": len(job.warned),
        }
    if job.message:
        row["message"] = job.message
    return Answer([row])


def failures(instance: Instance, request: Request) -> Answer:
    """Rows that failed, with the reason in one more column."""
    job = _job(instance, request)
    return Answer(file=_delimited(job, job.failed, "Import Failure Reason"))


def warnings(instance: Instance, request: Request) -> Answer:
    """Rows that were imported with a warning, which is in one more column."""
    job = _job(instance, request)
    return Answer(file=_delimited(job, job.warned, "Import Warning Reason"))


def _delimited(job: Job, rows: list[tuple[list[str], str]], column: str) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=job.delimiter, lineterminator="\n")
    writer.writerow([*job.header, column])
    writer.writerows([*cells, text] for cells, text in rows)
    return out.getvalue().encode()


def _run(instance: Instance, job: Job) -> None:
    """Import the whole file, at the moment at which the job ends."""
    if job.fault.job_message is not None:
        _fail(job, job.fault.job_message)
        return
    try:
        text = job.file.decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=job.delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error):
        _fail(job, "Import failed, the file could not be read")
        return
    if not rows:
        _fail(job, "Import failed, the file is empty")
        return
    job.header = [name.strip() for name in rows[0]]
    problem = _header_problem(instance, job.header)
    if problem is not None:
        _fail(job, problem)
        return
    columns = _Columns(instance, job.header)
    for position, cells in enumerate(rows[1:]):
        if cells:
            _import_row(instance, job, columns, position, cells)
    job.state = "Complete"
    job.message = _summary(job)


def _fail(job: Job, message: str) -> None:
    job.state = "Failed"
    job.message = message


def _summary(job: Job) -> str:
    count = job.processed
    if job.failed:
        failed = len(job.failed)
        return f"Import completed with errors, {count} records imported ({count} members), {failed} failed"
    text = f"Import succeeded, {count} records imported ({count} members)"
    return f"{text}, {len(job.warned)} warning." if job.warned else text


def _header_problem(instance: Instance, header: list[str]) -> str | None:
    for name in header:
        field = _column(instance, name)
        if field is None:
            return f"Import failed, unknown column '{name}'"
        if not field.updateable:
            return f"Import failed, column '{name}' cannot be imported"
    if len(set(header)) != len(header):
        return "Import failed, a column appears twice"
    if "email" not in header:
        return "Import failed, column 'email' is missing"
    return None


def _column(instance: Instance, name: str) -> Field | None:
    """The lead field of that name, else the custom field of the membership."""
    field = instance.store.lead_fields.get(name)
    return field if field is not None else instance.store.member_fields.get(name)


class _Columns:
    """The header of a file, understood once for all its rows."""

    def __init__(self, instance: Instance, header: list[str]) -> None:
        store = instance.store
        self.header = header
        self.email = header.index("email")
        self.member_names = [name for name in header if name not in store.lead_fields]
        self._checked = []
        for position, name in enumerate(header):
            table = store.lead_fields if name in store.lead_fields else store.member_fields
            if table[name].data_type != "email":
                self._checked.append((position, table.plain_limit(name), table[name]))
        self._check_values = instance.settings.check_values

    def problem(self, cells: list[str]) -> str | None:
        """Why a row cannot be imported, in the words of the failure file, or None."""
        if len(cells) != len(self.header):
            return "Number of values does not match number of columns"
        email = cells[self.email]
        if not email:
            return "Email Address is missing"
        if not email.isascii():
            return "Invalid characters in field Email Address"
        if not self._check_values:
            return None
        for position, limit, field in self._checked:
            text = cells[position]
            if len(text) > limit and text and value_problem(field, text) is not None:
                return _type_text(field)
        return None


def _import_row(instance: Instance, job: Job, columns: _Columns, position: int, cells: list[str]) -> None:
    store, at = instance.store, instance.clock.now()
    stripped = [cell.strip() for cell in cells]
    row_fault = job.fault.row
    if row_fault is not None and row_fault.matches(position, dict(zip(job.header, stripped, strict=False))):
        job.failed.append((cells, row_fault.message))
        return
    problem = columns.problem(stripped)
    if problem is not None:
        job.failed.append((cells, problem))
        return
    values: Json = dict(zip(columns.header, stripped, strict=True))
    member_fields: Json = {name: values.pop(name) for name in columns.member_names}
    email = values["email"]
    found = store.index("email").get(email.lower())
    if isinstance(found, list):
        job.failed.append((cells, "Multiple people match the email address"))
        return
    if found is not None:
        store.update_lead(store.leads[found], values, at)
    else:
        found = store.insert_lead(values, store.partitions[DEFAULT_PARTITION], at)
    outcome = store.put_member(job.program, found, job.status_name, at)
    member = store.members[job.program.id][found]
    if member_fields:
        write_member_fields(member, member_fields)
    backward = outcome == "skipped" and member.status != job.status_name.name
    if backward and instance.settings.bulk_fails_backward_rows:
        job.failed.append((cells, "Person is already past this program status"))
        return
    job.processed += 1
    if _EMAIL.fullmatch(email) is None:
        job.warned.append((cells, "Invalid email address"))


def _type_text(field: Field) -> str:
    if field.data_type in TEXT_TYPES:
        return f"Value too long in field {field.display_name}"
    return f"Invalid data type in field {field.display_name}"
