"""Bulk Extract Program Members: all members of some programs, as a file.

Source: Adobe, "Bulk program member extract". A job is created, queued, asked about, and its file fetched. A company has
500 MB a day for all its extracts, ten jobs in the queue and two at work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, NamedTuple, NoReturn

import msgspec

from destination_marketo_programs.marketo.calls import ASSET_TIME_LIMIT_SECONDS, Call, Reply, get
from destination_marketo_programs.marketo.envelope import MisshapenError, as_object, name, number, text
from destination_marketo_programs.marketo.errors import (
    EXTRACT_REFUSED,
    ExportQuotaReachedError,
    ExtractQueueFullError,
    ExtractRefusal,
    MarketoError,
    RefusedError,
    UnreachableError,
    extract_refusal,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from destination_marketo_programs.marketo.client import MarketoClient

MAX_PROGRAMS_PER_EXTRACT = 10
MAX_FILE_BYTES = 500_000_000
"""What Marketo lets a company extract in a day."""
PIECE_BYTES = 65_536
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
        records, size, checksum: rows, bytes and SHA-256 of the file of a completed job, if Marketo says.
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
        client: reads; a job changes no lead, program or membership.
        program_ids: at most `MAX_PROGRAMS_PER_EXTRACT`.
        fields: REST names of member and lead fields; the columns of the file.

    Raises:
        ExtractQueueFullError: no place in the queue within the retry window.
        ExportQuotaReachedError: nothing more can be extracted today.
        RefusedError: with code 1035 if the subscription does not support the filter.
        MarketoError: the call failed.
    """
    body = msgspec.json.encode({"format": "CSV", "fields": fields, "filter": {"programIds": program_ids}})
    return _ask(client, Call("create_extract", "POST", f"{_PATH}/create.json", body=body, changes_nothing=True))


def enqueue_extract(client: MarketoClient, export_id: str) -> ExtractJob:
    """`POST …/{exportId}/enqueue.json`. A job that is queued already is one that is queued.

    Raises:
        ExtractQueueFullError, ExportQuotaReachedError, MarketoError: as `create_extract`.
    """
    call = Call("enqueue_extract", "POST", f"{_PATH}/{export_id}/enqueue.json", changes_nothing=True)
    try:
        return _ask(client, call)
    except _AlreadyQueuedError:
        return extract_status(client, export_id)


def cancel_extract(client: MarketoClient, export_id: str) -> ExtractJob:
    """`POST …/{exportId}/cancel.json`: a job that nobody waits for any more."""
    call = Call("cancel_extract", "POST", f"{_PATH}/{export_id}/cancel.json", changes_nothing=True)
    return client.send(call, _read_job)


def extract_status(client: MarketoClient, export_id: str) -> ExtractJob:
    """`GET …/{exportId}/status.json`. Marketo renews it once a minute at most."""
    return client.send(get("extract_status", f"{_PATH}/{export_id}/status.json"), _read_job)


def extract_file(client: MarketoClient, export_id: str) -> Iterator[bytes]:
    """`GET …/{exportId}/file.json`: the file of a completed job, CSV with a header, in pieces.

    It is fetched as a whole when the first piece is asked for, so that a broken connection can be retried, and kept
    meanwhile in the folder for temporary files, without a name there.

    Raises:
        MarketoError: the call failed.
    """
    call = Call(
        "extract_file",
        "GET",
        f"{_PATH}/{export_id}/file.json",
        time_limit_seconds=ASSET_TIME_LIMIT_SECONDS,
        max_bytes=MAX_FILE_BYTES,
        as_file=True,
    )
    with client.send(call, file_of) as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def file_of(reply: Reply) -> BinaryIO:
    """The file of an `as_file` answer."""
    if reply.file is None:
        raise MisshapenError("the answer is an object and not a file")
    return reply.file


class _AlreadyQueuedError(RefusedError):
    """1029: the job is in the queue."""


def _ask(client: MarketoClient, call: Call) -> ExtractJob:
    """Send a call that needs a place in the queue. A full one is asked again within the retry window."""
    try:
        return client.send(call, _read_job)
    except (RefusedError, UnreachableError) as error:
        if error.code == EXTRACT_REFUSED:
            _raise_kind(error)
        raise


def _raise_kind(error: MarketoError) -> NoReturn:
    kinds: dict[ExtractRefusal, type[MarketoError]] = {
        ExtractRefusal.QUEUE_FULL: ExtractQueueFullError,
        ExtractRefusal.DAILY_QUOTA: ExportQuotaReachedError,
        ExtractRefusal.ALREADY_QUEUED: _AlreadyQueuedError,
    }
    kind = kinds[extract_refusal(error.marketo_message)]
    raise kind(error.endpoint, error.code, error.marketo_message, error.request_id) from None


def _read_job(reply: Reply) -> ExtractJob:
    if len(reply.result) != 1:
        raise MisshapenError(f"{len(reply.result)} jobs in place of one")
    row = as_object(reply.result[0], "result[]")
    return ExtractJob(
        name(row, "exportId"),
        name(row, "status"),
        number(row, "numberOfRecords"),
        number(row, "fileSize"),
        text(row, "fileChecksum") or None,
        text(row, "errorMsg") or None,
    )
