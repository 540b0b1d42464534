"""What the loop knows of a kind of call: who waits for it, whether one is worth making, what its answer means."""

from __future__ import annotations

import heapq
from enum import IntEnum
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

K = TypeVar("K")
V = TypeVar("V")

NEVER = float("inf")


class Why(IntEnum):
    """Why a call is worth making now."""

    FULL = 0
    """It has no room for more, or its time has come (a repeat, a poll)."""
    OLD = 1
    """Somebody has waited long enough."""
    LEFT = 2
    """Nothing else will come to fill it."""


class Call(NamedTuple):
    """A call to be made in a worker, and what is done with its value in the thread that owns the run."""

    stage: Stage
    run: Callable[[], Any]
    finish: Callable[[Any], None]


class Stage(Protocol):
    """A kind of call. Every method is called in the thread that owns the run."""

    in_flight: int
    """Calls taken whose `finish` has not been called."""

    @property
    def full(self) -> bool:
        """Whether no further record should be read because of what waits here."""

    def __len__(self) -> int:
        """Entries that wait here, parked ones included; 0 exactly when nothing is left to do."""

    def oldest(self) -> float:
        """Arrival (monotonic seconds) of the entry that could go now and has waited longest; NEVER without one."""

    def due_in(self, now: float) -> float:
        """Seconds until something timed is due (a repeat, a poll); NEVER without one."""

    def advance(self, now: float, *, ended: bool) -> None:
        """Do what needs no call. `ended`: nothing will come from the input any more."""

    def lost(self) -> None:
        """A call of this stage ended with an exception, which ends the run; its `finish` is not called."""

    def take(self, why: Why, now: float) -> Call | None:
        """A call that is worth making for this reason; None if there is none. Counts it as in flight."""


class Line(Generic[K, V]):
    """One call at a time for each key: what comes for a key in flight is parked behind it."""

    def __init__(self) -> None:
        self._busy: set[K] = set()
        self._parked: dict[K, list[V]] = {}
        self.parked = 0
        """Values that wait behind a key in flight."""

    def __contains__(self, key: K) -> bool:
        """Whether the key is in flight."""
        return key in self._busy

    def parks(self, key: K, value: V) -> bool:
        """Park a value whose key is in flight; False, and nothing is kept, if it is not."""
        if key not in self._busy:
            return False
        waiting = self._parked.get(key)
        if waiting is None:
            self._parked[key] = [value]
        else:
            waiting.append(value)
        self.parked += 1
        return True

    def begin(self, keys: Iterable[K]) -> None:
        """These keys are in flight until `end`."""
        self._busy.update(keys)

    def end(self, keys: Iterable[K]) -> list[tuple[K, list[V]]]:
        """These keys are no longer in flight; returns what was parked behind them, in order of arrival."""
        keys = list(keys)
        self._busy.difference_update(keys)
        if not self._parked:
            return []
        freed = [(key, self._parked.pop(key)) for key in keys if key in self._parked]
        self.parked -= sum(len(values) for _, values in freed)
        return freed


class Timed(Generic[V]):
    """Things whose time has not come yet."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, V]] = []
        self._numbers = count()

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, not_before: float, value: V) -> None:
        """Keep a value until `not_before` (monotonic seconds)."""
        heapq.heappush(self._heap, (not_before, next(self._numbers), value))

    def due_in(self, now: float) -> float:
        """Seconds until the next one is due; NEVER if there is none."""
        return max(self._heap[0][0] - now, 0.0) if self._heap else NEVER

    def take(self, now: float) -> V | None:
        """One that is due."""
        if self._heap and self._heap[0][0] <= now:
            return heapq.heappop(self._heap)[2]
        return None
