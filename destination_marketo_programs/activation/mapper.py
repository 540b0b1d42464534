"""Records of streams for an object: the rules of mapping, made from the object's columns.

A stream with a `destination_object_name` says by its columns what `record_mapping` and `field_mappings` say of others.
Everything else is the configuration's: links, qualifier mappings, how people are found.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from destination_marketo_programs.activation.objects import (
    EVENT,
    EVENT_NAME,
    LEAD_ID,
    MEMBER_PREFIX,
    PROGRAM_MEMBERS,
    PROGRAM_STATUS,
    QUALIFIER,
    SCAN_COUNT,
    first_links,
    object_columns,
    program_of,
    usable_statuses,
)
from destination_marketo_programs.mapping import (
    Column,
    FieldSource,
    PersonMapper,
    QualifierRules,
    Router,
    RuleMapper,
    Rules,
    guard_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from destination_marketo_programs.catalog import ConfiguredStream
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.mapping import FieldCatalog, RecordMapper
    from destination_marketo_programs.marketo.assets import Status
    from destination_marketo_programs.model import Mapped

MOST_SHAPES: Final = 64
"""Sets of columns for which a mapper is kept; the records of a stream have one or a few."""


def mapper_for(
    stream: ConfiguredStream,
    settings: Settings,
    fields: FieldCatalog,
    statuses: Mapping[int, Sequence[Status]],
    ordinary: RecordMapper,
) -> RecordMapper:
    """Choose what maps the records of a stream.

    Args:
        stream: of the configured catalog, without problems.
        settings: the configuration.
        fields: what Marketo says of its fields, those of memberships included.
        statuses: program id -> statuses of its channel.
        ordinary: the mapper of streams without an object, which they share.
    """
    if not stream.destination_object_name:
        return ordinary
    return ObjectMapper(program_of(stream.destination_object_name), settings, fields, statuses)


class ObjectMapper:
    """Decides what happens to the records of one object, as `mapping.Mapper` does for ordinary streams.

    A lead has hundreds of fields, and a record a handful of columns: for each set of columns that comes up, a mapper of
    these alone is made and kept. If there are too many sets, the others share a mapper of all columns.

    Args:
        program_id: of the object; None for `Program members`.
        settings: the configuration.
        fields: what Marketo says of its fields.
        statuses: program id -> statuses of its channel.
    """

    def __init__(
        self,
        program_id: int | None,
        settings: Settings,
        fields: FieldCatalog,
        statuses: Mapping[int, Sequence[Status]],
    ) -> None:
        routed_by_event = program_id is None
        self._settings = settings
        self._fields = fields
        self._sources = field_sources(settings, fields, routed_by_event=routed_by_event)
        links = settings.program_links
        if program_id is not None:
            links = (first_links(settings)[program_id].model_copy(update={"event": "", "stream": ""}),)
        people = self._people(None)
        self._rules = Rules(
            Router(links),
            QualifierRules(settings.qualifier_mappings, blank_means=QUALIFIER),
            people,
            links,
            column(EVENT) if routed_by_event else None,
            column(EVENT_NAME) if routed_by_event else None,
            column(SCAN_COUNT),
            column(PROGRAM_STATUS),
            {number: frozenset(usable_statuses(listed)) for number, listed in statuses.items()},
        )
        self._whole = RuleMapper(self._rules)
        self._by_shape: dict[tuple[str, ...], RuleMapper] = {}
        name = PROGRAM_MEMBERS if program_id is None else f"Program {program_id}"
        self._unseen = watched(self._rules, name, settings.lead_sync.lookup_field)
        self._records = 0

    @property
    def absent_columns(self) -> tuple[Column, ...]:
        """Columns that decide where records go and that no record had; none before the first record."""
        return tuple(self._unseen.values()) if self._records else ()

    @property
    def unreadable_ids(self) -> int:
        """Records so far whose Marketo lead id is not a number."""
        return self._whole.unreadable_ids + sum(mapper.unreadable_ids for mapper in self._by_shape.values())

    @property
    def event_names(self) -> Mapping[str, str]:
        """Names of events by their ids, as far as records gave both."""
        return self._rules.router.event_names

    def map(self, stream: str, data: object) -> Mapped:
        """Say what is to become of one record; arguments and result are those of `mapping.Mapper.map`."""
        self._records += 1
        if not isinstance(data, dict):
            return self._whole.map(stream, data)
        shape = tuple(data)
        mapper = self._by_shape.get(shape)
        if mapper is None:
            mapper = self._mapper_for(shape)
        return mapper.map(stream, data)

    def _mapper_for(self, shape: tuple[str, ...]) -> RuleMapper:
        for name in shape:
            self._unseen.pop(name, None)
        if LEAD_ID in shape:
            self._unseen.pop(self._settings.lead_sync.lookup_field, None)
        if len(self._by_shape) >= MOST_SHAPES:
            return self._whole
        present = frozenset(shape)
        status = self._rules.status if PROGRAM_STATUS in present else None
        mapper = RuleMapper(self._rules._replace(people=self._people(present), status=status))
        self._by_shape[shape] = mapper
        return mapper

    def _people(self, present: Collection[str] | None) -> PersonMapper:
        """The mapper of people for records with these columns; None for any columns."""
        lookup = self._settings.lead_sync.lookup_field
        sources = [
            source
            for source in self._sources
            if present is None or source.column.name in present or source.marketo_field == lookup
        ]
        return PersonMapper(sources, self._settings.lead_sync, self._fields)


def field_sources(settings: Settings, fields: FieldCatalog, *, routed_by_event: bool) -> list[FieldSource]:
    """The fields of an object, each filled by the column of its name."""
    columns = object_columns(settings, fields.lead or (), fields.member or (), routed_by_event=routed_by_event)
    return [
        FieldSource(column(LEAD_ID), "lead", LEAD_ID),
        *(FieldSource(column(name), "lead", name, guard_of("auto", name)) for name in columns.lead),
        *(FieldSource(column(MEMBER_PREFIX + name), "program_member", name) for name in columns.member),
    ]


def watched(rules: Rules, object_name: str, lookup_field: str) -> dict[str, Column]:
    """The columns without which the links and qualifier mappings of the object cannot mean what they say, by name.

    Qualifiers are watched for the object of one program only: `Program members` may get records of other programs.
    """
    names: list[str] = []
    if rules.event is not None:
        names += [EVENT] if all(link.event for link in rules.links) else []
    else:
        names += [item.name for item in rules.qualifiers.columns_for(link.program_id for link in rules.links)]
    if any(link.lead_scan_threshold > 0 for link in rules.links):
        names.append(SCAN_COUNT)
    names.append(lookup_field)
    return {name: Column(name, "", path=object_name) for name in names}


def column(name: str) -> Column:
    """A column of exactly this name: columns of objects are not expressions."""
    return Column(name, f'column "{name}"')
