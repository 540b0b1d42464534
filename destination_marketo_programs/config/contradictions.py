"""Settings that are fine one by one and cannot go together."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.config.bulk import GUARDS, bulk_obstacles
from destination_marketo_programs.config.settings import (
    CustomMapping,
    DeliverySettings,
    FieldMapping,
    LeadSync,
    LocalStorage,
    NoStorage,
    OutcomeStorage,
    ProgramLink,
    QualifierMapping,
    RecordMapping,
    S3Storage,
    Settings,
)
from destination_marketo_programs.model import Problem
from destination_marketo_programs.text import code, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Draft(NamedTuple):
    """The parts of a configuration that could be read, each None if it could not, so that the rest is compared."""

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


def contradictions(draft: Draft, *, cloud: bool) -> Iterator[Problem]:
    """Yield everything that cannot go together. Parts that are None are taken to be right."""
    yield from _repeated_links(draft.program_links)
    yield from _mappings_without_link(draft)
    yield from _qualifiers_without_name(draft)
    yield from _scans_without_column(draft)
    yield from _fields_mapped_twice(draft.field_mappings)
    yield from _guards_of_members(draft.field_mappings)
    yield from _lookup_field(draft)
    yield from _memory_without_storage(draft)
    yield from _storage(draft.object_storage_config, cloud=cloud)
    yield from _bulk_ruled_out(draft)


def _repeated_links(links: Sequence[ProgramLink | None]) -> Iterator[Problem]:
    first: dict[tuple[str, str, int], int] = {}
    for position, link in enumerate(links):
        if link is None:
            continue
        earlier = first.setdefault((link.event, link.stream, link.program_id), position)
        if earlier != position:
            yield Problem(
                ("program_links", position),
                f"Program link {earlier + 1} already links the same event and stream to program {link.program_id}, "
                "so this link would never be used.",
                "Remove one of the two.",
            )


def _mappings_without_link(draft: Draft) -> Iterator[Problem]:
    if None in draft.program_links:
        return  # the unreadable link may be the one that names the program
    linked = {link.program_id for link in draft.program_links if link}
    for position, mapping in enumerate(draft.qualifier_mappings):
        if mapping and mapping.program_id is not None and mapping.program_id not in linked:
            yield Problem(
                ("qualifier_mappings", position, "program_id"),
                f"No program link has program {mapping.program_id}, so this mapping would never be used.",
                "Correct the ID, add a program link for this program, or leave the ID blank to use the mapping for "
                "every link.",
            )


def _qualifiers_without_name(draft: Draft) -> Iterator[Problem]:
    if not isinstance(draft.record_mapping, CustomMapping):
        return
    for position, mapping in enumerate(draft.qualifier_mappings):
        if mapping and not mapping.qualifier:
            yield Problem(
                ("qualifier_mappings", position, "qualifier"),
                "This is blank, which works with Mobly leads only.",
                "Name the column that holds the answer.",
            )


def _scans_without_column(draft: Draft) -> Iterator[Problem]:
    if not isinstance(draft.record_mapping, CustomMapping) or draft.record_mapping.scan_count:
        return
    for position, link in enumerate(draft.program_links):
        if link and link.lead_scan_threshold > 0:
            yield Problem(
                ("program_links", position, "lead_scan_threshold"),
                "No column holds the number of scans, so this link would skip every record.",
                "Name the column in record_mapping.scan_count, or set the threshold to 0.",
            )


def _fields_mapped_twice(mappings: Sequence[FieldMapping | None]) -> Iterator[Problem]:
    first: dict[tuple[str, str], int] = {}
    for position, mapping in enumerate(mappings):
        if mapping is None:
            continue
        earlier = first.setdefault((mapping.marketo_object, mapping.marketo_field), position)
        if earlier != position:
            yield Problem(
                ("field_mappings", position, "marketo_field"),
                f"Field mapping {earlier + 1} already fills this {_OBJECT_NAMES[mapping.marketo_object]} field, "
                f"{quoted(mapping.marketo_field)}.",
                "Remove one of the two, or choose another Marketo field.",
            )


def _guards_of_members(mappings: Sequence[FieldMapping | None]) -> Iterator[Problem]:
    for position, mapping in enumerate(mappings):
        if mapping and mapping.marketo_object == "program_member" and mapping.write in GUARDS:
            yield Problem(
                ("field_mappings", position, "write"),
                f"{mapping.write} works with person fields only, but marketo_object is program_member.",
                "Choose always or only_true, or map the column to a field of the person.",
            )


_OBJECT_NAMES = {"lead": "person", "program_member": "program member"}


def _lookup_field(draft: Draft) -> Iterator[Problem]:
    if draft.lead_sync is None:
        return
    lookup = draft.lead_sync.lookup_field
    location = ("lead_sync", "lookup_field")
    if lookup.casefold() == "id":
        yield Problem(
            location,
            "A Marketo lead ID on the record is always used first, so it cannot be chosen here.",
            "Leave the lookup field at email, and name the column with the lead ID in "
            "record_mapping.marketo_lead_id (Mobly leads include it).",
        )
    elif lookup != "email" and None not in draft.field_mappings:
        filled = {
            mapping.marketo_field for mapping in draft.field_mappings if mapping and mapping.marketo_object == "lead"
        }
        if lookup not in filled:
            yield Problem(
                location,
                f"No field mapping fills {code(lookup)}, so nobody could be found by it.",
                "Add a field mapping with marketo_object lead and this marketo_field, or use email.",
            )


def _memory_without_storage(draft: Draft) -> Iterator[Problem]:
    if draft.lead_sync and draft.lead_sync.send == "changes" and isinstance(draft.object_storage_config, NoStorage):
        yield Problem(
            ("lead_sync", "send"),
            "changes needs a storage to remember what was sent, but object_storage_config is None.",
            "Choose a storage under Reconciliation, or set this to everything.",
        )


def _storage(storage: OutcomeStorage | None, *, cloud: bool) -> Iterator[Problem]:
    if isinstance(storage, LocalStorage) and cloud:
        yield Problem(
            ("object_storage_config", "storage_type"),
            "On Airbyte Cloud no folder is kept after a sync.",
            "Choose S3, or None.",
        )
    if not isinstance(storage, S3Storage):
        return
    if not storage.s3_bucket_region and not storage.s3_endpoint:
        yield Problem(
            ("object_storage_config", "S3", "s3_bucket_region"),
            "This must be filled in for a bucket of Amazon S3.",
            "The Properties tab of the bucket in the S3 console shows it, such as eu-central-1.",
        )
    if storage.access_key_id and not storage.secret_access_key:
        yield Problem(
            ("object_storage_config", "S3", "secret_access_key"),
            "An access key ID is given without its secret.",
            "Fill in both, or neither.",
        )
    if storage.secret_access_key and not storage.access_key_id:
        yield Problem(
            ("object_storage_config", "S3", "access_key_id"),
            "A secret access key is given without its ID.",
            "Fill in both, or neither.",
        )


def _bulk_ruled_out(draft: Draft) -> Iterator[Problem]:
    """Settings that a file of people cannot keep; `auto` sends such people over REST."""
    if draft.delivery is None or draft.delivery.method != "bulk":
        return
    for reason, setting, value in bulk_obstacles(draft.lead_sync, draft.field_mappings):
        yield Problem(
            ("delivery", "method"),
            f"Bulk import {reason}, but {setting} is {value}.",
            f"Set the method to auto or rest, or change {setting}.",
        )
