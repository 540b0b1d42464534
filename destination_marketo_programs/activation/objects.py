"""The objects of data activation and their schemas: what `discover` lists and what records of such a stream carry.

Pure. Source of the shapes: `DestinationCatalog` of the Airbyte protocol, and Marketo's Describe endpoints.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from destination_marketo_programs.marketo.assets import NOT_IN_PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from destination_marketo_programs.config import ProgramLink, Settings
    from destination_marketo_programs.marketo.assets import Program, Status
    from destination_marketo_programs.marketo.leads import FieldInfo

JsonObject = dict[str, Any]

PROGRAM_MEMBERS: Final = "Program members"
PROGRAM_STATUS: Final = "program_status"
SCAN_COUNT: Final = "scan_count"
QUALIFIER: Final = "qualifier"
EVENT: Final = "event"
EVENT_NAME: Final = "event_name"
LEAD_ID: Final = "id"
MEMBER_PREFIX: Final = "member."

_PROGRAM_OBJECT: Final = re.compile(r"Program ([0-9]+)", re.ASCII)
_LONGEST_PROGRAM_ID: Final = 18

_BOOLEAN: Final = {"type": ["null", "boolean"]}
_INTEGER: Final = {"type": ["null", "integer"]}
_NUMBER: Final = {"type": ["null", "number"]}
_JSON_TYPES: Final[dict[str, JsonObject]] = {
    "boolean": _BOOLEAN,
    "integer": _INTEGER,
    "score": _INTEGER,
    "percent": _INTEGER,
    "float": _NUMBER,
    "currency": _NUMBER,
    "date": {"type": ["null", "string"], "format": "date"},
    "datetime": {"type": ["null", "string"], "format": "date-time", "airbyte_type": "timestamp_with_timezone"},
}
"""Marketo's data type -> JSON schema; every type that is not here is text."""

_TEXT: Final = {"type": ["null", "string"]}
_OWN: Final[dict[str, JsonObject]] = {
    SCAN_COUNT: {**_INTEGER, "title": "Scan count"},
    QUALIFIER: {"type": ["null", "string", "array"], "title": "Qualifier"},
    EVENT: {"type": ["null", "string", "integer"], "title": "Event ID"},
    EVENT_NAME: {**_TEXT, "title": "Event name"},
}
"""The connector's own columns, without `program_status`, which depends on the program."""


class ObjectColumns(NamedTuple):
    """What the columns of an object stand for, by name.

    Attributes:
        own: the connector's own columns, such as `program_status`, and the named qualifiers.
        lead: REST names of lead fields, the lookup field first; without `id`.
        member: REST names of program member fields; their columns begin with `member.`.
        shadowed: columns of fields that are left out because `own` has that name.
    """

    own: tuple[str, ...]
    lead: tuple[str, ...]
    member: tuple[str, ...]
    shadowed: tuple[str, ...]

    def names(self) -> list[str]:
        """Every column that a record of the object may have."""
        columns = (*self.own, LEAD_ID, *self.lead, *(MEMBER_PREFIX + name for name in self.member))
        return list(dict.fromkeys(columns))


def object_columns(
    settings: Settings, lead: Iterable[str], member: Iterable[str], *, routed_by_event: bool
) -> ObjectColumns:
    """The columns of an object.

    Args:
        settings: the configuration.
        lead: REST names of the lead fields that can be updated.
        member: likewise, of program members.
        routed_by_event: true for `Program members`, false for the object of one program.
    """
    qualifiers = (mapping.qualifier for mapping in settings.qualifier_mappings if mapping.qualifier)
    events = (EVENT, EVENT_NAME) if routed_by_event else ()
    own = tuple(dict.fromkeys((PROGRAM_STATUS, SCAN_COUNT, QUALIFIER, *events, *qualifiers)))
    lookup = settings.lead_sync.lookup_field
    # A key stays what it is whatever else reads its column: without it nobody could be found.
    lead = [name for name in lead if name not in {lookup, LEAD_ID}]
    columns = {name: MEMBER_PREFIX + name for name in member}
    return ObjectColumns(
        own,
        (lookup, *(name for name in lead if name not in own)),
        tuple(name for name, column in columns.items() if column not in own),
        tuple(column for column in (*lead, *columns.values()) if column in own),
    )


class ActivationObject(msgspec.Struct, frozen=True):
    """One object: a row of Airbyte's list of objects, and the columns that its records may have.

    Attributes:
        name: as `discover` lists it.
        program_id: None for `Program members`, whose records are routed by event.
        properties: JSON schema by column name.
        required: columns that every record has to have.
    """

    name: str
    program_id: int | None
    properties: dict[str, JsonObject]
    columns: ObjectColumns
    required: tuple[str, ...] = ()

    def operation(self, settings: Settings) -> JsonObject:
        """The object as a member of `operations` in a DESTINATION_CATALOG."""
        return {
            "object_name": self.name,
            "sync_mode": "update" if settings.lead_sync.mode == "match_only" else "append_dedup",
            "json_schema": {
                "type": "object",
                "additionalProperties": False,
                "required": list(self.required),
                "properties": self.properties,
            },
            "matching_keys": [[key] for key in dict.fromkeys((settings.lead_sync.lookup_field, LEAD_ID))],
        }


def program_of(object_name: str) -> int | None:
    """The id in `Program <id>: <name>`; None for every other name. What follows the digits does not count."""
    match = _PROGRAM_OBJECT.match(object_name.strip())
    return int(match[1]) if match and len(match[1]) <= _LONGEST_PROGRAM_ID else None


def first_links(settings: Settings) -> dict[int, ProgramLink]:
    """The link that speaks for each linked program: the first one, in the order of the configuration."""
    links: dict[int, ProgramLink] = {}
    for link in settings.program_links:
        links.setdefault(link.program_id, link)
    return links


def usable_statuses(statuses: Iterable[Status]) -> list[str]:
    """Names of the statuses that people can be given, in the order of the channel."""
    return [status.name for status in statuses if not status.hidden and status.name != NOT_IN_PROGRAM]


class ObjectSchemas:
    """Makes the objects of one configuration and one Marketo instance.

    Args:
        settings: the configuration.
        lead: all lead fields by REST name, as Marketo describes them.
        member: likewise, of program members; None if they are not known, which leaves them out.
    """

    def __init__(
        self, settings: Settings, lead: Mapping[str, FieldInfo], member: Mapping[str, FieldInfo] | None = None
    ) -> None:
        self._settings = settings
        lookup = settings.lead_sync.lookup_field
        known = lead.get(lookup)
        self._lead = {field.name: field_schema(field) for field in lead.values() if field.updateable}
        self._lead[lookup] = {**_TEXT, "title": lookup} if known is None else field_schema(known)
        self._lead[LEAD_ID] = {**_INTEGER, "title": _title(lead.get(LEAD_ID), "Marketo lead ID")}
        self._member = {field.name: field_schema(field) for field in (member or {}).values() if field.updateable}

    def program_members(self) -> ActivationObject:
        """The object whose records are routed by event and stream."""
        every_link_has_an_event = all(link.event for link in self._settings.program_links)
        required = (EVENT,) if every_link_has_an_event else ()
        return self._object(PROGRAM_MEMBERS, None, _TEXT, required)

    def program(self, program: Program, statuses: Iterable[Status]) -> ActivationObject:
        """The object of one linked program, with the statuses of its channel to choose from."""
        status = {**_TEXT, "enum": [None, *usable_statuses(statuses)]}
        return self._object(f"Program {program.id}: {program.name}", program.id, status)

    def _object(
        self, name: str, program_id: int | None, status: JsonObject, required: tuple[str, ...] = ()
    ) -> ActivationObject:
        columns = object_columns(self._settings, self._lead, self._member, routed_by_event=program_id is None)
        known = {**_OWN, PROGRAM_STATUS: {**status, "title": "Program status"}}
        properties = {column: known.get(column) or {**_TEXT, "title": column} for column in columns.own}
        for field in (LEAD_ID, *columns.lead):
            properties[field] = self._lead[field]
        for field in columns.member:
            properties[MEMBER_PREFIX + field] = self._member[field]
        return ActivationObject(name, program_id, properties, columns, required)


def field_schema(field: FieldInfo) -> JsonObject:
    """JSON schema of a lead or program member field."""
    schema = _JSON_TYPES.get(field.data_type.casefold())
    if schema is not None:
        return {**schema, "title": _title(field, field.name)}
    text: JsonObject = {**_TEXT, "title": _title(field, field.name)}
    if field.length is not None:
        text["maxLength"] = field.length
    return text


def _title(field: FieldInfo | None, otherwise: str) -> str:
    return (field.display_name if field is not None else "") or otherwise
