"""The reference of all settings as Markdown, generated from the spec.

`python -m destination_marketo_programs.config.reference FILE…` renews it inside Markdown files.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from destination_marketo_programs.config.spec import ReferenceRow, reference_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

BEGIN = "<!-- reference -->\n"
END = "<!-- /reference -->"


def markdown_reference() -> str:
    """Return one table for the top level and one for each block, each under a heading, ending in a newline."""
    rows = reference_rows()
    titles = {row.path: row.title for row in rows}
    parts = []
    blocks = dict.fromkeys(map(_block_of, rows))
    for block in blocks:
        heading = f"#### `{block}`: {_title_of(block, titles)}" if block else "#### Top level"
        lines = [heading, "", "| Key | Title in the form | Type | Default | Description |", "|---|---|---|---|---|"]
        lines += [_line(row) for row in rows if _block_of(row) == block]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def with_reference(markdown: str) -> str:
    """Return the Markdown text with the region between the reference's marks filled afresh.

    Raises:
        ValueError: the text has no such region.
    """
    before, begin, rest = markdown.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"no region from {BEGIN.strip()} to {END}")
    return f"{before}{BEGIN}{markdown_reference()}{END}{after}"


def _block_of(row: ReferenceRow) -> str:
    return row.path.rpartition(".")[0]


def _title_of(block: str, titles: dict[str, str]) -> str:
    name, _, choice = block.removesuffix("[]").removesuffix(")").partition(" (")
    return f"{titles[name]}, {choice}" if choice else titles[name]


def _line(row: ReferenceRow) -> str:
    key = row.path.rpartition(".")[2]
    default = "required" if row.required else f"`{row.default}`" if row.default else ""
    cells = (f"`{key}`", row.title, row.type, default, row.description)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _main(names: Sequence[str]) -> int:
    for name in names:
        path = Path(name)
        path.write_text(with_reference(path.read_text("utf-8")), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
