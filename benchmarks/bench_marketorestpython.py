"""The same job by this connector and by the client library `marketorestpython`: one link, nine lead fields.

    python benchmarks/bench_marketorestpython.py [--records 45000] [--python .venv-marketorestpython/bin/python]

At 0 and at 300 ms latency, with Marketo's limits (100 calls per 20 s, 10 at once) and without. With limits the client
keeps its own five calls a second; without, it waits for nothing. What it does not do (checks, outcomes, retries of
single records, STATEs) is not taken into account.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

from common import ENDLESS, MODULE, config, members, messages, record, sandbox, show, write

JOB = Path(__file__).parent / "marketorestpython_job.py"
PYTHON = Path(__file__).parent.parent / ".venv-marketorestpython" / "bin" / "python"
LATENCIES_SECONDS = (0.0, 0.3)


def sandbox_options(latency_seconds: float, *, limits: bool) -> list[str]:
    return ["--fast", "--latency", str(latency_seconds), "--settings", json.dumps({"limits": limits})]


def by_client(python: Path, path: Path, latency_seconds: float, *, limits: bool) -> tuple[float, int]:
    """Seconds of the whole process, and members made."""
    with sandbox(*sandbox_options(latency_seconds, limits=limits)) as url, path.open("rb") as file:
        command = [str(python), str(JOB), url, "1004", "Registered", "paced" if limits else "unpaced"]
        started = time.perf_counter()
        subprocess.run(command, stdin=file, check=True)
        return time.perf_counter() - started, members(url)


def by_connector(path: Path, latency_seconds: float, *, limits: bool) -> tuple[float, int]:
    """Likewise."""
    with sandbox(*sandbox_options(latency_seconds, limits=limits)) as url:
        result = write(config(url), path, (*MODULE, "write") if limits else ENDLESS)
        return result.seconds, members(url)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=45_000)
    parser.add_argument("--python", type=Path, default=PYTHON)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-client-") as folder:
        path = Path(folder) / "messages.jsonl"
        messages(path, map(record, range(arguments.records)))
        for limits in (True, False):
            for latency in LATENCIES_SECONDS:
                theirs, made_by_them = by_client(arguments.python, path, latency, limits=limits)
                ours, made_by_us = by_connector(path, latency, limits=limits)
                assert made_by_them == made_by_us == arguments.records
                rows.append(("on" if limits else "off", f"{latency * 1000:.0f} ms", theirs, ours, theirs / ours))
    show(
        "marketorestpython",
        f"{arguments.records:,} records, whole process",
        ("limits", "latency", "marketorestpython s", "connector s", "times as fast"),
        rows,
    )


if __name__ == "__main__":
    main()
