"""The report as text, for terminals and logs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from destination_marketo_programs.summary import sums
from destination_marketo_programs.text import counted, on_one_line, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.summary import Counts, Reason, Slice, Summary

MAX_ROWS = 20
"""Events, programs, syncs or parts of a reason listed; the rest is in the page and in JSON."""

MAX_NAME = 60
HEADINGS = {
    "you": "You can fix",
    "source": "To fix in the source",
    "nobody": "Skipped by your configuration",
}


def render_text(summary: Summary, width: int = 100) -> str:
    """The summary in lines of at most `width` characters, without colours and without blanks at their ends.

    Values are made safe for a terminal. Commands are whole, however long, so that they can be pasted.
    """
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False, emoji=False, markup=False)
    if summary.dry_run:
        console.print("DRY RUN: nothing was written to Marketo. This is what would have happened.\n")
    console.print(headline(summary))
    console.print(f"{sums(summary.leads, summary.outcomes)}\n")
    for who, heading in HEADINGS.items():
        reasons = [reason for reason in summary.reasons if reason.who == who]
        if reasons:
            console.print(f"{heading}:\n")
        for reason in reasons:
            _print_reason(console, reason)
    console.print(_table("Program", summary.programs, width))
    console.print()
    console.print(_table("Event", summary.events, width))
    if len(summary.runs) > 1:
        console.print()
        console.print(_rows("Sync (UTC)", [(run.label, run.counts) for run in summary.runs[-MAX_ROWS:]], width))
    for note in notes(summary):
        console.print(f"\n{note}")
    assert isinstance(console.file, io.StringIO)  # noqa: S101 - it was made one above; says so to the type checker
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def headline(summary: Summary) -> str:
    """The first sentence of every form: how many leads were not delivered."""
    leads = summary.leads
    if not leads.total:
        return "No leads."
    if not leads.rejected:
        return f"No lead was rejected: {counted(leads.total, 'lead')}."
    was = "was" if leads.rejected == 1 else "were"
    return f"{leads.rejected:,} of {counted(leads.total, 'lead')} {was} not delivered."


def notes(summary: Summary) -> list[str]:
    """What a reader must know about the figures."""
    lines, unknown, dry = summary.unreadable, summary.unknown, summary.dry_run_left_out
    found = []
    if lines:
        found.append(f"{counted(lines, 'line')} could not be read and {_are(lines)} not counted.")
    if unknown:
        found.append(
            f"{counted(unknown, 'outcome')} of a later version {_are(unknown)} not counted. "
            "Use that version to include them."
        )
    if dry:
        found.append(f"{counted(dry, 'outcome')} of dry runs {_are(dry)} not counted.")
    return found


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _print_reason(console: Console, reason: Reason) -> None:
    code = f", Marketo code {printable(reason.code)}" if reason.code else ""
    console.print(Padding(f"{counted(reason.leads, 'lead')}: {reason.title}", (0, 0, 0, 2)))
    console.print(Padding(f"{on_one_line(reason.category or '')}{code}", (0, 0, 0, 4)))
    for part in reason.parts[:MAX_ROWS]:
        console.print(
            Padding(f"{part.leads:,} x {on_one_line(part.name, MAX_NAME) or '(nothing given)'}", (0, 0, 0, 6))
        )
    console.print(Padding(f"{reason.explanation} {reason.fix}", (0, 0, 0, 4)))
    if reason.again:
        # Whole, so that it can be pasted.
        console.print(Text(f"    $ {reason.again}"), soft_wrap=True)
    console.print()


def _table(heading: str, slices: Sequence[Slice], width: int) -> Table:
    shown = [(f"{each.label} ({each.name})" if each.label else each.name or "(none)", each.counts) for each in slices]
    table = _rows(heading, shown[:MAX_ROWS], width)
    if len(slices) > MAX_ROWS:
        table.caption = f"and {len(slices) - MAX_ROWS:,} more"
    return table


def _rows(heading: str, rows: Sequence[tuple[str, Counts]], width: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left")
    table.add_column(heading, overflow="fold")
    for title in ("Delivered", "Unchanged", "Skipped", "Rejected"):
        table.add_column(title, justify="right", no_wrap=True)
    for name, counts in rows:
        numbers = (counts.delivered, counts.unchanged, counts.skipped, counts.rejected)
        table.add_row(Text(on_one_line(name, max(20, width - 50))), *(f"{number:,}" for number in numbers))
    return table
