"""What delivery may ask of a store, how a store fails, and how its files are named."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.outcomes import Outcome
    from destination_marketo_programs.storage.lines import Kind


_MAX_FOLDER = 100


class StorageError(Exception):
    """A store or file that cannot be used. The sync ends, and nothing more is acknowledged.

    Attributes:
        path: where in the configuration, e.g. `object_storage_config.path`; the location itself when reading.
        message: what is wrong. Never a secret, never person data.
        fix: what to do about it.
        transient: whether the same settings may work later (network, server, throttling).
    """

    def __init__(self, path: str, message: str, fix: str, *, transient: bool = False) -> None:
        self.path = path
        self.message = message
        self.fix = fix
        self.transient = transient
        super().__init__(f"{path}: {message} {fix}")


class Blob(NamedTuple):
    """A small file in a store, as a listing shows it.

    Attributes:
        name: relative to the store's top, parts joined by `/`.
        modified_at: aware time of the last write.
    """

    name: str
    size: int
    modified_at: datetime


class OutcomeStore(Protocol):
    """Where outcomes and rejected records become durable.

    Used by one thread at a time, but for blobs, which any thread may read and write. `add` and `add_rejected` may
    write on their own when their bounded buffer is full, but only `commit` promises anything. After the first
    `StorageError` of `add`, `add_rejected` or `commit`, these raise it again: what was in the buffer is no longer
    certain.
    """

    @property
    def commit_interval_seconds(self) -> float:
        """How long outcomes may gather before `commit` is worth its cost; 0 = commit whenever you like."""

    @property
    def location(self) -> str | None:
        """Where the files are, for people and for `iter_outcomes`; None if nothing is stored."""

    @property
    def pending_bytes(self) -> int:
        """Bytes added since the last `commit` that are not written yet; bounded by the store."""

    @property
    def takes_outcomes(self) -> bool:
        """Whether anything becomes of outcomes that are added; if not, they need not be made."""

    def add(self, outcome: Outcome) -> None:
        """Take one outcome. Rejected ones too, in addition to `add_rejected`."""

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        """Take one rejected record, once, when all its programs have their outcome.

        Args:
            line: the RECORD message as received, a JSON object without newline.
            rejections: the record's outcomes that are rejections, at least one.
        """

    def commit(self) -> None:
        """Make everything added so far durable. When it returns, it is.

        Raises:
            StorageError: it is not, and never will be.
        """

    def probe(self) -> None:
        """Write, read, list and delete a probe object.

        Raises:
            StorageError: one of these does not work.
        """

    def close(self, within_seconds: float | None = None) -> None:
        """Commit what was added, and let go of files and connections. Does not commit after a failure.

        Args:
            within_seconds: how long it may take; None = as long as the store's own limits allow.

        Raises:
            StorageError: it was not committed, or not in that time.
        """

    def give_up(self, within_seconds: float) -> None:
        """Let every call to the storage, the present one and later ones, fail after this time from now.

        For a process that has to end; may be called from any thread and from a signal handler. A call that is
        given up raises `StorageError`.
        """

    @property
    def sync_folder(self) -> str:
        """Folder of this sync's files, relative to the store's top: blank, or a name with `/` behind it."""

    def read_blob(self, name: str) -> bytes | None:
        """A whole small file; None if there is none.

        Args:
            name: relative to the store's top, e.g. `memory-123-ABC-456.bin`; letters, digits and `-_./`.

        Raises:
            StorageError: it exists, or may, and cannot be read.
        """

    def write_blob(self, name: str, data: bytes) -> None:
        """Put a small file in place of the last one of this name, at once and whole, and durably.

        Raises:
            StorageError: it is not written; the last one stays as it was.
        """

    def list_blobs(self, prefix: str) -> list[Blob]:
        """Files whose own name, in whichever folder below the store's top, begins with `prefix`; in any order.

        Raises:
            StorageError: the store cannot be listed.
        """


class PartNames:
    """Names of one attempt's files: they sort by time and never collide.

    Args:
        sync_started_at: aware time.
        run_id: unique to the attempt.
        sync_id: of the catalog; blank if it has none. What no folder may be named by becomes `_`.

    Attributes:
        folder: of this sync's files, relative to the store's top: blank, or a name with `/` behind it.
    """

    def __init__(self, sync_started_at: datetime, run_id: str, sync_id: str = "") -> None:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", sync_id.strip())[:_MAX_FOLDER]
        self.folder = f"{name}/" if name else ""
        self._start = sync_started_at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
        self.run_id = re.sub(r"[^A-Za-z0-9]", "", run_id)
        if not self.run_id:
            raise ValueError("run_id needs at least one letter or digit")

    def part(self, kind: Kind, number: int) -> str:
        """E.g. `outcomes-20261123T100000Z-4f0c9a-00001.jsonl`."""
        return f"{kind}-{self._start}-{self.run_id}-{number:05d}.jsonl"

    def probe(self) -> str:
        """A name that no reader takes for a file of outcomes."""
        return f"probe-{self._start}-{self.run_id}.txt"


class NoStore:
    """Keeps nothing: rejections are settled by being logged."""

    commit_interval_seconds = 0.0
    takes_outcomes = False
    location = None
    pending_bytes = 0
    sync_folder = ""

    def add(self, outcome: Outcome) -> None:
        """Nothing."""

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        """Nothing."""

    def commit(self) -> None:
        """Nothing."""

    def probe(self) -> None:
        """Nothing."""

    def close(self, within_seconds: float | None = None) -> None:
        """Nothing."""

    def give_up(self, within_seconds: float) -> None:
        """Nothing."""

    def read_blob(self, name: str) -> None:
        """Nothing."""

    def write_blob(self, name: str, data: bytes) -> None:
        """Nothing."""

    def list_blobs(self, prefix: str) -> list[Blob]:  # noqa: ARG002 - as for any store
        """Nothing."""
        return []
