"""The page at `/`: programs, members by status, calls. No script runs but one that refreshes it."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

if TYPE_CHECKING:
    from jinja2 import Template


@cache
def _template() -> Template:
    text = resources.files(__package__).joinpath("page.html.j2").read_text(encoding="utf-8")
    return Environment(autoescape=True, undefined=StrictUndefined).from_string(text)


def render(summary: dict[str, Any]) -> str:
    """The page as HTML; every value in it is escaped.

    Args:
        summary: what `control.summary` gives.
    """
    return _template().render(summary)
