"""The one place where answers of Marketo are read: HTTP status, `success`, `errors`, and the kind of each member.

A member that is absent or null is a matter of course; one of another kind than documented is not, and says so. Nothing
here quotes a value: an answer may hold people.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from destination_marketo_programs.marketo.calls import MAX_ANSWER_BYTES, Reply
from destination_marketo_programs.marketo.errors import Next, rule_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import BinaryIO

JsonObject = dict[str, Any]
"""A JSON object as Marketo gives it, each member of any kind."""

_REQUEST_ID = re.compile(r"[0-9a-fA-F]{1,16}#[0-9a-fA-F]{1,20}").fullmatch
_CODE = re.compile(r"[0-9]{1,6}").fullmatch
_LONGEST_NUMBER = 18


class Failed(NamedTuple):
    """A try that gave nothing usable.

    Attributes:
        next: what happens now.
        code: Marketo's code, `HTTP nnn`, or what went wrong in our words.
        message: Marketo's own text; may hold person data.
    """

    next: Next
    code: str
    message: str | None = None
    request_id: str | None = None


class MisshapenError(Exception):
    """An answer is not of the documented shape; its text names kinds and members, never values."""


def kind_of(value: Any) -> str:
    """The JSON kind of a value, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return "a list"
        case _:
            return "an object"


def misshapen(member: str, value: Any, wanted: str) -> MisshapenError:
    """That a member is of another kind than `wanted`."""
    return MisshapenError(f"`{member}` is {kind_of(value)} and not {wanted}")


# --- members -------------------------------------------------------------------------------------------------


def as_object(value: Any, member: str) -> JsonObject:
    """The value, which must be an object."""
    if isinstance(value, dict):
        return value
    raise misshapen(member, value, "an object")


def as_list(value: Any, member: str) -> list[Any]:
    """The value, which must be a list; empty if null."""
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise misshapen(member, value, "a list")


def as_objects(value: Any, member: str) -> list[JsonObject]:
    """The value, which must be a list of objects; empty if null."""
    return [as_object(each, f"{member}[]") for each in as_list(value, member)]


def text(row: Mapping[str, Any], member: str) -> str:
    """A member that is a text; "" if absent or null."""
    value = row.get(member)
    if value is None or isinstance(value, str):
        return value or ""
    raise misshapen(member, value, "a text")


def name(row: Mapping[str, Any], member: str = "name") -> str:
    """A member that is a text and has to be there."""
    value = row.get(member)
    if isinstance(value, str) and value:
        return value
    raise misshapen(member, value, "a name") if value != "" else MisshapenError(f"`{member}` is empty")


def flag(row: Mapping[str, Any], member: str, *, default: bool = False) -> bool:
    """A member that is true or false."""
    value = row.get(member)
    if value is None or isinstance(value, bool):
        return default if value is None else value
    raise misshapen(member, value, "true or false")


def number(row: Mapping[str, Any], member: str) -> int | None:
    """A member that is a whole number, which Marketo sometimes writes as text; None if absent or null."""
    value = row.get(member)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= _LONGEST_NUMBER:
        return int(value)
    raise misshapen(member, value, "a whole number")


def identity(row: Mapping[str, Any], member: str = "id") -> int:
    """A member that is a number and has to be there."""
    value = number(row, member)
    if value is None:
        raise misshapen(member, value, "a whole number")
    return value


def code_of(value: Any) -> str | None:
    """A code of Marketo's; None for whatever does not look like one, which could be anything at all."""
    shown = str(value) if isinstance(value, str) or type(value) is int else ""
    return shown if _CODE(shown) else None


def request_id_of(value: Any) -> str | None:
    """Marketo's id of a call, e.g. `a41c#18f20b7d3e9`; None for whatever does not look like one."""
    return value if isinstance(value, str) and _REQUEST_ID(value) else None


# --- envelopes -----------------------------------------------------------------------------------------------


def decoded(content: bytes) -> JsonObject:
    """An answer that has to be a JSON object.

    Raises:
        MisshapenError: it is not one, or is nested deeper than can be read.
    """
    try:
        members = msgspec.json.decode(content)
    except (msgspec.MsgspecError, ValueError):
        raise MisshapenError("unreadable answer") from None
    except RecursionError:
        raise MisshapenError("unreadable answer: nested too deeply") from None
    return as_object(members, "the answer")


def read_status(status: int) -> Failed | None:
    """What an HTTP status says of the call; None if its body decides."""
    code = f"HTTP {status}"
    match status:
        case 200 | 201 | 202:
            return None
        case 401:
            return Failed(Next.REAUTHENTICATE, code)
        case 403 | 405 | 407 | 415:
            return Failed(Next.CONFIGURATION, code)
        case 404:
            return Failed(Next.NOT_FOUND, code)
        case 413:
            return Failed(Next.SPLIT, code)
        case 429:
            return Failed(Next.SLOW_DOWN, code)
        case 408:
            return Failed(Next.OUTCOME_UNKNOWN, code)
        case _ if 300 <= status < 400:  # noqa: PLR2004 - HTTP's class of redirects
            # Marketo does not redirect: something between does, and credentials do not follow it.
            return Failed(Next.CONFIGURATION, code)
        case _ if 400 <= status < 500:  # noqa: PLR2004 - HTTP's class of client errors
            return Failed(Next.REFUSED, code)
        case _:
            return Failed(Next.OUTCOME_UNKNOWN, code)


def read_file(file: BinaryIO) -> Reply | Failed:
    """An answer that is a file, unless it begins like an envelope: then it says why there is no file."""
    begins = file.read(64).lstrip()
    file.seek(0)
    if not begins.startswith(b"{"):
        return Reply([], None, {}, file)
    with file:
        reply = read_envelope(file.read(MAX_ANSWER_BYTES))
    return reply if isinstance(reply, Failed) else Failed(Next.MISFIT, "the answer is an object and not a file")


def read_envelope(content: bytes) -> Reply | Failed:
    """What the body of an answer says of the call as a whole."""
    try:
        members = decoded(content)
    except MisshapenError as error:
        return Failed(Next.OUTCOME_UNKNOWN, str(error))
    request_id = request_id_of(members.get("requestId"))
    try:
        if flag(members, "success"):
            return Reply(as_list(members.get("result"), "result"), request_id, members)
        errors = as_list(members.get("errors"), "errors")
        first = as_object(errors[0], "errors[]") if errors else {}
    except MisshapenError as error:
        return Failed(Next.OUTCOME_UNKNOWN, str(error), None, request_id)
    code = code_of(first.get("code"))
    if code is None:
        return Failed(Next.OUTCOME_UNKNOWN, "failure without a code", None, request_id)
    message = first.get("message")
    message = message if isinstance(message, str) else None
    return Failed(rule_for(code, message).next, code, message, request_id)
