"""What bulk import cannot keep: the one rule, for the configuration, the checks and the delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from destination_marketo_programs.text import code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from destination_marketo_programs.config.settings import FieldMapping, LeadSync

GUARDS: Final = ("on_create", "if_blank")
"""Values of `field_mappings[].write` that depend on what Marketo has of the person."""


class Obstacle(NamedTuple):
    """Why people cannot go by file.

    Attributes:
        reason: what an import does instead, as the end of "Bulk import …".
        setting: the one that it cannot keep.
        value: of the setting, as messages show it.
    """

    reason: str
    setting: str
    value: str


def bulk_obstacles(sync: LeadSync | None, mappings: Sequence[FieldMapping | None]) -> Iterator[Obstacle]:
    """Yield the settings that rule bulk import out; several lead partitions do as well, which only Marketo knows.

    A file finds people by email only, always creates and updates them, takes the most recently updated of several
    people, knows no partition, and writes every field to everyone.

    Args:
        sync: `lead_sync` of the configuration; None if it cannot be read.
        mappings: `field_mappings`, each None if it cannot be read.
    """
    if sync is not None:
        yield from _of_people(sync)
    for position, mapping in enumerate(mappings):
        if mapping and mapping.write in GUARDS and mapping.marketo_object == "lead":
            yield Obstacle("writes every field of everyone", f"field_mappings[{position}].write", code(mapping.write))
            return  # one says it


def _of_people(sync: LeadSync) -> Iterator[Obstacle]:
    if sync.mode != "create_or_update":
        yield Obstacle("always creates and updates people", "lead_sync.mode", code(sync.mode))
    if sync.lookup_field != "email":
        yield Obstacle("finds people by email only", "lead_sync.lookup_field", code(sync.lookup_field))
    if sync.partition_name:
        yield Obstacle("cannot choose a lead partition", "lead_sync.partition_name", "set")
    if sync.duplicate_leads == "reject":
        reason = "updates one of several people with the same email"
        yield Obstacle(reason, "lead_sync.duplicate_leads", code(sync.duplicate_leads))
    if sync.acquisition_program == "first_program":
        yield Obstacle("cannot tell who is new", "lead_sync.acquisition_program", code(sync.acquisition_program))
