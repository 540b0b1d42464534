from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from marketo_sandbox import SandboxServer, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS = 20.0


class Marketo:
    """Calls a sandbox the way a client would, with a token of its own."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self._session = requests.Session()

    def token(self, **changes: str) -> requests.Response:
        query = {
            "grant_type": "client_credentials",
            "client_id": self.server.client_id,
            "client_secret": self.server.client_secret,
        }
        return requests.get(f"{self.server.url}/identity/oauth/token", params=query | changes, timeout=TIMEOUT_SECONDS)

    def sign_in(self, client_id: str | None = None, client_secret: str | None = None) -> None:
        changes = {} if client_id is None else {"client_id": client_id, "client_secret": client_secret or ""}
        token = self.token(**changes).json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        return self._session.request(method, self.server.url + path, timeout=TIMEOUT_SECONDS, **options)

    def get(self, path: str, **query: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.send("GET", path, params=query).json()
        return answer

    def post(self, path: str, body: object) -> dict[str, Any]:
        answer: dict[str, Any] = self.send("POST", path, json=body).json()
        return answer

    def sync(self, *rows: dict[str, Any], **members: object) -> list[dict[str, Any]]:
        answer = self.post("/rest/v1/leads.json", members | {"input": list(rows)})
        assert answer["success"], answer
        result: list[dict[str, Any]] = answer["result"]
        return result

    def set_status(self, program_id: int, status: str, *lead_ids: object) -> dict[str, Any]:
        body = {"statusName": status, "input": [{"leadId": lead_id} for lead_id in lead_ids]}
        return self.post(f"/rest/v1/programs/{program_id}/members/status.json", body)

    def upload(
        self, file: str | bytes, program_id: int = 1004, status: str = "Registered", kind: str = "csv"
    ) -> dict[str, Any]:
        answer: dict[str, Any] = self.send(
            "POST",
            f"/bulk/v1/program/{program_id}/members/import.json",
            params={"format": kind, "programMemberStatus": status},
            files={"file": ("members.csv", file, "text/csv")},
        ).json()
        return answer

    def control(self, path: str, body: object | None = None) -> requests.Response:
        method = "GET" if body is None else "POST"
        return requests.request(method, f"{self.server.url}/_sandbox/{path}", json=body, timeout=TIMEOUT_SECONDS)


def code(answer: dict[str, Any]) -> object:
    """Code of a refused call."""
    assert answer["success"] is False, answer
    return answer["errors"][0]["code"]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[SandboxServer]:
    with SandboxServer() as server:
        yield server


@pytest.fixture
def server(shared_server: SandboxServer) -> SandboxServer:
    """A sandbox as it comes; a test may change settings freely."""
    shared_server.instance.settings = Settings()
    shared_server.reset()
    return shared_server


@pytest.fixture
def marketo(server: SandboxServer) -> Marketo:
    client = Marketo(server)
    client.sign_in()
    return client
