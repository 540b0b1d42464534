"""From a fate to an outcome that is stored, counted and, where rejected, logged. One outcome per record and program."""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.delivery.tally import Tally, count_values
from destination_marketo_programs.hints import hint_text
from destination_marketo_programs.outcomes import Category, Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from destination_marketo_programs.delivery.ledger import Segment
    from destination_marketo_programs.delivery.work import Item
    from destination_marketo_programs.model import Mapped, Target, Verdict
    from destination_marketo_programs.protocol import StreamKey
    from destination_marketo_programs.storage import OutcomeStore

logger = logging.getLogger("airbyte.delivery")

LOGGED_PER_CATEGORY = 100
RETRYABLE = frozenset(
    {
        Category.UNMAPPED_QUALIFIER,
        Category.LEAD_NOT_FOUND,
        Category.DUPLICATE_LEADS,
        Category.PARTITION_DENIED,
        Category.STATUS_NOT_FOUND,
    }
)
"""Categories that are mended in Marketo or in the configuration: the record can be sent again as it is."""
_SAFE_KEY = re.compile(r"[0-9]{1,32}|(?=[0-9A-Za-z_.:-]*[0-9])[0-9A-Za-z_.:-]{1,64}")
_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_TWO_WORDS = re.compile(r"[A-Za-z]{2,}[_.:-]+[A-Za-z]{2,}")
"""As in `ada.lovelace1815`."""


class Done(NamedTuple):
    """A record whose outcomes are all decided, waiting to be durable."""

    segment: Segment
    stream: StreamKey
    rejected: bool


class Recorder:
    """Takes fates, makes outcomes.

    Args:
        store: where outcomes go.
        tally: where they are counted.
        now: the wall clock, in UTC.
        dry_run: whether outcomes say what would have been.

    Attributes:
        on_finished: told each item when its last program has its outcome.
        on_accepted: told what mapping says of each record that arrives.
    """

    def __init__(
        self, store: OutcomeStore, tally: Tally, now: Callable[[], datetime], *, dry_run: bool = False
    ) -> None:
        self.tally = tally
        self._store = store
        self._now = now
        self._dry_run = dry_run
        self._at = ""
        self._done: list[Done] = []
        self._freed_bytes = 0
        self._logged: Counter[str] = Counter()
        self.on_finished: Callable[[Item], None] | None = None
        self.on_accepted: Callable[[Mapped], None] | None = None

    def tick(self) -> None:
        """Renew the time that outcomes carry; called now and then rather than for every record."""
        self._at = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- fates -----------------------------------------------------------------------------------------------

    def accept(self, mapped: Mapped) -> None:
        """Count a record that has arrived."""
        self.tally.records_read += 1
        if mapped.unlinked_event is not None:
            Tally.note_value(self.tally.unlinked_events, mapped.unlinked_event)
        if mapped.unmapped_values:
            count_values(self.tally.unmapped_values, mapped.unmapped_values)
        if self.on_accepted is not None:
            self.on_accepted(mapped)

    def verdicts(
        self, stream: StreamKey, key: str, verdicts: Sequence[Verdict], *, key_is_position: bool
    ) -> list[Outcome]:
        """Outcomes of verdicts that needed no Marketo; returns the rejections among them."""
        rejections = []
        for verdict in verdicts:
            outcome = Outcome(
                stream[1],
                key,
                verdict.event,
                verdict.program_id,
                verdict.program_status,
                Result.REJECTED.value if verdict.rejected else Result.SKIPPED.value,
                category=str(verdict.category),
                message=verdict.message,
                record_key_is_position=key_is_position,
            )
            self._record(outcome)
            if verdict.rejected:
                rejections.append(outcome)
        return rejections

    def finish_without_targets(
        self, segment: Segment, stream: StreamKey, line: bytes, rejections: list[Outcome]
    ) -> None:
        """A record that no program waits for is decided."""
        if rejections:
            self._store.add_rejected(line, rejections)
        self._done.append(Done(segment, stream, bool(rejections)))

    def delivered(self, item: Item, target: Target, lead_id: int, result: str, request_id: str | None) -> None:
        """The membership is as wanted: created, updated, unchanged or imported."""
        code, message = item.note
        self._settle(
            item,
            Outcome(
                item.stream[1],
                item.key,
                target.event,
                target.program_id,
                target.program_status,
                result,
                lead_id or None,
                item.lead_action,
                None,
                code,
                message,
                request_id=request_id,
                record_key_is_position=item.key_is_position,
            ),
        )

    def superseded(self, item: Item, target: Target, lead_id: int, by_status: str) -> None:
        """A higher status for the same lead and program went out in its place."""
        self._settle(
            item,
            Outcome(
                item.stream[1],
                item.key,
                target.event,
                target.program_id,
                target.program_status,
                Result.SKIPPED.value,
                lead_id or None,
                item.lead_action,
                Category.SUPERSEDED.value,
                message=f'The status "{by_status}" {"would be" if self._dry_run else "was"} set in its place.',
                record_key_is_position=item.key_is_position,
            ),
        )

    def rejected(
        self,
        item: Item,
        target: Target,
        category: str,
        code: str | None = None,
        message: str | None = None,
        request_id: str | None = None,
        lead_id: int | None = None,
    ) -> None:
        """This record will not become a member of this program without somebody's help."""
        outcome = Outcome(
            item.stream[1],
            item.key,
            target.event,
            target.program_id,
            target.program_status,
            Result.REJECTED.value,
            lead_id,
            item.lead_action,
            str(category),
            code,
            message,
            request_id=request_id,
            record_key_is_position=item.key_is_position,
        )
        if item.rejections is None:
            item.rejections = []
        item.rejections.append(outcome)
        self._settle(item, outcome)

    def _settle(self, item: Item, outcome: Outcome) -> None:
        self._record(outcome)
        item.open -= 1
        if item.open == 0:
            if item.rejections:
                self._store.add_rejected(item.line, item.rejections)
            self._freed_bytes += item.size()
            self._done.append(Done(item.segment, item.stream, bool(item.rejections)))
            if self.on_finished is not None:
                self.on_finished(item)

    def _record(self, outcome: Outcome) -> None:
        outcome.at = self._at
        if self._dry_run:
            outcome.dry_run = True
        tally = self.tally
        tally.by_program[outcome.program_id, outcome.program_status, outcome.outcome] += 1
        category = outcome.category
        if category is not None:
            outcome.hint = hint_text(category, outcome.code)
            tally.by_category[outcome.outcome, category] += 1
            if outcome.code is not None:
                tally.by_code[category, outcome.code] += 1
            if outcome.outcome == Result.REJECTED:
                outcome.retryable = category in RETRYABLE
                self._log_rejection(outcome, category)
        self._store.add(outcome)

    def _log_rejection(self, outcome: Outcome, category: str) -> None:
        logged = self._logged[category] = self._logged[category] + 1
        if logged > LOGGED_PER_CATEGORY:
            return
        of_status = f', status "{outcome.program_status}"' if outcome.program_status else ""
        of_program = f" for program {outcome.program_id}{of_status}" if outcome.program_id else ""
        code = f" (Marketo code {outcome.code})" if outcome.code else ""
        logger.warning(
            "Rejected: stream %s, record %s%s: %s%s. %s",
            outcome.stream,
            loggable_key(outcome),
            of_program,
            category,
            code,
            outcome.hint,
        )
        if logged == LOGGED_PER_CATEGORY:
            logger.warning(
                "%d rejections of category %s were logged; further ones are only counted.",
                LOGGED_PER_CATEGORY,
                category,
            )

    def take_freed_bytes(self) -> int:
        """Bytes of the records decided since the last call, which are no longer held."""
        freed, self._freed_bytes = self._freed_bytes, 0
        return freed

    # --- durability ------------------------------------------------------------------------------------------

    @property
    def undurable(self) -> int:
        """Decided records that wait to be durable."""
        return len(self._done)

    def commit(self) -> list[Done]:
        """Make every outcome so far durable; returns the records that this settles.

        Raises:
            StorageError: nothing may be acknowledged.
        """
        self._store.commit()
        done, self._done = self._done, []
        self.tally.records_settled += len(done)
        self.tally.records_rejected += sum(record.rejected for record in done)
        return done


def loggable_key(outcome: Outcome) -> str:
    """A record key as a log may show it: numbers and ids, but no key that could be a name or an address."""
    key = outcome.record_key
    if outcome.record_key_is_position:
        return f"number {key}"
    shown = _SAFE_KEY.fullmatch(key) and (_UUID.fullmatch(key) or not _TWO_WORDS.search(key))
    return key if shown else "(key not shown: it may name a person)"
