"""Memory in the storage: read at the start of a run, made anew from outcome files, written at its end."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from destination_marketo_programs.memory.digest import DamagedError, Digest, sent_of
from destination_marketo_programs.memory.prints import record_number
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.storage.lines import Kind
from destination_marketo_programs.storage.runs import read_reconciled, read_runs
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from destination_marketo_programs.storage import OutcomeStore
    from destination_marketo_programs.storage.lines import StoredOutcome
    from destination_marketo_programs.storage.reader import OutcomeFile, Reader

logger = logging.getLogger("airbyte.memory")

CONFIRMED: Final = frozenset({Result.CREATED, Result.UPDATED, Result.UNCHANGED, Result.IMPORTED})
_SECONDS_PER_DAY: Final = 86_400
_NOT_A_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]")


class Keeping:
    """Where memory is kept.

    Args:
        store: keeps the database and the outcome files.
        reader: reads outcome files.
        instance: of Marketo.
        lookup_field: `lead_sync.lookup_field`; with another one nothing is remembered.
        further: says whether the first of two statuses of a program is further than the second.
    """

    def __init__(
        self,
        store: OutcomeStore,
        reader: Reader,
        instance: str,
        lookup_field: str,
        further: Callable[[int, str, str], bool],
    ) -> None:
        self._store = store
        self._reader = reader
        self._instance = instance
        self._lookup_field = lookup_field
        self._further = further
        self.name = f"memory-{_NOT_A_NAME.sub('_', instance)}-{_NOT_A_NAME.sub('_', lookup_field)}.db"

    def load(self) -> Digest:
        """The database, with everything in it that outcome files say.

        Raises:
            StorageError: the storage cannot be read.
        """
        digest = self._stored() or Digest(None, self._further)
        taken = self._take_files(digest)
        if taken:
            logger.info("Memory takes in what %s of outcomes say.", counted(taken, "file"))
        return digest

    def save(self, digest: Digest, programs: Collection[int], run_id: str) -> None:
        """Write the database.

        Args:
            digest: knows everything that the outcome files of this run say.
            programs: the linked ones; what was sent for others is forgotten.
            run_id: of this run.

        Raises:
            StorageError: it could not be written; it is made anew from the outcome files by the next run.
        """
        digest.keep_programs(programs)
        names = {blob.name for blob in self._store.list_blobs(f"{Kind.OUTCOMES}-")}
        digest.cover(name for name in names if f"-{run_id}-" in name)
        digest.forget_files(names)
        self._store.write_blob(self.name, digest.whole())

    def _stored(self) -> Digest | None:
        data = self._store.read_blob(self.name)
        if data is None:
            return None
        try:
            return Digest(data, self._further)
        except DamagedError:
            logger.warning("The memory of earlier syncs is damaged, and is made anew from the outcome files.")
            return None

    def _take_files(self, digest: Digest) -> int:
        names = {blob.name for blob in self._store.list_blobs(f"{Kind.OUTCOMES}-")}
        new = {name for name in names if not digest.covers(name)}
        location = self._store.location
        if not new or location is None:
            return 0
        ours = self._runs_of_instance()
        taken = 0
        for file in self._reader.find_files([location]):
            name = _relative(file, new)
            if name is None or file.kind is not Kind.OUTCOMES:
                continue
            if file.run.rpartition("-")[2] in ours:
                self._take(digest, self._reader.outcomes(file))
                taken += 1
            digest.cover([name])
        return taken

    def _runs_of_instance(self) -> set[str]:
        """Run ids of the runs, and of the reconciliations, whose outcomes count here."""
        runs = read_runs(self._store.list_blobs("run-"), self._store.read_blob)
        ours = {
            run.run_id
            for run in runs
            if run.instance == self._instance and run.lookup_field == self._lookup_field and not run.dry_run
        }
        reconciled = read_reconciled(self._store.list_blobs("reconcile-"), self._store.read_blob)
        return ours | {file.run_id for file in reconciled if file.instance == self._instance}

    def _take(self, digest: Digest, outcomes: Iterable[StoredOutcome]) -> None:
        for outcome in outcomes:
            if outcome.dry_run or outcome.program_id is None or outcome.program_status is None:
                continue
            if outcome.confirmed and outcome.lead_id is not None and not outcome.record_key_is_position:
                digest.name_lead(
                    record_number(self._instance, outcome.namespace or "", outcome.stream, outcome.record_key),
                    outcome.lead_id,
                )
            superseded = outcome.category == "SUPERSEDED"
            if outcome.sent is None or not (superseded or outcome.outcome in CONFIRMED):
                continue
            sent = sent_of(
                outcome.sent,
                outcome.lead_id,
                outcome.program_id,
                outcome.program_status,
                _day(outcome.at),
                raises=not superseded,
            )
            if sent is not None:
                digest.take(sent)


def _relative(file: OutcomeFile, names: set[str]) -> str | None:
    """The name of a file as the store lists it."""
    return next((name for name in names if file.location.endswith(f"/{name}")), None) if names else None


def _day(at: str) -> int:
    try:
        moment = datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return 0
    return int(moment.timestamp()) // _SECONDS_PER_DAY


def day_of(now: datetime) -> int:
    """Days since 1970."""
    return int(now.timestamp()) // _SECONDS_PER_DAY
