"""Qualifier values to program statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from destination_marketo_programs.mapping.columns import Column, Record, compile_column
from destination_marketo_programs.mapping.texts import container, loggable, text_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from destination_marketo_programs.config import QualifierMapping

_Statuses = dict[str, tuple[int, str]]
"""Value -> (position in the list of mappings, program status); the earliest position of a value only."""


class QualifierRules:
    """All qualifier mappings, indexed by the column they read and the value they wait for.

    Mappings for every program and for one program are kept apart, so that memory grows with the number of
    mappings alone, and a record costs one look-up per value and column however many mappings there are.

    Args:
        mappings: in the order of the configuration; the first that applies decides.
        blank_means: column that a blank `qualifier` stands for; None where it stands for nothing.
    """

    def __init__(self, mappings: Sequence[QualifierMapping], blank_means: str | None) -> None:
        self._columns: dict[str, Column] = {}
        self._by_program: dict[int | None, dict[str, _Statuses]] = {}
        for position, mapping in enumerate(mappings):
            name = mapping.qualifier or blank_means
            by_column = self._by_program.setdefault(mapping.program_id, {})
            if name is None:
                continue
            if name not in self._columns:
                self._columns[name] = compile_column(name, f"qualifier_mappings[{position}].qualifier")
            statuses = by_column.setdefault(name, {})
            statuses.setdefault(mapping.value, (position, mapping.program_status))

    def concern(self, program_id: int) -> bool:
        """Whether any mapping is meant for the program."""
        return None in self._by_program or program_id in self._by_program

    def status(self, program_id: int, values: QualifierValues) -> str | None:
        """The status of the first mapping that applies to the record, None where none does.

        Raises:
            RecordError: a qualifier's JMESPath cannot be evaluated on this record.
        """
        best: tuple[int, str] | None = None
        for scope in (None, program_id):
            for column, statuses in self._by_program.get(scope, {}).items():
                for text in values.texts(column):
                    found = statuses.get(text)
                    if found is not None and (best is None or found < best):
                        best = found
        return None if best is None else best[1]

    def unmapped(self, program_id: int, values: QualifierValues) -> Iterable[str]:
        """The record's values in the columns of the program's mappings, for the summary."""
        for scope in (None, program_id):
            for column in self._by_program.get(scope, {}):
                yield from values.shown(column)

    def read(self, record: Record) -> QualifierValues:
        """The record's qualifier values, each column read at most once and only when it is asked for."""
        return QualifierValues(self._columns, record)


class QualifierValues:
    """One record's qualifier values, read on demand and kept while the record is mapped."""

    __slots__ = ("_columns", "_raw", "_record", "_texts")

    def __init__(self, columns: dict[str, Column], record: Record) -> None:
        self._columns = columns
        self._record = record
        self._raw: dict[str, Any] = {}
        self._texts: dict[str, tuple[str, ...]] = {}

    def texts(self, column: str) -> tuple[str, ...]:
        """Every text that the column's value or values may be written as."""
        texts = self._texts.get(column)
        if texts is None:
            raw = self._raw[column] = self._columns[column].read(self._record)
            texts = self._texts[column] = tuple(qualifier_texts(raw))
        return texts

    def shown(self, column: str) -> Iterable[str]:
        """The column's values as a summary may print them."""
        self.texts(column)
        return (loggable(text) for text in _shown_texts(self._raw[column]))


def qualifier_texts(value: object) -> Iterable[str]:
    """Texts that a mapping's `value` may equal to apply to a record's value.

    A list counts by its elements, an object by its `value` member, text that holds a JSON list as itself and
    as that list. A boolean counts as `true` and as `True`, `1.0` as `1` and as `1.0`. Null, empty text and
    anything else give nothing.
    """
    if isinstance(value, list):
        for element in value:
            yield from _scalar_texts(_unwrapped(element))
        return
    yield from _scalar_texts(_unwrapped(value))
    if isinstance(value, str) and isinstance(inner := container(value), list):
        yield from qualifier_texts(inner)


def _unwrapped(value: object) -> object:
    return value.get("value") if isinstance(value, dict) else value


def _scalar_texts(value: object) -> Iterable[str]:
    text = text_of(value)
    if not text:
        return
    yield text
    if isinstance(value, bool):
        yield str(value)
    elif isinstance(value, float) and repr(value) != text:
        yield repr(value)


def _shown_texts(value: object) -> Iterable[str]:
    if isinstance(value, str) and isinstance(inner := container(value), list):
        value = inner
    for element in value if isinstance(value, list) else [value]:
        text = text_of(_unwrapped(element))
        if text:
            yield text
