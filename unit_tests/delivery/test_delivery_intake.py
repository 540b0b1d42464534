"""Reading stdin: every line once, by its number, and no further ahead than allowed."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.delivery import intake
from destination_marketo_programs.delivery.intake import CHUNK_BYTES, CHUNKS_AHEAD, InputEnded, Intake, Lines
from destination_marketo_programs.protocol import MAX_LINE_BYTES, LineTooLongError

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 10.0


def read_all(
    data: bytes, chunk_bytes: int, max_line_bytes: int = MAX_LINE_BYTES
) -> tuple[list[tuple[int, bytes]], InputEnded]:
    """Numbered lines of an input, with as many permits as it takes."""
    read_end, write_end = os.pipe()

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), os.fdopen(write_end, "wb") as pipe:
            pipe.write(data)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    events: queue.SimpleQueue[Lines | InputEnded] = queue.SimpleQueue()
    numbered: list[tuple[int, bytes]] = []
    with patch.object(intake, "CHUNK_BYTES", chunk_bytes):
        source = Intake(read_end, max_line_bytes)
        source.start(events.put)
        while isinstance(event := events.get(timeout=SECONDS), Lines):
            numbered += list(enumerate(event.lines, event.first_number))
            source.permit()
    os.close(read_end)  # a feeder that nobody reads any more ends with that
    feeder.join(SECONDS)
    return numbered, event


@given(
    st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=20),
    st.booleans(),
    st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_every_line_comes_once_with_its_number_however_it_is_cut(
    lines: list[bytes], last_line_ends: bool, chunk_bytes: int
) -> None:
    data = b"\n".join(lines) + (b"\n" if last_line_ends and lines else b"")
    numbered, ended = read_all(data, chunk_bytes)
    expected = data.split(b"\n")
    if expected[-1] == b"":
        expected.pop()
    assert numbered == list(enumerate(expected, 1))
    assert ended.error is None


def test_a_line_longer_than_a_chunk_does_not_wait_for_permits() -> None:
    """It is not handed over before its end, so that nobody could give a permit for it."""
    line = b"x" * (CHUNKS_AHEAD + 50) * 10
    numbered, _ = read_all(line + b"\nnext", 10)
    assert numbered == [(1, line), (2, b"next")]


@pytest.mark.parametrize(
    ("data", "number", "before"),
    [
        (b"x" * 1_000_000, 1, []),
        (b"a\nb\n" + b"x" * 1_000_000 + b"\nc\n", 3, [b"a", b"b"]),
        (b"x" * 101 + b"\n", 1, []),
    ],
)
def test_a_line_that_is_too_long_ends_the_input_with_its_number(data: bytes, number: int, before: list[bytes]) -> None:
    numbered, ended = read_all(data, 10, max_line_bytes=100)
    assert [line for _, line in numbered] == before
    assert isinstance(ended.error, LineTooLongError)
    assert ended.error.line_number == number
    assert "xx" not in str(ended.error)


def test_a_line_of_just_the_bound_is_read() -> None:
    numbered, ended = read_all(b"a\n" + b"x" * 100 + b"\nb", 10, max_line_bytes=100)
    assert [line for _, line in numbered] == [b"a", b"x" * 100, b"b"]
    assert ended.error is None


def test_a_long_line_is_not_held_far_beyond_the_bound() -> None:
    """Reading stops there: what is left stays in the pipe."""
    read_end, write_end = os.pipe()
    events: queue.SimpleQueue[Lines | InputEnded] = queue.SimpleQueue()
    with patch.object(intake, "CHUNK_BYTES", 10):
        Intake(read_end, max_line_bytes=100).start(events.put)
        os.write(write_end, b"x" * 5_000)
        assert isinstance(events.get(timeout=SECONDS), InputEnded)
    assert len(os.read(read_end, 5_000)) >= 5_000 - 120
    os.close(read_end)
    os.close(write_end)


def test_input_is_not_read_further_than_permitted() -> None:
    """Otherwise a source that is faster than Marketo fills the memory."""
    read_end, write_end = os.pipe()
    events: queue.SimpleQueue[Lines | InputEnded] = queue.SimpleQueue()
    with patch.object(intake, "CHUNK_BYTES", 4):
        source = Intake(read_end)
        source.start(events.put)
        for number in range(CHUNKS_AHEAD + 2):
            os.write(write_end, b"ab%d\n" % number)
        ahead = [events.get(timeout=SECONDS) for _ in range(CHUNKS_AHEAD)]
        assert [line for event in ahead if isinstance(event, Lines) for line in event.lines] == [b"ab0", b"ab1"]
        with pytest.raises(queue.Empty):
            events.get(timeout=0.05)
        source.permit()
        assert events.get(timeout=SECONDS) == Lines([b"ab2"], 3)
        with pytest.raises(queue.Empty):
            events.get(timeout=0.05)
        source.permit()
        assert events.get(timeout=SECONDS) == Lines([b"ab3"], 4)
        os.close(write_end)
        source.permit()
        assert events.get(timeout=SECONDS) == InputEnded(None)
    os.close(read_end)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not let a pipe's size be set")
@pytest.mark.parametrize(("before", "after"), [(1 << 16, CHUNK_BYTES), (1 << 20, 1 << 20)])
def test_a_pipe_is_widened_to_a_chunk_and_never_narrowed(before: int, after: int) -> None:
    import fcntl  # noqa: PLC0415 - as above

    read_end, write_end = os.pipe()
    fcntl.fcntl(read_end, fcntl.F_SETPIPE_SZ, before)
    events: queue.SimpleQueue[Lines | InputEnded] = queue.SimpleQueue()
    Intake(read_end).start(events.put)
    assert fcntl.fcntl(write_end, fcntl.F_GETPIPE_SZ) == after
    os.close(write_end)
    assert events.get(timeout=SECONDS) == InputEnded(None)
    os.close(read_end)


def test_a_file_is_read_as_a_pipe_is(tmp_path: Path) -> None:
    (tmp_path / "messages.jsonl").write_bytes(b"one\ntwo\n")
    events: queue.SimpleQueue[Lines | InputEnded] = queue.SimpleQueue()
    with (tmp_path / "messages.jsonl").open("rb") as file:
        Intake(file.fileno()).start(events.put)
        assert events.get(timeout=SECONDS) == Lines([b"one", b"two"], 1)
        assert events.get(timeout=SECONDS) == InputEnded(None)


def test_input_that_cannot_be_read_is_told_as_such() -> None:
    read_end, write_end = os.pipe()
    os.close(write_end)
    os.close(read_end)
    events: queue.SimpleQueue[Lines | InputEnded] = queue.SimpleQueue()
    Intake(read_end).start(events.put)
    ended = events.get(timeout=SECONDS)
    assert isinstance(ended, InputEnded)
    assert isinstance(ended.error, OSError)
