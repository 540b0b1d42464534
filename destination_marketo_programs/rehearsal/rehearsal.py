"""The parts with which delivery only looks, put together for one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from destination_marketo_programs.delivery.bulk.rule import bulk_possible
from destination_marketo_programs.outcomes import Outcome, Result
from destination_marketo_programs.rehearsal.files import PlannedFiles
from destination_marketo_programs.rehearsal.forecast import Forecast, Stage, WriteCalls
from destination_marketo_programs.rehearsal.leads import PlannedLeads
from destination_marketo_programs.rehearsal.members import PlannedMembers
from destination_marketo_programs.rehearsal.overlay import Overlay
from destination_marketo_programs.text import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.delivery.lead_writer import LeadPolicy
    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.preflight import Preflight
    from destination_marketo_programs.storage import OutcomeStore

_UNKNOWN_STEP = (
    "The channel no longer has the present status. Marketo does not say whether a member can go on from such a one; "
    "taken that it can."
)
_MEMBERS = frozenset({Result.CREATED, Result.UPDATED, Result.UNCHANGED})


class PlannedOutcome(Outcome, gc=False):
    """What would become of a record, as stored by a dry run and printed by `plan`.

    Attributes:
        from_status: the status that the person has in the program before; None for people who are no members, and
            where no membership was looked at.
    """

    from_status: str | None = None


class Rehearsal:
    """Writers that write nothing, over one overlay.

    Args:
        client: reads; the checks have been made with it, and nothing else yet.
        policy: `lead_sync`.
        preflight: what the checks learned of Marketo.
        method: `delivery.method`, which a write would follow.

    Attributes:
        leads, members: for delivery, in the place of the ones that write.
        files: takes every mapped record; None where everything would go over REST.
    """

    def __init__(self, client: MarketoClient, policy: LeadPolicy, preflight: Preflight, method: str) -> None:
        self._gate = client.gate
        self._steps = preflight.steps
        self._programs = preflight.programs
        self._method = method
        self._overlay = Overlay()
        self._calls = WriteCalls(client.gate.budget.used_now)
        fields = preflight.fields
        self.leads = PlannedLeads(client, policy, self._overlay, fields.lead, self._calls)
        self.members = PlannedMembers(client, self._overlay, preflight.steps, fields.member, self._calls)

        self.files: PlannedFiles | None = None
        if method != "rest" and bulk_possible(policy):
            self.files = PlannedFiles(self._overlay, always=method == "bulk")

    def over(self, store: OutcomeStore) -> OutcomeStore:
        """A store that completes outcomes before it hands them on to `store`."""
        return _CompletingStore(store, self)

    def complete(self, outcome: Outcome) -> PlannedOutcome:
        """An outcome with the status before, and without the id of somebody who does not exist."""
        planned = PlannedOutcome(**msgspec.structs.asdict(outcome))
        lead_id, program_id = outcome.lead_id, outcome.program_id
        if lead_id is None or program_id is None:
            return planned
        if lead_id < 0:
            planned.lead_id = None
        if outcome.outcome in _MEMBERS:
            before = planned.from_status = self._overlay.before(program_id, lead_id)
            is_unknown = before is not None and (program_id, before) not in self._steps
            if is_unknown and outcome.outcome == Result.UPDATED and planned.message is None:
                planned.message = _UNKNOWN_STEP
        return planned

    def forecast(self, calls_per_20_seconds: int) -> Forecast:
        """The cost of a write, as far as the input was read."""
        calls, budget, changes = self._calls, self._gate.budget, self.members.changes
        return Forecast(
            self._overlay.people,
            sum(count for change, count in changes.items() if change.before is None),
            sum(count for change, count in changes.items() if change.before is not None),
            calls.of(Stage.CHECKS),
            calls.of(Stage.PEOPLE),
            calls.of(Stage.MEMBERSHIPS),
            calls_per_20_seconds,
            budget.used_today,
            budget.calls_per_day,
            self.leads.unaskable,
            self._method,
            None if self.files is None else self.files.forecast(),
            {program_id: named(program) for program_id, program in self._programs.items()},
        )

    def close(self) -> None:
        """Let go of the overlay; the rehearsal cannot be used afterwards."""
        self._overlay.close()


class _CompletingStore:
    """`OutcomeStore` around another one."""

    def __init__(self, inner: OutcomeStore, rehearsal: Rehearsal) -> None:
        self._inner = inner
        self._rehearsal = rehearsal

    @property
    def commit_interval_seconds(self) -> float:
        return self._inner.commit_interval_seconds

    @property
    def location(self) -> str | None:
        return self._inner.location

    @property
    def pending_bytes(self) -> int:
        return self._inner.pending_bytes

    def add(self, outcome: Outcome) -> None:
        self._inner.add(self._rehearsal.complete(outcome))

    def add_rejected(self, line: bytes, rejections: Sequence[Outcome]) -> None:
        self._inner.add_rejected(line, rejections)

    def commit(self) -> None:
        self._inner.commit()

    def probe(self) -> None:
        self._inner.probe()

    def close(self) -> None:
        self._inner.close()
