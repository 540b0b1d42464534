"""Status first, fields second; each lead one answer; a program that vanished ends the sync."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

import pytest

from destination_marketo_programs.delivery.member_writer import MemberWriter, ProgramGoneError
from destination_marketo_programs.marketo.client import MAX_BODY_BYTES, Call, MarketoClient, Reply
from destination_marketo_programs.marketo.errors import ConfigurationFaultError, NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.delivery.work import MemberRow
    from unit_tests.delivery.conftest import Build


class Members:
    """Answers member writes; `judge` says what becomes of one row of `input`: a status, or a code."""

    def __init__(self, judge: Callable[[dict[str, Any]], str] = lambda _row: "created") -> None:
        self.judge = judge
        self.bodies: list[dict[str, Any]] = []
        self.sizes: list[int] = []
        self.fails: Callable[[list[dict[str, Any]]], Exception | None] = lambda _rows: None
        self.writer = MemberWriter(cast("MarketoClient", self))

    def send(self, call: Call, read: Callable[[Reply], Any] = lambda reply: reply) -> Any:
        body = json.loads(call.body or b"{}")
        self.bodies.append({"path": call.path, **body})
        self.sizes.append(len(call.body or b""))
        error = self.fails(body["input"])
        if error is not None:
            raise error
        rows = []
        for seq, row in enumerate(body["input"]):
            verdict = self.judge(row)
            if verdict.isdigit():
                rows.append({"seq": seq, "status": "skipped", "reasons": [{"code": verdict, "message": "text"}]})
            else:
                rows.append({"seq": seq, "status": verdict, "leadId": row["leadId"]})
        return read(Reply(list(reversed(rows)), "r#1", {}))


def test_one_call_sets_one_status_in_one_program(build: Build) -> None:
    members = Members(lambda row: "1037" if row["leadId"] == 2 else "created")
    rows = [build.member_row(lead, program_id=1044) for lead in (1, 2, 3)]
    replies = members.writer.write_status(rows)
    assert members.bodies == [
        {
            "path": "/rest/v1/programs/1044/members/status.json",
            "statusName": "Registered",
            "input": [{"leadId": 1}, {"leadId": 2}, {"leadId": 3}],
        }
    ]
    assert [row is sent for (row, _), sent in zip(replies, rows, strict=True)] == [True] * 3
    assert [(reply.status, reply.code) for _, reply in replies] == [("created", None), ("", "1037"), ("created", None)]


def test_an_unknown_status_refuses_all_rows_with_one_call(build: Build) -> None:
    members = Members()
    members.fails = lambda _rows: RefusedError("sync_status", "1025", "Program status not found")
    replies = members.writer.write_status([build.member_row(lead) for lead in range(1, 301)])
    assert len(members.bodies) == 1
    assert {reply.code for _, reply in replies} == {"1025"}
    assert len(replies) == 300


def test_a_lead_that_refuses_the_whole_call_is_found(build: Build) -> None:
    members = Members()
    members.fails = lambda rows: RefusedError("sync_status", "1003") if {"leadId": 7} in rows else None
    replies = members.writer.write_status([build.member_row(lead) for lead in range(1, 11)])
    assert [row.lead_id for row, reply in replies if reply.code == "1003"] == [7]
    assert [row.lead_id for row, _ in replies] == list(range(1, 11))


@pytest.mark.parametrize("code", ["610", "702", "HTTP 404"])
@pytest.mark.parametrize("write", ["status", "data"])
def test_a_program_that_vanished_is_a_matter_of_configuration(build: Build, code: str, write: str) -> None:
    members = Members()
    members.fails = lambda _rows: NotFoundError("sync", code, "text", "r#9")
    rows = [build.member_row(1, {"code": "a"}, program_id=1044)]
    with pytest.raises(ProgramGoneError) as raised:
        members.writer.write_status(rows) if write == "status" else members.writer.write_data(rows)
    assert isinstance(raised.value, ConfigurationFaultError)
    assert (raised.value.program_id, raised.value.code, raised.value.request_id) == (1044, code, "r#9")


# --- membership fields ---------------------------------------------------------------------------------------


def test_fields_of_several_records_go_in_one_row(build: Build) -> None:
    members = Members(lambda _row: "updated")
    rows = [
        build.member_row(1, {"code": "a"}, {}, {"note": "n", "code": "b"}, program_id=1044),
        build.member_row(2, {"code": None}, program_id=1044),
    ]
    replies = members.writer.write_data(rows)
    assert members.bodies == [
        {
            "path": "/rest/v1/programs/1044/members.json",
            "input": [{"leadId": 1, "code": "b", "note": "n"}, {"leadId": 2, "code": None}],
        }
    ]
    assert [(row.lead_id, reply.status) for row, _, reply in replies] == [(1, "updated"), (2, "updated")]


def test_a_refused_row_of_several_records_is_sent_record_by_record_in_order(build: Build) -> None:
    """The last value must win as it would have, and only the record at fault be rejected."""
    members = Members(lambda row: "1001" if row.get("seats") == "many" else "updated")
    rows = [
        build.member_row(1, {"code": "a"}, {"seats": "many"}, {"code": "c"}),
        build.member_row(2, {"code": "x"}),
    ]
    replies = members.writer.write_data(rows)
    assert [(row.lead_id, fields, reply.status, reply.code) for row, fields, reply in replies] == [
        (1, {"code": "a"}, "updated", None),
        (1, {"seats": "many"}, "", "1001"),
        (1, {"code": "c"}, "updated", None),
        (2, {"code": "x"}, "updated", None),
    ]


def test_a_refused_row_of_one_record_is_not_sent_again(build: Build) -> None:
    members = Members(lambda _row: "1013")
    ((_, fields, reply),) = members.writer.write_data([build.member_row(1, {"code": "a"}, {"code": "a"})])
    assert (fields, reply.code) == ({"code": "a"}, "1013")
    assert len(members.bodies) == 1


def test_long_texts_are_split_before_marketo_refuses_them(build: Build) -> None:
    members = Members(lambda _row: "updated")
    rows: list[MemberRow] = [build.member_row(lead, {"note": "記" * 10_000}) for lead in range(1, 301)]
    replies = members.writer.write_data(rows)
    assert [row.lead_id for row, _, _ in replies] == list(range(1, 301))
    assert len(members.bodies) == 10
    assert max(members.sizes) <= MAX_BODY_BYTES + 100 < 1_000_000


def test_one_record_that_is_too_large_by_itself_is_refused_without_being_sent(build: Build) -> None:
    members = Members(lambda _row: "updated")
    rows = [build.member_row(1, {"note": "n" * 2_000_000}), build.member_row(2, {"note": "n"})]
    replies = members.writer.write_data(rows)
    assert [(reply.status, reply.code) for _, _, reply in replies] == [("", "HTTP 413"), ("updated", None)]
    assert len(members.bodies) == 1
