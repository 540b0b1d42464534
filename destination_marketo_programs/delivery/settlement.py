"""From a result to an outcome that is counted, stored and, if rejected, logged. One outcome per record and program."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import UNSET, UnsetType

from destination_marketo_programs.delivery.blame import refused_value
from destination_marketo_programs.delivery.entry import Best
from destination_marketo_programs.delivery.lead_rows import MATCHED, REMEMBERED
from destination_marketo_programs.hints import hint_text
from destination_marketo_programs.outcomes import Category, Outcome, Refusal, Result, record_ref

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from destination_marketo_programs.delivery.entry import Entry, Holding
    from destination_marketo_programs.delivery.ledger import Segment
    from destination_marketo_programs.delivery.tally import Tally
    from destination_marketo_programs.model import Target, Verdict
    from destination_marketo_programs.outcomes import Detail
    from destination_marketo_programs.protocol import StreamKey
    from destination_marketo_programs.storage import OutcomeStore

rejections_log = logging.getLogger("airbyte.rejections")

NOBODY_FOUND = "Marketo has nobody with this ID or lookup value."
SEVERAL_FOUND = "Several people in Marketo match; the most recently updated one is used."
LOGGED_PER_CATEGORY = 100
_UNCHANGED, _BEST_DELIVERED = Result.UNCHANGED, Best.DELIVERED  # for each record: members of an Enum are slow to find
RETRYABLE = frozenset(
    {
        Category.UNMAPPED_QUALIFIER,
        Category.LEAD_NOT_FOUND,
        Category.DUPLICATE_LEADS,
        Category.PARTITION_DENIED,
        Category.STATUS_NOT_FOUND,
    }
)
"""Categories that are fixed in Marketo or in the configuration: the record can be sent again as it is."""


class Done(msgspec.Struct, gc=False):
    """A record whose outcomes are all decided, waiting to be durable."""

    ticket: Segment
    stream: StreamKey
    rejected: bool


class Learning(Protocol):
    """Told what was sent, and remembers it until another sync."""

    def sent(self, entry: Entry, target: Target, lead_id: int | None, result: Result) -> dict[str, str] | None:
        """Fingerprints of what the record says, to be stored with its outcome; None if nothing is remembered."""

    def closed(self, entry: Entry) -> None:
        """Every program of this record has its outcome."""

    def durable(self) -> None:
        """Everything told so far is stored."""


class Settlement:
    """Takes results, makes outcomes.

    Args:
        store: where outcomes go.
        tally: where they are counted.
        holding: lets go of records that are settled.
        now: the wall clock, in UTC.
        dry_run: whether outcomes say what would have been.
        on_settled: told each entry when its last program has its outcome.
        memory: told what was delivered.
        count_by_state: whether tickets count outcomes, for the STATE that speaks for their records.
    """

    def __init__(
        self,
        store: OutcomeStore,
        tally: Tally,
        holding: Holding,
        now: Callable[[], datetime],
        *,
        dry_run: bool = False,
        on_settled: Callable[[Entry], None] | None = None,
        memory: Learning | None = None,
        count_by_state: bool = False,
    ) -> None:
        self.tally = tally
        self._store = store
        # For a store that keeps none they are counted, and made only if somebody has to be told of them.
        self._stored = store.takes_outcomes
        self.holding = holding
        self._now = now
        self._dry_run = dry_run
        self._on_settled = on_settled
        self._memory = memory
        self._count_by_state = count_by_state
        self._at = ""
        self._done: list[Done] = []
        self._logged: Counter[Category] = Counter()

    def tick(self) -> None:
        """Renew the time that outcomes carry; called now and then rather than for every record."""
        self._at = self._now().strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- results ---------------------------------------------------------------------------------------------

    def decide(
        self, ticket: Segment, stream: StreamKey, key: str, verdicts: Sequence[Verdict], *, key_is_position: bool
    ) -> list[Outcome]:
        """Outcomes that needed no Marketo; returns the rejections among them."""
        rejections = []
        for verdict in verdicts:
            outcome = Outcome(
                stream[1],
                key,
                verdict.event,
                verdict.program_id,
                verdict.program_status,
                Result.REJECTED if verdict.rejected else Result.SKIPPED,
                namespace=stream[0] or UNSET,
                record_key_is_position=key_is_position or UNSET,
            )
            self._refuse(ticket, stream, outcome, verdict.refusal)
            if verdict.rejected:
                rejections.append(outcome)
        return rejections

    def finish_without_targets(
        self, ticket: Segment, stream: StreamKey, line: bytes, rejections: list[Outcome]
    ) -> None:
        """A record that no program waits for is decided."""
        if rejections:
            self._store.add_rejected(line, rejections)
        self._done.append(Done(ticket, stream, bool(rejections)))

    def deliver(
        self,
        entry: Entry,
        target: Target,
        lead_id: int | None,
        result: Result,
        request_id: str | None,
        *,
        lookup_value: str | int | UnsetType = UNSET,
        before: str | UnsetType | None = UNSET,
        message: str | None = None,
    ) -> None:
        """The membership is as wanted: created, updated, unchanged or imported.

        Args:
            entry: the record.
            target: the program and status.
            lead_id: the lead; None if Marketo did not say.
            result: what happened to the membership.
            request_id: of the call that decided.
            lookup_value: what finds the person, if `lead_id` does not.
            before: of a dry run, the status before.
            message: what is to be said of the membership.
        """
        self.tally.count(target.program_id, target.program_status, result)
        if self._count_by_state:
            entry.ticket.count(entry.stream, result)
        if result is not _UNCHANGED:
            entry.best = _BEST_DELIVERED
        elif entry.best is Best.SKIPPED:
            entry.best = Best.UNCHANGED
        if self._stored:
            outcome = self._outcome(entry, target, result, lead_id)
            outcome.request_id, outcome.detail = request_id, entry.detail
            outcome.code, outcome.message = entry.note or (None, message or _said_of(entry.detail))
            outcome.lookup_value, outcome.from_status = lookup_value, before
            if self._memory is not None:
                outcome.sent = self._memory.sent(entry, target, lead_id, result) or UNSET
            self._store.add(outcome)
        self._close(entry)

    def remember(self, entry: Entry, target: Target, lead_id: int | None) -> None:
        """Nothing new is said of this record and program: nothing was sent, unless fields of the lead were."""
        action = entry.lead_action
        if action is None or action == MATCHED:
            self.tally.remembered += 1
            entry.lead_action = REMEMBERED
        self.deliver(entry, target, lead_id, Result.UNCHANGED, None)
        entry.lead_action = action

    def supersede(self, entry: Entry, target: Target, lead_id: int | None, by_status: str | None) -> None:
        """Another status for the same lead and program, one that counts for more, is sent in its place.

        Args:
            entry: the record.
            target: what it was meant for.
            lead_id: the lead; None if it is not known.
            by_status: the other status; None if it was sent earlier in this run.
        """
        name = "Another status that counts for more" if by_status is None else f'The status "{by_status}"'
        message = f"{name} {'would be' if self._dry_run else 'was'} set in its place."
        outcome = self._outcome(entry, target, Result.SKIPPED, lead_id)
        if self._memory is not None:
            outcome.sent = self._memory.sent(entry, target, lead_id, Result.SKIPPED) or UNSET
        self._refuse(entry.ticket, entry.stream, outcome, Refusal(Category.SUPERSEDED, None, message))
        self._close(entry)

    def reject(self, entry: Entry, target: Target, refusal: Refusal, lead_id: int | None = None) -> None:
        """This record will not become a member of this program without somebody's help."""
        if refusal.category is Category.FIELD_INVALID and refusal.detail is None and refusal.message:
            refusal = refusal._replace(detail=refused_value(entry.whole or entry.person, refusal.message))
        outcome = self._outcome(entry, target, Result.REJECTED, lead_id)
        if lead_id is None and refusal.category is Category.LEAD_NOT_FOUND:
            # An id on the record was taken for a lead until Marketo denied it.
            outcome.lead_action = None
            refusal = refusal._replace(message=refusal.message or NOBODY_FOUND)
        self._refuse(entry.ticket, entry.stream, outcome, refusal)
        if entry.rejections is None:
            entry.rejections = []
        entry.rejections.append(outcome)
        self._close(entry)

    def _outcome(self, entry: Entry, target: Target, result: Result, lead_id: int | None) -> Outcome:
        stream = entry.stream
        return Outcome(
            stream[1],
            entry.key,
            target.event,
            target.program_id,
            target.program_status,
            result,
            # A dry run counts people who do not exist yet downwards from -1.
            lead_id if lead_id and lead_id > 0 else None,
            entry.lead_action,
            at=self._at,
            record_ref=record_ref(stream[0], stream[1], entry.key),
            namespace=stream[0] or UNSET,
            dry_run=self._dry_run or UNSET,
            record_key_is_position=entry.key_is_position or UNSET,
        )

    def _refuse(self, ticket: Segment, stream: StreamKey, outcome: Outcome, refusal: Refusal) -> None:
        """Count, log and store an outcome that has a category."""
        category, code, message, request_id, detail = refusal
        outcome.category, outcome.code, outcome.message = category, code, message
        outcome.request_id, outcome.detail = request_id, detail
        outcome.hint = hint_text(category, code)
        outcome.at = self._at
        outcome.dry_run = self._dry_run or UNSET
        if not outcome.record_ref:
            outcome.record_ref = record_ref(outcome.namespace or "", outcome.stream, outcome.record_key)
        if self._count_by_state:
            ticket.count(stream, outcome.outcome)
        self.tally.count(outcome.program_id, outcome.program_status, outcome.outcome)
        self.tally.count_refusal(outcome.outcome, category, code, detail)
        if outcome.outcome is Result.REJECTED:
            outcome.retryable = category in RETRYABLE
            self._log_rejection(outcome, category)
        self._store.add(outcome)

    def _close(self, entry: Entry) -> None:
        entry.open -= 1
        if entry.open:
            return
        if entry.rejections:
            self._store.add_rejected(entry.line, entry.rejections)
        elif entry.best is _BEST_DELIVERED:
            self.tally.leads_delivered += 1
        elif entry.best is Best.UNCHANGED:
            self.tally.leads_unchanged += 1
        self.holding.drop(entry)
        if self._memory is not None:
            self._memory.closed(entry)
        self._done.append(Done(entry.ticket, entry.stream, bool(entry.rejections)))
        if self._on_settled is not None:
            self._on_settled(entry)

    def _log_rejection(self, outcome: Outcome, category: Category) -> None:
        logged = self._logged[category] = self._logged[category] + 1
        if logged > LOGGED_PER_CATEGORY:
            return
        of_status = f', status "{outcome.program_status}"' if outcome.program_status else ""
        of_program = f" for program {outcome.program_id}{of_status}" if outcome.program_id else ""
        code = f" (Marketo code {outcome.code})" if outcome.code else ""
        rejections_log.warning(
            "Rejected: record %s%s%s: %s%s. %s",
            outcome.record_ref,
            f" (number {outcome.record_key} of its stream)" if outcome.record_key_is_position is True else "",
            of_program,
            category,
            code,
            outcome.hint,
        )
        if logged == LOGGED_PER_CATEGORY:
            rejections_log.warning(
                "%d rejections of category %s were logged; further ones are only counted.",
                LOGGED_PER_CATEGORY,
                category,
            )

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
        if self._memory is not None:
            self._memory.durable()
        done, self._done = self._done, []
        self.tally.records_settled += len(done)
        self.tally.records_rejected += sum([record.rejected for record in done])
        return done


def _said_of(detail: Detail | None) -> str | None:
    return SEVERAL_FOUND if detail and "lead_ids" in detail else None
