"""Several syncs over one storage, each of which can be stopped anywhere, against a Marketo that is two tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, cast

import msgspec
from delivery_bench import PROGRAMS, Build, Kept, TableMarketo, Way, statuses

from destination_marketo_programs.delivery.schedule import choose
from destination_marketo_programs.delivery.settlement import Settlement
from destination_marketo_programs.delivery.stage import NEVER
from destination_marketo_programs.memory.keeping import Keeping, day_of
from destination_marketo_programs.memory.recall import Memory
from destination_marketo_programs.storage.lines import Kind, StoredOutcome, append_outcome
from destination_marketo_programs.storage.reader import OutcomeFile
from destination_marketo_programs.storage.runs import new_run, write_run
from destination_marketo_programs.storage.store import Blob

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.storage import OutcomeStore
    from destination_marketo_programs.storage.reader import Reader

FIRST_DAY = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)
INSTANCE = "123-ABC-456"


class Shelf:
    """A storage in memory: blobs by name. Reads outcome files as `Reader` does."""

    location = "shelf:"

    def __init__(self) -> None:
        self.blobs: dict[str, bytes] = {}

    def list_blobs(self, prefix: str) -> list[Blob]:
        return [
            Blob(name, len(data), FIRST_DAY)
            for name, data in self.blobs.items()
            if name.rpartition("/")[2].startswith(prefix)
        ]

    def read_blob(self, name: str) -> bytes | None:
        return self.blobs.get(name)

    def write_blob(self, name: str, data: bytes) -> None:
        self.blobs[name] = data

    def find_files(self, locations: Sequence[str]) -> list[OutcomeFile]:
        assert list(locations) == [self.location]
        names = sorted(name for name in self.blobs if name.startswith("outcomes-"))
        return [
            OutcomeFile(
                f"{self.location}/{name}",
                name,
                Kind.OUTCOMES,
                name.removeprefix("outcomes-").rpartition("-")[0],
                None,
                1,
            )
            for name in names
        ]

    def outcomes(self, file: OutcomeFile) -> Iterator[StoredOutcome]:
        for line in self.blobs[file.name].splitlines():
            yield msgspec.json.decode(line, type=StoredOutcome)

    @property
    def memory(self) -> list[str]:
        """Names of memory files."""
        return [name for name in self.blobs if PurePosixPath(name).name.startswith("memory-")]


class Filed(Kept):
    """Outcomes of one run; durable in the shelf with each commit."""

    def __init__(self, shelf: Shelf, name: str) -> None:
        super().__init__()
        self._shelf = shelf
        self._name = name
        self._durable = 0

    def commit(self) -> None:
        super().commit()
        lines = bytearray(self._shelf.blobs.get(self._name, b""))
        for outcome in self.outcomes[self._durable :]:
            append_outcome(lines, outcome)
        self._durable = len(self.outcomes)
        if lines:
            self._shelf.blobs[self._name] = bytes(lines)


class Sync:
    """One sync. `send`, `commit` and `save` are its steps; whoever stops in between has killed it."""

    def __init__(self, world: World, number: int, mode: str = "create_or_update", lookup_field: str = "email") -> None:
        self.world = world
        run_id = f"r{number:03}"
        now = FIRST_DAY + timedelta(days=world.day)
        started = now + timedelta(seconds=number)
        shelf = world.shelf
        self.store = Filed(shelf, f"outcomes-{started:%Y%m%dT%H%M%SZ}-{run_id}-00001.jsonl")
        run = new_run(run_id=run_id, started=started, instance=world.instance, version="0.2.0", sync_id="")
        run.lookup_field = lookup_field
        storage = cast("OutcomeStore", shelf)
        write_run(storage, run, started)
        self.run_id = run_id
        self.way = Way(world.marketo, mode)
        self.keeping = Keeping(storage, cast("Reader", shelf), world.instance, lookup_field, statuses().further)
        self.digest = self.keeping.load()
        self.memory = Memory(self.digest, statuses(), world.instance, day_of(now), world.again_after_days)
        way = self.way
        way.store = self.store
        way.settlement = Settlement(self.store, way.tally, way.holding, lambda: now, memory=self.memory)
        way.connect(self.memory.highest)
        way.settlement.tick()
        self.accepted: list[Entry] = []

    def accept(self, entries: Iterable[Entry]) -> None:
        entries = list(entries)
        self.accepted += entries
        way = self.way
        for entry in entries:
            way.tally.records_read += 1
            way.tally.outcomes_due += len(entry.targets)
            way.holding.take(entry)
        way.leads.accept(self.memory.recall(entries, way.settlement))

    def send(self) -> bool:
        """One call and its answer; False if nothing is left to do."""
        way = self.way
        for _ in range(200):
            now = way.marketo.now
            for stage in way.stages:
                stage.advance(now, ended=True)
            call = choose(way.stages, now, -NEVER, ended=True)
            if call is not None:
                call.finish(call.run())
                return True
            due = min(stage.due_in(now) for stage in way.stages)
            if due == NEVER:
                assert not any(len(stage) for stage in way.stages)
                return False
            way.marketo.now += due
        raise AssertionError("nothing is ever due")

    def commit(self) -> None:
        self.way.settlement.commit()

    def save(self) -> None:
        programs = {target.program_id for target in self.world.linked}
        self.keeping.save(self.digest, programs, self.run_id)

    def finish(self) -> Sync:
        """To the end."""
        while self.send():
            pass
        self.commit()
        self.save()
        assert not self.memory._under_way
        assert not self.memory._versions
        return self

    def told(self) -> dict[str, dict[int | None, str]]:
        """What became of each record."""
        return self.way.told()


class World:
    """Everything that lasts from sync to sync."""

    def __init__(self, again_after_days: int = 0) -> None:
        self.marketo = TableMarketo()
        self.shelf = Shelf()
        self.build = Build()
        self.again_after_days = again_after_days
        self.day = 0
        self.instance = INSTANCE
        self.linked = [self.build.target(program) for program in PROGRAMS]
        self._number = 0

    def begin(self, **more: Any) -> Sync:
        self._number += 1
        return Sync(self, self._number, **more)

    def sync(self, *entries: Entry, **more: Any) -> Sync:
        """One sync from beginning to end."""
        sync = self.begin(**more)
        sync.accept(entries)
        sync.finish()
        return sync

    def record(
        self, key: str, email: str | None = "ada@example.org", /, status: str = "Registered", **fields: Any
    ) -> Entry:
        """A record for program 1."""
        return self.build.entry(email, fields, key=key, targets=[self.build.target(1, status)])

    def calls_of(self, *entries: Entry, **more: Any) -> list[tuple[str, Any]]:
        """The calls that a sync of these records makes."""
        before = len(self.marketo.calls)
        self.sync(*entries, **more)
        return self.marketo.calls[before:]
