"""Records per second and peak memory, limits off, no latency, nine lead fields, beside the CDK parsing the same lines."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Measured, config, record, sandbox, show, state, summary, write

STATE_EVERY = 1_000
ENDLESS = (
    sys.executable,
    "-c",
    "from destination_marketo_programs.marketo import limits; "
    "limits.WINDOW_SECONDS = 0.0; limits.WINDOW_MARGIN_SECONDS = 0.0; "
    "import sys; from destination_marketo_programs.run import main; main(['write', *sys.argv[1:]])",
)
"""The command without its own 20-second window, which is what this benchmark is not about."""

CDK_PARSES = """
import sys, io, time
from airbyte_cdk.destinations import Destination
class Sink(Destination):
    def check(self, logger, config): ...
    def write(self, config, configured_catalog, input_messages): ...
stdin = io.TextIOWrapper(sys.stdin.buffer, encoding="utf-8")
started = time.perf_counter()
count = sum(1 for _ in Sink()._parse_input_stream(stdin))
print(time.perf_counter() - started, count)
"""


def messages(path: Path, count: int) -> None:
    """A file of RECORD lines with a STATE after each thousand."""
    with path.open("wb") as file:
        for number in range(count):
            file.write(record(number) + b"\n")
            if number % STATE_EVERY == STATE_EVERY - 1:
                file.write(state(number) + b"\n")


def cdk_seconds(path: Path) -> float:
    """Seconds that the CDK's own parser takes for the file, its import not counted."""
    with path.open("rb") as file:
        out = subprocess.run([sys.executable, "-c", CDK_PARSES], stdin=file, capture_output=True, check=True)
    return float(out.stdout.split()[0])


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--memory-records", type=int, default=1_000_000)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "messages.jsonl"
        for count in dict.fromkeys((arguments.records, arguments.memory_records)):
            messages(path, count)
            with sandbox("--fast") as url:
                started = time.perf_counter()
                write(config(url), Path("/dev/null"), ENDLESS)
                start_up = time.perf_counter() - started
                result: Measured = write(config(url), path, ENDLESS)
                members = sum(program["members"] for program in summary(url)["programs"])
            assert members == count, members
            working = result.seconds - start_up
            rows.append(
                (f"{count:,}", count / working, count / result.seconds, result.cpu_seconds, result.peak_mb, count / cdk_seconds(path))
            )
    show(
        "throughput",
        "write, limits off, no latency, 9 lead fields, one link",
        ("records", "records/s after start-up", "records/s of the process", "CPU s", "peak MB", "CDK parses records/s"),
        rows,
    )


if __name__ == "__main__":
    main()
