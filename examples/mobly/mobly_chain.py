"""The whole way of a badge scan: a Mobly API, the low-code source, this connector, and a sandbox of Marketo.

`make demo-mobly` runs it. Source and destination are the processes that Airbyte would start, joined by a pipe.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

import requests
from fake_mobly import FakeMobly, Organisation
from marketo_programs_demo import leads, scenario
from marketo_programs_demo.steps import DemoError, messages_of
from marketo_programs_demo.telling import leftovers_table, members_table
from rich.console import Console

from destination_marketo_programs.storage.reader import find_files, iter_outcomes
from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]


class Pace(TypedDict):
    """A limit of Mobly's: calls at once, and calls per second after that."""

    burst: int
    per_second: float


MANIFEST: Final = Path("examples/mobly/manifest.yaml")
DEFAULT_OUTPUT: Final = Path("demo-output/mobly")
_LATE: Final = "noor.visser@polder.example"
_CORRECTION: Final = "Chief Event Officer"
_PACE: Final[Pace] = {"burst": 20, "per_second": 5.0}
"""Five times Mobly's own pace, so that nobody has to wait through the demo."""
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
        settings: of the source, beside the API key.
    """

    def __init__(self, folder: Path, manifest: Path, mobly: FakeMobly, config: Json, **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._source_config = folder / "mobly-config.json"
        self._config = folder / "config.json"
        self._catalog = folder / "catalog.json"
        self._source = [str(Path(sys.executable).with_name("source-declarative-manifest"))]
        self._source_arguments = ["--config", str(self._source_config), "--manifest-path", str(manifest)]
        self._destination = [sys.executable, "-m", "destination_marketo_programs"]
        source_config = {"base_url": mobly.url, "api_key": mobly.api_key} | settings
        self._source_config.write_text(json.dumps(source_config, indent=2) + "\n")
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
    """Run the chain over sample leads. Returns 0, or 1 where a step failed."""
    parser = argparse.ArgumentParser(description="Mobly's API, low-code source, connector and sandbox in one go.")
    parser.add_argument("--manifest", type=Path, default=MANIFEST, metavar="FILE", help=f"default: {MANIFEST}")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT, metavar="FOLDER")
    parser.add_argument("--leads", type=int, default=250, metavar="N", help="captures in Mobly; default: 250")
    arguments = parser.parse_args()
    console = Console(highlight=False)
    started = time.monotonic()
    try:
        _show(arguments, console)
    except (DemoError, OSError, subprocess.TimeoutExpired) as error:
        Console(stderr=True, highlight=False).print(f"[red]demo-mobly:[/] {error}")
        return 1
    seconds = time.monotonic() - started
    console.print(f"\nThe files are in {arguments.output}. Done in {seconds:.1f} s.", soft_wrap=True)
    return 0


def _show(arguments: argparse.Namespace, console: Console) -> None:
    outcomes = (arguments.output / "outcomes" / time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())).resolve()
    organisation = Organisation.with_sample_leads(arguments.leads, scenario.KNOWN_IDS)
    organisation.update_event(leads.EXPO, startDate=_day(0), endDate=_day(0))
    with FakeMobly(organisation, **_PACE) as mobly, SandboxServer() as sandbox:
        for number, fields in scenario.known_people(scenario.records(arguments.leads)).items():
            sandbox.state.add_lead(fields, lead_id=number)
        config = attendance_config(
            scenario.demo_config(sandbox.url, sandbox.client_id, sandbox.client_secret, outcomes)
        )
        settings = {"calls_at_once": _PACE["burst"], "calls_per_second": _PACE["per_second"]}
        chain = Chain(arguments.output, arguments.manifest, mobly, attendance_config(config), **settings)
        story = Story(organisation, sandbox, console)
        console.print(f"Mobly's API at {mobly.url}, Marketo's at {sandbox.url}", soft_wrap=True)
        chain.check()
        chain.choose_stream()
        console.print("[green]check[/]        SUCCEEDED for source and destination")

        def sync(name: str) -> None:
            calls, writes = len(mobly.calls), len(sandbox.calls.writes())
            with console.status("source read | destination write"):
                synced = chain.sync()
            console.print(
                f"[green]{name:<12}[/] {synced.records} captures, {synced.rejected} rejected; calls: "
                f"{len(mobly.calls) - calls} to Mobly, {len(sandbox.calls.writes()) - writes} that write to Marketo",
                soft_wrap=True,
            )

        sync("first sync")
        story.people_go_on()
        sync("second sync")
        story.tell_what_became_of_it()
        earlier = _files(outcomes)
        sync("third sync")
        leftovers = leftovers_table(list(iter_outcomes(sorted(_files(outcomes) - earlier))))
        for table in (members_table(sandbox), leftovers):
            console.print()
            console.print(table)


def attendance_config(config: Json) -> Json:
    """The demo's configuration with statuses by attendance for the expo, and only changes sent."""
    attendance = [
        {"program_id": str(scenario.SPRING_EXPO), "qualifier": "attendance", "value": value, "program_status": status}
        for value, status in (("Attended", "Attended"), ("Walk-in", "Attended"), ("No Show", "No Show"))
    ]
    expo = config["program_links"][0] | {"program_status": "Registered"}
    return config | {
        "program_links": [expo, *config["program_links"][1:]],
        "qualifier_mappings": [*config["qualifier_mappings"], *attendance],
        "lead_sync": {"send": "changes"},
    }


class Story:
    """What happens in Mobly and in Marketo between two syncs, and what the second one made of it."""

    def __init__(self, organisation: Organisation, sandbox: SandboxServer, console: Console) -> None:
        self._organisation = organisation
        self._sandbox = sandbox
        self._console = console
        self._corrected = 0

    def people_go_on(self) -> None:
        """Scan somebody late, correct somebody in Marketo, and let the expo be over."""
        self._organisation.scan_badge(leads.EXPO, _LATE, firstName="Noor", lastName="Visser", jobTitle="Event Manager")
        self._console.print(f"  late scan    {_LATE} is scanned at the expo")
        self._corrected = self._somebody_who_came()
        correct_in_marketo(self._sandbox, self._corrected, {"title": _CORRECTION})
        self._console.print(f"  correction   somebody sets the job title of lead {self._corrected} in Marketo")
        self._organisation.update_event(leads.EXPO, startDate=_day(2), endDate=_day(2))
        absent = sum(
            one["registered"] and not one["checkedIn"] for one in self._organisation.event_leads(leads.EXPO) or []
        )
        self._console.print(f"  no-shows     two days pass; {absent} of those registered for the expo did not come")

    def tell_what_became_of_it(self) -> None:
        """Ask Marketo, not the connector."""
        state = self._sandbox.state
        self._console.print(f"  late scan    {_LATE}: {state.members_by_email(scenario.SPRING_EXPO).get(_LATE)}")
        title = (state.lead(self._corrected) or {}).get("title")
        kept = "as it was corrected" if title == _CORRECTION else "overwritten by the record"
        self._console.print(f"  correction   the job title of lead {self._corrected} is {kept}")
        absent = state.status_counts()[scenario.SPRING_EXPO].get("No Show", 0)
        self._console.print(
            f"  no-shows     {absent} of them have the status No Show; the others answered Yes, or have no email"
        )

    def _somebody_who_came(self) -> int:
        """The Marketo id of a person captured once, who has a job title and checked in at the expo."""
        at_expo = {one["leadId"] for one in self._organisation.event_leads(leads.EXPO) or [] if one["checkedIn"]}
        people = Counter((lead["email"] or "").strip().lower() for lead in self._organisation.leads())
        members = self._sandbox.state.members(scenario.SPRING_EXPO)
        for lead in self._organisation.leads():
            email = (lead["email"] or "").strip().lower()
            if lead["id"] in at_expo and lead["jobTitle"] and people[email] == 1:
                for lead_id in self._sandbox.state.leads_with("email", email):
                    if lead_id in members:
                        return lead_id
        raise DemoError("nobody at the expo can be corrected; take more leads (--leads)")


def correct_in_marketo(sandbox: SandboxServer, lead_id: int, fields: Json) -> None:
    """Change a person as somebody who works in Marketo would, over the same API.

    Raises:
        DemoError: Marketo refused it.
    """
    credentials = {"client_id": sandbox.client_id, "client_secret": sandbox.client_secret}
    token = requests.get(
        f"{sandbox.url}/identity/oauth/token", {"grant_type": "client_credentials", **credentials}, timeout=10
    ).json()["access_token"]
    answer = requests.post(
        f"{sandbox.url}/rest/v1/leads.json",
        json={"action": "updateOnly", "lookupField": "id", "input": [{"id": lead_id} | fields]},
        headers={"Authorization": f"Bearer {token}"},
        timeout=10,
    ).json()
    if not answer["success"] or answer["result"][0]["status"] != "updated":
        raise DemoError(f"the correction in Marketo: {answer}")


def _files(outcomes: Path) -> set[str]:
    return {file.location for file in find_files([str(outcomes)])}


def _day(ago: int) -> str:
    return (datetime.now(UTC) - timedelta(days=ago)).strftime("%Y-%m-%d")


if __name__ == "__main__":
    sys.exit(main())
