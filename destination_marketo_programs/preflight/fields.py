"""Field mappings, lookup field and partition against what Marketo describes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from destination_marketo_programs.mapping import FieldCatalog, Mapper, WritableField
from destination_marketo_programs.model import Problem
from destination_marketo_programs.text import did_you_mean, folded, joined, listed, nearest, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from destination_marketo_programs.config import FieldMapping, Settings
    from destination_marketo_programs.marketo.leads import FieldInfo
    from destination_marketo_programs.preflight.asking import Facts

_LEAD_ID = "id"
_NO_KEYS = (_LEAD_ID, "cookies", "leadPartitionId")
"""Searchable, and still nothing that a record would name a person by; for `id` there is another way."""
_EMAIL = "email"
_EXPORT = "Admin > Field Management > Export Field Names lists the REST API names."

_NEVER_TAKEN: Final = {
    "formula": "Marketo computes it from other fields",
    "reference": "it points to another record",
}
"""Data types that no value of a record fits."""

_WHOLE = "whole numbers only"
_DECIMAL = "numbers only"
_TAKEN: Final = {
    "boolean": "true or false only",
    "integer": _WHOLE,
    "score": _WHOLE,
    "percent": _WHOLE,
    "float": _DECIMAL,
    "currency": _DECIMAL,
    "date": "dates only",
    "datetime": "dates with a time only",
}
"""Data type -> what it takes; types that are not here take any text."""

_TEXT: Final[frozenset[str]] = frozenset()
_NUMBER: Final = frozenset({"integer", "score", "percent", "float", "currency"})
_COLUMNS: Final[dict[str, tuple[str, frozenset[str]]]] = {
    **dict.fromkeys(
        (
            "firstName", "lastName", "email", "description", "linkedin", "facebook", "twitter", "jobTitle", "address",
            "lastScannedBy", "event_name", "company.name", "company.industry", "company.linkedin",
            "company.streetAddress", "company.city", "company.state", "company.country",
        ),
        ("text", _TEXT),
    ),
    **dict.fromkeys(("isEnriched", "registered", "checkedIn"), ("true or false", frozenset({"boolean"}))),
    **dict.fromkeys(("tags[].value", "tags[*].value"), ("a list of texts", _TEXT)),
    "numberOfScans": ("a number", _NUMBER),
    "createdAt": ("a date with a time", frozenset({"datetime"})),
}  # fmt: skip
"""Mobly's column -> what it holds, and the data types besides text that take it without loss. Source: Mobly's REST
API v0, `LeadV0Response`; columns whose texts may well be numbers or dates (ids, postal codes) are left out."""

_STRUCTURED: Final = {
    "company": ("an object", "company.name"),
    "phoneNumbers": ("an object", "phoneNumbers.leadProvided[0].number"),
    "tags": ("a list of objects", "tags[].value"),
    "remoteIds": ("a list of objects", "remoteIds[].id"),
}
"""Mobly's columns that no field takes as they are, with a JMESPath into them that works."""


def catalog_of(facts: Facts) -> FieldCatalog:
    """What mapping needs to know of the fields; None for an object whose fields Marketo did not tell."""
    return FieldCatalog(
        _writable(facts.leads.fields) if facts.leads and facts.leads.fields else None,
        _writable(facts.members) if facts.members else None,
    )


def _writable(fields: Mapping[str, FieldInfo]) -> dict[str, WritableField]:
    return {name: WritableField(field.data_type, field.length) for name, field in fields.items() if field.updateable}


def field_problems(settings: Settings, facts: Facts) -> Iterator[Problem]:
    """Mappings to fields that do not exist, cannot be written, or cannot take what the column holds."""
    is_mobly = settings.record_mapping.mapping_type == "mobly"
    for position, mapping in enumerate(settings.field_mappings):
        is_lead = mapping.marketo_object == "lead"
        of_people = facts.leads.fields if facts.leads else None
        fields, others = (of_people, facts.members) if is_lead else (facts.members, of_people)
        if not fields or (is_lead and mapping.marketo_field == _LEAD_ID):
            continue  # the lead ID is not written: people are found by it
        is_key = is_lead and mapping.marketo_field == settings.lead_sync.lookup_field
        finding = _unknown(mapping, fields, others or {}) or _unwritable(mapping, fields, is_key=is_key)
        if finding is None and is_mobly:
            finding = _unfit(mapping, fields[mapping.marketo_field])
        if finding:
            yield Problem(("field_mappings", position, "marketo_field"), *finding)


def _unknown(
    mapping: FieldMapping, fields: Mapping[str, FieldInfo], others: Mapping[str, FieldInfo]
) -> tuple[str, str] | None:
    name = mapping.marketo_field
    if name in fields:
        return None
    of_what, other = ("person", "membership") if mapping.marketo_object == "lead" else ("membership", "person")
    message = f"Marketo has no {of_what} field with the REST API name {quoted(name)}."
    if name in others:
        other_object = "program_member" if mapping.marketo_object == "lead" else "lead"
        return message, f"It is a field of the {other}: choose marketo_object {other_object}, or another field."
    return message, did_you_mean(_near_field(name, fields)) + _EXPORT


def _unwritable(mapping: FieldMapping, fields: Mapping[str, FieldInfo], *, is_key: bool) -> tuple[str, str] | None:
    name = mapping.marketo_field
    field = fields[name]
    reason = _NEVER_TAKEN.get(field.data_type.casefold())
    if reason:
        return (
            f"{quoted(name)} cannot be filled: {reason} (type {field.data_type}).",
            "Choose another field, or remove this mapping.",
        )
    if not field.updateable and not is_key:
        return (
            f"{quoted(name)} is read-only: only Marketo itself fills it.",
            "Choose a field of your own, or remove this mapping.",
        )
    return None


def _unfit(mapping: FieldMapping, field: FieldInfo) -> tuple[str, str] | None:
    column = mapping.record_field
    if column in _STRUCTURED:
        holds, better = _STRUCTURED[column]
        return (
            f"Mobly's {quoted(column)} is {holds}, which no Marketo field can take.",
            f"Name in record_field what to take out of it, such as {better}.",
        )
    takes = _TAKEN.get(field.data_type.casefold())
    if takes is None or column not in _COLUMNS:
        return None
    holds, fits = _COLUMNS[column]
    if field.data_type.casefold() in fits:
        return None
    return (
        f"Mobly's {quoted(column)} holds {holds}, and {quoted(field.name)} (type {field.data_type}) takes {takes}.",
        "Choose a text field for this column, or another column for this field.",
    )


def _near_field(given: str, fields: Mapping[str, FieldInfo]) -> str | None:
    """The writable field that a mistyped name, or the name on screen, most likely means."""
    writable = [field for field in fields.values() if field.updateable]
    for field in writable:
        if _squeezed(given) in (_squeezed(field.name), _squeezed(field.display_name)):
            return field.name
    return nearest(given, {field.name: field.name for field in writable}) or nearest(
        given, {field.display_name: field.name for field in writable if field.display_name}
    )


def _squeezed(name: str) -> str:
    """Letters and digits only: `Lead Source`, `lead_source` and `Lead_Source__c` are all near `leadSource`."""
    return re.sub(r"__c$|[\W_]", "", name).casefold()


def lookup_problems(settings: Settings, facts: Facts) -> Iterator[Problem]:
    """A lookup field that Marketo cannot find people by."""
    lookup = settings.lead_sync.lookup_field
    if facts.leads is None or not facts.leads.fields or lookup == _EMAIL:
        return
    searchable = facts.leads.searchable
    known = sorted(facts.leads.fields if searchable is None else searchable)
    if lookup not in facts.leads.fields:
        near = _near_field(lookup, {name: facts.leads.fields[name] for name in known if name in facts.leads.fields})
        yield Problem(
            ("lead_sync", "lookup_field"),
            f"Marketo has no person field with the REST API name {quoted(lookup)}.",
            did_you_mean(near) + _EXPORT,
        )
    elif searchable is not None and lookup not in searchable:
        yield Problem(
            ("lead_sync", "lookup_field"),
            f"Marketo cannot find people by {quoted(lookup)}.",
            f"Choose one of {listed(name for name in known if name not in _NO_KEYS)}.",
        )


def partition_problems(settings: Settings, facts: Facts) -> Iterator[Problem]:
    """A lead partition that Marketo does not have, or does not show to this API user."""
    name = settings.lead_sync.partition_name
    if not name or facts.partitions is None or name in facts.partitions:
        return
    near = nearest(name, {partition: partition for partition in facts.partitions})
    spelled = near is not None and folded(near) == folded(name)
    yield Problem(
        ("lead_sync", "partition_name"),
        f"{quoted(name)} is not spelled as in Marketo: upper and lower case and spaces count."
        if spelled
        else f"Marketo shows the API user no lead partition {quoted(name)}.",
        f"{did_you_mean(near)}There are {listed(facts.partitions)}."
        if facts.partitions
        else "Leave it blank: Marketo shows no partition at all.",
    )


def field_notes(settings: Settings, catalog: FieldCatalog) -> Iterator[str]:
    """Fields that the mobly mapping would fill, and this instance does not have."""
    dropped = Mapper(settings, catalog).dropped_defaults
    if dropped:
        names = joined([quoted(name) for name in dropped])
        yield f"Marketo has no writable field {names}, so this part of Mobly's leads is left out."
