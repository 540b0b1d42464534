"""The commands of the Airbyte protocol, without the CDK: importing it takes over a second.

On a terminal `check` and `write` speak to people instead (`people`).
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.arguments import Parser
from destination_marketo_programs.catalog import read_catalog
from destination_marketo_programs.config import (
    JsonFileError,
    LoadedSettings,
    connector_spec,
    load_settings,
    read_json_file,
    runs_in_cloud,
)
from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.delivery.loop import Terminated
from destination_marketo_programs.failures import (
    ConfigurationError,
    Doing,
    RejectedRecordsError,
    failure_of,
    problem_text,
    rejected_text,
)
from destination_marketo_programs.marketo.errors import StoppedError
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.process import Process, share_one_heap
from destination_marketo_programs.session import Stops, open_session

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable, Sequence

    from destination_marketo_programs.catalog import Catalog
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.logs import Scrubber
    from destination_marketo_programs.model import Problem
    from destination_marketo_programs.people import People
    from destination_marketo_programs.session import Delivered
    from destination_marketo_programs.storage import OutcomeStore

logger = logging.getLogger("airbyte.commands")


def run_protocol_command(name: str, arguments: list[str]) -> int:
    """Run `spec`, `check` or `write`.

    Returns:
        The exit code, to be given to `os._exit`.
    """
    parser = Parser(prog=f"destination-marketo-programs {name}")
    if name != "spec":
        parser.add_argument("--config", required=True, metavar="FILE", help="the configuration, a JSON file")
    if name == "write":
        parser.add_argument("--catalog", required=True, metavar="FILE", help="the configured catalog, a JSON file")
    if name != "spec":
        parser.add_argument("--format", choices=("json",), help="print Airbyte messages on a terminal, too")
    parser.add_argument("--debug", action="store_true", help="log more")
    parsed = parser.parse_args(arguments)
    for_people = name != "spec" and parsed.format is None and sys.stdout.isatty()
    process = Process(
        Doing.CHECK if name == "check" else Doing.WRITE,
        debug=parsed.debug,
        people=speaker(name, parsed.config) if for_people else None,
    )
    command: Callable[[Process], None] = {"spec": _spec, "check": _check, "write": _write}[name](parsed)
    return process.run(command)


def speaker(command: str, config: str) -> Callable[[Scrubber], People]:
    """What makes a command speak to people; see `People`."""

    def make(scrubber: Scrubber) -> People:
        # Costs time, and the protocol does without.
        from destination_marketo_programs.people import People  # noqa: PLC0415 - see above

        return People(command, config, scrubber)

    return make


def _spec(_parsed: argparse.Namespace) -> Callable[[Process], None]:
    return lambda process: process.writer.message({"type": "SPEC", "spec": connector_spec()})


def _check(parsed: argparse.Namespace) -> Callable[[Process], None]:
    def run(process: Process) -> None:
        people = process.people
        if people is not None:
            people.begin("Checking the configuration in Marketo")
        try:
            problem = check(read_json(parsed.config, "config"), process.scrubber, process.stops)
        except ConfigurationError as error:
            problem = str(error)
        if people is not None:
            people.checked(problem)
            return
        process.writer.message(connection_status(problem, process.scrubber))

    return run


def connection_status(problem: str | None, scrubber: Scrubber) -> dict[str, Any]:
    """The CONNECTION_STATUS message that ends `check`."""
    status: dict[str, Any] = {"status": "SUCCEEDED"}
    if problem is not None:
        status = {"status": "FAILED", "message": scrubber.clean(problem)}
    return {"type": "CONNECTION_STATUS", "connectionStatus": status}


def _write(parsed: argparse.Namespace) -> Callable[[Process], None]:
    def run(process: Process) -> None:
        share_one_heap()
        config, catalog = read_json(parsed.config, "config"), read_catalog(read_json(parsed.catalog, "catalog"))
        people = process.people
        if people is None:
            write(config, catalog, Intake(0), process.writer.line, process.scrubber, process.stops)
            return
        if sys.stdin.isatty():
            logger.info("Type or paste Airbyte messages, one per line. Press Ctrl+D to end the input.")
        write(config, catalog, Intake(0), pass_over, process.scrubber, process.stops, people)

    return run


def pass_over(_line: bytes) -> None:
    """Nobody reads STATE messages."""


def read_json(path: str, what: str) -> Any:
    """Read a JSON file given on the command line.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        return read_json_file(path, what)
    except JsonFileError as error:
        raise ConfigurationError([error.problem]) from None


def load(config: Any, scrubber: Scrubber) -> LoadedSettings:
    """The settings, as far as they can be read, and what is wrong with them; every secret is known to the scrubber."""
    loaded = load_settings(config, cloud=runs_in_cloud())
    scrubber.add(loaded.secrets())
    if loaded.settings is None and isinstance(config, dict):
        scrubber.add(value for key, value in config.items() if "secret" in key and isinstance(value, str))
    return loaded


def every_problem(
    loaded: LoadedSettings, scrubber: Scrubber, stops: Stops, store: OutcomeStore | None = None
) -> list[Problem]:
    """What is wrong with a configuration: in itself, and by what Marketo and the storage say of what can be read of it.

    Args:
        loaded: the configuration.
        scrubber: told every token.
        stops: told what to stop.
        store: is probed in place of the configured one.

    Raises:
        StoppedError: the process was asked to end.
        StorageError: the settings alone show that the storage cannot work.
    """
    settings = loaded.settings or loaded.readable
    if settings is None:
        return loaded.problems
    policy = RetryPolicy(check_window_seconds=2.0) if settings.is_partial else None  # it has to be checked again anyway
    with open_session(
        settings,
        stops=stops,
        on_secret=_teach(scrubber),
        store=store,
        policy=policy,
        read_only=True,
        short_retries=True,
    ) as session:
        return session.check(loaded.problems).problems


def check(config: Any, scrubber: Scrubber, stops: Stops) -> str | None:
    """Find every mistake, without writing anything to Marketo.

    Returns:
        The problems as text; None if there are none.

    Raises:
        Terminated, StoppedError: the process was asked to end.
    """
    try:
        found = every_problem(load(config, scrubber), scrubber, stops)
        return problem_text(found) if found else None
    except (Terminated, StoppedError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, the form shows it
        return str(failure_of(error, utc_now(), Doing.CHECK))


def write(
    config: Any,
    catalog: Catalog,
    intake: Intake,
    acknowledge: Callable[[bytes], None],
    scrubber: Scrubber,
    stops: Stops,
    people: People | None = None,
) -> None:
    """Deliver messages.

    Args:
        config: as read.
        catalog: the configured catalog.
        intake: the messages.
        acknowledge: takes STATE lines.
        scrubber: told every secret.
        stops: told what to stop.
        people: told how far it is and what it came to, in place of the log.

    Raises:
        Whatever ended it; see `failures.failure_of`.
    """
    loaded = load(config, scrubber)
    if loaded.settings is None:
        raise ConfigurationError([*every_problem(loaded, scrubber, stops), *catalog.problems])
    deliver(loaded.settings, loaded.problems, catalog, intake, acknowledge, scrubber, stops, people)


def deliver(
    settings: Settings,
    problems: Sequence[Problem],
    catalog: Catalog,
    intake: Intake,
    acknowledge: Callable[[bytes], None],
    scrubber: Scrubber,
    stops: Stops,
    people: People | None = None,
    *,
    keep_names: bool = False,
) -> None:
    """As `write`, for settings that have been read; `keep_names` as in `open_session`."""
    if people is not None:
        people.begin("Checking the configuration in Marketo")
    with open_session(
        settings, catalog=catalog, stops=stops, on_secret=_teach(scrubber), keep_names=keep_names
    ) as session:
        stops.add(lambda: session.store.give_up(STORAGE_GRACE_SECONDS))
        preflight = session.check(problems, raise_transient=True)
        if preflight.problems:
            raise ConfigurationError(preflight.problems)
        if people is None:
            delivered = session.deliver(preflight, intake, acknowledge)
        else:

            def keep(delivered: Delivered, *, complete: bool) -> None:  # noqa: ARG001 - as the session calls it
                people.keep(delivered, session.store.location)

            delivered = session.deliver(preflight, intake, acknowledge, on_summary=keep, watch=people.watch)
    if settings.delivery.on_rejected == "fail_after_sync" and delivered.tally.records_rejected:
        raise RejectedRecordsError(rejected_text(delivered.tally, dry_run=delivered.dry_run is not None))


STORAGE_GRACE_SECONDS = 10.0
"""How long a storage that does not answer may hold up the end of a process that was asked to end."""


def _teach(scrubber: Scrubber) -> Callable[[str], None]:
    def learn(secret: str) -> None:
        secrets: Iterable[str] = (secret,)
        scrubber.add(secrets)

    return learn
