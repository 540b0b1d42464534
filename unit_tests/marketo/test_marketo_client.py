"""One call: token, envelope, retries, and what never leaves the client."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import ssl
import threading
import traceback
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import certifi
import pytest
import requests
import urllib3
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.marketo.calls import Call, Reply, get
from destination_marketo_programs.marketo.client import MarketoClient
from destination_marketo_programs.marketo.envelope import MisshapenError
from destination_marketo_programs.marketo.errors import (
    AnswerMisfitError,
    BadCredentialsError,
    CertificatesError,
    ConfigurationFaultError,
    MarketoError,
    NotFoundError,
    OutcomeUnknownError,
    QuotaReachedError,
    RefusedError,
    StoppedError,
    TooLargeError,
    UnreachableError,
    WriteAttemptedError,
)
from destination_marketo_programs.marketo.limits import Budget, Gate, Pace
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.marketo.transport import Answer, Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import requests_mock as mock

    from unit_tests.marketo.conftest import Api

PATH = "/rest/v1/leads.json"
READ = Call("query_leads", "GET", PATH)
UPDATE = Call("sync_leads", "POST", PATH, body=b"{}", rows=300)
CREATE = UPDATE._replace(repeatable=False)
DONE = {"json": {"requestId": "a#1", "success": True, "result": [{"id": 1}]}}


def failure(code: Any, message: str = "text") -> dict[str, Any]:
    return {"json": {"requestId": "a#2", "success": False, "errors": [{"code": code, "message": message}]}}


# --- token ---------------------------------------------------------------------------------------------------


def test_the_token_travels_in_the_header_and_nowhere_else(api: Api) -> None:
    api.answers("POST", PATH, DONE)
    api.client.send(UPDATE)
    (asked,) = api.token_requests
    assert parse_qs(urlsplit(asked.url).query) == {
        "grant_type": ["client_credentials"],
        "client_id": ["client-id"],
        "client_secret": [api.secret],
    }
    assert "Authorization" not in asked.headers
    (call,) = api.calls
    assert call.headers["Authorization"] == "Bearer token-1:sj"
    assert call.headers["Content-Type"] == "application/json"
    assert "token" not in call.url
    assert "token" not in call.text
    assert api.told == ["token-1:sj"]
    assert api.client.api_user == api.user


def test_a_netrc_file_puts_no_other_credentials_into_a_call(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Requests prefers ~/.netrc to a header, and sends it to the identity service as well."""
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {urlsplit(api.origin).hostname} login someone password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    api.answers("GET", PATH, DONE)
    api.client.send(READ)
    assert "Authorization" not in api.token_requests[0].headers
    assert api.calls[0].headers["Authorization"] == "Bearer token-1:sj"


def test_proxy_and_certificates_of_the_environment_count(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Self-hosted platforms reach the internet through both; `NO_PROXY` names Marketo where they do not."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    monkeypatch.setenv("NO_PROXY", "elsewhere.example")
    api.answers("GET", PATH, DONE)
    api.client.send(READ)
    assert api.calls[0].proxies["https"] == "http://proxy.example:3128"
    assert api.calls[0].verify == certifi.where()
    monkeypatch.setenv("NO_PROXY", "mktorest.com")
    api.new_client().send(READ)
    assert not api.calls[1].proxies.get("https")


@pytest.mark.parametrize("origin", ["http://localhost:8080", "http://127.0.0.1:8080", "http://[::1]:8080"])
def test_no_proxy_comes_between_this_machine_and_itself(
    origin: str, monkeypatch: pytest.MonkeyPatch, requests_mock: mock.Mocker
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/does/not/exist.pem")
    requests_mock.get(f"{origin}/identity/oauth/token", json={"access_token": "t", "expires_in": 3600})
    requests_mock.get(origin + PATH, json=DONE["json"])
    MarketoClient(origin, "id", "secret", Gate(Pace(100, 5), Budget(None))).send(READ)
    assert [dict(request.proxies) for request in requests_mock.request_history] == [{}, {}]


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "No such file or directory"), (b"", "it holds none"), (b"no certificate", "it holds none")],
)
def test_a_wrong_file_of_certificates_is_told_as_what_it_is(
    api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "company.pem"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv(variable, str(path))
    with pytest.raises(CertificatesError) as raised:
        api.client.send(READ)
    assert (raised.value.variable, raised.value.path, raised.value.reason) == (variable, str(path), reason)
    assert f"{variable} names {path}" in str(raised.value)
    assert api.mocker.request_history == []


def test_cookies_are_not_sent_back(api: Api) -> None:
    api.answers("GET", PATH, {**DONE, "headers": {"Set-Cookie": "server=7; Path=/"}}, DONE)
    api.client.send(READ)
    api.client.send(READ)
    assert "Cookie" not in api.calls[1].headers


def test_a_token_serves_until_it_is_nearly_used_up(api: Api) -> None:
    api.answers("GET", PATH, DONE)
    api.client.send(READ)
    api.clock.now += 3539
    api.client.send(READ)
    assert len(api.token_requests) == 1
    api.clock.now += 2
    api.client.send(READ)
    assert len(api.token_requests) == 2
    assert [call.headers["Authorization"] for call in api.calls] == [f"Bearer token-{n}:sj" for n in (1, 1, 2)]


@pytest.mark.parametrize("life", [100, 10, 1, 0, -5, "90"])
def test_a_token_that_is_nearly_expired_is_used_all_the_same(api: Api, life: float) -> None:
    """Asked again, Marketo gives the same token: insisting on a fresh one would ask for ever."""
    api.life = life
    api.answers("GET", PATH, DONE)
    api.client.send(READ)
    assert len(api.token_requests) == 1
    api.clock.now += float(life) / 2 + 1
    api.client.send(READ)
    assert len(api.token_requests) == 2


def test_the_life_of_a_token_is_counted_from_when_it_was_asked_for(api: Api) -> None:
    def slow(_request: Any, _context: Any) -> dict[str, Any]:
        api.clock.now += 600
        return {"access_token": "slow", "expires_in": 700}

    api.identity({"json": slow})
    api.answers("GET", PATH, DONE)
    api.client.send(READ)
    api.clock.now += 41
    api.client.send(READ)
    assert len(api.token_requests) == 2


@pytest.mark.parametrize("refusal", [failure("601"), failure(602), failure("600"), {"status_code": 401}])
def test_a_refused_token_is_renewed_once_and_the_call_repeated(api: Api, refusal: dict[str, Any]) -> None:
    """Nothing was executed, so a create is repeated too; and at once, as nobody is overloaded."""
    api.answers("POST", PATH, refusal, DONE)
    api.client.send(CREATE)
    assert len(api.token_requests) == 2
    assert [call.headers["Authorization"][-10:] for call in api.calls] == ["token-1:sj", "token-2:sj"]
    assert api.gate.pauses == []
    api.client.send(READ._replace(method="POST"))
    assert len(api.token_requests) == 2


def test_tokens_refused_again_and_again_are_asked_for_more_slowly_and_not_for_ever(api: Api) -> None:
    api.answers("GET", PATH, failure("601"))
    with pytest.raises(UnreachableError) as raised:
        api.client.send(READ)
    assert raised.value.code == "601"
    assert len(api.gate.pauses) >= 5
    assert len(api.calls) < 60
    assert len(api.token_requests) <= len(api.calls)


def test_threads_that_hold_the_same_refused_token_renew_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With five calls at once, five renewals would each cut off the token of the one before."""
    both_refused = threading.Barrier(3)
    tokens: list[str] = []

    def exchange(_transport: Transport, request: Request) -> Answer:
        if request.target.startswith("/identity/oauth/token"):
            tokens.append(f"token-{len(tokens)}")
            return Answer(200, f'{{"access_token":"{tokens[-1]}","expires_in":3600}}'.encode())
        if request.headers["Authorization"] == "Bearer token-0":
            both_refused.wait(10)
            return Answer(200, b'{"success":false,"errors":[{"code":"602"}]}')
        return Answer(200, b'{"success":true,"result":[]}')

    monkeypatch.setattr(Transport, "exchange", exchange)
    client = MarketoClient("https://x", "id", "secret", Gate(Pace(100, 5), Budget(None)))
    threads = [threading.Thread(target=client.send, args=(READ,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert tokens == ["token-0", "token-1"]


class WatchedLock:
    """Counts who wants it, those who have to wait included."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.wanted = threading.Semaphore(0)

    def __enter__(self) -> None:
        self.wanted.release()
        self._lock.acquire()

    def __exit__(self, *_exception: object) -> None:
        self._lock.release()


def test_a_thread_that_waited_for_a_token_takes_the_one_that_came(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    lock = WatchedLock()
    monkeypatch.setattr(api.client._tokens, "_lock", lock)
    fetched: list[float] = []
    fetch = api.client._tokens._fetch_once

    def fetch_while_another_waits() -> object:
        fetched.append(api.clock.now)
        for _ in range(2 if len(fetched) == 1 else 0):
            assert lock.wanted.acquire(timeout=10)
        return fetch()

    monkeypatch.setattr(api.client._tokens, "_fetch_once", fetch_while_another_waits)
    api.answers("GET", PATH, DONE)
    threads = [threading.Thread(target=api.client.send, args=(READ,), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert len(fetched) == 1
    assert len(api.token_requests) == 1


def test_another_answer_between_refused_tokens_starts_their_count_anew(api: Api) -> None:
    refused, busy = failure("601"), failure("608")
    api.answers("GET", PATH, refused, refused, busy, refused, refused, DONE)
    api.client.send(READ)
    assert api.gate.pauses == [0.25]


@pytest.mark.parametrize("status", [400, 401, 403])
def test_credentials_that_marketo_does_not_know_are_not_tried_again(api: Api, status: int) -> None:
    api.identity({"status_code": status, "json": {"error": "invalid_client", "error_description": api.secret}})
    with pytest.raises(BadCredentialsError) as raised:
        api.client.send(READ)
    assert len(api.token_requests) == 1
    assert api.calls == []
    assert raised.value.code == f"HTTP {status}"
    assert api.secret not in str(raised.value)


@pytest.mark.parametrize("status", [200, 400, 401])
@pytest.mark.parametrize("error", ["invalid_client", "unauthorized", "unauthorized_client"])
def test_credentials_are_refused_with_marketos_sentence_under_any_status(api: Api, status: int, error: str) -> None:
    """Taken for an unreachable service, it would be asked again for minutes, and the user sent to the address."""
    body = {"error": error, "error_description": "Client authentication failed\x00"}
    api.identity({"status_code": status, "json": body})
    with pytest.raises(BadCredentialsError) as raised:
        api.client.send(READ)
    assert len(api.token_requests) == 1
    assert raised.value.code == f"HTTP {status}"
    assert raised.value.marketo_message == "Client authentication failed"


def test_a_sentence_that_repeats_the_secret_is_not_passed_on(api: Api) -> None:
    api.identity({"json": {"error": "invalid_client", "error_description": f"No client with {api.secret}"}})
    with pytest.raises(BadCredentialsError) as raised:
        api.client.send(READ)
    assert raised.value.marketo_message is None


def test_credentials_that_no_address_can_hold_are_refused_and_do_not_crash(api: Api) -> None:
    """Half a character, out of a configuration that was cut in the middle."""
    api.identity({"status_code": 401})
    client = MarketoClient(api.origin, "id\ud800", "sec\udfffret", api.gate)
    with pytest.raises(BadCredentialsError):
        client.send(READ)


@pytest.mark.parametrize(
    "answer",
    [
        {"json": {"error": "temporarily_unavailable"}},
        {"json": {"error": "server_error", "error_description": "Try again"}},
        {"json": {"error": ["odd"]}},
        {"json": {"access_token": "t", "expires_in": "Infinity"}},
        {"json": {"access_token": "t", "expires_in": [1]}},
        {"text": "[" * 100_000},
        {"status_code": 502},
        {"status_code": 503, "text": "<html>"},
        {"status_code": 429},
        {"text": "<html>maintenance</html>"},
        {"text": ""},
        {"json": []},
        {"json": None},
        {"json": {"expires_in": 3600}},
        {"json": {"access_token": "t"}},
        {"json": {"access_token": "", "expires_in": 3600}},
        {"json": {"access_token": None, "expires_in": 3600}},
        {"json": {"access_token": "two\r\nlines", "expires_in": 3600}},
        {"json": {"access_token": "tökén", "expires_in": 3600}},
        {"json": {"access_token": "t", "expires_in": "soon"}},
        {"json": {"access_token": "t", "expires_in": None}},
        {"content": b"\xff\xfe"},
        {"exc": requests.ConnectionError("reset")},
        {"exc": requests.ReadTimeout("slow")},
        {"exc": requests.exceptions.SSLError("tls")},
    ],
)
def test_an_identity_service_that_stumbles_is_asked_again(api: Api, answer: dict[str, Any]) -> None:
    """Asking for a token twice is harmless, whatever became of the first time."""
    api.identity(answer, answer, {"json": {"access_token": "at-last", "expires_in": 3600}})
    api.answers("POST", PATH, DONE)
    api.client.send(CREATE)
    assert api.calls[0].headers["Authorization"] == "Bearer at-last"
    assert api.client.api_user == ""
    assert len(api.gate.pauses) == 2


def test_an_identity_service_that_stays_away_is_unreachable(api: Api) -> None:
    api.identity({"status_code": 503})
    began = api.clock.now
    with pytest.raises(UnreachableError):
        api.client.send(READ)
    assert 120 <= api.clock.now - began < 145


def test_tokens_do_not_count_as_calls(api: Api) -> None:
    api.answers("GET", PATH, DONE)
    api.client.send(READ)
    assert api.gate.budget.used_now == 1


# --- envelope ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "result", "request_id"),
    [
        ({"requestId": "a#1", "result": [1], "warnings": [], "errors": []}, [1], "a#1"),
        ({"requestId": None, "result": None}, [], None),
        ({"requestId": 5, "warnings": ["No assets found for the given search criteria."]}, [], None),
        ({"requestId": "Ada Byron"}, [], None),
        ({"requestId": "ada@example.org#1"}, [], None),
        ({"requestId": "a41c#18f20b7d3e9", "result": []}, [], "a41c#18f20b7d3e9"),
        ({"errors": None, "result": [], "moreResult": False}, [], None),
    ],
)
def test_every_member_beside_success_is_optional(
    api: Api, members: dict[str, Any], result: list[Any], request_id: str | None
) -> None:
    api.answers("GET", PATH, {"json": {"success": True, **members}})
    reply = api.client.send(READ)
    assert (reply.result, reply.request_id) == (result, request_id)
    assert reply.members["success"] is True


def test_http_is_read_before_success(api: Api) -> None:
    """A gateway's error page may well hold a body that says everything is fine."""
    api.answers("GET", PATH, {"status_code": 404, "json": DONE["json"]})
    with pytest.raises(NotFoundError) as raised:
        api.client.send(READ)
    assert raised.value.code == "HTTP 404"


def test_success_is_read_before_errors_and_a_result_beside_a_failure_is_none(api: Api) -> None:
    body = failure("610")["json"] | {"result": [{"id": 1}]}
    api.answers("GET", PATH, {"json": body})
    with pytest.raises(NotFoundError):
        api.client.send(READ)


@pytest.mark.parametrize(
    ("answer", "error", "code"),
    [
        (failure("603"), ConfigurationFaultError, "603"),
        (failure(603), ConfigurationFaultError, "603"),
        (failure("607"), QuotaReachedError, "607"),
        (failure("610"), NotFoundError, "610"),
        (failure("702"), NotFoundError, "702"),
        (failure("609"), RefusedError, "609"),
        (failure("1003"), RefusedError, "1003"),
        (failure("1077"), RefusedError, "1077"),
        ({"status_code": 413, "text": "<html>"}, TooLargeError, "HTTP 413"),
        ({"status_code": 414}, RefusedError, "HTTP 414"),
        ({"status_code": 400}, RefusedError, "HTTP 400"),
        ({"status_code": 403}, ConfigurationFaultError, "HTTP 403"),
        ({"status_code": 404}, NotFoundError, "HTTP 404"),
        ({"status_code": 407}, ConfigurationFaultError, "HTTP 407"),
        (
            {"status_code": 302, "headers": {"Location": "https://elsewhere.example/"}},
            ConfigurationFaultError,
            "HTTP 302",
        ),
    ],
)
def test_what_will_not_change_is_said_at_once(
    api: Api, answer: dict[str, Any], error: type[MarketoError], code: str
) -> None:
    api.answers("POST", PATH, answer)
    with pytest.raises(error) as raised:
        api.client.send(CREATE)
    assert type(raised.value) is error
    assert raised.value.code == code
    assert raised.value.endpoint == "sync_leads"
    assert len(api.calls) == 1
    assert api.gate.pauses == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_with_the_token(api: Api, status: int) -> None:
    elsewhere = {"status_code": status, "headers": {"Location": "https://elsewhere.example/rest/v1/leads.json"}}
    api.mocker.get("https://elsewhere.example/rest/v1/leads.json", json=DONE["json"])
    api.answers("GET", PATH, elsewhere)
    with pytest.raises(ConfigurationFaultError):
        api.client.send(READ)
    api.identity(elsewhere)
    with pytest.raises(ConfigurationFaultError):
        api.new_client().send(READ)
    assert {urlsplit(request.url).hostname for request in api.mocker.request_history} == {urlsplit(api.origin).hostname}


def tls_failure(cause: ssl.SSLError) -> requests.exceptions.SSLError:
    """As requests wraps what urllib3 wraps around it."""
    wrapped = urllib3.exceptions.SSLError(cause)
    return requests.exceptions.SSLError(urllib3.exceptions.MaxRetryError(_POOL, PATH, wrapped))


_POOL = urllib3.HTTPSConnectionPool("unused.example")
NO_USABLE_ANSWER = [
    failure("604"),
    failure("611"),
    failure("502"),
    failure(500),
    {"status_code": 500},
    {"status_code": 502, "text": "<html>Bad Gateway</html>"},
    {"status_code": 503},
    {"status_code": 504},
    {"status_code": 408},
    {"text": "<html>ok</html>"},
    {"text": ""},
    {"text": '{"requestId":"a#1","success":true,"result":[{"id":1'},
    {"content": b'{"success":true,"result":["\xff"]}'},
    {"json": [DONE["json"]]},
    {"json": "success"},
    {"json": {}},
    {"json": {"success": "true", "result": []}},
    {"json": {"success": False}},
    {"json": {"success": True, "result": {"id": 1}}},
    {"json": {"success": True, "result": "none"}},
    {"json": {"success": 1, "result": []}},
    {"json": {"success": False, "errors": {"code": "606"}}},
    {"json": {"success": False, "errors": [["606"]]}},
    {"json": {"success": False, "errors": [{"code": "Ada Byron has left", "message": "text"}]}},
    {"json": {"success": False, "errors": [{"code": {"number": 606}}]}},
    {"text": '{"success":true,"result":' + "[" * 100_000},
    {"text": '{"success":true,"result":[' + "7" * 5_000 + "]}"},
    {"content": b"not gzip", "headers": {"Content-Encoding": "gzip"}},
    {"content": gzip.compress(b'{"success":true}')[:-9], "headers": {"Content-Encoding": "gzip"}},
    {"content": b"x", "headers": {"Content-Encoding": "br"}},
    {"json": {"success": False, "errors": []}},
    {"json": {"success": False, "errors": None}},
    {"json": {"success": False, "errors": ["606"]}},
    {"json": {"success": False, "errors": [{"message": "text"}]}},
    {"json": {"result": [{"id": 1}]}},
    {"exc": requests.ReadTimeout("Read timed out.")},
    {"exc": requests.ConnectionError("Connection aborted.")},
    {"exc": requests.exceptions.ChunkedEncodingError("IncompleteRead")},
    {"exc": requests.exceptions.ContentDecodingError("gzip")},
    {"exc": tls_failure(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))},
    {"exc": requests.exceptions.SSLError(urllib3.exceptions.SSLError("[SSL] record layer failure"))},
]


@pytest.mark.parametrize("answer", NO_USABLE_ANSWER)
def test_a_create_without_usable_answer_is_left_to_the_caller_at_once(api: Api, answer: dict[str, Any]) -> None:
    """Repeated while the first still runs, it creates a second lead, and the address answers 1007 from then on."""
    api.clock.now = 5000.0
    api.answers("POST", PATH, answer)
    with pytest.raises(OutcomeUnknownError) as raised:
        api.client.send(CREATE)
    assert len(api.calls) == 1
    assert raised.value.sent_at == 5000.0


@pytest.mark.parametrize("answer", NO_USABLE_ANSWER)
def test_what_may_be_executed_twice_is_sent_again(api: Api, answer: dict[str, Any]) -> None:
    api.answers("POST", PATH, answer, DONE)
    assert api.client.send(UPDATE).result == [{"id": 1}]
    assert api.gate.pauses == [0.25]


NOT_EXECUTED = [
    failure("608"),
    failure("713"),
    failure(614),
    failure("606"),
    failure("615"),
    {"status_code": 429},
    {"exc": requests.ConnectTimeout("connect")},
    {"exc": requests.exceptions.ProxyError("proxy")},
    {"exc": tls_failure(ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed"))},
]


@pytest.mark.parametrize("answer", NOT_EXECUTED)
def test_what_was_not_executed_is_sent_again_even_if_it_creates(api: Api, answer: dict[str, Any]) -> None:
    api.answers("POST", PATH, answer, DONE)
    assert api.client.send(CREATE).result == [{"id": 1}]
    assert len(api.gate.pauses) == 1


def test_a_create_is_left_to_the_caller_with_the_time_of_its_last_try(api: Api) -> None:
    """The 90 seconds count from the try that may still be running, not from the first one, which was refused."""
    api.answers("POST", PATH, failure("608"), {"status_code": 502})
    began = api.clock.now
    with pytest.raises(OutcomeUnknownError) as raised:
        api.client.send(CREATE)
    assert raised.value.sent_at == began + sum(api.gate.pauses) > began


# --- retries -------------------------------------------------------------------------------------------------


def test_retries_end_with_the_window_and_not_before(api: Api) -> None:
    api.answers("GET", PATH, failure("608"))
    began = api.clock.now
    with pytest.raises(UnreachableError) as raised:
        api.client.send(READ)
    assert 120 <= api.clock.now - began <= 140
    assert raised.value.code == "608"
    assert raised.value.request_id == "a#2"
    assert api.gate.pauses[:6] == [0.25, 0.5, 1, 2, 4, 8]
    assert max(api.gate.pauses) == 10


def test_a_shorter_window_is_kept_as_well(api: Api) -> None:
    client = api.new_client(RetryPolicy().for_check())
    api.answers("GET", PATH, {"status_code": 503})
    began = api.clock.now
    with pytest.raises(UnreachableError):
        client.send(READ._replace(time_limit_seconds=310.0))
    assert {call.timeout[1] for call in api.calls} == {45}
    assert 10 <= api.clock.now - began <= 30


def test_the_window_counts_from_the_first_failure_of_this_call(api: Api) -> None:
    """Not from its start: one answer may take longer than the whole window."""

    def slow(_request: Any, context: Any) -> str:
        api.clock.now += 119
        context.status_code = 503 if len(api.calls) == 1 else 200
        return '{"success":true}'

    api.mocker.get(api.origin + PATH, text=slow)
    api.client.send(READ)
    assert len(api.calls) == 2


@pytest.mark.parametrize("failures", [6, 1000])
def test_waiting_for_a_turn_at_our_own_pace_uses_up_no_window(
    api: Api, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    """At 5 calls per 20 seconds a call may wait longer for its second try than the whole window."""
    turn = api.gate.turn

    @contextlib.contextmanager
    def late_turn(endpoint: str) -> Iterator[None]:
        api.clock.now += 50
        with turn(endpoint):
            yield

    monkeypatch.setattr(api.gate, "turn", late_turn)
    api.answers("GET", PATH, *[failure("608")] * failures, DONE)
    if failures == 6:
        api.client.send(READ)
        assert len(api.calls) == 7
        return
    with pytest.raises(UnreachableError):
        api.client.send(READ)
    assert 120 <= sum(api.gate.pauses) <= 140


def test_606_lowers_the_pace_and_615_the_calls_at_once(api: Api) -> None:
    api.answers("GET", PATH, failure("606"), DONE, failure("615"), DONE)
    api.client.send(READ)
    assert api.gate.pace.calls_per_window == 7000
    assert api.gate.pace.concurrent_calls == 10
    api.clock.now += 2
    api.client.send(READ)
    assert (api.gate.pace.calls_per_window, api.gate.pace.concurrent_calls) == (7000, 9)
    assert api.gate.slowed_down == 2


def test_the_budget_ends_calls_before_they_are_made(api: Api) -> None:
    api.gate.budget = Budget(10)
    api.gate.budget.note_used_before(8)
    api.answers("GET", PATH, DONE)
    api.client.send(READ)
    api.client.send(READ)
    with pytest.raises(QuotaReachedError) as raised:
        api.client.send(READ)
    assert raised.value.code == "daily_call_budget"
    assert len(api.calls) == 2


def test_each_try_counts_as_a_call(api: Api) -> None:
    api.answers("GET", PATH, failure("608"), failure("601"), DONE)
    api.client.send(READ)
    assert api.gate.budget.used_now == 3
    assert api.gate.pace.in_flight == 0


def test_a_batch_that_times_out_again_and_again_is_to_be_split(api: Api) -> None:
    api.answers("POST", PATH, failure("604"))
    with pytest.raises(TooLargeError):
        api.client.send(UPDATE)
    assert len(api.calls) == 3


def test_one_record_that_marketo_cannot_digest_is_refused_only_while_others_pass(api: Api) -> None:
    alone = UPDATE._replace(rows=1)
    api.answers("POST", PATH, failure("611"))
    with pytest.raises(UnreachableError):
        api.client.send(alone)

    def others_succeed(_request: Any, _context: Any) -> dict[str, Any]:
        api.client.send(READ._replace(path="/rest/v1/other.json"))
        body: dict[str, Any] = failure("611")["json"]
        return body

    api.answers("GET", "/rest/v1/other.json", DONE)
    api.answers_by("POST", PATH, others_succeed)
    with pytest.raises(RefusedError):
        api.client.send(alone)


def test_nothing_is_sent_once_the_process_is_ending(api: Api) -> None:
    api.gate.stop()
    with pytest.raises(StoppedError):
        api.client.send(READ)
    assert api.mocker.request_history == []


def test_a_call_that_is_cut_while_the_process_ends_is_not_sent_again(api: Api) -> None:
    """A read is given up; of a create it is said that nobody knows."""

    def ending(_request: Any, _context: Any) -> str:
        api.gate.stop()
        raise requests.ConnectionError

    api.mocker.get(api.origin + PATH, text=ending)
    api.mocker.post(api.origin + PATH, text=ending)
    with pytest.raises(StoppedError):
        api.client.send(READ)
    api.gate.stopping = False
    with pytest.raises(OutcomeUnknownError):
        api.client.send(CREATE)
    assert len(api.calls) == 2


def test_a_wait_ends_when_the_process_does(api: Api) -> None:
    def stop(_request: Any, context: Any) -> str:
        api.gate.stop()
        context.status_code = 503
        return ""

    api.mocker.get(api.origin + PATH, text=stop)
    with pytest.raises(StoppedError):
        api.client.send(READ)
    assert len(api.calls) == 1


# --- what never leaves ---------------------------------------------------------------------------------------

PERSON = "ada.lovelace@example.org"
EVERY_FAILURE = [
    *NO_USABLE_ANSWER,
    *NOT_EXECUTED,
    failure("603", f"Access denied for {PERSON}"),
    failure("609", f"Invalid JSON near {PERSON}"),
    failure("607", PERSON),
    failure("610", PERSON),
    {"status_code": 413, "text": PERSON},
    {"exc": requests.ConnectionError(f"HTTPSConnectionPool: Max retries exceeded with url: /x?email={PERSON}")},
    {"exc": requests.exceptions.InvalidURL(f"https://x/?email={PERSON}&client_secret=hJ8k/secret+part")},
    {"exc": requests.exceptions.RetryError(PERSON)},
]


@pytest.mark.parametrize("call", [READ._replace(query=(("filterValues", PERSON),)), CREATE])
@pytest.mark.parametrize("answer", EVERY_FAILURE)
def test_no_exception_quotes_an_address_or_a_secret(
    api: Api, answer: dict[str, Any], call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """Requests puts addresses with their query into its texts: the client secret in one, people in the other."""
    caplog.set_level(logging.DEBUG, logger="airbyte")
    api.answers(call.method, PATH, answer)
    with pytest.raises(MarketoError) as raised:
        api.client.send(call)
    shown = "".join(traceback.format_exception(raised.value)) + str(raised.value) + caplog.text
    for private in (PERSON, api.secret, "token-1", "client_secret=", "mktorest.com"):
        assert private not in shown
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


@pytest.mark.parametrize("answer", [each for each in EVERY_FAILURE if "exc" in each])
def test_a_failed_token_request_does_not_quote_the_secret(
    api: Api, answer: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="airbyte")
    api.identity(answer)
    with pytest.raises(UnreachableError) as raised:
        api.client.send(READ)
    shown = "".join(traceback.format_exception(raised.value)) + caplog.text
    for private in (PERSON, "secret+part", "secret%2Bpart", "client_secret"):
        assert private not in shown


def test_marketos_own_text_is_kept_for_the_outcome_only(api: Api) -> None:
    api.answers("POST", PATH, failure("609", f"Invalid JSON near {PERSON}"))
    with pytest.raises(RefusedError) as raised:
        api.client.send(UPDATE)
    assert raised.value.marketo_message == f"Invalid JSON near {PERSON}"
    assert str(raised.value) == "Marketo sync_leads: refused: 609 (invalid JSON), request a#2"


# --- requests ------------------------------------------------------------------------------------------------


def test_timeouts_are_longer_than_marketos_own(api: Api) -> None:
    """Sync Leads may take 90 seconds, an asset 300: giving up earlier leaves an outcome unknown for nothing."""
    api.answers("GET", PATH, DONE)
    api.answers("GET", "/rest/asset/v1/channels.json", DONE)
    api.client.send(READ)
    api.client.send(get("channels", "/rest/asset/v1/channels.json", asset=True))
    (connect, lead), (_, asset) = [call.timeout for call in api.calls]
    assert 0 < connect <= 30
    assert lead > 90
    assert asset > 300


def test_a_short_query_is_part_of_the_address(api: Api) -> None:
    api.answers("GET", PATH, DONE)
    api.client.send(get("query_leads", PATH, {"filterType": "email", "filterValues": "a+b@x.org,c d@x.org&y=1"}))
    (call,) = api.calls
    assert call.method == "GET"
    assert parse_qs(urlsplit(call.url).query) == {
        "filterType": ["email"],
        "filterValues": ["a+b@x.org,c d@x.org&y=1"],
    }
    assert call.body is None


def test_a_long_query_is_posted_as_a_form(api: Api) -> None:
    values = ",".join(f"somebody.{number}+tag@example.org" for number in range(300))
    api.answers("POST", PATH, DONE)
    api.client.send(get("query_leads", PATH, {"filterType": "email", "filterValues": values}))
    (call,) = api.calls
    assert (urlsplit(call.url).path, urlsplit(call.url).query) == (PATH, "_method=GET")
    assert call.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(call.text) == {"filterType": ["email"], "filterValues": [values]}


def test_an_asset_is_never_asked_for_by_post() -> None:
    """The asset API dropped `_method=GET`, and takes longer addresses."""
    assert get("folder", "/rest/asset/v1/folder/1.json", {"name": "x" * 9000}, asset=True).method == "GET"


@given(st.lists(st.text(min_size=1, max_size=40), max_size=300), st.sampled_from(["email", "customField_c"]))
@settings(max_examples=60)
def test_no_address_grows_beyond_8_kb(values: list[str], filter_type: str) -> None:
    path = "/rest/v1/programs/1234567890/members.json"
    call = get("query", path, {"filterType": filter_type, "filterValues": ",".join(values), "fields": "id,email"})
    request = requests.Request(
        call.method, "https://123-ABC-456.mktorest.com" + call.path, params=call.query, data=call.form
    ).prepare()
    assert len(str(request.url).encode()) < 8_000
    sent = parse_qs(str(request.body or urlsplit(str(request.url)).query), keep_blank_values=True)
    assert sent["filterValues"] == [",".join(values)]


@pytest.mark.parametrize("length", range(6_800, 8_400, 100))
def test_addresses_of_nearly_8_kb_are_posted(length: int) -> None:
    path = "/rest/v1/programs/1234567890/members.json"
    call = get("query", path, {"filterType": "email", "filterValues": "x" * length, "fields": "id,email"})
    request = requests.Request(call.method, "https://123-ABC-456.mktorest.com" + call.path, params=call.query)
    assert len(str(request.prepare().url)) < 8_000


def test_a_file_is_handed_over_as_it_is_but_a_failure_in_its_place_is_seen(api: Api) -> None:
    call = Call("failures", "GET", "/bulk/v1/x.json", as_file=True)
    long = b"email,reason\n" + b"a@example.org,\xff\n" * 200_000
    api.answers("GET", "/bulk/v1/x.json", {"content": b"email,reason\n\xff"}, {"content": long}, failure("610"))
    for content in (b"email,reason\n\xff", long):
        file = api.client.send(call).file
        assert file is not None
        with file:
            assert file.read() == content
    with pytest.raises(NotFoundError):
        api.client.send(call)


def test_an_object_in_place_of_a_file_is_said(api: Api) -> None:
    api.answers("GET", "/bulk/v1/x.json", DONE)
    with pytest.raises(AnswerMisfitError, match="an object and not a file"):
        api.client.send(Call("failures", "GET", "/bulk/v1/x.json", as_file=True))


# --- compressed answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", "GZIP"])
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 1_000_000])
def test_a_compressed_answer_is_read(api: Api, encoding: str, size: int) -> None:
    body = json.dumps({"success": True, "result": ["x" * size]}).encode()
    api.answers("GET", PATH, {"content": gzip.compress(body), "headers": {"Content-Encoding": encoding}})
    assert api.client.send(READ).result == ["x" * size]
    assert api.calls[0].headers["Accept-Encoding"] == "gzip"


def test_an_answer_that_unpacks_to_more_than_any_call_needs_is_refused_in_little_memory(api: Api) -> None:
    """A megabyte may hold a gigabyte."""
    bomb = zlib.compressobj(9, wbits=31)
    zeros = bytes(1_000_000)
    packed = b"".join([bomb.compress(b'{"success":true,"result":["'), *(bomb.compress(zeros) for _ in range(300))])
    packed += bomb.flush()
    api.answers("POST", PATH, {"content": packed, "headers": {"Content-Encoding": "gzip"}})
    tracemalloc.start()
    try:
        with pytest.raises(OutcomeUnknownError) as raised:
            api.client.send(CREATE)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert raised.value.code == "answer of more than 16,000,000 bytes"
    assert peak < 40_000_000


# --- reading only --------------------------------------------------------------------------------------------


def test_a_connection_for_reading_refuses_whatever_could_write(api: Api) -> None:
    """Held where calls leave: whatever is added above, it cannot write."""
    client = api.new_client(read_only=True)
    for call in (UPDATE, CREATE, Call("x", "DELETE", PATH), Call("x", "POST", PATH, form=(("a", "b"),))):
        with pytest.raises(WriteAttemptedError, match=call.endpoint):
            client.send(call)
    assert api.mocker.request_history == []
    api.answers("GET", PATH, DONE)
    api.answers("POST", PATH, DONE)
    for call in (READ, get("query", PATH, {"filterValues": "x" * 9_000}), UPDATE._replace(changes_nothing=True)):
        client.send(call)
    assert len(api.calls) == 3


# --- shapes --------------------------------------------------------------------------------------------------


def misread(_reply: Reply) -> int:
    raise MisshapenError("`step` is a list and not a whole number")


def test_an_answer_that_cannot_be_used_is_asked_for_again_and_then_said(api: Api) -> None:
    api.answers("GET", PATH, DONE)
    with pytest.raises(AnswerMisfitError) as raised:
        api.client.send(READ, misread)
    assert len(api.calls) == 3
    assert str(raised.value) == (
        "Marketo query_leads: the answer cannot be used: `step` is a list and not a whole number, request a#1"
    )


def test_other_failures_do_not_use_up_the_tries_for_a_usable_answer(api: Api) -> None:
    answers: Iterator[Callable[[Reply], Any]] = iter([misread, misread, lambda reply: reply.result])

    def read(reply: Reply) -> Any:
        return next(answers)(reply)

    busy = failure("608")
    api.answers("GET", PATH, busy, busy, DONE, busy, DONE, DONE)
    assert api.client.send(READ, read) == [{"id": 1}]
    assert len(api.calls) == 6


def test_a_create_whose_answer_cannot_be_used_is_left_to_the_caller(api: Api) -> None:
    api.answers("POST", PATH, DONE)
    with pytest.raises(OutcomeUnknownError):
        api.client.send(CREATE, misread)
    assert len(api.calls) == 1
