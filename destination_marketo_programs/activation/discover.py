"""The `discover` command: the objects that this configuration can write to, as one DESTINATION_CATALOG.

The CDK's message classes lose the catalog, and importing them takes over a second: the message is written here.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.activation.objects import ObjectSchemas, first_links
from destination_marketo_programs.activation.refusals import is_about_columns
from destination_marketo_programs.arguments import Parser
from destination_marketo_programs.commands import load, read_json
from destination_marketo_programs.config import NoStorage
from destination_marketo_programs.config.explain import tell
from destination_marketo_programs.config.loading import events_of
from destination_marketo_programs.failures import ConfigurationError, Doing
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.model import Problem
from destination_marketo_programs.preflight.asking import ask_marketo
from destination_marketo_programs.preflight.programs import program_problems
from destination_marketo_programs.process import Process
from destination_marketo_programs.session import open_session
from destination_marketo_programs.text import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from destination_marketo_programs.activation.objects import ActivationObject, JsonObject
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.preflight.asking import Facts

logger = logging.getLogger("airbyte.discover")

_PASSING = ("domain_url", "delivery.daily_call_budget")
"""Where a problem is told that is Marketo's state at the moment: out of reach, or no calls left today."""


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
        ConfigurationError: Marketo did not describe the fields of people.
    """
    if facts.leads is None or not facts.leads.fields:
        unknown = Problem(
            ("client_id",), "Marketo does not describe person fields to this API user.", "Check its role."
        )
        passing = any(problem.path in _PASSING for problem in facts.problems)
        raise ConfigurationError(facts.problems or [unknown], passing=passing)
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
        The exit code, to be given to `os._exit`: 1 with a TRACE if the configuration, the credentials or the fields of
        people cannot be used.
    """
    parser = Parser(prog="destination-marketo-programs discover")
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration, a JSON file")
    parser.add_argument("--debug", action="store_true", help="log more")
    parsed = parser.parse_args(arguments)

    def command(process: Process) -> None:
        loaded = load(read_json(parsed.config, "config"), process.scrubber)
        settings = loaded.settings
        if settings is None:
            raise ConfigurationError(loaded.problems)
        for problem in loaded.problems:
            if not is_about_columns(problem, settings):
                logger.warning("A sync would not begin: %s", problem)
        found = discover(settings, _ask(settings, process))
        for warning in found.warnings:
            logger.warning(warning)
        process.writer.message(found.message(settings))

    return Process(Doing.CHECK, debug=parsed.debug).run(command)


def _ask(settings: Settings, process: Process) -> Facts:
    """What Marketo says; a budget that is used up for today does not keep anyone from choosing an object."""
    delivery = settings.delivery.model_copy(update={"daily_call_budget": None})
    settings = settings.model_copy(update={"delivery": delivery, "object_storage_config": NoStorage()})
    with open_session(
        settings,
        stops=process.stops,
        on_secret=lambda token: process.scrubber.add([token]),
        read_only=True,
        short_retries=True,
    ) as session:
        return ask_marketo(session.marketo, settings, utc_now(), raise_transient=False, member_fields=True)
