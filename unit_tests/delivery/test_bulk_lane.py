"""Where records wait, and what each answer of Marketo does to a file: no record lost, doubled or overtaken."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.delivery.bulk.calls import BulkCalls, ResultFiles
from destination_marketo_programs.delivery.bulk.joining import Reasons
from destination_marketo_programs.delivery.bulk.lane import BulkCall, BulkLane, LaneOptions
from destination_marketo_programs.imports.pace import ImportPace
from destination_marketo_programs.delivery.ledger import Segment
from destination_marketo_programs.delivery.member_writer import ProgramGoneError
from destination_marketo_programs.delivery.recorder import Recorder
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.delivery.work import Item
from destination_marketo_programs.marketo.bulk_import import ImportStatus
from destination_marketo_programs.marketo.errors import (
    ConfigurationFaultError,
    MarketoError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    TooLargeError,
)
from destination_marketo_programs.model import Mapped, Person, Target
from destination_marketo_programs.storage.store import NoStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from destination_marketo_programs.delivery.bulk.rows import Shape
    from destination_marketo_programs.outcomes import Outcome

WORTH = 4
PACE = ImportPace(5.0, 30.0, 1e9, 1.5, 10.0, 60.0, 300.0, 30.0)
OPTIONS = LaneOptions(always=False, max_age_seconds=60.0, pace=PACE)
Answer = ImportStatus | MarketoError | None


class Store(NoStore):
    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.rejected: list[tuple[bytes, int]] = []

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        self.rejected.append((line, len(rejections)))


class Marketo(BulkCalls):
    """Takes files; a job ends when it is polled, as long as nothing else is scripted.

    Attributes:
        refuse: email -> sentence of the failure file.
        creates, polls: scripted answers, taken before the usual ones.
        running: people in jobs under way.
        uploads: (program, status, rows as dictionaries), in order.
    """

    def __init__(self) -> None:
        self.settle_seconds = 95.0
        self.refuse: dict[str, str] = {}
        self.warn: dict[str, str] = {}
        self.creates: list[Answer] = []
        self.polls: list[Answer] = []
        self.arrived: set[str] = set()
        self.unnamed: set[str] = set()
        self.running: dict[int, list[dict[str, str]]] = {}
        self.uploads: list[tuple[int, str, list[dict[str, str]]]] = []
        self.on_upload: Callable[[list[dict[str, str]]], None] = lambda _rows: None

    def create(self, program_id: int, status_name: str, file: bytes, rows: int) -> ImportStatus | MarketoError:
        lines = list(csv.DictReader(io.StringIO(file.decode(), newline="")))
        assert len(lines) == rows
        if self.creates:
            answer = self.creates.pop(0)
            assert answer is not None
            if isinstance(answer, MarketoError):
                return answer
        self.on_upload(lines)
        self.uploads.append((program_id, status_name, lines))
        number = len(self.uploads)
        self.running[number] = lines
        return status(number, "Queued")

    def poll(self, batch_id: int) -> ImportStatus | None:
        if self.polls:
            answer = self.polls.pop(0)
            assert not isinstance(answer, MarketoError)
            return answer and answer._replace(batch_id=batch_id)
        lines = self.running[batch_id]
        failed = sum(line["email"] in self.refuse for line in lines)
        warned = sum(line["email"] in self.warn for line in lines)
        return status(batch_id, "Complete", len(lines) - failed, failed, warned)

    def result_files(self, batch_id: int, *, failures: bool, warnings: bool) -> ResultFiles:
        def reasons(of: dict[str, str]) -> Reasons:
            emails = [line["email"] for line in self.running[batch_id]]
            return Reasons(
                [(email.upper(), of[email]) for email in emails if email in of and email not in self.unnamed]
            )

        return ResultFiles(
            reasons(self.refuse) if failures else Reasons([]), reasons(self.warn) if warnings else Reasons([])
        )

    def read_back(
        self, program_id: int, reaches: Callable[[str], bool], shape: Shape, rows: Sequence[tuple[int, bytes]]
    ) -> set[int]:
        assert program_id in {1001, 1004, 1005}
        assert reaches("Registered")
        assert not reaches("Invited")
        assert len(rows) <= 300
        assert shape.columns[0] == "email"
        return {row for row, line in rows if line.decode().split(",")[0] in self.arrived}


def status(number: int, state: str, *counts: int | None, message: str | None = None) -> ImportStatus:
    processed, failed, warned = counts or (None, None, None)
    return ImportStatus(number, state, processed, failed, warned, message, "r#1")


def map_record(_stream: str, data: Any) -> Mapped:
    fields = {name: data[name] for name in ("firstName", "title") if name in data}
    email = data["email"]
    person = Person(data.get("marketo"), email, email.casefold(), fields, {})
    programs = data.get("programs", [1004])
    return Mapped(person, [Target(program, "Registered", "expo") for program in programs], [], str(data["id"]))


class Bench:
    """The lane with everything around it in hand."""

    def __init__(self, options: LaneOptions = OPTIONS) -> None:
        self.now = 1000.0
        self.marketo = Marketo()
        self.store = Store()
        self.recorder = Recorder(self.store, Tally(), lambda: datetime(2026, 11, 23, tzinfo=UTC))
        steps = {"Invited": 10, "Registered": 20, "Attended": 40}
        self.lane = BulkLane(
            self.marketo, map_record, lambda group: steps.get(group[1], 0), self.recorder, lambda: self.now, options
        )
        self.recorder.on_finished = self.lane.left_rest
        self.segment = Segment()
        self.rest: list[Item] = []
        self.ended = False

    def record(self, number: int, email: str, **more: Any) -> None:
        data = {"id": number, "email": email, "firstName": str(number), **more}
        line = json.dumps({"type": "RECORD", "record": {"stream": "s", "data": data}}).encode()
        mapped = map_record("s", data)
        assert mapped.person is not None
        targets = mapped.targets
        self.segment.open += 1
        item = Item(("", "s"), str(number), False, line, self.now, mapped.person, targets, len(targets), self.segment)
        if not self.lane.offer(item):
            self.rest.append(item)

    def people(self, count: int, start: int = 0, **more: Any) -> None:
        for number in range(start, start + count):
            self.record(number, f"p{number}@x.y", **more)

    def turn(self) -> BulkCall | None:
        """One round of delivery's loop, without its workers."""
        self.lane.advance(self.now, input_ended=self.ended)
        while self.lane.has_rows_for_rest:
            self.rest += self.lane.take_for_rest()
        return self.lane.next_call(self.now)

    def make(self, call: BulkCall) -> None:
        call.finish(call.run())

    def go(self, seconds: float = 0.0) -> None:
        """Let time pass in steps, and make every call that is due."""
        until = self.now + seconds
        while True:
            for _ in range(50):
                call = self.turn()
                if call is not None:
                    self.make(call)
            if self.now >= until:
                return
            self.now = min(until, self.now + 1.0)

    def finish_rest(self, item: Item) -> None:
        self.rest.remove(item)
        targets, item.targets = item.targets, []
        for target in targets:
            self.recorder.delivered(item, target, 7, "created", None)

    def told(self) -> dict[str, list[str]]:
        """Outcomes by record."""
        told: dict[str, list[str]] = defaultdict(list)
        for outcome in self.store.outcomes:
            told[outcome.record_key].append(outcome.category or outcome.outcome)
        return dict(told)


@pytest.fixture(autouse=True)
def four_rows_are_worth_a_job() -> Iterator[None]:
    with patch("destination_marketo_programs.delivery.bulk.waiting.rows_worth_a_job", lambda **_: WORTH):
        yield


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- which way ---------------------------------------------------------------------------------------------------


def test_few_rows_wait_for_their_age_and_then_go_over_rest_in_order(bench: Bench) -> None:
    bench.people(WORTH - 1)
    bench.go(59.0)
    assert bench.rest == []
    bench.go(2.0)
    assert [item.key for item in bench.rest] == ["0", "1", "2"]
    assert bench.rest[0].person.fields == {"firstName": "0"}
    assert bench.marketo.uploads == []
    assert not bench.lane


def test_few_rows_go_over_rest_when_the_input_ends(bench: Bench) -> None:
    bench.people(WORTH - 1)
    bench.ended = True
    bench.go()
    assert len(bench.rest) == WORTH - 1


def test_method_bulk_takes_what_is_left_at_the_end_by_file() -> None:
    bench = Bench(OPTIONS._replace(always=True))
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
    assert not bench.lane


def test_records_with_other_fields_go_to_another_file(bench: Bench) -> None:
    bench.people(WORTH)
    bench.people(WORTH, start=10, title=None)
    bench.ended = True
    bench.go(20.0)
    assert sorted(tuple(rows[0]) for _, _, rows in bench.marketo.uploads) == [
        ("email", "firstName"),
        ("email", "firstName", "title"),
    ]


def test_a_file_is_cut_by_bytes() -> None:
    bench = Bench(OPTIONS._replace(max_file_bytes=100))
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
    bench = Bench(OPTIONS._replace(max_rows=5))
    bench.people(4)
    assert not bench.lane.full
    bench.people(1, start=4)
    assert bench.lane.full
    bench.go(10.0)
    assert not bench.lane.full
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
    assert [item.key for item in bench.rest] == ["1", "2"]
    bench.finish_rest(bench.rest[0])
    bench.record(3, "a@x.y")
    assert [item.key for item in bench.rest] == ["2", "3"]
    for item in list(bench.rest):
        bench.finish_rest(item)
    bench.record(4, "a@x.y")
    assert bench.rest == []


def test_what_is_parked_behind_a_row_that_goes_over_rest_goes_with_it(bench: Bench) -> None:
    for number in range(5):
        bench.record(number, "a@x.y")
    bench.ended = True
    bench.go()
    assert [item.key for item in bench.rest] == ["0", "1", "2", "3", "4"]


def test_a_parked_record_that_goes_over_rest_takes_along_what_is_parked_behind_it(bench: Bench) -> None:
    bench.people(WORTH)
    bench.record(10, "p0@x.y", marketo=17)
    bench.record(11, "p0@x.y")
    bench.record(12, "p0@x.y", title="x")
    bench.go(70.0)
    assert len(bench.marketo.uploads) == 1
    assert [item.key for item in bench.rest] == ["10", "11", "12"]
    assert not bench.lane


def test_rows_read_back_in_vain_take_along_what_is_parked_behind_them(bench: Bench) -> None:
    bench.marketo.refuse = {"p0@x.y": "never told"}
    bench.marketo.unnamed = {"p0@x.y"}
    bench.people(WORTH)
    bench.record(10, "p0@x.y")
    bench.go(70.0)
    assert [item.key for item in bench.rest] == ["0", "1", "2", "3", "10"]


def test_further_programs_of_a_record_follow_one_by_one(bench: Bench) -> None:
    bench.people(WORTH, programs=[1004, 1005])
    bench.people(1, start=50, programs=[1005, 1001])
    bench.ended = True
    bench.go(60.0)
    assert [program for program, _, _ in bench.marketo.uploads] == [1004, 1005]
    assert bench.told() == {str(number): ["imported", "imported"] for number in range(WORTH)}
    (item,) = bench.rest
    assert [target.program_id for target in item.targets] == [1005, 1001]


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
        st.sampled_from([[1004], [1004, 1005], [1005], [1005, 1001, 1004]]),
        st.booleans(),
        st.integers(0, 9),
    ),
    max_size=40,
)


class Scramble:
    """A load whose events come in any order, watched at every upload."""

    def __init__(self, load: list[tuple[int, list[int], bool, int]], random: Any, *, always: bool) -> None:
        self.bench = bench = Bench(OPTIONS._replace(always=always, max_file_bytes=200))
        self.random = random
        self.load = list(enumerate(load))
        self.wanted = {str(number): len(programs) for number, (_, programs, _, _) in self.load}
        self.earlier: dict[str, list[int]] = defaultdict(list)
        self.pending: list[BulkCall] = []
        bench.marketo.refuse = {
            "p2@x.y": "Program status not found",
            "p3@x.y": "Invalid email address",
            "p4@x.y": "never told",
        }
        bench.marketo.unnamed = {"p4@x.y"}
        bench.marketo.arrived = {"p0@x.y", "p5@x.y"}
        bench.marketo.on_upload = self.check_upload

    def check_upload(self, rows: list[dict[str, str]]) -> None:
        emails = [row["email"].casefold() for row in rows]
        assert len(set(emails)) == len(emails)
        elsewhere = {item.person.key for item in self.bench.rest}
        for job in under_way(self.bench):
            elsewhere |= {row["email"].casefold() for row in self.bench.marketo.running[job]}
        assert not elsewhere & set(emails), "a person is in two places"
        told = self.bench.told()
        for row in rows:
            for other in self.earlier[row["email"].casefold()]:
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
                first = {item.person.key: item for item in reversed(bench.rest)}
                bench.finish_rest(random.choice(list(first.values())))
            case "time":
                bench.now += random.choice([0.1, 5.0, 40.0])
        bench.ended = not self.load

    @property
    def over(self) -> bool:
        return self.bench.ended and not (self.bench.lane or self.bench.rest or self.pending)


@settings(max_examples=150, deadline=None)
@given(records, st.randoms(use_true_random=False), st.booleans())
def test_any_load_in_any_order_of_events(
    load: list[tuple[int, list[int], bool, int]], random: Any, always: bool
) -> None:
    """A person is in one place at a time, no record overtakes an earlier one of its person, and all end once."""
    scramble = Scramble(load, random, always=always)
    for _ in range(5_000):
        scramble.step()
        if scramble.over:
            break
    assert scramble.over, "it does not come to an end"
    assert {number: len(told) for number, told in scramble.bench.told().items()} == scramble.wanted
    assert scramble.bench.lane.describe().startswith("0 records")
    scramble.bench.lane.close()


def under_way(bench: Bench) -> list[int]:
    return [job.status.batch_id for job in bench.lane._jobs]


# --- what becomes of a job -------------------------------------------------------------------------------------------


def uploaded(bench: Bench, count: int = 10) -> None:
    bench.people(count)
    bench.ended = True


def test_polls_come_at_growing_intervals(bench: Bench) -> None:
    uploaded(bench)
    bench.marketo.polls = [status(1, "Queued"), status(1, "Importing"), status(1, "Importing")]
    polled: list[float] = []
    real = bench.marketo.poll

    def poll(number: int) -> ImportStatus | None:
        polled.append(bench.now - 1000.0)
        return real(number)

    with patch.object(bench.marketo, "poll", poll):
        bench.go(60.0)
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
    bench.marketo.arrived = {f"p{number}@x.y" for number in range(9)} - {"p4@x.y"}
    uploaded(bench)
    bench.go(20.0)
    told = bench.told()
    assert told.pop("3") == ["INVALID_EMAIL"]
    assert sorted(item.key for item in bench.rest) == ["4", "9"]
    assert sorted(told) == ["0", "1", "2", "5", "6", "7", "8"]
    assert "does not add up: 10 rows sent, 8 imported and 2 failed by Marketo's count, 1 named" in caplog.text
    assert "x.y" not in caplog.text


def test_a_job_that_failed_for_a_known_reason_rejects_its_rows(bench: Bench) -> None:
    bench.marketo.polls = [status(1, "Failed", message="Program status 'Registered' not found")]
    uploaded(bench)
    bench.go(20.0)
    assert bench.told() == {str(number): ["STATUS_NOT_FOUND"] for number in range(10)}
    assert bench.store.outcomes[0].message == "Program status 'Registered' not found"


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
    bench.marketo.creates = [full, full, full]
    uploaded(bench)
    bench.go(46.0)
    assert bench.marketo.creates == []
    assert bench.marketo.uploads == []
    bench.go(20.0)
    assert len(bench.told()) == 10


def test_a_queue_that_stays_full_sends_the_rows_over_rest(bench: Bench) -> None:
    bench.marketo.creates = [RefusedError("create_import", "1016")] * 100
    uploaded(bench)
    bench.go(400.0)
    assert len(bench.rest) == 10


def test_a_lost_upload_is_repeated_with_a_head_start_for_the_first(bench: Bench) -> None:
    lost = OutcomeUnknownError("create_import", "502")
    lost.sent_at = bench.now
    bench.marketo.creates = [lost]
    uploaded(bench)
    bench.go(90.0)
    assert bench.marketo.uploads == []
    bench.go(20.0)
    assert len(bench.told()) == 10


def test_uploads_that_are_lost_again_and_again_go_over_rest(bench: Bench) -> None:
    bench.marketo.creates = [OutcomeUnknownError("create_import", "502")] * 4
    uploaded(bench)
    bench.go(10.0)
    assert len(bench.rest) == 10


def test_a_file_too_large_for_marketo_is_halved(bench: Bench) -> None:
    bench.marketo.creates = [TooLargeError("create_import", "HTTP 413")] * 2
    uploaded(bench, 11)
    bench.go(30.0)
    assert [len(rows) for _, _, rows in bench.marketo.uploads] == [2, 3, 6]
    assert set(map(tuple, bench.told().values())) == {("imported",)}
    assert len(bench.told()) == 11


@pytest.mark.parametrize("code", ["613", "1003", "HTTP 400"])
def test_a_file_that_marketo_refuses_goes_over_rest(bench: Bench, code: str) -> None:
    bench.marketo.creates = [RefusedError("create_import", code)]
    uploaded(bench)
    bench.go()
    assert len(bench.rest) == 10


def test_a_status_that_marketo_does_not_know_rejects_the_rows(bench: Bench) -> None:
    bench.marketo.creates = [RefusedError("create_import", "1025", "Status not found", "r#9")]
    uploaded(bench)
    bench.go()
    assert set(map(tuple, bench.told().values())) == {("STATUS_NOT_FOUND",)}
    assert bench.store.outcomes[0].code == "1025"
    assert bench.store.outcomes[0].request_id == "r#9"


def test_a_program_that_is_gone_ends_the_sync(bench: Bench) -> None:
    bench.marketo.creates = [NotFoundError("create_import", "702")]
    uploaded(bench)
    with pytest.raises(ProgramGoneError):
        bench.go()


def test_where_imports_are_not_allowed_everything_goes_over_rest(bench: Bench) -> None:
    bench.marketo.creates = [ConfigurationFaultError("create_import", "616")]
    uploaded(bench)
    bench.people(WORTH, start=20, title="x")
    bench.go()
    assert len(bench.rest) == 10 + WORTH
    bench.record(99, "new@x.y")
    assert bench.rest[-1].key == "99"


def test_with_method_bulk_a_ban_of_imports_is_a_mistake_to_be_told() -> None:
    bench = Bench(OPTIONS._replace(always=True))
    bench.marketo.creates = [ConfigurationFaultError("create_import", "616")]
    uploaded(bench)
    with pytest.raises(ConfigurationFaultError):
        bench.go()


def test_no_more_jobs_are_under_way_than_can_be_of_use(bench: Bench) -> None:
    bench = Bench(OPTIONS._replace(max_file_bytes=100))
    bench.marketo.polls = [status(1, "Importing")] * 20
    bench.people(60)
    bench.ended = True
    bench.go(30.0)
    assert len(bench.marketo.uploads) == 4
    assert len(under_way(bench)) == 4


def test_items_made_only_to_be_settled_are_counted_as_they_are_freed(bench: Bench) -> None:
    bench.marketo.refuse = {"p3@x.y": "Invalid email address"}
    bench.people(WORTH + 3, programs=[1004, 1005])
    bench.ended = True
    bench.go(60.0)
    assert bench.lane.take_restored_bytes() == bench.recorder.take_freed_bytes() > 0
