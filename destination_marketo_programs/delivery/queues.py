"""What waits to be sent: pure, with the time given from outside.

Order is kept where it matters and nowhere else: a key that is in flight is never taken a second time; what comes for
it meanwhile waits, merged, until it is released.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from destination_marketo_programs.delivery.work import Item, LeadRow, MemberRow, lead_row
from destination_marketo_programs.marketo.client import MAX_BODY_BYTES, MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from destination_marketo_programs.model import Target

GroupKey = tuple[int, str]
"""(program id, status)"""
Pair = tuple[int, int]
"""(lead id, program id)"""


class LeadQueue:
    """People waiting for one kind of Sync Leads call.

    Args:
        head_of: the member that names the lead in a row.
        fields_merge: whether a later record's fields are written too (not when existing leads stay untouched).
    """

    def __init__(self, head_of: Callable[[Item], tuple[str, str | int]], *, fields_merge: bool = True) -> None:
        self._head_of = head_of
        self._fields_merge = fields_merge
        self._ready: dict[str, LeadRow] = {}
        self._parked: dict[str, LeadRow] = {}
        self._busy: set[str] = set()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._ready) + len(self._parked)

    def add(self, key: str, item: Item) -> None:
        """Let a record wait for its lead."""
        row = self._ready.get(key)
        if row is not None:
            self._bytes -= len(row.encoded)
            row.add(item, fields_count=self._fields_merge)
            self._bytes += len(row.encoded)
            return
        if key in self._busy:
            self._park(key, item)
            return
        row = self._ready[key] = lead_row(key, self._head_of(item), item)
        self._bytes += len(row.encoded)

    def _park(self, key: str, item: Item) -> None:
        """Only a person in flight has a parked row."""
        row = self._parked.get(key)
        if row is not None:
            row.add(item, fields_count=self._fields_merge)
        else:
            self._parked[key] = lead_row(key, self._head_of(item), item)

    def waits_for(self, key: str) -> bool:
        """Whether this person waits or is in flight."""
        return key in self._busy or key in self._ready

    @property
    def full(self) -> bool:
        """Whether a call could go out that has no room for more."""
        return len(self._ready) >= MAX_ROWS_PER_CALL or self._bytes >= MAX_BODY_BYTES

    @property
    def ready(self) -> int:
        """Rows that could go out now."""
        return len(self._ready)

    def oldest(self) -> float | None:
        """Arrival of the row that could go out and has waited longest."""
        return min((row.born for row in self._ready.values()), default=None)

    def take(self) -> list[LeadRow]:
        """Rows for one call, in order of arrival; their keys are in flight until `release`."""
        rows: list[LeadRow] = []
        size = 0
        for row in islice(self._ready.values(), MAX_ROWS_PER_CALL):
            length = len(row.encoded)
            if rows and size + length + len(rows) > MAX_BODY_BYTES:  # a comma behind each
                break
            rows.append(row)
            size += length
        self._bytes -= size
        keys = [row.key for row in rows]
        self._busy.update(keys)
        for key in keys:
            del self._ready[key]
        return rows

    def release(self, rows: Iterable[LeadRow]) -> None:
        """These keys are no longer in flight."""
        for row in rows:
            key = row.key
            self._busy.discard(key)
            if key in self._parked:
                parked = self._ready[key] = self._parked.pop(key)
                self._bytes += len(parked.encoded)


class MemberQueue:
    """Memberships waiting for a status call, by program and status.

    Args:
        step_of: progression step of (program id, status).
    """

    def __init__(self, step_of: Callable[[GroupKey], int]) -> None:
        self._step_of = step_of
        self._groups: dict[GroupKey, dict[int, MemberRow]] = {}
        self._waiting: dict[Pair, MemberRow] = {}
        self._parked: dict[Pair, MemberRow] = {}
        self._busy: set[Pair] = set()
        self._full: dict[GroupKey, None] = {}

    def __len__(self) -> int:
        return len(self._waiting) + len(self._parked)

    def add(self, item: Item, target: Target, lead_id: int) -> None:
        """Let a record wait to become a member. Of several statuses for one lead and program, the highest goes."""
        program_id = target.program_id
        pair = (lead_id, program_id)
        row = self._waiting.get(pair)
        if row is not None:
            self._join(row, item, target)
            return
        if pair not in self._busy:
            self._enter(pair, self._row(item, target, lead_id))
            return
        # Only a pair in flight has a parked row.
        row = self._parked.get(pair)
        if row is not None:
            self._raise(row, item, target)
        else:
            self._parked[pair] = self._row(item, target, lead_id)

    def _row(self, item: Item, target: Target, lead_id: int) -> MemberRow:
        key = (target.program_id, target.program_status)
        return MemberRow(lead_id, *key, self._step_of(key), item.born, [(item, target)])

    def _enter(self, pair: Pair, row: MemberRow) -> None:
        self._waiting[pair] = row
        key = (row.program_id, row.program_status)
        group = self._groups.get(key)
        if group is None:
            group = self._groups[key] = {}
        group[row.lead_id] = row
        if len(group) >= MAX_ROWS_PER_CALL:
            self._full[key] = None

    def _leave_group(self, row: MemberRow) -> None:
        key = (row.program_id, row.program_status)
        group = self._groups[key]
        del group[row.lead_id]
        if len(group) < MAX_ROWS_PER_CALL:
            self._full.pop(key, None)
        if not group:
            del self._groups[key]

    def _join(self, row: MemberRow, item: Item, target: Target) -> None:
        if target.program_status == row.program_status:
            row.claims.append((item, target))
            row.born = min(row.born, item.born)
            return
        self._leave_group(row)
        self._raise(row, item, target)
        self._enter((row.lead_id, row.program_id), row)

    def _raise(self, row: MemberRow, item: Item, target: Target) -> None:
        row.claims.append((item, target))
        row.born = min(row.born, item.born)
        step = self._step_of((target.program_id, target.program_status))
        if step >= row.step:
            row.step, row.program_status = step, target.program_status

    @property
    def full(self) -> bool:
        """Whether some group fills a call."""
        return bool(self._full)

    def full_group(self) -> GroupKey | None:
        """A group that fills a call."""
        return next(iter(self._full), None)

    def largest_group(self) -> GroupKey | None:
        """The group whose call would carry most."""
        return max(self._groups, key=lambda key: len(self._groups[key]), default=None)

    def oldest_group(self) -> tuple[float, GroupKey] | None:
        """The group that holds the record that has waited longest, with that record's arrival."""
        return min(((self._born(group), key) for key, group in self._groups.items()), default=None)

    @staticmethod
    def _born(group: dict[int, MemberRow]) -> float:
        # Rows enter a group nearly in order of arrival, and a full group is taken before anything looks here.
        return min(row.born for row in group.values())

    def take(self, key: GroupKey) -> list[MemberRow]:
        """Rows of one group for one call; their pairs are in flight until `release`."""
        group = self._groups[key]
        rows = list(islice(group.values(), MAX_ROWS_PER_CALL))
        for row in rows:
            pair = (row.lead_id, row.program_id)
            del group[row.lead_id]
            del self._waiting[pair]
            self._busy.add(pair)
        if len(group) < MAX_ROWS_PER_CALL:
            self._full.pop(key, None)
        if not group:
            del self._groups[key]
        return rows

    def release(self, row: MemberRow) -> None:
        """This lead and program are no longer in flight."""
        pair = (row.lead_id, row.program_id)
        self._busy.discard(pair)
        if pair in self._parked:
            self._enter(pair, self._parked.pop(pair))
