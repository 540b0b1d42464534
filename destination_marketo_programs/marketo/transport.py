"""One exchange over HTTP: bounded in time as a whole, bounded in size, and told without quoting an address.

The HTTP library bounds each read, so that an answer of one byte a second never ends. Here a watch shuts the connection
down when the exchange has had its time.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
import tempfile
import threading
import time
import zlib
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection

from destination_marketo_programs.marketo.envelope import Failed
from destination_marketo_programs.marketo.errors import CertificatesError, Next

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECT_TIMEOUT_SECONDS = 15.0
PIECE_BYTES = 65_536
_IN_MEMORY_BYTES = 1_000_000
_CERTIFICATE_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class _Silence(logging.Filter):
    """The library's warnings quote addresses with their query: the client secret in one, people in others."""

    def filter(self, _record: logging.LogRecord) -> bool:
        return False


for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(_Silence())


class Request(NamedTuple):
    """What goes over the wire.

    Attributes:
        target: path and query.
        time_limit_seconds: for the whole exchange.
        max_bytes: longest body of the answer, after decompression.
        as_file: whether the body is kept as a file.
    """

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None
    time_limit_seconds: float
    max_bytes: int
    as_file: bool = False


class Answer(NamedTuple):
    """An HTTP answer that has arrived in full; `file` in place of `body` if that was asked for."""

    status: int
    body: bytes
    file: BinaryIO | None = None


class Transport:
    """Exchanges with one origin, over one kept connection for each thread.

    Args:
        origin: scheme and host, e.g. `https://123-ABC-456.mktorest.com`.
    """

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._watch = _Watch()
        self._lines = threading.local()

    def exchange(self, request: Request) -> Answer | Failed:
        """Send a request once. Exceptions of the library quote addresses with their query, so they end here.

        Raises:
            CertificatesError: the environment names a file of certificates that cannot be used.
        """
        line: _Line | None = getattr(self._lines, "line", None)
        if line is None:
            line = self._lines.line = _Line(_new_session(self._origin))
        _HERE.line = line
        self._watch.begin(line, request.time_limit_seconds)
        try:
            answer = self._exchange(line.session, request)
        finally:
            self._watch.end(line)
            line.rest()
        if line.was_cut and not (isinstance(answer, Failed) and answer.next is Next.RETRY):
            return Failed(Next.OUTCOME_UNKNOWN, "time limit")
        return answer

    def cut(self) -> None:
        """End the exchanges under way at once, as if their time were up."""
        self._watch.cut_all()

    def _exchange(self, session: requests.Session, request: Request) -> Answer | Failed:
        try:
            response = session.send(
                _prepared(self._origin, request),
                stream=True,
                timeout=(min(CONNECT_TIMEOUT_SECONDS, request.time_limit_seconds), request.time_limit_seconds),
                allow_redirects=False,
                proxies=session.proxies,
            )
            try:
                return _read(response, request)
            finally:
                response.close()
        except (requests.ConnectTimeout, requests.exceptions.ProxyError) as error:
            return Failed(Next.RETRY, type(error).__name__)
        except requests.exceptions.SSLError as error:
            # A connection can break inside TLS after the request has left as well.
            if _certificate_refused(error):
                return Failed(Next.RETRY, "certificate not trusted")
            return Failed(Next.OUTCOME_UNKNOWN, "SSLError")
        except requests.ConnectionError as error:
            return Failed(Next.RETRY if _never_sent(error) else Next.OUTCOME_UNKNOWN, "connection lost")
        except requests.RequestException as error:
            return Failed(Next.OUTCOME_UNKNOWN, type(error).__name__)
        except (urllib3.exceptions.HTTPError, OSError):
            return Failed(Next.OUTCOME_UNKNOWN, "connection lost")


# --- connections ---------------------------------------------------------------------------------------------


class _Line:
    """One thread's session, and a second handle on its connection, by which that can be shut down from outside."""

    def __init__(self, session: requests.Session) -> None:
        self.session = session
        self.was_cut = False
        self._connection: HTTPConnection | None = None
        self._handle: socket.socket | None = None

    def opened(self, connection: HTTPConnection, opened: socket.socket) -> None:
        """A connection is made. TLS, which comes next, takes the socket away, but not the copy of its handle."""
        self._let_go()
        self._connection, self._handle = connection, opened.dup()
        if self.was_cut:
            self.shut_down()

    def begin(self) -> None:
        """An exchange begins."""
        self.was_cut = False

    def shut_down(self) -> None:
        """Let whoever reads or writes see the end of the connection."""
        self.was_cut = True
        if self._handle is not None:
            try:
                self._handle.shutdown(socket.SHUT_RDWR)
            except OSError:
                return  # it has ended by itself

    def rest(self) -> None:
        """An exchange has ended. A connection that is closed must not stay open by the second handle."""
        if self._connection is not None and self._connection.sock is None:
            self._let_go()

    def _let_go(self) -> None:
        if self._handle is not None:
            self._handle.close()
        self._connection = self._handle = None


class _Watch:
    """Shuts lines down at their time limit. Its thread lives while there is something to watch."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._ends: dict[_Line, float] = {}
        self._running = False
        self._wakes_at = 0.0

    def begin(self, line: _Line, seconds: float) -> None:
        """Watch a line."""
        with self._changed:
            line.begin()
            ends_at = self._ends[line] = time.monotonic() + seconds
            if not self._running:
                self._running = True
                threading.Thread(target=self._run, name="marketo-time-limits", daemon=True).start()
            elif ends_at < self._wakes_at:
                self._changed.notify()

    def end(self, line: _Line) -> None:
        """Watch a line no more."""
        with self._changed:
            self._ends.pop(line, None)

    def cut_all(self) -> None:
        """Shut down every line that is watched."""
        with self._changed:
            for line in list(self._ends):
                line.shut_down()

    def _run(self) -> None:
        with self._changed:
            while self._ends:
                now = time.monotonic()
                for line in [line for line, ends_at in self._ends.items() if ends_at <= now]:
                    line.shut_down()
                    del self._ends[line]
                self._wakes_at = min(self._ends.values(), default=now)
                self._changed.wait(self._wakes_at - now)
            self._running = False


_HERE = threading.local()
"""`line`: whose exchange the current thread makes, for connections that the library opens below it."""


class _Connection(HTTPConnection):
    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        _HERE.line.opened(self, opened)
        return opened


class _TlsConnection(HTTPSConnection):
    def _new_conn(self) -> socket.socket:
        opened = super()._new_conn()
        _HERE.line.opened(self, opened)
        return opened


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:  # noqa: ARG002 - named so
        """No redirect is followed, so that its body need not be read."""
        return


def _new_session(origin: str) -> requests.Session:
    session = _Session()
    session.mount(origin, _Adapter(pool_connections=1, pool_maxsize=1, max_retries=0))
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.trust_env = False
    if urlsplit(origin).hostname in _LOOPBACK:
        # Nothing between us and this machine has to see the credentials.
        return session
    # What the environment says of proxies and certificates, read once: for each call it costs a fifth of it.
    asked = requests.Session()
    found = asked.merge_environment_settings(origin, {}, None, None, None)
    session.proxies, session.verify, session.cert = found["proxies"], found["verify"], found["cert"]
    if isinstance(session.verify, str):
        _check_certificates(session.verify)
    return session


def _check_certificates(path: str) -> None:
    try:
        if not os.path.isdir(path):  # noqa: PTH112 - a path of the environment, NUL and all
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
    except (OSError, ValueError) as error:
        variable = next((name for name in _CERTIFICATE_VARIABLES if os.environ.get(name) == path), "the environment")
        reason = "it holds none" if isinstance(error, ssl.SSLError | ValueError) else str(error.strerror)
        raise CertificatesError(variable, path, reason) from None


# --- requests and answers ------------------------------------------------------------------------------------


def _prepared(origin: str, request: Request) -> requests.PreparedRequest:
    """The request, without what the library's own way would look for: cookies, credentials, hooks."""
    prepared = requests.PreparedRequest()
    prepared.method = request.method
    prepared.url = origin + request.target
    prepared.headers = CaseInsensitiveDict(request.headers)
    prepared.headers["Accept-Encoding"] = "gzip"
    if request.body is not None:
        prepared.headers["Content-Length"] = str(len(request.body))
        prepared.body = request.body
    return prepared


class _UnreadableError(Exception):
    """The body is not encoded as its headers say."""


def _read(response: requests.Response, request: Request) -> Answer | Failed:
    pieces: list[bytes] = []
    size = 0
    file: Any = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) if request.as_file else None  # noqa: SIM115 - handed on
    keep = pieces.append if file is None else file.write
    try:
        for piece in _pieces(response):
            size += len(piece)
            if size > request.max_bytes:
                return Failed(Next.OUTCOME_UNKNOWN, f"answer of more than {request.max_bytes:,} bytes")
            keep(piece)
    except _UnreadableError:
        return Failed(Next.OUTCOME_UNKNOWN, "unreadable answer")
    if file is not None:
        file.seek(0)
    return Answer(response.status_code, b"".join(pieces), file)


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The body, decompressed piece by piece: a megabyte may hold a gigabyte."""
    encoding = response.headers.get("Content-Encoding", "").strip().casefold()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise _UnreadableError
    unpack = zlib.decompressobj(wbits=31) if "gzip" in encoding else None
    while piece := response.raw.read(PIECE_BYTES, decode_content=False):
        if unpack is None:
            yield piece
            continue
        while True:
            try:
                unpacked = unpack.decompress(piece, PIECE_BYTES)
            except zlib.error:
                raise _UnreadableError from None
            yield unpacked
            piece = unpack.unconsumed_tail
            if not piece and len(unpacked) < PIECE_BYTES:
                break
    if unpack is not None and not unpack.eof:
        raise _UnreadableError


def _never_sent(error: requests.ConnectionError) -> bool:
    """Whether the connection was never made, so that nothing can have been executed."""
    return type(_reason(error)).__name__ in ("NewConnectionError", "ConnectTimeoutError", "NameResolutionError")


def _certificate_refused(error: requests.exceptions.SSLError) -> bool:
    reason = _reason(error)
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in (reason, *getattr(reason, "args", ())))


def _reason(error: requests.RequestException) -> Any:
    """What the library below wrapped into its exception."""
    cause = error.args[0] if error.args else None
    return getattr(cause, "reason", cause)
