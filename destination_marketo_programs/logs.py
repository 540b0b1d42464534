"""What leaves the process as LOG and TRACE: Airbyte messages, without secrets and without people.

Nothing in this project puts person data or secrets into a log. This is the second line: secrets that are known and
anything that looks like an address are blanked, whichever library wrote them.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import traceback
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from destination_marketo_programs.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from destination_marketo_programs.protocol import Writer

LEVELS = {
    logging.CRITICAL: "FATAL",
    logging.ERROR: "ERROR",
    logging.WARNING: "WARN",
    logging.INFO: "INFO",
    logging.DEBUG: "DEBUG",
}
_ADDRESS = re.compile(r"""(?:"[^"@\n]{1,64}"|[^\s"'<>,;:=&()][^\s"<>,;:=&()]{0,255})(?:@|%40)[^\s"'<>,;:=&()]+""")
"""Bounded, so that a long text without blanks is not searched from each of its characters to its end."""
SHORTEST_SECRET = 3


class Scrubber:
    """Blanks known secrets and whatever looks like an email address."""

    def __init__(self) -> None:
        self._secrets: tuple[str, ...] = ()

    def add(self, secrets: Iterable[str]) -> None:
        """Learn more secrets; very short ones are left alone, as they would blank half of every text."""
        known = set(self._secrets)
        for secret in secrets:
            if len(secret) >= SHORTEST_SECRET:
                # As it is, and as libraries quote it in addresses and in JSON.
                known |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}
        self._secrets = tuple(sorted(known, key=len, reverse=True))

    def clean(self, text: str) -> str:
        """The text as it may be shown."""
        for secret in self._secrets:
            text = text.replace(secret, "****")
        if "@" in text or "%40" in text:
            text = _ADDRESS.sub("[address]", text)
        # What a source broke in two (lone surrogates) cannot be written as UTF-8.
        return text.encode("utf-8", "backslashreplace").decode("utf-8")


class SafeHandler(logging.Handler):
    """What log records say, as it may be shown; where it is written is up to the class below."""

    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__()
        self._scrubber = scrubber

    def text_of(self, record: logging.LogRecord) -> str:
        """The text of a record; an exception attached to it is shown as type and place only."""
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # A library's format does not fit its arguments: no reason to end a sync.
            text = str(record.msg)
        if record.exc_info and record.exc_info[1] is not None:
            text += "\n" + stack_of(record.exc_info[1])
        return self._scrubber.clean(text)


class AirbyteLogHandler(SafeHandler):
    """Writes log records as Airbyte LOG messages."""

    def __init__(self, writer: Writer, scrubber: Scrubber) -> None:
        super().__init__(scrubber)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        level = LEVELS.get(record.levelno, "INFO")
        self._writer.message({"type": "LOG", "log": {"level": level, "message": self.text_of(record)}})


class LineHandler(SafeHandler):
    """Writes log records for people: what is no more than information, without a word in front.

    Args:
        scrubber: blanks secrets and addresses.
        write: takes a text without line end; on standard error by default.
    """

    def __init__(self, scrubber: Scrubber, write: Callable[[str], None] | None = None) -> None:
        super().__init__(scrubber)
        self._write = write or to_stderr

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        level = record.levelname.capitalize() + ": " if record.levelno >= logging.WARNING else ""
        self._write(level + "\n".join(map(printable, self.text_of(record).split("\n"))))


def to_stderr(text: str) -> None:
    """Write a line to standard error."""
    sys.stderr.write(f"{text}\n")


def stack_of(error: BaseException) -> str:
    """Where an exception came from, without its text: texts of exceptions quote the values they are about."""
    parts: list[str] = []
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        frames = "".join(traceback.format_tb(cause.__traceback__))
        parts.append(f"{frames}{type(cause).__module__}.{type(cause).__qualname__}")
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\ncaused by:\n".join(parts)


def trace_error(
    scrubber: Scrubber, failure_type: str, message: str, error: BaseException | None = None
) -> dict[str, Any]:
    """A TRACE message of type ERROR."""
    internal = "" if error is None else f"{type(error).__module__}.{type(error).__qualname__}"
    details: dict[str, Any] = {
        "message": scrubber.clean(message),
        "internal_message": scrubber.clean(internal or message),
        "failure_type": failure_type,
    }
    if error is not None:
        details["stack_trace"] = scrubber.clean(stack_of(error))
    return {"type": "TRACE", "trace": {"type": "ERROR", "emitted_at": time.time() * 1000.0, "error": details}}


def install(handler: SafeHandler, *, debug: bool = False) -> None:
    """Make every logger of the process write there; libraries speak from WARNING on."""
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
    ours = logging.getLogger("airbyte")
    ours.handlers.clear()
    ours.propagate = True
    ours.setLevel(logging.DEBUG if debug else logging.INFO)
