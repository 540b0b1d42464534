"""One outcome for each record and program, one settlement for each record, and no person in the log."""

from __future__ import annotations

import logging
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.delivery.ledger import Segment
from destination_marketo_programs.delivery.recorder import LOGGED_PER_CATEGORY, RETRYABLE, Recorder, loggable_key
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.hints import hint_text
from destination_marketo_programs.model import Mapped, Verdict
from destination_marketo_programs.outcomes import Category, Outcome
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.storage.store import NoStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unit_tests.delivery.conftest import Build

STREAM = ("", "leads")
PERSON = "ada.lovelace@example.org"


class Kept(NoStore):
    """A store that can be looked into, and can fail."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.rejected: list[tuple[bytes, list[Outcome]]] = []
        self.commits = 0
        self.failure: StorageError | None = None

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        assert rejections
        self.rejected.append((line, list(rejections)))

    def commit(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.commits += 1


def new_recorder(*, dry_run: bool = False) -> tuple[Recorder, Kept]:
    store = Kept()
    recorder = Recorder(store, Tally(), lambda: datetime(2026, 11, 23, 10, 0, 5, 999, tzinfo=UTC), dry_run=dry_run)
    recorder.tick()
    return recorder, store


# --- outcomes ------------------------------------------------------------------------------------------------


def test_a_delivered_record_has_a_full_outcome(build: Build) -> None:
    recorder, store = new_recorder()
    item = build.item(targets=[build.target(1044, "Engaged", "4711")], key="17")
    item.lead_action = "created"
    recorder.delivered(item, item.targets[0], 40217, "created", "a41c#1")
    assert store.outcomes == [
        Outcome(
            "leads",
            "17",
            "4711",
            1044,
            "Engaged",
            "created",
            lead_id=40217,
            lead_action="created",
            request_id="a41c#1",
            at="2026-11-23T10:00:05Z",
        )
    ]
    assert store.rejected == []


def test_what_was_not_written_to_the_lead_is_told_beside_the_membership(build: Build) -> None:
    recorder, store = new_recorder()
    item = build.item()
    item.note = ("1021", "Company update not allowed in syncLead")
    recorder.delivered(item, item.targets[0], 7, "updated", None)
    (outcome,) = store.outcomes
    assert (outcome.code, outcome.message, outcome.category) == ("1021", "Company update not allowed in syncLead", None)


def test_a_superseded_record_is_skipped_and_told_why(build: Build) -> None:
    recorder, store = new_recorder()
    item = build.item()
    recorder.superseded(item, item.targets[0], 7, "Attended")
    (outcome,) = store.outcomes
    assert (outcome.outcome, outcome.category) == ("skipped", "SUPERSEDED")
    assert outcome.message == 'The status "Attended" was set in its place.'
    assert outcome.hint == hint_text("SUPERSEDED", None)
    assert recorder.commit()[0].rejected is False


def test_a_rejection_carries_marketos_words_and_ours(build: Build) -> None:
    recorder, store = new_recorder()
    item = build.item()
    recorder.rejected(item, item.targets[0], "DUPLICATE_LEADS", "1007", "Multiple leads", "r#1", 7)
    (outcome,) = store.outcomes
    assert (outcome.outcome, outcome.category, outcome.code, outcome.message) == (
        "rejected",
        "DUPLICATE_LEADS",
        "1007",
        "Multiple leads",
    )
    assert (outcome.lead_id, outcome.request_id) == (7, "r#1")
    assert outcome.hint == hint_text("DUPLICATE_LEADS", "1007")
    assert outcome.retryable


@pytest.mark.parametrize("category", list(Category))
def test_whether_sending_again_can_help_depends_on_what_has_to_be_mended(build: Build, category: Category) -> None:
    recorder, store = new_recorder()
    item = build.item()
    recorder.rejected(item, item.targets[0], category)
    assert store.outcomes[0].retryable == (category in RETRYABLE)
    assert store.outcomes[0].hint


def test_a_dry_run_says_so_in_every_outcome(build: Build) -> None:
    recorder, store = new_recorder(dry_run=True)
    item = build.item(targets=[build.target(1), build.target(2), build.target(3)])
    recorder.delivered(item, item.targets[0], 0, "created", None)
    recorder.superseded(item, item.targets[1], 0, "Attended")
    recorder.rejected(item, item.targets[2], "LEAD_NOT_FOUND")
    assert [outcome.dry_run for outcome in store.outcomes] == [True] * 3
    assert [outcome.lead_id for outcome in store.outcomes] == [None] * 3
    assert "would be" in str(store.outcomes[1].message)


def test_verdicts_of_the_mapping_become_outcomes() -> None:
    recorder, store = new_recorder()
    verdicts = [
        Verdict(rejected=False, category="BELOW_SCAN_THRESHOLD", program_id=1, program_status="Engaged", event="4711"),
        Verdict(rejected=True, category="UNMAPPED_QUALIFIER", program_id=2, message="no mapping"),
        Verdict(rejected=False, category="UNMAPPED_QUALIFIER", program_id=3),
    ]
    rejections = recorder.verdicts(STREAM, "5", verdicts, key_is_position=True)
    assert [(each.outcome, each.category, each.program_id) for each in store.outcomes] == [
        ("skipped", "BELOW_SCAN_THRESHOLD", 1),
        ("rejected", "UNMAPPED_QUALIFIER", 2),
        ("skipped", "UNMAPPED_QUALIFIER", 3),
    ]
    assert rejections == [store.outcomes[1]]
    assert all(each.record_key_is_position for each in store.outcomes)
    segment = Segment(open=1)
    recorder.finish_without_targets(segment, STREAM, b"line", rejections)
    assert store.rejected == [(b"line", rejections)]
    assert recorder.commit() == [(segment, STREAM, True)]


# --- settlement ----------------------------------------------------------------------------------------------

fates = st.sampled_from(["delivered", "superseded", "rejected"])


@given(
    records=st.lists(
        st.tuples(st.lists(fates, min_size=1, max_size=4), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    random=st.randoms(use_true_random=False),
)
@settings(max_examples=80)
def test_each_record_is_settled_once_when_its_last_program_is(
    build: Build, records: list[tuple[list[str], bool]], random: Any
) -> None:
    """In any order of answers: stored before it is settled, its line stored once with all its rejections."""
    recorder, store = new_recorder()
    finished: list[int] = []
    recorder.on_finished = lambda item: finished.append(id(item))
    events = []
    items = []
    for wanted, verdict_rejects in records:
        segment = Segment(open=1)
        item = build.item(targets=[build.target(number + 1) for number in range(len(wanted))], segment=segment)
        if verdict_rejects:
            verdict = Verdict(rejected=True, category="UNMAPPED_QUALIFIER", program_id=99)
            item.rejections = recorder.verdicts(STREAM, item.key, [verdict], key_is_position=False)
        items.append((item, wanted, verdict_rejects))
        events += [(item, target, fate) for target, fate in zip(item.targets, wanted, strict=True)]
    random.shuffle(events)
    settled: Counter[int] = Counter()
    freed = 0
    left = {id(item): len(wanted) for item, wanted, _ in items}
    for item, target, fate in events:
        match fate:
            case "delivered":
                recorder.delivered(item, target, 7, "created", None)
            case "superseded":
                recorder.superseded(item, target, 7, "Attended")
            case _:
                recorder.rejected(item, target, "FIELD_INVALID", "1001")
        left[id(item)] -= 1
        freed += recorder.take_freed_bytes()
        if random.random() < 0.3:
            for done in recorder.commit():
                settled[id(done.segment)] += 1
        assert (id(item) in finished) == (left[id(item)] == 0)
    for done in recorder.commit():
        settled[id(done.segment)] += 1
    assert recorder.undurable == 0
    assert settled == Counter({id(item.segment): 1 for item, _, _ in items})
    assert freed == sum(item.size() for item, _, _ in items)
    assert recorder.take_freed_bytes() == 0
    assert len(store.outcomes) == len(events) + sum(rejects for _, _, rejects in items)
    expected = {item.line: wanted.count("rejected") + rejects for item, wanted, rejects in items}
    assert {line: len(rejections) for line, rejections in store.rejected} == {
        line: count for line, count in expected.items() if count
    }
    assert len(store.rejected) == sum(1 for count in expected.values() if count)
    assert recorder.tally.records_settled == len(items)
    assert recorder.tally.records_rejected == len(store.rejected)
    assert sum(recorder.tally.by_program.values()) == len(store.outcomes)


def test_nothing_is_settled_by_a_commit_that_fails(build: Build) -> None:
    recorder, store = new_recorder()
    item = build.item()
    recorder.delivered(item, item.targets[0], 7, "created", None)
    store.failure = StorageError("object_storage_config.path", "The disk is full.", "Make room.")
    with pytest.raises(StorageError):
        recorder.commit()
    assert recorder.undurable == 1
    assert recorder.tally.records_settled == 0


def test_unmapped_values_and_unlinked_events_are_counted_on_arrival() -> None:
    recorder, _ = new_recorder()
    recorder.accept(Mapped(None, [], [], None, unlinked_event="999", unmapped_values=("Maybe", "Later")))
    recorder.accept(Mapped(None, [], [], None, unlinked_event="999"))
    recorder.accept(Mapped(None, [], [], None))
    assert recorder.tally.records_read == 3
    assert recorder.tally.unlinked_events == {"999": 2}
    assert recorder.tally.unmapped_values == {"Maybe": 1, "Later": 1}


# --- log -----------------------------------------------------------------------------------------------------


def test_a_rejection_is_logged_with_what_helps_and_without_the_person(
    build: Build, caplog: pytest.LogCaptureFixture
) -> None:
    recorder, _ = new_recorder()
    item = build.item(PERSON, {"firstName": "Ada"}, key="lead-00017", targets=[build.target(1044, "Engaged")])
    recorder.rejected(item, item.targets[0], "FIELD_INVALID", "1001", f"Invalid value '{PERSON}' for field", "r#1")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage() == (
        'Rejected: stream leads, record lead-00017 for program 1044, status "Engaged": FIELD_INVALID '
        f"(Marketo code 1001). {hint_text('FIELD_INVALID', '1001')}"
    )
    for private in (PERSON, "Ada", "Invalid value"):
        assert private not in caplog.text


def test_skipped_records_are_not_logged(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    recorder, _ = new_recorder()
    item = build.item()
    recorder.superseded(item, item.targets[0], 7, "Attended")
    recorder.verdicts(STREAM, "1", [Verdict(rejected=False, category="NO_PROGRAM_LINK")], key_is_position=False)
    assert caplog.records == []


def test_after_100_of_a_category_they_are_only_counted(build: Build, caplog: pytest.LogCaptureFixture) -> None:
    recorder, store = new_recorder()
    for _ in range(LOGGED_PER_CATEGORY + 20):
        item = build.item()
        recorder.rejected(item, item.targets[0], "FIELD_INVALID", "1001")
    item = build.item()
    recorder.rejected(item, item.targets[0], "LEAD_NOT_FOUND", "1004")
    logged = [record.getMessage() for record in caplog.records]
    assert LOGGED_PER_CATEGORY == 100
    assert len([text for text in logged if "FIELD_INVALID (" in text]) == 100
    assert logged[100] == "100 rejections of category FIELD_INVALID were logged; further ones are only counted."
    assert "LEAD_NOT_FOUND" in logged[101]
    assert len(logged) == 102
    assert len(store.outcomes) == 121


@pytest.mark.parametrize(
    "key",
    [
        "17",
        "9007199254740993",
        "lead-00017",
        "8a7f0c1e-0000-4000-8000-000000000001",
        "deadbeef-cafe-babe-feed-0123456789ab",
        "01ARZ3NDEKTSV4RRFFQ69G5FAV",
        "00Q5g00000ABCDeEAF",
        "507f1f77bcf86cd799439011",
        "rec_12:3",
    ],
)
def test_ids_are_shown(key: str) -> None:
    assert loggable_key(Outcome("s", key, None, None, None, "rejected")) == key


@pytest.mark.parametrize(
    "key",
    [
        PERSON,
        "ada%40example.org",
        "Ada Lovelace",
        "Lovelace",
        "ada.lovelace",
        "ada.lovelace1815",
        "Ada_Lovelace-2",
        "1,Ada",
        "Ada,17",
        "+44 20 7946 0958",
        "Älva1",
        "１２",  # digits of another script are no number that a system made
        "",
        "1\n2",
        "17" * 40,
        '{"a":1}',
    ],
)
def test_keys_that_could_name_a_person_are_not_shown(key: str) -> None:
    shown = loggable_key(Outcome("s", key, None, None, None, "rejected"))
    assert shown == "(key not shown: it may name a person)"


def test_a_position_is_shown_as_such() -> None:
    assert loggable_key(Outcome("s", "5", None, None, None, "rejected", record_key_is_position=True)) == "number 5"


@given(st.text(max_size=70))
def test_no_key_with_blanks_at_signs_or_without_digits_is_ever_shown(key: str) -> None:
    shown = loggable_key(Outcome("s", key, None, None, None, "rejected"))
    assert shown != key or (key.isascii() and any(character.isdigit() for character in key) and "@" not in key)
