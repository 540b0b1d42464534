"""From lead ids to memberships: status first, custom fields of the membership second. Runs in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from destination_marketo_programs.delivery.sending import send_each
from destination_marketo_programs.delivery.work import encode_row
from destination_marketo_programs.marketo.assets import get_program
from destination_marketo_programs.marketo.client import MAX_BODY_BYTES
from destination_marketo_programs.marketo.errors import (
    FIELD_NOT_FOUND,
    OBJECT_NOT_FOUND,
    STATUS_NOT_FOUND,
    ConfigurationFaultError,
    NotFoundError,
    RefusedError,
)
from destination_marketo_programs.marketo.members import sync_data, sync_status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from destination_marketo_programs.delivery.work import MemberRow
    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.marketo.rows import RowReply

StatusReplies = list[tuple["MemberRow", "RowReply"]]
DataReplies = list[tuple["MemberRow", dict[str, Any], "RowReply"]]


class ProgramGoneError(ConfigurationFaultError):
    """A program that was there when the sync began is not there any more."""

    what = "program not found"

    def __init__(self, program_id: int, cause: NotFoundError | RefusedError) -> None:
        self.program_id = program_id
        super().__init__(cause.endpoint, cause.code, cause.marketo_message, cause.request_id)


class MemberWriter:
    """Writes memberships through one client."""

    def __init__(self, client: MarketoClient) -> None:
        self._client = client

    def write_status(self, rows: Sequence[MemberRow]) -> StatusReplies:
        """Set one status in one program; all rows share both."""
        program_id, status = rows[0].program_id, rows[0].program_status
        try:
            return send_each(
                rows,
                lambda batch: self._asked(
                    program_id, lambda: sync_status(self._client, program_id, status, [row.lead_id for row in batch])
                ),
                alike=(STATUS_NOT_FOUND,),
            )
        except NotFoundError as error:
            raise ProgramGoneError(program_id, error) from error

    def write_data(self, rows: Sequence[MemberRow]) -> DataReplies:
        """Set membership fields in one program. A row that several records filled is, if refused, sent part by part.

        Returns:
            (row, fields, answer) for each set of fields that was sent for good.
        """
        program_id = rows[0].program_id

        def send(batch: Sequence[tuple[MemberRow, dict[str, Any]]]) -> list[RowReply]:
            leads = [(row.lead_id, fields) for row, fields in batch]
            return self._asked(program_id, lambda: sync_data(self._client, program_id, leads))

        merged = [(row, {name: value for part in row.data_parts() for name, value in part.items()}) for row in rows]
        replies: DataReplies = []
        try:
            for call in _calls_below_1_mb(merged):
                for (row, fields), reply in send_each(call, send, (FIELD_NOT_FOUND,), _fields_named):
                    parts = row.data_parts()
                    if reply.status or len(parts) == 1:
                        replies.append((row, fields, reply))
                        continue
                    for part in parts:
                        (_, part_reply), *_ = send_each([(row, part)], send)
                        replies.append((row, part, part_reply))
        except NotFoundError as error:
            raise ProgramGoneError(program_id, error) from error
        return replies

    def _asked(self, program_id: int, call: Callable[[], list[RowReply]]) -> list[RowReply]:
        """The answers of a call; where an object is not found, it is asked whether that is the program.

        Otherwise each of its leads would be sent alone, only to be refused with the same code.
        """
        try:
            return call()
        except RefusedError as error:
            if error.code == OBJECT_NOT_FOUND and get_program(self._client, program_id) is None:
                raise ProgramGoneError(program_id, error) from error
            raise


def _fields_named(row: tuple[MemberRow, dict[str, Any]]) -> frozenset[str]:
    return frozenset(row[1])


def _calls_below_1_mb(
    rows: Sequence[tuple[MemberRow, dict[str, Any]]],
) -> Iterator[list[tuple[MemberRow, dict[str, Any]]]]:
    """At most 300 rows nearly always fit; texts of 30,000 bytes do not."""
    call: list[tuple[MemberRow, dict[str, Any]]] = []
    size = 0
    for row, fields in rows:
        length = len(encode_row(("leadId", row.lead_id), fields)) + 1
        if call and size + length > MAX_BODY_BYTES:
            yield call
            call, size = [], 0
        call.append((row, fields))
        size += length
    if call:
        yield call
