"""Get Program Members, by lead id, by a searchable field, or by the time of the last change; Get Leads by Program."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .errors import ApiError
from .leads import field_names, lead_row, page_start, page_token
from .members import find_program
from .request import Answer, moment
from .settings import MAX_ROWS_PER_CALL
from .store import fold
from .values import member_value

if TYPE_CHECKING:
    from .catalogue import Program
    from .instance import Instance
    from .request import Request
    from .store import Json

_DEFAULT_FIELDS = ("acquiredBy", "leadId", "membershipDate", "programId", "reachedSuccess")
_LONGEST_RANGE_SECONDS = 7 * 86_400


def query(instance: Instance, request: Request) -> Answer:
    """Get Program Members; `statusName` comes only if asked for."""
    store, settings = instance.store, instance.settings
    program = find_program(instance, request.path_id())
    members = store.members[program.id]
    filter_type = request.required("filterType")
    field = store.member_fields.get(filter_type)
    if field is None:
        raise ApiError("1006", f"Field '{filter_type}' not found")
    if not field.searchable and filter_type != "updatedAt":
        raise ApiError("1011", f"Filter type '{filter_type}' is not supported")
    names = request.names("fields", _DEFAULT_FIELDS)
    for name in names:
        if name not in store.member_fields:
            raise ApiError("1006", f"Field '{name}' not found")
    if filter_type != "leadId" and len(members) > settings.member_query_members:
        raise ApiError("1003", f"Program has more than {settings.member_query_members} members")
    batch = request.number("batchSize", MAX_ROWS_PER_CALL, MAX_ROWS_PER_CALL)
    with store.lock:
        found = [number for number in _matching(instance, request, program, filter_type) if store.is_visible(number)]
        start = page_start(request)
        more = start + batch < len(found)
        rows = [
            {"seq": seq} | {name: member_value(store, program, lead_id, name) for name in names}
            for seq, lead_id in enumerate(found[start : start + batch])
        ]
    return Answer(rows, more=more, next_page_token=page_token(start + batch) if more else None)


def _matching(instance: Instance, request: Request, program: Program, filter_type: str) -> list[int]:
    store = instance.store
    members = store.members[program.id]
    if filter_type == "updatedAt":
        start, end = _time_range(request)
        return sorted(lead_id for lead_id, m in members.items() if start <= int(m.updated_at) <= end)
    values = request.filter_values()
    if filter_type == "leadId":
        if request.log_keys:
            request.call.keys = tuple(f"{program.id}:{value}" for value in values)
        if not all(value.isascii() and value.isdigit() for value in values):
            raise ApiError("1003", "Invalid value for filter type 'leadId'")
        return sorted({int(value) for value in values if int(value) in members})
    wanted = {value.lower() for value in values}
    return sorted(lead_id for lead_id in members if fold(member_value(store, program, lead_id, filter_type)) in wanted)


def _time_range(request: Request) -> tuple[float, float]:
    start, end = moment(request.required("startAt")), moment(request.required("endAt"))
    if end - start > _LONGEST_RANGE_SECONDS:
        raise ApiError("1003", "The range from 'startAt' to 'endAt' is longer than 7 days")
    return start, end


def leads_of_program(instance: Instance, request: Request) -> Answer:
    """Get Leads by Program Id: everybody in a program, with the membership beside the fields of the lead."""
    store = instance.store
    program = find_program(instance, request.path_id())
    names = field_names(instance, request)
    batch = request.number("batchSize", MAX_ROWS_PER_CALL, MAX_ROWS_PER_CALL)
    start = page_start(request)
    found = [number for number in sorted(store.members[program.id]) if store.is_visible(number)]
    rows = [
        lead_row(store.leads[number], names) | {"membership": _membership(instance, program, number)}
        for number in found[start : start + batch]
    ]
    more = start + batch < len(found)
    return Answer(rows, more=True if more else None, next_page_token=page_token(start + batch) if more else None)


def _membership(instance: Instance, program: Program, lead_id: int) -> Json:
    names = ("acquiredBy", "isExhausted", "membershipDate", "nurtureCadence", "reachedSuccess")
    shown: Json = {name: member_value(instance.store, program, lead_id, name) for name in names}
    shown["progressionStatus"] = member_value(instance.store, program, lead_id, "statusName")
    return {name: value for name, value in shown.items() if value is not None}
