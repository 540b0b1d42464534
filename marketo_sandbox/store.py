"""Leads, memberships and assets, held in memory. One lock; every public method takes it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import msgspec

from . import catalogue
from .fields import FieldTable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .catalogue import Channel, Folder, Program, Status
    from .clock import Clock

Json = dict[str, Any]


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
    acquired_by: bool = False


def fold(value: object) -> str:
    """How two key values compare: as text, without regard to case."""
    return str(value).lower()


class Store:
    """The records of one Marketo instance."""

    def __init__(self, clock: Clock, keep_fields: bool = True) -> None:
        self.lock = threading.RLock()
        self._clock = clock
        self._keep_fields = keep_fields
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

    def insert_lead(self, fields: Json, partition_id: int, at: float, lead_id: int | None = None) -> int:
        """Add a lead and return its id. The dict becomes the store's own."""
        with self.lock:
            if lead_id is None:
                lead_id = self._next_lead_id
            self._next_lead_id = max(self._next_lead_id, lead_id + 1)
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

    def remove_lead(self, lead_id: int) -> bool:
        """Delete a lead and its memberships, as a user of Marketo might; False where it is not there."""
        with self.lock:
            lead = self.leads.pop(lead_id, None)
            if lead is None:
                return False
            for name, index in self._indexes.items():
                value = lead.fields.get(name)
                if value is not None:
                    _drop(index, fold(value), lead_id)
            for members in self.members.values():
                members.pop(lead_id, None)
            return True

    def channel_of(self, program: Program) -> Channel:
        """The channel that gives a program its statuses."""
        return self.channels[program.channel]

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
            return "created"
        if member.status == status.name:
            return "skipped"
        current = self.channel_of(program).status(member.status)
        # A status that the channel no longer has cannot be compared; Adobe says nothing about it.
        if current is not None and current.step > status.step:
            return "skipped"
        member.status = status.name
        member.updated_at = at
        if status.success and member.reached_success_at is None:
            member.reached_success_at = at
        return "updated"

    def shared_keys(self) -> Iterator[tuple[str, list[int]]]:
        """Folded emails that more than one lead has, with the ids."""
        with self.lock:
            found = [(key, sorted(ids)) for key, ids in self._indexes["email"].items() if isinstance(ids, list)]
        return iter(found)

    def partition_name(self, partition_id: int) -> str:
        """Name of a partition."""
        return next(name for name, number in self.partitions.items() if number == partition_id)


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
