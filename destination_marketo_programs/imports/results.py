"""Result files back to the rows that were sent, and what Marketo's words about a row mean. Pure.

Failure files give a sentence with the field's name on screen and no code, and Adobe lists no such sentences. What no
pattern knows is RECORD_REFUSED: still the right record, with Marketo's own words.

Rows are matched by email alone: Marketo gives no row numbers and promises no order. An email is in a file once, folded
as everywhere here, so that it names one row.
"""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.mapping import fold_address
from destination_marketo_programs.mapping import fold_address as fold
from destination_marketo_programs.outcomes import Category, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from destination_marketo_programs.marketo.bulk_import import ImportStatus

_EMAIL_COLUMNS = ("email", "email address")
_BESIDE_THE_ADDRESS = re.compile(r"[\s\"'<>\u200b\ufeff]+")

csv.field_size_limit(1 << 24)


class Reasons(NamedTuple):
    """A failure or warning file: (email as written, reason) in the file's order; `damaged` where it ends in the air."""

    rows: list[tuple[str, str]]
    damaged: bool = False


class Joined(NamedTuple):
    """A result file matched to rows sent.

    Attributes:
        by_row: row -> reason.
        exact: every line of the file named one row, and no row was named twice.
    """

    by_row: dict[int, str]
    exact: bool


def read_reasons(content: bytes) -> Reasons:
    """Read a failure or warning file; blank lines and a missing header are passed over."""
    text = content.decode("utf-8-sig", errors="replace")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[tuple[str, str]] = []
    email_at = reason_at = -1
    width = 0
    try:
        for cells in reader:
            if not cells:
                continue
            if not width:
                width = len(cells)
                email_at = _place(cells)
                reason_at = width - 1
                continue
            if len(cells) <= max(email_at, 1):
                return Reasons(rows, damaged=True)
            # A line that was broken from the start has another number of cells, and its reason last all the same.
            rows.append((cells[email_at], cells[reason_at] if len(cells) == width else cells[-1]))
    except csv.Error:
        return Reasons(rows, damaged=True)
    return Reasons(rows)


def _place(header: list[str]) -> int:
    names = [name.strip().casefold() for name in header]
    return next((names.index(name) for name in _EMAIL_COLUMNS if name in names), 0)


def join(reasons: Reasons, sent: Collection[int], emails_sent: Callable[[], Iterable[tuple[int, str]]]) -> Joined:
    """Match a result file to the rows sent.

    Args:
        reasons: the file.
        sent: the rows, each the hash of its folded email.
        emails_sent: (row, folded email) of all rows; asked only where some email of the file is in no row as it stands.
    """
    by_row: dict[int, str] = {}
    exact = not reasons.damaged
    strange: list[tuple[str, str]] = []
    for email, reason in reasons.rows:
        row = hash(fold(email))
        if row not in sent:
            strange.append((email, reason))
        elif row in by_row:
            exact = False
        else:
            by_row[row] = reason
    if not strange:
        return Joined(by_row, exact)
    bare = _unique((_bare(email), row) for row, email in emails_sent())
    for email, reason in strange:
        found = bare.get(_bare(email))
        if found is None or found in by_row:
            exact = False
        else:
            by_row[found] = reason
    return Joined(by_row, exact)


def _bare(email: str) -> str:
    """The address without what a spreadsheet, a quoting rule or a cautious export may have put around it."""
    return fold_address(_BESIDE_THE_ADDRESS.sub("", unicodedata.normalize("NFKC", email)))


def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int | None]:
    places: dict[str, int | None] = {}
    for name, row in pairs:
        places[name] = None if name in places else row
    return places


def adds_up(status: ImportStatus, sent: int, failures: Joined) -> bool:
    """Whether every row sent is accounted for: imported or named as failed."""
    return (
        failures.exact
        and status.failed == len(failures.by_row)
        and status.processed is not None
        and status.processed + status.failed == sent
    )


class RowRefusal(NamedTuple):
    """Why a row was not imported.

    Attributes:
        refusal: None for a person who is already in the status or past it.
        message: Marketo's text, unchanged.
        of_person: whether the same would happen with every other program.
    """

    refusal: Refusal | None
    message: str
    of_person: bool = True


_ROW_PATTERNS: tuple[tuple[re.Pattern[str], Category | None], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), category)
    for pattern, category in (
        (r"already (?:in|past|in or past)\b.*status|past this (?:program )?status", None),
        (r"multiple (?:people|persons?|leads?|records?)|duplicate", Category.DUPLICATE_LEADS),
        (r"partition|workspace", Category.PARTITION_DENIED),
        (r"(?:program|member|progression) status.*(?:not|invalid|unknown)", Category.STATUS_NOT_FOUND),
        (r"(?:invalid|unknown|not found).*(?:program|member|progression) status", Category.STATUS_NOT_FOUND),
        (r"invalid e-?mail|e-?mail address (?:is )?(?:missing|invalid|empty)|field e-?mail", Category.INVALID_EMAIL),
        (
            r"(?:in|for) (?:the )?field\b|data type|value (?:is )?too long|invalid value|field .*(?:not|cannot)",
            Category.FIELD_INVALID,
        ),
    )
)


def row_refusal(text: str, request_id: str | None) -> RowRefusal:
    """What a sentence of a failure file means."""
    for pattern, category in _ROW_PATTERNS:
        if pattern.search(text):
            if category is None:
                return RowRefusal(None, text)
            refusal = Refusal(category, None, text, request_id)
            return RowRefusal(refusal, text, of_person=category is not Category.STATUS_NOT_FOUND)
    return RowRefusal(Refusal(Category.RECORD_REFUSED, None, text, request_id), text)
