"""What people see of `check`, `write` and `retry` on terminals of 80 and 120 columns, and that pipes see none of it."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from harness import EXECUTABLE, PROCESS_SECONDS, catalog_of, config_for, environment, record, state
from terminal import on_terminal, screen_of

from marketo_sandbox.faults import Fault

if TYPE_CHECKING:
    from pathlib import Path

    from syrupy.assertion import SnapshotAssertion
    from terminal import Shown

    from marketo_sandbox import SandboxServer

HOSTILE = "\x1b[31m\x07"


class Files:
    """A configuration whose storage has a blank in its name, a catalog, and messages with two bad records."""

    def __init__(self, sandbox: SandboxServer, folder: Path, **changes: Any) -> None:
        self.folder = folder
        self.outcomes = folder / "my outcomes"
        storage = {"storage_type": "Local", "path": str(self.outcomes)}
        self.settings = config_for(
            sandbox,
            **{"object_storage_config": storage, "lead_sync": {"duplicate_leads": "reject"}, **changes},
        )
        self.config, self.catalog, self.messages = (
            folder / name for name in ("config.json", "catalog.json", "messages.jsonl")
        )
        self.config.write_text(json.dumps(self.settings))
        self.catalog.write_text(json.dumps(catalog_of("leads", primary_key=[["id"]])))
        people = [record({"id": f"{HOSTILE}{number}", "email": f"p{number}@example.org"}) for number in range(20)]
        bad = [record({"id": "b", "email": "bad@"}), record({"id": "t", "email": "twin@example.org"})]
        self.messages.write_bytes(b"\n".join([*people, *bad, state(1)]) + b"\n")
        for _ in range(2):
            sandbox.state.add_lead({"email": "twin@example.org"})

    def write(self, *more: str, **options: Any) -> Shown:
        options = {"stdin": self.messages, "folder": self.folder, **options}
        return on_terminal("write", "--config", "config.json", "--catalog", "catalog.json", *more, **options)

    def settled(self, shown: Shown) -> str:
        """The text without what changes from run to run, lines joined that the width broke."""
        text = shown.text.replace(str(self.folder), "FOLDER")
        text = re.sub(r"\S*destination-marketo-programs", "destination-marketo-programs", text)
        text = re.sub(r"Pace: [\d,.]+ records per second over [\d,]+ s", "Pace: N records per second over N s", text)
        return re.sub(r"record [0-9a-f]{12}", "record REF", text)


@pytest.fixture
def files(sandbox: SandboxServer, tmp_path: Path) -> Files:
    return Files(sandbox, tmp_path)


def assert_fits(shown: Shown, columns: int) -> None:
    """No line is longer than the terminal, except commands, which are whole; nothing is left of the bar."""
    assert [line for line in shown.screen if len(line) > columns and "destination-marketo-programs" not in line] == []
    assert "━" not in shown.text
    assert "\x07" not in shown.raw
    assert "\x1b[31m" not in shown.raw
    assert not shown.raw.rstrip().endswith("\x1b[?25l")


@pytest.mark.parametrize("columns", [80, 120])
def test_check_says_what_is_right_and_what_to_do_next(files: Files, columns: int, snapshot: SnapshotAssertion) -> None:
    shown = on_terminal("check", "--config", "config.json", columns=columns, folder=files.folder)
    assert shown.code == 0
    assert_fits(shown, columns)
    assert files.settled(shown) == snapshot


def test_check_lists_every_problem(files: Files, snapshot: SnapshotAssertion) -> None:
    links = [{"event": "", "program_id": "1004", "program_status": status} for status in ("attended", "Nobody")]
    files.config.write_text(json.dumps({**files.settings, "program_links": links}))
    shown = on_terminal("check", "--config", "config.json", folder=files.folder)
    assert shown.code == 0
    assert_fits(shown, 80)
    assert files.settled(shown) == snapshot


@pytest.mark.parametrize("columns", [80, 120])
def test_write_sums_up_and_says_what_to_do_next(files: Files, columns: int, snapshot: SnapshotAssertion) -> None:
    shown = files.write(columns=columns)
    assert shown.code == 0
    assert_fits(shown, columns)
    assert files.settled(shown) == snapshot
    assert "━" in shown.raw, "there was a bar"
    assert '"STATE"' not in shown.raw


def test_the_printed_commands_run(files: Files, sandbox: SandboxServer) -> None:
    shown = files.write()
    commands = [line.strip() for line in shown.screen if line.startswith("    ")]
    ran = {}
    for command in commands:
        words = shlex.split(command)
        if "--edit" in words:
            continue
        ended = subprocess.run(
            [*EXECUTABLE, *words[1:]],
            cwd=files.folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PROCESS_SECONDS,
            check=False,
        )
        ran[words[1]] = ended.returncode, ended.stdout
    assert {name: code for name, (code, _) in ran.items()} == {"report": 0, "retry": 0, "reconcile": 0}
    assert "Leads: 0 delivered, 0 unchanged, 0 skipped, 1 rejected." in ran["retry"][1]
    assert (files.folder / "report.html").exists()
    assert len(sandbox.state.members(1004)) == 20


@pytest.mark.parametrize("name", ["check", "write"])
def test_a_pipe_and_format_json_get_the_protocol_and_nothing_else(files: Files, name: str) -> None:
    arguments: list[str] = [name, "--config", "config.json"]
    if name == "write":
        arguments += ["--catalog", "catalog.json"]
    piped = on_terminal(*arguments, stdin=files.messages, piped=True, folder=files.folder)
    shown = on_terminal(*arguments, "--format", "json", stdin=files.messages, folder=files.folder)
    assert (piped.code, shown.code) == (0, 0)
    assert piped.text == "", "nothing on the terminal behind standard error"
    for lines in (piped.piped.decode().splitlines(), shown.raw.splitlines()):
        kinds = {json.loads(line)["type"] for line in lines}
        assert kinds == {"LOG", "CONNECTION_STATUS" if name == "check" else "STATE"} | {"LOG"}


def test_a_log_in_a_file_has_no_bar_in_it(files: Files) -> None:
    command = "exec 2> log.txt; exec " + shlex.join(
        [*EXECUTABLE, "write", "--config", "config.json", "--catalog", "catalog.json"]
    )
    shown = on_terminal(stdin=files.messages, folder=files.folder, executable=["sh", "-c", command])
    assert shown.code == 0
    log = (files.folder / "log.txt").read_text()
    assert log.count("Warning: Rejected: ") == 2
    assert "\x1b" not in log
    assert "22 records processed" in shown.text
    assert "━" in shown.raw


def test_only_the_first_rejections_are_named(files: Files) -> None:
    files.messages.write_bytes(b"\n".join(record({"id": n, "email": "bad@"}) for n in range(30)) + b"\n")
    shown = files.write()
    assert shown.text.count("Warning: Rejected: ") == 5
    assert "Only the first 5 rejected records are named above." in shown.text
    assert "Rejected 30: The email address cannot be used (INVALID_EMAIL)." in " ".join(shown.text.split())


def test_without_a_storage_it_says_what_one_is_for(sandbox: SandboxServer, tmp_path: Path) -> None:
    shown = Files(sandbox, tmp_path, object_storage_config={"storage_type": "None"}).write()
    assert shown.code == 0
    assert "Set object_storage_config to see every lead on a page" in " ".join(shown.text.split())
    assert "retry" not in shown.text


def test_a_dry_run_offers_its_page_only(sandbox: SandboxServer, tmp_path: Path) -> None:
    shown = Files(sandbox, tmp_path, delivery={"dry_run": True}).write()
    assert shown.code == 0
    assert "Dry run: nothing was written to Marketo" in shown.text
    assert " report " in shown.text
    assert " retry " not in shown.text
    assert " reconcile " not in shown.text


def test_rejections_can_fail_the_command(sandbox: SandboxServer, tmp_path: Path) -> None:
    shown = Files(sandbox, tmp_path, delivery={"on_rejected": "fail_after_sync"}).write()
    assert shown.code == 1
    text = " ".join(shown.text.split())
    assert text.index("What to do next") < text.index("write: Everything was delivered and acknowledged, but 2 of 22")
    assert_fits(shown, 80)


@pytest.mark.parametrize(
    ("config", "told"),
    [("{", "config.json"), ('{"domain_url": "https://example.org"}', "domain_url")],
)
@pytest.mark.parametrize("name", ["check", "write"])
def test_a_configuration_that_cannot_be_read_is_told_in_words(files: Files, name: str, config: str, told: str) -> None:
    files.config.write_text(config)
    more = ["--catalog", "catalog.json"] if name == "write" else []
    shown = on_terminal(name, "--config", "config.json", *more, stdin=b"", folder=files.folder)
    assert shown.code == (1 if name == "write" else 0)
    assert told in shown.text
    assert "Traceback" not in shown.text
    assert '"type"' not in shown.text
    assert_fits(shown, 80)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("name", ["write", "retry"])
def test_signals_end_it_in_order(files: Files, sandbox: SandboxServer, name: str, number: int, code: int) -> None:
    if name == "retry":
        assert files.write().code == 0
    sandbox.faults.add(Fault(name="held", endpoint="leads.sync", hold_at="after"))
    # On a busy machine the answer may be read before the signal is heard: the run must not end well meanwhile.
    sandbox.faults.add(Fault(name="next", endpoint="members.status", hold_at="before"))

    def stop(process: subprocess.Popen[bytes]) -> None:
        sandbox.faults.wait_until_held("held", timeout_seconds=60)
        process.send_signal(number)
        sandbox.faults.release("held")

    if name == "write":
        shown = files.write(on_start=stop)
    else:
        shown = on_terminal("retry", files.outcomes, "--config", "config.json", on_start=stop, folder=files.folder)
    sandbox.faults.release("next")
    assert shown.code == code
    assert "Stopped on request." in shown.text
    assert "Traceback" not in shown.text
    assert_fits(shown, 80)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_check(files: Files, sandbox: SandboxServer, number: int, code: int) -> None:
    sandbox.faults.add(Fault(name="held", endpoint="identity.token", hold_at="before"))

    def stop(process: subprocess.Popen[bytes]) -> None:
        sandbox.faults.wait_until_held("held", timeout_seconds=60)
        process.send_signal(number)

    shown = on_terminal("check", "--config", "config.json", on_start=stop, folder=files.folder)
    sandbox.faults.release("held")
    assert shown.code == code
    assert shown.text.startswith("Stopped on request.\n")
    assert_fits(shown, 80)


@pytest.mark.parametrize("columns", [80, 120])
def test_retry_speaks_as_write_does(files: Files, columns: int, snapshot: SnapshotAssertion) -> None:
    files.write()
    shown = on_terminal("retry", "my outcomes", "--config", "config.json", columns=columns, folder=files.folder)
    assert shown.code == 0
    assert_fits(shown, columns)
    assert files.settled(shown) == snapshot


def test_retry_over_a_pipe_is_text_and_nothing_else(files: Files, snapshot: SnapshotAssertion) -> None:
    files.write()
    shown = on_terminal("retry", "my outcomes", "--config", "config.json", piped=True, folder=files.folder)
    assert shown.code == 0
    piped = shown._replace(screen=shown.piped.decode().splitlines())
    assert "\x1b" not in piped.text
    assert all(line == line.rstrip() for line in piped.screen)
    assert files.settled(piped) == snapshot
    dry = on_terminal("retry", "my outcomes", "--config", "config.json", "--dry-run", folder=files.folder)
    assert dry.code == 0
    assert dry.text.startswith("1 record would be sent, 0 of them corrected.")
    assert "What to do next" not in dry.text


def test_the_screen_is_what_a_terminal_shows() -> None:
    assert screen_of("one\r\ntwo\r\x1b[2Kthree\x1b[1A\rO\r\n") == ["One", "three"]
