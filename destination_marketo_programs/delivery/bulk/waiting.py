"""Which record waits where: in the file of its group, behind an earlier record of its person, or for REST.

A person is in one place at a time. Two imports, or an import and a call, that both create the same new person at once
are Marketo's documented way to two leads; and the later of two records has to win. So a later record is parked until
the earlier one has left, and while a person is on the way over REST, later records take that way too.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.delivery.bulk.record import Record, Records, dump, load
from destination_marketo_programs.delivery.bulk.rows import RowMaker, Shape
from destination_marketo_programs.delivery.bulk.rule import rows_worth_a_job
from destination_marketo_programs.delivery.bulk.spool import FOR_REST, PARKED, Row, Spool
from destination_marketo_programs.marketo.bulk_import import MAX_FILE_BYTES
from destination_marketo_programs.marketo.client import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from destination_marketo_programs.delivery.work import Item
    from destination_marketo_programs.model import Mapped, Person

NO_GROUP = 0


class Group(NamedTuple):
    """Rows that fit into one file."""

    program_id: int
    program_status: str
    shape: Shape


class File:
    """Rows that go out together, and where their job stands.

    Attributes:
        number: the place of its rows in the spool.
        rows, size_bytes: so many lines, and their bytes with the header.
        born: since when its first row has waited for it to fill.
    """

    def __init__(self, number: int, group_number: int, group: Group) -> None:
        self.number = number
        self.group_number = group_number
        self.group = group
        self.header = group.shape.header()
        self.rows = 0
        self.size_bytes = len(self.header)
        self.born = float("inf")

    def note(self, born: float, line_bytes: int) -> None:
        """One more row."""
        self.rows += 1
        self.size_bytes += line_bytes
        self.born = min(self.born, born)

    @property
    def worth_a_job(self) -> bool:
        """Whether a job for it saves calls."""
        return self.rows >= rows_worth_a_job(member_fields=self.group.shape.has_member_fields)


class Waiting:
    """Every record that is not with REST, and which people are there.

    Args:
        map_record: the mapping, to read a person again.
        max_age_seconds: a record waits no longer for its file to fill.
        always: whether what is left at the end of the input goes out as files, however few rows they have; not so
            the rows that still wait behind another row of their person.
        max_rows, max_bytes: what may wait on disk.
        clock: monotonic seconds.

    Attributes:
        ready: files that fill no further, in the order in which they go out.
        for_rest: rows that wait for room in REST.
        accepts: whether new records may take the way by file.
    """

    def __init__(
        self,
        map_record: Callable[[str, object], Mapped],
        max_age_seconds: float,
        *,
        always: bool,
        max_rows: int,
        max_bytes: int,
        clock: Callable[[], float],
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self._clock = clock
        self.spool = Spool()
        self.records = Records(map_record)
        self.ready: deque[File] = deque()
        self.for_rest = 0
        self.accepts = True
        self._max_age_seconds = max_age_seconds
        self._leftovers_go_by_file = always
        self._max_rows = max_rows
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes
        self._maker = RowMaker()
        self._groups: dict[Group, int] = {}
        self._group_of: list[Group] = []
        self._filling: dict[int, File] = {}
        self._last_file = 0
        self._held: set[int] = set()
        self._further: dict[int, int] = {}
        self._with_rest: Counter[str] = Counter()

    @property
    def full(self) -> bool:
        """Whether no further record should be read."""
        return self.spool.rows >= self._max_rows or self.spool.size_bytes >= self._max_bytes

    @property
    def has_parked(self) -> bool:
        """Whether rows wait for an earlier one of their person."""
        return bool(self._further)

    # --- a record arrives ------------------------------------------------------------------------------------

    def offer(self, item: Item) -> bool:
        """Take a record, or leave it to REST (False); then `left_rest` has to be called when it is settled."""
        key = item.person.key
        if key is None:
            return False
        person = hash(key)
        if person in self._held:
            group, line = self._place(item.person, item)
            self._further[person] = self._further.get(person, 0) + 1
            self.spool.add(PARKED, person, group, item.born, line, self.records.enter(item))
            return True
        if self.accepts and key not in self._with_rest:
            group, line = self._place(item.person, item)
            if group != NO_GROUP:
                self._held.add(person)
                file = self._file_for(group, item.born, len(line))
                self.spool.add(file.number, person, group, item.born, line, self.records.enter(item))
                return True
        self._with_rest[key] += 1
        return False

    def left_rest(self, item: Item) -> None:
        """A record that went over REST is settled."""
        key = item.person.key
        if key is None:
            return
        self._with_rest[key] -= 1
        if not self._with_rest[key]:
            del self._with_rest[key]

    def _place(self, person: Person, item: Item) -> tuple[int, bytes]:
        row = self._maker.row_of(person)
        if row is None:
            return NO_GROUP, b""
        target = item.targets[0]
        number = self._group_number(Group(target.program_id, target.program_status, row.shape))
        if len(row.line) + len(self._group_of[number - 1].shape.header()) > self._max_file_bytes:
            return NO_GROUP, b""
        return number, row.line

    def _group_number(self, group: Group) -> int:
        number = self._groups.get(group)
        if number is None:
            self._group_of.append(group)
            number = self._groups[group] = len(self._group_of)
        return number

    def _file_for(self, group: int, born: float, line_bytes: int) -> File:
        """The file that takes one more line of a group."""
        file = self._filling.get(group)
        if file is not None and file.size_bytes + line_bytes > self._max_file_bytes:
            self.ready.append(self._filling.pop(group))
            file = None
        if file is None:
            file = self._filling[group] = self.new_file(group)
        file.note(born, line_bytes)
        return file

    def new_file(self, group: int) -> File:
        """A file without rows."""
        self._last_file += 1
        return File(self._last_file, group, self._group_of[group - 1])

    # --- files that fill no further ----------------------------------------------------------------------------

    def tend(self, now: float, *, input_ended: bool, free_slots: int, idle: bool) -> None:
        """Close files that are worth a job and due, and hand rows that are due without being worth one to REST.

        As long as a file has to wait for a slot it may as well go on filling. Rows that are handed over go together,
        from all groups, in order of arrival: that fills REST's calls best.

        Args:
            now: monotonic seconds.
            input_ended: nothing will come that could fill a file.
            free_slots: jobs that could be begun.
            idle: whether no job is under way whose end would make room.
        """
        everything_due = input_ended or not self.accepts
        born_before = now - self._max_age_seconds
        full = self.full
        few: list[File] = []
        worth: list[File] = []
        for file in self._filling.values():
            goes_by_file = self.accepts and (file.worth_a_job or (input_ended and self._leftovers_go_by_file))
            (worth if goes_by_file else few).append(file)
        if input_ended:
            # What had to wait behind another row of its person would make a job for each of that person's rows.
            self._leftovers_go_by_file = False
        for file in sorted(worth, key=lambda file: -file.rows if full else file.born):
            if everything_due or (free_slots > 0 and (full or file.born <= born_before)):
                self.ready.append(self._filling.pop(file.group_number))
                free_slots -= 1
        if few and (everything_due or (full and idle and not worth) or any(file.born <= born_before for file in few)):
            for file in few:
                del self._filling[file.group_number]
            self.hand_over(few)

    def hand_over(self, files: Iterable[File]) -> None:
        """The rows of these files go over REST, and what is parked behind them as well."""
        for file in files:
            self.for_rest += self.spool.move(file.number, FOR_REST)
        if self._further:
            self.for_rest += self.spool.unpark_behind_rest()

    def take_for_rest(self) -> list[Item]:
        """The next records for REST, in order of arrival; `left_rest` has to be called for each."""
        rows = self.spool.first(FOR_REST, MAX_ROWS_PER_CALL)
        self.spool.remove(rows)
        self.for_rest -= len(rows)
        items: list[Item] = []
        for row in rows:
            record = load(row.record)
            item = self.records.item_for_rest(record, row.born)
            self.records.leave(record)
            items.append(item)
            self._with_rest[record.email] += 1
            if self._leave(row.person):
                self.for_rest += self.spool.unpark(row.person)
        return items

    # --- rows that are settled ---------------------------------------------------------------------------------

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
        if group == NO_GROUP or not self.accepts:
            self.spool.put(row, FOR_REST, group, record)
            self.for_rest += 1
            return
        # What it waits for from here on is that this file fills, and that wait begins now.
        file = self._file_for(group, self._clock(), len(row.line))
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
