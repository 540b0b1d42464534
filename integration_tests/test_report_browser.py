"""The report page in headless Chromium: what it shows, how it is used, what hostile values can do, and axe."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright
from report_sample import APP, EVENTS, HOSTILE_NAME, PROGRAM_NAMES, Sample, kind_of, lead_data, make_sample, many_syncs

from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.report import write_report
from destination_marketo_programs.report.writing import write_rejected
from destination_marketo_programs.retry.edits import read_edits
from destination_marketo_programs.retry.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
KINDS = ("delivered", "unchanged", "skipped", "rejected")


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


def context_of(browser: Browser, **options: Any) -> BrowserContext:
    return browser.new_context(**({"viewport": WIDE, "permissions": ["clipboard-read", "clipboard-write"]} | options))


def watched(context: BrowserContext) -> tuple[Page, list[str]]:
    """A page, and all that goes wrong on it: errors, and requests for anything but files and blobs of its own."""
    opened = context.new_page()
    problems: list[str] = []
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("request", lambda request: problems.append(request.url) if "file:" not in request.url[:10] else None)
    return opened, problems


@pytest.fixture
def page(browser: Browser, sample: Sample) -> Iterator[Page]:
    context = context_of(browser)
    opened, problems = watched(context)
    opened.goto(sample.page.as_uri())
    yield opened
    assert [each for each in problems if not each.startswith("blob:")] == []
    assert opened.evaluate("window.hacked") is None
    context.close()


def legend(page: Page) -> dict[str, int]:
    return {
        str(button.get_attribute("data-kind")): int(button.locator("b").inner_text().replace(",", ""))
        for button in page.locator("#legend button").all()
    }


def expected_legend(sample: Sample, **members: Any) -> dict[str, int]:
    found = sample.leads(**members)
    return {kind: found[kind] for kind in KINDS}


def found(page: Page) -> int:
    numbers = re.findall(r"[\d,]+(?= leads?\b)", page.locator("#found").inner_text())
    return int(numbers[0].replace(",", "")) if numbers else 0


def cause(page: Page, category: str) -> Any:
    return page.locator(f'[data-reason^="rejected:{category}"]')


def test_counts_are_those_of_the_files(page: Page, sample: Sample) -> None:
    expected = expected_legend(sample)
    assert sum(expected.values()) == 1_003
    assert legend(page) == expected
    expect(page.locator("#headline")).to_have_text(f"{expected['rejected']} of 1,003 leads were not delivered.")
    assert found(page) == expected["rejected"]
    page.locator("#legend [data-kind=delivered]").click()
    assert found(page) == expected["delivered"]
    page.locator("#legend [data-kind=delivered]").click()
    assert found(page) == 1_003


def test_the_first_rejected_lead_is_on_the_first_screen(page: Page) -> None:
    box = page.locator("li.lead.rejected").first.bounding_box()
    assert box is not None
    assert box["y"] + box["height"] <= WIDE["height"]


def test_reasons_are_ordered_by_who_can_act_and_split(page: Page, sample: Sample) -> None:
    headings = page.locator("#causes h3, #causes summary").all_inner_texts()
    assert [heading.split(":")[0].upper() for heading in headings] == [
        "YOU CAN FIX NOW",
        "FIX IN THE SOURCE",
        "NOTHING TO DO",
    ]
    for category in ("DUPLICATE_LEADS", "INVALID_EMAIL", "UNMAPPED_QUALIFIER", "FIELD_INVALID"):
        count = len(sample.keys(outcome="rejected", category=category))
        assert int(cause(page, category).locator("b").inner_text()) == count
    parts = page.locator(".cause", has=cause(page, "UNMAPPED_QUALIFIER")).locator(".parts button")
    assert {text.split("\n")[0] for text in parts.all_inner_texts()} == {"demo = Later", "demo = (blank)"}
    parts.filter(has_text="Later").click()
    later = {
        key
        for key in sample.keys(outcome="rejected", category="UNMAPPED_QUALIFIER")
        if any(
            each.detail == {"qualifier": "demo", "values": ["Later"]}
            for (k, _), each in sample.current.items()
            if k == key
        )
    }
    assert found(page) == len(later)
    page.locator("#advice summary", has_text="Mapping to add").click()
    mapping = json.loads("[" + page.locator("#advice code").first.inner_text() + "]")
    assert {(entry["qualifier"], entry["value"]) for entry in mapping} == {("demo", "Later")}


def test_every_reason_leads_to_as_many_leads_as_it_says(page: Page) -> None:
    page.locator("#causes summary").click()
    for place in range(page.locator("#causes [data-reason]").count()):
        button = page.locator("#causes [data-reason]").nth(place)
        count = int(button.locator("b").inner_text().replace(",", ""))
        button.click()
        assert found(page) == count
        page.get_by_role("button", name="Clear").click()


def test_sending_again_is_offered_only_where_it_can_help(page: Page) -> None:
    cause(page, "INVALID_EMAIL").click()
    expect(page.locator("#advice")).to_contain_text("Sending the same record again will not help")
    expect(page.locator("#advice summary")).to_have_count(0)
    cause(page, "DUPLICATE_LEADS").click()
    page.locator("#advice summary", has_text="Then send these leads again").click()
    expect(page.locator("#advice")).to_contain_text("--category DUPLICATE_LEADS")


def test_filters_and_search_narrow_everything_and_can_be_cleared(page: Page, sample: Sample) -> None:
    page.locator("#event").select_option("4712")
    page.locator("#program").select_option("1301")
    members = {"event": "4712", "program_id": 1301}
    assert legend(page) == expected_legend(sample, **members)
    assert found(page) == sample.leads(**members)["rejected"]
    expect(page.locator("#program-link a")).to_have_attribute("href", f"{APP}/#PG1301A1")
    page.get_by_role("button", name="Clear").click()
    assert legend(page) == expected_legend(sample)
    delivered = next(iter(sample.keys(outcome="updated")))
    page.locator("#kind").select_option("")
    page.get_by_label("Search").fill(delivered.upper())
    assert found(page) == 1
    page.get_by_label("Search").fill("access denied rejected")
    assert found(page) == len(sample.keys(outcome="rejected", category="PARTITION_DENIED"))
    page.get_by_label("Search").fill("nobody at all")
    expect(page.locator("#found")).to_have_text("No lead matches.")


def test_the_address_keeps_the_filter(page: Page, browser: Browser, sample: Sample) -> None:
    cause(page, "DUPLICATE_LEADS").click()
    page.get_by_label("Search").fill("example")
    count = found(page)
    page.locator("#copy-link").click()
    address = page.evaluate("navigator.clipboard.readText()")
    assert address == page.url
    assert "#" in address
    context = context_of(browser)
    other = context.new_page()
    other.goto(address)
    assert found(other) == count
    expect(other.get_by_label("Search")).to_have_value("example")
    other.goto(sample.page.as_uri() + "#reason=gone&event=%00&kind=nonsense&sync=x&news=__proto__&verdict=constructor")
    assert found(other) == 1_003
    context.close()


def test_a_lead_opens_to_record_sent_and_answer(page: Page) -> None:
    cause(page, "FIELD_INVALID").click()
    row = page.locator("li.lead").first
    row.locator("summary").click()
    drawer = row.locator(".drawer")
    expect(drawer.locator("mark", has_text="12 apples").first).to_be_visible()
    expect(drawer).to_contain_text("annualRevenue")
    expect(drawer).to_contain_text("1001: Invalid value")
    expect(drawer).to_contain_text("a41c#")
    expect(drawer).to_contain_text("1884518522168426")
    text = drawer.inner_text()
    assert any(name in text for name in PROGRAM_NAMES.values())
    assert any(name in text for name in EVENTS.values())
    cause(page, "UNMAPPED_QUALIFIER").click()
    page.locator("li.lead summary").first.click()
    expect(page.locator(".drawer").first).to_contain_text("nothing: it was decided before Marketo was asked")
    cause(page, "DUPLICATE_LEADS").click()
    links = page.locator("li.lead").first.locator(".why a")
    assert [link.get_attribute("href") for link in links.all()] == [
        f"{APP}/leadDatabase/loadLeadDetail?leadId={number}" for number in (100121, 100388)
    ]


def test_names_stand_where_run_files_give_them(page: Page) -> None:
    chips = Counter(page.locator(".chip .value").all_inner_texts())
    assert set(PROGRAM_NAMES.values()) & set(chips)
    assert not any(text.startswith("Program ") for text in chips)


def test_keys_and_emails_can_be_copied(page: Page) -> None:
    cause(page, "INVALID_EMAIL").click()
    for box in page.locator("li.lead > input").all()[:3]:
        box.check()
    expect(page.locator("#chosen")).to_have_text("3 selected")
    page.locator("#copy-keys").click()
    keys = page.evaluate("navigator.clipboard.readText()").split("\n")
    page.locator("#copy-emails").click()
    emails = page.evaluate("navigator.clipboard.readText()").split("\n")
    assert emails == [lead_data(int(key.removeprefix("lead-")))["email"] for key in keys]


def downloaded(page: Page, button: str) -> bytes:
    with page.expect_download() as download:
        page.locator(button).click()
    path = download.value.path()
    return path.read_bytes()


def test_csv_is_what_the_command_prints(page: Page, sample: Sample, tmp_path: Path) -> None:
    content = downloaded(page, "#csv")
    target = tmp_path / "rejected.csv"
    with target.open("w", encoding="utf-8-sig", newline="") as file:
        write_rejected([str(sample.folder)], file)
    assert rows_of(content) == rows_of(target.read_bytes())
    assert len(rows_of(content)) == sample.leads()["rejected"]
    lines = [json.loads(line) for line in downloaded(page, "#jsonl").splitlines()]
    assert {line["record_key"] for line in lines} == sample.keys(outcome="rejected")
    assert all(line["record"]["id"] == line["record_key"] for line in lines)


def rows_of(content: bytes) -> list[dict[str, str]]:
    return sorted(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")), key=lambda row: row["Key"])


def test_filter_csv_retry_is_one_journey(page: Page, sample: Sample, tmp_path: Path) -> None:
    cause(page, "FIELD_INVALID").click()
    rows = rows_of(downloaded(page, "#csv"))
    assert {row["Category"] for row in rows} == {"FIELD_INVALID"}
    for row in rows:
        row["record.annualRevenue"] = "12000"
        row["record.badge"] = "1.88452E+15"  # as a spreadsheet shows it
    target = tmp_path / "fixes.csv"
    with target.open("w", encoding="utf-16", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";", quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    with Selection([str(sample.folder)], categories={"FIELD_INVALID"}, edits=read_edits(target)) as selection:
        messages = [json.loads(line) for line in selection.messages()]
    assert {message["record"]["data"]["id"] for message in messages} == {row["Key"] for row in rows}
    assert {message["record"]["data"]["annualRevenue"] for message in messages} == {"12000"}
    assert {message["record"]["data"]["badge"] for message in messages} == {1884518522168426}


def test_hostile_values_are_text(page: Page) -> None:
    page.get_by_label("Search").fill("hostile-1")
    expect(page.locator("li.lead .name")).to_have_text(HOSTILE_NAME)
    page.locator("li.lead summary").click()
    expect(page.locator(".drawer")).to_contain_text("onload=window.hacked=1")
    page.get_by_label("Search").fill("hostile-3")
    box = page.locator("li.lead .who").bounding_box()
    assert box is not None
    assert box["height"] < 200, "ten thousand letters are cut"
    row = next(row for row in rows_of(downloaded(page, "#csv")) if row["Key"] == "hostile-3")
    assert row["record.x"] == '\'=cmd("x")'
    assert page.locator("script").count() == 2


def test_several_syncs_say_what_is_new_open_and_fixed(page: Page, sample: Sample) -> None:
    fixed = len(
        {key for (key, _), each in sample.current.items() if each.lead_id == 7 and each.outcome == Result.CREATED}
    )
    page.get_by_role("button", name=f"{fixed} fixed", exact=True).click()
    assert found(page) == fixed
    page.get_by_role("button", name="Clear").click()
    bars = page.locator("#timeline button")
    assert bars.count() == 4
    bars.nth(1).click()
    expect(bars.nth(1)).to_have_attribute("aria-pressed", "true")
    assert 0 < found(page) < sample.leads()["rejected"]
    assert "sync=" in page.url


def test_verdicts_of_reconcile_stand_per_program(page: Page) -> None:
    page.get_by_role("button", name="1 not in Marketo as sent").click()
    expect(page.locator("#verdicts")).to_be_in_viewport()
    row = page.locator("table tbody tr")
    assert row.locator("th").inner_text() == "Spring Expo 2026 (1234)"
    assert row.locator("td").all_inner_texts() == ["300", "0", "0", "0", "1", "0", "1", "12"]
    row.get_by_role("button").click()
    assert found(page) == 1
    expect(page.locator("li.lead .chip").first).to_contain_text("now missing")


def test_the_keyboard_reaches_everything(page: Page) -> None:
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Search")).to_be_focused()
    cause(page, "INVALID_EMAIL").focus()
    page.keyboard.press("Enter")
    expect(cause(page, "INVALID_EMAIL")).to_have_attribute("aria-pressed", "true")
    page.locator("li.lead summary").first.focus()
    page.keyboard.press("Enter")
    expect(page.locator(".drawer").first).to_be_visible()


def test_a_print_is_the_list(page: Page, sample: Sample) -> None:
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.locator("li.lead").count() == sample.leads()["rejected"]
    expect(page.locator("#causes")).to_be_hidden()
    expect(page.locator("#filters")).to_be_hidden()
    assert len(re.findall(rb"/Type\s*/Page\b", page.pdf(format="A4"))) < 12
    page.evaluate("dispatchEvent(new Event('afterprint'))")


SPELLED = re.compile(r"\b(?:undefined|NaN|null|false|\[object)\b")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing(browser: Browser, sample: Sample, scheme: str, viewport: dict[str, int]) -> None:
    context = context_of(browser, viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    page.goto(sample.page.as_uri())
    page.locator("li.lead summary").first.click()
    cause(page, "UNMAPPED_QUALIFIER").click()
    violations = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    context.close()


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
@pytest.mark.parametrize("syncs", [1, 17, 31, 200])
def test_any_number_of_syncs_fits(
    browser: Browser, tmp_path_factory: pytest.TempPathFactory, syncs: int, viewport: dict[str, int]
) -> None:
    context = context_of(browser, viewport=viewport)
    page, problems = watched(context)
    page.goto(many_syncs(tmp_path_factory.mktemp("syncs"), syncs).as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    for summary in page.locator("summary:visible").all()[:5]:
        summary.click()
    assert SPELLED.findall(page.locator("body").inner_text()) == []
    assert page.locator("#timeline li").count() == (0 if syncs == 1 else syncs)
    assert sum(legend(page).values()) == 30
    if syncs > 1:
        last = page.locator("#timeline button").last
        expect(last).to_be_visible()
        last.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert problems == []
    context.close()


def test_twenty_thousand_leads_are_searched_without_lag(browser: Browser, tmp_path: Path) -> None:
    line = (
        '{"stream":"leads","record_key":"key-%06d","event":"4711","program_id":1234,"program_status":"Attended",'
        '"outcome":"created","lead_id":%d,"request_id":"a#%d","at":"2026-11-23T09:00:00Z"}\n'
    )
    lines = [line % (number, number, number // 300) for number in range(20_000)]
    (tmp_path / "outcomes-20261123T090000Z-big-00001.jsonl").write_text("".join(lines))
    written = write_report([str(tmp_path)], tmp_path / "report.html")
    assert written.page.stat().st_size < 3_000_000
    context = context_of(browser)
    page = context.new_page()
    page.goto(written.page.as_uri())
    page.get_by_label("Search").fill("warm up")
    milliseconds = page.evaluate(
        """() => {
            const box = document.getElementById("search"), began = performance.now();
            box.value = "key-019999"; box.dispatchEvent(new Event("input", { bubbles: true }));
            return performance.now() - began;
        }"""
    )
    assert found(page) == 1
    assert milliseconds < 1_000
    context.close()


def test_without_scripts_the_sums_and_reasons_are_there(browser: Browser, sample: Sample) -> None:
    context = context_of(browser, java_script_enabled=False)
    page = context.new_page()
    page.goto(sample.page.as_uri())
    expect(page.locator("#headline")).to_contain_text("of 1,003 leads were not delivered")
    expect(page.locator("#plain")).to_contain_text("Several people in Marketo share this email or key")
    expect(page.locator("#filters")).to_be_hidden()
    context.close()


@pytest.fixture(scope="module")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "destination_marketo_programs", "demo", "--output", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=240)
    return folder


@pytest.mark.parametrize("viewport", [WIDE, NARROW], ids=["wide", "narrow"])
def test_the_page_of_the_demo_has_names_and_counts_leads(
    browser: Browser, demo_folder: Path, viewport: dict[str, int]
) -> None:
    context = context_of(browser, viewport=viewport)
    page, problems = watched(context)
    page.goto((demo_folder / "report.html").as_uri())
    # The demo syncs twice; its page is of the first sync.
    results: dict[str, set[str]] = {}
    first_sync, *_ = sorted((demo_folder / "outcomes").rglob("outcomes-*.jsonl"))
    for line in first_sync.read_text().splitlines():
        outcome = json.loads(line)
        results.setdefault(outcome["record_key"], set()).add(outcome["outcome"])
    expected = Counter(map(kind_of, results.values()))
    assert legend(page) == {kind: expected[kind] for kind in KINDS}
    expect(page.locator("#headline")).to_have_text(f"{expected['rejected']} of 500 leads were not delivered.")
    for summary in page.locator("summary:visible").all()[:12]:
        summary.click()
    text = page.locator("body").inner_text()
    assert "Spring Expo 2026" in text
    assert not re.search(r"\bProgram \d", text)
    assert SPELLED.findall(text) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    assert Axe().run(page).response["violations"] == []
    assert problems == []
    context.close()
