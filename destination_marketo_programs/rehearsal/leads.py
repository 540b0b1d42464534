"""Finding people as a write does, without writing them. Runs in a worker."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.delivery.lead_writer import LeadPolicy, LeadWriter
from destination_marketo_programs.marketo.client import MAX_ROWS_PER_CALL
from destination_marketo_programs.marketo.errors import LEAD_EXISTS, LEAD_NOT_FOUND, SEVERAL_LEADS_MATCH
from destination_marketo_programs.marketo.leads import Action, list_partitions, query_leads
from destination_marketo_programs.marketo.rows import RowReply
from destination_marketo_programs.rehearsal.forecast import Stage, WriteCalls
from destination_marketo_programs.rehearsal.overlay import LARGEST_LEAD_ID, Overlay
from destination_marketo_programs.rehearsal.values import misfit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from destination_marketo_programs.delivery.work import LeadRow
    from destination_marketo_programs.mapping import WritableField
    from destination_marketo_programs.marketo.client import MarketoClient

IN_ANOTHER_PARTITION = "1010"

Leads = dict[str, list[dict[str, Any]]]
"""Folded key -> the leads that have it."""


class PlannedLeads(LeadWriter):
    """`LeadWriter`, every decision of it, over a Sync Leads whose answer is worked out from what Marketo shows.

    People who would be created get negative ids and are remembered, so that later records mean the same person.

    Args:
        client: reads.
        policy: `lead_sync`.
        overlay: new people.
        writable: lead fields by REST API name; None where they are not known.
        calls: takes the calls that a write would make.

    Attributes:
        unaskable: rows taken as unknown to Marketo because it cannot be asked for their key.
    """

    def __init__(
        self,
        client: MarketoClient,
        policy: LeadPolicy,
        overlay: Overlay,
        writable: Mapping[str, WritableField] | None,
        calls: WriteCalls,
    ) -> None:
        super().__init__(client, policy)
        self._overlay = overlay
        self._writable = writable
        self._calls = calls
        self._unaskable_lock = threading.Lock()
        self.unaskable = 0

    def _sync(self, rows: Sequence[LeadRow], action: str, lookup_field: str) -> list[RowReply]:
        self._calls.add(Stage.PEOPLE)
        found = self._look_up_ids(rows) if lookup_field == "id" else self._look_up(rows)
        elsewhere = self._in_other_partitions(found) if action == Action.CREATE_OR_UPDATE else frozenset[int]()
        return [self._answer(row, action, found.get(row.key, ()), elsewhere) for row in rows]

    def _find(self, rows: Sequence[LeadRow]) -> Leads:
        askable = sum(not _holds_comma(row) for row in rows)
        self._calls.add(Stage.PEOPLE, -(-askable // MAX_ROWS_PER_CALL))
        return self._look_up(rows)

    def _answer(
        self, row: LeadRow, action: str, leads: Sequence[dict[str, Any]], elsewhere: frozenset[int]
    ) -> RowReply:
        """What Sync Leads would say of one row, in the order in which it judges."""
        refusal = misfit({row.head[0]: row.head[1], **row.fields}, self._writable)
        if refusal is not None:
            return _refused(*refusal)
        if len(leads) > 1:
            return _refused(SEVERAL_LEADS_MATCH, f"{len(leads):,} people in Marketo have this {row.head[0]}.")
        if leads:
            lead_id = leads[0]["id"]
            if action == Action.CREATE_ONLY:
                return _refused(LEAD_EXISTS)
            if lead_id in elsewhere:
                return _refused(IN_ANOTHER_PARTITION, "The person is not in the partition of lead_sync.partition_name.")
            return RowReply("updated", lead_id, None, None, None)
        if row.head[0] != "id" and _holds_comma(row):
            with self._unaskable_lock:
                self.unaskable += 1
        if action == Action.UPDATE_ONLY:
            return _refused(LEAD_NOT_FOUND)
        return RowReply("created", self._overlay.add_person(row.key), None, None, None)

    # --- reads -----------------------------------------------------------------------------------------------

    def _look_up(self, rows: Sequence[LeadRow]) -> Leads:
        new = {row.key: lead_id for row in rows if (lead_id := self._overlay.person(row.key)) is not None}
        found = super()._find([row for row in rows if row.key not in new])
        return found | {key: [{"id": lead_id}] for key, lead_id in new.items()}

    def _look_up_ids(self, rows: Sequence[LeadRow]) -> Leads:
        there = existing_ids(self._client, [int(row.head[1]) for row in rows])
        return {row.key: [{"id": int(row.head[1])}] for row in rows if int(row.head[1]) in there}

    def _in_other_partitions(self, found: Leads) -> frozenset[int]:
        """Leads that a write with a partition would not touch; asks only where a partition is configured."""
        ids = [leads[0]["id"] for leads in found.values() if len(leads) == 1 and leads[0]["id"] > 0]
        if not self._policy.partition_name or not ids:
            return frozenset()
        rows = query_leads(self._client, "id", [str(lead_id) for lead_id in ids], ["id", "leadPartitionId"])
        return frozenset(row["id"] for row in rows if row.get("leadPartitionId") not in (None, self._partition_id))

    @cached_property
    def _partition_id(self) -> int | None:
        return list_partitions(self._client).get(self._policy.partition_name)


def existing_ids(client: MarketoClient, lead_ids: Sequence[int]) -> frozenset[int]:
    """Those of at most 300 lead ids that Marketo has a lead for."""
    possible = [str(lead_id) for lead_id in lead_ids if lead_id <= LARGEST_LEAD_ID]
    if not possible:
        return frozenset()
    return frozenset(row["id"] for row in query_leads(client, "id", possible, ["id"]) if isinstance(row.get("id"), int))


def _holds_comma(row: LeadRow) -> bool:
    return "," in str(row.head[1])


def _refused(code: str, message: str | None = None) -> RowReply:
    return RowReply("", None, code, message, None)
