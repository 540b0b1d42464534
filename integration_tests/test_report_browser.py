"""The report page in headless Chromium: what it shows, how it is used, what hostile values can do, and axe."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.hints import hint_text
from destination_marketo_programs.outcomes import Outcome
from destination_marketo_programs.report import write_report
from destination_marketo_programs.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

START = datetime(2026, 11, 23, 9, 0, 0, tzinfo=UTC)
WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
EVENTS = ("Cloud Expo Berlin", "Data Summit Lisbon", "Partner Day")
PROGRAMS = {1234: "Attended", 1301: "Visited Booth", 1420: "Engaged"}
FIRST_NAMES = ("Ada", "Bo", "Chiara", "Dmitri", "Elif", "Femi", "Grace", "Hugo", "Ines", "Jun")
LAST_NAMES = ("Lovelace", "Andersen", "Rossi", "Petrov", "Yilmaz", "Okafor", "Hopper", "Martin", "Silva", "Tanaka")
COMPANIES = ("Northwind", "Globex", "Initech", "Umbrella Labs", "Stark & Sons", "Wayne Logistics")
REJECTIONS = (
    ("DUPLICATE_LEADS", "1007", "Multiple lead match lookup criteria"),
    ("INVALID_EMAIL", None, "The address has no domain."),
    ("FIELD_INVALID", "1001", "Invalid value 'forty' specified for field 'Number of Employees'"),
    ("DUPLICATE_LEADS", "1007", "Multiple lead match lookup criteria"),
    ("PARTITION_DENIED", "1008", "Partition 'EMEA' access denied"),
    ("MISSING_KEY", None, "The record has neither an email nor a Marketo lead id."),
)
HOSTILE_NAME = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
HOSTILE_EVENT = "</script><script>window.hacked=1</script> \u202eevent \"quoted\" 'x' & <b>\u2028"
LONG_NAME = "N" * 10_000


class Sample(NamedTuple):
    """A written report and what it was made of. `latest` is computed here, apart from the code under test."""

    page: Path
    csv: Path
    latest: dict[tuple[str, int | None], Outcome]

    def number(self, **members: Any) -> int:
        return sum(
            all(getattr(outcome, name) == wanted for name, wanted in members.items())
            for outcome in self.latest.values()
        )


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
    }
    return data | others


def outcome_of(number: int, at: str) -> Outcome:
    event = EVENTS[number % 7 % 3]
    program = list(PROGRAMS)[number % 5 % 3]
    made = Outcome("event_leads", f"lead-{number:05d}", event, program, PROGRAMS[program], "created", at=at)
    made.request_id = f"a41c#{number:x}"
    if number % 41 == 3:
        made.event, made.program_id, made.program_status = "Hallway chats", None, None
        made.outcome, made.category = "skipped", "NO_PROGRAM_LINK"
    elif number % 29 == 4:
        made.outcome, made.category = "skipped", "BELOW_SCAN_THRESHOLD"
    elif number % 17 == 5:
        made.outcome = "rejected"
        made.category, made.code, made.message = REJECTIONS[number % len(REJECTIONS)]
    elif number % 6 == 1:
        made.outcome, made.lead_id = "unchanged", 40_000 + number
    else:
        made.outcome, made.lead_id = ("updated" if number % 3 else "created"), 40_000 + number
    made.hint = hint_text(made.category, made.code) if made.category else None
    return made


def write_sync(folder: Path, start: datetime, run_id: str, made: list[tuple[Outcome, dict[str, Any]]]) -> None:
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=start, run_id=run_id)
    for outcome, data in made:
        store.add(outcome)
        if outcome.outcome == "rejected":
            message = {"type": "RECORD", "record": {"stream": outcome.stream, "emitted_at": 1, "data": data}}
            store.add_rejected(json.dumps(message).encode(), [outcome])
    store.close()


def make_sample(folder: Path) -> Sample:
    """Four syncs; the last sends what the third rejected as duplicates again, with success."""
    latest: dict[tuple[str, int | None], Outcome] = {}
    sizes = (260, 410, 330)
    number = 0
    third: list[Outcome] = []
    for day, size in enumerate(sizes):
        start = START + timedelta(days=day)
        made = []
        for _ in range(size):
            outcome = outcome_of(number, (start + timedelta(seconds=number % 600)).strftime("%Y-%m-%dT%H:%M:%SZ"))
            made.append((outcome, lead_data(number)))
            number += 1
        if day == 1:
            made += hostile_outcomes((start + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
        write_sync(folder, start, f"run{day}", made)
        third = [outcome for outcome, _ in made]
        latest.update({(outcome.record_key, outcome.program_id): outcome for outcome in third})
    again: list[tuple[Outcome, dict[str, Any]]] = []
    for outcome in third:
        if outcome.category == "DUPLICATE_LEADS":
            mended = Outcome(
                outcome.stream,
                outcome.record_key,
                outcome.event,
                outcome.program_id,
                outcome.program_status,
                "created",
                lead_id=7,
                at="2026-11-25T14:00:00Z",
            )  # fmt: skip - its members in one line
            again.append((mended, {}))
            latest[mended.record_key, mended.program_id] = mended
    write_sync(folder, START + timedelta(days=2, hours=5), "run3", again)
    page = folder / "report.html"
    written = write_report([str(folder)], page, now=datetime(2026, 11, 26, 8, 0, tzinfo=UTC))
    return Sample(written.page, written.csv, latest)


def hostile_outcomes(at: str) -> list[tuple[Outcome, dict[str, Any]]]:
    made = []
    for key, name, message in (
        ("hostile-1", HOSTILE_NAME, "'\"><svg onload=window.hacked=1>"),
        ("hostile-2", "\u202eright to left\u200f", '=HYPERLINK("http://x")'),
        ("hostile-3", LONG_NAME, "{{ 7*7 }} ${7*7} javascript:window.hacked=1"),
    ):  # fmt: skip - one case a line
        outcome = Outcome("event_leads", key, HOSTILE_EVENT, 1234, "Attended", "rejected", at=at)
        outcome.category, outcome.code, outcome.message = "RECORD_REFUSED", "1003", message
        made.append((outcome, {"id": key, "name": name, "email": f"{key}@example.org"}))
    return made


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return make_sample(tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, sample: Sample) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE, accept_downloads=False)  # type: ignore[arg-type]  # plain dict
    opened = context.new_page()
    problems: list[str] = []
    requests: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: requests.append(request.url))
    opened.goto(sample.page.as_uri())
    yield opened
    assert problems == []
    assert requests == [sample.page.as_uri()], "the page needs nothing but itself"
    assert opened.evaluate("window.hacked") is None
    context.close()


def amounts(page: Page) -> dict[str, int]:
    return {
        str(tile.get_attribute("data-kind")): int(tile.locator(".amount").inner_text().replace(",", ""))
        for tile in page.locator(".tile").all()
    }


def expected_amounts(sample: Sample, **members: Any) -> dict[str, int]:
    return {
        "delivered": sum(sample.number(outcome=name, **members) for name in ("created", "updated", "imported")),
        "unchanged": sample.number(outcome="unchanged", **members),
        "skipped": sample.number(outcome="skipped", **members),
        "rejected": sample.number(outcome="rejected", **members),
    }


def found(page: Page) -> str:
    return page.locator("#found").inner_text()


def row_titles(page: Page) -> list[str]:
    return page.locator("#rows th > .value").all_inner_texts()


def test_counts_equal_the_files(page: Page, sample: Sample) -> None:
    expected = expected_amounts(sample)
    assert sum(expected.values()) == 1_003
    assert amounts(page) == expected
    expect(page.locator("#headline")).to_have_text(f"{expected['rejected']} of 1,003 leads need your attention")
    described = page.locator("#donut svg").get_attribute("aria-label")
    assert described == (
        f"Of 1,003 leads: {expected['delivered']} delivered, {expected['unchanged']} unchanged, "
        f"{expected['skipped']} skipped, {expected['rejected']} rejected"
    )
    assert found(page) == f"1–50 of {expected['rejected']} leads."
    with sample.csv.open(encoding="utf-8-sig", newline="") as file:
        assert sum(1 for _ in csv.DictReader(file)) == expected["rejected"]


def test_every_group_says_how_many_why_and_how_to_fix(page: Page, sample: Sample) -> None:
    wanted = Counter(
        (outcome.category, outcome.code) for outcome in sample.latest.values() if outcome.outcome == "rejected"
    )
    cards = page.locator("article.rejected")
    assert cards.count() == len(wanted)
    shown = Counter[tuple[str | None, str | None]]()
    for card in cards.all():
        category, *code = card.locator(".badge").all_inner_texts()
        number = code[0].removeprefix("Marketo code ") if code else None
        shown[category, number] = int(card.locator(".count b").inner_text())
        assert len(card.locator(".why").inner_text()) > 20
        assert card.locator(".fix").inner_text().startswith("How to fix")
        card.locator("summary").click()
        command = card.locator("code").inner_text()
        assert "destination-marketo-programs write --config" in command
        assert f'"category":"{category}","code":{json.dumps(number)}' in command
    assert shown == wanted


def test_toggles_group_by_event_and_program(page: Page, sample: Sample) -> None:
    page.get_by_role("button", name="By program", exact=True).click()
    expect(page.locator("[data-view=program]")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-view=reason]")).to_have_attribute("aria-pressed", "false")
    for row in page.locator("#groups tbody tr").all():
        name = row.locator("th .value").inner_text()
        program = None if name == "(no program)" else int(name.removeprefix("Program "))
        kinds = {
            str(cell.get_attribute("data-kind")): int(cell.inner_text()) for cell in row.locator("td[data-kind]").all()
        }
        assert kinds == expected_amounts(sample, program_id=program)
    page.get_by_role("button", name="By event", exact=True).click()
    events = {outcome.event for outcome in sample.latest.values()}
    assert page.locator("#groups tbody tr").count() == len(events)


def test_filters_apply_to_everything_and_can_be_undone(page: Page, sample: Sample) -> None:
    page.locator("#event").select_option("Partner Day")
    page.locator("#program").select_option("Program 1301")
    members = {"event": "Partner Day", "program_id": 1301}
    assert amounts(page) == expected_amounts(sample, **members)
    assert f"of {sample.number(outcome='rejected', **members)} lead" in found(page)
    assert sum(int(text) for text in page.locator("article.rejected .count b").all_inner_texts()) == sample.number(
        outcome="rejected", **members
    )
    page.get_by_role("button", name="Show everything").click()
    assert amounts(page) == expected_amounts(sample)
    page.get_by_role("button", name="By event", exact=True).click()
    page.get_by_role("button", name="Only this: Partner Day").click()
    assert amounts(page) == expected_amounts(sample, event="Partner Day")


def test_search_finds_people_keys_and_messages(page: Page, sample: Sample) -> None:
    rejected = [outcome for outcome in sample.latest.values() if outcome.outcome == "rejected"]
    lead = rejected[0]
    page.get_by_label("Search").fill(lead.record_key.upper())
    assert found(page) == "1–1 of 1 lead."
    person = lead_data(int(lead.record_key.removeprefix("lead-")))
    expect(page.locator("#rows")).to_contain_text(str(person["email"]))
    page.get_by_label("Search").fill("access denied")
    assert f"of {sum('access denied' in (each.message or '') for each in rejected)} leads" in found(page)
    page.get_by_label("Search").fill("nobody at all")
    assert found(page) == "No lead matches."
    expect(page.locator("#table")).to_be_hidden()


def test_a_group_leads_to_its_leads(page: Page, sample: Sample) -> None:
    card = page.locator("article.rejected", has_text="INVALID_EMAIL")
    card.get_by_role("button", name="Show these leads").click()
    count = sample.number(outcome="rejected", category="INVALID_EMAIL")
    assert f"of {count} leads" in found(page)
    assert page.locator("#rows tr").count() == count
    expect(page.locator("#leads-title")).to_be_focused()


def test_columns_sort_both_ways_and_pages_turn(page: Page) -> None:
    page.get_by_label("Search").fill("example")
    header = page.get_by_role("columnheader", name="Lead")
    page.get_by_role("button", name="Lead", exact=True).click()
    expect(header).to_have_attribute("aria-sort", "ascending")
    first = row_titles(page)
    page.get_by_role("button", name="Next").click()
    second = row_titles(page)
    assert first + second == sorted(first + second, key=str.casefold)
    assert len(second) > 0
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    page.get_by_role("button", name="Lead", exact=True).click()
    expect(header).to_have_attribute("aria-sort", "descending")
    assert row_titles(page)[0] == (first + second)[-1]


def test_the_keyboard_reaches_everything(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "event"
    page.get_by_role("button", name="By event", exact=True).focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.dataset.view") == "event"
    page.get_by_role("button", name="Lead", exact=True).focus()
    page.keyboard.press("Space")
    assert page.evaluate("document.activeElement.textContent") == "Lead", "sorting keeps the focus"


def test_hostile_values_are_shown_and_never_run(page: Page, sample: Sample) -> None:
    page.get_by_label("Search").fill("hostile")
    texts = page.locator("#rows").inner_text()
    assert HOSTILE_NAME in texts
    assert "<svg onload=window.hacked=1>" in texts
    assert "{{ 7*7 }} ${7*7}" in texts
    assert "N" * 400 in texts
    assert "N" * 401 not in texts, "the page clips, the CSV has it whole"
    assert page.locator("#rows script, #rows img, #rows svg, #rows b").count() == 0
    page.get_by_role("button", name="By event", exact=True).click()
    # A direction override inside a value ends with it.
    isolation = page.locator("#rows th > .value").first.evaluate("e => getComputedStyle(e).unicodeBidi")
    assert isolation == "isolate"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate("window.hacked") is None
    with sample.csv.open(encoding="utf-8-sig", newline="") as file:
        rows = {row["Record key"]: row for row in csv.DictReader(file)}
    assert rows["hostile-2"]["Message"] == '\'=HYPERLINK("http://x")'
    assert rows["hostile-3"]["Name"] == LONG_NAME


def test_the_timeline_tells_each_sync(page: Page) -> None:
    bars = page.locator("#timeline li")
    assert bars.count() == 4
    assert [bar.locator(".bar span").inner_text() for bar in bars.all()][:3] == ["260", "413", "330"]
    assert "25 Nov 2026 14:00:" in str(bars.last.get_attribute("title"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("view", ["reason", "event"])
def test_axe_finds_nothing_serious(browser: Browser, sample: Sample, scheme: Any, viewport: Any, view: str) -> None:
    context = browser.new_context(viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.goto(sample.page.as_uri())
    page.locator(f"[data-view={view}]").click()
    if view == "reason":
        for summary in page.locator("summary").all():
            summary.click()
    # The page's own policy forbids foreign scripts; evaluate() is not bound by it.
    result = Axe().run(page)
    problems = [
        (violation["id"], violation["impact"], [node["html"][:120] for node in violation["nodes"]][:3])
        for violation in result.response["violations"]
        if violation["impact"] in {"serious", "critical", "moderate"}
    ]
    assert problems == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing scrolls sideways"
    context.close()


def test_print_shows_the_list_without_controls(page: Page) -> None:
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("#rows tr").count() > 50
    for selector in ("#filters", "#views", "#pages", "#csv"):
        expect(page.locator(selector)).to_be_hidden()
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.locator("#rows tr").count() == 50


def test_without_javascript_the_totals_are_there(browser: Browser, sample: Sample) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(sample.page.as_uri())
    expect(page.locator("#plain")).to_contain_text(f"{sample.number(outcome='rejected')} rejected")
    expect(page.locator("#plain h3").first).to_be_visible()
    expect(page.locator("#filters")).to_be_hidden()
    context.close()


@pytest.mark.parametrize(("viewport", "name"), [(WIDE, "wide"), (NARROW, "narrow")])
def test_screenshots_at_two_widths(browser: Browser, sample: Sample, tmp_path: Path, viewport: Any, name: str) -> None:
    context = browser.new_context(viewport=viewport, color_scheme="light")
    page = context.new_page()
    page.goto(sample.page.as_uri())
    picture = tmp_path / f"{name}.png"
    page.screenshot(path=picture)
    assert 20_000 < picture.stat().st_size < 300_000
    header = page.locator("header").bounding_box()
    assert header is not None
    assert header["width"] == viewport["width"]
    context.close()
