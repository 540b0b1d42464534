"""The `plan` command."""

from __future__ import annotations

import io
import logging
import os
import sys
from typing import TYPE_CHECKING

from destination_marketo_programs.bar import Bar
from destination_marketo_programs.catalog import read_catalog
from destination_marketo_programs.commands import every_problem, load, read_json
from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.delivery.loop import Terminated
from destination_marketo_programs.failures import ConfigurationError, Doing, failure_of
from destination_marketo_programs.folding import plain_console
from destination_marketo_programs.logs import LineHandler, Scrubber, install
from destination_marketo_programs.marketo.errors import StoppedError
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.plan.listings import JsonListing, Listing, TerminalListing, TextListing
from destination_marketo_programs.plan.running import run_plan
from destination_marketo_programs.session import Stops, open_session
from destination_marketo_programs.signals import StopSignals
from destination_marketo_programs.storage.store import NoStore
from destination_marketo_programs.text import printable

if TYPE_CHECKING:
    import argparse

    from destination_marketo_programs.preflight import Preflight

logger = logging.getLogger("airbyte.plan")

EXIT_FAILED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what `main` reads."""
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration, a JSON file")
    parser.add_argument("--catalog", required=True, metavar="FILE", help="the configured catalog, a JSON file")
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        help="text: tables and sentences; json: a line for each record and program, then one with the summary",
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a record would be rejected")


def main(args: argparse.Namespace) -> int:
    """Read messages from standard input and say what a write would do.

    Returns:
        0; 1 if the configuration has problems, the plan could not be finished, or with `--strict` a record would be
        rejected; 130 or 143 if it was stopped.
    """
    scrubber = Scrubber()
    # Lines that run down the terminal leave no place for a bar.
    bar = Bar(shown=args.format != "json" or not sys.stdout.isatty())
    install(LineHandler(scrubber, bar.log))
    # The listing names every one of them.
    logging.getLogger("airbyte.rejections").setLevel(logging.CRITICAL)
    signals = StopSignals()
    try:
        rejected = _plan(args, scrubber, bar, signals)
    except (Terminated, StoppedError, KeyboardInterrupt):
        return signals.exit_code
    except BrokenPipeError:
        # Whoever reads has seen enough. What is still buffered must not fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except ConfigurationError as error:
        reason = f"A sync would not begin. {error}"
    except Exception as error:
        logger.debug("plan failed", exc_info=error)
        reason = str(failure_of(error, utc_now(), Doing.PLAN))
    else:
        return EXIT_FAILED if args.strict and rejected else 0
    finally:
        bar.stop()
    for line in f"plan: {scrubber.clean(reason)}".split("\n"):
        bar.log(printable(line))
    return EXIT_FAILED


def _plan(args: argparse.Namespace, scrubber: Scrubber, bar: Bar, signals: StopSignals) -> int:
    """Number of records that would be rejected."""
    loaded = load(read_json(args.config, "config"), scrubber)
    catalog = read_catalog(read_json(args.catalog, "catalog"))
    stops = Stops()
    signals.watch(stops.stop)
    # The storage is left alone: a plan stores nothing, and may run where the storage is out of reach.
    if loaded.settings is None:
        raise ConfigurationError([*every_problem(loaded, scrubber, stops, store=NoStore()), *catalog.problems])
    with open_session(
        loaded.settings,
        catalog=catalog,
        stops=stops,
        on_secret=lambda token: scrubber.add([token]),
        store=NoStore(),
        read_only=True,
    ) as session:
        preflight = session.check(loaded.problems, raise_transient=True)
        if preflight.problems:
            raise ConfigurationError(preflight.problems)
        if sys.stdin.isatty():
            logger.info("Reading Airbyte messages from standard input; end it with Ctrl+D.")
        bar.begin("Looking at Marketo")
        listing = _listing(args.format, preflight, with_stream=len(catalog.streams) > 1)
        return run_plan(session, preflight, Intake(sys.stdin.fileno()), listing, bar)


def _listing(name: str, preflight: Preflight, *, with_stream: bool) -> Listing:
    if name == "json":
        return JsonListing(sys.stdout.buffer)
    console = plain_console()
    if console.is_terminal:
        return TerminalListing(console, with_stream=with_stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A letter that the locale's encoding lacks is no reason to end.
        sys.stdout.reconfigure(errors="replace")
    return TextListing(sys.stdout, preflight.programs, with_stream=with_stream)
