"""The forms of a report: inert data in the page, safe cells, safe terminals, and the command."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.outcomes import Category, Outcome, Result
from destination_marketo_programs.report import cli, summary_of, write_report
from destination_marketo_programs.report import page_data as page_data_module
from destination_marketo_programs.report.cells import (
    Number,
    dumped,
    flattened,
    leaf_cell,
    leaf_text,
    parsed,
    safe_cell,
    with_cell,
)
from destination_marketo_programs.report.page import as_inert_json
from destination_marketo_programs.report.people import MAX_TEXT, NOBODY, Who, who_is
from destination_marketo_programs.report.text import render_text
from destination_marketo_programs.retry.selection import Selection
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
        store.add(Outcome("s", f"k{number}", "Expo", 1234, "Attended", Result.CREATED, at=at))
    store.add(Outcome("s", "k5", "Expo", 1234, "Attended", Result.UNCHANGED, code="1037", at=at))
    store.add(Outcome("s", "k6", None, None, None, Result.SKIPPED, category=Category.NO_PROGRAM_LINK, at=at))
    rejected = Outcome("s", "k7", HOSTILE, 1301, "Engaged", Result.REJECTED, at=at, retryable=True)
    rejected.category, rejected.code, rejected.message = Category.DUPLICATE_LEADS, "1007", HOSTILE
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
    members = json.loads(data)
    assert HOSTILE in members["texts"]
    assert members["leads"][0][5] == HOSTILE
    assert "alert(1)</script>" not in text
    assert "default-src 'none'" in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_inert_json_reads_back_equal() -> None:
    value = {"a": HOSTILE, "b": [1, None, "é"]}
    text = as_inert_json(value)
    assert json.loads(text) == value
    assert not set(text) & set("<>&\u2028\u2029")


def data_of(page: Path) -> dict[str, Any]:
    parser = Scripts()
    parser.feed(page.read_text("utf-8"))
    members: dict[str, Any] = json.loads(parser.scripts[0][1])
    return members


def rejected_outcome(key: str, **members: Any) -> Outcome:
    given: dict[str, Any] = {"category": Category.INVALID_EMAIL, "record_ref": f"ref-{key}"} | members
    return Outcome("s", key, "e", 1, "Member", Result.REJECTED, **given)


def add_rejected(folder: Path, *pairs: tuple[Outcome, str], run_id: str = "a") -> None:
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=START, run_id=run_id)
    for outcome, data in pairs:
        store.add(outcome)
        store.add_rejected(f'{{"type":"RECORD","record":{{"stream":"s","data":{data}}}}}'.encode(), [outcome])
    store.close()


def csv_of(folder: Path) -> list[dict[str, str]]:
    target = folder.parent / "rejected.csv"
    assert run(str(folder), "--format", "csv", "--output", str(target)) == 0
    with target.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_page_says_how_many_leads_it_leaves_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_data_module, "MAX_LEADS", 10)
    monkeypatch.setattr(page_data_module, "MAX_RECORDS_BYTES", 100)
    add_rejected(tmp_path, *((rejected_outcome(str(n)), '{"email":"x@example.org"}') for n in range(30)))
    data = data_of(write_report([str(tmp_path)], tmp_path / "page.html", now=START).page)
    assert (len(data["leads"]), data["totals"]["total"], data["totals"]["rejected"]) == (10, 30, 30)
    assert data["without_record"] == 6
    assert sum(1 for lead in data["leads"] if len(lead) > 8) == 4


def test_csv_has_every_rejected_lead_with_the_cells_of_its_record(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    first = rejected_outcome("=1", message="=HYPERLINK(1)", detail={"field": "x"})
    add_rejected(
        folder,
        (first, '{"email":"a@b.c","lead":{"phone":"+49 30","n":12345678901234567890.10},"tags":[{"value":"Later"}]}'),
        (rejected_outcome("2"), '{"email":null,"new":true,"a.b":1}'),
        (rejected_outcome("3", record_ref="123456789012"), '{"email":"x"}'),
    )
    rows = {row["Key"]: row for row in csv_of(folder)}
    one, two, three = rows["'=1"], rows["2"], rows["3"]
    assert (one["Record"], one["Message"], one["Category"]) == ("ref-=1", "'=HYPERLINK(1)", "INVALID_EMAIL")
    assert (one["record.lead.phone"], one["record.lead.n"]) == ("'+49 30", "12345678901234567890.10")
    assert (one["record.tags"], one["record.email"]) == ('[{"value":"Later"}]', "a@b.c")
    assert (two["record.new"], two["record.a\\.b"], two["record.email"]) == ("true", "1", "")
    assert three["Record"] == "'123456789012", "a spreadsheet would make a number of it"


def test_several_programs_of_a_lead_are_one_row(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=START, run_id="a")
    for program, result in ((1, Result.REJECTED), (2, Result.REJECTED), (3, Result.CREATED)):
        outcome = rejected_outcome("k", category=Category.DUPLICATE_LEADS if result is Result.REJECTED else None)
        outcome.program_id, outcome.outcome = program, result
        store.add(outcome)
    store.close()
    (row,) = csv_of(folder)
    assert (row["Program"], row["Category"], row["Outcome"]) == ("1 | 2", "DUPLICATE_LEADS", "rejected")


FORMULAS = [
    "=1+1",
    "+1",
    "-1",
    "@x",
    "\tx",
    "\r=x",
    "  =x",
    "＝x",
    "\u00a0=x",
    "\ufeff=x",
    "\u200b\u2003+x",
    "\n=x",
    "\0=x",
]


@pytest.mark.parametrize("value", FORMULAS)
def test_formulas_become_text(value: str) -> None:
    assert safe_cell(value) == "'" + value.replace("\0", "")


@pytest.mark.parametrize(
    ("leaf", "cell"),
    [
        (None, ""),
        (True, "true"),
        (Number("-5"), "-5"),
        ("a=b", "a=b"),
        ("", ""),
        ("a\0b", "ab"),
        ([Number("1.50"), {"a": None}], '[1.50,{"a":null}]'),
        ({}, "{}"),
        ("-5", "'-5"),
    ],
)
def test_other_cells_stay(leaf: Any, cell: str) -> None:
    assert leaf_cell(leaf) == cell


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=4), children, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_any_record_can_be_taken_apart_and_put_together(record: dict[str, Any]) -> None:
    read = parsed(json.dumps(record).encode())
    assert json.loads(dumped(read)) == record
    leaves = flattened(read)
    for path, leaf in leaves.items():
        if record:
            with_cell(read, path, leaf)
    assert json.loads(dumped(read)) == record
    assert all(isinstance(leaf_text(leaf), str) for leaf in leaves.values())


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
    assert render_text(summary, width=80).replace(str(tmp_path), "/out") == snapshot


@pytest.mark.parametrize("width", [80, 120])
def test_text_fits_and_ends_its_lines(tmp_path: Path, width: int) -> None:
    write_outcomes(tmp_path)
    lines = render_text(summary_of([str(tmp_path)], now=START), width=width).splitlines()
    assert max(len(line) for line in lines if "$ destination" not in line) <= width
    assert all(line == line.rstrip() for line in lines)
    assert sum("--category DUPLICATE_LEADS" in line for line in lines) == 1, "a command is whole"


def test_text_is_safe_for_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_outcomes(tmp_path)
    assert run(str(tmp_path), "--format", "text") == 0
    text = capsys.readouterr().out
    assert "alert(1)" in text
    assert not set(text) & set("\x1b\u202e\u2028")


def test_sending_again_is_offered_only_where_it_helps(tmp_path: Path) -> None:
    add_rejected(
        tmp_path,
        (rejected_outcome("1"), "{}"),
        (rejected_outcome("2", category=Category.STATUS_NOT_FOUND, retryable=True), "{}"),
    )
    again = {reason.category: reason.again for reason in summary_of([str(tmp_path)], now=START).reasons}
    assert again["INVALID_EMAIL"] is None
    assert again["STATUS_NOT_FOUND"] == (
        f"destination-marketo-programs retry {tmp_path} --config config.json --category STATUS_NOT_FOUND"
    )


def test_json_is_for_scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_outcomes(tmp_path)
    assert run(str(tmp_path), "--format", "json") == 0
    summary = json.loads(capsys.readouterr().out)
    counts = {"created": 5, "updated": 0, "imported": 0, "unchanged": 1, "skipped": 1, "rejected": 1}
    assert summary["outcomes"] == counts
    assert summary["leads"] == {"total": 8, "delivered": 5, "unchanged": 1, "skipped": 1, "rejected": 1}
    assert summary["programs"][0]["name"] == "1301"
    assert summary["programs"][0]["counts"]["rejected"] == 1
    target = tmp_path / "summary.json"
    assert run(str(tmp_path), "--format", "json", "--output", str(target)) == 0
    assert json.loads(target.read_text())["leads"]["total"] == 8


def test_html_says_where_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_outcomes(tmp_path)
    target = tmp_path / "r.html"
    assert run(str(tmp_path), "--output", str(target)) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("1 of 8 leads was not delivered.\n")
    assert "Leads: 5 delivered, 1 unchanged, 1 skipped, 1 rejected." in printed
    assert str(target) in printed


SCRIPT = "from destination_marketo_programs.run import main; import sys; sys.exit(main(sys.argv[1:]))"


def on_a_terminal(arguments: list[str], stdout: Path | None) -> tuple[str, int]:
    """What a terminal shows of the command with these arguments, and its exit code; stdout may go to a file."""
    shown, terminal = pty.openpty()
    with contextlib.ExitStack() as stack:
        output: Any = terminal if stdout is None else stack.enter_context(stdout.open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, "report", *arguments], stdin=terminal, stdout=output, stderr=terminal
        )
        os.close(terminal)
        text = b""
        with contextlib.suppress(OSError):  # as a terminal ends
            while chunk := os.read(shown, 65536):
                text += chunk
        os.close(shown)
        return text.decode(), process.wait(60)


def test_a_terminal_captures_nothing_of_what_was_asked_for(tmp_path: Path) -> None:
    write_outcomes(tmp_path)
    target = tmp_path / "x.json"
    shown, code = on_a_terminal([str(tmp_path), "--format", "json"], target)
    assert code == 0
    assert json.loads(target.read_text())["leads"]["total"] == 8
    assert "total" not in shown
    shown, code = on_a_terminal([str(tmp_path), "--format", "json"], None)
    assert json.loads(shown[shown.index("{") : shown.rindex("}") + 1])["leads"]["total"] == 8


@pytest.mark.parametrize("kind", ["csv", "json", "text"])
def test_a_reader_that_has_seen_enough_is_no_failure_to_tell(tmp_path: Path, kind: str) -> None:
    add_rejected(tmp_path, *((rejected_outcome(f"{number:0200}"), "{}") for number in range(2_000)))
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-c", SCRIPT, "report", str(tmp_path), "--format", kind]
    ended = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (1, b"")


def test_ctrl_c_ends_without_a_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "summary_of", interrupt)
    assert run(str(tmp_path), "--format", "json") == 130


@pytest.mark.parametrize("kind", ["html", "csv", "json", "text"])
def test_a_plain_locale_and_a_path_with_any_bytes_are_no_obstacle(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "überblick\udcff"
    write_outcomes(tmp_path / "made")
    (tmp_path / "made").rename(folder)
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    command: list[Any] = [sys.executable, "-c", SCRIPT, "report", os.fsencode(folder), "--format", kind]
    outputs: list[list[Any]] = [[], ["--output", os.fsencode(folder) + b"/out"]]
    for output in outputs:
        if output or kind != "html":
            ended = subprocess.run([*command, *output], capture_output=True, env=environment, timeout=60, check=False)
            assert (ended.returncode, ended.stderr) == (0, b"")
            ended.stdout.decode("utf-8-sig")


def test_what_cannot_be_read_or_written_ends_with_1_and_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(tmp_path / "missing")) == 1
    assert "no such file or folder" in capsys.readouterr().err
    write_outcomes(tmp_path)
    (tmp_path / "file").write_text("")
    assert run(str(tmp_path), "--output", str(tmp_path / "file" / "r.html")) == 1
    assert "cannot be written" in capsys.readouterr().err


any_line = st.one_of(
    st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
        lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=6), children, max_size=3),
        max_leaves=6,
    ).map(lambda value: json.dumps(value).encode()),
    st.fixed_dictionaries(
        {"stream": st.just("s"), "record_key": st.text(max_size=3), "event": st.none() | st.text(max_size=3)},
        optional={
            "program_id": st.none() | st.integers(),
            "program_status": st.none() | st.text(max_size=3),
            "outcome": st.sampled_from(["created", "rejected", "skipped", "teleported"]),
            "category": st.none() | st.text(max_size=5) | st.sampled_from(list(Category)),
            "detail": st.none()
            | st.dictionaries(
                st.sampled_from(["qualifier", "field", "value", "values", "lead_ids", "scans", "domain"]),
                st.none() | st.integers() | st.text(max_size=3) | st.lists(st.none() | st.text(max_size=3), max_size=2),
            ),
            "at": st.text(max_size=3) | st.just("2026-11-23T10:00:00Z"),
            "lead_id": st.none() | st.integers(),
            "confirmed": st.booleans(),
            "record_key_is_position": st.booleans(),
        },
    ).map(
        lambda members: json.dumps(
            {"program_id": None, "program_status": None, "outcome": "rejected"} | members
        ).encode()
    ),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(any_line, max_size=6),
    st.lists(any_line, max_size=3),
    any_line,
    st.sampled_from(["html", "csv", "json", "text"]),
)
def test_no_stored_file_is_too_odd_for_a_report(
    tmp_path_factory: pytest.TempPathFactory, outcomes: list[bytes], rejected: list[bytes], other: bytes, kind: str
) -> None:
    folder = tmp_path_factory.mktemp("odd")
    for name, lines in (("outcomes", outcomes), ("rejected", rejected)):
        (folder / f"{name}-20261123T100000Z-a-00001.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    for name in ("run", "reconcile"):
        (folder / f"{name}-20261123T100000Z-a.json").write_bytes(other)
    target = folder / "report.out"
    assert run(str(folder), "--format", kind, "--output", str(target)) == 0
    if kind == "html":
        data_of(target)
    if kind == "json":
        json.loads(target.read_text())
    with Selection([str(folder)]) as selection:
        assert all(isinstance(message, bytes) for message in selection.messages())
