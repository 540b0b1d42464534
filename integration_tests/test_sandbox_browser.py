"""The sandbox's page in headless Chromium: who is behind each number, faults by button, and what refreshing leaves."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect, sync_playwright

from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, ViewportSize

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

EXPO = 1004
WIDE: ViewportSize = {"width": 1280, "height": 900}
NARROW: ViewportSize = {"width": 390, "height": 844}
HOSTILE = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1">'
PEOPLE = 250


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def marketo() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        state = server.state
        for number in range(PEOPLE):
            lead = state.add_lead(
                {"email": f"person{number}@example.org", "firstName": "Ada", "lastName": f"No {number}"}
            )
            state.add_member(EXPO, lead, "Attended" if number % 5 else "Engaged", {"boothNotes": f"badge {number}"})
        lead = state.add_lead({"email": "evil@example.org", "firstName": HOSTILE, "company": HOSTILE})
        state.add_member(1234, lead, "Engaged")
        yield server


@pytest.fixture(params=["wide", "narrow"])
def page(browser: Browser, marketo: SandboxServer, request: pytest.FixtureRequest) -> Iterator[Page]:
    context = browser.new_context(viewport=WIDE if request.param == "wide" else NARROW)
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    opened.goto(marketo.url)
    yield opened
    context.close()
    assert faults == []


def call_something(marketo: SandboxServer) -> int:
    """One call with a token, as a client makes it; its HTTP status."""
    query = {"grant_type": "client_credentials", "client_id": marketo.client_id, "client_secret": marketo.client_secret}
    token = requests.get(f"{marketo.url}/identity/oauth/token", params=query, timeout=20).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.get(f"{marketo.url}/rest/v1/leads/partitions.json", headers=headers, timeout=20)
    return answer.status_code


def assert_fit_to_read(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    text = page.inner_text("main")
    assert re.search(r"\b(false|undefined|NaN|null|\[object)\b", text) is None, text
    assert page.evaluate("window.hacked") is None


def test_who_is_behind_a_number(page: Page, marketo: SandboxServer) -> None:
    expect(page.locator("#found")).to_have_text(f"{PEOPLE + 1} people")
    page.get_by_role("button", name="Engaged 50").click()
    expect(page.locator("#people-title")).to_have_text("People in Spring Expo 2026 · Engaged")
    expect(page.locator("#people-title")).to_be_in_viewport()
    expect(page.locator("#people-list > li")).to_have_count(50)
    page.get_by_placeholder("Name, email, company or id").fill("no 45")
    expect(page.locator("#people-list > li")).to_have_count(1)
    page.get_by_role("button", name="Ada No 45").click()
    drawer = page.locator(".drawer")
    expect(drawer).to_contain_text("person45@example.org")
    expect(drawer).to_contain_text("Spring Expo 2026 (1004) Engaged since")
    expect(drawer).to_contain_text("boothNotes badge 45")
    page.reload()
    expect(page.locator("#people-list > li")).to_have_count(1)
    page.get_by_role("button", name="Show everyone").click()
    page.get_by_placeholder("Name, email, company or id").fill("")
    expect(page.locator("#people-list > li")).to_have_count(100)
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("#people-list > li")).to_have_count(200)
    marketo.state.remove_lead(marketo.state.leads_with("email", "person0@example.org")[0])
    expect(page.locator("#found")).to_have_text(f"{PEOPLE} people")
    assert_fit_to_read(page)


def test_hostile_values_are_text(page: Page) -> None:
    page.get_by_role("button", name="Engaged 1", exact=True).click()
    expect(page.locator("#people-list > li")).to_have_count(1)
    page.locator("#people-list button").first.click()
    expect(page.locator(".drawer dd", has_text="window.hacked").first).to_be_visible()
    assert_fit_to_read(page)


def test_refreshing_keeps_selection_scroll_and_what_is_open(page: Page, marketo: SandboxServer) -> None:
    page.get_by_role("button", name="Attended 200").click()
    expect(page.locator("#people-title")).to_have_text("People in Spring Expo 2026 · Attended")
    page.get_by_role("button", name="Ada No 41", exact=False).first.click()
    drawer = page.locator(".drawer dd", has_text="person41@example.org").first
    expect(drawer).to_be_visible()
    drawer.evaluate("(node) => getSelection().selectAllChildren(node)")
    page.evaluate("window.scrollTo(0, 300)")
    before = page.evaluate("window.scrollY")
    assert before > 0
    assert call_something(marketo) == 200
    expect(page.locator("#calls > li").first).to_contain_text("leads.partitions")
    for _ in range(2):
        with page.expect_response(lambda response: response.url.endswith("/_sandbox/summary")):
            pass
    assert page.evaluate("String(getSelection())") == "person41@example.org"
    assert page.evaluate("window.scrollY") == before
    expect(page.locator(".drawer")).to_have_count(1)


def test_faults_and_limits_by_button(page: Page, marketo: SandboxServer) -> None:
    assert call_something(marketo) == 200
    page.get_by_role("button", name="Server error (HTTP 502)").click()
    expect(page.locator("#waiting")).to_contain_text("server error, for any call, 1 more")
    marketo.faults.clear()
    page.get_by_role("button", name="Rate limit (606)").click()
    expect(page.locator("#waiting")).to_contain_text("rate limit")
    page.get_by_role("button", name="Clear all faults").click()
    expect(page.locator("#waiting > li")).to_have_count(0)
    limits = page.get_by_role("button", name="Limits", exact=True)
    expect(limits).to_have_attribute("aria-pressed", "true")
    limits.click()
    expect(limits).to_have_attribute("aria-pressed", "false")
    assert marketo.settings.limits is False
    page.get_by_role("button", name="Daily quota used up").click()
    expect(page.locator("#facts")).to_contain_text("50,000 of 50,000")
    page.get_by_role("button", name="New people are visible after 30 s").click()
    expect(page.locator("#done")).to_have_text("Done.")
    assert marketo.settings.visible_after_seconds == 30
    page.get_by_role("button", name="Random faults").click()
    expect(page.get_by_role("button", name="Random faults")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Random faults").click()
    expect(page.get_by_role("button", name="Random faults")).to_have_attribute("aria-pressed", "false")
    page.get_by_role("button", name="Reset everything").click()
    assert marketo.state.lead_count() == PEOPLE + 1
    page.get_by_role("button", name="Really delete").click()
    expect(page.locator("#found")).to_have_text("No people found.")
    assert marketo.state.lead_count() == 0
    assert_fit_to_read(page)


def test_jobs_are_listed(page: Page, marketo: SandboxServer) -> None:
    query = {"grant_type": "client_credentials", "client_id": marketo.client_id, "client_secret": marketo.client_secret}
    token = requests.get(f"{marketo.url}/identity/oauth/token", params=query, timeout=20).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    path = f"/bulk/v1/program/{EXPO}/members/import.json?format=csv&programMemberStatus=Attended"
    file = {"file": ("m.csv", "email\nada@example.org\n", "text/csv")}
    assert requests.post(marketo.url + path, files=file, headers=headers, timeout=20).json()["success"]
    body = {"fields": ["leadId"], "filter": {"programId": EXPO}}
    exports = f"{marketo.url}/bulk/v1/program/members/export"
    job = requests.post(f"{exports}/create.json", json=body, headers=headers, timeout=20).json()["result"][0]
    requests.post(f"{exports}/{job['exportId']}/enqueue.json", headers=headers, timeout=20)
    marketo.advance(10)
    page.get_by_text("Import and extract jobs").click()
    expect(page.locator("#work")).to_contain_text(
        "Import 2001 · Spring Expo 2026 · Attended: Complete · Import succeeded"
    )
    expect(page.locator("#work")).to_contain_text("program members: Completed · 251 records")
    assert_fit_to_read(page)


def test_it_can_be_read_by_everybody(page: Page, marketo: SandboxServer, tmp_path: Path) -> None:
    assert call_something(marketo) == 200
    expect(page.locator("#calls > li").first).to_contain_text("leads.partitions")
    page.get_by_role("button", name="Engaged 50").click()
    expect(page.locator("#people-list > li")).to_have_count(50)
    page.locator("#people-list button").first.click()
    expect(page.locator(".drawer")).to_be_visible()
    assert_fit_to_read(page)
    page.screenshot(path=str(tmp_path / "page.png"), full_page=True)
    found = Axe().run(page)
    serious = [v for v in found.response["violations"] if v["impact"] in {"serious", "critical"}]
    assert serious == []


def test_it_says_that_the_sandbox_has_stopped(browser: Browser) -> None:
    with SandboxServer() as server:
        opened = browser.new_page()
        opened.goto(server.url)
        expect(opened.locator("#live")).to_have_text("live")
    expect(opened.locator("#live")).to_have_text("the sandbox has stopped", timeout=10_000)
    opened.close()
