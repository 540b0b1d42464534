"""Syncs in a row against a model in plain dictionaries: what sources and people do, and kills at any point."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from delivery_bench import STATUSES, Build
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_bench import World

BUILD = Build()
PERSON_OF = {"1": "a@x.org", "2": "a@x.org", "3": "b@x.org", "4": "b@x.org", "5": "c@x.org"}
KEYS = tuple(PERSON_OF)
EMAILS = sorted(set(PERSON_OF.values()))
AGAIN_AFTER_DAYS = 30


def rank(status: str) -> tuple[int, bool, int]:
    return STATUSES[status]


def covers(held: str | None, wanted: str) -> bool:
    return held is not None and rank(held) >= rank(wanted)


@dataclass
class Source:
    """What a record says: a title, a field that only this record has, and a status in each program."""

    fields: dict[str, str]
    targets: dict[int, str]


@dataclass
class Lead:
    fields: dict[str, str] = field(default_factory=dict)
    members: dict[int, str] = field(default_factory=dict)
    highest: dict[int, str] = field(default_factory=dict)


@dataclass
class Said:
    """What was delivered of a record; `lead` is the very lead, so that one who came after it is another."""

    lead: Lead
    fields: dict[str, str]
    statuses: dict[int, str]
    days: dict[int, int]


@dataclass
class Going:
    key: str
    fields: dict[str, str]
    targets: dict[int, str]


class Model:
    """The contract in plain words, for one sync after the other."""

    def __init__(self) -> None:
        self.leads: dict[str, Lead] = {}
        self.said: dict[str, Said] = {}
        self.undecided: dict[tuple[str, str], set[str]] = {}
        self.rejects = False

    def sync(self, source: dict[str, Source], keys: list[str], day: int) -> None:
        going = [each for key in keys if (each := self._what_goes(key, source[key], day)) is not None]
        self.rejects = any("bad" in each.fields.values() for each in going)
        going = [each for each in going if "bad" not in each.fields.values()]
        self.undecided = {}
        wanted: dict[tuple[str, int], str] = {}
        for each in going:
            email = PERSON_OF[each.key]
            lead = self.leads.setdefault(email, Lead())
            for name, value in each.fields.items():
                self.undecided.setdefault((email, name), set()).add(value)
                lead.fields[name] = value
            for program, status in each.targets.items():
                if not covers(lead.highest.get(program), status) or lead.highest.get(program) == status:
                    held = wanted.get((email, program))
                    wanted[email, program] = status if held is None else max(held, status, key=rank)
        for (email, program), status in wanted.items():
            lead = self.leads[email]
            held = lead.members.get(program)
            if held is None or STATUSES[held][0] <= STATUSES[status][0]:
                lead.members[program] = status
            lead.highest[program] = max(lead.highest.get(program, status), status, key=rank)
        for each in going:
            self._remember(each.key, source[each.key], day)

    def _what_goes(self, key: str, record: Source, day: int) -> Going | None:
        """Everything, or what is new, or nothing."""
        said = self.said.get(key)
        whole = Going(key, record.fields, record.targets)
        if said is None or any(said.days.get(program, day) <= day - AGAIN_AFTER_DAYS for program in record.targets):
            return whole
        fields = {name: value for name, value in record.fields.items() if said.fields.get(name) != value}
        targets = {
            program: status
            for program, status in record.targets.items()
            if said.statuses.get(program) != status and not covers(said.lead.highest.get(program), status)
        }
        if not fields and not targets:
            return None
        return Going(key, fields, targets) if self.leads.get(PERSON_OF[key]) is said.lead else whole

    def _remember(self, key: str, record: Source, day: int) -> None:
        lead = self.leads[PERSON_OF[key]]
        before = self.said.get(key)
        statuses = {} if before is None else before.statuses
        days = {} if before is None else before.days
        self.said[key] = Said(
            lead, dict(record.fields), statuses | record.targets, days | dict.fromkeys(record.targets, day)
        )


class Play:
    """Both sides of it."""

    def __init__(self) -> None:
        self.world = World(again_after_days=AGAIN_AFTER_DAYS)
        self.world.marketo.refuse = lambda row: "1001" if "bad" in row.values() else None
        self.model = Model()
        self.source = {key: Source({"title": "x", f"own{key}": "x"}, {1: "Registered"}) for key in KEYS}
        self.memories: list[dict[str, bytes]] = []

    def entries(self, keys: list[str]) -> list[Any]:
        return [
            BUILD.entry(
                PERSON_OF[key],
                dict(self.source[key].fields),
                key=key,
                targets=[BUILD.target(program, status) for program, status in self.source[key].targets.items()],
            )
            for key in keys
        ]

    def sync(self, keys: list[str], kill: tuple[int, bool, bool] | None) -> None:
        world = self.world
        if kill is not None:
            calls, commit_each, save = kill
            sync = world.begin()
            sync.accept(self.entries(keys))
            for _ in range(calls):
                if not sync.send():
                    break
                if commit_each:
                    sync.commit()
            if save:
                sync.commit()
                sync.save()
        world.sync(*self.entries(keys))
        self.memories.append({name: world.shelf.blobs[name] for name in world.shelf.memory})
        self.model.sync(self.source, keys, world.day)
        self.compare()
        if not self.model.rejects:
            assert world.calls_of(*self.entries(keys)) == [], "what was just sent is sent again"

    def compare(self) -> None:
        marketo = self.world.marketo
        assert sorted(lead["email"] for lead in marketo.leads.values()) == sorted(self.model.leads)
        for lead_id, row in marketo.leads.items():
            email = row["email"]
            lead = self.model.leads[email]
            held = {name: value for name, value in row.items() if name not in {"id", "email", "updatedAt"}}
            for name, values in self.undecided(email).items():
                # Two records of one person that say different things in one sync.
                assert held[name] in values
                lead.fields[name] = held[name]
            assert held == lead.fields
            assert {p: s for (p, member), s in marketo.members.items() if member == lead_id} == lead.members

    def undecided(self, email: str) -> dict[str, set[str]]:
        return {name: values for (of, name), values in self.model.undecided.items() if of == email and len(values) > 1}

    # --- what happens in between ---------------------------------------------------------------------------------

    def lead_id(self, email: str) -> int | None:
        return next((number for number, row in self.world.marketo.leads.items() if row["email"] == email), None)

    def do(self, step: tuple[Any, ...]) -> None:
        match step:
            case ("sync", keys, kill):
                self.sync(list(keys), kill)
            case ("says", key, name, value):
                self.source[key].fields["title" if name == "title" else f"own{key}"] = value
            case ("status", key, program, status):
                self.source[key].targets[program] = status
            case ("unlinked", key, program) if len(self.source[key].targets) > 1:
                self.source[key].targets.pop(program, None)
            case ("sales", email, name, value) if (number := self.lead_id(email)) is not None:
                self.world.marketo.leads[number][name] = value
                self.model.leads[email].fields[name] = value
            case ("removed", email, program) if (number := self.lead_id(email)) is not None:
                self.world.marketo.members.pop((program, number), None)
                self.model.leads[email].members.pop(program, None)
            case ("deleted", email) if (number := self.lead_id(email)) is not None:
                del self.world.marketo.leads[number], self.model.leads[email]
                for member in [key for key in self.world.marketo.members if key[1] == number]:
                    del self.world.marketo.members[member]
            case ("days", days):
                self.world.day += days
            case ("memory", what):
                self.harm(what)
            case _:
                pass

    def harm(self, what: str) -> None:
        blobs = self.world.shelf.blobs
        for name in self.world.shelf.memory:
            match what:
                case "lost":
                    del blobs[name]
                case "torn":
                    blobs[name] = blobs[name][: len(blobs[name]) // 3]
                case "garbage":
                    blobs[name] = b"\0" * len(blobs[name])
        if what == "old" and self.memories:
            blobs |= self.memories[len(self.memories) // 2]


programs = st.sampled_from([1, 2])
some_keys = st.one_of(st.just(KEYS), st.permutations(KEYS), st.lists(st.sampled_from(KEYS), min_size=1, unique=True))
kills = st.one_of(st.none(), st.tuples(st.integers(0, 6), st.booleans(), st.booleans()))
syncs = st.tuples(st.just("sync"), some_keys, kills)
steps = st.one_of(
    syncs,
    syncs,
    st.tuples(
        st.just("says"), st.sampled_from(KEYS), st.sampled_from(["title", "own"]), st.sampled_from(["x", "y", "z"])
    ),
    st.tuples(st.just("says"), st.sampled_from(KEYS), st.just("own"), st.just("bad")),
    st.tuples(st.just("status"), st.sampled_from(KEYS), programs, st.sampled_from(sorted(STATUSES))),
    st.tuples(st.just("unlinked"), st.sampled_from(KEYS), programs),
    st.tuples(st.just("sales"), st.sampled_from(EMAILS), st.just("title"), st.sampled_from(["corrected", "x"])),
    st.tuples(st.just("removed"), st.sampled_from(EMAILS), programs),
    st.tuples(st.just("deleted"), st.sampled_from(EMAILS)),
    st.tuples(st.just("days"), st.sampled_from([1, 29, 31])),
    st.tuples(st.just("memory"), st.sampled_from(["lost", "torn", "garbage", "old"])),
)


@given(script=st.lists(steps, min_size=2, max_size=14))
@settings(max_examples=400)
def test_members_and_fields_are_those_of_the_model(script: list[tuple[Any, ...]]) -> None:
    play = Play()
    for step in script:
        play.do(step)
    play.sync(list(KEYS), None)
