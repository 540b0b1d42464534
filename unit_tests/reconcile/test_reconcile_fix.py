"""--fix: nothing is written that was not read just before, and nobody comes back whom somebody removed."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from table_marketo import TRADESHOW, Member, TableMarketo, no_permission
from test_reconcile_running import Place, Reconciled, outcome, people, reconciling

from destination_marketo_programs.marketo.activities import Activity
from destination_marketo_programs.marketo.errors import RefusedError, UnreachableError
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.reconcile.fix import FRESH_SECONDS, Fix
from destination_marketo_programs.reconcile.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.reconcile.running import Findings

REMOVED_LATER = "2026-11-22T08:00:00Z"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "outcomes")


def change(lead: int, new: str, at: str = REMOVED_LATER, program: int = 1004) -> Activity:
    return Activity(lead, 104, at, program, "Expo", {"New Status": new, "Old Status": "Registered"})


class Clock:
    """Time that passes only when somebody says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def passes(self, seconds: float) -> Callable[[], None]:
        def pass_it() -> None:
            self.now += seconds

        return pass_it


def run_fix(done: Reconciled, marketo: TableMarketo, clock: Clock) -> None:
    def wait(seconds: float) -> bool:
        clock.now += seconds
        return True

    done.run.fix(cast("Marketo", marketo), clock, wait)


@contextmanager
def fixing(place: Place, marketo: TableMarketo, clock: Clock | None = None) -> Iterator[Findings]:
    with reconciling(place, marketo) as done:
        assert not marketo.written
        marketo.calls.clear()
        run_fix(done, marketo, clock or Clock())
        yield done.run.findings()


def fix(place: Place, marketo: TableMarketo, clock: Clock | None = None) -> Findings:
    with fixing(place, marketo, clock) as found:
        return found


def test_behind_and_missing_are_sent_again_after_one_more_read(place: Place) -> None:
    place.sync(*(outcome(f"r{lead}", lead) for lead in range(1, 6)), outcome("x", 6, "Attended"))
    marketo = TableMarketo(
        people(*range(1, 7)),
        {1004: {1: Member("Invited"), 2: Member("Registered"), 3: Member("Attended"), 6: Member("Invited")}},
    )
    found = fix(place, marketo)
    assert found.fixed == {Fix.SENT: 4}
    assert found.open == 0
    assert marketo.written == [(1004, "Attended", [6]), (1004, "Registered", [1, 4, 5])]
    assert {lead: member.status for lead, member in marketo.members[1004].items()} == {
        1: "Registered", 2: "Registered", 3: "Attended", 4: "Registered", 5: "Registered", 6: "Attended",
    }  # fmt: skip
    assert marketo.calls == {"query_members": 2, "activities": 1, "sync_status": 2}


def test_300_at_a_time(place: Place) -> None:
    place.sync(*(outcome(f"r{lead}", lead) for lead in range(1, 702)))
    marketo = TableMarketo(people(*range(1, 702)), {1004: {lead: Member("Invited") for lead in range(1, 702)}})
    assert fix(place, marketo).fixed == {Fix.SENT: 701}
    assert [len(leads) for _, _, leads in marketo.written] == [300, 300, 101]


def test_who_was_removed_by_hand_is_left_alone(place: Place) -> None:
    place.sync(*(outcome(f"r{lead}", lead) for lead in range(1, 5)))
    marketo = TableMarketo(people(*range(1, 5)), {1004: {}})
    marketo.log = [
        change(1, "Not in Program"),
        # Removed and added again by somebody, and lost in another way since.
        change(2, "Not in Program", "2026-11-21T08:00:00Z"),
        change(2, "Registered", "2026-11-21T09:00:00Z"),
        # Removed from another program.
        change(3, "Not in Program", program=1005),
        # Removed long before our write, which made them a member again.
        change(4, "Not in Program", "2026-11-01T08:00:00Z"),
    ]
    found = fix(place, marketo)
    assert found.fixed == {Fix.REMOVED_BY_HAND: 1, Fix.SENT: 3}
    assert marketo.written == [(1004, "Registered", [2, 3, 4])]
    assert found.open == 1


def test_a_removal_counts_although_memory_said_unchanged_since(place: Place) -> None:
    """The outcome of today wrote nothing: what counts is what happened since the record was first delivered."""
    place.sync(outcome("a", 1))
    place.sync(outcome("a", 1, outcome=Result.UNCHANGED, lead_action="remembered", at="2026-11-25T10:00:00Z"))
    marketo = TableMarketo(people(1), {1004: {}}, log=[change(1, "Not in Program")])
    assert fix(place, marketo).fixed == {Fix.REMOVED_BY_HAND: 1}
    assert marketo.since == [datetime(2026, 11, 20, 9, 50, tzinfo=UTC)]
    assert not marketo.written


def test_without_the_permission_missing_ones_are_left_alone_and_the_others_fixed(place: Place) -> None:
    place.sync(*(outcome(f"r{lead}", lead) for lead in range(1, 100)))
    marketo = TableMarketo(people(*range(1, 100)), {1004: {1: Member("Invited")}})
    marketo.refuse["activities"] = no_permission("activities")
    found = fix(place, marketo)
    assert found.fixed == {Fix.NOT_CHECKED: 98, Fix.SENT: 1}
    assert not found.may_read_activities
    assert marketo.written == [(1004, "Registered", [1])]
    assert marketo.calls["activities"] == 1


def test_who_moves_between_the_comparison_and_the_fix_is_not_written_to(place: Place) -> None:
    place.sync(outcome("a", 1), outcome("b", 2), outcome("c", 3))
    marketo = TableMarketo(people(1, 2, 3), {1004: {1: Member("Invited"), 2: Member("Invited"), 3: Member("Invited")}})

    def somebody_acts() -> None:
        if marketo.calls["query_members"] == 1 and marketo.calls["sync_status"] == 0:
            marketo.members[1004][1] = Member("Attended")
            marketo.members[1004].pop(2, None)
            marketo.log[:] = [change(2, "Not in Program")]

    with reconciling(place, marketo) as done:
        assert set(done.verdicts.values()) == {Verdict.BEHIND}
        marketo.calls.clear()
        marketo.before["query_members"] = somebody_acts
        run_fix(done, marketo, Clock())
        found = done.run.findings()
    assert found.fixed == {Fix.ALREADY_RIGHT: 1, Fix.REMOVED_BY_HAND: 1, Fix.SENT: 1}
    assert marketo.written == [(1004, "Registered", [3])]


def test_a_batch_that_was_read_too_long_ago_is_read_again(place: Place) -> None:
    place.sync(outcome("a", 1), outcome("b", 2))
    marketo, clock = TableMarketo(people(1, 2), {1004: {2: Member("Invited")}}), Clock()
    # Reading activities takes its time, and meanwhile somebody moves the other one.
    marketo.before["activities"] = clock.passes(FRESH_SECONDS + 1)

    def meanwhile() -> None:
        if marketo.calls["activities"]:
            marketo.members[1004][2] = Member("Attended")

    marketo.before["query_members"] = meanwhile
    found = fix(place, marketo, clock)
    assert found.fixed == {Fix.SENT: 1, Fix.ALREADY_RIGHT: 1}
    assert marketo.written == [(1004, "Registered", [1])]
    assert marketo.calls["activities"] == 1


def test_nothing_is_written_where_reading_is_always_too_slow(place: Place) -> None:
    place.sync(outcome("a", 1))
    marketo, clock = TableMarketo(people(1), {1004: {1: Member("Invited")}}), Clock()
    marketo.before["query_members"] = clock.passes(FRESH_SECONDS + 1)
    assert fix(place, marketo, clock).fixed == {Fix.CHANGED_MEANWHILE: 1}
    assert not marketo.written


def test_what_marketo_refuses_is_said_and_stays_open(place: Place) -> None:
    place.sync(outcome("a", 1), outcome("b", 2, "Attended"), outcome("c", 3))
    marketo = TableMarketo(people(1, 2, 3), {1004: {lead: Member("Invited") for lead in (1, 2, 3)}})

    def dies() -> None:
        marketo.leads.pop(1, None)
        marketo.refuse["sync_status"] = RefusedError("sync_status", "1025")
        if marketo.calls["sync_status"] == 2:
            marketo.refuse.pop("sync_status")

    marketo.before["sync_status"] = dies
    with fixing(place, marketo) as found:
        assert found.fixed == {Fix.REFUSED: 2, Fix.SENT: 1}
        assert found.open == 2


def test_a_write_without_an_answer_is_looked_at_before_it_is_sent_again(place: Place) -> None:
    place.sync(*(outcome(f"r{lead}", lead) for lead in (1, 2, 3)))
    marketo = TableMarketo(people(1, 2, 3), {1004: {lead: Member("Invited") for lead in (1, 3)}})

    def half_of_it_works() -> None:
        marketo.refuse.pop("sync_status", None)
        if marketo.calls["sync_status"] == 1:
            marketo.members[1004][1] = Member("Registered")
            # It made the second one a member, whom somebody removed at once.
            marketo.log.append(change(2, "Not in Program"))
            marketo.refuse["sync_status"] = UnreachableError("sync_status", "502")

    marketo.before["sync_status"] = half_of_it_works
    found = fix(place, marketo)
    assert found.fixed == {Fix.ALREADY_RIGHT: 1, Fix.REMOVED_BY_HAND: 1, Fix.SENT: 1}
    assert marketo.written == [(1004, "Registered", [3])]
    assert marketo.calls["query_members"] == 2


def test_what_was_sent_before_an_end_is_known(place: Place) -> None:
    place.sync(outcome("a", 1, "Attended"), outcome("b", 2))
    marketo = TableMarketo(people(1, 2), {1004: {1: Member("Invited"), 2: Member("Invited")}})
    with reconciling(place, marketo) as done:
        marketo.calls.clear()

        def goes_away() -> None:
            if marketo.calls["sync_status"] == 2:
                marketo.refuse["sync_status"] = UnreachableError("sync_status", "502")

        marketo.before["sync_status"] = goes_away
        with pytest.raises(UnreachableError):
            run_fix(done, marketo, Clock())
        found = done.run.findings()
    assert found.fixed == {Fix.SENT: 1}
    assert found.open == 1
    assert marketo.calls["sync_status"] - 1 == marketo.calls["query_members"] - 1 == 6


STATUSES = [status.name for status in TRADESHOW[1:]]
STEPS = {status.name: status.step for status in TRADESHOW}


@given(st.data())
def test_whatever_people_do_meanwhile_nobody_is_moved_back_or_brought_back(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    leads = range(1, 9)
    place = Place(tmp_path_factory.mktemp("place"))
    sent = {lead: data.draw(st.sampled_from(STATUSES)) for lead in leads}
    place.sync(*(outcome(f"r{lead}", lead, status) for lead, status in sent.items()))
    held = {lead: data.draw(st.sampled_from([None, *STATUSES])) for lead in leads}
    marketo = TableMarketo(
        people(*leads), {1004: {lead: Member(status) for lead, status in held.items() if status is not None}}
    )
    clock, removed, acted_on = Clock(), set[int](), set[int]()
    expected = dict(held)

    def somebody_acts() -> None:
        clock.now += data.draw(st.sampled_from([0.0, 5.0, 20.0]))
        for lead in data.draw(st.sets(st.sampled_from(list(leads)), max_size=3)) - acted_on:
            acted_on.add(lead)
            member = marketo.members[1004].get(lead)
            status = data.draw(st.sampled_from(["Not in Program", *STATUSES] if member else STATUSES))
            marketo.log.append(change(lead, status))
            if status == "Not in Program":
                del marketo.members[1004][lead]
                removed.add(lead)
            else:
                marketo.members[1004][lead] = Member(status)
                expected[lead] = status

    with reconciling(place, marketo) as done:
        marketo.before = {"query_members": somebody_acts}
        run_fix(done, marketo, clock)
    assert not removed & set(marketo.members[1004])
    written = {lead: status for _, status, leads_of_call in marketo.written for lead in leads_of_call}
    assert written.items() <= sent.items()
    for lead, member in marketo.members[1004].items():
        assert STEPS[member.status] >= STEPS[expected[lead] or "Not in Program"]
