"""Which records are settled, and so which STATE may be acknowledged.

A STATE closes a segment of the input. It is released when its segment and every one before it is settled; it never
makes anything be sent.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from destination_marketo_programs.delivery.entry import Holding
    from destination_marketo_programs.protocol import StateMessage, StreamKey


class Segment(msgspec.Struct):
    """Records between two STATEs: how many are open, and how the others ended, by stream.

    Attributes:
        outcomes: outcomes by stream and result, if somebody counts them; a record has one for each of its programs.
    """

    open: int = 0
    settled: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    rejected: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    outcomes: dict[tuple[str, str], Counter[str]] = msgspec.field(default_factory=dict)
    state: StateMessage | None = None

    def count(self, stream: StreamKey, result: str) -> None:
        """Note an outcome of one of its records."""
        self.outcomes.setdefault(stream, Counter())[result] += 1


class Acknowledgement(NamedTuple):
    """A STATE to echo, with the records that it speaks for since the last echoed STATE of its stream."""

    state: StateMessage
    record_count: int
    rejected_count: int
    outcomes: Mapping[str, int]


class _Unreported(msgspec.Struct):
    """What no echoed STATE has spoken for yet, of one stream."""

    settled: int = 0
    rejected: int = 0
    outcomes: Counter[str] = msgspec.field(default_factory=Counter)


class Ledger:
    """Keeps count; does no I/O.

    Args:
        holding: counts the bytes of the STATEs that wait.
    """

    def __init__(self, holding: Holding) -> None:
        self._holding = holding
        self._segments: deque[Segment] = deque([Segment()])
        self._unreported: dict[StreamKey, _Unreported] = {}
        self.states_waiting = 0

    def open(self) -> Segment:
        """Note one record; the segment is its ticket for `settle`."""
        segment = self._segments[-1]
        segment.open += 1
        return segment

    @staticmethod
    def settle(segment: Segment, stream: StreamKey, *, rejected: bool) -> None:
        """One record of a segment has its durable outcomes. Call exactly once for each `open`."""
        counts = segment.rejected if rejected else segment.settled
        counts[stream] = counts.get(stream, 0) + 1
        segment.open -= 1

    def state(self, state: StateMessage) -> None:
        """Note a STATE behind every record opened so far."""
        self._segments[-1].state = state
        self._holding.take_bytes(len(state.line))
        self._segments.append(Segment())
        self.states_waiting += 1

    def release(self) -> Iterator[Acknowledgement]:
        """STATEs that may be echoed now, in the order received."""
        segments = self._segments
        while segments[0].open == 0 and segments[0].state is not None:
            segment = segments.popleft()
            state = segment.state
            self.states_waiting -= 1
            self._gather(segment)
            if state is not None:
                self._holding.drop_bytes(len(state.line))
                yield self._acknowledge(state)

    def _gather(self, segment: Segment) -> None:
        for stream, count in segment.settled.items():
            self._of(stream).settled += count
        for stream, count in segment.rejected.items():
            self._of(stream).rejected += count
        for stream, outcomes in segment.outcomes.items():
            self._of(stream).outcomes.update(outcomes)

    def _of(self, stream: StreamKey) -> _Unreported:
        return self._unreported.setdefault(stream, _Unreported())

    def _acknowledge(self, state: StateMessage) -> Acknowledgement:
        if state.stream is None:
            counts = list(self._unreported.values())
            self._unreported.clear()
        else:
            counts = [self._unreported.pop(state.stream, _Unreported())]
        outcomes: Counter[str] = Counter()
        for each in counts:
            outcomes.update(each.outcomes)
        return Acknowledgement(
            state, sum(each.settled for each in counts), sum(each.rejected for each in counts), outcomes
        )
