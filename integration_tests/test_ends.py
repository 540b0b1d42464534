"""How a run ends: on request, by quota, a closed pipe, a full disk, rejections. Nothing is acknowledged early."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from harness import Connector, Run, catalog_of, config_for, record, state

from marketo_sandbox.faults import Fault, RowFault

if TYPE_CHECKING:
    from pathlib import Path

    from marketo_sandbox import SandboxServer


def people(count: int, start: int = 0) -> list[bytes]:
    """Records of different people, a STATE after each hundred."""
    lines = []
    for number in range(start, start + count):
        lines.append(record({"id": number, "email": f"p{number}@example.org"}))
        if number % 100 == 99:
            lines.append(state(number + 1))
    return lines


def test_sigterm_settles_what_is_in_flight(sandbox: SandboxServer, connector: Connector) -> None:
    """143, within seconds; the STATE of what was settled is out, that of the rest is not."""
    sandbox.faults.add(Fault(name="late", endpoint="members.status", hold_at="after"))
    with connector.start("write", config_for(sandbox), catalog_of("leads")) as process:
        assert process.stdin is not None
        process.stdin.write(b"\n".join(people(400)) + b"\n")
        process.stdin.flush()
        assert sandbox.faults.wait_until_held("late", timeout_seconds=60)
        process.send_signal(signal.SIGTERM)
        sandbox.faults.release("late")
        # The input stays open until the end: nothing but the signal may send the rest on its way.
        process.wait(20)
        out, err = process.communicate()
        run = Run(process.returncode, out.splitlines(), err.decode())
    assert run.code == 143, run.text
    assert [s["id"] for s in run.states] == [100, 200, 300]
    assert len(sandbox.state.members(1004)) == 300
    assert not run.of("TRACE")
    assert connector.write(config_for(sandbox), people(100, 300)).code == 0
    assert len(sandbox.state.members(1004)) == 400
    assert sandbox.state.lead_count() == 400


def test_sigterm_does_not_wait_for_marketo(sandbox: SandboxServer, connector: Connector) -> None:
    sandbox.faults.add(Fault(name="never", endpoint="leads.sync", hold_at="before"))
    with connector.start("write", config_for(sandbox), catalog_of("leads")) as process:
        assert process.stdin is not None
        process.stdin.write(b"\n".join(people(400)) + b"\n")
        process.stdin.flush()
        assert sandbox.faults.wait_until_held("never", timeout_seconds=60)
        process.send_signal(signal.SIGTERM)
        process.wait(12)
        sandbox.faults.release("never")
        assert process.stdout is not None
        run = Run(process.returncode, process.stdout.read().splitlines())
    assert run.code == 143
    assert run.states == []


@pytest.mark.parametrize("endpoint", ["usage.today", "channels.browse"])
def test_sigterm_during_check_does_not_wait_for_marketo(
    sandbox: SandboxServer, connector: Connector, endpoint: str
) -> None:
    """Nothing can be lost by ending a read at once."""
    sandbox.faults.add(Fault(name="never", endpoint=endpoint, hold_at="before"))
    with connector.start("check", config_for(sandbox)) as process:
        assert sandbox.faults.wait_until_held("never", timeout_seconds=60)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        process.wait(12)
        waited = time.monotonic() - began
        sandbox.faults.release("never")
    assert process.returncode == 143
    assert waited < 4


def test_the_daily_quota_ends_the_sync_as_transient(sandbox: SandboxServer, connector: Connector) -> None:
    """607: what is settled is acknowledged, and the message says when to come back."""
    sandbox.faults.add(Fault(endpoint="leads.sync", skip=2, times=None, code="607"))
    run = connector.write(config_for(sandbox, delivery={"concurrent_calls": 1}), people(900))
    assert run.code == 1
    assert run.error["failure_type"] == "transient_error"
    assert "607" in run.error["message"]
    assert "UTC" in run.error["message"]
    assert len(sandbox.state.members(1004)) == run.states[-1]["id"] if run.states else True


def test_our_own_budget_is_never_exceeded(sandbox: SandboxServer, connector: Connector) -> None:
    sandbox.state.set_usage("connector-api@example.com", 100)
    config = config_for(sandbox, delivery={"daily_call_budget": 112, "concurrent_calls": 2})
    run = connector.write(config, people(3_000))
    assert run.code == 1
    assert run.error["failure_type"] == "transient_error"
    assert "daily_call_budget" in run.error["message"]
    assert sandbox.state.calls_today() <= 112
    assert run.states
    assert len(sandbox.state.members(1004)) >= run.states[-1]["id"]


@pytest.mark.parametrize(("calls", "settled"), [(3, 300), (5, 600), (12, 1_800)])
def test_the_last_calls_of_a_budget_finish_what_has_begun(
    sandbox: SandboxServer, connector: Connector, calls: int, settled: int
) -> None:
    """People and membership of each three hundred: no call is spent on people whose membership can't be written."""
    connector.check(config_for(sandbox))
    checks = sandbox.state.calls_today()
    config = config_for(sandbox, delivery={"daily_call_budget": 2 * checks + calls})
    run = connector.write(config, people(3_000))
    assert (run.code, run.error["failure_type"]) == (1, "transient_error")
    assert run.states[-1]["id"] == settled
    assert sum(state["destinationStats"]["recordCount"] for state in run.states) == settled
    assert len(sandbox.state.members(1004)) == settled


def test_a_used_up_budget_is_found_before_the_first_record(sandbox: SandboxServer, connector: Connector) -> None:
    sandbox.state.set_usage("connector-api@example.com", 500)
    run = connector.write(config_for(sandbox, delivery={"daily_call_budget": 400}), people(100))
    assert run.code == 1
    assert "delivery.daily_call_budget" in run.error["message"]
    assert sandbox.state.lead_count() == 0


def test_nobody_reads_standard_output(sandbox: SandboxServer, connector: Connector) -> None:
    """A closed pipe: no acknowledgement can be given, so the run ends, and does not hang."""
    with connector.start("write", config_for(sandbox), catalog_of("leads")) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.communicate(b"\n".join(people(1_000)) + b"\n", timeout=60)
        assert process.returncode == 1


def test_a_partial_last_line_fails_by_number(sandbox: SandboxServer, connector: Connector) -> None:
    """The source died in the middle of a line: nothing of it may be taken for a whole one."""
    with connector.start("write", config_for(sandbox), catalog_of("leads")) as process:
        out, err = process.communicate(b"\n".join(people(100)) + b'\n{"type": "RECORD", "rec', timeout=60)
        run = Run(process.returncode, out.splitlines(), err.decode())
    assert run.code == 1
    assert "Line 102 " in run.error["message"]
    assert [s["id"] for s in run.states] == [100]


def test_a_full_disk_acknowledges_nothing(sandbox: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    """The store cannot write what became of the records: no STATE may say that they are settled."""
    folder = tmp_path / "outcomes"
    config = config_for(sandbox, object_storage_config={"storage_type": "Local", "path": str(folder)})
    with connector.start("write", config, catalog_of("leads")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n".join(people(400)) + b"\n")
        process.stdin.flush()
        first = next(line for line in iter(process.stdout.readline, b"") if b'"STATE"' in line)
        (file,) = folder.glob("**/outcomes-*.jsonl")
        written = file.stat().st_size
        # A limit on the size of files is the disk's edge, for this process alone.
        import resource  # noqa: PLC0415 - not on every platform

        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (written, written))
        process.stdin.write(b"\n".join(people(400, 400)) + b"\n")
        out, err = process.communicate(timeout=60)
        run = Run(process.returncode, [first, *out.splitlines()], err.decode())
    assert run.code == 1, run.text
    assert run.states[-1]["id"] <= 400
    assert "object_storage_config" in run.error["message"]


def test_fail_after_sync(sandbox: SandboxServer, connector: Connector) -> None:
    """Everything is delivered and acknowledged; then the counts, and exit code 1."""
    config = config_for(sandbox, delivery={"on_rejected": "fail_after_sync"})
    lines = [*people(100), record({"id": "x", "email": "bad"}), state(101)]
    run = connector.write(config, lines)
    assert run.code == 1
    assert run.states[-1]["id"] == 101
    assert run.stats == (100, 1)
    assert run.error["failure_type"] == "config_error"
    assert "INVALID_EMAIL 1" in run.error["message"]


def test_marketo_goes_away_and_comes_back(sandbox: SandboxServer, connector: Connector) -> None:
    """Refused connections are retried; the run ends well if Marketo is back inside the window."""
    sandbox.faults.add(Fault(name="stall", endpoint="leads.sync", hold_at="before"))
    with connector.start("write", config_for(sandbox), catalog_of("leads")) as process:
        assert process.stdin is not None
        process.stdin.write(b"\n".join(people(100)) + b"\n")
        process.stdin.close()
        process.stdin = None
        assert sandbox.faults.wait_until_held("stall", timeout_seconds=60)
        sandbox.faults.add(Fault(times=4, http_status=503))
        sandbox.faults.release("stall")
        out, err = process.communicate(timeout=60)
        run = Run(process.returncode, out.splitlines(), err.decode())
    assert run.code == 0, run.text
    assert len(sandbox.state.members(1004)) == 100


@pytest.mark.parametrize("level", ["INFO", "DEBUG"])
def test_no_person_and_no_secret_at_any_level(
    sandbox: SandboxServer, connector: Connector, level: str, tmp_path: Path
) -> None:
    """Errors of every kind, the key of the stream an email address: nothing of it in what anybody reads."""
    for _ in range(2):
        sandbox.state.add_lead({"email": "twice@example.org"})
    sandbox.faults.add(
        Fault(endpoint="leads.sync", skip=1, times=2, http_status=500),
        Fault(endpoint="members.status", times=1, expire_token=True),
        Fault(endpoint="members.status", times=1, row=RowFault(code="1099", message="refused: p3@example.org")),
    )
    lines = [
        *people(50),
        record({"email": "twice@example.org"}),
        record({"email": "Zoë <zoe@example.org>"}),
        record({"email": "a@example.org", "first": {"secret": "ada@example.org"}}),
        state(53),
        b'{"type": "RECORD", "record": {"stream": "leads", "data": {"email": "cut@example.org"',
    ]
    config = config_for(
        sandbox,
        field_mappings=[{"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"}],
        lead_sync={"duplicate_leads": "reject"},
        object_storage_config={"storage_type": "Local", "path": str(tmp_path)},
    )
    run = connector.write(config, lines, catalog_of("leads", primary_key=[["email"]]), LOG_LEVEL=level)
    assert run.code == 1
    assert "example.org" not in run.text
    assert "Zoë" not in run.text
    assert sandbox.client_secret not in run.text
    assert sandbox.client_id not in run.text
    assert "DUPLICATE_LEADS" in run.logs
