"""One self-contained HTML page: template, style and script of our own, and the data as inert JSON.

A value from a record can never run: the data stand in a block that browsers do not execute, with every character
that could end it escaped; the script only ever makes text nodes of them; and the page's own policy allows no
script but the one whose digest it names.
"""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from importlib import resources
from typing import TYPE_CHECKING, Any

import jinja2
import msgspec
from markupsafe import Markup

from destination_marketo_programs.report.page_data import page_data
from destination_marketo_programs.report.text import headline, notes
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from destination_marketo_programs.report.page_data import Leads
    from destination_marketo_programs.report.summarise import Findings
    from destination_marketo_programs.summary import Summary

SCRIPTS = ("data.js", "export.js", "parts.js", "view.js")
"""In this order they make one script."""

_ASSETS = resources.files("destination_marketo_programs.report") / "assets"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render_page(findings: Findings, leads: Leads) -> str:
    """The page's HTML.

    Args:
        findings: what it says.
        leads: gives at most so many leads, those to act on first.
    """
    style = _asset("report.css")
    script = '"use strict";\n(() => {\n' + "\n".join(map(_asset, SCRIPTS)) + "\n})();\n"
    summary = findings.summary
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_asset("report.html")).render(
        summary=summary,
        headline=headline(summary),
        notes=notes(summary),
        period=_period(summary),
        generated=_minute(summary.generated_at),
        verdict_at=_minute(summary.verdicts[0].at) if summary.verdicts else "",
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own files
        style_hash=_digest(style),
        script_hash=_digest(script),
        data=Markup(as_inert_json(page_data(findings, leads))),  # noqa: S704 - escaped by as_inert_json
    )


def as_inert_json(data: Any) -> str:
    """JSON in which no character means anything to an HTML parser."""
    text = msgspec.json.encode(data).decode()
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _period(summary: Summary) -> str:
    first, last = _minute(summary.first_at), _minute(summary.last_at)
    syncs = counted(len(summary.runs), "sync")
    return f"{last} · {syncs}" if first == last else f"{first} to {last} · {syncs}"


def _minute(at: str) -> str:
    try:
        return datetime.fromisoformat(at).strftime("%d %b %Y, %H:%M UTC").lstrip("0")
    except ValueError:
        return at or "no time given"
