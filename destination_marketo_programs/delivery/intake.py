"""Reading standard input in a thread of its own, no further ahead than it is allowed to."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.protocol import MAX_LINE_BYTES, LineTooLongError

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK_BYTES = 1 << 18
CHUNKS_AHEAD = 2


class Lines(NamedTuple):
    """Whole lines, without their ends; `first_number` counts from 1."""

    lines: list[bytes]
    first_number: int


class InputEnded(NamedTuple):
    """End of input; `error` if reading failed, or ended at a line that is too long."""

    error: OSError | LineTooLongError | None


class Intake:
    """Hands over lines as long as permits last; each permit is good for one chunk.

    Args:
        descriptor: file descriptor to read.
        max_line_bytes: longest line that is read. No more than a chunk beyond it is ever held.
    """

    def __init__(self, descriptor: int, max_line_bytes: int = MAX_LINE_BYTES) -> None:
        self._descriptor = descriptor
        self._max_line_bytes = max_line_bytes
        self._permits = threading.Semaphore(CHUNKS_AHEAD)

    def start(self, deliver: Callable[[Lines | InputEnded], None]) -> None:
        """Begin reading; `deliver` is called from the reading thread."""
        _widen(self._descriptor)
        threading.Thread(target=self._read, args=(deliver,), name="intake", daemon=True).start()

    def permit(self) -> None:
        """Allow one more chunk."""
        self._permits.release()

    def _read(self, deliver: Callable[[Lines | InputEnded], None]) -> None:
        number = 1
        pieces: list[bytes] = []
        held = 0
        while True:
            self._permits.acquire()
            try:
                chunk = os.read(self._descriptor, CHUNK_BYTES)
            except OSError as error:
                deliver(InputEnded(error))
                return
            if not chunk:
                break
            head, newline, rest = chunk.rpartition(b"\n")
            first_end = len(chunk) if not newline else chunk.index(b"\n")
            if held + first_end > self._max_line_bytes:
                deliver(InputEnded(LineTooLongError(number, self._max_line_bytes)))
                return
            if not newline:
                pieces.append(rest)
                held += len(rest)
                self._permits.release()
                continue
            pieces.append(head)
            lines = b"".join(pieces).split(b"\n")
            pieces, held = ([rest], len(rest)) if rest else ([], 0)
            deliver(Lines(lines, number))
            number += len(lines)
        if pieces:
            deliver(Lines([b"".join(pieces)], number))
        deliver(InputEnded(None))


def _widen(descriptor: int) -> None:
    """Let a pipe hold a whole chunk, not 64 KiB: whenever the reader wakes, the other threads have to stop for it."""
    if sys.platform == "linux":
        import fcntl  # noqa: PLC0415 - other systems may not have it

        with contextlib.suppress(OSError):  # a file or a socket, or more than this user's pipes may hold
            if fcntl.fcntl(descriptor, fcntl.F_GETPIPE_SZ) < CHUNK_BYTES:
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, CHUNK_BYTES)
