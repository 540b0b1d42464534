"""A rejected lead from the page's CSV back into Marketo, with the commands that people run."""

from __future__ import annotations

import csv
import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from harness import EXECUTABLE, PROCESS_SECONDS, catalog_of, config_for, environment, record

from destination_marketo_programs.report import summary_of

if TYPE_CHECKING:
    from pathlib import Path

    from harness import Connector

    from marketo_sandbox import SandboxServer


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    words = [*EXECUTABLE, *map(str, arguments)]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=PROCESS_SECONDS, env=environment(), check=False
    )


@pytest.fixture
def stored(sandbox: SandboxServer, connector: Connector, tmp_path: Path) -> tuple[Path, Path]:
    """The configuration's file and the folder of a sync of four leads, two of which were rejected."""
    folder = tmp_path / "outcomes"
    config = config_for(sandbox, object_storage_config={"storage_type": "Local", "path": str(folder)})
    leads = [
        {"badge_no": "a", "email": "ada@example.org"},
        {"badge_no": "b", "email": "bo@", "badge": 1884518522168426},
        {"badge_no": "c"},
        {"badge_no": "d", "email": "dee@example.org"},
    ]
    run = connector.write(config, map(record, leads), catalog_of("leads", primary_key=[["badge_no"]]))
    assert run.code == 0, run.text
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    return path, folder


def edited(folder: Path, tmp_path: Path, cells: dict[str, dict[str, str]]) -> Path:
    """The exported CSV with these cells by key, saved as a spreadsheet of another country does."""
    exported = tmp_path / "rejected.csv"
    assert command("report", folder, "--format", "csv", "--output", exported).returncode == 0
    with exported.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["Key"] for row in rows} == {"b", "c"}
    for row in rows:
        row.update(cells.get(row["Key"], {}))
        row["record.badge"] = row["record.badge"] and "1,88452E+15"
    fixes = tmp_path / "fixes.csv"
    with fixes.open("w", encoding="cp1252", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return fixes


def lead_emails(sandbox: SandboxServer) -> set[str]:
    return set(sandbox.state.members_by_email(1004))


def test_corrected_cells_become_members_and_the_page_says_fixed(
    sandbox: SandboxServer, stored: tuple[Path, Path], tmp_path: Path
) -> None:
    config, folder = stored
    assert summary_of([str(folder)]).leads.rejected == 2
    nothing = command("retry", folder, "--config", config)
    assert nothing.returncode == 0
    assert "0 records to send" in nothing.stdout
    assert "sending the same again cannot help" in nothing.stdout
    fixes = edited(folder, tmp_path, {"b": {"record.email": "bo@example.org"}, "c": {"record.email": "cy@example.org"}})
    planned = command("retry", folder, "--config", config, "--edit", fixes, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "2 records would be sent, 2 of them corrected." in planned.stdout
    assert lead_emails(sandbox) == {"ada@example.org", "dee@example.org"}
    sent = command("retry", folder, "--config", config, "--edit", fixes)
    assert sent.returncode == 0, sent.stdout + sent.stderr
    assert "2 records processed: 2 delivered or skipped, 0 rejected.\n" in sent.stdout
    assert "Leads: 2 delivered, 0 unchanged, 0 skipped, 0 rejected.\n" in sent.stdout
    assert "@" not in sent.stdout + sent.stderr
    assert lead_emails(sandbox) == {"ada@example.org", "bo@example.org", "cy@example.org", "dee@example.org"}
    summary = summary_of([str(folder)])
    assert (summary.leads.total, summary.leads.rejected, summary.since_last["fixed"]) == (4, 0, 2)


def test_a_row_that_nobody_can_mean_stops_before_anything_is_sent(
    sandbox: SandboxServer, stored: tuple[Path, Path], tmp_path: Path
) -> None:
    config, folder = stored
    fixes = edited(folder, tmp_path, {"b": {"record.email": "4,2E+07"}})
    refused = command("retry", folder, "--config", config, "--edit", fixes)
    assert refused.returncode == 1
    assert 'column "record.email": "4,2E+07" is a number in short form' in refused.stderr
    assert len(lead_emails(sandbox)) == 2
