"""Data flows one way, and so do imports: what `docs/architecture.md` says under "Import direction"."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import defaultdict
from importlib.util import resolve_name
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = "destination_marketo_programs"
ROOT = Path(__file__).parents[1] / PACKAGE

ANYBODY = {"text"}
"""Modules that import nothing and hold what every other one needs."""

_BASE = {"model", "outcomes", "text", "jsontext"}
"""Names and values that everybody may know."""

MAY_IMPORT: dict[str, set[str]] = {
    "text": set(),
    "outcomes": set(),
    "jsontext": {"model"},
    "model": {"outcomes", "text"},
    "summary": {"outcomes"},
    "protocol": _BASE,
    "logs": {"protocol", "text"},
    "code_hints": set(),
    "hints": {"code_hints", "outcomes"},
    "marketo": _BASE,
    "config": _BASE | {"mapping"},
    "catalog": _BASE | {"config", "protocol"},
    "mapping": _BASE | {"config"},
    "storage": _BASE | {"config"},
    "delivery": _BASE | {"hints", "mapping", "marketo", "storage", "protocol", "summary"},
    "imports": _BASE | {"config", "delivery", "mapping", "marketo", "protocol"},
    "preflight": _BASE | {"hints", "config", "mapping", "marketo", "storage", "catalog"},
    "dryrun": _BASE | {"delivery", "imports", "mapping", "marketo", "preflight"},
    "reconcile": _BASE | {"arguments", "config", "failures", "logs", "mapping", "marketo", "signals", "storage"},
    "shell": set(),
    "signals": set(),
    "report": _BASE | {"folding", "hints", "shell", "storage", "summary"},
    "folding": set(),
    "bar": _BASE | {"delivery", "folding", "logs"},
    "people": _BASE | {"bar", "delivery", "folding", "logs", "report", "session", "shell"},
    "memory": _BASE | {"delivery", "marketo", "storage"},
    "failures": _BASE | {"config", "delivery", "imports", "marketo", "protocol", "storage"},
    "neighbours": _BASE | {"delivery", "failures", "storage"},
    "retry": _BASE
    | {"arguments", "catalog", "commands", "config", "delivery", "failures", "people", "process", "report", "storage"},
    "plan": _BASE
    | {"bar", "catalog", "commands", "delivery", "dryrun", "failures", "folding", "hints", "imports", "logs"}
    | {"marketo", "preflight", "session", "signals", "storage"},
}
"""Modules that know only what stands here. Those that put modules together are not listed."""

ONLY_IN = {
    "airbyte_cdk": {"destination"},
    "requests": {"marketo"},
    "urllib3": {"marketo"},
    "boto3": {"storage"},
    "pydantic": {"config"},
    "aiohttp": set(),
}
"""Libraries that are dear to import, or that one module keeps to itself."""

COMPOSITION_ROOTS = {"", "__main__", "run", "destination"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Dotted names of every module of the package, with what is in it."""
    for path in sorted(ROOT.rglob("*.py")):
        parts = (PACKAGE, *path.relative_to(ROOT).with_suffix("").parts)
        yield ".".join(parts), ast.parse(path.read_text(encoding="utf-8"))


def imported_names(module: str, tree: ast.Module) -> Iterator[str]:
    """Everything a module imports, wherever in it, for types too."""
    package = module.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""
            yield source
            yield from (f"{source}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str:
    """`marketo` for `destination_marketo_programs.marketo.client`; "" for the package itself."""
    second = [*name.split("."), ""][1]
    return "" if second == "__init__" else second


def imports_by_module() -> dict[str, set[str]]:
    """Names imported by each module of the package."""
    names: dict[str, set[str]] = defaultdict(set)
    for module, tree in modules():
        names[module_of(module)].update(imported_names(module, tree))
    return names


IMPORTS = imports_by_module()


def modules_used_by(name: str) -> set[str]:
    modules = {entry.stem if entry.is_file() else entry.name for entry in ROOT.iterdir()}
    used = {module_of(each) for each in IMPORTS[name] if each.split(".")[0] == PACKAGE}
    return (used & modules) - {name}


def test_the_walk_sees_the_package() -> None:
    """Guards the tests below: a walk that finds nothing would pass them all."""
    assert set(MAY_IMPORT) <= set(IMPORTS)
    assert "marketo" in modules_used_by("delivery")


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_a_module_knows_only_the_modules_before_it(name: str) -> None:
    assert modules_used_by(name) <= MAY_IMPORT[name] | ANYBODY


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_stays_in_its_module(library: str) -> None:
    users = {name for name, names in IMPORTS.items() if library in {name.split(".")[0] for name in names}}
    assert users <= ONLY_IN[library]


def test_only_the_entry_points_know_the_composition_root() -> None:
    """Whoever imports `destination` imports the CDK, which takes over a second."""
    assert {name for name in IMPORTS if {"destination", "run"} & modules_used_by(name)} <= COMPOSITION_ROOTS


def imported_at_once(module: str, tree: ast.Module) -> Iterator[str]:
    """What a module imports while it is itself being imported: not for types, not inside a function."""
    statements = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    yield from imported_names(module, ast.Module(body=list(statements), type_ignores=[]))


def test_modules_form_no_circle() -> None:
    trees = dict(modules())
    uses = {module: set(imported_at_once(module, tree)) & set(trees) - {module} for module, tree in trees.items()}
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

    for module in sorted(trees):
        visit(module)
    assert f"{PACKAGE}.delivery.stage" in uses[f"{PACKAGE}.delivery.lead_stage"]


def test_the_way_of_the_data_does_not_load_the_cdk() -> None:
    """What the sources say is not all: a package's own `__init__`, or a library, could import it as well."""
    script = (
        f"import sys, {PACKAGE}.run, {PACKAGE}.commands, {PACKAGE}.report\n"
        f"import {PACKAGE}.activation.discover\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'airbyte_cdk', 'boto3', 'aiohttp'}))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout.strip() == "[]"


def test_the_sandbox_and_the_connector_share_nothing() -> None:
    """Else both could agree on the same mistake."""
    sandbox = ROOT.parent / "marketo_sandbox"
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(sandbox.rglob("*.py"))]
    assert len(trees) > 10
    used = {name.split(".")[0] for tree in trees for name in imported_names("marketo_sandbox.any", tree)}
    assert PACKAGE not in used
    assert "marketo_sandbox" in used
    # `run` starts the command by name; nothing else of the connector knows of it.
    assert {name for name, names in IMPORTS.items() if "marketo_sandbox" in {n.split(".")[0] for n in names}} == set()


def data_members(tree: ast.Module) -> set[str]:
    """Members that classes declare in their bodies: of records, rows and counts, which are there to be filled."""
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    declared = [statement for node in classes for statement in node.body if isinstance(statement, ast.AnnAssign)]
    return {statement.target.id for statement in declared if isinstance(statement.target, ast.Name)}


def assigned_attributes(tree: ast.Module) -> Iterator[ast.Attribute]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield node


def own_members(tree: ast.Module) -> set[str]:
    """Members that the objects of a module give themselves."""
    of_self = [
        node for node in assigned_attributes(tree) if isinstance(node.value, ast.Name) and node.value.id == "self"
    ]
    return {node.attr for node in of_self} | data_members(tree)


def assigned_from_outside(name: str) -> list[str]:
    trees = dict(modules())
    data: set[str] = set()
    for module, tree in trees.items():
        if module_of(module) in {name, "delivery", "outcomes"}:
            data |= data_members(tree)
    return [
        f"{module}:{node.lineno} {ast.unparse(node)}"
        for module, tree in trees.items()
        if module_of(module) == name
        for node in assigned_attributes(tree)
        if node.attr not in own_members(tree) | data
    ]


@pytest.mark.parametrize("name", ["delivery", "imports"])
def test_nothing_is_finished_from_outside(name: str) -> None:
    """No module assigns an attribute of another module's object: what a callee needs is in its arguments.

    Records on their way, rows, jobs and counts are data: what the modules are for.
    """
    assert assigned_from_outside(name) == []


def test_what_finishes_an_object_from_outside_is_seen() -> None:
    """Guards the test above: other modules do it, with objects of libraries."""
    assert any("session.trust_env" in found for found in assigned_from_outside("marketo"))
