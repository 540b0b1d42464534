"""What happened to a record for one program: the stored shape, its names, and nothing else."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType


class Result(StrEnum):
    """The `outcome` member of a stored outcome."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    IMPORTED = "imported"
    SKIPPED = "skipped"
    REJECTED = "rejected"


class Category(StrEnum):
    """The `category` member: why a record was skipped or rejected."""

    NO_PROGRAM_LINK = "NO_PROGRAM_LINK"
    BELOW_SCAN_THRESHOLD = "BELOW_SCAN_THRESHOLD"
    UNMAPPED_QUALIFIER = "UNMAPPED_QUALIFIER"
    SUPERSEDED = "SUPERSEDED"
    EXCLUDED = "EXCLUDED"
    DELETED_IN_SOURCE = "DELETED_IN_SOURCE"
    MISSING_KEY = "MISSING_KEY"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_RECORD = "INVALID_RECORD"
    LEAD_NOT_FOUND = "LEAD_NOT_FOUND"
    DUPLICATE_LEADS = "DUPLICATE_LEADS"
    PARTITION_DENIED = "PARTITION_DENIED"
    FIELD_INVALID = "FIELD_INVALID"
    STATUS_NOT_FOUND = "STATUS_NOT_FOUND"
    RECORD_REFUSED = "RECORD_REFUSED"


Detail = dict[str, Any]
"""What in the record decided an outcome, for the person who fixes it, e.g. `{"field": "annualRevenue"}`.

May hold person data: it is stored and shown on the page, and never logged."""


class Refusal(NamedTuple):
    """Why a record is skipped or rejected: everything that is said of it, from whoever decides to whoever stores it.

    Attributes:
        code: Marketo's code, unchanged, as text; None if Marketo was not asked.
        message: Marketo's message, unchanged, or ours. May hold person data.
        request_id: Marketo's id of the call that decided.
    """

    category: Category
    code: str | None = None
    message: str | None = None
    request_id: str | None = None
    detail: Detail | None = None


class Outcome(msgspec.Struct, gc=False):
    """One record x program, as stored in `outcomes-*.jsonl` (field order is the file's member order).

    Members that are UNSET are not stored.

    Attributes:
        record_key: value of the stream's primary key, else the record's `id`, else its 1-based position in the
            stream (then `record_key_is_position` is true).
        lead_action: `created`, `updated`, `matched` (found, its fields not written now) or `remembered` (nothing to
            send); None if no lead was reached.
        code: Marketo's code, unchanged, as text.
        message: Marketo's message, unchanged, or ours where Marketo was not asked. May hold person data: it is
            stored, and never logged.
        hint: what to do, in plain language, from the table in `hints`.
        detail: what in the record decided it (see `Detail`).
        retryable: whether sending the same record again can help without a change to it.
        request_id: Marketo's id of the call that decided the outcome.
        at: UTC, `YYYY-MM-DDThh:mm:ssZ`.
        record_ref: short digest of namespace, stream and key, which logs show in place of the key.
        namespace: of the stream, if it has one.
        lookup_value: of an imported row, what finds the person.
        confirmed: true if `reconcile` read this back from Marketo.
        sent: fingerprints of the lead fields as sent, by REST name; what memory between syncs is rebuilt from.
        from_status: of a dry run, the status before; None for people who are not members.
        dry_run, record_key_is_position: stored only if true.
    """

    stream: str
    record_key: str
    event: str | None
    program_id: int | None
    program_status: str | None
    outcome: Result
    lead_id: int | None = None
    lead_action: str | None = None
    category: Category | None = None
    code: str | None = None
    message: str | None = None
    hint: str | None = None
    detail: Detail | None = None
    retryable: bool = False
    request_id: str | None = None
    at: str = ""
    record_ref: str = ""
    namespace: str | UnsetType = UNSET
    lookup_value: str | int | UnsetType = UNSET
    confirmed: bool | UnsetType = UNSET
    sent: dict[str, str] | UnsetType = UNSET
    from_status: str | UnsetType | None = UNSET
    dry_run: bool | UnsetType = UNSET
    record_key_is_position: bool | UnsetType = UNSET


def record_ref(namespace: str, stream: str, record_key: str) -> str:
    """A short digest of a record's name that can be searched in log and outcome files; 12 hexadecimal digits."""
    name = f"{namespace}\0{stream}\0{record_key}".encode("utf-8", "replace")
    return hashlib.blake2s(name, digest_size=6).hexdigest()
