"""What a report counts: each record and program once, by the latest outcome, whatever the files look like."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.outcomes import Outcome
from destination_marketo_programs.report import summary_of
from destination_marketo_programs.report import tally as tally_module
from destination_marketo_programs.report.summarise import MAX_BARS, replay_command
from destination_marketo_programs.report.summary import Counts, Lead
from destination_marketo_programs.report.tally import OTHER_EVENTS, Tally
from destination_marketo_programs.storage import Kind, OutcomeFile, StorageError, open_store

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
NOW = datetime(2026, 11, 30, 8, 0, 0, tzinfo=UTC)


def outcome(key: str = "k", result: str = "created", **members: Any) -> Outcome:
    given_members: dict[str, Any] = {"program_id": 1, "program_status": "On List", "at": "2026-11-23T10:00:00Z"}
    if result == "rejected":
        given_members |= {"category": "MISSING_KEY"}
    return Outcome("s", key, members.pop("event", "e"), outcome=result, **(given_members | members))


def write(folder: Path, *outcomes: Outcome, run: str = "a", after: timedelta = timedelta()) -> None:
    store = open_store(LocalStorage(path=str(folder)), sync_started_at=START + after, run_id=run)
    for each in outcomes:
        store.add(each)
    store.close()


def counts(folder: Path) -> Counts:
    return summary_of([str(folder)], now=NOW).counts


def leads(folder: Path, limit: int | None = None) -> list[Lead]:
    with Tally([str(folder)]) as tally:
        return list(tally.leads(dry_run=False, limit=limit))


def test_the_latest_outcome_of_a_record_and_program_counts(tmp_path: Path) -> None:
    later = "2026-11-24T10:00:00Z"
    write(tmp_path, outcome("k1", "rejected"), outcome("k1", "rejected", program_id=2), outcome("k2"))
    write(tmp_path, outcome("k1", "created", at=later), run="b", after=timedelta(days=1))
    summary = summary_of([str(tmp_path)], now=NOW)
    assert summary.counts == Counts(created=2, rejected=1)
    assert summary.records == 2
    assert [run.counts for run in summary.runs] == [Counts(created=1, rejected=2), Counts(created=1)]
    assert [(lead.record_key, lead.program_id) for lead in leads(tmp_path)] == [("k1", 2)]


def test_time_decides_between_two_syncs_at_once(tmp_path: Path) -> None:
    write(tmp_path, outcome("k", "created", at="2026-11-23T10:00:09Z"), run="a")
    write(tmp_path, outcome("k", "rejected", at="2026-11-23T10:00:01Z"), run="b")
    assert counts(tmp_path) == Counts(created=1)
    assert leads(tmp_path) == []


def test_the_later_line_counts_within_one_second(tmp_path: Path) -> None:
    write(tmp_path, outcome("k", "rejected"), outcome("k", "updated"))
    assert counts(tmp_path) == Counts(updated=1)


@pytest.mark.parametrize("superseded_first", [True, False])
def test_inside_a_run_what_went_out_counts_before_what_it_superseded(tmp_path: Path, superseded_first: bool) -> None:
    sent = outcome("k", "created", at="2026-11-23T10:00:05Z")
    other = outcome("k", "skipped", category="SUPERSEDED", at="2026-11-23T10:00:05Z")
    write(tmp_path, *((other, sent) if superseded_first else (sent, other)))
    assert counts(tmp_path) == Counts(created=1)
    write(tmp_path, outcome("k", "skipped", category="SUPERSEDED", at="2026-11-24T00:00:00Z"), run="b")
    assert counts(tmp_path) == Counts(skipped=1), "of another run it is news"


def test_positions_are_compared_within_one_run_only(tmp_path: Path) -> None:
    write(tmp_path, outcome("1", "rejected", record_key_is_position=True))
    write(tmp_path, outcome("1", "created", record_key_is_position=True), run="b", after=timedelta(hours=1))
    assert counts(tmp_path) == Counts(created=1, rejected=1)


def test_streams_are_kept_apart(tmp_path: Path) -> None:
    other = outcome("k")
    other.stream = "t"
    write(tmp_path, outcome("k"), other)
    assert counts(tmp_path) == Counts(created=2)


def test_dry_runs_never_replace_real_outcomes(tmp_path: Path) -> None:
    dry = [outcome("k", "rejected", dry_run=True, at="2026-11-29T00:00:00Z"), outcome("x", dry_run=True)]
    write(tmp_path / "dry", *dry)
    alone = summary_of([str(tmp_path / "dry")], now=NOW)
    assert (alone.dry_run, alone.counts, alone.records) == (True, Counts(created=1, rejected=1), 2)
    write(tmp_path / "real", outcome("k", "created"))
    both = summary_of([str(tmp_path)], now=NOW)
    assert (both.dry_run, both.counts, both.dry_run_left_out, both.records) == (False, Counts(created=1), 2, 1)
    assert leads(tmp_path) == []


def test_reasons_come_with_their_explanation_worst_first(tmp_path: Path) -> None:
    write(
        tmp_path,
        outcome("1", "rejected", category="DUPLICATE_LEADS", code="1007"),
        outcome("2", "rejected", category="INVALID_EMAIL"),
        outcome("3", "rejected", category="INVALID_EMAIL"),
        *(outcome(str(n), "skipped", category="NO_PROGRAM_LINK", program_id=None) for n in range(10, 20)),
    )
    reasons = summary_of([str(tmp_path)], now=NOW).reasons
    assert [(reason.category, reason.code, reason.count) for reason in reasons] == [
        ("INVALID_EMAIL", None, 2),
        ("DUPLICATE_LEADS", "1007", 1),
        ("NO_PROGRAM_LINK", None, 10),
    ]
    assert reasons[1].title.startswith("Several people")
    assert all(reason.replay_command is None for reason in reasons), "there is no rejected file"


def test_rejected_files_tell_who_it_is(tmp_path: Path) -> None:
    store = open_store(LocalStorage(path=str(tmp_path)), sync_started_at=START, run_id="a")
    both = [outcome("7", "rejected", program_id=1), outcome("7", "rejected", program_id=2)]
    by_position = outcome("1", "rejected", record_key_is_position=True)
    for each in (*both, by_position):
        store.add(each)
    record = '{"type":"RECORD","record":{"stream":"s","data":{"Email":"%s","first_name":"Ada","lastName":"L"}}}'
    store.add_rejected((record % "ada@example.org").encode(), both)
    store.add_rejected((record % "two@example.org").encode(), [by_position])
    store.close()
    assert {(lead.record_key, lead.program_id, lead.name, lead.email) for lead in leads(tmp_path)} == {
        ("7", 1, "Ada L", "ada@example.org"),
        ("7", 2, "Ada L", "ada@example.org"),
        ("1", 1, "Ada L", "two@example.org"),
    }


def test_a_limit_shows_some_of_every_kind(tmp_path: Path) -> None:
    many = [outcome(str(number), "rejected") for number in range(50)]
    few = [outcome(f"few{number}", "rejected", category="INVALID_EMAIL") for number in range(2)]
    write(tmp_path, *many, *few)
    shown = leads(tmp_path, limit=6)
    assert len(shown) == 6
    assert sum(lead.category == "INVALID_EMAIL" for lead in shown) == 2
    assert len(leads(tmp_path)) == 52


def test_endless_events_stand_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally_module, "MAX_EVENTS", 3)
    write(tmp_path, *(outcome(str(number), "rejected", event=f"event {number}") for number in range(10)))
    summary = summary_of([str(tmp_path)], now=NOW)
    assert summary.other_events
    assert {each.name: each.counts.rejected for each in summary.events} == {
        "event 0": 1,
        "event 1": 1,
        "event 2": 1,
        OTHER_EVENTS: 7,
    }
    assert {lead.event for lead in leads(tmp_path)} == {f"event {number}" for number in range(10)}


@pytest.mark.parametrize(("runs", "label"), [(MAX_BARS, "2026-11-23 10:00"), (MAX_BARS + 1, "2026-11-23")])
def test_many_syncs_are_put_together_by_day(tmp_path: Path, runs: int, label: str) -> None:
    for number in range(runs):
        write(tmp_path, outcome(str(number)), run=f"r{number}", after=timedelta(minutes=number * 20))
    bars = summary_of([str(tmp_path)], now=NOW).runs
    assert bars[0].label == label
    assert len(bars) <= MAX_BARS
    assert sum(bar.counts.created for bar in bars) == runs


def test_outcomes_of_a_later_version_are_told(tmp_path: Path) -> None:
    write(tmp_path, outcome("1", "teleported"))
    with pytest.raises(StorageError, match="teleported"):
        counts(tmp_path)


def test_rejected_files_alone_make_no_report(tmp_path: Path) -> None:
    (tmp_path / "rejected-20261123T100000Z-a-00001.jsonl").write_bytes(b"{}\n")
    with pytest.raises(StorageError, match="only rejected"):
        counts(tmp_path)


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    write(tmp_path / "outcomes", outcome("1"))
    counts(tmp_path / "outcomes")
    write(tmp_path / "outcomes", outcome("1", "teleported"), run="b")
    with pytest.raises(StorageError):
        counts(tmp_path / "outcomes")
    assert list((tmp_path / "temporary").iterdir()) == []


def rejected_file(location: str) -> OutcomeFile:
    return OutcomeFile(location, location.rpartition("/")[2], Kind.REJECTED, "r", None, 1)


def test_replay_commands_name_the_kind_and_the_places() -> None:
    files = [rejected_file("/data/a b/one/rejected-1.jsonl"), rejected_file("/data/a b/two/rejected-2.jsonl")]
    assert replay_command("DUPLICATE_LEADS", "1007", files) == (
        """grep -rhF --include='rejected-*.jsonl' '"category":"DUPLICATE_LEADS","code":"1007"' '/data/a b' | """
        "destination-marketo-programs write --config config.json --catalog catalog.json"
    )
    command = replay_command("MISSING_KEY", None, [rejected_file("s3://bucket/path/rejected-1.jsonl")])
    assert command is not None
    assert command.startswith("aws s3 cp --recursive --exclude '*' --include 'rejected-*.jsonl' s3://bucket/path ")
    assert """'"category":"MISSING_KEY","code":null' rejected-leads |""" in command
    hostile = replay_command("X", "'; rm -rf / #", files)
    assert hostile is not None
    assert """'"category":"X","code":"'"'"'; rm -rf / #"'""" in hostile


results = st.sampled_from(["created", "updated", "unchanged", "imported", "skipped", "rejected"])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    runs=st.lists(
        st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 2), results, st.integers(0, 5)), max_size=12),
        min_size=1,
        max_size=4,
    )
)
def test_any_files_count_as_a_plain_dictionary_would(
    tmp_path_factory: pytest.TempPathFactory, runs: list[list[tuple[str, int, str, int]]]
) -> None:
    folder = tmp_path_factory.mktemp("any")
    expected: dict[tuple[str, int], tuple[int, str]] = {}
    for number, lines in enumerate(runs):
        made = []
        for key, program, result, second in lines:
            at = f"2026-11-23T10:00:0{second}Z"
            made.append(outcome(key, result, program_id=program, at=at))
            if second >= expected.get((key, program), (0, ""))[0]:
                expected[key, program] = (second, result)
        write(folder, *made, run=f"r{number}", after=timedelta(minutes=number))
    if not any(runs):
        return
    wanted = Counts()
    for _, result in expected.values():
        wanted.add(result)
    assert counts(folder) == wanted
    assert len(leads(folder)) == wanted.rejected
