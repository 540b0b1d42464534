"""What `make demo` installs: the connector and its sandbox in the versions of the image, and no development tools."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE | re.IGNORECASE))


def test_the_demo_runs_on_what_the_image_has_and_little_more() -> None:
    image, demo, development = (pins(f"requirements{kind}.txt") for kind in ("", "-demo", "-dev"))
    assert image.items() <= demo.items()
    assert demo.items() <= development.items()
    assert {"aiohttp", "poetry-core"} <= set(demo) - set(image)
    assert not {"pytest", "mypy", "playwright"} & set(demo)


def test_every_pin_of_the_demo_has_a_hash() -> None:
    text = (ROOT / "requirements-demo.txt").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=\S+==)", text, flags=re.MULTILINE)[1:]
    assert len(blocks) >= len(pins("requirements-demo.txt")) > 50
    assert all("--hash=sha256:" in block for block in blocks)
