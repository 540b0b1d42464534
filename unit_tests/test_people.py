"""What people are told to do next, and lines and JSON that a terminal can show."""

from __future__ import annotations

import json
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.folding import broken
from destination_marketo_programs.jsontext import for_terminals
from destination_marketo_programs.outcomes import Category, Result
from destination_marketo_programs.people import what_next
from destination_marketo_programs.session import Delivered
from destination_marketo_programs.shell import shell_path

if TYPE_CHECKING:
    from pathlib import Path

OBEYED = "\x7f\x80\x9b\u200e\u202e\u2028\u2066\ufeff"


def commands(location: str | None, *rejected: Category, outcomes: tuple[Result, ...] = (Result.CREATED,)) -> list[str]:
    tally = Tally()
    for outcome in outcomes:
        tally.count(1004, "Registered", outcome)
    for category in rejected:
        tally.count(1004, "Registered", Result.REJECTED)
        tally.count_refusal(Result.REJECTED, category, None, None)
    return [command for _, command in what_next(Delivered(tally, None, ""), location, "my config.json")]


def test_only_what_can_help_is_offered() -> None:
    report, compare = "report out --output report.html", "reconcile --config 'my config.json'"
    again = "retry out --config 'my config.json'"
    assert commands("out") == [report, compare]
    assert commands("out", Category.DUPLICATE_LEADS) == [report, again, compare]
    assert commands("out", Category.INVALID_EMAIL) == [report, f"{again} --edit leads.csv", compare]
    assert commands("out", Category.INVALID_EMAIL, outcomes=()) == [report, f"{again} --edit leads.csv"]
    assert commands("out", outcomes=(Result.SKIPPED,)) == [report]
    assert commands("out", outcomes=()) == []
    assert commands(None) == [""]
    assert commands(None, outcomes=()) == []


@pytest.mark.parametrize("name", ["a b", "-rf", "it's", "$(id)", "\x1b[31m\n\x9b", "\u202etxt", "ü", "\udcff"])
def test_a_command_reaches_a_folder_of_any_name_and_commands_no_terminal(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    word = shell_path(name)
    assert word.isprintable()
    assert commands(name)[0] == f"report {word} --output report.html"
    found = subprocess.run(["bash", "-c", f"cd {word} && pwd -P"], cwd=tmp_path, capture_output=True, check=True)
    assert found.stdout.decode("utf-8", "surrogateescape").removesuffix("\n") == str(tmp_path.resolve() / name)


@given(st.lists(st.text("ab語é", min_size=1, max_size=8)), st.integers(0, 6), st.integers(24, 60), st.integers(0, 4))
def test_lines_are_broken_between_words_only(words: list[str], indent: int, width: int, hanging: int) -> None:
    pieces = broken(" " * indent + " ".join(words), width, hanging=hanging)
    assert " ".join(pieces).split() == words
    assert all(cell_len(piece) <= width and piece == piece.rstrip() for piece in pieces)
    assert all(piece.startswith(" " * indent) for piece in pieces if piece)


@given(st.recursive(st.text() | st.text(OBEYED) | st.integers() | st.none(), st.lists, max_leaves=5))
def test_json_for_terminals_is_the_same_value(value: Any) -> None:
    text = for_terminals(msgspec.json.encode(value))
    assert json.loads(text) == value
    assert not set(OBEYED) & set(text.decode())


def test_a_shell_reads_the_whole_command() -> None:
    (report, *_) = commands("/data/my outcomes")
    assert shlex.split(report) == ["report", "/data/my outcomes", "--output", "report.html"]
