"""One run put together: settings and catalog in; checks, and a delivery that is ready to run, out.

The only place where the parts of the connector meet. `check`, `write`, `plan`, `retry` and the tests open a session;
what they differ in is an argument.
"""

from __future__ import annotations

import logging
import threading
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import urlsplit

from destination_marketo_programs import __version__
from destination_marketo_programs.activation.mapper import mapper_for
from destination_marketo_programs.activation.refusals import any_object, column_problems, object_problems
from destination_marketo_programs.catalog import Catalog, stream_problems
from destination_marketo_programs.delivery.entry import Holding
from destination_marketo_programs.delivery.journal import NoJournal
from destination_marketo_programs.delivery.lead_calls import Creates, LeadCalls, LeadPolicy
from destination_marketo_programs.delivery.leads import Leads, NewLeads
from destination_marketo_programs.delivery.ledger import Ledger
from destination_marketo_programs.delivery.loop import Loop, Pacing, Terminated
from destination_marketo_programs.delivery.member_calls import MemberCalls, ProgramGoneError
from destination_marketo_programs.delivery.memberships import MembershipStage
from destination_marketo_programs.delivery.reading import Reader, StreamRules
from destination_marketo_programs.delivery.settlement import Settlement
from destination_marketo_programs.delivery.statuses import Statuses
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.dryrun.forecast import forecast_lines
from destination_marketo_programs.dryrun.run import DryRun
from destination_marketo_programs.failures import ConfigurationError, program_gone
from destination_marketo_programs.imports.calls import ImportCalls
from destination_marketo_programs.imports.earlier import EarlierJob, EarlierJobs
from destination_marketo_programs.imports.files import FilePlanner
from destination_marketo_programs.imports.pace import DEFAULT_PACE, ImportPace, why_not_by_file
from destination_marketo_programs.imports.spool import SpoolError
from destination_marketo_programs.imports.stage import ImportStage
from destination_marketo_programs.imports.waiting import Waiting
from destination_marketo_programs.mapping import Mapper, fold_for, key_columns
from destination_marketo_programs.marketo.api import RestMarketo
from destination_marketo_programs.marketo.client import MarketoClient
from destination_marketo_programs.marketo.errors import QuotaReachedError, StoppedError, UnreachableError
from destination_marketo_programs.marketo.limits import Budget, Gate, Pace, utc_now
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.neighbours import Inheritance, RunJournal, take_over
from destination_marketo_programs.preflight import run_preflight
from destination_marketo_programs.protocol import line_parser, parse_line, state_with_counts
from destination_marketo_programs.storage import StorageError, open_store
from destination_marketo_programs.storage.runs import ProgramInfo, StreamInfo, new_run
from destination_marketo_programs.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.intake import Intake
    from destination_marketo_programs.delivery.ledger import Acknowledgement
    from destination_marketo_programs.delivery.stage import Stage
    from destination_marketo_programs.mapping import RecordMapper
    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.model import Mapped, Problem
    from destination_marketo_programs.preflight import Preflight
    from destination_marketo_programs.protocol import StreamKey
    from destination_marketo_programs.storage import OutcomeStore

logger = logging.getLogger("airbyte.session")

MAX_WAITING_BYTES = 24_000_000
"""What is held in memory on its way; beyond it standard input is not read."""
DURABLE_COMMIT_SECONDS = 0.2
"""Least time between two commits of a store that writes to disk: a STATE may wait that long, and fsync is not free."""
NO_CATALOG = Catalog((), None, ())


class Stops:
    """What has to be told when the process is asked to end. Safe in signal handlers."""

    def __init__(self) -> None:
        self._stops: list[Callable[[], None]] = []
        self._asked = threading.Event()

    @property
    def asked(self) -> bool:
        """Whether the process was asked to end."""
        return self._asked.is_set()

    def add(self, stop: Callable[[], None]) -> None:
        """Tell this one too; at once if the process was asked before."""
        self._stops.append(stop)
        if self.asked:
            stop()

    def stop(self) -> None:
        """Tell everybody."""
        self._asked.set()
        for stop in self._stops:
            stop()

    def wait(self, seconds: float) -> bool:
        """Wait; False as soon as the process is asked to end."""
        return not self._asked.wait(seconds)


class Delivered(NamedTuple):
    """What a delivery came to.

    Attributes:
        dry_run: what a dry run found out; None if it was none.
    """

    tally: Tally
    dry_run: DryRun | None


class Summarise(Protocol):
    """Told what a delivery came to."""

    def __call__(self, delivered: Delivered, *, complete: bool) -> None:
        """`complete`: whether the input was read to its end."""


class Session:
    """An open session.

    Args:
        settings: the configuration, readable but perhaps with problems.
        catalog: the configured catalog.
        client: connected to Marketo.
        store: takes the outcomes.
        stops: told what to stop.
        run_id, started: of this attempt.

    Attributes:
        marketo: makes calls.
        keep_names: see `open_session`.
    """

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        client: MarketoClient,
        store: OutcomeStore,
        stops: Stops,
        run_id: str,
        *,
        keep_names: bool = False,
    ) -> None:
        self.keep_names = keep_names
        self.settings = settings
        self.catalog = catalog
        self.client = client
        self.marketo: Marketo = RestMarketo(client)
        self.store = store
        self._stops = stops
        self._run_id = run_id
        self._started = utc_now()
        self._began = client.gate.clock()

    def check(self, problems: Sequence[Problem] = (), *, raise_transient: bool = False) -> Preflight:
        """Check everything that can be checked without writing to Marketo, and log what is worth knowing.

        Args:
            problems: what reading the configuration found; reported with the rest.
            raise_transient: raise what may work later instead of reporting it.

        Returns:
            The findings; with problems nothing may be written.
        """
        settings, streams = self.settings, self.catalog.streams
        problems = [
            *problems,
            *self.catalog.problems,
            *stream_problems(streams, settings.lead_sync.mode, object_problems(settings)),
        ]
        preflight = run_preflight(
            self.marketo,
            settings,
            self.store,
            problems,
            raise_transient=raise_transient,
            member_fields=any_object(streams),
        )
        self.client.gate.budget.note_used_before(preflight.used_today)
        for note in preflight.notes:
            logger.info(note)
        found = [*preflight.problems, *column_problems(streams, settings, preflight.fields)]
        return preflight._replace(problems=found)

    def deliver(
        self,
        preflight: Preflight,
        intake: Intake,
        acknowledge: Callable[[bytes], None],
        *,
        dry_run: bool | None = None,
        store: OutcomeStore | None = None,
        import_pace: ImportPace = DEFAULT_PACE,
        on_summary: Summarise | None = None,
    ) -> Delivered:
        """Deliver everything that comes in.

        Args:
            preflight: the checks' findings, without problems.
            intake: what comes in.
            acknowledge: takes STATE lines.
            dry_run: whether only to look; None as `delivery.dry_run` says. Then nothing is acknowledged.
            store: takes the outcomes in place of the session's.
            import_pace: how often Marketo is asked about import jobs.
            on_summary: told at the end, however it ends, before anything is closed; by default the summary is logged.

        Raises:
            As `Loop.run` and `neighbours.take_over`; ConfigurationError if a program vanishes.
        """
        self._log_stream_notes()
        if dry_run is None:
            dry_run = self.settings.delivery.dry_run
        run = _Run(self, preflight, store or self.store, import_pace, acknowledge, dry_run=dry_run)
        ending = "failed"
        try:
            run.begin()
            run.loop.run(intake)
            ending = "complete"
        except ProgramGoneError as error:
            ending = "configuration"
            raise ConfigurationError([program_gone(self.settings, error)]) from error
        except (Terminated, StoppedError):
            ending = "stopped"
            raise
        except QuotaReachedError:
            ending = "quota"
            raise
        except UnreachableError:
            ending = "unreachable"
            raise
        finally:
            delivered = Delivered(run.tally, run.dry_run)
            if on_summary is not None:
                on_summary(delivered, complete=ending == "complete")
            else:
                logger.info(run.summary())
            run.end(ending)
        return delivered

    @property
    def instance(self) -> str:
        """What names the Marketo instance: its Munchkin id, or host and port of a local one."""
        host = urlsplit(self.settings.domain_url).netloc
        return host.removesuffix(".mktorest.com")

    def _log_stream_notes(self) -> None:
        """Say once what the catalog asks for and this destination does in its own way."""
        streams = self.catalog.streams
        overwritten = [stream.key[1] for stream in streams if stream.destination_sync_mode == "overwrite"]
        if overwritten:
            logger.warning(
                "Sync mode overwrite is treated as an upsert for %s: nobody is removed from a Marketo program.",
                ", ".join(overwritten),
            )
        names = {stream.key[1] for stream in streams}
        for index, link in enumerate(self.settings.program_links):
            if link.stream and link.stream not in names:
                logger.warning(
                    "Program link %d matches nothing: the connection has no stream %s (program_links[%d].stream).",
                    index + 1,
                    quoted(link.stream),
                    index,
                )


@contextmanager
def open_session(
    settings: Settings,
    *,
    catalog: Catalog = NO_CATALOG,
    stops: Stops | None = None,
    on_secret: Callable[[str], None] = lambda _token: None,
    store: OutcomeStore | None = None,
    policy: RetryPolicy | None = None,
    read_only: bool = False,
    short_retries: bool = False,
    keep_names: bool = False,
) -> Iterator[Session]:
    """Open a session; makes no call yet.

    Args:
        settings: the configuration.
        catalog: the configured catalog.
        stops: told what to stop when the process is asked to end.
        on_secret: told every token.
        store: takes the outcomes in place of the configured one; closed by the caller.
        policy: how calls are retried.
        read_only: whether a call that can write is impossible.
        short_retries: whether an instance that does not answer is given up soon, as somebody waits at a form.
        keep_names: whether records of rejected files keep the names that they were rejected under.

    Raises:
        StorageError: the settings alone show that the storage cannot work, or it cannot be closed.
    """
    stops = stops or Stops()
    policy = policy or RetryPolicy()
    if short_retries:
        policy = policy.for_check()
    delivery = settings.delivery
    gate = Gate(Pace(delivery.calls_per_20_seconds, delivery.concurrent_calls), Budget(delivery.daily_call_budget))
    client = MarketoClient(
        settings.domain_url,
        settings.client_id,
        settings.client_secret,
        gate,
        policy,
        on_token=on_secret,
        read_only=read_only or delivery.dry_run,
    )
    stops.add(client.gate.stop)
    if short_retries or read_only:
        # Nothing but reads is under way, and nobody waits for their answers any more.
        stops.add(client.cut)
    run_id = uuid.uuid4().hex[:12]
    opened = store or open_store(
        settings.object_storage_config,
        sync_started_at=utc_now(),
        run_id=run_id,
        sync_id="" if catalog.sync_id is None else str(catalog.sync_id),
    )
    try:
        yield Session(settings, catalog, client, opened, stops, run_id, keep_names=keep_names)
    finally:
        if store is None:
            opened.close()


class _Run:
    """The parts of one delivery, put together from left to right: reading, ways, people, memberships, settlement."""

    def __init__(
        self,
        session: Session,
        preflight: Preflight,
        store: OutcomeStore,
        import_pace: ImportPace,
        acknowledge: Callable[[bytes], None],
        *,
        dry_run: bool,
    ) -> None:
        self._session = session
        self._settings = session.settings
        self._preflight = preflight
        self._store = store
        self._import_pace = import_pace
        self._acknowledge = acknowledge
        self._client = session.client
        self._clock = session.client.gate.clock
        self.tally = Tally()
        self.dry_run: DryRun | None = None
        self._looks_only = dry_run
        self._imports: ImportStage | None = None
        self._mappers: list[RecordMapper] = []
        self._statuses = Statuses(_ranks(preflight, self._wanted()))
        self._fold = fold_for(self._settings.lead_sync.lookup_field, preflight.fields)
        self._journal = self._new_journal()
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
                self._session._stops.wait,  # noqa: SLF001 - the run is the session's other half
                self._settings.delivery.wait_for_other_sync_minutes,
                self._client.policy.create_settle_seconds,
            )
        self.loop = self._put_together(inherited)
        self._session._stops.add(self.loop.stop)  # noqa: SLF001 - as above

    @property
    def _writes_run_file(self) -> bool:
        return not self._looks_only and self._store.location is not None

    def end(self, ending: str) -> None:
        """Let go of everything; the run file says how it ended."""
        if self._imports is not None:
            self._imports.close()
        if self._store.location is not None:
            open_records = self.tally.records_read - self.tally.records_settled
            left = f"{open_records:,} records were read and are sent again." if open_records else ""
            try:
                self._journal.close(
                    ending,
                    left_undone=left,
                    calls=self._client.gate.budget.used_now,
                    leads=self.tally.leads(),
                    outcomes={str(result): count for result, count in self.tally.by_outcome().items()},
                )
            except StorageError as error:
                logger.warning("The run file could not be closed: %s", error)
        if self.dry_run is not None:
            self.dry_run.close()

    # --- parts -----------------------------------------------------------------------------------------------

    def _put_together(self, inherited: Inheritance) -> Loop:
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
            ways = accept
            accept = lambda entries: ways(earlier.accept(entries))  # noqa: E731 - one way in front of the other
        loop = Loop(
            self._reader(settlement, holding),
            accept,
            stages,
            settlement,
            self._ledger,
            holding,
            self._echo,
            client.gate,
            Pacing(
                settings.delivery.concurrent_calls,
                settings.delivery.max_batch_age_seconds,
                max(self._store.commit_interval_seconds, DURABLE_COMMIT_SECONDS if self._store.location else 0.0),
            ),
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
            waiting = Waiting(planner, self._map_record, self._statuses, self._clock)
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

    # --- reading ---------------------------------------------------------------------------------------------

    def _reader(self, settlement: Settlement, holding: Holding) -> Reader:
        settings, preflight = self._settings, self._preflight
        streams = self._session.catalog.streams
        keys = key_columns(path for stream in streams for path in stream.primary_key)
        ordinary = Mapper(settings, preflight.fields, keys)
        self._mappers = [ordinary]
        self._rules: dict[StreamKey, StreamRules] = {}
        self._default_rules = StreamRules(ordinary.map)
        for stream in streams:
            mapper: RecordMapper = ordinary
            if stream.destination_object_name:
                mapper = mapper_for(stream, settings, preflight.fields, preflight.statuses, ordinary)
                self._mappers.append(mapper)
            self._rules[stream.key] = StreamRules(mapper.map, stream.primary_key)
        self._ledger = Ledger(holding)
        return Reader(
            self._default_rules,
            self._rules,
            settlement,
            self._ledger,
            holding,
            acknowledge=not self._looks_only,
            keep_names=self._session.keep_names,
            # An object's mapper asks which columns a record has, so that none may be left out.
            parse=parse_line if any_object(streams) else line_parser(ordinary.data_type),
        )

    def _map_record(self, stream: StreamKey, data: object) -> Mapped:
        return self._rules.get(stream, self._default_rules).map_record(stream[1], data)

    def _wanted(self) -> set[tuple[int, str]] | None:
        """Statuses that this run may send, by program; None for any."""
        settings = self._settings
        if any_object(self._session.catalog.streams):
            return None
        linked = {link.program_id for link in settings.program_links}
        wanted = {(link.program_id, link.program_status) for link in settings.program_links}
        for mapping in settings.qualifier_mappings:
            programs = linked if mapping.program_id is None else {mapping.program_id}
            wanted |= {(program_id, mapping.program_status) for program_id in programs}
        return wanted

    def _echo(self, acknowledged: Acknowledgement) -> None:
        state, record_count, rejected_count, outcomes = acknowledged
        self._acknowledge(state_with_counts(state.line, record_count, rejected_count, outcomes))

    # --- what it says of itself --------------------------------------------------------------------------------

    def _new_journal(self) -> RunJournal:
        session, settings = self._session, self._settings
        run = new_run(
            run_id=session._run_id,  # noqa: SLF001 - as above
            started=session._started,  # noqa: SLF001 - as above
            instance=session.instance,
            version=__version__,
            sync_id="" if session.catalog.sync_id is None else str(session.catalog.sync_id),
        )
        run.lookup_field = settings.lead_sync.lookup_field
        run.dry_run = self._looks_only
        run.programs = [
            ProgramInfo(program.id, program.name, program.type, program.channel, program.url)
            for program in self._preflight.programs.values()
        ]
        run.streams = [
            StreamInfo(name, namespace, stream.destination_object_name)
            for stream in session.catalog.streams
            for namespace, name in [stream.key]
        ]
        run.app_address = self._preflight.app_address
        return RunJournal(self._store, run, utc_now)

    def summary(self) -> str:
        """The text that ends the run."""
        gate = self._client.gate
        budget = gate.budget
        seconds = max(self._clock() - self._session._began, 0.001)  # noqa: SLF001 - as above
        of_budget = f" of daily_call_budget {budget.calls_per_day:,}" if budget.calls_per_day is not None else ""
        calls = f"{budget.used_now:,} in this sync; {budget.used_today:,} by this API user today{of_budget}."
        slowed = f"; Marketo asked {gate.slowed_down:,} times to slow down (606, 615)" if gate.slowed_down else ""
        pace = f"{self.tally.records_settled / seconds:,.1f} records per second over {seconds:,.0f} s{slowed}."
        self.tally.unreadable_ids = sum(mapper.unreadable_ids for mapper in self._mappers)
        text = self.tally.summary(dry_run=self._looks_only, calls=calls, pace=pace, notes=self._absent_columns())
        if self.dry_run is None:
            return text
        forecast = self.dry_run.forecast(self._settings.delivery.calls_per_20_seconds)
        return "\n".join([text, *forecast_lines(forecast)])

    def _absent_columns(self) -> Iterator[str]:
        for mapper in self._mappers:
            for column in mapper.absent_columns:
                yield f"No record had the column {quoted(column.name)} ({column.path}). Compare it with your records."


def _ranks(
    preflight: Preflight, wanted: set[tuple[int, str]] | None
) -> dict[tuple[int, str], tuple[int, bool, int, bool]]:
    """How the statuses of every linked program compare, and which of them this run may send."""
    return {key: (*rank, wanted is None or key in wanted) for key, rank in preflight.steps.items()}
