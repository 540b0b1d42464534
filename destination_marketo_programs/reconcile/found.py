"""What Marketo says, in the working store: members, whether people exist, and who may be meant by a key."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from destination_marketo_programs.mapping import can_be_queried
from destination_marketo_programs.reconcile.book import digest, key_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

_INSERT_MEMBER = "INSERT OR REPLACE INTO member VALUES (?, ?, ?, ?, ?)"
_PUT_ROWS = "INSERT OR REPLACE INTO extracted VALUES (?, ?, ?, ?, ?, ?)"
_TAKE_OURS = """
INSERT OR REPLACE INTO member
SELECT program, lead, status, since, updated FROM extracted
WHERE EXISTS (SELECT 1 FROM sent WHERE sent.program = extracted.program AND sent.lead = extracted.lead)
   OR EXISTS (SELECT 1 FROM sent WHERE sent.program = extracted.program AND sent.key = extracted.key)
"""
_TAKE_KEYS = """
INSERT OR REPLACE INTO candidate
SELECT key, lead, updated FROM extracted
WHERE key IS NOT NULL
  AND EXISTS (SELECT 1 FROM sent WHERE sent.program = extracted.program AND sent.key = extracted.key)
"""
_TAKE_PEOPLE = """
INSERT OR IGNORE INTO person
SELECT lead, 1 FROM extracted
WHERE EXISTS (SELECT 1 FROM sent WHERE sent.lead = extracted.lead)
"""
# A lead id leads to itself while the person exists; else, and without one, the key leads to somebody: to a member of
# the program if there is one, and of several to the one that was changed last, as Marketo's import does.
_LEAD_TO_SELF = "UPDATE sent SET now = lead WHERE lead IS NOT NULL AND lead IS NOT now"
_LEAD_BY_KEY = """
UPDATE sent SET now = (
    SELECT candidate.lead FROM candidate
    LEFT JOIN member ON member.program = sent.program AND member.lead = candidate.lead
    WHERE candidate.key = sent.key
    ORDER BY member.lead IS NULL, coalesce(member.updated, candidate.updated) DESC, candidate.lead
    LIMIT 1
)
WHERE key IS NOT NULL
  AND (lead IS NULL OR lead IN (SELECT lead FROM person WHERE NOT known))
"""
_UNKNOWN_PEOPLE = """
SELECT DISTINCT sent.lead FROM sent
LEFT JOIN member ON member.program = sent.program AND member.lead = sent.lead
LEFT JOIN person ON person.lead = sent.lead
WHERE sent.lead IS NOT NULL AND member.lead IS NULL AND person.lead IS NULL
ORDER BY sent.lead
"""
_OPEN_KEYS = """
SELECT key, min(line) FROM sent
WHERE key IS NOT NULL AND (lead IS NULL OR lead IN (SELECT lead FROM person WHERE NOT known))
  AND NOT EXISTS (SELECT 1 FROM searched WHERE searched.key = sent.key)
  AND NOT EXISTS (SELECT 1 FROM candidate WHERE candidate.key = sent.key)
  AND (?1 IS NULL OR program = ?1) AND key > ?2
GROUP BY key ORDER BY key LIMIT ?3
"""
_LOWEST = -(2**63)
_UNREAD = """
SELECT DISTINCT sent.program, candidate.lead FROM sent
JOIN candidate ON candidate.key = sent.key
LEFT JOIN member ON member.program = sent.program AND member.lead = candidate.lead
LEFT JOIN asked ON asked.program = sent.program AND asked.lead = candidate.lead
WHERE member.lead IS NULL AND asked.lead IS NULL
  AND (sent.lead IS NULL OR sent.lead IN (SELECT lead FROM person WHERE NOT known))
ORDER BY sent.program, candidate.lead
"""
_GONE = """
FROM sent JOIN person ON person.lead = sent.lead
WHERE NOT person.known AND NOT EXISTS (SELECT 1 FROM candidate WHERE candidate.key = sent.key)
"""
_LEADS = """
SELECT lead FROM sent WHERE program = ?1 AND lead IS NOT NULL
UNION
SELECT candidate.lead FROM sent JOIN candidate ON candidate.key = sent.key
WHERE sent.program = ?1 AND sent.lead IS NULL
ORDER BY lead
"""


class Extracted(NamedTuple):
    """One row of an extract, as far as it is used; `key` is the digest of the email."""

    program: int
    lead: int
    status: str
    since: str
    updated: str
    key: int | None


class Sought(NamedTuple):
    """A person who is looked for by other means than a lead id.

    Attributes:
        email: what an import found the person by; blank if it is not known.
        leads: ids of people who shared the key when the record was delivered.
    """

    key: int
    email: str
    leads: tuple[int, ...]


class Found:
    """Takes Marketo's answers and says what is still to be asked. Nothing of it is kept in memory.

    Args:
        book: the working store, `sent` filled.
    """

    def __init__(self, book: sqlite3.Connection) -> None:
        self._book = book
        book.execute(
            "CREATE TEMP TABLE extracted (program INTEGER, lead INTEGER, status TEXT, since TEXT, updated TEXT,"
            " key INTEGER, PRIMARY KEY (program, lead)) WITHOUT ROWID"
        )

    def take_extracted(self, rows: Sequence[Extracted]) -> None:
        """Keep of some rows of an extract what belongs to people whom outcomes name."""
        book = self._book
        book.execute("BEGIN")
        book.executemany(_PUT_ROWS, rows)
        for statement in (_TAKE_OURS, _TAKE_KEYS, _TAKE_PEOPLE, "DELETE FROM extracted"):
            book.execute(statement)
        book.execute("COMMIT")

    def take_members(self, program: int, asked: Sequence[int], members: dict[int, dict[str, Any]]) -> None:
        """Keep the answer to a read of members by lead id."""
        book = self._book
        book.execute("BEGIN")
        book.executemany("INSERT OR IGNORE INTO asked VALUES (?, ?)", ((program, lead) for lead in asked))
        wanted = set(asked)
        book.executemany(
            _INSERT_MEMBER,
            (
                (program, lead, text(row, "statusName"), text(row, "membershipDate"), text(row, "updatedAt"))
                for lead, row in members.items()
                if lead in wanted
            ),
        )
        book.execute("COMMIT")

    def take_people(self, asked: Sequence[int], existing: Iterable[int]) -> None:
        """Keep which of some lead ids exist."""
        known = set(existing)
        self._book.executemany("INSERT OR REPLACE INTO person VALUES (?, ?)", ((lead, lead in known) for lead in asked))

    def take_candidates(self, sought: Sequence[Sought], leads: Iterable[dict[str, Any]]) -> None:
        """Keep who was found for some keys: leads with `id`, `email` and `updatedAt`."""
        by_email = {key_of(person.email): person.key for person in sought if person.email}
        by_lead: dict[int, list[int]] = {}
        for person in sought:
            for lead in person.leads:
                by_lead.setdefault(lead, []).append(person.key)
        rows = []
        for row in leads:
            number = row.get("id")
            if type(number) is not int:
                continue
            keys = list(by_lead.get(number, ()))
            if (key := by_email.get(key_of(text(row, "email")))) is not None:
                keys.append(key)
            rows += [(key, number, text(row, "updatedAt")) for key in keys]
        self._book.executemany("INSERT OR REPLACE INTO candidate VALUES (?, ?, ?)", rows)
        self._book.executemany("INSERT OR IGNORE INTO searched VALUES (?)", ((person.key,) for person in sought))

    def leads_of(self, program: int) -> Sequence[int]:
        """Lead ids to be read for a program, each once: those of outcomes, and who was found for a key."""
        return self._numbers(_LEADS, (program,))

    def sought(self, count: int, program: int | None = None) -> Iterator[list[Sought]]:
        """People, `count` at a time, whose lead id is not known or is gone, and who were not looked for yet.

        Args:
            count: of one list; the answer for one may be taken before the next is asked for.
            program: only its people; None for all.
        """
        last = _LOWEST
        while rows := self._book.execute(_OPEN_KEYS, (program, last, count)).fetchall():
            last = rows[-1][0]
            yield [_sought(key, line) for key, line in rows]

    def unknown_people(self) -> Sequence[int]:
        """Lead ids that are not members and of which nobody knows whether they exist."""
        return self._numbers(_UNKNOWN_PEOPLE)

    def unread(self) -> Mapping[int, Sequence[int]]:
        """Leads that were found by a key and not read as members yet, by program."""
        unread: dict[int, array[int]] = {}
        for program, lead in self._book.execute(_UNREAD):
            unread.setdefault(program, array("q")).append(lead)
        return unread

    def gone_people(self) -> Sequence[int]:
        """Lead ids that mean nobody any more, and whose people were not found by a key."""
        return self._numbers(f"SELECT DISTINCT sent.lead {_GONE} ORDER BY sent.lead")

    def gone_since(self) -> str:
        """When the first of them was first delivered, UTC."""
        return str(self._book.execute(f"SELECT min(sent.first) {_GONE}").fetchone()[0])

    def take_merged(self, into: Mapping[int, int], existing: Collection[int]) -> None:
        """Keep where people went, as far as that lead exists."""
        known = [(digest("merged", str(lead)), lead, winner) for lead, winner in into.items() if winner in existing]
        self._book.execute("BEGIN")
        self._book.executemany("UPDATE sent SET key = ?1 WHERE lead = ?2", ((key, lead) for key, lead, _ in known))
        self._book.executemany(
            "INSERT OR REPLACE INTO candidate VALUES (?, ?, '')", ((key, winner) for key, _, winner in known)
        )
        self._book.execute("COMMIT")

    def settle_who(self) -> None:
        """Decide who each outcome means by now."""
        self._book.execute(_LEAD_TO_SELF)
        self._book.execute(_LEAD_BY_KEY)

    def _numbers(self, query: str, values: tuple[int, ...] = ()) -> Sequence[int]:
        # Eight bytes each, and nothing is read from the database while it is written to.
        return array("q", (number for (number,) in self._book.execute(query, values)))

    def drop(self, program: int) -> None:
        """Forget what was delivered to a program."""
        self._book.execute("DELETE FROM sent WHERE program = ?", (program,))

    def members_of(self, program: int) -> int:
        """Members of a program among the people whom outcomes name."""
        return int(self._book.execute("SELECT count(*) FROM member WHERE program = ?", (program,)).fetchone()[0])


def text(row: dict[str, Any], name: str) -> str:
    """A member of a row as text; blank if Marketo has none."""
    value = row.get(name)
    return value if isinstance(value, str) else ""


def _sought(key: int, line: bytes) -> Sought:
    outcome = msgspec.json.decode(line)
    lookup = outcome.get("lookup_value")
    if lookup is not None and can_be_queried(lookup):
        return Sought(key, str(lookup), ())
    others = (outcome.get("detail") or {}).get("lead_ids") or ()
    return Sought(key, "", tuple(lead for lead in others if type(lead) is int))
