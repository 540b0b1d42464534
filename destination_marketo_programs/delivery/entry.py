"""A record on its way: the one object that is made for it between mapping and settlement."""

from __future__ import annotations

from enum import Enum, IntEnum
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.delivery.ledger import Segment
    from destination_marketo_programs.model import LeadFields, Person, Target
    from destination_marketo_programs.outcomes import Detail, Outcome, Refusal

BYTES_BESIDE_LINE = 650
BYTES_OF_FIELD = 100
"""Measured: what a waiting record takes in memory beside its line, and each of its lead fields."""

_NO_FIELDS: LeadFields = {}  # shared, and never changed: fields are replaced as a whole


class Lookup(Enum):
    """Where the second look for a lead stands, which follows when Marketo denies a lead id. One for each record."""

    FIRST = 0
    BY_KEY = 1
    """Under way: programs that are denied meanwhile wait for it in `denied`."""
    DONE = 2
    """`second` is its result, for whichever program is denied later."""


class Best(IntEnum):
    """The best of a record's outcomes so far, rejections aside."""

    SKIPPED = 0
    UNCHANGED = 1
    DELIVERED = 2


class Entry(msgspec.Struct, gc=False):
    """One record with a person and at least one target.

    Attributes:
        stream: (namespace, name).
        key: the record key for outcomes; `key_is_position` if the record has none of its own.
        line: the RECORD line as received, kept until the record is settled.
        born: monotonic seconds of its arrival.
        ticket: for the ledger.
        targets: all programs that it is meant for; shared, never changed.
        open: targets without an outcome.
        lead_id: the lead that memory knows for this record; None without memory.
        whole: the person with everything that the record says, if `person` holds only what has changed since it was
            last sent; None if `person` is whole.
        quiet: programs for which nothing new is said; they are settled once the lead is known to be there.
        sent: fingerprints of what the record says, for memory; None without memory.
        lead_action: how the lead was reached, once it is known.
        note: code and message that a delivered outcome carries: fields that Marketo refused (1021), a shared email.
        detail: what is to be said with a delivered outcome (several leads of one key, fields that a guard kept).
        lookup, denied, second: see `Lookup`.
        rejections: outcomes of the targets that were rejected.
        best: of its outcomes so far.
        packed: the person's lead fields as JSON, once they are written: they are needed again only if Marketo denies
            the lead, and take a quarter of the memory.
        held_bytes: what is counted for it in `Holding`.
    """

    stream: tuple[str, str]
    key: str
    key_is_position: bool
    line: bytes
    born: float
    ticket: Segment
    person: Person
    targets: Sequence[Target]
    open: int
    lead_id: int | None = None
    whole: Person | None = None
    quiet: frozenset[int] | None = None
    sent: dict[str, str] | None = None
    lead_action: str | None = None
    note: tuple[str | None, str | None] | None = None
    detail: Detail | None = None
    lookup: Lookup = Lookup.FIRST
    denied: list[Target] | None = None
    second: int | Refusal | None = None
    rejections: list[Outcome] | None = None
    best: Best = Best.SKIPPED
    packed: bytes | None = None
    held_bytes: int = 0


def target_in(entry: Entry, program_id: int) -> Target:
    """The entry's target in a program that it is meant for."""
    for target in entry.targets:
        if target.program_id == program_id:
            return target
    raise KeyError(program_id)


class Holding:
    """Bytes of everything that is held in memory on its way: one register, and one bound.

    Args:
        limit: beyond it standard input is not read.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.bytes = 0
        self._packs_from = limit // 3

    @property
    def room(self) -> bool:
        """Whether more may be read."""
        return self.bytes < self.limit

    def take(self, entry: Entry) -> None:
        """This entry is held from now on."""
        entry.held_bytes = len(entry.line) + BYTES_BESIDE_LINE + BYTES_OF_FIELD * len(entry.person.fields)
        self.bytes += entry.held_bytes

    def pack(self, entry: Entry, fields: bytes) -> None:
        """Keep this entry's lead fields as JSON from now on, unless there is room enough: packing takes time.

        Args:
            entry: an entry whose fields are written.
            fields: its person's fields as JSON.
        """
        if self.bytes < self._packs_from:
            return
        freed = BYTES_OF_FIELD * len(entry.person.fields) - len(fields)
        if freed > 0:
            entry.packed, entry.person.fields = fields, _NO_FIELDS
            entry.held_bytes -= freed
            self.bytes -= freed

    def unpack(self, entry: Entry) -> None:
        """Give this entry its lead fields back."""
        if entry.packed is not None:
            entry.person.fields = msgspec.json.decode(entry.packed)
            taken = BYTES_OF_FIELD * len(entry.person.fields) - len(entry.packed)
            entry.packed = None
            entry.held_bytes += taken
            self.bytes += taken

    def take_bytes(self, count: int) -> None:
        """So many bytes are held that belong to no entry, such as those of a STATE."""
        self.bytes += count

    def drop_bytes(self, count: int) -> None:
        """They are let go of."""
        self.bytes -= count

    def drop(self, entry: Entry) -> None:
        """This entry is settled, or kept on disk."""
        self.bytes -= entry.held_bytes
        entry.held_bytes = 0
