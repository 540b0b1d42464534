"""Any bytes on standard input are a record that is mapped, a message, or a line that is refused by its number."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.config import Settings
from destination_marketo_programs.mapping import FieldCatalog, Mapper, WritableField
from destination_marketo_programs.model import Mapped
from destination_marketo_programs.protocol import (
    RecordMessage,
    StateMessage,
    UndecodableLineError,
    line_parser,
    parse_line,
    state_with_counts,
)

TYPES = ("string", "integer", "float", "boolean", "date", "datetime", "unknown")
CATALOG = FieldCatalog(
    lead={kind: WritableField(kind, 20) for kind in TYPES} | {"unsubscribed": WritableField("boolean")},
    member={kind: WritableField(kind, 20) for kind in TYPES},
)
COLUMNS = ("email", "id", "event_id", "mkto", "scans", "q", "deep", "a b", "odd(x)")
SUBJECT = Mapper(
    Settings.model_validate(
        {
            "domain_url": "https://123-ABC-456.mktorest.com",
            "client_id": "id",
            "client_secret": "s",
            "program_links": [
                {"program_id": "1", "program_status": "A", "lead_scan_threshold": 1},
                {"program_id": "2", "program_status": "B", "event": "4711"},
                {"program_id": "3", "program_status": "C"},
            ],
            "qualifier_mappings": [{"program_id": "3", "qualifier": "q", "value": "1", "program_status": "D"}],
            "record_mapping": {"mapping_type": "custom", "marketo_lead_id": "mkto", "scan_count": "scans"},
            "field_mappings": [
                {"record_field": column, "marketo_object": of, "marketo_field": kind, "write": write}
                for column, kind in zip(COLUMNS, TYPES, strict=False)
                for of, write in (("lead", "auto"), ("program_member", "only_true"))
            ]
            + [
                {"record_field": "q", "marketo_field": "unsubscribed"},
                {"record_field": "deep.x[0]", "marketo_field": "g", "write": "on_create"},
                {"record_field": "odd(x)", "marketo_field": "h", "write": "if_blank"},
            ],
            "lead_sync": {"excluded_email_domains": ["b.example"], "blank_values": "clear"},
        }
    ),
    CATALOG,
)
PARSERS = (parse_line, line_parser(SUBJECT.data_type))
NUMBERS = st.sampled_from(
    ["1.0E16", "1E400", "1E-400", "1E9999999999999999999999", "7" * 5000, "-0.0", "NaN", "-Infinity", "4711.000", "1"]
)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8).map(json.dumps)
WRITTEN = st.recursive(
    NUMBERS | TEXTS | st.sampled_from(["null", "true", '"a@b.example"', '"A@c.co"', "[" * 1100 + "]" * 1100]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda parts: f"[{','.join(parts)}]")
        | st.dictionaries(TEXTS, inner, max_size=2).map(
            lambda parts: "{" + ",".join(f"{key}:{value}" for key, value in parts.items()) + "}"
        )
    ),
    max_leaves=4,
)
DATA = st.dictionaries(st.sampled_from(COLUMNS).map(json.dumps), WRITTEN, max_size=6).map(
    lambda parts: "{" + ",".join(f"{key}:{value}" for key, value in parts.items()) + "}"
)


def check(line: bytes) -> None:
    results = []
    for parse in PARSERS:
        try:
            message = parse(line, 7)
        except UndecodableLineError as error:
            results.append(f"refused at line {error.line_number}")
            continue
        if isinstance(message, RecordMessage):
            mapped = SUBJECT.map(message.stream[1], message.data)
            assert mapped.targets or mapped.verdicts
            assert (mapped.person is None) == (not mapped.targets)
            again: Any = msgspec.json.decode(msgspec.json.encode(mapped), type=Mapped)
            assert again == mapped
            results.append(repr(mapped))
        elif isinstance(message, StateMessage):
            state_with_counts(message.line, 1, 2)
            results.append("state")
        else:
            results.append("passed over")
    assert results[0] == results[1]


@given(DATA | WRITTEN)
def test_any_data_is_mapped_alike_with_and_without_the_other_columns(data: str) -> None:
    check(f'{{"type":"RECORD","record":{{"stream":"s","data":{data}}}}}'.encode("utf-8", "surrogatepass"))


@given(DATA, st.data())
def test_a_damaged_line_is_refused_or_read(data: str, draw: st.DataObject) -> None:
    line = f'{{"type":"{draw.draw(st.sampled_from(["RECORD", "STATE"]))}","record":{{"stream":"s","data":{data}}}}}'
    damaged = bytearray(line.encode())
    for _ in range(draw.draw(st.integers(1, 3))):
        place = draw.draw(st.integers(0, len(damaged)))
        cut = draw.draw(st.integers(0, 3))
        damaged[place : place + cut] = draw.draw(st.sampled_from([b"", b'"', b"{", b"]", b",", b"\xff", b"\\u", b"1"]))
    check(bytes(damaged))


@given(st.binary(max_size=40).filter(lambda line: b"\n" not in line))
def test_any_bytes_are_refused_or_passed_over(line: bytes) -> None:
    check(line)


@given(WRITTEN)
def test_any_state_is_echoed_with_everything_that_it_says(body: str) -> None:
    line = f'{{"type":"STATE","state":{body},"id":1}}'.encode("utf-8", "surrogatepass")
    message = parse_line(line, 1)
    assert isinstance(message, StateMessage)
    echoed = state_with_counts(line, 1, 2)
    if not body.startswith(("{", "null")):
        assert echoed == line
    else:
        assert echoed.startswith(b'{"type":"STATE","state":{')
        assert echoed.endswith(b'"destinationStats":{"recordCount":1.0,"rejectedRecordCount":2.0}},"id":1}')


@pytest.mark.parametrize("kind", [b"RECORD", b"STATE"])
def test_a_line_of_many_brackets_takes_no_longer_than_its_length_asks(kind: bytes) -> None:
    check(b'{"type":"' + kind + b'","record":{"stream":"s","data":{"deep":' + b"[" * 300_000)
