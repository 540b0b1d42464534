"""The guide names what there is: every door of the control interface, and no setting that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from marketo_sandbox import Settings
from marketo_sandbox.catalogue import CHANNELS, PARTITIONS, PROGRAMS
from marketo_sandbox.control import Control
from marketo_sandbox.instance import Instance

GUIDE = (Path(__file__).parents[2] / "docs" / "guides" / "sandbox.md").read_text(encoding="utf-8")


def test_every_door_is_in_the_guide_and_in_its_docstring() -> None:
    doors = Control(Instance(Settings())).doors()
    assert len(doors) > 8
    assert {f"{method} {path}" for method, path in doors} == set(
        re.findall(r"^\| `(\w+ /_sandbox/\w+)`", GUIDE, re.MULTILINE)
    )
    assert Control.__doc__ is not None
    assert all(path in Control.__doc__ for _, path in doors)


def test_settings_in_the_guide_have_the_default_that_it_says() -> None:
    table = re.findall(r"^\| `(\w+)` \| (\S+) \| ", GUIDE, re.MULTILINE)
    assert len(table) > 12
    settings = Settings()
    for name, shown in table:
        value = msgspec.to_builtins(getattr(settings, name))
        expected = (
            str(value).lower() if isinstance(value, bool) else f"{value:,}" if isinstance(value, int) else str(value)
        )
        assert shown.strip("`") == expected.removesuffix(".0"), name


def test_numbers_of_the_catalogue_are_those_of_the_guide() -> None:
    assert f"{len(PROGRAMS)} programs of all types, {len(CHANNELS)} channels" in GUIDE
    assert f"{len(PARTITIONS)} lead partitions" in GUIDE
