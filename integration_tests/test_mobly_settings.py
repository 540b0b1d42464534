"""What a Mobly customer sets at the source, and what `captured_leads` says of each lead because of it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fake_mobly import FakeMobly, Organisation
from marketo_programs_demo import leads
from mobly_source import MoblySource, records

from destination_marketo_programs.mapping.qualifiers import qualifier_texts

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

FAST = {"calls_at_once": 1_000_000, "calls_per_second": 1_000_000}


def day(ago: int) -> str:
    """The date in UTC so many days ago."""
    return (datetime.now(UTC) - timedelta(days=ago)).strftime("%Y-%m-%d")


def event(number: int, last_day: str | None, **fields: Any) -> Json:
    return (
        leads.EVENTS[0] | {"id": number, "name": f"Event {number}", "startDate": last_day, "endDate": last_day} | fields
    )


def read(folder: Path, organisation: Organisation, stream: str = "captured_leads", **settings: Any) -> list[Json]:
    """The stream's records after a sync that succeeded."""
    with FakeMobly(organisation, per_second=1e6) as mobly:
        source = MoblySource(folder, base_url=mobly.url, api_key=mobly.api_key, **FAST, **settings)
        code, messages = source.read(source.catalog(stream))
    assert code == 0
    assert [message["log"]["message"] for message in messages if message.get("log", {}).get("level") == "WARN"] == []
    return records(messages, stream)


AHEAD, YESTERDAY, LONG_OVER, UNDATED = 1, 2, 3, 4


@pytest.mark.parametrize(
    ("settings", "yesterday"),
    [({}, "Registered"), ({"no_show_after_hours": 0}, "No Show")],
    ids=["default", "no grace"],
)
def test_attendance_follows_from_the_flags_and_the_end_of_the_event(
    tmp_path: Path, settings: Json, yesterday: str
) -> None:
    organisation = Organisation(
        [
            event(AHEAD, day(-1)),
            event(YESTERDAY, day(1)),
            # Without a last day, the first one counts.
            event(LONG_OVER, None, startDate=day(10)),
            event(UNDATED, None),
        ]
    )
    for number in (AHEAD, YESTERDAY, LONG_OVER, UNDATED):
        organisation.register(number, f"never.came@{number}.example", firstName="Absent")
        organisation.check_in(number, organisation.register(number, f"came@{number}.example", firstName="Present"))
        organisation.scan_badge(number, f"walked.in@{number}.example", firstName="Unregistered")
        # On the list and nothing else is known: nobody can say that this person was there.
        listed = organisation.register(number, f"listed@{number}.example", firstName="Listed")
        organisation.list_lead(number, listed)

    synced = read(tmp_path, organisation, **settings)
    found = {(one["event_id"], one["firstName"]): one.get("attendance") for one in synced}
    unknown = [(number, "Listed") for number in (AHEAD, YESTERDAY, LONG_OVER, UNDATED)]
    assert [found[one] for one in unknown] == [None] * 4
    assert {one: value for one, value in found.items() if value} == {
        **{(number, "Present"): "Attended" for number in (AHEAD, YESTERDAY, LONG_OVER, UNDATED)},
        **{(number, "Unregistered"): "Walk-in" for number in (AHEAD, YESTERDAY, LONG_OVER, UNDATED)},
        (AHEAD, "Absent"): "Registered",
        (YESTERDAY, "Absent"): yesterday,
        (LONG_OVER, "Absent"): "No Show",
        (UNDATED, "Absent"): "Registered",
    }


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        ({}, {1, 2, 3, 4}),
        ({"leave_out_after_days": 7}, {1, 2, 4}),
        ({"leave_out_after_days": 0}, {1, 4}),
        ({"start_date": day(1)}, {1, 2, 4}),
        ({"start_date": ""}, {1, 2, 3, 4}),
        ({"start_date": day(30), "leave_out_after_days": 9}, {1, 2, 4}),
    ],
)
def test_events_that_are_over_can_be_left_out(tmp_path: Path, settings: Json, left: set[int]) -> None:
    organisation = Organisation(
        [event(1, day(-1)), event(2, day(1)), event(3, day(10)), event(4, None, startDate=None)]
    )
    for number in (1, 2, 3, 4):
        organisation.scan_badge(number, f"someone@{number}.example")
    with FakeMobly(organisation, per_second=1e6) as mobly:
        source = MoblySource(tmp_path, base_url=mobly.url, api_key=mobly.api_key, **FAST, **settings)
        code, messages = source.read(source.catalog("captured_leads", "events", "event_leads"))
        asked = {int(call.path.split("/")[-2]) for call in mobly.calls if "/events/" in call.path}
    assert code == 0
    assert {one["event_id"] for one in records(messages, "captured_leads")} == left
    assert {one["event_id"] for one in records(messages, "event_leads")} == left
    assert {one["id"] for one in records(messages, "events")} == left
    assert asked == left


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        (None, {"Both": "anna@work.example", "Private": "bo@home.example", "Work": "cleo@work.example"}),
        (
            "personal_then_professional",
            {"Both": "anna@home.example", "Private": "bo@home.example", "Work": "cleo@work.example"},
        ),
        ("professional", {"Both": "anna@work.example", "Private": None, "Work": "cleo@work.example"}),
        ("personal", {"Both": "anna@home.example", "Private": "bo@home.example", "Work": None}),
        ("none", {"Both": None, "Private": None, "Work": None}),
    ],
)
def test_an_empty_email_is_filled_from_enrichment_in_the_order_that_is_set(
    tmp_path: Path, order: str | None, expected: dict[str, str | None]
) -> None:
    organisation = Organisation([event(1, day(1))])

    def scan(name: str, email: str | None, **fields: Any) -> None:
        organisation.update(organisation.register(1, email, firstName=name), isEnriched=True, **fields)

    scan("Both", None, professionalEmails="anna@work.example; a@work.example", personalEmails="anna@home.example")
    # A part without an address is passed over.
    scan("Private", " ", professionalEmails="", personalEmails=";unknown; bo@home.example")
    scan("Work", "", professionalEmails="cleo@work.example", personalEmails=None)
    scan("Own", "Dov@own.example", professionalEmails="dov@work.example", personalEmails="dov@home.example")
    scan("Nothing", None)

    settings = {} if order is None else {"missing_email": order}
    found = {one["firstName"]: one for one in read(tmp_path, organisation, **settings)}
    assert {name: (found[name].get("email") or "").strip() or None for name in expected} == expected
    # What is there already is never replaced, and the columns themselves stay.
    assert (found["Own"]["email"], found["Own"]["email_source"]) == ("Dov@own.example", "email")
    assert found["Own"]["personalEmails"] == "dov@home.example"
    assert found["Nothing"].get("email") is None
    columns = {"work": "professionalEmails", "home": "personalEmails"}
    for name, email in expected.items():
        assert found[name].get("email_source") == (columns[email.split("@")[1].split(".")[0]] if email else None)


def test_enrichment_can_be_waited_for_and_not_for_ever(tmp_path: Path) -> None:
    organisation = Organisation([event(1, day(1))])

    def captured(name: str, hours_ago: int, *, enriched: bool, zone: str = "Z") -> None:
        at = datetime.now(UTC) - timedelta(hours=hours_ago)
        if zone != "Z":
            at += timedelta(hours=int(zone[:3]))
        lead = organisation.scan_badge(1, f"{name}@polder.example", firstName=name)
        organisation.update(lead, isEnriched=enriched, createdAt=at.strftime("%Y-%m-%dT%H:%M:%S.000") + zone)

    captured("enriched", 0, enriched=True)
    captured("waiting", 5, enriched=False)
    captured("waiting-in-chicago", 5, enriched=False, zone="-06:00")
    captured("given-up", 7, enriched=False)
    captured("given-up-in-tokyo", 7, enriched=False, zone="+09:00")
    everyone = {one["firstName"] for one in read(tmp_path, organisation)}
    assert everyone == {"enriched", "waiting", "waiting-in-chicago", "given-up", "given-up-in-tokyo"}
    now = {one["firstName"] for one in read(tmp_path, organisation, wait_for_enrichment_hours=6)}
    assert now == {"enriched", "given-up", "given-up-in-tokyo"}


def qualifier(name: str, *values: str) -> Json:
    options = [{"id": str(uuid.uuid4()), "displayOrder": at, "value": value} for at, value in enumerate(values)]
    return leads.WANTS_DEMO | {"id": str(uuid.uuid4()), "name": name, "tagOptions": options}


def test_qualifiers_of_every_type_arrive_as_they_are_with_the_names_of_all_of_them(tmp_path: Path) -> None:
    # Mobly gives at most 50 qualifiers per call: this takes three.
    many = [qualifier(f"Qualifier {number}", "Yes", "No") for number in range(130)]
    types = [qualifier(name, "") for name in ("Badge number", "Budget", "Team of", "Ready to buy", "Note")]
    organisation = Organisation([event(1, day(1))], [*many, *types])
    lead = organisation.scan_badge(1, "noor@polder.example")
    for number in (0, 51, 129):
        organisation.pick_tag(lead, f"Qualifier {number}", "Yes")
    organisation.answer(lead, "Badge number", "007")
    organisation.answer(lead, "Budget", 1250.5)
    organisation.answer(lead, "Team of", 12)
    organisation.answer(lead, "Ready to buy", True)
    organisation.answer(lead, "Note", "Don't call\nbefore \"ten\" {{ o'clock }}; ☎ later")

    (record,) = read(tmp_path, organisation)
    assert record["qualifiers"] == {
        "Qualifier 0": ["Yes"],
        "Qualifier 51": ["Yes"],
        "Qualifier 129": ["Yes"],
        "Badge number": ["007"],
        "Budget": [1250.5],
        "Team of": [12],
        "Ready to buy": [True],
        "Note": ["Don't call\nbefore \"ten\" {{ o'clock }}; ☎ later"],
    }
    assert [(tag["qualifier"], tag["value"]) for tag in record["tags"]] == [
        (name, value) for name, values in record["qualifiers"].items() for value in values
    ]
    # What a qualifier mapping compares them with.
    texts = {name: set(qualifier_texts(values)) for name, values in record["qualifiers"].items()}
    assert texts["Team of"] == {"12"}
    assert texts["Budget"] == {"1250.5"}
    assert texts["Ready to buy"] == {"true", "True"}


def test_odd_texts_come_through_unchanged(tmp_path: Path) -> None:
    odd = [
        "'quoted'",
        '"Expo"',
        "{{ config }}",
        "{% raw %}",
        "1e5",
        "True",
        "None",
        "[1, 2]",
        "a\\'b",
        "naïve \x00\t☃ 𝄞",
    ]
    organisation = Organisation([event(number, day(1), name=name) for number, name in enumerate(odd)])
    for number, name in enumerate(odd):
        # Names that Mobly may one day give a lead's own fields, too.
        organisation.update(
            organisation.scan_badge(number, f"someone{number}@polder.example", jobTitle=name, company={"name": name}),
            event_id=name,
            attendance=name,
            somethingNew={"deep": [name, None, 1.5, False]},
        )
    found = sorted(read(tmp_path, organisation), key=lambda one: int(one["event_id"]))
    assert [(one["event_id"], one["event_name"], one["attendance"]) for one in found] == [
        (number, name, "Walk-in") for number, name in enumerate(odd)
    ]
    assert [(one["jobTitle"], one["company"]["name"], one["somethingNew"]["deep"][0]) for one in found] == [
        (name, name, name) for name in odd
    ]
    assert all(one["somethingNew"]["deep"][1:] == [None, 1.5, False] for one in found)


class Moving(Organisation):
    """A lead is captured while the list is read, newest first: each page but the first repeats one."""

    def leads(self, start: int = 0, stop: int | None = None) -> list[Json]:
        return super().leads(max(0, start - 1), stop)


def test_a_list_that_moves_while_it_is_read_makes_no_lead_twice(tmp_path: Path) -> None:
    organisation = Moving([event(1, day(1))])
    emails = [f"someone{number}@polder.example" for number in range(120)]
    for email in emails:
        organisation.scan_badge(1, email)
    assert sorted(one["email"] for one in read(tmp_path, organisation)) == sorted(emails)


def test_an_event_that_is_deleted_meanwhile_is_passed_over(tmp_path: Path) -> None:
    organisation = Organisation([event(1, day(1)), event(2, day(1))])
    organisation.scan_badge(1, "gone@polder.example")
    organisation.scan_badge(2, "there@polder.example")
    organisation.delete_event(1)
    assert [one["email"] for one in read(tmp_path, organisation)] == ["there@polder.example"]
    assert [one["event_id"] for one in read(tmp_path, organisation, "event_leads")] == [2]


def test_nothing_captured_is_no_failure(tmp_path: Path) -> None:
    assert read(tmp_path, Organisation()) == []
    assert read(tmp_path, Organisation(leads.EVENTS)) == []
