"""Which call is made next. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.delivery.stage import Why

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.delivery.stage import Call, Stage


def choose(
    stages: Sequence[Stage],
    now: float,
    born_before: float,
    *,
    ended: bool = False,
    pressed: bool = False,
    finish_first: Sequence[Stage] = (),
) -> Call | None:
    """The call to make next: what is nearest to its end first; full before old before partial.

    Args:
        stages: in the order in which a record passes them.
        now: monotonic seconds.
        born_before: entries that arrived before this moment have waited long enough.
        ended: nothing will come from the input any more. Then earlier stages go first, as what they give may fill the
            calls behind them, and a stage waits for the calls in flight before it.
        pressed: room is needed, so that a call goes although it is not full.
        finish_first: few calls are left for today: what waits in these stages goes at once, and nothing begins in
            any other before the calls in flight have ended, as it could not be finished any more.
    """
    if finish_first:
        call = _last(finish_first, Why.FULL, now) or _last(finish_first, Why.LEFT, now)
        if call is not None or any(stage.in_flight for stage in stages):
            return call
    call = _last(stages, Why.FULL, now)
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
    return _last(stages, Why.LEFT, now) if pressed and not ended else None


def _last(stages: Sequence[Stage], why: Why, now: float) -> Call | None:
    """A call of the last stage that has one."""
    for stage in reversed(stages):
        call = stage.take(why, now)
        if call is not None:
            return call
    return None
