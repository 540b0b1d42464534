"""How the records of each stream are read: one mapper for all of them, or one for a stream that has an object."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.activation.mapper import mapper_for
from destination_marketo_programs.activation.refusals import any_object
from destination_marketo_programs.delivery.reading import StreamRules
from destination_marketo_programs.mapping import Mapper, key_columns
from destination_marketo_programs.protocol import line_parser, parse_line
from destination_marketo_programs.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from destination_marketo_programs.catalog import Catalog
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.mapping import RecordMapper
    from destination_marketo_programs.model import Mapped
    from destination_marketo_programs.preflight import Preflight
    from destination_marketo_programs.protocol import LineParser, StreamKey


class Mappers:
    """The mappers of one run.

    Attributes:
        default: rules for a stream that the catalog does not have.
        rules: rules by stream.
        parse: reads a line of standard input.
    """

    def __init__(self, settings: Settings, preflight: Preflight, catalog: Catalog) -> None:
        streams = catalog.streams
        ordinary = Mapper(settings, preflight.fields, key_columns(p for s in streams for p in s.primary_key))
        self._all: list[RecordMapper] = [ordinary]
        self.default = StreamRules(ordinary.map)
        self.rules: dict[StreamKey, StreamRules] = {}
        for stream in streams:
            mapper: RecordMapper = ordinary
            if stream.destination_object_name:
                mapper = mapper_for(stream, settings, preflight.fields, preflight.statuses, ordinary)
                self._all.append(mapper)
            self.rules[stream.key] = StreamRules(mapper.map, stream.primary_key)
        # An object's mapper asks which columns a record has, so that none may be left out.
        self.parse: LineParser = parse_line if any_object(streams) else line_parser(ordinary.data_type)

    def map_record(self, stream: StreamKey, data: object) -> Mapped:
        """What a record asks for, read once more."""
        return self.rules.get(stream, self.default).map_record(stream[1], data)

    @property
    def unreadable_ids(self) -> int:
        """Records whose Marketo id could not be read."""
        return sum(mapper.unreadable_ids for mapper in self._all)

    @property
    def event_names(self) -> dict[str, str]:
        """Names of events by their ids, as far as records gave both."""
        return {event: name for mapper in self._all for event, name in mapper.event_names.items()}

    def absent_columns(self) -> Iterator[str]:
        """A sentence for every column that no record had."""
        for mapper in self._all:
            for column in mapper.absent_columns:
                yield f"No record had the column {quoted(column.name)} ({column.path}). Compare it with your records."
