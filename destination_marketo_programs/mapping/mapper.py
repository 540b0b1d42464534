"""The way into this package: one record in, its targets and verdicts out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from destination_marketo_programs.mapping.columns import (
    ABSENT,
    Column,
    Record,
    RecordError,
    columns_of,
    compile_column,
    dict_of,
)
from destination_marketo_programs.mapping.fields import FieldCatalog, field_detail
from destination_marketo_programs.mapping.mobly import lead_view, spellings
from destination_marketo_programs.mapping.person import PersonMapper
from destination_marketo_programs.mapping.qualifiers import QualifierRules, ReadValues
from destination_marketo_programs.mapping.routing import Route, Router
from destination_marketo_programs.mapping.sources import sources_of
from destination_marketo_programs.mapping.values import event_text, key_text, scan_count, shown, text_of
from destination_marketo_programs.model import UNREADABLE, Mapped, Person, Target, Verdict
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable, Mapping

    from destination_marketo_programs.config import ProgramLink, Settings

DELETED_AT: Final = "_ab_cdc_deleted_at"
"""Column that Airbyte's CDC sources fill when the row has been deleted; its other columns may all be null then."""

_RECORD_ID: Final = "id"
_MOBLY_COLUMNS: Final = ("event_id", "event_name", "numberOfScans")
_MOBLY_QUALIFIER: Final = "tags"
_MOST_DETAILED: Final = 20


class RecordMapper(Protocol):
    """What delivery asks of a mapper, whichever kind of stream it is for."""

    @property
    def absent_columns(self) -> tuple[Column, ...]:
        """Columns that decide where records go and that no record had."""

    @property
    def unreadable_ids(self) -> int:
        """Records whose Marketo lead id is not a number."""

    @property
    def event_names(self) -> Mapping[str, str]:
        """Names of events by their ids, as far as records gave both."""

    def map(self, stream: str, data: object) -> Mapped:
        """Say what is to become of one record."""


class Rules(NamedTuple):
    """All that a mapper goes by.

    Attributes:
        router: finds the links of a record.
        qualifiers: find the status.
        people: build the person.
        links: every link that `router` may give.
        event, event_name, scans: columns; None if the records have none.
        status: column with a program status that comes before links and qualifier mappings; None if there is none.
        statuses: program -> the statuses that `status` may name.
        view: makes the record flat; None if it is.
        spellings: top-level columns that `view` may find a column in; None if it finds each in itself alone.
    """

    router: Router
    qualifiers: QualifierRules
    people: PersonMapper
    links: tuple[ProgramLink, ...]
    event: Column | None = None
    event_name: Column | None = None
    scans: Column | None = None
    status: Column | None = None
    statuses: Mapping[int, Container[str]] = {}
    view: Callable[[Record], Record] | None = None
    spellings: Callable[[Iterable[str]], Iterable[str]] | None = None


class RuleMapper:
    """Decides for each record which programs its person is meant for, with which status.

    It does no I/O and keeps nothing of a record but texts in bounded caches. Not for use by several threads at a time.

    Args:
        rules: made once per sync and kind of stream.
        watched: columns to look out for, for `absent_columns`.
        key_columns: further columns to read (`identity.key_columns` of the streams' primary keys); None if
            `data_type` is not used.

    Attributes:
        data_type: what a record's data may be read as (see `protocol.line_parser`): with all columns that the rules
            look at, and the key columns.
    """

    data_type: Any = Any

    def __init__(
        self, rules: Rules, watched: tuple[Column, ...] = (), key_columns: Iterable[str] | None = None
    ) -> None:
        self._rules = rules
        self._people = rules.people
        self._view, self._event, self._event_name = rules.view, rules.event, rules.event_name
        self._route = rules.router.route
        # Links that need nothing but the event are the common case: their targets are made once per event.
        self._only_routes = rules.status is None and not any(
            link.lead_scan_threshold > 0 or rules.qualifiers.concern(link.program_id) for link in rules.links
        )
        self._unseen = watched
        self._records = 0
        if key_columns is not None:
            self.data_type = self._type_of_data(frozenset(key_columns))

    def _type_of_data(self, key_columns: frozenset[str]) -> Any:
        rules = self._rules
        qualifiers = rules.qualifiers.columns_for(link.program_id for link in rules.links)
        mine = columns_of([rules.event, rules.event_name, rules.scans, rules.status, *qualifiers])
        theirs = self._people.columns
        if mine is None or theirs is None:
            return Any
        named = mine | theirs | {_RECORD_ID}
        found = named if rules.spellings is None else frozenset(rules.spellings(named))
        return dict_of(sorted(found | key_columns | {DELETED_AT}))

    @property
    def absent_columns(self) -> tuple[Column, ...]:
        """Columns that decide where records go and that no record had; none before the first record."""
        return self._unseen if self._records else ()

    @property
    def unreadable_ids(self) -> int:
        """Records so far whose Marketo lead id is not a number; they are delivered by their lookup value."""
        return self._people.unreadable_ids

    @property
    def event_names(self) -> Mapping[str, str]:
        """Names of events by their ids, as far as records gave both."""
        return self._rules.router.event_names

    def map(self, stream: str, data: object) -> Mapped:
        """Say what is to become of one record.

        Args:
            stream: name of the record's stream.
            data: the record's `data` as it came, or as `data_type`; anything but an object is a rejection.
        """
        if not isinstance(data, dict):
            message = "The record's data is not an object."
            return Mapped(None, [], [Verdict(True, Category.INVALID_RECORD, message=message)], None)
        record = data if self._view is None else self._view(data)
        if self._unseen:
            self._watch(record)
        record_id = key_text(record.get(_RECORD_ID))
        deleted = DELETED_AT in data and data[DELETED_AT] not in (None, "")
        try:
            route = self._route(
                stream,
                None if self._event is None else _event_text(self._event, record),
                None if self._event_name is None else _event_text(self._event_name, record),
            )
        except RecordError as error:
            verdict = (
                _deleted() if deleted else Verdict(True, error.category, message=error.message, detail=error.detail)
            )
            return Mapped(None, [], [verdict], record_id)
        if deleted:
            return Mapped(None, [], [_deleted(target) for target in route.targets] or [_deleted()], record_id)
        if not route.links:
            return _unlinked(route, record_id)
        verdicts: list[Verdict] = []
        unmapped: tuple[str, ...] = ()
        if self._only_routes:
            targets = list(route.targets)
        else:
            targets, verdicts, unmapped = self._decide(route, record)
        person: Person | None = None
        if targets:
            try:
                person = self._people.person(record)
            except RecordError as error:
                verdicts += [_refused(target, error) for target in targets]
                targets = []
        return Mapped(person, targets, verdicts, record_id, None, unmapped)

    def _watch(self, record: Record) -> None:
        self._records += 1
        self._unseen = tuple(column for column in self._unseen if not _has(column, record))

    def _decide(self, route: Route, record: Record) -> tuple[list[Target], list[Verdict], tuple[str, ...]]:
        """Apply threshold, the record's own status and qualifiers to each link of the route, in this order."""
        targets: list[Target] = []
        verdicts: list[Verdict] = []
        unmapped: dict[str, None] = {}
        values: ReadValues = {}
        for link, default in zip(route.links, route.targets, strict=True):
            try:
                decided = (
                    self._below_threshold(link, default, record)
                    or self._own_status(default, record)
                    or self._by_qualifier(link, default, record, values, unmapped)
                )
            except RecordError as error:
                decided = _refused(default, error)
            if isinstance(decided, Verdict) and decided.rejected and (excluded := self._people.excluded(record)):
                decided = _refused(default, excluded)  # whom nobody wants delivered, nobody has to correct
            if isinstance(decided, Target):
                targets.append(decided)
            else:
                verdicts.append(decided)
        return targets, verdicts, tuple(unmapped)

    def _below_threshold(self, link: ProgramLink, default: Target, record: Record) -> Verdict | None:
        threshold = link.lead_scan_threshold
        if threshold <= 0:
            return None
        scans = 0 if self._rules.scans is None else scan_count(self._rules.scans.read(record))
        if scans >= threshold:
            return None
        message = f"Fewer scans than the link's lead_scan_threshold of {threshold}."
        return _skipped(default, Category.BELOW_SCAN_THRESHOLD, message, {"scans": scans, "threshold": threshold})

    def _own_status(self, default: Target, record: Record) -> Target | Verdict | None:
        column = self._rules.status
        if column is None:
            return None
        value = column.read(record)
        if value is None or value is ABSENT:
            return None
        status = (text_of(value) or "").strip()
        if not status and isinstance(value, str):
            return None
        if status in self._rules.statuses.get(default.program_id, ()):
            return Target(default.program_id, status, default.event)
        return Verdict(
            True,
            Category.STATUS_NOT_FOUND,
            default.program_id,
            None,  # the link's own status is not what could not be found
            default.event,
            f"The record's {column.name} is not a status of the program.",
            field_detail(column.name, value),
        )

    def _by_qualifier(
        self, link: ProgramLink, default: Target, record: Record, values: ReadValues, unmapped: dict[str, None]
    ) -> Target | Verdict:
        qualifiers = self._rules.qualifiers
        if not qualifiers.concern(link.program_id):
            return default
        status = qualifiers.status(link.program_id, record, values)
        if status is not None:
            return Target(link.program_id, status, default.event)
        found = qualifiers.unmapped(link.program_id, record)
        values_shown = [shown(value) for value in found.values[:_MOST_DETAILED]]
        unmapped.update(dict.fromkeys(values_shown))
        if link.unmapped_qualifier == "use_program_status":
            return default
        return Verdict(
            link.unmapped_qualifier == "reject",
            Category.UNMAPPED_QUALIFIER,
            link.program_id,
            link.program_status,
            default.event,
            "No entry of qualifier_mappings applies to the record's qualifier values.",
            {"qualifier": found.qualifier, "values": values_shown},
        )


class Mapper(RuleMapper):
    """The mapper of ordinary streams: columns are found as `record_mapping` and `field_mappings` say.

    Args:
        settings: the parsed configuration.
        fields: what Marketo says of its fields; without it values are sent as they are.
        key_columns: further columns to read (`identity.key_columns` of the streams' primary keys).

    Attributes:
        dropped_defaults: fields that the mobly mapping would fill, left out as Marketo does not list them as writable.
    """

    def __init__(self, settings: Settings, fields: FieldCatalog | None = None, key_columns: Iterable[str] = ()) -> None:
        mapping = settings.record_mapping
        is_mobly = mapping.mapping_type == "mobly"
        if mapping.mapping_type == "custom":
            names = (mapping.event, mapping.event_name, mapping.scan_count)
        else:
            names = _MOBLY_COLUMNS
        event, event_name, scans = (
            compile_column(name, f"record_mapping.{key}") if name else None
            for key, name in zip(("event", "event_name", "scan_count"), names, strict=True)
        )
        catalog = fields or FieldCatalog()
        sources = sources_of(settings, catalog)
        self.dropped_defaults = sources.dropped_defaults
        rules = Rules(
            Router(settings.program_links),
            QualifierRules(settings.qualifier_mappings, blank_means=_MOBLY_QUALIFIER if is_mobly else None),
            PersonMapper(sources.fields, settings.lead_sync, catalog, sources.marketo_id),
            settings.program_links,
            event,
            event_name,
            scans,
            view=lead_view if is_mobly else None,
            spellings=spellings if is_mobly else None,
        )
        super().__init__(rules, watched_columns(rules, settings), key_columns)


def watched_columns(rules: Rules, settings: Settings) -> tuple[Column, ...]:
    """The columns without which the settings cannot mean what they say.

    Not watched is what no link asks for, and an event column that a link can do without: a blank event takes every
    record, and of `event` and `event_name` one may be left at its default.
    """
    links = rules.links
    found: list[Column | None] = []
    if any(link.event for link in links):
        mapping = settings.record_mapping
        if mapping.mapping_type == "custom":
            by_default = "event" not in mapping.model_fields_set and rules.event_name is not None
            found += [None if by_default else rules.event, rules.event_name]
        else:
            found.append(Column("event_id", "", _either(rules.event, rules.event_name), "record_mapping"))
    if any(link.lead_scan_threshold > 0 for link in links):
        found.append(rules.scans)
    found += rules.qualifiers.columns_for(dict.fromkeys(link.program_id for link in links))
    found.append(rules.people.lookup_column)
    return tuple({column.name: column for column in found if column is not None}.values())


def _either(*columns: Column | None) -> Callable[[Record], Any]:
    def read(record: Record) -> Any:
        return next((True for column in columns if column is not None and _has(column, record)), ABSENT)

    return read


def _has(column: Column, record: Record) -> bool:
    """Whether the record has the column at all, be its value null; of a JMESPath, whether it finds anything."""
    if column.name in record:
        return True
    try:
        value = column.read(record)
    except RecordError:
        return True
    return value is not ABSENT and value is not None


def _event_text(column: Column, record: Record) -> str | None:
    """The record's event id or name without surrounding blanks; None if it has none."""
    value = record.get(column.name) if column.reader is None else column.reader(record)
    if value is UNREADABLE:
        raise column.unreadable()
    return event_text(value)


def _unlinked(route: Route, record_id: str | None) -> Mapped:
    verdict = Verdict(
        False,
        Category.NO_PROGRAM_LINK,
        event=route.event,
        message="No entry of program_links matches the record's event and stream.",
    )
    return Mapped(None, [], [verdict], record_id, None if route.event is None else shown(route.event))


def _deleted(target: Target | None = None) -> Verdict:
    message = "The source has deleted the record."
    detail = {"field": DELETED_AT}
    if target is None:
        return Verdict(False, Category.DELETED_IN_SOURCE, message=message, detail=detail)
    return _skipped(target, Category.DELETED_IN_SOURCE, message, detail)


def _skipped(target: Target, category: Category, message: str, detail: dict[str, Any]) -> Verdict:
    return Verdict(False, category, target.program_id, target.program_status, target.event, message, detail)


def _refused(target: Target, error: RecordError) -> Verdict:
    return Verdict(
        error.rejected,
        error.category,
        target.program_id,
        target.program_status,
        target.event,
        error.message,
        error.detail,
    )
