"""The lead partitions that the API user sees, and what several of them mean for new people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.model import Problem
from destination_marketo_programs.text import Names, did_you_mean, folded, listed, quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.preflight.asking import Facts


def partition_problems(settings: Settings, facts: Facts) -> Iterator[Problem]:
    """A partition that Marketo does not have or does not show."""
    name = settings.lead_sync.partition_name
    if not name or facts.partitions is None or name in facts.partitions:
        return
    near = Names(facts.partitions).nearest(name)
    spelled = near is not None and folded(near) == folded(name)
    yield Problem(
        ("lead_sync", "partition_name"),
        f"{quoted(name)} is not spelled as in Marketo: upper and lower case and spaces count."
        if spelled
        else f"The API user cannot see a lead partition {quoted(name)} in Marketo.",
        f"{did_you_mean(near)}There are {listed(facts.partitions)}."
        if facts.partitions
        else "Leave it blank: the API user sees no partition at all.",
    )


def partition_notes(settings: Settings, facts: Facts) -> Iterator[str]:
    """Several partitions, and none chosen."""
    if settings.lead_sync.partition_name or facts.partitions is None or len(facts.partitions) < 2:  # noqa: PLR2004
        return
    several = f"Marketo has several lead partitions ({listed(facts.partitions)}), and lead_sync.partition_name is blank"
    if settings.delivery.method == "bulk":
        yield f"{several}: Marketo chooses the partition of people whom a bulk import creates."
        return
    creates = settings.lead_sync.mode != "match_only"
    by_rest = ": new people go to the API user's default partition, and" if creates else ", so"
    yield f"{several}{by_rest} bulk import is not used."
