"""All checks in one go: everything is asked first, then judged, then told in the order of the form."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.config.explain import place_of
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.model import Problem
from destination_marketo_programs.preflight.account import budget_notes, budget_problems
from destination_marketo_programs.preflight.asking import ask_marketo
from destination_marketo_programs.preflight.fields import (
    catalog_of,
    field_notes,
    field_problems,
    lookup_problems,
    partition_problems,
)
from destination_marketo_programs.preflight.programs import program_notes, program_problems
from destination_marketo_programs.preflight.statuses import Statuses
from destination_marketo_programs.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.mapping import FieldCatalog
    from destination_marketo_programs.marketo.assets import Program, Status
    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.storage import OutcomeStore


class Preflight(NamedTuple):
    """What the checks found, and what later stages need of it.

    Attributes:
        problems: in the order of the form; empty when all is well.
        notes: for LOG INFO: allowed, but worth knowing.
        programs: the linked programs that were found, by id.
        steps: (program id, status name) -> step, for all statuses of these programs, hidden ones included.
        statuses: program id -> statuses in the order of its channel, hidden ones included.
        fields: writable fields; None for an object whose fields were not asked for or not told.
        partitions: lead partitions that the API user sees.
        used_today: calls of the API user since midnight when the checks began; 0 where Marketo does not tell.
    """

    problems: list[Problem]
    notes: list[str]
    programs: dict[int, Program]
    steps: dict[tuple[int, str], int]
    fields: FieldCatalog
    used_today: int
    statuses: Mapping[int, Sequence[Status]]
    partitions: int = 0


def run_preflight(
    client: MarketoClient,
    settings: Settings,
    store: OutcomeStore,
    config_problems: Sequence[Problem] = (),
    *,
    raise_transient: bool = False,
    member_fields: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> Preflight:
    """Check everything that can be checked without writing to Marketo, and tell the client's budget what is used.

    Args:
        client: its retry window bounds how long an instance that does not answer is tried.
        settings: the configuration.
        store: is probed: writes, reads and deletes an object.
        config_problems: what reading the configuration found; merged with the rest.
        raise_transient: raise what may work later instead of reporting it, so that a sync can be tried again.
        member_fields: ask for the fields of memberships even if no field mapping needs them.
        now: UTC, for the time at which the quota starts anew.

    Raises:
        UnreachableError, QuotaReachedError, StorageError: with `raise_transient` only, and a `StorageError` only
            if it is transient.
        StoppedError: the process is ending.
    """
    facts = ask_marketo(client, settings, now(), raise_transient=raise_transient, member_fields=member_fields)
    catalog = catalog_of(facts)
    statuses = Statuses(facts.programs, facts.channels or {})
    problems = [
        *config_problems,
        *facts.problems,
        *program_problems(settings, facts),
        *statuses.problems(settings),
        *field_problems(settings, facts),
        *lookup_problems(settings, facts),
        *partition_problems(settings, facts),
        *_storage_problems(store, raise_transient=raise_transient),
        *budget_problems(settings, facts.used_today, now()),
    ]
    notes = [
        *program_notes(facts.programs.values()),
        *statuses.notes(settings),
        *field_notes(settings, catalog),
        *budget_notes(settings, facts.used_today),
    ]
    return Preflight(
        sorted(problems, key=_place_in_form),
        notes,
        facts.programs,
        statuses.steps(),
        catalog,
        facts.used_today or 0,
        statuses.by_program(),
    )


def _storage_problems(store: OutcomeStore, *, raise_transient: bool) -> Iterator[Problem]:
    try:
        store.probe()
    except StorageError as error:
        if error.transient and raise_transient:
            raise
        yield Problem(tuple(error.path.split(".")), error.message, error.fix)


def _place_in_form(problem: Problem) -> tuple[int, ...]:
    return place_of(problem.location).rank
