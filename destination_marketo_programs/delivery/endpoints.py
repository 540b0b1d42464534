"""The few endpoints that delivery asks of Marketo: the real one answers them, a dry run's, or a table in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.marketo.api import JsonObject, LeadFields
    from destination_marketo_programs.marketo.assets import Program
    from destination_marketo_programs.marketo.leads import Action
    from destination_marketo_programs.marketo.rows import RowReply


class PeopleAndMembers(Protocol):
    """See `marketo.api.Marketo` for each method."""

    def sync_leads(
        self, rows: Sequence[LeadFields], action: Action, lookup_field: str, partition: str = ""
    ) -> list[RowReply]:
        """Create or update at most 300 people."""

    def query_leads(
        self, filter_type: str, values: Sequence[str], fields: Sequence[str], crowded: set[str] | None = None
    ) -> list[JsonObject]:
        """Leads by at most 300 values."""

    def sync_status(self, program_id: int, status: str, lead_ids: Sequence[int]) -> list[RowReply]:
        """Set one status in one program for at most 300 leads."""

    def sync_data(self, program_id: int, rows: Sequence[tuple[int, LeadFields]]) -> list[RowReply]:
        """Write fields of at most 300 memberships."""

    def program(self, program_id: int) -> Program | None:
        """The program; None if the API user sees none of this id."""
