"""Bulk program member import: jobs in a queue, and what happens to their rows.

People are looked up when a job starts and created when it ends, as Adobe's knowledge base describes it: two jobs at
once, or a job and a call, make two people of one.
"""

from __future__ import annotations

import csv
import io
import math
import re
from typing import TYPE_CHECKING, Literal

import msgspec

from .catalogue import Program, Status  # noqa: TC001 - structs need the types at run time
from .fields import TEXT_TYPES, Field, typed, value_problem
from .store import Json, fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from .clock import Clock
    from .faults import Fault, Faults
    from .settings import Settings
    from .store import Store

JobState = Literal["Queued", "Importing", "Complete", "Failed"]
_DAY_SECONDS = 86_400
_FIRST_JOB_ID = 2_001
_EVERY_THIRD = 3
_NEVER = math.inf
_EMAIL = re.compile(r"[^@\s,;]+@[^@\s,;]+\.[^@\s,;.]+")


class _Row(msgspec.Struct):
    """A row that is fit to be imported. `lead_id` None creates a person."""

    cells: list[str]
    values: Json
    member_values: Json
    lead_id: int | None


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
    rows: list[_Row] = []
    failed: list[tuple[list[str], str]] = []
    warned: list[tuple[list[str], str]] = []
    message: str = ""


class ImportJobs:
    """The import queue: first in, first out, so many at once. Moves on whenever somebody looks.

    Args:
        settings: gives the settings in force.
    """

    def __init__(self, store: Store, clock: Clock, faults: Faults, settings: Callable[[], Settings]) -> None:
        self._store = store
        self._clock = clock
        self._faults = faults
        self._settings = settings
        self._jobs: dict[int, Job] = {}
        self._queue: list[Job] = []
        self._running: list[Job] = []
        self._slot_free_at = 0.0

    def jobs(self) -> list[Job]:
        """All jobs, oldest first."""
        with self._store.lock:
            self.advance()
            return list(self._jobs.values())

    def get(self, job_id: int) -> Job | None:
        """A job that can still be asked about."""
        job = self._jobs.get(job_id)
        kept_seconds = self._settings().bulk_job_days * _DAY_SECONDS
        if job is None or self._clock.now() - job.ends_at > kept_seconds:
            return None
        return job

    def is_full(self) -> bool:
        """Whether one more job would be one too many (1016)."""
        return len(self._queue) + len(self._running) >= self._settings().bulk_queue

    def add(self, program: Program, status: Status, delimiter: str, file: bytes, fault: Fault) -> Job:
        """Queue a job."""
        settings, now = self._settings(), self._clock.now()
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
        with self._store.lock:
            while self._start_next() or self._finish_next():
                pass

    def _start_next(self) -> bool:
        now = self._clock.now()
        if not self._queue or len(self._running) >= self._settings().bulk_running:
            return False
        job = self._queue[0]
        start = max(job.start_after, self._slot_free_at)
        if start > now:
            return False
        self._queue.pop(0)
        job.state = "Importing"
        job.ends_at = _NEVER if job.fault.hold_job else start + job.work_seconds
        self._running.append(job)
        self._read(job)
        return True

    def _finish_next(self) -> bool:
        now = self._clock.now()
        for job in self._running:
            if job.ends_at == _NEVER and self._faults.is_released(job.fault.name):
                job.ends_at = now
        if not self._running:
            return False
        job = min(self._running, key=lambda job: job.ends_at)
        if job.ends_at > now:
            return False
        self._running.remove(job)
        self._slot_free_at = job.ends_at
        self._write(job)
        return True

    def _read(self, job: Job) -> None:
        """What happens at a job's start: read the file, look its people up."""
        if job.fault.job_message is not None:
            job.message = job.fault.job_message
            return
        try:
            text = job.file.decode("utf-8-sig")
            lines = list(csv.reader(io.StringIO(text, newline=""), delimiter=job.delimiter, strict=True))
        except (UnicodeDecodeError, csv.Error):
            job.message = "Import failed, the file could not be read"
            return
        finally:
            job.file = b""
        if not lines:
            job.message = "Import failed, the file is empty"
            return
        job.header = [name.strip() for name in lines[0]]
        problem = self._header_problem(job.header)
        if problem is not None:
            job.message = problem
            return
        reader = _Reader(self._store, self._settings(), job.header)
        for position, cells in enumerate(lines[1:]):
            if cells:
                self._read_row(job, reader, position, cells)

    def _read_row(self, job: Job, reader: _Reader, position: int, cells: list[str]) -> None:
        stripped = [cell.strip() for cell in cells]
        row_fault = job.fault.row
        if row_fault is not None and row_fault.matches(position, dict(zip(job.header, stripped, strict=False))):
            job.failed.append((cells, row_fault.message))
            return
        found = reader.read(cells, stripped)
        if isinstance(found, str):
            job.failed.append((cells, found))
        else:
            job.rows.append(found)

    def _write(self, job: Job) -> None:
        """What happens at a job's end: its people are created and updated, all at that moment."""
        if job.message:
            job.state = "Failed"
            return
        made: dict[str, int] = {}
        for row in job.rows:
            self._write_row(job, row, made)
        job.rows = []
        job.state = "Complete"
        job.message = _summary(job)

    def _write_row(self, job: Job, row: _Row, made: dict[str, int]) -> None:
        store, settings, at = self._store, self._settings(), job.ends_at
        key = fold(row.values["email"])
        lead_id = row.lead_id if row.lead_id in store.leads else made.get(key)
        if lead_id is not None:
            store.update_lead(store.leads[lead_id], row.values, at)
        else:
            if settings.bulk_sets_acquisition_program:
                row.values["acquisitionProgramId"] = job.program.id
            partition_id = store.partitions[settings.bulk_partition]
            lead_id = store.insert_lead(row.values, partition_id, at, unseen_seconds=settings.visible_after_seconds)
            made[key] = lead_id
        outcome = store.put_member(job.program, lead_id, job.status_name, at)
        member = store.members[job.program.id][lead_id]
        if row.member_values:
            store.write_member_fields(job.program, lead_id, row.member_values, at)
        backward = outcome == "skipped" and member.status != job.status_name.name
        if backward and settings.bulk_fails_backward_rows:
            job.failed.append((row.cells, "Person is already past this program status"))
            return
        job.processed += 1
        if _EMAIL.fullmatch(key) is None:
            job.warned.append((row.cells, "Invalid email address"))

    def _header_problem(self, header: list[str]) -> str | None:
        for name in header:
            field = _column(self._store, name)
            if field is None:
                return f"Import failed, unknown column '{name}'"
            if not field.updateable:
                return f"Import failed, column '{name}' cannot be imported"
        if len(set(header)) != len(header):
            return "Import failed, a column appears twice"
        if "email" not in header:
            return "Import failed, column 'email' is missing"
        return None

    def result_file(self, job: Job, rows: list[tuple[list[str], str]], column: str) -> bytes:
        """Rows with what is said of them in one more column; the header alone if there are none."""
        header = job.header
        blank = bool(rows) and all(len(cells) == len(header) and not cells[-1].strip() for cells, _ in rows)
        if blank and self._settings().bulk_failures_drop_blank_last_column:
            header = header[:-1]
            rows = [(cells[:-1], text) for cells, text in rows]
        out = io.StringIO()
        writer = csv.writer(out, delimiter=job.delimiter, lineterminator="\n")
        writer.writerow([*header, column])
        writer.writerows([*cells, text] for cells, text in rows)
        return out.getvalue().encode()


def _summary(job: Job) -> str:
    count = job.processed
    if job.failed:
        failed = len(job.failed)
        return f"Import completed with errors, {count} records imported ({count} members), {failed} failed"
    text = f"Import succeeded, {count} records imported ({count} members)"
    return f"{text}, {len(job.warned)} warning." if job.warned else text


def _column(store: Store, name: str) -> Field | None:
    """The lead field of that name, else the custom field of the membership."""
    field = store.lead_fields.get(name)
    if field is not None:
        return field
    field = store.member_fields.get(name)
    return field if field is not None and field.importable else None


class _Reader:
    """The header of a file, understood once for all its rows."""

    def __init__(self, store: Store, settings: Settings, header: list[str]) -> None:
        self._store = store
        self._settings = settings
        self._header = header
        self._email = header.index("email")
        self._member_names = [name for name in header if name not in store.lead_fields]
        self._checked: list[tuple[int, int, Field]] = []
        self._typed: list[tuple[str, Field]] = []
        for position, name in enumerate(header):
            table = store.lead_fields if name in store.lead_fields else store.member_fields
            if table[name].data_type != "email":
                self._checked.append((position, table.plain_limit(name), table[name]))
            if table[name].data_type not in TEXT_TYPES and settings.check_values:
                self._typed.append((name, table[name]))

    def read(self, cells: list[str], stripped: list[str]) -> _Row | str:
        """The row, its person looked up; or why it cannot be imported, in the words of the failure file."""
        problem = self._problem(stripped)
        if problem is not None:
            return problem
        store = self._store
        values: Json = dict(zip(self._header, stripped, strict=True))
        for name, field in self._typed:
            values[name] = typed(field, values[name])
        member_values: Json = {name: values.pop(name) for name in self._member_names}
        found = store.index("email").get(values["email"].lower())
        ids = [found] if isinstance(found, int) else list(found or ())
        if not self._settings.sync_sees_new_leads:
            ids = [lead_id for lead_id in ids if store.is_visible(lead_id)]
        if len(ids) > 1 and self._settings.bulk_duplicates == "fail":
            return "Multiple lead match lookup criteria"
        lead_id = max(ids, key=lambda number: store.leads[number].updated_at, default=None)
        return _Row(cells, values, member_values, lead_id)

    def _problem(self, cells: list[str]) -> str | None:
        if len(cells) != len(self._header):
            return "Number of values does not match number of columns"
        email = cells[self._email]
        if not email:
            return "Email Address is missing"
        if not email.isascii():
            return "Invalid characters in field Email Address"
        if not self._settings.check_values:
            return None
        for position, limit, field in self._checked:
            text = cells[position]
            if len(text) > limit and text and value_problem(field, text) is not None:
                return _type_text(field)
        return None


def _type_text(field: Field) -> str:
    if field.data_type in TEXT_TYPES:
        return f"Value too long in field {field.display_name}"
    return f"Invalid data type in field {field.display_name}"
