"""Activities over HTTP: their types, paging tokens, and the activities of leads since a token."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Final

from .activities import TYPES
from .clock import lead_database_time
from .errors import ApiError
from .request import Answer, moment
from .settings import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from .activities import Activity
    from .instance import Instance
    from .request import Request
    from .store import Json

_MOST_TYPES: Final = 10
_MOST_LEADS: Final = 30
_TOKEN: Final = re.compile(r"(since|from):(\d+(?:\.\d+)?)")


def types(_instance: Instance, _request: Request) -> Answer:
    """Get Activity Types."""
    return Answer([kind.described() for kind in TYPES])


def paging_token(_instance: Instance, request: Request) -> Answer:
    """Get Paging Token, for activities since a time."""
    at = moment(request.required("sinceDatetime"))
    return Answer(None, next_page_token=_token("since", at))


def query(instance: Instance, request: Request) -> Answer:
    """Get Lead Activities, oldest first, with a token for those that come later even at the end."""
    log = instance.store.activities
    start = _start(instance, request.required("nextPageToken"))
    kinds = _ids(request, "activityTypeIds", _MOST_TYPES)
    if not kinds:
        raise ApiError("1002", "Missing value for required parameter 'activityTypeIds'")
    lead_ids = _ids(request, "leadIds", _MOST_LEADS)
    asset_ids = _ids(request, "assetIds", MAX_ROWS_PER_CALL)
    batch = request.number("batchSize", MAX_ROWS_PER_CALL, MAX_ROWS_PER_CALL)
    rows: list[Json] = []
    following = len(log)
    more = False
    for position, activity in log.matching(start, kinds, lead_ids or None, asset_ids or None):
        if len(rows) == batch:
            following, more = position, True
            break
        rows.append(_row(activity))
    request.call.records = len(lead_ids)
    return Answer(rows, more=more, next_page_token=_token("from", following))


def _row(activity: Activity) -> Json:
    row: Json = {
        "id": activity.id,
        "marketoGUID": str(activity.id),
        "leadId": activity.lead_id,
        "activityDate": lead_database_time(activity.at),
        "activityTypeId": activity.kind,
    }
    if activity.primary_id is not None:
        row["primaryAttributeValueId"] = activity.primary_id
    if activity.primary_value is not None:
        row["primaryAttributeValue"] = activity.primary_value
    return row | {"attributes": [{"name": name, "value": value} for name, value in activity.attributes.items()]}


def _ids(request: Request, name: str, most: int) -> frozenset[int]:
    texts = request.names(name, ())
    if not all(text.isascii() and text.isdigit() for text in texts):
        raise ApiError("1001", f"Invalid value for parameter '{name}'. Required of type 'integer'")
    if len(texts) > most:
        raise ApiError("1003", f"Parameter '{name}' has more than {most} values")
    return frozenset(map(int, texts))


def _token(kind: str, value: float) -> str:
    return base64.b32encode(f"{kind}:{value}".encode()).decode()


def _start(instance: Instance, token: str) -> int:
    """The position in the log that a token stands for.

    Raises:
        ApiError: 1003 for a token that this sandbox never gave.
    """
    try:
        match = _TOKEN.fullmatch(base64.b32decode(token).decode())
    except (binascii.Error, UnicodeDecodeError):
        match = None
    if match is None:
        raise ApiError("1003", "Invalid nextPageToken")
    if match[1] == "since":
        return instance.store.activities.first_since(float(match[2]))
    return int(match[2])
