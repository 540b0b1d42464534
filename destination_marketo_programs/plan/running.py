"""One run of `plan`: the delivery of `write`, rehearsed, into a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.plan.summary import Findings
from destination_marketo_programs.protocol import Writer
from destination_marketo_programs.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.catalog import ConfiguredStream
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.plan.listings import Listing
    from destination_marketo_programs.preflight import Preflight


def run_plan(
    settings: Settings,
    preflight: Preflight,
    streams: Sequence[ConfiguredStream],
    client: MarketoClient,
    descriptor: int,
    listing: Listing,
    on_started: Callable[[Callable[[], None]], None] = lambda _stop: None,
) -> int:
    """Say what a write of the messages on `descriptor` would do. Sends nothing but reads.

    Args:
        settings: the configuration.
        preflight: the checks' findings, without problems.
        streams: the configured catalog.
        client: made with `read_only`.
        descriptor: file descriptor with Airbyte messages.
        listing: takes each outcome, and the sums at the end, also at an end by an error.
        on_started: gets a function that ends the run early; callable from a signal handler.

    Returns:
        Number of records that would be rejected.

    Raises:
        As `Delivery.run`; and OSError where the listing cannot be written.
    """
    sync = Sync(settings, preflight, streams, client, listing, Writer(_discard), dry_run=True)
    rehearsal = sync.rehearsal
    assert rehearsal is not None  # noqa: S101 - it was asked for one above; for the type checker
    on_started(sync.delivery.stop)
    complete = False
    try:
        sync.delivery.run(Intake(descriptor))
        complete = True
    finally:
        forecast = rehearsal.forecast(settings.delivery.calls_per_20_seconds)
        listing.finish(Findings(sync.tally, rehearsal.members.changes, forecast, preflight.programs), complete=complete)
        rehearsal.close()
    return sync.tally.records_rejected


def _discard(_line: bytes) -> None:
    """A dry run acknowledges nothing."""
