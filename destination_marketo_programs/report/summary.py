"""What a report says, as data; the same for the page, for JSON and for text."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from destination_marketo_programs.outcomes import Result

DELIVERED = (Result.CREATED, Result.UPDATED, Result.IMPORTED)


class Counts(msgspec.Struct):
    """Records x programs by outcome."""

    created: int = 0
    updated: int = 0
    imported: int = 0
    unchanged: int = 0
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
        """Count outcomes of one name; a name of a later version of the connector raises AttributeError."""
        setattr(self, outcome, getattr(self, outcome) + count)


class Cell(NamedTuple):
    """What outcomes are counted by. `event` is None where the record names none."""

    event: str | None
    program_id: int | None
    program_status: str | None
    outcome: str
    category: str | None
    code: str | None
    dry_run: bool


class Reason(msgspec.Struct, frozen=True):
    """Why leads were rejected or skipped, what to do, and how to send them again.

    Attributes:
        outcome: `rejected` or `skipped`.
        replay_command: shell command that feeds this group's rejected records to `write`; None for skipped ones
            and where no rejected file was found.
    """

    outcome: str
    category: str | None
    code: str | None
    count: int
    title: str
    explanation: str
    fix: str
    replay_command: str | None


class Slice(msgspec.Struct, frozen=True):
    """Counts of one event or one program."""

    name: str | None
    counts: Counts


class SyncRun(msgspec.Struct, frozen=True):
    """What one attempt of a sync, or one period of several, said at the time; later repairs do not change it.

    Attributes:
        label: start in UTC, `2026-11-23 10:00`, or the day or month where attempts were put together.
    """

    label: str
    counts: Counts


class Lead(msgspec.Struct, frozen=True):
    """One rejected record x program, with what its rejected record says about the person.

    Attributes:
        counted_event: the event under which it is counted; another than `event` only beyond the number of events
            that a report can tell apart.
    """

    at: str
    stream: str
    record_key: str
    name: str | None
    email: str | None
    company: str | None
    event: str | None
    counted_event: str | None
    program_id: int | None
    program_status: str | None
    category: str | None
    code: str | None
    message: str | None
    hint: str | None
    lead_id: int | None
    request_id: str | None
    retryable: bool


class Summary(msgspec.Struct, frozen=True):
    """A whole report but for the list of leads.

    Attributes:
        records: distinct records among the outcomes.
        dry_run: every outcome is from a dry run: nothing was written to Marketo.
        dry_run_left_out: outcomes of dry runs that stand beside real ones and are not counted.
        other_events: events beyond the number that a report can tell apart were counted as one.
    """

    generated_at: str
    locations: list[str]
    first_at: str
    last_at: str
    records: int
    counts: Counts
    dry_run: bool
    dry_run_left_out: int
    other_events: bool
    reasons: list[Reason]
    events: list[Slice]
    programs: list[Slice]
    runs: list[SyncRun]
