"""What the sandbox's page shows, as JSON: counts, the people behind each of them, one person, faults in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .clock import lead_database_time
from .state import StateView
from .values import member_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .catalogue import Program
    from .faults import Fault
    from .instance import Instance
    from .store import Json, Lead

PEOPLE_PER_PAGE: Final = 100
_LATEST_CALLS: Final = 30
_LATEST_ACTIVITIES: Final = 20
_LATEST_JOBS: Final = 10
_SEARCHED: Final = ("email", "firstName", "lastName", "company")


def summary(instance: Instance) -> dict[str, Any]:
    """Programs with members by status, calls, limits, jobs, faults."""
    state, calls, settings = StateView(instance), instance.calls, instance.settings
    counts = state.status_counts()
    return {
        "leads": state.lead_count(),
        "programs": [_program(state, program, counts.get(program.id, {})) for program in state.programs()],
        "calls": calls.count(),
        "counters": [{"endpoint": endpoint, "endings": endings} for endpoint, endings in calls.counters().items()],
        "latest": [_call(call) for call in reversed(calls.all()[-_LATEST_CALLS:])],
        "usage": instance.limits.usage(1)[0],
        "daily_calls": settings.daily_calls,
        "most_in_flight": instance.limits.most_in_flight,
        "limits": settings.limits,
        "visible_after_seconds": settings.visible_after_seconds,
        "faults": [_fault(fault, left) for fault, left in instance.faults.waiting()],
        "chaos": None if (chaos := instance.faults.chaos()) is None else chaos.rate,
        "held": instance.faults.held(),
        "jobs": len(state.jobs()),
        "exports": len(instance.exports.jobs()),
        "work": _work(instance),
        "client_id": settings.services[0].client_id,
    }


def _program(state: StateView, program: Program, by_status: dict[str, int]) -> Json:
    known = [status.name for status in state.channel(program.channel).statuses if status.step > 0]
    # A member may hold a status that the channel has lost.
    names = known + sorted(set(by_status) - set(known))
    return {
        "id": program.id,
        "name": program.name,
        "type": program.type,
        "channel": program.channel,
        "members": sum(by_status.values()),
        "statuses": [{"name": name, "members": by_status.get(name, 0)} for name in names],
    }


def _call(call: Any) -> Json:
    return {
        "number": call.number,
        "endpoint": call.endpoint,
        "path": call.path,
        "records": call.records,
        "ending": call.code or (str(call.http_status) if call.http_status else "cut"),
        "rows": ", ".join(f"{count} × {code}" for code, count in call.row_codes.items()),
        "fault": call.fault or "",
        "milliseconds": None if call.ended is None else round((call.ended - call.started) * 1000, 1),
    }


def _work(instance: Instance) -> list[Json]:
    """The latest import and extract jobs, newest first of each."""
    imports = [
        {
            "name": f"Import {job.id}",
            "about": f"{job.program.name} · {job.status_name.name}",
            "state": job.state,
            "told": job.message if job.state in {"Complete", "Failed"} else "",
        }
        for job in reversed(instance.imports.jobs()[-_LATEST_JOBS:])
    ]
    extracts = [
        {
            "name": f"Extract {job.id[:8]}",
            "about": job.kind.replace("/", " "),
            "state": job.state,
            "told": f"{job.records} records, {len(job.file)} bytes" if job.state == "Completed" else job.failure,
        }
        for job in reversed(instance.exports.jobs()[-_LATEST_JOBS:])
    ]
    return imports + extracts


def _fault(fault: Fault, left: int | None) -> Json:
    return {"name": fault.name or "a fault", "endpoint": fault.endpoint or "any call", "left": left}


def people(instance: Instance, query: dict[str, str]) -> Json:
    """A page of people, lowest id first.

    Args:
        instance: where they are.
        query: `program` and `status` for members, `text` for a part of name, address or company, `offset`.

    Raises:
        ValueError: a number that is none, or no such program.
    """
    store = instance.store
    text, offset = query.get("text", "").strip().lower(), int(query.get("offset") or 0)
    with store.lock:
        instance.advance()
        found = [row for row in _rows(instance, query) if not text or text in row["searched"]]
    page = found[offset : offset + PEOPLE_PER_PAGE]
    for row in page:
        del row["searched"]
    return {"total": len(found), "offset": offset, "people": page}


def _rows(instance: Instance, query: dict[str, str]) -> Iterator[Json]:
    store = instance.store
    if not query.get("program"):
        for lead_id, lead in sorted(store.leads.items()):
            yield _person(lead) | {"status": "", "since": lead_database_time(store.leads[lead_id].created_at)}
        return
    program = store.programs.get(int(query["program"]))
    if program is None:
        raise ValueError(f"no program {query['program']}")
    wanted = query.get("status", "")
    for lead_id, member in sorted(store.members[program.id].items()):
        if not wanted or member.status == wanted:
            since = lead_database_time(member.updated_at)
            yield _person(store.leads[lead_id]) | {"status": member.status, "since": since}


def _person(lead: Lead) -> Json:
    fields = lead.fields
    name = " ".join(str(fields[part]) for part in ("firstName", "lastName") if part in fields)
    return {
        "id": lead.id,
        "name": name,
        "email": str(fields.get("email", "")),
        "company": str(fields.get("company", "")),
        "searched": " ".join(str(fields.get(part, "")) for part in _SEARCHED).lower() + f" {lead.id}",
    }


def person(instance: Instance, query: dict[str, str]) -> Json:
    """One person: fields, memberships with their fields, the latest activities, newest first.

    Raises:
        ValueError: no such lead.
    """
    store, lead_id = instance.store, int(query.get("id") or 0)
    with store.lock:
        lead = store.leads.get(lead_id)
        if lead is None:
            raise ValueError(f"no lead {lead_id}")
        memberships = [
            {
                "program": f"{program.name} ({program.id})",
                "status": members[lead_id].status,
                "since": lead_database_time(members[lead_id].since),
                "acquired": member_value(store, program, lead_id, "acquiredBy"),
                "fields": members[lead_id].fields or {},
            }
            for program, members in ((store.programs[number], found) for number, found in sorted(store.members.items()))
            if lead_id in members
        ]
        return {
            "id": lead_id,
            "partition": store.partition_name(lead.partition_id),
            "visible": store.is_visible(lead_id),
            "fields": lead.fields,
            "memberships": memberships,
            "activities": [
                {
                    "at": lead_database_time(activity.at),
                    "kind": activity.kind.name.replace("_", " ").capitalize(),
                    "about": activity.primary_value or "",
                    "before": activity.attributes.get("Old Status", activity.attributes.get("Old Value", "")),
                    "after": activity.attributes.get("New Status", activity.attributes.get("New Value", "")),
                }
                for activity in store.activities.latest_of(lead_id, _LATEST_ACTIVITIES)
            ],
        }
