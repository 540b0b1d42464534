"""Calls made today, as Marketo counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.calls import Reply, get
from destination_marketo_programs.marketo.envelope import as_object, as_objects, number, text

if TYPE_CHECKING:
    from destination_marketo_programs.marketo.client import MarketoClient


def calls_today(client: MarketoClient) -> int:
    """Calls of this client's API user since midnight (0 if Marketo lists none); needs no permission."""

    def read(reply: Reply) -> int:
        if not reply.result:
            return 0
        today = as_object(reply.result[-1], "result[]")
        user = client.api_user.casefold()
        if not user:
            return number(today, "total") or 0
        users = as_objects(today.get("users"), "users")
        return next((number(row, "count") or 0 for row in users if text(row, "userId").casefold() == user), 0)

    return client.send(get("usage", "/rest/v1/stats/usage.json"), read)
