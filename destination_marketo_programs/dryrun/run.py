"""The parts of a dry run, put together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.dryrun.files import PlannedFiles
from destination_marketo_programs.dryrun.forecast import Forecast, Stage, WriteCalls
from destination_marketo_programs.dryrun.marketo import ReadingMarketo
from destination_marketo_programs.dryrun.overlay import Overlay
from destination_marketo_programs.text import named

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.marketo.limits import Budget
    from destination_marketo_programs.preflight import Preflight


class DryRun:
    """A Marketo that only reads, and what a sync would cost.

    Args:
        inner: reads; the checks have been made with it, and nothing else yet.
        preflight: what the checks learned of Marketo.
        statuses: how statuses compare.
        fold: how values of the lookup field are compared.
        budget: counts the calls of the dry run itself.
        method: `delivery.method`, which a sync would follow.
        by_file: whether a sync could use files at all.

    Attributes:
        marketo: for delivery, in the place of the one that writes.
        files: takes every entry; None if everything would go over REST.
    """

    def __init__(
        self,
        inner: Marketo,
        preflight: Preflight,
        statuses: Statuses,
        fold: Callable[[object], str],
        budget: Budget,
        method: str,
        *,
        by_file: bool,
    ) -> None:
        self._budget = budget
        self._programs = preflight.programs
        self._method = method
        self._overlay = Overlay()
        self._calls = WriteCalls(budget.used_now)
        self.marketo = ReadingMarketo(inner, self._overlay, statuses, preflight.fields, fold, self._calls)
        self.files = PlannedFiles(self._overlay, statuses, always=method == "bulk") if by_file else None

    def forecast(self, calls_per_20_seconds: int) -> Forecast:
        """The cost of a sync, as far as the input was read."""
        calls, budget, changes = self._calls, self._budget, self.marketo.changes
        return Forecast(
            self._overlay.people,
            sum(count for change, count in changes.items() if change.before is None),
            sum(count for change, count in changes.items() if change.before is not None),
            calls.of(Stage.CHECKS),
            calls.of(Stage.PEOPLE),
            calls.of(Stage.MEMBERSHIPS),
            calls_per_20_seconds,
            budget.used_today,
            budget.calls_per_day,
            self.marketo.unaskable,
            self._method,
            None if self.files is None else self.files.forecast(),
            {program_id: named(program) for program_id, program in self._programs.items()},
        )

    def close(self) -> None:
        """Let go of the overlay; the dry run cannot be used afterwards."""
        self._overlay.close()
