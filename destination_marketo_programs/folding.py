"""Text in lines that fit a terminal."""

from __future__ import annotations

import io

from rich.console import Console
from rich.text import Text


def plain_console(*, stderr: bool = False) -> Console:
    """A console that prints text as it is."""
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False)


def broken(line: str, width: int, *, hanging: int = 2) -> list[str]:
    """A line in pieces of at most `width` cells, broken between words.

    Args:
        line: with the blanks that it begins with, which every piece gets.
        width: of the terminal.
        hanging: blanks more for the pieces after the first.
    """
    indent = len(line) - len(line.lstrip())
    console = Console(file=io.StringIO(), width=width)
    first, *rest = Text(line.strip()).wrap(console, width - indent - hanging) or [Text()]
    further = " " * (indent + hanging)
    pieces = [" " * indent + first.plain, *(further + piece.plain for piece in rest)]
    return [piece.rstrip() for piece in pieces]
