from __future__ import annotations

import pytest
from delivery_bench import Build, TableMarketo


@pytest.fixture(scope="session")
def build() -> Build:
    return Build()


@pytest.fixture
def marketo() -> TableMarketo:
    return TableMarketo()
