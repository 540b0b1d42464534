"""Counts of a run, and the text that ends it."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.delivery.tally import MAX_DISTINCT_VALUES, Tally, count_values
from destination_marketo_programs.hints import explain


def summary(tally: Tally, *, dry_run: bool = False) -> list[str]:
    return tally.summary(dry_run=dry_run, calls="12 in this sync.", pace="3 records per second.").splitlines()


def test_an_empty_run_has_a_summary_too() -> None:
    assert summary(Tally()) == [
        "Read 0 records: 0 settled, 0 of them rejected.",
        "Outcomes: none.",
        "Calls: 12 in this sync.",
        "Pace: 3 records per second.",
    ]


def test_a_summary_tells_programs_reasons_and_what_to_do() -> None:
    tally = Tally()
    tally.records_read, tally.records_settled, tally.records_rejected = 12_345, 12_000, 3
    tally.by_program.update(
        {
            (1044, "Engaged", "created"): 10_000,
            (1044, "Engaged", "rejected"): 3,
            (9, "Attended", "updated"): 2,
            (None, None, "skipped"): 4,
        }
    )
    tally.by_category.update(
        {("rejected", "DUPLICATE_LEADS"): 2, ("rejected", "INVALID_EMAIL"): 1, ("skipped", "NO_PROGRAM_LINK"): 4}
    )
    tally.by_code.update({("DUPLICATE_LEADS", "1007"): 2})
    tally.unlinked_events["999"] = 4
    lines = summary(tally)
    assert lines[0] == "Read 12,345 records: 12,000 settled, 3 of them rejected."
    assert lines[1] == "Outcomes: created 10,000, rejected 3, skipped 4, updated 2."
    assert lines[2:4] == [
        '  program 9, status "Attended": updated 2',
        '  program 1044, status "Engaged": created 10,000, rejected 3',
    ]
    assert lines[4] == f"Skipped 4 × NO_PROGRAM_LINK: {explain('NO_PROGRAM_LINK', None).fix}"
    assert lines[5] == (
        f"Rejected 2 × DUPLICATE_LEADS (Marketo code 1007: 2): {explain('DUPLICATE_LEADS', '1007').fix}"
    )
    assert lines[6] == f"Rejected 1 × INVALID_EMAIL: {explain('INVALID_EMAIL', None).fix}"
    assert 'Events without a program link: "999" 4' in lines[7]


def test_one_category_may_be_skipped_and_rejected_and_is_told_apart() -> None:
    tally = Tally()
    tally.by_category.update({("rejected", "UNMAPPED_QUALIFIER"): 2, ("skipped", "UNMAPPED_QUALIFIER"): 5})
    lines = summary(tally)
    assert [line.split(":")[0] for line in lines[2:4]] == [
        "Skipped 5 × UNMAPPED_QUALIFIER",
        "Rejected 2 × UNMAPPED_QUALIFIER",
    ]


def test_several_codes_of_a_category_are_all_named() -> None:
    tally = Tally()
    tally.by_category["rejected", "FIELD_INVALID"] = 5
    tally.by_code.update({("FIELD_INVALID", "1006"): 2, ("FIELD_INVALID", "1001"): 3})
    (line,) = [line for line in summary(tally) if "FIELD_INVALID" in line]
    assert "(Marketo code 1001: 3, Marketo code 1006: 2)" in line
    assert line.endswith(explain("FIELD_INVALID", None).fix)


def test_a_dry_run_says_that_nothing_was_written() -> None:
    assert summary(Tally(), dry_run=True)[0].startswith("Dry run: nothing was written")


def test_frequent_values_are_shown_and_the_rest_counted() -> None:
    tally = Tally()
    for number in range(13):
        tally.unmapped_values[f"value {number:02d}"] = 100 - number
    (line,) = [line for line in summary(tally) if line.startswith("Qualifier values")]
    assert '"value 00" 100' in line
    assert '"value 09" 91' in line
    assert "value 10" not in line
    assert line.endswith(", 3 more.")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Yes", '"Yes" 2.'),
        ("ada@example.org", "1 value not shown."),
        ("Roe, Jane", "1 value not shown."),
        ("call me +1 555 010 9999", "1 value not shown."),
    ],
)
def test_a_value_that_may_name_a_person_is_not_shown(value: str, shown: str) -> None:
    tally = Tally()
    tally.unmapped_values[value] = 2
    (line,) = [line for line in summary(tally) if line.startswith("Qualifier values")]
    assert line.endswith(shown)


@given(st.lists(st.text(max_size=3), max_size=40))
def test_values_are_counted_by_name(values: list[str]) -> None:
    counter: Counter[str] = Counter()
    count_values(counter, values)
    assert counter == Counter(values)


def test_memory_does_not_grow_with_ever_new_values() -> None:
    """Where a free text or an id was mapped as qualifier, every record has another one."""
    counter: Counter[str] = Counter()
    for number in range(MAX_DISTINCT_VALUES + 500):
        Tally.note_value(counter, str(number))
    Tally.note_value(counter, "7")
    assert len(counter) == MAX_DISTINCT_VALUES + 1
    assert counter["(others)"] == 500
    assert counter["7"] == 2
    assert sum(counter.values()) == MAX_DISTINCT_VALUES + 501
