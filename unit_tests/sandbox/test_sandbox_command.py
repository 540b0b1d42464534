"""The sandbox as a process of its own."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

import pytest
import requests

import marketo_sandbox as package
from marketo_sandbox import Settings
from marketo_sandbox.cli import add_arguments, main, settings_of

COMMAND = [sys.executable, "-m", "marketo_sandbox"]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_is_and_stops_when_told(number: signal.Signals) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    options = ["--fast", "--settings", '{"daily_calls": 7}', "--chaos-seed", "3", "--chaos-rate", "0"]
    with subprocess.Popen([*COMMAND, *options], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline().split() for _ in range(6)]
        url = lines[0][-1]
        assert lines[1] == ["domain_url", url]
        query = {"grant_type": "client_credentials", "client_id": lines[2][1], "client_secret": lines[3][1]}
        token = requests.get(f"{url}/identity/oauth/token", params=query, timeout=20).json()["access_token"]
        answer = requests.get(
            f"{url}/rest/v1/leads/partitions.json", headers={"Authorization": f"Bearer {token}"}, timeout=20
        )
        assert answer.json()["success"] is True
        settings = requests.get(f"{url}/_sandbox/state?parts=settings", timeout=20).json()["settings"]
        assert (settings["daily_calls"], settings["limits"], settings["log_calls"]) == (7, False, False)
        assert requests.get(lines[4][1], timeout=20).text.startswith("<!doctype html>")
        process.send_signal(number)
        assert process.wait(20) == 0


def test_options_become_settings() -> None:
    assert settings_of(parse()) == Settings()
    settings = settings_of(parse("--no-limits", "--latency", "0.3", "--settings", '{"bulk_queue": 4}'))
    assert settings == Settings(limits=False, latency_seconds=0.3, bulk_queue=4)


@pytest.mark.parametrize("text", ["{", "[]", '{"dayly_calls": 7}', '{"daily_calls": "many"}'])
def test_settings_that_do_not_fit_end_with_2(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(parse("--settings", text)) == 2
    assert capsys.readouterr().err.startswith("--settings: ")


def test_a_port_that_cannot_be_used_ends_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    with package.SandboxServer() as server:
        assert main(parse("--port", server.url.rpartition(":")[2])) == 1
    assert "cannot be used" in capsys.readouterr().err


def test_the_package_itself_needs_no_aiohttp() -> None:
    code = "import sys, marketo_sandbox.cli; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
