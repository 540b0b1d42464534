"""What a write would have changed in Marketo so far, laid over what Marketo shows."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

LARGEST_LEAD_ID = 2**63 - 1
"""Nobody has a higher id, and SQLite holds none."""
_CACHE_KIB = 16_384

_SCHEMA = """
CREATE TABLE person (number INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE);
CREATE TABLE membership (
    program INTEGER, lead INTEGER, status TEXT, PRIMARY KEY (program, lead)
) WITHOUT ROWID;
CREATE TABLE file_rows (person INTEGER PRIMARY KEY, count INTEGER);
"""


class Overlay:
    """New people and changed memberships of one run, in a temporary database that grows on disk, not in memory.

    New people have negative ids, which no lead of Marketo has. Every method may be called from any thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # An empty name is SQLite's own temporary file, which goes with the connection.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for statement in (f"PRAGMA cache_size = -{_CACHE_KIB}", "PRAGMA journal_mode = OFF"):
            self._database.execute(statement)
        self._database.executescript(_SCHEMA)

    def close(self) -> None:
        """Let go of the database."""
        with self._lock:
            self._database.close()

    def person(self, key: str) -> int | None:
        """Id of the person that this run would have created with that key."""
        with self._lock:
            row = self._database.execute("SELECT number FROM person WHERE key = ?", (key,)).fetchone()
        return None if row is None else -int(row[0])

    def add_person(self, key: str) -> int:
        """A new person, with an id of their own."""
        with self._lock:
            return -int(self._database.execute("INSERT INTO person (key) VALUES (?)", (key,)).lastrowid or 0)

    def count_rows(self, key: str, rows: int) -> int:
        """Count rows in import files for the person with that key; returns how many there were before."""
        query = (
            "INSERT INTO file_rows VALUES (?, ?) ON CONFLICT (person) DO UPDATE SET count = count + excluded.count "
            "RETURNING count"
        )
        with self._lock:
            return int(self._database.execute(query, (hash(key), rows)).fetchone()[0]) - rows

    @property
    def people(self) -> int:
        """How many people this run would have created."""
        with self._lock:
            return int(self._database.execute("SELECT count(*) FROM person").fetchone()[0])

    def statuses(self, program_id: int, lead_ids: Sequence[int]) -> dict[int, str]:
        """Lead id -> status, for those of one call whose membership this run would have set or confirmed."""
        marks = ",".join("?" * len(lead_ids))
        query = f"SELECT lead, status FROM membership WHERE program = ? AND lead IN ({marks})"  # noqa: S608 - only marks
        with self._lock:
            return dict(self._database.execute(query, (program_id, *lead_ids)))

    def put(self, program_id: int, memberships: Iterable[tuple[int, str]]) -> None:
        """Note (lead id, status now) of one program."""
        rows = [(program_id, *membership) for membership in memberships]
        with self._lock:
            self._database.execute("BEGIN")
            self._database.executemany("INSERT OR REPLACE INTO membership VALUES (?, ?, ?)", rows)
            self._database.execute("COMMIT")
