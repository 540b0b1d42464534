"""What the page's script works with: every listed lead, in few bytes.

Texts that come again (statuses, messages, request ids…) stand once in a table; an outcome is an array whose order is
`OUTCOME`, cut after its last value. `assets/data.js` reads it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.report.database import OTHER_EVENTS
from destination_marketo_programs.report.table import BETWEEN, RECORD_PREFIX, clipped, ref_cell

if TYPE_CHECKING:
    from collections.abc import Iterator

    from destination_marketo_programs.report.summarise import Bar, Findings
    from destination_marketo_programs.report.tally import Lead, LeadOutcome
    from destination_marketo_programs.summary import Cell

MAX_LEADS = 20_000
MAX_RECORDS_BYTES = 12_000_000
"""Rejected records that the page carries, together; those beyond are in the storage only."""

MAX_SAFE_INTEGER = 2**53
OUTCOME = (
    "program",
    "event",
    "status",
    "result",
    "bar",
    "at",
    "lead",
    "request",
    "reason",
    "part",
    "message",
    "detail",
    "flags",
    "action",
    "fields",
    "verdict",
    "found",
)  # fmt: skip - in the order of the array
RESULTS = tuple(map(str, Result))
RETRYABLE, CONFIRMED = 1, 2


class Leads(Protocol):
    """Gives leads, those to act on first."""

    def __call__(self, *, limit: int = ...) -> Iterator[Lead]:
        """At most so many."""


class _Texts:
    """A table of texts, each once."""

    def __init__(self) -> None:
        self.all: dict[str, int] = {}

    def number(self, text: str | None) -> int | None:
        """Place of the text in the table; None for none."""
        if not text:
            return None
        return self.all.setdefault(clipped(text), len(self.all))


def page_data(findings: Findings, leads: Leads) -> dict[str, Any]:
    """Everything that the script needs, ready for JSON."""
    builder = _Builder(findings)
    listed = list(builder.leads(leads(limit=MAX_LEADS)))
    summary = findings.summary
    return {
        "outcome": OUTCOME,
        "results": RESULTS,
        "between": BETWEEN,
        "record_prefix": RECORD_PREFIX,
        "app": findings.app_address.rstrip("/") if findings.app_address.startswith("https://") else "",
        "made": summary.generated_at,
        "totals": msgspec.to_builtins(summary.leads),
        "since_last": summary.since_last if len(findings.bars) > 1 else None,
        "drift": sum(each.verdicts[name] for each in summary.verdicts for name in ("behind", "missing", "person_gone")),
        "programs": [builder.program_info(program) for program in builder.programs],
        "events": [(event, findings.event_names.get(event or "")) for event in builder.events],
        "reasons": [_reason(reason) for reason in summary.reasons],
        "cells": builder.bar_cells,
        "bars": builder.bars,
        "texts": list(builder.texts.all),
        "leads": listed,
        "without_record": builder.without_record,
    }


class _Builder:
    def __init__(self, findings: Findings) -> None:
        self.texts = _Texts()
        self.without_record = 0
        self.programs: dict[int | None, int] = {}
        self.events: dict[str | None, int] = {}
        self._findings = findings
        self._bytes = 0
        self._reasons = {
            (each.outcome, each.category, each.code): number for number, each in enumerate(findings.summary.reasons)
        }
        self._bar_of_run = {number: place for place, bar in enumerate(findings.bars) for number in bar.numbers}
        found = findings.reconciled
        self._verdicts = {(lead.program_id, lead.record_ref): lead for lead in found.leads} if found else {}
        self.bar_cells: list[tuple[int, int, int, int | None]] = []
        self._bar_cell_numbers: dict[tuple[int, int, int, int | None], int] = {}
        self.bars = [self._bar(bar) for bar in findings.bars] if len(findings.bars) > 1 else []

    def program_info(self, program_id: int | None) -> tuple[str | None, str, str]:
        """Id, name and address; an address that is not a web address is left out."""
        if program_id is None:
            return None, "", ""
        info = self._findings.program_info.get(program_id)
        if info is None:
            return str(program_id), "", ""
        return str(program_id), info.name, info.address if info.address.startswith("https://") else ""

    def leads(self, leads: Iterator[Lead]) -> Iterator[list[Any]]:
        """The leads as arrays: key, stream, ref, news, outcomes, name, email, company, record."""
        for lead in leads:
            first = lead.outcomes[0].wide
            stream = first.stream if first.namespace is None else f"{first.namespace}.{first.stream}"
            lookup = next((str(each.wide.lookup_value) for each in lead.outcomes if each.wide.lookup_value), None)
            email = lead.email or (lookup if lookup and "@" in lookup else None)
            yield _cut(
                [
                    clipped(first.key),
                    self.texts.number(stream),
                    ref_cell(first.ref),
                    lead.news or None,
                    [self._outcome(each, first.ref) for each in lead.outcomes],
                    lead.name and clipped(lead.name),
                    email and clipped(email),
                    self.texts.number(lead.company),
                    self._record(lead),
                ]
            )

    def _record(self, lead: Lead) -> str | None:
        if lead.data is None or self._bytes + len(lead.data) > MAX_RECORDS_BYTES:
            self.without_record += lead.kind == "rejected"
            return None
        self._bytes += len(lead.data)
        return lead.data.decode("utf-8", "replace")

    def _outcome(self, outcome: LeadOutcome, ref: str) -> list[Any]:
        cell, wide = outcome.cell, outcome.wide
        verdict = self._verdicts.get((cell.program_id or 0, ref))
        detail = msgspec.json.encode(wide.detail).decode() if wide.detail else None
        return _cut(
            [
                self._program(cell.program_id),
                self.events.setdefault(wide.event if cell.event == OTHER_EVENTS else cell.event, len(self.events)),
                self.texts.number(cell.program_status),
                RESULTS.index(cell.outcome),
                self._bar_of_run.get(wide.run),
                wide.at,
                wide.lead_id if abs(wide.lead_id or 0) < MAX_SAFE_INTEGER else str(wide.lead_id),
                self.texts.number(wide.request_id),
                self._reasons.get((cell.outcome, cell.category, cell.code)),
                self.texts.number(outcome.part),
                self.texts.number(wide.message),
                self.texts.number(detail),
                (RETRYABLE * wide.retryable | CONFIRMED * wide.confirmed) or None,
                self.texts.number(wide.lead_action),
                self.texts.number(", ".join(wide.fields)),
                self.texts.number(verdict.verdict if verdict else wide.verdict),
                self.texts.number(verdict.found if verdict else None),
            ]
        )

    def _program(self, program_id: int | None) -> int:
        return self.programs.setdefault(program_id, len(self.programs))

    def _bar(self, bar: Bar) -> dict[str, Any]:
        cells: dict[int, int] = {}
        for number, count in bar.cells.items():
            place = self._bar_cell(self._findings.cells[number][0])
            cells[place] = cells.get(place, 0) + count
        run = bar.run
        return {
            "label": run.label,
            "new": run.new,
            "still": run.still,
            "fixed": run.fixed,
            "cells": list(cells.items()),
        }

    def _bar_cell(self, cell: Cell) -> int:
        key = (
            self._program(cell.program_id),
            self.events.setdefault(cell.event, len(self.events)),
            RESULTS.index(cell.outcome),
            self._reasons.get((cell.outcome, cell.category, cell.code)),
        )
        number = self._bar_cell_numbers.setdefault(key, len(self.bar_cells))
        if number == len(self.bar_cells):
            self.bar_cells.append(key)
        return number


def _reason(reason: Any) -> dict[str, Any]:
    return {
        "outcome": reason.outcome,
        "category": reason.category,
        "code": reason.code,
        "title": reason.title,
        "explanation": reason.explanation,
        "fix": reason.fix,
        "hint": f"{reason.title}. {reason.fix}",
        "who": reason.who,
        "leads": reason.leads,
        "again": reason.again,
        "parts": [{"name": part.name, "leads": part.leads, "mapping": part.mapping} for part in reason.parts],
    }


def _cut(values: list[Any]) -> list[Any]:
    while values and values[-1] is None:
        values.pop()
    return values
