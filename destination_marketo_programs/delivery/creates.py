"""When people may be created, and what creates are under way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from destination_marketo_programs.delivery.journal import Journal, NoJournal
from destination_marketo_programs.marketo.errors import OutcomeUnknownError

if TYPE_CHECKING:
    from collections.abc import Callable


class Creates:
    """When creates may be sent, and which are under way: what other runs of the instance have to know.

    Args:
        clock: monotonic seconds.
        settle_seconds: how long a create whose answer was lost may still run.
        not_before: monotonic seconds before which no create is sent, as one of an earlier run may still be running.
        journal: told of every create before it is sent.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        settle_seconds: float,
        not_before: float = float("-inf"),
        journal: Journal | None = None,
    ) -> None:
        self.clock = clock
        self._held = False
        self._not_before = not_before
        self._lock = threading.Lock()
        self._settle_seconds = settle_seconds
        self._journal = journal or NoJournal()
        self._in_flight = 0
        self._lost_until = float("-inf")

    @property
    def not_before(self) -> float:
        """Monotonic seconds before which no create is sent; infinite while nobody can say."""
        return float("inf") if self._held else self._not_before

    def hold(self, *, held: bool) -> None:
        """Send no create for now, as an import of an earlier run may be creating anybody; or do so again."""
        self._held = held

    @property
    def allowed(self) -> bool:
        """Whether a create may be sent now."""
        return self.clock() >= self.not_before

    @property
    def unanswered(self) -> bool:
        """Whether Marketo may still be working on a create of this run."""
        return self._in_flight > 0 or self.clock() < self._lost_until

    def __enter__(self) -> None:
        self._journal.creating()
        with self._lock:
            self._in_flight += 1

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        with self._lock:
            self._in_flight -= 1
            if kind is not None and issubclass(kind, OutcomeUnknownError):
                self._lost_until = self.clock() + self._settle_seconds
