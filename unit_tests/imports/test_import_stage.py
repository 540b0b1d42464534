"""Where records wait, and what each answer of Marketo does to a file: no record lost, doubled or overtaken."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imports_bench import WORTH, Bench, status

from destination_marketo_programs.delivery.loop import missing_from
from destination_marketo_programs.delivery.member_calls import ProgramGoneError
from destination_marketo_programs.imports.calls import ResultFiles
from destination_marketo_programs.imports.files import JOBS_UNDER_WAY
from destination_marketo_programs.imports.jobs import NoSignError, StuckJobError
from destination_marketo_programs.imports.results import Reasons
from destination_marketo_programs.marketo.errors import (
    ConfigurationFaultError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    TooLargeError,
)

if TYPE_CHECKING:
    from destination_marketo_programs.delivery.stage import Call

pytestmark = pytest.mark.usefixtures("four_rows_are_worth_a_job")


# --- which way ---------------------------------------------------------------------------------------------------


def test_few_rows_wait_for_their_age_and_then_go_over_rest_in_order(bench: Bench) -> None:
    bench.people(WORTH - 1)
    bench.go(59.0)
    assert bench.rest == []
    bench.go(2.0)
    assert [entry.key for entry in bench.rest] == ["0", "1", "2"]
    assert bench.rest[0].person.fields == {"firstName": "0"}
    assert bench.marketo.uploads == []
    assert len(bench.stage) == 0


def test_a_job_that_is_done_when_its_upload_is_answered_is_asked_for_its_counts(bench: Bench) -> None:
    bench.marketo.script.append(status(1, "Complete"))
    bench.people(WORTH)
    bench.ended = True
    bench.go()
    assert bench.marketo.polled == [1]
    assert bench.told() == {str(number): ["imported"] for number in range(WORTH)}
    assert bench.rest == []


def test_few_rows_go_over_rest_when_the_input_ends(bench: Bench) -> None:
    bench.people(WORTH - 1)
    bench.ended = True
    bench.go()
    assert len(bench.rest) == WORTH - 1


def test_method_bulk_takes_what_is_left_at_the_end_by_file() -> None:
    bench = Bench(always=True)
    bench.people(1)
    bench.ended = True
    bench.go(10.0)
    assert bench.told() == {"0": ["imported"]}


def test_enough_rows_become_a_file_when_they_are_due_and_not_before(bench: Bench) -> None:
    bench.people(WORTH)
    bench.go(50.0)
    assert bench.marketo.uploads == []
    bench.people(3, start=10)
    bench.go(30.0)
    ((program_id, status_name, rows),) = bench.marketo.uploads
    assert (program_id, status_name) == (1004, "Registered")
    assert [row["firstName"] for row in rows] == ["0", "1", "2", "3", "10", "11", "12"]
    assert bench.told() == {str(number): ["imported"] for number in (0, 1, 2, 3, 10, 11, 12)}
    outcome = bench.store.outcomes[0]
    assert (outcome.lead_id, outcome.lead_action, outcome.program_id, outcome.event) == (None, None, 1004, "expo")
    assert len(bench.stage) == 0


def test_records_with_other_fields_go_to_another_file(bench: Bench) -> None:
    bench.people(WORTH)
    bench.people(WORTH, start=10, title="x")
    bench.ended = True
    bench.go(20.0)
    assert sorted(tuple(rows[0]) for _, _, rows in bench.marketo.uploads) == [
        ("email", "firstName"),
        ("email", "firstName", "title"),
    ]


def test_a_file_is_cut_by_bytes() -> None:
    bench = Bench(max_file_bytes=100)
    bench.people(30)
    bench.ended = True
    bench.go(60.0)
    assert len(bench.marketo.uploads) > 2
    for _, _, rows in bench.marketo.uploads:
        size = len("email,firstName\r\n") + sum(len(f"{row['email']},{row['firstName']}\r\n") for row in rows)
        assert size <= 100
    assert Counter(outcome for told in bench.told().values() for outcome in told)["imported"] + len(bench.rest) == 30


def test_a_record_with_a_marketo_id_goes_over_rest(bench: Bench) -> None:
    bench.record(1, "a@x.y", marketo=17)
    assert len(bench.rest) == 1


def test_no_more_is_read_than_may_wait(bench: Bench) -> None:
    bench = Bench(max_rows=5)
    bench.people(4)
    assert not bench.stage.full
    bench.people(1, start=4)
    assert bench.stage.full
    bench.go(10.0)
    assert not bench.stage.full
    assert len(bench.told()) == 5


# --- order -------------------------------------------------------------------------------------------------------


def test_a_later_record_of_a_person_waits_for_the_job_of_the_earlier_one(bench: Bench) -> None:
    bench.people(WORTH)
    for number in range(WORTH):
        bench.record(100 + number, f"P{number}@x.y")
    bench.ended = True
    bench.go(60.0)
    assert [[row["firstName"] for row in rows] for _, _, rows in bench.marketo.uploads] == [
        ["0", "1", "2", "3"],
        ["100", "101", "102", "103"],
    ]


def test_while_a_person_is_with_rest_later_records_follow_there(bench: Bench) -> None:
    bench.record(1, "a@x.y", marketo=17)
    bench.record(2, "A@x.y")
    assert [entry.key for entry in bench.rest] == ["1", "2"]
    bench.finish_rest(bench.rest[0])
    bench.record(3, "a@x.y")
    assert [entry.key for entry in bench.rest] == ["2", "3"]
    for entry in list(bench.rest):
        bench.finish_rest(entry)
    bench.record(4, "a@x.y")
    assert bench.rest == []


def test_what_is_parked_behind_a_row_that_goes_over_rest_goes_with_it(bench: Bench) -> None:
    for number in range(5):
        bench.record(number, "a@x.y")
    bench.ended = True
    bench.go()
    assert [entry.key for entry in bench.rest] == ["0", "1", "2", "3", "4"]


def test_a_parked_record_that_goes_over_rest_takes_along_what_is_parked_behind_it(bench: Bench) -> None:
    bench.people(WORTH)
    bench.record(10, "p0@x.y", marketo=17)
    bench.record(11, "p0@x.y")
    bench.record(12, "p0@x.y", title="x")
    bench.go(70.0)
    assert len(bench.marketo.uploads) == 1
    assert [entry.key for entry in bench.rest] == ["10", "11", "12"]
    assert len(bench.stage) == 0


def test_rows_read_back_in_vain_take_along_what_is_parked_behind_them(bench: Bench) -> None:
    bench.marketo.refuse = {"p0@x.y": "never told"}
    bench.marketo.unnamed = {"p0@x.y"}
    bench.people(WORTH)
    bench.record(10, "p0@x.y")
    bench.go(70.0)
    assert [entry.key for entry in bench.rest] == ["0", "1", "2", "3", "10"]


def test_further_programs_of_a_record_follow_one_by_one(bench: Bench) -> None:
    bench.people(WORTH, programs=[1004, 1005])
    bench.people(1, start=50, programs=[1005, 1001])
    bench.ended = True
    bench.go(60.0)
    assert [program for program, _, _ in bench.marketo.uploads] == [1004, 1005]
    assert bench.told() == {str(number): ["imported", "imported"] for number in range(WORTH)}
    (entry,) = bench.rest
    assert [target.program_id for target in entry.targets] == [1005, 1001]


def test_a_row_refused_for_the_person_is_refused_for_all_its_programs(bench: Bench) -> None:
    bench.marketo.refuse = {"p1@x.y": "Invalid data type in field First Name"}
    bench.people(WORTH + 1, programs=[1004, 1005])
    bench.ended = True
    bench.go(60.0)
    told = bench.told()
    assert told.pop("1") == ["FIELD_INVALID", "FIELD_INVALID"]
    assert set(map(tuple, told.values())) == {("imported", "imported")}
    ((line, rejections),) = bench.store.rejected
    assert json.loads(line)["record"]["data"]["id"] == 1
    assert rejections == 2


records = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.sampled_from([[1004], [1004, 1005], [1005], [1005, 1001, 1004], [1009], [1004, 1009]]),
        st.booleans(),
        st.integers(0, 9),
    ),
    max_size=40,
)
result_rows = st.lists(
    st.tuples(
        st.sampled_from([*(f"p{number}@x.y" for number in range(6)), "P1@X.Y", "nobody@x.y", ""]),
        st.sampled_from(
            ["Invalid email address", "Program status not found", "Person is already past this program status"]
        ),
    ),
    max_size=8,
)
counts = st.one_of(st.none(), st.integers(0, 9))


class Scramble:
    """A load whose events come in any order, watched at every upload."""

    def __init__(self, load: list[tuple[int, list[int], bool, int]], random: Any, *, always: bool) -> None:
        self.bench = bench = Bench(always=always, max_file_bytes=200)
        self.random = random
        self.load = list(enumerate(load))
        self.wanted = {str(number): len(programs) for number, (_, programs, _, _) in self.load}
        self.earlier: dict[str, list[int]] = defaultdict(list)
        self.pending: list[Call] = []
        bench.marketo.refuse = {
            "p2@x.y": "Program status not found",
            "p3@x.y": "Invalid email address",
            "p4@x.y": "never told",
        }
        bench.marketo.unnamed = {"p4@x.y"}
        bench.marketo.arrived = {"p0@x.y", "p5@x.y"}
        bench.marketo.on_upload = self.check_upload

    @property
    def running(self) -> set[int]:
        """Jobs that Marketo may be working on, as other runs are told."""
        told = self.bench.journal.events
        ended = {event[1] for event in told if event[0] == "ended"}
        return {event[2] for event in told if event[0] == "uploaded"} - ended

    def check_upload(self, rows: list[dict[str, str]]) -> None:
        assert self.bench.journal.events[-1][0] == "uploading", "others are told before"
        emails = [row["email"].lower() for row in rows]
        assert len(set(emails)) == len(emails)
        elsewhere = {entry.person.key for entry in self.bench.rest}
        for job in self.running:
            elsewhere |= {email.lower() for email in self.bench.marketo.jobs[job]}
        assert not elsewhere & set(emails), "a person is in two places"
        told = self.bench.told()
        for row in rows:
            for other in self.earlier[row["email"].lower()]:
                if other < int(row["firstName"]):
                    assert len(told.get(str(other), ())) == self.wanted[str(other)], "a record overtook an earlier one"

    def arrive(self) -> None:
        number, (who, programs, with_title, luck) = self.load.pop(0)
        more: dict[str, Any] = {"programs": programs}
        if with_title:
            more["title"] = "x"
        if luck == 0:
            more["marketo"] = 17
        self.earlier[f"p{who}@x.y"].append(number)
        self.bench.record(number, self.random.choice([f"p{who}@x.y", f"p{who}@x.y", f"p{who}@X.y"]), **more)

    def step(self) -> None:
        bench, random = self.bench, self.random
        match random.choice(["record", "turn", "turn", "answer", "rest", "time"]):
            case "record" if self.load:
                self.arrive()
            case "turn":
                call = bench.turn()
                if call is not None:
                    self.pending.append(call)
            case "answer" if self.pending:
                bench.make(self.pending.pop(random.randrange(len(self.pending))))
            case "rest" if bench.rest:
                # REST keeps the order of one person's records by itself.
                first = {entry.person.key: entry for entry in reversed(bench.rest)}
                bench.finish_rest(random.choice(list(first.values())))
            case "time":
                bench.now += random.choice([0.1, 5.0, 40.0])
        bench.ended = not self.load

    @property
    def over(self) -> bool:
        return self.bench.ended and not (len(self.bench.stage) or self.bench.rest or self.pending)

    def finish(self) -> None:
        for _ in range(8_000):
            self.step()
            if self.over:
                break
        assert self.over, "it does not come to an end"
        assert {number: len(told) for number, told in self.bench.told().items()} == self.wanted
        self.bench.settlement.commit()
        assert missing_from(self.bench.tally) == ""
        assert self.bench.holding.bytes == 0
        assert self.running == set()
        self.bench.stage.close()


@settings(max_examples=150)
@given(load=records, random=st.randoms(use_true_random=False), always=st.booleans())
def test_any_load_in_any_order_of_events(
    load: list[tuple[int, list[int], bool, int]], random: Any, *, always: bool
) -> None:
    """A person is in one place at a time, no record overtakes an earlier one of its person, and all end once."""
    Scramble(load, random, always=always).finish()


@settings(max_examples=150)
@given(
    load=records,
    random=st.randoms(use_true_random=False),
    failures=st.one_of(st.none(), result_rows),
    warnings=st.one_of(st.none(), result_rows),
    damaged=st.booleans(),
    told=st.tuples(counts, counts, counts),
)
def test_each_row_is_settled_once_whatever_counts_and_result_files_say(
    load: list[tuple[int, list[int], bool, int]],
    random: Any,
    failures: list[tuple[str, str]] | None,
    warnings: list[tuple[str, str]] | None,
    told: tuple[int | None, int | None, int | None],
    *,
    damaged: bool,
) -> None:
    """More rows than were sent, a row twice, failures that the counters deny, files that are cut or missing."""
    scramble = Scramble(load, random, always=True)
    scramble.bench.marketo.counts = lambda _emails: told
    scramble.bench.marketo.files = lambda _emails: ResultFiles(
        None if failures is None else Reasons(failures, damaged), None if warnings is None else Reasons(warnings)
    )
    scramble.finish()


@settings(max_examples=60)
@given(
    load=records,
    random=st.randoms(use_true_random=False),
    faults=st.lists(st.sampled_from(["lost", "1016", "too large", "613", "failed", "forgotten", "fine"]), max_size=12),
    unknown=st.sets(st.sampled_from([f"p{number}@x.y" for number in range(6)])),
)
def test_whatever_becomes_of_uploads_and_jobs_each_row_is_settled_once(
    load: list[tuple[int, list[int], bool, int]], random: Any, faults: list[str], unknown: set[str]
) -> None:
    scramble = Scramble(load, random, always=False)
    marketo = scramble.bench.marketo
    errors = {
        "lost": OutcomeUnknownError("create_import", "502"),
        "1016": RefusedError("create_import", "1016"),
        "too large": TooLargeError("create_import", "HTTP 413"),
        "613": RefusedError("create_import", "613"),
    }
    marketo.script = [errors.get(fault) for fault in faults if fault not in ("failed", "forgotten")]
    marketo.polls = [
        status(1, "Failed") if fault == "failed" else None for fault in faults if fault in ("failed", "forgotten")
    ]
    # Everybody shows up sooner or later.
    looked = marketo.unknown_people

    def unknown_people(emails: Any) -> set[str]:
        marketo.unknown = unknown if not marketo.looked else set()
        return looked(emails)

    marketo.unknown_people = unknown_people  # type: ignore[method-assign]
    scramble.finish()


# --- what becomes of a job -------------------------------------------------------------------------------------------


def uploaded(bench: Bench, count: int = 10) -> None:
    bench.people(count)
    bench.ended = True


def test_polls_come_at_growing_intervals(bench: Bench) -> None:
    uploaded(bench)
    bench.marketo.polls = [status(1, "Queued"), status(1, "Importing"), status(1, "Importing")]
    polled: list[float] = []
    for _ in range(60):
        before = len(bench.marketo.polled)
        bench.go()
        polled += [bench.now - 1000.0] * (len(bench.marketo.polled) - before)
        bench.now += 1.0
    assert polled == [5.0, 13.0, 25.0, 42.0]
    assert len(bench.told()) == 10


def test_complete_is_no_success_for_rows_in_the_failure_file(bench: Bench) -> None:
    bench.marketo.refuse = {"p3@x.y": "Invalid data type in field Lead Score", "p7@x.y": "Multiple people match"}
    bench.marketo.warn = {"p5@x.y": "Invalid email address"}
    uploaded(bench)
    bench.go(20.0)
    told = bench.told()
    assert told.pop("3") == ["FIELD_INVALID"]
    assert told.pop("7") == ["DUPLICATE_LEADS"]
    assert set(map(tuple, told.values())) == {("imported",)}
    by_key = {outcome.record_key: outcome for outcome in bench.store.outcomes}
    assert by_key["3"].message == "Invalid data type in field Lead Score"
    assert by_key["5"].message == "Invalid email address"
    assert len(bench.store.rejected) == 2


def test_a_row_past_the_status_is_unchanged(bench: Bench) -> None:
    bench.marketo.refuse = {"p3@x.y": "Person is already past this program status"}
    uploaded(bench)
    bench.go(20.0)
    assert bench.told()["3"] == ["unchanged"]
    assert bench.store.rejected == []


def test_rows_that_do_not_add_up_are_read_back_and_the_rest_goes_over_rest(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.marketo.refuse = {"p3@x.y": "Invalid email address", "p4@x.y": "never told"}
    bench.marketo.unnamed = {"p4@x.y"}
    bench.marketo.arrived = {f"p{number}@x.y" for number in range(9)} - {"p3@x.y", "p4@x.y"}
    uploaded(bench)
    bench.go(20.0)
    told = bench.told()
    assert sorted(entry.key for entry in bench.rest) == ["3", "4", "9"]
    assert set(map(tuple, told.values())) == {("imported",)}
    assert sorted(told) == ["0", "1", "2", "5", "6", "7", "8"]
    assert "does not add up: 10 rows sent, 8 imported and 2 failed by Marketo's count, 1 named" in caplog.text
    assert "x.y" not in caplog.text


def test_the_words_of_a_failed_job_reject_nobody(bench: Bench) -> None:
    """There is no list of such messages: REST says of each record what it is."""
    bench.marketo.polls = [status(1, "Failed", message="Program status 'Registered' not found")] * 3
    uploaded(bench)
    bench.go(200.0)
    assert bench.told() == {}
    assert len(bench.rest) == 10


def test_a_job_that_failed_otherwise_is_tried_again(bench: Bench) -> None:
    bench.marketo.polls = [status(1, "Failed", message="System error")]
    uploaded(bench)
    bench.go(60.0)
    assert len(bench.marketo.uploads) == 2
    assert set(map(tuple, bench.told().values())) == {("imported",)}


def test_a_job_that_fails_again_and_again_goes_over_rest(bench: Bench) -> None:
    bench.marketo.polls = [status(1, "Failed", message="System error")] * 3
    uploaded(bench)
    bench.go(200.0)
    assert len(bench.marketo.uploads) == 3
    assert len(bench.rest) == 10
    assert bench.told() == {}


def test_a_job_that_marketo_has_forgotten_is_imported_again(bench: Bench) -> None:
    bench.marketo.polls = [None]
    uploaded(bench)
    bench.go(60.0)
    assert len(bench.marketo.uploads) == 2
    assert len(bench.told()) == 10


def test_a_full_queue_is_waited_for_with_growing_distance(bench: Bench) -> None:
    full = RefusedError("create_import", "1016")
    bench.marketo.script = [full, full, full]
    uploaded(bench)
    bench.go(46.0)
    assert bench.marketo.script == []
    assert bench.marketo.uploads == []
    bench.go(20.0)
    assert len(bench.told()) == 10


def test_a_queue_that_stays_full_sends_the_rows_over_rest(bench: Bench) -> None:
    bench.marketo.script = [RefusedError("create_import", "1016")] * 100
    uploaded(bench)
    bench.go(400.0)
    assert len(bench.rest) == 10


def lost() -> OutcomeUnknownError:
    return OutcomeUnknownError("create_import", "502")


def test_after_a_lost_upload_nobody_is_sent_again_until_people_show_up(bench: Bench) -> None:
    bench.marketo.script = [lost()]
    people = [f"p{number}@x.y" for number in range(10)]
    bench.marketo.unknown = set(people)
    uploaded(bench)
    bench.record(50, "p0@x.y")
    bench.go(300.0)
    assert (bench.marketo.uploads, bench.rest, bench.told()) == ([], [], {})
    bench.people(WORTH, start=100)
    bench.go(70.0)
    assert {key for key in bench.told() if int(key) >= 100} == {str(100 + n) for n in range(WORTH)}, "others go on"
    bench.marketo.unknown = set()
    bench.marketo.arrived = set(people) - {"p9@x.y"}
    bench.go(400.0)
    told = bench.told()
    assert [told[str(number)] for number in range(9)] == [["imported"]] * 9
    assert sorted(entry.key for entry in bench.rest) == ["50", "9"]
    assert ("not uploaded", 1004) in bench.journal.events


def test_a_lost_upload_whose_people_show_up_one_by_one_is_waited_for(bench: Bench) -> None:
    """Each sign of life renews the patience; only when no more show up the rest is taken for not imported."""
    bench.marketo.script = [lost()]
    bench.marketo.unknown = {f"p{number}@x.y" for number in range(10)}
    uploaded(bench)
    for number in range(8):
        bench.go(100.0)
        assert bench.told() == {}
        bench.marketo.unknown.discard(f"p{number}@x.y")
        bench.marketo.arrived.add(f"p{number}@x.y")
    bench.go(400.0)
    assert len(bench.told()) == 8
    assert sorted(entry.key for entry in bench.rest) == ["8", "9"]


def test_if_everybody_was_there_before_a_lost_upload_is_sent_again(bench: Bench) -> None:
    """A second import of people who exist creates nobody."""
    bench.marketo.script = [lost()]
    uploaded(bench)
    bench.go(60.0)
    assert len(bench.marketo.uploads) == 1
    assert len(bench.told()) == 10


def test_without_any_sign_of_its_people_the_sync_ends_and_says_what_is_in_doubt(bench: Bench) -> None:
    bench.marketo.script = [lost()]
    bench.marketo.unknown = {f"p{number}@x.y" for number in range(10)}
    uploaded(bench)
    with pytest.raises(NoSignError, match="10 rows for program 1004"):
        bench.go(2_000.0, step=5.0)
    assert len(bench.marketo.looked) < 30
    assert bench.journal.events[-1] == (
        "in doubt",
        "Program 1004: an upload of 10 rows was not answered, and none of its people has shown up.",
    )


def test_a_job_that_never_ends_ends_the_sync_and_is_named(bench: Bench) -> None:
    bench.marketo.polls = [status(1, "Importing")] * 1_000
    uploaded(bench)
    with pytest.raises(StuckJobError, match="import job 1 for program 1004 has not ended for 1 hour"):
        bench.go(5_000.0, step=5.0)


def test_no_upload_before_creates_are_allowed() -> None:
    bench = Bench(creates_not_before=1_050.0)
    uploaded(bench)
    bench.go(49.0)
    assert bench.marketo.uploads == []
    assert 0.0 < bench.stage.due_in(bench.now) <= 1.0
    bench.go(10.0)
    assert len(bench.told()) == 10


def test_others_are_told_of_every_upload_and_of_its_end(bench: Bench) -> None:
    bench.marketo.script = [RefusedError("create_import", "1016")]
    uploaded(bench)
    bench.go(60.0)
    assert bench.journal.events == [
        ("uploading", 1004, "Registered"),
        ("not uploaded", 1004),
        ("uploading", 1004, "Registered"),
        ("uploaded", 1004, 1),
        ("ended", 1),
    ]


def test_a_file_too_large_for_marketo_is_halved(bench: Bench) -> None:
    bench.marketo.script = [TooLargeError("create_import", "HTTP 413")] * 2
    uploaded(bench, 11)
    bench.go(30.0)
    assert [len(rows) for _, _, rows in bench.marketo.uploads] == [2, 3, 6]
    assert set(map(tuple, bench.told().values())) == {("imported",)}
    assert len(bench.told()) == 11


@pytest.mark.parametrize("code", ["613", "1003", "HTTP 400"])
def test_a_file_that_marketo_refuses_goes_over_rest(bench: Bench, code: str) -> None:
    bench.marketo.script = [RefusedError("create_import", code)]
    uploaded(bench)
    bench.go()
    assert len(bench.rest) == 10


def test_a_status_that_marketo_does_not_know_rejects_the_rows(bench: Bench) -> None:
    bench.marketo.script = [RefusedError("create_import", "1025", "Status not found", "r#9")]
    uploaded(bench)
    bench.go()
    assert set(map(tuple, bench.told().values())) == {("STATUS_NOT_FOUND",)}
    assert bench.store.outcomes[0].code == "1025"
    assert bench.store.outcomes[0].request_id == "r#9"


def test_a_program_that_is_gone_ends_the_sync(bench: Bench) -> None:
    bench.marketo.script = [NotFoundError("create_import", "702")]
    uploaded(bench)
    with pytest.raises(ProgramGoneError):
        bench.go()


def test_where_imports_are_not_allowed_everything_goes_over_rest(bench: Bench) -> None:
    bench.marketo.script = [ConfigurationFaultError("create_import", "616")]
    uploaded(bench)
    bench.people(WORTH, start=20, title="x")
    bench.go()
    assert len(bench.rest) == 10 + WORTH
    bench.record(99, "new@x.y")
    assert bench.rest[-1].key == "99"


def test_with_method_bulk_a_ban_of_imports_is_a_mistake_to_be_told() -> None:
    bench = Bench(always=True)
    bench.marketo.script = [ConfigurationFaultError("create_import", "616")]
    uploaded(bench)
    with pytest.raises(ConfigurationFaultError):
        bench.go()


def test_no_more_jobs_are_under_way_than_can_be_of_use() -> None:
    bench = Bench(max_file_bytes=100)
    bench.marketo.polls = [status(1, "Importing")] * 20
    bench.people(60)
    bench.ended = True
    bench.go(30.0)
    assert len(bench.marketo.uploads) == JOBS_UNDER_WAY
    assert set(bench.marketo.polled) == {1, 2}, "Marketo runs two at once; the others cannot have begun"


def test_what_waits_on_disk_is_not_held_in_memory(bench: Bench) -> None:
    bench.people(WORTH + 3, programs=[1004, 1005])
    assert bench.holding.bytes == 0
    bench.record(50, "a@x.y", marketo=17)
    held = bench.holding.bytes
    assert held > 0
    bench.ended = True
    bench.go(60.0)
    assert bench.holding.bytes == held
    bench.finish_rest(bench.rest[0])
    assert bench.holding.bytes == 0


def test_rows_for_rest_wait_on_disk_until_there_is_room(bench: Bench) -> None:
    bench.people(WORTH - 1)
    bench.holding.take_bytes(bench.holding.limit)
    bench.ended = True
    bench.go()
    assert bench.rest == []
    assert len(bench.stage) == WORTH - 1
    bench.holding.drop_bytes(bench.holding.limit)
    bench.go()
    assert len(bench.rest) == WORTH - 1
    assert len(bench.stage) == 0


def test_what_an_import_has_written_is_no_longer_known_of_its_people(bench: Bench) -> None:
    uploaded(bench)
    bench.go(20.0)
    assert sorted(bench.forgotten) == sorted(f"p{number}@x.y" for number in range(10))


def test_statuses_of_one_step_go_over_rest(bench: Bench) -> None:
    """Marketo moves people between them in both directions, and an import does not say what it did."""
    bench.people(WORTH, programs=[1009])
    bench.people(WORTH, start=10, programs=[1004, 1009])
    assert len(bench.rest) == 2 * WORTH
