"""The command line never repeats a value: somebody may have typed a configuration where its path belongs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from destination_marketo_programs.arguments import Parser, add_several

SECRET = "hJ8kq2Zw-not-for-any-log"


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    parser = Parser(prog="x")
    parser.add_argument("--config")
    parser.add_argument("--port", type=int)
    parser.add_argument("--format", choices=["text", "json"])
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(arguments)
    assert ended.value.code == 2
    return capsys.readouterr().err


def test_json_that_a_shell_has_taken_apart_is_not_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    """0.1.0 printed it, secret and all."""
    told = refusal(capsys, "--config", '{"client_secret":', f'"{SECRET}"}}')
    assert SECRET not in told
    assert "unrecognized arguments" in told


@pytest.mark.parametrize("option", ["--port", "--format"])
@pytest.mark.parametrize("value", [SECRET, f"argument --x: invalid choice: '{SECRET}'", f"a\n{SECRET}"])
def test_a_value_that_does_not_fit_is_not_repeated(option: str, value: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = refusal(capsys, option, value)
    assert SECRET not in told
    assert f"argument {option}: invalid" in told


def test_the_choices_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "(choose from 'text', 'json')" in refusal(capsys, "--format", "xml")


def test_what_is_missing_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "argument --port: expected one argument" in refusal(capsys, "--port")


@pytest.mark.parametrize(
    ("arguments", "ids", "places"),
    [
        (["--id", "1", "2", "folder"], ["1", "2"], ["folder"]),
        (["folder", "--id", "1", "--id", "2"], ["1", "2"], ["folder"]),
        (["--id", "1", "2", "--", "3"], ["1", "2"], ["3"]),
        (["folder", "--id", "x"], ["x"], ["folder"]),
        (["--id", "1", "folder", "2"], ["1"], ["folder", "2"]),
        (["--id=1", "folder"], ["1"], ["folder"]),
    ],
)
def test_an_option_takes_several_values_and_leaves_paths_alone(
    arguments: list[str], ids: list[str], places: list[str]
) -> None:
    parser = Parser(prog="x")
    parser.add_argument("places", nargs="*")
    add_several(parser, "--id", str.isdecimal)
    parsed = parser.parse(arguments)
    assert (parsed.id, parsed.places) == (ids, places)


@pytest.mark.parametrize("command", ["check", "write", "discover", "plan", "retry", "reconcile"])
def test_no_command_repeats_what_it_does_not_know(command: str) -> None:
    arguments = [command, "--config", "x.json", f'"{SECRET}"}}', f"--{SECRET}"]
    run = subprocess.run(
        [sys.executable, "-m", "destination_marketo_programs", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert run.returncode != 0
    assert SECRET not in run.stdout + run.stderr
