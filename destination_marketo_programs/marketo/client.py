"""One HTTP call to Marketo, from waiting for a turn to a result that can be trusted.

An answer is read in the order that Marketo's documentation demands: HTTP status, `success`, `errors`; what each
record says is left to the endpoint. Re-authentication, pacing and retries happen here and nowhere else.
"""

from __future__ import annotations

import logging
import random
import re
import ssl
import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode

import msgspec
import requests
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase

from destination_marketo_programs.marketo.errors import (
    BadCredentialsError,
    ConfigurationFaultError,
    MarketoError,
    Next,
    NotFoundError,
    OutcomeUnknownError,
    QuotaReachedError,
    RefusedError,
    StoppedError,
    TooLargeError,
    UnreachableError,
    rule_for,
)
from destination_marketo_programs.marketo.retry import Failure, RetryPolicy, Verdict, decide, delay_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from destination_marketo_programs.marketo.limits import Gate

logger = logging.getLogger("airbyte.marketo")

MAX_BODY_BYTES = 950_000
"""Marketo refuses bodies over "1 MB" without saying which; decimal, with headroom for the frame of the body."""
MAX_QUERY_BYTES = 7_000
"""GET requests over 8 KB are refused with 414; host and path take their part of it."""
MAX_ROWS_PER_CALL = 300
CONNECT_TIMEOUT_SECONDS = 15.0
READ_TIMEOUT_SECONDS = 120.0
"""Above the longest limit of Marketo's own for the calls made here (Sync Leads, 90 s)."""
ASSET_READ_TIMEOUT_SECONDS = 310.0
TOKEN_MARGIN_SECONDS = 60.0
_PRINTABLE = re.compile(r"[!-~]+").fullmatch


class Call(NamedTuple):
    """One request, without credentials.

    Attributes:
        endpoint: short name for logs and errors.
        path: from `/rest/...` or `/bulk/...`.
        query: parameters of the address.
        body: JSON text; None for a read.
        form: form parameters, for reads too long for an address.
        files: parts of a multipart upload.
        rows: records in the call, for the decision whether it can be split.
        repeatable: whether executing it twice is harmless.
        as_text: the answer is a file, not an envelope.
        handed_back: codes that become a RefusedError at once, because the caller waits in a way of its own.
    """

    endpoint: str
    method: str
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None
    form: tuple[tuple[str, str], ...] = ()
    files: Mapping[str, Any] | None = None
    rows: int = 0
    repeatable: bool = True
    read_timeout_seconds: float = READ_TIMEOUT_SECONDS
    as_text: bool = False
    handed_back: frozenset[str] = frozenset()


class Reply(NamedTuple):
    """A successful answer: `success` was true.

    Attributes:
        result: the `result` member; empty where Marketo left it out.
        request_id: Marketo's id of the call.
        members: the whole envelope (`warnings`, `moreResult`, `nextPageToken`).
        text: the body of an `as_text` call.
    """

    result: list[Any]
    request_id: str | None
    members: Mapping[str, Any]
    text: bytes = b""


class _Failed(NamedTuple):
    next: Next
    code: str
    message: str | None = None
    request_id: str | None = None


_RAISES: dict[Verdict, type[MarketoError]] = {
    Verdict.UNKNOWN: OutcomeUnknownError,
    Verdict.SPLIT: TooLargeError,
    Verdict.REFUSED: RefusedError,
    Verdict.NOT_FOUND: NotFoundError,
    Verdict.CONFIGURATION: ConfigurationFaultError,
    Verdict.QUOTA: QuotaReachedError,
    Verdict.UNREACHABLE: UnreachableError,
}


class Token(NamedTuple):
    """An access token of Marketo's identity service.

    Attributes:
        value: opaque.
        renew_at: monotonic seconds from which a new one is asked for.
        scope: login of the API-only user that owns the service; "" if not said.
    """

    value: str
    renew_at: float
    scope: str


class _Bearer(AuthBase):
    """Puts the token into the `Authorization` header (and keeps a .netrc file from putting another one there)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


class _NoAuth(AuthBase):
    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class MarketoClient:
    """Sends calls for one API user; safe to use from several threads.

    Args:
        domain_url: origin without path, e.g. `https://123-ABC-456.mktorest.com`.
        gate: the limits to keep.
        policy: how long a call is tried.
        jitter: random numbers in [0, 1).
        on_token: told each access token, so that it can be kept out of logs.
    """

    def __init__(
        self,
        domain_url: str,
        client_id: str,
        client_secret: str,
        gate: Gate,
        policy: RetryPolicy | None = None,
        jitter: Callable[[], float] = random.random,
        on_token: Callable[[str], None] = lambda _token: None,
    ) -> None:
        self.gate = gate
        self.policy = policy or RetryPolicy()
        self._domain_url = domain_url
        self._client_id = client_id
        self._client_secret = client_secret
        self._jitter = jitter
        self._on_token = on_token
        self._token: Token | None = None
        self._token_lock = threading.Lock()
        self._sessions = threading.local()
        self._last_success = float("-inf")
        self.window_seconds = self.policy.window_seconds

    @property
    def api_user(self) -> str:
        """Login of the API user, once a token was fetched; "" before."""
        return self._token.scope if self._token else ""

    def send(self, call: Call) -> Reply:
        """Send a call until it succeeds, or until the retry decision says otherwise.

        Raises:
            MarketoError: one of its kinds, each saying what the caller can do.
        """
        gate = self.gate
        tries = reauthentications = 0
        first_failure = 0.0
        while True:
            token = self._valid_token(call.endpoint)
            with gate.turn(call.endpoint):
                sent_at = gate.clock()
                answer = self._once(call, token.value)
            now = gate.clock()
            if isinstance(answer, Reply):
                self._last_success = now
                return answer
            if answer.code in call.handed_back:
                raise RefusedError(call.endpoint, answer.code, answer.message, answer.request_id)
            if answer.next is not Next.REAUTHENTICATE:
                reauthentications = 0
            tries += 1
            first_failure = first_failure or now
            verdict = decide(
                Failure(
                    answer.next,
                    answer.code,
                    tries,
                    now - first_failure,
                    call.repeatable,
                    call.rows,
                    self._last_success > first_failure,
                    reauthentications,
                ),
                self.window_seconds,
            )
            if verdict is Verdict.RENEW_TOKEN:
                self._drop_token(token)
                reauthentications += 1
                tries -= 1
                continue
            if verdict is not Verdict.AGAIN:
                error = _RAISES[verdict](call.endpoint, answer.code, answer.message, answer.request_id)
                if isinstance(error, OutcomeUnknownError):
                    error.sent_at = sent_at
                raise error
            if answer.next is Next.REAUTHENTICATE:
                self._drop_token(token)
                reauthentications = 0
            self._wait(call.endpoint, answer, tries)

    def _wait(self, endpoint: str, answer: _Failed, tries: int) -> None:
        delay = delay_seconds(tries, self._jitter(), self.policy.first_delay_seconds)
        logger.debug("Marketo %s: %s, try %d failed; again in %.1f s", endpoint, answer.code, tries, delay)
        if answer.next is Next.SLOW_DOWN:
            self.gate.slow_down(answer.code, delay)
        if not self.gate.pause(delay):
            raise StoppedError(endpoint, "stop")

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._sessions, "session", None)
        if session is None:
            session = requests.Session()
            session.mount(self._domain_url, HTTPAdapter(pool_connections=1, pool_maxsize=1, max_retries=0))
            # What the environment says of proxies and certificates, read once: for each call it costs a fifth of it.
            found = session.merge_environment_settings(self._domain_url, {}, None, None, None)
            session.proxies, session.verify, session.cert = found["proxies"], found["verify"], found["cert"]
            session.trust_env = False
            self._sessions.session = session
        return session

    def _once(self, call: Call, token: str) -> Reply | _Failed:
        headers = {"Accept": "application/json"}
        if call.body is not None:
            headers["Content-Type"] = "application/json"
        response = self._exchange(
            call.method,
            call.path,
            params=call.query or None,
            data=call.body if call.body is not None else (call.form or None),
            files=call.files,
            headers=headers,
            timeout=(CONNECT_TIMEOUT_SECONDS, call.read_timeout_seconds),
            auth=_Bearer(token),
        )
        if isinstance(response, _Failed):
            return response
        return _read_http(response.status_code) or _read_envelope(response.content, as_text=call.as_text)

    def _exchange(self, method: str, path: str, **request: Any) -> requests.Response | _Failed:
        """One HTTP exchange. Exceptions of the library quote addresses with their query, so they end here."""
        try:
            return self._session().request(method, self._domain_url + path, allow_redirects=False, **request)
        except (requests.ConnectTimeout, requests.exceptions.ProxyError) as error:
            return _Failed(Next.RETRY, type(error).__name__)
        except requests.exceptions.SSLError as error:
            # A connection can break inside TLS after the request has left as well.
            return _Failed(Next.RETRY if _certificate_refused(error) else Next.OUTCOME_UNKNOWN, "SSLError")
        except requests.ConnectionError as error:
            return _Failed(Next.RETRY if _never_sent(error) else Next.OUTCOME_UNKNOWN, "connection lost")
        except requests.RequestException as error:
            return _Failed(Next.OUTCOME_UNKNOWN, type(error).__name__)

    # --- token -----------------------------------------------------------------------------------------------

    def _drop_token(self, refused: Token) -> None:
        with self._token_lock:
            if self._token is refused:
                self._token = Token("", float("-inf"), refused.scope)

    def _valid_token(self, endpoint: str) -> Token:
        token = self._token
        if token is not None and self.gate.clock() < token.renew_at:
            return token
        with self._token_lock:
            token = self._token
            if token is None or self.gate.clock() >= token.renew_at:
                token = self._token = self._fetch_token(endpoint)
            return token

    def _fetch_token(self, endpoint: str) -> Token:
        tries, first_failure = 0, 0.0
        while True:
            if self.gate.stopping:
                raise StoppedError(endpoint, "stop")
            token = self._fetch_token_once()
            if isinstance(token, Token):
                return token
            now = self.gate.clock()
            tries += 1
            first_failure = first_failure or now
            if token.next is Next.CONFIGURATION:
                raise BadCredentialsError("identity", token.code, token.message)
            if now - first_failure >= self.window_seconds:
                raise UnreachableError("identity", token.code)
            self._wait("identity", token, tries)

    def _fetch_token_once(self) -> Token | _Failed:
        asked_at = self.gate.clock()
        response = self._exchange(
            "GET",
            "/identity/oauth/token",
            params={
                "grant_type": "client_credentials",
                "client_id": self._client_id,
                "client_secret": self._client_secret,
            },
            timeout=(CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS),
            auth=_NoAuth(),
        )
        if isinstance(response, _Failed):
            return response._replace(next=Next.RETRY)
        if response.status_code in (400, 401, 403):
            return _Failed(Next.CONFIGURATION, f"HTTP {response.status_code}")
        failed = _read_http(response.status_code)
        if failed:
            return failed._replace(next=Next.RETRY) if failed.next is not Next.CONFIGURATION else failed
        try:
            members = msgspec.json.decode(response.content)
            value = members["access_token"]
            life = float(members["expires_in"])
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError):
            return _Failed(Next.RETRY, "unreadable answer")
        if not isinstance(value, str) or not _PRINTABLE(value):
            # What no header can carry must not get as far as the HTTP library, whose exception would quote it.
            return _Failed(Next.RETRY, "unreadable answer")
        self._on_token(value)
        scope = members.get("scope")
        # Asked too early, Marketo gives the same token again: near its end it is used up before asking anew.
        renew_at = asked_at + (life - TOKEN_MARGIN_SECONDS if life > 2 * TOKEN_MARGIN_SECONDS else life / 2)
        return Token(value, renew_at, scope if isinstance(scope, str) else "")


def get(endpoint: str, path: str, query: Mapping[str, str] | None = None, *, asset: bool = False) -> Call:
    """A read. Lead-database reads whose query would make the address too long become `POST ?_method=GET`."""
    parameters = tuple((query or {}).items())
    timeout = ASSET_READ_TIMEOUT_SECONDS if asset else READ_TIMEOUT_SECONDS
    if asset or len(urlencode(parameters)) <= MAX_QUERY_BYTES:
        return Call(endpoint, "GET", path, parameters, read_timeout_seconds=timeout)
    return Call(endpoint, "POST", path, (("_method", "GET"),), form=parameters, read_timeout_seconds=timeout)


def _never_sent(error: requests.ConnectionError) -> bool:
    """Whether the connection was never made, so that nothing can have been executed."""
    return type(_reason(error)).__name__ in ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError")


def _certificate_refused(error: requests.exceptions.SSLError) -> bool:
    reason = _reason(error)
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in (reason, *getattr(reason, "args", ())))


def _reason(error: requests.RequestException) -> Any:
    """What the library below wrapped into its exception."""
    cause = error.args[0] if error.args else None
    return getattr(cause, "reason", cause)


def _read_http(status: int) -> _Failed | None:
    code = f"HTTP {status}"
    match status:
        case 200 | 201 | 202:
            return None
        case 401:
            return _Failed(Next.REAUTHENTICATE, code)
        case 403 | 405 | 407 | 415:
            return _Failed(Next.CONFIGURATION, code)
        case 404:
            return _Failed(Next.NOT_FOUND, code)
        case 413:
            return _Failed(Next.SPLIT, code)
        case 429:
            return _Failed(Next.SLOW_DOWN, code)
        case 408:
            return _Failed(Next.OUTCOME_UNKNOWN, code)
        case _ if 300 <= status < 400:  # noqa: PLR2004 - HTTP's class of redirects
            # Marketo does not redirect: something between does, and credentials do not follow it.
            return _Failed(Next.CONFIGURATION, code)
        case _ if 400 <= status < 500:  # noqa: PLR2004 - HTTP's class of client errors
            return _Failed(Next.REFUSED, code)
        case _:
            return _Failed(Next.OUTCOME_UNKNOWN, code)


def _read_envelope(content: bytes, *, as_text: bool) -> Reply | _Failed:
    if as_text and not content.lstrip().startswith(b"{"):
        return Reply([], None, {}, content)
    try:
        members = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Failed(Next.OUTCOME_UNKNOWN, "unreadable answer")
    if not isinstance(members, dict):
        return _Failed(Next.OUTCOME_UNKNOWN, "unreadable answer")
    request_id = members.get("requestId")
    request_id = request_id if isinstance(request_id, str) else None
    if members.get("success") is True:
        result = members.get("result")
        return Reply(result if isinstance(result, list) else [], request_id, members)
    errors = members.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    if not isinstance(first, dict) or first.get("code") is None:
        return _Failed(Next.OUTCOME_UNKNOWN, "failure without a code", None, request_id)
    code = str(first["code"])
    message = first.get("message")
    return _Failed(rule_for(code).next, code, message if isinstance(message, str) else None, request_id)
