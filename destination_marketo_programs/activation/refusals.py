"""What a configured stream asks of an object and the object cannot do, told before the first record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from destination_marketo_programs.activation.objects import (
    MEMBER_PREFIX,
    PROGRAM_MEMBERS,
    first_links,
    object_columns,
    program_of,
)
from destination_marketo_programs.model import Problem
from destination_marketo_programs.text import Names, did_you_mean, joined, listed, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from destination_marketo_programs.catalog import ConfiguredStream
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.mapping import FieldCatalog

CHANGE_DATA_PREFIX: Final = "_ab_cdc_"
"""Columns that sources of change data add by themselves; of these, the deletion date alone counts."""

_MOST_GUESSES = 3


def any_object(streams: Iterable[ConfiguredStream]) -> bool:
    """Whether any stream is for an object; then all fields have to be known, those of memberships as well."""
    return any(stream.destination_object_name for stream in streams)


def is_about_columns(problem: Problem, settings: Settings) -> bool:
    """Whether a problem of the configuration asks for a column that every object has, whatever the mappings say.

    That is the number of scans, the answer, and the lookup field.
    """
    match problem.location:
        case ("program_links", int(), "lead_scan_threshold") | ("qualifier_mappings", int(), "qualifier"):
            return True
        case ("lead_sync", "lookup_field"):
            return settings.lead_sync.lookup_field.casefold() != "id"
    return False


def object_problems(settings: Settings) -> Callable[[ConfiguredStream], Iterator[Problem]]:
    """Give the judge of object names: an unknown object, or a program that no link names."""
    links = first_links(settings)

    def judge(stream: ConfiguredStream) -> Iterator[Problem]:
        name = stream.destination_object_name
        location = (*stream.location, "destination_object_name")
        program_id = program_of(name)
        if program_id is not None and program_id not in links:
            yield Problem(
                location,
                f"Stream {quoted(stream.key[1])} is for program {program_id}, and no program link names it.",
                "Add a program link for this program, or choose another object.",
            )
        elif program_id is None and name != PROGRAM_MEMBERS:
            choices = [PROGRAM_MEMBERS, *(f"Program {number}" for number in links)]
            yield Problem(
                location,
                f"Stream {quoted(stream.key[1])} is for the object {quoted(name)}, which does not exist.",
                f"{did_you_mean(nearest(name, choices))}The objects are {listed(choices)}.",
            )

    return judge


def column_problems(streams: Iterable[ConfiguredStream], settings: Settings, fields: FieldCatalog) -> Iterator[Problem]:
    """Judge the columns of streams for objects: one problem for each stream with a column that its object lacks.

    Args:
        streams: of the configured catalog. Those without an object, or with one that does not exist, are passed over.
        settings: the configuration.
        fields: as Marketo describes them. If it did not describe the fields of an object, its columns are not judged.
    """
    if fields.lead is None:
        return
    for stream in streams:
        name = stream.destination_object_name
        program_id = program_of(name)
        if program_id is None and name != PROGRAM_MEMBERS:
            continue
        columns = object_columns(settings, fields.lead, fields.member or (), routed_by_event=program_id is None)
        names = columns.names()
        known = frozenset(names)
        unknown = [
            column
            for column in dict.fromkeys(stream.properties)
            if column not in known
            and not column.startswith(CHANGE_DATA_PREFIX)
            and not (fields.member is None and column.startswith(MEMBER_PREFIX))
        ]
        if unknown:
            yield _unknown_columns(stream, unknown, Names(names))


def _unknown_columns(stream: ConfiguredStream, unknown: list[str], known: Names) -> Problem:
    location = (*stream.location, "stream", "json_schema", "properties")
    one = len(unknown) == 1
    near = [(column, known.nearest(column)) for column in unknown[:_MOST_GUESSES]]
    if one:
        hint = did_you_mean(near[0][1])
    else:
        meant = [f"{quoted(guess)} for {quoted(column)}" for column, guess in near if guess]
        hint = f"Did you mean {joined(meant)}? " if meant else ""
    return Problem(
        (*location, unknown[0]) if one else location,
        f"The object {quoted(stream.destination_object_name)} has no column {listed(unknown)}.",
        f"{hint}Map {'the column' if one else 'these columns'} to columns that `discover` lists, or leave "
        f"{'it' if one else 'them'} out of the stream.",
    )
