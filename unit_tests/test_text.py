"""What may be shown of a value, and how."""

from __future__ import annotations

import time
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.text import (
    REPLACEMENT,
    Names,
    codes,
    counted,
    did_you_mean,
    encodable,
    folded,
    frequent,
    joined,
    listed,
    named,
    nearest,
    numbered,
    on_one_line,
    printable,
    quoted,
    shareable,
)


class Thing(NamedTuple):
    name: str
    id: int


ANY_TEXT = st.text(st.characters(exclude_categories=()))


@given(ANY_TEXT)
def test_whatever_is_shown_stays_on_one_line_and_can_be_encoded(text: str) -> None:
    shown = printable(text)
    assert len(shown) == len(text)
    assert shown.splitlines() in ([], [shown])
    shown.encode()


@given(ANY_TEXT, st.integers(1, 100))
def test_a_cut_is_marked_and_keeps_the_length(text: str, longest: int) -> None:
    shown = on_one_line(text, longest)
    assert len(shown) <= longest + 1
    assert shown.endswith("…") or len(text) <= longest


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zoë 株式会社", "Zoë 株式会社"),
        ("a\u00a0b\tc", "a b c"),
        ("red\x1b[31m", f"red{REPLACEMENT}[31m"),
        ("abc\u202edef", f"abc{REPLACEMENT}def"),
        ("line\nbreak", f"line{REPLACEMENT}break"),
        ("half \ud83d of one", f"half {REPLACEMENT} of one"),
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_what_a_terminal_would_obey_is_replaced(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_names_in_messages() -> None:
    assert quoted("Roadshow") == '"Roadshow"'
    assert quoted("x" * 200) == f'"{"x" * 80}…"'
    assert named(Thing("Spring Expo", 1004)) == '"Spring Expo" (1004)'
    assert listed(["a", "b"]) == '"a", "b"'
    assert listed(map(str, range(25)), most=2) == '"0", "1" and 23 more'
    assert codes(["a", "b"]) == "`a`, `b`"
    assert joined(["a"]) == "a"
    assert joined(["a", "b", "c"]) == "a, b and c"
    assert counted(1, "record") == "1 record"
    assert counted(1204, "record") == "1,204 records"
    assert counted(2, "person", "people") == "2 people"
    assert did_you_mean("Attended") == 'Did you mean "Attended"? '
    assert did_you_mean(None) == ""


def test_places_in_a_list_are_counted_from_one_and_runs_put_together() -> None:
    assert numbered([3], "link") == "link 4"
    assert numbered([1, 0], "link") == "links 1 and 2"
    assert numbered([0, *range(3, 33), 39], "link") == "links 1, 4 to 33 and 40"
    assert numbered(range(0, 200, 2), "link", most=2) == "links 1, 3 and others"


def test_a_lone_surrogate_is_written_out() -> None:
    assert encodable("a\ud83d") == "a\\ud83d"
    assert encodable("Zoë") == "Zoë"


@pytest.mark.parametrize(
    "value",
    [
        "4711",
        "Yes",
        "n/a",
        "Later",
        "Follow-up",
        "Not interested",
        "very hot lead",
        "Q&A",
        "EVT-2026-04",
        "evt_77",
        "VIP",
        "Spring Summit 2026",
        "Q3 Webinar",
        "2026-04",
        "A+",
        "7f3c8a52-55d1-4d6b-9d2c-2f0a5f3f9b10",
        "7018c00000AbCdE",
    ],
)
def test_codes_and_options_may_be_shown(value: str) -> None:
    assert shareable(value)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "   ",
        "Roe, Jane",
        "Jane Roe",
        "jane.roe",
        "jane@x.example",
        "call me +1 555 010 9999",
        "+15550109999",
        "555-010-9999",
        "5550109999",
        "078-05-1120",
        "1984-02-01",
        "Please call me back after the summer",
        "12 Main Street",
        '{"name":"Jane"}',
        "Jane\nRoe",
        "x" * 41,
    ],
)
def test_what_may_be_a_person_is_not_shown(value: str) -> None:
    assert not shareable(value)


def test_values_are_shown_only_if_several_records_share_them() -> None:
    counts = {"Later": 21, "No": 3, "Maybe": 2, "Once": 1, "Roe, Jane": 5}
    assert frequent(counts, 2) == '"Later" 21, "No" 3, 1 more, 2 values not shown'
    assert frequent({"Once": 1}, 5) == "1 value not shown"
    assert frequent({}, 5) == ""


def test_the_nearest_name_is_found_without_case_and_spaces() -> None:
    statuses = ["Registered", "Attended", "No Show"]
    assert nearest("attended", statuses) == "Attended"
    assert nearest(" no  show ", statuses) == "No Show"
    assert nearest("Atended", statuses) == "Attended"
    assert nearest("Purchased", statuses) is None
    assert nearest("Lead Sourc", {"Lead Source": "leadSource"}) == "leadSource"
    assert nearest("anything", []) is None
    assert folded("  No   Show ") == "no show"


def test_a_thousand_mistyped_names_of_a_thousand_take_no_time() -> None:
    names = Names(f"Status number {number}" for number in range(1_000))
    started = time.perf_counter()
    guesses = [names.nearest(f"Statsu nubmer {number}") for number in range(1_000)]
    assert time.perf_counter() - started < 10
    assert guesses[0] is not None
    assert guesses[-1] is None, "nobody reads the thousandth guess"
