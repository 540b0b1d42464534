"""The stage of bulk imports: takes records, sends files, settles rows or gives them to REST.

A file goes: filling, ready, uploaded, asked about, its result files joined, its rows settled. Whatever goes wrong with
a file as a whole ends in REST, which says of each record what it is; but never while its job may still be running.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.delivery.field_at_fault import with_field
from destination_marketo_programs.delivery.member_calls import ProgramGoneError
from destination_marketo_programs.delivery.stage import NEVER, Call, Why
from destination_marketo_programs.imports.csv_rows import read_csv_line
from destination_marketo_programs.imports.files import JOBS_UNDER_WAY
from destination_marketo_programs.imports.jobs import Attempts, Job, Jobs, NoSignError, Phase, Sign, StuckJobError
from destination_marketo_programs.imports.results import Joined, RowRefusal, adds_up, join, row_refusal
from destination_marketo_programs.imports.saved import load
from destination_marketo_programs.imports.spool import SpoolError
from destination_marketo_programs.mapping import fold_address
from destination_marketo_programs.marketo.bulk_import import TOO_MANY_IMPORTS, ImportStatus, JobState
from destination_marketo_programs.marketo.errors import (
    STATUS_NOT_FOUND,
    ConfigurationFaultError,
    MarketoError,
    NotFoundError,
    OutcomeUnknownError,
    TooLargeError,
)
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL
from destination_marketo_programs.outcomes import Category, Refusal, Result
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from destination_marketo_programs.delivery.entry import Entry, Holding
    from destination_marketo_programs.delivery.journal import Journal
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.imports.calls import ImportCalls, ResultFiles
    from destination_marketo_programs.imports.files import File
    from destination_marketo_programs.imports.pace import ImportPace
    from destination_marketo_programs.imports.results import Reasons
    from destination_marketo_programs.imports.saved import Record
    from destination_marketo_programs.imports.spool import Row
    from destination_marketo_programs.imports.waiting import Waiting

logger = logging.getLogger("airbyte.imports")

TRIES_OF_A_FAILED_JOB = 2
ROWS_SETTLED_AT_ONCE = 5_000
CLOSE_SECONDS = 0.1


class ImportStage:
    """Bulk imports.

    Args:
        calls: makes the calls.
        waiting: keeps the records.
        statuses: how statuses compare.
        settle: takes every result.
        rest: takes records that go over REST after all.
        forget: told the folded email of each person that an import has written.
        holding: says whether there is room for more records in memory.
        journal: told of uploads and jobs.
        pace: how often Marketo is asked.
        clock: monotonic seconds.
        only_files: `delivery.method` is `bulk`: if imports are not possible, the sync ends.
    """

    def __init__(
        self,
        calls: ImportCalls,
        waiting: Waiting,
        statuses: Statuses,
        settle: Settlement,
        rest: Callable[[Sequence[Entry]], None],
        forget: Callable[[str], object],
        holding: Holding,
        journal: Journal,
        pace: ImportPace,
        clock: Callable[[], float],
        *,
        only_files: bool,
    ) -> None:
        self.in_flight = 0
        self._calls = calls
        self._waiting = waiting
        self._planner = waiting.planner
        self._statuses = statuses
        self._settle = settle
        self._rest = rest
        self._forget = forget
        self._holding = holding
        self._journal = journal
        self._pace = pace
        self._clock = clock
        self._only_files = only_files
        self._jobs = Jobs(pace, journal, clock)
        self._attempts: dict[int, Attempts] = {}
        self._uploading: File | None = None
        self._upload_not_before = 0.0
        """Monotonic seconds of the next upload; one is made at a time."""
        self._next_close = 0.0

    # --- what the loop asks --------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return self._waiting.spool.rows

    @property
    def full(self) -> bool:
        """See `Stage`."""
        return self._waiting.full

    def accept(self, entry: Entry) -> bool:
        """Take a record to disk; False to send it over REST. `released` is owed once it is settled there."""
        try:
            taken = self._waiting.offer(entry)
        except SpoolError as error:
            if self._only_files:
                raise
            self._switch_off(str(error.strerror))
            return False
        if taken:
            self._holding.drop(entry)
        return taken

    def released(self, entry: Entry) -> None:
        """A record that went over REST is settled."""
        self._waiting.left_rest(entry)

    def close(self) -> None:
        """Forget everything that waits."""
        self._waiting.spool.close()

    def oldest(self) -> float:
        """See `Stage`. Files are closed by `advance`, which knows what waits for a slot."""
        return NEVER

    def due_in(self, now: float) -> float:
        """When `advance` or `take` has something to do again; what is due and cannot begin now does not count."""
        if self._jobs.settling or (self._waiting.for_rest and self._holding.room):
            return 0.0
        due = [job.not_before for job in self._jobs.to_ask()]
        if self._planner.ready:
            due.append(max(self._upload_not_before, self._calls.creates.not_before))
        later = min((moment for moment in due if moment > now), default=NEVER)
        return later - now

    def advance(self, now: float, *, ended: bool) -> None:
        """Settle some rows, close files that are due, and give REST what is meant for it."""
        while self._waiting.for_rest and self._holding.room:
            entries = self._waiting.take_for_rest()
            for entry in entries:
                self._holding.take(entry)
            self._rest(entries)
        if self._jobs.settling:
            self._settle_some(self._jobs.settling[0])
            return
        if now < self._next_close and not ended:
            return
        self._next_close = now + CLOSE_SECONDS
        waiting, ready = self._waiting, self._planner.ready
        # Records parked behind the jobs under way will move up: what is left over waits for them, to go out together.
        few = self._planner.close_due(
            now,
            ended=ended and not (self._jobs and waiting.has_parked),
            open_to_files=waiting.open_to_files,
            full=waiting.full,
            free_slots=JOBS_UNDER_WAY - self._slots_taken - len(ready) + (self._uploading is not None),
            idle=not (self._jobs or ready),
        )
        if few:
            waiting.hand_over(few)

    @property
    def _slots_taken(self) -> int:
        return self._jobs.under_way + (self._uploading is not None)

    def lost(self) -> None:
        """See `Stage`."""
        self.in_flight -= 1

    def take(self, why: Why, now: float) -> Call | None:
        """See `Stage`. Polls and uploads have their own times: nothing goes early because it is old or left over."""
        if why is not Why.FULL:
            return None
        for job in self._jobs.to_ask():
            if job.not_before <= now:
                job.not_before = NEVER
                return self._call_for(job)
        ready = self._planner.ready
        if (
            ready
            and self._uploading is None
            and now >= self._upload_not_before
            and self._calls.creates.allowed
            and self._slots_taken < JOBS_UNDER_WAY
        ):
            return self._upload(ready[0])
        return None

    def _call(self, run: Callable[[], Any], finish: Callable[[Any], None]) -> Call:
        self.in_flight += 1

        def ended(value: Any) -> None:
            self.in_flight -= 1
            finish(value)

        return Call(self, run, ended)

    def _call_for(self, job: Job) -> Call:
        batch_id, file, spool = job.status.batch_id, job.file, self._waiting.spool
        match job.phase:
            case Phase.UNDER_WAY:
                return self._call(lambda: self._calls.poll(batch_id), lambda answer: self._polled(job, answer))
            case Phase.LOST:
                emails = [fold_address(read_csv_line(line)[0]) for line in spool.sample(file.number, MAX_ROWS_PER_CALL)]
                return self._call(lambda: self._calls.unknown_people(emails), lambda found: self._looked(job, found))
            case Phase.ENDED:
                warnings = job.status.warned != 0
                return self._call(
                    lambda: self._calls.result_files(batch_id, warnings=warnings),
                    lambda files: self._result_files_read(job, files),
                )
            case Phase.UNCLEAR:
                rows = spool.first(file.number, MAX_ROWS_PER_CALL)
                group = file.group

                def reaches(status: str) -> bool:
                    return self._statuses.covers(group.program_id, status, group.program_status)

                asked = [(row.person, row.line) for row in rows]
                return self._call(
                    lambda: self._calls.read_back(group.program_id, reaches, group.shape, asked),
                    lambda arrived: self._read_back(job, rows, arrived),
                )

    # --- upload --------------------------------------------------------------------------------------------------

    def _upload(self, file: File) -> Call:
        self._uploading = file
        content = file.header + self._waiting.spool.lines(file.number)
        program_id, status, _ = file.group

        def run() -> ImportStatus | MarketoError:
            self._journal.uploading(program_id, status)
            answer = self._calls.create(program_id, status, content, file.rows)
            if isinstance(answer, ImportStatus):
                self._journal.uploaded(program_id, answer.batch_id)
            elif not isinstance(answer, OutcomeUnknownError):
                self._journal.not_uploaded(program_id)
            return answer

        return self._call(run, lambda answer: self._uploaded(file, answer))

    def _uploaded(self, file: File, answer: ImportStatus | MarketoError) -> None:
        self._uploading = None
        if isinstance(answer, ImportStatus):
            self._planner.ready.remove(file)
            self._log_accepted(file, answer)
            self._moved_on(self._jobs.begin(file, answer), answer)
            return
        attempts = self._attempts.setdefault(file.number, Attempts())
        if answer.code == TOO_MANY_IMPORTS:
            self._no_slot(file, attempts)
        elif isinstance(answer, OutcomeUnknownError):
            logger.warning("%s; nobody of its %d rows is sent again until its people show up.", answer, file.rows)
            self._planner.ready.remove(file)
            self._jobs.lose(file)
        elif isinstance(answer, TooLargeError) and file.rows > 1:
            self._halve(file)
        elif isinstance(answer, NotFoundError):
            raise ProgramGoneError(file.group.program_id, answer) from answer
        elif isinstance(answer, ConfigurationFaultError):
            if self._only_files:
                raise answer
            self._switch_off(str(answer))
        elif answer.code == STATUS_NOT_FOUND:
            self._planner.ready.remove(file)
            refusal = Refusal(Category.STATUS_NOT_FOUND, answer.code, answer.marketo_message or "", answer.request_id)
            self._refuse_all(file, RowRefusal(refusal, answer.marketo_message or "", of_person=False))
        else:
            self._give_up(file, f"{answer}")

    def _log_accepted(self, file: File, status: ImportStatus) -> None:
        logger.info(
            'Bulk import job %d: %d rows (%d bytes) to program %d, status "%s" (request %s).',
            status.batch_id,
            file.rows,
            file.size_bytes,
            file.group.program_id,
            file.group.program_status,
            status.request_id,
        )

    def _no_slot(self, file: File, attempts: Attempts) -> None:
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
        half = self._planner.new_file(file.group)
        for born, line_bytes in self._waiting.spool.split(file.number, half.number, file.rows // 2):
            half.note(born, line_bytes)
        file.give(half)
        ready = self._planner.ready
        ready.insert(ready.index(file) + 1, half)

    def _give_up(self, file: File, why: str) -> None:
        """A file that is next to be uploaded goes over REST instead."""
        self._planner.ready.remove(file)
        self._attempts.pop(file.number, None)
        logger.warning("%s; %s over REST instead.", why, counted(file.rows, "row goes", "rows go"))
        self._waiting.hand_over([file])

    def _switch_off(self, why: str) -> None:
        """Bulk import is not possible here; if REST is not either, it will say so."""
        logger.warning("%s. Everything goes over REST instead.", why)
        self._waiting.close_to_files()

    # --- under way -----------------------------------------------------------------------------------------------

    def _polled(self, job: Job, status: ImportStatus | None) -> None:
        if status is None:
            self._jobs.end(job)
            self._try_again(job.file, f"Marketo does not know bulk import job {job.status.batch_id} any more")
        else:
            self._moved_on(job, status)

    def _moved_on(self, job: Job, status: ImportStatus) -> None:
        job.status = status
        if status.state == JobState.COMPLETE:
            self._log_complete(job.file, status)
            self._jobs.end(job)
            self._jobs.next_phase(job, Phase.ENDED)
        elif status.state == JobState.FAILED:
            # No list of its messages exists: what they mean is for REST to say.
            self._jobs.end(job)
            self._try_again(job.file, f"Bulk import job {status.batch_id} has failed")
        elif self._jobs.ask_later(job):
            raise StuckJobError(status.batch_id, job.file.group.program_id, self._pace.job_patience_seconds)

    def _log_complete(self, file: File, status: ImportStatus) -> None:
        logger.info(
            "Bulk import job %d has ended: %s of %d rows imported, %s failed, %s with a warning.",
            status.batch_id,
            _shown(status.processed),
            file.rows,
            _shown(status.failed),
            _shown(status.warned),
        )

    def _try_again(self, file: File, why: str) -> None:
        """Upload a file whose job has ended anew: an import is an upsert by email, what has arrived does not change."""
        attempts = self._attempts.setdefault(file.number, Attempts())
        attempts.failed += 1
        self._planner.ready.append(file)
        if attempts.failed > TRIES_OF_A_FAILED_JOB:
            self._give_up(file, why)
        else:
            logger.warning("%s; its %d rows are uploaded once more.", why, file.rows)
            self._upload_not_before = max(self._upload_not_before, self._clock() + self._pace.retry_seconds)

    def _looked(self, job: Job, unknown: set[str]) -> None:
        """Whether people of a file whose upload was not answered have shown up."""
        file = job.file
        if job.unknown is None and not unknown:
            # Everybody was there before: a second upload creates nobody.
            self._jobs.drop(job)
            self._journal.not_uploaded(file.group.program_id)
            self._try_again(file, "All people of a file whose upload was not answered are in Marketo")
            return
        sign = self._jobs.look_later(job, unknown) if unknown else Sign.ENDED
        if sign is Sign.ENDED:
            self._journal.not_uploaded(file.group.program_id)
            self._jobs.next_phase(job, Phase.UNCLEAR)
        elif sign is Sign.NONE:
            program_id = file.group.program_id
            self._journal.in_doubt(
                f"Program {program_id}: an upload of {counted(file.rows, 'row')} was not answered, and none of its "
                "people has shown up."
            )
            raise NoSignError(program_id, file.rows, self._pace.lost_patience_seconds)

    # --- result files --------------------------------------------------------------------------------------------

    def _result_files_read(self, job: Job, files: ResultFiles) -> None:
        file, status = job.file, job.status
        sent = self._waiting.spool.people(file.number)
        failures = self._join(file, files.failures, sent)
        warnings = self._join(file, files.warnings, sent)
        job.refused = {row: row_refusal(reason, status.request_id) for row, reason in failures.by_row.items()}
        job.warned = warnings.by_row
        if not warnings.exact or (status.warned or 0) != len(warnings.by_row):
            logger.warning(
                "Bulk import job %d: the warning file does not fit the %s rows that Marketo counts; what it says of "
                "rows that were sent is noted with them.",
                status.batch_id,
                _shown(status.warned),
            )
        if adds_up(status, file.rows, failures):
            self._jobs.settle(job)
            return
        logger.warning(
            "Bulk import job %d does not add up: %d rows sent, %s imported and %s failed by Marketo's count, %d named "
            "in the failure file%s. The rows are read back from Marketo.",
            status.batch_id,
            file.rows,
            _shown(status.processed),
            _shown(status.failed),
            len(failures.by_row),
            "" if failures.exact else ", which also names rows that were not sent, or some twice",
        )
        self._jobs.next_phase(job, Phase.UNCLEAR)

    def _join(self, file: File, reasons: Reasons | None, sent: set[int]) -> Joined:
        if reasons is None:
            return Joined({}, exact=False)
        return join(reasons, sent, lambda: self._emails(file))

    def _emails(self, file: File) -> Iterator[tuple[int, str]]:
        for person, record in self._waiting.spool.records(file.number):
            yield person, load(record).email

    def _read_back(self, job: Job, rows: list[Row], arrived: set[int]) -> None:
        """Settle what is certain; REST decides the rest."""
        certain = [row for row in rows if row.person in arrived]
        for row in rows:
            if row.person in arrived:
                job.refused.pop(row.person, None)
            else:
                self._waiting.to_rest(row)
        self._settle_rows(job, certain)
        if len(rows) < MAX_ROWS_PER_CALL:
            self._jobs.drop(job)
        else:
            self._jobs.next_phase(job, Phase.UNCLEAR)

    # --- settling ------------------------------------------------------------------------------------------------

    def _refuse_all(self, file: File, refusal: RowRefusal) -> None:
        self._jobs.refuse(file, dict.fromkeys(self._waiting.spool.people(file.number), refusal))

    def _settle_some(self, job: Job) -> None:
        rows = self._waiting.spool.first(job.file.number, ROWS_SETTLED_AT_ONCE)
        self._settle_rows(job, rows)
        if len(rows) < ROWS_SETTLED_AT_ONCE:
            self._jobs.settling.remove(job)
            self._attempts.pop(job.file.number, None)

    def _settle_rows(self, job: Job, rows: Iterable[Row]) -> None:
        """Give each row its outcome; records with further programs go on to the next one."""
        left: list[Row] = []
        records: list[Record] = []
        onward: list[tuple[Row, Record]] = []
        for row in rows:
            record = load(row.record)
            entry = self._waiting.records.entry(record, row.born)
            self._settle_row(job, row, entry)
            if entry.open:
                onward.append((row, self._waiting.records.without_first_target(record, entry)))
            else:
                left.append(row)
                records.append(record)
            self._forget(record.email)
        for row, record in onward:
            self._waiting.next_target(row, record)
        self._waiting.leave(left, records)

    def _settle_row(self, job: Job, row: Row, entry: Entry) -> None:
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
            refusal = with_field(refused.refusal, entry.person.fields, entry.person.member_fields)
            for each in entry.targets if refused.of_person else entry.targets[:1]:
                self._settle.reject(entry, each, refusal)


def _shown(count: int | None) -> str:
    return "an unknown number" if count is None else f"{count}"
