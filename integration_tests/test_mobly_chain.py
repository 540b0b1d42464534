"""From a badge scanned in Mobly to a Program Status in Marketo, with every process between them."""

from __future__ import annotations

import subprocess
import sys
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


def test_the_documented_command_ends_with_members_in_every_linked_program(tmp_path: Path) -> None:
    finished = subprocess.run(
        [
            sys.executable, str(REPOSITORY / "examples" / "mobly" / "mobly_chain.py"),
            "--leads", "80", "--output", str(tmp_path),
        ],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "80 captures" in finished.stdout
    for program in (scenario.SPRING_EXPO, scenario.AUDIENCE, scenario.ROADSHOW, scenario.PARTNER_DAY):
        assert f"({program}, " in finished.stdout


def test_a_source_that_cannot_read_is_told_with_its_reason(tmp_path: Path) -> None:
    missing = tmp_path / "none.yaml"
    finished = subprocess.run(
        [
            sys.executable, str(REPOSITORY / "examples" / "mobly" / "mobly_chain.py"),
            "--manifest", str(missing), "--output", str(tmp_path),
        ],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert finished.returncode == 1
    assert "source-declarative-manifest ended with 1" in finished.stderr
