"""What the sandbox holds, to look at and to prepare, from any thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .catalogue import DEFAULT_PARTITION, Channel, Folder, Program, Status
from .clock import lead_database_time
from .fields import Field  # noqa: TC001 - decoding needs the type at run time
from .store import Member

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .importing import Job
    from .instance import Instance
    from .store import Json


class SeedMember(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A membership to prepare. The lead by id, or by an email that one lead has."""

    program_id: int
    status: str
    lead_id: int | None = None
    email: str | None = None
    fields: dict[str, Any] = {}


class SeedLead(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A lead to prepare; one that shares its email with another makes a duplicate."""

    fields: dict[str, Any]
    partition: str = DEFAULT_PARTITION
    id: int | None = None


class Seed(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to put in before a test, in this order.

    Attributes:
        usage: user -> calls made today.
        remove_leads: ids to delete, as a user of Marketo might.
    """

    channels: list[Channel] = []
    folders: list[Folder] = []
    programs: list[Program] = []
    lead_fields: list[Field] = []
    member_fields: list[Field] = []
    partitions: dict[str, int] = {}
    leads: list[SeedLead] = []
    members: list[SeedMember] = []
    usage: dict[str, int] = {}
    remove_leads: list[int] = []


class StateView:
    """Reads and prepares the records of an instance. Every method is safe while calls are under way."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def leads(self) -> list[Json]:
        """Every lead: its fields with `id`, `createdAt`, `updatedAt`, `leadPartitionId`; lowest id first."""
        store = self._instance.store
        with store.lock:
            self._instance.advance()
            return [
                {
                    "id": lead.id,
                    **lead.fields,
                    "leadPartitionId": lead.partition_id,
                    "createdAt": lead_database_time(lead.created_at),
                    "updatedAt": lead_database_time(lead.updated_at),
                }
                for _, lead in sorted(store.leads.items())
            ]

    def lead_count(self) -> int:
        """How many leads there are."""
        self._instance.advance()
        return len(self._instance.store.leads)

    def lead(self, lead_id: int) -> Json | None:
        """The fields of one lead with its `id`, or None."""
        store = self._instance.store
        with store.lock:
            lead = store.leads.get(lead_id)
            return None if lead is None else {"id": lead.id, **lead.fields}

    def leads_with(self, field: str, value: object) -> list[int]:
        """Ids of the leads whose field has that value, case aside."""
        return self._instance.store.find(field, value)

    def duplicate_emails(self) -> dict[str, list[int]]:
        """Folded emails that more than one lead has, with the ids."""
        return dict(self._instance.store.shared_keys())

    def members(self, program_id: int) -> dict[int, str]:
        """Lead id -> status of a program's members."""
        store = self._instance.store
        with store.lock:
            self._instance.advance()
            return {lead_id: member.status for lead_id, member in store.members[program_id].items()}

    def members_by_email(self, program_id: int) -> dict[str, str]:
        """Folded email -> status of a program's members. Leads without email are left out."""
        store = self._instance.store
        with store.lock:
            self._instance.advance()
            return {
                store.leads[lead_id].fields["email"].lower(): member.status
                for lead_id, member in store.members[program_id].items()
                if "email" in store.leads[lead_id].fields
            }

    def member_fields(self, program_id: int, lead_id: int) -> Json:
        """Custom fields of one membership.

        Raises:
            KeyError: no such member.
        """
        store = self._instance.store
        with store.lock:
            return dict(store.members[program_id][lead_id].fields or {})

    def all_members(self) -> list[Json]:
        """Every membership as `programId`, `leadId`, `email`, `statusName`, times and custom fields."""
        store = self._instance.store
        with store.lock:
            self._instance.advance()
            return [
                self._member_row(program_id, lead_id, member)
                for program_id, members in sorted(store.members.items())
                for lead_id, member in sorted(members.items())
            ]

    def _member_row(self, program_id: int, lead_id: int, member: Member) -> Json:
        lead = self._instance.store.leads[lead_id]
        return {
            "programId": program_id,
            "leadId": lead_id,
            "email": lead.fields.get("email"),
            "statusName": member.status,
            "membershipDate": lead_database_time(member.since),
            "updatedAt": lead_database_time(member.updated_at),
            **(member.fields or {}),
        }

    def status_counts(self) -> dict[int, dict[str, int]]:
        """Program id -> status -> number of members."""
        store = self._instance.store
        with store.lock:
            self._instance.advance()
            table: dict[int, dict[str, int]] = {}
            for program_id, members in sorted(store.members.items()):
                counts: dict[str, int] = {}
                for member in members.values():
                    counts[member.status] = counts.get(member.status, 0) + 1
                table[program_id] = counts
            return table

    def programs(self) -> list[Program]:
        """Programs by id."""
        store = self._instance.store
        with store.lock:
            return [program for _, program in sorted(store.programs.items())]

    def channel(self, name: str) -> Channel:
        """A channel by name.

        Raises:
            KeyError: no such channel.
        """
        return self._instance.store.channels[name]

    def jobs(self) -> list[Job]:
        """Bulk import jobs, oldest first."""
        return self._instance.imports.jobs()

    def add_lead(self, fields: Json, partition: str = DEFAULT_PARTITION, lead_id: int | None = None) -> int:
        """Add a lead, whatever others there are, and return its id."""
        store = self._instance.store
        with store.lock:
            partition_id = store.partitions[partition]
            return store.insert_lead(dict(fields), partition_id, self._instance.clock.now(), lead_id)

    def change_lead(self, lead_id: int, fields: Json) -> None:
        """Correct fields of a lead, as a user of Marketo might.

        Raises:
            KeyError: no such lead.
        """
        store = self._instance.store
        with store.lock:
            store.update_lead(store.leads[lead_id], dict(fields), self._instance.clock.now())

    def remove_lead(self, lead_id: int) -> bool:
        """Delete a lead with its memberships; False if it is not there."""
        return self._instance.store.remove_lead(lead_id)

    def add_member(self, program_id: int, lead_id: int, status: str, fields: Json | None = None) -> None:
        """Make a lead member in any status, even one that the channel does not have any more."""
        store, now = self._instance.store, self._instance.clock.now()
        with store.lock:
            if lead_id not in store.leads:
                raise KeyError(lead_id)
            known = store.channel_of(store.programs[program_id]).status(status)
            success = now if known is not None and known.success else None
            store.members[program_id][lead_id] = Member(status, now, now, success)
            if fields:
                store.write_member_fields(store.programs[program_id], lead_id, fields, now)

    def merge_leads(self, winner_id: int, loser_ids: Sequence[int]) -> None:
        """Merge leads into one, as a user of Marketo might; the ids of the others mean nobody from then on.

        Raises:
            ValueError: no such lead, or the winner among the losers.
        """
        if winner_id in loser_ids:
            raise ValueError(f"lead {winner_id} cannot be merged into itself")
        try:
            self._instance.store.merge_leads(winner_id, loser_ids)
        except KeyError as error:
            raise ValueError(f"not there: {error}") from None

    def remove_member(self, program_id: int, lead_id: int) -> bool:
        """Take a lead out of a program, as a user of Marketo might; False if it is not a member."""
        store = self._instance.store
        return store.drop_member(store.programs[program_id], lead_id, self._instance.clock.now())

    def add_program(self, program: Program) -> None:
        """Add a program; its channel and folder have to be there."""
        self._instance.store.add_program(program)

    def add_channel(self, name: str, statuses: tuple[Status, ...], kind: str = "program") -> None:
        """Add a channel, or change the statuses of the one of that name."""
        store = self._instance.store
        with store.lock:
            number = store.channels[name].id if name in store.channels else len(store.channels) + 1
            store.add_channel(Channel(number, name, kind, statuses))

    def set_usage(self, user: str, count: int) -> None:
        """Say how many calls a user has made today; any other name stands for another integration."""
        self._instance.limits.set_calls(user, count)

    def calls_today(self, user: str | None = None) -> int:
        """Calls counted today for a user, by default that of the first service."""
        return self._instance.limits.calls_today(user or self._instance.settings.services[0].user)

    def seed(self, seed: Seed) -> list[int]:
        """Put everything in, and return the ids of its leads in order.

        Raises:
            ValueError: something that the seed refers to is not there.
        """
        store = self._instance.store
        with store.lock:
            for channel in seed.channels:
                store.add_channel(channel)
            store.folders.update({folder.id: folder for folder in seed.folders})
            for program in seed.programs:
                self.add_program(program)
            for field in seed.lead_fields:
                store.lead_fields.add(field)
            for field in seed.member_fields:
                store.member_fields.add(field)
            store.partitions.update(seed.partitions)
            try:
                ids = [self.add_lead(lead.fields, lead.partition, lead.id) for lead in seed.leads]
                for member in seed.members:
                    self.add_member(member.program_id, self._lead_of(member), member.status, member.fields)
            except KeyError as error:
                raise ValueError(f"not there: {error}") from None
            for user, count in seed.usage.items():
                self.set_usage(user, count)
            for lead_id in seed.remove_leads:
                self.remove_lead(lead_id)
            return ids

    def _lead_of(self, member: SeedMember) -> int:
        if member.lead_id is not None:
            return member.lead_id
        found = self.leads_with("email", member.email)
        if len(found) != 1:
            raise KeyError(member.email)
        return found[0]
