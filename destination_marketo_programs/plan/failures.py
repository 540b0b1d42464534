"""Why a plan could not be finished, and what to do: for people, on one line or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.delivery.member_writer import ProgramGoneError
from destination_marketo_programs.marketo.errors import (
    ConfigurationFaultError,
    MarketoError,
    QuotaReachedError,
    UnreachableError,
)
from destination_marketo_programs.marketo.limits import quota_reset_text
from destination_marketo_programs.protocol import UndecodableLineError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from destination_marketo_programs.model import Problem


def problems_text(problems: Sequence[Problem]) -> str:
    """All problems that the checks have found."""
    count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
    lines = [f"The checks found {count}; a sync would not begin."]
    lines += [f"{number}. {problem}" for number, problem in enumerate(problems, 1)]
    return "\n".join(lines)


def failure_text(error: MarketoError | UndecodableLineError | OSError, now: datetime) -> str:
    """Why a run ended early; never holds a record's content. `now` is in UTC."""
    match error:
        case UndecodableLineError():
            return (
                f"Line {error.line_number} of the input is no Airbyte message. Nothing after it was read. Look at what "
                "the source writes to its standard output at this line."
            )
        case QuotaReachedError(code="607"):
            return (
                "Marketo takes no more calls today: the daily quota of all integrations is used up (code 607). It "
                f"resets on {quota_reset_text(now)}; make the plan again after that."
            )
        case QuotaReachedError():
            return (
                "delivery.daily_call_budget is used up, and a plan needs calls as well. Raise it for the plan, or make "
                f"the plan again after {quota_reset_text(now)}."
            )
        case ProgramGoneError():
            return f"Marketo no longer finds program {error.program_id}. Check whether it was deleted just now."
        case UnreachableError():
            return f"{error}. Marketo did not answer usefully. See status.adobe.com, and make the plan again later."
        case ConfigurationFaultError():
            return (
                f"{error}. Check client_id, client_secret, the API user's role (Read-Write Person, Read-Only Assets) "
                "and the IP allowlist in Marketo (Admin > Integration > Web Services)."
            )
        case MarketoError():
            return f"{error}. Send this text, with the request id, to the connector's maintainers."
        case OSError():
            return f"The operating system refused: {error.strerror or type(error).__name__}."
