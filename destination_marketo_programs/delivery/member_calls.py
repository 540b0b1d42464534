"""From lead ids to memberships: status first, fields of the membership second. Runs in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.delivery.send_each import send_each
from destination_marketo_programs.marketo.errors import (
    FIELD_NOT_FOUND,
    OBJECT_NOT_FOUND,
    STATUS_NOT_FOUND,
    ConfigurationFaultError,
    NotFoundError,
    RefusedError,
)
from destination_marketo_programs.marketo.rows import MAX_BODY_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from destination_marketo_programs.delivery.endpoints import PeopleAndMembers
    from destination_marketo_programs.delivery.member_fields import Membership
    from destination_marketo_programs.marketo.rows import RowReply
    from destination_marketo_programs.model import LeadFields

    FieldReplies = list[tuple[Membership, LeadFields, RowReply]]

_encode = msgspec.json.encode


class ProgramGoneError(ConfigurationFaultError):
    """A program that was there when the sync began is not there any more."""

    what = "program not found"

    def __init__(self, program_id: int, cause: NotFoundError | RefusedError) -> None:
        self.program_id = program_id
        super().__init__(cause.endpoint, cause.code, cause.marketo_message, cause.request_id)


class MemberCalls:
    """Writes memberships.

    Args:
        marketo: makes the calls.
    """

    def __init__(self, marketo: PeopleAndMembers) -> None:
        self._marketo = marketo

    def write_status(self, program_id: int, status: str, lead_ids: Sequence[int]) -> list[RowReply]:
        """Set one status in one program; answers in the order of the leads."""
        try:
            replies = send_each(
                lead_ids,
                lambda batch: self._asked(program_id, lambda: self._marketo.sync_status(program_id, status, batch)),
                alike=(STATUS_NOT_FOUND,),
            )
        except NotFoundError as error:
            raise ProgramGoneError(program_id, error) from error
        return [reply for _, reply in replies]

    def write_fields(self, program_id: int, memberships: Sequence[Membership]) -> FieldReplies:
        """Set membership fields in one program. What several records filled is, if refused, sent part by part.

        Returns:
            (membership, fields, answer) for each set of fields that was sent for good.
        """

        def send(batch: Sequence[tuple[Membership, LeadFields]]) -> list[RowReply]:
            rows = [(membership.lead_id, fields) for membership, fields in batch]
            return self._asked(program_id, lambda: self._marketo.sync_data(program_id, rows))

        merged = [
            (membership, {name: value for part in membership.parts() for name, value in part.items()})
            for membership in memberships
        ]
        replies: FieldReplies = []
        try:
            for call in _calls_below_1_mb(merged):
                for (membership, fields), reply in send_each(call, send, (FIELD_NOT_FOUND,), _fields_named):
                    parts = membership.parts()
                    if reply.status or len(parts) == 1:
                        replies.append((membership, fields, reply))
                        continue
                    for part in parts:
                        (_, part_reply), *_ = send_each([(membership, part)], send)
                        replies.append((membership, part, part_reply))
        except NotFoundError as error:
            raise ProgramGoneError(program_id, error) from error
        return replies

    def _asked(self, program_id: int, call: Callable[[], list[RowReply]]) -> list[RowReply]:
        """The answers of a call; if an object is not found, it is asked whether that is the program.

        Otherwise each of its leads would be sent alone, only to be refused with the same code.
        """
        try:
            return call()
        except RefusedError as error:
            if error.code == OBJECT_NOT_FOUND and self._marketo.program(program_id) is None:
                raise ProgramGoneError(program_id, error) from error
            raise


def _fields_named(row: tuple[Membership, LeadFields]) -> frozenset[str]:
    return frozenset(row[1])


def _calls_below_1_mb(
    rows: Sequence[tuple[Membership, LeadFields]],
) -> Iterator[list[tuple[Membership, LeadFields]]]:
    """At most 300 rows nearly always fit; texts of 30,000 bytes do not."""
    call: list[tuple[Membership, LeadFields]] = []
    size = 0
    for membership, fields in rows:
        length = len(_encode({"leadId": membership.lead_id, **fields})) + 1
        if call and size + length > MAX_BODY_BYTES:
            yield call
            call, size = [], 0
        call.append((membership, fields))
        size += length
    if call:
        yield call
