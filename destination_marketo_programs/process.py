"""The process of a command: standard output, logs, signals, exit codes, and an end whatever stands still."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING

from destination_marketo_programs import logs
from destination_marketo_programs.delivery.loop import Terminated
from destination_marketo_programs.failures import TOO_LATE_TO_STOP, Doing, failure_of, stopped_text
from destination_marketo_programs.marketo.errors import StoppedError
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.protocol import Deadline, OutputClosedError, Writer, write_to_descriptor
from destination_marketo_programs.session import Stops
from destination_marketo_programs.signals import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from destination_marketo_programs.people import People

logger = logging.getLogger("airbyte.process")

GARBAGE_THRESHOLD = 50_000
SWITCH_SECONDS = 0.02
"""How long a thread may compute before another one gets its turn (`sys.setswitchinterval`)."""
EXIT_FAILED = 1
_ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's `mallopt`."""
OUTPUT_GRACE_SECONDS = 10.0
"""How long a reader of standard output that takes nothing may hold up the end."""
LAST_SECONDS = 13.0
"""After so long the process ends, whatever stands still; Airbyte and docker kill it after 15 at the earliest."""


def share_one_heap() -> None:
    """Let all threads take memory from one place; to be called before there are any.

    The C library gives each thread a heap of its own, and what one frees another cannot use: a fifth of all memory,
    as records are read in one thread, sent in others and let go of in a third.
    """
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - only `write` needs it

        with contextlib.suppress(AttributeError, OSError):  # another C library than glibc
            ctypes.CDLL(None).mallopt(_ARENA_MAX, 1)


class Process:
    """What a command runs in.

    Args:
        doing: the command, for the texts of failures.
        debug: whether to log more.
        people: makes what speaks to people, given what blanks secrets; None for a command that speaks the protocol.

    Attributes:
        writer: the only way to standard output, in the protocol.
        people: speaks to people; None in the protocol.
        stops: told when the process is asked to end.
    """

    def __init__(
        self, doing: Doing, *, debug: bool = False, people: Callable[[logs.Scrubber], People] | None = None
    ) -> None:
        self._doing = doing
        self._deadline = Deadline()
        self._code = EXIT_FAILED
        self.writer = Writer(write_to_descriptor(1, self._deadline), self._deadline)
        self.scrubber = logs.Scrubber()
        self.stops = Stops()
        self.people = people(self.scrubber) if people is not None else None
        handler: logs.SafeHandler
        if self.people is not None:
            handler = self.people.handler
        else:
            handler = logs.AirbyteLogHandler(self.writer, self.scrubber)
            # Nothing but this writer may reach standard output, whichever library would like to print.
            sys.stdout = sys.stderr
        debug = debug or os.environ.get("LOG_LEVEL", "").upper() in ("DEBUG", "TRACE")
        logs.install(handler, debug=debug)

    def run(self, command: Callable[[Process], None]) -> int:
        """Run a command, and say why it failed if it did.

        Returns:
            The exit code. The caller ends the process with `os._exit`: a worker may still wait for an answer that
            nobody needs, and a normal exit would wait for it.
        """
        # Records on their way hold no cycles; walking them again and again costs a tenth of the run.
        gc.freeze()
        gc.set_threshold(GARBAGE_THRESHOLD, 20, 100)
        # Workers wait for Marketo, and one thread does the rest: taking turns more often only empties its caches.
        sys.setswitchinterval(SWITCH_SECONDS)
        self._watch_for_signals()
        threading.excepthook = self._thread_died
        try:
            return self._run(command)
        except OutputClosedError:
            return self._code

    def _run(self, command: Callable[[Process], None]) -> int:
        try:
            try:
                command(self)
            finally:
                if self.people is not None:
                    self.people.end()
        except OutputClosedError:
            raise
        except (Terminated, StoppedError):
            logger.info(stopped_text(self._doing))
            return self._code
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody hears of it, and the exit code says so
            self._tell(error)
            return self._code if self.stops.asked else EXIT_FAILED
        if self.stops.asked:
            logger.info(TOO_LATE_TO_STOP)
            return self._code
        return 0

    def _tell(self, error: BaseException) -> None:
        failure = failure_of(error, utc_now(), self._doing)
        if self.people is not None:
            logger.debug("The command failed", exc_info=error)
            self.people.failed(str(failure))
            return
        self.writer.message(logs.trace_error(self.scrubber, failure.kind.value, str(failure), error))

    def _watch_for_signals(self) -> None:
        """Let a thread of its own do what a signal asks for.

        A handler runs in the main thread, between two of its steps: a lock that the main thread holds would stand still
        with it, and as long as it is in a system call that does not return, no handler runs at all.
        """
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        for number in EXIT_CODES:
            signal.signal(number, _nothing)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        threading.Thread(target=self._end_when_asked, args=(woken,), name="signals", daemon=True).start()

    def _end_when_asked(self, woken: int) -> None:
        number = 0
        while number not in EXIT_CODES:
            (number,) = os.read(woken, 1)
        self._code = EXIT_CODES[signal.Signals(number)]
        self._deadline.give_up_in(OUTPUT_GRACE_SECONDS)
        threading.Thread(target=self.stops.stop, name="stop", daemon=True).start()
        time.sleep(LAST_SECONDS)
        os._exit(self._code)

    def _thread_died(self, hook: threading.ExceptHookArgs) -> None:
        self._tell(hook.exc_value or hook.exc_type())
        os._exit(EXIT_FAILED)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Keeps a signal from ending the process at once; the thread that watches for it hears of it all the same."""
