"""What people read, frozen. Judge a change of these snapshots as somebody in marketing operations would."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest
from rich.console import Console

from destination_marketo_programs.delivery.member_calls import ProgramGoneError
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.dryrun.files import FilesForecast, GroupForecast
from destination_marketo_programs.dryrun.forecast import Forecast, forecast_lines
from destination_marketo_programs.dryrun.marketo import Change
from destination_marketo_programs.failures import Doing, failure_of, problem_text
from destination_marketo_programs.marketo.assets import Program
from destination_marketo_programs.marketo.errors import (
    ConfigurationFaultError,
    MarketoError,
    NotFoundError,
    QuotaReachedError,
    UnreachableError,
)
from destination_marketo_programs.model import Problem
from destination_marketo_programs.outcomes import Category, Outcome, Result
from destination_marketo_programs.plan.listings import JsonListing, TerminalListing, TextListing
from destination_marketo_programs.plan.summary import Findings, summarise
from destination_marketo_programs.protocol import UndecodableLineError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from syrupy.assertion import SnapshotAssertion

PROGRAMS = {
    1004: Program(1004, "Spring Expo 2026", "Event", "Tradeshow", "", None),
    1234: Program(1234, "Roadshow\x1b[2J 2026", "Default", "Roadshow", "", None),
}
FORECAST = Forecast(1_204, 3_310, 212, 7, 12, 14, 50, 1_213, 40_000, 0)
NAMES = {1004: '"Spring Expo 2026" (1004)'}
FILES = FilesForecast(
    (GroupForecast(1004, "Registered", 250_000, 3, 22, 0), GroupForecast(1234, "Invited", 1_500, 1, 6, 40)),
    190.5,
    2,
    3,
)
BY_FILE = FORECAST._replace(people=840, memberships=841, method="auto", files=FILES, program_names=NAMES)
NOW = datetime(2026, 11, 23, 15, tzinfo=UTC)


def outcome(
    key: str,
    result: str,
    status: str | None = "Registered",
    program: int | None = 1004,
    *,
    category: str | None = None,
    code: str | None = None,
    message: str | None = None,
    before: str | None = None,
    action: str | None = "updated",
    is_position: bool = False,
) -> Outcome:
    return Outcome(
        stream="badges",
        record_key=key,
        event="4711",
        program_id=program,
        program_status=status,
        outcome=Result(result),
        lead_action=action,
        category=None if category is None else Category(category),
        code=code,
        message=message,
        dry_run=True,
        record_key_is_position=is_position,
        from_status=before,
    )


OUTCOMES = [
    outcome("r-1", "created", action="created"),
    outcome("r-2", "created", "Invited", 1234, action="matched"),
    outcome("r-3", "updated", "Engaged", before="Registered"),
    outcome("r-4", "updated", before="Old one", message="The channel no longer has the present status."),
    outcome("r-5", "unchanged", before="Registered"),
    outcome("r-6", "unchanged", before="Attended"),
    outcome("r-7", "skipped", None, None, category="NO_PROGRAM_LINK", message="No entry of program_links matches."),
    outcome("r-8", "skipped", category="SUPERSEDED", message='The status "Engaged" would be set in its place.'),
    outcome("12", "rejected", category="MISSING_KEY", action=None, is_position=True),
    outcome(
        "r-10", "rejected", category="DUPLICATE_LEADS", code="1007", message="2 people in Marketo have this email."
    ),
    outcome("r\x07-11", "rejected", category="LEAD_NOT_FOUND", code="1004", program=99),
]


def findings(outcomes: Sequence[Outcome], forecast: Forecast = FORECAST) -> Findings:
    tally = Tally()
    tally.records_read = len(outcomes)
    for one in outcomes:
        tally.by_program[one.program_id, one.program_status, one.outcome] += 1
        if one.category:
            tally.by_category[one.outcome, one.category] += 1
            if one.code:
                tally.by_code[one.category, one.code] += 1
    tally.records_rejected = sum(one.outcome == "rejected" for one in outcomes)
    tally.unmapped_values.update({f"Perhaps {number}": 20 - number for number in range(12)})
    tally.unlinked_events.update({"4713": 85})
    changes = {Change(1004, "Registered", "Engaged"): 210, Change(1004, "Old one", "Registered"): 2}
    return Findings(tally, {**changes, Change(1004, None, "Registered"): 3_310}, forecast, PROGRAMS)


def on_terminal(outcomes: Sequence[Outcome], *, complete: bool = True, width: int = 110) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    listing = TerminalListing(console, with_stream=False)
    for one in outcomes:
        listing.add(one)
    listing.finish(findings(outcomes), complete=complete)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def test_text_for_a_file(snapshot: SnapshotAssertion) -> None:
    file = io.StringIO()
    listing = TextListing(file, PROGRAMS, with_stream=True)
    for one in OUTCOMES:
        listing.add(one)
    listing.finish(findings(OUTCOMES), complete=True)
    text = file.getvalue()
    assert "\x1b" not in text
    assert "\x07" not in text
    assert all(line == line.rstrip() for line in text.splitlines())
    assert text == snapshot


def test_text_on_a_terminal(snapshot: SnapshotAssertion) -> None:
    text = on_terminal(OUTCOMES)
    assert "\x1b" not in text
    assert text == snapshot


def test_a_terminal_shows_some_of_each_kind_and_says_so(snapshot: SnapshotAssertion) -> None:
    many = [outcome(f"r-{number}", "created") for number in range(1_000)]
    text = on_terminal([*many, *OUTCOMES[-2:]], complete=False)
    assert "These are 7 of 1,002 lines, up to 5 of each kind." in text
    assert text.count('created at "Registered"') == 5
    assert text == snapshot


def test_nothing_to_do(snapshot: SnapshotAssertion) -> None:
    file = io.StringIO()
    nothing = Findings(Tally(), {}, Forecast(0, 0, 0, 7, 0, 0, 50, 9, None, 0), PROGRAMS)
    TextListing(file, PROGRAMS, with_stream=False).finish(nothing, complete=True)
    assert file.getvalue() == snapshot


def test_json_is_one_object_a_line_and_then_the_sums(snapshot: SnapshotAssertion) -> None:
    file = io.BytesIO()
    listing = JsonListing(file)
    for one in OUTCOMES:
        listing.add(one)
    listing.finish(findings(OUTCOMES), complete=True)
    *lines, last = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["record_key"] for line in lines] == [one.record_key for one in OUTCOMES]
    assert lines[2] == snapshot(name="outcome")
    assert list(last) == ["summary"]
    assert last == snapshot(name="summary")


@pytest.mark.parametrize(
    "forecast",
    [
        FORECAST,
        FORECAST._replace(daily_call_budget=None, calls_used_today=1),
        FORECAST._replace(daily_call_budget=1_230, people=400, memberships=800, unaskable_people=12),
        FORECAST._replace(daily_call_budget=1_000, checks=1, people=0, memberships=0),
    ],
    ids=["fits", "no budget", "too little left", "nothing left"],
)
def test_forecast(snapshot: SnapshotAssertion, forecast: Forecast) -> None:
    assert "\n".join(forecast_lines(forecast)) == snapshot


@pytest.mark.parametrize(
    "forecast",
    [
        BY_FILE,
        BY_FILE._replace(calls_used_today=39_990),
        FORECAST._replace(method="auto", files=FilesForecast((), 0.0, 12, 14)),
        FORECAST._replace(method="bulk", files=FilesForecast((), 0.0, 12, 14)),
        FORECAST._replace(method="auto"),
    ],
    ids=["files", "files, too little left", "too few rows", "no row for a file", "ruled out"],
)
def test_forecast_where_files_may_go_out(snapshot: SnapshotAssertion, forecast: Forecast) -> None:
    assert "\n".join(forecast_lines(forecast)) == snapshot


def test_cost_by_file_is_that_of_the_files_and_of_what_is_left() -> None:
    assert BY_FILE.cost == (7, 28, 2, 3)
    assert BY_FILE.calls_over_rest == 7 + 840 + 841
    assert BY_FILE._replace(calls_used_today=39_990).calls_missing == 30
    assert BY_FILE.minutes == pytest.approx(190.5 / 60)
    assert BY_FILE._replace(people=1).cost.people == 1
    assert BY_FILE._replace(calls_per_20_seconds=1).minutes == pytest.approx(40 * 20 / 60)


def test_json_names_method_files_and_calls(snapshot: SnapshotAssertion) -> None:
    summary = json.loads(msgspec.json.encode(summarise(findings([], BY_FILE), complete=True)))
    assert {name: summary[name] for name in ("calls", "imports")} == snapshot


@pytest.mark.parametrize(
    ("calls", "minutes"), [(50, "less than a minute"), (150, "less than a minute"), (151, "about 2 minutes")]
)
def test_minutes_at_the_configured_pace(calls: int, minutes: str) -> None:
    forecast = FORECAST._replace(checks=0, people=calls, memberships=0)
    assert f"which takes {minutes} at 50 calls per 20 seconds" in "\n".join(forecast_lines(forecast))


@pytest.mark.parametrize(
    "error",
    [
        UndecodableLineError(17),
        QuotaReachedError("query_leads", "607", "secret text", "a1#b2"),
        QuotaReachedError("query_leads", "daily_call_budget"),
        ProgramGoneError(1004, NotFoundError("query_members", "610", None, "a1#b2")),
        UnreachableError("query_leads", "HTTP 503", None, "a1#b2"),
        ConfigurationFaultError("query_leads", "603", "secret text", "a1#b2"),
        MarketoError("query_leads", "9999", "secret text", "a1#b2"),
        OSError(5, "Input/output error"),
    ],
    ids=lambda error: f"{type(error).__name__} {getattr(error, 'code', '')}",
)
def test_failures(snapshot: SnapshotAssertion, error: MarketoError | UndecodableLineError | OSError) -> None:
    text = str(failure_of(error, NOW, Doing.PLAN))
    assert "secret text" not in text
    assert text == snapshot


def test_problems(snapshot: SnapshotAssertion) -> None:
    one = Problem(
        ("program_links", 0, "program_status"), '"attended" is not spelled as in Marketo.', 'Did you mean "Attended"?'
    )
    assert problem_text([one]) == snapshot(name="one")
    assert problem_text([one, Problem(("lead_sync",), "It is wrong.", "Mend it.")]) == snapshot(name="two")


def test_values_that_may_name_a_person_are_counted_and_not_shown() -> None:
    found = findings([])
    found.tally.unlinked_events.update({"Roe, Jane": 3, "ada@example.org": 2, "EVT-7": 2, "once": 1})
    assert summarise(found, complete=True).unlinked_events == {"4713": 85, "EVT-7": 2, "(not shown)": 6}
