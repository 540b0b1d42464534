"""One outcome for each record and program, one settlement for each record, and no person in the log."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from delivery_bench import STREAM, Build, Kept, wall
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from destination_marketo_programs.delivery.entry import BYTES_BESIDE_LINE, BYTES_OF_FIELD, Best, Holding
from destination_marketo_programs.delivery.ledger import Segment
from destination_marketo_programs.delivery.settlement import LOGGED_PER_CATEGORY, RETRYABLE, Done, Settlement
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.hints import hint_text
from destination_marketo_programs.model import Verdict
from destination_marketo_programs.outcomes import Category, Outcome, Refusal, Result, record_ref
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.storage.store import NoStore

if TYPE_CHECKING:
    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.model import Target

PERSON = "ada.lovelace@example.org"


class Bench:
    def __init__(self, store: NoStore | None = None, **options: Any) -> None:
        self.store = Kept()
        self.tally, self.holding = Tally(), Holding(10**9)
        self.finished: list[Entry] = []
        self.settlement = Settlement(
            store or self.store, self.tally, self.holding, wall, on_settled=self.finished.append, **options
        )
        self.settlement.tick()

    @property
    def outcome(self) -> Outcome:
        (outcome,) = self.store.outcomes
        return outcome


def delivered(bench: Bench, entry: Entry, result: Result = Result.CREATED, place: int = 0, **more: Any) -> None:
    bench.settlement.deliver(entry, entry.targets[place], 7, result, "r#1", **more)


def rejected(bench: Bench, entry: Entry, category: Category = Category.FIELD_INVALID, place: int = 0) -> None:
    bench.settlement.reject(entry, entry.targets[place], Refusal(category, "1001", "text", "r#1"), 7)


# --- outcomes ------------------------------------------------------------------------------------------------


def test_a_delivered_record_has_a_full_outcome(build: Build) -> None:
    bench = Bench()
    entry = build.entry(targets=[build.target(1044, "Engaged", "4711")], key="17")
    entry.lead_action, entry.detail = "created", {"lead_ids": [7, 8]}
    bench.settlement.deliver(entry, entry.targets[0], 40217, Result.CREATED, "a41c#1")
    assert bench.outcome == Outcome(
        "leads",
        "17",
        "4711",
        1044,
        "Engaged",
        Result.CREATED,
        lead_id=40217,
        lead_action="created",
        message="Several people in Marketo match; the most recently updated one is used.",
        detail={"lead_ids": [7, 8]},
        request_id="a41c#1",
        at="2026-11-23T10:00:05Z",
        record_ref=record_ref("", "leads", "17"),
    )
    assert bench.store.rejected == []
    assert bench.finished == [entry]


def test_what_was_not_written_to_the_lead_is_told_beside_the_membership(build: Build) -> None:
    bench = Bench()
    entry = build.entry()
    entry.note = ("1021", "Company update not allowed in syncLead")
    delivered(bench, entry, Result.UPDATED)
    outcome = bench.outcome
    assert (outcome.code, outcome.message, outcome.category) == ("1021", "Company update not allowed in syncLead", None)


def test_a_superseded_record_is_skipped_and_told_why(build: Build) -> None:
    bench = Bench()
    entries = [build.entry(), build.entry()]
    bench.settlement.supersede(entries[0], entries[0].targets[0], 7, "Attended")
    bench.settlement.supersede(entries[1], entries[1].targets[0], 7, None)
    first, second = bench.store.outcomes
    assert (first.outcome, first.category) == (Result.SKIPPED, Category.SUPERSEDED)
    assert first.message == 'The status "Attended" was set in its place.'
    assert second.message == "Another status that counts for more was set in its place."
    assert first.hint == hint_text(Category.SUPERSEDED, None)
    assert [done.rejected for done in bench.settlement.commit()] == [False, False]


def test_a_rejection_carries_marketos_words_and_ours(build: Build) -> None:
    bench = Bench()
    entry = build.entry()
    refusal = Refusal(Category.DUPLICATE_LEADS, "1007", "Multiple leads", "r#1", {"lead_ids": [1, 2]})
    bench.settlement.reject(entry, entry.targets[0], refusal, 7)
    outcome = bench.outcome
    assert (outcome.outcome, outcome.category, outcome.code) == (Result.REJECTED, Category.DUPLICATE_LEADS, "1007")
    assert (outcome.message, outcome.request_id, outcome.lead_id) == ("Multiple leads", "r#1", 7)
    assert outcome.detail == {"lead_ids": [1, 2]}
    assert outcome.hint == hint_text(Category.DUPLICATE_LEADS, "1007")
    assert outcome.retryable


@pytest.mark.parametrize("category", list(Category))
def test_whether_sending_again_can_help_depends_on_what_has_to_be_fixed(build: Build, category: Category) -> None:
    bench = Bench()
    rejected(bench, build.entry(), category)
    assert bench.outcome.retryable == (category in RETRYABLE)
    assert bench.outcome.hint


def test_a_dry_run_says_so_in_every_outcome(build: Build) -> None:
    bench = Bench(dry_run=True)
    entry = build.entry(targets=[build.target(number) for number in (1, 2, 3)])
    bench.settlement.deliver(entry, entry.targets[0], -1, Result.CREATED, None, before=None)
    bench.settlement.supersede(entry, entry.targets[1], -1, "Attended")
    bench.settlement.reject(entry, entry.targets[2], Refusal(Category.LEAD_NOT_FOUND))
    assert [outcome.dry_run for outcome in bench.store.outcomes] == [True] * 3
    assert [outcome.lead_id for outcome in bench.store.outcomes] == [None] * 3
    assert [outcome.from_status for outcome in bench.store.outcomes] == [None, UNSET, UNSET]
    assert "would be" in str(bench.store.outcomes[1].message)


def test_verdicts_of_the_mapping_become_outcomes() -> None:
    bench = Bench()
    verdicts = [
        Verdict(False, Category.BELOW_SCAN_THRESHOLD, 1, "Engaged", "4711", detail={"scans": 1, "threshold": 2}),
        Verdict(True, Category.UNMAPPED_QUALIFIER, 2, message="no mapping"),
        Verdict(False, Category.UNMAPPED_QUALIFIER, 3),
    ]
    segment = Segment(open=1)
    rejections = bench.settlement.decide(segment, STREAM, "5", verdicts, key_is_position=True)
    assert [(each.outcome, each.category, each.program_id) for each in bench.store.outcomes] == [
        ("skipped", "BELOW_SCAN_THRESHOLD", 1),
        ("rejected", "UNMAPPED_QUALIFIER", 2),
        ("skipped", "UNMAPPED_QUALIFIER", 3),
    ]
    assert bench.store.outcomes[0].detail == {"scans": 1, "threshold": 2}
    assert rejections == [bench.store.outcomes[1]]
    assert all(each.record_key_is_position for each in bench.store.outcomes)
    bench.settlement.finish_without_targets(segment, STREAM, b"line", rejections)
    assert bench.store.rejected == [(b"line", rejections)]
    assert bench.settlement.commit() == [Done(segment, STREAM, rejected=True)]


def test_what_memory_is_told_is_stored_with_the_outcome_and_confirmed_only_when_durable(build: Build) -> None:
    events: list[str] = []

    class Memory:
        def sent(self, entry: Entry, target: Target, lead_id: int, result: Result) -> dict[str, str] | None:
            events.append(f"sent {entry.key} {target.program_id} {lead_id} {result}")
            return {"title": "f1"} if lead_id else None

        def closed(self, entry: Entry) -> None:
            events.append(f"closed {entry.key}")

        def durable(self) -> None:
            events.append(f"durable after {bench.store.commits}")

    bench = Bench(memory=Memory())
    entry = build.entry(key="17", targets=[build.target(1), build.target(2)])
    delivered(bench, entry)
    rejected(bench, entry, place=1)
    assert [outcome.sent for outcome in bench.store.outcomes] == [{"title": "f1"}, UNSET]
    bench.settlement.commit()
    assert events == ["sent 17 1 7 created", "closed 17", "durable after 1"]


# --- settlement ----------------------------------------------------------------------------------------------

fates = st.sampled_from(["created", "unchanged", "superseded", "rejected"])


@given(
    records=st.lists(st.tuples(st.lists(fates, min_size=1, max_size=4), st.booleans()), min_size=1, max_size=12),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=80)
def test_each_record_is_settled_once_when_its_last_program_is(
    build: Build, records: list[tuple[list[str], bool]], random: Any
) -> None:
    """In any order of answers: stored before it is settled, its line stored once with all its rejections."""
    bench = Bench()
    settlement = bench.settlement
    events, made = [], []
    for wanted, verdict_rejects in records:
        segment = Segment(open=1)
        entry = build.entry(targets=[build.target(number + 1) for number in range(len(wanted))], segment=segment)
        bench.holding.take(entry)
        if verdict_rejects:
            verdict = Verdict(True, Category.UNMAPPED_QUALIFIER, 99)
            entry.rejections = settlement.decide(segment, STREAM, entry.key, [verdict], key_is_position=False)
        made.append((entry, wanted, verdict_rejects))
        events += [(entry, place, fate) for place, fate in enumerate(wanted)]
    assert bench.holding.bytes == sum(
        len(entry.line) + BYTES_BESIDE_LINE + BYTES_OF_FIELD * len(entry.person.fields) for entry, _, _ in made
    )
    random.shuffle(events)
    settled: Counter[int] = Counter()
    for entry, place, fate in events:
        if fate == "superseded":
            settlement.supersede(entry, entry.targets[place], 7, "Attended")
        elif fate == "rejected":
            rejected(bench, entry, place=place)
        else:
            delivered(bench, entry, Result(fate), place)
        assert (entry in bench.finished) == (entry.open == 0)
        if random.random() < 0.3:
            settled.update(id(done.ticket) for done in settlement.commit())
    settled.update(id(done.ticket) for done in settlement.commit())
    assert (settlement.undurable, bench.holding.bytes) == (0, 0)
    assert settled == Counter({id(entry.ticket): 1 for entry, _, _ in made})
    check_sums(bench, made)


def check_sums(bench: Bench, made: list[tuple[Entry, list[str], bool]]) -> None:
    outcomes, tally = bench.store.outcomes, bench.tally
    assert len(outcomes) == tally.outcomes == sum(len(wanted) + rejects for _, wanted, rejects in made)
    rejections = {entry.line: wanted.count("rejected") + rejects for entry, wanted, rejects in made}
    assert {line: len(some) for line, some in bench.store.rejected} == {
        line: count for line, count in rejections.items() if count
    }
    assert len(bench.store.rejected) == tally.records_rejected == sum(map(bool, rejections.values()))
    assert tally.records_settled == len(made)
    leads = Counter(
        "rejected"
        if rejects or "rejected" in wanted
        else "delivered"
        if "created" in wanted
        else "unchanged"
        if "unchanged" in wanted
        else "skipped"
        for _, wanted, rejects in made
    )
    names = ("delivered", "unchanged", "skipped", "rejected")
    assert tally.leads() == {"total": len(made), **{name: leads[name] for name in names}}
    assert tally.by_outcome() == Counter(outcome.outcome for outcome in outcomes)
    assert tally.by_category == Counter((each.outcome, each.category) for each in outcomes if each.category)


def test_the_best_of_a_records_outcomes_says_what_happened_to_the_lead(build: Build) -> None:
    bench = Bench()
    entry = build.entry(targets=[build.target(1), build.target(2), build.target(3)])
    delivered(bench, entry, Result.UPDATED)
    delivered(bench, entry, Result.UNCHANGED, 1)
    bench.settlement.supersede(entry, entry.targets[2], 7, "Attended")
    assert entry.best is Best.DELIVERED


def test_a_store_that_keeps_nothing_needs_no_outcomes_of_what_was_delivered(build: Build) -> None:
    class Refusing(NoStore):
        def add(self, outcome: Outcome) -> None:
            assert outcome.category is not None

    bench = Bench(Refusing())
    entry = build.entry(targets=[build.target(1), build.target(2)])
    delivered(bench, entry)
    rejected(bench, entry, place=1)
    assert bench.tally.outcomes == 2
    assert bench.settlement.commit() == [Done(entry.ticket, STREAM, rejected=True)]


def test_nothing_is_settled_by_a_commit_that_fails(build: Build) -> None:
    bench = Bench()
    delivered(bench, build.entry())
    bench.store.failure = StorageError("object_storage_config.path", "The disk is full.", "Make room.")
    with pytest.raises(StorageError):
        bench.settlement.commit()
    assert bench.settlement.undurable == 1
    assert bench.tally.records_settled == 0


def test_outcomes_are_counted_for_states_that_want_them(build: Build) -> None:
    bench = Bench(count_by_state=True)
    entry = build.entry(targets=[build.target(1), build.target(2)])
    delivered(bench, entry)
    rejected(bench, entry, place=1)
    assert entry.ticket.outcomes == {STREAM: {"created": 1, "rejected": 1}}
    plain = Bench()
    other = build.entry()
    delivered(plain, other)
    assert other.ticket.outcomes == {}


@pytest.mark.parametrize(
    ("message", "detail"),
    [
        ("Invalid value '12 apples'. Required of type 'currency'", {"field": "annualRevenue", "value": "12 apples"}),
        ("Invalid value '7'. Required of type 'date'", {"field": "lastScanAt", "value": "7"}),
        ("Field 'title' not found", {"field": "title", "value": "Boss"}),
        ("Invalid value 'Boss' for field title", {"field": "title", "value": "Boss"}),
        ("Invalid value 'Boss'", None),
        ("Invalid value 'currency'", None),
        ("Value for field 'other' exceeds max length", None),
    ],
)
def test_a_value_that_marketo_refuses_is_named(build: Build, message: str, detail: dict[str, str] | None) -> None:
    bench = Bench()
    fields = {"annualRevenue": "12 apples", "lastScanAt": 7, "title": "Boss", "firstName": "Boss", "notes": None}
    entry = build.entry(PERSON, fields)
    bench.settlement.reject(entry, entry.targets[0], Refusal(Category.FIELD_INVALID, "1001", message, "r#1"))
    assert bench.outcome.detail == detail


# --- log -----------------------------------------------------------------------------------------------------


def test_a_rejection_is_logged_with_what_helps_and_without_the_person(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench()
    entry = build.entry(PERSON, {"firstName": "Ada"}, key="ada.lovelace", targets=[build.target(1044, "Engaged")])
    refusal = Refusal(Category.FIELD_INVALID, "1001", f"Invalid value '{PERSON}' for field", "r#1", {"value": PERSON})
    bench.settlement.reject(entry, entry.targets[0], refusal)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.name == "airbyte.rejections"
    assert record.getMessage() == (
        f'Rejected: record {record_ref("", "leads", "ada.lovelace")} for program 1044, status "Engaged": '
        f"FIELD_INVALID (Marketo code 1001). {hint_text(Category.FIELD_INVALID, '1001')}"
    )
    for private in (PERSON, "Ada", "ada.lovelace", "Invalid value"):
        assert private not in caplog.text


def test_a_position_is_shown_as_such(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    rejected(Bench(), build.entry(key="5", key_is_position=True))
    assert "(number 5 of its stream)" in caplog.text


def test_skipped_records_are_not_logged(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    entry = build.entry()
    bench.settlement.supersede(entry, entry.targets[0], 7, "Attended")
    skip = Verdict(False, Category.NO_PROGRAM_LINK)
    bench.settlement.decide(Segment(), STREAM, "1", [skip], key_is_position=False)
    assert caplog.records == []


def test_after_100_of_a_category_they_are_only_counted(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    for _ in range(LOGGED_PER_CATEGORY + 20):
        rejected(bench, build.entry())
    rejected(bench, build.entry(), Category.LEAD_NOT_FOUND)
    logged = [record.getMessage() for record in caplog.records]
    assert LOGGED_PER_CATEGORY == 100
    assert len([text for text in logged if "FIELD_INVALID (" in text]) == 100
    assert logged[100] == "100 rejections of category FIELD_INVALID were logged; further ones are only counted."
    assert "LEAD_NOT_FOUND" in logged[101]
    assert len(logged) == 102
    assert len(bench.store.outcomes) == 121
