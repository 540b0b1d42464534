"""What Marketo says of the single records of a call, matched to the records sent, each exactly once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.marketo.client import Reply

ACCEPTED = ("created", "updated")
TRIES_FOR_A_FITTING_ANSWER = 3
"""Answers that leave out, repeat or confuse records are asked for again this often, where that is harmless."""


class RowReply(msgspec.Struct, frozen=True, gc=False):
    """One record's answer.

    Attributes:
        status: `created`, `updated`, or "" where Marketo skipped or failed the record.
        lead_id: the lead, where Marketo named it.
        code, message: the first reason of a record that was not accepted, where one is given.
        request_id: Marketo's id of the call.
        before: of a dry run, the member's status before, None for somebody who is not a member.
    """

    status: str
    lead_id: int | None
    code: str | None
    message: str | None
    request_id: str | None
    before: str | UnsetType | None = UNSET


def read_row(row: Any, id_member: str, request_id: str | None) -> RowReply:
    """Read one element of `result`: accepted only if its status says so and no reason speaks against it."""
    if not isinstance(row, dict):
        return RowReply("", None, None, None, request_id)
    lead_id = row.get(id_member)
    lead_id = lead_id if type(lead_id) is int else None  # a bool is an int, and no lead
    status = row.get("status")
    reasons = row.get("reasons") or row.get("reason")
    if status in ACCEPTED and not reasons:
        return RowReply(status, lead_id, None, None, request_id)
    first = reasons[0] if isinstance(reasons, list) and reasons else reasons
    if not isinstance(first, dict):
        return RowReply("", lead_id, None, None, request_id)
    code, message = first.get("code"), first.get("message")
    return RowReply(
        "",
        lead_id,
        None if code is None else str(code),
        message if isinstance(message, str) else None,
        request_id,
    )


def by_index(reply: Reply, sent: int, id_member: str) -> list[RowReply] | None:
    """Answers in the order of the input; None unless there is exactly one for each record sent."""
    if len(reply.result) != sent:
        return None
    return [read_row(row, id_member, reply.request_id) for row in reply.result]


def by_seq(reply: Reply, lead_ids: Sequence[int]) -> list[RowReply] | None:
    """Answers of a member endpoint in the order of the input, matched by `seq`.

    Rows without any `seq` are matched by order where their number fits. None unless every record sent has exactly
    one answer, and no answer names another lead than the one at its place.
    """
    rows = reply.result
    if len(rows) != len(lead_ids):
        return None
    seqs = [row.get("seq") if isinstance(row, dict) else None for row in rows]
    in_order = list(range(len(lead_ids)))
    if seqs == in_order or all(seq is None for seq in seqs):
        ordered = list(rows)
    else:
        places = {seq: row for seq, row in zip(seqs, rows, strict=True) if isinstance(seq, int)}
        if places.keys() != set(in_order):
            return None
        ordered = [places[index] for index in in_order]
    replies = [read_row(row, "leadId", reply.request_id) for row in ordered]
    for lead_id, row_reply in zip(lead_ids, replies, strict=True):
        if row_reply.lead_id is not None and row_reply.lead_id != lead_id:
            return None
    return replies
