"""What a run says of itself before it begins: its run file, still open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs import __version__
from destination_marketo_programs.storage.runs import ProgramInfo, RunFile, StreamInfo, new_run

if TYPE_CHECKING:
    from destination_marketo_programs.preflight import Preflight
    from destination_marketo_programs.session import Session


def run_file(session: Session, preflight: Preflight, *, dry_run: bool) -> RunFile:
    """What this run says of itself before it begins."""
    run = new_run(
        run_id=session.run_id,
        started=session.started,
        instance=session.instance,
        version=__version__,
        sync_id="" if session.catalog.sync_id is None else str(session.catalog.sync_id),
    )
    run.lookup_field = session.settings.lead_sync.lookup_field
    run.dry_run = dry_run
    run.programs = [
        ProgramInfo(program.id, program.name, program.type, program.channel, program.url)
        for program in preflight.programs.values()
    ]
    run.streams = [
        StreamInfo(name, namespace, stream.destination_object_name)
        for stream in session.catalog.streams
        for namespace, name in [stream.key]
    ]
    run.app_address = preflight.app_address
    return run
