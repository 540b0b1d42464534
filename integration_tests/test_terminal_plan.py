"""What people see of `plan` and `report` on terminals of 80 and 120 columns, and what files get."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING

import pytest
from harness import catalog_of, config_for, record
from terminal import on_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from terminal import Shown

    from marketo_sandbox import SandboxServer

HOSTILE = "\x1b[35m\x07\x9b2J\x7f\u202e\u2028"
OBEYED = re.compile("[\x07\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]|\x1b\\[35m")
KEYS = [str(uuid.UUID(int=number)) for number in range(1_200)]


@pytest.fixture
def folder(sandbox: SandboxServer, tmp_path: Path) -> Path:
    """Configuration, catalog and messages, among them records that would like to command a terminal."""
    links = [
        {"event": "", "program_id": "1004", "program_status": "Registered"},
        {"event": "7", "program_id": "1006", "program_status": "Attended"},
    ]
    settings = config_for(
        sandbox,
        program_links=links,
        object_storage_config={"storage_type": "Local", "path": str(tmp_path / "outcomes")},
    )
    (tmp_path / "config.json").write_text(json.dumps(settings))
    (tmp_path / "catalog.json").write_text(json.dumps(catalog_of("leads", primary_key=[["id"]])))
    lines = [record({"id": key, "email": f"p{at}@example.org", "event_id": at % 9}) for at, key in enumerate(KEYS)]
    lines += [record({"id": HOSTILE + str(n), "email": f"{HOSTILE}bad@", "event_id": HOSTILE}) for n in range(3)]
    (tmp_path / "messages.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return tmp_path


def plan(folder: Path, *more: str, columns: int = 80, piped: bool = False) -> Shown:
    arguments = ("plan", "--config", "config.json", "--catalog", "catalog.json", *more)
    return on_terminal(*arguments, stdin=folder / "messages.jsonl", columns=columns, piped=piped, folder=folder)


def write(folder: Path) -> None:
    arguments = ("write", "--config", "config.json", "--catalog", "catalog.json")
    assert on_terminal(*arguments, stdin=folder / "messages.jsonl", folder=folder).code == 0


def assert_fits(shown: Shown, columns: int) -> None:
    """Whole lines within the terminal; what is there to be copied may be longer."""
    assert [line for line in shown.screen if len(line) > columns and "destination-marketo-programs" not in line] == []
    assert not OBEYED.search(shown.raw)
    assert "━" not in shown.text


@pytest.mark.parametrize("columns", [80, 120])
def test_a_plan_fits_and_breaks_no_key(folder: Path, columns: int) -> None:
    shown = plan(folder, columns=columns)
    assert shown.code == 0, shown.text
    assert_fits(shown, columns)
    assert sum(key in shown.text for key in KEYS) == 5
    assert shown.text.count('created at "Registered", with a new person in Marketo') == 5
    assert "Plan for 1,203 records, 3 of which would be rejected." in " ".join(shown.text.split())
    assert "━" in shown.raw, "there was a bar meanwhile"


def test_a_plan_as_json_commands_no_terminal(folder: Path) -> None:
    shown = plan(folder, "--format", "json", columns=100)
    assert shown.code == 0
    assert not OBEYED.search(shown.raw)
    lines = [json.loads(line) for line in shown.raw.splitlines() if line.startswith("{")]
    assert {line.get("record_key") for line in lines} >= {f"{HOSTILE}{number}" for number in range(3)}
    assert list(lines[-1]) == ["summary"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_plan_in_a_file_is_not_padded_and_the_terminal_gets_progress_only(folder: Path, form: str) -> None:
    shown = plan(folder, "--format", form, piped=True)
    assert shown.code == 0
    text = shown.piped.decode()
    assert [line for line in text.split("\n") if line != line.rstrip()] == []
    assert not OBEYED.search(text)
    assert "\x1b" not in text
    assert sum(key in text for key in KEYS) == len(KEYS)
    assert "━" in shown.raw
    assert KEYS[0] not in shown.raw
    assert_fits(shown, 80)


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize("form", ["text", "html"])
def test_a_report_fits(folder: Path, form: str, columns: int) -> None:
    write(folder)
    shown = on_terminal("report", "outcomes", "--format", form, columns=columns, folder=folder)
    assert shown.code == 0
    assert_fits(shown, columns)
    assert "3 of 1,203 leads were not delivered." in shown.text


@pytest.mark.parametrize("form", ["text", "json", "csv"])
def test_a_report_in_a_file_is_all_of_it_and_the_terminal_gets_none(folder: Path, form: str) -> None:
    write(folder)
    shown = on_terminal("report", "outcomes", "--format", form, piped=True, folder=folder)
    assert shown.code == 0
    assert shown.text == ""
    assert shown.piped
    if form != "csv":
        assert [line for line in shown.piped.decode().split("\n") if line != line.rstrip()] == []
        assert not OBEYED.search(shown.piped.decode())
