"""The sandbox knows nothing of the connector, and its modules form no circle, not even for types."""

from __future__ import annotations

import ast
from pathlib import Path

import marketo_sandbox

assert marketo_sandbox.__file__ is not None
FOLDER = Path(marketo_sandbox.__file__).parent
MOST_LINES = 400


def imports() -> dict[str, set[str]]:
    """Module -> modules of the package that it imports, wherever in it and whatever for."""
    found: dict[str, set[str]] = {}
    for path in sorted(FOLDER.glob("*.py")):
        names: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert not any(name.name.startswith("destination_marketo_programs") for name in node.names), path
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path
                assert not (node.module or "").startswith("destination_marketo_programs"), path
                if node.level and node.module:
                    names.add(node.module)
                elif node.level:
                    names.update(name.name for name in node.names)
        found[path.stem] = names & {other.stem for other in FOLDER.glob("*.py")}
    return found


def test_it_imports_nothing_of_the_connector_and_forms_no_circle() -> None:
    uses = imports()
    assert "store" in uses["instance"]
    path: list[str] = []
    done: set[str] = set()

    def visit(module: str) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module in done:
            return
        path.append(module)
        for used in sorted(uses[module]):
            visit(used)
        done.add(path.pop())

    for module in sorted(uses):
        visit(module)


def test_no_module_is_longer_than_can_be_read() -> None:
    lengths = {path.name: len(path.read_text(encoding="utf-8").splitlines()) for path in FOLDER.glob("*.py")}
    assert {name: length for name, length in lengths.items() if length > MOST_LINES} == {}
