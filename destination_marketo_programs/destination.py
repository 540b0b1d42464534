"""The Airbyte destination: commands of the protocol, and what each kind of failure looks like from outside."""

from __future__ import annotations

import argparse
import gc
import logging
import os
import queue
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

import orjson
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalogSerializer,
    ConnectorSpecification,
    ConnectorSpecificationSerializer,
    FailureType,
    Status,
)
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_marketo_programs import logs
from destination_marketo_programs.activation.refusals import any_object, column_problems, object_problems
from destination_marketo_programs.catalog import Catalog, read_catalog, stream_problems
from destination_marketo_programs.config import (
    JsonFileError,
    Settings,
    connector_spec,
    load_settings,
    read_json_file,
    runs_in_cloud,
)
from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.delivery.member_writer import ProgramGoneError
from destination_marketo_programs.delivery.pipeline import Terminated
from destination_marketo_programs.marketo.api import RestMarketo
from destination_marketo_programs.marketo.errors import (
    ConfigurationFaultError,
    MarketoError,
    QuotaReachedError,
    StoppedError,
    UnreachableError,
)
from destination_marketo_programs.marketo.limits import quota_reset_text, utc_now
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.model import Problem
from destination_marketo_programs.preflight import run_preflight
from destination_marketo_programs.protocol import (
    OutputClosedError,
    UndecodableLineError,
    Writer,
    write_to_descriptor,
)
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.sync import (
    Sync,
    connect,
    log_stream_notes,
    open_outcome_store,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airbyte_cdk.models import ConfiguredAirbyteCatalog

logger = logging.getLogger("airbyte.destination")

GARBAGE_THRESHOLD = 50_000
SWITCH_SECONDS = 0.02
"""How long a thread may compute before another one gets its turn (`sys.setswitchinterval`)."""
EXIT_FAILED = 1
EXIT_TERMINATED = 143


class ConfigurationError(Exception):
    """The configuration, or what it names in Marketo, has mistakes; nothing was written."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = problems
        super().__init__(problem_text(problems))


class RejectedRecordsError(Exception):
    """`delivery.on_rejected` is `fail_after_sync`, and records were rejected."""


def problem_text(problems: Sequence[Problem]) -> str:
    """All problems in one text."""
    if len(problems) == 1:
        return str(problems[0])
    return f"{len(problems)} problems:\n" + "\n".join(f"{number}. {item}" for number, item in enumerate(problems, 1))


class DestinationMarketoPrograms(Destination):
    """Makes each record's person a member of the right Marketo Program, with the right status."""

    def __init__(self) -> None:
        super().__init__()
        self._scrubber = logs.Scrubber()
        self._stop: list[Any] = []

    # --- the CDK's interface ---------------------------------------------------------------------------------

    def spec(self, logger: logging.Logger) -> ConnectorSpecification:  # noqa: ARG002 - the CDK's signature
        """The specification of the configuration form."""
        return ConnectorSpecificationSerializer.load(connector_spec())

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:  # noqa: ARG002 - as above
        """Find every mistake, without writing anything to Marketo; never raises."""
        problem = self._check(config)
        if problem is None:
            return AirbyteConnectionStatus(status=Status.SUCCEEDED)
        return AirbyteConnectionStatus(status=Status.FAILED, message=problem)

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterable[AirbyteMessage]:
        """Deliver messages given as objects; yields the messages that the command would print.

        The command does not take this way: it keeps STATEs as received, which the CDK's classes cannot.

        Raises:
            AirbyteTracedException: as the command's TRACE.
        """
        read_end, write_end = os.pipe()
        printed: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        catalog = read_catalog(ConfiguredAirbyteCatalogSerializer.dump(configured_catalog))

        def feed() -> None:
            with os.fdopen(write_end, "wb") as pipe:
                try:
                    for message in input_messages:
                        pipe.write(orjson.dumps(AirbyteMessageSerializer.dump(message)) + b"\n")
                except BrokenPipeError:
                    return

        def deliver() -> None:
            try:
                self._write(config, catalog, read_end, Writer(printed.put))
            except Exception as error:  # noqa: BLE001 - handed to the caller's thread
                printed.put(error)
            finally:
                os.close(read_end)
                printed.put(None)

        threading.Thread(target=feed, daemon=True).start()
        threading.Thread(target=deliver, daemon=True).start()
        while (line := printed.get()) is not None:
            if isinstance(line, BaseException):
                failure_type, text = describe_failure(line)
                raise AirbyteTracedException(text, text, FailureType(failure_type)) from line
            yield AirbyteMessageSerializer.load(orjson.loads(line))

    # --- commands --------------------------------------------------------------------------------------------

    def parse_args(self, args: list[str]) -> argparse.Namespace:
        """Arguments of the protocol's commands."""
        parser = argparse.ArgumentParser(prog="destination-marketo-programs")
        commands = parser.add_subparsers(dest="command", required=True)
        for name, files in (("spec", ()), ("check", ("config",)), ("write", ("config", "catalog"))):
            command = commands.add_parser(name)
            command.add_argument("--debug", action="store_true", help="log more")
            for file in files:
                command.add_argument(f"--{file}", required=True, help=f"path of the JSON file with the {file}")
        return parser.parse_args(args)

    def run(self, args: list[str]) -> NoReturn:
        """Run one command and end the process with its exit code."""
        parsed = self.parse_args(args)
        writer = Writer(write_to_descriptor(1))
        # Nothing but this writer may reach standard output, whichever library would like to print.
        sys.stdout = sys.stderr
        debug = parsed.debug or os.environ.get("LOG_LEVEL", "").upper() in ("DEBUG", "TRACE")
        logs.install(writer, self._scrubber, debug=debug)
        # Records on their way hold no cycles; walking them again and again costs a tenth of the run.
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
        # Workers wait for Marketo, and one thread does the rest: taking turns more often only empties its caches.
        sys.setswitchinterval(SWITCH_SECONDS)
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._terminate())
        threading.excepthook = lambda hook: self._thread_died(writer, hook)
        try:
            code = self._run_command(parsed, writer)
        except OutputClosedError:
            code = EXIT_FAILED
        # A worker may still wait for an answer that nobody needs; a normal exit would wait for it.
        os._exit(code)

    def _run_command(self, parsed: argparse.Namespace, writer: Writer) -> int:
        try:
            match parsed.command:
                case "spec":
                    writer.message({"type": "SPEC", "spec": connector_spec()})
                case "check":
                    self._print_check(parsed.config, writer)
                case _:
                    catalog = read_catalog(read_json(parsed.catalog, "catalog"))
                    self._write(read_json(parsed.config, "config"), catalog, 0, writer)
        except OutputClosedError:
            raise
        except (Terminated, StoppedError):
            logger.info("Stopped on request; what was settled is acknowledged, the rest will be sent again.")
            return EXIT_TERMINATED
        except Exception as error:  # noqa: BLE001 - whatever it is, Airbyte hears of it, and the exit code says so
            failure_type, text = describe_failure(error)
            writer.message(logs.trace_error(self._scrubber, failure_type, text, error))
            return EXIT_FAILED
        return 0

    def _terminate(self) -> None:
        for stop in self._stop:
            stop()
        if not self._stop:
            os._exit(EXIT_TERMINATED)

    def _thread_died(self, writer: Writer, hook: threading.ExceptHookArgs) -> None:
        error = hook.exc_value or hook.exc_type()
        writer.message(logs.trace_error(self._scrubber, "system_error", describe_failure(error)[1], error))
        os._exit(EXIT_FAILED)

    # --- check -----------------------------------------------------------------------------------------------

    def _print_check(self, path: str, writer: Writer) -> None:
        try:
            problem = self._check(read_json(path, "config"))
        except ConfigurationError as error:
            problem = str(error)
        status: dict[str, Any] = {"status": "SUCCEEDED"}
        if problem is not None:
            status = {"status": "FAILED", "message": self._scrubber.clean(problem)}
        writer.message({"type": "CONNECTION_STATUS", "connectionStatus": status})

    def _check(self, config: Any) -> str | None:
        """The problems as text; None if there are none."""
        try:
            settings, problems = self._load(config)
            if settings is None:
                return problem_text(problems)
            policy = RetryPolicy().for_check()
            client = connect(settings, policy, on_token=lambda token: self._scrubber.add([token]))
            self._stop.append(client.gate.stop)
            store = open_outcome_store(settings)
            try:
                preflight = run_preflight(RestMarketo(client), settings, store, problems)
            finally:
                store.close()
            for note in preflight.notes:
                logger.info(note)
            return problem_text(preflight.problems) if preflight.problems else None
        except (Terminated, StoppedError):
            raise
        except Exception as error:
            logger.debug("check failed", exc_info=error)
            return describe_failure(error)[1]

    def _load(self, config: Any) -> tuple[Settings | None, list[Problem]]:
        loaded = load_settings(config, cloud=runs_in_cloud())
        if loaded.settings is not None:
            self._scrubber.add(loaded.settings.secrets())
        elif isinstance(config, dict):
            self._scrubber.add(value for key, value in config.items() if "secret" in key and isinstance(value, str))
        return loaded.settings, list(loaded.problems)

    # --- write -----------------------------------------------------------------------------------------------

    def _write(self, config: Any, catalog: Catalog, descriptor: int, writer: Writer) -> None:
        settings, problems = self._load(config)
        problems += catalog.problems
        if settings is None:
            raise ConfigurationError(problems)
        problems += stream_problems(catalog.streams, settings.lead_sync.mode, object_problems(settings))
        client = connect(settings, on_token=lambda token: self._scrubber.add([token]))
        self._stop.append(client.gate.stop)
        store = open_outcome_store(settings)
        try:
            preflight = run_preflight(
                RestMarketo(client),
                settings,
                store,
                problems,
                raise_transient=True,
                member_fields=any_object(catalog.streams),
            )
            for note in preflight.notes:
                logger.info(note)
            problems = [*preflight.problems, *column_problems(catalog.streams, settings, preflight.fields)]
            if problems:
                raise ConfigurationError(problems)
            log_stream_notes(settings, catalog.streams)
            sync = Sync(settings, preflight, catalog.streams, client, store, writer)
            self._stop.append(sync.delivery.stop)
            try:
                sync.delivery.run(Intake(descriptor))
            except ProgramGoneError as error:
                raise ConfigurationError([program_gone(settings, error)]) from error
            finally:
                logger.info(sync.summary())
        finally:
            store.close()
        if settings.delivery.on_rejected == "fail_after_sync" and sync.tally.records_rejected:
            raise RejectedRecordsError(rejected_text(sync))


def read_json(path: str, what: str) -> Any:
    """Read a JSON file given on the command line."""
    try:
        return read_json_file(path, what)
    except JsonFileError as error:
        raise ConfigurationError([error.problem]) from None


def program_gone(settings: Settings, error: ProgramGoneError) -> Problem:
    """A linked program vanished during the sync."""
    index = next((i for i, link in enumerate(settings.program_links) if link.program_id == error.program_id), 0)
    return Problem(
        ("program_links", index, "program_id"),
        f"Marketo no longer finds program {error.program_id} (code {error.code}).",
        "Check in Marketo whether it was deleted or moved to a workspace that the API user cannot see.",
    )


def rejected_text(sync: Sync) -> str:
    """What `fail_after_sync` says."""
    by_category = sorted(sync.tally.by_category.items())
    counts = ", ".join(f"{category} {count:,}" for (outcome, category), count in by_category if outcome == "rejected")
    if sync.dry_run:
        return (
            f"Dry run: {sync.tally.records_rejected:,} of {sync.tally.records_read:,} records would be rejected "
            f"({counts}), and delivery.on_rejected is fail_after_sync. Nothing was written to Marketo."
        )
    return (
        f"Everything was delivered and acknowledged, but {sync.tally.records_rejected:,} of "
        f"{sync.tally.records_read:,} records were rejected ({counts}), and delivery.on_rejected is fail_after_sync. "
        "See the rejected records in the outcome storage, mend the causes and send them again."
    )


def describe_failure(error: BaseException) -> tuple[str, str]:
    """Failure type and text of a TRACE: what happened, where, and what to do."""
    match error:
        case ConfigurationError() | RejectedRecordsError():
            return "config_error", str(error)
        case StorageError():
            return ("transient_error" if error.transient else "config_error"), str(error)
        case UndecodableLineError():
            return "system_error", str(error)
        case QuotaReachedError(code="607"):
            return "transient_error", (
                "Marketo's daily API quota is reached (code 607). What was under way is settled and acknowledged. "
                f"The quota resets on {quota_reset_text(utc_now())}; the next sync goes on from the last STATE."
            )
        case QuotaReachedError():
            return "transient_error", (
                "delivery.daily_call_budget is used up. What was under way is settled and acknowledged. Marketo's "
                f"count resets on {quota_reset_text(utc_now())}; the next sync goes on from the last STATE. "
                "Raise delivery.daily_call_budget if Marketo's daily quota has room."
            )
        case UnreachableError():
            return "transient_error", (
                f"{error}. Marketo did not answer usefully for longer than the retry window. Every record before the "
                "last STATE is settled; the next sync goes on from there. See status.adobe.com if it persists."
            )
        case ConfigurationFaultError():
            return "config_error", (
                f"{error}. Check client_id, client_secret, the API user's role (Read-Write Person, Read-Only Assets) "
                "and the IP allowlist in Marketo (Admin > Web Services)."
            )
        case MarketoError():
            return "system_error", f"{error}. Send this text, with the request id, to the connector's maintainers."
        case OSError():
            return (
                "system_error",
                f"The operating system refused: {error.strerror or type(error).__name__}.",
            )
        case _:
            return "system_error", (
                f"Something unforeseen happened ({type(error).__name__}); the place is in the stack trace. "
                "Every record before the last STATE is settled."
            )
