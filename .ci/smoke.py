"""Smoke test of an installed connector: spec, check and write against a sandbox of its own.

Usage: smoke.py FOLDER COMMAND…, with COMMAND the connector without its arguments. FOLDER takes configuration and
catalog; where COMMAND runs a container, it has to be mounted there under the same path.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from marketo_sandbox import SandboxServer

SECONDS = 120
EMAILS = ("ada@example.com", "grace@example.com", "no address")


def main(folder: Path, command: list[str]) -> None:
    """Run the three commands; an assertion says what is wrong."""

    def run(*arguments: str, stdin: bytes = b"") -> list[dict[str, Any]]:
        done = subprocess.run([*command, *arguments], input=stdin, capture_output=True, timeout=SECONDS, check=False)
        assert done.returncode == 0, (done.returncode, done.stdout[-2000:], done.stderr[-2000:])
        return [json.loads(line) for line in done.stdout.splitlines()]

    (spec,) = run("spec")
    assert "domain_url" in spec["spec"]["connectionSpecification"]["properties"]
    with SandboxServer() as sandbox:
        config = {
            "domain_url": sandbox.url,
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "program_links": [{"event": "4711", "program_id": "1004", "program_status": "Registered"}],
            "record_mapping": {"mapping_type": "custom"},
        }
        stream = {"name": "leads", "json_schema": {}, "supported_sync_modes": ["full_refresh"]}
        catalog = {
            "streams": [{"stream": stream, "sync_mode": "full_refresh", "destination_sync_mode": "append"}],
        }
        paths = {name: folder / f"{name}.json" for name in ("config", "catalog")}
        paths["config"].write_text(json.dumps(config))
        paths["catalog"].write_text(json.dumps(catalog))
        statuses = [
            message for message in run("check", "--config", str(paths["config"])) if "connectionStatus" in message
        ]
        assert [status["connectionStatus"]["status"] for status in statuses] == ["SUCCEEDED"], statuses
        data = [{"id": number, "email": email, "event_id": 4711} for number, email in enumerate(EMAILS)]
        messages: list[dict[str, Any]] = [
            {"type": "RECORD", "record": {"stream": "leads", "data": one, "emitted_at": 1}} for one in data
        ]
        state = {"type": "STREAM", "stream": {"stream_descriptor": {"name": "leads"}, "stream_state": {"at": 3}}}
        messages.append({"type": "STATE", "state": {**state, "id": 1}})
        printed = run(
            "write",
            "--config",
            str(paths["config"]),
            "--catalog",
            str(paths["catalog"]),
            stdin=b"\n".join(json.dumps(message).encode() for message in messages) + b"\n",
        )
        (echoed,) = (message["state"] for message in printed if message["type"] == "STATE")
        stats = {"recordCount": 2.0, "rejectedRecordCount": 1.0}
        assert echoed == {**state, "id": 1, "destinationStats": stats}, echoed


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
    print(f"smoke test passed: {sys.argv[2]}")
