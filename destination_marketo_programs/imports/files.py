"""Which rows form a file, when a file is sent, and which rows go over REST after all. Pure.

The stage that delivers and the forecast of a dry run both decide by this.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.imports.pace import rows_worth_a_job
from destination_marketo_programs.marketo.bulk_import import MAX_FILE_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from destination_marketo_programs.imports.csv_rows import Shape

JOBS_UNDER_WAY = 4
"""Marketo runs two imports at once and queues ten, for everybody: more of ours would wait, and keep others waiting."""
MAX_SPOOLED_ROWS = 300_000
MAX_SPOOLED_BYTES = 2_000_000_000


class Group(NamedTuple):
    """Rows that fit into one file."""

    program_id: int
    program_status: str
    shape: Shape


class File:
    """Rows that are sent together.

    Attributes:
        number: the place of its rows in the spool.
        rows, size_bytes: so many lines, and their bytes with the header.
        born: since when its first row has waited for it to fill.
    """

    def __init__(self, number: int, group: Group) -> None:
        self.number = number
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

    def give(self, half: File) -> None:
        """So many of its rows have moved to another file of its group."""
        self.rows -= half.rows
        self.size_bytes -= half.size_bytes - len(half.header)

    @property
    def worth_a_job(self) -> bool:
        """Whether a job for it saves calls."""
        return self.rows >= rows_worth_a_job(member_fields=self.group.shape.has_member_fields)


class FilePlanner:
    """Files that fill, and files that fill no further.

    Args:
        max_age_seconds: a row waits no longer for its file to fill.
        always: whether what is left at the end of the input is sent as files, however few rows they have.
        max_file_bytes: a file's limit, header included.

    Attributes:
        ready: files that fill no further, in the order in which they are sent.
    """

    def __init__(self, max_age_seconds: float, *, always: bool, max_file_bytes: int = MAX_FILE_BYTES) -> None:
        self.ready: deque[File] = deque()
        self._max_age_seconds = max_age_seconds
        self._leftovers_go_by_file = always
        self._max_file_bytes = max_file_bytes
        self._filling: dict[Group, File] = {}
        self._last_file = 0

    def fits(self, group: Group, line_bytes: int) -> bool:
        """Whether a row is not too large for any file."""
        return line_bytes + len(group.shape.header()) <= self._max_file_bytes

    def place(self, group: Group, born: float, line_bytes: int) -> File:
        """The file that takes one more row of a group."""
        file = self._filling.get(group)
        if file is not None and file.size_bytes + line_bytes > self._max_file_bytes:
            self.ready.append(self._filling.pop(group))
            file = None
        if file is None:
            file = self._filling[group] = self.new_file(group)
        file.note(born, line_bytes)
        return file

    def new_file(self, group: Group) -> File:
        """A file without rows."""
        self._last_file += 1
        return File(self._last_file, group)

    def close_due(
        self, now: float, *, ended: bool, open_to_files: bool, full: bool, free_slots: int, idle: bool
    ) -> list[File]:
        """Close files that are worth a job and due; returns files whose rows go over REST.

        As long as a file has to wait for a slot it may as well go on filling. Rows that go over REST go together, from
        all groups: that fills REST's calls best.

        Args:
            now: monotonic seconds.
            ended: nothing will come that could fill a file.
            open_to_files: whether imports are possible at all.
            full: whether room for more rows is needed.
            free_slots: jobs that could be begun.
            idle: whether no job is under way whose end would make room.
        """
        everything_due = ended or not open_to_files
        born_before = now - self._max_age_seconds
        few: list[File] = []
        worth: list[File] = []
        for file in self._filling.values():
            by_file = open_to_files and (file.worth_a_job or (ended and self._leftovers_go_by_file))
            (worth if by_file else few).append(file)
        if ended:
            # What had to wait behind another row of its person would make a job for each of that person's rows.
            self._leftovers_go_by_file = False
        for file in sorted(worth, key=lambda file: -file.rows if full else file.born):
            if everything_due or (free_slots > 0 and (full or file.born <= born_before)):
                self.ready.append(self._filling.pop(file.group))
                free_slots -= 1
        if few and (everything_due or (full and idle and not worth) or any(file.born <= born_before for file in few)):
            for file in few:
                del self._filling[file.group]
            return few
        return []

    def give_up_ready(self) -> list[File]:
        """No file is sent any more; returns those that were ready."""
        files, self.ready = list(self.ready), deque()
        return files

    def filling(self) -> Iterable[File]:
        """Files that may still fill."""
        return self._filling.values()
