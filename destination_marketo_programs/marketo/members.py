"""Program member endpoints: Sync Program Member Status, Sync Program Member Data, query, describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from destination_marketo_programs.marketo.calls import Call, Reply, get
from destination_marketo_programs.marketo.envelope import as_objects, identity
from destination_marketo_programs.marketo.leads import FieldInfo, LeadFields, read_fields, rows_body
from destination_marketo_programs.marketo.paging import pages
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL, RowReply, by_seq

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.marketo.envelope import JsonObject

MOST_PAGES = 50
"""At most 300 leads are asked for, which is one page."""


def sync_status(client: MarketoClient, program_id: int, status_name: str, lead_ids: Sequence[int]) -> list[RowReply]:
    """`POST /rest/v1/programs/{id}/members/status.json`: one program, one status, at most 300 leads, no lead twice.

    Returns:
        One answer for each lead, in the order of `lead_ids`.

    Raises:
        AnswerMisfitError: answers that do not have one element for each lead, three times.
        MarketoError: the call failed as a whole.
    """
    rows = [{"leadId": lead_id} for lead_id in lead_ids]
    path = f"/rest/v1/programs/{program_id}/members/status.json"
    return _send_rows(client, "sync_status", path, {"statusName": status_name}, rows)


def sync_data(client: MarketoClient, program_id: int, rows: Sequence[tuple[int, LeadFields]]) -> list[RowReply]:
    """`POST /rest/v1/programs/{id}/members.json`: custom fields of existing members, (lead id, fields) each.

    Raises:
        TooLargeError: the rows make too long a body; nothing was sent.
        AnswerMisfitError, MarketoError: as `sync_status`.
    """
    path = f"/rest/v1/programs/{program_id}/members.json"
    return _send_rows(client, "sync_data", path, {}, [{"leadId": lead_id, **fields} for lead_id, fields in rows])


def _send_rows(
    client: MarketoClient, endpoint: str, path: str, members: dict[str, Any], rows: list[dict[str, Any]]
) -> list[RowReply]:
    """Both writes may be repeated: a lead is not made a member twice, and no status goes to a lower step."""
    lead_ids = [row["leadId"] for row in rows]
    call = Call(endpoint, "POST", path, body=rows_body(endpoint, members, rows), rows=len(rows))
    return client.send(call, lambda reply: by_seq(reply, lead_ids))


def query_members(
    client: MarketoClient, program_id: int, lead_ids: Sequence[int], fields: Sequence[str]
) -> dict[int, JsonObject]:
    """Members among at most 300 leads, by lead id; `fields` must name `statusName` to get it."""
    query = {
        "filterType": "leadId",
        "filterValues": ",".join(map(str, lead_ids)),
        "fields": ",".join(["leadId", *fields]),
        "batchSize": str(MAX_ROWS_PER_CALL),
    }
    path = f"/rest/v1/programs/{program_id}/members.json"
    members: dict[int, JsonObject] = {}
    for page in pages(client, "query_members", path, query, _read_members, MOST_PAGES):
        members |= page
    return members


def _read_members(reply: Reply) -> dict[int, JsonObject]:
    return {identity(row, "leadId"): row for row in as_objects(reply.result, "result")}


def describe_members(client: MarketoClient) -> dict[str, FieldInfo]:
    """Program-member fields by REST API name."""
    return client.send(get("describe_members", "/rest/v1/programs/members/describe.json"), _read_description)


def _read_description(reply: Reply) -> dict[str, FieldInfo]:
    fields: dict[str, FieldInfo] = {}
    for described in as_objects(reply.result, "result"):
        fields |= read_fields(as_objects(described.get("fields"), "fields"))
    return fields
