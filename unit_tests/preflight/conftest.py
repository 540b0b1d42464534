from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from destination_marketo_programs.config import load_settings
from destination_marketo_programs.marketo.api import RestMarketo
from destination_marketo_programs.marketo.client import MarketoClient
from destination_marketo_programs.marketo.limits import Budget, Gate, Pace
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.preflight import Preflight, run_preflight
from destination_marketo_programs.storage.store import NoStore
from marketo_sandbox import SandboxServer, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from destination_marketo_programs.storage import OutcomeStore

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
LINK = {"event": "4711", "program_id": "1004", "program_status": "Registered"}


class Checks:
    """Runs the checks of a configuration against a sandbox."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.config: dict[str, Any] = {
            "domain_url": server.url,
            "client_id": server.client_id,
            "client_secret": server.client_secret,
            "program_links": [LINK],
        }
        self.client: MarketoClient | None = None

    def run(
        self, config: dict[str, Any] | None = None, store: OutcomeStore | None = None, *, raise_transient: bool = False
    ) -> Preflight:
        loaded = load_settings(self.config | (config or {}), cloud=False)
        assert loaded.settings is not None, loaded.problems
        settings = loaded.settings
        gate = Gate(Pace(100, 10), Budget(settings.delivery.daily_call_budget))
        once = RetryPolicy(window_seconds=0.0)
        self.client = MarketoClient(settings.domain_url, settings.client_id, settings.client_secret, gate, once)
        try:
            return run_preflight(
                RestMarketo(self.client),
                settings,
                store or NoStore(),
                loaded.problems,
                raise_transient=raise_transient,
                now=lambda: NOW,
            )
        finally:
            # Whoever ends the checks waits for no answer; the next test would count such calls as its own.
            for thread in threading.enumerate():
                if thread.name.startswith("check"):
                    thread.join(10)


@pytest.fixture(scope="session")
def shared_checks() -> Iterator[Checks]:
    with SandboxServer() as server:
        yield Checks(server)


@pytest.fixture
def checks(shared_checks: Checks) -> Checks:
    """A sandbox as it comes; a test may change settings freely."""
    shared_checks.server.instance.settings = Settings()
    shared_checks.server.reset()
    shared_checks.server.faults.clear()
    return shared_checks
