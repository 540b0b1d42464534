"""The parts of one delivery, put together from left to right: reading, ways, people, memberships, settlement."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from destination_marketo_programs import __version__
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
from destination_marketo_programs.delivery.memberships import MembershipStage
from destination_marketo_programs.delivery.new_leads import NewLeads
from destination_marketo_programs.delivery.reading import Reader
from destination_marketo_programs.delivery.settlement import Settlement
from destination_marketo_programs.delivery.sharing import EMAIL, SharedEmails
from destination_marketo_programs.delivery.statuses import Statuses
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.dryrun.forecast import forecast_lines
from destination_marketo_programs.dryrun.run import DryRun
from destination_marketo_programs.imports.calls import ImportCalls
from destination_marketo_programs.imports.earlier import EarlierJob, EarlierJobs
from destination_marketo_programs.imports.files import FilePlanner
from destination_marketo_programs.imports.pace import ImportPace, why_not_by_file
from destination_marketo_programs.imports.spool import SpoolError
from destination_marketo_programs.imports.stage import ImportStage
from destination_marketo_programs.imports.waiting import Waiting
from destination_marketo_programs.mappers import Mappers
from destination_marketo_programs.mapping import fold_for
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.memory_of_run import Between
from destination_marketo_programs.neighbours import Inheritance, RunJournal, take_over
from destination_marketo_programs.protocol import state_with_counts
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.storage.runs import ProgramInfo, RunFile, StreamInfo, new_run
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from destination_marketo_programs.catalog import Catalog
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.ledger import Acknowledgement
    from destination_marketo_programs.delivery.progress import Watch
    from destination_marketo_programs.delivery.stage import Stage
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
        self._imports: ImportStage | None = None
        self._mappers = Mappers(session.settings, preflight, session.catalog)
        self._statuses = Statuses(_ranks(preflight, _wanted(session.settings, session.catalog)))
        self._fold = fold_for(self._settings.lead_sync.lookup_field, preflight.fields)
        self._journal = RunJournal(store, _run_file(session, preflight, dry_run=dry_run), utc_now)
        self._between = Between(session, self._statuses, learns=not dry_run)
        self._by_file = self._why_not_by_file() is None and self._settings.delivery.method != "rest"
        if dry_run:
            self.dry_run = DryRun(
                session.marketo,
                preflight,
                self._statuses,
                self._fold,
                self._client.gate.budget,
                self._settings.delivery.method,
                by_file=self._by_file,
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
        if self._imports is not None:
            self._imports.close()
        self._between.close()
        if self._store.location is not None:
            open_records = self.tally.records_read - self.tally.records_settled
            left = f"{open_records:,} records were read and are sent again." if open_records else ""
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
        creates = Creates(
            clock,
            client.policy.create_settle_seconds,
            clock() + inherited.creates_in if inherited.creates_in > 0 else float("-inf"),
            self._journal if self._writes_run_file else NoJournal(),
        )
        holding = Holding(MAX_WAITING_BYTES)
        settlement = Settlement(
            self._store,
            self.tally,
            holding,
            utc_now,
            dry_run=self._looks_only,
            on_settled=self._released if self._by_file and not self._looks_only else None,
            count_by_state=any_object(self._session.catalog.streams),
            memory=memory,
        )
        marketo = self.dry_run.marketo if self.dry_run is not None else self._session.marketo
        new = NewLeads()
        memberships = MembershipStage(
            MemberCalls(marketo),
            self._statuses,
            settlement,
            # Late: the two know of each other, as a denied lead goes back.
            lambda *denied: leads.denied(*denied),  # noqa: PLW0108 - see above
            new,
            clock,
            None if memory is None else memory.highest,
        )
        policy = self._lead_policy()
        leads = Leads(
            LeadCalls(marketo, policy, creates),
            memberships,
            settlement,
            clock,
            new,
            writes_existing=policy.mode != "create_missing",
        )
        stages: list[Stage] = [*leads.stages, memberships, memberships.fields]
        calls = ImportCalls(self._session.marketo, creates)
        accept = self._way(leads, stages, calls, settlement, holding)
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
        ledger = Ledger(holding)
        loop = Loop(
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
            client.gate,
            Pacing(
                settings.delivery.concurrent_calls,
                settings.delivery.max_batch_age_seconds,
                max(self._store.commit_interval_seconds, DURABLE_COMMIT_SECONDS if self._store.location else 0.0),
                self._watch,
            ),
            finishing=(memberships, memberships.fields),
        )
        if self._writes_run_file:
            self._journal.keep_alive(self.tally, creates, loop.fail)
        return loop

    def _way(
        self,
        leads: Leads,
        stages: list[Stage],
        calls: ImportCalls,
        settlement: Settlement,
        holding: Holding,
    ) -> Callable[[Sequence[Entry]], None]:
        """How records get on: by file or over REST."""
        if self.dry_run is not None:
            files = self.dry_run.files
            if files is None:
                return leads.accept

            def counted(entries: Sequence[Entry]) -> None:
                files.accept(entries)
                leads.accept(entries)

            return counted
        imports = self._import_stage(leads, calls, settlement, holding)
        if imports is None:
            return leads.accept
        self._imports = imports
        stages.append(imports)

        def either(entries: Sequence[Entry]) -> None:
            leads.accept([entry for entry in entries if not imports.accept(entry)])

        return either

    def _import_stage(
        self, leads: Leads, calls: ImportCalls, settlement: Settlement, holding: Holding
    ) -> ImportStage | None:
        method = self._settings.delivery.method
        if not self._by_file:
            obstacle = self._why_not_by_file()
            if method == "auto" and obstacle is not None:
                logger.info("Everything goes over REST: a bulk import cannot keep what %s asks for.", obstacle)
            return None
        only_files = method == "bulk"
        planner = FilePlanner(self._settings.delivery.max_batch_age_seconds, always=only_files)
        try:
            waiting = Waiting(planner, self._mappers.map_record, self._statuses, self._clock)
        except SpoolError as error:
            if only_files:
                raise
            logger.warning("%s. Everything goes over REST.", error.strerror)
            return None
        return ImportStage(
            calls,
            waiting,
            self._statuses,
            settlement,
            leads.accept,
            leads.forget,
            holding,
            self._journal if self._writes_run_file else NoJournal(),
            self._import_pace,
            self._clock,
            only_files=only_files,
        )

    def _released(self, entry: Entry) -> None:
        if self._imports is not None:
            self._imports.released(entry)

    def _why_not_by_file(self) -> str | None:
        return why_not_by_file(self._settings, self._preflight.partitions or 0)

    def _lead_policy(self) -> LeadPolicy:
        lead_sync = self._settings.lead_sync
        return LeadPolicy(
            lead_sync.mode,
            lead_sync.lookup_field,
            lead_sync.partition_name,
            lead_sync.duplicate_leads,
            self._client.policy.create_settle_seconds,
            self._fold,
            lead_sync.acquisition_program == "first_program",
        )

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


def _wanted(settings: Settings, catalog: Catalog) -> set[tuple[int, str]] | None:
    """Statuses that a run may send, by program; None for any."""
    if any_object(catalog.streams):
        return None
    linked = {link.program_id for link in settings.program_links}
    wanted = {(link.program_id, link.program_status) for link in settings.program_links}
    for mapping in settings.qualifier_mappings:
        programs = linked if mapping.program_id is None else {mapping.program_id}
        wanted |= {(program_id, mapping.program_status) for program_id in programs}
    return wanted


def _ranks(
    preflight: Preflight, wanted: set[tuple[int, str]] | None
) -> dict[tuple[int, str], tuple[int, bool, int, bool]]:
    """How the statuses of every linked program compare, and which of them this run may send."""
    return {key: (*rank, wanted is None or key in wanted) for key, rank in preflight.steps.items()}


def _behind(
    first: Callable[[Sequence[Entry]], Sequence[Entry]], then: Callable[[Sequence[Entry]], None]
) -> Callable[[Sequence[Entry]], None]:
    """One way in front of another: what the first one leaves goes on to the second."""

    def accept(entries: Sequence[Entry]) -> None:
        then(first(entries))

    return accept


def _run_file(session: Session, preflight: Preflight, *, dry_run: bool) -> RunFile:
    """What this run says of itself before it begins."""
    run = new_run(
        run_id=session.run_id,
        started=session.started,
        instance=session.instance,
        version=__version__,
        sync_id="" if session.catalog.sync_id is None else str(session.catalog.sync_id),
    )
    run.lookup_field = session.settings.lead_sync.lookup_field
    run.dry_run = dry_run
    run.programs = [
        ProgramInfo(program.id, program.name, program.type, program.channel, program.url)
        for program in preflight.programs.values()
    ]
    run.streams = [
        StreamInfo(name, namespace, stream.destination_object_name)
        for stream in session.catalog.streams
        for namespace, name in [stream.key]
    ]
    run.app_address = preflight.app_address
    return run
