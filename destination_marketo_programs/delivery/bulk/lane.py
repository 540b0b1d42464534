"""Bulk import as delivery sees it: takes records, asks for calls to be made, settles rows or gives them to REST.

Owned by the thread that owns delivery. A file goes: filling, ready, uploaded, asked about, its result files joined,
its rows settled. Whatever goes wrong with a file as a whole ends in REST, which says of each record what it is.
"""

from __future__ import annotations

import logging
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.delivery.bulk.joining import Joined, adds_up, join
from destination_marketo_programs.delivery.bulk.reasons import Refusal, job_refusal, row_refusal
from destination_marketo_programs.delivery.bulk.record import load
from destination_marketo_programs.delivery.bulk.rule import DEFAULT_PACE, JOBS_AT_ONCE, ImportPace
from destination_marketo_programs.delivery.bulk.waiting import File, Waiting
from destination_marketo_programs.delivery.member_writer import ProgramGoneError
from destination_marketo_programs.marketo.bulk_import import MAX_FILE_BYTES, TOO_MANY_IMPORTS, ImportStatus, JobState
from destination_marketo_programs.marketo.client import MAX_ROWS_PER_CALL
from destination_marketo_programs.marketo.errors import (
    STATUS_NOT_FOUND,
    ConfigurationFaultError,
    MarketoError,
    NotFoundError,
    OutcomeUnknownError,
    TooLargeError,
)
from destination_marketo_programs.model import Target
from destination_marketo_programs.outcomes import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from destination_marketo_programs.delivery.bulk.calls import BulkCalls, ResultFiles
    from destination_marketo_programs.delivery.bulk.joining import Reasons
    from destination_marketo_programs.delivery.bulk.record import Record
    from destination_marketo_programs.delivery.bulk.spool import Row
    from destination_marketo_programs.delivery.queues import GroupKey
    from destination_marketo_programs.delivery.recorder import Recorder
    from destination_marketo_programs.delivery.work import Item
    from destination_marketo_programs.model import Mapped

logger = logging.getLogger("airbyte.bulk")

JOBS_UNDER_WAY = 4
"""Marketo runs two imports at once and queues ten, for everybody: more of ours would wait, and keep others waiting."""
TRIES_OF_A_FAILED_JOB = 2
LOST_UPLOADS = 4
"""Uploads of a file whose answer was lost, before its rows go over REST."""
ROWS_SETTLED_AT_ONCE = 5_000
TEND_SECONDS = 0.1
MAX_SPOOLED_ROWS = 300_000
MAX_SPOOLED_BYTES = 2_000_000_000


class LaneOptions(NamedTuple):
    """How the lane goes about it.

    Attributes:
        always: `delivery.method` is `bulk`: what is left at the end of the input goes by file, however few rows,
            but for rows that still wait behind another row of their person.
        max_age_seconds: a record waits no longer for its file to fill.
        max_rows, max_bytes: what may wait on disk; beyond it standard input is not read.
    """

    always: bool
    max_age_seconds: float
    pace: ImportPace = DEFAULT_PACE
    max_rows: int = MAX_SPOOLED_ROWS
    max_bytes: int = MAX_SPOOLED_BYTES
    max_file_bytes: int = MAX_FILE_BYTES


class BulkCall(NamedTuple):
    """A call to be made in a worker, and what is done with its value in delivery's thread."""

    run: Callable[[], Any]
    finish: Callable[[Any], None]


class _Phase(Enum):
    UNDER_WAY = "Marketo works on it"
    ENDED = "its result files are wanted"
    UNCLEAR = "its rows are read back"


class _Job:
    """A file that Marketo has taken.

    Attributes:
        refused, warned: what Marketo says of single rows.
        not_before: monotonic seconds of the next call for it; infinite while one is being made.
    """

    def __init__(self, file: File, status: ImportStatus) -> None:
        self.file = file
        self.status = status
        self.phase = _Phase.UNDER_WAY
        self.interval = 0.0
        self.not_before = 0.0
        self.refused: dict[int, Refusal] = {}
        self.warned: dict[int, str] = {}


class _Attempts:
    """What has gone wrong with the file that is next to be uploaded."""

    def __init__(self) -> None:
        self.failed = 0
        self.lost = 0
        self.slot_seconds = 0.0
        self.slot_wanted_since = 0.0


class BulkLane:
    """The way by file.

    Args:
        calls: who makes the calls.
        map_record: the mapping, to read a person again.
        step_of: progression step of (program id, status).
        recorder: takes every fate.
        clock: monotonic seconds.
        options: how it goes about it.

    Attributes:
        forget: told the folded email of each person that an import has written.
    """

    def __init__(
        self,
        calls: BulkCalls,
        map_record: Callable[[str, object], Mapped],
        step_of: Callable[[GroupKey], int],
        recorder: Recorder,
        clock: Callable[[], float],
        options: LaneOptions,
    ) -> None:
        self._calls = calls
        self._step_of = step_of
        self._recorder = recorder
        self._clock = clock
        self._options = options
        self._pace = options.pace
        self._waiting = Waiting(
            map_record,
            options.max_age_seconds,
            always=options.always,
            max_rows=options.max_rows,
            max_bytes=options.max_bytes,
            clock=clock,
            max_file_bytes=options.max_file_bytes,
        )
        self.forget: Callable[[str], object] = lambda _email: None
        self._jobs: list[_Job] = []
        self._settling: list[_Job] = []
        self._attempts: dict[int, _Attempts] = {}
        self._uploading = False
        self._upload_not_before = 0.0
        """Monotonic seconds of the next upload; one is made at a time."""
        self._next_tend = 0.0
        self._restored_bytes = 0

    def close(self) -> None:
        """Forget everything that waits."""
        self._waiting.spool.close()

    # --- what delivery asks --------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        """Whether records wait here."""
        return self._waiting.spool.rows > 0

    @property
    def full(self) -> bool:
        """Whether no further record should be read."""
        return self._waiting.full

    @property
    def has_rows_for_rest(self) -> bool:
        """Whether `take_for_rest` would give records."""
        return self._waiting.for_rest > 0

    def offer(self, item: Item) -> bool:
        """Take a record, or leave it to REST; then `left_rest` is owed when it is settled."""
        return self._waiting.offer(item)

    def take_for_rest(self) -> list[Item]:
        """Records that go over REST after all, in order of arrival; `left_rest` is owed for each."""
        return self._waiting.take_for_rest()

    def left_rest(self, item: Item) -> None:
        """A record that went over REST is settled."""
        self._waiting.left_rest(item)

    def take_restored_bytes(self) -> int:
        """Sizes of items made since the last call only to be settled; the recorder frees them as if they had waited."""
        restored, self._restored_bytes = self._restored_bytes, 0
        return restored

    def seconds_until_due(self, now: float) -> float:
        """When `advance` or `next_call` has something to do again; what is due and cannot begin now does not count."""
        if self._settling:
            return 0.0
        due = [job.not_before for job in self._jobs_to_ask()]
        if self._waiting.ready:
            due.append(self._upload_not_before)
        return min((moment for moment in due if moment > now), default=float("inf")) - now

    def describe(self) -> str:
        """For the progress report."""
        spool = self._waiting.spool
        return (
            f"{spool.rows} records wait for bulk import, {len(self._jobs)} import jobs under way, "
            f"{len(self._waiting.ready)} files ready"
        )

    # --- what there is to do -------------------------------------------------------------------------------------

    def advance(self, now: float, *, input_ended: bool) -> None:
        """Settle some rows, and close files that are due."""
        if self._settling:
            self._settle_some(self._settling[0])
            return
        if now < self._next_tend and not input_ended:
            return
        self._next_tend = now + TEND_SECONDS
        waiting = self._waiting
        # Records parked behind the jobs under way will move up: what is left over waits for them, to go out together.
        nothing_to_come = input_ended and not (self._jobs and waiting.has_parked)
        waiting.tend(
            now,
            input_ended=nothing_to_come,
            free_slots=JOBS_UNDER_WAY - self._slots_taken - len(waiting.ready) + self._uploading,
            idle=not (self._jobs or waiting.ready),
        )

    @property
    def _slots_taken(self) -> int:
        return sum(job.phase is _Phase.UNDER_WAY for job in self._jobs) + self._uploading

    def next_call(self, now: float) -> BulkCall | None:
        """A call that is due, if there is one."""
        for job in self._jobs_to_ask():
            if job.not_before <= now:
                job.not_before = float("inf")
                return self._call_for(job)
        ready = self._waiting.ready
        if ready and not self._uploading and now >= self._upload_not_before and self._slots_taken < JOBS_UNDER_WAY:
            return self._upload(ready[0])
        return None

    def _jobs_to_ask(self) -> list[_Job]:
        """Jobs worth a call: Marketo runs two at once, first in, first out, so that later ones cannot be running."""
        under_way = [job for job in self._jobs if job.phase is _Phase.UNDER_WAY]
        return [job for job in self._jobs if job.phase is not _Phase.UNDER_WAY] + under_way[:JOBS_AT_ONCE]

    def _call_for(self, job: _Job) -> BulkCall:
        batch_id, file, status = job.status.batch_id, job.file, job.status
        match job.phase:
            case _Phase.UNDER_WAY:
                return BulkCall(lambda: self._calls.poll(batch_id), lambda answer: self._polled(job, answer))
            case _Phase.ENDED:
                return BulkCall(
                    lambda: self._calls.result_files(
                        batch_id, failures=status.failed != 0, warnings=status.warned != 0
                    ),
                    lambda files: self._result_files_read(job, files),
                )
            case _Phase.UNCLEAR:
                rows = self._waiting.spool.first(file.number, MAX_ROWS_PER_CALL)
                asked = [(row.person, row.line) for row in rows if row.person not in job.refused]
                group = file.group
                wanted = self._step_of((group.program_id, group.program_status))

                def reaches(status_name: str) -> bool:
                    same = status_name == group.program_status
                    return same or self._step_of((group.program_id, status_name)) > wanted

                return BulkCall(
                    lambda: self._calls.read_back(group.program_id, reaches, group.shape, asked),
                    lambda arrived: self._read_back(job, rows, arrived),
                )

    # --- upload --------------------------------------------------------------------------------------------------

    def _upload(self, file: File) -> BulkCall:
        self._uploading = True
        content = file.header + self._waiting.spool.lines(file.number)
        group = file.group
        return BulkCall(
            lambda: self._calls.create(group.program_id, group.program_status, content, file.rows),
            lambda answer: self._uploaded(file, answer),
        )

    def _uploaded(self, file: File, answer: ImportStatus | MarketoError) -> None:
        self._uploading = False
        if isinstance(answer, ImportStatus):
            self._waiting.ready.remove(file)
            self._accepted(file, answer)
            return
        attempts = self._attempts.setdefault(file.number, _Attempts())
        if answer.code == TOO_MANY_IMPORTS:
            self._no_slot(file, attempts)
        elif isinstance(answer, OutcomeUnknownError):
            attempts.lost += 1
            if attempts.lost >= LOST_UPLOADS:
                self._give_up(file, f"{answer}")
                return
            # If Marketo has the file after all, its job gets a head start, so that the second finds every lead there.
            self._upload_not_before = max(self._clock(), answer.sent_at + self._calls.settle_seconds)
            logger.warning("%s; the file is uploaded once more, which changes nothing that has arrived.", answer)
        elif isinstance(answer, TooLargeError) and file.rows > 1:
            self._halve(file)
        elif isinstance(answer, NotFoundError):
            raise ProgramGoneError(file.group.program_id, answer) from answer
        elif isinstance(answer, ConfigurationFaultError):
            self._switch_off(answer)
        elif answer.code == STATUS_NOT_FOUND:
            self._waiting.ready.remove(file)
            refusal = Refusal("STATUS_NOT_FOUND", answer.marketo_message or "", of_person=False, code=answer.code)
            self._refuse_all(file, refusal, answer.request_id)
        else:
            self._give_up(file, f"{answer}")

    def _accepted(self, file: File, status: ImportStatus) -> None:
        group = file.group
        logger.info(
            'Bulk import job %d: %d rows (%d bytes) to program %d, status "%s" (request %s).',
            status.batch_id,
            file.rows,
            file.size_bytes,
            group.program_id,
            group.program_status,
            status.request_id,
        )
        job = _Job(file, status)
        job.interval = self._pace.first_poll(file.rows)
        self._jobs.append(job)
        self._moved_on(job, status)

    def _no_slot(self, file: File, attempts: _Attempts) -> None:
        now = self._clock()
        if not attempts.slot_seconds:
            attempts.slot_wanted_since = now
            attempts.slot_seconds = self._pace.slot_seconds
            logger.info("Marketo's import queue is full (1016); waiting for a place in it.")
        elif now - attempts.slot_wanted_since > self._pace.slot_patience_seconds:
            self._give_up(file, "Marketo's import queue stays full (1016)")
            return
        else:
            attempts.slot_seconds = self._pace.next_slot(attempts.slot_seconds)
        self._upload_not_before = now + attempts.slot_seconds

    def _halve(self, file: File) -> None:
        """Marketo finds the file too large."""
        half = self._waiting.new_file(file.group_number)
        moved = self._waiting.spool.split(file.number, half.number, file.rows // 2)
        for born, line_bytes in moved:
            half.note(born, line_bytes)
        file.rows -= half.rows
        file.size_bytes -= half.size_bytes - len(half.header)
        self._waiting.ready.insert(self._waiting.ready.index(file) + 1, half)

    def _give_up(self, file: File, why: str) -> None:
        """A file that is next to be uploaded goes over REST instead."""
        self._waiting.ready.remove(file)
        self._attempts.pop(file.number, None)
        logger.warning("%s; %d rows go over REST instead.", why, file.rows)
        self._waiting.hand_over([file])

    def _switch_off(self, error: MarketoError) -> None:
        """Bulk import is not allowed here; if REST is not either, it will say so."""
        if self._options.always:
            raise error
        waiting = self._waiting
        waiting.accepts = False
        logger.warning("%s; everything goes over REST instead.", error)
        waiting.hand_over(waiting.ready)
        waiting.ready.clear()

    # --- under way -----------------------------------------------------------------------------------------------

    def _polled(self, job: _Job, status: ImportStatus | None) -> None:
        if status is None:
            self._end(job)
            self._try_again(job.file, f"Marketo does not know bulk import job {job.status.batch_id} any more")
        else:
            self._moved_on(job, status)

    def _moved_on(self, job: _Job, status: ImportStatus) -> None:
        job.status = status
        now = self._clock()
        if status.state == JobState.COMPLETE:
            self._complete(job, status)
        elif status.state == JobState.FAILED:
            self._end(job)
            self._failed(job.file, status)
        else:
            job.not_before = now + job.interval
            job.interval = self._pace.next_poll(job.interval)

    def _complete(self, job: _Job, status: ImportStatus) -> None:
        file = job.file
        logger.info(
            "Bulk import job %d has ended: %s of %d rows imported, %s failed, %s with a warning.",
            status.batch_id,
            _shown(status.processed),
            file.rows,
            _shown(status.failed),
            _shown(status.warned),
        )
        if status.failed == 0 and status.warned == 0 and status.processed == file.rows:
            self._end(job)
            self._settling.append(job)
        else:
            self._end(job)
            self._jobs.append(job)
            job.phase = _Phase.ENDED
            job.not_before = self._clock()

    def _end(self, job: _Job) -> None:
        """Marketo is done with a job, so that the next in its queue begins."""
        waited = [other for other in self._jobs if other.phase is _Phase.UNDER_WAY][JOBS_AT_ONCE:]
        self._jobs.remove(job)
        if waited:
            waited[0].not_before = self._clock() + waited[0].interval

    def _failed(self, file: File, status: ImportStatus) -> None:
        refusal = job_refusal(status.message)
        if refusal is not None:
            logger.warning(
                "Bulk import job %d has failed (%s); its %d rows are rejected.",
                status.batch_id,
                refusal.category,
                file.rows,
            )
            self._refuse_all(file, refusal, status.request_id)
        else:
            self._try_again(file, f"Bulk import job {status.batch_id} has failed for a reason that may pass")

    def _try_again(self, file: File, why: str) -> None:
        """Upload a file anew: an import is an upsert by email, so that what has arrived does not change."""
        attempts = self._attempts.setdefault(file.number, _Attempts())
        attempts.failed += 1
        self._waiting.ready.append(file)
        if attempts.failed > TRIES_OF_A_FAILED_JOB:
            self._give_up(file, why)
        else:
            logger.warning("%s; its %d rows are uploaded once more.", why, file.rows)
            self._upload_not_before = max(self._upload_not_before, self._clock() + self._pace.retry_seconds)

    # --- result files --------------------------------------------------------------------------------------------

    def _result_files_read(self, job: _Job, files: ResultFiles) -> None:
        file, status = job.file, job.status
        sent = self._waiting.spool.people(file.number)
        failures = self._join(file, files.failures, sent)
        warnings = self._join(file, files.warnings, sent)
        job.refused = {row: row_refusal(reason) for row, reason in failures.by_row.items()}
        job.warned = warnings.by_row
        if not warnings.exact or (status.warned or 0) != len(warnings.by_row):
            logger.warning(
                "Bulk import job %d: the warning file does not fit the %s rows that Marketo counts; what it says of "
                "rows that were sent is noted with them.",
                status.batch_id,
                _shown(status.warned),
            )
        if adds_up(status, file.rows, failures):
            self._jobs.remove(job)
            self._settling.append(job)
            return
        logger.warning(
            "Bulk import job %d does not add up: %d rows sent, %s imported and %s failed by Marketo's count, %d named "
            "in the failure file%s. Rows that are not named are read back from Marketo.",
            status.batch_id,
            file.rows,
            _shown(status.processed),
            _shown(status.failed),
            len(failures.by_row),
            "" if failures.exact else ", which also names rows that were not sent, or some twice",
        )
        job.phase = _Phase.UNCLEAR
        job.not_before = self._clock()

    def _join(self, file: File, reasons: Reasons | None, sent: set[int]) -> Joined:
        if reasons is None:
            return Joined({}, exact=False)
        return join(reasons, sent, lambda: self._emails(file))

    def _emails(self, file: File) -> Iterator[tuple[int, str]]:
        for person, record in self._waiting.spool.records(file.number):
            yield person, load(record).email

    def _read_back(self, job: _Job, rows: list[Row], arrived: set[int]) -> None:
        """Settle what is certain; REST decides the rest."""
        certain = [row for row in rows if row.person in arrived or row.person in job.refused]
        for row in rows:
            if row.person not in arrived and row.person not in job.refused:
                self._waiting.to_rest(row)
        self._settle_rows(job, certain)
        if len(rows) < MAX_ROWS_PER_CALL:
            self._jobs.remove(job)
        else:
            job.not_before = self._clock()

    # --- settling ------------------------------------------------------------------------------------------------

    def _refuse_all(self, file: File, refusal: Refusal, request_id: str | None) -> None:
        job = _Job(file, ImportStatus(0, JobState.FAILED, None, None, None, None, request_id))
        job.refused = dict.fromkeys(self._waiting.spool.people(file.number), refusal)
        self._settling.append(job)

    def _settle_some(self, job: _Job) -> None:
        rows = self._waiting.spool.first(job.file.number, ROWS_SETTLED_AT_ONCE)
        self._settle_rows(job, rows)
        if len(rows) < ROWS_SETTLED_AT_ONCE:
            self._settling.remove(job)
            self._attempts.pop(job.file.number, None)

    def _settle_rows(self, job: _Job, rows: list[Row]) -> None:
        """Give each row its outcome; records with further programs go on to the next one."""
        left: list[Row] = []
        records: list[Record] = []
        onward: list[tuple[Row, Record]] = []
        for row in rows:
            record = load(row.record)
            item = self._waiting.records.item(record, row.born)
            self._settle_row(job, row, record, item)
            if item.open:
                onward.append((row, self._waiting.records.without_first_target(record, item)))
            else:
                self._restored_bytes += item.size()
                left.append(row)
                records.append(record)
            self.forget(record.email)
        for row, record in onward:
            self._waiting.next_target(row, record)
        self._waiting.leave(left, records)

    def _settle_row(self, job: _Job, row: Row, record: Record, item: Item) -> None:
        refusal = job.refused.get(row.person)
        request_id = job.status.request_id
        target = Target(*record.targets[0])
        if refusal is None:
            item.note = (None, job.warned.get(row.person))
            self._recorder.delivered(item, target, 0, Result.IMPORTED.value, request_id)
        elif refusal.category is None:
            item.note = (None, refusal.message)
            self._recorder.delivered(item, target, 0, Result.UNCHANGED.value, request_id)
        else:
            refused = record.targets if refusal.of_person else record.targets[:1]
            for each in refused:
                self._recorder.rejected(
                    item, Target(*each), refusal.category, refusal.code, refusal.message, request_id
                )


def _shown(count: int | None) -> str:
    return "an unknown number" if count is None else f"{count}"
