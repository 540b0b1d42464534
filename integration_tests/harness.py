"""Running the connector as its users do (a process, pipes), and in this process where speed matters."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.catalog import read_catalog
from destination_marketo_programs.config import load_settings
from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.delivery.progress import Watch
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.imports.pace import ImportPace
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.session import Stops, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from destination_marketo_programs.session import Delivered
    from marketo_sandbox.server import SandboxServer

Json = dict[str, Any]
EXECUTABLE = [sys.executable, "-m", "destination_marketo_programs"]
PROCESS_SECONDS = 120
QUICK = RetryPolicy(window_seconds=20.0, first_delay_seconds=0.01, create_settle_seconds=0.4)
"""For runs in this process against a sandbox whose slow answers take less than `create_settle_seconds`."""
QUICK_IMPORTS = ImportPace(
    0.05,
    0.2,
    1e9,
    slot_seconds=0.05,
    longest_slot_seconds=0.2,
    retry_seconds=0.05,
    lost_first_look_seconds=0.05,
    lost_longest_look_seconds=0.2,
    lost_patience_seconds=30,
    lost_settled_seconds=1,
)
"""As `QUICK`, for import jobs, which take the sandbox less than a second."""


def environment(**more: str) -> dict[str, str]:
    """The environment of a platform, which sets nothing that would make Python flush by itself."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**kept, **more}


def config_for(sandbox: SandboxServer, **changes: Any) -> Json:
    """A configuration that passes `check` on a fresh sandbox."""
    config: Json = {
        "domain_url": sandbox.url,
        "client_id": sandbox.client_id,
        "client_secret": sandbox.client_secret,
        "program_links": [{"event": "", "program_id": "1004", "program_status": "Registered"}],
        "record_mapping": {"mapping_type": "custom"},
        "delivery": {"method": "rest", "calls_per_20_seconds": 100, "concurrent_calls": 10},
    }
    for name, value in changes.items():
        if name == "delivery":
            config[name] = {**config[name], **value}
        else:
            config[name] = value
    return config


def catalog_of(*streams: str, primary_key: Sequence[Sequence[str]] = (), sync_mode: str = "append") -> Json:
    """A configured catalog."""
    return {
        "streams": [
            {
                "stream": {"name": name, "json_schema": {}, "supported_sync_modes": ["full_refresh", "incremental"]},
                "sync_mode": "incremental",
                "destination_sync_mode": sync_mode,
                "primary_key": [list(path) for path in primary_key],
            }
            for name in streams
        ]
    }


def record(data: Any, stream: str = "leads") -> bytes:
    return json.dumps({"type": "RECORD", "record": {"stream": stream, "data": data, "emitted_at": 1}}).encode()


def state(number: int, stream: str | None = "leads", **more: Any) -> bytes:
    """A STREAM state, or a GLOBAL one where `stream` is None."""
    if stream is None:
        body: Json = {"type": "GLOBAL", "global": {"shared_state": {"at": number}, "stream_states": []}}
    else:
        body = {
            "type": "STREAM",
            "stream": {"stream_descriptor": {"name": stream}, "stream_state": {"at": number}},
        }
    return json.dumps({"type": "STATE", "state": {**body, "id": number, **more}}).encode()


@dataclass
class Run:
    """What a run printed, and how it ended."""

    code: int
    lines: list[bytes]
    stderr: str = ""
    messages: list[Json] = field(init=False)

    def __post_init__(self) -> None:
        self.messages = [json.loads(line) for line in self.lines]

    def of(self, kind: str) -> list[Json]:
        return [message for message in self.messages if message["type"] == kind]

    @property
    def states(self) -> list[Json]:
        return [message["state"] for message in self.of("STATE")]

    @property
    def stats(self) -> tuple[float, float]:
        """Sums of recordCount and rejectedRecordCount."""
        stats = [state["destinationStats"] for state in self.states]
        return sum(s["recordCount"] for s in stats), sum(s["rejectedRecordCount"] for s in stats)

    @property
    def logs(self) -> str:
        return "\n".join(f"{m['log']['level']} {m['log']['message']}" for m in self.of("LOG"))

    @property
    def error(self) -> Json:
        """The one TRACE error."""
        (trace,) = self.of("TRACE")
        error: Json = trace["trace"]["error"]
        return error

    @property
    def text(self) -> str:
        """Everything that anybody could read of it."""
        return b"\n".join(self.lines).decode() + self.stderr


class Connector:
    """The executable, with its files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _file(self, name: str, content: Any) -> str:
        path = self.folder / f"{name}-{uuid.uuid4().hex[:8]}.json"
        path.write_text(json.dumps(content))
        return str(path)

    def arguments(self, command: str, config: Any = None, catalog: Any = None) -> list[str]:
        arguments = [*EXECUTABLE, command]
        if config is not None:
            arguments += ["--config", self._file("config", config)]
        if catalog is not None:
            arguments += ["--catalog", self._file("catalog", catalog)]
        return arguments

    def start(self, command: str, config: Any = None, catalog: Any = None, **env: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.arguments(command, config, catalog),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(**env),
        )

    def run(self, command: str, config: Any = None, catalog: Any = None, stdin: bytes = b"", **env: str) -> Run:
        with self.start(command, config, catalog, **env) as process:
            out, err = process.communicate(stdin, timeout=PROCESS_SECONDS)
        return Run(process.returncode, out.splitlines(), err.decode())

    def check(self, config: Any, **env: str) -> Run:
        return self.run("check", config, None, b"", **env)

    def write(self, config: Any, lines: Iterable[bytes], catalog: Any = None, **env: str) -> Run:
        return self.run("write", config, catalog or catalog_of("leads"), b"\n".join(lines) + b"\n", **env)


class InProcess:
    """One `write` in this process: the same parts, with times that a test can wait for.

    Args:
        config: the raw configuration.
        on_line: called with each line written, in the thread of the run.

    Attributes:
        tally: counts, once the run has ended.
    """

    def __init__(
        self,
        config: Json,
        catalog: Json | None = None,
        policy: RetryPolicy = QUICK,
        on_line: Callable[[bytes], None] = lambda _line: None,
        import_pace: ImportPace = QUICK_IMPORTS,
        watch: Watch | None = None,
    ) -> None:
        loaded = load_settings(config, cloud=False)
        assert loaded.settings is not None, loaded.problems
        self.settings, self.problems = loaded.settings, loaded.problems
        self.catalog = read_catalog(catalog or catalog_of("leads"))
        self.policy = policy
        self.import_pace = import_pace
        self.watch = watch or Watch()
        self.on_line = on_line
        self.lines: list[bytes] = []
        self.stops = Stops()
        self.tally = Tally()

    def stop(self) -> None:
        """As a signal would."""
        self.stops.stop()

    def run(self, lines: Iterable[bytes]) -> Run:
        """Feed lines, wait for the end; raises what the run raises."""
        read_end, write_end = os.pipe()
        data = b"\n".join(lines) + b"\n"

        def feed() -> None:
            with contextlib.suppress(BrokenPipeError), os.fdopen(write_end, "wb") as pipe:
                pipe.write(data)

        feeder = threading.Thread(target=feed, daemon=True)
        feeder.start()
        try:
            return self.run_from(read_end)
        finally:
            os.close(read_end)
            feeder.join(5)

    def run_from(self, descriptor: int) -> Run:
        """Read lines from a descriptor until it ends; raises what the run raises."""

        def keep(line: bytes) -> None:
            self.lines.append(line + b"\n")
            self.on_line(line)

        def finish(delivered: Delivered, *, complete: bool) -> None:  # noqa: ARG001 - as the session calls it
            self.tally = delivered.tally

        with open_session(self.settings, catalog=self.catalog, stops=self.stops, policy=self.policy) as session:
            preflight = session.check(self.problems, raise_transient=True)
            assert not preflight.problems, [str(problem) for problem in preflight.problems]
            session.deliver(
                preflight,
                Intake(descriptor),
                keep,
                import_pace=self.import_pace,
                on_summary=finish,
                watch=self.watch,
            )
        return Run(0, self.lines)
