"""One Marketo instance: its records, clock, tokens, limits, faults, jobs and call log, held together."""

from __future__ import annotations

import threading

from .calls import CallLog
from .clock import Clock
from .exporting import ExportJobs
from .faults import Faults
from .importing import ImportJobs
from .limits import Limits
from .settings import Settings, changed
from .store import Store
from .tokens import Tokens


class Instance:
    """Everything that a call can meet. The server's thread and the test's own both use it."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.faults = Faults()
        self._lock = threading.Lock()
        self._requests = 0
        self.reset()

    def reset(self) -> None:
        """Back to the shipped state: no leads, no calls, no faults, no jobs; settings stay."""
        self.faults.clear()  # lets go whoever is held
        self.faults = Faults()
        self.store = Store(self.clock, self.settings.keep_fields, self.settings.record_activities)
        self.tokens = Tokens(self.clock)
        self.limits = Limits(self.clock)
        self.calls = CallLog(self.settings.calls_kept)
        self.imports = ImportJobs(self.store, self.clock, self.faults, lambda: self.settings)
        self.exports = ExportJobs(self.store, self.clock, lambda: self.settings)

    def advance(self) -> None:
        """Let jobs do what is due by now."""
        self.imports.advance()
        self.exports.advance()

    def change(self, **changes: object) -> None:
        """Replace settings by name.

        Raises:
            msgspec.ValidationError: an unknown name or a value of the wrong type.
        """
        self.settings = changed(self.settings, changes)

    def request_id(self) -> str:
        """A new `requestId`."""
        with self._lock:
            self._requests += 1
            return f"{self._requests:x}#{int(self.clock.now() * 1000):x}"
