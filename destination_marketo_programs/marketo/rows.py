"""What Marketo says of the single records of a call, matched to the records sent, each exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET, UnsetType

from destination_marketo_programs.marketo.envelope import (
    MisshapenError,
    as_list,
    as_object,
    as_objects,
    code_of,
    number,
    text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.marketo.calls import Reply
    from destination_marketo_programs.marketo.envelope import JsonObject

MAX_ROWS_PER_CALL = 300
MAX_BODY_BYTES = 950_000
"""Marketo refuses bodies over "1 MB" without saying which; decimal, with headroom for the frame of the body."""

ACCEPTED = ("created", "updated")


class RowReply(msgspec.Struct, frozen=True, gc=False):
    """One record's answer.

    Attributes:
        status: `created`, `updated`, or "" if Marketo skipped or failed the record.
        lead_id: the lead, if Marketo named it.
        code, message: the first reason of a record that was not accepted, if one is given.
        request_id: Marketo's id of the call.
        other_lead: the lead that Marketo answered for in place of the one sent, as it may do once two people are
            merged. The record is not accepted then: its person has to be found again.
        before: of a dry run, the member's status before; None for somebody who is not a member.
    """

    status: str
    lead_id: int | None
    code: str | None
    message: str | None
    request_id: str | None
    other_lead: int | None = None
    before: str | UnsetType | None = UNSET


def read_row(row: JsonObject, id_member: str, request_id: str | None) -> RowReply:
    """Read one element of `result`: accepted only if its status says so and no reason speaks against it.

    Raises:
        MisshapenError: a member that decides is of another kind than documented.
    """
    reasons = row.get("reasons") or row.get("reason")
    lead_id, status = row.get(id_member), row.get("status")
    if type(lead_id) is int and status in ACCEPTED and not reasons:
        # Nearly every row, and many of them: the careful way below takes three times as long.
        return RowReply(status, lead_id, None, None, request_id)
    lead_id, status = number(row, id_member), text(row, "status")
    if status in ACCEPTED and not reasons:
        return RowReply(status, lead_id, None, None, request_id)
    # The documentation has a list named `reasons`, the specification an object named `reason`.
    listed = [reasons] if isinstance(reasons, dict) else as_list(reasons, "reasons")
    first = as_object(listed[0], "reasons[]") if listed else {}
    message = first.get("message")
    return RowReply("", lead_id, code_of(first.get("code")), message if isinstance(message, str) else None, request_id)


def by_index(reply: Reply, sent: int, id_member: str, lead_ids: Sequence[int] = ()) -> list[RowReply]:
    """Answers in the order of the input.

    Args:
        reply: the answer.
        sent: number of records.
        id_member: name of the member that holds the lead's id.
        lead_ids: the leads that the records name, one for each; empty if they are looked up by something else.

    Raises:
        MisshapenError: there is not exactly one answer for each record sent.
    """
    rows = _as_many(reply, sent)
    replies = [read_row(row, id_member, reply.request_id) for row in rows]
    return _for_leads(replies, lead_ids) if lead_ids else replies


def by_seq(reply: Reply, lead_ids: Sequence[int]) -> list[RowReply]:
    """Answers of a member endpoint in the order of the input, matched by `seq`.

    Rows without any `seq` are matched by order.

    Raises:
        MisshapenError: there is not exactly one answer for each record sent.
    """
    rows = _as_many(reply, len(lead_ids))
    seqs = [number(row, "seq") for row in rows]
    in_order = list(range(len(lead_ids)))
    if seqs != in_order and any(seq is not None for seq in seqs):
        places = dict(zip(seqs, rows, strict=True))
        if places.keys() != set(in_order):
            raise MisshapenError("`seq` does not number the records sent")
        rows = [places[index] for index in in_order]
    return _for_leads([read_row(row, "leadId", reply.request_id) for row in rows], lead_ids)


def _as_many(reply: Reply, sent: int) -> list[JsonObject]:
    if len(reply.result) != sent:
        raise MisshapenError(f"{len(reply.result)} answers for {sent} records")
    return as_objects(reply.result, "result")


def _for_leads(replies: list[RowReply], lead_ids: Sequence[int]) -> list[RowReply]:
    """Answers as those of the leads sent. One that names a lead which was not sent is of a person that was merged."""
    if all(row.lead_id in (None, lead_id) for row, lead_id in zip(replies, lead_ids, strict=True)):
        return replies
    sent = set(lead_ids)
    others = [
        row.lead_id is not None and row.lead_id != lead_id for row, lead_id in zip(replies, lead_ids, strict=True)
    ]
    if (all(others) and len(others) > 1) or any(
        other and row.lead_id in sent for row, other in zip(replies, others, strict=True)
    ):
        # Not single people that were merged: the answers are in disorder, or those of another call.
        raise MisshapenError("the answers name other leads than the records sent")
    return [
        RowReply("", None, row.code, row.message, row.request_id, row.lead_id) if other else row
        for row, other in zip(replies, others, strict=True)
    ]
