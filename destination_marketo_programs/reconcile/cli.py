"""The `reconcile` command."""

from __future__ import annotations

import io
import logging
import os
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING

from rich.console import Console

from destination_marketo_programs.arguments import add_several
from destination_marketo_programs.config import (
    JsonFileError,
    Settings,
    load_settings,
    read_json_file,
    runs_in_cloud,
)
from destination_marketo_programs.config.addresses import UnusableTextError, instance_of, parse_program_id
from destination_marketo_programs.failures import Doing, failure_of, problem_text
from destination_marketo_programs.logs import LineHandler, Scrubber, install
from destination_marketo_programs.marketo.api import Marketo, RestMarketo
from destination_marketo_programs.marketo.client import MarketoClient
from destination_marketo_programs.marketo.errors import MarketoError, StoppedError
from destination_marketo_programs.marketo.limits import Budget, Gate, Pace, utc_now
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.reconcile.book import open_book
from destination_marketo_programs.reconcile.compare import Finding, findings
from destination_marketo_programs.reconcile.expected import Scope
from destination_marketo_programs.reconcile.extract import Extraction, ExtractPace
from destination_marketo_programs.reconcile.running import Findings, Reconciliation, RunFacts
from destination_marketo_programs.reconcile.text import json_lines, print_text
from destination_marketo_programs.signals import StopSignals
from destination_marketo_programs.storage import StorageError, location_of, open_store, reader_for
from destination_marketo_programs.storage.reader import S3_PREFIX
from destination_marketo_programs.storage.runs import new_run_id
from destination_marketo_programs.text import counted, printable

if TYPE_CHECKING:
    import argparse
    import sqlite3
    from collections.abc import Callable, Sequence

logger = logging.getLogger("airbyte.reconcile")

EXIT_OPEN = 1
EXIT_FAILED = 2
DEFAULT_EXPORT_MB = 50
_MB = 1_000_000
_WIDTH = 100
_AT = "%Y-%m-%dT%H:%M:%SZ"
LOCAL_PACE = ExtractPace(first=0.5)
"""For a local stand-in, whose extracts take seconds."""


class _CannotReconcileError(Exception):
    """The command line or the configuration is at fault; the text says how."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `main` reads."""
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration, a JSON file")
    parser.add_argument(
        "outcomes",
        nargs="*",
        metavar="OUTCOMES",
        help="outcome files, folders that hold them, or s3://bucket/path (default: the configuration's storage)",
    )
    add_several(
        parser,
        "--program",
        _is_program,
        metavar="ID",
        help="only these programs, by ID or URL: one or more, and the option may be given several times",
    )
    parser.add_argument("--since", metavar="DATE", default="", help="only leads delivered since then, e.g. 2026-11-20")
    parser.add_argument(
        "--format", choices=("text", "json"), default="text", help="json: one object per lead and program"
    )
    parser.add_argument("--output", metavar="FILE", help="where to write (default: standard output)")
    parser.add_argument("--fix", action="store_true", help="send again what is behind or missing")
    parser.add_argument(
        "--max-export-mb",
        type=megabytes,
        default=DEFAULT_EXPORT_MB,
        metavar="N",
        help="largest bulk extract, of the 500 MB that a company has per day; 0 = none (default: %(default)s)",
    )


def main(args: argparse.Namespace) -> int:
    """Compare what was delivered with what Marketo holds.

    Returns:
        0 if nothing is behind, missing or gone; 1 if something is; 2 if it could not be found out; 130
        or 143 if it was stopped.
    """
    scrubber = Scrubber()
    install(LineHandler(scrubber))
    signals = StopSignals()
    try:
        found = _reconcile(args, scrubber, signals)
    except (StoppedError, KeyboardInterrupt):
        return signals.exit_code
    except BrokenPipeError:
        # Whoever reads has seen enough. What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except (_CannotReconcileError, JsonFileError) as error:
        reason = str(error)
    except (StorageError, MarketoError) as error:
        reason = str(failure_of(error, utc_now(), Doing.RECONCILE))
    except OSError as error:
        reason = f"{error.filename or 'A file'} cannot be used: {error.strerror or type(error).__name__}."
    else:
        if found.gone:
            return EXIT_FAILED
        return EXIT_OPEN if found.open else 0
    lines = scrubber.clean(reason).splitlines()
    print("reconcile:", "\n".join(map(printable, lines)), file=sys.stderr)  # noqa: T201 - a command for people
    return EXIT_FAILED


def _reconcile(args: argparse.Namespace, scrubber: Scrubber, signals: StopSignals) -> Findings:
    settings = _settings(args.config, scrubber)
    if args.fix and settings.delivery.dry_run:
        raise _CannotReconcileError(
            "The configuration asks for a dry run (delivery.dry_run), and --fix writes to Marketo. Switch one of them "
            "off."
        )
    reader, home = reader_for(settings.object_storage_config), location_of(settings.object_storage_config)
    places = args.outcomes or ([home] if home else [])
    if not places:
        raise _CannotReconcileError(
            "The configuration has no storage (object_storage_config), so there are no outcomes to compare. Name the "
            "files or folders that hold outcomes-*.jsonl."
        )
    scope = Scope(programs=_programs(args.program), since=_since(args.since))
    files = reader.find_files(places)
    facts = RunFacts(reader.runs(places), instance_of(settings.domain_url))
    gate = _gate(settings)
    signals.watch(gate.stop)
    marketo = _connect(settings, gate, RetryPolicy(), scrubber, read_only=True)
    if settings.delivery.daily_call_budget is not None:
        gate.budget.note_used_before(marketo.calls_today())
    pace = LOCAL_PACE if settings.domain_url.startswith("http://") else ExtractPace()
    extraction = Extraction(marketo, gate.pause, pace, args.max_export_mb * _MB)
    progress = Console(stderr=True, highlight=False, markup=False)
    with open_book() as book, progress.status("Reading outcomes…") as status:
        run = Reconciliation(book, marketo, facts, extraction, status.update)
        run.compare(reader, files, scope, args.max_export_mb * _MB)
        # A part of the storage does not say what the latest outcome of a record is: from it nothing is concluded.
        keeping = home is not None and _same_place(home, places)
        writing = None
        if args.fix:
            # Nothing is repeated without a new look.
            writing = _connect(settings, gate, RetryPolicy(window_seconds=0.0), scrubber)
        failure = _conclude(run, settings, gate, writing, keeping=keeping)
        status.stop()
        if reader.unreadable:
            logger.warning("%s could not be read as outcomes.", counted(sum(reader.unreadable.values()), "line"))
        found = run.findings()
        _print(args, book, found, facts)
        if failure is not None:
            raise failure
        return found


def _conclude(
    run: Reconciliation, settings: Settings, gate: Gate, writing: Marketo | None, *, keeping: bool
) -> Exception | None:
    """Keep what was learned, and fix: what ended it early, as what was found until then is worth showing all the same.

    Args:
        run: after its comparison.
        settings: name the storage.
        gate: clock and pauses.
        writing: sends the fixes; None for no fix.
        keeping: whether anything is stored.
    """
    now, failure = utc_now(), None
    run_id = new_run_id(now)
    try:
        store = open_store(settings.object_storage_config, sync_started_at=now, run_id=run_id)
        try:
            if keeping:
                run.confirm(store)
            if writing is not None:
                failure = _fix(run, writing, gate)
            if keeping:
                run.store(store, now.strftime(_AT), instance_of(settings.domain_url), run_id)
        finally:
            store.close()
    except StorageError as error:
        return failure or error
    return failure


def _fix(run: Reconciliation, writing: Marketo, gate: Gate) -> MarketoError | None:
    try:
        run.fix(writing, gate.clock, gate.pause)
    except MarketoError as error:
        return error
    return None


def _same_place(home: str, places: Sequence[str]) -> bool:
    if home.startswith(S3_PREFIX):
        return home.rstrip("/") in [place.rstrip("/") for place in places]
    return Path(home).resolve() in [Path(place).resolve() for place in places if not place.startswith(S3_PREFIX)]


def _print(args: argparse.Namespace, book: sqlite3.Connection, found: Findings, facts: RunFacts) -> None:
    if args.format == "json":
        if args.output:
            with Path(args.output).open("wb") as file:
                file.writelines(json_lines(findings(book), facts.names))
        else:
            sys.stdout.buffer.writelines(json_lines(findings(book), facts.names))
            sys.stdout.buffer.flush()
        for number in found.gone:
            logger.warning("Program %d was not compared: Marketo does not show it to this API user.", number)
        return

    def open_leads(program: int, limit: int) -> Sequence[Finding]:
        return list(findings(book, program, only_open=True, limit=limit))

    if args.output:
        with Path(args.output).open("w", encoding="utf-8", errors="replace") as plain:
            _print_plain(plain, found, open_leads, _command(args))
    elif sys.stdout.isatty():
        print_text(Console(highlight=False, markup=False, emoji=False), found, open_leads, _command(args))
    else:
        if isinstance(sys.stdout, io.TextIOWrapper):
            # A letter that the locale's encoding lacks is no reason to end.
            sys.stdout.reconfigure(errors="replace")
        _print_plain(sys.stdout, found, open_leads, _command(args))
        sys.stdout.flush()


def _print_plain(
    file: IO[str], found: Findings, open_leads: Callable[[int, int], Sequence[Finding]], command: str
) -> None:
    """Without colours, and without the blanks that fill a terminal's lines."""
    written = io.StringIO()
    print_text(
        Console(file=written, width=_WIDTH, highlight=False, markup=False, emoji=False), found, open_leads, command
    )
    file.writelines(f"{line.rstrip()}\n" for line in written.getvalue().splitlines())


def _command(args: argparse.Namespace) -> str:
    """The command as it was given, without `--fix`, to be copied."""
    words = ["destination-marketo-programs", "reconcile", "--config", args.config]
    if args.since:
        words += ["--since", args.since]
    for program in args.program:
        words += ["--program", program]
    if args.max_export_mb != DEFAULT_EXPORT_MB:
        words += ["--max-export-mb", str(args.max_export_mb)]
    words += args.outcomes
    return shlex.join(words)


def _settings(path: str, scrubber: Scrubber) -> Settings:
    loaded = load_settings(read_json_file(path, "config"), cloud=runs_in_cloud())
    if loaded.settings is None or loaded.problems:
        raise _CannotReconcileError(problem_text(loaded.problems))
    scrubber.add(loaded.settings.secrets())
    return loaded.settings


def _gate(settings: Settings) -> Gate:
    delivery = settings.delivery
    return Gate(Pace(delivery.calls_per_20_seconds, delivery.concurrent_calls), Budget(delivery.daily_call_budget))


def _connect(
    settings: Settings, gate: Gate, policy: RetryPolicy, scrubber: Scrubber, *, read_only: bool = False
) -> Marketo:
    client = MarketoClient(
        settings.domain_url,
        settings.client_id,
        settings.client_secret,
        gate,
        policy,
        on_token=lambda token: scrubber.add([token]),
        read_only=read_only,
    )
    return RestMarketo(client)


def _is_program(text: str) -> bool:
    try:
        parse_program_id(text)
    except UnusableTextError:
        return False
    return True


def _programs(given: Sequence[str]) -> frozenset[int]:
    try:
        return frozenset(map(parse_program_id, given))
    except UnusableTextError as error:
        raise _CannotReconcileError(f"--program: {error.message} {error.fix}") from None


def _since(given: str) -> str:
    if not given:
        return ""
    try:
        time = datetime.fromisoformat(given)
    except ValueError:
        raise _CannotReconcileError("The value of --since is not a date. Write it like 2026-11-20.") from None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC).strftime(_AT)


def megabytes(text: str) -> int:
    """A number of megabytes; argparse names this function in its message."""
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number
