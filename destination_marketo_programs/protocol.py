"""The Airbyte protocol as bytes: lines in, lines out.

The CDK's message classes are not used on the way of the data: they drop unknown keys of a STATE, which the platform
then misses, and pass over lines that they cannot parse, which loses records.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import msgspec

from destination_marketo_programs.jsontext import NotJsonError, loads, members

if TYPE_CHECKING:
    from collections.abc import Mapping

StreamKey = tuple[str, str]
"""(namespace, name); the namespace is "" if there is none."""

MAX_LINE_BYTES: Final = 20_000_000
"""Longest line of the input that is read."""


class UndecodableLineError(Exception):
    """A line on stdin that cannot be used, so that reading ends there.

    Attributes:
        line_number: from 1.
    """

    def __init__(self, line_number: int, problem: str = "is not an Airbyte message", fix: str = "") -> None:
        self.line_number = line_number
        super().__init__(
            f"Line {line_number} of the input {problem}. Every record before it was handled, none after it. "
            + (fix or "Look at what the source writes to its standard output at this line.")
        )


class LineTooLongError(UndecodableLineError):
    """A line on stdin that is longer than any that is read."""

    def __init__(self, line_number: int, most_bytes: int) -> None:
        super().__init__(
            line_number,
            f"is longer than {most_bytes // 1_000_000:,} MB",
            "Leave the largest column of this stream out of the sync, or have the source shorten it.",
        )


class OutputClosedError(Exception):
    """Our standard output takes no more, mostly because its reader has gone: no STATE can be acknowledged."""


class OutputStalledError(OutputClosedError):
    """The reader of our standard output has not taken a line before the deadline."""


class RecordMessage(msgspec.Struct, gc=False):
    """A RECORD; `data` is whatever JSON value the source gave."""

    stream: StreamKey
    data: Any
    line: bytes


class StateMessage(msgspec.Struct, gc=False):
    """A STATE as received; `stream` is None for GLOBAL and LEGACY states, which speak for every stream."""

    stream: StreamKey | None
    line: bytes

    @property
    def size(self) -> int:
        """Bytes that are held as long as it waits."""
        return len(self.line)


class _Record(msgspec.Struct):
    stream: str
    data: Any = None
    namespace: str | None = None


class _Envelope(msgspec.Struct):
    type: str
    record: _Record | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope, float_hook=Decimal).decode


def parse_line(line: bytes, line_number: int) -> RecordMessage | StateMessage | None:
    """Read one line; None for blank lines and for message types that need nothing done.

    Numbers with a fraction or an exponent are `Decimal`s, so that their digits are those of the source.

    Raises:
        UndecodableLineError: the line is not an Airbyte message.
    """
    try:
        envelope = _decode_envelope(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
        return _parse_with_care(line, line_number)
    if envelope.type == "RECORD":
        record = envelope.record
        if record is None:
            raise UndecodableLineError(line_number)
        return RecordMessage((record.namespace or "", record.stream), record.data, line)
    if envelope.type == "STATE":
        return StateMessage(_state_stream(_loads(line, line_number)), line)
    return None


LineParser = Callable[[bytes, int], RecordMessage | StateMessage | None]
"""Reads one line, given its number: see `parse_line`."""


def line_parser(data_type: Any) -> LineParser:
    """Make a function that does what `parse_line` does, and reads the `data` of records as a type.

    Data that the type cannot hold is read as `parse_line` reads it: a type is an offer, and no check.

    Args:
        data_type: a type that msgspec can decode, which need not have all columns.
    """
    if data_type is Any:
        return parse_line
    body = msgspec.defstruct(
        "Record", [("stream", str), ("data", data_type, None), ("namespace", str | None, None)], gc=False
    )
    decode = msgspec.json.Decoder(
        msgspec.defstruct("Envelope", [("type", str), ("record", body | None, None)], gc=False), float_hook=Decimal
    ).decode

    def parse(line: bytes, line_number: int) -> RecordMessage | StateMessage | None:
        try:
            if not line.isascii():
                line.decode("utf-8")  # what is passed over is not looked at
            envelope: Any = decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError):
            return parse_line(line, line_number)
        record = envelope.record
        if record is None or envelope.type != "RECORD":
            return parse_line(line, line_number)
        return RecordMessage((record.namespace or "", record.stream), record.data, line)

    return parse


def _parse_with_care(line: bytes, line_number: int) -> RecordMessage | StateMessage | None:
    """Lines that strict JSON refuses (NaN, lone surrogates, deep nesting) and that a source may write all the same."""
    if not line.strip():
        return None
    message = _loads(line, line_number)
    kind = message.get("type")
    if not isinstance(kind, str):
        raise UndecodableLineError(line_number)
    if kind == "RECORD":
        record = message.get("record")
        stream = record.get("stream") if isinstance(record, dict) else None
        if not isinstance(record, dict) or not isinstance(stream, str):
            raise UndecodableLineError(line_number)
        namespace = record.get("namespace")
        return RecordMessage((namespace if isinstance(namespace, str) else "", stream), record.get("data"), line)
    if kind == "STATE":
        return StateMessage(_state_stream(message), line)
    return None


def _loads(line: bytes, line_number: int) -> dict[str, Any]:
    try:
        message = loads(line.decode("utf-8"))
    except (NotJsonError, UnicodeDecodeError):
        # The cause quotes the line, and the line holds a person.
        raise UndecodableLineError(line_number) from None
    if not isinstance(message, dict):
        raise UndecodableLineError(line_number)
    return message


def _state_stream(message: Mapping[str, Any]) -> StreamKey | None:
    state = message.get("state")
    if not isinstance(state, dict) or state.get("type") != "STREAM":
        return None
    stream = state.get("stream")
    descriptor = stream.get("stream_descriptor") if isinstance(stream, dict) else None
    if not isinstance(descriptor, dict) or not isinstance(descriptor.get("name"), str):
        return None
    namespace = descriptor.get("namespace")
    return (namespace if isinstance(namespace, str) else "", descriptor["name"])


def state_with_counts(
    line: bytes, record_count: int, rejected_count: int, additional: Mapping[str, float] | None = None
) -> bytes:
    """The STATE line as received, every key and number kept as written, with `destinationStats` added.

    A STATE whose body is not an object has no place for them and is returned as received.

    Args:
        line: as received.
        record_count: records since the last echoed STATE of the stream, without the rejected ones.
        rejected_count: rejected records since then.
        additional: further counts since then, by name. The platform adds them up by stream (`additionalStats`, from
            version 0.19 of the protocol); older ones pass them over.
    """
    counts: dict[str, Any] = {"recordCount": float(record_count), "rejectedRecordCount": float(rejected_count)}
    if additional:
        counts["additionalStats"] = {name: float(count) for name, count in additional.items()}
    stats = msgspec.json.encode(counts)
    try:
        message = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        state = msgspec.json.decode(message["state"], type=dict[str, msgspec.Raw])
        state["destinationStats"] = msgspec.Raw(stats)
        message["state"] = msgspec.Raw(msgspec.json.encode(state))
        return msgspec.json.encode(message)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, RecursionError):
        return _spliced_state(line.decode("utf-8"), stats.decode()).encode()


def _spliced_state(line: str, stats: str) -> str:
    """As `state_with_counts`, for texts that strict JSON refuses: every value is copied, none is read."""
    message = {member.key: member.value for member in members(line) or ()}
    text = message.get('"state"', "null")
    body = members("{}" if text == "null" else text)
    if body is None:
        return line
    state = {member.key: member.value for member in body}
    state['"destinationStats"'] = stats
    message['"state"'] = _object_text(state)
    return _object_text(message)


def _object_text(texts: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in texts.items()) + "}"


_NEXT_LOOK_SECONDS: Final = 0.25
"""How long a blocked write waits before it looks at the deadline again."""


class Deadline:
    """When to give up on a reader that takes nothing; never, until it is set. May be set from any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = float("inf")

    def give_up_in(self, seconds: float) -> None:
        """Let every write that is still blocked after so many seconds be abandoned; an earlier time stands."""
        self._at = min(self._at, self._clock() + seconds)

    def wait_seconds(self) -> float:
        """How long to wait at most before looking again.

        Raises:
            OutputStalledError: the time is up.
        """
        left = self._at - self._clock()
        if left <= 0:
            raise OutputStalledError
        return min(left, _NEXT_LOOK_SECONDS)


class Writer:
    """The only way to standard output: one line, one lock, written at once.

    Args:
        write: takes a whole line, newline included.
        deadline: bounds the wait for another thread's line, as `write` bounds its own.
    """

    def __init__(self, write: Callable[[bytes], None], deadline: Deadline | None = None) -> None:
        self._write = write
        self._deadline = deadline or Deadline()
        self._lock = threading.Lock()
        self._closed = False

    def line(self, line: bytes) -> None:
        """Write one JSON text as a line. After a failure nothing is written any more, as the last line may be torn.

        Raises:
            OutputClosedError: the reader has gone, takes nothing, or the line could not be written for another reason.
        """
        while not self._lock.acquire(timeout=_NEXT_LOOK_SECONDS):
            self._deadline.wait_seconds()
        try:
            if self._closed:
                raise OutputClosedError
            self._closed = True
            self._write(line + b"\n")
            self._closed = False
        except OSError:
            raise OutputClosedError from None
        finally:
            self._lock.release()

    def message(self, message: Mapping[str, Any]) -> None:
        """Write one message."""
        self.line(msgspec.json.encode(message))


_PIECE_BYTES: Final[int] = getattr(select, "PIPE_BUF", 512)
"""So much is taken at once, without blocking, by a descriptor that is ready, in blocking mode too."""


def write_to_descriptor(descriptor: int, deadline: Deadline | None = None) -> Callable[[bytes], None]:
    """Unbuffered writes of whole lines to a file descriptor, whether it is in blocking mode or not.

    The descriptor's mode is left as it is: it may be shared with other processes. A write waits until the descriptor
    is ready, so that it can be abandoned at the deadline even if the reader takes nothing.

    Returns:
        A function that raises OutputStalledError at the deadline, and OSError if the descriptor fails.
    """
    until = deadline or Deadline()
    ready = select.poll()
    ready.register(descriptor, select.POLLOUT)

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            while not ready.poll(until.wait_seconds() * 1000):
                pass
            try:
                view = view[os.write(descriptor, view[:_PIECE_BYTES]) :]
            except BlockingIOError:
                continue

    return write
