"""What happened to a membership since it was delivered. Pure: no calls, no clock."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.assets import NOT_IN_PROGRAM
from destination_marketo_programs.outcomes import Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from destination_marketo_programs.marketo.assets import Status


class Verdict(StrEnum):
    """What Marketo holds, compared with what was sent."""

    AS_SENT = "as_sent"
    AHEAD = "ahead"
    BESIDE = "beside"
    BEHIND = "behind"
    MISSING = "missing"
    PERSON_GONE = "person_gone"


OPEN = frozenset({Verdict.BEHIND, Verdict.MISSING, Verdict.PERSON_GONE})
"""Verdicts that somebody has to look at."""
FIXABLE = frozenset({Verdict.BEHIND, Verdict.MISSING})

_Rank = tuple[int, bool, int]


class Ranks:
    """The order of a channel's statuses: by step; of equal steps success last, then as the channel lists them.

    Args:
        statuses: of the channel, in its order; empty if they are not known.
    """

    def __init__(self, statuses: Sequence[Status] = ()) -> None:
        self._ranks: dict[str, _Rank] = {
            status.name: (status.step, status.success, place) for place, status in enumerate(statuses)
        }

    def step(self, status: str) -> int | None:
        """The status's step; None if the channel does not have it (any more)."""
        rank = self._ranks.get(status)
        return None if rank is None else rank[0]

    def highest(self, statuses: Iterable[str]) -> str:
        """The status that delivery sends of several for one lead and program. Unknown ones come first of all."""
        return max(statuses, key=lambda status: (self._ranks.get(status, (-1, False, -1)), status))


def judge(sent: str, found: str | None, ranks: Ranks, *, exists: bool = True) -> Verdict:
    """The verdict on one lead and program.

    Args:
        sent: the highest status that was sent.
        found: the status that Marketo holds; None if the lead is not a member.
        ranks: of the program's channel. A status that it does not have cannot be placed: such a member is `BESIDE`.
        exists: whether Marketo has the lead.
    """
    if not exists:
        return Verdict.PERSON_GONE
    if found is None or found == NOT_IN_PROGRAM:
        return Verdict.MISSING
    if found == sent:
        return Verdict.AS_SENT
    wanted, held = ranks.step(sent), ranks.step(found)
    if wanted is None or held is None or wanted == held:
        return Verdict.BESIDE
    return Verdict.AHEAD if held > wanted else Verdict.BEHIND


def import_result(membership_date: str | None, updated_at: str | None, began: datetime) -> Result | None:
    """What an import did for a member, by the dates that Marketo keeps.

    Args:
        membership_date: as Marketo gives it, ISO 8601 in UTC to the second.
        updated_at: likewise, of the last change.
        began: aware; no later than the upload of the import's file.

    Returns:
        None if Marketo gives no membership date.
    """
    member_since, updated = marketo_time(membership_date), marketo_time(updated_at)
    if member_since is None:
        return None
    began = began.replace(microsecond=0)
    if member_since >= began:
        return Result.CREATED
    return Result.UPDATED if updated is not None and updated >= began else Result.UNCHANGED


def marketo_time(text: str | None) -> datetime | None:
    """A time as Marketo writes it, in UTC unless it says otherwise; None for what is not one."""
    if not text:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
