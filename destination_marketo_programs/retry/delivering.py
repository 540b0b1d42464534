"""Rejected records through a session, in this process."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.catalog import read_catalog
from destination_marketo_programs.commands import STORAGE_GRACE_SECONDS
from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.delivery.loop import Terminated
from destination_marketo_programs.failures import ConfigurationError, Doing, failure_of
from destination_marketo_programs.hints import explain
from destination_marketo_programs.logs import Scrubber
from destination_marketo_programs.marketo.errors import StoppedError
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.report.output import say
from destination_marketo_programs.report.text import sums
from destination_marketo_programs.session import Stops, open_session
from destination_marketo_programs.summary import Counts, LeadCounts
from destination_marketo_programs.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.delivery.tally import Tally
    from destination_marketo_programs.model import Problem
    from destination_marketo_programs.storage.runs import StreamInfo

EXIT_FAILED = 1
EXIT_STOPPED = 130


def deliver_messages(
    settings: Settings, problems: Sequence[Problem], streams: Iterable[StreamInfo], messages: Iterator[bytes]
) -> int:
    """Deliver RECORD messages of rejected files; each keeps the name that it was rejected under.

    What happened to them is summed up on standard output; the log goes to standard error, and every outcome to the
    configured storage.

    Args:
        settings: the configuration.
        problems: what reading it found.
        streams: those that the messages come from.
        messages: without newline; read in a thread of their own.

    Returns:
        0; 1 if the delivery could not be finished; 130 if it was stopped.
    """
    scrubber = Scrubber()
    scrubber.add(settings.secrets())
    _log_to_stderr(scrubber)
    stops = Stops()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: stops.stop())
    try:
        _deliver(settings, problems, streams, messages, scrubber, stops)
    except (Terminated, StoppedError):
        return EXIT_STOPPED
    except Exception as error:  # noqa: BLE001 - whatever it is, the user is told in words
        reason = str(error) if isinstance(error, ConfigurationError) else str(failure_of(error, utc_now(), Doing.WRITE))
        sys.stderr.write(f"retry: {scrubber.clean(reason)}\n")
        return EXIT_FAILED
    return 0


def _deliver(
    settings: Settings,
    problems: Sequence[Problem],
    streams: Iterable[StreamInfo],
    messages: Iterator[bytes],
    scrubber: Scrubber,
    stops: Stops,
) -> None:
    catalog = read_catalog(catalog_of(streams))
    with open_session(
        settings,
        catalog=catalog,
        stops=stops,
        on_secret=lambda token: scrubber.add([token]),
        keep_names=True,
    ) as session:
        stops.add(lambda: session.store.give_up(STORAGE_GRACE_SECONDS))
        preflight = session.check(problems, raise_transient=True)
        if preflight.problems:
            raise ConfigurationError(preflight.problems)
        feeding = _Feeding(messages)
        tally = session.deliver(preflight, Intake(feeding.descriptor), _discard).tally
        feeding.end()
    say(told(tally))


def told(tally: Tally) -> str:
    """What happened to the records, for people."""
    outcomes = Counts()
    for result, count in tally.by_outcome().items():
        outcomes.add(result, count)
    lines = [f"{counted(tally.records_read, 'record')} sent.", sums(LeadCounts(**tally.leads()), outcomes)]
    for (result, category), count in tally.by_category.most_common():
        lines.append(f"  {result} {count:,}: {explain(category, None).title} ({category})")
    return "\n".join(lines) + "\n"


def catalog_of(streams: Iterable[StreamInfo]) -> dict[str, Any]:
    """A configured catalog of these streams."""
    return {
        "streams": [
            {
                "stream": {
                    "name": stream.name,
                    "namespace": stream.namespace or None,
                    "json_schema": {"type": "object"},
                    "supported_sync_modes": ["full_refresh"],
                },
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append",
                "destination_object_name": stream.destination_object_name or None,
            }
            for stream in streams
        ]
    }


class _Feeding:
    """Writes messages to one end of a pipe, in a thread; `descriptor` is the other."""

    def __init__(self, messages: Iterator[bytes]) -> None:
        self.descriptor, self._end = os.pipe()
        self._messages = messages
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="retry", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Wait until all is written.

        Raises:
            What reading the messages raised: then not all of them were written.
        """
        self._thread.join()
        os.close(self.descriptor)
        if self._error is not None:
            raise self._error

    def _run(self) -> None:
        try:
            with os.fdopen(self._end, "wb") as pipe:
                for message in self._messages:
                    pipe.write(message + b"\n")
        except Exception as error:  # noqa: BLE001 - raised again by `end`
            self._error = error


def _discard(_line: bytes) -> None:
    """No STATE is among the messages."""


def _log_to_stderr(scrubber: Scrubber) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(scrubber))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("airbyte").setLevel(logging.INFO)


class _Formatter(logging.Formatter):
    def __init__(self, scrubber: Scrubber) -> None:
        super().__init__("%(message)s")
        self._scrubber = scrubber

    def format(self, record: logging.LogRecord) -> str:
        return self._scrubber.clean(super().format(record))
