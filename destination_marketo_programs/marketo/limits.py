"""The share of Marketo's limits that this connector takes: calls per window, calls at once, calls per day.

Marketo allows an instance 100 calls per 20 seconds, 10 at once and a daily quota, for all integrations together
(Adobe, "Marketo REST API: usage limits"). What is configured is a ceiling; codes 606 and 615 mean that others use
the instance as well, and lower the pace for a while.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.errors import QuotaReachedError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WINDOW_SECONDS = 20.0
WINDOW_MARGIN_SECONDS = 0.4
"""Calls arrive less evenly spaced than they leave: one may wait for its thread's turn, for a new connection, or in the
network. It costs 2% of the pace; the 606 that it prevents costs a third for a minute."""
LOWERED_TO = 0.7
"""Factor on the pace after a 606; a tenth of the ceiling and one call more come back for each calm window."""
SAME_OVERLOAD_SECONDS = 1.0
"""Calls that were under way together are refused together: that is one reason to slow down, not several."""
LOWEST_CALLS_PER_WINDOW = 5
QUOTA_RESET_HOURS_UTC = (5, 6)
"""Midnight in US Central time, by summer and by winter; Adobe's pages do not say which one counts."""


def quota_reset_text(now: datetime) -> str:
    """When the daily quota starts anew, as `YYYY-MM-DD 05:00–06:00 UTC`; `now` is in UTC."""
    early, late = QUOTA_RESET_HOURS_UTC
    day = now.date() if now.hour < late else now.date() + timedelta(days=1)
    return f"{day.isoformat()} {early:02d}:00–{late:02d}:00 UTC (midnight US Central time)"


class Pace:
    """Sliding window of calls and a ceiling of calls at once, adapted to what the instance can take.

    Pure: every method takes the time in monotonic seconds, none waits.
    """

    def __init__(self, calls_per_window: int, concurrent_calls: int) -> None:
        self.ceiling = calls_per_window
        self._concurrent_ceiling = concurrent_calls
        self.calls_per_window = calls_per_window
        self.concurrent_calls = concurrent_calls
        self.in_flight = 0
        self._sent: deque[float] = deque()
        self._paused_until = 0.0
        self._calls_lowered_at = float("-inf")
        self._concurrency_lowered_at = float("-inf")
        self._calm_since = 0.0

    def take(self, now: float) -> float | None:
        """Take a place for one call, or say why not.

        Returns:
            0.0 when taken; seconds to wait when the window or a pause forbids it; None when a running call has to
            end first.
        """
        wait = self.seconds_until_free(now)
        if wait == 0.0:
            self._sent.append(now)
            self.in_flight += 1
        return wait

    def seconds_until_free(self, now: float) -> float | None:
        """As `take`, without taking."""
        self._climb(now)
        while self._sent and self._sent[0] <= now - WINDOW_SECONDS - WINDOW_MARGIN_SECONDS:
            self._sent.popleft()
        if now < self._paused_until:
            return self._paused_until - now
        if self.in_flight >= self.concurrent_calls:
            return None
        excess = len(self._sent) - self.calls_per_window
        if excess >= 0:
            return max(self._sent[excess] + WINDOW_SECONDS + WINDOW_MARGIN_SECONDS - now, 0.001)
        return 0.0

    def give_back(self) -> None:
        """A call has ended."""
        self.in_flight -= 1

    def too_many_calls(self, now: float, pause_seconds: float) -> None:
        """606: everybody pauses, and the window gets smaller."""
        self._paused_until = max(self._paused_until, now + pause_seconds)
        self._calm_since = now
        if now - self._calls_lowered_at >= SAME_OVERLOAD_SECONDS:
            self._calls_lowered_at = now
            self.calls_per_window = max(
                min(LOWEST_CALLS_PER_WINDOW, self.ceiling), int(self.calls_per_window * LOWERED_TO)
            )

    def too_many_at_once(self, now: float) -> None:
        """615: one call fewer at once."""
        self._calm_since = now
        if now - self._concurrency_lowered_at >= SAME_OVERLOAD_SECONDS:
            self._concurrency_lowered_at = now
            self.concurrent_calls = max(1, self.concurrent_calls - 1)

    def _climb(self, now: float) -> None:
        while (
            self.calls_per_window < self.ceiling or self.concurrent_calls < self._concurrent_ceiling
        ) and now - self._calm_since >= WINDOW_SECONDS:
            self.calls_per_window = min(self.ceiling, self.calls_per_window + 1 + self.ceiling // 10)
            self.concurrent_calls = min(self._concurrent_ceiling, self.concurrent_calls + 1)
            self._calm_since += WINDOW_SECONDS


class Budget:
    """Calls of this API user today against `daily_call_budget`; None: no limit of our own."""

    def __init__(self, calls_per_day: int | None) -> None:
        self.calls_per_day = calls_per_day
        self.used_before = 0
        self.used_now = 0

    def note_used_before(self, calls: int) -> None:
        """Learn how many calls this API user made today before this run."""
        self.used_before = calls

    def count(self) -> None:
        """One more call is made."""
        self.used_now += 1

    @property
    def used_today(self) -> int:
        """Calls of this API user since midnight, as far as known: Marketo's count plus our own."""
        return self.used_before + self.used_now

    @property
    def exhausted(self) -> bool:
        """Whether the next call would exceed the budget."""
        return self.left <= 0

    @property
    def left(self) -> float:
        """Calls that the budget still allows today."""
        return float("inf") if self.calls_per_day is None else self.calls_per_day - self.used_today


class Gate:
    """Where threads wait for their turn to call: `Pace` and `Budget` behind one lock, and a way to stop waiting."""

    def __init__(
        self,
        pace: Pace,
        budget: Budget,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pace = pace
        self.budget = budget
        self.clock = clock
        self.stopping = False
        self.slowed_down = 0
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, endpoint: str) -> Iterator[None]:
        """Wait for a turn, and hold it for the duration of one HTTP call.

        Raises:
            QuotaReachedError: the budget is used up.
            StoppedError: the process is ending.
        """
        with self._changed:
            while True:
                if self.stopping:
                    raise StoppedError(endpoint, "stop")
                if self.budget.exhausted:
                    raise QuotaReachedError(endpoint, "daily_call_budget")
                wait = self.pace.take(self.clock())
                if wait == 0.0:
                    break
                self._changed.wait(wait)
            self.budget.count()
        try:
            yield
        finally:
            with self._changed:
                self.pace.give_back()
                self._changed.notify_all()

    def pause(self, seconds: float) -> bool:
        """Wait; returns False as soon as the process is ending."""
        until = self.clock() + seconds
        with self._changed:
            while not self.stopping:
                left = until - self.clock()
                if left <= 0:
                    return True
                self._changed.wait(left)
        return False

    def slow_down(self, code: str, pause_seconds: float) -> None:
        """Marketo said 606 or 615."""
        with self._changed:
            self.slowed_down += 1
            if code == "615":
                self.pace.too_many_at_once(self.clock())
            else:
                self.pace.too_many_calls(self.clock(), pause_seconds)

    def seconds_until_free(self) -> float | None:
        """Seconds until a call could go out now; 0 at once, None after a running call has ended."""
        with self._changed:
            return self.pace.seconds_until_free(self.clock())

    def stop(self) -> None:
        """No further call begins, and whoever waits is woken."""
        with self._changed:
            self.stopping = True
            self._changed.notify_all()


def utc_now() -> datetime:
    """The wall clock, in UTC."""
    return datetime.now(tz=UTC)
