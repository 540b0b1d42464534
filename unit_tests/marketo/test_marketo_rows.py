"""Each record sent has exactly one answer, and never somebody else's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.marketo.calls import Reply
from destination_marketo_programs.marketo.envelope import MisshapenError
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
        ({"id": 7, "reasons": [{"code": "501"}]}, ("", 7, "501", None)),
        ({"id": 7}, ("", 7, None, None)),
        ({"id": 7, "status": "failed"}, ("", 7, None, None)),
        ({"id": 7, "status": "Created"}, ("", 7, None, None)),
        ({"id": 7, "status": None}, ("", 7, None, None)),
        ({"id": 7, "status": "created", "reasons": SKIPPED}, ("", 7, "1037", "Lead skipped")),
        ({"id": "7", "status": "created"}, ("created", 7, None, None)),
        ({"status": "skipped", "reasons": [{"code": "Ada Byron exists", "message": "m"}]}, ("", None, None, "m")),
        ({"status": "skipped", "reasons": [{"code": {"a": 1}}]}, ("", None, None, None)),
        ({}, ("", None, None, None)),
    ],
)
def test_a_row_is_accepted_only_if_it_says_so(row: Any, read: tuple[str, int | None, str | None, str | None]) -> None:
    """`success: true` says nothing of a record, and no member of a row is certain to be there."""
    assert read_row(row, "id", "a#1") == RowReply(*read, "a#1")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"status": "skipped", "reasons": "because"}, "`reasons` is a text and not a list"),
        ({"status": "skipped", "reasons": [7]}, "`reasons[]` is a number and not an object"),
        ({"id": 7, "status": ["created"]}, "`status` is a list and not a text"),
        ({"id": True, "status": "created"}, "`id` is true or false and not a whole number"),
        ({"id": "seven", "status": "created"}, "`id` is a text and not a whole number"),
        ({"id": 7.5, "status": "created"}, "`id` is a number and not a whole number"),
    ],
)
def test_a_member_of_another_kind_is_named(row: Any, said: str) -> None:
    with pytest.raises(MisshapenError) as raised:
        read_row(row, "id", "a#1")
    assert str(raised.value) == said


@pytest.mark.parametrize("row", [None, "created", 7, [], True])
def test_a_row_that_is_no_object_is_named(row: Any) -> None:
    with pytest.raises(MisshapenError, match=r"`result\[\]` is .* and not an object"):
        by_index(reply([row]), 1, "id")


@pytest.mark.parametrize("count", [0, 1, 3])
def test_leads_are_matched_by_index_and_only_if_the_numbers_fit(count: int) -> None:
    rows = [{"id": 7, "status": "created"}, {"status": "skipped", "reasons": SKIPPED}]
    with pytest.raises(MisshapenError, match=f"2 answers for {count} records"):
        by_index(reply(rows), count, "id")
    assert [row.lead_id for row in by_index(reply(rows), 2, "id")] == [7, None]


def test_an_update_by_id_that_names_another_lead_is_told_as_such() -> None:
    """Two people were merged: the winner answers, and the person has to be found anew."""
    rows = [{"id": 7, "status": "updated"}, {"id": 99, "status": "updated"}, {"status": "skipped", "reasons": SKIPPED}]
    first, merged, skipped = by_index(reply(rows), 3, "id", [7, 8, 9])
    assert (first.status, first.lead_id, first.other_lead) == ("updated", 7, None)
    assert (merged.status, merged.lead_id, merged.other_lead) == ("", None, 99)
    assert (skipped.code, skipped.other_lead) == ("1037", None)


@pytest.mark.parametrize("named", [[8, 7, 9], [7, 9, 9], [91, 92, 93]])
def test_answers_that_name_each_other_or_nobody_sent_are_in_disorder(named: list[int]) -> None:
    rows = [{"id": lead, "status": "updated"} for lead in named]
    with pytest.raises(MisshapenError, match="name other leads"):
        by_index(reply(rows), 3, "id", [7, 8, 9])


# --- members, by seq -----------------------------------------------------------------------------------------

lead_ids = st.lists(st.integers(1, 10**9), min_size=1, max_size=30, unique=True)


def answers(leads: list[int], skipped: set[int]) -> list[dict[str, Any]]:
    """As Marketo answers: a skipped row does not name its lead."""
    return [
        {"seq": seq, "status": "skipped", "reasons": [{"code": str(seq)}]}
        if seq in skipped
        else {"seq": seq, "status": "created", "leadId": lead}
        for seq, lead in enumerate(leads)
    ]


@given(lead_ids, st.sets(st.integers(0, 29)), st.randoms(use_true_random=False))
def test_rows_in_any_order_find_their_leads(leads: list[int], skipped: set[int], random: Any) -> None:
    rows = answers(leads, skipped)
    random.shuffle(rows)
    replies = by_seq(reply(rows), leads)
    for seq, (lead, row) in enumerate(zip(leads, replies, strict=True)):
        assert (row.code if seq in skipped else row.lead_id) == (str(seq) if seq in skipped else lead)
        assert row.request_id == "a#1"


@given(lead_ids, st.sets(st.integers(0, 29)))
def test_rows_without_any_seq_are_taken_in_order(leads: list[int], skipped: set[int]) -> None:
    rows = answers(leads, skipped)
    for row in rows:
        del row["seq"]
    replies = by_seq(reply(rows), leads)
    assert [row.status for row in replies] == ["" if seq in skipped else "created" for seq in range(len(leads))]


@given(lead_ids, st.sets(st.integers(0, 29)), st.data())
def test_an_answer_that_leaves_out_repeats_or_adds_rows_is_refused(
    leads: list[int], skipped: set[int], data: st.DataObject
) -> None:
    """Taken all the same, it would tell one person's fate as another's."""
    rows = answers(leads, skipped)
    place = data.draw(st.integers(0, len(rows) - 1))
    kind = data.draw(st.sampled_from(["drop", "repeat", "add", "seq out of range", "seq as text", "no row"]))
    match kind:
        case "drop":
            del rows[place]
        case "repeat":
            rows.append(dict(rows[place]))
        case "add":
            rows.append({"seq": len(rows), "status": "created", "leadId": 1})
        case "seq out of range":
            rows[place]["seq"] = data.draw(st.sampled_from([-1, len(rows), 10**6]))
        case "seq as text":
            rows[place]["seq"] = "x"
        case _:
            rows[place] = "skipped"  # type: ignore[call-overload]
    with pytest.raises(MisshapenError):
        by_seq(reply(rows), leads)


@given(lead_ids, st.data())
def test_one_answer_for_another_lead_leaves_the_others_as_they_are(leads: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(leads) - 1))
    rows = answers(leads, set())
    rows[place]["leadId"] = max(leads) + 1
    replies = by_seq(reply(rows), leads)
    assert replies[place].other_lead == max(leads) + 1
    assert replies[place].status == ""
    assert [row.lead_id for seq, row in enumerate(replies) if seq != place] == leads[:place] + leads[place + 1 :]


@given(lead_ids.filter(lambda leads: len(leads) > 1), st.data())
def test_one_seq_twice_is_refused_even_if_the_number_of_rows_fits(leads: list[int], data: st.DataObject) -> None:
    rows = answers(leads, set(range(30)))
    first, second = data.draw(st.permutations(range(len(rows))))[:2]
    rows[first]["seq"] = second
    with pytest.raises(MisshapenError):
        by_seq(reply(rows), leads)
