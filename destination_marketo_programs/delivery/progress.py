"""How far a run is, and who is told."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.delivery.tally import Tally
    from destination_marketo_programs.marketo.limits import Gate

logger = logging.getLogger("airbyte.delivery")

LOG_SECONDS = 30.0


class Progress(NamedTuple):
    """A run at one moment.

    Attributes:
        tally: counts so far; it goes on counting.
        gate: the limits, and the calls made.
        waiting_seconds: how long the oldest record has been waiting for its batch; None if none waits.
    """

    tally: Tally
    gate: Gate
    waiting_seconds: float | None


def log_progress(progress: Progress) -> None:
    """Log it in two or three sentences."""
    tally, pace = progress.tally, progress.gate.pace
    waiting = progress.waiting_seconds
    logger.info(
        "Progress: %s read, %s settled, %s rejected. %s so far, at up to %s of %s calls per 20 s, %d at once.%s",
        counted(tally.records_read, "record"),
        f"{tally.records_settled:,}",
        f"{tally.records_rejected:,}",
        counted(progress.gate.budget.used_now, "call"),
        f"{pace.calls_per_window:,}",
        f"{pace.ceiling:,}",
        pace.concurrent_calls,
        "" if waiting is None else f" The oldest record has waited {waiting:.0f} s for its batch.",
    )


class Watch(NamedTuple):
    """Who is told how far the run is, in the run's own thread, and how often."""

    tell: Callable[[Progress], None] = log_progress
    seconds: float = LOG_SECONDS
