"""The messages people read when their configuration is wrong, frozen as texts."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import pytest

from destination_marketo_programs.config import load_settings

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

SECRET = "hJ8kq2Zw-not-for-any-log"

VALID: dict[str, Any] = {
    "domain_url": "https://123-ABC-456.mktorest.com/rest",
    "client_id": "0f3c-client",
    "client_secret": SECRET,
    "program_links": [{"event": "4711", "program_id": "PG1234A1", "program_status": "Registered"}],
}
LINK: dict[str, Any] = VALID["program_links"][0]
MAPPING: dict[str, Any] = {"value": "Yes", "program_status": "Engaged"}
S3: dict[str, Any] = {"storage_type": "S3", "s3_bucket_name": "outcomes", "s3_bucket_region": "eu-central-1"}


def link(**changes: Any) -> dict[str, Any]:
    return {"program_links": [LINK | changes]}


def mapping(**changes: Any) -> dict[str, Any]:
    return {"qualifier_mappings": [MAPPING | changes]}


CASES: dict[str, Any] = {
    # the instance
    "nothing filled in": dict.fromkeys(VALID),
    "blank credentials": {"client_id": "  ", "client_secret": ""},
    "credentials that are no text": {"client_id": 12345678, "client_secret": [SECRET]},
    "address of the identity service": {"domain_url": "https://123-ABC-456.mktorest.com/identity"},
    "address without https": {"domain_url": "123-ABC-456.mktorest.com"},
    "address with http": {"domain_url": "http://123-ABC-456.mktorest.com/rest"},
    "only the Munchkin ID": {"domain_url": "123-ABC-456"},
    "address of the web app": {"domain_url": "https://app-sj01.marketo.com/#MM0A1"},
    "address of a stranger": {"domain_url": f"https://user:{SECRET}@evil.example/rest"},
    "sandbox without port": {"domain_url": "http://localhost"},
    "sandbox with an impossible port": {"domain_url": "http://localhost:70000"},
    # program links
    "no program link": {"program_links": []},
    "program links that are no list": {"program_links": LINK},
    "program link that is no object": {"program_links": ["PG1234A1"]},
    "program link without program and status": {"program_links": [{"event": "4711"}]},
    "list in place of a program": link(program_id="ST1234A1"),
    "list by its URL": link(program_id="https://app-sj01.marketo.com/#ST1234A1LA1"),
    "folder in place of a program": link(program_id="mf99a1"),
    "smart campaign in place of a program": link(program_id="https://app-sj01.marketo.com/#SC1234A1"),
    "URL of something else": link(program_id="https://app-sj01.marketo.com/#/classic/home"),
    "name in place of a program ID": link(program_id="Spring Summit"),
    "program number zero": link(program_id="0"),
    "program ID of a wrong type": link(program_id=True),
    "threshold that is no number": link(lead_scan_threshold="two"),
    "threshold below zero": link(lead_scan_threshold=-1),
    "unknown choice": link(unmapped_qualifier="Skipp"),
    "key with a slip": link(program_stats="Attended"),
    "key unlike any other": link(xyz=1),
    "key unknown at the top": {"programlinks": []},
    "event that is a list": link(event=["4711"]),
    "same link twice": {"program_links": [LINK, LINK | {"event": "4712"}, LINK | {"program_status": "Attended"}]},
    # qualifier mappings
    "qualifier mapping without value": mapping(value=""),
    "qualifier mapping for an unlinked program": mapping(program_id="ME9999A1"),
    "qualifier left blank with custom records": mapping() | {"record_mapping": {"mapping_type": "custom"}},
    # record and field mappings
    "record mapping without a choice": {"record_mapping": {}},
    "record mapping of an unknown kind": {"record_mapping": {"mapping_type": "Costum"}},
    "column given with Mobly leads": {"record_mapping": {"mapping_type": "mobly", "email": "mail"}},
    "field mapped twice": {
        "field_mappings": [
            {"record_field": "title", "marketo_field": "title"},
            {"record_field": "note", "marketo_object": "program_member", "marketo_field": "title"},
            {"record_field": "job.title", "marketo_field": "title"},
        ]
    },
    # people
    "lookup field that nothing fills": {"lead_sync": {"lookup_field": "employeeId"}},
    "lookup field id": {"lead_sync": {"lookup_field": "id"}},
    "unknown mode": {"lead_sync": {"mode": "createOrUpdate"}},
    # storage
    "storage of an unknown kind": {"object_storage_config": {"storage_type": "s3"}},
    "path given without storage": {"object_storage_config": {"storage_type": "None", "path": "/local/marketo"}},
    "bucket without a name": {"object_storage_config": {"storage_type": "S3", "s3_bucket_region": "eu-central-1"}},
    "bucket without a region": {"object_storage_config": S3 | {"s3_bucket_region": ""}},
    "access key without secret": {"object_storage_config": S3 | {"access_key_id": SECRET}},
    "secret without access key": {"object_storage_config": S3 | {"secret_access_key": SECRET}},
    "secret that is no text": {
        "object_storage_config": S3 | {"access_key_id": "x", "secret_access_key": {"key": SECRET}}
    },
    "endpoint that is no address": {"object_storage_config": S3 | {"s3_endpoint": f"https://me:{SECRET}@minio:9000"}},
    # delivery
    "pace above Marketo's": {"delivery": {"calls_per_20_seconds": 200, "concurrent_calls": 11}},
    "half a call": {"delivery": {"concurrent_calls": 2.5}},
    "budget of nothing": {"delivery": {"daily_call_budget": 0}},
    "budget in words": {"delivery": {"daily_call_budget": "all"}},
    "flag in place of a number": {"delivery": {"max_batch_age_seconds": True}},
    "waiting for too long": {"delivery": {"max_batch_age_seconds": 901}},
    "flag that is none": {"delivery": {"dry_run": "perhaps"}},
    "delivery that is no object": {"delivery": "bulk"},
    "bulk with all that rules it out": {
        "delivery": {"method": "bulk"},
        "field_mappings": [{"record_field": "staff_no", "marketo_field": "employeeId"}],
        "lead_sync": {
            "mode": "match_only",
            "lookup_field": "employeeId",
            "partition_name": "EMEA",
            "duplicate_leads": "most_recently_updated",
        },
    },
}


def told(raw: Any, *, cloud: bool = False) -> str:
    return "\n".join(str(problem) for problem in load_settings(raw, cloud=cloud).problems)


@pytest.mark.parametrize("case", CASES)
def test_message(case: str, snapshot: SnapshotAssertion) -> None:
    text = told(VALID | copy.deepcopy(CASES[case]))

    assert SECRET not in text
    assert text == snapshot


@pytest.mark.parametrize(
    "changes",
    [{"domain_url": "http://localhost:8700"}, {"object_storage_config": {"storage_type": "Local"}}],
    ids=["sandbox", "local folder"],
)
def test_message_on_airbyte_cloud(changes: dict[str, Any], snapshot: SnapshotAssertion) -> None:
    assert told(VALID | changes) == ""
    assert told(VALID | changes, cloud=True) == snapshot


@pytest.mark.parametrize("raw", [None, [], "text", 7], ids=str)
def test_message_for_no_object(raw: Any, snapshot: SnapshotAssertion) -> None:
    assert told(raw) == snapshot


def test_all_problems_are_told_at_once_in_the_order_of_the_form(snapshot: SnapshotAssertion) -> None:
    raw = {
        "delivery": {"method": "bulk", "concurrent_calls": 99, "speed": "high"},
        "lead_sync": {"partition_name": "EMEA"},
        "qualifier_mappings": [MAPPING, MAPPING | {"program_id": "77"}],
        "program_links": [LINK, LINK, LINK | {"lead_scan_threshold": 1, "stream": "b", "note": "x"}],
        "client_id": "id",
        "domain_url": "https://evil.example",
    }

    problems = load_settings(raw, cloud=False).problems

    assert [problem.path for problem in problems] == [
        "domain_url",
        "client_secret",
        "program_links[1]",
        "program_links[2].note",
        "delivery.concurrent_calls",
        "delivery.speed",
    ]
    assert "\n".join(map(str, problems)) == snapshot


def test_contradictions_are_told_beside_unreadable_values() -> None:
    raw = VALID | {
        "domain_url": "https://evil.example",
        "delivery": {"method": "bulk"},
        "lead_sync": {"partition_name": "EMEA"},
        **mapping(program_id="77"),
    }

    loaded = load_settings(raw, cloud=False)

    assert loaded.settings is None
    assert [problem.path for problem in loaded.problems] == [
        "domain_url",
        "qualifier_mappings[0].program_id",
        "delivery.method",
    ]
