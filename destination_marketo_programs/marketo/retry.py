"""Whether and when a failed call is sent again: a pure decision over what went wrong and how often."""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

from destination_marketo_programs.marketo.errors import (
    AnswerMisfitError,
    ConfigurationFaultError,
    MarketoError,
    Next,
    NotFoundError,
    OutcomeUnknownError,
    QuotaReachedError,
    RefusedError,
    TooLargeError,
    UnreachableError,
)

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 20.0
TRIES_BEFORE_REFUSAL = 4
TRIES_BEFORE_SPLIT = 3
TRIES_FOR_A_FITTING_ANSWER = 3
REAUTHENTICATIONS_IN_A_ROW = 2


class RetryPolicy(NamedTuple):
    """How long one call is tried; seconds from its first failure, waiting for a turn left out."""

    window_seconds: float = 120.0
    check_window_seconds: float = 10.0
    first_delay_seconds: float = FIRST_DELAY_SECONDS
    create_settle_seconds: float = 95.0
    """Marketo ends Sync Leads after 90 seconds: later than this, a create without answer is no longer running."""
    longest_exchange_seconds: float = math.inf
    """Caps the time limit of each call."""
    check_exchange_seconds: float = 45.0

    def for_check(self) -> RetryPolicy:
        """The policy of `check`, whose user waits."""
        return self._replace(
            window_seconds=self.check_window_seconds, longest_exchange_seconds=self.check_exchange_seconds
        )


class Retry(Enum):
    """How a failed call is sent again."""

    AGAIN = "after a pause"
    WITH_NEW_TOKEN = "at once, with a token fetched anew"  # noqa: S105 - not a password


class Failure(NamedTuple):
    """One failed try.

    Attributes:
        next: what the code's entry in the table says.
        code: Marketo's code, `HTTP nnn`, or the kind of connection failure.
        tries: how often this call has failed in this way now, this time included.
        elapsed_seconds: since its first failure, without the time that it waited for its turn at our own pace.
        repeatable: whether sending it twice is harmless even if the first is executed (reads, updates by id,
            membership status and data).
        rows: records in the call; 0 for reads.
        others_succeed: whether another call has succeeded since this one first failed.
        reauthentications: tokens renewed since this call's last answer other than 601 or 602.
    """

    next: Next
    code: str
    tries: int
    elapsed_seconds: float
    repeatable: bool
    rows: int
    others_succeed: bool
    reauthentications: int


def delay_seconds(tries: int, jitter: float, first_delay_seconds: float = FIRST_DELAY_SECONDS) -> float:
    """Exponential back-off with jitter: `jitter` in [0, 1) moves it between half and the whole of its step."""
    step = min(first_delay_seconds * 2.0 ** min(tries - 1, 100), LONGEST_DELAY_SECONDS)
    return float(step * (0.5 + jitter / 2))


_AT_ONCE: dict[Next, type[MarketoError]] = {
    Next.QUOTA: QuotaReachedError,
    Next.CONFIGURATION: ConfigurationFaultError,
    Next.NOT_FOUND: NotFoundError,
    Next.REFUSED: RefusedError,
}
"""What no other try can change."""


def decide(failure: Failure, window_seconds: float) -> Retry | type[MarketoError]:
    """Say what happens after a failed try: sent again, or raised to the caller as an error of this kind.

    Exhausted retries end the sync; they never reject a record.
    """
    match failure.next:
        case settled if settled in _AT_ONCE:
            return _AT_ONCE[settled]
        case Next.SPLIT:
            return TooLargeError if failure.rows > 1 else RefusedError
        case Next.REAUTHENTICATE if failure.reauthentications < REAUTHENTICATIONS_IN_A_ROW:
            return Retry.WITH_NEW_TOKEN
        case Next.OUTCOME_UNKNOWN | Next.MISFIT if not failure.repeatable:
            return OutcomeUnknownError
        case Next.MISFIT:
            return AnswerMisfitError if failure.tries >= TRIES_FOR_A_FITTING_ANSWER else Retry.AGAIN
        case Next.OUTCOME_UNKNOWN if failure.code in ("604", "611") and failure.rows > 1:
            # Either the batch is too much for Marketo's database, or one record in it is poison.
            if failure.tries >= TRIES_BEFORE_SPLIT:
                return TooLargeError
        case Next.RETRY_THEN_REFUSED if failure.tries >= TRIES_BEFORE_REFUSAL:
            return RefusedError
        case _:
            pass
    if failure.elapsed_seconds < window_seconds:
        return Retry.AGAIN
    if failure.code == "611" and failure.rows == 1 and failure.others_succeed:
        # Alone, for the whole window, while others pass: it is this record that Marketo cannot digest.
        return RefusedError
    return UnreachableError
