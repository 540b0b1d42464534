"""JSON values as the texts and numbers that routing and lookup compare."""

from __future__ import annotations

import math
import re
from typing import Any

import msgspec

_EXACT_FLOAT = 2.0**53
_WHOLE_NUMBER = re.compile(r"\+?([0-9]{1,18})(?:\.0*)?", re.ASCII)
_LEAD_ID = re.compile(r"[0-9]{1,18}", re.ASCII)
_EMAIL_LIKE = re.compile(r"\S@\S")
_LONGEST_LOGGED = 100


def text_of(value: object) -> str | None:
    """A JSON scalar as text, as a person would write it: `1.0` is "1", `true` is "true".

    None for null, objects, lists, NaN and infinities.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() and abs(value) < _EXACT_FLOAT else repr(value)
    return None


def encodable(text: str) -> str:
    r"""The text, with lone surrogates written out as `\udxxx`, so that it can be stored as UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def key_text(value: object) -> str | None:
    """A value as part of a record key; None where it is null, blank or no scalar."""
    if type(value) is str and value >= "!" and value.isascii():  # neither blank nor a broken surrogate
        return value
    if type(value) is int:
        return str(value)
    text = text_of(value)
    return encodable(text) if text is not None and text.strip() else None


def loggable(text: str) -> str:
    """The text, unless it looks like person data or a document; for what a summary may print."""
    if len(text) > _LONGEST_LOGGED or _EMAIL_LIKE.search(text):
        return "(not shown)"
    return encodable(text)


def scan_count(value: object) -> int:
    """Number of scans; 0 where none is given or the value is no whole number."""
    if isinstance(value, bool):
        return 0
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else 0
    if isinstance(value, str) and (match := _WHOLE_NUMBER.fullmatch(value.strip())):
        return int(match[1])
    return 0


def lead_id(value: object) -> int | None:
    """Marketo's numeric lead id from a number or digits in text; None for anything else."""
    if isinstance(value, str):
        text = value.strip()
        number = int(text) if _LEAD_ID.fullmatch(text) else 0
    elif isinstance(value, bool):
        number = 0
    elif isinstance(value, int):
        number = value
    elif isinstance(value, float) and value.is_integer():
        number = int(value)
    else:
        number = 0
    return number if number > 0 else None


def container(text: str) -> dict[str, Any] | list[Any] | None:
    """The object or list that a text holds as JSON, else None.

    PyAirbyte's cache hands objects and lists on as JSON text.
    """
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None
