"""The demo's configuration and input: the sample events linked to the sandbox's programs.

Program ids and statuses are those that a new sandbox holds. Each is written in a way that users may write it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from marketo_programs_demo import leads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Json = dict[str, Any]

SPRING_EXPO, AUDIENCE, ROADSHOW, PARTNER_DAY = 1004, 1001, 1234, 1006
RECORDS_PER_STATE: Final = 50
KNOWN_IDS: Final = tuple(range(90_001, 90_009))
"""Marketo ids of the people whom the demo's Marketo knows before the sync, under an earlier address."""
_EMITTED_AT: Final = 1_779_000_000_000


def demo_config(url: str, client_id: str, client_secret: str, outcomes: Path) -> Json:
    """A configuration that shows each way to link, for the sample leads.

    Args:
        url: the sandbox.
        client_id: of its LaunchPoint service.
        client_secret: of the same.
        outcomes: folder for outcomes and rejected records.
    """
    return {
        "domain_url": url,
        "client_id": client_id,
        "client_secret": client_secret,
        "program_links": [
            {"event": str(leads.EXPO), "program_id": f"ME{SPRING_EXPO}A1", "program_status": "Attended"},
            {
                "event": str(leads.EXPO),
                "program_id": f"PG{AUDIENCE}A1",
                "program_status": "On List",
                "lead_scan_threshold": 2,
            },
            {
                "event": str(leads.ROADSHOW),
                "program_id": str(ROADSHOW),
                "program_status": "Attended",
                "unmapped_qualifier": "skip",
            },
            {
                "event": "Partner day 2026",
                "program_id": f"https://app-sandbox.marketo.com/#ME{PARTNER_DAY}A1",
                "program_status": "Registered",
                "unmapped_qualifier": "reject",
            },
        ],
        "qualifier_mappings": [
            {"program_id": str(SPRING_EXPO), "value": "Yes", "program_status": "Engaged"},
            {"program_id": str(ROADSHOW), "value": "Yes", "program_status": "Engaged"},
            {"program_id": str(ROADSHOW), "value": "No", "program_status": "Member"},
            {
                "program_id": str(PARTNER_DAY),
                "qualifier": 'qualifiers."Wants a demo"',
                "value": "Yes",
                "program_status": "Engaged",
            },
            {
                "program_id": str(PARTNER_DAY),
                "qualifier": 'qualifiers."Wants a demo"',
                "value": "No",
                "program_status": "Attended",
            },
        ],
        "record_mapping": {"mapping_type": "mobly"},
        "lead_sync": {"duplicate_leads": "reject", "send": "changes"},
        "field_mappings": [
            {"record_field": "numberOfScans", "marketo_object": "lead", "marketo_field": "numberOfScans"},
            {"record_field": "lastScannedBy", "marketo_object": "program_member", "marketo_field": "boothNotes"},
        ],
        "object_storage_config": {"storage_type": "Local", "path": str(outcomes)},
    }


def catalog() -> Json:
    """The configured catalog: one stream, keyed by event and lead."""
    return {
        "streams": [
            {
                "stream": {
                    "name": leads.STREAM,
                    "json_schema": {"type": "object", "additionalProperties": True},
                    "supported_sync_modes": ["full_refresh"],
                },
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append",
                "primary_key": [["event_id"], ["id"]],
            }
        ]
    }


def records(count: int) -> list[Json]:
    """The sample leads as `captured_leads` of the Mobly source emits them: with qualifiers by name and attendance."""
    names = {option["id"]: group["name"] for group in leads.TAG_GROUPS for option in group["tagOptions"]}
    found = []
    for record in leads.generate(count, marketo_ids=KNOWN_IDS):
        qualifiers: dict[str, list[str]] = {}
        for tag in record["tags"]:
            tag["qualifier"] = names[tag["tagOptionId"]]
            qualifiers.setdefault(tag["qualifier"], []).append(tag["value"])
        source = "email" if record["email"] else None
        attendance = _attendance(record["registered"], record["checkedIn"])
        found.append(record | {"qualifiers": qualifiers, "attendance": attendance, "email_source": source})
    return found


def _attendance(registered: bool, checked_in: bool) -> str:
    """What the source says once an event is over, as the sample's events are; everyone has one flag or both."""
    if checked_in:
        return "Attended" if registered else "Walk-in"
    return "No Show"


def known_people(sample: Iterable[Json]) -> dict[int, Json]:
    """Who is in Marketo before the sync: lead id to fields, for every record that carries a Marketo id.

    Their address there is an earlier one, so that only the id can find them.
    """
    people: dict[int, Json] = {}
    for record in sample:
        for remote in record["remoteIds"]:
            if remote["integrationType"] == "MARKETO":
                number = int(remote["id"])
                people[number] = {
                    "email": f"earlier.address{number}@former-employer.example",
                    "firstName": record["firstName"],
                    "lastName": record["lastName"],
                }
    return people


def shared_addresses(sample: Iterable[Json], wanted: int = 2) -> list[str]:
    """Addresses that two people in Marketo have, so that nobody can say who is meant: the first usable ones."""
    found = [
        record["email"]
        for record in sample
        if record["event_id"] == leads.EXPO and not record["remoteIds"] and _is_usable(record["email"])
    ]
    return found[:wanted]


def _is_usable(email: str | None) -> bool:
    name, at, domain = (email or "").partition("@")
    return bool(name and at) and domain.endswith(".example")


def messages(sample: Iterable[Json], every: int = RECORDS_PER_STATE) -> Iterator[str]:
    """Airbyte messages as JSON lines: the records, and a STATE after `every` of them and at the end."""
    number = 0
    for number, record in enumerate(sample, start=1):
        message = {"stream": leads.STREAM, "emitted_at": _EMITTED_AT + number, "data": record}
        yield json.dumps({"type": "RECORD", "record": message})
        if number % every == 0:
            yield _state(number)
    if number % every:
        yield _state(number)


def _state(number: int) -> str:
    stream = {"stream_descriptor": {"name": leads.STREAM}, "stream_state": {"captured": number}}
    return json.dumps({"type": "STATE", "state": {"type": "STREAM", "stream": stream, "id": number}})
