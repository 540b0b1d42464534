"""Qualifier values to program statuses."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.mapping.columns import Column, Record, compile_column
from destination_marketo_programs.mapping.values import container, text_of
from destination_marketo_programs.text import encodable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from destination_marketo_programs.config import QualifierMapping

_Statuses = dict[str, tuple[int, str]]
"""Value -> (position in the list of mappings, program status); the earliest position of a value only."""

_Tables = tuple[tuple[Column, tuple[_Statuses, ...]], ...]
"""Each column that a program's mappings read, with the mappings for all programs and those for this one."""

ReadValues = dict[str, Sequence[str]]
"""Column -> the texts found there in one record."""


class UnmappedValues(NamedTuple):
    """Qualifier values that no mapping applies to.

    Attributes:
        qualifier: name of the column that holds them; several are joined by a comma.
        values: as the record has them, each once.
    """

    qualifier: str
    values: tuple[str, ...]


class QualifierRules:
    """All qualifier mappings, indexed by the column they read and the value they wait for.

    Mappings for every program and for one program are kept apart, so that memory grows with the number of
    mappings alone, and a record costs one look-up per value and column however many mappings there are.

    Args:
        mappings: in the order of the configuration; the first that applies decides.
        blank_means: column that a blank `qualifier` stands for; None if it stands for nothing.
    """

    def __init__(self, mappings: Sequence[QualifierMapping], blank_means: str | None) -> None:
        self._columns: dict[str, Column] = {}
        self._by_program: dict[int | None, dict[str, _Statuses]] = {}
        self._tables_by_program: dict[int, _Tables] = {}
        for position, mapping in enumerate(mappings):
            name = mapping.qualifier or blank_means
            by_column = self._by_program.setdefault(mapping.program_id, {})
            if name is None:
                continue
            if name not in self._columns:
                self._columns[name] = compile_column(name, f"qualifier_mappings[{position}].qualifier")
            statuses = by_column.setdefault(name, {})
            statuses.setdefault(mapping.value, (position, mapping.program_status))
        self._concern_all = None in self._by_program

    def concern(self, program_id: int) -> bool:
        """Whether any mapping is meant for the program."""
        return self._concern_all or program_id in self._by_program

    def status(self, program_id: int, record: Record, read: ReadValues) -> str | None:
        """The status of the first mapping that applies to the record, None if none does.

        Args:
            program_id: program of the link in question.
            record: the record, as one flat view.
            read: empty for a new record; shared by the calls for one record, so that each column is read once.

        Raises:
            RecordError: a qualifier's JMESPath cannot be evaluated on this record.
        """
        best: tuple[int, str] | None = None
        for column, tables in self._tables(program_id):
            texts = read.get(column.name)
            if texts is None:
                texts = read[column.name] = qualifier_texts(column.read(record))
            for text in texts:
                for statuses in tables:
                    found = statuses.get(text)
                    if found is not None and (best is None or found < best):
                        best = found
        return None if best is None else best[1]

    def unmapped(self, program_id: int, record: Record) -> UnmappedValues:
        """What the record has in the columns of the program's mappings, for the person who has to map it."""
        columns: list[str] = []
        values: dict[str, None] = {}
        for column, _ in self._tables(program_id):
            texts = [encodable(text) for text in _plain_texts(column.read(record))]
            if texts:
                columns.append(column.name)
                values.update(dict.fromkeys(texts))
        return UnmappedValues(
            ", ".join(columns or [column.name for column, _ in self._tables(program_id)]), tuple(values)
        )

    def columns_for(self, program_ids: Iterable[int]) -> list[Column]:
        """The columns that the mappings of these programs read, each once."""
        scopes = dict.fromkeys([None, *program_ids])  # each mapping is looked at once, however many programs there are
        names = dict.fromkeys(name for scope in scopes for name in self._by_program.get(scope, ()))
        return [self._columns[name] for name in names]

    def _tables(self, program_id: int) -> _Tables:
        tables = self._tables_by_program.get(program_id)
        if tables is None:
            grouped: dict[str, list[_Statuses]] = {}
            for scope in (None, program_id):
                for column, statuses in self._by_program.get(scope, {}).items():
                    grouped.setdefault(column, []).append(statuses)
            tables = tuple((self._columns[column], tuple(found)) for column, found in grouped.items())
            self._tables_by_program[program_id] = tables
        return tables


def qualifier_texts(value: object) -> Sequence[str]:
    """Texts that a mapping's `value` may equal to apply to a record's value.

    A list counts by its elements, an object by its `value` member, text that holds a JSON list as itself and
    as that list. A boolean counts as `true` and as `True`, `1.0` as `1` and as `1.0`. Null, empty text and
    anything else give nothing.
    """
    texts: list[str] = []
    if isinstance(value, list):
        for element in value:
            _add_texts(texts, _unwrapped(element))
        return texts
    _add_texts(texts, _unwrapped(value))
    if isinstance(value, str) and isinstance(inner := container(value), list):
        texts.extend(qualifier_texts(inner))
    return texts


def _unwrapped(value: object) -> object:
    return value.get("value") if isinstance(value, dict) else value


def _add_texts(texts: list[str], value: object) -> None:
    text = text_of(value)
    if not text:
        return
    texts.append(text)
    if isinstance(value, (bool, float | Decimal)):
        texts.append(str(value))


def _plain_texts(value: object) -> Iterable[str]:
    if isinstance(value, str) and isinstance(inner := container(value), list):
        value = inner
    for element in value if isinstance(value, list) else [value]:
        text = text_of(_unwrapped(element))
        if text:
            yield text
