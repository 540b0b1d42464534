"""Comparing memberships with the status that a write would set, without setting it. Runs in a worker."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.delivery.member_writer import ProgramGoneError
from destination_marketo_programs.marketo.errors import ALREADY_IN_OR_PAST_STATUS, LEAD_NOT_FOUND, NotFoundError
from destination_marketo_programs.marketo.members import query_members
from destination_marketo_programs.marketo.rows import RowReply
from destination_marketo_programs.rehearsal.forecast import Stage, WriteCalls
from destination_marketo_programs.rehearsal.leads import existing_ids
from destination_marketo_programs.rehearsal.overlay import LARGEST_LEAD_ID, Overlay
from destination_marketo_programs.rehearsal.values import misfit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from destination_marketo_programs.delivery.member_writer import DataReplies, StatusReplies
    from destination_marketo_programs.delivery.work import MemberRow
    from destination_marketo_programs.mapping import WritableField
    from destination_marketo_programs.marketo.client import MarketoClient


def moves(steps: Mapping[tuple[int, str], int], program_id: int, before: str, status: str) -> bool:
    """Whether Marketo would change a member's status: forward and sideways, never backwards.

    Of a status that the channel no longer has, Marketo does not say how it compares; taken as a change.

    Args:
        steps: (program id, status) -> step.
        program_id: the program.
        before: the member's present status.
        status: the wanted one.
    """
    if before == status:
        return False
    now, wanted = steps.get((program_id, before)), steps.get((program_id, status))
    return now is None or wanted is None or now <= wanted


class Change(NamedTuple):
    """A kind of change to memberships of one program; `before` is None for new members."""

    program_id: int
    before: str | None
    after: str


class PlannedMembers:
    """Answers for memberships as Marketo would, and remembers what a write would have set.

    Args:
        client: reads.
        overlay: memberships set by earlier records of this run.
        steps: (program id, status) -> step.
        writable: membership fields by REST API name; None where they are not known.
        calls: takes the calls that a write would make.

    Attributes:
        changes: how many memberships would change in which way.
    """

    def __init__(
        self,
        client: MarketoClient,
        overlay: Overlay,
        steps: Mapping[tuple[int, str], int],
        writable: Mapping[str, WritableField] | None,
        calls: WriteCalls,
    ) -> None:
        self._client = client
        self._overlay = overlay
        self._steps = steps
        self._writable = writable
        self._calls = calls
        self._counting = threading.Lock()
        self.changes: Counter[Change] = Counter()

    def write_status(self, rows: Sequence[MemberRow]) -> StatusReplies:
        """What Sync Program Member Status would say of one status in one program."""
        self._calls.add(Stage.MEMBERSHIPS)
        program_id, status = rows[0].program_id, rows[0].program_status
        present = self._present(program_id, [row.lead_id for row in rows])
        gone = self._gone([row for row in rows if row.lead_id not in present])
        replies: StatusReplies = []
        memberships: list[tuple[int, str, str | None]] = []
        for row in rows:
            lead_id, before = row.lead_id, present.get(row.lead_id)
            if lead_id in gone:
                replies.append((row, RowReply("", None, LEAD_NOT_FOUND, None, None)))
            elif before is None:
                replies.append((row, RowReply("created", lead_id, None, None, None)))
                memberships.append((lead_id, status, None))
            elif moves(self._steps, program_id, before, status):
                replies.append((row, RowReply("updated", lead_id, None, None, None)))
                memberships.append((lead_id, status, before))
            else:
                replies.append((row, RowReply("", lead_id, ALREADY_IN_OR_PAST_STATUS, None, None)))
                memberships.append((lead_id, before, before))
        self._overlay.put(program_id, memberships)
        with self._counting:
            self.changes.update(Change(program_id, before, now) for _, now, before in memberships if now != before)
        return replies

    def write_data(self, rows: Sequence[MemberRow]) -> DataReplies:
        """What Sync Program Member Data would say; a refused row of several records is judged by parts."""
        self._calls.add(Stage.MEMBERSHIPS)
        replies: DataReplies = []
        for row in rows:
            parts = row.data_parts()
            merged = {name: value for part in parts for name, value in part.items()}
            reply = self._data_answer(row, merged)
            if reply.status or len(parts) == 1:
                replies.append((row, merged, reply))
                continue
            self._calls.add(Stage.MEMBERSHIPS, len(parts))
            replies += [(row, part, self._data_answer(row, part)) for part in parts]
        return replies

    def _data_answer(self, row: MemberRow, fields: dict[str, Any]) -> RowReply:
        refusal = misfit(fields, self._writable)
        if refusal is not None:
            return RowReply("", row.lead_id, refusal.code, refusal.message, None)
        return RowReply("updated", row.lead_id, None, None, None)

    def _present(self, program_id: int, lead_ids: Sequence[int]) -> dict[int, str]:
        """Status by lead id of those who are members, or would be by now."""
        possible = [lead_id for lead_id in lead_ids if lead_id <= LARGEST_LEAD_ID]
        present = self._overlay.statuses(program_id, possible)
        asked = [lead_id for lead_id in possible if lead_id > 0 and lead_id not in present]
        if asked:
            try:
                members = query_members(self._client, program_id, asked, ["statusName"])
            except NotFoundError as error:
                raise ProgramGoneError(program_id, error) from error
            present |= {lead_id: str(member.get("statusName") or "") for lead_id, member in members.items()}
        return present

    def _gone(self, rows: Sequence[MemberRow]) -> frozenset[int]:
        """Ids that only records vouch for, and that no lead has."""
        doubtful = [row.lead_id for row in rows if all(item.person.marketo_id == row.lead_id for item, _ in row.claims)]
        return frozenset(doubtful) - existing_ids(self._client, doubtful)
