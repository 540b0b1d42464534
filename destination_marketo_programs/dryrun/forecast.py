"""What a write would cost: calls, minutes, and whether the day's budget has room for them."""

from __future__ import annotations

import math
import threading
from collections import Counter
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.imports.pace import ROWS_PER_SECOND, START_SECONDS, rows_worth_a_job
from destination_marketo_programs.marketo.limits import WINDOW_SECONDS
from destination_marketo_programs.text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from destination_marketo_programs.dryrun.files import FilesForecast

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

    def people(self) -> None:
        """Count a call about people."""
        self._add(Stage.PEOPLE)

    def memberships(self) -> None:
        """Count a call about memberships."""
        self._add(Stage.MEMBERSHIPS)

    def _add(self, stage: Stage) -> None:
        with self._lock:
            self._counts[stage] += 1

    def of(self, stage: Stage) -> int:
        """Calls so far."""
        return self._counts[stage]


class Cost(NamedTuple):
    """Calls by what they are for."""

    checks: int
    imports: int
    people: int
    memberships: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


class Forecast(NamedTuple):
    """The cost of a write with the batches that the plan has seen.

    Attributes:
        people_created: people that Marketo does not have yet.
        members_created, members_moved: memberships that begin, and that go to another status.
        checks, people, memberships: calls of each kind if everything goes over REST, retries aside.
        calls_per_20_seconds: the configured pace.
        calls_used_today: by this API user, those of the plan itself among them.
        daily_call_budget: None if none is set.
        unaskable_people: people taken as new because Marketo cannot be asked for their key.
        method: `delivery.method`.
        files: what would go by file; None if `method` or `lead_sync` rules that out.
        program_names: how texts name programs, by id.
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
    method: str = "rest"
    files: FilesForecast | None = None
    program_names: Mapping[int, str] = MappingProxyType({})

    @property
    def cost(self) -> Cost:
        """Calls of the write by `method`; where files are among them, at most."""
        files = self.files
        if files is None or not files.groups:
            return Cost(self.checks, 0, self.people, self.memberships)
        # What is left to REST never costs more than everything does.
        return Cost(
            self.checks,
            files.calls,
            min(self.people, files.rest_people),
            min(self.memberships, files.rest_memberships),
        )

    @property
    def calls_over_rest(self) -> int:
        """All calls of the write if everything goes over REST."""
        return self.checks + self.people + self.memberships

    @property
    def minutes(self) -> float:
        """How long the pace and import jobs make it take, side by side; Marketo's own slowness comes on top."""
        pace = self.cost.total / self.calls_per_20_seconds * WINDOW_SECONDS
        return max(pace, self.files.seconds if self.files is not None else 0.0) / _SECONDS_PER_MINUTE

    @property
    def calls_missing(self) -> int | None:
        """By how many calls today's budget is too small; None without budget."""
        if self.daily_call_budget is None:
            return None
        return max(self.cost.total - max(self.daily_call_budget - self.calls_used_today, 0), 0)


def forecast_lines(forecast: Forecast) -> list[str]:
    """The forecast as sentences."""
    lines = [f"People to be created in Marketo: {forecast.people_created:,}."]
    lines.append(
        f"New program members: {forecast.members_created:,}. Statuses that would be updated: "
        f"{forecast.members_moved:,}."
    )
    if forecast.unaskable_people:
        lines.append(
            f"{_people(forecast.unaskable_people)} assumed not to be in Marketo: Marketo cannot be asked for values of "
            "the lookup field that hold a comma."
        )
    lines += _method_lines(forecast)
    lines.append(_cost_line(forecast))
    lines.append(_budget_line(forecast))
    return lines


def _method_lines(forecast: Forecast) -> list[str]:
    """What goes into files, or why nothing does."""
    files, method = forecast.files, forecast.method
    if method == "rest":
        return []
    if files is None:
        reason = "lead_sync asks for what an import cannot do."
        return [f"With delivery.method {method} everything is sent over REST: {reason}"]
    if not files.groups:
        if method == "bulk":
            return ["With delivery.method bulk everything is sent over REST: none of the records can be imported."]
        least, with_fields = rows_worth_a_job(), rows_worth_a_job(member_fields=True)
        reason = (
            f"bulk import starts at {least:,} people with the same fields per program and status "
            f"({with_fields:,} with membership fields)."
        )
        return [f"With delivery.method {method} everything is sent over REST: {reason}"]
    would = f"{_count(files.files, 'file')} would be sent by bulk import"
    lines = [f"With delivery.method {method}, {would}, and everything else over REST:"]
    for group in files.groups:
        name = forecast.program_names.get(group.program_id, f"({group.program_id})")
        rest = f", and {group.rest_rows:,} over REST" if group.rest_rows else ""
        size = f"{_count(group.rows, 'row')} in {_count(group.files, 'file')}, up to {_count(group.calls, 'call')}"
        lines.append(f"  {name}, {quoted(group.program_status)}: {size}{rest}")
    lines.append(
        'The outcome of rows in a file is "imported" where this plan says created, updated or unchanged: Marketo does '
        "not report more than that."
    )
    return lines


def _cost_line(forecast: Forecast) -> str:
    cost, pace = forecast.cost, f"{forecast.calls_per_20_seconds} calls per 20 seconds"
    duration = _duration(forecast.minutes)
    rest = f"{cost.people:,} for people, {cost.memberships:,} for memberships"
    if not cost.imports:
        return (
            f"A sync of these records with delivery.method {forecast.method} would make {_count(cost.total, 'call')} "
            f"({cost.checks:,} for the checks, {rest}), which takes {duration} at {pace}."
        )
    return (
        f"A sync of these records with delivery.method {forecast.method} would make up to {cost.total:,} calls: "
        f"{cost.checks:,} for the checks, {cost.imports:,} for files, {rest}. With rest it would make "
        f"{forecast.calls_over_rest:,}. That takes {duration} at {pace}, if an import takes "
        f"{START_SECONDS:g} seconds and 1 more for each {ROWS_PER_SECOND:,} rows."
    )


def _budget_line(forecast: Forecast) -> str:
    used, missing = forecast.calls_used_today, forecast.calls_missing
    if forecast.daily_call_budget is None or missing is None:
        return (
            f"This API user has made {_count(used, 'call')} today, including this forecast's; "
            "delivery.daily_call_budget is not set."
        )
    of_budget = (
        f"{used:,} of the {forecast.daily_call_budget:,} calls of delivery.daily_call_budget are used up today, "
        "including this forecast's"
    )
    if not missing:
        return f"{of_budget}: the sync fits."
    return (
        f"{of_budget}: the sync needs {missing:,} more than are left. It would stop there, and resume with the next "
        "sync after the daily reset. Raise the budget if Marketo's daily quota has room."
    )


def _duration(minutes: float) -> str:
    if minutes <= 1:
        return "less than a minute"
    return f"about {math.ceil(minutes):,} minutes"


def _people(number: int) -> str:
    return "1 person is" if number == 1 else f"{number:,} people are"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
