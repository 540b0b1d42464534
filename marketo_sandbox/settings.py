"""Everything about the sandbox that can be set, with Marketo's documented numbers as defaults."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

import msgspec

MAX_ROWS_PER_CALL = 300
"""Records per write, filter values per query, rows per page of the lead database."""


class Permission(StrEnum):
    """Role permissions of the API user, as Marketo's Admin spells them."""

    READ_LEAD = "Read-Only Lead"
    WRITE_LEAD = "Read-Write Lead"
    READ_ASSETS = "Read-Only Assets"
    READ_ACTIVITY = "Read-Only Activity"


class Service(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A LaunchPoint custom service with the API-only user behind it.

    Attributes:
        user: login of the API-only user; the `scope` of its tokens and the `userId` of its usage.
        permissions: what its role allows. Read-Write Lead includes Read-Only Lead.
        partitions: names of the partitions that the user reaches; None for all of them.
    """

    client_id: str
    client_secret: str
    user: str = "connector-api@example.com"
    permissions: frozenset[Permission] = frozenset(Permission)
    partitions: frozenset[str] | None = None


DEFAULT_SERVICE = Service(
    client_id="sandbox-client-id",
    client_secret="sandbox-client-secret",  # noqa: S106 - made up, for a server that only this machine reaches
)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How this Marketo behaves. Replaced as a whole, never changed in place.

    `calls_kept`, `keep_fields` and `record_activities` take effect at the start and at a reset, all others at the
    next call.

    Attributes:
        token_life_seconds: life of a fresh access token.
        limits: whether 606, 607 and 615 are enforced at all.
        calls_per_window: calls per `window_seconds`, sliding (606).
        concurrent_calls: calls in flight (615).
        daily_calls: calls of all users per day (607).
        latency_seconds: how long each API call works between looking leads up and writing them.
        create_seconds: how much longer a Sync Leads call takes that creates somebody. It goes on although the client
            has gone: people are looked up at its start and created at its end.
        visible_after_seconds: how long a lead made by the API or an import is unknown to everything but Sync Leads
            and imports: queries and extracts leave it out, membership calls answer 1004.
        sync_sees_new_leads: whether Sync Leads and imports find a lead that is not visible yet; otherwise they make a
            second one.
        merged_leads: what a membership call answers for a lead that was merged into another: 1004, or the winner's
            id, with the winner as the member. Not documented.
        identity_errors_as_200: whether a refused token request is answered with HTTP 200 in place of 401.
        body_bytes: largest body outside bulk (413 above it). Adobe says "1 MB"; taken as decimal.
        bulk_body_bytes: bulk bodies have to be smaller than this (413).
        uri_bytes: longest URI of lead database and bulk (414 above it). Adobe says "8 KB".
        asset_uri_bytes: longest URI of the asset API (414 above it).
        query_matches: leads one query may match (1003 above it).
        member_query_members: members of a program that a query not by leadId may have (1003 above it).
        partition_required: whether creating a lead needs `partitionName` (1009).
        refuse_company_updates: whether company fields in an update give 1021.
        refuse_hidden_statuses: whether a hidden program status counts as not found (1025).
        unknown_program_code: response code for members of a program that does not exist; not documented.
        programs_filter: whether Browse Programs honours `filterType` with `filterValues`, ignores them as the
            documentation's older pages would have it, or refuses them (1003).
        compress: whether answers of 1024 bytes or more are compressed for clients that accept gzip.
        log_calls: whether each call is logged. Counters go on without it.
        log_keys: whether the log says which leads a call was about.
        calls_kept: how many calls the log holds; older ones are dropped.
        check_values: whether types and lengths of field values are checked.
        keep_fields: whether leads keep all fields, or only those that can be looked up.
        record_activities: whether changes are kept as activities.
        bulk_running: import jobs that run at once.
        bulk_queue: import jobs waiting or running (1016 above it).
        bulk_start_seconds: how long a job is Queued although a slot is free. Every third job starts at once.
        bulk_job_seconds: how long a job is Importing, whatever its size.
        bulk_seconds_per_1000_rows: what its rows add to that.
        bulk_job_days: how long a finished job can be asked about.
        bulk_fails_backward_rows: whether rows already past the job's status fail; otherwise they count as
            imported and only the status stays. Not documented.
        bulk_duplicates: what an import does with an email that several leads have: write to the one that was updated
            last, as Marketo's list import does, or fail the row.
        bulk_partition: partition of the people whom an import creates. Not documented.
        bulk_sets_acquisition_program: whether people whom an import creates get its program as acquisition program.
            Not documented for the API.
        bulk_failures_drop_blank_last_column: whether a result file lacks its last column if that is blank in all
            of its rows, as instances have been seen to do.
        export_running: extract jobs that run at once.
        export_queue: extract jobs waiting or running (1029 above it).
        export_daily_bytes: bytes of all extract files of a day (1029 above it).
        export_start_seconds: how long an extract job is Queued although a slot is free.
        export_job_seconds: how long it is Processing, whatever its size.
        export_seconds_per_1000_rows: what its rows add to that.
        export_status_seconds: how often the status of an extract job is renewed.
        export_job_days: how long a finished job can be asked about.
        export_updated_at: whether extracts can be filtered by `updatedAt`, which not every subscription has (1035).
    """

    services: tuple[Service, ...] = (DEFAULT_SERVICE,)
    token_life_seconds: float = 3600.0
    limits: bool = True
    calls_per_window: int = 100
    window_seconds: float = 20.0
    concurrent_calls: int = 10
    daily_calls: int = 50_000
    latency_seconds: float = 0.0
    create_seconds: float = 0.0
    visible_after_seconds: float = 0.0
    sync_sees_new_leads: bool = True
    merged_leads: Literal["not_found", "winner"] = "not_found"
    identity_errors_as_200: bool = False
    body_bytes: int = 1_000_000
    bulk_body_bytes: int = 10_000_000
    uri_bytes: int = 8_000
    asset_uri_bytes: int = 65_000
    query_matches: int = 1_000
    member_query_members: int = 100_000
    partition_required: bool = False
    refuse_company_updates: bool = False
    refuse_hidden_statuses: bool = False
    unknown_program_code: str = "702"
    programs_filter: Literal["honoured", "ignored", "refused"] = "honoured"
    compress: bool = True
    log_calls: bool = True
    log_keys: bool = True
    calls_kept: int = 5_000
    check_values: bool = True
    keep_fields: bool = True
    record_activities: bool = True
    bulk_running: int = 2
    bulk_queue: int = 10
    bulk_start_seconds: float = 0.2
    bulk_job_seconds: float = 0.3
    bulk_seconds_per_1000_rows: float = 0.01
    bulk_job_days: float = 7.0
    bulk_fails_backward_rows: bool = False
    bulk_duplicates: Literal["most_recently_updated", "fail"] = "most_recently_updated"
    bulk_partition: str = "Default"
    bulk_sets_acquisition_program: bool = False
    bulk_failures_drop_blank_last_column: bool = False
    export_running: int = 2
    export_queue: int = 10
    export_daily_bytes: int = 500_000_000
    export_start_seconds: float = 0.2
    export_job_seconds: float = 0.3
    export_seconds_per_1000_rows: float = 0.01
    export_status_seconds: float = 60.0
    export_job_days: float = 7.0
    export_updated_at: bool = True


FAST_CHANGES = {
    "limits": False,
    "compress": False,
    "log_calls": False,
    "log_keys": False,
    "check_values": False,
    "keep_fields": False,
    "record_activities": False,
}
"""What `--fast` sets: nothing that costs time without changing which lead is member of what."""


def changed(settings: Settings, changes: dict[str, object]) -> Settings:
    """`settings` with some members replaced by JSON values.

    Raises:
        msgspec.ValidationError: an unknown name or a value of the wrong type.
    """
    plain = msgspec.to_builtins(settings) | changes
    return msgspec.convert(plain, Settings)
