"""Usage and error counters of the instance; no permission needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .request import Answer

if TYPE_CHECKING:
    from .instance import Instance
    from .request import Request

_WEEK = 7


def usage_today(instance: Instance, _request: Request) -> Answer:
    """Calls of each user today. Calls under way are not in it yet."""
    return Answer(instance.limits.usage(1))


def usage_last_week(instance: Instance, _request: Request) -> Answer:
    """Calls of each user for each of the last seven days."""
    return Answer(instance.limits.usage(_WEEK))


def errors_today(instance: Instance, _request: Request) -> Answer:
    """Response codes of today."""
    return Answer(instance.limits.errors(1))


def errors_last_week(instance: Instance, _request: Request) -> Answer:
    """Response codes for each of the last seven days."""
    return Answer(instance.limits.errors(_WEEK))
