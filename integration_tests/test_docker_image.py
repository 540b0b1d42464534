"""The image in a real docker engine, driven as the platform drives it.

Needs an engine: one that answers already, or the one of `.ci/docker-engine`, which CI starts by itself.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from harness import Json, Run, catalog_of, config_for, record, state

from destination_marketo_programs import __version__
from destination_marketo_programs.config import connector_spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from marketo_sandbox import SandboxServer

pytestmark = [pytest.mark.slow, pytest.mark.docker, pytest.mark.timeout(1_200)]

ROOT = Path(__file__).resolve().parents[1]
ENGINE = ROOT / ".ci" / "docker-engine"
NAME = "airbyte/destination-marketo-programs"
PROGRAM = 1004
EXIT_TERMINATED = 143
RUN_SECONDS = 120
MANY_RECORDS = {"bulk": 200_000, "rest": 50_000}
"""By method. Over REST our own limit lets 15,000 leads through in 20 s, and flat is flat after the first."""
MANY_RECORDS_SECONDS = 1_500
MEMORY_MEGABYTES = 512
FILES = {
    "spec": (),
    "check": ("--config", "destination_config.json"),
    "write": ("--config", "destination_config.json", "--catalog", "destination_catalog.json"),
}


def docker(*arguments: str, env: dict[str, str], **more: Any) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["docker", *arguments], env=env, capture_output=True, check=True, timeout=RUN_SECONDS, **more)


def answers(env: dict[str, str]) -> bool:
    try:
        return subprocess.run(["docker", "info"], env=env, capture_output=True, timeout=30, check=False).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="session")
def engine() -> Iterator[dict[str, str]]:
    """The environment in which `docker` reaches an engine, for the rest of the session."""
    if answers(dict(os.environ)):
        yield dict(os.environ)
        return
    if not os.environ.get("CI"):
        pytest.skip('no docker engine answers; start one with: eval "$(.ci/docker-engine start)"')
    started = subprocess.run([ENGINE, "start"], capture_output=True, text=True, timeout=540, check=False)
    if started.returncode:
        pytest.skip(f"no docker engine can be had here: {started.stderr.strip()[-300:]}")
    exported = dict(word.split("=", 1) for word in shlex.split(started.stdout) if "=" in word)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in exported.items():
            patch.setenv(name, value)
        assert answers(dict(os.environ))
        yield dict(os.environ)
    subprocess.run([ENGINE, "stop"], capture_output=True, timeout=60, check=True)


class Image:
    """The built image, and containers of it."""

    def __init__(self, name: str, env: dict[str, str], folder: Path) -> None:
        self.name = name
        self.env = env
        self.folder = folder

    def inspect(self) -> Json:
        (found,) = json.loads(docker("image", "inspect", self.name, env=self.env).stdout)
        assert isinstance(found, dict)
        return found

    def shell(self, script: str, *options: str) -> str:
        """What a script prints in a container without network."""
        run = ["run", "--rm", "--pull", "never", "--network", "none", *options, "--entrypoint", "sh", self.name]
        return docker(*run, "-c", script, env=self.env).stdout.decode()

    def mounted(self, config: Json, catalog: Json | None = None) -> list[str]:
        """Options that give a container its files, read-only, in its working folder."""
        folder = self.folder / uuid.uuid4().hex
        folder.mkdir()
        (folder / "destination_config.json").write_text(json.dumps(config))
        (folder / "destination_catalog.json").write_text(json.dumps(catalog or catalog_of("leads")))
        for path in (self.folder, folder):
            path.chmod(0o755)
        return ["-v", f"{folder}:/config:ro", "-w", "/config"]

    def start(self, command: str, options: Iterable[str], network: str = "host") -> Container:
        return Container(self, command, options, network)

    def run(self, command: str, options: Iterable[str], lines: Iterable[bytes] = (), network: str = "host") -> Run:
        with self.start(command, options, network) as container:
            container.send(lines)
            container.end_of_input()
            return container.finished()


class Container:
    """One `docker run -i` of the connector. On leaving, the container is removed."""

    def __init__(self, image: Image, command: str, options: Iterable[str], network: str) -> None:
        self.name = f"marketo-programs-test-{uuid.uuid4().hex[:10]}"
        self._image = image
        common = ["--name", self.name, "--pull", "never", "--network", network, "--read-only", "--cap-drop", "ALL"]
        self.process = subprocess.Popen(
            ["docker", "run", "-i", *common, *options, image.name, command, *FILES[command]],
            env=image.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines: list[bytes] = []
        self.watches_memory = False
        self.peak_megabytes = 0.0
        self._status: Path | None = None
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._stderr: list[bytes] = []
        self._stderr_reader = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr_reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(
            ["docker", "rm", "--force", "--volumes", self.name],
            env=self._image.env,
            capture_output=True,
            check=False,
            timeout=60,
        )
        self.process.wait(60)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    continue

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if self.watches_memory:
                self._note_memory()
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def _read_stderr(self) -> None:
        assert self.process.stderr is not None
        self._stderr.extend(self.process.stderr)

    def send(self, lines: Iterable[bytes]) -> None:
        """Feed lines; stops quietly where the container has ended."""
        assert self.process.stdin is not None
        try:
            for line in lines:
                self.process.stdin.write(line + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            return

    def end_of_input(self) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.close()
        except BrokenPipeError:
            return

    def states(self) -> list[Json]:
        return [json.loads(line)["state"] for line in list(self.lines) if b'"STATE"' in line]

    def wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self._ended or condition(), seconds), self.lines[-5:]
        assert condition(), (self.lines[-5:], self._stderr[-5:])

    def finished(self, seconds: float = RUN_SECONDS) -> Run:
        code = self.process.wait(seconds)
        self._reader.join(10)
        self._stderr_reader.join(10)
        return Run(code, self.lines, b"".join(self._stderr).decode())

    def inspect(self) -> Json:
        (found,) = json.loads(docker("inspect", self.name, env=self._image.env).stdout)
        assert isinstance(found, dict)
        return found

    def _note_memory(self) -> None:
        """Note the process's high-water mark: with every line that it prints, the last one included."""
        try:
            if self._status is None:
                self._status = Path(f"/proc/{self.inspect()['State']['Pid']}/status")
            text = self._status.read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            return
        if found := re.search(r"^VmHWM:\s+(\d+) kB$", text, re.MULTILINE):
            self.peak_megabytes = max(self.peak_megabytes, int(found[1]) / 1024)


@pytest.fixture(scope="session")
def image(engine: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of this tree, built unless CONNECTOR_IMAGE names one."""
    folder = tmp_path_factory.mktemp("docker")
    for path in (folder, *folder.parents[:2]):
        path.chmod(0o755)  # the image's user goes through them
    name = os.environ.get("CONNECTOR_IMAGE")
    if not name:
        built = subprocess.run([ROOT / ".ci" / "image"], env=engine, capture_output=True, timeout=540, check=False)
        assert built.returncode == 0, built.stderr[-3000:].decode() + built.stdout[-3000:].decode()
        name = f"{NAME}:{__version__}"
    return Image(name, engine, folder)


def leads(numbers: Iterable[int], state_every: int) -> Iterator[bytes]:
    """One record for each number, of a person of its own, and a STATE that names the last of every so many."""
    for number in numbers:
        yield record(
            {
                "id": number,
                "email": f"lead{number}@example.com",
                "event_id": 4711,
                "first_name": f"First {number}",
                "company": "Example Industries, Department of Long Names " * 4,
            }
        )
        if (number + 1) % state_every == 0:
            yield state(number + 1)


# --- what the image is --------------------------------------------------------------------------------------


def test_image_declares_what_airbyte_reads(image: Image) -> None:
    config = image.inspect()["Config"]
    assert config["Labels"]["io.airbyte.name"] == NAME
    assert config["Labels"]["io.airbyte.version"] == __version__
    assert config["User"] == "airbyte"
    entrypoint = "/opt/connector/bin/destination-marketo-programs"
    assert config["Entrypoint"] == [entrypoint]
    assert f"AIRBYTE_ENTRYPOINT={entrypoint}" in config["Env"]
    assert not [name for name in config["Env"] if name.startswith(("PIP_", "PYTHONUNBUFFERED"))]


def test_nothing_that_builds_is_left_in_the_image(image: Image) -> None:
    found = image.shell(
        "id -u; ls /build /opt/connector/bin/pip* 2>/dev/null; command -v gcc cc make git;"
        " find / -xdev \\( -path '*/pip/*' -name '*.whl' -o -name http-v2 -o -path '*/.cache/*' \\) 2>/dev/null;"
        " find /opt/connector -type d \\( -name 'aiohttp*' -o -name 'poetry*' -o -path '*/pandas/tests' \\);"
        " find /opt/connector /airbyte -user airbyte -not -path /airbyte 2>/dev/null; true"
    )
    assert found.split() == ["1000"], "and nothing of the code belongs to the user it runs as"


def test_a_new_version_of_the_connector_is_a_small_layer(image: Image) -> None:
    history = docker(
        "history", "--no-trunc", "--human=false", "--format", "{{.Size}} {{.CreatedBy}}", image.name, env=image.env
    )
    copied = [
        int(line.split()[0])
        for line in history.stdout.decode().splitlines()
        if " COPY " in line or "#(nop) COPY" in line
    ]
    connector, dependencies = copied[0], copied[1]
    assert connector < 5_000_000
    assert dependencies < 300_000_000


# --- spec and check -----------------------------------------------------------------------------------------


def test_spec_needs_neither_network_nor_a_writable_file_system(image: Image) -> None:
    run = image.run("spec", [], network="none")
    assert run.code == 0
    assert run.messages == [{"type": "SPEC", "spec": connector_spec()}]
    assert run.stderr == ""


def test_spec_by_the_entrypoint_that_kubernetes_uses(image: Image) -> None:
    printed = image.shell('eval "$AIRBYTE_ENTRYPOINT spec"', "--read-only")
    assert json.loads(printed)["spec"] == connector_spec()


def test_check_tells_right_from_wrong(image: Image, sandbox: SandboxServer) -> None:
    good = image.run("check", image.mounted(config_for(sandbox)))
    assert good.code == 0
    assert [message["connectionStatus"]["status"] for message in good.of("CONNECTION_STATUS")] == ["SUCCEEDED"]

    wrong = config_for(sandbox, program_links=[{"program_id": "1004", "program_status": "registered"}])
    bad = image.run("check", image.mounted(wrong))
    (message,) = bad.of("CONNECTION_STATUS")
    assert bad.code == 0
    assert message["connectionStatus"]["status"] == "FAILED"
    assert "Registered" in message["connectionStatus"]["message"]
    assert sandbox.client_secret not in bad.text


# --- write --------------------------------------------------------------------------------------------------


def test_write_delivers_and_echoes_state(image: Image, sandbox: SandboxServer) -> None:
    run = image.run("write", image.mounted(config_for(sandbox)), leads(range(900), state_every=300))
    assert run.code == 0, run.text[-2000:]
    assert [echoed["id"] for echoed in run.states] == [300, 600, 900]
    assert run.stats == (900.0, 0.0)
    assert len(sandbox.state.members(PROGRAM)) == 900
    assert run.stderr == ""


def test_a_state_comes_out_at_once_while_input_stays_open(image: Image, sandbox: SandboxServer) -> None:
    config = config_for(sandbox, delivery={"max_batch_age_seconds": 1})
    with image.start("write", image.mounted(config)) as container:
        container.send(leads(range(10), state_every=10))
        container.wait_until(lambda: len(container.states()) == 1, 60)
        assert container.process.poll() is None
        container.end_of_input()
        assert container.finished().code == 0


def test_outcomes_go_to_a_mounted_folder_and_nowhere_else(image: Image, sandbox: SandboxServer, tmp_path: Path) -> None:
    local = tmp_path / "local"
    local.mkdir()
    local.chmod(0o777)
    config = config_for(sandbox, object_storage_config={"storage_type": "Local", "path": "/local/marketo"})
    run = image.run("write", [*image.mounted(config), "-v", f"{local}:/local"], [record({"email": "none"}), state(1)])
    assert run.code == 0, run.text[-2000:]
    stored = sorted(path.name.partition("-")[0] for path in (local / "marketo").iterdir())
    assert stored == ["outcomes", "rejected", "run"]


@contextmanager
def sandbox_alone_on_a_network(image: Image) -> Iterator[tuple[str, Callable[[str], Any]]]:
    """A network namespace whose only inhabitant is a sandbox: yields docker's name for it, and a way to ask."""
    holder = f"marketo-programs-net-{uuid.uuid4().hex[:10]}"
    docker(
        *("run", "-d", "--name", holder, "--pull", "never", "--network", "none"),
        *("--entrypoint", "sleep", image.name, "600"),
        env=image.env,
    )
    try:
        pid = docker("inspect", "-f", "{{.State.Pid}}", holder, env=image.env).stdout.decode().strip()
        inside = ["nsenter", f"--net=/proc/{pid}/ns/net", sys.executable]
        with subprocess.Popen(
            [*inside, "-m", "destination_marketo_programs", "sandbox", "--port", "8080", "--no-limits"],
            stdout=subprocess.PIPE,
            text=True,
        ) as server:
            try:
                assert server.stdout is not None
                assert server.stdout.readline() == "Marketo sandbox: http://127.0.0.1:8080\n"

                def ask(path: str) -> Any:
                    script = (
                        f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080{path}').read().decode())"
                    )
                    return json.loads(subprocess.run([*inside, "-c", script], capture_output=True, check=True).stdout)

                yield f"container:{holder}", ask
            finally:
                server.terminate()
    finally:
        docker("rm", "-f", holder, env=image.env)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may put the sandbox into a container's network")
def test_write_on_a_network_with_nothing_but_the_sandbox(image: Image, sandbox: SandboxServer) -> None:
    config = {**config_for(sandbox), "domain_url": "http://127.0.0.1:8080"}
    with sandbox_alone_on_a_network(image) as (network, ask):
        script = "import socket; print([name for _, name in socket.if_nameindex()])"
        interfaces = docker(
            *("run", "--rm", "--pull", "never", "--network", network),
            *("--entrypoint", "/opt/connector/bin/python", image.name, "-c", script),
            env=image.env,
        )
        assert interfaces.stdout.decode().strip() == "['lo']"
        run = image.run("write", image.mounted(config), leads(range(600), state_every=200), network=network)
        assert run.code == 0, run.text[-2000:]
        assert [echoed["id"] for echoed in run.states] == [200, 400, 600]
        assert ask("/_sandbox/state?parts=members_by_program")["members_by_program"][str(PROGRAM)] == {
            "Registered": 600
        }


# --- the end of a container ---------------------------------------------------------------------------------


def test_docker_stop_in_the_middle_and_resume_from_the_last_state(image: Image, sandbox: SandboxServer) -> None:
    count, every = 20_000, 500
    options = image.mounted(config_for(sandbox))
    with image.start("write", options) as container:
        feeder = threading.Thread(target=container.send, args=(leads(range(count), every),), daemon=True)
        feeder.start()
        container.wait_until(lambda: len(container.states()) >= 3, 120)
        started = time.monotonic()
        docker("stop", "--time", "30", container.name, env=image.env)
        took = time.monotonic() - started
        first = container.finished()
        exit_code = container.inspect()["State"]["ExitCode"]
        feeder.join(30)
    assert exit_code == EXIT_TERMINATED, first.text[-2000:]
    assert took < 20, "it ended by itself, not by SIGKILL"
    resumed_from = first.states[-1]["id"]
    assert 0 < resumed_from < count, "stopped in the middle"

    second = image.run("write", options, leads(range(resumed_from, count), every))
    assert second.code == 0, second.text[-2000:]
    assert second.states[-1]["id"] == count
    assert first.stats[0] + second.stats[0] == count
    assert len(sandbox.state.members(PROGRAM)) == count
    assert not sandbox.state.duplicate_emails()


@pytest.fixture
def fast_sandbox() -> Iterator[str]:
    """A sandbox in a process of its own that spares what slows it down; yields its address."""
    with subprocess.Popen(
        [sys.executable, "-m", "destination_marketo_programs", "sandbox", "--fast"], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        yield server.stdout.readline().strip().removeprefix("Marketo sandbox: ")
        server.terminate()


@pytest.mark.timeout(MANY_RECORDS_SECONDS + 60)
@pytest.mark.parametrize("method", sorted(MANY_RECORDS))
def test_a_large_load_with_512_megabytes(
    image: Image,
    sandbox: SandboxServer,
    fast_sandbox: str,
    record_testsuite_property: Callable[[str, object], None],
    method: str,
) -> None:
    count = MANY_RECORDS[method]
    config = {**config_for(sandbox, delivery={"method": method}), "domain_url": fast_sandbox}
    limit = f"{MEMORY_MEGABYTES}m"
    options = [*image.mounted(config), "--memory", limit, "--memory-swap", limit]
    with image.start("write", options) as container:
        container.watches_memory = True
        container.send(leads(range(count), 10_000))
        container.end_of_input()
        run = container.finished(MANY_RECORDS_SECONDS)
        ended = container.inspect()["State"]
        peak = container.peak_megabytes
    assert (run.code, ended["OOMKilled"]) == (0, False), run.text[-2000:]
    assert run.stats == (float(count), 0.0)
    assert (f"{count:,} imported" in run.logs) is (method == "bulk")
    summary = urllib.request.urlopen(f"{fast_sandbox}/_sandbox/state?parts=members_by_program").read()
    assert json.loads(summary)["members_by_program"][str(PROGRAM)] == {"Registered": count}
    record_testsuite_property(f"peak_memory_megabytes_{method}", round(peak))
    assert 50 < peak < MEMORY_MEGABYTES * 0.75
