"""Names of columns in the configuration: each a column name or a JMESPath, and never a JMESPath that fails in silence.

A column of exactly the given name always wins, so `Phone (mobile)` and `Job Title` are fine although neither is a
valid JMESPath. Text that is meant as an expression and is none would name a column that no record has, and everything
that depends on it would quietly be missing: it is refused.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jmespath
from jmespath import exceptions
from jmespath.functions import Functions

from destination_marketo_programs.config.addresses import UnusableTextError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LONGEST_COLUMN: Final = 1_000
"""Characters of a column name or JMESPath."""

DEEPEST_COLUMN: Final = 30
"""Brackets of a JMESPath inside each other; more would exhaust the interpreter's stack, here or on a record."""

_EXPRESSION_SIGNS: Final = re.compile(r"\[\s*[?*:\]\d-]|\|\||&&|[|`{}]|!=|==|\w\.\.\w|\.\*")
"""What nobody writes in a column name, and everybody in an expression."""

_ORDINARY: Final = re.compile(r"[\w\s-]*")
_PAIRS: Final = {")": "(", "]": "[", "}": "{"}


class _Reading(NamedTuple):
    """How a text reads as an expression.

    Attributes:
        fault: what is wrong with it; None if it is a valid one.
        certain: whether it is an expression for certain, however it looks.
    """

    fault: str | None
    certain: bool = False


def check_column(text: str) -> str:
    """Return a column name or JMESPath as it was given.

    Raises:
        UnusableTextError: it is meant as a JMESPath and is none, or is too long or too deeply nested.
    """
    if len(text) > LONGEST_COLUMN:
        raise UnusableTextError(f"This is longer than {LONGEST_COLUMN:,} characters.", "Name one column.")
    depth, balanced = _brackets(text)
    if depth > DEEPEST_COLUMN:
        raise UnusableTextError(
            f"More than {DEEPEST_COLUMN} brackets inside each other are not a usable JMESPath.", "Name one column."
        )
    fault, certain = _read(text)
    if fault is not None and (certain or not balanced or _EXPRESSION_SIGNS.search(text)):
        raise UnusableTextError(
            f"This is neither a plain column name nor a valid JMESPath: {fault}.",
            "Correct the expression (see jmespath.org), or give the name of a column.",
        )
    return text


def is_read_as_name(text: str) -> bool:
    """Return whether a text with signs in it, such as `Phone (mobile)`, is a column name and not a JMESPath."""
    return _ORDINARY.fullmatch(text) is None and _read(text).fault is not None


def calls_unknown_function(node: Mapping[str, Any]) -> bool:
    """Return whether a parsed JMESPath calls a function that JMESPath does not have: such a text is a column name."""
    return not _FUNCTIONS.issuperset(_functions(node))


def _brackets(text: str) -> tuple[int, bool]:
    """How deep brackets go, and whether each is closed. Quotes are not looked into: this is a bound, not a parser."""
    opened: list[str] = []
    deepest, balanced = 0, True
    for letter in text:
        if letter in _PAIRS.values():
            opened.append(letter)
            deepest = max(deepest, len(opened))
        elif letter in _PAIRS and (not opened or opened.pop() != _PAIRS[letter]):
            balanced = False
    return deepest, balanced and not opened


@lru_cache(maxsize=20_000)
def _read(text: str) -> _Reading:
    try:
        expression = jmespath.compile(text)
        if calls_unknown_function(expression.parsed):
            return _Reading("it calls a function that does not exist")
        expression.search({})
    except exceptions.ArityError:
        return _Reading("a function in it has too few or too many arguments", certain=True)
    except exceptions.JMESPathTypeError:
        return _Reading(None)  # of an empty record; with values it may be right
    except exceptions.ParseError as error:
        position = error.lex_position
        return _Reading(
            f"it cannot be read from character {position + 1} on" if position < len(text) else "it ends too early"
        )
    except RecursionError:
        return _Reading("it is nested too deeply", certain=True)
    except (exceptions.JMESPathError, ValueError, TypeError):
        return _Reading("it cannot be read")
    return _Reading(None)


_FUNCTIONS: Final = frozenset(Functions.FUNCTION_TABLE)


def _functions(node: Mapping[str, Any]) -> Iterator[str]:
    if node["type"] == "function_expression":
        yield node["value"]
    for child in node.get("children", ()):
        if isinstance(child, dict):
            yield from _functions(child)
