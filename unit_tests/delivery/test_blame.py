"""Which field a sentence of Marketo's blames."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from destination_marketo_programs.delivery.blame import refused_value
from destination_marketo_programs.model import Person

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
    ],
)
def test_the_field_that_the_sentence_blames(message: str, field: str | None) -> None:
    person = Person(None, "a@x.org", "a@x.org", SENT, {"seat": "4b"}, if_blank={"annualRevenue": "older"})
    value = str(SENT[field]) if field else None
    assert refused_value(person, message) == (field and {"field": field, "value": value})


def test_membership_fields_and_guarded_ones_are_looked_at() -> None:
    person = Person(None, "a@x.org", "a@x.org", {}, {"seat": "4b"}, if_blank={"notes": "long"}, on_create={"badge": 7})
    for message, field, value in (("'4b'", "seat", "4b"), ("'LONG'", "notes", "long"), ("field badge", "badge", "7")):
        assert refused_value(person, message) == {"field": field, "value": value}
