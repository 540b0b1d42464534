"""Statuses of every linked program: how they compare, and which of them a run may send."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.activation.refusals import any_object
from destination_marketo_programs.delivery.statuses import Statuses

if TYPE_CHECKING:
    from destination_marketo_programs.catalog import Catalog
    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.preflight import Preflight


def statuses_of(preflight: Preflight, settings: Settings, catalog: Catalog) -> Statuses:
    """The statuses as delivery compares them.

    Args:
        preflight: knows the steps.
        settings: name the statuses that are sent.
        catalog: its objects may name any status.
    """
    wanted = _wanted(settings, catalog)
    return Statuses({key: (*rank, wanted is None or key in wanted) for key, rank in preflight.steps.items()})


def _wanted(settings: Settings, catalog: Catalog) -> set[tuple[int, str]] | None:
    """Statuses that a run may send, by program; None for any."""
    if any_object(catalog.streams):
        return None
    linked = {link.program_id for link in settings.program_links}
    wanted = {(link.program_id, link.program_status) for link in settings.program_links}
    for mapping in settings.qualifier_mappings:
        programs = linked if mapping.program_id is None else {mapping.program_id}
        wanted |= {(program_id, mapping.program_status) for program_id in programs}
    return wanted
