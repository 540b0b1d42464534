"""Keeps waiting records: in a file, parked behind an earlier record of the same person, or queued for REST.

A person is in one place at a time. Two imports, or an import and a call, that both create the same new person at once
are Marketo's documented way to two leads; and the later of two records has to win. So a later record is parked until
the earlier one has left, and while a person is on the way over REST, later records take that way too.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from destination_marketo_programs.imports.csv_rows import RowMaker
from destination_marketo_programs.imports.files import MAX_SPOOLED_BYTES, MAX_SPOOLED_ROWS, FilePlanner, Group
from destination_marketo_programs.imports.saved import Record, Records, dump, load
from destination_marketo_programs.imports.spool import FOR_REST, PARKED, Row, Spool
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.imports.files import File
    from destination_marketo_programs.model import Mapped, Person, Target
    from destination_marketo_programs.protocol import StreamKey

NO_GROUP = 0


class Waiting:
    """Every record that is not with REST, and which people are there.

    Args:
        planner: says which rows form a file.
        map_record: the mapping, to read a person again.
        statuses: how statuses compare.
        clock: monotonic seconds.
        max_rows, max_bytes: what may wait on disk.

    Attributes:
        for_rest: rows that wait for room in REST.
        open_to_files: whether new records may take the way by file.
    """

    def __init__(
        self,
        planner: FilePlanner,
        map_record: Callable[[StreamKey, object], Mapped],
        statuses: Statuses,
        clock: Callable[[], float],
        *,
        max_rows: int = MAX_SPOOLED_ROWS,
        max_bytes: int = MAX_SPOOLED_BYTES,
    ) -> None:
        self.planner = planner
        self.spool = Spool()
        self.records = Records(map_record)
        self.for_rest = 0
        self.open_to_files = True
        self._statuses = statuses
        self._clock = clock
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._maker = RowMaker()
        self._groups: dict[Group, int] = {}
        self._group_of: list[Group] = []
        self._held: set[int] = set()
        self._further: dict[int, int] = {}
        self._with_rest: Counter[str] = Counter()

    def close_to_files(self) -> None:
        """From now on every record goes over REST, those in files that were not sent included."""
        self.open_to_files = False
        self.hand_over(self.planner.give_up_ready())

    @property
    def full(self) -> bool:
        """Whether no further record should be read."""
        return self.spool.rows >= self._max_rows or self.spool.size_bytes >= self._max_bytes

    @property
    def has_parked(self) -> bool:
        """Whether rows wait for an earlier one of their person."""
        return bool(self._further)

    # --- a record arrives ------------------------------------------------------------------------------------

    def offer(self, entry: Entry) -> bool:
        """Take a record, or leave it to REST (False); then `left_rest` has to be called when it is settled."""
        key = entry.person.key
        if key is None:
            return False
        person = hash(key)
        if person in self._held:
            group, line = self._place(entry.person, entry)
            self.spool.add(PARKED, person, group, entry.born, line, self.records.enter(entry))
            self._further[person] = self._further.get(person, 0) + 1
            return True
        if self.open_to_files and key not in self._with_rest:
            group, line = self._place(entry.person, entry)
            if group != NO_GROUP:
                file = self.planner.place(self._group_of[group - 1], entry.born, len(line))
                self.spool.add(file.number, person, group, entry.born, line, self.records.enter(entry))
                self._held.add(person)
                return True
        self._with_rest[key] += 1
        return False

    def left_rest(self, entry: Entry) -> None:
        """A record that went over REST is settled."""
        key = entry.person.key
        if key is None or key not in self._with_rest:
            return
        self._with_rest[key] -= 1
        if not self._with_rest[key]:
            del self._with_rest[key]

    def _place(self, person: Person, entry: Entry) -> tuple[int, bytes]:
        target: Target = entry.targets[0]
        # What memory has cut down would be created with a part of its fields. And between statuses of one step Marketo
        # moves people in both directions: REST says what it did.
        if entry.whole is not None or any(
            self._statuses.sideways(each.program_id, each.program_status) for each in entry.targets
        ):
            return NO_GROUP, b""
        row = self._maker.row_of(person)
        if row is None:
            return NO_GROUP, b""
        group = Group(target.program_id, target.program_status, row.shape)
        if not self.planner.fits(group, len(row.line)):
            return NO_GROUP, b""
        return self._group_number(group), row.line

    def _group_number(self, group: Group) -> int:
        number = self._groups.get(group)
        if number is None:
            self._group_of.append(group)
            number = self._groups[group] = len(self._group_of)
        return number

    # --- rows on their way -----------------------------------------------------------------------------------

    def hand_over(self, files: Iterable[File]) -> None:
        """The rows of these files go over REST, and what is parked behind them as well."""
        for file in files:
            self.for_rest += self.spool.move(file.number, FOR_REST)
        if self._further:
            self.for_rest += self.spool.unpark_behind_rest()

    def take_for_rest(self) -> list[Entry]:
        """The next records for REST, in order of arrival; `left_rest` has to be called for each."""
        rows = self.spool.first(FOR_REST, MAX_ROWS_PER_CALL)
        self.spool.remove(rows)
        self.for_rest -= len(rows)
        entries: list[Entry] = []
        for row in rows:
            record = load(row.record)
            entry = self.records.entry_for_rest(record, row.born)
            self.records.leave(record)
            entries.append(entry)
            self._with_rest[record.email] += 1
            if self._leave(row.person):
                self.for_rest += self.spool.unpark(row.person)
        return entries

    def leave(self, rows: list[Row], records: Iterable[Record]) -> None:
        """These rows are settled; whoever was parked behind them moves up."""
        self.spool.remove(rows)
        for row, record in zip(rows, records, strict=True):
            self.records.leave(record)
            if self._leave(row.person):
                parked = self.spool.next_parked(row.person)
                if parked is not None:
                    self._move_up(parked, parked.group, parked.record)

    def next_target(self, row: Row, record: Record) -> None:
        """The first program of this row has its outcome; the record goes on to the next one."""
        program_id, status, _ = record.targets[0]
        shape = self._group_of[row.group - 1].shape
        self._move_up(row, self._group_number(Group(program_id, status, shape)), dump(record))

    def to_rest(self, row: Row) -> None:
        """This row goes over REST, and what is parked behind it as well."""
        self.spool.put(row, FOR_REST, row.group, row.record)
        self.for_rest += 1
        if row.person in self._further:
            self.for_rest += self.spool.unpark(row.person)

    def _move_up(self, row: Row, group: int, record: bytes) -> None:
        if group == NO_GROUP or not self.open_to_files:
            self.spool.put(row, FOR_REST, group, record)
            self.for_rest += 1
            return
        # What it waits for from here on is that this file fills, and that wait begins now.
        file = self.planner.place(self._group_of[group - 1], self._clock(), len(row.line))
        self.spool.put(row, file.number, group, record)

    def _leave(self, person: int) -> bool:
        """One row of a person is gone; whether there are further ones."""
        further = self._further.get(person)
        if further is None:
            self._held.discard(person)
            return False
        if further == 1:
            del self._further[person]
        else:
            self._further[person] = further - 1
        return True
