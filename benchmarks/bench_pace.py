"""How much of `calls_per_20_seconds` is used over two minutes when each call takes 300 ms, and whether Marketo objects.

    python benchmarks/bench_pace.py [--seconds 120] [--limit 100]

The sandbox keeps Marketo's limits over a sliding window and logs each call. The share is of the calls that the limit
allows within the span, which begins with the run's first call.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import urllib.request
from pathlib import Path

from common import config, members, messages, record, sandbox, show, summary, write

LATENCY_SECONDS = 0.3
WINDOW_SECONDS = 20.0
RECORDS_PER_CALL = 150


def call_times(url: str) -> list[float]:
    """When each call of the API arrived, in seconds since the first."""
    with urllib.request.urlopen(url + "/_sandbox/state?parts=calls", timeout=60) as answer:
        logged = json.load(answer)["calls"]
    started = sorted(call["started"] for call in logged if call["endpoint"] != "identity.token")
    return [moment - started[0] for moment in started]


def most_in_a_window(times: list[float]) -> int:
    """Most calls within any 20 seconds."""
    most = first = 0
    for last, moment in enumerate(times):
        while moment - times[first] >= WINDOW_SECONDS:
            first += 1
        most = max(most, last - first + 1)
    return most


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--limit", type=int, default=100, help="calls per 20 seconds, of the connector and of Marketo")
    arguments = parser.parse_args()
    allowed = arguments.limit * arguments.seconds / WINDOW_SECONDS
    # A tenth more than the span can take, so that there is work all the time.
    count = round(allowed * RECORDS_PER_CALL * 1.1)
    limits = {"calls_per_window": arguments.limit, "check_values": False, "keep_fields": False, "log_keys": False}
    with (
        tempfile.TemporaryDirectory(prefix="bench-pace-") as folder,
        sandbox("--latency", str(LATENCY_SECONDS), "--settings", json.dumps(limits)) as url,
    ):
        path = Path(folder) / "messages.jsonl"
        messages(path, map(record, range(count)))
        delivery = {"method": "rest", "calls_per_20_seconds": arguments.limit, "concurrent_calls": 10}
        result = write(config(url, delivery=delivery), path)
        assert members(url) == count
        times = call_times(url)
        refused = sum(row["endings"].get(code, 0) for row in summary(url)["counters"] for code in ("606", "615"))
    within = sum(moment < arguments.seconds for moment in times)
    assert times[-1] >= arguments.seconds, "the work ended before the span did"
    show(
        "pace",
        f"{arguments.limit} calls per 20 s, 10 at once, 300 ms each, {count:,} records in {result.seconds:.0f} s",
        ("seconds", "calls allowed", "calls made", "share %", "most in any 20 s", "606 and 615"),
        [
            (
                arguments.seconds,
                f"{allowed:.0f}",
                within,
                100 * within / allowed,
                most_in_a_window(times),
                refused,
            )
        ],
    )


if __name__ == "__main__":
    main()
