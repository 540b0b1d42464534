"""What the connector asks of Marketo: one protocol of endpoints, and the one that asks over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from destination_marketo_programs.marketo import activities, assets, bulk_import, extracts, leads, members, usage
from destination_marketo_programs.marketo.envelope import JsonObject
from destination_marketo_programs.marketo.leads import LeadFields, row_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from destination_marketo_programs.marketo.activities import Activity
    from destination_marketo_programs.marketo.assets import Folder, FolderRef, FoundPrograms, Program, Status
    from destination_marketo_programs.marketo.bulk_import import ImportStatus
    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.marketo.extracts import ExtractJob
    from destination_marketo_programs.marketo.leads import Action, FieldInfo, LeadDescription
    from destination_marketo_programs.marketo.rows import RowReply


__all__ = ["JsonObject", "LeadFields", "Marketo", "RestMarketo", "row_bytes"]


class Marketo(Protocol):
    """Marketo's endpoints. Each call is safe in any thread, waits for its turn, and is retried if that is harmless.

    Every method raises a `MarketoError` if the call failed as a whole.
    """

    # --- writes ----------------------------------------------------------------------------------------------

    def sync_leads(
        self, rows: Sequence[LeadFields], action: Action, lookup_field: str, partition: str = ""
    ) -> list[RowReply]:
        """Create or update at most 300 people; each row holds `lookup_field`, or `id` if that is looked up by.

        Returns:
            One answer for each row, in order.

        Raises:
            OutcomeUnknownError: a create may have been executed; it has `sent_at`.
        """

    def sync_status(self, program_id: int, status: str, lead_ids: Sequence[int]) -> list[RowReply]:
        """Set one status in one program for at most 300 different leads; answers in their order."""

    def sync_data(self, program_id: int, rows: Sequence[tuple[int, LeadFields]]) -> list[RowReply]:
        """Write fields of at most 300 memberships, (lead id, fields) each; answers in their order."""

    def create_import(self, program_id: int, status: str, file: bytes, rows: int) -> ImportStatus:
        """Upload a CSV file of people and queue its import.

        Raises:
            OutcomeUnknownError: a job may have been queued; it has `sent_at`.
        """

    # --- people and memberships ------------------------------------------------------------------------------

    def query_leads(
        self, filter_type: str, values: Sequence[str], fields: Sequence[str], crowded: set[str] | None = None
    ) -> list[JsonObject]:
        """Leads by at most 300 values without a comma; values that over 1,000 leads share go to `crowded`."""

    def query_members(self, program_id: int, lead_ids: Sequence[int], fields: Sequence[str]) -> dict[int, JsonObject]:
        """Members among at most 300 leads, by lead id; `fields` must name `statusName` to get it."""

    def activities(
        self,
        type_ids: Sequence[int],
        since: datetime,
        lead_ids: Sequence[int] = (),
        most_pages: int = activities.MOST_PAGES,
    ) -> Iterator[Activity]:
        """Activities of some types since then, of at most 30 leads or of all, oldest first.

        Raises:
            AnswerMisfitError: they fill more than `most_pages`; those that came before are good.
        """

    # --- import and extract jobs -----------------------------------------------------------------------------

    def import_status(self, batch_id: int) -> ImportStatus:
        """How far an import is."""

    def import_failures(self, batch_id: int) -> bytes:
        """Rows that failed, as CSV."""

    def import_warnings(self, batch_id: int) -> bytes:
        """Rows that were imported with a warning, as CSV."""

    def create_member_extract(self, program_ids: Sequence[int], fields: Sequence[str]) -> ExtractJob:
        """Describe an extract of the members of at most 10 programs."""

    def enqueue_member_extract(self, export_id: str) -> ExtractJob:
        """Queue it."""

    def cancel_member_extract(self, export_id: str) -> ExtractJob:
        """Take it back."""

    def member_extract_status(self, export_id: str) -> ExtractJob:
        """How far an extract is; Marketo renews it once a minute at most."""

    def member_extract_file(self, export_id: str) -> Iterator[bytes]:
        """The file of a completed extract, CSV with a header, in pieces."""

    # --- assets, fields, account -----------------------------------------------------------------------------

    def program(self, program_id: int) -> Program | None:
        """The program; None if the API user sees none of this id."""

    def programs(self, program_ids: Sequence[int]) -> FoundPrograms:
        """Many programs in one call; ask with `program` for each of those that it left open."""

    def folder(self, reference: FolderRef) -> Folder | None:
        """A folder by type and id."""

    def channels(self) -> dict[str, list[Status]]:
        """Statuses of every channel, by its name."""

    def channel(self, name: str) -> list[Status] | None:
        """Statuses of one channel; None if there is none of this name."""

    def lead_fields(self) -> LeadDescription:
        """The fields of a person, and those that can be looked up by."""

    def member_fields(self) -> dict[str, FieldInfo]:
        """The fields of a membership, by REST name."""

    def partitions(self) -> dict[str, int]:
        """Names and ids of the lead partitions that the API user sees."""

    def calls_today(self) -> int:
        """Calls of this API user since midnight, as Marketo counts them."""


class RestMarketo:
    """`Marketo` over REST, through one client."""

    def __init__(self, client: MarketoClient) -> None:
        self._client = client

    def sync_leads(
        self, rows: Sequence[LeadFields], action: Action, lookup_field: str, partition: str = ""
    ) -> list[RowReply]:
        """See `Marketo.sync_leads`."""
        return leads.sync_leads(self._client, rows, action, lookup_field, partition)

    def sync_status(self, program_id: int, status: str, lead_ids: Sequence[int]) -> list[RowReply]:
        """See `Marketo.sync_status`."""
        return members.sync_status(self._client, program_id, status, lead_ids)

    def sync_data(self, program_id: int, rows: Sequence[tuple[int, LeadFields]]) -> list[RowReply]:
        """See `Marketo.sync_data`."""
        return members.sync_data(self._client, program_id, rows)

    def create_import(self, program_id: int, status: str, file: bytes, rows: int) -> ImportStatus:
        """See `Marketo.create_import`."""
        return bulk_import.create_import(self._client, program_id, status, file, rows)

    def query_leads(
        self, filter_type: str, values: Sequence[str], fields: Sequence[str], crowded: set[str] | None = None
    ) -> list[JsonObject]:
        """See `Marketo.query_leads`."""
        return leads.query_leads(self._client, filter_type, values, fields, crowded)

    def query_members(self, program_id: int, lead_ids: Sequence[int], fields: Sequence[str]) -> dict[int, JsonObject]:
        """See `Marketo.query_members`."""
        return members.query_members(self._client, program_id, lead_ids, fields)

    def activities(
        self,
        type_ids: Sequence[int],
        since: datetime,
        lead_ids: Sequence[int] = (),
        most_pages: int = activities.MOST_PAGES,
    ) -> Iterator[Activity]:
        """See `Marketo.activities`."""
        return activities.list_activities(self._client, type_ids, since, lead_ids, most_pages)

    def import_status(self, batch_id: int) -> ImportStatus:
        """See `Marketo.import_status`."""
        return bulk_import.import_status(self._client, batch_id)

    def import_failures(self, batch_id: int) -> bytes:
        """See `Marketo.import_failures`."""
        return bulk_import.import_failures(self._client, batch_id)

    def import_warnings(self, batch_id: int) -> bytes:
        """See `Marketo.import_warnings`."""
        return bulk_import.import_warnings(self._client, batch_id)

    def create_member_extract(self, program_ids: Sequence[int], fields: Sequence[str]) -> ExtractJob:
        """See `Marketo.create_member_extract`."""
        return extracts.create_extract(self._client, program_ids, fields)

    def enqueue_member_extract(self, export_id: str) -> ExtractJob:
        """See `Marketo.enqueue_member_extract`."""
        return extracts.enqueue_extract(self._client, export_id)

    def cancel_member_extract(self, export_id: str) -> ExtractJob:
        """See `Marketo.cancel_member_extract`."""
        return extracts.cancel_extract(self._client, export_id)

    def member_extract_status(self, export_id: str) -> ExtractJob:
        """See `Marketo.member_extract_status`."""
        return extracts.extract_status(self._client, export_id)

    def member_extract_file(self, export_id: str) -> Iterator[bytes]:
        """See `Marketo.member_extract_file`."""
        return extracts.extract_file(self._client, export_id)

    def program(self, program_id: int) -> Program | None:
        """See `Marketo.program`."""
        return assets.get_program(self._client, program_id)

    def programs(self, program_ids: Sequence[int]) -> FoundPrograms:
        """See `Marketo.programs`."""
        return assets.find_programs(self._client, program_ids)

    def folder(self, reference: FolderRef) -> Folder | None:
        """See `Marketo.folder`."""
        return assets.get_folder(self._client, reference)

    def channels(self) -> dict[str, list[Status]]:
        """See `Marketo.channels`."""
        return assets.list_channels(self._client)

    def channel(self, name: str) -> list[Status] | None:
        """See `Marketo.channel`."""
        return assets.get_channel(self._client, name)

    def lead_fields(self) -> LeadDescription:
        """See `Marketo.lead_fields`."""
        return leads.describe_leads(self._client)

    def member_fields(self) -> dict[str, FieldInfo]:
        """See `Marketo.member_fields`."""
        return members.describe_members(self._client)

    def partitions(self) -> dict[str, int]:
        """See `Marketo.partitions`."""
        return leads.list_partitions(self._client)

    def calls_today(self) -> int:
        """See `Marketo.calls_today`."""
        return usage.calls_today(self._client)
