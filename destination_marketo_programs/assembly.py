"""The parts of one delivery, put together from left to right: reading, ways, people, memberships, settlement."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from destination_marketo_programs.activation.refusals import any_object
from destination_marketo_programs.delivery.creates import Creates
from destination_marketo_programs.delivery.entry import Holding
from destination_marketo_programs.delivery.journal import NoJournal
from destination_marketo_programs.delivery.lead_calls import LeadCalls
from destination_marketo_programs.delivery.lead_rows import LeadPolicy
from destination_marketo_programs.delivery.leads import Leads
from destination_marketo_programs.delivery.ledger import Ledger
from destination_marketo_programs.delivery.loop import Loop, Pacing
from destination_marketo_programs.delivery.member_calls import MemberCalls
from destination_marketo_programs.delivery.member_fields import MemberFieldStage
from destination_marketo_programs.delivery.memberships import MembershipStage
from destination_marketo_programs.delivery.new_leads import NewLeads
from destination_marketo_programs.delivery.reading import Reader
from destination_marketo_programs.delivery.settlement import Settlement
from destination_marketo_programs.delivery.sharing import EMAIL, SharedEmails
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.dryrun.forecast import forecast_lines
from destination_marketo_programs.dryrun.run import DryRun
from destination_marketo_programs.imports.calls import ImportCalls
from destination_marketo_programs.imports.earlier import EarlierJob, EarlierJobs
from destination_marketo_programs.imports.way import Way
from destination_marketo_programs.mappers import Mappers
from destination_marketo_programs.mapping import fold_for
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.memory_of_run import Between
from destination_marketo_programs.neighbours import Inheritance, RunJournal, take_over
from destination_marketo_programs.protocol import state_with_counts
from destination_marketo_programs.ranks import statuses_of
from destination_marketo_programs.run_start import run_file
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.ledger import Acknowledgement
    from destination_marketo_programs.delivery.progress import Watch
    from destination_marketo_programs.delivery.stage import Stage
    from destination_marketo_programs.imports.pace import ImportPace
    from destination_marketo_programs.memory.recall import Memory
    from destination_marketo_programs.preflight import Preflight
    from destination_marketo_programs.session import Session
    from destination_marketo_programs.storage import OutcomeStore

logger = logging.getLogger("airbyte.session")

MAX_WAITING_BYTES = 27_000_000
"""What is held in memory on its way; beyond it standard input is not read."""
DURABLE_COMMIT_SECONDS = 0.2
"""Least time between two commits of a store that writes to disk: a STATE may wait that long, and fsync is not free."""


class Run:
    """The parts of one delivery, put together from left to right: reading, ways, people, memberships, settlement."""

    def __init__(
        self,
        session: Session,
        preflight: Preflight,
        store: OutcomeStore,
        import_pace: ImportPace,
        acknowledge: Callable[[bytes], None],
        watch: Watch,
        *,
        dry_run: bool,
    ) -> None:
        self._session = session
        self._settings = session.settings
        self._preflight = preflight
        self._store = store
        self._import_pace = import_pace
        self._acknowledge = acknowledge
        self._watch = watch
        self._client = session.client
        self._clock = session.client.gate.clock
        self.tally = Tally()
        self.dry_run: DryRun | None = None
        self._looks_only = dry_run
        self._mappers = Mappers(session.settings, preflight, session.catalog)
        self._statuses = statuses_of(preflight, session.settings, session.catalog)
        self._fold = fold_for(self._settings.lead_sync.lookup_field, preflight.fields)
        self._journal = RunJournal(store, run_file(session, preflight, dry_run=dry_run), utc_now, self.tally)
        self._between = Between(session, self._statuses, learns=not dry_run)
        self._way = Way(
            session.settings,
            preflight.partitions or 0,
            self._statuses,
            self._mappers.map_record,
            import_pace,
            self._clock,
        )
        if dry_run:
            self.dry_run = DryRun(
                session.marketo,
                preflight,
                self._statuses,
                self._fold,
                self._client.gate.budget,
                self._settings.delivery.method,
                by_file=self._way.by_file,
            )

    def begin(self) -> None:
        """Wait until this run may write, and put the rest together.

        Raises:
            NeighbourError: another run did not end in time.
        """
        inherited = Inheritance()
        if self._writes_run_file:
            inherited = take_over(
                self._store,
                self._journal,
                utc_now,
                self._session.stops.wait,
                self._settings.delivery.wait_for_other_sync_minutes,
                self._client.policy.create_settle_seconds,
            )
        self.loop = self._put_together(inherited, self._between.open())
        self._session.stops.add(self.loop.stop)

    @property
    def _writes_run_file(self) -> bool:
        return not self._looks_only and self._store.location is not None

    def end(self, ending: str) -> None:
        """Let go of everything; the run file says how it ended."""
        self._way.close()
        self._between.close()
        if self._store.location is not None:
            open_records = self.tally.records_read - self.tally.records_settled
            left = (
                f"{counted(open_records, 'record')} read and not settled; the next sync sends them again."
                if open_records
                else ""
            )
            try:
                self._journal.close(
                    ending,
                    left_undone=left,
                    events=self._mappers.event_names,
                    calls=self._client.gate.budget.used_now,
                    leads=self.tally.leads(),
                    outcomes={str(result): count for result, count in self.tally.by_outcome().items()},
                )
            except StorageError as error:
                logger.warning("The run file could not be closed: %s", error)
        if self.dry_run is not None:
            self.dry_run.close()

    # --- parts -----------------------------------------------------------------------------------------------

    def _put_together(self, inherited: Inheritance, memory: Memory | None) -> Loop:
        settings, client, clock = self._settings, self._client, self._clock
        journal = self._journal if self._writes_run_file else NoJournal()
        creates = Creates(
            clock,
            client.policy.create_settle_seconds,
            clock() + inherited.creates_in if inherited.creates_in > 0 else float("-inf"),
            journal,
        )
        holding = Holding(MAX_WAITING_BYTES)
        settlement = Settlement(
            self._store,
            self.tally,
            holding,
            utc_now,
            dry_run=self._looks_only,
            on_settled=self._way.released if self._way.by_file and not self._looks_only else None,
            count_by_state=any_object(self._session.catalog.streams),
            memory=memory,
        )
        leads, stages = self._people(creates, settlement, memory)
        calls = ImportCalls(self._session.marketo, creates)
        accept: Callable[[Sequence[Entry]], None] = leads.accept
        if self.dry_run is not None and self.dry_run.files is not None:
            accept = _beside(self.dry_run.files.accept, accept)
        elif self.dry_run is None:
            imports = self._way.open(calls, settlement, leads, holding, journal)
            if imports is not None:
                stages.append(imports)
                accept = _behind(self._way.accept, accept)
        if inherited.jobs:
            earlier = EarlierJobs(
                [EarlierJob(job.program_id, job.batch_id) for job in inherited.jobs],
                calls,
                accept,
                self._journal,
                self._import_pace,
                clock,
                max(client.policy.create_settle_seconds, self._import_pace.lost_settled_seconds),
            )
            stages.insert(0, earlier)
            accept = _behind(earlier.accept, accept)
        if settings.lead_sync.lookup_field != EMAIL:
            accept = _behind(SharedEmails(self.tally).watch, accept)
        if memory is not None:
            accept = _behind(partial(memory.recall, settle=settlement), accept)
        loop = self._loop(accept, stages, settlement, holding)
        if self._writes_run_file:
            self._journal.keep_alive(creates, loop.fail)
        return loop

    def _loop(
        self,
        accept: Callable[[Sequence[Entry]], None],
        stages: Sequence[Stage],
        settlement: Settlement,
        holding: Holding,
    ) -> Loop:
        delivery = self._settings.delivery
        ledger = Ledger(holding)
        return Loop(
            Reader(
                self._mappers.default,
                self._mappers.rules,
                settlement,
                ledger,
                holding,
                acknowledge=not self._looks_only,
                keep_names=self._session.keep_names,
                parse=self._mappers.parse,
            ),
            accept,
            stages,
            settlement,
            ledger,
            holding,
            self._echo,
            self._client.gate,
            Pacing(
                delivery.concurrent_calls,
                delivery.max_batch_age_seconds,
                max(self._store.commit_interval_seconds, DURABLE_COMMIT_SECONDS if self._store.location else 0.0),
                self._watch,
            ),
            finishing=[stage for stage in stages if isinstance(stage, MembershipStage | MemberFieldStage)],
        )

    def _people(self, creates: Creates, settlement: Settlement, memory: Memory | None) -> tuple[Leads, list[Stage]]:
        """The way over REST."""
        marketo = self.dry_run.marketo if self.dry_run is not None else self._session.marketo
        new = NewLeads()
        memberships = MembershipStage(
            MemberCalls(marketo),
            self._statuses,
            settlement,
            # Late: the two know of each other, as a denied lead goes back.
            lambda *denied: leads.denied(*denied),  # noqa: PLW0108 - see above
            new,
            self._clock,
            None if memory is None else memory.highest,
        )
        lead_sync = self._settings.lead_sync
        policy = LeadPolicy(
            lead_sync.mode,
            lead_sync.lookup_field,
            lead_sync.partition_name,
            lead_sync.duplicate_leads,
            self._client.policy.create_settle_seconds,
            self._fold,
            lead_sync.acquisition_program == "first_program",
        )
        leads = Leads(
            LeadCalls(marketo, policy, creates),
            memberships,
            settlement,
            self._clock,
            new,
            writes_existing=policy.mode != "create_missing",
        )
        return leads, [*leads.stages, memberships, memberships.fields]

    def _echo(self, acknowledged: Acknowledgement) -> None:
        state, record_count, rejected_count, outcomes = acknowledged
        self._acknowledge(state_with_counts(state.line, record_count, rejected_count, outcomes))

    # --- what it says of itself --------------------------------------------------------------------------------

    def warnings(self) -> Iterator[str]:
        """What hints at a mistake of the configuration, once everything is read; in sentences."""
        return self._mappers.absent_columns()

    def summary(self) -> str:
        """The text that ends the run."""
        gate = self._client.gate
        budget = gate.budget
        seconds = max(self._clock() - self._session.began, 0.001)
        limit = "" if budget.calls_per_day is None else f" (daily_call_budget: {budget.calls_per_day:,})"
        slowed = f" Marketo asked for a slower pace {counted(gate.slowed_down, 'time')} (606, 615)."
        self.tally.unreadable_ids = self._mappers.unreadable_ids
        text = self.tally.summary(
            dry_run=self._looks_only,
            calls=f"{budget.used_now:,} in this sync, {budget.used_today:,} by this API user today{limit}.",
            pace=f"{self.tally.records_settled / seconds:,.1f} records per second over {seconds:,.0f} s."
            + (slowed if gate.slowed_down else ""),
            programs=self._preflight.programs,
        )
        if self.dry_run is None:
            return text
        forecast = self.dry_run.forecast(self._settings.delivery.calls_per_20_seconds)
        return "\n".join([text, *forecast_lines(forecast)])


def _behind(
    first: Callable[[Sequence[Entry]], Sequence[Entry]], then: Callable[[Sequence[Entry]], None]
) -> Callable[[Sequence[Entry]], None]:
    """One way in front of another: what the first one leaves goes on to the second."""

    def accept(entries: Sequence[Entry]) -> None:
        then(first(entries))

    return accept


def _beside(
    watching: Callable[[Sequence[Entry]], object], then: Callable[[Sequence[Entry]], None]
) -> Callable[[Sequence[Entry]], None]:
    """One that only looks at what goes another's way."""

    def accept(entries: Sequence[Entry]) -> None:
        watching(entries)
        then(entries)

    return accept
