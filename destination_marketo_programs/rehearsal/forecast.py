"""What a write would cost: calls, minutes, and whether the day's budget has room for them."""

from __future__ import annotations

import math
import threading
from collections import Counter
from enum import StrEnum
from typing import NamedTuple

from destination_marketo_programs.marketo.limits import WINDOW_SECONDS

_SECONDS_PER_MINUTE = 60


class Stage(StrEnum):
    """What a call of a write is for."""

    CHECKS = "checks"
    PEOPLE = "people"
    MEMBERSHIPS = "memberships"


class WriteCalls:
    """Counts the calls that a write would have made where the plan looked instead; any thread may count."""

    def __init__(self, checks: int) -> None:
        self._counts: Counter[Stage] = Counter({Stage.CHECKS: checks})
        self._lock = threading.Lock()

    def add(self, stage: Stage, calls: int = 1) -> None:
        """Count calls."""
        with self._lock:
            self._counts[stage] += calls

    def of(self, stage: Stage) -> int:
        """Calls so far."""
        return self._counts[stage]


class Forecast(NamedTuple):
    """The cost of a write with the batches that the plan has seen.

    Attributes:
        people_created: people that Marketo does not have yet.
        members_created, members_moved: memberships that begin, and that go to another status.
        checks, people, memberships: calls of each kind, retries aside.
        calls_per_20_seconds: the configured pace.
        calls_used_today: by this API user, those of the plan itself among them.
        daily_call_budget: None where none is set.
        unaskable_people: people taken as new because Marketo cannot be asked for their key.
    """

    people_created: int
    members_created: int
    members_moved: int
    checks: int
    people: int
    memberships: int
    calls_per_20_seconds: int
    calls_used_today: int
    daily_call_budget: int | None
    unaskable_people: int

    @property
    def calls(self) -> int:
        """All calls of the write."""
        return self.checks + self.people + self.memberships

    @property
    def minutes(self) -> float:
        """How long the pace alone makes it take; Marketo's own slowness comes on top."""
        return self.calls / self.calls_per_20_seconds * WINDOW_SECONDS / _SECONDS_PER_MINUTE

    @property
    def calls_missing(self) -> int | None:
        """By how many calls today's budget is too small; None without budget."""
        if self.daily_call_budget is None:
            return None
        return max(self.calls - max(self.daily_call_budget - self.calls_used_today, 0), 0)


def forecast_lines(forecast: Forecast) -> list[str]:
    """The forecast as sentences."""
    lines = [f"People to be created in Marketo: {forecast.people_created:,}."]
    lines.append(
        f"New memberships: {forecast.members_created:,}. Memberships that move to another status: "
        f"{forecast.members_moved:,}."
    )
    if forecast.unaskable_people:
        lines.append(
            f"{forecast.unaskable_people:,} of the people are taken as not in Marketo without a look: the value of "
            "their lookup field holds a comma, and Marketo cannot be asked for such values."
        )
    lines.append(
        f"A sync of these records with delivery.method rest would make {_count(forecast.calls, 'call')} "
        f"({forecast.checks:,} for the checks, {forecast.people:,} for people, {forecast.memberships:,} for "
        f"memberships), which takes {_duration(forecast.minutes)} at {forecast.calls_per_20_seconds} calls per "
        "20 seconds."
    )
    lines.append(_budget_line(forecast))
    return lines


def _budget_line(forecast: Forecast) -> str:
    used, missing = forecast.calls_used_today, forecast.calls_missing
    if forecast.daily_call_budget is None or missing is None:
        return (
            f"This API user has made {_count(used, 'call')} today, those for this forecast included; "
            "delivery.daily_call_budget is not set."
        )
    of_budget = (
        f"{used:,} of the {forecast.daily_call_budget:,} calls of delivery.daily_call_budget are used up today, "
        "those for this forecast included"
    )
    if not missing:
        return f"{of_budget}: the sync fits."
    return (
        f"{of_budget}: the sync needs {missing:,} more than are left. It would stop there, and go on with the next "
        "sync after the daily reset. Raise the budget if Marketo's daily quota has room."
    )


def _duration(minutes: float) -> str:
    if minutes <= 1:
        return "less than a minute"
    return f"about {math.ceil(minutes):,} minutes"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
