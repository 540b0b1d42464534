"""The report as text, for terminals and logs."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.report.summary import Counts, Slice, Summary

MAX_ROWS = 20
"""Events or programs listed; the rest is in the page and in JSON."""

_INDENT = (0, 0, 0, 4)
# A terminal obeys control characters, and shows text in another order after a bidirectional one.
_UNSAFE = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def render_text(summary: Summary, width: int = 100) -> str:
    """The summary in lines of at most `width` characters; without colours. Values are made safe for a terminal."""
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False, emoji=False, markup=False)
    counts = summary.counts
    if summary.dry_run:
        console.print("DRY RUN: nothing was written to Marketo. This is what would have happened.\n")
    console.print(
        f"{_number(counts.total, 'outcome')} of {_number(summary.records, 'record')} "
        f"in {_number(len(summary.runs), 'sync')}: "
        f"{counts.delivered:,} delivered ({counts.created:,} created, {counts.updated:,} updated, "
        f"{counts.imported:,} imported), {counts.unchanged:,} unchanged, {counts.skipped:,} skipped, "
        f"{counts.rejected:,} rejected\n"
    )
    for outcome, heading in (("rejected", "To fix"), ("skipped", "Left out by the configuration")):
        reasons = [reason for reason in summary.reasons if reason.outcome == outcome]
        if reasons:
            console.print(f"{heading}:\n")
        for reason in reasons:
            code = f" {safe(reason.code)}" if reason.code else ""
            console.print(f"  {reason.count:,} x {reason.title} [{safe(reason.category or '')}{code}]")
            console.print(Padding(f"{reason.explanation} {reason.fix}", _INDENT))
            if reason.replay_command:
                # Whole, so that it can be pasted.
                console.print(Text(f"    $ {safe(reason.replay_command)}"), soft_wrap=True)
            console.print()
    console.print(_table("Program", summary.programs))
    console.print()
    console.print(_table("Event", summary.events))
    if len(summary.runs) > 1:
        console.print()
        console.print(_rows("Sync (UTC)", [(run.label, run.counts) for run in summary.runs]))
    assert isinstance(console.file, io.StringIO)  # noqa: S101 - it was made one above; says so to the type checker
    return console.file.getvalue()


def safe(text: str) -> str:
    """The text without characters that a terminal would obey."""
    return _UNSAFE.sub("�", text)


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _table(heading: str, slices: Sequence[Slice]) -> Table:
    shown = [(each.name or "(none)", each.counts) for each in slices[:MAX_ROWS]]
    table = _rows(heading, shown)
    if len(slices) > MAX_ROWS:
        table.caption = f"and {len(slices) - MAX_ROWS:,} more"
    return table


def _rows(heading: str, rows: Sequence[tuple[str, Counts]]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), caption_justify="left")
    table.add_column(heading, overflow="fold")
    for title in ("Delivered", "Unchanged", "Skipped", "Rejected"):
        table.add_column(title, justify="right")
    for name, counts in rows:
        numbers = (counts.delivered, counts.unchanged, counts.skipped, counts.rejected)
        table.add_row(Text(safe(name)[:200]), *(f"{number:,}" for number in numbers))
    return table
