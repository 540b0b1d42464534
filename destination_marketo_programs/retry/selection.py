"""Which stored rejected records are sent again, and as what."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.report.cells import dumped, flattened, parsed, with_cell
from destination_marketo_programs.report.database import record_number
from destination_marketo_programs.report.tally import Tally
from destination_marketo_programs.retry.edits import EditError, Edits, about_corrections, corrections, rows_named
from destination_marketo_programs.storage import Kind, Reader
from destination_marketo_programs.storage.lines import named_rejection
from destination_marketo_programs.storage.runs import StreamInfo, run_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from types import TracebackType
    from typing import Any, Self

    from destination_marketo_programs.report.tally import Lead
    from destination_marketo_programs.storage import OutcomeFile
    from destination_marketo_programs.storage.lines import NamedRejection


class Chosen(NamedTuple):
    """A record that is sent again.

    Attributes:
        ref: its `record_ref`.
        categories: why programs rejected it.
        changes: path -> new value; empty if it goes as it is.
    """

    ref: str
    stream: str
    record_key: str
    categories: tuple[str, ...]
    changes: dict[str, Any]


class Selection:
    """The rejected records that are still rejected and that sending again can help. A context manager.

    Args:
        locations: as `find_files` takes them.
        categories: those to send; none = all.
        edits: corrected cells; a record that has some is sent whatever its category says about sending again.
        reader: with the access that the places need; by default the machine's own.
        on_progress: called now and then with the number of outcomes read.

    Attributes:
        chosen: what is sent, each record once.
        left: leads that are rejected and not sent, by why: `category`, `no_help` or `not_stored`.

    Raises:
        StorageError: the places cannot be read.
        EditError: rows of the corrections cannot be used; nothing is to be sent then.
    """

    def __init__(
        self,
        locations: Sequence[str],
        *,
        categories: Collection[str] = (),
        edits: Edits | None = None,
        reader: Reader | None = None,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self.chosen: dict[int, Chosen] = {}
        self.left: Counter[str] = Counter()
        self._reader = reader or Reader()
        self._edits = edits or Edits({}, decimal_comma=False)
        self._categories = frozenset(categories)
        self._tally = Tally(locations, on_progress, self._reader)
        try:
            self._files = [file for file in self._tally.database.files if file.kind is Kind.REJECTED]
            self._latest = self._find_latest()
            self._choose()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of what was read."""
        self._tally.close()

    def messages(self) -> Iterator[bytes]:
        """The Airbyte RECORD messages to send, without newline, each record once in its latest version.

        Beside `record` stands the `rejection` of the last time: its `record_key` and `record_ref` are the record's
        name, which the catalog of this command cannot tell.
        """
        wanted = {place: record for record, place in self._latest.items() if record in self.chosen}
        for number, file in enumerate(self._files):
            for position, line in enumerate(self._reader.lines(file)):
                record = wanted.get((number, position))
                if record is not None:
                    yield _with_changes(line.strip(), self.chosen[record].changes)

    def streams(self) -> list[StreamInfo]:
        """Every stream among the chosen records, with the object that the latest sync of its records had for it."""
        objects: dict[tuple[str, str], str] = {}
        runs = {run_name(run): run for run in self._tally.database.run_files}
        chosen = sorted((self._latest[record], self._streams[record]) for record in self.chosen)
        for (number, _), stream in chosen:
            run = runs.get(self._files[number].run)
            known = {(each.namespace, each.name): each for each in run.streams} if run is not None else {}
            info = known.get(stream)
            objects[stream] = info.destination_object_name if info is not None else objects.get(stream, "")
        return [StreamInfo(name, namespace, objects[namespace, name]) for namespace, name in sorted(objects)]

    def _find_latest(self) -> dict[int, tuple[int, int]]:
        """Record -> file and line of its latest rejected version."""
        latest: dict[int, tuple[int, int]] = {}
        self._streams: dict[int, tuple[str, str]] = {}
        for number, file in enumerate(self._files):
            for position, line in enumerate(self._reader.lines(file)):
                named = named_rejection(line)
                if named is None:
                    continue
                record = self._record(file, named)
                latest[record] = (number, position)
                self._streams[record] = (named.record.namespace or "", named.record.stream)
        return latest

    def _record(self, file: OutcomeFile, line: NamedRejection) -> int:
        rejection = line.rejection
        return record_number(
            file,
            line.record.namespace,
            line.record.stream,
            rejection.record_key,
            position=rejection.record_key_is_position is True,
            dry_run=self._tally.dry_run,
        )

    def _choose(self) -> None:
        problems: list[str] = []
        unmet = dict(self._edits.rows)
        for lead in self._tally.iter_leads(rejected_only=True):
            first = lead.outcomes[0].wide
            row = unmet.pop(first.ref, None)
            rejected = [each for each in lead.outcomes if each.cell.outcome == Result.REJECTED]
            categories = tuple(dict.fromkeys(each.cell.category or "" for each in rejected))
            if self._categories and not self._categories.intersection(categories):
                self.left["category"] += 1
                continue
            if lead.record not in self._latest:
                self.left["not_stored"] += 1
                continue
            changes: dict[str, Any] = {}
            if row is not None:
                try:
                    leaves = flattened(self._data_of(lead))
                    about = {"Name": lead.name, "Email": lead.email, "Company": lead.company}
                    changes = dict(about_corrections(row, about, leaves))
                    changes |= corrections(row, leaves, decimal_comma=self._edits.decimal_comma)
                except EditError as error:
                    problems.append(str(error))
                except ValueError:
                    problems.append(f"Row {row.number}: the stored record cannot be read as cells.")
            helps = any(
                each.wide.retryable and (not self._categories or each.cell.category in self._categories)
                for each in rejected
            )
            if changes or helps:
                self.chosen[lead.record] = Chosen(first.ref, first.stream, first.key, categories, changes)
            else:
                self.left["no_help"] += 1
        if unmet:
            rows = rows_named(sorted(row.number for row in unmet.values()))
            problems.append(f"{rows}: these files hold no such record that is still rejected.")
        if problems:
            raise EditError("\n".join(problems))

    def _data_of(self, lead: Lead) -> Any:
        if lead.data is not None:
            return parsed(lead.data)
        number, wanted = self._latest[lead.record]
        for position, line in enumerate(self._reader.lines(self._files[number])):
            if position == wanted:
                return parsed(line)["record"]["data"]
        raise ValueError("the line is gone")


def _with_changes(line: bytes, changes: dict[str, Any]) -> bytes:
    if not changes:
        return line
    message = parsed(line)
    for path, leaf in changes.items():
        with_cell(message["record"]["data"], path, leaf)
    return dumped(message, ascii_only=True).encode("ascii")
