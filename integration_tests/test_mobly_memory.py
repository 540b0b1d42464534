"""An hourly sync of a customer's size, of which nothing has changed since the hour before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_mobly import FakeMobly, Organisation
from mobly_chain import Chain
from mobly_source import MANIFEST

from marketo_sandbox.server import SandboxServer
from marketo_sandbox.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

PROGRAM = 1004
CAPTURES, EVENTS = 20_000, 40


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("method", ["rest", "auto"])
def test_a_second_sync_of_the_same_leads_writes_nothing(tmp_path: Path, method: str) -> None:
    organisation = Organisation.of_size(CAPTURES, EVENTS)
    with FakeMobly(organisation, per_second=1e9) as mobly, SandboxServer(Settings(limits=False)) as marketo:
        config: Json = {
            "domain_url": marketo.url,
            "client_id": marketo.client_id,
            "client_secret": marketo.client_secret,
            "program_links": [{"event": "", "program_id": str(PROGRAM), "program_status": "Registered"}],
            "lead_sync": {"send": "changes"},
            "object_storage_config": {"storage_type": "Local", "path": str(tmp_path / "outcomes")},
            "delivery": {"method": method, "calls_per_20_seconds": 100, "concurrent_calls": 10},
        }
        chain = Chain(tmp_path, MANIFEST, mobly, config, calls_at_once=1_000_000, calls_per_second=1_000_000)
        chain.choose_stream()
        first = chain.sync()
        assert first.records == CAPTURES
        members = marketo.state.members(PROGRAM)
        assert len(members) > 0.8 * CAPTURES

        writes = len(marketo.calls.writes())
        second = chain.sync()
        assert (second.records, second.rejected) == (CAPTURES, first.rejected)
        assert marketo.state.members(PROGRAM) == members
        assert len(marketo.calls.writes()) - writes == 0
