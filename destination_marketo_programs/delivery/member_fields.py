"""The stage behind memberships: the fields of each are written once the lead is a member."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.delivery.stage import NEVER, Call, Why
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.member_calls import FieldReplies, MemberCalls
    from destination_marketo_programs.marketo.rows import RowReply
    from destination_marketo_programs.model import LeadFields
    from destination_marketo_programs.outcomes import Result


class Membership(msgspec.Struct, gc=False):
    """A lead that is in a program now, and whose membership fields are to be written."""

    program_id: int
    status: str
    lead_id: int
    result: Result
    reply: RowReply
    entries: list[Entry]

    def parts(self) -> list[LeadFields]:
        """Different membership fields of the entries, in order of arrival."""
        parts: list[LeadFields] = []
        for entry in self.entries:
            fields = entry.person.member_fields
            if fields and (not parts or parts[-1] != fields):
                parts.append(fields)
        return parts


class MemberFieldStage:
    """Memberships whose fields wait to be written, by program.

    Args:
        calls: makes the calls.
        written: told each membership with the fields that were refused.
    """

    full = False

    def __init__(
        self,
        calls: MemberCalls,
        written: Callable[[Membership, Sequence[tuple[LeadFields, RowReply]]], None],
    ) -> None:
        self.in_flight = 0
        self._calls = calls
        self._written = written
        self._waiting: dict[int, list[Membership]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._waiting.values()))

    def accept(self, membership: Membership) -> None:
        """Let a membership's fields be written."""
        self._waiting.setdefault(membership.program_id, []).append(membership)

    def oldest(self) -> float:
        """See `Stage`."""
        return min(map(_oldest_of, self._waiting.values()), default=NEVER)

    def due_in(self, now: float) -> float:  # noqa: ARG002 - nothing is timed here
        """See `Stage`."""
        return NEVER

    def advance(self, now: float, *, ended: bool) -> None:
        """See `Stage`."""

    def lost(self) -> None:
        """See `Stage`."""
        self.in_flight -= 1

    def take(self, why: Why, now: float) -> Call | None:  # noqa: ARG002 - nothing is timed here
        """See `Stage`."""
        waiting = self._waiting
        if not waiting:
            return None
        program_id = max(waiting, key=lambda key: len(waiting[key]))
        if why is Why.OLD:
            program_id = min(waiting, key=lambda key: _oldest_of(waiting[key]))
        elif why is Why.FULL and len(waiting[program_id]) < MAX_ROWS_PER_CALL:
            return None
        of_program = waiting.pop(program_id)
        memberships, rest = of_program[:MAX_ROWS_PER_CALL], of_program[MAX_ROWS_PER_CALL:]
        if rest:
            waiting[program_id] = rest
        self.in_flight += 1
        return Call(
            self,
            lambda: self._calls.write_fields(program_id, memberships),
            lambda replies: self._finish(memberships, replies),
        )

    def _finish(self, memberships: Sequence[Membership], replies: FieldReplies) -> None:
        self.in_flight -= 1
        refused: dict[int, list[tuple[LeadFields, RowReply]]] = {}
        for membership, fields, reply in replies:
            if not reply.status:
                refused.setdefault(membership.lead_id, []).append((fields, reply))
        for membership in memberships:
            self._written(membership, refused.get(membership.lead_id, ()))


def _oldest_of(memberships: Sequence[Membership]) -> float:
    return min([membership.entries[0].born for membership in memberships])
