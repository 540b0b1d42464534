"""What is refused of a stream for an object before the first record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.activation.objects import ObjectSchemas
from destination_marketo_programs.activation.refusals import (
    any_object,
    column_problems,
    is_about_columns,
    object_problems,
)
from destination_marketo_programs.catalog import ConfiguredStream, stream_problems
from destination_marketo_programs.config import Settings, load_settings
from destination_marketo_programs.mapping import FieldCatalog, WritableField
from destination_marketo_programs.marketo.assets import Program
from destination_marketo_programs.marketo.leads import FieldInfo

TEXT = WritableField("string", 255)
FIELDS = FieldCatalog(lead={"email": TEXT, "firstName": TEXT}, member={"boothNotes": TEXT})


def settings_of(**changes: Any) -> Settings:
    config = {
        "domain_url": "https://123-ABC-456.mktorest.com",
        "client_id": "id",
        "client_secret": "secret",
        "program_links": [{"event": "1", "program_id": "1004", "program_status": "Registered"}],
        **changes,
    }
    settings = load_settings(config, cloud=False).settings
    assert settings is not None
    return settings


def stream(object_name: str, *columns: str, mode: str = "append_dedup", position: int = 3) -> ConfiguredStream:
    return ConfiguredStream(("", "people"), (("email",),), mode, object_name, position, columns)


def columns_refused(*streams: ConfiguredStream, fields: FieldCatalog = FIELDS, **changes: Any) -> list[str]:
    return [str(problem) for problem in column_problems(streams, settings_of(**changes), fields)]


@pytest.mark.parametrize("name", ["Program members", "Program 1004", "Program 1004: renamed", "Program 1004x"])
def test_objects_that_exist(name: str) -> None:
    assert stream_problems([stream(name)], "create_or_update", object_problems(settings_of())) == []


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Program 1005: Webinar", "program 1005"),
        ("program members", '"Program members"'),
        ("Programm 1004", '"Program 1004"'),
        ("Program", '"Program members"'),
    ],
)
def test_objects_that_do_not(name: str, told: str) -> None:
    (problem,) = stream_problems([stream(name)], "create_or_update", object_problems(settings_of()))
    assert problem.path == "catalog.streams[3].destination_object_name"
    assert told in str(problem)


@pytest.mark.parametrize("mode", ["append", "append_dedup", "overwrite"])
def test_modes_that_create_go_with_every_object(mode: str) -> None:
    assert stream_problems([stream("Program 1004", mode=mode)], "match_only", object_problems(settings_of())) == []


def test_every_mistake_of_a_stream_is_told() -> None:
    problems = stream_problems([stream("CONTACT", mode="soft_delete")], "match_only", object_problems(settings_of()))
    assert [problem.path for problem in problems] == [
        "catalog.streams[3].destination_sync_mode",
        "catalog.streams[3].destination_object_name",
    ]


def test_columns_of_the_object_and_of_change_data_pass() -> None:
    mappings = [{"qualifier": "wants demo", "value": "Yes", "program_status": "Engaged"}]
    columns = ("id", "email", "firstName", "member.boothNotes", "program_status", "scan_count", "qualifier")
    passing = (*columns, "wants demo", "badge", "_ab_cdc_deleted_at", "_ab_cdc_lsn")
    of_program = stream("Program 1004", *passing)
    of_members = stream("Program members", *passing, "event", "event_name")
    changes: Any = {"qualifier_mappings": mappings, "lead_sync": {"lookup_field": "badge"}}
    assert columns_refused(of_program, of_members, **changes) == []


def test_a_column_that_the_object_lacks() -> None:
    (problem,) = columns_refused(stream("Program 1004", "email", "event"))
    assert problem.startswith("catalog.streams[3].stream.json_schema.properties.event: ")
    (problem,) = columns_refused(stream("Program members", "email", "firstname", "event"))
    assert 'Did you mean "firstName"?' in problem


NEEDS_COLUMNS = ["program_links[0].lead_scan_threshold", "qualifier_mappings[0].qualifier", "lead_sync.lookup_field"]


@pytest.mark.parametrize(("lookup_field", "paths"), [("badge", []), ("id", ["lead_sync.lookup_field"])])
def test_no_column_has_to_be_named_that_every_object_has(lookup_field: str, paths: list[str]) -> None:
    links = [{"event": "1", "program_id": "1004", "program_status": "Registered", "lead_scan_threshold": 2}]
    config = {
        "domain_url": "https://123-ABC-456.mktorest.com",
        "client_id": "id",
        "client_secret": "secret",
        "program_links": links,
        "qualifier_mappings": [{"value": "Yes", "program_status": "Engaged"}],
        "record_mapping": {"mapping_type": "custom"},
        "lead_sync": {"lookup_field": lookup_field},
    }
    loaded = load_settings(config, cloud=False)
    assert loaded.settings is not None
    assert sorted(problem.path for problem in loaded.problems) == sorted(NEEDS_COLUMNS)
    left = [problem.path for problem in loaded.problems if not is_about_columns(problem, loaded.settings)]
    assert left == paths


def test_columns_that_the_object_lacks_are_one_problem_for_each_stream() -> None:
    many = [f"column {number}" for number in range(50)]
    problems = columns_refused(
        stream("Program members", "boothNotes", "first_name", position=0),
        stream("Program members", *many, position=1),
    )
    assert [problem.partition(":")[0] for problem in problems] == [
        f"catalog.streams[{position}].stream.json_schema.properties" for position in (0, 1)
    ]
    assert '"member.boothNotes" for "boothNotes" and "firstName" for "first_name"' in problems[0]
    assert "30 more" in problems[1]


NAMES = st.sampled_from(["email", "id", "event", "scan_count", "qualifier", "member.vip", "vip", "a b", "Q1", "\u00e9"])


@given(
    lead=st.dictionaries(NAMES, st.booleans()),
    member=st.dictionaries(NAMES, st.booleans()),
    qualifiers=st.lists(NAMES, max_size=4),
    lookup=NAMES.filter(lambda name: name != "id"),
)
def test_what_discover_lists_is_what_a_stream_may_have(
    lead: dict[str, bool], member: dict[str, bool], qualifiers: list[str], lookup: str
) -> None:
    settings = settings_of(
        lead_sync={"lookup_field": lookup},
        qualifier_mappings=[{"qualifier": name, "value": "x", "program_status": "Engaged"} for name in qualifiers],
    )
    described = [
        {name: FieldInfo(name, "string", 255, updateable, name) for name, updateable in each.items()}
        for each in (lead, member)
    ]
    schemas = ObjectSchemas(settings, *described)
    fields = FieldCatalog(*({name: TEXT for name, updateable in each.items() if updateable} for each in (lead, member)))
    for item in (schemas.program_members(), schemas.program(Program(1004, "A", "Event", "B", "C", None), [])):
        assert set(item.properties) == set(item.columns.names())
        assert list(column_problems([stream(item.name, *item.properties)], settings, fields)) == []
        extra = stream(item.name, *item.properties, "not listed")
        assert len(list(column_problems([extra], settings, fields))) == 1


def test_columns_are_not_judged_by_fields_that_marketo_did_not_describe() -> None:
    unknown = stream("Program members", "whatever", "member.any")
    assert columns_refused(unknown, fields=FieldCatalog()) == []
    (problem,) = columns_refused(unknown, fields=FieldCatalog(lead=FIELDS.lead))
    assert "member.any" not in problem


def test_ordinary_streams_and_unknown_objects_are_passed_over() -> None:
    assert columns_refused(stream("", "whatever"), stream("CONTACT", "whatever")) == []
    assert not any_object([stream("")])
    assert any_object([stream(""), stream("CONTACT")])
