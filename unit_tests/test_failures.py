"""Every way in which a command can fail, told for each command: the texts are a snapshot."""

from __future__ import annotations

import errno
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from destination_marketo_programs import failures
from destination_marketo_programs.delivery.loop import IncompleteRunError
from destination_marketo_programs.failures import (
    ConfigurationError,
    Doing,
    Kind,
    NeighbourError,
    RejectedRecordsError,
    failure_of,
)
from destination_marketo_programs.imports.jobs import NoSignError, StuckJobError
from destination_marketo_programs.imports.spool import SpoolError
from destination_marketo_programs.marketo import errors
from destination_marketo_programs.marketo.errors import (
    AnswerMisfitError,
    BadCredentialsError,
    CertificatesError,
    ConfigurationFaultError,
    ExportQuotaReachedError,
    ExtractQueueFullError,
    MarketoError,
    NotFoundError,
    OutcomeUnknownError,
    QuotaReachedError,
    RefusedError,
    StoppedError,
    TooLargeError,
    UnreachableError,
)
from destination_marketo_programs.model import Problem
from destination_marketo_programs.protocol import LineTooLongError, UndecodableLineError
from destination_marketo_programs.storage import StorageError

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
PRIVATE = "ada@example.org"
PROBLEM = Problem(("program_links", 0, "program_id"), "There is no such program.", "Correct it.", "Program link 1")

FAILURES: dict[str, BaseException] = {
    "configuration": ConfigurationError([PROBLEM]),
    "two mistakes": ConfigurationError([PROBLEM, PROBLEM]),
    "a passing mistake": ConfigurationError([PROBLEM], passing=True),
    "rejected records": RejectedRecordsError("2 of 5 records were rejected."),
    "a neighbour": NeighbourError("Another sync has not ended."),
    "storage": StorageError("object_storage_config.path", "The disk is full.", "Make room."),
    "storage for a while": StorageError("object_storage_config", "S3 does not answer.", "Try again.", transient=True),
    "a line": UndecodableLineError(7),
    "a long line": LineTooLongError(7, 100_000_000),
    "something owed": IncompleteRunError("The run ended with 1 unsettled record."),
    "the quota": QuotaReachedError("sync_leads", "607", PRIVATE, "a41c#1"),
    "our budget": QuotaReachedError("sync_leads", "daily_call_budget"),
    "a job that does not end": StuckJobError(1234, 7, 86_400.0),
    "an upload without a sign": NoSignError(7, 1_500, 3_600.0),
    "unreachable": UnreachableError("sync_leads", "502", PRIVATE, "a41c#1"),
    "answers that do not fit": AnswerMisfitError("sync_leads", "`id` is a text", PRIVATE),
    "an extract queue": ExtractQueueFullError("create_extract", "1029"),
    "the export quota": ExportQuotaReachedError("create_extract", "1029"),
    "certificates": CertificatesError("REQUESTS_CA_BUNDLE", "/x.pem", "no such file"),
    "not allowed": ConfigurationFaultError("sync_leads", "603", PRIVATE),
    "credentials": BadCredentialsError("identity", "401", PRIVATE),
    "refused": RefusedError("sync_leads", "1003", PRIVATE, "a41c#1"),
    "not found": NotFoundError("sync_status", "702", PRIVATE),
    "too large": TooLargeError("sync_leads", "HTTP 413"),
    "a lost answer": OutcomeUnknownError("sync_leads", "timeout", PRIVATE),
    "stopped": StoppedError("sync_leads", "stop"),
    "the spool": SpoolError(errno.ENOSPC, "The folder /tmp cannot be written. Free some space"),
    "a full disk": OSError(errno.ENOSPC, "No space left on device", f"/tmp/{PRIVATE}"),
    "the operating system": PermissionError(errno.EACCES, "Permission denied", f"/tmp/{PRIVATE}"),
    "an error without text": OSError(),
    "memory": MemoryError(),
    "anything else": KeyError(PRIVATE),
}


def test_every_kind_of_failure_of_a_call_is_here() -> None:
    known = {type(error) for error in FAILURES.values()}
    defined = {
        kind
        for module in (errors, failures)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception)
    }
    assert defined - known - {MarketoError, errors.WriteAttemptedError} == set()


@pytest.mark.parametrize("doing", Doing)
def test_what_is_said(doing: Doing, snapshot: SnapshotAssertion) -> None:
    told = {}
    for name, error in FAILURES.items():
        failure = failure_of(error, NOW, doing)
        told[name] = f"{failure.kind.name}: {failure}"
        assert PRIVATE not in str(failure)
        assert failure.what.rstrip()[-1] in ".:)" or isinstance(error, ConfigurationError)
    assert told == snapshot


def test_what_goes_by_itself_is_transient_and_what_a_person_has_to_change_is_not() -> None:
    kinds = {name: failure_of(error, NOW, Doing.WRITE).kind for name, error in FAILURES.items()}
    passing = {name for name, kind in kinds.items() if kind is Kind.TRANSIENT}
    assert {
        "a passing mistake",
        "a neighbour",
        "storage for a while",
        "the quota",
        "our budget",
        "unreachable",
    } <= passing
    assert {"a job that does not end", "an upload without a sign", "the spool"} <= passing
    assert kinds["configuration"] is kinds["credentials"] is kinds["certificates"] is Kind.CONFIGURATION
    assert kinds["something owed"] is kinds["a line"] is kinds["anything else"] is Kind.SYSTEM


def test_only_a_write_speaks_of_what_is_acknowledged() -> None:
    for name, error in FAILURES.items():
        for doing in Doing:
            if doing is not Doing.WRITE:
                assert "acknowledged" not in str(failure_of(error, NOW, doing)).replace(str(error), ""), name
