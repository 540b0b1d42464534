"""A Marketo that forgives nothing: written from Adobe's documentation alone, apart from the connector and its sandbox.

Every request is held against what is documented (method, path, parameters, body members, types, sizes, token in the
header only), and against what the documentation warns of: the same key or lead twice in one call, the same key or
(lead, program) in two calls at once. What is not documented is noted in `violations`, which fail the test on exit.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter, deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qs, urlsplit

from strict_extracts import Extracts, RefusedError, activities, stamp, status_change, written

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Json = dict[str, Any]

MOST_ROWS = 300
MOST_ASSETS = 200
MOST_BYTES = 1_000_000
LONGEST_URI = 8_000
CALLS_PER_WINDOW, WINDOW_SECONDS, CALLS_AT_ONCE = 100, 20.0, 10
JSON_TYPE, FORM_TYPE = "application/json", "application/x-www-form-urlencoded"

LEAD_FIELDS: dict[str, tuple[str, bool]] = {
    "id": ("integer", False),
    "email": ("email", True),
    "firstName": ("string", True),
    "lastName": ("string", True),
    "title": ("string", True),
    "company": ("string", True),
    "phone": ("phone", True),
    "leadScore": ("score", True),
    "newsletterOptIn": ("boolean", True),
    "badgeId": ("string", True),
    "customerNumber": ("integer", True),
    "notes": ("text", True),
    "updatedAt": ("datetime", False),
}
"""REST name -> data type, whether a write may name it."""
SEARCHABLE = ("id", "email", "badgeId", "customerNumber")
MEMBER_FIELDS: dict[str, tuple[str, bool]] = {
    "leadId": ("integer", False),
    "statusName": ("string", False),
    "membershipDate": ("datetime", False),
    "updatedAt": ("datetime", False),
    "registrationCode": ("string", True),
    "seatNumber": ("integer", True),
    "boothNotes": ("string", True),
}
CHANNELS: dict[str, dict[str, int]] = {
    "Tradeshow": {
        "Not in Program": 0, "Invited": 10, "Registered": 20, "Waitlisted": 20, "Attended": 40, "Engaged": 50,
    },
    "Operational": {"Not in Program": 0, "On List": 10, "Member": 20},
    "Equal": {"Not in Program": 0, "Registered": 20, "No Show": 30, "Attended": 30},
}  # fmt: skip
SUCCESSES = frozenset({"Attended", "Engaged"})
PROGRAMS: dict[int, str] = {1004: "Tradeshow", 1234: "Tradeshow", 1001: "Operational", 1010: "Equal"}
PARTITIONS = {"Default": 1, "EMEA": 4}


@dataclass
class Answer:
    """What goes over the wire."""

    body: bytes
    status: int = 200
    content_type: str = "application/json;charset=UTF-8"
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


def refuse(code: str | int, message: str = "refused") -> Answer:
    """A response-level error, HTTP 200 as ever."""
    return Answer(
        json.dumps({"requestId": "e#1", "success": False, "errors": [{"code": code, "message": message}]}).encode()
    )


def html(status: int = 200) -> Answer:
    """What a proxy between says."""
    return Answer(b"<html><body>We are sorry</body></html>", status, "text/html")


def redirect(url: str) -> Answer:
    """Marketo does not redirect; something between might."""
    return Answer(b"", 302, "text/html", {"Location": url})


@dataclass
class Call:
    """One request as it came."""

    endpoint: str
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    numbers: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    members: Json = field(default_factory=dict)

    @property
    def rows(self) -> list[Json]:
        """The `input` of a write."""
        rows: list[Json] = self.members.get("input", [])
        return rows


Interruption = "Answer | Callable[[Call], Answer | None] | None"

_ROUTES: tuple[tuple[str, str, str], ...] = (
    ("identity", "GET", r"/identity/oauth/token"),
    ("describe2", "GET", r"/rest/v1/leads/describe2\.json"),
    ("describe", "GET", r"/rest/v1/leads/describe\.json"),
    ("leads.query", "GET", r"/rest/v1/leads\.json"),
    ("leads.sync", "POST", r"/rest/v1/leads\.json"),
    ("partitions", "GET", r"/rest/v1/leads/partitions\.json"),
    ("members.describe", "GET", r"/rest/v1/programs/members/describe\.json"),
    ("members.query", "GET", r"/rest/v1/programs/(\d+)/members\.json"),
    ("members.status", "POST", r"/rest/v1/programs/(\d+)/members/status\.json"),
    ("members.data", "POST", r"/rest/v1/programs/(\d+)/members\.json"),
    ("usage", "GET", r"/rest/v1/stats/usage\.json"),
    ("program", "GET", r"/rest/asset/v1/program/(\d+)\.json"),
    ("programs", "GET", r"/rest/asset/v1/programs\.json"),
    ("export.create", "POST", r"/bulk/v1/program/members/export/create\.json"),
    ("export.enqueue", "POST", r"/bulk/v1/program/members/export/([0-9a-f-]{36})/enqueue\.json"),
    ("export.status", "GET", r"/bulk/v1/program/members/export/([0-9a-f-]{36})/status\.json"),
    ("export.file", "GET", r"/bulk/v1/program/members/export/([0-9a-f-]{36})/file\.json"),
    ("activities.token", "GET", r"/rest/v1/activities/pagingtoken\.json"),
    ("activities.types", "GET", r"/rest/v1/activities/types\.json"),
    ("activities", "GET", r"/rest/v1/activities\.json"),
    ("channels", "GET", r"/rest/asset/v1/channels\.json"),
    ("channel", "GET", r"/rest/asset/v1/channel/byName\.json"),
    ("folder", "GET", r"/rest/asset/v1/folder/(\d+)\.json"),
)
_PARAMETERS: dict[str, frozenset[str]] = {
    "identity": frozenset({"grant_type", "client_id", "client_secret"}),
    "leads.query": frozenset({"filterType", "filterValues", "fields", "batchSize", "nextPageToken"}),
    "members.query": frozenset(
        {"filterType", "filterValues", "startAt", "endAt", "fields", "batchSize", "nextPageToken"}
    ),
    "programs": frozenset(
        {"maxReturn", "offset", "filterType", "filterValues", "earliestUpdatedAt", "latestUpdatedAt", "status"}
    ),
    "activities.token": frozenset({"sinceDatetime"}),
    "activities": frozenset({"nextPageToken", "activityTypeIds", "leadIds", "assetIds", "batchSize"}),
    "channels": frozenset({"maxReturn", "offset"}),
    "channel": frozenset({"name"}),
    "folder": frozenset({"type"}),
}
_MEMBERS: dict[str, frozenset[str]] = {
    "leads.sync": frozenset({"action", "lookupField", "partitionName", "asyncProcessing", "input"}),
    "members.status": frozenset({"statusName", "input"}),
    "members.data": frozenset({"input"}),
    "export.create": frozenset({"fields", "filter", "format", "columnHeaderNames"}),
}


class StrictMarketo:
    """One instance on a free port of 127.0.0.1, for the length of a `with` block.

    Attributes:
        leads: id -> fields. members: program -> lead id -> fields with `statusName`.
        violations: what no documentation allows; asserted to be empty on exit.
        created: creates by (lookup field, folded key): more than one is a second lead.
        sync_seconds: how long Sync Leads looks before it writes, during which another call may do the same.
        calls_per_token: after so many calls a token is refused with 602, once, and with 601 from then on.
        lean: optional members are left out (`seq`, `leadId`, `requestId`, `reasons` as an array, ...).
        numeric_codes: codes are numbers.
        most_at_once: the most calls that ran side by side.
        not_found: how an asset that does not exist is answered: `no result`, `702`, `610` or `404`.
        visible_after_seconds: how long a created lead is unknown to queries and memberships (1004).
        ahead_seconds: how much later than now it is for that.
        programs_filter: whether Browse Programs honours a filter: `honoured`, `ignored` or `refused`.
        most_members: members of a program above which queries not by lead id are refused (1003).
        extracts: jobs of bulk extract.
        activities: what happened to memberships, oldest first.
        describes: which of the two Describe endpoints this instance offers.
    """

    client_id = "strict-client-id"
    client_secret = "strict-client-secret"

    def __init__(self) -> None:
        self.leads: dict[int, Json] = {}
        self.members: dict[int, dict[int, Json]] = {program: {} for program in PROGRAMS}
        self.violations: list[str] = []
        self.calls: list[Call] = []
        self.created: Counter[tuple[str, str]] = Counter()
        self.sync_seconds = 0.0
        self.calls_per_token = 10_000
        self.lean = False
        self.numeric_codes = False
        self.not_found = "no result"
        self.describes = ("describe2", "describe")
        self.folder_id_member = "value"
        self.company_refused = False
        self.denied_leads: set[int] = set()
        self.visible_after_seconds = 0.0
        self.ahead_seconds = 0.0
        self._visible_at: dict[int, float] = {}
        self.programs_filter = "honoured"
        self.most_members = 100_000
        self.activities: list[Json] = []
        self.interruptions: dict[str, deque[Any]] = {}
        self.always: dict[str, Callable[[Call], Answer | None]] = {}
        self.expected_violations = False
        self._lock = threading.RLock()
        self._token, self._token_calls, self._tokens = "", 0, 0
        self._dead: set[str] = set()
        self._running = 0
        self.most_at_once = 0
        self._starts: deque[float] = deque()
        self._in_flight: Counter[tuple[str, Any]] = Counter()
        self._next_lead = 7_001
        self._updates = 0
        self.extracts = Extracts(self.violations)
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
        second = {key: count for key, count in self.created.items() if count > 1}
        assert not second, f"created more than once: {second}"
        if kind is None and not self.expected_violations:
            assert self.violations == []

    # --- preparing and looking -------------------------------------------------------------------------------

    def add_lead(self, **fields: Any) -> int:
        """A lead that is there before."""
        with self._lock:
            lead_id, self._next_lead = self._next_lead, self._next_lead + 1
            self._updates += 1
            self.leads[lead_id] = {**fields, "updatedAt": f"2026-01-01T00:{self._updates // 60:02}:00Z"}
            return lead_id

    def add_member(self, program_id: int, lead_id: int, status: str, **fields: Any) -> None:
        """A membership that is there before."""
        self._put(program_id, lead_id, status)
        self.members[program_id][lead_id] |= fields

    def remove_member(self, program_id: int, lead_id: int) -> None:
        """What a person does in Marketo: take somebody out of a program."""
        with self._lock:
            before = self.members[program_id].pop(lead_id)["statusName"]
            self._note(program_id, lead_id, before, "Not in Program")

    def interrupt(self, endpoint: str, *answers: Any) -> None:
        """The next calls of an endpoint get these answers; None executes the call, a function decides."""
        self.interruptions.setdefault(endpoint, deque()).extend(answers)

    def statuses(self, program_id: int) -> dict[str, str]:
        """Status by email, in lower case: an update writes an address as its record spells it."""
        members = self.members[program_id]
        return {self.leads[lead]["email"].lower(): member["statusName"] for lead, member in members.items()}

    def of(self, endpoint: str) -> list[Call]:
        """The calls of an endpoint."""
        return [call for call in self.calls if call.endpoint == endpoint]

    def violation(self, text: str) -> None:
        """Note what is not allowed."""
        with self._lock:
            self.violations.append(text)

    # --- a request -------------------------------------------------------------------------------------------

    def answer(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        """Check and execute one request."""
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        for name, values in parse_qs(parts.query, keep_blank_values=True).items():
            if len(values) > 1:
                self.violation(f"parameter {name} given twice")
        if len(target) > LONGEST_URI:
            self.violation(f"address of {len(target)} bytes")
            return Answer(b"", 414)
        if len(body) > MOST_BYTES:
            self.violation(f"body of {len(body)} bytes")
            return Answer(b"", 413)
        if "//" in parts.path:
            self.violation(f"double slash in {parts.path}")
        effective, query, body = self._effective(method, parts.path, query, headers, body)
        for endpoint, of_method, pattern in _ROUTES:
            match = re.fullmatch(pattern, parts.path)
            if match and of_method == effective:
                numbers = tuple(int(text) for text in match.groups() if text.isdigit())
                names = tuple(text for text in match.groups() if not text.isdigit())
                call = Call(endpoint, method, parts.path, query, headers, body, numbers, names)
                return self._called(call)
        self.violation(f"undocumented: {method} {parts.path}")
        return refuse("610", "Requested resource not found")

    def _effective(
        self, method: str, path: str, query: dict[str, str], headers: dict[str, str], body: bytes
    ) -> tuple[str, dict[str, str], bytes]:
        if query.get("_method") != "GET":
            return method, query, body
        if method != "POST" or path.startswith("/rest/asset/"):
            self.violation(f"_method=GET on {method} {path}")
        if set(query) != {"_method"}:
            self.violation(f"further parameters beside _method: {sorted(query)}")
        if headers.get("content-type") != FORM_TYPE:
            self.violation(f"content type {headers.get('content-type')} with _method=GET")
        form = {name: values[0] for name, values in parse_qs(body.decode(), keep_blank_values=True).items()}
        return "GET", form, b""

    def _called(self, call: Call) -> Answer:
        with self._lock:
            self.calls.append(call)
        if call.endpoint == "identity":
            return self._interrupted(call) or self._identity(call)
        unauthorised = self._check_token(call)
        if unauthorised:
            return unauthorised
        self._check_shape(call)
        with self._at_once(call):
            return self._interrupted(call) or self._execute(call)

    def _interrupted(self, call: Call) -> Answer | None:
        with self._lock:
            waiting = self.interruptions.get(call.endpoint)
            what = waiting.popleft() if waiting else self.always.get(call.endpoint)
        return what(call) if callable(what) else what

    @contextmanager
    def _at_once(self, call: Call) -> Iterator[None]:
        now = time.monotonic()
        held = self._keys(call)
        with self._lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            if self._running > CALLS_AT_ONCE:
                self.violation("more than 10 calls at once")
            self._starts.append(now)
            while self._starts[0] <= now - WINDOW_SECONDS:
                self._starts.popleft()
            if len(self._starts) > CALLS_PER_WINDOW:
                self.violation("more than 100 calls in 20 seconds")
            for key in held:
                if self._in_flight[key]:
                    self.violation(f"in two calls at once: {key}")
                self._in_flight[key] += 1
        try:
            yield
        finally:
            with self._lock:
                self._running -= 1
                for key in held:
                    self._in_flight[key] -= 1

    def _keys(self, call: Call) -> set[tuple[str, Any]]:
        if call.endpoint == "leads.sync":
            name = call.members.get("lookupField", "email")
            return {(f"lead {name}", str(row.get(name)).casefold()) for row in call.rows}
        if call.endpoint in ("members.status", "members.data"):
            return {(f"program {call.numbers[0]} lead", row.get("leadId")) for row in call.rows}
        return set()

    # --- token and shape -------------------------------------------------------------------------------------

    def _identity(self, call: Call) -> Answer:
        if "authorization" in call.headers:
            self.violation("Authorization header on the identity call")
        if call.query.get("grant_type") != "client_credentials":
            self.violation("grant_type")
        if (call.query.get("client_id"), call.query.get("client_secret")) != (self.client_id, self.client_secret):
            return Answer(b'{"error":"invalid_client","error_description":"Bad client credentials"}', 401)
        with self._lock:
            if not self._token:
                self._tokens += 1
                self._token, self._token_calls = f"token-{self._tokens}:sj", 0
            return Answer(
                json.dumps(
                    {
                        "access_token": self._token,
                        "token_type": "bearer",
                        "expires_in": 3599,
                        "scope": "strict@example.com",
                    }
                ).encode()
            )

    def _check_token(self, call: Call) -> Answer | None:
        if "access_token" in call.query or b"access_token" in call.body:
            self.violation(f"access_token as a parameter of {call.endpoint}")
        header = call.headers.get("authorization", "")
        scheme, _, token = header.partition(" ")
        if scheme != "Bearer" or not token:
            self.violation(f"no bearer token on {call.endpoint}")
            return refuse("603", "Access denied")
        with self._lock:
            if token in self._dead or token != self._token:
                return refuse("601", "Access token invalid")
            self._token_calls += 1
            if self._token_calls > self.calls_per_token:
                self._dead.add(token)
                self._token = ""
                return refuse("602", "Access token expired")
        return None

    def _check_shape(self, call: Call) -> None:
        unknown = set(call.query) - _PARAMETERS.get(call.endpoint, frozenset())
        if unknown:
            self.violation(f"undocumented parameters of {call.endpoint}: {sorted(unknown)}")
        allowed = _MEMBERS.get(call.endpoint)
        if allowed is None:
            if call.body:
                self.violation(f"body on {call.endpoint}")
            return
        if call.headers.get("content-type", "").partition(";")[0] != JSON_TYPE:
            self.violation(f"content type {call.headers.get('content-type')} on {call.endpoint}")
        call.members = json.loads(call.body)
        if set(call.members) - allowed:
            self.violation(f"undocumented members of {call.endpoint}: {sorted(set(call.members) - allowed)}")
        if call.endpoint == "export.create":
            return
        rows = call.rows
        if not 1 <= len(rows) <= MOST_ROWS:
            self.violation(f"{len(rows)} rows in {call.endpoint}")
        key = call.members.get("lookupField", "email") if call.endpoint == "leads.sync" else "leadId"
        folded = Counter(str(row.get(key)).strip().casefold() for row in rows)
        twice = [value for value, count in folded.items() if count > 1]
        if twice:
            self.violation(f"{key} twice in one {call.endpoint}: {twice}")
        if call.endpoint == "members.status" and any(set(row) != {"leadId"} for row in rows):
            self.violation("members.status takes nothing but leadId")
        for row in rows:
            if "leadId" in row and type(row["leadId"]) is not int:
                self.violation(f"leadId {row['leadId']!r} is no number")

    # --- endpoints -------------------------------------------------------------------------------------------

    def _execute(self, call: Call) -> Answer:  # noqa: PLR0911 - one for each endpoint
        match call.endpoint:
            case "leads.sync":
                return self._sync(call)
            case "leads.query":
                return self._query(call)
            case "members.status":
                return self._status(call)
            case "members.data":
                return self._data(call)
            case "members.query":
                return self._query_members(call)
            case "usage":
                return self._ok([{"date": "2026-11-23", "total": 12, "users": []}])
            case "partitions":
                return self._ok([{"id": number, "name": name} for name, number in PARTITIONS.items()])
            case "describe" | "describe2" | "members.describe":
                return self._describe(call.endpoint)
            case "programs":
                return self._programs(call)
            case endpoint if endpoint.startswith(("export.", "activities")):
                try:
                    return self._read_out(call)
                except RefusedError as error:
                    return refuse(error.code, error.message)
            case _:
                return self._asset(call)

    def _programs(self, call: Call) -> Answer:
        numbers, kind = list(PROGRAMS), call.query.get("filterType")
        if kind is not None and self.programs_filter == "refused":
            return refuse("1003", "filterType is not supported")
        if kind is not None and self.programs_filter == "honoured":
            if kind not in ("id", "programId"):
                self.violation(f"programs by {kind}")
            numbers = [number for number in PROGRAMS if str(number) in call.query["filterValues"].split(",")]
        most, offset = int(call.query.get("maxReturn", 20)), int(call.query.get("offset", 0))
        if not 1 <= most <= MOST_ASSETS:
            self.violation(f"maxReturn {most}")
        rows = [self._program(number) for number in sorted(numbers)[offset : offset + most]]
        return self._ok(rows) if rows else self._ok(None, warnings=["No assets found for the given search criteria."])

    def _read_out(self, call: Call) -> Answer:
        match call.endpoint:
            case "export.create":
                return self._ok([self.extracts.create(call.members)])
            case "export.enqueue":
                job = self.extracts.of(call.names[0])
                with self._lock:
                    job.file = self._extract(job.fields, job.chosen)
                return self._ok([self.extracts.enqueue(job)])
            case "export.status":
                return self._ok([self.extracts.status(self.extracts.of(call.names[0]))])
            case "export.file":
                return Answer(self.extracts.content(self.extracts.of(call.names[0])), content_type="text/csv")
            case "activities.token":
                since = datetime.fromisoformat(call.query["sinceDatetime"]).timestamp()
                return self._ok(None, nextPageToken=f"at:{since}")
            case "activities.types":
                return self._ok([{"id": 104, "name": "Change Status in Progression", "attributes": []}])
            case _:
                with self._lock:
                    rows, token, more = activities(self.activities, call.query, self.violations)
                return self._ok(rows, nextPageToken=token, moreResult=more)

    def _extract(self, fields: list[str], chosen: Json) -> bytes:
        several = "programIds" in chosen
        unknown = [name for name in fields if name not in MEMBER_FIELDS and name not in LEAD_FIELDS]
        if unknown:
            self.violation(f"extract of unknown fields {unknown}")
        columns = ["programId", *fields] if several else fields
        rows = []
        for program in chosen["programIds"] if several else [chosen["programId"]]:
            for lead, member in sorted(self.members[program].items()):
                if "statusNames" in chosen and member["statusName"] not in chosen["statusNames"]:
                    continue
                values = {"programId": program, **self.leads[lead], **member, "leadId": lead}
                rows.append([values.get(name) for name in columns])
        return written(columns, rows)

    def _ok(self, result: list[Json] | None, **members: Any) -> Answer:
        envelope: Json = {"success": True, **members}
        if not self.lean:
            envelope |= {"requestId": f"s#{len(self.calls)}", "errors": [], "warnings": []}
        if result is not None:
            envelope["result"] = result
        return Answer(json.dumps(envelope).encode())

    def _reasons(self, code: str, message: str) -> Json:
        reason = {"code": int(code) if self.numeric_codes else code, "message": message}
        return {"reason": reason} if self.lean else {"reasons": [reason]}

    def _skipped(self, code: str, message: str = "refused") -> Json:
        return {"status": "skipped", **self._reasons(code, message)}

    def _describe(self, endpoint: str) -> Answer:
        if endpoint == "members.describe":
            fields = [_describe2_field(name, *kind) for name, kind in MEMBER_FIELDS.items()]
            return self._ok([{"name": "API Program Membership", "dedupeFields": ["leadId", "programId"],
                              "searchableFields": [["leadId"], ["statusName"]], "fields": fields}])  # fmt: skip
        if endpoint not in self.describes:
            return refuse("610", "Requested resource not found")
        if endpoint == "describe2":
            fields = [_describe2_field(name, *kind) for name, kind in LEAD_FIELDS.items()]
            return self._ok([{"name": "API Lead", "searchableFields": [[n] for n in SEARCHABLE], "fields": fields}])
        return self._ok(
            [
                {"id": number, "displayName": name, "dataType": data_type,
                 "rest": {"name": name, "readOnly": not updateable}}
                for number, (name, (data_type, updateable)) in enumerate(LEAD_FIELDS.items(), 2)
            ]
        )  # fmt: skip

    def _sync(self, call: Call) -> Answer:
        members = call.members
        action, lookup = members.get("action", "createOrUpdate"), members.get("lookupField", "email")
        if action not in ("createOrUpdate", "createOnly", "updateOnly"):
            self.violation(f"action {action}")
        if "partitionName" in members and action == "updateOnly":
            self.violation("partitionName with updateOnly")
            return refuse("1003", "partitionName not supported")
        if members.get("partitionName", "EMEA") not in PARTITIONS:
            return self._ok([self._skipped("1008", "Access denied for partition") for _ in call.rows])
        if lookup not in SEARCHABLE or (lookup == "id" and action != "updateOnly"):
            self.violation(f"lookupField {lookup} with {action}")
        with self._lock:
            found = [self._find(lookup, row.get(lookup)) for row in call.rows]
        if self.sync_seconds:
            threading.Event().wait(self.sync_seconds)
        with self._lock:
            result = [self._write(row, ids, action, lookup) for row, ids in zip(call.rows, found, strict=True)]
        return self._ok(result)

    def _find(self, name: str, value: Any) -> list[int]:
        if value is None or value == "":
            self.violation(f"a row without its lookup field {name}")
            return []
        if name == "id":
            return [value] if value in self.leads else []
        wanted = str(value).casefold()
        return [
            lead
            for lead, fields in self.leads.items()
            if fields.get(name) is not None and str(fields[name]).casefold() == wanted
        ]

    def _write(self, row: Json, ids: list[int], action: str, lookup: str) -> Json:
        for name, value in row.items():
            problem = _value_problem(name, value, LEAD_FIELDS, ("id",) if lookup == "id" else ())
            if problem:
                return self._skipped(*problem)
        if len(ids) > 1:
            return self._skipped("1007", "Multiple lead match lookup criteria")
        if not ids:
            if action == "updateOnly":
                return self._skipped("1004", "Lead not found")
            self.created[lookup, str(row[lookup]).casefold()] += 1
            lead = self.add_lead(**row)
            if self.visible_after_seconds:
                self._visible_at[lead] = time.monotonic() + self.visible_after_seconds
            return {"id": lead, "status": "created"}
        if action == "createOnly":
            return self._skipped("1005", "Lead already exists")
        if self.company_refused and "company" in row:
            return self._skipped("1021", "Company update not allowed")
        self._updates += 1
        self.leads[ids[0]] |= {k: v if v != "" else None for k, v in row.items() if k != "id"}
        return {"id": ids[0], "status": "updated"}

    def _query(self, call: Call) -> Answer:
        name, values = call.query["filterType"], call.query["filterValues"].split(",")
        if name not in SEARCHABLE or len(values) > MOST_ROWS:
            self.violation(f"query by {name} with {len(values)} values")
        names = call.query.get("fields", "id,email,updatedAt").split(",")
        with self._lock:
            ids = sorted({lead for value in values for lead in self._find(name, int(value) if name == "id" else value)})
            ids = [lead for lead in ids if self._is_visible(lead)]
            rows = [{"id": lead, **{n: self.leads[lead].get(n) for n in names if n != "id"}} for lead in ids]
        return self._page(call, rows)

    def _is_visible(self, lead: int) -> bool:
        return self._visible_at.get(lead, 0.0) <= time.monotonic() + self.ahead_seconds

    def _page(self, call: Call, rows: list[Json]) -> Answer:
        size = int(call.query.get("batchSize", 300))
        if not 1 <= size <= MOST_ROWS:
            self.violation(f"batchSize {size}")
        start = int(call.query.get("nextPageToken", "p0")[1:])
        more = {"moreResult": True, "nextPageToken": f"p{start + size}"} if start + size < len(rows) else {}
        return self._ok(rows[start : start + size], **more)

    def _status(self, call: Call) -> Answer:
        program_id, status = call.numbers[0], call.members.get("statusName")
        if program_id not in PROGRAMS:
            self.violation(f"status in unknown program {program_id}")
            return refuse("610")
        steps = CHANNELS[PROGRAMS[program_id]]
        if status not in steps or status == "Not in Program":
            self.violation(f"status {status!r} in program {program_id}")
            return refuse("1025", "Program status not found")
        with self._lock:
            result = [self._status_row(seq, row["leadId"], program_id, status) for seq, row in enumerate(call.rows)]
        return self._ok(result)

    def _status_row(self, seq: int, lead: int, program_id: int, status: str) -> Json:
        place = {} if self.lean else {"seq": seq}
        members = self.members[program_id]
        if lead not in self.leads or lead in self.denied_leads or not self._is_visible(lead):
            return {**place, **self._skipped("1004", "Lead not found")}
        steps = CHANNELS[PROGRAMS[program_id]]
        current = members.get(lead)
        if current is None:
            self._put(program_id, lead, status)
            return {**place, "status": "created", **({} if self.lean else {"leadId": lead})}
        if status == current["statusName"] or steps[status] < steps[current["statusName"]]:
            # As the documentation shows it: a skipped row names no lead.
            return {**place, **self._skipped("1037", "Lead skipped because it is already in or past this status")}
        self._put(program_id, lead, status)
        return {**place, "status": "updated", **({} if self.lean else {"leadId": lead})}

    def _put(self, program_id: int, lead: int, status: str) -> None:
        now = time.time()
        with self._lock:
            member = self.members[program_id].setdefault(
                lead, {"statusName": "Not in Program", "membershipDate": stamp(now)}
            )
            self._note(program_id, lead, member["statusName"], status)
            member |= {"statusName": status, "updatedAt": stamp(now)}

    def _note(self, program_id: int, lead: int, before: str, after: str) -> None:
        number = len(self.activities) + 1
        self.activities.append(status_change(number, lead, program_id, (before, after), time.time()))

    def _data(self, call: Call) -> Answer:
        result: list[Json] = []
        members = self.members[call.numbers[0]]
        with self._lock:
            for seq, row in enumerate(call.rows):
                place = {} if self.lean else {"seq": seq}
                lead = row["leadId"]
                fields = {name: value for name, value in row.items() if name != "leadId"}
                problems = [_value_problem(name, value, MEMBER_FIELDS) for name, value in fields.items()]
                problem = next((found for found in problems if found), None)
                if lead not in members:
                    self.violation(f"membership fields of {lead} before the membership")
                    result.append({**place, **self._skipped("1013", "Membership not found")})
                elif problem:
                    result.append({**place, **self._skipped(*problem)})
                else:
                    members[lead] |= fields
                    result.append({**place, "status": "updated", "leadId": lead})
        return self._ok(result)

    def _query_members(self, call: Call) -> Answer:
        kind, values = call.query.get("filterType"), call.query.get("filterValues", "").split(",")
        members = self.members[call.numbers[0]]
        if kind not in ("leadId", "statusName", "updatedAt") or len(values) > MOST_ROWS:
            self.violation(f"members by {kind} with {len(values)} values")
        names = call.query.get("fields", "leadId").split(",")
        unknown = set(names) - set(MEMBER_FIELDS)
        if unknown:
            self.violation(f"members with unknown fields {sorted(unknown)}")
        if kind != "leadId" and len(members) > self.most_members:
            return refuse("1003", f"more than {self.most_members} members")
        with self._lock:
            if kind == "leadId":
                found = [int(value) for value in values if int(value) in members]
            elif kind == "statusName":
                found = [lead for lead, member in members.items() if member["statusName"] in values]
            else:
                found = self._changed(call, members)
            rows = [
                {"leadId": lead, **{n: members[lead].get(n) for n in names if n != "leadId"}}
                for lead in found
                if self._is_visible(lead)
            ]
        return self._page(call, rows)

    def _changed(self, call: Call, members: dict[int, Json]) -> list[int]:
        start, end = (datetime.fromisoformat(call.query[name]) for name in ("startAt", "endAt"))
        if end - start > timedelta(days=7):
            self.violation(f"members changed in {end - start}")
        return [lead for lead, member in members.items() if start <= datetime.fromisoformat(member["updatedAt"]) <= end]

    def _asset(self, call: Call) -> Answer:
        match call.endpoint:
            case "program" if call.numbers[0] in PROGRAMS:
                return self._ok([self._program(call.numbers[0])])
            case "folder" if call.numbers[0] in (512, 20):
                parent = {"parent": {"id": 20, "type": "Folder"}} if call.numbers[0] == 512 else {}
                return self._ok([{"id": call.numbers[0], "name": "Events", "isArchive": False, **parent}])
            case "channels":
                return self._ok([_channel(name) for name in CHANNELS] if int(call.query.get("offset", 0)) == 0 else [])
            case "channel" if call.query.get("name") in CHANNELS:
                return self._ok([_channel(call.query["name"])])
            case _:
                return self._missing()

    def _program(self, number: int) -> Json:
        folder = {"type": "Folder", self.folder_id_member: 512, "folderName": "Events"}
        url = f"https://app-sj01.marketo.com/#ME{number}A1"
        row = {"id": number, "name": f"Program {number}", "type": "Event", "channel": PROGRAMS[number]}
        return row | {"url": url, "folder": folder, "status": "", "workspace": "Default"}

    def _missing(self) -> Answer:
        match self.not_found:
            case "702" | "610":
                return refuse(self.not_found, "Not found")
            case "404":
                return Answer(b"", 404)
            case _:
                return self._ok(None, warnings=["No assets found for the given search criteria."])


def _channel(name: str) -> Json:
    statuses = [
        {"name": status, "step": step, "description": None, "hidden": False, "success": status in SUCCESSES}
        for status, step in CHANNELS[name].items()
    ]
    return {"id": 9, "name": name, "applicableProgramType": "event", "progressionStatuses": statuses}


def _describe2_field(name: str, data_type: str, updateable: bool) -> Json:
    return {"name": name, "displayName": name.title(), "dataType": data_type, "updateable": updateable}


_JSON_TYPES: dict[str, tuple[type, ...]] = {
    "integer": (int,),
    "score": (int,),
    "boolean": (bool,),
    "float": (int, float),
}


def _value_problem(
    name: str, value: Any, fields: dict[str, tuple[str, bool]], ignored: tuple[str, ...] = ()
) -> tuple[str, str] | None:
    """1006, 1003 or 1001 with Marketo's kind of text."""
    if name in ignored:
        return None
    if name not in fields:
        return "1006", f"Field '{name}' not found"
    data_type, updateable = fields[name]
    if not updateable:
        return "1003", f"Field '{name}' is read only"
    if value is not None and value != "" and type(value) not in _JSON_TYPES.get(data_type, (str,)):
        return "1001", f"Invalid value '{value}'. Required of type '{data_type}'"
    if data_type == "email" and isinstance(value, str) and not value.isascii():
        return "1003", "Invalid data"
    return None


def _handler(marketo: StrictMarketo) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                answer = marketo.answer(self.command, self.path, headers, body)
            except Exception as error:
                marketo.violation(f"{self.command} {self.path}: {error!r}")
                raise
            if answer.cut:
                self.close_connection = True
                return
            self.send_response(answer.status)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _handle  # noqa: N815 - names of the base class

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    return Handler
