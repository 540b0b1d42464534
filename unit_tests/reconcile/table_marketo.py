"""A Marketo that is a few tables: what reconcile asks, answered at once and counted."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.marketo.assets import FoundPrograms, Program, Status
from destination_marketo_programs.marketo.errors import ConfigurationFaultError, NotFoundError
from destination_marketo_programs.marketo.extracts import ExtractJob, ExtractState
from destination_marketo_programs.marketo.rows import RowReply

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from destination_marketo_programs.marketo.activities import Activity

TRADESHOW = [
    Status("Not in Program", 0, hidden=False, success=False),
    Status("Invited", 10, hidden=False, success=False),
    Status("Registered", 20, hidden=False, success=False),
    Status("Waitlisted", 20, hidden=False, success=False),
    Status("Attended", 40, hidden=False, success=True),
]
Json = dict[str, Any]


@dataclass
class Member:
    status: str
    since: str = "2026-11-20T10:00:00Z"
    updated: str = "2026-11-20T10:00:00Z"


@dataclass
class TableMarketo:
    """Attributes: leads, id -> email; members, program -> lead -> Member; log, activities, oldest first."""

    leads: dict[int, str] = field(default_factory=dict)
    members: dict[int, dict[int, Member]] = field(default_factory=dict)
    log: list[Activity] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    refuse: dict[str, Exception] = field(default_factory=dict)
    before: dict[str, Callable[[], None]] = field(default_factory=dict)
    states: list[str] = field(default_factory=lambda: [ExtractState.QUEUED, ExtractState.COMPLETED])
    cut_files: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    code_of_no_program: str = "610"
    tells_size: bool = True
    written: list[tuple[int, str, list[int]]] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    extracted: list[int] = field(default_factory=list)
    since: list[datetime] = field(default_factory=list)
    known_programs: dict[int, str] = field(default_factory=dict)

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.before:
            self.before[name]()
        if name in self.refuse:
            raise self.refuse[name]

    # --- reads -----------------------------------------------------------------------------------------------

    def query_members(self, program_id: int, lead_ids: Sequence[int], fields: Sequence[str]) -> dict[int, Json]:
        self._called("query_members")
        assert len(lead_ids) <= 300
        assert "statusName" in fields
        if program_id not in self.members and self.code_of_no_program != "702":
            raise NotFoundError("query_members", self.code_of_no_program)
        found = self.members.get(program_id, {})
        return {
            lead: {
                "leadId": lead,
                "statusName": found[lead].status,
                "membershipDate": found[lead].since,
                "updatedAt": found[lead].updated,
            }
            for lead in lead_ids
            if lead in found
        }

    def query_leads(
        self, filter_type: str, values: Sequence[str], fields: Sequence[str], crowded: set[str] | None = None
    ) -> list[Json]:
        self._called(f"query_leads:{filter_type}")
        assert len(values) <= 300
        assert "id" in fields
        assert crowded is None or not crowded
        wanted = {value.lower() for value in values}
        return [
            {"id": lead, "email": email, "updatedAt": f"2026-11-20T10:00:{lead % 60:02d}Z"}
            for lead, email in self.leads.items()
            if (str(lead) if filter_type == "id" else email.lower()) in wanted
        ]

    def activities(
        self, type_ids: Sequence[int], since: datetime, lead_ids: Sequence[int] = (), most_pages: int = 10_000
    ) -> Iterator[Activity]:
        self._called("activities")
        assert len(lead_ids) <= 30
        assert lead_ids or most_pages < 100, "nobody knows how long the log of an instance is"
        self.since.append(since)
        for one in list(self.log):
            if (
                (not lead_ids or one.lead_id in lead_ids)
                and one.type_id in type_ids
                and datetime.fromisoformat(one.at) >= since
            ):
                yield one

    def programs(self, program_ids: Sequence[int]) -> FoundPrograms:
        self._called("programs")
        found = {
            number: Program(number, f"Expo {number}", "Event", self.known_programs[number], "Default", None)
            for number in program_ids
            if number in self.known_programs
        }
        return FoundPrograms(found, [number for number in program_ids if number not in found])

    def program(self, program_id: int) -> Program | None:
        self._called("program")
        if program_id not in self.members:
            return None
        return Program(program_id, "Expo", "Event", "Tradeshow", "Default", None)

    def channel(self, name: str) -> list[Status] | None:
        self._called("channel")
        return TRADESHOW if name == "Tradeshow" else None

    def channels(self) -> dict[str, list[Status]]:
        self._called("channels")
        return {"Tradeshow": TRADESHOW}

    # --- extracts --------------------------------------------------------------------------------------------

    def create_member_extract(self, program_ids: Sequence[int], fields: Sequence[str]) -> ExtractJob:
        self._called("create")
        assert len(program_ids) <= 10
        self.columns, self.extracted = list(fields), list(program_ids)
        return ExtractJob("e-1", ExtractState.CREATED)

    def enqueue_member_extract(self, export_id: str) -> ExtractJob:
        self._called("enqueue")
        return ExtractJob(export_id, ExtractState.QUEUED)

    def cancel_member_extract(self, export_id: str) -> ExtractJob:
        self._called("cancel")
        return ExtractJob(export_id, ExtractState.CANCELLED)

    def member_extract_status(self, export_id: str) -> ExtractJob:
        self._called("status")
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state != ExtractState.COMPLETED:
            return ExtractJob(export_id, state)
        if not self.tells_size:
            return ExtractJob(export_id, state)
        file = self.file_bytes()
        checksum = "sha256:" + hashlib.sha256(file).hexdigest()
        return ExtractJob(export_id, state, file.count(b"\n") - 1, len(file), checksum)

    def member_extract_file(self, export_id: str) -> Iterator[bytes]:
        self._called("file")
        assert export_id == "e-1"
        if not self.tells_size:
            yield from self._lines()
            return
        file = self.file_bytes()
        if self.cut_files:
            self.cut_files -= 1
            file = file[: file.rindex(b"\n", 0, -1) + 1]
        for start in range(0, len(file), 7_001):
            yield file[start : start + 7_001]

    def file_bytes(self) -> bytes:
        return b"".join(self._lines())

    def _lines(self) -> Iterator[bytes]:
        names = [self.labels.get(name, name) for name in self.columns]
        yield (",".join(["programId", *names]) + "\n").encode()
        for program in self.extracted:
            for lead, member in sorted(self.members.get(program, {}).items()):
                cells = {
                    "leadId": str(lead),
                    "email": self.leads.get(lead) or "null",
                    "statusName": f'"{member.status}"',
                    "membershipDate": member.since,
                    "updatedAt": member.updated,
                }
                yield ",".join([str(program), *(cells[name] for name in self.columns)]).encode() + b"\n"

    # --- the one write ---------------------------------------------------------------------------------------

    def sync_status(self, program_id: int, status: str, lead_ids: Sequence[int]) -> list[RowReply]:
        self._called("sync_status")
        assert len(lead_ids) <= 300
        self.written.append((program_id, status, list(lead_ids)))
        return [self._set(program_id, status, lead) for lead in lead_ids]

    def _set(self, program_id: int, status: str, lead: int) -> RowReply:
        steps = {one.name: one.step for one in TRADESHOW}
        if lead not in self.leads:
            return RowReply("", lead, "1004", "Lead not found", "r")
        held = self.members[program_id].get(lead)
        if held is not None and (held.status == status or steps[held.status] > steps[status]):
            return RowReply("", lead, "1037", "Lead skipped because it is already in or past this status", "r")
        self.members[program_id][lead] = Member(status)
        return RowReply("created" if held is None else "updated", lead, None, None, "r")


def no_permission(endpoint: str) -> ConfigurationFaultError:
    return ConfigurationFaultError(endpoint, "603", "Access denied")
