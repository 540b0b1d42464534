"""The `discover` command: the objects that this configuration can write to, as one DESTINATION_CATALOG.

The CDK's message classes lose the catalog, and importing them takes over a second: the message is written here.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs import logs
from destination_marketo_programs.activation.objects import ObjectSchemas, first_links
from destination_marketo_programs.config import JsonFileError, load_settings, read_json_file, runs_in_cloud
from destination_marketo_programs.config.explain import tell
from destination_marketo_programs.config.loading import events_of
from destination_marketo_programs.marketo.api import RestMarketo
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.model import Problem
from destination_marketo_programs.preflight.asking import ask_marketo
from destination_marketo_programs.preflight.programs import program_problems
from destination_marketo_programs.protocol import OutputClosedError, Writer, write_to_descriptor
from destination_marketo_programs.sync import connect
from destination_marketo_programs.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from destination_marketo_programs.activation.objects import ActivationObject, JsonObject
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.preflight.asking import Facts

logger = logging.getLogger("airbyte.discover")

EXIT_FAILED = 1
EXIT_TERMINATED = 143
EXIT_INTERRUPTED = 130

_PASSING = ("domain_url", "delivery.daily_call_budget")
"""Where a problem is told that is Marketo's state at the moment: out of reach, or no calls left today."""


class CannotDiscoverError(Exception):
    """The objects cannot be listed; the text says why and what to do.

    Attributes:
        failure_type: of the TRACE: whether it may go by itself, or has to be put right.
    """

    def __init__(self, problems: Sequence[Problem], *, passing: bool = False) -> None:
        self.failure_type = "transient_error" if passing else "config_error"
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
        unknown = Problem(
            ("client_id",), "Marketo does not describe person fields to this API user.", "Check its role."
        )
        passing = any(problem.path in _PASSING for problem in facts.problems)
        raise CannotDiscoverError(facts.problems or [unknown], passing=passing)
    schemas = ObjectSchemas(settings, facts.leads.fields, facts.members)
    objects = [schemas.program_members()]
    left_out = list(_left_out(settings, facts))
    wrong = {settings.program_links[position].program_id for position, _ in left_out}
    for program_id in first_links(settings):
        if program_id not in wrong:
            program = facts.programs[program_id]
            objects.append(schemas.program(program, (facts.channels or {})[program.channel]))
    programs = tell((problem for _, problem in left_out), events_of(settings))
    shadowed = dict.fromkeys(name for item in objects for name in item.columns.shadowed)
    return Discovered(
        objects,
        [
            *map(str, facts.problems),
            *(f"Not in the catalog: {problem}" for problem in programs),
            *(
                f"Not in the catalog: the Marketo field {quoted(name)}, because another column has that name. Rename "
                "the field in Marketo, or the qualifier in qualifier_mappings, if you need both."
                for name in shadowed
            ),
        ],
    )


def _left_out(settings: Settings, facts: Facts) -> Iterator[tuple[int, Problem]]:
    """Why programs cannot be chosen, with the position of the link: as the checks see it, or for want of an answer."""
    told = set()
    for problem in program_problems(settings, facts):
        _, position, *_ = problem.location
        if isinstance(position, int):
            told.add(settings.program_links[position].program_id)
            yield position, problem
    for position, link in enumerate(settings.program_links):
        program = facts.programs.get(link.program_id)
        if link.program_id not in told and (program is None or program.channel not in (facts.channels or {})):
            message = f"Marketo did not describe program {link.program_id}."
            yield position, Problem(("program_links", position, "program_id"), message, "See the warnings before this.")


def main(arguments: list[str]) -> int:
    """Print the catalog on standard output.

    Returns:
        0; 1 with a TRACE if the configuration, the credentials or the fields of people cannot be used.
    """
    parser = argparse.ArgumentParser(prog="destination-marketo-programs discover")
    parser.add_argument("--config", required=True, help="path of the JSON file with the config")
    parser.add_argument("--debug", action="store_true", help="log more")
    parsed = parser.parse_args(arguments)
    # Nothing is written to Marketo, so there is nothing to settle first.
    signal.signal(signal.SIGTERM, lambda _number, _frame: os._exit(EXIT_TERMINATED))
    signal.signal(signal.SIGINT, lambda _number, _frame: os._exit(EXIT_INTERRUPTED))
    writer = Writer(write_to_descriptor(1))
    # Nothing but this writer may reach standard output, whichever library would like to print.
    sys.stdout = sys.stderr
    scrubber = logs.Scrubber()
    logs.install(writer, scrubber, debug=parsed.debug)
    try:
        return _run(parsed.config, writer, scrubber)
    except OutputClosedError:
        return EXIT_FAILED


def _run(path: str, writer: Writer, scrubber: logs.Scrubber) -> int:
    try:
        settings = _settings(path, scrubber)
        found = discover(settings, _ask(settings, scrubber))
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
        config = read_json_file(path, "config")
    except JsonFileError as error:
        raise CannotDiscoverError([error.problem]) from None
    if isinstance(config, dict):
        scrubber.add(value for key, value in config.items() if "secret" in key and isinstance(value, str))
    loaded = load_settings(config, cloud=runs_in_cloud())
    if loaded.settings is None:
        raise CannotDiscoverError(loaded.problems)
    scrubber.add(loaded.settings.secrets())
    for problem in loaded.problems:
        logger.warning("A sync would not begin: %s", problem)
    return loaded.settings


def _ask(settings: Settings, scrubber: logs.Scrubber) -> Facts:
    """What Marketo says; a budget that is used up for today does not keep anyone from choosing an object."""
    delivery = settings.delivery.model_copy(update={"daily_call_budget": None})
    settings = settings.model_copy(update={"delivery": delivery})
    policy = RetryPolicy().for_check()
    client = connect(settings, policy, on_token=lambda token: scrubber.add([token]), read_only=True)
    return ask_marketo(RestMarketo(client), settings, utc_now(), raise_transient=False, member_fields=True)
