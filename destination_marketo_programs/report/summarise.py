"""From a tally to what the report says."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.hints import explain
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.shell import shell_word
from destination_marketo_programs.storage import Kind
from destination_marketo_programs.summary import (
    Cell,
    Counts,
    Part,
    Reason,
    Slice,
    Summary,
    SyncRun,
    Verdict,
    who_acts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from destination_marketo_programs.report.database import Database, RunTally
    from destination_marketo_programs.report.tally import ReasonKey, ReasonTally, Tally
    from destination_marketo_programs.storage import OutcomeFile
    from destination_marketo_programs.storage.runs import ProgramInfo, ReconcileFile

MAX_BARS = 200
"""A timeline with more bars than this is put together by day, and then by month."""

MAX_PARTS_SHOWN = 50

_WHO_ORDER = ("you", "source", "nobody")
_LEN_MINUTE, _LEN_DAY, _LEN_MONTH = len("2026-11-23T10:00"), len("2026-11-23"), len("2026-11")


@dataclass(frozen=True)
class Bar:
    """One sync, or a period of several, with its outcomes by number of their cell."""

    run: SyncRun
    cells: Counter[int]
    numbers: frozenset[int]


@dataclass(frozen=True)
class Findings:
    """The summary, and what it was made of, for whoever filters it further.

    Attributes:
        cells: see `Database`.
        app_address: of Marketo's application, blank if no run file tells it.
        program_info, event_names: from the run files, newest first.
        reconciled: the newest verdicts; None if `reconcile` never ran.
    """

    summary: Summary
    bars: list[Bar]
    cells: list[tuple[Cell, str]]
    app_address: str
    program_info: dict[int, ProgramInfo]
    event_names: dict[str, str]
    reconciled: ReconcileFile | None


def summarise(tally: Tally, locations: Sequence[str], now: datetime) -> Findings:
    """All that the report says but for the list of leads.

    Args:
        tally: open.
        locations: as the user gave them.
        now: aware time of the report.
    """
    database = tally.database
    runs = database.run_files
    reconciled = database.reader.reconciled(locations)
    info: dict[int, ProgramInfo] = {}
    events: dict[str, str] = {}
    for run in runs:
        for program in run.programs:
            info.setdefault(program.id, program)
        for event, name in run.events.items():
            events.setdefault(event, name)
    counted = Counter[Cell]()
    for number, count in tally.cells.items():
        counted[database.cells[number][0]] += count
    bars = _bars(tally)
    summary = Summary(
        generated_at=now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        locations=[readable(location) for location in locations],
        first_at=database.first_at,
        last_at=database.last_at,
        leads=tally.leads,
        outcomes=_sum(counted.items()),
        since_last={name: tally.since_last[name] for name in ("new", "still", "fixed")},
        dry_run=tally.dry_run,
        dry_run_left_out=tally.dry_run_left_out,
        other_events=database.other_events,
        unreadable=sum(database.reader.unreadable.values()),
        unknown=database.unknown,
        reasons=_reasons(tally, database),
        events=_slices(counted, lambda cell: cell.event, lambda name: events.get(name, "")),
        programs=_slices(
            counted,
            lambda cell: None if cell.program_id is None else str(cell.program_id),
            lambda name: info[int(name)].name if int(name) in info else "",
        ),
        runs=[bar.run for bar in bars],
        verdicts=_verdicts(reconciled[:1], info),
    )
    app_address = next((run.app_address for run in runs if run.app_address), "")
    return Findings(summary, bars, database.cells, app_address, info, events, reconciled[0] if reconciled else None)


def command_again(category: str | None, files: Sequence[OutcomeFile]) -> str | None:
    """Shell command that sends the rejected records of one category again; None without a rejected file.

    It can be shown on any terminal and pasted into any shell of today, whatever the folders are called.
    """
    folders = sorted({file.location.rpartition("/")[0] for file in files if file.kind is Kind.REJECTED})
    if not folders or not category:
        return None
    places = " ".join(shell_word(folder) for folder in folders)
    return f"destination-marketo-programs retry {places} --config config.json --category {shell_word(category)}"


def readable(location: str) -> str:
    """A path as text that can be stored and shown: bytes that are not text become question marks."""
    return location.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _sum(cells: Iterable[tuple[Cell, int]]) -> Counts:
    counts = Counts()
    for cell, count in cells:
        counts.add(cell.outcome, count)
    return counts


def _reasons(tally: Tally, database: Database) -> list[Reason]:
    reasons = [_reason(key, found, database) for key, found in tally.reasons.items()]
    return sorted(reasons, key=lambda each: (_WHO_ORDER.index(each.who), -each.leads, each.title, each.code or ""))


def _reason(key: ReasonKey, found: ReasonTally, database: Database) -> Reason:
    outcome, category, code = key
    hint = explain(category, code)
    cells = set[int]().union(*found.cells.values())
    helps = outcome == Result.REJECTED and not cells.isdisjoint(database.retryable)
    split = len(found.parts) > 1 or any(found.parts)
    parts = [
        _part(name, leads, found.cells[name], database) for name, leads in found.parts.most_common(MAX_PARTS_SHOWN)
    ]
    return Reason(
        outcome,
        category,
        code,
        found.count,
        found.leads,
        hint.title,
        hint.explanation,
        hint.fix,
        who_acts(outcome, category),
        parts if split else [],
        command_again(category, database.files) if helps else None,
    )


def _part(name: str, leads: int, cells: Iterable[int], database: Database) -> Part:
    entries: list[msgspec.Raw] = []
    for mapping in dict.fromkeys(database.mappings[cell] for cell in sorted(cells) if cell in database.mappings):
        entries += msgspec.json.decode(mapping, type=list[msgspec.Raw])
    programs = {program for cell in cells if (program := database.cells[cell][0].program_id) is not None}
    text = ",\n".join(bytes(entry).decode() for entry in dict.fromkeys(map(bytes, entries))) if entries else None
    return Part(name, leads, sorted(programs), text)


def _slices(cells: Counter[Cell], name_of: Callable[[Cell], str | None], label_of: Callable[[str], str]) -> list[Slice]:
    by_name: dict[str | None, Counts] = {}
    for cell, count in cells.items():
        by_name.setdefault(name_of(cell), Counts()).add(cell.outcome, count)
    slices = [Slice(name, counts, "" if name is None else label_of(name)) for name, counts in by_name.items()]
    return sorted(slices, key=lambda each: (-each.counts.rejected, -each.counts.total, each.name or ""))


def _verdicts(newest: Sequence[ReconcileFile], info: dict[int, ProgramInfo]) -> list[Verdict]:
    return [
        Verdict(
            program.program_id,
            program.name or (info[program.program_id].name if program.program_id in info else ""),
            file.at,
            msgspec.to_builtins(program.verdicts),
            program.from_elsewhere,
        )
        for file in newest
        for program in file.programs
    ]


def _bars(tally: Tally) -> list[Bar]:
    runs = [run for run in tally.database.runs.values() if not run.confirming and run.dry_run == tally.dry_run]
    runs.sort(key=lambda run: (run.started_at, run.number))
    syncs: dict[str, list[RunTally]] = {}
    for run in runs:
        syncs.setdefault(run.sync, []).append(run)
    minutes = Counter(attempts[0].started_at[:_LEN_MINUTE] for attempts in syncs.values())
    bars = []
    for attempts in syncs.values():
        started = attempts[0].started_at
        alone = minutes[started[:_LEN_MINUTE]] == 1
        label = started[:_LEN_MINUTE] if alone else f"{started.rstrip('Z')} {attempts[0].number}"
        bars.append(_bar(label.replace("T", " "), attempts, tally))
    for length in (_LEN_DAY, _LEN_MONTH):
        if len(bars) > MAX_BARS:
            periods: dict[str, list[RunTally]] = {}
            for run in runs:
                periods.setdefault(run.started_at[:length], []).append(run)
            bars = [_bar(label, together, tally) for label, together in periods.items()]
    return bars


def _bar(label: str, runs: Sequence[RunTally], tally: Tally) -> Bar:
    counts, cells = Counts(), Counter[int]()
    new = still = fixed = 0
    for run in runs:
        cells.update(run.cells)
        for result in Result:
            counts.add(result, getattr(run.counts, result))
        if (news := tally.run_news.get(run.number)) is not None:
            new, still, fixed = new + news.new, still + news.still, fixed + news.fixed
    return Bar(SyncRun(label, counts, new, still, fixed), cells, frozenset(run.number for run in runs))
