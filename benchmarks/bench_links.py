"""What many links cost before the first record: `check`, and a sync of one record for each link, at 300 ms a call.

python benchmarks/bench_links.py [--links 50] [--latency 0.3]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from common import MODULE, config, post, record, sandbox, show, summary, write
from common import messages as message_file

FIRST_PROGRAM_ID = 20_000
AIM_CALLS = 8
AIM_SECONDS = 8.0


def calls_made(url: str) -> int:
    """Calls of the API so far, without those for a token."""
    made = {row["endpoint"]: sum(row["endings"].values()) for row in summary(url)["counters"]}
    return int(sum(made.values()) - made.get("identity.token", 0))


def check(configuration: dict[str, Any], folder: Path) -> float:
    """Seconds of the whole command.

    Raises:
        RuntimeError: it found something.
    """
    path = folder / "config.json"
    path.write_text(json.dumps(configuration))
    started = time.perf_counter()
    done = subprocess.run([*MODULE, "check", "--config", str(path)], stdout=subprocess.PIPE, check=True)
    seconds = time.perf_counter() - started
    if b'"SUCCEEDED"' not in done.stdout:
        raise RuntimeError(done.stdout.decode()[-2000:])
    return seconds


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", type=int, default=50)
    parser.add_argument("--latency", type=float, default=0.3)
    chosen = parser.parse_args()
    programs = [
        {"id": number, "name": f"Program {number}", "type": "Event", "channel": "Tradeshow", "folder_id": 512}
        for number in range(FIRST_PROGRAM_ID, FIRST_PROGRAM_ID + chosen.links)
    ]
    links = [
        {"event": f"event{at}", "program_id": str(program["id"]), "program_status": "Registered"}
        for at, program in enumerate(programs)
    ]
    rows: list[tuple[str, str, int, float]] = []
    for limit, delivery in (
        ("100 calls per 20 s, 10 at once", {"calls_per_20_seconds": 100, "concurrent_calls": 10}),
        ("the form's defaults", {}),
    ):
        with (
            tempfile.TemporaryDirectory(prefix="bench-links-") as name,
            sandbox("--fast", "--latency", str(chosen.latency)) as url,
        ):
            folder = Path(name)
            post(url, "/_sandbox/seed", {"programs": programs})
            configuration = config(url, program_links=links, delivery=delivery)
            seconds = check(configuration, folder)
            for_check = calls_made(url)
            rows.append(("check", limit, for_check, seconds))
            path = folder / "messages.jsonl"
            message_file(path, (record(number, event_id=f"event{number}") for number in range(chosen.links)))
            synced = write(configuration, path)
            rows.append((f"write, {chosen.links} records", limit, calls_made(url) - for_check, synced.seconds))
    show(
        "links",
        f"{chosen.links} links to {chosen.links} programs, {chosen.latency * 1000:.0f} ms a call "
        f"(aim: {AIM_CALLS} calls and {AIM_SECONDS:.0f} s for check)",
        ("command", "limits of the connector", "calls", "s"),
        rows,
    )


if __name__ == "__main__":
    main()
