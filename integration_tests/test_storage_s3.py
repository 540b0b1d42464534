"""The bucket store through the real client over HTTP, against moto's server, with a proxy that makes faults."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from destination_marketo_programs.config import S3Storage
from destination_marketo_programs.outcomes import Outcome, Result
from destination_marketo_programs.storage import (
    Kind,
    Reader,
    StorageError,
    find_files,
    iter_outcomes,
    location_of,
    open_store,
    reader_for,
)
from destination_marketo_programs.storage.reader import _default_s3_client
from destination_marketo_programs.storage.runs import new_run, runs_in, write_run
from destination_marketo_programs.storage.s3 import S3Store
from destination_marketo_programs.storage.s3_client import Patience, make_client
from destination_marketo_programs.storage.store import PartNames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mypy_boto3_s3 import S3Client

START = datetime(2026, 11, 23, 10, 0, 0, tzinfo=UTC)
LINE = b'{"type":"RECORD","record":{"stream":"s","data":{"email":"ada@example.org"}}}'
SECRET_KEY_ID = "AKIATESTONLYKEYID000"
SECRET = "throw/away+secret"
IMPATIENT = Patience(connect_timeout_seconds=1, read_timeout_seconds=0.3, max_attempts=2)


class FaultyProxy(ThreadingHTTPServer):
    """Forwards to moto, unless `fault` answers a request itself. Keeps what passed by.

    Attributes:
        fault: called with each handler; True when it has answered (or decided not to).
        seen: method, path and Authorization header of each request.
        stall: set when the test is over, so that a stalled handler ends.
    """

    daemon_threads = True

    def __init__(self, upstream: tuple[str, int]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream
        self.fault: Callable[[_Handler], bool] = lambda _: False
        self.seen: list[tuple[str, str, str]] = []
        self.stall = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count(self, method: str) -> int:
        return sum(1 for seen_method, _, _ in self.seen if seen_method == method)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy
    body = b""

    def _handle(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path, self.headers.get("Authorization", "")))
        if self.server.fault(self):
            return
        connection = http.client.HTTPConnection(*self.server.upstream, timeout=10)
        connection.request(self.command, self.path, self.body, dict(self.headers))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        kept = [(k, v) for k, v in answer.getheaders() if k.lower() not in {"transfer-encoding", "connection"}]
        self._send(answer.status, content, kept)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _handle  # noqa: N815 - names of the standard library

    def error(self, status: int, code: str) -> bool:
        self._send(status, f"<Error><Code>{code}</Code><Message>{code} {SECRET}</Message></Error>".encode())
        return True

    def _send(self, status: int, content: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers or [("Content-Type", "application/xml")]:
            if name.lower() != "content-length":
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - name of the standard library
        """Tests look at `seen` instead."""


@pytest.fixture(scope="module")
def moto_server() -> Iterator[tuple[str, int]]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    yield server.get_host_and_port()
    server.stop()


@pytest.fixture
def proxy(moto_server: tuple[str, int]) -> Iterator[FaultyProxy]:
    server = FaultyProxy(moto_server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield server
    server.stall.set()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    _default_s3_client.cache_clear()


@pytest.fixture
def bucket(moto_server: tuple[str, int]) -> tuple[S3Client, str]:
    client = boto3.client(
        "s3",
        region_name="us-east-1",
        endpoint_url="http://{}:{}".format(*moto_server),
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )
    name = f"outcomes-{uuid.uuid4().hex}"
    client.create_bucket(Bucket=name)
    return client, name


def settings(proxy: FaultyProxy, bucket: str, **others: str) -> S3Storage:
    members = {
        "s3_bucket_name": bucket,
        "s3_bucket_region": "us-east-1",
        "bucket_path": "/airbyte/marketo/",
        "access_key_id": SECRET_KEY_ID,
        "secret_access_key": SECRET,
        "s3_endpoint": proxy.url,
    }
    return S3Storage.model_validate(members | others)


def store_for(
    storage: S3Storage, run_id: str = "run1", max_part_bytes: int = 8_000_000, patience: Patience = IMPATIENT
) -> S3Store:
    names = PartNames(START, run_id)
    return S3Store(make_client(storage, patience), storage, names, max_part_bytes=max_part_bytes, patience=patience)


def outcome(key: str = "k1", result: Result = Result.CREATED) -> Outcome:
    return Outcome("s", key, None, 1, "On List", result, category=None, at="2026-11-23T10:00:00Z")


def keys_in(client: S3Client, name: str) -> list[str]:
    return [entry["Key"] for entry in client.list_objects_v2(Bucket=name).get("Contents", [])]


@contextmanager
def fails(*told: str, path: str) -> Iterator[None]:
    with pytest.raises(StorageError) as caught:
        yield
    text = f"{caught.value}"
    assert caught.value.path == f"object_storage_config.{path}"
    for part in told:
        assert part in text
    assert SECRET not in text
    assert SECRET_KEY_ID not in text
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_each_commit_is_an_object_of_its_own_that_reads_back(
    proxy: FaultyProxy, bucket: tuple[S3Client, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, name = bucket
    store = open_store(settings(proxy, name), sync_started_at=START, run_id="run-1")
    assert store.location == f"s3://{name}/airbyte/marketo"
    assert store.commit_interval_seconds == 10
    store.commit()
    assert proxy.seen == [], "nothing to store, nothing sent"
    store.add(outcome("k1"))
    store.add_rejected(LINE, [outcome("k1", Result.REJECTED)])
    assert proxy.seen == [], "gathers until the commit"
    store.commit()
    store.add(outcome("k2"))
    store.close()
    assert keys_in(client, name) == [
        "airbyte/marketo/outcomes-20261123T100000Z-run1-00001.jsonl",
        "airbyte/marketo/outcomes-20261123T100000Z-run1-00002.jsonl",
        "airbyte/marketo/rejected-20261123T100000Z-run1-00001.jsonl",
    ]
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader")
    assert [found.record_key for found in iter_outcomes([store.location])] == ["k1", "k2"]
    rejected = next(file for file in find_files([store.location]) if file.kind is Kind.REJECTED)
    assert [bytes(record.record.data) for record in Reader().rejected(rejected)] == [b'{"email":"ada@example.org"}']
    one = f"s3://{name}/airbyte/marketo/outcomes-20261123T100000Z-run1-00002.jsonl"
    assert [found.record_key for found in iter_outcomes([one])] == ["k2"]
    with pytest.raises(StorageError, match="no outcome file"):
        list(iter_outcomes([f"s3://{name}/airbyte/mark"]))


def test_a_bucket_that_cannot_be_read_is_told_with_its_address(
    proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader")
    with pytest.raises(StorageError, match="no such bucket") as caught:
        list(iter_outcomes(["s3://gone-for-good/x"]))
    assert caught.value.path == "s3://gone-for-good/x"


def test_large_objects_read_back_line_by_line(
    proxy: FaultyProxy, bucket: tuple[S3Client, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = store_for(settings(proxy, bucket[1]))
    expected = [f"{number}-{'é' * (number % 50)}" for number in range(15_000)]
    for key in expected:
        store.add(outcome(key))
    store.close()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "reader")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "reader")
    assert [found.record_key for found in iter_outcomes([f"s3://{bucket[1]}"])] == expected


def test_memory_is_bounded_without_a_commit(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    client, name = bucket
    store = store_for(settings(proxy, name, bucket_path=""), max_part_bytes=20_000)
    largest = 0
    for number in range(500):
        store.add(outcome(str(number)))
        largest = max(largest, store.pending_bytes)
    assert largest < 20_000
    store.close()
    sizes = [entry["Size"] for entry in client.list_objects_v2(Bucket=name)["Contents"]]
    assert len(sizes) > 3
    assert max(sizes) < 20_500


def test_a_500_is_tried_again_and_stored_once(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    client, name = bucket
    store = store_for(settings(proxy, name))
    proxy.fault = lambda handler: proxy.count("PUT") == 1 and handler.error(500, "InternalError")
    store.add(outcome())
    store.commit()
    assert proxy.count("PUT") == 2
    assert len(keys_in(client, name)) == 1


def test_lasting_500s_end_the_store_for_good(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    client, name = bucket
    store = store_for(settings(proxy, name))
    proxy.fault = lambda handler: handler.error(503, "SlowDown")
    store.add(outcome())
    with fails("SlowDown", "Sync again later", path="s3_bucket_name"):
        store.commit()
    assert proxy.count("PUT") == IMPATIENT.max_attempts
    proxy.fault = lambda _: False
    with pytest.raises(StorageError) as caught:
        store.commit()
    assert caught.value.transient
    store.close()
    assert keys_in(client, name) == []


def test_a_storage_that_stalls_is_given_up_in_bounded_time(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    store = store_for(settings(proxy, bucket[1]))
    proxy.fault = lambda _: proxy.stall.wait(30) or True
    store.add(outcome())
    with fails("does not answer", path="s3_endpoint"):
        store.commit()
    assert proxy.count("PUT") == IMPATIENT.max_attempts


def test_access_denied_names_the_permission(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    store = store_for(settings(proxy, bucket[1]))
    for method, permission in (("PUT", "s3:PutObject"), ("GET", "s3:GetObject"), ("DELETE", "s3:DeleteObject")):
        proxy.fault = lambda handler, method=method: (  # type: ignore[misc]  # bound per turn of the loop
            handler.command == method and handler.error(403, "AccessDenied")
        )
        with fails(permission, f"arn:aws:s3:::{bucket[1]}/*", path="s3_bucket_name"):
            store.probe()


def test_probe_writes_reads_lists_and_deletes(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    client, name = bucket
    store_for(settings(proxy, name)).probe()
    assert [method for method, _, _ in proxy.seen] == ["PUT", "GET", "GET", "DELETE"]
    assert keys_in(client, name) == []


def test_a_bucket_deleted_during_the_sync_ends_it(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    client, name = bucket
    store = store_for(settings(proxy, name))
    client.delete_bucket(Bucket=name)
    store.add(outcome())
    with fails("no such bucket", path="s3_bucket_name"):
        store.commit()


@pytest.mark.parametrize(
    ("status", "code", "path"),
    [
        (403, "InvalidAccessKeyId", "access_key_id"),
        (403, "SignatureDoesNotMatch", "secret_access_key"),
        (400, "AuthorizationHeaderMalformed", "s3_bucket_region"),
        (400, "SomethingNew", "s3_bucket_name"),
    ],
)
def test_answers_are_told_by_the_setting_at_fault(
    proxy: FaultyProxy, bucket: tuple[S3Client, str], status: int, code: str, path: str
) -> None:
    proxy.fault = lambda handler: handler.error(status, code)
    with fails(path=path):
        store_for(settings(proxy, bucket[1])).probe()


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"s3_endpoint": "http://127.0.0.1:9"}, "s3_endpoint"),
        ({"s3_bucket_name": "not a bucket"}, "s3_bucket_name"),
        ({"access_key_id": "", "secret_access_key": ""}, "access_key_id"),
    ],
)
def test_settings_that_cannot_work_are_told(
    proxy: FaultyProxy, bucket: tuple[S3Client, str], change: dict[str, str], path: str
) -> None:
    with fails(path=path):
        store_for(settings(proxy, bucket[1], **change)).probe()


def test_blank_keys_mean_the_environment(
    proxy: FaultyProxy, bucket: tuple[S3Client, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "FROMENVIRONMENT")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    store_for(settings(proxy, bucket[1], access_key_id="", secret_access_key="")).probe()
    assert all("Credential=FROMENVIRONMENT/" in authorization for _, _, authorization in proxy.seen)


def test_a_role_is_assumed_for_the_bucket(
    proxy: FaultyProxy, bucket: tuple[S3Client, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy.url)
    monkeypatch.setenv("AWS_ASSUME_ROLE_EXTERNAL_ID", "workspace-1")
    bodies: list[bytes] = []

    def watch(handler: _Handler) -> bool:
        bodies.append(handler.body)
        return False

    proxy.fault = watch
    role = "arn:aws:iam::123456789012:role/marketo-outcomes"
    store_for(settings(proxy, bucket[1], role_arn=role)).probe()
    (sts_method, _, sts_authorization), *s3_calls = proxy.seen
    assert sts_method == "POST"
    assert f"Credential={SECRET_KEY_ID}/" in sts_authorization
    assert b"ExternalId=workspace-1" in bodies[0]
    assert len(s3_calls) == 4
    assert all("Credential=ASIA" in authorization for _, _, authorization in s3_calls)


def test_a_role_that_may_not_be_assumed_is_told(
    proxy: FaultyProxy, bucket: tuple[S3Client, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", proxy.url)
    proxy.fault = lambda handler: handler.error(403, "AccessDenied")
    with fails("cannot be assumed", path="role_arn"):
        store_for(settings(proxy, bucket[1], role_arn="arn:aws:iam::123456789012:role/nobody")).probe()


def test_two_attempts_at_once_share_no_object(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    client, name = bucket
    stores = [store_for(settings(proxy, name), run_id) for run_id in ("a", "b")]
    for number in range(3):
        for store in stores:
            store.add(outcome(str(number)))
            store.commit()
    assert len(keys_in(client, name)) == 6
    lines = [json.loads(client.get_object(Bucket=name, Key=key)["Body"].read()) for key in keys_in(client, name)]
    assert sorted(line["record_key"] for line in lines) == ["0", "0", "1", "1", "2", "2"]


def reset_after_storing(handler: _Handler) -> bool:
    """The object is stored, and the answer never comes: the connection is reset."""
    connection = http.client.HTTPConnection(*handler.server.upstream, timeout=10)
    connection.request(handler.command, handler.path, handler.body, dict(handler.headers))
    connection.getresponse().read()
    connection.close()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()
    return True


def test_an_answer_that_is_always_lost_ends_after_the_attempts(
    proxy: FaultyProxy, bucket: tuple[S3Client, str]
) -> None:
    client, name = bucket
    store = store_for(settings(proxy, name))
    proxy.fault = reset_after_storing
    store.add(outcome())
    with fails("does not answer", path="s3_endpoint"):
        store.commit()
    assert proxy.count("PUT") == IMPATIENT.max_attempts
    assert len(keys_in(client, name)) == 1, "the same key each time"


@pytest.mark.parametrize("status", [301, 307])
@pytest.mark.parametrize("code", ["PermanentRedirect", "TemporaryRedirect", ""])
def test_endless_redirects_end(proxy: FaultyProxy, bucket: tuple[S3Client, str], status: int, code: str) -> None:
    def redirect(handler: _Handler) -> bool:
        body = f"<Error><Code>{code}</Code><Bucket>x</Bucket><Endpoint>other.example</Endpoint></Error>" if code else ""
        region = f"eu-west-{len(proxy.seen)}"
        handler._send(status, body.encode(), [("Location", f"{proxy.url}/x"), ("x-amz-bucket-region", region)])
        return True

    proxy.fault = redirect
    store = store_for(settings(proxy, bucket[1]))
    with pytest.raises(StorageError) as caught:
        store.probe()
    assert caught.value.path in {"object_storage_config.s3_bucket_region", "object_storage_config.s3_endpoint"}
    assert SECRET not in str(caught.value)
    assert len(proxy.seen) < 50


def test_a_call_is_bounded_as_a_whole_however_its_parts_are(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    store = store_for(settings(proxy, bucket[1]), patience=Patience(1, 30, 2, call_limit_seconds=0.5))
    proxy.fault = lambda _: proxy.stall.wait(30) or True
    store.add(outcome())
    with fails("did not complete a call", path="s3_endpoint"):
        store.commit()


def test_an_upload_that_hangs_can_be_given_up(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    store = store_for(settings(proxy, bucket[1]), patience=Patience(1, 30, 2))
    hanging = threading.Event()

    def hang(_: _Handler) -> bool:
        hanging.set()
        return proxy.stall.wait(30)

    proxy.fault = hang
    store.add(outcome())

    def give_up() -> None:
        hanging.wait(20)
        store.give_up(0.2)

    threading.Thread(target=give_up, daemon=True).start()
    began = time.monotonic()
    with pytest.raises(StorageError, match="before the sync had to end") as caught:
        store.commit()
    assert caught.value.transient
    with pytest.raises(StorageError, match="before the sync had to end"):
        store.read_blob("x")
    store.close()
    assert time.monotonic() - began < 10


def test_closing_has_its_time(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    store = store_for(settings(proxy, bucket[1]), patience=Patience(1, 30, 2))
    proxy.fault = lambda _: proxy.stall.wait(30) or True
    store.add(outcome())
    began = time.monotonic()
    with pytest.raises(StorageError, match="before the sync had to end"):
        store.close(0.3)
    assert time.monotonic() - began < 10


def test_a_hanging_upload_does_not_keep_the_process(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    proxy.fault = lambda _: proxy.stall.wait(60) or True
    script = (
        "import sys\nfrom datetime import UTC, datetime\n"
        "from destination_marketo_programs.config import S3Storage\n"
        "from destination_marketo_programs.outcomes import Outcome, Result\n"
        "from destination_marketo_programs.storage import StorageError, open_store\n"
        "storage = S3Storage.model_validate_json(sys.argv[1])\n"
        "store = open_store(storage, sync_started_at=datetime.now(UTC), run_id='r')\n"
        "store.add(Outcome('s', 'k', None, 1, 'M', Result.CREATED))\n"
        "try:\n    store.close(0.2)\nexcept StorageError:\n    print('gave up')\n"
    )
    given = settings(proxy, bucket[1]).model_dump_json()
    ended = subprocess.run(
        [sys.executable, "-c", script, given], capture_output=True, text=True, timeout=25, check=False
    )
    assert (ended.stdout, ended.returncode) == ("gave up\n", 0), ended.stderr


def test_blobs_and_run_files_are_replaced_and_listed(proxy: FaultyProxy, bucket: tuple[S3Client, str]) -> None:
    store = S3Store(
        make_client(settings(proxy, bucket[1]), IMPATIENT), settings(proxy, bucket[1]), PartNames(START, "r1", "77")
    )
    assert store.read_blob("memory.bin") is None
    store.write_blob("memory.bin", b"1")
    store.write_blob("memory.bin", b"22")
    assert store.read_blob("memory.bin") == b"22"
    assert [(blob.name, blob.size) for blob in store.list_blobs("memory")] == [("memory.bin", 2)]
    run = new_run(run_id="r1", started=START, instance="i", version="0.2.0", sync_id="77")
    write_run(store, run, START)
    assert [found.run_id for found in runs_in(store, "i")] == ["r1"]
    assert "airbyte/marketo/77/run-20261123T100000Z-r1.json" in keys_in(*bucket)
    reader = reader_for(settings(proxy, bucket[1]))
    assert reader.runs([store.location]) == [run]
    assert location_of(settings(proxy, bucket[1])) == store.location
    proxy.fault = lambda handler: handler.command == "GET" and handler.error(403, "AccessDenied")
    with fails("s3:ListBucket", f"arn:aws:s3:::{bucket[1]} ", path="s3_bucket_name"):
        store.list_blobs("memory")
