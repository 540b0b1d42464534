"""Random faults by seed: whatever Marketo and the network do, nothing is lost, doubled or acknowledged early.

`CHAOS_SEEDS=5000 CHAOS_FIRST_SEED=1000` runs as many as one likes (`make chaos`).
"""

from __future__ import annotations

import contextlib
import json
import os
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest
import scenario
from harness import InProcess, Json, Run

from destination_marketo_programs.imports.jobs import NoSignError
from marketo_sandbox import SandboxServer
from marketo_sandbox.faults import Chaos

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FIRST_SEED = int(os.environ.get("CHAOS_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("CHAOS_SEEDS", "200"))
SEEDS_PER_TEST = 10


def disturbed_run(
    folder: Path,
    seed: int,
    sandbox_settings: Mapping[str, object] = MappingProxyType({"limits": False}),
    delivery: Mapping[str, object] = MappingProxyType({}),
    lead_sync: Json | None = None,
    **in_process: Any,
) -> Counter[str]:
    """One load under the faults of one seed; returns how many outcomes of each kind were stored.

    With a `lead_sync` of its own the load has no address that several people share: their outcome depends on it.
    """
    with SandboxServer() as sandbox:
        sandbox.configure(**sandbox_settings)
        known = scenario.prepare(sandbox)
        made = scenario.records(seed, known)
        if lead_sync is not None:
            made = scenario.without_doubles(made)
        early: list[int] = []
        settled_before: dict[int, set[tuple[int, str]]] = {}
        for end in range(1, len(made) + 1):
            if end % scenario.STATE_EVERY == 0 or end == len(made):
                members = scenario.expected_members(made[:end])
                settled_before[end] = {(p, email) for p, emails in members.items() for email in emails}

        def watch(line: bytes) -> None:
            message = json.loads(line)
            if message["type"] == "STATE":
                number = message["state"]["id"]
                there = {(p, email) for p in (1004, 1234, 1001) for email in sandbox.state.members_by_email(p)}
                if not settled_before[number] <= there:
                    early.append(number)

        changes = {} if lead_sync is None else {"lead_sync": lead_sync}
        config = scenario.config(sandbox, folder, delivery=delivery, **changes)
        sandbox.faults.set_chaos(Chaos(seed=seed, rate=0.3, in_a_row=6))
        echoed: list[bytes] = []
        undisturbed = False
        attempts = 0
        while not undisturbed:
            attempts += 1
            resume = json.loads(echoed[-1])["state"]["id"] if echoed else 0
            run = InProcess(config, on_line=watch, **in_process)
            # An upload that was lost on its way is given up after a while, and the sync with it.
            with contextlib.suppress(NoSignError):
                run.run(scenario.lines(made, resume))
                undisturbed = True
            echoed += run.lines
        result = Run(0, echoed)
        sandbox.faults.set_chaos(None)
        assert early == []
        # The last attempt reads what no STATE of an earlier one covers.
        scenario.assert_tally(run.tally, len(made) - resume, scenario.outcomes_due(made[resume:]))
        assert [state["id"] for state in result.states] == list(settled_before)
        scenario.assert_final_state(sandbox, made)
        outcomes = scenario.stored_outcomes(folder)
        scenario.assert_outcomes(outcomes, made, once=lead_sync is None and attempts == 1)
        rejected = len({key for key, _ in scenario.expected_rejections(made)})
        assert result.stats == (len(made) - rejected, rejected)
        return Counter(outcome["outcome"] for outcome in outcomes)


@pytest.mark.parametrize("first", range(FIRST_SEED, FIRST_SEED + SEEDS, SEEDS_PER_TEST))
def test_members_and_outcomes_are_those_of_a_quiet_day(tmp_path: Path, first: int) -> None:
    for seed in range(first, min(first + SEEDS_PER_TEST, FIRST_SEED + SEEDS)):
        disturbed_run(tmp_path / str(seed), seed)
