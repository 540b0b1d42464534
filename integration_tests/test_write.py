"""`write` as a platform runs it: a process, pipes, HTTP. Expectations are computed by hand, not by the connector."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from harness import Connector, catalog_of, config_for, record, state

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from marketo_sandbox import SandboxServer

LINKS = [
    {"event": "expo", "program_id": "1004", "program_status": "Registered"},
    {"event": "roadshow", "program_id": "PG1234A1", "program_status": "Invited"},
    {"event": "roadshow", "program_id": "1001", "program_status": "On List", "lead_scan_threshold": 2},
]
MAPPINGS = [{"program_id": "1004", "qualifier": "answer", "value": "Yes", "program_status": "Engaged"}]
FIELDS = [{"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"}]


def ten_thousand(count: int = 10_000) -> Iterator[tuple[str, dict[str, Any]]]:
    """Records at three streams, every twentieth of them bad in one of five ways."""
    for number in range(count):
        data: dict[str, Any] = {
            "id": f"r-{number}",
            "email": f"person{number}@example.org",
            "first": f"Person {number}",
            "event_id": ("expo", "roadshow", "elsewhere")[number % 3],
            "scans": number % 4,
            "answer": "Yes" if number % 5 == 0 else "No",
        }
        if number % 20 == 7:
            bad = (number // 20) % 5
            if bad == 0:
                data["email"] = None
            elif bad == 1:
                data["email"] = f"persön{number}@example.org"
            elif bad == 2:
                data["email"] = f"person{number}.example.org"
            elif bad == 3:
                data["email"] = f"double{number % 3}@example.org"
            else:
                data["first"] = {"not": "a text"}
        yield ("badges", "forms", "lists")[number % 3 if number % 2 else (number + 1) % 3], data


def by_hand(count: int = 10_000) -> tuple[dict[int, dict[str, str]], Counter[str]]:
    """Members by program, and outcomes, worked out from the rules of the contract."""
    members: dict[int, dict[str, str]] = {1004: {}, 1234: {}, 1001: {}}
    outcomes: Counter[str] = Counter()
    for number, (_, data) in enumerate(ten_thousand(count)):
        event = data["event_id"]
        targets: list[tuple[int, str]] = []
        if event == "expo":
            targets = [(1004, "Engaged" if data["answer"] == "Yes" else "Registered")]
        elif event == "roadshow":
            targets = [(1234, "Invited")]
            if data["scans"] >= 2:
                targets.append((1001, "On List"))
            else:
                outcomes["BELOW_SCAN_THRESHOLD"] += 1
        else:
            outcomes["NO_PROGRAM_LINK"] += 1
        kind = None
        if number % 20 == 7:
            kind = ("MISSING_KEY", "INVALID_EMAIL", "INVALID_EMAIL", "DUPLICATE_LEADS", "FIELD_INVALID")[
                (number // 20) % 5
            ]
        for program_id, status in targets:
            if kind:
                outcomes[kind] += 1
            else:
                outcomes["delivered"] += 1
                members[program_id][data["email"]] = status
    return members, outcomes


def test_ten_thousand_records_of_three_streams(sandbox: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    """Every record has one outcome, the counts add up, the members are the ones worked out by hand."""
    for number in range(3):
        for _ in range(2):
            sandbox.state.add_lead({"email": f"double{number}@example.org"})
    sandbox.configure(limits=False)
    config = config_for(
        sandbox,
        program_links=LINKS,
        qualifier_mappings=MAPPINGS,
        field_mappings=FIELDS,
        record_mapping={"mapping_type": "custom", "scan_count": "scans"},
        lead_sync={"duplicate_leads": "reject"},
        object_storage_config={"storage_type": "Local", "path": str(tmp_path / "outcomes")},
    )
    lines: list[bytes] = []
    for number, (stream, data) in enumerate(ten_thousand()):
        lines.append(record(data, stream))
        if number % 97 == 96:
            lines.append(state(number, stream, extra={"kept": None}))
    lines += [state(20_000 + place, stream) for place, stream in enumerate(("badges", "forms", "lists"))]
    run = connector.write(config, lines, catalog_of("badges", "forms", "lists", primary_key=[["id"]]))
    assert run.code == 0, run.text
    members, outcomes = by_hand()
    for program_id, expected in members.items():
        assert sandbox.state.members_by_email(program_id) == expected
    stored = [json.loads(line) for path in (tmp_path / "outcomes").glob("**/outcomes-*.jsonl") for line in path.open()]
    assert Counter((o["record_key"], o["program_id"]) for o in stored).most_common(1)[0][1] == 1
    counted = Counter(o["category"] or "delivered" for o in stored)
    assert counted == outcomes
    assert len({o["record_key"] for o in stored}) == 10_000
    rejected = {o["record_key"] for o in stored if o["outcome"] == "rejected"}
    assert run.stats == (10_000 - len(rejected), len(rejected))
    assert [s["id"] for s in run.states] == [json.loads(line)["state"]["id"] for line in lines if b'"STATE"' in line]
    assert all(s.get("extra") == {"kept": None} for s in run.states[:-3])
    stored_lines = [
        json.loads(line) for path in (tmp_path / "outcomes").glob("**/rejected-*.jsonl") for line in path.open()
    ]
    assert sorted(line["record"]["data"]["id"] for line in stored_lines) == sorted(rejected)
    assert all(line["rejection"]["category"] for line in stored_lines)
    assert not re.search(r"example\.org|Person \d|sandbox-client-secret", run.text)


def test_nothing_is_echoed_before_it_is_settled(sandbox: SandboxServer, connector: Connector) -> None:
    """With Marketo stalling, a STATE waits, however long; released, it comes at once and not only at the end."""
    from marketo_sandbox.faults import Fault  # noqa: PLC0415 - only here

    sandbox.faults.add(Fault(name="stall", endpoint="members.status", hold_at="before"))
    config = config_for(sandbox, delivery={"max_batch_age_seconds": 1})
    with connector.start("write", config, catalog_of("leads")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(record({"email": "a@example.org", "event_id": "1"}) + b"\n" + state(1) + b"\n")
        process.stdin.flush()
        assert sandbox.faults.wait_until_held("stall", timeout_seconds=60)
        assert sandbox.state.members(1004) == {}
        sandbox.faults.release("stall")
        # The input is still open: only the settled record can have let this line out.
        echoed = next(json.loads(line) for line in process.stdout if b'"STATE"' in line)
        assert len(sandbox.state.members(1004)) == 1
        assert echoed["state"]["id"] == 1
        process.stdin.close()
        process.wait(60)
        assert process.returncode == 0


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        (b"this is no message of ada@example.org", "garbage"),
        (b'["RECORD"]', "array"),
        (b'{"record": {"stream": "leads", "data": {}}}', "no type"),
        (b'{"type": "RECORD", "record": {"data": {"email": "ada@example.org"}}}', "no stream"),
        (b'{"type": "RECORD", "record": {"stream": "leads", "data": {"email": "\xff"}}}', "no UTF-8"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_line_that_is_no_message_fails_by_number(
    sandbox: SandboxServer, connector: Connector, line: bytes, kind: str
) -> None:
    """What was before it is delivered and acknowledged; nothing of the line is shown."""
    assert kind
    lines = [record({"email": "b@example.org"}), b"", state(1), line, record({"email": "c@example.org"}), state(2)]
    run = connector.write(config_for(sandbox), lines)
    assert run.code == 1
    assert run.error["failure_type"] == "system_error"
    assert "Line 4 " in run.error["message"]
    assert [s["id"] for s in run.states] == [1]
    assert list(sandbox.state.members_by_email(1004)) == ["b@example.org"]
    assert "example.org" not in run.text


def test_what_pyairbyte_and_platforms_send_besides(sandbox: SandboxServer, connector: Connector) -> None:
    """Explicit nulls, `global_`, `_airbyte_*` columns, LOG, TRACE, CONTROL, unknown types, NaN, unusable data."""
    nulls = {"log": None, "spec": None, "state": None, "trace": None}
    lines = [
        b'{"type":"LOG","log":{"level":"INFO","message":"hello"}}',
        b'{"type":"TRACE","trace":{"type":"STREAM_STATUS","emitted_at":1.5,"stream_status":{"status":"STARTED"}}}',
        b'{"type":"SOMETHING_NEW","value":1}',
        b"   ",
        json.dumps(
            {
                "type": "RECORD",
                "record": {
                    "stream": "leads",
                    "namespace": None,
                    "data": {"email": " Ada@Example.org ", "_airbyte_raw_id": "x"},
                    "emitted_at": 1.5,
                    "meta": {"changes": [{"reason": "NEW_REASON"}]},
                },
                **nulls,
            }
        ).encode(),
        b'{"type":"RECORD","record":{"stream":"leads","data":null,"emitted_at":1}}',
        b'{"type":"RECORD","record":{"stream":"leads","data":{"email":"nan@example.org","first":NaN},"emitted_at":1}}',
        b'{"type":"STATE","state":{"type":"GLOBAL","global_":{"a":1e2,"big":123456789012345678901},"id":7},"record":null}',
        b'{"type":"STATE","state":{"type":null,"data":{"x":null}}}',
    ]
    run = connector.write(config_for(sandbox, field_mappings=FIELDS), lines)
    assert run.code == 0, run.text
    echoed = [line for line in run.lines if b'"STATE"' in line]
    assert b'"global_":{"a":1e2,"big":123456789012345678901}' in echoed[0]
    assert run.states[0]["destinationStats"] == {"recordCount": 1.0, "rejectedRecordCount": 2.0}
    assert b'"recordCount":1.0' in echoed[0]
    assert run.states[1] == {
        "type": None,
        "data": {"x": None},
        "destinationStats": {"recordCount": 0.0, "rejectedRecordCount": 0.0},
    }
    assert sandbox.state.members_by_email(1004) == {"ada@example.org": "Registered"}


@pytest.mark.parametrize("mode", ["overwrite", "append", "append_dedup"])
def test_every_sync_mode_is_an_upsert(sandbox: SandboxServer, connector: Connector, mode: str) -> None:
    """Overwrite removes nobody, and says so once."""
    lead = sandbox.state.add_lead({"email": "old@example.org"})
    sandbox.state.add_member(1004, lead, "Attended")
    lines = [record({"email": "new@example.org"}), record({"email": "old@example.org"})]
    run = connector.write(config_for(sandbox), lines, catalog_of("leads", sync_mode=mode))
    assert run.code == 0
    members = {"new@example.org": "Registered", "old@example.org": "Attended"}
    assert sandbox.state.members_by_email(1004) == members
    assert run.logs.count("treated as an upsert") == (1 if mode == "overwrite" else 0)
