"""The whole way of a badge scan: a Mobly API, the low-code source, this connector, and a sandbox of Marketo.

`make demo-mobly` runs it. Source and destination are the processes that Airbyte would start, joined by a pipe.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from fake_mobly import FakeMobly, Organisation
from marketo_programs_demo import leads, scenario
from marketo_programs_demo.cli import (
    DemoError,
    leftovers_table,
    members_table,
    messages_of,
)
from rich.console import Console

from destination_marketo_programs.storage.reader import find_files, iter_outcomes
from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]

MANIFEST: Final = Path("examples/mobly/manifest.yaml")
DEFAULT_OUTPUT: Final = Path("demo-output/mobly")
_SHORT_STEP_SECONDS: Final = 60
_SYNC_SECONDS: Final = 900


class Synced(NamedTuple):
    """What one sync did: STATEs that came back, and the records they account for."""

    states: int
    records: int
    rejected: int


class Chain:
    """Mobly's source and this destination with their configurations, in one folder.

    Args:
        folder: for configurations, catalog and outcomes; made if need be.
        manifest: the low-code source.
        mobly: where the source reads.
        config: the destination's configuration.
    """

    def __init__(self, folder: Path, manifest: Path, mobly: FakeMobly, config: Json) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._source_config = folder / "mobly-config.json"
        self._config = folder / "config.json"
        self._catalog = folder / "catalog.json"
        self._source = [str(Path(sys.executable).with_name("source-declarative-manifest"))]
        self._source_arguments = ["--config", str(self._source_config), "--manifest-path", str(manifest)]
        self._destination = [sys.executable, "-m", "destination_marketo_programs"]
        self._source_config.write_text(json.dumps({"base_url": mobly.url, "api_key": mobly.api_key}, indent=2) + "\n")
        self._config.write_text(json.dumps(config, indent=2) + "\n")

    def check(self) -> None:
        """Let both connectors check their configuration.

        Raises:
            DemoError: one of them refuses it.
        """
        for name, command in (
            ("source", [*self._source, "check", *self._source_arguments]),
            ("destination", [*self._destination, "check", "--config", str(self._config)]),
        ):
            status = self._first("CONNECTION_STATUS", command)["connectionStatus"]
            if status["status"] != "SUCCEEDED":
                raise DemoError(f"check of the {name}: {status.get('message')}")

    def choose_stream(self, name: str = leads.STREAM) -> None:
        """Ask the source for its streams and make a catalog of one."""
        found = self._first("CATALOG", [*self._source, "discover", *self._source_arguments])["catalog"]["streams"]
        stream = next(one for one in found if one["name"] == name)
        configured = {
            "stream": stream,
            "sync_mode": "full_refresh",
            "destination_sync_mode": "append",
            "primary_key": stream["source_defined_primary_key"],
        }
        self._catalog.write_text(json.dumps({"streams": [configured]}, indent=2) + "\n")

    def sync(self) -> Synced:
        """Read the stream and write it, as `source read | destination write`.

        Raises:
            DemoError: either process failed.
        """
        catalog = ["--catalog", str(self._catalog)]
        states, delivered, rejected, error = 0, 0.0, 0.0, ""
        with (
            subprocess.Popen(  # noqa: S603 - the CDK's own command
                [*self._source, "read", *self._source_arguments, *catalog], stdout=subprocess.PIPE
            ) as source,
            subprocess.Popen(  # noqa: S603 - this package
                [*self._destination, "write", "--config", str(self._config), *catalog],
                stdin=source.stdout,
                stdout=subprocess.PIPE,
            ) as destination,
        ):
            if source.stdout is not None:
                # The destination has it now; held open here it would hide that the destination has ended.
                source.stdout.close()
            try:
                for message in messages_of(destination.stdout or ()):
                    if message["type"] == "STATE":
                        states += 1
                        delivered += message["state"]["destinationStats"]["recordCount"]
                        rejected += message["state"]["destinationStats"]["rejectedRecordCount"]
                    elif message["type"] == "TRACE" and message["trace"]["type"] == "ERROR":
                        error = message["trace"]["error"]["message"]
                source.wait(_SYNC_SECONDS)
            except BaseException:
                destination.kill()
                source.kill()
                raise
        if source.returncode or destination.returncode or error:
            raise DemoError(
                f"sync: source ended with {source.returncode}, destination with {destination.returncode}. {error}"
            )
        return Synced(states, int(delivered + rejected), int(rejected))

    @staticmethod
    def _first(kind: str, command: Sequence[str]) -> Json:
        finished = subprocess.run(  # noqa: S603 - one of the two connectors
            command, stdout=subprocess.PIPE, timeout=_SHORT_STEP_SECONDS, check=False
        )
        for message in messages_of(finished.stdout.splitlines()):
            if message["type"] == kind:
                return message
        raise DemoError(f"{Path(command[0]).name} ended with {finished.returncode} without a {kind} message")


def main() -> int:
    """Run the chain once over sample leads. Returns 0, or 1 where a step failed."""
    parser = argparse.ArgumentParser(description="Mobly's API, low-code source, connector and sandbox in one go.")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE", help=f"default: {MANIFEST}")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="FOLDER")
    parser.add_argument("--leads", type=int, default=250, metavar="N", help="captures in Mobly; default: 250")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    try:
        _show(arguments, console)
    except (DemoError, OSError, subprocess.TimeoutExpired) as error:
        Console(stderr=True, highlight=False).print(f"[red]demo-mobly:[/] {error}")
        return 1
    return 0


def _show(arguments: argparse.Namespace, console: Console) -> None:
    started = time.monotonic()
    outcomes = (arguments.output / "outcomes" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())).resolve()
    sample = scenario.records(arguments.leads)
    organisation = Organisation.with_sample_leads(arguments.leads, scenario.KNOWN_IDS)
    with FakeMobly(organisation) as mobly, SandboxServer() as sandbox:
        for number, fields in scenario.known_people(sample).items():
            sandbox.state.add_lead(fields, lead_id=number)
        config = scenario.demo_config(sandbox.url, sandbox.client_id, sandbox.client_secret, outcomes)
        chain = Chain(arguments.output, arguments.manifest, mobly, config)
        console.print(f"Mobly's API at {mobly.url}, Marketo's at {sandbox.url}", soft_wrap=True)
        chain.check()
        chain.choose_stream()
        console.print("[green]check[/]  SUCCEEDED for source and destination")
        with console.status("source read | destination write"):
            synced = chain.sync()
        calls = len(mobly.calls)
        console.print(f"[green]sync[/]   {synced.records} captures, {synced.rejected} rejected, {calls} calls to Mobly")
        files = [file.location for file in find_files([str(outcomes)])]
        for table in (members_table(sandbox), leftovers_table(list(iter_outcomes(files)))):
            console.print()
            console.print(table)
    console.print(f"\nIts files are in {arguments.output}. Done in {time.monotonic() - started:.1f} s.", soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
