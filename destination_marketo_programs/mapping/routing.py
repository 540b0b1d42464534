"""Which program links a record matches, by its stream and event."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from destination_marketo_programs.model import Target
from destination_marketo_programs.text import shareable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from destination_marketo_programs.config import ProgramLink

MOST_CACHED_ROUTES: Final = 10_000
_DECIMAL_OF_WHOLE_NUMBER: Final = re.compile(r"([0-9]+)\.0+", re.ASCII)
_LONGEST_CACHED_TEXT: Final = 256
MOST_NAMED_EVENTS: Final = 1_000
_LONGEST_NAME: Final = 255


class Route(msgspec.Struct, frozen=True, gc=False):
    """The links of one stream and event.

    Attributes:
        event: the record's event as outcomes show it.
        links: in the order of the configuration, each program once.
    """

    event: str | None
    links: tuple[ProgramLink, ...]
    targets: tuple[Target, ...]


class Router:
    """Finds links through an index by event text, and remembers what it found.

    The cache is bounded: a stream with an endless number of events starts it anew, which costs one search
    through the index per event.
    """

    def __init__(self, links: Sequence[ProgramLink]) -> None:
        self._for_every_event: list[tuple[int, ProgramLink]] = []
        self._by_event: dict[str, list[tuple[int, ProgramLink]]] = {}
        for position, link in enumerate(links):
            event = link.event.strip()
            group = self._by_event.setdefault(event, []) if event else self._for_every_event
            group.append((position, link))
        self._routes: dict[tuple[str, str | None, str | None], Route] = {}
        self._names: dict[str, str] = {}
        self._named_once: set[tuple[str, str]] = set()

    @property
    def remembered(self) -> int:
        """Routes that are kept."""
        return len(self._routes)

    @property
    def event_names(self) -> Mapping[str, str]:
        """Names of the events met so far, the first `MOST_NAMED_EVENTS` of them, by their ids (see `_name`)."""
        return self._names

    def route(self, stream: str, event_id: str | None, event_name: str | None) -> Route:
        """Give the route of a record.

        Args:
            stream: name of the record's stream.
            event_id: text without surrounding blanks, None if the record has none.
            event_name: likewise.
        """
        key = (stream, event_id, event_name)
        found = self._routes.get(key)
        if found is None:
            found = self._resolve(stream, event_id, event_name)
            if len(self._routes) >= MOST_CACHED_ROUTES:
                self._routes.clear()
            if self._name(event_id, event_name) and len(event_id or "") + len(event_name or "") <= _LONGEST_CACHED_TEXT:
                self._routes[key] = found
        return found

    def _name(self, event_id: str | None, event_name: str | None) -> bool:
        """Keep an event's name; False if the next record of the event decides whether to.

        Either column may hold people where no event was meant, and both are stored where no person may be. What is
        linked or looks like a code or an option is kept; a long number and any other name have to be shared by two
        records; an address and an id of another form are never kept.
        """
        if event_id is None or not event_name or event_id in self._names or len(self._names) >= MOST_NAMED_EVENTS:
            return True
        pair = (event_id, event_name[:_LONGEST_NAME])
        id_is_open, name_is_open = (text in self._by_event or shareable(text) for text in (event_id, event_name))
        if not (id_is_open or event_id.isdecimal()) or ("@" in event_name and not name_is_open):
            return True
        if (id_is_open and name_is_open) or pair in self._named_once:
            self._names[event_id] = pair[1]
            return True
        if len(self._named_once) >= MOST_NAMED_EVENTS:
            return True
        self._named_once.add(pair)
        return False

    def _resolve(self, stream: str, event_id: str | None, event_name: str | None) -> Route:
        candidates = dict(self._for_every_event)
        for event in (event_id, event_name):
            if event is not None:
                candidates.update(self._by_event.get(event, ()))
                # A cache between source and destination may hand on 4711 as a decimal's text.
                whole = _DECIMAL_OF_WHOLE_NUMBER.fullmatch(event)
                if whole:
                    candidates.update(self._by_event.get(whole[1], ()))
        by_program: dict[int, ProgramLink] = {}
        for position in sorted(candidates):
            link = candidates[position]
            if not link.stream or link.stream == stream:
                by_program.setdefault(link.program_id, link)
        event = event_id if event_id is not None else event_name
        links = tuple(by_program.values())
        return Route(
            event=event,
            links=links,
            targets=tuple(Target(link.program_id, link.program_status, event) for link in links),
        )
