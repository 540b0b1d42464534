"""`examples/pyairbyte`: real sources through PyAirbyte into the connector, with and without PyAirbyte's cache.

What the destination reads and prints is recorded on its way, and the members in the sandbox are compared with what
the recorded records ask for.
"""

from __future__ import annotations

import csv
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from fake_mobly import FakeMobly, Organisation
from marketo_programs_demo import leads
from mobly_source import REPOSITORY

from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

Json = dict[str, Any]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EXAMPLE = REPOSITORY / "examples" / "pyairbyte"
INSTALL_SECONDS = 800
SYNC_SECONDS = 300
USERS = 5000
IMAGE = "airbyte/destination-marketo-programs:dev"
DOCKER = shutil.which("docker")


@pytest.fixture(scope="module")
def pyairbyte() -> Path:
    """PyAirbyte's interpreter; made with the sources' environments where they are not there yet."""
    installed = subprocess.run(
        [str(EXAMPLE / "install")],
        env=os.environ | {"PYTHON": sys.executable},
        capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False,
    )  # fmt: skip
    if installed.returncode:
        pytest.skip(f"PyAirbyte and its sources cannot be installed here: {installed.stderr.strip()[-300:]}")
    return REPOSITORY / ".venv-pyairbyte" / "bin" / "python"


@pytest.fixture
def marketo() -> Iterator[SandboxServer]:
    with SandboxServer() as running:
        yield running


class Chain:
    """One run of `chains.py`, with the destination's stdin and stdout written down."""

    def __init__(self, python: Path, folder: Path) -> None:
        self._python = python
        self._folder = folder
        self._stdin = folder / "stdin.jsonl"
        self._stdout = folder / "stdout.jsonl"
        self._recorder = folder / "destination"
        connector = f"{shlex.quote(sys.executable)} -m destination_marketo_programs"
        self._recorder.write_text(
            "#!/usr/bin/env bash\n"
            "set -o pipefail\n"
            f'if [ "$1" != write ]; then exec {connector} "$@"; fi\n'
            f'tee {shlex.quote(str(self._stdin))} | {connector} "$@" | tee {shlex.quote(str(self._stdout))}\n'
        )
        self._recorder.chmod(0o755)

    def start(self, source: str, config: Json, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the example and hand over how it ended."""
        config_file = self._folder / "config.json"
        config_file.write_text(json.dumps(config))
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        return subprocess.run(
            [str(self._python), str(EXAMPLE / "chains.py"), source, "--config", str(config_file), *arguments],
            cwd=self._folder,
            env=environment | {"DO_NOT_TRACK": "1", "AIRBYTE_LOGGING_ROOT": str(self._folder / "logs")},
            capture_output=True, text=True, timeout=SYNC_SECONDS, check=False,
        )  # fmt: skip

    def run(self, source: str, config: Json, *arguments: str, cached: bool = False) -> None:
        """Run it with a recorder around the destination; it has to end well."""
        cache = ["--cache-dir", str(self._folder / "cache")] if cached else []
        finished = self.start(source, config, "--destination", str(self._recorder), *arguments, *cache)
        assert finished.returncode == 0, finished.stdout[-2000:] + finished.stderr[-4000:]
        self.received = [json.loads(line) for line in self._stdin.read_text().splitlines() if line.strip()]
        self.printed = [json.loads(line) for line in self._stdout.read_text().splitlines()]

    def records(self, stream: str) -> list[Json]:
        """The `data` of a stream's records, as they reached the destination."""
        return [
            message["record"]["data"]
            for message in self.received
            if message["type"] == "RECORD" and message["record"]["stream"] == stream
        ]

    def assert_every_state_came_back(self, rejected: int) -> None:
        """Every STATE is echoed in its order with all its keys, and the counts sum up to the records."""
        sent = [message["state"] for message in self.received if message["type"] == "STATE"]
        echoed = [message["state"] for message in self.printed if message["type"] == "STATE"]
        assert sent
        without_counts = [{**state, "destinationStats": None} for state in echoed]
        assert without_counts == [{**state, "destinationStats": None} for state in sent]
        record_count = sum(message["type"] == "RECORD" for message in self.received)
        stats = [state["destinationStats"] for state in echoed]
        assert sum(one["rejectedRecordCount"] for one in stats) == rejected
        assert sum(one["recordCount"] for one in stats) == record_count - rejected


@pytest.fixture
def chain(pyairbyte: Path, tmp_path: Path) -> Chain:
    return Chain(pyairbyte, tmp_path)


def destination_config(marketo: SandboxServer, **more: Any) -> Json:
    return {
        "domain_url": marketo.url,
        "client_id": marketo.client_id,
        "client_secret": marketo.client_secret,
        **more,
    }


@pytest.mark.parametrize("cached", [False, True], ids=["direct", "cached"])
def test_faker_users_become_members(chain: Chain, marketo: SandboxServer, cached: bool) -> None:
    config = destination_config(
        marketo,
        program_links=[{"program_id": "1001", "program_status": "On List", "lead_scan_threshold": 18}],
        qualifier_mappings=[
            {"qualifier": "academic_degree", "value": "PhD", "program_status": "Engaged"},
            {"qualifier": "academic_degree", "value": "Master", "program_status": "Member"},
        ],
        record_mapping={"mapping_type": "custom", "scan_count": "age"},
        field_mappings=[
            {"record_field": "occupation", "marketo_field": "title"},
            {"record_field": "address.city", "marketo_field": "city"},
            {"record_field": "height", "marketo_object": "program_member", "marketo_field": "dealSize"},
        ],
    )
    chain.run("faker", config, "--count", str(USERS), cached=cached)

    users = {user["email"].lower(): user for user in chain.records("users") if user["age"] >= 18}
    statuses = {"PhD": "Engaged", "Master": "Member", "Bachelor": "On List"}
    assert len(chain.records("users")) == USERS
    assert marketo.state.members_by_email(1001) == {
        email: statuses[user["academic_degree"]] for email, user in users.items()
    }
    chain.assert_every_state_came_back(rejected=0)
    people = {lead["email"].lower(): lead for lead in marketo.state.leads()}
    assert people.keys() == users.keys()
    for email, user in users.items():
        assert (people[email]["title"], people[email]["city"]) == (user["occupation"], user["address"]["city"])
        height = marketo.state.member_fields(1001, people[email]["id"])["dealSize"]
        assert float(height) == float(user["height"])


@pytest.mark.parametrize("cached", [False, True], ids=["direct", "cached"])
def test_a_csv_of_badge_scans_becomes_members(
    chain: Chain, marketo: SandboxServer, tmp_path: Path, cached: bool
) -> None:
    config = destination_config(
        marketo,
        program_links=[
            {"event": "4711", "program_id": "1004", "program_status": "Attended"},
            {"event": "4711", "program_id": "1001", "program_status": "On List", "lead_scan_threshold": 2},
            {"event": "4712", "program_id": "1234", "program_status": "Attended"},
        ],
        qualifier_mappings=[
            {"program_id": "1004", "qualifier": "wants_a_demo", "value": "Yes", "program_status": "Engaged"}
        ],
        record_mapping={"mapping_type": "custom", "scan_count": "scans"},
        object_storage_config={"storage_type": "Local", "path": str(tmp_path / "outcomes")},
        field_mappings=[
            {"record_field": "first_name", "marketo_field": "firstName"},
            {"record_field": "last_name", "marketo_field": "lastName"},
            {"record_field": "job_title", "marketo_field": "title"},
            {"record_field": "company", "marketo_field": "company"},
            {"record_field": "zip", "marketo_field": "postalCode"},
        ],
    )
    chain.run("file", config, cached=cached)

    with (EXAMPLE / "badge_scans.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(chain.records("badge_scans")) == len(rows)
    assert marketo.state.members_by_email(1004) == {
        "noor.visser@polder.example": "Engaged",
        "ben.garcia@kern.example": "Attended",
        "amara.adeyemi@bluebird.example": "Engaged",
        "felix.rossi@tamarind.example": "Engaged",
    }
    assert marketo.state.members_by_email(1001) == {
        "noor.visser@polder.example": "On List",
        "amara.adeyemi@bluebird.example": "On List",
    }
    assert marketo.state.members_by_email(1234) == {"hugo.dubois@oceane.example": "Attended"}
    # This source gives no STATE, so the outcomes alone say what became of the rows.
    assert not [message for message in chain.received + chain.printed if message["type"] == "STATE"]
    outcomes = [
        json.loads(line)
        for path in (tmp_path / "outcomes").glob("**/outcomes-*")
        for line in path.read_text().splitlines()
    ]
    left_out = Counter((one["outcome"], one["category"]) for one in outcomes if one["category"] != "SUPERSEDED")
    assert left_out["rejected", "MISSING_KEY"] == 2  # one row, two programs
    assert left_out["rejected", "INVALID_EMAIL"] == 1
    assert left_out["skipped", "NO_PROGRAM_LINK"] == 1
    assert left_out["skipped", "BELOW_SCAN_THRESHOLD"] == 4
    people = {lead["email"].lower(): lead for lead in marketo.state.leads()}
    assert len(people) == 5
    for row in rows:
        lead = people.get(row["email"].lower())
        if lead is not None:
            assert (lead["firstName"], lead["lastName"], lead["company"], lead["postalCode"]) == (
                row["first_name"], row["last_name"], row["company"], row["zip"],
            )  # fmt: skip


@pytest.mark.parametrize("cached", [False, True], ids=["direct", "cached"])
def test_two_streams_of_mobly_go_to_programs_of_their_own(chain: Chain, marketo: SandboxServer, cached: bool) -> None:
    organisation = Organisation(leads.EVENTS, leads.TAG_GROUPS)
    captures = [
        (leads.EXPO, "noor.visser@polder.example", "Yes"),
        (leads.EXPO, "ben.garcia@kern.example", "No"),
        (leads.ROADSHOW, "amara.adeyemi@bluebird.example", "Yes"),
    ]
    known = marketo.state.add_lead({"email": "old.address@former-employer.example"})
    remote = [{"id": str(known), "integrationType": "MARKETO"}]
    organisation.scan_badge(leads.EXPO, "jamal.walker@kestrel.example", firstName="Jamal", remoteIds=remote)
    for event, email, answer in captures:
        lead = organisation.scan_badge(event, email, firstName=email.split(".")[0].title(), jobTitle="CTO")
        organisation.scan_badge(event, email)
        organisation.pick_tag(lead, "Wants a demo", answer)
    config = destination_config(
        marketo,
        program_links=[
            {
                "event": "4711",
                "stream": "captured_leads",
                "program_id": "1004",
                "program_status": "Attended",
                "lead_scan_threshold": 2,
            },
            {
                "event": "Roadshow Rotterdam",
                "stream": "captured_leads",
                "program_id": "1234",
                "program_status": "Member",
            },
            {"stream": "leads", "program_id": "1001", "program_status": "On List"},
        ],
        qualifier_mappings=[
            {"program_id": "1004", "value": "Yes", "program_status": "Engaged"},
            {
                "program_id": "1234",
                "qualifier": 'qualifiers."Wants a demo"',
                "value": "Yes",
                "program_status": "Engaged",
            },
        ],
    )
    with FakeMobly(organisation, per_second=1e6) as mobly:
        chain.run("mobly", config, "--mobly-url", mobly.url, "--mobly-key", mobly.api_key, cached=cached)

    assert (len(chain.records("leads")), len(chain.records("captured_leads"))) == (4, 4)
    assert marketo.state.members_by_email(1004) == {
        "noor.visser@polder.example": "Engaged",
        "ben.garcia@kern.example": "Attended",
    }
    assert marketo.state.members_by_email(1234) == {"amara.adeyemi@bluebird.example": "Engaged"}
    everybody = {email for _, email, _ in captures} | {"old.address@former-employer.example"}
    assert marketo.state.members_by_email(1001) == dict.fromkeys(everybody, "On List")
    chain.assert_every_state_came_back(rejected=0)
    people = {lead["email"]: lead for lead in marketo.state.leads()}
    assert len(people) == 4
    assert (people["noor.visser@polder.example"]["firstName"], people["noor.visser@polder.example"]["title"]) == (
        "Noor",
        "CTO",
    )
    assert people["old.address@former-employer.example"]["firstName"] == "Jamal"


def test_a_refused_configuration_fails_the_run(chain: Chain, marketo: SandboxServer) -> None:
    config = destination_config(marketo, program_links=[{"program_id": "1004", "program_status": "attended"}])
    finished = chain.start("file", config)
    assert finished.returncode == 1
    assert "Attended" in finished.stdout + finished.stderr
    assert marketo.state.all_members() == []


@pytest.mark.docker
def test_the_image_serves_as_destination_as_well(chain: Chain, marketo: SandboxServer) -> None:
    built = subprocess.run(["docker", "image", "inspect", IMAGE], capture_output=True, check=False) if DOCKER else None
    if built is None or built.returncode:
        pytest.skip(f"no docker engine with the image {IMAGE}; .ci/image builds it")
    config = destination_config(
        marketo,
        program_links=[{"event": "4712", "program_id": "1234", "program_status": "Attended"}],
        record_mapping={"mapping_type": "custom"},
    )
    finished = chain.start("file", config, "--image", IMAGE, "--host-network")
    assert finished.returncode == 0, finished.stderr[-3000:]
    assert marketo.state.members_by_email(1234) == {"hugo.dubois@oceane.example": "Attended"}
