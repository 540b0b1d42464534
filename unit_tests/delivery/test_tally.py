"""Counts of a run, and the text that ends it."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.delivery.loop import missing_from
from destination_marketo_programs.delivery.tally import MAX_DISTINCT_VALUES, OTHERS, Tally, note_value
from destination_marketo_programs.hints import explain
from destination_marketo_programs.outcomes import Category, Result


class Known(NamedTuple):
    name: str
    id: int


def summary(tally: Tally, *, dry_run: bool = False) -> list[str]:
    return tally.summary(
        dry_run=dry_run,
        calls="12 in this sync.",
        pace="3 records per second.",
        programs={1044: Known("Road show", 1044)},
    ).splitlines()


def test_an_empty_run_has_a_summary_too() -> None:
    assert summary(Tally()) == [
        "0 records processed: 0 delivered or skipped, 0 rejected.",
        "Leads: 0 delivered, 0 unchanged, 0 skipped, 0 rejected.",
        "Outcomes by program: 0 created, 0 updated, 0 unchanged, 0 imported, 0 skipped, 0 rejected.",
        "Calls: 12 in this sync.",
        "Pace: 3 records per second.",
    ]


def test_a_summary_tells_programs_reasons_and_what_to_do() -> None:
    tally = Tally(records_read=12_345, records_settled=12_000, records_rejected=3)
    tally.leads_delivered, tally.leads_unchanged = 11_000, 993
    tally.by_program.update(
        {
            (1044, "Engaged", Result.CREATED): 10_000,
            (1044, "Engaged", Result.REJECTED): 3,
            (9, "Attended", Result.UPDATED): 2,
            (None, None, Result.SKIPPED): 4,
        }
    )
    tally.count_refusal(Result.REJECTED, Category.DUPLICATE_LEADS, "1007", None)
    tally.count_refusal(Result.REJECTED, Category.DUPLICATE_LEADS, "1007", None)
    tally.count_refusal(Result.REJECTED, Category.INVALID_EMAIL, None, None)
    for _ in range(4):
        tally.count_refusal(Result.SKIPPED, Category.NO_PROGRAM_LINK, None, None)
    tally.unlinked_events["999"] = 4
    lines = summary(tally)
    assert lines[:4] == [
        "12,000 records processed: 11,997 delivered or skipped, 3 rejected.",
        "345 more records read and not settled: the next sync sends them again.",
        "Leads: 11,000 delivered, 993 unchanged, 4 skipped, 3 rejected.",
        "Outcomes by program: 10,000 created, 2 updated, 0 unchanged, 0 imported, 4 skipped, 3 rejected.",
    ]
    assert lines[4:6] == [
        '  program 9, "Attended": 2 updated',
        '  "Road show" (1044), "Engaged": 10,000 created, 3 rejected',
    ]
    skipped, merged, wrong = (
        explain(*of) for of in (("NO_PROGRAM_LINK", None), ("DUPLICATE_LEADS", "1007"), ("INVALID_EMAIL", None))
    )
    assert lines[6:9] == [
        f"Skipped 4: {skipped.title} (NO_PROGRAM_LINK). {skipped.fix}",
        f"Rejected 2: {merged.title} (DUPLICATE_LEADS, Marketo code 1007). {merged.fix}",
        f"Rejected 1: {wrong.title} (INVALID_EMAIL). {wrong.fix}",
    ]
    assert 'Events without a program link: "999" 4' in lines[9]


def test_one_category_may_be_skipped_and_rejected_and_is_told_apart() -> None:
    tally = Tally()
    tally.by_category[Result.REJECTED, Category.UNMAPPED_QUALIFIER] = 2
    tally.by_category[Result.SKIPPED, Category.UNMAPPED_QUALIFIER] = 5
    lines = [line.split(":")[0] for line in summary(tally) if "UNMAPPED_QUALIFIER" in line]
    assert lines == ["Skipped 5", "Rejected 2"]


def test_several_codes_of_a_category_are_told_apart() -> None:
    tally = Tally()
    for code in ("1006", "1001", "1006", "1001", "1001"):
        tally.count_refusal(Result.REJECTED, Category.FIELD_INVALID, code, None)
    lines = [line for line in summary(tally) if "FIELD_INVALID" in line]
    assert [line.partition(". ")[0] for line in lines] == [
        f"Rejected {count}: {explain('FIELD_INVALID', code).title} (FIELD_INVALID, Marketo code {code})"
        for count, code in ((3, "1001"), (2, "1006"))
    ]


def test_excluded_domains_unreadable_ids_and_shared_emails_are_told() -> None:
    tally = Tally(unreadable_ids=1, shared_emails=2, remembered=3)
    for _ in range(2):
        tally.count_refusal(Result.SKIPPED, Category.EXCLUDED, None, {"domain": "example.com"})
    text = "\n".join(summary(tally))
    assert "Excluded email domains: example.com 2." in text
    assert "1 record had a Marketo lead ID that is not a number, so only the lookup field was used." in text
    assert "2 people with different keys share an email" in text
    assert "3 of the outcomes are unchanged since an earlier sync" in text


def test_a_dry_run_says_that_nothing_was_written() -> None:
    assert summary(Tally(), dry_run=True)[0].startswith("Dry run: nothing was written")


def test_frequent_values_are_shown_and_the_rest_counted() -> None:
    tally = Tally()
    for number in range(13):
        tally.unmapped_values[f"value-{number:02d}"] = 100 - number
    (line,) = [line for line in summary(tally) if line.startswith("Qualifier values")]
    assert '"value-00" 100' in line
    assert '"value-09" 91' in line
    assert "value-10" not in line


@pytest.mark.parametrize("value", ["ada@example.org", "Roe, Jane", "call me +1 555 010 9999"])
def test_a_value_that_may_be_a_person_is_not_shown(value: str) -> None:
    tally = Tally()
    tally.unmapped_values[value] = 1
    tally.unlinked_events[value] = 1
    assert value not in "\n".join(summary(tally))


@given(st.lists(st.text(max_size=3), max_size=40))
def test_values_are_counted_by_name(values: list[str]) -> None:
    counter: Counter[str] = Counter()
    for value in values:
        note_value(counter, value)
    assert counter == Counter(values)


def test_memory_does_not_grow_with_ever_new_values() -> None:
    """If a free text or an id was mapped as qualifier, every record has another one."""
    counter: Counter[str] = Counter()
    for number in range(MAX_DISTINCT_VALUES + 500):
        note_value(counter, str(number))
    note_value(counter, "7")
    assert len(counter) == MAX_DISTINCT_VALUES + 1
    assert counter[OTHERS] == 500
    assert counter["7"] == 2
    assert sum(counter.values()) == MAX_DISTINCT_VALUES + 501


@pytest.mark.parametrize(
    ("tally", "owed"),
    [
        (Tally(), ""),
        (Tally(records_read=3, records_settled=3, states_read=1, states_echoed=1), ""),
        (Tally(records_read=3, records_settled=2), "1 unsettled record"),
        (Tally(outcomes_due=2), "2 outcomes missing"),
        (Tally(by_program=Counter({(1, "x", Result.CREATED): 1})), "1 outcome too many"),
        (Tally(states_read=2), "2 STATE messages not acknowledged"),
        (
            Tally(records_read=5, outcomes_due=9, states_read=1),
            "5 unsettled records, 9 outcomes missing, 1 STATE message not acknowledged",
        ),
    ],
)
def test_what_a_run_owes_is_said(tally: Tally, owed: str) -> None:
    assert missing_from(tally) == owed
