"""Which records would go by file, and what is left to REST."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from destination_marketo_programs.delivery.entry import Entry
from destination_marketo_programs.delivery.ledger import Segment
from destination_marketo_programs.delivery.statuses import Statuses
from destination_marketo_programs.dryrun.files import MOST_TURNS, FilesForecast, PlannedFiles
from destination_marketo_programs.dryrun.overlay import Overlay
from destination_marketo_programs.imports.pace import bulk_forecast, rows_worth_a_job
from destination_marketo_programs.model import Person, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

WORTH = rows_worth_a_job()
A, B = (1004, "Registered"), (1234, "Invited")


@pytest.fixture
def overlay() -> Iterator[Overlay]:
    made = Overlay()
    yield made
    made.close()


STATUSES = Statuses(
    {
        (1004, "Registered"): (20, False, 1, True),
        (1234, "Invited"): (10, False, 1, True),
        (1006, "Attended"): (30, True, 1, True),
        (1007, "Attended"): (30, True, 1, True),
        (1007, "No Show"): (30, False, 2, True),
        **{(1004, f"status {number}"): (40 + number, False, 5 + number, True) for number in range(3)},
    }
)


def entry(
    number: int, *targets: tuple[int, str], marketo_id: int | None = None, member_field: bool = False, **fields: str
) -> Entry:
    email = f"p{number:07}@example.org"
    return with_person(
        Person(marketo_id, email, email, {"firstName": "Ada", **fields}, {"seat": 1} if member_field else {}), *targets
    )


def with_person(person: Person, *targets: tuple[int, str]) -> Entry:
    wanted = [Target(*target, None) for target in targets or (A,)]
    return Entry(("", "s"), "1", False, b"line", 0.0, Segment(), person, wanted, len(wanted))


def filled(overlay: Overlay, *records: Entry, always: bool = False, **limits: int) -> FilesForecast:
    planned = PlannedFiles(overlay, STATUSES, always=always, **limits)
    planned.accept(records)
    return planned.forecast()


def test_a_group_goes_by_file_from_the_rule_on(overlay: Overlay) -> None:
    forecast = filled(overlay, *(entry(number) for number in range(WORTH)))
    (group,) = forecast.groups
    line = len("p0000000@example.org,Ada\r\n")
    wanted = bulk_forecast(WORTH, WORTH * line)
    assert group == (*A, WORTH, wanted.files, wanted.calls, 0)
    assert forecast.seconds == wanted.seconds
    assert (forecast.rest_people, forecast.rest_memberships) == (0, 0)


def test_one_row_less_goes_over_rest(overlay: Overlay) -> None:
    forecast = filled(overlay, *(entry(number) for number in range(WORTH - 1)))
    assert forecast == ((), 0.0, -(-(WORTH - 1) // 300), -(-(WORTH - 1) // 300))


def test_membership_fields_make_a_file_pay_earlier_and_rest_dearer(overlay: Overlay) -> None:
    least = rows_worth_a_job(member_fields=True)
    records = [entry(number, member_field=True) for number in range(least)]
    assert filled(overlay, *records).rows == least
    fewer = filled(Overlay(), *records[1:])
    assert (fewer.rows, fewer.rest_memberships) == (0, 2 * -(-(least - 1) // 300))


def test_with_bulk_every_row_that_can_goes_by_file(overlay: Overlay) -> None:
    forecast = filled(overlay, entry(1), entry(2, B), entry(3, B, marketo_id=7), always=True)
    assert [group[:4] for group in forecast.groups] == [(*A, 1, 1), (*B, 1, 1)]
    assert forecast.groups[1].rest_rows == 1
    assert (forecast.rest_people, forecast.rest_memberships) == (1, 1)


@pytest.mark.parametrize(
    "record",
    [
        entry(1, marketo_id=7),
        with_person(Person(None, None, None, {}, {})),
        entry(1, firstName="x" * 1_000),
        entry(1, (1007, "Attended")),
    ],
    ids=["Marketo id", "no email", "longer than a file", "statuses of one step"],
)
def test_what_only_rest_can_do_is_left_to_it(overlay: Overlay, record: Entry) -> None:
    assert filled(overlay, record, always=True, max_file_bytes=1_000) == ((), 0.0, 1, 1)


def test_files_are_cut_by_bytes_with_their_header(overlay: Overlay) -> None:
    header, line = len("email,firstName\r\n"), len("p0000000@example.org,Ada\r\n")
    ten = [entry(number) for number in range(10)]
    assert filled(overlay, *ten, always=True, max_file_bytes=header + 5 * line).files == 2
    assert filled(Overlay(), *ten, always=True, max_file_bytes=header + 5 * line - 1).files == 3


def test_the_last_file_of_a_group_has_to_pay_too(overlay: Overlay) -> None:
    header, line = len("email,firstName\r\n"), len("p0000000@example.org,Ada\r\n")
    records = [entry(number) for number in range(WORTH + 10)]
    (group,) = filled(overlay, *records, max_file_bytes=header + WORTH * line).groups
    assert (group.rows, group.files, group.rest_rows) == (WORTH, 1, 10)


def test_other_columns_are_another_file(overlay: Overlay) -> None:
    (group,) = filled(overlay, entry(1), entry(2, title="Countess"), always=True).groups
    assert (group.rows, group.files) == (2, 2)


def test_a_persons_rows_go_one_after_the_other(overlay: Overlay) -> None:
    once = [entry(number) for number in range(WORTH)]
    twice = filled(overlay, *once, *once)
    assert (twice.rows, twice.files) == (2 * WORTH, 2)
    assert twice.seconds == 2 * filled(Overlay(), *once).seconds
    assert filled(Overlay(), *once[:700], *once[:700]).files == 0, "1,400 rows, and never more than 700 at a time"
    both = filled(Overlay(), *(entry(number, A, B) for number in range(WORTH)))
    assert [group.rows for group in both.groups] == [WORTH, WORTH]
    assert both.seconds == twice.seconds


def test_two_jobs_run_side_by_side(overlay: Overlay) -> None:
    one = filled(Overlay(), *(entry(number) for number in range(WORTH))).seconds
    groups = [A, B, (1006, "Attended")]
    records = [entry(position * WORTH + n, group) for position, group in enumerate(groups) for n in range(WORTH)]
    assert filled(Overlay(), *records[: 2 * WORTH]).seconds == one
    assert filled(overlay, *records).seconds == 2 * one


def test_no_more_than_fits_on_disk_waits_for_files_to_fill(overlay: Overlay) -> None:
    records = [entry(number) for number in range(3 * WORTH)]
    assert filled(overlay, *records, max_rows=WORTH).files == 3


def test_if_no_file_is_worth_a_job_and_the_disk_is_full_everything_goes_over_rest(overlay: Overlay) -> None:
    small = [entry(number, (1004, f"status {number % 3}")) for number in range(WORTH)]
    forecast = filled(overlay, *small, max_rows=900, always=True)
    assert forecast.rows == WORTH - 900
    assert forecast.rest_people == 3


def test_an_input_about_one_person_takes_no_memory(overlay: Overlay) -> None:
    """Each further row of that person would be a job of its own: all but the first go over REST."""
    forecast = filled(overlay, *(entry(1) for _ in range(MOST_TURNS + 600)), always=True)
    assert (forecast.files, forecast.rest_people) == (1, 3)


def test_what_memory_has_cut_down_goes_over_rest(overlay: Overlay) -> None:
    """A file would create a person with a part of its fields."""
    known = entry(1)
    known.whole = known.person
    assert filled(overlay, known, always=True).files == 0
