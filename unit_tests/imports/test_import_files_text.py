"""Lines of an import file, and result files back to rows."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.imports.csv_rows import RowMaker, csv_line, read_csv_line
from destination_marketo_programs.imports.results import Reasons, adds_up, join, read_reasons, row_refusal
from destination_marketo_programs.mapping import fold_address as fold
from destination_marketo_programs.marketo.bulk_import import ImportStatus, JobState
from destination_marketo_programs.model import Person

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))


def person(email: str | None = "ada@example.org", **fields: object) -> Person:
    members = {name: fields.pop(name) for name in list(fields) if name.startswith("member_")}
    return Person(None, email, None if email is None else fold(email), dict(fields), members)


# --- lines ---------------------------------------------------------------------------------------------------------


@given(st.lists(TEXTS, min_size=1, max_size=5))
def test_a_line_reads_back_as_it_was_whatever_it_holds(cells: list[str]) -> None:
    line = csv_line(cells)
    assert read_csv_line(line) == cells
    assert line.endswith(b"\r\n")
    two_lines = (line + line).decode("utf-8")
    assert list(csv.reader(io.StringIO(two_lines, newline=""), strict=True)) == [cells, cells]


def test_columns_are_email_then_lead_fields_then_membership_fields() -> None:
    row = RowMaker().row_of(person(firstName="Ada", title="Dr", member_code=7))
    assert row is not None
    assert row.shape.columns == ("email", "firstName", "title", "member_code")
    assert row.shape.header() == b"email,firstName,title,member_code\r\n"
    assert row.shape.has_member_fields
    assert row.line == b"ada@example.org,Ada,Dr,7\r\n"


def test_scalars_are_written_as_json_has_them() -> None:
    row = RowMaker().row_of(person(a=True, b=False, c=1.5, d=10**20, e='say "hi", you\n', f="ä"))
    assert row is not None
    assert row.line == 'ada@example.org,true,false,1.5,100000000000000000000,"say ""hi"", you\n",ä\r\n'.encode()


def test_records_with_other_fields_have_another_shape_for_an_empty_cell_would_clear() -> None:
    maker = RowMaker()
    shapes = {row.shape for row in (maker.row_of(person(a="1", b="2")), maker.row_of(person(a="1"))) if row}
    assert len(shapes) == 2
    again = maker.row_of(person(a="other", b="x"))
    assert again is not None
    assert again.shape in shapes


@pytest.mark.parametrize(
    "made",
    [
        person(None, a="1"),
        Person(40217, "ada@example.org", "ada@example.org", {}, {}),
        person(a=["not", "a", "scalar"]),
        person(a="\ud800"),
        person(EMAIL="x"),
        Person(None, "a@b.c", "a@b.c", {"seat": 1}, {"Seat": 2}),
        person(a=None),
        person(a=""),
        Person(None, "a@b.c", "a@b.c", {}, {"statusReason": "x"}),
        Person(None, "a@b.c", "a@b.c", {}, {}, if_blank={"title": "x"}),
        Person(None, "a@b.c", "a@b.c", {}, {}, on_create={"title": "x"}),
    ],
    ids=[
        "no email",
        "Marketo id",
        "list",
        "half a surrogate pair",
        "second email",
        "name of two fields",
        "null",
        "blank",
        "standard field of the membership",
        "if_blank",
        "on_create",
    ],
)
def test_who_can_only_go_over_rest(made: Person) -> None:
    assert RowMaker().row_of(made) is None


# --- result files ----------------------------------------------------------------------------------------------------


def result_file(rows: list[tuple[str, str]], header: str = "email") -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([header, "firstName", "Import Failure Reason"])
    writer.writerows([email, "x, y\n", reason] for email, reason in rows)
    return out.getvalue().encode()


def joined_by_email(content: bytes, sent: list[str]) -> tuple[dict[str, str], bool]:
    by_hash = {hash(fold(email)): email for email in sent}
    found = join(read_reasons(content), by_hash, lambda: [(row, fold(email)) for row, email in by_hash.items()])
    return {by_hash[row]: reason for row, reason in found.by_row.items()}, found.exact


EMAILS = st.lists(
    st.one_of(
        st.emails(),
        st.sampled_from(
            [
                "o'hara+x@Example.org",
                '"a, b"@example.org',
                'quo"ted@example.org',
                "STRASSE@x.de",
                "a;b@x.y",
                "no address",
            ]
        ),
    ),
    min_size=1,
    max_size=20,
    unique_by=lambda email: fold(email).replace('"', "").replace("'", "").replace(" ", ""),
)


@given(EMAILS, st.data())
def test_each_failure_names_its_row_in_any_order_and_spelling(emails: list[str], data: st.DataObject) -> None:
    failed = data.draw(st.lists(st.sampled_from(emails), unique=True))
    shown = [
        (data.draw(st.sampled_from([email, email.upper(), f"  {email} ", email.lower()])), f"reason {number}")
        for number, email in enumerate(failed)
    ]
    found, exact = joined_by_email(result_file(shown), emails)
    assert exact
    assert found == {email: f"reason {number}" for number, email in enumerate(failed)}


def test_an_address_in_other_clothes_still_names_its_row() -> None:
    content = result_file(
        [('"ada@example.org"', "one"), ("<bob@example.org>", "two"), ("\ufeffcyd@example.org", "three")]
    )
    found, exact = joined_by_email(content, ["ada@example.org", "bob@example.org", "cyd@example.org"])
    assert exact
    assert found == {"ada@example.org": "one", "bob@example.org": "two", "cyd@example.org": "three"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (result_file([("ada@example.org", "one"), ("eve@example.org", "two")]), ["ada@example.org"]),
        (result_file([("ada@example.org", "one"), ("ADA@example.org", "two")]), ["ada@example.org"]),
        (result_file([("ada@example.org", "one")]) + b'bob@example.org,"cut sho', ["ada@example.org"]),
        (result_file([("ada@example.org", "one"), ("", "two")]), ["ada@example.org"]),
    ],
    ids=["not sent", "twice", "cut short", "no address"],
)
def test_a_file_that_does_not_name_rows_one_by_one_is_not_exact(content: bytes, named: list[str]) -> None:
    found, exact = joined_by_email(content, ["ada@example.org", "bob@example.org"])
    assert list(found) == named
    assert not exact


def test_headers_differ_and_files_may_be_empty() -> None:
    assert read_reasons(b"") == Reasons([])
    assert read_reasons(b"\xef\xbb\xbfemail,Import Failure Reason\n") == Reasons([])
    assert read_reasons(b"firstName,Email Address,Why\nAda,a@b.c,because\n") == Reasons([("a@b.c", "because")])
    # A row that was broken when it was sent comes back with too many cells.
    assert read_reasons(b"email,firstName,Why\na@b.c,x,y,Number of values\n") == Reasons(
        [("a@b.c", "Number of values")]
    )


@pytest.mark.parametrize(
    ("processed", "failed", "named", "fits"),
    [(9, 1, 1, True), (10, 0, 0, True), (9, 1, 0, False), (8, 1, 1, False), (None, 1, 1, False), (9, None, 1, False)],
)
def test_every_row_has_to_be_accounted_for(
    processed: int | None, failed: int | None, named: int, *, fits: bool
) -> None:
    status = ImportStatus(1, JobState.COMPLETE, processed, failed, 0, None, None)
    reasons = Reasons([(f"p{number}@x.y", "why") for number in range(named)])
    failures = join(reasons, {hash(f"p{number}@x.y") for number in range(10)}, list)
    assert adds_up(status, 10, failures) is fits


# --- words of Marketo ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "category"),
    [
        ("Invalid data type in field Lead Score", "FIELD_INVALID"),
        ("Value too long in field First Name", "FIELD_INVALID"),
        ("Invalid email address", "INVALID_EMAIL"),
        ("Email Address is missing", "INVALID_EMAIL"),
        ("Invalid characters in field Email Address", "INVALID_EMAIL"),
        ("Multiple people match the email address", "DUPLICATE_LEADS"),
        ("Lead duplicate found", "DUPLICATE_LEADS"),
        ("Lead partition access denied", "PARTITION_DENIED"),
        ("Program status 'Attend' not found", "STATUS_NOT_FOUND"),
        ("Person is already past this program status", None),
        ("Number of values does not match number of columns", "RECORD_REFUSED"),
        ("", "RECORD_REFUSED"),
    ],
)
def test_sentences_of_a_failure_file(text: str, category: str | None) -> None:
    refusal = row_refusal(text, "r#1")
    assert (refusal.refusal and refusal.refusal.category) == category
    assert refusal.message == text
    if refusal.refusal is not None:
        assert (refusal.refusal.message, refusal.refusal.request_id, refusal.refusal.code) == (text, "r#1", None)
        assert refusal.of_person is (category != "STATUS_NOT_FOUND")
