"""Access tokens: one alive per custom service, handed out again until it ends."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from .clock import Clock
    from .settings import Service


class _Token(msgspec.Struct):
    service: Service
    value: str
    ends_at: float
    refused_once: bool = False


class Tokens:
    """Issues tokens and says whose a token is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._alive: dict[str, _Token] = {}
        self._known: dict[str, _Token] = {}

    def issue(self, service: Service, life_seconds: float) -> tuple[str, int]:
        """The service's token and its remaining life in whole seconds; a new one only after the old ended."""
        now = self._clock.monotonic()
        token = self._alive.get(service.client_id)
        if token is None or token.ends_at <= now:
            token = _Token(service, f"{secrets.token_hex(16)}:sb", now + life_seconds)
            self._alive[service.client_id] = token
            self._known[token.value] = token
        return token.value, max(0, int(token.ends_at - now))

    def check(self, value: str) -> Service | str:
        """Whose token it is, or the code that refuses it: 602 the first time after its end, 601 from then on."""
        token = self._known.get(value)
        if token is None:
            return "601"
        if token.ends_at > self._clock.monotonic():
            return token.service
        if token.refused_once:
            return "601"
        token.refused_once = True
        return "602"

    def expire(self) -> None:
        """End every token now, as if its life were over."""
        now = self._clock.monotonic()
        for token in self._alive.values():
            token.ends_at = min(token.ends_at, now)
