"""Leads as CSV, for spreadsheets: one row a lead, then the columns of its record, which can be corrected and sent."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.hints import explain, hint_text
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.report.cells import flattened, leaf_cell, parsed, safe_cell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TextIO

    from destination_marketo_programs.report.cells import Leaf
    from destination_marketo_programs.report.summarise import Findings
    from destination_marketo_programs.report.tally import Lead, LeadOutcome

RECORD = "Record"
"""Title of the column that names the record: its `record_ref`, by which corrections are joined."""

RECORD_PREFIX = "record."
"""Before the titles of the columns that hold the record's own values."""

MAX_RECORD_COLUMNS = 300
MAX_TEXT = 2_000
"""Longest text about a lead, in characters, but for the cells of its record; the storage has it whole."""

BETWEEN = " | "
"""Stands between the values of several programs in one cell."""

_ALL_DIGITS = frozenset("0123456789e")


def columns(findings: Findings) -> dict[str, Callable[[LeadOutcome], str | int | None]]:
    """Titles, and what they show of an outcome; shared with the page, which makes the same columns."""

    def event(outcome: LeadOutcome) -> str | None:
        name = outcome.wide.event
        return None if name is None else findings.event_names.get(name, name)

    def program(outcome: LeadOutcome) -> str | None:
        number = outcome.cell.program_id
        if number is None:
            return None
        info = findings.program_info.get(number)
        return f"{info.name} ({number})" if info and info.name else str(number)

    return {
        "Event": event,
        "Program": program,
        "Status": lambda outcome: outcome.cell.program_status,
        "Outcome": lambda outcome: outcome.cell.outcome,
        "Reason": lambda outcome: explain(outcome.cell.category, outcome.cell.code).title if outcome.told else None,
        "Category": lambda outcome: outcome.cell.category,
        "Detail": lambda outcome: outcome.part,
        "Marketo code": lambda outcome: outcome.cell.code,
        "Message": lambda outcome: outcome.wide.message,
        "How to fix": lambda outcome: hint_text(outcome.cell.category, outcome.cell.code) if outcome.told else None,
        "Marketo lead id": lambda outcome: outcome.wide.lead_id,
        "Request id": lambda outcome: outcome.wide.request_id,
        "Time (UTC)": lambda outcome: outcome.wide.at,
        "Sending again may help": lambda outcome: "yes" if outcome.wide.retryable else "no",
    }


LEAD_COLUMNS = (RECORD, "Name", "Email", "Company", "Stream", "Key", "Since last sync")


def write_csv(file: TextIO, leads: Callable[[], Iterable[Lead]], findings: Findings) -> int:
    """Write the leads, one a row, and return their number.

    Args:
        file: text, opened with `newline=""`.
        leads: gives them, twice: first for the columns of their records.
        findings: of the same tally.
    """
    paths: dict[str, None] = {}
    for lead in leads():
        for path in leaves_of(lead):
            if len(paths) < MAX_RECORD_COLUMNS:
                paths.setdefault(path)
    shown = columns(findings)
    writer = csv.writer(file)
    writer.writerow([*LEAD_COLUMNS, *shown, *(safe_cell(RECORD_PREFIX + path) for path in paths)])
    count = 0
    for lead in leads():
        leaves = leaves_of(lead)
        writer.writerow([*row_of(lead, shown), *(leaf_cell(leaves.get(path)) for path in paths)])
        count += 1
    return count


def row_of(lead: Lead, shown: dict[str, Callable[[LeadOutcome], Any]]) -> list[str]:
    """The cells before those of the record."""
    first = lead.outcomes[0].wide
    stream = first.stream if first.namespace is None else f"{first.namespace}.{first.stream}"
    told = [each for each in lead.outcomes if each.cell.outcome == Result.REJECTED] or lead.outcomes
    cells = [
        ref_cell(first.ref),
        *(
            safe_cell(clipped(text or ""))
            for text in (lead.name, lead.email, lead.company, stream, first.key, lead.news)
        ),
    ]
    for of in shown.values():
        values = dict.fromkeys(clipped(str(value)) for each in told if (value := of(each)) not in {None, ""})
        cells.append(safe_cell(BETWEEN.join(values)))
    return cells


def clipped(text: str) -> str:
    """The text, cut if it is longer than `MAX_TEXT`."""
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def ref_cell(ref: str) -> str:
    """A record's digest. One that a spreadsheet would take for a number gets an apostrophe in front."""
    return f"'{ref}" if set(ref) <= _ALL_DIGITS else ref


def leaves_of(lead: Lead) -> dict[str, Leaf]:
    """The cells of the lead's record; none if it has none that can be read."""
    if lead.data is None:
        return {}
    try:
        record = parsed(lead.data)
    except ValueError:
        return {}
    return flattened(record) if isinstance(record, dict) else {}
