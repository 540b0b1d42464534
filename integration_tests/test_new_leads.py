"""A lead that was just created and that Marketo does not show yet: contract section 4."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import restarts
from harness import InProcess, record, state
from restarts import Attempt

from destination_marketo_programs.delivery.new_leads import NewLeads
from marketo_sandbox.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from marketo_sandbox import SandboxServer


def both_events(number: int) -> list[bytes]:
    """Two records of one person, one for each program."""
    email = f"p{number}@example.org"
    return [record({"id": f"{number}-{event}", "email": email, "event_id": event}) for event in ("expo", "roadshow")]


@pytest.mark.parametrize("hidden_seconds", [0.4, 5.0])
def test_every_record_of_a_new_person_is_delivered(
    sandbox: SandboxServer, tmp_path: Path, hidden_seconds: float
) -> None:
    """One record creates the lead, the other comes a moment later; people who are there do not wait for them."""
    folder = tmp_path / "outcomes"
    there = [sandbox.state.add_lead({"email": f"p{number}@example.org"}) for number in range(100, 200)]
    sandbox.configure(limits=False, visible_after_seconds=hidden_seconds)
    attempt = Attempt(
        tmp_path,
        restarts.config(sandbox, folder, "rest", delivery={"method": "rest", "max_batch_age_seconds": 1}),
        folder,
    )
    attempt.send([record({"id": n, "email": f"p{n}@example.org", "event_id": "expo"}) for n in range(50)])
    restarts.wait_for(lambda: sandbox.state.lead_count() == 150, attempt.process)
    attempt.send([record({"id": 200 + n, "email": f"p{n}@example.org", "event_id": "roadshow"}) for n in range(50)])
    attempt.send([record({"id": n, "email": f"p{n}@example.org", "event_id": "expo"}) for n in range(100, 200)])
    attempt.send([state(1)])
    attempt.end_input()
    restarts.wait_for(lambda: set(there) <= set(sandbox.state.members(1004)), attempt.process)
    if hidden_seconds > 1:
        assert sandbox.state.members(1234) == {}, "nobody was hidden: this test tests nothing"
    run = attempt.finish()
    assert run.code == 0, run.text
    assert run.stats == (200, 0)
    assert len(sandbox.state.members(1004)) == 150
    assert len(sandbox.state.members(1234)) == 50
    assert sandbox.state.duplicate_emails() == {}


def test_after_a_minute_it_is_rejected(sandbox: SandboxServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortened; the minute itself is a constant."""
    assert NewLeads.VISIBLE_SECONDS == 60
    monkeypatch.setattr(NewLeads, "VISIBLE_SECONDS", 2.0)
    sandbox.configure(limits=False, visible_after_seconds=3_600.0)
    run = InProcess(restarts.config(sandbox, tmp_path, "rest"))
    result = run.run([*both_events(0), *both_events(1), state(1)])
    assert result.stats == (0, 4)
    categories = {
        json.loads(line)["category"] for path in tmp_path.glob("outcomes-*") for line in path.read_text().splitlines()
    }
    assert categories == {"LEAD_NOT_FOUND"}
    assert sandbox.state.duplicate_emails() == {}


def test_a_lead_that_is_deleted_while_the_sync_runs_is_looked_up_again(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Not new, and gone: found or created again by its key, not waited for."""
    lead_id = sandbox.state.add_lead({"email": "p0@example.org"})
    # Both programs' calls: one that got through before would have made a member who goes with the lead.
    sandbox.faults.add(Fault(name="held", endpoint="members.status", hold_at="before", times=2))
    folder = tmp_path / "outcomes"
    attempt = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder)
    attempt.send([*both_events(0), state(1)])
    attempt.end_input()
    restarts.wait_for(lambda: sandbox.faults.fired("held") == 2, attempt.process)
    assert sandbox.state.remove_lead(lead_id)
    sandbox.faults.release("held")
    run = attempt.finish()
    assert run.code == 0, run.text
    assert run.stats == (2, 0)
    assert sandbox.state.lead_count() == 1
    assert sandbox.state.members_by_email(1004) == {"p0@example.org": "Registered"}
    assert sandbox.state.members_by_email(1234) == {"p0@example.org": "Invited"}
