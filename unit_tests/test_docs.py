"""The documentation's generated regions are fresh, its links lead somewhere, and its examples are accepted."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path

import prose
import pytest
import yaml

from destination_marketo_programs.config import load_settings, reference_rows
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.run import COMMANDS, PROTOCOL_COMMANDS
from docs import generated_files, markdown_reference, renewed

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = DOCS / "marketo-programs.md"
GUIDES = sorted((DOCS / "guides").glob("*.md"))
WRITTEN = [PAGE, *GUIDES]
ROOT = DOCS.parent
DECISIONS = sorted((DOCS / "decisions").iterdir())
LINKED = [
    *WRITTEN,
    *DECISIONS,
    *(DOCS / name for name in ("outcomes.md", "architecture.md")),
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
]
NOT_THERE_YET = (
    "docs.airbyte.com/integrations/destinations/marketo-programs",
    "pypi.org/project/airbyte-destination-marketo",
)


@pytest.mark.parametrize("page", generated_files(), ids=lambda page: page.name)
def test_generated_regions_are_fresh(page: Path) -> None:
    assert renewed(page.read_text()) == page.read_text(), "renew with: make docs"


def test_reference_and_hints_are_shown_somewhere() -> None:
    text = "".join(page.read_text() for page in generated_files())
    assert all(f"<!-- {name} -->" in text for name in ("reference", "hints:category", "hints:code", "hints:outcome"))


def test_reference_names_every_setting() -> None:
    text = markdown_reference()
    for row in reference_rows():
        block, _, key = row.path.rpartition(".")
        assert f"| `{key}` | {row.title} |" in text
        assert not block or f"`{block}`" in text


def test_a_region_that_is_not_closed_is_refused() -> None:
    with pytest.raises(ValueError, match="not closed"):
        renewed("<!-- hints:code -->\n| …")


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_links_within_the_docs_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        linked = (page.parent / name).resolve() if name else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(
                r"^#+ (.+)$", re.sub(r"```.*?```", "", linked.read_text(), flags=re.DOTALL), re.MULTILINE
            )
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


@pytest.mark.parametrize("page", [*WRITTEN, ROOT / "README.md"], ids=lambda page: page.name)
def test_configurations_shown_are_accepted(page: Path) -> None:
    for block in re.findall(r"```json\n(.+?)```", page.read_text(), re.DOTALL):
        shown = json.loads(block)
        if "domain_url" in shown:
            loaded = load_settings(shown, cloud=False)
            assert loaded.settings is not None
            assert loaded.problems == []


@pytest.mark.parametrize("page", LINKED, ids=lambda page: page.name)
def test_no_page_sends_anybody_to_an_address_that_does_not_exist(page: Path) -> None:
    text = re.sub(r"```json.*?```", "", page.read_text(), flags=re.DOTALL)
    assert [address for address in NOT_THERE_YET if address in text] == []
    assert not re.search(r"pip install \"?airbyte-destination-marketo-programs", text), (
        "there is no package index entry"
    )


def test_decisions_are_numbered_named_and_dated_in_one_way() -> None:
    numbers = []
    for page in DECISIONS:
        name = re.fullmatch(r"(\d{4})-[a-z0-9]+(?:-[a-z0-9]+)*\.md", page.name)
        assert name, page.name
        numbers.append(name[1])
        assert re.match(rf"# {name[1]} \S.*\n\n\d{{4}}-\d\d-\d\d(?:\. |, |\n)", page.read_text()), page.name
    assert len(set(numbers)) == len(numbers), "two decisions share a number"


def quoted_in_the_runbook() -> list[str]:
    """Pieces of the messages that its tables quote, between what is filled in."""
    text = (DOCS / "guides" / "runbook.md").read_text()
    tables = re.findall(r"^\| (?:The message says|It looks stuck).*\n(?:\|.*\n)+", text, re.MULTILINE)
    cells = [line.split(" | ")[0] for table in tables for line in table.splitlines()[2:]]
    quotes = [quote for cell in cells for quote in re.findall(r"`([^`]+)`", cell)]
    pieces = [piece.strip(" :.(") for quote in quotes for piece in quote.split("…")]
    return sorted({piece for piece in pieces if len(piece) >= SHORTEST_PIECE} - FROM_ELSEWHERE)


@cache
def said() -> list[str]:
    files = (ROOT / "destination_marketo_programs").rglob("*.py")
    return [text.text for path in files for text in prose.messages(path, path.read_text("utf-8"))]


SHORTEST_PIECE = 9
FROM_ELSEWHERE = {"No space left on device", "Read-only file system", "Permission denied"}
"""What the operating system says."""


@pytest.mark.parametrize("piece", quoted_in_the_runbook())
def test_the_runbook_quotes_what_is_really_said(piece: str) -> None:
    assert any(piece in text for text in said())


def test_the_architecture_page_names_every_module() -> None:
    page = (DOCS / "architecture.md").read_text()
    package = ROOT / "destination_marketo_programs"
    modules = {path.name.removesuffix(".py") for path in package.iterdir() if path.suffix == ".py" or path.is_dir()}
    named = set(re.findall(r"`(\w+)`", page))
    assert {name for name in modules if not name.startswith("__")} - named == set()


def test_commit_hooks_use_the_repository_s_own_tools() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [repository["repo"] for repository in hooks] == ["local"], "nothing is downloaded"
    entries = [hook["entry"] for repository in hooks for hook in repository["hooks"]]
    assert all(entry.startswith(".venv/bin/") for entry in entries)
    assert {"tools/prose.py"} <= {word for entry in entries for word in entry.split()}
    assert "tools/prose.py" in (ROOT / "Makefile").read_text(), "make check runs it as well"


def test_commands_are_all_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for command in (*PROTOCOL_COMMANDS, *COMMANDS):
        assert re.search(rf"^\| `{command}[ `]", readme, re.MULTILINE), command


def test_every_outcome_is_in_the_readme_under_its_name() -> None:
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", readme, re.MULTILINE))))
    assert set(map(str, Result)) <= named


def test_the_configuration_is_shown_somewhere() -> None:
    assert any('"domain_url"' in page.read_text() for page in WRITTEN)
    assert {page.stem for page in GUIDES} >= {"airbyte-ui", "docker", "scheduling", "security", "sizing"}
