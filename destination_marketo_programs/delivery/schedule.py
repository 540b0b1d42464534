"""Which call is made next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.delivery.stage import Why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.delivery.stage import Call, Stage


def choose(
    stages: Sequence[Stage], now: float, born_before: float, *, ended: bool = False, pressed: bool = False
) -> Call | None:
    """The call to make next: what is nearest to its end first; full before old before partial.

    Args:
        stages: in the order in which a record passes them.
        now: monotonic seconds.
        born_before: entries that arrived before this moment have waited long enough.
        ended: nothing will come from the input any more. Then earlier stages go first, as what they give may fill the
            calls behind them, and a stage waits for the calls in flight before it.
        pressed: room is needed, so that a call goes although it is not full.
    """
    for stage in reversed(stages):
        call = stage.take(Why.FULL, now)
        if call is not None:
            return call
    for stage in reversed(stages):
        if stage.oldest() <= born_before:
            call = stage.take(Why.OLD, now)
            if call is not None:
                return call
    if ended:
        for stage in stages:
            call = stage.take(Why.LEFT, now)
            if call is not None:
                return call
            if stage.in_flight:
                return None
    elif pressed:
        for stage in reversed(stages):
            call = stage.take(Why.LEFT, now)
            if call is not None:
                return call
    return None
