from __future__ import annotations

import pytest

from destination_marketo_programs.rehearsal.members import moves
from destination_marketo_programs.rehearsal.overlay import Overlay

STEPS = {(1, "Invited"): 10, (1, "Registered"): 20, (1, "Waitlisted"): 20, (1, "Attended"): 30, (2, "Invited"): 40}


@pytest.mark.parametrize(
    ("before", "wanted", "changes"),
    [
        ("Invited", "Registered", True),
        ("Invited", "Invited", False),
        ("Registered", "Waitlisted", True),
        ("Attended", "Registered", False),
        ("Removed meanwhile", "Registered", True),
        ("Removed meanwhile", "Removed meanwhile", False),
        ("Registered", "Unknown", True),
    ],
)
def test_members_go_forward_and_sideways_only(before: str, wanted: str, *, changes: bool) -> None:
    assert moves(STEPS, 1, before, wanted) is changes


def test_new_people_have_ids_that_no_lead_has() -> None:
    overlay = Overlay()
    assert overlay.person("a@example.org") is None
    first, second = overlay.add_person("a@example.org"), overlay.add_person("b@example.org")
    assert first != second
    assert max(first, second) < 0
    assert overlay.person("a@example.org") == first
    assert overlay.people == 2
    overlay.close()


def test_memberships_are_kept_by_program_with_the_status_before() -> None:
    overlay = Overlay()
    overlay.put(1, [(7, "Registered", "Invited"), (-1, "Registered", None)])
    overlay.put(2, [(7, "Invited", None)])
    overlay.put(1, [(7, "Attended", "Registered")])
    assert overlay.statuses(1, [7, -1, 8]) == {7: "Attended", -1: "Registered"}
    assert overlay.statuses(2, [7, -1]) == {7: "Invited"}
    assert overlay.before(1, 7) == "Registered"
    assert overlay.before(1, -1) is None
    assert overlay.before(3, 7) is None
    overlay.close()
