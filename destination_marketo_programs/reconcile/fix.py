"""Sends again what is behind or missing, each batch read once more just before, and nobody whom somebody removed."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.activities import CHANGE_STATUS_IN_PROGRESSION, MAX_LEADS_PER_QUERY
from destination_marketo_programs.marketo.assets import NOT_IN_PROGRAM
from destination_marketo_programs.marketo.errors import (
    ACCESS_DENIED,
    ALREADY_IN_OR_PAST_STATUS,
    ConfigurationFaultError,
    NotFoundError,
    RefusedError,
    StoppedError,
    UnreachableError,
)
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL
from destination_marketo_programs.reconcile.compare import Finding, finding_of
from destination_marketo_programs.reconcile.found import text
from destination_marketo_programs.reconcile.verdicts import FIXABLE, Verdict, judge, marketo_time

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.reconcile.steps import Steps

logger = logging.getLogger("airbyte.reconcile")

FRESH_SECONDS = 30.0
"""A batch is read once more if more time than this has passed when it could be written: the write may still have to
wait some 20 seconds for its turn, and a minute is not to be reached."""

_MOST_LOOKS = 3
_MOST_TRIES = 6
_FIRST_PAUSE_SECONDS = 1.0
_MARGIN = timedelta(minutes=10)
"""Clocks differ; a removal before our write is followed by the change that our write made, and does no harm."""
_LONG_AGO = datetime(2010, 1, 1, tzinfo=UTC)

_NEXT = """
SELECT * FROM verdict WHERE fix IS NULL AND verdict IN (?, ?) AND lead IS NOT NULL ORDER BY program, sent, lead LIMIT ?
"""


class Fix(StrEnum):
    """What happened to a lead that was behind or missing."""

    SENT = "sent"
    ALREADY_RIGHT = "already_right"
    REMOVED_BY_HAND = "removed_by_hand"
    NOT_CHECKED = "not_checked"
    CHANGED_MEANWHILE = "changed_meanwhile"
    REFUSED = "refused"


FIXED = frozenset({Fix.SENT, Fix.ALREADY_RIGHT})


class Fixer:
    """Works through the verdicts of one working store.

    Args:
        marketo: for reading.
        writing: sends each write once: what is to be sent again is read again first.
        book: with the verdicts; `fix` and `code` are filled here.
        steps: of the programs' statuses.
        clock: monotonic seconds.
        wait: waits some seconds; False if the process is to end meanwhile.
        on_progress: told what is being done, for people.

    Attributes:
        may_read_activities: False once Marketo has refused it; then nobody who is missing is sent.
    """

    def __init__(
        self,
        marketo: Marketo,
        writing: Marketo,
        book: sqlite3.Connection,
        steps: Steps,
        clock: Callable[[], float],
        wait: Callable[[float], bool],
        on_progress: Callable[[str], None] = lambda _text: None,
    ) -> None:
        self._marketo = marketo
        self._writing = writing
        self._book = book
        self._steps = steps
        self._clock = clock
        self._wait = wait
        self._on_progress = on_progress
        self.may_read_activities = True

    def run(self) -> None:
        """Fix what can be fixed.

        Raises:
            MarketoError: Marketo cannot be asked, or does not let the API user write. What was sent until then is
                noted.
        """
        done = 0
        while batch := self._next_batch():
            self._on_progress(f"Fixing: {done:,} leads done")
            done += len(batch)
            fates = self._fix(batch)
            self._book.executemany(
                "UPDATE verdict SET fix = ?, code = ? WHERE number = ?",
                [(*fates.get(finding.number, (Fix.CHANGED_MEANWHILE, None)), finding.number) for finding in batch],
            )

    def _next_batch(self) -> list[Finding]:
        """At most 300 leads of one program and status."""
        rows = self._book.execute(_NEXT, (*sorted(FIXABLE), MAX_ROWS_PER_CALL)).fetchall()
        found = [finding_of(row) for row in rows]
        return [one for one in found if (one.program, one.sent) == (found[0].program, found[0].sent)]

    def _fix(self, batch: Sequence[Finding]) -> dict[int, tuple[Fix, str | None]]:
        """What happened to each, by its number: (fix, Marketo's code)."""
        program, status = batch[0].program, batch[0].sent
        fates: dict[int, tuple[Fix, str | None]] = {}
        left = {finding.lead: finding for finding in batch if finding.lead is not None}
        checked: set[int] = set()
        looks = tries = 0
        while looks < _MOST_LOOKS:
            read_at = self._clock()
            verdicts = self._look(program, status, list(left))
            for lead, verdict in verdicts.items():
                if verdict not in FIXABLE:
                    fates[left.pop(lead).number] = (Fix.ALREADY_RIGHT, None)
            missing = [lead for lead, verdict in verdicts.items() if verdict is Verdict.MISSING and lead not in checked]
            for lead, fix in self._of_missing([left[lead] for lead in missing]).items():
                fates[left.pop(lead).number] = (fix, None)
            checked.update(missing)
            if not left:
                return fates
            if self._clock() - read_at > FRESH_SECONDS:
                looks += 1
                continue
            try:
                return fates | self._send(program, status, left)
            except UnreachableError:
                tries += 1
                if tries == _MOST_TRIES:
                    raise
            # Perhaps it was executed, and somebody has removed a person since: look at everything again.
            checked.clear()
            if not self._wait(_FIRST_PAUSE_SECONDS * 2**tries):
                raise StoppedError("sync_status", "stop")
        # Each look took too long to be written upon.
        return fates

    def _look(self, program: int, status: str, leads: Sequence[int]) -> dict[int, Verdict]:
        members = self._marketo.query_members(program, leads, ("statusName",))
        return {
            lead: judge(status, text(members.get(lead, {}), "statusName") or None, self._steps.of(program))
            for lead in leads
        }

    def _of_missing(self, missing: Sequence[Finding]) -> dict[int, Fix]:
        """Those of the missing who are to be left alone, and why."""
        left_alone: dict[int, Fix] = {}
        for start in range(0, len(missing), MAX_LEADS_PER_QUERY):
            some = missing[start : start + MAX_LEADS_PER_QUERY]
            removed = self._removed(some)
            left_alone |= {
                lead: Fix.NOT_CHECKED if removed is None else Fix.REMOVED_BY_HAND
                for finding in some
                if (lead := finding.lead) is not None and (removed is None or lead in removed)
            }
        return left_alone

    def _removed(self, findings: Sequence[Finding]) -> set[int] | None:
        """Leads whose last change in the program was to leave it; None if Marketo may not be asked."""
        if not self.may_read_activities:
            return None
        program = findings[0].program
        leads = [finding.lead for finding in findings if finding.lead is not None]
        since = min(marketo_time(finding.first) or _LONG_AGO for finding in findings)
        last: dict[int, tuple[datetime, bool]] = {}
        try:
            for activity in self._marketo.activities((CHANGE_STATUS_IN_PROGRESSION,), since - _MARGIN, leads):
                if activity.primary_id == program:
                    at = marketo_time(activity.at) or _LONG_AGO
                    gone = activity.attributes.get("New Status") == NOT_IN_PROGRAM
                    if activity.lead_id not in last or at >= last[activity.lead_id][0]:
                        last[activity.lead_id] = (at, gone)
        except ConfigurationFaultError as error:
            if error.code != ACCESS_DENIED:
                raise
            self.may_read_activities = False
            return None
        return {lead for lead, (_at, gone) in last.items() if gone}

    def _send(self, program: int, status: str, left: dict[int, Finding]) -> dict[int, tuple[Fix, str | None]]:
        leads = list(left)
        try:
            replies = self._writing.sync_status(program, status, leads)
        except (RefusedError, NotFoundError) as error:
            logger.warning('Marketo refused the status "%s" for program %d (%s).', status, program, error.code)
            return {finding.number: (Fix.REFUSED, error.code) for finding in left.values()}
        fates: dict[int, tuple[Fix, str | None]] = {}
        for lead, reply in zip(leads, replies, strict=True):
            fix = Fix.SENT if reply.status else Fix.REFUSED
            if reply.code == ALREADY_IN_OR_PAST_STATUS:
                fix = Fix.ALREADY_RIGHT
            fates[left[lead].number] = (fix, None if fix is Fix.SENT else reply.code)
        return fates


def fix_counts(book: sqlite3.Connection) -> dict[Fix, int]:
    """How many leads met which fate."""
    rows = book.execute("SELECT fix, count(*) FROM verdict WHERE fix IS NOT NULL GROUP BY fix")
    return {Fix(fix): count for fix, count in rows}
