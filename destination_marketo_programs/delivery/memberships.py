"""The stages of memberships: from lead ids to a program status, and to the fields of the membership."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.delivery.entry import Entry, target_in
from destination_marketo_programs.delivery.member_fields import MemberFieldStage, Membership
from destination_marketo_programs.delivery.member_results import RESULTS, MemberResults
from destination_marketo_programs.delivery.stage import NEVER, Call, Line, Timed, Why
from destination_marketo_programs.marketo.errors import (
    ALREADY_IN_OR_PAST_STATUS,
    LEAD_NOT_FOUND,
    OBJECT_NOT_FOUND,
    category_for,
)
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL
from destination_marketo_programs.outcomes import Category, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from destination_marketo_programs.delivery.member_calls import MemberCalls
    from destination_marketo_programs.delivery.new_leads import NewLeads
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.marketo.rows import RowReply
    from destination_marketo_programs.model import LeadFields, Target


def denied(reply: RowReply) -> bool:
    """Whether Marketo says that nobody has this lead id, or that somebody else has it now (merged people)."""
    return reply.code in (LEAD_NOT_FOUND, OBJECT_NOT_FOUND) or reply.other_lead is not None


class Batch(msgspec.Struct, gc=False):
    """Leads of one program that get one status in one call; the entries of each want the lead there.

    Attributes:
        denials, denied_since: answers "lead not found" for leads that this run created, and the first one's time.
    """

    program_id: int
    status: str
    groups: dict[int, list[Entry]]
    denials: int = 0
    denied_since: float = 0.0


class _Program:
    """Who waits for one program.

    Attributes:
        groups: status -> lead id -> entries. An entry may want a lower status than that of its group.
        status_of: the group of each lead that waits.
        sent: highest rank sent in this run, of leads with a status whose step another status has too.
        refused: leads for which Marketo refused a higher status than the one that their records ask for.
    """

    def __init__(self) -> None:
        self.groups: dict[str, dict[int, list[Entry]]] = {}
        self.status_of: dict[int, str] = {}
        self.line: Line[int, Entry] = Line()
        self.sent: dict[int, int] = {}
        self.refused: set[int] = set()


class MembershipStage:
    """Memberships waiting for a status call, by program and status.

    Args:
        calls: makes the calls.
        statuses: how statuses compare.
        settle: takes every result.
        denied: takes records whose lead id means nobody.
        new: leads that may not be visible yet.
        clock: monotonic seconds.
        highest: the furthest status that earlier syncs sent for a lead and program; None if there is no memory.

    Attributes:
        fields: the stage behind this one.
    """

    full = False

    def __init__(
        self,
        calls: MemberCalls,
        statuses: Statuses,
        settle: Settlement,
        denied: Callable[[Entry, Target, int, Refusal], None],
        new: NewLeads,
        clock: Callable[[], float],
        highest: Callable[[int, int], str | None] | None = None,
    ) -> None:
        self.in_flight = 0
        self._highest = highest
        self.fields = MemberFieldStage(calls, self._fields_written)
        self._calls = calls
        self._statuses = statuses
        self._results = MemberResults(settle)
        self._denied = denied
        self._new = new
        self._clock = clock
        self._programs: dict[int, _Program] = {}
        self._full: dict[tuple[int, str], None] = {}
        self._waiting = 0
        self._delayed: Timed[Batch] = Timed()

    def __len__(self) -> int:
        return self._waiting + len(self._delayed)

    def accept(self, entry: Entry, lead_id: int) -> None:
        """Let a record become a member of all its programs but those for which memory knows nothing new to say."""
        quiet = entry.quiet
        if quiet is None:
            for target in entry.targets:
                self.accept_target(entry, target, lead_id)
        elif len(quiet) == len(entry.targets):
            self._results.quiet(entry, lead_id)
        else:
            for target in entry.targets:
                if target.program_id not in quiet:
                    self.accept_target(entry, target, lead_id)

    def accept_target(self, entry: Entry, target: Target, lead_id: int) -> None:
        """Let a record become a member of one program. Of several statuses for one lead, the highest is sent."""
        program = self._programs.get(target.program_id)
        if program is None:
            program = self._programs[target.program_id] = _Program()
        if program.line.parks(lead_id, entry):
            self._waiting += 1
        else:
            self._place(program, entry, target, lead_id)

    def _place(self, program: _Program, entry: Entry, target: Target, lead_id: int) -> None:
        status = target.program_status
        if program.sent and self._would_move_back(program, target, lead_id):
            self._results.superseded(entry, target, lead_id)
            return
        if self._highest is not None and lead_id not in program.refused:
            before = self._highest(lead_id, target.program_id)
            if before is not None and self._statuses.further(target.program_id, before, status):
                if not entry.person.member_fields:
                    self._results.kept(entry, target, lead_id)
                    return
                # Its fields are written all the same, to the membership as it was.
                status = before
        held = program.status_of.get(lead_id)
        if held == status:
            program.groups[status][lead_id].append(entry)
        elif held is None:
            self._enter(program, target.program_id, status, lead_id, [entry])
        else:
            rank = self._statuses.rank
            entries = program.groups[held][lead_id]
            entries.append(entry)
            if rank(target.program_id, status) > rank(target.program_id, held):
                self._leave(program, target.program_id, held, lead_id)
                self._enter(program, target.program_id, status, lead_id, entries)
        self._waiting += 1

    def _would_move_back(self, program: _Program, target: Target, lead_id: int) -> bool:
        """Whether a status of the same step that counts for more has been sent in this run."""
        sent = program.sent.get(lead_id)
        if sent is None or not self._statuses.sideways(target.program_id, target.program_status):
            return False
        return sent > self._statuses.rank(target.program_id, target.program_status)

    def _enter(self, program: _Program, program_id: int, status: str, lead_id: int, entries: list[Entry]) -> None:
        program.status_of[lead_id] = status
        group = program.groups.get(status)
        if group is None:
            group = program.groups[status] = {}
        group[lead_id] = entries
        if len(group) >= MAX_ROWS_PER_CALL:
            self._full[program_id, status] = None

    def _leave(self, program: _Program, program_id: int, status: str, lead_id: int) -> None:
        group = program.groups[status]
        del group[lead_id], program.status_of[lead_id]
        if len(group) < MAX_ROWS_PER_CALL:
            self._full.pop((program_id, status), None)
        if not group:
            del program.groups[status]

    # --- calls -----------------------------------------------------------------------------------------------

    def oldest(self) -> float:
        """See `Stage`."""
        return self._oldest_group()[0]

    def _oldest_group(self) -> tuple[float, tuple[int, str] | None]:
        found: tuple[float, tuple[int, str] | None] = (NEVER, None)
        for program_id, program in self._programs.items():
            for status, group in program.groups.items():
                born = min([entries[0].born for entries in group.values()])
                if born < found[0]:
                    found = (born, (program_id, status))
        return found

    def due_in(self, now: float) -> float:
        """See `Stage`."""
        return self._delayed.due_in(now)

    def advance(self, now: float, *, ended: bool) -> None:
        """See `Stage`."""

    def lost(self) -> None:
        """See `Stage`."""
        self.in_flight -= 1

    def take(self, why: Why, now: float) -> Call | None:
        """See `Stage`."""
        if why is Why.FULL:
            again = self._delayed.take(now)
            if again is not None:
                return self._call(again)
            group = next(iter(self._full), None)
        elif why is Why.OLD:
            group = self._oldest_group()[1]
        else:
            sizes = {
                (program_id, status): len(leads)
                for program_id, program in self._programs.items()
                for status, leads in program.groups.items()
            }
            group = max(sizes, key=sizes.__getitem__, default=None)
        return None if group is None else self._call(self._take_batch(*group))

    def _take_batch(self, program_id: int, status: str) -> Batch:
        program = self._programs[program_id]
        group = program.groups[status]
        if len(group) <= MAX_ROWS_PER_CALL:
            taken = program.groups.pop(status)
        else:
            taken = dict(islice(group.items(), MAX_ROWS_PER_CALL))
            for lead_id in taken:
                del group[lead_id]
        if len(group) < MAX_ROWS_PER_CALL or taken is group:
            self._full.pop((program_id, status), None)
        for lead_id in taken:
            del program.status_of[lead_id]
        program.line.begin(taken)
        self._waiting -= sum(map(len, taken.values()))
        return Batch(program_id, status, taken)

    def _call(self, batch: Batch) -> Call:
        self.in_flight += 1
        lead_ids = list(batch.groups)
        return Call(
            self,
            lambda: self._calls.write_status(batch.program_id, batch.status, lead_ids),
            lambda replies: self._finish(batch, replies),
        )

    # --- answers ---------------------------------------------------------------------------------------------

    def _finish(self, batch: Batch, replies: Sequence[RowReply]) -> None:
        self.in_flight -= 1
        program = self._programs[batch.program_id]
        remember = self._statuses.sideways(batch.program_id, batch.status)
        rank = self._statuses.rank(batch.program_id, batch.status)
        done: list[int] = []
        again: dict[int, list[Entry]] = {}
        for (lead_id, entries), reply in zip(batch.groups.items(), replies, strict=True):
            if reply.status or reply.code == ALREADY_IN_OR_PAST_STATUS:
                if remember:
                    program.sent[lead_id] = max(rank, program.sent.get(lead_id, rank))
                result = RESULTS[reply.status]
                if _has_fields(entries):
                    # The lead stays in flight until its fields are written, so that nothing overtakes them.
                    self.fields.accept(Membership(batch.program_id, batch.status, lead_id, result, reply, entries))
                    continue
                self._results.delivered(batch.program_id, batch.status, lead_id, result, reply, entries)
            elif denied(reply) and lead_id in self._new:
                again[lead_id] = entries
                continue
            else:
                self._refused(program, batch, lead_id, entries, reply)
            done.append(lead_id)
        if again:
            done += self._retry_or_deny(batch, again, dict(zip(batch.groups, replies, strict=True)))
        self._free(program, batch.program_id, done)

    def _retry_or_deny(
        self, batch: Batch, again: dict[int, list[Entry]], replies: dict[int, RowReply]
    ) -> Iterable[int]:
        """Leads that this run has created may not be visible yet; returns those that should be by now."""
        now = self._clock()
        denials, since = batch.denials + 1, batch.denied_since or now
        pause = self._new.pause(denials, since, now)
        if pause is not None:
            self._delayed.add(now + pause, Batch(batch.program_id, batch.status, again, denials, since))
            return ()
        for lead_id, entries in again.items():
            self._new.give_up(lead_id)
            self._deny(batch.program_id, lead_id, entries, replies[lead_id])
        return again

    def _refused(self, program: _Program, batch: Batch, lead_id: int, entries: list[Entry], reply: RowReply) -> None:
        """The status is refused; lower ones that it stood for get their own try."""
        if denied(reply):
            self._deny(batch.program_id, lead_id, entries, reply)
            return
        refusal = Refusal(category_for(reply.code, reply.message), reply.code, reply.message, reply.request_id)
        lower: list[Entry] = []
        for entry in entries:
            target = target_in(entry, batch.program_id)
            if target.program_status == batch.status:
                self._results.refused(entry, target, lead_id, refusal)
            else:
                lower.append(entry)
        for entry in lower:
            # Parked, as its lead is still in flight: it enters again with whatever else has come.
            program.refused.add(lead_id)
            program.line.parks(lead_id, entry)
            self._waiting += 1

    def _deny(self, program_id: int, lead_id: int, entries: list[Entry], reply: RowReply) -> None:
        refusal = Refusal(Category.LEAD_NOT_FOUND, reply.code, reply.message, reply.request_id)
        for entry in entries:
            self._denied(entry, target_in(entry, program_id), lead_id, refusal)

    def _free(self, program: _Program, program_id: int, lead_ids: Iterable[int]) -> None:
        for lead_id, parked in program.line.end(lead_ids):
            for entry in parked:
                self._waiting -= 1
                self._place(program, entry, target_in(entry, program_id), lead_id)

    def _fields_written(self, membership: Membership, refused: Sequence[tuple[LeadFields, RowReply]]) -> None:
        program_id, lead_id = membership.program_id, membership.lead_id
        taken: list[Entry] = []
        for entry in membership.entries:
            reply = next((reply for fields, reply in refused if fields == entry.person.member_fields), None)
            if reply is None:
                taken.append(entry)
                continue
            refusal = Refusal(category_for(reply.code, reply.message), reply.code, reply.message, reply.request_id)
            self._results.refused(entry, target_in(entry, program_id), lead_id, refusal)
        self._results.delivered(program_id, membership.status, lead_id, membership.result, membership.reply, taken)
        self._free(self._programs[program_id], program_id, (lead_id,))


def _has_fields(entries: Sequence[Entry]) -> bool:
    for entry in entries:  # noqa: SIM110 - `any` with a generator costs more than the rest of the way
        if entry.person.member_fields:
            return True
    return False
