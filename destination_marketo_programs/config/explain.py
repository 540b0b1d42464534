"""Problems in the form's words: where they are, in which order, and what is wrong with one value.

A wrong value itself is never repeated: it may be a secret. Names of settings, and events of program links, are.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from destination_marketo_programs.config.settings import DISCRIMINATORS, UNUSABLE_TEXT, Fix, Settings
from destination_marketo_programs.model import Location, Problem, path_of
from destination_marketo_programs.text import codes, nearest, numbered, on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from pydantic_core import ErrorDetails

_ROOT_PATH = "configuration"
_BEHIND_ALL_FIELDS = 1_000
_LONGEST_EVENT = 40
_MOST_PATHS = 8
"""Further paths that a problem names; it counts the places beyond them."""

_RENAMED: Final = {"outcome_storage": "object_storage_config"}
"""Top-level settings of earlier versions."""

_ENTRIES: Final = {
    "program_links": "program link",
    "qualifier_mappings": "qualifier mapping",
    "field_mappings": "field mapping",
    "excluded_email_domains": "excluded domain",
}
"""List -> what people call one entry of it."""

_WRONG_TYPES: Final = {
    "string_type": "This must be text.",
    "string_unicode": "This must be text.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "tuple_type": "This must be a list.",
    "model_type": "This must be a group of settings (a JSON object).",
    "model_attributes_type": "This must be a group of settings (a JSON object).",
    "dict_type": "This must be a group of settings (a JSON object).",
}
_NOT_A_WHOLE_NUMBER = ("int_type", "int_parsing", "int_parsing_size", "int_from_float", "finite_number")


# --- where -------------------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """A resolved location.

    Attributes:
        steps: the location without the tags of chosen blocks, as `Problem` has it.
        rank: sorts places as the form shows them; unknown keys come behind the known ones of their block.
        field: the setting, or None if the location is an unknown key, a list element or the whole.
        choices: the blocks that may stand at the location, by tag (None if there is just one).
        block: the block that holds the last key of the location.
        titles: what the form calls the steps, list entries counted from 1.
    """

    steps: Location
    rank: tuple[int, ...]
    field: FieldInfo | None
    choices: dict[str | None, type[BaseModel]]
    block: type[BaseModel]
    titles: tuple[str, ...]


def tag_of(model: type[BaseModel]) -> str | None:
    """Return the value of the key by which the form chooses this block, or None if there is no choice."""
    for name in DISCRIMINATORS:
        if name in model.model_fields:
            return str(get_args(model.model_fields[name].annotation)[0])
    return None


def blocks_in(annotation: Any) -> dict[str | None, type[BaseModel]]:
    """Return the blocks inside a field's type, by tag."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {tag_of(annotation): annotation}
    found: dict[str | None, type[BaseModel]] = {}
    for inner in get_args(annotation):
        found |= blocks_in(inner)
    return found


def place_of(location: Location) -> Place:
    """Resolve a location, with or without the tags of chosen blocks; unknown keys are allowed anywhere."""
    steps: list[str | int] = []
    rank: list[int] = []
    titles: list[str] = []
    choices: dict[str | None, type[BaseModel]] = {None: Settings}
    block: type[BaseModel] = Settings
    field: FieldInfo | None = None
    for step in location:
        if isinstance(step, int):
            entry = _ENTRIES.get(str(steps[-1])) if steps else None
            if entry:
                titles[-1] = f"{entry.capitalize()} {step + 1}"
            steps.append(step)
            rank.append(step)
            field = None
        elif None not in choices and step in choices:
            choices = {None: choices[step]}
            field = None
        else:
            block = next((b for b in choices.values() if step in b.model_fields), next(iter(choices.values())))
            names = list(block.model_fields)
            field = block.model_fields.get(step)
            steps.append(step)
            rank.append(names.index(step) if field else _BEHIND_ALL_FIELDS)
            if field and field.title and field.title not in titles[-1:]:
                titles.append(field.title)
            choices = (blocks_in(field.annotation) if field else {}) or {None: block}
    return Place(tuple(steps) or (_ROOT_PATH,), tuple(rank), field, choices, block, tuple(titles))


def tell(problems: Iterable[Problem], event_of: Callable[[int], str]) -> list[Problem]:
    """Put problems into the order of the form, name their places in its words, and tell each mistake once.

    The same mistake in several entries of a list is one problem, at the first of them, that lists the others.

    Args:
        problems: their locations may hold the tags of chosen blocks, as pydantic reports them.
        event_of: the event of a program link by its position; "" if it has none.
    """
    together: dict[tuple[Any, ...], tuple[Place, Problem, list[Location]]] = {}
    for problem in problems:
        place = place_of(problem.location)
        pattern = tuple(step if isinstance(step, str) else None for step in place.steps)
        mistake = (pattern, problem.message, problem.fix, problem.also)
        _, _, locations = together.setdefault(mistake, (place, problem, []))
        if place.steps not in locations[-1:]:
            locations.append(place.steps)
    told = []
    for place, problem, locations in together.values():
        place_text = problem.place or _in_words(place, event_of)
        also = problem.also or _also(locations[1:])
        told.append((place.rank, Problem(place.steps, problem.message, problem.fix, place_text, also)))
    return [problem for _, problem in sorted(told, key=lambda pair: pair[0])]


def _in_words(place: Place, event_of: Callable[[int], str]) -> str:
    titles = list(place.titles)
    match place.steps:
        case ("program_links", int(position), *_) if titles and (event := event_of(position)):
            titles[0] += f", event {on_one_line(event, _LONGEST_EVENT)}"
    return ", ".join(titles)


def _also(locations: Sequence[Location]) -> str:
    """Name further places of a mistake: `program links 2 to 30 (program_links[1].program_id, …)`."""
    if not locations:
        return ""
    paths = ", ".join(path_of(location) for location in locations[:_MOST_PATHS])
    if len(locations) > _MOST_PATHS:
        paths += f" and {len(locations) - _MOST_PATHS:,} more"
    entry = _ENTRIES.get(str(locations[0][0]))
    positions = [step for location in locations for step in location[1:2] if isinstance(step, int)]
    return f"{numbered(positions, entry)} ({paths})" if entry else paths


# --- what --------------------------------------------------------------------------------------------------------


def explain_all(details: Sequence[ErrorDetails]) -> list[Problem]:
    """Say what is wrong with the values and keys of a configuration; a mistyped key is not also missing."""
    problems = [explain(detail) for detail in details]
    mistyped = {
        (*detail["loc"][:-1], meant)
        for detail in details
        if detail["type"] == "extra_forbidden" and (meant := _meant_key(detail["loc"], place_of(detail["loc"])))
    }
    return [
        problem
        for problem, detail in zip(problems, details, strict=True)
        if detail["type"] != "missing" or detail["loc"] not in mistyped
    ]


def explain(detail: ErrorDetails) -> Problem:
    """Say what is wrong with one value or key, and what to do about it."""
    location, kind, context = detail["loc"], detail["type"], detail.get("ctx", {})
    place = place_of(location)
    match kind:
        case "extra_forbidden":
            return _unknown_key(location, place)
        case "missing":
            return Problem(location, "This must be filled in.", _how_to_fill(place.field))
        case "literal_error":
            choices = [str(choice) for choice in get_args(place.field.annotation)] if place.field else []
            return _no_such_choice(location, choices, _given(detail.get("input")))
        case "union_tag_invalid" | "union_tag_not_found":
            return _no_such_block(location, place, context)
        case _ if kind == UNUSABLE_TEXT:
            return Problem(location, context["message"], context["fix"])
        case "greater_than_equal" | "less_than_equal":
            return Problem(location, f"This must be {_range_of(place.field)}.", "")
        case _ if kind in _NOT_A_WHOLE_NUMBER:
            return Problem(location, f"This must be a whole number{_range_clause(place.field)}.", "")
        case _:
            return Problem(location, _WRONG_TYPES.get(kind, "This value cannot be used."), "")


def _given(value: Any) -> str:
    """What was given in place of one of a few choices, to find the nearest; only a text can be near one."""
    return value if isinstance(value, str) else ""


def _how_to_fill(field: FieldInfo | None) -> str:
    if field is None:
        return ""
    fixes = [rule.text for rule in field.metadata if isinstance(rule, Fix)]
    return fixes[0] if fixes else field.description or ""


def _unknown_key(location: Location, place: Place) -> Problem:
    key = str(location[-1])
    if len(location) == 1 and key in _RENAMED:
        return Problem(
            location, "This setting has a new name.", f"Rename it to `{_RENAMED[key]}`; its content stays the same."
        )
    message = "There is no setting with this name."
    elsewhere = _tag_of_sibling_with(key, location)
    if elsewhere:
        chooser, tag = elsewhere
        return Problem(location, f"This setting belongs to {chooser} `{tag}` only.", "Remove it here.")
    meant = _meant_key(location, place)
    known = codes(place.block.model_fields)
    return Problem(location, message, f"Did you mean `{meant}`?" if meant else f"Valid settings: {known}.")


def _meant_key(location: Location, place: Place) -> str | None:
    if len(location) == 1 and location[0] in _RENAMED:
        return _RENAMED[str(location[0])]
    return _nearest_of(str(location[-1]), tuple(place.block.model_fields))


@lru_cache(maxsize=1_000)
def _nearest_of(given: str, known: tuple[str, ...]) -> str | None:
    """As `nearest`; thousands of entries may share one mistyped key."""
    return nearest(given, known)


def _tag_of_sibling_with(key: str, location: Location) -> tuple[str, str] | None:
    """Find the other choice of the same block that knows a key, as (choosing key, tag)."""
    choices = place_of(location[:-2]).choices  # before the tag and the key
    for tag, block in choices.items():
        if tag is not None and key in block.model_fields:
            return _chooser_of(block), tag
    return None


def _no_such_block(location: Location, place: Place, context: dict[str, Any]) -> Problem:
    chooser = _chooser_of(next(iter(place.choices.values())))
    tags = [tag for tag in place.choices if tag is not None]
    return _no_such_choice((*location, chooser), tags, _given(context.get("tag")))


def _no_such_choice(location: Location, choices: Iterable[str], given: str) -> Problem:
    choices = tuple(choices)
    near = _nearest_of(given, choices)
    return Problem(location, f"This must be one of {codes(choices)}.", f"Did you mean `{near}`?" if near else "")


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
        return f"between {low:,} and {high:,}"
    return f"{low:,} or more" if low is not None else f"{high:,} or less"


def _range_clause(field: FieldInfo | None) -> str:
    return f", {_range_of(field)}" if _bounds(field) != (None, None) else ""
