"""Scripted and random faults, the log, and the doors below /_sandbox/."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, get_args

import msgspec
import pytest
import requests

from marketo_sandbox import CHAOS_KINDS, Chaos, Fault, RowFault, SandboxServer
from marketo_sandbox.faults import ChaosKind

if TYPE_CHECKING:
    from unit_tests.sandbox.conftest import Marketo

SYNC = "/rest/v1/leads.json"
BODY = {"input": [{"email": "a@example.org"}]}


def leads(marketo: Marketo) -> int:
    return marketo.server.state.lead_count()


@pytest.mark.parametrize("wire_code", ["606", 606])
def test_a_scripted_code_is_answered_in_place_of_the_call(marketo: Marketo, wire_code: str | int) -> None:
    marketo.server.faults.add(Fault(name="f", endpoint="leads.sync", code=wire_code))
    answer = marketo.post(SYNC, BODY)
    assert answer["success"] is False
    assert answer["errors"] == [{"code": wire_code, "message": "Max rate limit '100' exceeded with in '20' secs"}]
    assert leads(marketo) == 0
    assert marketo.post(SYNC, BODY)["success"] is True
    assert marketo.server.faults.fired("f") == 1
    assert [call.code for call in marketo.server.calls.all("leads.sync")] == ["606", None]


def test_a_scripted_code_may_come_after_the_call_was_executed(marketo: Marketo) -> None:
    marketo.server.faults.add(Fault(code="604", executed=True, message="late"))
    assert marketo.post(SYNC, BODY)["errors"] == [{"code": "604", "message": "late"}]
    assert leads(marketo) == 1
    assert marketo.server.calls.all("leads.sync")[0].executed is True


def test_conditions_skip_and_times(marketo: Marketo) -> None:
    server = marketo.server
    server.faults.add(
        Fault(name="third", endpoint="leads.sync", skip=2, code="608"),
        Fault(name="body", body="bob@", times=None, code="713"),
        Fault(name="path", path=r"/program/\d+\.json$", method="GET", times=2, code="611"),
    )
    sent = [marketo.post(SYNC, BODY)["success"] for _ in range(4)]
    assert sent == [True, True, False, True]
    bob = {"input": [{"email": "bob@example.org"}]}
    assert [marketo.post(SYNC, bob)["errors"][0]["code"] for _ in range(3)] == ["713"] * 3
    program = [marketo.get("/rest/asset/v1/program/1004.json")["success"] for _ in range(3)]
    assert program == [False, False, True]
    assert server.faults.all_fired() == {"third": 1, "body": 3, "path": 2}


def test_http_errors_and_html(marketo: Marketo) -> None:
    marketo.server.faults.add(
        Fault(http_status=503),
        Fault(http_status=200),
        Fault(http_status=502, http_body="", executed=True),
        Fault(http_status=429, http_body="{}", content_type="application/json"),
    )
    answers = [marketo.send("POST", SYNC, json=BODY) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [503, 200, 502, 429]
    assert answers[1].text.startswith("<html>")
    assert answers[1].headers["Content-Type"] == "text/html"
    assert answers[3].json() == {}
    assert leads(marketo) == 1


def test_a_truncated_answer_is_whole_http_and_half_json(marketo: Marketo) -> None:
    marketo.server.faults.add(Fault(truncate=True))
    answer = marketo.send("POST", SYNC, json=BODY)
    assert answer.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.content)
    assert leads(marketo) == 1


@pytest.mark.parametrize(
    ("fault", "executed"),
    [
        (Fault(reset="before"), 0),
        (Fault(reset="after"), 1),
        (Fault(cut_short=True), 1),
    ],
)
def test_connections_are_cut(marketo: Marketo, fault: Fault, executed: int) -> None:
    marketo.server.faults.add(fault)
    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        marketo.send("POST", SYNC, json=BODY)
    assert leads(marketo) == executed
    assert marketo.server.calls.counters()["leads.sync"] == {"cut": 1}


def test_a_cut_call_may_still_execute_later(marketo: Marketo) -> None:
    server = marketo.server
    server.faults.add(Fault(name="late", reset="during", hold_at="during"))
    with pytest.raises(requests.ConnectionError):
        marketo.send("POST", SYNC, json=BODY)
    assert server.faults.wait_until_held("late")
    assert marketo.post(SYNC, BODY)["result"][0]["status"] == "created"
    server.faults.release("late")
    assert server.calls.wait(lambda log: all(call.executed for call in log.all("leads.sync")))
    assert list(server.state.duplicate_emails()) == ["a@example.org"]


@pytest.mark.parametrize(("moment", "present"), [("before", 0), ("during", 0), ("after", 1)])
def test_a_call_is_held_at_a_moment_until_released(marketo: Marketo, moment: Any, present: int) -> None:
    server = marketo.server
    server.faults.add(Fault(name="hold", endpoint="leads.sync", hold_at=moment))
    answers: list[dict[str, Any]] = []
    thread = threading.Thread(target=lambda: answers.append(marketo.post(SYNC, BODY)))
    thread.start()
    assert server.faults.wait_until_held("hold")
    assert leads(marketo) == present
    assert answers == []
    assert server.faults.held() == {"hold": 1}
    server.faults.release("hold")
    thread.join(20)
    assert answers[0]["success"] is True
    assert leads(marketo) == 1


def test_more_calls_at_once_than_allowed_are_615(marketo: Marketo) -> None:
    server = marketo.server
    server.configure(concurrent_calls=2)
    server.faults.add(Fault(name="hold", endpoint="leads.sync", times=2, hold_at="before"))
    threads = [threading.Thread(target=marketo.post, args=(SYNC, BODY)) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert server.faults.wait_until_held("hold", calls=2)
    assert marketo.get("/rest/v1/stats/usage.json")["errors"][0]["code"] == "615"
    server.faults.release("hold")
    for thread in threads:
        thread.join(20)
    assert marketo.get("/rest/v1/stats/usage.json")["success"] is True
    assert server.instance.limits.most_in_flight == 3


def test_a_delay_lasts(marketo: Marketo) -> None:
    marketo.server.faults.add(Fault(delay_seconds=0.15, delay_at="after"))
    answer = marketo.send("POST", SYNC, json=BODY)
    assert answer.elapsed.total_seconds() >= 0.15
    (call,) = marketo.server.calls.all("leads.sync")
    assert call.ended is not None
    assert call.ended - call.started >= 0.15


def test_a_token_can_end_in_the_middle(marketo: Marketo) -> None:
    marketo.server.faults.add(Fault(endpoint="leads.sync", expire_token=True))
    assert marketo.post(SYNC, BODY)["errors"][0]["code"] == "602"
    assert marketo.post(SYNC, BODY)["errors"][0]["code"] == "601"
    marketo.sign_in()
    assert marketo.post(SYNC, BODY)["success"] is True


def test_optional_members_can_be_missing(marketo: Marketo) -> None:
    marketo.server.faults.add(Fault(omit=("requestId", "moreResult", "warnings"), omit_empty=True, times=None))
    answer = marketo.get(SYNC, filterType="email", filterValues="nobody@example.org")
    assert answer == {"success": True}
    members = marketo.get("/rest/v1/programs/1004/members.json", filterType="leadId", filterValues="1")
    assert members == {"success": True}
    assert "warnings" not in marketo.get("/rest/asset/v1/program/99.json")


def test_rows_can_be_refused(marketo: Marketo) -> None:
    ids = [marketo.server.state.add_lead({"email": f"{name}@example.org"}) for name in ("ada", "bob", "cyd")]
    marketo.server.faults.add(
        Fault(endpoint="leads.sync", row=RowFault(code="1009", email_contains="BOB@", without_status=True)),
        Fault(endpoint="members.status", row=RowFault(code="1099", message="odd", lead_ids=frozenset(ids[:1]))),
        Fault(endpoint="members.status", row=RowFault(positions=frozenset({2}))),
        Fault(endpoint="members.status", row=RowFault(email_contains="bob")),
    )
    synced = marketo.sync({"email": "ada@example.org"}, {"email": "bob@example.org"})
    assert synced[0]["status"] == "updated"
    assert synced[1] == {"reasons": [{"code": "1009", "message": "Invalid data"}]}
    codes = []
    for _ in range(3):
        result = marketo.set_status(1004, "Registered", *ids)["result"]
        codes.append([row.get("reasons", [{"code": row["status"]}])[0]["code"] for row in result])
    assert codes == [
        ["1099", "created", "created"],
        ["created", "1037", "1003"],
        ["1037", "1003", "1037"],
    ]
    assert marketo.server.calls.all("members.status")[0].row_codes == {"1099": 1}


def test_token_calls_suffer_too(marketo: Marketo) -> None:
    marketo.server.faults.add(
        Fault(endpoint="identity.token", http_status=503), Fault(endpoint="identity.token", truncate=True)
    )
    assert marketo.token().status_code == 503
    with pytest.raises(requests.exceptions.JSONDecodeError):
        marketo.token().json()
    assert marketo.token().json()["token_type"] == "bearer"


def endings(marketo: Marketo, chaos: Chaos, calls: int) -> list[str]:
    marketo.server.reset()
    marketo.server.faults.set_chaos(None)
    marketo.sign_in()
    marketo.server.faults.set_chaos(chaos)
    seen = []
    for _ in range(calls):
        try:
            answer = marketo.send("POST", SYNC, json=BODY)
            envelope = answer.json()
            ending = "ok" if envelope["success"] else str(envelope["errors"][0]["code"])
            seen.append(ending if answer.status_code == 200 else str(answer.status_code))
            if ending in {"601", "602"}:
                marketo.server.faults.set_chaos(None)
                marketo.sign_in()
                break
        except requests.exceptions.JSONDecodeError:
            seen.append("no json")
        except requests.RequestException:
            seen.append("cut")
    return seen


def test_the_same_seed_gives_the_same_faults(marketo: Marketo) -> None:
    marketo.server.configure(limits=False)
    kinds: tuple[ChaosKind, ...] = tuple(kind for kind in CHAOS_KINDS if kind != "token")
    chaos = Chaos(seed=7, rate=0.5, kinds=kinds, slow_seconds=0.001)
    first = endings(marketo, chaos, 60)
    assert first == endings(marketo, chaos, 60)
    assert first != endings(marketo, msgspec.structs.replace(chaos, seed=8), 60)
    assert "ok" in first
    assert {"cut", "no json"} <= set(first)


@pytest.mark.parametrize("kind", get_args(ChaosKind))
def test_every_kind_of_chaos_happens_and_can_be_limited(marketo: Marketo, kind: ChaosKind) -> None:
    chaos = Chaos(seed=1, rate=1.0, kinds=(kind,), slow_seconds=0.001, limit=4)
    endings(marketo, chaos, 6)
    assert 1 <= marketo.server.faults.fired(kind) <= 4


def test_chaos_can_spare_endpoints_and_never_hits_too_often_in_a_row(marketo: Marketo) -> None:
    chaos = Chaos(seed=1, rate=1.0, kinds=("not_executed",), endpoints=frozenset({"leads.sync"}), in_a_row=2)
    marketo.server.faults.set_chaos(chaos)
    assert all(marketo.get("/rest/v1/stats/usage.json")["success"] for _ in range(5))
    assert [marketo.post(SYNC, BODY)["success"] for _ in range(6)] == [False, False, True] * 2


def test_the_log_tells_reads_from_writes(marketo: Marketo) -> None:
    marketo.get("/rest/v1/leads/describe.json")
    marketo.get(SYNC, filterType="email", filterValues="a@example.org,b@example.org")
    assert marketo.server.calls.writes() == []
    marketo.post(SYNC, {"input": [{"email": "A@example.org"}, {"email": "b@example.org", "x": 1}]})
    (call,) = marketo.server.calls.writes()
    assert (call.endpoint, call.records, call.row_codes) == ("leads.sync", 2, {"1006": 1})
    assert set(call.keys) == {"a@example.org", "b@example.org"}
    assert call.request_id is not None
    assert marketo.server.calls.count() == 4
    assert marketo.server.calls.count("leads.query") == 1


def test_the_log_is_bounded_and_can_be_off_while_counters_go_on(marketo: Marketo) -> None:
    marketo.server.configure(calls_kept=3)
    marketo.server.reset()
    marketo.sign_in()
    for _ in range(5):
        marketo.get("/rest/v1/stats/usage.json")
    assert [call.number for call in marketo.server.calls.all()] == [4, 5, 6]
    marketo.server.configure(log_calls=False)
    marketo.get("/rest/v1/stats/usage.json")
    assert len(marketo.server.calls.all()) == 3
    assert marketo.server.calls.count("usage.today") == 6


def test_everything_works_over_http_too(marketo: Marketo) -> None:
    seeded = marketo.control(
        "seed",
        {
            "leads": [{"fields": {"email": "twin@example.org"}}] * 2 + [{"fields": {"email": "x@example.org"}}],
            "members": [{"program_id": 1004, "email": "x@example.org", "status": "Attended"}],
            "programs": [{"id": 77, "name": "New", "type": "Default", "channel": "Operational", "folder_id": 512}],
            "lead_fields": [{"name": "shoeSize", "display_name": "Shoe Size", "data_type": "integer"}],
            "usage": {"other@example.com": 40},
        },
    ).json()
    twin, _, known = seeded["lead_ids"]
    assert marketo.sync({"email": "twin@example.org"}, {"email": "x@example.org", "shoeSize": 43})[1] == {
        "id": known,
        "status": "updated",
    }
    assert marketo.set_status(77, "Member", twin)["result"][0]["status"] == "created"
    marketo.control("faults", {"add": [{"name": "f", "endpoint": "leads.sync", "code": 713, "times": 2}]})
    assert marketo.post(SYNC, BODY)["errors"][0]["code"] == 713
    state = marketo.control("state").json()
    assert state["members_by_program"]["1004"] == {"Attended": 1}
    assert state["members_by_program"]["77"] == {"Member": 1}
    assert list(state["duplicate_emails"]) == ["twin@example.org"]
    assert state["faults_fired"] == {"f": 1}
    assert state["counters"]["leads.sync"] == {"200": 1, "713": 1}
    assert state["usage"]["total"] == 43
    assert "client_secret" not in json.dumps(state)
    assert {row["email"] for row in state["members"]} == {"x@example.org", "twin@example.org"}
    assert list(marketo.control("state?parts=counters").json()) == ["counters"]
    marketo.control("clock", {"advance_seconds": 4000})
    assert marketo.get("/rest/v1/stats/usage.json")["errors"][0]["code"] == "602"
    changed = marketo.control("settings", {"daily_calls": 5}).json()
    assert changed["daily_calls"] == 5
    marketo.control("reset", {})
    assert marketo.control("summary").json()["leads"] == 0
    assert marketo.server.faults.all_fired() == {}


def test_a_held_call_is_released_over_http(marketo: Marketo) -> None:
    marketo.control("faults", {"add": [{"name": "stall", "hold_at": "during"}]})
    thread = threading.Thread(target=marketo.post, args=(SYNC, BODY))
    thread.start()
    assert marketo.server.faults.wait_until_held("stall")
    assert marketo.control("state?parts=held,concurrency").json()["held"] == {"stall": 1}
    marketo.control("release", {"names": ["stall"]})
    thread.join(20)
    assert leads(marketo) == 1


@pytest.mark.parametrize(
    ("door", "body"),
    [
        ("faults", {"add": [{"endpont": "leads.sync"}]}),
        ("faults", {"chaos": {"seed": "x"}}),
        ("seed", {"members": [{"program_id": 1004, "email": "nobody@example.org", "status": "Attended"}]}),
        ("seed", {"leads": [{"fields": {}, "partition": "Mars"}]}),
        ("settings", {"daily_cals": 5}),
        ("state?parts=nothing", None),
    ],
)
def test_a_control_body_that_does_not_fit_is_a_400(marketo: Marketo, door: str, body: object) -> None:
    answer = marketo.control(door, body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_control_calls_are_no_calls(marketo: Marketo) -> None:
    before = marketo.server.calls.count()
    marketo.control("state")
    assert requests.get(marketo.server.url, timeout=20).status_code == 200
    assert marketo.control("nothing").status_code == 404
    assert marketo.server.calls.count() == before


def test_the_page_escapes_what_it_shows(marketo: Marketo) -> None:
    evil = '<script>alert("x")</script>'
    state = marketo.server.state
    lead = state.add_lead({"email": "a@example.org"})
    state.add_member(1004, lead, evil)
    marketo.server.faults.add(Fault(name=evil, code="713"))
    marketo.post(SYNC, BODY)
    page = requests.get(marketo.server.url, timeout=20)
    assert page.headers["Content-Type"] == "text/html;charset=UTF-8"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert evil not in page.text
    assert page.text.count("\\u003cscript>alert(") == 2
    assert "Spring Expo 2026" in page.text
    assert "leads.sync" in page.text
    assert marketo.server.client_secret not in page.text


def test_a_server_keeps_state_and_port_over_a_pause() -> None:
    server = SandboxServer()
    with server:
        url = server.url
        server.state.add_lead({"email": "a@example.org"})
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=5)
    with server:
        assert server.url == url
        assert requests.get(f"{url}/_sandbox/summary", timeout=20).json()["leads"] == 1


def test_a_taken_port_is_an_error(server: SandboxServer) -> None:
    port = int(server.url.rpartition(":")[2])
    with pytest.raises(OSError, match="address already in use"):
        SandboxServer(port=port).start()
