"""The door of this room: one record in, its targets and verdicts out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.mapping.columns import Column, Compile, Record, compile_column
from destination_marketo_programs.mapping.errors import RecordError
from destination_marketo_programs.mapping.fields import FieldCatalog
from destination_marketo_programs.mapping.mobly import lead_view
from destination_marketo_programs.mapping.person import PersonMapper
from destination_marketo_programs.mapping.qualifiers import QualifierRules, ReadValues
from destination_marketo_programs.mapping.routing import Route, Router
from destination_marketo_programs.mapping.texts import encodable, key_text, loggable, scan_count, text_of
from destination_marketo_programs.model import Mapped, Person, Target, Verdict
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    from destination_marketo_programs.config import ProgramLink, Settings

OwnStatus = Callable[[int, Record], str | None]
"""Program id and record -> the status that the record itself names for that program; may raise a `RecordError`."""

_MOBLY_COLUMNS = ("event_id", "event_name", "numberOfScans")
_MOBLY_QUALIFIER = "tags"


class Mapper:
    """Decides for each record which programs its person is meant for, with which status.

    It does no I/O and keeps nothing of a record but the event texts in a bounded cache. Made once per sync;
    not for use by several threads at a time.

    Args:
        settings: the parsed configuration.
        fields: what Marketo says of its fields; without it values are sent as they are.
        compiled: makes columns of configured texts.
        own_status: the status that a record itself asks for; it comes before those of links and qualifiers.
    """

    def __init__(
        self,
        settings: Settings,
        fields: FieldCatalog | None = None,
        *,
        compiled: Compile = compile_column,
        own_status: OwnStatus | None = None,
    ) -> None:
        mapping = settings.record_mapping
        is_mobly = mapping.mapping_type == "mobly"
        if mapping.mapping_type == "custom":
            names = (mapping.event, mapping.event_name, mapping.scan_count)
        else:
            names = _MOBLY_COLUMNS
        self._event, self._event_name, self._scans = (
            compiled(name, f"record_mapping.{key}") if name else None
            for key, name in zip(("event", "event_name", "scan_count"), names, strict=True)
        )
        self._is_mobly = is_mobly
        self._router = Router(settings.program_links)
        self._qualifiers = QualifierRules(settings.qualifier_mappings, _MOBLY_QUALIFIER if is_mobly else None, compiled)
        self._own_status = own_status
        # Links that need nothing but the event are the common case: their targets are made once per event.
        self._only_routes = (
            own_status is None
            and not settings.qualifier_mappings
            and all(link.lead_scan_threshold <= 0 for link in settings.program_links)
        )
        self._people = PersonMapper(settings, fields or FieldCatalog(), compiled)

    @property
    def dropped_defaults(self) -> tuple[str, ...]:
        """Fields that the mobly mapping would fill, left out as Marketo does not list them as writable."""
        return self._people.dropped_defaults

    def map(self, stream: str, data: object) -> Mapped:
        """Say what is to become of one record.

        Args:
            stream: name of the record's stream.
            data: the record's `data` as it came; anything but an object is a rejection.
        """
        if not isinstance(data, dict):
            return Mapped(
                None,
                [],
                [Verdict(True, Category.INVALID_RECORD, message="The record's data is no object.")],
                None,
            )
        record = lead_view(data) if self._is_mobly else data
        record_id = key_text(record.get("id"))
        try:
            route = self._router.route(
                stream,
                None if self._event is None else _event_text(self._event, record),
                None if self._event_name is None else _event_text(self._event_name, record),
            )
        except RecordError as error:
            return Mapped(None, [], [Verdict(True, error.category, message=error.message)], record_id)
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

    def _decide(self, route: Route, record: Record) -> tuple[list[Target], list[Verdict], tuple[str, ...]]:
        """Apply threshold and qualifiers to each link of the route, in this order."""
        targets: list[Target] = []
        verdicts: list[Verdict] = []
        unmapped: dict[str, None] = {}
        values: ReadValues = {}
        for link, default in zip(route.links, route.targets, strict=True):
            try:
                if link.lead_scan_threshold > 0 and self._scan_count(record) < link.lead_scan_threshold:
                    verdicts.append(_below_threshold(link, route.event))
                    continue
                status = self._status_of_record(link, record)
                if status is not None:
                    targets.append(Target(link.program_id, status, route.event))
                    continue
                if not self._qualifiers.concern(link.program_id):
                    targets.append(default)
                    continue
                status = self._qualifiers.status(link.program_id, record, values)
            except RecordError as error:
                verdicts.append(_refused(default, error))
                continue
            if status is not None:
                targets.append(Target(link.program_id, status, route.event))
                continue
            unmapped.update(dict.fromkeys(self._qualifiers.unmapped(link.program_id, record)))
            if link.unmapped_qualifier == "use_program_status":
                targets.append(default)
            else:
                verdicts.append(_unmapped(link, route.event))
        return targets, verdicts, tuple(unmapped)

    def _status_of_record(self, link: ProgramLink, record: Record) -> str | None:
        return None if self._own_status is None else self._own_status(link.program_id, record)

    def _scan_count(self, record: Record) -> int:
        return 0 if self._scans is None else scan_count(self._scans.read(record))


def _event_text(column: Column, record: Record) -> str | None:
    """The record's event id or name without surrounding blanks; None where it has none."""
    value: Any = record.get(column.name) if column.reader is None else column.reader(record)
    if value is None:
        return None
    if type(value) is str:
        text = value.strip()
        return (text if text.isascii() else encodable(text)) or None
    return text_of(value)


def _unlinked(route: Route, record_id: str | None) -> Mapped:
    verdict = Verdict(
        False,
        Category.NO_PROGRAM_LINK,
        event=route.event,
        message="No entry of program_links matches the record's event and stream.",
    )
    return Mapped(None, [], [verdict], record_id, None if route.event is None else loggable(route.event))


def _below_threshold(link: ProgramLink, event: str | None) -> Verdict:
    return Verdict(
        False,
        Category.BELOW_SCAN_THRESHOLD,
        link.program_id,
        link.program_status,
        event,
        f"Fewer scans than the link's lead_scan_threshold of {link.lead_scan_threshold}.",
    )


def _unmapped(link: ProgramLink, event: str | None) -> Verdict:
    return Verdict(
        link.unmapped_qualifier == "reject",
        Category.UNMAPPED_QUALIFIER,
        link.program_id,
        link.program_status,
        event,
        "No entry of qualifier_mappings applies to the record's qualifier values.",
    )


def _refused(target: Target, error: RecordError) -> Verdict:
    return Verdict(True, error.category, target.program_id, target.program_status, target.event, error.message)
