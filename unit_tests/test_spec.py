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
            "allow_archived": False,
        }
    ],
    "qualifier_mappings": [{"program_id": "1234", "qualifier": "", "value": "Yes", "program_status": "Engaged"}],
    "record_mapping": {"mapping_type": "mobly"},
    "field_mappings": [
        {"record_field": "job.title", "marketo_object": "lead", "marketo_field": "title", "write": "auto"}
    ],
    "lead_sync": {
        "mode": "create_or_update",
        "lookup_field": "email",
        "partition_name": "",
        "blank_values": "keep",
        "duplicate_leads": "most_recently_updated",
        "send": "everything",
        "send_again_after_days": 30,
        "acquisition_program": "leave",
        "excluded_email_domains": [],
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
        "wait_for_other_sync_minutes": 60,
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
    *("pattern_descriptor", "airbyte_secret", "always_show", "display_type", "group", "order"),
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
    assert len(schema["description"]) <= 120
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


def test_groups_are_used_at_the_top_only_and_each_has_a_title() -> None:
    schema = connection_specification()
    groups = [group["id"] for group in schema["groups"]]
    used = [inner["group"] for inner in schema["properties"].values()]

    assert sorted(used, key=groups.index) == used
    assert set(used) == set(groups)
    assert "advanced" not in groups, "the form has a group of its own of this name"
    assert not [path for path, inner in PROPERTIES.items() if "group" in inner and path.count(".") > 1]


@pytest.mark.parametrize("path", [path for path, schema in PROPERTIES.items() if "pattern" in schema])
def test_examples_fit_their_pattern(path: str) -> None:
    schema = PROPERTIES[path]

    for example in schema["examples"]:
        jsonschema.validate(example, schema)


PROGRAM_IDS = [
    *("1234", " PG1234A1 ", "#ME1234A1", "\ufeff1234", "PG1234A1\n", "https://app-sj01.marketo.com/#ME1234A1"),
    *("https://experience.adobe.com/#/@acme/so:123-ABC-456/marketo-engage/classic/ME1234A1?x=1", "ST1234A1", "MF99A1"),
    *("https://app-sj01.marketo.com/#/classic/home", "PG1234", "#ST1234A1LA1"),
]


@pytest.mark.parametrize("text", PROGRAM_IDS)
def test_the_form_lets_through_what_check_puts_right_or_explains(text: str) -> None:
    """The form would only say that the value does not fit."""
    assert jsonschema.Draft7Validator(PROPERTIES[".program_links[].program_id"]).is_valid(text)
    assert jsonschema.Draft7Validator(PROPERTIES[".qualifier_mappings[].program_id"]).is_valid(text)


@pytest.mark.parametrize("text", ["", "Spring Summit", "\n"])
def test_the_form_refuses_what_is_nowhere_near_a_program(text: str) -> None:
    assert not jsonschema.Draft7Validator(PROPERTIES[".program_links[].program_id"]).is_valid(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "https://123-ABC-456.mktorest.com/rest",
            " 123-ABC-456.mktorest.com/identity\n",
            "123-abc-456",
            "\ufeff123-ABC-456",
        ),
        *("http://localhost:8700", "127.0.0.1:8700", "https://app-sj01.marketo.com/#MM0A1", "experience.adobe.com"),
        "http://123-ABC-456.mktorest.com",
    ],
)
def test_the_form_lets_through_addresses_that_check_puts_right_or_explains(text: str) -> None:
    assert jsonschema.Draft7Validator(PROPERTIES[".domain_url"]).is_valid(text)


@pytest.mark.parametrize("path", [path for path, schema in PROPERTIES.items() if schema.get("airbyte_secret")])
def test_no_secret_has_a_default(path: str) -> None:
    """The platform stores a blank default as a secret, and then cannot find it."""
    assert "default" not in PROPERTIES[path]


@pytest.mark.parametrize("text", ["", "1234"])
def test_the_program_of_a_qualifier_mapping_may_be_blank(text: str) -> None:
    jsonschema.validate(text, PROPERTIES[".qualifier_mappings[].program_id"])


def test_each_call_gives_a_spec_of_its_own() -> None:
    connector_spec()["connectionSpecification"]["properties"].clear()

    assert connection_specification()["properties"]


# --- what the form shows -------------------------------------------------------------------------------------------


def rendered(schema: dict[str, Any], indent: str = "") -> Iterator[str]:
    """The form by the rules of Airbyte's web app.

    Open are required and `always_show` settings, choices and groups of settings; all others are folded under
    "Optional fields" after them, whatever their order. A group of settings shows no title. A list shows "Add", and
    each of its entries is folded, labelled by its values in the alphabetical order of their keys.
    """
    inner = sorted(schema["properties"].items(), key=lambda pair: pair[1]["order"])
    required = schema.get("required", ())
    folded = []
    for name, part in inner:
        if "const" in part:
            continue
        if name in required or part.get("always_show") or "oneOf" in part or part["type"] == "object":
            yield from rendered_setting(part, name in required, indent)
        else:
            folded.append(part)
    if folded:
        yield f"{indent}> Optional fields: {', '.join(part['title'] for part in folded)}"


def rendered_setting(part: dict[str, Any], is_required: bool, indent: str) -> Iterator[str]:
    if "oneOf" in part:
        yield f"{indent}{part['title']} ({'tiles' if part.get('display_type') == 'radio' else 'list'})"
        for choice in part["oneOf"]:
            yield f"{indent}  ( ) {choice['title']}: {choice['description']}"
            yield from rendered(choice, f"{indent}        ")
    elif part["type"] == "object":
        yield from rendered(part, indent)
    elif "properties" in part.get("items", ()):
        yield f"{indent}{part['title']} [+ Add]: {part['description']}"
        yield from rendered(part["items"], f"{indent}    ")
    else:
        yield f"{indent}{part['title']}{'' if is_required else ' (optional)'}: {part['description']}"


def test_the_form_shows_what_people_need_first(snapshot: SnapshotAssertion) -> None:
    """0.1.0 folded a link's event below its program, and bucket, keys and qualifier away."""
    schema = connection_specification()
    lines = []
    for group in schema["groups"]:
        lines.append(f"== {group['title']} ==")
        own = {name: part for name, part in schema["properties"].items() if part["group"] == group["id"]}
        lines += rendered({"properties": own, "required": schema["required"]})

    assert "\n".join(lines) == snapshot


def opened(path: str) -> list[str]:
    schema = ALL[path]
    return [
        name
        for name, part in schema["properties"].items()
        if name in schema.get("required", ()) or part.get("always_show") or "oneOf" in part
    ]


def test_a_link_shows_event_program_and_status_in_this_order() -> None:
    assert opened(".program_links[]") == ["event", "program_id", "program_status"]


def test_mappings_and_keys_are_open() -> None:
    assert opened(".qualifier_mappings[]") == ["program_id", "qualifier", "value", "program_status"]
    assert opened(".field_mappings[]") == ["record_field", "marketo_object", "marketo_field"]
    assert opened(".object_storage_config<2>")[1:] == [
        *("s3_bucket_name", "s3_bucket_region", "bucket_path", "access_key_id", "secret_access_key"),
    ]
    assert {"qualifier_mappings", "field_mappings", "object_storage_config"} <= set(opened(""))


def test_a_list_s_entries_are_told_apart_by_their_labels() -> None:
    """The web app joins the values of an entry, in the order of their keys."""
    entry = {"program_status": "Attended", "event": "4711", "program_id": "PG1234A1"}
    assert " | ".join(str(entry[key]) for key in sorted(entry)) == "4711 | PG1234A1 | Attended"


def test_reference_has_a_row_for_every_setting() -> None:
    assert len(reference_rows()) == len(PROPERTIES)
