"""From places that hold outcomes to a report in one of its forms."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, TextIO

import msgspec

from destination_marketo_programs.jsontext import for_terminals
from destination_marketo_programs.report.summarise import Findings, summarise
from destination_marketo_programs.report.table import write_csv
from destination_marketo_programs.report.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from destination_marketo_programs.summary import Summary


class Written(NamedTuple):
    """What `write_report` made."""

    page: Path
    summary: Summary


def write_report(
    locations: Sequence[str],
    output: Path,
    *,
    now: datetime | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Written:
    """Write the page.

    Args:
        locations: files, folders, `s3://…`; see `storage.find_files`.
        output: the page's path; its folder is created if it does not exist.
        now: aware time of the report; the present one by default.
        on_progress: called now and then with the number of outcomes read.

    Raises:
        StorageError: the outcomes cannot be read.
        OSError: the report cannot be written.
    """
    from destination_marketo_programs.report.page import render_page  # noqa: PLC0415 - only the page needs a template

    output.parent.mkdir(parents=True, exist_ok=True)
    with _findings(locations, now, on_progress) as (tally, findings):
        page = render_page(findings, tally.iter_leads)
    output.write_text(page, "utf-8", errors="replace")
    return Written(output, findings.summary)


def write_rejected(
    locations: Sequence[str], output: TextIO, *, on_progress: Callable[[int], None] | None = None
) -> int:
    """Write the rejected leads as CSV, and return their number. Errors as for `write_report`.

    Args:
        locations: as for `write_report`.
        output: text, opened with `newline=""`.
        on_progress: as for `write_report`.
    """
    with _findings(locations, None, on_progress) as (tally, findings):
        return write_csv(output, lambda: tally.iter_leads(rejected_only=True), findings)


def summary_of(
    locations: Sequence[str],
    *,
    now: datetime | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> Summary:
    """What the page would say, as data. Arguments and errors as for `write_report`."""
    with _findings(locations, now, on_progress) as (_, findings):
        return findings.summary


def as_json(summary: Summary) -> str:
    """The summary as indented JSON."""
    return msgspec.json.format(for_terminals(msgspec.json.encode(summary)), indent=2).decode()


@contextmanager
def _findings(
    locations: Sequence[str], now: datetime | None, on_progress: Callable[[int], None] | None
) -> Iterator[tuple[Tally, Findings]]:
    with Tally(locations, on_progress) as tally:
        yield tally, summarise(tally, locations, now or datetime.now(UTC))
