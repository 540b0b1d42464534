"""JSON that the usual parsers refuse: too deep, with numbers beyond all bounds, with NaN or half a surrogate pair.

Numbers keep the digits that they are written with: one with a fraction or an exponent becomes a `Decimal`. Nothing here
does I/O.
"""

from __future__ import annotations

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final, NamedTuple

from destination_marketo_programs.model import UNREADABLE

DEEPEST: Final = 200
"""Levels of nesting that are built when a text is too deep for the usual parsers; what is below is UNREADABLE."""

_MOST_DIGITS: Final = 4_300
"""Python's own bound for turning text into an integer."""

_SPACE: Final = re.compile(r"[ \t\r\n]*+")
_STRING: Final = re.compile(r'"(?:[^"\\\x00-\x1f]++|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*+"')
_SCALAR: Final = re.compile(
    rf"{_STRING.pattern}|-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null|NaN|-?Infinity"
)
_CLOSES: Final = {"{": "}", "[": "]"}


class NotJsonError(ValueError):
    """A text that is not JSON. Says nothing of the text, which may hold a person."""


def whole(text: str) -> int | Decimal:
    """An integer with all its digits, however many."""
    return int(text) if len(text) <= _MOST_DIGITS else Decimal(text)


def number(text: str) -> Any:
    """A number with a fraction or an exponent, digits as written; UNREADABLE if its exponent is out of all bounds."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return UNREADABLE


_decode: Final = json.JSONDecoder(parse_int=whole, parse_float=number).decode


def loads(text: str) -> Any:
    """Read a JSON text of any depth.

    Raises:
        NotJsonError: it is not JSON, NaN and infinities aside.
    """
    try:
        return _decode(text)
    except RecursionError:
        pass
    except ValueError:
        raise NotJsonError from None
    value, end = _read(text, 0, DEEPEST)
    if _after_space(text, end) != len(text):
        raise NotJsonError
    return value


class Member(NamedTuple):
    """A member of an object; both texts exactly as they are written."""

    key: str
    value: str


def members(text: str) -> list[Member] | None:
    """The members of the object that a text holds, in order; None if it holds something else.

    Raises:
        NotJsonError: the text is not JSON.
    """
    place = _after_space(text, 0)
    if text[place : place + 1] != "{":
        return None
    found: list[Member] = []
    place = _after_space(text, place + 1)
    while text[place : place + 1] != "}":
        if found:
            place = _after_space(text, _expect(text, place, ","))
        key = _string_end(text, place)
        start = _after_space(text, _expect(text, _after_space(text, key), ":"))
        _, end = _read(text, start, 0)
        found.append(Member(text[place:key], text[start:end]))
        place = _after_space(text, end)
    return found


class _Open:
    """A container that is being read; `holds` is UNREADABLE below the deepest level that is built."""

    __slots__ = ("closer", "holds", "key")

    def __init__(self, mark: str, *, build: bool) -> None:
        self.closer = _CLOSES[mark]
        self.holds: Any = ({} if mark == "{" else []) if build else UNREADABLE
        self.key = ""

    def put(self, value: Any) -> None:
        if isinstance(self.holds, dict):
            self.holds[self.key] = value
        elif isinstance(self.holds, list):
            self.holds.append(value)

    def read_key(self, text: str, place: int) -> int:
        if self.closer != "}":
            return place
        place = _after_space(text, place)
        end = _string_end(text, place)
        self.key = _decode(text[place:end]) if isinstance(self.holds, dict) else ""
        return _expect(text, _after_space(text, end), ":")


_BELOW: Final = {mark: _Open(mark, build=False) for mark in _CLOSES}
"""Stand for each level that is not built: a text may consist of brackets alone."""


def _read(text: str, place: int, deepest: int) -> tuple[Any, int]:
    """The value that begins at `place`, and where it ends. Keeps its own stack, so depth is bounded by memory alone."""
    stack: list[_Open] = []
    while True:
        place = _after_space(text, place)
        mark = text[place : place + 1]
        if mark in _CLOSES:
            opened = _Open(mark, build=True) if len(stack) < deepest else _BELOW[mark]
            stack.append(opened)
            place = _after_space(text, place + 1)
            if text[place : place + 1] != opened.closer:
                place = opened.read_key(text, place)
                continue
        else:
            end = _scalar_end(text, place)
            if not stack:
                return (_decode(text[place:end]) if deepest else None), end
            if stack[-1].holds is not UNREADABLE:
                stack[-1].put(_decode(text[place:end]))
            place = end
        while True:
            place = _after_space(text, place)
            if text[place : place + 1] == stack[-1].closer:
                value, place = stack.pop().holds, place + 1
                if not stack:
                    return value, place
                stack[-1].put(value)
            else:
                place = stack[-1].read_key(text, _expect(text, place, ","))
                break


def _after_space(text: str, place: int) -> int:
    found = _SPACE.match(text, place)
    return found.end() if found else place


def _expect(text: str, place: int, mark: str) -> int:
    if text[place : place + 1] != mark:
        raise NotJsonError
    return place + 1


def _string_end(text: str, place: int) -> int:
    found = _STRING.match(text, place)
    if found is None:
        raise NotJsonError
    return found.end()


def _scalar_end(text: str, place: int) -> int:
    found = _SCALAR.match(text, place)
    if found is None:
        raise NotJsonError
    return found.end()


_OBEYED = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def for_terminals(text: bytes) -> bytes:
    """The same JSON value, without a character that a terminal obeys or that reorders what is shown."""
    if text.isascii() and b"\x7f" not in text:
        return text
    return _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text.decode()).encode()
