"""What a broken connection says about whether a call was executed, with real sockets and the real HTTP library."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from destination_marketo_programs.marketo.calls import Call
from destination_marketo_programs.marketo.errors import MarketoError, OutcomeUnknownError, UnreachableError
from destination_marketo_programs.marketo.token import Token
from destination_marketo_programs.marketo.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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

    def __init__(self, wrap: Callable[[socket.socket], socket.socket] = lambda plain: plain) -> None:
        self._wrap = wrap
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(SECONDS)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.identity: Callable[[socket.socket], None] = lambda connection: connection.sendall(answer(TOKEN))
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
            try:
                with self._wrap(connection) as wrapped:
                    self._talk(wrapped)
            except ssl.SSLError:
                continue

    def _talk(self, connection: socket.socket) -> None:
        while connection.fileno() >= 0:
            request = self._read_request(connection)
            if request is None:
                return
            if b"/identity/" in request.partition(b"\r\n")[0]:
                self.identity(connection)
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


def test_a_header_that_cannot_be_read_does_not_put_the_secret_into_the_log(
    server: Server, client_at: ClientAt, caplog: pytest.LogCaptureFixture
) -> None:
    """The library warns of it, and names the address: the identity service's holds the secret."""
    odd = answer(TOKEN).replace(b"\r\n\r\n", b"\r\nno header at all\r\n\r\n", 1)
    server.identity = lambda connection: connection.sendall(odd)
    server.behaviours = [succeed]
    client_at(server.url).send(CREATE)
    assert [record.name for record in caplog.records if record.levelname == "WARNING"] == []


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


# --- time limits ---------------------------------------------------------------------------------------------


def dripping(before: bytes, endless: bytes) -> Callable[[socket.socket], None]:
    """Sends something at once, then one byte after the other, for as long as somebody listens."""

    def drip(connection: socket.socket) -> None:
        try:
            connection.sendall(before)
            for _ in range(400):
                for byte in endless:
                    connection.sendall(bytes([byte]))
                    if gone(connection, 0.02):
                        return
        except OSError:
            return

    return drip


def gone(connection: socket.socket, seconds: float) -> bool:
    """Whether the other side closes within that time."""
    connection.settimeout(seconds)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.settimeout(SECONDS)


SLOW = {
    "nothing": dripping(b"", b""),
    "status line": dripping(b"HTTP/1.1 2", b"0"),
    "headers": dripping(b"HTTP/1.1 200 OK\r\n", b"X-Slow: 1\r\n"),
    "body": dripping(b'HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{"success":', b" "),
    "chunks": dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    "body to the end": dripping(b'HTTP/1.0 200 OK\r\n\r\n{"success":true}', b" "),
    "body of a closed connection": dripping(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", b" "),
    "redirect": dripping(b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 100000\r\n\r\n", b" "),
}


@pytest.mark.parametrize("kind", SLOW)
def test_no_answer_holds_a_call_longer_than_its_time_limit_as_a_whole(
    server: Server, client_at: ClientAt, kind: str
) -> None:
    """Each single read is quick enough; only all of them together never end."""
    server.behaviours = [SLOW[kind], succeed]
    client = client_at(server.url)
    began = time.monotonic()
    with pytest.raises(OutcomeUnknownError) as raised:
        client.send(CREATE._replace(time_limit_seconds=0.4))
    assert 0.3 < time.monotonic() - began < 5
    assert raised.value.code in ("time limit", "ReadTimeout")
    assert client.send(CREATE).result == [{"id": 1, "status": "created"}]


def test_the_identity_service_is_held_to_a_time_limit_too(
    server: Server, monkeypatch: pytest.MonkeyPatch, client_at: ClientAt
) -> None:
    monkeypatch.setattr("destination_marketo_programs.marketo.token.TIME_LIMIT_SECONDS", 0.3)
    asked: list[float] = []

    def slow_at_first(connection: socket.socket) -> None:
        asked.append(time.monotonic())
        if len(asked) == 1:
            SLOW["body"](connection)
        else:
            connection.sendall(answer(TOKEN))

    server.identity = slow_at_first
    server.behaviours = [succeed]
    client_at(server.url).send(CREATE)
    assert 0.2 < asked[1] - asked[0] < 5


def test_calls_under_way_can_be_cut(server: Server, client_at: ClientAt) -> None:
    """Nobody can wait for the answers: the process has to go."""
    client = client_at(server.url)

    def cut(connection: socket.socket) -> None:
        client.cut()
        assert gone(connection, SECONDS)

    server.behaviours = [cut, succeed]
    began = time.monotonic()
    with pytest.raises(OutcomeUnknownError) as raised:
        client.send(CREATE)
    assert raised.value.code == "time limit"
    assert time.monotonic() - began < SECONDS
    client.send(CREATE)


def test_a_connection_that_is_given_up_is_closed(server: Server, client_at: ClientAt) -> None:
    """The second handle on it, for cutting, must not keep it open."""
    closed: list[bool] = []

    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b" " * 100_000)
        closed.append(gone(connection, SECONDS))

    server.behaviours = [endless, succeed]
    client = client_at(server.url)
    with pytest.raises(OutcomeUnknownError):
        client.send(CREATE._replace(max_bytes=1_000, time_limit_seconds=SECONDS))
    client.send(CREATE)
    assert closed == [True]


def watches() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "marketo-time-limits"}


def test_the_watch_ends_when_there_is_nothing_to_watch(server: Server, client_at: ClientAt) -> None:
    server.behaviours = [succeed] * 20
    client = client_at(server.url)
    others = watches()
    client._tokens._token = Token("t", float("inf"), "")
    for _ in range(20):
        client.send(CREATE._replace(time_limit_seconds=0.2))
        assert len(watches() - others) <= 1
    for watch in watches() - others:
        watch.join(SECONDS)
        assert not watch.is_alive()


def test_a_shorter_limit_is_kept_while_a_longer_one_is_watched(server: Server, client_at: ClientAt) -> None:
    """The token's exchange, watched for minutes, has just begun the watch."""
    server.behaviours = [SLOW["body"]]
    client = client_at(server.url)
    client._tokens.valid("sync_leads")
    began = time.monotonic()
    with pytest.raises(OutcomeUnknownError):
        client.send(CREATE._replace(time_limit_seconds=0.2))
    assert time.monotonic() - began < 5


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for `marketo.example` and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "marketo.example")])
    now = datetime.now(tz=UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("marketo.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "marketo.pem"
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(made.public_bytes(Encoding.PEM) + pem)
    return path


def test_the_time_limit_holds_inside_tls(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, client_at: ClientAt
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Server(lambda plain: context.wrap_socket(plain, server_side=True))
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **named: look_up("127.0.0.1", *rest, **named))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    monkeypatch.setenv("NO_PROXY", "*")
    server.behaviours = [SLOW["body"], succeed]
    client = client_at(server.url.replace("http://127.0.0.1", "https://marketo.example"))
    try:
        began = time.monotonic()
        with pytest.raises(OutcomeUnknownError) as raised:
            client.send(CREATE._replace(time_limit_seconds=0.4))
        assert raised.value.code == "time limit"
        assert 0.3 < time.monotonic() - began < 5
        assert client.send(CREATE).result == [{"id": 1, "status": "created"}]
    finally:
        server.stop()


def test_a_certificate_that_is_not_trusted_is_told_as_that(
    certificate: Path, monkeypatch: pytest.MonkeyPatch, client_at: ClientAt
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Server(lambda plain: context.wrap_socket(plain, server_side=True))
    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda _host, *rest, **named: look_up("127.0.0.1", *rest, **named))
    monkeypatch.setenv("NO_PROXY", "*")
    try:
        with pytest.raises(UnreachableError) as raised:
            client_at(server.url.replace("http://127.0.0.1", "https://marketo.example")).send(CREATE)
    finally:
        server.stop()
    assert raised.value.code == "certificate not trusted"


def test_the_time_limit_holds_behind_a_proxy(
    server: Server, monkeypatch: pytest.MonkeyPatch, client_at: ClientAt
) -> None:
    for name in ("NO_PROXY", "no_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("http_proxy", server.url)
    server.behaviours = [SLOW["body"], succeed]
    client = client_at("http://marketo.example")
    with pytest.raises(OutcomeUnknownError) as raised:
        client.send(CREATE._replace(time_limit_seconds=0.4))
    assert raised.value.code == "time limit"
    assert client.send(CREATE).result == [{"id": 1, "status": "created"}]
    assert [request.partition(b"\r\n")[0] for request in server.arrived] == [
        b"POST http://marketo.example/rest/v1/leads.json HTTP/1.1"
    ] * 2
