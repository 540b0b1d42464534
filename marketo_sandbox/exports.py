"""Bulk extract over HTTP, of leads, program members and activities: create, enqueue, status, cancel, file, list.

Extracts know nothing of workspaces and partitions: they hold everybody, whoever asks.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from .activities import TYPES
from .clock import lead_database_time
from .errors import ApiError, HttpRefusal
from .exporting import DELIMITERS, ExportJob, ExportKind, Rows
from .request import Answer, moment
from .values import lead_value, member_value

if TYPE_CHECKING:
    from .activities import Activity
    from .catalogue import Program
    from .instance import Instance
    from .request import Request
    from .store import Json

_BODY: Final = frozenset({"fields", "filter", "format", "columnHeaderNames"})
_LONGEST_RANGE_SECONDS: Final = 31 * 86_400
_MOST_PROGRAMS: Final = 10
_MOST_PRIMARY_IDS: Final = 50
_MEMBER_FILTERS: Final = frozenset(
    {"programId", "programIds", "isExhausted", "nurtureCadence", "statusNames", "updatedAt"}
)
_ACTIVITY_COLUMNS: Final = (
    "marketoGUID",
    "leadId",
    "activityDate",
    "activityTypeId",
    "campaignId",
    "primaryAttributeValueId",
    "primaryAttributeValue",
    "attributes",
)
_PARTIAL: Final = re.compile(r"bytes=(\d+)-(\d*)")

Selection = tuple[list[str], Rows]
"""Names of the columns, and what gives the rows."""
Select = Callable[["Instance", "Json"], Selection]


def create(kind: ExportKind, select: Select) -> Callable[[Instance, Request], Callable[[], Answer]]:
    """Create Export Job of a kind, its columns and rows chosen by `select`."""

    def prepare(instance: Instance, request: Request) -> Callable[[], Answer]:
        body = request.json_object(_BODY)
        file_format = str(body.get("format") or "CSV").upper()
        if file_format not in DELIMITERS:
            raise ApiError("1003", f"Invalid value for parameter 'format': '{file_format}'")
        if not isinstance(body.get("filter"), dict):
            raise ApiError("1003", "Missing value for required parameter 'filter'")
        names, rows = select(instance, body)
        shown = body.get("columnHeaderNames") or {}
        header = [str(shown.get(name, name)) for name in names]

        def commit() -> Answer:
            with instance.store.lock:
                failure = request.fault.job_message or ""
                job = instance.exports.add(kind, request.service.user, file_format, header, rows, failure)
                return Answer([instance.exports.shown(job)])

        return commit

    return prepare


def enqueue(kind: ExportKind) -> Callable[[Instance, Request], Callable[[], Answer]]:
    """Enqueue Export Job."""

    def prepare(instance: Instance, request: Request) -> Callable[[], Answer]:
        def commit() -> Answer:
            with instance.store.lock:
                job = _job(instance, request, kind)
                instance.exports.enqueue(job)
                return Answer([instance.exports.shown(job)])

        return commit

    return prepare


def cancel(kind: ExportKind) -> Callable[[Instance, Request], Callable[[], Answer]]:
    """Cancel Export Job."""

    def prepare(instance: Instance, request: Request) -> Callable[[], Answer]:
        def commit() -> Answer:
            with instance.store.lock:
                job = _job(instance, request, kind)
                instance.exports.cancel(job)
                return Answer([instance.exports.shown(job)])

        return commit

    return prepare


def status(kind: ExportKind) -> Callable[[Instance, Request], Answer]:
    """Get Export Job Status."""

    def answer(instance: Instance, request: Request) -> Answer:
        return Answer([instance.exports.shown(_job(instance, request, kind))])

    return answer


def jobs(kind: ExportKind) -> Callable[[Instance, Request], Answer]:
    """Get Export Jobs: those of the caller."""

    def answer(instance: Instance, request: Request) -> Answer:
        wanted = set(request.names("status", ()))
        mine = [job for job in instance.exports.jobs() if job.kind == kind and job.user == request.service.user]
        rows = [instance.exports.shown(job) for job in mine]
        return Answer([row for row in rows if not wanted or row["status"] in wanted])

    return answer


def file(kind: ExportKind) -> Callable[[Instance, Request], Answer]:
    """Get Export File, or the part of it that a `Range` header asks for."""

    def answer(instance: Instance, request: Request) -> Answer:
        job = _job(instance, request, kind)
        if job.state != "Completed":
            raise ApiError("1003", "Export job has not completed")
        request.call.records = job.records
        match = _PARTIAL.fullmatch(request.range.strip())
        if match is None:
            return Answer(file=job.file)
        first, size = int(match[1]), len(job.file)
        last = min(int(match[2] or size - 1), size - 1)
        if first > last:
            raise HttpRefusal(416)
        return Answer(file=job.file[first : last + 1], file_range=(first, last, size))

    return answer


def _job(instance: Instance, request: Request, kind: ExportKind) -> ExportJob:
    instance.exports.advance()
    return instance.exports.get(request.path_ids[0], kind, request.service.user)


def _fields(body: Json) -> list[str]:
    names = body.get("fields")
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ApiError("1003", "Parameter 'fields' must be a list of field names")
    return names


def _range(instance: Instance, chosen: Json, name: str) -> tuple[float, float] | None:
    """The seconds between which a filter wants the times to be; None without that filter.

    Raises:
        ApiError: 1035 where the subscription has no such filter, 1003 for no range of at most 31 days.
    """
    value = chosen.get(name)
    if value is None:
        return None
    if name == "updatedAt" and not instance.settings.export_updated_at:
        raise ApiError("1035", "Unsupported filter type for target subscription: updatedAt")
    if not isinstance(value, dict) or not {"startAt", "endAt"} <= set(value):
        raise ApiError("1003", f"Filter '{name}' needs 'startAt' and 'endAt'")
    start, end = moment(str(value["startAt"])), moment(str(value["endAt"]))
    if not 0 <= end - start <= _LONGEST_RANGE_SECONDS:
        raise ApiError("1003", f"The range of filter '{name}' is longer than 31 days")
    return start, end


def _within(at: float, wanted: tuple[float, float] | None) -> bool:
    return wanted is None or wanted[0] <= int(at) <= wanted[1]


def select_leads(instance: Instance, body: Json) -> Selection:
    """Bulk Lead Extract: one filter of `createdAt` or `updatedAt`."""
    store, names, chosen = instance.store, _fields(body), body["filter"]
    if len(chosen) != 1 or not set(chosen) <= {"createdAt", "updatedAt"}:
        raise ApiError("1003", "Exactly one filter is needed: createdAt or updatedAt")
    created, updated = _range(instance, chosen, "createdAt"), _range(instance, chosen, "updatedAt")
    for name in names:
        if name not in store.lead_fields:
            raise ApiError("1003", f"Invalid field '{name}'")

    def rows() -> Iterator[list[Any]]:
        for lead_id, lead in sorted(store.leads.items()):
            if store.is_visible(lead_id) and _within(lead.created_at, created) and _within(lead.updated_at, updated):
                yield [lead_value(lead, name) for name in names]

    return names, rows


def select_members(instance: Instance, body: Json) -> Selection:
    """Bulk Program Member Extract: one program or up to ten; fields of memberships and of their leads."""
    store, names, chosen = instance.store, _fields(body), body["filter"]
    programs = _programs(instance, chosen)
    updated = _range(instance, chosen, "updatedAt")
    statuses = chosen.get("statusNames")
    if statuses is not None and not isinstance(statuses, list):
        raise ApiError("1003", "Filter 'statusNames' must be a list")
    for name in names:
        if name not in store.member_fields and name not in store.lead_fields:
            raise ApiError("1003", f"Invalid field '{name}'")
    several = "programIds" in chosen
    columns = ["programId", *(name for name in names if name != "programId")] if several else names
    cadence = {"normal": "norm", "paused": "paus"}.get(str(chosen.get("nurtureCadence")))

    def value(program: Program, lead_id: int, name: str) -> Any:
        if name in store.member_fields:
            return member_value(store, program, lead_id, name)
        return lead_value(store.leads[lead_id], name)

    def rows() -> Iterator[list[Any]]:
        for program in programs:
            if chosen.get("isExhausted") is True or (
                cadence is not None and cadence != ("norm" if program.type == "Engagement" else None)
            ):
                continue
            for lead_id, member in sorted(store.members[program.id].items()):
                if (
                    store.is_visible(lead_id)
                    and (statuses is None or member.status in statuses)
                    and _within(member.updated_at, updated)
                ):
                    yield [value(program, lead_id, name) for name in columns]

    return columns, rows


def _programs(instance: Instance, chosen: Json) -> list[Program]:
    unknown = sorted(set(chosen) - _MEMBER_FILTERS)
    if unknown:
        raise ApiError("1003", f"Invalid filter '{unknown[0]}'")
    if ("programId" in chosen) == ("programIds" in chosen):
        raise ApiError("1003", "Exactly one filter of programId and programIds is needed")
    ids = chosen["programIds"] if "programIds" in chosen else [chosen["programId"]]
    if not isinstance(ids, list) or not 1 <= len(ids) <= _MOST_PROGRAMS:
        raise ApiError("1003", f"Filter 'programIds' takes 1 to {_MOST_PROGRAMS} ids")
    found = []
    for number in ids:
        program = instance.store.programs.get(number) if isinstance(number, int) else None
        if program is None:
            raise ApiError(instance.settings.unknown_program_code, f"Program '{number}' not found")
        found.append(program)
    return found


def select_activities(instance: Instance, body: Json) -> Selection:
    """Bulk Activity Extract: `createdAt`, and optionally types and ids of what they were about."""
    store, chosen = instance.store, body["filter"]
    unknown = sorted(set(chosen) - {"createdAt", "activityTypeIds", "primaryAttributeValueIds"})
    if unknown:
        raise ApiError("1003", f"Invalid filter '{unknown[0]}'")
    created = _range(instance, chosen, "createdAt")
    if created is None:
        raise ApiError("1003", "Filter 'createdAt' is needed")
    kinds = _numbers(chosen, "activityTypeIds")
    primary_ids = _numbers(chosen, "primaryAttributeValueIds")
    if primary_ids is not None and (kinds is None or len(kinds) != 1 or len(primary_ids) > _MOST_PRIMARY_IDS):
        raise ApiError("1003", "Filter 'primaryAttributeValueIds' takes up to 50 ids, with one activity type")
    names = body.get("fields") or list(_ACTIVITY_COLUMNS)
    if not isinstance(names, list) or not set(names) <= set(_ACTIVITY_COLUMNS):
        raise ApiError("1003", "Invalid value for parameter 'fields'")
    every = frozenset(kind.id for kind in TYPES)

    def rows() -> Iterator[list[Any]]:
        log = store.activities
        for _, activity in log.matching(log.first_since(created[0]), kinds or every, primary_ids=primary_ids):
            if _within(activity.at, created):
                row = _activity_row(activity)
                yield [row[name] for name in names]

    return names, rows


def _numbers(chosen: Json, name: str) -> frozenset[int] | None:
    value = chosen.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(number, int) for number in value):
        raise ApiError("1003", f"Filter '{name}' must be a list of numbers")
    return frozenset(value)


def _activity_row(activity: Activity) -> Json:
    return {
        "marketoGUID": str(activity.id),
        "leadId": activity.lead_id,
        "activityDate": lead_database_time(activity.at),
        "activityTypeId": activity.kind,
        "campaignId": None,
        "primaryAttributeValueId": activity.primary_id,
        "primaryAttributeValue": activity.primary_value,
        "attributes": json.dumps(activity.attributes, separators=(",", ":")),
    }
