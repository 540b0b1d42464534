"""JSON values as the texts and numbers that routing and lookup compare.

A number that has a fraction or an exponent arrives as a `Decimal`, so that its digits are those that the source wrote.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any, Final

import msgspec

from destination_marketo_programs.model import UNREADABLE
from destination_marketo_programs.text import encodable

EXACT_WHOLE: Final = 2**53
"""Up to here every whole number is exact in a source that computes with doubles."""

LONGEST_SHOWN: Final = 200
"""Characters of a value that the detail of an outcome keeps."""

_WHOLE_TEXT: Final = re.compile(r"\+?([0-9]{1,18})(?:\.0*)?", re.ASCII)
_MOST_WHOLE_DIGITS: Final = 18
_LONGEST_PLAIN_FRACTION: Final = 40


def text_of(value: object) -> str | None:
    """A JSON scalar as text, as a person would write it: `1.0` is "1", `1.0E7` is "10000000", `true` is "true".

    A number keeps all its digits. None for null, objects, lists, NaN and infinities.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    number = _decimal(value)
    return None if number is None else _digits(number)


def _decimal(value: object) -> Decimal | None:
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    return value if isinstance(value, Decimal) and value.is_finite() else None


def _digits(number: Decimal) -> str:
    # Comparing first: the integer of 1E+999999 has a million digits.
    if number.copy_abs() < EXACT_WHOLE and number == number.to_integral_value():
        return str(int(number))
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or exponent > 0 or number.adjusted() < -_LONGEST_PLAIN_FRACTION:
        return str(number)
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if number.copy_abs() >= EXACT_WHOLE and is_whole(number) else text


def is_whole(number: Decimal) -> bool:
    """Whether a finite number has no fraction, however long it is."""
    _, digits, exponent = number.as_tuple()
    return isinstance(exponent, int) and (exponent >= 0 or not any(digits[exponent:]))


def is_rounded(value: object) -> bool:
    """Whether a number is one of many that the source would write alike: past 2^53, its last digits are missing.

    A key made of `1.0E16` could be the key of 10000000000000000 or of a neighbour.
    """
    number = _decimal(value)
    if number is None or number.copy_abs() < EXACT_WHOLE:
        return False
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent > 0


def event_text(value: object) -> str | None:
    """A record's event id or name without surrounding blanks; None if it has none."""
    if value is None:
        return None
    if type(value) is str:
        text = value.strip()
        return (text if text.isascii() else encodable(text)) or None
    return text_of(value)


def key_text(value: object) -> str | None:
    """A value as part of a record key; None if it is null, blank or no scalar."""
    if type(value) is str and value >= "!" and value.isascii():  # neither blank nor a broken surrogate
        return value
    if type(value) is int:
        return str(value)
    text = text_of(value)
    return encodable(text) if text is not None and text.strip() else None


def shown(value: object) -> str:
    """A value as the detail of an outcome keeps it: at most `LONGEST_SHOWN` characters, always storable."""
    if isinstance(value, dict | list):
        try:
            text = msgspec.json.encode(value).decode("utf-8")
        except (TypeError, ValueError, RecursionError):
            text = "an object" if isinstance(value, dict) else "a list"
    else:
        text = text_of(value) or str(value)
    return encodable(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…")


def whole_number(value: object) -> int | None:
    """A whole number of at most 18 digits, given as a number or as text ("1001.000000000"); None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        # An exponent is not read from a text: `12e5` may be an id of another system.
        text = value.strip()
        if text.isdecimal() and text.isascii() and len(text) <= _MOST_WHOLE_DIGITS:
            return int(text)
        match = _WHOLE_TEXT.fullmatch(text)
        return None if match is None else int(match[1])
    number = _decimal(value)
    if number is None or number.adjusted() >= _MOST_WHOLE_DIGITS or is_rounded(number) or not is_whole(number):
        return None
    return int(number)


def scan_count(value: object) -> int:
    """Number of scans; 0 if none is given or the value is not a whole number."""
    return whole_number(value) or 0


def lead_id(value: object) -> int | None:
    """Marketo's numeric lead id from a number or digits in text; None for anything else."""
    number = whole_number(value)
    return number if number is not None and number > 0 else None


def holds_unreadable(value: object) -> bool:
    """Whether a part of a value is not kept (see `UNREADABLE`)."""
    if isinstance(value, dict):
        value = list(value.values())
    return value is UNREADABLE or (isinstance(value, list) and any(map(holds_unreadable, value)))


def container(text: str) -> dict[str, Any] | list[Any] | None:
    """The object or list that a text holds as JSON, else None.

    PyAirbyte's cache hands objects and lists on as JSON text.
    """
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = _decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError, ArithmeticError):
        return None
    return value if isinstance(value, dict | list) else None


_decode = msgspec.json.Decoder(float_hook=Decimal).decode
