"""Where in the form a problem is: a location in the raw configuration resolved against the models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from pydantic import BaseModel

from destination_marketo_programs.config.settings import DISCRIMINATORS, Settings
from destination_marketo_programs.model import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic.fields import FieldInfo

Location = tuple[str | int, ...]
"""Keys and list positions from the top, with the tag of a chosen block after its key, as pydantic reports it."""

_ROOT_PATH = "configuration"
_LONGEST_SHOWN_NAME = 60
_BEHIND_ALL_FIELDS = 1_000


class Finding(NamedTuple):
    """A problem before it is put in order. The texts are those of `Problem`."""

    location: Location
    message: str
    fix: str


class Place(NamedTuple):
    """A resolved location.

    Attributes:
        path: as the user sees it, `program_links[2].program_status`.
        rank: sorts places as the form shows them; unknown keys come behind the known ones of their block.
        field: the setting, or None where the location is an unknown key, a list element or the whole.
        choices: the blocks that may stand at the location, by tag (None where there is just one).
        block: the block that holds the last key of the location.
    """

    path: str
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
    path = ""
    rank: list[int] = []
    choices: dict[str | None, type[BaseModel]] = {None: Settings}
    block: type[BaseModel] = Settings
    field: FieldInfo | None = None
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
            rank.append(step)
            field = None
        elif None not in choices and step in choices:
            choices = {None: choices[step]}
            field = None
        else:
            block = next((b for b in choices.values() if step in b.model_fields), next(iter(choices.values())))
            names = list(block.model_fields)
            field = block.model_fields.get(step)
            path += f".{_key(step)}" if path else _key(step)
            rank.append(names.index(step) if field else _BEHIND_ALL_FIELDS)
            choices = (blocks_in(field.annotation) if field else {}) or {None: block}
    return Place(path or _ROOT_PATH, tuple(rank), field, choices, block)


def in_form_order(findings: Sequence[Finding]) -> list[Problem]:
    """Turn findings into problems, ordered as the form shows their places."""
    placed = sorted(((place_of(finding.location), finding) for finding in findings), key=lambda pair: pair[0].rank)
    return [Problem(place.path, finding.message, finding.fix) for place, finding in placed]


def shown(name: str) -> str:
    """Return a name from the configuration as a message quotes it. Never for a value that may be a secret."""
    return f"`{_key(name)}`"


def _key(name: str) -> str:
    # The user's own text: keep the message on one line and of bearable length.
    printable = "".join(letter if letter.isprintable() else "?" for letter in name)
    return printable if len(printable) <= _LONGEST_SHOWN_NAME else f"{printable[:_LONGEST_SHOWN_NAME]}…"
