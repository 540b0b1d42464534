"""Stored lines: outcomes as the contract shows them, rejected records that can be sent again."""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.outcomes import Category, Detail, Outcome, Result
from destination_marketo_programs.storage.lines import (
    RejectedRecord,
    StoredOutcome,
    append_outcome,
    append_rejected,
    named_rejection,
    rejected_name,
)

AT = "2026-11-23T10:00:00Z"


def rejection(program_id: int | None = 1234, **members: Any) -> Outcome:
    given_members: dict[str, Any] = {
        "category": Category.DUPLICATE_LEADS,
        "code": "1007",
        "message": "Multiple leads match",
        "hint": "Merge them.",
        "request_id": "a41c#1",
        "at": AT,
        "record_ref": "0a1b",
    }
    return Outcome("event_leads", "k1", "4711", program_id, "Engaged", Result.REJECTED, **(given_members | members))


def rejected_line(line: bytes, *rejections: Outcome) -> bytes:
    buffer = bytearray(b"before\n")
    append_rejected(buffer, line, rejections or [rejection()])
    assert buffer.startswith(b"before\n")
    assert buffer.endswith(b"\n")
    assert buffer.count(b"\n") == 2
    return bytes(buffer[len(b"before\n") : -1])


def test_an_outcome_is_one_line_with_the_members_in_order() -> None:
    buffer = bytearray()
    append_outcome(buffer, Outcome("leads", "a\nb", None, 7, "On List", Result.CREATED, 40217, "created", at=AT))
    assert buffer.count(b"\n") == 1
    members = json.loads(buffer)
    assert list(members)[:6] == ["stream", "record_key", "event", "program_id", "program_status", "outcome"]
    assert members["record_key"] == "a\nb"
    assert members["category"] is None


@pytest.mark.parametrize("key", ["k", "\ud800"])
@pytest.mark.parametrize(
    "marks", [set(), {"dry_run"}, {"record_key_is_position"}, {"dry_run", "record_key_is_position"}]
)
def test_marks_are_stored_only_where_they_are_true(marks: set[str], key: str) -> None:
    """Readers of the file expect the documented members and may refuse others."""
    outcome = Outcome("leads", key, None, 7, "On List", Result.CREATED, at=AT)
    for mark in marks:
        setattr(outcome, mark, True)
    buffer = bytearray()
    append_outcome(buffer, outcome)
    members = json.loads(buffer)
    assert members.keys() - msgspec.structs.asdict(outcome).keys() == set()
    assert members.keys() & {"dry_run", "record_key_is_position"} == marks
    assert list(members)[15] == "at"


def test_text_that_is_no_unicode_is_stored_all_the_same() -> None:
    buffer = bytearray()
    append_outcome(buffer, Outcome("leads", "a\ud800b", None, 7, "On List", Result.REJECTED, message="\udfff"))
    members = json.loads(buffer)
    assert members["record_key"] == "a?b"
    assert members["message"] == "?"


def test_the_rejection_stands_beside_the_record_and_all_else_stays_as_it_was() -> None:
    record = b'{"stream":"event_leads","data":{"n" : 1.50, "big":12345678901234567890.10,"u":"\\u00e9\xc3\xa9"}}'
    line = b'{"type":"RECORD","record":' + record + b', "unknown":{"kept" :true}}'
    stored = rejected_line(line)
    assert b'"record":' + record + b"," in stored
    assert b'"unknown":{"kept" :true}' in stored
    members = json.loads(stored)
    assert list(members) == ["type", "record", "unknown", "rejection"]
    assert members["rejection"] == {
        "category": "DUPLICATE_LEADS",
        "code": "1007",
        "message": "Multiple leads match",
        "hint": "Merge them.",
        "program_id": 1234,
        "program_status": "Engaged",
        "event": "4711",
        "record_key": "k1",
        "retryable": False,
        "request_id": "a41c#1",
        "at": AT,
        "record_ref": "0a1b",
    }


def test_category_and_code_can_be_searched_as_text() -> None:
    assert b'{"category":"DUPLICATE_LEADS","code":"1007",' in rejected_line(b'{"record":{}}')
    without_code = rejected_line(b'{"record":{}}', rejection(category=Category.MISSING_KEY, code=None))
    assert b'{"category":"MISSING_KEY","code":null,' in without_code


def test_several_programs_that_rejected_it_are_all_told() -> None:
    members = json.loads(rejected_line(b'{"record":{}}', rejection(1), rejection(2), rejection(3)))
    assert members["rejection"]["program_id"] == 1
    assert [other["program_id"] for other in members["rejection"]["others"]] == [2, 3]


def test_a_position_as_key_is_marked() -> None:
    members = json.loads(rejected_line(b'{"record":{}}', rejection(record_key_is_position=True)))
    assert members["rejection"]["record_key_is_position"] is True


@pytest.mark.parametrize("data", [b'{"x":1}', b'{"x":NaN}'])
def test_the_rejection_of_an_earlier_run_is_replaced(data: bytes) -> None:
    once = rejected_line(b'{"type":"RECORD","record":{"stream":"s","data":' + data + b"}}", rejection(1))
    twice = rejected_line(once, rejection(2))
    assert twice.count(b'"rejection"') == 1
    assert json.loads(twice)["rejection"]["program_id"] == 2


def test_lines_outside_the_json_standard_are_kept() -> None:
    line = b'{"type":"RECORD","record":{"data":{"a":NaN,"b":-Infinity,"c":"\\ud800","d":"\xc3\xa9"}}}'
    members = json.loads(rejected_line(line, rejection(message="\ud800")))
    assert math.isnan(members["record"]["data"]["a"])
    assert members["record"]["data"]["b"] == float("-inf")
    assert members["record"]["data"]["c"] == "\ud800"
    assert members["record"]["data"]["d"] == "é"
    assert members["rejection"]["code"] == "1007"


@pytest.mark.parametrize("line", [b"[]", b"[NaN]", b"3", b"{"])
def test_what_is_no_json_object_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - three parsers, three texts
        rejected_line(line)


def test_a_rejected_record_without_rejection_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        append_rejected(bytearray(), b"{}", [])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), json_values), st.booleans())
def test_any_record_comes_back_equal(data: dict[str, Any], ascii_only: bool) -> None:
    message = {"type": "RECORD", "record": {"stream": "s", "data": data, "emitted_at": 1}}
    line = json.dumps(message, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    stored = json.loads(rejected_line(line))
    stored.pop("rejection")
    assert stored == message


@given(
    st.builds(Outcome, st.text(), st.text(), st.none() | st.text(), st.none(), st.text(), st.sampled_from(Result)),
    st.none() | st.integers(),
    st.none() | st.dictionaries(st.text(), json_values),
)
def test_any_outcome_comes_back_equal(outcome: Outcome, lead_id: int | None, detail: Detail | None) -> None:
    outcome.lead_id, outcome.detail = lead_id, detail
    buffer = bytearray()
    append_outcome(buffer, outcome)
    assert msgspec.json.decode(buffer, type=Outcome) == outcome
    read = msgspec.json.decode(buffer, type=StoredOutcome)
    assert (read.stream, read.record_key, read.outcome) == (outcome.stream, outcome.record_key, outcome.outcome)
    assert (read.lead_id, read.detail) == (lead_id, detail)


@pytest.mark.parametrize(
    "value",
    [b"[" * 5_000 + b"]" * 5_000, b"9" * 5_000, b"[" * 5_000 + b"NaN" + b"]" * 5_000],
    ids=["deep", "long number", "deep and not standard"],
)
def test_a_record_that_no_parser_here_takes_is_kept_byte_for_byte(value: bytes) -> None:
    line = b'{"type":"RECORD","record":{"stream":"s","data":{"x":' + value + b"}}}"
    stored = rejected_line(line)
    assert stored.startswith(line[:-1])
    assert b'"rejection":{"category":"DUPLICATE_LEADS"' in stored


def test_text_that_is_no_unicode_is_stored_wherever_it_is() -> None:
    outcome = rejection(detail={"field": "a\ud800", "values": ["\udfff", 1]})
    buffer = bytearray()
    append_outcome(buffer, outcome)
    assert msgspec.json.decode(buffer, type=StoredOutcome).detail == {"field": "a?", "values": ["?", 1]}
    stored = rejected_line(b'{"record":{"stream":"s","data":{}}}', outcome)
    read = msgspec.json.decode(stored, type=RejectedRecord)
    assert read.rejection.detail == {"field": "a?", "values": ["?", 1]}


def test_a_rejected_line_says_the_name_of_its_record() -> None:
    line = b'{"type":"RECORD","record":{"stream":"s","namespace":"n","data":{"x":%s}}}'
    for value in (b"1", b"NaN", b"[" * 3_000 + b"]" * 3_000, b"9" * 5_000):
        stored = rejected_line(line % value)
        named = named_rejection(stored)
        assert named is not None
        assert (named.record.namespace, named.record.stream, named.rejection.record_key) == ("n", "s", "k1")
        assert rejected_name(stored) == "k1"
        assert rejected_name(line % value) is None
    assert rejected_name(rejected_line(line % b"1", rejection(record_key_is_position=True))) is None


@pytest.mark.parametrize("member", [b'"rejection":"x"', b'"rejection":{"record_key":7}', b'"rejection":{}'])
def test_a_foreign_member_of_this_name_names_nothing(member: bytes) -> None:
    assert rejected_name(b'{"type":"RECORD","record":{"stream":"s","data":{}},' + member + b"}") is None
