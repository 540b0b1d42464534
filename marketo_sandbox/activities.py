"""What Marketo remembers of changes: new leads, changed values, statuses in programs, merges and deletions.

Types, ids and attribute names are those that instances show and that Airbyte's source for Marketo reads. How they are
asked for: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/lead-database/activities
"""

from __future__ import annotations

import bisect
import itertools
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Set as AbstractSet

Json = dict[str, Any]


class Kind(IntEnum):
    """Activity type ids."""

    NEW_LEAD = 12
    CHANGE_DATA_VALUE = 13
    MERGE_LEADS = 32
    DELETE_LEAD = 37
    CHANGE_STATUS = 104
    CHANGE_MEMBER_DATA = 123


class ActivityType(msgspec.Struct, frozen=True):
    """One type, as Get Activity Types tells of it. `primary` and `attributes` are (name, data type)."""

    id: int
    name: str
    description: str
    attributes: tuple[tuple[str, str], ...]
    primary: tuple[str, str] | None = None

    def described(self) -> Json:
        """The type as the endpoint shows it."""
        row: Json = {"id": self.id, "name": self.name, "description": self.description}
        if self.primary is not None:
            row["primaryAttribute"] = {"name": self.primary[0], "dataType": self.primary[1]}
        row["attributes"] = [{"name": name, "dataType": data_type} for name, data_type in self.attributes]
        return row


_CHANGE: Final = (("New Value", "string"), ("Old Value", "string"), ("Reason", "string"), ("Source", "string"))

TYPES: Final = (
    ActivityType(
        Kind.NEW_LEAD,
        "New Lead",
        "New person/record is added to the lead database",
        (("Created Date", "date"), ("Lead Source", "string"), ("Source Type", "string")),
    ),
    ActivityType(
        Kind.CHANGE_DATA_VALUE,
        "Change Data Value",
        "Changed attribute value for a person/record",
        _CHANGE,
        ("Attribute Name", "string"),
    ),
    ActivityType(
        Kind.MERGE_LEADS,
        "Merge Leads",
        "Merge two or more people into a single record",
        (("Merge IDs", "string"), ("Merge Source", "string"), ("Merged in Sales", "boolean")),
        ("Lead ID", "integer"),
    ),
    ActivityType(
        Kind.DELETE_LEAD,
        "Delete Lead",
        "Delete person/record from the lead database",
        (("Campaign", "string"), ("Remove From CRM", "boolean")),
        ("Lead ID", "integer"),
    ),
    ActivityType(
        Kind.CHANGE_STATUS,
        "Change Status in Progression",
        "Changed person's status in a program",
        (
            ("Acquired By", "boolean"),
            ("New Status", "string"),
            ("Old Status", "string"),
            ("Reason", "string"),
        ),
        ("Program", "string"),
    ),
    ActivityType(
        Kind.CHANGE_MEMBER_DATA,
        "Change Program Member Data",
        "Changed attribute value for a program member",
        (("Attribute Display Name", "string"), *_CHANGE),
        ("Program", "string"),
    ),
)


class Activity(msgspec.Struct, frozen=True, gc=False):
    """One activity. `at` is seconds since 1970; `attributes` by display name."""

    id: int
    at: float
    lead_id: int
    kind: Kind
    primary_id: int | None
    primary_value: str | None
    attributes: Json


class ActivityLog:
    """Activities in the order in which they happened. Guarded by the store's lock.

    Args:
        enabled: False keeps none, for runs of millions of leads.
    """

    def __init__(self, enabled: bool) -> None:
        self.enabled = enabled
        self._kept: list[Activity] = []

    def __len__(self) -> int:
        return len(self._kept)

    def add(
        self,
        kind: Kind,
        lead_id: int,
        at: float,
        attributes: Json,
        primary: tuple[int | None, str] | None = None,
    ) -> None:
        """Note one; blank attributes are left out, as Marketo does."""
        if not self.enabled:
            return
        last = self._kept[-1].at if self._kept else 0.0
        kept = {name: value for name, value in attributes.items() if value is not None and value != ""}
        primary_id, primary_value = primary if primary is not None else (None, None)
        number = len(self._kept) + 1
        self._kept.append(Activity(number, max(at, last), lead_id, kind, primary_id, primary_value, kept))

    def latest_of(self, lead_id: int, most: int) -> list[Activity]:
        """The last activities of a lead, newest first."""
        found = (activity for activity in reversed(self._kept) if activity.lead_id == lead_id)
        return list(itertools.islice(found, most))

    def first_since(self, at: float) -> int:
        """Position of the first activity at or after that time."""
        return bisect.bisect_left(self._kept, at, key=lambda activity: activity.at)

    def matching(
        self,
        start: int,
        kinds: AbstractSet[int],
        lead_ids: AbstractSet[int] | None = None,
        primary_ids: AbstractSet[int] | None = None,
    ) -> Iterator[tuple[int, Activity]]:
        """Activities from a position on, with their positions. None for all leads and assets."""
        for position in range(start, len(self._kept)):
            activity = self._kept[position]
            if (
                activity.kind in kinds
                and (lead_ids is None or activity.lead_id in lead_ids)
                and (primary_ids is None or activity.primary_id in primary_ids)
            ):
                yield position, activity
