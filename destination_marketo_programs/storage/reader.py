"""Reads what stores have written: files, folders and S3 prefixes, in the order of time, line by line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, assert_never

import msgspec

from destination_marketo_programs.storage.lines import BAD_LINE, Kind, RejectedRecord, StoredOutcome
from destination_marketo_programs.storage.local import blobs_below
from destination_marketo_programs.storage.runs import (
    RECONCILE_PREFIX,
    RUN_PREFIX,
    ReconcileFile,
    RunFile,
    read_reconciled,
    read_runs,
)
from destination_marketo_programs.storage.store import Blob, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_s3 import S3Client

    from destination_marketo_programs.config import LocalStorage, NoStorage, S3Storage

S3_PREFIX = "s3://"
_BESIDE = re.compile(rf"(?:{RUN_PREFIX}|{RECONCILE_PREFIX})\d{{8}}T\d{{6}}Z-\w+\.json|memory-.+\.db")
"""Names of what a storage keeps beside outcomes and rejected records."""
READ_BYTES = 1 << 20

_NAME = re.compile(r"(?P<kind>outcomes|rejected)-(?P<start>\d{8}T\d{6}Z)-(?P<run>[A-Za-z0-9]+)-(?P<part>\d+)\.jsonl")


class OutcomeFile(NamedTuple):
    """One stored file.

    Attributes:
        location: its path or `s3://bucket/key`.
        name: the last part of `location`.
        kind: outcomes or rejected records.
        run: attempt that wrote it, `<start>-<run id>` from its name; the location where the name is of no known
            form. Record keys that are positions are comparable within one run only.
        started_at: start of the sync, from the name; None if the name is of no known form.
        part: number within the run.
    """

    location: str
    name: str
    kind: Kind
    run: str
    started_at: datetime | None
    part: int


class Reader:
    """Reads stored files at places that people name: files, folders (with their subfolders), `s3://…`.

    Args:
        s3: for `s3://…`; by default the machine's own access and `AWS_ENDPOINT_URL`, once one is needed.

    Attributes:
        unreadable: lines that were passed over because they are not outcomes, per file.
    """

    def __init__(self, s3: S3Client | None = None) -> None:
        self._given = s3
        self.unreadable: dict[str, int] = {}

    def find_files(self, locations: Sequence[str]) -> list[OutcomeFile]:
        """See the function of this name."""
        found: dict[str, OutcomeFile] = {}
        # A shell makes `outcomes/*` of everything in a folder, also of what lies beside the outcomes.
        places = [location for location in locations if not _BESIDE.fullmatch(location.rpartition("/")[2])]
        for location in places or locations:
            files = list(self._find_s3(location) if location.startswith(S3_PREFIX) else _find_local(location))
            if not files:
                raise StorageError(
                    location, "there is no outcome file here.", "Name the folder or file that holds outcomes-*.jsonl."
                )
            found.update((file.location, file) for file in files)
        return sorted(found.values(), key=lambda file: (file.run, file.part, file.name, file.location))

    def with_others_of_their_runs(self, files: Sequence[OutcomeFile]) -> list[OutcomeFile]:
        """The files; and beside outcomes the rejected records of the same run, beside these the outcomes."""
        found = {file.location: file for file in files}
        kinds: dict[tuple[str, str], set[Kind]] = {}
        for file in files:
            if file.started_at is not None:
                kinds.setdefault((_folder_of(file), file.run), set()).add(file.kind)
        runs = {run for run, found_kinds in kinds.items() if len(found_kinds) < len(Kind)}
        for folder in {folder for folder, _ in runs}:
            beside = self._find_s3(folder) if folder.startswith(S3_PREFIX) else _find_local(folder)
            for file in beside:
                run = (_folder_of(file), file.run)
                if run in runs and file.kind not in kinds[run]:
                    found.setdefault(file.location, file)
        return sorted(found.values(), key=lambda file: (file.run, file.part, file.name, file.location))

    def outcomes(self, file: OutcomeFile, *, strict: bool = False) -> Iterator[StoredOutcome]:
        """The outcomes of one file. An incomplete last line, as a crash leaves it, is passed over.

        Args:
            file: as `find_files` gave it.
            strict: whether any other line that is not an outcome raises; else it is counted in `unreadable`.

        Raises:
            StorageError: the file cannot be read; or such a line.
        """
        for number, line in enumerate(self.lines(file), 1):
            try:
                yield _outcome_decoder.decode(line)
            except BAD_LINE as error:
                if not line.endswith(b"\n"):
                    return
                if not strict:
                    self.unreadable[file.location] = self.unreadable.get(file.location, 0) + 1
                    continue
                raise StorageError(
                    file.location, f"line {number} is not a stored outcome.", "Leave this file out, or fix the line."
                ) from error

    def rejected(self, file: OutcomeFile) -> Iterator[RejectedRecord]:
        """The rejected records of one file.

        Lines that are not standard JSON, or that lost their `rejection` to someone's editor, are passed over.
        """
        for line in self.lines(file):
            try:
                yield _rejected_decoder.decode(line)
            except BAD_LINE:
                continue

    def lines(self, file: OutcomeFile) -> Iterator[bytes]:
        """The lines of one file, with their newline."""
        if file.location.startswith(S3_PREFIX):
            yield from self._s3_lines(file.location)
            return
        try:
            with Path(file.location).open("rb", buffering=READ_BYTES) as lines:
                yield from lines
        except OSError as error:
            raise _unreadable(file.location, error) from error

    def runs(self, locations: Sequence[str]) -> list[RunFile]:
        """Run files at the places, and beside files that are named outright; newest first."""
        return read_runs(self._blobs(locations, RUN_PREFIX), self._read)

    def reconciled(self, locations: Sequence[str]) -> list[ReconcileFile]:
        """Verdict files at the places, and beside files that are named outright; newest first."""
        return read_reconciled(self._blobs(locations, RECONCILE_PREFIX), self._read)

    @property
    def _s3(self) -> S3Client:
        return self._given or _default_s3_client()

    def _find_s3(self, location: str) -> Iterator[OutcomeFile]:
        for key, outright in self._s3_keys(location):
            bucket, _ = _split(location)
            name = key.rpartition("/")[2]
            file = _file(f"{S3_PREFIX}{bucket}/{key}", name, named_outright=outright)
            if file is not None:
                yield file

    def _s3_keys(self, location: str) -> Iterator[tuple[str, bool]]:
        from destination_marketo_programs.storage.s3_client import (  # noqa: PLC0415 - only S3 users pay for the import
            list_objects,
        )

        bucket, prefix = _split(location)
        folder = prefix if not prefix or prefix.endswith("/") else prefix + "/"
        for found in list_objects(self._s3, bucket, prefix, location):
            if found.name == prefix or found.name.startswith(folder):
                yield found.name, found.name == prefix

    def _s3_lines(self, location: str) -> Iterator[bytes]:
        rest = b""
        for chunk in self._s3_chunks(location):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line + b"\n"
        if rest:
            yield rest

    def _s3_chunks(self, location: str) -> Iterator[bytes]:
        from destination_marketo_programs.storage.s3_client import read_chunks  # noqa: PLC0415 - as above

        bucket, key = _split(location)
        return read_chunks(self._s3, bucket, key, location, READ_BYTES)

    def _blobs(self, locations: Sequence[str], prefix: str) -> list[Blob]:
        """Names are whole locations."""
        found: dict[str, Blob] = {}
        for location in locations:
            if location.startswith(S3_PREFIX):
                blobs = self._s3_blobs(location, prefix)
            else:
                place = Path(location)
                folder = place if place.is_dir() else place.parent
                blobs = [blob._replace(name=str(folder / blob.name)) for blob in blobs_below(folder, prefix)]
            found.update((blob.name, blob) for blob in blobs)
        return list(found.values())

    def _s3_blobs(self, location: str, prefix: str) -> list[Blob]:
        from destination_marketo_programs.storage.s3_client import list_objects  # noqa: PLC0415 - as above

        bucket, key = _split(location)
        folder = key.rpartition("/")[0] if key.endswith(".jsonl") else key.rstrip("/")
        top = f"{folder}/" if folder else ""
        return [
            blob._replace(name=f"{S3_PREFIX}{bucket}/{blob.name}")
            for blob in list_objects(self._s3, bucket, top, location)
            if blob.name.rpartition("/")[2].startswith(prefix)
        ]

    def _read(self, name: str) -> bytes | None:
        if name.startswith(S3_PREFIX):
            return b"".join(self._s3_chunks(name))
        try:
            return Path(name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(name, error) from error


def reader_for(storage: NoStorage | LocalStorage | S3Storage) -> Reader:
    """A reader with the access that the configuration gives, for its own places and others.

    Raises:
        StorageError: the settings cannot make a client.
    """
    if storage.storage_type != "S3":
        return Reader()
    from destination_marketo_programs.storage.s3_client import make_client  # noqa: PLC0415 - only S3 users pay for it

    return Reader(make_client(storage))


def location_of(storage: NoStorage | LocalStorage | S3Storage) -> str | None:
    """Where a storage keeps its files, as `find_files` takes it; None if nothing is kept."""
    match storage.storage_type:
        case "None":
            return None
        case "Local":
            return storage.path
        case "S3":
            return f"{S3_PREFIX}{storage.s3_bucket_name}/{storage.bucket_path.strip('/')}".rstrip("/")
        case unknown:
            assert_never(unknown)


def find_files(locations: Sequence[str]) -> list[OutcomeFile]:
    """All stored files at the given places, each once, in the order of time.

    Args:
        locations: files, folders (searched with their subfolders), `s3://bucket/key` or `s3://bucket/prefix`; S3
            through the default credential chain and `AWS_ENDPOINT_URL`. A file named outright counts as outcomes
            unless its name begins with `rejected-`; run files, verdicts and memory are passed over.

    Raises:
        StorageError: a place does not exist, cannot be read, or holds no outcome file.
    """
    return Reader().find_files(locations)


def iter_outcomes(locations: Sequence[str]) -> Iterator[StoredOutcome]:
    """Every outcome of the files that `find_files` finds, in its order: by start of sync, then as written.

    An incomplete last line, as a crash leaves it, is passed over.

    Raises:
        StorageError: as `find_files`; or a line that is not an outcome.
    """
    reader = Reader()
    for file in reader.find_files(locations):
        if file.kind is Kind.OUTCOMES:
            yield from reader.outcomes(file, strict=True)


_outcome_decoder = msgspec.json.Decoder(StoredOutcome)
_rejected_decoder = msgspec.json.Decoder(RejectedRecord)


def _folder_of(file: OutcomeFile) -> str:
    return file.location.rpartition("/")[0] or "/"


def _file(location: str, name: str, *, named_outright: bool) -> OutcomeFile | None:
    known = _NAME.fullmatch(name)
    if known is None:
        if not named_outright or _BESIDE.fullmatch(name):
            return None
        kind = Kind.REJECTED if name.startswith(f"{Kind.REJECTED}-") else Kind.OUTCOMES
        return OutcomeFile(location, name, kind, location, None, 0)
    started_at = datetime.strptime(known["start"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    return OutcomeFile(
        location, name, Kind(known["kind"]), f"{known['start']}-{known['run']}", started_at, int(known["part"])
    )


def _find_local(location: str) -> Iterable[OutcomeFile]:
    place = Path(location)
    try:
        if place.is_dir():
            paths = [path for path in place.rglob("*.jsonl") if path.is_file()]
            outright = False
        elif place.is_file():
            paths, outright = [place], True
        else:
            raise StorageError(location, "there is no such file or folder.", "Check the path.")
    except OSError as error:
        raise _unreadable(location, error) from error
    files = (_file(str(path.resolve()), path.name, named_outright=outright) for path in paths)
    return [file for file in files if file is not None]


def _unreadable(location: str, error: OSError) -> StorageError:
    return StorageError(location, f"cannot be read: {error.strerror or error}.", "Check the path and its permissions.")


@cache
def _default_s3_client() -> S3Client:
    from destination_marketo_programs.storage.s3_client import (  # noqa: PLC0415 - only S3 users pay for the import
        make_default_client,
    )

    return make_default_client()


def _split(location: str) -> tuple[str, str]:
    bucket, _, key = location.removeprefix(S3_PREFIX).partition("/")
    return bucket, key
