"""Which records a write would send by file, what that takes, and what is left to REST.

The rule is the sync's own (`imports.files`), applied as if every record were there at once: a slow source makes files
close earlier, and a dry run cannot know how slow it will be.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.delivery.stage import NEVER
from destination_marketo_programs.imports.csv_rows import RowMaker
from destination_marketo_programs.imports.files import JOBS_UNDER_WAY, MAX_SPOOLED_ROWS, FilePlanner, Group
from destination_marketo_programs.imports.pace import JOBS_AT_ONCE, bulk_forecast
from destination_marketo_programs.marketo.bulk_import import MAX_FILE_BYTES
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.dryrun.overlay import Overlay
    from destination_marketo_programs.imports.files import File

    GroupKey = tuple[int, str]

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
        groups: by program and status; empty if nothing would go by file.
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


class PlannedFiles:
    """Puts records into files as a sync would, and keeps nothing but their sizes.

    Args:
        overlay: knows on disk how many rows of a person there were.
        statuses: how statuses compare.
        always: `delivery.method` is `bulk`: what is left at the end goes by file, however few rows, but for rows that
            wait behind another row of their person.
        max_rows: rows that may wait; beyond it the largest files close.
        max_file_bytes: a file's limit, header included.
    """

    def __init__(
        self,
        overlay: Overlay,
        statuses: Statuses,
        *,
        always: bool,
        max_rows: int = MAX_SPOOLED_ROWS,
        max_file_bytes: int = MAX_FILE_BYTES,
    ) -> None:
        self._overlay = overlay
        self._statuses = statuses
        self._always = always
        self._max_rows = max_rows
        self._max_file_bytes = max_file_bytes
        self._maker = RowMaker()
        self._planners: list[FilePlanner] = []
        """One for each turn: rows of the same person are sent one after the other."""
        self._sent: list[_Sent] = []
        self._rest = _Rest()
        self._waiting_rows = 0

    def accept(self, entries: Iterable[Entry]) -> None:
        """Count records that have been mapped; to be called from one thread."""
        for entry in entries:
            self._add(entry)

    def _add(self, entry: Entry) -> None:
        person, targets = entry.person, entry.targets
        by_file = entry.whole is None and not any(
            self._statuses.sideways(target.program_id, target.program_status) for target in targets
        )
        row = self._maker.row_of(person) if by_file else None
        if row is None or person.key is None or len(row.shape.header()) + len(row.line) > self._max_file_bytes:
            self._leave_to_rest(entry)
            return
        turn = self._overlay.count_rows(person.key, len(targets))
        if turn + len(targets) > MOST_TURNS:
            self._leave_to_rest(entry)
            return
        for place, target in enumerate(targets, turn):
            while len(self._planners) <= place:
                self._planners.append(
                    FilePlanner(NEVER, always=self._always and not self._planners, max_file_bytes=self._max_file_bytes)
                )
            group = Group(target.program_id, target.program_status, row.shape)
            self._planners[place].place(group, 0.0, len(row.line))
            self._waiting_rows += 1
            self._send_ready(place)
        if self._waiting_rows >= self._max_rows:
            self._make_room()

    def forecast(self) -> FilesForecast:
        """What the sync would send; ends the counting."""
        for turn, planner in enumerate(self._planners):
            for file in planner.close_due(
                0.0, ended=True, open_to_files=True, full=False, free_slots=JOBS_UNDER_WAY, idle=True
            ):
                self._rest.add_file(file)
            self._send_ready(turn)
        rest, sent = self._rest, self._sent
        return FilesForecast(
            tuple(_groups(sent, rest.statuses)),
            _seconds(sent),
            _calls(rest.people),
            sum(map(_calls, rest.statuses.values())) + sum(map(_calls, rest.data.values())),
        )

    def _leave_to_rest(self, entry: Entry) -> None:
        self._rest.people += 1
        for target in entry.targets:
            key = (target.program_id, target.program_status)
            self._rest.add(key, 1, member_fields=bool(entry.person.member_fields))

    def _send_ready(self, turn: int) -> None:
        for file in self._planners[turn].give_up_ready():
            self._sent.append(_Sent(_key(file.group), turn, file.rows, file.size_bytes))
            self._waiting_rows -= file.rows

    def _make_room(self) -> None:
        """As many files as jobs are sent; if none is worth one, everything goes over REST."""
        for turn, planner in enumerate(self._planners):
            before = self._waiting_rows
            few = planner.close_due(
                0.0, ended=False, open_to_files=True, full=True, free_slots=JOBS_UNDER_WAY, idle=True
            )
            for file in few:
                self._rest.add_file(file)
                self._waiting_rows -= file.rows
            self._send_ready(turn)
            if self._waiting_rows < before:
                return


def _key(group: Group) -> GroupKey:
    return group.program_id, group.program_status


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
