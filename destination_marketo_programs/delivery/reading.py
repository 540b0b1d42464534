"""From lines of the input to entries: each record gets its ticket, its name and what mapping says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.delivery.entry import Entry
from destination_marketo_programs.delivery.tally import note_value
from destination_marketo_programs.mapping import primary_key_text
from destination_marketo_programs.protocol import RecordMessage, StateMessage, UndecodableLineError, parse_line
from destination_marketo_programs.storage.lines import rejected_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from destination_marketo_programs.delivery.entry import Holding
    from destination_marketo_programs.delivery.ledger import Ledger
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.model import Mapped
    from destination_marketo_programs.protocol import LineParser, StreamKey

    MapRecord = Callable[[str, object], Mapped]


class StreamRules(NamedTuple):
    """How the records of one stream are read.

    Attributes:
        map_record: record to targets and verdicts.
        primary_key: paths of the primary key; () without one.
    """

    map_record: MapRecord
    primary_key: Sequence[Sequence[str]] = ()


class Reading(NamedTuple):
    """What a chunk of lines held.

    Attributes:
        entries: records with a person and at least one target, in order of arrival.
        error: the line that stopped the reading; None if all lines were read.
    """

    entries: list[Entry]
    error: UndecodableLineError | None


class Reader:
    """Reads lines, once, in order.

    Args:
        default: rules of streams that have none of their own.
        streams: rules by stream.
        settlement: takes what mapping decides by itself.
        ledger: gives tickets, takes STATEs.
        holding: counts what is held.
        acknowledge: whether STATEs are echoed.
        keep_names: whether a record of a rejected file keeps the name that it was rejected under.
        parse: reads a line; may leave out columns that no rule looks at.
    """

    def __init__(
        self,
        default: StreamRules,
        streams: Mapping[StreamKey, StreamRules],
        settlement: Settlement,
        ledger: Ledger,
        holding: Holding,
        *,
        acknowledge: bool,
        keep_names: bool = False,
        parse: LineParser = parse_line,
    ) -> None:
        self._keep_names = keep_names
        self._default = default
        self._streams = streams
        self._settlement = settlement
        self._tally = settlement.tally
        self._ledger = ledger
        self._holding = holding
        self._acknowledge = acknowledge
        self._parse = parse
        self._positions: dict[StreamKey, int] = {}
        self._names: dict[StreamKey, StreamKey] = {}

    def read(self, lines: Iterable[bytes], number: int, now: float) -> Reading:
        """Read whole lines.

        Args:
            lines: without their ends.
            number: of the first line in the input, from 1.
            now: monotonic seconds.
        """
        entries: list[Entry] = []
        for line in lines:
            try:
                message = self._parse(line, number)
            except UndecodableLineError as error:
                return Reading(entries, error)
            number += 1
            if message is None:
                continue
            if type(message) is RecordMessage:
                entry = self._record(message, now)
                if entry is not None:
                    entries.append(entry)
            elif isinstance(message, StateMessage) and self._acknowledge:
                self._tally.states_read += 1
                self._ledger.state(message)
        return Reading(entries, None)

    def _record(self, message: RecordMessage, now: float) -> Entry | None:
        # One name for all records of a stream, as every waiting record holds it.
        stream = self._names.setdefault(message.stream, message.stream)
        position = self._positions[stream] = self._positions.get(stream, 0) + 1
        rules = self._streams.get(stream, self._default)
        mapped = rules.map_record(stream[1], message.data)
        targets, verdicts = mapped.targets, mapped.verdicts
        tally = self._tally
        tally.records_read += 1
        tally.outcomes_due += len(targets) + len(verdicts)
        if mapped.unlinked_event is not None:
            note_value(tally.unlinked_events, mapped.unlinked_event)
        for value in mapped.unmapped_values:
            note_value(tally.unmapped_values, value)
        key = rejected_name(message.line) if self._keep_names else None
        if key is None and rules.primary_key:
            key = primary_key_text(message.data, rules.primary_key)
        key = key or mapped.record_id
        is_position = key is None
        key = key or str(position)
        ticket = self._ledger.open()
        rejections = None
        if verdicts:
            rejections = self._settlement.decide(ticket, stream, key, verdicts, key_is_position=is_position)
        if mapped.person is None:
            self._settlement.finish_without_targets(ticket, stream, message.line, rejections or [])
            return None
        entry = Entry(
            stream,
            key,
            is_position,
            message.line,
            now,
            ticket,
            mapped.person,
            targets,
            len(targets),
            rejections=rejections,
        )  # fmt: skip - one line a group
        self._holding.take(entry)
        return entry
