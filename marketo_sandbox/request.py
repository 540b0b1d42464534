"""A call as the endpoints see it, and their answers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import ApiError
from .faults import NO_FAULT, Fault
from .settings import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from .calls import Call
    from .settings import Service


class Answer(msgspec.Struct):
    """What an endpoint gives back.

    Attributes:
        result: the envelope's `result`; None leaves it out.
        warnings: the envelope's `warnings`; None leaves it out.
        asset: whether to add the asset API's always present `errors` and `warnings`.
        more: `moreResult`; None leaves it out.
        next_page_token: `nextPageToken`; None leaves it out.
        file: a delimited file in place of the JSON envelope.
        file_range: first byte, last byte and size of the whole, where `file` is only a part of it.
    """

    result: list[dict[str, Any]] | None = None
    warnings: list[str] | None = None
    asset: bool = False
    more: bool | None = None
    next_page_token: str | None = None
    file: bytes | None = None
    file_range: tuple[int, int, int] | None = None


class Request(msgspec.Struct):
    """A call that has passed the gateway.

    Attributes:
        path_ids: numbers or names taken from the path, in order.
        query: query parameters, or form fields of a POST with `_method=GET`.
        body: raw body of a POST.
        content_type: the `Content-Type` header, with parameters.
        service: who calls.
        call: its entry in the log; endpoints note records, keys and codes in it.
        log_keys: whether they are to note keys.
        fault: refuse rows or jobs as this says.
        range: the `Range` header, for files.
        work_seconds: how long the call works beyond the usual latency; endpoints say so while they prepare.
    """

    path_ids: tuple[str, ...]
    query: dict[str, str]
    body: bytes
    content_type: str
    service: Service
    call: Call
    log_keys: bool = True
    fault: Fault = NO_FAULT
    range: str = ""
    work_seconds: float = 0.0

    def path_id(self) -> int:
        """The first id in the path, which the route only matches as digits."""
        return int(self.path_ids[0])

    def json_object(self, allowed: frozenset[str]) -> dict[str, Any]:
        """The body as an object with none but the allowed members.

        Raises:
            ApiError: 612, 609, or 1003 for a member that the endpoint does not have.
        """
        if self.content_type.partition(";")[0].strip().lower() != "application/json":
            raise ApiError("612")
        try:
            body = msgspec.json.decode(self.body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise ApiError("609") from None
        if not isinstance(body, dict):
            raise ApiError("609")
        unknown = sorted(set(body) - allowed)
        if unknown:
            raise ApiError("1003", f"Unknown parameter '{unknown[0]}'")
        return body

    def rows(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        """The `input` of a write, 1 to 300 objects.

        Raises:
            ApiError: 1002 if missing or empty, 1003 if too long or not objects.
        """
        rows = body.get("input")
        if rows is None or rows == []:
            raise ApiError("1002", "Missing value for required parameter 'input'")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ApiError("1003", "Parameter 'input' must be a list of objects")
        if len(rows) > MAX_ROWS_PER_CALL:
            raise ApiError("1003", f"Parameter 'input' has more than {MAX_ROWS_PER_CALL} records")
        self.call.records = len(rows)
        return rows

    def text(self, body: dict[str, Any], name: str, default: str | None = None) -> str | None:
        """A text member of the body.

        Raises:
            ApiError: 1001 for a value that is not text.
        """
        value = body.get(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise ApiError("1001", f"Invalid value '{value}'. Required of type 'string'")
        return value

    def required(self, name: str) -> str:
        """A query parameter that has to be there.

        Raises:
            ApiError: 1002.
        """
        value = self.query.get(name, "")
        if not value:
            raise ApiError("1002", f"Missing value for required parameter '{name}'")
        return value

    def filter_values(self) -> list[str]:
        """The `filterValues` of a query, at most 300, blanks dropped.

        Raises:
            ApiError: 1002 or 1003.
        """
        values = [value.strip() for value in self.required("filterValues").split(",")]
        if len(values) > MAX_ROWS_PER_CALL:
            raise ApiError("1003", f"Parameter 'filterValues' has more than {MAX_ROWS_PER_CALL} values")
        self.call.records = len(values)
        return [value for value in values if value]

    def number(self, name: str, default: int, most: int, least: int = 1) -> int:
        """A whole number from the query.

        Raises:
            ApiError: 1001 for no number, 1003 out of range.
        """
        text = self.query.get(name)
        if text is None or text == "":
            return default
        if not text.isascii() or not text.isdigit():
            raise ApiError("1001", f"Invalid value '{text}'. Required of type 'integer'")
        if not least <= int(text) <= most:
            raise ApiError("1003", f"Parameter '{name}' must be {least} to {most}")
        return int(text)

    def names(self, name: str, default: tuple[str, ...]) -> list[str]:
        """A comma-separated list from the query."""
        text = self.query.get(name, "")
        return [part.strip() for part in text.split(",") if part.strip()] or list(default)

    def note_codes(self, rows: list[dict[str, Any]]) -> None:
        """Count the record-level codes of a result in the log."""
        codes: dict[str, int] = {}
        for row in rows:
            if "reasons" in row:
                code = row["reasons"][0]["code"]
                codes[code] = codes.get(code, 0) + 1
        self.call.row_codes = codes


def moment(text: str) -> float:
    """Seconds since 1970 of an ISO 8601 time; UTC where it names no zone.

    Raises:
        ApiError: 1003 for anything else.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ApiError("1003", f"Invalid date format '{text}'") from None
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp()
