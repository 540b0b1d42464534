"""Lines in, lines out: nothing of a STATE is lost, and nothing that is no message is passed over."""

from __future__ import annotations

import json
import os
import socket
import threading
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.model import UNREADABLE
from destination_marketo_programs.protocol import (
    Deadline,
    OutputClosedError,
    OutputStalledError,
    RecordMessage,
    StateMessage,
    UndecodableLineError,
    Writer,
    parse_line,
    state_with_counts,
    write_to_descriptor,
)

STATS = {"recordCount": 3.0, "rejectedRecordCount": 1.0}
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def record(**members: Any) -> bytes:
    return json.dumps({"type": "RECORD", "record": {"stream": "leads", "data": {"id": 1}, **members}}).encode()


# --- reading -------------------------------------------------------------------------------------------------


def test_a_record_keeps_its_line_its_stream_and_its_data() -> None:
    line = record(namespace="crm", emitted_at=1)
    message = parse_line(line, 7)
    assert isinstance(message, RecordMessage)
    assert (message.stream, message.data, message.line) == (("crm", "leads"), {"id": 1}, line)


@pytest.mark.parametrize(
    "line",
    [
        record(namespace=None, meta=None, file_reference=None),
        b'{"type":"RECORD","log":null,"state":null,"trace":null,"record":{"stream":"leads","data":{"id":1}}}',
        b'{"record":{"data":{"id":1},"stream":"leads","namespace":""},"type":"RECORD"}',
        b'  {"type":"RECORD","record":{"stream":"leads","data":{"id":1}}}\r',
        '{"type":"RECORD","note":"☃","record":{"stream":"leads","data":{"id":1}}}'.encode(),
    ],
    ids=["explicit nulls", "other messages null", "any order", "white space", "unknown member"],
)
def test_what_sources_add_to_a_record_does_not_matter(line: bytes) -> None:
    message = parse_line(line, 1)
    assert isinstance(message, RecordMessage)
    assert (message.stream, message.data) == (("", "leads"), {"id": 1})


@pytest.mark.parametrize(
    ("data", "read"),
    [
        ("9007199254740993", 9007199254740993),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ('"\\ud83d\\ude00"', "😀"),
        ('"\\ud800"', "\ud800"),
        ("Infinity", float("inf")),
        ("null", None),
        ('["a"]', ["a"]),
    ],
)
def test_data_is_whatever_json_value_the_source_gave(data: str, read: Any) -> None:
    """Large ids must not pass through a float, and Python's own JSON dialect is no reason to end a sync."""
    message = parse_line(f'{{"type":"RECORD","record":{{"stream":"leads","data":{data}}}}}'.encode(), 1)
    assert isinstance(message, RecordMessage)
    assert message.data == read


def test_data_may_hold_nan_and_a_record_may_lack_data() -> None:
    with_nan = parse_line(b'{"type":"RECORD","record":{"stream":"leads","namespace":"crm","data":{"a":NaN}}}', 1)
    assert isinstance(with_nan, RecordMessage)
    assert with_nan.stream == ("crm", "leads")
    assert with_nan.data["a"] != with_nan.data["a"]
    without_data = parse_line(b'{"type":"RECORD","record":{"stream":"leads"}}', 1)
    assert isinstance(without_data, RecordMessage)
    assert without_data.data is None


@given(json_values)
@settings(max_examples=50)
def test_any_json_value_as_data_is_read_as_python_reads_it(data: Any) -> None:
    line = record(data=data)
    message = parse_line(line, 1)
    assert isinstance(message, RecordMessage)
    assert message.data == json.loads(line, parse_float=Decimal)["record"]["data"]


@pytest.mark.parametrize(
    "line",
    [
        b'{"type":"LOG","log":{"level":"INFO","message":"x"}}',
        b'{"type":"TRACE","trace":{"type":"STREAM_STATUS","stream_status":{"stream_descriptor":{"name":"a"}}}}',
        b'{"type":"CONTROL"}',
        b'{"type":"SOMETHING_NEW","record":null,"x":[1]}',
        b'{"type":"LOG","log":{"level":"INFO","message":"x"},"ratio":NaN}',
        b"",
        b" \t\r",
    ],
)
def test_blank_lines_and_other_message_types_are_passed_over(line: bytes) -> None:
    assert parse_line(line, 1) is None


@pytest.mark.parametrize(
    "line",
    [
        b"not json ada@example.org",
        b'{"type":"RECORD","record":{"stream":"leads","data":{"email":"ada@example.org"',
        b'{"type":"RECORD","record":{"stream":"leads","data":{"email":"\xff ada@example.org"}}}',
        b'{"type":"STATE","state":{"data":"\xff ada@example.org"}}',
        b'{"type":"LOG"} {"type":"LOG"}',
        b'[{"type":"RECORD"}]',
        b'"ada@example.org"',
        b"null",
        b"\x00\x00",
        b'{"record":{"stream":"leads","data":{}}}',
        b'{"type":null}',
        b'{"type":5}',
        b'{"type":"RECORD"}',
        b'{"type":"RECORD","record":null}',
        b'{"type":"RECORD","record":[1]}',
        b'{"type":"RECORD","record":{"data":{"email":"ada@example.org"}}}',
        b'{"type":"RECORD","record":{"stream":null,"data":{}}}',
        b'{"type":"RECORD","record":{"data":' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    ],
)
def test_what_is_no_message_fails_by_line_number_and_is_not_quoted(line: bytes) -> None:
    """A line passed over would be a record lost; a line quoted would be a person in a log."""
    with pytest.raises(UndecodableLineError) as raised:
        parse_line(line, 4711)
    error = raised.value
    assert error.line_number == 4711
    assert "Line 4711 " in str(error)
    assert "ada" not in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__ or "ada" not in str(error.__context__)


@given(st.binary(max_size=60))
def test_no_bytes_make_reading_fail_in_another_way(line: bytes) -> None:
    try:
        parse_line(line, 1)
    except UndecodableLineError as error:
        assert error.line_number == 1  # noqa: PT017 - any other outcome is fine, any other exception is not


# --- states --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "stream"),
    [
        ({"type": "STREAM", "stream": {"stream_descriptor": {"name": "a"}}}, ("", "a")),
        ({"type": "STREAM", "stream": {"stream_descriptor": {"name": "a", "namespace": None}}}, ("", "a")),
        ({"type": "STREAM", "stream": {"stream_descriptor": {"name": "a", "namespace": "n"}}}, ("n", "a")),
        ({"type": "GLOBAL", "global": {"shared_state": {}, "stream_states": []}}, None),
        ({"type": "LEGACY", "data": {"a": 1}}, None),
        ({"data": {"a": 1}}, None),
        ({"type": "STREAM", "stream": None}, None),
        ({"type": "STREAM", "stream": {"stream_descriptor": {"name": 5}}}, None),
        (None, None),
    ],
)
def test_a_state_speaks_for_its_stream_or_for_all(state: object, stream: tuple[str, str] | None) -> None:
    line = json.dumps({"type": "STATE", "state": state}).encode()
    assert parse_line(line, 1) == StateMessage(stream, line)


def test_a_state_of_pyairbyte_names_a_key_twice_and_is_read() -> None:
    line = (
        b'{"type":"STATE","state":{"type":"STREAM","global_":null,"stream":{"stream_descriptor":{"name":"a"}},'
        b'"destinationStats":null,"global_":null}}'
    )
    assert parse_line(line, 1) == StateMessage(("", "a"), line)
    assert json.loads(state_with_counts(line, 3, 1))["state"]["destinationStats"] == STATS


def test_a_state_is_echoed_as_written() -> None:
    """Order, unknown keys, nulls, large integers and the spelling of floats; only the counts are new."""
    line = (
        b'{"zulu":[1, 2],"type":"STATE","state":{"type":"STREAM","id":9,"stream":{"stream_descriptor":{"name":"a"},'
        b'"stream_state":{"cursor":123456789012345678901234567890,"f":1.10,"e":1E5,"n":null}},"unknown":{"b":1,"a":2}},'
        b'"namespace":null}\r'
    )
    assert state_with_counts(line, 3, 1) == (
        b'{"zulu":[1, 2],"type":"STATE","state":{"type":"STREAM","id":9,"stream":{"stream_descriptor":{"name":"a"},'
        b'"stream_state":{"cursor":123456789012345678901234567890,"f":1.10,"e":1E5,"n":null}},"unknown":{"b":1,"a":2},'
        b'"destinationStats":{"recordCount":3.0,"rejectedRecordCount":1.0}},"namespace":null}'
    )


@pytest.mark.parametrize("odd", [r'"\ud800"', "NaN", "-Infinity"])
def test_a_state_that_strict_json_refuses_is_echoed_as_written_too(odd: str) -> None:
    line = f' {{"type" : "STATE","x":1E400, "state" :{{ "d":{{"odd":{odd},"f":1.10}} , "b":{"9" * 30}}} , "z":[1,2]}}\r'
    assert state_with_counts(line.encode(), 3, 1).decode() == (
        f'{{"type":"STATE","x":1E400,"state":{{"d":{{"odd":{odd},"f":1.10}},"b":{"9" * 30},'
        '"destinationStats":{"recordCount":3.0,"rejectedRecordCount":1.0}},"z":[1,2]}'
    )


@pytest.mark.parametrize("line", [b'{"type":"STATE","state":{"id":9}}', b'{"type":"STATE","state":{"id":9,"x":NaN}}'])
def test_counts_by_outcome_go_with_a_state_as_doubles(line: bytes) -> None:
    echoed = state_with_counts(line, 3, 1, {"created": 2, "unchanged": 1})
    stats = echoed.partition(b'"destinationStats":')[2]
    assert stats == (
        b'{"recordCount":3.0,"rejectedRecordCount":1.0,"additionalStats":{"created":2.0,"unchanged":1.0}}}}'
    )
    assert b"additionalStats" not in state_with_counts(line, 3, 1, {})


@pytest.mark.parametrize("line", [b'{"type":"STATE"}', b'{"type":"STATE","state":null}'])
def test_a_state_without_content_still_gets_its_counts(line: bytes) -> None:
    assert json.loads(state_with_counts(line, 3, 1)) == {"type": "STATE", "state": {"destinationStats": STATS}}


def test_counts_are_doubles_and_replace_those_of_the_source() -> None:
    line = b'{"type":"STATE","state":{"destinationStats":{"recordCount":99},"sourceStats":{"recordCount":4.0}}}'
    echoed = state_with_counts(line, 0, 0)
    assert b'"recordCount":0.0,"rejectedRecordCount":0.0' in echoed
    assert json.loads(echoed)["state"]["sourceStats"] == {"recordCount": 4.0}
    assert b"99" not in echoed


@given(st.dictionaries(st.text(), json_values, max_size=5), st.dictionaries(st.text(), json_values, max_size=5))
@settings(max_examples=50)
def test_any_state_is_echoed_with_nothing_changed_but_the_counts(outer: dict[str, Any], state: dict[str, Any]) -> None:
    message = {**outer, "type": "STATE", "state": state}
    echoed = json.loads(state_with_counts(json.dumps(message).encode(), 3, 1))
    message["state"] = {**state, "destinationStats": STATS}
    assert echoed == message
    assert list(echoed) == list(message)
    assert list(echoed["state"]) == list(message["state"])


@pytest.mark.parametrize("body", ["[]", "[1, 2]", '"x"', "7", "1E5", "true"])
def test_a_state_that_has_no_place_for_counts_is_echoed_as_received(body: str) -> None:
    line = f'{{"type": "STATE", "state": {body}, "id":  1}}'.encode()
    message = parse_line(line, 1)
    assert message == StateMessage(None, line)
    assert message.size == len(line)
    assert state_with_counts(line, 3, 1) == line


@pytest.mark.parametrize("odd", ["[" * 1500 + "]" * 1500, "7" * 5000, "1E9999999999999999999999"])
def test_a_state_that_no_parser_holds_is_echoed_as_written(odd: str) -> None:
    line = f'{{"type":"STATE","state":{{"type":"GLOBAL","x":{odd}}},"id":1}}'.encode()
    assert parse_line(line, 1) == StateMessage(None, line)
    assert state_with_counts(line, 3, 1) == line.replace(
        b'},"id"', b',"destinationStats":{"recordCount":3.0,"rejectedRecordCount":1.0}},"id"'
    )


@given(st.dictionaries(st.text(), json_values, max_size=5), st.dictionaries(st.text(), json_values, max_size=5))
def test_every_number_and_text_of_a_state_is_echoed_byte_for_byte(outer: dict[str, Any], inner: dict[str, Any]) -> None:
    inner.pop("destinationStats", None)
    line = json.dumps(outer | {"type": "STATE", "state": inner}, ensure_ascii=False, separators=(",", ":"))
    echoed = state_with_counts(line.encode(), 3, 1).decode()
    stats = '"destinationStats":{"recordCount":3.0,"rejectedRecordCount":1.0}'
    assert echoed.replace(f",{stats}" if inner else stats, "", 1) == line


# --- records that the usual parsers refuse ---------------------------------------------------------------------


@pytest.mark.parametrize("depth", [300, 1_200, 50_000])
def test_a_record_with_a_deep_column_is_a_record(depth: int) -> None:
    deep = "[" * depth + "]" * depth
    line = f'{{"type":"RECORD","record":{{"stream":"leads","data":{{"id":7,"deep":{deep},"x":1.50}}}}}}'.encode()
    message = parse_line(line, 1)
    assert isinstance(message, RecordMessage)
    assert (message.data["id"], message.data["x"], message.line) == (7, Decimal("1.50"), line)


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("1884518522.1684267241", Decimal("1884518522.1684267241")),
        ("1.0E16", Decimal("1.0E16")),
        ("9" * 5000, Decimal("9" * 5000)),
        ("1E400", Decimal("1E400")),
        ("1E9999999999999999999999", UNREADABLE),
    ],
)
def test_numbers_of_a_record_keep_their_digits(written: str, read: object) -> None:
    for extra in ("", ', "odd": NaN'):  # both ways of parsing
        message = parse_line(
            f'{{"type":"RECORD","record":{{"stream":"s","data":{{"a":{written}{extra}}}}}}}'.encode(), 1
        )
        assert isinstance(message, RecordMessage)
        assert message.data["a"] == read


@pytest.mark.parametrize(
    "line", [b"[" * 1500, b'{"a":' * 1500, b"[" * 1500 + b"]" * 1500, b'{"type":"STATE",' + b"[" * 9]
)
def test_deep_lines_that_are_no_message_name_their_number(line: bytes) -> None:
    with pytest.raises(UndecodableLineError, match="Line 12 of the input is not an Airbyte message"):
        parse_line(line, 12)


# --- writing -------------------------------------------------------------------------------------------------


def test_each_message_is_written_as_one_line_at_once() -> None:
    written: list[bytes] = []
    writer = Writer(written.append)
    writer.message({"type": "LOG", "log": {"message": "a\nb\u2028☃"}})
    writer.line(b'{"a": 1}')
    assert written[1:] == [b'{"a": 1}\n']
    assert written[0].count(b"\n") == 1
    assert written[0].endswith(b"\n")
    assert json.loads(written[0])["log"]["message"] == "a\nb\u2028☃"


def test_lines_of_several_threads_are_never_mixed() -> None:
    """A pipe takes large writes in pieces; only the lock keeps a line whole."""
    read_end, write_end = os.pipe()
    writer = Writer(write_to_descriptor(write_end))
    received: list[bytes] = []

    def read() -> None:
        with os.fdopen(read_end, "rb") as pipe:
            received.extend(pipe)

    reader = threading.Thread(target=read)
    reader.start()

    def write(letter: bytes) -> None:
        for _ in range(5):
            writer.line(letter * 100_000)

    writers = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b", b"c", b"d")]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join(20)
    os.close(write_end)
    reader.join(20)
    assert sorted(received) == [letter * 100_000 + b"\n" for letter in (b"a", b"b", b"c", b"d") for _ in range(5)]


def test_a_reader_that_has_gone_is_told_as_such() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with pytest.raises(OutputClosedError):
        Writer(write_to_descriptor(write_end)).line(b"{}")
    os.close(write_end)


@pytest.mark.parametrize("error", [BrokenPipeError(), ConnectionResetError(), OSError(28, "No space left on device")])
def test_output_that_takes_no_more_is_told_without_what_was_to_be_written(error: OSError) -> None:
    def write(_line: bytes) -> None:
        raise error

    with pytest.raises(OutputClosedError) as raised:
        Writer(write).line(b'{"token":"secret"}')
    assert "secret" not in str(raised.value)


def test_a_reader_that_takes_nothing_is_given_up_at_the_deadline() -> None:
    """In blocking mode too: the kernel would hold a plain write for ever."""
    read_end, write_end = os.pipe()
    deadline = Deadline()
    writer = Writer(write_to_descriptor(write_end, deadline), deadline)
    errors: list[BaseException] = []

    def write() -> None:
        try:
            writer.line(b"x" * 10_000_000)
        except OutputClosedError as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]  # the second one waits for the first one's line
    for thread in threads:
        thread.start()
    deadline.give_up_in(0.05)
    for thread in threads:
        thread.join(20)
    assert len(errors) == 2
    assert any(isinstance(error, OutputStalledError) for error in errors)
    os.close(read_end)
    with pytest.raises(OutputClosedError):
        writer.line(b"{}")  # nothing may follow a torn line
    os.close(write_end)


def test_an_earlier_deadline_stands() -> None:
    now = [0.0]
    deadline = Deadline(lambda: now[0])
    assert deadline.wait_seconds() > 0
    deadline.give_up_in(10)
    deadline.give_up_in(60)
    now[0] = 9.9
    assert deadline.wait_seconds() == pytest.approx(0.1)
    now[0] = 10.0
    with pytest.raises(OutputStalledError):
        deadline.wait_seconds()


def _pipe() -> tuple[int, int]:
    return os.pipe()


def _sockets() -> tuple[int, int]:
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


@pytest.mark.parametrize("blocking", [True, False])
@pytest.mark.parametrize("ends", [_pipe, _sockets])
def test_a_slow_reader_loses_nothing_in_either_mode(ends: Any, blocking: bool) -> None:
    read_end, write_end = ends()
    os.set_blocking(write_end, blocking)
    writer = Writer(write_to_descriptor(write_end))
    lines = [b"%d:" % number + b"y" * 30_000 for number in range(40)]

    def write() -> None:
        for line in lines:
            writer.line(line)
        os.close(write_end)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(read_end, "rb", buffering=0) as source:
        received = b"".join(iter(lambda: source.read(1_000), b""))
    thread.join(20)
    assert received.split(b"\n") == [*lines, b""]
