"""Marketo's error codes as data, and the exceptions that say what happens next.

Source: Adobe, "Error codes" of the Marketo REST API, and the observations recorded in docs/decisions. A code says
the same at response and at record level unless an entry says otherwise; texts vary and are not matched, but where a
code means several things (1003, 1029).
"""

from __future__ import annotations

import re
from enum import Enum
from typing import NamedTuple

from destination_marketo_programs.outcomes import Category


class Next(Enum):
    """What happens after a whole call was refused."""

    RETRY = "not executed: back off and send again"
    SLOW_DOWN = "not executed, others use the instance too: back off and lower the pace"
    OUTCOME_UNKNOWN = "perhaps executed: repeat only where repeating is harmless"
    REAUTHENTICATE = "not executed: fetch a token and send again"
    SPLIT = "too large: halve it"
    QUOTA = "the day's calls are used up: end the sync and come back later"
    CONFIGURATION = "nobody but a person can change this"
    NOT_FOUND = "the thing asked for does not exist"
    REFUSED = "permanent for this content: find the record at fault by bisecting"
    RETRY_THEN_REFUSED = "unknown or unclear: a few more tries, then as REFUSED"
    MISFIT = "executed, but the answer is not of the documented shape: a few more tries if repeating is harmless"


class Rule(NamedTuple):
    """One code of Marketo's table."""

    meaning: str
    next: Next


RESPONSE_CODES: dict[str, Rule] = {
    "500": Rule("server error", Next.OUTCOME_UNKNOWN),
    "502": Rule("bad gateway", Next.OUTCOME_UNKNOWN),
    "600": Rule("empty access token", Next.REAUTHENTICATE),
    "601": Rule("access token not valid", Next.REAUTHENTICATE),
    "602": Rule("access token expired", Next.REAUTHENTICATE),
    "603": Rule("access denied: permission missing, or address not on the IP allowlist", Next.CONFIGURATION),
    "604": Rule("request timed out", Next.OUTCOME_UNKNOWN),
    "605": Rule("HTTP method not supported", Next.CONFIGURATION),
    "606": Rule("rate limit: more than 100 calls in 20 seconds", Next.SLOW_DOWN),
    "607": Rule("daily quota reached", Next.QUOTA),
    "608": Rule("API temporarily unavailable", Next.RETRY),
    "609": Rule("invalid JSON", Next.REFUSED),
    "610": Rule("resource not found", Next.NOT_FOUND),
    "611": Rule("system error", Next.OUTCOME_UNKNOWN),
    "612": Rule("invalid content type", Next.CONFIGURATION),
    "613": Rule("invalid multipart request", Next.REFUSED),
    "614": Rule("subscription not reachable", Next.RETRY),
    "615": Rule("concurrent request limit: more than 10 at once", Next.SLOW_DOWN),
    "616": Rule("subscription type lacks this feature", Next.CONFIGURATION),
    "701": Rule("field cannot be blank", Next.REFUSED),
    "702": Rule("no data found", Next.NOT_FOUND),
    "703": Rule("feature not enabled", Next.CONFIGURATION),
    "713": Rule("resource temporarily unavailable", Next.RETRY),
    "719": Rule("lock wait timed out", Next.RETRY),
    "1009": Rule("partition name required", Next.CONFIGURATION),
    "1011": Rule("field not supported for lookup", Next.CONFIGURATION),
    "1014": Rule("object could not be created", Next.RETRY_THEN_REFUSED),
    "1016": Rule("too many imports queued", Next.RETRY),
    "1018": Rule("CRM sync active, action blocked", Next.CONFIGURATION),
    "1019": Rule("import in progress", Next.RETRY),
    "1029": Rule("extract queue full, daily export quota used up, or job already queued", Next.RETRY),
}

RECORD_CATEGORIES: dict[str, Category] = {
    "1001": Category.FIELD_INVALID,
    "1004": Category.LEAD_NOT_FOUND,
    "1006": Category.FIELD_INVALID,
    "1007": Category.DUPLICATE_LEADS,
    "1008": Category.PARTITION_DENIED,
    "1009": Category.PARTITION_DENIED,
    "1010": Category.PARTITION_DENIED,
    "1025": Category.STATUS_NOT_FOUND,
}
"""Record-level code -> outcome category; every code that is not here is RECORD_REFUSED."""

ALREADY_IN_OR_PAST_STATUS = "1037"
ACCESS_DENIED = "603"
LEAD_NOT_FOUND = "1004"
LEAD_EXISTS = "1005"
FIELD_NOT_FOUND = "1006"
SEVERAL_LEADS_MATCH = "1007"
OBJECT_NOT_FOUND = "1013"
COMPANY_UPDATE_REFUSED = "1021"
STATUS_NOT_FOUND = "1025"
INVALID_DATA = "1003"
TOO_MANY_RESULTS = INVALID_DATA
EXTRACT_REFUSED = "1029"


class ExtractRefusal(Enum):
    """The three meanings of 1029, which only its text tells apart."""

    QUEUE_FULL = "ten extracts are queued or at work"
    DAILY_QUOTA = "the company's megabytes of today are used up"
    ALREADY_QUEUED = "this job is in the queue"


_TOO_LONG = re.compile(r"too long|longer than|length|exceeds", re.IGNORECASE).search
_QUOTA = re.compile(r"quota|allocation|\bMB\b", re.IGNORECASE).search
_ALREADY = re.compile(r"\balready\b", re.IGNORECASE).search


def extract_refusal(message: str | None) -> ExtractRefusal:
    """What a 1029 means; a full queue if its text does not say, which is what passes by itself."""
    if _QUOTA(message or ""):
        return ExtractRefusal.DAILY_QUOTA
    return ExtractRefusal.ALREADY_QUEUED if _ALREADY(message or "") else ExtractRefusal.QUEUE_FULL


def rule_for(code: str, message: str | None = None) -> Rule:
    """The rule of a response-level code; codes without an entry are tried again, then taken as refusals."""
    rule = RESPONSE_CODES.get(code)
    if code == EXTRACT_REFUSED and extract_refusal(message) is not ExtractRefusal.QUEUE_FULL:
        return Rule("daily export quota used up, or job already queued", Next.REFUSED)
    if rule is not None:
        return rule
    if code.startswith("1") and len(code) == 4:  # noqa: PLR2004 - the record-level range of the table
        return Rule("refused", Next.REFUSED)
    return Rule("unknown code", Next.RETRY_THEN_REFUSED)


def category_for(code: str | None, message: str | None = None) -> Category:
    """The outcome category of a record that Marketo refused with this code.

    Adobe documents no code for a value that is too long. Where it comes as 1003, "invalid data", only the text says
    that a field is at fault, as it is in the result file of an import.
    """
    if code == INVALID_DATA and _TOO_LONG(message or ""):
        return Category.FIELD_INVALID
    return RECORD_CATEGORIES.get(code or "", Category.RECORD_REFUSED)


class MarketoError(Exception):
    """A call that did not end in a result.

    Attributes:
        endpoint: our short name of the endpoint, e.g. `sync_leads`.
        code: Marketo's code, `HTTP nnn`, or the kind of connection failure.
        marketo_message: Marketo's own text; may hold person data, so it is never part of `str(error)`.
        request_id: Marketo's id of the call, if it gave one.
    """

    what = "the call failed"

    def __init__(
        self, endpoint: str, code: str, marketo_message: str | None = None, request_id: str | None = None
    ) -> None:
        self.endpoint = endpoint
        self.code = code
        self.marketo_message = marketo_message
        self.request_id = request_id
        rule = RESPONSE_CODES.get(code)
        meaning = f" ({rule.meaning})" if rule else ""
        of_call = f", request {request_id}" if request_id else ""
        super().__init__(f"Marketo {endpoint}: {self.what}: {code}{meaning}{of_call}")


class OutcomeUnknownError(MarketoError):
    """The call may have been executed; it was not repeated because repeating is not harmless.

    Attributes:
        sent_at: monotonic seconds at which the call left, for whoever waits until it can no longer be running.
    """

    what = "no usable answer, the call may have been executed"

    def __init__(
        self,
        endpoint: str,
        code: str,
        marketo_message: str | None = None,
        request_id: str | None = None,
        sent_at: float = 0.0,
    ) -> None:
        super().__init__(endpoint, code, marketo_message, request_id)
        self.sent_at = sent_at


class TooLargeError(MarketoError):
    """HTTP 413, or known to become one: nothing was executed; send less at once."""

    what = "request too large"


class RefusedError(MarketoError):
    """Nothing was executed, and sending the same content again gives the same answer."""

    what = "refused"


class NotFoundError(MarketoError):
    """The resource named by the path does not exist or is not visible to this API user."""

    what = "not found"


class ConfigurationFaultError(MarketoError):
    """Permission, IP allowlist, feature or credentials: a person has to change something."""

    what = "not allowed"


class BadCredentialsError(ConfigurationFaultError):
    """Marketo's identity service does not know this client id and secret; `marketo_message` is its own sentence."""

    what = "client id or secret not accepted"


class QuotaReachedError(MarketoError):
    """607, or our own `daily_call_budget`: no further call today."""

    what = "no calls left today"


class UnreachableError(MarketoError):
    """Every try inside the retry window failed."""

    what = "no success inside the retry window"


class AnswerMisfitError(UnreachableError):
    """Marketo answers, again and again, with something that does not fit the call.

    The code says which member is of which kind. Of a call with rows, all rows are unsettled: sent in smaller calls,
    those that are answered as documented can be settled.
    """

    what = "the answer cannot be used"


class ExtractQueueFullError(UnreachableError):
    """1029: ten extracts are queued already, for longer than the retry window."""

    what = "no place in the extract queue"


class ExportQuotaReachedError(RefusedError):
    """1029: the company has extracted its 500 MB of today."""

    what = "daily export quota used up"


class CertificatesError(ConfigurationFaultError):
    """The file of certificates that the environment names cannot be used."""

    fix = "Correct this environment variable, or remove it to use the certificates that come with the connector."

    def __init__(self, variable: str, path: str, reason: str) -> None:
        self.variable = variable
        self.path = path
        self.reason = reason
        super().__init__("identity", variable)

    @property
    def sentence(self) -> str:
        """What is wrong."""
        return f"{self.variable} names {self.path}, which is not a usable file of certificates ({self.reason})."

    def __str__(self) -> str:
        return f"{self.sentence} {self.fix}"


class WriteAttemptedError(Exception):
    """Somebody tried to write through a connection that is for reading only; the call was not sent."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(f"a connection for reading only must not call {endpoint}")


class StoppedError(MarketoError):
    """The process is ending; the call was not sent."""

    what = "stopping"
