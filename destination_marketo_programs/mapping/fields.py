"""From a record's columns to Marketo's fields: which values are sent, and in which form."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from destination_marketo_programs.mapping.columns import ABSENT, Column, Record, RecordError
from destination_marketo_programs.mapping.values import holds_unreadable, is_whole, shown, text_of
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    from destination_marketo_programs.model import LeadFields
    from destination_marketo_programs.outcomes import Detail

LONGEST_VALUE: Final = 250_000
"""Characters of one value: at four bytes each they fill the body of a call, which Marketo bounds at 1 MB."""

_OPT_OUTS: Final = frozenset({"unsubscribed", "donotcall", "marketingsuspended", "blacklisted", "emailinvalid"})


class WritableField(NamedTuple):
    """What Marketo's describe says of a field that can be written.

    Attributes:
        data_type: Marketo's `dataType`, e.g. `string`, `integer`, `boolean`, `date`.
        length: most characters it takes; None if describe gives none.
    """

    data_type: str
    length: int | None = None


class FieldCatalog(msgspec.Struct, frozen=True):
    """The fields that Marketo lists as writable, by REST API name; None if that is not known.

    Source: Describe Lead 2 (`fields[].updateable`) and Describe Program Member.
    """

    lead: Mapping[str, WritableField] | None = None
    member: Mapping[str, WritableField] | None = None


Guard = Literal["always", "on_create", "if_blank", "only_true"]
"""When a field is written: see `field_mappings[].write`."""


def guard_of(write: str, marketo_field: str) -> Guard:
    """The guard that a `write` setting means for a field: `auto` is `only_true` for opt-outs, else `always`.

    A source that says "not unsubscribed" of everyone must not undo what a person has asked for.
    """
    match write:
        case "on_create" | "if_blank" | "only_true" | "always":
            return write
        case _:
            return "only_true" if marketo_field.casefold() in _OPT_OUTS else "always"


class FieldSource(NamedTuple):
    """A column, and the Marketo field that it fills.

    Attributes:
        marketo_object: `lead` or `program_member`.
        marketo_field: REST API name.
        guard: `on_create` and `if_blank` are for the lead only.
    """

    column: Column
    marketo_object: str
    marketo_field: str
    guard: Guard = "always"


Convert = Callable[[Any], Any]


class FieldRule(msgspec.Struct, frozen=True, gc=False):
    """One column and the Marketo field that it goes to.

    Attributes:
        field: Marketo's REST API name.
        convert: brings a value into the form of the field's type.
        longest: most characters that a text may have.
        only_true: whether false values are left out.
        takes_text: whether a text is sent as it is.
    """

    column: Column
    field: str
    convert: Convert
    longest: int
    only_true: bool
    takes_text: bool

    def put(self, value: Any, fields: LeadFields, *, clear_blanks: bool) -> None:
        """Convert a value and put it where it goes, as `FieldRules.collect` says."""
        if value is ABSENT:
            return
        scalar = sendable(value, self.column, self.field)
        if scalar is None:
            if clear_blanks and not self.only_true:
                fields[self.field] = None
            return
        converted = plain_number(self.convert(scalar))
        if self.only_true and _is_false(converted):
            return
        if isinstance(converted, str) and len(converted) > self.longest:
            what = f"a text longer than the {self.longest:,} characters that {self.field} takes."
            raise _unusable(Category.FIELD_INVALID, self.column, what, self.field, value)
        fields[self.field] = converted


class FieldRules:
    """All columns that go to the fields of one Marketo object under one guard.

    Args:
        sources: at most one for each field.
        writable: the object's fields as Marketo lists them, None if that is not known.
        clear_blanks: whether null and blank values become None, which clears the field in Marketo. A column
            that the record does not have is left out in any case; a JMESPath that finds nothing is null.
    """

    def __init__(
        self,
        sources: Iterable[FieldSource],
        writable: Mapping[str, WritableField] | None,
        *,
        clear_blanks: bool,
    ) -> None:
        self._clear_blanks = clear_blanks
        plain: list[tuple[str, str, int, FieldRule]] = []
        others: list[FieldRule] = []
        for column, _, field, guard in sources:
            known = writable.get(field) if writable is not None else None
            only_true = guard == "only_true"
            default = _to_boolean if only_true else _as_is
            convert = converter(known.data_type) if known is not None else default
            longest = LONGEST_VALUE
            if known is not None and known.length is not None and convert is _to_text:
                longest = min(longest, known.length)
            takes_text = not only_true and convert in {_as_is, _to_text}
            rule = FieldRule(column, field, convert, longest, only_true, takes_text)
            if column.reader is None and takes_text:
                plain.append((column.name, field, longest, rule))
            else:
                others.append(rule)
        # Plain tuples: unpacking one of a named type takes three times as long, for each field of each record.
        self._plain = tuple(plain)
        self._others = tuple(others)

    def collect(self, record: Record) -> LeadFields:
        """Read all fields of a record.

        Raises:
            RecordError: FIELD_INVALID for a value that its field cannot take, INVALID_RECORD for one that
                cannot be sent at all.
        """
        fields: LeadFields = {}
        get = record.get
        for column, field, longest, rule in self._plain:
            value = get(column, ABSENT)
            # ASCII text whose first character sorts behind the space is neither blank nor a broken surrogate.
            if type(value) is str and value >= "!" and value.isascii() and len(value) <= longest:
                fields[field] = value
            else:
                rule.put(value, fields, clear_blanks=self._clear_blanks)
        for rule in self._others:
            value = rule.column.read(record)
            if (
                type(value) is str
                and rule.takes_text
                and value >= "!"
                and value.isascii()
                and len(value) <= rule.longest
            ):
                fields[rule.field] = value
            else:
                rule.put(value, fields, clear_blanks=self._clear_blanks)
        return fields


def field_detail(field: str, value: object) -> Detail:
    """What an outcome says of a value that its field does not take."""
    return {"field": field, "value": shown(value)}


def sendable(value: Any, column: Column, field: str) -> str | int | float | bool | Decimal | None:
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
            _require_unicode(value, column, field)
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise _unusable(Category.INVALID_RECORD, column, "NaN or an infinity.", field, value)
        return value
    if isinstance(value, Decimal):
        return value
    if holds_unreadable(value):
        raise column.unreadable()
    if isinstance(value, list):
        return _joined(value, column, field)
    raise _unusable(Category.FIELD_INVALID, column, "an object, which no Marketo field can take.", field, value)


def _unusable(category: Category, column: Column, what: str, field: str, value: object) -> RecordError:
    return RecordError(category, f"{column.origin} holds {what}", field_detail(field, value))


def _joined(values: list[Any], column: Column, field: str) -> str | None:
    texts: list[str] = []
    for value in values:
        if isinstance(value, list):
            what = "a list within a list, which no Marketo field can take."
            raise _unusable(Category.FIELD_INVALID, column, what, field, values)
        scalar = sendable(value, column, field)
        text = text_of(scalar)
        if text is not None:
            texts.append(text)
    return ";".join(texts) or None


def _require_unicode(text: str, column: Column, field: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        what = "half of a surrogate pair, which is not text."
        raise _unusable(Category.INVALID_RECORD, column, what, field, text) from None


def converter(data_type: str) -> Convert:
    """The lossless conversion into a Marketo data type.

    What cannot be converted without loss passes unchanged: Marketo then names the mistake (code 1001).
    """
    return _CONVERTERS.get(data_type.lower(), _as_is)


_WHOLE: Final = re.compile(r"([+-]?[0-9]{1,18})(?:\.0*)?", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?", re.ASCII)
_MOST_EXACT_DIGITS: Final = 15
_MOST_WHOLE_DIGITS: Final = 18
_MIDNIGHT: Final = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]00:00(?::00(?:\.0+)?)?(?:Z|[+-][0-9]{2}:?[0-9]{2})?", re.ASCII
)
_TRUTHS: Final = {
    **dict.fromkeys(("true", "yes", "on", "y", "1"), True),
    **dict.fromkeys(("false", "no", "off", "n", "0"), False),
}


def _as_is(value: Any) -> Any:
    return value


def _to_text(value: Any) -> Any:
    return text_of(value)


def _to_whole(value: Any) -> Any:
    if isinstance(value, str) and (match := _WHOLE.fullmatch(value.strip())):
        return int(match[1])
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Decimal) and value.adjusted() < _MOST_WHOLE_DIGITS and is_whole(value):
        return int(value)
    return value


def _to_decimal(value: Any) -> Any:
    if isinstance(value, Decimal):
        return _float(value)
    if isinstance(value, str):
        text = value.strip()
        if _DECIMAL.fullmatch(text) and sum(map(str.isdigit, text)) <= _MOST_EXACT_DIGITS:
            return float(text)
    return value


def _float(number: Decimal) -> Any:
    nearest = float(number)
    return nearest if math.isfinite(nearest) else number


def plain_number(value: Any) -> Any:
    """A converted value as JSON takes it: a number whose digits a double would not keep becomes text."""
    if isinstance(value, Decimal):
        nearest = float(value)
        return nearest if math.isfinite(nearest) and Decimal(repr(nearest)) == value else text_of(value)
    return value


def _to_boolean(value: Any) -> Any:
    text = text_of(value)
    return value if text is None else _TRUTHS.get(text.strip().lower(), value)


def _is_false(value: Any) -> bool:
    return _to_boolean(value) is False


def _to_date(value: Any) -> Any:
    if isinstance(value, str) and (match := _MIDNIGHT.fullmatch(value.strip())):
        return match[1]
    return value


_CONVERTERS: Final[dict[str, Convert]] = {
    **dict.fromkeys(("integer", "score", "percent", "reference"), _to_whole),
    **dict.fromkeys(("float", "currency"), _to_decimal),
    **dict.fromkeys(("string", "text", "textarea", "email", "phone", "url"), _to_text),
    "boolean": _to_boolean,
    "date": _to_date,
}
