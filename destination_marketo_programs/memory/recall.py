"""What a record needs to be sent, after what was sent of it before. Decides; sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.memory.digest import NO_LEAD, sent_of
from destination_marketo_programs.memory.prints import (
    KEY,
    LEAD_ID,
    MEMBER,
    SALT,
    new_salt,
    prints_of,
    read_sent,
    record_number,
    sent_member,
)
from destination_marketo_programs.outcomes import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.memory.digest import Digest, Remembered, Sent
    from destination_marketo_programs.model import LeadFields, Person, Target


class _Versions(msgspec.Struct):
    """Versions of one record that are under way together.

    Attributes:
        salts: of those after the first one, in order of arrival.
        told: place of the newest one of which an outcome was told; 0 is the first version.
        closed: versions whose outcomes are all durable.
    """

    salts: list[str]
    told: int = 0
    closed: int = 0

    def place(self, salt: str) -> int:
        """The place of a version."""
        return self.salts.index(salt) + 1 if salt in self.salts else 0


class Memory:
    """Knows what was sent before, and learns what is sent now once it is durable.

    Args:
        digest: what was sent before.
        statuses: how statuses compare.
        instance: of Marketo.
        today: days since 1970.
        send_again_after_days: 0 = never by age.
        learns: whether what is sent is taken in; not so in a dry run.
    """

    def __init__(
        self,
        digest: Digest,
        statuses: Statuses,
        instance: str,
        today: int,
        send_again_after_days: int,
        *,
        learns: bool = True,
    ) -> None:
        self._digest = digest
        self._statuses = statuses
        self._instance = instance
        self._today = today
        self._oldest = today - send_again_after_days if send_again_after_days else None
        self._learns = learns
        self._pending: list[Sent] = []
        self._closed: list[int] = []
        self._under_way: dict[int, frozenset[str] | None] = {}
        self._versions: dict[int, _Versions] = {}

    # --- before ------------------------------------------------------------------------------------------------

    def recall(self, entries: Iterable[Entry], settle: Settlement) -> list[Entry]:
        """Settle records that say nothing new, and cut the others down to what is new; returns these."""
        return [entry for entry in entries if not self._is_settled(entry, settle)]

    def highest(self, lead_id: int, program_id: int) -> str | None:
        """The furthest status that was ever sent for a lead and program, whichever record asked for it."""
        return self._digest.highest(lead_id, program_id)

    def _is_settled(self, entry: Entry, settle: Settlement) -> bool:
        number = self._number(entry)
        remembered = self._digest.record(number)
        under_way = number in self._under_way
        salt = new_salt() if remembered is None or under_way else remembered.salt
        prints = self._note(entry, number, salt)
        if remembered is None or not remembered.members or self._is_too_old(remembered, entry.targets):
            self._let_go(number, salt, None)
            return False
        if under_way:
            self._cut_behind(entry, number, salt, remembered)
            return False
        known = {self._digest.field_name(each): value for each, value in remembered.prints.items()}
        if not _same_person(entry.person, remembered.lead_id, known, prints):
            self._let_go(number, salt, None)
            return False
        return self._is_settled_after(entry, settle, number, remembered, _changed(known, prints))

    def _is_settled_after(
        self, entry: Entry, settle: Settlement, number: int, remembered: Remembered, changed: frozenset[str]
    ) -> bool:
        person, lead_id = entry.person, remembered.lead_id
        member_fields = "" if entry.sent is None else entry.sent.get(MEMBER, "")
        quiet = frozenset(
            target.program_id for target in entry.targets if not self._needs(remembered, target, member_fields)
        )
        if len(quiet) == len(entry.targets) and not _says_any(person, changed):
            entry.sent = None
            for target in entry.targets:
                settle.remember(entry, target, lead_id or None)
            return True
        self._let_go(number, remembered.salt, changed)
        _cut(entry, lead_id, changed, quiet)
        return False

    def _cut_behind(self, entry: Entry, number: int, salt: str, remembered: Remembered) -> None:
        """A further version of a record whose version before is under way: it also says again what that one changed."""
        before = self._under_way[number]
        known = {self._digest.field_name(each): value for each, value in remembered.prints.items()}
        prints = prints_of(entry.person, remembered.salt)
        if before is None or not _same_person(entry.person, remembered.lead_id, known, prints):
            self._let_go(number, salt, None)
            return
        changed = before | _changed(known, prints)
        self._let_go(number, salt, changed)
        _cut(entry, remembered.lead_id, changed, frozenset())

    def _let_go(self, number: int, salt: str, changed: frozenset[str] | None) -> None:
        """A record goes on its way: until what becomes of it is durable, memory is behind.

        Args:
            number: of the record.
            salt: of this version of it.
            changed: names of the fields that it changes; None for all.
        """
        if number in self._under_way:
            self._versions.setdefault(number, _Versions([])).salts.append(salt)
        self._under_way[number] = changed

    def _needs(self, remembered: Remembered, target: Target, member_fields: str) -> bool:
        """Whether a call about the membership would say something new."""
        member = remembered.member(target.program_id)
        if member is not None and member.fields != member_fields:
            return True
        if member is not None and self._digest.field_name(member.status) == target.program_status:
            return False
        if remembered.lead_id == NO_LEAD:
            return True
        highest = self._digest.highest(remembered.lead_id, target.program_id)
        return highest is None or not self._statuses.covers(target.program_id, highest, target.program_status)

    def _is_too_old(self, remembered: Remembered, targets: Iterable[Target]) -> bool:
        """Only of programs that the record is meant for: what was sent for others grows old for ever."""
        oldest = self._oldest
        if oldest is None:
            return False
        members = [remembered.member(target.program_id) for target in targets]
        return any(member is not None and member.day <= oldest for member in members)

    def _number(self, entry: Entry) -> int:
        namespace, stream = entry.stream
        key = entry.key
        if entry.key_is_position:
            event = next((target.event for target in entry.targets if target.event is not None), "")
            key = f"\0{event}\0{entry.person.key or entry.person.marketo_id}"
        return record_number(self._instance, namespace, stream, key)

    def _note(self, entry: Entry, number: int, salt: str) -> dict[str, str]:
        prints = prints_of(entry.person, salt)
        entry.sent = sent_member(number, salt, prints)
        return prints

    # --- after -------------------------------------------------------------------------------------------------

    def sent(self, entry: Entry, target: Target, lead_id: int | None, result: Result) -> dict[str, str] | None:
        """Marketo has confirmed what a record wants of a program; not durable yet.

        Args:
            entry: the record.
            target: the program and status.
            lead_id: the lead; None if Marketo did not say.
            result: SKIPPED if another status was sent in its place.

        Returns:
            What its outcome keeps of it; None if nothing is remembered.
        """
        sent = entry.sent
        if sent is None or not self._learns:
            return None
        if not self._is_newest(sent):
            return None
        found = sent_of(
            sent,
            lead_id if lead_id and lead_id > 0 else None,
            target.program_id,
            target.program_status,
            self._today,
            raises=result is not Result.SKIPPED,
        )
        if found is not None:
            self._pending.append(found)
        return sent

    def _is_newest(self, sent: dict[str, str]) -> bool:
        """Whether no later version of a record was settled before this one, for another program."""
        read = read_sent(sent)
        versions = None if read is None else self._versions.get(read[0])
        if versions is None:
            return True
        place = versions.place(sent[SALT])
        if place < versions.told:
            return False
        versions.told = place
        return True

    def closed(self, entry: Entry) -> None:
        """Every program of a record has its outcome; not durable yet."""
        read = None if entry.sent is None else read_sent(entry.sent)
        if read is not None:
            self._closed.append(read[0])

    def durable(self) -> None:
        """Everything that was told is in the outcome files."""
        pending, self._pending = self._pending, []
        for sent in pending:
            self._digest.take(sent)
        closed, self._closed = self._closed, []
        for number in closed:
            versions = self._versions.get(number)
            if versions is not None:
                versions.closed += 1
                if versions.closed <= len(versions.salts):
                    continue
                del self._versions[number]
            self._under_way.pop(number, None)


def _same_person(person: Person, lead_id: int, known: Mapping[str | None, str], prints: Mapping[str, str]) -> bool:
    """Whether a record is about the person whom it was about before.

    A Marketo id on the record says so if it is the lead's, or the one that led to that lead; else the lookup value.
    """
    if person.marketo_id is not None:
        return person.marketo_id == lead_id or known.get(LEAD_ID) == prints[LEAD_ID]
    return known.get(KEY) == prints.get(KEY)


def _changed(known: Mapping[str | None, str], prints: Mapping[str, str]) -> frozenset[str]:
    return frozenset(name for name, value in prints.items() if known.get(name) != value)


def _says_any(person: Person, changed: frozenset[str]) -> bool:
    """Whether one of these is a field of the lead."""
    if not changed:
        return False
    return not changed.isdisjoint(person.fields) or bool(person.if_blank and not changed.isdisjoint(person.if_blank))


def _cut(entry: Entry, lead_id: int, changed: frozenset[str], quiet: frozenset[int]) -> None:
    """Leave of a record what is new.

    If the lead's id is not known, as after a bulk import, the lead is looked up; whoever is not there is created with
    everything that the record says.
    """
    person = entry.whole = entry.person
    entry.quiet = quiet or None
    fields = {name: value for name, value in person.fields.items() if name in changed}
    if_blank = {name: value for name, value in (person.if_blank or {}).items() if name in changed}
    on_create: LeadFields | None = None
    if lead_id == NO_LEAD:
        on_create = {**(person.on_create or {}), **(person.if_blank or {}), **person.fields} or None
    else:
        entry.lead_id = lead_id
    entry.person = msgspec.structs.replace(person, fields=fields, if_blank=if_blank or None, on_create=on_create)
