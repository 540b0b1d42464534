"""Finds old habits of wording in what users read, and work markers anywhere: `python tools/prose.py`.

Prints one line for each finding, `file:line: what → say`, and exits with 1 if there is any. The rules are narrow on
purpose: each finds a habit that reads as translated, and hardly anything else.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("destination_marketo_programs", "marketo_sandbox", "demo", "tools", "benchmarks")
PROSE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs", "examples", "benchmarks/README.md", "Makefile")
KEPT = (".ci", ".pre-commit-config.yaml")
SOURCES = (".py", ".md", ".toml", ".yaml", ".yml", ".js", ".css", ".html", "")
PAGES = ("destination_marketo_programs/report/assets", "marketo_sandbox/page_files")


class Rule(NamedTuple):
    """A habit, as a regular expression without regard to case, and what to say instead."""

    habit: str
    say: str


HABITS = (
    Rule(r"(?<!\bthere )\b(?:is|are) no (?!longer\b|more\b|doubt\b|one\b)", "is not a"),
    Rule(r"\bmend(?:s|ed|ing)?\b", "fix"),
    Rule(r"\bwhat (?:became|has become|would become) of\b", "what happened to"),
    Rule(r"\bthe sums\b", "the summary, the counts"),
    Rule(r"\b(?:take|takes|took|taking) it that\b", "assume"),
    Rule(r"\bletter by letter\b", "exactly"),
    Rule(r"\breckon(?:s|ed|ing)?\b", "assume, count"),
    Rule(r"\bif need be\b", "if necessary"),
    Rule(r"\bcap of ours\b", "limit"),
    Rule(r"\bfor instance\b", "for example"),
    Rule(r"(?<=\d) %(?![\w(])", "% without a space"),
    Rule(r"\bnone where\b", "none if"),
)
"""Of docstrings as well."""
RULES = (
    *HABITS,
    Rule(r"\b(?:go|goes|went|gone|going) out\b", "is sent"),
    Rule(r"\b(?:goes|went|going) on\b", "continues, resumes"),
    Rule(r"\bby file\b", "by bulk import"),
    Rule(r"\btells\b", "reports, says"),
    Rule(r"\b(?:is|are) told\b", "is reported"),
    Rule(r"\bwhoever (?!runs\b|owns\b|restarts\b)", "people who"),
    Rule(r"\bwhere (?:it|this|that|they|none|nothing|nobody|there) (?:is|are|has|have|does|do|can|cannot)\b", "if"),
    Rule(r"\bwhere (?:none|nothing|nobody|necessary|needed|possible|given|known)\b", "if"),
    Rule(r"(?:^|[.:;] )Where (?!exactly|to\b|it\b|you\b|in\b|new\b)(?![^.?]*\?)", "If"),
)
LONGEST_SENTENCE = 25
"""Words of a message's sentence: the aim is 20, this is where it ends."""
_QUERY = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|WITH|PRAGMA)\b").match
MARKERS = Rule(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b", "an issue")


class Text(NamedTuple):
    """A piece of text: the file, the number of its first line, and the text."""

    file: Path
    line: int
    text: str


class Finding(NamedTuple):
    """Where a rule was broken."""

    file: Path
    line: int
    found: str
    say: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.found.strip()} → {self.say}"


def findings(text: Text, rules: Iterable[Rule] = RULES) -> Iterator[Finding]:
    """What is to be said in another way. Code between back quotes is passed over."""
    prose = re.sub(r"`[^`\n]*`", lambda code: " " * len(code[0]), text.text)
    for rule in rules:
        flags = re.MULTILINE if rule.habit.startswith("(?:^") else re.MULTILINE | re.IGNORECASE
        for match in re.finditer(rule.habit, prose, flags):
            yield Finding(text.file, text.line + prose.count("\n", 0, match.start()), match[0], rule.say)


def markdown(file: Path, source: str) -> Text:
    """The prose of a Markdown file: blocks of code are blanked, lines kept."""
    return Text(file, 1, re.sub(r"(?ms)^```.*?^```", _blanked, source))


def page(file: Path, source: str) -> Text:
    """A part of a page: what the template does is blanked."""
    return Text(file, 1, re.sub(r"{%.*?%}", _blanked, source))


def long_sentences(text: Text) -> Iterator[Finding]:
    """Sentences of a message that nobody reads to their end; queries of databases are not meant."""
    if not _QUERY(text.text):
        for sentence in re.split(r"(?<=[.!?:;])\s+|\n", text.text):
            words = sentence.split()
            if len(words) > LONGEST_SENTENCE:
                yield Finding(text.file, text.line, f"{' '.join(words[:5])} …: {len(words)} words", "two sentences")


def _blanked(code: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", code[0])


def messages(file: Path, source: str) -> Iterator[Text]:
    """Texts of a Python file that a user may read: literals of several words which are not docstrings."""
    tree = ast.parse(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            # The pieces of one text are read together, with a sign in place of what is filled in.
            pieces = (str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            documentation |= {id(part) for part in node.values}
            yield Text(file, node.lineno, "".join(pieces))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield Text(file, node.lineno, node.value)


def docstrings(file: Path, source: str) -> Iterator[Text]:
    """Docstrings, those of attributes included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield Text(file, node.lineno, node.value.value)


def everything() -> Iterator[Finding]:
    """All findings in the repository."""
    for name in PROSE:
        top = ROOT / name
        files = sorted(top.rglob("*.md")) if top.is_dir() else [top]
        for path in files:
            yield from findings(markdown(path.relative_to(ROOT), path.read_text("utf-8")))
    for name in PAGES:
        for path in sorted((ROOT / name).iterdir()):
            yield from findings(page(path.relative_to(ROOT), path.read_text("utf-8")))
    for name in PACKAGES:
        for path in sorted((ROOT / name).rglob("*.py")):
            file, source = path.relative_to(ROOT), path.read_text("utf-8")
            for text in messages(file, source):
                yield from findings(text)
                yield from long_sentences(text)
            for text in docstrings(file, source):
                yield from findings(text, HABITS)
    yield from _markers()


def _markers() -> Iterator[Finding]:
    tops = (path for path in ROOT.iterdir() if not path.name.startswith(".") or path.name in KEPT)
    for top in sorted(tops):
        for path in sorted(top.rglob("*")) if top.is_dir() else [top]:
            if path.is_file() and path.suffix in SOURCES:
                text = Text(path.relative_to(ROOT), 1, path.read_text("utf-8", "replace"))
                yield from findings(text, [MARKERS])


if __name__ == "__main__":
    found = list(everything())
    for finding in found:
        sys.stdout.write(f"{finding}\n")
    sys.exit(1 if found else 0)
