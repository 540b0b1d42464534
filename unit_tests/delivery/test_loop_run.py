"""A whole run over a pipe: what is owed at its end, and how it ends."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest
from delivery_bench import TableMarketo, Way

from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.delivery.loop import IncompleteRunError, Loop, Pacing, Terminated
from destination_marketo_programs.delivery.reading import Reader, StreamRules
from destination_marketo_programs.delivery.stage import NEVER, Call, Why
from destination_marketo_programs.marketo.errors import QuotaReachedError, UnreachableError
from destination_marketo_programs.marketo.limits import Budget, Gate, Pace
from destination_marketo_programs.model import Mapped, Person, Target
from destination_marketo_programs.protocol import UndecodableLineError
from destination_marketo_programs.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.ledger import Acknowledgement
    from destination_marketo_programs.delivery.stage import Stage


def map_record(_stream: str, data: Any) -> Mapped:
    email = data["email"]
    person = Person(None, email, email, {"title": data.get("title", "x")}, {})
    return Mapped(person, [Target(program, "Registered", None) for program in data.get("programs", [1])], [], None)


def record(email: str, **more: Any) -> bytes:
    return json.dumps({"type": "RECORD", "record": {"stream": "leads", "data": {"email": email, **more}}}).encode()


STATE = b'{"type":"STATE","state":{"type":"GLOBAL","id":1}}'


class Run:
    """A loop over a pipe, its calls made at once by the table."""

    def __init__(self, *lines: bytes, max_age: float = 0.05, concurrent_calls: int = 2) -> None:
        self.way = Way(TableMarketo())
        self.echoed: list[Acknowledgement] = []
        self.lines = lines
        self.gate = Gate(Pace(1_000, concurrent_calls), Budget(None))
        self.way.marketo.clock = self.gate.clock  # type: ignore[method-assign]
        self.pacing = Pacing(concurrent_calls, max_age)
        self.loop = self.with_stages(self.way.leads.accept, self.way.stages)

    def with_stages(self, accept: Callable[[Sequence[Entry]], None], stages: Sequence[Stage]) -> Loop:
        way = self.way
        reader = Reader(StreamRules(map_record), {}, way.settlement, way.ledger, way.holding, acknowledge=True)
        self.loop = Loop(
            reader, accept, stages, way.settlement, way.ledger, way.holding, self.echoed.append, self.gate, self.pacing
        )
        return self.loop

    def go(self) -> None:
        read_end, write_end = os.pipe()
        with os.fdopen(write_end, "wb") as pipe:
            pipe.write(b"".join(line + b"\n" for line in self.lines))
        try:
            self.loop.run(Intake(read_end))
        finally:
            os.close(read_end)


class Swallowing:
    """A stage at fault: it takes records, and never says anything of them again."""

    full = False
    in_flight = 0

    def __init__(self, waits: int = 0) -> None:
        self.waits = waits

    def __len__(self) -> int:
        return self.waits

    def accept(self, entries: Sequence[Entry]) -> None:
        assert entries

    def oldest(self) -> float:
        return NEVER

    def due_in(self, now: float) -> float:
        assert now
        return NEVER

    def advance(self, now: float, *, ended: bool) -> None:
        assert now
        assert ended in (True, False)

    def lost(self) -> None:
        raise AssertionError

    def take(self, why: Why, now: float) -> Call | None:
        assert why in Why
        assert now
        return None


def test_a_run_that_settles_everything_echoes_every_state() -> None:
    run = Run(record("a@x.org", programs=[1, 2]), STATE, record("b@x.org"), record("a@x.org", title="y"), STATE)
    run.go()
    assert [(ack.record_count, ack.rejected_count) for ack in run.echoed] == [(1, 0), (2, 0)]
    assert run.way.tally.records_settled == 3
    assert sorted(run.way.marketo.members) == [(1, 101), (1, 102), (2, 101)]


def test_a_stage_that_loses_a_record_never_ends_in_success() -> None:
    run = Run(record("a@x.org", programs=[1, 2]), STATE)
    stage = Swallowing()
    run.with_stages(stage.accept, [stage])
    with pytest.raises(
        IncompleteRunError, match="1 unsettled record, 2 outcomes missing, 1 STATE message not acknowledged"
    ):
        run.go()
    assert run.echoed == []


def test_a_stage_that_never_makes_a_call_does_not_hang_the_run() -> None:
    run = Run(record("a@x.org"), STATE)
    stage = Swallowing(waits=1)
    run.with_stages(stage.accept, [stage])
    with pytest.raises(IncompleteRunError, match="no call is due"):
        run.go()


def test_an_outcome_too_many_is_a_fault_as_well() -> None:
    run = Run(record("a@x.org"), STATE)
    run.way.tally.outcomes_due -= 1
    with pytest.raises(IncompleteRunError, match="1 outcome too many"):
        run.go()


def test_everything_before_a_line_that_is_no_message_is_delivered() -> None:
    run = Run(record("a@x.org"), STATE, b"not JSON", record("b@x.org"))
    with pytest.raises(UndecodableLineError, match="3"):
        run.go()
    assert len(run.echoed) == 1
    assert [lead["email"] for lead in run.way.marketo.leads.values()] == ["a@x.org"]


def test_what_is_in_flight_is_settled_when_marketo_gives_up() -> None:
    """The other program's call is answered after the failure, and its STATE still goes."""
    run = Run(record("a@x.org"), STATE, record("b@x.org", programs=[2]), max_age=0.0)
    failed, answered = threading.Event(), threading.Event()

    def fail(endpoint: str, rows: list[Any]) -> None:
        if endpoint != "sync_status":
            return
        if run.way.marketo.leads[rows[0]]["email"] == "b@x.org":
            failed.set()
            raise UnreachableError(endpoint, "502")
        assert failed.wait(10)
        answered.set()

    run.way.marketo.before.append(fail)
    with pytest.raises(UnreachableError):
        run.go()
    assert answered.is_set()
    assert len(run.echoed) == 1
    assert run.way.tally.records_settled == 1


def test_a_stop_ends_the_run_and_echoes_what_is_settled() -> None:
    run = Run(record("a@x.org"), STATE, *(record(f"p{number}@x.org") for number in range(5)), max_age=0.0)

    def stop(endpoint: str, _rows: list[Any]) -> None:
        if endpoint == "sync_status":
            run.loop.stop()

    run.way.marketo.after.append(stop)
    with pytest.raises(Terminated):
        run.go()
    assert run.way.tally.records_settled == run.way.tally.outcomes


def test_a_storage_that_fails_ends_the_run_and_nothing_is_echoed() -> None:
    run = Run(record("a@x.org"), STATE)
    run.way.store.failure = StorageError("object_storage_config.path", "The disk is full.", "Make room.")
    with pytest.raises(StorageError):
        run.go()
    assert run.echoed == []


def test_a_used_up_quota_ends_the_run_with_what_is_settled_echoed() -> None:
    run = Run(record("a@x.org"), STATE, record("b@x.org", programs=[2]), STATE, max_age=0.0, concurrent_calls=1)

    def use_up(endpoint: str, _rows: list[Any]) -> None:
        if endpoint == "sync_status" and run.way.tally.outcomes:
            raise QuotaReachedError(endpoint, "607")

    run.way.marketo.before.append(use_up)
    with pytest.raises(QuotaReachedError):
        run.go()
    assert len(run.echoed) <= 1
    assert run.way.tally.records_settled == 1
