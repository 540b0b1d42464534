"""One reconcile against a Marketo of tables: what counts as delivered, how it is read, what is found."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_marketo import TRADESHOW, Member, TableMarketo, no_permission

from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.config.addresses import instance_of
from destination_marketo_programs.marketo.activities import Activity
from destination_marketo_programs.marketo.errors import AnswerMisfitError, RefusedError
from destination_marketo_programs.outcomes import Category, Outcome, Result, record_ref
from destination_marketo_programs.reconcile.book import open_book
from destination_marketo_programs.reconcile.compare import Finding, findings
from destination_marketo_programs.reconcile.expected import Scope
from destination_marketo_programs.reconcile.extract import Extraction, ExtractPace
from destination_marketo_programs.reconcile.running import Findings, Reconciliation, RunFacts
from destination_marketo_programs.reconcile.verdicts import Verdict
from destination_marketo_programs.storage import OutcomeStore, Reader, open_store
from destination_marketo_programs.storage.runs import ImportJob, ProgramInfo, RunFile, new_run, write_run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from destination_marketo_programs.marketo.api import Marketo

INSTANCE = "123-ABC-456"
MB = 1_000_000


def outcome(key: str, lead: int | None, status: str = "Registered", program: int = 1004, **more: Any) -> Outcome:
    result = more.pop("outcome", Result.CREATED)
    return Outcome(
        "leads", key, "4711", program, status, result, lead, at=more.pop("at", "2026-11-20T10:00:00Z"),
        record_ref=record_ref("", "leads", key), **more,
    )  # fmt: skip


def imported(key: str, email: str, status: str = "Registered", program: int = 1004, **more: Any) -> Outcome:
    return outcome(key, None, status, program, outcome=Result.IMPORTED, lookup_value=email, **more)


class Place:
    """A storage folder, and the syncs that wrote into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._syncs = 0

    def store(self, hour: int | None = None) -> OutcomeStore:
        self._syncs += 1
        started = datetime(2026, 11, 20, self._syncs if hour is None else hour, tzinfo=UTC)
        storage = LocalStorage(path=str(self.folder))
        return open_store(storage, sync_started_at=started, run_id=f"run{self._syncs}")

    def sync(self, *outcomes: Outcome, run: RunFile | None = None) -> None:
        store = self.store()
        for one in outcomes:
            store.add(one)
        if run is not None:
            write_run(store, run, datetime(2026, 11, 20, 12, tzinfo=UTC))
        store.close()

    def run(self, number: int, instance: str = INSTANCE) -> RunFile:
        started = datetime(2026, 11, 20, number, tzinfo=UTC)
        return new_run(run_id=f"run{number}", started=started, instance=instance, version="0.2.0")


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "outcomes")


class Reconciled:
    """What one run found, and the run."""

    def __init__(self, run: Reconciliation, found: Findings, rows: list[Finding]) -> None:
        self.run = run
        self.found = found
        self.rows = rows
        self.verdicts = {row.lead: row.verdict for row in rows}


@contextmanager
def reconciling(place: Place, marketo: TableMarketo, scope: Scope | None = None, **more: Any) -> Iterator[Reconciled]:
    reader, places = Reader(), [str(place.folder)]
    pauses: list[float] = more.pop("pauses", [])
    most = more.pop("max_bytes", 50 * MB)

    def wait(pause: float) -> bool:
        pauses.append(pause)
        return True

    extraction = Extraction(cast("Marketo", marketo), wait, ExtractPace(), most)
    with open_book() as book:
        facts = RunFacts(reader.runs(places), INSTANCE)
        run = Reconciliation(book, cast("Marketo", marketo), facts, extraction)
        run.compare(reader, reader.find_files(places), scope or Scope(), most)
        yield Reconciled(run, run.findings(), list(findings(book)))


def reconcile(place: Place, marketo: TableMarketo, scope: Scope | None = None, **more: Any) -> Reconciled:
    with reconciling(place, marketo, scope, **more) as done:
        return done


def people(*numbers: int) -> dict[int, str]:
    return {number: f"person{number}@example.org" for number in numbers}


# --- verdicts ----------------------------------------------------------------------------------------------------


def test_each_verdict(place: Place) -> None:
    place.sync(*(outcome(f"r{lead}", lead) for lead in range(1, 7)))
    marketo = TableMarketo(
        people(1, 2, 3, 4, 5),
        {1004: {1: Member("Registered"), 2: Member("Attended"), 3: Member("Waitlisted"), 4: Member("Invited")}},
    )
    done = reconcile(place, marketo)
    assert done.verdicts == {
        1: Verdict.AS_SENT, 2: Verdict.AHEAD, 3: Verdict.BESIDE, 4: Verdict.BEHIND, 5: Verdict.MISSING,
        6: Verdict.PERSON_GONE,
    }  # fmt: skip
    assert done.found.open == 3
    assert not marketo.written


def test_the_latest_outcome_of_a_record_counts(place: Place) -> None:
    place.sync(outcome("a", 1, "Attended"), outcome("b", 2), outcome("c", 3))
    place.sync(
        outcome("a", 1, "Registered", at="2026-11-21T10:00:00Z"),
        outcome("b", None, outcome=Result.REJECTED, category=Category.FIELD_INVALID, at="2026-11-21T10:00:00Z"),
        outcome("c", 3, outcome=Result.SKIPPED, category=Category.SUPERSEDED, at="2026-11-21T10:00:00Z"),
    )
    marketo = TableMarketo(people(1, 2, 3), {1004: {1: Member("Registered")}})
    assert reconcile(place, marketo).verdicts == {1: Verdict.AS_SENT}


def test_within_one_sync_every_outcome_counts_and_the_highest_status_is_expected(place: Place) -> None:
    place.sync(outcome("a", 1, "Attended"), outcome("a", 1, "Invited"), outcome("b", 1, "Registered"), outcome("c", 2))
    marketo = TableMarketo(people(1, 2), {1004: {1: Member("Registered"), 2: Member("Registered")}})
    done = reconcile(place, marketo)
    assert done.verdicts == {1: Verdict.BEHIND, 2: Verdict.AS_SENT}
    assert [row.sent for row in done.rows] == ["Attended", "Registered"]


deliveries = st.lists(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from([1004, 1005]),
            st.integers(1, 4),
            st.sampled_from([Result.CREATED, Result.UNCHANGED, Result.REJECTED, Result.SKIPPED]),
            st.sampled_from(["Invited", "Registered", "Attended"]),
        ),
        max_size=6,
    ),
    min_size=1,
    max_size=4,
)


@given(deliveries)
def test_what_counts_is_what_the_last_sync_said_of_each_record(
    tmp_path_factory: pytest.TempPathFactory, syncs: list[list[tuple[str, int, int, Result, str]]]
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    last: dict[tuple[str, int], list[tuple[int, Result, str]]] = {}
    for number, lines in enumerate(syncs):
        said: dict[tuple[str, int], list[tuple[int, Result, str]]] = {}
        for key, program, lead, result, status in lines:
            said.setdefault((key, program), []).append((lead, result, status))
        last |= said
        at = f"2026-11-20T1{number}:00:00Z"
        place.sync(outcome("other", None, outcome=Result.SKIPPED, at=at), *(
            outcome(key, lead, status, program, outcome=result, at=at) for key, program, lead, result, status in lines
        ))  # fmt: skip
    order = [status.name for status in TRADESHOW]
    expected: dict[tuple[int, int], str] = {}
    for (_, program), said_last in last.items():
        for lead, result, status in said_last:
            if result in (Result.CREATED, Result.UNCHANGED):
                held = expected.get((program, lead), status)
                expected[program, lead] = max(held, status, key=order.index)
    marketo = TableMarketo(people(1, 2, 3, 4), {1004: {}, 1005: {}})
    done = reconcile(place, marketo)
    assert {(row.program, row.lead): row.sent for row in done.rows} == expected
    assert len(done.rows) == len(expected)


def test_dry_runs_other_instances_other_programs_and_older_days_are_left_out(place: Place) -> None:
    place.sync(outcome("a", 1, dry_run=True), outcome("a", 11, at="2026-11-01T10:00:00Z"))
    place.sync(outcome("b", 2), run=place.run(2, "localhost:8080"))
    place.sync(outcome("c", 3, program=1005), outcome("d", 4), run=place.run(3, INSTANCE.lower()))
    marketo = TableMarketo(people(1, 2, 3, 4, 11), {1004: {4: Member("Registered")}})
    done = reconcile(place, marketo, Scope(programs=[1004], since="2026-11-10T00:00:00Z"))
    assert done.verdicts == {4: Verdict.AS_SENT}
    assert any("another Marketo instance" in note for note in done.found.notes)


def test_positions_are_records_of_their_own_in_each_sync(place: Place) -> None:
    place.sync(outcome("1", 1, record_key_is_position=True))
    place.sync(outcome("1", 2, record_key_is_position=True))
    marketo = TableMarketo(people(1, 2), {1004: {1: Member("Registered"), 2: Member("Registered")}})
    assert reconcile(place, marketo).verdicts == {1: Verdict.AS_SENT, 2: Verdict.AS_SENT}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://123-abc-456.mktorest.com", "123-ABC-456"),
        ("http://localhost:8080", "localhost:8080"),
        ("http://127.0.0.1:41", "127.0.0.1:41"),
    ],
)
def test_an_instance_has_one_name(url: str, name: str) -> None:
    assert instance_of(url) == name


@pytest.mark.parametrize("code", ["610", "702"])
def test_a_program_that_marketo_does_not_show_gets_no_verdicts(place: Place, code: str) -> None:
    place.sync(outcome("a", 1, program=7), outcome("b", 2))
    marketo = TableMarketo(people(1, 2), {1004: {2: Member("Registered")}}, code_of_no_program=code)
    done = reconcile(place, marketo)
    assert done.found.gone == [7]
    assert done.verdicts == {2: Verdict.AS_SENT}


def test_imported_rows_of_earlier_versions_that_name_nobody_are_left_out_and_counted(place: Place) -> None:
    place.sync(*(outcome(f"r{number}", None, outcome=Result.IMPORTED) for number in range(3)), outcome("b", 2))
    done = reconcile(place, TableMarketo(people(2), {1004: {2: Member("Registered")}}))
    assert done.verdicts == {2: Verdict.AS_SENT}
    assert any("3 outcomes of imports" in note for note in done.found.notes)


# --- people who have moved ---------------------------------------------------------------------------------------


def test_a_merged_person_is_found_by_the_email_of_the_import(place: Place) -> None:
    place.sync(outcome("a", 1, confirmed=True, lookup_value="Ann@Example.org"))
    marketo = TableMarketo({2: "ann@example.org"}, {1004: {2: Member("Attended")}})
    (row,) = reconcile(place, marketo).rows
    assert (row.lead, row.was, row.verdict) == (2, 1, Verdict.AHEAD)


def test_a_merged_person_is_found_among_those_who_shared_the_key(place: Place) -> None:
    place.sync(outcome("a", 1, detail={"lead_ids": [1, 2, 3]}), outcome("b", 9, detail={"lead_ids": [8, 9]}))
    marketo = TableMarketo(people(3, 8), {1004: {3: Member("Registered")}})
    assert reconcile(place, marketo).verdicts == {3: Verdict.AS_SENT, 8: Verdict.MISSING}


def merge(winner: int, *losers: int) -> Activity:
    ids = ",".join(map(str, losers))
    return Activity(winner, 32, "2026-11-21T10:00:00Z", winner, str(winner), {"Merge IDs": ids})


def test_people_of_whom_only_the_id_is_known_are_traced_through_their_merges(place: Place) -> None:
    place.sync(*(outcome(f"r{lead}", lead) for lead in range(1, 7)))
    marketo = TableMarketo(people(20, 30, 6), {1004: {20: Member("Registered"), 6: Member("Registered")}})
    # One goes to 20 by way of 10 and 11; two are merged into somebody who is no member; 4 into 40, who is gone as well.
    marketo.log = [merge(10, 1), merge(11, 10), merge(20, 11, 99), merge(30, 2, 3), merge(40, 4)]
    done = reconcile(place, marketo)
    assert done.verdicts == {
        20: Verdict.AS_SENT, 30: Verdict.MISSING, 4: Verdict.PERSON_GONE, 5: Verdict.PERSON_GONE, 6: Verdict.AS_SENT,
    }  # fmt: skip
    assert next(row for row in done.rows if row.lead == 20).was == 1
    assert marketo.calls["activities"] == 1


def test_without_the_permission_merged_people_count_as_gone_and_that_is_said(place: Place) -> None:
    place.sync(outcome("a", 1))
    marketo = TableMarketo(people(2), {1004: {2: Member("Registered")}}, log=[merge(2, 1)])
    marketo.refuse["activities"] = no_permission("activities")
    done = reconcile(place, marketo)
    assert done.verdicts == {1: Verdict.PERSON_GONE}
    assert any("Read-Only Activity" in note for note in done.found.notes)


def test_a_log_of_merges_that_is_too_long_is_read_in_part(place: Place) -> None:
    place.sync(outcome("a", 1), outcome("b", 3))
    marketo = TableMarketo(people(2, 4), {1004: {2: Member("Registered"), 4: Member("Registered")}})

    def cut(*_: object) -> Iterator[Activity]:
        yield merge(2, 1)
        raise AnswerMisfitError("activities", "more than 50 pages")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(marketo, "activities", cut)
        done = reconcile(place, marketo)
    assert done.verdicts == {2: Verdict.AS_SENT, 3: Verdict.PERSON_GONE}
    assert any("too long" in note for note in done.found.notes)


def test_an_import_and_a_call_of_one_person_are_one_lead(place: Place) -> None:
    place.sync(imported("a", "person1@example.org", "Attended"), outcome("b", 1))
    marketo = TableMarketo(people(1), {1004: {1: Member("Registered")}})
    (row,) = reconcile(place, marketo).rows
    assert (row.lead, row.sent, row.verdict) == (1, "Attended", Verdict.BEHIND)


def test_a_person_who_is_gone_from_two_programs_is_one_person(place: Place) -> None:
    place.sync(outcome("a", 1), outcome("a", 1, program=1005), outcome("b", 2))
    done = reconcile(place, TableMarketo({}, {1004: {}, 1005: {}}))
    assert [row.verdict for row in done.rows] == [Verdict.PERSON_GONE] * 3
    assert done.found.people_gone == 2


def test_of_several_people_with_the_email_the_member_counts(place: Place) -> None:
    place.sync(imported("a", "both@example.org"), imported("b", "nobody@example.org"))
    marketo = TableMarketo({5: "both@example.org", 6: "both@example.org"}, {1004: {5: Member("Registered")}})
    done = reconcile(place, marketo)
    assert done.verdicts == {5: Verdict.AS_SENT, None: Verdict.PERSON_GONE}


# --- calls -------------------------------------------------------------------------------------------------------


def test_2000_leads_take_at_most_8_calls(place: Place) -> None:
    run = place.run(1)
    run.programs = [ProgramInfo(1004, "Expo", channel="Tradeshow")]
    place.sync(*(outcome(f"r{lead}", lead) for lead in range(2_000)), run=run)
    members = {lead: Member("Registered") for lead in range(2_000)} | {5: Member("Attended")}
    marketo = TableMarketo(people(*range(2_000)), {1004: members})
    done = reconcile(place, marketo)
    assert Counter(done.verdicts.values()) == {Verdict.AS_SENT: 1_999, Verdict.AHEAD: 1}
    assert marketo.calls == {"query_members": 7, "channel": 1}
    assert done.found.programs[0].name == "Expo"
    assert done.found.programs[0].from_elsewhere is None


def ten_programs(place: Place, leads: int) -> TableMarketo:
    """Ten programs, each with so many members from here and 100 from elsewhere; one of them has moved on."""
    programs = range(1, 11)
    store = place.store()
    for program in programs:
        for lead in range(1, leads + 1):
            store.add(outcome(f"r{lead}", lead, program=program))
    store.close()
    members = {program: {lead: Member("Registered") for lead in range(1, leads + 101)} for program in programs}
    members[3][7] = Member("Attended")
    return TableMarketo(people(*range(1, leads + 101)), members, known_programs=dict.fromkeys(programs, "Tradeshow"))


@contextmanager
def summary_of(place: Place, marketo: TableMarketo) -> Iterator[Findings]:
    """As `reconciling`, without a list of everything."""
    reader, places = Reader(), [str(place.folder)]
    extraction = Extraction(cast("Marketo", marketo), lambda _pause: True, ExtractPace(), 50 * MB)
    with open_book() as book:
        run = Reconciliation(book, cast("Marketo", marketo), RunFacts([], INSTANCE), extraction)
        run.compare(reader, reader.find_files(places), Scope(), 50 * MB)
        yield run.findings()


def test_100_000_members_of_10_programs_take_at_most_15_calls(place: Place) -> None:
    marketo = ten_programs(place, 10_000)
    marketo.states = ["Queued"] * 3 + ["Processing"] * 4 + ["Completed"]
    with summary_of(place, marketo) as found:
        assert found.open == 0
        assert [program.from_elsewhere for program in found.programs] == [100] * 10
        assert sum(program.verdicts[Verdict.AS_SENT] for program in found.programs) == 99_999
    assert sum(marketo.calls.values()) <= 15, marketo.calls
    assert marketo.calls["query_members"] == 0


def test_memory_does_not_grow_with_the_members(tmp_path: Path) -> None:
    most = {}
    for leads in (500, 500, 2_000):
        place = Place(tmp_path / str(len(list(tmp_path.iterdir()))))
        marketo = ten_programs(place, leads)
        marketo.tells_size = False
        marketo.members[3][7] = Member("Registered")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("destination_marketo_programs.reconcile.plan.MAX_READ_CALLS", 1)
            tracemalloc.start()
            try:
                with summary_of(place, marketo) as found:
                    assert found.open == 0
                most[leads] = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
        assert marketo.calls["file"] == 1
    assert most[2_000] < most[500] + 1 * MB, most


def large(place: Place, programs: Iterable[int] = (1004,), count: int = 2_401) -> TableMarketo:
    programs = list(programs)
    place.sync(*(outcome(f"r{lead}", lead, program=program) for program in programs for lead in range(1, count + 1)))
    return TableMarketo(
        people(*range(1, count + 2)),
        {program: {lead: Member("Registered") for lead in range(1, count + 2)} for program in programs},
    )


def test_one_large_program_is_extracted_with_five_columns(place: Place) -> None:
    marketo = large(place)
    pauses: list[float] = []
    done = reconcile(place, marketo, pauses=pauses)
    assert set(done.verdicts.values()) == {Verdict.AS_SENT}
    assert marketo.columns == ["leadId", "email", "statusName", "membershipDate", "updatedAt"]
    assert done.found.programs[0].from_elsewhere == 1
    assert marketo.calls == {"create": 1, "enqueue": 1, "status": 2, "file": 1}
    assert pauses == [10.0, 25.0]


def test_the_columns_of_an_extract_may_have_other_names(place: Place) -> None:
    marketo = large(place)
    marketo.labels = {"leadId": "Lead Id", "statusName": "Status", "membershipDate": "Member Date"}
    assert set(reconcile(place, marketo).verdicts.values()) == {Verdict.AS_SENT}
    assert marketo.calls["query_members"] == 0


def test_a_small_program_rides_in_the_extract_that_is_needed_anyway(place: Place) -> None:
    marketo = large(place)
    place.sync(*(outcome(f"x{lead}", lead, program=1005) for lead in range(1, 302)))
    marketo.members[1005] = {lead: Member("Registered") for lead in range(1, 302)}
    done = reconcile(place, marketo)
    assert [program.from_elsewhere for program in done.found.programs] == [1, 0]
    assert marketo.calls["query_members"] == 0


@pytest.mark.parametrize(
    ("call", "error", "reason"),
    [
        ("create", RefusedError("x", "1029", "Export daily quota 500MB exceeded"), "quota of 500 MB is used up"),
        ("enqueue", RefusedError("x", "1029", "Too many jobs in queue"), "export queue is full"),
        ("enqueue", RefusedError("x", "1029", "Job already queued"), "queued already"),
        ("create", RefusedError("x", "1035", "Unsupported filter type"), "does not offer such an extract"),
        ("create", no_permission("create_extract"), "may not export"),
        ("status", RefusedError("x", "1013", "Export job not found"), "refuses it (1013)"),
    ],
)
def test_an_extract_that_is_refused_becomes_reads(place: Place, call: str, error: Exception, reason: str) -> None:
    marketo = large(place)
    marketo.refuse[call] = error
    done = reconcile(place, marketo)
    assert set(done.verdicts.values()) == {Verdict.AS_SENT}
    assert marketo.calls["query_members"] == 9
    assert reason in " ".join(done.found.notes)
    assert done.found.programs[0].from_elsewhere is None


@pytest.mark.parametrize("state", ["Failed", "Cancelled", "Canceled"])
def test_an_extract_that_fails_becomes_reads(place: Place, state: str) -> None:
    marketo = large(place)
    marketo.states = ["Queued", state]
    assert set(reconcile(place, marketo).verdicts.values()) == {Verdict.AS_SENT}
    assert marketo.calls["query_members"] == 9


def test_an_extract_that_never_ends_is_given_up_and_cancelled(place: Place) -> None:
    marketo = large(place)
    marketo.states = ["Queued"]
    pauses: list[float] = []
    done = reconcile(place, marketo, pauses=pauses)
    assert "in time" in " ".join(done.found.notes)
    assert marketo.calls["cancel"] == 1
    assert pauses == sorted(pauses)
    assert sum(pauses) >= 4 * 3600


def test_an_hour_of_extract_takes_at_most_ten_polls() -> None:
    pauses = ExtractPace().pauses()
    total = polls = 0
    while total < 68 * 60:
        total += int(next(pauses))
        polls += 1
    assert polls <= 10


def test_a_file_that_is_cut_short_is_fetched_again_and_then_replaced_by_reads(place: Place) -> None:
    marketo = large(place)
    marketo.cut_files = 1
    done = reconcile(place, marketo)
    assert marketo.calls["file"] == 2
    assert done.found.programs[0].from_elsewhere == 1
    marketo.calls.clear()
    marketo.cut_files = 2
    done = reconcile(place, marketo)
    assert marketo.calls["query_members"] == 9
    assert set(done.verdicts.values()) == {Verdict.AS_SENT}


def test_an_extract_is_not_larger_than_allowed(place: Place) -> None:
    marketo = large(place)
    done = reconcile(place, marketo, max_bytes=100_000)
    assert marketo.calls["create"] == 0
    assert "--max-export-mb" in " ".join(done.found.notes)
    # Beforehand nobody knows how many members came from elsewhere.
    marketo.members[1004] |= {lead: Member("Invited") for lead in range(10_000, 20_000)}
    done = reconcile(place, marketo, max_bytes=400_000)
    assert marketo.calls["file"] == 0
    assert "--max-export-mb" in " ".join(done.found.notes)


def test_an_extract_shows_who_an_import_was_without_looking_people_up(place: Place) -> None:
    place.sync(*(imported(f"r{lead}", f"PERSON{lead}@example.org") for lead in range(1, 1_501)))
    members = {lead: Member("Registered") for lead in range(1, 1_500)}
    marketo = TableMarketo(people(*range(1, 1_501)), {1004: members})
    done = reconcile(place, marketo)
    assert Counter(done.verdicts.values()) == {Verdict.AS_SENT: 1_499, Verdict.MISSING: 1}
    assert done.verdicts[1_500] is Verdict.MISSING
    assert marketo.calls["query_leads:email"] == 1
    assert marketo.calls["create"] == 1


@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.sampled_from(["Invited", "Registered", "Attended"]), st.booleans()),
        min_size=1,
        max_size=25,
    ),
    st.dictionaries(st.integers(1, 12), st.sampled_from(["Invited", "Registered", "Waitlisted", "Attended"])),
    st.sets(st.integers(1, 12)),
)
def test_extract_and_reads_find_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    sent: list[tuple[int, str, bool]],
    held: dict[int, str],
    deleted: set[int],
) -> None:
    """Whichever way is taken, whoever is named by id or by email: the same verdict for each lead."""
    place = Place(tmp_path_factory.mktemp("place"))
    place.sync(
        *(
            imported(f"r{number}", f"person{lead}@example.org", status)
            if by_email
            else outcome(f"r{number}", lead, status)
            for number, (lead, status, by_email) in enumerate(sent)
        )
    )
    alive = [lead for lead in range(1, 13) if lead not in deleted]
    members = {lead: Member(status) for lead, status in held.items() if lead in alive}
    by_read = reconcile(place, TableMarketo(people(*alive), {1004: members}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("destination_marketo_programs.reconcile.plan.MAX_READ_CALLS", 0)
        by_extract = reconcile(place, TableMarketo(people(*alive), {1004: members}))

    def of_people(done: Reconciled) -> Counter[tuple[int | None, Verdict, str]]:
        return Counter((row.lead, row.verdict, row.sent) for row in done.rows)

    assert of_people(by_read) == of_people(by_extract)
    assert {lead for lead, *_ in of_people(by_read)} - {None} <= {lead for lead, *_ in sent}
    for row in by_read.rows:
        if row.lead in alive:
            assert (row.verdict is Verdict.MISSING) == (row.lead not in members)


# --- imports made exact --------------------------------------------------------------------------------------------


def test_imported_rows_become_exact_and_stay_so(place: Place) -> None:
    run = place.run(1)
    run.imports = [ImportJob(1004, "Importing", "2026-11-20T01:30:00Z", 9)]
    place.sync(
        imported("new", "person1@example.org", sent={"title": "f1"}),
        imported("moved", "person2@example.org"),
        imported("same", "person3@example.org"),
        imported("7", "person4@example.org", record_key_is_position=True),
        imported("lost", "person5@example.org"),
        outcome("rest", 6),
        run=run,
    )
    before, between = "2026-11-01T00:00:00Z", "2026-11-20T01:40:00Z"
    marketo = TableMarketo(
        people(*range(1, 7)),
        {1004: {
            1: Member("Registered", between, between), 2: Member("Registered", before, between),
            3: Member("Registered", before, "2026-11-20T01:29:59Z"), 4: Member("Registered", between, between),
            6: Member("Registered"),
        }},
    )  # fmt: skip
    with reconciling(place, marketo) as done:
        store = place.store(23)
        done.run.confirm(store)
        store.close()
        confirmed = done.run.findings().confirmed
    assert confirmed is not None
    assert confirmed == (1, 1, 1, 1, 0)
    stored = [one for file in Reader().find_files([str(place.folder)]) for one in Reader().outcomes(file)]
    exact = {one.record_key: one for one in stored if one.confirmed}
    assert {key: (one.outcome, one.lead_id) for key, one in exact.items()} == {
        "new": ("created", 1), "moved": ("updated", 2), "same": ("unchanged", 3),
    }  # fmt: skip
    assert exact["new"].sent == {"title": "f1"}
    assert exact["new"].lookup_value == "person1@example.org"
    with reconciling(place, marketo) as again:
        assert again.verdicts == done.verdicts
        store = place.store(23)
        again.run.confirm(store)
        store.close()
        confirmed = again.run.findings().confirmed
    assert confirmed is not None
    assert confirmed[:3] == (0, 0, 0)


def test_the_verdict_file_says_what_is_left(place: Place) -> None:
    place.sync(*(outcome(f"r{lead}", lead) for lead in range(1, 4)), run=place.run(1))
    marketo = TableMarketo(people(1, 2, 3), {1004: {1: Member("Registered"), 2: Member("Invited")}})
    with reconciling(place, marketo) as done:
        store = place.store(23)
        done.run.store(store, "2026-11-26T00:00:00Z", INSTANCE, "rec")
        store.close()
    (file,) = Reader().reconciled([str(place.folder)])
    assert file.instance == INSTANCE
    assert msgspec.to_builtins(file.programs[0].verdicts) == {
        "as_sent": 1, "ahead": 0, "beside": 0, "behind": 1, "missing": 1, "person_gone": 0,
    }  # fmt: skip
    assert [(lead.lead_id, lead.verdict, lead.found) for lead in file.leads] == [
        (2, "behind", "Invited"), (3, "missing", ""),
    ]  # fmt: skip
    assert file.programs[0].from_elsewhere is None
