"""What a report counts: whatever the files look like, every outcome of a run, and of several runs the latest."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.outcomes import Category, Outcome, Result
from destination_marketo_programs.report import database as database_module
from destination_marketo_programs.report import summary_of
from destination_marketo_programs.report.database import OTHER_EVENTS, OTHER_VALUES
from destination_marketo_programs.report.summarise import MAX_BARS, command_again
from destination_marketo_programs.report.tally import Tally
from destination_marketo_programs.shell import shell_word
from destination_marketo_programs.storage import Kind, OutcomeFile, StorageError, open_store
from destination_marketo_programs.storage.runs import (
    ProgramInfo,
    ReconciledProgram,
    ReconcileFile,
    Verdicts,
    new_run,
    write_reconciled,
    write_run,
)
from destination_marketo_programs.summary import Counts, LeadCounts, column_name, lead_kind

if TYPE_CHECKING:
    from pathlib import Path

    from destination_marketo_programs.report.tally import Lead

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 30, 8, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def outcome(key: str = "k", result: Result = Result.CREATED, **members: Any) -> Outcome:
    given_members: dict[str, Any] = {"program_id": 1, "program_status": "On List", "at": "2026-11-23T10:00:00Z"}
    if result is Result.REJECTED:
        given_members |= {"category": Category.MISSING_KEY}
    return Outcome(
        members.pop("stream", "s"), key, members.pop("event", "e"), outcome=result, **(given_members | members)
    )


REJECTED, SKIPPED, CREATED, UPDATED = Result.REJECTED, Result.SKIPPED, Result.CREATED, Result.UPDATED


def write(folder: Path, *outcomes: Outcome, run: str = "a", after: timedelta = timedelta()) -> None:
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=START + after, run_id=run)
    for each in outcomes:
        store.add(each)
    store.close()


def counts(folder: Path) -> Counts:
    return summary_of([str(folder)], now=NOW).outcomes


def lead_counts(folder: Path) -> LeadCounts:
    return summary_of([str(folder)], now=NOW).leads


def leads(folder: Path, limit: int = -1, *, rejected_only: bool = True) -> list[Lead]:
    with Tally([str(folder)]) as tally:
        return list(tally.iter_leads(rejected_only=rejected_only, limit=limit))


def test_the_latest_run_counts_for_a_record_and_program(tmp_path: Path) -> None:
    later = "2026-11-24T10:00:00Z"
    write(tmp_path, outcome("k1", REJECTED), outcome("k1", REJECTED, program_id=2), outcome("k2"))
    write(tmp_path, outcome("k1", CREATED, at=later), run="b", after=DAY)
    summary = summary_of([str(tmp_path)], now=NOW)
    assert summary.outcomes == Counts(created=2, rejected=1)
    assert summary.leads == LeadCounts(total=2, delivered=1, rejected=1)
    assert [run.counts for run in summary.runs] == [Counts(created=1, rejected=2), Counts(created=1)]
    (lead,) = leads(tmp_path)
    assert [(each.wide.key, each.cell.program_id, each.cell.outcome) for each in lead.outcomes] == [
        ("k1", 1, "created"),
        ("k1", 2, "rejected"),
    ]


def test_time_decides_between_two_syncs_at_once(tmp_path: Path) -> None:
    write(tmp_path, outcome("k", CREATED, at="2026-11-23T10:00:09Z"), run="a")
    write(tmp_path, outcome("k", REJECTED, at="2026-11-23T10:00:01Z"), run="b")
    assert counts(tmp_path) == Counts(created=1)
    assert leads(tmp_path) == []


def test_every_outcome_of_a_run_counts_whatever_its_name(tmp_path: Path) -> None:
    sent = outcome("k", CREATED, at="2026-11-23T10:00:05Z")
    other = outcome("k", SKIPPED, category=Category.SUPERSEDED, at="2026-11-23T10:00:04Z")
    write(tmp_path, other, sent, outcome("k", REJECTED))
    assert counts(tmp_path) == Counts(created=1, skipped=1, rejected=1)
    assert lead_counts(tmp_path) == LeadCounts(total=1, rejected=1)
    write(tmp_path, outcome("k", UPDATED, at="2026-11-24T00:00:00Z"), run="b", after=DAY)
    assert counts(tmp_path) == Counts(updated=1), "another run replaces all that this one said"


def test_namespaces_are_part_of_a_records_name(tmp_path: Path) -> None:
    both = [
        outcome(key, result, namespace=namespace)
        for namespace in ("berlin", "lisbon")
        for key, result in (("1", CREATED), ("2", CREATED), ("3", UPDATED), ("4", REJECTED))
    ]
    write(tmp_path, *both)
    assert counts(tmp_path) == Counts(created=4, updated=2, rejected=2)
    assert lead_counts(tmp_path) == LeadCounts(total=8, delivered=6, rejected=2)
    assert {lead.outcomes[0].wide.namespace for lead in leads(tmp_path)} == {"berlin", "lisbon"}


def test_positions_are_compared_within_one_run_only(tmp_path: Path) -> None:
    write(tmp_path, outcome("1", REJECTED, record_key_is_position=True))
    write(tmp_path, outcome("1", CREATED, record_key_is_position=True), run="b", after=timedelta(hours=1))
    assert counts(tmp_path) == Counts(created=1, rejected=1)


def test_streams_are_kept_apart(tmp_path: Path) -> None:
    write(tmp_path, outcome("k"), outcome("k", stream="t"))
    assert counts(tmp_path) == Counts(created=2)


def test_what_was_said_for_no_program_ends_where_a_later_run_knows_better(tmp_path: Path) -> None:
    write(tmp_path, outcome("k", REJECTED, program_id=None, program_status=None))
    write(tmp_path, outcome("k", CREATED, at="2026-11-24T10:00:00Z"), run="b", after=DAY)
    summary = summary_of([str(tmp_path)], now=NOW)
    assert summary.outcomes == Counts(created=1)
    assert summary.since_last == {"new": 0, "still": 0, "fixed": 1}


def test_dry_runs_never_replace_real_outcomes(tmp_path: Path) -> None:
    dry = [outcome("k", REJECTED, dry_run=True, at="2026-11-29T00:00:00Z"), outcome("x", dry_run=True)]
    write(tmp_path / "dry", *dry)
    alone = summary_of([str(tmp_path / "dry")], now=NOW)
    assert (alone.dry_run, alone.outcomes, alone.leads.total) == (True, Counts(created=1, rejected=1), 2)
    write(tmp_path / "real", outcome("k", CREATED))
    both = summary_of([str(tmp_path)], now=NOW)
    assert (both.dry_run, both.outcomes, both.dry_run_left_out, both.leads.total) == (False, Counts(created=1), 2, 1)
    assert leads(tmp_path) == []


@pytest.mark.parametrize(
    ("results", "kind"),
    [
        (["created", "rejected"], "rejected"),
        (["imported", "skipped"], "delivered"),
        (["unchanged", "skipped"], "unchanged"),
        (["skipped"], "skipped"),
    ],
)
def test_a_lead_is_what_its_worst_and_then_its_best_outcome_is(results: list[str], kind: str) -> None:
    assert lead_kind(results) == kind


def test_reasons_are_ordered_by_who_can_act(tmp_path: Path) -> None:
    write(
        tmp_path,
        outcome("1", REJECTED, category=Category.DUPLICATE_LEADS, code="1007"),
        outcome("2", REJECTED, category=Category.INVALID_EMAIL),
        outcome("3", REJECTED, category=Category.INVALID_EMAIL),
        *(outcome(str(n), SKIPPED, category=Category.NO_PROGRAM_LINK, program_id=None) for n in range(10, 20)),
    )
    reasons = summary_of([str(tmp_path)], now=NOW).reasons
    assert [(reason.category, reason.code, reason.leads, reason.who) for reason in reasons] == [
        ("DUPLICATE_LEADS", "1007", 1, "you"),
        ("INVALID_EMAIL", None, 2, "source"),
        ("NO_PROGRAM_LINK", None, 10, "nobody"),
    ]
    assert all(reason.again is None for reason in reasons), "there is no rejected file"


def test_reasons_are_split_by_what_decided_them_with_a_mapping_to_copy(tmp_path: Path) -> None:
    def unmapped(key: str, values: list[str], program_id: int = 1) -> Outcome:
        detail = {"qualifier": "followup", "values": values}
        return outcome(key, REJECTED, category=Category.UNMAPPED_QUALIFIER, detail=detail, program_id=program_id)

    field = {"field": "annualRevenue", "value": "12 apples"}
    write(
        tmp_path,
        unmapped("1", ["Later"]),
        unmapped("2", ["Later"]),
        unmapped("2", ["Later"], program_id=2),
        unmapped("3", []),
        outcome("4", REJECTED, category=Category.FIELD_INVALID, detail=field),
        outcome("5", REJECTED, category=Category.DUPLICATE_LEADS, detail={"lead_ids": [1, 2]}),
    )
    by_category = {reason.category: reason for reason in summary_of([str(tmp_path)], now=NOW).reasons}
    qualifier = by_category["UNMAPPED_QUALIFIER"]
    assert (qualifier.count, qualifier.leads) == (4, 3)
    assert [(part.name, part.leads, part.program_ids) for part in qualifier.parts] == [
        ("followup = Later", 2, [1, 2]),
        ("followup = (no answer)", 1, [1]),
    ]
    assert qualifier.parts[0].mapping == (
        '{"program_id":"1","qualifier":"followup","value":"Later","program_status":"On List"},\n'
        '{"program_id":"2","qualifier":"followup","value":"Later","program_status":"On List"}'
    )
    assert qualifier.parts[1].mapping is None
    assert [part.name for part in by_category["FIELD_INVALID"].parts] == ["annualRevenue"]
    assert by_category["DUPLICATE_LEADS"].parts == [], "ids differ from lead to lead"


@pytest.mark.parametrize(
    ("column", "name"),
    [
        ('qualifiers."Wants a demo"', "Wants a demo"),
        ("lead.followup", "followup"),
        ("a", "a"),
        ("a[?b].c | d", "a[?b].c | d"),
    ],
)
def test_a_column_is_called_by_its_last_part(column: str, name: str) -> None:
    assert column_name(column) == name


def test_endless_values_stand_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "MAX_PARTS", 2)
    write(
        tmp_path,
        *(
            outcome(n, REJECTED, category=Category.UNMAPPED_QUALIFIER, detail={"qualifier": "q", "values": [n]})
            for n in "012345"
        ),
    )
    (reason,) = summary_of([str(tmp_path)], now=NOW).reasons
    assert {part.name: part.leads for part in reason.parts} == {"q = 0": 1, "q = 1": 1, OTHER_VALUES: 4}


def test_rejected_files_say_who_it_is(tmp_path: Path) -> None:
    store = open_store(LocalStorage(path=str(tmp_path)), sync_started_at=START, run_id="a")
    both = [outcome("7", REJECTED, program_id=1), outcome("7", REJECTED, program_id=2)]
    by_position = outcome("1", REJECTED, record_key_is_position=True)
    elsewhere = outcome("7", REJECTED, namespace="n")
    for each in (*both, by_position, elsewhere):
        store.add(each)
    record = '{"type":"RECORD","record":{"stream":"s","data":{"Email":"%s","first_name":"Ada","lastName":"L"}%s}}'
    store.add_rejected((record % ("ada@example.org", "")).encode(), both)
    store.add_rejected((record % ("two@example.org", "")).encode(), [by_position])
    store.add_rejected((record % ("three@example.org", ',"namespace":"n"')).encode(), [elsewhere])
    store.close()
    found = {(lead.outcomes[0].wide.key, len(lead.outcomes), lead.name, lead.email) for lead in leads(tmp_path)}
    expected = {
        ("7", 2, "Ada L", "ada@example.org"),
        ("1", 1, "Ada L", "two@example.org"),
        ("7", 1, "Ada L", "three@example.org"),
    }
    assert found == expected


@pytest.mark.parametrize("kind", ["outcomes", "rejected"])
def test_a_file_named_outright_brings_the_others_of_its_run(tmp_path: Path, kind: str) -> None:
    for run in ("a", "b"):
        store = open_store(LocalStorage(path=str(tmp_path)), sync_started_at=START, run_id=run)
        store.add(outcome(run, REJECTED))
        line = b'{"type":"RECORD","record":{"stream":"s","data":{"email":"%s@x.y"}}}' % run.encode()
        store.add_rejected(line, [outcome(run, REJECTED)])
        store.close()
    with Tally([str(tmp_path / f"{kind}-20261123T100000Z-a-00001.jsonl")]) as tally:
        assert [lead.email for lead in tally.iter_leads()] == ["a@x.y"]


def test_a_limit_shows_some_of_every_kind_and_those_to_act_on_first(tmp_path: Path) -> None:
    many = [outcome(str(number), REJECTED) for number in range(50)]
    few = [outcome(f"few{number}", REJECTED, category=Category.INVALID_EMAIL) for number in range(2)]
    fine = [outcome(f"fine{number}") for number in range(100)]
    write(tmp_path, *fine, *many, *few)
    shown = leads(tmp_path, limit=6, rejected_only=False)
    assert len(shown) == 6
    assert sum(lead.outcomes[0].cell.category == "INVALID_EMAIL" for lead in shown) == 2
    assert {lead.kind for lead in shown} == {"rejected"}
    assert len(leads(tmp_path)) == 52


def test_endless_events_stand_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "MAX_EVENTS", 3)
    write(tmp_path, *(outcome(str(number), REJECTED, event=f"event {number}") for number in range(10)))
    summary = summary_of([str(tmp_path)], now=NOW)
    assert summary.other_events
    assert {each.name: each.counts.rejected for each in summary.events} == {
        "event 0": 1,
        "event 1": 1,
        "event 2": 1,
        OTHER_EVENTS: 7,
    }
    assert {lead.outcomes[0].wide.event for lead in leads(tmp_path)} == {f"event {number}" for number in range(10)}


def test_each_sync_says_what_is_new_still_there_and_fixed(tmp_path: Path) -> None:
    write(tmp_path, outcome("stays", REJECTED), outcome("fixed", REJECTED), outcome("open", REJECTED), outcome("fine"))
    at = "2026-11-24T10:00:00Z"
    second = [outcome("stays", REJECTED, at=at), outcome("fixed", CREATED, at=at), outcome("new", REJECTED, at=at)]
    write(tmp_path, *second, run="b", after=DAY)
    summary = summary_of([str(tmp_path)], now=NOW)
    assert summary.since_last == {"new": 1, "still": 2, "fixed": 1}
    assert [(run.new, run.still, run.fixed) for run in summary.runs] == [(3, 0, 0), (1, 1, 1)]
    news = {lead.outcomes[0].wide.key: lead.news for lead in leads(tmp_path, rejected_only=False)}
    assert news == {"stays": "still", "open": "still", "new": "new", "fixed": "fixed", "fine": ""}


def test_attempts_of_one_sync_are_one_sync(tmp_path: Path) -> None:
    def attempt(run_id: str, hours: int, sync_id: str, *outcomes: Outcome) -> None:
        started = START + timedelta(hours=hours)
        place = LocalStorage(path=str(tmp_path))
        store = open_store(place, sync_started_at=started, run_id=run_id, sync_id=sync_id)
        for each in outcomes:
            each.at = started.strftime("%Y-%m-%dT%H:%M:%SZ")
            store.add(each)
        store.close()
        write_run(store, new_run(run_id=run_id, started=started, instance="i", version="0", sync_id=sync_id), started)

    attempt("a", 0, "1", outcome("old", REJECTED))
    attempt("b", 24, "2", outcome("first", REJECTED), outcome("torn"), outcome("old", REJECTED))
    attempt("c", 25, "2", outcome("torn", UPDATED), outcome("second", REJECTED))
    summary = summary_of([str(tmp_path)], now=NOW)
    assert summary.since_last == {"new": 2, "still": 1, "fixed": 0}
    assert [(run.label, run.new, run.still) for run in summary.runs] == [
        ("2026-11-23 10:00", 1, 0),
        ("2026-11-24 10:00", 2, 1),
    ]
    assert summary.outcomes == Counts(updated=1, rejected=3)


def test_confirmed_lines_count_and_are_no_sync(tmp_path: Path) -> None:
    write(tmp_path, outcome("k", Result.IMPORTED, lookup_value="a@b.c"), outcome("j", Result.IMPORTED))
    confirmed = outcome("k", CREATED, at="2026-11-24T10:00:00Z", confirmed=True, lead_id=7)
    by_position = outcome("1", CREATED, confirmed=True, record_key_is_position=True)
    write(tmp_path, confirmed, by_position, run="rec", after=DAY)
    summary = summary_of([str(tmp_path)], now=NOW)
    assert summary.outcomes == Counts(created=1, imported=1)
    assert len(summary.runs) == 1
    assert summary.since_last == {"new": 0, "still": 0, "fixed": 0}


def test_names_and_verdicts_come_from_the_files_beside(tmp_path: Path) -> None:
    write(tmp_path, outcome("k", event="4711", program_id=1004))
    store = open_store(LocalStorage(path=str(tmp_path)), sync_started_at=START, run_id="a")
    run = new_run(run_id="a", started=START, instance="i", version="0.2.0")
    run.programs, run.events = [ProgramInfo(1004, "Spring Expo")], {"4711": "Expo Berlin"}
    write_run(store, run, START)
    for at, as_sent in (("2026-11-24T08:00:00Z", 4), ("2026-11-25T08:00:00Z", 5)):
        found = [ReconciledProgram(1004, "", Verdicts(as_sent=as_sent, missing=1), 3)]
        write_reconciled(store, ReconcileFile(at=at, instance="i", run_id="rec", programs=found))
    summary = summary_of([str(tmp_path)], now=NOW)
    assert [(each.name, each.label) for each in summary.programs] == [("1004", "Spring Expo")]
    assert [(each.name, each.label) for each in summary.events] == [("4711", "Expo Berlin")]
    (verdict,) = summary.verdicts
    assert (verdict.at, verdict.name, verdict.verdicts["as_sent"]) == ("2026-11-25T08:00:00Z", "Spring Expo", 5)


@pytest.mark.parametrize(("runs", "label"), [(MAX_BARS, "2026-11-23 10:00"), (MAX_BARS + 1, "2026-11-23")])
def test_many_syncs_are_put_together_by_day(tmp_path: Path, runs: int, label: str) -> None:
    for number in range(runs):
        write(tmp_path, outcome(str(number)), run=f"r{number}", after=timedelta(minutes=number * 20))
    bars = summary_of([str(tmp_path)], now=NOW).runs
    assert bars[0].label == label
    assert len(bars) <= MAX_BARS
    assert sum(bar.counts.created for bar in bars) == runs


def test_syncs_of_one_minute_can_be_told_apart(tmp_path: Path) -> None:
    for seconds, run in ((0, "a"), (0, "b"), (30, "c"), (60, "d")):
        write(tmp_path, outcome(run), run=run, after=timedelta(seconds=seconds))
    labels = [run.label for run in summary_of([str(tmp_path)], now=NOW).runs]
    assert len(set(labels)) == 4
    assert labels[3] == "2026-11-23 10:01"
    assert labels[2].startswith("2026-11-23 10:00:30")


def test_names_of_a_later_version_are_counted_apart(tmp_path: Path) -> None:
    line = b'{"stream":"s","record_key":"%s","event":null,"program_id":1,"program_status":null,"outcome":"%s"%s}\n'
    (tmp_path / "outcomes-20261123T100000Z-a-00001.jsonl").write_bytes(
        line % (b"1", b"teleported", b"") + line % (b"2", b"rejected", b',"category":"NEW_ONE"') + b"torn\n\xff\xfe\n"
    )
    summary = summary_of([str(tmp_path)], now=NOW)
    assert (summary.unknown, summary.unreadable, summary.outcomes) == (1, 2, Counts(rejected=1))
    assert (summary.reasons[0].category, summary.reasons[0].who) == ("NEW_ONE", "you")


def test_ids_beyond_64_bits_are_read(tmp_path: Path) -> None:
    write(tmp_path, outcome("k", REJECTED, lead_id=2**70, program_id=2**80))
    (lead,) = leads(tmp_path)
    assert (lead.outcomes[0].wide.lead_id, lead.outcomes[0].cell.program_id) == (2**70, 2**80)


def test_rejected_files_alone_make_no_report(tmp_path: Path) -> None:
    (tmp_path / "rejected-20261123T100000Z-a-00001.jsonl").write_bytes(b"{}\n")
    with pytest.raises(StorageError, match="only rejected"):
        counts(tmp_path)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    write(tmp_path / "outcomes", outcome("1"))
    counts(tmp_path / "outcomes")

    def fail(*_: object, **__: object) -> None:
        raise StorageError("x", "y", "z")

    monkeypatch.setattr(database_module, "record_number", fail)
    with pytest.raises(StorageError):
        counts(tmp_path / "outcomes")
    assert list((tmp_path / "temporary").iterdir()) == []


def rejected_file(location: str) -> OutcomeFile:
    return OutcomeFile(location, location.rpartition("/")[2], Kind.REJECTED, "r", None, 1)


def test_commands_to_send_again_name_the_category_and_the_places() -> None:
    files = [rejected_file("/data/a b/one/rejected-1.jsonl"), rejected_file("s3://bucket/two/rejected-2.jsonl")]
    assert command_again("DUPLICATE_LEADS", files) == (
        "destination-marketo-programs retry '/data/a b/one' s3://bucket/two --config config.json "
        "--category DUPLICATE_LEADS"
    )
    assert command_again(None, files) is None
    assert command_again("X", []) is None


@pytest.mark.parametrize(
    "name", ["$(touch x)", "a\x1b[31mred", "new\nline", "\u202egnp", "quote'\x07", "\udcff", "ü", "-rf"]
)
def test_a_hostile_folder_name_neither_runs_nor_reaches_the_terminal(name: str) -> None:
    word = shell_word(f"/data/{name}")
    assert word.isprintable()
    word.encode()
    shown = subprocess.run(["bash", "-c", f"printf %s {word}"], capture_output=True, check=True, timeout=20).stdout
    assert shown == f"/data/{name}".encode("utf-8", "surrogateescape")


results = st.sampled_from(list(Result))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    runs=st.lists(
        st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 2), results, st.integers(0, 5)), max_size=12),
        min_size=1,
        max_size=4,
    )
)
def test_any_files_count_as_plain_dictionaries_would(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[tuple[str, int, Result, int]]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    said: dict[tuple[str, int], list[tuple[int, int, Result]]] = {}
    for number, lines in enumerate(runs):
        made = []
        for key, program, result, second in lines:
            made.append(outcome(key, result, program_id=program, at=f"2026-11-23T10:00:0{second}Z"))
            said.setdefault((key, program), []).append((second, number, result))
        write(folder, *made, run=f"r{number}", after=timedelta(minutes=number))
    if not any(runs):
        return
    wanted, of_lead = Counts(), dict[str, list[Result]]()
    for (key, _), lines_of in said.items():
        _, winner, _ = max(lines_of, key=lambda line: line[:2])
        for _, number, result in lines_of:
            if number == winner:
                wanted.add(result)
                of_lead.setdefault(key, []).append(result)
    wanted_leads = LeadCounts()
    for results_of in of_lead.values():
        wanted_leads.add(lead_kind(results_of))
    summary = summary_of([str(folder)], now=NOW)
    assert summary.outcomes == wanted
    assert summary.leads == wanted_leads
    assert len(leads(folder)) == wanted_leads.rejected
