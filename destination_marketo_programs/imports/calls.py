"""The calls of an import job, each with what it learned as its value. Runs in a worker; touches nothing shared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.imports.csv_rows import read_csv_line
from destination_marketo_programs.imports.results import Reasons, read_reasons
from destination_marketo_programs.mapping import can_be_queried
from destination_marketo_programs.mapping import fold_address as fold
from destination_marketo_programs.marketo.errors import (
    BadCredentialsError,
    ConfigurationFaultError,
    MarketoError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
    TooLargeError,
)
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.delivery.creates import Creates
    from destination_marketo_programs.imports.csv_rows import Shape
    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.marketo.bulk_import import ImportStatus

NO_REASONS = Reasons([])


class ResultFiles(NamedTuple):
    """The failure and the warning file of a job; None if Marketo has none to give."""

    failures: Reasons | None
    warnings: Reasons | None


class ImportCalls:
    """Makes the calls.

    Args:
        marketo: makes the calls.
        creates: asked before an upload, as an import creates people.
    """

    def __init__(self, marketo: Marketo, creates: Creates) -> None:
        self._marketo = marketo
        self.creates = creates

    def create(self, program_id: int, status_name: str, file: bytes, rows: int) -> ImportStatus | MarketoError:
        """Upload a file. What somebody can do something about is returned, everything else is raised."""
        try:
            return self._marketo.create_import(program_id, status_name, file, rows)
        except BadCredentialsError:
            raise
        except (RefusedError, TooLargeError, OutcomeUnknownError, NotFoundError, ConfigurationFaultError) as error:
            return error

    def poll(self, batch_id: int) -> ImportStatus | None:
        """The job's status; None if Marketo does not know it any more."""
        try:
            return self._marketo.import_status(batch_id)
        except (RefusedError, NotFoundError):
            return None

    def result_files(self, batch_id: int, *, warnings: bool) -> ResultFiles:
        """The failure file, whatever the counters say, and the warning file if it is wanted."""
        return ResultFiles(
            self._reasons(self._marketo.import_failures, batch_id),
            self._reasons(self._marketo.import_warnings, batch_id) if warnings else NO_REASONS,
        )

    def _reasons(self, fetch: Callable[[int], bytes], batch_id: int) -> Reasons | None:
        try:
            return read_reasons(fetch(batch_id))
        except (RefusedError, NotFoundError):
            return None

    def unknown_people(self, emails: Sequence[str]) -> set[str]:
        """Those of at most 300 emails (folded) that nobody in Marketo has."""
        askable = [email for email in emails if can_be_queried(email)]
        leads = self._marketo.query_leads("email", askable, ["id", "email"], set()) if askable else []
        return set(askable) - {fold(str(lead.get("email") or "")) for lead in leads}

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
            if can_be_queried(cells[0]):
                sent[fold(cells[0])] = (number, cells[1:])
        if not sent:
            return set()
        people: dict[int, tuple[int, list[str]]] = {}
        for lead in self._marketo.query_leads("email", list(sent), ["id", "email", *lead_names], set()):
            row = sent.get(fold(str(lead.get("email") or "")))
            if row is not None and isinstance(lead.get("id"), int) and _equal(lead, lead_names, row[1]):
                people[lead["id"]] = (row[0], row[1][len(lead_names) :])
        lead_ids = list(people)
        arrived: set[int] = set()
        for start in range(0, len(lead_ids), MAX_ROWS_PER_CALL):
            some = lead_ids[start : start + MAX_ROWS_PER_CALL]
            members = self._marketo.query_members(program_id, some, ["statusName", *member_names])
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
