"""What became of a record for one program: the stored shape, its names, and nothing else."""

from __future__ import annotations

from enum import StrEnum

import msgspec


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
    MISSING_KEY = "MISSING_KEY"
    INVALID_EMAIL = "INVALID_EMAIL"
    INVALID_RECORD = "INVALID_RECORD"
    LEAD_NOT_FOUND = "LEAD_NOT_FOUND"
    DUPLICATE_LEADS = "DUPLICATE_LEADS"
    PARTITION_DENIED = "PARTITION_DENIED"
    FIELD_INVALID = "FIELD_INVALID"
    STATUS_NOT_FOUND = "STATUS_NOT_FOUND"
    RECORD_REFUSED = "RECORD_REFUSED"


class Outcome(msgspec.Struct, gc=False):
    """One record x program, as stored in `outcomes-*.jsonl` (field order is the file's member order).

    Attributes:
        record_key: value of the stream's primary key, else the record's `id`, else its 1-based position in the
            stream (then `record_key_is_position` is true).
        lead_action: `created`, `updated` or `matched` (found, its fields not written now); None where no lead
            was reached.
        code: Marketo's code, unchanged, as text.
        message: Marketo's message, unchanged, or ours where Marketo was not asked. May hold person data: it is
            stored, and never logged.
        hint: what to do, in plain language, from the table in `hints`.
        retryable: whether sending the same record again can help without a change to it.
        request_id: Marketo's id of the call that decided the outcome.
        at: UTC, `YYYY-MM-DDThh:mm:ssZ`.
        dry_run, record_key_is_position: stored only where true.
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
    retryable: bool = False
    request_id: str | None = None
    at: str = ""
    dry_run: bool = False
    record_key_is_position: bool = False
