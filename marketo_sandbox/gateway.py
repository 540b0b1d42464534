"""What every call passes, in order: size, token, limits, path, permission, faults, endpoint, envelope."""

from __future__ import annotations

import asyncio
import secrets
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import msgspec

from . import routes
from .calls import Call
from .errors import ApiError, HttpRefusal
from .faults import HTML_PAGE, Fault, failure_text
from .request import Answer, Request
from .settings import Permission, Service

if TYPE_CHECKING:
    from collections.abc import Callable

    from .faults import Moment
    from .instance import Instance

TOKEN_PATH = "/identity/oauth/token"  # noqa: S105 - a path
_JSON = "application/json;charset=UTF-8"
_FILE = "text/plain;charset=UTF-8"
_FORM = "application/x-www-form-urlencoded"
_AS_GET = ("_method", "GET")
_COMPRESSED_FROM_BYTES = 1024
_encoder = msgspec.json.Encoder()


class RawCall(msgspec.Struct):
    """An HTTP request, read to its end. Header values are empty where the header is missing."""

    method: str
    path: str
    query_string: str
    uri_bytes: int
    body: bytes
    content_type: str
    authorization: str
    accept_encoding: str
    range: str = ""


class Reply(msgspec.Struct):
    """An HTTP answer.

    Attributes:
        cut: close the connection: True at once, or in the middle of the answer if `body` is not empty.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = _JSON
    encoding: str = ""
    cut: bool = False
    headers: dict[str, str] = {}


CUT = Reply(cut=True, status=0)


class Gateway:
    """Answers the API and the token endpoint of one instance. Runs on the server's event loop only."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._background: set[asyncio.Task[None]] = set()

    async def answer(self, raw: RawCall) -> Reply:
        """Answer one call, and log it."""
        instance = self._instance
        query = _query(raw)
        is_api = raw.path != TOKEN_PATH
        method = _method(raw, query)
        match = routes.find(method, raw.path) if is_api else None
        route = match.route if match is not None else None
        endpoint = "identity.token" if not is_api else route.endpoint if route is not None else "unknown"
        call = Call(
            number=0,
            endpoint=endpoint,
            method=raw.method,
            path=raw.path,
            writes=route is not None and route.writes,
            started=instance.clock.monotonic(),
        )
        # A reset meanwhile replaces them; a call ends where it began.
        calls, limits = instance.calls, instance.limits
        calls.begin(call, kept=instance.settings.log_calls)
        instance.advance()
        fault = instance.faults.plan(endpoint, method, raw.path, raw.body)
        call.fault = fault.name or None
        reply = CUT
        try:
            if is_api:
                refusal, mark = limits.enter(instance.settings)
                try:
                    reply = await self._api(raw, match, query, call, fault, refusal)
                finally:
                    limits.leave(call.user, call.code, mark)
            else:
                reply = await self._token(raw, query, call, fault)
        finally:
            call.http_status = 0 if reply.cut else reply.status
            calls.end(call, instance.clock.monotonic())
        return reply

    async def _api(
        self,
        raw: RawCall,
        match: routes.Match | None,
        query: dict[str, str],
        call: Call,
        fault: Fault,
        over_limit: str | None,
    ) -> Reply:
        instance = self._instance
        if fault.expire_token:
            instance.tokens.expire()
        try:
            _check_size(instance, raw)
            service = self._service(raw, query)
            call.user = service.user
            if over_limit is not None:
                raise ApiError(over_limit)  # noqa: TRY301 - every refusal leaves by the same door
            if match is None:
                raise ApiError("610")  # noqa: TRY301
            if match.route is None:
                raise ApiError("605")  # noqa: TRY301
            if match.route.method == "GET" and raw.method == "POST" and not _is_form(raw):
                raise ApiError("612")  # noqa: TRY301
            _check_permission(service, match.route.permission)
            request = Request(
                path_ids=match.path_ids,
                query=query,
                body=raw.body,
                content_type=raw.content_type,
                service=service,
                call=call,
                range=raw.range,
                log_keys=instance.settings.log_calls and instance.settings.log_keys,
                fault=fault,
            )
            return await self._execute(raw, request, match.route, fault)
        except HttpRefusal as refusal:
            return Reply(refusal.status, b"", "text/html")
        except ApiError as error:
            return self._failure(call, error)

    async def _execute(self, raw: RawCall, request: Request, route: routes.Route, fault: Fault) -> Reply:
        call = request.call
        await self._pause(fault, "before")
        if fault.reset == "before":
            return CUT
        failing = fault.code is not None or fault.http_status is not None
        if failing and not fault.executed:
            return self._faulty(call, fault)
        commit = route.prepare(self._instance, request)
        if fault.reset == "during":
            self._later(commit, fault, call)
            return CUT
        # Even without latency other calls get their turn here, as they would on a real server.
        await asyncio.sleep(self._instance.settings.latency_seconds + request.work_seconds)
        await self._pause(fault, "during")
        answer = commit()
        call.executed = True
        await self._pause(fault, "after")
        if fault.reset == "after":
            return CUT
        if failing:
            return self._faulty(call, fault)
        return self._success(raw, call, answer, fault)

    async def _pause(self, fault: Fault, moment: Moment) -> None:
        if fault.delay_seconds and fault.delay_at == moment:
            await asyncio.sleep(fault.delay_seconds)
        if fault.hold_at == moment:
            await self._instance.faults.hold(fault.name)

    def _later(self, commit: Callable[[], Answer], fault: Fault, call: Call) -> None:
        async def run() -> None:
            await asyncio.sleep(fault.delay_seconds)
            if fault.hold_at is not None:
                await self._instance.faults.hold(fault.name)
            with suppress(ApiError):  # a refusal that nobody is there to hear
                commit()
                self._instance.calls.executed_late(call)

        task = asyncio.get_running_loop().create_task(run())
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def _service(self, raw: RawCall, query: dict[str, str]) -> Service:
        """Whose token the call carries.

        Raises:
            ApiError: 603 without a token in the header (a parameter does not count), 601, 602.
        """
        scheme, _, token = raw.authorization.partition(" ")
        if scheme.lower() != "bearer" or not token or "access_token" in query:
            raise ApiError("603")
        found = self._instance.tokens.check(token.strip())
        if isinstance(found, str):
            raise ApiError(found)
        return found

    def _failure(self, call: Call, error: ApiError) -> Reply:
        call.code = str(error.code)
        call.request_id = self._instance.request_id()
        body = {
            "requestId": call.request_id,
            "success": False,
            "errors": [{"code": error.code, "message": error.text}],
        }
        return Reply(200, _encoder.encode(body))

    def _faulty(self, call: Call, fault: Fault) -> Reply:
        if fault.http_status is None:
            assert fault.code is not None  # noqa: S101 - asked only for failing faults; for the type checker
            return self._failure(call, ApiError(fault.code, failure_text(fault)))
        body = HTML_PAGE if fault.http_body is None else fault.http_body
        return Reply(fault.http_status, body.encode(), fault.content_type)

    def _success(self, raw: RawCall, call: Call, answer: Answer, fault: Fault) -> Reply:
        call.request_id = self._instance.request_id()
        if answer.file is not None:
            # Half a file with a whole answer around it could not be told from a whole file.
            cut = fault.cut_short or fault.truncate
            if answer.file_range is None:
                return Reply(200, answer.file, _FILE, cut=cut)
            first, last, size = answer.file_range
            return Reply(206, answer.file, _FILE, cut=cut, headers={"Content-Range": f"bytes {first}-{last}/{size}"})
        body: dict[str, Any] = {"requestId": call.request_id, "success": True}
        if answer.asset:
            body |= {"errors": [], "warnings": answer.warnings or []}
        if answer.result is not None and not (fault.omit_empty and not answer.result):
            body["result"] = answer.result
        if answer.next_page_token is not None:
            body["nextPageToken"] = answer.next_page_token
        if answer.more is not None:
            body["moreResult"] = answer.more
        for name in fault.omit:
            if not (name == "moreResult" and answer.more):
                body.pop(name, None)
        reply = _damaged(Reply(200, _encoder.encode(body)), fault)
        compressible = self._instance.settings.compress and not raw.path.startswith("/bulk/")
        if compressible and len(reply.body) >= _COMPRESSED_FROM_BYTES and "gzip" in raw.accept_encoding:
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            reply.body = packer.compress(reply.body) + packer.flush()
            reply.encoding = "gzip"
        return reply

    async def _token(self, raw: RawCall, query: dict[str, str], call: Call, fault: Fault) -> Reply:
        await self._pause(fault, "before")
        if fault.reset == "before":
            return CUT
        if fault.http_status is not None or fault.code is not None:
            return self._faulty(call, fault)
        if fault.expire_token:
            self._instance.tokens.expire()
        reply = self._issue(raw, query, call)
        await self._pause(fault, "during")
        await self._pause(fault, "after")
        if fault.reset is not None:
            return CUT
        return _damaged(reply, fault)

    def _issue(self, raw: RawCall, query: dict[str, str], call: Call) -> Reply:
        settings = self._instance.settings
        if raw.method not in {"GET", "POST"}:
            return Reply(405, b"", "text/html")
        if query.get("grant_type") != "client_credentials":
            return self._unauthorized("invalid_request", "Unsupported grant type")
        for service in settings.services:
            if service.client_id == query.get("client_id"):
                given = query.get("client_secret", "").encode()
                if not secrets.compare_digest(service.client_secret.encode(), given):
                    return self._unauthorized("invalid_client", "Bad client credentials")
                call.user = service.user
                call.executed = True
                token, seconds = self._instance.tokens.issue(service, settings.token_life_seconds)
                body = {
                    "access_token": token,
                    "token_type": "bearer",
                    "expires_in": seconds,
                    "scope": service.user,
                }
                return Reply(200, _encoder.encode(body))
        return self._unauthorized("invalid_client", "No client with requested id")

    def _unauthorized(self, error: str, description: str) -> Reply:
        status = 200 if self._instance.settings.identity_errors_as_200 else 401
        return Reply(status, _encoder.encode({"error": error, "error_description": description}))


def _damaged(reply: Reply, fault: Fault) -> Reply:
    if fault.truncate:
        reply.body = reply.body[: len(reply.body) // 2]
    reply.cut = fault.cut_short
    return reply


def _query(raw: RawCall) -> dict[str, str]:
    """Parameters of the call; repeated ones are joined by commas, as a list would be.

    Those of a form count where `_method=GET` stands in the address, as documented, or in the form itself, as a client
    that is in wide use sends it.
    """
    pairs = parse_qsl(raw.query_string, keep_blank_values=True)
    if raw.method == "POST" and _is_form(raw):
        form = parse_qsl(raw.body.decode("utf-8", "replace"), keep_blank_values=True)
        if _AS_GET in pairs or _AS_GET in form or raw.path == TOKEN_PATH:
            pairs += form
    query: dict[str, str] = {}
    for name, value in pairs:
        query[name] = f"{query[name]},{value}" if name in query else value
    return query


def _is_form(raw: RawCall) -> bool:
    return raw.content_type.partition(";")[0].strip().lower() == _FORM


def _method(raw: RawCall, query: dict[str, str]) -> str:
    """GET for a POST with `_method=GET`, which only the lead database understands."""
    if raw.method == "POST" and query.get("_method") == "GET" and raw.path.startswith("/rest/v1/"):
        return "GET"
    return raw.method


def _check_size(instance: Instance, raw: RawCall) -> None:
    settings = instance.settings
    most = settings.asset_uri_bytes if raw.path.startswith("/rest/asset/") else settings.uri_bytes
    if raw.uri_bytes > most:
        raise HttpRefusal(414)
    if raw.path.startswith("/bulk/"):
        if len(raw.body) >= settings.bulk_body_bytes:
            raise HttpRefusal(413)
    elif len(raw.body) > settings.body_bytes:
        raise HttpRefusal(413)


def _check_permission(service: Service, permission: Permission | None) -> None:
    if permission is None or permission in service.permissions:
        return
    if permission is Permission.READ_LEAD and Permission.WRITE_LEAD in service.permissions:
        return
    raise ApiError("603")
