"""What would happen to one record in one program, as a sentence that begins with the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.hints import explain
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.text import named, on_one_line, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from destination_marketo_programs.marketo.assets import Program
    from destination_marketo_programs.outcomes import Outcome


def fate(outcome: Outcome) -> str:
    """What would happen, on one line."""
    status = quoted(outcome.program_status or "")
    before = outcome.from_status or None
    match outcome.outcome:
        case Result.CREATED:
            new = ", with a new person in Marketo" if outcome.lead_action == "created" else ""
            return f"created at {status}{new}"
        case Result.UPDATED:
            note = f" ({on_one_line(outcome.message)})" if outcome.message else ""
            return f"updated from {quoted(before or '')} to {status}{note}"
        case Result.UNCHANGED if before is not None and before != outcome.program_status:
            return f"unchanged at {quoted(before)}, which is past {status}"
        case Result.UNCHANGED:
            return f"unchanged at {status}"
        case Result.SKIPPED:
            return f"skipped ({outcome.category}): {_reason(outcome)}"
        case Result.REJECTED:
            code = f", Marketo code {outcome.code}" if outcome.code else ""
            return f"rejected ({outcome.category}{code}): {_reason(outcome)}"
        case _:
            return outcome.outcome


def record_name(outcome: Outcome, *, with_stream: bool) -> str:
    """The key, with `#` before a mere position, and the stream if there are several."""
    key = ("#" if outcome.record_key_is_position else "") + on_one_line(outcome.record_key)
    return f"{on_one_line(outcome.stream)} {key}" if with_stream else key


def program_name(program_id: int | None, programs: Mapping[int, Program]) -> str:
    """A program by name and number; "" for None."""
    if program_id is None:
        return ""
    program = programs.get(program_id)
    return named(program) if program is not None else f"({program_id})"


def sentence(outcome: Outcome, programs: Mapping[int, Program], *, with_stream: bool) -> str:
    """Record, program and fate on one line."""
    program = program_name(outcome.program_id, programs)
    record = record_name(outcome, with_stream=with_stream)
    return f"{record}{', ' if program else ''}{program}: {fate(outcome)}"


def _reason(outcome: Outcome) -> str:
    return on_one_line(outcome.message or explain(outcome.category, outcome.code).title, longest=300)
