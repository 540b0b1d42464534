"""Numbers keep the digits that the source wrote, and values that cannot be delivered are told with what they are."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.config import Settings
from destination_marketo_programs.mapping import FieldCatalog, Mapper, WritableField, can_be_queried, fold_for
from destination_marketo_programs.mapping.values import LONGEST_SHOWN, is_rounded, key_text, text_of, whole_number
from destination_marketo_programs.model import UNREADABLE, Mapped, Person
from destination_marketo_programs.protocol import RecordMessage, parse_line

BASE: dict[str, Any] = {
    "domain_url": "https://123-ABC-456.mktorest.com",
    "client_id": "id",
    "client_secret": "s",
    "program_links": [{"program_id": "1", "program_status": "Registered"}],
    "record_mapping": {"mapping_type": "custom", "marketo_lead_id": "mkto"},
}


def field(column: str, name: str, of: str = "lead") -> dict[str, str]:
    return {"record_field": column, "marketo_object": of, "marketo_field": name}


def data_of(text: str) -> Any:
    """A record's data, as it arrives on standard input."""
    message = parse_line(f'{{"type":"RECORD","record":{{"stream":"leads","data":{text}}}}}'.encode(), 1)
    assert isinstance(message, RecordMessage)
    return message.data


def mapped(data: Any, fields: FieldCatalog | None = None, **more: Any) -> Mapped:
    return Mapper(Settings.model_validate(BASE | more), fields).map("leads", data)


def person(data: Any, fields: FieldCatalog | None = None, **more: Any) -> Person:
    found = mapped(data, fields, **more)
    assert found.person is not None, found.verdicts
    return found.person


def only_verdict(data: Any, fields: FieldCatalog | None = None, **more: Any) -> tuple[str, Any]:
    found = mapped(data, fields, **more)
    (verdict,) = found.verdicts
    assert verdict.rejected
    assert verdict.refusal == (verdict.category, None, verdict.message, None, verdict.detail)
    return verdict.category, verdict.detail


@pytest.mark.parametrize(
    ("written", "text", "rounded"),
    [
        ("1884518522.1684267241", "1884518522.1684267241", False),
        ("4711.000000000", "4711", False),
        ("1.0E7", "10000000", False),
        ("1.2345678E7", "12345678", False),
        ("12.50", "12.50", False),
        ("1.5E-7", "0.00000015", False),
        ("-0.0", "0", False),
        ("9007199254740993.0", "9007199254740993", False),
        ("1.2345678901234567E16", "12345678901234567", False),
        ("1.0E16", "1.0E+16", True),
        ("1E+999999", "1E+999999", True),
        ("1E-999999", "1E-999999", False),
        ("7" * 5000 + ".5", "7" * 5000 + ".5", False),
    ],
)
def test_numbers_as_text_keep_the_digits_of_the_source(written: str, text: str, rounded: bool) -> None:
    number = data_of(written)
    assert text_of(number) == key_text(number) == text
    assert is_rounded(number) is rounded


@given(st.decimals(allow_nan=False, allow_infinity=False, places=10))
def test_no_digit_of_a_decimal_is_lost(number: Decimal) -> None:
    text = text_of(data_of(f"{number:f}"))
    assert text is not None
    assert Decimal(text) == number


@given(st.integers(-(10**300), 10**300))
def test_no_digit_of_an_integer_is_lost(number: int) -> None:
    assert text_of(data_of(str(number))) == str(number)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("1001.000000000", 1001),
        ("1001.", 1001),
        (" 7 ", 7),
        ("1001.5", None),
        ("12e5", None),
        ("9" * 19, None),
        (Decimal("1001.000000000"), 1001),
        (Decimal("1.0E7"), 10000000),
        (Decimal("1.0E17"), None),
        (True, None),
        (Decimal("1E+999999"), None),
        (1.5, None),
        (float("nan"), None),
        (None, None),
        (UNREADABLE, None),
    ],
)
def test_whole_numbers_of_numbers_and_texts(value: object, number: int | None) -> None:
    assert whole_number(value) == number


def test_decimals_as_text_are_understood_wherever_a_number_is_read() -> None:
    """A cache between source and destination does this; an id that is dropped makes a second person."""
    data = data_of('{"email":"a@b.co","event_id":"4711.000000000","scans":"2.000000000","mkto":"1001.000000000"}')
    links = [{"event": "4711", "program_id": "1", "program_status": "Registered", "lead_scan_threshold": 2}]
    mapping = BASE["record_mapping"] | {"scan_count": "scans"}
    assert person(data, program_links=links, record_mapping=mapping).marketo_id == 1001


def test_ids_that_cannot_be_read_are_counted() -> None:
    subject = Mapper(Settings.model_validate(BASE))
    for given_id in ('"PG1"', "1.0E16", "0", "null", '""', "5"):
        found = subject.map("leads", data_of(f'{{"email":"a@b.co","mkto":{given_id}}}'))
        assert found.person is not None
        assert found.person.marketo_id == (5 if given_id == "5" else None)
    assert subject.unreadable_ids == 3
    assert subject.map("leads", {"mkto": "x1"}).verdicts[0].detail == {"field": "id", "value": "x1"}


def test_an_id_of_mobly_that_cannot_be_read_is_counted() -> None:
    subject = Mapper(Settings.model_validate(BASE | {"record_mapping": {"mapping_type": "mobly"}}))
    for remote, expected in (("bad", None), ("40217.0", 40217)):
        remote_ids = [{"integrationType": "MARKETO", "id": remote}]
        found = subject.map("leads", {"email": "a@b.co", "remoteIds": remote_ids}).person
        assert found is not None
        assert found.marketo_id == expected
    assert subject.unreadable_ids == 1


@pytest.mark.parametrize(
    ("data_type", "written", "sent"),
    [
        ("string", "1884518522.1684267241", "1884518522.1684267241"),
        ("string", "1.0E16", "1.0E+16"),
        ("string", "7" * 200, "7" * 200),
        ("integer", "3.0", 3),
        ("integer", "3.5", 3.5),
        ("float", "0.10", 0.1),
        ("currency", "12.345678901234567890123", 12.345678901234567),
        ("unknown", "1.5", 1.5),
        ("unknown", "1884518522.1684267241", "1884518522.1684267241"),
        ("boolean", "1.0", True),
    ],
)
def test_numbers_take_the_fields_type_and_lose_no_digit_of_a_text(data_type: str, written: str, sent: object) -> None:
    catalog = FieldCatalog(lead={"v": WritableField(data_type)})
    found = person(data_of(f'{{"email":"a@b.co","v":{written}}}'), catalog, field_mappings=[field("v", "v")]).fields
    assert (found["v"], type(found["v"])) == (sent, type(sent))
    assert json.loads(msgspec.json.encode(found)) == found


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("1.0E7", "10000000"),
        ("12345678901234567890", "12345678901234567890"),
        ("9007199254740993.0", "9007199254740993"),
    ],
)
def test_a_number_that_finds_a_person_keeps_its_digits(written: str, key: str) -> None:
    more: dict[str, Any] = {"lead_sync": {"lookup_field": "crmId"}, "field_mappings": [field("crm", "crmId")]}
    assert person(data_of(f'{{"crm":{written}}}'), **more).key == key


def test_a_number_whose_last_digits_are_missing_finds_nobody() -> None:
    more: dict[str, Any] = {"lead_sync": {"lookup_field": "crmId"}, "field_mappings": [field("crm", "crmId")]}
    assert only_verdict(data_of('{"crm":1.0E16}'), **more) == ("INVALID_RECORD", {"field": "crmId", "value": "1.0E+16"})


# --- values that cannot pass --------------------------------------------------------------------------------------


@pytest.mark.parametrize("of", ["lead", "program_member"])
@pytest.mark.parametrize(
    ("value", "passes"), [("x" * 40, True), ("x" * 41, False), ("ü" * 40, True), ("ü" * 41, False)]
)
def test_a_text_longer_than_its_field_is_rejected_before_it_is_sent(value: str, passes: bool, of: str) -> None:
    known = {"v": WritableField("string", 40)}
    catalog = FieldCatalog(lead=known, member=known)
    found = mapped({"email": "a@b.co", "v": value}, catalog, field_mappings=[field("v", "v", of)])
    assert bool(found.targets) == passes
    if not passes:
        assert (found.verdicts[0].category, found.verdicts[0].detail) == (
            "FIELD_INVALID",
            {"field": "v", "value": value},
        )
        assert value not in str(found.verdicts[0].message)


def test_a_list_and_a_number_count_by_the_text_that_they_become() -> None:
    catalog = FieldCatalog(lead={"v": WritableField("string", 5)})
    for value in (["abc", "def"], 123456):
        category, detail = only_verdict({"email": "a@b.co", "v": value}, catalog, field_mappings=[field("v", "v")])
        assert (category, detail["field"]) == ("FIELD_INVALID", "v")


def test_a_value_of_two_megabytes_is_rejected_whatever_is_known_of_the_field() -> None:
    for name, lookup in (("v", "email"), ("crmId", "crmId")):
        sync = {"lookup_field": lookup}
        data = {"email": "a@b.co", name: "x" * 2_000_000}
        category, detail = only_verdict(data, field_mappings=[field(name, name)], lead_sync=sync)
        assert category == "FIELD_INVALID"
        assert detail == {"field": name, "value": "x" * LONGEST_SHOWN + "…"}


@pytest.mark.parametrize(
    ("value", "category", "shown"),
    [
        ('{"a":1}', "FIELD_INVALID", '{"a":1}'),
        ('[["A"]]', "FIELD_INVALID", '[["A"]]'),
        ("NaN", "INVALID_RECORD", "nan"),
        (r'"x\ud800"', "INVALID_RECORD", r"x\ud800"),
    ],
)
def test_a_value_that_no_field_takes_is_told_with_what_it_is(value: str, category: str, shown: str) -> None:
    data = data_of(f'{{"email":"a@b.co","v":{value}}}')
    found = only_verdict(data, field_mappings=[field("v", "marketo")])
    assert found == (category, {"field": "marketo", "value": shown})


def test_a_bad_address_is_told_with_what_it_is() -> None:
    assert only_verdict({"email": "ada"}) == ("INVALID_EMAIL", {"field": "email", "value": "ada"})
    assert only_verdict({}) == ("MISSING_KEY", {"field": "email"})


DEEP = "[" * 1_200 + "]" * 1_200


@pytest.mark.parametrize("mobly", [True, False])
def test_a_deep_column_that_nobody_mapped_is_nothing_at_all(mobly: bool) -> None:
    mapping: dict[str, Any] = {"record_mapping": {"mapping_type": "mobly"}} if mobly else {}
    found = person(data_of(f'{{"email":"a@b.co","deep":{DEEP}}}'), **mapping)
    assert found.lookup_value == "a@b.co"


@pytest.mark.parametrize("odd", [DEEP, f'{{"a":{DEEP}}}', "1E9999999999999999999999"])
@pytest.mark.parametrize(
    "more",
    [
        {"field_mappings": [field("odd", "v")]},
        {"field_mappings": [field("odd", "v", "program_member")]},
        {"field_mappings": [field("[odd]", "v")]},
    ],
)
def test_a_mapped_column_that_no_parser_holds_rejects_its_record(odd: str, more: dict[str, Any]) -> None:
    category, _ = only_verdict(data_of(f'{{"email":"a@b.co","odd":{odd},"deep":{DEEP}}}'), **more)
    assert category == "INVALID_RECORD"


def test_a_number_out_of_all_bounds_rejects_its_record_wherever_it_is_read() -> None:
    odd = data_of('{"email":"a@b.co","odd":1E9999999999999999999999}')
    custom = BASE["record_mapping"]
    links = [{"program_id": "1", "program_status": "A", "lead_scan_threshold": 1}]
    qualifier = [{"qualifier": "odd", "value": "1", "program_status": "B"}]
    for more in (
        {"record_mapping": custom | {"event": "odd"}},
        {"record_mapping": custom | {"email": "odd"}},
        {"record_mapping": custom | {"scan_count": "odd"}, "program_links": links},
        {"record_mapping": custom | {"marketo_lead_id": "odd"}},
        {"qualifier_mappings": qualifier},
        {"lead_sync": {"lookup_field": "crmId"}, "field_mappings": [field("odd", "crmId")]},
    ):
        assert only_verdict(odd, **more)[0] == "INVALID_RECORD", more


def test_data_that_is_no_object_rejects_its_record() -> None:
    for text in ("[1]", '"x"', "7", "null", DEEP, "1E9999999999999999999999"):
        assert only_verdict(data_of(text))[0] == "INVALID_RECORD"


# --- who is the same person ---------------------------------------------------------------------------------------


def test_only_ascii_letters_are_folded() -> None:
    fold = fold_for("other", FieldCatalog(lead={"other": WritableField("email")}))
    assert fold(" Ada@EXAMPLE.org ") == "ada@example.org"
    assert len({fold(text) for text in ("straße@x.example", "STRASSE@x.example", "ﬁ@x.example", "FI@x.example")}) == 4
    assert len({fold(text) for text in ("İ@x.example", "i@x.example", "K@x.example", "k@x.example")}) == 3


def test_values_with_a_comma_cannot_be_asked_for() -> None:
    assert [can_be_queried(value) for value in ("a@b.co", 7, "a,b")] == [True, True, False]
