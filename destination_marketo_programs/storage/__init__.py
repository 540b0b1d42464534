"""Outcomes and rejected records made durable, and read back.

Two doors: `open_store` gives delivery the place that the configuration names; `find_files`, `iter_outcomes` and
`iter_rejected` read what such stores have written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from destination_marketo_programs.storage.lines import Kind, RejectedRecord, Rejection
from destination_marketo_programs.storage.local import LocalStore
from destination_marketo_programs.storage.reader import (
    OutcomeFile,
    find_files,
    iter_file,
    iter_outcomes,
    iter_rejected,
)
from destination_marketo_programs.storage.store import NoStore, OutcomeStore, PartNames, StorageError

if TYPE_CHECKING:
    from datetime import datetime

    from destination_marketo_programs.config import LocalStorage, NoStorage, S3Storage

__all__ = [
    "Kind",
    "OutcomeFile",
    "OutcomeStore",
    "RejectedRecord",
    "Rejection",
    "StorageError",
    "find_files",
    "iter_file",
    "iter_outcomes",
    "iter_rejected",
    "open_store",
]


def open_store(
    storage: NoStorage | LocalStorage | S3Storage, *, sync_started_at: datetime, run_id: str
) -> OutcomeStore:
    """The store for one attempt of one sync. Nothing is written or contacted yet; see `OutcomeStore.probe`.

    Args:
        storage: `object_storage_config` of the configuration.
        sync_started_at: aware time; the files' names begin with it, so they sort by time.
        run_id: unique to this attempt (a restarted attempt needs another one), so that names never collide.
            Characters other than letters and digits are dropped.

    Raises:
        StorageError: the settings alone show that the store cannot work.
    """
    names = PartNames(sync_started_at, run_id)
    match storage.storage_type:
        case "None":
            return NoStore()
        case "Local":
            return LocalStore(storage.path, names)
        case "S3":
            # Importing the S3 client takes a third of a second, which `spec` and other storages need not pay.
            from destination_marketo_programs.storage.s3 import (  # noqa: PLC0415 - see above
                S3Store,
                make_client,
            )

            return S3Store(make_client(storage), storage, names)
        case unknown:
            assert_never(unknown)
