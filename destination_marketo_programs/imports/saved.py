"""A record on its way by file, as the spool keeps it, and back."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from destination_marketo_programs.delivery.entry import Best, Entry
from destination_marketo_programs.model import Person, Target
from destination_marketo_programs.outcomes import Outcome
from destination_marketo_programs.protocol import RecordMessage, parse_line

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.delivery.ledger import Segment
    from destination_marketo_programs.model import Mapped
    from destination_marketo_programs.protocol import StreamKey

NOBODY = Person(None, None, None, {}, {})
"""Stands for the person of a record that is settled from the spool, where nothing of the person is needed."""


class Record(NamedTuple):
    """What is needed of a record to settle it. The person is read from the line again where one is needed.

    Attributes:
        stream: number of the stream.
        ticket: number of the ledger's ticket.
        email: the folded email.
        targets: programs without an outcome, each (program id, status, event); the first is the next to be reached.
        rejections: outcomes of the programs that rejected it, as plain members.
        best: the best of its outcomes so far.
        sent: fingerprints for memory.
    """

    stream: int
    key: str
    key_is_position: bool
    ticket: int
    email: str
    targets: tuple[tuple[int, str, str | None], ...]
    line: bytes
    rejections: tuple[dict[str, object], ...] = ()
    best: int = 0
    sent: dict[str, str] | None = None


class Records:
    """Turns entries into bytes and back; keeps what they share.

    Args:
        map_record: the mapping, to read a person again.
    """

    def __init__(self, map_record: Callable[[StreamKey, object], Mapped]) -> None:
        self._map = map_record
        self._streams: list[StreamKey] = []
        self._stream_numbers: dict[StreamKey, int] = {}
        self._tickets: dict[int, Segment] = {}
        self._open: dict[int, int] = {}

    def enter(self, entry: Entry) -> bytes:
        """The record of an entry; its segment is kept until `leave`."""
        number = self._stream_numbers.get(entry.stream)
        if number is None:
            number = self._stream_numbers[entry.stream] = len(self._streams)
            self._streams.append(entry.stream)
        ticket = id(entry.ticket)
        self._tickets[ticket] = entry.ticket
        self._open[ticket] = self._open.get(ticket, 0) + 1
        return dump(
            Record(
                number,
                entry.key,
                entry.key_is_position,
                ticket,
                entry.person.key or "",
                tuple((target.program_id, target.program_status, target.event) for target in entry.targets),
                entry.line,
                _plain(entry),
                int(entry.best),
                entry.sent,
            )
        )

    def leave(self, record: Record) -> None:
        """The record is on its way elsewhere, or settled."""
        ticket = record.ticket
        self._open[ticket] -= 1
        if not self._open[ticket]:
            del self._open[ticket], self._tickets[ticket]

    def entry(self, record: Record, born: float) -> Entry:
        """The entry, without its person: enough to settle it."""
        rejections = [msgspec.convert(members, Outcome) for members in record.rejections] or None
        targets = tuple(Target(*target) for target in record.targets)
        return Entry(
            self._streams[record.stream],
            record.key,
            record.key_is_position,
            record.line,
            born,
            self._tickets[record.ticket],
            NOBODY,
            targets,
            len(targets),
            rejections=rejections,
            best=Best(record.best),
            sent=record.sent,
        )

    def entry_for_rest(self, record: Record, born: float) -> Entry:
        """The entry as it arrived, with the targets that are left."""
        entry = self.entry(record, born)
        message = parse_line(record.line, 0)
        person = self._map(entry.stream, message.data).person if isinstance(message, RecordMessage) else None
        if person is None:
            raise AssertionError("a record that had a person has none when read again")
        entry.person = person
        return entry

    @staticmethod
    def without_first_target(record: Record, entry: Entry) -> Record:
        """The record after its first program has its outcome."""
        return record._replace(targets=record.targets[1:], rejections=_plain(entry), best=int(entry.best))


def _plain(entry: Entry) -> tuple[dict[str, object], ...]:
    return tuple(msgspec.to_builtins(outcome) for outcome in entry.rejections or ())


def dump(record: Record) -> bytes:
    """The record as bytes, whatever texts it holds (lone surrogates too)."""
    return marshal.dumps(tuple(record))


def load(data: bytes) -> Record:
    """The record that `dump` was given."""
    return Record(*marshal.loads(data))  # noqa: S302 - bytes that this process made itself, in a file without a name
