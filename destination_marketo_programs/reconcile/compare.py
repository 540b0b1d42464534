"""Judges every lead and program in the working store, and counts."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.reconcile.verdicts import OPEN, Ranks, Verdict, judge

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from destination_marketo_programs.reconcile.steps import Steps

_ROWS_PER_INSERT = 5_000
_UNPLACED = Ranks()

# One person may have several outcomes for a program, and be named by id in one and by key in another.
_PEOPLE = """
SELECT sent.program, sent.now, CASE WHEN sent.now IS NULL THEN coalesce(sent.lead, sent.key) END AS lost,
       sent.status, member.status, coalesce(person.known, 1),
       sent.at, sent.first, sent.stream, sent.record_key, sent.ref, sent.lead
FROM sent
LEFT JOIN member ON member.program = sent.program AND member.lead = sent.now
LEFT JOIN person ON person.lead = sent.now
ORDER BY sent.program, sent.now, lost, sent.at DESC
"""
_INSERT = "INSERT INTO verdict VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, NULL)"
_COUNT = "SELECT program, verdict, count(*) FROM verdict GROUP BY program, verdict"
_COLUMNS = "number, program, lead, verdict, sent, found, at, first, stream, record_key, ref, was, fix, code"


class Finding(NamedTuple):
    """The verdict on one lead and program.

    Attributes:
        number: of the row in the working store.
        lead: the lead's id by now; None if it never was known and nobody was found.
        sent: the highest status that was sent.
        found: the status that Marketo holds; None if the lead is not a member.
        at: time of the outcome, UTC.
        first: time of the record's first outcome for this program, UTC: a removal since then is not ours.
        stream, record_key, ref: of the record that was delivered last.
        was: lead id that the outcome names, if the person was merged into `lead` since.
        fix: what `--fix` did; None if nothing was tried.
        code: Marketo's code, if it refused the fix.
    """

    number: int
    program: int
    lead: int | None
    verdict: Verdict
    sent: str
    found: str | None
    at: str
    first: str
    stream: str
    record_key: str
    ref: str
    was: int | None = None
    fix: str | None = None
    code: str | None = None


def compare(book: sqlite3.Connection, steps: Steps) -> None:
    """Fill `verdict`, one row for each lead and program.

    Raises:
        MarketoError: the statuses' steps are needed, and Marketo cannot be asked for them.
    """
    book.execute("BEGIN")
    rows: list[tuple[object, ...]] = []
    # The cursor reads `sent` and others, and what is written meanwhile goes to a table that it does not look at.
    for (program, now, _lost), group in groupby(book.execute(_PEOPLE), key=lambda row: row[:3]):
        outcomes = list(group)
        statuses = {str(row[3]) for row in outcomes}
        last = outcomes[0]
        found, known = last[4] or None, bool(last[5]) and now is not None
        needed = len(statuses) > 1 or (found is not None and {found} != statuses)
        ranks = steps.of(program) if needed else _UNPLACED
        sent = ranks.highest(statuses)
        verdict = judge(sent, found, ranks, exists=known)
        was = last[11] if last[11] != now else None
        lead = last[11] if now is None else now
        first = min(str(row[7]) for row in outcomes)
        rows.append((program, lead, verdict, sent, found, last[6], first, *last[8:11], None if now is None else was))
        if len(rows) >= _ROWS_PER_INSERT:
            book.executemany(_INSERT, rows)
            rows.clear()
    book.executemany(_INSERT, rows)
    book.execute("COMMIT")


def counts(book: sqlite3.Connection) -> dict[int, dict[Verdict, int]]:
    """Leads by program and verdict; programs in the order of their ids."""
    found: dict[int, dict[Verdict, int]] = {}
    for program, verdict, count in book.execute(_COUNT):
        found.setdefault(program, dict.fromkeys(Verdict, 0))[Verdict(verdict)] = count
    return found


def people_gone(book: sqlite3.Connection) -> int:
    """People who are gone, each once, however many programs they were delivered to."""
    (count,) = book.execute(
        "SELECT count(DISTINCT coalesce(lead, ref)) FROM verdict WHERE verdict = ?", (str(Verdict.PERSON_GONE),)
    ).fetchone()
    return int(count)


def findings(
    book: sqlite3.Connection, program: int | None = None, *, only_open: bool = False, limit: int = -1
) -> Iterator[Finding]:
    """Verdicts, of one program or of all, by program and lead; nothing may be written to `verdict` meanwhile."""
    wanted = [str(verdict) for verdict in Verdict if not only_open or verdict in OPEN]
    query = (
        f"SELECT {_COLUMNS} FROM verdict WHERE verdict IN ({', '.join('?' * len(wanted))})"  # noqa: S608 - constants
        f" AND {'program = ?' if program is not None else '? IS NULL'}"
        " ORDER BY program, lead IS NULL, lead, number LIMIT ?"
    )
    for row in book.execute(query, (*wanted, program, limit)):
        yield finding_of(row)


def finding_of(row: tuple[object, ...]) -> Finding:
    """A row of `verdict`."""
    finding = Finding(*row)  # type: ignore[arg-type]
    return finding._replace(verdict=Verdict(finding.verdict))
