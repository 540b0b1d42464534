"""The folder store: bounded files, names that never collide, durability, and failures that stay failures."""

from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from destination_marketo_programs.config import LocalStorage, NoStorage
from destination_marketo_programs.outcomes import Outcome, Result
from destination_marketo_programs.storage import StorageError, iter_outcomes, open_store
from destination_marketo_programs.storage.local import BUFFER_BYTES, LocalStore
from destination_marketo_programs.storage.store import PartNames

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
LINE = b'{"type":"RECORD","record":{"stream":"s","data":{}}}'


def outcome(key: str = "k", result: Result = Result.CREATED) -> Outcome:
    return Outcome("s", key, None, 1, "On List", result, at="2026-11-23T10:00:00Z")


def store_in(folder: Path, run_id: str = "run1", max_part_bytes: int = 64_000_000) -> LocalStore:
    return LocalStore(str(folder), PartNames(START, run_id), max_part_bytes=max_part_bytes)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_are_named_by_start_and_run_and_made_only_when_needed(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    started = START.astimezone(timezone(timedelta(hours=-6)))
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=started, run_id="4f-0c")
    assert not folder.exists()
    assert store.location == str(folder)
    store.add(outcome())
    store.commit()
    assert names_in(folder) == ["outcomes-20261123T100000Z-4f0c-00001.jsonl"]
    store.add_rejected(LINE, [outcome(result=Result.REJECTED)])
    store.close()
    assert names_in(folder)[1] == "rejected-20261123T100000Z-4f0c-00001.jsonl"


def test_committed_lines_are_in_the_file_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real_fsync = os.fsync

    def fsync(fd: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
        real_fsync(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    folder = tmp_path / "outcomes"
    store = store_in(folder)
    store.add(outcome("k1"))
    assert store.pending_bytes > 0
    assert not folder.exists()
    store.commit()
    assert store.pending_bytes == 0
    assert [found.record_key for found in iter_outcomes([str(folder)])] == ["k1"]
    file = str(folder / "outcomes-20261123T100000Z-run1-00001.jsonl")
    # The folder's own name, the file's name, then the content.
    assert synced == [str(tmp_path), str(folder), file]
    store.commit()
    assert len(synced) == 3, "nothing new, nothing to sync"


def test_parts_are_cut_between_lines_at_the_bound(tmp_path: Path) -> None:
    bound = 1_000
    store = store_in(tmp_path, max_part_bytes=bound)
    for number in range(50):
        store.add(outcome(f"k{number}"))
        if number % 7 == 0:
            store.commit()
    store.close()
    paths = sorted(tmp_path.iterdir())
    assert len(paths) > 5
    assert all(path.stat().st_size <= bound for path in paths)
    assert [found.record_key for found in iter_outcomes([str(tmp_path)])] == [f"k{n}" for n in range(50)]


def test_a_line_larger_than_the_bound_gets_a_part_of_its_own(tmp_path: Path) -> None:
    store = store_in(tmp_path, max_part_bytes=500)
    for key in ("a", "b" * 2_000, "c"):
        store.add(outcome(key))
    store.close()
    assert [len(found.record_key) for found in iter_outcomes([str(tmp_path)])] == [1, 2_000, 1]
    assert len(names_in(tmp_path)) == 3


def test_memory_is_bounded_without_a_commit(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    largest = 0
    for number in range(20_000):
        store.add(outcome(str(number)))
        largest = max(largest, store.pending_bytes)
    assert largest < BUFFER_BYTES + 1_000
    store.close()
    assert sum(1 for _ in iter_outcomes([str(tmp_path)])) == 20_000


def test_two_attempts_and_even_equal_names_never_share_a_file(tmp_path: Path) -> None:
    for run_id in ("run1", "run2", "run1"):
        store = store_in(tmp_path, run_id)
        store.add(outcome(run_id))
        store.close()
    assert len(names_in(tmp_path)) == 3
    assert all(path.read_bytes().count(b"\n") == 1 for path in tmp_path.iterdir())


def test_a_full_disk_ends_the_store_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)
    store.add(outcome("kept"))
    store.commit()
    real_write = os.write
    writes = iter([True, False])

    def write(fd: int, data: memoryview) -> int:
        if next(writes):
            return real_write(fd, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    store.add(outcome("torn"))
    monkeypatch.setattr(os, "write", write)
    with pytest.raises(StorageError, match="disk is full") as caught:
        store.commit()
    assert caught.value.path == "object_storage_config.path"
    assert caught.value.transient
    monkeypatch.undo()
    with pytest.raises(StorageError, match="disk is full"):
        store.commit()
    store.close()
    assert [found.record_key for found in iter_outcomes([str(tmp_path)])] == ["kept"]


def test_files_that_are_deleted_during_a_sync_keep_nothing_and_that_is_said(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.add(outcome("kept"))
    store.commit()
    for path in tmp_path.iterdir():
        path.unlink()
    store.add(outcome("lost"))
    with pytest.raises(StorageError, match="deleted during the sync") as caught:
        store.commit()
    assert caught.value.transient
    store.close()


def test_a_file_system_that_counts_no_names_is_used_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real_fstat = os.fstat

    def fstat(fd: int) -> os.stat_result:
        members = list(real_fstat(fd))
        members[stat.ST_NLINK] = 0
        return os.stat_result(members)

    monkeypatch.setattr(os, "fstat", fstat)
    store = store_in(tmp_path)
    store.add(outcome("kept"))
    store.commit()
    store.close()
    monkeypatch.undo()
    assert [found.record_key for found in iter_outcomes([str(tmp_path)])] == ["kept"]


def test_a_failed_fsync_is_never_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)
    store.add(outcome())
    store.commit()

    def fsync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    store.add(outcome())
    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="Input/output error"):
        store.commit()
    monkeypatch.undo()
    with pytest.raises(StorageError):
        store.commit()


@pytest.mark.parametrize(
    ("number", "told"),
    [(errno.EACCES, "permission denied"), (errno.EROFS, "read-only"), (errno.ENAMETOOLONG, "too long")],
)
def test_probe_says_what_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, told: str) -> None:
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(StorageError, match=told) as caught:
        store_in(tmp_path).probe()
    assert str(tmp_path) in str(caught.value)
    assert caught.value.fix


def test_probe_leaves_nothing_but_the_folder(tmp_path: Path) -> None:
    store_in(tmp_path / "a").probe()
    assert names_in(tmp_path / "a") == []


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    for folder in (file, file / "below"):
        with pytest.raises(StorageError, match="file"):
            store_in(folder).probe()
    store = store_in(file)
    store.add(outcome())
    with pytest.raises(StorageError, match="file"):
        store.commit()


def test_run_id_must_name_something() -> None:
    with pytest.raises(ValueError, match="run_id"):
        PartNames(START, "--")


def test_no_storage_takes_everything_and_keeps_nothing() -> None:
    store = open_store(NoStorage(), sync_started_at=START, run_id="r")
    store.probe()
    store.add(outcome())
    store.add_rejected(LINE, [outcome()])
    store.commit()
    store.close()
    assert (store.location, store.pending_bytes, store.commit_interval_seconds) == (None, 0, 0.0)


def test_files_of_a_sync_go_below_a_folder_of_its_name_and_are_found_from_above(tmp_path: Path) -> None:
    store = open_store(LocalStorage(path=str(tmp_path)), sync_started_at=START, run_id="r", sync_id="77")
    store.add(outcome("with"))
    store.close()
    store_in(tmp_path).close()
    before = store_in(tmp_path, "old")
    before.add(outcome("without"))
    before.close()
    assert names_in(tmp_path / "77") == ["outcomes-20261123T100000Z-r-00001.jsonl"]
    assert {found.record_key for found in iter_outcomes([str(tmp_path)])} == {"with", "without"}
    assert [found.record_key for found in iter_outcomes([str(tmp_path / "77")])] == ["with"]


@pytest.mark.parametrize("sync_id", ["../up", "/etc", "a/b", "..", "x\0y", "é" * 300])
def test_a_sync_id_is_one_folder_below_whatever_it_says(tmp_path: Path, sync_id: str) -> None:
    store = LocalStore(str(tmp_path / "store"), PartNames(START, "r", sync_id))
    store.add(outcome())
    store.close()
    (file,) = (tmp_path / "store").rglob("*.jsonl")
    assert file.parent.parent == tmp_path / "store"
    assert names_in(tmp_path) == ["store"]


def test_blobs_are_replaced_whole(tmp_path: Path) -> None:
    store = store_in(tmp_path / "new")
    assert store.read_blob("memory-x.bin") is None
    assert store.list_blobs("memory-") == []
    store.write_blob("memory-x.bin", b"1")
    store.write_blob("7/memory-y.bin", b"22")
    store.write_blob("memory-x.bin", b"333")
    assert store.read_blob("memory-x.bin") == b"333"
    assert {(blob.name, blob.size) for blob in store.list_blobs("memory-")} == {
        ("memory-x.bin", 3),
        ("7/memory-y.bin", 2),
    }
    assert names_in(tmp_path / "new") == ["7", "memory-x.bin"], "no temporary file stays"


def test_a_blob_that_cannot_be_written_leaves_the_last_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_in(tmp_path)
    store.write_blob("b.json", b"first")

    def fsync(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(StorageError, match="disk is full"):
        store.write_blob("b.json", b"second")
    monkeypatch.undo()
    assert store.read_blob("b.json") == b"first"
    assert names_in(tmp_path) == ["b.json"]
