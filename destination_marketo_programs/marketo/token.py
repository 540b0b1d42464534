"""The access token: fetched once for all threads, renewed near its end, dropped when Marketo refuses it."""

from __future__ import annotations

import math
import re
import threading
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.marketo.calls import MAX_ANSWER_BYTES, encoded
from destination_marketo_programs.marketo.envelope import Failed, MisshapenError, decoded, read_status
from destination_marketo_programs.marketo.errors import (
    BadCredentialsError,
    Next,
    StoppedError,
    UnreachableError,
)
from destination_marketo_programs.marketo.transport import Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.marketo.limits import Gate
    from destination_marketo_programs.marketo.retry import RetryPolicy

ENDPOINT = "identity"
TIME_LIMIT_SECONDS = 60.0
TOKEN_MARGIN_SECONDS = 60.0
LONGEST_SENTENCE = 200
_PASSING_ERRORS = frozenset({"server_error", "temporarily_unavailable"})
"""OAuth's errors that do not speak of the credentials (RFC 6749)."""
_PRINTABLE = re.compile(r"[!-~]+").fullmatch


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


class Tokens:
    """Holds the token of one client id; safe to use from several threads.

    Args:
        transport: to the instance.
        gate: tells the time, and whether the process is ending.
        policy: how long a token is asked for.
        wait: pauses before the next try; raises StoppedError if the process is ending.
        on_token: told each token, so that it can be kept out of logs.
    """

    def __init__(
        self,
        transport: Transport,
        client_id: str,
        client_secret: str,
        gate: Gate,
        policy: RetryPolicy,
        wait: Callable[[str, Failed, int], None],
        on_token: Callable[[str], None],
    ) -> None:
        self._transport = transport
        self._client_id = client_id
        self._client_secret = client_secret
        self._gate = gate
        self._policy = policy
        self._wait = wait
        self._on_token = on_token
        self._token: Token | None = None
        self._lock = threading.Lock()

    @property
    def scope(self) -> str:
        """Login of the API user, once a token was fetched; "" before."""
        return self._token.scope if self._token else ""

    def valid(self, endpoint: str) -> Token:
        """The token, fetched if necessary.

        Raises:
            BadCredentialsError: the identity service refuses the credentials.
            UnreachableError: it gave no token within the window.
        """
        token = self._token
        if token is not None and self._gate.clock() < token.renew_at:
            return token
        with self._lock:
            token = self._token
            if token is None or self._gate.clock() >= token.renew_at:
                token = self._token = self._fetch(endpoint)
            return token

    def drop(self, refused: Token) -> None:
        """Marketo does not take this token any more; one that came meanwhile is kept."""
        with self._lock:
            if self._token is refused:
                self._token = Token("", float("-inf"), refused.scope)

    def _fetch(self, endpoint: str) -> Token:
        tries, first_failure = 0, 0.0
        while True:
            if self._gate.stopping:
                raise StoppedError(endpoint, "stop")
            token = self._fetch_once()
            if isinstance(token, Token):
                return token
            now = self._gate.clock()
            tries += 1
            first_failure = first_failure or now
            if token.next is Next.CONFIGURATION:
                raise BadCredentialsError(ENDPOINT, token.code, token.message)
            if now - first_failure >= self._policy.window_seconds:
                raise UnreachableError(ENDPOINT, token.code)
            self._wait(ENDPOINT, token, tries)

    def _fetch_once(self) -> Token | Failed:
        asked_at = self._gate.clock()
        query = encoded(
            (
                ("grant_type", "client_credentials"),
                ("client_id", self._client_id),
                ("client_secret", self._client_secret),
            )
        )
        answer = self._transport.exchange(
            Request(
                "GET",
                f"/identity/oauth/token?{query}",
                {"Accept": "application/json"},
                None,
                min(TIME_LIMIT_SECONDS, self._policy.longest_exchange_seconds),
                MAX_ANSWER_BYTES,
            )
        )
        if isinstance(answer, Failed):
            return answer._replace(next=Next.RETRY)
        refused = self._refusal(answer.status, answer.body)
        if refused is not None:
            return refused
        failed = read_status(answer.status)
        if failed is not None:
            # Asking for a token twice is harmless. Only what stands between may have to be changed by a person.
            return failed if failed.next is Next.CONFIGURATION else failed._replace(next=Next.RETRY)
        return self._read(answer.body, asked_at)

    def _refusal(self, status: int, body: bytes) -> Failed | None:
        """That the credentials are wrong, which Marketo says with HTTP 401 or with an `error` under HTTP 200."""
        try:
            members = decoded(body)
        except MisshapenError:
            members = {}
        error = members.get("error")
        says_so = isinstance(error, str) and bool(error) and error not in _PASSING_ERRORS
        if status not in (400, 401, 403) and not (status == 200 and says_so):  # noqa: PLR2004 - HTTP's OK
            return None
        sentence = members.get("error_description") or error
        return Failed(Next.CONFIGURATION, f"HTTP {status}", self._showable(sentence))

    def _showable(self, sentence: object) -> str | None:
        """Marketo's sentence, unless it repeats what we sent."""
        if not isinstance(sentence, str) or self._client_secret in sentence:
            return None
        return "".join(letter for letter in sentence if letter.isprintable())[:LONGEST_SENTENCE] or None

    def _read(self, body: bytes, asked_at: float) -> Token | Failed:
        try:
            members = decoded(body)
            value, life = members["access_token"], float(members["expires_in"])
        except (MisshapenError, KeyError, TypeError, ValueError, OverflowError):
            return Failed(Next.RETRY, "unreadable answer")
        if not isinstance(value, str) or not _PRINTABLE(value) or not math.isfinite(life):
            # What no header can carry must not get as far as the HTTP library, whose exception would quote it.
            return Failed(Next.RETRY, "unreadable answer")
        self._on_token(value)
        scope = members.get("scope")
        # Asked too early, Marketo gives the same token again: near its end it is used up before asking anew.
        renew_at = asked_at + (life - TOKEN_MARGIN_SECONDS if life > 2 * TOKEN_MARGIN_SECONDS else life / 2)
        return Token(value, renew_at, scope if isinstance(scope, str) else "")
