"""Why a command could not be finished: what kind of failure, what happened, and what to do. Each sentence once."""

from __future__ import annotations

import errno
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.delivery.loop import IncompleteRunError
from destination_marketo_programs.imports.jobs import NoSignError, StuckJobError
from destination_marketo_programs.imports.spool import SpoolError
from destination_marketo_programs.marketo.errors import (
    CertificatesError,
    ConfigurationFaultError,
    MarketoError,
    QuotaReachedError,
    UnreachableError,
)
from destination_marketo_programs.marketo.limits import quota_reset_text
from destination_marketo_programs.model import Problem
from destination_marketo_programs.protocol import UndecodableLineError
from destination_marketo_programs.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.delivery.member_calls import ProgramGoneError
    from destination_marketo_programs.delivery.tally import Tally


class Kind(Enum):
    """`failure_type` of a TRACE."""

    CONFIGURATION = "config_error"
    TRANSIENT = "transient_error"
    SYSTEM = "system_error"


class Doing(Enum):
    """What was being done, as far as it changes what there is to do."""

    CHECK = "check"
    WRITE = "write"
    PLAN = "plan"
    RECONCILE = "reconcile"
    RETRY = "retry"


class Failure(NamedTuple):
    """Attributes: what happened, and what to do; whole sentences without person data or secrets."""

    kind: Kind
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.what} {self.fix}".rstrip()


class ConfigurationError(Exception):
    """The configuration, or what it names in Marketo, has mistakes; nothing was written.

    Args:
        problems: all of them.
        passing: whether they may go by themselves, as Marketo's state at the moment is at fault.
    """

    def __init__(self, problems: Sequence[Problem], *, passing: bool = False) -> None:
        self.problems = problems
        self.passing = passing
        super().__init__(problem_text(problems))


class RejectedRecordsError(Exception):
    """`delivery.on_rejected` is `fail_after_sync`, and records were rejected."""


class NeighbourError(Exception):
    """Another sync of the same Marketo instance did not end in time."""


def problem_text(problems: Sequence[Problem]) -> str:
    """All problems in one text."""
    if len(problems) == 1:
        return str(problems[0])
    return f"{len(problems)} problems:\n" + "\n".join(f"{number}. {item}" for number, item in enumerate(problems, 1))


def program_gone(settings: Settings, error: ProgramGoneError) -> Problem:
    """A linked program vanished during the sync."""
    index = next((i for i, link in enumerate(settings.program_links) if link.program_id == error.program_id), 0)
    return Problem(
        ("program_links", index, "program_id"),
        f"Marketo no longer finds program {error.program_id} (code {error.code}).",
        "Check in Marketo if it was deleted or moved to a workspace that the API user cannot see.",
    )


def rejected_text(tally: Tally, *, dry_run: bool) -> str:
    """What `fail_after_sync` says."""
    by_category = sorted(tally.by_category.items())
    counts = ", ".join(f"{category} {count:,}" for (outcome, category), count in by_category if outcome == "rejected")
    of_all = f"{tally.records_rejected:,} of {tally.records_read:,} records"
    if dry_run:
        return (
            f"Dry run: {of_all} would be rejected ({counts}), and delivery.on_rejected is fail_after_sync. Nothing was "
            "written to Marketo."
        )
    return (
        f"Everything was delivered and acknowledged, but {of_all} were rejected ({counts}), and delivery.on_rejected "
        "is fail_after_sync. Look at the rejected records in the storage, fix the causes and send them again."
    )


def stopped_text(doing: Doing) -> str:
    """What is said of a command that was asked to end."""
    rest = {
        Doing.WRITE: " Everything settled so far is acknowledged. The next sync sends the rest again.",
        Doing.RETRY: " Run the command again to send the rest.",
    }
    return f"Stopped on request.{rest.get(doing, '')}"


TOO_LATE_TO_STOP = "The request to stop came when everything was done."


def failure_of(error: BaseException, now: datetime, doing: Doing) -> Failure:
    """What an exception means to whoever ran the command.

    Args:
        error: whatever ended it.
        now: in UTC.
        doing: the command.
    """
    match error:
        case ConfigurationError(passing=False) | RejectedRecordsError():
            return Failure(Kind.CONFIGURATION, str(error))
        case ConfigurationError() | NeighbourError():
            return Failure(Kind.TRANSIENT, str(error))
        case StorageError():
            return Failure(Kind.TRANSIENT if error.transient else Kind.CONFIGURATION, str(error))
        case UndecodableLineError() | IncompleteRunError():
            return Failure(Kind.SYSTEM, str(error))
        case MarketoError():
            return _of_marketo(error, now, doing)
        case SpoolError():
            return Failure(Kind.TRANSIENT, f"{error.strerror}.")
        case OSError():
            reason = error.strerror or type(error).__name__
            full = "Free some space on the machine that runs the sync." if error.errno == errno.ENOSPC else ""
            return Failure(Kind.SYSTEM, f"The operating system refused: {reason}.", full)
        case MemoryError():
            return Failure(
                Kind.SYSTEM, "The machine ran out of memory.", "Give the connector more memory (256 MB are enough)."
            )
        case _:
            settled = " Every record before the last STATE is settled." if doing is Doing.WRITE else ""
            return Failure(
                Kind.SYSTEM,
                f"An unexpected error occurred ({type(error).__name__}); the stack trace says where.{settled}",
                "Report it to the connector's maintainers.",
            )


def _of_marketo(error: MarketoError, now: datetime, doing: Doing) -> Failure:
    acknowledged = "Everything settled so far is acknowledged. " if doing is Doing.WRITE else ""
    again = {
        Doing.WRITE: "The next sync resumes from the last STATE.",
        Doing.PLAN: "Make the plan again after that.",
        Doing.CHECK: "Test again after that.",
        Doing.RECONCILE: "Run the command again after that.",
        Doing.RETRY: "Run the command again after that.",
    }[doing]
    match error:
        case QuotaReachedError(code="607"):
            return Failure(
                Kind.TRANSIENT,
                f"Marketo's daily API quota is used up (code 607). {acknowledged}".rstrip(),
                f"The quota resets on {quota_reset_text(now)}. {again}",
            )
        case QuotaReachedError():
            return Failure(
                Kind.TRANSIENT,
                f"delivery.daily_call_budget is used up. {acknowledged}".rstrip(),
                f"Marketo's count resets on {quota_reset_text(now)}. {again} Raise delivery.daily_call_budget if "
                "Marketo's daily quota has room.",
            )
        case StuckJobError() | NoSignError():
            return Failure(Kind.TRANSIENT, f"{error}. {acknowledged}".rstrip(), again)
        case UnreachableError():
            return Failure(
                Kind.TRANSIENT,
                f"{error}. Marketo did not give a usable answer within the retry window. {acknowledged}".rstrip(),
                f"{again} See status.adobe.com if it persists.",
            )
        case CertificatesError():
            return Failure(Kind.CONFIGURATION, error.sentence, error.fix)
        case ConfigurationFaultError():
            return Failure(
                Kind.CONFIGURATION,
                f"{error}.",
                "Check client_id, client_secret, the API user's role (Read-Write Person, Read-Only Assets) and the IP "
                "allowlist in Marketo (Admin > Integration > Web Services).",
            )
        case _:
            return Failure(
                Kind.SYSTEM, f"{error}.", "Send this text, with the request id, to the connector's maintainers."
            )
