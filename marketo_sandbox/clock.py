"""Time as the sandbox sees it: the real one, plus what a test adds to it."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone

QUOTA_ZONE = timezone(timedelta(hours=-6), "CST")
"""Where Marketo's day begins. Its pages say "CST"; taken as the fixed offset, summer and winter."""


class Clock:
    """Wall and monotonic time that can be moved forward, so that no test waits an hour for a token to end."""

    def __init__(self) -> None:
        self._ahead_seconds = 0.0

    def advance(self, seconds: float) -> None:
        """Move both clocks forward by `seconds`; pauses that are already under way do not shorten."""
        if seconds < 0:
            raise ValueError("a clock only moves forward")
        self._ahead_seconds += seconds

    def now(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time() + self._ahead_seconds

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; only differences mean anything."""
        return time.monotonic() + self._ahead_seconds

    def today(self) -> str:
        """Date of the daily quota, `YYYY-MM-DD`."""
        return self.day(0)

    def day(self, days_ago: int) -> str:
        """Date of the daily quota `days_ago` days before today, `YYYY-MM-DD`."""
        return (datetime.fromtimestamp(self.now(), QUOTA_ZONE) - timedelta(days=days_ago)).date().isoformat()

    def day_of(self, seconds: float) -> str:
        """Date of the daily quota at a moment given in seconds since 1970, `YYYY-MM-DD`."""
        return datetime.fromtimestamp(seconds, QUOTA_ZONE).date().isoformat()


def lead_database_time(seconds: float) -> str:
    """`2026-08-20T09:11:02Z`, the form of the lead database."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def asset_time(seconds: float) -> str:
    """`2026-08-20T09:11:02Z+0000`, the form of the asset API (which is not valid ISO 8601)."""
    return lead_database_time(seconds) + "+0000"
