"""The `demo` command, as a newcomer runs it, and the commands that it prints."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import requests
from marketo_programs_demo import leads, scenario

from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    from pathlib import Path

Json = dict[str, Any]

COMMAND = [sys.executable, "-m", "destination_marketo_programs", "demo"]
LONGEST_RUN_SECONDS = 120
STEPS = {
    1004: ("Attended", "Engaged"),
    1001: ("On List",),
    1234: ("Member", "Engaged"),
    1006: ("Attended", "Engaged"),
}
"""Statuses that the demo can give, in the order of the sandbox's channels."""


def run_demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=environment | {"COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=LONGEST_RUN_SECONDS,
        check=False,
    )


class Demo:
    """One finished demo and its files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.finished = run_demo(folder)
        self.output = folder / "demo-output"
        self.outcomes, self.later_outcomes = (
            [json.loads(line) for line in path.read_text().splitlines()]
            for path in sorted((self.output / "outcomes").rglob("outcomes-*.jsonl"))
        )


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Demo:
    return Demo(tmp_path_factory.mktemp("demo"))


def expected_fates() -> tuple[dict[int, Counter[str]], Counter[tuple[str, str]]]:
    """What the sample leads come to, worked out from the demo's links in plain words, without the connector.

    Returns:
        Members by program and status; how many records × programs end in which rejection or skip.
    """
    sample = scenario.records(500)
    shared = set(scenario.shared_addresses(sample))
    status_of: dict[int, dict[str, int]] = {program: {} for program in STEPS}
    left_out: Counter[tuple[str, str]] = Counter()
    for record in sample:
        email = (record["email"] or "").strip().lower()
        usable = re.fullmatch(r"[a-z0-9.]+@[a-z]+\.example", email) is not None
        known = next((r["id"] for r in record["remoteIds"] if r["integrationType"] == "MARKETO"), None)
        for program, status in wanted_statuses(record, left_out):
            if known is None and not email:
                left_out["rejected", "MISSING_KEY"] += 1
            elif known is None and not usable:
                left_out["rejected", "INVALID_EMAIL"] += 1
            elif known is None and email in shared:
                left_out["rejected", "DUPLICATE_LEADS"] += 1
            else:
                step = STEPS[program].index(status)
                members = status_of[program]
                members[known or email] = max(step, members.get(known or email, 0))
    return (
        {program: Counter(STEPS[program][step] for step in members.values()) for program, members in status_of.items()},
        left_out,
    )


def wanted_statuses(record: Json, left_out: Counter[tuple[str, str]]) -> list[tuple[int, str]]:
    answer = next((tag["value"] for tag in record["tags"] if tag["qualifier"] == "Wants a demo"), None)
    if record["event_id"] == leads.EXPO:
        found = [(1004, "Engaged" if answer == "Yes" else "Attended")]
        if record["numberOfScans"] >= 2:
            found.append((1001, "On List"))
        else:
            left_out["skipped", "BELOW_SCAN_THRESHOLD"] += 1
        return found
    if record["event_id"] == leads.ROADSHOW:
        if answer in {"Yes", "No"}:
            return [(1234, "Engaged" if answer == "Yes" else "Member")]
        left_out["skipped", "UNMAPPED_QUALIFIER"] += 1
        return []
    if answer in {"Yes", "No"}:
        return [(1006, "Engaged" if answer == "Yes" else "Attended")]
    left_out["rejected", "UNMAPPED_QUALIFIER"] += 1
    return []


def test_every_linked_program_has_the_members_that_the_sample_gives(demo: Demo) -> None:
    assert demo.finished.returncode == 0, demo.finished.stderr
    members, _ = expected_fates()
    shown: dict[int, Counter[str]] = {}
    program = 0
    for line in demo.finished.stdout.splitlines():
        if row := re.fullmatch(r"│ (.*?) +│ (\S.*?) +│ +(\d+) │", line):
            name, status, count = row.groups()
            if named := re.search(r"\((\d+), \w+\)", name):
                program = int(named[1])
            shown.setdefault(program, Counter())[status] = int(count)
    assert shown == members
    assert all(sum(found.values()) > 0 for found in members.values())


def test_rejections_and_skips_are_those_of_the_sample(demo: Demo) -> None:
    _, left_out = expected_fates()
    stored = Counter(
        (outcome["outcome"], outcome["category"])
        for outcome in demo.outcomes
        if outcome["outcome"] in {"rejected", "skipped"} and outcome["category"] != "SUPERSEDED"
    )
    assert stored == left_out
    for (result, category), count in left_out.items():
        assert re.search(rf"│ {result} +│ {category} +│ +{count} │", demo.finished.stdout)


def test_each_record_and_program_has_one_outcome_and_each_state_came_back(demo: Demo) -> None:
    keys = Counter((outcome["record_key"], outcome["program_id"]) for outcome in demo.outcomes)
    assert set(keys.values()) == {1}
    answers = [json.loads(line) for line in (demo.output / "answers.jsonl").read_text().splitlines()]
    states = [answer["state"] for answer in answers if answer["type"] == "STATE"]
    assert [state["id"] for state in states] == list(range(50, 501, 50))
    assert sum(sum(state["destinationStats"].values()) for state in states) == 500


def test_leads_with_a_marketo_id_are_found_by_it(demo: Demo) -> None:
    known = {int(number) for number in scenario.known_people(scenario.records(500))}
    reached = {outcome["lead_id"] for outcome in demo.outcomes}
    assert len(known) > 3
    assert known <= reached


def test_it_ends_with_three_sentences_in_the_counts_of_the_page(demo: Demo) -> None:
    rejected = {outcome["record_key"] for outcome in demo.outcomes if outcome["outcome"] == "rejected"}
    members = sum(sum(found.values()) for found in expected_fates()[0].values())
    told = re.search(
        r"Of 500 captures, (\d+) are in their programs; Marketo has (\d+) program members\.\n"
        r"The configuration left out (\d+), and (\d+) were rejected\.\n"
        r"The page shows the reason for each rejection",
        demo.finished.stdout,
    )
    assert told is not None
    assert (int(told[2]), int(told[4])) == (members, len(rejected))
    assert int(told[1]) + int(told[3]) + int(told[4]) == 500


def test_a_second_sync_says_what_was_sent_and_what_was_not(demo: Demo) -> None:
    told = re.search(
        r"The same captures again, an hour later\n(?:.*\n)*?"
        r"(\d+) captures did not change: nothing was sent for them\.\n"
        r'1 capture has a new job title at the source: only that field was sent \("Head of Everything"\)\.\n'
        r'1 job title was corrected in Marketo by sales: the correction stays \("Chief Happiness Officer"\)\.\n',
        demo.finished.stdout,
    )
    assert told is not None, demo.finished.stdout
    said: dict[str, set[str | None]] = {}
    for outcome in demo.later_outcomes:
        if outcome["outcome"] != "skipped":
            said.setdefault(outcome["record_key"], set()).add(outcome["lead_action"])
    assert int(told[1]) == sum(actions == {"remembered"} for actions in said.values()) > 350
    written = [o for o in demo.later_outcomes if o["lead_action"] == "updated" and o["outcome"] != "rejected"]
    assert len({outcome["record_key"] for outcome in written}) == 1
    assert {outcome["outcome"] for outcome in written} == {"unchanged"}
    assert not any(outcome["outcome"] in {"created", "updated"} for outcome in demo.later_outcomes)


def test_the_page_has_the_rejected_records_behind_it(demo: Demo) -> None:
    """Names and addresses, which the outcomes alone do not hold."""
    rejected = min((demo.output / "outcomes").rglob("rejected-*.jsonl"))
    named = [json.loads(line)["record"]["data"]["lastName"] for line in rejected.read_text().splitlines()]
    page = (demo.output / "report.html").read_text()
    assert len(named) > 50
    assert all(json.dumps(name).strip('"') in page or name in page for name in named if name and name.isalpha())


def test_a_kept_sandbox_has_everybody_in_it_and_the_printed_commands_run(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    with subprocess.Popen(
        [*COMMAND, "--keep", "--leads", "60"],
        cwd=tmp_path,
        env=environment | {"COLUMNS": "160"},
        stdout=subprocess.PIPE,
        text=True,
    ) as kept:
        try:
            lines, commands, url = iter(kept.stdout or ()), [], ""
            for line in lines:
                if told := re.match(r"The sandbox runs at (http://\S+) until you press Ctrl-C", line):
                    url = told[1]
                if url and line.startswith("  "):
                    commands.append(line.strip())
                if " report " in line and url:
                    break
            assert [command.split()[1] for command in commands] == ["check", "plan", "write", "report"]
            state = requests.get(f"{url}/_sandbox/summary", timeout=20).json()
            members = sum(program["members"] for program in state["programs"])
            assert members > 20
            for command in commands:
                finished = subprocess.run(
                    ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True,
                    timeout=LONGEST_RUN_SECONDS, check=False,
                )  # fmt: skip
                assert finished.returncode == 0, command + finished.stdout + finished.stderr
                if " check " in command:
                    assert '"SUCCEEDED"' in finished.stdout
            again = requests.get(f"{url}/_sandbox/summary", timeout=20).json()
            assert sum(program["members"] for program in again["programs"]) == members
        finally:
            kept.send_signal(signal.SIGINT)
        assert kept.wait(20) == 0
    assert "<html" in (tmp_path / "demo-output" / "report.html").read_text()


def test_a_configuration_that_is_there_is_kept(tmp_path: Path) -> None:
    assert run_demo(tmp_path, "--leads", "20").returncode == 0
    path = tmp_path / "demo-output" / "config.json"
    config = json.loads(path.read_text())
    config["program_links"][0]["program_status"] = "Registered"
    path.write_text(json.dumps(config))
    finished = run_demo(tmp_path, "--leads", "20")
    assert finished.returncode == 0, finished.stderr
    assert json.loads(path.read_text()) == config
    assert "config.json is kept" in finished.stdout
    assert config["domain_url"] in finished.stdout, "the sandbox is where the configuration expects it"
    assert "│ Registered" in finished.stdout


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"domain_url": "https://123-ABC-456.mktorest.com"}', "The demo only writes to its sandbox"),
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
    ],
)
def test_it_writes_to_no_marketo_but_its_own(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "demo-output").mkdir()
    (tmp_path / "demo-output" / "config.json").write_text(content)
    finished = run_demo(tmp_path)
    assert finished.returncode == 1
    assert told in " ".join(finished.stderr.split())
    assert "Traceback" not in finished.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "demo-output").mkdir()
    with SandboxServer() as other:
        (tmp_path / "demo-output" / "config.json").write_text(json.dumps({"domain_url": other.url}))
        finished = run_demo(tmp_path)
    assert finished.returncode == 1
    assert "Stop what runs there" in " ".join(finished.stderr.split())


def test_a_folder_that_cannot_be_used_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    finished = run_demo(tmp_path, "--output", "taken")
    assert finished.returncode == 1
    assert "taken" in finished.stderr
    assert "Traceback" not in finished.stderr
