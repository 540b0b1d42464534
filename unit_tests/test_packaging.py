"""What Airbyte reads of this connector agrees with the one place where each thing is said."""

from __future__ import annotations

import importlib.resources
import json
import re
import subprocess
import tomllib
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import yaml

from destination_marketo_programs.config import connector_spec
from destination_marketo_programs.run import PROTOCOL_COMMANDS

ROOT = Path(__file__).resolve().parents[1]
POETRY: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["poetry"]
METADATA: dict[str, Any] = yaml.safe_load((ROOT / "metadata.yaml").read_text())
DATA: dict[str, Any] = METADATA["data"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
DOCS = (ROOT / "docs" / "marketo-programs.md").read_text()
VERSION: str = POETRY["version"]


def metadata_schema() -> dict[str, Any]:
    file = importlib.resources.files("airbyte_connector_models.metadata.v0") / "ConnectorMetadataDefinitionV0.json"
    schema: dict[str, Any] = json.loads(file.read_text())
    return schema


def test_metadata_is_valid_by_airbytes_published_schema() -> None:
    validator = jsonschema.Draft7Validator(metadata_schema(), format_checker=jsonschema.FormatChecker())
    assert [error.message for error in validator.iter_errors(METADATA)] == []
    assert uuid.UUID(DATA["definitionId"]).version == 4


def test_the_version_is_the_same_everywhere() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
    assert DATA["dockerImageTag"] == VERSION
    assert re.findall(r"io\.airbyte\.version=(\S+)", DOCKERFILE) == [VERSION]
    newest = re.search(r"^## (\S+) — (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest
    assert newest[1] == VERSION
    assert re.search(rf"^\| {re.escape(VERSION)} +\| {newest[2]} ", DOCS, re.MULTILINE), "no row in the docs' changelog"


def test_name_licence_and_address_are_the_same_everywhere() -> None:
    assert re.findall(r"io\.airbyte\.name=(\S+)", DOCKERFILE) == [DATA["dockerRepository"]]
    assert DATA["dockerRepository"] == "airbyte/destination-marketo-programs"
    assert DATA["license"] == POETRY["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License\n")
    assert connector_spec()["documentationUrl"] == DATA["documentationUrl"]


def test_the_package_names_no_address_that_does_not_exist_yet() -> None:
    """Airbyte's metadata must have the address that its site gives to the page; a package may go without."""
    assert not {"homepage", "documentation", "repository", "urls"} & POETRY.keys()


def test_base_image_is_pinned_by_digest_and_the_same_in_image_and_metadata() -> None:
    base = DATA["connectorBuildOptions"]["baseImage"]
    assert re.search(r"^ARG BASE_IMAGE=(\S+)$", DOCKERFILE, re.MULTILINE).group(1) == base  # type: ignore[union-attr]
    assert re.fullmatch(r"docker\.io/airbyte/python-connector-base:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}", base)
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)) == {"${BASE_IMAGE}", "dependencies"}


def test_tags_and_flags_say_what_the_connector_is() -> None:
    assert DATA["tags"] == ["language:python", "cdk:python"]
    assert DATA["supportsRefreshes"] is True
    assert "discover" in PROTOCOL_COMMANDS
    assert {entry["suite"] for entry in DATA["connectorTestSuitesOptions"]} >= {"unitTests", "integrationTests"}


def test_data_activation_is_built_and_not_switched_on() -> None:
    """The flag takes the ordinary form away from every connection; a registry entry of its own may set it."""
    assert DATA["supportsDataActivation"] is False
    text = (ROOT / "metadata.yaml").read_text()
    reason, _, _ = text.partition("\n  supportsDataActivation: false\n")
    comment = re.search(r"(?:\n  # .+)+\Z", reason)
    assert comment, "the reason stands above the flag"
    assert "docs/guides/data-activation.md" in comment[0]
    guide = (ROOT / "docs" / "guides" / "data-activation.md").read_text()
    assert re.search(r"^ +\"supportsDataActivation\": true", guide, re.MULTILINE), "the entry that switches it on"


def resolved_hosts(config: dict[str, Any]) -> list[str]:
    """Hosts as the platform makes them of a configuration: `${a.b}` is the value, an address gives its host, and
    an entry with a value that is not given is dropped (`ConfigReplacer` of airbyte-platform)."""
    values: dict[str, str] = {}

    def collect(block: dict[str, Any], prefix: str) -> None:
        for key, value in block.items():
            if isinstance(value, dict):
                collect(value, f"{prefix}{key}.")
            elif isinstance(value, str):
                values[prefix + key] = urlsplit(value if "://" in value else f"x://{value}").hostname or ""

    collect(config, "")
    hosts = [
        re.sub(r"\$\{([^}]+)\}", lambda match: values.get(match[1], match[0]), host)
        for host in DATA["allowedHosts"]["hosts"]
    ]
    return [host for host in hosts if "${" not in host]


@pytest.mark.parametrize("storage", [{}, {"object_storage_config": {"storage_type": "Local", "path": "/local/x"}}])
def test_without_s3_the_only_host_is_the_instance(storage: dict[str, Any]) -> None:
    config = {"domain_url": "https://123-abc-456.mktorest.com/rest", **storage}
    assert resolved_hosts(config) == ["123-abc-456.mktorest.com"]


def test_with_s3_the_bucket_and_what_gives_its_role_are_reached_too() -> None:
    s3 = {"storage_type": "S3", "s3_bucket_name": "leads", "s3_bucket_region": "eu-central-1", "role_arn": "arn:x"}
    assert resolved_hosts({"domain_url": "https://123-abc-456.mktorest.com", "object_storage_config": s3}) == [
        "123-abc-456.mktorest.com",
        "leads.s3.eu-central-1.amazonaws.com",
        "sts.eu-central-1.amazonaws.com",
    ]


def test_the_image_ends_as_user_of_the_base_with_python_as_process_one() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    entry = re.search(r"^ENTRYPOINT \[\"([^\"]+)\"\]$", last_stage, re.MULTILINE)
    assert entry, "no exec form: a shell in between would swallow the signals"
    assert f"AIRBYTE_ENTRYPOINT={entry[1]}" in last_stage
    assert re.findall(r"^USER (\S+)$", last_stage, re.MULTILINE) == ["airbyte"]
    assert "RUN" not in last_stage, "the last stage only copies: nothing that builds is left in it"
    assert DOCKERFILE.count("--require-hashes") == 2


def test_pins_are_installed_as_the_whole_list_wherever_they_are_installed() -> None:
    """Else a new release of anything that is asked for with an extra ends every installation on a new machine."""
    texts = [
        "Makefile",
        "Dockerfile",
        "README.md",
        ".ci/image",
        ".ci/release-check",
        "integration_tests/readers/install",
    ]
    texts += [str(path.relative_to(ROOT)) for path in (ROOT / "docs/guides").glob("*.md")]
    lines = [line for text in texts for line in (ROOT / text).read_text().splitlines() if "--require-hashes" in line]
    assert len(lines) >= 9
    assert [line for line in lines if "--no-deps --require-hashes" not in line] == []


def test_only_what_the_image_needs_reaches_the_build() -> None:
    lines = (ROOT / ".dockerignore").read_text().split()
    assert lines[0] == "*"
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE) for word in line.split()[:-1]
    }
    assert {line[1:] for line in lines if line.startswith("!")} == copied


def test_what_is_built_and_kept_out_of_the_image_is_locked_with_hashes() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text().replace("\\\n", " ")
        pins = [line for line in text.splitlines() if line and not line.startswith(("#", " "))]
        assert pins
        assert all("==" in pin and "--hash=sha256:" in pin for pin in pins)
    pinned = re.findall(r"^([a-z0-9-]+)==", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert "aiohttp" not in pinned, "the sandbox extra is not for the image"
    assert {"airbyte-cdk", "msgspec", "boto3"} <= set(pinned)


def test_icon_is_a_square_svg_that_reaches_for_nothing() -> None:
    root = ET.fromstring((ROOT / "icon.svg").read_text())
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    _, _, width, height = root.attrib["viewBox"].split()
    assert width == height == root.attrib["width"] == root.attrib["height"]
    assert "href" not in (ROOT / "icon.svg").read_text()


def test_acceptance_tests_name_configurations_that_exist() -> None:
    suites = yaml.safe_load((ROOT / "acceptance-test-config.yml").read_text())["acceptance_tests"]
    paths = {test["config_path"] for suite in suites.values() for test in suite["tests"]} - {"secrets/config.json"}
    assert paths
    for path in paths:
        assert json.loads((ROOT / path).read_text())["domain_url"]


@pytest.mark.parametrize("script", ["docker-engine", "image", "qa", "release-check"])
def test_scripts_are_sound_shell(script: str) -> None:
    path = ROOT / ".ci" / script
    assert path.stat().st_mode & 0o111, "not executable"
    subprocess.run(["bash", "-n", str(path)], check=True)
