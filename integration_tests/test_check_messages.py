"""`check` as Airbyte runs it: one message with every mistake, notes in the log, nothing written; `write` agrees."""

from __future__ import annotations

import re
import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from harness import config_for, record, state

from marketo_sandbox import Fault, Permission, Service

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Connector, Run
    from syrupy.assertion import SnapshotAssertion

    from marketo_sandbox.server import SandboxServer

SECRET = "hJ8kq2Zw-not-for-any-log"
USER = "connector-api@example.com"


def link(program_id: str, status: str) -> dict[str, Any]:
    return {"event": program_id, "program_id": program_id, "program_status": status}


def status_of(run: Run) -> dict[str, Any]:
    assert run.code == 0, run.text
    (message,) = run.of("CONNECTION_STATUS")
    status: dict[str, Any] = message["connectionStatus"]
    return status


def full_of_mistakes(sandbox: SandboxServer) -> dict[str, Any]:
    return config_for(
        sandbox,
        program_links=[link("1004", "attended"), link("1007", "Registered"), link("9999", "X"), link("1003", "Member")],
        qualifier_mappings=[{"program_id": "1003", "qualifier": "demo", "value": "Yes", "program_status": "Egaged"}],
        field_mappings=[
            {"record_field": "job", "marketo_field": "Job Title"},
            {"record_field": "job", "marketo_field": "createdAt"},
            {"record_field": "vip", "marketo_object": "program_member", "marketo_field": "VIP"},
        ],
        lead_sync={"partition_name": "emea"},
        object_storage_config={"storage_type": "Local", "path": "/dev/null/outcomes"},
        delivery={"daily_call_budget": 100, "method": "bulk"},
    )


def test_a_configuration_without_mistakes_succeeds_and_notes_are_logged(
    connector: Connector, sandbox: SandboxServer, tmp_path: Path, snapshot: SnapshotAssertion
) -> None:
    outcomes = tmp_path / "outcomes"
    run = connector.check(
        config_for(
            sandbox,
            program_links=[link("1004", "Attended"), link("1003", "Member"), link("1002", "Sent")],
            qualifier_mappings=[
                {"program_id": "1004", "qualifier": "demo", "value": "No", "program_status": "Registered"}
            ],
            object_storage_config={"storage_type": "Local", "path": str(outcomes)},
        )
    )

    assert status_of(run) == {"status": "SUCCEEDED"}
    assert run.logs == snapshot
    assert sandbox.calls.writes() == []
    assert list(outcomes.iterdir()) == [], "the probe is gone again"


def test_every_mistake_is_told_at_once(
    connector: Connector, sandbox: SandboxServer, snapshot: SnapshotAssertion
) -> None:
    sandbox.state.set_usage(USER, 120)

    run = connector.check(full_of_mistakes(sandbox))

    status = status_of(run)
    assert status["status"] == "FAILED"
    assert re.sub(r"\d{4}-\d{2}-\d{2} ", "(day) ", status["message"]) == snapshot
    assert sandbox.calls.writes() == []


def test_write_finds_the_same_before_its_first_record(connector: Connector, sandbox: SandboxServer) -> None:
    config = full_of_mistakes(sandbox)
    told = status_of(connector.check(config))["message"]

    run = connector.write(config, [record({"email": "ada@example.org", "event_id": "1004"}), state(1)])

    assert run.code != 0
    assert run.error["failure_type"] == "config_error"
    assert run.states == []
    for line in told.splitlines():
        assert line in run.error["message"]
    assert sandbox.calls.writes() == []
    assert sandbox.state.lead_count() == 0


def half_unreadable(sandbox: SandboxServer) -> dict[str, Any]:
    """Slips that the form alone shows, among others that only Marketo and the storage know of."""
    config = full_of_mistakes(sandbox)
    config["program_links"][1:1] = [link("ST1004A1", "Registered"), link("1004", "") | {"event": "b"}]
    config["program_links"][3]["lead_scan_threshold"] = -1
    config["qualifier_mappings"].insert(0, {"program_id": "x", "value": "Yes", "program_status": "Attended"})
    config["field_mappings"].insert(1, {"record_field": "", "marketo_field": "title"})
    config["lead_sync"]["mode"] = "match"
    config["colour"] = "blue"
    return config


def test_a_value_that_cannot_be_used_hides_nothing_that_marketo_knows(
    connector: Connector, sandbox: SandboxServer, snapshot: SnapshotAssertion
) -> None:
    sandbox.state.set_usage(USER, 120)
    config = half_unreadable(sandbox)

    told = status_of(connector.check(config))["message"]

    assert re.sub(r"\d{4}-\d{2}-\d{2} ", "(day) ", told) == snapshot
    sandbox.state.set_usage(USER, 120)
    written = connector.write(config, [record({"email": "ada@example.org", "event_id": "1004"}), state(1)])
    assert written.error["failure_type"] == "config_error"
    assert written.error["message"] == told
    assert written.states == []
    assert sandbox.calls.writes() == []


def test_a_wrong_secret_appears_nowhere(connector: Connector, sandbox: SandboxServer) -> None:
    run = connector.check(config_for(sandbox, client_secret=SECRET))

    status = status_of(run)
    assert status["status"] == "FAILED"
    assert "client_secret" in status["message"]
    assert SECRET not in run.text


def test_a_wrong_port_ends_soon_and_names_the_setting(connector: Connector, sandbox: SandboxServer) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        port = taken.getsockname()[1]
        run = connector.check(config_for(sandbox, domain_url=f"http://127.0.0.1:{port}"))

    assert (
        status_of(run)["message"]
        .lstrip("- ")
        .startswith("REST API endpoint (domain_url): Marketo could not be reached")
    )


@pytest.mark.parametrize("code", ["603", "607"])
def test_what_a_refusal_means_to_check_and_to_write(code: str, connector: Connector, sandbox: SandboxServer) -> None:
    sandbox.faults.add(Fault(endpoint="channels.browse", code=code, times=None))
    config = config_for(sandbox)

    assert status_of(connector.check(config))["status"] == "FAILED"
    run = connector.write(config, [record({"email": "ada@example.org"}), state(1)])

    assert run.error["failure_type"] == {"603": "config_error", "607": "transient_error"}[code]
    assert run.states == []
    assert sandbox.calls.writes() == []


def test_a_role_without_assets_is_named(connector: Connector, sandbox: SandboxServer) -> None:
    role = frozenset({Permission.WRITE_LEAD})
    sandbox.configure(services=(Service(client_id="x", client_secret=SECRET, permissions=role),))

    run = connector.check(config_for(sandbox, client_id="x", client_secret=SECRET))

    assert "Read-Only Assets" in status_of(run)["message"]
    assert "Read-Write Person" not in status_of(run)["message"]
    assert "IP Restrictions" in status_of(run)["message"]
    assert SECRET not in run.text
