"""Where the outcomes of a plan go: to a terminal, to a text file, to a script."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Protocol

import msgspec
from rich.console import Console

from destination_marketo_programs.jsontext import for_terminals
from destination_marketo_programs.plan.summary import Findings, summarise
from destination_marketo_programs.plan.text import Sample, print_sample, print_summary
from destination_marketo_programs.plan.wording import sentence
from destination_marketo_programs.storage.lines import append_outcome
from destination_marketo_programs.storage.store import NoStore, OutcomeStore

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO, TextIO

    from destination_marketo_programs.marketo.assets import Program
    from destination_marketo_programs.outcomes import Outcome

FILE_WIDTH = 120


class Listing(OutcomeStore, Protocol):
    """An `OutcomeStore` that shows outcomes instead of keeping them, and ends with the summary."""

    def finish(self, findings: Findings, *, complete: bool) -> None:
        """Show the summary."""


class TerminalListing(NoStore):
    """A table with some outcomes of each kind, then the summary.

    Args:
        console: gets the table.
        with_stream: whether records are named with their stream.
    """

    takes_outcomes = True

    def __init__(self, console: Console, *, with_stream: bool) -> None:
        self._console = console
        self._with_stream = with_stream
        self._sample = Sample()

    def add(self, outcome: Outcome) -> None:
        """Keep it if few of its kind were seen."""
        self._sample.add(outcome)

    def finish(self, findings: Findings, *, complete: bool) -> None:
        """Print everything."""
        print_sample(self._console, self._sample, findings.programs, with_stream=self._with_stream)
        print_summary(self._console, summarise(findings, complete=complete), findings.forecast, findings.programs)


class TextListing(NoStore):
    """One line for each outcome, then the summary. Arguments as above."""

    takes_outcomes = True

    def __init__(self, file: TextIO, programs: Mapping[int, Program], *, with_stream: bool) -> None:
        self._file = file
        self._with_stream = with_stream
        self._programs = programs

    def add(self, outcome: Outcome) -> None:
        """Write its line."""
        self._file.write(sentence(outcome, self._programs, with_stream=self._with_stream) + "\n")

    def commit(self) -> None:
        """Let a reader see what there is so far."""
        self._file.flush()

    def finish(self, findings: Findings, *, complete: bool) -> None:
        """Write the summary."""
        written = io.StringIO()
        console = Console(file=written, width=FILE_WIDTH, color_system=None, highlight=False, markup=False, emoji=False)
        print_summary(console, summarise(findings, complete=complete), findings.forecast, findings.programs)
        self._file.writelines(f"{line.rstrip()}\n" for line in ["", *written.getvalue().splitlines()])
        self._file.flush()


class JsonListing(NoStore):
    """One JSON object for each outcome, then one with the single member `summary`."""

    takes_outcomes = True

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, outcome: Outcome) -> None:
        """Write it as a stored outcome is written."""
        line = bytearray()
        append_outcome(line, outcome)
        self._file.write(for_terminals(bytes(line)))

    def commit(self) -> None:
        """Let a reader see what there is so far."""
        self._file.flush()

    def finish(self, findings: Findings, *, complete: bool) -> None:
        """Write the summary."""
        summary = summarise(findings, complete=complete)
        self._file.write(for_terminals(msgspec.json.encode({"summary": summary})) + b"\n")
        self._file.flush()
