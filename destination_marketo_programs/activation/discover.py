"""The `discover` command: the objects that this configuration can write to, as one DESTINATION_CATALOG.

The CDK's message classes lose the catalog, and importing them takes over a second: the message is written here.
"""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.activation.objects import ObjectSchemas
from destination_marketo_programs.commands import load, read_json
from destination_marketo_programs.config import NoStorage
from destination_marketo_programs.failures import ConfigurationError, Doing
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.model import Problem
from destination_marketo_programs.preflight.asking import ask_marketo
from destination_marketo_programs.process import Process
from destination_marketo_programs.session import open_session
from destination_marketo_programs.text import quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.activation.objects import ActivationObject, JsonObject
    from destination_marketo_programs.config import ProgramLink, Settings
    from destination_marketo_programs.preflight.asking import Facts

logger = logging.getLogger("airbyte.discover")


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
        unknown = Problem(("client_id",), "Marketo describes no fields of people to this API user.", "Check its role.")
        raise ConfigurationError(facts.problems or [unknown])
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
        The exit code, to be given to `os._exit`: 1 with a TRACE if the configuration, the credentials or the fields of
        people cannot be used.
    """
    parser = argparse.ArgumentParser(prog="destination-marketo-programs discover")
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration, a JSON file")
    parser.add_argument("--debug", action="store_true", help="log more")
    parsed = parser.parse_args(arguments)

    def command(process: Process) -> None:
        settings, problems = load(read_json(parsed.config, "config"), process.scrubber)
        if settings is None:
            raise ConfigurationError(problems)
        for problem in problems:
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
        return ask_marketo(session.client, settings, utc_now(), raise_transient=True, member_fields=True)
