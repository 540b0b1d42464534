"""What a record needs to be sent, after what was sent of it before. Decides; sends nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.delivery.lead_calls import COMPANY_FIELDS
from destination_marketo_programs.marketo.errors import COMPANY_UPDATE_REFUSED
from destination_marketo_programs.memory.digest import NO_LEAD, sent_of
from destination_marketo_programs.memory.prints import MEMBER, new_salt, prints_of, record_number, sent_member
from destination_marketo_programs.outcomes import Result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.memory.digest import Digest, Remembered, Sent
    from destination_marketo_programs.model import LeadFields, Target

REMEMBERED = "remembered"
"""`lead_action` of a record that says nothing new."""


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

    # --- before ------------------------------------------------------------------------------------------------

    def recall(self, entries: Iterable[Entry], settle: Settlement) -> list[Entry]:
        """Settle records that say nothing new, and cut the others down to what is new; returns these."""
        return [entry for entry in entries if not self._is_settled(entry, settle)]

    def _is_settled(self, entry: Entry, settle: Settlement) -> bool:
        number = self._number(entry)
        remembered = self._digest.record(number)
        if remembered is None or not remembered.members or self._is_too_old(remembered):
            self._note(entry, number, new_salt())
            return False
        prints = self._note(entry, number, remembered.salt)
        person = entry.person
        lead_id = remembered.lead_id
        if person.marketo_id is not None and lead_id not in (NO_LEAD, person.marketo_id):
            return False
        known = {self._digest.field_name(each): value for each, value in remembered.prints.items()}
        fields = {name: value for name, value in person.fields.items() if known.get(name) != prints[name]}
        if_blank = {name: value for name, value in (person.if_blank or {}).items() if known.get(name) != prints[name]}
        quiet = frozenset(
            target.program_id for target in entry.targets if not self._needs(remembered, target, prints.get(MEMBER, ""))
        )
        if not fields and not if_blank and len(quiet) == len(entry.targets):
            entry.lead_action = REMEMBERED
            for target in entry.targets:
                settle.remember(entry, target, lead_id or None)
            return True
        if lead_id == NO_LEAD:
            return False
        self._cut(entry, lead_id, fields, if_blank or None, quiet)
        return False

    def _cut(
        self,
        entry: Entry,
        lead_id: int,
        fields: LeadFields,
        if_blank: LeadFields | None,
        quiet: frozenset[int],
    ) -> None:
        entry.whole, entry.lead_id, entry.quiet = entry.person, lead_id, quiet or None
        entry.person = msgspec.structs.replace(entry.person, fields=fields, if_blank=if_blank, on_create=None)

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

    def _is_too_old(self, remembered: Remembered) -> bool:
        return self._oldest is not None and any(member.day <= self._oldest for member in remembered.members)

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
        if entry.note is not None and entry.note[0] == COMPANY_UPDATE_REFUSED:
            # Marketo did not take these: nothing is remembered of them.
            sent = {name: value for name, value in sent.items() if name not in COMPANY_FIELDS}
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

    def durable(self) -> None:
        """Everything that was told is in the outcome files."""
        pending, self._pending = self._pending, []
        for sent in pending:
            self._digest.take(sent)
