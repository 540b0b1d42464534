"""The Airbyte protocol as bytes: lines in, lines out.

The CDK's message classes are not used on the way of the data: they drop unknown keys of a STATE, which the platform
then misses, and pass over lines that they cannot parse, which loses records.
"""

from __future__ import annotations

import json
import os
import re
import threading
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

StreamKey = tuple[str, str]
"""(namespace, name); the namespace is "" where there is none."""


class UndecodableLineError(Exception):
    """A line on stdin that is no Airbyte message."""

    def __init__(self, line_number: int) -> None:
        self.line_number = line_number
        super().__init__(
            f"Line {line_number} of the input is no Airbyte message. Nothing after it was read; every record before it "
            "was handled. Look at what the source writes to its standard output at this line."
        )


class OutputClosedError(Exception):
    """Our standard output takes no more, mostly because its reader has gone: no STATE can be acknowledged."""


class RecordMessage(msgspec.Struct, gc=False):
    """A RECORD; `data` is whatever JSON value the source gave."""

    stream: StreamKey
    data: Any
    line: bytes


class StateMessage(msgspec.Struct, gc=False):
    """A STATE as received; `stream` is None for GLOBAL and LEGACY states, which speak for every stream."""

    stream: StreamKey | None
    line: bytes


class _Record(msgspec.Struct):
    stream: str
    data: Any = None
    namespace: str | None = None


class _Envelope(msgspec.Struct):
    type: str
    record: _Record | None = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode


def parse_line(line: bytes, line_number: int) -> RecordMessage | StateMessage | None:
    """Read one line; None for blank lines and for message types that need nothing done.

    Raises:
        UndecodableLineError: the line is no Airbyte message.
    """
    try:
        envelope = _decode_envelope(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _parse_with_care(line, line_number)
    if envelope.type == "RECORD":
        record = envelope.record
        if record is None:
            raise UndecodableLineError(line_number)
        return RecordMessage((record.namespace or "", record.stream), record.data, line)
    if envelope.type == "STATE":
        return StateMessage(_state_stream(_loads(line, line_number)), line)
    return None


def _parse_with_care(line: bytes, line_number: int) -> RecordMessage | StateMessage | None:
    """Lines that strict JSON refuses (NaN, lone surrogates) and that a source may write all the same."""
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
        message = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
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


def state_with_counts(line: bytes, record_count: int, rejected_count: int) -> bytes:
    """The STATE line as received, every key and number kept as written, with `destinationStats` added."""
    stats = {"recordCount": float(record_count), "rejectedRecordCount": float(rejected_count)}
    try:
        members = msgspec.json.decode(line, type=dict[str, msgspec.Raw])
        state = msgspec.json.decode(members["state"], type=dict[str, msgspec.Raw])
        state["destinationStats"] = msgspec.Raw(msgspec.json.encode(stats))
        members["state"] = msgspec.Raw(msgspec.json.encode(state))
        return msgspec.json.encode(members)
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
        return _spliced_state(line.decode("utf-8"), json.dumps(stats)).encode()


def _spliced_state(line: str, stats: str) -> str:
    """As `state_with_counts`, for texts that strict JSON refuses: every value is copied, none is read."""
    members = _member_texts(line)
    state = members.get('"state"', "null")
    inner = _member_texts(state) if state.startswith("{") else {}
    inner['"destinationStats"'] = stats
    members['"state"'] = _object_text(inner)
    return _object_text(members)


def _member_texts(text: str) -> dict[str, str]:
    """Members of a JSON object, which `json` has read before: key and value as they are written."""
    scan = json.JSONDecoder().raw_decode
    space = re.compile(r"[ \t\r\n]*").match
    members: dict[str, str] = {}

    def skip(place: int) -> int:
        found = space(text, place)
        return found.end() if found else place

    place = skip(skip(0) + 1)
    while text[place] != "}":
        _, end = scan(text, place)
        key, value_start = text[place:end], skip(skip(end) + 1)
        _, value_end = scan(text, value_start)
        members[key] = text[value_start:value_end]
        place = skip(value_end)
        if text[place] == ",":
            place = skip(place + 1)
    return members


def _object_text(members: Mapping[str, str]) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in members.items()) + "}"


class Writer:
    """The only way to standard output: one line, one lock, written at once.

    Args:
        write: takes a whole line, newline included.
    """

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self._write = write
        self._lock = threading.Lock()

    def line(self, line: bytes) -> None:
        """Write one JSON text as a line.

        Raises:
            OutputClosedError: the reader has gone, or the line could not be written for another reason.
        """
        with self._lock:
            try:
                self._write(line + b"\n")
            except OSError:
                raise OutputClosedError from None

    def message(self, message: Mapping[str, Any]) -> None:
        """Write one message."""
        self.line(msgspec.json.encode(message))


def write_to_descriptor(descriptor: int) -> Callable[[bytes], None]:
    """Unbuffered writes of whole lines to a file descriptor."""

    def write(data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]

    return write
