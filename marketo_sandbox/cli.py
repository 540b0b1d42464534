"""The `sandbox` command."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
from typing import TYPE_CHECKING, TextIO

import msgspec

from .faults import Chaos
from .settings import FAST_CHANGES, Settings, changed

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options to a parser."""
    parser.add_argument("--port", type=int, default=None, metavar="N", help="port on 127.0.0.1; any free one if absent")
    parser.add_argument("--no-limits", action="store_true", help="do not enforce rate limits (606, 607, 615)")
    parser.add_argument("--latency", type=float, metavar="SECONDS", help="simulated duration of each call")
    parser.add_argument("--chaos-seed", type=int, metavar="SEED", help="random faults, drawn from this seed")
    parser.add_argument(
        "--chaos-rate", type=float, default=0.1, metavar="SHARE", help="fraction of calls that fail, 0 to 1"
    )
    parser.add_argument("--fast", action="store_true", help="no limits, call log, value checks or stored fields")
    parser.add_argument("--settings", default="{}", metavar="JSON", help="other settings by name, as a JSON object")


def settings_of(args: argparse.Namespace) -> Settings:
    """Settings from the command line.

    Raises:
        msgspec.DecodeError: `--settings` is not a JSON object of settings.
    """
    changes: dict[str, object] = dict(FAST_CHANGES) if args.fast else {}
    if args.no_limits:
        changes["limits"] = False
    if args.latency is not None:
        changes["latency_seconds"] = args.latency
    changes |= msgspec.json.decode(args.settings, type=dict[str, object])
    return changed(Settings(), changes)


def main(args: argparse.Namespace) -> int:
    """Run until interrupted or terminated; the exit code.

    The first line printed is `Marketo sandbox: http://127.0.0.1:PORT`, once the port answers.
    """
    try:
        settings = settings_of(args)
    except msgspec.DecodeError as error:
        _say(f"--settings: {error}", sys.stderr)
        return 2
    chaos = None if args.chaos_seed is None else Chaos(seed=args.chaos_seed, rate=args.chaos_rate)
    try:
        serve(args.port, settings, chaos)
    except ModuleNotFoundError as error:
        _say(f"The sandbox needs the extra 'sandbox' ({error.name} is missing).", sys.stderr)
        return 1
    except OSError as error:
        _say(f"Port {args.port} cannot be used: {error.strerror}", sys.stderr)
        return 1
    return 0


def serve(port: int | None, settings: Settings | None = None, chaos: Chaos | None = None) -> None:
    """Serve in the foreground until SIGINT or SIGTERM.

    Raises:
        OSError: the port is taken.
        ModuleNotFoundError: aiohttp is not installed.
    """
    from .instance import Instance  # noqa: PLC0415 - with the server, below
    from .server import serve_forever  # noqa: PLC0415 - aiohttp is an optional extra

    instance = Instance(settings if settings is not None else Settings())
    instance.faults.set_chaos(chaos)
    service = instance.settings.services[0]

    def announce(url: str) -> None:
        _say(f"Marketo sandbox: {url}")
        _say(f"  domain_url     {url}")
        _say(f"  client_id      {service.client_id}")
        _say(f"  client_secret  {service.client_secret}")
        _say(f"  page           {url}/")
        _say("Stop with Ctrl-C.")

    async def run() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await serve_forever(instance, port or 0, announce, stop)

    # Millions of records that stay are not worth being walked again and again.
    gc.set_threshold(50_000, 20, 100)
    asyncio.run(run())


def _say(text: str, stream: TextIO | None = None) -> None:
    out = stream if stream is not None else sys.stdout
    out.write(f"{text}\n")
    out.flush()
