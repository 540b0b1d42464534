"""The spec against Airbyte's own rules, against the reader of the configuration, and against a frozen copy."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from airbyte_cdk.utils.airbyte_secrets_utils import get_secrets

from destination_marketo_programs.config import (
    connection_specification,
    connector_spec,
    load_settings,
    reference_rows,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from syrupy.assertion import SnapshotAssertion

FULL: dict[str, Any] = {
    "domain_url": "https://123-ABC-456.mktorest.com",
    "client_id": "id",
    "client_secret": "secret",
    "program_links": [
        {
            "event": "4711",
            "program_id": "PG1234A1",
            "program_status": "Registered",
            "stream": "",
            "lead_scan_threshold": 0,
            "unmapped_qualifier": "use_program_status",
        }
    ],
    "qualifier_mappings": [{"program_id": "1234", "qualifier": "", "value": "Yes", "program_status": "Engaged"}],
    "record_mapping": {"mapping_type": "mobly"},
    "field_mappings": [{"record_field": "job.title", "marketo_object": "lead", "marketo_field": "title"}],
    "lead_sync": {
        "mode": "create_or_update",
        "lookup_field": "email",
        "partition_name": "",
        "blank_values": "keep",
        "duplicate_leads": "reject",
    },
    "object_storage_config": {"storage_type": "None"},
    "delivery": {
        "method": "auto",
        "calls_per_20_seconds": 50,
        "concurrent_calls": 5,
        "daily_call_budget": 40000,
        "max_batch_age_seconds": 60,
        "on_rejected": "continue",
        "dry_run": False,
    },
}
S3 = {
    "storage_type": "S3",
    "s3_bucket_name": "outcomes",
    "s3_bucket_region": "eu-central-1",
    "bucket_path": "",
    "access_key_id": "key",
    "secret_access_key": "other",
    "role_arn": "",
    "s3_endpoint": "",
}
CUSTOM = {
    "mapping_type": "custom",
    "email": "email",
    "marketo_lead_id": "",
    "event": "event_id",
    "event_name": "",
    "scan_count": "",
}

ALLOWED_KEYWORDS = {
    *("title", "description", "type", "const", "enum", "default", "minimum", "maximum", "pattern", "minItems"),
    *("items", "oneOf", "required", "additionalProperties", "properties", "examples"),
    *("pattern_descriptor", "airbyte_secret", "always_show", "group", "order"),
}


def schemas(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(inner, f"{path}.{name}")
    for index, inner in enumerate(schema.get("oneOf", ())):
        yield from schemas(inner, f"{path}<{index}>")
    if "items" in schema:
        yield from schemas(schema["items"], f"{path}[]")


ALL = dict(schemas(connection_specification()))
PROPERTIES = {path: schema for path, schema in ALL.items() if path and not path.endswith(("]", ">"))}


def test_spec_is_frozen(snapshot: SnapshotAssertion) -> None:
    assert json.dumps(connector_spec(), indent=2) == snapshot


def test_reference_is_frozen(snapshot: SnapshotAssertion) -> None:
    assert [tuple(row) for row in reference_rows()] == snapshot


# In a process of its own: importing the CDK's test suites under pytest asks for their markers in our settings.
LINT = """
import json, sys
from airbyte_cdk.models import ConnectorSpecificationSerializer
from airbyte_cdk.test.standard_tests._spec_lint import assert_spec_is_valid

spec = ConnectorSpecificationSerializer.load(json.load(sys.stdin))
assert_spec_is_valid(spec, connector_name="destination-marketo-programs")
print(json.dumps(ConnectorSpecificationSerializer.dump(spec)))
"""


def lint(spec: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", LINT],
        input=json.dumps(spec),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_spec_passes_the_lint_of_the_cdk_and_survives_its_model() -> None:
    run = lint(connector_spec())

    assert run.returncode == 0, run.stderr
    survived = json.loads(run.stdout)
    assert {key: survived[key] for key in connector_spec()} == connector_spec()


def test_the_lint_of_the_cdk_sees_a_secret_without_its_mark() -> None:
    spec = connector_spec()
    del spec["connectionSpecification"]["properties"]["client_secret"]["airbyte_secret"]

    run = lint(spec)

    assert run.returncode == 1
    assert "client_secret` looks like a secret" in run.stderr


def test_spec_is_a_sound_schema_that_takes_the_documented_configuration() -> None:
    schema = connection_specification()
    jsonschema.Draft7Validator.check_schema(schema)

    for config in (FULL, FULL | {"object_storage_config": S3, "record_mapping": CUSTOM}):
        jsonschema.validate(config, schema)


@pytest.mark.parametrize("config", [FULL, FULL | {"object_storage_config": S3}], ids=["mobly", "s3"])
def test_the_documented_configuration_is_read_without_a_problem(config: dict[str, Any]) -> None:
    assert load_settings(config, cloud=True).problems == []


def test_the_cdk_masks_every_secret() -> None:
    config = FULL | {"object_storage_config": S3}
    settings = load_settings(config, cloud=False).settings

    assert settings is not None
    assert set(get_secrets(connection_specification(), config)) == set(settings.secrets())


@pytest.mark.parametrize("path", ALL)
def test_only_keywords_that_the_form_knows_are_used(path: str) -> None:
    schema = {key: value for key, value in ALL[path].items() if path or key not in {"$schema", "groups"}}

    assert set(schema) <= ALLOWED_KEYWORDS
    assert isinstance(schema["type"], str)
    assert schema["type"] in {"object", "array", "string", "integer", "boolean"}


@pytest.mark.parametrize("path", PROPERTIES)
def test_every_setting_is_described_and_ordered(path: str) -> None:
    schema = PROPERTIES[path]

    assert schema["title"]
    assert schema["description"].endswith(".")
    assert "`" not in schema["description"]
    assert "order" in schema
    assert schema.get("pattern") is None or schema["pattern_descriptor"]


@pytest.mark.parametrize("path", [path for path, schema in ALL.items() if "properties" in schema])
def test_objects_are_open_not_empty_and_in_order(path: str) -> None:
    schema = ALL[path]

    assert schema["additionalProperties"] is True
    assert [inner["order"] for inner in schema["properties"].values()] == list(range(len(schema["properties"])))
    assert set(schema.get("required", ())) <= set(schema["properties"])
    for name in schema.get("required", ()):
        assert "always_show" not in schema["properties"][name]


@pytest.mark.parametrize("path", [path for path, schema in ALL.items() if "oneOf" in schema])
def test_choices_share_one_constant_that_tells_them_apart(path: str) -> None:
    choices = ALL[path]["oneOf"]
    shared = set.intersection(*(set(choice["properties"]) for choice in choices))
    constant = [name for name in shared if all("const" in choice["properties"][name] for choice in choices)]

    assert ALL[path]["type"] == "object"
    assert len(constant) == 1
    markers = [choice["properties"][constant[0]] for choice in choices]
    assert len({marker["const"] for marker in markers}) == len(choices)
    for choice, marker in zip(choices, markers, strict=True):
        assert marker["default"] == marker["const"]
        assert marker["type"] == "string"
        assert "enum" not in marker
        assert constant[0] in choice["required"]
        assert choice["title"]


def test_groups_are_used_at_the_top_only_and_the_advanced_one_is_last() -> None:
    schema = connection_specification()
    groups = [group["id"] for group in schema["groups"]]
    used = [inner["group"] for inner in schema["properties"].values()]

    assert groups[-1] == "advanced"
    assert sorted(used, key=groups.index) == used
    assert set(used) == set(groups)
    assert not [path for path, inner in PROPERTIES.items() if "group" in inner and path.count(".") > 1]


@pytest.mark.parametrize("path", [path for path, schema in PROPERTIES.items() if "pattern" in schema])
def test_examples_fit_their_pattern(path: str) -> None:
    schema = PROPERTIES[path]

    for example in schema["examples"]:
        jsonschema.validate(example, schema)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("1234", True),
        (" PG1234A1 ", True),
        ("https://app-sj01.marketo.com/#ME1234A1", True),
        ("ST1234A1", True),
        ("", False),
        ("Spring Summit", False),
    ],
)
def test_the_form_leaves_it_to_check_to_name_what_is_no_program(text: str, fits: bool) -> None:
    schema = PROPERTIES[".program_links[].program_id"]

    assert jsonschema.Draft7Validator(schema).is_valid(text) is fits


@pytest.mark.parametrize("text", ["", "1234"])
def test_the_program_of_a_qualifier_mapping_may_be_blank(text: str) -> None:
    jsonschema.validate(text, PROPERTIES[".qualifier_mappings[].program_id"])


def test_each_call_gives_a_spec_of_its_own() -> None:
    connector_spec()["connectionSpecification"]["properties"].clear()

    assert connection_specification()["properties"]


def test_reference_has_a_row_for_every_setting() -> None:
    assert len(reference_rows()) == len(PROPERTIES)
