"""Sources chained into this destination with PyAirbyte, without the Airbyte platform.

    examples/pyairbyte/install
    .venv-pyairbyte/bin/python examples/pyairbyte/chains.py file --config config.json
    .venv-pyairbyte/bin/python examples/pyairbyte/chains.py file --config config.json --cache-dir /tmp/cache

`--config` is the destination's configuration. With `--cache-dir` the records go through PyAirbyte's cache (DuckDB)
and come out changed; README.md beside this file says how.
"""

# ruff: noqa: INP001 - a script that runs in PyAirbyte's environment, not a module of a package

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

# Both connectors are here already: nothing is looked up or installed.
os.environ.setdefault("AIRBYTE_OFFLINE_MODE", "1")

import airbyte as ab

REPOSITORY = Path(__file__).resolve().parents[2]
DESTINATION = REPOSITORY / ".venv" / "bin" / "destination-marketo-programs"
FAKER = REPOSITORY / ".venv-source-faker" / "bin" / "source-faker"
FILE = REPOSITORY / ".venv-source-file" / "bin" / "source-file"
MOBLY = REPOSITORY / "examples" / "mobly" / "manifest.yaml"


def faker_source(arguments: argparse.Namespace) -> ab.Source:
    """Made-up users: one stream, with a key, and a STATE for every 100 records."""
    return ab.get_source(
        "source-faker",
        local_executable=FAKER,
        config={"count": arguments.count, "seed": 7, "records_per_slice": 100},
        streams=["users"],
    )


def file_source(arguments: argparse.Namespace) -> ab.Source:
    """A CSV of badge scans: one stream, without a key.

    Every column is read as text. Left alone, the source makes numbers of what looks like one, and turns the ZIP
    code 02108 into 2108 and, where a cell is empty, 2 scans into 2.0.
    """
    return ab.get_source(
        "source-file",
        local_executable=FILE,
        config={
            "dataset_name": "badge_scans",
            "format": "csv",
            "url": str(arguments.csv.resolve()),
            "provider": {"storage": "local"},
            "reader_options": json.dumps({"dtype": "string"}),
        },
        streams=["badge_scans"],
    )


def mobly_source(arguments: argparse.Namespace) -> ab.Source:
    """Mobly through its low-code source: two streams, with nested values and keys of two columns."""
    return ab.get_source(
        "source-mobly",
        source_manifest=MOBLY,
        config={"api_key": arguments.mobly_key, "base_url": arguments.mobly_url},
        streams=["leads", "captured_leads"],
    )


def marketo_programs(arguments: argparse.Namespace) -> ab.Destination:
    """This destination: its executable, or its image where one is named."""
    name = "destination-marketo-programs"
    config = json.loads(arguments.config.read_text(encoding="utf-8"))
    if arguments.image is None:
        return ab.get_destination(name, config=config, local_executable=arguments.destination)
    return ab.get_destination(
        name, config=config, docker_image=arguments.image, use_host_network=arguments.host_network
    )


SOURCES = {"faker": faker_source, "file": file_source, "mobly": mobly_source}


def main() -> None:
    """Check both ends, then sync once. A failed sync raises, and the exit code is 1."""
    arguments = _arguments()
    source = SOURCES[arguments.source](arguments)
    destination = marketo_programs(arguments)
    source.check()
    destination.check()
    if arguments.cache_dir is None:
        destination.write(source, cache=False, state_cache=False)
    else:
        cache = ab.new_local_cache(cache_name=arguments.source, cache_dir=arguments.cache_dir, cleanup=False)
        destination.write(source, cache=cache)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Sync a source into Marketo Programs with PyAirbyte.")
    parser.add_argument("source", choices=SOURCES)
    parser.add_argument("--config", type=Path, required=True, help="configuration of the destination, JSON")
    parser.add_argument("--destination", type=Path, default=DESTINATION, help="its executable")
    parser.add_argument("--image", help="its docker image, instead of the executable")
    parser.add_argument("--host-network", action="store_true", help="let the container reach a sandbox on this machine")
    parser.add_argument("--cache-dir", type=Path, help="send the records through a cache in this folder")
    parser.add_argument("--count", type=int, default=5000, help="users (faker)")
    parser.add_argument("--csv", type=Path, default=Path(__file__).with_name("badge_scans.csv"), help="input (file)")
    parser.add_argument("--mobly-url", default="https://core-api.getmobly.com/api/v0", help="API address (mobly)")
    parser.add_argument("--mobly-key", default=os.environ.get("MOBLY_API_KEY", ""), help="API key (mobly)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
