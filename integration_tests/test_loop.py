"""The pipeline where no fault of Marketo leads: a worker's own exception, backpressure, progress, memory of leads."""

from __future__ import annotations

import json
import logging
import os
import threading
from typing import TYPE_CHECKING

import pytest
from harness import InProcess, config_for, record, state

from destination_marketo_programs import assembly
from destination_marketo_programs.delivery.progress import Watch
from marketo_sandbox.faults import Fault

if TYPE_CHECKING:
    from marketo_sandbox import SandboxServer


def people(count: int) -> list[bytes]:
    return [record({"id": number, "email": f"p{number}@example.org"}) for number in range(count)]


def test_an_exception_in_a_worker_ends_the_run(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reaches the caller, nothing hangs, and no STATE behind the records concerned is out."""
    run = InProcess(config_for(sandbox))

    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("destination_marketo_programs.marketo.api.RestMarketo.sync_status", broken)
    with pytest.raises(ZeroDivisionError):
        run.run([*people(5), state(5)])
    assert run.lines == []
    assert sandbox.state.lead_count() == 5
    assert sandbox.state.members(1004) == {}


def test_input_is_not_read_faster_than_marketo_takes_it(
    sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Marketo standing still, what is read stays bounded; afterwards everything arrives."""
    sandbox.configure(limits=False)
    sandbox.faults.add(Fault(name="still", endpoint="leads.sync", hold_at="before", times=None))
    run = InProcess(config_for(sandbox))
    monkeypatch.setattr(assembly, "MAX_WAITING_BYTES", 400_000)
    lines = [record({"email": f"p{number}@example.org", "filler": "x" * 1_000}) for number in range(6_000)]
    data = b"\n".join(lines) + b"\n"
    read_end, write_end = os.pipe()
    taken = 0
    fed = threading.Event()

    def feed() -> None:
        nonlocal taken
        while taken < len(data):
            taken += os.write(write_end, data[taken : taken + 4_096])
        os.close(write_end)
        fed.set()

    feeder = threading.Thread(target=feed, daemon=True)
    runner = threading.Thread(target=run.run_from, args=(read_end,), daemon=True)
    feeder.start()
    runner.start()
    assert sandbox.faults.wait_until_held("still", timeout_seconds=30)
    # All that may be on its way, what two chunks ahead hold, and what a wide pipe holds.
    assert not fed.wait(1.0)
    assert taken < 4_000_000
    assert taken < len(data) * 0.7
    sandbox.faults.clear()
    runner.join(60)
    assert not runner.is_alive()
    assert len(sandbox.state.members(1004)) == 6_000


def test_progress_is_told(sandbox: SandboxServer, caplog: pytest.LogCaptureFixture) -> None:
    """Read, settled, rejected, calls, pace and age, without waiting for an event to say it."""
    sandbox.faults.add(Fault(endpoint="members.status", delay_at="before", delay_seconds=0.5))
    run = InProcess(config_for(sandbox), watch=Watch(seconds=0.05))
    with caplog.at_level(logging.INFO, "airbyte.delivery"):
        run.run([*people(3), record({"email": "bad"}), state(4)])
    told = [entry.getMessage() for entry in caplog.records if entry.getMessage().startswith("Progress: ")]
    assert told
    assert "4 records read, 1 settled, 1 rejected" in told[-1]
    assert "of 100 calls per 20 s" in told[-1]


def test_a_lead_written_with_these_fields_is_not_written_again(sandbox: SandboxServer) -> None:
    """Each of the first 300 people is a lead call's row once; other fields are a reason to write again."""
    fields = [{"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"}]
    links = [
        {"event": "a", "program_id": "1004", "program_status": "Registered"},
        {"event": "b", "program_id": "1006", "program_status": "Registered"},
    ]
    run = InProcess(config_for(sandbox, program_links=links, field_mappings=fields))
    lines = [json.loads(line) for line in people(300)]
    for line in lines:
        line["record"]["data"] |= {"event_id": "a", "first": "Ada"}
    again = [json.loads(json.dumps(line)) for line in lines]
    for number, line in enumerate(again):
        line["record"]["data"] |= {"event_id": "b", "first": "Ada" if number else "Augusta"}
    read_end, write_end = os.pipe()
    runner = threading.Thread(target=run.run_from, args=(read_end,), daemon=True)
    runner.start()
    with os.fdopen(write_end, "wb") as pipe:
        pipe.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
        pipe.flush()
        assert sandbox.calls.wait(lambda calls: calls.count("members.status") == 1)
        pipe.write(b"".join(json.dumps(line).encode() + b"\n" for line in again))
    runner.join(30)
    assert [call.records for call in sandbox.calls.all("leads.sync")] == [300, 1]
    assert len(sandbox.state.members(1006)) == 300
    (first,) = sandbox.state.leads_with("email", "p0@example.org")
    lead = sandbox.state.lead(first)
    assert lead is not None
    assert lead["firstName"] == "Augusta"
