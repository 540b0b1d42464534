"""Field mappings and the lookup field against what Marketo describes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from destination_marketo_programs.config.bulk import GUARDS
from destination_marketo_programs.mapping import FieldCatalog, WritableField
from destination_marketo_programs.mapping.sources import sources_of
from destination_marketo_programs.model import Problem
from destination_marketo_programs.text import Names, did_you_mean, joined, listed, numbered, quoted

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

_WHOLE = "whole numbers only"
_DECIMAL = "numbers only"
_TAKEN: Final = {
    "boolean": "true or false only",
    "integer": _WHOLE,
    "score": _WHOLE,
    "percent": _WHOLE,
    "reference": "the ID of another record only",
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


class _Fields:
    """The fields of people or of program members, and what a mistyped name may mean among those that can be written."""

    def __init__(self, described: Mapping[str, FieldInfo]) -> None:
        self.described = described
        writable = [field for field in described.values() if field.updateable]
        self._squeezed: dict[str, str] = {}
        for field in writable:
            for name in (field.name, field.display_name):
                self._squeezed.setdefault(_squeezed(name), field.name)
        self._names = Names(field.name for field in writable)
        self._titles = Names({field.display_name: field.name for field in writable if field.display_name})

    def nearest(self, given: str) -> str | None:
        """The REST API name that a mistyped name, or a name on screen, most likely means."""
        return self._squeezed.get(_squeezed(given)) or self._names.nearest(given) or self._titles.nearest(given)


def _squeezed(name: str) -> str:
    """Letters and digits only: `Lead Source`, `lead_source` and `Lead_Source__c` are all near `leadSource`."""
    return re.sub(r"__c$|[\W_]", "", name).casefold()


def field_problems(settings: Settings, facts: Facts) -> Iterator[Problem]:
    """Mappings to fields that do not exist, cannot be written, or cannot take what the column holds."""
    is_mobly = settings.record_mapping.mapping_type == "mobly"
    people = _Fields(facts.leads.fields) if facts.leads and facts.leads.fields else None
    members = _Fields(facts.members) if facts.members else None
    for position, mapping in settings.placed_field_mappings():
        is_lead = mapping.marketo_object == "lead"
        fields, others = (people, members) if is_lead else (members, people)
        if fields is None or (is_lead and mapping.marketo_field == _LEAD_ID):
            continue  # the lead ID is not written: people are found by it
        is_key = is_lead and mapping.marketo_field == settings.lead_sync.lookup_field
        finding = _unknown(mapping, fields, others) or _unwritable(mapping, fields, is_key=is_key)
        if finding is None and is_mobly:
            finding = _unfit(mapping, fields.described[mapping.marketo_field])
        if finding:
            yield Problem(("field_mappings", position, "marketo_field"), *finding)


def _unknown(mapping: FieldMapping, fields: _Fields, others: _Fields | None) -> tuple[str, str] | None:
    name = mapping.marketo_field
    if name in fields.described:
        return None
    of_what, other = ("person", "program member") if mapping.marketo_object == "lead" else ("program member", "person")
    message = f"Marketo has no {of_what} field with the REST API name {quoted(name)}."
    if others is not None and name in others.described:
        other_object = "program_member" if mapping.marketo_object == "lead" else "lead"
        return message, f"It is a {other} field: set marketo_object to {other_object}, or choose another field."
    return message, did_you_mean(fields.nearest(name)) + _EXPORT


def _unwritable(mapping: FieldMapping, fields: _Fields, *, is_key: bool) -> tuple[str, str] | None:
    field = fields.described[mapping.marketo_field]
    if field.updateable or is_key:
        return None
    why = (
        "Marketo computes it from other fields" if field.data_type.casefold() == "formula" else "only Marketo fills it"
    )
    return (
        f"{quoted(field.name)} is read-only: {why}.",
        "Choose another field, or remove this mapping.",
    )


def _unfit(mapping: FieldMapping, field: FieldInfo) -> tuple[str, str] | None:
    column = mapping.record_field
    if column in _STRUCTURED:
        holds, better = _STRUCTURED[column]
        return (
            f"Mobly's {quoted(column)} is {holds}, which no Marketo field accepts.",
            f"Name in record_field what to take from it, such as {better}.",
        )
    takes = _TAKEN.get(field.data_type.casefold())
    if takes is None or column not in _COLUMNS:
        return None
    holds, fits = _COLUMNS[column]
    if field.data_type.casefold() in fits:
        return None
    return (
        f"Mobly's {quoted(column)} holds {holds}, and {quoted(field.name)} (type {field.data_type}) accepts {takes}.",
        "Choose a text field for this column, or another column for this field.",
    )


def lookup_problems(settings: Settings, facts: Facts) -> Iterator[Problem]:
    """A lookup field that Marketo cannot find people by."""
    lookup = settings.lead_sync.lookup_field
    if facts.leads is None or not facts.leads.fields or lookup == _EMAIL:
        return
    searchable = facts.leads.searchable
    known = sorted(facts.leads.fields if searchable is None else searchable)
    if lookup not in facts.leads.fields:
        described = {name: facts.leads.fields[name] for name in known if name in facts.leads.fields}
        yield Problem(
            ("lead_sync", "lookup_field"),
            f"Marketo has no person field with the REST API name {quoted(lookup)}.",
            did_you_mean(_Fields(described).nearest(lookup)) + _EXPORT,
        )
    elif searchable is not None and lookup not in searchable:
        yield Problem(
            ("lead_sync", "lookup_field"),
            f"Marketo cannot find people by {quoted(lookup)}.",
            f"Choose one of {listed(name for name in known if name not in _NO_KEYS)}.",
        )


def field_notes(settings: Settings, catalog: FieldCatalog) -> Iterator[str]:
    """Fields that the mobly mapping would fill and this instance does not have; and what guarded fields cost."""
    dropped = sources_of(settings, catalog).dropped_defaults
    if dropped:
        names = joined([quoted(name) for name in dropped])
        yield f"Marketo has no writable field {names}, so this part of Mobly's leads is left out."
    guarded = [at for at, mapping in enumerate(settings.field_mappings) if mapping.write in GUARDS]
    if guarded:
        yield (
            f"Field {numbered(guarded, 'mapping')} {'depends' if len(guarded) == 1 else 'depend'} on what Marketo has: "
            "that costs one read per 300 people, and rules out bulk import."
        )
    if settings.lead_sync.mode == "match_only":
        yield from _never_created(settings)


def _never_created(settings: Settings) -> Iterator[str]:
    """What is meant for people whom this connector creates, where it creates nobody."""
    on_create = [at for at, mapping in enumerate(settings.field_mappings) if mapping.write == "on_create"]
    if on_create:
        verb = "writes" if len(on_create) == 1 else "write"
        yield (
            f"Field {numbered(on_create, 'mapping')} {verb} to people whom this connector creates, but "
            "lead_sync.mode is match_only: nobody is created."
        )
    if settings.lead_sync.acquisition_program == "first_program":
        yield (
            "lead_sync.acquisition_program is set for people whom this connector creates, but lead_sync.mode is "
            "match_only: nobody is created."
        )
