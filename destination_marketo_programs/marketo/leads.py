"""Lead endpoints: Sync Leads, Get Leads by Filter Type, Describe Lead, partitions."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from destination_marketo_programs.marketo.client import MAX_ROWS_PER_CALL, Call, MarketoClient, get
from destination_marketo_programs.marketo.errors import (
    TOO_MANY_RESULTS,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    UnreachableError,
)
from destination_marketo_programs.marketo.rows import TRIES_FOR_A_FITTING_ANSWER, RowReply, by_index

if TYPE_CHECKING:
    from collections.abc import Sequence

_encode = msgspec.json.encode


class Action(StrEnum):
    """Values of `action` in Sync Leads that this connector uses."""

    CREATE_OR_UPDATE = "createOrUpdate"
    CREATE_ONLY = "createOnly"
    UPDATE_ONLY = "updateOnly"


class FieldInfo(NamedTuple):
    """A lead or program-member field as Marketo describes it.

    Attributes:
        name: REST API name.
        display_name: the name on screen; "" where Marketo gives none.
    """

    name: str
    data_type: str
    length: int | None
    updateable: bool
    display_name: str = ""


class LeadDescription(NamedTuple):
    """Lead fields by REST API name, and the ones that can be looked up by; None where Marketo did not say."""

    fields: dict[str, FieldInfo]
    searchable: frozenset[str] | None


def sync_leads(
    client: MarketoClient, rows: Sequence[bytes], action: str, lookup_field: str, partition_name: str = ""
) -> list[RowReply]:
    """`POST /rest/v1/leads.json` with at most 300 rows (each the JSON text of one record).

    Returns:
        One answer for each row, in the order of `rows`.

    Raises:
        OutcomeUnknownError: a create's answer was lost, or does not have one element for each row.
        MarketoError: the call failed as a whole.
    """
    members = {"action": action, "lookupField": lookup_field}
    if partition_name and action != Action.UPDATE_ONLY:
        members["partitionName"] = partition_name
    body = _encode(members)[:-1] + b',"input":[' + b",".join(rows) + b"]}"
    call = Call(
        "sync_leads",
        "POST",
        "/rest/v1/leads.json",
        body=body,
        rows=len(rows),
        repeatable=action == Action.UPDATE_ONLY,
    )
    sent_at = client.gate.clock()
    for _ in range(TRIES_FOR_A_FITTING_ANSWER if call.repeatable else 1):
        reply = client.send(call)
        replies = by_index(reply, len(rows), "id")
        if replies is not None:
            return replies
    if call.repeatable:
        raise UnreachableError(call.endpoint, "answers do not fit the records sent", None, reply.request_id)
    error = OutcomeUnknownError(call.endpoint, "answer does not fit the records sent", None, reply.request_id)
    error.sent_at = sent_at
    raise error


def query_leads(
    client: MarketoClient,
    filter_type: str,
    values: Sequence[str],
    fields: Sequence[str],
    crowded: set[str] | None = None,
) -> list[dict[str, Any]]:
    """`GET /rest/v1/leads.json` for at most 300 values, all pages; halves the values where too many leads match.

    Values must not hold a comma: Marketo documents no way to escape it.

    Args:
        client: reads.
        filter_type: field to look up by.
        values: its values.
        fields: fields to return.
        crowded: takes the values that more leads share than Marketo lists (1,000), instead of a RefusedError.
    """
    query = {
        "filterType": filter_type,
        "filterValues": ",".join(values),
        "fields": ",".join(fields),
        "batchSize": str(MAX_ROWS_PER_CALL),
    }
    leads: list[dict[str, Any]] = []
    while True:
        try:
            reply = client.send(get("query_leads", "/rest/v1/leads.json", query))
        except RefusedError as error:
            if error.code != TOO_MANY_RESULTS or (len(values) == 1 and crowded is None):
                raise
            if len(values) == 1 and crowded is not None:
                crowded.add(values[0])
                return []
            middle = len(values) // 2
            return [
                lead
                for half in (values[:middle], values[middle:])
                for lead in query_leads(client, filter_type, half, fields, crowded)
            ]
        except NotFoundError as error:
            if error.code == "702":
                return leads
            raise
        leads.extend(row for row in reply.result if isinstance(row, dict))
        token = reply.members.get("nextPageToken")
        if reply.members.get("moreResult") is not True or not token:
            return leads
        query["nextPageToken"] = str(token)


def describe_leads(client: MarketoClient) -> LeadDescription:
    """Lead fields, from Describe Lead 2, or from Describe Lead where an instance does not offer the former."""
    try:
        reply = client.send(get("describe_leads", "/rest/v1/leads/describe2.json"))
    except NotFoundError:
        reply = client.send(get("describe_leads", "/rest/v1/leads/describe.json"))
    fields: dict[str, FieldInfo] = {}
    searchable: set[str] = set()
    for described in reply.result:
        if not isinstance(described, dict):
            continue
        searchable.update(_searchable_names(described))
        listed = described.get("fields")
        for field in listed if isinstance(listed, list) else [described]:
            info = read_field(field)
            if info:
                fields[info.name] = info
    return LeadDescription(fields, frozenset(searchable) if searchable else None)


def _searchable_names(described: dict[str, Any]) -> list[str]:
    names: list[str] = []
    for group in described.get("searchableFields") or []:
        # Some samples show a plain name where others show a list of names.
        members = group if isinstance(group, list) else [group]
        if len(members) == 1 and isinstance(members[0], str):
            names.append(members[0])
    return names


def read_field(field: Any) -> FieldInfo | None:
    """One field of either Describe shape; None where it cannot be used over REST."""
    if not isinstance(field, dict):
        return None
    rest = field.get("rest")
    if isinstance(rest, dict):
        name, updateable = rest.get("name"), not rest.get("readOnly", False)
    else:
        name, updateable = field.get("name"), bool(field.get("updateable", True))
    if not isinstance(name, str) or not name:
        return None
    length = field.get("length")
    return FieldInfo(
        name,
        str(field.get("dataType") or "string"),
        length if isinstance(length, int) else None,
        updateable,
        str(field.get("displayName") or ""),
    )


def list_partitions(client: MarketoClient) -> dict[str, int]:
    """Names and ids of the lead partitions this API user sees."""
    reply = client.send(get("partitions", "/rest/v1/leads/partitions.json"))
    return {
        row["name"]: row["id"]
        for row in reply.result
        if isinstance(row, dict) and isinstance(row.get("name"), str) and isinstance(row.get("id"), int)
    }
