"""Putting the rooms together for one run: settings and catalog in, a delivery that is ready to run out."""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from destination_marketo_programs.activation.mapper import mapper_for
from destination_marketo_programs.delivery.bulk.calls import BulkCalls
from destination_marketo_programs.delivery.bulk.lane import BulkLane, LaneOptions
from destination_marketo_programs.delivery.bulk.rule import DEFAULT_PACE, ImportPace, bulk_possible
from destination_marketo_programs.delivery.bulk.spool import SpoolError
from destination_marketo_programs.delivery.lead_writer import LeadPolicy, LeadWriter
from destination_marketo_programs.delivery.ledger import Ledger
from destination_marketo_programs.delivery.member_writer import MemberWriter
from destination_marketo_programs.delivery.pipeline import Delivery, Options
from destination_marketo_programs.delivery.recorder import Recorder
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.mapping import Mapper, fold_for
from destination_marketo_programs.marketo.client import MarketoClient
from destination_marketo_programs.marketo.limits import Budget, Gate, Pace, utc_now
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.protocol import state_with_counts
from destination_marketo_programs.rehearsal.forecast import forecast_lines
from destination_marketo_programs.rehearsal.rehearsal import Rehearsal
from destination_marketo_programs.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from destination_marketo_programs.catalog import ConfiguredStream
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.delivery.pipeline import LeadWrites, MemberWrites
    from destination_marketo_programs.delivery.queues import GroupKey
    from destination_marketo_programs.model import Mapped
    from destination_marketo_programs.preflight import Preflight
    from destination_marketo_programs.protocol import StateMessage, StreamKey, Writer
    from destination_marketo_programs.storage import OutcomeStore

logger = logging.getLogger("airbyte.sync")

DURABLE_COMMIT_SECONDS = 0.2
"""Least time between two commits of a store that writes to disk: a STATE may wait that long, and fsync is not free."""


def connect(
    settings: Settings,
    policy: RetryPolicy | None = None,
    on_token: Callable[[str], None] = lambda _token: None,
    *,
    read_only: bool = False,
) -> MarketoClient:
    """A client with the limits of the settings; makes no call yet. For a dry run, one that cannot write."""
    delivery = settings.delivery
    pace = Pace(delivery.calls_per_20_seconds, delivery.concurrent_calls)
    gate = Gate(pace, Budget(delivery.daily_call_budget))
    return MarketoClient(
        settings.domain_url,
        settings.client_id,
        settings.client_secret,
        gate,
        policy or RetryPolicy(),
        on_token=on_token,
        read_only=read_only or delivery.dry_run,
    )


def open_outcome_store(settings: Settings) -> OutcomeStore:
    """The configured store, under a name of its own for this attempt of the sync."""
    return open_store(settings.object_storage_config, sync_started_at=utc_now(), run_id=uuid.uuid4().hex[:12])


class Sync:
    """One run of `write`, from checked settings to the summary.

    Args:
        settings: the configuration.
        preflight: what the checks learned of Marketo.
        streams: the configured catalog.
        client: connected to Marketo.
        store: takes the outcomes.
        writer: takes the STATEs.
        dry_run: whether only to look; None as `delivery.dry_run` says. Then nothing is acknowledged.
        import_pace: how often Marketo is asked about import jobs.

    Attributes:
        rehearsal: what a dry run has found out; None where it is none.
    """

    def __init__(
        self,
        settings: Settings,
        preflight: Preflight,
        streams: Sequence[ConfiguredStream],
        client: MarketoClient,
        store: OutcomeStore,
        writer: Writer,
        *,
        dry_run: bool | None = None,
        import_pace: ImportPace = DEFAULT_PACE,
    ) -> None:
        self._settings = settings
        self._client = client
        self._writer = writer
        self._started = client.gate.clock()
        client.gate.budget.note_used_before(preflight.used_today)
        self.tally = Tally()
        lead_sync = settings.lead_sync
        policy = LeadPolicy(
            lead_sync.mode,
            lead_sync.lookup_field,
            lead_sync.partition_name,
            lead_sync.duplicate_leads,
            client.policy.create_settle_seconds,
            fold_for(lead_sync.lookup_field, preflight.fields),
        )
        self.dry_run = settings.delivery.dry_run if dry_run is None else dry_run
        self.rehearsal: Rehearsal | None = None
        leads: LeadWrites
        members: MemberWrites
        if self.dry_run:
            self.rehearsal = Rehearsal(client, policy, preflight, settings.delivery.method)
            leads, members, store = self.rehearsal.leads, self.rehearsal.members, self.rehearsal.over(store)
        else:
            leads, members = LeadWriter(client, policy), MemberWriter(client)
        recorder = Recorder(store, self.tally, utc_now, dry_run=self.dry_run)
        if self.rehearsal is not None and self.rehearsal.files is not None:
            recorder.on_accepted = self.rehearsal.files.add
        map_record = mapping_of(streams, settings, preflight)

        def step_of(group: GroupKey) -> int:
            rank = preflight.steps.get(group)
            return rank.step if rank else 0

        bulk: BulkLane | None = None
        method = settings.delivery.method
        if method != "rest" and bulk_possible(policy) and not self.dry_run:
            options = LaneOptions(method == "bulk", settings.delivery.max_batch_age_seconds, import_pace)
            try:
                bulk = BulkLane(BulkCalls(client), map_record, step_of, recorder, client.gate.clock, options)
            except SpoolError as error:
                if method == "bulk":
                    raise
                logger.warning("Everything goes over REST: %s.", error.strerror)
        self.delivery = Delivery(
            map_record,
            leads,
            members,
            step_of,
            recorder,
            Ledger(),
            self._acknowledge,
            client.gate,
            Options(
                lead_sync.lookup_field,
                lead_sync.mode != "create_missing",
                settings.delivery.concurrent_calls,
                settings.delivery.max_batch_age_seconds,
                primary_keys(streams),
                acknowledge=not self.dry_run,
                commit_interval_seconds=max(
                    store.commit_interval_seconds, DURABLE_COMMIT_SECONDS if store.location else 0.0
                ),
            ),
            bulk,
        )

    def _acknowledge(self, state: StateMessage, record_count: int, rejected_count: int) -> None:
        self._writer.line(state_with_counts(state.line, record_count, rejected_count))

    def summary(self) -> str:
        """The text that ends the run."""
        gate = self._client.gate
        budget = gate.budget
        seconds = max(gate.clock() - self._started, 0.001)
        of_budget = f" of daily_call_budget {budget.calls_per_day:,}" if budget.calls_per_day is not None else ""
        calls = f"{budget.used_now:,} in this sync; {budget.used_today:,} by this API user today{of_budget}."
        slowed = f"; Marketo asked {gate.slowed_down:,} times to slow down (606, 615)" if gate.slowed_down else ""
        pace = f"{self.tally.records_settled / seconds:,.1f} records per second over {seconds:,.0f} s{slowed}."
        text = self.tally.summary(dry_run=self.dry_run, calls=calls, pace=pace)
        if self.rehearsal is None:
            return text
        forecast = self.rehearsal.forecast(self._settings.delivery.calls_per_20_seconds)
        return "\n".join([text, *forecast_lines(forecast)])


def mapping_of(
    streams: Sequence[ConfiguredStream], settings: Settings, preflight: Preflight
) -> Callable[[str, object], Mapped]:
    """Stream name and data of a record -> what becomes of it: by the stream's object if it has one."""
    ordinary = Mapper(settings, preflight.fields)
    by_stream = {
        stream.key[1]: mapper_for(stream, settings, preflight.fields, preflight.statuses, ordinary)
        for stream in streams
        if stream.destination_object_name
    }

    def map_record(stream: str, data: object) -> Mapped:
        return by_stream.get(stream, ordinary).map(stream, data)

    return map_record if by_stream else ordinary.map


def primary_keys(streams: Sequence[ConfiguredStream]) -> Mapping[StreamKey, Sequence[Sequence[str]]]:
    """Paths of the primary key, by stream."""
    return {stream.key: stream.primary_key for stream in streams}


def log_stream_notes(settings: Settings, streams: Sequence[ConfiguredStream]) -> None:
    """Say once what the catalog asks for and this destination does in its own way."""
    overwritten = [stream.key[1] for stream in streams if stream.destination_sync_mode == "overwrite"]
    if overwritten:
        logger.warning(
            "Sync mode overwrite is treated as an upsert for %s: nobody is removed from a Marketo program.",
            ", ".join(overwritten),
        )
    names = {stream.key[1] for stream in streams}
    for index, link in enumerate(settings.program_links):
        if link.stream and link.stream not in names:
            logger.warning(
                'program_links[%d].stream: the connection syncs no stream "%s", so this link matches nothing.',
                index,
                link.stream,
            )
