"""Bulk extract and activities of the Marketo that forgives nothing: from Adobe's pages, and nothing else."""

from __future__ import annotations

import csv
import hashlib
import io
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
MOST_PROGRAMS = 10
MOST_TYPES, MOST_LEADS = 10, 30
CHANGE_STATUS = 104


class RefusedError(Exception):
    """A call refused with a code."""

    def __init__(self, code: str, message: str) -> None:
        self.code, self.message = code, message
        super().__init__(code, message)


def stamp(seconds: float) -> str:
    """As the lead database writes times."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class Extract:
    """One job. It ends after so many looks at its status."""

    number: int
    fields: list[str]
    chosen: Json
    looks_left: int
    queued: bool = False
    looks: int = 0
    file: bytes = b""

    @property
    def export_id(self) -> str:
        """Its id; any text, as far as the documentation goes."""
        return f"ce45a7a1-f19d-4ce2-882c-{self.number:012x}"


@dataclass
class Extracts:
    """Jobs for members, and what is not allowed with them.

    Attributes:
        polls: looks at a job's status before it has ended.
        violations: where to note what no documentation allows.
    """

    violations: list[str]
    polls: int = 1
    jobs: list[Extract] = field(default_factory=list)

    def create(self, members: Json) -> Json:
        """Create Export Program Member Job."""
        chosen = members.get("filter") or {}
        fields = members.get("fields")
        if not isinstance(fields, list) or not fields:
            self.violations.append(f"extract without fields: {members}")
            raise RefusedError("1003", "fields")
        if ("programId" in chosen) == ("programIds" in chosen):
            self.violations.append(f"extract with filter {chosen}")
            raise RefusedError("1003", "programId or programIds")
        unknown = set(chosen) - {"programId", "programIds", "isExhausted", "nurtureCadence", "statusNames", "updatedAt"}
        if unknown or len(chosen.get("programIds", [0])) > MOST_PROGRAMS:
            self.violations.append(f"extract with filter {chosen}")
        job = Extract(len(self.jobs) + 1, list(fields), chosen, self.polls)
        self.jobs.append(job)
        return {"exportId": job.export_id, "format": "CSV", "status": "Created", "createdAt": stamp(0)}

    def of(self, export_id: str) -> Extract:
        """A job by its id."""
        for job in self.jobs:
            if job.export_id == export_id:
                return job
        self.violations.append(f"unknown export job {export_id}")
        raise RefusedError("1013", "not found")

    def enqueue(self, job: Extract) -> Json:
        """Enqueue Export Program Member Job."""
        if job.queued:
            raise RefusedError("1029", "Job already queued")
        job.queued = True
        return {"exportId": job.export_id, "format": "CSV", "status": "Queued", "createdAt": stamp(0)}

    def status(self, job: Extract) -> Json:
        """Get Export Program Member Job Status."""
        row: Json = {"exportId": job.export_id, "format": "CSV", "status": "Created", "createdAt": stamp(0)}
        if not job.queued:
            return row
        job.looks += 1
        if job.looks <= job.looks_left:
            return row | {"status": ("Queued", "Processing")[job.looks % 2]}
        return row | {
            "status": "Completed",
            "numberOfRecords": max(0, job.file.count(b"\n") - 1),
            "fileSize": len(job.file),
            "fileChecksum": "sha256:" + hashlib.sha256(job.file).hexdigest(),
        }

    def content(self, job: Extract) -> bytes:
        """Get Export Program Member File."""
        if not job.queued or job.looks <= job.looks_left:
            self.violations.append("file asked for before its job has ended")
            raise RefusedError("1003", "not completed")
        return job.file


def written(columns: list[str], rows: list[list[Any]]) -> bytes:
    """The file: `null` where there is no value."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["null" if value is None else value for value in row] for row in rows])
    return out.getvalue().encode()


def activities(log: list[Json], query: dict[str, str], violations: list[str]) -> tuple[list[Json], str, bool]:
    """Get Lead Activities: the rows, the next token, whether there are more."""
    types = [int(text) for text in query.get("activityTypeIds", "").split(",") if text]
    leads = [int(text) for text in query.get("leadIds", "").split(",") if text]
    token = query.get("nextPageToken", "")
    if not 1 <= len(types) <= MOST_TYPES or len(leads) > MOST_LEADS or "listId" in query or not token:
        violations.append(f"activities with {query}")
        raise RefusedError("1003", "activities")
    kind, _, value = token.partition(":")
    if kind == "at":
        start = next((number for number, row in enumerate(log) if row["at"] >= float(value)), len(log))
    else:
        start = int(value)
    # Pages may be empty and have more behind them: as many rows are looked at as a page could hold.
    looked = log[start : start + int(query.get("batchSize", 300))]
    rows = [
        {name: cell for name, cell in row.items() if name != "at"}
        for row in looked
        if row["activityTypeId"] in types and (not leads or row["leadId"] in leads)
    ]
    following = start + len(looked)
    return rows, f"from:{following}", following < len(log)


def status_change(number: int, lead_id: int, program_id: int, statuses: tuple[str, str], at: float) -> Json:
    """One activity "Change Status in Progression": from, to."""
    return {
        "at": at,
        "id": number,
        "marketoGUID": str(number),
        "leadId": lead_id,
        "activityDate": stamp(at),
        "activityTypeId": CHANGE_STATUS,
        "primaryAttributeValueId": program_id,
        "primaryAttributeValue": f"Program {program_id}",
        "attributes": [
            {"name": "Old Status", "value": statuses[0]},
            {"name": "New Status", "value": statuses[1]},
        ],
    }
