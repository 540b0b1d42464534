"""From a tally to what the report says."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.hints import explain
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.report.summary import Counts, Reason, Slice, Summary, SyncRun
from destination_marketo_programs.storage import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from destination_marketo_programs.report.summary import Cell
    from destination_marketo_programs.report.tally import RunTally, Tally
    from destination_marketo_programs.storage import OutcomeFile

MAX_BARS = 40
"""A timeline with more bars than this is put together by day, and then by month."""

_S3 = "s3://"
_LEN_DAY, _LEN_MONTH = len("2026-11-23"), len("2026-11")


@dataclass(frozen=True)
class Findings:
    """The summary, and the counts it was made of, for whoever filters them further."""

    summary: Summary
    cells: Counter[Cell]


def summarise(tally: Tally, locations: Sequence[str], now: datetime) -> Findings:
    """All that the report says but for the list of leads.

    Args:
        tally: open.
        locations: as the user gave them.
        now: aware time of the report.
    """
    cells = tally.cells()
    dry = Counter({cell: count for cell, count in cells.items() if cell.dry_run})
    real = cells - dry
    counted = real or dry
    summary = Summary(
        generated_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        locations=list(locations),
        first_at=tally.first_at,
        last_at=tally.last_at,
        records=tally.records(dry_run=not real),
        counts=_sum(counted.items()),
        dry_run=bool(dry) and not real,
        dry_run_left_out=dry.total() if real else 0,
        other_events=tally.other_events,
        reasons=_reasons(counted, tally.files),
        events=_slices(counted, lambda cell: cell.event),
        programs=_slices(counted, lambda cell: None if cell.program_id is None else str(cell.program_id)),
        runs=_runs(tally.runs.values()),
    )
    return Findings(summary, counted)


def replay_command(category: str | None, code: str | None, files: Sequence[OutcomeFile]) -> str | None:
    """Shell command that sends the rejected records of one kind again; None without a rejected file."""
    folders = sorted({file.location.rpartition("/")[0] for file in files if file.kind is Kind.REJECTED})
    if not folders:
        return None
    fetches = [
        f"aws s3 cp --recursive --exclude '*' --include 'rejected-*.jsonl' {shlex.quote(folder)} rejected-leads"
        for folder in folders
        if folder.startswith(_S3)
    ]
    local = [folder for folder in folders if not folder.startswith(_S3)]
    if len(local) > 1:
        local = [os.path.commonpath(local)]
    places = " ".join(map(shlex.quote, [*local, *(["rejected-leads"] if fetches else [])]))
    pair = msgspec.json.encode({"category": category, "code": code}).decode()[1:-1]
    send = (
        f"grep -rhF --include='rejected-*.jsonl' {shlex.quote(pair)} {places} | "
        "destination-marketo-programs write --config config.json --catalog catalog.json"
    )
    return " && ".join([*fetches, send])


def _sum(cells: Iterable[tuple[Cell, int]]) -> Counts:
    counts = Counts()
    for cell, count in cells:
        counts.add(cell.outcome, count)
    return counts


def _reasons(cells: Counter[Cell], files: Sequence[OutcomeFile]) -> list[Reason]:
    by_kind: Counter[tuple[str, str | None, str | None]] = Counter()
    for cell, count in cells.items():
        if cell.outcome in {Result.REJECTED, Result.SKIPPED}:
            by_kind[cell.outcome, cell.category, cell.code] += count
    reasons = []
    for (outcome, category, code), count in by_kind.items():
        hint = explain(category, code)
        command = replay_command(category, code, files) if outcome == Result.REJECTED else None
        reasons.append(Reason(outcome, category, code, count, hint.title, hint.explanation, hint.fix, command))
    return sorted(reasons, key=lambda reason: (reason.outcome != Result.REJECTED, -reason.count, reason.title))


def _slices(cells: Counter[Cell], name_of: Callable[[Cell], str | None]) -> list[Slice]:
    by_name: dict[str | None, Counts] = {}
    for cell, count in cells.items():
        by_name.setdefault(name_of(cell), Counts()).add(cell.outcome, count)
    slices = [Slice(name, counts) for name, counts in by_name.items()]
    return sorted(slices, key=lambda each: (-each.counts.rejected, -each.counts.total, each.name or ""))


def _runs(runs: Iterable[RunTally]) -> list[SyncRun]:
    ordered = sorted(runs, key=lambda run: (run.started_at, run.number))
    if len(ordered) <= MAX_BARS:
        return [SyncRun(run.started_at[:16].replace("T", " "), run.counts) for run in ordered]
    days = _together(ordered, _LEN_DAY)
    return days if len(days) <= MAX_BARS else _together(ordered, _LEN_MONTH)


def _together(runs: Iterable[RunTally], length: int) -> list[SyncRun]:
    periods: dict[str, Counts] = {}
    for run in runs:
        counts = periods.setdefault(run.started_at[:length], Counts())
        for result in Result:
            counts.add(result, getattr(run.counts, result))
    return [SyncRun(label, counts) for label, counts in periods.items()]
