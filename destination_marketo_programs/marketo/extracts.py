"""Bulk Extract Program Members: all members of some programs, as a file.

Source: Adobe, "Bulk program member extract". A job is created, queued, asked about, and its file fetched. A company has
500 MB a day for all its extracts, ten jobs in the queue and two at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from destination_marketo_programs.marketo.client import Call, MarketoClient, get
from destination_marketo_programs.marketo.errors import UnreachableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from destination_marketo_programs.marketo.client import Reply

MAX_PROGRAMS_PER_EXTRACT = 10
_PATH = "/bulk/v1/program/members/export"


class ExtractState:
    """Values of `status` that an extract job takes."""

    CREATED = "Created"
    QUEUED = "Queued"
    PROCESSING = "Processing"
    CANCELLED = "Cancelled"
    COMPLETED = "Completed"
    FAILED = "Failed"


class ExtractJob(NamedTuple):
    """An extract job as Marketo describes it.

    Attributes:
        state: one of `ExtractState`.
        records, size, checksum: rows, bytes and SHA-256 of the file of a completed job, where Marketo says.
        message: Marketo's own text on a failed job, for people.
    """

    export_id: str
    state: str
    records: int | None = None
    size: int | None = None
    checksum: str | None = None
    message: str | None = None


def create_extract(client: MarketoClient, program_ids: Sequence[int], fields: Sequence[str]) -> ExtractJob:
    """`POST /bulk/v1/program/members/export/create.json`: describe a job for at most 10 programs; queues nothing yet.

    Args:
        client: writes nothing in Marketo but the job.
        program_ids: at most `MAX_PROGRAMS_PER_EXTRACT`.
        fields: REST names of member and lead fields; the columns of the file.
    """
    body = msgspec.json.encode({"format": "CSV", "fields": fields, "filter": {"programIds": program_ids}})
    return _job(client.send(Call("create_extract", "POST", f"{_PATH}/create.json", body=body)), "create_extract")


def enqueue_extract(client: MarketoClient, export_id: str) -> ExtractJob:
    """`POST …/{exportId}/enqueue.json`."""
    return _job(client.send(Call("enqueue_extract", "POST", f"{_PATH}/{export_id}/enqueue.json")), "enqueue_extract")


def cancel_extract(client: MarketoClient, export_id: str) -> ExtractJob:
    """`POST …/{exportId}/cancel.json`: a job that nobody waits for any more."""
    return _job(client.send(Call("cancel_extract", "POST", f"{_PATH}/{export_id}/cancel.json")), "cancel_extract")


def extract_status(client: MarketoClient, export_id: str) -> ExtractJob:
    """`GET …/{exportId}/status.json`. Marketo renews it once a minute at most."""
    return _job(client.send(get("extract_status", f"{_PATH}/{export_id}/status.json")), "extract_status")


def extract_file(client: MarketoClient, export_id: str) -> Iterator[bytes]:
    """`GET …/{exportId}/file.json`: the file of a completed job, CSV with a header, in pieces."""
    yield client.send(Call("extract_file", "GET", f"{_PATH}/{export_id}/file.json", as_text=True)).text


def _job(reply: Reply, endpoint: str) -> ExtractJob:
    row = reply.result[0] if len(reply.result) == 1 else None
    if not isinstance(row, dict) or not isinstance(row.get("exportId"), str):
        raise UnreachableError(endpoint, "answer does not describe the job", None, reply.request_id)
    return ExtractJob(
        row["exportId"],
        str(row.get("status") or ""),
        _number(row.get("numberOfRecords")),
        _number(row.get("fileSize")),
        row["fileChecksum"] if isinstance(row.get("fileChecksum"), str) else None,
        row["errorMsg"] if isinstance(row.get("errorMsg"), str) else None,
    )


def _number(value: Any) -> int | None:
    return value if type(value) is int and value >= 0 else None
