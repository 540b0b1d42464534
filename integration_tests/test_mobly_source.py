"""The low-code Mobly source, run by the CDK against the stand-in for Mobly."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from fake_mobly import FakeMobly, Organisation
from marketo_programs_demo import leads
from mobly_source import MANIFEST, MoblySource, records

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

STREAMS = ("events", "event_leads", "leads", "tag_groups", "captured_leads")
CAPTURES = 120


class Sync:
    """One full sync of every stream, kept for the tests that look at it."""

    def __init__(self, folder: Path) -> None:
        self.captured = list(leads.generate(CAPTURES, marketo_ids=[17, 18]))
        with FakeMobly(Organisation.with_sample_leads(CAPTURES, marketo_ids=[17, 18])) as mobly:
            source = MoblySource(folder, base_url=mobly.url, api_key=mobly.api_key)
            self.streams = {stream["name"]: stream for stream in source.streams()}
            self.exit_code, self.messages = source.read(source.catalog(*STREAMS))
            self.calls = list(mobly.calls)


@pytest.fixture(scope="module")
def sync(tmp_path_factory: pytest.TempPathFactory) -> Sync:
    return Sync(tmp_path_factory.mktemp("mobly"))


def without_nulls(record: Json) -> Json:
    return {name: value for name, value in record.items() if value is not None}


def test_every_stream_is_complete(sync: Sync) -> None:
    assert sync.exit_code == 0
    assert tuple(sync.streams) == STREAMS
    counts = {name: len(records(sync.messages, name)) for name in STREAMS}
    distinct = len({record["id"] for record in sync.captured})
    assert counts == {
        "events": 3, "event_leads": CAPTURES, "leads": distinct, "tag_groups": 2, "captured_leads": CAPTURES,
    }  # fmt: skip
    statuses = [
        message["trace"]["stream_status"]["status"]
        for message in sync.messages
        if message["type"] == "TRACE" and message["trace"]["type"] == "STREAM_STATUS"
    ]
    assert statuses.count("COMPLETE") == len(STREAMS)


def test_captured_leads_are_leads_with_event_flags_and_qualifier_names(sync: Sync) -> None:
    names = {option["id"]: group["name"] for group in leads.TAG_GROUPS for option in group["tagOptions"]}
    places = {(record["id"], record["event_id"]): record for record in sync.captured}
    # Mobly has one lead behind several captures: the first one's fields.
    first = {record["id"]: record for record in reversed(sync.captured)}
    for record in records(sync.messages, "captured_leads"):
        place = places.pop((record["id"], record["event_id"]))
        qualifiers: dict[str, list[str]] = {}
        for tag in first[record["id"]]["tags"]:
            qualifiers.setdefault(names[tag["tagOptionId"]], []).append(tag["value"])
        expected = first[record["id"]] | {
            "event_id": place["event_id"],
            "event_name": place["event_name"],
            "registered": place["registered"],
            "checkedIn": place["checkedIn"],
            "tags": [tag | {"qualifier": names[tag["tagOptionId"]]} for tag in first[record["id"]]["tags"]],
            "qualifiers": qualifiers,
        }
        # The CDK leaves out columns that are null.
        assert without_nulls(record) == without_nulls(expected)
    assert places == {}


def test_records_fit_the_schemas_and_keys_are_unique(sync: Sync) -> None:
    for name, stream in sync.streams.items():
        found = records(sync.messages, name)
        validator = jsonschema.Draft7Validator(stream["json_schema"])
        assert [error.message for record in found for error in validator.iter_errors(record)] == []
        paths = [path[0] for path in stream["source_defined_primary_key"]]
        keys = {tuple(record[path] for path in paths) for record in found}
        assert len(keys) == len(found)


def test_the_schemas_name_what_mobly_describes(sync: Sync) -> None:
    described = yaml.safe_load(
        (MANIFEST.parents[2] / "integration_tests" / "fixtures" / "mobly-rest-api-v0.openapi.yml").read_text()
    )["components"]["schemas"]

    def declared(stream: str) -> set[str]:
        return set(sync.streams[stream]["json_schema"]["properties"])

    assert declared("leads") == set(described["LeadV0Response"]["properties"])
    assert declared("events") == set(described["Event"]["properties"])
    assert declared("tag_groups") == set(described["TagGroupV0Response"]["properties"])
    beside = {"event_id", "event_name", "registered", "checkedIn"}
    assert declared("event_leads") == {"leadId"} | beside
    assert declared("captured_leads") == declared("leads") | beside | {"qualifiers"}


def test_it_stays_below_moblys_limit_and_pages_by_50(sync: Sync) -> None:
    assert {call.status for call in sync.calls} == {200}
    assert {call.query.get("limit") for call in sync.calls} == {"50"}
    assert {call.query.get("offset", "0") for call in sync.calls if call.path.endswith("/v0/leads")} == {"0", "1", "2"}
    assert not any("/leads/" in call.path for call in sync.calls)
    times = [call.at for call in sync.calls]
    busiest = max(sum(start <= at < start + 20 for at in times) for start in times)
    assert busiest <= 20


def test_the_key_is_a_secret(tmp_path: Path) -> None:
    with FakeMobly(Organisation(), per_second=1e6) as mobly:
        source = MoblySource(tmp_path, base_url=mobly.url, api_key="a-key-nobody-may-see")
        code, messages = source.run("check")
        refused = next(message["connectionStatus"] for message in messages if message["type"] == "CONNECTION_STATUS")
        assert code == 0
        assert refused["status"] == "FAILED"
        assert "Mobly refuses the API key" in refused["message"]
        assert "a-key-nobody-may-see" not in json.dumps(messages)
    specification = yaml.safe_load(MANIFEST.read_text())["spec"]["connection_specification"]
    assert specification["properties"]["api_key"]["airbyte_secret"] is True


def test_it_waits_as_long_as_mobly_says_and_loses_nothing(tmp_path: Path) -> None:
    organisation = Organisation.with_sample_leads(25)
    # Another client has used the key up, and pages come smaller than asked for.
    with FakeMobly(organisation, burst=4, per_second=5.0, largest_page=15) as mobly:
        source = MoblySource(tmp_path, base_url=mobly.url, api_key=mobly.api_key)
        code, messages = source.read(source.catalog("captured_leads"))
        statuses = [call.status for call in mobly.calls]
    assert code == 0
    assert len(records(messages, "captured_leads")) == 25
    assert 429 in statuses
