"""One `write` in a process of its own without importing the CDK, so that many of them can be killed in short time.

Arguments: path of the configuration, path of the catalog. Messages on standard input, as for the command.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from destination_marketo_programs.sync import Sync, connect, open_outcome_store

from destination_marketo_programs.catalog import read_catalog
from destination_marketo_programs.config import load_settings
from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.imports.pace import ImportPace
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.preflight import run_preflight
from destination_marketo_programs.protocol import Writer, write_to_descriptor


def main(config_path: str, catalog_path: str) -> None:
    """Run until the input ends; a failure is a traceback and exit code 1."""
    loaded = load_settings(json.loads(Path(config_path).read_text()), cloud=False)
    assert loaded.settings is not None
    client = connect(loaded.settings, RetryPolicy(window_seconds=20, first_delay_seconds=0.01, create_settle_seconds=2))
    store = open_outcome_store(loaded.settings)
    preflight = run_preflight(client, loaded.settings, store, loaded.problems, raise_transient=True)
    assert not preflight.problems, preflight.problems
    streams = read_catalog(json.loads(Path(catalog_path).read_text())).streams
    writer = Writer(write_to_descriptor(1))
    pace = ImportPace(0.02, 0.1, 1e9, slot_seconds=0.05, longest_slot_seconds=0.2, retry_seconds=0.05)
    Sync(loaded.settings, preflight, streams, client, store, writer, import_pace=pace).delivery.run(Intake(0))
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
