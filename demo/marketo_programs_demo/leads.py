"""Sample leads of three Mobly events: the same ones each time, and with what real badge scans bring along.

Shapes are those of Mobly's REST API v0 (`LeadV0Response`, `Event`, `TagGroupV0Response`). Everyone here is made
up: names are common ones, addresses end in `.example` (RFC 2606), numbers are 555-01xx.
"""

from __future__ import annotations

import copy
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Json = dict[str, Any]

STREAM: Final = "captured_leads"
"""Name of the stream, as in `examples/mobly/manifest.yaml`."""

EXPO, ROADSHOW, PARTNER_DAY = 4711, 4712, 4713


def _event(number: int, name: str, kind: str, day: str, city: str, country: str) -> Json:
    return {
        "id": number,
        "name": name,
        "type": kind,
        "registrationEnabled": kind != "EVENT",
        "createdAt": "2026-02-02T09:00:00Z",
        "startDate": day,
        "endDate": day,
        "location": {"city": city, "country": country},
        "tagGroups": [],
    }


def _tag_group(number: int, name: str, values: Sequence[str], *, several: bool) -> Json:
    return {
        "id": str(uuid.UUID(int=0x4D0B_0000_0000_4000_8000_0000_0000_0000 + number, version=4)),
        "name": name,
        "status": "PUBLISHED",
        "allowsMultipleSelection": several,
        "displayOrder": number,
        "usageInstructions": None,
        "required": False,
        "allEvents": True,
        "tagOptions": [
            {
                "id": str(uuid.UUID(int=0x4D0B_1000_0000_4000_8000_0000_0000_0000 + 100 * number + at, version=4)),
                "displayOrder": at,
                "value": value,
            }
            for at, value in enumerate(values)
        ],
    }


WANTS_DEMO: Final = _tag_group(1, "Wants a demo", ("Yes", "No", "Next year"), several=False)
INTERESTS: Final = _tag_group(2, "Interests", ("Badge printing", "Lead capture", "Reporting"), several=True)
TAG_GROUPS: Final = (WANTS_DEMO, INTERESTS)

EVENTS: Final = (
    _event(EXPO, "Spring Expo 2026", "TRADE_SHOW", "2026-04-14", "Chicago", "United States"),
    _event(ROADSHOW, "Roadshow Rotterdam", "EVENT", "2026-05-06", "Rotterdam", "Netherlands"),
    _event(PARTNER_DAY, "Partner day 2026", "CONFERENCE", "2026-05-07", "Rotterdam", "Netherlands"),
)
for _one in EVENTS:
    _one["tagGroups"] = [group["id"] for group in TAG_GROUPS]

_FIRST_NAMES: Final = (
    "Amara", "Ben", "Carla", "Daan", "Elif", "Felix", "Grace", "Hugo", "Ingrid", "Jamal", "Keiko", "Lars",
    "Maria", "Nadia", "Oscar", "Priya", "Quentin", "Rosa", "Samir", "Tessa", "Uma", "Victor", "Wanda", "Yusuf",
)  # fmt: skip
_LAST_NAMES: Final = (
    "Adeyemi", "Bakker", "Castillo", "Dubois", "Eriksen", "Fischer", "Garcia", "Haddad", "Ivanova", "Jansen",
    "Kowalski", "Lindqvist", "Müller", "Nakamura", "O'Brien", "Patel", "Quinn", "Rossi", "Schmidt", "Tanaka",
    "Ueda", "Visser", "Walker", "Yılmaz",
)  # fmt: skip
_TITLES: Final = (
    "Head of Field Marketing", "VP Sales", "Marketing Operations Manager", "Account Executive", "CTO",
    "Demand Generation Lead", "Event Manager", "Purchasing Director", "Founder", "Solutions Engineer",
)  # fmt: skip
_COMPANIES: Final = (
    ("Northwind Logistics", "northwind.example", "Transportation", "Chicago", "IL", "60601", "United States"),
    ("Polder Software", "polder.example", "Software", "Utrecht", None, "3511 AB", "Netherlands"),
    ("Bluebird Health", "bluebird.example", "Healthcare", "Boston", "MA", "02108", "United States"),
    ("Gießerei Kern & Söhne", "kern.example", "Manufacturing", "Essen", None, "45127", "Germany"),
    ("Océane Voyages", "oceane.example", "Travel", "Nantes", None, "44000", "France"),
    ("Tamarind Foods", "tamarind.example", "Food", "Leicester", None, "LE1 1AA", "United Kingdom"),
    ("Kestrel Energy", "kestrel.example", "Energy", "Austin", "TX", "78701", "United States"),
    ("Fjord Analytics", "fjord.example", "Software", "Bergen", None, "5003", "Norway"),
)  # fmt: skip
_MALFORMED: Final = ("{first}.{last}(at){domain}", "{first}.{last}@", "{first} {last}", "@{domain}")
_REPEATED_SCAN: Final = 0.06
_SEEN_ELSEWHERE: Final = 0.07
_KNOWN_TO_MARKETO: Final = 0.08
_NO_EMAIL: Final = 0.025
_BAD_EMAIL: Final = 0.025
_DIACRITICS: Final = str.maketrans({"ü": "ue", "ı": "i", "'": ""})


def generate(count: int = 500, *, seed: int = 20261123, marketo_ids: Sequence[int] = ()) -> Iterator[Json]:
    """Leads, one record per lead and event: what `captured_leads` of the Mobly source emits.

    Among them: the same person captured twice at one event, with the email in other case and another lead id;
    the same lead at a second event; missing and malformed emails; qualifier values that no mapping names;
    0 to 6 scans; leads that Mobly knows Marketo's id of.

    Args:
        count: number of records.
        seed: the same seed gives the same records.
        marketo_ids: lead ids that exist in the target Marketo; each is given to one lead, as far as there are
            leads for them.
    """
    chance = random.Random(seed)  # noqa: S311 - sample data, nothing secret
    remaining_ids = list(reversed(marketo_ids))
    captured: list[Json] = []
    places: set[tuple[str, int]] = set()
    for position in range(count):
        roll = chance.random()
        if captured and roll < _REPEATED_SCAN:
            record = _captured_again(chance, chance.choice(captured))
        elif captured and roll < _SEEN_ELSEWHERE + _REPEATED_SCAN:
            record = _at_another_event(chance, chance.choice(captured), places)
        else:
            known = bool(remaining_ids) and _happens(chance, _KNOWN_TO_MARKETO)
            record = _new_lead(chance, position, remaining_ids.pop() if known else None)
        places.add((record["id"], record["event_id"]))
        captured.append(record)
        yield copy.deepcopy(record)


def _new_lead(chance: random.Random, position: int, marketo_id: int | None) -> Json:
    first, last = chance.choice(_FIRST_NAMES), chance.choice(_LAST_NAMES)
    company, domain, industry, city, state, postcode, country = chance.choice(_COMPANIES)
    event = chance.choices(EVENTS, weights=(12, 7, 3))[0]
    registered = event["registrationEnabled"] and _happens(chance, 0.7)
    captured_at = datetime(2026, 4, 14, 8, tzinfo=UTC) + timedelta(minutes=7 * position)
    remote_ids = [{"id": f"hs-{position}", "integrationType": "HUB_SPOT"}] if position % 29 == 0 else []
    if marketo_id is not None:
        remote_ids.append({"id": str(marketo_id), "integrationType": "MARKETO"})
    return {
        "id": _uuid(chance),
        "createdAt": captured_at.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "isEnriched": _happens(chance, 0.6),
        "firstName": first,
        "lastName": last,
        "email": _email(chance, first, last, domain, position),
        "description": None,
        "linkedin": None,
        "facebook": None,
        "twitter": None,
        "jobTitle": chance.choice((*_TITLES, None)),
        "address": None,
        "phoneNumbers": _phone_numbers(chance),
        "company": {
            "name": company,
            "industry": industry,
            "linkedin": None,
            "streetAddress": f"{chance.randint(1, 180)} Main Street",
            "city": city,
            "state": state,
            "zip": postcode,
            "country": country,
        },
        "numberOfScans": chance.choices((0, 1, 2, 3, 4, 6), weights=(1, 8, 4, 2, 1, 1))[0],
        "lastScannedBy": chance.choice(("booth@mobly-customer.example", "sales@mobly-customer.example")),
        "activations": [],
        "tags": _tags(chance),
        "leadActivityEvents": [],
        "remoteIds": remote_ids,
        "event_id": event["id"],
        "event_name": event["name"],
        "registered": registered,
        "checkedIn": not registered or _happens(chance, 0.8),
    }


def _captured_again(chance: random.Random, earlier: Json) -> Json:
    """A second badge of the same person at the same event: a lead of its own in Mobly."""
    again = copy.deepcopy(earlier)
    again["id"] = _uuid(chance)
    again["remoteIds"] = []
    again["numberOfScans"] = 1
    again["tags"] = _tags(chance)
    if again["email"]:
        again["email"] = chance.choice((again["email"].upper(), again["email"].title(), f" {again['email']} "))
    return again


def _at_another_event(chance: random.Random, earlier: Json, places: set[tuple[str, int]]) -> Json:
    """The same lead at an event where it was not yet; a new badge where it was at all of them."""
    others = [event for event in EVENTS if (earlier["id"], event["id"]) not in places]
    if not others:
        return _captured_again(chance, earlier)
    event = chance.choice(others)
    elsewhere = copy.deepcopy(earlier)
    elsewhere.update(event_id=event["id"], event_name=event["name"], registered=False, checkedIn=True)
    return elsewhere


def _email(chance: random.Random, first: str, last: str, domain: str, position: int) -> str | None:
    roll = chance.random()
    names = {"first": first.lower(), "last": last.lower().translate(_DIACRITICS), "domain": domain}
    if roll < _NO_EMAIL:
        return None
    if roll < _NO_EMAIL + _BAD_EMAIL:
        return chance.choice(_MALFORMED).format(**names)
    return "{first}.{last}{position}@{domain}".format(position=position, **names)


def _phone_numbers(chance: random.Random) -> Json:
    def number(kind: str, *, preferred: bool) -> Json:
        return {"number": f"+1 312 555 01{chance.randint(0, 99):02d}", "type": kind, "preferred": preferred}

    given = [number("MOBILE", preferred=True)] if _happens(chance, 0.5) else []
    found = [number("OFFICE", preferred=not given)] if _happens(chance, 0.4) else []
    return {"leadProvided": given, "moblyProvided": found}


def _tags(chance: random.Random) -> list[Json]:
    picked = []
    if _happens(chance, 0.75):
        picked.append(chance.choices(WANTS_DEMO["tagOptions"], weights=(5, 4, 1))[0])
    picked += chance.sample(INTERESTS["tagOptions"], chance.choice((0, 0, 1, 2)))
    return [{"tagOptionId": option["id"], "value": option["value"]} for option in picked]


def _happens(chance: random.Random, share: float) -> bool:
    return chance.random() < share


def _uuid(chance: random.Random) -> str:
    return str(uuid.UUID(int=chance.getrandbits(128), version=4))
