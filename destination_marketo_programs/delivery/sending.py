"""Sending rows so that each one gets its own answer: halves what is too large, and finds the row that is at fault."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from destination_marketo_programs.marketo.errors import RefusedError, TooLargeError
from destination_marketo_programs.marketo.rows import RowReply

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

Row = TypeVar("Row")
Answer = TypeVar("Answer")


def send_each(
    rows: Sequence[Row],
    send: Callable[[Sequence[Row]], list[Answer]],
    alike: Collection[str] = (),
) -> list[tuple[Row, Answer | RowReply]]:
    """Send rows in one call, or in as many as it takes.

    Args:
        rows: at least one.
        send: one call; answers in the order of the rows.
        alike: codes that refuse every row alike, so that bisecting would only repeat them.

    Returns:
        Each row exactly once, in order. A row refused on its own has the call's code as its answer.
    """
    try:
        return list(zip(rows, send(rows), strict=True))
    except (RefusedError, TooLargeError) as error:
        if len(rows) == 1 or error.code in alike:
            refusal = RowReply("", None, error.code, error.marketo_message, error.request_id)
            return [(row, refusal) for row in rows]
    middle = len(rows) // 2
    return send_each(rows[:middle], send, alike) + send_each(rows[middle:], send, alike)
