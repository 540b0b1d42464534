"""The calls about people: Sync Leads in parts that Marketo takes, and look-ups."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.delivery.lead_rows import ACQUISITION_FIELD, below_1_mb, queryable
from destination_marketo_programs.delivery.send_each import send_each
from destination_marketo_programs.marketo.errors import (
    FIELD_NOT_FOUND,
    OutcomeUnknownError,
    UnreachableError,
    category_for,
)
from destination_marketo_programs.marketo.leads import Action
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL
from destination_marketo_programs.outcomes import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from destination_marketo_programs.delivery.creates import Creates
    from destination_marketo_programs.delivery.endpoints import PeopleAndMembers
    from destination_marketo_programs.delivery.lead_rows import Fate, Later, LeadPolicy, LeadRow
    from destination_marketo_programs.marketo.api import JsonObject
    from destination_marketo_programs.marketo.rows import RowReply

MAX_LOST_CREATES = 8
LOST_ALONE_BEFORE_REFUSAL = 3
CROWD: list[JsonObject] = [{"id": 0}, {"id": 0}]
"""Stands for more leads with one key than Marketo lists."""


class LeadRequests:
    """Makes calls about people.

    Args:
        marketo: makes the calls.
        policy: `lead_sync`.
        creates: told of every create.
    """

    def __init__(self, marketo: PeopleAndMembers, policy: LeadPolicy, creates: Creates) -> None:
        self._marketo = marketo
        self._policy = policy
        self._creates = creates
        self._last_create = float("-inf")

    def send_each(
        self, rows: Sequence[LeadRow], action: Action
    ) -> Iterator[tuple[LeadRow, RowReply | OutcomeUnknownError]]:
        """A field that Marketo does not have (any more) refuses all rows that name it, without a call for each."""
        for batch in below_1_mb(rows, action):
            yield from send_each(
                batch,
                lambda part: self._sync_or_lose(part, action),
                (FIELD_NOT_FOUND,),
                lambda row: frozenset(row.body(action)),
            )

    def _sync_or_lose(self, rows: Sequence[LeadRow], action: Action) -> list[RowReply | OutcomeUnknownError]:
        bodies = [row.body(action) for row in rows]
        partition = self._policy.partition_name
        if action == Action.UPDATE_ONLY:
            return list(self._marketo.sync_leads(bodies, action, rows[0].name, partition))
        try:
            with self._creates:
                replies = self._marketo.sync_leads(bodies, action, rows[0].name, partition)
        except OutcomeUnknownError as error:
            return [error] * len(rows)
        self._last_create = self._creates.clock()
        return list(replies)

    def read(self, rows: Sequence[LeadRow], filter_type: str) -> dict[str, list[JsonObject]]:
        """Leads by folded key (or id as text) with what guards want to see of them.

        Rows whose key cannot be asked for are as if not found.
        """
        fold = str if filter_type == "id" else self._policy.fold
        guarded = (name for row in rows if row.guarded for name in (*(row.if_blank or ()), *(row.on_create or ())))
        names = [name for name in dict.fromkeys(guarded) if name != ACQUISITION_FIELD]
        fields = list(dict.fromkeys(["id", filter_type, "updatedAt", *names]))
        values = [str(row.value) for row in rows if queryable(row)]
        found: dict[str, list[JsonObject]] = {}
        for start in range(0, len(values), MAX_ROWS_PER_CALL):
            crowded: set[str] = set()
            for lead in self._marketo.query_leads(
                filter_type, values[start : start + MAX_ROWS_PER_CALL], fields, crowded
            ):
                value, lead_id = lead.get(filter_type), lead.get("id")
                if value is not None and isinstance(lead_id, int):
                    found.setdefault(fold(value), []).append(lead)
            found.update(dict.fromkeys(map(fold, crowded), CROWD))
        return found

    def lost(self, error: OutcomeUnknownError, row: LeadRow, later: Later, *, alone: bool) -> Fate:
        """What becomes of a row whose create was lost once more.

        Raises:
            UnreachableError: it was lost too often.
        """
        row.tries += 1
        if alone and error.code == "611" and row.tries >= LOST_ALONE_BEFORE_REFUSAL and self._others_pass(row):
            # It is this record that Marketo cannot digest.
            return Refusal(
                category_for(error.code, error.marketo_message), error.code, error.marketo_message, error.request_id
            )
        if row.tries > MAX_LOST_CREATES:
            raise UnreachableError(error.endpoint, error.code, None, error.request_id)
        return later

    def _others_pass(self, row: LeadRow) -> bool:
        """Whether others were created since this row was tried for the second time, so that Marketo is not down."""
        return row.lost_since is not None and self._last_create >= row.lost_since + self._policy.settle_seconds
