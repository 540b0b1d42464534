"""One call to Marketo, from waiting for a turn to a result that can be trusted.

An answer is read in the order that Marketo's documentation demands: HTTP status, `success`, `errors`, then what the
endpoint makes of it. Re-authentication, pacing and retries happen here and nowhere else.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Any, TypeVar, overload

from urllib3 import encode_multipart_formdata

from destination_marketo_programs.marketo.calls import Call, Reply, encoded
from destination_marketo_programs.marketo.envelope import (
    Failed,
    MisshapenError,
    read_envelope,
    read_file,
    read_status,
)
from destination_marketo_programs.marketo.errors import (
    MarketoError,
    Next,
    OutcomeUnknownError,
    RefusedError,
    StoppedError,
    WriteAttemptedError,
)
from destination_marketo_programs.marketo.retry import Failure, Retry, RetryPolicy, decide, delay_seconds
from destination_marketo_programs.marketo.token import Tokens
from destination_marketo_programs.marketo.transport import Request, Transport

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.marketo.limits import Gate

logger = logging.getLogger("airbyte.marketo")

T = TypeVar("T")


class MarketoClient:
    """Sends calls for one API user; safe to use from several threads.

    Args:
        domain_url: origin without path, e.g. `https://123-ABC-456.mktorest.com`.
        gate: the limits to keep.
        policy: how long a call is tried.
        jitter: random numbers in [0, 1).
        on_token: told each access token, so that it can be kept out of logs.
        read_only: refuse calls that can write, before they leave.
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
        *,
        read_only: bool = False,
    ) -> None:
        self.gate = gate
        self.policy = policy or RetryPolicy()
        self.read_only = read_only
        self._jitter = jitter
        self._transport = Transport(domain_url)
        self._tokens = Tokens(self._transport, client_id, client_secret, gate, self.policy, self._wait, on_token)
        self._last_success = float("-inf")

    @property
    def api_user(self) -> str:
        """Login of the API user, once a token was fetched; "" before."""
        return self._tokens.scope

    def cut(self) -> None:
        """End the calls under way at once: nobody can wait for their answers any more."""
        self._transport.cut()

    @overload
    def send(self, call: Call) -> Reply: ...

    @overload
    def send(self, call: Call, read: Callable[[Reply], T]) -> T: ...

    def send(self, call: Call, read: Callable[[Reply], Any] = lambda reply: reply) -> Any:
        """Send a call until it succeeds, or until the retry decision says otherwise.

        Args:
            call: what to send.
            read: turns the answer into what the caller wants of it; raises MisshapenError if it is not of the
                documented shape, which is a failed try like others.

        Raises:
            MarketoError: one of its kinds, each saying what the caller can do.
            WriteAttemptedError: the connection is for reading only.
        """
        if self.read_only and call.can_write:
            raise WriteAttemptedError(call.endpoint)
        gate = self.gate
        request = _request(call, self.policy.longest_exchange_seconds)
        tries: Counter[Next] = Counter()
        reauthentications = 0
        first_failure = queued = 0.0
        while True:
            token = self._tokens.valid(call.endpoint)
            asked_at = gate.clock()
            with gate.turn(call.endpoint):
                sent_at = gate.clock()
                answer = self._once(request, token.value, read)
            now = gate.clock()
            if not isinstance(answer, Failed):
                self._last_success = now
                return answer
            if answer.code in call.handed_back:
                raise RefusedError(call.endpoint, answer.code, answer.message, answer.request_id)
            if answer.next is not Next.REAUTHENTICATE:
                reauthentications = 0
            tries[answer.next] += 1
            # Waiting for our own turn says nothing of Marketo: at a slow pace it would use up the whole window.
            queued += sent_at - asked_at if first_failure else 0.0
            first_failure = first_failure or now
            failure = Failure(
                answer.next,
                answer.code,
                tries[answer.next],
                now - first_failure - queued,
                call.repeatable,
                call.rows,
                self._last_success > first_failure,
                reauthentications,
            )
            decision = decide(failure, self.policy.window_seconds)
            if decision is Retry.WITH_NEW_TOKEN:
                self._tokens.drop(token)
                reauthentications += 1
                tries[answer.next] -= 1
            elif decision is Retry.AGAIN:
                if answer.next is Next.REAUTHENTICATE:
                    self._tokens.drop(token)
                    reauthentications = 0
                self._wait(call.endpoint, answer, tries.total())
            else:
                raise _error(decision, call, answer, sent_at)

    def _once(self, request: Request, token: str, read: Callable[[Reply], Any]) -> Any:
        """What `read` makes of the answer, or how the try failed."""
        headers = {"Authorization": f"Bearer {token}", **request.headers}
        answer = self._transport.exchange(request._replace(headers=headers))
        if isinstance(answer, Failed):
            return answer
        failed = read_status(answer.status)
        if failed is not None:
            return failed
        reply = read_envelope(answer.body) if answer.file is None else read_file(answer.file)
        if isinstance(reply, Failed):
            return reply
        try:
            return read(reply)
        except MisshapenError as error:
            return Failed(Next.MISFIT, str(error), None, reply.request_id)

    def _wait(self, endpoint: str, answer: Failed, tries: int) -> None:
        delay = delay_seconds(tries, self._jitter(), self.policy.first_delay_seconds)
        logger.debug("Marketo %s: %s, try %d failed; again in %.1f s", endpoint, answer.code, tries, delay)
        if answer.next is Next.SLOW_DOWN:
            self.gate.slow_down(answer.code, delay)
        if not self.gate.pause(delay):
            raise StoppedError(endpoint, "stop")


def _error(kind: type[MarketoError], call: Call, answer: Failed, sent_at: float) -> MarketoError:
    told = (call.endpoint, answer.code, answer.message, answer.request_id)
    return OutcomeUnknownError(*told, sent_at=sent_at) if kind is OutcomeUnknownError else kind(*told)


def _request(call: Call, longest_exchange_seconds: float) -> Request:
    """The call as it goes over the wire, but for the token; made once for all tries."""
    headers = {"Accept": "application/json"}
    body = call.body
    if body is not None:
        headers["Content-Type"] = "application/json"
    elif call.form:
        body = encoded(call.form).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    elif call.files:
        body, headers["Content-Type"] = encode_multipart_formdata(call.files)
    target = f"{call.path}?{encoded(call.query)}" if call.query else call.path
    return Request(
        call.method,
        target,
        headers,
        body,
        min(call.time_limit_seconds, longest_exchange_seconds),
        call.max_bytes,
        as_file=call.as_file,
    )
