"""Calls per 1,000 records, beside the fewest that any connector could make.

    python benchmarks/bench_calls.py [--records 100000]

One link; 20 program × status groups, interleaved at random; 200 groups whose sizes fall like 1/k. The fewest are one
Sync Leads call per 300 people and, for each group, one status call per 300 members.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ENDLESS, calls, config, members, messages, post, record, sandbox, show, write

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS_PER_CALL = 300
STATUSES = ("Invited", "Registered", "No Show", "Attended")
FIRST_PROGRAM_ID = 20_000
SEED = 7


def fewest(groups: Counter[int]) -> int:
    """Calls with every batch full but the last of its group."""
    return sum(-(-size // ROWS_PER_CALL) for size in (groups.total(), *groups.values()))


def links(groups: int) -> list[dict[str, str]]:
    """One link for each group: four statuses for each program."""
    return [
        {
            "event": f"event{group}",
            "program_id": str(FIRST_PROGRAM_ID + group // len(STATUSES)),
            "program_status": STATUSES[group % len(STATUSES)],
        }
        for group in range(groups)
    ]


def prepare(url: str, program_ids: set[str]) -> None:
    """Programs of the tradeshow channel."""
    programs = [
        {
            "id": int(program_id),
            "name": f"Program {program_id}",
            "type": "Event",
            "channel": "Tradeshow",
            "folder_id": 512,
        }
        for program_id in sorted(program_ids)
    ]
    post(url, "/_sandbox/seed", {"programs": programs})


def run(title: str, count: int, weights: Sequence[float]) -> tuple[Any, ...]:
    """One load, as a row of the table."""
    drawn = random.Random(SEED).choices(range(len(weights)), weights, k=count)
    made = links(len(weights))
    with tempfile.TemporaryDirectory(prefix="bench-calls-") as folder, sandbox("--fast") as url:
        prepare(url, {link["program_id"] for link in made})
        path = Path(folder) / "messages.jsonl"
        messages(path, (record(number, event_id=f"event{group}") for number, group in enumerate(drawn)))
        write(config(url, program_links=made), path, ENDLESS)
        assert members(url) == count
        delivering, every = calls(url)
    least = fewest(Counter(drawn))
    per_thousand = 1000 / count
    return (
        title,
        f"{count:,}",
        f"{delivering:,}",
        delivering * per_thousand,
        f"{least:,}",
        least * per_thousand,
        every - delivering,
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    count = parser.parse_args().records
    show(
        "calls",
        "calls per 1,000 records, each record another person",
        ("load", "records", "calls", "per 1,000", "fewest possible", "fewest per 1,000", "checks beforehand"),
        [
            run("one link", count, [1.0]),
            run("20 groups at random", count, [1.0] * 20),
            run("200 groups, long tail", count, [1 / (place + 1) for place in range(200)]),
        ],
    )


if __name__ == "__main__":
    main()
