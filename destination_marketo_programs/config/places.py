"""Where in the form a problem is: a location in the raw configuration resolved against the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from pydantic import BaseModel

from destination_marketo_programs.config.settings import DISCRIMINATORS, Settings
from destination_marketo_programs.model import Location, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo

_ROOT_PATH = "configuration"
_BEHIND_ALL_FIELDS = 1_000


class Finding(NamedTuple):
    """A problem before it is put in order. The texts are those of `Problem`.

    Its location may hold the tag of a chosen block after the block's key, as pydantic reports it.
    """

    location: Location
    message: str
    fix: str


class Place(NamedTuple):
    """A resolved location.

    Attributes:
        steps: the location without the tags of chosen blocks, as `Problem` has it.
        rank: sorts places as the form shows them; unknown keys come behind the known ones of their block.
        field: the setting, or None where the location is an unknown key, a list element or the whole.
        choices: the blocks that may stand at the location, by tag (None where there is just one).
        block: the block that holds the last key of the location.
    """

    steps: Location
    rank: tuple[int, ...]
    field: FieldInfo | None
    choices: dict[str | None, type[BaseModel]]
    block: type[BaseModel]


def tag_of(model: type[BaseModel]) -> str | None:
    """Return the value of the key by which the form chooses this block, or None where there is no choice."""
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
    """Resolve a location; unknown keys are allowed anywhere."""
    steps: list[str | int] = []
    rank: list[int] = []
    choices: dict[str | None, type[BaseModel]] = {None: Settings}
    block: type[BaseModel] = Settings
    field: FieldInfo | None = None
    for step in location:
        if isinstance(step, int):
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
            choices = (blocks_in(field.annotation) if field else {}) or {None: block}
    return Place(tuple(steps) or (_ROOT_PATH,), tuple(rank), field, choices, block)


def in_form_order(findings: Sequence[Finding]) -> list[Problem]:
    """Turn findings into problems, ordered as the form shows their places."""
    placed = sorted(((place_of(finding.location), finding) for finding in findings), key=lambda pair: pair[0].rank)
    return [Problem(place.steps, finding.message, finding.fix) for place, finding in placed]
