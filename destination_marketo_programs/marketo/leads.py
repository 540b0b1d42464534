"""Lead endpoints: Sync Leads, Get Leads by Filter Type, Describe Lead, partitions."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from destination_marketo_programs.marketo.calls import Call, Reply, get
from destination_marketo_programs.marketo.envelope import (
    as_list,
    as_object,
    as_objects,
    flag,
    identity,
    misshapen,
    name,
    number,
    text,
)
from destination_marketo_programs.marketo.errors import (
    TOO_MANY_RESULTS,
    NotFoundError,
    RefusedError,
    TooLargeError,
)
from destination_marketo_programs.marketo.paging import pages
from destination_marketo_programs.marketo.rows import MAX_BODY_BYTES, MAX_ROWS_PER_CALL, RowReply, by_index

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.marketo.envelope import JsonObject

LeadFields = dict[str, Any]
"""REST names -> JSON values."""
MOST_PAGES = 50
"""Marketo lists 1,000 leads for a query, 300 a page."""
TOO_LARGE = "HTTP 413"
"""What Marketo would answer to a body that is too long."""

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
    """Lead fields by REST API name, and the ones that can be looked up by; None if Marketo did not say."""

    fields: dict[str, FieldInfo]
    searchable: frozenset[str] | None


def row_bytes(row: LeadFields) -> int:
    """What a row adds to the body of a call; a body of rows must stay below `MAX_BODY_BYTES`."""
    return len(_encode(row)) + 1


def rows_body(endpoint: str, members: dict[str, Any], rows: Sequence[LeadFields]) -> bytes:
    """The body of a call with rows, encoded once.

    Raises:
        TooLargeError: Marketo would refuse it; it is not sent.
        RefusedError: a text of the rows is none (half a character), so that no body can hold it.
    """
    try:
        body = _encode({**members, "input": rows})
    except UnicodeEncodeError:
        raise RefusedError(endpoint, "609", "a text holds half a character") from None
    if len(body) > MAX_BODY_BYTES:
        raise TooLargeError(endpoint, TOO_LARGE, "the rows are longer than Marketo takes in one call")
    return body


def sync_leads(
    client: MarketoClient, rows: Sequence[LeadFields], action: str, lookup_field: str, partition_name: str = ""
) -> list[RowReply]:
    """`POST /rest/v1/leads.json` with at most 300 rows.

    Returns:
        One answer for each row, in the order of `rows`.

    Raises:
        OutcomeUnknownError: a create's answer was lost, or does not have one element for each row.
        AnswerMisfitError: an update's answer does not, three times.
        TooLargeError: the rows make too long a body; nothing was sent.
        MarketoError: the call failed as a whole.
    """
    members = {"action": action, "lookupField": lookup_field}
    if partition_name and action != Action.UPDATE_ONLY:
        members["partitionName"] = partition_name
    call = Call(
        "sync_leads",
        "POST",
        "/rest/v1/leads.json",
        body=rows_body("sync_leads", members, rows),
        rows=len(rows),
        repeatable=action == Action.UPDATE_ONLY,
    )
    lead_ids = [int(row["id"]) for row in rows] if lookup_field == "id" else []
    return client.send(call, lambda reply: by_index(reply, len(rows), "id", lead_ids))


def query_leads(
    client: MarketoClient,
    filter_type: str,
    values: Sequence[str],
    fields: Sequence[str],
    crowded: set[str] | None = None,
) -> list[JsonObject]:
    """`GET /rest/v1/leads.json` for at most 300 values, all pages; halves the values if too many leads match.

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
    try:
        read = pages(client, "query_leads", "/rest/v1/leads.json", query, _read_leads, MOST_PAGES)
        return [lead for page in read for lead in page]
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


def _read_leads(reply: Reply) -> list[JsonObject]:
    leads = as_objects(reply.result, "result")
    for lead in leads:
        if lead.get("id") is not None:
            lead["id"] = number(lead, "id")
    return leads


def describe_leads(client: MarketoClient) -> LeadDescription:
    """Lead fields, from Describe Lead 2, or from Describe Lead if an instance does not offer the former."""
    try:
        return client.send(get("describe_leads", "/rest/v1/leads/describe2.json"), _read_description)
    except NotFoundError:
        return client.send(get("describe_leads", "/rest/v1/leads/describe.json"), _read_description)


def _read_description(reply: Reply) -> LeadDescription:
    fields: dict[str, FieldInfo] = {}
    searchable: set[str] = set()
    for described in as_objects(reply.result, "result"):
        searchable.update(_searchable_names(described))
        fields |= read_fields(as_objects(described["fields"], "fields") if "fields" in described else [described])
    return LeadDescription(fields, frozenset(searchable) if searchable else None)


def _searchable_names(described: JsonObject) -> list[str]:
    names: list[str] = []
    for group in as_list(described.get("searchableFields"), "searchableFields"):
        # Some samples show a plain name where others show a list of names.
        members = group if isinstance(group, list) else [group]
        for member in members:
            if not isinstance(member, str):
                raise misshapen("searchableFields[]", member, "a name")
        if len(members) == 1:
            names.append(members[0])
    return names


def read_fields(described: Sequence[JsonObject]) -> dict[str, FieldInfo]:
    """Fields by REST API name; those that cannot be used over REST are left out."""
    infos = map(read_field, described)
    return {info.name: info for info in infos if info is not None}


def read_field(field: JsonObject) -> FieldInfo | None:
    """One field of either Describe shape; None if it cannot be used over REST."""
    if field.get("rest") is not None:
        rest = as_object(field["rest"], "rest")
        api_name, updateable = text(rest, "name"), not flag(rest, "readOnly")
    else:
        api_name, updateable = text(field, "name"), flag(field, "updateable", default=True)
    if not api_name:
        return None
    return FieldInfo(
        api_name,
        text(field, "dataType") or "string",
        number(field, "length"),
        updateable,
        text(field, "displayName"),
    )


def list_partitions(client: MarketoClient) -> dict[str, int]:
    """Names and ids of the lead partitions this API user sees."""
    return client.send(
        get("partitions", "/rest/v1/leads/partitions.json"),
        lambda reply: {name(row): identity(row) for row in as_objects(reply.result, "result")},
    )
