"""Stored syncs to make a report of, and what the report has to say, counted apart from the code under test."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.hints import hint_text
from destination_marketo_programs.outcomes import Category, Outcome, Result, record_ref
from destination_marketo_programs.report import write_report
from destination_marketo_programs.storage import open_store
from destination_marketo_programs.storage.runs import (
    ProgramInfo,
    ReconciledLead,
    ReconciledProgram,
    ReconcileFile,
    Verdicts,
    new_run,
    write_reconciled,
    write_run,
)

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
STREAM = "event_leads"
EVENTS = {"4711": "Cloud Expo Berlin", "4712": "Data Summit Lisbon", "4713": "Partner Day"}
PROGRAMS = {1234: "Attended", 1301: "Visited Booth", 1420: "Engaged"}
PROGRAM_NAMES = {1234: "Spring Expo 2026", 1301: "Roadshow 2026", 1420: "Partner Program"}
APP = "https://app-ab12.marketo.com"
FIRST_NAMES = ("Ada", "Bo", "Chiara", "Dmitri", "Elif", "Femi", "Grace", "Hugo", "Ines", "Jun")
LAST_NAMES = ("Lovelace", "Andersen", "Rossi", "Petrov", "Yilmaz", "Okafor", "Hopper", "Martin", "Silva", "Tanaka")
COMPANIES = ("Northwind", "Globex", "Initech", "Umbrella Labs", "Stark & Sons", "Wayne Logistics")
REJECTIONS: tuple[tuple[Category, str | None, str, dict[str, Any] | None, bool], ...] = (
    (
        Category.UNMAPPED_QUALIFIER,
        None,
        "No mapping fits.",
        {"qualifier": "demo", "values": ["Later"]},
        True,
    ),
    (Category.DUPLICATE_LEADS, "1007", "Multiple lead match lookup criteria", {"lead_ids": [100121, 100388]}, True),
    (Category.INVALID_EMAIL, None, "The address has no domain.", None, False),
    (Category.FIELD_INVALID, "1001", "Invalid value", {"field": "annualRevenue", "value": "12 apples"}, False),
    (Category.UNMAPPED_QUALIFIER, None, "No mapping fits.", {"qualifier": "demo", "values": [""]}, True),
    (Category.PARTITION_DENIED, "1008", "Partition 'EMEA' access denied", None, True),
    (Category.MISSING_KEY, None, "The record has neither an email nor a Marketo lead id.", None, False),
)
HOSTILE_NAME = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
HOSTILE_EVENT = "</script><script>window.hacked=1</script> \u202eevent \"quoted\" 'x' & <b>\u2028"
LONG_NAME = "N" * 10_000

Made = list[tuple[Outcome, dict[str, Any]]]


class Sample(NamedTuple):
    """A written report and the outcomes that count in it."""

    folder: Path
    page: Path
    current: dict[tuple[str, int | None], Outcome]

    def leads(self, **members: Any) -> Counter[str]:
        """Leads by what became of them, seen through outcomes with these members only."""
        results: dict[str, set[str]] = defaultdict(set)
        for (key, _), outcome in self.current.items():
            if all(getattr(outcome, name) == wanted for name, wanted in members.items()):
                results[key].add(outcome.outcome)
        return Counter(map(kind_of, results.values()))

    def keys(self, **members: Any) -> set[str]:
        """Records with an outcome that has these members."""
        return {
            key
            for (key, _), outcome in self.current.items()
            if all(getattr(outcome, name) == wanted for name, wanted in members.items())
        }


def kind_of(results: set[str]) -> str:
    if "rejected" in results:
        return "rejected"
    if results & {"created", "updated", "imported"}:
        return "delivered"
    return "unchanged" if "unchanged" in results else "skipped"


def lead_data(number: int, **others: Any) -> dict[str, Any]:
    first, last = FIRST_NAMES[number % 10], LAST_NAMES[number * 7 % 10]
    company = COMPANIES[number % len(COMPANIES)]
    domain = company.split()[0].lower() + ".example"
    data: dict[str, Any] = {
        "id": f"lead-{number:05d}",
        "firstName": first,
        "lastName": last,
        "email": f"{first}.{last}{number}@{domain}".lower(),
        "company": {"name": company},
        "annualRevenue": "12 apples",
        "badge": 1884518522168426,
        "followup": "Later",
    }
    return data | others


def outcomes_of(number: int, at: str) -> list[Outcome]:
    """One outcome for most leads; two, for two programs, for every ninth."""
    key = f"lead-{number:05d}"
    event = list(EVENTS)[number % 7 % 3]
    program = list(PROGRAMS)[number % 5 % 3]
    made = Outcome(STREAM, key, event, program, PROGRAMS[program], Result.CREATED, at=at)
    made.request_id, made.record_ref = f"a41c#{number // 300:x}", record_ref("", STREAM, key)
    if number % 41 == 3:
        made.event, made.program_id, made.program_status = "Hallway chats", None, None
        made.outcome, made.category = Result.SKIPPED, Category.NO_PROGRAM_LINK
    elif number % 29 == 4:
        made.outcome, made.category = Result.SKIPPED, Category.BELOW_SCAN_THRESHOLD
        made.detail = {"scans": 1, "threshold": 2}
    elif number % 17 == 5:
        made.outcome = Result.REJECTED
        made.category, made.code, made.message, made.detail, made.retryable = REJECTIONS[number % len(REJECTIONS)]
        if made.code is None:
            made.request_id = None
    elif number % 6 == 1:
        made.outcome, made.lead_id = Result.UNCHANGED, 40_000 + number
    else:
        made.outcome, made.lead_id = (Result.UPDATED if number % 3 else Result.CREATED), 40_000 + number
        made.sent = {"email": "a", "firstName": "b"}
    made.hint = hint_text(made.category, made.code) if made.category else None
    if number % 9 or made.program_id is None:
        return [made]
    other = next(each for each in PROGRAMS if each != program)
    second = Outcome(STREAM, key, event, other, PROGRAMS[other], Result.UPDATED, 40_000 + number, at=at)
    second.record_ref = made.record_ref
    return [made, second]


def write_sync(folder: Path, start: datetime, run_id: str, made: Made) -> None:
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=start, run_id=run_id)
    for outcome, data in made:
        store.add(outcome)
        if outcome.outcome == "rejected":
            message = {"type": "RECORD", "record": {"stream": outcome.stream, "emitted_at": 1, "data": data}}
            store.add_rejected(json.dumps(message).encode(), [outcome])
    store.close()
    run = new_run(run_id=run_id, started=start, instance="123-ABC-456", version="0.2.0")
    run.app_address, run.events = APP, EVENTS
    run.programs = [ProgramInfo(i, name, "Event", "Expo", f"{APP}/#PG{i}A1") for i, name in PROGRAM_NAMES.items()]
    run.ended, run.ending = start.strftime("%Y-%m-%dT%H:%M:%SZ"), "complete"
    write_run(store, run, start)


def make_sample(folder: Path) -> Sample:
    """Four syncs; the last sends what the third rejected as duplicates again, with success."""
    current: dict[tuple[str, int | None], Outcome] = {}
    number = 0
    third: list[Outcome] = []
    for day, size in enumerate((260, 410, 330)):
        start = START + timedelta(days=day)
        made: Made = []
        for _ in range(size):
            at = (start + timedelta(seconds=number % 600)).strftime("%Y-%m-%dT%H:%M:%SZ")
            made += [(outcome, lead_data(number)) for outcome in outcomes_of(number, at)]
            number += 1
        if day == 1:
            made += hostile_outcomes((start + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
        write_sync(folder, start, f"run{day}", made)
        third = [outcome for outcome, _ in made]
        current.update({(outcome.record_key, outcome.program_id): outcome for outcome in third})
    again: Made = []
    for outcome in third:
        if outcome.category == Category.DUPLICATE_LEADS:
            fixed = Outcome(
                STREAM, outcome.record_key, outcome.event, outcome.program_id, outcome.program_status, Result.CREATED
            )
            fixed.lead_id, fixed.at, fixed.record_ref = 7, "2026-11-25T14:00:00Z", outcome.record_ref
            again.append((fixed, {}))
            current[fixed.record_key, fixed.program_id] = fixed
        elif outcome.category == Category.PARTITION_DENIED:
            again.append((outcome, lead_data(int(outcome.record_key.removeprefix("lead-")))))
    write_sync(folder, START + timedelta(days=2, hours=5), "run3", again)
    missing = next(each for each in current.values() if each.outcome == "created" and each.program_id == 1234)
    write_reconciled(
        open_store(LocalStorage(path=str(folder)), sync_started_at=START, run_id="rec"),
        ReconcileFile(
            at="2026-11-26T06:00:00Z",
            instance="123-ABC-456",
            run_id="rec",
            programs=[ReconciledProgram(1234, "Spring Expo 2026", Verdicts(as_sent=300, missing=1), 12)],
            leads=[ReconciledLead(1234, "missing", 40_001, missing.record_ref, "Attended")],
        ),
    )
    page = folder / "report.html"
    write_report([str(folder)], page, now=NOW)
    return Sample(folder, page, current)


def many_syncs(folder: Path, count: int) -> Path:
    """So many syncs of the same thirty leads, some of them rejected in some; returns the page."""
    for sync in range(count):
        start = START + timedelta(hours=sync)
        at = start.strftime("%Y-%m-%dT%H:%M:%SZ")
        made: Made = []
        for number in range(30):
            for outcome in outcomes_of(number * 17 + 5 if (number + sync) % 7 == 0 else number * 17 + 6, at):
                outcome.record_key = f"lead-{number:05d}"
                outcome.record_ref = record_ref("", STREAM, outcome.record_key)
                made.append((outcome, lead_data(number)))
        write_sync(folder, start, f"run{sync}", made)
    page = folder / "report.html"
    write_report([str(folder)], page, now=NOW)
    return page


def hostile_outcomes(at: str) -> Made:
    made = []
    for key, name, message in (
        ("hostile-1", HOSTILE_NAME, "'\"><svg onload=window.hacked=1>"),
        ("hostile-2", "\u202eright to left\u200f", '=HYPERLINK("http://x")'),
        ("hostile-3", LONG_NAME, "{{ 7*7 }} ${7*7} javascript:window.hacked=1"),
    ):  # fmt: skip - one case a line
        outcome = Outcome(STREAM, key, HOSTILE_EVENT, 1234, "Attended", Result.REJECTED, at=at)
        outcome.category, outcome.code, outcome.message = Category.RECORD_REFUSED, "1003", message
        outcome.record_ref = record_ref("", STREAM, key)
        made.append((outcome, {"id": key, "name": name, "email": f"{key}@example.org", "x": '=cmd("x")'}))
    return made
