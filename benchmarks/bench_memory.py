"""`lead_sync.send: changes` over records of which few or none have changed: calls, records per second, memory.

    python benchmarks/bench_memory.py [--records 100000] [--changed 500]

Ten lead fields, one link. The first sync sends everything; the second finds nothing new; in the third some records say
something else. "After start-up" leaves out what the same command takes with no input at all.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import ENDLESS, calls, config, messages, record, sandbox, show, write

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELDS = 10


def configuration(url: str, folder: Path) -> dict[str, Any]:
    """Ten lead fields, and a memory."""
    made = config(
        url, lead_sync={"send": "changes"}, object_storage_config={"storage_type": "Local", "path": str(folder)}
    )
    made["field_mappings"].append({"record_field": "c9", "marketo_object": "lead", "marketo_field": "company"})
    assert len(made["field_mappings"]) == FIELDS
    return made


def records(count: int, changed: int) -> Iterator[bytes]:
    """The same ones each time; every so many of them says something else in one field."""
    every = count // changed if changed else 0
    for number in range(count):
        more = {"c2": f"changed {number}"} if every and number % every == 0 and number // every < changed else {}
        yield record(number, **{"c9": f"company {number % 999}", **more})


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--changed", type=int, default=500)
    arguments = parser.parse_args()
    count = arguments.records
    rows: list[tuple[Any, ...]] = []
    with tempfile.TemporaryDirectory(prefix="bench-memory-") as name, sandbox("--fast") as url:
        folder, path = Path(name) / "outcomes", Path(name) / "messages.jsonl"
        made = configuration(url, folder)
        loads = (("everything new", 0), ("nothing changed", 0), (f"{arguments.changed:,} changed", arguments.changed))
        for what, changed in loads:
            messages(path, records(count, changed))
            idle = write(made, Path("/dev/null"), ENDLESS)
            before = calls(url)[0]
            result = write(made, path, ENDLESS)
            (memory,) = folder.glob("memory-*")
            rows.append(
                (
                    what,
                    calls(url)[0] - before,
                    count / (result.seconds - idle.seconds),
                    count / result.seconds,
                    (result.cpu_seconds - idle.cpu_seconds) / count * 1e6,
                    result.peak_mb,
                    memory.stat().st_size / 1e6,
                )
            )
    show(
        "memory",
        f"lead_sync.send: changes, {count:,} records of ten lead fields",
        (
            "sync",
            "calls that deliver",
            "records/s after start-up",
            "records/s",
            "CPU µs per record",
            "peak MB",
            "memory file MB",
        ),
        rows,
    )


if __name__ == "__main__":
    main()
