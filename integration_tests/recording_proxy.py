"""A proxy between the connector and the sandbox that writes down every exchange."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self

import requests

if TYPE_CHECKING:
    from types import TracebackType

_KEPT_HEADERS = ("Content-Type", "Authorization", "Range")


@dataclass(frozen=True)
class Exchange:
    """One request and its answer. `target` is path and query."""

    method: str
    target: str
    content_type: str
    body: bytes
    status: int
    answer: bytes
    answer_type: str


class RecordingProxy:
    """Stands at a port of 127.0.0.1 for the length of a `with` block and passes everything on to `target`."""

    def __init__(self, target: str) -> None:
        self.exchanges: list[Exchange] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(target, self.exchanges))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


def _handler(target: str, exchanges: list[Exchange]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name: self.headers[name] for name in _KEPT_HEADERS if name in self.headers}
            answer = requests.request(
                self.command, target + self.path, data=body or None, headers=headers, timeout=60, allow_redirects=False
            )
            kind = answer.headers.get("Content-Type", "")
            exchanges.append(
                Exchange(
                    self.command,
                    self.path,
                    headers.get("Content-Type", ""),
                    body,
                    answer.status_code,
                    answer.content,
                    kind,
                )
            )
            self.send_response(answer.status_code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle  # noqa: N815 - names of the base class

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
