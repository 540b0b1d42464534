"""What the strict Marketo lets be read back, tried directly: extracts, activities, members by time, programs by id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
from strict_marketo import StrictMarketo, refuse

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMBERS = "/bulk/v1/program/members/export"


@pytest.fixture
def marketo() -> Iterator[StrictMarketo]:
    with StrictMarketo() as server:
        yield server


class Caller:
    def __init__(self, marketo: StrictMarketo) -> None:
        self.url = marketo.url
        query = {"grant_type": "client_credentials", "client_id": marketo.client_id}
        query["client_secret"] = marketo.client_secret
        token = requests.get(f"{self.url}/identity/oauth/token", params=query, timeout=10).json()["access_token"]
        self.headers = {"Authorization": f"Bearer {token}"}

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        return requests.request(method, self.url + path, headers=self.headers, timeout=10, **options)

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        return dict(self.send("GET", path, params=query).json())

    def post(self, path: str, body: Any = None) -> dict[str, Any]:
        return dict(self.send("POST", path, json=body).json())


def test_an_extract_from_its_making_to_its_file(marketo: StrictMarketo) -> None:
    caller, lead = Caller(marketo), marketo.add_lead(email="ada@example.org")
    marketo.add_member(1004, lead, "Registered")
    body = {"fields": ["leadId", "email", "statusName"], "filter": {"programIds": [1004, 1001]}}
    marketo.interrupt("export.enqueue", refuse("1029", "Too many jobs in queue"))
    job = caller.post(f"{MEMBERS}/create.json", body)["result"][0]["exportId"]
    assert caller.post(f"{MEMBERS}/{job}/enqueue.json")["errors"][0]["code"] == "1029"
    assert caller.post(f"{MEMBERS}/{job}/enqueue.json")["success"]
    states = [caller.get(f"{MEMBERS}/{job}/status.json")["result"][0]["status"] for _ in range(2)]
    assert states == ["Processing", "Completed"]
    file = caller.send("GET", f"{MEMBERS}/{job}/file.json").text
    assert file == f"programId,leadId,email,statusName\n1004,{lead},ada@example.org,Registered\n"
    assert caller.post(f"{MEMBERS}/create.json", {**body, "filter": {}})["success"] is False
    assert marketo.violations, "an extract without program"
    marketo.expected_violations = True


def test_removals_are_seen_as_activities(marketo: StrictMarketo) -> None:
    caller, lead = Caller(marketo), marketo.add_lead(email="ada@example.org")
    marketo.add_member(1010, lead, "No Show")
    marketo.remove_member(1010, lead)
    token = caller.get("/rest/v1/activities/pagingtoken.json", sinceDatetime="2026-01-01T00:00:00Z")["nextPageToken"]
    page = caller.get("/rest/v1/activities.json", nextPageToken=token, activityTypeIds=104, leadIds=lead)
    assert [row["attributes"][1]["value"] for row in page["result"]] == ["No Show", "Not in Program"]


def test_a_new_lead_is_not_visible_at_once(marketo: StrictMarketo) -> None:
    marketo.visible_after_seconds = 60.0
    caller = Caller(marketo)
    lead = caller.post("/rest/v1/leads.json", {"input": [{"email": "ada@example.org"}]})["result"][0]["id"]
    path, body = "/rest/v1/programs/1010/members/status.json", {"statusName": "Attended", "input": [{"leadId": lead}]}
    query = {"filterType": "email", "filterValues": "ada@example.org"}
    assert caller.post(path, body)["result"][0]["reasons"][0]["code"] == "1004"
    assert caller.get("/rest/v1/leads.json", **query)["result"] == []
    marketo.ahead_seconds = 61.0
    assert caller.post(path, body)["result"][0]["status"] == "created"
    assert [row["id"] for row in caller.get("/rest/v1/leads.json", **query)["result"]] == [lead]


@pytest.mark.parametrize(("how", "count"), [("honoured", 2), ("ignored", 4), ("refused", None)])
def test_programs_by_id(marketo: StrictMarketo, how: str, count: int | None) -> None:
    marketo.programs_filter = how
    answer = Caller(marketo).get("/rest/asset/v1/programs.json", filterType="id", filterValues="1004,1001")
    assert (len(answer["result"]) if "result" in answer else None) == count


def test_members_by_status_and_time(marketo: StrictMarketo) -> None:
    caller, lead = Caller(marketo), marketo.add_lead(email="ada@example.org")
    marketo.add_member(1004, lead, "Registered")
    path = "/rest/v1/programs/1004/members.json"
    (row,) = caller.get(path, filterType="statusName", filterValues="Registered", fields="leadId,updatedAt")["result"]
    span = {"startAt": row["updatedAt"], "endAt": row["updatedAt"]}
    assert len(caller.get(path, filterType="updatedAt", **span)["result"]) == 1
    marketo.most_members = 0
    assert caller.get(path, filterType="updatedAt", **span)["errors"][0]["code"] == "1003"
