"""The `demo` command: a sandbox, sample leads, check, write and report, and what to try next."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from destination_marketo_programs.report.writing import summary_of
from destination_marketo_programs.storage.reader import iter_outcomes
from marketo_programs_demo import later, scenario, telling
from marketo_programs_demo.files import DEFAULT_OUTPUT, DemoFiles
from marketo_programs_demo.steps import DemoError, run_check, run_report, run_write
from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

Json = dict[str, Any]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `main` reads."""
    parser.add_argument(
        "--output",
        type=Path,
        default=DEFAULT_OUTPUT,
        metavar="FOLDER",
        help=f"folder for its files; default: {DEFAULT_OUTPUT}; a config.json that is there is kept",
    )
    parser.add_argument("--leads", type=int, default=500, metavar="N", help="captures to send; default: 500")
    parser.add_argument("--keep", action="store_true", help="leave the sandbox running, with everyone in it")


def main(args: argparse.Namespace) -> int:
    """Run the demo. Returns 0, or 1 if a step failed."""
    console = Console(highlight=False)
    try:
        files = DemoFiles(args.output)
        with _sandbox(files) as sandbox:
            _run(files, sandbox, args.leads, console)
            # Unwrapped: the commands are there to be copied.
            console.print(telling.what_to_try(files, sandbox.url, running=args.keep), soft_wrap=True)
            if args.keep:
                _wait_for_a_signal()
    except (DemoError, OSError, subprocess.TimeoutExpired) as error:
        Console(stderr=True, highlight=False).print(f"[red]demo:[/] {error}")
        return 1
    return 0


@contextmanager
def _sandbox(files: DemoFiles) -> Iterator[SandboxServer]:
    """The sandbox, where the configuration expects it.

    Raises:
        DemoError: another program is there.
    """
    port = files.port()
    sandbox = SandboxServer(port=port)
    try:
        sandbox.start()
    except OSError as error:
        raise DemoError(
            f"{files.config} expects the sandbox at port {port}, which is not available: {error.strerror}. "
            "Stop what runs there, or delete the file to get a new one."
        ) from None
    try:
        yield sandbox
    finally:
        sandbox.stop()


def _run(files: DemoFiles, sandbox: SandboxServer, count: int, console: Console) -> None:
    """One sync from seeding to page, and a second one of the same captures.

    Raises:
        DemoError: a step failed.
    """
    started = time.monotonic()
    sample = scenario.records(count)
    seed(sandbox, sample)
    files.write(sandbox, sample)
    kept = f"\nYour {files.config} is kept. Delete it to get the demo's original." if files.config_was_there else ""
    events = len({record["event_id"] for record in sample})
    console.print(f"Sandbox of Marketo at {sandbox.url}")
    console.print(f"{len(sample)} captures of {events} Mobly events in {files.messages}{kept}")
    run_check(files)
    console.print("[green]check[/] No problems found.")
    run_write(files, files.messages, len(sample), console)
    outcomes = list(iter_outcomes(files.new_files("outcomes")))
    for table in (telling.members_table(sandbox), telling.leftovers_table(outcomes)):
        console.print()
        console.print(table)
    run_report(files)
    members = sum(sum(found.values()) for found in sandbox.state.status_counts().values())
    console.print(f"\n{telling.what_happened(summary_of(files.new_files()).leads, members)}", soft_wrap=True)
    if later.remembers(files):
        console.print("\nThe same captures again, an hour later")
        told = later.sync_again(files, sandbox, sample, console)
        if told is not None:
            console.print(telling.second_sync(told), soft_wrap=True)
    console.print(f"\n{telling.where_things_are(files)}\nDone in {time.monotonic() - started:.1f} s.\n", soft_wrap=True)


def seed(sandbox: SandboxServer, sample: list[Json]) -> None:
    """Put in Marketo whom it knows before the sync: people by their id, and two for each shared address."""
    for number, fields in scenario.known_people(sample).items():
        sandbox.state.add_lead(fields, lead_id=number)
    for address in scenario.shared_addresses(sample):
        for name in ("Merged", "Not merged"):
            sandbox.state.add_lead({"email": address, "firstName": name})


def _wait_for_a_signal() -> None:
    """Until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
