"""Every row gets its own answer, whatever the rows beside it do to the call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.delivery.send_each import MISFIT, send_each
from destination_marketo_programs.marketo.errors import (
    AnswerMisfitError,
    OutcomeUnknownError,
    RefusedError,
    TooLargeError,
)
from destination_marketo_programs.marketo.rows import RowReply

if TYPE_CHECKING:
    from collections.abc import Sequence


class Endpoint:
    """Refuses every call that holds a poisonous row, and every call that is too large; misfits answer nonsense."""

    def __init__(self, poison: set[int], most: int = 10**9, misfits: set[int] | None = None) -> None:
        self.poison = poison
        self.most = most
        self.misfits = misfits or set()
        self.accepted: list[int] = []
        self.calls = 0

    def send(self, batch: Sequence[int]) -> list[str]:
        self.calls += 1
        if len(batch) > self.most:
            raise TooLargeError("sync", "HTTP 413")
        if self.misfits & set(batch):
            raise AnswerMisfitError("sync", "id is a text", None, "r#2")
        if self.poison & set(batch):
            raise RefusedError("sync", "609", "quoted", "r#1")
        self.accepted.extend(batch)
        return [f"ok {row}" for row in batch]


REFUSAL = RowReply("", None, "609", "quoted", "r#1")
ODD = RowReply("", None, None, MISFIT, "r#2")


@given(rows=st.lists(st.integers(), min_size=1, max_size=60, unique=True), data=st.data())
def test_each_row_is_answered_once_and_sent_successfully_at_most_once(rows: list[int], data: st.DataObject) -> None:
    poison = set(data.draw(st.lists(st.sampled_from(rows), max_size=len(rows))))
    misfits = set(data.draw(st.lists(st.sampled_from(rows), max_size=len(rows)))) - poison
    endpoint = Endpoint(poison, data.draw(st.integers(1, 80)), misfits)
    if misfits == set(rows):
        with pytest.raises(AnswerMisfitError):
            send_each(rows, endpoint.send)
        return
    answers = send_each(rows, endpoint.send)
    assert [row for row, _ in answers] == rows
    assert [answer for _, answer in answers] == [
        REFUSAL if row in poison else ODD if row in misfits else f"ok {row}" for row in rows
    ]
    assert sorted(endpoint.accepted) == sorted(set(rows) - poison - misfits)
    assert endpoint.calls <= 2 * len(rows) - 1


def test_one_bad_record_among_300_costs_a_few_calls() -> None:
    endpoint = Endpoint({150})
    send_each(range(300), endpoint.send)
    assert len(endpoint.accepted) == 299
    assert endpoint.calls <= 19


def test_one_record_that_is_answered_with_nonsense_is_found_by_halving() -> None:
    endpoint = Endpoint(set(), misfits={150})
    answers = send_each(range(300), endpoint.send)
    assert [row for row, answer in answers if answer == ODD] == [150]
    assert endpoint.calls <= 19


@pytest.mark.parametrize("number", [1, 2, 7])
def test_where_no_answer_fits_it_is_not_the_rows(number: int) -> None:
    endpoint = Endpoint(set(), misfits=set(range(number)))
    with pytest.raises(AnswerMisfitError):
        send_each(range(number), endpoint.send)


def test_a_row_that_is_too_large_alone_is_refused_as_such() -> None:
    endpoint = Endpoint(set(), most=0)
    assert send_each([1], endpoint.send) == [(1, RowReply("", None, "HTTP 413", None, None))]


def test_what_refuses_all_rows_alike_is_not_asked_for_each() -> None:
    """An unknown status refuses 300 rows with one answer; 599 calls would say nothing else."""
    endpoint = Endpoint({3})
    answers = send_each([1, 2, 3], endpoint.send, alike=("609",))
    assert endpoint.calls == 1
    assert answers == [(row, REFUSAL) for row in (1, 2, 3)]


def test_what_refuses_a_kind_alike_is_asked_once_for_each_kind() -> None:
    """A field that is not there refuses those who name it; the others go through, each in its place."""
    endpoint = Endpoint(set(range(0, 300, 3)))
    answers = send_each(range(300), endpoint.send, ("609",), lambda row: row % 3)
    assert [row for row, _ in answers] == list(range(300))
    assert [isinstance(answer, RowReply) for _, answer in answers] == [row % 3 == 0 for row in range(300)]
    assert endpoint.calls == 4


def test_other_failures_are_the_callers() -> None:
    def send(_batch: Sequence[int]) -> list[str]:
        raise OutcomeUnknownError("sync", "502")

    with pytest.raises(OutcomeUnknownError):
        send_each([1, 2], send)


def test_answers_that_do_not_fit_are_never_cut_to_size() -> None:
    with pytest.raises(ValueError, match="shorter"):
        send_each([1, 2], lambda batch: [str(batch[0])])
