"""The working store of one `reconcile`: a temporary database, because 100,000 memberships are too many for memory."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from destination_marketo_programs.mapping import fold_address

if TYPE_CHECKING:
    from collections.abc import Iterator

_CACHE_KIB = 16_384

# `sent` is what outcomes say; `latest` which of them count. `member`, `person` and `candidate` are what Marketo says.
# A lead is called by its id, and by `key`, the digest of what finds it where the id is not known or leads nowhere.
_SCHEMA = """
CREATE TABLE run (number INTEGER PRIMARY KEY, name TEXT UNIQUE, started TEXT);
CREATE TABLE latest (
    record INTEGER, program INTEGER, run INTEGER, at TEXT, first TEXT, PRIMARY KEY (record, program)
) WITHOUT ROWID;
CREATE TABLE sent (
    number INTEGER PRIMARY KEY, record INTEGER, program INTEGER, run INTEGER, status TEXT, at TEXT, lead INTEGER,
    key INTEGER, imported INTEGER, position INTEGER, stream TEXT, record_key TEXT, ref TEXT, line BLOB, now INTEGER,
    first TEXT
);
CREATE TABLE member (
    program INTEGER, lead INTEGER, status TEXT, since TEXT, updated TEXT, PRIMARY KEY (program, lead)
) WITHOUT ROWID;
CREATE TABLE person (lead INTEGER PRIMARY KEY, known INTEGER);
CREATE TABLE candidate (key INTEGER, lead INTEGER, updated TEXT, PRIMARY KEY (key, lead)) WITHOUT ROWID;
CREATE TABLE asked (program INTEGER, lead INTEGER, PRIMARY KEY (program, lead)) WITHOUT ROWID;
CREATE TABLE searched (key INTEGER PRIMARY KEY);
CREATE TABLE verdict (
    number INTEGER PRIMARY KEY, program INTEGER, lead INTEGER, verdict TEXT, sent TEXT, found TEXT, at TEXT,
    first TEXT, stream TEXT, record_key TEXT, ref TEXT, was INTEGER, fix TEXT, code TEXT
);
"""
_INDEXES = """
CREATE INDEX sent_by_lead ON sent (program, lead);
CREATE INDEX sent_by_key ON sent (program, key);
CREATE INDEX key_of_sent ON sent (key);
CREATE INDEX lead_of_sent ON sent (lead);
"""


@contextmanager
def open_book() -> Iterator[sqlite3.Connection]:
    """An empty database that is gone with the block. Its folder is the user's alone."""
    with tempfile.TemporaryDirectory(prefix="marketo-reconcile-") as folder:
        book = sqlite3.connect(Path(folder) / "book.sqlite", isolation_level=None)
        try:
            # It outlives nobody: no journal, no waiting for the disk.
            for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIB}"):
                book.execute(f"PRAGMA {pragma}")
            # Sorting 100,000 rows must not take memory either.
            book.execute("PRAGMA temp_store = FILE")
            book.executescript(_SCHEMA)
            yield book
        finally:
            book.close()


def add_indexes(book: sqlite3.Connection) -> None:
    """To be called when `sent` is filled: rows go in several times faster without."""
    book.executescript(_INDEXES)


def digest(*parts: str) -> int:
    """A number for a name, the same whenever it is asked for; 64 bits."""
    name = "\0".join(parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(name, digest_size=8).digest(), signed=True)


def key_of(value: str) -> int:
    """The number of an email."""
    return digest("email", fold_address(value))
