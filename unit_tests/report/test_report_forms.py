"""The forms of a report: inert data in the page, safe cells, safe terminals, and the command."""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import subprocess
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.outcomes import Outcome
from destination_marketo_programs.report import cli, summary_of, write_report
from destination_marketo_programs.report.page import MAX_LEADS, as_inert_json
from destination_marketo_programs.report.people import MAX_TEXT, NOBODY, Who, who_is
from destination_marketo_programs.report.table import COLUMNS, cell_text
from destination_marketo_programs.report.text import render_text
from destination_marketo_programs.storage import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
HOSTILE = "</script><script>alert(1)</script><!-- \u2028 & \x1b[31m \u202e"


def write_outcomes(folder: Path) -> None:
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=START, run_id="a")
    at = "2026-11-23T10:00:00Z"
    for number in range(5):
        store.add(Outcome("s", f"k{number}", "Expo", 1234, "Attended", "created", at=at))
    store.add(Outcome("s", "k5", "Expo", 1234, "Attended", "unchanged", code="1037", at=at))
    store.add(Outcome("s", "k6", None, None, None, "skipped", category="NO_PROGRAM_LINK", at=at))
    rejected = Outcome("s", "k7", HOSTILE, 1301, "Engaged", "rejected", at=at)
    rejected.category, rejected.code, rejected.message = "DUPLICATE_LEADS", "1007", HOSTILE
    store.add(rejected)
    store.add_rejected(
        json.dumps({"type": "RECORD", "record": {"stream": "s", "data": {"name": HOSTILE}}}).encode(), [rejected]
    )
    store.close()


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return cli.main(parser.parse_args(arguments))


class Scripts(HTMLParser):
    """Collects what a browser would take for scripts, and every tag."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] == "script" and self.scripts:
            attributes, text = self.scripts[-1]
            self.scripts[-1] = (attributes, text + data)


def test_the_page_is_one_file_whose_data_cannot_end_their_block(tmp_path: Path) -> None:
    write_outcomes(tmp_path)
    written = write_report([str(tmp_path)], tmp_path / "out" / "page.html", now=START)
    text = written.page.read_text("utf-8")
    parser = Scripts()
    parser.feed(text)
    assert len(parser.scripts) == 2
    (attributes, data), (own, _) = parser.scripts
    assert attributes == {"type": "application/json", "id": "data"}
    assert own == {}
    assert not set(data) & set("<>&\u2028\u2029")
    assert json.loads(data)["leads"][0][10] == HOSTILE
    assert "alert(1)</script>" not in text
    assert "default-src 'none'" in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_inert_json_reads_back_equal() -> None:
    value = {"a": HOSTILE, "b": [1, None, "é"]}
    text = as_inert_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def test_the_csv_beside_the_page_has_everyone(tmp_path: Path) -> None:
    store = open_store(LocalStorage(path=str(tmp_path)), sync_started_at=START, run_id="a")
    for number in range(MAX_LEADS + 10):
        store.add(Outcome("s", f"={number}", "e", 1, "Member", "rejected", category="INVALID_EMAIL"))
    store.close()
    written = write_report([str(tmp_path)], tmp_path / "page.html", now=START)
    assert written.csv == tmp_path / "page-rejected.csv"
    with written.csv.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == MAX_LEADS + 10
    assert list(rows[0]) == list(COLUMNS.values())
    assert all(row["Record key"].startswith("'=") for row in rows)
    parser = Scripts()
    parser.feed(written.page.read_text("utf-8"))
    data = json.loads(parser.scripts[0][1])
    assert (len(data["leads"]), data["rejected_total"]) == (MAX_LEADS, MAX_LEADS + 10)


@pytest.mark.parametrize("value", ["=1+1", "+1", "-1", "@x", "\tx", "\r=x", "  =x", "＝x"])
def test_formulas_become_text(value: str) -> None:
    assert cell_text(value) == f"'{value}"


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "yes"), (-5, "-5"), ("a=b", "a=b"), ("", ""), ("a\0b", "ab")]
)
def test_other_cells_stay(value: Any, text: str) -> None:
    assert cell_text(value) == text


@pytest.mark.parametrize(
    ("data", "who"),
    [
        ({"email": " a@b.c ", "firstName": "A", "lastName": "B"}, Who("A B", "a@b.c", None)),
        ({"lead": {"email": "a@b.c", "company": {"name": "X"}}, "event_id": 1}, Who(None, "a@b.c", "X")),
        ({"E-Mail Address": "a@b.c", "Full Name": "A", "Company Name": "X"}, Who("A", "a@b.c", "X")),
        ({"email": None, "name": 5, "company": {"id": 1}}, NOBODY),
        ({"email": "a" * 50_000}, Who(None, "a" * MAX_TEXT, None)),
        ([1], NOBODY),
    ],
)
def test_people_are_known_by_the_usual_columns(data: object, who: Who) -> None:
    assert who_is(json.dumps(data).encode()) == who


def test_data_that_cannot_be_read_name_nobody() -> None:
    assert who_is(b'{"email":"\\ud800"}') == NOBODY


def test_text_is_readable(tmp_path: Path, snapshot: SnapshotAssertion) -> None:
    write_outcomes(tmp_path)
    summary = summary_of([str(tmp_path)], now=START)
    reasons = [
        msgspec.structs.replace(
            reason, replay_command=reason.replay_command and reason.replay_command.replace(str(tmp_path), "/out")
        )
        for reason in summary.reasons
    ]
    text = render_text(msgspec.structs.replace(summary, reasons=reasons), width=90)
    assert max(len(line) for line in text.splitlines() if "$ grep" not in line) <= 90
    assert "\n".join(line.rstrip() for line in text.splitlines()) == snapshot


def test_text_is_safe_for_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_outcomes(tmp_path)
    assert run(str(tmp_path), "--format", "text") == 0
    text = capsys.readouterr().out
    assert "alert(1)" in text
    assert not set(text) & set("\x1b\u202e\u2028")


@pytest.mark.skipif(shutil.which("grep") is None, reason="no grep on this machine")
def test_the_replay_command_picks_the_lines_of_its_kind(tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    write_outcomes(folder)
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=START, run_id="b")
    other = Outcome("s", "k8", "Expo", 1, "Member", "rejected", category="MISSING_KEY")
    store.add(other)
    store.add_rejected(b'{"type":"RECORD","record":{"stream":"s","data":{"x":NaN}}}', [other])
    store.close()
    by_category = {reason.category: reason.replay_command for reason in summary_of([str(folder)], now=START).reasons}
    for category, key in (("DUPLICATE_LEADS", "k7"), ("MISSING_KEY", "k8")):
        command = by_category[category]
        assert command is not None
        pick = command.rpartition(" | ")[0]
        lines = subprocess.run(pick, shell=True, check=True, capture_output=True, timeout=20).stdout.splitlines()
        assert [json.loads(line)["rejection"]["record_key"] for line in lines] == [key]


def test_json_is_for_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_outcomes(tmp_path)
    assert run(str(tmp_path), "--format", "json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["counts"] == {
        "created": 5,
        "updated": 0,
        "imported": 0,
        "unchanged": 1,
        "skipped": 1,
        "rejected": 1,
    }  # fmt: skip - one line says it
    assert summary["records"] == 8
    assert summary["programs"][0] == {
        "name": "1301",
        "counts": dict(summary["counts"])
        | {
            "created": 0,
            "unchanged": 0,
            "skipped": 0,
            "rejected": 1,
        },
    }  # fmt: skip - as above
    assert "rejected-*.jsonl" in summary["reasons"][0]["replay_command"]
    target = tmp_path / "summary.json"
    assert run(str(tmp_path), "--format", "json", "--output", str(target)) == 0
    assert json.loads(target.read_text())["records"] == 8


def test_html_says_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_outcomes(tmp_path)
    target = tmp_path / "r.html"
    assert run(str(tmp_path), "--output", str(target)) == 0
    printed = capsys.readouterr().out
    assert "8 outcomes: 5 delivered, 1 unchanged, 1 skipped, 1 rejected" in printed
    assert str(target) in printed
    assert str(tmp_path / "r-rejected.csv") in printed


def test_what_cannot_be_read_or_written_ends_with_1_and_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(tmp_path / "missing")) == 1
    assert "no such file or folder" in capsys.readouterr().err
    write_outcomes(tmp_path)
    (tmp_path / "file").write_text("")
    assert run(str(tmp_path), "--output", str(tmp_path / "file" / "r.html")) == 1
    assert "cannot write" in capsys.readouterr().err
