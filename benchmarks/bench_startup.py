"""How long `spec` takes beside importing the CDK's Destination alone, which no Python destination can do without.

    python benchmarks/bench_startup.py [--pairs 9]

The two run in turn; the ratio is taken pair by pair, so that it holds while the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

from common import MODULE, show

COMMANDS = {
    "spec": [*MODULE, "spec"],
    "import of the CDK's Destination": [sys.executable, "-c", "from airbyte_cdk.destinations import Destination"],
}


def run(command: list[str]) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and peak MB of one process."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=9)
    pairs = parser.parse_args().pairs
    for command in COMMANDS.values():
        run(command)
    measured = [[run(command) for command in COMMANDS.values()] for _ in range(pairs)]
    rows = []
    for place, name in enumerate(COMMANDS):
        medians = [statistics.median(pair[place][figure] for pair in measured) for figure in range(3)]
        rows.append((name, *medians))
    ratios = [statistics.median(spec[figure] / cdk[figure] for spec, cdk in measured) for figure in range(3)]
    show(
        "startup",
        f"start-up, medians of {pairs} pairs",
        ("command", "s", "CPU s", "peak MB"),
        [*rows, ("ratio, pair by pair", *ratios)],
    )


if __name__ == "__main__":
    main()
