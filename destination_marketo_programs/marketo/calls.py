"""What is asked of Marketo, and what a successful answer holds. No network here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import urlencode

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_QUERY_BYTES = 7_000
"""GET requests over 8 KB are refused with 414; host and path take their part of it."""
TIME_LIMIT_SECONDS = 120.0
"""Above the longest limit of Marketo's own for the calls made here (Sync Leads, 90 s)."""
ASSET_TIME_LIMIT_SECONDS = 310.0
MAX_ANSWER_BYTES = 16_000_000
"""Far above any answer to the calls made here; an answer is held in memory as a whole."""


class Call(NamedTuple):
    """One request, without credentials.

    Attributes:
        endpoint: short name for logs and errors; says what the call is for.
        path: from `/rest/...` or `/bulk/...`.
        query: parameters of the address.
        body: JSON text; None for a read.
        form: form parameters, for reads too long for an address.
        files: parts of a multipart upload, name -> (file name, content, media type).
        rows: records in the call, for the decision whether it can be split.
        repeatable: whether executing it twice is harmless.
        time_limit_seconds: for the whole exchange, from connecting to the last byte of the answer.
        max_bytes: longest answer, after decompression.
        as_file: the answer is a file, not an envelope; kept on disk if it is long.
        handed_back: codes that become a RefusedError at once, because the caller waits in a way of its own.
        changes_nothing: a POST that writes nothing to leads, programs or memberships, such as describing an extract.
    """

    endpoint: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    form: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, tuple[str, bytes, str]] | None = None
    rows: int = 0
    repeatable: bool = True
    time_limit_seconds: float = TIME_LIMIT_SECONDS
    max_bytes: int = MAX_ANSWER_BYTES
    as_file: bool = False
    handed_back: frozenset[str] = frozenset()
    changes_nothing: bool = False

    @property
    def can_write(self) -> bool:
        """Whether Marketo's data may be different afterwards; what is not known to be a read may write."""
        return not (self.method == "GET" or ("_method", "GET") in self.query or self.changes_nothing)


class Reply(NamedTuple):
    """A successful answer: `success` was true.

    Attributes:
        result: the `result` member; empty if Marketo left it out.
        request_id: Marketo's id of the call.
        members: the whole envelope (`warnings`, `moreResult`, `nextPageToken`).
        file: the content of an `as_file` answer, at its beginning; closed by whoever reads it.
    """

    result: list[Any]
    request_id: str | None
    members: Mapping[str, Any]
    file: BinaryIO | None = None


def get(endpoint: str, path: str, query: Mapping[str, str] | None = None, *, asset: bool = False) -> Call:
    """A read. Lead-database reads whose query would make the address too long become `POST ?_method=GET`."""
    parameters = tuple((query or {}).items())
    limit = ASSET_TIME_LIMIT_SECONDS if asset else TIME_LIMIT_SECONDS
    if asset or len(encoded(parameters)) <= MAX_QUERY_BYTES:
        return Call(endpoint, "GET", path, parameters, time_limit_seconds=limit)
    return Call(endpoint, "POST", path, (("_method", "GET"),), form=parameters, time_limit_seconds=limit)


def encoded(parameters: tuple[tuple[str, str], ...]) -> str:
    """Parameters as part of an address or as a form. Half a character, which UTF-8 cannot hold, matches nothing."""
    return urlencode(parameters, errors="replace")
