"""Fields of leads and program members, and whether a value fits one."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

TEXT_TYPES = frozenset({"string", "text", "email", "phone", "url"})
TEXT_AREA_BYTES = 30_000
_NOT_PLAIN = -1
"""In place of a length: the value of such a field needs a closer look, however short it is."""

Problem = tuple[str, str]
"""Record-level code and message."""


class Field(msgspec.Struct, frozen=True):
    """One field, as Describe tells of it.

    Attributes:
        name: REST API name.
        data_type: Marketo's name for it: string, email, integer, score, boolean, date, datetime, ...
        length: longest text in characters; None if there is no such limit.
        updateable: whether a write may name it.
        searchable: whether it works as `filterType`, and as `lookupField`.
        company: belongs to the company record rather than the person (1021).
        importable: whether a file of members may name it, if it is updateable. Files take custom fields of the
            membership only.
    """

    name: str
    display_name: str
    data_type: str = "string"
    length: int | None = None
    updateable: bool = True
    searchable: bool = False
    company: bool = False
    importable: bool = True

    def described(self) -> dict[str, object]:
        """The field as the newer Describe endpoints of leads and of program members show it."""
        length = {} if self.length is None else {"length": self.length}
        return {
            "name": self.name,
            "displayName": self.display_name,
            "dataType": self.data_type,
            **length,
            "updateable": self.updateable,
            "crmManaged": False,
        }


class FieldTable:
    """The fields of one kind of object, with checks made for rows of many fields."""

    def __init__(self, fields: Iterable[Field]) -> None:
        self._fields: dict[str, Field] = {}
        self._plain_texts: dict[str, int] = {}
        self._company: frozenset[str] = frozenset()
        for field in fields:
            self.add(field)

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __iter__(self) -> Iterator[Field]:
        return iter(self._fields.values())

    def __getitem__(self, name: str) -> Field:
        return self._fields[name]

    def get(self, name: str) -> Field | None:
        """The field of that REST name, or None."""
        return self._fields.get(name)

    def add(self, field: Field) -> None:
        """Add a field, or replace the one of that name."""
        self._fields[field.name] = field
        self._plain_texts.pop(field.name, None)
        if field.updateable and field.data_type in TEXT_TYPES and field.data_type != "email":
            self._plain_texts[field.name] = field.length or TEXT_AREA_BYTES // 4
        self._company = frozenset(f.name for f in self._fields.values() if f.company)

    def plain_limit(self, name: str) -> int:
        """Length up to which any text fits the field; -1 where its value needs a closer look."""
        return self._plain_texts.get(name, _NOT_PLAIN)

    def names(self) -> list[str]:
        """REST names in the order of Describe."""
        return list(self._fields)

    def searchable_names(self) -> list[str]:
        """REST names that queries can filter by."""
        return [field.name for field in self._fields.values() if field.searchable]

    def checker(self, ignored: str, check_values: bool) -> Callable[[Mapping[str, Any]], Problem | None]:
        """A function that says why Marketo would refuse a row's fields: 1006, 1003 or 1001, or None.

        Rows of one call mostly have the same members, so that what their names mean is worked out once.

        Args:
            ignored: a key that is not a field here (`id`, `leadId`).
            check_values: False looks at names only.
        """
        fields = self._fields
        shapes: dict[tuple[str, ...], list[int]] = {}

        def check(row: Mapping[str, Any]) -> Problem | None:
            names = tuple(row)
            limits = shapes.get(names)
            if limits is None:
                problem = self._names_problem(names, ignored)
                if problem is not None:
                    return problem
                limits = shapes[names] = [self._plain_texts.get(name, _NOT_PLAIN) for name in names]
            if not check_values:
                return None
            for name, value, limit in zip(names, row.values(), limits, strict=True):
                if value.__class__ is str and len(value) <= limit:
                    continue
                if name != ignored and value is not None and value != "":
                    problem = value_problem(fields[name], value)
                    if problem is not None:
                        return problem
            return None

        return check

    def _names_problem(self, names: Iterable[str], ignored: str) -> Problem | None:
        for name in names:
            field = self._fields.get(name)
            if name == ignored:
                continue
            if field is None:
                return "1006", f"Field '{name}' not found"
            if not field.updateable:
                return "1003", f"Field '{name}' is read only"
        return None

    def has_company_field(self, row: Mapping[str, Any]) -> bool:
        """Whether the row writes a field of the company record."""
        return not self._company.isdisjoint(row)


def value_problem(field: Field, value: object) -> Problem | None:
    """Why `value` does not fit `field`, or None. Null and empty text are not values and not asked about."""
    if isinstance(value, str) and field.data_type == "string" and len(value) <= (field.length or 0):
        return None
    if field.data_type in TEXT_TYPES:
        return _text_problem(field, value)
    if not _FITS[field.data_type](value):
        return "1001", f"Invalid value '{value}'. Required of type '{field.data_type}'"
    return None


def typed(field: Field, text: str) -> object:
    """What a cell of a file is worth in its field: a number, a boolean, or the text itself. The text has to fit."""
    if not text:
        return text
    match field.data_type:
        case "integer" | "score" | "percent" | "reference":
            return int(text)
        case "float" | "currency":
            return float(text)
        case "boolean":
            return text.lower() in {"true", "1"}
        case _:
            return text


def _text_problem(field: Field, value: object) -> Problem | None:
    if not isinstance(value, (str, int, float)):
        return "1001", f"Invalid value '{value}'. Required of type '{field.data_type}'"
    text = str(value)
    if field.data_type == "email" and not text.isascii():
        return "1003", f"Value for field '{field.name}' must hold ASCII characters only"
    if field.length is not None and len(text) > field.length:
        return "1003", f"Value for field '{field.name}' is longer than {field.length} characters"
    if field.data_type == "text" and len(text.encode()) > TEXT_AREA_BYTES:
        return "1003", f"Value for field '{field.name}' is longer than {TEXT_AREA_BYTES} bytes"
    return None


def _is_integer(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return True
    if not isinstance(value, str):
        return False
    digits = value.removeprefix("-")
    return digits.isascii() and digits.isdigit()


def _is_number(value: object) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, (int, float)):
        return True
    if not isinstance(value, str):
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True


def _is_boolean(value: object) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value.lower() in {"true", "false", "1", "0"})


def _is_date(value: object) -> bool:
    if not isinstance(value, str) or len(value) != len("2026-01-31"):
        return False
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_datetime(value: object) -> bool:
    if not isinstance(value, str) or "T" not in value:
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_FITS = {
    "integer": _is_integer,
    "score": _is_integer,
    "percent": _is_integer,
    "reference": _is_integer,
    "float": _is_number,
    "currency": _is_number,
    "boolean": _is_boolean,
    "date": _is_date,
    "datetime": _is_datetime,
}
