"""A small load in which order and repetition matter, and what must hold after any disturbance."""

from __future__ import annotations

import json
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

from harness import Json, config_for, record, state

from destination_marketo_programs.delivery.loop import missing_from
from destination_marketo_programs.storage.local import blobs_below
from destination_marketo_programs.storage.runs import read_runs, run_name

if TYPE_CHECKING:
    from pathlib import Path

    from destination_marketo_programs.delivery.tally import Tally
    from destination_marketo_programs.storage.runs import RunFile
    from marketo_sandbox.server import SandboxServer

STATE_EVERY = 12
EVENTS = {"expo": [1004], "roadshow": [1234, 1001]}
STEPS = {"Registered": 20, "Attended": 40, "Engaged": 50}


def prepare(sandbox: SandboxServer) -> list[int]:
    """Leads that are there before: known by id, members already, two with one address. Returns ids for records."""
    known = [sandbox.state.add_lead({"email": f"known{number}@example.org"}) for number in range(6)]
    sandbox.state.add_member(1004, known[0], "Attended")
    for _ in range(2):
        sandbox.state.add_lead({"email": "double@example.org"})
    return known


def config(sandbox: SandboxServer, folder: Path, **changes: Any) -> Json:
    """Several programs for one event, statuses by qualifier, membership fields, a Marketo id."""
    return config_for(
        sandbox,
        **{
            "program_links": [
                {"event": "expo", "program_id": "1004", "program_status": "Registered"},
                {"event": "roadshow", "program_id": "1234", "program_status": "Invited"},
                {"event": "roadshow", "program_id": "1001", "program_status": "On List"},
            ],
            "qualifier_mappings": [
                {"program_id": "1004", "qualifier": "answer", "value": "came", "program_status": "Attended"},
                {"program_id": "1004", "qualifier": "answer", "value": "talked", "program_status": "Engaged"},
            ],
            "record_mapping": {"mapping_type": "custom", "marketo_lead_id": "marketo"},
            "field_mappings": [
                {"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"},
                {"record_field": "code", "marketo_object": "program_member", "marketo_field": "registrationCode"},
            ],
            "lead_sync": {"duplicate_leads": "reject"},
            "object_storage_config": {"storage_type": "Local", "path": str(folder)},
            **changes,
        },
    )


def records(seed: int, known: list[int], count: int = 120) -> list[Json]:
    """The same ones for the same seed."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        person = draw.randrange(max(count * 2 // 3, 1))
        data: Json = {
            "id": number,
            "email": draw.choice((f"p{person}@example.org", f"P{person}@Example.org ")),
            "first": f"Person {person}",
            "event_id": draw.choice(("expo", "expo", "roadshow", "nowhere")),
            "answer": draw.choice(("came", "talked", "neither")),
            "code": f"R-{person}" if draw.random() < 0.3 else None,
        }
        luck = draw.random()
        if luck < 0.05:
            data["email"] = draw.choice((None, "nobody", "double@example.org"))
        elif luck < 0.15:
            at = draw.randrange(len(known))
            data |= {"marketo": known[at], "email": f"known{at}@example.org"}
        elif luck < 0.2:
            data["marketo"] = 999_999_000 + person
        made.append(data)
    return made


def without_doubles(made: list[Json]) -> list[Json]:
    """Those whose email one person has: for ways that take the most recently updated of several."""
    return [data for data in made if not str(data["email"]).startswith("double")]


def lines(made: list[Json], start: int = 0) -> list[bytes]:
    """Messages from a record on, with a STATE after every `STATE_EVERY` of them and at the end."""
    out = []
    for number, data in enumerate(made):
        if number < start:
            continue
        out.append(record(data))
        if number % STATE_EVERY == STATE_EVERY - 1 or number == len(made) - 1:
            out.append(state(number + 1))
    return out


def expected_members(made: list[Json]) -> dict[int, dict[str, str]]:
    """By hand: who must be in which program with which status when all is over."""
    members: dict[int, dict[str, str]] = {1004: {"known0@example.org": "Attended"}, 1234: {}, 1001: {}}
    for data in made:
        email = (data["email"] or "").strip().lower()
        if "@" not in email or email.startswith("double"):
            continue
        if data["event_id"] == "expo":
            status = {"came": "Attended", "talked": "Engaged"}.get(data["answer"], "Registered")
            current = members[1004].get(email)
            if current is None or STEPS[status] > STEPS[current]:
                members[1004][email] = status
        elif data["event_id"] == "roadshow":
            members[1234][email] = "Invited"
            members[1001][email] = "On List"
    return members


def expected_rejections(made: list[Json]) -> Counter[tuple[int, int]]:
    """(record id, program) pairs that have to be rejected."""
    pairs: Counter[tuple[int, int]] = Counter()
    for data in made:
        email = data["email"] or ""
        if "@" not in email or email.startswith("double"):
            for program_id in EVENTS.get(data["event_id"], []):
                pairs[data["id"], program_id] += 1
    return pairs


def stored_outcomes(folder: Path, run: str = "") -> list[Json]:
    """Every outcome of every attempt, or of one, in the order of the files."""
    found = []
    for path in sorted(folder.glob(f"**/outcomes-{run}*.jsonl")):
        for line in path.read_bytes().split(b"\n"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue  # a torn last line, or nothing behind the last newline
    return found


def run_files(folder: Path) -> list[RunFile]:
    """Run files below a folder, the newest first."""
    return read_runs(blobs_below(folder, "run-"), lambda name: (folder / name).read_bytes())


def assert_run_file(run: RunFile, folder: Path, records_read: int, outcomes: int) -> None:
    """A run that ended well: records read = settled, outcomes = records × programs, and its files say the same."""
    assert (run.ending, run.left_undone, run.in_doubt, run.imports) == ("complete", "", "", [])
    assert (run.records_read, run.records_settled) == (records_read, records_read)
    assert run.leads["total"] == records_read
    assert sum(count for kind, count in run.leads.items() if kind != "total") == records_read
    own = stored_outcomes(folder, run_name(run))
    assert {kind: count for kind, count in run.outcomes.items() if count} == Counter(o["outcome"] for o in own)
    assert len(own) == outcomes


def assert_tally(tally: Tally, records_read: int, outcomes: int) -> None:
    """The same sums of a run in this process."""
    assert (tally.records_read, tally.records_settled) == (records_read, records_read)
    assert (tally.outcomes, tally.outcomes_due) == (outcomes, outcomes)
    assert tally.states_echoed == tally.states_read
    assert missing_from(tally) == ""


def outcomes_due(made: list[Json]) -> int:
    """Records × programs; a record without a program has one outcome as well."""
    return sum(len(EVENTS.get(data["event_id"], [None])) for data in made)


def assert_final_state(sandbox: SandboxServer, made: list[Json]) -> None:
    """Members as worked out by hand, and no second lead."""
    for program_id, expected in expected_members(made).items():
        assert sandbox.state.members_by_email(program_id) == expected, program_id
    assert set(sandbox.state.duplicate_emails()) == {"double@example.org"}


def assert_outcomes(found: list[Json], made: list[Json], *, once: bool) -> None:
    """Each record and program has an outcome; rejected are those that must be, and only those."""
    pairs = Counter((int(o["record_key"]), o["program_id"]) for o in found)
    wanted = Counter((data["id"], program_id) for data in made for program_id in EVENTS.get(data["event_id"], [None]))
    assert set(pairs) == set(wanted)
    if once:
        assert pairs == wanted
    latest = {(int(o["record_key"]), o["program_id"]): o for o in found}
    rejected = Counter(pair for pair, o in latest.items() if o["outcome"] == "rejected")
    assert rejected == expected_rejections(made)
