"""What tests of delivery have in common: a Marketo that is two tables, a store that can be read, entries, stages."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.delivery.creates import Creates
from destination_marketo_programs.delivery.entry import Entry, Holding
from destination_marketo_programs.delivery.lead_calls import LeadCalls
from destination_marketo_programs.delivery.lead_rows import LeadPolicy
from destination_marketo_programs.delivery.leads import Leads
from destination_marketo_programs.delivery.ledger import Ledger, Segment
from destination_marketo_programs.delivery.member_calls import MemberCalls
from destination_marketo_programs.delivery.memberships import MembershipStage
from destination_marketo_programs.delivery.new_leads import NewLeads
from destination_marketo_programs.delivery.settlement import Settlement
from destination_marketo_programs.delivery.statuses import Statuses
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.mapping import fold_address
from destination_marketo_programs.marketo.assets import Program
from destination_marketo_programs.marketo.leads import Action
from destination_marketo_programs.marketo.rows import RowReply
from destination_marketo_programs.model import Person, Target
from destination_marketo_programs.storage.store import NoStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.delivery.journal import Journal
    from destination_marketo_programs.model import LeadFields
    from destination_marketo_programs.outcomes import Outcome, Refusal
    from destination_marketo_programs.storage import StorageError

NOW = 5_000.0
EMAIL = "ada@example.org"
STREAM = ("", "leads")
STATUSES: dict[str, tuple[int, bool, int]] = {
    "Invited": (10, False, 1),
    "Registered": (20, False, 2),
    "No Show": (30, False, 3),
    "Attended": (30, True, 4),
    "Engaged": (40, True, 5),
}
"""Name -> (step, counts as success, place in the channel's list)."""
PROGRAMS = (1, 2, 3)


class TableMarketo:
    """Leads and memberships as tables, judged as Adobe documents it.

    Attributes:
        now: monotonic seconds.
        leads: id -> fields.
        members: (program, lead) -> status.
        member_fields: (program, lead) -> fields.
        merged: id of a lead that is no more -> the lead that it was merged into.
        visible_at: lead -> seconds before which no call by its id finds it.
        refuse, refuse_member, refuse_fields: code for a row, or None; asked before anything is done with the row.
        before: told of each call before it is executed; may change the tables, or raise.
        after: told of each call after it was executed; may raise, so that the answer is lost.
        calls: (endpoint, what was sent), in order.
    """

    def __init__(self) -> None:
        self.now = NOW
        self.leads: dict[int, dict[str, Any]] = {}
        self.members: dict[tuple[int, int], str] = {}
        self.member_fields: dict[tuple[int, int], dict[str, Any]] = {}
        self.merged: dict[int, int] = {}
        self.visible_at: dict[int, float] = {}
        self.programs = set(PROGRAMS)
        self.refuse: Callable[[dict[str, Any]], str | None] = lambda _row: None
        self.refuse_member: Callable[[int, str, int], str | None] = lambda _program, _status, _lead: None
        self.refuse_fields: Callable[[dict[str, Any]], str | None] = lambda _fields: None
        self.before: list[Callable[[str, list[Any]], None]] = []
        self.after: list[Callable[[str, list[Any]], None]] = []
        self.calls: list[tuple[str, Any]] = []
        self.created: list[int] = []
        self._ids = itertools.count(101)

    def clock(self) -> float:
        return self.now

    def add(self, lead_id: int | None = None, *, updated_at: str = "2026-01-01T00:00:00Z", **fields: Any) -> int:
        lead_id = next(self._ids) if lead_id is None else lead_id
        self.leads[lead_id] = {"id": lead_id, "updatedAt": updated_at, **fields}
        return lead_id

    @property
    def request_id(self) -> str:
        return f"r#{len(self.calls)}"

    def writes(self) -> list[tuple[Action, str, list[dict[str, Any]]]]:
        """(action, lookup field, rows) of each Sync Leads call."""
        return [sent for endpoint, sent in self.calls if endpoint == "sync_leads"]

    def queries(self) -> list[list[str]]:
        """Values of the look-ups."""
        return [sent[1] for endpoint, sent in self.calls if endpoint == "query_leads"]

    def _called(self, endpoint: str, sent: Any, rows: list[Any]) -> None:
        self.calls.append((endpoint, sent))
        assert 1 <= len(rows) <= 300
        for hook in list(self.before):
            hook(endpoint, rows)

    def _done(self, endpoint: str, rows: list[Any]) -> None:
        for hook in list(self.after):
            hook(endpoint, rows)

    # --- people ----------------------------------------------------------------------------------------------

    def sync_leads(
        self, rows: Sequence[LeadFields], action: Action, lookup_field: str, partition: str = ""
    ) -> list[RowReply]:
        sent = [dict(row) for row in rows]
        self._called("sync_leads", (action, lookup_field, sent), sent)
        assert len({str(row[lookup_field]) for row in sent}) == len(sent), "a person twice in one call"
        replies = self.execute(sent, action, lookup_field, partition)
        self._done("sync_leads", sent)
        return replies

    def execute(self, rows: Sequence[LeadFields], action: Action, lookup_field: str, partition: str) -> list[RowReply]:
        """What Marketo does with a call, whether or not somebody still waits for the answer."""
        return [self._sync(action, lookup_field, dict(row), partition) for row in rows]

    def _sync(self, action: Action, lookup_field: str, row: dict[str, Any], partition: str) -> RowReply:
        code = self.refuse(row)
        if code is not None:
            return self._skipped(code)
        if lookup_field == "id":
            return self._sync_id(row)
        found = self._found(lookup_field, str(row[lookup_field]), partition)
        if len(found) > 1:
            return self._skipped("1007")
        if not found:
            if action == Action.UPDATE_ONLY:
                return self._skipped("1004")
            more: dict[str, Any] = {"partition": partition} if partition else {}
            lead_id = self.add(**row, **more)
            self.created.append(lead_id)
            return RowReply("created", lead_id, None, None, self.request_id)
        if action == Action.CREATE_ONLY:
            return self._skipped("1005")
        self.leads[found[0]].update(row)
        return RowReply("updated", found[0], None, None, self.request_id)

    def _found(self, name: str, value: str, partition: str) -> list[int]:
        return [
            lead_id
            for lead_id, lead in self.leads.items()
            if fold_address(str(lead.get(name))) == fold_address(value)
            and (not partition or lead.get("partition", partition) == partition)
        ]

    def _sync_id(self, row: dict[str, Any]) -> RowReply:
        lead_id = row["id"]
        if lead_id in self.merged:
            return RowReply("", None, None, None, self.request_id, self.merged[lead_id])
        if lead_id not in self.leads or self.visible_at.get(lead_id, 0.0) > self.now:
            return self._skipped("1004")
        self.leads[lead_id].update(row)
        return RowReply("updated", lead_id, None, None, self.request_id)

    def query_leads(
        self, filter_type: str, values: Sequence[str], fields: Sequence[str], crowded: set[str] | None = None
    ) -> list[dict[str, Any]]:
        sent = list(values)
        self._called("query_leads", (filter_type, sent, list(fields)), sent)
        assert crowded is not None
        assert not any("," in value for value in values)
        wanted = {fold_address(value) for value in values}
        found = [
            {name: value for name, value in lead.items() if name in fields}
            for lead in self.leads.values()
            if fold_address(str(lead.get(filter_type))) in wanted
        ]
        self._done("query_leads", sent)
        return found

    # --- memberships -----------------------------------------------------------------------------------------

    def sync_status(self, program_id: int, status: str, lead_ids: Sequence[int]) -> list[RowReply]:
        sent = list(lead_ids)
        self._called("sync_status", (program_id, status, sent), sent)
        assert len(set(sent)) == len(sent), "a lead twice in one call"
        replies = [self._member(program_id, status, lead_id) for lead_id in sent]
        self._done("sync_status", sent)
        return replies

    def _gone(self, lead_id: int) -> RowReply | None:
        if lead_id in self.merged:
            return RowReply("", None, None, None, self.request_id, self.merged[lead_id])
        if lead_id not in self.leads or self.visible_at.get(lead_id, 0.0) > self.now:
            return self._skipped("1004")
        return None

    def _member(self, program_id: int, status: str, lead_id: int) -> RowReply:
        code = self.refuse_member(program_id, status, lead_id)
        if code is not None:
            return self._skipped(code)
        gone = self._gone(lead_id)
        if gone is not None:
            return gone
        held = self.members.get((program_id, lead_id))
        if held is not None and (held == status or STATUSES[held][0] > STATUSES[status][0]):
            return self._skipped("1037")
        self.members[program_id, lead_id] = status
        return RowReply("created" if held is None else "updated", lead_id, None, None, self.request_id)

    def sync_data(self, program_id: int, rows: Sequence[tuple[int, LeadFields]]) -> list[RowReply]:
        sent = [(lead_id, dict(fields)) for lead_id, fields in rows]
        self._called("sync_data", (program_id, sent), sent)
        replies = [self._fields(program_id, lead_id, fields) for lead_id, fields in sent]
        self._done("sync_data", sent)
        return replies

    def _fields(self, program_id: int, lead_id: int, fields: dict[str, Any]) -> RowReply:
        code = self.refuse_fields(fields)
        if code is not None:
            return self._skipped(code)
        gone = self._gone(lead_id)
        if gone is not None:
            return gone
        self.member_fields.setdefault((program_id, lead_id), {}).update(fields)
        return RowReply("updated", lead_id, None, None, self.request_id)

    def program(self, program_id: int) -> Program | None:
        self.calls.append(("program", program_id))
        if program_id not in self.programs:
            return None
        return Program(program_id, "Expo", "Event", "Tradeshow", "Default", None)

    def _skipped(self, code: str) -> RowReply:
        return RowReply("", None, code, f"text {code}", self.request_id)


class Kept(NoStore):
    """A store that can be looked into, and can fail."""

    takes_outcomes = True

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.rejected: list[tuple[bytes, list[Outcome]]] = []
        self.commits = 0
        self.failure: StorageError | None = None

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        assert rejections
        self.rejected.append((line, list(rejections)))

    def commit(self) -> None:
        if self.failure is not None:
            raise self.failure
        self.commits += 1


class Build:
    """Makes what flows through delivery."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def target(self, program_id: int = 1, status: str = "Registered", event: str | None = "4711") -> Target:
        return Target(program_id, status, event)

    def entry(
        self,
        email: str | None = EMAIL,
        fields: LeadFields | None = None,
        *,
        targets: Sequence[Target] | None = None,
        marketo_id: int | None = None,
        member_fields: LeadFields | None = None,
        if_blank: LeadFields | None = None,
        on_create: LeadFields | None = None,
        born: float = 0.0,
        key: str | None = None,
        key_is_position: bool = False,
        segment: Segment | None = None,
    ) -> Entry:
        targets = [self.target()] if targets is None else targets
        folded = None if email is None else fold_address(email)
        person = Person(marketo_id, email, folded, fields or {}, member_fields or {}, on_create, if_blank)
        number = next(self._numbers)
        line = b'{"type":"RECORD","record":{"stream":"leads","data":{"n":%d}}}' % number
        key = str(number) if key is None else key
        segment = segment or Segment(open=1)
        return Entry(STREAM, key, key_is_position, line, born, segment, person, targets, len(targets))


def statuses(programs: Sequence[int] = PROGRAMS) -> Statuses:
    """The channel above in each program; every status may be sent."""
    return Statuses(
        {(program, name): (*rank, True) for program in programs for name, rank in STATUSES.items()},
    )


def wall() -> datetime:
    return datetime(2026, 11, 23, 10, 0, 5, 999, tzinfo=UTC)


class Way:
    """Everything that a record passes over REST, put together as a session does."""

    def __init__(
        self,
        marketo: TableMarketo,
        mode: str = "create_or_update",
        duplicates: str = "most_recently_updated",
        partition: str = "",
        *,
        acquisition: bool = False,
        journal: Journal | None = None,
        creates_not_before: float = float("-inf"),
    ) -> None:
        self.marketo = marketo
        self.tally, self.holding, self.store = Tally(), Holding(10**9), Kept()
        self.ledger = Ledger(self.holding)
        self.settled: list[Entry] = []
        self.settlement = Settlement(self.store, self.tally, self.holding, wall, on_settled=self.settled.append)
        self.creates = Creates(marketo.clock, 95.0, creates_not_before, journal)
        policy = LeadPolicy(mode, "email", partition, duplicates, 95.0, fold_address, acquisition)
        self.calls = LeadCalls(marketo, policy, self.creates)
        self.new = NewLeads()
        self._mode = mode
        self.connect()

    def connect(self, highest: Callable[[int, int], str | None] | None = None) -> None:
        """Put the stages together, in front of the settlement; `highest` as memory says it."""
        self.members = MembershipStage(
            MemberCalls(self.marketo),
            statuses(),
            self.settlement,
            self._denied,
            self.new,
            self.marketo.clock,
            highest,
        )
        self.leads = Leads(
            self.calls,
            self.members,
            self.settlement,
            self.marketo.clock,
            self.new,
            writes_existing=self._mode != "create_missing",
        )
        self.stages = (*self.leads.stages, self.members, self.members.fields)

    def _denied(self, entry: Entry, target: Target, lead_id: int, refusal: Refusal) -> None:
        self.leads.denied(entry, target, lead_id, refusal)

    def accept(self, *entries: Entry) -> None:
        for entry in entries:
            self.tally.records_read += 1
            self.tally.outcomes_due += len(entry.targets)
            self.holding.take(entry)
        self.leads.accept(entries)

    def told(self) -> dict[str, dict[int | None, str]]:
        """Record key -> program -> outcome, or the category that tells more."""
        told: dict[str, dict[int | None, str]] = {}
        for outcome in self.store.outcomes:
            of_record = told.setdefault(outcome.record_key, {})
            assert outcome.program_id not in of_record, "a second outcome"
            of_record[outcome.program_id] = outcome.category or outcome.outcome
        return told
