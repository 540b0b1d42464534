"""Other runs of the same Marketo instance: one at a time creates people, and nothing runs into what a dead one left.

Marketo resumes neither creates nor imports for us: it goes on with them although their client has gone, and two of
them at once make two people of one. What runs know of each other is in their run files (`storage.runs`).
"""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.delivery.loop import Terminated
from destination_marketo_programs.failures import NeighbourError
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.storage.runs import (
    ImportJob,
    RunFile,
    is_alive,
    runs_in,
    seconds_until_creates_settle,
    write_run,
)
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.delivery.creates import Creates
    from destination_marketo_programs.delivery.tally import Tally
    from destination_marketo_programs.storage import OutcomeStore

logger = logging.getLogger("airbyte.neighbours")

RENEW_EVERY_SECONDS = 5.0
CREATES_TOLD_SECONDS = 5.0
"""A create within this time after the last writing of the file need not be told: whoever reads adds twice as much."""
LOST_AFTER_SECONDS = 25.0
"""A run that could not renew its file for so long stops: others will soon take it for dead."""
LOOK_EVERY_SECONDS = 5.0
TELL_EVERY_SECONDS = 60.0
RUNS_LOOKED_BACK = timedelta(days=2)
LIVING_LOOKED_BACK = timedelta(minutes=2)
_AT = "%Y-%m-%dT%H:%M:%SZ"


class Inheritance(NamedTuple):
    """What earlier runs left in Marketo.

    Attributes:
        creates_in: seconds until none of their creates can be under way.
        jobs: import jobs that may still run.
    """

    creates_in: float = 0.0
    jobs: tuple[ImportJob, ...] = ()


class RunJournal:
    """This run's file: written before the first write to Marketo, renewed while the run is alive, closed at its end.

    Any thread may tell it something.

    Args:
        store: where run files are; without storage every method does nothing.
        run: the file, open.
        now: the wall clock, in UTC.
        tally: of this run; the file says how many of its records were read and settled.
    """

    def __init__(self, store: OutcomeStore, run: RunFile, now: Callable[[], datetime], tally: Tally) -> None:
        self.run = run
        self._store = store
        self._stored = store.location is not None
        self._now = now
        self._lock = threading.Lock()
        self._written: datetime | None = None
        self._ended = threading.Event()
        self._renewer: threading.Thread | None = None
        self._tally = tally
        self._creates: Creates | None = None

    # --- what delivery tells -------------------------------------------------------------------------------------

    def creating(self) -> None:
        """A call that may create people is about to be sent.

        Raises:
            StorageError: nobody else can be told of it.
        """
        with self._lock:
            self._check_still_known()
            told = self.run.last_create_sent_at
            self.run.last_create_sent_at = self._at()
            if told and self._written and self._now() - self._written < timedelta(seconds=CREATES_TOLD_SECONDS):
                return
            self._write()

    def uploading(self, program_id: int, program_status: str) -> None:  # noqa: ARG002 - the status is Marketo's to say
        """A file of people is about to be uploaded. Errors as for `creating`."""
        with self._lock:
            self._check_still_known()
            self.run.imports.append(ImportJob(program_id, "Uploading", self._at()))
            self.run.last_create_sent_at = self._at()
            self._write()

    def uploaded(self, program_id: int, batch_id: int) -> None:
        """It is an import job now."""
        with self._lock:
            job = self._pending(program_id)
            if job is not None:
                job.status, job.batch_id = "Importing", batch_id
            self._write()

    def not_uploaded(self, program_id: int) -> None:
        """It certainly is not."""
        with self._lock:
            job = self._pending(program_id)
            if job is not None:
                self.run.imports.remove(job)
                self._write()

    def job_ended(self, batch_id: int) -> None:
        """Marketo is done with an import job."""
        with self._lock:
            self.run.imports = [job for job in self.run.imports if job.batch_id != batch_id]
            self._write()

    def in_doubt(self, text: str) -> None:
        """Nobody knows whether this was executed."""
        with self._lock:
            self.run.in_doubt = f"{self.run.in_doubt} {text}".strip()
            self._write()

    def _pending(self, program_id: int) -> ImportJob | None:
        return next((job for job in self.run.imports if job.batch_id is None and job.program_id == program_id), None)

    # --- its life ------------------------------------------------------------------------------------------------

    def write(self, **members: object) -> None:
        """Write the file, with some members changed.

        Raises:
            StorageError: it could not be written.
        """
        with self._lock:
            for name, value in members.items():
                setattr(self.run, name, value)
            self._write()

    def keep_alive(self, creates: Creates, on_lost: Callable[[StorageError], None]) -> None:
        """Renew the file until `close`; `on_lost` is told, in another thread, if that has failed for too long."""
        self._creates = creates
        if self._stored:
            self._renewer = threading.Thread(target=self._renew, args=(on_lost,), name="run-file", daemon=True)
            self._renewer.start()

    def _renew(self, on_lost: Callable[[StorageError], None]) -> None:
        while not self._ended.wait(RENEW_EVERY_SECONDS):
            try:
                with self._lock:
                    self._check_still_known()
                    self._note_progress()
                    self._write()
            except StorageError as error:
                since = self._now() - (self._written or self._now())
                if since > timedelta(seconds=LOST_AFTER_SECONDS):
                    on_lost(error)
                    return
                logger.warning("The run file could not be renewed, and is tried again: %s", error)

    def _note_progress(self) -> None:
        self.run.records_read = self._tally.records_read
        self.run.records_settled = self._tally.records_settled
        if self._creates is not None:
            self.run.creates_unanswered = self._creates.unanswered

    def close(self, ending: str, **members: object) -> None:
        """The run has ended.

        Raises:
            StorageError: the file could not be written.
        """
        self._ended.set()
        with self._lock:
            self._note_progress()
            self.run.ended, self.run.ending = self._at(), ending
            for name, value in members.items():
                setattr(self.run, name, value)
            self._write()

    def _check_still_known(self) -> None:
        """A process that stood still, as with a sleeping machine, may have been taken for dead."""
        if self._written is None or self._now() - self._written <= timedelta(seconds=LOST_AFTER_SECONDS):
            return
        raise StorageError(
            "object_storage_config",
            f"the run file could not be renewed for more than {LOST_AFTER_SECONDS:g} seconds, so that another sync may "
            "have begun meanwhile.",
            "Sync again.",
            transient=True,
        )

    def _at(self) -> str:
        return self._now().astimezone(UTC).strftime(_AT)

    def _write(self) -> None:
        if self._stored:
            now = self._now()
            write_run(self._store, self.run, now)
            self._written = now


def take_over(
    store: OutcomeStore,
    journal: RunJournal,
    now: Callable[[], datetime],
    wait: Callable[[float], bool],
    patience_minutes: float,
    settle_seconds: float,
) -> Inheritance:
    """Wait until no other run of this instance is alive, and take over what dead ones left.

    Each run announces itself first and looks then, so that of two that begin together at least one sees the other.

    Args:
        store: where run files are.
        journal: this run's; announced as waiting, and open to write when this returns.
        now: the wall clock, in UTC.
        wait: waits so many seconds; False as soon as the process is asked to end.
        patience_minutes: `delivery.wait_for_other_sync_minutes`.
        settle_seconds: how long Marketo may be working on a create.

    Raises:
        NeighbourError: another run did not end in time.
        StorageError: the storage cannot be used.
        Terminated: the process is asked to end.
    """
    journal.write(waiting=True)
    began = announced = now()
    told: datetime | None = None
    while True:
        others = _others(store, journal, now() - LIVING_LOOKED_BACK)
        ahead = next((run for run in others if is_alive(run, now()) and _comes_first(run, journal.run)), None)
        if ahead is None:
            if not journal.run.waiting:
                others = _others(store, journal, began - RUNS_LOOKED_BACK)
                if now() - announced <= timedelta(seconds=LOST_AFTER_SECONDS):
                    return _inherit(store, journal, others, now(), settle_seconds)
                # Held up for so long (a slow storage, a sleeping machine), it may have been taken for dead.
                if now() - began >= timedelta(minutes=patience_minutes):
                    raise _too_slow()
                journal.write(waiting=True)
                continue
            # Announced as working, it looks once more: whoever did the same meanwhile is seen now.
            announced = now()
            journal.write(waiting=False)
            continue
        if not journal.run.waiting:
            journal.write(waiting=True)
        if now() - began >= timedelta(minutes=patience_minutes):
            raise NeighbourError(
                f"Another sync of this Marketo instance has not ended within {_minutes(patience_minutes)} "
                f"({_described(ahead)}). Two syncs at once can create a person twice. Run them one after the other, or "
                "raise delivery.wait_for_other_sync_minutes."
            )
        if told is None or now() - told >= timedelta(seconds=TELL_EVERY_SECONDS):
            told = now()
            logger.info("Waiting for another sync of this Marketo instance to end: %s.", _described(ahead))
        if not wait(LOOK_EVERY_SECONDS):
            raise Terminated
        journal.write()


def _too_slow() -> StorageError:
    return StorageError(
        "object_storage_config",
        f"The storage takes more than {LOST_AFTER_SECONDS:.0f} seconds to list and read the run files.",
        "Sync again when it is faster.",
        transient=True,
    )


def _others(store: OutcomeStore, journal: RunJournal, since: datetime) -> list[RunFile]:
    return runs_in(store, journal.run.instance, modified_since=since, but=journal.run.run_id)


def _comes_first(other: RunFile, mine: RunFile) -> bool:
    """Whether this run waits for another one that is alive: one that works, or one that began to wait before.

    Of two that are both announced as working, neither knows whether the other has looked already: both step back.
    """
    if other.dry_run:
        return False
    if not other.waiting:
        return True
    return mine.waiting and (other.started, other.run_id) < (mine.started, mine.run_id)


def _minutes(number: float) -> str:
    return "1 minute" if number == 1 else f"{number:g} minutes"


def _described(run: RunFile) -> str:
    return (
        f"started {run.started}, {counted(run.records_read, 'record')} read, {run.records_settled:,} settled, "
        f"host {run.host}, process {run.process_id}"
    )


def _inherit(
    store: OutcomeStore, journal: RunJournal, others: list[RunFile], now: datetime, settle_seconds: float
) -> Inheritance:
    """What runs that are no longer alive left; their files are closed, and their import jobs are this run's to ask."""
    creates_in = 0.0
    jobs: list[ImportJob] = []
    dead = [run for run in others if not (run.waiting or is_alive(run, now))]
    for run in dead:
        left = seconds_until_creates_settle(run, now, settle_seconds)
        creates_in = max(creates_in, left)
        jobs += run.imports
        run.creates_unanswered = left > 0
        if left > 0:
            # Told in the closed file as well: this run may end before it has waited for them.
            last = now - timedelta(seconds=settle_seconds - left)
            run.last_create_sent_at = last.astimezone(UTC).strftime(_AT)
    # This run's own file first: whatever kills it here, the jobs are told by one file or the other.
    if jobs:
        journal.write(imports=list(jobs))
    for run in dead:
        if run.is_open or run.imports:
            run.imports = []
            if run.is_open:
                run.ended, run.ending = run.renewed, "killed"
                run.left_undone = f"Taken over by run {journal.run.run_id}."
            write_run_of_another(store, run)
    if creates_in > 0:
        logger.info(
            "An earlier sync may have left a create unanswered in Marketo. New people are created in %.0f seconds; "
            "everything else continues now.",
            creates_in,
        )
    return Inheritance(creates_in, tuple(jobs))


def write_run_of_another(store: OutcomeStore, run: RunFile) -> None:
    """Write the file of a run that is dead, as it was last renewed."""
    renewed = datetime.strptime(run.renewed, _AT).replace(tzinfo=UTC)
    write_run(store, run, renewed)
