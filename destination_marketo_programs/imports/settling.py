"""Rows of files whose jobs have ended: what Marketo says of each, and its outcome."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from destination_marketo_programs.imports.csv_rows import read_csv_line
from destination_marketo_programs.imports.results import Joined, adds_up, join, row_refusal
from destination_marketo_programs.imports.saved import load
from destination_marketo_programs.outcomes import Category, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.imports.calls import ResultFiles
    from destination_marketo_programs.imports.files import File
    from destination_marketo_programs.imports.jobs import Job
    from destination_marketo_programs.imports.results import Reasons
    from destination_marketo_programs.imports.saved import Record
    from destination_marketo_programs.imports.spool import Row
    from destination_marketo_programs.imports.waiting import Waiting

logger = logging.getLogger("airbyte.imports")

ROWS_SETTLED_AT_ONCE = 5_000


class Rows:
    """Joins result files with rows, and settles rows.

    Args:
        waiting: keeps the records.
        settle: takes every result.
        forget: told the folded email of each person that an import has written.
    """

    def __init__(self, waiting: Waiting, settle: Settlement, forget: Callable[[str], object]) -> None:
        self._waiting = waiting
        self._settle = settle
        self._forget = forget

    def read(self, job: Job, files: ResultFiles) -> bool:
        """Note on the job what its result files say of rows; False if they do not add up."""
        file, status = job.file, job.status
        sent = self._waiting.spool.people(file.number)
        failures = self._join(file, files.failures, sent)
        warnings = self._join(file, files.warnings, sent)
        refused = {row: row_refusal(reason, status.request_id) for row, reason in failures.by_row.items()}
        job.note(refused, warnings.by_row)
        if not warnings.exact or (status.warned or 0) != len(warnings.by_row):
            logger.warning(
                "Bulk import job %d: the warning file does not fit the %s rows that Marketo counts; what it says of "
                "rows that were sent is noted with them.",
                status.batch_id,
                shown(status.warned),
            )
        if adds_up(status, file.rows, failures):
            return True
        logger.warning(
            "Bulk import job %d does not add up: %d rows sent, %s imported and %s failed by Marketo's count, %d named "
            "in the failure file%s. The rows are read back from Marketo.",
            status.batch_id,
            file.rows,
            shown(status.processed),
            shown(status.failed),
            len(failures.by_row),
            "" if failures.exact else ", which also names rows that were not sent, or some twice",
        )
        return False

    def _join(self, file: File, reasons: Reasons | None, sent: set[int]) -> Joined:
        if reasons is None:
            return Joined({}, exact=False)
        return join(reasons, sent, lambda: self._emails(file))

    def _emails(self, file: File) -> Iterator[tuple[int, str]]:
        for person, record in self._waiting.spool.records(file.number):
            yield person, load(record).email

    def settle_some(self, job: Job) -> bool:
        """Settle some of the job's rows; False if none are left."""
        rows = self._waiting.spool.first(job.file.number, ROWS_SETTLED_AT_ONCE)
        self.settle(job, rows)
        return len(rows) == ROWS_SETTLED_AT_ONCE

    def settle(self, job: Job, rows: Iterable[Row]) -> None:
        """Give each row its outcome; records with further programs go on to the next one."""
        left: list[Row] = []
        records: list[Record] = []
        onward: list[tuple[Row, Record]] = []
        for row in rows:
            record = load(row.record)
            entry = self._waiting.records.entry(record, row.born)
            self._settle_row(job, row, record, entry)
            if entry.open:
                onward.append((row, self._waiting.records.without_first_target(record, entry)))
            else:
                left.append(row)
                records.append(record)
            self._forget(record.email)
        for row, record in onward:
            self._waiting.next_target(row, record)
        self._waiting.leave(left, records)

    def _settle_row(self, job: Job, row: Row, record: Record, entry: Entry) -> None:
        refused = job.refused.get(row.person)
        request_id, target = job.status.request_id, entry.targets[0]
        lookup_value = read_csv_line(row.line)[0]
        if refused is None:
            warning = job.warned.get(row.person)
            entry.note = None if warning is None else (None, warning)
            self._settle.deliver(entry, target, None, Result.IMPORTED, request_id, lookup_value=lookup_value)
        elif refused.refusal is None:
            entry.note = (None, refused.message)
            self._settle.deliver(entry, target, None, Result.UNCHANGED, request_id, lookup_value=lookup_value)
        else:
            if refused.refusal.category is Category.FIELD_INVALID:
                # Which of its fields is told with the outcome.
                entry.person = self._waiting.records.entry_for_rest(record, row.born).person
            for each in entry.targets if refused.of_person else entry.targets[:1]:
                self._settle.reject(entry, each, refused.refusal)


def shown(count: int | None) -> str:
    """A count of Marketo's that it may leave out."""
    return "an unknown number" if count is None else f"{count}"
