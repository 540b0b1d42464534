"""Rows on disk: order, places, counts, and nothing left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from destination_marketo_programs.imports.spool import FOR_REST, PARKED, Spool, SpoolError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from destination_marketo_programs.imports.spool import Row


def filled(count: int, place: int = 1) -> Spool:
    spool = Spool()
    for number in range(count):
        spool.add(place, 1000 + number, 7, float(number), b"line %d\r\n" % number, b"record %d" % number)
    return spool


def test_rows_come_back_in_order_of_arrival_and_whole() -> None:
    spool = filled(5)
    rows = spool.first(1, 3)
    assert [(row.person, row.group, row.born, row.line, row.record) for row in rows] == [
        (1000 + n, 7, float(n), b"line %d\r\n" % n, b"record %d" % n) for n in range(3)
    ]
    assert spool.lines(1) == b"".join(b"line %d\r\n" % n for n in range(5))
    assert spool.people(1) == {1000, 1001, 1002, 1003, 1004}
    spool.remove(rows)
    assert [row.person for row in spool.first(1, 9)] == [1003, 1004]


def test_what_waits_is_counted() -> None:
    spool = filled(4)
    full = spool.size_bytes
    assert spool.rows == 4
    assert full > 4 * len(b"line 0\r\nrecord 0")
    (row,) = spool.first(1, 1)
    spool.put(row, 2, 8, row.record + b"longer")
    assert spool.size_bytes == full + len(b"longer")
    (moved,) = spool.first(2, 5)
    spool.remove([moved, *spool.first(1, 9)])
    assert (spool.rows, spool.size_bytes) == (0, 0)


def test_a_file_splits_in_order() -> None:
    spool = filled(5)
    assert spool.split(1, 2, 2) == [(2.0, 8), (3.0, 8), (4.0, 8)]
    assert [row.person for row in spool.first(1, 9)] == [1000, 1001]
    assert [row.person for row in spool.first(2, 9)] == [1002, 1003, 1004]
    assert spool.split(1, 3, 5) == []


def test_parked_rows_move_up_one_by_one_or_go_over_rest_together() -> None:
    spool = Spool()
    for number, (place, person) in enumerate([(1, 5), (PARKED, 5), (PARKED, 6), (PARKED, 5), (FOR_REST, 6)]):
        spool.add(place, person, 1, float(number), b"l", b"r")
    parked = spool.next_parked(5)
    assert parked is not None
    assert parked.born == 1.0
    assert spool.next_parked(99) is None
    assert spool.unpark_behind_rest() == 1
    assert [row.born for row in spool.first(FOR_REST, 9)] == [2.0, 4.0]
    assert spool.unpark(5) == 2
    assert [row.born for row in spool.first(FOR_REST, 9)] == [1.0, 2.0, 3.0, 4.0]


def test_the_file_has_no_name_while_it_is_in_use(tmp_path: Path) -> None:
    spool = Spool(str(tmp_path))
    for number in range(50_000):
        spool.add(1, number, 1, 0.0, b"x" * 400, b"y" * 400)
    assert list(tmp_path.iterdir()) == []
    assert len(spool.lines(1)) == 20_000_000
    spool.close()


def test_without_a_folder_it_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="TMPDIR"):
        Spool(str(tmp_path / "missing"))


@pytest.mark.parametrize(
    "use",
    [
        lambda spool, _row: spool.add(1, 1, 1, 0.0, b"x" * 100_000, b""),
        lambda spool, row: spool.put(row, 2, 7, b"x" * 100_000),
    ],
    ids=["a row comes", "a row moves"],
)
def test_a_full_disk_is_told_as_such(use: Callable[[Spool, Row], None]) -> None:
    spool = filled(1)
    (row,) = spool.first(1, 1)
    spool._execute("PRAGMA max_page_count = 1")
    with pytest.raises(SpoolError, match="set TMPDIR to a larger folder"):
        use(spool, row)


def test_a_sample_is_spread_over_the_file_and_holds_its_last_row() -> None:
    spool = filled(10)
    assert spool.sample(1, 20) == [b"line %d\r\n" % n for n in range(9, -1, -1)]
    some = spool.sample(1, 3)
    assert some == [b"line 9\r\n", b"line 5\r\n", b"line 1\r\n"]
    assert spool.sample(7, 3) == []
