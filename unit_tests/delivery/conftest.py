from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from destination_marketo_programs.delivery.lead_writer import LeadPolicy, LeadWriter
from destination_marketo_programs.delivery.ledger import Segment
from destination_marketo_programs.delivery.work import Item, LeadRow, MemberRow, lead_row
from destination_marketo_programs.marketo.client import Call, MarketoClient, Reply
from destination_marketo_programs.model import Person, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.model import LeadFields

NOW = 5000.0


class FakeMarketo:
    """Leads as a table, behind the one method that endpoint functions call. Judges rows as Adobe documents.

    Attributes:
        leads: by id.
        calls: what was sent, in order.
        faults: what happens to the next calls in place of, or around, their execution; None executes.
        refuse: code and message for a row, or None; asked before anything is done with the row.
    """

    def __init__(self) -> None:
        self.now = NOW
        self.gate = SimpleNamespace(clock=lambda: self.now)
        self.leads: dict[int, dict[str, Any]] = {}
        self.calls: list[Call] = []
        self.faults: list[Callable[[Call, Callable[[], Reply]], Reply] | None] = []
        self.refuse: Callable[[dict[str, Any]], tuple[str, str] | None] = lambda _row: None
        self._ids = itertools.count(101)

    def add(self, lead_id: int | None = None, *, updated_at: str = "2026-01-01T00:00:00Z", **fields: Any) -> int:
        lead_id = next(self._ids) if lead_id is None else lead_id
        self.leads[lead_id] = {"id": lead_id, "updatedAt": updated_at, **fields}
        return lead_id

    def send(self, call: Call, read: Callable[[Reply], Any] = lambda reply: reply) -> Any:
        self.calls.append(call)
        fault = self.faults.pop(0) if self.faults else None
        reply = self._execute(call) if fault is None else fault(call, lambda: self._execute(call))
        return read(reply)

    def _execute(self, call: Call) -> Reply:
        request_id = f"r#{len(self.calls)}"
        if call.endpoint == "query_leads":
            return Reply(self._query(dict(call.form or call.query)), request_id, {"success": True})
        body = json.loads(call.body or b"{}")
        assert 1 <= len(body["input"]) <= 300
        rows = [self._sync(body["action"], body["lookupField"], row) for row in body["input"]]
        return Reply(rows, request_id, {"success": True})

    def _query(self, query: dict[str, str]) -> list[dict[str, Any]]:
        name = query["filterType"]
        wanted = {value.casefold() for value in query["filterValues"].split(",")}
        assert len(wanted) <= 300
        return [dict(lead) for lead in self.leads.values() if str(lead.get(name)).casefold() in wanted]

    def _sync(self, action: str, lookup_field: str, row: dict[str, Any]) -> dict[str, Any]:
        refusal = self.refuse(row)
        if refusal is not None:
            return _skipped(*refusal)
        value = str(row[lookup_field]).casefold()
        found = [lead for lead in self.leads.values() if str(lead.get(lookup_field)).casefold() == value]
        if len(found) > 1:
            return _skipped("1007", "Multiple leads match lookup criteria")
        if not found:
            if action == "updateOnly":
                return _skipped("1004", "Lead not found")
            lead_id = self.add(**row)
            return {"id": lead_id, "status": "created"}
        if action == "createOnly":
            return _skipped("1005", "Lead already exists")
        found[0].update(row)
        return {"id": found[0]["id"], "status": "updated"}

    @property
    def writes(self) -> list[dict[str, Any]]:
        """Bodies of the Sync Leads calls."""
        return [json.loads(call.body) for call in self.calls if call.endpoint == "sync_leads" and call.body]

    @property
    def queries(self) -> list[list[str]]:
        """Values of the look-ups."""
        return [
            dict(call.form or call.query)["filterValues"].split(",")
            for call in self.calls
            if call.endpoint == "query_leads"
        ]


def _skipped(code: str, message: str) -> dict[str, Any]:
    return {"status": "skipped", "reasons": [{"code": code, "message": message}]}


class Build:
    """Makes what flows through delivery."""

    now = NOW

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def target(self, program_id: int = 1, status: str = "Registered", event: str | None = "4711") -> Target:
        return Target(program_id, status, event)

    def item(
        self,
        email: str | None = "ada@example.org",
        fields: LeadFields | None = None,
        *,
        targets: list[Target] | None = None,
        marketo_id: int | None = None,
        member_fields: LeadFields | None = None,
        born: float = 0.0,
        key: str | None = None,
        key_is_position: bool = False,
        segment: Segment | None = None,
    ) -> Item:
        targets = [self.target()] if targets is None else targets
        person = Person(marketo_id, email, email and email.casefold(), fields or {}, member_fields or {})
        number = next(self._numbers)
        line = b'{"type":"RECORD","record":{"stream":"leads","data":{"n":%d}}}' % number
        key = str(number) if key is None else key
        segment = segment or Segment(open=1)
        return Item(("", "leads"), key, key_is_position, line, born, person, targets, len(targets), segment)

    def lead_row(self, email: str = "ada@example.org", **fields: Any) -> LeadRow:
        return lead_row(email.casefold(), ("email", email), self.item(email, fields))

    def id_row(self, lead_id: int, **fields: Any) -> LeadRow:
        return lead_row(str(lead_id), ("id", lead_id), self.item(None, fields, marketo_id=lead_id))

    def member_row(self, lead_id: int, *member_fields: LeadFields, program_id: int = 1) -> MemberRow:
        target = self.target(program_id)
        claims = [(self.item(member_fields=fields), target) for fields in member_fields or ({},)]
        return MemberRow(lead_id, program_id, target.program_status, 10, 0.0, claims)

    def marketo(self) -> FakeMarketo:
        return FakeMarketo()

    def writer(
        self,
        marketo: FakeMarketo,
        mode: str = "create_or_update",
        duplicates: str = "reject",
        partition: str = "",
        lookup_field: str = "email",
    ) -> LeadWriter:
        policy = LeadPolicy(mode, lookup_field, partition, duplicates, 95.0)
        return LeadWriter(cast("MarketoClient", marketo), policy)


@pytest.fixture(scope="session")
def build() -> Build:
    return Build()
