"""What people read: one table per program, what to do next, and nothing about a person but lead ids."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from destination_marketo_programs.reconcile.compare import Finding
from destination_marketo_programs.reconcile.confirm import Confirmed
from destination_marketo_programs.reconcile.fix import Fix
from destination_marketo_programs.reconcile.running import Findings, ProgramFindings
from destination_marketo_programs.reconcile.text import json_lines, print_text
from destination_marketo_programs.reconcile.verdicts import Verdict

COMMAND = "destination-marketo-programs reconcile --config " + "a-long-folder/" * 10 + "config.json"


def finding(number: int, **changes: object) -> Finding:
    made = Finding(
        number, 1004, 40_000 + number, Verdict.BEHIND, "Attended", "Invited", "2026-11-20T10:00:00Z",
        "2026-11-20T10:00:00Z", "leads", "Jane Roe", f"{number:012x}",
    )  # fmt: skip
    return made._replace(**changes)  # type: ignore[arg-type]


def shown(found: Findings, leads: list[Finding], width: int = 100) -> str:
    written = io.StringIO()
    console = Console(file=written, width=width, highlight=False, markup=False, emoji=False)
    print_text(console, found, lambda _program, limit: leads[:limit], COMMAND)
    return written.getvalue()


def program(**changes: int) -> ProgramFindings:
    verdicts = dict.fromkeys(Verdict, 0) | {Verdict(name): count for name, count in changes.items()}
    return ProgramFindings(1004, 'Expo "2026"\x1b[31m', verdicts, 12)


def test_a_program_its_leads_and_what_to_do() -> None:
    text = shown(Findings([program(as_sent=1_500, behind=1)], open=1), [finding(7)])
    assert "(1004): 1,501 leads delivered" in text
    assert "as sent      1,500" in text
    assert "12 other members did not come from here." in text
    assert "40007" in text
    assert "000000000007" in text
    assert f"  {COMMAND} --fix\n" in text
    assert "Jane Roe" not in text
    assert "\x1b" not in text


def test_no_more_than_twenty_leads_are_listed_and_the_rest_counted() -> None:
    text = shown(Findings([program(missing=25)], open=25), [finding(number) for number in range(25)])
    assert text.count("40") >= 20
    assert "40020" not in text
    assert "and 5 more; --format json lists all of them." in text


@pytest.mark.parametrize("width", [60, 80, 200])
def test_lines_fit_the_terminal(width: int) -> None:
    found = Findings([program(behind=3, person_gone=1)], notes=["A note. " * 20], open=4, people_gone=1)
    lines = shown(found, [finding(number, sent="A status " * 9) for number in range(3)], width).splitlines()
    assert all(len(line) <= width for line in lines if "reconcile --config" not in line)


def test_the_permission_is_named_if_it_is_missing() -> None:
    found = Findings([program(missing=2)], fixed={Fix.NOT_CHECKED: 2}, open=2, may_read_activities=False)
    text = " ".join(shown(found, [finding(1, verdict=Verdict.MISSING, fix="not_checked")]).split())
    assert "Read-Only Activity" in text
    assert "2 leads left alone: not checked" in text
    assert "--fix" not in text


def test_a_refusal_shows_the_code() -> None:
    found = Findings([program(behind=1)], fixed={Fix.REFUSED: 1}, open=1)
    assert "refused (1025)" in shown(found, [finding(1, fix="refused", code="1025")])


def test_confirmed_imports_are_counted() -> None:
    found = Findings([program(as_sent=6)], confirmed=Confirmed(1, 2, 3, 4, 5))
    text = " ".join(shown(found, []).split())
    assert "Confirmed 6 imported rows: 1 created, 2 updated, 3 unchanged." in text
    assert "4 imported rows stay as they are: their records have no key" in text
    assert "5 imported rows stay as they are: the times" in text
    assert "Every lead that was delivered is in Marketo" in text


def test_nothing_to_compare_is_said() -> None:
    assert "nothing to compare" in shown(Findings([]), [])


def test_json_has_a_line_for_each_lead_and_program() -> None:
    lines = [json.loads(line) for line in json_lines([finding(1), finding(2, lead=None, found=None)], {1004: "Expo"})]
    assert [(line["program"], line["lead_id"], line["status_in_marketo"]) for line in lines] == [
        ("Expo", 40_001, "Invited"),
        ("Expo", None, None),
    ]
    assert lines[0]["verdict"] == "behind"
