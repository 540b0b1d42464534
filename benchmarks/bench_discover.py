"""How long `discover` takes, how many calls it makes and how large its answer is, for many programs and fields.

python benchmarks/bench_discover.py [--programs 200] [--fields 300] [--runs 5]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from common import MODULE, show

from marketo_sandbox import Field, Program, SandboxServer, Seed


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=200)
    parser.add_argument("--fields", type=int, default=300)
    parser.add_argument("--runs", type=int, default=5)
    chosen = parser.parse_args()
    with SandboxServer() as sandbox, tempfile.TemporaryDirectory() as folder:
        sandbox.state.seed(
            Seed(
                programs=[
                    Program(2000 + at, f"Field day {at}", "Event", "Tradeshow", 512) for at in range(chosen.programs)
                ],
                lead_fields=[
                    Field(f"custom{at}__c", f"A field that somebody has added, number {at}", length=255)
                    for at in range(chosen.fields)
                ],
            )
        )
        config = Path(folder) / "config.json"
        config.write_text(
            json.dumps(
                {
                    "domain_url": sandbox.url,
                    "client_id": sandbox.client_id,
                    "client_secret": sandbox.client_secret,
                    "program_links": [
                        {"event": str(at), "program_id": str(2000 + at), "program_status": "Registered"}
                        for at in range(chosen.programs)
                    ],
                }
            )
        )
        seconds, calls = [], 0
        output = b""
        for _ in range(chosen.runs):
            before = len(sandbox.calls)
            started = time.perf_counter()
            output = subprocess.run(
                [*MODULE, "discover", "--config", str(config)], stdout=subprocess.PIPE, check=True
            ).stdout
            seconds.append(time.perf_counter() - started)
            calls = len(sandbox.calls) - before
    objects = len(json.loads(output.splitlines()[-1])["destination_catalog"]["operations"])
    show(
        "discover",
        f"discover: {chosen.programs} programs, {chosen.fields} added fields, {chosen.runs} runs",
        ("objects", "MB", "calls", "s (median)", "s (most)"),
        [(objects, len(output) / 1e6, calls, statistics.median(seconds), max(seconds))],
    )


if __name__ == "__main__":
    main()
