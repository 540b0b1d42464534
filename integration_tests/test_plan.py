"""`plan`: it only reads, and a write on the same Marketo gives exactly what it named."""

from __future__ import annotations

import io
import json
import os
import random
import signal
import subprocess
import threading
from typing import IO, TYPE_CHECKING, Any

import pytest
from harness import QUICK, Connector, InProcess, Json, catalog_of, config_for, environment, record, state
from marketo_programs_demo.leads import STREAM, generate

from destination_marketo_programs.bar import Bar
from destination_marketo_programs.catalog import read_catalog
from destination_marketo_programs.config import load_settings
from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.plan.listings import JsonListing
from destination_marketo_programs.plan.running import run_plan
from destination_marketo_programs.session import open_session
from destination_marketo_programs.storage.store import NoStore
from marketo_sandbox import SandboxServer, Service
from marketo_sandbox import Settings as SandboxSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

Line = tuple[Any, ...]

COMPARED = ("record_key", "program_id", "outcome", "category", "program_status", "code")


def compared(outcomes: Iterable[Json], *more: str) -> list[Line]:
    return sorted((tuple(outcome[name] for name in (*COMPARED, *more)) for outcome in outcomes), key=repr)


def stored(folder: Path, kind: str = "outcomes") -> list[Json]:
    return [json.loads(line) for path in sorted(folder.glob(f"**/{kind}-*.jsonl")) for line in path.open()]


def plan_process(
    connector: Connector, config: Json, lines: Sequence[bytes], catalog: Json | None = None, *options: str
) -> tuple[int, str, str]:
    """Exit code, stdout, stderr."""
    process = subprocess.run(
        [*connector.arguments("plan", config, catalog or catalog_of("leads")), *options],
        input=b"\n".join(lines) + b"\n",
        capture_output=True,
        env=environment(),
        timeout=120,
        check=False,
    )
    return process.returncode, process.stdout.decode(), process.stderr.decode()


def feed(pipe: IO[bytes], lines: Iterable[bytes]) -> None:
    try:
        with pipe:
            pipe.writelines(line + b"\n" for line in lines)
    except BrokenPipeError:
        return  # the reader has ended first


def plan_here(config: Json, lines: Sequence[bytes]) -> tuple[list[Json], Json]:
    """Outcomes and sums of a plan in this process."""
    loaded = load_settings(config, cloud=False)
    assert loaded.settings is not None, loaded.problems
    read_end, write_end = os.pipe()
    out = io.BytesIO()
    feeder = threading.Thread(target=feed, args=(os.fdopen(write_end, "wb"), lines), daemon=True)
    feeder.start()
    try:
        with open_session(
            loaded.settings,
            catalog=read_catalog(catalog_of("leads")),
            store=NoStore(),
            policy=QUICK,
            read_only=True,
        ) as session:
            preflight = session.check(raise_transient=True)
            assert not preflight.problems, [str(problem) for problem in preflight.problems]
            run_plan(session, preflight, Intake(read_end), JsonListing(out), Bar(shown=False))
    finally:
        os.close(read_end)
        feeder.join(5)
    *outcomes, sums = [json.loads(line) for line in out.getvalue().splitlines()]
    return outcomes, sums["summary"]


# --- the same outcomes as a write --------------------------------------------------------------------------------

DEMO_LINKS = [
    {"event": "4711", "program_id": "1004", "program_status": "Registered"},
    {"event": "4712", "program_id": "1234", "program_status": "Invited", "lead_scan_threshold": 1},
    {"event": "4713", "program_id": "1006", "program_status": "Attended", "unmapped_qualifier": "reject"},
]
DEMO_MAPPINGS = [
    {"program_id": "1004", "value": "Yes", "program_status": "Engaged"},
    {"program_id": "1006", "value": "Yes", "program_status": "Engaged"},
    {"program_id": "1006", "value": "No", "program_status": "Attended"},
]


def test_500_demo_leads_end_as_planned(sandbox: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    known = [sandbox.state.add_lead({"email": f"known{number}@example.org"}) for number in range(30)]
    for position, lead_id in enumerate(known[:20]):
        sandbox.state.add_member(1004, lead_id, ("Invited", "Registered", "Attended", "Engaged")[position % 4])
    for lead_id in known[20:23]:
        sandbox.state.remove_lead(lead_id)
    config = config_for(
        sandbox,
        record_mapping={"mapping_type": "mobly"},
        program_links=DEMO_LINKS,
        qualifier_mappings=DEMO_MAPPINGS,
        object_storage_config={"storage_type": "Local", "path": str(tmp_path / "outcomes")},
        delivery={"daily_call_budget": 1_000},
    )
    lines = [record(lead, STREAM) for lead in generate(500, marketo_ids=known)] + [state(1, STREAM)]
    before = sandbox.state.leads(), sandbox.state.all_members()

    code, out, err = plan_process(connector, config, lines, catalog_of(STREAM), "--format", "json")

    assert code == 0, err
    assert sandbox.calls.writes() == []
    assert (sandbox.state.leads(), sandbox.state.all_members()) == before
    assert not (tmp_path / "outcomes").exists()
    *planned, sums = [json.loads(line) for line in out.splitlines()]
    assert all(outcome["dry_run"] for outcome in planned)
    assert all(outcome["lead_id"] is None or outcome["lead_id"] in known for outcome in planned)

    people = sandbox.state.lead_count()
    memberships = len(sandbox.state.all_members())
    calls_before = sandbox.calls.count() - sandbox.calls.count("identity.token")
    run = connector.write(config, lines, catalog_of(STREAM))

    assert run.code == 0, run.text
    written = stored(tmp_path / "outcomes")
    assert compared(planned) == compared(written)
    # The mix is worth the name: every fate occurs.
    assert {outcome["outcome"] for outcome in written} == {"created", "updated", "unchanged", "skipped", "rejected"}
    summary = sums["summary"]
    assert summary["complete"] is True
    assert summary["records"] == 500
    assert summary["people_created"] == sandbox.state.lead_count() - people
    assert summary["members_created"] == len(sandbox.state.all_members()) - memberships
    calls_made = sandbox.calls.count() - sandbox.calls.count("identity.token") - calls_before
    # How many people share a call depends on how fast the input comes; exact counts are held below.
    assert abs(summary["calls"]["total"] - calls_made) <= 2
    assert summary["calls"]["fits_budget"] is True
    assert summary["records_rejected"] == run.stats[1]


MIX_LINKS = [
    {"event": "expo", "program_id": "1004", "program_status": "Registered"},
    {"event": "expo", "program_id": "1001", "program_status": "On List", "lead_scan_threshold": 2},
    {"event": "roadshow", "program_id": "1234", "program_status": "Invited", "unmapped_qualifier": "skip"},
]
MIX_MAPPINGS = [
    {"program_id": "1004", "qualifier": "answer", "value": "yes", "program_status": "Engaged"},
    {"program_id": "1004", "qualifier": "answer", "value": "no", "program_status": "No Show"},
    {"program_id": "1234", "qualifier": "answer", "value": "yes", "program_status": "Attended"},
    {"program_id": "1234", "qualifier": "answer", "value": "no", "program_status": "Invited"},
]
MIX_FIELDS = [
    {"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"},
    {"record_field": "scans", "marketo_object": "lead", "marketo_field": "numberOfScans"},
    {"record_field": "seat", "marketo_object": "program_member", "marketo_field": "seatNumber"},
]
KEPT_STATUSES = {
    1004: ("Invited", "Registered", "Waitlisted", "No Show", "Attended", "Engaged", "Left over"),
    1234: ("Member", "Invited", "Registered", "Attended", "Engaged"),
    1001: ("On List", "Member", "Engaged"),
}


def prepare(sandbox: SandboxServer, chance: random.Random) -> tuple[list[int], list[int]]:
    """People in Marketo: some twice, some members, some gone, some in another partition.

    Returns:
        Ids that are there and belong to nobody's double, and ids that are gone.
    """
    sandbox.configure(limits=False)
    alone: list[int] = []
    gone: list[int] = []
    for number in range(60):
        email = f"person{number}@example.org"
        doubles = chance.choice((1, 1, 1, 1, 1, 2, 3))
        partition = "EMEA" if chance.random() < 0.1 else "Default"
        ids = [sandbox.state.add_lead({"email": email}, partition) for _ in range(doubles)]
        for lead_id in ids:
            for program_id, statuses in KEPT_STATUSES.items():
                if chance.random() < 0.4:
                    sandbox.state.add_member(program_id, lead_id, chance.choice(statuses))
        if chance.random() < 0.2:
            gone.append(ids[0])
            for lead_id in ids:
                sandbox.state.remove_lead(lead_id)
        elif doubles == 1:
            alone.append(ids[0])
    return alone, gone


def mix(chance: random.Random, alone: Sequence[int], gone: Sequence[int], count: int = 160) -> Iterator[bytes]:
    for number in range(count):
        email = f"Person{chance.randrange(90)}@Example.org"
        data: Json = {
            "id": f"r-{number}",
            "email": chance.choice((email, email.lower(), f" {email} ", None, "no address")),
            "event_id": chance.choice(("expo", "expo", "roadshow", "elsewhere")),
            "scans": chance.choice((0, 1, 2, 5, "3", "many", None)),
            "answer": chance.choice(("yes", "no", "perhaps", None)),
            "first": chance.choice(("Ada", "Grace", "x" * 300, None)),
            "seat": chance.choice((1, "2", "front", None, None)),
        }
        if data["email"] is None or chance.random() < 0.3:
            data["marketo_id"] = chance.choice((*alone, *gone, *gone, 10**25))
        yield record(data)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("mode", "duplicates", "partition", "fields"),
    [
        ("create_or_update", "reject", "", MIX_FIELDS),
        ("create_or_update", "most_recently_updated", "", MIX_FIELDS[2:]),
        ("create_or_update", "most_recently_updated", "EMEA", MIX_FIELDS),
        ("create_missing", "reject", "", MIX_FIELDS),
        ("create_missing", "most_recently_updated", "EMEA", MIX_FIELDS[:2]),
        ("match_only", "reject", "", MIX_FIELDS),
        ("match_only", "most_recently_updated", "", []),
    ],
)
def test_any_mix_ends_as_planned(
    sandbox: SandboxServer,
    tmp_path: Path,
    seed: int,
    mode: str,
    duplicates: str,
    partition: str,
    fields: list[Json],
) -> None:
    """One call at a time: with several, a write's own outcomes for one person's records can depend on who is faster."""
    chance = random.Random(f"{seed} {mode} {duplicates} {partition} {len(fields)}")
    alone, gone = prepare(sandbox, chance)
    config = config_for(
        sandbox,
        program_links=MIX_LINKS,
        qualifier_mappings=MIX_MAPPINGS,
        field_mappings=fields,
        record_mapping={"mapping_type": "custom", "marketo_lead_id": "marketo_id", "scan_count": "scans"},
        lead_sync={"mode": mode, "duplicate_leads": duplicates, "partition_name": partition},
        object_storage_config={"storage_type": "Local", "path": str(tmp_path)},
        delivery={"concurrent_calls": 1},
    )
    lines = list(mix(chance, alone, gone))
    before = sandbox.state.leads(), sandbox.state.all_members()

    planned, summary = plan_here(config, lines)

    assert sandbox.calls.writes() == []
    assert (sandbox.state.leads(), sandbox.state.all_members()) == before
    people, statuses = sandbox.state.lead_count(), members_of(sandbox)
    calls_before = sandbox.calls.count()
    InProcess(config).run(lines)
    written = stored(tmp_path)
    assert compared(planned, "lead_action") == compared(written, "lead_action")
    assert summary["people_created"] == sandbox.state.lead_count() - people
    after = members_of(sandbox)
    assert summary["members_created"] == len(after.keys() - statuses.keys())
    assert moved(planned) <= {(before, after[who]) for who, before in statuses.items()}
    assert summary["calls"]["total"] == sandbox.calls.count() - calls_before - 1, "a token is no call"


def members_of(sandbox: SandboxServer) -> dict[tuple[int, int], str]:
    return {(row["programId"], row["leadId"]): row["statusName"] for row in sandbox.state.all_members()}


def moved(outcomes: Iterable[Json]) -> set[tuple[str, str]]:
    """Statuses before and after of those records that are the only one of their lead and program."""
    by_pair: dict[tuple[int, int], list[Json]] = {}
    for outcome in outcomes:
        if outcome["lead_id"] is not None and outcome["outcome"] in ("updated", "unchanged", "created"):
            by_pair.setdefault((outcome["program_id"], outcome["lead_id"]), []).append(outcome)
    return {
        (one["from_status"], one["program_status"])
        for one, *others in by_pair.values()
        if not others and one["outcome"] == "updated"
    }


def test_a_person_created_by_the_plan_is_one_person(sandbox: SandboxServer) -> None:
    """Over several batches: what earlier records would have set is remembered."""
    sandbox.configure(limits=False)
    first = [record({"id": f"a{n}", "email": f"new{n}@example.org", "event_id": "expo"}) for n in range(700)]
    again = [
        record({"id": f"b{n}", "email": f"NEW{n}@example.org", "event_id": "expo", "answer": "yes"}) for n in range(700)
    ]
    config = config_for(
        sandbox, program_links=MIX_LINKS[:1], qualifier_mappings=MIX_MAPPINGS[:1], delivery={"concurrent_calls": 1}
    )
    planned, summary = plan_here(config, first + again)
    assert summary["people_created"] == 700
    assert summary["members_created"] == 700
    last = {}
    for outcome in planned:
        last[outcome["record_key"]] = outcome
    assert all(last[f"b{n}"]["outcome"] in ("created", "updated") for n in range(700))
    for n in range(700):
        fates = (last[f"a{n}"]["outcome"], last[f"b{n}"]["outcome"], last[f"b{n}"]["from_status"])
        assert fates in {("created", "updated", "Registered"), ("skipped", "created", None)}
    assert all(outcome["lead_id"] is None for outcome in planned)
    assert sandbox.calls.writes() == []


# --- the command -------------------------------------------------------------------------------------------------


def one_of_each(sandbox: SandboxServer) -> list[bytes]:
    lead = sandbox.state.add_lead({"email": "member@example.org"})
    sandbox.state.add_member(1004, lead, "Invited")
    return [
        record({"id": "r-1", "email": "new@example.org"}),
        record({"id": "r-2", "email": "member@example.org"}),
        record({"email": "nowhere"}),
    ]


def test_text_names_every_record_and_strict_counts_rejections(sandbox: SandboxServer, connector: Connector) -> None:
    lines = one_of_each(sandbox)
    code, out, err = plan_process(connector, config_for(sandbox), lines)
    assert code == 0, err
    assert 'r-1, "Spring Expo 2026" (1004): created at "Registered", with a new person in Marketo' in out
    assert 'r-2, "Spring Expo 2026" (1004): updated from "Invited" to "Registered"' in out
    assert '#3, "Spring Expo 2026" (1004): rejected (INVALID_EMAIL)' in out
    assert "Plan for 3 records, 1 of which would be rejected. Nothing was written to Marketo." in out
    assert "example.org" not in err
    assert plan_process(connector, config_for(sandbox), lines, None, "--strict")[0] == 1
    assert plan_process(connector, config_for(sandbox), lines[:2], None, "--strict")[0] == 0
    assert sandbox.calls.writes() == []


def test_problems_of_the_configuration_are_told_and_nothing_is_planned(
    sandbox: SandboxServer, connector: Connector
) -> None:
    link = {"event": "", "program_id": "1004", "program_status": "registered"}
    code, out, err = plan_process(connector, config_for(sandbox, program_links=[link]), one_of_each(sandbox))
    assert (code, out) == (1, "")
    assert '(program_links[0].program_status): "registered" is not spelled as in' in err
    assert 'Did you mean "Registered"?' in err
    assert sandbox.calls.count("leads.query") == 0


def test_a_line_that_is_no_message_ends_the_plan_with_the_sums_so_far(
    sandbox: SandboxServer, connector: Connector
) -> None:
    lines = [*one_of_each(sandbox), b"secret@example.org", record({"email": "late@example.org"})]
    code, out, err = plan_process(connector, config_for(sandbox), lines, None, "--format", "json")
    assert code == 1
    assert "Line 4 of the input is not an Airbyte message" in err
    assert "example.org" not in err
    *outcomes, sums = [json.loads(line) for line in out.splitlines()]
    assert len(outcomes) == 3
    assert sums["summary"]["complete"] is False


def test_the_plan_keeps_to_the_budget(sandbox: SandboxServer, connector: Connector) -> None:
    lines = one_of_each(sandbox)
    # Checks: usage, fields, channels, program, two folders. Then one call for people is left, and none for members.
    config = config_for(sandbox, delivery={"daily_call_budget": 7})
    code, out, err = plan_process(connector, config, lines)
    assert code == 1
    assert "delivery.daily_call_budget is used up" in err
    assert "The plan is incomplete" in out


def test_a_reader_that_has_seen_enough_ends_the_plan(sandbox: SandboxServer, connector: Connector) -> None:
    lines = [record({"email": "no address"}) for _ in range(20_000)]
    with subprocess.Popen(
        connector.arguments("plan", config_for(sandbox), catalog_of("leads")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        threading.Thread(target=feed, args=(process.stdin, lines), daemon=True).start()
        assert process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 1
        assert b"Traceback" not in process.stderr.read()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_plan_shows_what_it_has_seen(
    sandbox: SandboxServer, connector: Connector, number: signal.Signals, code: int
) -> None:
    config = config_for(sandbox, delivery={"max_batch_age_seconds": 1})
    with subprocess.Popen(
        connector.arguments("plan", config, catalog_of("leads")),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(record({"id": "r-1", "email": "new@example.org"}) + b"\n")
        process.stdin.flush()
        # The input is still open: a line is shown as soon as it is known.
        assert process.stdout.readline().startswith(b"r-1, ")
        process.send_signal(number)
        rest = process.stdout.read().decode()
        assert process.wait(60) == code
    assert "The plan is incomplete" in rest
    assert "Plan for 1 record." in rest


def test_a_person_in_a_hidden_partition_counts_as_absent(tmp_path: Path) -> None:
    """Documented limit: what the API user may not see, no reading can foretell; a write is refused with 1008."""
    service = Service(client_id="one", client_secret="only-default", partitions=frozenset({"Default"}))
    with SandboxServer(SandboxSettings(services=(service,))) as sandbox:
        sandbox.state.add_lead({"email": "hidden@example.org"}, "EMEA")
        lines = [record({"id": "r-1", "email": "hidden@example.org"})]
        config = config_for(sandbox, object_storage_config={"storage_type": "Local", "path": str(tmp_path)})
        (planned,), _ = plan_here(config, lines)
        assert planned["outcome"] == "created"
        InProcess(config).run(lines)
        (written,) = stored(tmp_path)
        assert (written["outcome"], written["code"]) == ("rejected", "1008")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_input(
    one_partition: SandboxServer, connector: Connector, tmp_path: Path
) -> None:
    """Ten times the records, each a new person in two programs, take hardly more memory."""
    one_partition.configure(limits=False)
    links = [{"event": "", "program_id": number, "program_status": "Invited"} for number in ("1004", "1234")]
    config = config_for(one_partition, program_links=links, delivery={"method": "auto"})
    peaks = []
    for count in (6_000, 60_000):
        source, target = tmp_path / f"in-{count}", tmp_path / f"out-{count}"
        with source.open("wb") as file:
            feed(file, (record({"email": f"p{n}@example.org", "note": "n" * 400}) for n in range(count)))
        with source.open("rb") as stdin, target.open("wb") as stdout:
            process = subprocess.Popen(
                connector.arguments("plan", config, catalog_of("leads")), stdin=stdin, stdout=stdout, env=environment()
            )
            _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        text = target.read_text()
        assert f"New program members: {2 * count:,}." in text
        assert "With delivery.method auto, 2 files would be sent by bulk import" in text
        peaks.append(usage.ru_maxrss / 1024)
    small, large = peaks
    assert large < small + 50, peaks
    assert one_partition.calls.writes() == []


# --- by file -----------------------------------------------------------------------------------------------------


@pytest.fixture
def one_partition() -> Iterator[SandboxServer]:
    """A Marketo whose API user sees one lead partition: only there does `auto` make files."""
    service = Service(client_id="one", client_secret="only-default", partitions=frozenset({"Default"}))
    with SandboxServer(SandboxSettings(services=(service,))) as server:
        yield server


def by_file(sandbox: SandboxServer, folder: Path, method: str, **delivery: Any) -> Json:
    links = [
        {"event": "expo", "program_id": "1004", "program_status": "Registered"},
        {"event": "roadshow", "program_id": "1234", "program_status": "Invited"},
        {"event": "list", "program_id": "1001", "program_status": "On List"},
        {"event": "late", "program_id": "1004", "program_status": "Attended"},
    ]
    return config_for(
        sandbox,
        program_links=links,
        record_mapping={"mapping_type": "custom", "marketo_lead_id": "marketo_id"},
        object_storage_config={"storage_type": "Local", "path": str(folder)},
        delivery={"method": method, **delivery},
    )


def people_by_event(sandbox: SandboxServer, **counts: int) -> list[bytes]:
    """People in turn for each event; ten more of the first one carry their Marketo id."""
    lines = [
        record({"id": f"{event}-{number}", "email": f"{event}{number}@example.org", "event_id": event})
        for event, count in counts.items()
        for number in range(count)
    ]
    known = [sandbox.state.add_lead({"email": f"known{number}@example.org"}) for number in range(10)]
    lines += [record({"id": f"known-{n}", "event_id": next(iter(counts)), "marketo_id": n}) for n in known]
    random.Random(3_000).shuffle(lines)
    return lines


def calls_made(sandbox: SandboxServer) -> dict[str, int]:
    return {name: sum(endings.values()) for name, endings in sandbox.calls.counters().items()}


@pytest.mark.parametrize("method", ["auto", "bulk", "rest"])
def test_method_files_and_calls_are_those_of_the_write(
    one_partition: SandboxServer, tmp_path: Path, method: str
) -> None:
    one_partition.configure(limits=False, bulk_start_seconds=0.0, bulk_job_seconds=0.02)
    config = by_file(one_partition, tmp_path, method, daily_call_budget=10_000)
    lines = people_by_event(one_partition, expo=1_600, roadshow=1_400, list=90, late=40)
    planned, summary = plan_here(config, lines)
    imports, cost = summary["imports"], summary["calls"]
    assert cost["method"] == method
    assert cost["total"] == cost["checks"] + cost["imports"] + cost["people"] + cost["memberships"]
    assert one_partition.calls.writes() == []
    before = calls_made(one_partition)

    InProcess(config).run([*lines, state(1)])

    made = {name: count - before.get(name, 0) for name, count in calls_made(one_partition).items()}
    jobs = one_partition.state.jobs()
    written = {outcome["record_key"]: outcome for outcome in stored(tmp_path)}
    imported = {key for key, outcome in written.items() if outcome["outcome"] == "imported"}
    made_by_file = sum(count for name, count in made.items() if name.startswith("bulk."))
    if method == "rest":
        assert imports is None
        assert not imported
        assert not jobs
    else:
        assert imports["files"] == len(jobs) == (2 if method == "auto" else 4)
        assert imports["rows"] == len(imported) == (3_000 if method == "auto" else 3_130)
        by_group = {(group["program_id"], group["program_status"]): group["rows"] for group in imports["groups"]}
        arrived: dict[tuple[int, str], int] = {}
        for key in imported:
            place = written[key]["program_id"], written[key]["program_status"]
            arrived[place] = arrived.get(place, 0) + 1
        assert by_group == arrived
        assert len(jobs) < made_by_file <= cost["imports"] == imports["calls"]
        # `bulk` sends files of a few rows too, which cost more than they save.
        assert (cost["total"] < cost["total_over_rest"]) == (method == "auto")
    total = sum(count for name, count in made.items() if name != "identity.token")
    # Of what goes over REST, a call or two can be made more or less, with how fast the input comes.
    assert total - 2 <= cost["total"] if method == "rest" else total <= cost["total"]
    assert made.get("leads.sync", 0) <= cost["people"] + 1
    # Everything else is as planned, whichever way it went.
    for outcome in planned:
        if outcome["record_key"] not in imported:
            assert written[outcome["record_key"]]["outcome"] == outcome["outcome"]
    assert len(written) == len(planned) == 3_140


def test_text_says_what_goes_by_file(one_partition: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    lines = people_by_event(one_partition, expo=1_300, list=5)
    code, out, err = plan_process(connector, by_file(one_partition, tmp_path, "auto"), lines)
    assert code == 0, err
    assert "With delivery.method auto, 1 file would be sent by bulk import, and everything else over REST:\n" in out
    assert '  "Spring Expo 2026" (1004), "Registered": 1,300 rows in 1 file, up to 6 calls, and 10 over REST\n' in out
    assert 'The outcome of rows in a file is "imported" where this plan says created, updated or unchanged' in out
    assert one_partition.calls.writes() == []


def test_a_dry_run_says_it_too(one_partition: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    lines = people_by_event(one_partition, expo=1_300, list=5)
    run = connector.write(by_file(one_partition, tmp_path, "auto", dry_run=True), lines)
    assert run.code == 0, run.text
    summary = " ".join(run.of("LOG")[-1]["log"]["message"].split())
    assert "With delivery.method auto, 1 file would be sent by bulk import" in summary
    assert "would make up to" in summary
    few = connector.write(by_file(one_partition, tmp_path, "auto", dry_run=True), lines[:20])
    assert "With delivery.method auto everything is sent over REST: bulk import starts at 1,201 people" in few.text
    assert one_partition.calls.writes() == []
