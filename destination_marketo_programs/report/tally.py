"""Counts stored outcomes, each record x program once, in bounded memory.

The outcomes pass by once; what is needed of each stays in a temporary SQLite database on disk, because a
dictionary of a million keys would need more memory than a report may take.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from destination_marketo_programs.hints import hint_text
from destination_marketo_programs.outcomes import Category, Result
from destination_marketo_programs.report.people import who_is
from destination_marketo_programs.report.summary import Cell, Counts, Lead
from destination_marketo_programs.storage import (
    Kind,
    OutcomeFile,
    Reader,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from destination_marketo_programs.storage import StoredOutcome

MAX_EVENTS = 2_000
OTHER_EVENTS = "(other events)"
"""Stands for every event beyond `MAX_EVENTS`; a wrong mapping can make each record an event of its own."""

_ROWS_PER_INSERT = 5_000
_CACHE_KIB = 65_536
_NO_PROGRAM = -1
_RESULTS = frozenset(map(str, Result))

# `latest` is small and takes keys in any order; what is wide is only ever appended, in the order of the files.
_SCHEMA = """
CREATE TABLE cell (number INTEGER PRIMARY KEY, dry_run INTEGER);
CREATE TABLE latest (
    record INTEGER, program INTEGER, cell INTEGER, run INTEGER, superseded INTEGER, at TEXT, rejection INTEGER,
    PRIMARY KEY (record, program)
) WITHOUT ROWID;
CREATE TABLE rejected (
    number INTEGER PRIMARY KEY, record INTEGER, program INTEGER, stream TEXT, record_key TEXT, event TEXT,
    message TEXT, lead_id INTEGER, request_id TEXT, retryable INTEGER
);
CREATE TABLE person (rejection INTEGER PRIMARY KEY, name TEXT, email TEXT, company TEXT);
CREATE VIEW lead AS
SELECT rejected.number, dry_run, latest.cell, latest.at, stream, record_key, event, message, lead_id, request_id,
       retryable, name, email, company
FROM rejected
JOIN latest ON latest.record = rejected.record AND latest.program = rejected.program
    AND latest.rejection = rejected.number
JOIN cell ON cell.number = latest.cell
LEFT JOIN person ON person.rejection = rejected.number;
"""
# The latest outcome counts. Inside one run a record may come twice for one program, where the lower status was
# superseded by the higher: then the one that went out counts, whichever was written last.
_INSERT_LATEST = """
INSERT INTO latest VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (record, program) DO UPDATE
SET cell = excluded.cell, run = excluded.run, superseded = excluded.superseded, at = excluded.at,
    rejection = excluded.rejection
WHERE CASE WHEN excluded.run = run AND excluded.superseded <> superseded
      THEN excluded.superseded < superseded ELSE excluded.at >= at END
"""
_INSERT_REJECTED = "INSERT INTO rejected VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_INSERT_PERSON = """
INSERT OR REPLACE INTO person
SELECT rejection, ?, ?, ? FROM latest WHERE record = ? AND program = ? AND rejection IS NOT NULL
"""
_RECORDS = """
SELECT count(*) FROM (
    SELECT DISTINCT record FROM latest JOIN cell ON cell.number = latest.cell WHERE cell.dry_run = ?
)
"""
_ALL_LEADS = "SELECT * FROM lead WHERE dry_run = ? ORDER BY number"
_LEADS_IN_TURN = """
SELECT * FROM lead WHERE number IN (
    SELECT rejection FROM (
        SELECT rejection, row_number() OVER (PARTITION BY cell ORDER BY at DESC, rejection DESC) AS turn
        FROM latest JOIN cell ON cell.number = latest.cell AND cell.dry_run = ?
        WHERE rejection IS NOT NULL
        ORDER BY turn LIMIT ?
    )
)
ORDER BY at DESC, number DESC
"""

_Row = tuple[object, ...]


@dataclass
class RunTally:
    """One attempt of a sync; `started_at` is UTC, from the file's name or else its first outcome."""

    number: int
    started_at: str
    counts: Counts


class Tally:
    """Reads the outcomes of all files at the given places. A context manager: the database goes with it.

    Args:
        locations: as `find_files` takes them.
        on_progress: called now and then with the number of outcomes read so far.

    Attributes:
        files: what was found.
        runs: run name -> what it stored at the time, in the order of time.
        first_at, last_at: earliest and latest `at`, empty without outcomes.
        other_events: whether `OTHER_EVENTS` stands for several.

    Raises:
        StorageError: as `find_files` and `iter_outcomes`; or no file of outcomes is among them.
    """

    def __init__(self, locations: Sequence[str], on_progress: Callable[[int], None] | None = None) -> None:
        self._reader = Reader()
        self.files = self._reader.find_files(locations)
        if not any(file.kind is Kind.OUTCOMES for file in self.files):
            raise StorageError(
                locations[0], "there are only rejected records here.", "Name the outcomes-*.jsonl files as well."
            )
        self.runs: dict[str, RunTally] = {}
        self.first_at = ""
        self.last_at = ""
        self.other_events = False
        self._on_progress = on_progress or (lambda _: None)
        self._read = 0
        self._rejections = 0
        self._cells: dict[Cell, int] = {}
        self._events: set[str] = set()
        self._folder = tempfile.TemporaryDirectory(prefix="marketo-report-")
        self._database = sqlite3.connect(Path(self._folder.name) / "tally.sqlite", isolation_level=None)
        try:
            self._fill()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove the database."""
        self._database.close()
        self._folder.cleanup()

    def cells(self) -> Counter[Cell]:
        """Number of records x programs by what they are counted by."""
        by_number = {number: cell for cell, number in self._cells.items()}
        rows = self._database.execute("SELECT cell, count(*) FROM latest GROUP BY cell")
        return Counter({by_number[number]: count for number, count in rows})

    def records(self, *, dry_run: bool) -> int:
        """Number of distinct records of real outcomes, or of dry runs."""
        return int(self._database.execute(_RECORDS, (dry_run,)).fetchone()[0])

    def leads(self, *, dry_run: bool, limit: int | None = None) -> Iterator[Lead]:
        """Rejected leads of real outcomes, or of dry runs.

        With a limit they are the latest of each kind in turn, so that no kind crowds out another, latest first;
        without, they come in the order of the files.
        """
        by_number = {number: cell for cell, number in self._cells.items()}
        if limit is None:
            rows = self._database.execute(_ALL_LEADS, (dry_run,))
        else:
            rows = self._database.execute(_LEADS_IN_TURN, (dry_run, limit))
        for row in rows:
            (_, _, number, at, stream, key, event, message, lead_id, request_id, retryable, name, email, company) = row
            cell = by_number[number]
            yield Lead(
                at=at,
                stream=stream,
                record_key=key,
                name=name,
                email=email,
                company=company,
                event=event,
                counted_event=cell.event,
                program_id=cell.program_id,
                program_status=cell.program_status,
                category=cell.category,
                code=cell.code,
                message=message,
                hint=hint_text(cell.category, cell.code),
                lead_id=lead_id,
                request_id=request_id,
                retryable=bool(retryable),
            )

    def _fill(self) -> None:
        # The database outlives nobody: no journal, no waiting for the disk.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.executescript(_SCHEMA)
        self._database.execute("BEGIN")
        for file in self.files:
            if file.kind is Kind.OUTCOMES:
                self._read_outcomes(file)
        dry_runs = {cell.dry_run for cell in self._cells}
        for file in self.files:
            if file.kind is Kind.REJECTED:
                self._database.executemany(_INSERT_PERSON, _people_of(self._reader, file, dry_runs))
        self._database.execute("COMMIT")
        self._on_progress(self._read)

    def _read_outcomes(self, file: OutcomeFile) -> None:
        run = self.runs.setdefault(file.run, RunTally(len(self.runs), _text_of(file.started_at), Counts()))
        latest: list[_Row] = []
        rejected: list[_Row] = []
        by_outcome: Counter[str] = Counter()
        for outcome in self._reader.outcomes(file):
            record = _record_number(file, outcome)
            program = _NO_PROGRAM if outcome.program_id is None else outcome.program_id
            cell = self._cell_number(file, outcome)
            superseded = outcome.category == Category.SUPERSEDED
            by_outcome[outcome.outcome] += 1
            rejection = None
            if outcome.outcome == Result.REJECTED:
                self._rejections += 1
                rejection = self._rejections
                rejected.append((rejection, record, program, *_of_rejected(outcome)))
            latest.append((record, program, cell, run.number, superseded, outcome.at, rejection))
            self.last_at = max(self.last_at, outcome.at)
            if not self.first_at or outcome.at < self.first_at:
                self.first_at = outcome.at
            run.started_at = run.started_at or outcome.at
            if len(latest) >= _ROWS_PER_INSERT:
                self._insert(latest, rejected)
        self._insert(latest, rejected)
        for name, count in by_outcome.items():
            run.counts.add(name, count)

    def _insert(self, latest: list[_Row], rejected: list[_Row]) -> None:
        self._database.executemany(_INSERT_LATEST, latest)
        self._database.executemany(_INSERT_REJECTED, rejected)
        self._read += len(latest)
        self._on_progress(self._read)
        latest.clear()
        rejected.clear()

    def _cell_number(self, file: OutcomeFile, outcome: StoredOutcome) -> int:
        event = outcome.event
        if event is not None and event not in self._events:
            if len(self._events) < MAX_EVENTS:
                self._events.add(event)
            else:
                self.other_events = True
                event = OTHER_EVENTS
        cell = Cell(
            event,
            outcome.program_id,
            outcome.program_status,
            outcome.outcome,
            outcome.category,
            outcome.code,
            outcome.dry_run,
        )
        number = self._cells.get(cell)
        if number is None:
            if outcome.outcome not in _RESULTS:
                raise StorageError(
                    file.location,
                    f"it holds an outcome named {outcome.outcome[:40]!r}.",
                    "It was written by a later version: use that version for the report.",
                )
            number = self._cells[cell] = len(self._cells)
            self._database.execute("INSERT INTO cell VALUES (?, ?)", (number, outcome.dry_run))
        return number


def _of_rejected(outcome: StoredOutcome) -> _Row:
    return (
        outcome.stream,
        outcome.record_key,
        outcome.event,
        outcome.message,
        outcome.lead_id,
        outcome.request_id,
        outcome.retryable,
    )


def _record_number(file: OutcomeFile, outcome: StoredOutcome) -> int:
    # Positions start afresh in every run.
    position_in = file.run if outcome.record_key_is_position else ""
    return _number_of(_key(position_in, outcome.stream, outcome.record_key, dry_run=outcome.dry_run))


def _key(position_in: str, stream: str, record_key: str, *, dry_run: bool) -> str:
    # A dry run says nothing about what a real one did: the two never replace each other.
    return f"{position_in}\0{'dry' if dry_run else ''}\0{stream}\0{record_key}"


def _text_of(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else ""


def _number_of(text: str) -> int:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def _people_of(reader: Reader, file: OutcomeFile, dry_runs: Collection[bool]) -> Iterator[_Row]:
    for line in reader.rejected(file):
        who = who_is(line.record.data)
        if not any(who):
            continue
        others = line.rejection.others or []
        for rejection in (line.rejection, *others):
            position_in = file.run if rejection.record_key_is_position is True else ""
            program = _NO_PROGRAM if rejection.program_id is None else rejection.program_id
            for dry in dry_runs:
                record = _number_of(_key(position_in, line.record.stream, rejection.record_key, dry_run=dry))
                yield (*who, record, program)
