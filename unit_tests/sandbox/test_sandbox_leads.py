"""Sync Leads and the queries: what Adobe documents, row by row."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from marketo_sandbox import Fault, Permission, Service

if TYPE_CHECKING:
    from unit_tests.sandbox.conftest import Marketo

SYNC = "/rest/v1/leads.json"


def reasons(row: dict[str, Any]) -> list[str]:
    assert row["status"] == "skipped"
    assert "id" not in row
    return [reason["code"] for reason in row["reasons"]]


def test_create_and_update_in_the_order_of_the_input_without_seq_or_echo(marketo: Marketo) -> None:
    created = marketo.sync({"email": "ada@example.org", "firstName": "Ada"}, {"email": "bob@example.org"})
    assert [set(row) for row in created] == [{"id", "status"}] * 2
    assert [row["status"] for row in created] == ["created", "created"]
    updated = marketo.sync({"email": "BOB@example.org", "firstName": "Bob"}, {"email": "cyd@example.org"})
    assert updated[0] == {"id": created[1]["id"], "status": "updated"}
    assert updated[1]["status"] == "created"
    assert marketo.server.state.lead(created[1]["id"]) == {
        "id": created[1]["id"],
        "email": "BOB@example.org",
        "firstName": "Bob",
    }


@pytest.mark.parametrize("blank", [None, ""])
def test_a_blank_clears_a_field_and_an_absent_one_stays(marketo: Marketo, blank: str | None) -> None:
    first = marketo.sync({"email": "a@example.org", "firstName": "Ada", "lastName": "Byron", "city": blank})
    marketo.sync({"email": "a@example.org", "firstName": blank})
    assert marketo.server.state.lead(first[0]["id"]) == {
        "id": first[0]["id"],
        "email": "a@example.org",
        "lastName": "Byron",
    }


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ({"email": "a@example.org", "favourite": "x"}, "1006"),
        ({"email": "a@example.org", "leadScore": "many"}, "1001"),
        ({"email": "a@example.org", "newsletterOptIn": "perhaps"}, "1001"),
        ({"email": "a@example.org", "lastEventDate": "31.12.2026"}, "1001"),
        ({"email": "a@example.org", "lastScanAt": "2026-12-31"}, "1001"),
        ({"email": "a@example.org", "budget": "a lot"}, "1001"),
        ({"email": "a@example.org", "firstName": {"is": "Ada"}}, "1001"),
        ({"email": "a@example.org", "firstName": "x" * 256}, "1003"),
        ({"email": "a@example.org", "eventNotes": "ü" * 15_001}, "1003"),
        ({"email": "a@example.org", "createdAt": "2026-01-01T00:00:00Z"}, "1003"),
        ({"email": "ä@example.org"}, "1003"),
        ({"email": "a@example.org", "id": 7}, "1003"),
        ({"firstName": "Ada"}, "1003"),
        ({"email": ""}, "1003"),
        ({"email": None}, "1003"),
    ],
)
def test_a_bad_record_is_skipped_and_its_neighbours_are_not(marketo: Marketo, row: dict[str, Any], code: str) -> None:
    result = marketo.sync({"email": "before@example.org"}, row, {"email": "after@example.org"})
    assert [row["status"] for row in result] == ["created", "skipped", "created"]
    assert reasons(result[1]) == [code]
    assert marketo.server.state.lead_count() == 2


def test_values_of_every_type_are_accepted(marketo: Marketo) -> None:
    row = {
        "email": "no syntax is enforced",
        "leadScore": 7,
        "numberOfScans": "12",
        "fitScore": 0.5,
        "budget": "1200.50",
        "newsletterOptIn": True,
        "doNotCall": "false",
        "lastEventDate": "2026-02-28",
        "lastScanAt": "2026-02-28T10:00:00+01:00",
        "postalCode": 2110,
        "eventNotes": "ü" * 15_000,
    }
    assert marketo.sync(row)[0]["status"] == "created"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "1002"),
        ({"input": []}, "1002"),
        ({"input": {"email": "a@example.org"}}, "1003"),
        ({"input": [{"email": f"a{n}@example.org"} for n in range(301)]}, "1003"),
        ({"action": "upsert", "input": [{"email": "a@example.org"}]}, "1003"),
        ({"lookupField": "firstName", "input": [{"firstName": "Ada"}]}, "1011"),
        ({"lookupField": "nickname", "input": [{"nickname": "Ada"}]}, "1006"),
        ({"asyncProcessing ": True, "input": [{"email": "a@example.org"}]}, "1003"),
        ({"action": "updateOnly", "partitionName": "EMEA", "input": [{"email": "a@example.org"}]}, "1003"),
    ],
)
def test_a_bad_call_is_refused_as_a_whole(marketo: Marketo, body: dict[str, Any], code: str) -> None:
    answer = marketo.post(SYNC, body)
    assert answer["success"] is False
    assert "result" not in answer
    assert [error["code"] for error in answer["errors"]] == [code]
    assert marketo.server.state.lead_count() == 0


def test_three_hundred_records_are_fine(marketo: Marketo) -> None:
    assert len(marketo.sync(*({"email": f"a{n}@example.org"} for n in range(300)))) == 300


def test_actions(marketo: Marketo) -> None:
    ada = marketo.sync({"email": "ada@example.org"}, action="createOnly")[0]
    assert ada["status"] == "created"
    assert reasons(marketo.sync({"email": "Ada@example.org"}, action="createOnly")[0]) == ["1005"]
    assert reasons(marketo.sync({"email": "bob@example.org"}, action="updateOnly")[0]) == ["1004"]
    assert marketo.sync({"email": "ada@example.org", "city": "London"}, action="updateOnly")[0] == {
        "id": ada["id"],
        "status": "updated",
    }
    twin = marketo.sync({"email": "ada@example.org"}, action="createDuplicate")[0]
    assert twin["status"] == "created"
    assert reasons(marketo.sync({"email": "ada@example.org"})[0]) == ["1007"]
    assert marketo.server.state.duplicate_emails() == {"ada@example.org": [ada["id"], twin["id"]]}
    marketo.server.state.remove_lead(twin["id"])
    assert marketo.sync({"email": "ada@example.org"})[0]["status"] == "updated"


def test_an_update_by_id_needs_update_only(marketo: Marketo) -> None:
    ada = marketo.sync({"email": "ada@example.org"})[0]["id"]
    row = {"id": ada, "email": "ada.byron@example.org"}
    assert marketo.sync(row, action="updateOnly", lookupField="id")[0] == {"id": ada, "status": "updated"}
    assert marketo.server.state.leads_with("email", "ada@example.org") == []
    assert marketo.server.state.leads_with("email", "ada.byron@example.org") == [ada]
    assert reasons(marketo.sync(row, lookupField="id")[0]) == ["1003"]
    gone = marketo.sync({"id": 5, "city": "London"}, action="updateOnly", lookupField="id")
    assert reasons(gone[0]) == ["1004"]


def test_lookup_by_a_custom_field(marketo: Marketo) -> None:
    first = marketo.sync({"badgeId": "B-1", "email": "a@example.org"}, lookupField="badgeId")[0]
    second = marketo.sync({"badgeId": "b-1", "email": "b@example.org"}, lookupField="badgeId")[0]
    assert second == {"id": first["id"], "status": "updated"}
    number = marketo.sync({"customerNumber": 17, "badgeId": "B-2"}, lookupField="customerNumber")[0]
    again = marketo.sync({"customerNumber": "17"}, lookupField="customerNumber")[0]
    assert again == {"id": number["id"], "status": "updated"}


def test_the_same_new_key_twice_in_one_call_makes_two_leads(marketo: Marketo) -> None:
    result = marketo.sync({"email": "a@example.org"}, {"email": "A@example.org"})
    assert [row["status"] for row in result] == ["created", "created"]
    assert list(marketo.server.state.duplicate_emails()) == ["a@example.org"]


def test_overlapping_calls_with_one_new_email_make_two_leads(marketo: Marketo) -> None:
    server = marketo.server
    server.faults.add(Fault(name="stall", endpoint="leads.sync", hold_at="during"))
    first: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: first.extend(marketo.sync({"email": "a@example.org"})))
    thread.start()
    assert server.faults.wait_until_held("stall")
    second = marketo.sync({"email": "a@example.org"})
    server.faults.release("stall")
    thread.join(20)
    assert [first[0]["status"], second[0]["status"]] == ["created", "created"]
    assert len(server.state.leads_with("email", "a@example.org")) == 2
    assert reasons(marketo.sync({"email": "a@example.org"})[0]) == ["1007"]
    assert [shared for _, _, shared in server.calls.overlaps()] == ["a@example.org"]
    assert server.calls.most_at_once() == 2


def test_calls_one_after_the_other_make_one_lead_and_do_not_overlap(marketo: Marketo) -> None:
    marketo.sync({"email": "a@example.org"})
    marketo.sync({"email": "a@example.org"})
    assert marketo.server.state.lead_count() == 1
    assert marketo.server.calls.overlaps() == []


def test_partitions(marketo: Marketo) -> None:
    here = marketo.sync({"email": "a@example.org"}, partitionName="EMEA")[0]
    assert here["status"] == "created"
    assert marketo.sync({"email": "a@example.org"})[0] == {"id": here["id"], "status": "updated"}
    assert reasons(marketo.sync({"email": "a@example.org"}, partitionName="APAC")[0]) == ["1010"]
    assert reasons(marketo.sync({"email": "b@example.org"}, partitionName="Mars")[0]) == ["1008"]
    found = marketo.get(SYNC, filterType="id", filterValues=here["id"], fields="id,leadPartitionId")
    assert found["result"] == [{"id": here["id"], "leadPartitionId": 4}]
    moved = marketo.post("/rest/v1/leads/partitions.json", {"input": [{"id": here["id"], "partitionName": "APAC"}]})
    assert moved["result"][0]["status"] == "updated"
    assert marketo.sync({"email": "a@example.org"}, partitionName="APAC")[0]["status"] == "updated"


def test_partition_name_can_be_required(marketo: Marketo) -> None:
    marketo.server.configure(partition_required=True)
    assert reasons(marketo.sync({"email": "a@example.org"})[0]) == ["1009"]
    assert marketo.sync({"email": "a@example.org"}, partitionName="EMEA")[0]["status"] == "created"
    assert marketo.sync({"email": "a@example.org"})[0]["status"] == "updated"


def test_a_user_reaches_its_own_partitions_only(marketo: Marketo) -> None:
    server = marketo.server
    hidden = server.state.add_lead({"email": "hidden@example.org"}, partition="APAC")
    service = Service(
        client_id="c", client_secret="s", permissions=frozenset(Permission), partitions=frozenset({"EMEA"})
    )
    server.configure(services=[service])
    marketo.sign_in()
    assert [row["name"] for row in marketo.get("/rest/v1/leads/partitions.json")["result"]] == ["EMEA"]
    assert marketo.get(SYNC, filterType="id", filterValues=hidden)["result"] == []
    assert reasons(marketo.sync({"email": "hidden@example.org"})[0]) == ["1008"]
    assert reasons(marketo.sync({"email": "new@example.org"})[0]) == ["1008"]
    assert marketo.sync({"email": "new@example.org"}, partitionName="EMEA")[0]["status"] == "created"
    status = marketo.set_status(1004, "Registered", hidden)
    assert status["result"][0]["reasons"][0]["code"] == "1008"


def test_company_fields_in_an_update_can_be_refused(marketo: Marketo) -> None:
    row = {"email": "a@example.org", "company": "Acme"}
    assert marketo.sync(row)[0]["status"] == "created"
    assert marketo.sync(row)[0]["status"] == "updated"
    marketo.server.configure(refuse_company_updates=True)
    assert reasons(marketo.sync(row)[0]) == ["1021"]
    assert marketo.sync({"email": "a@example.org", "city": "Rome"})[0]["status"] == "updated"
    assert marketo.sync({"email": "b@example.org", "company": "Acme"})[0]["status"] == "created"


def test_query_gives_the_default_fields_with_null_where_blank(marketo: Marketo) -> None:
    ada = marketo.sync({"email": "ada@example.org", "firstName": "Ada", "city": "London"})[0]["id"]
    answer = marketo.get(SYNC, filterType="email", filterValues="ADA@example.org,nobody@example.org")
    assert set(answer) == {"requestId", "success", "result"}
    (row,) = answer["result"]
    assert set(row) == {"id", "email", "updatedAt", "createdAt", "firstName", "lastName"}
    assert (row["id"], row["firstName"], row["lastName"]) == (ada, "Ada", None)
    assert row["updatedAt"].endswith("Z")
    assert "." not in row["updatedAt"]


def test_query_finds_every_lead_that_shares_the_email(marketo: Marketo) -> None:
    ids = [marketo.server.state.add_lead({"email": "twin@example.org"}) for _ in range(3)]
    posted = marketo.send(
        "POST",
        SYNC,
        params={"_method": "GET"},
        data={"filterType": "email", "filterValues": "twin@example.org", "fields": "id"},
    ).json()
    assert posted["result"] == [{"id": lead_id} for lead_id in ids]


def test_query_pages(marketo: Marketo) -> None:
    ids = [marketo.server.state.add_lead({"email": f"a{n}@example.org"}) for n in range(7)]
    query = {"filterType": "id", "filterValues": ",".join(map(str, ids)), "fields": "id", "batchSize": 3}
    found, token, pages = [], "", 0
    while True:
        page = marketo.get(SYNC, **query, nextPageToken=token)
        found += [row["id"] for row in page["result"]]
        pages += 1
        if not page.get("moreResult"):
            break
        token = page["nextPageToken"]
    assert (found, pages) == (ids, 3)
    assert "nextPageToken" not in page


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"filterValues": "a@example.org"}, "1002"),
        ({"filterType": "email"}, "1002"),
        ({"filterType": "firstName", "filterValues": "Ada"}, "1011"),
        ({"filterType": "nickname", "filterValues": "Ada"}, "1006"),
        ({"filterType": "id", "filterValues": "1", "fields": "id,nickname"}, "1006"),
        ({"filterType": "id", "filterValues": ",".join(map(str, range(301)))}, "1003"),
        ({"filterType": "id", "filterValues": "1", "batchSize": 301}, "1003"),
        ({"filterType": "id", "filterValues": "1", "nextPageToken": "mine"}, "1003"),
    ],
)
def test_a_bad_query_is_refused(marketo: Marketo, query: dict[str, object], code: str) -> None:
    assert marketo.get(SYNC, **query)["errors"][0]["code"] == code


def test_a_query_that_matches_more_than_a_thousand_leads_is_refused(marketo: Marketo) -> None:
    for number in range(1001):
        marketo.server.state.add_lead({"email": f"a{number}@example.org", "badgeId": "same"})
    answer = marketo.get(SYNC, filterType="badgeId", filterValues="same")
    assert answer["errors"][0]["code"] == "1003"
    marketo.server.configure(query_matches=1001)
    assert marketo.get(SYNC, filterType="badgeId", filterValues="same")["moreResult"] is True


def test_one_lead_by_id(marketo: Marketo) -> None:
    ada = marketo.sync({"email": "ada@example.org"})[0]["id"]
    found = marketo.get(f"/rest/v1/lead/{ada}.json", fields="email")
    assert found["result"] == [{"id": ada, "email": "ada@example.org"}]
    assert marketo.get("/rest/v1/lead/5.json")["errors"][0]["code"] == "1004"


def test_describe_tells_what_can_be_written_and_searched(marketo: Marketo) -> None:
    fields = {row["rest"]["name"]: row for row in marketo.get("/rest/v1/leads/describe.json")["result"]}
    assert fields["email"]["dataType"] == "email"
    assert fields["email"]["length"] == 255
    assert fields["email"]["rest"]["readOnly"] is False
    assert fields["createdAt"]["rest"]["readOnly"] is True
    assert "length" not in fields["leadScore"]
    (second,) = marketo.get("/rest/v1/leads/describe2.json")["result"]
    assert second["name"] == "API Lead"
    assert ["email"] in second["searchableFields"]
    assert ["firstName"] not in second["searchableFields"]
    by_name = {row["name"]: row for row in second["fields"]}
    assert set(by_name["title"]) == {"name", "displayName", "dataType", "length", "updateable", "crmManaged"}
    assert by_name["id"]["updateable"] is False
    examples = {"date": "2026-02-28", "datetime": "2026-02-28T10:00:00Z"}
    for name, row in by_name.items():
        if row["updateable"]:
            value = examples.get(row["dataType"], "1")
            written = marketo.sync({"badgeId": "B-1"} | {name: value}, lookupField="badgeId")[0]
            assert written["status"] in {"created", "updated"}, name
