"""Counts of a run, and the texts made of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from destination_marketo_programs.hints import explain
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.text import frequent

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_FREQUENT = 10
MAX_DISTINCT_VALUES = 10_000
"""Distinct unmapped values or unlinked events counted by name; what comes after is counted together."""


class Tally:
    """What happened so far; every count is of records × programs unless its name says records."""

    def __init__(self) -> None:
        self.records_read = 0
        self.records_settled = 0
        self.records_rejected = 0
        self.by_program: Counter[tuple[int | None, str | None, str]] = Counter()
        self.by_category: Counter[tuple[str, str]] = Counter()
        self.by_code: Counter[tuple[str, str]] = Counter()
        self.unmapped_values: Counter[str] = Counter()
        self.unlinked_events: Counter[str] = Counter()

    def by_outcome(self) -> Counter[str]:
        """Counts by outcome."""
        totals: Counter[str] = Counter()
        for (_, _, outcome), count in self.by_program.items():
            totals[outcome] += count
        return totals

    @staticmethod
    def note_value(counter: Counter[str], value: str) -> None:
        """Count a value by name, as long as there are not too many different ones."""
        if value not in counter and len(counter) >= MAX_DISTINCT_VALUES:
            value = "(others)"
        counter[value] += 1

    def summary(self, *, dry_run: bool, calls: str, pace: str) -> str:
        """The text that ends a run: several lines, no person data."""
        lines = ["Dry run: nothing was written to Marketo, and no STATE is acknowledged."] if dry_run else []
        lines.append(
            f"Read {self.records_read:,} records: {self.records_settled:,} settled, "
            f"{self.records_rejected:,} of them rejected."
        )
        lines += self._program_lines()
        lines += self._category_lines(Result.SKIPPED, "Skipped")
        lines += self._category_lines(Result.REJECTED, "Rejected")
        lines += _frequent("Qualifier values without a mapping", self.unmapped_values)
        lines += _frequent("Events without a program link", self.unlinked_events)
        lines += [f"Calls: {calls}", f"Pace: {pace}"]
        return "\n".join(lines)

    def _program_lines(self) -> list[str]:
        totals = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(self.by_outcome().items()))
        lines = [f"Outcomes: {totals or 'none'}."]
        groups: dict[tuple[int, str], list[str]] = {}
        for (program_id, status, outcome), count in sorted(self.by_program.items(), key=str):
            if program_id is not None:
                groups.setdefault((program_id, status or ""), []).append(f"{outcome} {count:,}")
        lines += [
            f'  program {program_id}, status "{status}": ' + ", ".join(parts)
            for (program_id, status), parts in sorted(groups.items())
        ]
        return lines

    def _category_lines(self, outcome: Result, title: str) -> list[str]:
        counts = [(count, category) for (of, category), count in self.by_category.items() if of == outcome]
        lines = []
        for count, category in sorted(counts, reverse=True):
            codes = {code: n for (of, code), n in self.by_code.items() if of == category}
            named = " (" + ", ".join(f"Marketo code {code}: {n:,}" for code, n in sorted(codes.items())) + ")"
            only_code = next(iter(codes)) if len(codes) == 1 else None
            fix = explain(category, only_code).fix
            lines.append(f"{title} {count:,} × {category}{named if codes else ''}: {fix}")
        return lines


def _frequent(title: str, counter: Counter[str]) -> list[str]:
    return [f"{title}: {frequent(counter, MOST_FREQUENT)}."] if counter else []


def count_values(counter: Counter[str], values: Iterable[str]) -> None:
    """Count several values by name."""
    for value in values:
        Tally.note_value(counter, value)
