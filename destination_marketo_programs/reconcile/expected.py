"""What stored outcomes say was delivered: one row for each outcome that counts, in the working store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from destination_marketo_programs.outcomes import Result, record_ref
from destination_marketo_programs.reconcile.book import add_indexes, digest, key_of
from destination_marketo_programs.storage import Kind

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Collection, Iterator, Sequence

    from destination_marketo_programs.storage import OutcomeFile
    from destination_marketo_programs.storage.lines import StoredOutcome

_DELIVERED: frozenset[str] = frozenset({Result.CREATED, Result.UPDATED, Result.UNCHANGED, Result.IMPORTED})
_ROWS_PER_INSERT = 5_000
_AT = "%Y-%m-%dT%H:%M:%SZ"

# Within one sync every outcome of a record counts; a later sync replaces what an earlier one said of it.
_INSERT_LATEST = """
INSERT INTO latest VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT (record, program) DO UPDATE
SET run = CASE WHEN excluded.run = run OR excluded.at >= at THEN excluded.run ELSE run END,
    at = max(at, excluded.at),
    first = min(first, excluded.first)
"""
_INSERT_SENT = """
INSERT INTO sent (record, program, run, status, at, lead, key, imported, position, stream, record_key, ref, line)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_KEEP_LATEST = """
DELETE FROM sent WHERE at < ?1 OR NOT EXISTS (
    SELECT 1 FROM latest WHERE latest.record = sent.record AND latest.program = sent.program AND latest.run = sent.run
)
"""
_KEEP_FIRST = """
UPDATE sent SET first = (
    SELECT first FROM latest WHERE latest.record = sent.record AND latest.program = sent.program
)
"""
# Versions before 0.2 stored no email with an imported row.
_UNNAMED = "FROM sent WHERE lead IS NULL AND key IS NULL"
_LEADS = """
SELECT program,
       count(DISTINCT lead),
       count(DISTINCT CASE WHEN lead IS NULL THEN key END)
FROM sent GROUP BY program ORDER BY program
"""

_Row = tuple[object, ...]


class Outcomes(Protocol):
    """Gives the outcomes of a file; `storage.Reader` does."""

    def outcomes(self, file: OutcomeFile, /) -> Iterator[StoredOutcome]:
        """In the order in which they were written."""


class ProgramSize(NamedTuple):
    """How many people were delivered to a program.

    Attributes:
        leads: different lead ids.
        keys: different people whose lead id is not known.
    """

    program_id: int
    leads: int
    keys: int


class Expected(NamedTuple):
    """What was delivered.

    Attributes:
        sizes: by program, in the order of their ids.
        unnamed: outcomes that name nobody, neither by lead id nor by email; they are left out.
    """

    sizes: list[ProgramSize]
    unnamed: int


class Scope(NamedTuple):
    """Which outcomes are compared.

    Attributes:
        programs: only these; empty for all.
        since: UTC, as `at` of an outcome is written; those whose latest outcome is older are left out. Blank = all.
        other_runs: names of runs that wrote to another instance.
    """

    programs: Collection[int] = ()
    since: str = ""
    other_runs: Collection[str] = ()


def read_expected(
    book: sqlite3.Connection,
    reader: Outcomes,
    files: Sequence[OutcomeFile],
    scope: Scope,
    on_progress: Callable[[int], None] = lambda _count: None,
) -> Expected:
    """Fill `sent` with the outcomes that count; dry runs never do.

    Args:
        book: empty.
        reader: reads the files.
        files: in the order of time, as `find_files` gives them.
        scope: what to leave out.
        on_progress: called now and then with the number of outcomes read.

    Raises:
        StorageError: a file cannot be read.
    """
    book.execute("BEGIN")
    read = 0
    runs: dict[str, int] = {}
    for file in files:
        if file.kind is not Kind.OUTCOMES or file.run in scope.other_runs:
            continue
        number = runs.setdefault(file.run, len(runs))
        started = file.started_at.strftime(_AT) if file.started_at else ""
        book.execute("INSERT OR IGNORE INTO run VALUES (?, ?, ?)", (number, file.run, started))
        for count in _read_file(book, reader, file, number, scope):
            read += count
            on_progress(read)
    book.execute(_KEEP_LATEST, (scope.since,))
    book.execute(_KEEP_FIRST)
    unnamed = int(book.execute(f"SELECT count(*) {_UNNAMED}").fetchone()[0])
    book.execute(f"DELETE {_UNNAMED}")
    book.execute("COMMIT")
    add_indexes(book)
    return Expected([ProgramSize(*row) for row in book.execute(_LEADS)], unnamed)


def _read_file(book: sqlite3.Connection, reader: Outcomes, file: OutcomeFile, run: int, scope: Scope) -> Iterator[int]:
    """Yields how many outcomes each insert took."""
    latest: list[_Row] = []
    sent: list[_Row] = []

    def insert() -> int:
        book.executemany(_INSERT_LATEST, latest)
        book.executemany(_INSERT_SENT, sent)
        count = len(latest)
        latest.clear()
        sent.clear()
        return count

    for outcome in reader.outcomes(file):
        program = outcome.program_id
        if program is None or outcome.dry_run or (scope.programs and program not in scope.programs):
            continue
        record = _record_number(file, outcome)
        latest.append((record, program, run, outcome.at))
        if outcome.outcome in _DELIVERED and outcome.program_status:
            sent.append((record, program, run, *_sent_row(outcome)))
        if len(latest) >= _ROWS_PER_INSERT:
            yield insert()
    yield insert()


def _sent_row(outcome: StoredOutcome) -> _Row:
    key, line = None, None
    lookup = "" if outcome.lookup_value is None else str(outcome.lookup_value)
    others = (outcome.detail or {}).get("lead_ids")
    if lookup:
        key = key_of(lookup)
    elif isinstance(others, list) and others:
        # People who shared the key: if the one that was taken is merged away, it is into one of these.
        key = digest("lead ids", *map(str, others))
    if key is not None or outcome.outcome == Result.IMPORTED:
        line = msgspec.json.encode(outcome)
    return (
        outcome.program_status,
        outcome.at,
        outcome.lead_id,
        key,
        outcome.outcome == Result.IMPORTED,
        outcome.record_key_is_position,
        outcome.stream,
        outcome.record_key,
        outcome.record_ref or record_ref(outcome.namespace or "", outcome.stream, outcome.record_key),
        line,
    )


def _record_number(file: OutcomeFile, outcome: StoredOutcome) -> int:
    # Positions start afresh in every run.
    position_in = file.run if outcome.record_key_is_position else ""
    return digest(position_in, outcome.namespace or "", outcome.stream, outcome.record_key)
