"""Verdicts: every pair of statuses has exactly one, and it is the one that the steps say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.marketo.assets import NOT_IN_PROGRAM, Status
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.reconcile.expected import ProgramSize
from destination_marketo_programs.reconcile.plan import BYTES_PER_MEMBER, MAX_READ_CALLS, plan_reads, read_calls
from destination_marketo_programs.reconcile.verdicts import Ranks, Verdict, import_result, judge, marketo_time

NAMES = ("Invited", "Registered", "Attended", "No Show", "Engaged")
steps = st.lists(st.integers(1, 5), min_size=len(NAMES), max_size=len(NAMES))
success = st.lists(st.booleans(), min_size=len(NAMES), max_size=len(NAMES))
name = st.sampled_from(NAMES)


def channel(levels: list[int], successes: list[bool]) -> list[Status]:
    return [
        Status(one, level * 10, hidden=False, success=good)
        for one, level, good in zip(NAMES, levels, successes, strict=True)
    ]


@given(steps, success, name, name)
def test_a_member_s_verdict_follows_the_steps(levels: list[int], good: list[bool], sent: str, held: str) -> None:
    step = dict(zip(NAMES, levels, strict=True))
    verdict = judge(sent, held, Ranks(channel(levels, good)))
    if sent == held:
        assert verdict is Verdict.AS_SENT
    else:
        difference = step[held] - step[sent]
        assert verdict is (Verdict.AHEAD if difference > 0 else Verdict.BEHIND if difference else Verdict.BESIDE)


@given(steps, success, name, name)
def test_two_members_cannot_both_be_ahead_of_each_other(
    levels: list[int], good: list[bool], one: str, other: str
) -> None:
    ranks = Ranks(channel(levels, good))
    pair = {judge(one, other, ranks), judge(other, one, ranks)}
    assert pair in ({Verdict.AS_SENT}, {Verdict.BESIDE}, {Verdict.AHEAD, Verdict.BEHIND})


@given(steps, success, st.lists(name, min_size=1))
def test_the_expectation_is_the_highest_status_in_whichever_order(
    levels: list[int], good: list[bool], sent: list[str]
) -> None:
    statuses = {status.name: (status.step, status.success) for status in channel(levels, good)}
    ranks = Ranks(channel(levels, good))
    highest = ranks.highest(sent)
    assert highest == ranks.highest(sent[::-1])
    assert statuses[highest] == max(statuses[one] for one in sent)


def test_of_equal_steps_success_and_then_the_later_one_is_expected() -> None:
    ranks = Ranks(channel([1, 3, 3, 3, 2], [False, False, True, False, False]))
    assert ranks.highest(["Registered", "Attended", "No Show"]) == "Attended"
    assert ranks.highest(["No Show", "Registered"]) == "No Show"


@pytest.mark.parametrize("held", [None, NOT_IN_PROGRAM])
def test_who_is_not_in_the_program_is_missing(held: str | None) -> None:
    assert judge("Invited", held, Ranks()) is Verdict.MISSING


def test_a_person_who_does_not_exist_is_gone_whatever_else_is_known() -> None:
    assert judge("Invited", None, Ranks(), exists=False) is Verdict.PERSON_GONE


def test_a_status_that_the_channel_lost_cannot_be_placed() -> None:
    assert judge("Invited", "Old name", Ranks(channel([1] * 5, [False] * 5))) is Verdict.BESIDE
    assert judge("Old name", "Old name", Ranks()) is Verdict.AS_SENT


BEGAN = datetime(2026, 11, 23, 10, 0, 0, 700_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "updated", "result"),
    [
        ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00Z", Result.CREATED),
        ("2026-11-23T10:04:00Z", "2026-11-24T10:00:00Z", Result.CREATED),
        ("2026-11-23T09:59:59Z", "2026-11-23T10:00:00Z", Result.UPDATED),
        ("2026-11-01T00:00:00Z", "2026-11-23T09:59:59Z", Result.UNCHANGED),
        ("2026-11-01T00:00:00Z", "", Result.UNCHANGED),
        ("2026-11-23T05:00:00-0500", "", Result.CREATED),
        ("", "2026-11-23T10:00:00Z", None),
        ("yesterday", None, None),
    ],
)
def test_an_import_is_told_by_marketo_s_dates(since: str, updated: str | None, result: Result | None) -> None:
    assert import_result(since, updated, BEGAN) is result


@given(st.integers(-10_000_000, 10_000_000), st.timedeltas(timedelta(0), timedelta(days=90)))
def test_later_dates_never_make_less_of_an_import(since: int, later: timedelta) -> None:
    order = [Result.UNCHANGED, Result.UPDATED, Result.CREATED]
    member_since = BEGAN + timedelta(seconds=since)
    results = [
        import_result(member_since.isoformat(), updated.isoformat(), BEGAN)
        for updated in (member_since, member_since + later)
    ]
    assert all(result in order for result in results)
    first, second = (order.index(result) for result in results if result is not None)
    assert first <= second


def test_times_without_a_zone_are_in_utc() -> None:
    assert marketo_time("2026-11-23T10:00:00") == marketo_time("2026-11-23T10:00:00Z")


sizes = st.lists(
    st.builds(ProgramSize, st.integers(1, 10_000), st.integers(0, 30_000), st.integers(0, 30_000)),
    unique_by=lambda size: size.program_id,
    max_size=40,
)


@given(sizes, st.integers(0, 50_000_000))
def test_every_program_is_read_once_and_within_its_bounds(programs: list[ProgramSize], most: int) -> None:
    plan = plan_reads(programs, most)
    extracted = [program for group in plan.extracts for program in group]
    assert sorted([*extracted, *plan.reads]) == sorted(size.program_id for size in programs)
    assert all(0 < len(group) <= 10 for group in plan.extracts)
    by_id = {size.program_id: size for size in programs}
    assert sum(by_id[program].leads + by_id[program].keys for program in extracted) * BYTES_PER_MEMBER <= most
    assert {program for program in plan.reads if read_calls(by_id[program]) > MAX_READ_CALLS} == set(plan.too_large)
    # A small program has a place in an extract that is needed anyway, and is never the reason for one.
    assert all(any(read_calls(by_id[program]) > MAX_READ_CALLS for program in group) for group in plan.extracts)


@pytest.mark.parametrize(
    ("leads", "extracts"), [([2_400], []), ([2_401], [[1]]), ([2_401, 500, 300], [[1, 2]]), ([20_000] + [900] * 9, 1)]
)
def test_2400_leads_are_read_by_id_and_more_by_extract(leads: list[int], extracts: list[list[int]] | int) -> None:
    plan = plan_reads([ProgramSize(number, count, 0) for number, count in enumerate(leads, 1)], 50_000_000)
    assert (len(plan.extracts) if isinstance(extracts, int) else plan.extracts) == extracts
