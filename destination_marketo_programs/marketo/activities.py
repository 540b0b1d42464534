"""Activities: what happened to leads, such as a change of status that this connector did not make."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.marketo.client import MarketoClient, get

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

CHANGE_STATUS_IN_PROGRESSION = 104
"""Activity type: somebody or something moved a person within a program, or out of it."""
MAX_LEADS_PER_QUERY = 30
MAX_TYPES_PER_QUERY = 10


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
    client: MarketoClient, type_ids: Sequence[int], since: datetime, lead_ids: Sequence[int] = ()
) -> Iterator[Activity]:
    """`GET /rest/v1/activities.json`, page by page, oldest first.

    Marketo reads its log 300 entries at a time, whatever their type: a page may be empty and the next one not.

    Args:
        client: reads.
        type_ids: at most 10.
        since: aware; entries from then on.
        lead_ids: at most 30; empty for all leads of the instance.
    """
    start = {"sinceDatetime": since.isoformat(timespec="seconds")}
    token = client.send(get("paging_token", "/rest/v1/activities/pagingtoken.json", start)).members["nextPageToken"]
    query = {"activityTypeIds": ",".join(map(str, type_ids)), "nextPageToken": str(token)}
    if lead_ids:
        query["leadIds"] = ",".join(map(str, lead_ids))
    while True:
        reply = client.send(get("activities", "/rest/v1/activities.json", query))
        for row in reply.result:
            activity = _read_activity(row)
            if activity is not None:
                yield activity
        token = reply.members.get("nextPageToken")
        if reply.members.get("moreResult") is not True or not token:
            return
        query["nextPageToken"] = str(token)


def _read_activity(row: Any) -> Activity | None:
    if not isinstance(row, dict) or type(row.get("leadId")) is not int:
        return None
    primary_id = row.get("primaryAttributeValueId")
    return Activity(
        row["leadId"],
        int(row.get("activityTypeId") or 0),
        str(row.get("activityDate") or ""),
        primary_id if type(primary_id) is int else None,
        str(row.get("primaryAttributeValue") or ""),
        {
            attribute["name"]: attribute.get("value")
            for attribute in row.get("attributes") or []
            if isinstance(attribute, dict) and isinstance(attribute.get("name"), str)
        },
    )
