"""How the checks quote names, list them, and guess what a mistyped one means."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from destination_marketo_programs.marketo.assets import Program

_LONGEST_NAME = 80
_MOST_LISTED = 20


def quoted(name: str) -> str:
    """A name from Marketo or the configuration in quotes, on one line and of bearable length."""
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return f'"{printable}"' if len(printable) <= _LONGEST_NAME else f'"{printable[:_LONGEST_NAME]}…"'


def named(program: Program) -> str:
    """A program as messages name it: `"Spring Expo 2026" (1004)`."""
    return f"{quoted(program.name)} ({program.id})"


def listed(names: Iterable[str]) -> str:
    """Names in quotes, separated by commas; a long list is cut and says so."""
    names = list(names)
    shown = ", ".join(quoted(name) for name in names[:_MOST_LISTED])
    left = len(names) - _MOST_LISTED
    return f"{shown} and {left} more" if left > 0 else shown


def joined(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def also(paths: Sequence[str]) -> str:
    """A clause that names the further places with the same mistake; "" where there are none."""
    return f" The same holds for {joined(paths)}." if paths else ""


def folded(name: str) -> str:
    """The name without what people get wrong most: case, and spaces in and around it."""
    return " ".join(name.split()).casefold()


def nearest(given: str, known: Mapping[str, str]) -> str | None:
    """What a mistyped name most likely means.

    Args:
        given: as configured.
        known: every name it may mean -> what to suggest for it.

    Returns:
        The suggestion of the nearest name, compared without case and spaces; None where none is near.
    """
    by_folded = {folded(name): suggestion for name, suggestion in known.items()}
    found = get_close_matches(folded(given), by_folded, n=1)
    return by_folded[found[0]] if found else None


def did_you_mean(near: str | None) -> str:
    """A question with a space behind it; "" where no name is near."""
    return f"Did you mean {quoted(near)}? " if near else ""
