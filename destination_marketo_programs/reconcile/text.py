"""What `reconcile` prints: tables and sentences for people, or a line of JSON for each lead and program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from destination_marketo_programs.jsontext import for_terminals
from destination_marketo_programs.reconcile.fix import Fix
from destination_marketo_programs.reconcile.verdicts import FIXABLE, OPEN, Verdict
from destination_marketo_programs.text import counted, on_one_line, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from rich.console import Console

    from destination_marketo_programs.reconcile.compare import Finding
    from destination_marketo_programs.reconcile.confirm import Confirmed
    from destination_marketo_programs.reconcile.running import Findings, ProgramFindings

MAX_LEADS_LISTED = 20
"""Leads of one program in text; JSON has all of them."""

_INDENT = (0, 0, 0, 2)
_COMMAND = "  "
_MAY_WRAP = ("Sent", "In Marketo", "Fix")
_VERDICTS = {
    Verdict.AS_SENT: ("as sent", "in the status that was sent"),
    Verdict.AHEAD: ("ahead", "at a higher step"),
    Verdict.BESIDE: ("beside", "in another status of the same step"),
    Verdict.BEHIND: ("behind", "at a lower step: somebody moved them back"),
    Verdict.MISSING: ("missing", "not in the program"),
    Verdict.PERSON_GONE: ("person gone", "deleted from Marketo, or merged and not traced"),
}
_FIXES = {
    Fix.SENT: "sent again",
    Fix.ALREADY_RIGHT: "right by now",
    Fix.REMOVED_BY_HAND: "left alone: removed in Marketo",
    Fix.NOT_CHECKED: "left alone: not checked",
    Fix.CHANGED_MEANWHILE: "left alone: changed meanwhile",
    Fix.REFUSED: "refused",
}
NO_ACTIVITIES = (
    "Leads that are missing were not sent again, because the API user may not read activities, and somebody may have "
    "removed them on purpose. Give its role the permission Read-Only Activity (Admin > Users & Roles) and run the "
    "command again."
)


class Line(msgspec.Struct):
    """One lead and program, as JSON shows it.

    Attributes:
        lead_id: the lead's id by now.
        program_status: the status that was sent.
        status_in_marketo: null if the lead is not a member.
        delivered_at: time of the latest outcome, UTC.
        merged_from: the id that the outcome names, if that person was merged into `lead_id`.
        fix: what `--fix` did, see `Fix`; null if nothing was tried.
        code: Marketo's code, if it refused the fix.
    """

    program_id: int
    program: str | None
    lead_id: int | None
    verdict: str
    program_status: str
    status_in_marketo: str | None
    delivered_at: str
    stream: str
    record_key: str
    record_ref: str
    merged_from: int | None
    fix: str | None
    code: str | None


def json_lines(found: Iterable[Finding], names: Mapping[int, str]) -> Iterator[bytes]:
    """A line for each finding."""
    for one in found:
        line = Line(
            one.program,
            names.get(one.program) or None,
            one.lead,
            one.verdict,
            one.sent,
            one.found,
            one.at,
            one.stream,
            one.record_key,
            one.ref,
            one.was,
            one.fix,
            one.code,
        )
        yield for_terminals(msgspec.json.encode(line)) + b"\n"


def print_text(
    console: Console,
    found: Findings,
    open_leads: Callable[[int, int], Sequence[Finding]],
    command: str,
) -> None:
    """Print tables by program and what to do next.

    Args:
        console: takes it.
        found: the findings.
        open_leads: gives the first leads of a program that somebody has to look at.
        command: to copy, without `--fix`.
    """
    for program in found.programs:
        _print_program(console, program, open_leads(program.id, MAX_LEADS_LISTED))
    if not found.programs and not found.gone:
        console.print("No outcome of a delivered lead was found, so there is nothing to compare.\n")
    for number in found.gone:
        console.print(
            f"Program {number} was not compared: Marketo does not show it to this API user. Check whether it was "
            "deleted, or moved to a workspace that the user cannot see.\n"
        )
    for sentence in (*found.notes, *_imports(found.confirmed), *_next_steps(found, command)):
        # A command that is folded cannot be copied.
        console.print(sentence, soft_wrap=sentence.startswith(_COMMAND))


def _print_program(console: Console, program: ProgramFindings, leads: Sequence[Finding]) -> None:
    title = f"{quoted(program.name)} ({program.id})" if program.name else f"Program {program.id}"
    console.print(f"{title}: {counted(program.leads, 'lead')} delivered", style="bold")
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for verdict, (name, meaning) in _VERDICTS.items():
        count = program.verdicts.get(verdict, 0)
        style = "dim" if not count else "bold" if verdict in OPEN else ""
        table.add_row(name, f"{count:,}", Text(meaning, "" if count else "dim"), style=style)
    console.print(Padding(table, _INDENT))
    if program.from_elsewhere is None:
        console.print("  How many other members it has was not counted: only these leads were read.")
    else:
        console.print(f"  {counted(program.from_elsewhere, 'other member')} did not come from here.")
    if leads:
        console.print(Padding(_table_of(leads), (1, 0, 0, 2)))
        count = sum(program.verdicts.get(verdict, 0) for verdict in OPEN)
        if count > len(leads):
            console.print(f"  and {count - len(leads):,} more; --format json lists all of them.")
    console.print()


def _table_of(leads: Sequence[Finding]) -> Table:
    fixed = any(lead.fix for lead in leads)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("Lead", "Verdict", "Sent", "In Marketo", "Delivered", "Record", *(("Fix",) if fixed else ())):
        table.add_column(name, overflow="fold", no_wrap=name not in _MAY_WRAP)
    for lead in leads:
        row: list[str | Text] = [
            str(lead.lead or "not known"),
            _VERDICTS[lead.verdict][0],
            Text(on_one_line(lead.sent)),
            Text(on_one_line(lead.found or "–")),
            lead.at.replace("T", " ").removesuffix("Z"),
            lead.ref,
        ]
        if fixed:
            code = f" ({lead.code})" if lead.code else ""
            row.append(_FIXES[Fix(lead.fix)] + code if lead.fix else "–")
        table.add_row(*row)
    return table


def _imports(confirmed: Confirmed | None) -> Iterator[str]:
    if confirmed is None:
        return
    exact = confirmed.created + confirmed.updated + confirmed.unchanged
    if exact:
        yield (
            f"Confirmed {counted(exact, 'imported row')}: {confirmed.created:,} created, "
            f"{confirmed.updated:,} updated, {confirmed.unchanged:,} unchanged. Stored with the outcomes."
        )
    if confirmed.by_position:
        yield (
            f"{counted(confirmed.by_position, 'imported row')} stay as they are: their records have no key, so a later "
            "line could not replace theirs."
        )
    if confirmed.undated:
        yield f"{counted(confirmed.undated, 'imported row')} stay as they are: the times to compare are not known."


def _next_steps(found: Findings, command: str) -> Iterator[str]:
    totals = {verdict: sum(program.verdicts.get(verdict, 0) for program in found.programs) for verdict in Verdict}
    if found.fixed:
        parts = [f"{counted(found.fixed[fix], 'lead')} {text}" for fix, text in _FIXES.items() if fix in found.fixed]
        yield f"Fix: {'; '.join(parts)}."
        if not found.may_read_activities:
            yield NO_ACTIVITIES
    elif fixable := sum(totals[verdict] for verdict in FIXABLE):
        yield f"{counted(fixable, 'lead is', 'leads are')} behind or missing. To send them again, run:"
        yield f"{_COMMAND}{command} --fix"
    if gone := found.people_gone:
        yield (
            f"{counted(gone, 'person is', 'people are')} no longer in Marketo under the ID or email that is stored. "
            "If they should be there, send their records again: find them by the record column in the outcome files."
        )
    if found.programs and not found.open and not found.gone:
        yield "Every lead that was delivered is in Marketo, in the status that was sent or a later one."
