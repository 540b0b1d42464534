"""A page in the user's browser can neither read nor change the sandbox."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from marketo_sandbox.guard import refusal

if TYPE_CHECKING:
    from unit_tests.sandbox.conftest import Marketo


@pytest.mark.parametrize(
    "host", ["sandbox.attacker.example", "attacker.example:80", "localhost.attacker.example", "10.0.0.1"]
)
@pytest.mark.parametrize("path", ["/", "/_sandbox/state", "/identity/oauth/token", "/rest/v1/leads/partitions.json"])
def test_it_answers_to_loopback_names_only(marketo: Marketo, host: str, path: str) -> None:
    assert marketo.send("GET", path, headers={"Host": host}).status_code == 403
    assert marketo.server.calls.count("leads.partitions") == 0


@pytest.mark.parametrize("host", ["localhost:8080", "127.0.0.1", "LOCALHOST", "[::1]:9"])
def test_names_of_this_machine_are_fine(marketo: Marketo, host: str) -> None:
    assert marketo.send("GET", "/_sandbox/summary", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://attacker.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_page_cannot_reset_it(marketo: Marketo, headers: dict[str, str]) -> None:
    marketo.server.state.add_lead({"email": "ada@example.org"})
    assert marketo.send("POST", "/_sandbox/reset", data=b"", headers=headers).status_code == 403
    assert marketo.server.state.lead_count() == 1
    own = {"Origin": marketo.server.url, "Sec-Fetch-Site": "same-origin"}
    assert marketo.send("POST", "/_sandbox/reset", data=b"", headers=own).status_code == 200
    assert marketo.server.state.lead_count() == 0


def test_a_request_without_host_is_refused() -> None:
    assert refusal("GET", "", "", "") is not None
    assert refusal("POST", "localhost:1", "http://localhost:1", "") is None
