"""The executable: commands of the Airbyte protocol, and commands for people."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import NoReturn

PROTOCOL_COMMANDS = ("spec", "check", "write", "discover")
COMMANDS = {
    "plan": ("destination_marketo_programs.plan.cli", "say what a write would do, without writing"),
    "reconcile": (
        "destination_marketo_programs.reconcile.cli",
        "compare what was delivered with what Marketo holds",
    ),
    "report": ("destination_marketo_programs.report.cli", "write the reconciliation page from stored outcomes"),
    "retry": ("destination_marketo_programs.retry.cli", "send rejected records again"),
    "sandbox": ("marketo_sandbox.cli", "run a local stand-in for Marketo"),
    "demo": ("marketo_programs_demo.cli", "sandbox, sample leads, check, write and report in one go"),
}
MISSING_EXTRA = (
    'The command needs the extra "sandbox": pip install "airbyte-destination-marketo-programs[sandbox]" '
    "(missing module: {})"
)


def run() -> NoReturn:
    """Entry point of `destination-marketo-programs`."""
    sys.exit(main(sys.argv[1:]))


def main(args: list[str]) -> int:
    """Run one command.

    Returns:
        The exit code. Commands of the protocol end the process themselves.
    """
    name = args[0] if args else ""
    if name == "discover":
        from destination_marketo_programs.activation.discover import main as discover  # noqa: PLC0415 - as below

        return discover(args[1:])
    if name in PROTOCOL_COMMANDS:
        from destination_marketo_programs.destination import (  # noqa: PLC0415 - importing the CDK takes over a second
            DestinationMarketoPrograms,
        )

        DestinationMarketoPrograms().run(args)
    if name in COMMANDS:
        return _run_for_people(name, args[1:])
    parser = argparse.ArgumentParser(prog="destination-marketo-programs")
    commands = parser.add_subparsers(title="commands", required=True)
    for protocol_command in PROTOCOL_COMMANDS:
        commands.add_parser(protocol_command, help="a command of the Airbyte protocol")
    for command, (_, text) in COMMANDS.items():
        commands.add_parser(command, help=text)
    parser.parse_args(args)
    return 2


def _run_for_people(name: str, args: list[str]) -> int:
    module_name, text = COMMANDS[name]
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("destination_marketo_programs"):
            raise
        sys.stderr.write(MISSING_EXTRA.format(error.name) + "\n")
        return 2
    parser = argparse.ArgumentParser(prog=f"destination-marketo-programs {name}", description=text)
    module.add_arguments(parser)
    return int(module.main(parser.parse_args(args)))
