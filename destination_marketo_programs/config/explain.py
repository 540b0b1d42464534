"""One wrong value in the form's words. The value itself is never repeated: it may be a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from pydantic.fields import FieldInfo

from destination_marketo_programs.config.places import Finding, Place, place_of
from destination_marketo_programs.config.settings import DISCRIMINATORS, UNUSABLE_TEXT, Fix
from destination_marketo_programs.text import codes, nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel
    from pydantic_core import ErrorDetails

    from destination_marketo_programs.model import Location

_WRONG_TYPES = {
    "string_type": "This must be text.",
    "string_unicode": "This must be text.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "tuple_type": "This must be a list.",
    "model_type": "This must be a group of settings (a JSON object).",
    "model_attributes_type": "This must be a group of settings (a JSON object).",
    "dict_type": "This must be a group of settings (a JSON object).",
}
_NO_WHOLE_NUMBER = ("int_type", "int_parsing", "int_parsing_size", "int_from_float", "finite_number")


def explain(detail: ErrorDetails) -> Finding:
    """Say what is wrong with one value or key, and what to do about it."""
    location, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    place = place_of(location)
    match kind:
        case "extra_forbidden":
            return _unknown_key(location, place)
        case "missing":
            return Finding(location, "This must be filled in.", _how_to_fill(place.field))
        case "literal_error":
            choices = [str(choice) for choice in get_args(place.field.annotation)] if place.field else []
            return _no_such_choice(location, choices, str(detail.get("input", "")))
        case "union_tag_invalid" | "union_tag_not_found":
            return _no_such_block(location, place, context)
        case _ if kind == UNUSABLE_TEXT:
            return Finding(location, context["message"], context["fix"])
        case "greater_than_equal" | "less_than_equal":
            return Finding(location, f"This must be {_range_of(place.field)}.", "")
        case _ if kind in _NO_WHOLE_NUMBER:
            return Finding(location, f"This must be a whole number{_range_clause(place.field)}.", "")
        case _:
            return Finding(location, _WRONG_TYPES.get(kind, "This value cannot be used."), "")


def _how_to_fill(field: FieldInfo | None) -> str:
    if field is None:
        return ""
    fixes = [rule.text for rule in field.metadata if isinstance(rule, Fix)]
    return fixes[0] if fixes else field.description or ""


def _unknown_key(location: Location, place: Place) -> Finding:
    key = str(location[-1])
    message = "There is no setting of this name."
    elsewhere = _tag_of_sibling_with(key, location)
    if elsewhere:
        chooser, tag = elsewhere
        return Finding(location, f"This setting belongs to {chooser} `{tag}` only.", "Remove it here.")
    known = list(place.block.model_fields)
    near = nearest(key, known)
    return Finding(location, message, f"Did you mean `{near}`?" if near else f"Known here: {codes(known)}.")


def _tag_of_sibling_with(key: str, location: Location) -> tuple[str, str] | None:
    """Find the other choice of the same block that knows a key, as (choosing key, tag)."""
    choices = place_of(location[:-2]).choices  # before the tag and the key
    for tag, block in choices.items():
        if tag is not None and key in block.model_fields:
            return _chooser_of(block), tag
    return None


def _no_such_block(location: Location, place: Place, context: dict[str, Any]) -> Finding:
    chooser = _chooser_of(next(iter(place.choices.values())))
    tags = [tag for tag in place.choices if tag is not None]
    given = str(context.get("tag", ""))
    return _no_such_choice((*location, chooser), tags, given)


def _no_such_choice(location: Location, choices: Iterable[str], given: str) -> Finding:
    choices = list(choices)
    near = nearest(given, choices)
    return Finding(location, f"This must be one of {codes(choices)}.", f"Did you mean `{near}`?" if near else "")


def _chooser_of(block: type[BaseModel]) -> str:
    return next(name for name in DISCRIMINATORS if name in block.model_fields)


def _bounds(field: FieldInfo | None) -> tuple[int | None, int | None]:
    low = high = None
    rules = list(field.metadata) if field else []
    for alternative in get_args(field.annotation) if field else ():
        for note in getattr(alternative, "__metadata__", ()):
            rules += note.metadata if isinstance(note, FieldInfo) else ()
    for rule in rules:
        low = getattr(rule, "ge", low)
        high = getattr(rule, "le", high)
    return low, high


def _range_of(field: FieldInfo | None) -> str:
    low, high = _bounds(field)
    if low is not None and high is not None:
        return f"between {low} and {high}"
    return f"{low} or more" if low is not None else f"{high} or less"


def _range_clause(field: FieldInfo | None) -> str:
    return f", {_range_of(field)}" if _bounds(field) != (None, None) else ""
