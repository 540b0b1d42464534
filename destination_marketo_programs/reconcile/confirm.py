"""Imports made exact: what Marketo said no more of than "accepted" becomes created, updated or unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from destination_marketo_programs.outcomes import Outcome, Result
from destination_marketo_programs.reconcile.verdicts import import_result, marketo_time

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from destination_marketo_programs.storage import OutcomeStore

_IMPORTED = """
SELECT sent.line, sent.now, sent.program, sent.position, member.since, member.updated, run.name, run.started
FROM sent
JOIN run ON run.number = sent.run
JOIN member ON member.program = sent.program AND member.lead = sent.now
WHERE sent.imported
ORDER BY sent.number
"""


class Confirmed(NamedTuple):
    """How many imported rows became exact.

    Attributes:
        created: memberships that an import has begun.
        updated: those that it has moved.
        unchanged: those that were there already.
        by_position: rows that stay as they are, because their records have no key by which a later line could replace
            theirs.
        undated: rows that stay as they are, because Marketo gives no dates or nobody knows when the import began.
    """

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    by_position: int = 0
    undated: int = 0


def confirm_imports(book: sqlite3.Connection, store: OutcomeStore, uploads: Mapping[tuple[str, int], str]) -> Confirmed:
    """Store an exact outcome for every imported row whose person is a member, and make them durable.

    Args:
        book: with everything read.
        store: opened for this run.
        uploads: when the first import job of a run (by its name) and program was uploaded, UTC, if that is known;
            else the start of the run counts.

    Raises:
        StorageError: the lines are not stored.
    """
    counted = dict.fromkeys((*Result, "by_position", "undated"), 0)
    for line, lead, program, position, since, updated, run, started in book.execute(_IMPORTED):
        began = marketo_time(uploads.get((run, program)) or started)
        result = None if began is None else import_result(since, updated, began)
        if result is None or position:
            counted["undated" if result is None else "by_position"] += 1
            continue
        counted[result] += 1
        store.add(exact(line, lead, result))
    store.commit()
    return Confirmed(**{name: counted[name] for name in Confirmed._fields})


def exact(line: bytes, lead: int, result: Result) -> Outcome:
    """The outcome that replaces an imported one. It keeps its time: that is when the membership was written."""
    members = {name: value for name, value in msgspec.json.decode(line).items() if value is not None}
    imported = msgspec.convert({"event": None, **members}, Outcome)
    return msgspec.structs.replace(imported, outcome=result, lead_id=lead, confirmed=True)
