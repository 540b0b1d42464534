"""The stage of bulk imports: takes records, sends files, settles rows or gives them to REST.

A file goes: filling, ready, uploaded, asked about, its result files joined, its rows settled. Whatever goes wrong with
a file as a whole ends in REST, which says of each record what it is; but never while its job may still be running.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.delivery.stage import NEVER, Call, Why
from destination_marketo_programs.imports.csv_rows import read_csv_line
from destination_marketo_programs.imports.files import JOBS_UNDER_WAY
from destination_marketo_programs.imports.jobs import Job, Jobs, NoSignError, Phase, Sign, StuckJobError
from destination_marketo_programs.imports.settling import Rows, shown
from destination_marketo_programs.imports.spool import SpoolError
from destination_marketo_programs.imports.uploads import Uploads
from destination_marketo_programs.mapping import fold_address
from destination_marketo_programs.marketo.bulk_import import ImportStatus, JobState
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.delivery.entry import Entry, Holding
    from destination_marketo_programs.delivery.journal import Journal
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.imports.calls import ImportCalls, ResultFiles
    from destination_marketo_programs.imports.files import File
    from destination_marketo_programs.imports.pace import ImportPace
    from destination_marketo_programs.imports.spool import Row
    from destination_marketo_programs.imports.waiting import Waiting
    from destination_marketo_programs.marketo.errors import (
        MarketoError,
    )

logger = logging.getLogger("airbyte.imports")

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
        self._rest = rest
        self._holding = holding
        self._journal = journal
        self._pace = pace
        self._clock = clock
        self._only_files = only_files
        self._jobs = Jobs(pace, journal, clock)
        self._uploads = Uploads(calls, waiting, self._jobs, journal, pace, clock, only_files=only_files)
        self._rows = Rows(waiting, settle, forget)
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
            self._uploads.switch_off(str(error.strerror))
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
            due.append(max(self._uploads.not_before, self._calls.creates.not_before))
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
            job = self._jobs.settling[0]
            if not self._rows.settle_some(job):
                self._jobs.settled(job)
                self._uploads.done(job.file)
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
            free_slots=JOBS_UNDER_WAY - self._slots_taken - len(ready) + (self._uploads.under_way),
            idle=not (self._jobs or ready),
        )
        if few:
            waiting.hand_over(few)

    @property
    def _slots_taken(self) -> int:
        return self._jobs.under_way + (self._uploads.under_way)

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
            and not self._uploads.under_way
            and now >= self._uploads.not_before
            and self._calls.creates.allowed
            and self._slots_taken < JOBS_UNDER_WAY
        ):
            file = ready[0]
            return self._call(self._uploads.begin(file), lambda answer: self._uploaded(file, answer))
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

    def _uploaded(self, file: File, answer: ImportStatus | MarketoError) -> None:
        job = self._uploads.answered(file, answer)
        if job is None:
            return
        if job.status.state == JobState.COMPLETE:
            # Done already; what came of its rows only the answer to a poll says.
            self._jobs.next_phase(job, Phase.UNDER_WAY)
        else:
            self._moved_on(job, job.status)

    # --- under way -----------------------------------------------------------------------------------------------

    def _polled(self, job: Job, status: ImportStatus | None) -> None:
        if status is None:
            self._jobs.end(job)
            self._uploads.try_again(job.file, f"Marketo does not know bulk import job {job.status.batch_id} any more")
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
            self._uploads.try_again(job.file, f"Bulk import job {status.batch_id} has failed")
        elif self._jobs.ask_later(job):
            raise StuckJobError(status.batch_id, job.file.group.program_id, self._pace.job_patience_seconds)

    def _log_complete(self, file: File, status: ImportStatus) -> None:
        logger.info(
            "Bulk import job %d has ended: %s of %d rows imported, %s failed, %s with a warning.",
            status.batch_id,
            shown(status.processed),
            file.rows,
            shown(status.failed),
            shown(status.warned),
        )

    def _looked(self, job: Job, unknown: set[str]) -> None:
        """Whether people of a file whose upload was not answered have shown up."""
        file = job.file
        if job.unknown is None and not unknown:
            # Everybody was there before: a second upload creates nobody.
            self._jobs.drop(job)
            self._journal.not_uploaded(file.group.program_id)
            self._uploads.try_again(file, "All people of a file whose upload was not answered are in Marketo")
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

    def _result_files_read(self, job: Job, files: ResultFiles) -> None:
        if self._rows.read(job, files):
            self._jobs.settle(job)
        else:
            self._jobs.next_phase(job, Phase.UNCLEAR)

    def _read_back(self, job: Job, rows: list[Row], arrived: set[int]) -> None:
        """Settle what is certain; REST decides the rest."""
        certain = [row for row in rows if row.person in arrived]
        for row in rows:
            if row.person in arrived:
                job.refused.pop(row.person, None)
            else:
                self._waiting.to_rest(row)
        self._rows.settle(job, certain)
        if len(rows) < MAX_ROWS_PER_CALL:
            self._jobs.drop(job)
        else:
            self._jobs.next_phase(job, Phase.UNCLEAR)
