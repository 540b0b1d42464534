"""One call at a time for each key, and things whose time has not come."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.delivery.stage import NEVER, Line, Timed

steps = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(0, 5)),
        st.tuples(st.just("begin"), st.integers(1, 3)),
        st.tuples(st.just("end"), st.integers(0, 9)),
    ),
    max_size=80,
)


class Waiting:
    """A stage reduced to its line: who is ready, who is in flight, who has gone."""

    def __init__(self) -> None:
        self.line: Line[int, int] = Line()
        self.ready: dict[int, list[int]] = {}
        self.flying: list[dict[int, list[int]]] = []
        self.gone: dict[int, list[int]] = defaultdict(list)

    def come(self, key: int, value: int) -> None:
        in_flight = any(key in batch for batch in self.flying)
        assert (key in self.line) == in_flight
        assert self.line.parks(key, value) == in_flight
        if not in_flight:
            self.ready.setdefault(key, []).append(value)

    def begin(self, count: int) -> None:
        batch = {key: self.ready.pop(key) for key in list(self.ready)[:count]}
        assert not any(batch.keys() & other.keys() for other in self.flying), "a key in two calls"
        self.line.begin(batch)
        self.flying.append(batch)

    def end(self, which: int) -> None:
        batch = self.flying.pop(which % len(self.flying))
        for key, values in batch.items():
            self.gone[key] += values
        for key, parked in self.line.end(batch):
            assert key not in self.ready
            self.ready[key] = parked


@given(steps)
def test_a_key_is_never_ready_and_in_flight_and_nothing_is_lost_or_overtaken(script: list[tuple[str, int]]) -> None:
    waiting = Waiting()
    came: dict[int, list[int]] = defaultdict(list)
    for number, (step, argument) in enumerate(script):
        if step == "come":
            came[argument].append(number)
            waiting.come(argument, number)
        elif step == "begin":
            waiting.begin(argument)
        elif waiting.flying:
            waiting.end(argument)
        flying = {key for batch in waiting.flying for key in batch}
        assert not flying & waiting.ready.keys()
        there = sum(map(len, waiting.ready.values())) + sum(len(v) for b in waiting.flying for v in b.values())
        assert waiting.line.parked + there + sum(map(len, waiting.gone.values())) == sum(map(len, came.values()))
    while waiting.flying or waiting.ready:
        if waiting.ready:
            waiting.begin(2)
        else:
            waiting.end(0)
    assert waiting.line.parked == 0
    assert waiting.gone == came


@given(st.lists(st.floats(0.0, 100.0), max_size=30), st.lists(st.floats(0.0, 130.0), max_size=10))
def test_a_thing_is_given_when_its_time_has_come_and_in_order_of_time(times: list[float], moments: list[float]) -> None:
    timed: Timed[float] = Timed()
    for time in times:
        timed.add(time, time)
    taken: list[float] = []
    for now in sorted([*moments, 1_000.0]):
        expected = sorted(set(range(len(times))) - set(range(len(taken))))
        assert timed.due_in(now) == (max(sorted(times)[len(taken)] - now, 0.0) if expected else NEVER)
        while (value := timed.take(now)) is not None:
            assert value <= now
            taken.append(value)
        assert len(timed) == len(times) - len(taken)
    assert taken == sorted(times)


def test_things_of_one_time_come_in_the_order_in_which_they_were_added() -> None:
    timed: Timed[dict[str, int]] = Timed()
    for number in range(5):
        timed.add(1.0, {"number": number})
    assert [timed.take(1.0) for _ in range(6)] == [*({"number": number} for number in range(5)), None]
