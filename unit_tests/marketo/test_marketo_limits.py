"""The share of Marketo's limits: never exceeded, used when there is work, lowered when others need it."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.marketo.errors import QuotaReachedError, StoppedError
from destination_marketo_programs.marketo.limits import (
    LOWEST_CALLS_PER_WINDOW,
    WINDOW_MARGIN_SECONDS,
    WINDOW_SECONDS,
    Budget,
    Gate,
    Pace,
    quota_reset_text,
    utc_now,
)

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 10.0
steps = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.floats(0, 12, allow_nan=False)),
        st.tuples(st.just("call"), st.floats(0, 8, allow_nan=False)),
        st.tuples(st.just("606"), st.floats(0, 5, allow_nan=False)),
        st.tuples(st.just("615"), st.just(0.0)),
    ),
    max_size=150,
)


def calls_in_window(calls: list[float], at: float) -> int:
    """Calls in the 20 seconds that end at a moment, that moment included."""
    return sum(at - WINDOW_SECONDS < call <= at for call in calls)


@given(st.integers(1, 30), st.integers(1, 6), steps)
def test_no_window_holds_more_calls_than_allowed_whatever_happens(
    ceiling: int, concurrent: int, script: list[tuple[str, float]]
) -> None:
    pace, now = Pace(ceiling, concurrent), 100.0
    calls: list[float] = []
    running: list[float] = []
    paused_until = 0.0
    for kind, seconds in script:
        for end in [end for end in running if end <= now]:
            running.remove(end)
            pace.give_back()
        if kind == "pass":
            now += seconds
        elif kind == "606":
            pace.too_many_calls(now, seconds)
            paused_until = max(paused_until, now + seconds)
        elif kind == "615":
            pace.too_many_at_once(now)
        else:
            asked = pace.seconds_until_free(now)
            wait = pace.take(now)
            assert wait == asked
            if wait == 0.0:
                calls.append(now)
                running.append(now + seconds)
                assert now >= paused_until
                assert calls_in_window(calls, now) <= pace.calls_per_window
                assert len(running) <= pace.concurrent_calls
            elif wait is None:
                assert len(running) >= pace.concurrent_calls
            else:
                assert wait > 0
        assert pace.in_flight == len(running)
        assert min(LOWEST_CALLS_PER_WINDOW, ceiling) <= pace.calls_per_window <= ceiling
        assert 1 <= pace.concurrent_calls <= concurrent
    assert all(calls_in_window(calls, call) <= ceiling for call in calls)


@given(st.integers(1, 60), st.integers(1, 10), st.floats(0.01, 6), st.integers(0, 40))
@settings(max_examples=40)
def test_the_window_is_used_up_when_there_is_work(
    ceiling: int, concurrent: int, latency: float, slowed_after: int
) -> None:
    """Waiting exactly as long as `take` says, and no thread idle: what is made is what could be made."""
    pace, now, end = Pace(ceiling, concurrent), 50.0, 50.0 + 10 * WINDOW_SECONDS
    running: deque[float] = deque()
    made = 0
    while now < end:
        while running and running[0] <= now:
            running.popleft()
            pace.give_back()
        wait = pace.take(now)
        if wait == 0.0:
            made += 1
            running.append(now + latency)
            if made == slowed_after:
                pace.too_many_at_once(now)
        elif wait is None:
            now = running[0]
        else:
            now = min([now + wait, *running]) if running else now + wait
    by_window = ceiling * 10 * WINDOW_SECONDS / (WINDOW_SECONDS + WINDOW_MARGIN_SECONDS)
    by_latency = concurrent * (end - 50.0) / latency
    lost_by_615 = WINDOW_SECONDS / latency + 1 if slowed_after else 0
    assert made >= min(by_window, by_latency - lost_by_615) * 0.97 - concurrent - 1


def test_a_full_window_frees_one_place_at_a_time() -> None:
    pace = Pace(3, 10)
    assert [pace.take(at) for at in (0.0, 5.0, 6.0)] == [0.0, 0.0, 0.0]
    assert pace.take(7.0) == pytest.approx(13.0 + WINDOW_MARGIN_SECONDS)
    assert pace.take(20.0) == pytest.approx(WINDOW_MARGIN_SECONDS)
    free = 20.01 + WINDOW_MARGIN_SECONDS
    assert pace.take(free) == 0.0
    assert pace.take(free + 0.01) == pytest.approx(4.98)


def test_606_lowers_the_pace_once_for_calls_that_were_under_way_together() -> None:
    pace = Pace(50, 5)
    for moment in (100.0, 100.2, 100.4):
        pace.too_many_calls(moment, 3.0)
    assert pace.calls_per_window == 35
    assert pace.concurrent_calls == 5
    assert pace.take(102.0) == pytest.approx(1.4)
    pace.too_many_calls(103.5, 0.0)
    assert pace.calls_per_window == 24


def test_615_right_after_606_counts_as_well() -> None:
    pace = Pace(50, 5)
    pace.too_many_calls(100.0, 0.0)
    pace.too_many_at_once(100.1)
    assert (pace.calls_per_window, pace.concurrent_calls) == (35, 4)


def test_the_pace_climbs_back_slowly_and_only_while_it_is_calm() -> None:
    pace = Pace(50, 5)
    pace.too_many_calls(100.0, 0.0)
    pace.too_many_at_once(100.0)
    seen = {}
    for at in (119.0, 120.0, 139.0, 140.0, 161.0, 400.0):
        pace.seconds_until_free(at)
        seen[at] = (pace.calls_per_window, pace.concurrent_calls)
    assert seen == {
        119.0: (35, 4),
        120.0: (41, 5),
        139.0: (41, 5),
        140.0: (47, 5),
        161.0: (50, 5),
        400.0: (50, 5),
    }


def test_606_just_after_a_step_up_takes_it_back() -> None:
    pace = Pace(50, 5)
    pace.too_many_calls(100.0, 0.0)
    assert pace.take(120.0) == 0.0
    assert pace.calls_per_window == 41
    pace.too_many_calls(120.5, 0.0)
    assert pace.calls_per_window == 28
    pace.seconds_until_free(140.0)
    assert pace.calls_per_window == 28, "calm counts from the last 606"


def test_it_never_falls_so_low_that_nothing_moves() -> None:
    pace = Pace(50, 5)
    small = Pace(2, 1)
    for number in range(30):
        for each in (pace, small):
            each.too_many_calls(100.0 + 2 * number, 0.0)
            each.too_many_at_once(100.0 + 2 * number)
    assert (pace.calls_per_window, pace.concurrent_calls) == (LOWEST_CALLS_PER_WINDOW, 1)
    assert (small.calls_per_window, small.concurrent_calls) == (2, 1)


# --- budget --------------------------------------------------------------------------------------------------


def test_a_budget_counts_what_was_used_before_and_is_never_exceeded() -> None:
    budget = Budget(10)
    budget.note_used_before(9)
    assert not budget.exhausted
    budget.used_now = 1
    assert budget.exhausted
    assert budget.used_today == 10


@pytest.mark.parametrize("used", [0, 10**9])
def test_without_a_budget_nothing_is_exhausted(used: int) -> None:
    budget = Budget(None)
    budget.note_used_before(used)
    assert not budget.exhausted


def test_a_budget_of_zero_allows_no_call() -> None:
    gate = Gate(Pace(10, 1), Budget(0))
    with pytest.raises(QuotaReachedError), gate.turn("usage"):
        pytest.fail("a call went out")


@pytest.mark.parametrize(
    ("now", "day"),
    [
        ((2026, 11, 23, 0, 0), "2026-11-23"),
        ((2026, 11, 23, 5, 59), "2026-11-23"),
        ((2026, 11, 23, 6, 0), "2026-11-24"),
        ((2026, 12, 31, 23, 59), "2027-01-01"),
        ((2028, 2, 28, 12, 0), "2028-02-29"),
    ],
)
def test_the_quota_resets_at_the_next_midnight_in_the_us(now: tuple[int, int, int, int, int], day: str) -> None:
    text = quota_reset_text(datetime(*now, tzinfo=UTC))
    assert text == f"{day} 05:00–06:00 UTC (midnight US Central time)"
    assert utc_now().utcoffset() == UTC.utcoffset(None)


# --- gate ----------------------------------------------------------------------------------------------------


def in_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Run something that waits; what it returned or raised comes into the list."""
    ended: list[object] = []

    def run() -> None:
        try:
            ended.append(work())
        except Exception as error:  # noqa: BLE001 - looked at by the test
            ended.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, ended


class ToldCondition(threading.Condition):
    """Says when somebody begins to wait; whoever takes its lock then finds them waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.waiting.set()
        return super().wait(timeout)


def wait_until_waiting(gate: Gate) -> None:
    """Until a thread waits inside a gate of `watched_gate`."""
    condition = gate._changed
    assert isinstance(condition, ToldCondition)
    assert condition.waiting.wait(SECONDS)
    with condition:
        pass


def watched_gate(pace: Pace) -> Gate:
    gate = Gate(pace, Budget(None))
    gate._changed = ToldCondition()
    return gate


def one_turn(gate: Gate) -> str:
    with gate.turn("sync_leads"):
        return "called"


def test_a_call_waits_until_another_has_ended() -> None:
    gate = watched_gate(Pace(10, 1))
    with gate.turn("sync_leads"):
        thread, ended = in_thread(lambda: one_turn(gate))
        wait_until_waiting(gate)
        assert ended == []
    thread.join(SECONDS)
    assert ended == ["called"]
    assert gate.pace.in_flight == 0


@pytest.mark.parametrize("calls", [0, 1], ids=["waits for a call", "waits for the window"])
def test_stopping_wakes_whoever_waits_for_a_turn(calls: int) -> None:
    """A full window lasts 20 seconds, and after SIGTERM there are five."""
    gate = watched_gate(Pace(1 if calls else 10, 1))
    for _ in range(calls):
        one_turn(gate)
    if not calls:
        gate.pace.take(gate.clock())
    thread, ended = in_thread(lambda: one_turn(gate))
    wait_until_waiting(gate)
    gate.stop()
    thread.join(SECONDS)
    assert isinstance(ended[0], StoppedError)
    assert gate.budget.used_now == calls


def test_stopping_ends_a_pause() -> None:
    gate = watched_gate(Pace(10, 1))
    thread, ended = in_thread(lambda: gate.pause(3600))
    wait_until_waiting(gate)
    gate.stop()
    thread.join(SECONDS)
    assert ended == [False]
    assert gate.pause(3600) is False
    with pytest.raises(StoppedError):
        one_turn(gate)


def test_a_pause_that_nobody_ends_lasts_its_time() -> None:
    gate = Gate(Pace(10, 1), Budget(None))
    began = gate.clock()
    assert gate.pause(0.02) is True
    assert gate.clock() - began >= 0.02


def test_a_call_that_fails_gives_its_turn_back_and_has_counted() -> None:
    gate = Gate(Pace(10, 1), Budget(None))
    with pytest.raises(KeyError), gate.turn("sync_leads"):
        raise KeyError
    assert gate.pace.in_flight == 0
    assert gate.budget.used_now == 1


def test_whoever_waits_while_the_budget_is_used_up_makes_no_call() -> None:
    gate = Gate(Pace(10, 1), Budget(1))
    with gate.turn("sync_leads"):
        thread, ended = in_thread(lambda: one_turn(gate))
        thread.join(SECONDS)
    assert isinstance(ended[0], QuotaReachedError)
    assert gate.budget.used_now == 1


def test_threads_together_keep_the_limits() -> None:
    gate = Gate(Pace(40, 3), Budget(25))
    lock = threading.Lock()
    inside = most = 0

    def work() -> None:
        nonlocal inside, most
        while True:
            with gate.turn("sync_leads"):
                with lock:
                    inside += 1
                    most = max(most, inside)
                with lock:
                    inside -= 1

    started = [in_thread(work) for _ in range(6)]
    for thread, _ in started:
        thread.join(SECONDS)
    assert all(isinstance(ended[0], QuotaReachedError) for _, ended in started)
    assert gate.budget.used_now == 25
    assert most <= 3
    assert gate.pace.in_flight == 0


def test_slowing_down_is_counted_and_told_apart() -> None:
    gate = Gate(Pace(50, 5), Budget(None))
    gate.slow_down("615", 0.0)
    assert (gate.pace.calls_per_window, gate.pace.concurrent_calls) == (50, 4)
    gate.slow_down("606", 100.0)
    assert gate.pace.calls_per_window == 35
    assert gate.slowed_down == 2
    assert gate.seconds_until_free() == pytest.approx(100, abs=5)
