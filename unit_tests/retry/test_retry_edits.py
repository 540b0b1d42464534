"""Corrections in a spreadsheet's CSV: what a person changed, what the spreadsheet changed, and what nobody can know."""

from __future__ import annotations

import contextlib
import csv
import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from destination_marketo_programs.report.cells import Number, leaf_cell
from destination_marketo_programs.retry.edits import EditError, Row, corrections, read_edits

if TYPE_CHECKING:
    from pathlib import Path

HEADER = ["Record", "Key", "record.email", "record.n"]


def written(folder: Path, rows: list[list[str]], *, encoding: str = "utf-8", **dialect: Any) -> Path:
    text = io.StringIO(newline="")
    csv.writer(text, **dialect).writerows([HEADER, *rows])
    path = folder / "fixes.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
def test_any_quoting_separator_and_encoding_is_read(
    tmp_path: Path, encoding: str, delimiter: str, quoting: int
) -> None:
    rows = [["0a1b", "k", "zoë@x.y", "a,b;c"]]
    path = written(tmp_path, rows, encoding=encoding, delimiter=delimiter, quoting=quoting)
    edits = read_edits(path)
    assert edits.rows == {"0a1b": Row(2, {"email": "zoë@x.y", "n": "a,b;c"})}
    assert edits.decimal_comma == (delimiter != ",")


def test_a_separator_line_blank_rows_other_line_ends_and_apostrophes_are_read(tmp_path: Path) -> None:
    path = tmp_path / "fixes.csv"
    path.write_bytes(b"sep=;\r\nKey;record_ref;'record.=x\rk;'123456789012;1\r;;\r")
    assert read_edits(path).rows == {"123456789012": Row(2, {"=x": "1"})}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([["", "k", "a", ""]], 'Row 2 has nothing in the column "Record"'),
        ([["r", "k", "a", "1"], ["x", "k", "a", "1", "more"]], "Row 3 has more cells"),
        ([["r", "k", "a", "1"], ["r", "k", "b", "1"]], "Rows 2 and 3 are one record"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path: Path, rows: list[list[str]], told: str) -> None:
    with pytest.raises(EditError, match=told):
        read_edits(written(tmp_path, rows))


@pytest.mark.parametrize("content", [b"", b"a,b\n1,2\n", b"\x00\x01\x02"])
def test_a_file_without_the_record_column_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(EditError, match='no column "Record"'):
        read_edits(tmp_path / "x.csv")


def changed(old: Any, cell: str, *, decimal_comma: bool = False) -> dict[str, Any]:
    return corrections(Row(7, {"a": cell}), {"a": old}, decimal_comma=decimal_comma)


@pytest.mark.parametrize(
    ("old", "cell"),
    [
        ("x", "x"),
        ("=x", "'=x"),
        ("=x", "=x"),
        (None, ""),
        (True, "TRUE"),
        (False, "Falsch"),
        ("a\nb", "a\r\nb"),
        (Number("1884518522168426"), "1.88452E+15"),
        (Number("1884518522168426"), "1,88452E+15"),
        (Number("12345678901234567890"), "12345678901234500000"),
        (Number("1.50"), "1.5"),
        ("1884518522.1684267241", "1884518522.16843"),
        ("00123", "123"),
        ("4915112345678", "4.91511E+12"),
        ("2026-11-23", "23.11.2026"),
        ("2026-11-23", "11/23/2026"),
        ("Łukasz", "?ukasz"),
        ([Number("1"), "a"], '[1, "a"]'),
        ({}, "{}"),
    ],
)
def test_what_a_spreadsheet_changes_by_itself_is_no_correction(old: Any, cell: str) -> None:
    assert changed(old, cell, decimal_comma="," in cell) == {}
    assert changed(old, leaf_cell(old)) == {}


@pytest.mark.parametrize(
    ("old", "cell", "new"),
    [
        ("x", "y", "y"),
        ("x", "", ""),
        (Number("5"), "", None),
        (None, "ada@x.y", "ada@x.y"),
        ("12 apples", "12", "12"),
        (Number("12"), "13", Number("13")),
        (Number("1.5"), "1,75", Number("1.75")),
        (Number("12"), "none", "none"),
        (True, "false", False),
        ("+1", "'+2", "+2"),
        (["a"], '["b"]', ["b"]),
        ("2026-11-23", "2026-11-24", "2026-11-24"),
        ("00123", "124", "124"),
        (Number("12345678901234567890"), "12345678901234567891", Number("12345678901234567891")),
        (Number("123"), "124", Number("124")),
    ],
)
def test_what_a_person_changed_is_taken(old: Any, cell: str, new: Any) -> None:
    assert changed(old, cell, decimal_comma="," in cell) == {"a": new}


@pytest.mark.parametrize(
    ("old", "cell", "told"),
    [
        (Number("1884518522168426"), "1.23E+15", "short form"),
        ("4915112345678", "4.9E+13", "short form"),
        ("2026-11-23", "24.12.2026", "Write it like 2026-11-23"),
        (["a"], "b", "not valid JSON"),
    ],
)
def test_what_nobody_wrote_is_told_with_its_row(old: Any, cell: str, told: str) -> None:
    with pytest.raises(EditError, match=told) as caught:
        changed(old, cell)
    assert str(caught.value).startswith('Row 7, column "record.a": ')


def test_a_column_that_the_record_lacks_is_added_only_where_something_stands_in_it() -> None:
    assert corrections(Row(2, {"email": " ", "b": "x"}), {"a": "1"}, decimal_comma=False) == {"b": "x"}


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=200)
    | st.text(alphabet="Record,;\t\"'\r\n\0=E+1.é", max_size=60).map(lambda text: f"Record,record.a\n{text}".encode()),
    st.none() | st.booleans() | st.text(max_size=8) | st.integers().map(lambda number: Number(str(number))),
)
def test_no_file_is_too_odd_to_be_told(tmp_path_factory: pytest.TempPathFactory, content: bytes, old: Any) -> None:
    path = tmp_path_factory.mktemp("odd") / "fixes.csv"
    path.write_bytes(content)
    with contextlib.suppress(EditError):
        edits = read_edits(path)
        for row in edits.rows.values():
            assert corrections(row, {"a": old}, decimal_comma=edits.decimal_comma).keys() <= row.cells.keys()
