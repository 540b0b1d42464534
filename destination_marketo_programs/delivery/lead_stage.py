"""People waiting for one kind of Sync Leads call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.delivery.lead_rows import Found, Gone, Held, Later
from destination_marketo_programs.delivery.stage import NEVER, Call, Line, Timed, Why
from destination_marketo_programs.marketo.rows import MAX_BODY_BYTES, MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.delivery.creates import Creates
    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.lead_rows import Fate, Fates, LeadRow
    from destination_marketo_programs.delivery.new_leads import NewLeads

VISIBLE_SOON = -2
"""The batch of rows whose lead was created a moment ago."""
LINE_BYTES_TAKEN_AS_BODY = MAX_BODY_BYTES // MAX_ROWS_PER_CALL
"""A full call of lines below this fits, whatever of them is sent."""

_encode = msgspec.json.encode


class LeadStage:
    """People waiting for one kind of Sync Leads call.

    Args:
        write: makes the call, in a worker.
        row_of: the row of one person's entries.
        ended: told each fate, before its key is free again.
        new: leads that may not be visible yet.
        creates: says when rows go on that wait for a create to be allowed.
    """

    full = False

    def __init__(
        self,
        write: Callable[[Sequence[LeadRow]], Fates],
        row_of: Callable[[str | int, list[Entry]], LeadRow],
        ended: Callable[[LeadRow, list[Entry], Fate], None],
        new: NewLeads,
        creates: Creates,
        clock: Callable[[], float],
    ) -> None:
        self.in_flight = 0
        self._write = write
        self._row_of = row_of
        self._ended = ended
        self._new = new
        self._creates = creates
        self._clock = clock
        self._ready: dict[str | int, list[Entry]] = {}
        self._line: Line[str | int, Entry] = Line()
        self._delayed: Timed[list[LeadRow]] = Timed()
        self._held: list[list[LeadRow]] = []
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._ready) + self._line.parked + len(self._delayed) + len(self._held)

    def accept(self, key: str | int, entry: Entry) -> None:
        """Let a record wait for its lead."""
        waiting = self._ready.get(key)
        if waiting is not None:
            waiting.append(entry)
        elif self._line.parks(key, entry):
            return
        else:
            self._ready[key] = [entry]
        self._bytes += _body_bytes(entry)

    def waits_for(self, key: str | int) -> bool:
        """Whether this person waits or is in flight."""
        return key in self._ready or key in self._line

    def oldest(self) -> float:
        """See `Stage`."""
        return min((entries[0].born for entries in self._ready.values()), default=NEVER)

    def due_in(self, now: float) -> float:
        """See `Stage`."""
        due = self._delayed.due_in(now)
        return min(due, max(self._creates.not_before - now, 0.0)) if self._held else due

    def advance(self, now: float, *, ended: bool) -> None:
        """See `Stage`."""

    def lost(self) -> None:
        """See `Stage`."""
        self.in_flight -= 1

    def take(self, why: Why, now: float) -> Call | None:
        """See `Stage`."""
        if why is Why.FULL:
            again = self._delayed.take(now)
            if again is None and self._held and self._creates.allowed:
                again = self._held.pop(0)
            if again is not None:
                return self._call(again)
            if len(self._ready) < MAX_ROWS_PER_CALL and self._bytes < MAX_BODY_BYTES:
                return None
        if not self._ready:
            return None
        groups = self._take_ready()
        self._line.begin(groups)
        self.in_flight += 1

        def run() -> tuple[list[LeadRow], Fates]:
            rows = [self._row_of(key, entries) for key, entries in groups.items()]
            return rows, self._write(rows)

        return Call(self, run, self._finish)

    def _take_ready(self) -> dict[str | int, list[Entry]]:
        ready = self._ready
        groups: dict[str | int, list[Entry]] = {}
        size = 0
        for key, entries in ready.items():
            length = _body_bytes(entries[0]) if len(entries) == 1 else sum(map(_body_bytes, entries))
            if groups and size + length > MAX_BODY_BYTES:
                break
            groups[key] = entries
            size += length
            if len(groups) == MAX_ROWS_PER_CALL:
                break
        if len(groups) == len(ready):
            self._ready = {}
        else:
            for key in groups:
                del ready[key]
        self._bytes -= size
        return groups

    def _call(self, rows: list[LeadRow]) -> Call:
        self.in_flight += 1
        return Call(self, lambda: (rows, self._write(rows)), self._finish)

    def _finish(self, answer: tuple[list[LeadRow], Fates]) -> None:
        self.in_flight -= 1
        rows, fates = answer
        now = self._clock()
        waiting: set[str | int] = set()
        later: dict[Later, dict[str | int, LeadRow]] = {}
        held: dict[str | int, LeadRow] = {}
        for row, entries, fate in fates:
            if type(fate) is Found:
                self._ended(row, entries, fate)
                continue
            if isinstance(fate, Held):
                held[row.key] = row
                waiting.add(row.key)
                continue
            when = fate if isinstance(fate, Later) else self._visible_at(row, fate, now)
            if when is not None:
                again = later.setdefault(when, {})
                again[row.key] = self._joined(again.get(row.key), row)
                waiting.add(row.key)
            else:
                self._ended(row, entries, fate)
        for when, rows_again in later.items():
            self._delayed.add(when.not_before, list(rows_again.values()))
        if held:
            self._held.append(list(held.values()))
        for key, parked in self._line.end([row.key for row in rows if row.key not in waiting]):
            self._ready[key] = parked
            self._bytes += sum(map(_body_bytes, parked))

    def _joined(self, held: LeadRow | None, row: LeadRow) -> LeadRow:
        """One row for records of one person that were sent one by one and are all to be sent again."""
        if held is None:
            return row
        joined = self._row_of(row.key, [*held.entries, *row.entries])
        joined.denials, joined.denied_since = row.denials, row.denied_since
        return joined

    def _visible_at(self, row: LeadRow, fate: Fate, now: float) -> Later | None:
        """When a lead is asked for again that Marketo denies although this run has created it."""
        if not isinstance(fate, Gone) or row.value not in self._new:
            return None
        row.denials += 1
        row.denied_since = row.denied_since or now
        pause = self._new.pause(row.denials, row.denied_since, now)
        if pause is None:
            self._new.give_up(int(row.value))
            return None
        return Later(now + pause, VISIBLE_SOON)


def _body_bytes(entry: Entry) -> int:
    """What an entry adds to the body of a call, at most."""
    length = len(entry.line)
    return length if length < LINE_BYTES_TAKEN_AS_BODY else len(_encode(entry.person.fields))
