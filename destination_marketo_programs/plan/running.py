"""One run of `plan`: the delivery of `write` over a Marketo that only reads, into a listing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.plan.summary import Findings

if TYPE_CHECKING:
    from destination_marketo_programs.bar import Bar
    from destination_marketo_programs.delivery.intake import Intake
    from destination_marketo_programs.plan.listings import Listing
    from destination_marketo_programs.preflight import Preflight
    from destination_marketo_programs.session import Delivered, Session


def run_plan(session: Session, preflight: Preflight, intake: Intake, listing: Listing, bar: Bar) -> int:
    """Say what a write of the messages would do.

    Args:
        session: read-only.
        preflight: the checks' findings, without problems.
        intake: the messages.
        bar: shows how far it is.
        listing: takes each outcome, and the summary at the end, also at an end by an error.

    Returns:
        Number of records that would be rejected.

    Raises:
        As `Loop.run`; and OSError if the listing cannot be written.
    """
    calls = session.settings.delivery.calls_per_20_seconds

    def finish(delivered: Delivered, *, complete: bool) -> None:
        bar.stop()
        dry_run = delivered.dry_run
        assert dry_run is not None  # noqa: S101 - it was asked for below; for the type checker
        changes, forecast = dry_run.marketo.changes, dry_run.forecast(calls)
        listing.finish(Findings(delivered.tally, changes, forecast, preflight.programs), complete=complete)

    delivered = session.deliver(
        preflight, intake, _discard, dry_run=True, store=listing, on_summary=finish, watch=bar.watch
    )
    return delivered.tally.records_rejected


def _discard(_line: bytes) -> None:
    """A dry run acknowledges nothing."""
