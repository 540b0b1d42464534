"""Requests and answers of each endpoint, in the shapes of Adobe's documentation and its odd ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from destination_marketo_programs.marketo.assets import (
    Folder,
    FolderRef,
    FoundPrograms,
    Program,
    Status,
    find_programs,
    get_folder,
    get_program,
    list_channels,
)
from destination_marketo_programs.marketo.errors import (
    AnswerMisfitError,
    ConfigurationFaultError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    TooLargeError,
    UnreachableError,
)
from destination_marketo_programs.marketo.leads import (
    Action,
    FieldInfo,
    LeadFields,
    describe_leads,
    list_partitions,
    query_leads,
    read_field,
    row_bytes,
    rows_body,
    sync_leads,
)
from destination_marketo_programs.marketo.members import describe_members, query_members, sync_data, sync_status
from destination_marketo_programs.marketo.usage import calls_today

if TYPE_CHECKING:
    from unit_tests.marketo.conftest import Api

LEADS = "/rest/v1/leads.json"
STATUS = "/rest/v1/programs/1044/members/status.json"
MEMBERS = "/rest/v1/programs/1044/members.json"


def success(result: Any = None, **members: Any) -> dict[str, Any]:
    return {"json": {"requestId": "a#1", "success": True, "result": result or [], **members}}


def failure(code: str) -> dict[str, Any]:
    return {"json": {"requestId": "a#2", "success": False, "errors": [{"code": code, "message": "text"}]}}


def query_of(call: Any) -> dict[str, str]:
    query = parse_qs(call.text if call.method == "POST" else urlsplit(call.url).query)
    return {name: value for name, (value,) in query.items()}


# --- Sync Leads ----------------------------------------------------------------------------------------------

ROWS = [{"email": "ada@example.org", "firstName": "Ada"}, {"email": "bob@example.org"}]
BY_ID: list[LeadFields] = [{"id": 7, "firstName": "Ada"}, {"id": 8}]
FITTING = [{"id": 7, "status": "created"}, {"status": "skipped", "reasons": [{"code": "1007", "message": "Multiple"}]}]


def test_sync_leads_sends_and_reads_what_adobe_documents(api: Api) -> None:
    api.answers("POST", LEADS, success(FITTING))
    created, skipped = sync_leads(api.client, ROWS, Action.CREATE_OR_UPDATE, "email", "EMEA")
    assert json.loads(api.calls[0].text) == {
        "action": "createOrUpdate",
        "lookupField": "email",
        "partitionName": "EMEA",
        "input": ROWS,
    }
    assert (created.status, created.lead_id, created.request_id) == ("created", 7, "a#1")
    assert (skipped.status, skipped.lead_id, skipped.code, skipped.message) == ("", None, "1007", "Multiple")


@pytest.mark.parametrize(
    ("action", "partition", "sent"),
    [
        (Action.CREATE_OR_UPDATE, "", None),
        (Action.CREATE_ONLY, "EMEA", "EMEA"),
        (Action.UPDATE_ONLY, "EMEA", None),
    ],
)
def test_a_partition_goes_only_with_calls_that_may_create(
    api: Api, action: str, partition: str, sent: str | None
) -> None:
    """Adobe: `partitionName` works with createOnly and createOrUpdate."""
    api.answers("POST", LEADS, success(FITTING))
    sync_leads(api.client, ROWS, action, "email", partition)
    assert json.loads(api.calls[0].text).get("partitionName") == sent


@pytest.mark.parametrize("action", [Action.CREATE_OR_UPDATE, Action.CREATE_ONLY])
@pytest.mark.parametrize("rows", [FITTING[:1], [*FITTING, FITTING[0]], None])
def test_a_create_with_an_answer_that_does_not_fit_is_unknown_and_not_repeated(
    api: Api, action: str, rows: list[Any] | None
) -> None:
    api.answers("POST", LEADS, success(rows))
    began = api.clock.now
    with pytest.raises(OutcomeUnknownError) as raised:
        sync_leads(api.client, ROWS, action, "email")
    assert len(api.calls) == 1
    assert raised.value.sent_at >= began
    assert raised.value.request_id == "a#1"


def test_an_update_with_an_answer_that_does_not_fit_is_asked_for_again(api: Api) -> None:
    api.answers("POST", LEADS, success(FITTING[:1]), success(FITTING))
    assert len(sync_leads(api.client, BY_ID, Action.UPDATE_ONLY, "id")) == 2
    assert len(api.calls) == 2


def test_answers_that_never_fit_end_the_sync_and_reject_nobody(api: Api) -> None:
    api.answers("POST", LEADS, success(FITTING[:1]))
    with pytest.raises(AnswerMisfitError) as raised:
        sync_leads(api.client, BY_ID, Action.UPDATE_ONLY, "id")
    assert str(raised.value) == "Marketo sync_leads: the answer cannot be used: 1 answers for 2 records, request a#1"
    assert len(api.calls) == 3


def test_a_lost_create_counts_from_its_last_try(api: Api) -> None:
    """Refused twice and then answered oddly: it may be running since the third try, not since the first."""
    busy = {"json": {"success": False, "errors": [{"code": "608"}]}}
    api.answers("POST", LEADS, busy, busy, success(FITTING[:1]))
    began = api.clock.now
    with pytest.raises(OutcomeUnknownError) as raised:
        sync_leads(api.client, ROWS, Action.CREATE_ONLY, "email")
    assert raised.value.sent_at == began + sum(api.gate.pauses) > began


def test_an_update_by_id_answered_for_another_lead_is_told_for_that_row_alone(api: Api) -> None:
    api.answers("POST", LEADS, success([{"id": 7, "status": "updated"}, {"id": 99, "status": "updated"}]))
    first, merged = sync_leads(api.client, BY_ID, Action.UPDATE_ONLY, "id")
    assert (first.status, merged.status, merged.other_lead) == ("updated", "", 99)
    assert len(api.calls) == 1


@pytest.mark.parametrize("rows", [1, 2])
def test_what_marketo_would_refuse_as_too_long_is_not_sent(api: Api, rows: int) -> None:
    people = [{"email": f"{number}@example.org", "note": "n" * 949_960} for number in range(rows)]
    with pytest.raises(TooLargeError) as raised:
        sync_leads(api.client, people, Action.CREATE_OR_UPDATE, "email")
    assert raised.value.code == "HTTP 413"
    assert api.mocker.request_history == []


def test_a_row_weighs_what_it_adds_to_a_body(api: Api) -> None:
    api.answers("POST", LEADS, success(FITTING))
    sync_leads(api.client, ROWS, Action.CREATE_OR_UPDATE, "email")
    empty = len(rows_body("sync_leads", {"action": "createOrUpdate", "lookupField": "email"}, []))
    assert len(api.calls[0].body) == empty + sum(map(row_bytes, ROWS)) - 1


def test_half_a_character_is_refused_without_a_traceback(api: Api) -> None:
    with pytest.raises(RefusedError):
        sync_leads(api.client, [{"email": "a@example.org", "x": "\ud800"}], Action.CREATE_OR_UPDATE, "email")
    api.answers("GET", LEADS, success())
    assert query_leads(api.client, "email", ["\ud800@example.org"], ["id"]) == []


# --- Get Leads -----------------------------------------------------------------------------------------------


def test_query_leads_reads_every_page(api: Api) -> None:
    api.answers(
        "GET",
        LEADS,
        success([{"id": 1}], moreResult=True, nextPageToken="A=="),
        success([{"id": 2}], moreResult=True, nextPageToken="B+/="),
        success([{"id": 3}], moreResult=False, nextPageToken="C=="),
    )
    found = query_leads(api.client, "email", ["a@x.org", "b@x.org"], ["id", "updatedAt"])
    assert [lead["id"] for lead in found] == [1, 2, 3]
    assert [query_of(call).get("nextPageToken") for call in api.calls] == [None, "A==", "B+/="]
    assert query_of(api.calls[0]) == {
        "filterType": "email",
        "filterValues": "a@x.org,b@x.org",
        "fields": "id,updatedAt",
        "batchSize": "300",
    }


@pytest.mark.parametrize(
    "members",
    [{}, {"moreResult": False}, {"nextPageToken": "A=="}, {"moreResult": True}, {"moreResult": None}],
)
def test_a_page_that_names_no_next_one_is_the_last(api: Api, members: dict[str, Any]) -> None:
    api.answers("GET", LEADS, success([{"id": 1}], **members))
    assert query_leads(api.client, "email", ["a@x.org"], ["id"]) == [{"id": 1}]
    assert len(api.calls) == 1


@pytest.mark.parametrize("answer", [success(), failure("702"), {"json": {"success": True}}])
def test_nobody_found_is_no_error(api: Api, answer: dict[str, Any]) -> None:
    api.answers("GET", LEADS, answer)
    assert query_leads(api.client, "email", ["a@x.org"], ["id"]) == []


def test_a_resource_that_is_not_there_is_not_taken_for_nobody_found(api: Api) -> None:
    """Otherwise a wrong path would make every person look new."""
    api.answers("GET", LEADS, failure("610"))
    with pytest.raises(NotFoundError):
        query_leads(api.client, "email", ["a@x.org"], ["id"])


def test_values_that_too_many_leads_match_are_halved_until_they_are_few(api: Api) -> None:
    """Somebody's shared address may stand for more than 1,000 leads, and the others in the query must not suffer."""
    values = [f"{number}@x.org" for number in range(7)]

    def answer(request: Any, _context: Any) -> dict[str, Any]:
        asked = query_of(request)["filterValues"].split(",")
        if len(asked) > 2:
            body: dict[str, Any] = failure("1003")["json"]
            return body
        return {"success": True, "result": [{"email": value} for value in asked]}

    api.answers_by("GET", LEADS, answer)
    found = query_leads(api.client, "email", values, ["email"])
    assert [lead["email"] for lead in found] == values


def test_one_value_that_too_many_leads_match_is_refused(api: Api) -> None:
    api.answers("GET", LEADS, failure("1003"))
    with pytest.raises(RefusedError) as raised:
        query_leads(api.client, "email", ["a@x.org"], ["id"])
    assert raised.value.code == "1003"
    assert len(api.calls) == 1


def test_three_hundred_addresses_are_asked_for_in_one_call(api: Api) -> None:
    values = [f"a.rather.long.name.{number}@subsidiary.example.org" for number in range(300)]
    api.answers("POST", LEADS, success())
    query_leads(api.client, "email", values, ["id", "email", "updatedAt"])
    (call,) = api.calls
    assert urlsplit(call.url).query == "_method=GET"
    assert query_of(call)["filterValues"] == ",".join(values)


@pytest.mark.parametrize("tokens", [["A"], ["A", "B"], ["A", "B", "C", "D"]])
def test_pages_that_begin_anew_are_noticed(api: Api, tokens: list[str]) -> None:
    """Followed for ever, they would cost the day's calls."""
    endless = [success([{"id": 1}], moreResult=True, nextPageToken=token) for token in tokens]
    api.answers("GET", LEADS, *endless, *endless)
    with pytest.raises(AnswerMisfitError, match="names a page that was read before"):
        query_leads(api.client, "email", ["a@x.org"], ["id"])
    assert len(api.calls) == len(tokens) + 1


def test_pages_that_never_end_are_noticed_as_well(api: Api) -> None:
    def page(_request: Any, _context: Any) -> dict[str, Any]:
        return {"success": True, "result": [], "moreResult": True, "nextPageToken": str(len(api.calls))}

    api.answers_by("GET", MEMBERS, page)
    with pytest.raises(AnswerMisfitError, match="more than 50 pages"):
        query_members(api.client, 1044, [5], ["statusName"])
    assert len(api.calls) == 50


# --- Describe Lead -------------------------------------------------------------------------------------------


def test_describe_2_gives_fields_and_what_can_be_looked_up_by(api: Api) -> None:
    described = {
        "name": "API Lead",
        "searchableFields": [["email"], ["externalId_c"], ["first", "second"], "sfdcLeadId", []],
        "fields": [
            {"name": "email", "dataType": "email", "length": 255, "updateable": True},
            {"name": "createdAt", "dataType": "datetime", "updateable": False},
            {"displayName": "no name"},
        ],
    }
    api.answers("GET", "/rest/v1/leads/describe2.json", success([described]))
    description = describe_leads(api.client)
    assert description.fields == {
        "email": FieldInfo("email", "email", 255, updateable=True),
        "createdAt": FieldInfo("createdAt", "datetime", None, updateable=False),
    }
    assert description.searchable is not None
    assert set(description.searchable) == {"email", "externalId_c", "sfdcLeadId"}


@pytest.mark.parametrize("answer", [failure("610"), failure("702"), {"status_code": 404}])
def test_an_instance_without_describe_2_is_asked_the_old_way(api: Api, answer: dict[str, Any]) -> None:
    rows = [
        {
            "id": 2,
            "displayName": "Email",
            "dataType": "email",
            "length": 255,
            "rest": {"name": "email", "readOnly": False},
        },
        {"id": 3, "dataType": "datetime", "rest": {"name": "createdAt", "readOnly": True}},
        {"id": 4, "displayName": "SOAP only", "dataType": "string", "soap": {"name": "X", "readOnly": False}},
    ]
    api.answers("GET", "/rest/v1/leads/describe2.json", answer)
    api.answers("GET", "/rest/v1/leads/describe.json", success(rows))
    description = describe_leads(api.client)
    assert {name: field.updateable for name, field in description.fields.items()} == {"email": True, "createdAt": False}
    assert description.searchable is None


@pytest.mark.parametrize(
    ("field", "info"),
    [
        ({"name": "a"}, FieldInfo("a", "string", None, updateable=True)),
        ({"name": "a", "dataType": None, "length": "255"}, FieldInfo("a", "string", 255, updateable=True)),
        ({"rest": {"name": "a"}}, FieldInfo("a", "string", None, updateable=True)),
        (
            {"name": "displayed", "rest": {"name": "a", "readOnly": True}},
            FieldInfo("a", "string", None, updateable=False),
        ),
        ({"name": ""}, None),
        ({"rest": {}}, None),
    ],
)
def test_a_field_is_read_from_either_shape(field: Any, info: FieldInfo | None) -> None:
    assert read_field(field) == info


def test_partitions_by_name(api: Api) -> None:
    rows = [{"id": 1, "name": "Default", "description": "x"}, {"id": 4, "name": "EMEA"}]
    api.answers("GET", "/rest/v1/leads/partitions.json", success(rows))
    assert list_partitions(api.client) == {"Default": 1, "EMEA": 4}


# --- members -------------------------------------------------------------------------------------------------


def test_sync_status_sends_and_reads_what_adobe_documents(api: Api) -> None:
    rows = [
        {"seq": 1, "status": "updated", "leadId": 40217},
        {"seq": 0, "status": "skipped", "reasons": [{"code": "1037", "message": "already in or past"}]},
        {"seq": 2, "status": "created", "leadId": 77001},
    ]
    api.answers("POST", STATUS, success(rows))
    replies = sync_status(api.client, 1044, "Registered", [1188, 40217, 77001])
    assert json.loads(api.calls[0].text) == {
        "statusName": "Registered",
        "input": [{"leadId": 1188}, {"leadId": 40217}, {"leadId": 77001}],
    }
    assert [(reply.status, reply.lead_id, reply.code) for reply in replies] == [
        ("", None, "1037"),
        ("updated", 40217, None),
        ("created", 77001, None),
    ]


@pytest.mark.parametrize("kind", ["status", "data"])
def test_answers_of_members_that_do_not_fit_are_asked_for_again_and_then_end_the_sync(api: Api, kind: str) -> None:
    one_row = success([{"seq": 0, "status": "updated", "leadId": 5}])
    two_rows = success([{"seq": 0, "status": "updated", "leadId": 5}, {"seq": 1, "status": "updated", "leadId": 6}])

    def send() -> int:
        if kind == "status":
            return len(sync_status(api.client, 1044, "Registered", [5, 6]))
        return len(sync_data(api.client, 1044, [(5, {"a": 1}), (6, {"a": None})]))

    path = STATUS if kind == "status" else MEMBERS
    api.answers("POST", path, one_row, one_row, two_rows)
    assert send() == 2
    api.answers("POST", path, one_row)
    with pytest.raises(UnreachableError):
        send()
    assert len(api.calls) == 6


def test_membership_writes_may_be_repeated(api: Api) -> None:
    """Nobody becomes a member twice, and no status goes backwards."""
    api.answers("POST", STATUS, {"status_code": 502}, success([{"seq": 0, "status": "created", "leadId": 5}]))
    assert sync_status(api.client, 1044, "Registered", [5])[0].status == "created"


def test_sync_data_sends_fields_beside_the_lead(api: Api) -> None:
    api.answers("POST", MEMBERS, success([{"seq": 0, "status": "updated", "leadId": 5}]))
    sync_data(api.client, 1044, [(5, {"registrationCode": "R-17", "note": None})])
    assert json.loads(api.calls[0].text) == {"input": [{"leadId": 5, "registrationCode": "R-17", "note": None}]}


def test_query_members_asks_for_what_it_needs_and_reads_every_page(api: Api) -> None:
    api.answers(
        "GET",
        MEMBERS,
        success([{"seq": 0, "leadId": 5, "statusName": "Registered"}], moreResult=True, nextPageToken="A=="),
        success([{"seq": 0, "leadId": 6, "statusName": "Attended"}], moreResult=False),
    )
    members = query_members(api.client, 1044, [5, 6, 7], ["statusName"])
    assert {lead_id: member["statusName"] for lead_id, member in members.items()} == {5: "Registered", 6: "Attended"}
    first, second = (query_of(call) for call in api.calls)
    assert first == {
        "filterType": "leadId",
        "filterValues": "5,6,7",
        "fields": "leadId,statusName",
        "batchSize": "300",
    }
    assert second["nextPageToken"] == "A=="


@pytest.mark.parametrize(("code", "found"), [("702", True), ("610", False)])
def test_no_members_is_told_from_no_program(api: Api, code: str, *, found: bool) -> None:
    api.answers("GET", MEMBERS, failure(code))
    if found:
        assert query_members(api.client, 1044, [5], ["statusName"]) == {}
    else:
        with pytest.raises(NotFoundError):
            query_members(api.client, 1044, [5], ["statusName"])


def test_member_fields_are_read_from_describe(api: Api) -> None:
    described = {
        "name": "API Program Membership",
        "dedupeFields": ["leadId", "programId"],
        "fields": [
            {"name": "statusName", "dataType": "string", "length": 255, "updateable": False},
            {"name": "registrationCode", "dataType": "string", "length": 100, "updateable": True},
        ],
    }
    api.answers("GET", "/rest/v1/programs/members/describe.json", success([described, {"fields": None}]))
    assert {name: field.updateable for name, field in describe_members(api.client).items()} == {
        "statusName": False,
        "registrationCode": True,
    }


# --- assets --------------------------------------------------------------------------------------------------

PROGRAMS = "/rest/asset/v1/programs.json"
PROGRAM = {
    "id": 1044,
    "name": "Webinar Autumn",
    "type": "Event",
    "channel": "Webinar",
    "folder": {"type": "Folder", "value": 512, "folderName": "Events"},
    "status": "",
    "workspace": "Default",
    "costs": None,
}


def test_a_program_is_read(api: Api) -> None:
    api.answers("GET", "/rest/asset/v1/program/1044.json", success([PROGRAM]))
    assert get_program(api.client, 1044) == Program(
        1044, "Webinar Autumn", "Event", "Webinar", "Default", FolderRef("Folder", 512)
    )


def named_in(call: Any) -> set[int]:
    return set(map(int, query_of(call)["filterValues"].split(",")))


def test_many_programs_are_read_in_one_call(api: Api) -> None:
    api.answers(
        "GET", PROGRAMS, success([PROGRAM, PROGRAM | {"id": 1051, "url": "https://app-x.marketo.com/#ME1051A1"}])
    )
    found = find_programs(api.client, [1051, 1044, 1051, 9999])
    assert {number: program.url for number, program in found.found.items()} == {
        1044: "",
        1051: "https://app-x.marketo.com/#ME1051A1",
    }
    assert found.left_open == [9999]
    (call,) = api.calls
    assert query_of(call) == {"filterType": "id", "filterValues": "1044,1051,9999", "maxReturn": "200"}


def test_more_programs_than_a_page_holds_take_more_calls(api: Api) -> None:
    def answer(request: Any, _context: Any) -> dict[str, Any]:
        return {"success": True, "result": [PROGRAM | {"id": number} for number in named_in(request)]}

    api.answers_by("GET", PROGRAMS, answer)
    found = find_programs(api.client, range(1000, 1450))
    assert sorted(found.found) == list(range(1000, 1450))
    assert found.left_open == []
    assert [len(named_in(call)) for call in api.calls] == [200, 200, 50]


def test_a_filter_that_marketo_ignores_is_noticed(api: Api) -> None:
    """Then the answer is the first of all the instance's programs; following it would read thousands."""
    api.answers("GET", PROGRAMS, success([PROGRAM, *(PROGRAM | {"id": number} for number in range(1, 200))]))
    found = find_programs(api.client, [1044, *range(2000, 2300)])
    assert list(found.found) == [1044]
    assert found.left_open == list(range(2000, 2300))
    assert len(api.calls) == 1


QUERY_REFUSED = [
    *map(failure, ("1003", "702", "610", "605", "616", "703")),
    {"status_code": 400},
    {"status_code": 405},
    success(),
    success([{"name": "no id"}]),
    success(["no program"]),
]


@pytest.mark.parametrize("answer", QUERY_REFUSED)
def test_a_query_for_programs_that_marketo_refuses_leaves_them_all_open(api: Api, answer: dict[str, Any]) -> None:
    api.answers("GET", PROGRAMS, answer)
    assert find_programs(api.client, [1044, 1051]) == FoundPrograms({}, [1044, 1051])


def test_a_query_for_programs_that_is_not_allowed_says_so(api: Api) -> None:
    for answer in (failure("603"), {"status_code": 403}):
        api.answers("GET", PROGRAMS, answer)
        with pytest.raises(ConfigurationFaultError):
            find_programs(api.client, [1044])


@pytest.mark.parametrize(
    ("folder", "reference"),
    [
        ({"type": "Program", "value": 7}, FolderRef("Program", 7)),
        ({"type": "Folder", "id": 7}, FolderRef("Folder", 7)),
        ({"value": 7}, FolderRef("Folder", 7)),
        ({"value": None}, None),
        ({"value": "7"}, FolderRef("Folder", 7)),
        (None, None),
    ],
)
def test_the_folder_of_a_program_is_read_from_samples_and_schema(
    api: Api, folder: Any, reference: FolderRef | None
) -> None:
    api.answers("GET", "/rest/asset/v1/program/1044.json", success([PROGRAM | {"folder": folder}]))
    program = get_program(api.client, 1044)
    assert program is not None
    assert program.folder == reference


@pytest.mark.parametrize(
    "answer",
    [
        {"json": {"success": True, "warnings": ["No assets found for the given search criteria."]}},
        success([]),
        {"json": {"success": True, "result": None}},
        failure("702"),
        failure("610"),
        {"status_code": 404},
    ],
)
def test_an_asset_that_is_not_there_is_none_in_every_form(api: Api, answer: dict[str, Any]) -> None:
    api.answers("GET", "/rest/asset/v1/program/9.json", answer)
    api.answers("GET", "/rest/asset/v1/folder/9.json", answer)
    assert get_program(api.client, 9) is None
    assert get_folder(api.client, FolderRef("Folder", 9)) is None


def test_an_asset_that_may_not_be_seen_is_not_taken_for_missing(api: Api) -> None:
    api.answers("GET", "/rest/asset/v1/program/9.json", failure("603"))
    with pytest.raises(ConfigurationFaultError):
        get_program(api.client, 9)


@pytest.mark.parametrize(("archived", "read"), [(True, True), (False, False), (None, False)])
def test_a_folder_is_asked_for_by_type_and_says_whether_it_is_archived(api: Api, archived: Any, *, read: bool) -> None:
    row = {"name": "Archive", "isArchive": archived, "parent": {"id": 3, "type": "Folder"}}
    api.answers("GET", "/rest/asset/v1/folder/512.json", success([row]))
    assert get_folder(api.client, FolderRef("Program", 512)) == Folder(
        "Archive", archived=read, parent=FolderRef("Folder", 3)
    )
    assert parse_qs(urlsplit(api.calls[0].url).query) == {"type": ["Program"]}


def channel(name: str) -> dict[str, Any]:
    return {"id": 9, "name": name, "progressionStatuses": [{"name": "Registered", "step": 20}]}


def test_channels_are_read_page_by_page_until_one_is_not_full(api: Api) -> None:
    full = [channel(f"Channel {number}") for number in range(200)]
    api.answers("GET", "/rest/asset/v1/channels.json", success(full), success([channel("Last")]))
    channels = list_channels(api.client)
    assert len(channels) == 201
    assert [parse_qs(urlsplit(call.url).query)["offset"] for call in api.calls] == [["0"], ["200"]]


@pytest.mark.parametrize("end", [success([]), {"json": {"success": True}}, failure("702")])
def test_channels_that_fill_their_last_page_end_all_the_same(api: Api, end: dict[str, Any]) -> None:
    full = [channel(f"Channel {number}") for number in range(200)]
    api.answers("GET", "/rest/asset/v1/channels.json", success(full), end)
    assert len(list_channels(api.client)) == 200
    assert len(api.calls) == 2


def test_channels_that_come_again_and_again_are_noticed(api: Api) -> None:
    """An `offset` that is ignored would be followed for ever."""
    api.answers("GET", "/rest/asset/v1/channels.json", success([channel(f"Channel {number}") for number in range(200)]))
    with pytest.raises(AnswerMisfitError, match="only channels that were read before"):
        list_channels(api.client)
    assert len(api.calls) == 2


def test_statuses_carry_what_progression_needs(api: Api) -> None:
    statuses = [
        {"name": "Not in Program", "step": 0, "description": None, "hidden": False, "success": False},
        {"name": "Attended", "step": 40, "hidden": True, "success": True, "type": "x"},
        {"name": "No step"},
        {"name": "Null step", "step": None, "hidden": None},
        {"name": "Step as text", "step": "30"},
    ]
    rows = [{"name": "Webinar", "progressionStatuses": statuses}, {"name": "Empty"}]
    api.answers("GET", "/rest/asset/v1/channels.json", success(rows))
    assert list_channels(api.client) == {
        "Webinar": [
            Status("Not in Program", 0, hidden=False, success=False),
            Status("Attended", 40, hidden=True, success=True),
            Status("No step", 0, hidden=False, success=False),
            Status("Null step", 0, hidden=False, success=False),
            Status("Step as text", 30, hidden=False, success=False),
        ],
        "Empty": [],
    }


# --- usage ---------------------------------------------------------------------------------------------------


def usage(users: Any, total: Any = 4120) -> dict[str, Any]:
    return success([{"date": "2026-08-20", "total": total, "users": users}])


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (
            usage(
                [{"userId": "other@example.com", "count": 220}, {"userId": "connector-api@example.com", "count": 39}]
            ),
            39,
        ),
        (usage([{"userId": "Connector-API@example.com", "count": 39}]), 39),
        (usage([{"userId": "other@example.com", "count": 220}]), 0),
        (usage([]), 0),
        (usage(None), 0),
        (usage([{"count": 3}, {"userId": None, "count": 4}]), 0),
        (success([]), 0),
        ({"json": {"success": True}}, 0),
    ],
)
def test_calls_of_this_api_user_are_counted(api: Api, answer: dict[str, Any], count: int) -> None:
    """Others have their own budget: the total of the instance is not ours."""
    api.answers("GET", "/rest/v1/stats/usage.json", answer)
    assert calls_today(api.client) == count


def test_without_a_name_for_the_api_user_everybody_counts(api: Api) -> None:
    """Too many is safe, none is not: the budget would be exceeded."""
    api.identity({"json": {"access_token": "t", "expires_in": 3600}})
    api.answers("GET", "/rest/v1/stats/usage.json", usage([{"userId": "other@example.com", "count": 220}]))
    assert calls_today(api.client) == 4120
