"""Activities: what happened to leads, such as a change of status that this connector did not make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.marketo.calls import Reply, get
from destination_marketo_programs.marketo.envelope import as_objects, identity, name, number, text
from destination_marketo_programs.marketo.paging import pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.marketo.envelope import JsonObject

MERGE_LEADS = 32
"""Activity type: people were merged into the one whose activity it is."""
CHANGE_STATUS_IN_PROGRESSION = 104
"""Activity type: somebody or something moved a person within a program, or out of it."""
MAX_LEADS_PER_QUERY = 30
MOST_PAGES = 10_000


class Activity(NamedTuple):
    """One entry of a lead's activity log.

    Attributes:
        at: as Marketo writes it, ISO 8601 in UTC.
        primary_id, primary: what the activity is about; for a change of status the program's id and name.
        attributes: by name, e.g. `Old Status`, `New Status`, `Reason`. May hold person data.
    """

    lead_id: int
    type_id: int
    at: str
    primary_id: int | None
    primary: str
    attributes: dict[str, Any]


def list_activities(
    client: MarketoClient,
    type_ids: Sequence[int],
    since: datetime,
    lead_ids: Sequence[int] = (),
    most_pages: int = MOST_PAGES,
) -> Iterator[Activity]:
    """`GET /rest/v1/activities.json`, page by page, oldest first.

    Marketo reads its log 300 entries at a time, whatever their type: a page may be empty and the next one not.

    Args:
        client: reads.
        type_ids: at most 10.
        since: aware; entries from then on.
        lead_ids: at most 30; empty for all leads of the instance.
        most_pages: AnswerMisfitError after so many.
    """
    start = {"sinceDatetime": since.isoformat(timespec="seconds")}
    token = client.send(
        get("paging_token", "/rest/v1/activities/pagingtoken.json", start),
        lambda reply: name(reply.members, "nextPageToken"),
    )
    query = {"activityTypeIds": ",".join(map(str, type_ids)), "nextPageToken": token}
    if lead_ids:
        query["leadIds"] = ",".join(map(str, lead_ids))
    for page in pages(client, "activities", "/rest/v1/activities.json", query, _read_page, most_pages):
        yield from page


def _read_page(reply: Reply) -> list[Activity]:
    return [_read_activity(row) for row in as_objects(reply.result, "result")]


def _read_activity(row: JsonObject) -> Activity:
    return Activity(
        identity(row, "leadId"),
        identity(row, "activityTypeId"),
        text(row, "activityDate"),
        number(row, "primaryAttributeValueId"),
        text(row, "primaryAttributeValue"),
        {name(attribute): attribute.get("value") for attribute in as_objects(row.get("attributes"), "attributes")},
    )
