"""Bulk Import Program Members: a file of people becomes a job, and the job is asked what happened to them.

Source: Adobe, "Bulk program member import". A job creates or updates leads and memberships in one step, for one
program and one status, and names only the rows that failed or were imported with a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.marketo.calls import Call, Reply, get
from destination_marketo_programs.marketo.envelope import MisshapenError, as_object, number, text
from destination_marketo_programs.marketo.extracts import file_of

if TYPE_CHECKING:
    from destination_marketo_programs.marketo.client import MarketoClient

TOO_MANY_IMPORTS = "1016"
MAX_FILE_BYTES = 9_500_000
"""Marketo takes files of "less than 10 MB" without saying which; decimal, with headroom for the multipart frame."""
MAX_RESULT_BYTES = 64_000_000
"""A result file repeats rows of a file below 10 MB, each with a reason."""
UPLOAD_TIMEOUT_SECONDS = 310.0
"""Marketo documents no limit for bulk endpoints; as long as the longest it documents for any other."""
_IMPORT_PATH = "/bulk/v1/program/members/import/"


class JobState:
    """Values of `status` that an import job takes."""

    QUEUED = "Queued"
    IMPORTING = "Importing"
    COMPLETE = "Complete"
    FAILED = "Failed"


_STATES = frozenset({JobState.QUEUED, JobState.IMPORTING, JobState.COMPLETE, JobState.FAILED})


class ImportStatus(NamedTuple):
    """An import job as Marketo describes it.

    Attributes:
        batch_id: the job's number, good for seven days.
        state: one of `JobState`. `Complete` does not mean that every row was imported.
        processed: rows imported, failed ones not among them; None if Marketo does not say.
        failed, warned: rows in the failure and in the warning file; None if Marketo does not say.
        message: Marketo's own text, for people.
    """

    batch_id: int
    state: str
    processed: int | None
    failed: int | None
    warned: int | None
    message: str | None
    request_id: str | None


def create_import(client: MarketoClient, program_id: int, status_name: str, file: bytes, rows: int) -> ImportStatus:
    """`POST /bulk/v1/program/{id}/members/import.json`: upload a CSV file (below 10 MB) and queue a job.

    Executing it twice ends in the same members: the import is an upsert by email, and a status only moves forward.
    But the second job may run beside the first, which is Marketo's documented way to two leads for one new person, so
    that a lost answer is handed to the caller, who repeats it with a distance.

    Raises:
        OutcomeUnknownError: a job may have been queued.
        RefusedError: with code 1016 where the queue is full; it is not retried here, because others' jobs may take
            longer than any retry window.
        TooLargeError: the file is too large for Marketo.
        MarketoError: the call failed.
    """
    call = Call(
        "create_import",
        "POST",
        f"/bulk/v1/program/{program_id}/members/import.json",
        (("format", "csv"), ("programMemberStatus", status_name)),
        files={"file": ("members.csv", file, "text/csv")},
        rows=rows,
        repeatable=False,
        time_limit_seconds=UPLOAD_TIMEOUT_SECONDS,
        handed_back=frozenset({TOO_MANY_IMPORTS}),
    )
    return client.send(call, _read_status)


def import_status(client: MarketoClient, batch_id: int) -> ImportStatus:
    """`GET /bulk/v1/program/members/import/{batchId}/status.json`. Adobe asks for 5 to 30 seconds between two polls.

    Raises:
        NotFoundError, RefusedError: Marketo does not know this job (any more).
        MarketoError: the call failed.
    """

    def read(reply: Reply) -> ImportStatus:
        status = _read_status(reply)
        if status.batch_id != batch_id:
            raise MisshapenError("the answer describes another job")
        return status

    return client.send(get("import_status", f"{_IMPORT_PATH}{batch_id}/status.json"), read)


def import_failures(client: MarketoClient, batch_id: int) -> bytes:
    """Rows that failed: the file's columns and `Import Failure Reason`, as CSV."""
    return _file(client, batch_id, "failures")


def import_warnings(client: MarketoClient, batch_id: int) -> bytes:
    """Rows that were imported with a warning: the file's columns and `Import Warning Reason`, as CSV."""
    return _file(client, batch_id, "warnings")


def _file(client: MarketoClient, batch_id: int, kind: str) -> bytes:
    call = Call(
        f"import_{kind}",
        "GET",
        f"{_IMPORT_PATH}{batch_id}/{kind}.json",
        time_limit_seconds=UPLOAD_TIMEOUT_SECONDS,
        max_bytes=MAX_RESULT_BYTES,
        as_file=True,
    )
    with client.send(call, file_of) as file:
        return file.read()


def _read_status(reply: Reply) -> ImportStatus:
    """The one job that an answer describes."""
    if len(reply.result) != 1:
        raise MisshapenError(f"{len(reply.result)} jobs in place of one")
    row = as_object(reply.result[0], "result[]")
    batch_id = number(row, "batchId" if row.get("batchId") is not None else "importId")
    state = text(row, "status")
    if batch_id is None or state not in _STATES:
        raise MisshapenError("the answer names no job" if batch_id is None else "`status` is none of a job's")
    return ImportStatus(
        batch_id,
        state,
        _count(row, "numOfLeadsProcessed"),
        _count(row, "numOfRowsFailed"),
        _count(row, "numOfRowsWithWarning"),
        text(row, "message") or None,
        reply.request_id,
    )


def _count(row: dict[str, object], member: str) -> int | None:
    """A counter; None if Marketo does not say, or says what cannot be."""
    value = number(row, member)
    return value if value is not None and value >= 0 else None
