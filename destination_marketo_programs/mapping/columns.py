"""Where a value sits in a record: a column name, or a JMESPath expression, compiled once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final

import jmespath
import msgspec
from jmespath.exceptions import JMESPathError

from destination_marketo_programs.mapping.errors import RecordError
from destination_marketo_programs.outcomes import Category

Record = dict[str, Any]
Reader = Callable[[Record], Any]


class _Absent(Enum):
    ABSENT = "absent"


ABSENT: Final = _Absent.ABSENT
"""Result of a read where the record has no such column. Told from None, because clearing a Marketo field
takes a source that says null, not one that says nothing."""


class Column(msgspec.Struct, frozen=True, gc=False):
    """A compiled `record_field`, `qualifier`, or column of the custom record mapping.

    Attributes:
        name: the text as configured; a column of exactly this name wins over the expression.
        origin: configuration path and text, for messages.
        reader: None where a plain dict lookup of `name` says everything.
    """

    name: str
    origin: str
    reader: Reader | None = None

    def read(self, record: Record) -> Any:
        """Give the value in the record, ABSENT where there is none.

        Raises:
            RecordError: INVALID_RECORD, where the expression cannot be evaluated on this record.
        """
        return record.get(self.name, ABSENT) if self.reader is None else self.reader(record)


Compile = Callable[[str, str], Column]
"""Column from a configured text and its configuration path; `compile_column`, unless columns are read another way."""


def compile_column(text: str, path: str) -> Column:
    """Compile a configured column name or JMESPath.

    Args:
        text: as the user wrote it; text that is no valid JMESPath is a column name only.
        path: configuration path of `text`, e.g. `field_mappings[3].record_field`.
    """
    origin = f'{path} ("{text}")'
    try:
        expression = jmespath.compile(text)
    except JMESPathError:
        return Column(text, origin)
    keys = _plain_keys(expression.parsed)
    if keys == (text,):
        return Column(text, origin)
    if keys is not None:
        return Column(text, origin, _nested_reader(text, keys))
    return Column(text, origin, _expression_reader(text, origin, expression.search))


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
                return None if value is None else ABSENT
        return value

    return read


def _expression_reader(text: str, origin: str, search: Callable[[Record], Any]) -> Reader:
    def read(record: Record) -> Any:
        if text in record:
            return record[text]
        try:
            return search(record)
        except Exception:  # noqa: BLE001 - the interpreter lets TypeError and others through; none may end the sync
            # The interpreter's own message quotes the value that it stumbled over, which may be person data.
            raise RecordError(Category.INVALID_RECORD, f"{origin} cannot be evaluated on this record.") from None

    return read
