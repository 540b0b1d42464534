"""Configuration and catalog as files; and where the connector runs."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.config import JsonFileError, read_json_file, runs_in_cloud
from destination_marketo_programs.config import loading as loading_module
from destination_marketo_programs.config.surroundings import is_on_volume, runs_in_pod

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hJ8kq2Zw-not-for-any-log"


def refusal(path: object, option: str = "config") -> str:
    with pytest.raises(JsonFileError) as refused:
        read_json_file(str(path), option)
    assert str(refused.value) == str(refused.value.problem)
    return str(refused.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.json"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_is_read_in_any_encoding_of_unicode(file: Path, encoding: str) -> None:
    file.write_bytes('{"event": "Zoë"}'.encode(encoding))
    assert read_json_file(str(file), "config") == {"event": "Zoë"}


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ('{\n  "a": 1\n  "b": 2\n}', "line 3, column 3", "a comma"),
        ('{"a" 1}', "line 1, column 6", "a colon"),
        ('{"a": }', "line 1, column 7", "a value"),
        ("{'a': 1}", "line 1, column 2", "a key in double quotes"),
        ('{"a": 1,}', "line 1, column 9", "a key in double quotes"),
        ('{"a": "x\n"}', "line 1, column 9", "text without line ends"),
        ('{"a": "x', "line 1, column 7", "a closing double quote"),
        ('{"a": "\\x"}', "line 1, column 8", "a valid escape"),
        ('{"a": "\\u12"}', "line 1, column 9", "four hexadecimal digits"),
        ('{"a": 1} {"b": 2}', "line 1, column 10", "the end of the file"),
        ("[1, 2", "line 1, column 6", "a comma"),
    ],
)
def test_a_mistake_in_json_is_told_by_its_place_and_what_belongs_there(
    file: Path, text: str, place: str, expected: str
) -> None:
    """0.1.0 said "it is no JSON"."""
    file.write_text(text)
    told = refusal(file)
    assert told.startswith(f"--config {file}: The file is not valid JSON: {place} should be {expected}")


@given(st.text(alphabet=st.sampled_from('{}[]:,"\\ \n1eEntu.-'), max_size=30))
def test_no_content_is_ever_repeated(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    file = tmp_path_factory.getbasetemp() / "any.json"
    file.write_text(f'{{"client_secret": "{SECRET}", {text}')
    assert SECRET not in refusal(file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "The file is empty."),
        (b" \n", "The file is empty."),
        (b'{"a": "\xff\xfe"}', "Byte 8 of the file is not valid UTF-8."),
        (b'{"a": ' + b"9" * 5_000 + b"}", "a number that is too long"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "Infinity"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else "",
)
def test_what_is_no_usable_json_is_told(file: Path, content: bytes, reason: str) -> None:
    """0.1.0 ended some of these with a traceback."""
    file.write_bytes(content)
    assert reason in refusal(file)


def test_a_file_without_end_is_not_read_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading_module, "LARGEST_FILE_BYTES", 1_000_000)
    assert "larger than 1 MB" in refusal("/dev/zero")


def test_a_file_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "missing.json")
    assert "Is a directory" in refusal(tmp_path)
    assert "catalog" in refusal(tmp_path / "x", "catalog")


@pytest.mark.parametrize("path", ["a\0b", f"/tmp/\0{SECRET}"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    told = refusal(path)
    assert told.startswith("--config: This is not the path of a file.")
    assert SECRET not in told


@pytest.mark.parametrize(
    "given_inline", [f'{{"client_secret": "{SECRET}"}}', f'  {{"client_secret": "{SECRET}"', f'["{SECRET}"]']
)
def test_a_configuration_in_place_of_its_path_is_not_repeated(given_inline: str) -> None:
    """0.1.0 printed it, secret and all."""
    told = refusal(given_inline)
    assert told.startswith("--config: This is JSON itself, not the path of a file.")
    assert SECRET not in told


def test_a_long_text_in_place_of_a_path_is_not_repeated() -> None:
    told = refusal(f'"x": "{SECRET}"' + " " * 5_000)
    assert SECRET not in told


def test_a_path_of_odd_bytes_is_told_and_not_fatal(tmp_path: Path) -> None:
    refusal(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.json")).encode()


@given(st.recursive(st.none() | st.integers(-(10**12), 10**12) | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_whatever_json_a_file_holds_is_read(tmp_path_factory: pytest.TempPathFactory, value: object) -> None:
    file = tmp_path_factory.getbasetemp() / "value.json"
    file.write_text(json.dumps(value))
    assert read_json_file(str(file), "config") == value


# --- where it runs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "cloud"),
    [
        ({}, False),
        ({"DEPLOYMENT_MODE": "OSS", "AIRBYTE_EDITION": "COMMUNITY"}, False),
        ({"DEPLOYMENT_MODE": "CLOUD"}, True),
        ({"DEPLOYMENT_MODE": " cloud "}, True),
        ({"AIRBYTE_EDITION": "Cloud"}, True),
        ({"AIRBYTE_EDITION": "CLOUD", "DEPLOYMENT_MODE": "OSS"}, True),
    ],
)
def test_the_cloud_is_known_in_pods_of_every_kind(environment: dict[str, str], cloud: bool) -> None:
    """`check` and `discover` pods get AIRBYTE_EDITION only, which 0.1.0 did not look at."""
    assert runs_in_cloud(environment) is cloud


def test_a_pod_is_known_by_its_service_host() -> None:
    assert runs_in_pod({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})
    assert not runs_in_pod({"KUBERNETES_SERVICE_HOST": ""})
    assert not runs_in_pod({})


MOUNTS = """\
600 500 0:200 / / rw,relatime master:1 - overlay overlay rw,lowerdir=/x
601 600 0:201 / /proc rw,nosuid - proc proc rw
602 600 8:1 /var/lib/kubelet/pods/7f/volumes/kubernetes.io~empty-dir/config /config rw,relatime - ext4 /dev/sda1 rw
603 600 8:16 / /local rw,relatime - ext4 /dev/sdb rw
604 600 0:202 / /dev/shm rw - tmpfs shm rw
605 600 0:203 /share /data/with\\040blank rw,relatime shared:3 - nfs4 server:/share rw
606 603 0:204 / /local/scratch rw - tmpfs tmpfs rw
607 600 0:205 / /data/twice rw - tmpfs tmpfs rw
608 600 8:32 / /data/twice rw - xfs /dev/sdc rw
"""


@pytest.mark.parametrize(
    ("folder", "kept"),
    [
        ("/local/marketo", True),
        ("/local", True),
        ("/local/../local/x", True),
        ("/data/with blank/x", True),
        ("/data/twice/x", True),
        ("/localx/marketo", False),
        ("/tmp/marketo", False),
        ("/", False),
        ("/config/marketo", False),
        ("/dev/shm/marketo", False),
        ("/local/scratch/marketo", False),
        ("/local/../tmp", False),
    ],
)
def test_a_folder_is_kept_on_a_mounted_volume_only(tmp_path: Path, folder: str, kept: bool) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert is_on_volume(folder, mounts) is kept


def test_a_link_is_followed_to_where_the_files_go(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 0:1 / / rw - overlay overlay rw\n2 1 8:1 / {tmp_path}/volume rw - ext4 /dev/sda rw\n")
    (tmp_path / "volume").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "volume")
    (tmp_path / "volume" / "out").symlink_to("/tmp")
    assert is_on_volume(f"{tmp_path}/link/marketo", mounts)
    assert not is_on_volume(f"{tmp_path}/volume/out/marketo", mounts)


def test_without_a_list_of_mounts_nothing_is_known_to_be_kept(tmp_path: Path) -> None:
    assert not is_on_volume("/local/marketo", tmp_path / "missing")
    (tmp_path / "odd").write_text("nonsense\n - \n1 2 3\n")
    assert not is_on_volume("/local/marketo", tmp_path / "odd")
