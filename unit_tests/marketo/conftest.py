from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from destination_marketo_programs.marketo.client import MarketoClient
from destination_marketo_programs.marketo.limits import Budget, Gate, Pace

if TYPE_CHECKING:
    from collections.abc import Callable

    import requests_mock as mock

    from destination_marketo_programs.marketo.retry import RetryPolicy

ORIGIN = "https://123-ABC-456.mktorest.com"
CLIENT_SECRET = "hJ8k/secret+part"
API_USER = "connector-api@example.com"


class SimulatedClock:
    """Seconds that pass only when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class SimulatedGate(Gate):
    """A gate whose pauses take no time of ours."""

    def __init__(self, clock: SimulatedClock, calls_per_window: int, concurrent_calls: int, budget: int | None) -> None:
        super().__init__(Pace(calls_per_window, concurrent_calls), Budget(budget), clock)
        self.simulated = clock
        self.pauses: list[float] = []

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.simulated.now += seconds
        return not self.stopping


class Api:
    """Marketo as HTTP answers, with a client that talks to it."""

    origin = ORIGIN
    secret = CLIENT_SECRET
    user = API_USER

    def __init__(self, mocker: mock.Mocker) -> None:
        self.mocker = mocker
        self.clock = SimulatedClock()
        self.gate = SimulatedGate(self.clock, 10_000, 10, None)
        self.told: list[str] = []
        self.life = 3600.0
        self.client = self.new_client()
        self._numbers = itertools.count(1)
        mocker.get(f"{ORIGIN}/identity/oauth/token", json=self._token)

    def new_client(self, policy: RetryPolicy | None = None, *, read_only: bool = False) -> MarketoClient:
        return MarketoClient(
            ORIGIN,
            "client-id",
            CLIENT_SECRET,
            self.gate,
            policy,
            jitter=lambda: 0.0,
            on_token=self.told.append,
            read_only=read_only,
        )

    def _token(self, _request: Any, _context: Any) -> dict[str, Any]:
        return {
            "access_token": f"token-{next(self._numbers)}:sj",
            "token_type": "bearer",
            "expires_in": self.life,
            "scope": API_USER,
        }

    def identity(self, *answers: dict[str, Any]) -> None:
        """Answer token requests with these, the last one for ever."""
        self.mocker.get(f"{ORIGIN}/identity/oauth/token", list(answers))

    def answers(self, method: str, path: str, *answers: dict[str, Any]) -> None:
        """Answer requests for a path with these, the last one for ever."""
        self.mocker.request(method, ORIGIN + path, list(answers))

    def answers_by(self, method: str, path: str, answer: Callable[[Any, Any], dict[str, Any]]) -> None:
        """Let a function answer requests for a path."""
        self.mocker.request(method, ORIGIN + path, json=answer)

    @property
    def token_requests(self) -> list[Any]:
        return [request for request in self.mocker.request_history if request.path == "/identity/oauth/token"]

    @property
    def calls(self) -> list[Any]:
        return [request for request in self.mocker.request_history if request.path != "/identity/oauth/token"]


@pytest.fixture
def api(requests_mock: mock.Mocker) -> Api:
    return Api(requests_mock)


@pytest.fixture
def client_at() -> Callable[[str], MarketoClient]:
    """Makes a client of a real server, whose pauses take no time."""

    def client_at(url: str) -> MarketoClient:
        return MarketoClient(url, "id", "secret", SimulatedGate(SimulatedClock(), 100, 5, None), jitter=lambda: 0.0)

    return client_at
