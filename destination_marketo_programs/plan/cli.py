"""The `plan` command."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from destination_marketo_programs.activation.refusals import any_object, column_problems, object_problems
from destination_marketo_programs.catalog import read_catalog, stream_problems
from destination_marketo_programs.config import load_settings
from destination_marketo_programs.delivery.pipeline import Terminated
from destination_marketo_programs.logs import Scrubber
from destination_marketo_programs.marketo.errors import MarketoError, StoppedError
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.plan.failures import failure_text, problems_text
from destination_marketo_programs.plan.listings import JsonListing, Listing, TerminalListing, TextListing
from destination_marketo_programs.plan.running import run_plan
from destination_marketo_programs.preflight import run_preflight
from destination_marketo_programs.protocol import UndecodableLineError
from destination_marketo_programs.storage.store import NoStore
from destination_marketo_programs.sync import connect, log_stream_notes

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from types import FrameType

    from destination_marketo_programs.preflight import Preflight

logger = logging.getLogger("airbyte.plan")

EXIT_FAILED = 1
EXIT_STOPPED = 130


class _CannotPlanError(Exception):
    """The configuration is at fault; the text says how."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `main` reads."""
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration, as write takes it")
    parser.add_argument("--catalog", required=True, metavar="FILE", help="the configured catalog, as write takes it")
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text: tables and sentences; json: one object a line for each record and program, then one with the sums",
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a record would be rejected")


def main(args: argparse.Namespace) -> int:
    """Read messages from standard input and say what a write would do.

    Returns:
        0; 1 where the configuration has problems, the plan could not be finished, or with `--strict` a record would
        be rejected; 130 where it was stopped.
    """
    scrubber = Scrubber()
    _log_to_stderr(scrubber)
    try:
        rejected = _plan(args, scrubber)
    except (Terminated, StoppedError, KeyboardInterrupt):
        return EXIT_STOPPED
    except BrokenPipeError:
        # Whoever reads has seen enough. What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except _CannotPlanError as error:
        reason = str(error)
    except (MarketoError, UndecodableLineError, OSError) as error:
        reason = failure_text(error, utc_now())
    else:
        return EXIT_FAILED if args.strict and rejected else 0
    print(f"plan: {scrubber.clean(reason)}", file=sys.stderr)  # noqa: T201 - a command for people
    return EXIT_FAILED


def _plan(args: argparse.Namespace, scrubber: Scrubber) -> int:
    """Number of records that would be rejected."""
    loaded = load_settings(_read_json(args.config, "config"), cloud=_runs_in_cloud())
    catalog = read_catalog(_read_json(args.catalog, "catalog"))
    settings, streams = loaded.settings, catalog.streams
    problems = [*loaded.problems, *catalog.problems]
    if settings is None:
        raise _CannotPlanError(problems_text(problems))
    scrubber.add(settings.secrets())
    problems += stream_problems(streams, settings.lead_sync.mode, object_problems(settings))
    client = connect(settings, on_token=lambda token: scrubber.add([token]), read_only=True)
    # The outcome storage is left alone: a plan stores nothing, and may run where the storage is out of reach.
    preflight = run_preflight(
        client, settings, NoStore(), problems, raise_transient=True, member_fields=any_object(streams)
    )
    problems = [*preflight.problems, *column_problems(streams, settings, preflight.fields)]
    if problems:
        raise _CannotPlanError(problems_text(problems))
    for note in preflight.notes:
        logger.info(note)
    log_stream_notes(settings, streams)
    if sys.stdin.isatty():
        logger.info("Reading Airbyte messages from standard input; end it with Ctrl+D.")
    listing = _listing(args.format, preflight, with_stream=len(streams) > 1)
    return run_plan(settings, preflight, streams, client, sys.stdin.fileno(), listing, _stop_on_signals)


def _listing(name: str, preflight: Preflight, *, with_stream: bool) -> Listing:
    if name == "json":
        return JsonListing(sys.stdout.buffer)
    console = Console(highlight=False, markup=False, emoji=False)
    if console.is_terminal:
        return TerminalListing(console, Console(stderr=True).status("Looking at Marketo…"), with_stream=with_stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A letter that the locale's encoding lacks is no reason to end.
        sys.stdout.reconfigure(errors="replace")
    return TextListing(sys.stdout, preflight.programs, with_stream=with_stream)


def _stop_on_signals(stop: Callable[[], None]) -> None:
    def end(_number: int, _frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGINT, end)
    signal.signal(signal.SIGTERM, end)


def _runs_in_cloud() -> bool:
    return os.environ.get("DEPLOYMENT_MODE", "").strip().upper() == "CLOUD"


def _read_json(path: str, what: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = (error.strerror or "") if isinstance(error, OSError) else "it is no JSON"
        raise _CannotPlanError(f"--{what} {path} cannot be read: {reason}. Give the path of a JSON file.") from None


def _log_to_stderr(scrubber: Scrubber) -> None:
    """Notes and progress for people. Single rejections are left out: the listing names every one of them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(scrubber))
    handler.addFilter(lambda record: record.module != "recorder")
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("airbyte").setLevel(logging.INFO)


class _Formatter(logging.Formatter):
    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__("%(levelname)s: %(message)s")
        self._scrubber = scrubber

    def format(self, record: logging.LogRecord) -> str:
        return self._scrubber.clean(super().format(record))
