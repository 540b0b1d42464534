"""A plan for people: tables and sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from destination_marketo_programs.dryrun.forecast import forecast_lines
from destination_marketo_programs.folding import broken
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.plan.wording import fate, program_name, record_name
from destination_marketo_programs.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import Console

    from destination_marketo_programs.delivery.tally import ReasonCount
    from destination_marketo_programs.dryrun.forecast import Forecast
    from destination_marketo_programs.marketo.assets import Program
    from destination_marketo_programs.outcomes import Outcome
    from destination_marketo_programs.plan.summary import PlanSummary, ProgramSums

SHOWN_PER_KIND = 5
MOST_FREQUENT = 10
_ORDER = (Result.REJECTED, Result.UPDATED, Result.CREATED, Result.UNCHANGED, Result.SKIPPED)
_STYLES = {Result.REJECTED: "red", Result.CREATED: "green", Result.UPDATED: "green", Result.SKIPPED: "yellow"}
LEAST_FATE_WIDTH = 44
"""Cells that a table must leave for what happens; else that stands below record and program."""


class Sample:
    """The first few outcomes of each kind, so that each is seen whatever the input; memory does not grow with it."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str | None], list[Outcome]] = {}
        self.seen = 0

    def add(self, outcome: Outcome) -> None:
        """Look at one outcome."""
        self.seen += 1
        kept = self._kinds.setdefault((outcome.outcome, outcome.category), [])
        if len(kept) < SHOWN_PER_KIND:
            kept.append(outcome)

    def outcomes(self) -> list[Outcome]:
        """The ones kept, those that need attention first."""
        return [
            outcome
            for result in _ORDER
            for (kind, _), kept in self._kinds.items()
            if kind == result
            for outcome in kept
        ]


def print_sample(console: Console, sample: Sample, programs: Mapping[int, Program], *, with_stream: bool) -> None:
    """The records as a table; where some are left out, how to see them."""
    shown = sample.outcomes()
    if not shown:
        return
    rows = [
        (
            record_name(outcome, with_stream=with_stream),
            program_name(outcome.program_id, programs),
            Text(fate(outcome), style=_STYLES.get(Result(outcome.outcome), "")),
        )
        for outcome in shown
    ]
    widths = [max(map(cell_len, names)) for names in ([row[0] for row in rows], [row[1] for row in rows])]
    if sum(widths) + LEAST_FATE_WIDTH <= console.width:
        _print_table(console, rows)
    else:
        _print_stacked(console, rows, widths[0])
    left = sample.seen - len(shown)
    if left:
        console.print(
            f"\nThese are {len(shown):,} of {sample.seen:,} lines, up to {SHOWN_PER_KIND} of each kind. For all of "
            "them send the output to a file, or use --format json."
        )
    console.print()


def _print_table(console: Console, rows: Sequence[tuple[str, str, Text]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("Record", no_wrap=True)
    table.add_column("Program", no_wrap=True)
    table.add_column("What would happen", overflow="fold")
    for record, program, told in rows:
        table.add_row(Text(record), Text(program), told)
    console.print(table)


def _print_stacked(console: Console, rows: Sequence[tuple[str, str, Text]], widest: int) -> None:
    """What happens on the lines below record and program: neither is broken as long as it fits on a line."""
    for record, program, told in rows:
        beside = widest + 2 + cell_len(program) <= console.width
        console.print(Text(f"{record:<{widest}}  {program}".rstrip() if beside else record, style="bold"))
        if program and not beside:
            console.print(Text(f"  {program}"))
        for piece in broken(f"    {told.plain}", console.width, hanging=0):
            console.print(Text(piece, style=told.style))


def print_summary(console: Console, summary: PlanSummary, forecast: Forecast, programs: Mapping[int, Program]) -> None:
    """The summary, most important last: that is what stays on the screen."""
    if not summary.complete:
        console.print("The plan is incomplete: the input was not read to its end.\n", style="bold red")
    rejected = f", {summary.records_rejected:,} of which would be rejected" if summary.records_rejected else ""
    noun = "record" if summary.records == 1 else "records"
    console.print(f"Plan for {summary.records:,} {noun}{rejected}. Nothing was written to Marketo.\n", style="bold")
    if summary.programs:
        console.print("Outcomes by program and status:")
        console.print(_program_table(summary.programs, programs))
        console.print()
    if summary.moves:
        console.print("Statuses that would be updated:")
        for move in summary.moves:
            program = program_name(move.program_id, programs)
            _print(
                console, f"  {move.count:,} in {program} from {quoted(move.from_status)} to {quoted(move.to_status)}"
            )
        console.print()
    _print_reasons(console, "Would be rejected:", summary.rejected)
    _print_reasons(console, "Would be skipped:", summary.skipped)
    _print_frequent(console, "Qualifier values that no qualifier mapping names:", summary.unmapped_qualifier_values)
    _print_frequent(console, "Events that no program link names:", summary.unlinked_events)
    for line in forecast_lines(forecast):
        _print(console, line, hanging=0)


def _print(console: Console, line: str, *, hanging: int = 2) -> None:
    for piece in broken(line, console.width, hanging=hanging):
        console.print(Text(piece))


def _program_table(lines: Sequence[ProgramSums], programs: Mapping[int, Program]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("Program", overflow="fold")
    table.add_column("Status", overflow="fold")
    for title in ("Created", "Updated", "Unchanged", "Skipped", "Rejected"):
        table.add_column(title, justify="right", no_wrap=True)
    for line in lines:
        counts = (line.created, line.updated, line.unchanged, line.skipped, line.rejected)
        table.add_row(
            Text(program_name(line.program_id, programs) or "(no program)"),
            Text(quoted(line.program_status) if line.program_status else ""),
            *(f"{count:,}" if count else "-" for count in counts),
        )
    return table


def _print_reasons(console: Console, heading: str, reasons: Sequence[ReasonCount]) -> None:
    if not reasons:
        return
    console.print(heading)
    for reason in reasons:
        code = f", Marketo code {reason.code}" if reason.code else ""
        _print(console, f"  {reason.count:,} × {reason.title} ({reason.category}{code})")
        _print(console, f"    {reason.fix}", hanging=0)
    console.print()


def _print_frequent(console: Console, heading: str, counts: Mapping[str, int]) -> None:
    if not counts:
        return
    console.print(heading)
    for value, count in list(counts.items())[:MOST_FREQUENT]:
        _print(console, f"  {count:,} × {quoted(value)}")
    if len(counts) > MOST_FREQUENT:
        console.print(f"  and {len(counts) - MOST_FREQUENT:,} more; --format json lists them")
    console.print()
