"""Run files: written whole, read back newest first, and what they say about who may still be writing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from destination_marketo_programs.config import LocalStorage, NoStorage
from destination_marketo_programs.storage import Reader, open_store
from destination_marketo_programs.storage.runs import (
    ImportJob,
    ProgramInfo,
    ReconciledLead,
    ReconciledProgram,
    ReconcileFile,
    RunFile,
    StreamInfo,
    Verdicts,
    is_alive,
    new_run,
    new_run_id,
    process_is_gone,
    runs_in,
    seconds_until_creates_settle,
    write_reconciled,
    write_run,
)

if TYPE_CHECKING:
    from pathlib import Path

    from destination_marketo_programs.storage import OutcomeStore

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
INSTANCE = "123-ABC-456"


def store_in(folder: Path, run_id: str = "r1", sync_id: str = "") -> OutcomeStore:
    return open_store(LocalStorage(path=str(folder)), sync_started_at=START, run_id=run_id, sync_id=sync_id)


def run_of(run_id: str = "r1", hours: int = 0, instance: str = INSTANCE, sync_id: str = "") -> RunFile:
    started = START + timedelta(hours=hours)
    return new_run(run_id=run_id, started=started, instance=instance, version="0.2.0", sync_id=sync_id)


def test_a_run_file_lies_beside_the_outcomes_and_reads_back(tmp_path: Path) -> None:
    store = store_in(tmp_path, sync_id="77")
    run = run_of(sync_id="77")
    run.programs = [
        ProgramInfo(1004, "Spring Expo 2026", "Event", "Tradeshow", "https://app-ab12.marketo.com/#PG1004A1")
    ]
    run.streams = [StreamInfo("people", "crm", "Program 1004: Spring Expo 2026")]
    run.events = {"4711": "Spring Expo"}
    run.imports = [ImportJob(1004, "Importing", "2026-11-23T10:00:01Z", 17)]
    write_run(store, run, START + timedelta(seconds=5))
    path = tmp_path / "77" / "run-20261123T100000Z-r1.json"
    members = json.loads(path.read_bytes())
    assert (members["started"], members["renewed"], members["ended"]) == (
        "2026-11-23T10:00:00Z",
        "2026-11-23T10:00:05Z",
        "",
    )
    assert (members["process_id"], members["instance"], members["sync_id"]) == (os.getpid(), INSTANCE, "77")
    run.ended, run.ending = "2026-11-23T10:09:00Z", "complete"
    write_run(store, run, START + timedelta(seconds=15))
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "77", path]
    assert Reader().runs([str(tmp_path)]) == [run]


def test_runs_of_an_instance_come_newest_first_whatever_their_sync(tmp_path: Path) -> None:
    for hours, (run_id, sync_id) in enumerate([("a", ""), ("b", "1"), ("c", "2")]):
        write_run(store_in(tmp_path, run_id, sync_id), run_of(run_id, hours, sync_id=sync_id), START)
    write_run(store_in(tmp_path, "other"), run_of("other", 9, "999-XYZ-000"), START)
    (tmp_path / "run-20261123T100000Z-torn.json").write_bytes(b'{"run_id":"to')
    (tmp_path / "run-20261123T100000Z-deep.json").write_bytes(b"[" * 9_000)
    (tmp_path / "run-notes.json").write_bytes(b"{}")
    store = store_in(tmp_path, "d")
    assert [run.run_id for run in runs_in(store, INSTANCE)] == ["c", "b", "a"]
    assert [run.run_id for run in runs_in(store, INSTANCE, but="b")] == ["c", "a"]
    old = tmp_path / "1" / "run-20261123T110000Z-b.json"
    os.utime(old, (START.timestamp(), START.timestamp()))
    recent = runs_in(store, INSTANCE, modified_since=datetime.now(UTC) - timedelta(days=1))
    assert [run.run_id for run in recent] == ["c", "a"]


def test_members_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    data = msgspec.to_builtins(run_of()) | {"invented_later": [1]}
    (tmp_path / "run-20261123T100000Z-r1.json").write_text(json.dumps(data))
    assert [run.run_id for run in Reader().runs([str(tmp_path)])] == ["r1"]


def test_without_storage_nobody_is_known() -> None:
    store = open_store(NoStorage(), sync_started_at=START, run_id="r")
    write_run(store, run_of(), START)
    assert runs_in(store, INSTANCE) == []
    assert store.read_blob("x") is None


def test_an_open_run_is_alive_for_half_a_minute_after_its_last_renewal() -> None:
    run = run_of()
    run.host = "elsewhere"
    run.renewed = "2026-11-23T10:00:00Z"
    assert is_alive(run, START + timedelta(seconds=30))
    assert not is_alive(run, START + timedelta(seconds=31))
    run.ended = "2026-11-23T10:00:01Z"
    assert not is_alive(run, START + timedelta(seconds=2))


def test_a_run_whose_process_is_gone_from_this_machine_is_dead_at_once() -> None:
    run = run_of()
    run.renewed = "2026-11-23T10:00:00Z"
    assert is_alive(run, START)
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    run.process_id = child.pid
    run.process_started = "1"
    child.wait(20)
    assert process_is_gone(run)
    assert not is_alive(run, START)
    reused = run_of()
    reused.process_started = "1"
    assert process_is_gone(reused), "the number belongs to another process now"
    reused.host_id = "another boot"
    assert not process_is_gone(reused), "there, its number means something else"


def test_creates_settle_after_the_last_that_may_have_been_sent() -> None:
    run = run_of()
    run.renewed = "2026-11-23T10:00:00Z"
    assert seconds_until_creates_settle(run, START + timedelta(seconds=4), 95) == 95
    assert seconds_until_creates_settle(run, START + timedelta(seconds=40), 95) == 65
    assert seconds_until_creates_settle(run, START + timedelta(hours=1), 95) == 0
    run.ended = "2026-11-23T10:00:20Z"
    assert seconds_until_creates_settle(run, START, 95) == 0
    run.creates_unanswered, run.last_create_sent_at = True, "2026-11-23T10:00:10Z"
    assert seconds_until_creates_settle(run, START + timedelta(seconds=30), 95) == 75
    run.dry_run = True
    assert seconds_until_creates_settle(run, START + timedelta(seconds=30), 95) == 0


@pytest.mark.parametrize("sync_id", ["", "77"])
def test_verdicts_are_stored_beside_the_runs(tmp_path: Path, sync_id: str) -> None:
    found = ReconcileFile(
        at="2026-11-24T08:00:00Z",
        instance=INSTANCE,
        run_id="r1",
        programs=[ReconciledProgram(1004, "Expo", Verdicts(as_sent=5, missing=1), 3)],
        leads=[ReconciledLead(1004, "missing", 100121, "0a1b2c", "Attended")],
    )
    write_reconciled(store_in(tmp_path, sync_id=sync_id), found)
    assert (tmp_path / sync_id / "reconcile-20261124T080000Z-r1.json").exists()
    assert Reader().reconciled([str(tmp_path)]) == [found]


def test_ids_sort_runs_of_one_second_by_their_start() -> None:
    """Names of files carry the second and the id: of two syncs in a row the later outcome has to count."""
    second = datetime(2026, 11, 26, 10, 0, 0, tzinfo=UTC)
    ids = [new_run_id(second.replace(microsecond=moment)) for moment in (0, 7, 999, 123_456, 999_999)]
    assert ids == sorted(ids)
    assert all(re.fullmatch("[0-9a-f]{12}", run_id) for run_id in ids)
    assert new_run_id(second) != new_run_id(second)
