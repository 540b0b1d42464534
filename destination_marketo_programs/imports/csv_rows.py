"""A person as one line of an import file. Pure.

Records with different sets of fields never share a file: a column that a record has no value for would be an empty
cell, and an empty cell clears the field.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from destination_marketo_programs.model import Person

EMAIL = "email"
STANDARD_MEMBER_FIELDS = frozenset(
    name.casefold()
    for name in (
        "acquiredBy",
        "attendanceLikelihood",
        "createdAt",
        "isExhausted",
        "leadId",
        "membershipDate",
        "nurtureCadence",
        "program",
        "programId",
        "reachedSuccess",
        "reachedSuccessDate",
        "registrationLikelihood",
        "statusName",
        "statusReason",
        "trackName",
        "updatedAt",
        "waitlistPriority",
    )
)  # fmt: skip - a list of names
"""Fields that every membership has. Files take custom fields of the membership only."""


class Shape(NamedTuple):
    """The columns of a file: `email`, lead fields, membership fields.

    Attributes:
        columns: REST API names in the file's order.
        lead_fields: how many of them, behind the email, are fields of the lead.
    """

    columns: tuple[str, ...]
    lead_fields: int

    @property
    def has_member_fields(self) -> bool:
        """Whether there are membership fields among them."""
        return len(self.columns) > 1 + self.lead_fields

    def header(self) -> bytes:
        """The file's first line."""
        return csv_line(self.columns)


class FileRow(NamedTuple):
    """One line of a file, line end included."""

    shape: Shape
    line: bytes


class RowMaker:
    """Makes lines; knows each set of columns once."""

    def __init__(self) -> None:
        self._shapes: dict[tuple[tuple[str, ...], tuple[str, ...]], Shape | None] = {}

    def row_of(self, person: Person) -> FileRow | None:
        """The person's line, or None for a person who can only go over REST.

        That is one with a Marketo id (a file finds people by email only), without email, with a guarded field, with a
        blank (whether an empty cell clears a field is documented nowhere), with a standard field of the membership,
        with a column name that means two fields, or with a value that is not text in a file.
        """
        if person.marketo_id is not None or not person.lookup_value or person.if_blank or person.on_create:
            return None
        names = (tuple(person.fields), tuple(person.member_fields))
        try:
            shape = self._shapes[names]
        except KeyError:
            shape = self._shapes[names] = _shape(*names)
        if shape is None:
            return None
        try:
            cells = [str(person.lookup_value)]
            for fields in (person.fields, person.member_fields):
                cells += [value if value.__class__ is str and value else _cell(value) for value in fields.values()]
            return FileRow(shape, csv_line(cells))
        except (TypeError, UnicodeEncodeError):
            return None


def _shape(lead_fields: tuple[str, ...], member_fields: tuple[str, ...]) -> Shape | None:
    if any(name.casefold() in STANDARD_MEMBER_FIELDS for name in member_fields):
        return None
    columns = (EMAIL, *lead_fields, *member_fields)
    # Column names are compared as Marketo might: without regard to case.
    if len({name.casefold() for name in columns}) != len(columns):
        return None
    return Shape(columns, len(lead_fields))


def _cell(value: Any) -> str:
    """A JSON scalar as text.

    Raises:
        TypeError: for anything but a scalar, and for a blank.
    """
    match value:
        case None:
            raise TypeError("a blank")
        case bool():
            return "true" if value else "false"
        case str() if value:
            return value
        case int() | float():
            return repr(value)
        case _:
            raise TypeError(type(value).__name__)


def csv_line(cells: list[str] | tuple[str, ...]) -> bytes:
    """One line as RFC 4180 has it, in UTF-8.

    Raises:
        UnicodeEncodeError: a lone surrogate.
    """
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue().encode()


def read_csv_line(line: bytes) -> list[str]:
    """The cells of a line that `csv_line` made."""
    return next(csv.reader(io.StringIO(line.decode(), newline="")))
