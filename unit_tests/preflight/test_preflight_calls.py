"""How many calls the checks make, and how many at once."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

from destination_marketo_programs.config import load_settings
from destination_marketo_programs.marketo.assets import Folder, FolderRef, FoundPrograms, Program, Status
from destination_marketo_programs.marketo.errors import BadCredentialsError, UnreachableError
from destination_marketo_programs.marketo.leads import LeadDescription
from destination_marketo_programs.preflight import run_preflight
from destination_marketo_programs.preflight.asking import Facts, ask_marketo
from destination_marketo_programs.storage.store import NoStore
from marketo_sandbox import Channel, Seed
from marketo_sandbox import Program as SandboxProgram
from marketo_sandbox import Status as SandboxStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .conftest import Checks

STATUSES = (SandboxStatus("Not in Program", 0), SandboxStatus("Registered", 10))
PATIENCE_SECONDS = 10
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
T = TypeVar("T")


def many_programs(checks: Checks, count: int, channels: int = 10) -> dict[str, Any]:
    """A configuration for as many programs, which the sandbox then has."""
    names = [f"Channel {number}" for number in range(channels)]
    checks.server.state.seed(
        Seed(
            channels=[Channel(100 + at, name, "event", STATUSES) for at, name in enumerate(names)],
            programs=[
                SandboxProgram(5000 + number, f"Program {number}", "Event", names[number % channels], 512)
                for number in range(count)
            ],
        )
    )
    return {
        "program_links": [
            {"event": str(number), "program_id": str(5000 + number), "program_status": "Registered"}
            for number in range(count)
        ],
        "field_mappings": [{"record_field": "x", "marketo_object": "program_member", "marketo_field": "vip"}],
    }


def test_two_hundred_programs_of_ten_channels_cost_eight_calls(checks: Checks) -> None:
    """0.1.0 made 206."""
    preflight = checks.run(many_programs(checks, 200))

    assert preflight.problems == []
    assert len(preflight.programs) == 200
    assert checks.server.calls.count() - checks.server.calls.count("identity.token") <= 8


@pytest.mark.parametrize("how", ["ignored", "refused"])
def test_a_query_for_many_that_marketo_does_not_answer_costs_a_call_for_each_program(how: str, checks: Checks) -> None:
    config = many_programs(checks, 30)
    checks.server.configure(programs_filter=how)

    preflight = checks.run(config)

    assert preflight.problems == []
    assert sorted(preflight.programs) == list(range(5000, 5030))
    assert checks.server.calls.count("program.get") <= 30


# --- side by side ------------------------------------------------------------------------------------------------


class SlowMarketo:
    """Answers a call only when as many are under way as ever can be, or nothing else comes."""

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._under_way = 0
        self._changed = threading.Condition()
        self.most = 0
        self.calls: list[str] = []

    def _answer(self, name: str, answer: T) -> T:
        with self._changed:
            self.calls.append(name)
            self._under_way += 1
            self.most = max(self.most, self._under_way)
            self._changed.notify_all()
            if name == "program":
                assert self._changed.wait_for(lambda: self.most >= self._at_once, PATIENCE_SECONDS)
            self._under_way -= 1
        return answer

    def calls_today(self) -> int:
        return self._answer("usage", 3)

    def lead_fields(self) -> LeadDescription:
        return self._answer("leads", LeadDescription({}, None))

    def member_fields(self) -> dict[str, Any]:
        return self._answer("members", {})

    def channels(self) -> dict[str, list[Status]]:
        return self._answer("channels", {"Fair": [Status("Registered", 10, False, False)]})

    def channel(self, name: str) -> list[Status] | None:
        return self._answer(f"channel {name}", None)

    def partitions(self) -> dict[str, int]:
        return self._answer("partitions", {"Default": 1})

    def programs(self, program_ids: Sequence[int]) -> FoundPrograms:
        return self._answer("programs", FoundPrograms({}, list(program_ids)))

    def program(self, program_id: int) -> Program | None:
        place = FolderRef("Folder", 1)
        return self._answer("program", Program(program_id, f"P{program_id}", "Event", "Fair", "Default", place))

    def folder(self, reference: FolderRef) -> Folder | None:
        return self._answer("folder", Folder(f"F{reference.id}", False, None))


def ask(marketo: Any, *, at_once: int = 5, programs: int = 12, raise_transient: bool = False) -> Facts:
    raw = {
        "domain_url": "https://123-ABC-456.mktorest.com",
        "client_id": "a",
        "client_secret": "b",
        "program_links": [
            {"event": str(number), "program_id": number, "program_status": "Registered"}
            for number in range(1, programs + 1)
        ],
        "delivery": {"concurrent_calls": at_once},
    }
    settings = load_settings(raw, cloud=False).settings
    assert settings is not None
    return ask_marketo(marketo, settings, NOW, raise_transient=raise_transient)


@pytest.mark.parametrize("at_once", [1, 2, 5, 10])
def test_as_many_calls_are_under_way_as_configured_and_no_more(at_once: int) -> None:
    """0.1.0 made them one after the other."""
    marketo = SlowMarketo(at_once)

    facts = ask(marketo, at_once=at_once)

    assert list(facts.programs) == list(range(1, 13))
    assert marketo.most == at_once
    assert marketo.calls.count("folder") == 1


def test_nothing_else_is_asked_with_credentials_that_are_wrong() -> None:
    class Stranger(SlowMarketo):
        def calls_today(self) -> int:
            super().calls_today()
            raise BadCredentialsError("identity", "HTTP 401")

    marketo = Stranger(1)

    facts = ask(marketo)

    assert marketo.calls == ["usage"]
    assert [problem.path for problem in facts.problems] == ["client_secret"]


def test_calls_under_way_that_fail_alike_are_one_problem() -> None:
    class Gone(SlowMarketo):
        def channels(self) -> dict[str, list[Status]]:
            raise UnreachableError("channels", "timeout")

        def partitions(self) -> dict[str, int]:
            raise UnreachableError("partitions", "connection lost")

        def programs(self, program_ids: Sequence[int]) -> FoundPrograms:
            raise UnreachableError("programs", f"timeout {len(program_ids)}")

    facts = ask(Gone(1))

    assert [problem.path for problem in facts.problems] == ["domain_url"]


def test_whoever_waits_for_the_checks_no_longer_waits_for_their_calls() -> None:
    """0.1.0 waited for every answer under way, 21 seconds for a slow one."""
    release = threading.Event()

    class Stuck(SlowMarketo):
        def channels(self) -> dict[str, list[Status]]:
            release.wait(PATIENCE_SECONDS)
            return {}

        def lead_fields(self) -> LeadDescription:
            raise UnreachableError("leads", "timeout")

    try:
        with pytest.raises(UnreachableError):
            ask(Stuck(1), raise_transient=True)
        assert not release.is_set()
    finally:
        release.set()


# --- time --------------------------------------------------------------------------------------------------------


class BigMarketo(SlowMarketo):
    """Knows every program, in ten channels of 200 statuses."""

    def channels(self) -> dict[str, list[Status]]:
        statuses = [Status(f"Status {at}", at, False, False) for at in range(200)]
        return {f"Channel {number}": statuses for number in range(10)}

    def programs(self, program_ids: Sequence[int]) -> FoundPrograms:
        return FoundPrograms(
            {
                number: Program(number, f"P{number}", "Event", f"Channel {number % 10}", "Default", None)
                for number in program_ids
            },
            [],
        )


@pytest.mark.parametrize("word", ["Status", "Statsu"], ids=["nothing wrong", "everything mistyped"])
def test_thousands_of_links_and_mappings_are_judged_in_seconds(word: str) -> None:
    """0.1.0 took 15 s for 4,000 and over 100 s for 10,000; `benchmarks/bench_check.py` has the figures of today."""
    count = 4_000
    raw = {
        "domain_url": "https://123-ABC-456.mktorest.com",
        "client_id": "a",
        "client_secret": "b",
        "program_links": [
            {"event": str(at), "program_id": at + 1, "program_status": f"{word} {at % 200}"} for at in range(count)
        ],
        "qualifier_mappings": [
            {
                "program_id": at + 1 if at % 2 else "",
                "qualifier": f"q{at}",
                "value": "Yes",
                "program_status": f"{word} {at % 200}",
            }
            for at in range(count)
        ],
    }
    marketo: Any = BigMarketo(1)
    started = time.perf_counter()

    loaded = load_settings(raw, cloud=False)
    assert loaded.settings is not None
    told = run_preflight(marketo, loaded.settings, NoStore(), loaded.problems).problems

    assert time.perf_counter() - started < 8
    assert bool(told) is (word == "Statsu")
