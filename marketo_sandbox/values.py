"""Values of leads and memberships as Marketo shows them, whoever asks: queries, extracts, the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .clock import lead_database_time

if TYPE_CHECKING:
    from .catalogue import Program
    from .store import Lead, Store


def lead_value(lead: Lead, name: str) -> Any:
    """A field of a lead; None if it is blank."""
    match name:
        case "id":
            return lead.id
        case "createdAt":
            return lead_database_time(lead.created_at)
        case "updatedAt":
            return lead_database_time(lead.updated_at)
        case "leadPartitionId":
            return lead.partition_id
        case _:
            return lead.fields.get(name)


def member_value(store: Store, program: Program, lead_id: int, name: str) -> Any:  # noqa: PLR0911 - one per field
    """A field of a membership; None if it is blank.

    Raises:
        KeyError: no such member.
    """
    member = store.members[program.id][lead_id]
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
            return store.is_acquired_by(program, lead_id)
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
