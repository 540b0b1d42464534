"""The compact database of what was sent: a digest of outcome files, and nothing that is not in them.

One file without a journal: it is only written whole, at the end of a run, and made anew from the outcome files if it
is lost or damaged.
"""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from destination_marketo_programs.memory.prints import MEMBER, read_sent

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

VERSION: Final = "1"
NO_LEAD: Final = 0
_CACHE_KIBIBYTES: Final = 8_192
_SCHEMA: Final = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE name (id INTEGER PRIMARY KEY, text TEXT UNIQUE);
CREATE TABLE record (id INTEGER PRIMARY KEY, value BLOB NOT NULL);
CREATE TABLE highest (lead INTEGER, program INTEGER, status INTEGER, PRIMARY KEY (lead, program)) WITHOUT ROWID;
CREATE TABLE covered (file TEXT PRIMARY KEY) WITHOUT ROWID;
"""


class Member(msgspec.Struct, array_like=True, gc=False):
    """What was sent for one program.

    Attributes:
        status: number of the name.
        day: days since 1970 on which it was sent.
        fields: fingerprint of the membership fields; "" without any.
    """

    program: int
    status: int
    day: int
    fields: str


class Remembered(msgspec.Struct, array_like=True, gc=False):
    """What was sent of one record.

    Attributes:
        lead_id: `NO_LEAD` if Marketo did not say, as for a row of a bulk import.
        prints: number of the field's name -> fingerprint.
    """

    lead_id: int
    salt: str
    prints: dict[int, str]
    members: list[Member]

    def member(self, program_id: int) -> Member | None:
        """What was sent for a program."""
        for member in self.members:
            if member.program == program_id:
                return member
        return None


class Sent(msgspec.Struct, gc=False):
    """Something that Marketo has confirmed, and that is durable in an outcome file.

    Attributes:
        day: days since 1970.
        raises: whether the status counts as the highest one sent; not so for one that another record superseded.
    """

    record: int
    salt: str
    prints: dict[str, str]
    lead_id: int
    program_id: int
    status: str
    day: int
    raises: bool = True


def sent_of(
    sent: Mapping[str, str], lead_id: int | None, program_id: int, status: str, day: int, *, raises: bool
) -> Sent | None:
    """What the `sent` member of an outcome says; None if it is of no known form."""
    read = read_sent(sent)
    if read is None:
        return None
    record, salt, prints = read
    return Sent(record, salt, prints, lead_id or NO_LEAD, program_id, status, day, raises)


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Remembered).decode


class DamagedError(Exception):
    """The stored database cannot be used."""


class Digest:
    """The database. Used by one thread.

    Args:
        data: as `whole` gave it; None for a new one.
        further: says whether the first of two statuses of a program is further than the second.

    Raises:
        DamagedError: `data` is not such a database, or one of another version.
        OSError: there is no folder for temporary files.
    """

    def __init__(self, data: bytes | None, further: Callable[[int, str, str], bool]) -> None:
        self._further = further
        self._database = _opened(data)
        self._names: dict[str, int] = {}
        self._texts: dict[int, str] = {}
        try:
            if data is None:
                self._database.executescript(_SCHEMA)
                self.note("version", VERSION)
            elif self.noted("version") != VERSION:
                raise DamagedError
            for number, text in self._database.execute("SELECT id, text FROM name"):
                self._names[text], self._texts[number] = number, text
        except sqlite3.Error as error:
            raise DamagedError from error
        self._database.execute("BEGIN")

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def whole(self) -> bytes:
        """The database as one text of bytes, without unused pages."""
        self._database.execute("COMMIT")
        self._database.execute("VACUUM")
        data = self._database.serialize()
        self._database.execute("BEGIN")
        return data

    # --- what is in it -------------------------------------------------------------------------------------------

    def note(self, key: str, value: str) -> None:
        """Note something about the whole database."""
        self._database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def noted(self, key: str) -> str | None:
        """What was noted."""
        row = self._database.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def record(self, number: int) -> Remembered | None:
        """What was sent of a record."""
        row = self._database.execute("SELECT value FROM record WHERE id = ?", (number,)).fetchone()
        return None if row is None else _decode(row[0])

    def highest(self, lead_id: int, program_id: int) -> str | None:
        """The furthest status that was sent for a lead and program."""
        row = self._database.execute(
            "SELECT status FROM highest WHERE lead = ? AND program = ?", (lead_id, program_id)
        ).fetchone()
        return None if row is None else self._texts.get(row[0])

    def field_name(self, number: int) -> str | None:
        """The name of a field or status."""
        return self._texts.get(number)

    def number(self, text: str) -> int:
        """The number of a name."""
        number = self._names.get(text)
        if number is None:
            number = len(self._names) + 1
            self._names[text], self._texts[number] = number, text
            self._database.execute("INSERT INTO name VALUES (?, ?)", (number, text))
        return number

    def take(self, sent: Sent) -> None:
        """Take in something that was sent."""
        prints = {self.number(name): value for name, value in sent.prints.items() if name != MEMBER}
        before = self.record(sent.record)
        member = Member(sent.program_id, self.number(sent.status), sent.day, sent.prints.get(MEMBER, ""))
        members = [] if before is None else [each for each in before.members if each.program != sent.program_id]
        lead_id = sent.lead_id
        if lead_id == NO_LEAD and before is not None and before.salt == sent.salt:
            lead_id = before.lead_id
        value = Remembered(lead_id, sent.salt, prints, [*members, member])
        self._database.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (sent.record, _encode(value)))
        if lead_id != NO_LEAD and sent.raises:
            self._raise_highest(lead_id, sent.program_id, sent.status)

    def _raise_highest(self, lead_id: int, program_id: int, status: str) -> None:
        held = self.highest(lead_id, program_id)
        if held is None or (held != status and self._further(program_id, status, held)):
            row = (lead_id, program_id, self.number(status))
            self._database.execute("INSERT OR REPLACE INTO highest VALUES (?, ?, ?)", row)

    def name_lead(self, record: int, lead_id: int) -> None:
        """Learn the lead of a record of which an import did not say it."""
        before = self.record(record)
        if before is None or before.lead_id != NO_LEAD:
            return
        value = msgspec.structs.replace(before, lead_id=lead_id)
        self._database.execute("INSERT OR REPLACE INTO record VALUES (?, ?)", (record, _encode(value)))
        for member in before.members:
            status = self._texts.get(member.status)
            if status is not None:
                self._raise_highest(lead_id, member.program, status)

    # --- which files it covers -----------------------------------------------------------------------------------

    def covers(self, file: str) -> bool:
        """Whether everything in an outcome file is in the database."""
        return self._database.execute("SELECT 1 FROM covered WHERE file = ?", (file,)).fetchone() is not None

    def cover(self, files: Iterable[str]) -> None:
        """Everything in these files is."""
        self._database.executemany("INSERT OR IGNORE INTO covered VALUES (?)", [(file,) for file in files])

    def forget_files(self, but: Collection[str]) -> None:
        """Files that do not exist any more need not be noted."""
        gone = [(file,) for (file,) in self._database.execute("SELECT file FROM covered") if file not in but]
        self._database.executemany("DELETE FROM covered WHERE file = ?", gone)

    def keep_programs(self, programs: Collection[int]) -> None:
        """Forget what was sent for programs that no link names any more."""
        linked = ",".join(str(int(program)) for program in sorted(programs))
        if self.noted("programs") == linked:
            return
        self.note("programs", linked)
        self._database.execute(f"DELETE FROM highest WHERE program NOT IN ({linked})")  # noqa: S608 - numbers
        changed: list[tuple[int, bytes | None]] = []
        for number, value in self._database.execute("SELECT id, value FROM record"):
            remembered = _decode(value)
            kept = [member for member in remembered.members if member.program in programs]
            if len(kept) < len(remembered.members):
                changed.append((number, _encode(msgspec.structs.replace(remembered, members=kept)) if kept else None))
        self._database.executemany(
            "UPDATE record SET value = ? WHERE id = ?", [(value, number) for number, value in changed if value]
        )
        self._database.executemany(
            "DELETE FROM record WHERE id = ?", [(number,) for number, value in changed if not value]
        )


def _opened(data: bytes | None) -> sqlite3.Connection:
    """A database in a temporary file without a name; whatever ends the process, nothing is left of it."""
    with tempfile.TemporaryDirectory(prefix="marketo-memory-") as folder:
        path = Path(folder, "memory.db")
        if data is not None:
            path.write_bytes(data)
        database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE_KIBIBYTES}"):
                database.execute(f"PRAGMA {pragma}")
            # Read once while the file has its name: from here on it is open.
            sound = database.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        except sqlite3.Error:
            sound = False
    if not sound:
        database.close()
        raise DamagedError
    return database
