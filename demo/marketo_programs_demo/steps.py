"""The steps of the demo: the connector's commands, each in a process of its own, as users run them."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.console import Console

    from marketo_programs_demo.files import DemoFiles

Json = dict[str, Any]

_COMMAND: Final = (sys.executable, "-m", "destination_marketo_programs")
_CHECK_SECONDS: Final = 60
_REPORT_SECONDS: Final = 60


class DemoError(Exception):
    """A step of the demo failed; the text says which and why."""


def run_check(files: DemoFiles) -> None:
    """Run `check`.

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
                return
            raise DemoError(f"check: {status.get('message')}")
    raise DemoError(f"check ended with {finished.returncode} and said nothing")


def run_write(files: DemoFiles, messages: Path, record_count: int, console: Console) -> None:
    """Run `write` over an input with a progress bar that moves with each acknowledged STATE.

    Args:
        files: configuration, catalog, and where the answers go.
        messages: the input; a later sync has another one.
        record_count: how many records it holds.
        console: for the bar.

    Raises:
        DemoError: it failed, or acknowledged another number of records than it was sent.
    """
    columns = (TextColumn("[green]write[/]"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    acknowledged = 0.0
    error = ""
    with (
        messages.open("rb") as source,
        messages.with_name(messages.name.replace("messages", "answers")).open("wb") as copy,
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
    """Make the reconciliation page of this run, with the records behind its rejections.

    Raises:
        DemoError: it could not be made.
    """
    finished = subprocess.run(  # noqa: S603 - this package, with files just written
        [*_COMMAND, "report", *files.new_files(), "--output", str(files.report)],
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
