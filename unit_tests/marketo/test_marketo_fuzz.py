"""Whatever Marketo answers: an answer of the promised type, or an error that says which call answered with what."""

from __future__ import annotations

import itertools
import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destination_marketo_programs.marketo.activities import Activity
from destination_marketo_programs.marketo.api import RestMarketo
from destination_marketo_programs.marketo.assets import Folder, FolderRef, FoundPrograms, Program, Status
from destination_marketo_programs.marketo.bulk_import import ImportStatus
from destination_marketo_programs.marketo.calls import Call
from destination_marketo_programs.marketo.client import MarketoClient
from destination_marketo_programs.marketo.errors import MarketoError
from destination_marketo_programs.marketo.extracts import ExtractJob
from destination_marketo_programs.marketo.leads import Action, FieldInfo, LeadDescription
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.marketo.token import Token
from destination_marketo_programs.marketo.transport import Answer, Request, Transport
from unit_tests.marketo.conftest import SimulatedClock, SimulatedGate

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.marketo.rows import RowReply

SECRET = "ada@example.org"
"""Stands for a person in every text that an answer holds."""
SINCE = datetime(2026, 11, 1, tzinfo=UTC)


def rows(replies: list[RowReply]) -> bool:
    return len(replies) == 2 and all(
        reply.status in ("", "created", "updated")
        and (reply.code is None or reply.code.isdigit())
        and (reply.lead_id is None or type(reply.lead_id) is int)
        for reply in replies
    )


def program(read: Program) -> bool:
    return all(isinstance(text, str) for text in (read.name, read.type, read.channel, read.workspace, read.url))


def statuses(read: list[Status]) -> bool:
    return all(isinstance(status.name, str) and type(status.step) is int for status in read)


def fields(read: dict[str, FieldInfo]) -> bool:
    return all(
        info.name == name and type(info.length) in (int, type(None)) and isinstance(info.updateable, bool)
        for name, info in read.items()
    )


CALLS: dict[str, tuple[Callable[[RestMarketo], Any], Callable[[Any], bool]]] = {
    "sync_leads": (
        lambda m: m.sync_leads([{"email": "a"}, {"email": "b"}], Action.CREATE_ONLY, "email"),
        rows,
    ),
    "update": (lambda m: m.sync_leads([{"id": 7}, {"id": 8}], Action.UPDATE_ONLY, "id"), rows),
    "sync_status": (lambda m: m.sync_status(1044, "Registered", [7, 8]), rows),
    "sync_data": (lambda m: m.sync_data(1044, [(7, {}), (8, {})]), rows),
    "create_import": (
        lambda m: m.create_import(1044, "Registered", b"email\n", 1),
        lambda r: isinstance(r, ImportStatus),
    ),
    "query_leads": (
        lambda m: m.query_leads("email", ["a", "b"], ["id"]),
        lambda r: all(isinstance(lead, dict) and type(lead.get("id")) in (int, type(None)) for lead in r),
    ),
    "query_members": (
        lambda m: m.query_members(1044, [7, 8], ["statusName"]),
        lambda r: all(type(key) is int and isinstance(row, dict) for key, row in r.items()),
    ),
    "activities": (
        lambda m: list(itertools.islice(m.activities([104], SINCE, [7]), 100)),
        lambda r: all(isinstance(each, Activity) and type(each.lead_id) is int for each in r),
    ),
    "import_status": (lambda m: m.import_status(7), lambda r: r.batch_id == 7),
    "create_extract": (lambda m: m.create_member_extract([1044], ["leadId"]), lambda r: isinstance(r, ExtractJob)),
    "enqueue_extract": (lambda m: m.enqueue_member_extract("e"), lambda r: isinstance(r, ExtractJob)),
    "extract_status": (lambda m: m.member_extract_status("e"), lambda r: isinstance(r.export_id, str)),
    "program": (lambda m: m.program(1044), lambda r: r is None or program(r)),
    "programs": (
        lambda m: m.programs([1044, 1051]),
        lambda r: isinstance(r, FoundPrograms) and set(r.left_open) | set(r.found) == {1044, 1051},
    ),
    "folder": (lambda m: m.folder(FolderRef("Folder", 7)), lambda r: r is None or isinstance(r, Folder)),
    "channels": (lambda m: m.channels(), lambda r: all(map(statuses, r.values()))),
    "channel": (lambda m: m.channel("Webinar"), lambda r: r is None or statuses(r)),
    "lead_fields": (lambda m: m.lead_fields(), lambda r: isinstance(r, LeadDescription) and fields(r.fields)),
    "member_fields": (lambda m: m.member_fields(), fields),
    "partitions": (lambda m: m.partitions(), lambda r: all(type(number) is int for number in r.values())),
    "calls_today": (lambda m: m.calls_today(), lambda r: type(r) is int),
}
"""Each endpoint, and what its answer is for certain."""


MEMBERS = re.findall(
    r"\w+",
    "id leadId seq status reasons reason code message name fields rest dataType length updateable readOnly displayName "
    "searchableFields step hidden success progressionStatuses type channel workspace url folder parent value isArchive "
    "users userId count total batchId importId numOfRowsFailed exportId errorMsg fileSize activityTypeId attributes "
    "primaryAttributeValueId nextPageToken",
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([0, 1, 2, 7, 8, 1044, -1, 2**70, 7.0, 0.5, "7", "8", "1044", "", "created", "updated", "Queued"]),
    st.just(SECRET),
)
anything = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from([*MEMBERS, SECRET]), inner, max_size=5)
    ),
    max_leaves=12,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "success": st.one_of(st.just(value=True), st.just(value=True), st.just(value=False), anything),
        "result": st.one_of(anything, st.lists(anything, min_size=1, max_size=2)),
        "errors": st.one_of(anything, st.lists(anything, max_size=2)),
        "requestId": st.one_of(st.just("a#1"), anything),
        "moreResult": st.one_of(st.just(value=False), anything),
        "nextPageToken": anything,
    },
)


class Scripted(Transport):
    """Answers every exchange with the next of its bodies, the last one for ever; gives up a caller without an end."""

    def __init__(self, bodies: list[bytes], status: int) -> None:
        self._bodies = bodies
        self._status = status
        self.exchanges = 0

    def exchange(self, _request: Request) -> Answer:
        self.exchanges += 1
        assert self.exchanges < 2_000, "followed for ever"
        return Answer(self._status, self._bodies[min(self.exchanges, len(self._bodies)) - 1])


def unauthorised(bodies: list[bytes], status: int = 200) -> MarketoClient:
    gate = SimulatedGate(SimulatedClock(), 10_000, 10, None)
    client = MarketoClient("https://x", "id", "secret", gate, RetryPolicy(window_seconds=5.0), jitter=lambda: 0.0)
    client._transport = client._tokens._transport = Scripted(bodies, status)
    return client


def marketo(bodies: list[bytes]) -> RestMarketo:
    client = unauthorised(bodies)
    client._tokens._token = Token("t", float("inf"), "connector-api@example.com")
    return RestMarketo(client)


def told(error: MarketoError) -> bool:
    said = str(error)
    return said.startswith("Marketo ") and SECRET not in said and error.request_id in (None, "a#1")


def judge(endpoint: str, bodies: list[bytes]) -> None:
    call, is_typed = CALLS[endpoint]
    failed: MarketoError | None = None
    answer = None
    try:
        answer = call(marketo(bodies))
    except MarketoError as error:
        failed = error
    assert is_typed(answer) if failed is None else told(failed), (answer, failed)


@pytest.mark.parametrize("endpoint", CALLS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(envelopes, min_size=1, max_size=3))
def test_any_envelope_is_a_typed_answer_or_a_told_failure(endpoint: str, answers: list[Any]) -> None:
    judge(endpoint, [json.dumps(answer).encode() for answer in answers])


GOOD: dict[str, dict[str, Any]] = {
    "sync_leads": {"result": [{"id": 7, "status": "created"}, {"status": "skipped", "reasons": [{"code": "1004"}]}]},
    "update": {"result": [{"id": 7, "status": "updated"}, {"id": 8, "status": "updated"}]},
    "sync_status": {"result": [{"seq": 0, "leadId": 7, "status": "created"}, {"seq": 1, "status": "skipped"}]},
    "sync_data": {"result": [{"seq": 0, "leadId": 7, "status": "updated"}, {"seq": 1, "status": "skipped"}]},
    "create_import": {"result": [{"batchId": 7, "status": "Queued", "message": "m", "numOfRowsFailed": 1}]},
    "query_leads": {"result": [{"id": 7}], "moreResult": False},
    "query_members": {"result": [{"leadId": 7, "statusName": "Registered"}], "moreResult": False},
    "activities": {
        "nextPageToken": "A",
        "result": [{"leadId": 7, "activityTypeId": 104, "attributes": [{"name": "Reason", "value": "x"}]}],
    },
    "import_status": {"result": [{"batchId": 7, "status": "Complete", "numOfLeadsProcessed": 3}]},
    "create_extract": {"result": [{"exportId": "e", "status": "Created"}]},
    "enqueue_extract": {"result": [{"exportId": "e", "status": "Queued"}]},
    "extract_status": {"result": [{"exportId": "e", "status": "Completed", "fileSize": 9, "fileChecksum": "sha"}]},
    "program": {"result": [{"id": 1044, "name": "n", "channel": "c", "folder": {"type": "Folder", "value": 7}}]},
    "programs": {"result": [{"id": 1044, "name": "n"}, {"id": 1051, "name": "m"}]},
    "folder": {"result": [{"name": "f", "isArchive": True, "parent": {"type": "Folder", "id": 3}}]},
    "channels": {"result": [{"name": "c", "progressionStatuses": [{"name": "s", "step": 1, "hidden": False}]}]},
    "channel": {"result": [{"name": "c", "progressionStatuses": [{"name": "s", "step": 1, "success": True}]}]},
    "lead_fields": {"result": [{"searchableFields": [["email"]], "fields": [{"name": "email", "length": 255}]}]},
    "member_fields": {"result": [{"fields": [{"name": "statusName", "updateable": False}]}]},
    "partitions": {"result": [{"id": 1, "name": "Default"}]},
    "calls_today": {"result": [{"users": [{"userId": "connector-api@example.com", "count": 3}]}]},
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(each for key, held in inner for each in places(held, (*path, key)))]


def put(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """The value with something else at a place."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = put(value[path[0]], path[1:], new)
    return copy


@pytest.mark.parametrize("endpoint", CALLS)
def test_what_is_documented_is_read(endpoint: str) -> None:
    call, is_typed = CALLS[endpoint]
    assert is_typed(call(marketo([json.dumps({"success": True, **GOOD[endpoint]}).encode()])))


ODD: tuple[Any, ...] = (
    None,
    True,
    7,
    0.5,
    "",
    "text",
    SECRET,
    [],
    [[]],
    {},
    {"a": 1},
    [7],
    [None],
    ["text"],
    2**70,
    "9" * 5_000,
)


@pytest.mark.parametrize("endpoint", CALLS)
def test_any_kind_in_any_single_member_is_a_typed_answer_or_a_told_failure(endpoint: str) -> None:
    good = {"success": True, "requestId": "a#1", **GOOD[endpoint]}
    for path, odd in itertools.product(places(good), ODD):
        judge(endpoint, [json.dumps(put(good, path, odd)).encode()])


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"[" * 100_000,
        b'{"result":' * 100_000,
        b"\xff",
        b'{"success":true,"result":[' + b"9" * 5_000,
    ],
)
def test_any_body_is_a_told_failure(endpoint: str, body: bytes) -> None:
    with pytest.raises(MarketoError):
        CALLS[endpoint][0](marketo([body]))


@pytest.mark.parametrize("endpoint", CALLS)
@pytest.mark.parametrize("again", [{"moreResult": True, "nextPageToken": "A"}, {"moreResult": True}])
def test_no_answer_is_followed_for_ever(endpoint: str, again: dict[str, Any]) -> None:
    """The same page, again and again, at the cost of the day's calls."""
    body = {"success": True, **GOOD[endpoint], **again}
    judge(endpoint, [json.dumps(body).encode()])
    page = cast("list[Any]", body["result"]) * 200
    judge(endpoint, [json.dumps(body | {"result": page}).encode()])


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(
        anything,
        st.fixed_dictionaries(
            {},
            optional={
                name: st.one_of(anything, st.just("t"), st.just(3600))
                for name in ("access_token", "expires_in", "scope", "error", "error_description")
            },
        ),
    ),
    st.sampled_from([200, 200, 200, 400, 401, 403, 500]),
)
def test_any_answer_of_the_identity_service_is_a_token_or_a_told_failure(body: Any, status: int) -> None:
    client = unauthorised([json.dumps(body).encode()], status)
    failed: MarketoError | None = None
    try:
        client.send(Call("usage", "GET", "/x"))
    except MarketoError as error:
        failed = error
    assert failed is None or told(failed)
    assert isinstance(client.api_user, str)
