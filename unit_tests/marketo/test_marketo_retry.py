"""The error table and the decision made of it, held against Adobe's table rather than against our own."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.marketo.errors import (
    RECORD_CATEGORIES,
    RESPONSE_CODES,
    AnswerMisfitError,
    ConfigurationFaultError,
    ExtractRefusal,
    MarketoError,
    Next,
    NotFoundError,
    OutcomeUnknownError,
    QuotaReachedError,
    RefusedError,
    TooLargeError,
    UnreachableError,
    category_for,
    extract_refusal,
    rule_for,
)
from destination_marketo_programs.marketo.retry import (
    LONGEST_DELAY_SECONDS,
    Failure,
    Retry,
    decide,
    delay_seconds,
)
from destination_marketo_programs.outcomes import Category

WINDOW = 120.0

# Adobe's table with its advice: code -> what becomes of a create, and of a call that may be repeated, at first sight.
Decision = Retry | type[MarketoError]
AGAIN, RENEW, UNKNOWN = Retry.AGAIN, Retry.WITH_NEW_TOKEN, OutcomeUnknownError
CONFIGURATION, NOT_FOUND, REFUSED, QUOTA = ConfigurationFaultError, NotFoundError, RefusedError, QuotaReachedError
FIRST_TIME: dict[str, tuple[Decision, Decision]] = {
    "500": (UNKNOWN, AGAIN),
    "502": (UNKNOWN, AGAIN),
    "600": (RENEW, RENEW),
    "601": (RENEW, RENEW),
    "602": (RENEW, RENEW),
    "603": (CONFIGURATION, CONFIGURATION),
    "604": (UNKNOWN, AGAIN),
    "605": (CONFIGURATION, CONFIGURATION),
    "606": (AGAIN, AGAIN),
    "607": (QUOTA, QUOTA),
    "608": (AGAIN, AGAIN),
    "609": (REFUSED, REFUSED),
    "610": (NOT_FOUND, NOT_FOUND),
    "611": (UNKNOWN, AGAIN),
    "612": (CONFIGURATION, CONFIGURATION),
    "613": (REFUSED, REFUSED),
    "614": (AGAIN, AGAIN),
    "615": (AGAIN, AGAIN),
    "616": (CONFIGURATION, CONFIGURATION),
    "701": (REFUSED, REFUSED),
    "702": (NOT_FOUND, NOT_FOUND),
    "703": (CONFIGURATION, CONFIGURATION),
    "713": (AGAIN, AGAIN),
    "719": (AGAIN, AGAIN),
    "1001": (REFUSED, REFUSED),
    "1003": (REFUSED, REFUSED),
    "1004": (REFUSED, REFUSED),
    "1006": (REFUSED, REFUSED),
    "1009": (CONFIGURATION, CONFIGURATION),
    "1011": (CONFIGURATION, CONFIGURATION),
    "1013": (REFUSED, REFUSED),
    "1014": (AGAIN, AGAIN),
    "1016": (AGAIN, AGAIN),
    "1018": (CONFIGURATION, CONFIGURATION),
    "1019": (AGAIN, AGAIN),
    "1025": (REFUSED, REFUSED),
    "1029": (AGAIN, AGAIN),
    "1099": (REFUSED, REFUSED),
    "699": (AGAIN, AGAIN),
    "10000": (AGAIN, AGAIN),
    "": (AGAIN, AGAIN),
}


def failed(
    code: str,
    *,
    tries: int = 1,
    elapsed: float = 0.0,
    repeatable: bool = True,
    rows: int = 300,
    others_succeed: bool = False,
    reauthentications: int = 0,
) -> Failure:
    return Failure(rule_for(code).next, code, tries, elapsed, repeatable, rows, others_succeed, reauthentications)


@pytest.mark.parametrize("code", FIRST_TIME)
@pytest.mark.parametrize("repeatable", [False, True])
def test_first_failure(code: str, *, repeatable: bool) -> None:
    assert decide(failed(code, repeatable=repeatable), WINDOW) is FIRST_TIME[code][repeatable]


def test_the_table_above_leaves_out_no_code_that_has_a_rule() -> None:
    assert set(RESPONSE_CODES) <= set(FIRST_TIME)


@pytest.mark.parametrize("code", [code for code, (_, again) in FIRST_TIME.items() if again is AGAIN])
def test_what_is_tried_again_ends_the_sync_and_never_rejects_a_record(code: str) -> None:
    """Except for codes of unclear meaning, which stand for a refusal when they come back."""
    verdicts = {
        decide(failed(code, tries=tries, elapsed=elapsed, rows=rows), WINDOW)
        for tries in (1, 2, 50)
        for elapsed in (0.0, 119.9, 120.0, 5000.0)
        for rows in (0, 1)
    }
    unclear = code in ("1014", "699", "10000", "")
    assert verdicts == ({AGAIN, UnreachableError, REFUSED} if unclear else {AGAIN, UnreachableError})


@pytest.mark.parametrize("code", ["500", "502", "604", "611"])
@pytest.mark.parametrize(("tries", "elapsed", "rows"), list(itertools.product((1, 5, 99), (0.0, 500.0), (1, 300))))
def test_a_create_whose_fate_is_unknown_is_never_repeated_here(
    code: str, tries: int, elapsed: float, rows: int
) -> None:
    failure = failed(code, tries=tries, elapsed=elapsed, rows=rows, repeatable=False, others_succeed=True)
    assert decide(failure, WINDOW) is UNKNOWN


@pytest.mark.parametrize(
    ("code", "rows", "tries", "verdict"),
    [
        ("604", 300, 2, AGAIN),
        ("604", 300, 3, TooLargeError),
        ("611", 2, 3, TooLargeError),
        ("604", 1, 9, AGAIN),
        ("604", 0, 9, AGAIN),
        ("502", 300, 9, AGAIN),
    ],
)
def test_a_batch_that_is_too_much_or_poisoned_is_split_after_a_few_tries(
    code: str, rows: int, tries: int, verdict: Decision
) -> None:
    assert decide(failed(code, rows=rows, tries=tries), WINDOW) is verdict


def test_413_is_split_down_to_the_record_that_is_too_large() -> None:
    too_large = Failure(Next.SPLIT, "HTTP 413", 1, 0.0, False, 2, False, 0)
    assert decide(too_large, WINDOW) is TooLargeError
    assert decide(too_large._replace(rows=1), WINDOW) is REFUSED
    assert decide(too_large._replace(rows=0), WINDOW) is REFUSED


@pytest.mark.parametrize(
    ("elapsed", "rows", "others", "verdict"),
    [
        (119.0, 1, True, AGAIN),
        (120.0, 1, True, REFUSED),
        (120.0, 1, False, UnreachableError),
        (120.0, 0, True, UnreachableError),
    ],
)
def test_611_rejects_a_record_only_if_it_is_alone_and_others_pass(
    elapsed: float, rows: int, verdict: Decision, *, others: bool
) -> None:
    failure = failed("611", elapsed=elapsed, rows=rows, others_succeed=others)
    assert decide(failure, WINDOW) is verdict


@pytest.mark.parametrize(
    ("reauthentications", "elapsed", "verdict"),
    [(0, 0.0, RENEW), (1, 0.0, RENEW), (2, 0.0, AGAIN), (2, 120.0, UnreachableError)],
)
def test_a_token_is_renewed_at_once_twice_and_then_with_a_pause(
    reauthentications: int, elapsed: float, verdict: Decision
) -> None:
    failure = failed("601", elapsed=elapsed, reauthentications=reauthentications)
    assert decide(failure, WINDOW) is verdict


@pytest.mark.parametrize(("tries", "repeatable", "verdict"), [(1, True, AGAIN), (2, True, AGAIN), (1, False, UNKNOWN)])
def test_an_answer_of_another_shape_is_asked_for_again_if_that_is_harmless(
    tries: int, verdict: Decision, *, repeatable: bool
) -> None:
    failure = Failure(Next.MISFIT, "`step` is a list", tries, 0.0, repeatable, 1, False, 0)
    assert decide(failure, WINDOW) is verdict
    assert decide(failure._replace(tries=3, repeatable=True), WINDOW) is AnswerMisfitError


# --- delays --------------------------------------------------------------------------------------------------


@given(st.integers(1, 10**6), st.floats(0, 1, exclude_max=True), st.floats(0.001, 5))
def test_a_delay_is_bounded_and_jitter_moves_it_within_its_step(tries: int, jitter: float, first: float) -> None:
    delay = delay_seconds(tries, jitter, first)
    step = LONGEST_DELAY_SECONDS if tries > 20 else min(first * 2.0 ** (tries - 1), LONGEST_DELAY_SECONDS)
    assert step / 2 <= delay <= step


def test_delays_double() -> None:
    assert [delay_seconds(tries, 0.5, 1.0) for tries in (1, 2, 3)] == [0.75, 1.5, 3.0]


# --- table ---------------------------------------------------------------------------------------------------


def test_categories_are_those_of_outcomes() -> None:
    assert set(RECORD_CATEGORIES.values()) <= set(Category)


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("1001", "FIELD_INVALID"),
        ("1004", "LEAD_NOT_FOUND"),
        ("1006", "FIELD_INVALID"),
        ("1007", "DUPLICATE_LEADS"),
        ("1008", "PARTITION_DENIED"),
        ("1010", "PARTITION_DENIED"),
        ("1025", "STATUS_NOT_FOUND"),
        ("1002", "RECORD_REFUSED"),
        ("501", "RECORD_REFUSED"),
        ("1003", "RECORD_REFUSED"),
        ("HTTP 413", "RECORD_REFUSED"),
        (None, "RECORD_REFUSED"),
    ],
)
def test_a_code_gives_its_category(code: str | None, category: str) -> None:
    assert category_for(code) == category


@pytest.mark.parametrize(
    ("code", "message", "category"),
    [
        ("1003", "Value for field 'title' is longer than 255 characters", Category.FIELD_INVALID),
        ("1003", "Value too long for field Title", Category.FIELD_INVALID),
        ("1003", "Too many results match the filter", Category.RECORD_REFUSED),
        ("609", "too long", Category.RECORD_REFUSED),
        ("1007", "too long", Category.DUPLICATE_LEADS),
    ],
)
def test_a_value_that_is_too_long_is_the_fields_fault(code: str, message: str, category: Category) -> None:
    assert category_for(code, message) is category


@pytest.mark.parametrize(
    ("message", "meaning", "next_step"),
    [
        ("Too many jobs in queue", ExtractRefusal.QUEUE_FULL, Next.RETRY),
        ("Export daily quota 500MB exceeded.", ExtractRefusal.DAILY_QUOTA, Next.REFUSED),
        ("You have already used your quota of 500 MB", ExtractRefusal.DAILY_QUOTA, Next.REFUSED),
        ("Job already queued", ExtractRefusal.ALREADY_QUEUED, Next.REFUSED),
        (None, ExtractRefusal.QUEUE_FULL, Next.RETRY),
    ],
)
def test_1029_means_three_things(message: str | None, meaning: ExtractRefusal, next_step: Next) -> None:
    assert extract_refusal(message) is meaning
    assert rule_for("1029", message).next is next_step


@pytest.mark.parametrize("kind", [OutcomeUnknownError, RefusedError, UnreachableError])
def test_an_error_says_what_where_and_which_request_but_not_what_marketo_said(kind: type[MarketoError]) -> None:
    error = kind("sync_leads", "611", "Ada Lovelace", "a41c#18f")
    assert str(error) == f"Marketo sync_leads: {kind.what}: 611 (system error), request a41c#18f"
    assert "Ada" not in repr(error)
    assert error.marketo_message == "Ada Lovelace"
