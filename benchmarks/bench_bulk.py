"""A million records to four program × status groups by bulk import: calls, time, memory, beside REST.

    python benchmarks/bench_bulk.py [--records 1000000] [--rest-records 30000]

The sandbox runs in a process of its own, with Marketo's queue of two running jobs. REST is measured with a smaller load
at the limits that Adobe advises (50 calls per 20 seconds, 5 at once) and assumed for the whole one.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from common import Json, Measured, config, post, record, sandbox, show, state, summary, write

from destination_marketo_programs.imports.pace import rest_calls

STATE_EVERY = 10_000
DUPLICATE_EVERY = 5_000
GROUPS = (("1004", "Registered"), ("1004", "Attended"), ("1005", "Registered"), ("1234", "Invited"))
AIM_CALLS = 150
AIM_MEGABYTES = 250.0
CALLS_PER_20_SECONDS = 50
JOB_SETTINGS = {"check_values": True, "bulk_job_seconds": 5.0, "bulk_seconds_per_1000_rows": 0.2}
"""About twenty seconds for a full file, two files at once."""


def messages(path: Path, count: int) -> None:
    """RECORD lines, spread over four events, with STATEs between."""
    with path.open("wb") as file:
        for number in range(count):
            file.write(record(number, event_id=f"event{number % len(GROUPS)}") + b"\n")
            if number % STATE_EVERY == STATE_EVERY - 1:
                file.write(state(number) + b"\n")


def settings(url: str, folder: Path, method: str) -> Json:
    """Four links, outcomes kept in a folder. `auto` would take REST, as the sandbox has several partitions."""
    return config(
        url,
        program_links=[
            {"event": f"event{number}", "program_id": program_id, "program_status": status}
            for number, (program_id, status) in enumerate(GROUPS)
        ],
        object_storage_config={"storage_type": "Local", "path": str(folder)},
        delivery={"method": method, "calls_per_20_seconds": CALLS_PER_20_SECONDS, "concurrent_calls": 5},
    )


def prepare(url: str, count: int) -> int:
    """Some people are there twice, which only a failure file can tell; returns how many."""
    emails = [f"person{number}@example.org" for number in range(0, count, DUPLICATE_EVERY)]
    post(url, "/_sandbox/seed", {"leads": [{"fields": {"email": email}} for email in emails for _ in range(2)]})
    return len(emails)


def outcomes(folder: Path) -> Counter[str]:
    """Stored outcomes by kind; each record must be there once."""
    counts: Counter[str] = Counter()
    seen: set[str] = set()
    for path in folder.glob("**/outcomes-*.jsonl"):
        with path.open("rb") as file:
            for line in file:
                outcome = json.loads(line)
                counts[outcome["category"] or outcome["outcome"]] += 1
                seen.add(outcome["record_key"])
    assert len(seen) == counts.total(), "a record has two outcomes"
    return counts


def run(method: str, count: int) -> tuple[Measured, Json, Counter[str]]:
    """One load; returns figures, calls by endpoint, and outcomes."""
    with (
        tempfile.TemporaryDirectory(prefix="bench-bulk-") as name,
        sandbox("--fast", "--settings", json.dumps(JOB_SETTINGS)) as url,
    ):
        folder = Path(name)
        doubles = prepare(url, count)
        messages(folder / "messages.jsonl", count)
        result = write(settings(url, folder / "outcomes", method), folder / "messages.jsonl")
        found = outcomes(folder / "outcomes")
        after = summary(url)
        assert found.total() == count, found
        # A file cannot choose among several people with one email; REST takes the one that was updated last.
        rejected = found["DUPLICATE_LEADS"]
        assert rejected in {0, doubles}, found
        assert sum(program["members"] for program in after["programs"]) == count - rejected
        calls = {row["endpoint"]: sum(row["endings"].values()) for row in after["counters"]}
        return result, calls, found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rest-records", type=int, default=30_000)
    arguments = parser.parse_args()
    rows: list[tuple[Any, ...]] = []
    for method, count in (("bulk", arguments.records), ("rest", arguments.rest_records)):
        if not count:
            continue
        result, calls, found = run(method, count)
        made = sum(number for endpoint, number in calls.items() if endpoint != "identity.token")
        told = ", ".join(f"{kind} {number:,}" for kind, number in found.most_common())
        rows.append((method, f"{count:,}", f"{made:,}", result.seconds, result.cpu_seconds, result.peak_mb, told))
        if method == "bulk":
            assert made <= AIM_CALLS, calls
            assert result.peak_mb <= AIM_MEGABYTES, result.peak_mb
    calls_by_rest = len(GROUPS) * rest_calls(arguments.records // len(GROUPS))
    seconds_by_rest = calls_by_rest / CALLS_PER_20_SECONDS * 20.0
    rows.append(("rest, assumed", f"{arguments.records:,}", f"{calls_by_rest:,}", seconds_by_rest, "", "", ""))
    show(
        "bulk",
        "four program × status groups, 9 lead fields, 50 calls per 20 s",
        ("method", "records", "calls", "s", "CPU s", "peak MB", "outcomes"),
        rows,
    )


if __name__ == "__main__":
    main()
