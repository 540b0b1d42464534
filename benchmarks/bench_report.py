"""How long a report over a million outcomes takes, and how much memory.

    python benchmarks/bench_report.py [--outcomes 1000000] [--json FILE]

The outcomes are written through the product's own folder store (timed as well), 10% of them rejected, one record in
ten sent again by a second sync. The report is measured in a process of its own. Aim: under 60 s and 300 MB.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.hints import hint_text
from destination_marketo_programs.outcomes import Category, Outcome, Result
from destination_marketo_programs.storage import open_store

AIM_SECONDS = 60.0
AIM_MEGABYTES = 300.0
START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
REJECTIONS = ((Category.DUPLICATE_LEADS, "1007"), (Category.INVALID_EMAIL, None), (Category.FIELD_INVALID, "1001"))
RESULTS = (Result.CREATED, Result.UPDATED, Result.UNCHANGED, Result.IMPORTED, Result.SKIPPED)
_REPORT = """
import argparse, sys
from destination_marketo_programs.report import cli
parser = argparse.ArgumentParser()
cli.add_arguments(parser)
sys.exit(cli.main(parser.parse_args()))
"""


def outcome_of(number: int, at: str, *, again: bool) -> Outcome:
    program = 1000 + number % 7
    made = Outcome(
        "event_leads", f"3f2b8c1e-{number:012x}", str(4700 + number % 40), program, "Attended", RESULTS[number % 5]
    )
    made.at, made.lead_id, made.request_id = at, number, f"a41c#{number // 300:x}"
    if number % 20 in {0, 7} and not again:
        made.outcome = Result.REJECTED
        made.category, made.code = REJECTIONS[number // 20 % 3]
        made.message, made.hint = f"Value {number} refused", hint_text(made.category, made.code)
    elif made.outcome == "skipped":
        made.category = Category.BELOW_SCAN_THRESHOLD
    return made


def write_outcomes(folder: Path, count: int) -> float:
    """Write about `count` outcomes in two syncs, and return the seconds that it took."""
    first = count * 10 // 11
    started = time.perf_counter()
    for day, (numbers, again) in enumerate(((range(first), False), (range(0, first, 10), True))):
        begin = START + timedelta(days=day)
        store = open_store(LocalStorage(path=str(folder)), sync_started_at=begin, run_id=f"bench{day}")
        for number in numbers:
            at = (begin + timedelta(seconds=number // 3_000)).strftime("%Y-%m-%dT%H:%M:%SZ")
            outcome = outcome_of(number, at, again=again)
            store.add(outcome)
            if outcome.outcome == "rejected":
                data = f'{{"id":"{number}","firstName":"Ada","lastName":"L{number}","email":"a{number}@x.example"}}'
                line = f'{{"type":"RECORD","record":{{"stream":"event_leads","data":{data},"emitted_at":1}}}}'
                store.add_rejected(line.encode(), [outcome])
            if number % 30_000 == 0:
                store.commit()
        store.close()
    return time.perf_counter() - started


def measure_report(folder: Path) -> tuple[float, float]:
    """Seconds and peak megabytes (10^6 bytes) of the `report` command."""
    arguments = [sys.executable, "-c", _REPORT, str(folder), "--output", str(folder / "report.html")]
    started = time.perf_counter()
    process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"report ended with {process.returncode}")
    return seconds, usage.ru_maxrss * 1024 / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--outcomes", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "report.json")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-report-") as name:
        folder = Path(name)
        write_seconds = write_outcomes(folder, arguments.outcomes)
        file_bytes = sum(path.stat().st_size for path in folder.iterdir())
        seconds, megabytes = measure_report(folder)
        page_bytes = (folder / "report.html").stat().st_size
    figures = {
        "outcomes": arguments.outcomes,
        "file_megabytes": round(file_bytes / 1e6, 1),
        "write_seconds": round(write_seconds, 2),
        "report_seconds": round(seconds, 2),
        "report_peak_megabytes": round(megabytes, 1),
        "page_megabytes": round(page_bytes / 1e6, 2),
    }
    print("| Measure | Figure | Aim |\n|---|---|---|")
    print(f"| Outcomes | {arguments.outcomes:,} in {figures['file_megabytes']} MB | |")
    print(f"| Written to a folder | {write_seconds:.1f} s | |")
    print(f"| Report | {seconds:.1f} s | < {AIM_SECONDS:.0f} s |")
    print(f"| Peak memory of the report | {megabytes:.0f} MB | < {AIM_MEGABYTES:.0f} MB |")
    print(f"| Page | {figures['page_megabytes']} MB | |")
    arguments.json.parent.mkdir(exist_ok=True)
    arguments.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
