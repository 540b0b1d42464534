"""Runs that end in the middle of creates and imports, and what holds when the next one begins at once."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import scenario
from harness import Json, Run, catalog_of, config_for, environment, record, state

from marketo_sandbox.settings import Service

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.storage.runs import RunFile
    from marketo_sandbox import SandboxServer

RUNNER = [sys.executable, str(Path(__file__).with_name("runner.py"))]
WORK_SECONDS = 3.5
"""How long the hostile sandbox does: everybody is looked up at the start, and created at the end."""
WAIT_SECONDS = 60.0
LOOK_SECONDS = 0.02
STATE_EVERY = 100


def hostile(sandbox: SandboxServer, seconds: float = WORK_SECONDS) -> None:
    """Creates and imports take long, go on without a client, and do not see each other's people."""
    one = Service(client_id=sandbox.client_id, client_secret=sandbox.client_secret, partitions=frozenset({"Default"}))
    sandbox.configure(
        services=[one],
        limits=False,
        create_seconds=seconds,
        bulk_start_seconds=0.0,
        bulk_job_seconds=seconds,
        bulk_queue=50,
    )


def config(sandbox: SandboxServer, folder: Path | None, method: str, **changes: Any) -> Json:
    """Two programs by event, and a storage unless `folder` is None."""
    storage = {"storage_type": "None"} if folder is None else {"storage_type": "Local", "path": str(folder)}
    return config_for(
        sandbox,
        program_links=[
            {"event": "expo", "program_id": "1004", "program_status": "Registered"},
            {"event": "roadshow", "program_id": "1234", "program_status": "Invited"},
        ],
        object_storage_config=storage,
        **{"delivery": {"method": method, "max_batch_age_seconds": 1}, **changes},
    )


def records(count: int) -> list[Json]:
    """New people at the expo, and each third of them on the roadshow as well, in a record of its own."""
    expo = [{"id": number, "email": f"p{number}@example.org", "event_id": "expo"} for number in range(count)]
    show = [{"id": count + n, "email": f"P{n}@example.org", "event_id": "roadshow"} for n in range(0, count, 3)]
    return expo + show


def lines(made: Sequence[Json], start: int = 0) -> list[bytes]:
    """Messages from a record on, with a STATE after every `STATE_EVERY` of them and at the end."""
    out = []
    for number, data in enumerate(made[start:], start + 1):
        out.append(record(data))
        if number % STATE_EVERY == 0 or number == len(made):
            out.append(state(number))
    return out


def assert_as_undisturbed(sandbox: SandboxServer, made: Sequence[Json]) -> None:
    """Nobody twice, nobody missing."""
    assert sandbox.state.duplicate_emails() == {}
    by_event = {
        event: {str(data["email"]).lower() for data in made if data["event_id"] == event}
        for event in ("expo", "roadshow")
    }
    assert sandbox.state.lead_count() == len(by_event["expo"] | by_event["roadshow"])
    assert sandbox.state.members_by_email(1004) == dict.fromkeys(by_event["expo"], "Registered")
    assert sandbox.state.members_by_email(1234) == dict.fromkeys(by_event["roadshow"], "Invited")


def wait_for(what: Callable[[], object], process: subprocess.Popen[bytes] | None = None) -> None:
    """Look until it is so."""
    until = time.monotonic() + WAIT_SECONDS
    while not what():
        assert process is None or process.poll() is None, "the run has ended before"
        assert time.monotonic() < until, "waited for too long"
        time.sleep(LOOK_SECONDS)


def calls_in_flight(sandbox: SandboxServer) -> int:
    """Calls that the sandbox works on."""
    with urllib.request.urlopen(f"{sandbox.url}/_sandbox/state?parts=concurrency") as answer:
        return int(json.load(answer)["concurrency"]["now"])


class Attempt:
    """One run of the executable, by the runner.

    Args:
        files: where configuration and catalog go.
        folder: the storage; None without one.
        patch: see `runner.py`.
        settle: what it takes for the time that Marketo may go on without a client.
    """

    def __init__(
        self,
        files: Path,
        raw_config: Json,
        folder: Path | None = None,
        patch: str = "",
        settle: float = WORK_SECONDS + 1.5,
    ) -> None:
        self.folder = folder
        paths = {}
        for name, content in (("config", raw_config), ("catalog", catalog_of("leads"))):
            paths[name] = files / f"{name}-{time.monotonic_ns()}.json"
            paths[name].write_text(json.dumps(content))
        self.process = subprocess.Popen(
            [*RUNNER, "write", "--config", str(paths["config"]), "--catalog", str(paths["catalog"])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(RUNNER_SETTLE_SECONDS=str(settle), RUNNER_PATCH=patch),
        )
        self._sent: list[bytes] = []

    def send(self, messages: Sequence[bytes]) -> None:
        """Write to its standard input, which stays open."""
        assert self.process.stdin is not None
        self._sent += messages
        try:
            self.process.stdin.write(b"\n".join(messages) + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            self.process.stdin = None
            raise AssertionError(self.finish().text) from None

    def finish(self) -> Run:
        """Close its standard input unless that is so, and wait for its end."""
        out, err = self.process.communicate(timeout=WAIT_SECONDS)
        whole = [line for line in out.split(b"\n")[:-1] if line]
        run = Run(self.process.returncode, whole, err.decode())
        if run.code == 0:
            self.assert_sums(run)
        return run

    def end_input(self) -> None:
        """Nothing more comes."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.stdin = None

    @property
    def run_file(self) -> RunFile | None:
        """Its run file, once it is written."""
        if self.folder is None:
            return None
        return next((run for run in scenario.run_files(self.folder) if run.process_id == self.process.pid), None)

    def has_creates_under_way(self, sandbox: SandboxServer) -> bool:
        """Whether Marketo works on a call of it that creates people."""
        run = self.run_file
        return run is not None and bool(run.last_create_sent_at) and calls_in_flight(sandbox) > 0

    def has_import_under_way(self) -> bool:
        """Whether an import job of it is known to run."""
        run = self.run_file
        return run is not None and any(job.batch_id is not None for job in run.imports)

    def assert_sums(self, run: Run) -> None:
        """Records read = settled, outcomes = records × programs, STATEs received = echoed."""
        data = [json.loads(line)["record"]["data"] for line in self._sent if b'"RECORD"' in line]
        owed = [json.loads(line)["state"]["id"] for line in self._sent if b'"STATE"' in line]
        assert [echoed["id"] for echoed in run.states] == owed
        assert sum(run.stats) == len(data)
        told = self.run_file
        if told is not None and self.folder is not None:
            scenario.assert_run_file(told, self.folder, len(data), len(data))


def resumed_at(run: Run) -> int:
    """Records that its last STATE speaks for."""
    return int(run.states[-1]["id"]) if run.states else 0


def stop(attempt: Attempt, number: signal.Signals) -> Run:
    """Signal a run, and wait for its end."""
    attempt.process.send_signal(number)
    return attempt.finish()


def fill_disk(attempt: Attempt) -> None:
    """Let no file of this process grow any more."""
    import resource  # noqa: PLC0415 - not on every platform

    resource.prlimit(attempt.process.pid, resource.RLIMIT_FSIZE, (0, 0))


def break_status_calls() -> None:
    """A patch of the runner: the first status call fails in a way that nobody has foreseen."""
    from destination_marketo_programs.marketo.api import RestMarketo  # noqa: PLC0415 - in the runner alone

    def broken(*_given: object) -> None:
        raise ZeroDivisionError

    RestMarketo.sync_status = broken  # type: ignore[method-assign, assignment]


def break_import_polls() -> None:
    """A patch of the runner: asking about an import fails in a way that nobody has foreseen."""
    from destination_marketo_programs.marketo.api import RestMarketo  # noqa: PLC0415 - in the runner alone

    def broken(*_given: object) -> None:
        raise ZeroDivisionError

    RestMarketo.import_status = broken  # type: ignore[method-assign, assignment]
