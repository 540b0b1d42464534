"""How large the connector is: lines in all, and its largest modules, classes and functions.

    python benchmarks/sizes.py [--most 8]

The forms of the settings are data, and counted apart.
"""

from __future__ import annotations

import argparse
import ast
from pathlib import Path
from typing import NamedTuple

from common import show

PACKAGE = Path(__file__).resolve().parent.parent / "destination_marketo_programs"
FORMS = ("config/settings.py",)
AIMS = {"module": 400, "class": 280, "function": 60}


class Size(NamedTuple):
    """Something, and how many lines it has, blank ones and comments included."""

    kind: str
    name: str
    lines: int


def sizes_of(path: Path) -> list[Size]:
    """A module and everything in it."""
    name = path.relative_to(PACKAGE).as_posix()
    text = path.read_text(encoding="utf-8")
    found = [Size("module", name, len(text.splitlines()))]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            found.append(Size(kind, f"{name}: {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1))
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=8)
    most = parser.parse_args().most
    every = [size for path in sorted(PACKAGE.rglob("*.py")) for size in sizes_of(path)]
    forms = [size for size in every if size.name.startswith(FORMS)]
    others = [size for size in every if not size.name.startswith(FORMS)]
    total = sum(size.lines for size in every if size.kind == "module")
    rows: list[tuple[str, str, int, str]] = [("all modules", "", total, "")]
    rows += [("form", size.name, size.lines, "") for size in forms if size.kind == "module"]
    for kind, aim in AIMS.items():
        of_kind = sorted((size for size in others if size.kind == kind), key=lambda size: -size.lines)
        over = sum(size.lines > aim for size in of_kind)
        rows.append((kind, f"{len(of_kind)}, of which above {aim}", over, str(aim)))
        rows += [(kind, size.name, size.lines, str(aim)) for size in of_kind[:most]]
    show("sizes", "lines of the connector, without sandbox and demo", ("kind", "name", "lines", "aim"), rows)


if __name__ == "__main__":
    main()
