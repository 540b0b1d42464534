"""Bulk endpoints: what is sent, and how answers are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from destination_marketo_programs.marketo.bulk_import import (
    ImportStatus,
    create_import,
    import_failures,
    import_status,
    import_warnings,
)
from destination_marketo_programs.marketo.client import Call, MarketoClient, Reply
from destination_marketo_programs.marketo.errors import OutcomeUnknownError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable


class Client:
    """Answers each call with the next of its answers."""

    def __init__(self, *rows: Any, text: bytes = b"") -> None:
        self.gate = self
        self.answers = [Reply(list(row) if isinstance(row, tuple) else [row], "r#1", {}, text) for row in rows]
        self.calls: list[Call] = []

    clock: Callable[[], float] = staticmethod(lambda: 123.0)

    def send(self, call: Call) -> Reply:
        self.calls.append(call)
        return self.answers.pop(0)


def client(*rows: Any, text: bytes = b"") -> tuple[MarketoClient, Client]:
    made = Client(*rows, text=text)
    return cast("MarketoClient", made), made


QUEUED = {"batchId": 2051, "importId": "2051", "status": "Queued"}


def test_a_file_goes_up_as_the_part_named_file_with_program_and_status_in_the_address() -> None:
    marketo, sent = client(QUEUED)
    assert create_import(marketo, 1044, "On List", b"email\r\na@b.c\r\n", 1) == ImportStatus(
        2051, "Queued", None, None, None, None, "r#1"
    )
    (call,) = sent.calls
    assert (call.method, call.path) == ("POST", "/bulk/v1/program/1044/members/import.json")
    assert dict(call.query) == {"format": "csv", "programMemberStatus": "On List"}
    assert call.files == {"file": ("members.csv", b"email\r\na@b.c\r\n", "text/csv")}
    assert not call.repeatable
    assert call.handed_back == {"1016"}


@pytest.mark.parametrize("answer", [(), {"status": "Queued"}, {"batchId": 1}, {"batchId": 1, "status": "Odd"}, None])
def test_an_answer_that_names_no_job_may_have_made_one(answer: Any) -> None:
    marketo, _ = client(answer)
    with pytest.raises(OutcomeUnknownError) as caught:
        create_import(marketo, 1044, "On List", b"", 1)
    assert caught.value.sent_at == 123.0


def test_the_status_of_a_job_with_its_counters() -> None:
    counters = {"numOfLeadsProcessed": 2, "numOfRowsFailed": 1, "numOfRowsWithWarning": "0", "message": "done"}
    marketo, sent = client({**QUEUED, **counters, "status": "Complete"})
    assert import_status(marketo, 2051) == ImportStatus(2051, "Complete", 2, 1, 0, "done", "r#1")
    (call,) = sent.calls
    assert (call.method, call.path) == ("GET", "/bulk/v1/program/members/import/2051/status.json")


def test_an_answer_about_another_job_is_asked_for_again() -> None:
    marketo, sent = client({**QUEUED, "batchId": 9, "importId": "9"}, QUEUED)
    assert import_status(marketo, 2051).state == "Queued"
    assert len(sent.calls) == 2
    marketo, _ = client((), (), ())
    with pytest.raises(UnreachableError):
        import_status(marketo, 2051)


@pytest.mark.parametrize(("fetch", "kind"), [(import_failures, "failures"), (import_warnings, "warnings")])
def test_result_files_are_read_as_text(fetch: Callable[[MarketoClient, int], bytes], kind: str) -> None:
    marketo, sent = client((), text=b"email,Import Failure Reason\n")
    assert fetch(marketo, 7) == b"email,Import Failure Reason\n"
    (call,) = sent.calls
    assert call.path == f"/bulk/v1/program/members/import/7/{kind}.json"
    assert call.as_text
