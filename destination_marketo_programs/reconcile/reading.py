"""Asks Marketo who is a member: by extract or by lead id, and for people who are not found, by their key."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.activities import MERGE_LEADS
from destination_marketo_programs.marketo.errors import (
    ACCESS_DENIED,
    OBJECT_NOT_FOUND,
    AnswerMisfitError,
    ConfigurationFaultError,
    NotFoundError,
    RefusedError,
)
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL
from destination_marketo_programs.reconcile.extract import NoExtractError
from destination_marketo_programs.reconcile.merges import Trace
from destination_marketo_programs.reconcile.plan import plan_reads
from destination_marketo_programs.reconcile.verdicts import marketo_time
from destination_marketo_programs.text import counted, joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.reconcile.expected import ProgramSize
    from destination_marketo_programs.reconcile.extract import Extraction
    from destination_marketo_programs.reconcile.found import Found, Sought

logger = logging.getLogger("airbyte.reconcile")

MOST_MERGE_PAGES = 50
"""The log of merges is that of the whole instance, and what it tells is not worth all calls of a day."""
_MARGIN = timedelta(minutes=10)
MEMBER_FIELDS = ("statusName", "membershipDate", "updatedAt")
_LEAD_FIELDS = ("id", "email", "updatedAt")
_EMAIL = "email"


class Reading:
    """One reading of all programs.

    Args:
        marketo: the calls; none of them changes a person or a membership.
        found: takes the answers.
        extraction: gets extracts.
        on_progress: told what is being done, for people.

    Attributes:
        totals: members of the programs that were extracted; those that were read by lead id are not in it.
        gone: programs that Marketo does not show (any more).
        notes: sentences for whoever asked.
    """

    def __init__(
        self,
        marketo: Marketo,
        found: Found,
        extraction: Extraction,
        on_progress: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._marketo = marketo
        self._found = found
        self._extraction = extraction
        self._on_progress = on_progress
        self.totals: dict[int, int] = {}
        self.gone: list[int] = []
        self.notes: list[str] = []

    def read(self, sizes: Sequence[ProgramSize], max_export_bytes: int) -> None:
        """Read every program, whichever way needs fewer calls.

        Raises:
            MarketoError: Marketo cannot be asked.
        """
        plan = plan_reads(sizes, max_export_bytes)
        if plan.too_large:
            self.notes.append(
                f"Read {_programs(plan.too_large)} by lead ID: the extract would be larger than --max-export-mb allows."
            )
        reads = [*plan.reads]
        for programs in plan.extracts:
            try:
                self._extract(programs)
            except NoExtractError as error:
                self.notes.append(f"Read {_programs(programs)} by lead ID instead of by extract, because {error}.")
                logger.info(self.notes[-1])
                reads += programs
        for program in reads:
            self._read_program(program)
        self._drop_what_is_gone(size.program_id for size in sizes)
        self._find_the_missing()

    def from_elsewhere(self, program: int) -> int | None:
        """Members that no outcome names; None if nobody counted the program's members."""
        total = self.totals.get(program)
        return None if total is None else max(0, total - self._found.members_of(program))

    def _extract(self, programs: Sequence[int]) -> None:
        doing = f"Extract of {_programs(programs)}"
        counts = self._extraction.read(
            programs, self._found.take_extracted, lambda state: self._on_progress(f"{doing}: {state}")
        )
        self.totals |= counts

    def _read_program(self, program: int) -> None:
        for sought in self._found.sought(MAX_ROWS_PER_CALL, program):
            self._on_progress(f"Program {program}: looking people up")
            self._look_up(sought)
        leads = self._found.leads_of(program)
        try:
            for number, batch in enumerate(_batches(leads)):
                self._on_progress(f"Program {program}: {number * MAX_ROWS_PER_CALL:,} of {counted(len(leads), 'lead')}")
                self._read_members(program, batch)
        except (NotFoundError, RefusedError) as error:
            if isinstance(error, RefusedError) and error.code != OBJECT_NOT_FOUND:
                raise
            self._drop(program)

    def _drop_what_is_gone(self, programs: Iterable[int]) -> None:
        """Of a program that does not exist Marketo may say that none of these people is a member."""
        empty = [number for number in programs if number not in self.gone and not self._found.members_of(number)]
        if not empty:
            return
        for program in self._marketo.programs(empty).left_open:
            if self._marketo.program(program) is None:
                self._drop(program)

    def _drop(self, program: int) -> None:
        # Nothing can be said of it, so that nothing is: no verdict is better than thousands of wrong ones.
        self.gone.append(program)
        self._found.drop(program)

    def _read_members(self, program: int, leads: Sequence[int]) -> None:
        members = self._marketo.query_members(program, leads, MEMBER_FIELDS)
        self._found.take_members(program, leads, members)

    def _look_up(self, sought: Sequence[Sought]) -> None:
        emails = sorted({person.email for person in sought if person.email})
        leads = self._marketo.query_leads(_EMAIL, emails, _LEAD_FIELDS, set()) if emails else []
        others = sorted({lead for person in sought for lead in person.leads})
        for batch in _batches(others):
            leads += self._marketo.query_leads("id", [str(lead) for lead in batch], _LEAD_FIELDS)
        self._found.take_candidates(sought, leads)

    def _find_the_missing(self) -> None:
        """Who is not a member may be gone; who is gone may have been merged into somebody who is a member."""
        for batch in _batches(self._found.unknown_people()):
            self._on_progress(f"Looking for {counted(len(batch), 'person', 'people')} who are not members")
            leads = self._marketo.query_leads("id", [str(lead) for lead in batch], ("id",))
            self._found.take_people(batch, (lead["id"] for lead in leads if type(lead.get("id")) is int))
        for sought in self._found.sought(MAX_ROWS_PER_CALL):
            self._on_progress(f"Looking for {counted(len(sought), 'person', 'people')} by email")
            self._look_up(sought)
        self._trace_merges()
        for program, members in self._found.unread().items():
            for batch in _batches(members):
                self._read_members(program, batch)
        self._found.settle_who()

    def _trace_merges(self) -> None:
        """People whose email no outcome holds: Marketo's log says into whom they were merged, if it may be read."""
        gone = self._found.gone_people()
        since = marketo_time(self._found.gone_since()) if gone else None
        if since is None:
            return
        self._on_progress(f"Looking for {counted(len(gone), 'merged person', 'merged people')}")
        trace = Trace(gone)
        try:
            for activity in self._marketo.activities((MERGE_LEADS,), since - _MARGIN, (), MOST_MERGE_PAGES):
                trace.see(activity)
        except AnswerMisfitError:
            self.notes.append("Read only the first part of Marketo's log of merges: it is too long.")
        except ConfigurationFaultError as error:
            if error.code != ACCESS_DENIED:
                raise
            self.notes.append(
                "People who were merged in Marketo may count as gone: to trace them, give the API user's role the "
                "permission Read-Only Activity."
            )
        existing: set[int] = set()
        for batch in _batches(sorted(set(trace.into.values()))):
            leads = self._marketo.query_leads("id", [str(lead) for lead in batch], ("id",))
            existing.update(lead["id"] for lead in leads if type(lead.get("id")) is int)
        self._found.take_merged(trace.into, existing)


def _batches(numbers: Sequence[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), MAX_ROWS_PER_CALL):
        yield list(numbers[start : start + MAX_ROWS_PER_CALL])


def _programs(programs: Sequence[int]) -> str:
    return f"program{'s' if len(programs) > 1 else ''} {joined([str(program) for program in programs])}"
