"""How far a command is, as a bar on the terminal; log lines go above it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from destination_marketo_programs.delivery.progress import Watch
from destination_marketo_programs.folding import plain_console
from destination_marketo_programs.logs import to_stderr

if TYPE_CHECKING:
    from destination_marketo_programs.delivery import progress

_SECONDS = 0.2


class Bar:
    """On standard error if that is a terminal, else on standard output; on neither if neither is one.

    Args:
        shown: whether there is one at all; none may be where the answer itself runs down the terminal.
    """

    def __init__(self, *, shown: bool = True) -> None:
        console = plain_console(stderr=True)
        self._log_on_terminal = console.is_terminal
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(16),
            TimeElapsedColumn(),
            console=console if console.is_terminal else plain_console(),
            transient=True,
            # Neither what is asked for nor what is logged may end up in it.
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bar.disable = not (shown and self._bar.console.is_terminal)
        self._task = self._bar.add_task("", total=None)

    def begin(self, text: str) -> None:
        """Say what is being done, as long as it lasts."""
        self._bar.update(self._task, description=text)
        self._bar.start()
        if not self._bar.disable:
            # The process may have to end at once, and would leave the terminal without a cursor.
            self._bar.console.show_cursor(show=True)

    def stop(self) -> None:
        """Take it away."""
        self._bar.stop()

    def log(self, text: str) -> None:
        """Write to standard error; on a terminal in lines that are broken between words, above the bar."""
        if self._log_on_terminal:
            self._bar.console.print(Text(text))
        else:
            to_stderr(text)

    @property
    def watch(self) -> Watch:
        """Who is told how far a delivery is: the bar; without one the log."""
        return Watch() if self._bar.disable else Watch(self._moved, _SECONDS)

    def _moved(self, now: progress.Progress) -> None:
        tally = now.tally
        read, settled = tally.records_read, tally.records_settled
        share = _share_read()
        self._bar.update(
            self._task,
            total=None if share is None else 1.0,
            completed=0.0 if share is None else share * settled / max(read, 1),
            description=f"{read:,} read, {settled:,} settled, {tally.records_rejected:,} rejected",
        )


def _share_read() -> float | None:
    """How much of standard input has been read, from 0 to 1; None if that cannot be known."""
    try:
        found = os.fstat(0)
        if not stat.S_ISREG(found.st_mode):
            return None
        return min(os.lseek(0, 0, os.SEEK_CUR) / max(found.st_size, 1), 1.0)
    except OSError:
        return None
