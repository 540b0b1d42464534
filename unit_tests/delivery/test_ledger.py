"""Which STATE may be acknowledged, and for how many records it speaks."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.delivery.entry import Holding
from destination_marketo_programs.delivery.ledger import Ledger, Segment
from destination_marketo_programs.protocol import StateMessage

if TYPE_CHECKING:
    from destination_marketo_programs.protocol import StreamKey

STREAMS: list[StreamKey] = [("", "a"), ("", "b"), ("ns", "a")]
inputs = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.sampled_from(STREAMS), st.booleans()),
        st.tuples(st.just("state"), st.sampled_from([*STREAMS, None]), st.just(value=False)),
    ),
    max_size=60,
)


@given(inputs, st.randoms(use_true_random=False))
def test_no_state_overtakes_a_record_and_counts_add_up(
    events: list[tuple[str, StreamKey | None, bool]], random: object
) -> None:
    """Any interleaving of streams and states, settled in any order."""
    ledger = Ledger(Holding(10**9))
    open_records: list[tuple[int, Segment, StreamKey, bool]] = []
    states: list[tuple[int, StateMessage]] = []
    for place, (kind, stream, rejected) in enumerate(events):
        if kind == "record":
            assert stream is not None
            open_records.append((place, ledger.open(), stream, rejected))
        else:
            message = StateMessage(stream, str(place).encode())
            states.append((place, message))
            ledger.state(message)
    echoed: list[StateMessage] = []
    order = list(open_records)
    random.shuffle(order)  # type: ignore[attr-defined]
    reported: Counter[str] = Counter()

    def release() -> None:
        for acknowledgement in ledger.release():
            place = int(acknowledgement.state.line)
            assert all(other > place for other, *_ in order), "a STATE was released before a record in front of it"
            echoed.append(acknowledgement.state)
            reported["ok"] += acknowledgement.record_count
            reported["rejected"] += acknowledgement.rejected_count

    release()
    while order:
        _, segment, stream, rejected = order.pop()
        ledger.settle(segment, stream, rejected=rejected)
        release()
    assert echoed == [message for _, message in states]
    assert ledger.states_waiting == 0
    # What every state of its own stream, and every global one, has spoken for.
    covered: Counter[str] = Counter()
    unreported: dict[StreamKey, Counter[str]] = {}
    for kind, stream_key, rejected in events:
        if kind == "record":
            assert stream_key is not None
            unreported.setdefault(stream_key, Counter())["rejected" if rejected else "ok"] += 1
        elif stream_key is None:
            covered += sum(unreported.values(), Counter())
            unreported = {}
        else:
            covered += unreported.pop(stream_key, Counter())
    assert +reported == +covered


def test_a_state_counts_its_own_stream_since_its_last_state() -> None:
    ledger = Ledger(Holding(10**9))
    a, b = STREAMS[0], STREAMS[1]
    for stream, rejected in ((a, False), (b, False), (a, True)):
        ledger.settle(ledger.open(), stream, rejected=rejected)
    ledger.state(StateMessage(a, b"1"))
    ledger.state(StateMessage(a, b"2"))
    ledger.state(StateMessage(None, b"3"))
    assert [(ack.record_count, ack.rejected_count) for ack in ledger.release()] == [(1, 1), (0, 0), (1, 0)]


def test_states_that_wait_are_held_and_let_go_of() -> None:
    """Many large STATEs behind one record are memory as well."""
    holding = Holding(1_000)
    ledger = Ledger(holding)
    ticket = ledger.open()
    for _ in range(3):
        ledger.state(StateMessage(None, b"x" * 400))
    assert (holding.bytes, holding.room, ledger.states_waiting) == (1_200, False, 3)
    assert list(ledger.release()) == []
    ledger.settle(ticket, STREAMS[0], rejected=False)
    assert len(list(ledger.release())) == 3
    assert (holding.bytes, holding.room, ledger.states_waiting) == (0, True, 0)


def test_outcomes_are_counted_for_the_state_that_speaks_for_their_records() -> None:
    ledger = Ledger(Holding(10**9))
    a, b = STREAMS[0], STREAMS[1]
    first = ledger.open()
    for stream, result in ((a, "created"), (a, "created"), (b, "skipped")):
        first.count(stream, result)
    ledger.settle(first, a, rejected=False)
    ledger.state(StateMessage(a, b"1"))
    ledger.state(StateMessage(None, b"2"))
    assert [dict(ack.outcomes) for ack in ledger.release()] == [{"created": 2}, {"skipped": 1}]
