"""Bulk Import Program Members: a file of people becomes a job, and the job is asked what became of them.

Source: Adobe, "Bulk program member import". A job creates or updates leads and memberships in one step, for one
program and one status, and names only the rows that failed or were imported with a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.marketo.client import Call, MarketoClient, get
from destination_marketo_programs.marketo.errors import OutcomeUnknownError, UnreachableError
from destination_marketo_programs.marketo.rows import TRIES_FOR_A_FITTING_ANSWER

if TYPE_CHECKING:
    from destination_marketo_programs.marketo.client import Reply

TOO_MANY_IMPORTS = "1016"
MAX_FILE_BYTES = 9_500_000
"""Marketo takes files of "less than 10 MB" without saying which; decimal, with headroom for the multipart frame."""
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
        processed: rows imported, failed ones not among them; None where Marketo does not say.
        failed, warned: rows in the failure and in the warning file; None where Marketo does not say.
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
        read_timeout_seconds=UPLOAD_TIMEOUT_SECONDS,
        handed_back=frozenset({TOO_MANY_IMPORTS}),
    )
    sent_at = client.gate.clock()
    reply = client.send(call)
    status = _read_status(reply)
    if status is None:
        error = OutcomeUnknownError(call.endpoint, "answer names no job", None, reply.request_id)
        error.sent_at = sent_at
        raise error
    return status


def import_status(client: MarketoClient, batch_id: int) -> ImportStatus:
    """`GET /bulk/v1/program/members/import/{batchId}/status.json`. Adobe asks for 5 to 30 seconds between two polls.

    Raises:
        NotFoundError, RefusedError: Marketo does not know this job (any more).
        MarketoError: the call failed.
    """
    call = get("import_status", f"{_IMPORT_PATH}{batch_id}/status.json")
    for _ in range(TRIES_FOR_A_FITTING_ANSWER):
        reply = client.send(call)
        status = _read_status(reply)
        if status is not None and status.batch_id == batch_id:
            return status
    raise UnreachableError(call.endpoint, "answer does not describe the job", None, reply.request_id)


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
        read_timeout_seconds=UPLOAD_TIMEOUT_SECONDS,
        as_text=True,
    )
    return client.send(call).text


def _read_status(reply: Reply) -> ImportStatus | None:
    """The one job that an answer describes; None where it describes none in full."""
    row = reply.result[0] if len(reply.result) == 1 else None
    if not isinstance(row, dict):
        return None
    batch_id, state = _count(row.get("batchId", row.get("importId"))), row.get("status")
    if batch_id is None or state not in _STATES:
        return None
    message = row.get("message")
    return ImportStatus(
        batch_id,
        state,
        _count(row.get("numOfLeadsProcessed")),
        _count(row.get("numOfRowsFailed")),
        _count(row.get("numOfRowsWithWarning")),
        message if isinstance(message, str) else None,
        reply.request_id,
    )


def _count(value: Any) -> int | None:
    """A number that Marketo writes as such or, in `importId`, as text."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
