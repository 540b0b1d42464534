"""One bulk extract of program members: queued, waited for with growing pauses, and streamed. The file is never kept."""

from __future__ import annotations

import codecs
import csv
import hashlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.marketo.errors import (
    ConfigurationFaultError,
    ExtractRefusal,
    MarketoError,
    NotFoundError,
    RefusedError,
    StoppedError,
    extract_refusal,
)
from destination_marketo_programs.marketo.extracts import ExtractState
from destination_marketo_programs.reconcile.book import key_of
from destination_marketo_programs.reconcile.found import Extracted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.marketo.extracts import ExtractJob

COLUMNS = ("leadId", "email", "statusName", "membershipDate", "updatedAt")
"""All that is asked for of a member. The email finds the people of imports; nothing else of a person is needed."""

_WHY_NONE = {
    ExtractRefusal.DAILY_QUOTA: "the company's daily export quota of 500 MB is used up (1029)",
    ExtractRefusal.ALREADY_QUEUED: "Marketo says that it is queued already (1029)",
    ExtractRefusal.QUEUE_FULL: "Marketo's export queue is full (1029)",
}

_NO_VALUE = "null"
_ROWS_AT_ONCE = 5_000
_NO_PLACE = "1029"
_REFUSED = (RefusedError, NotFoundError, ConfigurationFaultError)
_ENDED = (ExtractState.FAILED, ExtractState.CANCELLED, "Canceled")


class NoExtractError(Exception):
    """There is no extract to be had: members have to be read by lead id. The text says why, in a sentence."""


class ExtractPace(NamedTuple):
    """Seconds between two questions after a job. Marketo renews the answer once a minute at most.

    An extract of a few rows takes about a minute, one of 100,000 an hour: with these pauses that is 8 questions.

    Attributes:
        growth: factor from one pause to the next.
        patience: after so long in all the job is given up.
    """

    first: float = 10.0
    longest: float = 900.0
    growth: float = 2.5
    patience: float = 4 * 3600.0

    def pauses(self) -> Iterator[float]:
        """The pauses, one before each question."""
        pause, total = self.first, 0.0
        while total < self.patience:
            yield pause
            total += pause
            pause = min(self.longest, pause * self.growth)


class Extraction:
    """Gets extracts and hands their rows on.

    Args:
        marketo: the calls.
        wait: waits some seconds; False if the process is to end meanwhile.
        pace: how often to ask.
        max_bytes: the extracts of this object may hold this much together.
    """

    def __init__(self, marketo: Marketo, wait: Callable[[float], bool], pace: ExtractPace, max_bytes: int) -> None:
        self._marketo = marketo
        self._wait = wait
        self._pace = pace
        self._bytes_left = max_bytes

    def read(
        self,
        programs: Sequence[int],
        take: Callable[[Sequence[Extracted]], None],
        on_state: Callable[[str], None] = lambda _state: None,
    ) -> dict[int, int]:
        """Get one extract.

        Args:
            programs: at most 10.
            take: gets the rows, some thousands at a time; the same ones again if the file has to be fetched twice.
            on_state: told how far the job is.

        Returns:
            How many members each program has.

        Raises:
            NoExtractError: Marketo does not give it, or not whole.
            MarketoError: Marketo cannot be asked at all.
        """
        job = self._finished(programs, on_state)
        if job.size is not None:
            if job.size > self._bytes_left:
                raise NoExtractError("the file is larger than --max-export-mb allows")
            self._bytes_left -= job.size
        on_state("reading the file")
        for _ in range(2):
            counts = self._rows(job, programs, take)
            if counts is not None:
                return counts
        raise NoExtractError("its file is not what Marketo says that it is")

    def _finished(self, programs: Sequence[int], on_state: Callable[[str], None]) -> ExtractJob:
        try:
            job = self._marketo.create_member_extract(programs, COLUMNS)
            job = self._marketo.enqueue_member_extract(job.export_id)
        except MarketoError as error:
            if error.code != _NO_PLACE and not isinstance(error, _REFUSED):
                raise
            raise NoExtractError(refusal_of(error)) from error
        for pause in self._pace.pauses():
            on_state(job.state)
            if not self._wait(pause):
                self._cancel(job)
                raise StoppedError("extract_status", "stop")
            try:
                job = self._marketo.member_extract_status(job.export_id)
            except (RefusedError, NotFoundError) as error:
                raise NoExtractError(refusal_of(error)) from error
            if job.state == ExtractState.COMPLETED:
                return job
            if job.state in _ENDED:
                raise NoExtractError(f"Marketo ended it: {job.state}")
        self._cancel(job)
        raise NoExtractError("Marketo did not finish it in time")

    def _cancel(self, job: ExtractJob) -> None:
        # A job that nobody waits for holds one of the two places that a company has. If Marketo cannot be told, it
        # ends by itself.
        with suppress(MarketoError):
            self._marketo.cancel_member_extract(job.export_id)

    def _rows(
        self, job: ExtractJob, programs: Sequence[int], take: Callable[[Sequence[Extracted]], None]
    ) -> dict[int, int] | None:
        """Hand on the rows; None if the file is not whole."""
        counts = dict.fromkeys(programs, 0)
        hasher = hashlib.sha256()
        batch: list[Extracted] = []
        total = 0
        for row in _read_csv(self._marketo.member_extract_file(job.export_id), programs, hasher.update):
            total += 1
            if row.program not in counts:
                continue
            counts[row.program] += 1
            batch.append(row)
            if len(batch) >= _ROWS_AT_ONCE:
                take(batch)
                batch.clear()
        take(batch)
        checksum = (job.checksum or "").rpartition(":")[2].lower()
        if (checksum and checksum != hasher.hexdigest()) or (job.records is not None and job.records != total):
            return None
        return counts


def refusal_of(error: MarketoError) -> str:
    """Why Marketo gives no extract, in words that fit behind "because"."""
    match error.code:
        case "1029":
            return _WHY_NONE[extract_refusal(error.marketo_message)]
        case "1035":
            return "this subscription does not offer such an extract (1035)"
        case "603":
            return "the API user may not export program members (603)"
    return f"Marketo refuses it ({error.code})"


def _read_csv(chunks: Iterable[bytes], programs: Sequence[int], seen: Callable[[bytes], None]) -> Iterator[Extracted]:
    rows = csv.reader(_lines(chunks, seen))
    # The columns come as asked for, behind the program's id, which Marketo adds by itself. Their names do not help:
    # Marketo's own examples show REST names for some fields and labels, such as "Lead Id", for others.
    width = len(next(rows, []))
    if width not in (len(COLUMNS), len(COLUMNS) + 1) or (width == len(COLUMNS) and len(programs) > 1):
        raise NoExtractError("its file does not have the columns that were asked for")
    for row in rows:
        if len(row) != width:
            raise NoExtractError("a line of its file is not whole")
        number, email, status, since, updated = row[-len(COLUMNS) :]
        program_id = row[0] if width > len(COLUMNS) else str(programs[0])
        if not (number.isascii() and number.isdigit() and program_id.isascii() and program_id.isdigit()):
            raise NoExtractError("a line of its file does not name a lead and a program")
        found = _value(email)
        yield Extracted(
            int(program_id),
            int(number),
            _value(status),
            _value(since),
            _value(updated),
            key_of(found) if found else None,
        )


def _value(cell: str) -> str:
    return "" if cell == _NO_VALUE else cell


def _lines(chunks: Iterable[bytes], seen: Callable[[bytes], None]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    rest = ""
    for chunk in chunks:
        seen(chunk)
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        for line in lines:
            yield line + "\n"
    rest += decoder.decode(b"", final=True)
    if rest:
        yield rest
