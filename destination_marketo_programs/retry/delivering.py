"""Rejected records through a session, in this process."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from destination_marketo_programs.catalog import read_catalog
from destination_marketo_programs.commands import deliver, pass_over, speaker
from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.failures import Doing
from destination_marketo_programs.process import Process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.model import Problem
    from destination_marketo_programs.storage.runs import StreamInfo


def deliver_messages(
    settings: Settings,
    problems: Sequence[Problem],
    streams: Iterable[StreamInfo],
    messages: Iterator[bytes],
    config: str,
) -> int:
    """Deliver RECORD messages of rejected files; each keeps the name that it was rejected under.

    What happened to them is summed up on standard output; log and progress go to standard error, and every outcome to
    the configured storage.

    Args:
        settings: the configuration.
        problems: what reading it found.
        streams: those that the messages come from.
        messages: without newline; read in a thread of their own.
        config: path of the configuration.

    Returns:
        0; 1 if the delivery could not be finished; 130 or 143 if it was stopped.
    """
    catalog = read_catalog(catalog_of(streams))

    def command(process: Process) -> None:
        process.scrubber.add(settings.secrets())
        feeding = _Feeding(messages)
        deliver(
            settings,
            problems,
            catalog,
            Intake(feeding.descriptor),
            pass_over,
            process.scrubber,
            process.stops,
            process.people,
            keep_names=True,
        )
        feeding.end()

    return Process(Doing.RETRY, people=speaker("retry", config)).run(command)


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
