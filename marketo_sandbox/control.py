"""The sandbox's control interface over HTTP, below `/_sandbox/`, and its page. Not counted as calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from .faults import Chaos, Fault  # noqa: TC001 - decoding needs the types at run time
from .gateway import Reply
from .page import render
from .settings import changed
from .state import Seed, StateView
from .views import people, person, summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from .instance import Instance

_JSON = "application/json;charset=UTF-8"


class _Names(msgspec.Struct, forbid_unknown_fields=True):
    names: list[str]


class _FaultChange(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /_sandbox/faults: `add` goes behind what is there unless `replace` is set."""

    add: list[Fault] = []
    chaos: Chaos | None = None
    replace: bool = False


class _ClockChange(msgspec.Struct, forbid_unknown_fields=True):
    advance_seconds: float = 0.0
    expire_tokens: bool = False


class _Merge(msgspec.Struct, forbid_unknown_fields=True):
    """Body of POST /_sandbox/merge: `losers` become part of `winner`, and their ids mean nobody from then on."""

    winner: int
    losers: list[int]


class Control:
    """Answers `/` and `/_sandbox/...`.

    GET  /_sandbox/state     leads, members, jobs, usage, calls, counters (`?parts=leads,calls` for some)
    GET  /_sandbox/summary   the counts alone
    GET  /_sandbox/people    the people behind a count (`?program=1004&status=Attended&text=ada&offset=100`)
    GET  /_sandbox/person    one of them (`?id=100001`): fields, memberships, activities
    POST /_sandbox/faults    {"add": [Fault], "chaos": Chaos, "replace": bool}
    POST /_sandbox/release   {"names": [str]}: lets go what is held
    POST /_sandbox/seed      Seed
    POST /_sandbox/merge     {"winner": id, "losers": [id]}
    POST /_sandbox/settings  names and values of Settings
    POST /_sandbox/clock     {"advance_seconds": float, "expire_tokens": bool}
    POST /_sandbox/reset     back to the shipped state
    """

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._state = StateView(instance)
        self._doors: dict[tuple[str, str], Callable[[dict[str, str], bytes], object]] = {
            ("GET", "/_sandbox/state"): self._dump,
            ("GET", "/_sandbox/summary"): lambda _query, _body: summary(self._instance),
            ("GET", "/_sandbox/people"): lambda query, _body: people(self._instance, query),
            ("GET", "/_sandbox/person"): lambda query, _body: person(self._instance, query),
            ("POST", "/_sandbox/faults"): self._faults,
            ("POST", "/_sandbox/release"): self._release,
            ("POST", "/_sandbox/seed"): self._seed,
            ("POST", "/_sandbox/merge"): self._merge,
            ("POST", "/_sandbox/settings"): self._settings,
            ("POST", "/_sandbox/clock"): self._clock,
            ("POST", "/_sandbox/reset"): self._reset,
        }

    def doors(self) -> list[tuple[str, str]]:
        """Method and path of each request that is answered, the page aside."""
        return list(self._doors)

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Reply:
        """Answer one request: 404 for an unknown request, 400 with `error` for a body that does not fit."""
        if path == "/" and method == "GET":
            return Reply(200, render(summary(self._instance)).encode(), "text/html;charset=UTF-8")
        door = self._doors.get((method, path))
        if door is None:
            return _json(404, {"error": "no such request"})
        try:
            return _json(200, door(query, body))
        except (msgspec.DecodeError, ValueError) as error:
            return _json(400, {"error": str(error)})

    def _dump(self, query: dict[str, str], _body: bytes) -> object:
        parts: dict[str, Callable[[], object]] = {
            "leads": self._state.leads,
            "members": self._state.all_members,
            "members_by_program": lambda: {str(k): v for k, v in self._state.status_counts().items()},
            "duplicate_emails": self._state.duplicate_emails,
            "jobs": self._jobs,
            "exports": lambda: [self._instance.exports.shown(job) for job in self._instance.exports.jobs()],
            "usage": lambda: self._instance.limits.usage(1)[0],
            "calls": self._instance.calls.all,
            "counters": self._instance.calls.counters,
            "faults_fired": self._instance.faults.all_fired,
            "held": self._instance.faults.held,
            "concurrency": lambda: {
                "now": self._instance.limits.in_flight,
                "most": self._instance.limits.most_in_flight,
                "most_in_window": self._instance.limits.most_in_window,
            },
            "settings": self._public_settings,
        }
        wanted = [name for name in query.get("parts", "").split(",") if name] or list(parts)
        unknown = sorted(set(wanted) - set(parts))
        if unknown:
            raise ValueError(f"no part {unknown[0]!r}; there are {', '.join(parts)}")
        return {name: parts[name]() for name in wanted}

    def _jobs(self) -> object:
        return [
            {
                "id": job.id,
                "program_id": job.program.id,
                "status_name": job.status_name.name,
                "state": job.state,
                "processed": job.processed,
                "failed": len(job.failed),
                "warned": len(job.warned),
                "message": job.message,
            }
            for job in self._instance.imports.jobs()
        ]

    def _public_settings(self) -> object:
        plain: dict[str, Any] = msgspec.to_builtins(self._instance.settings)
        for service in plain["services"]:
            del service["client_secret"]
        return plain

    def _faults(self, _query: dict[str, str], body: bytes) -> object:
        change = msgspec.json.decode(body, type=_FaultChange)
        faults = self._instance.faults
        if change.replace:
            faults.clear()
        faults.add(*change.add)
        if change.chaos is not None:
            faults.set_chaos(change.chaos)
        return {"fired": faults.all_fired()}

    def _release(self, _query: dict[str, str], body: bytes) -> object:
        for name in msgspec.json.decode(body, type=_Names).names:
            self._instance.faults.release(name)
        return {"held": self._instance.faults.held()}

    def _seed(self, _query: dict[str, str], body: bytes) -> object:
        return {"lead_ids": self._state.seed(msgspec.json.decode(body, type=Seed))}

    def _merge(self, _query: dict[str, str], body: bytes) -> object:
        merge = msgspec.json.decode(body, type=_Merge)
        self._state.merge_leads(merge.winner, merge.losers)
        return {}

    def _settings(self, _query: dict[str, str], body: bytes) -> object:
        changes = msgspec.json.decode(body, type=dict[str, Any])
        self._instance.settings = changed(self._instance.settings, changes)
        return self._public_settings()

    def _clock(self, _query: dict[str, str], body: bytes) -> object:
        change = msgspec.json.decode(body, type=_ClockChange)
        self._instance.clock.advance(change.advance_seconds)
        if change.expire_tokens:
            self._instance.tokens.expire()
        return {"now": self._instance.clock.now()}

    def _reset(self, _query: dict[str, str], _body: bytes) -> object:
        self._instance.reset()
        return {}


def _json(status: int, value: object) -> Reply:
    return Reply(status, msgspec.json.encode(value), _JSON)
