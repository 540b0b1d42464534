"""Rows of Sync Leads, what may become of them, and what can be said of them without a call. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from destination_marketo_programs.mapping import can_be_queried, fold_address
from destination_marketo_programs.marketo.errors import category_for
from destination_marketo_programs.marketo.leads import Action
from destination_marketo_programs.marketo.rows import MAX_BODY_BYTES
from destination_marketo_programs.outcomes import Category, Detail, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.marketo.api import JsonObject
    from destination_marketo_programs.marketo.rows import RowReply
    from destination_marketo_programs.model import LeadFields

MATCHED = "matched"
REMEMBERED = "remembered"
"""`lead_action` of a record that says nothing new, to a program or to all of them."""
CREATED = "created"
ACQUISITION_FIELD = "acquisitionProgramId"
COMPANY_FIELDS = frozenset(
    {
        "company",
        "site",
        "website",
        "mainPhone",
        "annualRevenue",
        "numberOfEmployees",
        "industry",
        "sicCode",
        "billingStreet",
        "billingCity",
        "billingState",
        "billingCountry",
        "billingPostalCode",
        "companyNotes",
    }
)
"""Standard fields of the company that a lead belongs to; an instance may refuse them on a lead (1021)."""

_encode = msgspec.json.encode


class LeadPolicy(NamedTuple):
    """`lead_sync` as delivery needs it.

    Attributes:
        settle_seconds: how long a create whose answer was lost may still run.
        fold: how values of the lookup field are compared.
        acquisition: whether people who are created get their record's first program as acquisition program.
    """

    mode: str
    lookup_field: str
    partition_name: str
    duplicate_leads: str
    settle_seconds: float
    fold: Callable[[object], str] = fold_address
    acquisition: bool = False


class LeadRow(msgspec.Struct, gc=False):
    """One person in a Sync Leads call, with every waiting record that is about that person.

    Attributes:
        key: what must not be in flight twice: the folded lookup value, or the lead id.
        name, value: the member that names the lead: (`email`, address), or (`id`, number).
        fields: what is written whoever it is; of several records the later value wins.
        entries: the records, in order of arrival.
        if_blank, on_create: fields under a guard.
        tries: creates of it whose answer was lost, without those after which its batch was halved.
        lost_since: monotonic seconds of its first create whose answer was lost.
        denials, denied_since: answers "lead not found" for a lead that this run created, and the first one's time.
    """

    key: str | int
    name: str
    value: str | int
    fields: LeadFields
    entries: list[Entry]
    if_blank: LeadFields | None = None
    on_create: LeadFields | None = None
    tries: int = 0
    lost_since: float | None = None
    denials: int = 0
    denied_since: float = 0.0

    @property
    def guarded(self) -> bool:
        """Whether what is written depends on what Marketo holds."""
        return self.if_blank is not None or self.on_create is not None

    def body(self, action: Action) -> LeadFields:
        """The row as Sync Leads takes it; a call that only creates has its guarded fields."""
        if action is Action.CREATE_ONLY and self.guarded:
            return {self.name: self.value, **(self.if_blank or {}), **(self.on_create or {}), **self.fields}
        body = self.fields.copy()  # a third of what unpacking into a new dict takes
        body[self.name] = self.value
        return body


class Found(msgspec.Struct, frozen=True, gc=False):
    """The lead is known.

    Attributes:
        note: Marketo's code and message for something that was not written all the same.
        detail: what is to be said of it (several leads, fields that a guard kept).
    """

    lead_id: int
    action: str
    note: tuple[str | None, str | None] | None = None
    detail: Detail | None = None


class Gone(NamedTuple):
    """No lead has this id."""

    refusal: Refusal


class Later(NamedTuple):
    """A create that waits until `not_before` (monotonic seconds), as its answer was lost.

    Rows of one `batch` go together.
    """

    not_before: float
    batch: int


class Held(NamedTuple):
    """A create that waits until creates may be sent."""


HELD = Held()


Fate = Found | Refusal | Gone | Later | Held
Fates = list[tuple[LeadRow, "list[Entry]", Fate]]


def under_guard(row: LeadRow, held: JsonObject | None) -> tuple[LeadRow, Detail]:
    """The row for somebody who exists, without what a guard keeps, and what is to be said of that.

    Args:
        row: a row, guarded or not.
        held: what Marketo holds of this person; None if it did not say.
    """
    if not row.guarded:
        return row, {}
    fields, known = dict(row.fields), held or {}
    kept = [name for name, value in (row.on_create or {}).items() if known.get(name) != value]
    for name, value in (row.if_blank or {}).items():
        if held is not None and held.get(name) in (None, ""):
            fields[name] = value
        elif known.get(name) != value:
            kept.append(name)
    kept = [name for name in kept if name != ACQUISITION_FIELD]
    return msgspec.structs.replace(row, fields=fields, if_blank=None, on_create=None), ({"kept": kept} if kept else {})


def as_picked(fate: Fate, before: Found) -> Fate:
    """What happened to a row that was written to the lead it was found to mean."""
    if isinstance(fate, Gone):
        return fate.refusal
    if isinstance(fate, Found):
        return msgspec.structs.replace(fate, detail=before.detail)
    return fate


def holds(row: LeadRow, entry: Entry) -> bool:
    """Whether a record is one of a row's."""
    return any(one is entry for one in row.entries)


def each_lead_once(rows: Sequence[LeadRow]) -> Iterator[list[LeadRow]]:
    """Batches in which no lead is named twice, in order."""
    left = list(rows)
    while left:
        batch: dict[str | int, LeadRow] = {}
        again: list[LeadRow] = []
        for row in left:
            if row.value in batch:
                again.append(row)
            else:
                batch[row.value] = row
        yield list(batch.values())
        left = again


def like_neighbours(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Neighbouring records with the same fields, in order of arrival."""
    parts: list[list[Entry]] = []
    for entry in entries:
        if parts and _same_fields(parts[-1][0], entry):
            parts[-1].append(entry)
        else:
            parts.append([entry])
    return parts


def _same_fields(one: Entry, other: Entry) -> bool:
    return (
        one.person.fields == other.person.fields
        and one.person.if_blank == other.person.if_blank
        and one.person.on_create == other.person.on_create
    )


def queryable(row: LeadRow) -> bool:
    """Whether Marketo can be asked for this row's key."""
    return can_be_queried(row.value)


def below_1_mb(rows: Sequence[LeadRow], action: Action) -> Iterator[Sequence[LeadRow]]:
    """Batches whose bodies fit into a call; 300 rows nearly always do. None of no rows."""
    if not rows:
        return
    if sum(len(entry.line) for row in rows for entry in row.entries) < MAX_BODY_BYTES // 2:
        # Rows are made of what their records say; should the names be so much longer, a 413 halves the call.
        yield rows
        return
    batch: list[LeadRow] = []
    size = 0
    for row in rows:
        length = len(_encode(row.body(action))) + 1
        if batch and size + length > MAX_BODY_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += length
    if batch:
        yield batch


def most_recently_updated(leads: Sequence[JsonObject]) -> int:
    """The id of the lead that was updated last; of several the highest id."""
    chosen = max(leads, key=lambda lead: (str(lead.get("updatedAt") or ""), lead["id"]))
    return int(chosen["id"])


def without_company(row: LeadRow) -> LeadRow:
    """The row without fields of the company."""

    def bare(fields: LeadFields | None) -> LeadFields | None:
        return fields and {name: value for name, value in fields.items() if name not in COMPANY_FIELDS}

    return msgspec.structs.replace(
        row, fields=bare(row.fields) or {}, if_blank=bare(row.if_blank), on_create=bare(row.on_create)
    )


def refusal(reply: RowReply, category: Category | None = None, detail: dict[str, Any] | None = None) -> Refusal:
    """What Marketo says of a row that it refused."""
    return Refusal(
        category or category_for(reply.code, reply.message), reply.code, reply.message, reply.request_id, detail
    )
