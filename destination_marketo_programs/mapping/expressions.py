"""JMESPath over records whose fractions are `Decimal`s, which JMESPath's Python library does not take for numbers.

Without this `max(scores)` could not be evaluated on `[1.5, 2.5]`, and `to_string(price)` would be `"1.5"` in quotes.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec
from jmespath.functions import Functions, signature
from jmespath.parser import ParsedResult
from jmespath.visitor import Options

from destination_marketo_programs.mapping.values import holds_unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NUMBER: Final = "Decimal"


class _ExactFunctions(Functions):
    """JMESPath's functions, of which a `Decimal` is a number and keeps its digits."""

    def _get_allowed_pytypes(self, types: Any) -> Any:
        # The library's stubs leave the parts out that are called here.
        allowed, of_elements = super()._get_allowed_pytypes(types)  # type: ignore[misc]
        return [*allowed, _NUMBER] if "float" in allowed else allowed, [
            (*each, _NUMBER) if "float" in each else each for each in of_elements
        ]

    def _convert_to_jmespath_type(self, pyobject: str) -> Any:
        return "number" if pyobject == _NUMBER else super()._convert_to_jmespath_type(pyobject)  # type: ignore[misc]

    @signature({"types": ["number"]})
    def _func_abs(self, arg: Any) -> Any:
        return arg.copy_abs() if isinstance(arg, Decimal) else abs(arg)

    @signature({"types": ["number"]})
    def _func_ceil(self, arg: Any) -> Any:
        return _rounded(arg, ROUND_CEILING)

    @signature({"types": ["number"]})
    def _func_floor(self, arg: Any) -> Any:
        return _rounded(arg, ROUND_FLOOR)

    @signature({"types": []})
    def _func_to_number(self, arg: Any) -> Any:
        if isinstance(arg, Decimal):
            return arg
        number = super()._func_to_number(arg)  # type: ignore[misc]
        if not isinstance(arg, str) or not isinstance(number, float):
            return number
        exact = Decimal(arg.strip())
        return exact if exact.is_finite() else number  # "nan" stays what no field takes

    @signature({"types": []})
    def _func_to_string(self, arg: Any) -> Any:
        if arg is None or isinstance(arg, str):
            return arg  # the word "null" would go into the field of everyone whose record lacks the column
        if holds_unreadable(arg):
            raise TypeError
        return _encode(arg).decode("utf-8")

    @signature({"types": []})
    def _func_type(self, arg: Any) -> Any:
        return "number" if isinstance(arg, Decimal) else super()._func_type(arg)  # type: ignore[misc]


_OPTIONS: Final = Options(custom_functions=_ExactFunctions())
_encode: Final = msgspec.json.Encoder(decimal_format="number").encode


def exact_search(parsed: Mapping[str, Any]) -> Callable[[Any], Any]:
    """Return what evaluates an expression.

    Args:
        parsed: as the library parses it; not changed, as the library keeps it.
    """
    expression = ParsedResult("", _with_exact_literals(parsed))  # type: ignore[arg-type]
    return lambda value: expression.search(value, _OPTIONS)


def _with_exact_literals(node: Mapping[str, Any]) -> dict[str, Any]:
    """Literals as records have them: `0.1` is the number that a record with 0.1 has."""
    children = [_with_exact_literals(child) if isinstance(child, dict) else child for child in node["children"]]
    found = {**node, "children": children}
    if node["type"] == "literal":
        found["value"] = _exact(node["value"])
    return found


def _exact(value: Any) -> Any:
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, list):
        return [_exact(each) for each in value]
    return {key: _exact(each) for key, each in value.items()} if isinstance(value, dict) else value


def _rounded(number: Any, rounding: str) -> Any:
    if isinstance(number, int):
        return number
    exact = number if isinstance(number, Decimal) else Decimal(repr(number))
    return exact.to_integral_value(rounding)  # no `int`: the one of 1E+999999 has a million digits
