"""What the benchmarks share: a sandbox in its own process, a connector in its own process, and tables."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Json = dict[str, Any]
RESULTS = Path(__file__).parent / "results"
MODULE = [sys.executable, "-m", "destination_marketo_programs"]
_WITHOUT_WINDOW = """
from destination_marketo_programs.marketo import limits
limits.WINDOW_SECONDS = limits.WINDOW_MARGIN_SECONDS = 0.0
import sys
from destination_marketo_programs.run import main
main(["write", *sys.argv[1:]])
"""
ENDLESS = (sys.executable, "-c", _WITHOUT_WINDOW)
"""`write` without its own 20-second window, for measures that are about something else."""
DELIVERY_ENDPOINTS = ("leads.sync", "leads.query", "members.status", "members.data")
"""Calls that deliver; the others are the checks before the first record, once per sync."""


class Measured(NamedTuple):
    """One run of the connector.

    Attributes:
        seconds: wall time of the whole process.
        cpu_seconds: user and system time of the process.
        peak_mb: largest resident set, in MB (10^6 bytes).
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    stdout: bytes


@contextlib.contextmanager
def sandbox(*options: str) -> Iterator[str]:
    """A sandbox in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "marketo_sandbox", *options]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
    ) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found
        try:
            yield found.group(0)
        finally:
            process.terminate()


def post(url: str, path: str, body: Json) -> Json:
    """Ask the sandbox's own doors."""
    request = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        result: Json = json.load(answer)
        return result


def summary(url: str) -> Json:
    """Counts of the sandbox."""
    with urllib.request.urlopen(url + "/_sandbox/summary", timeout=60) as answer:
        result: Json = json.load(answer)
        return result


def calls(url: str) -> tuple[int, int]:
    """Calls that delivered, and all of them (without those for a token)."""
    made = {row["endpoint"]: sum(row["endings"].values()) for row in summary(url)["counters"]}
    return sum(made.get(name, 0) for name in DELIVERY_ENDPOINTS), sum(made.values()) - made.get("identity.token", 0)


def members(url: str) -> int:
    """Memberships in all programs together."""
    return sum(program["members"] for program in summary(url)["programs"])


def config(url: str, **changes: Any) -> Json:
    """Nine lead fields from plain columns, one link."""
    names = ["firstName", "lastName", "title", "phone", "mobilePhone", "address", "city", "postalCode", "country"]
    return {
        "domain_url": url,
        "client_id": "sandbox-client-id",
        "client_secret": "sandbox-client-secret",
        "program_links": [{"event": "", "program_id": "1004", "program_status": "Registered"}],
        "record_mapping": {"mapping_type": "custom"},
        "field_mappings": [
            {"record_field": f"c{number}", "marketo_object": "lead", "marketo_field": name}
            for number, name in enumerate(names)
        ],
        "delivery": {"method": "rest", "calls_per_20_seconds": 100, "concurrent_calls": 10},
        **changes,
    }


def record(number: int, **more: Any) -> bytes:
    """About 670 bytes, as Mobly's flat leads are."""
    data = {
        "id": number,
        "email": f"person{number}@example.org",
        **{f"c{column}": f"value {column} of {number}" for column in range(9)},
        "notes": "x" * 200,
        **more,
    }
    return json.dumps({"type": "RECORD", "record": {"stream": "leads", "data": data, "emitted_at": 1}}).encode()


def state(number: int) -> bytes:
    """A STREAM state."""
    body = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "leads"}, "stream_state": {"at": number}}}
    return json.dumps({"type": "STATE", "state": body}).encode()


def messages(path: Path, records: Iterable[bytes], state_every: int = 1_000) -> None:
    """A file of RECORD lines with a STATE after each thousand."""
    with path.open("wb") as file:
        for number, line in enumerate(records, 1):
            file.write(line + b"\n")
            if number % state_every == 0:
                file.write(state(number) + b"\n")


def write(configuration: Json, path: Path, command: Sequence[str] = (*MODULE, "write")) -> Measured:
    """Run the connector over a file of messages.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = {"config": configuration, "catalog": {"streams": [{"stream": {"name": "leads"}}]}}
        arguments = []
        for name, content in names.items():
            file = Path(folder) / f"{name}.json"
            file.write_text(json.dumps(content))
            arguments += [f"--{name}", str(file)]
        return over([*command, *arguments], path)


def over(command: Sequence[str], path: Path) -> Measured:
    """Run a command with a file as its standard input.

    Raises:
        RuntimeError: it failed.
    """
    # `cat` makes it a pipe, as it is under the platform.
    with subprocess.Popen(["cat", str(path)], stdout=subprocess.PIPE) as source:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdin=source.stdout, stdout=subprocess.PIPE)
        assert process.stdout is not None
        stdout = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    if status:
        raise RuntimeError(stdout.decode()[-2000:])
    return Measured(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6, stdout)


def show(name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table, and keep its figures as JSON in `results/{name}.json`."""
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(f"{cell:,.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=120).print(table)
    RESULTS.mkdir(exist_ok=True)
    content = {"title": title, "rows": [dict(zip(columns, row, strict=True)) for row in rows]}
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2))
