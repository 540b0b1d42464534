"""The calls of an import job, each with what it learned as its value. Runs in a worker; touches nothing shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.delivery.bulk.joining import Reasons, fold, read_reasons
from destination_marketo_programs.delivery.bulk.rows import read_csv_line
from destination_marketo_programs.marketo.bulk_import import (
    ImportStatus,
    create_import,
    import_failures,
    import_status,
    import_warnings,
)
from destination_marketo_programs.marketo.errors import (
    BadCredentialsError,
    ConfigurationFaultError,
    MarketoError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    TooLargeError,
)
from destination_marketo_programs.marketo.leads import query_leads
from destination_marketo_programs.marketo.members import query_members

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.delivery.bulk.rows import Shape
    from destination_marketo_programs.marketo.client import MarketoClient

NO_REASONS = Reasons([])


class ResultFiles(NamedTuple):
    """The failure and the warning file of a job; None where Marketo has none to give."""

    failures: Reasons | None
    warnings: Reasons | None


class BulkCalls:
    """Makes the calls through one client."""

    def __init__(self, client: MarketoClient) -> None:
        self._client = client
        self.settle_seconds = client.policy.create_settle_seconds

    def create(self, program_id: int, status_name: str, file: bytes, rows: int) -> ImportStatus | MarketoError:
        """Upload a file. What somebody can do something about is returned, everything else is raised."""
        try:
            return create_import(self._client, program_id, status_name, file, rows)
        except BadCredentialsError:
            raise
        except (RefusedError, TooLargeError, OutcomeUnknownError, NotFoundError, ConfigurationFaultError) as error:
            return error

    def poll(self, batch_id: int) -> ImportStatus | None:
        """The job's status; None where Marketo does not know it any more."""
        try:
            return import_status(self._client, batch_id)
        except (RefusedError, NotFoundError):
            return None

    def result_files(self, batch_id: int, *, failures: bool, warnings: bool) -> ResultFiles:
        """The result files that are wanted."""
        return ResultFiles(
            self._reasons(import_failures, batch_id) if failures else NO_REASONS,
            self._reasons(import_warnings, batch_id) if warnings else NO_REASONS,
        )

    def _reasons(self, fetch: Callable[[MarketoClient, int], bytes], batch_id: int) -> Reasons | None:
        try:
            return read_reasons(fetch(self._client, batch_id))
        except (RefusedError, NotFoundError):
            return None

    def read_back(
        self,
        program_id: int,
        reaches: Callable[[str], bool],
        shape: Shape,
        rows: Sequence[tuple[int, bytes]],
    ) -> set[int]:
        """See which rows have arrived: a member with a status that is far enough, and every value as it was sent.

        Args:
            program_id: the program that they were to enter.
            reaches: whether a status is the one wanted, or past it.
            shape: the columns of the rows.
            rows: at most 300, each its number and its line of the file.

        Returns:
            Numbers of the rows that have arrived for certain.
        """
        lead_names = shape.columns[1 : 1 + shape.lead_fields]
        member_names = shape.columns[1 + shape.lead_fields :]
        sent: dict[str, tuple[int, list[str]]] = {}
        for number, line in rows:
            cells = read_csv_line(line)
            # A comma would end the value in the query: such a row is left to REST.
            if "," not in cells[0]:
                sent[fold(cells[0])] = (number, cells[1:])
        if not sent:
            return set()
        people: dict[int, tuple[int, list[str]]] = {}
        for lead in query_leads(self._client, "email", list(sent), ["id", "email", *lead_names]):
            row = sent.get(fold(str(lead.get("email") or "")))
            if row is not None and isinstance(lead.get("id"), int) and _equal(lead, lead_names, row[1]):
                people[lead["id"]] = (row[0], row[1][len(lead_names) :])
        lead_ids = list(people)
        arrived: set[int] = set()
        for start in range(0, len(lead_ids), 300):
            members = query_members(
                self._client, program_id, lead_ids[start : start + 300], ["statusName", *member_names]
            )
            for lead_id, member in members.items():
                found = people.get(lead_id)
                if found and reaches(str(member.get("statusName"))) and _equal(member, member_names, found[1]):
                    arrived.add(found[0])
        return arrived


def _equal(stored: dict[str, Any], names: Sequence[str], cells: list[str]) -> bool:
    """Whether values are there as they were sent. A value that Marketo writes in another way counts as different."""
    return all(_text(stored.get(name)) == cell.strip() for name, cell in zip(names, cells, strict=False))


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ("true" if value else "false") if isinstance(value, bool) else str(value).strip()
