"""Which rejected records are sent again: each once, in its latest version, and only where that can help."""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from destination_marketo_programs.catalog import read_catalog
from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.outcomes import Category, Outcome, Result, record_ref
from destination_marketo_programs.report import cli as report_cli
from destination_marketo_programs.retry import cli
from destination_marketo_programs.retry.delivering import catalog_of
from destination_marketo_programs.retry.edits import EditError, Edits, Row
from destination_marketo_programs.retry.selection import Selection
from destination_marketo_programs.storage import open_store
from destination_marketo_programs.storage.runs import StreamInfo, new_run, write_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
DUPLICATE, EMAIL = Category.DUPLICATE_LEADS, Category.INVALID_EMAIL


def rejected(key: str, category: Category = DUPLICATE, *, program: int | None = 1, **members: Any) -> Outcome:
    outcome = Outcome("s", key, "e", program, "Member", Result.REJECTED, category=category, **members)
    outcome.retryable, outcome.record_ref = category is not EMAIL, record_ref("", "s", key)
    return outcome


def write(folder: Path, *made: tuple[str, list[Outcome]], day: int = 0) -> None:
    started = START + timedelta(days=day)
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=started, run_id=f"r{day}")
    for data, outcomes in made:
        for outcome in outcomes:
            outcome.at = started.strftime("%Y-%m-%dT%H:%M:%SZ")
            store.add(outcome)
        refused = [outcome for outcome in outcomes if outcome.outcome is Result.REJECTED]
        if refused:
            store.add_rejected(b'{"type":"RECORD","record":{"stream":"s","data":%s}}' % data.encode(), refused)
    store.close()


def sent(folder: Path, **options: Any) -> list[Any]:
    with Selection([str(folder)], **options) as selection:
        return [json.loads(line)["record"]["data"] for line in selection.messages()]


def edited(**cells: dict[str, str]) -> Edits:
    return Edits(
        {record_ref("", "s", key): Row(number, row) for number, (key, row) in enumerate(cells.items(), 2)},
        decimal_comma=False,
    )


def test_each_record_once_in_its_latest_version(tmp_path: Path) -> None:
    write(tmp_path, ('{"v":1}', [rejected("a"), rejected("a", program=2)]), ('{"b":1}', [rejected("b")]))
    write(tmp_path, ('{"v":2}', [rejected("a")]), day=1)
    assert sent(tmp_path) == [{"b": 1}, {"v": 2}]


def test_what_was_delivered_since_is_not_sent(tmp_path: Path) -> None:
    write(tmp_path, ('{"a":1}', [rejected("a")]), ('{"b":1}', [rejected("b")]))
    delivered = Outcome("s", "a", "e", 1, "Member", Result.CREATED, record_ref=record_ref("", "s", "a"))
    write(tmp_path, ("{}", [delivered]), day=1)
    assert sent(tmp_path) == [{"b": 1}]


def test_only_where_sending_again_can_help_unless_corrected(tmp_path: Path) -> None:
    write(tmp_path, ('{"email":"x"}', [rejected("a", EMAIL)]), ('{"email":"y"}', [rejected("b")]))
    with Selection([str(tmp_path)]) as selection:
        assert [chosen.record_key for chosen in selection.chosen.values()] == ["b"]
        assert selection.left == {"no_help": 1}
    fixed = edited(a={"email": "x@example.org"})
    assert sent(tmp_path, edits=fixed) == [{"email": "x@example.org"}, {"email": "y"}]
    assert sent(tmp_path, edits=fixed, categories={"INVALID_EMAIL"}) == [{"email": "x@example.org"}]
    assert sent(tmp_path, edits=edited(a={"email": "x"}), categories={"INVALID_EMAIL"}) == []


def test_a_category_counts_for_the_programs_that_gave_it(tmp_path: Path) -> None:
    write(tmp_path, ('{"a":1}', [rejected("a", EMAIL), rejected("a", program=2)]))
    assert sent(tmp_path, categories={"DUPLICATE_LEADS"}) == [{"a": 1}]
    assert sent(tmp_path, categories={"INVALID_EMAIL"}) == []
    assert sent(tmp_path, categories={"MISSING_KEY"}) == []


def test_a_correction_changes_its_cell_and_no_other_byte_of_meaning(tmp_path: Path) -> None:
    data = '{"lead":{"email":"x","n":1.50,"big":12345678901234567890.10},"a.b":[1],"u":"é\\u0000"}'
    write(tmp_path, (data, [rejected("a", EMAIL)]))
    with Selection([str(tmp_path)], edits=edited(a={"lead.email": "é@x.y", "new.deep": "1", "a\\.b": "[2]"})) as chosen:
        (line,) = chosen.messages()
    assert b'"n":1.50,"big":12345678901234567890.10' in line
    assert json.loads(line)["record"]["data"] == {
        "lead": {"email": "é@x.y", "n": 1.5, "big": 12345678901234567890.10},
        "a.b": [2],
        "u": "é\0",
        "new": {"deep": "1"},
    }
    assert json.loads(line)["rejection"]["record_key"] == "a", "the record's name goes with it"


@pytest.mark.parametrize("value", ["[" * 3_000 + "]" * 3_000, "9" * 5_000, "NaN"], ids=["deep", "digits", "NaN"])
def test_a_record_that_no_parser_takes_is_sent_as_it_is(tmp_path: Path, value: str) -> None:
    write(tmp_path, (f'{{"x":{value}}}', [rejected("a")]))
    with Selection([str(tmp_path)]) as selection:
        (line,) = selection.messages()
        assert selection.streams() == [StreamInfo("s")]
    assert value.encode() in line


@pytest.mark.parametrize("stored", [False, True])
def test_a_stream_is_for_the_object_that_it_had_last(tmp_path: Path, stored: bool) -> None:
    for day, name in enumerate(("Program members", "Program 1004: Spring Expo 2026")):
        write(tmp_path, ('{"n":1}', [rejected(str(day))]), day=day)
        run = new_run(run_id=f"r{day}", started=START + timedelta(days=day), instance="1", version="0.2.0")
        run.streams = [StreamInfo("s", destination_object_name=name), StreamInfo("s", "other", "Program 1")]
        if stored:
            store = open_store(LocalStorage(path=str(tmp_path)), sync_started_at=START, run_id=run.run_id)
            write_run(store, run, START)
    name = "Program 1004: Spring Expo 2026" if stored else ""
    with Selection([str(tmp_path)]) as selection:
        assert selection.streams() == [StreamInfo("s", destination_object_name=name)]
        (entry,) = catalog_of(selection.streams())["streams"]
    (stream,) = read_catalog({"streams": [entry]}).streams
    assert (stream.key, stream.destination_object_name) == (("", "s"), name)


@pytest.mark.parametrize(
    ("data", "sent_data"),
    [
        ('{"lead":{"email":"x@"},"id":1}', {"lead": {"email": "new@example.org"}, "id": 1}),
        ('{"Work Email":null,"id":1}', {"Work Email": "new@example.org", "id": 1}),
    ],
)
def test_the_email_in_front_stands_for_that_of_the_record(tmp_path: Path, data: str, sent_data: Any) -> None:
    write(tmp_path, (data, [rejected("a", EMAIL)]))
    row = Row(2, {}, {"Email": "new@example.org", "Name": ""})
    assert sent(tmp_path, edits=Edits({record_ref("", "s", "a"): row}, decimal_comma=False)) == [sent_data]


@pytest.mark.parametrize("about", [{"Name": "Ada B"}, {"Email": "new@example.org"}])
def test_a_cell_in_front_that_stands_for_several_values_is_told(tmp_path: Path, about: dict[str, str]) -> None:
    data = '{"firstName":"Ada","lastName":"L","email":"x@","mail":"x@"}'
    write(tmp_path, (data, [rejected("a", EMAIL)]))
    row = Row(2, {}, {"Name": "Ada L", "Email": "x@"} | about)
    with pytest.raises(EditError, match=f'Row 2, column "{next(iter(about))}": this shows what the record says'):
        sent(tmp_path, edits=Edits({record_ref("", "s", "a"): row}, decimal_comma=False))


def test_rows_that_mean_nothing_stop_everything(tmp_path: Path) -> None:
    write(tmp_path, ('{"n":1884518522168426}', [rejected("a", EMAIL)]))
    with pytest.raises(EditError, match="Row 2: these files hold no such record"):
        sent(tmp_path, edits=edited(gone={"email": "x"}))
    with pytest.raises(EditError, match=r'Row 2, column "record\.n": "1\.2E\+15" is a number in short form'):
        sent(tmp_path, edits=edited(a={"n": "1.2E+15"}))


def run(folder: Path, *arguments: str, storage: str = "None") -> tuple[int, list[bytes]]:
    config = folder / "config.json"
    config.write_text(
        json.dumps(
            {
                "domain_url": "http://localhost:1",
                "client_id": "x",
                "client_secret": "y",
                "program_links": [{"event": "e", "program_id": "1", "program_status": "Member"}],
                "object_storage_config": {"storage_type": storage},
            }
        )
    )
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    delivered: list[bytes] = []

    def deliver(messages: Iterator[bytes]) -> int:
        delivered.extend(messages)
        return 0

    args = parser.parse_args([*arguments, "--config", str(config)])
    return cli.main(args, deliver), delivered


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "out"
    write(folder, ('{"email":"ada@example.org"}', [rejected("a")]), ('{"email":"z"}', [rejected("b", EMAIL)]))
    assert run(tmp_path, str(folder), "--dry-run") == (0, [])
    printed = capsys.readouterr().out
    assert printed.startswith("1 record would be sent, 0 of them corrected.\n  DUPLICATE_LEADS: 1\n")
    assert record_ref("", "s", "a") in printed
    assert "1 record not sent: sending the same again cannot help." in printed
    assert "ada@" not in printed


def test_the_exported_csv_comes_back_as_corrections(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write(folder, ('{"email":"x"}', [rejected("a", EMAIL)]), ('{"email":"y"}', [rejected("b", EMAIL)]))
    exported = tmp_path / "rejected.csv"
    parser = argparse.ArgumentParser()
    report_cli.add_arguments(parser)
    assert report_cli.main(parser.parse_args([str(folder), "--format", "csv", "--output", str(exported)])) == 0
    with exported.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0]["record.email"] = "fixed@example.org"
    with exported.open("w", encoding="cp1252", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    code, delivered = run(tmp_path, str(folder), "--edit", str(exported))
    assert code == 0
    assert [json.loads(line)["record"]["data"] for line in delivered] == [{"email": "fixed@example.org"}]


def test_a_plain_locale_is_no_obstacle(tmp_path: Path) -> None:
    outcome = rejected("a")
    outcome.stream = "Gäste"
    store = open_store(LocalStorage(path=str(tmp_path / "out")), sync_started_at=START, run_id="r")
    store.add(outcome)
    store.add_rejected('{"type":"RECORD","record":{"stream":"Gäste","data":{}}}'.encode(), [outcome])
    store.close()
    run(tmp_path, str(tmp_path / "out"), "--dry-run")  # writes the configuration
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    words = ["-m", "destination_marketo_programs", "retry", str(tmp_path / "out"), "--dry-run"]
    ended = subprocess.run(
        [sys.executable, *words, "--config", str(tmp_path / "config.json")],
        capture_output=True,
        env=environment,
        timeout=60,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert "Gäste" in ended.stdout.decode()


def test_failures_say_why_and_send_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, str(tmp_path / "missing")) == (1, [])
    assert "no such file or folder" in capsys.readouterr().err
    write(tmp_path / "out", ("{}", [rejected("a")]))
    (tmp_path / "bad.csv").write_text("a,b\n")
    assert run(tmp_path, str(tmp_path / "out"), "--edit", str(tmp_path / "bad.csv")) == (1, [])
    assert 'no column "Record"' in capsys.readouterr().err
    assert run(tmp_path, str(tmp_path / "out"), "--edit", str(tmp_path / "none.csv")) == (1, [])
    assert "none.csv cannot be read" in capsys.readouterr().err
