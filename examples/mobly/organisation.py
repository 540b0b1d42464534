"""What one Mobly customer has stored: events, qualifiers, leads, and who was at which event."""

from __future__ import annotations

import copy
import random
import threading
import time
import uuid
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Self

from marketo_programs_demo import leads as sample

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Json = dict[str, Any]

_BESIDE_THE_LEAD: Final = ("event_id", "event_name", "registered", "checkedIn")
_AT_A_SECOND_EVENT: Final = 0.1


class Organisation:
    """What one Mobly customer has stored. Every method may be called from any thread."""

    def __init__(self, events: Iterable[Json] = (), tag_groups: Iterable[Json] = ()) -> None:
        self._lock = threading.Lock()
        self._events = {event["id"]: copy.deepcopy(event) for event in events}
        self._tag_groups = [copy.deepcopy(group) for group in tag_groups]
        self._leads: dict[str, Json] = {}
        self._event_leads: dict[int, dict[str, Json]] = {number: {} for number in self._events}

    @classmethod
    def with_sample_leads(cls, count: int, marketo_ids: Sequence[int] = ()) -> Self:
        """The demo's events, qualifiers and `count` captures (see `leads.generate`)."""
        organisation = cls(sample.EVENTS, sample.TAG_GROUPS)
        for record in sample.generate(count, marketo_ids=marketo_ids):
            organisation.add(record)
        return organisation

    @classmethod
    def of_size(cls, captures: int, events: int) -> Self:
        """Sample leads spread over so many events, one in ten of them at two, every usable email another one.

        The events are numbered from 5000 and end today.
        """
        chance = random.Random(captures)  # noqa: S311 - sample data, nothing secret
        today = time.strftime("%Y-%m-%d", time.gmtime())
        numbers = range(5_000, 5_000 + events)
        template = sample.EVENTS[0] | {"startDate": today, "endDate": today}
        organisation = cls([template | {"id": one, "name": f"Event {one}"} for one in numbers], sample.TAG_GROUPS)
        people = list(sample.generate(500))
        captured = 0
        while captured < captures:
            person = people[captured % len(people)]
            lead = person | {
                "id": str(uuid.UUID(int=chance.getrandbits(128), version=4)),
                "email": person["email"] and f"{captured}.{person['email'].strip()}",
            }
            twice = captured + 1 < captures and chance.random() < _AT_A_SECOND_EVENT
            for number in chance.sample(numbers, 2 if twice else 1):
                organisation.add(lead | {"event_id": number})
                captured += 1
        return organisation

    def add(self, record: Json) -> None:
        """Store a lead with `event_id`, `registered` and `checkedIn` beside its fields, as `generate` has it."""
        lead = {name: value for name, value in record.items() if name not in _BESIDE_THE_LEAD}
        association = {
            "leadId": record["id"],
            "registered": record["registered"],
            "checkedIn": record["checkedIn"],
        }
        with self._lock:
            self._leads.setdefault(record["id"], copy.deepcopy(lead))
            self._event_leads[record["event_id"]][record["id"]] = association

    def scan_badge(self, event_id: int, email: str, **fields: Any) -> str:
        """What the app does when a badge is scanned at an event.

        A person already captured at the event is scanned once more; anyone else becomes a new lead.

        Args:
            event_id: one of the organisation's events.
            email: read from the badge.
            fields: further members of `LeadV0Response`, such as `firstName`.

        Returns:
            The lead's id.
        """
        with self._lock:
            here = self._event_leads[event_id]
            for lead_id in here:
                lead = self._leads[lead_id]
                if (lead["email"] or "").lower() == email.lower():
                    lead["numberOfScans"] += 1
                    here[lead_id]["checkedIn"] = True
                    return lead_id
            lead = _blank_lead() | {"email": email} | copy.deepcopy(fields)
            self._leads[lead["id"]] = lead
            here[lead["id"]] = {"leadId": lead["id"], "registered": False, "checkedIn": True}
            return str(lead["id"])

    def pick_tag(self, lead_id: str, group: str, value: str) -> None:
        """Answer a qualifier for a lead: pick the option `value` of the tag group named `group`."""
        with self._lock:
            options = next(one for one in self._tag_groups if one["name"] == group)["tagOptions"]
            option = next(one for one in options if one["value"] == value)
            self._leads[lead_id]["tags"].append({"tagOptionId": option["id"], "value": option["value"]})

    def answer(self, lead_id: str, group: str, value: str | float | bool) -> None:
        """Answer a qualifier of a type without options (text, number, boolean, note): the value as it was entered.

        The published description has no such answers yet. This takes them to look like those of a picklist, and the
        qualifier to have the one option that they name.
        """
        with self._lock:
            (option,) = next(one for one in self._tag_groups if one["name"] == group)["tagOptions"]
            self._leads[lead_id]["tags"].append({"tagOptionId": option["id"], "value": value})

    def update(self, lead_id: str, **fields: Any) -> None:
        """Set members of a lead, as an edit in Mobly or its enrichment does."""
        with self._lock:
            self._leads[lead_id].update(copy.deepcopy(fields))

    def register(self, event_id: int, email: str | None, **fields: Any) -> str:
        """Register somebody new for an event, who has not been there yet.

        Returns:
            The lead's id.
        """
        lead = _blank_lead() | {"email": email, "numberOfScans": 0} | copy.deepcopy(fields)
        with self._lock:
            self._leads[lead["id"]] = lead
            self._event_leads[event_id][lead["id"]] = {"leadId": lead["id"], "registered": True, "checkedIn": False}
        return str(lead["id"])

    def check_in(self, event_id: int, lead_id: str) -> None:
        """Let somebody in who is on the event's list."""
        with self._lock:
            self._event_leads[event_id][lead_id]["checkedIn"] = True

    def list_lead(self, event_id: int, lead_id: str) -> None:
        """Put a lead on an event's list, neither registered nor checked in, as an import does."""
        with self._lock:
            self._event_leads[event_id][lead_id] = {"leadId": lead_id, "registered": False, "checkedIn": False}

    def update_event(self, event_id: int, **fields: Any) -> None:
        """Set members of an event, such as its `endDate`."""
        with self._lock:
            self._events[event_id].update(copy.deepcopy(fields))

    def delete_event(self, event_id: int) -> None:
        """Delete an event's list; the event itself stays in the list of events, which another client may have read."""
        with self._lock:
            del self._event_leads[event_id]

    def events(self) -> list[Json]:
        """All events."""
        with self._lock:
            return copy.deepcopy(list(self._events.values()))

    def tag_groups(self) -> list[Json]:
        """All qualifiers."""
        with self._lock:
            return copy.deepcopy(self._tag_groups)

    def leads(self, start: int = 0, stop: int | None = None) -> list[Json]:
        """Leads in the order they were captured, by position; all of them by default."""
        with self._lock:
            return copy.deepcopy(list(islice(self._leads.values(), start, stop)))

    def number_of_leads(self) -> int:
        """How many leads there are."""
        with self._lock:
            return len(self._leads)

    def lead(self, lead_id: str) -> Json | None:
        """One lead."""
        with self._lock:
            return copy.deepcopy(self._leads.get(lead_id))

    def event_leads(self, event_id: int) -> list[Json] | None:
        """Who was at an event; None where there is no such event."""
        with self._lock:
            here = self._event_leads.get(event_id)
            return None if here is None else copy.deepcopy(list(here.values()))


def _blank_lead() -> Json:
    return {
        "id": str(uuid.uuid4()),
        "createdAt": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "isEnriched": False,
        "firstName": None,
        "lastName": None,
        "email": None,
        "description": None,
        "jobTitle": None,
        "address": None,
        "phoneNumbers": {"leadProvided": [], "moblyProvided": []},
        "company": {},
        "numberOfScans": 1,
        "lastScannedBy": None,
        "activations": [],
        "tags": [],
        "leadActivityEvents": [],
        "remoteIds": [],
    }
