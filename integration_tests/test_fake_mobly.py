"""The stand-in for Mobly answers in the shapes of Mobly's own description."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
import yaml
from fake_mobly import API_KEY, FakeMobly, Organisation
from marketo_programs_demo import leads
from openapi_schema_validator import OAS30Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT4

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]

DESCRIPTION = yaml.safe_load((Path(__file__).parent / "fixtures" / "mobly-rest-api-v0.openapi.yml").read_text())
# The official file refers to this schema and does not define it; Mobly's help pages name these systems.
DESCRIPTION["components"]["schemas"]["IntegrationType"] = {
    "type": "string",
    "enum": ["MARKETO", "HUB_SPOT", "SALES_FORCE", "PARDOT", "PIPE_DRIVE", "ZOHO", "ELOQUA", "WEBHOOK"],
}
REGISTRY: Registry[Any] = Registry().with_resource("mobly", Resource.from_contents(DESCRIPTION, DRAFT4))
# The samples hold malformed addresses on purpose, so `email` is the one format that is not asserted.
FORMATS = OAS30Validator.FORMAT_CHECKER


def problems(schema_name: str, body: object) -> list[str]:
    schema = {"$ref": f"mobly#/components/schemas/{schema_name}"}
    validator = OAS30Validator(schema, registry=REGISTRY, format_checker=FORMATS)
    return [
        f"{list(error.path)}: {error.message}"
        for error in validator.iter_errors(body)
        if not (error.validator == "format" and error.validator_value == "email")
    ]


@pytest.fixture(scope="module")
def mobly() -> Iterator[FakeMobly]:
    with FakeMobly(Organisation.with_sample_leads(120, marketo_ids=[17]), per_second=1e6) as running:
        running.organisation.scan_badge(4712, "new.badge@polder.example", firstName="Noor")
        yield running


def get(mobly: FakeMobly, path: str, key: str | None = API_KEY, **query: str) -> requests.Response:
    headers = {} if key is None else {"x-api-key": key}
    return requests.get(mobly.url + path, params=query, headers=headers, timeout=10)


@pytest.mark.parametrize(
    ("path", "schema", "total"),
    [
        ("/events", "EventListResponse", 3),
        ("/leads", "LeadsListResponse", None),
        ("/tagGroups", "TagGroupsListResponse", 2),
        ("/events/4711/leads", "EventLeadsListResponse", None),
    ],
)
def test_lists_have_the_described_shape_and_page_by_page_index(
    mobly: FakeMobly, path: str, schema: str, total: int | None
) -> None:
    collection = re.sub(r"^.*/leads$", "eventLeads", path) if path.startswith("/events/") else path[1:]
    found: list[Json] = []
    page = 0
    while True:
        body = get(mobly, path, limit="25", offset=str(page)).json()
        assert problems(schema, body) == []
        assert body["pagination"] == {"limit": 25, "offset": page}
        found += body["results"][collection]
        page += 1
        if page * 25 >= body["results"]["total"]:
            break
    assert len(found) == body["results"]["total"]
    assert total is None or len(found) == total
    assert get(mobly, path, limit="25", offset=str(page)).json()["results"][collection] == []


def test_single_objects_have_the_described_shape(mobly: FakeMobly) -> None:
    lead = get(mobly, "/leads").json()["results"]["leads"][0]
    one = get(mobly, f"/leads/{lead['id']}").json()
    assert problems("LeadSingleResponse", one) == []
    assert one["results"] == lead
    assert problems("EventSingleResponse", get(mobly, "/events/4711").json()) == []


def test_the_default_page_holds_20_and_the_largest_50(mobly: FakeMobly) -> None:
    assert len(get(mobly, "/leads").json()["results"]["leads"]) == 20
    asked_for_more = get(mobly, "/leads", limit="51", offset="1").json()
    assert asked_for_more["pagination"] == {"limit": 50, "offset": 1}
    assert len(asked_for_more["results"]["leads"]) == 50


@pytest.mark.parametrize(
    ("path", "key", "query", "status"),
    [
        ("/events", None, {}, 401),
        ("/events", "another-key", {}, 403),
        ("/events/1/leads", API_KEY, {}, 404),
        ("/events/1", API_KEY, {}, 404),
        ("/leads/1", API_KEY, {}, 404),
        ("/nothing", API_KEY, {}, 404),
        ("/leads", API_KEY, {"limit": "0"}, 400),
        ("/leads", API_KEY, {"offset": "-1"}, 400),
    ],
)
def test_refusals_have_the_described_shape(
    mobly: FakeMobly, path: str, key: str | None, query: dict[str, str], status: int
) -> None:
    answer = get(mobly, path, key, **query)
    assert answer.status_code == status
    assert problems("ErrorResponse", answer.json()) == []


def test_the_limit_answers_429_with_a_waiting_time() -> None:
    with FakeMobly(Organisation(), burst=2, per_second=0.1) as slow:
        answers = [get(slow, "/events") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert [answer.headers["X-RateLimit-Remaining"] for answer in answers] == ["1", "0", "0"]
    assert {answer.headers["X-RateLimit-Limit"] for answer in answers} == {"2"}
    # A bucket of 2 with one more every 10 seconds is full again after 20.
    assert 18 <= int(answers[-1].headers["X-RateLimit-Reset"]) - time.time() <= 21
    assert problems("ErrorResponse", answers[-1].json()) == []
    assert 9 <= int(answers[-1].headers["Retry-After"]) <= 10


def test_a_second_scan_counts_and_makes_no_second_lead() -> None:
    organisation = Organisation.with_sample_leads(0)
    first = organisation.scan_badge(4711, "A.Visser@polder.example")
    assert organisation.scan_badge(4711, "a.visser@polder.example") == first
    organisation.pick_tag(first, "Wants a demo", "Yes")
    lead = organisation.lead(first)
    assert lead is not None
    assert (lead["numberOfScans"], [tag["value"] for tag in lead["tags"]]) == (2, ["Yes"])
    assert problems("LeadV0Response", lead) == []
    assert organisation.event_leads(4711) == [{"leadId": first, "registered": False, "checkedIn": True}]


def test_an_organisation_can_be_told_what_happens_to_a_person() -> None:
    text = {"id": str(uuid.uuid4()), "displayOrder": 1, "value": ""}
    notes = leads.WANTS_DEMO | {"name": "Notes", "tagOptions": [text]}
    organisation = Organisation(leads.EVENTS, [notes])
    person = organisation.register(4711, "someone@polder.example", firstName="Some")
    assert organisation.event_leads(4711) == [{"leadId": person, "registered": True, "checkedIn": False}]
    organisation.check_in(4711, person)
    organisation.list_lead(4712, person)
    organisation.update(person, isEnriched=True)
    organisation.answer(person, "Notes", 12.5)
    assert organisation.event_leads(4711) == [{"leadId": person, "registered": True, "checkedIn": True}]
    assert organisation.event_leads(4712) == [{"leadId": person, "registered": False, "checkedIn": False}]
    lead = organisation.lead(person)
    assert lead is not None
    assert (lead["isEnriched"], lead["tags"]) == (True, [{"tagOptionId": text["id"], "value": 12.5}])
    organisation.delete_event(4712)
    assert organisation.event_leads(4712) is None
