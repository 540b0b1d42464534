"""Text to standard output or to a file, whatever the locale can say."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from destination_marketo_programs.text import encodable

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def output(path: str | None, *, encoding: str = "utf-8") -> Iterator[TextIO]:
    """A file to write to, or standard output without a path; line ends are written as given.

    Raises:
        OSError: the file cannot be written.
    """
    if path:
        with Path(path).open("w", encoding=encoding, errors="replace", newline="") as file:
            yield file
        return
    sys.stdout.flush()
    stream = io.TextIOWrapper(sys.stdout.buffer, encoding=encoding, errors="replace", newline="", write_through=True)
    try:
        yield stream
    finally:
        stream.detach().flush()


def reader_has_gone() -> None:
    """Whoever read standard output has seen enough: what is still buffered must not fail once more at exit."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(text: str) -> None:
    """Write to standard output."""
    with output(None) as file:
        file.write(encodable(text))
