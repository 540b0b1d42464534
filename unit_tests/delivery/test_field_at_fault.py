"""Which field a sentence of Marketo's blames."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from destination_marketo_programs.delivery.field_at_fault import with_field
from destination_marketo_programs.outcomes import Category, Refusal

SENT: dict[str, Any] = {"annualRevenue": "12 apples", "title": "CEO", "leadScore": Decimal("1.5"), "isCustomer": "CEO"}


@pytest.mark.parametrize(
    ("message", "field"),
    [
        ("Invalid value '12 apples'. Required of type 'currency'", "annualRevenue"),
        ('Invalid value "12 APPLES"', "annualRevenue"),
        ("Invalid value '1.5'. Required of type 'title'", "leadScore"),
        ("Field 'title' not found", "title"),
        ("Value too long for field title", "title"),
        ("Invalid data type in field Annual Revenue", "annualRevenue"),
        # Two fields hold it; nothing is quoted; an unknown field; an unknown value.
        ("Invalid value 'CEO'. Required of type 'boolean'", None),
        ("Value too long", None),
        ("Field 'other' not found", None),
        ("Invalid value '13 apples'", None),
        ("", None),
        (None, None),
    ],
)
def test_the_field_that_the_sentence_blames(message: str | None, field: str | None) -> None:
    refusal = Refusal(Category.FIELD_INVALID, "1001", message, "r#1")
    found = with_field(refusal, None, {"annualRevenue": "older"}, SENT)
    assert found[:4] == refusal[:4]
    value = str(SENT[field]) if field else None
    assert found.detail == (field and {"field": field, "value": value})


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(Category.LEAD_NOT_FOUND, "1004", "Lead 'CEO' not found"),
        Refusal(Category.FIELD_INVALID, "1001", "Field 'title' not found", None, {"field": "other"}),
    ],
)
def test_what_needs_no_field_stays_as_it_is(refusal: Refusal) -> None:
    assert with_field(refusal, SENT) is refusal
