"""The `report` command."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from destination_marketo_programs.report.text import safe
from destination_marketo_programs.report.writing import as_json, as_text, summary_of, write_report
from destination_marketo_programs.storage import StorageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

DEFAULT_OUTPUT = "report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `main` reads."""
    parser.add_argument(
        "outcomes",
        nargs="+",
        metavar="OUTCOMES",
        help="outcome files, folders that hold them, or s3://bucket/path; several syncs make a timeline",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        help=f"where to write (html: {DEFAULT_OUTPUT}, with FILE-rejected.csv beside it; json, text: stdout)",
    )
    parser.add_argument("--format", choices=("html", "json", "text"), default="html", help="default: html")


def main(args: argparse.Namespace) -> int:
    """Write the report. Returns 0, or 1 with the reason on stderr."""
    progress = Console(stderr=True, highlight=False, markup=False)
    try:
        with progress.status("Reading outcomes…") as status:
            _write(args, lambda count: status.update(f"Reading outcomes… {count:,}"))
    except StorageError as error:
        print(f"report: {safe(str(error))}", file=sys.stderr)  # noqa: T201 - a command for people
        return 1
    except OSError as error:
        print(f"report: cannot write {error.filename}: {error.strerror}", file=sys.stderr)  # noqa: T201 - as above
        return 1
    return 0


def _write(args: argparse.Namespace, on_progress: Callable[[int], None]) -> None:
    if args.format == "html":
        written = write_report(args.outcomes, Path(args.output or DEFAULT_OUTPUT), on_progress=on_progress)
        counts = written.summary.counts
        print(  # noqa: T201 - a command for people
            f"{counts.total:,} outcomes: {counts.delivered:,} delivered, {counts.unchanged:,} unchanged, "
            f"{counts.skipped:,} skipped, {counts.rejected:,} rejected\n"
            f"Page:           {written.page}\nRejected leads: {written.csv}"
        )
        return
    summary = summary_of(args.outcomes, on_progress=on_progress)
    text = as_json(summary) + "\n" if args.format == "json" else as_text(summary)
    if args.output:
        Path(args.output).write_text(text, "utf-8", errors="replace")
    else:
        sys.stdout.write(text)
