"""What every integration test may ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from harness import Connector

from marketo_sandbox import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    """A fresh Marketo."""
    with SandboxServer() as server:
        yield server


@pytest.fixture
def connector(tmp_path: Path) -> Connector:
    """The executable."""
    return Connector(tmp_path)
