"""What a call of people or of memberships holds: as many as fit, in order, and no more."""

from __future__ import annotations

import pytest
from delivery_bench import Build, TableMarketo, Way

from destination_marketo_programs.delivery.stage import NEVER, Why
from destination_marketo_programs.marketo.api import row_bytes
from destination_marketo_programs.marketo.rows import MAX_BODY_BYTES, MAX_ROWS_PER_CALL


def people_in_calls(way: Way) -> list[list[str]]:
    """Emails of each call that is made while nobody answers, full ones first."""
    made = []
    for why in (Why.FULL, Why.LEFT):
        while (call := way.leads.stages[1].take(why, way.marketo.now)) is not None:
            before = len(way.marketo.writes())
            call.run()
            made += [[row["email"] for row in rows] for _, _, rows in way.marketo.writes()[before:]]
    return made


def test_a_call_is_filled_to_300_people_in_order_of_arrival(build: Build, marketo: TableMarketo) -> None:
    way = Way(marketo)
    by_key = way.leads.stages[1]
    for number in range(301):
        assert (by_key.take(Why.FULL, 0.0) is None) == (number < MAX_ROWS_PER_CALL)
        if number < MAX_ROWS_PER_CALL:
            way.accept(build.entry(f"{number}@x.org"))
    way.accept(*(build.entry(f"{number}@x.org") for number in range(400, 701)))
    assert people_in_calls(way) == [[f"{number}@x.org" for number in range(400, 700)], ["700@x.org"]]


@pytest.mark.parametrize("letter", ["n", "記"])
def test_a_call_stays_below_1_mb_and_one_record_that_is_larger_goes_alone(
    build: Build, marketo: TableMarketo, letter: str
) -> None:
    """Bytes count, not characters: Japanese text is three times as long as it looks."""
    way = Way(marketo)
    for number, size in enumerate([100_000] * 10 + [2_000_000, 5]):
        entry = build.entry(f"{number}@x.org", {"notes": letter * (size // len(letter.encode()))})
        entry.line += b"x" * size
        way.accept(entry)
    assert len(people_in_calls(way)) == 4
    sizes = [sum(map(row_bytes, rows)) for _, _, rows in marketo.writes()]
    assert [len(rows) for _, _, rows in way.marketo.writes()] == [9, 1, 1, 1]
    assert sorted(sizes)[-2] <= MAX_BODY_BYTES < 1_000_000


def test_a_record_that_comes_while_its_person_is_in_flight_waits_for_the_answer(
    build: Build, marketo: TableMarketo
) -> None:
    """Two creates of one new address at once make two leads, and the address answers 1007 for ever after."""
    way = Way(marketo)
    by_key = way.leads.stages[1]
    way.accept(build.entry("a@x.org", {"title": "1"}))
    flying = by_key.take(Why.LEFT, 0.0)
    assert flying is not None
    way.accept(build.entry("A@x.org", {"title": "2"}), build.entry("a@x.org", {"title": "3"}))
    assert len(by_key) == 2
    assert by_key.take(Why.LEFT, 0.0) is None
    assert by_key.oldest() == NEVER, "nobody could go"
    flying.finish(flying.run())
    following = by_key.take(Why.LEFT, 0.0)
    assert following is not None
    following.finish(following.run())
    assert [rows for _, _, rows in marketo.writes()] == [
        [{"email": "a@x.org", "title": "1"}],
        [{"email": "A@x.org", "title": "3"}],
    ]
    assert len(marketo.leads) == 1


def test_a_row_is_as_old_as_its_oldest_record(build: Build, marketo: TableMarketo) -> None:
    way = Way(marketo)
    way.accept(build.entry("a@x.org", born=50.0), build.entry("a@x.org", born=70.0), build.entry("b@x.org", born=60.0))
    assert way.leads.stages[1].oldest() == 50.0


def test_what_this_run_has_written_is_not_written_again(build: Build, marketo: TableMarketo) -> None:
    """The same fields cost nothing; others go by id, as a key asked for again so soon might be created again."""
    way = Way(marketo)
    by_id, by_key = way.leads.stages

    def go() -> None:
        for stage in way.stages:
            while (call := stage.take(Why.LEFT, marketo.now)) is not None:
                call.finish(call.run())

    way.accept(build.entry("a@x.org", {"title": "1"}))
    go()
    way.accept(build.entry("a@x.org", {"title": "1"}))
    assert (len(by_id), len(by_key), len(way.members)) == (0, 0, 1)
    way.accept(build.entry("A@x.org", {"title": "2"}))
    assert (len(by_id), len(by_key)) == (1, 0)
    go()
    way.leads.forget("a@x.org")
    way.accept(build.entry("a@x.org", {"title": "2"}))
    assert (len(by_id), len(by_key)) == (0, 1)


def member_calls(way: Way, why: Why) -> list[tuple[int, str, list[int]]]:
    calls = []
    while (call := way.members.take(why, way.marketo.now)) is not None:
        before = len(way.marketo.calls)
        call.run()
        calls += [sent for endpoint, sent in way.marketo.calls[before:] if endpoint == "sync_status"]
    return calls


def test_memberships_fill_a_call_by_program_and_status(build: Build, marketo: TableMarketo) -> None:
    way = Way(marketo)
    for lead_id in range(1, 302):
        way.members.accept(build.entry(targets=[build.target(1), build.target(2, "Attended")]), lead_id)
    way.members.accept(build.entry(targets=[build.target(2)]), 900)
    full = member_calls(way, Why.FULL)
    assert [(program, status, len(leads)) for program, status, leads in full] == [
        (1, "Registered", 300),
        (2, "Attended", 300),
    ]
    left = member_calls(way, Why.LEFT)
    assert sorted((program, status, leads) for program, status, leads in left) == [
        (1, "Registered", [301]),
        (2, "Attended", [301]),
        (2, "Registered", [900]),
    ]


def test_the_oldest_group_goes_first_although_it_is_small(build: Build, marketo: TableMarketo) -> None:
    way = Way(marketo)
    for lead_id in range(1, 50):
        way.members.accept(build.entry(targets=[build.target(1)], born=20.0), lead_id)
    way.members.accept(build.entry(targets=[build.target(2)], born=10.0), 99)
    assert way.members.oldest() == 10.0
    call = way.members.take(Why.OLD, 0.0)
    assert call is not None
    call.run()
    assert marketo.calls == [("sync_status", (2, "Registered", [99]))]


def test_a_lead_that_moves_to_a_higher_status_leaves_a_full_call(build: Build, marketo: TableMarketo) -> None:
    way = Way(marketo)
    for lead_id in range(MAX_ROWS_PER_CALL):
        way.members.accept(build.entry(), lead_id)
    way.members.accept(build.entry(targets=[build.target(1, "Engaged")]), 0)
    assert way.members.take(Why.FULL, 0.0) is None
    way.members.accept(build.entry(), MAX_ROWS_PER_CALL)
    (call,) = member_calls(way, Why.FULL)
    assert len(call[2]) == 300
    assert 0 not in call[2]


def test_what_comes_for_a_membership_in_flight_waits_and_collapses_too(build: Build, marketo: TableMarketo) -> None:
    way = Way(marketo)
    marketo.add(7, email="a@x.org")
    way.members.accept(build.entry(targets=[build.target(1, "Invited")]), 7)
    flying = way.members.take(Why.LEFT, 0.0)
    assert flying is not None
    for status in ("Registered", "Engaged"):
        way.members.accept(build.entry(targets=[build.target(1, status)]), 7)
    way.members.accept(build.entry(targets=[build.target(2)]), 7)
    assert len(way.members) == 3
    assert member_calls(way, Why.LEFT) == [(2, "Registered", [7])], "another program does not wait"
    flying.finish(flying.run())
    assert member_calls(way, Why.LEFT) == [(1, "Engaged", [7])]


def test_membership_fields_go_after_the_status_by_program(build: Build, marketo: TableMarketo) -> None:
    way = Way(marketo)
    for lead_id in range(1, 302):
        marketo.add(lead_id, email=f"p{lead_id}@x.org")
        way.members.accept(build.entry(member_fields={"seat": str(lead_id)}), lead_id)
    fields = way.members.fields
    call = way.members.take(Why.FULL, 0.0)
    assert call is not None
    call.finish(call.run())
    assert len(fields) == 300
    assert way.store.outcomes == [], "the lead stays in flight until its fields are written"
    written = fields.take(Why.FULL, 0.0)
    assert written is not None
    written.finish(written.run())
    assert len(way.store.outcomes) == 300
    assert marketo.member_fields[1, 300] == {"seat": "300"}
    assert (len(fields), fields.take(Why.LEFT, 0.0)) == (0, None)


def test_refused_membership_fields_reject_the_record_that_brought_them(build: Build, marketo: TableMarketo) -> None:
    marketo.refuse_fields = lambda fields: "1001" if fields.get("seat") == "bad" else None
    marketo.add(7, email="a@x.org")
    way = Way(marketo)
    entries = [build.entry(member_fields=fields) for fields in ({"seat": "1"}, {"seat": "bad"}, {})]
    for entry in entries:
        way.members.accept(entry, 7)
    for stage in (way.members, way.members.fields):
        call = stage.take(Why.LEFT, 0.0)
        assert call is not None
        call.finish(call.run())
    told = way.told()
    assert [told[entry.key][1] for entry in entries] == ["created", "FIELD_INVALID", "unchanged"]
