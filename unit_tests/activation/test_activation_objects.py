"""The objects that `discover` lists: names, order, schemas, and what is left out."""

from __future__ import annotations

import json
import string
from datetime import UTC, datetime
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.activation.discover import Discovered, discover
from destination_marketo_programs.activation.objects import ObjectSchemas, program_of
from destination_marketo_programs.config import Settings, load_settings
from destination_marketo_programs.failures import ConfigurationError, Doing, failure_of
from destination_marketo_programs.marketo.assets import Program, Status
from destination_marketo_programs.marketo.leads import FieldInfo, LeadDescription
from destination_marketo_programs.model import Problem
from destination_marketo_programs.preflight.asking import Facts

STATUSES = [
    Status("Not in Program", 0, False, False),
    Status("Invited", 10, False, False),
    Status("Registered", 20, False, False),
    Status("Engaged", 30, False, True),
    Status("Influenced", 40, True, True),
]
LEAD_FIELDS = [
    FieldInfo("id", "integer", None, False, "Id"),
    FieldInfo("email", "email", 255, True, "Email Address"),
    FieldInfo("firstName", "string", 255, True, "First Name"),
    FieldInfo("createdAt", "datetime", None, False, "Created At"),
    FieldInfo("leadScore", "score", None, True, "Person Score"),
    FieldInfo("done", "percent", None, True, "Done"),
    FieldInfo("employees", "integer", None, True, "Employees"),
    FieldInfo("fit", "float", None, True, "Fit"),
    FieldInfo("budget", "currency", None, True, "Budget"),
    FieldInfo("optIn", "boolean", None, True, "Opt-in"),
    FieldInfo("dateOfBirth", "date", None, True, "Date of Birth"),
    FieldInfo("lastScanAt", "datetime", None, True, "Last Scan At"),
    FieldInfo("notes", "text", None, True, ""),
    FieldInfo("acquisitionProgramId", "reference", None, True, "Acquisition Program"),
    FieldInfo("externalPersonId", "string", 255, False, "External Person Id"),
]
MEMBER_FIELDS = [
    FieldInfo("statusName", "string", 255, False, "statusName"),
    FieldInfo("boothNotes", "string", 255, True, "Booth Notes"),
    FieldInfo("vip", "boolean", None, True, "VIP"),
]
LINK = {"event": "4711", "program_id": "1004", "program_status": "Registered"}


def settings_of(**changes: Any) -> Settings:
    config = {
        "domain_url": "https://123-ABC-456.mktorest.com",
        "client_id": "id",
        "client_secret": "secret",
        "program_links": [LINK],
        **changes,
    }
    settings = load_settings(config, cloud=False).settings
    assert settings is not None
    return settings


def program(number: int, name: str, channel: str = "Tradeshow") -> Program:
    return Program(number, name, "Event", channel, "Default", None)


def facts_of(*programs: Program, lead: list[FieldInfo] | None = None, **changes: Any) -> Facts:
    known = {
        "leads": LeadDescription({field.name: field for field in lead or LEAD_FIELDS}, None),
        "members": {field.name: field for field in MEMBER_FIELDS},
        "channels": {"Tradeshow": STATUSES},
        "programs": {item.id: item for item in programs or (program(1004, "Spring Expo 2026"),)},
    }
    return Facts(**{**known, **changes})


def operations(found: Discovered, settings: Settings) -> list[dict[str, Any]]:
    message = json.loads(json.dumps(found.message(settings)))
    assert message["type"] == "DESTINATION_CATALOG"
    listed: list[dict[str, Any]] = message["destination_catalog"]["operations"]
    return listed


def properties(facts: Facts | None = None, number: int = 0, **changes: Any) -> dict[str, Any]:
    settings = settings_of(**changes)
    found: dict[str, Any] = operations(discover(settings, facts or facts_of()), settings)[number]["json_schema"]
    return found["properties"]  # type: ignore[no-any-return]


def test_objects_are_program_members_and_then_each_program_by_first_appearance() -> None:
    links = [{**LINK, "program_id": number, "event": str(event)} for event, number in enumerate([1006, 1004, 1006])]
    settings = settings_of(program_links=links)
    facts = facts_of(program(1004, "Spring Expo 2026"), program(1006, "Partner day: 2026"))
    found = discover(settings, facts)
    assert [item["object_name"] for item in operations(found, settings)] == [
        "Program members",
        "Program 1006: Partner day: 2026",
        "Program 1004: Spring Expo 2026",
    ]
    assert found.warnings == []


@pytest.mark.parametrize(
    ("mode", "sync_mode"),
    [("create_or_update", "append_dedup"), ("create_missing", "append_dedup"), ("match_only", "update")],
)
def test_each_object_has_one_operation_with_its_keys(mode: str, sync_mode: str) -> None:
    settings = settings_of(lead_sync={"mode": mode, "lookup_field": "externalPersonId"})
    listed = operations(discover(settings, facts_of()), settings)
    assert len(listed) == 2
    for item in listed:
        assert set(item) == {"object_name", "sync_mode", "json_schema", "matching_keys"}
        assert item["sync_mode"] == sync_mode
        assert item["matching_keys"] == [["externalPersonId"], ["id"]]
        jsonschema.Draft7Validator.check_schema(item["json_schema"])
        assert item["json_schema"]["type"] == "object"
        assert item["json_schema"]["additionalProperties"] is False


@pytest.mark.parametrize(("other_event", "required"), [("12", ["event"]), ("", [])])
def test_an_event_is_required_only_if_every_link_has_one(other_event: str, required: list[str]) -> None:
    links = [LINK, {**LINK, "event": other_event, "program_id": "1006"}]
    settings = settings_of(program_links=links)
    listed = operations(discover(settings, facts_of(program(1004, "A"), program(1006, "B"))), settings)
    assert [item["json_schema"]["required"] for item in listed] == [required, [], []]


def test_columns_of_program_members() -> None:
    assert properties() == {
        "program_status": {"type": ["null", "string"], "title": "Program status"},
        "scan_count": {"type": ["null", "integer"], "title": "Scan count"},
        "qualifier": {"type": ["null", "string", "array"], "title": "Qualifier"},
        "event": {"type": ["null", "string", "integer"], "title": "Event ID"},
        "event_name": {"type": ["null", "string"], "title": "Event name"},
        "id": {"type": ["null", "integer"], "title": "Id"},
        "email": {"type": ["null", "string"], "title": "Email Address", "maxLength": 255},
        "firstName": {"type": ["null", "string"], "title": "First Name", "maxLength": 255},
        "leadScore": {"type": ["null", "integer"], "title": "Person Score"},
        "done": {"type": ["null", "integer"], "title": "Done"},
        "employees": {"type": ["null", "integer"], "title": "Employees"},
        "fit": {"type": ["null", "number"], "title": "Fit"},
        "budget": {"type": ["null", "number"], "title": "Budget"},
        "optIn": {"type": ["null", "boolean"], "title": "Opt-in"},
        "dateOfBirth": {"type": ["null", "string"], "format": "date", "title": "Date of Birth"},
        "lastScanAt": {
            "type": ["null", "string"],
            "format": "date-time",
            "airbyte_type": "timestamp_with_timezone",
            "title": "Last Scan At",
        },
        "notes": {"type": ["null", "string"], "title": "notes"},
        "acquisitionProgramId": {"type": ["null", "string"], "title": "Acquisition Program"},
        "member.boothNotes": {"type": ["null", "string"], "title": "Booth Notes", "maxLength": 255},
        "member.vip": {"type": ["null", "boolean"], "title": "VIP"},
    }


def test_a_program_has_its_statuses_to_choose_from_and_no_event() -> None:
    of_members, of_program = properties(), properties(number=1)
    assert of_program["program_status"]["enum"] == [None, "Invited", "Registered", "Engaged"]
    assert set(of_members) - set(of_program) == {"event", "event_name"}
    assert set(of_program) <= set(of_members)


def test_every_property_takes_null() -> None:
    mappings = [{"qualifier": "wants_demo", "value": "Yes", "program_status": "Engaged"}]
    for number in (0, 1):
        for name, schema in properties(number=number, qualifier_mappings=mappings).items():
            jsonschema.validate(None, schema)
            assert schema["title"], name


def test_named_qualifiers_are_columns_and_blank_ones_are_not() -> None:
    mappings = [
        {"qualifier": "wants demo?", "value": "Yes", "program_status": "Engaged"},
        {"qualifier": "", "value": "Yes", "program_status": "Engaged"},
        {"qualifier": "wants demo?", "value": "No", "program_status": "Registered"},
    ]
    for number in (0, 1):
        found = properties(number=number, qualifier_mappings=mappings)
        assert found["wants demo?"] == {"type": ["null", "string"], "title": "wants demo?"}
        assert "" not in found


def test_the_lookup_field_is_a_column_even_if_it_cannot_be_updated_or_is_unknown() -> None:
    assert "externalPersonId" not in properties()
    known = properties(lead_sync={"lookup_field": "externalPersonId"})
    assert known["externalPersonId"] == {"type": ["null", "string"], "title": "External Person Id", "maxLength": 255}
    assert known["email"]["maxLength"] == 255
    assert properties(lead_sync={"lookup_field": "gone"})["gone"] == {"type": ["null", "string"], "title": "gone"}


def test_a_lead_field_with_the_name_of_another_column_is_left_out_with_a_warning() -> None:
    lead = [*LEAD_FIELDS, *(FieldInfo(name, "boolean", None, True, name) for name in ("scan_count", "event", "wants"))]
    mappings = [{"qualifier": "wants", "value": "Yes", "program_status": "Engaged"}]
    settings = settings_of(qualifier_mappings=mappings)
    found = discover(settings, facts_of(lead=lead))
    listed = operations(found, settings)
    of_members, of_program = (item["json_schema"]["properties"] for item in listed)
    assert of_members["scan_count"] == of_program["scan_count"] == {"type": ["null", "integer"], "title": "Scan count"}
    assert of_members["wants"] == {"type": ["null", "string"], "title": "wants"}
    assert of_members["event"]["title"] == "Event ID"
    # No event stands in the way of the field in a program's own object.
    assert of_program["event"] == {"type": ["null", "boolean"], "title": "event"}
    assert len(found.warnings) == 3
    for name in ("scan_count", "event", "wants"):
        assert sum(f'"{name}"' in warning for warning in found.warnings) == 1


def test_a_key_stays_a_key_if_a_qualifier_reads_the_same_column() -> None:
    mappings = [{"qualifier": name, "value": "x", "program_status": "Engaged"} for name in ("email", "id")]
    settings = settings_of(qualifier_mappings=mappings)
    found = discover(settings, facts_of())
    assert found.warnings == []
    assert operations(found, settings)[0]["json_schema"]["properties"]["id"]["type"] == ["null", "integer"]
    assert found.objects[0].columns.lead[0] == "email"


def test_programs_that_nobody_can_be_added_to_are_left_out_with_the_path_of_their_links() -> None:
    numbers = (1004, 1, 2, 3, 4, 3)
    links = [{**LINK, "event": str(event), "program_id": number} for event, number in enumerate(numbers)]
    settings = settings_of(program_links=links)
    facts = facts_of(
        program(1004, "Here"),
        program(3, "Old"),
        program(4, "Odd", "Unlisted"),
        missing={1},
        denied={2},
        archived_in={3: "Events 2024"},
    )
    found = discover(settings, facts)
    assert [item.name for item in found.objects] == ["Program members", "Program 1004: Here"]
    assert len(found.warnings) == 4
    for warning, number, paths in zip(found.warnings, (1, 2, 3, 4), ([1], [2], [3, 5], [4]), strict=True):
        assert f"({number})" in warning or f"program {number}" in warning
        assert all(f"program_links[{path}].program_id" in warning for path in paths)


@pytest.mark.parametrize(("allowed", "listed"), [((True, True), True), ((True, False), False)])
def test_an_archived_program_is_listed_if_its_links_allow_it(allowed: tuple[bool, bool], listed: bool) -> None:
    links = [{**LINK, "event": str(event), "allow_archived": flag} for event, flag in enumerate(allowed)]
    found = discover(settings_of(program_links=links), facts_of(archived_in={1004: "Events 2024"}))
    assert ("Program 1004: Spring Expo 2026" in [item.name for item in found.objects]) is listed


@pytest.mark.parametrize("leads", [None, LeadDescription({}, None)])
def test_without_fields_of_people_there_is_nothing_to_list(leads: LeadDescription | None) -> None:
    with pytest.raises(ConfigurationError, match=r"client_id: .*\S") as error:
        discover(settings_of(), facts_of(leads=leads))
    assert error.value.passing is False


@pytest.mark.parametrize(
    ("path", "failure_type"),
    [
        ("domain_url", "transient_error"),
        ("delivery.daily_call_budget", "transient_error"),
        ("client_secret", "config_error"),
    ],
)
def test_why_marketo_does_not_describe_people_decides_the_kind_of_failure(path: str, failure_type: str) -> None:
    problem = Problem(tuple(path.split(".")), "It does not work.", "Look again.")
    with pytest.raises(ConfigurationError, match="It does not work") as error:
        discover(settings_of(), facts_of(leads=None, problems=[problem]))
    assert failure_of(error.value, datetime.now(tz=UTC), Doing.CHECK).kind.value == failure_type


def test_what_else_marketo_does_not_say_is_a_warning() -> None:
    found = discover(settings_of(), facts_of(members=None, channels=None))
    assert [item.name for item in found.objects] == ["Program members"]
    assert not any(name.startswith("member.") for name in found.objects[0].properties)
    assert len(found.warnings) == 1


@given(
    number=st.integers(1, 10**9),
    name=st.text(),
)
def test_a_program_is_found_by_its_number_whatever_its_name(number: int, name: str) -> None:
    schemas = ObjectSchemas(settings_of(), {})
    item = schemas.program(program(number, name), STATUSES)
    assert program_of(item.name) == number


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Program 1004", 1004),
        (" Program 1004: renamed since ", 1004),
        ("Program members", None),
        ("Program", None),
        ("Program x1004", None),
        ("program 1004", None),
        ("My Program 1004", None),
        ("Program " + "9" * 30, None),
        ("", None),
    ],
)
def test_only_the_leading_digits_of_a_program_object_count(name: str, number: int | None) -> None:
    assert program_of(name) == number


def test_200_programs_with_300_fields_stay_below_20_mb() -> None:
    letters = string.ascii_lowercase
    lead = [
        FieldInfo(f"customFieldOfThePerson{at}__c", "string", 255, True, f"Custom field {letters} {at}")
        for at in range(300)
    ]
    links = [{**LINK, "event": str(at), "program_id": 1000 + at} for at in range(200)]
    settings = settings_of(program_links=links)
    facts = facts_of(*(program(1000 + at, f"Field day {at} in {letters}") for at in range(200)), lead=lead)
    found = discover(settings, facts)
    assert len(found.objects) == 201
    assert all(len(item.properties) > 300 for item in found.objects)
    assert len(json.dumps(found.message(settings))) < 20_000_000
