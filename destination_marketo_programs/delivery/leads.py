"""The stages of people: from a record's person to a Marketo lead id, by id or by the lookup field."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.delivery.entry import Entry, Lookup
from destination_marketo_programs.delivery.lead_rows import CREATED, MATCHED, Found, Gone
from destination_marketo_programs.delivery.lead_stage import LeadStage
from destination_marketo_programs.outcomes import Category, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from destination_marketo_programs.delivery.lead_calls import LeadCalls
    from destination_marketo_programs.delivery.lead_rows import Fate, LeadRow
    from destination_marketo_programs.delivery.memberships import MembershipStage
    from destination_marketo_programs.delivery.new_leads import NewLeads
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.model import LeadFields, Target

WRITTEN_LEADS_REMEMBERED = 30_000
UNKNOWN_FIELDS = 0
"""Stands for the fingerprint of fields that were written before this run."""

_encode = msgspec.json.encode
_BY_KEY = Lookup.BY_KEY  # a name of the module is found in a third of the time that a member of an Enum takes


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
