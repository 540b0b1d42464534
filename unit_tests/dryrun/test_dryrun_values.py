"""Which values a field takes."""

from __future__ import annotations

from typing import Any

import pytest

from destination_marketo_programs.dryrun.values import INVALID, WRONG_TYPE, misfit
from destination_marketo_programs.mapping import WritableField

FIELDS = {
    "scans": WritableField("integer"),
    "score": WritableField("score"),
    "fit": WritableField("float"),
    "optIn": WritableField("boolean"),
    "day": WritableField("date"),
    "at": WritableField("datetime"),
    "title": WritableField("string", 10),
    "work": WritableField("email", 255),
    "notes": WritableField("text"),
    "odd": WritableField("something new"),
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scans", 3), ("scans", "-3"), ("score", 0), ("fit", 1.5), ("fit", "1e3"), ("fit", 2), ("optIn", True),
        ("optIn", "FALSE"), ("optIn", "1"), ("day", "2026-11-23"), ("at", "2026-11-23T10:00:00+01:00"),
        ("title", "x" * 10), ("title", 1234567890), ("work", "a@example.org"), ("notes", "n" * 30_000),
        ("odd", {"what": "ever"}), ("scans", None), ("scans", ""), ("unknown", "anything"),
    ],
)  # fmt: skip
def test_what_fits(name: str, value: Any) -> None:
    assert misfit({name: value}, FIELDS) is None


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("scans", "many", WRONG_TYPE), ("scans", 1.5, WRONG_TYPE), ("scans", True, WRONG_TYPE),
        ("scans", "1,000", WRONG_TYPE), ("score", "٣", WRONG_TYPE), ("fit", "high", WRONG_TYPE),
        ("fit", "nan", WRONG_TYPE), ("fit", False, WRONG_TYPE), ("optIn", "yes", WRONG_TYPE),
        ("optIn", 1, WRONG_TYPE), ("day", "23.11.2026", WRONG_TYPE), ("day", "2026-02-30", WRONG_TYPE),
        ("day", 20261123, WRONG_TYPE), ("at", "2026-11-23", WRONG_TYPE), ("at", "noTime", WRONG_TYPE),
        ("title", "x" * 11, INVALID), ("work", "ü@example.org", INVALID), ("notes", "ü" * 15_001, INVALID),
    ],
)  # fmt: skip
def test_what_does_not_fit(name: str, value: Any, code: str) -> None:
    found = misfit({"title": "fine", name: value}, FIELDS)
    assert found is not None
    assert found.code == code
    assert name in found.message
    assert str(value) not in found.message


def test_nothing_is_judged_where_the_fields_are_unknown() -> None:
    assert misfit({"scans": "many"}, None) is None
