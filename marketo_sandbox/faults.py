"""Faults on purpose: scripted ones that match calls, and random ones drawn from a seed."""

from __future__ import annotations

import asyncio
import random
import re
import threading
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from .errors import MESSAGES

if TYPE_CHECKING:
    from collections.abc import Iterable

Moment = Literal["before", "during", "after"]
"""Before anything happened; between looking leads up and writing them; after they were written."""


class RowFault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A record-level refusal, for the rows that match every condition given (all rows if none is).

    For bulk imports `message` is the text of the failure file.

    Attributes:
        email_contains: part of the row's email, without regard to case.
        lead_ids: ids in `leadId` or `id`.
        positions: zero-based positions in the input.
        without_status: leave `status` out of the refused row, as one of Adobe's examples does.
    """

    code: str = "1003"
    message: str = "Invalid data"
    email_contains: str | None = None
    lead_ids: frozenset[int] = frozenset()
    positions: frozenset[int] = frozenset()
    without_status: bool = False

    def matches(self, position: int, row: dict[str, Any]) -> bool:
        """Whether this row is to be refused."""
        if self.positions and position not in self.positions:
            return False
        if self.lead_ids and row.get("leadId", row.get("id")) not in self.lead_ids:
            return False
        email = row.get("email")
        return self.email_contains is None or (isinstance(email, str) and self.email_contains.lower() in email.lower())


class Fault(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to do to which calls. A call suffers the first fault in the list that matches it.

    Without conditions every API call and token call matches. Several actions may be given together, e.g. a
    delay and an error. Where nothing says otherwise an error is answered *instead of* executing the call.

    Attributes:
        name: how `release`, `fired` and the log refer to it.
        endpoint: name from the route table (`leads.sync`, `members.status`, ...).
        method: HTTP method.
        path: regular expression searched in the path.
        body: regular expression searched in the body.
        skip: so many matching calls pass first; `skip=2` means the third.
        times: how many calls suffer; None for all.
        code: response-level error; an int goes over the wire as a number.
        message: its text; Marketo's own if None.
        http_status: answer with this HTTP status.
        http_body, content_type: what that answer holds; an HTML page by default.
        truncate: execute the call, then cut the JSON of the answer in half.
        cut_short: execute the call, then close the connection in the middle of the answer.
        reset: cut the connection at that moment. `during` cuts it and still executes the call,
            `delay_seconds` later, when nobody listens any more.
        executed: for `code` and `http_status`: execute the call before the error is answered.
        delay_seconds, delay_at: pause.
        hold_at: stop at that moment until `release(name)`.
        expire_token: end all tokens first, so that this very call gets 602.
        omit: members left out of the answer's envelope (`requestId`, `moreResult`, ...).
        omit_empty: leave out `result` if it is empty.
        row: refuse rows.
        job_message: for `bulk.import.create` and `members.export.create`: the job ends as Failed with this message.
        hold_job: for `bulk.import.create`: the job stays Importing until `release(name)`.
    """

    name: str = ""
    endpoint: str | None = None
    method: str | None = None
    path: str | None = None
    body: str | None = None
    skip: int = 0
    times: int | None = 1
    code: str | int | None = None
    message: str | None = None
    http_status: int | None = None
    http_body: str | None = None
    content_type: str = "text/html"
    truncate: bool = False
    cut_short: bool = False
    reset: Moment | None = None
    executed: bool = False
    delay_seconds: float = 0.0
    delay_at: Moment = "before"
    hold_at: Moment | None = None
    expire_token: bool = False
    omit: tuple[str, ...] = ()
    omit_empty: bool = False
    row: RowFault | None = None
    job_message: str | None = None
    hold_job: bool = False

    def matches(self, endpoint: str, method: str, path: str, body: bytes) -> bool:
        """Whether the conditions fit a call; counts are kept elsewhere."""
        return (
            (self.endpoint is None or self.endpoint == endpoint)
            and (self.method is None or self.method == method)
            and (self.path is None or re.search(self.path, path) is not None)
            and (self.body is None or re.search(self.body.encode(), body) is not None)
        )


NO_FAULT = Fault()
HTML_PAGE = "<html><head><title>Error</title></head><body><h1>We are sorry</h1></body></html>"

ChaosKind = Literal[
    "http_5xx",
    "html",
    "truncated",
    "cut_short",
    "reset_before",
    "reset_after",
    "reset_during",
    "slow",
    "token",
    "not_executed",
    "outcome_unknown",
    "numeric_code",
    "missing_members",
]
CHAOS_KINDS: tuple[ChaosKind, ...] = (
    "http_5xx",
    "html",
    "truncated",
    "cut_short",
    "reset_before",
    "reset_after",
    "slow",
    "token",
    "not_executed",
    "outcome_unknown",
    "numeric_code",
    "missing_members",
)
"""All kinds but `reset_during`, after which a call may still execute later: to be asked for by name."""

_NOT_EXECUTED_CODES = ("606", "608", "615", "713")
_UNKNOWN_OUTCOME_CODES = ("502", "604", "611")


class Chaos(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Random faults.

    Attributes:
        seed: the same seed gives the same faults to the same order of calls.
        rate: share of calls that suffer one, 0 to 1.
        kinds: what may happen.
        slow_seconds: longest delay of a slow answer.
        endpoints: spare all others; empty for all.
        limit: spare all calls after so many faults; None for no limit.
        in_a_row: spare a call if so many calls before it all suffered; None for no limit.
    """

    seed: int
    rate: float = 0.1
    kinds: tuple[ChaosKind, ...] = CHAOS_KINDS
    slow_seconds: float = 0.05
    endpoints: frozenset[str] = frozenset()
    limit: int | None = None
    in_a_row: int | None = None


def random_fault(kind: ChaosKind, draw: random.Random, chaos: Chaos) -> Fault:  # noqa: PLR0911 - one per kind
    """The fault of that kind, its details drawn from `draw`."""
    executed = draw.random() < 0.5  # noqa: PLR2004 - even odds
    match kind:
        case "http_5xx":
            return Fault(name=kind, http_status=draw.choice((500, 502, 503, 504)), executed=executed)
        case "html":
            return Fault(name=kind, http_status=200, executed=executed)
        case "truncated":
            return Fault(name=kind, truncate=True)
        case "cut_short":
            return Fault(name=kind, cut_short=True)
        case "reset_before":
            return Fault(name=kind, reset="before")
        case "reset_after":
            return Fault(name=kind, reset="after")
        case "reset_during":
            return Fault(name=kind, reset="during", delay_at="during", delay_seconds=chaos.slow_seconds)
        case "slow":
            moments: tuple[Moment, ...] = ("before", "during", "after")
            delay = draw.uniform(0, chaos.slow_seconds)
            return Fault(name=kind, delay_seconds=delay, delay_at=draw.choice(moments))
        case "token":
            return Fault(name=kind, expire_token=True) if executed else Fault(name=kind, code="601")
        case "not_executed":
            return Fault(name=kind, code=draw.choice(_NOT_EXECUTED_CODES))
        case "outcome_unknown":
            return Fault(name=kind, code=draw.choice(_UNKNOWN_OUTCOME_CODES), executed=executed)
        case "numeric_code":
            return Fault(name=kind, code=int(draw.choice(_NOT_EXECUTED_CODES)))
        case "missing_members":
            return Fault(name=kind, omit=("requestId", "moreResult", "warnings", "errors"), omit_empty=True)


_TOKEN_KINDS: frozenset[ChaosKind] = frozenset(
    {"http_5xx", "html", "truncated", "cut_short", "reset_before", "reset_after", "slow"}
)


class Faults:
    """The faults in force. Safe to change from any thread while the server runs."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._scripted: list[Fault] = []
        self._matched: list[int] = []
        self._fired: dict[str, int] = {}
        self._chaos: Chaos | None = None
        self._draw = random.Random(0)  # noqa: S311 - repeatable on purpose
        self._random_fired = 0
        self._in_a_row = 0
        self._released: set[str] = set()
        self._holding: dict[str, int] = {}
        self._waiting: list[tuple[str, asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def add(self, *faults: Fault) -> None:
        """Put faults at the end of the list. A name used again is held again."""
        with self._lock:
            for fault in faults:
                self._scripted.append(fault)
                self._matched.append(0)
                self._released.discard(fault.name)

    def clear(self) -> None:
        """Remove every fault and let go whoever is held."""
        with self._lock:
            names = set(self._holding) | {fault.name for fault in self._scripted}
            self._scripted.clear()
            self._matched.clear()
            self._chaos = None
            self._random_fired = self._in_a_row = 0
        for name in names:
            self.release(name)

    def waiting(self) -> list[tuple[Fault, int | None]]:
        """Scripted faults that calls will still suffer, with how many of them; None for all."""
        with self._lock:
            pairs = zip(self._scripted, self._matched, strict=True)
            left = [(fault, None if fault.times is None else fault.skip + fault.times - n) for fault, n in pairs]
            return [(fault, count) for fault, count in left if count is None or count > 0]

    def chaos(self) -> Chaos | None:
        """The random faults in force."""
        with self._lock:
            return self._chaos

    def set_chaos(self, chaos: Chaos | None) -> None:
        """Start random faults from the seed's beginning, or stop them."""
        with self._lock:
            self._chaos = chaos
            self._random_fired = self._in_a_row = 0
            if chaos is not None:
                self._draw = random.Random(chaos.seed)  # noqa: S311 - repeatable on purpose

    def fired(self, name: str) -> int:
        """How many calls have suffered the fault of that name (for random ones: of that kind)."""
        with self._lock:
            return self._fired.get(name, 0)

    def all_fired(self) -> dict[str, int]:
        """Fault name or chaos kind -> calls that suffered it."""
        with self._lock:
            return dict(self._fired)

    def plan(self, endpoint: str, method: str, path: str, body: bytes) -> Fault:
        """What a call that just arrived has to suffer; `NO_FAULT` for nothing. Counts it."""
        if not self._scripted and self._chaos is None:
            return NO_FAULT
        with self._lock:
            for position, fault in enumerate(self._scripted):
                if not fault.matches(endpoint, method, path, body):
                    continue
                matched = self._matched[position]
                if matched < fault.skip:
                    self._matched[position] += 1
                    continue
                if fault.times is not None and matched >= fault.skip + fault.times:
                    continue
                self._matched[position] += 1
                return self._count(fault)
            return self._random(endpoint)

    def _count(self, fault: Fault) -> Fault:
        self._fired[fault.name] = self._fired.get(fault.name, 0) + 1
        return fault

    def _random(self, endpoint: str) -> Fault:
        chaos = self._chaos
        if chaos is None or (chaos.endpoints and endpoint not in chaos.endpoints):
            return NO_FAULT
        hit = self._draw.random() < chaos.rate
        kinds = tuple(k for k in chaos.kinds if endpoint != "identity.token" or k in _TOKEN_KINDS)
        spared = (chaos.limit is not None and self._random_fired >= chaos.limit) or (
            chaos.in_a_row is not None and self._in_a_row >= chaos.in_a_row
        )
        if not hit or not kinds or spared:
            self._in_a_row = 0
            return NO_FAULT
        self._in_a_row += 1
        self._random_fired += 1
        return self._count(random_fault(self._draw.choice(kinds), self._draw, chaos))

    def release(self, name: str) -> None:
        """Let everything held under that name go on, now and later."""
        with self._lock:
            self._released.add(name)
            going = [waiter for waiter in self._waiting if waiter[0] == name]
            self._waiting = [waiter for waiter in self._waiting if waiter[0] != name]
        for _, loop, future in going:
            loop.call_soon_threadsafe(_finish, future)

    def is_released(self, name: str) -> bool:
        """Whether `release` was called for that name since a fault of the name was added."""
        with self._lock:
            return name in self._released

    async def hold(self, name: str) -> None:
        """Wait until `release(name)`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._lock:
            if name in self._released:
                return
            self._waiting.append((name, loop, future))
            self._holding[name] = self._holding.get(name, 0) + 1
            self._lock.notify_all()
        try:
            await future
        finally:
            with self._lock:
                self._holding[name] -= 1

    def wait_until_held(self, name: str, calls: int = 1, timeout_seconds: float = 30.0) -> bool:
        """Block (not on the server's own thread) until so many calls are held; False on time-out."""
        with self._lock:
            return self._lock.wait_for(lambda: self._holding.get(name, 0) >= calls, timeout_seconds)

    def held(self) -> dict[str, int]:
        """Name -> calls held now."""
        with self._lock:
            return {name: count for name, count in self._holding.items() if count}


def _finish(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def failure_text(fault: Fault) -> str:
    """Message of the fault's response-level error."""
    return fault.message if fault.message is not None else MESSAGES.get(str(fault.code), "Error")


def parse_faults(items: Iterable[object]) -> list[Fault]:
    """Faults from JSON objects.

    Raises:
        msgspec.ValidationError: an unknown member or a value of the wrong type.
    """
    return [msgspec.convert(item, Fault) for item in items]
