"""The demo's folder: configuration, catalog, input, and what comes of them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from marketo_programs_demo import scenario
from marketo_programs_demo.steps import DemoError

if TYPE_CHECKING:
    from marketo_sandbox.server import SandboxServer

Json = dict[str, Any]

DEFAULT_OUTPUT: Final = Path("demo-output")
_LOCAL_HOSTS: Final = frozenset({"127.0.0.1", "localhost"})


class DemoFiles:
    """Where the demo puts things, in one folder that is made if necessary.

    A configuration that is there is kept, with whatever its user changed.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.config = folder / "config.json"
        self.catalog = folder / "catalog.json"
        self.messages = folder / "messages.jsonl"
        self.later_messages = folder / "messages-later.jsonl"
        self.outcomes = folder / "outcomes"
        self.report = folder / "report.html"
        self.config_was_there = self.config.exists()

    def port(self) -> int:
        """The port that the sandbox has to have: that of the configuration that is there, else 0 for any.

        Raises:
            DemoError: it cannot be read, or names another Marketo than this machine's; the demo writes to no other.
        """
        if not self.config_was_there:
            return 0
        try:
            config = json.loads(self.config.read_text(encoding="utf-8"))
            address = urlsplit(str(config["domain_url"]))
            host, port = address.hostname, address.port
        except (ValueError, KeyError, TypeError) as error:
            raise DemoError(
                f"{self.config} cannot be read: {error!r}. Fix it, or delete it to get a new one."
            ) from None
        if host not in _LOCAL_HOSTS or port is None:
            raise DemoError(
                f"{self.config} points to a Marketo other than the demo's sandbox. "
                "The demo only writes to its sandbox. "
                "Delete the file to get a new one, or choose another folder with --output."
            )
        return port

    def write(self, sandbox: SandboxServer, sample: list[Json]) -> None:
        """Write catalog and input, and the configuration if there is none.

        Outcomes of an earlier demo go to a folder beside: they are about another sandbox, and would be taken for the
        memory of what was sent to this one.
        """
        if self.outcomes.exists():
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
            self.outcomes.rename(self.folder / f"outcomes-before-{stamp}")
        if not self.config_was_there:
            outcomes = self.outcomes.resolve()
            config = scenario.demo_config(sandbox.url, sandbox.client_id, sandbox.client_secret, outcomes)
            self.config.write_text(json.dumps(config, indent=2) + "\n")
        self.catalog.write_text(json.dumps(scenario.catalog(), indent=2) + "\n")
        self.messages.write_text("".join(line + "\n" for line in scenario.messages(sample)))

    def new_files(self, kind: str = "*") -> list[str]:
        """Files of outcomes and of rejected records; of one kind if named.

        Raises:
            DemoError: there are none.
        """
        written = [str(path) for path in sorted(self.outcomes.rglob(f"{kind}-*.jsonl"))]
        if not written:
            raise DemoError(f"write stored no outcomes in {self.outcomes}")
        return written
