"""The two kinds of stored line: outcomes, and rejected records that `write` can take again."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

from destination_marketo_programs.outcomes import Detail  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.outcomes import Outcome


class Kind(StrEnum):
    """What a file holds; the first part of its name."""

    OUTCOMES = "outcomes"
    REJECTED = "rejected"


class Rejection(msgspec.Struct, gc=False):
    """The `rejection` object beside `record`. Members mean what they mean in `Outcome`.

    `category` and `code` come first and together, so that a text search for both finds the lines of one kind.

    Attributes:
        detail: absent if there is none.
        record_key_is_position: present only where true.
        others: further rejections of the same record, one per program; absent if there is none.
    """

    category: str | None
    code: str | None
    message: str | None
    hint: str | None
    program_id: int | None
    program_status: str | None
    event: str | None
    record_key: str
    retryable: bool
    request_id: str | None
    at: str
    record_ref: str = ""
    detail: Detail | UnsetType = UNSET
    record_key_is_position: bool | UnsetType = UNSET
    others: list[Rejection] | UnsetType = UNSET


class RejectedRecord(msgspec.Struct):
    """A rejected line, read as far as the report needs it; `data` may be of any JSON type."""

    class Record(msgspec.Struct):
        """The Airbyte record."""

        stream: str
        data: msgspec.Raw
        namespace: str | None = None

    record: Record
    rejection: Rejection


class NamedRejection(msgspec.Struct):
    """A rejected line, read as far as the record's name and what is said of it."""

    class Record(msgspec.Struct):
        """The Airbyte record without its data."""

        stream: str
        namespace: str | None = None

    record: Record
    rejection: Rejection


class StoredOutcome(msgspec.Struct, gc=False):
    """An outcome as it is read back. Members mean what they mean in `Outcome`.

    Names that only a later version knows are kept as text: whoever reads decides what to make of them.

    Attributes:
        verdict: what `reconcile` found, on lines that it has confirmed.
    """

    stream: str
    record_key: str
    event: str | None
    program_id: int | None
    program_status: str | None
    outcome: str
    lead_id: int | None = None
    lead_action: str | None = None
    category: str | None = None
    code: str | None = None
    message: str | None = None
    hint: str | None = None
    detail: Detail | None = None
    retryable: bool = False
    request_id: str | None = None
    at: str = ""
    record_ref: str = ""
    namespace: str | None = None
    lookup_value: str | int | None = None
    confirmed: bool = False
    verdict: str = ""
    sent: dict[str, str] | None = None
    dry_run: bool = False
    record_key_is_position: bool = False


_encoder = msgspec.json.Encoder()
_members_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
_named_decode = msgspec.json.Decoder(NamedRejection).decode
_rejection_decode = msgspec.json.Decoder(Rejection).decode
BAD_LINE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for a line that is not JSON or not text, or deeper than it goes."""


def append_outcome(buffer: bytearray, outcome: Outcome) -> None:
    """Append the outcome as one line. Lone surrogates, which are not text, become question marks.

    Marks that are false become UNSET in the outcome itself: only true ones are stored.
    """
    if outcome.dry_run is False:
        outcome.dry_run = UNSET
    if outcome.record_key_is_position is False:
        outcome.record_key_is_position = UNSET
    before = len(buffer)
    try:
        _encoder.encode_into(outcome, buffer, -1)
    except UnicodeEncodeError:
        del buffer[before:]
        _encoder.encode_into(_as_unicode(msgspec.to_builtins(outcome)), buffer, -1)
    buffer += b"\n"


def append_rejected(buffer: bytearray, line: bytes, rejections: Sequence[Outcome]) -> None:
    """Append the RECORD line with a `rejection` beside `record`; every other byte of its members stays.

    Raises:
        ValueError: the line is not a JSON object, or there is no rejection.
    """
    if not rejections:
        raise ValueError("a rejected record needs at least one rejection")
    first, *others = (_rejection_of(outcome) for outcome in rejections)
    if others:
        first.others = others
    try:
        rejection = _encoder.encode(first)
    except UnicodeEncodeError:
        rejection = _encoder.encode(_as_unicode(msgspec.to_builtins(first)))
    try:
        members = _members_decoder.decode(line)
    except BAD_LINE:
        buffer += _beside_record(line, rejection)
    else:
        members.pop("rejection", None)
        members["rejection"] = msgspec.Raw(rejection)
        _encoder.encode_into(members, buffer, -1)
    buffer += b"\n"


def named_rejection(line: bytes) -> NamedRejection | None:
    """Whose rejection a line holds; None if it is not a rejected line."""
    try:
        return _named_decode(line)
    except BAD_LINE:
        pass
    # A record that no parser here takes, whose rejection is readable all the same: it is the last member.
    before, found, rejection = line.rstrip().rpartition(b'"rejection":')
    if not found or not rejection.endswith(b"}"):
        return None
    try:
        return NamedRejection(_record_of(before), _rejection_decode(rejection[:-1]))
    except BAD_LINE:
        return None


def rejected_name(line: bytes) -> str | None:
    """The `record_key` that a rejected line carries; None if it carries none, or only a position in another run."""
    if b'"rejection"' not in line:
        return None
    found = named_rejection(line)
    if found is None or found.rejection.record_key_is_position is True:
        return None
    return found.rejection.record_key


def _record_of(text: bytes) -> NamedRejection.Record:
    """Stream and namespace, from the text of a line in front of its rejection."""
    found = {}
    for name in (b"stream", b"namespace"):
        _, met, rest = text.partition(b'"%s":"' % name)
        if met:
            found[name.decode()] = msgspec.json.decode(b'"' + rest.partition(b'"')[0] + b'"', type=str)
    return msgspec.convert(found, NamedRejection.Record)


def _rejection_of(outcome: Outcome) -> Rejection:
    return Rejection(
        category=outcome.category,
        code=outcome.code,
        message=outcome.message,
        hint=outcome.hint,
        program_id=outcome.program_id,
        program_status=outcome.program_status,
        event=outcome.event,
        record_key=outcome.record_key,
        retryable=outcome.retryable,
        request_id=outcome.request_id,
        at=outcome.at,
        record_ref=outcome.record_ref,
        detail=UNSET if outcome.detail is None else outcome.detail,
        record_key_is_position=outcome.record_key_is_position,
    )


def _beside_record(line: bytes, rejection: bytes) -> bytes:
    # JSON as Python's own writer makes it (NaN, lone surrogates) is outside the standard, yet accepted on stdin.
    try:
        members: Any = json.loads(line)
    except json.JSONDecodeError:
        raise
    except (RecursionError, ValueError):
        # Too deep, or a number of thousands of digits: valid all the same, so the bytes stay as they are. Of two
        # members of one name the later counts.
        return _spliced(line, rejection)
    if not isinstance(members, dict):
        raise ValueError("a rejected record must be a JSON object")  # noqa: TRY004 - as for any other bad line
    members.pop("rejection", None)
    rest = json.dumps(members, separators=(",", ":")).encode("ascii")
    return rest[:-1] + (b"," if members else b"") + b'"rejection":' + rejection + b"}"


def _spliced(line: bytes, rejection: bytes) -> bytes:
    text = line.strip()
    if not (text.startswith(b"{") and text.endswith(b"}")):
        raise ValueError("a rejected record must be a JSON object")
    return text[:-1] + b',"rejection":' + rejection + b"}"


def _as_unicode(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, dict):
        return {_as_unicode(key): _as_unicode(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_unicode(each) for each in value]
    return value
