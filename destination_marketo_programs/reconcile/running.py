"""One `reconcile` from the files to the findings; what is shown of them is `text`'s business."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from destination_marketo_programs.reconcile.compare import Finding, compare, counts, findings, people_gone
from destination_marketo_programs.reconcile.confirm import Confirmed, confirm_imports
from destination_marketo_programs.reconcile.expected import Outcomes, Scope, read_expected
from destination_marketo_programs.reconcile.fix import FIXED, Fix, Fixer, fix_counts
from destination_marketo_programs.reconcile.found import Found
from destination_marketo_programs.reconcile.reading import Reading
from destination_marketo_programs.reconcile.steps import Steps
from destination_marketo_programs.reconcile.verdicts import Verdict
from destination_marketo_programs.storage.runs import (
    ReconciledLead,
    ReconciledProgram,
    ReconcileFile,
    RunFile,
    Verdicts,
    write_reconciled,
)
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.reconcile.extract import Extraction
    from destination_marketo_programs.storage import OutcomeFile, OutcomeStore

MAX_LEADS_STORED = 10_000
"""Leads that a verdict file lists; the counts hold all of them."""


@dataclass(frozen=True)
class ProgramFindings:
    """What was found for one program.

    Attributes:
        name: blank if no run file has it.
        verdicts: number of leads by verdict, before any fix.
        from_elsewhere: members that did not come from here; None if that is not known.
    """

    id: int
    name: str
    verdicts: Mapping[Verdict, int]
    from_elsewhere: int | None

    @property
    def leads(self) -> int:
        """All leads that were delivered to it."""
        return sum(self.verdicts.values())


@dataclass(frozen=True)
class Findings:
    """What one `reconcile` found.

    Attributes:
        gone: programs that Marketo does not show.
        notes: sentences about how it was found.
        fixed: leads by what `--fix` did; empty without.
        open: leads that somebody has to look at, after the fix.
        may_read_activities: False if the fix needed to, and was not allowed.
        confirmed: imported rows that became exact; None if there is no storage to keep that in.
        people_gone: people whose verdict is `person_gone`, each once.
    """

    programs: Sequence[ProgramFindings]
    gone: Sequence[int] = ()
    notes: Sequence[str] = ()
    fixed: Mapping[Fix, int] = field(default_factory=dict)
    open: int = 0
    may_read_activities: bool = True
    confirmed: Confirmed | None = None
    people_gone: int = 0


class RunFacts:
    """What the run files say that helps here.

    Args:
        runs: newest first.
        instance: that the configuration names.
    """

    def __init__(self, runs: Iterable[RunFile], instance: str) -> None:
        self.names: dict[int, str] = {}
        self.channels: dict[int, str] = {}
        self.uploads: dict[tuple[str, int], str] = {}
        self.other_runs: set[str] = set()
        for run in runs:
            name = f"{run.started.replace('-', '').replace(':', '')}-{run.run_id}"
            # A Munchkin id may have been typed in either case.
            if run.instance.casefold() != instance.casefold():
                self.other_runs.add(name)
                continue
            for program in run.programs:
                self.names.setdefault(program.id, program.name)
                self.channels.setdefault(program.id, program.channel)
            for job in run.imports:
                earliest = min(self.uploads.get((name, job.program_id), job.uploaded_at), job.uploaded_at)
                self.uploads[name, job.program_id] = earliest


class Reconciliation:
    """Puts the parts of one run together.

    Args:
        book: empty.
        marketo: for reading; nothing is written through it.
        facts: of the run files.
        extraction: gets extracts.
        on_progress: told what is being done, for people.
    """

    def __init__(
        self,
        book: sqlite3.Connection,
        marketo: Marketo,
        facts: RunFacts,
        extraction: Extraction,
        on_progress: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._book = book
        self._marketo = marketo
        self._facts = facts
        self._extraction = extraction
        self._on_progress = on_progress
        self._notes: list[str] = []
        self._confirmed: Confirmed | None = None
        self._steps: Steps | None = None
        self._reading: Reading | None = None
        self._may_read_activities = True

    def compare(self, reader: Outcomes, files: Sequence[OutcomeFile], scope: Scope, max_export_bytes: int) -> None:
        """Read outcomes and members, and judge.

        Raises:
            StorageError: the outcomes cannot be read.
            MarketoError: Marketo cannot be asked.
        """
        scope = scope._replace(other_runs=self._facts.other_runs)
        if any(file.run in self._facts.other_runs for file in files):
            self._notes.append("Left out the outcomes of syncs to another Marketo instance.")
        sizes, unnamed = read_expected(
            self._book, reader, files, scope, lambda count: self._on_progress(f"Reading outcomes: {count:,}")
        )
        if unnamed:
            self._notes.append(
                f"Left out {counted(unnamed, 'outcome')} of imports that an earlier version stored without an email: "
                "nothing says who they are about."
            )
        self._reading = Reading(self._marketo, Found(self._book), self._extraction, self._on_progress)
        self._reading.read(sizes, max_export_bytes)
        programs = [size.program_id for size in sizes if size.program_id not in self._reading.gone]
        self._steps = Steps(self._marketo, programs, self._facts.channels)
        compare(self._book, self._steps)

    def confirm(self, store: OutcomeStore) -> None:
        """Store exact outcomes of imported rows. Raises StorageError."""
        self._confirmed = confirm_imports(self._book, store, self._facts.uploads)

    def fix(self, writing: Marketo, clock: Callable[[], float], wait: Callable[[float], bool]) -> None:
        """Send again what is behind or missing. Arguments and errors as for `Fixer`."""
        assert self._steps is not None  # noqa: S101 - there is nothing to fix before `compare`
        fixer = Fixer(self._marketo, writing, self._book, self._steps, clock, wait, self._on_progress)
        try:
            fixer.run()
        finally:
            self._may_read_activities = fixer.may_read_activities

    def findings(self) -> Findings:
        """What was found and done so far."""
        reading = self._reading
        gone = [] if reading is None else reading.gone
        found = {} if reading is None else counts(self._book)
        programs = [
            ProgramFindings(
                program,
                self._facts.names.get(program, ""),
                verdicts,
                None if reading is None else reading.from_elsewhere(program),
            )
            for program, verdicts in found.items()
        ]
        return Findings(
            programs,
            gone,
            [*self._notes, *(reading.notes if reading else ())],
            fix_counts(self._book),
            sum(1 for _ in _still_open(self._book)),
            self._may_read_activities,
            self._confirmed,
            0 if reading is None else people_gone(self._book),
        )

    def store(self, store: OutcomeStore, at: str, instance: str, run_id: str) -> None:
        """Store the verdicts, as they are after a fix, for the page. Raises StorageError."""
        found = self.findings()
        file = ReconcileFile(at=at, instance=instance, run_id=run_id)
        for program in found.programs:
            numbers = dict(program.verdicts)
            for fixed, verdict in self._book.execute(
                "SELECT count(*), verdict FROM verdict WHERE program = ? AND fix IN (?, ?) GROUP BY verdict",
                (program.id, *sorted(FIXED)),
            ):
                numbers[Verdict(verdict)] -= fixed
                numbers[Verdict.AS_SENT] += fixed
            verdicts = Verdicts(**{str(verdict): count for verdict, count in numbers.items()})
            file.programs.append(ReconciledProgram(program.id, program.name, verdicts, program.from_elsewhere))
        for finding, _ in zip(_still_open(self._book), range(MAX_LEADS_STORED), strict=False):
            file.leads.append(
                ReconciledLead(
                    finding.program,
                    str(finding.verdict),
                    finding.lead,
                    finding.ref,
                    finding.sent,
                    finding.found or "",
                )
            )
        write_reconciled(store, file)


def _still_open(book: sqlite3.Connection) -> Iterable[Finding]:
    return (finding for finding in findings(book, only_open=True) if finding.fix not in FIXED)
