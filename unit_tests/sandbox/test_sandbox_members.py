"""Program members and the assets behind them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from marketo_sandbox import Status

if TYPE_CHECKING:
    from unit_tests.sandbox.conftest import Marketo

EXPO = 1004


def add_leads(marketo: Marketo, count: int = 1) -> list[int]:
    return [marketo.server.state.add_lead({"email": f"a{n}@example.org"}) for n in range(count)]


def test_created_updated_and_skipped_rows_look_as_documented(marketo: Marketo) -> None:
    past, before, new = add_leads(marketo, 3)
    marketo.server.state.add_member(EXPO, past, "Attended")
    marketo.server.state.add_member(EXPO, before, "Invited")
    answer = marketo.set_status(EXPO, "Registered", past, before, new)
    assert set(answer) == {"requestId", "success", "result"}
    assert answer["result"] == [
        {
            "seq": 0,
            "status": "skipped",
            "reasons": [{"code": "1037", "message": "Lead skipped because it is already in or past this status"}],
        },
        {"seq": 1, "status": "updated", "leadId": before},
        {"seq": 2, "status": "created", "leadId": new},
    ]
    assert marketo.server.state.members(EXPO) == {
        past: "Attended",
        before: "Registered",
        new: "Registered",
    }


@pytest.mark.parametrize(
    ("present", "wanted", "expected"),
    [
        (None, "Invited", "created"),
        (None, "Attended", "created"),
        ("Invited", "Attended", "updated"),
        ("Registered", "Waitlisted", "updated"),
        ("Waitlisted", "Registered", "updated"),
        ("Registered", "Registered", "1037"),
        ("Attended", "Registered", "1037"),
        ("Attended", "No Show", "1037"),
        ("A status that was removed", "Registered", "updated"),
        (None, "Influenced", "created"),
    ],
)
def test_statuses_only_move_forward(marketo: Marketo, present: str | None, wanted: str, expected: str) -> None:
    (lead,) = add_leads(marketo)
    if present is not None:
        marketo.server.state.add_member(EXPO, lead, present)
    (row,) = marketo.set_status(EXPO, wanted, lead)["result"]
    if expected == "1037":
        assert row["reasons"][0]["code"] == "1037"
        assert marketo.server.state.members(EXPO) == {lead: present}
    else:
        assert row["status"] == expected
        assert marketo.server.state.members(EXPO) == {lead: wanted}


@pytest.mark.parametrize("status", ["registered", "Registered ", "Nonsense", "Not in Program"])
def test_an_unknown_status_refuses_the_whole_call(marketo: Marketo, status: str) -> None:
    (lead,) = add_leads(marketo)
    answer = marketo.set_status(EXPO, status, lead)
    assert answer["success"] is False
    assert answer["errors"][0]["code"] == "1025"
    assert marketo.server.state.members(EXPO) == {}


def test_a_hidden_status_can_be_refused(marketo: Marketo) -> None:
    marketo.server.configure(refuse_hidden_statuses=True)
    answer = marketo.set_status(EXPO, "Influenced", *add_leads(marketo))
    assert answer["errors"][0]["code"] == "1025"


def test_an_unknown_program_refuses_the_whole_call(marketo: Marketo) -> None:
    leads = add_leads(marketo)
    assert marketo.set_status(99, "Registered", *leads)["errors"][0]["code"] == "702"
    marketo.server.configure(unknown_program_code="610")
    assert marketo.set_status(99, "Registered", *leads)["errors"][0]["code"] == "610"


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"leadId": 5}, "1004"),
        ({"leadId": "100001"}, "1001"),
        ({"leadId": True}, "1001"),
        ({}, "1002"),
        ({"id": 100_001}, "1002"),
        ({"leadId": 100_001, "boothNotes": "x"}, "1003"),
    ],
)
def test_a_bad_row_is_skipped_alone(marketo: Marketo, row: dict[str, Any], code: str) -> None:
    (lead,) = add_leads(marketo)
    body = {"statusName": "Registered", "input": [row, {"leadId": lead}]}
    bad, good = marketo.post(f"/rest/v1/programs/{EXPO}/members/status.json", body)["result"]
    assert bad["seq"] == 0
    assert "leadId" not in bad
    assert bad["reasons"][0]["code"] == code
    assert good == {"seq": 1, "status": "created", "leadId": lead}


def test_more_than_three_hundred_rows_and_missing_members_refuse_the_call(marketo: Marketo) -> None:
    assert marketo.set_status(EXPO, "Registered", *range(301))["errors"][0]["code"] == "1003"
    assert marketo.set_status(EXPO, "", 1)["errors"][0]["code"] == "1002"
    assert marketo.set_status(EXPO, "Registered")["errors"][0]["code"] == "1002"


def test_the_same_lead_twice_is_written_once(marketo: Marketo) -> None:
    (lead,) = add_leads(marketo)
    first, second = marketo.set_status(EXPO, "Registered", lead, lead)["result"]
    assert (first["status"], second["status"]) == ("created", "skipped")


def test_member_data_is_for_members_only(marketo: Marketo) -> None:
    member, stranger = add_leads(marketo, 2)
    marketo.set_status(EXPO, "Registered", member)
    body = {
        "input": [
            {"leadId": member, "boothNotes": "asked for a demo", "vip": True},
            {"leadId": stranger, "boothNotes": "x"},
            {"leadId": 5, "boothNotes": "x"},
            {"leadId": member, "statusName": "Attended"},
            {"leadId": member, "shoeSize": 43},
            {"leadId": member, "seatNumber": "front"},
        ]
    }
    result = marketo.post(f"/rest/v1/programs/{EXPO}/members.json", body)["result"]
    assert result[0] == {"seq": 0, "status": "updated", "leadId": member}
    assert [row["reasons"][0]["code"] for row in result[1:]] == ["1013", "1004", "1003", "1006", "1001"]
    assert [row["seq"] for row in result] == list(range(6))
    assert marketo.server.state.member_fields(EXPO, member) == {
        "boothNotes": "asked for a demo",
        "vip": True,
    }
    marketo.post(f"/rest/v1/programs/{EXPO}/members.json", {"input": [{"leadId": member, "vip": None}]})
    assert marketo.server.state.member_fields(EXPO, member) == {"boothNotes": "asked for a demo"}


def test_query_shows_the_status_only_if_asked(marketo: Marketo) -> None:
    first, second, stranger = add_leads(marketo, 3)
    marketo.set_status(EXPO, "Attended", first)
    marketo.set_status(EXPO, "Registered", second)
    path = f"/rest/v1/programs/{EXPO}/members.json"
    values = f"{second},{first},{stranger}"
    answer = marketo.get(path, filterType="leadId", filterValues=values)
    assert answer["moreResult"] is False
    assert [row["leadId"] for row in answer["result"]] == [first, second]
    assert [row["seq"] for row in answer["result"]] == [0, 1]
    assert set(answer["result"][0]) == {
        "seq",
        "acquiredBy",
        "leadId",
        "membershipDate",
        "programId",
        "reachedSuccess",
    }
    assert [row["reachedSuccess"] for row in answer["result"]] == [True, False]
    asked = marketo.get(path, filterType="leadId", filterValues=values, fields="leadId,statusName")
    assert asked["result"] == [
        {"seq": 0, "leadId": first, "statusName": "Attended"},
        {"seq": 1, "leadId": second, "statusName": "Registered"},
    ]
    posted = marketo.send(
        "POST",
        path,
        params={"_method": "GET"},
        data={"filterType": "statusName", "filterValues": "Registered", "fields": "leadId"},
    )
    assert posted.json()["result"] == [{"seq": 0, "leadId": second}]


def test_query_pages_and_refuses_large_programs(marketo: Marketo) -> None:
    leads = add_leads(marketo, 5)
    marketo.set_status(EXPO, "Registered", *leads)
    path = f"/rest/v1/programs/{EXPO}/members.json"
    query = {"filterType": "statusName", "filterValues": "Registered", "batchSize": 3, "fields": "leadId"}
    page = marketo.get(path, **query)
    assert page["moreResult"] is True
    rest = marketo.get(path, **query, nextPageToken=page["nextPageToken"])
    assert [row["leadId"] for row in page["result"] + rest["result"]] == leads
    assert rest["moreResult"] is False
    marketo.server.configure(member_query_members=4)
    assert marketo.get(path, **query)["errors"][0]["code"] == "1003"
    assert marketo.get(path, filterType="leadId", filterValues=leads[0])["success"] is True
    assert marketo.get(path, filterType="trackName", filterValues="x")["errors"][0]["code"] == "1011"


def test_query_by_time_takes_a_week_at_most(marketo: Marketo) -> None:
    leads = add_leads(marketo)
    marketo.set_status(EXPO, "Registered", *leads)
    path = f"/rest/v1/programs/{EXPO}/members.json"
    fields = "leadId,updatedAt"
    (row,) = marketo.get(path, filterType="leadId", filterValues=leads[0], fields=fields)["result"]
    day = row["updatedAt"][:10]
    query = {"filterType": "updatedAt", "fields": "leadId", "endAt": f"{day}T23:59:59Z"}
    assert marketo.get(path, **query, startAt=f"{day}T00:00:00Z")["result"] == [{"seq": 0, "leadId": leads[0]}]
    too_long = marketo.get(path, **query, startAt="2020-01-01T00:00:00Z")
    assert too_long["errors"][0]["code"] == "1003"


def test_delete_means_something_else_by_1037(marketo: Marketo) -> None:
    member, stranger = add_leads(marketo, 2)
    marketo.set_status(EXPO, "Attended", member)
    body = {"input": [{"leadId": member}, {"leadId": stranger}]}
    result = marketo.post(f"/rest/v1/programs/{EXPO}/members/delete.json", body)["result"]
    assert result[0] == {"seq": 0, "status": "deleted", "leadId": member}
    assert result[1]["reasons"] == [{"code": "1037", "message": "Lead not in program"}]
    assert marketo.set_status(EXPO, "Invited", member)["result"][0]["status"] == "created"


def test_describe_members(marketo: Marketo) -> None:
    (described,) = marketo.get("/rest/v1/programs/members/describe.json")["result"]
    assert described["dedupeFields"] == ["leadId", "programId"]
    fields = {row["name"]: row for row in described["fields"]}
    assert fields["statusName"]["updateable"] is False
    assert fields["boothNotes"] == {
        "name": "boothNotes",
        "displayName": "Booth Notes",
        "dataType": "string",
        "length": 255,
        "updateable": True,
        "crmManaged": False,
    }
    assert ["leadId"] in described["searchableFields"]


def test_each_type_of_program_takes_members(marketo: Marketo) -> None:
    (lead,) = add_leads(marketo)
    types = set()
    for program in marketo.server.state.programs():
        (row,) = marketo.get(f"/rest/asset/v1/program/{program.id}.json")["result"]
        types.add((row["type"], row["url"].partition("#")[2][:2]))
        channel = marketo.get("/rest/asset/v1/channel/byName.json", name=row["channel"])["result"][0]
        statuses = channel["progressionStatuses"]
        assert statuses[0]["name"] == "Not in Program"
        assert statuses[0]["step"] == 0
        assert marketo.set_status(program.id, statuses[1]["name"], lead)["result"][0]["status"] == "created"
    assert types == {("Default", "PG"), ("Email", "EB"), ("Engagement", "NP"), ("Event", "ME")}


def test_a_program_as_documented(marketo: Marketo) -> None:
    answer = marketo.get("/rest/asset/v1/program/1004.json")
    assert answer["errors"] == []
    assert answer["warnings"] == []
    (row,) = answer["result"]
    assert row["folder"] == {"type": "Folder", "value": 512, "folderName": "Events 2026"}
    assert row["createdAt"].endswith("Z+0000")
    assert row["channel"] == "Tradeshow"
    assert row["url"].endswith("#ME1004A1")
    assert "progressionStatuses" not in row


@pytest.mark.parametrize(
    "path",
    [
        "/rest/asset/v1/program/99.json",
        "/rest/asset/v1/program/byName.json?name=None",
        "/rest/asset/v1/channel/byName.json?name=tradeshow",
        "/rest/asset/v1/folder/99.json?type=Folder",
        "/rest/asset/v1/folder/1004.json?type=Folder",
        "/rest/asset/v1/programs.json?offset=1000",
    ],
)
def test_an_asset_that_is_not_there_is_a_success_without_result(marketo: Marketo, path: str) -> None:
    answer = marketo.get(path)
    assert answer["success"] is True
    assert "result" not in answer
    assert answer["warnings"] == ["No assets found for the given search criteria."]


def test_folders_lead_to_the_archived_one(marketo: Marketo) -> None:
    folder_id = marketo.get("/rest/asset/v1/program/1007.json")["result"][0]["folder"]["value"]
    chain = []
    while folder_id is not None:
        (folder,) = marketo.get(f"/rest/asset/v1/folder/{folder_id}.json", type="Folder")["result"]
        chain.append((folder["name"], folder["isArchive"]))
        folder_id = folder["parent"]["id"] if folder["parent"] else None
    assert chain == [
        ("Second quarter", False),
        ("Events 2024", False),
        ("Old years", True),
        ("Default", False),
    ]
    named = marketo.get("/rest/asset/v1/folder/615.json", type="Folder")["result"][0]
    assert (named["name"], named["isArchive"]) == ("Archive", False)


def test_a_program_can_lie_in_a_program(marketo: Marketo) -> None:
    (mail,) = marketo.get("/rest/asset/v1/program/1009.json")["result"]
    assert mail["folder"] == {"type": "Program", "value": 1003, "folderName": "Customer onboarding"}
    (folder,) = marketo.get("/rest/asset/v1/folder/1003.json", type="Program")["result"]
    assert folder["parent"] == {"id": 513, "type": "Folder"}
    assert folder["path"] == "/Marketing Activities/Default/Nurture/Customer onboarding"
    assert marketo.get("/rest/asset/v1/folder/1003.json")["errors"][0]["code"] == "1002"


def test_browsing_pages_by_offset(marketo: Marketo) -> None:
    count = len(marketo.server.state.programs())
    first = marketo.get("/rest/asset/v1/programs.json", maxReturn=4)["result"]
    rest = marketo.get("/rest/asset/v1/programs.json", maxReturn=200, offset=4)["result"]
    assert len(first) == 4
    assert sorted({row["id"] for row in first + rest}) == [p.id for p in marketo.server.state.programs()]
    assert len(first + rest) == count
    assert marketo.get("/rest/asset/v1/programs.json", maxReturn=201)["errors"][0]["code"] == "1003"
    names = [row["name"] for row in marketo.get("/rest/asset/v1/channels.json")["result"]]
    assert "Tradeshow" in names


def test_statuses_of_a_channel_can_change_under_way(marketo: Marketo) -> None:
    (lead,) = add_leads(marketo)
    marketo.set_status(EXPO, "Registered", lead)
    marketo.server.state.add_channel("Tradeshow", (Status("Not in Program", 0), Status("Came", 10)), "event")
    assert marketo.set_status(EXPO, "Registered", lead)["errors"][0]["code"] == "1025"
    assert marketo.set_status(EXPO, "Came", lead)["result"][0]["status"] == "updated"
