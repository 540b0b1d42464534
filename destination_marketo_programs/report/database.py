"""Stored outcomes in a temporary database, so that a million of them need little memory.

The files pass by once. What counts is kept narrow, to be sorted; what is shown of it stands apart, by number.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.outcomes import Result, record_ref
from destination_marketo_programs.report.people import who_is
from destination_marketo_programs.storage import Kind, OutcomeFile, Reader, StorageError
from destination_marketo_programs.storage.runs import run_name
from destination_marketo_programs.summary import RESULTS, Cell, Counts, mapping_for, part_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from destination_marketo_programs.storage import StoredOutcome

MAX_EVENTS = 2_000
OTHER_EVENTS = "(other events)"
"""Stands for every event beyond `MAX_EVENTS`; a wrong mapping can make each record an event of its own."""

MAX_PARTS = 200
OTHER_VALUES = "(other values)"
"""Stands for what splits a reason beyond `MAX_PARTS` different values."""

MAX_RECORD_BYTES = 16_000
"""Longest record that is kept to be shown and exported; of a longer one only the person is."""

_ROWS_PER_INSERT = 5_000
_CACHE_KIB = 65_536
_RUN_BITS = 20

_SCHEMA = """
CREATE TABLE outcome (record INTEGER, program INTEGER, stamp INTEGER, cell INTEGER, number INTEGER);
CREATE TABLE wide (number INTEGER PRIMARY KEY, line BLOB);
CREATE TABLE stored (
    record INTEGER PRIMARY KEY, data BLOB, name TEXT, email TEXT, company TEXT, number INTEGER
);
CREATE TABLE lead (record INTEGER, rank INTEGER, cell INTEGER, at INTEGER, numbers BLOB, news TEXT);
"""
_INSERT_STORED = "INSERT OR REPLACE INTO stored VALUES (?, ?, ?, ?, ?, ?)"

Row = tuple[object, ...]


class Wide(msgspec.Struct, array_like=True, omit_defaults=True):
    """What is shown of an outcome beside its cell."""

    stream: str
    key: str
    ref: str
    at: str
    run: int
    event: str | None = None
    namespace: str | None = None
    lead_id: int | None = None
    lead_action: str | None = None
    message: str | None = None
    request_id: str | None = None
    detail: dict[str, object] | None = None
    retryable: bool = False
    fields: list[str] = []
    confirmed: bool = False
    verdict: str = ""
    lookup_value: str | int | None = None


@dataclass
class RunTally:
    """One attempt of a sync; `started_at` is UTC, from the file's name or else its first outcome.

    Attributes:
        sync: what the attempts of one sync share: its `sync_id` where a run file tells it, else the run's own name.
        confirming: `reconcile` wrote it: no sync, and shown in no timeline.
        cells: outcomes by cell, as the run told them at the time.
    """

    number: int
    sync: str
    started_at: str
    counts: Counts = field(default_factory=Counts)
    cells: Counter[int] = field(default_factory=Counter)
    confirming: bool = False
    dry_run: bool = False


class Database:
    """The outcomes of all files at the given places. A context manager: it leaves nothing behind.

    Args:
        reader: reads the files.
        locations: as `find_files` takes them. A file that is named outright brings the others of its run.
        on_progress: called now and then with the number of outcomes read so far.

    Attributes:
        files: what was found.
        run_files: the run files at the places, newest first.
        runs: run name -> its tally, in the order of time.
        cells: what outcomes are counted by, and the part of their reason, by number.
        mappings: number of a cell -> a mapping to copy, as JSON.
        retryable: numbers of cells in which sending again can help as it is.
        first_at, last_at: earliest and latest `at`, empty without outcomes.
        other_events: whether `OTHER_EVENTS` stands for several.
        unknown: outcomes that were left out because only a later version knows their name.

    Raises:
        StorageError: as `find_files`; or no file of outcomes is among them.
    """

    def __init__(
        self, reader: Reader, locations: Sequence[str], on_progress: Callable[[int], None] | None = None
    ) -> None:
        self.files = reader.with_others_of_their_runs(reader.find_files(locations))
        if not any(file.kind is Kind.OUTCOMES for file in self.files):
            raise StorageError(
                locations[0], "there are only rejected records here.", "Name the outcomes-*.jsonl files as well."
            )
        self.runs: dict[str, RunTally] = {}
        self.run_files = reader.runs(locations)
        self._syncs = {run_name(run): f"sync {run.sync_id}" for run in self.run_files if run.sync_id}
        self.cells: list[tuple[Cell, str]] = []
        self.mappings: dict[int, str] = {}
        self.retryable: set[int] = set()
        self.first_at = ""
        self.last_at = ""
        self.other_events = False
        self.unknown = 0
        self.reader = reader
        self._on_progress = on_progress or (lambda _: None)
        self._read = 0
        self._cell_numbers: dict[tuple[Cell, str], int] = {}
        self._programs: dict[int | None, int] = {}
        self._events: set[str] = set()
        self._parts: dict[str | None, set[str]] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="marketo-report-")
        self.connection = sqlite3.connect(Path(self._folder.name) / "tally.sqlite", isolation_level=None)
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
        """Remove it."""
        self.connection.close()
        self._folder.cleanup()

    def program_of(self, number: int) -> int | None:
        """The program id behind a number of the `program` column."""
        return list(self._programs)[number]

    @property
    def no_program(self) -> int:
        """What stands in the `program` column of outcomes that name no program; -1 if there are none."""
        return self._programs.get(None, -1)

    def _fill(self) -> None:
        # The database outlives nobody: no journal, no waiting for the disk.
        for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
            self.connection.execute(f"PRAGMA {pragma}")
        self.connection.executescript(_SCHEMA)
        self.connection.execute("BEGIN")
        for file in self.files:
            if file.kind is Kind.OUTCOMES:
                self._read_outcomes(file)
        dry_runs = {cell.dry_run for cell, _ in self.cells}
        for file in self.files:
            if file.kind is Kind.REJECTED:
                self.connection.executemany(_INSERT_STORED, self._stored(file, dry_runs))
        self.connection.execute("COMMIT")
        self._on_progress(self._read)

    def _read_outcomes(self, file: OutcomeFile) -> None:
        run = self.runs.get(file.run)
        if run is None:
            run = self.runs[file.run] = RunTally(
                len(self.runs), self._syncs.get(file.run, file.run), _text_of(file.started_at)
            )
        narrow: list[Row] = []
        wide: list[Row] = []
        for outcome in self.reader.outcomes(file):
            if outcome.outcome not in RESULTS:
                self.unknown += 1
                continue
            if outcome.confirmed:
                run.confirming = True
                if outcome.record_key_is_position:
                    continue  # its position is one of another run: nobody can tell which record it confirms
            run.dry_run = run.dry_run or outcome.dry_run
            cell = self._cell_number(outcome)
            run.cells[cell] += 1
            if outcome.retryable:
                self.retryable.add(cell)
            run.counts.add(outcome.outcome)
            self._read += 1
            record = record_number(
                file,
                outcome.namespace,
                outcome.stream,
                outcome.record_key,
                position=outcome.record_key_is_position,
                dry_run=outcome.dry_run,
            )  # fmt: skip - what names it in one line
            program = self._programs.setdefault(outcome.program_id, len(self._programs))
            stamp = (_seconds(outcome.at) << _RUN_BITS) | run.number
            narrow.append((record, program, stamp, cell, self._read))
            wide.append((self._read, _encode(_wide_of(outcome, run.number))))
            self.last_at = max(self.last_at, outcome.at)
            if not self.first_at or outcome.at < self.first_at:
                self.first_at = outcome.at
            run.started_at = run.started_at or outcome.at
            if len(narrow) >= _ROWS_PER_INSERT:
                self._insert(narrow, wide)
        self._insert(narrow, wide)

    def _insert(self, narrow: list[Row], wide: list[Row]) -> None:
        self.connection.executemany("INSERT INTO outcome VALUES (?, ?, ?, ?, ?)", narrow)
        self.connection.executemany("INSERT INTO wide VALUES (?, ?)", wide)
        self._on_progress(self._read)
        narrow.clear()
        wide.clear()

    def _cell_number(self, outcome: StoredOutcome) -> int:
        event = outcome.event
        if event is not None and event not in self._events:
            if len(self._events) < MAX_EVENTS:
                self._events.add(event)
            else:
                self.other_events = True
                event = OTHER_EVENTS
        category = outcome.category
        part = ""
        if outcome.outcome in {Result.REJECTED, Result.SKIPPED}:
            part = part_name(outcome.detail)
            known = self._parts.setdefault(category, set())
            if part and part not in known:
                if len(known) < MAX_PARTS:
                    known.add(part)
                else:
                    part = OTHER_VALUES
        cell = Cell(
            event, outcome.program_id, outcome.program_status, outcome.outcome, category, outcome.code, outcome.dry_run
        )
        number = self._cell_numbers.get((cell, part))
        if number is None:
            number = self._cell_numbers[cell, part] = len(self.cells)
            self.cells.append((cell, part))
            if part and part != OTHER_VALUES:
                mapping = mapping_for(outcome.detail, outcome.program_id, outcome.program_status)
                if mapping is not None:
                    self.mappings[number] = mapping
        return number

    def _stored(self, file: OutcomeFile, dry_runs: set[bool]) -> Iterator[Row]:
        for number, line in enumerate(self.reader.rejected(file)):
            data = bytes(line.record.data)
            who = who_is(data)
            kept = data if len(data) <= MAX_RECORD_BYTES else None
            position = line.rejection.record_key_is_position is True
            for dry_run in dry_runs:
                record = record_number(
                    file,
                    line.record.namespace,
                    line.record.stream,
                    line.rejection.record_key,
                    position=position,
                    dry_run=dry_run,
                )  # fmt: skip - as above
                yield (record, kept, *who, number)


def record_number(
    file: OutcomeFile, namespace: str | None, stream: str, key: str, *, position: bool, dry_run: bool
) -> int:
    """A record's name as a number of 64 bits.

    Positions start afresh in every run. A dry run says nothing about what a real one did: the two never replace each
    other.
    """
    name = f"{file.run if position else ''}\0{'dry' if dry_run else ''}\0{namespace or ''}\0{stream}\0{key}"
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


def run_of(stamp: int) -> int:
    """The number of the run in a `stamp`."""
    return stamp & ((1 << _RUN_BITS) - 1)


def seconds_of(stamp: int) -> int:
    """The time in a `stamp`, in seconds since 1970."""
    return stamp >> _RUN_BITS


_encode = msgspec.json.Encoder().encode


def _wide_of(outcome: StoredOutcome, run: int) -> Wide:
    return Wide(
        outcome.stream,
        outcome.record_key,
        outcome.record_ref or record_ref(outcome.namespace or "", outcome.stream, outcome.record_key),
        outcome.at,
        run,
        outcome.event,
        outcome.namespace,
        outcome.lead_id,
        outcome.lead_action,
        outcome.message,
        outcome.request_id,
        outcome.detail,
        outcome.retryable,
        list(outcome.sent or ()),
        outcome.confirmed,
        outcome.verdict,
        outcome.lookup_value,
    )


@lru_cache(maxsize=64)
def _seconds(at: str) -> int:
    try:
        return max(0, int(datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()))
    except ValueError:
        return 0


def _text_of(time: datetime | None) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ") if time else ""
