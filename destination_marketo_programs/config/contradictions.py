"""Settings that are fine one by one and cannot go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.config.places import Finding
from destination_marketo_programs.config.settings import (
    CustomMapping,
    DeliverySettings,
    FieldMapping,
    LeadSync,
    LocalStorage,
    OutcomeStorage,
    ProgramLink,
    QualifierMapping,
    RecordMapping,
    S3Storage,
    Settings,
)
from destination_marketo_programs.text import code

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Draft(NamedTuple):
    """The parts of a configuration that could be read, each None where it could not, so that the rest is compared."""

    program_links: Sequence[ProgramLink | None]
    qualifier_mappings: Sequence[QualifierMapping | None]
    record_mapping: RecordMapping | None
    field_mappings: Sequence[FieldMapping | None]
    lead_sync: LeadSync | None
    object_storage_config: OutcomeStorage | None
    delivery: DeliverySettings | None


def draft_of(settings: Settings) -> Draft:
    """Return the draft of a configuration that could be read as a whole."""
    return Draft(
        settings.program_links,
        settings.qualifier_mappings,
        settings.record_mapping,
        settings.field_mappings,
        settings.lead_sync,
        settings.object_storage_config,
        settings.delivery,
    )


def contradictions(draft: Draft, *, cloud: bool) -> Iterator[Finding]:
    """Yield everything that cannot go together. Parts that are None are taken to be right."""
    yield from _repeated_links(draft.program_links)
    yield from _mappings_without_link(draft)
    yield from _qualifiers_without_name(draft)
    yield from _fields_mapped_twice(draft.field_mappings)
    yield from _lookup_field(draft)
    yield from _storage(draft.object_storage_config, cloud=cloud)
    yield from _bulk_ruled_out(draft)


def _repeated_links(links: Sequence[ProgramLink | None]) -> Iterator[Finding]:
    first: dict[tuple[str, str, int], int] = {}
    for position, link in enumerate(links):
        if link is None:
            continue
        earlier = first.setdefault((link.event, link.stream, link.program_id), position)
        if earlier != position:
            yield Finding(
                ("program_links", position),
                f"program_links[{earlier}] already links the same event and stream to program {link.program_id}, "
                "so this link would never be used.",
                "Remove one of the two.",
            )


def _mappings_without_link(draft: Draft) -> Iterator[Finding]:
    if None in draft.program_links:
        return  # the unreadable link may be the one that names the program
    linked = {link.program_id for link in draft.program_links if link}
    for position, mapping in enumerate(draft.qualifier_mappings):
        if mapping and mapping.program_id is not None and mapping.program_id not in linked:
            yield Finding(
                ("qualifier_mappings", position, "program_id"),
                f"No program link names program {mapping.program_id}, so this mapping would never be used.",
                "Correct the ID, add a program link for this program, or leave the ID blank to use the mapping for "
                "every link.",
            )


def _qualifiers_without_name(draft: Draft) -> Iterator[Finding]:
    if not isinstance(draft.record_mapping, CustomMapping):
        return
    for position, mapping in enumerate(draft.qualifier_mappings):
        if mapping and not mapping.qualifier:
            yield Finding(
                ("qualifier_mappings", position, "qualifier"),
                "This is blank, which only works with Mobly leads: their qualifiers have a place of their own.",
                "Name the column that holds the qualifier's value.",
            )


def _fields_mapped_twice(mappings: Sequence[FieldMapping | None]) -> Iterator[Finding]:
    first: dict[tuple[str, str], int] = {}
    for position, mapping in enumerate(mappings):
        if mapping is None:
            continue
        earlier = first.setdefault((mapping.marketo_object, mapping.marketo_field), position)
        if earlier != position:
            yield Finding(
                ("field_mappings", position, "marketo_field"),
                f"field_mappings[{earlier}] already fills this field of the {_OBJECT_NAMES[mapping.marketo_object]}.",
                "Remove one of the two, or choose another Marketo field.",
            )


_OBJECT_NAMES = {"lead": "person", "program_member": "membership"}


def _lookup_field(draft: Draft) -> Iterator[Finding]:
    if draft.lead_sync is None:
        return
    lookup = draft.lead_sync.lookup_field
    location = ("lead_sync", "lookup_field")
    if lookup.casefold() == "id":
        yield Finding(
            location,
            "A Marketo lead ID on the record is always used first, so it is not chosen here.",
            "Leave the lookup field at email, and name the column with the lead ID in "
            "record_mapping.marketo_lead_id (Mobly leads bring it along).",
        )
    elif lookup != "email" and None not in draft.field_mappings:
        filled = {
            mapping.marketo_field for mapping in draft.field_mappings if mapping and mapping.marketo_object == "lead"
        }
        if lookup not in filled:
            yield Finding(
                location,
                f"No field mapping fills {code(lookup)}, so that nobody could be found by it.",
                "Add a field mapping with marketo_object lead and this marketo_field, or use email.",
            )


def _storage(storage: OutcomeStorage | None, *, cloud: bool) -> Iterator[Finding]:
    if isinstance(storage, LocalStorage) and cloud:
        yield Finding(
            ("object_storage_config", "storage_type"),
            "Airbyte Cloud has no folder that outlives a sync.",
            "Choose S3, or None.",
        )
    if not isinstance(storage, S3Storage):
        return
    if not storage.s3_bucket_region and not storage.s3_endpoint:
        yield Finding(
            ("object_storage_config", "S3", "s3_bucket_region"),
            "This is needed for a bucket of Amazon S3.",
            "The Properties tab of the bucket in the S3 console shows it, such as eu-central-1.",
        )
    if storage.access_key_id and not storage.secret_access_key:
        yield Finding(
            ("object_storage_config", "S3", "secret_access_key"),
            "An access key ID is given without its secret.",
            "Fill in both, or neither.",
        )
    if storage.secret_access_key and not storage.access_key_id:
        yield Finding(
            ("object_storage_config", "S3", "access_key_id"),
            "A secret access key is given without its ID.",
            "Fill in both, or neither.",
        )


def _bulk_ruled_out(draft: Draft) -> Iterator[Finding]:
    sync = draft.lead_sync
    if sync is None or draft.delivery is None or draft.delivery.method != "bulk":
        return
    reasons: list[tuple[str, str, str]] = []
    if sync.mode != "create_or_update":
        reasons.append(("always creates and updates people", "mode", code(sync.mode)))
    if sync.lookup_field != "email":
        reasons.append(("finds people by email only", "lookup_field", code(sync.lookup_field)))
    if sync.partition_name:
        reasons.append(("cannot choose a lead partition", "partition_name", "set"))
    if sync.duplicate_leads != "reject":
        choice = code(sync.duplicate_leads)
        reasons.append(("cannot choose between people with the same email", "duplicate_leads", choice))
    for why, setting, value in reasons:
        yield Finding(
            ("delivery", "method"),
            f"Bulk import {why}, but lead_sync.{setting} is {value}.",
            f"Set the method to auto or rest, or change lead_sync.{setting}.",
        )
