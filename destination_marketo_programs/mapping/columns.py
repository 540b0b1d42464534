"""Where a value sits in a record: a column name, or a JMESPath expression, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from typing import Any, Final, TypedDict

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from destination_marketo_programs.config.columns import calls_unknown_function
from destination_marketo_programs.mapping.expressions import exact_search
from destination_marketo_programs.model import UNREADABLE
from destination_marketo_programs.outcomes import Category, Detail

Record = dict[str, Any]
Reader = Callable[[Record], Any]


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""Result of a read where the record has no such column. Told from None, because clearing a Marketo field
takes a source that says null, not one that says nothing."""


class RecordError(Exception):
    """A record, or its person, is not delivered.

    Attributes:
        category: the outcome's category.
        message: what is wrong and where. Never a value that came from the record.
        detail: the values that decided it, for the outcome alone.
        rejected: false if it is skipped, as the configuration asks.
    """

    def __init__(
        self, category: Category, message: str, detail: Detail | None = None, *, rejected: bool = True
    ) -> None:
        super().__init__(message)
        self.category = category
        self.message = message
        self.detail = detail
        self.rejected = rejected


class Column(msgspec.Struct, frozen=True, gc=False):
    """A compiled `record_field`, `qualifier`, or column of the custom record mapping.

    Attributes:
        name: the text as configured; a column of exactly this name wins over the expression.
        origin: configuration path and text, for messages.
        reader: None if a plain dict lookup of `name` says everything.
        path: configuration path alone; "" for a column that no setting names.
        roots: top-level columns that `reader` looks at besides `name`; None if it may look at any.
    """

    name: str
    origin: str
    reader: Reader | None = None
    path: str = ""
    roots: frozenset[str] | None = frozenset()

    def read(self, record: Record) -> Any:
        """Give the value in the record, ABSENT if there is none.

        Raises:
            RecordError: INVALID_RECORD, where the expression cannot be evaluated on this record.
        """
        value = record.get(self.name, ABSENT) if self.reader is None else self.reader(record)
        if value is UNREADABLE:
            raise self.unreadable()
        return value

    def unreadable(self) -> RecordError:
        """The rejection of a record with a value here that is not kept."""
        return RecordError(
            Category.INVALID_RECORD,
            f"{self.origin} holds a value that cannot be read: it is nested too deeply, or a number out of all bounds.",
            {"field": self.name},
        )


def compile_column(text: str, path: str) -> Column:
    """Compile a configured column name or JMESPath.

    Args:
        text: as the user wrote it. Text that is not valid JMESPath, or calls a function that JMESPath does not
            know, such as `Phone (mobile)`, is a column name only.
        path: configuration path of `text`, e.g. `field_mappings[3].record_field`.
    """
    origin = f'{path} ("{text}")'
    expression = _expression(text)
    if expression is None:
        return Column(text, origin, path=path)
    keys = _plain_keys(expression.parsed)
    if keys == (text,):
        return Column(text, origin, path=path)
    if keys is not None:
        return Column(text, origin, _nested_reader(text, keys), path, frozenset(keys[:1]))
    roots = _roots(expression.parsed)
    return Column(text, origin, _expression_reader(text, origin, exact_search(expression.parsed), roots), path, roots)


def _expression(text: str) -> Any:
    try:
        expression = jmespath.compile(text)
        unknown = calls_unknown_function(expression.parsed)
    except (JMESPathError, RecursionError):
        return None
    return None if unknown else expression


_RELATIVE: Final = frozenset(
    {"subexpression", "index_expression", "projection", "value_projection", "filter_projection", "flatten", "pipe"}
)
"""Nodes whose first child alone is evaluated on the record; the others are, on what it gives."""
_WITHOUT_ROOTS: Final = frozenset({"literal", "index", "slice", "expref"})
_WHOLE: Final = frozenset({"current", "identity"})


def _roots(node: Mapping[str, Any]) -> frozenset[str] | None:
    """Top-level columns that an expression looks at; None if it looks at the record as a whole."""
    kind = node["type"]
    if kind == "field":
        return frozenset({node["value"]})
    if kind in _WHOLE:
        return None
    if kind in _WITHOUT_ROOTS:
        return frozenset()
    children = node["children"][:1] if kind in _RELATIVE else node["children"]
    found: set[str] = set()
    for child in children:
        roots = _roots(child)
        if roots is None:
            return None
        found |= roots
    return frozenset(found)


def _plain_keys(node: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Keys of an expression that only descends through objects (`job.title`), else None."""
    if node["type"] == "field":
        return (node["value"],)
    if node["type"] == "subexpression":
        parts = [_plain_keys(child) for child in node["children"]]
        if all(part is not None for part in parts):
            return tuple(key for part in parts if part is not None for key in part)
    return None


def _nested_reader(text: str, keys: tuple[str, ...]) -> Reader:
    """Descend without the JMESPath interpreter, which takes about 50 times as long for `job.title`."""
    first, *rest = keys

    def read(record: Record) -> Any:
        if text in record:
            return record[text]
        value = record.get(first, ABSENT)
        for key in rest:
            if isinstance(value, dict):
                value = value.get(key, ABSENT)
            else:
                return value if value is None or value is UNREADABLE else ABSENT
        return value

    return read


def _expression_reader(text: str, origin: str, search: Callable[[Record], Any], roots: frozenset[str] | None) -> Reader:
    def read(record: Record) -> Any:
        if text in record:
            return record[text]
        try:
            return search(record)
        except Exception:  # noqa: BLE001 - the interpreter lets TypeError and others through; none may end the sync
            if roots and any(record.get(root) is None for root in roots):
                return ABSENT  # a function was given nothing, because a column is missing here
            # The interpreter's own message quotes the value that it stumbled over, which may be person data.
            raise RecordError(Category.INVALID_RECORD, f"{origin} cannot be evaluated on this record.") from None

    return read


def columns_of(columns: Iterable[Column | None]) -> frozenset[str] | None:
    """Every top-level column that reading these may look at; None if one looks at the record as a whole."""
    found: set[str] = set()
    for column in columns:
        if column is None:
            continue
        if column.roots is None:
            return None
        found |= {column.name, *column.roots}
    return frozenset(found)


def dict_of(columns: Iterable[str]) -> Any:
    """The type of a dict that keeps these columns alone: msgspec makes no objects of any other column."""
    return TypedDict("Record", dict.fromkeys(columns, Any), total=False)  # type: ignore[operator]
