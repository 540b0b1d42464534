"""Leads, memberships and assets, held in memory. One lock; every public method takes it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from . import catalogue
from .activities import ActivityLog, Kind
from .fields import FieldTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .catalogue import Channel, Folder, Program, Status
    from .clock import Clock

Json = dict[str, Any]

_ACQUISITION = "acquisitionProgramId"


class Lead(msgspec.Struct):
    """A person. `fields` holds what is not blank; times are seconds since 1970."""

    id: int
    fields: Json
    partition_id: int
    created_at: float
    updated_at: float


class Member(msgspec.Struct):
    """A lead's membership in one program. Times are seconds since 1970."""

    status: str
    since: float
    updated_at: float
    reached_success_at: float | None = None
    fields: Json | None = None


def fold(value: object) -> str:
    """How two key values compare: as text, without regard to case."""
    return str(value).lower()


class Store:
    """The records of one Marketo instance.

    Args:
        keep_fields: False keeps of a lead only what it can be looked up by.
        record_activities: False keeps no activities.
    """

    def __init__(self, clock: Clock, keep_fields: bool = True, record_activities: bool = True) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self._keep_fields = keep_fields
        self.activities = ActivityLog(record_activities)
        self.lead_fields = FieldTable(catalogue.LEAD_FIELDS)
        self.member_fields = FieldTable(catalogue.MEMBER_FIELDS)
        self.leads: dict[int, Lead] = {}
        self.members: dict[int, dict[int, Member]] = {p.id: {} for p in catalogue.PROGRAMS}
        self.programs: dict[int, Program] = {p.id: p for p in catalogue.PROGRAMS}
        self.channels: dict[str, Channel] = {c.name: c for c in catalogue.CHANNELS}
        self.folders: dict[int, Folder] = {f.id: f for f in catalogue.FOLDERS}
        self.partitions: dict[str, int] = dict(catalogue.PARTITIONS)
        self.started_at = clock.now()
        self._next_lead_id = catalogue.FIRST_LEAD_ID
        # Field name -> folded value -> id, or ids where several leads share it. Email is always there;
        # other fields are indexed from the first time that somebody looks leads up by them.
        self._indexes: dict[str, dict[str, int | list[int]]] = {"email": {}}
        self._unseen_until: dict[int, float] = {}
        self._merged_into: dict[int, int] = {}

    def index(self, field: str) -> Mapping[str, int | list[int]]:
        """Folded value of `field` -> lead id, or list of ids where leads share it."""
        with self.lock:
            if field not in self._indexes:
                index: dict[str, int | list[int]] = {}
                self._indexes[field] = index
                for lead in self.leads.values():
                    value = lead.fields.get(field)
                    if value is not None:
                        _add(index, fold(value), lead.id)
            return self._indexes[field]

    def find(self, field: str, value: object) -> list[int]:
        """Ids of the leads whose `field` has that value, lowest first."""
        with self.lock:
            if field == "id":
                text = str(value)
                return [int(text)] if text.isascii() and text.isdigit() and int(text) in self.leads else []
            if field == "leadPartitionId":
                return [lead.id for lead in self.leads.values() if str(lead.partition_id) == str(value)]
            found = self.index(field).get(fold(value))
            if found is None:
                return []
            return [found] if isinstance(found, int) else sorted(found)

    def is_visible(self, lead_id: int) -> bool:
        """Whether a lead is there and can be seen by now by those who did not make it."""
        if lead_id not in self.leads:
            return False
        if not self._unseen_until:
            return True
        until = self._unseen_until.get(lead_id)
        if until is None:
            return True
        if until > self._clock.now():
            return False
        del self._unseen_until[lead_id]
        return True

    def insert_lead(
        self,
        fields: Json,
        partition_id: int,
        at: float,
        lead_id: int | None = None,
        unseen_seconds: float = 0.0,
    ) -> int:
        """Add a lead and return its id. The dict becomes the store's own.

        Args:
            fields: its values by REST name.
            partition_id: the partition it is in.
            at: now, seconds since 1970.
            lead_id: its id; the next free one if None.
            unseen_seconds: how long `is_visible` says no.
        """
        with self.lock:
            if lead_id is None:
                lead_id = self._next_lead_id
            self._next_lead_id = max(self._next_lead_id, lead_id + 1)
            if unseen_seconds:
                self._unseen_until[lead_id] = at + unseen_seconds
            if self.activities.enabled:
                created = {"Source Type": "Web service API", "Lead Source": fields.get("leadSource")}
                self.activities.add(Kind.NEW_LEAD, lead_id, at, created)
            if not self._keep_fields:
                fields = {name: fields[name] for name in self._indexes if name in fields}
            values = fields.values()
            if None in values or "" in values:
                fields = {name: value for name, value in fields.items() if value is not None and value != ""}
            self.leads[lead_id] = Lead(lead_id, fields, partition_id, at, at)
            for name, index in self._indexes.items():
                value = fields.get(name)
                if value is not None:
                    _add(index, str(value).lower(), lead_id)
            return lead_id

    def update_lead(self, lead: Lead, changes: Json, at: float) -> None:
        """Write `changes` into a lead; null and empty text clear a field."""
        with self.lock:
            lead.updated_at = at
            fields = lead.fields
            if self.activities.enabled:
                self._note_changes(lead, changes, at)
            for name, index in self._indexes.items():
                if name in changes and changes[name] != fields.get(name):
                    before, after = fields.get(name), changes[name]
                    if before is not None:
                        _drop(index, fold(before), lead.id)
                    if after is not None and after != "":
                        _add(index, fold(after), lead.id)
                        fields[name] = after
                    else:
                        fields.pop(name, None)
            if not self._keep_fields:
                return
            fields.update(changes)
            values = changes.values()
            if None in values or "" in values:
                for name, value in changes.items():
                    if value is None or value == "":
                        fields.pop(name, None)

    def _note_changes(self, lead: Lead, changes: Json, at: float) -> None:
        for name, after in changes.items():
            before = lead.fields.get(name)
            if before == after or (before is None and after == ""):
                continue
            field = self.lead_fields.get(name)
            shown = field.display_name if field is not None else name
            values = {"New Value": _text(after), "Old Value": _text(before), "Source": "Web service API"}
            self.activities.add(Kind.CHANGE_DATA_VALUE, lead.id, at, values, (None, shown))

    def remove_lead(self, lead_id: int) -> bool:
        """Delete a lead and its memberships, as a user of Marketo might; False if it is not there."""
        with self.lock:
            lead = self.leads.pop(lead_id, None)
            if lead is None:
                return False
            self._unseen_until.pop(lead_id, None)
            for name, index in self._indexes.items():
                value = lead.fields.get(name)
                if value is not None:
                    _drop(index, fold(value), lead_id)
            for members in self.members.values():
                members.pop(lead_id, None)
            self.activities.add(Kind.DELETE_LEAD, lead_id, self._clock.now(), {}, (lead_id, str(lead_id)))
            return True

    def merge_leads(self, winner_id: int, loser_ids: Sequence[int]) -> None:
        """Merge leads into one: it keeps its values, gets those that it lacks, and the memberships of the others.

        Of two statuses in one program the one with the higher step stays.

        Raises:
            KeyError: no such lead.
        """
        with self.lock:
            winner = self.leads[winner_id]
            for loser in [self.leads[loser_id] for loser_id in loser_ids]:
                lacking = {name: value for name, value in loser.fields.items() if name not in winner.fields}
                for program_id, members in self.members.items():
                    self._merge_member(self.programs[program_id], members, winner_id, members.get(loser.id))
                self.remove_lead(loser.id)
                self.update_lead(winner, lacking, self._clock.now())
                self._merged_into[loser.id] = winner_id
            merged = {"Merge IDs": ",".join(map(str, loser_ids)), "Merged in Sales": False}
            self.activities.add(Kind.MERGE_LEADS, winner_id, self._clock.now(), merged, (winner_id, str(winner_id)))

    def _merge_member(self, program: Program, members: dict[int, Member], winner_id: int, other: Member | None) -> None:
        if other is None:
            return
        mine = members.get(winner_id)
        if mine is None or self._step(program, mine.status) < self._step(program, other.status):
            members[winner_id] = other

    def merged_into(self, lead_id: int) -> int | None:
        """The lead that this one was merged into, through any number of merges; None for one that was not."""
        found = self._merged_into.get(lead_id)
        while found in self._merged_into:
            found = self._merged_into[found]
        return found

    def channel_of(self, program: Program) -> Channel:
        """The channel that gives a program its statuses."""
        return self.channels[program.channel]

    def _step(self, program: Program, name: str) -> int:
        status = self.channel_of(program).status(name)
        return status.step if status is not None else 0

    def add_program(self, program: Program) -> None:
        """Add a program, or replace the one of that id (its members stay)."""
        with self.lock:
            if program.channel not in self.channels:
                raise ValueError(f"no channel {program.channel!r}")
            self.programs[program.id] = program
            self.members.setdefault(program.id, {})

    def add_channel(self, channel: Channel) -> None:
        """Add a channel, or replace the one of that name; members keep the status they have."""
        with self.lock:
            self.channels[channel.name] = channel

    def put_member(self, program: Program, lead_id: int, status: Status, at: float) -> str:
        """Apply the forward-only rule: `created`, `updated`, or `skipped` where the lead is in or past it."""
        members = self.members[program.id]
        member = members.get(lead_id)
        if member is None:
            members[lead_id] = Member(status.name, at, at, at if status.success else None)
            self._note_status(program, lead_id, catalogue.NOT_IN_PROGRAM, status.name, at)
            return "created"
        if member.status == status.name:
            return "skipped"
        current = self.channel_of(program).status(member.status)
        # A status that the channel no longer has cannot be compared; Adobe says nothing about it.
        if current is not None and current.step > status.step:
            return "skipped"
        self._note_status(program, lead_id, member.status, status.name, at)
        member.status = status.name
        member.updated_at = at
        if status.success and member.reached_success_at is None:
            member.reached_success_at = at
        return "updated"

    def drop_member(self, program: Program, lead_id: int, at: float) -> bool:
        """Remove a lead from a program; False if it is not a member."""
        with self.lock:
            member = self.members[program.id].pop(lead_id, None)
            if member is None:
                return False
            self._note_status(program, lead_id, member.status, catalogue.NOT_IN_PROGRAM, at)
            return True

    def _note_status(self, program: Program, lead_id: int, before: str, after: str, at: float) -> None:
        if self.activities.enabled:
            attributes = {
                "Old Status": before,
                "New Status": after,
                "Acquired By": self.is_acquired_by(program, lead_id),
                "Reason": "Web service API",
            }
            self.activities.add(Kind.CHANGE_STATUS, lead_id, at, attributes, (program.id, program.name))

    def is_acquired_by(self, program: Program, lead_id: int) -> bool:
        """Whether the program is the lead's acquisition program."""
        lead = self.leads.get(lead_id)
        return lead is not None and str(lead.fields.get(_ACQUISITION)) == str(program.id)

    def write_member_fields(self, program: Program, lead_id: int, changes: Json, at: float) -> None:
        """Write fields of a membership; null and empty text clear one.

        `acquiredBy` is kept with the lead, as its acquisition program.
        """
        with self.lock:
            member = self.members[program.id][lead_id]
            before = member.fields or {}
            changes = dict(changes)
            acquired = changes.pop("acquiredBy", None)
            if acquired is not None:
                wanted = str(acquired).lower() in {"true", "1"}
                if wanted != self.is_acquired_by(program, lead_id):
                    self.update_lead(self.leads[lead_id], {_ACQUISITION: program.id if wanted else None}, at)
            fields = {name: value for name, value in (before | changes).items() if value is not None and value != ""}
            for name in changes if self.activities.enabled else ():
                if fields.get(name) != before.get(name):
                    values = {
                        "Attribute Display Name": self._member_name(name),
                        "New Value": _text(fields.get(name)),
                        "Old Value": _text(before.get(name)),
                        "Source": "Web service API",
                    }
                    self.activities.add(Kind.CHANGE_MEMBER_DATA, lead_id, at, values, (program.id, program.name))
            member.fields = fields or None
            member.updated_at = at

    def _member_name(self, name: str) -> str:
        field = self.member_fields.get(name)
        return field.display_name if field is not None else name

    def shared_keys(self) -> Iterator[tuple[str, list[int]]]:
        """Folded emails that more than one lead has, with the ids."""
        with self.lock:
            found = [(key, sorted(ids)) for key, ids in self._indexes["email"].items() if isinstance(ids, list)]
        return iter(found)

    def partition_name(self, partition_id: int) -> str:
        """Name of a partition."""
        return next(name for name, number in self.partitions.items() if number == partition_id)


def _text(value: object) -> str | None:
    if value is None or value == "":
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _add(index: dict[str, int | list[int]], key: str, lead_id: int) -> None:
    found = index.get(key)
    if found is None:
        index[key] = lead_id
    elif isinstance(found, int):
        index[key] = [found, lead_id]
    else:
        found.append(lead_id)


def _drop(index: dict[str, int | list[int]], key: str, lead_id: int) -> None:
    found = index[key]
    if isinstance(found, int):
        del index[key]
        return
    found.remove(lead_id)
    if len(found) == 1:
        index[key] = found[0]
