"""CPU time of the whole process beside a plain script that does the same two calls per 300 records and checks nothing.

    python benchmarks/bench_script.py [--records 100000] [--rounds 5]

The script (`plain_script.py`) is run with Python's own `json` and with `orjson`. All three run in turn, each against a
fresh sandbox without limits and latency; ratios are taken round by round, so that they hold while the machine's speed
drifts. `import only` is the start-up alone: the same commands with no record to deliver.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from common import ENDLESS, Measured, config, members, messages, over, record, sandbox, show, write

SCRIPT = Path(__file__).parent / "plain_script.py"
WAYS = ("connector", "script, json", "script, orjson")


def run(way: str, path: Path, count: int) -> Measured:
    """One load, by one of the ways."""
    with sandbox("--fast") as url:
        if way == "connector":
            measured = write(config(url), path, ENDLESS)
        else:
            parser = way.rpartition(" ")[2]
            measured = over([sys.executable, str(SCRIPT), url, "1004", "Registered", parser], path)
        assert members(url) == count
    return measured


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--records", type=int, default=100_000)
    arguments.add_argument("--rounds", type=int, default=5)
    chosen = arguments.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-script-") as folder:
        path = Path(folder) / "messages.jsonl"
        messages(path, map(record, range(chosen.records)))
        rounds = [{way: run(way, path, chosen.records) for way in WAYS} for _ in range(chosen.rounds)]
        nothing = {way: run(way, Path("/dev/null"), 0) for way in WAYS}
    rows = [
        (
            way,
            statistics.median(one[way].seconds for one in rounds),
            statistics.median(one[way].cpu_seconds for one in rounds),
            nothing[way].cpu_seconds,
            statistics.median(one[way].peak_mb for one in rounds),
            statistics.median(one["connector"].cpu_seconds / one[way].cpu_seconds for one in rounds),
        )
        for way in WAYS
    ]
    show(
        "script",
        f"{chosen.records:,} records, 9 lead fields, no limits, medians of {chosen.rounds} rounds",
        ("way", "s", "CPU s", "of which start-up", "peak MB", "connector's CPU : this"),
        rows,
    )


if __name__ == "__main__":
    main()
