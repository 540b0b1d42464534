"""Reading back: places, order, torn lines, foreign files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from destination_marketo_programs.outcomes import Outcome, Result
from destination_marketo_programs.storage import Kind, Reader, StorageError, find_files, iter_outcomes

if TYPE_CHECKING:
    from pathlib import Path


def lines(*keys: str) -> bytes:
    return b"".join(msgspec.json.encode(Outcome("s", key, None, 1, "On List", Result.CREATED)) + b"\n" for key in keys)


def keys(*locations: Path) -> list[str]:
    return [outcome.record_key for outcome in iter_outcomes([str(location) for location in locations])]


def test_files_of_several_folders_come_in_the_order_of_time(tmp_path: Path) -> None:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    (tmp_path / "b" / "deep" / "outcomes-20261123T100000Z-zz-00002.jsonl").write_bytes(lines("2"))
    (tmp_path / "a" / "outcomes-20261123T100000Z-zz-00001.jsonl").write_bytes(lines("1"))
    (tmp_path / "a" / "outcomes-20261124T000000Z-aa-00001.jsonl").write_bytes(lines("5"))
    (tmp_path / "b" / "outcomes-20261123T100000Z-zz-00010.jsonl").write_bytes(lines("3"))
    (tmp_path / "b" / "outcomes-20261123T100000Z-zz-100000.jsonl").write_bytes(lines("4"))
    (tmp_path / "b" / "rejected-20261123T100000Z-zz-00001.jsonl").write_bytes(b"{}\n")
    (tmp_path / "b" / "notes.jsonl").write_bytes(b"nothing of ours\n")
    assert keys(tmp_path) == ["1", "2", "3", "4", "5"]
    assert keys(tmp_path / "b", tmp_path / "a", tmp_path) == ["1", "2", "3", "4", "5"], "each file once"


def test_a_file_named_outright_may_have_any_name_but_rejected_ones_hold_no_outcomes(tmp_path: Path) -> None:
    (tmp_path / "mine.jsonl").write_bytes(lines("x"))
    (tmp_path / "rejected-copy.jsonl").write_bytes(b"{}\n")
    assert keys(tmp_path / "mine.jsonl", tmp_path / "rejected-copy.jsonl") == ["x"]
    file = find_files([str(tmp_path / "mine.jsonl")])[0]
    assert (file.kind, file.started_at, file.run) == (Kind.OUTCOMES, None, str(tmp_path / "mine.jsonl"))


def test_everything_of_a_folder_may_be_named_as_a_shell_does(tmp_path: Path) -> None:
    beside = (
        "run-20261123T100000Z-a.json",
        "reconcile-20261123T100000Z-a.json",
        "memory-123-ABC-456-email.db",
    )
    for name in beside:
        (tmp_path / name).write_bytes(b"no outcome\n")
    with pytest.raises(StorageError, match="no outcome file here"):
        find_files([str(path) for path in sorted(tmp_path.iterdir())])
    (tmp_path / "outcomes-20261123T100000Z-a-00001.jsonl").write_bytes(lines("1"))
    (tmp_path / "rejected-20261123T100000Z-a-00001.jsonl").write_bytes(b"{}\n")
    places = sorted(tmp_path.iterdir())
    assert keys(*places) == ["1"]
    assert len(find_files([str(place) for place in places])) == 2


@pytest.mark.parametrize("tail", [b'{"stream":"s","rec', b"\0" * 4096, b'{"stream":"s"}', b""])
def test_an_incomplete_last_line_is_passed_over(tmp_path: Path, tail: bytes) -> None:
    (tmp_path / "outcomes-20261123T100000Z-a-00001.jsonl").write_bytes(lines("1", "2") + tail)
    (tmp_path / "outcomes-20261123T100000Z-b-00001.jsonl").write_bytes(lines("3"))
    assert keys(tmp_path) == ["1", "2", "3"]


def test_a_whole_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    (tmp_path / "outcomes-20261123T100000Z-a-00001.jsonl").write_bytes(lines("1", "2")[:-1])
    assert keys(tmp_path) == ["1", "2"]


@pytest.mark.parametrize("bad", [b"no json\n", b'{"stream":1}\n', b"\n"])
def test_a_bad_line_elsewhere_is_told_by_number_and_not_by_content(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "outcomes-20261123T100000Z-a-00001.jsonl"
    path.write_bytes(lines("1") + bad + lines("2"))
    with pytest.raises(StorageError, match="line 2 is not a stored outcome") as caught:
        keys(tmp_path)
    assert caught.value.path == str(path)


def test_unknown_members_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    line = lines("1").replace(b'{"stream"', b'{"new":[1],"stream"')
    (tmp_path / "outcomes-20261123T100000Z-a-00001.jsonl").write_bytes(line)
    assert keys(tmp_path) == ["1"]


def test_places_without_outcomes_are_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="no such file"):
        keys(tmp_path / "missing")
    with pytest.raises(StorageError, match="no outcome file"):
        keys(tmp_path)


def test_rejected_records_are_read_and_odd_lines_passed_over(tmp_path: Path) -> None:
    rejection = (
        b'"rejection":{"category":"C","code":null,"message":null,"hint":null,"program_id":1,"program_status":null,'
        b'"event":null,"record_key":"k","retryable":false,"request_id":null,"at":""}'
    )
    path = tmp_path / "rejected-20261123T100000Z-a-00001.jsonl"
    path.write_bytes(
        b'{"type":"RECORD","record":{"stream":"s","data":{"a":NaN}},' + rejection + b"}\n"
        b'{"type":"RECORD","record":{"stream":"s","namespace":"n","data":{"a":1}},' + rejection + b"}\n"
        b'{"type":"RECO'
    )
    records = list(Reader().rejected(find_files([str(path)])[0]))
    assert [bytes(record.record.data) for record in records] == [b'{"a":1}']
    assert records[0].rejection.record_key == "k"


@pytest.mark.parametrize(
    "bad",
    [b"no json\n", b'{"stream":"\xff"}\n', b'{"stream":' + b"[" * 5_000 + b"]" * 5_000 + b"}\n", b"9" * 5_000 + b"\n"],
    ids=["text", "bytes", "deep", "digits"],
)
def test_lines_that_cannot_be_read_are_counted_or_told(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "outcomes-20261123T100000Z-a-00001.jsonl"
    path.write_bytes(lines("1") + bad + lines("2") + bad)
    reader = Reader()
    (file,) = reader.find_files([str(tmp_path)])
    assert [outcome.record_key for outcome in reader.outcomes(file)] == ["1", "2"]
    assert reader.unreadable == {str(path): 2}
    with pytest.raises(StorageError, match="line 2"):
        keys(tmp_path)


def test_names_and_members_of_later_versions_are_read_as_text(tmp_path: Path) -> None:
    line = (
        b'{"stream":"s","record_key":"k","event":null,"program_id":%d,"program_status":null,"outcome":"teleported",'
        b'"category":"NEW","detail":{"a":[1]},"confirmed":true,"verdict":"hovering","lookup_value":7,"sent":{"a":"b"}}\n'
    ) % 2**70
    (tmp_path / "outcomes-20261123T100000Z-a-00001.jsonl").write_bytes(line)
    (outcome,) = iter_outcomes([str(tmp_path)])
    assert (outcome.outcome, outcome.category, outcome.verdict) == ("teleported", "NEW", "hovering")
    assert (outcome.program_id, outcome.detail, outcome.confirmed) == (2**70, {"a": [1]}, True)
