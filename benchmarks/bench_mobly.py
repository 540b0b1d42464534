"""CPU and memory that the low-code Mobly source needs for one sync of `captured_leads`, Mobly's limit lifted.

Mobly's own limit makes a sync take about as many seconds as calls; what is measured is what the source costs beside
them. Mobly's API is a stand-in in this process, the source the CDK's own command in another.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY / "examples" / "mobly"))

from common import show  # noqa: E402 - the path is set above
from fake_mobly import FakeMobly, Organisation  # noqa: E402 - the path is set above
from marketo_programs_demo import leads  # noqa: E402 - the path is set above

Json = dict[str, Any]

MANIFEST = REPOSITORY / "examples" / "mobly" / "manifest.yaml"
SOURCE = Path(sys.executable).with_name("source-declarative-manifest")
UNLIMITED = {"calls_at_once": 1_000_000, "calls_per_second": 1_000_000}


class Measured(NamedTuple):
    """One sync: records, calls to Mobly, and the seconds and the largest resident set (10^6 bytes) of the process."""

    records: int
    calls: int
    cpu_seconds: float
    seconds: float
    peak_mb: float


def measure(captures: int, events: int) -> Measured:
    """Sync once.

    Raises:
        RuntimeError: the source failed or lost a capture.
    """
    with (
        FakeMobly(Organisation.of_size(captures, events), per_second=1e9) as mobly,
        tempfile.TemporaryDirectory() as folder,
    ):
        config, catalog, output = (Path(folder) / name for name in ("config.json", "catalog.json", "output.jsonl"))
        config.write_text(json.dumps({"base_url": mobly.url, "api_key": mobly.api_key} | UNLIMITED))
        stream = {"name": leads.STREAM, "json_schema": {"type": "object"}, "supported_sync_modes": ["full_refresh"]}
        configured = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
        catalog.write_text(json.dumps({"streams": [configured]}))
        files = {"--config": config, "--catalog": catalog, "--manifest-path": MANIFEST}
        command = [str(SOURCE), "read", *(str(one) for option in files.items() for one in option)]
        started = time.perf_counter()
        with output.open("wb") as file:
            process = subprocess.Popen(command, stdout=file)
            _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        with output.open("rb") as file:
            records = sum(line.startswith(b'{"type":"RECORD"') for line in file)
        if status or records != captures:
            raise RuntimeError(f"the source ended with {status} after {records} of {captures} records")
        calls = len(mobly.calls)
    return Measured(records, calls, usage.ru_utime + usage.ru_stime, seconds, usage.ru_maxrss * 1024 / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, nargs="+", default=[1_000, 5_000, 20_000], metavar="N")
    parser.add_argument("--events", type=int, default=40, metavar="N")
    arguments = parser.parse_args()
    show(
        "mobly",
        f"The Mobly source, {arguments.events} events (aim at 20,000: 30 s of CPU, 300 MB)",
        ["Captures", "Calls to Mobly", "CPU s", "Wall s", "Peak MB", "At 1 call per second"],
        [
            [f"{one.records:,}", one.calls, one.cpu_seconds, one.seconds, one.peak_mb, f"{one.calls / 60:.0f} min"]
            for one in (measure(captures, arguments.events) for captures in arguments.captures)
        ],
    )


if __name__ == "__main__":
    main()
