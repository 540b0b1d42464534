"""The instance's three limits, and the counters behind the usage endpoints."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from .errors import UNCOUNTED_CODES

if TYPE_CHECKING:
    from .clock import Clock
    from .settings import Settings


class Limits:
    """Counts calls as Marketo documents it: every HTTP call but those answered with an uncounted code."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._window: deque[float] = deque()
        self._calls: dict[str, Counter[str]] = {}
        self._errors: dict[str, Counter[str]] = {}
        self.in_flight = 0
        self.most_in_flight = 0
        self.most_in_window = 0

    def enter(self, settings: Settings) -> tuple[str | None, float | None]:
        """Admit a call: its refusal (607, 606, 615 or None), and its mark in the window for `leave`."""
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if not settings.limits:
            return None, None
        if sum(self._calls.get(self._clock.today(), {}).values()) >= settings.daily_calls:
            return "607", None
        now = self._clock.monotonic()
        window = self._window
        while window and window[0] <= now - settings.window_seconds:
            window.popleft()
        if len(window) >= settings.calls_per_window:
            return "606", None
        if self.in_flight > settings.concurrent_calls:
            return "615", None
        window.append(now)
        self.most_in_window = max(self.most_in_window, len(window))
        return None, now

    def leave(self, user: str | None, code: str | None, mark: float | None) -> None:
        """Count a call that has ended.

        Args:
            user: whose call; None if its token was refused.
            code: response-level code, None for success.
            mark: what `enter` returned.
        """
        self.in_flight -= 1
        today = self._clock.today()
        if code is not None:
            self._errors.setdefault(today, Counter())[code] += 1
        if code in UNCOUNTED_CODES:
            if mark is not None and mark in self._window:
                self._window.remove(mark)
            return
        if user is not None:
            self._calls.setdefault(today, Counter())[user] += 1

    def set_calls(self, user: str, count: int) -> None:
        """Say how many calls a user has made today; other users stand for other integrations."""
        self._calls.setdefault(self._clock.today(), Counter())[user] = count

    def calls_today(self, user: str) -> int:
        """Calls counted today for a user."""
        return self._calls.get(self._clock.today(), Counter())[user]

    def usage(self, days: int) -> list[dict[str, Any]]:
        """Rows of the usage endpoint for the last `days` days, oldest first."""
        rows = []
        for day in self._days(days):
            users = self._calls.get(day, Counter())
            counts = [{"userId": user, "count": count} for user, count in sorted(users.items())]
            rows.append({"date": day, "total": sum(users.values()), "users": counts})
        return rows

    def errors(self, days: int) -> list[dict[str, Any]]:
        """Rows of the errors endpoint for the last `days` days, oldest first."""
        rows = []
        for day in self._days(days):
            codes = self._errors.get(day, Counter())
            counts = [{"errorCode": code, "count": count} for code, count in sorted(codes.items())]
            rows.append({"date": day, "total": sum(codes.values()), "errors": counts})
        return rows

    def _days(self, days: int) -> list[str]:
        return [self._clock.day(ago) for ago in reversed(range(days))]
