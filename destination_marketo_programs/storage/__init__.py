"""Outcomes and rejected records made durable, and read back.

Entry points: `open_store` gives delivery the place that the configuration names; `Reader` reads what such stores have
written, and `runs` has the files that a sync keeps about itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from destination_marketo_programs.storage.lines import Kind, RejectedRecord, Rejection, StoredOutcome
from destination_marketo_programs.storage.local import LocalStore
from destination_marketo_programs.storage.reader import (
    OutcomeFile,
    Reader,
    find_files,
    iter_outcomes,
    location_of,
    reader_for,
)
from destination_marketo_programs.storage.store import Blob, NoStore, OutcomeStore, PartNames, StorageError

if TYPE_CHECKING:
    from datetime import datetime

    from destination_marketo_programs.config import LocalStorage, NoStorage, S3Storage

__all__ = [
    "Blob",
    "Kind",
    "OutcomeFile",
    "OutcomeStore",
    "Reader",
    "RejectedRecord",
    "Rejection",
    "StorageError",
    "StoredOutcome",
    "find_files",
    "iter_outcomes",
    "location_of",
    "open_store",
    "reader_for",
]


def open_store(
    storage: NoStorage | LocalStorage | S3Storage, *, sync_started_at: datetime, run_id: str, sync_id: str = ""
) -> OutcomeStore:
    """The store for one attempt of one sync. Nothing is written or contacted yet; see `OutcomeStore.probe`.

    Args:
        storage: `object_storage_config` of the configuration.
        sync_started_at: aware time; the files' names begin with it, so they sort by time.
        run_id: unique to this attempt (a restarted attempt needs another one), so that names never collide.
            Characters other than letters and digits are dropped.
        sync_id: of the catalog; the files go below a folder of that name. Blank = there is none.

    Raises:
        StorageError: the settings alone show that the store cannot work.
    """
    names = PartNames(sync_started_at, run_id, sync_id)
    match storage.storage_type:
        case "None":
            return NoStore()
        case "Local":
            return LocalStore(storage.path, names)
        case "S3":
            # Importing the S3 client takes a third of a second, which `spec` and other storages need not pay.
            from destination_marketo_programs.storage.s3 import S3Store  # noqa: PLC0415 - see above
            from destination_marketo_programs.storage.s3_client import make_client  # noqa: PLC0415 - see above

            return S3Store(make_client(storage), storage, names)
        case unknown:
            assert_never(unknown)
