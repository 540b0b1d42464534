"""The summary of a plan: one structure, for people and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.text import SHARED_BY, shareable

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping

    from destination_marketo_programs.delivery.tally import ReasonCount, Tally
    from destination_marketo_programs.dryrun.forecast import Forecast
    from destination_marketo_programs.dryrun.marketo import Change
    from destination_marketo_programs.marketo.assets import Program

NOT_SHOWN: Final = "(not shown)"
"""Stands for all values of records that may not be shown (see `text.shareable`)."""


class ProgramSums(msgspec.Struct):
    """Records of one program and status by what would happen to them; no program for those that no link names."""

    program_id: int | None
    program_name: str | None
    program_status: str | None
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    rejected: int = 0


class MoveSums(msgspec.Struct):
    """Memberships of one program that would go from one status to another."""

    program_id: int
    program_name: str | None
    from_status: str
    to_status: str
    count: int


class PlannedFileGroup(msgspec.Struct):
    """Rows of one program and status that would go by file; see `files.GroupForecast`."""

    program_id: int
    program_name: str | None
    program_status: str
    rows: int
    files: int
    calls: int
    rest_rows: int


class PlannedImports(msgspec.Struct):
    """What would go by file; `calls` at most, `minutes` from the first upload to the end of the last job.

    The outcome of these rows in a sync is `imported` where the plan says created, updated or unchanged.
    """

    files: int
    rows: int
    calls: int
    minutes: float
    groups: list[PlannedFileGroup]


class PlannedCalls(msgspec.Struct):
    """What a write would cost with `method`; see `forecast.Forecast`.

    Attributes:
        imports: calls for files, at most.
        total: all calls; with files among them, at most.
        total_over_rest: all calls if everything went over REST.
        fits_budget: None if there is no budget.
    """

    method: str
    checks: int
    imports: int
    people: int
    memberships: int
    total: int
    total_over_rest: int
    minutes: float
    calls_per_20_seconds: int
    used_today: int
    daily_call_budget: int | None
    fits_budget: bool | None


class PlanSummary(msgspec.Struct):
    """What a sync of the input would do.

    Counts are of records x programs unless their name says otherwise: two records of one person are two of them, and
    one membership.

    Attributes:
        complete: whether the input was read to its end.
        records_rejected: records that some program would reject.
        unaskable_people: see `forecast.Forecast`.
        unmapped_qualifier_values, unlinked_events: how often each came; texts that may name a person are not shown.
        imports: None if nothing would go by file.
    """

    complete: bool
    records: int
    records_rejected: int
    people_created: int
    members_created: int
    members_moved: int
    unaskable_people: int
    outcomes: dict[str, int]
    programs: list[ProgramSums]
    moves: list[MoveSums]
    skipped: list[ReasonCount]
    rejected: list[ReasonCount]
    unmapped_qualifier_values: dict[str, int]
    unlinked_events: dict[str, int]
    calls: PlannedCalls
    imports: PlannedImports | None
    dry_run: bool = True


class Findings(NamedTuple):
    """What a run leaves behind for its sums."""

    tally: Tally
    changes: Mapping[Change, int]
    forecast: Forecast
    programs: Mapping[int, Program]


def summarise(findings: Findings, *, complete: bool) -> PlanSummary:
    """Sum up a run."""
    tally, forecast = findings.tally, findings.forecast
    missing, cost = forecast.calls_missing, forecast.cost
    return PlanSummary(
        complete=complete,
        records=tally.records_read,
        records_rejected=tally.records_rejected,
        people_created=forecast.people_created,
        members_created=forecast.members_created,
        members_moved=forecast.members_moved,
        unaskable_people=forecast.unaskable_people,
        outcomes={result.value: tally.by_outcome()[result] for result in Result if result != Result.IMPORTED},
        programs=_program_sums(findings),
        moves=[
            MoveSums(change.program_id, _name(findings, change.program_id), change.before, change.after, count)
            for change, count in sorted(findings.changes.items(), key=str)
            if change.before is not None
        ],
        skipped=tally.reasons(Result.SKIPPED),
        rejected=tally.reasons(Result.REJECTED),
        unmapped_qualifier_values=_shown_counts(tally.unmapped_values),
        unlinked_events=_shown_counts(tally.unlinked_events),
        calls=PlannedCalls(
            forecast.method,
            cost.checks,
            cost.imports,
            cost.people,
            cost.memberships,
            cost.total,
            forecast.calls_over_rest,
            round(forecast.minutes, 2),
            forecast.calls_per_20_seconds,
            forecast.calls_used_today,
            forecast.daily_call_budget,
            None if missing is None else missing == 0,
        ),
        imports=_imports(findings),
    )


def _imports(findings: Findings) -> PlannedImports | None:
    files = findings.forecast.files
    if files is None or not files.groups:
        return None
    groups = [
        PlannedFileGroup(group.program_id, _name(findings, group.program_id), *group[1:]) for group in files.groups
    ]
    return PlannedImports(files.files, files.rows, files.calls, round(files.seconds / 60, 2), groups)


def _name(findings: Findings, program_id: int | None) -> str | None:
    program = findings.programs.get(program_id) if program_id is not None else None
    return program.name if program is not None else None


def _program_sums(findings: Findings) -> list[ProgramSums]:
    return [
        ProgramSums(
            program_id,
            _name(findings, program_id),
            status or None,
            counts.created,
            counts.updated,
            counts.unchanged,
            counts.skipped,
            counts.rejected,
        )
        for (program_id, status), counts in findings.tally.programs().items()
    ]


def _shown_counts(counts: Counter[str]) -> dict[str, int]:
    """The most frequent first; values that may not be shown are counted together."""
    shown = {value: count for value, count in counts.most_common() if count >= SHARED_BY and shareable(value)}
    hidden = counts.total() - sum(shown.values())
    return {**shown, NOT_SHOWN: hidden} if hidden else shown
