"""Notices people with different keys who share an email: once both are in Marketo, that email finds neither."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from destination_marketo_programs.mapping import fold_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.tally import Tally

EMAIL: Final = "email"
NOTE: Final = (
    None,
    (
        "Another person in this sync has the same email and another key. Marketo cannot find either by email any "
        "more. Merge the two in Marketo if they are one person."
    ),
)
MAX_EMAILS: Final = 100_000
"""People of one run whose email is compared with those that follow."""
MAX_RECENT: Final = 2_000
"""Records that are kept to note it on the first one as well: more than a batch."""


class SharedEmails:
    """Looks at the email of every record whose person is found by another field.

    Args:
        tally: counts people who share one.
    """

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._keys: OrderedDict[int, int] = OrderedDict()
        self._told: set[tuple[int, int]] = set()
        self._recent: OrderedDict[int, list[Entry]] = OrderedDict()
        self._kept = 0

    def watch(self, entries: Sequence[Entry]) -> Sequence[Entry]:
        """Note on each record whether its email is another person's too; returns the same records."""
        for entry in entries:
            person = entry.person
            email = person.fields.get(EMAIL) or (person.on_create or {}).get(EMAIL)
            if person.key is not None and isinstance(email, str):
                self._see(entry, hash(fold_address(email)), hash(person.key))
        return entries

    def _see(self, entry: Entry, email: int, key: int) -> None:
        first = self._keys.setdefault(email, key)
        if len(self._keys) > MAX_EMAILS:
            self._keys.popitem(last=False)
        recent = self._recent.setdefault(email, [])
        if first != key:
            entry.note = NOTE
            self._tell(email, first)
            self._tell(email, key)
            for other in recent:
                other.note = NOTE
        recent.append(entry)
        self._kept += 1
        while self._kept > MAX_RECENT:
            _, dropped = self._recent.popitem(last=False)
            self._kept -= len(dropped)

    def _tell(self, email: int, key: int) -> None:
        if (email, key) not in self._told and len(self._told) < MAX_EMAILS:
            self._told.add((email, key))
            self._tally.count_shared_email()
