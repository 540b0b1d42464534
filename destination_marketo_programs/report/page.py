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

from destination_marketo_programs.outcomes import Result

if TYPE_CHECKING:
    from collections.abc import Iterable

    from destination_marketo_programs.report.summarise import Findings
    from destination_marketo_programs.report.summary import Counts, Lead

MAX_LEADS = 5_000
MAX_TEXT = 400
"""Longest text of a lead on the page, in characters; the CSV file has it whole."""

_OUTCOMES = list(map(str, Result))
_ASSETS = resources.files("destination_marketo_programs.report") / "assets"
_ESCAPES = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def render_page(findings: Findings, leads: Iterable[Lead], csv_name: str) -> str:
    """The page's HTML.

    Args:
        findings: what it says.
        leads: rejected leads to list, at most `MAX_LEADS`.
        csv_name: name of the file beside it that has all of them.
    """
    style, script = _asset("report.css"), _asset("report.js")
    summary = findings.summary
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(_asset("report.html")).render(
        summary=summary,
        period=_period(summary.first_at, summary.last_at),
        syncs=f"{len(summary.runs):,} sync{'' if len(summary.runs) == 1 else 's'}",
        generated=_minute(summary.generated_at),
        csv_name=csv_name,
        style=Markup(style),  # noqa: S704 - our own file
        script=Markup(script),  # noqa: S704 - our own file
        style_hash=_digest(style),
        script_hash=_digest(script),
        data=Markup(as_inert_json(_data(findings, leads))),  # noqa: S704 - escaped by as_inert_json
    )


def as_inert_json(data: object) -> str:
    """JSON in which no character means anything to an HTML parser."""
    text = msgspec.json.encode(data).decode()
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    return text


def _data(findings: Findings, leads: Iterable[Lead]) -> dict[str, Any]:
    summary = findings.summary
    events = {each.name: i for i, each in enumerate(summary.events)}
    programs = {each.name: i for i, each in enumerate(summary.programs)}
    reasons = {(each.outcome, each.category, each.code): i for i, each in enumerate(summary.reasons)}
    grouped: dict[tuple[int, int, int, int | None], int] = {}
    for cell, count in findings.cells.items():
        key = (
            events[cell.event],
            programs[_program(cell.program_id)],
            _OUTCOMES.index(cell.outcome),
            reasons.get((cell.outcome, cell.category, cell.code)),
        )
        grouped[key] = grouped.get(key, 0) + count
    return {
        "events": [_clipped(name) for name in events],
        "programs": list(programs),
        "outcomes": _OUTCOMES,
        "reasons": [
            {
                "outcome": each.outcome,
                "category": each.category,
                "code": each.code,
                "title": each.title,
                "explanation": each.explanation,
                "fix": each.fix,
                "command": each.replay_command,
            }
            for each in summary.reasons
        ],
        "cells": [(*key, count) for key, count in grouped.items()],
        "runs": [{"label": run.label, "kinds": _kinds(run.counts)} for run in summary.runs],
        "rejected_total": summary.counts.rejected,
        "leads": [
            (
                lead.at,
                _clipped(lead.name),
                _clipped(lead.email),
                _clipped(lead.company),
                _clipped(lead.record_key),
                events[lead.counted_event],
                _clipped(lead.event),
                programs[_program(lead.program_id)],
                _clipped(lead.program_status),
                reasons["rejected", lead.category, lead.code],
                _clipped(lead.message),
                lead.lead_id,
                _clipped(lead.request_id),
            )
            for lead in leads
        ],
    }


def _program(program_id: int | None) -> str | None:
    return None if program_id is None else str(program_id)


def _kinds(counts: Counts) -> list[int]:
    return [counts.delivered, counts.unchanged, counts.skipped, counts.rejected]


def _clipped(text: str | None) -> str | None:
    return text if text is None or len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}…"


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _period(first_at: str, last_at: str) -> str:
    first, last = _minute(first_at), _minute(last_at)
    return last if first == last else f"{first} to {last}"


def _minute(at: str) -> str:
    try:
        return datetime.fromisoformat(at).strftime("%d %b %Y, %H:%M UTC").lstrip("0")
    except ValueError:
        return at or "no time given"
