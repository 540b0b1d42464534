"""Bulk endpoints: what is sent, and how answers are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from destination_marketo_programs.marketo.bulk_import import (
    ImportStatus,
    create_import,
    import_failures,
    import_status,
    import_warnings,
)
from destination_marketo_programs.marketo.errors import (
    AnswerMisfitError,
    NotFoundError,
    OutcomeUnknownError,
    RefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.marketo.client import MarketoClient
    from unit_tests.marketo.conftest import Api

IMPORT = "/bulk/v1/program/1044/members/import.json"
STATUS = "/bulk/v1/program/members/import/2051/status.json"


def success(*result: Any) -> dict[str, Any]:
    return {"json": {"requestId": "a#1", "success": True, "result": list(result)}}


QUEUED = {"batchId": 2051, "importId": "2051", "status": "Queued"}


def test_a_file_goes_up_as_the_part_named_file_with_program_and_status_in_the_address(api: Api) -> None:
    api.answers("POST", IMPORT, success(QUEUED))
    assert create_import(api.client, 1044, "On List", b"email\r\na@b.c\r\n", 1) == ImportStatus(
        2051, "Queued", None, None, None, None, "a#1"
    )
    (call,) = api.calls
    assert call.qs == {"format": ["csv"], "programmemberstatus": ["on list"]}
    assert call.headers["Content-Type"].startswith("multipart/form-data; boundary=")
    assert int(call.headers["Content-Length"]) == len(call.body)
    head, _, rest = call.body.partition(b"\r\n\r\n")
    assert b'name="file"; filename="members.csv"' in head
    assert b"Content-Type: text/csv" in head
    assert rest.startswith(b"email\r\na@b.c\r\n\r\n--")


def test_a_full_queue_is_left_to_the_caller_at_once(api: Api) -> None:
    api.answers("POST", IMPORT, {"json": {"success": False, "errors": [{"code": "1016", "message": "Too many"}]}})
    with pytest.raises(RefusedError) as raised:
        create_import(api.client, 1044, "On List", b"", 1)
    assert raised.value.code == "1016"
    assert len(api.calls) == 1


@pytest.mark.parametrize(
    "answer", [(), ({"status": "Queued"},), ({"batchId": 1},), ({"batchId": 1, "status": "Odd"},), (None,)]
)
def test_an_answer_that_names_no_job_may_have_made_one(api: Api, answer: tuple[Any, ...]) -> None:
    api.answers("POST", IMPORT, success(*answer))
    api.clock.now = 123.0
    with pytest.raises(OutcomeUnknownError) as caught:
        create_import(api.client, 1044, "On List", b"", 1)
    assert caught.value.sent_at == 123.0
    assert len(api.calls) == 1


def test_a_lost_upload_counts_from_its_last_try(api: Api) -> None:
    """A file that Marketo did not take at first must not be taken for one that has been at work for as long."""
    busy = {"json": {"success": False, "errors": [{"code": "608"}]}}
    api.answers("POST", IMPORT, busy, busy, success())
    began = api.clock.now
    with pytest.raises(OutcomeUnknownError) as caught:
        create_import(api.client, 1044, "On List", b"", 1)
    assert caught.value.sent_at == began + sum(api.gate.pauses) > began


def test_the_status_of_a_job_with_its_counters(api: Api) -> None:
    counters = {"numOfLeadsProcessed": 2, "numOfRowsFailed": 1, "numOfRowsWithWarning": "0", "message": "done"}
    api.answers("GET", STATUS, success({**QUEUED, **counters, "status": "Complete"}))
    assert import_status(api.client, 2051) == ImportStatus(2051, "Complete", 2, 1, 0, "done", "a#1")


def test_an_answer_about_another_job_is_asked_for_again(api: Api) -> None:
    api.answers("GET", STATUS, success({**QUEUED, "batchId": 9, "importId": "9"}), success(QUEUED))
    assert import_status(api.client, 2051).state == "Queued"
    assert len(api.calls) == 2
    api.answers("GET", STATUS, success())
    with pytest.raises(AnswerMisfitError, match="import_status: the answer cannot be used: 0 jobs in place of one"):
        import_status(api.client, 2051)


@pytest.mark.parametrize(("fetch", "kind"), [(import_failures, "failures"), (import_warnings, "warnings")])
def test_result_files_are_read_as_they_are(api: Api, fetch: Callable[[MarketoClient, int], bytes], kind: str) -> None:
    path = f"/bulk/v1/program/members/import/7/{kind}.json"
    missing = {"json": {"success": False, "errors": [{"code": "610"}]}}
    api.answers("GET", path, {"content": b"email,Import Failure Reason\n\xff"}, missing)
    assert fetch(api.client, 7) == b"email,Import Failure Reason\n\xff"
    with pytest.raises(NotFoundError):
        fetch(api.client, 7)
