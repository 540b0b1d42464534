"""S3 and what is compatible with it: each commit uploads what was added as new objects."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, TypeVar

from botocore.exceptions import ClientError

from destination_marketo_programs.storage.lines import Kind, append_outcome, append_rejected
from destination_marketo_programs.storage.s3_client import PATIENCE, secrets_of
from destination_marketo_programs.storage.s3_errors import explained
from destination_marketo_programs.storage.store import Blob, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mypy_boto3_s3 import S3Client

    from destination_marketo_programs.config import S3Storage
    from destination_marketo_programs.outcomes import Outcome
    from destination_marketo_programs.storage.s3_client import Patience
    from destination_marketo_programs.storage.store import PartNames

MAX_PART_BYTES = 8_000_000
"""Size of one object, and bound of what is kept in memory for each of the two kinds."""

COMMIT_INTERVAL_SECONDS = 10.0
"""Objects cost per upload: at most about 720 an hour, and STATE waits no longer than this."""

_LOOK_SECONDS = 0.1
_MISSING = {"NoSuchKey", "404", "NotFound"}
_T = TypeVar("_T")


class S3Store:
    """An `OutcomeStore` in a bucket. Every upload is an object of its own; only blobs are ever written again.

    Each call runs in a thread of its own that nobody waits for longer than a time limit: the client's own limits
    hold for single reads and attempts, and do not bound a call in which each of them succeeds a little.
    """

    commit_interval_seconds = COMMIT_INTERVAL_SECONDS

    def __init__(
        self,
        client: S3Client,
        storage: S3Storage,
        names: PartNames,
        *,
        max_part_bytes: int = MAX_PART_BYTES,
        patience: Patience = PATIENCE,
    ) -> None:
        self._client = client
        self._bucket = storage.s3_bucket_name
        self._folder = storage.bucket_path.strip("/")
        self._names = names
        self._max_part_bytes = max_part_bytes
        self._call_limit_seconds = patience.call_limit_seconds
        self._give_up_at = float("inf")
        self._buffers = {kind: bytearray() for kind in Kind}
        self._outcomes = self._buffers[Kind.OUTCOMES]
        self._rejected = self._buffers[Kind.REJECTED]
        self._numbers = dict.fromkeys(Kind, 0)
        self._secrets = secrets_of(storage)
        self._failure: StorageError | None = None

    @property
    def takes_outcomes(self) -> bool:
        """See `OutcomeStore`."""
        return True

    @property
    def location(self) -> str:
        """`s3://bucket/path`."""
        return f"s3://{self._bucket}/{self._folder}".rstrip("/")

    @property
    def pending_bytes(self) -> int:
        """Bytes in the two buffers."""
        return sum(map(len, self._buffers.values()))

    @property
    def sync_folder(self) -> str:
        """See `OutcomeStore`."""
        return self._names.folder

    def add(self, outcome: Outcome) -> None:
        """See `OutcomeStore`."""
        append_outcome(self._outcomes, outcome)
        if len(self._outcomes) >= self._max_part_bytes:
            self._upload(Kind.OUTCOMES)

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        """See `OutcomeStore`."""
        append_rejected(self._rejected, line, rejections)
        if len(self._rejected) >= self._max_part_bytes:
            self._upload(Kind.REJECTED)

    def commit(self) -> None:
        """See `OutcomeStore`."""
        for kind in Kind:
            self._upload(kind)

    def probe(self) -> None:
        """See `OutcomeStore`."""
        key = self._key(self._names.probe())
        content = b"destination-marketo-programs\n"
        self._put(key, content, "text/plain")
        try:
            given = self._call("s3:GetObject", lambda: self._read(key))
            self._call(
                "s3:ListBucket", lambda: self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1)
            )
        finally:
            self._call("s3:DeleteObject", lambda: self._client.delete_object(Bucket=self._bucket, Key=key))
        if given != content:
            raise StorageError(
                "object_storage_config", "the bucket gives back other bytes than were written.", "Use another bucket."
            )

    def close(self, within_seconds: float | None = None) -> None:
        """See `OutcomeStore`."""
        if within_seconds is not None:
            self.give_up(within_seconds)
        try:
            if self._failure is None:
                self.commit()
        finally:
            self._client.close()

    def give_up(self, within_seconds: float) -> None:
        """See `OutcomeStore`."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + within_seconds)

    def read_blob(self, name: str) -> bytes | None:
        """See `OutcomeStore`."""
        return self._call("s3:GetObject", lambda: self._read_if_there(self._key(name)))

    def write_blob(self, name: str, data: bytes) -> None:
        """See `OutcomeStore`."""
        self._put(self._key(name), data, "application/json" if name.endswith(".json") else "application/octet-stream")

    def list_blobs(self, prefix: str) -> list[Blob]:
        """See `OutcomeStore`."""
        return self._call("s3:ListBucket", lambda: self._list(prefix))

    def _upload(self, kind: Kind) -> None:
        if self._failure is not None:
            raise self._failure
        buffer = self._buffers[kind]
        if not buffer:
            return
        self._numbers[kind] += 1
        key = self._key(self._names.folder + self._names.part(kind, self._numbers[kind]))
        try:
            self._put(key, bytes(buffer), "application/x-ndjson")
        except StorageError as error:
            self._failure = error
            raise
        buffer.clear()

    def _put(self, key: str, data: bytes, content_type: str) -> None:
        self._call(
            "s3:PutObject",
            lambda: self._client.put_object(Bucket=self._bucket, Key=key, Body=data, ContentType=content_type),
        )

    def _read(self, key: str) -> bytes:
        return self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()

    def _read_if_there(self, key: str) -> bytes | None:
        try:
            return self._read(key)
        except ClientError as error:
            if str(error.response.get("Error", {}).get("Code", "")) in _MISSING:
                return None
            raise

    def _list(self, prefix: str) -> list[Blob]:
        found = []
        top = self._key("")
        for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=top):
            for entry in page.get("Contents", []):
                name = entry["Key"].removeprefix(top)
                if name.rpartition("/")[2].startswith(prefix):
                    found.append(Blob(name, entry["Size"], entry["LastModified"]))
        return found

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}" if self._folder else name

    def _call(self, permission: str, call: Callable[[], _T]) -> _T:
        answers: list[_T] = []
        errors: list[Exception] = []
        ended = threading.Event()

        def run() -> None:
            try:
                answers.append(call())
            except Exception as error:  # noqa: BLE001 - raised below, in the thread that waits
                errors.append(error)
            finally:
                ended.set()

        limit = time.monotonic() + self._call_limit_seconds
        # Daemonic: a call that hangs does not keep the process.
        threading.Thread(target=run, name="s3", daemon=True).start()
        while not ended.wait(_LOOK_SECONDS):
            if time.monotonic() >= min(limit, self._give_up_at):
                raise self._too_late(given_up=time.monotonic() < limit) from None
        if errors:
            # The original is not chained: its text may quote the request, and with it a key id.
            raise explained(errors[0], self._bucket, permission, self._secrets) from None
        return answers[0]

    def _too_late(self, *, given_up: bool) -> StorageError:
        if given_up:
            return StorageError(
                "object_storage_config",
                f"bucket {self._bucket} did not answer before the sync had to end.",
                "Sync again.",
                transient=True,
            )
        return StorageError(
            "object_storage_config.s3_endpoint",
            f"bucket {self._bucket} did not complete a call within {self._call_limit_seconds:g} seconds.",
            "Check s3_endpoint and the network, then sync again.",
            transient=True,
        )
