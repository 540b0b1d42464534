"""Program member endpoints: Sync Program Member Status, Sync Program Member Data, query, describe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from destination_marketo_programs.marketo.client import MAX_ROWS_PER_CALL, Call, MarketoClient, Reply, get
from destination_marketo_programs.marketo.errors import NotFoundError, UnreachableError
from destination_marketo_programs.marketo.leads import FieldInfo, read_field
from destination_marketo_programs.marketo.rows import TRIES_FOR_A_FITTING_ANSWER, RowReply, by_seq

if TYPE_CHECKING:
    from collections.abc import Sequence

_encode = msgspec.json.encode


def sync_status(client: MarketoClient, program_id: int, status_name: str, lead_ids: Sequence[int]) -> list[RowReply]:
    """`POST /rest/v1/programs/{id}/members/status.json`: one program, one status, at most 300 leads, no lead twice.

    Returns:
        One answer for each lead, in the order of `lead_ids`.
    """
    body = _encode({"statusName": status_name, "input": [{"leadId": lead_id} for lead_id in lead_ids]})
    path = f"/rest/v1/programs/{program_id}/members/status.json"
    return _send_rows(client, Call("sync_status", "POST", path, body=body, rows=len(lead_ids)), lead_ids)


def sync_data(client: MarketoClient, program_id: int, rows: Sequence[tuple[int, dict[str, Any]]]) -> list[RowReply]:
    """`POST /rest/v1/programs/{id}/members.json`: custom fields of existing members, (lead id, fields) each."""
    body = _encode({"input": [{"leadId": lead_id, **fields} for lead_id, fields in rows]})
    path = f"/rest/v1/programs/{program_id}/members.json"
    lead_ids = [lead_id for lead_id, _ in rows]
    return _send_rows(client, Call("sync_data", "POST", path, body=body, rows=len(rows)), lead_ids)


def _send_rows(client: MarketoClient, call: Call, lead_ids: Sequence[int]) -> list[RowReply]:
    """Both writes may be repeated: a lead is not made a member twice, and no status goes backwards."""
    for _ in range(TRIES_FOR_A_FITTING_ANSWER):
        replies = by_seq(client.send(call), lead_ids)
        if replies is not None:
            return replies
    raise UnreachableError(call.endpoint, "answers do not fit the records sent")


def query_members(
    client: MarketoClient, program_id: int, lead_ids: Sequence[int], fields: Sequence[str]
) -> dict[int, dict[str, Any]]:
    """Members among at most 300 leads, by lead id; `fields` must name `statusName` to get it."""
    query = {
        "filterType": "leadId",
        "filterValues": ",".join(map(str, lead_ids)),
        "fields": ",".join(["leadId", *fields]),
        "batchSize": str(MAX_ROWS_PER_CALL),
    }
    members: dict[int, dict[str, Any]] = {}
    while True:
        try:
            reply: Reply = client.send(get("query_members", f"/rest/v1/programs/{program_id}/members.json", query))
        except NotFoundError as error:
            if error.code == "702":
                return members
            raise
        for row in reply.result:
            if isinstance(row, dict) and isinstance(row.get("leadId"), int):
                members[row["leadId"]] = row
        token = reply.members.get("nextPageToken")
        if reply.members.get("moreResult") is not True or not token:
            return members
        query["nextPageToken"] = str(token)


def describe_members(client: MarketoClient) -> dict[str, FieldInfo]:
    """Program-member fields by REST API name."""
    reply = client.send(get("describe_members", "/rest/v1/programs/members/describe.json"))
    fields: dict[str, FieldInfo] = {}
    for described in reply.result:
        listed = described.get("fields") if isinstance(described, dict) else None
        for field in listed if isinstance(listed, list) else []:
            info = read_field(field)
            if info:
                fields[info.name] = info
    return fields
