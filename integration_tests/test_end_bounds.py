"""Asked to end, a process ends within 15 seconds, whatever stands still; and its own ends wait for creates."""

from __future__ import annotations

import array
import fcntl
import json
import signal
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import restarts
import scenario
import test_storage_s3
from harness import Connector, Run, catalog_of, config_for, record, state
from restarts import Attempt

from marketo_sandbox.faults import Fault

if TYPE_CHECKING:
    import subprocess

    from marketo_sandbox import SandboxServer

BOUND_SECONDS = 15.0
PIPE_BYTES = 30_000
"""Of lines of this length a pipe that nobody reads takes no more, or hardly."""
SOON_SECONDS = 4.0
CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
SIGNALS = pytest.mark.parametrize("number", CODES)
moto_server, plain_environment = test_storage_s3.moto_server, test_storage_s3.plain_environment
proxy, bucket = test_storage_s3.proxy, test_storage_s3.bucket


def people(count: int, start: int = 0) -> list[bytes]:
    """Records of different people, a STATE behind each."""
    lines = []
    for number in range(start, start + count):
        lines += [record({"id": number, "email": f"p{number}@example.org"}), state(number + 1, filler="x" * 2_000)]
    return lines


def feed(process: subprocess.Popen[bytes], lines: list[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n".join(lines) + b"\n")
    process.stdin.flush()


def waiting_bytes(process: subprocess.Popen[bytes]) -> int:
    """What nobody has read of its standard output."""
    assert process.stdout is not None
    return int(array.array("i", fcntl.ioctl(process.stdout, termios.FIONREAD, bytes(4)))[0])


def seconds_to_end(process: subprocess.Popen[bytes], number: signal.Signals) -> float:
    """Signal it, and wait for its end without reading what it prints."""
    began = time.monotonic()
    process.send_signal(number)
    assert process.wait(30) == CODES[number]
    return time.monotonic() - began


@SIGNALS
def test_with_a_reader_that_takes_nothing(sandbox: SandboxServer, connector: Connector, number: signal.Signals) -> None:
    """The pipe is full of STATEs in the middle of a line."""
    sandbox.configure(limits=False)
    with connector.start("write", config_for(sandbox), catalog_of("leads")) as process:
        feed(process, people(600))
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        restarts.wait_for(lambda: waiting_bytes(process) >= PIPE_BYTES, process)
        assert sandbox.state.members(1004)
        assert seconds_to_end(process, number) < BOUND_SECONDS


@SIGNALS
def test_with_a_marketo_that_answers_nothing(
    sandbox: SandboxServer, connector: Connector, number: signal.Signals
) -> None:
    """What was settled before is echoed."""
    config = config_for(sandbox, delivery={"max_batch_age_seconds": 1})
    with connector.start("write", config, catalog_of("leads")) as process:
        feed(process, people(10))
        restarts.wait_for(lambda: len(sandbox.state.members(1004)) == 10, process)
        sandbox.faults.add(Fault(name="never", hold_at="before", times=None))
        feed(process, people(10, 10))
        assert sandbox.faults.wait_until_held("never")
        assert seconds_to_end(process, number) < BOUND_SECONDS
        sandbox.faults.clear()
        assert process.stdout is not None
        assert [s["id"] for s in Run(0, process.stdout.read().splitlines()).states][-1] == 10


@SIGNALS
def test_with_an_upload_to_s3_that_hangs(
    sandbox: SandboxServer,
    connector: Connector,
    proxy: test_storage_s3.FaultyProxy,
    bucket: tuple[object, str],
    number: signal.Signals,
) -> None:
    """From the first STATE on no request to the bucket is answered any more, that for the run file included."""
    storage = {
        "storage_type": "S3",
        "s3_bucket_name": bucket[1],
        "s3_bucket_region": "us-east-1",
        "bucket_path": "marketo",
        "access_key_id": test_storage_s3.SECRET_KEY_ID,
        "secret_access_key": test_storage_s3.SECRET,
        "s3_endpoint": proxy.url,
    }
    config = config_for(sandbox, object_storage_config=storage, delivery={"max_batch_age_seconds": 1})

    def hang(_handler: object) -> bool:
        proxy.stall.wait(60)
        return True

    with connector.start("write", config, catalog_of("leads")) as process:
        feed(process, people(1))
        restarts.wait_for(lambda: len(sandbox.state.members(1004)) == 1, process)
        proxy.fault = hang
        seen = proxy.count("PUT")
        feed(process, people(1, 1))
        restarts.wait_for(lambda: proxy.count("PUT") > seen, process)
        assert seconds_to_end(process, number) < BOUND_SECONDS


@SIGNALS
@pytest.mark.parametrize("endpoint", ["usage.today", "channels.browse"])
def test_during_the_checks(sandbox: SandboxServer, connector: Connector, number: signal.Signals, endpoint: str) -> None:
    """Nothing can be lost by ending a read at once."""
    sandbox.faults.add(Fault(name="never", endpoint=endpoint, hold_at="before"))
    with connector.start("write", config_for(sandbox), catalog_of("leads")) as process:
        feed(process, people(1))
        assert sandbox.faults.wait_until_held("never", timeout_seconds=60)
        assert seconds_to_end(process, number) < SOON_SECONDS
        sandbox.faults.release("never")
    assert sandbox.state.lead_count() == 0


def test_a_refusal_that_ends_the_sync_waits_for_creates_in_flight(
    sandbox: SandboxServer, connector: Connector, tmp_path: Path
) -> None:
    """No new call begins; the create that is under way is answered, and the run file says that none is left."""
    folder = tmp_path / "outcomes"
    sandbox.configure(limits=False)
    sandbox.faults.add(
        Fault(name="slow", endpoint="leads.sync", hold_at="before"),
        Fault(name="refused", endpoint="leads.sync", code="603"),
    )
    storage = {"storage_type": "Local", "path": str(folder)}
    with connector.start("write", config_for(sandbox, object_storage_config=storage), catalog_of("leads")) as process:
        feed(process, people(900))
        assert sandbox.faults.wait_until_held("slow")
        restarts.wait_for(lambda: sandbox.faults.fired("refused"), process)
        calls = sandbox.calls.count()
        assert process.poll() is None
        sandbox.faults.release("slow")
        out, err = process.communicate(timeout=60)
    run = Run(process.returncode, out.splitlines(), err.decode())
    assert run.code == 1, run.text
    assert run.error["failure_type"] == "config_error"
    assert sandbox.calls.count() <= calls + 1
    (told,) = scenario.run_files(folder)
    assert (told.ending, told.creates_unanswered) != ("complete", True)
    assert not told.creates_unanswered


# --- what would end well although something is owed ------------------------------------------------------------------


@pytest.mark.parametrize("lost", ["an_entry", "an_outcome", "a_state"])
def test_a_core_that_loses_something_never_ends_well(sandbox: SandboxServer, tmp_path: Path, lost: str) -> None:
    """Broken on purpose: a stage forgets an entry, settlement an outcome, the ledger a STATE."""
    folder = tmp_path / "outcomes"
    attempt = Attempt(tmp_path, restarts.config(sandbox, folder, "rest"), folder, patch=f"losing:{lost}")
    attempt.send([record({"id": n, "email": f"p{n}@example.org", "event_id": "expo"}) for n in range(10)])
    attempt.send([state(1)])
    run = attempt.finish()
    assert run.code == 1, run.text
    assert run.error["failure_type"] == "system_error"
    assert "fault of the connector" in run.error["message"]


# --- memory ----------------------------------------------------------------------------------------------------------

HELD_BYTES = 24_000_000
ROOM_BYTES = 3 * HELD_BYTES
"""What is held, what is read ahead, and what the interpreter keeps of both."""


def peak_bytes(process: subprocess.Popen[bytes]) -> int:
    """Most memory that the process ever had."""
    status = Path(f"/proc/{process.pid}/status").read_text("ascii")
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1_024


def test_states_that_wait_are_held_within_one_bound(sandbox: SandboxServer, connector: Connector) -> None:
    """One record waits for Marketo, and 3,000 STATEs of 200 kB come behind it."""
    sandbox.faults.add(Fault(name="held", endpoint="leads.sync", hold_at="before"))
    config = config_for(sandbox, delivery={"max_batch_age_seconds": 1})
    process = connector.start("write", config, catalog_of("leads"))
    feed(process, [record({"id": 1, "email": "p1@example.org"})])
    assert sandbox.faults.wait_until_held("held")
    before = peak_bytes(process)
    taken = 0

    def feed_states() -> None:
        nonlocal taken
        for number in range(3_000):
            feed(process, [state(number, filler="x" * 200_000)])
            taken += 1

    def read() -> None:
        assert process.stdout is not None
        echoed.extend(json.loads(line)["state"]["id"] for line in process.stdout if b'"STATE"' in line[:40])

    echoed: list[int] = []
    threads = [threading.Thread(target=feed_states), threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    restarts.wait_for(lambda: taken * 200_000 > HELD_BYTES / 2, process)
    stands = -1

    def still() -> bool:
        nonlocal stands
        before_look, stands = stands, taken
        time.sleep(0.5)
        return before_look == taken

    restarts.wait_for(still, process)
    assert taken * 200_000 < 2 * HELD_BYTES
    assert peak_bytes(process) < before + ROOM_BYTES
    sandbox.faults.release("held")
    restarts.wait_for(lambda: taken == 3_000)
    assert peak_bytes(process) < before + ROOM_BYTES
    assert process.stdin is not None
    process.stdin.close()
    for thread in threads:
        thread.join(60)
    assert process.wait(30) == 0
    assert process.stderr is not None
    process.stderr.close()
    assert echoed == list(range(3_000))


def test_a_line_of_300_mb_is_refused_early(sandbox: SandboxServer, connector: Connector) -> None:
    config = config_for(sandbox)
    process = connector.start("write", config, catalog_of("leads"))
    assert process.stdin is not None
    piece = b"x" * 1_000_000
    taken = 0
    try:
        process.stdin.write(b'{"type":"RECORD","record":{"stream":"leads","data":{"email":"')
        for _ in range(300):
            process.stdin.write(piece)
            taken += 1
            peak = peak_bytes(process)
    except (BrokenPipeError, ValueError):
        process.stdin = None
    out, err = process.communicate(timeout=30)
    run = Run(process.returncode, out.splitlines(), err.decode())
    assert run.code == 1
    assert run.error["failure_type"] == "system_error"
    assert "Line 1 " in run.error["message"]
    assert taken < 150
    assert peak < 300_000_000
