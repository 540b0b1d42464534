"""Which stored outcomes count, and what they add up to.

Within one run every outcome counts. Of several runs, for one record and program, the latest counts; and what a run
said of a record for no program at all ends where a later run says anything of that record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.report.database import Database, Wide, run_of, seconds_of
from destination_marketo_programs.storage import Reader
from destination_marketo_programs.summary import Cell, LeadCounts, lead_kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import TracebackType
    from typing import Self

NEW, STILL, FIXED = "new", "still", "fixed"
_RANKS = {"rejected": 0, "delivered": 2, "unchanged": 3, "skipped": 4}
_RANK_FIXED = 1
_ROWS_PER_INSERT = 5_000
_INSERT_LEAD = "INSERT INTO lead VALUES (?, ?, ?, ?, ?, ?)"

# Of more leads than a list takes, those to act on come first, and of these the latest of each reason in turn, so that
# no reason crowds out another.
_LEADS = """
SELECT record, numbers, news FROM (
    SELECT record, numbers, news, rank, at, row_number() OVER (PARTITION BY rank, cell ORDER BY at DESC, record) AS turn
    FROM lead WHERE rank <= ?
) ORDER BY rank, turn, at DESC LIMIT ?
"""


class _Row(NamedTuple):
    record: int
    program: int
    stamp: int
    cell: int
    number: int


class LeadOutcome(NamedTuple):
    """What counts of one record for one program."""

    cell: Cell
    part: str
    wide: Wide

    @property
    def told(self) -> bool:
        """Whether there is a reason to tell: it was rejected or skipped."""
        return self.cell.outcome in {Result.REJECTED, Result.SKIPPED}


class Lead(msgspec.Struct):
    """One record with all outcomes of it that count.

    Attributes:
        record: see `record_number`.
        kind: see `lead_kind`.
        news: `new`, `still` or `fixed`, seen from the last sync; blank if there is nothing to say.
        name, email, company: from its rejected record, if there is one.
        data: the rejected record as JSON; None if there is none, or a very long one.
    """

    record: int
    kind: str
    news: str
    outcomes: list[LeadOutcome]
    name: str | None = None
    email: str | None = None
    company: str | None = None
    data: bytes | None = None


@dataclass
class ReasonTally:
    """What counts for one (outcome, category, code): outcomes, leads, and leads by part with the cells they are in."""

    count: int = 0
    leads: int = 0
    parts: Counter[str] = field(default_factory=Counter)
    cells: dict[str, set[int]] = field(default_factory=dict)


@dataclass
class RunNews:
    """Rejected outcomes of a run against the runs before it."""

    new: int = 0
    still: int = 0
    fixed: int = 0


ReasonKey = tuple[str, str | None, str | None]


class Tally:
    """Reads and counts. A context manager.

    Args:
        locations: as `find_files` takes them.
        on_progress: called now and then with the number of outcomes read so far.
        reader: with the access that the places need; by default the machine's own.

    Attributes:
        database: what was read.
        dry_run: whether only outcomes of dry runs were found, and count.
        dry_run_left_out: outcomes of dry runs beside real ones.
        cells: outcomes that count, by number of their cell.
        leads: leads that count.
        reasons: why leads were rejected or skipped.
        since_last: leads by `new`, `still` and `fixed`.
        run_news: by number of the run.

    Raises:
        StorageError: as `Database`.
    """

    def __init__(
        self,
        locations: Sequence[str],
        on_progress: Callable[[int], None] | None = None,
        reader: Reader | None = None,
    ) -> None:
        self.database = Database(reader or Reader(), locations, on_progress)
        cells = self.database.cells
        real = [cell for cell, _ in cells if not cell.dry_run]
        self.dry_run = bool(cells) and not real
        self.dry_run_left_out = 0
        self.cells: Counter[int] = Counter()
        self.leads = LeadCounts()
        self.reasons: dict[ReasonKey, ReasonTally] = {}
        self.since_last: Counter[str] = Counter()
        self.run_news: dict[int, RunNews] = {}
        syncs = [run for run in self.database.runs.values() if not run.confirming and run.dry_run == self.dry_run]
        ordered = sorted(syncs, key=lambda run: (run.started_at, run.number))
        self._sync_of = {run.number: run.sync for run in self.database.runs.values()}
        self._last_sync = ordered[-1].sync if len({run.sync for run in ordered}) > 1 else None
        self._rejected = [cell.outcome == Result.REJECTED for cell, _ in cells]
        self._told = [cell.outcome in {Result.REJECTED, Result.SKIPPED} for cell, _ in cells]
        try:
            self._count()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()

    def iter_leads(self, *, rejected_only: bool = False, limit: int = -1) -> Iterator[Lead]:
        """Leads, those to act on first; at most `limit` of them if it is not negative."""
        connection = self.database.connection
        highest = _RANKS["rejected"] if rejected_only else max(_RANKS.values())
        for record, packed, news in connection.execute(_LEADS, (highest, limit)):
            outcomes = []
            for cell, number in msgspec.json.decode(packed, type=list[tuple[int, int]]):
                (line,) = connection.execute("SELECT line FROM wide WHERE number = ?", (number,)).fetchone()
                outcomes.append(LeadOutcome(*self.database.cells[cell], msgspec.json.decode(line, type=Wide)))
            lead = Lead(record, lead_kind(outcome.cell.outcome for outcome in outcomes), news, outcomes)
            stored = connection.execute(
                "SELECT name, email, company, data FROM stored WHERE record = ?", (record,)
            ).fetchone()
            if stored is not None:
                lead.name, lead.email, lead.company, lead.data = stored
            yield lead

    def _count(self) -> None:
        rows = self.database.connection.execute(
            "SELECT record, program, stamp, cell, number FROM outcome ORDER BY record, program, stamp, number"
        )
        leads: list[tuple[object, ...]] = []
        for record, group in groupby(map(_Row._make, rows), key=itemgetter(0)):
            current, news = self._of_record(list(group))
            if not current:
                continue
            if self.database.cells[current[0].cell][0].dry_run is not self.dry_run:
                self.dry_run_left_out += len(current)
                continue
            leads.append(self._lead(record, current, news))
            if len(leads) >= _ROWS_PER_INSERT:
                self.database.connection.executemany(_INSERT_LEAD, leads)
                leads.clear()
        self.database.connection.executemany(_INSERT_LEAD, leads)

    def _of_record(self, rows: list[_Row]) -> tuple[list[_Row], str]:
        """Outcomes of one record that count, and what is new about it."""
        if len(rows) == 1 and self._last_sync is None:
            return rows, ""
        current: list[_Row] = []
        news: set[str] = set()
        latest = max(rows, key=lambda row: row.stamp).stamp
        none = self.database.no_program
        for program, group in groupby(rows, key=itemgetter(1)):
            told = list(group)
            run = run_of(max(row.stamp for row in told))
            if program == none and run_of(latest) != run:
                if any(self._rejected[row.cell] for row in told):
                    news.add(FIXED)
                continue
            counting = [row for row in told if run_of(row.stamp) == run]
            current += counting
            news.add(self._news(told, run))
        for one in (NEW, STILL):
            if one in news:
                return current, one
        rejected = any(self._rejected[row.cell] for row in current)
        return current, FIXED if FIXED in news and not rejected else ""

    def _news(self, told: Iterable[_Row], run: int) -> str:
        """What the runs in turn say of one record and program; counted for each run, returned for the last."""
        if self._last_sync is None:
            return ""
        by_sync: dict[str, tuple[int, bool]] = {}
        for row in told:
            number = run_of(row.stamp)
            sync = self._sync_of[number]
            # Of the attempts of one sync, the last says what it came to.
            by_sync[sync] = (number, self._rejected[row.cell] or by_sync.get(sync) == (number, True))
        before = False
        said = ""
        for number, rejected in by_sync.values():
            counted = self.run_news.setdefault(number, RunNews())
            if rejected and before:
                said = STILL
                counted.still += 1
            elif rejected:
                said = NEW
                counted.new += 1
            elif before:
                said = FIXED
                counted.fixed += 1
            elif said != FIXED:
                said = ""
            before = rejected
        return STILL if said == NEW and self._sync_of[run] != self._last_sync else said

    def _lead(self, record: int, current: Sequence[_Row], news: str) -> tuple[object, ...]:
        cells = self.database.cells
        kind = lead_kind(cells[row.cell][0].outcome for row in current)
        self.leads.add(kind)
        if news:
            self.since_last[news] += 1
        first = None
        reasons: set[ReasonKey] = set()
        parts: set[tuple[ReasonKey, str]] = set()
        for row in current:
            self.cells[row.cell] += 1
            if not self._told[row.cell]:
                continue
            cell, part = cells[row.cell]
            key = (cell.outcome, cell.category, cell.code)
            reason = self.reasons.setdefault(key, ReasonTally())
            reason.count += 1
            reasons.add(key)
            parts.add((key, part))
            reason.cells.setdefault(part, set()).add(row.cell)
            if self._rejected[row.cell] and first is None:
                first = row.cell
        for key in reasons:
            self.reasons[key].leads += 1
        for key, part in parts:
            self.reasons[key].parts[part] += 1
        rank = _RANK_FIXED if news == FIXED else _RANKS[kind]
        at = seconds_of(max(row.stamp for row in current))
        packed = msgspec.json.encode([(row.cell, row.number) for row in current])
        return (record, rank, current[0].cell if first is None else first, at, packed, news)
