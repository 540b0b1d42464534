"""Memory between syncs (`lead_sync.send: changes`), with the executable as a platform runs it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import threading
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest
import scenario
from harness import Connector, InProcess, Json, Run, catalog_of, config_for, record, state
from moto.server import ThreadedMotoServer
from recording_proxy import RecordingProxy
from test_chaos import disturbed_run
from test_kill import RUNNER, files, killed_run, start
from test_storage_s3 import FaultyProxy

from destination_marketo_programs.imports.jobs import NoSignError
from marketo_sandbox import SandboxServer
from marketo_sandbox.faults import Chaos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from mypy_boto3_s3 import S3Client


PROGRAM, OTHER = 1004, 1234
KEYED = catalog_of("leads", primary_key=[["id"]])
FIELDS = [
    {"record_field": name, "marketo_object": "lead", "marketo_field": name}
    for name in ("firstName", "lastName", "title", "company")
]
PERSON_DATA = ("Person", "Kovacs", "Manager", "Engines", "example.org")


def people(count: int, **changes: Json) -> list[Json]:
    """Records, with what `p3={...}` changes in the third."""
    return [
        {
            "id": number,
            "email": f"person{number}@example.org",
            "firstName": f"Person {number}",
            "lastName": "Kovacs",
            "title": "Manager",
            "company": f"Engines {number}",
        }
        | changes.get(f"p{number}", {})
        for number in range(count)
    ]


def messages(records: list[Json]) -> list[bytes]:
    return [*map(record, records), state(len(records))]


class Town:
    """One connection and its Marketo, from sync to sync.

    Attributes:
        run: the last sync.
        writes: endpoints of its calls that can write.
        rows: what these held, row by row, without the bodies of imports.
    """

    def __init__(self, sandbox: SandboxServer, connector: Connector, storage: Json, proxy: RecordingProxy) -> None:
        self.sandbox = sandbox
        self.connector = connector
        self.config = config_for(
            sandbox,
            domain_url=proxy.url,
            field_mappings=FIELDS,
            lead_sync={"send": "changes"},
            object_storage_config=storage,
        )
        self._proxy = proxy
        self.rows: list[Json] = []
        self.writes: list[str] = []

    def write(self, records: list[Json], catalog: Json = KEYED, **changes: Any) -> list[str]:
        """A sync that succeeds; the endpoints that it wrote to."""
        before, seen = len(self.sandbox.calls.writes()), len(self._proxy.exchanges)
        self.run = self.connector.write(self.config | changes, messages(records), catalog)
        assert self.run.code == 0, self.run.text
        self.writes = [call.endpoint for call in self.sandbox.calls.writes()[before:]]
        sent = [each for each in self._proxy.exchanges[seen:] if each.method == "POST" and "json" in each.content_type]
        self.rows = [row for each in sent for row in json.loads(each.body).get("input", [])]
        return self.writes

    def lead(self, number: int) -> Json:
        (lead_id,) = self.sandbox.state.leads_with("email", f"person{number}@example.org")
        lead = self.sandbox.state.lead(lead_id)
        assert lead is not None
        return lead


@pytest.fixture
def proxy(sandbox: SandboxServer) -> Iterator[RecordingProxy]:
    with RecordingProxy(sandbox.url) as proxy:
        yield proxy


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outcomes"


@pytest.fixture
def town(sandbox: SandboxServer, connector: Connector, folder: Path, proxy: RecordingProxy) -> Town:
    return Town(sandbox, connector, {"storage_type": "Local", "path": str(folder)}, proxy)


def memory_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("**/memory-*"))


# --- what is sent ------------------------------------------------------------------------------------------------


def test_a_second_sync_of_the_same_records_makes_no_call_beyond_the_checks(town: Town, folder: Path) -> None:
    assert len(town.write(people(400))) == 4
    assert len(town.sandbox.state.members(PROGRAM)) == 400
    calls = town.sandbox.calls.count()
    town.connector.check(town.config)
    of_check = town.sandbox.calls.count() - calls
    assert town.write(people(400)) == []
    assert town.sandbox.calls.count() - calls <= 2 * of_check
    assert town.run.stats == (400, 0)
    latest = scenario.stored_outcomes(folder)[-400:]
    assert {(outcome["outcome"], outcome["lead_action"]) for outcome in latest} == {("unchanged", "remembered")}
    assert all(outcome["lead_id"] for outcome in latest)


def test_a_correction_in_marketo_survives_a_change_of_another_field(town: Town) -> None:
    town.write(people(20))
    lead_id = town.lead(7)["id"]
    town.sandbox.state.change_lead(lead_id, {"title": "Director"})
    town.write(people(20, p7={"company": "Analytical Engines"}))
    assert town.rows == [{"id": lead_id, "company": "Analytical Engines"}]
    assert (town.lead(7)["title"], town.lead(7)["company"]) == ("Director", "Analytical Engines")
    assert town.write(people(20, p7={"company": "Analytical Engines"})) == []


def test_a_new_link_sends_the_status_alone(town: Town) -> None:
    town.write(people(5))
    town.sandbox.state.change_lead(town.lead(3)["id"], {"title": "Director"})
    town.config["program_links"].append({"event": "", "program_id": str(OTHER), "program_status": "Invited"})
    assert town.write(people(5)) == ["members.status"]
    assert len(town.sandbox.state.members(OTHER)) == 5
    assert town.lead(3)["title"] == "Director"
    assert town.write(people(5)) == []


def test_a_new_field_is_sent_to_everybody_and_nothing_else(town: Town) -> None:
    town.config["field_mappings"] = FIELDS[:3]
    town.write(people(5))
    town.config["field_mappings"] = FIELDS
    town.write(people(5))
    assert {frozenset(row) for row in town.rows} == {frozenset({"id", "company"})}


def test_whoever_was_removed_by_hand_stays_removed_and_whoever_is_deleted_comes_back_whole(town: Town) -> None:
    town.write(people(6))
    removed, deleted = town.lead(1)["id"], town.lead(2)["id"]
    town.sandbox.state.remove_member(PROGRAM, removed)
    town.sandbox.state.remove_lead(deleted)
    town.write(people(6, p1={"company": "New"}, p2={"company": "New"}))
    assert removed not in town.sandbox.state.members(PROGRAM)
    assert town.lead(1)["company"] == "New"
    assert (town.lead(2)["title"], town.lead(2)["company"]) == ("Manager", "New")
    assert town.lead(2)["id"] in town.sandbox.state.members(PROGRAM)


def test_a_rejected_record_is_sent_again(town: Town) -> None:
    town.write(people(3, p1={"email": "nobody"}))
    assert town.run.stats == (2, 1)
    assert town.write(people(3, p1={"email": "nobody"})) == []
    assert town.run.stats == (2, 1)
    town.write(people(3))
    assert town.rows[0]["email"] == "person1@example.org"


@pytest.mark.parametrize("sync_mode", ["append", "overwrite", "append_dedup"])
def test_a_full_refresh_sends_no_more_whatever_its_sync_and_mode(town: Town, folder: Path, sync_mode: str) -> None:
    catalog = KEYED | {
        "streams": [KEYED["streams"][0] | {"destination_sync_mode": sync_mode, "sync_mode": "full_refresh"}]
    }
    for number in range(3):
        calls = town.write(people(10), catalog | {"sync_id": 70 + number, "generation_id": number})
        assert len(calls) == (0 if number else 2)
    assert [path.parent for path in memory_files(folder)] == [folder]


def test_what_is_left_to_send_decides_between_files_and_rest(town: Town) -> None:
    """Three who changed are no file. Marketo names no lead ids for the rows of one: the three are looked up."""
    records = people(300)
    town.config["delivery"]["method"] = "bulk"
    town.write(records)
    assert len(town.sandbox.state.jobs()) == 1
    assert town.write(records) == []
    town.sandbox.state.change_lead(town.lead(7)["id"], {"title": "Director"})
    changed = people(300, **{f"p{number}": {"company": "New"} for number in (6, 7, 8)})
    town.write(changed)
    assert len(town.sandbox.state.jobs()) == 1
    assert sorted(row["company"] for row in town.rows) == ["New"] * 3
    assert not any("title" in row for row in town.rows)
    assert (town.lead(7)["title"], town.lead(7)["company"]) == ("Director", "New")
    assert town.write(changed) == []


@pytest.mark.parametrize("command", ["plan", "write"])
def test_plan_and_dry_run_use_it_and_leave_it_alone(town: Town, folder: Path, command: str) -> None:
    town.write(people(20))
    (memory,) = memory_files(folder)
    before = memory.read_bytes()
    changed = people(20, p7={"company": "New"})
    if command == "plan":
        arguments = town.connector.arguments("plan", town.config, KEYED)
        lines = b"\n".join(messages(changed))
        planned = subprocess.run(arguments, input=lines, capture_output=True, timeout=60, check=True)
        assert b"unchanged" in planned.stdout
    else:
        delivery = town.config["delivery"]
        assert town.write(changed, delivery=delivery | {"dry_run": True}) == []
    assert memory.read_bytes() == before
    town.write(changed)
    assert town.rows == [{"id": town.lead(7)["id"], "company": "New"}]


def test_an_object_of_data_activation_is_remembered_as_any_stream(town: Town) -> None:
    """The platform's own form: columns carry Marketo's names."""
    stream = KEYED["streams"][0] | {
        "destination_object_name": "Program members",
        "destination_sync_mode": "append_dedup",
    }
    catalog = {"streams": [stream]}
    records = [{"id": None, "email": f"person{n}@example.org", "title": "Manager", "company": "Old"} for n in range(5)]
    stream["primary_key"] = [["email"]]
    assert len(town.write(records, catalog)) == 2
    assert town.write(records, catalog) == []
    records[3]["company"] = "New"
    town.write(records, catalog)
    assert town.rows == [{"id": town.lead(3)["id"], "company": "New"}]


def test_match_only_creates_nobody_and_remembers_whom_it_found(town: Town) -> None:
    town.config["lead_sync"]["mode"] = "match_only"
    town.sandbox.state.add_lead({"email": "person0@example.org"})
    town.write(people(2))
    assert town.run.stats == (1, 1)
    town.write(people(2))
    assert [row.get("email") for row in town.rows] == ["person1@example.org"]
    assert town.sandbox.state.lead_count() == 1


# --- where it is kept --------------------------------------------------------------------------------------------


def test_no_person_and_no_secret_is_in_what_is_remembered(town: Town, folder: Path) -> None:
    town.write(people(30))
    (memory,) = memory_files(folder)
    data = memory.read_bytes()
    for text in (*PERSON_DATA, town.config["client_secret"], town.config["client_id"]):
        assert text.encode() not in data
    for outcome in scenario.stored_outcomes(folder):
        assert not any(text in json.dumps(outcome) for text in PERSON_DATA)


@pytest.mark.parametrize("harm", ["deleted", "cut", "garbage", "folder of a later version"])
def test_a_memory_that_is_lost_or_damaged_is_made_anew(town: Town, folder: Path, harm: str) -> None:
    town.write(people(50))
    town.write(people(50, p9={"company": "New"}))
    (memory,) = memory_files(folder)
    data = memory.read_bytes()
    match harm:
        case "deleted":
            memory.unlink()
        case "cut":
            memory.write_bytes(data[: len(data) // 2])
        case "garbage":
            memory.write_bytes(os.urandom(len(data)))
        case _:
            memory.write_bytes(data.replace(b"version1", b"version9"))
    assert town.write(people(50, p9={"company": "New"})) == []
    assert memory.read_bytes() != b""
    assert harm == "deleted" or "damaged" in town.run.logs
    assert town.write(people(50, p9={"company": "New"})) == []
    assert "damaged" not in town.run.logs


def test_another_marketo_knows_nothing(town: Town) -> None:
    town.write(people(5))
    with SandboxServer() as other:
        config: Json = {"domain_url": other.url, "client_id": other.client_id, "client_secret": other.client_secret}
        town.sandbox = other
        assert len(town.write(people(5), **config)) == 2
        assert len(other.state.members(PROGRAM)) == 5


def test_without_storage_it_is_a_configuration_error(town: Town) -> None:
    town.config["object_storage_config"] = {"storage_type": "None"}
    run = town.connector.write(town.config, messages(people(1)))
    assert run.code != 0
    assert "lead_sync.send" in run.error["message"]


# --- kills and chaos ---------------------------------------------------------------------------------------------

CHANGES: Json = {"send": "changes"}
"""As `scenario.config`, whose two addresses that are shared by several people are left out by `disturbed_run`."""


def changed(made: list[Json], seed: int) -> list[Json]:
    """A later state of the same records: some names differ."""
    draw = random.Random(seed)
    return [data | {"first": f"{data['first']} II"} if draw.random() < 0.2 else data for data in made]


def first_names(sandbox: SandboxServer) -> dict[str, str]:
    return {lead["email"].lower(): lead["firstName"] for lead in sandbox.state.leads() if lead.get("firstName")}


def expected_names(made: list[Json]) -> dict[str, set[str]]:
    """What the records of each person say."""
    names: dict[str, set[str]] = {}
    for data in made:
        email = (data["email"] or "").strip().lower()
        if "@" in email and data["event_id"] in scenario.EVENTS:
            names.setdefault(email, set()).add(data["first"])
    return names


def kill_and_resume(command: list[str], sandbox: SandboxServer, made: list[Json], seed: int) -> None:
    """Killed once or twice, then to the end; from the last STATE that was echoed, or from the start."""
    draw = random.Random(seed)
    sandbox.faults.set_chaos(Chaos(seed=seed, rate=0.4, kinds=("slow",), slow_seconds=0.05))
    resume = 0
    for _ in range(draw.randint(1, 2)):
        resume = max(resume, killed_run(command, scenario.lines(made, resume), sandbox, draw.randint(7, 30)))
    sandbox.faults.set_chaos(None)
    quiet_run(command, scenario.lines(made, draw.choice((0, resume))))
    scenario.assert_final_state(sandbox, made)
    names = first_names(sandbox)
    for email, said in expected_names(made).items():
        if not email.startswith("double"):
            assert names[email] in said, email


def quiet_run(command: list[str], lines: list[bytes]) -> Run:
    process = start(command)
    out, err = process.communicate(b"\n".join(lines) + b"\n", timeout=60)
    assert process.returncode == 0, err.decode()
    return Run(0, out.splitlines())


def rounds_of_kills(tmp_path: Path, seeds: range) -> None:
    for seed in seeds:
        folder = tmp_path / str(seed)
        folder.mkdir()
        with SandboxServer() as sandbox:
            sandbox.configure(limits=False)
            made = scenario.records(seed, scenario.prepare(sandbox), 240)
            lead_sync = {"duplicate_leads": "reject", "send": "changes"}
            config = scenario.config(sandbox, folder / "outcomes", lead_sync=lead_sync)
            command = RUNNER + files(folder, config)
            kill_and_resume(command, sandbox, made, seed)
            # Next hour: some records say something else, and the run is killed again.
            later = changed(made, seed)
            kill_and_resume(command, sandbox, later, seed + 1)
            before = len(sandbox.calls.writes())
            quiet_run(command, scenario.lines(later))
            sent = {key for call in sandbox.calls.writes()[before:] for key in call.keys}
            assert sent <= {"double@example.org"}


def test_killed_in_the_middle_nothing_is_lost_and_nothing_doubled(tmp_path: Path) -> None:
    rounds_of_kills(tmp_path, range(3))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments(tmp_path: Path) -> None:
    rounds_of_kills(tmp_path, range(100, 100 + int(os.environ.get("KILL_ROUNDS", "50")) // 2))


@pytest.mark.parametrize("first", range(0, 40, 10))
def test_faults_of_any_kind_end_as_a_quiet_day(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 10):
        disturbed_run(tmp_path / str(seed), seed, lead_sync=CHANGES)


@pytest.mark.parametrize("first", range(0, 20, 5))
def test_faults_on_the_second_day_send_what_changed_and_nothing_else(tmp_path: Path, first: int) -> None:
    for seed in range(first, first + 5):
        with SandboxServer() as sandbox:
            sandbox.configure(limits=False)
            known = scenario.prepare(sandbox)
            made = [data for data in scenario.records(seed, known) if not str(data["email"]).startswith("double")]
            config = scenario.config(sandbox, tmp_path / str(seed), lead_sync=CHANGES)
            InProcess(config).run(scenario.lines(made))
            touched = {(data["email"] or "").strip().lower() for data in made[::9]}
            later = [
                data | {"first": f"{data['first']} II"} if (data["email"] or "").strip().lower() in touched else data
                for data in made
            ]
            corrected = [
                lead["id"]
                for lead in sandbox.state.leads()
                if str(lead["email"]).lower() not in touched and lead.get("firstName")
            ]
            for lead_id in corrected:
                sandbox.state.change_lead(lead_id, {"firstName": "Corrected"})
            sandbox.faults.set_chaos(Chaos(seed=seed, rate=0.3, in_a_row=6))
            done = False
            while not done:
                with contextlib.suppress(NoSignError):
                    InProcess(config).run(scenario.lines(later))
                    done = True
            sandbox.faults.set_chaos(None)
            scenario.assert_final_state(sandbox, later)
            names = first_names(sandbox)
            for lead_id in corrected:
                lead = sandbox.state.lead(lead_id)
                assert lead is not None
                assert lead["firstName"] == "Corrected", lead["email"]
            for email, said in expected_names(later).items():
                assert email not in touched or names[email] in said


# --- a bucket ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moto_server() -> Iterator[tuple[str, int]]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


class Bucket:
    """A bucket behind a proxy that makes faults."""

    def __init__(self, proxy: FaultyProxy, client: S3Client, name: str) -> None:
        self.proxy = proxy
        self.client = client
        self.name = name
        self.storage: Json = {
            "storage_type": "S3",
            "s3_bucket_name": name,
            "s3_bucket_region": "us-east-1",
            "bucket_path": "marketo",
            "access_key_id": "AKIATESTONLYKEYID000",
            "secret_access_key": "throw/away+secret",
            "s3_endpoint": proxy.url,
        }

    def memory(self) -> bytes:
        (key,) = self.memory_keys()
        return self.client.get_object(Bucket=self.name, Key=key)["Body"].read()

    def memory_keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=self.name).get("Contents", [])
        return [entry["Key"] for entry in found if "/memory-" in entry["Key"]]

    def refuse(self, method: str, status: int, code: str) -> Callable[[Any], bool]:
        """Refuse calls of one method about the memory's file, and let everything else pass."""

        def fault(handler: Any) -> bool:
            wanted = handler.command == method and "/memory-" in handler.path
            return wanted and bool(handler.error(status, code))

        self.proxy.fault = fault
        return fault


@pytest.fixture
def bucket(moto_server: tuple[str, int]) -> Iterator[Bucket]:
    host, port = moto_server
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url=f"http://{host}:{port}",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    name = f"outcomes-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    server = FaultyProxy(moto_server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield Bucket(server, client, name)
    server.stall.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture
def bucket_town(sandbox: SandboxServer, connector: Connector, bucket: Bucket, proxy: RecordingProxy) -> Town:
    return Town(sandbox, connector, bucket.storage, proxy)


def test_a_bucket_remembers_as_a_folder_does(bucket_town: Town, bucket: Bucket) -> None:
    town = bucket_town
    town.write(people(50))
    assert town.write(people(50)) == []
    data = bucket.memory()
    assert not any(text.encode() in data for text in (*PERSON_DATA, "throw/away+secret"))
    bucket.client.delete_object(Bucket=bucket.name, Key=bucket.memory_keys()[0])
    town.write(people(50, p7={"company": "New"}))
    assert town.rows == [{"id": town.lead(7)["id"], "company": "New"}]


def test_a_memory_that_cannot_be_written_is_told_and_made_anew(bucket_town: Town, bucket: Bucket) -> None:
    """What was delivered is in the outcome files: the sync has not failed, and the next one knows it all."""
    town = bucket_town
    bucket.refuse("PUT", 403, "AccessDenied")
    town.write(people(20))
    assert "WARN What was sent could not be noted for the next sync" in town.run.logs
    assert "s3:PutObject" in town.run.logs
    assert bucket.memory_keys() == []
    assert "throw/away+secret" not in town.run.text
    bucket.proxy.fault = lambda _: False
    assert town.write(people(20)) == []


def test_a_memory_that_cannot_be_read_ends_the_sync_before_anything_is_sent(
    bucket_town: Town, bucket: Bucket, connector: Connector
) -> None:
    """Without it everything would be sent again, over every correction in Marketo."""
    town = bucket_town
    town.write(people(20))
    bucket.refuse("GET", 403, "AccessDenied")
    before = len(town.sandbox.calls.writes())
    run = connector.write(town.config, messages(people(20)), KEYED)
    assert run.code != 0
    assert "s3:GetObject" in run.error["message"]
    assert run.states == []
    assert len(town.sandbox.calls.writes()) == before
    bucket.proxy.fault = lambda _: False
    assert town.write(people(20)) == []
