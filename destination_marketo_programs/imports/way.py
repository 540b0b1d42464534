"""Which way records go: by file, or over REST."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from destination_marketo_programs.imports.files import FilePlanner
from destination_marketo_programs.imports.pace import why_not_by_file
from destination_marketo_programs.imports.spool import SpoolError
from destination_marketo_programs.imports.stage import ImportStage
from destination_marketo_programs.imports.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.delivery.entry import Entry, Holding
    from destination_marketo_programs.delivery.journal import Journal
    from destination_marketo_programs.delivery.leads import Leads
    from destination_marketo_programs.delivery.settlement import Settlement
    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.imports.calls import ImportCalls
    from destination_marketo_programs.imports.pace import ImportPace
    from destination_marketo_programs.model import Mapped
    from destination_marketo_programs.protocol import StreamKey

logger = logging.getLogger("airbyte.imports")


class Way:
    """Decides which way records go, and holds the stage of imports if there is one.

    Args:
        settings: the configuration.
        partitions: lead partitions that the API user sees.
        statuses: how statuses compare.
        map_record: the mapping, to read a person again.
        pace: how often Marketo is asked about jobs.
        clock: monotonic seconds.

    Attributes:
        by_file: whether files may be used.
    """

    def __init__(
        self,
        settings: Settings,
        partitions: int,
        statuses: Statuses,
        map_record: Callable[[StreamKey, object], Mapped],
        pace: ImportPace,
        clock: Callable[[], float],
    ) -> None:
        self._delivery = settings.delivery
        self._obstacle = why_not_by_file(settings, partitions)
        self._statuses = statuses
        self._map_record = map_record
        self._pace = pace
        self._clock = clock
        self._imports: ImportStage | None = None
        self.by_file = self._obstacle is None and self._delivery.method != "rest"

    def open(
        self, calls: ImportCalls, settlement: Settlement, leads: Leads, holding: Holding, journal: Journal
    ) -> ImportStage | None:
        """The stage of imports; None if everything goes over REST.

        Raises:
            SpoolError: nothing can be kept on disk, and only files are wanted.
        """
        if not self.by_file:
            if self._delivery.method == "auto" and self._obstacle is not None:
                logger.info("Everything goes over REST: a bulk import cannot keep what %s asks for.", self._obstacle)
            return None
        only_files = self._delivery.method == "bulk"
        planner = FilePlanner(self._delivery.max_batch_age_seconds, always=only_files)
        try:
            waiting = Waiting(planner, self._map_record, self._statuses, self._clock)
        except SpoolError as error:
            if only_files:
                raise
            logger.warning("%s. Everything goes over REST.", error.strerror)
            return None
        self._imports = ImportStage(
            calls,
            waiting,
            self._statuses,
            settlement,
            leads.accept,
            leads.forget,
            holding,
            journal,
            self._pace,
            self._clock,
            only_files=only_files,
        )
        return self._imports

    def accept(self, entries: Sequence[Entry]) -> list[Entry]:
        """Take what goes by file; returns the rest, which goes over REST."""
        imports = self._imports
        return list(entries) if imports is None else [entry for entry in entries if not imports.accept(entry)]

    def released(self, entry: Entry) -> None:
        """A record is settled that went over REST."""
        if self._imports is not None:
            self._imports.released(entry)

    def close(self) -> None:
        """Forget everything that waits."""
        if self._imports is not None:
            self._imports.close()
