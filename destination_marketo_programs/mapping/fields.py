"""From a record's columns to Marketo's fields: which values are sent, and in which form."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from destination_marketo_programs.mapping.columns import ABSENT, Column, Record
from destination_marketo_programs.mapping.errors import RecordError
from destination_marketo_programs.mapping.texts import text_of
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    from destination_marketo_programs.model import LeadFields


class WritableField(NamedTuple):
    """What Marketo's describe says of a field that can be written.

    Attributes:
        data_type: Marketo's `dataType`, e.g. `string`, `integer`, `boolean`, `date`.
        length: most characters it takes; None where describe gives none.
    """

    data_type: str
    length: int | None = None


class FieldCatalog(msgspec.Struct, frozen=True):
    """The fields that Marketo lists as writable, by REST API name; None where that is not known.

    Source: Describe Lead 2 (`fields[].updateable`) and Describe Program Member.
    """

    lead: Mapping[str, WritableField] | None = None
    member: Mapping[str, WritableField] | None = None


Convert = Callable[[Any], Any]


class FieldRule(msgspec.Struct, frozen=True, gc=False):
    """One column and the Marketo field that it goes to.

    Attributes:
        field: Marketo's REST API name.
        convert: brings a value into the form of the field's type.
    """

    column: Column
    field: str
    convert: Convert

    def put(self, value: Any, fields: LeadFields, *, clear_blanks: bool) -> None:
        """Convert a value and put it where it goes, as `FieldRules.collect` says."""
        if value is ABSENT:
            return
        scalar = sendable(value, self.column.origin)
        if scalar is not None:
            fields[self.field] = self.convert(scalar)
        elif clear_blanks:
            fields[self.field] = None


class FieldRules:
    """All columns that go to the fields of one Marketo object.

    Args:
        columns: Marketo's REST API name -> the column that fills it.
        writable: the object's fields as Marketo lists them, None where that is not known.
        clear_blanks: whether null and blank values become None, which clears the field in Marketo. A column
            that the record does not have is left out in any case; a JMESPath that finds nothing is null.
    """

    def __init__(
        self,
        columns: Mapping[str, Column],
        writable: Mapping[str, WritableField] | None,
        *,
        clear_blanks: bool,
    ) -> None:
        self._clear_blanks = clear_blanks
        plain: list[tuple[str, str, FieldRule]] = []
        others: list[FieldRule] = []
        for field, column in columns.items():
            known = writable.get(field) if writable is not None else None
            convert = converter(known.data_type) if known is not None else _as_is
            rule = FieldRule(column, field, convert)
            if column.reader is None and convert in {_as_is, _to_text}:
                plain.append((column.name, field, rule))
            else:
                others.append(rule)
        # Plain tuples: unpacking one of a named type takes three times as long, for each field of each record.
        self._plain = tuple(plain)
        self._others = tuple(others)

    def collect(self, record: Record) -> LeadFields:
        """Read all fields of a record.

        Raises:
            RecordError: FIELD_INVALID for a value of a shape no field can take, INVALID_RECORD for one that
                cannot be sent at all.
        """
        fields: LeadFields = {}
        get = record.get
        for column, field, rule in self._plain:
            value = get(column, ABSENT)
            # ASCII text whose first character sorts behind the space is neither blank nor a broken surrogate.
            if type(value) is str and value >= "!" and value.isascii():
                fields[field] = value
            else:
                rule.put(value, fields, clear_blanks=self._clear_blanks)
        for rule in self._others:
            rule.put(rule.column.read(record), fields, clear_blanks=self._clear_blanks)
        return fields


def sendable(value: Any, origin: str) -> str | int | float | bool | None:
    """The JSON scalar that can go into a Marketo field; None for null and blank values.

    A list of scalars becomes one text joined by `;`, which is how Marketo takes several values in one field.

    Raises:
        RecordError: as `FieldRules.collect` says.
    """
    if value is None or isinstance(value, int):  # bool is an int
        return value
    if isinstance(value, str):
        if not value or value.isspace():
            return None
        if not value.isascii():
            _require_unicode(value, origin)
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise RecordError(Category.INVALID_RECORD, f"{origin} holds NaN or an infinity.")
        return value
    if isinstance(value, list):
        return _joined(value, origin)
    raise RecordError(Category.FIELD_INVALID, f"{origin} holds an object, which no Marketo field can take.")


def _joined(values: list[Any], origin: str) -> str | None:
    texts: list[str] = []
    for value in values:
        if isinstance(value, list):
            raise RecordError(
                Category.FIELD_INVALID,
                f"{origin} holds a list within a list, which no Marketo field can take.",
            )
        scalar = sendable(value, origin)
        text = text_of(scalar)
        if text is not None:
            texts.append(text)
    return ";".join(texts) or None


def _require_unicode(text: str, origin: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise RecordError(
            Category.INVALID_RECORD, f"{origin} holds half of a surrogate pair, which is no text."
        ) from None


def converter(data_type: str) -> Convert:
    """The lossless conversion into a Marketo data type.

    What cannot be converted without loss passes unchanged: Marketo then names the mistake (code 1001).
    """
    return _CONVERTERS.get(data_type.lower(), _as_is)


_WHOLE: Final = re.compile(r"([+-]?[0-9]{1,18})(?:\.0*)?", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?", re.ASCII)
_MOST_EXACT_DIGITS: Final = 15
_MIDNIGHT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?", re.ASCII
)
_TRUTHS: Final = {"true": True, "false": False, "1": True, "0": False}


def _as_is(value: Any) -> Any:
    return value


def _to_text(value: Any) -> Any:
    return text_of(value)


def _to_whole(value: Any) -> Any:
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value.strip())):
        return int(match[1])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _to_decimal(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        if _DECIMAL.fullmatch(text) and sum(map(str.isdigit, text)) <= _MOST_EXACT_DIGITS:
            return float(text)
    return value


def _to_boolean(value: Any) -> Any:
    text = text_of(value)
    return value if text is None else _TRUTHS.get(text.strip().lower(), value)


def _to_date(value: Any) -> Any:
    if isinstance(value, str) and (match := _MIDNIGHT.fullmatch(value.strip())):
        return match[1]
    return value


_CONVERTERS: Final[dict[str, Convert]] = {
    **dict.fromkeys(("integer", "score", "percent"), _to_whole),
    **dict.fromkeys(("float", "currency"), _to_decimal),
    **dict.fromkeys(("string", "text", "textarea", "email", "phone", "url"), _to_text),
    "boolean": _to_boolean,
    "date": _to_date,
}
