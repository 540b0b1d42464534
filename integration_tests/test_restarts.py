"""Restarted at once, whatever ended the run, while Marketo goes on with creates and imports: no second lead ever."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
import restarts
from harness import record
from restarts import Attempt

from marketo_sandbox.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from marketo_sandbox import SandboxServer

PEOPLE = 450
ENOUGH_FOR_A_FILE = 1_500
"""As long as more may come, fewer would go over REST."""
LONG_SECONDS = 7.5
"""Longer than a run that is asked to end waits for answers."""
SIGNALS = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -9}
WAYS = [("rest", "rest"), ("rest", "bulk"), ("bulk", "rest"), ("bulk", "bulk")]


def interrupted(sandbox: SandboxServer, folder: Path, method: str, ended_by: signal.Signals) -> int:
    """A run that a signal ends with creates, or an import, under way; returns where to resume."""
    attempt = Attempt(folder.parent, restarts.config(sandbox, folder, method), folder)
    attempt.send(restarts.lines(restarts.records(PEOPLE)))
    attempt.end_input()
    if method == "rest":
        restarts.wait_for(lambda: attempt.has_creates_under_way(sandbox), attempt.process)
    else:
        restarts.wait_for(attempt.has_import_under_way, attempt.process)
    run = restarts.stop(attempt, ended_by)
    assert run.code == SIGNALS[ended_by], run.text
    assert sandbox.state.lead_count() < PEOPLE, "everybody was created before the end: this test tests nothing"
    return restarts.resumed_at(run)


def resumed(
    sandbox: SandboxServer, folder: Path, method: str, start: int, settle: float = 5.0, people: int = PEOPLE
) -> None:
    """The next run, at once: it ends well, and everything is as if nothing had happened."""
    made = restarts.records(people)
    attempt = Attempt(folder.parent, restarts.config(sandbox, folder, method), folder, settle=settle)
    attempt.send(restarts.lines(made, start))
    run = attempt.finish()
    assert run.code == 0, run.text
    restarts.assert_as_undisturbed(sandbox, made)


@pytest.mark.parametrize(
    "ended_by",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), WAYS)
def test_ended_by_a_signal(
    sandbox: SandboxServer, tmp_path: Path, first: str, then: str, ended_by: signal.Signals
) -> None:
    seconds = LONG_SECONDS if ended_by != signal.SIGKILL and first == "rest" else restarts.WORK_SECONDS
    restarts.hostile(sandbox, seconds)
    start = interrupted(sandbox, tmp_path / "outcomes", first, ended_by)
    resumed(sandbox, tmp_path / "outcomes", then, start, seconds + 1.5)


def test_a_run_that_ends_before_it_has_waited_hands_on_what_it_inherited(
    sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Killed, begun again, stopped in order at once, begun again: the third run still waits for the first one's."""
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox)
    start = interrupted(sandbox, folder, "rest", signal.SIGKILL)
    second = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder)
    restarts.wait_for(lambda: (run := second.run_file) is not None and not run.waiting, second.process)
    assert restarts.stop(second, signal.SIGTERM).code == 143
    resumed(sandbox, folder, "rest", start)


@pytest.mark.parametrize("then", ["rest", "bulk"])
def test_killed_before_marketo_has_named_the_import(sandbox: SandboxServer, tmp_path: Path, then: str) -> None:
    """The job runs, and nobody knows its number: nothing is sent for its program for as long as it may take."""
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox)
    sandbox.faults.add(Fault(name="unnamed", endpoint="bulk.import.create", hold_at="after"))
    attempt = Attempt(tmp_path, restarts.config(sandbox, folder, "bulk"), folder)
    attempt.send(restarts.lines(restarts.records(PEOPLE)))
    attempt.end_input()
    assert sandbox.faults.wait_until_held("unnamed")
    assert restarts.stop(attempt, signal.SIGKILL).code == -9
    assert sandbox.state.lead_count() == 0
    resumed(sandbox, folder, then, 0)


def test_an_import_is_handed_on_with_its_number(sandbox: SandboxServer, tmp_path: Path) -> None:
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox, 6.0)
    start = interrupted(sandbox, folder, "bulk", signal.SIGKILL)
    second = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder)
    restarts.wait_for(second.has_import_under_way, second.process)
    assert restarts.stop(second, signal.SIGTERM).code == 143
    resumed(sandbox, folder, "rest", start)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), WAYS)
def test_ended_by_a_full_disk(sandbox: SandboxServer, tmp_path: Path, first: str, then: str) -> None:
    """Creates in flight are answered before the process goes; an import goes on without it."""
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox)
    attempt = Attempt(tmp_path, restarts.config(sandbox, folder, first), folder)
    attempt.send(restarts.lines(restarts.records(ENOUGH_FOR_A_FILE)))
    if first == "rest":
        restarts.wait_for(lambda: attempt.has_creates_under_way(sandbox), attempt.process)
    else:
        restarts.wait_for(attempt.has_import_under_way, attempt.process)
    restarts.fill_disk(attempt)
    attempt.send([record({"id": "bad", "email": "nobody", "event_id": "expo"})])
    run = attempt.finish()
    assert run.code == 1, run.text
    assert "object_storage_config" in run.error["message"]
    if first == "rest":
        assert restarts.calls_in_flight(sandbox) == 0
    resumed(sandbox, folder, then, restarts.resumed_at(run), people=ENOUGH_FOR_A_FILE)


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), WAYS)
def test_ended_by_an_unforeseen_error(sandbox: SandboxServer, tmp_path: Path, first: str, then: str) -> None:
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox)
    patch = "restarts:break_status_calls" if first == "rest" else "restarts:break_import_polls"
    attempt = Attempt(tmp_path, restarts.config(sandbox, folder, first), folder, patch)
    attempt.send(restarts.lines(restarts.records(PEOPLE)))
    run = attempt.finish()
    assert run.code == 1, run.text
    assert run.error["failure_type"] == "system_error"
    resumed(sandbox, folder, then, restarts.resumed_at(run))
