"""From places that hold outcomes to a report in one of its forms."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from destination_marketo_programs.report.page import MAX_LEADS, render_page
from destination_marketo_programs.report.summarise import summarise
from destination_marketo_programs.report.table import write_csv
from destination_marketo_programs.report.tally import Tally
from destination_marketo_programs.report.text import render_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from destination_marketo_programs.report.summary import Summary


class Written(NamedTuple):
    """What `write_report` made."""

    page: Path
    csv: Path
    summary: Summary


def write_report(
    locations: Sequence[str],
    output: Path,
    *,
    now: datetime | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the page, and the full list of rejected leads as CSV beside it (`<stem>-rejected.csv`).

    Args:
        locations: files, folders, `s3://…`; see `storage.find_files`.
        output: the page's path; its folder is created if need be.
        now: aware time of the report; the present one by default.
        on_progress: called now and then with the number of outcomes read.

    Raises:
        StorageError: the outcomes cannot be read.
        OSError: the report cannot be written.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    csv = output.with_name(f"{output.stem}-rejected.csv")
    with Tally(locations, on_progress) as tally:
        findings = summarise(tally, locations, now or datetime.now(UTC))
        dry_run = findings.summary.dry_run
        write_csv(csv, tally.leads(dry_run=dry_run))
        page = render_page(findings, tally.leads(dry_run=dry_run, limit=MAX_LEADS), csv.name)
    output.write_text(page, "utf-8", errors="replace")
    return Written(output, csv, findings.summary)


def summary_of(
    locations: Sequence[str],
    *,
    now: datetime | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Summary:
    """What the page would say, as data. Arguments and errors as for `write_report`."""
    with Tally(locations, on_progress) as tally:
        return summarise(tally, locations, now or datetime.now(UTC)).summary


def as_json(summary: Summary) -> str:
    """The summary as indented JSON."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2).decode()


def as_text(summary: Summary) -> str:
    """The summary as text."""
    return render_text(summary)
