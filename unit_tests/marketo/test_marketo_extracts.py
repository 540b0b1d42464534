"""What reconciliation reads: extracts of members, and activities."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from destination_marketo_programs.marketo.activities import CHANGE_STATUS_IN_PROGRESSION, Activity, list_activities
from destination_marketo_programs.marketo.errors import (
    AnswerMisfitError,
    ExportQuotaReachedError,
    ExtractQueueFullError,
    MarketoError,
    NotFoundError,
    RefusedError,
)
from destination_marketo_programs.marketo.extracts import (
    ExtractJob,
    ExtractState,
    cancel_extract,
    create_extract,
    enqueue_extract,
    extract_file,
    extract_status,
)

if TYPE_CHECKING:
    from unit_tests.marketo.conftest import Api

EXPORT = "/bulk/v1/program/members/export"
CREATE, ENQUEUE = f"{EXPORT}/create.json", f"{EXPORT}/e-1/enqueue.json"
STATUS, FILE = f"{EXPORT}/e-1/status.json", f"{EXPORT}/e-1/file.json"


def success(*result: Any, **members: Any) -> dict[str, Any]:
    return {"json": {"requestId": "a#1", "success": True, "result": list(result), **members}}


def failure(code: str, message: str = "text") -> dict[str, Any]:
    return {"json": {"requestId": "a#2", "success": False, "errors": [{"code": code, "message": message}]}}


def job(state: str, **members: Any) -> dict[str, Any]:
    return success({"exportId": "e-1", "status": state, "format": "CSV", **members})


QUEUE_FULL = failure("1029", "Too many jobs in queue")
QUOTA = failure("1029", "Export daily quota 500MB exceeded.")
ALREADY = failure("1029", "Job already queued")


def test_an_extract_is_described_queued_asked_about_and_taken_back(api: Api) -> None:
    api.answers("POST", CREATE, job("Created"))
    api.answers("POST", ENQUEUE, job("Queued"))
    api.answers("POST", f"{EXPORT}/e-1/cancel.json", job("Cancelled"))
    done = {"numberOfRecords": 122_323, "fileSize": 9_000_000, "fileChecksum": "sha256:ab"}
    api.answers("GET", STATUS, job("Processing"), job("Completed", **done), job("Failed", errorMsg="no"))
    assert create_extract(api.client, [1044, 1051], ["leadId", "statusName"]) == ExtractJob("e-1", ExtractState.CREATED)
    assert json.loads(api.calls[0].text) == {
        "format": "CSV",
        "fields": ["leadId", "statusName"],
        "filter": {"programIds": [1044, 1051]},
    }
    assert enqueue_extract(api.client, "e-1").state == ExtractState.QUEUED
    assert extract_status(api.client, "e-1").state == ExtractState.PROCESSING
    assert extract_status(api.client, "e-1") == ExtractJob("e-1", "Completed", 122_323, 9_000_000, "sha256:ab")
    assert extract_status(api.client, "e-1").message == "no"
    assert cancel_extract(api.client, "e-1").state == ExtractState.CANCELLED


def test_an_extract_can_be_made_by_a_connection_for_reading(api: Api) -> None:
    """A job changes no lead, program or membership."""
    reading = api.new_client(read_only=True)
    api.answers("POST", CREATE, job("Created"))
    api.answers("POST", ENQUEUE, job("Queued"))
    enqueue_extract(reading, create_extract(reading, [1044], ["leadId"]).export_id)
    assert len(api.calls) == 2


def test_a_full_queue_is_waited_for_and_then_told_as_that(api: Api) -> None:
    api.answers("POST", CREATE, QUEUE_FULL, QUEUE_FULL, job("Created"))
    assert create_extract(api.client, [1044], ["leadId"]).export_id == "e-1"
    assert len(api.gate.pauses) == 2
    api.answers("POST", CREATE, QUEUE_FULL)
    began = api.clock.now
    with pytest.raises(ExtractQueueFullError) as raised:
        create_extract(api.client, [1044], ["leadId"])
    assert raised.value.code == "1029"
    assert api.clock.now - began >= 120


def test_a_daily_quota_that_is_used_up_is_told_at_once(api: Api) -> None:
    api.answers("POST", CREATE, QUOTA)
    api.answers("POST", ENQUEUE, QUOTA)
    with pytest.raises(ExportQuotaReachedError):
        create_extract(api.client, [1044], ["leadId"])
    with pytest.raises(ExportQuotaReachedError):
        enqueue_extract(api.client, "e-1")
    assert len(api.calls) == 2


def test_a_job_that_is_queued_already_is_queued(api: Api) -> None:
    """The answer to the first try may have been lost."""
    api.answers("POST", ENQUEUE, {"status_code": 502}, ALREADY)
    api.answers("GET", STATUS, job("Queued"))
    assert enqueue_extract(api.client, "e-1") == ExtractJob("e-1", "Queued")


def test_a_filter_that_the_subscription_does_not_have_is_told_at_once(api: Api) -> None:
    api.answers("POST", CREATE, failure("1035", "Unsupported filter type"))
    with pytest.raises(RefusedError) as raised:
        create_extract(api.client, [1044], ["leadId"])
    assert (type(raised.value), raised.value.code) == (RefusedError, "1035")
    assert len(api.calls) == 1


@pytest.mark.parametrize("answer", [success(), success({"status": "Created"}), success({"exportId": 7, "status": "x"})])
def test_an_answer_that_describes_no_job_is_said(api: Api, answer: dict[str, Any]) -> None:
    api.answers("POST", CREATE, answer)
    with pytest.raises(AnswerMisfitError, match="create_extract"):
        create_extract(api.client, [1044], ["leadId"])


def test_the_file_comes_in_pieces_and_is_fetched_again_if_the_connection_breaks(api: Api) -> None:
    content = b"leadId,statusName\n" + b"".join(b"%d,Registered\n" % number for number in range(200_000))
    api.answers("GET", FILE, {"status_code": 502}, {"content": content})
    pieces = list(extract_file(api.client, "e-1"))
    assert b"".join(pieces) == content
    assert max(map(len, pieces)) <= 65_536


@pytest.mark.parametrize(("answer", "error"), [(failure("610"), NotFoundError), (success(), AnswerMisfitError)])
def test_an_envelope_in_place_of_the_file_is_told(api: Api, answer: dict[str, Any], error: type[MarketoError]) -> None:
    api.answers("GET", FILE, answer)
    with pytest.raises(error):
        list(extract_file(api.client, "e-1"))


# --- activities ----------------------------------------------------------------------------------------------

ROW = {
    "id": 1,
    "leadId": 5,
    "activityDate": "2026-11-20T10:00:00Z",
    "activityTypeId": 104,
    "primaryAttributeValueId": 1044,
    "primaryAttributeValue": "Webinar Autumn",
    "attributes": [{"name": "New Status", "value": "Not in Program"}, {"name": "Old Status ID", "value": 7}],
}
MOVED = Activity(
    5,
    104,
    "2026-11-20T10:00:00Z",
    1044,
    "Webinar Autumn",
    {"New Status": "Not in Program", "Old Status ID": 7},
)
TOKEN, ACTIVITIES = "/rest/v1/activities/pagingtoken.json", "/rest/v1/activities.json"


def query_of(call: Any) -> dict[str, str]:
    return {name: value for name, (value,) in parse_qs(urlsplit(call.url).query).items()}


def test_activities_are_read_from_a_time_on_past_empty_pages(api: Api) -> None:
    """Marketo looks through 300 entries of all types for each page: none of this type is no end."""
    api.answers("GET", TOKEN, {"json": {"success": True, "nextPageToken": "T0"}})
    api.answers(
        "GET",
        ACTIVITIES,
        {"json": {"success": True, "nextPageToken": "T1", "moreResult": True}},
        success(ROW, nextPageToken="T2", moreResult=True),
        success(nextPageToken="T3", moreResult=False),
    )
    since = datetime(2026, 11, 20, 12, tzinfo=timezone(timedelta(hours=2)))
    assert list(list_activities(api.client, [CHANGE_STATUS_IN_PROGRESSION], since, [5, 6])) == [MOVED]
    token, *reads = map(query_of, api.calls)
    assert token == {"sinceDatetime": "2026-11-20T12:00:00+02:00"}
    assert [read["nextPageToken"] for read in reads] == ["T0", "T1", "T2"]
    assert {(read["activityTypeIds"], read["leadIds"]) for read in reads} == {("104", "5,6")}


def test_activities_of_everybody_name_no_lead(api: Api) -> None:
    api.answers("GET", TOKEN, {"json": {"success": True, "nextPageToken": "T0"}})
    api.answers("GET", ACTIVITIES, success(ROW))
    assert list(list_activities(api.client, [104], datetime(2026, 11, 20, tzinfo=UTC))) == [MOVED]
    assert "leadIds" not in query_of(api.calls[1])


@pytest.mark.parametrize("member", [{}, {"nextPageToken": None}, {"nextPageToken": 7}, {"nextPageToken": ""}])
def test_a_missing_paging_token_is_said(api: Api, member: dict[str, Any]) -> None:
    api.answers("GET", TOKEN, {"json": {"success": True, **member}})
    with pytest.raises(AnswerMisfitError, match=r"paging_token: .*nextPageToken"):
        list(list_activities(api.client, [104], datetime(2026, 11, 20, tzinfo=UTC)))


def test_activities_that_begin_anew_are_noticed(api: Api) -> None:
    api.answers("GET", TOKEN, {"json": {"success": True, "nextPageToken": "T0"}})
    api.answers("GET", ACTIVITIES, success(ROW, nextPageToken="T1", moreResult=True))
    with pytest.raises(AnswerMisfitError, match="read before"):
        list(list_activities(api.client, [104], datetime(2026, 11, 20, tzinfo=UTC)))
    assert len(api.calls) == 3
