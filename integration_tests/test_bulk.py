"""Bulk import over HTTP: each rejection names the right record; no disturbance loses, doubles or reorders anything."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
import scenario
import test_chaos
import test_kill
from harness import QUICK, Connector, InProcess, Json, catalog_of, config_for, record, state
from msgspec.structs import replace

from destination_marketo_programs.delivery.loop import Terminated
from destination_marketo_programs.imports.pace import ImportPace
from destination_marketo_programs.marketo.api import RestMarketo
from destination_marketo_programs.marketo.errors import QuotaReachedError
from marketo_sandbox import SandboxServer
from marketo_sandbox.faults import Fault, RowFault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from destination_marketo_programs.marketo.bulk_import import ImportStatus

FIRST_SEED = int(os.environ.get("CHAOS_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("CHAOS_SEEDS", "20"))
EAGER = ImportPace(
    0.01,
    0.1,
    1e9,
    slot_seconds=0.02,
    longest_slot_seconds=0.1,
    retry_seconds=0.01,
    lost_first_look_seconds=0.01,
    lost_longest_look_seconds=0.1,
    lost_patience_seconds=3,
    lost_settled_seconds=0.5,
)
QUICK_JOBS = {"limits": False, "bulk_start_seconds": 0.0, "bulk_job_seconds": 0.02}
FIELDS = ["leadScore", "numberOfEmployees", "annualRevenue", "unsubscribed", "dateOfBirth", "firstName", "lastScanAt"]


def stored(folder: Path, kind: str = "outcomes") -> list[Json]:
    return [
        json.loads(line) for path in sorted(folder.glob(f"**/{kind}-*.jsonl")) for line in path.read_text().splitlines()
    ]


def people(count: int, start: int = 0, **more: Any) -> list[bytes]:
    return [record({"id": n, "email": f"p{n}@example.org", **more}) for n in range(start, start + count)]


def delivery(**more: Any) -> Json:
    return {"method": "auto", "max_batch_age_seconds": 1, **more}


@pytest.fixture
def few_are_enough() -> Iterator[None]:
    """A file pays from eight rows on, so that small loads show both ways."""
    with (
        patch("destination_marketo_programs.imports.files.rows_worth_a_job", lambda **_: 8),
        # The sandbox has several partitions, which rules files out under `auto`.
        patch("destination_marketo_programs.imports.way.why_not_by_file", return_value=None),
    ):
        yield


# --- fifty thousand rows, three in a hundred bad ---------------------------------------------------------------------

BAD = {
    0: ("leadScore", "many", "FIELD_INVALID"),
    1: ("numberOfEmployees", "12 or so", "FIELD_INVALID"),
    2: ("annualRevenue", "1 million, at least", "FIELD_INVALID"),
    3: ("unsubscribed", 'perhaps "not"', "FIELD_INVALID"),
    4: ("dateOfBirth", "31.12.1999", "FIELD_INVALID"),
    5: ("firstName", "long, " * 60, "FIELD_INVALID"),
    6: ("lastScanAt", "yesterday\nevening", "FIELD_INVALID"),
    7: ("email", "double{}@example.org", "DUPLICATE_LEADS"),
    8: ("email", "strange{}@example.org", "RECORD_REFUSED"),
    9: ("email", "no address {}", "INVALID_EMAIL"),
}
GOOD = [50, 250, 1_000.5, True, "1999-12-31", 'Ada "the first", of\nLovelace', "2026-11-23T10:00:00Z"]
ODD_FORMS = [
    "p{}@example.org",
    " P{}@Example.ORG ",
    "o'hara+{}@example.org",
    "{}_=~{{x}}@a-b.example.org",
    "{}@x.museum",
]
COUNT = 50_000


def odd_record(number: int) -> tuple[Json, str | None]:
    """A record and the category that it has to be rejected with."""
    data: Json = {"id": number, "email": ODD_FORMS[number % 5].format(number), **dict(zip(FIELDS, GOOD, strict=True))}
    if number % 100 not in {13, 47, 81}:
        return data, None
    field, value, category = BAD[number // 100 % 10]
    data[field] = value.format(number) if field == "email" else value
    return data, category


@patch(
    "destination_marketo_programs.imports.way.why_not_by_file", lambda *_: None
)  # the sandbox has several partitions
def test_each_of_fifty_thousand_rows_gets_the_outcome_that_is_its_own(sandbox: SandboxServer, tmp_path: Path) -> None:
    made = [odd_record(number) for number in range(COUNT)]
    wanted = {str(data["id"]): category for data, category in made}
    for data, category in made:
        if category == "DUPLICATE_LEADS":
            for _ in range(2):
                sandbox.state.add_lead({"email": data["email"]})
    strange = RowFault(message="Something that no table knows", email_contains="strange")
    sandbox.faults.add(Fault(endpoint="bulk.import.create", row=strange, times=None))
    sandbox.configure(limits=False, bulk_duplicates="fail")
    fields = [{"record_field": name, "marketo_object": "lead", "marketo_field": name} for name in FIELDS]
    storage = {"storage_type": "Local", "path": str(tmp_path)}
    config = config_for(
        sandbox, field_mappings=fields, object_storage_config=storage, delivery=delivery(max_batch_age_seconds=600)
    )
    result = InProcess(config).run([record(data) for data, _ in made] + [state(1)])
    outcomes = {outcome["record_key"]: outcome for outcome in stored(tmp_path)}
    assert {key: outcome["category"] for key, outcome in outcomes.items()} == wanted
    assert Counter(outcome["outcome"] for outcome in outcomes.values()) == {"imported": 48_500, "rejected": 1_500}
    assert result.stats == (48_500, 1_500)
    for number, (field, _, category) in BAD.items():
        outcome = outcomes[str(number * 100 + 13)]
        if category == "FIELD_INVALID":
            ours = "takes" if field == "firstName" else "Invalid data type in field "
            assert ours in outcome["message"], field
    assert outcomes["213"]["detail"] == {"field": "annualRevenue", "value": "1 million, at least"}
    assert outcomes["813"]["message"] == "Something that no table knows"
    rejected = {line["record"]["data"]["id"] for line in stored(tmp_path, "rejected")}
    assert rejected == {int(key) for key, category in wanted.items() if category}
    members = sandbox.state.members_by_email(1004)
    assert len(members) == 48_500
    assert set(members.values()) == {"Registered"}
    calls = sandbox.calls.counters()
    assert "leads.sync" not in calls
    assert sum(sum(endings.values()) for endpoint, endings in calls.items() if endpoint.startswith("bulk")) < 40
    assert "example.org" not in result.logs


# --- which way -------------------------------------------------------------------------------------------------------


def test_a_small_load_makes_the_calls_that_it_makes_over_rest() -> None:
    counters = []
    for method in ("rest", "auto"):
        with SandboxServer() as sandbox:
            InProcess(config_for(sandbox, delivery=delivery(method=method, max_batch_age_seconds=60))).run(
                people(1_000)
            )
            counters.append({name: sum(endings.values()) for name, endings in sandbox.calls.counters().items()})
    assert counters[0] == counters[1]
    assert counters[0]["leads.sync"] == 4


def test_members_and_their_fields_arrive_by_file(sandbox: SandboxServer) -> None:
    fields = [
        {"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"},
        {"record_field": "code", "marketo_object": "program_member", "marketo_field": "registrationCode"},
    ]
    lead = sandbox.state.add_lead({"email": "P3@example.org", "firstName": "Before", "lastName": "Stays"})
    sync = {"blank_values": "clear"}
    config = config_for(sandbox, field_mappings=fields, lead_sync=sync, delivery=delivery(method="bulk"))
    lines = people(3, first='Ada, "Countess"\nof Lovelace', code="R-1") + people(1, start=3, first="", code="R-2")
    InProcess(config).run([*lines, state(1)])
    (ada,) = sandbox.state.leads_with("email", "p0@example.org")
    assert (sandbox.state.lead(ada) or {})["firstName"] == 'Ada, "Countess"\nof Lovelace'
    assert sandbox.state.member_fields(1004, ada)["registrationCode"] == "R-1"
    kept = sandbox.state.lead(lead) or {}
    assert (kept.get("firstName"), kept["lastName"]) == (None, "Stays")
    assert sandbox.state.member_fields(1004, lead)["registrationCode"] == "R-2"
    # Whether an empty cell clears a field is documented nowhere: the row with the blank went over REST.
    assert [call.records for call in sandbox.calls.all("leads.sync")] == [1]


def test_blanks_that_are_kept_never_reach_a_column_of_others(sandbox: SandboxServer) -> None:
    fields = [{"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"}]
    lead = sandbox.state.add_lead({"email": "p5@example.org", "firstName": "Stays"})
    config = config_for(sandbox, field_mappings=fields, delivery=delivery(method="bulk"))
    InProcess(config).run([*people(5, first="New"), *people(5, start=5, first=" "), state(1)])
    assert (sandbox.state.lead(lead) or {})["firstName"] == "Stays"
    assert len(sandbox.state.jobs()) == 2


@pytest.mark.usefixtures("few_are_enough")
def test_both_ways_in_one_sync_keep_the_order_of_a_person(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Each person's last record has to win, whichever way it and the ones before it took."""
    fields = [{"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"}]
    qualifiers = [{"program_id": "1004", "qualifier": "came", "value": "yes", "program_status": "Attended"}]
    config = config_for(
        sandbox,
        field_mappings=fields,
        qualifier_mappings=qualifiers,
        object_storage_config={"storage_type": "Local", "path": str(tmp_path)},
        delivery=delivery(),
    )
    lines = []
    for turn in range(6):
        for person in range(20):
            data: Json = {"id": turn * 100 + person, "email": f"p{person}@example.org", "first": f"turn {turn}"}
            if turn == 2 and person % 3 == 0:
                data["came"] = "yes"
            lines.append(record(data))
        lines.append(state(turn + 1))
    result = InProcess(config, import_pace=EAGER).run(lines)
    assert [message["id"] for message in result.states] == [1, 2, 3, 4, 5, 6]
    for person in range(20):
        (lead,) = sandbox.state.leads_with("email", f"p{person}@example.org")
        assert (sandbox.state.lead(lead) or {})["firstName"] == "turn 5"
        assert sandbox.state.members(1004)[lead] == ("Attended" if person % 3 == 0 else "Registered")
    assert len(stored(tmp_path)) == 120
    kinds = Counter(outcome["outcome"] for outcome in stored(tmp_path))
    assert kinds["imported"] >= 8
    assert sandbox.calls.counters().keys() >= {"bulk.import.create", "leads.sync"}


# --- what Marketo may do ---------------------------------------------------------------------------------------------


def run_of(sandbox: SandboxServer, folder: Path, lines: list[bytes], **more: Any) -> InProcess:
    config = config_for(
        sandbox,
        object_storage_config={"storage_type": "Local", "path": str(folder)},
        delivery=delivery(method="bulk", **more),
    )
    run = InProcess(config, import_pace=EAGER)
    run.run(lines)
    return run


def kinds_of(folder: Path) -> Counter[str]:
    return Counter(outcome["category"] or outcome["outcome"] for outcome in stored(folder))


def test_warned_rows_are_imported_and_the_warning_is_noted(sandbox: SandboxServer, tmp_path: Path) -> None:
    lines = [*people(5), record({"id": 9, "email": "odd..address@x.y-z"}), record({"id": 10, "email": "x@host.1"})]
    sandbox.faults.add(
        Fault(endpoint="bulk.import.create", row=RowFault(message="Invalid email address", email_contains="host.1"))
    )
    run_of(sandbox, tmp_path, lines)
    (job,) = sandbox.state.jobs()
    assert len(job.failed) == 1
    assert kinds_of(tmp_path) == {"imported": 6, "INVALID_EMAIL": 1}
    warned = {cells[0] for cells, _ in job.warned}
    noted = {outcome["record_key"] for outcome in stored(tmp_path) if outcome["message"] == "Invalid email address"}
    assert noted == {"10"} | ({"9"} if warned else set())


def test_rows_past_the_status_are_unchanged_however_marketo_counts_them(sandbox: SandboxServer, tmp_path: Path) -> None:
    lead = sandbox.state.add_lead({"email": "p1@example.org"})
    sandbox.state.add_member(1004, lead, "Attended")
    sandbox.configure(bulk_fails_backward_rows=True)
    run_of(sandbox, tmp_path, people(4))
    assert kinds_of(tmp_path) == {"imported": 3, "unchanged": 1}
    assert sandbox.state.members(1004)[lead] == "Attended"


@pytest.mark.parametrize("text", ["Import failed, program status 'Registered' not found", "Unknown column firstName"])
def test_the_words_of_a_failed_job_reject_nobody(sandbox: SandboxServer, tmp_path: Path, text: str) -> None:
    """There is no list of such messages: what they mean is for a second try, and then for REST, to say."""
    sandbox.faults.add(Fault(endpoint="bulk.import.create", job_message=text, times=3))
    run_of(sandbox, tmp_path, people(4))
    assert kinds_of(tmp_path) == {"created": 4}


def test_a_failed_job_with_another_reason_is_retried_and_then_goes_over_rest(
    sandbox: SandboxServer, tmp_path: Path
) -> None:
    sandbox.faults.add(Fault(endpoint="bulk.import.create", job_message="System error", times=3))
    run_of(sandbox, tmp_path, people(4))
    assert len(sandbox.state.jobs()) == 3
    assert kinds_of(tmp_path) == {"created": 4}


def test_a_queue_full_of_others_jobs_is_waited_for(sandbox: SandboxServer, tmp_path: Path) -> None:
    sandbox.faults.add(Fault(endpoint="bulk.import.create", code="1016", times=12))
    run_of(sandbox, tmp_path, people(4))
    assert kinds_of(tmp_path) == {"imported": 4}


@pytest.mark.parametrize(
    "fault",
    [
        Fault(reset="after"),
        Fault(http_status=502, executed=True),
        Fault(truncate=True),
        Fault(code="611", executed=True),
        Fault(omit=("result",)),
    ],
    ids=["cut", "502", "truncated", "611", "no result"],
)
def test_a_lost_create_answer_makes_no_second_lead(sandbox: SandboxServer, tmp_path: Path, fault: Fault) -> None:
    sandbox.faults.add(replace(fault, endpoint="bulk.import.create"))
    run_of(sandbox, tmp_path, people(4))
    assert kinds_of(tmp_path) == {"imported": 4}
    assert len(sandbox.state.jobs()) == 1, "nobody is sent again before the people of the file show up"
    assert sandbox.state.lead_count() == 4
    assert len(sandbox.state.members(1004)) == 4


def test_a_job_that_is_forgotten_is_imported_again(sandbox: SandboxServer, tmp_path: Path) -> None:
    sandbox.faults.add(Fault(endpoint="bulk.import.status", code="1013", message="Batch not found"))
    run_of(sandbox, tmp_path, people(4))
    assert kinds_of(tmp_path) == {"imported": 4}
    assert len(sandbox.state.jobs()) == 2


@pytest.mark.parametrize(
    "fault",
    [Fault(code="610"), Fault(http_status=200, http_body="", content_type="text/csv")],
    ids=["gone", "empty"],
)
def test_a_failure_file_that_does_not_come_is_no_guess(sandbox: SandboxServer, tmp_path: Path, fault: Fault) -> None:
    for _ in range(2):
        sandbox.state.add_lead({"email": "p2@example.org"})
    sandbox.configure(bulk_duplicates="fail")
    sandbox.faults.add(replace(fault, endpoint="bulk.import.failures"))
    run_of(sandbox, tmp_path, people(6))
    # What cannot be told from the file, REST decides: it takes the most recently updated of the two.
    assert kinds_of(tmp_path) == {"imported": 5, "created": 1}
    (other,) = (outcome for outcome in stored(tmp_path) if outcome["outcome"] == "created")
    assert (other["record_key"], len(other["detail"]["lead_ids"])) == ("2", 2)


def test_a_member_whose_values_are_not_those_sent_is_no_imported_row(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Read back, the person who failed looks like a member; only the fields tell that the row never arrived."""
    lead = sandbox.state.add_lead({"email": "P2@example.org", "firstName": "Before"})
    sandbox.state.add_member(1004, lead, "Registered", {"registrationCode": "R-1"})
    fields = [
        {"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"},
        {"record_field": "code", "marketo_object": "program_member", "marketo_field": "registrationCode"},
    ]
    refused = RowFault(message="Lock wait timed out", email_contains="p2@")
    sandbox.faults.add(
        Fault(endpoint="bulk.import.create", row=refused), Fault(endpoint="bulk.import.failures", code="610")
    )
    config = config_for(
        sandbox,
        field_mappings=fields,
        object_storage_config={"storage_type": "Local", "path": str(tmp_path)},
        delivery=delivery(method="bulk"),
    )
    InProcess(config, import_pace=EAGER).run([*people(6, first="After", code="R-1"), state(1)])
    assert kinds_of(tmp_path)["imported"] == 5
    (other,) = (outcome for outcome in stored(tmp_path) if outcome["outcome"] != "imported")
    assert (other["record_key"], other["lead_id"], other["lead_action"]) == ("2", lead, "updated")
    assert (sandbox.state.lead(lead) or {})["firstName"] == "After"


@pytest.mark.parametrize("code", ["613", "1003"])
def test_a_file_that_is_refused_as_a_whole_goes_over_rest(sandbox: SandboxServer, tmp_path: Path, code: str) -> None:
    sandbox.faults.add(Fault(endpoint="bulk.import.create", code=code))
    run_of(sandbox, tmp_path, people(4))
    assert kinds_of(tmp_path) == {"created": 4}


def test_a_file_too_large_is_halved(sandbox: SandboxServer, tmp_path: Path) -> None:
    sandbox.configure(bulk_body_bytes=600)
    run_of(sandbox, tmp_path, people(40))
    assert kinds_of(tmp_path) == {"imported": 40}
    assert len([job for job in sandbox.state.jobs() if job.processed]) == 2


# --- endings ---------------------------------------------------------------------------------------------------------


def test_no_state_is_echoed_before_its_job_has_ended_and_stopping_leaves_nothing_half(
    sandbox: SandboxServer, tmp_path: Path
) -> None:
    sandbox.faults.add(Fault(name="held", endpoint="bulk.import.create", hold_job=True))
    config = config_for(
        sandbox,
        object_storage_config={"storage_type": "Local", "path": str(tmp_path)},
        delivery=delivery(method="bulk"),
    )
    run = InProcess(config, import_pace=EAGER)
    polls = 0

    def after_some_polls() -> None:
        nonlocal polls
        polls += 1
        if polls == 3:
            run.stop()

    real = RestMarketo.import_status

    def import_status(marketo: RestMarketo, batch_id: int) -> ImportStatus:
        answer = real(marketo, batch_id)
        after_some_polls()
        return answer

    with patch.object(RestMarketo, "import_status", import_status), pytest.raises(Terminated):
        run.run([*people(5), state(1)])
    assert run.lines == []
    assert stored(tmp_path) == []
    sandbox.faults.release("held")
    again = InProcess(config, import_pace=EAGER).run([*people(5), state(1)])
    assert [message["id"] for message in again.states] == [1]
    assert sandbox.state.lead_count() == 5
    assert len(sandbox.state.members(1004)) == 5


def test_the_daily_quota_ends_the_sync_with_nothing_acknowledged_that_is_not_settled(
    sandbox: SandboxServer, tmp_path: Path
) -> None:
    sandbox.faults.add(Fault(endpoint="bulk.import.status", code="607"))
    with pytest.raises(QuotaReachedError):
        run_of(sandbox, tmp_path, [*people(5), state(1)])
    assert stored(tmp_path) == []
    run_of(sandbox, tmp_path, [*people(5), state(1)])
    # The first run's job is waited for; then everybody is there already.
    assert kinds_of(tmp_path) == {"unchanged": 5}
    assert sandbox.state.lead_count() == 5


def test_killed_in_the_middle_of_a_job_and_sent_again(
    sandbox: SandboxServer, connector: Connector, tmp_path: Path
) -> None:
    sandbox.faults.add(Fault(name="held", endpoint="bulk.import.create", hold_job=True))
    temporary, folder = tmp_path / "tmp", tmp_path / "outcomes"
    temporary.mkdir()
    config = config_for(
        sandbox, object_storage_config={"storage_type": "Local", "path": str(folder)}, delivery=delivery(method="bulk")
    )
    lines = b"\n".join([*people(50), state(1)]) + b"\n"
    process = connector.start("write", config, catalog_of("leads"), TMPDIR=str(temporary))
    assert process.stdin is not None
    assert process.stderr is not None
    assert process.stdout is not None
    process.stdin.write(lines)
    process.stdin.close()
    for line in process.stdout:
        if b"Bulk import job" in line:
            break
    process.kill()
    process.wait(30)
    rest = process.stdout.read()
    process.stdout.close()
    process.stderr.close()
    assert b'"STATE"' not in rest
    assert list(temporary.iterdir()) == []
    sandbox.faults.release("held")
    result = connector.write(config, lines.splitlines(), TMPDIR=str(temporary))
    assert result.code == 0, result.text
    assert [message["id"] for message in result.states] == [1]
    assert sandbox.state.lead_count() == 50
    assert set(sandbox.state.members_by_email(1004).values()) == {"Registered"}
    assert kinds_of(folder) == {"unchanged": 50}, "the killed run's job is waited for; then everybody is there already"


def test_many_rows_of_one_person_are_no_job_each(sandbox: SandboxServer, tmp_path: Path) -> None:
    """A file takes a person once; with one file for each further row, such an input would take hours and calls."""
    lines = [record({"id": number, "email": "one@example.org"}) for number in range(40)]
    run_of(sandbox, tmp_path, [*lines, *people(5), state(1)])
    assert len(sandbox.state.jobs()) == 1
    assert kinds_of(tmp_path)["imported"] == 6
    assert sum(kinds_of(tmp_path).values()) == 45
    assert sandbox.state.lead_count() == 6


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 112))
def test_killed_at_random_moments_of_imports(sandbox: SandboxServer, tmp_path: Path, seed: int) -> None:
    sandbox.configure(**QUICK_JOBS)
    made = scenario.without_doubles(scenario.records(seed, scenario.prepare(sandbox), 120))
    config = scenario.config(sandbox, tmp_path / "outcomes", delivery=delivery(method="bulk"), lead_sync={})
    command = test_kill.RUNNER + test_kill.files(tmp_path, config)
    test_kill.round_of_kills(tmp_path / "outcomes", command, sandbox, made, seed)
    assert sandbox.state.jobs()


def test_bulk_with_settings_that_rule_it_out_says_which(sandbox: SandboxServer, connector: Connector) -> None:
    config = config_for(sandbox, lead_sync={"mode": "match_only"}, delivery={"method": "bulk"})
    result = connector.write(config, people(1))
    assert result.error["failure_type"] == "config_error"
    assert "delivery.method" in result.error["message"]
    assert "lead_sync.mode" in result.error["message"]


# --- chaos -----------------------------------------------------------------------------------------------------------


def disturbed_run(folder: Path, seed: int, method: str) -> Counter[str]:
    return test_chaos.disturbed_run(
        folder,
        seed,
        QUICK_JOBS,
        # The sandbox has no limits here, and waiting for our own would be most of the time.
        delivery(method=method, calls_per_20_seconds=100),
        {},
        policy=QUICK,
        import_pace=EAGER,
    )


@pytest.mark.usefixtures("few_are_enough")
@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + SEEDS, 10))
def test_chaos_with_both_ways(tmp_path: Path, first: int) -> None:
    kinds: Counter[str] = Counter()
    for seed in range(first, min(first + 10, FIRST_SEED + SEEDS)):
        kinds += disturbed_run(tmp_path / str(seed), seed, "auto")
    assert kinds["imported"] > 0
    assert kinds["created"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(FIRST_SEED, FIRST_SEED + 5))
def test_chaos_with_files_alone(tmp_path: Path, seed: int) -> None:
    kinds = disturbed_run(tmp_path, seed, "bulk")
    # Further rows of a person who is in a file already go over REST, and this load has many of them.
    assert kinds["imported"] > 0
