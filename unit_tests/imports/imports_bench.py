"""The stage of imports with everything around it in hand, without workers."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.delivery.creates import Creates
from destination_marketo_programs.delivery.entry import Entry, Holding
from destination_marketo_programs.delivery.ledger import Segment
from destination_marketo_programs.delivery.settlement import Settlement
from destination_marketo_programs.delivery.stage import Why
from destination_marketo_programs.delivery.statuses import Statuses
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.imports.calls import ImportCalls, ResultFiles
from destination_marketo_programs.imports.files import FilePlanner
from destination_marketo_programs.imports.pace import ImportPace
from destination_marketo_programs.imports.results import Reasons
from destination_marketo_programs.imports.stage import ImportStage
from destination_marketo_programs.imports.waiting import Waiting
from destination_marketo_programs.mapping import fold_address
from destination_marketo_programs.marketo.bulk_import import MAX_FILE_BYTES, ImportStatus
from destination_marketo_programs.marketo.errors import MarketoError
from destination_marketo_programs.model import Mapped, Person, Target
from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.storage.store import NoStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.delivery.stage import Call
    from destination_marketo_programs.imports.csv_rows import Shape
    from destination_marketo_programs.outcomes import Outcome

WORTH = 4
PACE = ImportPace(
    first_poll_seconds=5.0,
    longest_poll_seconds=30.0,
    rows_per_poll_second=1e9,
    growth=1.5,
    slot_seconds=10.0,
    longest_slot_seconds=60.0,
    slot_patience_seconds=300.0,
    retry_seconds=30.0,
    lost_first_look_seconds=5.0,
    lost_longest_look_seconds=60.0,
    lost_patience_seconds=600.0,
    lost_settled_seconds=120.0,
    job_patience_seconds=3_600.0,
)
STATUSES = Statuses(
    {
        (program, name): (step, success, step, name != "Waitlisted" or program == 1009)
        for program in (1001, 1004, 1005, 1009)
        for name, step, success in (
            ("Invited", 10, False),
            ("Registered", 20, False),
            ("Waitlisted", 20, False),
            ("Attended", 40, True),
        )
    }
)
"""In program 1009 two statuses of one step may be sent, so that it goes over REST."""

Answer = ImportStatus | MarketoError | None


class Store(NoStore):
    takes_outcomes = True

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.rejected: list[tuple[bytes, int]] = []

    def add(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        self.rejected.append((line, len(rejections)))


class Told:
    """What other runs are told, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[Any, ...]] = []

    def creating(self) -> None:
        self.events.append(("creating",))

    def uploading(self, program_id: int, program_status: str) -> None:
        self.events.append(("uploading", program_id, program_status))

    def uploaded(self, program_id: int, batch_id: int) -> None:
        self.events.append(("uploaded", program_id, batch_id))

    def not_uploaded(self, program_id: int) -> None:
        self.events.append(("not uploaded", program_id))

    def job_ended(self, batch_id: int) -> None:
        self.events.append(("ended", batch_id))

    def in_doubt(self, text: str) -> None:
        self.events.append(("in doubt", text))


class FakeImports(ImportCalls):
    """Takes files; a job ends when it is polled, as long as nothing else is scripted.

    Attributes:
        refuse, warn: email -> sentence of the failure and the warning file.
        unnamed: refused people whom the failure file leaves out.
        files: made in place of the usual result files.
        creates, polls: scripted answers, taken before the usual ones.
        arrived: people whom reading back finds.
        unknown: people whom looking for them does not find.
        uploads: (program, status, rows as dictionaries), in order.
    """

    def __init__(self, creates: Creates) -> None:
        self.creates = creates
        self.refuse: dict[str, str] = {}
        self.warn: dict[str, str] = {}
        self.script: list[Answer] = []
        self.polls: list[Answer] = []
        self.arrived: set[str] = set()
        self.unknown: set[str] = set()
        self.looked: list[list[str]] = []
        self.unnamed: set[str] = set()
        self.files: Callable[[list[str]], ResultFiles] | None = None
        self.counts: Callable[[list[str]], tuple[int | None, int | None, int | None]] | None = None
        self.jobs: dict[int, list[str]] = {}
        self.uploads: list[tuple[int, str, list[dict[str, str]]]] = []
        self.polled: list[int] = []
        self.on_upload: Callable[[list[dict[str, str]]], None] = lambda _rows: None

    def create(self, program_id: int, status_name: str, file: bytes, rows: int) -> ImportStatus | MarketoError:
        lines = list(csv.DictReader(io.StringIO(file.decode(), newline="")))
        assert len(lines) == rows
        answer = self.script.pop(0) if self.script else None
        if isinstance(answer, MarketoError):
            return answer
        self.on_upload(lines)
        self.uploads.append((program_id, status_name, lines))
        number = len(self.uploads)
        self.jobs[number] = [line["email"] for line in lines]
        return answer or status(number, "Queued")

    def poll(self, batch_id: int) -> ImportStatus | None:
        self.polled.append(batch_id)
        if self.polls:
            answer = self.polls.pop(0)
            assert not isinstance(answer, MarketoError)
            return answer and answer._replace(batch_id=batch_id)
        emails = self.jobs[batch_id]
        if self.counts is not None:
            return status(batch_id, "Complete", *self.counts(emails))
        failed = sum(email in self.refuse for email in emails)
        warned = sum(email in self.warn for email in emails)
        return status(batch_id, "Complete", len(emails) - failed, failed, warned)

    def result_files(self, batch_id: int, *, warnings: bool) -> ResultFiles:
        emails = self.jobs[batch_id]
        if self.files is not None:
            return self.files(emails)

        def reasons(of: dict[str, str]) -> Reasons:
            named = [email for email in emails if email in of and email not in self.unnamed]
            return Reasons([(email.upper(), of[email]) for email in named])

        return ResultFiles(reasons(self.refuse), reasons(self.warn) if warnings else Reasons([]))

    def unknown_people(self, emails: Sequence[str]) -> set[str]:
        self.looked.append(list(emails))
        assert len(emails) <= 300
        return set(emails) & self.unknown

    def read_back(
        self, program_id: int, reaches: Callable[[str], bool], shape: Shape, rows: Sequence[tuple[int, bytes]]
    ) -> set[int]:
        assert program_id in {1001, 1004, 1005}
        assert reaches("Registered")
        assert not reaches("Invited")
        assert len(rows) <= 300
        assert shape.columns[0] == "email"
        return {row for row, line in rows if line.decode().split(",")[0] in self.arrived}


def status(number: int, state: str, *counts: int | None, message: str | None = None) -> ImportStatus:
    processed, failed, warned = counts or (None, None, None)
    return ImportStatus(number, state, processed, failed, warned, message, "r#1")


def map_record(_stream: object, data: Any) -> Mapped:
    fields = {name: data[name] for name in ("firstName", "title") if name in data}
    email = data["email"]
    person = Person(data.get("marketo"), email, fold_address(email), fields, {})
    wanted = data.get("status", "Registered")
    programs = data.get("programs", [1004])
    return Mapped(person, [Target(program, wanted, "expo") for program in programs], [], str(data["id"]))


class Bench:
    """The stage, a clock, and REST as a list."""

    def __init__(
        self,
        *,
        always: bool = False,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_rows: int = 300_000,
        creates_not_before: float = float("-inf"),
    ) -> None:
        self.now = 1_000.0
        self.journal = Told()
        self.creates = Creates(lambda: self.now, 95.0, creates_not_before, self.journal)
        self.marketo = FakeImports(self.creates)
        self.store, self.tally, self.holding = Store(), Tally(), Holding(10**9)
        self.forgotten: list[str] = []
        self.rest: list[Entry] = []
        self.settlement = Settlement(
            self.store,
            self.tally,
            self.holding,
            lambda: datetime(2026, 11, 23, tzinfo=UTC),
            on_settled=self._released,
        )
        self.planner = FilePlanner(60.0, always=always, max_file_bytes=max_file_bytes)
        self.waiting = Waiting(self.planner, map_record, STATUSES, lambda: self.now, max_rows=max_rows)
        self.stage = ImportStage(
            self.marketo,
            self.waiting,
            STATUSES,
            self.settlement,
            self.rest.extend,
            self.forgotten.append,
            self.holding,
            self.journal,
            PACE,
            lambda: self.now,
            only_files=always,
        )
        self.segment = Segment()
        self.ended = False

    def _released(self, entry: Entry) -> None:
        self.stage.released(entry)

    def record(self, number: int, email: str, **more: Any) -> None:
        data = {"id": number, "email": email, "firstName": str(number), **more}
        line = json.dumps({"type": "RECORD", "record": {"stream": "s", "data": data}}).encode()
        mapped = map_record("s", data)
        assert mapped.person is not None
        targets = mapped.targets
        self.segment.open += 1
        self.tally.records_read += 1
        self.tally.outcomes_due += len(targets)
        entry = Entry(("", "s"), str(number), False, line, self.now, self.segment, mapped.person, targets, len(targets))
        self.holding.take(entry)
        if not self.stage.accept(entry):
            self.rest.append(entry)

    def people(self, count: int, start: int = 0, **more: Any) -> None:
        for number in range(start, start + count):
            self.record(number, f"p{number}@x.y", **more)

    def turn(self) -> Call | None:
        """One round of the loop, without its workers."""
        self.stage.advance(self.now, ended=self.ended)
        return self.stage.take(Why.FULL, self.now)

    @staticmethod
    def make(call: Call) -> None:
        call.finish(call.run())

    def go(self, seconds: float = 0.0, step: float = 1.0) -> None:
        """Let time pass in steps, and make every call that is due."""
        until = self.now + seconds
        while True:
            for _ in range(50):
                call = self.turn()
                if call is not None:
                    self.make(call)
            if self.now >= until:
                return
            self.now = min(until, self.now + step)

    def finish_rest(self, entry: Entry) -> None:
        self.rest.remove(entry)
        for target in entry.targets:
            self.settlement.deliver(entry, target, 7, Result.CREATED, None)

    def told(self) -> dict[str, list[str]]:
        """Outcomes by record."""
        told: dict[str, list[str]] = defaultdict(list)
        for outcome in self.store.outcomes:
            told[outcome.record_key].append(outcome.category or outcome.outcome)
        return dict(told)
