"""How the checks name further places with the same mistake."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.text import joined

if TYPE_CHECKING:
    from collections.abc import Sequence


def also(paths: Sequence[str]) -> str:
    """A clause that names the further places with the same mistake; "" where there are none."""
    return f" The same holds for {joined(paths)}." if paths else ""
