"""The stages of people: from a record's person to a Marketo lead id, by id or by the lookup field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.delivery.entry import Entry, Lookup
from destination_marketo_programs.delivery.lead_rows import CREATED, MATCHED, Found, Gone, Held, Later
from destination_marketo_programs.delivery.stage import NEVER, Call, Line, Timed, Why
from destination_marketo_programs.marketo.rows import MAX_BODY_BYTES, MAX_ROWS_PER_CALL
from destination_marketo_programs.outcomes import Category, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from destination_marketo_programs.delivery.creates import Creates
    from destination_marketo_programs.delivery.lead_calls import LeadCalls
    from destination_marketo_programs.delivery.lead_rows import Fate, Fates, LeadRow
    from destination_marketo_programs.delivery.memberships import MembershipStage
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.model import LeadFields, Target

WRITTEN_LEADS_REMEMBERED = 40_000
PAGE_BITS = 8
PAGE_MASK = (1 << PAGE_BITS) - 1
UNKNOWN_FIELDS = 0
"""Stands for the fingerprint of fields that were written before this run."""
VISIBLE_SOON = -2
"""The batch of rows whose lead was created a moment ago."""
LINE_BYTES_TAKEN_AS_BODY = MAX_BODY_BYTES // MAX_ROWS_PER_CALL
"""A full call of lines below this fits, whatever of them is sent."""

_encode = msgspec.json.encode
_BY_KEY = Lookup.BY_KEY  # a name of the module is found in a third of the time that a member of an Enum takes


class NewLeads:
    """Leads that this run has created and that Marketo may not show yet (contract: for 60 seconds).

    A created lead is remembered for at least `REMEMBERED_SECONDS`. Marketo numbers leads one after the other, so that
    the bits of a few large numbers hold them: a set would take a hundred bytes for each.
    """

    VISIBLE_SECONDS = 60.0
    REMEMBERED_SECONDS = 120.0
    FIRST_PAUSE_SECONDS = 0.5
    LONGEST_PAUSE_SECONDS = 15.0

    def __init__(self) -> None:
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._since = 0.0

    def note(self, lead_id: int, now: float) -> None:
        """This run has created this lead."""
        if now - self._since >= self.REMEMBERED_SECONDS:
            self._now, self._before, self._since = {}, self._now, now
        page = lead_id >> PAGE_BITS
        self._now[page] = self._now.get(page, 0) | 1 << (lead_id & PAGE_MASK)

    def __contains__(self, lead_id: object) -> bool:
        if not isinstance(lead_id, int):
            return False
        page, bit = lead_id >> PAGE_BITS, 1 << (lead_id & PAGE_MASK)
        return bool((self._now.get(page, 0) | self._before.get(page, 0)) & bit)

    def give_up(self, lead_id: int) -> None:
        """This lead was denied for so long that it is taken for gone: no further denial of it is waited out."""
        page, bit = lead_id >> PAGE_BITS, 1 << (lead_id & PAGE_MASK)
        for noted in (self._now, self._before):
            if page in noted:
                noted[page] &= ~bit

    def pause(self, denials: int, denied_since: float, now: float) -> float | None:
        """Seconds to the next try after so many denials; None if the lead should be visible by now."""
        left = denied_since + self.VISIBLE_SECONDS - now
        if left <= 0:
            return None
        return min(self.FIRST_PAUSE_SECONDS * 2.0 ** (denials - 1), self.LONGEST_PAUSE_SECONDS, max(left, 0.001))


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


class Leads:
    """Where records enter the way over REST: says which call finds their person, and what follows from its answer.

    Args:
        calls: makes the calls.
        then: takes records whose lead is known.
        settle: takes records that have none.
        clock: monotonic seconds.
        new: leads that this run has created.
        lookup_field: the lead field that names a person without Marketo id.
        writes_existing: whether fields of existing leads are written.

    Attributes:
        stages: to be run by the loop, in this order.
    """

    def __init__(
        self,
        calls: LeadCalls,
        then: MembershipStage,
        settle: Settlement,
        clock: Callable[[], float],
        new: NewLeads,
        *,
        writes_existing: bool,
    ) -> None:
        self._then = then
        self._settle = settle
        self._clock = clock
        self._new = new
        self._writes_existing = writes_existing
        creates = calls.creates
        self._by_id = LeadStage(
            calls.write_by_id,
            lambda key, entries: calls.row(key, entries, by_id=True),
            self._id_ended,
            new,
            creates,
            clock,
        )
        self._by_key = LeadStage(
            calls.write_by_key,
            lambda key, entries: calls.row(key, entries, by_id=False),
            self._key_ended,
            new,
            creates,
            clock,
        )
        self.stages = (self._by_id, self._by_key)
        # Two generations: the older one is dropped as a whole, which is cheaper than finding the oldest entry.
        self._written: dict[str, tuple[int, int]] = {}
        self._written_before: dict[str, tuple[int, int]] = {}

    def accept(self, entries: Iterable[Entry]) -> None:
        """Let records look for their lead: the id that memory knows, the id on the record, then the lookup field."""
        by_key, by_key_accept = self._by_key.waits_for, self._by_key.accept
        for entry in entries:
            person = entry.person
            lead_id = entry.lead_id if entry.lead_id is not None else person.marketo_id
            if lead_id is not None:
                if entry.lead_id is not None and person.key is not None and person.key not in self._written:
                    # Other records of this person go by the same id, one after the other.
                    self._written[person.key] = (lead_id, UNKNOWN_FIELDS)
                self._named(entry, lead_id)
                continue
            key = person.key
            if key is None:
                self._reject(entry, entry.targets, Refusal(Category.LEAD_NOT_FOUND))
                continue
            written = self._written.get(key) or self._written_before.get(key)
            if written is None or by_key(key):
                by_key_accept(key, entry)
                continue
            known_id, fingerprint = written
            if not self._writes_existing or fingerprint == _fingerprint(_encode(person.fields), person.if_blank):
                self._found(entry, known_id, MATCHED)
            else:
                # By its id: asked by its key again so soon, Marketo might create it a second time.
                self._by_id.accept(known_id, entry)

    def _named(self, entry: Entry, lead_id: int) -> None:
        person = entry.person
        if (person.fields or person.if_blank) and self._writes_existing:
            self._by_id.accept(lead_id, entry)
        else:
            self._found(entry, lead_id, MATCHED)

    def forget(self, key: str) -> None:
        """What this run knows of the lead of this key no longer holds."""
        self._written.pop(key, None)
        self._written_before.pop(key, None)

    def denied(self, entry: Entry, target: Target, lead_id: int, refusal: Refusal) -> None:
        """A membership call says that nobody has this lead id: look once more, by the key.

        Programs that are denied before, while and after that look share its result, in whichever order answers come.
        """
        if entry.lookup is Lookup.DONE:
            second = entry.second
            if isinstance(second, int) and second != lead_id:
                self._then.accept_target(entry, target, second)
            else:
                self._reject(entry, (target,), second if isinstance(second, Refusal) else refusal)
            return
        if entry.lookup is Lookup.BY_KEY:
            entry.denied = [*(entry.denied or ()), target]
            return
        quiet = [each for each in entry.targets if entry.quiet and each.program_id in entry.quiet]
        self._look_again(entry, [target, *quiet], refusal)

    def _look_again(self, entry: Entry, denied: list[Target], refusal: Refusal) -> None:
        self._settle.holding.unpack(entry)
        if entry.whole is not None:
            # Another lead than the one that memory knows gets everything that the record says.
            entry.person, entry.whole = entry.whole, None
        entry.quiet = None
        key = entry.person.key
        if key is None:
            entry.lookup, entry.second = Lookup.DONE, refusal
            self._reject(entry, denied, refusal)
            return
        entry.lookup, entry.denied = Lookup.BY_KEY, denied
        self.forget(key)
        self._by_key.accept(key, entry)

    # --- answers ---------------------------------------------------------------------------------------------

    def _key_ended(self, row: LeadRow, entries: list[Entry], fate: Fate) -> None:
        if type(fate) is Found:
            fields = self._remember(str(row.key), fate.lead_id, row)
            if len(entries) == 1 and row.fields is entries[0].person.fields:
                self._settle.holding.pack(entries[0], fields)
            if fate.action == CREATED:
                self._new.note(fate.lead_id, self._clock())
        self._ended(entries, fate)

    def _id_ended(self, row: LeadRow, entries: list[Entry], fate: Fate) -> None:
        if isinstance(fate, Found):
            key = entries[-1].person.key
            if key is not None and key in self._written:
                self._remember(key, fate.lead_id, row)
        self._ended(entries, fate)

    def _ended(self, entries: list[Entry], fate: Fate) -> None:
        if type(fate) is Found:
            lead_id, action, note, detail = fate.lead_id, fate.action, fate.note, fate.detail
            for entry in entries:
                if note is not None:
                    entry.note = note
                if detail is not None:
                    entry.detail = detail
                self._found(entry, lead_id, action)
        elif isinstance(fate, Refusal):
            for entry in entries:
                self._refused(entry, fate)
        elif isinstance(fate, Gone):
            for entry in entries:
                self._gone(entry, fate.refusal)

    def _found(self, entry: Entry, lead_id: int, action: str) -> None:
        entry.lead_action = action
        if action == CREATED:
            # Somebody new: what memory knows of the programs does not hold.
            entry.quiet = None
        if entry.lookup is not _BY_KEY:
            self._then.accept(entry, lead_id)
            return
        entry.lookup, entry.second = Lookup.DONE, lead_id
        denied, entry.denied = entry.denied or [], None
        for target in denied:
            self._then.accept_target(entry, target, lead_id)

    def _refused(self, entry: Entry, refusal: Refusal) -> None:
        if entry.lookup is not Lookup.BY_KEY:
            self._reject(entry, entry.targets, refusal)
            return
        entry.lookup, entry.second = Lookup.DONE, refusal
        denied, entry.denied = entry.denied or [], None
        self._reject(entry, denied, refusal)

    def _gone(self, entry: Entry, refusal: Refusal) -> None:
        """A lead call says that nobody has the id on the record, or the one that its key gave before."""
        if entry.lookup is Lookup.FIRST:
            self._look_again(entry, list(entry.targets), refusal)
        else:
            self._refused(entry, refusal)

    def _reject(self, entry: Entry, targets: Sequence[Target], refusal: Refusal) -> None:
        for target in targets:
            self._settle.reject(entry, target, refusal)

    def _remember(self, key: str, lead_id: int, row: LeadRow) -> bytes:
        """A lead written with these fields need not be written with them again in this run; returns them as JSON."""
        if len(self._written) >= WRITTEN_LEADS_REMEMBERED // 2:
            self._written_before, self._written = self._written, {}
        fields = _encode(row.fields)
        self._written[key] = (lead_id, _fingerprint(fields, row.if_blank))
        return fields


def _fingerprint(fields: bytes, if_blank: LeadFields | None) -> int:
    return hash(fields if if_blank is None else (fields, _encode(if_blank)))


def _body_bytes(entry: Entry) -> int:
    """What an entry adds to the body of a call, at most."""
    length = len(entry.line)
    return length if length < LINE_BYTES_TAKEN_AS_BODY else len(_encode(entry.person.fields))
