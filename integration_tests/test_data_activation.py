"""Data activation as Airbyte's platform and people on the command line see it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import msgspec
import pytest
from airbyte_cdk.models import AirbyteMessageSerializer, ConfiguredAirbyteCatalogSerializer
from harness import Connector, InProcess, Json, config_for, environment, record, state

from destination_marketo_programs.destination import DestinationMarketoPrograms
from marketo_sandbox import Fault, Field, Permission, Program, SandboxServer, Seed, Service, Status
from marketo_sandbox import Settings as SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Iterable

GUIDE = (Path(__file__).resolve().parents[1] / "docs" / "guides" / "data-activation.md").read_text()
PROGRAM = "Program 1004: Spring Expo 2026"


def link(event: str, program_id: int, **more: Any) -> Json:
    return {"event": event, "program_id": str(program_id), "program_status": "Registered", **more}


def stream(name: str, object_name: str | None, columns: Iterable[str] = ("email",), **more: Any) -> Json:
    """A configured stream with every member that the platform sends, after its mappers have renamed the columns."""
    named = {} if object_name is None else {"destination_object_name": object_name}
    return {
        "stream": {
            "name": name,
            "json_schema": {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "type": "object",
                "properties": {column: {"type": ["null", "string"]} for column in columns},
                "additionalProperties": True,
            },
            "supported_sync_modes": ["full_refresh", "incremental"],
            "source_defined_cursor": False,
            "default_cursor_field": [],
            "source_defined_primary_key": [],
            "is_resumable": True,
            "is_file_based": False,
        },
        "sync_mode": "incremental",
        "cursor_field": ["updated_at"],
        "destination_sync_mode": "append_dedup",
        "primary_key": [["email"]],
        "generation_id": 3,
        "minimum_generation_id": 0,
        "sync_id": 4242,
        "include_files": False,
        **named,
        **more,
    }


def catalog(*streams: Json) -> Json:
    return {"streams": list(streams)}


def stored(folder: Path) -> list[Json]:
    return [json.loads(line) for path in sorted(folder.glob("**/outcomes-*.jsonl")) for line in path.open()]


def operations(connector: Connector, config: Json) -> dict[str, Json]:
    """What `discover` lists, by name."""
    run = connector.run("discover", config)
    assert run.code == 0, run.text
    assert {message["type"] for message in run.messages} <= {"DESTINATION_CATALOG", "LOG"}
    (message,) = run.of("DESTINATION_CATALOG")
    assert set(message) == {"type", "destination_catalog"}
    assert run.stderr == ""
    return {item["object_name"]: item for item in message["destination_catalog"]["operations"]}


# --- discover ------------------------------------------------------------------------------------------------


def test_discover_prints_one_catalog_and_writes_nothing(connector: Connector, sandbox: SandboxServer) -> None:
    config = config_for(sandbox, program_links=[link("1", 1004), link("2", 1234), link("3", 1004)])
    found = operations(connector, config)
    assert list(found) == ["Program members", PROGRAM, "Program 1234: Roadshow 2026"]
    status = found[PROGRAM]["json_schema"]["properties"]["program_status"]
    assert status["enum"] == [None, "Invited", "Registered", "Waitlisted", "No Show", "Attended", "Engaged"]
    assert found["Program members"]["json_schema"]["required"] == ["event"]
    assert "member.boothNotes" in found[PROGRAM]["json_schema"]["properties"]
    assert sandbox.state.lead_count() == 0
    methods = {call.method for call in sandbox.calls.all() if call.path.startswith("/rest/")}
    assert methods == {"GET"}


def test_discover_again_lists_the_same(connector: Connector, sandbox: SandboxServer) -> None:
    config = config_for(sandbox, program_links=[link("1", 1004), link("2", 1234)])
    first, second = (connector.run("discover", config) for _ in range(2))
    assert first.lines == second.lines


def test_discover_leaves_out_programs_that_are_gone_or_archived(connector: Connector, sandbox: SandboxServer) -> None:
    config = config_for(sandbox, program_links=[link("1", 9999), link("2", 1007), link("3", 1004)])
    run = connector.run("discover", config)
    assert run.code == 0
    (message,) = run.of("DESTINATION_CATALOG")
    names = [item["object_name"] for item in message["destination_catalog"]["operations"]]
    assert names == ["Program members", PROGRAM]
    warnings = [line for line in run.logs.splitlines() if line.startswith("WARN")]
    assert len(warnings) == 2
    assert "program_links[0].program_id" in warnings[0]
    assert "program_links[1].program_id" in warnings[1]


def test_discover_without_sight_of_programs_lists_program_members(connector: Connector, sandbox: SandboxServer) -> None:
    people_only = Service(client_id="id", client_secret="secret", permissions=frozenset({Permission.WRITE_LEAD}))
    sandbox.instance.settings = SandboxSettings(services=(people_only,))
    config = config_for(sandbox) | {"client_id": "id", "client_secret": "secret"}
    run = connector.run("discover", config)
    assert run.code == 0, run.text
    (message,) = run.of("DESTINATION_CATALOG")
    assert [item["object_name"] for item in message["destination_catalog"]["operations"]] == ["Program members"]
    assert "Read-Only Assets" in run.logs


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"client_secret": "wrong"}, "client_secret"),
        ({"program_links": []}, "program_links"),
        ({"domain_url": "https://example.com"}, "domain_url"),
        ({"colour": "blue"}, "colour"),
    ],
)
def test_discover_fails_with_one_trace_if_it_cannot_be_asked(
    connector: Connector, sandbox: SandboxServer, changes: Json, path: str
) -> None:
    run = connector.run("discover", {**config_for(sandbox), **changes})
    assert run.code == 1
    assert run.error["failure_type"] == "config_error"
    assert path in run.error["message"]
    assert run.of("DESTINATION_CATALOG") == []
    assert config_for(sandbox)["client_secret"] not in run.text


def test_discover_fails_if_the_fields_of_people_are_out_of_sight(connector: Connector, sandbox: SandboxServer) -> None:
    assets_only = Service(client_id="id", client_secret="secret", permissions=frozenset({Permission.READ_ASSETS}))
    sandbox.instance.settings = SandboxSettings(services=(assets_only,))
    run = connector.run("discover", config_for(sandbox) | {"client_id": "id", "client_secret": "secret"})
    assert run.code == 1
    assert run.error["failure_type"] == "config_error"
    assert "client_id" in run.error["message"]


def test_discover_is_not_held_up_by_mistakes_that_only_a_sync_minds(
    connector: Connector, sandbox: SandboxServer
) -> None:
    sandbox.state.set_usage("connector-api@example.com", 100)
    config = config_for(
        sandbox,
        program_links=[link("1", 1004), link("1", 1004)],
        delivery={"daily_call_budget": 1},
    )
    assert list(operations(connector, config)) == ["Program members", PROGRAM]


def test_discover_on_cloud_does_not_ask_addresses_of_its_own_machine(
    connector: Connector, sandbox: SandboxServer
) -> None:
    run = connector.run("discover", config_for(sandbox), AIRBYTE_EDITION="cloud")
    assert run.code == 1
    assert "domain_url" in run.error["message"]


def test_discover_of_200_programs_and_300_fields_is_one_answer_below_20_mb_in_a_few_calls(
    connector: Connector, sandbox: SandboxServer
) -> None:
    programs = [Program(2000 + at, f"Field day {at}", "Event", "Tradeshow", 512) for at in range(200)]
    fields = [Field(f"custom{at}__c", f"A field that somebody has added, number {at}", length=255) for at in range(300)]
    sandbox.state.seed(Seed(programs=programs, lead_fields=fields))
    config = config_for(sandbox, program_links=[link(str(at), 2000 + at) for at in range(200)])
    run = connector.run("discover", config)
    assert run.code == 0
    (line,) = [line for line in run.lines if b"DESTINATION_CATALOG" in line[:40]]
    assert len(line) < 20_000_000
    listed = json.loads(line)["destination_catalog"]["operations"]
    assert len(listed) == 201
    assert all(len(item["json_schema"]["properties"]) > 300 for item in listed)
    assert len(sandbox.calls) <= 10


def test_discover_lists_what_it_can_if_marketo_cannot_show_programs_now(
    connector: Connector, sandbox: SandboxServer
) -> None:
    sandbox.faults.add(Fault(name="down", path="/rest/asset/", code="709", times=None))
    run = connector.run("discover", config_for(sandbox))
    assert run.code == 0, run.text
    (message,) = run.of("DESTINATION_CATALOG")
    assert [item["object_name"] for item in message["destination_catalog"]["operations"]] == ["Program members"]
    assert "program_links[0].program_id" in run.logs


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_discover_stops_on_request(
    connector: Connector, sandbox: SandboxServer, number: signal.Signals, code: int
) -> None:
    sandbox.faults.add(Fault(name="held", endpoint="leads.describe2", hold_at="before"))
    with connector.start("discover", config_for(sandbox)) as process:
        assert sandbox.faults.wait_until_held("held")
        process.send_signal(number)
        out, _ = process.communicate(timeout=15)
    assert process.returncode == code
    assert {json.loads(line)["type"] for line in out.splitlines()} <= {"LOG"}


# --- write ---------------------------------------------------------------------------------------------------


def local(folder: Path) -> Json:
    return {"object_storage_config": {"storage_type": "Local", "path": str(folder)}}


def test_streams_for_objects_and_ordinary_ones_mix(sandbox: SandboxServer, tmp_path: Path) -> None:
    config = config_for(
        sandbox,
        program_links=[link("expo", 1004), link("expo", 1234, stream="scans"), link("day", 1006)],
        record_mapping={"mapping_type": "custom", "email": "mail", "event": "happening"},
        field_mappings=[{"record_field": "who", "marketo_field": "firstName"}],
        **local(tmp_path),
    )
    run = InProcess(
        config,
        catalog(
            stream("people", PROGRAM, ["email", "firstName", "member.boothNotes", "program_status"]),
            stream("scans", "Program members", ["email", "event"]),
            stream("plain", None, ["mail", "happening", "who"], primary_key=[["mail"]]),
        ),
    ).run(
        [
            record({"email": "a@example.com", "firstName": "Ann", "member.boothNotes": "Blue bag"}, "people"),
            record({"email": "b@example.com", "program_status": " Attended ", "event": "day"}, "people"),
            record({"email": "c@example.com", "event": "expo"}, "scans"),
            record({"mail": "d@example.com", "happening": "expo", "who": "Dan"}, "plain"),
            record({"email": "e@example.com", "event": "nothing"}, "scans"),
            state(1, "people"),
            state(2, "scans"),
            state(3, "plain"),
        ]
    )
    assert sandbox.state.members_by_email(1004) == {
        "a@example.com": "Registered",
        "b@example.com": "Attended",
        "c@example.com": "Registered",
        "d@example.com": "Registered",
    }
    assert sandbox.state.members_by_email(1234) == {"c@example.com": "Registered"}
    assert sandbox.state.members_by_email(1006) == {}
    people = {lead["email"]: lead for lead in sandbox.state.leads()}
    assert people["a@example.com"]["firstName"] == "Ann"
    assert people["d@example.com"]["firstName"] == "Dan"
    assert sandbox.state.member_fields(1004, people["a@example.com"]["id"])["boothNotes"] == "Blue bag"
    assert run.stats == (5.0, 0.0)
    outcomes = stored(tmp_path)
    assert {(each["stream"], each["event"]) for each in outcomes if each["record_key"] == "a@example.com"} == {
        ("people", None)
    }
    assert {each["event"] for each in outcomes if each["stream"] == "scans"} == {"expo", "nothing"}


def test_who_decides_the_status(sandbox: SandboxServer, tmp_path: Path) -> None:
    """The record's own status, then the first qualifier mapping, then the first link of the program."""
    config = config_for(
        sandbox,
        program_links=[
            link("1", 1004, stream="other", lead_scan_threshold=2, unmapped_qualifier="reject"),
            link("", 1004, program_status="Invited"),
        ],
        qualifier_mappings=[
            {"program_id": "1004", "qualifier": "wants.demo", "value": "Yes", "program_status": "Engaged"},
            {"program_id": "1004", "qualifier": "", "value": "Walk-in", "program_status": "Attended"},
        ],
        record_mapping={"mapping_type": "mobly"},
        **local(tmp_path),
    )
    people: dict[str, Json] = {
        "own": {"program_status": "No Show", "wants.demo": "Yes", "scan_count": 2},
        "blank": {"program_status": " ", "wants.demo": "Yes", "scan_count": "2"},
        "unnamed": {"qualifier": ["Maybe", "Walk-in"], "scan_count": 3},
        "none": {"tags": [{"value": "Walk-in"}], "scan_count": 2},
        "few": {"program_status": "Attended", "scan_count": 1},
        "unknown": {"program_status": "attended", "scan_count": 2},
        "hidden": {"program_status": "Influenced", "scan_count": 2},
        "nobody": {"program_status": "Not in Program", "scan_count": 2},
        "list": {"program_status": ["Attended"], "scan_count": 2},
    }
    InProcess(config, catalog(stream("people", "Program 1004: as it was called", people["own"]))).run(
        [
            *(record({"email": f"{name}@example.com", **data}, "people") for name, data in people.items()),
            state(1, "people"),
        ]
    )
    outcomes = {each["record_key"].partition("@")[0]: each for each in stored(tmp_path)}
    assert {name: (each["outcome"], each["category"]) for name, each in outcomes.items()} == {
        "own": ("created", None),
        "blank": ("created", None),
        "unnamed": ("created", None),
        "none": ("rejected", "UNMAPPED_QUALIFIER"),
        "few": ("skipped", "BELOW_SCAN_THRESHOLD"),
        **dict.fromkeys(("unknown", "hidden", "nobody", "list"), ("rejected", "STATUS_NOT_FOUND")),
    }
    assert sandbox.state.members_by_email(1004) == {
        "own@example.com": "No Show",
        "blank@example.com": "Engaged",
        "unnamed@example.com": "Attended",
    }
    assert all(each["event"] is None for each in outcomes.values())
    for name in ("unknown", "hidden", "nobody", "list"):
        assert outcomes[name]["hint"]
        assert outcomes[name]["program_status"] is None
        assert str(people[name]["program_status"]) not in (outcomes[name]["message"] or "")


def test_people_are_found_by_id_first_and_then_by_the_lookup_field(sandbox: SandboxServer, tmp_path: Path) -> None:
    known = sandbox.state.add_lead({"email": "old@example.com", "badgeId": "B1"})
    config = config_for(
        sandbox,
        lead_sync={"lookup_field": "badgeId", "mode": "match_only"},
        field_mappings=[{"record_field": "unused", "marketo_field": "badgeId"}],
        **local(tmp_path),
    )
    people = stream("people", PROGRAM, ["id", "badgeId", "email"], destination_sync_mode="update")
    InProcess(config, catalog(people)).run(
        [
            record({"id": known, "email": "new@example.com"}, "people"),
            record({"badgeId": "B1", "firstName": "Bo"}, "people"),
            record({"badgeId": "B2", "unused": "B1"}, "people"),
            record({"email": "old@example.com"}, "people"),
        ]
    )
    (lead,) = sandbox.state.leads()
    assert (lead["email"], lead["firstName"]) == ("new@example.com", "Bo")
    assert sorted(filter(None, (each["category"] for each in stored(tmp_path)))) == ["LEAD_NOT_FOUND", "MISSING_KEY"]


def test_values_of_every_type_arrive(sandbox: SandboxServer) -> None:
    data = {
        "email": "typed@example.com",
        "leadScore": 12,
        "annualRevenue": 12.5,
        "newsletterOptIn": True,
        "lastEventDate": "2026-04-01",
        "lastScanAt": "2026-04-01T10:00:00Z",
        "member.vip": "true",
        "member.seatNumber": "17",
        "event": "9",
    }
    schema = catalog(stream("people", "Program members", data))
    InProcess(config_for(sandbox), schema).run([record(data, "people")])
    (lead,) = sandbox.state.leads()
    assert {name: lead[name] for name in data if name in lead} == {
        name: data[name] for name in data if "." not in name and name != "event"
    }
    fields = sandbox.state.member_fields(1004, lead["id"])
    assert (fields["vip"], fields["seatNumber"]) == (True, 17)


def test_columns_that_the_object_does_not_have_are_not_written(sandbox: SandboxServer) -> None:
    """`additionalProperties` is true in what the platform sends: records may carry more than their schema says."""
    data = {"email": "x@example.com", "firstName": "Xa", "_ab_cdc_lsn": 5, "leadPartitionId": 4, "made_up": 1}
    InProcess(config_for(sandbox), catalog(stream("people", PROGRAM, ["email", "_ab_cdc_lsn"]))).run(
        [record(data, "people")]
    )
    (lead,) = sandbox.state.leads()
    assert (lead["firstName"], lead["leadPartitionId"]) == ("Xa", 1)


def test_records_with_ever_other_columns_are_all_read(sandbox: SandboxServer) -> None:
    names = ["firstName", "lastName", "title", "city", "country", "department", "salutation"]
    lines = []
    for at in range(150):
        chosen = [name for bit, name in enumerate(names) if at >> bit & 1]
        lines.append(record({"email": f"p{at}@example.com", **{name: f"{name} {at}" for name in chosen}}, "people"))
    InProcess(config_for(sandbox), catalog(stream("people", PROGRAM))).run(lines)
    leads = {lead["email"]: lead for lead in sandbox.state.leads()}
    assert len(leads) == 150
    for at in range(150):
        lead = leads[f"p{at}@example.com"]
        for bit, name in enumerate(names):
            assert lead.get(name) == (f"{name} {at}" if at >> bit & 1 else None)


@pytest.mark.parametrize(
    ("changes", "path", "told"),
    [
        ({"destination_object_name": "Programm members"}, "destination_object_name", '"Program members"'),
        ({"destination_object_name": "CONTACT"}, "destination_object_name", '"Program 1004"'),
        ({"destination_object_name": "Program 1005: Webinar"}, "destination_object_name", "program 1005"),
        ({"destination_sync_mode": "update"}, "destination_sync_mode", "match_only"),
        ({"destination_sync_mode": "soft_delete"}, "destination_sync_mode", "nobody is removed"),
    ],
)
def test_what_an_object_cannot_do_is_refused_before_the_first_record(
    connector: Connector, sandbox: SandboxServer, changes: Json, path: str, told: str
) -> None:
    configured = catalog(stream("plain", None), {**stream("people", PROGRAM), **changes})
    run = connector.write(config_for(sandbox), [record({"email": "x@example.com"}, "plain")], configured)
    assert run.code == 1
    assert run.error["failure_type"] == "config_error"
    assert f"catalog.streams[1].{path}" in run.error["message"]
    assert told in run.error["message"]
    assert sandbox.state.lead_count() == 0


def test_columns_of_the_schema_that_the_object_lacks_are_refused(connector: Connector, sandbox: SandboxServer) -> None:
    configured = catalog(
        stream("a", PROGRAM, ["email", "event"]),
        stream("b", "Program members", ["email", "event", "first_name", "member.boothnotes", "createdAt"]),
        stream("c", "Program members", ["email", "event", "_ab_cdc_deleted_at", "_ab_cdc_lsn"]),
    )
    run = connector.write(config_for(sandbox), [record({"email": "x@example.com"}, "a")], configured)
    assert run.code == 1
    message = run.error["message"]
    assert run.error["failure_type"] == "config_error"
    assert "catalog.streams[0].stream.json_schema.properties.event:" in message
    assert "catalog.streams[1].stream.json_schema.properties:" in message
    assert '"firstName" for "first_name"' in message
    assert '"member.boothNotes" for "member.boothnotes"' in message
    assert '"createdAt"' in message
    assert "catalog.streams[2]" not in message
    assert sandbox.state.lead_count() == 0


def test_a_plan_says_what_a_write_then_does(connector: Connector, sandbox: SandboxServer, tmp_path: Path) -> None:
    config = config_for(sandbox, program_links=[link("1", 1004), link("2", 1006)], **local(tmp_path / "kept"))
    configured = catalog(
        stream("people", PROGRAM, ["email", "program_status"]), stream("scans", "Program members", ["email", "event"])
    )
    lines = [
        record({"email": "a@example.com", "program_status": "Attended"}, "people"),
        record({"email": "b@example.com", "program_status": "Elsewhere"}, "people"),
        record({"email": "a@example.com", "event": 2}, "scans"),
        record({"email": "c@example.com", "event": "3"}, "scans"),
    ]
    planned = subprocess.run(
        [*connector.arguments("plan", config, configured), "--format", "json"],
        input=b"\n".join(lines),
        capture_output=True,
        env=environment(),
        timeout=120,
        check=True,
    )
    assert sandbox.state.lead_count() == 0
    *planned_outcomes, _summary = map(json.loads, planned.stdout.splitlines())
    run = connector.write(config, lines, configured)
    assert run.code == 0, run.text
    members = ("stream", "record_key", "event", "program_id", "program_status", "outcome", "category")

    def shown(outcomes: Iterable[Json]) -> list[tuple[Any, ...]]:
        return sorted((tuple(each[name] for name in members) for each in outcomes), key=repr)

    assert shown(planned_outcomes) == shown(stored(tmp_path / "kept"))
    assert len(planned_outcomes) == 4
    text = subprocess.run(
        connector.arguments("plan", config, configured),
        input=b"\n".join(lines),
        capture_output=True,
        env=environment(),
        timeout=120,
        check=True,
    ).stdout.decode()
    assert "STATUS_NOT_FOUND" in text


def test_a_sync_as_the_platform_runs_it(connector: Connector, sandbox: SandboxServer, tmp_path: Path) -> None:
    """Columns and primary key come under the object's names; the cursor is not mapped, so it is no longer there."""
    configured = catalog(stream("visitors", PROGRAM, ["email", "firstName", "program_status"]))
    descriptor = {"name": "visitors"}
    status = {"stream_descriptor": descriptor, "status": "COMPLETE"}
    complete = {"type": "TRACE", "trace": {"type": "STREAM_STATUS", "emitted_at": 1.0, "stream_status": status}}
    people = [
        {"email": "a@example.com", "firstName": "Ann", "program_status": None},
        {"email": "b@example.com", "firstName": None, "program_status": "Attended"},
        {"email": "c@example.com", "firstName": "Cy", "program_status": "Gone home"},
    ]
    lines = [*(record(data, "visitors") for data in people), state(7, "visitors"), json.dumps(complete).encode()]
    run = connector.write(config_for(sandbox, **local(tmp_path)), lines, configured)
    assert run.code == 0, run.text
    (echoed,) = run.states
    assert (echoed["id"], echoed["stream"]["stream_descriptor"]) == (7, descriptor)
    stats = echoed["destinationStats"]
    assert stats == {
        "recordCount": 2.0,
        "rejectedRecordCount": 1.0,
        "additionalStats": {"created": 2.0, "rejected": 1.0},
    }
    assert sandbox.state.members_by_email(1004) == {"a@example.com": "Registered", "b@example.com": "Attended"}
    (rejected,) = [json.loads(line) for path in tmp_path.glob("**/rejected-*.jsonl") for line in path.open()]
    assert rejected["record"]["data"] == people[2]
    assert rejected["rejection"]["record_key"] == "c@example.com"
    # Sent again as it is, with the catalog of its sync, it is mapped by the same object.
    rejected["record"]["data"]["program_status"] = "Engaged"
    again = connector.write(config_for(sandbox), [json.dumps(rejected).encode()], configured)
    assert again.code == 0, again.text
    assert sandbox.state.members_by_email(1004)["c@example.com"] == "Engaged"


@pytest.mark.parametrize("is_global", [False, True])
def test_each_state_has_the_counts_by_outcome_since_the_last_one(sandbox: SandboxServer, is_global: bool) -> None:
    config = config_for(sandbox, program_links=[link("1", 1004), link("1", 1006), link("2", 1004)])
    configured = catalog(stream("a", PROGRAM), stream("b", "Program members", ["email", "event"]))

    def of(name: str, **data: Any) -> bytes:
        return record({"email": "x@example.com", **data}, name)

    lines = [
        of("b", event="1"),
        of("b", event="9"),
        state(1, None if is_global else "b"),
        of("a", email="y@example.com"),
        of("b", email="z@example.com", event="1", program_status="None such"),
        state(2, None if is_global else "b"),
        state(3, None if is_global else "a"),
        state(4, None if is_global else "a"),
    ]
    states = InProcess(config, configured).run(lines).states
    counted = [each["destinationStats"].get("additionalStats", {}) for each in states]
    first = {"created": 2.0, "skipped": 1.0}
    if is_global:
        assert counted == [first, {"created": 1.0, "rejected": 2.0}, {}, {}]
    else:
        assert counted == [first, {"rejected": 2.0}, {"created": 1.0}, {}]


def test_states_of_ordinary_streams_have_the_two_counts_alone(sandbox: SandboxServer) -> None:
    run = InProcess(config_for(sandbox), catalog(stream("a", None))).run(
        [record({"email": "x@example.com"}, "a"), state(1, "a")]
    )
    assert run.states[0]["destinationStats"] == {"recordCount": 1.0, "rejectedRecordCount": 0.0}


def test_the_cdk_s_own_interface_knows_objects(sandbox: SandboxServer) -> None:
    message = AirbyteMessageSerializer.load(json.loads(record({"email": "x@example.com", "event": 5}, "people")))
    configured = ConfiguredAirbyteCatalogSerializer.load(catalog(stream("people", PROGRAM)))
    written = DestinationMarketoPrograms().write(config_for(sandbox), configured, [message])
    assert [message.type.value for message in written if message.type.value != "LOG"] == []
    assert sandbox.state.members_by_email(1004) == {"x@example.com": "Registered"}


def test_outcomes_of_objects_go_onto_the_page(connector: Connector, sandbox: SandboxServer, tmp_path: Path) -> None:
    config = config_for(sandbox, **local(tmp_path / "kept"))
    lines = [
        record({"email": f"{name}@example.com", "program_status": status}, "people")
        for name, status in (("a", None), ("b", "Attended"), ("c", "Nowhere"), ("d", "Nowhere"))
    ]
    InProcess(config, catalog(stream("people", PROGRAM, ["email", "program_status"]))).run(lines)
    page = tmp_path / "report.html"
    command = [*connector.arguments("report"), str(tmp_path / "kept"), "--output", str(page)]
    subprocess.run(command, capture_output=True, env=environment(), timeout=120, check=True)
    assert "STATUS_NOT_FOUND" in page.read_text()


def test_rejected_records_of_an_object_are_sent_again_to_it(
    connector: Connector, sandbox: SandboxServer, tmp_path: Path
) -> None:
    config = config_for(sandbox, **local(tmp_path / "kept"))
    lines = [record({"email": "a@example.com", "firstName": "Ann", "program_status": "Late"}, "people")]
    run = connector.write(config, lines, catalog(stream("people", PROGRAM, ["email", "firstName", "program_status"])))
    assert run.code == 0, run.text
    assert sandbox.state.members_by_email(1004) == {}
    tradeshow = sandbox.state.channel("Tradeshow")
    late = Status("Late", 40)
    sandbox.state.seed(Seed(channels=[msgspec.structs.replace(tradeshow, statuses=(*tradeshow.statuses, late))]))
    command = [*connector.arguments("retry", config), str(tmp_path / "kept")]
    done = subprocess.run(command, capture_output=True, env=environment(), timeout=120, check=False)
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    assert sandbox.state.members_by_email(1004) == {"a@example.com": "Late"}
    (lead,) = sandbox.state.leads()
    assert lead["firstName"] == "Ann"


# --- the guide -----------------------------------------------------------------------------------------------


def shown(kind: str, containing: str) -> str:
    """The one block of the guide with this text in it."""
    block: str
    (block,) = [block for block in re.findall(rf"```{kind}\n(.+?)```", GUIDE, re.DOTALL) if containing in block]
    return block


def test_the_catalog_of_the_guide_is_made_from_discover_and_works(connector: Connector, sandbox: SandboxServer) -> None:
    config = json.loads(shown("json", '"domain_url": "https'))
    config |= {name: config_for(sandbox)[name] for name in ("domain_url", "client_id", "client_secret")}
    configured = json.loads(shown("json", '"streams"'))
    found = operations(connector, config)
    assert shown("text", "Program members").splitlines() == list(found)
    lines = shown("jsonl", "RECORD").splitlines()
    records = [json.loads(line)["record"] for line in lines]
    for entry in configured["streams"]:
        operation = found[entry["destination_object_name"]]
        assert entry["destination_sync_mode"] == operation["sync_mode"]
        assert entry["primary_key"] in [[[name] for name in key] for key in operation["matching_keys"]]
        columns = entry["stream"]["json_schema"]["properties"]
        known = operation["json_schema"]["properties"]
        assert set(columns) <= set(known)
        for name, schema in columns.items():
            assert set(schema["type"]) <= set(known[name]["type"])
        for each in records:
            if each["stream"] == entry["stream"]["name"] and each["data"]["email"] != "lee@example.com":
                jsonschema.validate(each["data"], operation["json_schema"])
    run = connector.write(config, [line.encode() for line in lines], configured)
    assert run.code == 0, run.text
    assert sandbox.state.members_by_email(1004) == {"jo@example.com": "Attended", "kim@example.com": "Engaged"}
    assert sandbox.state.members_by_email(1006) == {"max@example.com": "Registered"}
    assert "STATUS_NOT_FOUND" in run.logs


def test_the_registry_entry_of_the_guide_names_what_the_metadata_names() -> None:
    entry = json.loads(shown("json", "supportsDataActivation"))
    metadata = (Path(__file__).resolve().parents[1] / "metadata.yaml").read_text()
    for name in ("dockerRepository", "dockerImageTag", "documentationUrl", "supportLevel", "releaseStage"):
        assert f"{name}: {entry[name]}\n" in metadata
    assert f"definitionId: {entry['destinationDefinitionId']}" not in metadata


def test_objects_need_no_columns_of_record_and_field_mapping(
    connector: Connector, sandbox: SandboxServer, tmp_path: Path
) -> None:
    """The scans, the answer and the lookup field have columns of their own in every object."""
    config = config_for(
        sandbox,
        program_links=[link("1", 1004, lead_scan_threshold=2)],
        qualifier_mappings=[{"qualifier": "", "value": "Demo", "program_status": "Engaged"}],
        lead_sync={"lookup_field": "badgeId"},
        object_storage_config={"storage_type": "Local", "path": str(tmp_path / "outcomes")},
    )
    records = [
        {"badgeId": "b1", "email": "a@example.com", "scan_count": 2, "qualifier": ["Demo"]},
        {"badgeId": "b2", "email": "b@example.com", "scan_count": 1},
    ]
    run = connector.run("discover", config)
    assert (run.code, run.logs) == (0, "")
    streams = stream("people", PROGRAM, ("badgeId", "email", "scan_count", "qualifier"), primary_key=[["badgeId"]])
    run = connector.write(config, [*(record(each, "people") for each in records), state(1, "people")], catalog(streams))
    assert run.code == 0, run.text
    told = {line["record_key"]: line["category"] or line["program_status"] for line in stored(tmp_path / "outcomes")}
    assert told == {"b1": "Engaged", "b2": "BELOW_SCAN_THRESHOLD"}
    # An ordinary stream beside it has no such columns: that is said, and keeps nobody else out.
    lines = [record(records[0], "people"), state(1, "people")]
    run = connector.write(config, lines, catalog(streams, stream("others", None)))
    assert run.code == 0, run.text
    assert "WARN For streams without a destination object: Program link 1" in run.logs
    run = connector.write(config, [], catalog(stream("others", None)))
    assert "program_links[0].lead_scan_threshold" in run.error["message"]
