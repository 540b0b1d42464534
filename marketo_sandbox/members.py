"""Program members: describe, status, data, delete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .catalogue import NOT_IN_PROGRAM, Program, Status
from .clock import lead_database_time
from .errors import ApiError, skipped_member
from .leads import reaches
from .request import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .instance import Instance
    from .request import Request
    from .store import Json


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


def _resolve(instance: Instance, request: Request, seq: int, row: Json) -> int | Json:
    """The lead that a row is about; or the finished row that refuses it.

    In this order: a scripted fault, 1002, 1001, 1004, 1008. A lead that was merged into another is 1004, or stands for
    that other one, as set.
    """
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
    if instance.settings.merged_leads == "winner":
        lead_id = store.merged_into(lead_id) or lead_id
    if not store.is_visible(lead_id):
        return skipped_member(seq, "1004")
    if request.service.partitions is not None:
        name = store.partition_name(store.leads[lead_id].partition_id)
        if not reaches(request, name):
            return skipped_member(seq, "1008", f"Access denied for partition '{name}'")
    return lead_id


def _with_email(instance: Instance, row: Json) -> Json:
    lead_id = row.get("leadId")
    lead = instance.store.leads.get(lead_id) if isinstance(lead_id, int) else None
    return row if lead is None else row | {"email": lead.fields.get("email")}


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
                lead_id = _resolve(instance, request, seq, row)
                if isinstance(lead_id, int) and len(row) != 1:
                    lead_id = skipped_member(seq, "1003", "Only 'leadId' is allowed in a record")
                if not isinstance(lead_id, int):
                    result.append(lead_id)
                    continue
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
    lead_id = _resolve(instance, request, seq, row)
    if not isinstance(lead_id, int):
        return lead_id
    if lead_id not in store.members[program.id]:
        return skipped_member(seq, "1013")
    problem = check(row)
    if problem is not None:
        return skipped_member(seq, *problem)
    changes = {name: value for name, value in row.items() if name != "leadId"}
    store.write_member_fields(program, lead_id, changes, instance.clock.now())
    return {"seq": seq, "status": "updated", "leadId": lead_id}


def delete(instance: Instance, request: Request) -> Callable[[], Answer]:
    """Delete Program Members; its 1037 means "not in program"."""
    rows = request.rows(request.json_object(frozenset({"input"})))
    program = find_program(instance, request.path_id())
    _note_keys(request, program, rows)

    def commit() -> Answer:
        store, at = instance.store, instance.clock.now()
        result = []
        with store.lock:
            for seq, row in enumerate(rows):
                lead_id = _resolve(instance, request, seq, row)
                if isinstance(lead_id, int) and not store.drop_member(program, lead_id, at):
                    lead_id = skipped_member(seq, "1037", "Lead not in program")
                if isinstance(lead_id, int):
                    result.append({"seq": seq, "status": "deleted", "leadId": lead_id})
                else:
                    result.append(lead_id)
        request.note_codes(result)
        return Answer(result)

    return commit
