"""The `discover` command: the objects that this configuration can write to, as one DESTINATION_CATALOG.

The CDK's message classes lose the catalog, and importing them takes over a second: the message is written here.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs import logs
from destination_marketo_programs.activation.objects import ObjectSchemas
from destination_marketo_programs.config import load_settings
from destination_marketo_programs.marketo.errors import QuotaReachedError, StoppedError, UnreachableError
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.model import Problem
from destination_marketo_programs.preflight.asking import ask_marketo
from destination_marketo_programs.preflight.faults import problem_of
from destination_marketo_programs.protocol import OutputClosedError, Writer, write_to_descriptor
from destination_marketo_programs.sync import connect
from destination_marketo_programs.text import quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.activation.objects import ActivationObject, JsonObject
    from destination_marketo_programs.config import ProgramLink, Settings
    from destination_marketo_programs.preflight.asking import Facts

logger = logging.getLogger("airbyte.discover")

EXIT_FAILED = 1
EXIT_TERMINATED = 143


class CannotDiscoverError(Exception):
    """The objects cannot be listed; the text says why and what to do.

    Attributes:
        failure_type: of the TRACE.
    """

    def __init__(self, failure_type: str, problems: list[Problem]) -> None:
        self.failure_type = failure_type
        super().__init__("\n".join(map(str, problems)))


class Discovered(NamedTuple):
    """The objects, and what their reader should know of those that are missing."""

    objects: list[ActivationObject]
    warnings: list[str]

    def message(self, settings: Settings) -> JsonObject:
        """The Airbyte message."""
        operations = [item.operation(settings) for item in self.objects]
        return {"type": "DESTINATION_CATALOG", "destination_catalog": {"operations": operations}}


def discover(settings: Settings, facts: Facts) -> Discovered:
    """List the objects of a configuration: `Program members`, then each linked program by first appearance.

    Args:
        settings: the configuration.
        facts: what Marketo said, program member fields included.

    Raises:
        CannotDiscoverError: Marketo did not describe the fields of people.
    """
    if facts.leads is None or not facts.leads.fields:
        unknown = Problem(("client_id",), "Marketo describes no fields of people to this API user.", "Check its role.")
        raise CannotDiscoverError("config_error", facts.problems or [unknown])
    schemas = ObjectSchemas(settings, facts.leads.fields, facts.members)
    objects = [schemas.program_members()]
    warnings = [str(problem) for problem in facts.problems]
    for program_id, positions in _positions(settings).items():
        reason = _reason_to_leave_out(program_id, [settings.program_links[at] for at in positions], facts)
        if reason is not None:
            paths = ", ".join(f"program_links[{at}].program_id" for at in positions)
            warnings.append(f"Program {program_id} is left out of the catalog. {reason} ({paths})")
            continue
        program = facts.programs[program_id]
        objects.append(schemas.program(program, (facts.channels or {})[program.channel]))
    warnings += [
        f"The Marketo field {quoted(name)} is left out of the catalog. Another column of the object has that name: "
        "rename the field in Marketo, or the qualifier in qualifier_mappings, if you need both."
        for name in dict.fromkeys(name for item in objects for name in item.columns.shadowed)
    ]
    return Discovered(objects, warnings)


def _positions(settings: Settings) -> dict[int, list[int]]:
    """Linked programs by first appearance, each with the positions of its links."""
    positions: dict[int, list[int]] = {}
    for position, link in enumerate(settings.program_links):
        positions.setdefault(link.program_id, []).append(position)
    return positions


def _reason_to_leave_out(program_id: int, links: Sequence[ProgramLink], facts: Facts) -> str | None:
    """Why nobody can choose a program; None if it can be chosen."""
    if program_id in facts.denied:
        return "Marketo refuses to show it to the API user (code 603): check its role in the program's workspace."
    program = facts.programs.get(program_id)
    if program is None:
        return "The API user cannot see it in Marketo: compare the number with the end of the program's URL."
    folder = facts.archived_in.get(program_id)
    if folder is not None and not all(link.allow_archived for link in links):
        return f"It is in the archived folder {quoted(folder)}: unarchive it, or set allow_archived in its links."
    if program.channel not in (facts.channels or {}):
        return f"Marketo does not list the statuses of its channel {quoted(program.channel)}."
    return None


def main(arguments: list[str]) -> int:
    """Print the catalog on standard output.

    Returns:
        0; 1 with a TRACE if the configuration, the credentials or the fields of people cannot be used; 143 if the
        process was asked to end.
    """
    parser = argparse.ArgumentParser(prog="destination-marketo-programs discover")
    parser.add_argument("--config", required=True, help="path of the JSON file with the config")
    parser.add_argument("--debug", action="store_true", help="log more")
    parsed = parser.parse_args(arguments)
    writer = Writer(write_to_descriptor(1))
    # Nothing but this writer may reach standard output, whichever library would like to print.
    sys.stdout = sys.stderr
    scrubber = logs.Scrubber()
    logs.install(writer, scrubber, debug=parsed.debug)
    try:
        return _run(parsed.config, writer, scrubber)
    except StoppedError:
        return EXIT_TERMINATED
    except OutputClosedError:
        return EXIT_FAILED


def _run(path: str, writer: Writer, scrubber: logs.Scrubber) -> int:
    try:
        settings = _settings(path, scrubber)
        found = discover(settings, _ask(settings, scrubber))
    except StoppedError:
        raise
    except CannotDiscoverError as error:
        writer.message(logs.trace_error(scrubber, error.failure_type, str(error), error))
        return EXIT_FAILED
    except Exception as error:  # noqa: BLE001 - whatever it is, Airbyte hears of it, and the exit code says so
        text = f"Something unforeseen happened ({type(error).__name__}); the place is in the stack trace."
        writer.message(logs.trace_error(scrubber, "system_error", text, error))
        return EXIT_FAILED
    for warning in found.warnings:
        logger.warning(warning)
    writer.message(found.message(settings))
    return 0


def _settings(path: str, scrubber: logs.Scrubber) -> Settings:
    try:
        config: Any = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = (error.strerror or "") if isinstance(error, OSError) else "it is not valid JSON"
        unreadable = Problem(
            (f"--config {path}",), f"The file cannot be read: {reason}.", "Give the path of a JSON file."
        )
        raise CannotDiscoverError("config_error", [unreadable]) from None
    if isinstance(config, dict):
        scrubber.add(value for key, value in config.items() if "secret" in key and isinstance(value, str))
    loaded = load_settings(config, cloud=_runs_in_cloud())
    if loaded.settings is None:
        raise CannotDiscoverError("config_error", loaded.problems)
    scrubber.add(loaded.settings.secrets())
    for problem in loaded.problems:
        logger.warning("A sync would not begin: %s", problem)
    return loaded.settings


def _ask(settings: Settings, scrubber: logs.Scrubber) -> Facts:
    """What Marketo says; a budget that is used up for today does not keep anyone from choosing an object."""
    delivery = settings.delivery.model_copy(update={"daily_call_budget": None})
    settings = settings.model_copy(update={"delivery": delivery})
    client = connect(settings, on_token=lambda token: scrubber.add([token]), read_only=True)
    client.window_seconds = client.policy.check_window_seconds
    _stop_on_signals(client.gate.stop)
    now = utc_now()
    try:
        return ask_marketo(client, settings, now, raise_transient=True, member_fields=True)
    except (UnreachableError, QuotaReachedError) as error:
        problem = problem_of(error, "the objects", now, answered_before=error.endpoint != "identity")
        raise CannotDiscoverError("transient_error", [problem]) from error


def _stop_on_signals(stop: Callable[[], None]) -> None:
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop())


def _runs_in_cloud() -> bool:
    return os.environ.get("DEPLOYMENT_MODE", "").strip().upper() == "CLOUD"
