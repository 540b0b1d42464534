from __future__ import annotations

from typing import TYPE_CHECKING

from marketo_sandbox.faults import Fault

if TYPE_CHECKING:
    from marketo_sandbox import SandboxServer

    from .conftest import Checks

EMPTY_LIST = '{"success": true, "requestId": "1", "warnings": [], "errors": []}'


def test_a_channel_that_the_list_leaves_out_is_asked_for_by_name(checks: Checks) -> None:
    """Otherwise a status that exists would be refused, and the step rules would be unknown."""
    server: SandboxServer = checks.server
    server.faults.add(
        Fault(endpoint="channels.browse", http_status=200, http_body=EMPTY_LIST, content_type="application/json")
    )
    preflight = checks.run()
    assert preflight.problems == []
    assert preflight.steps[1004, "Registered"].step == 20
    assert server.calls.count("channel.by_name") == 1
