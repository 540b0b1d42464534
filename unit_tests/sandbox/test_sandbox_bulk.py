"""Bulk import: jobs, their queue, and the fate of each row."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest

from marketo_sandbox import Fault, RowFault

if TYPE_CHECKING:
    from unit_tests.sandbox.conftest import Marketo

EXPO = 1004


def status(marketo: Marketo, job_id: int) -> dict[str, Any]:
    answer = marketo.get(f"/bulk/v1/program/members/import/{job_id}/status.json")
    assert answer["success"], answer
    (row,) = answer["result"]
    return dict(row)


def file_of(marketo: Marketo, job_id: int, kind: str, delimiter: str = ",") -> list[list[str]]:
    answer = marketo.send("GET", f"/bulk/v1/program/members/import/{job_id}/{kind}.json")
    assert answer.headers["Content-Type"].startswith("text/plain")
    return list(csv.reader(io.StringIO(answer.content.decode()), delimiter=delimiter))


def run_job(marketo: Marketo, file: str | bytes, **options: Any) -> dict[str, Any]:
    answer = marketo.upload(file, **options)
    assert answer["success"], answer
    marketo.server.advance(60)
    return status(marketo, answer["result"][0]["batchId"])


def test_a_job_goes_from_queued_over_importing_to_complete(marketo: Marketo) -> None:
    answer = marketo.upload("email,firstName\nada@example.org,Ada\n")
    (row,) = answer["result"]
    assert row["importId"] == str(row["batchId"])
    assert row["status"] == "Queued"
    assert "numOfLeadsProcessed" not in status(marketo, row["batchId"])
    assert marketo.server.state.lead_count() == 0
    marketo.server.configure(bulk_job_seconds=100.0)
    second = marketo.upload("email\nbob@example.org\n")["result"][0]["batchId"]
    marketo.server.advance(5)
    assert status(marketo, second)["status"] == "Importing"
    assert status(marketo, row["batchId"]) == {
        "batchId": row["batchId"],
        "importId": row["importId"],
        "status": "Complete",
        "numOfLeadsProcessed": 1,
        "numOfRowsFailed": 0,
        "numOfRowsWithWarning": 0,
        "message": "Import succeeded, 1 records imported (1 members)",
    }
    assert marketo.server.state.members_by_email(EXPO) == {"ada@example.org": "Registered"}
    marketo.server.advance(200)
    assert marketo.server.state.members_by_email(EXPO)["bob@example.org"] == "Registered"


def test_some_jobs_are_importing_when_they_are_created(marketo: Marketo) -> None:
    states = [marketo.upload("email\na@example.org\n")["result"][0]["status"] for _ in range(2)]
    marketo.server.advance(10)
    states.append(marketo.upload("email\na@example.org\n")["result"][0]["status"])
    assert states == ["Queued", "Queued", "Importing"]


def test_two_run_at_once_and_ten_wait_or_run(marketo: Marketo) -> None:
    marketo.server.configure(bulk_job_seconds=100.0, bulk_start_seconds=0.0)
    jobs = [marketo.upload(f"email\na{n}@example.org\n")["result"][0]["batchId"] for n in range(10)]
    refused = marketo.upload("email\nb@example.org\n")
    assert refused["errors"][0] == {"code": "1016", "message": "Too many imports"}
    states = [job.state for job in marketo.server.state.jobs()]
    assert states == ["Importing"] * 2 + ["Queued"] * 8
    marketo.server.advance(101)
    assert [job.state for job in marketo.server.state.jobs()] == (["Complete"] * 2 + ["Importing"] * 2 + ["Queued"] * 6)
    assert marketo.upload("email\nb@example.org\n")["success"] is True
    marketo.server.advance(100 * 5)
    assert status(marketo, jobs[-1])["status"] == "Complete"
    assert marketo.server.state.lead_count() == 11


def test_failed_rows_come_back_with_their_columns_and_a_reason_in_words(marketo: Marketo) -> None:
    marketo.server.configure(bulk_duplicates="fail")
    twins = [marketo.server.state.add_lead({"email": "twin@example.org"}) for _ in range(2)]
    rows = [
        ("good@example.org", "Smith, Ann", "5", "12", "true"),
        ("GOOD@example.org", "Ann", "6", "12", "true"),
        ("score@example.org", 'O"Neil', "high", "12", "true"),
        ("seat@example.org", "X", "5", "front", "true"),
        ("vip@example.org", "X", "5", "12", "very"),
        ("", "X", "5", "12", "true"),
        ("Ünal@example.org", "X", "5", "12", "true"),
        ("Twin@example.org", "X", "5", "12", "true"),
        ("long@example.org", "x" * 256, "5", "12", "true"),
        ("not an address", "X", "5", "12", ""),
    ]
    header = ["email", "lastName", "leadScore", "seatNumber", "vip"]
    out = io.StringIO()
    csv.writer(out).writerows([header, *rows, ["short@example.org", "X"]])
    result = run_job(marketo, out.getvalue())
    assert result["status"] == "Complete"
    assert result["numOfLeadsProcessed"] == 3
    assert result["numOfRowsFailed"] == 8
    assert result["numOfRowsWithWarning"] == 1
    assert result["message"] == "Import completed with errors, 3 records imported (3 members), 8 failed"
    failed = file_of(marketo, result["batchId"], "failures")
    assert failed[0] == [*header, "Import Failure Reason"]
    assert [(row[0], row[-1]) for row in failed[1:]] == [
        ("score@example.org", "Invalid data type in field Person Score"),
        ("seat@example.org", "Invalid data type in field Seat Number"),
        ("vip@example.org", "Invalid data type in field VIP"),
        ("", "Email Address is missing"),
        ("Ünal@example.org", "Invalid characters in field Email Address"),
        ("Twin@example.org", "Multiple lead match lookup criteria"),
        ("long@example.org", "Value too long in field Last Name"),
        ("short@example.org", "Number of values does not match number of columns"),
    ]
    assert failed[1][1] == 'O"Neil'
    assert file_of(marketo, result["batchId"], "warnings") == [
        [*header, "Import Warning Reason"],
        [*rows[-1], "Invalid email address"],
    ]
    state = marketo.server.state
    assert set(state.members_by_email(EXPO)) == {"good@example.org", "not an address"}
    assert not set(twins) & set(state.members(EXPO))
    (good,) = state.leads_with("email", "good@example.org")
    lead = state.lead(good)
    assert lead is not None
    assert (lead["lastName"], lead["leadScore"]) == ("Ann", 6)
    assert state.member_fields(EXPO, good) == {"seatNumber": 12, "vip": True}


@pytest.mark.parametrize(("kind", "delimiter"), [("csv", ","), ("TSV", "\t"), ("ssv", ";")])
def test_delimiters(marketo: Marketo, kind: str, delimiter: str) -> None:
    text = f"email{delimiter}leadScore\na@example.org{delimiter}x\nb@example.org{delimiter}1\n"
    result = run_job(marketo, text, kind=kind)
    assert (result["numOfLeadsProcessed"], result["numOfRowsFailed"]) == (1, 1)
    failed = file_of(marketo, result["batchId"], "failures", delimiter)
    assert failed[1][:2] == ["a@example.org", "x"]


def test_an_import_moves_statuses_forward_only(marketo: Marketo) -> None:
    state = marketo.server.state
    lead = state.add_lead({"email": "a@example.org", "city": "Rome"})
    state.add_member(EXPO, lead, "Attended")
    result = run_job(marketo, "email,city\na@example.org,\nb@example.org,Oslo\n")
    assert result["numOfLeadsProcessed"] == 2
    assert state.members_by_email(EXPO) == {"a@example.org": "Attended", "b@example.org": "Registered"}
    assert state.lead(lead) == {"id": lead, "email": "a@example.org"}
    marketo.server.configure(bulk_fails_backward_rows=True)
    refused = run_job(marketo, "email\na@example.org\nb@example.org\n")
    assert (refused["numOfLeadsProcessed"], refused["numOfRowsFailed"]) == (1, 1)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("email,shoeSize\na@example.org,43\n", "unknown column 'shoeSize'"),
        ("email,email\na@example.org,b@example.org\n", "a column appears twice"),
        ("firstName\nAda\n", "column 'email' is missing"),
        ("email,createdAt\na@example.org,2026-01-01\n", "column 'createdAt' cannot be imported"),
        (b"email\n\xff\xfe@example.org\n", "the file could not be read"),
        ('email\n"a@example.org\n', "the file could not be read"),
        ("", "the file is empty"),
    ],
)
def test_a_bad_file_fails_the_job(marketo: Marketo, file: str | bytes, message: str) -> None:
    result = run_job(marketo, file)
    assert result["status"] == "Failed"
    assert message in result["message"]
    assert "numOfLeadsProcessed" not in result
    assert marketo.server.state.lead_count() == 0


def test_calls_that_create_no_job(marketo: Marketo) -> None:
    good = "email\na@example.org\n"
    assert marketo.upload(good, status="Nonsense")["errors"][0]["code"] == "1025"
    assert marketo.upload(good, program_id=99)["errors"][0]["code"] == "702"
    assert marketo.upload(good, kind="xlsx")["errors"][0]["code"] == "1003"
    path = f"/bulk/v1/program/{EXPO}/members/import.json?format=csv&programMemberStatus=Registered"
    multipart = {"Content-Type": "multipart/form-data; boundary=b1"}

    def code(body: bytes, headers: dict[str, str]) -> object:
        return marketo.send("POST", path, data=body, headers=headers).json()["errors"][0]["code"]

    assert code(good.encode(), {"Content-Type": "text/csv"}) == "612"
    assert code(good.encode(), multipart) == "613"
    assert code(b"--b1\r\n\r\nemail\r\n", multipart) == "613"
    assert code(good.encode(), {"Content-Type": "multipart/form-data"}) == "613"
    other = b'--b1\r\nContent-Disposition: form-data; name="data"; filename="a"\r\n\r\nemail\r\n--b1--\r\n'
    assert code(other, multipart) == "613"
    assert marketo.server.state.jobs() == []


def test_a_body_of_ten_megabytes_is_too_large(marketo: Marketo) -> None:
    marketo.server.configure(bulk_body_bytes=5_000)
    row = "a@example.org\n"
    path = f"/bulk/v1/program/{EXPO}/members/import.json?format=csv&programMemberStatus=Registered"
    small = {"file": ("m.csv", "email\n" + row * 300, "text/csv")}
    large = {"file": ("m.csv", "email\n" + row * 400, "text/csv")}
    assert marketo.send("POST", path, files=small).json()["success"] is True
    assert marketo.send("POST", path, files=large).status_code == 413


def test_a_job_can_be_asked_about_for_seven_days(marketo: Marketo) -> None:
    job = run_job(marketo, "email\na@example.org\n")["batchId"]
    marketo.server.advance(6 * 86_400)
    marketo.sign_in()
    assert status(marketo, job)["status"] == "Complete"
    marketo.server.advance(2 * 86_400)
    marketo.sign_in()
    for kind in ("status", "failures", "warnings"):
        answer = marketo.get(f"/bulk/v1/program/members/import/{job}/{kind}.json")
        assert answer["errors"][0]["code"] == "1013"


def test_jobs_can_be_made_to_fail_to_wait_and_to_refuse_rows(marketo: Marketo) -> None:
    endpoint = "bulk.import.create"
    marketo.server.faults.add(
        Fault(endpoint=endpoint, job_message="Internal error"),
        Fault(name="wait", endpoint=endpoint, hold_job=True),
        Fault(endpoint=endpoint, row=RowFault(email_contains="B@", message="Blocked")),
    )
    jobs = [marketo.upload("email\na@example.org\nb@example.org\n")["result"][0]["batchId"] for _ in range(3)]
    marketo.server.advance(1000)
    failed, waiting, refused = (status(marketo, job) for job in jobs)
    assert (failed["status"], failed["message"]) == ("Failed", "Internal error")
    assert waiting["status"] == "Importing"
    assert (refused["numOfLeadsProcessed"], refused["numOfRowsFailed"]) == (1, 1)
    assert file_of(marketo, jobs[2], "failures")[1] == ["b@example.org", "Blocked"]
    marketo.server.faults.release("wait")
    assert status(marketo, jobs[1])["status"] == "Complete"
