"""Who a record is about, and which values go to which field."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.config import Settings
from destination_marketo_programs.mapping import FieldCatalog, Mapper, WritableField, key_columns, primary_key_text
from destination_marketo_programs.model import Mapped, Person
from destination_marketo_programs.protocol import RecordMessage, UndecodableLineError, line_parser, parse_line

BASE = {
    "domain_url": "https://123-ABC-456.mktorest.com",
    "client_id": "id",
    "client_secret": "s",
    "program_links": [{"program_id": "1", "program_status": "Registered"}],
}
CUSTOM = {"mapping_type": "custom", "marketo_lead_id": "mkto"}
LEAD: dict[str, Any] = {
    "id": "8a7f0c1e-0000-4000-8000-000000000001",
    "createdAt": "2026-01-01T00:00:00Z",
    "isEnriched": True,
    "firstName": "Ada",
    "lastName": "Lovelace",
    "email": " Ada@Example.org ",
    "jobTitle": "Analyst",
    "address": "12 Square",
    "phoneNumbers": {
        "leadProvided": [
            {"number": "+1", "type": "MOBILE", "preferred": False},
            {"number": "+2", "type": "MOBILE", "preferred": True},
        ],
        "moblyProvided": [
            {"number": "+3", "type": "HQ", "preferred": True},
            {"number": "+4", "type": "MOBILE", "preferred": True},
        ],
    },
    "company": {
        "name": "Engines",
        "streetAddress": "1 Mill Lane",
        "city": "London",
        "state": None,
        "zip": "W1",
        "country": "UK",
    },
    "numberOfScans": 2,
    "activations": [],
    "tags": [{"tagOptionId": "t", "value": "Yes"}],
    "leadActivityEvents": [],
    "remoteIds": [
        {"id": "hs-1", "integrationType": "HUB_SPOT"},
        {"id": "40217", "integrationType": "MARKETO"},
    ],
}
LEAD_FIELDS = {
    "firstName": "Ada",
    "lastName": "Lovelace",
    "title": "Analyst",
    "company": "Engines",
    "phone": "+3",
    "mobilePhone": "+2",
    "address": "12 Square",
    "billingStreet": "1 Mill Lane",
    "billingCity": "London",
    "billingPostalCode": "W1",
    "billingCountry": "UK",
}


def mapped(record: object, fields: FieldCatalog | None = None, **more: Any) -> Mapped:
    return Mapper(Settings.model_validate(BASE | more), fields).map("leads", record)


def person(record: object, fields: FieldCatalog | None = None, **more: Any) -> Person:
    result = mapped(record, fields, **more)
    assert result.person is not None, result.verdicts
    return result.person


def custom(record: dict[str, Any], fields: FieldCatalog | None = None, **more: Any) -> Person:
    return person(record, fields, **({"record_mapping": CUSTOM} | more))


def refusal(record: object, **more: Any) -> tuple[str, str]:
    result = mapped(record, **({"record_mapping": CUSTOM} | more))
    assert (result.person, result.targets) == (None, [])
    (verdict,) = result.verdicts
    assert verdict.rejected
    return verdict.category, str(verdict.message)


def field(column: str, name: str, of: str = "lead") -> dict[str, str]:
    return {"record_field": column, "marketo_object": of, "marketo_field": name}


@pytest.mark.parametrize("data", [None, [], "text", 7, True])
def test_data_that_is_no_object(data: object) -> None:
    result = mapped(data)
    assert [(v.rejected, v.category, v.program_id) for v in result.verdicts] == [(True, "INVALID_RECORD", None)]


def test_a_custom_record_needs_an_email_only() -> None:
    assert custom({"email": " Ada@Example.org\n", "event_id": "7", "id": 12.0, "extra": [1]}) == Person(
        None, "Ada@Example.org", "ada@example.org", {}, {}
    )
    assert mapped({"email": "a@b.co", "id": 12.0}, record_mapping=CUSTOM).record_id == "12"


@pytest.mark.parametrize(
    "email",
    ["o'brien@example.org", "a+b@sub-1.example.org", "A.B_c%d@EXAMPLE.CO", "x@1.2", "..@a.b", "a" * 250 + "@b.co"],
)
def test_addresses_that_are_taken(email: str) -> None:
    assert custom({"email": email}).lookup_value == email


BAD_ADDRESSES = (
    *("ada", "ada@", "@b.co", "ada@localhost", "a@b@c.co", "a b@c.co", "a,b@c.co", '"a"@c.co', "a@c..co", "a@.co"),
    *("\u00e4@b.co", "a@b\u00fccher.de", "a\x00@b.co", "a\n@b.co", "Ada <a@b.co>", "a@b.co;c@d.co", "a@b.co\u200b"),
    *("a" * 251 + "@b.co", "\ud800@b.co", 7, True, ["a@b.co"], {"email": "a@b.co"}, float("nan")),
)


@pytest.mark.parametrize("email", BAD_ADDRESSES, ids=ascii)
def test_addresses_that_are_refused(email: object) -> None:
    category, message = refusal({"email": email})
    assert category == "INVALID_EMAIL"
    assert message == 'record_mapping.email ("email") does not hold a valid ASCII email address.'
    assert custom({"email": email, "mkto": 5}) == Person(5, None, None, {}, {})


@pytest.mark.parametrize("record", [{}, {"email": None}, {"email": " \u00a0"}, {"mkto": " "}])
def test_no_key(record: dict[str, Any]) -> None:
    assert refusal(record) == (
        "MISSING_KEY",
        'The record has no Marketo lead id, and no email in record_mapping.email ("email").',
    )


@pytest.mark.parametrize(
    ("given", "number"),
    [(40217, 40217), ("40217", 40217), (" 40217 ", 40217), (40217.0, 40217)]
    + [(other, None) for other in (0, -1, "", "PG1", 1.5, True, None, [1], "٤", float("inf"), "9" * 30)],
)
def test_marketo_lead_ids(given: object, number: int | None) -> None:
    assert custom({"email": "a@b.co", "mkto": given}).marketo_id == number


def test_problems_of_the_person_are_told_once_per_program_and_only_if_one_is_wanted() -> None:
    links = [
        {"program_id": "1", "program_status": "A"},
        {"program_id": "2", "program_status": "B"},
        {"program_id": "3", "program_status": "C", "lead_scan_threshold": 1},
    ]
    result = mapped({}, record_mapping=CUSTOM, program_links=links)
    assert [(v.program_id, v.program_status, v.category) for v in result.verdicts] == [
        (3, "C", "BELOW_SCAN_THRESHOLD"),
        (1, "A", "MISSING_KEY"),
        (2, "B", "MISSING_KEY"),
    ]
    skipped = mapped({}, record_mapping=CUSTOM, program_links=links[2:])
    assert [v.category for v in skipped.verdicts] == ["BELOW_SCAN_THRESHOLD"]


def test_columns_and_jmespath() -> None:
    mappings = [
        field("job.title", "title"),
        field("deep.er.x", "deep"),
        field("first name", "firstName"),
        field("tags[?kind=='a'].name | [0]", "tag"),
        field("Phone (mobile)", "odd"),
        field("member", "cNumber", "program_member"),
    ]
    record = {
        "email": "a@b.co",
        "job": {"title": "Analyst"},
        "deep": {"er": None},
        "first name": "Ada",
        "tags": [{"kind": "a", "name": "T"}],
        "Phone (mobile)": "column",
        "member": 4,
    }
    found = custom(record, field_mappings=mappings)
    assert found.fields == {"title": "Analyst", "firstName": "Ada", "tag": "T", "odd": "column"}
    assert found.member_fields == {"cNumber": 4}
    flat = record | {"job.title": "flat wins", "tags[?kind=='a'].name | [0]": "flat too"}
    assert custom(flat, field_mappings=mappings).fields == found.fields | {"title": "flat wins", "tag": "flat too"}


def test_identity_columns_may_be_jmespath() -> None:
    mapping = CUSTOM | {"email": "contact.email", "marketo_lead_id": "ids[0]"}
    found = custom({"contact": {"email": "A@b.co"}, "ids": [9]}, record_mapping=mapping)
    assert found == Person(9, "A@b.co", "a@b.co", {}, {})


@pytest.mark.parametrize("expression", ["sum(x)", "max_by(x, &b)", "x[?a>`1`]"])
def test_an_expression_that_fails_names_its_path_and_no_value(expression: str) -> None:
    mappings = [field("y", "y"), field(expression, "x")]
    category, message = refusal({"email": "a@b.co", "x": [{"a": "secret"}]}, field_mappings=mappings)
    assert category == "INVALID_RECORD"
    assert "field_mappings[1].record_field" in message
    assert "secret" not in message


BLANKS = {"email": "a@b.co", "null": None, "empty": "", "spaces": " \t\u00a0", "none_in": [None, ""], "list": []}


def test_blank_values_stay_out_or_clear() -> None:
    mappings = [field(column, f"m_{column}") for column in (*BLANKS, "absent", "null.x", "email.x", "null | @")]
    assert custom(BLANKS, field_mappings=mappings).fields == {"m_email": "a@b.co"}
    cleared = custom(BLANKS, field_mappings=mappings, lead_sync={"blank_values": "clear"}).fields
    assert cleared == {
        "m_email": "a@b.co",
        **dict.fromkeys(("m_null", "m_empty", "m_spaces", "m_none_in", "m_list", "m_null.x", "m_null | @")),
    }


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (" kept as it is ", " kept as it is "),
        ("Zürich", "Zürich"),
        ("x" * 40_000, "x" * 40_000),
        (0, 0),
        (False, False),
        (1.5, 1.5),
        (2**70, 2**70),
        (["A", " ", "B", 3, True, 1.0, None], "A;B;3;true;1"),
        (["é"], "é"),
    ],
)
def test_values_pass_unchanged(value: object, sent: object) -> None:
    found = custom({"email": "a@b.co", "v": value}, field_mappings=[field("v", "v")]).fields["v"]
    assert (found, type(found)) == (sent, type(sent))


@pytest.mark.parametrize(
    ("value", "category"),
    [({"a": 1}, "FIELD_INVALID"), ({}, "FIELD_INVALID"), ([["A"]], "FIELD_INVALID"), ([{"a": 1}], "FIELD_INVALID")]
    + [(value, "INVALID_RECORD") for value in (float("nan"), float("-inf"), "x\ud800", ["\udc00"], [float("nan")])],
)
@pytest.mark.parametrize("of", ["lead", "program_member"])
def test_values_that_cannot_be_sent(value: object, category: str, of: str) -> None:
    found, message = refusal({"email": "a@b.co", "v": value}, field_mappings=[field("v", "marketo", of)])
    assert found == category
    assert message.startswith('field_mappings[0].record_field ("v") holds ')


@pytest.mark.parametrize(
    ("data_type", "value", "sent"),
    [
        ("integer", "3", 3),
        ("integer", " 3 ", 3),
        ("score", 3.0, 3),
        ("percent", "-3.0", -3),
        ("integer", "3.5", "3.5"),
        ("integer", 3.5, 3.5),
        ("integer", "many", "many"),
        ("float", "3.5", 3.5),
        ("currency", "-0.10", -0.1),
        ("float", "1234567890123456.7", "1234567890123456.7"),
        ("float", "1e5", "1e5"),
        ("boolean", "true", True),
        ("boolean", "FALSE", False),
        ("boolean", 1, True),
        ("boolean", "0", False),
        ("boolean", 1.0, True),
        ("boolean", 2, 2),
        ("boolean", "maybe", "maybe"),
        ("string", 7, "7"),
        ("string", 7.0, "7"),
        ("phone", 49301234567, "49301234567"),
        ("text", True, "true"),
        ("string", 0.1, "0.1"),
        ("String", 7, "7"),
        ("date", "2026-01-02T00:00:00Z", "2026-01-02"),
        ("date", "2026-01-02 00:00:00.000+02:00", "2026-01-02"),
        ("date", "2026-01-02T10:00:00Z", "2026-01-02T10:00:00Z"),
        ("date", "2026-01-02", "2026-01-02"),
        ("datetime", "2026-01-02T00:00:00Z", "2026-01-02T00:00:00Z"),
        ("reference", 7, 7),
        ("reference", "7.000000000", 7),
        ("reference", 7.0, 7),
    ],
)
def test_values_take_the_fields_type_without_loss(data_type: str, value: object, sent: object) -> None:
    known = {"v": WritableField(data_type)}
    catalog = FieldCatalog(lead=known, member=known)
    mappings = [field("v", "v"), field("v", "v", "program_member")]
    found = custom({"email": "a@b.co", "v": value}, catalog, field_mappings=mappings)
    for fields in (found.fields, found.member_fields):
        assert (fields["v"], type(fields["v"])) == (sent, type(sent))


def test_own_mappings_are_never_dropped() -> None:
    catalog = FieldCatalog(lead={}, member={})
    mappings = [field("v", "v"), field("v", "v", "program_member")]
    found = custom({"email": "a@b.co", "v": 1}, catalog, field_mappings=mappings)
    assert (found.fields, found.member_fields) == ({"v": 1}, {"v": 1})


def test_another_lookup_field() -> None:
    more: dict[str, Any] = {
        "lead_sync": {"lookup_field": "crmId"},
        "field_mappings": [field("crm", "crmId"), field("n", "firstName")],
    }
    record = {"email": " A@b.co ", "crm": 17.0, "n": "Ada"}
    assert custom(record, **more) == Person(None, "17", "17", {"firstName": "Ada", "email": "A@b.co"}, {})
    assert custom(record | {"crm": " X\u00e9 "}, **more).key == "X\u00e9"
    assert custom({"crm": "X"}, **more).fields == {}
    assert refusal({"email": "a@b.co"}, **more) == (
        "MISSING_KEY",
        'The record has no Marketo lead id, and no crmId in field_mappings[0].record_field ("crm").',
    )
    assert refusal({"email": "nobody", "crm": 1}, **more)[0] == "INVALID_EMAIL"
    assert custom({"email": "nobody", "crm": 1, "mkto": 2}, **more) == Person(2, "1", "1", {}, {})
    assert refusal({"crm": {"a": 1}}, **more)[0] == "FIELD_INVALID"
    assert refusal({"crm": "\ud800"}, **more)[0] == "INVALID_RECORD"


@pytest.mark.parametrize(("value", "sent"), [("17", 17), (" 17.0 ", 17), (17.0, 17), (17, 17), ("x17", "x17")])
def test_a_lookup_field_of_numbers_is_sent_as_a_number(value: object, sent: object) -> None:
    """Marketo refuses text there (1001); what is no number stays as it is, so that Marketo can say so."""
    catalog = FieldCatalog(lead={"customerNumber": WritableField("integer")})
    more: dict[str, Any] = {
        "lead_sync": {"lookup_field": "customerNumber"},
        "field_mappings": [field("customer", "customerNumber")],
    }
    assert custom({"customer": value}, catalog, **more) == Person(None, sent, str(sent), {}, {})  # type: ignore[arg-type]


def test_ids_that_differ_in_case_alone_are_two_people_and_addresses_one() -> None:
    """15-character ids of a CRM do; merged, one person's data would be written to the other's lead."""
    more: dict[str, Any] = {
        "lead_sync": {"lookup_field": "other"},
        "field_mappings": [field("other", "other")],
    }
    spellings = ("0031i00000AbCdE", "0031i00000aBcDe")
    for data_type, people in (("string", 2), ("email", 1)):
        catalog = FieldCatalog(lead={"other": WritableField(data_type)})
        assert len({custom({"other": text}, catalog, **more).key for text in spellings}) == people


def test_a_blank_email_beside_another_lookup_field_is_cleared_only_if_asked_for() -> None:
    sync = {"lookup_field": "crmId"}
    mappings = [field("crm", "crmId")]
    record = {"email": "", "crm": "1"}
    assert custom(record, lead_sync=sync, field_mappings=mappings).fields == {}
    clearing = custom(record, lead_sync=sync | {"blank_values": "clear"}, field_mappings=mappings)
    assert clearing.fields == {"email": None}


def test_a_mapped_email_or_id_takes_the_place_of_the_default() -> None:
    mappings = [field("work", "email"), field("lead_number", "id")]
    record = {"email": "home@b.co", "work": "work@b.co", "lead_number": "8"}
    assert custom(record, field_mappings=mappings) == Person(8, "work@b.co", "work@b.co", {}, {})
    assert custom(record | {"mkto": 3}, field_mappings=mappings).marketo_id == 3


def test_mobly_flat() -> None:
    result = mapped(LEAD | {"event_id": 4711})
    assert result.person == Person(40217, "Ada@Example.org", "ada@example.org", LEAD_FIELDS, {})
    assert (result.record_id, result.targets[0].event) == (LEAD["id"], "4711")


def test_mobly_in_every_accepted_shape_gives_the_same() -> None:
    event = {"event_id": 4711, "event_name": "Summit"}
    flat = LEAD | event
    nested = event | {"registered": True, "checkedIn": False, "lead": LEAD}
    cached = {
        name.lower(): json.dumps(value) if isinstance(value, dict | list) else value for name, value in flat.items()
    }
    texts = flat | {name: json.dumps(flat[name]) for name in ("company", "tags", "remoteIds", "phoneNumbers")}
    shapes = [flat, nested, nested | {"lead": json.dumps(LEAD), "id": "association"}, cached, texts]
    more: dict[str, Any] = {
        "program_links": [
            {"program_id": "1", "program_status": "A", "event": "4711", "lead_scan_threshold": 2},
            {"program_id": "2", "program_status": "B", "event": "Summit", "lead_scan_threshold": 3},
        ],
        "qualifier_mappings": [{"value": "Yes", "program_status": "Engaged"}],
        "field_mappings": [field("company.city", "billingCity"), field("numberOfScans", "scans")],
    }
    untouched = copy.deepcopy(shapes)
    results = [mapped(shape, **more) for shape in shapes]
    assert shapes == untouched
    assert [target.program_status for target in results[0].targets] == ["Engaged"]
    assert results[0].person is not None
    assert results[0].person.fields == {**LEAD_FIELDS, "scans": 2}
    assert results[1:] == results[:1] * 4


def test_mobly_nested_columns_resolve_on_both_levels_and_by_jmespath() -> None:
    record = {"event_id": 1, "checkedIn": True, "lead": LEAD}
    mappings = [field("lead.firstName", "nick"), field("checkedIn", "in"), field("lastName", "lastName")]
    found = person(record, field_mappings=mappings).fields
    assert (found["nick"], found["in"], found["lastName"]) == ("Ada", True, "Lovelace")


def test_mobly_defaults_give_way_to_field_mappings() -> None:
    found = person(LEAD | {"nick": "A"}, field_mappings=[field("nick", "firstName"), field("gone", "phone")])
    assert found.fields == {key: value for key, value in LEAD_FIELDS.items() if key != "phone"} | {"firstName": "A"}


def test_mobly_defaults_that_marketo_does_not_list_are_left_out_and_named() -> None:
    known = {name: WritableField("string", 255) for name in ("firstName", "company", "mobilePhone")}
    subject = Mapper(Settings.model_validate(BASE), FieldCatalog(lead=known))
    found = subject.map("leads", LEAD).person
    assert found is not None
    assert found.fields == {"firstName": "Ada", "company": "Engines", "mobilePhone": "+2"}
    assert found.lookup_value == "Ada@Example.org"
    assert set(subject.dropped_defaults) == set(LEAD_FIELDS) - set(known) | {"billingState"}
    assert Mapper(Settings.model_validate(BASE)).dropped_defaults == ()


def numbers(*entries: tuple[str, str, bool]) -> list[dict[str, Any]]:
    return [{"number": number, "type": kind, "preferred": preferred} for number, kind, preferred in entries]


@pytest.mark.parametrize(
    ("given", "found", "expected"),
    [
        ([("1", "OFFICE", False), ("2", "DIRECT", True)], [("3", "HQ", True)], {"phone": "2"}),
        ([("1", "MOBILE", False)], [("3", "UNKNOWN", False)], {"phone": "3", "mobilePhone": "1"}),
        ([], [("3", "MOBILE", False), ("4", "LANDLINE", False)], {"phone": "4", "mobilePhone": "3"}),
        ([(" ", "OFFICE", True), ("2", "OFFICE", False)], [], {"phone": "2"}),
        ([], [], {}),
    ],
)
def test_mobly_phones(
    given: list[tuple[str, str, bool]], found: list[tuple[str, str, bool]], expected: dict[str, str]
) -> None:
    phones = {"leadProvided": numbers(*given), "moblyProvided": numbers(*found)}
    assert person({"email": "a@b.co", "phoneNumbers": phones}).fields == expected


@pytest.mark.parametrize(
    "remote",
    [None, "x", {}, [None, "40217"], [{"id": "40217", "integrationType": "ZOHO"}], [{"integrationType": "MARKETO"}]],
)
def test_mobly_without_a_usable_marketo_id(remote: object) -> None:
    assert person({"email": "a@b.co", "remoteIds": remote}).marketo_id is None


def test_mobly_clearing_touches_only_what_the_record_names() -> None:
    sync = {"blank_values": "clear"}
    assert person({"email": "a@b.co"}, lead_sync=sync).fields == {}
    assert person({"email": "a@b.co", "firstName": None, "company": {"city": ""}}, lead_sync=sync).fields == {
        "firstName": None,
        "billingCity": None,
    }
    company = person({"email": "a@b.co", "company": None}, lead_sync=sync).fields
    assert company == dict.fromkeys(
        ("company", "billingStreet", "billingCity", "billingState", "billingPostalCode", "billingCountry")
    )
    assert person({"email": "a@b.co", "company": "Engines"}).fields == {"company": "Engines"}


@pytest.mark.parametrize(
    ("data", "paths", "key"),
    [
        ({"id": 7}, [["id"]], "7"),
        ({"id": 7.0, "at": "x"}, [["id"], ["at"]], '["7","x"]'),
        ({"a": {"b": True}}, [["a", "b"]], "true"),
        ({"id": 7}, [["id"], ["at"]], None),
        ({"id": None}, [["id"]], None),
        ({"id": " "}, [["id"]], None),
        ({"id": {"a": 1}}, [["id"]], None),
        ({"id": 7}, [], None),
        ({"id": 7}, [[]], None),
        (None, [["id"]], None),
        ({"lead": {"id": "u"}}, [["id"]], "u"),
        ({"id": "outer", "lead": {"id": "u"}}, [["id"]], "outer"),
        ({"event_id": 1, "lead": '{"id": "u"}'}, [["event_id"], ["id"]], '["1","u"]'),
        ({"a": "x,y", "b": "z"}, [["a"], ["b"]], '["x,y","z"]'),
        ({"a": "x", "b": "y,z"}, [["a"], ["b"]], '["x","y,z"]'),
        ({"lead": {"id": "u"}}, [["lead", "id"]], "u"),
        ({"id": "a\ud800"}, [["id"]], "a\\ud800"),
    ],
)
def test_primary_keys(data: object, paths: list[list[str]], key: str | None) -> None:
    assert primary_key_text(data, paths) == key


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
MOBLY_COLUMNS = [*LEAD, "event_id", "event_name", "lead", "firstname", "remoteids"]
ODD_RECORDS = st.dictionaries(st.sampled_from(MOBLY_COLUMNS), JSON_VALUES, max_size=8)
NESTED = ODD_RECORDS | st.builds(lambda outer, lead: outer | {"lead": lead}, ODD_RECORDS, ODD_RECORDS)
AS_MOBLY = Mapper(
    Settings.model_validate(
        BASE
        | {
            "qualifier_mappings": [{"value": "Yes", "program_status": "Engaged"}],
            "field_mappings": [field("company.name", "c"), field("tags[0].value", "t"), field("event_id", "e")],
            "lead_sync": {"blank_values": "clear"},
        }
    ),
    FieldCatalog(lead={"c": WritableField("integer"), "t": WritableField("boolean"), "title": WritableField("date")}),
)
AS_CUSTOM = Mapper(
    Settings.model_validate(
        BASE
        | {
            "record_mapping": CUSTOM | {"email": "lead.email", "event": "company.name", "marketo_lead_id": "id"},
            "field_mappings": [field("max(tags)", "c"), field("firstName", "f"), field("address", "a")],
        }
    )
)


@given(record=NESTED, valid=st.booleans())
def test_any_record_is_mapped_into_something_that_can_be_stored(record: dict[str, Any], valid: bool) -> None:
    if valid:
        record = record | {"email": "ada@example.org"}
    for subject in (AS_MOBLY, AS_CUSTOM):
        result = subject.map("leads", record)
        assert result.targets or result.verdicts
        assert (result.person is None) == (not result.targets)
        # Would raise on a broken surrogate, and turns what JSON cannot hold into null.
        again = msgspec.json.decode(msgspec.json.encode(result), type=Mapped)
        assert again.person == result.person


CONFIGURATIONS: list[dict[str, Any]] = [
    {"qualifier_mappings": [{"value": "Yes", "program_status": "Engaged"}]},
    {
        "program_links": [
            {"program_id": "1", "program_status": "A", "event": "4711", "lead_scan_threshold": 1},
            {"program_id": "2", "program_status": "B"},
        ],
        "field_mappings": [field("company.industry", "industry"), field("tags[0].value", "t"), field("checkedIn", "c")],
    },
    {
        "record_mapping": CUSTOM | {"email": "lead.email", "event": "event_id", "scan_count": "numberOfScans"},
        "field_mappings": [field("max(tags)", "m"), field("firstName || lastName", "f"), field("address", "a", "lead")],
        "lead_sync": {"lookup_field": "crmId", "excluded_email_domains": ["example.com"]},
    },
    {
        "record_mapping": CUSTOM,
        "field_mappings": [field("remoteIds[*].id", "r"), field("company", "p", "program_member"), field("id", "id")],
        "qualifier_mappings": [{"qualifier": "tags[].value", "value": "Yes", "program_status": "Engaged"}],
    },
]
KEYS = [["id"]], [["event_id"], ["lead", "id"]]


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@given(record=NESTED | st.just({**LEAD, "event_id": 4711}), deleted=st.booleans())
def test_a_record_without_the_columns_that_nobody_reads_gives_the_same(
    configuration: dict[str, Any], record: dict[str, Any], deleted: bool
) -> None:
    if deleted:
        record = record | {"_ab_cdc_deleted_at": "2026-11-26"}
    settings = Settings.model_validate(BASE | configuration)
    line = json.dumps({"type": "RECORD", "record": {"stream": "leads", "data": record}}).encode()
    subject = Mapper(settings, key_columns=key_columns([path for paths in KEYS for path in paths]))
    whole, read = parse_line(line, 1), line_parser(subject.data_type)(line, 1)
    assert isinstance(whole, RecordMessage)
    assert isinstance(read, RecordMessage)
    assert (read.stream, read.line) == (whole.stream, whole.line)
    assert subject.map("leads", read.data) == Mapper(settings).map("leads", whole.data)
    for paths in KEYS:
        assert primary_key_text(read.data, paths) == primary_key_text(whole.data, paths)


def test_columns_that_nobody_reads_are_not_read() -> None:
    subject = Mapper(Settings.model_validate(BASE | {"record_mapping": CUSTOM}), key_columns=("key",))
    data = {"id": 1, "email": "a@b.co", "event_id": 2, "key": 3, "mkto": 4, "notes": "x", "deep": [[1]]}
    line = json.dumps({"type": "RECORD", "record": {"stream": "leads", "data": data}}).encode()
    read = line_parser(subject.data_type)(line, 1)
    assert isinstance(read, RecordMessage)
    assert set(read.data) == {"id", "email", "event_id", "key", "mkto"}


def test_an_expression_over_the_whole_record_reads_all_of_it() -> None:
    settings = Settings.model_validate(BASE | {"field_mappings": [field("length(@)", "v")]})
    assert Mapper(settings).data_type is Any


@pytest.mark.parametrize("data", ["[1]", "7", "null", '"x"', '{"email":1.5}', '{"email":NaN}', '{"email":"\\ud800"}'])
def test_data_that_the_type_cannot_hold_is_read_all_the_same(data: str) -> None:
    line = f'{{"type":"RECORD","record":{{"stream":"leads","data":{data}}}}}'.encode()
    read, whole = line_parser(Mapper(Settings.model_validate(BASE)).data_type)(line, 1), parse_line(line, 1)
    assert repr(read) == repr(whole)


@pytest.mark.parametrize(
    "line", [b"", b"x", b"[]", b'{"type":"RECORD"}', b'{"type":"LOG"}', b'{"type":"RECORD","record":{"data":{}}}']
)
def test_lines_that_are_no_records_are_read_alike(line: bytes) -> None:
    parse = line_parser(Mapper(Settings.model_validate(BASE)).data_type)
    try:
        expected = parse_line(line, 5)
    except UndecodableLineError:
        with pytest.raises(UndecodableLineError, match="Line 5 "):
            parse(line, 5)
    else:
        assert parse(line, 5) == expected
    state = b'{"type":"STATE","state":{"type":"GLOBAL"}}'
    assert parse(state, 1) == parse_line(state, 1)
    with pytest.raises(UndecodableLineError):
        parse(b'{"type":"RECORD","record":{"stream":"s","data":{"unread":"\xff"}}}', 1)
