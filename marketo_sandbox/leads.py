"""Lead database: describe, sync, query, partitions."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING

import msgspec

from .catalogue import DEFAULT_PARTITION
from .errors import ApiError, skipped
from .request import Answer
from .settings import MAX_ROWS_PER_CALL
from .store import Lead, fold
from .values import lead_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from .instance import Instance
    from .request import Request
    from .store import Json

_SYNC_MEMBERS = frozenset({"action", "lookupField", "partitionName", "asyncProcessing", "input"})
_ACTIONS = frozenset({"createOrUpdate", "createOnly", "updateOnly", "createDuplicate"})
_DEFAULT_FIELDS = ("id", "email", "updatedAt", "createdAt", "firstName", "lastName")
_LOOKUP_FIELDS_READ_ONLY = frozenset({"id", "cookies", "sfdcLeadId", "sfdcContactId", "sfdcAccountId"})
"""Lookup fields that a write may carry although Describe calls them read only."""


def describe(instance: Instance, _request: Request) -> Answer:
    """Describe Lead: `rest.readOnly` says what a write may name."""
    fields = []
    for number, field in enumerate(instance.store.lead_fields, start=2):
        row: Json = {"id": number, "displayName": field.display_name, "dataType": field.data_type}
        if field.length is not None:
            row["length"] = field.length
        row["rest"] = {"name": field.name, "readOnly": not field.updateable}
        row["soap"] = {"name": field.name[:1].upper() + field.name[1:], "readOnly": not field.updateable}
        fields.append(row)
    return Answer(fields)


def describe2(instance: Instance, _request: Request) -> Answer:
    """Describe Lead 2: the valid filter types, and the fields."""
    table = instance.store.lead_fields
    fields = [field.described() for field in table]
    searchable = [[name] for name in table.searchable_names()]
    return Answer([{"name": "API Lead", "searchableFields": searchable, "fields": fields}])


def partitions(instance: Instance, request: Request) -> Answer:
    """The partitions that the API user reaches."""
    rows = [
        {"id": number, "name": name, "description": f"Partition {name}"}
        for name, number in instance.store.partitions.items()
        if reaches(request, name)
    ]
    return Answer(rows)


def reaches(request: Request, partition: str) -> bool:
    """Whether the API user has access to a partition."""
    return request.service.partitions is None or partition in request.service.partitions


class _Sync(msgspec.Struct):
    """A Sync Leads call, understood."""

    action: str
    lookup_field: str
    partition_id: int
    partition_named: bool
    rows: list[Json]
    refusal: Json | None


def sync(instance: Instance, request: Request) -> Callable[[], Answer]:
    """Sync Leads. Leads are looked up when the call starts and written when it ends.

    That gap is Marketo's documented race: two calls with the same new email that overlap both find nobody and
    both create a lead.
    """
    plan = _read_sync(instance, request)
    with instance.store.lock:
        decisions = _decide_all(instance, request, plan)
    if 0 in decisions:
        request.work_seconds = instance.settings.create_seconds

    def commit() -> Answer:
        with instance.store.lock:
            result = _apply_all(instance, plan, decisions)
        request.note_codes(result)
        return Answer(result)

    return commit


def _read_sync(instance: Instance, request: Request) -> _Sync:
    store = instance.store
    body = request.json_object(_SYNC_MEMBERS)
    rows = request.rows(body)
    action = request.text(body, "action", "createOrUpdate")
    lookup_field = request.text(body, "lookupField", "email")
    partition = request.text(body, "partitionName")
    if action not in _ACTIONS:
        raise ApiError("1003", f"Invalid value for parameter 'action': '{action}'")
    if not isinstance(body.get("asyncProcessing", False), bool):
        raise ApiError("1001", "Invalid value for 'asyncProcessing'. Required of type 'boolean'")
    assert lookup_field is not None  # noqa: S101 - has a default; for the type checker
    field = store.lead_fields.get(lookup_field)
    if field is None:
        raise ApiError("1006", f"Field '{lookup_field}' not found")
    if not field.searchable or lookup_field == "leadPartitionId":
        raise ApiError("1011", f"Lookup field '{lookup_field}' is not supported")
    if partition and action not in {"createOrUpdate", "createOnly"}:
        raise ApiError("1003", f"Parameter 'partitionName' is not supported with action '{action}'")
    refusal = None
    if partition and (partition not in store.partitions or not reaches(request, partition)):
        refusal = skipped("1008", f"Access denied for partition '{partition}'")
    elif not partition and instance.settings.partition_required:
        refusal = skipped("1009", "Partition name is required")
    elif not partition and not reaches(request, DEFAULT_PARTITION):
        refusal = skipped("1008", f"Access denied for partition '{DEFAULT_PARTITION}'")
    partition_id = store.partitions.get(partition or DEFAULT_PARTITION, 0)
    if request.log_keys:
        request.call.keys = tuple(
            {fold(row[lookup_field]) for row in rows if row.get(lookup_field) not in {None, ""}}
            if all(_hashable(row.get(lookup_field)) for row in rows)
            else ()
        )
    return _Sync(action, lookup_field, partition_id, bool(partition), rows, refusal)


def _hashable(value: object) -> bool:
    return not isinstance(value, (list, dict))


def _decide_all(instance: Instance, request: Request, plan: _Sync) -> list[int | Json]:
    """Per row: the lead id to update, 0 to create one, or the finished row that refuses it."""
    store = instance.store
    lookup_field, row_fault = plan.lookup_field, request.fault.row
    index = {} if lookup_field == "id" else store.index(lookup_field)
    ignored = lookup_field if lookup_field in _LOOKUP_FIELDS_READ_ONLY else ""
    check = store.lead_fields.checker(ignored, instance.settings.check_values)
    # Nothing but the key decides: the case of nearly all calls, worth a short way.
    by_key_alone = (
        plan.action == "createOrUpdate"
        and not plan.partition_named
        and request.service.partitions is None
        and not instance.settings.refuse_company_updates
        and lookup_field != "id"
    )
    decisions: list[int | Json] = []
    for position, row in enumerate(plan.rows):
        if row_fault is not None and row_fault.matches(position, row):
            refused = skipped(row_fault.code, row_fault.message)
            if row_fault.without_status:
                del refused["status"]
            decisions.append(refused)
            continue
        if "id" in row and (plan.action != "updateOnly" or lookup_field != "id"):
            decisions.append(skipped("1003", "Field 'id' is allowed with action 'updateOnly' only"))
            continue
        problem = check(row)
        if problem is not None:
            decisions.append(skipped(*problem))
            continue
        if plan.action == "createDuplicate":
            decisions.append(plan.refusal or 0)
            continue
        value = row.get(lookup_field)
        if value is None or value == "":
            decisions.append(skipped("1003", f"Value for lookup field '{lookup_field}' not found"))
            continue
        found = store.find("id", value) if lookup_field == "id" else index.get(str(value).lower())
        if found is not None and not instance.settings.sync_sees_new_leads:
            ids = [found] if isinstance(found, int) else found
            found = [lead_id for lead_id in ids if store.is_visible(lead_id)]
        if isinstance(found, list):
            if len(found) > 1:
                decisions.append(skipped("1007"))
                continue
            found = found[0] if found else None
        if by_key_alone:
            decisions.append(found or plan.refusal or 0)
        else:
            decisions.append(_decide(instance, request, plan, row, found))
    return decisions


def _decide(instance: Instance, request: Request, plan: _Sync, row: Json, found: int | None) -> int | Json:
    """What happens to a row whose key fits one lead, or none."""
    store = instance.store
    if found is None:
        if plan.action == "updateOnly" or plan.lookup_field == "id":
            return skipped("1004")
        return plan.refusal or 0
    if plan.action == "createOnly":
        return skipped("1005")
    lead = store.leads[found]
    if request.service.partitions is not None:
        name = store.partition_name(lead.partition_id)
        if name not in request.service.partitions:
            return skipped("1008", f"Access denied for partition '{name}'")
    if plan.partition_named:
        if plan.refusal is not None:
            return plan.refusal
        if lead.partition_id != plan.partition_id:
            return skipped("1010", "Record already exists in another partition")
    if instance.settings.refuse_company_updates and store.lead_fields.has_company_field(row):
        return skipped("1021")
    return found


def _apply_all(instance: Instance, plan: _Sync, decisions: list[int | Json]) -> list[Json]:
    store, at = instance.store, instance.clock.now()
    update, leads = store.update_lead, store.leads
    unseen = instance.settings.visible_after_seconds
    result: list[Json] = []
    for row, decision in zip(plan.rows, decisions, strict=True):
        if isinstance(decision, dict):
            result.append(decision)
        elif decision == 0:
            lead_id = store.insert_lead(row, plan.partition_id, at, unseen_seconds=unseen)
            result.append({"id": lead_id, "status": "created"})
        else:
            lead = leads.get(decision)
            if lead is None:  # removed while the call was under way
                result.append(skipped("1004"))
                continue
            row.pop("id", None)
            update(lead, row, at)
            result.append({"id": decision, "status": "updated"})
    return result


def query(instance: Instance, request: Request) -> Answer:
    """Get Leads by Filter Type, with paging."""
    store = instance.store
    filter_type = request.required("filterType")
    field = store.lead_fields.get(filter_type)
    if field is None:
        raise ApiError("1006", f"Field '{filter_type}' not found")
    if not field.searchable:
        raise ApiError("1011", f"Filter type '{filter_type}' is not supported")
    values = request.filter_values()
    names = field_names(instance, request)
    batch = request.number("batchSize", MAX_ROWS_PER_CALL, MAX_ROWS_PER_CALL)
    if request.log_keys:
        request.call.keys = tuple(fold(value) for value in values)
    ids = {lead_id for value in values for lead_id in store.find(filter_type, value)}
    found = [store.leads[lead_id] for lead_id in sorted(ids) if store.is_visible(lead_id)]
    if request.service.partitions is not None:
        found = [lead for lead in found if reaches(request, store.partition_name(lead.partition_id))]
    if len(found) > instance.settings.query_matches:
        raise ApiError("1003", "Too many results match the filter")
    start = page_start(request)
    page = found[start : start + batch]
    more = start + batch < len(found)
    token = page_token(start + batch) if more else None
    return Answer([lead_row(lead, names) for lead in page], more=True if more else None, next_page_token=token)


def get_by_id(instance: Instance, request: Request) -> Answer:
    """Get Lead by Id; a lead that is not there is a 1004 for the whole call."""
    names = field_names(instance, request)
    lead_id, store = request.path_id(), instance.store
    request.call.records = 1
    if not store.is_visible(lead_id):
        raise ApiError("1004", f"Lead '{lead_id}' not found")
    lead = store.leads[lead_id]
    if not reaches(request, store.partition_name(lead.partition_id)):
        raise ApiError("1004", f"Lead '{lead_id}' not found")
    return Answer([lead_row(lead, names)])


def field_names(instance: Instance, request: Request) -> list[str]:
    """The `fields` of a query, or the default ones.

    Raises:
        ApiError: 1006 for one that no lead has.
    """
    names = request.names("fields", _DEFAULT_FIELDS)
    for name in names:
        if name not in instance.store.lead_fields:
            raise ApiError("1006", f"Field '{name}' not found")
    return names


def lead_row(lead: Lead, names: list[str]) -> Json:
    """The asked-for fields, null where blank; `id` always."""
    row: Json = {"id": lead.id}
    for name in names:
        row[name] = lead_value(lead, name)
    return row


def update_partitions(instance: Instance, request: Request) -> Callable[[], Answer]:
    """Move leads to another partition."""
    rows = request.rows(request.json_object(frozenset({"input"})))

    def commit() -> Answer:
        with instance.store.lock:
            result = [_move(instance, request, row) for row in rows]
        request.note_codes(result)
        return Answer(result)

    return commit


def _move(instance: Instance, request: Request, row: Json) -> Json:
    store = instance.store
    lead = store.leads.get(row.get("id", 0))
    name = row.get("partitionName")
    if lead is None:
        return skipped("1004")
    if name not in store.partitions or not reaches(request, name):
        return skipped("1008", f"Access denied for partition '{name}'")
    lead.partition_id = store.partitions[name]
    return {"id": lead.id, "status": "updated"}


_TOKEN = re.compile(r"page:(\d+)")


def page_token(start: int) -> str:
    """An opaque `nextPageToken` for the row to go on with."""
    return base64.b32encode(f"page:{start}".encode()).decode()


def page_start(request: Request) -> int:
    """The row that the call's `nextPageToken` stands for; 0 without one.

    Raises:
        ApiError: 1003 for a token that this sandbox never gave.
    """
    token = request.query.get("nextPageToken", "")
    if not token:
        return 0
    try:
        match = _TOKEN.fullmatch(base64.b32decode(token).decode())
    except (binascii.Error, UnicodeDecodeError):
        match = None
    if match is None:
        raise ApiError("1003", "Invalid nextPageToken")
    return int(match[1])
