"""What Marketo's words about failed rows and failed jobs mean. The words themselves reach the outcome unchanged.

Failure files give a sentence with the field's name on screen and no code, and Adobe lists no such sentences. What no
pattern knows is RECORD_REFUSED: still the right record, with Marketo's own words.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from destination_marketo_programs.outcomes import Category


class Refusal(NamedTuple):
    """Why a row was not imported.

    Attributes:
        category: the outcome's category; None for a person who is already in the status or past it.
        message: Marketo's text, unchanged.
        of_person: whether the same would happen with every other program.
        code: Marketo's code, where a whole call was refused.
    """

    category: str | None
    message: str
    of_person: bool = True
    code: str | None = None


_ROW_PATTERNS: tuple[tuple[re.Pattern[str], Category | None], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), category)
    for pattern, category in (
        (r"already (?:in|past|in or past)\b.*status|past this (?:program )?status", None),
        (r"multiple (?:people|persons|leads|records)|duplicate", Category.DUPLICATE_LEADS),
        (r"partition|workspace", Category.PARTITION_DENIED),
        (r"(?:program|member|progression) status.*(?:not|invalid|unknown)", Category.STATUS_NOT_FOUND),
        (r"(?:invalid|unknown|not found).*(?:program|member|progression) status", Category.STATUS_NOT_FOUND),
        (r"invalid e-?mail|e-?mail address (?:is )?(?:missing|invalid|empty)|field e-?mail", Category.INVALID_EMAIL),
        (
            r"(?:in|for) (?:the )?field\b|data type|value too long|invalid value|field .*(?:not|cannot)",
            Category.FIELD_INVALID,
        ),
    )
)
_JOB_PATTERNS: tuple[tuple[re.Pattern[str], Category], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), category)
    for pattern, category in (
        (r"status\b.*(?:not found|not exist|invalid|unknown)", Category.STATUS_NOT_FOUND),
        (r"(?:invalid|unknown).*\bstatus", Category.STATUS_NOT_FOUND),
        (r"column|header", Category.FIELD_INVALID),
        (r"program\b.*(?:not found|not exist|archived|deleted)", Category.RECORD_REFUSED),
    )
)


def row_refusal(text: str) -> Refusal:
    """What a sentence of a failure file means."""
    for pattern, category in _ROW_PATTERNS:
        if pattern.search(text):
            return Refusal(category and category.value, text, of_person=category is not Category.STATUS_NOT_FOUND)
    return Refusal(Category.RECORD_REFUSED.value, text)


def job_refusal(text: str | None) -> Refusal | None:
    """What the message of a failed job means, where it is known and would be the same again; None otherwise."""
    for pattern, category in _JOB_PATTERNS:
        if text and pattern.search(text):
            return Refusal(category.value, text, of_person=False)
    return None
