"""What a broken connection says about whether a call was executed, with real sockets and the real HTTP library."""

from __future__ import annotations

import socket
import struct
import threading
from typing import TYPE_CHECKING

import pytest

from destination_marketo_programs.marketo.client import Call
from destination_marketo_programs.marketo.errors import MarketoError, OutcomeUnknownError, UnreachableError
from destination_marketo_programs.marketo.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from destination_marketo_programs.marketo.client import MarketoClient

    ClientAt = Callable[[str], MarketoClient]

CREATE = Call("sync_leads", "POST", "/rest/v1/leads.json", body=b"{}", rows=1, repeatable=False)
TOKEN = b'{"access_token":"t","expires_in":3600}'
DONE = b'{"success":true,"result":[{"id":1,"status":"created"}]}'
SECONDS = 10.0


def answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def close(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def cut_short(connection: socket.socket) -> None:
    connection.sendall(answer(DONE)[:-20])
    connection.close()


def half_a_header(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
    reset(connection)


def no_http(connection: socket.socket) -> None:
    connection.sendall(b"220 smtp.example.org ESMTP\r\n")
    connection.close()


def cut_chunk(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40\r\n{"success":true')
    connection.close()


def succeed(connection: socket.socket) -> None:
    connection.sendall(answer(DONE))


class Server:
    """Answers token requests; what it does with calls is scripted, and each call that arrived is kept."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(SECONDS)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.behaviours: list[Callable[[socket.socket], None]] = []
        self.arrived: list[bytes] = []
        self.idle_closed = threading.Event()
        self.close_when_idle = False
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(SECONDS)
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        while connection.fileno() >= 0:
            request = self._read_request(connection)
            if request is None:
                return
            if b"/identity/" in request.partition(b"\r\n")[0]:
                connection.sendall(answer(TOKEN))
            else:
                self.arrived.append(request)
                self.behaviours.pop(0)(connection)
                if self.close_when_idle:
                    connection.close()
                    self.idle_closed.set()

    @staticmethod
    def _read_request(connection: socket.socket) -> bytes | None:
        received = b""
        try:
            while b"\r\n\r\n" not in received or (received.startswith(b"POST") and not received.endswith(b"{}")):
                piece = connection.recv(65536)
                if not piece:
                    return None
                received += piece
        except OSError:
            return None
        return received

    def stop(self) -> None:
        self._listener.close()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


@pytest.mark.parametrize("behaviour", [close, reset, cut_short, half_a_header, no_http, cut_chunk])
def test_a_connection_that_breaks_after_the_request_leaves_a_create_unknown(
    server: Server, behaviour: Callable[[socket.socket], None], client_at: ClientAt
) -> None:
    """The library would gladly send it again; Marketo may well have it."""
    server.behaviours = [behaviour, succeed]
    with pytest.raises(OutcomeUnknownError):
        client_at(server.url).send(CREATE)
    assert len(server.arrived) == 1


@pytest.mark.parametrize("behaviour", [close, reset, cut_short, half_a_header, no_http, cut_chunk])
def test_a_call_that_may_be_repeated_is(
    server: Server, client_at: ClientAt, behaviour: Callable[[socket.socket], None]
) -> None:
    server.behaviours = [behaviour, succeed]
    client = client_at(server.url)
    assert client.send(CREATE._replace(repeatable=True)).result == [{"id": 1, "status": "created"}]
    assert len(server.arrived) == 2


def test_every_request_on_the_wire_is_one_that_was_counted(server: Server, client_at: ClientAt) -> None:
    """A library that repeats reads by itself goes past the limits and the budget."""
    server.behaviours = [reset, close, succeed]
    client = client_at(server.url)
    client.send(Call("query_leads", "GET", "/rest/v1/leads.json"))
    assert len(server.arrived) == client.gate.budget.used_now == 3


def test_an_answer_that_does_not_come_leaves_a_create_unknown(server: Server, client_at: ClientAt) -> None:
    asked = threading.Event()

    def wait(_connection: socket.socket) -> None:
        asked.wait(SECONDS)

    server.behaviours = [wait]
    try:
        with pytest.raises(OutcomeUnknownError) as raised:
            client_at(server.url).send(CREATE._replace(time_limit_seconds=0.05))
    finally:
        asked.set()
    assert raised.value.code in ("ReadTimeout", "time limit")


def test_a_connection_that_is_refused_was_never_made(server: Server, client_at: ClientAt) -> None:
    """Nothing was executed: a create is sent again until the window ends, and is not held back for 95 seconds."""
    client = client_at(server.url)
    server.behaviours = [succeed]
    client.send(CREATE)
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    client._transport = Transport(f"http://127.0.0.1:{port}")
    with pytest.raises(UnreachableError) as raised:
        client.send(CREATE)
    assert raised.value.code == "connection lost"


def test_a_name_that_does_not_resolve_was_never_called(monkeypatch: pytest.MonkeyPatch, client_at: ClientAt) -> None:
    def no_such_name(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    client = client_at("http://marketo.invalid")
    with pytest.raises(UnreachableError) as raised:
        client.send(CREATE)
    assert "invalid" not in str(raised.value)


def test_a_kept_connection_that_marketo_closed_meanwhile_is_not_used_for_a_create(
    server: Server, client_at: ClientAt
) -> None:
    """Batches may be a minute apart. Sent on the closed connection, each would count as outcome unknown."""
    server.behaviours = [succeed, succeed]
    server.close_when_idle = True
    client = client_at(server.url)
    client.send(CREATE)
    assert server.idle_closed.wait(SECONDS)
    client.send(CREATE)
    assert len(server.arrived) == 2


def test_the_library_logs_no_address_that_our_log_would_show(
    server: Server, client_at: ClientAt, caplog: pytest.LogCaptureFixture
) -> None:
    """From WARNING on libraries are heard; below, urllib3 names the address with the secret."""
    server.behaviours = [reset, reset, succeed]
    with pytest.raises(MarketoError):
        client_at(server.url).send(CREATE)
    client_at(server.url).send(CREATE._replace(repeatable=True))
    heard = [record.getMessage() for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]
    assert heard == []
