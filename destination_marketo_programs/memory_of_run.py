"""What one run has of memory: opened at its beginning, saved at its end."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.memory.keeping import Keeping, day_of
from destination_marketo_programs.memory.recall import Memory
from destination_marketo_programs.storage import StorageError, open_store, reader_for

if TYPE_CHECKING:
    from destination_marketo_programs.delivery.statuses import Statuses
    from destination_marketo_programs.memory.digest import Digest
    from destination_marketo_programs.session import Session

logger = logging.getLogger("airbyte.memory")


class Between:
    """Memory of what earlier syncs sent, for one run; nothing of it unless `lead_sync.send` is `changes`.

    Args:
        session: the run.
        statuses: how statuses compare.
        learns: whether what this run sends is remembered; not in a dry run.
    """

    def __init__(self, session: Session, statuses: Statuses, *, learns: bool) -> None:
        self._session = session
        self._statuses = statuses
        self._learns = learns
        self._keeping: Keeping | None = None
        self._digest: Digest | None = None

    def open(self) -> Memory | None:
        """Read what was sent before, from the configured storage: in a dry run too.

        Returns:
            The memory; None if everything is sent anyway.

        Raises:
            StorageError: the storage cannot be read.
        """
        session, lead_sync = self._session, self._session.settings.lead_sync
        if lead_sync.send != "changes":
            return None
        storage = session.settings.object_storage_config
        store = session.store
        if store.location is None:
            store = open_store(storage, sync_started_at=session.started, run_id=session.run_id)
        self._keeping = Keeping(
            store, reader_for(storage), session.instance, lead_sync.lookup_field, self._statuses.further
        )
        self._digest = self._keeping.load()
        return Memory(
            self._digest,
            self._statuses,
            session.instance,
            day_of(utc_now()),
            lead_sync.send_again_after_days,
            learns=self._learns,
        )

    def close(self) -> None:
        """Save it; everything in it is durable in outcome files, so without its file it is made anew from them."""
        if self._keeping is None or self._digest is None:
            return
        if self._learns:
            programs = {link.program_id for link in self._session.settings.program_links}
            try:
                self._keeping.save(self._digest, programs, self._session.run_id)
            except StorageError as error:
                logger.warning("What was sent could not be noted for the next sync, which reads it anew: %s", error)
        self._digest.close()
