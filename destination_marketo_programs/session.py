"""One run put together: settings and catalog in; checks, and a delivery that is ready to run, out.

The only place where the parts of the connector meet. `check`, `write`, `plan`, `retry` and the tests open a session;
what they differ in is an argument.
"""

from __future__ import annotations

import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from destination_marketo_programs.activation.refusals import (
    any_object,
    column_problems,
    is_about_columns,
    object_problems,
)
from destination_marketo_programs.assembly import Run
from destination_marketo_programs.catalog import Catalog, stream_problems
from destination_marketo_programs.config.addresses import instance_of
from destination_marketo_programs.delivery.loop import Terminated
from destination_marketo_programs.delivery.member_calls import ProgramGoneError
from destination_marketo_programs.delivery.progress import Watch
from destination_marketo_programs.failures import ConfigurationError, program_gone
from destination_marketo_programs.imports.pace import DEFAULT_PACE, ImportPace
from destination_marketo_programs.marketo.api import RestMarketo
from destination_marketo_programs.marketo.client import MarketoClient
from destination_marketo_programs.marketo.errors import QuotaReachedError, StoppedError, UnreachableError
from destination_marketo_programs.marketo.limits import Budget, Gate, Pace, utc_now
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.preflight import run_preflight
from destination_marketo_programs.storage import open_store
from destination_marketo_programs.storage.runs import new_run_id
from destination_marketo_programs.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.delivery.intake import Intake
    from destination_marketo_programs.delivery.tally import Tally
    from destination_marketo_programs.dryrun.run import DryRun
    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.model import Problem
    from destination_marketo_programs.preflight import Preflight
    from destination_marketo_programs.storage import OutcomeStore

logger = logging.getLogger("airbyte.session")

QUIET_WATCH = Watch()
NO_CATALOG = Catalog((), None, ())


class Stops:
    """What has to be told when the process is asked to end. Any thread may do either."""

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
        text: it all in lines, without person data.
    """

    tally: Tally
    dry_run: DryRun | None
    text: str


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
        run_id, started: of this attempt; the wall clock in UTC.

    Attributes:
        marketo: makes calls.
        began: monotonic seconds at its opening.
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
        started: datetime,
        *,
        keep_names: bool = False,
    ) -> None:
        self.keep_names = keep_names
        self.settings = settings
        self.catalog = catalog
        self.client = client
        self.marketo: Marketo = RestMarketo(client)
        self.store = store
        self.stops = stops
        self.run_id = run_id
        self.started = started
        self.began = client.gate.clock()
        self._checking = False
        stops.add(self._cut_checks)

    def _cut_checks(self) -> None:
        """Nothing but reads is under way, and nobody waits for their answers any more."""
        if self._checking:
            self.client.cut()

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
            *self._that_stop(problems),
            *self.catalog.problems,
            *stream_problems(streams, settings.lead_sync.mode, object_problems(settings)),
        ]
        self._checking = True
        try:
            preflight = run_preflight(
                self.marketo,
                settings,
                self.store,
                problems,
                raise_transient=raise_transient,
                member_fields=any_object(streams),
            )
        finally:
            self._checking = False
        self.client.gate.budget.note_used_before(preflight.used_today)
        for note in preflight.notes:
            logger.info(note)
        found = [*preflight.problems, *column_problems(streams, settings, preflight.fields)]
        return preflight._replace(problems=found)

    def _that_stop(self, problems: Iterable[Problem]) -> Iterator[Problem]:
        """The problems of the configuration, without those that records for objects do not have."""
        streams = self.catalog.streams
        for problem in problems:
            if not any_object(streams) or not is_about_columns(problem, self.settings):
                yield problem
            elif not all(stream.destination_object_name for stream in streams):
                logger.warning("For streams without a destination object: %s", problem)

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
        watch: Watch = QUIET_WATCH,
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
            watch: who is told how far it is.

        Raises:
            As `Loop.run` and `neighbours.take_over`; ConfigurationError if a program vanishes.
        """
        self._log_stream_notes()
        if dry_run is None:
            dry_run = self.settings.delivery.dry_run
        run = Run(self, preflight, store or self.store, import_pace, acknowledge, watch, dry_run=dry_run)
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
            for sentence in run.warnings():
                logger.warning(sentence)
            delivered = Delivered(run.tally, run.dry_run, run.summary())
            if on_summary is not None:
                on_summary(delivered, complete=ending == "complete")
            else:
                logger.info(delivered.text)
            run.end(ending)
        return delivered

    @property
    def instance(self) -> str:
        """What names the Marketo instance: its Munchkin id, or host and port of a local one."""
        return instance_of(self.settings.domain_url)

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
    started = utc_now()
    run_id = new_run_id(started)
    opened = store or open_store(
        settings.object_storage_config,
        sync_started_at=started,
        run_id=run_id,
        sync_id="" if catalog.sync_id is None else str(catalog.sync_id),
    )
    try:
        yield Session(settings, catalog, client, opened, stops, run_id, started, keep_names=keep_names)
    finally:
        if store is None:
            opened.close()
