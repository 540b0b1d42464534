"""What the connector wrote, read back by code that nobody here wrote: Airbyte's source for Marketo, marketorestpython.

People, programs and memberships that came over REST and by import are all there, and equal to what the sandbox holds.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from harness import Connector, catalog_of, config_for, record, state

from marketo_sandbox import Service, Settings
from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness import Json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).resolve().parents[1]
READERS = Path(__file__).with_name("readers")
INSTALL_SECONDS, READ_SECONDS = 800, 300
EXPO, FAIR, ROADSHOW = 1004, 1010, 1234
BY_REST, BY_FILE = 700, 1_500
FIELDS = {"first": "firstName", "last": "lastName", "job": "title", "score": "leadScore", "news": "newsletterOptIn"}
FIELD_MAPPINGS = [
    *({"record_field": name, "marketo_object": "lead", "marketo_field": field} for name, field in FIELDS.items()),
    {"record_field": "day", "marketo_object": "lead", "marketo_field": "lastEventDate"},
    {"record_field": "notes", "marketo_object": "program_member", "marketo_field": "boothNotes"},
]
LEAD_FIELDS = ["email", *FIELDS.values(), "lastEventDate"]


class Written(NamedTuple):
    """A sandbox that the connector has written to, over REST and by file."""

    marketo: SandboxServer

    @property
    def people(self) -> dict[int, Json]:
        """Lead id -> the fields that were written, as the sandbox has them."""
        return {
            lead["id"]: {name: lead[name] for name in LEAD_FIELDS if name in lead}
            for lead in self.marketo.state.leads()
        }

    @property
    def members(self) -> dict[tuple[int, int], str]:
        """(program, lead id) -> status."""
        return {(row["programId"], row["leadId"]): row["statusName"] for row in self.marketo.state.all_members()}


def person(number: int, event: int) -> Json:
    return {
        "id": f"r{number}",
        "email": f"person{number}@example.org",
        "event_id": event,
        "first": ("Ada", "Zoë", 'Ann "Bo"', "O'Neil", "李")[number % 5],
        "last": "Smith, Jr.",
        "job": ("VP; Sales", "null and void", "CTO")[number % 3],
        "score": number % 101,
        "news": number % 2 == 0,
        "day": "2026-04-14",
        "notes": f"badge {number}",
    }


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Written]:
    # One partition: with several and none named, a file could put people elsewhere, and is not sent.
    service = Service(client_id="reader", client_secret="secret", partitions=frozenset({"Default"}))
    with SandboxServer(Settings(services=(service,), export_status_seconds=0.0)) as marketo:
        connector = Connector(tmp_path_factory.mktemp("connector"))
        links = [
            {"event": "1", "program_id": str(EXPO), "program_status": "Attended"},
            {"event": "2", "program_id": str(FAIR), "program_status": "No Show"},
            {"event": "2", "program_id": str(ROADSHOW), "program_status": "Engaged"},
        ]
        for method, numbers in (("rest", range(BY_REST)), ("bulk", range(600, 600 + BY_FILE))):
            # A hundred people come both ways, and are one person each.
            config = config_for(
                marketo, program_links=links, field_mappings=FIELD_MAPPINGS, delivery={"method": method}
            )
            records = [record(person(number, 1 + number % 2)) for number in numbers]
            run = connector.write(config, [*records, state(1)], catalog_of("leads", primary_key=[["id"]]))
            assert run.code == 0, run.text[-3000:]
            assert run.stats == (len(numbers), 0)
        people = set(range(BY_REST)) | set(range(600, 600 + BY_FILE))
        assert marketo.state.lead_count() == len(people)
        assert len(marketo.state.jobs()) >= 3
        yield Written(marketo)


@pytest.fixture(autouse=True)
def empty_window(written: Written) -> None:
    """Earlier calls leave the window: marketorestpython drops its token when it repeats a call after a 606."""
    written.marketo.advance(written.marketo.settings.window_seconds + 1)


@pytest.fixture(scope="module")
def readers() -> None:
    """Both readers; made where they are not there yet."""
    installed = subprocess.run(
        [str(READERS / "install")],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"the readers cannot be installed here: {installed.stderr.strip()[-300:]}")


def run_reader(name: str, *arguments: str) -> str:
    finished = subprocess.run(
        [str(REPOSITORY / f".venv-{name}" / "bin" / "python"), *arguments],
        capture_output=True, text=True, timeout=READ_SECONDS, check=False,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-3000:]
    return finished.stdout


class Source:
    """Airbyte's source for Marketo."""

    def __init__(self, marketo: SandboxServer, folder: Path) -> None:
        self._folder = folder
        self._config = folder / "source.json"
        config = {
            "domain_url": marketo.url,
            "client_id": marketo.client_id,
            "client_secret": marketo.client_secret,
            # One window for each stream: this source does not know what to do at 606.
            "start_date": (datetime.now(UTC) - timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "window_in_days": 31,
        }
        self._config.write_text(json.dumps(config))

    def messages(self, command: str, *arguments: str) -> Iterator[Json]:
        script = str(READERS / "read_source_marketo.py")
        printed = run_reader("source-marketo", script, command, "--config", str(self._config), *arguments)
        for line in printed.split("\n"):
            if line.strip():
                yield json.loads(line)

    def read(self, *names: str) -> dict[str, list[Json]]:
        """Every record of those streams."""
        (catalog,) = [message["catalog"] for message in self.messages("discover") if message["type"] == "CATALOG"]
        found = {stream["name"]: stream for stream in catalog["streams"]}
        chosen = [
            {"stream": found[name], "sync_mode": "full_refresh", "destination_sync_mode": "append"} for name in names
        ]
        path = self._folder / "catalog.json"
        path.write_text(json.dumps({"streams": chosen}))
        rows: dict[str, list[Json]] = {name: [] for name in names}
        for message in self.messages("read", "--catalog", str(path)):
            if message["type"] == "RECORD":
                rows[message["record"]["stream"]].append(message["record"]["data"])
        return rows


@pytest.mark.usefixtures("readers")
def test_airbytes_source_reads_back_what_was_written(written: Written, tmp_path: Path) -> None:
    source = Source(written.marketo, tmp_path)
    (checked,) = [message for message in source.messages("check") if message["type"] == "CONNECTION_STATUS"]
    assert checked["connectionStatus"]["status"] == "SUCCEEDED"
    changes = "activities_change_statusin_progression"  # as that source spells it
    others = ["lists", "campaigns", "segmentations", "emails", "program_tokens", "activity_types"]
    read = source.read("leads", "programs", changes, "activities_new_lead", *others)
    assert {row["id"]: _plain(row, LEAD_FIELDS) for row in read["leads"]} == written.people
    programs = {program.id: (program.name, program.channel) for program in written.marketo.state.programs()}
    assert {row["id"]: (row["name"], row["channel"]) for row in read["programs"]} == programs
    latest: dict[tuple[int, int], str] = {}
    for row in sorted(read[changes], key=lambda row: int(row["marketoGUID"])):
        latest[int(row["primaryAttributeValueId"]), row["leadId"]] = row["new_status"]
    assert latest == written.members
    assert {row["leadId"] for row in read["activities_new_lead"]} == set(written.people)
    assert [len(read[name]) for name in others[:-1]] == [0] * 5


@pytest.mark.usefixtures("readers")
def test_marketorestpython_reads_back_what_was_written(written: Written) -> None:
    marketo = written.marketo
    script = str(READERS / "read_marketorestpython.py")
    arguments = [marketo.url, marketo.client_id, marketo.client_secret, *LEAD_FIELDS]
    found: Any = json.loads(run_reader("marketorestpython", script, *arguments))
    programs = {program.id: program.name for program in marketo.state.programs()}
    assert {row["id"]: row["name"] for row in found["programs"]} == programs
    assert {row["id"]: _plain(row, LEAD_FIELDS) for row in found["people"]} == written.people
    members = {
        (int(program_id), row["id"]): row["membership"]["progressionStatus"]
        for program_id, rows in found["members"].items()
        for row in rows
    }
    assert members == written.members
    changed = {(row["primaryAttributeValueId"], row["leadId"]) for row in found["changes"]}
    assert changed == set(members)


def _plain(row: Json, names: list[str]) -> Json:
    return {name: row[name] for name in names if row.get(name) is not None}
