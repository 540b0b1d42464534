"""A record as cells of a spreadsheet, and back.

Every value below the record's objects is a cell, named by its path (`lead.email`); a list is one cell, as JSON.
Numbers keep the digits that the source wrote. The page's script makes the same cells.
"""

from __future__ import annotations

import json
import re
from typing import Any

_BLANK = r"[\s\x00-\x20\u00ad\u180e\u200b-\u200f\u2028-\u202f\u2060-\u2064\ufeff]"
_FORMULA = re.compile(rf"{_BLANK}*[=+\-@＝＋－＠]|[\t\r\n]")


class Number(str):
    """A number, or a constant that is none (`NaN`), in the source's own digits."""

    __slots__ = ()


Leaf = str | Number | bool | list[Any] | dict[str, Any] | None


def parsed(data: bytes) -> Any:
    """JSON with numbers as `Number`.

    Raises:
        ValueError: it is not JSON, or too deep.
    """
    try:
        return json.loads(data, parse_int=Number, parse_float=Number, parse_constant=Number)
    except RecursionError:
        raise ValueError("too deep") from None


def dumped(value: Any, *, ascii_only: bool = False) -> str:
    """JSON of what `parsed` gave; numbers as they were."""
    match value:
        case Number():
            return str.__str__(value)
        case dict():
            pairs = (
                f"{dumped(name, ascii_only=ascii_only)}:{dumped(below, ascii_only=ascii_only)}"
                for name, below in value.items()
            )
            return "{" + ",".join(pairs) + "}"
        case list():
            return "[" + ",".join(dumped(each, ascii_only=ascii_only) for each in value) + "]"
        case _:
            return json.dumps(value, ensure_ascii=ascii_only)


def flattened(value: Any, path: str | None = None) -> dict[str, Leaf]:
    """Path -> value, in the record's order. A dot or backslash in a name is written with a backslash before it."""
    if not isinstance(value, dict) or (not value and path is not None):
        return {path or "": value}
    leaves: dict[str, Leaf] = {}
    for name, below in value.items():
        part = name.replace("\\", "\\\\").replace(".", "\\.")
        leaves |= flattened(below, part if path is None else f"{path}.{part}")
    return leaves


def leaf_text(leaf: Leaf) -> str:
    """The value as text, before a spreadsheet is thought of."""
    match leaf:
        case None:
            return ""
        case bool():
            return "true" if leaf else "false"
        case str():
            return str.__str__(leaf)
        case _:
            return dumped(leaf)


def leaf_cell(leaf: Leaf) -> str:
    """The value as a cell: a number stays one, and text that would run as a formula gets an apostrophe in front."""
    return leaf_text(leaf) if isinstance(leaf, Number) else safe_cell(leaf_text(leaf))


def safe_cell(text: str) -> str:
    """Text that no spreadsheet takes for a formula, however it is hidden behind blanks."""
    shown = text.replace("\0", "")
    return f"'{shown}" if _FORMULA.match(shown) else shown


def with_cell(record: Any, path: str, leaf: Leaf) -> None:
    """Put a value at a path of a parsed record; objects on the way that are missing are made.

    Raises:
        ValueError: something else than an object is on the way.
    """
    *above, last = (re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in _parts(path))
    place = record
    for name in above:
        if place.get(name) is None:
            place[name] = {}
        place = place[name]
        if not isinstance(place, dict):
            raise ValueError(f"{name} is not an object")  # noqa: TRY004 - of the data, not of the caller
    place[last] = leaf


def _parts(path: str) -> list[str]:
    """The path cut at its dots, but for those behind a backslash."""
    return [part for part, _ in re.findall(r"((?:\\.|[^.\\])*)(\.)", f"{path}.", flags=re.DOTALL)]
