"""Status first, fields second; each lead one answer; a program that vanished ends the sync."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from destination_marketo_programs.delivery.member_calls import MemberCalls, ProgramGoneError
from destination_marketo_programs.delivery.member_fields import Membership
from destination_marketo_programs.marketo.api import row_bytes
from destination_marketo_programs.marketo.errors import ConfigurationFaultError, NotFoundError, RefusedError
from destination_marketo_programs.marketo.rows import MAX_BODY_BYTES, RowReply
from destination_marketo_programs.outcomes import Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from delivery_bench import Build, TableMarketo

    from destination_marketo_programs.model import LeadFields


@pytest.fixture
def members(marketo: TableMarketo) -> TableMarketo:
    for lead_id in range(1, 301):
        marketo.add(lead_id)
    return marketo


def membership(build: Build, lead_id: int, *fields: LeadFields) -> Membership:
    entries = [build.entry(member_fields=each) for each in fields or ({},)]
    reply = RowReply("created", lead_id, None, None, "r")
    return Membership(1, "Registered", lead_id, Result.CREATED, reply, entries)


def refusing(code: str, judge: Callable[[list[Any]], bool]) -> Callable[[str, list[Any]], None]:
    def refuse(endpoint: str, rows: list[Any]) -> None:
        if judge(rows):
            raise RefusedError(endpoint, code, "text", "r#9")

    return refuse


def test_one_call_sets_one_status_in_one_program(members: TableMarketo) -> None:
    members.members[1, 2] = "Engaged"
    replies = MemberCalls(members).write_status(1, "Registered", [1, 2, 3])
    assert members.calls == [("sync_status", (1, "Registered", [1, 2, 3]))]
    assert [(reply.status, reply.code) for reply in replies] == [("created", None), ("", "1037"), ("created", None)]


def test_an_unknown_status_refuses_all_rows_with_one_call(members: TableMarketo) -> None:
    members.before.append(refusing("1025", lambda _rows: True))
    replies = MemberCalls(members).write_status(1, "Registered", list(range(1, 301)))
    assert len(members.calls) == 1
    assert {reply.code for reply in replies} == {"1025"}
    assert len(replies) == 300


def test_a_lead_that_refuses_the_whole_call_is_found(members: TableMarketo) -> None:
    members.before.append(refusing("1003", lambda rows: 7 in rows))
    replies = MemberCalls(members).write_status(1, "Registered", list(range(1, 11)))
    assert [lead_id for lead_id, reply in enumerate(replies, 1) if reply.code == "1003"] == [7]


@pytest.mark.parametrize("code", ["610", "702", "HTTP 404"])
@pytest.mark.parametrize("write", ["status", "fields"])
def test_a_program_that_vanished_is_a_matter_of_configuration(
    build: Build, members: TableMarketo, code: str, write: str
) -> None:
    def vanished(endpoint: str, _rows: list[Any]) -> None:
        raise NotFoundError(endpoint, code, "text", "r#9")

    members.before.append(vanished)
    calls = MemberCalls(members)
    writes: dict[str, Callable[[], object]] = {
        "status": lambda: calls.write_status(3, "Registered", [1]),
        "fields": lambda: calls.write_fields(3, [membership(build, 1, {"seat": "a"})]),
    }
    with pytest.raises(ProgramGoneError) as raised:
        writes[write]()
    assert isinstance(raised.value, ConfigurationFaultError)
    assert (raised.value.program_id, raised.value.code, raised.value.request_id) == (3, code, "r#9")


@pytest.mark.parametrize("there", [True, False])
def test_an_object_that_is_not_found_is_the_program_only_if_marketo_says_so(
    members: TableMarketo, *, there: bool
) -> None:
    """Otherwise each of 300 leads would be sent alone, only to be refused with the same code."""
    members.before.append(refusing("1013", lambda rows: not there or 7 in rows))
    if not there:
        members.programs = set()
    calls = MemberCalls(members)
    if there:
        replies = calls.write_status(1, "Registered", [6, 7, 8])
        assert [reply.code for reply in replies] == [None, "1013", None]
    else:
        with pytest.raises(ProgramGoneError):
            calls.write_status(1, "Registered", [6, 7, 8])
        assert [endpoint for endpoint, _ in members.calls] == ["sync_status", "program"]


# --- membership fields ---------------------------------------------------------------------------------------


def test_membership_fields_are_listed_once_for_neighbours_that_agree(build: Build) -> None:
    fields: list[LeadFields] = [{"code": "a"}, {}, {"code": "a"}, {"code": "b"}, {"code": "a"}]
    assert membership(build, 7, *fields).parts() == [{"code": "a"}, {"code": "b"}, {"code": "a"}]
    assert membership(build, 7, {}, {}).parts() == []


def test_fields_of_several_records_go_in_one_row(build: Build, members: TableMarketo) -> None:
    some = [membership(build, 1, {"code": "a"}, {}, {"note": "n", "code": "b"}), membership(build, 2, {"code": None})]
    replies = MemberCalls(members).write_fields(1, some)
    assert members.calls == [("sync_data", (1, [(1, {"code": "b", "note": "n"}), (2, {"code": None})]))]
    assert [(each.lead_id, reply.status) for each, _, reply in replies] == [(1, "updated"), (2, "updated")]


def test_a_refused_row_of_several_records_is_sent_record_by_record_in_order(
    build: Build, members: TableMarketo
) -> None:
    """The last value must win as it would have, and only the record at fault be rejected."""
    members.refuse_fields = lambda fields: "1001" if fields.get("seats") == "many" else None
    some = [
        membership(build, 1, {"code": "a"}, {"seats": "many"}, {"code": "c"}),
        membership(build, 2, {"code": "x"}),
    ]
    replies = MemberCalls(members).write_fields(1, some)
    assert [(each.lead_id, fields, reply.status, reply.code) for each, fields, reply in replies] == [
        (1, {"code": "a"}, "updated", None),
        (1, {"seats": "many"}, "", "1001"),
        (1, {"code": "c"}, "updated", None),
        (2, {"code": "x"}, "updated", None),
    ]
    assert members.member_fields[1, 1] == {"code": "c"}


def test_a_refused_row_of_one_record_is_not_sent_again(build: Build, members: TableMarketo) -> None:
    members.refuse_fields = lambda _fields: "1013"
    ((_, fields, reply),) = MemberCalls(members).write_fields(1, [membership(build, 1, {"code": "a"}, {"code": "a"})])
    assert (fields, reply.code) == ({"code": "a"}, "1013")
    assert len(members.calls) == 1


def test_a_field_that_is_not_there_refuses_those_who_name_it(build: Build, members: TableMarketo) -> None:
    members.before.append(refusing("1006", lambda rows: any("gone" in fields for _, fields in rows)))
    some = [membership(build, number, {"gone" if number % 2 else "code": "a"}) for number in range(1, 101)]
    replies = MemberCalls(members).write_fields(1, some)
    assert {each.lead_id: reply.code for each, _, reply in replies} == {
        number: "1006" if number % 2 else None for number in range(1, 101)
    }
    assert len(members.calls) == 3


def test_long_texts_are_split_before_marketo_refuses_them(build: Build, members: TableMarketo) -> None:
    some = [membership(build, lead_id, {"note": "記" * 10_000}) for lead_id in range(1, 301)]
    replies = MemberCalls(members).write_fields(1, some)
    assert [each.lead_id for each, _, _ in replies] == list(range(1, 301))
    assert len(members.calls) == 10
    sizes = [sum(row_bytes({"leadId": lead, **fields}) for lead, fields in rows) for _, (_, rows) in members.calls]
    assert max(sizes) <= MAX_BODY_BYTES < 1_000_000


def test_one_record_that_is_too_large_by_itself_is_still_sent(build: Build, members: TableMarketo) -> None:
    some = [membership(build, 1, {"note": "n" * 2_000_000}), membership(build, 2, {"note": "n"})]
    assert len(MemberCalls(members).write_fields(1, some)) == 2
    assert len(members.calls) == 2
