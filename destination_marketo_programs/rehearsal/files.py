"""Which records a write would send by file, what that takes, and what is left to REST.

The rule is that of `delivery.bulk`, applied as if every record were there at once: a slow source makes files close
earlier, and a rehearsal cannot know how slow it will be.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.delivery.bulk.lane import JOBS_UNDER_WAY, MAX_SPOOLED_ROWS
from destination_marketo_programs.delivery.bulk.rows import RowMaker
from destination_marketo_programs.delivery.bulk.rule import JOBS_AT_ONCE, bulk_forecast
from destination_marketo_programs.delivery.bulk.waiting import File, Group
from destination_marketo_programs.marketo.bulk_import import MAX_FILE_BYTES
from destination_marketo_programs.marketo.client import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from destination_marketo_programs.delivery.queues import GroupKey
    from destination_marketo_programs.model import Mapped
    from destination_marketo_programs.rehearsal.overlay import Overlay

MOST_TURNS = 100
"""One person's rows go out one after the other. Whatever comes later than this is counted with REST, so that an input
that is all about one person takes no more memory than others."""


class GroupForecast(NamedTuple):
    """One program and status, of which at least one file would go out.

    Attributes:
        rows: people by file; the same person in two records is two.
        files: import jobs.
        calls: what these take at most.
        rest_rows: rows of the same program and status that go over REST all the same.
    """

    program_id: int
    program_status: str
    rows: int
    files: int
    calls: int
    rest_rows: int


class FilesForecast(NamedTuple):
    """What a write would send by file.

    Attributes:
        groups: by program and status; empty where nothing would go by file.
        seconds: from the first upload to the end of the last job, with no other import in the way.
        rest_people, rest_memberships: calls for the rest at most.
    """

    groups: tuple[GroupForecast, ...]
    seconds: float
    rest_people: int
    rest_memberships: int

    @property
    def rows(self) -> int:
        """All rows by file."""
        return sum(group.rows for group in self.groups)

    @property
    def files(self) -> int:
        """All import jobs."""
        return sum(group.files for group in self.groups)

    @property
    def calls(self) -> int:
        """All calls for them, at most."""
        return sum(group.calls for group in self.groups)


class _Sent(NamedTuple):
    """A file that would go out; `turn` is how many earlier files its people have to wait for."""

    key: GroupKey
    turn: int
    rows: int
    size_bytes: int


class _Rest:
    """Rows that go over REST."""

    def __init__(self) -> None:
        self.people = 0
        self.statuses: Counter[GroupKey] = Counter()
        self.data: Counter[int] = Counter()

    def add(self, key: GroupKey, rows: int, *, member_fields: bool) -> None:
        """Count rows of one program and status."""
        self.statuses[key] += rows
        if member_fields:
            self.data[key[0]] += rows

    def add_file(self, file: File) -> None:
        """Count the rows of a file that does not go out."""
        self.people += file.rows
        self.add(_key(file.group), file.rows, member_fields=file.group.shape.has_member_fields)

    def copy(self) -> _Rest:
        """Another one with the same counts."""
        other = _Rest()
        other.people, other.statuses, other.data = self.people, self.statuses.copy(), self.data.copy()
        return other


class PlannedFiles:
    """Puts records into files as `delivery.bulk.waiting` would, and keeps nothing but their sizes.

    Args:
        overlay: knows on disk how many rows of a person there were.
        always: `delivery.method` is `bulk`: what is left at the end goes by file, however few rows, but for rows that
            wait behind another row of their person.
        max_rows: rows that may wait; beyond it the largest files close.
        max_file_bytes: a file's limit, header included.
    """

    def __init__(
        self,
        overlay: Overlay,
        *,
        always: bool,
        max_rows: int = MAX_SPOOLED_ROWS,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self._overlay = overlay
        self._always = always
        self._max_rows = max_rows
        self._max_file_bytes = max_file_bytes
        self._maker = RowMaker()
        self._filling: dict[tuple[Group, int], File] = {}
        self._waiting_rows = 0
        self._sent: list[_Sent] = []
        self._rest = _Rest()

    def add(self, mapped: Mapped) -> None:
        """Count a record that has been mapped; to be called from one thread."""
        person = mapped.person
        if person is None:
            return
        row = self._maker.row_of(person)
        if row is None or person.key is None or len(row.shape.header()) + len(row.line) > self._max_file_bytes:
            self._leave_to_rest(mapped, member_fields=bool(person.member_fields))
            return
        turn = self._overlay.count_rows(person.key, len(mapped.targets))
        if turn + len(mapped.targets) > MOST_TURNS:
            self._leave_to_rest(mapped, member_fields=bool(person.member_fields))
            return
        for place, target in enumerate(mapped.targets, turn):
            self._put(Group(target.program_id, target.program_status, row.shape), place, len(row.line))
        if self._waiting_rows >= self._max_rows:
            self._make_room()

    def forecast(self) -> FilesForecast:
        """What has been counted so far, if the input ended here."""
        rest, sent = self._rest.copy(), list(self._sent)
        for (_, turn), file in self._filling.items():
            if (self._always and turn == 0) or file.worth_a_job:
                sent.append(_sent(file, turn))
            else:
                rest.add_file(file)
        return FilesForecast(
            tuple(_groups(sent, rest.statuses)),
            _seconds(sent),
            _calls(rest.people),
            sum(map(_calls, rest.statuses.values())) + sum(map(_calls, rest.data.values())),
        )

    def _leave_to_rest(self, mapped: Mapped, *, member_fields: bool) -> None:
        self._rest.people += 1
        for target in mapped.targets:
            self._rest.add((target.program_id, target.program_status), 1, member_fields=member_fields)

    def _put(self, group: Group, turn: int, line_bytes: int) -> None:
        place = group, turn
        file = self._filling.get(place)
        if file is not None and file.size_bytes + line_bytes > self._max_file_bytes:
            self._send(place)
            file = None
        if file is None:
            file = self._filling[place] = File(0, 0, group)
        file.note(0.0, line_bytes)
        self._waiting_rows += 1

    def _send(self, place: tuple[Group, int]) -> None:
        file = self._filling.pop(place)
        self._waiting_rows -= file.rows
        self._sent.append(_sent(file, place[1]))

    def _make_room(self) -> None:
        """As many files as jobs go out; where none is worth one, everything goes over REST."""
        worth = [place for place, file in self._filling.items() if file.worth_a_job]
        for place in heapq.nlargest(JOBS_UNDER_WAY, worth, key=lambda place: self._filling[place].rows):
            self._send(place)
        if not worth:
            for file in self._filling.values():
                self._rest.add_file(file)
            self._filling.clear()
            self._waiting_rows = 0


def _key(group: Group) -> GroupKey:
    return group.program_id, group.program_status


def _sent(file: File, turn: int) -> _Sent:
    return _Sent(_key(file.group), turn, file.rows, file.size_bytes)


def _calls(rows: int) -> int:
    return -(-rows // MAX_ROWS_PER_CALL)


def _groups(sent: Iterable[_Sent], rest_rows: Counter[GroupKey]) -> Iterator[GroupForecast]:
    by_key: defaultdict[GroupKey, list[_Sent]] = defaultdict(list)
    for file in sent:
        by_key[file.key].append(file)
    for key, files in sorted(by_key.items()):
        calls = sum(bulk_forecast(file.rows, file.size_bytes).calls for file in files)
        yield GroupForecast(*key, sum(file.rows for file in files), len(files), calls, rest_rows[key])


def _seconds(sent: Iterable[_Sent]) -> float:
    """Files of one turn share Marketo's places for jobs; the next turn begins when they have ended."""
    turns: defaultdict[int, list[float]] = defaultdict(lambda: [0.0] * JOBS_AT_ONCE)
    for file in sent:
        places = turns[file.turn]
        heapq.heapreplace(places, places[0] + bulk_forecast(file.rows, file.size_bytes).seconds)
    return sum(map(max, turns.values()))
