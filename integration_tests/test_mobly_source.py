"""The low-code Mobly source, run by the CDK against the stand-in for Mobly."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from airbyte_cdk.sources.declarative.interpolation import InterpolatedString
from fake_mobly import FakeMobly, Organisation, TokenBucket
from marketo_programs_demo import leads
from mobly_source import MANIFEST, REPOSITORY, MoblySource, records

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


def by_place(messages: list[Json]) -> dict[tuple[int, str], Json]:
    return {(one["event_id"], one["id"]): one for one in records(messages, "captured_leads")}


def attendance(place: Json) -> str:
    """The sample's events are over, so that everyone is accounted for."""
    if place["checkedIn"]:
        return "Attended" if place["registered"] else "Walk-in"
    return "No Show"


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
            "attendance": attendance(place),
            "email_source": "email" if first[record["id"]]["email"] else None,
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

    # Newer than the description.
    assert declared("leads") == set(described["LeadV0Response"]["properties"]) | {
        "professionalEmails",
        "personalEmails",
    }
    assert declared("events") == set(described["Event"]["properties"]) | {"createdByEmail"}
    assert declared("tag_groups") == set(described["TagGroupV0Response"]["properties"])
    beside = {"event_id", "event_name", "registered", "checkedIn"}
    assert declared("event_leads") == {"leadId"} | beside
    assert declared("captured_leads") == declared("leads") | beside | {"attendance", "email_source", "qualifiers"}


def test_it_stays_below_moblys_limit_and_pages_by_50(sync: Sync) -> None:
    assert {call.status for call in sync.calls} == {200}
    assert {call.query.get("limit") for call in sync.calls} == {"50"}
    # The streams `leads` and `captured_leads`, each page once.
    pages = [call.query.get("offset", "0") for call in sync.calls if call.path.endswith("/v0/leads")]
    assert sorted(pages) == ["0", "0", "1", "1", "2", "2"]
    assert not any("/leads/" in call.path for call in sync.calls)
    times = [call.at for call in sync.calls]
    busiest = max(sum(start <= at < start + 20 for at in times) for start in times)
    assert busiest <= 20


def test_a_state_of_an_earlier_sync_changes_nothing(sync: Sync, tmp_path: Path) -> None:
    states = [message["state"] for message in sync.messages if message["type"] == "STATE"]
    assert "captured_leads" in {state["stream"]["stream_descriptor"]["name"] for state in states}
    with FakeMobly(Organisation.with_sample_leads(CAPTURES, marketo_ids=[17, 18]), per_second=1e6) as mobly:
        source = MoblySource(tmp_path, base_url=mobly.url, api_key=mobly.api_key)
        code, messages = source.read(source.catalog("captured_leads"), states)
    assert code == 0
    assert by_place(messages) == by_place(sync.messages)


def test_the_connector_builder_reads_it_without_complaint(tmp_path: Path) -> None:
    stream = {"name": "captured_leads", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
    configured = {"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}
    with FakeMobly(Organisation.with_sample_leads(CAPTURES), per_second=1e6) as mobly:
        contents: Json = {
            "config": {
                "base_url": mobly.url,
                "api_key": mobly.api_key,
                "__injected_declarative_manifest": yaml.safe_load(MANIFEST.read_text()),
                "__command": "test_read",
                "__test_read_config": {"max_pages_per_slice": 5, "max_slices": 5, "max_records": 100},
            },
            "catalog": {"streams": [configured]},
            "state": [],
        }
        arguments = []
        for name, content in contents.items():
            path = tmp_path / f"{name}.json"
            path.write_text(json.dumps(content))
            arguments += [f"--{name}", str(path)]
        command = [sys.executable, "-m", "airbyte_cdk.connector_builder.main", "read", *arguments]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    (answer,) = [
        message["record"]["data"]
        for message in map(json.loads, finished.stdout.splitlines())
        if message["type"] == "RECORD"
    ]
    # Whatever is deprecated or wrong would be told here, beside the records.
    assert answer["logs"] == []
    assert sum(len(page["records"]) for one in answer["slices"] for page in one["pages"]) >= 100


@pytest.mark.parametrize(
    ("key", "told"),
    [
        (" ", "Mobly received no API key (HTTP 401)"),
        ("a-key-nobody-may-see", "Mobly does not accept this API key (HTTP 403)"),
    ],
)
def test_a_missing_and_a_wrong_key_are_told_apart(tmp_path: Path, key: str, told: str) -> None:
    with FakeMobly(Organisation(), per_second=1e6) as mobly:
        code, messages = MoblySource(tmp_path, base_url=mobly.url, api_key=key).run("check")
    refused = next(message["connectionStatus"] for message in messages if message["type"] == "CONNECTION_STATUS")
    assert (code, refused["status"]) == (0, "FAILED")
    assert told in refused["message"]
    assert "a-key-nobody-may-see" not in json.dumps(messages)


def test_the_key_is_a_secret_and_blanks_around_it_do_no_harm(tmp_path: Path) -> None:
    with FakeMobly(Organisation(leads.EVENTS), per_second=1e6) as mobly:
        _, messages = MoblySource(tmp_path, base_url=mobly.url, api_key=f" {mobly.api_key}\n").run("check")
    (status,) = [message["connectionStatus"] for message in messages if message["type"] == "CONNECTION_STATUS"]
    assert status["status"] == "SUCCEEDED"
    specification = yaml.safe_load(MANIFEST.read_text())["spec"]["connection_specification"]
    assert specification["properties"]["api_key"]["airbyte_secret"] is True


class Shared(TokenBucket):
    """Another client has taken all but some tokens just before the first call."""

    def __init__(self, burst: int, per_second: float, *, left: int) -> None:
        super().__init__(burst, per_second)
        self._left: int | None = left

    def seconds_to_wait(self) -> float:
        if self._left is not None:
            left, self._left = self._left, None
            super().seconds_to_wait()
            self._tokens = float(left)
        return super().seconds_to_wait()


def test_it_waits_as_long_as_mobly_says_and_loses_nothing(tmp_path: Path) -> None:
    # Pages come smaller than asked for, too.
    with FakeMobly(Organisation.with_sample_leads(60), largest_page=15) as mobly:
        mobly.bucket = Shared(burst=10, per_second=5.0, left=0)
        source = MoblySource(tmp_path, base_url=mobly.url, api_key=mobly.api_key, calls_at_once=5, calls_per_second=5)
        code, messages = source.read(source.catalog("captured_leads"))
        calls = list(mobly.calls)
    assert code == 0
    assert len(records(messages, "captured_leads")) == 60
    # `Retry-After` was one second, which is longer than the bucket took.
    assert [call.status for call in calls][:2] == [429, 200]
    assert calls[1].at - calls[0].at >= 1
    assert calls[1].path == calls[0].path


def test_an_empty_bucket_is_left_to_fill_up(tmp_path: Path) -> None:
    with FakeMobly(Organisation.with_sample_leads(60), largest_page=15) as mobly:
        mobly.bucket = Shared(burst=4, per_second=2.0, left=1)
        source = MoblySource(tmp_path, base_url=mobly.url, api_key=mobly.api_key, calls_at_once=4, calls_per_second=2)
        code, messages = source.read(source.catalog("captured_leads"))
        calls = list(mobly.calls)
    assert (code, len(records(messages, "captured_leads"))) == (0, 60)
    # The first answer said that nothing remained, so nobody had to be refused.
    assert {call.status for call in calls} == {200}
    assert calls[1].at - calls[0].at >= 1.9


@pytest.mark.parametrize(("at_once", "per_second"), [(20, 1), (3, 2), (1, 1), (50, 10)])
def test_calls_never_exceed_the_limit_of_the_settings(at_once: int, per_second: float) -> None:
    limits = yaml.safe_load(MANIFEST.read_text())["api_budget"]["policies"][0]["rates"]
    config = {"calls_at_once": at_once, "calls_per_second": per_second}
    counting = [
        (int(InterpolatedString.create(rate["limit"], parameters={}).eval(config)), int(rate["interval"][2:-1]))
        for rate in limits
    ]
    counting = [(limit, seconds) for limit, seconds in counting if limit < 1_000_000]
    # As many calls at once as the shortest window allows, and in the long run the rate.
    assert counting[0][0] <= at_once
    assert all(limit <= per_second * seconds for limit, seconds in counting)
    assert counting[-1][0] / counting[-1][1] == per_second


@pytest.mark.slow
def test_a_sync_of_20000_captures_at_40_events_costs_half_a_minute_of_a_core_at_most() -> None:
    benchmark = REPOSITORY / "benchmarks" / "bench_mobly.py"
    subprocess.run(
        [sys.executable, str(benchmark), "--captures", "20000"], timeout=290, check=True, capture_output=True
    )
    (row,) = json.loads((benchmark.parent / "results" / "mobly.json").read_text())["rows"]
    assert row["Captures"] == "20,000"
    # One page of qualifiers, one of events, the leads once, and each event's list.
    assert row["Calls to Mobly"] < 850
    assert row["CPU s"] <= 30
    assert row["Peak MB"] <= 300
