"""A Marketo that only reads: writes are answered from what Marketo shows, and from what this run would have changed."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.dryrun.overlay import LARGEST_LEAD_ID, Overlay
from destination_marketo_programs.dryrun.values import misfit
from destination_marketo_programs.mapping import can_be_queried
from destination_marketo_programs.marketo.errors import (
    ALREADY_IN_OR_PAST_STATUS,
    LEAD_EXISTS,
    LEAD_NOT_FOUND,
    SEVERAL_LEADS_MATCH,
)
from destination_marketo_programs.marketo.leads import Action
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL, RowReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.dryrun.forecast import WriteCalls
    from destination_marketo_programs.mapping import FieldCatalog
    from destination_marketo_programs.marketo.api import JsonObject, LeadFields, Marketo
    from destination_marketo_programs.marketo.assets import Program

IN_ANOTHER_PARTITION = "1010"
KNOWN_IDS_REMEMBERED = 100_000
_UNKNOWN_STEP = (
    "The channel no longer has the present status. Marketo does not say whether a member can leave such a status; the "
    "plan assumes that it can."
)


class Change(NamedTuple):
    """A kind of change to memberships of one program; `before` is None for new members."""

    program_id: int
    before: str | None
    after: str


class ReadingMarketo:
    """Answers like Marketo, and writes nothing.

    People who would be created get negative ids and are remembered, so that later records mean the same person. Every
    answer about a membership says the status before (`RowReply.before`).

    Args:
        inner: reads.
        overlay: what this run would have changed.
        statuses: how statuses compare.
        fields: Marketo's fields; None in it if they are not known.
        fold: how values of the lookup field are compared.
        calls: takes the calls that a write would make.

    Attributes:
        changes: how many memberships would change in which way.
        unaskable: rows taken as unknown to Marketo because it cannot be asked for their key.
    """

    def __init__(
        self,
        inner: Marketo,
        overlay: Overlay,
        statuses: Statuses,
        fields: FieldCatalog,
        fold: Callable[[object], str],
        calls: WriteCalls,
    ) -> None:
        self._inner = inner
        self._overlay = overlay
        self._statuses = statuses
        self._fields = fields
        self._fold = fold
        self._calls = calls
        self._lock = threading.Lock()
        self._known: set[int] = set()
        self._known_before: set[int] = set()
        self._partition_ids: Mapping[str, int] | None = None
        self.changes: Counter[Change] = Counter()
        self.unaskable = 0

    # --- people ----------------------------------------------------------------------------------------------

    def sync_leads(
        self, rows: Sequence[LeadFields], action: Action, lookup_field: str, partition: str = ""
    ) -> list[RowReply]:
        """What Sync Leads would say."""
        self._calls.people()
        found = self._find(lookup_field, [str(row[lookup_field]) for row in rows])
        elsewhere = self._elsewhere(found, partition) if action is Action.CREATE_OR_UPDATE else frozenset[int]()
        return [self._answer(row, action, lookup_field, found, elsewhere) for row in rows]

    def query_leads(
        self, filter_type: str, values: Sequence[str], fields: Sequence[str], crowded: set[str] | None = None
    ) -> list[JsonObject]:
        """Leads as Marketo shows them, and those that this run would have created."""
        self._calls.people()
        new = self._new_people(filter_type, values)
        asked = [value for value in values if self._fold(value) not in new]
        leads = self._inner.query_leads(filter_type, asked, fields, crowded) if asked else []
        self._remember(leads)
        return leads + [{"id": lead_id, filter_type: key} for key, lead_id in new.items()]

    def _find(self, lookup_field: str, values: Sequence[str]) -> dict[str, list[JsonObject]]:
        """Leads by folded value (by id as text); values with a comma are as if not found."""
        if lookup_field == "id":
            there = self._existing([int(value) for value in values])
            return {str(lead_id): [{"id": lead_id}] for lead_id in there}
        found = {key: [{"id": lead_id}] for key, lead_id in self._new_people(lookup_field, values).items()}
        asked = [value for value in values if can_be_queried(value) and self._fold(value) not in found]
        crowded: set[str] = set()
        leads = (
            self._inner.query_leads(lookup_field, asked, ["id", lookup_field, "updatedAt"], crowded) if asked else []
        )
        self._remember(leads)
        for lead in leads:
            if isinstance(lead.get("id"), int):
                found.setdefault(self._fold(lead.get(lookup_field)), []).append(lead)
        for value in crowded:
            found[self._fold(value)] = [{"id": 0}, {"id": 0}]
        return found

    def _new_people(self, lookup_field: str, values: Sequence[str]) -> dict[str, int]:
        if lookup_field == "id":
            return {}
        keys = map(self._fold, values)
        return {key: lead_id for key in keys if (lead_id := self._overlay.person(key)) is not None}

    def _answer(
        self,
        row: LeadFields,
        action: Action,
        lookup_field: str,
        found: Mapping[str, Sequence[JsonObject]],
        elsewhere: frozenset[int],
    ) -> RowReply:
        """What Sync Leads would say of one row, in the order in which it judges."""
        refusal = misfit(row, self._fields.lead)
        if refusal is not None:
            return _refused(*refusal)
        value = str(row[lookup_field])
        key = value if lookup_field == "id" else self._fold(value)
        leads = found.get(key, ())
        if len(leads) > 1:
            return _refused(SEVERAL_LEADS_MATCH, f"Several people in Marketo have this {lookup_field}.")
        if leads:
            lead_id = leads[0]["id"]
            if action is Action.CREATE_ONLY:
                return _refused(LEAD_EXISTS)
            if lead_id in elsewhere:
                return _refused(IN_ANOTHER_PARTITION, "The person is not in the partition of lead_sync.partition_name.")
            return RowReply("updated", lead_id, None, None, None)
        if lookup_field != "id" and not can_be_queried(value):
            with self._lock:
                self.unaskable += 1
        if action is Action.UPDATE_ONLY:
            return _refused(LEAD_NOT_FOUND)
        return RowReply("created", self._overlay.add_person(key), None, None, None)

    def _elsewhere(self, found: Mapping[str, Sequence[JsonObject]], partition: str) -> frozenset[int]:
        """Leads that a write with a partition would not touch; asks only if a partition is configured."""
        ids = [leads[0]["id"] for leads in found.values() if len(leads) == 1 and leads[0]["id"] > 0]
        if not partition or not ids:
            return frozenset()
        if self._partition_ids is None:
            self._partition_ids = self._inner.partitions()
        here = (None, self._partition_ids.get(partition))
        rows = self._inner.query_leads("id", list(map(str, ids)), ["id", "leadPartitionId"])
        return frozenset(row["id"] for row in rows if row.get("leadPartitionId") not in here)

    def _existing(self, lead_ids: Iterable[int]) -> set[int]:
        """Those of at most 300 lead ids that mean somebody."""
        lead_ids = set(lead_ids)
        with self._lock:
            known = {
                lead_id
                for lead_id in lead_ids
                if lead_id < 0 or lead_id in self._known or lead_id in self._known_before
            }
        doubtful = [lead_id for lead_id in lead_ids - known if lead_id <= LARGEST_LEAD_ID]
        if doubtful:
            leads = self._inner.query_leads("id", list(map(str, doubtful)), ["id"])
            self._remember(leads)
            known |= {lead["id"] for lead in leads if isinstance(lead.get("id"), int)}
        return known

    def _remember(self, leads: Iterable[JsonObject]) -> None:
        with self._lock:
            if len(self._known) >= KNOWN_IDS_REMEMBERED:
                self._known_before, self._known = self._known, set()
            self._known.update(lead["id"] for lead in leads if isinstance(lead.get("id"), int))

    # --- memberships -----------------------------------------------------------------------------------------

    def sync_status(self, program_id: int, status: str, lead_ids: Sequence[int]) -> list[RowReply]:
        """What Sync Program Member Status would say of one status in one program."""
        self._calls.memberships()
        present = self._present(program_id, lead_ids)
        existing = self._existing(lead_id for lead_id in lead_ids if lead_id not in present)
        replies: list[RowReply] = []
        memberships: list[tuple[int, str]] = []
        for lead_id in lead_ids:
            before = present.get(lead_id)
            if before is None and lead_id not in existing:
                replies.append(_refused(LEAD_NOT_FOUND))
                continue
            reply, after = self._member_answer(program_id, status, lead_id, before)
            replies.append(reply)
            memberships.append((lead_id, after))
            if after != before:
                with self._lock:
                    self.changes[Change(program_id, before, after)] += 1
        self._overlay.put(program_id, memberships)
        return replies

    def _member_answer(self, program_id: int, status: str, lead_id: int, before: str | None) -> tuple[RowReply, str]:
        if before is None:
            return RowReply("created", lead_id, None, None, None, before=None), status
        if self._statuses.moves(program_id, before, status):
            note = _UNKNOWN_STEP if self._statuses.step(program_id, before) is None else None
            return RowReply("updated", lead_id, None, note, None, before=before), status
        return RowReply("", lead_id, ALREADY_IN_OR_PAST_STATUS, None, None, before=before), before

    def sync_data(self, program_id: int, rows: Sequence[tuple[int, LeadFields]]) -> list[RowReply]:  # noqa: ARG002 - any program
        """What Sync Program Member Data would say."""
        self._calls.memberships()
        replies = []
        for lead_id, fields in rows:
            refusal = misfit(fields, self._fields.member)
            replies.append(RowReply("updated", lead_id, None, None, None) if refusal is None else _refused(*refusal))
        return replies

    def _present(self, program_id: int, lead_ids: Sequence[int]) -> dict[int, str]:
        """Status by lead id of those who are members, or would be by now."""
        possible = [lead_id for lead_id in lead_ids if lead_id <= LARGEST_LEAD_ID]
        present = self._overlay.statuses(program_id, possible)
        asked = [lead_id for lead_id in possible if lead_id > 0 and lead_id not in present]
        if asked:
            members = self._inner.query_members(program_id, asked[:MAX_ROWS_PER_CALL], ["statusName"])
            present |= {lead_id: str(member.get("statusName") or "") for lead_id, member in members.items()}
        return present

    def program(self, program_id: int) -> Program | None:
        """The program; None if the API user sees none of this id."""
        return self._inner.program(program_id)


def _refused(code: str, message: str | None = None) -> RowReply:
    return RowReply("", None, code, message, None)
