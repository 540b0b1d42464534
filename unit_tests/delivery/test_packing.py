"""What a run remembers in little room: fields of waiting records as JSON, and created leads as bits."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from delivery_bench import Build
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.delivery.entry import BYTES_BESIDE_LINE, BYTES_OF_FIELD, Holding
from destination_marketo_programs.delivery.new_leads import NewLeads

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec="utf-8"))
FIELDS = {f"field{number}": f"a value of field {number}" for number in range(9)}
IDS = st.lists(st.integers(1, 2_000) | st.integers(1, 2**53), max_size=60)


@given(fields=st.dictionaries(st.text("abc", min_size=1), SCALARS, max_size=9))
def test_fields_come_back_as_they_were(fields: dict[str, Any]) -> None:
    holding = Holding(0)
    entry = Build().entry(fields=dict(fields))
    holding.take(entry)
    held = holding.bytes
    holding.pack(entry, msgspec.json.encode(fields))
    assert holding.bytes <= held
    holding.unpack(entry)
    assert (entry.person.fields, holding.bytes) == (fields, held)
    assert [type(value) for value in entry.person.fields.values()] == [type(value) for value in fields.values()]
    holding.drop(entry)
    assert holding.bytes == 0


def test_packed_fields_take_less_and_leave_other_records_alone() -> None:
    holding = Holding(0)
    one, other = Build().entry(fields=dict(FIELDS)), Build().entry(fields=dict(FIELDS))
    holding.take(one)
    packed = msgspec.json.encode(FIELDS)
    holding.pack(one, packed)
    assert holding.bytes == len(one.line) + BYTES_BESIDE_LINE + len(packed)
    assert len(packed) < BYTES_OF_FIELD * len(FIELDS)
    assert other.person.fields == FIELDS
    holding.pack(other, packed)
    holding.unpack(one)
    one.person.fields["field0"] = "changed"
    holding.unpack(other)
    assert other.person.fields == FIELDS


def test_what_would_take_more_is_not_packed() -> None:
    holding = Holding(0)
    entry = Build().entry(fields={"a": "x" * 200})
    holding.take(entry)
    holding.pack(entry, msgspec.json.encode(entry.person.fields))
    assert entry.packed is None
    assert entry.person.fields == {"a": "x" * 200}


def test_nothing_is_packed_as_long_as_there_is_room() -> None:
    holding = Holding(3_000_000)
    entry = Build().entry(fields=dict(FIELDS))
    holding.take(entry)
    packed = msgspec.json.encode(FIELDS)
    holding.pack(entry, packed)
    assert entry.packed is None
    holding.take_bytes(1_000_000)
    holding.pack(entry, packed)
    assert entry.packed == packed


@given(noted=IDS, gone=IDS, asked=IDS)
def test_created_leads_are_known_one_by_one(noted: list[int], gone: list[int], asked: list[int]) -> None:
    new = NewLeads()
    for place, lead_id in enumerate(noted):
        new.note(lead_id, 100.0 + (new.REMEMBERED_SECONDS if place > len(noted) // 2 else 0.0))
    for lead_id in gone:
        new.give_up(lead_id)
    known = set(noted) - set(gone)
    assert {lead_id for lead_id in (*noted, *gone, *asked) if lead_id in new} == known


@pytest.mark.parametrize("lead_id", [None, "7", 7.0])
def test_what_is_not_a_number_is_no_lead(lead_id: object) -> None:
    new = NewLeads()
    new.note(7, 0.0)
    assert lead_id not in new
