"""All checks in one go: everything is asked first, then judged, then told in the order of the form."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.config.columns import is_read_as_name
from destination_marketo_programs.config.explain import tell
from destination_marketo_programs.config.loading import events_of
from destination_marketo_programs.config.settings import CustomMapping
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.preflight.account import budget_notes, budget_problems
from destination_marketo_programs.preflight.asking import ask_marketo
from destination_marketo_programs.preflight.fields import catalog_of, field_notes, field_problems, lookup_problems
from destination_marketo_programs.preflight.keeping import storage_problems
from destination_marketo_programs.preflight.partitions import partition_notes, partition_problems
from destination_marketo_programs.preflight.programs import link_notes, program_notes, program_problems
from destination_marketo_programs.preflight.statuses import Statuses
from destination_marketo_programs.text import Names, listed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.mapping import FieldCatalog
    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.marketo.assets import Program, Status
    from destination_marketo_programs.model import Problem
    from destination_marketo_programs.preflight.asking import Facts
    from destination_marketo_programs.preflight.statuses import StatusRank
    from destination_marketo_programs.storage import OutcomeStore


class Preflight(NamedTuple):
    """What the checks found, and what later stages need of it.

    Attributes:
        problems: in the order of the form; empty when all is well.
        notes: for LOG INFO: allowed, but worth knowing.
        programs: the linked programs that were found, by id: name, type, channel, address.
        steps: (program id, status name) -> rank, for all statuses of these programs, hidden ones included.
        fields: writable fields with their types and lengths; None for an object whose fields were not asked for or
            not told.
        used_today: calls of the API user since midnight when the checks began; 0 if Marketo does not say. The
            checks' own calls are not in it: whoever made them counts them.
        statuses: program id -> statuses in the order of its channel, hidden ones included.
        partitions: how many lead partitions the API user sees; None if Marketo does not say.
        app_address: of Marketo's application, such as `https://app-sj01.marketo.com`; "" if no program tells it.
    """

    problems: list[Problem]
    notes: list[str]
    programs: dict[int, Program]
    steps: Mapping[tuple[int, str], StatusRank]
    fields: FieldCatalog
    used_today: int
    statuses: Mapping[int, Sequence[Status]]
    partitions: int | None = None
    app_address: str = ""


def run_preflight(
    marketo: Marketo,
    settings: Settings,
    store: OutcomeStore,
    config_problems: Sequence[Problem] = (),
    *,
    raise_transient: bool = False,
    member_fields: bool = False,
    now: Callable[[], datetime] = utc_now,
) -> Preflight:
    """Check everything that can be checked without writing to Marketo.

    Args:
        marketo: is only read; how long an instance that does not answer is tried is its own matter.
        settings: the configuration.
        store: is probed: writes, reads and deletes an object.
        config_problems: what reading configuration and catalog found; merged with the rest.
        raise_transient: raise what may work later instead of reporting it, so that a sync can be tried again.
        member_fields: ask for the fields of program members even if no field mapping needs them.
        now: UTC, for the time at which the quota starts anew.

    Raises:
        UnreachableError, QuotaReachedError, StorageError: with `raise_transient` only, and a `StorageError` only
            if it is transient.
        StoppedError: the process is ending.
    """
    facts = ask_marketo(marketo, settings, now(), raise_transient=raise_transient, member_fields=member_fields)
    catalog = catalog_of(facts)
    statuses = Statuses(facts.programs, facts.channels or {})
    lookup = list(lookup_problems(settings, facts))
    budget = list(budget_problems(settings, facts.used_today, now()))
    problems = [
        *_without_consequences(config_problems, settings, facts, lookup),
        # A budget that was used up before is also why the checks could not go on: one slip is one problem.
        *(problem for problem in facts.problems if problem.location not in {each.location for each in budget}),
        *program_problems(settings, facts),
        *statuses.problems(settings),
        *field_problems(settings, facts),
        *lookup,
        *partition_problems(settings, facts),
        *storage_problems(settings, store, raise_transient=raise_transient),
        *budget,
    ]
    return Preflight(
        tell(problems, events_of(settings)),
        [] if settings.is_partial else _notes(settings, facts, statuses, catalog),
        facts.programs,
        statuses.ranks(),
        catalog,
        facts.used_today or 0,
        statuses.by_program(),
        None if facts.partitions is None else len(facts.partitions),
        _app_address(facts.programs.values()),
    )


def _notes(settings: Settings, facts: Facts, statuses: Statuses, catalog: FieldCatalog) -> list[str]:
    return [
        *link_notes(settings.program_links),
        *program_notes(settings, facts),
        *statuses.notes(settings),
        *_column_notes(settings),
        *field_notes(settings, catalog),
        *partition_notes(settings, facts),
        *budget_notes(settings, facts.used_today),
    ]


def _without_consequences(
    problems: Iterable[Problem], settings: Settings, facts: Facts, lookup: Sequence[Problem]
) -> Iterator[Problem]:
    """The problems of the configuration, without those that only follow from a slip that Marketo's answers show.

    A mistyped program of a link leaves a qualifier mapping without link; a mistyped lookup field leaves it unfilled.
    """
    unseen = Names(map(str, facts.missing | facts.denied))
    mappings = dict(settings.placed_qualifier_mappings())
    for problem in problems:
        match problem.location:
            case ("qualifier_mappings", int(position), "program_id") if position in mappings and unseen.nearest(
                str(mappings[position].program_id)
            ):
                continue
            case ("lead_sync", "lookup_field") if lookup:
                continue
        yield problem


def _column_notes(settings: Settings) -> Iterator[str]:
    """Texts that could be meant as a JMESPath and are none, so that a column of this name is looked for."""
    mapping = settings.record_mapping
    named = [each.qualifier for each in settings.qualifier_mappings]
    named += [each.record_field for each in settings.field_mappings]
    if isinstance(mapping, CustomMapping):
        named += [mapping.email, mapping.event, mapping.event_name, mapping.marketo_lead_id, mapping.scan_count]
    names = [name for name in dict.fromkeys(named) if name and is_read_as_name(name)]
    if names:
        yield f"Not a valid JMESPath, so read as the name of a column: {listed(names)}."


def _app_address(programs: Iterable[Program]) -> str:
    """Scheme and host of the first program's own address."""
    for program in programs:
        scheme, found, rest = program.url.partition("://")
        host = rest.partition("/")[0].partition("#")[0]
        if found and scheme == "https" and host:
            return f"https://{host}"
    return ""
