"""Renews the generated tables inside Markdown files: `python tools/docs.py` from the repository's root.

Regions: `<!-- reference -->` … `<!-- /reference -->` (settings, from the spec) and
`<!-- hints:KIND -->` … `<!-- /hints:KIND -->` with KIND one of outcome, category, code (from `hints`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from destination_marketo_programs.config.spec import ReferenceRow, reference_rows
from destination_marketo_programs.hints import hint_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[1]
KINDS = ("outcome", "category", "code")


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


def markdown_table(kind: str) -> str:
    """The hints of one kind as a Markdown table, ending in a newline."""
    lines = [f"| {kind.capitalize()} | What it means | What to do |", "|---|---|---|"]
    lines += [
        f"| `{row.key}` | **{row.hint.title}.** {row.hint.explanation} | {row.hint.fix} |".replace(">", "&gt;")
        for row in hint_rows()
        if row.kind == kind
    ]
    return "\n".join(lines) + "\n"


def renewed(markdown: str) -> str:
    """The Markdown text with every generated region filled afresh.

    Raises:
        ValueError: a region is not closed.
    """
    for name, text in _regions():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, found, rest = markdown.partition(begin)
        if found:
            _, closed, after = rest.partition(end)
            if not closed:
                raise ValueError(f"{begin.strip()} is not closed")
            markdown = f"{before}{begin}{text}{end}{after}"
    return markdown


def generated_files() -> list[Path]:
    """Markdown files that hold a generated region."""
    names = [name for name, _ in _regions()]
    files = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in files if any(f"<!-- {name} -->" in path.read_text("utf-8") for name in names)]


def _regions() -> Iterator[tuple[str, str]]:
    yield "reference", markdown_reference()
    for kind in KINDS:
        yield f"hints:{kind}", markdown_table(kind)


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


if __name__ == "__main__":
    for file in generated_files():
        file.write_text(renewed(file.read_text("utf-8")), "utf-8")
