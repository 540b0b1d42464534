"""What a command says to people: sentences and commands to copy on standard output, log and progress on standard error.

`check` and `write` speak like this on a terminal, `retry` always. Nothing is printed in the middle of a delivery but
log lines and the bar: an output that fails must not keep a run from being closed.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from destination_marketo_programs.bar import Bar
from destination_marketo_programs.delivery.settlement import RETRYABLE
from destination_marketo_programs.folding import broken, plain_console
from destination_marketo_programs.logs import LineHandler, Scrubber
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.report.output import reader_has_gone, say
from destination_marketo_programs.shell import program_name, shell_path
from destination_marketo_programs.text import printable

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from destination_marketo_programs.delivery.tally import Tally
    from destination_marketo_programs.session import Delivered

MOST_REJECTIONS = 5
"""Rejected records that are named while a delivery runs; the summary counts all of them."""
LEAST_WIDTH, MOST_WIDTH = 40, 120


class People:
    """Says what a command does.

    Args:
        command: its name.
        config: path of the configuration, for the commands to copy.
        scrubber: what is shown goes through it.

    Attributes:
        begin, watch: of the bar.
        handler: takes the log.
    """

    def __init__(self, command: str, config: str, scrubber: Scrubber) -> None:
        self._command = command
        self._config = config
        self._scrubber = scrubber
        self._delivered: tuple[Delivered, str | None] | None = None
        self._bar = Bar()
        self.begin, self.watch = self._bar.begin, self._bar.watch
        self.handler = _Handler(scrubber, self._bar.log)

    # --- when it has ended -----------------------------------------------------------------------------------

    def keep(self, delivered: Delivered, location: str | None) -> None:
        """Take what a delivery came to, and where its outcomes are stored; `end` tells it."""
        self._delivered = delivered, location

    def end(self) -> None:
        """Take the bar away, and sum up what was delivered."""
        self._bar.stop()
        if self._delivered is None:
            return
        (delivered, location), self._delivered = self._delivered, None
        lines = delivered.text.split("\n")
        if self.handler.hidden:
            lines.append(f"Only the first {MOST_REJECTIONS} rejected records are named above.")
        self.tell(["", *lines])
        self._tell_next(what_next(delivered, location, self._config))

    def checked(self, problem: str | None) -> None:
        """Say what `check` found."""
        self._bar.stop()
        if problem is not None:
            self.tell(problem.split("\n"))
            return
        self.tell(
            ["No problems found. Marketo accepts the credentials, and everything the configuration names exists."]
        )
        command = f"plan --config {shell_path(self._config)} --catalog catalog.json < messages.jsonl"
        self._tell_next([("See what a sync would do, without writing anything:", command)])

    def failed(self, text: str) -> None:
        """Say on standard error why the command could not be finished."""
        self._bar.stop()
        first, *more = self._scrubber.clean(text).split("\n")
        for line in [f"{self._command}: {first}", *more]:
            self._bar.log(printable(line))

    def tell(self, lines: list[str]) -> None:
        """As the function of this name, without secrets."""
        tell(map(self._scrubber.clean, lines))

    def _tell_next(self, steps: list[tuple[str, str]]) -> None:
        if steps:
            _print(["", "What to do next"])
        for why, command in steps:
            self.tell([f"  {why}"])
            # Whole, however long, so that it can be copied.
            _print([f"    {program_name()} {command}"] if command else [])


def tell(lines: Iterable[str]) -> None:
    """Print lines on standard output; on a terminal they are broken between words."""
    shown = list(map(printable, lines))
    if sys.stdout.isatty():
        width = min(MOST_WIDTH, max(LEAST_WIDTH, plain_console().width))
        shown = [piece for line in shown for piece in broken(line, width)]
    _print(shown)


def what_next(delivered: Delivered, location: str | None, config: str) -> list[tuple[str, str]]:
    """What to do after a delivery, each with the command that does it; "" if none does.

    Args:
        delivered: what it came to.
        location: where its outcomes are stored; None if they are not.
        config: path of the configuration.
    """
    tally, dry_run = delivered.tally, delivered.dry_run is not None
    if location is None:
        why = "Outcomes are not stored. Set object_storage_config to see every lead on a page, and to send rejected"
        return [(f"{why} records again.", "")] if tally.outcomes else []
    place, settings = shell_path(location), f"--config {shell_path(config)}"
    steps = []
    if tally.outcomes:
        steps.append(("See every lead on a page, and why it was rejected:", f"report {place} --output report.html"))
    if dry_run:
        return steps
    rejected = {category for outcome, category in tally.by_category if outcome == Result.REJECTED}
    if rejected & RETRYABLE:
        steps.append(("Send the rejected records again, once their causes are fixed:", f"retry {place} {settings}"))
    if rejected - RETRYABLE:
        steps.append(
            ("Correct rejected records in the page's CSV, and send them:", f"retry {place} {settings} --edit leads.csv")
        )
    if _reached(tally):
        steps.append(("Compare what was delivered with what Marketo holds:", f"reconcile {settings}"))
    return steps


class _Handler(LineHandler):
    """Names the first rejected records only.

    Attributes:
        hidden: how many were not named.
    """

    hidden = 0
    _named = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        if record.name == "airbyte.rejections":
            self._named += 1
            if self._named > MOST_REJECTIONS:
                self.hidden += 1
                return
        super().emit(record)


def _print(lines: list[str]) -> None:
    try:
        say("".join(f"{line}\n" for line in lines))
    except BrokenPipeError:
        reader_has_gone()


def _reached(tally: Tally) -> bool:
    return any(outcome not in {Result.REJECTED, Result.SKIPPED} for (_, _, outcome) in tally.by_program)
