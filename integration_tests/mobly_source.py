"""Runs `examples/mobly/manifest.yaml` with the CDK's own command, as Airbyte does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

Json = dict[str, Any]

REPOSITORY = Path(__file__).resolve().parent.parent
MANIFEST = REPOSITORY / "examples" / "mobly" / "manifest.yaml"
EXECUTABLE = Path(sys.executable).with_name("source-declarative-manifest")
LONGEST_RUN_SECONDS = 120


class MoblySource:
    """The source with one configuration; files go to `folder`."""

    def __init__(self, folder: Path, *, base_url: str, api_key: str, **settings: Any) -> None:
        self._folder = folder
        self._config = folder / "mobly-config.json"
        self._config.write_text(json.dumps({"base_url": base_url, "api_key": api_key} | settings))

    def run(self, command: str, *arguments: str) -> tuple[int, list[Json]]:
        """Exit code and messages of one command."""
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        finished = subprocess.run(
            [
                str(EXECUTABLE), command, "--config", str(self._config), "--manifest-path", str(MANIFEST), *arguments,
            ],
            capture_output=True, text=True, timeout=LONGEST_RUN_SECONDS, check=False, env=environment,
        )  # fmt: skip
        return finished.returncode, [json.loads(line) for line in finished.stdout.splitlines() if line.strip()]

    def streams(self) -> list[Json]:
        """Streams as discovered."""
        _, messages = self.run("discover")
        return next(message["catalog"]["streams"] for message in messages if message["type"] == "CATALOG")

    def catalog(self, *names: str) -> Path:
        """A configured catalog of these streams, written to a file."""
        configured = [
            {
                "stream": stream,
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append",
                "primary_key": stream.get("source_defined_primary_key", []),
            }
            for stream in self.streams()
            if stream["name"] in names
        ]
        assert len(configured) == len(names)
        path = self._folder / "catalog.json"
        path.write_text(json.dumps({"streams": configured}))
        return path

    def read(self, catalog: Path, state: list[Json] | None = None) -> tuple[int, list[Json]]:
        """Exit code and messages of a sync, which goes on from the `state` of STATE messages if there is one."""
        arguments = ["--catalog", str(catalog)]
        if state is not None:
            path = self._folder / "state.json"
            path.write_text(json.dumps(state))
            arguments += ["--state", str(path)]
        return self.run("read", *arguments)


def records(messages: list[Json], stream: str) -> list[Json]:
    """The `data` of a stream's records."""
    return [
        message["record"]["data"]
        for message in messages
        if message["type"] == "RECORD" and message["record"]["stream"] == stream
    ]
