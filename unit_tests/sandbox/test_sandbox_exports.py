"""Bulk extract: jobs, their queue and quota, what their files hold; activities and their tokens."""

from __future__ import annotations

import csv
import hashlib
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from marketo_sandbox import Fault, Permission, Service
from unit_tests.sandbox.conftest import code

if TYPE_CHECKING:
    from unit_tests.sandbox.conftest import Marketo

EXPO, FAIR, ROADSHOW = 1004, 1010, 1234
MEMBERS = "/bulk/v1/program/members/export"
COLUMNS = ["leadId", "email", "statusName", "membershipDate", "updatedAt"]


def around_now(marketo: Marketo, days: float = 1) -> dict[str, str]:
    now = datetime.fromtimestamp(marketo.server.instance.clock.now(), UTC)
    return {"startAt": (now - timedelta(days=days)).isoformat(), "endAt": (now + timedelta(minutes=5)).isoformat()}


def create(marketo: Marketo, base: str = MEMBERS, fields: list[str] | None = COLUMNS, **chosen: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"format": "CSV", "filter": chosen}
    if fields is not None:
        body["fields"] = fields
    return marketo.post(f"{base}/create.json", body)


def created(marketo: Marketo, base: str = MEMBERS, fields: list[str] | None = COLUMNS, **chosen: Any) -> str:
    answer = create(marketo, base, fields, **chosen)
    assert answer["success"], answer
    assert answer["result"][0]["status"] == "Created"
    return str(answer["result"][0]["exportId"])


def act(marketo: Marketo, job: str, what: str, base: str = MEMBERS) -> dict[str, Any]:
    return dict(marketo.send("POST", f"{base}/{job}/{what}.json").json())


def status(marketo: Marketo, job: str, base: str = MEMBERS) -> dict[str, Any]:
    return dict(marketo.get(f"{base}/{job}/status.json")["result"][0])


def rows_of(marketo: Marketo, job: str, base: str = MEMBERS) -> list[list[str]]:
    assert act(marketo, job, "enqueue", base)["success"]
    marketo.server.advance(61)
    shown = status(marketo, job, base)
    assert shown["status"] == "Completed", shown
    content = marketo.send("GET", f"{base}/{job}/file.json").content
    assert shown["fileSize"] == len(content)
    assert shown["fileChecksum"] == "sha256:" + hashlib.sha256(content).hexdigest()
    rows = list(csv.reader(io.StringIO(content.decode(), newline="")))
    assert shown["numberOfRecords"] == len(rows) - 1
    return rows


def people(marketo: Marketo, count: int, program_id: int = EXPO) -> list[int]:
    state = marketo.server.state
    ids = [state.add_lead({"email": f"p{number}@example.org"}) for number in range(count)]
    for lead_id in ids:
        state.add_member(program_id, lead_id, "Registered")
    return ids


def test_an_extract_of_one_program(marketo: Marketo) -> None:
    (lead,) = people(marketo, 1)
    fields = [*COLUMNS, "city", "acquiredBy"]
    header, row = rows_of(marketo, created(marketo, fields=fields, programId=EXPO))
    assert header == fields
    assert row[:3] == [str(lead), "p0@example.org", "Registered"]
    assert row[5:] == ["null", "false"], "blank is null"
    assert datetime.fromisoformat(row[3])


def test_an_extract_of_several_programs_names_each_first(marketo: Marketo) -> None:
    people(marketo, 2)
    people(marketo, 1, FAIR)
    rows = rows_of(marketo, created(marketo, programIds=[EXPO, FAIR, ROADSHOW]))
    assert rows[0] == ["programId", *COLUMNS]
    assert [row[0] for row in rows[1:]] == ["1004", "1004", "1010"]
    assert code(create(marketo, programIds=list(range(1001, 1012)))) == "1003"
    assert code(create(marketo, programId=EXPO, programIds=[EXPO])) == "1003"
    assert code(create(marketo, programId=99)) == "702"
    assert code(create(marketo, fields=["shoeSize"], programId=EXPO)) == "1003"
    assert code(create(marketo, fields=None, programId=EXPO)) == "1003"


def test_filters_by_status_and_by_time(marketo: Marketo) -> None:
    ids = people(marketo, 2)
    marketo.set_status(EXPO, "Attended", ids[1])
    found = rows_of(marketo, created(marketo, programId=EXPO, statusNames=["Attended", "Engaged"]))
    assert [row[0] for row in found[1:]] == [str(ids[1])]
    assert len(rows_of(marketo, created(marketo, programId=EXPO, updatedAt=around_now(marketo)))) == 3
    assert code(create(marketo, programId=EXPO, updatedAt=around_now(marketo, 32))) == "1003"
    marketo.server.configure(export_updated_at=False)
    assert code(create(marketo, programId=EXPO, updatedAt=around_now(marketo))) == "1035"


def test_the_status_is_renewed_once_a_minute(marketo: Marketo) -> None:
    people(marketo, 1)
    job = created(marketo, programId=EXPO)
    assert act(marketo, job, "enqueue")["result"][0]["status"] == "Queued"
    marketo.server.advance(30)
    assert status(marketo, job)["status"] == "Queued", "although it has ended"
    marketo.server.advance(31)
    assert status(marketo, job)["status"] == "Completed"
    marketo.server.configure(export_status_seconds=0.0, export_job_seconds=20.0)
    job = created(marketo, programId=EXPO)
    act(marketo, job, "enqueue")
    marketo.server.advance(1)
    assert status(marketo, job)["status"] == "Processing"
    assert code(marketo.get(f"{MEMBERS}/{job}/file.json")) == "1003"
    marketo.server.advance(20)
    assert status(marketo, job)["status"] == "Completed"


def test_1029_has_three_meanings(marketo: Marketo) -> None:
    people(marketo, 1)
    marketo.server.configure(export_job_seconds=100.0)
    jobs = [created(marketo, programId=EXPO) for _ in range(11)]
    for job in jobs[:10]:
        assert act(marketo, job, "enqueue")["success"]
    again, full = act(marketo, jobs[0], "enqueue"), act(marketo, jobs[10], "enqueue")
    assert again["errors"] == [{"code": "1029", "message": "Job already queued"}]
    assert full["errors"] == [{"code": "1029", "message": "Too many jobs in queue"}]
    marketo.server.advance(1)
    assert [job.state for job in marketo.server.instance.exports.jobs()].count("Processing") == 2
    marketo.server.advance(600)
    marketo.sign_in()
    marketo.server.configure(export_daily_bytes=100)
    over = {"code": "1029", "message": "Export daily quota 0MB exceeded."}
    assert act(marketo, jobs[10], "enqueue")["errors"] == [over]
    assert create(marketo, programId=EXPO)["errors"] == [over]
    marketo.server.advance(86_400)
    marketo.sign_in()
    assert act(marketo, jobs[10], "enqueue")["success"]


def test_a_file_can_be_fetched_in_parts(marketo: Marketo) -> None:
    people(marketo, 3)
    job = created(marketo, programId=EXPO)
    rows_of(marketo, job)
    path = f"{MEMBERS}/{job}/file.json"
    whole = marketo.send("GET", path).content
    first = marketo.send("GET", path, headers={"Range": "bytes=0-9"})
    rest = marketo.send("GET", path, headers={"Range": "bytes=10-"})
    assert (first.status_code, first.headers["Content-Range"]) == (206, f"bytes 0-9/{len(whole)}")
    assert first.content + rest.content == whole
    assert marketo.send("GET", path, headers={"Range": f"bytes={len(whole)}-"}).status_code == 416


def test_a_job_can_be_cancelled_and_is_its_makers_alone(marketo: Marketo) -> None:
    job = created(marketo, programId=EXPO)
    assert act(marketo, job, "cancel")["result"][0]["status"] == "Canceled"
    assert code(act(marketo, job, "enqueue")) == "1029"
    assert [row["exportId"] for row in marketo.get(f"{MEMBERS}.json")["result"]] == [job]
    assert marketo.get(f"{MEMBERS}.json", status="Completed")["result"] == []
    other = Service(client_id="other", client_secret="other", user="other@example.com")
    marketo.server.configure(services=[*map(_plain, marketo.server.settings.services), _plain(other)])
    marketo.sign_in("other", "other")
    assert code(marketo.get(f"{MEMBERS}/{job}/status.json")) == "1013"
    assert marketo.get(f"{MEMBERS}.json")["result"] == []


def _plain(service: Service) -> dict[str, Any]:
    return {"client_id": service.client_id, "client_secret": service.client_secret, "user": service.user}


def test_a_job_can_be_made_to_fail(marketo: Marketo) -> None:
    marketo.server.faults.add(Fault(endpoint="members.export.create", job_message="Internal error"))
    job = created(marketo, programId=EXPO)
    act(marketo, job, "enqueue")
    marketo.server.advance(61)
    shown = status(marketo, job)
    assert (shown["status"], shown["errorMsg"]) == ("Failed", "Internal error")
    assert "fileSize" not in shown
    assert code(marketo.get(f"{MEMBERS}/{job}/file.json")) == "1003"
    assert code(act(marketo, job, "cancel")) == "1003"


def test_an_extract_knows_no_partitions(marketo: Marketo) -> None:
    state = marketo.server.state
    lead = state.add_lead({"email": "far@example.org"}, partition="APAC")
    state.add_member(EXPO, lead, "Registered")
    limited = {"client_id": "eu", "client_secret": "eu", "partitions": ["EMEA"], "permissions": [Permission.READ_LEAD]}
    marketo.server.configure(services=[limited])
    marketo.sign_in("eu", "eu")
    assert marketo.get("/rest/v1/leads.json", filterType="id", filterValues=lead)["result"] == []
    assert len(rows_of(marketo, created(marketo, programId=EXPO))) == 2
    assert code(marketo.get("/rest/v1/activities/types.json")) == "603"


def test_an_extract_of_leads(marketo: Marketo) -> None:
    marketo.sync({"email": "ada@example.org", "firstName": "Ada, Lady", "unsubscribed": True})
    base, fields = "/bulk/v1/leads/export", ["id", "email", "firstName", "unsubscribed", "city"]
    rows = rows_of(marketo, created(marketo, base, fields, updatedAt=around_now(marketo)), base)
    assert rows[1][1:] == ["ada@example.org", "Ada, Lady", "true", "null"]
    assert code(create(marketo, base, fields, updatedAt=around_now(marketo), createdAt=around_now(marketo))) == "1003"
    past = {"startAt": "2020-01-01T00:00:00Z", "endAt": "2020-01-31T00:00:00Z"}
    assert len(rows_of(marketo, created(marketo, base, fields, createdAt=past), base)) == 1


def since_before(marketo: Marketo) -> str:
    answer = marketo.get("/rest/v1/activities/pagingtoken.json", sinceDatetime=around_now(marketo)["startAt"])
    assert "result" not in answer
    return str(answer["nextPageToken"])


def test_changes_are_recorded_as_activities(marketo: Marketo) -> None:
    token = since_before(marketo)
    (made,) = marketo.sync({"email": "ada@example.org", "city": "Rome"})
    lead = made["id"]
    marketo.sync({"email": "ada@example.org", "city": "Oslo", "company": "Kestrel"})
    marketo.set_status(EXPO, "Registered", lead)
    marketo.set_status(EXPO, "Attended", lead)
    marketo.set_status(EXPO, "Attended", lead)
    marketo.post(f"/rest/v1/programs/{EXPO}/members.json", {"input": [{"leadId": lead, "boothNotes": "x"}]})
    marketo.post(f"/rest/v1/programs/{EXPO}/members/delete.json", {"input": [{"leadId": lead}]})
    found = marketo.get("/rest/v1/activities.json", nextPageToken=token, activityTypeIds="12,13,104,123")
    told = [
        (row["activityTypeId"], row.get("primaryAttributeValue"), row.get("primaryAttributeValueId"), _plainly(row))
        for row in found["result"]
    ]
    assert {row["leadId"] for row in found["result"]} == {lead}
    assert [(kind, about, number) for kind, about, number, _ in told] == [
        (12, None, None),
        (13, "City", None),
        (13, "Company Name", None),
        (104, "Spring Expo 2026", EXPO),
        (104, "Spring Expo 2026", EXPO),
        (123, "Spring Expo 2026", EXPO),
        (104, "Spring Expo 2026", EXPO),
    ]
    assert [(a["Old Status"], a["New Status"]) for kind, _, _, a in told if kind == 104] == [
        ("Not in Program", "Registered"),
        ("Registered", "Attended"),
        ("Attended", "Not in Program"),
    ]
    assert (told[1][3]["Old Value"], told[1][3]["New Value"]) == ("Rome", "Oslo")
    base = "/bulk/v1/activities/export"
    chosen = {"activityTypeIds": [104], "primaryAttributeValueIds": [EXPO], "createdAt": around_now(marketo)}
    rows = rows_of(marketo, created(marketo, base, None, **chosen), base)
    assert [row[rows[0].index("primaryAttributeValueId")] for row in rows[1:]] == ["1004"] * 3
    assert '"New Status":"Not in Program"' in rows[3][-1]
    assert code(create(marketo, base, None, activityTypeIds=[104])) == "1003"
    named = {row["id"]: row["name"] for row in marketo.get("/rest/v1/activities/types.json")["result"]}
    assert (named[12], named[13], named[104]) == ("New Lead", "Change Data Value", "Change Status in Progression")


def _plainly(row: dict[str, Any]) -> dict[str, Any]:
    return {attribute["name"]: attribute["value"] for attribute in row["attributes"]}


def test_what_people_do_by_hand_is_recorded_too(marketo: Marketo) -> None:
    token = since_before(marketo)
    first, second = people(marketo, 2)
    state = marketo.server.state
    assert state.remove_member(EXPO, first) is True
    assert state.remove_member(EXPO, first) is False
    state.merge_leads(first, [second])
    found = marketo.get("/rest/v1/activities.json", nextPageToken=token, activityTypeIds="104,32,37")["result"]
    assert [(row["activityTypeId"], row["leadId"]) for row in found] == [(104, first), (37, second), (32, first)]
    assert _plainly(found[0])["New Status"] == "Not in Program"


def test_activities_come_in_pages_that_go_on_at_the_end(marketo: Marketo) -> None:
    token = since_before(marketo)
    ids = [row["id"] for row in marketo.sync(*({"email": f"p{n}@example.org"} for n in range(5)))]
    pages = []
    while True:
        page = marketo.get("/rest/v1/activities.json", nextPageToken=token, activityTypeIds=12, batchSize=2)
        pages.append([row["leadId"] for row in page["result"]])
        token = page["nextPageToken"]
        if not page["moreResult"]:
            break
    assert pages == [ids[:2], ids[2:4], ids[4:]]
    assert marketo.get("/rest/v1/activities.json", nextPageToken=token, activityTypeIds=12)["result"] == []
    (later,) = marketo.sync({"email": "later@example.org"})
    found = marketo.get("/rest/v1/activities.json", nextPageToken=token, activityTypeIds=12)["result"]
    assert [row["leadId"] for row in found] == [later["id"]]


def test_activities_of_some_leads(marketo: Marketo) -> None:
    token = since_before(marketo)
    ids = [row["id"] for row in marketo.sync(*({"email": f"p{n}@example.org"} for n in range(5)))]
    query = {"nextPageToken": token, "activityTypeIds": 12}
    found = marketo.get("/rest/v1/activities.json", leadIds=f"{ids[1]},{ids[3]}", **query)["result"]
    assert [row["leadId"] for row in found] == [ids[1], ids[3]]
    assert code(marketo.get("/rest/v1/activities.json", leadIds=",".join(map(str, range(31))), **query)) == "1003"
    assert code(marketo.get("/rest/v1/activities.json", nextPageToken=token)) == "1002"
    assert code(marketo.get("/rest/v1/activities.json", nextPageToken="x", activityTypeIds=12)) == "1003"
    kinds = ",".join(map(str, range(11)))
    assert code(marketo.get("/rest/v1/activities.json", nextPageToken=token, activityTypeIds=kinds)) == "1003"


def test_members_by_time_and_by_status(marketo: Marketo) -> None:
    ids = people(marketo, 3)
    marketo.server.advance(100)
    marketo.set_status(EXPO, "Attended", ids[1])
    path = f"/rest/v1/programs/{EXPO}/members.json"
    (one,) = marketo.get(path, filterType="statusName", filterValues="Attended", fields="leadId,updatedAt")["result"]
    assert one["leadId"] == ids[1]
    span = {"startAt": one["updatedAt"], "endAt": one["updatedAt"]}
    assert [row["leadId"] for row in marketo.get(path, filterType="updatedAt", **span)["result"]] == [ids[1]]
    assert code(marketo.get(path, filterType="updatedAt", **around_now(marketo, 8))) == "1003"
    marketo.server.configure(member_query_members=2)
    assert code(marketo.get(path, filterType="statusName", filterValues="Attended")) == "1003"
    assert code(marketo.get(path, filterType="updatedAt", **span)) == "1003"
    assert len(marketo.get(path, filterType="leadId", filterValues=",".join(map(str, ids)))["result"]) == 3


@pytest.mark.parametrize(("how", "expected"), [("honoured", [1004, 1234]), ("ignored", None), ("refused", "1003")])
def test_programs_by_id(marketo: Marketo, how: str, expected: object) -> None:
    marketo.server.configure(programs_filter=how)
    answer = marketo.get("/rest/asset/v1/programs.json", filterType="id", filterValues="1234,1004,99", maxReturn=200)
    if expected == "1003":
        assert code(answer) == "1003"
        return
    found = [row["id"] for row in answer["result"]]
    assert found == (expected or [program.id for program in marketo.server.state.programs()])


def test_programs_by_time(marketo: Marketo) -> None:
    path, span = "/rest/asset/v1/programs.json", around_now(marketo)
    query = {"earliestUpdatedAt": span["startAt"], "latestUpdatedAt": span["endAt"]}
    assert len(marketo.get(path, **query)["result"]) == len(marketo.server.state.programs())
    assert "result" not in marketo.get(path, latestUpdatedAt=span["startAt"])
    assert "result" not in marketo.get(path, earliestUpdatedAt=span["endAt"])
    assert code(marketo.get(path, earliestUpdatedAt="yesterday")) == "1003"


@pytest.mark.parametrize("path", ["emails", "segmentation", "folder/1004/tokens"])
def test_assets_that_the_sandbox_has_none_of(marketo: Marketo, path: str) -> None:
    answer = marketo.get(f"/rest/asset/v1/{path}.json")
    assert (answer["success"], "result" in answer) == (True, False)


@pytest.mark.parametrize("path", ["lists", "campaigns"])
def test_lead_database_objects_that_the_sandbox_has_none_of(marketo: Marketo, path: str) -> None:
    assert marketo.get(f"/rest/v1/{path}.json")["result"] == []


def test_a_token_may_be_asked_for_by_form(marketo: Marketo) -> None:
    form = {
        "grant_type": "client_credentials",
        "client_id": marketo.server.client_id,
        "client_secret": marketo.server.client_secret,
    }
    answer = marketo.send("POST", "/identity/oauth/token", data=form)
    assert answer.status_code == 200
    assert answer.json()["token_type"] == "bearer"
