"""What waits: nobody in flight twice, nothing lost, order kept, the highest status goes."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.delivery import queues
from destination_marketo_programs.delivery.queues import LeadQueue, MemberQueue
from destination_marketo_programs.marketo.client import MAX_BODY_BYTES, MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from destination_marketo_programs.delivery.work import Item, LeadRow, MemberRow
    from destination_marketo_programs.model import Target
    from unit_tests.delivery.conftest import Build

ROWS, BYTES = 4, 300
SMALL_CALLS = patch.multiple(queues, MAX_ROWS_PER_CALL=ROWS, MAX_BODY_BYTES=BYTES)
"""Limits that a short script reaches."""

lead_steps = st.lists(
    st.one_of(
        st.tuples(
            st.just("add"),
            st.sampled_from(["a@x.org", "b@x.org", "c@x.org", "d@x.org", "e@x.org", "f@x.org"]),
            st.dictionaries(st.sampled_from(["firstName", "title"]), st.sampled_from(["", "x", "y" * 90]), max_size=2),
        ),
        st.tuples(st.just("take"), st.just(""), st.just({})),
        st.tuples(st.just("release"), st.just(""), st.just({})),
    ),
    max_size=60,
)


def lead_queue(*, fields_merge: bool = True) -> LeadQueue:
    return LeadQueue(lambda item: ("email", item.person.lookup_value or ""), fields_merge=fields_merge)


@given(script=lead_steps, fields_merge=st.booleans())
@settings(max_examples=150)
def test_people_wait_in_order_and_are_never_in_flight_twice(
    build: Build, script: list[tuple[str, str, dict[str, str]]], *, fields_merge: bool
) -> None:
    with SMALL_CALLS:
        drive_lead_queue(build, script, fields_merge=fields_merge)


def drive_lead_queue(build: Build, script: list[tuple[str, str, dict[str, str]]], *, fields_merge: bool) -> None:
    queue = lead_queue(fields_merge=fields_merge)
    added: dict[str, list[Item]] = {}
    left: dict[str, list[Item]] = {}
    in_flight: list[list[LeadRow]] = []
    first_seen: list[str] = []

    def take() -> None:
        rows = queue.take()
        assert rows
        assert len(rows) <= ROWS
        assert len(rows) == 1 or sum(len(row.encoded) + 1 for row in rows) <= BYTES
        flying = {row.key for batch in in_flight for row in batch}
        assert not flying & {row.key for row in rows}
        assert len({row.key for row in rows}) == len(rows)
        in_flight.append(rows)
        for row in rows:
            left.setdefault(row.key, []).extend(row.items())
            expected = row.parts[0][0]
            for item in row.items():
                expected = {**expected, **item.person.fields} if fields_merge else expected
            assert row.fields == expected
            assert json.loads(row.encoded) == {"email": row.head[1], **row.fields}

    for step, key, fields in script:
        if step == "add":
            item = build.item(key, dict(fields))
            assert queue.waits_for(key) == bool(
                len(added.get(key, ())) > len(left.get(key, ())) or any(row.key == key for b in in_flight for row in b)
            )
            queue.add(key, item)
            added.setdefault(key, []).append(item)
            first_seen.append(key)
        elif step == "take" and queue.ready:
            take()
        elif step == "release" and in_flight:
            queue.release(in_flight.pop(0))
        ready = list(queue._ready.values())
        assert queue.ready == len(ready)
        assert queue._bytes == sum(len(row.encoded) for row in ready)
        assert queue.full == (len(ready) >= ROWS or queue._bytes >= BYTES)
        assert queue.oldest() == min((row.born for row in ready), default=None)
    while in_flight or queue:
        if queue.ready:
            take()
        else:
            queue.release(in_flight.pop(0))
    for batch in in_flight:
        queue.release(batch)
    assert len(queue) == 0
    assert queue._bytes == 0
    assert {key: [id(item) for item in items] for key, items in left.items()} == {
        key: [id(item) for item in items] for key, items in added.items()
    }


def test_a_call_is_filled_to_300_rows_in_order_of_arrival(build: Build) -> None:
    queue = lead_queue()
    for number in range(301):
        assert queue.full == (number >= MAX_ROWS_PER_CALL)
        queue.add(f"{number}@x.org", build.item(f"{number}@x.org"))
    rows = queue.take()
    assert [row.key for row in rows] == [f"{number}@x.org" for number in range(300)]
    assert not queue.full
    assert [row.key for row in queue.take()] == ["300@x.org"]


def test_a_call_stays_below_1_mb_and_one_record_that_is_larger_goes_alone(build: Build) -> None:
    queue = lead_queue()
    for number, size in enumerate([100_000] * 10 + [2_000_000, 5]):
        queue.add(f"{number}@x.org", build.item(f"{number}@x.org", {"notes": "n" * size}))
    batches = [queue.take() for _ in range(4)]
    assert [len(batch) for batch in batches] == [9, 1, 1, 1]
    sizes = [sum(len(row.encoded) + 1 for row in batch) for batch in batches]
    assert max(sizes[0], sizes[1], sizes[3]) <= MAX_BODY_BYTES < 1_000_000
    assert len(queue) == 0


def test_bytes_of_characters_count_not_characters(build: Build) -> None:
    """Marketo counts UTF-8: 300 records of Japanese text are three times as long as they look."""
    queue = lead_queue()
    for number in range(4):
        queue.add(f"{number}@x.org", build.item(f"{number}@x.org", {"notes": "記" * 100_000}))
    assert len(queue.take()) == 3


def test_a_record_that_comes_while_its_person_is_in_flight_waits_for_the_answer(build: Build) -> None:
    """Two creates of one new address at once make two leads, and the address answers 1007 for ever after."""
    queue = lead_queue()
    queue.add("a@x.org", build.item("a@x.org", {"title": "1"}))
    first = queue.take()
    for number in (2, 3):
        queue.add("a@x.org", build.item("a@x.org", {"title": str(number)}))
    assert (queue.ready, len(queue), queue.full) == (0, 1, False)
    assert queue.waits_for("a@x.org")
    queue.release(first)
    (row,) = queue.take()
    assert [item.person.fields["title"] for item in row.items()] == ["2", "3"]
    assert row.fields == {"title": "3"}


def test_a_row_is_as_old_as_its_oldest_record(build: Build) -> None:
    """A record that is resolved a second time brings its age along; its batch must not wait another minute."""
    queue = lead_queue()
    queue.add("a@x.org", build.item("a@x.org", born=50.0))
    queue.add("a@x.org", build.item("a@x.org", born=10.0))
    queue.add("b@x.org", build.item("b@x.org", born=30.0))
    assert queue.oldest() == 10.0


# --- members -------------------------------------------------------------------------------------------------

STEPS = {"Invited": 10, "Registered": 20, "Waitlisted": 20, "Attended": 40}
member_steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 5), st.integers(1, 2), st.sampled_from(sorted(STEPS))),
        st.tuples(st.just("take"), st.integers(0, 9), st.just(0), st.just("")),
        st.tuples(st.just("release"), st.just(0), st.just(0), st.just("")),
    ),
    max_size=80,
)


def member_queue() -> MemberQueue:
    return MemberQueue(lambda group: STEPS[group[1]])


def highest(claims: list[tuple[Item, Target]]) -> str:
    """The status that goes: of the highest step, the latest."""
    status = claims[0][1].program_status
    for _, target in claims:
        if STEPS[target.program_status] >= STEPS[status]:
            status = target.program_status
    return status


@given(member_steps)
@settings(max_examples=200)
def test_memberships_wait_in_order_and_are_never_in_flight_twice(
    build: Build, script: list[tuple[str, int, int, str]]
) -> None:
    with SMALL_CALLS:
        drive_member_queue(build, script)


def drive_member_queue(build: Build, script: list[tuple[str, int, int, str]]) -> None:
    queue = member_queue()
    added: dict[tuple[int, int], list[int]] = {}
    left: dict[tuple[int, int], list[int]] = {}
    in_flight: list[MemberRow] = []

    def take(choice: int) -> None:
        groups = sorted(queue._groups)
        group = groups[choice % len(groups)]
        before = len(queue._groups[group])
        rows = queue.take(group)
        assert len(rows) == min(before, ROWS)
        for row in rows:
            assert (row.program_id, row.program_status) == group
            assert row.program_status == highest(row.claims)
            assert row.step == STEPS[row.program_status]
            assert row.born == min(item.born for item, _ in row.claims)
            assert not any((row.lead_id, row.program_id) == (other.lead_id, other.program_id) for other in in_flight)
            in_flight.append(row)
            left.setdefault((row.lead_id, row.program_id), []).extend(id(item) for item, _ in row.claims)

    for number, (step, lead, program, status) in enumerate(script):
        if step == "add":
            item = build.item(born=float(hash((number, lead)) % 50))
            queue.add(item, build.target(program, status), lead)
            added.setdefault((lead, program), []).append(id(item))
        elif step == "take" and queue._groups:
            take(lead)
        elif step == "release" and in_flight:
            queue.release(in_flight.pop(0))
        groups = queue._groups
        assert all(groups.values())
        sizes = {key: len(group) for key, group in groups.items()}
        assert queue.full == any(size >= ROWS for size in sizes.values())
        full = queue.full_group()
        assert (full is not None) == queue.full
        assert full is None or sizes[full] >= ROWS
        largest = queue.largest_group()
        assert (sizes[largest] if largest else 0) == max(sizes.values(), default=0)
        oldest = queue.oldest_group()
        borns = {key: min(row.born for row in group.values()) for key, group in groups.items()}
        assert (oldest[0] if oldest else None) == min(borns.values(), default=None)
        assert oldest is None or borns[oldest[1]] == oldest[0]
    while queue or in_flight:
        if queue._groups:
            take(0)
        else:
            queue.release(in_flight.pop(0))
    assert left == added
    assert not queue.full
    assert queue.largest_group() is None
    assert queue.oldest_group() is None


def statuses(rows: list[MemberRow]) -> list[Any]:
    return [(row.program_status, [target.program_status for _, target in row.claims]) for row in rows]


def test_of_several_statuses_the_highest_goes_and_every_claim_is_kept(build: Build) -> None:
    """The claims of the others become SUPERSEDED; none may be forgotten."""
    queue = member_queue()
    for status in ("Registered", "Attended", "Invited", "Attended"):
        queue.add(build.item(), build.target(1, status), 7)
    assert len(queue) == 1
    assert statuses(queue.take((1, "Attended"))) == [("Attended", ["Registered", "Attended", "Invited", "Attended"])]
    assert len(queue) == 0


def test_of_equal_steps_the_later_goes(build: Build) -> None:
    """Equal steps are Marketo's way to let statuses switch: what happened last is true."""
    for first, second in (("Registered", "Waitlisted"), ("Waitlisted", "Registered")):
        queue = member_queue()
        queue.add(build.item(), build.target(1, first), 7)
        queue.add(build.item(), build.target(1, second), 7)
        assert queue.largest_group() == (1, second)
        assert statuses(queue.take((1, second))) == [(second, [first, second])]


def test_what_comes_for_a_membership_in_flight_waits_and_collapses_too(build: Build) -> None:
    queue = member_queue()
    queue.add(build.item(), build.target(1, "Invited"), 7)
    (flying,) = queue.take((1, "Invited"))
    for status in ("Registered", "Attended"):
        queue.add(build.item(), build.target(1, status), 7)
    queue.add(build.item(), build.target(2, "Registered"), 7)
    assert len(queue) == 2
    assert set(queue._groups) == {(2, "Registered")}, "the same lead in another program does not wait"
    queue.release(flying)
    assert statuses(queue.take((1, "Attended"))) == [("Attended", ["Registered", "Attended"])]


def test_a_lead_that_moves_to_another_group_leaves_a_full_one(build: Build) -> None:
    queue = member_queue()
    for lead in range(MAX_ROWS_PER_CALL):
        queue.add(build.item(), build.target(1, "Registered"), lead)
    assert queue.full_group() == (1, "Registered")
    queue.add(build.item(), build.target(1, "Attended"), 0)
    assert not queue.full
    queue.add(build.item(), build.target(1, "Registered"), MAX_ROWS_PER_CALL)
    assert queue.full_group() == (1, "Registered")
    assert len(queue.take((1, "Registered"))) == 300
    assert Counter(len(queue._groups[key]) for key in queue._groups) == {1: 1}
