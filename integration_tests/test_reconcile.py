"""`reconcile` as its users run it: the executable, stored outcomes, and a Marketo that somebody else works in too."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import boto3
import pytest
from harness import EXECUTABLE, Connector, InProcess, Json, Run, catalog_of, config_for, environment, record, state
from moto.server import ThreadedMotoServer
from strict_extracts import status_change
from strict_marketo import StrictMarketo

from destination_marketo_programs.config import LocalStorage, load_settings
from destination_marketo_programs.outcomes import Outcome, Result, record_ref
from destination_marketo_programs.storage import Reader, open_store, reader_for
from marketo_sandbox import Fault, Permission, Program, SandboxServer, Service
from marketo_sandbox import Settings as SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

EXPO = 1004
QUICK_EXPORTS: Json = {"export_status_seconds": 0.0, "export_start_seconds": 0.0, "export_job_seconds": 0.5}


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with SandboxServer(SandboxSettings(**QUICK_EXPORTS)) as server:
        yield server


@pytest.fixture
def config(sandbox: SandboxServer, tmp_path: Path) -> Json:
    storage = {"storage_type": "Local", "path": str(tmp_path / "outcomes")}
    return config_for(sandbox, object_storage_config=storage)


def email(number: int) -> str:
    return f"person{number}@example.org"


def run(connector: Connector, config: Json, *options: str) -> Run:
    process = subprocess.run(
        [*connector.arguments("reconcile", config), *options],
        capture_output=True,
        env=environment(),
        timeout=120,
        check=False,
    )
    assert b"Traceback" not in process.stderr, process.stderr.decode()
    return Run(process.returncode, process.stdout.splitlines() if "json" in options else [], process.stderr.decode())


def text(connector: Connector, config: Json, *options: str) -> tuple[int, str, str]:
    process = subprocess.run(
        [*connector.arguments("reconcile", config), *options],
        capture_output=True,
        env=environment(),
        timeout=120,
        check=False,
        text=True,
    )
    assert "Traceback" not in process.stderr
    return process.returncode, process.stdout, process.stderr


def verdicts(done: Run) -> dict[int | None, str]:
    return {line["lead_id"]: line["verdict"] for line in (json.loads(line) for line in done.lines)}


def deliver(connector: Connector, config: Json, count: int, status: str = "Registered") -> list[int]:
    """So many people, written by the connector; their lead ids."""
    link = {"event": "", "program_id": str(EXPO), "program_status": status}
    lines = [record({"id": f"r-{number}", "email": email(number)}) for number in range(count)]
    done = connector.write({**config, "program_links": [link]}, [*lines, state(1)])
    assert done.code == 0, done.text
    stored = outcomes(Path(config["object_storage_config"]["path"]))
    return [stored[f"r-{number}"].lead_id or 0 for number in range(count)]


def outcomes(folder: Path) -> dict[str, Any]:
    """The last outcome stored of each record."""
    reader = Reader()
    return {one.record_key: one for file in reader.find_files([str(folder)]) for one in reader.outcomes(file)}


def store_outcomes(config: Json, lines: list[Outcome], started: datetime) -> None:
    storage = LocalStorage(path=config["object_storage_config"]["path"])
    store = open_store(storage, sync_started_at=started, run_id="earlier")
    for line in lines:
        store.add(line)
    store.close()


def outcome(key: str, lead_id: int | None, program: int = EXPO, **more: Any) -> Outcome:
    result = more.pop("outcome", Result.CREATED)
    return Outcome(
        "leads",
        key,
        None,
        program,
        "Registered",
        result,
        lead_id,
        at="2026-01-02T10:00:00Z",
        record_ref=record_ref("", "leads", key),
        **more,
    )


# --- verdicts ----------------------------------------------------------------------------------------------------


def test_everything_as_sent_is_exit_code_0(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    leads = deliver(connector, config, 20)
    before, writes = sandbox.state.all_members(), len(sandbox.calls.writes())
    done = run(connector, config, "--format", "json")
    assert done.code == 0, done.stderr
    assert verdicts(done) == dict.fromkeys(leads, "as_sent")
    assert len(sandbox.calls.writes()) == writes
    assert sandbox.state.all_members() == before


def test_each_verdict_in_json_and_in_text(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    leads = deliver(connector, config, 7)
    view = sandbox.state
    for lead, status in zip(leads[1:4], ("Engaged", "Waitlisted", "Invited"), strict=True):
        view.add_member(EXPO, lead, status)
    view.remove_member(EXPO, leads[4])
    view.remove_lead(leads[5])
    done = run(connector, config, "--format", "json")
    assert done.code == 1
    expected = ["as_sent", "ahead", "beside", "behind", "missing", "person_gone", "as_sent"]
    assert verdicts(done) == dict(zip(leads, expected, strict=True))
    behind = next(json.loads(line) for line in done.lines if b'"behind"' in line)
    assert behind == {
        "program_id": EXPO,
        "program": behind["program"],
        "lead_id": leads[3],
        "verdict": "behind",
        "program_status": "Registered",
        "status_in_marketo": "Invited",
        "delivered_at": behind["delivered_at"],
        "stream": "leads",
        "record_key": "r-3",
        "record_ref": record_ref("", "leads", "r-3"),
        "merged_from": None,
        "fix": None,
        "code": None,
    }
    code, out, err = text(connector, config)
    assert code == 1
    assert re.search(r"behind +1 ", out)
    for lead in leads[3:6]:
        assert str(lead) in out
    assert str(leads[0]) not in out
    assert "reconcile --config" in out
    assert "--fix" in out
    assert "example.org" not in out + err
    assert err == ""


def test_the_verdicts_are_stored_for_the_page(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    leads = deliver(connector, config, 3)
    sandbox.state.remove_member(EXPO, leads[0])
    assert run(connector, config, "--format", "json").code == 1
    (file,) = Reader().reconciled([config["object_storage_config"]["path"]])
    assert (file.programs[0].verdicts.as_sent, file.programs[0].verdicts.missing) == (2, 1)
    assert [lead.lead_id for lead in file.leads] == [leads[0]]
    assert file.instance == sandbox.url.removeprefix("http://")


def test_named_outcomes_and_an_output_file(
    connector: Connector, sandbox: SandboxServer, config: Json, tmp_path: Path
) -> None:
    deliver(connector, config, 2)
    target = tmp_path / "found.jsonl"
    nowhere = {**config, "object_storage_config": {"storage_type": "None"}}
    done = run(connector, nowhere, config["object_storage_config"]["path"], "--format", "json", "--output", str(target))
    assert (done.code, done.lines) == (0, [])
    assert len(target.read_text().splitlines()) == 2
    assert sandbox.calls.count("members.query") == 1


def test_programs_and_days_can_be_chosen(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    one = sandbox.state.add_lead({"email": email(1)})
    store_outcomes(config, [outcome("a", one), outcome("b", one, program=1234)], datetime(2026, 1, 2, tzinfo=UTC))
    chosen = run(connector, config, "--program", f"PG{EXPO}A1", "--format", "json")
    assert [json.loads(line)["program_id"] for line in chosen.lines] == [EXPO]
    assert run(connector, config, "--since", "2026-02-01", "--format", "json").lines == []
    assert run(connector, config, "--since", "2026-01-01", "--format", "json").code == 1


def test_a_merged_person_is_found(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    view = sandbox.state
    loser, winner = (view.add_lead({"email": email(1)}) for _ in range(2))
    view.add_member(EXPO, loser, "Registered")
    line = outcome("a", loser, lookup_value=email(1).upper(), confirmed=True)
    store_outcomes(config, [line], datetime(2026, 1, 2, tzinfo=UTC))
    view.merge_leads(winner, [loser])
    done = run(connector, config, "--format", "json")
    assert verdicts(done) == {winner: "as_sent"}, done.stderr
    assert json.loads(done.lines[0])["merged_from"] == loser


def test_outcomes_in_a_bucket_are_read_with_the_configuration_s_own_keys(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        key, secret = "AKIAEXAMPLE", "made-up-secret"
        client = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=endpoint,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
        )
        client.create_bucket(Bucket="outcomes")
        config["object_storage_config"] = {
            "storage_type": "S3",
            "s3_bucket_name": "outcomes",
            "s3_bucket_region": "us-east-1",
            "bucket_path": "marketo",
            "access_key_id": key,
            "secret_access_key": secret,
            "s3_endpoint": endpoint,
        }
        link = {"event": "", "program_id": str(EXPO), "program_status": "Registered"}
        written = connector.write({**config, "program_links": [link]}, [record({"id": 1, "email": email(1)}), state(1)])
        assert written.code == 0, written.text
        (lead,) = sandbox.state.members(EXPO)
        sandbox.state.remove_member(EXPO, lead)
        done = run(connector, config, "--format", "json")
        assert verdicts(done) == {lead: "missing"}, done.stderr
        loaded = load_settings(config, cloud=False).settings
        assert loaded is not None
        reader = reader_for(loaded.object_storage_config)
        (file,) = reader.reconciled(["s3://outcomes/marketo"])
        assert file.programs[0].verdicts.missing == 1
    finally:
        server.stop()


def test_what_was_found_is_shown_although_it_cannot_be_stored(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    (lead,) = deliver(connector, config, 1)
    sandbox.state.remove_member(EXPO, lead)
    sandbox.faults.add(Fault(name="held", endpoint="members.query", hold_at="before"))
    process = subprocess.Popen(
        connector.arguments("reconcile", config), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )
    with process:
        assert sandbox.faults.wait_until_held("held")
        folder = Path(config["object_storage_config"]["path"])
        folder.rename(folder.with_name("elsewhere"))
        folder.touch()
        sandbox.faults.release("held")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert str(lead).encode() in out
    assert b"this path is a file" in err


def test_a_person_who_was_merged_after_a_rest_sync_is_found(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    leads = deliver(connector, config, 3)
    winner = sandbox.state.add_lead({"email": "another@address.example"})
    sandbox.state.merge_leads(winner, [leads[0]])
    sandbox.state.remove_lead(leads[1])
    done = run(connector, config, "--format", "json")
    assert verdicts(done) == {winner: "as_sent", leads[1]: "person_gone", leads[2]: "as_sent"}
    assert done.code == 1


# --- what cannot be done -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "options", "says"),
    [
        ({"object_storage_config": {"storage_type": "None"}}, (), "object_storage_config"),
        ({"client_secret": "wrong"}, (), "client_secret"),
        ({"program_links": []}, (), "program_links"),
        ({}, ("--since", "last week"), "2026-11-20"),
        ({}, ("--program", "ST12A1"), "static list"),
        ({}, ("/nowhere",), "no such file or folder"),
        ({"delivery": {"dry_run": True}}, ("--fix",), "delivery.dry_run"),
    ],
)
def test_what_could_not_be_done_is_exit_code_2(
    connector: Connector, config: Json, change: Json, options: tuple[str, ...], says: str
) -> None:
    store_outcomes(config, [outcome("a", 1)], datetime(2026, 1, 2, tzinfo=UTC))
    code, out, err = text(connector, {**config, **change}, *options)
    assert (code, out) == (2, "")
    assert says in err
    assert "sandbox-client-secret" not in err


def test_a_program_that_is_not_shown_is_exit_code_2(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    one = sandbox.state.add_lead({"email": email(1)})
    sandbox.state.add_member(EXPO, one, "Registered")
    store_outcomes(config, [outcome("a", one), outcome("b", one, program=999)], datetime(2026, 1, 2, tzinfo=UTC))
    code, out, _ = text(connector, config)
    assert code == 2
    assert "Program 999 was not compared" in out
    assert re.search(r"as sent +1 ", out)


def test_the_daily_quota_is_named(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    deliver(connector, config, 1)
    sandbox.faults.add(Fault(endpoint="members.query", code="607", times=None))
    code, out, err = text(connector, config)
    assert (code, out) == (2, "")
    assert "607" in err
    assert "resets on" in err


# --- extracts ----------------------------------------------------------------------------------------------------


def many(sandbox: SandboxServer, config: Json, count: int, programs: tuple[int, ...] = (EXPO,)) -> list[int]:
    """People and memberships that are there, and outcomes that say so."""
    view = sandbox.state
    leads = [view.add_lead({"email": email(number)}) for number in range(count)]
    lines = []
    for program in programs:
        for number, lead in enumerate(leads):
            view.add_member(program, lead, "Registered")
            lines.append(outcome(f"r-{number}", lead, program))
    store_outcomes(config, lines, datetime(2026, 1, 2, tzinfo=UTC))
    return leads


def test_2000_leads_take_at_most_8_calls(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    many(sandbox, config, 2_000)
    done = run(connector, config, "--format", "json")
    assert done.code == 0
    assert len(done.lines) == 2_000
    assert sandbox.state.calls_today() <= 8


def test_more_than_2400_leads_of_a_program_are_extracted(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    leads = many(sandbox, config, 2_500, (EXPO, 1234))
    sandbox.state.add_member(EXPO, leads[0], "Invited")
    other = sandbox.state.add_lead({"email": "from@elsewhere.example"})
    sandbox.state.add_member(EXPO, other, "Invited")
    code, out, err = text(connector, config)
    assert code == 1, err
    assert "1 other member did not come from here" in out
    assert "0 other members did not come from here" in out
    assert re.search(r"as sent +2,499 ", out)
    assert sandbox.calls.count("members.query") == 0
    assert sandbox.state.calls_today() <= 15
    assert "elsewhere.example" not in out + err


@pytest.mark.slow
def test_100_000_members_of_10_programs_take_at_most_15_calls_and_no_more_memory(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    programs = range(5_001, 5_011)
    for program in programs:
        sandbox.state.add_program(Program(program, f"Fair {program}", "Event", "Tradeshow", 512))
    few = ten_programs(connector, sandbox, config, programs, 300)
    calls = sandbox.state.calls_today()
    many_ = ten_programs(connector, sandbox, config, programs, 10_000)
    assert sandbox.state.calls_today() - calls <= 15
    assert sandbox.calls.count("members.export.file") == 1
    assert many_ < few + 64_000_000, (few, many_)


def ten_programs(connector: Connector, sandbox: SandboxServer, config: Json, programs: range, count: int) -> int:
    """Compare so many members of each program, and return the most memory that took, in bytes."""
    shutil.rmtree(config["object_storage_config"]["path"], ignore_errors=True)
    many(sandbox, config, count, tuple(programs))
    process = subprocess.Popen(
        [*connector.arguments("reconcile", config), "--output", os.devnull], env=environment(), stdout=subprocess.PIPE
    )
    with process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_maxrss * 1_024


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (Fault(endpoint="members.export.create", code="1029", message="Daily quota exceeded", times=None), "quota"),
        (Fault(endpoint="members.export.enqueue", code="1035", message="Unsupported filter", times=None), "1035"),
        (Fault(endpoint="members.export.create", code="603", message="Access denied", times=None), "603"),
    ],
)  # fmt: skip
def test_an_extract_that_is_refused_becomes_reads(
    connector: Connector, sandbox: SandboxServer, config: Json, fault: Fault, says: str
) -> None:
    many(sandbox, config, 2_401)
    sandbox.faults.add(fault)
    code, out, _ = text(connector, config)
    assert code == 0
    assert "instead of by extract" in out
    assert says in out
    assert sandbox.calls.count("members.query") == 9


def test_imports_become_exact_by_extract(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    view = sandbox.state
    lines = [
        outcome(f"r-{number}", None, outcome=Result.IMPORTED, lookup_value=email(number).upper())
        for number in range(1_300)
    ]
    store_outcomes(config, lines, datetime.now(UTC))
    sandbox.advance(60)
    leads = [view.add_lead({"email": email(number)}) for number in range(1_300)]
    for lead in leads[:-1]:
        view.add_member(EXPO, lead, "Registered")
    done = run(connector, config, "--format", "json")
    assert done.code == 1
    assert Counter(verdicts(done).values()) == {"as_sent": 1_299, "missing": 1}
    assert verdicts(done)[leads[-1]] == "missing"
    stored = outcomes(Path(config["object_storage_config"]["path"]))
    assert Counter((one.outcome, one.confirmed) for one in stored.values()) == {
        ("created", True): 1_299,
        ("imported", False): 1,
    }
    assert stored["r-7"].lead_id == leads[7]
    calls = sandbox.state.calls_today()
    again = run(connector, config, "--format", "json")
    assert verdicts(again) == verdicts(done)
    assert sandbox.state.calls_today() - calls <= 8
    assert len(outcomes(Path(config["object_storage_config"]["path"]))) == 1_300


def test_a_bulk_import_of_the_connector_becomes_exact(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    # Bulk import is for people who are in one partition.
    one = Service(client_id=sandbox.client_id, client_secret=sandbox.client_secret, partitions=frozenset({"Default"}))
    sandbox.configure(services=(one,))
    view = sandbox.state
    known = [view.add_lead({"email": email(number)}) for number in range(20)]
    for lead in known:
        view.add_member(EXPO, lead, "Invited" if lead % 2 else "Registered")
        member = sandbox.instance.store.members[EXPO][lead]
        member.since = member.updated_at = member.since - 3_600
    lines = [record({"id": f"r-{number}", "email": email(number).upper()}) for number in range(60)]
    settings = {**config, "delivery": {**config["delivery"], "method": "bulk"}}
    InProcess(settings, catalog_of("leads", primary_key=[["id"]])).run([*lines, state(1)])
    folder = Path(config["object_storage_config"]["path"])
    assert {one.outcome for one in outcomes(folder).values()} == {"imported"}
    code, out, err = text(connector, config)
    assert code == 0, out + err
    assert "Confirmed 60 imported rows: 40 created, 10 updated, 10 unchanged." in out
    assert "Every lead that was delivered is in Marketo" in out
    stored = outcomes(folder)
    assert Counter(one.outcome for one in stored.values()) == {"created": 40, "updated": 10, "unchanged": 10}
    assert all(one.confirmed and one.lead_id for one in stored.values())
    report = subprocess.run(
        [*EXECUTABLE, "report", str(folder), "--format", "json"], capture_output=True, timeout=60, check=True
    )
    assert json.loads(report.stdout)["outcomes"]["imported"] == 0
    assert json.loads(report.stdout)["outcomes"]["created"] == 40


# --- --fix -------------------------------------------------------------------------------------------------------


def test_fix_sends_what_is_behind_and_leaves_who_was_removed(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    leads = deliver(connector, config, 6)
    view = sandbox.state
    view.add_member(EXPO, leads[0], "Invited")
    view.remove_member(EXPO, leads[1])  # by hand: Marketo keeps an activity
    view.remove_lead(leads[2])
    done = run(connector, config, "--fix", "--format", "json")
    fixes = {line["lead_id"]: line["fix"] for line in map(json.loads, done.lines)}
    assert fixes == {leads[0]: "sent", leads[1]: "removed_by_hand"} | dict.fromkeys(leads[2:])
    assert done.code == 1
    members = view.members(EXPO)
    assert members[leads[0]] == "Registered"
    assert leads[1] not in members
    assert run(connector, config, "--format", "json").code == 1


def test_fix_brings_back_who_is_missing_without_anybody_s_doing(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    leads = deliver(connector, config, 2)
    forget(sandbox, leads[0])
    code, out, err = text(connector, config, "--fix")
    assert code == 0, out + err
    assert "1 lead sent again" in out
    assert sandbox.state.members(EXPO) == dict.fromkeys(leads, "Registered")


def forget(sandbox: SandboxServer, lead: int) -> None:
    """A membership that is lost without an activity."""
    with sandbox.instance.store.lock:
        del sandbox.instance.store.members[EXPO][lead]


def test_without_the_permission_to_read_activities_missing_ones_are_left_alone(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    few = frozenset(Permission) - {Permission.READ_ACTIVITY}
    sandbox.configure(
        services=(Service(client_id=sandbox.client_id, client_secret=sandbox.client_secret, permissions=few),)
    )
    leads = deliver(connector, config, 3)
    forget(sandbox, leads[0])
    sandbox.state.add_member(EXPO, leads[1], "Invited")
    code, out, _ = text(connector, config, "--fix")
    assert code == 1
    assert "Read-Only Activity" in out
    assert str(leads[0]) in out
    assert sandbox.state.members(EXPO) == dict.fromkeys(leads[1:], "Registered")


@pytest.mark.parametrize(
    ("endpoint", "skip", "fate"),
    [
        # Before the batch is read once more, and between that and the write, where Marketo's own rule protects.
        ("members.query", 1, "already_right"),
        ("members.status", 0, "already_right"),
    ],
)
def test_fix_moves_nobody_back_who_moves_on_meanwhile(
    connector: Connector, sandbox: SandboxServer, config: Json, endpoint: str, skip: int, fate: str
) -> None:
    leads = deliver(connector, config, 3)
    for lead in leads:
        sandbox.state.add_member(EXPO, lead, "Invited")
    sandbox.faults.add(Fault(name="held", endpoint=endpoint, skip=skip, hold_at="before"))
    process = subprocess.Popen(
        [*connector.arguments("reconcile", config), "--fix", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:
        assert sandbox.faults.wait_until_held("held")
        sandbox.state.add_member(EXPO, leads[0], "Attended")
        sandbox.faults.release("held")
        out, _ = process.communicate(timeout=60)
    fixes = {line["lead_id"]: line["fix"] for line in map(json.loads, out.splitlines())}
    assert fixes == {leads[0]: fate, leads[1]: "sent", leads[2]: "sent"}
    assert process.returncode == 0
    assert sandbox.state.members(EXPO) == {leads[0]: "Attended", leads[1]: "Registered", leads[2]: "Registered"}


def test_fix_does_not_bring_back_who_is_removed_before_the_second_look(
    connector: Connector, sandbox: SandboxServer, config: Json
) -> None:
    leads = deliver(connector, config, 2)
    for lead in leads:
        sandbox.state.add_member(EXPO, lead, "Invited")
    sandbox.faults.add(Fault(name="held", endpoint="members.query", skip=1, hold_at="before"))
    process = subprocess.Popen(
        [*connector.arguments("reconcile", config), "--fix", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:
        assert sandbox.faults.wait_until_held("held")
        sandbox.state.remove_member(EXPO, leads[0])
        sandbox.faults.release("held")
        out, _ = process.communicate(timeout=60)
    fixes = {line["lead_id"]: line["fix"] for line in map(json.loads, out.splitlines())}
    assert fixes == {leads[0]: "removed_by_hand", leads[1]: "sent"}
    assert process.returncode == 1
    assert sandbox.state.members(EXPO) == {leads[1]: "Registered"}


def wait_for_calls(sandbox: SandboxServer, endpoint: str, count: int) -> None:
    assert sandbox.calls.wait(lambda calls: calls.count(endpoint) >= count)


# --- by the letter of the documentation --------------------------------------------------------------------------


@pytest.fixture
def strict(tmp_path: Path) -> Iterator[tuple[StrictMarketo, Json]]:
    with StrictMarketo() as server:
        storage = {"storage_type": "Local", "path": str(tmp_path / "outcomes")}
        # No sandbox, but it has what is needed of one: address, client id and secret.
        yield server, config_for(cast("SandboxServer", server), object_storage_config=storage)


@pytest.mark.parametrize("lean", [False, True])
def test_every_call_is_as_documented(connector: Connector, strict: tuple[StrictMarketo, Json], lean: bool) -> None:
    marketo, config = strict
    marketo.lean = lean
    leads = range(1, 2_402)
    for lead in leads:
        marketo.leads[lead] = {"id": lead, "email": email(lead), "updatedAt": "2026-01-01T00:00:00Z"}
        for program in (EXPO, 1234):
            marketo.members[program][lead] = member("Registered")
    lines = [outcome(f"r-{lead}", lead, program) for program in (EXPO, 1234) for lead in leads]
    store_outcomes(config, lines, datetime(2026, 1, 2, tzinfo=UTC))
    marketo.members[EXPO][7] = member("Invited")
    del marketo.members[EXPO][8], marketo.members[EXPO][9]
    marketo.activities.append(status_change(1, 8, EXPO, ("Registered", "Not in Program"), time.time()))
    done = run(connector, config, "--fix", "--format", "json")
    assert done.code == 1, done.stderr
    fixes = {line["lead_id"]: line["fix"] for line in map(json.loads, done.lines) if line["fix"]}
    assert fixes == {7: "sent", 8: "removed_by_hand", 9: "sent"}
    assert Counter(json.loads(line)["verdict"] for line in done.lines) == {"as_sent": 4_799, "behind": 1, "missing": 2}
    assert marketo.members[EXPO][7]["statusName"] == marketo.members[EXPO][9]["statusName"] == "Registered"
    assert 8 not in marketo.members[EXPO]


def member(status: str) -> Json:
    return {"statusName": status, "membershipDate": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}


# --- for people --------------------------------------------------------------------------------------------------


def test_in_a_terminal(connector: Connector, sandbox: SandboxServer, config: Json) -> None:
    leads = deliver(connector, config, 3)
    sandbox.state.add_member(EXPO, leads[1], "Invited")
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        connector.arguments("reconcile", config),
        stdout=terminal,
        stderr=terminal,
        stdin=terminal,
        env=environment(COLUMNS="90", TERM="xterm-256color"),
    )
    os.close(terminal)
    shown = b""
    while True:
        try:
            shown += os.read(controller, 65_536)
        except OSError:  # how Linux says that the other end is closed
            break
    os.close(controller)
    assert process.wait(60) == 1
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    assert "behind" in plain
    assert str(leads[1]) in plain
    assert b"\x1b[" in shown
    lines = plain.replace("\r", "\n").splitlines()
    # The command to copy is the terminal's to fold.
    assert all(len(line) <= 90 for line in lines if "reconcile --config" not in line)
    assert sum("reconcile --config" in line and line.endswith("--fix") for line in lines) == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_reconcile_says_so_by_its_exit_code_and_writes_nothing(
    connector: Connector, sandbox: SandboxServer, config: Json, number: signal.Signals, code: int
) -> None:
    many(sandbox, config, 2_401)
    sandbox.configure(export_job_seconds=600.0)
    process = subprocess.Popen(
        connector.arguments("reconcile", config),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:
        wait_for_calls(sandbox, "members.export.status", 1)
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == code
    assert out == b""
