"""Run files and verdict files: what one sync, or one `reconcile`, says of itself beside the outcomes.

A run file is `run-<start>-<run id>.json`. It is written before the first write to Marketo, renewed while the sync
runs and closed at its end; it is how the page knows names and addresses, and how two syncs of one instance know of
each other. Neither kind holds person data.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec

from destination_marketo_programs.storage.store import PartNames

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from destination_marketo_programs.storage.store import Blob, OutcomeStore

RENEW_SECONDS = 10.0
"""A run file of an open sync is renewed at least this often."""

ALIVE_SECONDS = 30.0
"""An open run whose file was renewed within this time is taken to be alive."""

MAX_RUNS_READ = 300
MAX_RUN_FILE_BYTES = 4_000_000

RUN_PREFIX = "run-"
RECONCILE_PREFIX = "reconcile-"
_START = "%Y%m%dT%H%M%SZ"
_AT = "%Y-%m-%dT%H:%M:%SZ"
_T = TypeVar("_T")
_NAME = re.compile(rf"(?:{RUN_PREFIX}|{RECONCILE_PREFIX})\d{{8}}T\d{{6}}Z-[A-Za-z0-9]+\.json")


class ProgramInfo(msgspec.Struct):
    """A program as Marketo names it; `address` is its page in Marketo, blank if Marketo gave none."""

    id: int
    name: str = ""
    type: str = ""
    channel: str = ""
    address: str = ""


class StreamInfo(msgspec.Struct):
    """A stream of the configured catalog, as far as sending its rejected records again needs it.

    Attributes:
        namespace: blank if it has none.
        destination_object_name: the object that its records are for; blank for ordinary streams.
    """

    name: str
    namespace: str = ""
    destination_object_name: str = ""


class ImportJob(msgspec.Struct):
    """A bulk import that this run has begun.

    Attributes:
        status: Marketo's word, e.g. `Importing`; `Uploading` while the answer that names the job is awaited.
        batch_id: None until Marketo has named the job.
        uploaded_at: UTC, `YYYY-MM-DDThh:mm:ssZ`.
    """

    program_id: int
    status: str
    uploaded_at: str
    batch_id: int | None = None


class RunFile(msgspec.Struct, kw_only=True):
    """One attempt of one sync. Times are UTC, `YYYY-MM-DDThh:mm:ssZ`; a blank one has not come.

    Attributes:
        run_id: letters and digits, unique to the attempt; part of the names of its files.
        renewed: when the file was last written.
        ended: when the run closed its file; blank while it is open, and for ever if it was killed.
        ending: how it ended: `complete`, `stopped`, `quota`, `unreachable`, `configuration` or `failed`.
        version: of the connector.
        instance: Munchkin id, or host and port of a local Marketo.
        lookup_field: `lead_sync.lookup_field`.
        waiting: whether it has not written yet because it waits for another run.
        app_address: of Marketo's application, e.g. `https://app-ab12.marketo.com`; blank if unknown.
        host, host_id: name of the machine, and what tells process ids on it apart (boot and process namespace).
        process_id, process_started: of the writer; the second notices that an id was given to another process.
        programs: those that links name.
        streams: of the configured catalog.
        events: names of events by their ids, as the records gave them.
        records_read, records_settled: so far.
        leads, outcomes: counts by result, as `report --format json` has them.
        calls: to Marketo, so far.
        left_undone: what the next sync has to do again, in a sentence; blank if nothing.
        imports: import jobs that may still be running.
        last_create_sent_at: when a call that can create people was last sent.
        creates_unanswered: whether one of those calls had no answer yet when this was written.
        in_doubt: what nobody can know at this moment, in a sentence, e.g. an upload whose answer was lost.
    """

    run_id: str
    started: str
    instance: str
    version: str = ""
    renewed: str = ""
    ended: str = ""
    ending: str = ""
    sync_id: str = ""
    lookup_field: str = ""
    app_address: str = ""
    waiting: bool = False
    dry_run: bool = False
    host: str = ""
    host_id: str = ""
    process_id: int = 0
    process_started: str = ""
    programs: list[ProgramInfo] = msgspec.field(default_factory=list)
    streams: list[StreamInfo] = msgspec.field(default_factory=list)
    events: dict[str, str] = msgspec.field(default_factory=dict)
    records_read: int = 0
    records_settled: int = 0
    leads: dict[str, int] = msgspec.field(default_factory=dict)
    outcomes: dict[str, int] = msgspec.field(default_factory=dict)
    calls: int = 0
    left_undone: str = ""
    imports: list[ImportJob] = msgspec.field(default_factory=list)
    last_create_sent_at: str = ""
    creates_unanswered: bool = False
    in_doubt: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it has not closed its file."""
        return not self.ended


class Verdicts(msgspec.Struct):
    """Leads of one program by what `reconcile` found."""

    as_sent: int = 0
    ahead: int = 0
    beside: int = 0
    behind: int = 0
    missing: int = 0
    person_gone: int = 0


class ReconciledProgram(msgspec.Struct):
    """What `reconcile` found for one program.

    Attributes:
        from_elsewhere: members that did not come from here; None if they were not counted.
    """

    program_id: int
    name: str = ""
    verdicts: Verdicts = msgspec.field(default_factory=Verdicts)
    from_elsewhere: int | None = None


class ReconciledLead(msgspec.Struct):
    """A lead whose verdict is `behind`, `missing` or `person_gone`.

    Attributes:
        record_ref: of the record that was delivered last; see `outcomes.record_ref`.
        status: what was sent.
        found: the status that Marketo holds; blank if the lead is not a member.
    """

    program_id: int
    verdict: str
    lead_id: int | None = None
    record_ref: str = ""
    status: str = ""
    found: str = ""


class ReconcileFile(msgspec.Struct, kw_only=True):
    """One `reconcile`; stored as `reconcile-<at>-<run id>.json` beside the run files."""

    at: str
    instance: str
    run_id: str
    programs: list[ReconciledProgram] = msgspec.field(default_factory=list)
    leads: list[ReconciledLead] = msgspec.field(default_factory=list)


def new_run_id(started: datetime) -> str:
    """An id for a run: twelve hexadecimal digits, which sort runs of one second by their start.

    Names of files carry the second of the start and this id, and of two runs of one second the later one must count.
    """
    return f"{started.microsecond:05x}{secrets.token_hex(4)[:7]}"


def new_run(*, run_id: str, started: datetime, instance: str, version: str, sync_id: str = "") -> RunFile:
    """An open run of this process on this machine.

    Args:
        run_id: as given to `open_store`; characters other than letters and digits are dropped.
        started: aware time, as given to `open_store`.
        instance: Munchkin id, or host and port.
        version: of the connector.
        sync_id: of the catalog, if it has one.
    """
    return RunFile(
        run_id=re.sub(r"[^A-Za-z0-9]", "", run_id),
        started=started.astimezone(UTC).strftime(_AT),
        instance=instance,
        version=version,
        sync_id=sync_id,
        host=socket.gethostname(),
        host_id=_host_id(),
        process_id=os.getpid(),
        process_started=_process_started(os.getpid()),
    )


def run_name(run: RunFile) -> str:
    """What the names of the run's files share: `<start>-<run id>`, as in `OutcomeFile.run`."""
    return _name("", run.started, run.run_id).removesuffix(".json")


def write_run(store: OutcomeStore, run: RunFile, now: datetime) -> None:
    """Put the run's file in place of its last one, at once and whole; `now` becomes its `renewed`.

    May be called from any thread, one call for one run at a time. Does nothing if nothing is stored.

    Raises:
        StorageError: it could not be written.
    """
    run.renewed = now.astimezone(UTC).strftime(_AT)
    name = _name(RUN_PREFIX, run.started, run.run_id)
    store.write_blob(PartNames(now, run.run_id, run.sync_id).folder + name, msgspec.json.encode(run))


def write_reconciled(store: OutcomeStore, found: ReconcileFile) -> None:
    """Store what `reconcile` found. Errors as for `write_run`."""
    store.write_blob(store.sync_folder + _name(RECONCILE_PREFIX, found.at, found.run_id), msgspec.json.encode(found))


def runs_in(
    store: OutcomeStore, instance: str, *, modified_since: datetime | None = None, but: str = ""
) -> list[RunFile]:
    """Runs of an instance in a store, newest start first, of whichever sync; at most `MAX_RUNS_READ` are read.

    Args:
        store: any; without storage there are none.
        instance: as in `RunFile`.
        modified_since: aware time; run files that were last written before are not read.
        but: the `run_id` to leave out, usually one's own.

    Raises:
        StorageError: the store cannot be read.
    """
    runs = read_runs(store.list_blobs(RUN_PREFIX), store.read_blob, modified_since=modified_since)
    return [run for run in runs if run.instance == instance and run.run_id != but]


class _Read(Protocol):
    def __call__(self, name: str, /) -> bytes | None: ...


def read_runs(blobs: Iterable[Blob], read: _Read, *, modified_since: datetime | None = None) -> list[RunFile]:
    """Run files among the blobs, newest start first. What is not a run file (any longer) is passed over."""
    runs = [run for data in _newest(blobs, read, RUN_PREFIX, modified_since) if (run := _decoded(data, RunFile))]
    return sorted(runs, key=lambda run: (run.started, run.run_id), reverse=True)


def read_reconciled(blobs: Iterable[Blob], read: _Read) -> list[ReconcileFile]:
    """Verdict files among the blobs, newest first. What is none is passed over."""
    files = [file for data in _newest(blobs, read, RECONCILE_PREFIX, None) if (file := _decoded(data, ReconcileFile))]
    return sorted(files, key=lambda file: (file.at, file.run_id), reverse=True)


def is_alive(run: RunFile, now: datetime) -> bool:
    """Whether the run may still write: its file is open and was renewed just now, and its process is not gone."""
    if not run.is_open or process_is_gone(run):
        return False
    renewed = _time(run.renewed)
    return renewed is not None and now - renewed <= timedelta(seconds=ALIVE_SECONDS)


def process_is_gone(run: RunFile) -> bool:
    """Whether the run's process ran on this machine and does no longer."""
    if not run.process_id or not run.host_id or (run.host, run.host_id) != (socket.gethostname(), _host_id()):
        return False
    return _process_started(run.process_id) != run.process_started


def seconds_until_creates_settle(run: RunFile, now: datetime, settle_seconds: float) -> float:
    """Seconds until no create of this run can be under way in Marketo; 0 if none can.

    Args:
        run: one that is not alive; see `is_alive`.
        now: aware time.
        settle_seconds: how long after it was sent Marketo may still be working on a create.
    """
    if run.dry_run:
        return 0.0
    if run.is_open:
        # It was killed: its last create may be younger than its file, by as long as a file may stay unrenewed.
        renewed = _time(run.renewed)
        last = None if renewed is None else min(now, renewed + timedelta(seconds=RENEW_SECONDS))
    elif run.creates_unanswered:
        last = _time(run.last_create_sent_at)
    else:
        return 0.0
    if last is None:
        return settle_seconds
    return min(settle_seconds, max(0.0, settle_seconds - (now - last).total_seconds()))


def _name(prefix: str, at: str, run_id: str) -> str:
    started = datetime.strptime(at, _AT).replace(tzinfo=UTC)
    return f"{prefix}{started.strftime(_START)}-{run_id}.json"


def _newest(blobs: Iterable[Blob], read: _Read, prefix: str, modified_since: datetime | None) -> Iterator[bytes]:
    found = [
        blob
        for blob in blobs
        if _NAME.fullmatch(name := blob.name.rpartition("/")[2])
        and name.startswith(prefix)
        and blob.size <= MAX_RUN_FILE_BYTES
        and (modified_since is None or blob.modified_at >= modified_since)
    ]
    found.sort(key=lambda blob: blob.name.rpartition("/")[2], reverse=True)
    for blob in found[:MAX_RUNS_READ]:
        data = read(blob.name)
        if data is not None:
            yield data


def _decoded(data: bytes, kind: type[_T]) -> _T | None:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _time(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, _AT).replace(tzinfo=UTC)
    except ValueError:
        return None


@cache
def _host_id() -> str:
    """Boot and process namespace: a process id means something only within both. Blank if there is no /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return ""
    return f"{boot} {namespace}"


def _process_started(process_id: int) -> str:
    """Start of a process in ticks since boot; blank if there is no such process, or no way to know."""
    try:
        stat = Path(f"/proc/{process_id}/stat").read_bytes()
    except OSError:
        return ""
    # The name, in brackets, may itself hold blanks and brackets. Behind it come the state and, 19 further, the start.
    members = stat.rpartition(b")")[2].split()
    ended, started = b"Z", 19
    return members[started].decode("ascii") if len(members) > started and members[0] != ended else ""
