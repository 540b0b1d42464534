"""The full list of rejected leads as CSV, for spreadsheets."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from destination_marketo_programs.report.summary import Lead

COLUMNS = {
    "at": "Time (UTC)",
    "name": "Name",
    "email": "Email",
    "company": "Company",
    "event": "Event",
    "program_id": "Program",
    "program_status": "Status",
    "category": "Category",
    "code": "Marketo code",
    "message": "Message",
    "hint": "How to fix",
    "lead_id": "Marketo lead id",
    "stream": "Stream",
    "record_key": "Record key",
    "request_id": "Request id",
    "retryable": "Sending again may help",
}

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")


def write_csv(path: Path, leads: Iterable[Lead]) -> int:
    """Write the leads, one a row, and return their number. With a byte order mark, for Excel.

    Raises:
        OSError: the file cannot be written.
    """
    count = 0
    with path.open("w", encoding="utf-8-sig", errors="replace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS.values())
        for lead in leads:
            writer.writerow([cell_text(getattr(lead, name)) for name in COLUMNS])
            count += 1
    return count


def cell_text(value: str | int | bool | None) -> str:
    """The value as a spreadsheet may show it: text that would run as a formula gets an apostrophe in front."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return str(value)
        case _:
            text = value.replace("\0", "")
            return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text
