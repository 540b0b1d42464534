"""Tokens, permissions, limits, sizes and the envelope."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import requests

from marketo_sandbox import Fault, Permission, SandboxServer, Service

if TYPE_CHECKING:
    from unit_tests.sandbox.conftest import Marketo

USAGE = "/rest/v1/stats/usage.json"


def test_token_is_the_same_while_it_lives_and_shows_its_remaining_life(marketo: Marketo) -> None:
    first = marketo.token().json()
    marketo.server.advance(1000)
    second = marketo.token().json()
    assert first["token_type"] == "bearer"
    assert first["scope"] == "connector-api@example.com"
    assert second["access_token"] == first["access_token"]
    assert first["expires_in"] - second["expires_in"] in {1000, 1001}
    marketo.server.advance(2600)
    third = marketo.token().json()
    assert third["access_token"] != first["access_token"]
    assert third["expires_in"] in {3599, 3600}


def test_token_request_may_be_posted_with_its_parameters_in_the_query(marketo: Marketo) -> None:
    server = marketo.server
    url = (
        f"{server.url}/identity/oauth/token?grant_type=client_credentials"
        f"&client_id={server.client_id}&client_secret={server.client_secret}"
    )
    assert requests.post(url, timeout=20).json()["access_token"] == marketo.token().json()["access_token"]


@pytest.mark.parametrize("changes", [{"client_secret": "wrong"}, {"client_id": "wrong"}, {"client_secret": ""}])
def test_wrong_credentials_are_a_401_in_the_identity_form(marketo: Marketo, changes: dict[str, str]) -> None:
    answer = marketo.token(**changes)
    assert answer.status_code == 401
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.json()["error"] == "invalid_client"


def test_an_ended_token_gives_602_once_and_601_from_then_on(marketo: Marketo) -> None:
    marketo.server.advance(3601)
    codes = [marketo.get(USAGE)["errors"][0]["code"] for _ in range(3)]
    assert codes == ["602", "601", "601"]
    marketo.sign_in()
    assert marketo.get(USAGE)["success"] is True


def test_an_unknown_token_gives_601(server: SandboxServer) -> None:
    answer = requests.get(server.url + USAGE, headers={"Authorization": "Bearer nobody:sb"}, timeout=20)
    assert answer.status_code == 200
    assert answer.json()["errors"][0] == {"code": "601", "message": "Access token invalid"}


def test_a_token_counts_in_the_header_only(marketo: Marketo) -> None:
    token = marketo.token().json()["access_token"]
    answer = requests.get(marketo.server.url + USAGE, params={"access_token": token}, timeout=20)
    assert answer.json()["errors"][0]["code"] == "603"
    both = marketo.get(USAGE, access_token=token)
    assert both["errors"][0]["code"] == "603"
    assert requests.get(marketo.server.url + USAGE, timeout=20).json()["errors"][0]["code"] == "603"


@pytest.mark.parametrize(
    ("permissions", "allowed"),
    [
        ([], {"usage"}),
        ([Permission.READ_LEAD], {"usage", "read"}),
        ([Permission.WRITE_LEAD], {"usage", "read", "write", "import"}),
        ([Permission.READ_ASSETS], {"usage", "assets"}),
    ],
)
def test_the_role_decides_what_is_allowed(marketo: Marketo, permissions: list[Permission], allowed: set[str]) -> None:
    service = Service(client_id="c", client_secret="s", permissions=frozenset(permissions))
    marketo.server.configure(services=[service])
    marketo.sign_in()
    answers = {
        "usage": marketo.get(USAGE),
        "read": marketo.get("/rest/v1/leads/describe.json"),
        "write": marketo.post("/rest/v1/leads.json", {"input": [{"email": "a@example.org"}]}),
        "assets": marketo.get("/rest/asset/v1/program/1004.json"),
        "import": marketo.upload("email\na@example.org\n"),
    }
    assert {name for name, answer in answers.items() if answer["success"]} == allowed
    refused = [answer["errors"][0]["code"] for answer in answers.values() if not answer["success"]]
    assert set(refused) <= {"603"}


def test_more_calls_than_the_window_allows_are_606_until_it_has_moved_on(marketo: Marketo) -> None:
    answers = [marketo.get(USAGE) for _ in range(102)]
    assert [answer["success"] for answer in answers] == [True] * 100 + [False] * 2
    assert answers[-1]["errors"][0]["code"] == "606"
    marketo.server.advance(20.1)
    assert marketo.get(USAGE)["success"] is True


def test_the_window_slides(marketo: Marketo) -> None:
    marketo.server.configure(calls_per_window=2)
    assert marketo.get(USAGE)["success"]
    marketo.server.advance(15)
    assert marketo.get(USAGE)["success"]
    marketo.server.advance(6)
    assert marketo.get(USAGE)["success"]
    assert marketo.get(USAGE)["errors"][0]["code"] == "606"


def test_the_daily_quota_counts_every_user_of_the_instance(marketo: Marketo) -> None:
    marketo.server.configure(daily_calls=1000)
    marketo.server.state.set_usage("other@example.com", 998)
    assert marketo.get(USAGE)["success"]
    assert marketo.get(USAGE)["success"]
    assert marketo.get(USAGE)["errors"][0]["code"] == "607"
    marketo.server.advance(24 * 3600)
    marketo.sign_in()
    assert marketo.get(USAGE)["success"]


def test_usage_names_users_and_does_not_count_uncounted_codes(marketo: Marketo) -> None:
    marketo.server.state.set_usage("other@example.com", 7)
    marketo.server.faults.add(Fault(code="608", times=3))
    for _ in range(3):
        marketo.get("/rest/v1/leads/describe.json")
    marketo.get("/rest/v1/nothing.json")
    row = marketo.get(USAGE)["result"][0]
    assert row["total"] == 8
    assert row["users"] == [
        {"userId": "connector-api@example.com", "count": 1},
        {"userId": "other@example.com", "count": 7},
    ]
    errors = marketo.get("/rest/v1/stats/errors.json")["result"][0]
    assert errors["total"] == 4
    assert errors["errors"] == [{"errorCode": "608", "count": 3}, {"errorCode": "610", "count": 1}]
    week = marketo.get("/rest/v1/stats/usage/last7days.json")["result"]
    assert [day["total"] for day in week] == [0, 0, 0, 0, 0, 0, 10]


def test_limits_can_be_switched_off(marketo: Marketo) -> None:
    marketo.server.configure(limits=False, daily_calls=1, calls_per_window=1)
    assert all(marketo.get(USAGE)["success"] for _ in range(5))


def test_a_body_over_one_megabyte_is_a_413_and_a_uri_over_eight_kilobytes_a_414(marketo: Marketo) -> None:
    row = {"email": "a@example.org", "eventNotes": "x" * 29_000}
    body = {"input": [row] * 35}
    assert marketo.send("POST", "/rest/v1/leads.json", json=body).status_code == 413
    assert marketo.server.state.lead_count() == 0
    values = ",".join(f"person{number:04}@example.org" for number in range(300))
    query = {"filterType": "email", "filterValues": values}
    assert marketo.send("GET", "/rest/v1/leads.json", params=query).status_code == 414
    posted = marketo.send("POST", "/rest/v1/leads.json", params={"_method": "GET"}, data=query)
    assert posted.json() == {"requestId": posted.json()["requestId"], "success": True, "result": []}


def test_wrong_content_type_body_path_and_method(marketo: Marketo) -> None:
    def code_of(method: str, path: str, body: bytes, kind: str) -> str:
        answer = marketo.send(method, path, data=body, headers={"Content-Type": kind})
        assert answer.status_code == 200
        code: str = answer.json()["errors"][0]["code"]
        return code

    assert code_of("POST", "/rest/v1/leads.json", b"{}", "text/plain") == "612"
    assert code_of("POST", "/rest/v1/leads.json", b"{", "application/json") == "609"
    assert code_of("POST", "/rest/v1/leads.json", b"[]", "application/json") == "609"
    assert code_of("POST", "/rest/v1/leads.json?_method=GET", b"{}", "application/json") == "612"
    assert code_of("POST", "/rest/v1/leds.json", b"{}", "application/json") == "610"
    assert code_of("GET", "/rest/bulk/v1/program/1004/members/import.json", b"", "text/plain") == "610"
    assert code_of("DELETE", "/rest/v1/leads.json", b"", "text/plain") == "605"
    assert code_of("POST", "/rest/asset/v1/programs.json?_method=GET", b"", "text/plain") == "605"


def test_large_answers_are_compressed_for_those_who_accept_it(marketo: Marketo) -> None:
    path = "/rest/v1/leads/describe.json"
    packed = marketo.send("GET", path, headers={"Accept-Encoding": "gzip"})
    plain = marketo.send("GET", path, headers={"Accept-Encoding": "identity"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in plain.headers
    assert packed.json()["result"] == plain.json()["result"]
    assert int(packed.headers["Content-Length"]) < int(plain.headers["Content-Length"])
