"""What becomes of records whose membership Marketo has answered for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import UNSET

from destination_marketo_programs.delivery.entry import Entry, target_in
from destination_marketo_programs.outcomes import Refusal, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.marketo.rows import RowReply
    from destination_marketo_programs.model import Target

RESULTS = {"created": Result.CREATED, "updated": Result.UPDATED, "": Result.UNCHANGED}
"""What Marketo says of a membership that is as wanted -> result."""
_UPDATED, _UNCHANGED = Result.UPDATED, Result.UNCHANGED  # for each record: members of an Enum are slow to find


class MemberResults:
    """Settles records, and with each the programs for which memory knows nothing new to say.

    Args:
        settle: takes every result.
    """

    def __init__(self, settle: Settlement) -> None:
        self._settle = settle

    def quiet(self, entry: Entry, lead_id: int) -> None:
        """The lead is there: what memory knows of the other programs holds."""
        if entry.quiet is None:
            return
        quiet, entry.quiet = entry.quiet, None
        for target in entry.targets:
            if target.program_id in quiet:
                self._settle.remember(entry, target, lead_id)

    def superseded(self, entry: Entry, target: Target, lead_id: int) -> None:
        """A status that counts for more was sent earlier in this run."""
        self._settle.supersede(entry, target, lead_id, None)
        self.quiet(entry, lead_id)

    def kept(self, entry: Entry, target: Target, lead_id: int) -> None:
        """An earlier sync has brought the lead further: it stays there."""
        self._settle.deliver(entry, target, lead_id, Result.UNCHANGED, None)
        self.quiet(entry, lead_id)

    def refused(self, entry: Entry, target: Target, lead_id: int, refusal: Refusal) -> None:
        """Marketo refuses the membership, or its fields."""
        self._settle.reject(entry, target, refusal, lead_id)
        self.quiet(entry, lead_id)

    def delivered(
        self,
        program_id: int,
        status: str,
        lead_id: int,
        result: Result,
        reply: RowReply,
        entries: Sequence[Entry],
    ) -> None:
        """Of several records that one call settles, the first carries Marketo's answer."""
        before = reply.before
        settle = self._settle
        for entry in entries:
            target = target_in(entry, program_id)
            if target.program_status == status:
                message = reply.message if result is _UPDATED else None
                settle.deliver(entry, target, lead_id, result, reply.request_id, before=before, message=message)
                result = _UNCHANGED
                before = before if before is UNSET else status
            else:
                settle.supersede(entry, target, lead_id, status)
            if entry.quiet is not None:
                self.quiet(entry, lead_id)
