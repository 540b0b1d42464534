"""Each record sent has exactly one answer, and never somebody else's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.marketo.client import Reply
from destination_marketo_programs.marketo.rows import RowReply, by_index, by_seq, read_row


def reply(rows: list[Any]) -> Reply:
    return Reply(rows, "a#1", {})


SKIPPED = [{"code": "1037", "message": "Lead skipped"}]


@pytest.mark.parametrize(
    ("row", "read"),
    [
        ({"id": 7, "status": "created"}, ("created", 7, None, None)),
        ({"id": 7, "status": "updated", "reasons": []}, ("updated", 7, None, None)),
        ({"id": 7, "status": "updated", "reasons": None}, ("updated", 7, None, None)),
        ({"status": "updated"}, ("updated", None, None, None)),
        ({"status": "skipped", "reasons": SKIPPED}, ("", None, "1037", "Lead skipped")),
        ({"id": 7, "status": "skipped", "reasons": SKIPPED}, ("", 7, "1037", "Lead skipped")),
        ({"status": "skipped", "reason": SKIPPED[0]}, ("", None, "1037", "Lead skipped")),
        ({"status": "skipped", "reason": SKIPPED}, ("", None, "1037", "Lead skipped")),
        ({"status": "skipped", "reasons": [{"code": 1004}]}, ("", None, "1004", None)),
        ({"status": "skipped", "reasons": [{"message": "no code"}]}, ("", None, None, "no code")),
        ({"status": "skipped", "reasons": [{"code": "1007", "message": {"a": 1}}]}, ("", None, "1007", None)),
        ({"status": "skipped", "reasons": [*SKIPPED, {"code": "1"}]}, ("", None, "1037", "Lead skipped")),
        ({"status": "skipped"}, ("", None, None, None)),
        ({"status": "skipped", "reasons": "because"}, ("", None, None, None)),
        ({"id": 7, "reasons": [{"code": "501"}]}, ("", 7, "501", None)),
        ({"id": 7}, ("", 7, None, None)),
        ({"id": 7, "status": "failed"}, ("", 7, None, None)),
        ({"id": 7, "status": "Created"}, ("", 7, None, None)),
        ({"id": 7, "status": None}, ("", 7, None, None)),
        ({"id": 7, "status": ["created"]}, ("", 7, None, None)),
        ({"id": 7, "status": "created", "reasons": SKIPPED}, ("", 7, "1037", "Lead skipped")),
        ({"id": "7", "status": "created"}, ("created", None, None, None)),
        ({"id": True, "status": "created"}, ("created", None, None, None)),
        ({}, ("", None, None, None)),
        (None, ("", None, None, None)),
        ("created", ("", None, None, None)),
    ],
)
def test_a_row_is_accepted_only_if_it_says_so(row: Any, read: tuple[str, int | None, str | None, str | None]) -> None:
    """`success: true` says nothing of a record, and no member of a row is certain to be there."""
    assert read_row(row, "id", "a#1") == RowReply(*read, "a#1")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_leads_are_matched_by_index_and_only_if_the_numbers_fit(count: int) -> None:
    rows = [{"id": 7, "status": "created"}, {"status": "skipped", "reasons": SKIPPED}]
    assert by_index(reply(rows), count, "id") is None
    fitting = by_index(reply(rows), 2, "id")
    assert fitting is not None
    assert [row.lead_id for row in fitting] == [7, None]


# --- members, by seq -----------------------------------------------------------------------------------------

lead_ids = st.lists(st.integers(1, 10**9), min_size=1, max_size=30, unique=True)


def answers(leads: list[int], skipped: set[int]) -> list[dict[str, Any]]:
    """As Marketo answers: a skipped row does not name its lead."""
    return [
        {"seq": seq, "status": "skipped", "reasons": [{"code": str(lead)}]}
        if seq in skipped
        else {"seq": seq, "status": "created", "leadId": lead}
        for seq, lead in enumerate(leads)
    ]


@given(lead_ids, st.sets(st.integers(0, 29)), st.randoms(use_true_random=False))
def test_rows_in_any_order_find_their_leads(leads: list[int], skipped: set[int], random: Any) -> None:
    rows = answers(leads, skipped)
    random.shuffle(rows)
    replies = by_seq(reply(rows), leads)
    assert replies is not None
    for seq, (lead, row) in enumerate(zip(leads, replies, strict=True)):
        assert (row.code if seq in skipped else row.lead_id) == (str(lead) if seq in skipped else lead)
        assert row.request_id == "a#1"


@given(lead_ids, st.sets(st.integers(0, 29)))
def test_rows_without_any_seq_are_taken_in_order(leads: list[int], skipped: set[int]) -> None:
    rows = answers(leads, skipped)
    for row in rows:
        del row["seq"]
    replies = by_seq(reply(rows), leads)
    assert replies is not None
    assert [row.status for row in replies] == ["" if seq in skipped else "created" for seq in range(len(leads))]


@given(lead_ids, st.sets(st.integers(0, 29)), st.data())
def test_an_answer_that_leaves_out_repeats_adds_or_confuses_rows_is_none(
    leads: list[int], skipped: set[int], data: st.DataObject
) -> None:
    """Taken all the same, it would tell one person's fate as another's."""
    rows = answers(leads, skipped)
    place = data.draw(st.integers(0, len(rows) - 1))
    kind = data.draw(
        st.sampled_from(["drop", "repeat", "add", "seq out of range", "other lead", "seq as text", "no row"])
    )
    match kind:
        case "drop":
            del rows[place]
        case "repeat":
            rows.append(dict(rows[place]))
        case "add":
            rows.append({"seq": len(rows), "status": "created", "leadId": 1})
        case "seq out of range":
            rows[place]["seq"] = data.draw(st.sampled_from([-1, len(rows), 10**6]))
        case "other lead":
            rows[place] = {"seq": place, "status": "created", "leadId": leads[place] + 1}
        case "seq as text":
            rows[place]["seq"] = "x"
        case _:
            rows[place] = "skipped"  # type: ignore[call-overload]
    if kind == "no row" and len(rows) == 1:
        # Without any seq the one row is the one lead's: refused, for a reason nobody knows.
        assert by_seq(reply(rows), leads) == [RowReply("", None, None, None, "a#1")]
    else:
        assert by_seq(reply(rows), leads) is None


@given(lead_ids.filter(lambda leads: len(leads) > 1), st.data())
def test_one_seq_twice_is_none_even_if_the_number_of_rows_fits(leads: list[int], data: st.DataObject) -> None:
    rows = answers(leads, set(range(30)))
    first, second = data.draw(st.permutations(range(len(rows))))[:2]
    rows[first]["seq"] = second
    assert by_seq(reply(rows), leads) is None
