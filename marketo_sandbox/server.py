"""The sandbox over HTTP: in a thread of its own for tests, or in the foreground for the command."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Self

from aiohttp import web

from .control import Control
from .gateway import Gateway, RawCall, Reply
from .guard import refusal
from .instance import Instance
from .settings import Settings
from .state import StateView

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from .calls import CallLog
    from .faults import Faults

HOST = "127.0.0.1"
_LARGEST_BODY_BYTES = 64_000_000
"""What is read at all; smaller limits are answered with 413 by the gateway."""
_LONGEST_LINE_BYTES = 200_000
_STOP_SECONDS = 5.0
_START_SECONDS = 30.0


class _App:
    """Turns aiohttp's requests into calls, and replies into aiohttp's responses."""

    def __init__(self, instance: Instance) -> None:
        self._gateway = Gateway(instance)
        self._control = Control(instance)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        refused = refusal(
            request.method,
            request.headers.get("Host", ""),
            request.headers.get("Origin", ""),
            request.headers.get("Sec-Fetch-Site", ""),
        )
        if refused is not None:
            return web.Response(status=403, text=f"{refused}\n")
        body = await request.read()
        path = request.rel_url.raw_path
        if path == "/" or path.startswith("/_sandbox/"):
            return _response(self._control.answer(request.method, path, dict(request.query), body))
        headers = request.headers
        raw = RawCall(
            method=request.method,
            path=path,
            query_string=request.rel_url.raw_query_string,
            uri_bytes=len(request.raw_path.encode()),
            body=body,
            content_type=headers.get("Content-Type", ""),
            authorization=headers.get("Authorization", ""),
            accept_encoding=headers.get("Accept-Encoding", ""),
            range=headers.get("Range", ""),
        )
        reply = await self._gateway.answer(raw)
        if reply.cut:
            return await _cut(request, reply)
        return _response(reply)


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.content_type, **reply.headers}
    if reply.encoding:
        headers["Content-Encoding"] = reply.encoding
    if reply.content_type.startswith("text/html"):
        headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        )
    return web.Response(status=reply.status, body=reply.body, headers=headers)


async def _cut(request: web.Request, reply: Reply) -> web.StreamResponse:
    """Close the connection without an answer, or half-way through it."""
    response = web.StreamResponse(status=reply.status or 200)
    transport = request.transport
    if reply.body and transport is not None:
        response.content_length = len(reply.body)
        response.headers["Content-Type"] = reply.content_type
        await response.prepare(request)
        await response.write(reply.body[: len(reply.body) // 2])
    if transport is not None:
        transport.abort()
    return response


async def _start(instance: Instance, port: int) -> tuple[web.AppRunner, int]:
    app = web.Application(client_max_size=_LARGEST_BODY_BYTES)
    app.router.add_route("*", "/{path:.*}", _App(instance).handle)
    runner = web.AppRunner(
        app,
        access_log=None,
        max_line_size=_LONGEST_LINE_BYTES,
        max_field_size=_LONGEST_LINE_BYTES,
        shutdown_timeout=_STOP_SECONDS,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        await site.start()
    except OSError:
        await runner.cleanup()
        raise
    return runner, int(runner.addresses[0][1])


class SandboxServer:
    """A Marketo on a port of 127.0.0.1, in a thread, for as long as the `with` block lasts.

    Args:
        settings: how it behaves; Marketo's documented numbers by default.
        port: 0 for any free one.

    Attributes:
        url: what goes into `domain_url`; known once started.
        state: leads, members, usage, jobs: to look at and to prepare.
        instance: everything else (clock, settings).
    """

    def __init__(self, settings: Settings | None = None, port: int = 0) -> None:
        self.instance = Instance(settings if settings is not None else Settings())
        self.state = StateView(self.instance)
        self.url = ""
        self._port = port
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    @property
    def faults(self) -> Faults:
        """Scripted and random faults."""
        return self.instance.faults

    @property
    def calls(self) -> CallLog:
        """The call log since the start or the last reset."""
        return self.instance.calls

    @property
    def settings(self) -> Settings:
        """The settings in force; `configure` changes them."""
        return self.instance.settings

    @property
    def client_id(self) -> str:
        """Client id of the first service."""
        return self.settings.services[0].client_id

    @property
    def client_secret(self) -> str:
        """Client secret of the first service."""
        return self.settings.services[0].client_secret

    def configure(self, **changes: object) -> None:
        """Replace settings by name while the server runs.

        Raises:
            msgspec.ValidationError: an unknown name or a value of the wrong type.
        """
        self.instance.change(**changes)

    def reset(self) -> None:
        """Back to the shipped state; settings and clock stay."""
        self.instance.reset()

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock forward: tokens end, windows empty, jobs finish."""
        self.instance.clock.advance(seconds)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start serving; returns when the port answers. After a `stop` it serves the same state on the same port.

        Raises:
            OSError: the port is taken.
        """
        self._ready.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="marketo-sandbox", daemon=True)
        self._thread.start()
        if not self._ready.wait(_START_SECONDS):
            raise TimeoutError("the sandbox did not start")
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Stop serving; whatever is held is let go."""
        loop, stop, thread = self._loop, self._stop, self._thread
        if loop is None or stop is None or thread is None:
            return
        self.faults.clear()
        loop.call_soon_threadsafe(stop.set)
        thread.join(_STOP_SECONDS * 2)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits in start()
            self._failure = error
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        runner, port = await _start(self.instance, self._port)
        self._port = port
        self.url = f"http://{HOST}:{port}"
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._ready.set()
        try:
            await self._stop.wait()
        finally:
            await runner.cleanup()


async def serve_forever(instance: Instance, port: int, on_ready: Callable[[str], None], stop: asyncio.Event) -> None:
    """Serve in the foreground until `stop` is set; `on_ready` gets the URL."""
    runner, actual_port = await _start(instance, port)
    try:
        on_ready(f"http://{HOST}:{actual_port}")
        await stop.wait()
    finally:
        await runner.cleanup()
