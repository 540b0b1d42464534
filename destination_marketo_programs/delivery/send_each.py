"""Sending rows so that each one gets its own answer: halves what is too large, and finds the row that is at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from destination_marketo_programs.marketo.errors import AnswerMisfitError, RefusedError, TooLargeError
from destination_marketo_programs.marketo.rows import RowReply

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Sequence

MISFIT = "Marketo's answer does not fit the record that was sent."

Row = TypeVar("Row")
Answer = TypeVar("Answer")


def send_each(
    rows: Sequence[Row],
    send: Callable[[Sequence[Row]], list[Answer]],
    alike: Collection[str] = (),
    kind_of: Callable[[Row], Hashable] = lambda _row: None,
) -> list[tuple[Row, Answer | RowReply]]:
    """Send rows in one call, or in as many as it takes.

    Args:
        rows: at least one.
        send: one call; answers in the order of the rows.
        alike: codes that refuse every row of one kind alike, so that bisecting would only repeat them.
        kind_of: what makes rows of one kind, such as the fields that they name.

    Returns:
        Each row exactly once, in order. A row refused on its own has the call's code as its answer.

    Raises:
        AnswerMisfitError: no answer fits, whichever rows are asked for: it is not the rows.
    """
    misfits: list[AnswerMisfitError] = []
    answers = _send(rows, send, alike, kind_of, misfits)
    if len(misfits) == len(rows):
        raise misfits[0]
    return answers


def _send(
    rows: Sequence[Row],
    send: Callable[[Sequence[Row]], list[Answer]],
    alike: Collection[str],
    kind_of: Callable[[Row], Hashable],
    misfits: list[AnswerMisfitError],
) -> list[tuple[Row, Answer | RowReply]]:
    kinds: dict[Hashable, list[int]] = {}
    try:
        return list(zip(rows, send(rows), strict=True))
    except (RefusedError, TooLargeError) as error:
        if error.code in alike:
            for place, row in enumerate(rows):
                kinds.setdefault(kind_of(row), []).append(place)
        if len(rows) == 1 or len(kinds) == 1:
            refusal = RowReply("", None, error.code, error.marketo_message, error.request_id)
            return [(row, refusal) for row in rows]
    except AnswerMisfitError as error:
        if len(rows) == 1:
            misfits.append(error)
            return [(rows[0], RowReply("", None, None, MISFIT, error.request_id))]
    if not kinds:
        middle = len(rows) // 2
        halves = (rows[:middle], rows[middle:])
        return [answer for half in halves for answer in _send(half, send, alike, kind_of, misfits)]
    answers: dict[int, tuple[Row, Answer | RowReply]] = {}
    for places in kinds.values():
        of_kind = _send([rows[place] for place in places], send, alike, kind_of, misfits)
        answers.update(zip(places, of_kind, strict=True))
    return [answers[place] for place in range(len(rows))]
