"""Where people went who were merged: what Marketo's activity log says of it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from destination_marketo_programs.marketo.activities import Activity

_NUMBER = re.compile(r"[0-9]+").findall


class Trace:
    """Follows lead ids through any number of merges.

    Args:
        gone: ids that mean nobody any more.

    Attributes:
        into: where each of them went, as far as the activities seen so far say.
    """

    def __init__(self, gone: Collection[int]) -> None:
        self.into: dict[int, int] = {}
        self._followers: dict[int, list[int]] = {lead: [lead] for lead in gone}

    def see(self, activity: Activity) -> None:
        """Take one activity *Merge Leads*; oldest first."""
        merged = {int(number) for number in _NUMBER(str(activity.attributes.get("Merge IDs") or ""))}
        if activity.primary_id is not None:
            merged.add(activity.primary_id)
        for lead in merged - {activity.lead_id}:
            for follower in self._followers.pop(lead, ()):
                self.into[follower] = activity.lead_id
                self._followers.setdefault(activity.lead_id, []).append(follower)
