"""Counts of a run, and the text made of them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.hints import explain
from destination_marketo_programs.outcomes import Category, Result
from destination_marketo_programs.summary import Counts, LeadCounts, sums
from destination_marketo_programs.text import counted, frequent, named, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from destination_marketo_programs.outcomes import Detail
    from destination_marketo_programs.text import Named

MOST_FREQUENT = 10
MAX_DISTINCT_VALUES = 10_000
"""Distinct unmapped values, unlinked events or domains counted by name; what comes after is counted together."""
OTHERS = "(others)"


class ReasonCount(msgspec.Struct):
    """Why records were skipped or rejected, how many, and what to do about it."""

    category: str
    code: str | None
    count: int
    title: str
    fix: str

    def __str__(self) -> str:
        code = f", Marketo code {self.code}" if self.code else ""
        return f"{self.count:,}: {self.title} ({self.category}{code}). {self.fix}"


@dataclass
class Tally:
    """What happened so far; every count is of records × programs unless its name says otherwise."""

    records_read: int = 0
    records_settled: int = 0
    records_rejected: int = 0
    outcomes_due: int = 0
    states_read: int = 0
    states_echoed: int = 0
    by_program: Counter[tuple[int | None, str | None, Result]] = field(default_factory=Counter)
    by_category: Counter[tuple[Result, Category]] = field(default_factory=Counter)
    by_code: Counter[tuple[Category, str]] = field(default_factory=Counter)
    unmapped_values: Counter[str] = field(default_factory=Counter)
    unlinked_events: Counter[str] = field(default_factory=Counter)
    excluded_domains: Counter[str] = field(default_factory=Counter)
    unreadable_ids: int = 0
    shared_emails: int = 0
    remembered: int = 0
    leads_delivered: int = 0
    leads_unchanged: int = 0

    def count(self, program_id: int | None, status: str | None, result: Result) -> None:
        """Count an outcome."""
        self.by_program[program_id, status, result] += 1

    def count_refusal(self, result: Result, category: Category, code: str | None, detail: Detail | None) -> None:
        """Count why an outcome was a skip or a rejection."""
        self.by_category[result, category] += 1
        if code is not None:
            self.by_code[category, code] += 1
        if category is Category.EXCLUDED and detail:
            note_value(self.excluded_domains, str(detail.get("domain")))

    def count_shared_email(self) -> None:
        """Count a person whose email is another person's too."""
        self.shared_emails += 1

    def leads(self) -> dict[str, int]:
        """Records by what happened to them: rejected if any program rejected them, delivered if one took them."""
        told = self.records_rejected + self.leads_delivered + self.leads_unchanged
        return {
            "total": self.records_settled,
            "delivered": self.leads_delivered,
            "unchanged": self.leads_unchanged,
            "skipped": self.records_settled - told,
            "rejected": self.records_rejected,
        }

    @property
    def outcomes(self) -> int:
        """All outcomes."""
        return self.by_program.total()

    def by_outcome(self) -> Counter[Result]:
        """Counts by outcome."""
        totals: Counter[Result] = Counter()
        for (_, _, result), count in self.by_program.items():
            totals[result] += count
        return totals

    def programs(self) -> dict[tuple[int | None, str], Counts]:
        """Counts by program and status, in the order of their ids and names; no program comes last."""
        found: dict[tuple[int | None, str], Counts] = {}
        for (program_id, status, outcome), count in self.by_program.items():
            found.setdefault((program_id, status or ""), Counts()).add(outcome, count)
        return dict(sorted(found.items(), key=lambda item: (item[0][0] is None, item[0][0] or 0, item[0][1])))

    def reasons(self, outcome: Result) -> list[ReasonCount]:
        """Why outcomes were skips or rejections, the most frequent first; a category's codes apart from each other."""
        found: list[ReasonCount] = []
        for (of, category), total in self.by_category.items():
            if of != outcome:
                continue
            codes = {code: count for (by, code), count in self.by_code.items() if by == category}
            without_code = total - sum(codes.values())
            for code, count in [*codes.items(), *([(None, without_code)] if without_code else [])]:
                hint = explain(category, code)
                found.append(ReasonCount(category, code, count, hint.title, hint.fix))
        return sorted(found, key=lambda reason: (-reason.count, reason.category, reason.code or ""))

    def summary(
        self,
        *,
        dry_run: bool,
        calls: str,
        pace: str,
        programs: Mapping[int, Named] = MappingProxyType({}),
    ) -> str:
        """The text that ends a run: several lines, no person data. `programs`: those in Marketo, for their names."""
        lines = ["Dry run: nothing was written to Marketo, and no STATE is acknowledged."] if dry_run else []
        fine = self.records_settled - self.records_rejected
        lines.append(
            f"{counted(self.records_settled, 'record')} processed: {fine:,} delivered or skipped, "
            f"{self.records_rejected:,} rejected."
        )
        if left := self.records_read - self.records_settled:
            lines.append(f"{counted(left, 'more record')} read and not settled: the next sync sends them again.")
        outcomes = Counts()
        for counts in self.programs().values():
            outcomes.add_all(counts)
        lines.append(sums(LeadCounts(**self.leads()), outcomes))
        lines += self._program_lines(programs)
        if self.remembered:
            lines.append(
                f"{self.remembered:,} of the outcomes are unchanged since an earlier sync and were not sent again."
            )
        for outcome, title in ((Result.SKIPPED, "Skipped"), (Result.REJECTED, "Rejected")):
            lines += [f"{title} {reason}" for reason in self.reasons(outcome)]
        for title, values in (
            ("Qualifier values without a mapping", self.unmapped_values),
            ("Events without a program link", self.unlinked_events),
        ):
            if values:
                lines.append(f"{title}: {frequent(values, MOST_FREQUENT)}.")
        if self.excluded_domains:
            domains = ", ".join(f"{name} {count:,}" for name, count in self.excluded_domains.most_common(MOST_FREQUENT))
            lines.append(f"Excluded email domains: {domains}.")
        if self.unreadable_ids:
            lines.append(
                f"{counted(self.unreadable_ids, 'record')} had a Marketo lead ID that is not a number, so only "
                "the lookup field was used."
            )
        if self.shared_emails:
            lines.append(
                f"{counted(self.shared_emails, 'person', 'people')} with different keys share an email. Marketo cannot "
                "find them by email any more; merge them, or use email as lead_sync.lookup_field."
            )
        return "\n".join([*lines, f"Calls: {calls}", f"Pace: {pace}"])

    def _program_lines(self, programs: Mapping[int, Named]) -> list[str]:
        lines = []
        for (program_id, status), counts in self.programs().items():
            if program_id is not None:
                program = named(programs[program_id]) if program_id in programs else f"program {program_id}"
                lines.append(f"  {program}, {quoted(status) if status else 'no status'}: {counts.told()}")
        return lines


def note_value(counter: Counter[str], value: str) -> None:
    """Count a value by name, as long as there are not too many different ones."""
    if value not in counter and len(counter) >= MAX_DISTINCT_VALUES:
        value = OTHERS
    counter[value] += 1
