from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from imports_bench import WORTH, Bench

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def four_rows_are_worth_a_job() -> Iterator[None]:
    with patch("destination_marketo_programs.imports.files.rows_worth_a_job", lambda **_: WORTH):
        yield
