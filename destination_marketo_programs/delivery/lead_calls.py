"""From people to Marketo lead ids, by the rules of `lead_sync`. Runs in a worker; touches nothing but its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.delivery.lead_requests import CROWD, LeadRequests
from destination_marketo_programs.delivery.lead_rows import (
    ACQUISITION_FIELD,
    COMPANY_FIELDS,
    CREATED,
    HELD,
    MATCHED,
    Fate,
    Fates,
    Found,
    Gone,
    Held,
    Later,
    LeadPolicy,
    LeadRow,
    as_picked,
    each_lead_once,
    holds,
    like_neighbours,
    most_recently_updated,
    queryable,
    refusal,
    under_guard,
    without_company,
)
from destination_marketo_programs.marketo.errors import (
    COMPANY_UPDATE_REFUSED,
    LEAD_EXISTS,
    LEAD_NOT_FOUND,
    OBJECT_NOT_FOUND,
    SEVERAL_LEADS_MATCH,
    TOO_MANY_RESULTS,
    OutcomeUnknownError,
)
from destination_marketo_programs.marketo.leads import Action
from destination_marketo_programs.outcomes import Category, Detail, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from destination_marketo_programs.delivery.creates import Creates
    from destination_marketo_programs.delivery.endpoints import PeopleAndMembers
    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.marketo.api import JsonObject
    from destination_marketo_programs.marketo.rows import RowReply
    from destination_marketo_programs.model import LeadFields

HALVED_WHEN_LOST = ("604", "611")
"""Either the batch is too much for Marketo's database, or one record in it is poison."""
LEAD_IDS_TOLD = 20
"""Leads of one key that an outcome names."""


class LeadCalls:
    """Writes batches of people who all are named by id, or all by the lookup field.

    Args:
        marketo: makes the calls.
        policy: `lead_sync`.
        creates: asked before, and told of, every create.
    """

    def __init__(self, marketo: PeopleAndMembers, policy: LeadPolicy, creates: Creates) -> None:
        self.creates = creates
        self._requests = LeadRequests(marketo, policy, creates)
        self._policy = policy

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
        held = self._requests.read(guarded, "id") if guarded else {}
        to_write: list[LeadRow] = []
        asked: dict[str | int, tuple[LeadRow, Detail]] = {}
        for row in rows:
            writing, detail = under_guard(row, next(iter(held.get(str(row.value), ())), None))
            asked[row.key] = row, detail
            if writing.fields or not row.guarded:
                to_write.append(writing)
            else:
                fates.append((row, row.entries, Found(int(row.value), MATCHED, None, detail or None)))
        for writing, reply in self._requests.send_each(to_write, Action.UPDATE_ONLY):
            row, detail = asked[writing.key]
            if isinstance(reply, OutcomeUnknownError):
                raise reply
            if reply.status:
                fates.append((row, row.entries, Found(int(row.value), reply.status, None, detail or None)))
            elif reply.code in (LEAD_NOT_FOUND, OBJECT_NOT_FOUND) or reply.other_lead is not None:
                # The row as it was asked for: if it is tried again, its guards look again.
                fates.append((row, row.entries, Gone(refusal(reply, Category.LEAD_NOT_FOUND))))
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
        found = self._requests.read(rows, self._policy.lookup_field)
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
        for row, reply in self._requests.send_each(rows, action):
            if isinstance(reply, OutcomeUnknownError):
                lost.setdefault(id(reply), (reply, []))[1].append(row)
            elif reply.status and reply.lead_id is not None:
                detail = None if reply.status == CREATED else under_guard(row, None)[1]
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
        to_write = [row for row in plain if row.fields or not queryable(row)]
        to_find = [row for row in rows if row.if_blank or (not row.fields and queryable(row))]
        fates: Fates = self._upsert(to_write, Action.UPDATE_ONLY) if to_write else []
        found = self._requests.read(to_find, self._policy.lookup_field) if to_find else {}
        picked: list[tuple[LeadRow, Fate]] = []
        for row in to_find:
            leads = found.get(str(row.key), ())
            picked.append((row, self._pick(leads, MATCHED) if leads else Refusal(Category.LEAD_NOT_FOUND)))
        return fates + self._write_picked(picked, found)

    # --- single rows -----------------------------------------------------------------------------------------

    def _choose(self, ambiguous: Sequence[tuple[LeadRow, RowReply]]) -> Fates:
        """Several leads share the key (1007)."""
        leads = self._requests.read([row for row, _ in ambiguous], self._policy.lookup_field) if ambiguous else {}
        picked = (
            (row, self._pick(leads[str(row.key)], MATCHED, reply) if str(row.key) in leads else refusal(reply))
            for row, reply in ambiguous
        )
        return self._write_picked(picked, leads)

    def _look_up_existing(self, existing: Sequence[tuple[LeadRow, RowReply]]) -> Fates:
        """Leads that are there, but whose id was not told.

        Somebody else created them between our look and our create (1005): what is under a guard stays as it is, and
        everything else is written as to anybody who was there before. Or the answer left the id out.
        """
        leads = self._requests.read([row for row, _ in existing], self._policy.lookup_field) if existing else {}
        fates: Fates = []
        appeared: list[tuple[LeadRow, Fate]] = []
        unasked: list[LeadRow] = []
        for row, reply in existing:
            found = leads.get(str(row.key))
            fate = self._pick(found, reply.status or MATCHED) if found else refusal(reply)
            if reply.status:
                fates.append((row, row.entries, fate))
            elif not queryable(row) and self._policy.mode != "create_missing":
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
            writing, kept = under_guard(row, held)
            told = msgspec.structs.replace(fate, detail={**(fate.detail or {}), **kept} or None)
            if not writing.fields:
                fates.append((row, row.entries, told))
                continue
            found.setdefault(fate.lead_id, []).append((row, told))
            to_update.append(msgspec.structs.replace(writing, name="id", value=fate.lead_id, key=fate.lead_id))
        # Two keys may mean one lead (merged people): each has its own fields, so they go one after the other.
        for batch in each_lead_once(to_update):
            for sent, entries, fate in self.write_by_id(batch):
                asked, before = next(pair for pair in found[int(sent.value)] if holds(pair[0], entries[0]))
                answered = msgspec.structs.replace(asked, fields=sent.fields)
                fates.append((answered, entries, as_picked(fate, before)))
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
            return refusal(reply, Category.DUPLICATE_LEADS, detail)
        return Found(most_recently_updated(leads), action, None, detail)

    def _refused(self, row: LeadRow, reply: RowReply, send: Callable[[list[LeadRow]], Fates]) -> Fates:
        """A row was refused: see whether less of it is accepted before its records are rejected."""
        if reply.code == COMPANY_UPDATE_REFUSED and COMPANY_FIELDS & row.fields.keys():
            note = (reply.code, reply.message)
            return [
                (sent, entries, msgspec.structs.replace(fate, note=note) if isinstance(fate, Found) else fate)
                for sent, entries, fate in send([without_company(row)])
            ]
        alike = like_neighbours(row.entries)
        if len(alike) > 1:
            return self._send_parts(row, alike, send)
        return [(row, row.entries, refusal(reply))]

    def _send_parts(self, row: LeadRow, parts: list[list[Entry]], send: Callable[[list[LeadRow]], Fates]) -> Fates:
        """Several records share the row, and perhaps only one is at fault: send them one after the other."""
        fates: Fates = []
        for number, entries in enumerate(parts):
            alone = self.row(row.key, entries, by_id=row.name == "id")
            alone.value, alone.denials, alone.denied_since = row.value, row.denials, row.denied_since
            if not COMPANY_FIELDS & row.fields.keys():
                alone = without_company(alone)
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
        found = {} if self._policy.partition_name else self._requests.read(rows, self._policy.lookup_field)
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
                fate = later if halved else self._requests.lost(error, row, later, alone=len(rows) == 1)
                fates.append((row, row.entries, fate))
        return fates + self._write_picked(picked, found)
