"""Killed at any moment and resumed from the last echoed STATE: the same members, no second lead, all outcomes."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import scenario
from harness import Connector, Json, Run, catalog_of, environment

from destination_marketo_programs.report import summary_of
from marketo_sandbox import SandboxServer
from marketo_sandbox.faults import Chaos

ROUNDS = int(os.environ.get("KILL_ROUNDS", "50"))
RUNNER = [sys.executable, str(Path(__file__).with_name("runner.py"))]


def start(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )


def last_state(echoed: list[bytes]) -> int:
    """Records that the last whole STATE line speaks for."""
    numbers = [json.loads(line)["state"]["id"] for line in echoed if line.endswith(b"}") and b'"STATE"' in line]
    return numbers[-1] if numbers else 0


def killed_run(command: list[str], lines: list[bytes], sandbox: SandboxServer, after_calls: int) -> int:
    """Kill the run as soon as Marketo has seen so many calls; returns where to resume."""
    process = start(command)
    assert process.stdin is not None
    assert process.stdout is not None
    already = sandbox.calls.count()
    process.stdin.write(b"\n".join(lines) + b"\n")
    process.stdin.close()
    process.stdin = None
    while process.poll() is None:
        # Woken by each call; now and then, to see whether the run has ended before so many were made.
        if sandbox.calls.wait(lambda calls: calls.count() - already >= after_calls, 0.1):
            break
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate(timeout=30)
    return last_state(out.splitlines())


def round_of_kills(folder: Path, command: list[str], sandbox: SandboxServer, made: list[Json], seed: int) -> None:
    draw = random.Random(seed)
    sandbox.faults.set_chaos(Chaos(seed=seed, rate=0.4, kinds=("slow",), slow_seconds=0.05))
    resume = 0
    for _ in range(draw.randint(1, 2)):
        # Preflight makes about ten calls; what matters comes behind it.
        resume = max(resume, killed_run(command, scenario.lines(made, resume), sandbox, draw.randint(9, 40)))
    process = start(command)
    out, err = process.communicate(b"\n".join(scenario.lines(made, resume)) + b"\n", timeout=60)
    assert process.returncode == 0, out.decode() + err.decode()
    sent = [json.loads(line) for line in scenario.lines(made, resume)]
    owed = [message["state"]["id"] for message in sent if message["type"] == "STATE"]
    assert [state["id"] for state in Run(0, out.splitlines()).states] == owed
    told = next(run for run in scenario.run_files(folder) if run.process_id == process.pid)
    scenario.assert_run_file(told, folder, len(made) - resume, scenario.outcomes_due(made[resume:]))
    scenario.assert_final_state(sandbox, made)
    stored = scenario.stored_outcomes(folder)
    scenario.assert_outcomes(stored, made, once=False)
    # Attempts overlap, and the report counts each record and program once all the same.
    reported = summary_of([str(folder)])
    assert reported.leads.total == len(made)
    assert reported.outcomes.total == len({(o["record_key"], o["program_id"]) for o in stored})


def files(folder: Path, config: Json) -> list[str]:
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "catalog.json").write_text(json.dumps(catalog_of("leads")))
    return ["write", "--config", str(folder / "config.json"), "--catalog", str(folder / "catalog.json")]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_random_moments(tmp_path: Path) -> None:
    for seed in range(ROUNDS):
        folder = tmp_path / str(seed)
        folder.mkdir()
        with SandboxServer() as sandbox:
            sandbox.configure(limits=False)
            made = scenario.records(seed, scenario.prepare(sandbox), 240)
            config = scenario.config(sandbox, folder / "outcomes")
            round_of_kills(folder / "outcomes", RUNNER + files(folder, config), sandbox, made, seed)


def test_the_command_itself_killed_and_resumed(sandbox: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    sandbox.configure(limits=False)
    made = scenario.records(7, scenario.prepare(sandbox))
    config = scenario.config(sandbox, tmp_path / "outcomes")
    command = connector.arguments("write", config, catalog_of("leads"))
    round_of_kills(tmp_path / "outcomes", command, sandbox, made, 7)
