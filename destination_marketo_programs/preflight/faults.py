"""Failed calls of the checks as problems: what Marketo would not answer, why, and who can change it."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.errors import (
    RESPONSE_CODES,
    BadCredentialsError,
    CertificatesError,
    MarketoError,
    QuotaReachedError,
    UnreachableError,
)
from destination_marketo_programs.marketo.limits import quota_reset_text
from destination_marketo_programs.model import Problem
from destination_marketo_programs.text import joined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

OWN_BUDGET = "daily_call_budget"
"""Code of a `QuotaReachedError` that our own budget has raised."""

DENIED_CODES = ("603", "HTTP 403")
_CREDENTIAL_CODES = ("HTTP 200", "HTTP 400", "HTTP 401", "HTTP 403")

_ROLE = "In Marketo open Admin > Security > Users & Roles > Roles, and under Access API give the API user's role"
_ALLOWLIST = "Admin > Integration > Web Services > IP Restrictions"
_ENDPOINT = "Admin > Integration > Web Services > REST API > Endpoint"


class Need(Enum):
    """The permissions that the checks' calls need; values are their names in Marketo's roles."""

    NOTHING = ""
    PERSON = "Read-Write Person (older instances call it Read-Write Lead)"
    ASSETS = "Read-Only Assets"


def denied_problems(denied: Mapping[Need, Sequence[str]], *, all_denied: bool) -> list[Problem]:
    """One problem for each permission that seems to be missing.

    Args:
        denied: permission -> what Marketo would not show.
        all_denied: not one call of the checks was allowed, which the IP allowlist explains better than any role.
    """
    if all_denied:
        return [
            Problem(
                ("client_id",),
                "Marketo accepts the client ID and secret, and then refuses every call (code 603).",
                f"Most likely the connector's address is missing under {_ALLOWLIST}. If there are no restrictions: "
                f"{_lower(_ROLE)} {Need.PERSON.value} and {Need.ASSETS.value}.",
            )
        ]
    return [
        Problem(
            ("client_id",),
            f"Marketo refuses to show the API user of this client ID {joined(things)} (code 603).",
            f"{_ROLE} {need.value}. If the role has it, the connector's address is missing under {_ALLOWLIST}.",
        )
        for need, things in denied.items()
        if need is not Need.NOTHING
    ]


def denied_program(program_id: int) -> tuple[str, str]:
    """Message and fix for a program that is refused while other assets are shown."""
    return (
        f"Marketo refuses to show the API user program {program_id} (code 603).",
        f"{_ROLE} {Need.ASSETS.value} and {Need.PERSON.value} in the workspace of this program as well.",
    )


def problem_of(error: MarketoError, what: str, now: datetime, *, answered_before: bool) -> Problem:
    """Tell why the checks could not go on.

    Args:
        error: anything but a refusal with 603.
        what: what was asked for, e.g. `the channels`.
        now: UTC.
        answered_before: whether an earlier call has succeeded, so that address and credentials are right.
    """
    match error:
        case BadCredentialsError() if error.code in _CREDENTIAL_CODES:
            return Problem(
                ("client_secret",),
                f"Marketo does not accept this client ID and client secret{_said(error)}.",
                "In Marketo open Admin > Integration > LaunchPoint, click View Details beside the custom service made "
                "for Airbyte, and copy both again. They belong to one instance: check that domain_url is its address.",
            )
        case QuotaReachedError() if error.code == OWN_BUDGET:
            return Problem(
                ("delivery", "daily_call_budget"),
                "The budget is used up before all checks were made.",
                f"Raise it, or wait until {quota_reset_text(now)}.",
            )
        case QuotaReachedError():
            return Problem(
                ("delivery", "daily_call_budget"),
                "Marketo accepts no more calls today: your integrations have used up the daily quota (code 607).",
                f"Check again after {quota_reset_text(now)}. Admin > Integration > Web Services shows who made the "
                "calls. A daily call budget keeps this connector to its share.",
            )
        case CertificatesError():
            return Problem(("domain_url",), error.sentence, error.fix)
        case UnreachableError(code="certificate not trusted"):
            return Problem(
                ("domain_url",),
                "The certificate that Marketo's address shows is not trusted.",
                "If a proxy of your company inspects encrypted connections, set the environment variable "
                "REQUESTS_CA_BUNDLE to a file with its certificate.",
            )
        case UnreachableError() if answered_before:
            return Problem(
                ("domain_url",),
                f"Marketo could be reached, but the request for {what} failed ({_meaning(error.code)}).",
                "Check again in a few minutes. If it persists, ask Adobe's support.",
            )
        case UnreachableError() | BadCredentialsError():
            return Problem(
                ("domain_url",),
                f"Marketo could not be reached at this address ({_meaning(error.code)}).",
                f"Copy it from {_ENDPOINT}. If it is right, check that the connector can reach the internet, and try "
                "again.",
            )
        case _:
            request = f", request {error.request_id}" if error.request_id else ""
            return Problem(
                ("domain_url",),
                f"Marketo refused the request for {what} ({_meaning(error.code)}{request}).",
                "If the code does not explain it, ask Adobe's support and name the code and the request.",
            )


def _said(error: MarketoError) -> str:
    return f' and says: "{error.marketo_message.rstrip(".")}"' if error.marketo_message else ""


def _meaning(code: str) -> str:
    rule = RESPONSE_CODES.get(code)
    return f"code {code}: {rule.meaning}" if rule else code


def _lower(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]
