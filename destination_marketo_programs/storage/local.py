"""A folder: appended lines, made durable with fsync."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import stat
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from destination_marketo_programs.storage.lines import Kind, append_outcome, append_rejected
from destination_marketo_programs.storage.store import Blob, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from destination_marketo_programs.outcomes import Outcome
    from destination_marketo_programs.storage.store import PartNames

MAX_PART_BYTES = 64_000_000
BUFFER_BYTES = 256_000
"""Lines gather up to this size before they are handed to the operating system."""

_SETTING = "object_storage_config.path"


class LocalStore:
    """An `OutcomeStore` in a folder, which is created if it is missing.

    A crash leaves at most one torn line, at the end of a file that no later attempt appends to. File modes follow
    the process's umask: the operator decides who reads person data.
    """

    commit_interval_seconds = 0.0

    def __init__(self, path: str, names: PartNames, *, max_part_bytes: int = MAX_PART_BYTES) -> None:
        self._folder = Path(path)
        self._names = names
        of_sync = self._folder / names.folder
        self._parts = {kind: _Parts(of_sync, names, kind, max_part_bytes) for kind in Kind}
        self._outcomes = self._parts[Kind.OUTCOMES]
        self._rejected = self._parts[Kind.REJECTED]
        self._failure: StorageError | None = None

    @property
    def takes_outcomes(self) -> bool:
        """See `OutcomeStore`."""
        return True

    @property
    def location(self) -> str:
        """The folder, as configured."""
        return str(self._folder)

    @property
    def pending_bytes(self) -> int:
        """Bytes in the two buffers."""
        return sum(len(parts.buffer) for parts in self._parts.values())

    def add(self, outcome: Outcome) -> None:
        """See `OutcomeStore`."""
        append_outcome(self._outcomes.buffer, outcome)
        if len(self._outcomes.buffer) >= BUFFER_BYTES:
            self._each(_Parts.write, self._outcomes)

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        """See `OutcomeStore`."""
        append_rejected(self._rejected.buffer, line, rejections)
        if len(self._rejected.buffer) >= BUFFER_BYTES:
            self._each(_Parts.write, self._rejected)

    def commit(self) -> None:
        """See `OutcomeStore`."""
        self._each(_Parts.sync, *self._parts.values())

    def probe(self) -> None:
        """See `OutcomeStore`."""
        probe = self._folder / self._names.probe()
        content = b"destination-marketo-programs\n"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with probe.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                if probe.read_bytes() != content:
                    raise StorageError(
                        _SETTING, f"{self._folder} gives back other bytes than were written.", "Use another folder."
                    )
            finally:
                probe.unlink()
        except OSError as error:
            raise _explained(error, self._folder) from error

    def close(self, within_seconds: float | None = None) -> None:  # noqa: ARG002 - a disk answers, or nothing helps
        """See `OutcomeStore`."""
        try:
            if self._failure is None:
                self.commit()
        finally:
            for parts in self._parts.values():
                # Everything is durable, or the failure is told already.
                with contextlib.suppress(OSError):
                    parts.close()

    def give_up(self, within_seconds: float) -> None:
        """See `OutcomeStore`. A call to a disk cannot be given up."""

    @property
    def sync_folder(self) -> str:
        """See `OutcomeStore`."""
        return self._names.folder

    def read_blob(self, name: str) -> bytes | None:
        """See `OutcomeStore`."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _explained(error, self._folder) from error

    def write_blob(self, name: str, data: bytes) -> None:
        """See `OutcomeStore`."""
        path = self._folder / name
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        try:
            _make_durable_folder(path.parent)
            try:
                with temporary.open("wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)
        except OSError as error:
            raise _explained(error, self._folder) from error

    def list_blobs(self, prefix: str) -> list[Blob]:
        """See `OutcomeStore`."""
        try:
            return list(blobs_below(self._folder, prefix))
        except OSError as error:
            raise _explained(error, self._folder) from error

    def _each(self, step: Callable[[_Parts], None], *parts: _Parts) -> None:
        # A failed write may have left half a line, and a failed fsync may be forgotten by the kernel, so that the
        # next one would wrongly succeed: neither is ever tried again.
        if self._failure is not None:
            raise self._failure
        try:
            for part in parts:
                step(part)
        except OSError as error:
            self._failure = _explained(error, self._folder)
            raise self._failure from error


def blobs_below(folder: Path, prefix: str) -> Iterator[Blob]:
    """Files below a folder whose own name begins with the prefix; none if there is no folder."""
    for path in folder.rglob(f"{glob.escape(prefix)}*"):
        try:
            found = path.stat()
        except FileNotFoundError:  # between the listing and this look
            continue
        if stat.S_ISREG(found.st_mode):
            name = path.relative_to(folder).as_posix()
            yield Blob(name, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))


class _Parts:
    """The numbered files of one kind; created when there is something to write."""

    def __init__(self, folder: Path, names: PartNames, kind: Kind, max_part_bytes: int) -> None:
        self.buffer = bytearray()
        self._folder = folder
        self._names = names
        self._kind = kind
        self._max_part_bytes = max_part_bytes
        self._number = 0
        self._fd: int | None = None
        self._written_bytes = 0
        self._dirty = False
        self._counts_names = False

    def write(self) -> None:
        """Hand the buffer to the operating system, in files of bounded size, cut between lines."""
        while self.buffer:
            room = self._max_part_bytes - self._written_bytes
            end = len(self.buffer)
            if end > room:
                end = self.buffer.rfind(b"\n", 0, max(room, 0)) + 1
            if not end and self._written_bytes:
                self.close()
            else:
                # A single line that exceeds the bound gets a file of its own.
                self._write_out(end or self.buffer.find(b"\n") + 1)

    def sync(self) -> None:
        """`write`, and return when the disk has it."""
        self.write()
        if self._fd is not None and self._dirty:
            self._make_durable(self._fd)
            self._dirty = False

    def close(self) -> None:
        """Let go of the current file; the next write begins a new one."""
        if self._fd is not None:
            try:
                if self._dirty:
                    self._make_durable(self._fd)
            finally:
                os.close(self._fd)
                self._fd, self._dirty, self._written_bytes = None, False, 0

    def _make_durable(self, fd: int) -> None:
        os.fsync(fd)
        # What was deleted meanwhile takes every line, and keeps none. Some file systems count no names at all.
        if self._counts_names and not os.fstat(fd).st_nlink:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _write_out(self, end: int) -> None:
        if self._fd is None:
            self._fd = self._create()
        self._dirty = True
        while end:
            written = os.write(self._fd, memoryview(self.buffer)[:end])
            del self.buffer[:written]
            self._written_bytes += written
            end -= written

    def _create(self) -> int:
        _make_durable_folder(self._folder)
        while True:
            self._number += 1
            path = self._folder / self._names.part(self._kind, self._number)
            try:
                fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o666)
            except FileExistsError:
                continue
            _sync_folder(self._folder)
            self._counts_names = os.fstat(fd).st_nlink > 0
            return fd


def _make_durable_folder(folder: Path) -> None:
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for created in missing:
        _sync_folder(created.parent)


def _sync_folder(folder: Path) -> None:
    """Make the names in it durable: without this a crash can lose a file whose content was synced."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    except OSError as error:
        # Some network and FUSE file systems have no such call for folders; they write names through.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(fd)


_FIXES = {
    errno.ENOSPC: ("the disk is full.", "Free some space or use another folder, then sync again."),
    errno.EDQUOT: ("the disk quota is used up.", "Free some space or use another folder, then sync again."),
    errno.EFBIG: ("the file system does not take a file of this size.", "Use another folder."),
    errno.EACCES: ("permission denied.", "Let the connector's user write there, or use another folder."),
    errno.EPERM: ("permission denied.", "Let the connector's user write there, or use another folder."),
    errno.EROFS: ("the file system is read-only.", "Mount it writable, or use a folder under /local."),
    errno.ENOTDIR: ("a part of this path is a file.", "Name a folder."),
    errno.EEXIST: ("this path is a file.", "Name a folder."),
    errno.ENOENT: ("its files were deleted during the sync.", "Let nothing delete them while a sync runs; sync again."),
    errno.ENAMETOOLONG: ("the path is too long.", "Use a shorter one."),
}
_TRANSIENT = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.ENOENT}


def _explained(error: OSError, folder: Path) -> StorageError:
    message, fix = _FIXES.get(
        error.errno or 0, (f"{error.strerror or error}.", "Check the folder, or use another one.")
    )
    return StorageError(
        _SETTING,
        f"{folder} cannot be used for outcomes: {message}",
        fix,
        transient=error.errno in _TRANSIENT,
    )
