"""Records of streams for an object, as mapping sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.activation.mapper import MOST_SHAPES, ObjectMapper, mapper_for
from destination_marketo_programs.catalog import ConfiguredStream
from destination_marketo_programs.config import Settings, load_settings
from destination_marketo_programs.mapping import FieldCatalog, Mapper, WritableField
from destination_marketo_programs.marketo.assets import Status
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    from destination_marketo_programs.model import Mapped

FIELDS = FieldCatalog(
    lead={
        "email": WritableField("email", 255),
        "firstName": WritableField("string", 10),
        "leadScore": WritableField("score"),
        "unsubscribed": WritableField("boolean"),
        "badgeId": WritableField("string", 255),
        "scan_count": WritableField("integer"),
    },
    member={"boothNotes": WritableField("string", 255), "vip": WritableField("boolean")},
)
STATUSES = {
    number: [
        Status("Not in Program", 0, False, False),
        Status("Registered", 20, False, False),
        Status("Attended", 30, False, True),
        Status("Influenced", 40, True, True),
    ]
    for number in (1, 2)
}
LINKS = [
    {"event": "a", "stream": "elsewhere", "program_id": "1", "program_status": "Registered"},
    {"event": "b", "program_id": "1", "program_status": "Attended"},
    {"event": "b", "program_id": "2", "program_status": "Attended"},
]


def settings_of(**changes: Any) -> Settings:
    config = {
        "domain_url": "https://123-ABC-456.mktorest.com",
        "client_id": "id",
        "client_secret": "secret",
        "program_links": LINKS,
        **changes,
    }
    settings = load_settings(config, cloud=False).settings
    assert settings is not None
    return settings


def mapped(data: object, program_id: int | None = 1, **changes: Any) -> Mapped:
    return ObjectMapper(program_id, settings_of(**changes), FIELDS, STATUSES).map("people", data)


def statuses(result: Mapped) -> list[tuple[int, str]]:
    return [(target.program_id, target.program_status) for target in result.targets]


def test_a_stream_without_an_object_has_the_ordinary_mapper() -> None:
    settings = settings_of()
    ordinary = Mapper(settings, FIELDS)
    plain, for_program = (
        mapper_for(ConfiguredStream(("", "people"), destination_object_name=name), settings, FIELDS, STATUSES, ordinary)
        for name in ("", "Program 2: anything")
    )
    assert plain is ordinary
    assert statuses(for_program.map("people", {"email": "x@example.com"})) == [(2, "Attended")]


def test_the_first_link_of_a_program_speaks_for_it_whatever_its_event_and_stream() -> None:
    result = mapped({"email": "x@example.com", "event": "b"})
    assert statuses(result) == [(1, "Registered")]
    assert result.targets[0].event is None


def test_program_members_are_routed_by_event_and_stream() -> None:
    assert statuses(mapped({"email": "x@example.com", "event": "b"}, None)) == [(1, "Attended"), (2, "Attended")]
    (verdict,) = mapped({"email": "x@example.com", "event": "a"}, None).verdicts
    assert verdict.category == Category.NO_PROGRAM_LINK
    links = [{"event": "Summit", "program_id": "2", "program_status": "Attended"}]
    by_name = mapped({"email": "x@example.com", "event": 4711, "event_name": "Summit"}, None, program_links=links)
    assert (statuses(by_name), by_name.targets[0].event) == ([(2, "Attended")], "4711")


def test_columns_are_fields_by_name_and_mappings_of_the_configuration_are_not() -> None:
    result = mapped(
        {
            "id": "77",
            "email": " x@example.com ",
            "firstName": "Xa",
            "leadScore": "12",
            "unsubscribed": False,
            "member.boothNotes": "Blue bag",
            "member.vip": "yes",
            "scan_count": 3,
            "given": "not this",
            "member": {"boothNotes": "nor this"},
            "jobTitle": "nor that",
        },
        field_mappings=[{"record_field": "given", "marketo_field": "firstName"}],
        record_mapping={"mapping_type": "mobly"},
    )
    person = result.person
    assert person is not None
    assert (person.marketo_id, person.lookup_value) == (77, "x@example.com")
    assert person.fields == {"firstName": "Xa", "leadScore": 12}
    assert person.member_fields == {"boothNotes": "Blue bag", "vip": True}


@pytest.mark.parametrize("value", [None, "", "  "])
def test_a_blank_status_is_none(value: object) -> None:
    assert statuses(mapped({"email": "x@example.com", "program_status": value})) == [(1, "Registered")]


@pytest.mark.parametrize("value", ["attended", "Influenced", "Not in Program", 5, True, ["Attended"], {"a": 1}, []])
def test_a_status_that_nobody_can_be_given_is_a_rejection(value: object) -> None:
    result = mapped({"email": "x@example.com", "program_status": value})
    assert result.targets == []
    (verdict,) = result.verdicts
    assert (verdict.rejected, verdict.category, verdict.program_id) == (True, Category.STATUS_NOT_FOUND, 1)
    assert verdict.detail is not None
    assert verdict.detail["field"] == "program_status"
    assert str(value) not in (verdict.message or "")


def test_each_program_judges_the_status_of_the_record() -> None:
    known = {1: STATUSES[1], 2: STATUSES[2][:2]}
    mapper = ObjectMapper(None, settings_of(), FIELDS, known)
    result = mapper.map("people", {"email": "x@example.com", "event": "b", "program_status": "Attended"})
    assert statuses(result) == [(1, "Attended")]
    assert [verdict.program_id for verdict in result.verdicts] == [2]


def test_a_deleted_row_is_skipped() -> None:
    (verdict,) = mapped({"email": None, "_ab_cdc_deleted_at": "2026-11-01"}).verdicts
    assert (verdict.rejected, verdict.category) == (False, Category.DELETED_IN_SOURCE)


@pytest.mark.parametrize("data", [None, [], "text", 5])
def test_data_that_is_not_an_object_is_a_rejection(data: object) -> None:
    (verdict,) = mapped(data).verdicts
    assert (verdict.rejected, verdict.category) == (True, Category.INVALID_RECORD)


COLUMNS = ["id", "email", "firstName", "leadScore", "badgeId", "member.vip", "program_status", "scan_count", "other"]


@given(
    records=st.lists(
        st.dictionaries(
            st.sampled_from(COLUMNS), st.sampled_from([None, "", "7", "Attended", "x@example.com", 3, True]), max_size=6
        ),
        max_size=2 * MOST_SHAPES,
    )
)
def test_a_record_is_mapped_alike_whatever_columns_came_before(records: list[dict[str, Any]]) -> None:
    settings = settings_of()
    mapper = ObjectMapper(1, settings, FIELDS, STATUSES)
    for data in records:
        assert mapper.map("people", data) == ObjectMapper(1, settings, FIELDS, STATUSES)._whole.map("people", data)


def test_columns_that_no_record_has_are_named() -> None:
    links = [{"event": "a", "program_id": "1", "program_status": "Registered", "lead_scan_threshold": 2}]
    settings = settings_of(program_links=links)
    mapper = ObjectMapper(None, settings, FIELDS, STATUSES)
    assert not mapper.absent_columns
    mapper.map("people", {"email": "x@example.com"})
    assert [column.name for column in mapper.absent_columns] == ["event", "scan_count"]
    mapper.map("people", {"event": None})
    assert [column.name for column in mapper.absent_columns] == ["scan_count"]


def test_an_absent_column_is_told_of_the_object() -> None:
    mappings = [{"qualifier": "wants", "value": "Yes", "program_status": "Attended"}]
    settings = settings_of(qualifier_mappings=mappings)
    absent = {}
    for program_id in (None, 1):
        mapper = ObjectMapper(program_id, settings, FIELDS, STATUSES)
        mapper.map("people", {"id": 5})
        absent[program_id] = [(column.name, column.path) for column in mapper.absent_columns]
    # With a Marketo lead ID nobody needs the lookup field.
    assert absent == {None: [("event", "Program members")], 1: [("wants", "Program 1")]}


def test_unreadable_lead_ids_are_counted_over_all_sets_of_columns() -> None:
    mapper = ObjectMapper(1, settings_of(), FIELDS, STATUSES)
    for data in ({"id": "x", "email": "a@example.com"}, {"email": "b@example.com", "id": "y"}, {"id": 5}):
        mapper.map("people", data)
    assert mapper.unreadable_ids == 2
