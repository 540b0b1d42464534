"""Which column fills which Marketo field: what the settings map, and what Mobly's leads fill by themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.mapping.columns import Column, compile_column
from destination_marketo_programs.mapping.fields import FieldCatalog, FieldSource, guard_of
from destination_marketo_programs.mapping.mobly import DEFAULT_FIELDS, marketo_lead_id

if TYPE_CHECKING:
    from destination_marketo_programs.config import Settings

EMAIL = "email"
LEAD_ID = "id"


class Sources(NamedTuple):
    """Where a person's values come from.

    Attributes:
        fields: later entries win over earlier ones for the same field.
        marketo_id: column of the Marketo lead id; None if there is none.
        dropped_defaults: fields that the mobly mapping fills by itself, left out because Marketo does not
            list them as writable. Fields that the user mapped are never left out.
    """

    fields: tuple[FieldSource, ...]
    marketo_id: Column | None
    dropped_defaults: tuple[str, ...]


def sources_of(settings: Settings, catalog: FieldCatalog) -> Sources:
    """Compile the record and field mappings of the settings."""
    mapped = [
        FieldSource(
            compile_column(mapping.record_field, f"field_mappings[{position}].record_field"),
            mapping.marketo_object,
            mapping.marketo_field,
            guard_of(mapping.write, mapping.marketo_field),
        )
        for position, mapping in enumerate(settings.field_mappings)
    ]
    own = {source.marketo_field for source in mapped if source.marketo_object == "lead"}
    kept = own | {settings.lead_sync.lookup_field, LEAD_ID}
    defaults = _defaults(settings)
    dropped = tuple(
        name for name in defaults if name not in kept and catalog.lead is not None and name not in catalog.lead
    )
    first = [FieldSource(column, "lead", name) for name, column in defaults.items() if name not in dropped]
    return Sources((*first, *mapped), _id_column(settings), dropped)


def _defaults(settings: Settings) -> dict[str, Column]:
    mapping = settings.record_mapping
    if mapping.mapping_type == "custom":
        return {EMAIL: compile_column(mapping.email, "record_mapping.email")} if mapping.email else {}
    named = {EMAIL: (EMAIL, None), **DEFAULT_FIELDS}
    return {
        name: Column(column, f'Mobly\'s "{column}"', reader, roots=frozenset({column.partition(".")[0]}))
        for name, (column, reader) in named.items()
    }


def _id_column(settings: Settings) -> Column | None:
    mapping = settings.record_mapping
    if mapping.mapping_type == "mobly":
        return Column("remoteIds", 'Mobly\'s "remoteIds"', marketo_lead_id)
    if not mapping.marketo_lead_id:
        return None
    return compile_column(mapping.marketo_lead_id, "record_mapping.marketo_lead_id")
