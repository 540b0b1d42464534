"""What was delivered, in sums: one shape for the log of a sync, for `plan` and for the report.

A *lead* is a record, named by namespace, stream and key; an *outcome* is what happened to it for one program.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from destination_marketo_programs.outcomes import Category, Result

if TYPE_CHECKING:
    from collections.abc import Iterable

DELIVERED = frozenset({Result.CREATED, Result.UPDATED, Result.IMPORTED})
RESULTS = frozenset(map(str, Result))

_LAST_PART = re.compile(r'^[^"]*\.(?:"([^"\\]+)"|(\w+))$')

YOU, SOURCE, NOBODY = "you", "source", "nobody"
"""Who can act on a reason: you, in Marketo or in the configuration; whoever owns the source; nobody needs to."""

_SOURCE_ACTS = frozenset(
    {Category.MISSING_KEY, Category.INVALID_EMAIL, Category.INVALID_RECORD, Category.FIELD_INVALID}
)


class Counts(msgspec.Struct):
    """Records x programs by outcome."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0
    imported: int = 0
    skipped: int = 0
    rejected: int = 0

    @property
    def delivered(self) -> int:
        """New members and changed statuses, bulk imports among them."""
        return self.created + self.updated + self.imported

    @property
    def total(self) -> int:
        """All outcomes."""
        return self.delivered + self.unchanged + self.skipped + self.rejected

    def add(self, outcome: str, count: int = 1) -> None:
        """Count outcomes of one name, which must be a `Result`."""
        setattr(self, outcome, getattr(self, outcome) + count)

    def add_all(self, others: Counts) -> None:
        """Count what others counted."""
        for name in self.__struct_fields__:
            self.add(name, getattr(others, name))

    def told(self) -> str:
        """`3 created, 1 rejected`: what there is, in the order of the fields; `nothing` if there is nothing."""
        counts = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return ", ".join(f"{count:,} {name}" for name, count in counts if count) or "nothing"


class LeadCounts(msgspec.Struct):
    """Records, each once, by the worst and then the best that became of it; they add up to `total`.

    A lead is rejected if any of its programs rejected it, else delivered if one was created, updated or imported,
    else unchanged if one was, else skipped.
    """

    total: int = 0
    delivered: int = 0
    unchanged: int = 0
    skipped: int = 0
    rejected: int = 0

    def add(self, kind: str, count: int = 1) -> None:
        """Count leads of one kind, as `lead_kind` names it."""
        self.total += count
        setattr(self, kind, getattr(self, kind) + count)


def sums(leads: LeadCounts, outcomes: Counts) -> str:
    """Leads and outcomes, in two sentences."""
    return (
        f"Leads: {leads.delivered:,} delivered, {leads.unchanged:,} unchanged, {leads.skipped:,} skipped, "
        f"{leads.rejected:,} rejected.\n"
        f"Outcomes by program: {outcomes.created:,} created, {outcomes.updated:,} updated, "
        f"{outcomes.unchanged:,} unchanged, {outcomes.imported:,} imported, {outcomes.skipped:,} skipped, "
        f"{outcomes.rejected:,} rejected."
    )


def lead_kind(results: Iterable[str]) -> str:
    """`rejected`, `delivered`, `unchanged` or `skipped`, from the outcomes of one record."""
    found = set(results)
    if Result.REJECTED in found:
        return "rejected"
    if found & DELIVERED:
        return "delivered"
    return "unchanged" if Result.UNCHANGED in found else "skipped"


class Cell(NamedTuple):
    """What outcomes are counted by. `event` is None if the record names none."""

    event: str | None
    program_id: int | None
    program_status: str | None
    outcome: str
    category: str | None
    code: str | None
    dry_run: bool


class Part(msgspec.Struct, frozen=True):
    """What in the records split a reason, e.g. `Wants a demo = "Later"`.

    Attributes:
        name: readable; blank if nothing in the record decided it.
        leads: how many.
        program_ids: programs that it is about.
        mapping: `qualifier_mappings` entries that would fix it, as JSON to copy; None if that is not the fix.
    """

    name: str
    leads: int
    program_ids: list[int] = []
    mapping: str | None = None


class Reason(msgspec.Struct, frozen=True):
    """Why leads were rejected or skipped, and what to do.

    Attributes:
        outcome: `rejected` or `skipped`.
        count: outcomes.
        leads: records.
        who: who can act; see `YOU`.
        parts: most frequent first.
        again: shell command that sends this group's rejected records again; None if that cannot help as they are,
            and where no rejected file was found.
    """

    outcome: str
    category: str | None
    code: str | None
    count: int
    leads: int
    title: str
    explanation: str
    fix: str
    who: str
    parts: list[Part] = []
    again: str | None = None


class Slice(msgspec.Struct, frozen=True):
    """Counts of one event or one program; `label` is its readable name, if one is known."""

    name: str | None
    counts: Counts
    label: str = ""


class SyncRun(msgspec.Struct, frozen=True):
    """What one attempt of a sync, or one period of several, said at the time; later repairs do not change it.

    Attributes:
        label: start in UTC, `2026-11-23 10:00`, or the day or month where attempts were put together.
        new, still: rejected outcomes that no earlier sync had, and those that one had.
        fixed: rejected outcomes of earlier syncs that this one delivered.
    """

    label: str
    counts: Counts
    new: int = 0
    still: int = 0
    fixed: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """What `reconcile` found last for one program: leads by verdict, and members from elsewhere if it counted them."""

    program_id: int
    name: str
    at: str
    verdicts: dict[str, int]
    from_elsewhere: int | None


class Summary(msgspec.Struct, frozen=True):
    """Everything but the list of leads.

    Attributes:
        leads, outcomes: the same records, counted once and once per program.
        since_last: of the leads that are rejected now: `new` in the last sync, `still` there; and `fixed` by it.
        dry_run: every outcome is from a dry run: nothing was written to Marketo.
        dry_run_left_out: outcomes of dry runs that stand beside real ones and are not counted.
        other_events: events beyond the number that a report can tell apart were counted as one.
        unreadable: lines that are not stored outcomes.
        unknown: outcomes with names of a later version, which are not counted.
    """

    generated_at: str
    locations: list[str]
    first_at: str
    last_at: str
    leads: LeadCounts
    outcomes: Counts
    since_last: dict[str, int]
    dry_run: bool
    dry_run_left_out: int
    other_events: bool
    unreadable: int
    unknown: int
    reasons: list[Reason]
    events: list[Slice]
    programs: list[Slice]
    runs: list[SyncRun]
    verdicts: list[Verdict] = []


def who_acts(outcome: str, category: str | None) -> str:
    """Who can act on a reason; see `YOU`."""
    if outcome != Result.REJECTED:
        return NOBODY
    return SOURCE if category in _SOURCE_ACTS else YOU


def part_name(detail: dict[str, Any] | None) -> str:
    """What of a `detail` splits its reason: readable, and blank if nothing does.

    Ids of leads and numbers of scans differ from record to record: they explain a lead and split no reason.
    """
    if not detail:
        return ""
    for name in ("qualifier", "field", "column"):
        if isinstance(subject := detail.get(name), str):
            values = detail.get("values", detail.get("value"))
            return f"{column_name(subject) or 'Answer'} = {_shown(values)}" if name == "qualifier" else subject
    for name in ("domain", "status", "partition", "event"):
        if isinstance(value := detail.get(name), str):
            return f"{name} {value}"
    return ""


def column_name(column: str) -> str:
    """What a person calls a column: `Wants a demo` for `qualifiers."Wants a demo"`."""
    found = _LAST_PART.search(column)
    return (found[1] or found[2]) if found else column


def mapping_for(detail: dict[str, Any] | None, program_id: int | None, status: str | None) -> str | None:
    """A `qualifier_mappings` entry for each value that no mapping names, as JSON; None if that is not the fix."""
    if not detail or not isinstance(qualifier := detail.get("qualifier"), str):
        return None
    values = detail.get("values", detail.get("value"))
    entries = [
        {
            "program_id": "" if program_id is None else str(program_id),
            "qualifier": qualifier,
            "value": value,
            "program_status": status or "",
        }
        for value in (values if isinstance(values, list) else [values])
        if isinstance(value, str) and value
    ]
    return msgspec.json.encode(entries).decode() if entries else None


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "(no answer)"
    if isinstance(value, str):
        return value if value.strip() else "(blank)"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "(no answer)" if value is None else str(value)
