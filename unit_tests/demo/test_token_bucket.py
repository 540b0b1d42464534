"""Mobly's limit, with the clock in the test's hand."""

from __future__ import annotations

import pytest
from fake_mobly import TokenBucket


class _Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def test_a_burst_passes_and_the_next_call_waits_for_its_token() -> None:
    clock = _Clock()
    bucket = TokenBucket(burst=20, per_second=1.0, now=clock)
    assert [bucket.seconds_to_wait() for _ in range(20)] == [0.0] * 20
    assert bucket.seconds_to_wait() == pytest.approx(1.0)
    clock.seconds += 0.5
    assert bucket.seconds_to_wait() == pytest.approx(0.5)
    clock.seconds += 0.5
    assert bucket.seconds_to_wait() == 0.0


def test_rest_fills_it_to_the_burst_and_no_further() -> None:
    clock = _Clock()
    bucket = TokenBucket(burst=3, per_second=1.0, now=clock)
    for _ in range(3):
        bucket.seconds_to_wait()
    clock.seconds += 3600
    assert [bucket.seconds_to_wait() for _ in range(4)] == [0.0, 0.0, 0.0, 1.0]
