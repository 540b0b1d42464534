"""JSON that the usual parsers refuse is read, or refused, as the grammar says, whatever its depth."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.jsontext import DEEPEST, NotJsonError, loads, members
from destination_marketo_programs.model import UNREADABLE

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=())),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
SPACES = st.sampled_from(["", " ", "\t", " \r\n "])


def nested(depth: int, inside: str = "") -> str:
    return "[" * depth + inside + "]" * depth


@given(VALUES, st.sampled_from([None, 1]))
def test_what_json_writes_is_read_alike_at_any_depth(value: Any, indent: int | None) -> None:
    text = json.dumps(value, indent=indent)
    expected = json.loads(text, parse_float=Decimal)
    assert loads(text) == expected
    (deep, *rest) = loads(f"[{text}, {nested(1500)}]")
    assert len(rest) == 1
    assert deep == expected


@given(st.text(alphabet='[]{},:"0 1-.eE\\ntrufals', max_size=12))
def test_what_json_refuses_is_refused_beside_a_deep_value_too(text: str) -> None:
    try:
        expected: Any = json.loads(text, parse_float=Decimal)
    except ValueError:
        with pytest.raises(NotJsonError):
            loads(f'{{"deep": {nested(1500)}, "text": {text}}}')
    else:
        assert loads(f'{{"deep": {nested(1500)}, "text": {text}}}')["text"] == expected


@pytest.mark.parametrize("text", [nested(1500) + "]", nested(1500)[:-1], "[" * 1500 + "}" * 1500, "[" * 100_000])
def test_brackets_that_do_not_match_are_no_json(text: str) -> None:
    with pytest.raises(NotJsonError):
        loads(text)


def test_below_the_deepest_level_nothing_is_kept() -> None:
    value = loads(nested(100_000))
    depth = 0
    while isinstance(value, list):
        value, depth = value[0], depth + 1
    assert value is UNREADABLE
    assert depth == DEEPEST


def test_numbers_keep_their_digits() -> None:
    long = "7" * 5_000
    assert loads(f'[1884518522.1684267241, 1.0E16, {long}, -{long}, 1E400, "{long}"]') == [
        Decimal("1884518522.1684267241"),
        Decimal("1.0E16"),
        Decimal(long),
        Decimal(f"-{long}"),
        Decimal("1E400"),
        long,
    ]
    assert loads("1E9999999999999999999999") is UNREADABLE


@given(st.lists(st.tuples(st.text(), VALUES), max_size=5), SPACES)
def test_members_are_given_as_they_are_written(pairs: list[tuple[str, Any]], space: str) -> None:
    written = [(json.dumps(key), json.dumps(value)) for key, value in pairs]
    inside = f"{space},{space}".join(f"{key}{space}:{space}{value}" for key, value in written)
    assert members(f"{space}{{{space}{inside}{space}}}") == written


@pytest.mark.parametrize("text", ["[]", '"text"', "7", "null", " [1]"])
def test_only_objects_have_members(text: str) -> None:
    assert members(text) is None


def test_a_key_that_comes_twice_is_given_twice() -> None:
    assert members('{"a":1,"a":2}') == [('"a"', "1"), ('"a"', "2")]
