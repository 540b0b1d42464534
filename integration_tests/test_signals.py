"""SIGTERM and SIGINT whatever stands still: the reader of standard output, the storage, Marketo, another sync."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from harness import Connector, Json, Run, catalog_of, config_for, record, state

from marketo_sandbox.faults import Fault

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from marketo_sandbox import SandboxServer

BOUND_SECONDS = 15.0
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
LARGE = "x" * 20_000


def ended_within_the_bound(process: subprocess.Popen[bytes], number: signal.Signals) -> float:
    began = time.monotonic()
    process.send_signal(number)
    process.wait(BOUND_SECONDS + 10.0)
    return time.monotonic() - began


def write_in_background(process: subprocess.Popen[bytes], data: bytes, *, close: bool = False) -> None:
    def feed() -> None:
        try:
            assert process.stdin is not None
            process.stdin.write(data)
            process.stdin.flush()
            if close:
                process.stdin.close()
        except (BrokenPipeError, ValueError):
            return

    threading.Thread(target=feed, daemon=True).start()


def test_a_reader_that_takes_nothing(sandbox: SandboxServer, connector: Connector) -> None:
    """STATEs of 20 kB each, and a pipe that nobody empties."""
    lines = []
    for place in range(200):
        lines.append(record({"id": place, "email": f"p{place}@example.org"}))
        large = json.loads(state(place))
        large["state"]["note"] = LARGE
        lines.append(json.dumps(large).encode())
    with connector.start("write", config_for(sandbox), catalog_of("leads")) as process:
        write_in_background(process, b"\n".join(lines) + b"\n", close=True)
        deadline = time.monotonic() + 60.0
        while not sandbox.state.members(1004):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        waited = ended_within_the_bound(process, signal.SIGTERM)
    assert process.returncode == CODES[signal.SIGTERM]
    assert waited < BOUND_SECONDS


class Silent:
    """A server that takes connections and never answers: an object store that hangs."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.connected = threading.Event()
        self.held: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.held.append(connection)
            self.connected.set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def close(self) -> None:
        self.listener.close()
        for connection in self.held:
            connection.close()


@pytest.fixture
def silent() -> Iterator[Silent]:
    server = Silent()
    yield server
    server.close()


@pytest.mark.parametrize(("command", "number"), [("check", signal.SIGINT), ("write", signal.SIGTERM)])
def test_a_storage_that_does_not_answer(
    sandbox: SandboxServer, connector: Connector, silent: Silent, command: str, number: signal.Signals
) -> None:
    storage: Json = {
        "storage_type": "S3",
        "s3_bucket_name": "bucket",
        "s3_bucket_region": "eu-central-1",
        "bucket_path": "marketo",
        "access_key_id": "id",
        "secret_access_key": "secret",
        "s3_endpoint": silent.url,
    }
    config = config_for(sandbox, object_storage_config=storage)
    catalog = catalog_of("leads") if command == "write" else None
    with connector.start(command, config, catalog) as process:
        write_in_background(process, record({"id": 1, "email": "a@example.org"}) + b"\n")
        assert silent.connected.wait(60)
        waited = ended_within_the_bound(process, number)
        assert process.stdout is not None
        run = Run(process.returncode, process.stdout.read().splitlines())
    assert run.code == CODES[number]
    assert waited < BOUND_SECONDS
    assert run.states == []


@pytest.mark.parametrize(
    ("endpoint", "number"),
    [("leads.sync", signal.SIGINT), ("members.status", signal.SIGTERM), ("identity.token", signal.SIGTERM)],
)
def test_a_marketo_that_does_not_answer(
    sandbox: SandboxServer, connector: Connector, endpoint: str, number: signal.Signals
) -> None:
    sandbox.faults.add(Fault(name="never", endpoint=endpoint, hold_at="before"))
    with connector.start("write", config_for(sandbox), catalog_of("leads")) as process:
        write_in_background(
            process, b"\n".join(record({"id": n, "email": f"p{n}@example.org"}) for n in range(400)) + b"\n"
        )
        assert sandbox.faults.wait_until_held("never", timeout_seconds=60)
        waited = ended_within_the_bound(process, number)
        sandbox.faults.release("never")
    assert process.returncode == CODES[number]
    assert waited < BOUND_SECONDS


def test_another_sync_that_goes_on(sandbox: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    """It waits for the other one, and ends at once when it is asked to."""
    config = config_for(sandbox, object_storage_config={"storage_type": "Local", "path": str(tmp_path / "outcomes")})

    def started() -> subprocess.Popen[bytes]:
        return connector.start("write", config, catalog_of("leads"))

    with started() as first:
        write_in_background(first, record({"id": 1, "email": "a@example.org"}) + b"\n")
        wait_for_a_run_file(tmp_path)
        with started() as second:
            text = read_until(second, b"Waiting for another sync")
            waited = ended_within_the_bound(second, signal.SIGTERM)
        assert first.poll() is None
        assert first.stdin is not None
        first.stdin.close()
        assert first.wait(60) == 0
    assert b"Waiting for another sync" in text
    assert second.returncode == 143
    assert waited < 5.0


def wait_for_a_run_file(folder: Path) -> None:
    deadline = time.monotonic() + 60.0
    while not any(b'"waiting":false' in path.read_bytes() for path in folder.rglob("run-*.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def read_until(process: subprocess.Popen[bytes], wanted: bytes) -> bytes:
    assert process.stdout is not None
    text = b""
    while wanted not in text:
        line: Any = process.stdout.readline()
        assert line, text
        text += line
    return text


LATE = """
import os, signal, sys
from destination_marketo_programs.failures import Doing
from destination_marketo_programs.process import Process

def command(process):
    os.kill(os.getpid(), signal.Signals[sys.argv[1]])
    if process.stops.wait(60):
        sys.exit("no signal was heard")

os._exit(Process(Doing.WRITE).run(command))
"""


@pytest.mark.parametrize("number", list(CODES))
def test_a_signal_that_comes_when_everything_is_done(number: signal.Signals) -> None:
    """The exit code says that somebody asked, and the log why nothing is missing."""
    ended = subprocess.run([sys.executable, "-c", LATE, number.name], capture_output=True, timeout=60, check=False)
    assert ended.returncode == CODES[number], ended.stderr
    (line,) = ended.stdout.splitlines()
    assert json.loads(line)["log"] == {
        "level": "INFO",
        "message": "The request to stop came when everything was done.",
    }
