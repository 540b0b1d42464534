"""The executable: commands of the Airbyte protocol, and commands for people."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import NoReturn

from destination_marketo_programs.arguments import Parser

PROTOCOL_COMMANDS: dict[str, str] = {
    "spec": "print the configuration form",
    "check": "test the configuration against Marketo",
    "write": "deliver Airbyte messages from standard input",
    "discover": "print the programs, statuses and fields to choose from",
}
COMMANDS = {
    "plan": ("destination_marketo_programs.plan.cli", "say what write would do, without writing"),
    "report": ("destination_marketo_programs.report.cli", "make the reconciliation page from stored outcomes"),
    "reconcile": ("destination_marketo_programs.reconcile.cli", "compare what was delivered with what Marketo holds"),
    "retry": ("destination_marketo_programs.retry.cli", "send rejected records again"),
    "sandbox": ("marketo_sandbox.cli", "run a local Marketo simulator"),
    "demo": ("marketo_programs_demo.cli", "run the whole chain: simulator, sample leads, check, write and report"),
}
MISSING_EXTRA = (
    'This command needs the extra "sandbox" (missing module: {}). In a clone of the repository run: '
    'pip install ".[sandbox]"'
)


def run() -> NoReturn:
    """Entry point of `destination-marketo-programs`."""
    code = main(sys.argv[1:])
    # A worker may still wait for an answer that nobody needs; a normal exit would wait for it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def main(args: list[str]) -> int:
    """Run one command.

    Returns:
        The exit code.
    """
    name = args[0] if args else ""
    if name in PROTOCOL_COMMANDS:
        # Each command imports what it needs, and nothing of the others.
        if name == "discover":
            from destination_marketo_programs.activation.discover import main as discover  # noqa: PLC0415 - see above

            return discover(args[1:])
        from destination_marketo_programs.commands import run_protocol_command  # noqa: PLC0415 - see above

        return run_protocol_command(name, args[1:])
    if name in COMMANDS:
        return _run_for_people(name, args[1:])
    parser = Parser(prog="destination-marketo-programs")
    commands = parser.add_subparsers(title="commands", required=True)
    for command, text in (*PROTOCOL_COMMANDS.items(), *((name, text) for name, (_, text) in COMMANDS.items())):
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
    parser = Parser(prog=f"destination-marketo-programs {name}", description=text)
    module.add_arguments(parser)
    return int(module.main(parser.parse(args)))
