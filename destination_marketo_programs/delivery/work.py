"""What delivery holds while a record is on its way: the record, its lead row, its memberships."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from destination_marketo_programs.delivery.ledger import Segment
    from destination_marketo_programs.model import LeadFields, Person, Target
    from destination_marketo_programs.outcomes import Outcome

_encode = msgspec.json.encode

BYTES_BESIDE_LINE = 1_500
"""Measured: what a waiting record takes in memory beside its line."""


class Again(Enum):
    """A record whose lead id was denied is resolved once more, by its key."""

    NOT_NEEDED = 0
    UNDER_WAY = 1
    DONE = 2


class Item(msgspec.Struct, gc=False):
    """One record with a person and at least one target.

    Attributes:
        stream: (namespace, name).
        key: the record key for outcomes; `key_is_position` where the record has none of its own.
        line: the RECORD line as received, kept until the record's fate is known.
        born: monotonic seconds of its arrival.
        open: targets without an outcome.
        segment: its ticket for the ledger.
        targets: the ones whose lead is not known yet.
        lead_action: how the lead was reached, once it is known.
        note: code and message of what was not written to the lead all the same.
        again: where the second look for a lead that Marketo has denied stands.
        rejections: outcomes of the targets that were rejected.
    """

    stream: tuple[str, str]
    key: str
    key_is_position: bool
    line: bytes
    born: float
    person: Person
    targets: list[Target]
    open: int
    segment: Segment
    lead_action: str | None = None
    note: tuple[str | None, str | None] = (None, None)
    again: Again = Again.NOT_NEEDED
    rejections: list[Outcome] | None = None

    def size(self) -> int:
        """Bytes that it takes while it waits."""
        return len(self.line) + BYTES_BESIDE_LINE


class LeadRow(msgspec.Struct, gc=False):
    """One person in a Sync Leads call, with every waiting record that is about that person.

    Attributes:
        key: what must not be in flight twice.
        head: the member that names the lead, (`email`, address) or (`id`, number).
        fields: fields of all records, later ones winning.
        parts: where the records differ, each one's fields and records, in order of arrival.
        encoded: the row's JSON text.
        tries: creates of it whose answer was lost, without those after which its batch was halved.
        lost_since: monotonic seconds of its first create whose answer was lost.
    """

    key: str
    head: tuple[str, str | int]
    fields: LeadFields
    parts: list[tuple[LeadFields, list[Item]]]
    encoded: bytes
    born: float
    tries: int = 0
    lost_since: float | None = None

    def items(self) -> list[Item]:
        """Every record of the row, in order of arrival."""
        if len(self.parts) == 1:
            return self.parts[0][1]
        return [item for _, items in self.parts for item in items]

    def add(self, item: Item, *, fields_count: bool) -> None:
        """Let a later record about the same person share the row.

        Args:
            item: the later record.
            fields_count: whether the later record's fields are to be written too.
        """
        self.born = min(self.born, item.born)
        fields = item.person.fields if fields_count else self.fields
        last_fields, last_items = self.parts[-1]
        if fields == last_fields:
            last_items.append(item)
            return
        self.parts.append((fields, [item]))
        self.fields = {**self.fields, **fields}
        self.encoded = encode_row(self.head, self.fields)


def lead_row(key: str, head: tuple[str, str | int], item: Item) -> LeadRow:
    """A row for one record."""
    fields = item.person.fields
    return LeadRow(key, head, fields, [(fields, [item])], encode_row(head, fields), item.born)


def encode_row(head: tuple[str, str | int], fields: LeadFields) -> bytes:
    """JSON text of one element of `input`."""
    return _encode({head[0]: head[1], **fields})


class MemberRow(msgspec.Struct, gc=False):
    """One lead in one program: the status to set, and every waiting record that wants the lead there.

    Attributes:
        program_status, step: the highest of the wanted ones; of equal steps the later.
        claims: (record, target) in order of arrival; those with another status are superseded if this one arrives.
        tries: answers "lead not found" so far.
    """

    lead_id: int
    program_id: int
    program_status: str
    step: int
    born: float
    claims: list[tuple[Item, Target]]
    tries: int = 0
    result: str = ""
    request_id: str | None = None

    def has_data(self) -> bool:
        """Whether some claim brings membership fields."""
        for item, _ in self.claims:  # noqa: SIM110 - `any` with a generator costs more than the rest of the way
            if item.person.member_fields:
                return True
        return False

    def data_parts(self) -> list[LeadFields]:
        """Different membership fields of the claims, in order of arrival; usually none or one."""
        parts: list[LeadFields] = []
        for item, _ in self.claims:
            fields = item.person.member_fields
            if fields and (not parts or parts[-1] != fields):
                parts.append(fields)
        return parts
