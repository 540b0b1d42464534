"""Where rows wait for their import file and its job: on disk, in a database that nobody else can open.

The database has no name once it is open, so that nothing of it is left behind however the process ends. It keeps
nothing that the source would not send again: no journal, no sync, one transaction that never ends.
"""

from __future__ import annotations

import sqlite3
import tempfile
from errno import ENOSPC, EROFS
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PARKED = 0
"""Place of a row whose person has an earlier row here."""
FOR_REST = -1
"""Place of a row that goes over REST as soon as there is room."""
CACHE_KIBIBYTES = 8_192
ROW_OVERHEAD_BYTES = 80

_SCHEMA = """
CREATE TABLE waiting (
    id INTEGER PRIMARY KEY,
    place INTEGER NOT NULL,
    person INTEGER NOT NULL,
    grp INTEGER NOT NULL,
    born REAL NOT NULL,
    line BLOB NOT NULL,
    record BLOB NOT NULL
);
CREATE INDEX by_place ON waiting (place, id);
CREATE INDEX parked ON waiting (person, id) WHERE place = 0;
"""


class SpoolError(OSError):
    """The spool cannot be written; nothing of it was acknowledged."""


class Row(NamedTuple):
    """A waiting row.

    Attributes:
        id: order of arrival.
        person: hash of the folded email.
        group: what file it fits into; 0 for a row that can only go over REST.
        born: monotonic seconds of the record's arrival.
        line: its line in the file.
        record: all that is needed to settle it.
    """

    id: int
    person: int
    group: int
    born: float
    line: bytes
    record: bytes


class Spool:
    """Rows by place: a file's number, `PARKED` or `FOR_REST`. Used by one thread.

    Args:
        directory: where the database is; by default where `tempfile` says (`TMPDIR`).

    Attributes:
        rows, size_bytes: what waits, in all places.

    Raises:
        SpoolError: there is no folder to write to.
    """

    def __init__(self, directory: str | None = None) -> None:
        self.rows = 0
        self.size_bytes = 0
        self._next_id = 1
        try:
            with tempfile.TemporaryDirectory(prefix="marketo-import-", dir=directory) as folder:
                self._open(f"{folder}/spool")
        except SpoolError:
            raise
        except (OSError, sqlite3.Error) as error:
            raise SpoolError(
                EROFS,
                f"There is no folder for records that wait for bulk import ({error}). Set TMPDIR to one that can be "
                "written, or set delivery.method to rest",
            ) from error

    def _open(self, path: str) -> None:
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._execute("PRAGMA journal_mode = OFF")
        self._execute("PRAGMA synchronous = OFF")
        self._execute("PRAGMA locking_mode = EXCLUSIVE")
        self._execute(f"PRAGMA cache_size = -{CACHE_KIBIBYTES}")
        self._database.executescript(_SCHEMA)
        self._execute("BEGIN EXCLUSIVE")

    def close(self) -> None:
        """Forget everything."""
        self._database.close()

    def _execute(self, statement: str, values: Sequence[object] = ()) -> sqlite3.Cursor:
        """Run one statement.

        Raises:
            SpoolError: the disk is full or broken.
        """
        try:
            return self._database.execute(statement, values)
        except sqlite3.Error as error:
            raise SpoolError(
                ENOSPC,
                f"The folder {tempfile.gettempdir()}, which keeps records that wait for bulk import, cannot be written "
                f"({error}). Free some space, set TMPDIR to a larger folder, or set delivery.method to rest",
            ) from error

    def add(self, place: int, person: int, group: int, born: float, line: bytes, record: bytes) -> None:
        """Take one row, behind all that are here.

        Raises:
            SpoolError: the disk is full or broken.
        """
        self._execute(
            "INSERT INTO waiting VALUES (?, ?, ?, ?, ?, ?, ?)",
            (self._next_id, place, person, group, born, line, record),
        )
        self._next_id += 1
        self.rows += 1
        self.size_bytes += len(line) + len(record) + ROW_OVERHEAD_BYTES

    def first(self, place: int, limit: int) -> list[Row]:
        """The rows of a place that came first, in order of arrival."""
        found = self._execute(
            "SELECT id, person, grp, born, line, record FROM waiting WHERE place = ? ORDER BY id LIMIT ?",
            (place, limit),
        )
        return [Row(*row) for row in found]

    def lines(self, place: int) -> bytes:
        """The lines of all rows of a place, in order of arrival."""
        found = self._execute("SELECT line FROM waiting WHERE place = ? ORDER BY id", (place,))
        return b"".join(line for (line,) in found)

    def sample(self, place: int, most: int) -> list[bytes]:
        """The lines of some rows of a place, spread evenly, the last one among them."""
        ids = [row_id for (row_id,) in self._execute("SELECT id FROM waiting WHERE place = ? ORDER BY id", (place,))]
        step = -(-len(ids) // most) or 1
        chosen = ids[::-step]
        return [
            line for row_id in chosen for (line,) in self._execute("SELECT line FROM waiting WHERE id = ?", (row_id,))
        ]

    def people(self, place: int) -> set[int]:
        """The `person` of each row of a place."""
        return {person for (person,) in self._execute("SELECT person FROM waiting WHERE place = ?", (place,))}

    def records(self, place: int) -> Iterator[tuple[int, bytes]]:
        """(person, record) of each row of a place."""
        yield from self._execute("SELECT person, record FROM waiting WHERE place = ?", (place,))

    def remove(self, rows: list[Row]) -> None:
        """These rows are settled, or on their way over REST."""
        for row in rows:
            self._execute("DELETE FROM waiting WHERE id = ?", (row.id,))
        self.rows -= len(rows)
        self.size_bytes -= sum(len(row.line) + len(row.record) + ROW_OVERHEAD_BYTES for row in rows)

    def put(self, row: Row, place: int, group: int, record: bytes) -> None:
        """Change a row's place, group and record; its turn stays what it was."""
        self._execute("UPDATE waiting SET place = ?, grp = ?, record = ? WHERE id = ?", (place, group, record, row.id))
        self.size_bytes += len(record) - len(row.record)

    def move(self, place: int, to: int) -> int:
        """Move all rows of a place; returns how many."""
        return self._execute("UPDATE waiting SET place = ? WHERE place = ?", (to, place)).rowcount

    def split(self, place: int, to: int, keep: int) -> list[tuple[float, int]]:
        """Move all but the first `keep` rows of a place; returns (born, line bytes) of the rows moved."""
        after = self._execute(
            "SELECT id FROM waiting WHERE place = ? ORDER BY id LIMIT 1 OFFSET ?", (place, keep - 1)
        ).fetchone()
        if after is None:
            return []
        self._execute("UPDATE waiting SET place = ? WHERE place = ? AND id > ?", (to, place, after[0]))
        return list(self._execute("SELECT born, length(line) FROM waiting WHERE place = ?", (to,)))

    def next_parked(self, person: int) -> Row | None:
        """The row of that person that has been parked longest."""
        found = self._execute(
            "SELECT id, person, grp, born, line, record FROM waiting WHERE place = 0 AND person = ? "
            "ORDER BY id LIMIT 1",
            (person,),
        ).fetchone()
        return None if found is None else Row(*found)

    def unpark(self, person: int) -> int:
        """All parked rows of a person go over REST; returns how many."""
        return self._execute("UPDATE waiting SET place = -1 WHERE place = 0 AND person = ?", (person,)).rowcount

    def unpark_behind_rest(self) -> int:
        """All parked rows of people who have a row for REST go there too; returns how many."""
        return self._execute(
            "UPDATE waiting SET place = -1 WHERE place = 0 AND person IN (SELECT person FROM waiting WHERE place = -1)"
        ).rowcount
