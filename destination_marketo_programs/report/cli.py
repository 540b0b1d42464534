"""The `report` command."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from destination_marketo_programs.folding import broken
from destination_marketo_programs.report.output import output, reader_has_gone, say
from destination_marketo_programs.report.text import headline, render_text
from destination_marketo_programs.report.writing import as_json, summary_of, write_rejected, write_report
from destination_marketo_programs.shell import shell_word
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.summary import sums
from destination_marketo_programs.text import encodable, printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

DEFAULT_OUTPUT = "report.html"
EXIT_FAILED = 1
EXIT_STOPPED = 130
FILE_WIDTH = 100
"""Width of text that goes to no terminal."""

MAX_WIDTH = 120
_PROGRESS_SECONDS = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `main` reads."""
    parser.add_argument(
        "outcomes",
        nargs="+",
        metavar="OUTCOMES",
        help="outcome files, folders that hold them, or s3://bucket/path; several syncs make a timeline",
    )
    parser.add_argument(
        "--output", metavar="FILE", help=f"where to write (html: {DEFAULT_OUTPUT}; csv, json and text: standard output)"
    )
    parser.add_argument(
        "--format",
        choices=("html", "csv", "json", "text"),
        default="html",
        help="html: the page (default); csv: the rejected leads; json or text: the summary",
    )


def main(args: argparse.Namespace) -> int:
    """Write the report. Returns 0; 1 with the reason on stderr; 130 if it was stopped."""
    try:
        _write(args)
    except KeyboardInterrupt:
        return EXIT_STOPPED
    except BrokenPipeError:
        reader_has_gone()
        return EXIT_FAILED
    except StorageError as error:
        _complain(str(error))
        return EXIT_FAILED
    except OSError as error:
        _complain(f"{error.filename or 'the output'} cannot be written: {error.strerror or error}.")
        return EXIT_FAILED
    return 0


def _complain(text: str) -> None:
    sys.stderr.write(f"report: {printable(text)}\n")


def _write(args: argparse.Namespace) -> None:
    if args.format == "html":
        with _progress() as on_progress:
            written = write_report(args.outcomes, Path(args.output or DEFAULT_OUTPUT), on_progress=on_progress)
        summary = written.summary
        counts = sums(summary.leads, summary.outcomes)
        lines = [headline(summary), *counts.split("\n")]
        if sys.stdout.isatty():
            lines = [piece for line in lines for piece in broken(line, _width(to_file=False))]
        say("\n".join([*lines, f"Page: {shell_word(str(written.page))}", ""]))
        return
    if args.format == "csv":
        with output(args.output, encoding="utf-8-sig") as file, _progress() as on_progress:
            write_rejected(args.outcomes, file, on_progress=on_progress)
        return
    with _progress() as on_progress:
        summary = summary_of(args.outcomes, on_progress=on_progress)
    text = as_json(summary) + "\n" if args.format == "json" else render_text(summary, _width(to_file=bool(args.output)))
    with output(args.output, encoding="utf-8") as file:
        file.write(encodable(text))


def _width(*, to_file: bool) -> int:
    if to_file or not sys.stdout.isatty():
        return FILE_WIDTH
    return min(MAX_WIDTH, max(40, shutil.get_terminal_size((FILE_WIDTH, 25)).columns))


@contextmanager
def _progress() -> Iterator[Callable[[int], None]]:
    """A count on the terminal behind standard error, and nothing anywhere else."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    shown = 0.0

    def show(count: int) -> None:
        nonlocal shown
        if time.monotonic() - shown >= _PROGRESS_SECONDS:
            shown = time.monotonic()
            sys.stderr.write(f"\rReading outcomes: {count:,}")
            sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
