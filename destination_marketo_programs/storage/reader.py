"""Reads what stores have written: files, folders and S3 prefixes, in the order of time, line by line."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from destination_marketo_programs.outcomes import Outcome
from destination_marketo_programs.storage.lines import Kind, RejectedRecord
from destination_marketo_programs.storage.store import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mypy_boto3_s3 import S3Client

S3_PREFIX = "s3://"
READ_BYTES = 1 << 20

_NAME = re.compile(r"(?P<kind>outcomes|rejected)-(?P<start>\d{8}T\d{6}Z)-(?P<run>[A-Za-z0-9]+)-(?P<part>\d+)\.jsonl")
_T = TypeVar("_T")


class OutcomeFile(NamedTuple):
    """One stored file.

    Attributes:
        location: its path or `s3://bucket/key`.
        name: the last part of `location`.
        kind: outcomes or rejected records.
        run: attempt that wrote it, `<start>-<run id>` from its name; the location where the name is of no known
            form. Record keys that are positions are comparable within one run only.
        started_at: start of the sync, from the name; None where the name is of no known form.
        part: number within the run.
    """

    location: str
    name: str
    kind: Kind
    run: str
    started_at: datetime | None
    part: int


def find_files(locations: Sequence[str]) -> list[OutcomeFile]:
    """All stored files at the given places, each once, in the order of time.

    Args:
        locations: files, folders (searched with their subfolders), `s3://bucket/key` or `s3://bucket/prefix`; S3
            through the default credential chain and `AWS_ENDPOINT_URL`. A file named outright counts as outcomes
            unless its name begins with `rejected-`.

    Raises:
        StorageError: a place does not exist, cannot be read, or holds no outcome file.
    """
    found: dict[str, OutcomeFile] = {}
    for location in locations:
        files = list(_find_s3(location) if location.startswith(S3_PREFIX) else _find_local(location))
        if not files:
            raise StorageError(
                location, "there is no outcome file here.", "Name the folder or file that holds outcomes-*.jsonl."
            )
        found.update((file.location, file) for file in files)
    return sorted(found.values(), key=lambda file: (file.run, file.part, file.name, file.location))


def iter_outcomes(locations: Sequence[str]) -> Iterator[Outcome]:
    """Every outcome of the files that `find_files` finds, in its order: by start of sync, then as written.

    An incomplete last line, as a crash leaves it, is passed over.

    Raises:
        StorageError: as `find_files`; or a line that is no outcome.
    """
    for file in find_files(locations):
        if file.kind is Kind.OUTCOMES:
            yield from iter_file(file)


def iter_file(file: OutcomeFile) -> Iterator[Outcome]:
    """The outcomes of one file; see `iter_outcomes`."""
    return _decoded(file, _outcome_decoder)


def iter_rejected(file: OutcomeFile) -> Iterator[RejectedRecord]:
    """The rejected records of one file; see `iter_outcomes`.

    Lines that are not standard JSON, or that lost their `rejection` to someone's editor, are passed over.
    """
    return _decoded(file, _rejected_decoder)


_outcome_decoder = msgspec.json.Decoder(Outcome)
_rejected_decoder = msgspec.json.Decoder(RejectedRecord)


def _decoded(file: OutcomeFile, decoder: msgspec.json.Decoder[_T]) -> Iterator[_T]:
    decode = decoder.decode
    for number, line in enumerate(_lines(file), 1):
        try:
            yield decode(line)
        except msgspec.DecodeError as error:
            if not line.endswith(b"\n"):
                return
            if file.kind is Kind.REJECTED:
                continue
            raise StorageError(
                file.location,
                f"line {number} is no stored outcome.",
                "Leave this file out, or mend the line.",
            ) from error


def _lines(file: OutcomeFile) -> Iterator[bytes]:
    if file.location.startswith(S3_PREFIX):
        yield from _s3_lines(file.location)
        return
    try:
        with Path(file.location).open("rb", buffering=READ_BYTES) as lines:
            yield from lines
    except OSError as error:
        raise _unreadable(file.location, error) from error


def _file(location: str, name: str, *, named_outright: bool) -> OutcomeFile | None:
    known = _NAME.fullmatch(name)
    if known is None:
        if not named_outright:
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
def _s3_client() -> S3Client:
    from destination_marketo_programs.storage.s3 import (  # noqa: PLC0415 - only S3 users pay for the import
        make_default_client,
    )

    return make_default_client()


def _split(location: str) -> tuple[str, str]:
    bucket, _, key = location.removeprefix(S3_PREFIX).partition("/")
    return bucket, key


def _find_s3(location: str) -> Iterator[OutcomeFile]:
    from destination_marketo_programs.storage.s3 import list_keys  # noqa: PLC0415 - see `_s3_client`

    bucket, prefix = _split(location)
    folder = prefix if not prefix or prefix.endswith("/") else prefix + "/"
    for key in list_keys(_s3_client(), bucket, prefix, location):
        if key == prefix or key.startswith(folder):
            name = key.rpartition("/")[2]
            file = _file(f"{S3_PREFIX}{bucket}/{key}", name, named_outright=key == prefix)
            if file is not None:
                yield file


def _s3_lines(location: str) -> Iterator[bytes]:
    from destination_marketo_programs.storage.s3 import read_chunks  # noqa: PLC0415 - see `_s3_client`

    bucket, key = _split(location)
    rest = b""
    for chunk in read_chunks(_s3_client(), bucket, key, location, READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line + b"\n"
    if rest:
        yield rest
