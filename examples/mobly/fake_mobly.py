"""A stand-in for Mobly's REST API v0 over real HTTP: events, event leads, leads and tag groups, read-only.

As the official description has it: `x-api-key` (401 without one, 403 for a wrong one), lists of at most 50 by
zero-based page index (`limit` above 50 counts as 50), and one token bucket per key: bursts of 20, refilled with 1 per
second, `X-RateLimit-*` on every answer to a valid key, 429 with `Retry-After`.
Sources: https://core-api.getmobly.com/api/v0 (OpenAPI of v0), https://help.getmobly.com/documentation/rest-api/rest-api-v0
"""

from __future__ import annotations

import argparse
import asyncio
import math
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from aiohttp import web
from organisation import Organisation

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

__all__ = ["API_KEY", "Call", "FakeMobly", "Organisation", "TokenBucket"]

Json = dict[str, Any]

API_KEY: Final = "fake-mobly-key"
DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 50
_STARTS_WITHIN_SECONDS: Final = 10.0


class Call(NamedTuple):
    """One request as it was answered; `at` is in seconds of the monotonic clock."""

    at: float
    path: str
    query: dict[str, str]
    status: int


class TokenBucket:
    """Mobly's limit: `burst` calls at once, `per_second` more each second."""

    def __init__(self, burst: int, per_second: float, now: Callable[[], float] = time.monotonic) -> None:
        self.burst = burst
        self._per_second = per_second
        self._now = now
        self._tokens = float(burst)
        self._filled_at = now()

    def seconds_to_wait(self) -> float:
        """Take a token and return 0.0, or return how long it takes until there is one, taking none."""
        now = self._now()
        self._tokens = min(self.burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
        if self._tokens < 1:
            return (1 - self._tokens) / self._per_second
        self._tokens -= 1
        return 0.0

    @property
    def remaining(self) -> int:
        """Whole tokens left after the last call."""
        return int(self._tokens)

    @property
    def seconds_until_full(self) -> float:
        """How long it takes until the bucket is full again, from the last call on."""
        return (self.burst - self._tokens) / self._per_second


class _Refusal(Exception):  # noqa: N818 - an answer to the client, no failure of this program
    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = headers or {}


class FakeMobly:
    """The API on 127.0.0.1, in a thread of its own; a context manager that starts and stops it.

    Args:
        organisation: what it serves; may change while it runs.
        api_key: the only key it accepts; any other gets 403, none gets 401.
        burst: calls at once.
        per_second: calls per second after that.
        largest_page: records per page that it gives at most, whatever `limit` asks for.
        port: 0 takes a free one.
    """

    def __init__(
        self,
        organisation: Organisation,
        *,
        api_key: str = API_KEY,
        burst: int = 20,
        per_second: float = 1.0,
        largest_page: int = MAX_LIMIT,
        port: int = 0,
    ) -> None:
        self.organisation = organisation
        self.api_key = api_key
        self._largest_page = largest_page
        self.calls: list[Call] = []
        self.bucket = TokenBucket(burst, per_second)
        self._port = port
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="fake-mobly", daemon=True)

    @property
    def url(self) -> str:
        """Base address, as Mobly's `https://core-api.getmobly.com/api/v0`."""
        return f"http://127.0.0.1:{self._port}/api/v0"

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(_STARTS_WITHIN_SECONDS):
            raise TimeoutError("the fake Mobly API did not start")
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        stop = self._stop
        if stop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(stop.set)
        self._thread.join(_STARTS_WITHIN_SECONDS)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except OSError as error:  # the port is taken: told to whoever waits in __enter__
            self._failure = error
            self._started.set()
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        application = web.Application(middlewares=[self._answer])
        application.add_routes(
            [
                web.get("/api/v0/events", self._list_events),
                web.get("/api/v0/events/{event}", self._get_event),
                web.get("/api/v0/events/{event}/leads", self._list_event_leads),
                web.get("/api/v0/leads", self._list_leads),
                web.get("/api/v0/leads/{lead}", self._get_lead),
                web.get("/api/v0/tagGroups", self._list_tag_groups),
            ]
        )
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", self._port)
            await site.start()
            self._port = runner.addresses[0][1]
            self._started.set()
            await self._stop.wait()
        finally:
            await runner.cleanup()

    @web.middleware
    async def _answer(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        limited: dict[str, str] = {}
        try:
            limited = self._admit(request)
            response: web.StreamResponse = await handler(request)
        except _Refusal as refusal:
            body = {"status": refusal.status, "error": refusal.error}
            response = web.json_response(body, status=refusal.status, headers=refusal.headers)
        except web.HTTPException as error:
            response = web.json_response({"status": error.status, "error": error.reason}, status=error.status)
        response.headers.update(limited)
        self.calls.append(Call(time.monotonic(), request.path, dict(request.query), response.status))
        return response

    def _admit(self, request: web.Request) -> dict[str, str]:
        """Take a token for the call and return the headers that say what is left, or refuse it."""
        key = request.headers.get("x-api-key")
        if not key:
            raise _Refusal(401, "Unauthorized")
        if key != self.api_key:
            raise _Refusal(403, "Forbidden")
        wait = self.bucket.seconds_to_wait()
        headers = {
            "X-RateLimit-Limit": str(self.bucket.burst),
            "X-RateLimit-Remaining": str(self.bucket.remaining),
            "X-RateLimit-Reset": str(math.ceil(time.time() + self.bucket.seconds_until_full)),
        }
        if wait:
            raise _Refusal(429, "Too Many Requests", headers | {"Retry-After": str(math.ceil(wait))})
        return headers

    async def _list_events(self, request: web.Request) -> web.Response:
        return self._page(request, "events", self.organisation.events())

    async def _list_leads(self, request: web.Request) -> web.Response:
        limit, offset = self._paging(request)
        leads = self.organisation.leads(offset * limit, (offset + 1) * limit)
        return _list_answer("leads", leads, limit, offset, self.organisation.number_of_leads())

    async def _list_tag_groups(self, request: web.Request) -> web.Response:
        return self._page(request, "tagGroups", self.organisation.tag_groups())

    async def _list_event_leads(self, request: web.Request) -> web.Response:
        associations = self.organisation.event_leads(_whole_number(request.match_info["event"], "eventId"))
        if associations is None:
            raise _Refusal(404, "Event not found")
        return self._page(request, "eventLeads", associations)

    async def _get_event(self, request: web.Request) -> web.Response:
        wanted = _whole_number(request.match_info["event"], "eventId")
        for event in self.organisation.events():
            if event["id"] == wanted:
                return web.json_response({"status": 200, "results": event})
        raise _Refusal(404, "Event not found")

    async def _get_lead(self, request: web.Request) -> web.Response:
        lead = self.organisation.lead(request.match_info["lead"])
        if lead is None:
            raise _Refusal(404, "Lead not found")
        return web.json_response({"status": 200, "results": lead})

    def _page(self, request: web.Request, collection: str, items: list[Json]) -> web.Response:
        limit, offset = self._paging(request)
        return _list_answer(collection, items[offset * limit : (offset + 1) * limit], limit, offset, len(items))

    def _paging(self, request: web.Request) -> tuple[int, int]:
        limit = _whole_number(request.query.get("limit", str(DEFAULT_LIMIT)), "limit")
        offset = _whole_number(request.query.get("offset", "0"), "offset")
        if not limit:
            raise _Refusal(400, "limit must be at least 1")
        return min(limit, MAX_LIMIT, self._largest_page), offset


def _list_answer(collection: str, items: list[Json], limit: int, offset: int, total: int) -> web.Response:
    pagination = {"limit": limit, "offset": offset}
    return web.json_response({"status": 200, "pagination": pagination, "results": {collection: items, "total": total}})


def _whole_number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise _Refusal(400, f"{name} must be a number")
    return int(text)


def main() -> None:
    """Serve the sample leads until interrupted: `python examples/mobly/fake_mobly.py`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, default=8091)
    parser.add_argument("--leads", type=int, default=500, help="captures at the three sample events")
    arguments = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    with FakeMobly(Organisation.with_sample_leads(arguments.leads), port=arguments.port) as mobly:
        print(f"Mobly's API at {mobly.url} with x-api-key {mobly.api_key}. Ctrl-C ends it.", flush=True)  # noqa: T201 - a command for people
        ended.wait()


if __name__ == "__main__":
    main()
