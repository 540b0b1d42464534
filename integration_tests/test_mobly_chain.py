"""From a badge scanned in Mobly to a Program Status in Marketo, with every process between them."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fake_mobly import FakeMobly, Organisation
from marketo_programs_demo import leads, scenario
from mobly_chain import Chain, Synced
from mobly_source import MANIFEST, REPOSITORY

from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]


@pytest.fixture
def mobly() -> Iterator[FakeMobly]:
    with FakeMobly(Organisation(leads.EVENTS, leads.TAG_GROUPS), per_second=1e6) as running:
        yield running


@pytest.fixture
def marketo() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


@pytest.mark.slow
def test_a_lead_goes_from_badge_scan_to_program_status(
    mobly: FakeMobly, marketo: SandboxServer, tmp_path: Path
) -> None:
    config = scenario.demo_config(marketo.url, marketo.client_id, marketo.client_secret, tmp_path / "outcomes")
    chain = Chain(tmp_path, MANIFEST, mobly, config)
    chain.check()
    chain.choose_stream()

    def status(program: int) -> str | None:
        return marketo.state.members_by_email(program).get("noor.visser@polder.example")

    noor = mobly.organisation.scan_badge(
        leads.EXPO,
        "Noor.Visser@polder.example",
        firstName="Noor",
        lastName="Visser",
        jobTitle="Event Manager",
        company={"name": "Polder Software", "city": "Utrecht", "country": "Netherlands"},
        lastScannedBy="booth@mobly-customer.example",
    )
    assert chain.sync() == Synced(states=1, records=1, rejected=0)
    assert (status(scenario.SPRING_EXPO), status(scenario.AUDIENCE)) == ("Attended", None)

    # Back at the booth on the next day: a second scan, and this time she wants a demo.
    mobly.organisation.scan_badge(leads.EXPO, "noor.visser@polder.example")
    mobly.organisation.pick_tag(noor, "Wants a demo", "Yes")
    assert chain.sync() == Synced(states=1, records=1, rejected=0)
    assert (status(scenario.SPRING_EXPO), status(scenario.AUDIENCE)) == ("Engaged", "On List")

    # A sync of the same leads changes nothing and creates nobody.
    assert chain.sync() == Synced(states=1, records=1, rejected=0)
    assert (status(scenario.SPRING_EXPO), status(scenario.AUDIENCE)) == ("Engaged", "On List")
    (lead,) = marketo.state.leads()
    assert {name: lead.get(name) for name in ("firstName", "lastName", "title", "company", "numberOfScans")} == {
        "firstName": "Noor",
        "lastName": "Visser",
        "title": "Event Manager",
        "company": "Polder Software",
        "numberOfScans": 2,
    }
    member = marketo.state.member_fields(scenario.SPRING_EXPO, lead["id"])
    assert member == {"boothNotes": "booth@mobly-customer.example"}


ATTENDANCE = MANIFEST.with_name("attendance.json")


def day(ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).strftime("%Y-%m-%d")


def example(path: Path, marketo: SandboxServer, outcomes: Path) -> Json:
    """An example configuration, for this Marketo."""
    config: Json = json.loads(path.read_text())
    return config | {
        "domain_url": marketo.url,
        "client_id": marketo.client_id,
        "client_secret": marketo.client_secret,
        "object_storage_config": {"storage_type": "Local", "path": str(outcomes)},
    }


@pytest.mark.slow
def test_attendance_closes_an_event_by_itself(mobly: FakeMobly, marketo: SandboxServer, tmp_path: Path) -> None:
    outcomes = tmp_path / "outcomes"
    chain = Chain(tmp_path, MANIFEST, mobly, example(ATTENDANCE, marketo, outcomes))
    chain.check()
    chain.choose_stream()
    here = mobly.organisation
    statuses: dict[str, list[str | None]] = {"noor": [], "absent": [], "late": [], "walk-in": []}

    def sync(captures: int) -> None:
        assert chain.sync() == Synced(states=1, records=captures, rejected=0)
        members = marketo.state.members_by_email(scenario.SPRING_EXPO)
        for name, found in statuses.items():
            found.append(members.get(f"{name}@polder.example"))

    # Before the event: three people register.
    here.update_event(leads.EXPO, startDate=day(-1), endDate=day(-1))
    noor = here.register(leads.EXPO, "noor@polder.example", firstName="Noor", lastName="Visser")
    here.register(leads.EXPO, "absent@polder.example", firstName="Ben", lastName="Absent")
    late = here.register(leads.EXPO, "late@polder.example", firstName="Lars", lastName="Late")
    sync(captures=3)

    # On the day: one of them checks in, and somebody comes who had not registered.
    here.update_event(leads.EXPO, startDate=day(0), endDate=day(0))
    here.check_in(leads.EXPO, noor)
    here.scan_badge(leads.EXPO, "walk-in@polder.example", firstName="Wanda", lastName="Walker")
    sync(captures=4)

    # On the next day nothing is final: a phone that was offline may still send its scans.
    here.update_event(leads.EXPO, startDate=day(1), endDate=day(1))
    sync(captures=4)

    # Then the others are no-shows, until a scan of one of them turns up after all. Noor wants a demo.
    here.update_event(leads.EXPO, startDate=day(2), endDate=day(2))
    sync(captures=4)
    here.check_in(leads.EXPO, late)
    here.pick_tag(noor, "Wants a demo", "Yes")
    sync(captures=4)

    assert statuses == {
        "noor": ["Registered", "Attended", "Attended", "Attended", "Engaged"],
        "absent": ["Registered", "Registered", "Registered", "No Show", "No Show"],
        "late": ["Registered", "Registered", "Registered", "No Show", "Attended"],
        "walk-in": [None, "Attended", "Attended", "Attended", "Attended"],
    }


def test_the_documented_command_ends_with_members_in_every_linked_program(tmp_path: Path) -> None:
    finished = subprocess.run(
        [
            sys.executable, str(REPOSITORY / "examples" / "mobly" / "mobly_chain.py"),
            "--leads", "80", "--output", str(tmp_path),
        ],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "first sync   80 captures" in finished.stdout
    assert "noor.visser@polder.example: Attended" in finished.stdout
    assert "have the status No Show" in finished.stdout
    assert "third sync   81 captures" in finished.stdout
    for program in (scenario.SPRING_EXPO, scenario.AUDIENCE, scenario.ROADSHOW, scenario.PARTNER_DAY):
        assert f"({program}, " in finished.stdout


def test_a_source_that_cannot_read_is_told_with_its_reason(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    finished = subprocess.run(
        [
            sys.executable, str(REPOSITORY / "examples" / "mobly" / "mobly_chain.py"),
            "--manifest", str(missing), "--output", str(tmp_path),
        ],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert finished.returncode == 1
    assert "source-declarative-manifest ended with 1" in finished.stderr
