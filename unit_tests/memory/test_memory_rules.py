"""What `lead_sync.send: changes` promises, sentence by sentence."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from memory_bench import World

from destination_marketo_programs.marketo.leads import Action

if TYPE_CHECKING:
    from destination_marketo_programs.outcomes import Outcome

ADA = "ada@example.org"


@pytest.fixture
def world() -> World:
    return World()


def outcomes(sync: Any) -> list[Outcome]:
    found: list[Outcome] = sync.store.outcomes
    return found


def written(calls: list[tuple[str, Any]]) -> list[Any]:
    """Rows of Sync Leads calls."""
    return [row for endpoint, sent in calls if endpoint == "sync_leads" for row in sent[2]]


def endpoints(calls: list[tuple[str, Any]]) -> list[str]:
    return [endpoint for endpoint, _ in calls]


# --- nothing changed -------------------------------------------------------------------------------------------


def test_a_record_that_says_nothing_new_makes_no_call(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    sync = world.begin()
    calls = len(world.marketo.calls)
    sync.accept([world.record("1", title="Dr")])
    assert sync.finish().told() == {"1": {1: "unchanged"}}
    assert len(world.marketo.calls) == calls
    (outcome,) = outcomes(sync)
    assert (outcome.lead_action, outcome.lead_id) == ("remembered", 101)
    assert sync.way.tally.remembered == 1


def test_a_new_link_sends_the_status_alone_and_leaves_the_other_program_as_remembered(world: World) -> None:
    target = world.build.target
    world.sync(world.build.entry(ADA, {"title": "Dr"}, key="1", targets=[target(1)]))
    sync = world.begin()
    calls = len(world.marketo.calls)
    sync.accept([world.build.entry(ADA, {"title": "Dr"}, key="1", targets=[target(1), target(2)])])
    assert sync.finish().told() == {"1": {1: "unchanged", 2: "created"}}
    assert endpoints(world.marketo.calls[calls:]) == ["sync_status"]
    actions = {outcome.program_id: outcome.lead_action for outcome in outcomes(sync)}
    assert actions == {1: "remembered", 2: "matched"}
    assert sync.way.tally.remembered == 1


def test_a_changed_field_is_told_for_every_program(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    sync = world.begin()
    sync.accept([world.record("1", title="Prof.")])
    sync.finish()
    assert [(outcome.outcome, outcome.lead_action) for outcome in outcomes(sync)] == [("unchanged", "updated")]
    assert sync.way.tally.remembered == 0


def test_the_first_sync_sends_everything(world: World) -> None:
    assert endpoints(world.calls_of(world.record("1", title="Dr"))) == ["sync_leads", "sync_status"]


def test_what_is_remembered_holds_no_person(world: World) -> None:
    world.sync(world.record("1", "ada.lovelace@example.org", title="Countess of Lovelace"))
    (name,) = world.shelf.memory
    memory = world.shelf.blobs[name]
    for secret in (b"lovelace", b"Lovelace", b"Countess", b"example.org"):
        assert secret not in memory
    lines = [
        json.loads(line)
        for name, data in world.shelf.blobs.items()
        if name.startswith("outcomes-")
        for line in data.splitlines()
    ]
    assert "Countess" not in json.dumps(lines)
    assert "title" in lines[0]["sent"]


def test_two_people_with_one_title_have_different_fingerprints(world: World) -> None:
    sync = world.sync(world.record("1", "a@x.org", title="Dr"), world.record("2", "b@x.org", title="Dr"))
    one, two = [outcome.sent for outcome in outcomes(sync)]
    assert isinstance(one, dict)
    assert isinstance(two, dict)
    assert one["title"] != two["title"]


# --- fields ----------------------------------------------------------------------------------------------------


def test_a_changed_field_alone_is_sent_by_lead_id_and_a_correction_stays(world: World) -> None:
    world.sync(world.record("1", title="Dr", company="Old"))
    world.marketo.leads[101]["title"] = "Professor"
    calls = world.calls_of(world.record("1", title="Dr", company="New"))
    assert calls == [("sync_leads", (Action.UPDATE_ONLY, "id", [{"id": 101, "company": "New"}]))]
    assert world.marketo.leads[101]["title"] == "Professor"
    assert world.marketo.leads[101]["company"] == "New"


def test_a_field_that_changed_on_both_sides_is_the_source_s(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    world.marketo.leads[101]["title"] = "Professor"
    world.sync(world.record("1", title="Prof."))
    assert world.marketo.leads[101]["title"] == "Prof."


def test_a_new_field_counts_as_a_change_of_that_field(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    assert written(world.calls_of(world.record("1", title="Dr", city="Paris"))) == [{"id": 101, "city": "Paris"}]


def test_a_field_whose_mapping_is_gone_is_not_sent(world: World) -> None:
    world.sync(world.record("1", title="Dr", city="Paris"))
    assert world.calls_of(world.record("1", title="Dr")) == []


def test_a_cleared_field_is_sent_once(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    assert written(world.calls_of(world.record("1", title=None))) == [{"id": 101, "title": None}]
    assert world.calls_of(world.record("1", title=None)) == []


def test_changed_membership_fields_are_sent_with_the_status_and_without_the_lead(world: World) -> None:
    def record(seat: str) -> Any:
        return world.build.entry(ADA, {"title": "Dr"}, key="1", member_fields={"seat": seat})

    world.sync(record("1"))
    assert world.calls_of(record("1")) == []
    assert endpoints(world.calls_of(record("2"))) == ["sync_status", "sync_data"]
    assert world.marketo.member_fields[1, 101] == {"seat": "2"}


def test_two_records_of_one_person_are_each_remembered(world: World) -> None:
    first, second = ("1", {"title": "Dr"}), ("2", {"title": "Prof."})
    world.sync(*(world.record(key, **fields) for key, fields in (first, second)))
    assert world.marketo.leads[101]["title"] == "Prof."
    assert world.calls_of(*(world.record(key, **fields) for key, fields in (second, first))) == []
    calls = world.calls_of(world.record("1", title="Dr", city="Paris"), world.record("2", title="Prof.", phone="1"))
    assert written(calls) == [{"id": 101, "city": "Paris", "phone": "1"}]


def test_guarded_fields_that_did_not_change_are_not_even_read(world: World) -> None:
    def record(city: str) -> Any:
        return world.build.entry(ADA, {"city": city}, key="1", if_blank={"title": "Dr"}, on_create={"phone": "1"})

    world.sync(record("Paris"))
    world.marketo.leads[101] |= {"title": None, "phone": "2"}
    calls = world.calls_of(record("Rome"))
    assert written(calls) == [{"id": 101, "city": "Rome"}]
    assert endpoints(calls) == ["sync_leads"]
    assert world.marketo.leads[101] | {"title": None, "phone": "2"} == world.marketo.leads[101]


def test_fields_that_the_instance_refuses_on_leads_are_not_offered_again(world: World) -> None:
    """1021: the answer is final until the record changes, and an hourly sync does not ask again for everybody."""
    world.marketo.add(101, email=ADA)
    world.marketo.refuse = lambda row: "1021" if "company" in row else None
    world.sync(world.record("1", title="Dr", company="Analytical Engines"))
    assert world.calls_of(world.record("1", title="Dr", company="Analytical Engines")) == []


# --- who it is -------------------------------------------------------------------------------------------------


def test_a_record_whose_address_changed_is_about_somebody_else(world: World) -> None:
    world.sync(world.record("1", "ada@x.org", title="Dr"))
    sync = world.sync(world.record("1", "bob@x.org", title="Dr"))
    assert sync.told() == {"1": {1: "created"}}
    assert [lead["email"] for lead in world.marketo.leads.values()] == ["ada@x.org", "bob@x.org"]
    assert world.calls_of(world.record("1", "BOB@x.org", title="Dr")) == []


def test_a_record_that_gets_its_lead_s_id_later_says_nothing_new(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    assert world.calls_of(world.build.entry(ADA, {"title": "Dr"}, key="1", marketo_id=101)) == []


def test_an_id_that_led_to_the_lead_by_its_key_is_not_tried_again(world: World) -> None:
    """The person was merged; the record still carries the id of the one that is gone."""
    world.marketo.merged[7] = 8
    world.marketo.add(8, email=ADA)

    def record(**fields: Any) -> Any:
        return world.build.entry(ADA, fields, key="1", marketo_id=7)

    world.sync(record(title="Dr"))
    world.marketo.leads[8]["title"] = "Professor"
    assert world.calls_of(record(title="Dr")) == []
    assert written(world.calls_of(record(title="Dr", city="Paris"))) == [{"id": 8, "city": "Paris"}]


def test_another_id_on_the_record_is_somebody_else(world: World) -> None:
    world.marketo.add(7, email="seven@x.org")
    world.sync(world.record("1", title="Dr"))
    calls = world.calls_of(world.build.entry(ADA, {"title": "Dr"}, key="1", marketo_id=7))
    assert written(calls) == [{"id": 7, "title": "Dr"}]
    assert world.marketo.members == {(1, 101): "Registered", (1, 7): "Registered"}


def test_records_without_a_key_are_known_by_event_and_person(world: World) -> None:
    def record(place: str, email: str, event: str) -> Any:
        targets = [world.build.target(1, "Registered", event)]
        return world.build.entry(email, {"title": "Dr"}, key=place, key_is_position=True, targets=targets)

    world.sync(record("1", "a@x.org", "expo"), record("2", "b@x.org", "expo"))
    assert world.calls_of(record("1", "b@x.org", "expo"), record("2", "a@x.org", "expo")) == []
    assert world.calls_of(record("1", "a@x.org", "roadshow")) != []


@pytest.mark.parametrize("gone", ["deleted", "merged"])
def test_of_a_lead_that_is_gone_everything_is_sent_by_its_key(world: World, gone: str) -> None:
    targets = [world.build.target(1), world.build.target(2)]

    def record(**fields: Any) -> Any:
        return world.build.entry(ADA, fields, key="1", targets=targets)

    world.sync(record(title="Dr", city="Paris"))
    del world.marketo.leads[101]
    if gone == "merged":
        world.marketo.merged[101] = world.marketo.add(500, email=ADA, title="Professor")
    sync = world.sync(record(title="Dr", city="Rome"))
    (now,) = world.marketo.leads
    assert world.marketo.leads[now] | {"title": "Dr", "city": "Rome"} == world.marketo.leads[now]
    assert {key for key in world.marketo.members if key[1] == now} == {(1, now), (2, now)}
    assert sync.told() == {"1": {1: "created", 2: "created"}}
    assert world.calls_of(record(title="Dr", city="Rome")) == []


def test_a_lead_that_is_gone_when_only_a_status_is_sent_is_looked_up_as_well(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    del world.marketo.leads[101]
    world.sync(world.record("1", status="Engaged", title="Dr"))
    (now,) = world.marketo.leads.values()
    assert now["title"] == "Dr"
    assert world.marketo.members[1, now["id"]] == "Engaged"


def test_after_an_import_a_lead_is_looked_up_and_gets_what_changed(world: World) -> None:
    """A file says no lead ids; whoever is not there any more is created whole."""
    sync = world.sync(world.record("1", "a@x.org", title="Dr"), world.record("2", "b@x.org", title="Dr"))
    name = next(name for name in world.shelf.blobs if name.startswith("outcomes-"))
    lines = [
        json.loads(line) | {"lead_id": None, "outcome": "imported"} for line in world.shelf.blobs[name].splitlines()
    ]
    world.shelf.blobs[name] = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    (memory,) = world.shelf.memory
    del world.shelf.blobs[memory]
    assert sync.told() == {"1": {1: "created"}, "2": {1: "created"}}
    assert world.calls_of(world.record("1", "a@x.org", title="Dr"), world.record("2", "b@x.org", title="Dr")) == []
    world.marketo.leads[101]["title"] = "Professor"
    del world.marketo.leads[102]
    calls = world.calls_of(
        world.record("1", "a@x.org", title="Dr", city="Paris"), world.record("2", "b@x.org", title="Dr", city="Rome")
    )
    assert endpoints(calls).count("query_leads") == 1
    assert world.marketo.leads[101] | {"title": "Professor", "city": "Paris"} == world.marketo.leads[101]
    assert world.marketo.leads[103] | {"title": "Dr", "city": "Rome"} == world.marketo.leads[103]
    assert world.marketo.members[1, 103] == "Registered"
    assert written(world.calls_of(world.record("1", "a@x.org", title="Dr", city="Nice"))) == [
        {"id": 101, "city": "Nice"}
    ]


# --- statuses --------------------------------------------------------------------------------------------------


def test_a_changed_status_alone_is_sent_by_lead_id(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    world.marketo.leads[101]["title"] = "Professor"
    assert world.calls_of(world.record("1", status="Attended", title="Dr")) == [("sync_status", (1, "Attended", [101]))]


def test_a_new_link_sends_the_status_alone(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    targets = [world.build.target(1), world.build.target(2)]
    calls = world.calls_of(world.build.entry(ADA, {"title": "Dr"}, key="1", targets=targets))
    assert calls == [("sync_status", (2, "Registered", [101]))]


def test_a_lower_status_is_not_sent(world: World) -> None:
    world.sync(world.record("1", status="Attended"))
    assert world.calls_of(world.record("1", status="Registered")) == []
    assert world.calls_of(world.record("1", status="Attended")) == []


@pytest.mark.parametrize("lower", ["Registered", "No Show"])
@pytest.mark.parametrize("fields", [{}, {"title": "Dr"}])
def test_no_record_of_a_person_undoes_what_another_one_set(world: World, lower: str, fields: dict[str, str]) -> None:
    """Marketo itself would move somebody from Attended to No Show: both have the same step."""
    world.sync(world.record("1", status="Attended"))
    sync = world.sync(world.record("2", status=lower, **fields))
    assert sync.told() == {"2": {1: "unchanged"}}
    assert world.marketo.members == {(1, 101): "Attended"}
    assert not any(endpoint == "sync_status" and sent[1] == lower for endpoint, sent in world.marketo.calls)
    assert world.calls_of(world.record("2", status=lower, **fields)) == []


def test_membership_fields_of_a_lower_status_are_written_all_the_same(world: World) -> None:
    world.sync(world.record("1", status="Attended"))
    targets = [world.build.target(1, "No Show")]
    world.sync(world.build.entry(ADA, key="2", targets=targets, member_fields={"seat": "9"}))
    assert world.marketo.members == {(1, 101): "Attended"}
    assert world.marketo.member_fields[1, 101] == {"seat": "9"}


def test_a_status_that_was_highest_and_is_refused_now_leaves_the_record_its_own_try(world: World) -> None:
    world.sync(world.record("1", status="Attended"))
    world.marketo.refuse_member = lambda _program, status, _lead: "1001" if status == "Attended" else None
    targets = [world.build.target(1, "Registered")]
    sync = world.sync(world.build.entry(ADA, key="2", targets=targets, member_fields={"seat": "9"}))
    assert sync.told() == {"2": {1: "unchanged"}}
    assert world.marketo.member_fields[1, 101] == {"seat": "9"}


def test_whoever_was_removed_by_hand_stays_removed_until_the_record_changes(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    del world.marketo.members[1, 101]
    world.sync(world.record("1", title="Dr"))
    assert world.marketo.members == {}
    world.sync(world.record("1", status="Attended", title="Dr"))
    assert world.marketo.members == {(1, 101): "Attended"}


def test_what_is_remembered_for_programs_without_link_is_dropped(world: World) -> None:
    targets = [world.build.target(1), world.build.target(2)]
    world.sync(world.build.entry(ADA, key="1", targets=targets))
    world.linked = targets[:1]
    world.sync(world.build.entry(ADA, key="1", targets=targets[:1]))
    world.linked = targets
    calls = world.calls_of(world.build.entry(ADA, key="1", targets=targets))
    assert calls == [("sync_status", (2, "Registered", [101]))]


# --- rejections, and age ---------------------------------------------------------------------------------------


def test_a_rejected_record_is_never_remembered(world: World) -> None:
    world.marketo.refuse = lambda row: "1001" if row.get("title") == "bad" else None
    world.sync(world.record("1", title="bad", city="Paris"))
    assert endpoints(world.calls_of(world.record("1", title="bad", city="Paris"))) == ["sync_leads"]
    world.marketo.refuse = lambda _row: None
    sync = world.sync(world.record("1", title="bad", city="Paris"))
    assert sync.told() == {"1": {1: "created"}}


def test_a_rejected_change_is_sent_again_and_what_was_delivered_before_is_not(world: World) -> None:
    world.sync(world.record("1", title="Dr", city="Paris"))
    world.marketo.refuse = lambda row: "1001" if row.get("title") == "bad" else None
    for _ in range(2):
        assert {"id": 101, "title": "bad"} in written(world.calls_of(world.record("1", title="bad", city="Paris")))
    assert world.calls_of(world.record("1", title="Dr", city="Paris")) == []


def test_of_two_programs_the_one_that_was_refused_is_tried_again(world: World) -> None:
    world.marketo.refuse_member = lambda program, _status, _lead: "1001" if program == 2 else None
    targets = [world.build.target(1), world.build.target(2)]

    def record() -> Any:
        return world.build.entry(ADA, {"title": "Dr"}, key="1", targets=targets)

    world.sync(record())
    sync = world.begin()
    sync.accept([record()])
    told = sync.finish().told()
    assert told["1"][1] == "unchanged"
    assert world.marketo.calls[-1] == ("sync_status", (2, "Registered", [101]))


@pytest.mark.parametrize(("days", "again"), [(29, False), (30, True), (45, True)])
def test_everything_is_sent_again_after_so_many_days(days: int, again: bool) -> None:
    world = World(again_after_days=30)
    world.sync(world.record("1", title="Dr"))
    world.marketo.leads[101]["title"] = "Professor"
    del world.marketo.members[1, 101]
    world.day = days
    calls = world.calls_of(world.record("1", title="Dr"))
    assert bool(calls) == again
    assert (world.marketo.leads[101]["title"] == "Dr") == again
    assert ((1, 101) in world.marketo.members) == again
    assert world.calls_of(world.record("1", title="Dr")) == []


def test_never_by_age_with_0_days(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    world.day = 4_000
    assert world.calls_of(world.record("1", title="Dr")) == []


def test_a_program_that_the_record_is_no_longer_meant_for_does_not_make_it_old_for_ever() -> None:
    world = World(again_after_days=30)
    targets = [world.build.target(1), world.build.target(2)]
    world.sync(world.build.entry(ADA, {"title": "Dr"}, key="1", targets=targets))
    world.day = 40
    assert world.calls_of(world.record("1", title="Dr")) != []
    world.day = 41
    assert world.calls_of(world.record("1", title="Dr")) == []


# --- several versions of a record in one sync --------------------------------------------------------------------


@pytest.mark.parametrize("committed", [False, True])
def test_of_versions_of_a_record_in_one_sync_the_last_one_counts(world: World, committed: bool) -> None:
    """The source's log brings them all: the last says again what memory still knows from the sync before."""
    world.sync(world.record("1", title="Dr", city="Paris"))
    world.marketo.leads[101]["city"] = "Rome"
    sync = world.begin()
    sync.accept([world.record("1", title="Prof.", city="Paris")])
    if committed:
        while sync.send():
            pass
        sync.commit()
    sync.accept([world.record("1", title="Dr", city="Paris")])
    sync.finish()
    assert world.marketo.leads[101]["title"] == "Dr"
    assert world.marketo.leads[101]["city"] == "Rome"
    assert world.calls_of(world.record("1", title="Dr", city="Paris")) == []


def test_the_last_of_two_versions_is_remembered_whichever_program_answers_first(world: World) -> None:
    """The first version waits for its second program, which answers after the second version has been settled."""
    sync = world.begin()
    targets = [world.build.target(1), world.build.target(2)]
    sync.accept([world.build.entry(ADA, {"title": "1"}, key="1", targets=targets)])
    sync.send()
    sync.accept([world.build.entry(ADA, {"title": "2"}, key="1", targets=targets[:1])])
    sync.finish()
    assert world.marketo.leads[101]["title"] == "2"
    world.sync(world.build.entry(ADA, {"title": "1"}, key="1", targets=targets))
    assert world.marketo.leads[101]["title"] == "1"


# --- where it is kept --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [None, b"", b"no database", b"SQLite format 3\0" + bytes(4000), "half", "flipped"])
def test_a_lost_or_damaged_memory_is_made_anew_from_the_outcomes(world: World, damage: bytes | str | None) -> None:
    records = [world.record(str(number), f"p{number}@x.org", title=f"t{number}") for number in range(60)]
    world.sync(*records)
    (name,) = world.shelf.memory
    data = world.shelf.blobs.pop(name)
    if damage == "half":
        world.shelf.blobs[name] = data[: len(data) // 2]
    elif damage == "flipped":
        world.shelf.blobs[name] = data[:4096] + bytes(len(data) - 4096)
    elif isinstance(damage, bytes):
        world.shelf.blobs[name] = damage
    again = [world.record(str(number), f"p{number}@x.org", title=f"t{number}") for number in range(60)]
    assert world.calls_of(*again) == []
    assert len(world.shelf.blobs[name]) == len(data)


def test_an_older_memory_takes_in_what_came_after_it(world: World) -> None:
    world.sync(world.record("1", title="1"))
    (name,) = world.shelf.memory
    old = world.shelf.blobs[name]
    world.sync(world.record("1", title="2"), world.record("2", "b@x.org", title="1"))
    world.shelf.blobs[name] = old
    assert world.calls_of(world.record("1", title="2"), world.record("2", "b@x.org", title="1")) == []


def test_without_outcomes_and_memory_everything_is_sent(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    world.shelf.blobs.clear()
    assert endpoints(world.calls_of(world.record("1", title="Dr"))) == ["sync_leads", "sync_status"]


def test_the_memory_of_outcomes_that_were_deleted_holds(world: World) -> None:
    world.sync(world.record("1", title="Dr"))
    for name in [name for name in world.shelf.blobs if name.startswith("outcomes-")]:
        del world.shelf.blobs[name]
    assert world.calls_of(world.record("1", title="Dr")) == []


@pytest.mark.parametrize("lost", [False, True])
def test_another_instance_or_lookup_field_remembers_nothing(world: World, lost: bool) -> None:
    world.sync(world.record("1", title="Dr"))
    if lost:
        for name in world.shelf.memory:
            del world.shelf.blobs[name]
    world.instance = "999-XYZ-999"
    assert endpoints(world.calls_of(world.record("1", title="Dr"))) == ["sync_leads", "sync_status"]
    assert endpoints(world.calls_of(world.record("1", title="Dr"), lookup_field="other")) == [
        "sync_leads",
        "sync_status",
    ]
    world.instance = "123-ABC-456"
    assert world.calls_of(world.record("1", title="Dr")) == []


def test_what_marketo_has_not_confirmed_durably_is_sent_again(world: World) -> None:
    sync = world.begin()
    sync.accept([world.record("1", title="Dr")])
    while sync.send():
        pass
    # Killed here: Marketo has it, and no outcome says so.
    assert endpoints(world.calls_of(world.record("1", title="Dr"))) == ["sync_leads", "sync_status"]
    assert len(world.marketo.leads) == 1


def test_outcomes_that_were_durable_before_a_kill_count(world: World) -> None:
    sync = world.begin()
    sync.accept([world.record("1", title="Dr")])
    while sync.send():
        pass
    sync.commit()
    assert world.calls_of(world.record("1", title="Dr")) == []
