"""Running the executable on a pseudo-terminal, and reading what its user sees in the end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from harness import EXECUTABLE, PROCESS_SECONDS, environment

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

ROWS = 40
_PIECE = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|([\r\n\x07])|([^\x1b\r\n\x07]+)|(.)", re.DOTALL)


class Shown(NamedTuple):
    """What a process left on its terminal.

    Attributes:
        raw: everything that it sent to the terminal, escape sequences among it.
        screen: the lines that stay, without blanks at their ends.
        piped: what went to standard output if that was a pipe.
    """

    code: int
    raw: str
    screen: list[str]
    piped: bytes = b""

    @property
    def text(self) -> str:
        """The lines that stay."""
        return "\n".join(self.screen)


def on_terminal(
    *arguments: object,
    columns: int = 80,
    stdin: Path | bytes | None = None,
    piped: bool = False,
    on_start: Callable[[subprocess.Popen[bytes]], None] | None = None,
    folder: Path | None = None,
    executable: Sequence[str] = EXECUTABLE,
) -> Shown:
    """Run the executable on a terminal.

    Args:
        arguments: of the executable.
        columns: width of the terminal.
        stdin: a file, bytes for a pipe, or None for the terminal.
        piped: whether standard output is a pipe; standard error is the terminal then, too.
        on_start: called with the process, in a thread of its own.
        folder: where it runs.
        executable: what runs in its place.
    """
    shown, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, columns, 0, 0))
    env = {name: value for name, value in environment(TERM="xterm-256color").items() if name not in _NOT_PASSED}
    with contextlib.ExitStack() as stack:
        source: int | BinaryIO = terminal
        if isinstance(stdin, bytes):
            source = subprocess.PIPE
        elif stdin is not None:
            source = stack.enter_context(stdin.open("rb"))
        process = subprocess.Popen(
            [*executable, *map(str, arguments)],
            stdin=source,
            stdout=subprocess.PIPE if piped else terminal,
            stderr=terminal,
            env=env,
            cwd=folder,
        )
        os.close(terminal)
        pieces: list[bytes] = []
        reader = threading.Thread(target=_read, args=(shown, pieces), daemon=True)
        reader.start()
        if on_start is not None:
            threading.Thread(target=on_start, args=(process,), daemon=True).start()
        out, _ = process.communicate(stdin if isinstance(stdin, bytes) else None, PROCESS_SECONDS)
        reader.join(PROCESS_SECONDS)
        os.close(shown)
    raw = b"".join(pieces).decode()
    return Shown(process.returncode, raw, screen_of(raw), out or b"")


_NOT_PASSED = frozenset({"COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"})


def _read(descriptor: int, pieces: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # as a terminal ends
        while chunk := os.read(descriptor, 65536):
            pieces.append(chunk)


def screen_of(raw: str) -> list[str]:
    """The lines that a terminal of any width shows in the end: returns, erased lines and the cursor's way up count."""
    lines = [""]
    row = column = 0
    for numbers, final, control, text, other in _PIECE.findall(raw):
        assert not other, f"an escape sequence that no terminal knows: {raw!r}"
        if final == "A":
            row = max(0, row - int(numbers or 1))
        elif final == "K":
            lines[row] = "" if numbers == "2" else lines[row][:column]
        elif control == "\r":
            column = 0
        elif control == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in lines]
