"""A CSV file as the page exports it, after a spreadsheet has been at it.

Spreadsheets change quoting, separators and encodings, shorten long numbers, drop leading zeros and rewrite dates.
What they did by themselves is told from what a person did, or the row is named.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.report.cells import Number, leaf_cell, leaf_text, parsed, safe_cell
from destination_marketo_programs.report.people import is_email_column
from destination_marketo_programs.report.table import RECORD, RECORD_PREFIX, clipped
from destination_marketo_programs.text import counted, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from destination_marketo_programs.report.cells import Leaf

SEPARATORS = ",;\t"
MAX_CELL = 10_000_000
_SAFE_DIGITS = 15
"""Digits of a number that a spreadsheet keeps."""

_SHORT = re.compile(r"[+-]?\d+(?:[.,]\d+)?[eE][+-]?\d+")
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ].*)?", re.DOTALL)
_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}(?:[T ,]+\d{1,2}[:.]\d{2}.*)?", re.DOTALL)
_BOOLEANS = {"true": True, "false": False, "wahr": True, "falsch": False, "vrai": True, "faux": False}
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class EditError(Exception):
    """A file, or rows of it, that cannot be used. The text names the rows as a spreadsheet numbers them."""


class Row(NamedTuple):
    """The cells of one record.

    Attributes:
        number: of the row in a spreadsheet.
        cells: those of its values, by their paths.
        about: those in front that were read from the record as well: name, email, company.
    """

    number: int
    cells: dict[str, str]
    about: Mapping[str, str] = MappingProxyType({})


class Edits(NamedTuple):
    """Rows by `record_ref`.

    Attributes:
        decimal_comma: whether `1,5` may be a number here.
    """

    rows: dict[str, Row]
    decimal_comma: bool


def read_edits(path: Path) -> Edits:
    """Read the file.

    Raises:
        EditError: it is not such a table; or rows that name no record, or one record twice in two ways.
        OSError: it cannot be read.
    """
    text = _decoded(path.read_bytes())
    separator, table = _table(text)
    header = [title.removeprefix("'").strip() for title in table[0]]
    record = next(i for i, title in enumerate(header) if title.casefold() in _RECORD_TITLES)
    rows: dict[str, Row] = {}
    problems = []
    for number, cells in enumerate(table[1:], 2):
        if not any(cell.strip() for cell in cells):
            continue
        ref = cells[record].strip().removeprefix("'") if len(cells) > record else ""
        if len(cells) > len(header) and any(cells[len(header) :]):
            problems.append(f"Row {number} has more cells than the header. Is a cell with {separator!r} unquoted?")
        elif not ref:
            problems.append(f'Row {number} has nothing in the column "{RECORD}".')
        else:
            values = {
                title[len(RECORD_PREFIX) :]: cell
                for title, cell in zip(header, cells, strict=False)
                if title.startswith(RECORD_PREFIX)
            }
            about = {title: cell for title, cell in zip(header, cells, strict=False) if title in ABOUT}
            row = Row(number, values, about)
            if rows.setdefault(ref, row)[1:] != row[1:]:
                problems.append(f"Rows {rows[ref].number} and {number} are one record with different cells.")
    if problems:
        raise EditError("\n".join(problems))
    return Edits(rows, decimal_comma=separator != ",")


def corrections(row: Row, leaves: Mapping[str, Leaf], *, decimal_comma: bool) -> dict[str, Leaf]:
    """Path -> new value of the cells that a person changed; empty if none did.

    Args:
        row: of the file.
        leaves: of the record as it is stored.
        decimal_comma: see `Edits`.

    Raises:
        EditError: a cell holds what neither the record nor a person wrote.
    """
    changed: dict[str, Leaf] = {}
    for path, cell in row.cells.items():
        if path not in leaves and not cell.strip():
            continue
        try:
            new = _changed(leaves.get(path), cell, decimal_comma=decimal_comma)
        except ValueError as error:
            raise EditError(f'Row {row.number}, column "{RECORD_PREFIX}{path}": {error}') from None
        if not isinstance(new, _Unchanged):
            changed[path] = new
    return changed


class _Unchanged:
    """The cell says what the record says."""


_UNCHANGED = _Unchanged()
ABOUT = ("Name", "Email", "Company")
_RECORD_TITLES = {RECORD.casefold(), "record_ref"}


def _decoded(data: bytes) -> str:
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return data.decode(encoding, "replace")
    if b"\0" in data[:200]:
        return data.decode("utf-16-be" if data[:1] == b"\0" else "utf-16-le", "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _table(text: str) -> tuple[str, list[list[str]]]:
    told = re.match(r'"?sep=(.)"?\r?\n', text)
    body = text[told.end() :] if told else text
    csv.field_size_limit(MAX_CELL)
    for separator in [told[1]] if told else SEPARATORS:
        try:
            table = list(csv.reader(io.StringIO(body, newline=""), delimiter=separator))
        except csv.Error as error:
            raise EditError(f"This file cannot be read as CSV: {error}.") from None
        if table and any(title.removeprefix("'").strip().casefold() in _RECORD_TITLES for title in table[0]):
            return separator, table
    raise EditError(
        f'The first row has no column "{RECORD}". Export the leads as CSV from the page, and keep that column.'
    )


def about_corrections(row: Row, shown: Mapping[str, str | None], leaves: Mapping[str, Leaf]) -> dict[str, str]:
    """Path -> new value of the cells in front that a person changed in place of the record's own.

    Args:
        row: of the file.
        shown: what these cells said when they were exported.
        leaves: of the record as it is stored.

    Raises:
        EditError: nobody can tell which value of the record such a cell stands for.
    """
    changed = {}
    for title, cell in row.about.items():
        before = shown.get(title) or ""
        if _plain(cell) in {_plain(before), _plain(safe_cell(clipped(before)))}:
            continue
        paths = [path for path, leaf in leaves.items() if before and leaf == before]
        if title == "Email" and not paths:
            paths = [path for path in leaves if is_email_column(path)]
        if len(paths) != 1:
            raise EditError(
                f'Row {row.number}, column "{title}": this shows what the record says. '
                f'Correct the column of the record, whose title begins with "{RECORD_PREFIX}".'
            )
        if row.cells.get(paths[0], leaf_cell(leaves[paths[0]])) == leaf_cell(leaves[paths[0]]):
            changed[paths[0]] = cell.strip()
    return changed


def _changed(old: Leaf, cell: str, *, decimal_comma: bool) -> Leaf | _Unchanged:
    shown = leaf_cell(old)
    if _plain(cell) == _plain(shown) or _plain(cell) == _plain(leaf_text(old)):
        return _UNCHANGED
    text = cell[1:] if cell.startswith("'") and safe_cell(cell[1:]) == cell else cell
    if isinstance(old, bool):
        said = _BOOLEANS.get(text.strip().casefold())
        return _UNCHANGED if said is old else text if said is None else said
    if isinstance(old, dict | list):
        return _json(old, text)
    if not text.strip():
        return "" if isinstance(old, str) and not isinstance(old, Number) else None
    if _only_shown_differently(old, text.strip(), decimal_comma=decimal_comma):
        return _UNCHANGED
    if _SHORT.fullmatch(text.strip()) and not _SHORT.fullmatch(leaf_text(old)):
        raise ValueError(f"{quoted(text)} is a number in short form. Format the column as text and write all digits.")
    if _ISO_DATE.fullmatch(leaf_text(old)) and _DATE.fullmatch(text.strip()) and not _ISO_DATE.fullmatch(text.strip()):
        raise ValueError(f"{quoted(text)} is not written as a date was before. Write it like 2026-11-23.")
    if isinstance(old, Number) and (number := _number(text.strip(), decimal_comma=decimal_comma)) is not None:
        return Number(f"{number:f}")
    return text


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _json(old: Leaf, text: str) -> Leaf | _Unchanged:
    try:
        new: Any = parsed(text.encode("utf-8", "replace"))
    except ValueError:
        raise ValueError("it is not valid JSON, which this cell was before.") from None
    return _UNCHANGED if new == old else new


def _only_shown_differently(old: Leaf, text: str, *, decimal_comma: bool) -> bool:
    """Whether a spreadsheet writes the old value so, by itself."""
    before = leaf_text(old).strip()
    if before == text or before.encode("cp1252", "replace").decode("cp1252") == text:
        return True
    if _ISO_DATE.fullmatch(before) and _DATE.fullmatch(text):
        return _same_day(before, text)
    was, now = _number(before, decimal_comma=False), _number(text, decimal_comma=decimal_comma)
    if was is None or now is None:
        return False
    return was == now or _rounded(was, now, short=_SHORT.fullmatch(text) is not None)


def _same_day(before: str, text: str) -> bool:
    """The same numbers in another order: 23.11.2026, 11/23/2026."""
    told = re.match(r"\d{1,4}[./-]\d{1,2}[./-]\d{1,4}", text)
    if told is None or len(before) != len("2026-11-23"):
        return False
    return sorted(map(int, re.split(r"[./-]", told[0]))) == sorted(map(int, before.split("-")))


def _rounded(was: Decimal, now: Decimal, *, short: bool) -> bool:
    """Whether `now` is what a spreadsheet keeps of `was`: the digits of a short form, or the first fifteen."""
    shown = now if short else now.normalize()
    digits = len(shown.as_tuple().digits)
    if not short and (digits > _SAFE_DIGITS or len(was.as_tuple().digits) <= _SAFE_DIGITS):
        return False
    return abs(was - now) <= Decimal(1).scaleb(shown.adjusted() - digits + 1)


def _number(text: str, *, decimal_comma: bool) -> Decimal | None:
    if decimal_comma and "," in text:
        text = text.replace(".", "").replace(",", ".")
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def rows_named(numbers: list[int]) -> str:
    """`Row 5` or `Rows 5, 7 and 9`, cut after twenty."""
    shown = ", ".join(map(str, numbers[:20]))
    more = f" and {counted(len(numbers) - 20, 'more row')}" if len(numbers) > 20 else ""  # noqa: PLR2004 - as above
    return f"{'Row' if len(numbers) == 1 else 'Rows'} {shown}{more}"
