"""Files on their way to Marketo: one upload at a time, and what follows if it is refused."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from destination_marketo_programs.delivery.member_calls import ProgramGoneError
from destination_marketo_programs.imports.jobs import Attempts
from destination_marketo_programs.imports.results import RowRefusal
from destination_marketo_programs.marketo.bulk_import import TOO_MANY_IMPORTS, ImportStatus
from destination_marketo_programs.marketo.errors import (
    STATUS_NOT_FOUND,
    ConfigurationFaultError,
    MarketoError,
    NotFoundError,
    OutcomeUnknownError,
    TooLargeError,
)
from destination_marketo_programs.outcomes import Category, Refusal
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.delivery.journal import Journal
    from destination_marketo_programs.imports.calls import ImportCalls
    from destination_marketo_programs.imports.files import File
    from destination_marketo_programs.imports.jobs import Job, Jobs
    from destination_marketo_programs.imports.pace import ImportPace
    from destination_marketo_programs.imports.waiting import Waiting

logger = logging.getLogger("airbyte.imports")

TRIES_OF_A_FAILED_JOB = 2


class Uploads:
    """Uploads, one at a time.

    Args:
        calls: makes the calls.
        waiting: keeps the records.
        jobs: takes what Marketo has accepted, or may have.
        journal: told of uploads.
        pace: how often a full queue is asked for a place.
        clock: monotonic seconds.
        only_files: `delivery.method` is `bulk`: if imports are not possible, the sync ends.

    Attributes:
        under_way: whether one is being made.
        not_before: monotonic seconds of the next one.
    """

    def __init__(
        self,
        calls: ImportCalls,
        waiting: Waiting,
        jobs: Jobs,
        journal: Journal,
        pace: ImportPace,
        clock: Callable[[], float],
        *,
        only_files: bool,
    ) -> None:
        self.under_way = False
        self.not_before = 0.0
        self._calls = calls
        self._waiting = waiting
        self._planner = waiting.planner
        self._jobs = jobs
        self._journal = journal
        self._pace = pace
        self._clock = clock
        self._only_files = only_files
        self._attempts: dict[int, Attempts] = {}

    def begin(self, file: File) -> Callable[[], ImportStatus | MarketoError]:
        """What makes the call for a file, in a worker; `answered` is owed afterwards."""
        self.under_way = True
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

        return run

    def answered(self, file: File, answer: ImportStatus | MarketoError) -> Job | None:
        """Marketo's answer; returns the job if there is one now.

        Raises:
            ProgramGoneError: Marketo does not find the program any more.
            ConfigurationFaultError: imports are not possible, and nothing else is wanted.
        """
        self.under_way = False
        if isinstance(answer, ImportStatus):
            self._planner.ready.remove(file)
            self._log_accepted(file, answer)
            return self._jobs.begin(file, answer)
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
            self.switch_off(str(answer))
        elif answer.code == STATUS_NOT_FOUND:
            self._planner.ready.remove(file)
            refusal = Refusal(Category.STATUS_NOT_FOUND, answer.code, answer.marketo_message or "", answer.request_id)
            refused = RowRefusal(refusal, answer.marketo_message or "", of_person=False)
            self._jobs.refuse(file, dict.fromkeys(self._waiting.spool.people(file.number), refused))
        else:
            self._give_up(file, f"{answer}")
        return None

    def try_again(self, file: File, why: str) -> None:
        """Upload a file whose job has ended anew: an import is an upsert by email, what has arrived does not change."""
        attempts = self._attempts.setdefault(file.number, Attempts())
        attempts.failed += 1
        self._planner.ready.append(file)
        if attempts.failed > TRIES_OF_A_FAILED_JOB:
            self._give_up(file, why)
        else:
            logger.warning("%s; its %d rows are uploaded once more.", why, file.rows)
            self.not_before = max(self.not_before, self._clock() + self._pace.retry_seconds)

    def switch_off(self, why: str) -> None:
        """Bulk import is not possible here; if REST is not either, it will say so."""
        logger.warning("%s. Everything goes over REST instead.", why)
        self._waiting.close_to_files()

    def done(self, file: File) -> None:
        """Every row of a file is settled."""
        self._attempts.pop(file.number, None)

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
        self.not_before = now + attempts.slot_seconds

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
