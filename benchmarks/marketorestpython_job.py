"""The job of the benchmark as a careful script on `marketorestpython` does it: one thread, batches of 300.

Runs in the environment that has this client, and reads RECORD lines on stdin.
Arguments: URL of the sandbox, program id, status, and `paced` or `unpaced`.

Two of the client's habits are lifted here, and both in its favour. It knows only the endpoint for a status that Sync
Program Member Status superseded, which cannot add a member: the call is its own, to the newer address. And `unpaced`
lifts the 200 ms that it lets pass between two calls whatever the limits are.
"""

from __future__ import annotations

import json
import sys
import types
from itertools import islice
from typing import TYPE_CHECKING, Any

from marketorestpython.client import MarketoClient  # type: ignore[import-not-found] # in an environment of its own
from marketorestpython.helper import http_lib  # type: ignore[import-not-found] # likewise

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS_PER_CALL = 300
FIELDS = ["firstName", "lastName", "title", "phone", "mobilePhone", "address", "city", "postalCode", "country"]


def leads() -> Iterator[dict[str, Any]]:
    """Rows of Sync Leads, as the connector's field mapping makes them."""
    for line in sys.stdin.buffer:
        message = json.loads(line)
        if message["type"] == "RECORD":
            data = message["record"]["data"]
            yield {"email": data["email"], **{name: data[f"c{place}"] for place, name in enumerate(FIELDS)}}


def set_status(client: MarketoClient, program_id: int, lead_ids: list[int], status: str) -> list[dict[str, Any]]:
    """As the client's `change_lead_program_status`, to the endpoint that adds members."""
    client.authenticate()
    body = {"statusName": status, "input": [{"leadId": lead_id} for lead_id in lead_ids]}
    address = f"{client.host}/rest/v1/programs/{program_id}/members/status.json"
    result: list[dict[str, Any]] = client._api_call("post", address, {"access_token": client.token}, body)["result"]
    return result


def main(url: str, program_id: str, status: str, pacing: str) -> None:
    """Deliver what is on stdin."""
    if pacing == "unpaced":
        http_lib.time = types.SimpleNamespace(time=lambda: float("inf"), sleep=lambda _seconds: None)
    client = MarketoClient("123-ABC-456", "sandbox-client-id", "sandbox-client-secret")
    client.host = url
    rows = leads()
    while batch := list(islice(rows, ROWS_PER_CALL)):
        answers = client.execute(
            method="create_update_leads", leads=batch, action="createOrUpdate", lookupField="email"
        )
        lead_ids = [answer["id"] for answer in answers if answer["status"] in {"created", "updated"}]
        set_status(client, int(program_id), lead_ids, status)


if __name__ == "__main__":
    main(*sys.argv[1:])
