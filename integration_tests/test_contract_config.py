"""Section by section what the configuration may say, and what each mistake is answered with."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from harness import Connector, Json, record, state
from strict_marketo import StrictMarketo

from destination_marketo_programs.config import load_settings

if TYPE_CHECKING:
    from destination_marketo_programs.config import Settings

MINIMAL: Json = {
    "domain_url": "https://123-ABC-456.mktorest.com",
    "client_id": "an id",
    "client_secret": "a secret",
    "program_links": [{"program_id": "1234", "program_status": "Registered"}],
}
FULL: Json = {
    "domain_url": "https://123-ABC-456.mktorest.com",
    "client_id": "…",
    "client_secret": "…",
    "program_links": [
        {"event": "4711", "program_id": "PG1234A1", "program_status": "Registered",
         "stream": "", "lead_scan_threshold": 0, "unmapped_qualifier": "use_program_status", "allow_archived": False}],
    "qualifier_mappings": [
        {"program_id": "1234", "qualifier": "", "value": "Yes", "program_status": "Engaged"}],
    "record_mapping": {"mapping_type": "mobly"},
    "field_mappings": [{"record_field": "job.title", "marketo_object": "lead", "marketo_field": "title",
                        "write": "auto"}],
    "lead_sync": {"mode": "create_or_update", "lookup_field": "email", "partition_name": "",
                  "blank_values": "keep", "duplicate_leads": "most_recently_updated",
                  "send": "everything", "send_again_after_days": 30,
                  "acquisition_program": "leave", "excluded_email_domains": []},
    "object_storage_config": {"storage_type": "None"},
    "delivery": {"method": "auto", "calls_per_20_seconds": 50, "concurrent_calls": 5, "daily_call_budget": 40000,
                 "max_batch_age_seconds": 60, "on_rejected": "continue", "dry_run": False,
                 "wait_for_other_sync_minutes": 60},
}  # fmt: skip
"""The contract's own example."""


def settings(cloud: bool = False, **changes: Any) -> Settings:
    loaded = load_settings({**MINIMAL, **changes}, cloud=cloud)
    assert loaded.settings is not None, loaded.problems
    assert list(loaded.problems) == []
    return loaded.settings


def problems(config: Any, cloud: bool = False) -> dict[str, str]:
    """Message and fix by path."""
    loaded = load_settings(config, cloud=cloud)
    return {problem.path: f"{problem.message} {problem.fix}" for problem in loaded.problems}


def link(**changes: Any) -> list[Json]:
    return [{"program_id": "1234", "program_status": "Registered", **changes}]


def at(path: str, value: Any, base: Json = FULL) -> Json:
    """The configuration with one value replaced, `path` as messages write it; ... removes it."""
    config: Json = json.loads(json.dumps(base))
    *way, last = path.replace("[", ".[").split(".")
    place: Any = config
    for step in way:
        place = place[int(step[1:-1])] if step.startswith("[") else place[step]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return config


def test_the_example_of_the_contract() -> None:
    assert load_settings(FULL, cloud=False).problems == load_settings(MINIMAL, cloud=False).problems
    full = load_settings(FULL, cloud=True).settings
    assert full is not None
    assert full.delivery.daily_call_budget == 40_000


def test_the_defaults() -> None:
    """What the example shows is what counts where nothing is said."""
    plain, full = settings(), load_settings(at("delivery.daily_call_budget", ...), cloud=False).settings
    assert full is not None
    for name in ("record_mapping", "lead_sync", "object_storage_config", "delivery"):
        assert getattr(plain, name) == getattr(full, name)
    assert plain.qualifier_mappings == ()
    assert plain.field_mappings == ()
    assert plain.delivery.daily_call_budget is None
    found = plain.program_links[0]
    assert (found.event, found.stream, found.lead_scan_threshold, found.unmapped_qualifier) == (
        "", "", 0, "use_program_status",
    )  # fmt: skip
    local = settings(object_storage_config={"storage_type": "Local"}).object_storage_config
    assert getattr(local, "path", None) == "/local/marketo"
    custom = settings(record_mapping={"mapping_type": "custom"}).record_mapping
    assert custom.model_dump() == {
        "mapping_type": "custom", "email": "email", "marketo_lead_id": "", "event": "event_id", "event_name": "",
        "scan_count": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    "address",
    [
        "https://123-ABC-456.mktorest.com",
        "https://123-ABC-456.mktorest.com/",
        "https://123-ABC-456.mktorest.com/rest",
        "https://123-ABC-456.mktorest.com/rest/",
        "https://123-ABC-456.mktorest.com//",
        "123-ABC-456/rest",
    ],
)
def test_addresses(address: str) -> None:
    assert settings(domain_url=address).domain_url == "https://123-ABC-456.mktorest.com"


@pytest.mark.parametrize("address", ["http://localhost:8080", "http://127.0.0.1:8080/", "http://localhost:8080/rest"])
def test_the_sandbox_is_accepted_but_in_the_cloud(address: str) -> None:
    assert settings(domain_url=address).domain_url.endswith(":8080")
    assert "domain_url" in problems({**MINIMAL, "domain_url": address}, cloud=True)


@pytest.mark.parametrize(
    "address",
    [
        "http://123-ABC-456.mktorest.com",
        "https://123-ABC-456.mktorest.com.evil.example",
        "https://evil.example/123-ABC-456.mktorest.com",
        "https://evil.example",
        "https://user@123-ABC-456.mktorest.com",
        "https://123-ABC-456.mktorest.com@evil.example",
        "https://123-ABC-456.mktorest.com:8443",
        "https://123-ABC-456.mktorest.com#.evil.example",
        "https://123-ABC-456.mktorest.com\n.evil.example",
        "https://localhost:8080",
        "http://localhost",
        "http://localhost:8080@evil.example",
        "http://169.254.169.254:80",
        "http://0.0.0.0:80",
        "http://[::1]:80",
        "ftp://127.0.0.1:80",
        "",
        None,
        7,
    ],
)
def test_every_other_address_is_refused(address: Any) -> None:
    assert set(problems({**MINIMAL, "domain_url": address})) == {"domain_url"}


def test_no_credential_leaves_for_an_address_that_is_refused(connector: Connector) -> None:
    with StrictMarketo() as marketo:
        config = {**MINIMAL, "domain_url": marketo.url}
        checked = connector.check(config, DEPLOYMENT_MODE="CLOUD")
        written = connector.write(config, [record({"email": "a@example.org"}), state(1)], DEPLOYMENT_MODE="cloud")
        assert marketo.calls == []
    assert checked.of("CONNECTION_STATUS")[0]["connectionStatus"]["status"] == "FAILED"
    assert "domain_url" in checked.text
    assert written.code == 1
    assert written.error["failure_type"] == "config_error"
    assert "domain_url" in written.error["message"]
    assert written.states == []


@pytest.mark.parametrize(
    "given",
    [
        "1234", 1234, " 1234 ", "PG1234A1", "ME1234A1", "NP1234B2", "EBP1234A1", "AB1234C1", "pg1234a1",
        "https://app-sj99.marketo.com/#PG1234A1", "https://app-sj99.marketo.com/#ME1234A1",
        "https://experience.adobe.com/#/@org/so:123-ABC-456/marketo-engage/classic/PG1234A1",
        "https://engage-ab.marketo.com/?munchkinId=123-ABC-456#/classic/ME1234A1",
        "https://app-sj99.marketo.com/#ME1234A1/", "app-sj99.marketo.com/#ME1234A1", "ME1234A1/", "1234/",
    ],
)  # fmt: skip
def test_program_ids(given: Any) -> None:
    assert settings(program_links=link(program_id=given)).program_links[0].program_id == 1234


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ("ST1234A1", "list"), ("MF1234A1", "folder"), ("SC1234A1", "campaign"), ("st1234a1", "list"),
        ("https://app-sj99.marketo.com/#ST1234A1", "list"), ("https://app-sj99.marketo.com/#MF1234A1", "folder"),
        ("app-sj99.marketo.com/#SC1234A1", "campaign"), ("https://app-sj99.marketo.com/#SC1234A1/", "campaign"),
    ],
)  # fmt: skip
def test_what_is_no_program_is_refused_by_name(given: str, kind: str) -> None:
    found = problems({**MINIMAL, "program_links": link(program_id=given)})
    assert set(found) == {"program_links[0].program_id"}
    assert kind in found["program_links[0].program_id"]


@pytest.mark.parametrize("given", ["", None, "abc", "12.5", "0", -1, True, [], {}, "PG1234", "1234A1"])
def test_what_is_no_program_id_at_all(given: Any) -> None:
    assert set(problems({**MINIMAL, "program_links": link(program_id=given)})) == {"program_links[0].program_id"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("domain_url", ...), ("client_id", ...), ("client_secret", ...), ("client_secret", " "), ("program_links", ...),
        ("program_links", []), ("program_links", "x"), ("program_links[0].program_id", ...),
        ("program_links[0].program_status", ...), ("program_links[0].program_status", None),
        ("program_links[0].lead_scan_threshold", -1), ("program_links[0].lead_scan_threshold", "many"),
        ("program_links[0].unmapped_qualifier", "ignore"), ("program_links[0].event", {"a": 1}),
        ("qualifier_mappings[0].value", ...), ("qualifier_mappings[0].program_status", ...),
        ("qualifier_mappings[0].program_id", "99"), ("qualifier_mappings[0].program_id", "ST12A1"),
        ("record_mapping.mapping_type", "hubspot"), ("field_mappings[0].marketo_object", "company"),
        ("field_mappings[0].record_field", ...), ("field_mappings[0].marketo_field", ""),
        ("lead_sync.mode", "upsert"), ("lead_sync.lookup_field", "id"), ("lead_sync.lookup_field", "badgeId"),
        ("lead_sync.blank_values", "drop"), ("lead_sync.duplicate_leads", "first"),
        ("object_storage_config.storage_type", "GCS"), ("delivery.method", "soap"),
        ("delivery.calls_per_20_seconds", 0),
        ("delivery.calls_per_20_seconds", 101), ("delivery.concurrent_calls", 11), ("delivery.concurrent_calls", 0),
        ("delivery.daily_call_budget", 0), ("delivery.daily_call_budget", "many"),
        ("delivery.max_batch_age_seconds", 0), ("delivery.on_rejected", "stop"), ("delivery.dry_run", "perhaps"),
    ],
)  # fmt: skip
def test_each_mistake_is_named_by_its_path(path: str, value: Any) -> None:
    found = problems(at(path, value))
    assert path in {name.replace("S3.", "") for name in found}, found
    assert "a secret" not in str(found)


@pytest.mark.parametrize(
    "path",
    [
        "typo", "program_links[0].typo", "qualifier_mappings[0].typo", "record_mapping.typo", "field_mappings[0].typo",
        "lead_sync.typo", "object_storage_config.typo", "delivery.typo",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["x", None, ""])
def test_unknown_keys_are_refused(path: str, value: Any) -> None:
    assert set(problems(at(path, value))) == {path}


def test_a_link_that_repeats_another_is_refused() -> None:
    links = [*link(event="1"), *link(event="1", program_status="Attended"), *link(event="2"), *link(stream="x")]
    assert set(problems({**MINIMAL, "program_links": links})) == {"program_links[1]"}


def test_all_mistakes_are_told_at_once() -> None:
    config = at("delivery.method", "soap")
    config["program_links"] = [{"program_id": "ST1A1"}, {"program_id": "5", "program_status": "x", "typo": 1}]
    config["domain_url"] = "https://example.com"
    assert {
        "domain_url", "program_links[0].program_id", "program_links[0].program_status", "program_links[1].typo",
        "delivery.method",
    } <= set(problems(config))  # fmt: skip


@pytest.mark.parametrize("config", [None, [], "text", 7, {}])
def test_what_is_no_configuration_at_all(connector: Connector, config: Any) -> None:
    """`check` says so and never raises."""
    result = connector.check(config if config is not None else "null")
    (status,) = result.of("CONNECTION_STATUS")
    assert status["connectionStatus"]["status"] == "FAILED"
    assert result.code == 0


@pytest.mark.parametrize(
    "storage",
    [
        {"storage_type": "S3", "s3_bucket_name": "b", "s3_bucket_region": "eu-central-1", "bucket_path": "p",
         "access_key_id": "AK", "secret_access_key": "SK", "role_arn": "", "s3_endpoint": ""},
        {"storage_type": "S3", "s3_bucket_name": "b", "s3_bucket_region": "eu-central-1"},
        {"storage_type": "S3", "s3_bucket_name": "b", "s3_endpoint": "http://127.0.0.1:9000", "access_key_id": "AK",
         "secret_access_key": "SK"},
        {"storage_type": "Local", "path": "/local/x"},
        {"storage_type": "None"},
    ],
)  # fmt: skip
def test_storages(storage: Json) -> None:
    found = settings(object_storage_config=storage).object_storage_config.model_dump()
    assert {name: found[name] for name in storage} == storage


def test_text_and_numbers_are_read_where_only_one_reading_is_possible() -> None:
    links = link(event=4711, lead_scan_threshold="3", program_status=5)
    found = settings(program_links=links).program_links[0]
    assert (found.event, found.lead_scan_threshold, found.program_status) == ("4711", 3, "5")


def test_a_blank_domain_does_not_shift_the_path_of_the_next_one() -> None:
    sync = {"excluded_email_domains": ["example.com", " ", None, "x y"]}
    assert set(problems({**MINIMAL, "lead_sync": sync})) == {"lead_sync.excluded_email_domains[3]"}
    sync["excluded_email_domains"].pop()
    assert settings(lead_sync=sync).lead_sync.excluded_email_domains == ("example.com",)


def test_null_and_blank_count_as_absent() -> None:
    """As forms send them."""
    blocks = (
        "qualifier_mappings",
        "record_mapping",
        "field_mappings",
        "lead_sync",
        "object_storage_config",
        "delivery",
    )
    nulls: dict[str, Any] = dict.fromkeys(blocks)
    assert settings(**nulls) == settings()
    links = link(event=None, stream=None, lead_scan_threshold=None, unmapped_qualifier="")
    assert settings(program_links=links) == settings()
