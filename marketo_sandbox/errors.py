"""What Marketo says when it refuses: codes, messages and the exception that carries them."""

from __future__ import annotations

from typing import Any

UNCOUNTED_CODES = frozenset({"601", "602", "604", "605", "608", "611"})
"""Response codes that Adobe's error table marks as not counted against quota or rate.

Source: https://experienceleague.adobe.com/en/docs/marketo-developer/marketo/rest/error-codes
"""

MESSAGES = {
    "500": "Internal server error",
    "502": "Bad Gateway",
    "601": "Access token invalid",
    "602": "Access token expired",
    "603": "Access denied",
    "604": "Request timed out",
    "605": "HTTP Method not supported",
    "606": "Max rate limit '100' exceeded with in '20' secs",
    "607": "Daily quota reached",
    "608": "API Temporarily Unavailable",
    "609": "Invalid JSON",
    "610": "Requested resource not found",
    "611": "System error",
    "612": "Invalid Content Type",
    "613": "Invalid Multipart Request",
    "614": "Invalid Subscription",
    "615": "Concurrent access limit reached",
    "702": "No data found for the given search scenario",
    "713": "Transient error",
    "1004": "Lead not found",
    "1005": "Lead already exists",
    "1007": "Multiple leads match the lookup criteria",
    "1013": "Membership not found",
    "1016": "Too many imports",
    "1021": "Company update not allowed in syncLead",
    "1025": "Program status not found",
    "1037": "Lead skipped because it is already in or past this status",
}


class ApiError(Exception):
    """A whole call refused: HTTP 200 with `success: false`.

    Attributes:
        code: Marketo's code; an int only where a fault asks for a numeric code on the wire.
        text: the message that goes with it.
    """

    def __init__(self, code: str | int, text: str | None = None) -> None:
        self.code = code
        self.text = text if text is not None else MESSAGES.get(str(code), "Error")
        super().__init__(f"{code} {self.text}")


class HttpRefusal(Exception):  # noqa: N818 - a refusal is an answer here, not an error of this program
    """A call refused before the API sees it: a bare HTTP status such as 413 or 414."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(str(status))


def reason(code: str, text: str | None = None) -> dict[str, str]:
    """One entry of a record's `reasons`."""
    return {"code": code, "message": text if text is not None else MESSAGES[code]}


def skipped(code: str, text: str | None = None) -> dict[str, Any]:
    """A skipped row of Sync Leads: no id, and no echo of the input."""
    return {"status": "skipped", "reasons": [reason(code, text)]}


def skipped_member(seq: int, code: str, text: str | None = None) -> dict[str, Any]:
    """A skipped row of a program member endpoint: `seq`, but no `leadId`, as in Adobe's example."""
    return {"seq": seq, "status": "skipped", "reasons": [reason(code, text)]}
