"""Signals that ask a process to end, and the exit codes that tell whoever started it."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

EXIT_CODES = {signal.SIGTERM: 143, signal.SIGINT: 130}
"""128 and the signal's number, as shells have it."""


class StopSignals:
    """For a command that ends in its own time once it is asked to.

    Attributes:
        exit_code: of the signal that came last; that of SIGINT before.
    """

    def __init__(self) -> None:
        self.exit_code = EXIT_CODES[signal.SIGINT]

    def watch(self, stop: Callable[[], None]) -> None:
        """Call `stop` when a signal asks the process to end, from now on; only the main thread may do this."""

        def end(number: int, _frame: FrameType | None) -> None:
            self.exit_code = EXIT_CODES[signal.Signals(number)]
            stop()

        for number in EXIT_CODES:
            signal.signal(number, end)
