"""Records that share a row: what is sent for all of them, and what each of them wanted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

if TYPE_CHECKING:
    from destination_marketo_programs.model import LeadFields
    from unit_tests.delivery.conftest import Build

fields = st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, "", "x", "y", 1]), max_size=3)


@given(first=fields, later=st.lists(fields, max_size=6))
def test_later_fields_win_and_every_record_stays_with_its_own(
    build: Build, first: LeadFields, later: list[LeadFields]
) -> None:
    """If the row is refused, each part is sent alone: a record under fields that are not its own would be misjudged."""
    row = build.lead_row(**first)
    items = list(row.items())
    merged = dict(first)
    for each in later:
        item = build.item(fields=each)
        items.append(item)
        row.add(item, fields_count=True)
        merged |= each
    assert row.fields == merged
    assert json.loads(row.encoded) == {"email": "ada@example.org", **merged}
    assert [id(item) for item in row.items()] == [id(item) for item in items]
    for part, members in row.parts:
        assert all(item.person.fields == part for item in members)


def test_fields_of_later_records_do_not_count_where_existing_leads_stay_untouched(build: Build) -> None:
    row = build.lead_row(firstName="Ada")
    row.add(build.item(fields={"firstName": "Somebody else"}), fields_count=False)
    assert row.fields == {"firstName": "Ada"}
    assert len(row.parts) == 1
    assert len(row.items()) == 2


def test_equal_records_do_not_make_a_row_grow(build: Build) -> None:
    row = build.lead_row(firstName="Ada")
    for _ in range(100):
        row.add(build.item(fields={"firstName": "Ada"}), fields_count=True)
    assert len(row.parts) == 1


def test_membership_fields_are_listed_once_for_neighbours_that_agree(build: Build) -> None:
    row = build.member_row(7, {"code": "a"}, {}, {"code": "a"}, {"code": "b"}, {"code": "a"})
    assert row.data_parts() == [{"code": "a"}, {"code": "b"}, {"code": "a"}]
    assert row.has_data()
    assert not build.member_row(7, {}, {}).has_data()
    assert build.member_row(7).data_parts() == []


def test_a_record_weighs_more_than_its_line(build: Build) -> None:
    """Memory is bounded by this sum, and Python's objects cost more than the text."""
    item = build.item()
    assert item.size() > len(item.line) + 1000
