"""Which rows form a file: the stage that delivers and the forecast of a dry run decide by one rule."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from imports_bench import STATUSES, Bench, map_record

from destination_marketo_programs.delivery.entry import Entry
from destination_marketo_programs.delivery.ledger import Segment
from destination_marketo_programs.dryrun.files import PlannedFiles
from destination_marketo_programs.dryrun.overlay import Overlay
from destination_marketo_programs.imports.csv_rows import Shape
from destination_marketo_programs.imports.files import FilePlanner, Group
from destination_marketo_programs.imports.pace import rows_worth_a_job

SHAPE = Shape(("email", "firstName"), 1)
GROUPS = [Group(1, "Registered", SHAPE), Group(2, "Registered", SHAPE), Group(1, "Attended", SHAPE)]
WORTH = rows_worth_a_job()


def due(planner: FilePlanner, now: float, **changes: Any) -> list[int]:
    """Rows of files that go over REST."""
    options = {"ended": False, "open_to_files": True, "full": False, "free_slots": 4, "idle": True, **changes}
    return [file.rows for file in planner.close_due(now, **options)]


def planner(*rows: int, always: bool = False, born: float = 0.0) -> FilePlanner:
    made = FilePlanner(60.0, always=always)
    for group, count in zip(GROUPS, rows, strict=False):
        for _ in range(count):
            made.place(group, born, 20)
    return made


def test_a_file_worth_a_job_goes_when_its_first_row_is_old_and_not_before() -> None:
    made = planner(WORTH)
    assert due(made, 59.0) == []
    assert not made.ready
    assert due(made, 60.0) == []
    assert [file.rows for file in made.ready] == [WORTH]


def test_as_long_as_a_file_has_to_wait_for_a_slot_it_goes_on_filling() -> None:
    made = planner(WORTH)
    assert due(made, 100.0, free_slots=0) == []
    assert not made.ready
    made.place(GROUPS[0], 100.0, 20)
    due(made, 100.0, free_slots=1)
    assert [file.rows for file in made.ready] == [WORTH + 1]


def test_rows_that_are_too_few_go_over_rest_together() -> None:
    made = planner(3, 5, WORTH)
    assert sorted(due(made, 60.0)) == [3, 5]
    assert [file.rows for file in made.ready] == [WORTH]


def test_at_the_end_everything_is_due_at_once() -> None:
    made = planner(WORTH, 5)
    assert due(made, 0.0, ended=True, free_slots=0) == [5]
    assert [file.rows for file in made.ready] == [WORTH]


def test_with_method_bulk_what_is_left_goes_by_file_but_once() -> None:
    """What had to wait behind another row of its person would make a job for each of that person's rows."""
    made = planner(1, always=True)
    assert due(made, 0.0, ended=True) == []
    assert [file.rows for file in made.ready] == [1]
    made.place(GROUPS[0], 0.0, 20)
    assert due(made, 0.0, ended=True) == [1]


def test_if_imports_are_not_possible_everything_goes_over_rest() -> None:
    made = planner(WORTH, 5)
    assert sorted(due(made, 0.0, open_to_files=False)) == [5, WORTH]


def test_if_room_is_needed_the_largest_file_goes_and_rest_only_if_there_is_none() -> None:
    made = planner(WORTH, WORTH + 1, 3)
    assert due(made, 0.0, full=True, free_slots=1, idle=False) == []
    assert [file.rows for file in made.ready] == [WORTH + 1]
    assert due(planner(3, 5), 0.0, full=True, idle=False) == []
    assert sorted(due(planner(3, 5), 0.0, full=True)) == [3, 5]


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(5, 60)), max_size=80), st.integers(100, 400))
def test_files_are_cut_by_bytes_and_no_row_is_lost(rows: list[tuple[int, int]], limit: int) -> None:
    made = FilePlanner(60.0, always=True, max_file_bytes=limit)
    expected: Counter[Group] = Counter()
    for group, size in rows:
        if made.fits(GROUPS[group], size):
            made.place(GROUPS[group], 0.0, size)
            expected[GROUPS[group]] += 1
    assert due(made, 0.0, ended=True) == []
    assert all(file.size_bytes <= limit for file in made.ready)
    assert len({file.number for file in made.ready}) == len(made.ready)
    planned: Counter[Group] = Counter()
    for file in made.ready:
        planned[file.group] += file.rows
    assert planned == expected


loads = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.sampled_from([[1004], [1005], [1004, 1005], [1009]]),
        st.sampled_from([{}, {"title": "x"}, {"marketo": 17}]),
    ),
    max_size=60,
    unique_by=lambda record: record[0],
)


@settings(max_examples=60)
@given(load=loads, limit=st.integers(120, 400))
def test_the_stage_and_the_forecast_give_the_same_files_for_the_same_rows(
    load: list[tuple[int, list[int], dict[str, Any]]], limit: int
) -> None:
    """All rows at one moment, each person once; a person's programs follow each other."""
    bench = Bench(always=True, max_file_bytes=limit)
    overlay = Overlay()
    planned = PlannedFiles(overlay, STATUSES, always=True, max_file_bytes=limit)
    for number, programs, more in load:
        email = f"p{number:02d}@x.y"
        bench.record(number, email, programs=programs, **more)
        mapped = map_record("s", {"id": number, "email": email, "firstName": str(number), "programs": programs, **more})
        assert mapped.person is not None
        entry = Entry(
            ("", "s"), "1", False, b"line", 0.0, Segment(), mapped.person, mapped.targets, len(mapped.targets)
        )
        planned.accept([entry])
    bench.ended = True
    bench.go(600.0, step=5.0)
    forecast = planned.forecast()
    assert sum(len(rows) for _, _, rows in bench.marketo.uploads) == forecast.rows
    assert len(bench.marketo.uploads) == forecast.files
    assert {program for program, _, _ in bench.marketo.uploads} == {group.program_id for group in forecast.groups}
    bench.stage.close()
    overlay.close()
