"""Program members: describe, query, status, data, delete."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .catalogue import NOT_IN_PROGRAM, Program, Status
from .clock import lead_database_time
from .errors import ApiError, skipped_member
from .leads import has_lead, page_start, page_token, reaches
from .request import Answer
from .settings import MAX_ROWS_PER_CALL
from .store import Json, Member, fold

if TYPE_CHECKING:
    from collections.abc import Callable

    from .instance import Instance
    from .request import Request

_DEFAULT_FIELDS = ("acquiredBy", "leadId", "membershipDate", "programId", "reachedSuccess")
_LONGEST_RANGE = timedelta(days=7)


def describe(instance: Instance, _request: Request) -> Answer:
    """Describe Program Member."""
    table = instance.store.member_fields
    fields = [field.described() for field in table]
    at = lead_database_time(instance.store.started_at)
    return Answer(
        [
            {
                "name": "API Program Member",
                "description": "API Program Member Map",
                "createdAt": at,
                "updatedAt": at,
                "dedupeFields": ["leadId", "programId"],
                "searchableFields": [[name] for name in table.searchable_names()],
                "fields": fields,
            }
        ]
    )


def find_program(instance: Instance, program_id: int) -> Program:
    """A program of this instance.

    Raises:
        ApiError: with the code set for unknown programs.
    """
    program = instance.store.programs.get(program_id)
    if program is None:
        raise ApiError(instance.settings.unknown_program_code, f"Program '{program_id}' not found")
    return program


def find_status(instance: Instance, program: Program, name: str) -> Status:
    """A status that a member of this program can be set to.

    Raises:
        ApiError: 1025 for any other, "Not in Program" included.
    """
    status = instance.store.channel_of(program).status(name)
    refused = status is None or (status.hidden and instance.settings.refuse_hidden_statuses)
    if status is None or refused or name == NOT_IN_PROGRAM:
        raise ApiError("1025", f"Program status '{name}' not found")
    return status


def _row_refusal(instance: Instance, request: Request, seq: int, row: Json) -> Json | None:
    """What refuses a row before its membership is looked at: a scripted fault, 1002, 1001, 1004, 1008."""
    store, fault = instance.store, request.fault.row
    lead_id = row.get("leadId")
    if fault is not None and fault.matches(seq, _with_email(instance, row)):
        refused = skipped_member(seq, fault.code, fault.message)
        if fault.without_status:
            del refused["status"]
        return refused
    if lead_id is None:
        return skipped_member(seq, "1002", "Missing value for required parameter 'leadId'")
    if not isinstance(lead_id, int) or isinstance(lead_id, bool):
        return skipped_member(seq, "1001", f"Invalid value '{lead_id}'. Required of type 'integer'")
    lead = store.leads.get(lead_id)
    if lead is None:
        return skipped_member(seq, "1004")
    if request.service.partitions is not None:
        name = store.partition_name(lead.partition_id)
        if not reaches(request, name):
            return skipped_member(seq, "1008", f"Access denied for partition '{name}'")
    return None


def _with_email(instance: Instance, row: Json) -> Json:
    lead_id = row.get("leadId")
    if not has_lead(instance.store.leads, lead_id):
        return row
    return row | {"email": instance.store.leads[row["leadId"]].fields.get("email")}


def _note_keys(request: Request, program: Program, rows: list[Json]) -> None:
    if request.log_keys:
        request.call.keys = tuple(f"{program.id}:{row.get('leadId')}" for row in rows)


def sync_status(instance: Instance, request: Request) -> Callable[[], Answer]:
    """Sync Program Member Status: one program, one status, forward only."""
    body = request.json_object(frozenset({"statusName", "input"}))
    rows = request.rows(body)
    name = request.text(body, "statusName")
    if not name:
        raise ApiError("1002", "Missing value for required parameter 'statusName'")
    program = find_program(instance, request.path_id())
    status = find_status(instance, program, name)
    _note_keys(request, program, rows)

    def commit() -> Answer:
        store, at = instance.store, instance.clock.now()
        result: list[Json] = []
        with store.lock:
            for seq, row in enumerate(rows):
                refused = _row_refusal(instance, request, seq, row)
                if refused is None and len(row) != 1:
                    refused = skipped_member(seq, "1003", "Only 'leadId' is allowed in a record")
                if refused is not None:
                    result.append(refused)
                    continue
                lead_id = row["leadId"]
                outcome = store.put_member(program, lead_id, status, at)
                if outcome == "skipped":
                    result.append(skipped_member(seq, "1037"))
                else:
                    result.append({"seq": seq, "status": outcome, "leadId": lead_id})
        request.note_codes(result)
        return Answer(result)

    return commit


def sync_data(instance: Instance, request: Request) -> Callable[[], Answer]:
    """Sync Program Member Data: custom fields of existing members."""
    rows = request.rows(request.json_object(frozenset({"input"})))
    program = find_program(instance, request.path_id())
    _note_keys(request, program, rows)

    def commit() -> Answer:
        with instance.store.lock:
            check = instance.store.member_fields.checker("leadId", instance.settings.check_values)
            result = [_write_data(instance, request, program, seq, row, check) for seq, row in enumerate(rows)]
        request.note_codes(result)
        return Answer(result)

    return commit


def _write_data(
    instance: Instance,
    request: Request,
    program: Program,
    seq: int,
    row: Json,
    check: Callable[[Json], tuple[str, str] | None],
) -> Json:
    store = instance.store
    refused = _row_refusal(instance, request, seq, row)
    if refused is not None:
        return refused
    member = store.members[program.id].get(row["leadId"])
    if member is None:
        return skipped_member(seq, "1013")
    problem = check(row)
    if problem is not None:
        return skipped_member(seq, *problem)
    write_member_fields(member, {name: value for name, value in row.items() if name != "leadId"})
    member.updated_at = instance.clock.now()
    return {"seq": seq, "status": "updated", "leadId": row["leadId"]}


def write_member_fields(member: Member, changes: Json) -> None:
    """Write custom fields of a membership; null and empty text clear one."""
    fields = (member.fields or {}) | changes
    member.fields = {name: value for name, value in fields.items() if value is not None and value != ""} or None


def delete(instance: Instance, request: Request) -> Callable[[], Answer]:
    """Delete Program Members; its 1037 means "not in program"."""
    rows = request.rows(request.json_object(frozenset({"input"})))
    program = find_program(instance, request.path_id())
    _note_keys(request, program, rows)

    def commit() -> Answer:
        members = instance.store.members[program.id]
        result = []
        with instance.store.lock:
            for seq, row in enumerate(rows):
                refused = _row_refusal(instance, request, seq, row)
                if refused is None and members.pop(row["leadId"], None) is None:
                    refused = skipped_member(seq, "1037", "Lead not in program")
                result.append(refused or {"seq": seq, "status": "deleted", "leadId": row["leadId"]})
        request.note_codes(result)
        return Answer(result)

    return commit


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
        found = _matching(request, program, members, filter_type)
        start = page_start(request)
        more = start + batch < len(found)
        rows = [
            {"seq": seq} | {name: _value(program, lead_id, members[lead_id], name) for name in names}
            for seq, lead_id in enumerate(found[start : start + batch])
        ]
    return Answer(rows, more=more, next_page_token=page_token(start + batch) if more else None)


def _matching(request: Request, program: Program, members: dict[int, Member], filter_type: str) -> list[int]:
    if filter_type == "updatedAt":
        start, end = _time_range(request)
        return sorted(lead_id for lead_id, m in members.items() if start <= m.updated_at <= end)
    values = request.filter_values()
    if filter_type == "leadId":
        if request.log_keys:
            request.call.keys = tuple(f"{program.id}:{value}" for value in values)
        if not all(value.isascii() and value.isdigit() for value in values):
            raise ApiError("1003", "Invalid value for filter type 'leadId'")
        return sorted({int(value) for value in values if int(value) in members})
    wanted = {value.lower() for value in values}
    return sorted(
        lead_id for lead_id, member in members.items() if fold(_value(program, lead_id, member, filter_type)) in wanted
    )


def _time_range(request: Request) -> tuple[float, float]:
    try:
        start = datetime.fromisoformat(request.required("startAt"))
        end = datetime.fromisoformat(request.required("endAt"))
    except ValueError:
        raise ApiError("1003", "Invalid date format") from None
    if end - start > _LONGEST_RANGE:
        raise ApiError("1003", "The range from 'startAt' to 'endAt' is longer than 7 days")
    return start.timestamp(), end.timestamp()


def _value(program: Program, lead_id: int, member: Member, name: str) -> Any:  # noqa: PLR0911 - one per field
    match name:
        case "leadId":
            return lead_id
        case "programId":
            return program.id
        case "program":
            return program.name
        case "statusName":
            return member.status
        case "reachedSuccess":
            return member.reached_success_at is not None
        case "reachedSuccessDate":
            at = member.reached_success_at
            return None if at is None else lead_database_time(at)
        case "acquiredBy":
            return member.acquired_by
        case "membershipDate" | "createdAt":
            return lead_database_time(member.since)
        case "updatedAt":
            return lead_database_time(member.updated_at)
        case "isExhausted":
            return False
        case "nurtureCadence":
            return "norm" if program.type == "Engagement" else None
        case _:
            return (member.fields or {}).get(name)
