"""What a write would have changed, laid over what Marketo shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from destination_marketo_programs.delivery.statuses import Statuses
from destination_marketo_programs.dryrun.overlay import Overlay

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUSES = Statuses(
    {
        (1, "Invited"): (10, False, 1, True),
        (1, "Registered"): (20, False, 2, True),
        (1, "Waitlisted"): (20, False, 3, True),
        (1, "Attended"): (30, True, 4, True),
        (2, "Invited"): (40, False, 1, True),
    }
)


@pytest.fixture
def overlay() -> Iterator[Overlay]:
    made = Overlay()
    yield made
    made.close()


@pytest.mark.parametrize(
    ("before", "wanted", "changes"),
    [
        ("Invited", "Registered", True),
        ("Invited", "Invited", False),
        ("Registered", "Waitlisted", True),
        ("Waitlisted", "Registered", True),
        ("Attended", "Registered", False),
        ("Removed meanwhile", "Registered", True),
        ("Removed meanwhile", "Removed meanwhile", False),
        ("Registered", "Unknown", True),
    ],
)
def test_members_go_forward_and_sideways_only(before: str, wanted: str, *, changes: bool) -> None:
    assert STATUSES.moves(1, before, wanted) is changes


def test_new_people_have_ids_that_no_lead_has(overlay: Overlay) -> None:
    assert overlay.person("a@example.org") is None
    first, second = overlay.add_person("a@example.org"), overlay.add_person("b@example.org")
    assert first != second
    assert max(first, second) < 0
    assert overlay.person("a@example.org") == first
    assert overlay.people == 2


def test_memberships_are_kept_by_program(overlay: Overlay) -> None:
    overlay.put(1, [(7, "Registered"), (-1, "Registered")])
    overlay.put(2, [(7, "Invited")])
    overlay.put(1, [(7, "Attended")])
    assert overlay.statuses(1, [7, -1, 8]) == {7: "Attended", -1: "Registered"}
    assert overlay.statuses(2, [7, -1]) == {7: "Invited"}


def test_rows_of_a_person_are_counted(overlay: Overlay) -> None:
    assert [overlay.count_rows(key, rows) for key, rows in (("a", 2), ("b", 1), ("a", 1), ("a", 1))] == [0, 0, 2, 3]
