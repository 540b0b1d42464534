"""`delivery.dry_run` inside `write`: it only reads, echoes no STATE, and a real write gives what it named."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from harness import QUICK, Connector, InProcess, Json, config_for, record, state
from scenario import assert_run_file, run_files

from destination_marketo_programs.config import load_settings
from destination_marketo_programs.marketo.errors import WriteAttemptedError
from destination_marketo_programs.marketo.leads import Action
from destination_marketo_programs.session import open_session

if TYPE_CHECKING:
    from pathlib import Path

    from marketo_sandbox import SandboxServer

LINKS = [
    {"event": "expo", "program_id": "1004", "program_status": "Registered"},
    {"event": "", "program_id": "1001", "program_status": "On List"},
]


def dry(sandbox: SandboxServer, folder: Path, *, dry_run: bool = True, on_rejected: str = "continue") -> Json:
    return config_for(
        sandbox,
        program_links=LINKS,
        lead_sync={"duplicate_leads": "reject"},
        object_storage_config={"storage_type": "Local", "path": str(folder)},
        delivery={"dry_run": dry_run, "on_rejected": on_rejected},
    )


def stored(folder: Path, kind: str = "outcomes") -> list[Json]:
    return [json.loads(line) for path in sorted(folder.glob(f"**/{kind}-*.jsonl")) for line in path.open()]


def records(sandbox: SandboxServer) -> list[bytes]:
    member = sandbox.state.add_lead({"email": "member@example.org"})
    sandbox.state.add_member(1004, member, "Attended")
    sandbox.state.add_member(1001, member, "On List")
    for _ in range(2):
        sandbox.state.add_lead({"email": "double@example.org"})
    people = [("new", "expo"), ("member", "expo"), ("double", "expo"), ("other", "fair"), ("not an address", "expo")]
    return [
        record({"id": f"r-{number}", "email": f"{name}@example.org", "event_id": event})
        for number, (name, event) in enumerate(people, 1)
    ]


def fates(outcomes: list[Json]) -> list[tuple[object, ...]]:
    names = ("record_key", "program_id", "outcome", "category", "program_status", "code", "lead_action")
    return sorted((tuple(outcome[name] for name in names) for outcome in outcomes), key=repr)


def test_nothing_is_written_or_acknowledged_and_a_write_does_what_was_said(
    sandbox: SandboxServer, connector: Connector, tmp_path: Path
) -> None:
    lines = [*records(sandbox), state(1), state(2, None)]
    before = sandbox.state.leads(), sandbox.state.all_members()

    run = connector.write(dry(sandbox, tmp_path / "dry"), lines)

    assert run.code == 0, run.text
    assert run.states == []
    assert sandbox.calls.writes() == []
    assert (sandbox.state.leads(), sandbox.state.all_members()) == before
    outcomes = stored(tmp_path / "dry")
    assert len(outcomes) == 9
    assert all(outcome["dry_run"] is True for outcome in outcomes)
    by_place = {(outcome["record_key"], outcome["program_id"]): outcome for outcome in outcomes}
    assert by_place["r-2", 1004]["outcome"] == "unchanged"
    assert by_place["r-2", 1004]["from_status"] == "Attended"
    assert by_place["r-1", 1004]["lead_id"] is None
    assert by_place["r-1", 1004]["lead_action"] == "created"
    # Rejected records are kept as in a real sync, so that they can be looked at and mended before it.
    assert [line["record"]["data"]["id"] for line in stored(tmp_path / "dry", "rejected")] == ["r-5", "r-3"]
    summary = run.of("LOG")[-1]["log"]["message"]
    assert summary.splitlines()[0] == "Dry run: nothing was written to Marketo, and no STATE is acknowledged."
    assert "People to be created in Marketo: 2." in summary
    assert "A sync of these records with delivery.method rest would make" in summary
    assert "example.org" not in run.text
    (told,) = run_files(tmp_path / "dry")
    assert told.dry_run
    assert_run_file(told, tmp_path / "dry", 5, 9)

    written = connector.write(dry(sandbox, tmp_path / "wet", dry_run=False), lines)

    assert [echoed["id"] for echoed in written.states] == [1, 2]
    outcomes_written = stored(tmp_path / "wet")
    assert fates(outcomes_written) == fates(outcomes)
    assert not any("from_status" in outcome or "dry_run" in outcome for outcome in outcomes_written)


def test_fail_after_sync_says_that_nothing_was_written(
    sandbox: SandboxServer, connector: Connector, tmp_path: Path
) -> None:
    run = connector.write(dry(sandbox, tmp_path, on_rejected="fail_after_sync"), records(sandbox))
    assert run.code == 1
    assert run.error["message"] == (
        "Dry run: 2 of 5 records would be rejected (DUPLICATE_LEADS 2, INVALID_EMAIL 2), and delivery.on_rejected is "
        "fail_after_sync. Nothing was written to Marketo."
    )


def test_its_connection_refuses_to_write(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Whatever is added to delivery later, a dry run cannot send it."""
    settings = load_settings(dry(sandbox, tmp_path), cloud=False).settings
    assert settings is not None
    with open_session(settings, policy=QUICK) as session, pytest.raises(WriteAttemptedError, match="sync_leads"):
        session.marketo.sync_leads([{"email": "a@example.org"}], Action.CREATE_OR_UPDATE, "email")
    assert len(sandbox.calls) == 0


def test_long_reads_are_still_reads(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Keys that are too long for an address go out as POST; the connection lets such a read pass."""
    lines = [record({"email": f"{'long' * 40}{number}@example.org", "event_id": "expo"}) for number in range(200)]
    InProcess(dry(sandbox, tmp_path)).run(lines)
    assert [call.method for call in sandbox.calls.all("leads.query")] == ["POST"]
    assert {outcome["outcome"] for outcome in stored(tmp_path)} == {"created"}
