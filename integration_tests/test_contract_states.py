"""When a STATE is echoed, what it says, and what is left of the records when a run does not end well."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

import pytest
from harness import Connector, InProcess, Json, Run, catalog_of, config_for, state

from marketo_sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from marketo_sandbox import SandboxServer


def lead(number: int, stream: str = "leads", namespace: str | None = None, **more: Any) -> bytes:
    body = {"stream": stream, "data": {"id": number, "email": f"p{number}@example.org", **more}, "emitted_at": 1}
    if namespace is not None:
        body["namespace"] = namespace
    return json.dumps({"type": "RECORD", "record": body}).encode()


def bad(number: int, stream: str = "leads", namespace: str | None = None) -> bytes:
    return lead(number, stream, namespace, email="bad")


def stream_state(number: int, name: str, namespace: str | None = None) -> bytes:
    descriptor = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    body = {"type": "STREAM", "stream": {"stream_descriptor": descriptor, "stream_state": None}, "id": number}
    return json.dumps({"type": "STATE", "state": body}).encode()


def counts(run: Run) -> list[tuple[int, float, float]]:
    return [
        (s["id"], s["destinationStats"]["recordCount"], s["destinationStats"]["rejectedRecordCount"])
        for s in run.states
    ]


def run(sandbox: SandboxServer, lines: Sequence[bytes], **changes: Any) -> Run:
    return InProcess(config_for(sandbox, **changes), catalog_of("leads", "others")).run(lines)


# --- counts ------------------------------------------------------------------------------------------------------


def test_a_stream_state_speaks_for_its_stream(sandbox: SandboxServer) -> None:
    """Records of other streams are counted by the next STATE of theirs."""
    lines = [
        lead(1), lead(2, "others"), bad(3, "others"), lead(4, "others"),
        stream_state(1, "leads"), stream_state(2, "leads"), lead(5), stream_state(3, "others"),
        stream_state(4, "leads"), stream_state(5, "others"),
    ]  # fmt: skip
    assert counts(run(sandbox, lines)) == [(1, 1, 0), (2, 0, 0), (3, 2, 1), (4, 1, 0), (5, 0, 0)]


@pytest.mark.parametrize(
    "body",
    [
        {"type": "GLOBAL", "global": {"shared_state": {"a": 1}, "stream_states": []}},
        {"type": "LEGACY", "data": {"a": None}},
        {"data": {"a": [1.0, {"b": "ü"}]}},
    ],
    ids=["global", "legacy", "no type"],
)
def test_a_state_of_the_whole_source_speaks_for_every_stream(sandbox: SandboxServer, body: Json) -> None:
    whole = [json.dumps({"type": "STATE", "state": {**body, "id": n}}).encode() for n in range(3)]
    lines = [lead(1), lead(2, "others"), bad(3, "others"), whole[0], whole[1], lead(4), bad(5), whole[2]]
    result = run(sandbox, lines)
    assert counts(result) == [(0, 2, 1), (1, 0, 0), (2, 1, 1)]
    for number, echoed in enumerate(result.states):
        assert {name: value for name, value in echoed.items() if name != "destinationStats"} == {**body, "id": number}


def test_streams_of_one_name_in_two_namespaces_are_two(sandbox: SandboxServer) -> None:
    lines = [
        lead(1, "leads", "a"), lead(2, "leads", "b"), bad(3, "leads", "b"), lead(4, "leads"),
        stream_state(1, "leads", "a"), stream_state(2, "leads"), stream_state(3, "leads", "b"),
    ]  # fmt: skip
    assert counts(run(sandbox, lines)) == [(1, 1, 0), (2, 1, 0), (3, 1, 1)]


def test_skipped_records_count_and_a_record_counts_as_rejected_once(sandbox: SandboxServer) -> None:
    links = [
        {"event": "1", "program_id": "1004", "program_status": "Registered"},
        {"event": "1", "program_id": "1001", "program_status": "On List", "unmapped_qualifier": "reject"},
        {"event": "1", "program_id": "1234", "program_status": "Invited", "unmapped_qualifier": "skip"},
    ]
    mappings = [
        {"program_id": program, "qualifier": "q", "value": "x", "program_status": "Member"}
        for program in ("1001", "1234")
    ]
    lines = [
        lead(1, event_id=1), lead(2, event_id=1, q="x"), lead(3, event_id=2), bad(4), lead(5, event_id=1, email="bad"),
        state(1),
    ]  # fmt: skip
    assert counts(run(sandbox, lines, program_links=links, qualifier_mappings=mappings)) == [(1, 3, 2)]


def test_a_state_before_any_record_and_for_a_stream_without_records(sandbox: SandboxServer) -> None:
    lines = [stream_state(1, "leads"), stream_state(2, "unheard of"), lead(1), stream_state(3, "leads")]
    assert counts(run(sandbox, lines)) == [(1, 0, 0), (2, 0, 0), (3, 1, 0)]


def test_the_bytes_of_an_echoed_state(sandbox: SandboxServer, connector: Connector) -> None:
    """Every key and number as it came, doubles with their point, and nothing else on standard output."""
    line = (
        b'{"type":"STATE","state":{"type":"STREAM","stream":{"stream_descriptor":{"name":"leads","namespace":null},'
        b'"stream_state":{"cursor":10000000000000000001,"t":1.10,"e":1E5,"text":"\xc3\xbc"},"x":[]},"id":"s-1",'
        b'"partition_id":null,"sourceStats":{"recordCount":2.0}},"extra":{"kept":true}}'
    )
    result = connector.write(config_for(sandbox), [lead(1), bad(2), line])
    assert result.code == 0
    (echoed,) = [found for found in result.lines if b'"STATE"' in found]
    for part in (
        b"10000000000000000001",
        b'"t":1.10',
        b'"e":1E5',
        "ü".encode(),
        b'"partition_id":null',
        b'"id":"s-1"',
        b'"sourceStats":{"recordCount":2.0}',
        b'"extra":{"kept":true}',
        b'"namespace":null',
    ):
        assert part in echoed
    stats = echoed.replace(b" ", b"")
    assert b'"destinationStats":{"recordCount":1.0,"rejectedRecordCount":1.0}' in stats
    assert {message["type"] for message in result.messages} <= {"LOG", "STATE"}


# --- order -------------------------------------------------------------------------------------------------------


def test_a_state_waits_for_records_of_other_streams_too(sandbox: SandboxServer) -> None:
    """'Every record before it': also one of a stream that the STATE does not speak for."""
    sandbox.faults.add(Fault(name="held", endpoint="members.status", body="Invited", hold_at="before"))
    links = [
        {"stream": "leads", "program_id": "1004", "program_status": "Registered"},
        {"stream": "others", "program_id": "1006", "program_status": "Invited"},
    ]
    seen: list[bytes] = []
    in_process = InProcess(config_for(sandbox, program_links=links), catalog_of("leads", "others"), on_line=seen.append)
    import threading  # noqa: PLC0415 - only here

    lines = [lead(1, "others"), stream_state(1, "leads"), lead(2), stream_state(2, "leads")]
    thread = threading.Thread(target=in_process.run, args=(lines,))
    thread.start()
    assert sandbox.faults.wait_until_held("held", timeout_seconds=30)
    sandbox.calls.wait(lambda _: bool(sandbox.state.members(1004)), 10)
    assert sandbox.state.members(1004)
    assert not [line for line in seen if b'"STATE"' in line]
    sandbox.faults.release("held")
    thread.join(30)
    assert [json.loads(line)["state"]["id"] for line in seen if b'"STATE"' in line] == [1, 2]


@pytest.mark.parametrize("seed", range(12))
def test_any_order_of_records_and_states(sandbox: SandboxServer, seed: int) -> None:
    """Interleaved streams and namespaces, all kinds of STATE: each in its turn, and the sums are the records."""
    draw = random.Random(seed)
    streams = [("leads", None), ("leads", "ns"), ("others", None)]
    lines: list[bytes] = []
    expected: list[tuple[int, int, int]] = []
    open_counts = {stream: [0, 0] for stream in streams}
    for number in range(300):
        stream = draw.choice(streams)
        luck = draw.random()
        if luck < 0.8:
            rejected = draw.random() < 0.1
            lines.append((bad if rejected else lead)(number % 90, *stream))
            open_counts[stream][rejected] += 1
        elif luck < 0.95:
            lines.append(stream_state(number, *stream))
            settled, rejections = open_counts[stream]
            expected.append((number, settled, rejections))
            open_counts[stream] = [0, 0]
        else:
            lines.append(state(number, None))
            expected.append((number, sum(c[0] for c in open_counts.values()), sum(c[1] for c in open_counts.values())))
            open_counts = {stream: [0, 0] for stream in streams}
    assert counts(run(sandbox, lines)) == expected


def test_states_do_not_force_batches_out(sandbox: SandboxServer) -> None:
    """A STATE behind every record, and still no more calls than batches."""
    lines = [line for number in range(300) for line in (lead(number), stream_state(number, "leads"))]
    result = run(sandbox, lines)
    assert len(result.states) == 300
    assert sandbox.calls.count("leads.sync") == 1
    assert sandbox.calls.count("members.status") == 1


def test_a_record_waits_no_longer_than_the_age_of_a_batch(sandbox: SandboxServer, connector: Connector) -> None:
    """The input stays open, nothing else comes, and still the record goes out and its STATE comes back."""
    for method in ("rest", "auto"):
        settings = config_for(sandbox, delivery={"max_batch_age_seconds": 1, "method": method})
        with connector.start("write", settings, catalog_of("leads")) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(lead(1) + b"\n" + state(1) + b"\n")
            process.stdin.flush()
            echoed = next(json.loads(line) for line in process.stdout if b'"STATE"' in line)
            assert echoed["state"]["destinationStats"] == {"recordCount": 1.0, "rejectedRecordCount": 0.0}
            process.stdin.close()
            process.wait(30)
            assert process.returncode == 0


# --- endings -----------------------------------------------------------------------------------------------------


def test_nothing_at_all_ends_well(sandbox: SandboxServer, connector: Connector) -> None:
    result = connector.write(config_for(sandbox), [b""])
    assert result.code == 0
    assert result.of("STATE") == []
    assert result.of("TRACE") == []
    assert "0 records processed" in result.logs


def test_dry_run_echoes_no_state_and_says_what_would_have_been(
    sandbox: SandboxServer, connector: Connector, tmp_path: Path
) -> None:
    storage = {"storage_type": "Local", "path": str(tmp_path / "out")}
    settings = config_for(sandbox, object_storage_config=storage, delivery={"dry_run": True})
    result = connector.write(settings, [lead(1), bad(2), state(1)])
    assert result.code == 0
    assert result.states == []
    assert sandbox.state.lead_count() == 0
    assert sandbox.state.members(1004) == {}
    outcomes = [json.loads(line) for path in (tmp_path / "out").glob("**/outcomes-*.jsonl") for line in path.open()]
    assert sorted(o["outcome"] for o in outcomes) == ["created", "rejected"]


def test_a_configuration_that_cannot_work_writes_nothing(sandbox: SandboxServer, connector: Connector) -> None:
    """All problems in one message, each with its path; no record is read, no STATE echoed."""
    links = [
        {"event": "1", "program_id": "1004", "program_status": "attended"},
        {"event": "2", "program_id": "777", "program_status": "Registered"},
        {"event": "3", "program_id": "1007", "program_status": "Registered"},
    ]
    mappings = [{"program_id": "1004", "qualifier": "q", "value": "x", "program_status": "Engagd"}]
    fields = [{"record_field": "f", "marketo_object": "lead", "marketo_field": "firstname"}]
    settings = config_for(sandbox, program_links=links, qualifier_mappings=mappings, field_mappings=fields)
    result = connector.write(settings, [lead(1, event_id=1), state(1)])
    assert result.code == 1
    assert result.error["failure_type"] == "config_error"
    message = result.error["message"]
    for part in (
        "program_links[0].program_status",
        '"Attended"',
        "program_links[1].program_id",
        "program_links[2].program_id",
        "qualifier_mappings[0].program_status",
        '"Engaged"',
        "field_mappings[0].marketo_field",
        "firstName",
    ):
        assert part in message, part
    assert result.states == []
    assert sandbox.state.lead_count() == 0


@pytest.mark.parametrize(
    ("data", "outcome"),
    [('"\\ud800"', "rejected"), ("NaN", "rejected"), ("Infinity", "rejected"), ('"\\u0000"', None), ("1e400", None)],
)
def test_values_that_no_json_should_hold(
    sandbox: SandboxServer, connector: Connector, data: str, outcome: str | None
) -> None:
    """A value that cannot be used is a rejection of its record, not the end of the run."""
    line = f'{{"type":"RECORD","record":{{"stream":"leads","data":{{"id":1,"email":"a@example.org","f":{data}}}}}}}'
    fields = [{"record_field": "f", "marketo_object": "lead", "marketo_field": "firstName"}]
    result = connector.write(config_for(sandbox, field_mappings=fields), [line.encode(), lead(2), state(1)])
    assert result.code == 0, result.text
    assert sum(result.stats) == 2
    if outcome:
        assert result.stats == (1, 1)
    assert "p2@example.org" in sandbox.state.members_by_email(1004)
