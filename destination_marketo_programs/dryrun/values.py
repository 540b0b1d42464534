"""Whether Marketo's fields can take the values of a row. Pure.

Types and their forms: Adobe, "Field types". That a value which is too long is refused is this project's assumption:
Adobe does not say what happens to it.
"""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from destination_marketo_programs.mapping import WritableField

WRONG_TYPE: Final = "1001"
INVALID: Final = "1003"
TEXT_AREA_BYTES: Final = 30_000

_WHOLE: Final = re.compile(r"-?[0-9]+", re.ASCII).fullmatch
_TRUTHS: Final = frozenset({"true", "false", "1", "0"})
_DATE_LENGTH: Final = len("2026-11-23")


class Misfit(NamedTuple):
    """A value that Marketo would refuse: its code, and our words for it, which never quote the value."""

    code: str
    message: str


def misfit(fields: Mapping[str, Any], writable: Mapping[str, WritableField] | None) -> Misfit | None:
    """The first value of a row that its field cannot take; None if all fit, or nothing is known of the fields."""
    if writable is None:
        return None
    for name, value in fields.items():
        field = writable.get(name)
        if field is None or value is None or value == "":
            continue  # the checks have judged the names; a blank clears a field of any type
        found = _judge(name, value, field)
        if found is not None:
            return found
    return None


def _judge(name: str, value: Any, field: WritableField) -> Misfit | None:
    kind = field.data_type.lower()
    fits = _FITS.get(kind)
    if fits is not None:
        return None if fits(value) else Misfit(WRONG_TYPE, f"The value for {name} is not of its type, {kind}.")
    text = str(value)
    if kind == "email" and not text.isascii():
        return Misfit(INVALID, f"The value for {name} holds characters that are not ASCII.")
    if field.length is not None and len(text) > field.length:
        return Misfit(INVALID, f"The value for {name} is longer than {field.length} characters.")
    if kind == "text" and len(text.encode("utf-8", "replace")) > TEXT_AREA_BYTES:
        return Misfit(INVALID, f"The value for {name} is longer than {TEXT_AREA_BYTES:,} bytes.")
    return None


def _is_whole(value: Any) -> bool:
    if isinstance(value, str):
        return _WHOLE(value) is not None
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or (isinstance(value, str) and value.lower() in _TRUTHS)


def _is_date(value: Any) -> bool:
    return isinstance(value, str) and len(value) == _DATE_LENGTH and _parses(date.fromisoformat, value)


def _is_datetime(value: Any) -> bool:
    return isinstance(value, str) and "T" in value and _parses(datetime.fromisoformat, value)


def _parses(parse: Callable[[str], object], text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


_FITS: Final[dict[str, Callable[[Any], bool]]] = {
    **dict.fromkeys(("integer", "score", "percent"), _is_whole),
    **dict.fromkeys(("float", "currency"), _is_number),
    "boolean": _is_truth,
    "date": _is_date,
    "datetime": _is_datetime,
}
