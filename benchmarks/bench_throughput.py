"""Records per second and peak memory without limits, nine lead fields, beside the CDK parsing the same lines.

    python benchmarks/bench_throughput.py [--records 300000] [--memory-records 1000000] [--slow-records 60000]

The sandbox runs in a process of its own. "After start-up" leaves out what the same command takes with no input at all.
The last row lets Marketo take 200 ms for each call: only then does the connector hold as much as it ever may.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from common import ENDLESS, config, members, messages, record, sandbox, show, write

SLOW_SECONDS = 0.2
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


def cdk_seconds(path: Path) -> float:
    """Seconds that the CDK's own parser takes for the file, its import not counted."""
    with path.open("rb") as file:
        out = subprocess.run([sys.executable, "-c", CDK_PARSES], stdin=file, capture_output=True, check=True)
    return float(out.stdout.split()[0])


def run(path: Path, count: int, latency_seconds: float) -> tuple[str, str, float, float, float, float, float]:
    """One load, as a row of the table."""
    messages(path, map(record, range(count)))
    with sandbox("--fast", "--latency", str(latency_seconds)) as url:
        idle = write(config(url), Path("/dev/null"), ENDLESS)
        result = write(config(url), path, ENDLESS)
        assert members(url) == count
    return (
        f"{count:,}",
        f"{latency_seconds * 1000:.0f} ms",
        count / (result.seconds - idle.seconds),
        count / result.seconds,
        (result.cpu_seconds - idle.cpu_seconds) / count * 1e6,
        result.peak_mb,
        count / cdk_seconds(path),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=300_000)
    parser.add_argument("--memory-records", type=int, default=1_000_000)
    parser.add_argument("--slow-records", type=int, default=60_000)
    arguments = parser.parse_args()
    loads = ((arguments.records, 0.0), (arguments.memory_records, 0.0), (arguments.slow_records, SLOW_SECONDS))
    with tempfile.TemporaryDirectory(prefix="bench-throughput-") as folder:
        rows = [run(Path(folder) / "messages.jsonl", count, latency) for count, latency in loads if count]
    show(
        "throughput",
        "write without limits, 9 lead fields, one link",
        (
            "records",
            "latency",
            "records/s after start-up",
            "records/s",
            "CPU µs per record",
            "peak MB",
            "CDK parses records/s",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
