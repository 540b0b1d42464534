"""Whether and when a failed call is sent again: a pure decision over what went wrong and how often."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from destination_marketo_programs.marketo.errors import Next

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 20.0
TRIES_BEFORE_REFUSAL = 4
TRIES_BEFORE_SPLIT = 3
REAUTHENTICATIONS_IN_A_ROW = 2


class RetryPolicy(NamedTuple):
    """How long one call is tried; seconds from its first failure."""

    window_seconds: float = 120.0
    check_window_seconds: float = 10.0
    first_delay_seconds: float = FIRST_DELAY_SECONDS
    create_settle_seconds: float = 95.0
    """Marketo ends Sync Leads after 90 seconds: later than this, a create without answer is no longer running."""


class Verdict(Enum):
    """What the caller of a failed call does."""

    AGAIN = "again"
    RENEW_TOKEN = "renew the token, then again"  # noqa: S105 - not a password
    UNKNOWN = "raise OutcomeUnknownError"
    SPLIT = "raise TooLargeError"
    REFUSED = "raise RefusedError"
    NOT_FOUND = "raise NotFoundError"
    CONFIGURATION = "raise ConfigurationFaultError"
    QUOTA = "raise QuotaReachedError"
    UNREACHABLE = "raise UnreachableError"


class Failure(NamedTuple):
    """One failed try.

    Attributes:
        next: what the code's entry in the table says.
        code: Marketo's code, `HTTP nnn`, or the kind of connection failure.
        tries: how often this call has failed now, this time included.
        elapsed_seconds: since its first failure.
        repeatable: whether sending it twice is harmless even if the first is executed (reads, updates by id,
            membership status and data).
        rows: records in the call; 0 for reads.
        others_succeed: whether another call has succeeded since this one first failed.
        reauthentications: tokens renewed for this call since its last answer that was no 601 or 602.
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


_AT_ONCE = {
    Next.QUOTA: Verdict.QUOTA,
    Next.CONFIGURATION: Verdict.CONFIGURATION,
    Next.NOT_FOUND: Verdict.NOT_FOUND,
    Next.REFUSED: Verdict.REFUSED,
}
"""What no other try can change."""


def decide(failure: Failure, window_seconds: float) -> Verdict:
    """Say what happens after a failed try. Exhausted retries end the sync; they never reject a record."""
    match failure.next:
        case settled if settled in _AT_ONCE:
            return _AT_ONCE[settled]
        case Next.SPLIT:
            return Verdict.SPLIT if failure.rows > 1 else Verdict.REFUSED
        case Next.REAUTHENTICATE if failure.reauthentications < REAUTHENTICATIONS_IN_A_ROW:
            return Verdict.RENEW_TOKEN
        case Next.OUTCOME_UNKNOWN if not failure.repeatable:
            return Verdict.UNKNOWN
        case Next.OUTCOME_UNKNOWN if failure.code in ("604", "611") and failure.rows > 1:
            # Either the batch is too much for Marketo's database, or one record in it is poison.
            if failure.tries >= TRIES_BEFORE_SPLIT:
                return Verdict.SPLIT
        case Next.RETRY_THEN_REFUSED if failure.tries >= TRIES_BEFORE_REFUSAL:
            return Verdict.REFUSED
        case _:
            pass
    if failure.elapsed_seconds < window_seconds:
        return Verdict.AGAIN
    if failure.code == "611" and failure.rows == 1 and failure.others_succeed:
        # Alone, for the whole window, while others pass: it is this record that Marketo cannot digest.
        return Verdict.REFUSED
    return Verdict.UNREACHABLE
