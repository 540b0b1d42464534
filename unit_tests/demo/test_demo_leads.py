"""The sample leads hold, each time, what the demo is there to show."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest
from marketo_programs_demo import leads


@pytest.fixture(scope="module")
def records() -> list[leads.Json]:
    return list(leads.generate(500, marketo_ids=range(1, 9)))


def test_the_same_seed_gives_the_same_leads() -> None:
    assert list(leads.generate(50)) == list(leads.generate(50))
    assert list(leads.generate(50)) == list(islice(leads.generate(500), 50))
    assert list(leads.generate(50)) != list(leads.generate(50, seed=2))


def test_changing_a_record_changes_none_that_follows() -> None:
    for record, untouched in zip(leads.generate(200), list(leads.generate(200)), strict=True):
        assert record == untouched
        record["tags"].clear()
        record["company"].clear()
        record["email"] = "changed"


def test_there_is_one_record_per_lead_and_event(records: list[leads.Json]) -> None:
    places = Counter((record["id"], record["event_id"]) for record in records)
    assert len(places) == len(records) == 500
    assert {record["event_id"]: record["event_name"] for record in records} == {
        event["id"]: event["name"] for event in leads.EVENTS
    }
    assert min(Counter(record["event_id"] for record in records).values()) > 30


def test_people_come_again_in_other_case_at_the_same_and_at_another_event(records: list[leads.Json]) -> None:
    spellings: dict[tuple[str, int], set[str]] = {}
    events: dict[str, set[int]] = {}
    for record in records:
        if record["email"]:
            folded = record["email"].strip().lower()
            spellings.setdefault((folded, record["event_id"]), set()).add(record["email"])
        events.setdefault(record["id"], set()).add(record["event_id"])
    assert sum(len(found) > 1 for found in spellings.values()) >= 10
    assert sum(len(found) > 1 for found in events.values()) >= 10


def test_some_emails_are_missing_and_some_malformed(records: list[leads.Json]) -> None:
    emails = [record["email"] for record in records]
    malformed = [
        email for email in emails if email and not email.strip().lower().rpartition("@")[2].endswith(".example")
    ]
    malformed += [email for email in emails if email and (email.startswith("@") or email.count("@") != 1)]
    assert 5 <= emails.count(None) <= 30
    assert 5 <= len(set(malformed)) <= 30
    assert all(email.isascii() for email in emails if email and "@" in email and " " not in email.strip())


def test_qualifiers_scans_and_marketo_ids_vary(records: list[leads.Json]) -> None:
    values = Counter(tag["value"] for record in records for tag in record["tags"])
    assert set(values) == {option["value"] for group in leads.TAG_GROUPS for option in group["tagOptions"]}
    assert {0, 1, 2} < {record["numberOfScans"] for record in records}
    marketo_ids = {
        remote["id"] for record in records for remote in record["remoteIds"] if remote["integrationType"] == "MARKETO"
    }
    assert marketo_ids == {str(number) for number in range(1, 9)}
    assert not any(remote["integrationType"] == "MARKETO" for r in leads.generate(300) for remote in r["remoteIds"])
