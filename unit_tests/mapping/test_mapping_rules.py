"""When a field is written, who is left out, what a column is, and what a verdict says of the record."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.config import Settings
from destination_marketo_programs.mapping import (
    FieldCatalog,
    FieldSource,
    Mapper,
    PersonMapper,
    QualifierRules,
    Router,
    RuleMapper,
    Rules,
    WritableField,
    compile_column,
)
from destination_marketo_programs.mapping.columns import ABSENT, RecordError
from destination_marketo_programs.model import UNREADABLE, Mapped, Person, Target
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    import random

BASE: dict[str, Any] = {
    "domain_url": "https://123-ABC-456.mktorest.com",
    "client_id": "id",
    "client_secret": "s",
    "program_links": [{"program_id": "1", "program_status": "Registered"}],
    "record_mapping": {"mapping_type": "custom"},
}


def field(column: str, name: str, write: str = "auto", of: str = "lead") -> dict[str, str]:
    return {"record_field": column, "marketo_object": of, "marketo_field": name, "write": write}


def link(program: int, **more: Any) -> dict[str, Any]:
    return {"program_id": str(program), "program_status": "Registered", **more}


def mapper(fields: FieldCatalog | None = None, **more: Any) -> Mapper:
    return Mapper(Settings.model_validate(BASE | more), fields)


def mapped(data: dict[str, Any], fields: FieldCatalog | None = None, **more: Any) -> Mapped:
    return mapper(fields, **more).map("leads", data)


def person(data: dict[str, Any], fields: FieldCatalog | None = None, **more: Any) -> Person:
    found = mapped({"email": "a@b.co", **data}, fields, **more)
    assert found.person is not None, found.verdicts
    return found.person


# --- when a field is written --------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    ("value", "sent"),
    [(value, {}) for value in (False, "false", "No", "0", 0, 0.0, "off", "N", " ", None)]
    + [(value, {"unsubscribed": True}) for value in (True, "TRUE", "Yes", "on", 1, "y")]
    + [("maybe", {"unsubscribed": "maybe"})],
)
def test_a_source_cannot_undo_an_opt_out(value: object, sent: dict[str, object], known: bool) -> None:
    catalog = FieldCatalog(lead={"unsubscribed": WritableField("boolean")}) if known else None
    for sync in ({}, {"blank_values": "clear"}):
        found = person({"out": value}, catalog, field_mappings=[field("out", "unsubscribed")], lead_sync=sync)
        assert found.fields == sent


@pytest.mark.parametrize("name", ["doNotCall", "MARKETINGSUSPENDED", "blackListed", "emailInvalid", "Unsubscribed"])
def test_each_opt_out_is_protected_in_any_case(name: str) -> None:
    assert person({"out": False}, field_mappings=[field("out", name)]).fields == {}
    assert person({"out": False}, field_mappings=[field("out", name, "always")]).fields == {name: False}


def test_only_true_can_be_asked_for_any_field() -> None:
    catalog = FieldCatalog(
        lead={"vip": WritableField("boolean"), "note": WritableField("string"), "score": WritableField("integer")},
        member={"walkIn": WritableField("boolean")},
    )
    mappings = [field(name, name, "only_true") for name in ("vip", "note", "score")]
    mappings.append(field("walkIn", "walkIn", "only_true", "program_member"))
    found = person({"vip": "no", "note": "", "score": 0, "walkIn": False}, catalog, field_mappings=mappings)
    assert (found.fields, found.member_fields) == ({}, {})
    found = person({"vip": "yes", "note": "n.b.", "score": "3", "walkIn": 1}, catalog, field_mappings=mappings)
    assert (found.fields, found.member_fields) == ({"vip": True, "note": "n.b.", "score": 3}, {"walkIn": True})


def test_guarded_fields_travel_apart_and_never_blank() -> None:
    catalog = FieldCatalog(lead={"score": WritableField("integer"), "title": WritableField("string", 5)})
    mappings = [
        field("source", "leadSource", "on_create"),
        field("score", "score", "on_create"),
        field("title", "title", "if_blank"),
        field("name", "firstName", "always"),
    ]
    for sync in ({}, {"blank_values": "clear"}):
        found = person(
            {"source": "Expo", "score": "7", "title": "CTO", "name": "Ada"},
            catalog,
            field_mappings=mappings,
            lead_sync=sync,
        )
        assert found.fields == {"firstName": "Ada"}
        assert found.on_create == {"leadSource": "Expo", "score": 7}
        assert found.if_blank == {"title": "CTO"}
        empty = person({"source": "", "score": None, "title": " "}, catalog, field_mappings=mappings, lead_sync=sync)
        assert (empty.fields, empty.on_create, empty.if_blank) == ({}, None, None)
    refused = mapped({"email": "a@b.co", "title": "too long"}, catalog, field_mappings=mappings)
    assert [verdict.category for verdict in refused.verdicts] == ["FIELD_INVALID"]
    assert (person({}).on_create, person({}).if_blank) == (None, None)


@pytest.mark.parametrize("write", ["on_create", "if_blank"])
def test_the_address_beside_another_lookup_field_can_be_guarded(write: str) -> None:
    more: dict[str, Any] = {
        "lead_sync": {"lookup_field": "crmId", "blank_values": "clear"},
        "field_mappings": [field("crm", "crmId"), field("email", "email", write)],
    }
    found = person({"crm": "1"}, **more)
    assert (found.fields, getattr(found, write)) == ({}, {"email": "a@b.co"})
    assert getattr(person({"crm": "1", "email": ""}, **more), write) is None


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("Yes", True),
        ("NO", False),
        ("on", True),
        ("Off", False),
        ("y", True),
        ("N", False),
        (" true ", True),
        ("0", False),
        ("1", True),
        ("ja", "ja"),
    ],
)
def test_the_usual_words_are_booleans(value: str, sent: object) -> None:
    known = {"v": WritableField("boolean")}
    catalog = FieldCatalog(lead=known, member=known)
    mappings = [field("v", "v"), field("v", "v", of="program_member")]
    found = person({"v": value}, catalog, field_mappings=mappings)
    assert (found.fields, found.member_fields) == ({"v": sent}, {"v": sent})


# --- who is left out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("email", "domain"),
    [
        ("a@example.com", "example.com"),
        (" A@EXAMPLE.COM\n", "example.com"),
        ("a@mail.Example.com", "example.com"),
        ("a@example.com.", "example.com"),
        ("a@xn--BCHER-kva.example", "xn--bcher-kva.example"),
        ("a@bücher.example", "xn--bcher-kva.example"),
        ("a@BÜCHER.example", "xn--bcher-kva.example"),
        ("a@notexample.com", None),
        ("a@example.com.evil.org", None),
        ("a@com", "INVALID_EMAIL"),
        ("example.com@b.co", None),
    ],
)
def test_excluded_domains_in_any_case_and_spelling(email: str, domain: str | None) -> None:
    for excluded in (["example.com", "bücher.example"], [" @Example.COM", "*.xn--bcher-kva.example", ""]):
        found = mapped({"email": email}, lead_sync={"excluded_email_domains": excluded})
        if domain is None:
            assert found.targets
        elif domain == "INVALID_EMAIL":
            assert [verdict.category for verdict in found.verdicts] == ["INVALID_EMAIL"]
        else:
            assert found.person is None
            (verdict,) = found.verdicts
            assert (verdict.rejected, verdict.category, verdict.program_id) == (False, "EXCLUDED", 1)
            assert verdict.detail == {"domain": domain}


def test_no_rule_rejects_an_excluded_person() -> None:
    """Nobody has to correct the answers of people who are not wanted."""
    more: dict[str, Any] = {
        "program_links": [
            {"program_id": "1", "program_status": "A", "unmapped_qualifier": "reject"},
            {"program_id": "2", "program_status": "B", "lead_scan_threshold": 2},
        ],
        "record_mapping": {"mapping_type": "custom", "scan_count": "scans"},
        "qualifier_mappings": [{"program_id": "1", "qualifier": "q", "value": "Yes", "program_status": "C"}],
    }
    excluded = mapped({"email": "a@b.co", "q": "Later"}, lead_sync={"excluded_email_domains": ["b.co"]}, **more)
    assert {each.program_id: (each.rejected, each.category) for each in excluded.verdicts} == {
        1: (False, "EXCLUDED"),
        2: (False, "BELOW_SCAN_THRESHOLD"),
    }
    wanted = mapped({"email": "a@c.co", "q": "Later"}, lead_sync={"excluded_email_domains": ["b.co"]}, **more)
    assert [each.category for each in wanted.verdicts if each.rejected] == ["UNMAPPED_QUALIFIER"]


def test_an_excluded_person_is_skipped_whatever_else_is_on_the_record() -> None:
    more: dict[str, Any] = {
        "record_mapping": {"mapping_type": "custom", "marketo_lead_id": "mkto"},
        "lead_sync": {"lookup_field": "crmId", "excluded_email_domains": ["b.co"]},
        "field_mappings": [field("crm", "crmId")],
    }
    for data in ({"mkto": 5}, {"crm": "1"}, {"crm": {"a": 1}}, {}):
        (verdict,) = mapped({"email": "a@b.co", **data}, **more).verdicts
        assert verdict.category == "EXCLUDED"


@pytest.mark.parametrize(
    ("data", "programs"),
    [
        ({"id": 7, "email": "a@b.co", "event_id": "1"}, [1, 2]),
        ({"id": 7, "email": None, "event_id": 1}, [1, 2]),
        ({"id": 7}, [2]),
        ({"id": 7, "email": "bad"}, [2]),
    ],
)
def test_a_row_that_the_source_has_deleted_is_skipped(data: dict[str, Any], programs: list[int]) -> None:
    links = [link(1, event="1", lead_scan_threshold=3), link(2)]
    deleted = {**data, "_ab_cdc_deleted_at": "2026-11-26T00:00:00Z"}
    found = mapped(deleted, program_links=links)
    assert (found.person, found.targets, found.record_id) == (None, [], "7")
    assert [(v.program_id, v.rejected, v.category) for v in found.verdicts] == [
        (program, False, "DELETED_IN_SOURCE") for program in programs
    ]
    (unlinked,) = mapped(deleted | {"event_id": None}, program_links=links[:1]).verdicts
    assert (unlinked.program_id, unlinked.category) == (None, "DELETED_IN_SOURCE")
    for empty in (None, ""):
        assert mapped({"email": "a@b.co", "_ab_cdc_deleted_at": empty}).targets


# --- what decided it ----------------------------------------------------------------------------------------------


def test_a_verdict_says_which_values_decided_it() -> None:
    links = [link(1, lead_scan_threshold=2), link(2, unmapped_qualifier="skip")]
    found = mapped(
        {"email": "a@b.co", "scans": "1", "followup": ["Later", "No"]},
        program_links=links,
        record_mapping={"mapping_type": "custom", "scan_count": "scans"},
        qualifier_mappings=[{"qualifier": "followup", "value": "Yes", "program_status": "Engaged"}],
    )
    assert [verdict.detail for verdict in found.verdicts] == [
        {"scans": 1, "threshold": 2},
        {"qualifier": "followup", "values": ["Later", "No"]},
    ]
    assert not any("Later" in str(verdict.message) for verdict in found.verdicts)


def test_a_qualifier_that_is_not_there_is_named_too() -> None:
    (verdict,) = mapped(
        {"email": "a@b.co"},
        program_links=[link(1, unmapped_qualifier="reject")],
        qualifier_mappings=[{"qualifier": "followup", "value": "Yes", "program_status": "Engaged"}],
    ).verdicts
    assert (verdict.rejected, verdict.detail) == (True, {"qualifier": "followup", "values": []})


def test_what_a_summary_may_count_is_bounded() -> None:
    """Each distinct text is kept until the end of the run."""
    data = {"email": "a@b.co", "event_id": "e" * 1_000_000, "q": ["q" * 1_000_000 + str(n) for n in range(100)]}
    mappings = [{"qualifier": "q", "value": "Yes", "program_status": "Engaged"}]
    unlinked = mapped(data, program_links=[link(1, event="1")])
    assert len(unlinked.unlinked_event or "") < 300
    unmapped = mapped(data, qualifier_mappings=mappings)
    assert sum(map(len, unmapped.unmapped_values)) < 6_000


def test_many_and_long_values_are_cut() -> None:
    (verdict,) = mapped(
        {"email": "a@b.co", "q": [f"{number}" + "x" * 1_000 for number in range(100)]},
        program_links=[link(1, unmapped_qualifier="reject")],
        qualifier_mappings=[{"qualifier": "q", "value": "Yes", "program_status": "Engaged"}],
    ).verdicts
    assert verdict.detail is not None
    assert len(str(verdict.detail)) < 6_000


# --- columns ------------------------------------------------------------------------------------------------------

NAMES = ["Phone (mobile)", "Phone(mobile)", "Company (HQ)", "First name", "E-mail", "Q1: how many?", "a.b(c)", "50 %"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("there", [True, False])
def test_a_column_with_odd_letters_is_a_column_and_absent_if_it_is_absent(name: str, there: bool) -> None:
    record = {"email": "a@b.co", **({name: "+1"} if there else {})}
    assert person(record, field_mappings=[field(name, "phone")]).fields == ({"phone": "+1"} if there else {})
    custom = {"mapping_type": "custom"}
    for more in (
        {"record_mapping": custom | {"event": name}},
        {"record_mapping": custom | {"event_name": name}},
        {"record_mapping": custom | {"scan_count": name}},
        {"record_mapping": custom | {"marketo_lead_id": name}},
        {"qualifier_mappings": [{"qualifier": name, "value": "+1", "program_status": "Engaged"}]},
    ):
        assert mapped(record, program_links=[link(1)], **more).targets


@pytest.mark.parametrize("expression", ["sum(x)", "length(x)", "max_by(x, &a)", "join(', ', x)", "x[?a > `1`] | [0]"])
def test_an_absent_column_is_absent_within_an_expression_too(expression: str) -> None:
    assert person({}, field_mappings=[field(expression, "v")], lead_sync={"blank_values": "clear"}).fields in (
        {},
        {"v": None},
    )


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("abs(n)", "1.50"),
        ("ceil(n)", "-1"),
        ("floor(n)", "-2"),
        ("max(l)", "2.5"),
        ("sum(l)", "4.1"),
        ("sort(l)[0]", "0.1"),
        ("max_by(rows, &x).y", "second"),
        ("sort_by(rows, &x)[0].y", "first"),
        ("rows[?x == `0.1`].y | [0]", "first"),
        ("rows[?x > `0.5`].y | [0]", "second"),
        ("not_null(n)", "-1.50"),
        ("type(n)", "number"),
        ("to_string(n)", "-1.50"),
        ("to_string(long)", "1884518522.1684267241"),
        ("to_string(rows[0])", '{"x":0.1,"y":"first"}'),
        ("to_number(t)", "1884518522.1684267241"),
        ("to_number(y)", None),
        ("to_string(absent)", None),
        ("to_string(null)", None),
        ("ceil(huge)", "1E+999999"),
    ],
)
def test_functions_take_fractions_as_numbers_and_keep_their_digits(expression: str, found: str | None) -> None:
    record = {
        "n": Decimal("-1.50"),
        "l": [Decimal("2.5"), 1, Decimal("0.1"), Decimal("0.5")],
        "long": Decimal("1884518522.1684267241"),
        "t": "1884518522.1684267241",
        "y": "yes",
        "null": None,
        "huge": Decimal("1E+999999"),
        "rows": [{"x": Decimal("0.1"), "y": "first"}, {"x": Decimal("1.5"), "y": "second"}],
    }
    catalog = FieldCatalog(lead={"v": WritableField("string")})
    fields = person({"email": "a@b.co", **record}, catalog, field_mappings=[field(expression, "v")]).fields
    assert fields == ({} if found is None else {"v": found})


@pytest.mark.parametrize("text", ["nan", "-Infinity"])
def test_a_text_that_is_no_finite_number_is_refused_by_itself(text: str) -> None:
    catalog = FieldCatalog(lead={"v": WritableField("float")})
    verdicts = mapped({"email": "a@b.co", "t": text}, catalog, field_mappings=[field("to_number(t)", "v")]).verdicts
    assert [(verdict.category, verdict.message) for verdict in verdicts] == [
        (Category.INVALID_RECORD, 'field_mappings[0].record_field ("to_number(t)") holds NaN or an infinity.')
    ]


def test_a_part_that_is_not_kept_is_no_text() -> None:
    column = compile_column("to_string(deep)", "p")
    with pytest.raises(RecordError):
        column.read({"deep": [UNREADABLE]})


@pytest.mark.parametrize("text", ["[" * 5_000, "a[" * 400 + "0" + "]" * 400, "tags[?kind==", "(" * 900, "\ud800", ""])
def test_a_text_that_no_parser_takes_is_a_column_name(text: str) -> None:
    assert compile_column(text, "p").read({text: 7}) == 7
    assert compile_column(text, "p").read({}) is ABSENT


@given(st.text(max_size=20))
def test_any_text_is_a_column(text: str) -> None:
    column = compile_column(text, "p")
    assert column.read({text: 7}) == 7


def absent(subject: Mapper) -> list[tuple[str, str]]:
    return [(column.path, column.name) for column in subject.absent_columns]


def test_columns_that_no_record_has_are_named_after_the_run() -> None:
    more: dict[str, Any] = {
        "record_mapping": {"mapping_type": "custom", "event": "evnt", "email": "mail", "scan_count": "scans"},
        "program_links": [link(1, event="1", lead_scan_threshold=2)],
        "qualifier_mappings": [{"qualifier": "answers.demo", "value": "Yes", "program_status": "Engaged"}],
    }
    every = [
        ("record_mapping.event", "evnt"),
        ("record_mapping.scan_count", "scans"),
        ("qualifier_mappings[0].qualifier", "answers.demo"),
        ("record_mapping.email", "mail"),
    ]
    subject = mapper(**more)
    assert absent(subject) == []
    subject.map("leads", {"id": 1, "answers": {}})
    assert absent(subject) == every
    subject.map("leads", {"scans": None, "evnt": ""})
    assert absent(subject) == every[2:]
    subject.map("leads", {"mail": "a@b.co", "answers": {"demo": "No"}})
    assert absent(subject) == []


def test_columns_that_nothing_depends_on_are_not_named() -> None:
    subject = mapper(
        record_mapping={"mapping_type": "custom", "event_name": "name", "scan_count": "scans"},
        program_links=[link(1, event="Summit")],
    )
    subject.map("leads", {"email": "a@b.co", "name": "Summit"})
    assert absent(subject) == []
    every_record = mapper(record_mapping={"mapping_type": "custom", "scan_count": "scans"})
    every_record.map("leads", {"email": "a@b.co"})
    assert absent(every_record) == []


def test_absent_columns_of_mobly_leads() -> None:
    subject = mapper(
        record_mapping={"mapping_type": "mobly"},
        program_links=[link(1, event="1", lead_scan_threshold=1)],
        qualifier_mappings=[{"value": "Yes", "program_status": "Engaged"}],
    )
    subject.map("leads", {"firstName": "Ada"})
    assert [column.name for column in subject.absent_columns] == ["event_id", "numberOfScans", "tags", "email"]
    subject.map("leads", {"event_name": "x", "lead": {"email": "a@b.co", "numberOfScans": 1, "tags": []}})
    assert subject.absent_columns == ()


# --- other kinds of stream ----------------------------------------------------------------------------------------


def test_a_mapper_can_be_made_of_columns_and_fields() -> None:
    """As data activation does: columns named after fields, one program, and a status of the record's own."""
    links = Settings.model_validate(BASE | {"program_links": [link(7, event="x", stream="y")]}).program_links
    open_link = links[0].model_copy(update={"event": "", "stream": ""})
    names = {"email": "email", "id": "id", "title": "title", "member.note": "note"}
    sources = [
        FieldSource(compile_column(name, ""), "program_member" if "." in name else "lead", marketo)
        for name, marketo in names.items()
    ]
    sync = Settings.model_validate(BASE).lead_sync
    subject = RuleMapper(
        Rules(
            Router([open_link]),
            QualifierRules((), None),
            PersonMapper(sources, sync, FieldCatalog()),
            (open_link,),
            status=compile_column("program_status", ""),
            statuses={7: {"Registered", "Attended"}},
        )
    )
    row = {"email": "a@b.co", "id": 12, "title": "CTO", "member.note": "n"}
    found = subject.map("any", row | {"program_status": " Attended "})
    assert found.targets == [Target(7, "Attended", None)]
    assert found.person == Person(12, "a@b.co", "a@b.co", {"title": "CTO"}, {"note": "n"})
    assert subject.map("any", row | {"program_status": None}).targets == [Target(7, "Registered", None)]
    (verdict,) = subject.map("any", row | {"program_status": "attended"}).verdicts
    assert (verdict.rejected, verdict.category, verdict.program_id) == (True, "STATUS_NOT_FOUND", 7)
    assert verdict.detail == {"field": "program_status", "value": "attended"}


# --- order --------------------------------------------------------------------------------------------------------

RECORDS = st.lists(
    st.fixed_dictionaries(
        {"email": st.sampled_from(["a@b.co", "b@b.co", "bad", None])},
        optional={
            "event_id": st.sampled_from([1, "2", "1.0", "Summit", None]),
            "scans": st.integers(0, 3),
            "q": st.sampled_from(["Yes", "No", ["No", "Yes"], None]),
        },
    ),
    max_size=12,
)


@given(RECORDS, st.randoms(use_true_random=False))
def test_what_becomes_of_a_record_does_not_depend_on_the_others(
    records: list[dict[str, Any]], chance: random.Random
) -> None:
    more: dict[str, Any] = {
        "record_mapping": {"mapping_type": "custom", "scan_count": "scans"},
        "program_links": [link(1, event="1"), link(2, event="2", lead_scan_threshold=2), link(3)],
        "qualifier_mappings": [
            {"program_id": "3", "qualifier": "q", "value": "Yes", "program_status": "Engaged"},
            {"program_id": "3", "qualifier": "q", "value": "No", "program_status": "Member"},
        ],
    }
    alone = [mapper(**more).map("leads", data) for data in records]
    places = list(range(len(records)))
    chance.shuffle(places)
    together = mapper(**more)
    mixed = {place: together.map("leads", records[place]) for place in places}
    assert [mixed[place] for place in range(len(records))] == alone
