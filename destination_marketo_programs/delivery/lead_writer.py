"""From people to Marketo lead ids, by the rules of `lead_sync`. Runs in a worker; touches nothing but its rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from destination_marketo_programs.delivery.sending import Answer, send_each
from destination_marketo_programs.delivery.work import Item, LeadRow, encode_row
from destination_marketo_programs.mapping import fold_address
from destination_marketo_programs.marketo.client import MAX_ROWS_PER_CALL
from destination_marketo_programs.marketo.errors import (
    COMPANY_UPDATE_REFUSED,
    FIELD_NOT_FOUND,
    LEAD_EXISTS,
    LEAD_NOT_FOUND,
    OBJECT_NOT_FOUND,
    SEVERAL_LEADS_MATCH,
    OutcomeUnknownError,
    UnreachableError,
    category_for,
)
from destination_marketo_programs.marketo.leads import Action, query_leads, sync_leads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.marketo.rows import RowReply
    from destination_marketo_programs.model import LeadFields

MATCHED = "matched"
MAX_LOST_CREATES = 8
LOST_ALONE_BEFORE_REFUSAL = 3
HALVED_WHEN_LOST = ("604", "611")
"""Either the batch is too much for Marketo's database, or one record in it is poison."""

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

CROWD: list[dict[str, Any]] = [{"id": 0}, {"id": 0}]
"""Stands for more leads with one key than Marketo lists."""


class LeadPolicy(NamedTuple):
    """`lead_sync` as delivery needs it.

    Attributes:
        settle_seconds: how long a create whose answer was lost may still run.
        fold: how values of the lookup field are compared.
    """

    mode: str
    lookup_field: str
    partition_name: str
    duplicate_leads: str
    settle_seconds: float
    fold: Callable[[object], str] = fold_address


class Found(msgspec.Struct, frozen=True, gc=False):
    """The lead is known. `code` and `message` tell of something that was not written all the same."""

    lead_id: int
    action: str
    code: str | None = None
    message: str | None = None


class Rejected(NamedTuple):
    """Marketo refused the record for good."""

    category: str
    code: str | None
    message: str | None
    request_id: str | None


class Gone(NamedTuple):
    """No lead has the id given on the record."""

    refusal: Rejected


class Later(NamedTuple):
    """A create whose answer was lost: it may still be running until `not_before` (monotonic seconds)."""

    not_before: float
    batch: int


Fate = Found | Rejected | Gone | Later
Fates = list[tuple[LeadRow, list[Item], Fate]]


class LeadWriter:
    """Writes batches of people who all are named by id, or all by the lookup field."""

    def __init__(self, client: MarketoClient, policy: LeadPolicy) -> None:
        self._client = client
        self._policy = policy
        self._last_create = float("-inf")

    def write_by_id(self, rows: Sequence[LeadRow]) -> Fates:
        """Update leads by Marketo id; never creates."""
        fates: Fates = []
        for row, reply in self._send_each(rows, lambda batch: self._sync(batch, Action.UPDATE_ONLY, "id")):
            if reply.status:
                fates.append((row, row.items(), Found(int(row.head[1]), reply.status)))
            elif reply.code in (LEAD_NOT_FOUND, OBJECT_NOT_FOUND):
                fates.append((row, row.items(), Gone(_rejected(reply, "LEAD_NOT_FOUND"))))
            else:
                fates += self._refused(row, reply, self.write_by_id)
        return fates

    def write_by_key(self, rows: Sequence[LeadRow]) -> Fates:
        """Find, update or create leads by the lookup field, as `lead_sync.mode` says."""
        match self._policy.mode:
            case "create_or_update":
                return self._upsert(rows, Action.CREATE_OR_UPDATE)
            case "create_missing":
                return self._create_missing(rows)
            case _:
                return self._match(rows)

    # --- modes -----------------------------------------------------------------------------------------------

    def _upsert(self, rows: Sequence[LeadRow], action: str) -> Fates:
        fates: Fates = []
        ambiguous: list[tuple[LeadRow, RowReply]] = []
        existing: list[tuple[LeadRow, RowReply]] = []
        lost: dict[int, tuple[OutcomeUnknownError, list[LeadRow]]] = {}
        for row, reply in self._send_each(rows, lambda batch: self._sync_or_lose(batch, action)):
            if isinstance(reply, OutcomeUnknownError):
                lost.setdefault(id(reply), (reply, []))[1].append(row)
            elif reply.status and reply.lead_id is not None:
                fates.append((row, row.items(), Found(reply.lead_id, reply.status)))
            elif reply.code == SEVERAL_LEADS_MATCH:
                ambiguous.append((row, reply))
            elif reply.status or reply.code == LEAD_EXISTS:
                existing.append((row, reply))
            else:
                fates += self._refused(row, reply, lambda again: self._upsert(again, action))
        for error, unsettled in lost.values():
            fates += self._settle_lost(error, unsettled)
        return fates + self._look_up_existing(existing) + self._choose(ambiguous)

    def _create_missing(self, rows: Sequence[LeadRow]) -> Fates:
        fates: Fates = []
        missing: list[LeadRow] = []
        found = self._find(rows)
        for row in rows:
            leads = found.get(row.key, ())
            if not leads:
                missing.append(row)
            else:
                fates.append((row, row.items(), self._pick(leads, MATCHED)))
        return fates + (self._upsert(missing, Action.CREATE_ONLY) if missing else [])

    def _match(self, rows: Sequence[LeadRow]) -> Fates:
        to_write = [row for row in rows if row.fields or not _queryable(row)]
        to_find = [row for row in rows if not row.fields and _queryable(row)]
        fates: Fates = self._upsert(to_write, Action.UPDATE_ONLY) if to_write else []
        found = self._find(to_find)
        for row in to_find:
            leads = found.get(row.key, ())
            fate = self._pick(leads, MATCHED) if leads else Rejected("LEAD_NOT_FOUND", None, None, None)
            fates.append((row, row.items(), fate))
        return fates

    # --- single rows -----------------------------------------------------------------------------------------

    def _choose(self, ambiguous: Sequence[tuple[LeadRow, RowReply]]) -> Fates:
        """Several leads share the key (1007)."""
        leads: dict[str, list[dict[str, Any]]] = {}
        if ambiguous and self._policy.duplicate_leads == "most_recently_updated":
            leads = self._find([row for row, _ in ambiguous])
        return self._write_picked(
            (row, self._pick(leads[row.key], MATCHED) if row.key in leads else _rejected(reply))
            for row, reply in ambiguous
        )

    def _look_up_existing(self, existing: Sequence[tuple[LeadRow, RowReply]]) -> Fates:
        """Leads that are there, but whose id was not told.

        Somebody else created them between our look and our create (1005), or the answer left the id out.
        """
        leads = self._find([row for row, _ in existing]) if existing else {}
        return [
            (
                row,
                row.items(),
                self._pick(leads[row.key], reply.status or MATCHED) if row.key in leads else _rejected(reply),
            )
            for row, reply in existing
        ]

    def _write_picked(self, picked: Iterable[tuple[LeadRow, Fate]]) -> Fates:
        """Write the fields of rows whose lead is known now, unless existing leads are to stay as they are."""
        fates: Fates = []
        to_update: list[tuple[LeadRow, int]] = []
        for row, fate in picked:
            if isinstance(fate, Found) and self._policy.mode != "create_missing":
                to_update.append((row, fate.lead_id))
            else:
                fates.append((row, row.items(), fate))
        return fates + self._update_found(to_update)

    def _pick(self, leads: Sequence[dict[str, Any]], action: str) -> Fate:
        if leads is CROWD or (len(leads) > 1 and self._policy.duplicate_leads != "most_recently_updated"):
            return Rejected("DUPLICATE_LEADS", SEVERAL_LEADS_MATCH, None, None)
        return Found(_most_recently_updated(leads), action)

    def _refused(self, row: LeadRow, reply: RowReply, send: Callable[[list[LeadRow]], Fates]) -> Fates:
        """A row was refused: see whether less of it is accepted before its records are rejected."""
        if reply.code == COMPANY_UPDATE_REFUSED:
            without = _without_company(row)
            if without is not None:
                return [(sent, items, _noting(fate, reply)) for sent, items, fate in send([without])]
        if len(row.parts) > 1:
            return self._send_parts(row, send)
        return [(row, row.items(), _rejected(reply))]

    @staticmethod
    def _send_parts(row: LeadRow, send: Callable[[list[LeadRow]], Fates]) -> Fates:
        """Several records share the row, and perhaps only one is at fault: send them one after the other."""
        fates: Fates = []
        for number, (fields, items) in enumerate(row.parts):
            for sent, sent_items, fate in send([_row(row, fields, [(fields, items)])]):
                if isinstance(fate, Later):
                    # What came behind it waits with it: the person must not be in two calls at once.
                    rest = row.parts[number:]
                    merged = {name: value for part, _ in rest for name, value in part.items()}
                    waiting = _row(sent, merged, rest)
                    return [*fates, (waiting, waiting.items(), fate)]
                fates.append((sent, sent_items, fate))
        return fates

    def _update_found(self, found: Sequence[tuple[LeadRow, int]]) -> Fates:
        """Write each row's fields to the one lead that it was found to mean, in as few calls as it takes."""
        fates: Fates = [(row, row.items(), Found(lead_id, MATCHED)) for row, lead_id in found if not row.fields]
        by_id = [_row(row, row.fields, row.parts, head=("id", lead_id)) for row, lead_id in found if row.fields]
        for row, items, fate in self.write_by_id(by_id) if by_id else ():
            fates.append((row, items, fate.refusal if isinstance(fate, Gone) else fate))
        return fates

    # --- lost creates ----------------------------------------------------------------------------------------

    def _settle_lost(self, error: OutcomeUnknownError, rows: list[LeadRow]) -> Fates:
        """Settle creates whose answer was lost.

        What can be read back exists and is updated by id, which creates nothing;
        the rest waits until the first try can no longer be running.
        """
        found = {} if self._policy.partition_name else self._find(rows)
        middle = len(rows) // 2
        halved = error.code in HALVED_WHEN_LOST and middle > 0
        fates: Fates = []
        picked: list[tuple[LeadRow, Fate]] = []
        for number, half in enumerate((rows[:middle], rows[middle:]) if halved else (rows,)):
            later = Later(error.sent_at + self._policy.settle_seconds, number)
            for row in half:
                leads = found.get(row.key, ())
                if leads:
                    picked.append((row, self._pick(leads, MATCHED)))
                    continue
                row.lost_since = error.sent_at if row.lost_since is None else row.lost_since
                fate = later if halved else self._wait_or_give_up(error, row, later, alone=len(rows) == 1)
                fates.append((row, row.items(), fate))
        return fates + self._write_picked(picked)

    def _wait_or_give_up(self, error: OutcomeUnknownError, row: LeadRow, later: Later, *, alone: bool) -> Fate:
        row.tries += 1
        if alone and error.code == "611" and row.tries >= LOST_ALONE_BEFORE_REFUSAL and self._others_pass(row):
            # It is this record that Marketo cannot digest.
            return Rejected(category_for(error.code), error.code, error.marketo_message, error.request_id)
        if row.tries > MAX_LOST_CREATES:
            raise UnreachableError(error.endpoint, error.code, None, error.request_id)
        return later

    def _others_pass(self, row: LeadRow) -> bool:
        """Whether others were created since this row was tried for the second time, so that Marketo is not down."""
        return row.lost_since is not None and self._last_create >= row.lost_since + self._policy.settle_seconds

    # --- calls -----------------------------------------------------------------------------------------------

    @staticmethod
    def _send_each(
        rows: Sequence[LeadRow], send: Callable[[Sequence[LeadRow]], list[Answer]]
    ) -> list[tuple[LeadRow, Answer | RowReply]]:
        """A field that Marketo does not have (any more) refuses all rows that name it, without a call for each."""
        return send_each(rows, send, (FIELD_NOT_FOUND,), lambda row: frozenset(row.fields))

    def _sync(self, rows: Sequence[LeadRow], action: str, lookup_field: str) -> list[RowReply]:
        people = [{row.head[0]: row.head[1], **row.fields} for row in rows]
        return sync_leads(self._client, people, action, lookup_field, self._policy.partition_name)

    def _sync_or_lose(self, rows: Sequence[LeadRow], action: str) -> list[RowReply | OutcomeUnknownError]:
        try:
            replies = self._sync(rows, action, self._policy.lookup_field)
        except OutcomeUnknownError as error:
            return [error] * len(rows)
        self._last_create = self._client.gate.clock()
        return list(replies)

    def _find(self, rows: Sequence[LeadRow]) -> dict[str, list[dict[str, Any]]]:
        """Leads by folded key; rows whose key cannot be asked for are as if not found."""
        lookup_field = self._policy.lookup_field
        values = [str(row.head[1]) for row in rows if _queryable(row)]
        found: dict[str, list[dict[str, Any]]] = {}
        for start in range(0, len(values), MAX_ROWS_PER_CALL):
            chunk = values[start : start + MAX_ROWS_PER_CALL]
            crowded: set[str] = set()
            for lead in query_leads(self._client, lookup_field, chunk, ["id", lookup_field, "updatedAt"], crowded):
                value, lead_id = lead.get(lookup_field), lead.get("id")
                if value is not None and isinstance(lead_id, int):
                    found.setdefault(self._policy.fold(value), []).append(lead)
            found.update(dict.fromkeys(map(self._policy.fold, crowded), CROWD))
        return found


def _noting(fate: Fate, reply: RowReply) -> Fate:
    """The fate of a row that was accepted only after something was left out of it."""
    return msgspec.structs.replace(fate, code=reply.code, message=reply.message) if isinstance(fate, Found) else fate


def _queryable(row: LeadRow) -> bool:
    return "," not in str(row.head[1])


def _most_recently_updated(leads: Sequence[dict[str, Any]]) -> int:
    chosen = max(leads, key=lambda lead: (str(lead.get("updatedAt") or ""), lead["id"]))
    return int(chosen["id"])


def _without_company(row: LeadRow) -> LeadRow | None:
    """The row without company fields; None where it has none."""
    if not COMPANY_FIELDS & row.fields.keys():
        return None
    parts = [({k: v for k, v in fields.items() if k not in COMPANY_FIELDS}, items) for fields, items in row.parts]
    fields = {k: v for k, v in row.fields.items() if k not in COMPANY_FIELDS}
    return _row(row, fields, parts)


def _row(
    row: LeadRow,
    fields: LeadFields,
    parts: list[tuple[LeadFields, list[Item]]],
    head: tuple[str, str | int] | None = None,
) -> LeadRow:
    """The same person's row with other contents."""
    head = head or row.head
    return LeadRow(row.key, head, fields, parts, encode_row(head, fields), row.born, row.tries, row.lost_since)


def _rejected(reply: RowReply, category: str | None = None) -> Rejected:
    found = category or category_for(reply.code, reply.message)
    return Rejected(found, reply.code, reply.message, reply.request_id)
