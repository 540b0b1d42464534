"""A bounded log of the calls made, for tests and for the page."""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Call(msgspec.Struct):
    """One HTTP call.

    Attributes:
        number: 1 for the first call since the start or the last reset.
        endpoint: name from the route table, e.g. `leads.sync`; `unknown` for other paths.
        writes: whether the endpoint can change leads or members.
        records: input rows, filter values or file rows; 0 where the call was refused before they were read.
        keys: whom it was about: folded lookup values, or `program:lead id`. Empty if that is not logged.
        http_status: 0 where the connection was cut instead of an answer.
        code: response-level error code as text; None for success.
        row_codes: record-level codes and how often each came.
        executed: whether leads or members were read or written.
        fault: what the sandbox did on purpose, or None.
        started, ended: monotonic seconds; `ended` is None while the call is under way.
    """

    number: int
    endpoint: str
    method: str
    path: str
    writes: bool
    started: float
    user: str | None = None
    records: int = 0
    keys: tuple[str, ...] = ()
    http_status: int = 0
    code: str | None = None
    row_codes: dict[str, int] = {}
    executed: bool = False
    fault: str | None = None
    request_id: str | None = None
    ended: float | None = None


class CallLog:
    """What was called, when, and how it ended. Counters are exact; the log keeps the newest calls."""

    def __init__(self, kept: int) -> None:
        self._lock = threading.Condition()
        self._kept: deque[Call] = deque(maxlen=kept)
        self._numbers = 0
        self._by_endpoint: Counter[str] = Counter()
        self._by_ending: Counter[tuple[str, str]] = Counter()

    def begin(self, call: Call, kept: bool) -> None:
        """Note that a call has arrived; gives it its number."""
        with self._lock:
            self._numbers += 1
            call.number = self._numbers
            self._by_endpoint[call.endpoint] += 1
            if kept:
                self._kept.append(call)
            self._lock.notify_all()

    def end(self, call: Call, at: float) -> None:
        """Note that a call has been answered."""
        with self._lock:
            call.ended = at
            ending = call.code or ("cut" if call.http_status == 0 else str(call.http_status))
            self._by_ending[call.endpoint, ending] += 1
            self._lock.notify_all()

    def executed_late(self, call: Call) -> None:
        """Note that a call whose connection was cut has been executed after all."""
        with self._lock:
            call.executed = True
            self._lock.notify_all()

    def __len__(self) -> int:
        with self._lock:
            return self._numbers

    def all(self, endpoint: str | None = None) -> list[Call]:
        """Calls still in the log, oldest first; of one endpoint if named."""
        with self._lock:
            return [call for call in self._kept if endpoint is None or call.endpoint == endpoint]

    def count(self, endpoint: str | None = None) -> int:
        """Calls made since the start or reset, refused and cut ones included; of one endpoint if named."""
        with self._lock:
            return self._numbers if endpoint is None else self._by_endpoint[endpoint]

    def counters(self) -> dict[str, dict[str, int]]:
        """Endpoint -> ending -> calls. An ending is a response code, else the HTTP status, else `cut`."""
        with self._lock:
            table: dict[str, dict[str, int]] = {}
            for (endpoint, ending), count in sorted(self._by_ending.items()):
                table.setdefault(endpoint, {})[ending] = count
            return table

    def writes(self) -> list[Call]:
        """Calls to endpoints that can change leads or members."""
        return [call for call in self.all() if call.writes]

    def most_at_once(self, endpoints: Iterable[str] | None = None) -> int:
        """Most API calls (no token calls) that were under way at one moment, of those in the log."""
        wanted = None if endpoints is None else set(endpoints)
        moments: list[tuple[float, int]] = []
        for call in self.all():
            if call.endpoint == "identity.token" or (wanted is not None and call.endpoint not in wanted):
                continue
            moments.append((call.started, 1))
            if call.ended is not None:
                moments.append((call.ended, -1))
        # At the same instant an end counts before a start.
        moments.sort()
        most = now = 0
        for _, change in moments:
            now += change
            most = max(most, now)
        return most

    def overlaps(self) -> list[tuple[Call, Call, str]]:
        """Pairs of write calls that were under way together and shared a key, with one such key."""
        found = []
        running: list[Call] = []
        for call in sorted(self.writes(), key=lambda call: call.started):
            running = [other for other in running if other.ended is None or other.ended > call.started]
            keys = set(call.keys)
            for other in running:
                shared = keys.intersection(other.keys)
                if shared:
                    found.append((other, call, min(shared)))
            running.append(call)
        return found

    def wait(self, condition: Callable[[CallLog], bool], timeout_seconds: float = 30.0) -> bool:
        """Block until `condition(log)` holds, looked at as each call arrives and ends; False on time-out."""
        with self._lock:
            return self._lock.wait_for(lambda: condition(self), timeout_seconds)

    def clear(self) -> None:
        """Forget everything, and number from 1 again."""
        with self._lock:
            self._kept.clear()
            self._numbers = 0
            self._by_endpoint.clear()
            self._by_ending.clear()
