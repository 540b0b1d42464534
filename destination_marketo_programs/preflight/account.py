"""Calls made today against the budget."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.limits import quota_reset_text
from destination_marketo_programs.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from destination_marketo_programs.config import Settings


def budget_problems(settings: Settings, used_today: int | None, now: datetime) -> Iterator[Problem]:
    """A budget that leaves no call for today."""
    budget = settings.delivery.daily_call_budget
    if budget is not None and used_today is not None and used_today >= budget:
        yield Problem(
            ("delivery", "daily_call_budget"),
            f"The API user of this client ID has made {used_today:,} calls today, and the budget is {budget:,}. "
            "A sync would stop before its first record.",
            f"Raise the budget, or wait until {quota_reset_text(now)}.",
        )


def budget_notes(settings: Settings, used_today: int | None) -> Iterator[str]:
    """How much of the budget is left; or that nobody knows."""
    budget = settings.delivery.daily_call_budget
    if budget is None:
        return
    if used_today is None:
        yield (
            "Marketo does not report how many calls were made today, so delivery.daily_call_budget counts the calls "
            "of this sync only."
        )
    elif used_today < budget:
        yield f"{used_today:,} of the {budget:,} calls of delivery.daily_call_budget were made today."
