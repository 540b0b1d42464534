"""The page at `/`: one file that asks `/_sandbox/…` for what it shows."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any


@cache
def _file(name: str) -> str:
    return resources.files(__package__).joinpath("page_files", name).read_text(encoding="utf-8")


def render(summary: dict[str, Any]) -> str:
    """The page as HTML, with the first state within it.

    Args:
        summary: what `views.summary` gives. It goes into a script element as JSON in which no tag can stand.
    """
    data = json.dumps(summary, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
    page = _file("page.html").replace("/*style*/", _file("page.css")).replace("/*script*/", _file("page.js"))
    return page.replace("{}/*state*/", data)
