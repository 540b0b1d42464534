"""Which call is made next: on stages that are nothing but counts, without threads."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.delivery.schedule import choose
from destination_marketo_programs.delivery.stage import NEVER, Call, Why

FILL = 3
AGE = 60.0


@dataclass
class FakeStage:
    """Arrivals of those who wait; a call takes the first three."""

    name: int
    waiting: list[float] = field(default_factory=list)
    in_flight: int = 0
    full: bool = False
    taken: list[Why] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.waiting)

    def oldest(self) -> float:
        return min(self.waiting, default=NEVER)

    def due_in(self, now: float) -> float:
        assert now >= 0
        return NEVER

    def advance(self, now: float, *, ended: bool) -> None:
        raise AssertionError((now, ended))

    def lost(self) -> None:
        self.in_flight -= 1

    def take(self, why: Why, now: float) -> Call | None:
        assert now >= 0
        if not self.waiting or (why is Why.FULL and len(self.waiting) < FILL):
            return None
        self.taken.append(why)
        batch, self.waiting = sorted(self.waiting)[:FILL], sorted(self.waiting)[FILL:]
        self.in_flight += 1
        return Call(self, lambda: batch, lambda _batch: None)


def stages(*waiting: list[float]) -> list[FakeStage]:
    return [FakeStage(number, list(born)) for number, born in enumerate(waiting)]


def chosen(call: Call | None) -> int | None:
    return None if call is None else call.stage.name  # type: ignore[attr-defined]


def test_full_calls_go_first_and_the_nearest_to_its_end_of_them() -> None:
    some = stages([0.0], [9.0] * 3, [9.0] * 3)
    assert [chosen(choose(some, 100.0, 40.0)) for _ in range(4)] == [2, 1, 0, None]
    assert [stage.taken for stage in some] == [[Why.OLD], [Why.FULL], [Why.FULL]]


def test_who_has_waited_long_enough_goes_although_the_call_is_not_full() -> None:
    some = stages([41.0], [40.0], [41.0])
    assert chosen(choose(some, 100.0, 40.0)) == 1
    assert chosen(choose(some, 100.0, 40.0)) is None


def test_at_the_end_earlier_stages_go_first_as_they_fill_those_behind_them() -> None:
    some = stages([90.0], [90.0], [90.0])
    assert chosen(choose(some, 100.0, 40.0, ended=True)) == 0
    assert choose(some, 100.0, 40.0, ended=True) is None, "what the call in flight gives may fill the next one"
    some[0].lost()
    assert chosen(choose(some, 100.0, 40.0, ended=True)) == 1


def test_a_full_call_does_not_wait_for_those_before_it() -> None:
    some = stages([], [90.0] * 3)
    some[0].in_flight = 1
    assert chosen(choose(some, 100.0, 40.0, ended=True)) == 1


def test_when_room_is_needed_a_call_goes_although_nobody_is_old() -> None:
    some = stages([90.0], [90.0])
    assert choose(some, 100.0, 40.0) is None
    assert chosen(choose(some, 100.0, 40.0, pressed=True)) == 1


waiting = st.lists(st.lists(st.floats(0.0, 100.0), max_size=7), min_size=1, max_size=4)


@given(born=waiting, ended=st.booleans(), pressed=st.booleans())
def test_while_something_is_due_no_worker_is_idle(born: list[list[float]], *, ended: bool, pressed: bool) -> None:
    some = stages(*born)
    now, born_before = 100.0, 100.0 - AGE
    due = any(len(stage) >= FILL or stage.oldest() <= born_before for stage in some)
    may_go = due or ((ended or pressed) and any(map(len, some)))
    assert (choose(some, now, born_before, ended=ended, pressed=pressed) is not None) == may_go


@given(waiting, st.randoms(use_true_random=False))
def test_at_the_end_everything_goes_and_no_stage_starves(born: list[list[float]], random: object) -> None:
    """Answers come in any order; each gives the next stage as many as it took."""
    some = stages(*born)
    total = sum(len(stage) * (len(some) - stage.name) for stage in some)
    pending: list[Call] = []
    for _ in range(1_000):
        call = choose(some, 100.0, -NEVER, ended=True) if len(pending) < 3 else None
        if call is not None:
            pending.append(call)
            continue
        if not pending:
            break
        answered = pending.pop(random.randrange(len(pending)))  # type: ignore[attr-defined]
        batch = answered.run()
        stage = answered.stage
        assert isinstance(stage, FakeStage)
        stage.in_flight -= 1
        total -= len(batch)
        if stage.name + 1 < len(some):
            some[stage.name + 1].waiting += batch
    assert not any(map(len, some))
    assert total == 0


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60))
def test_whoever_waits_goes_within_his_age_while_others_keep_coming(arrivals: list[int]) -> None:
    """As often as calls can be made: one each second, which is faster than three people come."""
    some = stages([], [], [])
    now = 0.0
    for stage in [*arrivals, *([-1] * 200)]:
        if stage >= 0:
            some[stage].waiting.append(now)
        now += 1.0
        choose(some, now, now - AGE)
        assert all(one.oldest() > now - AGE - 3 * len(some) for one in some)
    assert not any(map(len, some))


def test_with_few_calls_left_what_has_begun_is_finished_before_anything_begins() -> None:
    leads, members = made = stages([0.0] * 6, [0.0])
    assert chosen(choose(made, 0.0, -NEVER, finish_first=[members])) == 1, "although it is not full"
    assert choose(made, 0.0, -NEVER, finish_first=[members]) is None, "a call is in flight"
    members.in_flight = 0
    assert chosen(choose(made, 0.0, -NEVER, finish_first=[members])) == 0
    assert choose(made, 0.0, -NEVER, finish_first=[members]) is None
    assert (leads.taken, members.taken) == ([Why.FULL], [Why.LEFT])
