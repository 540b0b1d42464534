"""Calls made today, as Marketo counts them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.client import get

if TYPE_CHECKING:
    from destination_marketo_programs.marketo.client import MarketoClient


def calls_today(client: MarketoClient) -> int:
    """Calls of this client's API user since midnight (0 where Marketo lists none); needs no permission."""
    reply = client.send(get("usage", "/rest/v1/stats/usage.json"))
    user = client.api_user.casefold()
    today = reply.result[-1] if reply.result else None
    if not isinstance(today, dict):
        return 0
    counts = {
        str(row.get("userId", "")).casefold(): row.get("count")
        for row in today.get("users") or []
        if isinstance(row, dict)
    }
    count = counts.get(user) if user else today.get("total")
    return count if isinstance(count, int) else 0
