"""What Marketo may do to a client that trusts it: by setting, so that a test can ask for it."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from marketo_sandbox import Fault
from unit_tests.sandbox.conftest import code
from unit_tests.sandbox.test_sandbox_bulk import file_of, run_job

if TYPE_CHECKING:
    from unit_tests.sandbox.conftest import Marketo

EXPO, FAIR = 1004, 1010


def first_code(answer: dict[str, Any]) -> str:
    return str(answer["result"][0]["reasons"][0]["code"])


def test_a_created_lead_becomes_visible_later(marketo: Marketo) -> None:
    marketo.server.configure(visible_after_seconds=30.0)
    (made,) = marketo.sync({"email": "ada@example.org"})
    lead_id = made["id"]
    members = f"/rest/v1/programs/{EXPO}/members"
    assert first_code(marketo.set_status(EXPO, "Registered", lead_id)) == "1004"
    assert first_code(marketo.post(f"{members}.json", {"input": [{"leadId": lead_id, "boothNotes": "x"}]})) == "1004"
    assert first_code(marketo.post(f"{members}/delete.json", {"input": [{"leadId": lead_id}]})) == "1004"
    assert code(marketo.get(f"/rest/v1/lead/{lead_id}.json")) == "1004"
    assert marketo.get("/rest/v1/leads.json", filterType="email", filterValues="ada@example.org")["result"] == []
    # Whoever writes finds it: a second create is an update.
    assert marketo.sync({"email": "ada@example.org"}) == [{"id": lead_id, "status": "updated"}]
    marketo.server.advance(31)
    assert marketo.set_status(EXPO, "Registered", lead_id)["result"][0]["status"] == "created"
    found = marketo.get("/rest/v1/leads.json", filterType="email", filterValues="ada@example.org")["result"]
    assert [lead["id"] for lead in found] == [lead_id]


def test_sync_can_be_blind_to_new_leads_too(marketo: Marketo) -> None:
    marketo.server.configure(visible_after_seconds=30.0, sync_sees_new_leads=False)
    for _ in range(2):
        assert marketo.sync({"email": "ada@example.org"})[0]["status"] == "created"
    assert len(marketo.server.state.duplicate_emails()["ada@example.org"]) == 2


def test_an_imported_lead_becomes_visible_later_and_so_do_its_memberships(marketo: Marketo) -> None:
    marketo.server.configure(visible_after_seconds=100.0)
    run_job(marketo, "email\nada@example.org\n")
    (lead_id,) = marketo.server.state.members(EXPO)
    query = {"filterType": "leadId", "filterValues": lead_id}
    assert marketo.get(f"/rest/v1/programs/{EXPO}/members.json", **query)["result"] == []
    marketo.server.advance(100)
    assert len(marketo.get(f"/rest/v1/programs/{EXPO}/members.json", **query)["result"]) == 1


def test_a_slow_create_goes_on_although_the_client_has_gone(marketo: Marketo) -> None:
    """And a second one that is sent meanwhile finds nobody either: two people."""
    marketo.server.configure(create_seconds=0.4)
    known = marketo.server.state.add_lead({"email": "known@example.org"})
    for _ in range(2):
        with pytest.raises(requests.Timeout):
            requests.post(
                f"{marketo.server.url}/rest/v1/leads.json",
                json={"input": [{"email": "ada@example.org"}]},
                headers={"Authorization": f"Bearer {marketo.token().json()['access_token']}"},
                timeout=0.1,
            )
    assert marketo.server.state.leads_with("email", "ada@example.org") == []
    before = time.monotonic()
    assert marketo.sync({"email": "known@example.org"}) == [{"id": known, "status": "updated"}]
    assert time.monotonic() - before < 0.35, "who creates nobody is as quick as ever"
    assert marketo.server.calls.wait(lambda log: sum(c.executed for c in log.all("leads.sync")) == 3)
    assert len(marketo.server.state.leads_with("email", "ada@example.org")) == 2


def test_an_import_looks_people_up_at_its_start_and_creates_them_at_its_end(marketo: Marketo) -> None:
    marketo.server.configure(bulk_start_seconds=0.0, bulk_job_seconds=50.0)
    marketo.upload("email\nada@example.org\n")
    marketo.upload("email\nada@example.org\n")
    (made,) = marketo.sync({"email": "ada@example.org"})
    assert made["status"] == "created"
    marketo.server.advance(60)
    assert len(marketo.server.state.jobs()) == 2
    assert len(marketo.server.state.leads_with("email", "ada@example.org")) == 3


def test_an_import_writes_to_the_twin_that_was_updated_last(marketo: Marketo) -> None:
    state = marketo.server.state
    first, second = (state.add_lead({"email": "twin@example.org", "firstName": name}) for name in "AB")
    marketo.server.advance(5)
    marketo.sync({"id": first, "city": "Rome"}, action="updateOnly", lookupField="id")
    result = run_job(marketo, "email,firstName\nTwin@example.org,Ann\n")
    assert result["numOfLeadsProcessed"] == 1
    assert state.members(EXPO) == {first: "Registered"}
    names = {lead_id: lead["firstName"] for lead_id in (first, second) if (lead := state.lead(lead_id))}
    assert names == {first: "Ann", second: "B"}


def test_an_import_may_set_partition_and_acquisition_program_of_new_people(marketo: Marketo) -> None:
    marketo.server.configure(bulk_partition="EMEA", bulk_sets_acquisition_program=True)
    state = marketo.server.state
    known = state.add_lead({"email": "known@example.org"})
    run_job(marketo, "email\nknown@example.org\nnew@example.org\n")
    (new,) = state.leads_with("email", "new@example.org")
    by_id = {lead["id"]: lead for lead in state.leads()}
    assert by_id[new]["acquisitionProgramId"] == EXPO
    assert by_id[new]["leadPartitionId"] == 4
    assert "acquisitionProgramId" not in by_id[known]
    assert by_id[known]["leadPartitionId"] == 1
    query = {"filterType": "leadId", "filterValues": f"{known},{new}", "fields": "leadId,acquiredBy"}
    members = marketo.get(f"/rest/v1/programs/{EXPO}/members.json", **query)["result"]
    assert {member["leadId"]: member["acquiredBy"] for member in members} == {known: False, new: True}


def test_a_failure_file_may_lack_a_blank_last_column(marketo: Marketo) -> None:
    file = "email,leadScore,city\nada@example.org,high,\nbob@example.org,1,Oslo\n"
    whole = run_job(marketo, file)
    assert file_of(marketo, whole["batchId"], "failures")[0] == ["email", "leadScore", "city", "Import Failure Reason"]
    marketo.server.configure(bulk_failures_drop_blank_last_column=True)
    cut = run_job(marketo, file)
    assert file_of(marketo, cut["batchId"], "failures") == [
        ["email", "leadScore", "Import Failure Reason"],
        ["ada@example.org", "high", "Invalid data type in field Person Score"],
    ]
    filled = run_job(marketo, "email,leadScore,city\nada@example.org,high,Rome\n")
    assert len(file_of(marketo, filled["batchId"], "failures")[0]) == 4


@pytest.mark.parametrize("answer", ["not_found", "winner"])
def test_the_id_of_a_merged_lead(marketo: Marketo, answer: str) -> None:
    marketo.server.configure(merged_leads=answer)
    state = marketo.server.state
    winner = state.add_lead({"email": "ada@example.org", "firstName": "Ada"})
    losers = [state.add_lead({"email": "ada@home.example", "city": city}) for city in ("Rome", "Oslo")]
    state.add_member(EXPO, winner, "Registered")
    state.add_member(EXPO, losers[1], "Attended")
    assert marketo.control("merge", {"winner": losers[0], "losers": [losers[1]]}).status_code == 200
    assert marketo.control("merge", {"winner": winner, "losers": [losers[0]]}).status_code == 200
    assert state.lead(winner) == {"id": winner, "email": "ada@example.org", "firstName": "Ada", "city": "Rome"}
    assert state.members(EXPO) == {winner: "Attended"}
    result = marketo.set_status(EXPO, "Engaged", losers[1])["result"][0]
    if answer == "winner":
        assert result == {"seq": 0, "status": "updated", "leadId": winner}
        assert state.members(EXPO) == {winner: "Engaged"}
    else:
        assert result["reasons"][0]["code"] == "1004"
    assert marketo.control("merge", {"winner": winner, "losers": [losers[1]]}).status_code == 400
    assert marketo.control("merge", {"winner": winner, "losers": [winner]}).status_code == 400


def test_identity_may_refuse_with_http_200(marketo: Marketo) -> None:
    assert marketo.token(client_secret="wrong").status_code == 401
    marketo.server.configure(identity_errors_as_200=True)
    answer = marketo.token(client_secret="wrong")
    assert answer.status_code == 200
    assert answer.json() == {"error": "invalid_client", "error_description": "Bad client credentials"}
    assert "access_token" in marketo.token().json()


def test_members_move_between_equal_steps_in_both_directions(marketo: Marketo) -> None:
    lead = marketo.server.state.add_lead({"email": "a@example.org"})
    made = [
        marketo.set_status(FAIR, status, lead)["result"][0]["status"]
        for status in ("No Show", "Attended", "No Show", "Registered")
    ]
    assert made == ["created", "updated", "updated", "skipped"]


def test_the_acquisition_program_is_a_reference_that_a_write_may_name(marketo: Marketo) -> None:
    fields = marketo.get("/rest/v1/leads/describe2.json")["result"][0]["fields"]
    (field,) = [field for field in fields if field["name"] == "acquisitionProgramId"]
    assert (field["dataType"], field["updateable"]) == ("reference", True)
    assert marketo.sync({"email": "a@example.org", "acquisitionProgramId": EXPO})[0]["status"] == "created"
    assert marketo.sync({"email": "a@example.org", "acquisitionProgramId": "Expo"})[0]["reasons"][0]["code"] == "1001"


def test_standard_member_fields_are_for_rest_only(marketo: Marketo) -> None:
    state = marketo.server.state
    lead = state.add_lead({"email": "a@example.org"})
    state.add_member(EXPO, lead, "Registered")
    path = f"/rest/v1/programs/{EXPO}/members.json"
    row = {"leadId": lead, "statusReason": "badge scan", "acquiredBy": True}
    assert marketo.post(path, {"input": [row]})["result"][0]["status"] == "updated"
    assert state.member_fields(EXPO, lead) == {"statusReason": "badge scan"}
    fields = marketo.get(path, filterType="leadId", filterValues=lead, fields="statusReason,acquiredBy")["result"][0]
    assert (fields["statusReason"], fields["acquiredBy"]) == ("badge scan", True)
    assert state.leads()[0]["acquisitionProgramId"] == EXPO
    job = run_job(marketo, "email,statusReason\na@example.org,x\n")
    assert (job["status"], job["message"]) == ("Failed", "Import failed, unknown column 'statusReason'")


@pytest.mark.parametrize("name", ["unsubscribed", "doNotCall", "marketingSuspended", "blackListed", "emailInvalid"])
def test_opt_outs_can_be_written(marketo: Marketo, name: str) -> None:
    assert marketo.sync({"email": "a@example.org", name: True})[0]["status"] == "created"
    assert marketo.server.state.leads()[0][name] is True


def test_a_test_can_wait_for_a_call_that_has_only_begun(marketo: Marketo) -> None:
    marketo.server.faults.add(Fault(name="held", endpoint="leads.sync", hold_at="before"))
    caller = threading.Thread(target=lambda: marketo.sync({"email": "ada@example.org"}))
    caller.start()
    assert marketo.server.calls.wait(lambda log: log.count("leads.sync") == 1, 10)
    assert marketo.server.calls.all("leads.sync")[0].ended is None
    marketo.server.faults.release("held")
    caller.join(10)
    assert marketo.server.state.lead_count() == 1
