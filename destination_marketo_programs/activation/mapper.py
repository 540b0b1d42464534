"""Records of streams for an object: the same mapping, made from the object's columns instead of the configuration's.

A stream with a `destination_object_name` says by its columns what `record_mapping` and `field_mappings` say of others.
Everything else is the configuration's: links, qualifier mappings, how people are found. So the mapping is the ordinary
one, given settings in which each column of the object is a field mapping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from destination_marketo_programs.activation.objects import (
    EVENT,
    EVENT_NAME,
    LEAD_ID,
    MEMBER_PREFIX,
    PROGRAM_STATUS,
    QUALIFIER,
    SCAN_COUNT,
    first_links,
    object_columns,
    program_of,
    usable_statuses,
)
from destination_marketo_programs.config import CustomMapping, FieldMapping
from destination_marketo_programs.mapping import Column, Mapper, RecordError, text_of
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from destination_marketo_programs.activation.objects import ObjectColumns
    from destination_marketo_programs.catalog import ConfiguredStream
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.mapping import FieldCatalog
    from destination_marketo_programs.marketo.assets import Status
    from destination_marketo_programs.model import Mapped

MOST_SHAPES: Final = 64
"""Sets of columns for which a mapping is kept; records of one stream have one or a few."""


def mapper_for(
    stream: ConfiguredStream,
    settings: Settings,
    fields: FieldCatalog,
    statuses: Mapping[int, Sequence[Status]],
) -> ObjectMapper | None:
    """Choose the mapping of a stream's records.

    Args:
        stream: of the configured catalog, without problems.
        settings: the configuration.
        fields: what Marketo says of its fields, those of memberships included.
        statuses: program id -> statuses of its channel.

    Returns:
        None if the stream is for no object: then the ordinary mapping, which streams share, applies.
    """
    if not stream.destination_object_name:
        return None
    return ObjectMapper(program_of(stream.destination_object_name), settings, fields, statuses)


class ObjectMapper:
    """Decides what becomes of the records of one object, as `mapping.Mapper` does for the others.

    A lead has hundreds of fields, and a record a handful of columns: for each set of columns that comes up, a mapping
    with these alone is made and kept. Records with ever different columns share one that knows all of them.

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
        self._program_id = program_id
        self._settings = settings
        self._fields = fields
        self._columns = object_columns(
            settings, fields.lead or (), fields.member or (), routed_by_event=program_id is None
        )
        self._own_status = OwnStatus(statuses)
        self._by_shape: dict[tuple[str, ...], Mapper] = {}
        self._whole = self._mapper(self._columns.names())

    def map(self, stream: str, data: object) -> Mapped:
        """Say what is to become of one record; arguments and result are those of `mapping.Mapper.map`."""
        return self._for_shape(data).map(stream, data)

    def _for_shape(self, data: object) -> Mapper:
        if not isinstance(data, dict):
            return self._whole
        shape = tuple(data)
        mapper = self._by_shape.get(shape)
        if mapper is None:
            if len(self._by_shape) >= MOST_SHAPES:
                return self._whole
            mapper = self._by_shape[shape] = self._mapper(shape)
        return mapper

    def _mapper(self, present: Collection[str]) -> Mapper:
        settings = object_settings(self._settings, self._columns, frozenset(present), self._program_id)
        own_status = self._own_status if PROGRAM_STATUS in present else None
        return Mapper(settings, self._fields, compiled=_by_name, own_status=own_status)


class OwnStatus:
    """Reads the status that a record itself asks for.

    Args:
        statuses: program id -> statuses of its channel.
    """

    def __init__(self, statuses: Mapping[int, Sequence[Status]]) -> None:
        self._usable = {program_id: frozenset(usable_statuses(listed)) for program_id, listed in statuses.items()}

    def __call__(self, program_id: int, record: Mapping[str, Any]) -> str | None:
        """Give the status of the record for one program; None if it names none.

        Raises:
            RecordError: STATUS_NOT_FOUND, if the program has no such status that people can be given.
        """
        value = record.get(PROGRAM_STATUS)
        if value is None:
            return None
        text = text_of(value)
        if text is not None:
            text = text.strip()
            if not text:
                return None
            usable = self._usable.get(program_id)
            if usable is None or text in usable:
                return text
        raise RecordError(
            Category.STATUS_NOT_FOUND,
            f'The column "{PROGRAM_STATUS}" holds a status that program {program_id} does not have.',
        )


def object_settings(
    settings: Settings, columns: ObjectColumns, present: frozenset[str], program_id: int | None
) -> Settings:
    """The configuration as it holds for the records of an object.

    Args:
        settings: the configuration.
        columns: of the object.
        present: columns of the records; fields without a column are left out.
        program_id: of the object; None for `Program members`.
    """
    lead = [FieldMapping.model_construct(record_field=name, marketo_field=name) for name in columns.lead]
    member = [
        FieldMapping.model_construct(
            record_field=MEMBER_PREFIX + name, marketo_object="program_member", marketo_field=name
        )
        for name in columns.member
    ]
    routed_by_event = program_id is None
    links = settings.program_links
    if program_id is not None:
        links = (first_links(settings)[program_id].model_copy(update={"event": "", "stream": ""}),)
    return settings.model_copy(
        update={
            "record_mapping": CustomMapping.model_construct(
                marketo_lead_id=LEAD_ID,
                event=EVENT if routed_by_event else "",
                event_name=EVENT_NAME if routed_by_event else "",
                scan_count=SCAN_COUNT,
            ),
            "program_links": links,
            "qualifier_mappings": tuple(
                mapping if mapping.qualifier else mapping.model_copy(update={"qualifier": QUALIFIER})
                for mapping in settings.qualifier_mappings
            ),
            "field_mappings": tuple(
                mapping
                for mapping in (*lead, *member)
                if mapping.record_field in present or mapping.record_field == settings.lead_sync.lookup_field
            ),
        }
    )


def _by_name(text: str, _path: str) -> Column:
    """A column of exactly this name: what an object's columns are called is not an expression."""
    return Column(text, f'The column "{text}"')
