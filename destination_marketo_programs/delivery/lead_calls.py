"""From people to Marketo lead ids, by the rules of `lead_sync`. Runs in a worker; touches nothing but its rows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from destination_marketo_programs.delivery.field_at_fault import with_field
from destination_marketo_programs.delivery.journal import Journal, NoJournal
from destination_marketo_programs.delivery.send_each import send_each
from destination_marketo_programs.mapping import can_be_queried, fold_address
from destination_marketo_programs.marketo.errors import (
    COMPANY_UPDATE_REFUSED,
    FIELD_NOT_FOUND,
    LEAD_EXISTS,
    LEAD_NOT_FOUND,
    OBJECT_NOT_FOUND,
    SEVERAL_LEADS_MATCH,
    TOO_MANY_RESULTS,
    OutcomeUnknownError,
    UnreachableError,
    category_for,
)
from destination_marketo_programs.marketo.leads import Action
from destination_marketo_programs.marketo.rows import MAX_BODY_BYTES, MAX_ROWS_PER_CALL
from destination_marketo_programs.outcomes import Category, Detail, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from destination_marketo_programs.delivery.endpoints import PeopleAndMembers
    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.marketo.api import JsonObject
    from destination_marketo_programs.marketo.rows import RowReply
    from destination_marketo_programs.model import LeadFields

MATCHED = "matched"
CREATED = "created"
ACQUISITION_FIELD = "acquisitionProgramId"
MAX_LOST_CREATES = 8
LOST_ALONE_BEFORE_REFUSAL = 3
HALVED_WHEN_LOST = ("604", "611")
"""Either the batch is too much for Marketo's database, or one record in it is poison."""
LEAD_IDS_TOLD = 20
"""Leads of one key that an outcome names."""

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

CROWD: list[JsonObject] = [{"id": 0}, {"id": 0}]
"""Stands for more leads with one key than Marketo lists."""

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


class Creates:
    """When creates may be sent, and which are under way: what other runs of the instance have to know.

    Args:
        clock: monotonic seconds.
        settle_seconds: how long a create whose answer was lost may still run.
        not_before: monotonic seconds before which no create is sent, as one of an earlier run may still be running.
        journal: told of every create before it is sent.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        settle_seconds: float,
        not_before: float = float("-inf"),
        journal: Journal | None = None,
    ) -> None:
        self.clock = clock
        self._held = False
        self._not_before = not_before
        self._lock = threading.Lock()
        self._settle_seconds = settle_seconds
        self._journal = journal or NoJournal()
        self._in_flight = 0
        self._lost_until = float("-inf")
        self._last_sent: float | None = None

    @property
    def not_before(self) -> float:
        """Monotonic seconds before which no create is sent; infinite while nobody can say."""
        return float("inf") if self._held else self._not_before

    def hold(self, *, held: bool) -> None:
        """Send no create for now, as an import of an earlier run may be creating anybody; or do so again."""
        self._held = held

    @property
    def allowed(self) -> bool:
        """Whether a create may be sent now."""
        return self.clock() >= self.not_before

    @property
    def last_sent(self) -> float | None:
        """Monotonic seconds of the last create; None before the first."""
        return self._last_sent

    @property
    def unanswered(self) -> bool:
        """Whether Marketo may still be working on a create of this run."""
        return self._in_flight > 0 or self.clock() < self._lost_until

    def __enter__(self) -> None:
        self._journal.creating()
        with self._lock:
            self._in_flight += 1
            self._last_sent = self.clock()

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        with self._lock:
            self._in_flight -= 1
            if kind is not None and issubclass(kind, OutcomeUnknownError):
                self._lost_until = self.clock() + self._settle_seconds


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


class LeadCalls:
    """Writes batches of people who all are named by id, or all by the lookup field.

    Args:
        marketo: makes the calls.
        policy: `lead_sync`.
        creates: asked before, and told of, every create.
    """

    def __init__(self, marketo: PeopleAndMembers, policy: LeadPolicy, creates: Creates) -> None:
        self.creates = creates
        self._marketo = marketo
        self._policy = policy
        self._last_create = float("-inf")

    def row(self, key: str | int, entries: list[Entry], *, by_id: bool) -> LeadRow:
        """The row of one person's waiting records."""
        first = entries[0]
        person = first.person
        value: str | int = int(key) if by_id else person.lookup_value or ""
        row = LeadRow(key, "id" if by_id else self._policy.lookup_field, value, first.person.fields, entries)
        if person.if_blank or person.on_create or self._policy.acquisition:
            row.if_blank, row.on_create = person.if_blank, self._on_create(first)
        if len(entries) > 1 and self._policy.mode != "create_missing":
            self._merge(row, entries)
        return row

    def _merge(self, row: LeadRow, entries: Sequence[Entry]) -> None:
        fields = dict(row.fields)
        for entry in entries[1:]:
            fields.update(entry.person.fields)
            if entry.person.if_blank:
                row.if_blank = {**(row.if_blank or {}), **entry.person.if_blank}
            if entry.person.on_create:
                row.on_create = {**(row.on_create or {}), **entry.person.on_create}
        row.fields = fields

    def _on_create(self, entry: Entry) -> LeadFields | None:
        if not self._policy.acquisition:
            return entry.person.on_create
        return {ACQUISITION_FIELD: entry.targets[0].program_id, **(entry.person.on_create or {})}

    def write_by_id(self, rows: Sequence[LeadRow]) -> Fates:
        """Update leads by Marketo id; never creates."""
        fates: Fates = []
        guarded = [row for row in rows if row.if_blank]
        held = self._read(guarded, "id") if guarded else {}
        to_write: list[LeadRow] = []
        asked: dict[str | int, tuple[LeadRow, Detail]] = {}
        for row in rows:
            writing, detail = _under_guard(row, next(iter(held.get(str(row.value), ())), None))
            asked[row.key] = row, detail
            if writing.fields or not row.guarded:
                to_write.append(writing)
            else:
                fates.append((row, row.entries, Found(int(row.value), MATCHED, None, detail or None)))
        for writing, reply in self._send_each(to_write, Action.UPDATE_ONLY):
            row, detail = asked[writing.key]
            if isinstance(reply, OutcomeUnknownError):
                raise reply
            if reply.status:
                fates.append((row, row.entries, Found(int(row.value), reply.status, None, detail or None)))
            elif reply.code in (LEAD_NOT_FOUND, OBJECT_NOT_FOUND) or reply.other_lead is not None:
                # The row as it was asked for: if it is tried again, its guards look again.
                fates.append((row, row.entries, Gone(_refusal(reply, Category.LEAD_NOT_FOUND))))
            else:
                fates += self._refused(writing, reply, self.write_by_id)
        return fates

    def write_by_key(self, rows: Sequence[LeadRow]) -> Fates:
        """Find, update or create leads by the lookup field, as `lead_sync.mode` says."""
        match self._policy.mode:
            case "create_or_update":
                if not self.creates.allowed:
                    return self._look_then_write(rows)
                careful = [row for row in rows if row.if_blank is not None or row.on_create is not None]
                if not careful:
                    return self._upsert(rows, Action.CREATE_OR_UPDATE)
                at_once = [row for row in rows if not row.guarded]
                fates = self._upsert(at_once, Action.CREATE_OR_UPDATE) if at_once else []
                return fates + self._look_then_write(careful)
            case "create_missing":
                return self._look_then_write(rows)
            case _:
                return self._match(rows)

    # --- modes -----------------------------------------------------------------------------------------------

    def _look_then_write(self, rows: Sequence[LeadRow]) -> Fates:
        """Read who is there: they are updated by id, everybody else is created with everything in one call."""
        found = self._read(rows, self._policy.lookup_field)
        existing: list[tuple[LeadRow, Fate]] = []
        missing: list[LeadRow] = []
        for row in rows:
            leads = found.get(str(row.key), ())
            if leads:
                existing.append((row, self._pick(leads, MATCHED)))
            else:
                missing.append(row)
        fates = self._write_picked(existing, found)
        if not missing:
            return fates
        if not self.creates.allowed:
            return fates + [(row, row.entries, HELD) for row in missing]
        return fates + self._upsert(missing, Action.CREATE_ONLY)

    def _upsert(self, rows: Sequence[LeadRow], action: Action) -> Fates:
        fates: Fates = []
        ambiguous: list[tuple[LeadRow, RowReply]] = []
        existing: list[tuple[LeadRow, RowReply]] = []
        lost: dict[int, tuple[OutcomeUnknownError, list[LeadRow]]] = {}
        for row, reply in self._send_each(rows, action):
            if isinstance(reply, OutcomeUnknownError):
                lost.setdefault(id(reply), (reply, []))[1].append(row)
            elif reply.status and reply.lead_id is not None:
                detail = None if reply.status == CREATED else _under_guard(row, None)[1]
                fates.append((row, row.entries, Found(reply.lead_id, reply.status, None, detail or None)))
            elif reply.code == SEVERAL_LEADS_MATCH:
                ambiguous.append((row, reply))
            elif reply.status or reply.code == LEAD_EXISTS:
                existing.append((row, reply))
            else:
                fates += self._refused(row, reply, lambda again: self._upsert(again, action))
        for error, unsettled in lost.values():
            fates += self._settle_lost(error, unsettled)
        return fates + self._look_up_existing(existing) + self._choose(ambiguous)

    def _match(self, rows: Sequence[LeadRow]) -> Fates:
        plain = [row for row in rows if not row.if_blank]
        to_write = [row for row in plain if row.fields or not _queryable(row)]
        to_find = [row for row in rows if row.if_blank or (not row.fields and _queryable(row))]
        fates: Fates = self._upsert(to_write, Action.UPDATE_ONLY) if to_write else []
        found = self._read(to_find, self._policy.lookup_field) if to_find else {}
        picked: list[tuple[LeadRow, Fate]] = []
        for row in to_find:
            leads = found.get(str(row.key), ())
            picked.append((row, self._pick(leads, MATCHED) if leads else Refusal(Category.LEAD_NOT_FOUND)))
        return fates + self._write_picked(picked, found)

    # --- single rows -----------------------------------------------------------------------------------------

    def _choose(self, ambiguous: Sequence[tuple[LeadRow, RowReply]]) -> Fates:
        """Several leads share the key (1007)."""
        leads = self._read([row for row, _ in ambiguous], self._policy.lookup_field) if ambiguous else {}
        picked = (
            (row, self._pick(leads[str(row.key)], MATCHED, reply) if str(row.key) in leads else _refusal(reply))
            for row, reply in ambiguous
        )
        return self._write_picked(picked, leads)

    def _look_up_existing(self, existing: Sequence[tuple[LeadRow, RowReply]]) -> Fates:
        """Leads that are there, but whose id was not told.

        Somebody else created them between our look and our create (1005): what is under a guard stays as it is, and
        everything else is written as to anybody who was there before. Or the answer left the id out.
        """
        leads = self._read([row for row, _ in existing], self._policy.lookup_field) if existing else {}
        fates: Fates = []
        appeared: list[tuple[LeadRow, Fate]] = []
        unasked: list[LeadRow] = []
        for row, reply in existing:
            found = leads.get(str(row.key))
            fate = self._pick(found, reply.status or MATCHED) if found else _refusal(reply)
            if reply.status:
                fates.append((row, row.entries, fate))
            elif not _queryable(row) and self._policy.mode != "create_missing":
                unasked.append(row)
            else:
                appeared.append((row, fate))
        fates += self._write_picked(appeared, leads)
        # Marketo cannot be asked for a value with a comma: nobody's guarded field is overwritten on a guess.
        return fates + (self._upsert(unasked, Action.UPDATE_ONLY) if unasked else [])

    def _write_picked(self, picked: Iterable[tuple[LeadRow, Fate]], leads: dict[str, list[JsonObject]]) -> Fates:
        """Write the fields of rows whose lead is known now, unless existing leads are to stay as they are."""
        fates: Fates = []
        to_update: list[LeadRow] = []
        found: dict[int, list[tuple[LeadRow, Found]]] = {}
        for row, fate in picked:
            if not isinstance(fate, Found) or self._policy.mode == "create_missing":
                fates.append((row, row.entries, fate))
                continue
            held = next((lead for lead in leads.get(str(row.key), ()) if lead.get("id") == fate.lead_id), None)
            writing, kept = _under_guard(row, held)
            told = msgspec.structs.replace(fate, detail={**(fate.detail or {}), **kept} or None)
            if not writing.fields:
                fates.append((row, row.entries, told))
                continue
            found.setdefault(fate.lead_id, []).append((row, told))
            to_update.append(msgspec.structs.replace(writing, name="id", value=fate.lead_id, key=fate.lead_id))
        # Two keys may mean one lead (merged people): each has its own fields, so they go one after the other.
        for batch in _each_lead_once(to_update):
            for sent, entries, fate in self.write_by_id(batch):
                asked, before = next(pair for pair in found[int(sent.value)] if _holds(pair[0], entries[0]))
                answered = msgspec.structs.replace(asked, fields=sent.fields)
                fates.append((answered, entries, _as_picked(fate, before)))
        return fates

    def _pick(self, leads: Sequence[JsonObject], action: str, reply: RowReply | None = None) -> Fate:
        if leads is CROWD:
            message = "More than 1,000 people in Marketo share this value, more than Marketo lists."
            return Refusal(Category.DUPLICATE_LEADS, TOO_MANY_RESULTS, message)
        if len(leads) == 1:
            return Found(int(leads[0]["id"]), action)
        detail: Detail = {"lead_ids": sorted(int(lead["id"]) for lead in leads)[:LEAD_IDS_TOLD]}
        if self._policy.duplicate_leads != "most_recently_updated":
            if reply is None:
                return Refusal(Category.DUPLICATE_LEADS, SEVERAL_LEADS_MATCH, detail=detail)
            return _refusal(reply, Category.DUPLICATE_LEADS, detail)
        return Found(_most_recently_updated(leads), action, None, detail)

    def _refused(self, row: LeadRow, reply: RowReply, send: Callable[[list[LeadRow]], Fates]) -> Fates:
        """A row was refused: see whether less of it is accepted before its records are rejected."""
        if reply.code == COMPANY_UPDATE_REFUSED and COMPANY_FIELDS & row.fields.keys():
            note = (reply.code, reply.message)
            return [
                (sent, entries, msgspec.structs.replace(fate, note=note) if isinstance(fate, Found) else fate)
                for sent, entries, fate in send([_without_company(row)])
            ]
        parts = _parts(row.entries)
        if len(parts) > 1:
            return self._send_parts(row, parts, send)
        refusal = with_field(_refusal(reply), row.on_create, row.if_blank, row.fields)
        return [(row, row.entries, refusal)]

    def _send_parts(self, row: LeadRow, parts: list[list[Entry]], send: Callable[[list[LeadRow]], Fates]) -> Fates:
        """Several records share the row, and perhaps only one is at fault: send them one after the other."""
        fates: Fates = []
        for number, entries in enumerate(parts):
            alone = self.row(row.key, entries, by_id=row.name == "id")
            alone.value, alone.denials, alone.denied_since = row.value, row.denials, row.denied_since
            if not COMPANY_FIELDS & row.fields.keys():
                alone = _without_company(alone)
            for sent, sent_entries, fate in send([alone]):
                if isinstance(fate, Later | Held):
                    # What came behind it waits with it: the person must not be in two calls at once.
                    rest = [entry for part in parts[number:] for entry in part]
                    waiting = self.row(row.key, rest, by_id=row.name == "id")
                    waiting.tries, waiting.lost_since = sent.tries, sent.lost_since
                    return [*fates, (waiting, rest, fate)]
                fates.append((sent, sent_entries, fate))
        return fates

    # --- lost creates ----------------------------------------------------------------------------------------

    def _settle_lost(self, error: OutcomeUnknownError, rows: list[LeadRow]) -> Fates:
        """Settle creates whose answer was lost.

        What can be read back exists and is updated by id, which creates nothing;
        the rest waits until the first try can no longer be running.
        """
        found = {} if self._policy.partition_name else self._read(rows, self._policy.lookup_field)
        middle = len(rows) // 2
        halved = error.code in HALVED_WHEN_LOST and middle > 0
        fates: Fates = []
        picked: list[tuple[LeadRow, Fate]] = []
        for number, half in enumerate((rows[:middle], rows[middle:]) if halved else (rows,)):
            later = Later(error.sent_at + self._policy.settle_seconds, number)
            for row in half:
                leads = found.get(str(row.key), ())
                if leads:
                    picked.append((row, self._pick(leads, MATCHED)))
                    continue
                row.lost_since = error.sent_at if row.lost_since is None else row.lost_since
                fate = later if halved else self._wait_or_give_up(error, row, later, alone=len(rows) == 1)
                fates.append((row, row.entries, fate))
        return fates + self._write_picked(picked, found)

    def _wait_or_give_up(self, error: OutcomeUnknownError, row: LeadRow, later: Later, *, alone: bool) -> Fate:
        row.tries += 1
        if alone and error.code == "611" and row.tries >= LOST_ALONE_BEFORE_REFUSAL and self._others_pass(row):
            # It is this record that Marketo cannot digest.
            return Refusal(
                category_for(error.code, error.marketo_message), error.code, error.marketo_message, error.request_id
            )
        if row.tries > MAX_LOST_CREATES:
            raise UnreachableError(error.endpoint, error.code, None, error.request_id)
        return later

    def _others_pass(self, row: LeadRow) -> bool:
        """Whether others were created since this row was tried for the second time, so that Marketo is not down."""
        return row.lost_since is not None and self._last_create >= row.lost_since + self._policy.settle_seconds

    # --- calls -----------------------------------------------------------------------------------------------

    def _send_each(
        self, rows: Sequence[LeadRow], action: Action
    ) -> Iterator[tuple[LeadRow, RowReply | OutcomeUnknownError]]:
        """A field that Marketo does not have (any more) refuses all rows that name it, without a call for each."""
        for batch in _below_1_mb(rows, action):
            yield from send_each(
                batch,
                lambda part: self._sync_or_lose(part, action),
                (FIELD_NOT_FOUND,),
                lambda row: frozenset(row.body(action)),
            )

    def _sync_or_lose(self, rows: Sequence[LeadRow], action: Action) -> list[RowReply | OutcomeUnknownError]:
        bodies = [row.body(action) for row in rows]
        partition = self._policy.partition_name
        if action == Action.UPDATE_ONLY:
            return list(self._marketo.sync_leads(bodies, action, rows[0].name, partition))
        try:
            with self.creates:
                replies = self._marketo.sync_leads(bodies, action, rows[0].name, partition)
        except OutcomeUnknownError as error:
            return [error] * len(rows)
        self._last_create = self.creates.clock()
        return list(replies)

    def _read(self, rows: Sequence[LeadRow], filter_type: str) -> dict[str, list[JsonObject]]:
        """Leads by folded key (or id as text) with what guards want to see of them.

        Rows whose key cannot be asked for are as if not found.
        """
        fold = str if filter_type == "id" else self._policy.fold
        guarded = (name for row in rows if row.guarded for name in (*(row.if_blank or ()), *(row.on_create or ())))
        names = [name for name in dict.fromkeys(guarded) if name != ACQUISITION_FIELD]
        fields = list(dict.fromkeys(["id", filter_type, "updatedAt", *names]))
        values = [str(row.value) for row in rows if _queryable(row)]
        found: dict[str, list[JsonObject]] = {}
        for start in range(0, len(values), MAX_ROWS_PER_CALL):
            crowded: set[str] = set()
            for lead in self._marketo.query_leads(
                filter_type, values[start : start + MAX_ROWS_PER_CALL], fields, crowded
            ):
                value, lead_id = lead.get(filter_type), lead.get("id")
                if value is not None and isinstance(lead_id, int):
                    found.setdefault(fold(value), []).append(lead)
            found.update(dict.fromkeys(map(fold, crowded), CROWD))
        return found


def _under_guard(row: LeadRow, held: JsonObject | None) -> tuple[LeadRow, Detail]:
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


def _as_picked(fate: Fate, before: Found) -> Fate:
    """What happened to a row that was written to the lead it was found to mean."""
    if isinstance(fate, Gone):
        return fate.refusal
    if isinstance(fate, Found):
        return msgspec.structs.replace(fate, detail=before.detail)
    return fate


def _holds(row: LeadRow, entry: Entry) -> bool:
    return any(one is entry for one in row.entries)


def _each_lead_once(rows: Sequence[LeadRow]) -> Iterator[list[LeadRow]]:
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


def _parts(entries: Sequence[Entry]) -> list[list[Entry]]:
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


def _queryable(row: LeadRow) -> bool:
    return can_be_queried(row.value)


def _below_1_mb(rows: Sequence[LeadRow], action: Action) -> Iterator[Sequence[LeadRow]]:
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


def _most_recently_updated(leads: Sequence[JsonObject]) -> int:
    chosen = max(leads, key=lambda lead: (str(lead.get("updatedAt") or ""), lead["id"]))
    return int(chosen["id"])


def _without_company(row: LeadRow) -> LeadRow:
    def bare(fields: LeadFields | None) -> LeadFields | None:
        return fields and {name: value for name, value in fields.items() if name not in COMPANY_FIELDS}

    return msgspec.structs.replace(
        row, fields=bare(row.fields) or {}, if_blank=bare(row.if_blank), on_create=bare(row.on_create)
    )


def _refusal(reply: RowReply, category: Category | None = None, detail: dict[str, Any] | None = None) -> Refusal:
    return Refusal(
        category or category_for(reply.code, reply.message), reply.code, reply.message, reply.request_id, detail
    )
