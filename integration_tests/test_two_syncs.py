"""Two syncs of one Marketo instance, and what a run says of itself to the other: contract section 10."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest
import restarts
import scenario
from harness import Connector, catalog_of, config_for, record, state
from restarts import Attempt

from destination_marketo_programs.config import connector_spec
from destination_marketo_programs.storage.runs import ALIVE_SECONDS, RENEW_SECONDS, ImportJob, RunFile, run_name
from marketo_sandbox.faults import Fault

if TYPE_CHECKING:
    from marketo_sandbox import SandboxServer

PEOPLE = 300
AT = "%Y-%m-%dT%H:%M:%SZ"


def written_by_hand(folder: Path, sandbox: SandboxServer, renewed_ago: float, **members: object) -> RunFile:
    """A run file of a process that this machine knows nothing of."""
    now = datetime.now(UTC)
    run = RunFile(
        run_id="byhand",
        started=(now - timedelta(hours=1)).strftime(AT),
        renewed=(now - timedelta(seconds=renewed_ago)).strftime(AT),
        instance=sandbox.url.removeprefix("http://"),
        host="elsewhere",
        host_id="another",
        process_id=4711,
        records_read=1_234,
        records_settled=1_200,
    )
    for name, value in members.items():
        setattr(run, name, value)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"run-{run_name(run)}.json").write_bytes(msgspec.json.encode(run))
    return run


@pytest.mark.parametrize("method", ["rest", "bulk"])
def test_the_second_of_two_waits_for_the_first(sandbox: SandboxServer, tmp_path: Path, method: str) -> None:
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox)
    made = restarts.records(PEOPLE)
    first = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder)
    first.send(restarts.lines(made))
    restarts.wait_for(lambda: first.has_creates_under_way(sandbox), first.process)
    second = Attempt(tmp_path, restarts.config(sandbox, folder, method), folder)
    second.send(restarts.lines(made))
    second.end_input()
    restarts.wait_for(lambda: (run := second.run_file) is not None and run.waiting, second.process)
    first_run = first.finish()
    told = first.run_file
    second_run = second.finish()
    assert (first_run.code, second_run.code) == (0, 0), first_run.text + second_run.text
    assert told is not None
    assert f"Waiting for another sync of this Marketo instance to end: started {told.started}" in second_run.logs
    assert f"process {first.process.pid}" in second_run.logs
    restarts.assert_as_undisturbed(sandbox, made)


def test_of_two_that_begin_together_one_waits(sandbox: SandboxServer, tmp_path: Path) -> None:
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox, 1.0)
    made = restarts.records(PEOPLE)
    both = [Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder) for _ in range(3)]
    for attempt in both:
        attempt.send(restarts.lines(made))
        attempt.end_input()
    runs = [attempt.finish() for attempt in both]
    assert [run.code for run in runs] == [0, 0, 0], "".join(run.text for run in runs)
    restarts.assert_as_undisturbed(sandbox, made)


def test_without_patience_the_second_ends_and_names_the_first(sandbox: SandboxServer, tmp_path: Path) -> None:
    folder = tmp_path / "outcomes"
    sandbox.faults.add(Fault(name="held", endpoint="leads.sync", hold_at="before"))
    made = restarts.records(PEOPLE)
    first = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder)
    first.send(restarts.lines(made))
    first.end_input()
    assert sandbox.faults.wait_until_held("held")
    impatient = restarts.config(sandbox, folder, "rest", delivery={"method": "rest", "wait_for_other_sync_minutes": 0})
    second = Attempt(tmp_path, impatient, folder)
    second.send(restarts.lines(made))
    run = second.finish()
    sandbox.faults.release("held")
    assert run.code == 1
    assert run.states == []
    assert run.error["failure_type"] == "transient_error"
    told = first.run_file
    assert told is not None
    for part in (told.started, f"process {first.process.pid}", socket.gethostname(), "wait_for_other_sync_minutes"):
        assert part in run.error["message"]
    assert first.finish().code == 0
    restarts.assert_as_undisturbed(sandbox, made)


def test_a_second_that_waits_can_be_stopped(sandbox: SandboxServer, tmp_path: Path) -> None:
    folder = tmp_path / "outcomes"
    written_by_hand(folder, sandbox, 0)
    second = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder)
    restarts.wait_for(lambda: (run := second.run_file) is not None and run.waiting, second.process)
    run = restarts.stop(second, signal.SIGTERM)
    assert run.code == 143
    assert sandbox.state.lead_count() == 0


def test_a_run_of_another_host_is_waited_for_until_it_has_not_been_renewed_for_half_a_minute(
    sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Then it is taken for dead, and its file is closed."""
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox, 0.0)
    other = written_by_hand(folder, sandbox, 22)
    made = restarts.records(PEOPLE)
    attempt = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder)
    attempt.send(restarts.lines(made))
    run = attempt.finish()
    assert run.code == 0, run.text
    assert "1,234 records read, 1,200 settled, host elsewhere, process 4711" in run.logs
    renewed = datetime.strptime(other.renewed, AT).replace(tzinfo=UTC)
    assert (datetime.now(UTC) - renewed).total_seconds() > ALIVE_SECONDS
    restarts.assert_as_undisturbed(sandbox, made)
    taken_over = next(told for told in scenario.run_files(folder) if told.run_id == "byhand")
    assert taken_over.ending == "killed"


def test_existing_people_go_on_at_once_while_creates_wait(sandbox: SandboxServer, tmp_path: Path) -> None:
    """After a run that died a moment ago, whoever is there already is delivered; new people wait for its creates."""
    folder = tmp_path / "outcomes"
    for number in range(200):
        sandbox.state.add_lead({"email": f"p{number}@example.org"})
    dead = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder)
    restarts.wait_for(lambda: (run := dead.run_file) is not None and not run.waiting, dead.process)
    dead.process.kill()
    dead.finish()
    attempt = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder, settle=20)
    attempt.send([record({"id": n, "email": f"p{n}@example.org", "event_id": "expo"}) for n in range(200)])
    attempt.send([state(1)])
    attempt.send([record({"id": "new", "email": "new@example.org", "event_id": "expo"}), state(2)])
    restarts.wait_for(lambda: len(sandbox.state.members(1004)) == 200, attempt.process)
    assert sandbox.state.lead_count() == 200
    run = restarts.stop(attempt, signal.SIGTERM)
    assert [echoed["id"] for echoed in run.states] == [1]


def test_nothing_goes_to_a_program_whose_import_of_another_run_still_runs(
    sandbox: SandboxServer, tmp_path: Path
) -> None:
    """Asked by its number; people of other programs who are there already are delivered meanwhile."""
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox, 0.0)
    sandbox.faults.add(Fault(name="job", endpoint="bulk.import.create", hold_job=True))
    first = Attempt(tmp_path, restarts.config(sandbox, folder, "bulk"), folder)
    first.send([record({"id": n, "email": f"p{n}@example.org", "event_id": "expo"}) for n in range(50)])
    first.end_input()
    restarts.wait_for(first.has_import_under_way, first.process)
    assert restarts.stop(first, signal.SIGKILL).code == -9
    sandbox.state.add_lead({"email": "there@example.org"})
    second = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder, settle=1.0)
    second.send([record({"id": n, "email": f"p{n}@example.org", "event_id": "expo"}) for n in range(50)])
    second.send([record({"id": 50, "email": "there@example.org", "event_id": "roadshow"})])
    second.send([record({"id": 51, "email": "p0@example.org", "event_id": "roadshow"}), state(52)])
    second.end_input()
    restarts.wait_for(lambda: sandbox.state.members(1234), second.process)
    (job,) = sandbox.state.jobs()
    polled = sandbox.calls.count("bulk.import.status")
    assert sandbox.calls.wait(lambda calls: calls.count("bulk.import.status") >= polled + 3)
    assert sandbox.state.members_by_email(1234) == {"there@example.org": "Invited"}
    assert sandbox.state.members(1004) == {}
    sandbox.faults.release("job")
    run = second.finish()
    assert run.code == 0, run.text
    assert f"import job {job.id} of an earlier run" in run.logs
    assert sandbox.state.duplicate_emails() == {}
    assert set(sandbox.state.members_by_email(1234)) == {"there@example.org", "p0@example.org"}
    assert len(sandbox.state.members(1004)) == 50


def test_what_the_run_file_says_and_when(sandbox: SandboxServer, tmp_path: Path) -> None:
    """There before the first write, renewed while nothing happens, closed with what became of everything."""
    folder = tmp_path / "outcomes"
    sandbox.faults.add(Fault(name="held", endpoint="leads.sync", hold_at="before"))
    attempt = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder)
    attempt.send([record({"id": "secret-key", "email": "p0@example.org", "event_id": "expo"})])
    attempt.send([record({"id": 2, "email": "nobody", "event_id": "expo"})])
    attempt.send([record({"id": 3, "email": "p3@example.org", "event_id": "nowhere"}), state(3)])
    attempt.end_input()
    assert sandbox.faults.wait_until_held("held")
    told = attempt.run_file
    assert told is not None
    assert told.is_open
    assert (told.host, told.process_id) == (socket.gethostname(), attempt.process.pid)
    assert told.last_create_sent_at
    renewed = datetime.now(UTC)
    restarts.wait_for(lambda: (run := attempt.run_file) is not None and run.renewed > renewed.strftime(AT))
    assert (datetime.now(UTC) - renewed).total_seconds() <= RENEW_SECONDS
    unanswered = attempt.run_file
    assert unanswered is not None
    assert unanswered.creates_unanswered
    assert unanswered.records_read == 3
    sandbox.faults.release("held")
    run = attempt.finish()
    assert run.code == 0, run.text
    closed = attempt.run_file
    assert closed is not None
    assert (closed.ending, closed.creates_unanswered, closed.imports) == ("complete", False, [])
    assert closed.leads == {"total": 3, "delivered": 1, "unchanged": 0, "skipped": 1, "rejected": 1}
    content = next(folder.glob("**/run-*.json")).read_text()
    for person in ("example.org", "nobody", "secret-key"):
        assert person not in content


def test_an_import_under_way_is_named_in_the_run_file(sandbox: SandboxServer, tmp_path: Path) -> None:
    folder = tmp_path / "outcomes"
    restarts.hostile(sandbox, 1.0)
    made = restarts.records(50)
    attempt = Attempt(tmp_path, restarts.config(sandbox, folder, "bulk"), folder)
    attempt.send(restarts.lines(made))
    attempt.end_input()
    restarts.wait_for(attempt.has_import_under_way, attempt.process)
    told = attempt.run_file
    assert told is not None
    (job,) = told.imports
    assert job == ImportJob(1004, "Importing", job.uploaded_at, sandbox.state.jobs()[0].id)
    assert attempt.finish().code == 0


def test_without_a_storage_none_of_this_is_known_and_form_and_docs_say_so() -> None:
    properties = connector_spec()["connectionSpecification"]["properties"]
    texts = {name: json.dumps(properties[name]) for name in ("object_storage_config", "delivery")}
    assert "no waiting for another sync" in texts["object_storage_config"]
    assert "Needs a storage" in texts["delivery"]
    runbook = (Path(__file__).parents[1] / "docs" / "guides" / "runbook.md").read_text("utf-8")
    assert "**Without a storage none of this can be known.**" in runbook


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_executable_itself_waits_95_seconds(sandbox: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    """The times that users have: killed with creates under way that take half a minute, and begun again at once."""
    folder = tmp_path / "outcomes"
    sandbox.configure(limits=False, create_seconds=30.0)
    storage = {"storage_type": "Local", "path": str(folder)}
    config = config_for(sandbox, object_storage_config=storage)
    lines = [*(record({"id": n, "email": f"p{n}@example.org"}) for n in range(PEOPLE)), state(PEOPLE)]
    process = connector.start("write", config, catalog_of("leads"))
    feeder = threading.Thread(target=process.communicate, args=(b"\n".join(lines) + b"\n",))
    feeder.start()
    restarts.wait_for(lambda: sandbox.calls.count("members.describe") or scenario.run_files(folder))
    restarts.wait_for(lambda: [run for run in scenario.run_files(folder) if run.last_create_sent_at])
    restarts.wait_for(lambda: restarts.calls_in_flight(sandbox) == 1)
    os.kill(process.pid, signal.SIGKILL)
    feeder.join(30)
    began = datetime.now(UTC)
    with connector.start("write", config, catalog_of("leads")) as again:
        out, _ = again.communicate(b"\n".join(lines) + b"\n", timeout=240)
    assert again.returncode == 0, out
    assert 60 < (datetime.now(UTC) - began).total_seconds() < 140
    assert sandbox.state.duplicate_emails() == {}
    assert len(sandbox.state.members(1004)) == PEOPLE
