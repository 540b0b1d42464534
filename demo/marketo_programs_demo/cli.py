"""The `demo` command: a sandbox, sample leads, check, write and report, with the commands to do it again."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from destination_marketo_programs.hints import explain
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.storage.reader import find_files, iter_outcomes
from marketo_programs_demo import scenario
from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from destination_marketo_programs.storage import StoredOutcome

Json = dict[str, Any]

DEFAULT_OUTPUT: Final = Path("demo-output")
_COMMAND: Final = (sys.executable, "-m", "destination_marketo_programs")
_CHECK_SECONDS: Final = 60
_REPORT_SECONDS: Final = 60


class DemoError(Exception):
    """A step of the demo failed; the text says which and why."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `main` reads."""
    parser.add_argument(
        "--output",
        type=Path,
        default=DEFAULT_OUTPUT,
        metavar="FOLDER",
        help=f"for its files; {DEFAULT_OUTPUT} if absent",
    )
    parser.add_argument("--leads", type=int, default=500, metavar="N", help="captures to send; default: 500")


def main(args: argparse.Namespace) -> int:
    """Run the demo. Returns 0, or 1 where a step failed."""
    console = Console(highlight=False)
    started = time.monotonic()
    try:
        with SandboxServer() as sandbox:
            files = DemoFiles(args.output)
            sample = prepare(files, sandbox, args.leads)
            console.print(
                f"Sandbox of Marketo at {sandbox.url}\n"
                f"{len(sample)} captures of {len({record['event_id'] for record in sample})} Mobly events "
                f"in {files.messages}"
            )
            console.print(f"[green]check[/]  {run_check(files)}")
            run_write(files, len(sample), console)
            outcomes = list(iter_outcomes(files.new_outcomes()))
            for table in (members_table(sandbox), leftovers_table(outcomes)):
                console.print()
                console.print(table)
            run_report(files)
            # Unwrapped: the commands are there to be copied.
            console.print(closing_words(files, sandbox.url), soft_wrap=True)
    except (DemoError, OSError, subprocess.TimeoutExpired) as error:
        Console(stderr=True, highlight=False).print(f"[red]demo:[/] {error}")
        return 1
    console.print(f"Done in {time.monotonic() - started:.1f} s.")
    return 0


class DemoFiles:
    """Where the demo puts things, in one folder that is made if need be.

    Outcomes of earlier demos stay; `new_outcomes` leaves them out.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = folder / "config.json"
        self.catalog = folder / "catalog.json"
        self.messages = folder / "messages.jsonl"
        self.answers = folder / "answers.jsonl"
        self.outcomes = folder / "outcomes"
        self.report = folder / "report.html"
        self._earlier = frozenset(self.outcomes.rglob("*.jsonl"))

    def new_outcomes(self) -> list[str]:
        """Outcome files written since this object was made.

        Raises:
            DemoError: there are none.
        """
        written = [str(path) for path in self.outcomes.rglob("outcomes-*.jsonl") if path not in self._earlier]
        if not written:
            raise DemoError(f"write stored no outcomes in {self.outcomes}")
        return [file.location for file in find_files(written)]


def prepare(files: DemoFiles, sandbox: SandboxServer, count: int) -> list[Json]:
    """Write configuration, catalog and input, and put in Marketo whom it knows before the sync.

    Returns:
        The records of the input.
    """
    sample = scenario.records(count)
    for number, fields in scenario.known_people(sample).items():
        sandbox.state.add_lead(fields, lead_id=number)
    for address in scenario.shared_addresses(sample):
        for name in ("Merged", "Not merged"):
            sandbox.state.add_lead({"email": address, "firstName": name})
    config = scenario.demo_config(sandbox.url, sandbox.client_id, sandbox.client_secret, files.outcomes.resolve())
    files.config.write_text(json.dumps(config, indent=2) + "\n")
    files.catalog.write_text(json.dumps(scenario.catalog(), indent=2) + "\n")
    files.messages.write_text("".join(line + "\n" for line in scenario.messages(sample)))
    return sample


def run_check(files: DemoFiles) -> str:
    """Run `check` and return its verdict.

    Raises:
        DemoError: it found problems; they are the text.
    """
    finished = subprocess.run(  # noqa: S603 - this package, with files just written
        [*_COMMAND, "check", "--config", str(files.config)],
        stdout=subprocess.PIPE,
        timeout=_CHECK_SECONDS,
        check=False,
    )
    for message in messages_of(finished.stdout.splitlines()):
        if message["type"] == "CONNECTION_STATUS":
            status = message["connectionStatus"]
            if status["status"] == "SUCCEEDED":
                return str(status["status"])
            raise DemoError(f"check: {status.get('message')}")
    raise DemoError(f"check ended with {finished.returncode} and said nothing")


def run_write(files: DemoFiles, record_count: int, console: Console) -> None:
    """Run `write` over the input with a progress bar that moves with each acknowledged STATE.

    Raises:
        DemoError: it failed, or acknowledged another number of records than it was sent.
    """
    columns = (TextColumn("[green]write[/]"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    acknowledged = 0.0
    error = ""
    with (
        files.messages.open("rb") as source,
        files.answers.open("wb") as copy,
        Progress(*columns, console=console) as progress,
        subprocess.Popen(  # noqa: S603 - this package, with files just written
            [*_COMMAND, "write", "--config", str(files.config), "--catalog", str(files.catalog)],
            stdin=source,
            stdout=subprocess.PIPE,
        ) as process,
    ):
        bar = progress.add_task("write", total=record_count)
        try:
            for message in messages_of(_copied(process.stdout or (), copy)):
                if message["type"] == "STATE":
                    stats = message["state"]["destinationStats"]
                    acknowledged += stats["recordCount"] + stats["rejectedRecordCount"]
                    progress.update(bar, completed=acknowledged)
                elif message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
                    error = message["trace"]["error"]["message"]
        except BaseException:
            process.kill()
            raise
    if process.returncode or error:
        raise DemoError(f"write ended with {process.returncode}: {error or 'see the messages above'}")
    if acknowledged != record_count:
        raise DemoError(f"write acknowledged {acknowledged:.0f} of {record_count} records")


def run_report(files: DemoFiles) -> None:
    """Make the reconciliation page of this run.

    Raises:
        DemoError: it could not be made.
    """
    finished = subprocess.run(  # noqa: S603 - this package, with files just written
        [*_COMMAND, "report", *files.new_outcomes(), "--output", str(files.report)],
        stdout=subprocess.DEVNULL,
        timeout=_REPORT_SECONDS,
        check=False,
    )
    if finished.returncode:
        raise DemoError(f"report ended with {finished.returncode}")


def _copied(lines: Iterable[bytes], copy: Any) -> Iterator[bytes]:
    for line in lines:
        copy.write(line)
        yield line


def messages_of(lines: Iterable[bytes]) -> Iterator[Json]:
    """Airbyte messages of a connector's stdout; blank lines are passed over."""
    for line in lines:
        if line.strip():
            yield json.loads(line)


def members_table(sandbox: SandboxServer) -> Table:
    """Members per program and status, as Marketo has them now; steps in their order."""
    table = Table(title="Program members in Marketo", title_justify="left")
    table.add_column("Program")
    table.add_column("Status")
    table.add_column("Members", justify="right")
    counts = sandbox.state.status_counts()
    for program in sandbox.state.programs():
        found = counts[program.id]
        ordered = [status.name for status in sandbox.state.channel(program.channel).statuses if status.name in found]
        for position, status in enumerate(ordered):
            name = f"{program.name} ({program.id}, {program.type})" if position == 0 else ""
            table.add_row(name, status, str(found[status]), end_section=position == len(ordered) - 1)
    return table


def leftovers_table(outcomes: Sequence[StoredOutcome]) -> Table:
    """Rejections and skips by category with what to do about them, rejections first."""
    counts = Counter(
        (outcome.outcome, outcome.category or "")
        for outcome in outcomes
        if outcome.outcome in {Result.REJECTED, Result.SKIPPED}
    )
    table = Table(title="Not delivered, by category", title_justify="left")
    table.add_column("Outcome")
    table.add_column("Category", no_wrap=True)
    table.add_column("Count", justify="right")
    table.add_column("What it means", overflow="fold")
    for (result, category), count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
        table.add_row(result, category, str(count), explain(category, None).title)
    return table


def closing_words(files: DemoFiles, url: str) -> str:
    """Where everything is, and the commands that do it again, to copy into a shell."""
    program = _program()
    port = url.rpartition(":")[2]
    config, catalog = shlex.quote(str(files.config)), shlex.quote(str(files.catalog))
    return "\n".join(
        [
            "",
            f"Page with every rejection: {files.report}",
            f"Outcomes and rejected records: {files.outcomes}",
            "",
            f"To try your own configuration, change {files.config}, start a sandbox in another terminal",
            f"  {program} sandbox --port {port}",
            "and run",
            f"  {program} check --config {config}",
            f"  {program} write --config {config} --catalog {catalog} < {shlex.quote(str(files.messages))}",
            f"  {program} report {shlex.quote(str(files.outcomes))} --output {shlex.quote(str(files.report))}",
        ]
    )


def _program() -> str:
    """How a shell in this folder calls the executable."""
    name = "destination-marketo-programs"
    beside = Path(sys.executable).with_name(name)
    if shutil.which(name) is None and beside.exists():
        return shlex.quote(os.path.relpath(beside))
    return name
