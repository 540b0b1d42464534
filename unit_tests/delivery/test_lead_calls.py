"""From people to lead ids: every mode, every answer, and never a second lead."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from delivery_bench import EMAIL, Build, TableMarketo
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.delivery.creates import Creates
from destination_marketo_programs.delivery.lead_calls import LeadCalls
from destination_marketo_programs.delivery.lead_requests import MAX_LOST_CREATES
from destination_marketo_programs.delivery.lead_rows import HELD, Found, Gone, Later, LeadPolicy
from destination_marketo_programs.marketo.errors import OutcomeUnknownError, RefusedError, UnreachableError
from destination_marketo_programs.marketo.leads import Action
from destination_marketo_programs.marketo.rows import RowReply
from destination_marketo_programs.outcomes import Category, Refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.lead_rows import Fate, Fates, LeadRow


def calls_of(
    marketo: TableMarketo,
    mode: str = "create_or_update",
    duplicates: str = "reject",
    partition: str = "",
    *,
    acquisition: bool = False,
    not_before: float = float("-inf"),
) -> LeadCalls:
    policy = LeadPolicy(mode, "email", partition, duplicates, 95.0, acquisition=acquisition)
    return LeadCalls(marketo, policy, Creates(marketo.clock, 95.0, not_before))


def row_of(calls: LeadCalls, *entries: Entry) -> LeadRow:
    return calls.row(entries[0].person.key or "", list(entries), by_id=False)


def key_rows(calls: LeadCalls, build: Build, *emails: str, **fields: Any) -> list[LeadRow]:
    return [row_of(calls, build.entry(email, dict(fields))) for email in emails]


def id_row(calls: LeadCalls, build: Build, lead_id: int, **fields: Any) -> LeadRow:
    return calls.row(lead_id, [build.entry(None, fields, marketo_id=lead_id)], by_id=True)


def lost(marketo: TableMarketo, endpoint: str, code: str = "502") -> OutcomeUnknownError:
    return OutcomeUnknownError(endpoint, code, "text", "r#lost", sent_at=marketo.now)


def creates_lost(marketo: TableMarketo, *, executed: bool, code: str = "502", times: int = 1) -> None:
    """The answers of the next creates are lost; whether Marketo did what it was asked is not seen from outside."""
    left = [times]

    def lose(endpoint: str, _rows: list[Any]) -> None:
        if endpoint == "sync_leads" and marketo.writes()[-1][0] != Action.UPDATE_ONLY and left[0]:
            left[0] -= 1
            raise lost(marketo, endpoint, code)

    (marketo.after if executed else marketo.before).append(lose)


def only(fates: Fates) -> Fate:
    ((_, _, fate),) = fates
    return fate


def by_email(fates: Fates) -> dict[str, Fate]:
    assert len({id(entry) for _, entries, _ in fates for entry in entries}) == sum(len(some) for _, some, _ in fates)
    return {str(entries[0].person.lookup_value): fate for _, entries, fate in fates}


def fate_of(fates: Fates, entry: Entry) -> Fate:
    (fate,) = [fate for _, entries, fate in fates for each in entries if each is entry]
    return fate


# --- modes ---------------------------------------------------------------------------------------------------

MATRIX: list[tuple[str, str, int, bool, tuple[str, int | str], bool]] = [
    # mode, duplicate_leads, leads that have the key, fields on the record, fate, whether fields are written
    ("create_or_update", "reject", 0, True, ("created", 101), True),
    ("create_or_update", "reject", 1, True, ("updated", 1), True),
    ("create_or_update", "reject", 1, False, ("updated", 1), True),
    ("create_or_update", "reject", 2, True, ("rejected", "DUPLICATE_LEADS"), False),
    ("create_or_update", "most_recently_updated", 2, True, ("updated", 2), True),
    ("create_or_update", "most_recently_updated", 2, False, ("matched", 2), False),
    ("create_missing", "reject", 0, True, ("created", 101), True),
    ("create_missing", "reject", 1, True, ("matched", 1), False),
    ("create_missing", "reject", 2, True, ("rejected", "DUPLICATE_LEADS"), False),
    ("create_missing", "most_recently_updated", 2, True, ("matched", 2), False),
    ("match_only", "reject", 0, True, ("rejected", "LEAD_NOT_FOUND"), False),
    ("match_only", "reject", 0, False, ("rejected", "LEAD_NOT_FOUND"), False),
    ("match_only", "reject", 1, True, ("updated", 1), True),
    ("match_only", "reject", 1, False, ("matched", 1), False),
    ("match_only", "reject", 2, True, ("rejected", "DUPLICATE_LEADS"), False),
    ("match_only", "reject", 2, False, ("rejected", "DUPLICATE_LEADS"), False),
    ("match_only", "most_recently_updated", 2, True, ("updated", 2), True),
    ("match_only", "most_recently_updated", 2, False, ("matched", 2), False),
]


@pytest.mark.parametrize(("mode", "duplicates", "there", "fields", "fate", "written"), MATRIX)
def test_modes_and_duplicates(
    build: Build,
    marketo: TableMarketo,
    mode: str,
    duplicates: str,
    there: int,
    fate: tuple[str, int | str],
    *,
    fields: bool,
    written: bool,
) -> None:
    for number in range(there):
        marketo.add(number + 1, email=EMAIL, firstName="old", updated_at=f"2026-01-0{number + 1}T00:00:00Z")
    calls = calls_of(marketo, mode, duplicates)
    got = only(calls.write_by_key(key_rows(calls, build, EMAIL, **({"firstName": "new"} if fields else {}))))
    if isinstance(got, Found):
        assert (got.action, got.lead_id) == fate
        expected = "new" if written and fields else ("old" if there else None)
        assert marketo.leads[got.lead_id].get("firstName") == expected
        assert got.detail == ({"lead_ids": [1, 2]} if there == 2 else None)
    else:
        assert isinstance(got, Refusal)
        assert ("rejected", got.category) == fate
        assert got.detail == ({"lead_ids": [1, 2]} if there == 2 else None)
    untouched = [lead for lead in marketo.leads.values() if not (isinstance(got, Found) and lead["id"] == got.lead_id)]
    assert all(lead["firstName"] == "old" for lead in untouched)
    assert len(marketo.leads) == max(there, 1 if fate[0] == "created" else 0)
    if mode == "match_only":
        assert {action for action, _, _ in marketo.writes()} <= {Action.UPDATE_ONLY}
    if mode == "create_missing":
        assert {action for action, _, _ in marketo.writes()} <= {Action.CREATE_ONLY}


def test_a_full_batch_takes_one_call(build: Build, marketo: TableMarketo) -> None:
    emails = [f"{number}@x.org" for number in range(300)]
    calls = calls_of(marketo)
    rows = key_rows(calls, build, *emails, firstName="x")
    fates = calls.write_by_key(rows)
    assert [row.key for row, _, _ in fates] == [row.key for row in rows]
    assert len(marketo.calls) == 1
    missing = calls_of(marketo, "create_missing")
    missing.write_by_key(key_rows(missing, build, *emails))
    assert len(marketo.calls) == 2
    assert len(marketo.leads) == 300


def test_the_newest_of_equal_leads_is_the_one_with_the_highest_id(build: Build, marketo: TableMarketo) -> None:
    """Any rule will do, if two runs choose alike."""
    for lead_id in (3, 9, 5):
        marketo.add(lead_id, email=EMAIL)
    del marketo.leads[9]["updatedAt"]
    calls = calls_of(marketo, "match_only", "most_recently_updated")
    fate = only(calls.write_by_key(key_rows(calls, build, EMAIL)))
    assert fate == Found(5, "matched", None, {"lead_ids": [3, 5, 9]})


def test_keys_are_compared_without_case_and_blanks(build: Build, marketo: TableMarketo) -> None:
    marketo.add(1, email="ADA@example.org")
    calls = calls_of(marketo, "match_only")
    assert only(calls.write_by_key(key_rows(calls, build, "Ada@Example.org"))) == Found(1, "matched")


def test_a_key_with_a_comma_is_never_part_of_a_query(build: Build, marketo: TableMarketo) -> None:
    """Marketo would read it as two values, and find somebody else."""
    marketo.add(1, email="a")
    marketo.add(2, email="a,b", firstName="old")
    calls = calls_of(marketo, "match_only")
    fates = by_email(calls.write_by_key(key_rows(calls, build, "c", "a,b")))
    assert fates["a,b"] == Found(2, "updated")
    assert fates["c"] == Refusal(Category.LEAD_NOT_FOUND)
    assert marketo.queries() == [["c"]]
    missing = calls_of(marketo, "create_missing")
    refused = only(missing.write_by_key(key_rows(missing, build, "a,b")))
    assert isinstance(refused, Refusal)
    assert (refused.category, refused.code) == (Category.RECORD_REFUSED, "1005")
    assert len(marketo.leads) == 2


@pytest.mark.parametrize("mode", ["create_or_update", "create_missing", "match_only"])
def test_an_address_that_thousands_of_leads_share_is_a_duplicate_and_no_reason_to_stop(build: Build, mode: str) -> None:
    """Marketo lists at most 1,000 leads; "noemail@example.org" has more in many an instance."""

    class Crowded(TableMarketo):
        def query_leads(self, filter_type: str, values: Any, fields: Any, crowded: set[str] | None = None) -> Any:
            assert crowded is not None
            crowded |= {value for value in values if value == "none@x.org"}
            return super().query_leads(
                filter_type, [value for value in values if value not in crowded] or ["-"], fields, crowded
            )

    marketo = Crowded()
    marketo.add(1, email="bob@x.org")
    for number in range(2):
        marketo.add(number + 10, email="none@x.org")
    calls = calls_of(marketo, mode, "most_recently_updated")
    fates = by_email(calls.write_by_key(key_rows(calls, build, "none@x.org", "bob@x.org")))
    refused = fates["none@x.org"]
    assert isinstance(refused, Refusal)
    assert refused.category is Category.DUPLICATE_LEADS
    assert isinstance(fates["bob@x.org"], Found)


def test_an_accepted_row_without_id_is_looked_up(build: Build) -> None:
    """No optional member is certain; the lead was written, so that rejecting its record would be wrong."""

    class WithoutIds(TableMarketo):
        def sync_leads(self, *arguments: Any, **more: Any) -> list[RowReply]:
            return [
                RowReply(reply.status, None, reply.code, reply.message, reply.request_id)
                for reply in super().sync_leads(*arguments, **more)
            ]

    calls = calls_of(WithoutIds())
    assert only(calls.write_by_key(key_rows(calls, build, EMAIL))) == Found(101, "created")


@pytest.mark.parametrize(
    ("code", "category"),
    [("1001", "FIELD_INVALID"), ("1006", "FIELD_INVALID"), ("1008", "PARTITION_DENIED"), ("1099", "RECORD_REFUSED")],
)
def test_a_refusal_carries_marketos_words(build: Build, marketo: TableMarketo, code: str, category: str) -> None:
    marketo.refuse = lambda row: code if row["email"] == EMAIL else None
    calls = calls_of(marketo)
    fates = by_email(calls.write_by_key(key_rows(calls, build, EMAIL, "bob@x.org")))
    assert fates[EMAIL] == Refusal(Category(category), code, f"text {code}", "r#1")
    assert isinstance(fates["bob@x.org"], Found)


def test_a_call_refused_as_a_whole_is_split_until_the_record_at_fault_is_alone(
    build: Build, marketo: TableMarketo
) -> None:
    def poison(endpoint: str, rows: list[Any]) -> None:
        if endpoint == "sync_leads" and any(row["email"] == "3@x.org" for row in rows):
            raise RefusedError(endpoint, "609", "Invalid JSON", "r#609")

    marketo.before.append(poison)
    calls = calls_of(marketo)
    fates = by_email(calls.write_by_key(key_rows(calls, build, *(f"{number}@x.org" for number in range(8)))))
    assert fates.pop("3@x.org") == Refusal(Category.RECORD_REFUSED, "609", "Invalid JSON", "r#609")
    assert len(fates) == 7
    assert all(isinstance(fate, Found) for fate in fates.values())
    assert len(marketo.leads) == 7


# --- company fields ------------------------------------------------------------------------------------------


def refuse_company(row: dict[str, Any]) -> str | None:
    return "1021" if "company" in row or "industry" in row else None


NOT_WRITTEN = ("1021", "text 1021")


def test_company_fields_that_an_instance_refuses_are_left_out_and_told(build: Build, marketo: TableMarketo) -> None:
    marketo.refuse = refuse_company
    calls = calls_of(marketo)
    rows = key_rows(calls, build, EMAIL, firstName="Ada", company="Engines", industry="x")
    assert only(calls.write_by_key(rows)) == Found(101, "created", NOT_WRITTEN)
    assert marketo.leads[101]["firstName"] == "Ada"
    assert len(marketo.writes()) == 2


def test_1021_without_company_fields_is_a_refusal(build: Build, marketo: TableMarketo) -> None:
    marketo.refuse = lambda _row: "1021"
    calls = calls_of(marketo)
    fate = only(calls.write_by_key(key_rows(calls, build, EMAIL, firstName="Ada")))
    assert isinstance(fate, Refusal)
    assert fate.code == "1021"
    assert len(marketo.calls) == 1


def test_company_fields_by_id(build: Build, marketo: TableMarketo) -> None:
    marketo.add(7, email=EMAIL)
    marketo.refuse = refuse_company
    calls = calls_of(marketo)
    fate = only(calls.write_by_id([id_row(calls, build, 7, company="Engines", title="x")]))
    assert fate == Found(7, "updated", NOT_WRITTEN)
    assert marketo.leads[7]["title"] == "x"


# --- several records in one row ------------------------------------------------------------------------------

fields = st.dictionaries(st.sampled_from("abc"), st.sampled_from([None, "", "x", "y", 1]), max_size=3)


@given(
    all_fields=st.lists(fields, min_size=1, max_size=6), mode=st.sampled_from(["create_or_update", "create_missing"])
)
def test_later_fields_win_unless_existing_leads_stay_as_they_are(
    build: Build, all_fields: list[dict[str, Any]], mode: str
) -> None:
    """In `create_missing` the first record creates the person, and the others find it there."""
    calls = calls_of(TableMarketo(), mode)
    row = row_of(calls, *(build.entry(EMAIL, dict(each)) for each in all_fields))
    merged: dict[str, Any] = {}
    for each in all_fields:
        merged |= each
    assert row.fields == (all_fields[0] if mode == "create_missing" else merged)
    assert row.body(Action.CREATE_OR_UPDATE) == {"email": EMAIL, **row.fields}


def test_one_bad_record_of_a_person_does_not_reject_the_others(build: Build, marketo: TableMarketo) -> None:
    marketo.refuse = lambda row: "1001" if row.get("score") == "bad" else None
    entries = [build.entry(EMAIL, each) for each in ({"title": "1"}, {"score": "bad"}, {"title": "3", "city": "x"})]
    calls = calls_of(marketo)
    fates = calls.write_by_key([row_of(calls, *entries)])
    assert isinstance(fate_of(fates, entries[0]), Found)
    assert isinstance(fate_of(fates, entries[1]), Refusal)
    assert isinstance(fate_of(fates, entries[2]), Found)
    assert marketo.leads[101] | {"title": "3", "city": "x"} == marketo.leads[101]
    assert len(marketo.leads) == 1


@pytest.mark.parametrize("executed", [False, True])
def test_a_part_whose_answer_is_lost_keeps_those_behind_it_waiting(
    build: Build, marketo: TableMarketo, *, executed: bool
) -> None:
    """Each as a call of its own would have the person in flight twice, or be forgotten."""
    marketo.refuse = lambda row: "1001" if row.get("score") == "bad" else None
    entries = [build.entry(EMAIL, each) for each in ({"score": "bad"}, {"title": "2"}, {"firstName": "Ada"})]

    def lose_the_third(endpoint: str, _rows: list[Any]) -> None:
        if endpoint == "sync_leads" and len(marketo.writes()) == 3:
            raise lost(marketo, endpoint)

    (marketo.after if executed else marketo.before).append(lose_the_third)
    calls = calls_of(marketo, partition="EMEA")
    fates = calls.write_by_key([row_of(calls, *entries)])
    assert isinstance(fate_of(fates, entries[0]), Refusal)
    assert fate_of(fates, entries[1]) == fate_of(fates, entries[2]) == Later(marketo.now + 95, 0)
    (waiting,) = [row for row, _, fate in fates if isinstance(fate, Later)]
    assert waiting.fields == {"title": "2", "firstName": "Ada"}
    assert waiting.tries == 1
    assert only(calls.write_by_key([waiting])) == Found(101, "updated" if executed else "created")
    assert len(marketo.leads) == 1


# --- by id ---------------------------------------------------------------------------------------------------


def test_by_id_updates_and_never_creates(build: Build, marketo: TableMarketo) -> None:
    marketo.add(7, email=EMAIL)
    calls = calls_of(marketo)
    rows = [id_row(calls, build, 7, title="x"), id_row(calls, build, 8, title="y")]
    (_, _, found), (_, _, gone) = calls.write_by_id(rows)
    assert found == Found(7, "updated")
    assert gone == Gone(Refusal(Category.LEAD_NOT_FOUND, "1004", "text 1004", "r#1"))
    assert marketo.writes()[0][:2] == (Action.UPDATE_ONLY, "id")
    assert set(marketo.leads) == {7}


def test_1013_and_another_lead_by_id_mean_gone_as_well(build: Build, marketo: TableMarketo) -> None:
    marketo.refuse = lambda row: "1013" if row["id"] == 7 else None
    marketo.merged[8] = 9
    calls = calls_of(marketo)
    rows = [id_row(calls, build, 7, title="x"), id_row(calls, build, 8, title="x")]
    assert [type(fate) for _, _, fate in calls.write_by_id(rows)] == [Gone, Gone]


def test_a_chosen_duplicate_that_vanishes_is_rejected_not_looked_for_again(build: Build, marketo: TableMarketo) -> None:
    """`Gone` would send it back to the key that led here, round and round."""
    for lead_id in (1, 2):
        marketo.add(lead_id, email=EMAIL)

    def vanish(endpoint: str, _rows: list[Any]) -> None:
        if endpoint == "sync_leads" and marketo.writes()[-1][1] == "id":
            marketo.leads.pop(2, None)

    marketo.before.append(vanish)
    calls = calls_of(marketo, duplicates="most_recently_updated")
    fate = only(calls.write_by_key(key_rows(calls, build, EMAIL, title="x")))
    assert isinstance(fate, Refusal)
    assert fate.category is Category.LEAD_NOT_FOUND


def test_many_duplicates_are_resolved_in_a_few_calls(build: Build, marketo: TableMarketo) -> None:
    for number, _ in itertools.product(range(100), range(2)):
        marketo.add(email=f"{number}@x.org")
    calls = calls_of(marketo, duplicates="most_recently_updated")
    fates = calls.write_by_key(key_rows(calls, build, *(f"{number}@x.org" for number in range(100)), title="x"))
    assert len(fates) == 100
    assert len(marketo.calls) == 3


# --- guards --------------------------------------------------------------------------------------------------


def guarded(build: Build, email: str = EMAIL, **more: Any) -> Entry:
    return build.entry(email, {"city": "Paris"}, if_blank={"title": "Dr"}, on_create={"leadSource": "Expo"}, **more)


def test_a_created_person_has_guarded_fields_from_the_first_moment_on(build: Build, marketo: TableMarketo) -> None:
    calls = calls_of(marketo)
    assert only(calls.write_by_key([row_of(calls, guarded(build))])) == Found(101, "created")
    assert marketo.leads[101] | {"city": "Paris", "title": "Dr", "leadSource": "Expo"} == marketo.leads[101]
    assert [(action, rows) for action, _, rows in marketo.writes()] == [
        (Action.CREATE_ONLY, [{"email": EMAIL, "city": "Paris", "title": "Dr", "leadSource": "Expo"}])
    ]


@pytest.mark.parametrize(
    ("held", "written", "kept"),
    [
        ({}, {"title": "Dr"}, ["leadSource"]),
        ({"title": ""}, {"title": "Dr"}, ["leadSource"]),
        ({"title": None}, {"title": "Dr"}, ["leadSource"]),
        ({"title": "Prof"}, {}, ["leadSource", "title"]),
    ],
)
@pytest.mark.parametrize("mode", ["create_or_update", "match_only"])
@pytest.mark.parametrize("by_id", [False, True])
def test_only_what_is_blank_is_filled_and_what_was_kept_is_told(
    build: Build,
    marketo: TableMarketo,
    mode: str,
    held: dict[str, Any],
    written: dict[str, Any],
    kept: list[str],
    *,
    by_id: bool,
) -> None:
    marketo.add(7, email=EMAIL, **held)
    calls = calls_of(marketo, mode)
    if by_id:
        fate = only(calls.write_by_id([calls.row(7, [guarded(build, marketo_id=7)], by_id=True)]))
    else:
        fate = only(calls.write_by_key([row_of(calls, guarded(build))]))
    assert fate == Found(7, "updated", None, {"kept": kept})
    ((_, name, (row,)),) = marketo.writes()
    assert name == "id"
    assert row == {"id": 7, "city": "Paris", **written}


def test_in_create_missing_an_existing_lead_stays_as_it_is(build: Build, marketo: TableMarketo) -> None:
    marketo.add(7, email=EMAIL)
    calls = calls_of(marketo, "create_missing")
    assert only(calls.write_by_key([row_of(calls, guarded(build))])) == Found(7, "matched")
    assert marketo.writes() == []


def test_nothing_is_written_where_a_guard_keeps_everything(build: Build, marketo: TableMarketo) -> None:
    marketo.add(7, email=EMAIL, title="Prof")
    calls = calls_of(marketo)
    entry = build.entry(if_blank={"title": "Dr"}, marketo_id=7)
    assert only(calls.write_by_id([calls.row(7, [entry], by_id=True)])) == Found(
        7, "matched", None, {"kept": ["title"]}
    )
    assert only(calls.write_by_key([row_of(calls, entry)])) == Found(7, "matched", None, {"kept": ["title"]})
    assert marketo.writes() == []


def test_who_appears_between_look_and_create_is_treated_as_existing(build: Build, marketo: TableMarketo) -> None:
    def appear(endpoint: str, _rows: list[Any]) -> None:
        if endpoint == "sync_leads" and not marketo.leads:
            marketo.add(7, email=EMAIL, title="theirs")

    marketo.before.append(appear)
    calls = calls_of(marketo)
    fate = only(calls.write_by_key([row_of(calls, guarded(build))]))
    assert fate == Found(7, "updated", None, {"kept": ["leadSource", "title"]})
    assert marketo.leads == {7: marketo.leads[7] | {"title": "theirs", "city": "Paris"}}
    assert "leadSource" not in marketo.leads[7]


@pytest.mark.parametrize("number", [1, 2])
def test_who_appears_in_create_missing_stays_untouched(build: Build, marketo: TableMarketo, number: int) -> None:
    def appear(endpoint: str, _rows: list[Any]) -> None:
        if endpoint == "sync_leads" and not marketo.leads:
            for lead_id in range(number):
                marketo.add(7 + lead_id, email=EMAIL, firstName="theirs", updated_at=f"2026-0{lead_id + 1}-01")

    marketo.before.append(appear)
    calls = calls_of(marketo, "create_missing", "most_recently_updated")
    fates = by_email(calls.write_by_key(key_rows(calls, build, EMAIL, "bob@x.org", firstName="ours")))
    there = fates[EMAIL]
    assert isinstance(there, Found)
    assert (there.lead_id, there.action) == (6 + number, "matched")
    assert all(marketo.leads[7 + lead_id]["firstName"] == "theirs" for lead_id in range(number))
    bob = fates["bob@x.org"]
    assert isinstance(bob, Found)
    assert bob.action == "created"


def test_a_guarded_field_is_not_written_on_a_guess_where_marketo_cannot_be_asked(
    build: Build, marketo: TableMarketo
) -> None:
    """A key with a comma: the lead may be there, with a value that nobody can see."""
    marketo.add(7, email="a,b@x.org", title="theirs")
    calls = calls_of(marketo)
    entries = [guarded(build, "a,b@x.org"), guarded(build, "c,d@x.org")]
    fates = by_email(calls.write_by_key([row_of(calls, entry) for entry in entries]))
    for email, lead_id in (("a,b@x.org", 7), ("c,d@x.org", 101)):
        fate = fates[email]
        assert isinstance(fate, Found)
        assert fate.lead_id == lead_id
        assert marketo.leads[lead_id]["city"] == "Paris"
    assert fates["a,b@x.org"] == Found(7, "updated", None, {"kept": ["leadSource", "title"]})
    assert marketo.leads[7]["title"] == "theirs"
    assert "leadSource" not in marketo.leads[7]
    assert marketo.leads[101] | {"title": "Dr", "leadSource": "Expo"} == marketo.leads[101]
    assert "," not in "".join(value for values in marketo.queries() for value in values)


def test_only_those_whom_it_creates_get_an_acquisition_program(build: Build, marketo: TableMarketo) -> None:
    marketo.add(7, email="there@x.org")
    calls = calls_of(marketo, acquisition=True)
    targets = [build.target(3), build.target(1)]
    rows = [row_of(calls, build.entry(email, {"city": "x"}, targets=targets)) for email in ("new@x.org", "there@x.org")]
    fates = by_email(calls.write_by_key(rows))
    assert fates == {"new@x.org": Found(101, "created"), "there@x.org": Found(7, "updated")}
    assert marketo.leads[101]["acquisitionProgramId"] == 3
    assert "acquisitionProgramId" not in marketo.leads[7]


def test_who_appears_while_the_answer_to_a_create_is_lost_keeps_what_a_guard_keeps(
    build: Build, marketo: TableMarketo
) -> None:
    """The create was never executed, and somebody else made the person meanwhile."""
    creates_lost(marketo, executed=False)
    marketo.before.append(
        lambda endpoint, _rows: _appear(marketo) if endpoint == "query_leads" and marketo.writes() else None
    )
    calls = calls_of(marketo)
    fate = only(calls.write_by_key([row_of(calls, guarded(build))]))
    assert fate == Found(7, "updated", None, {"kept": ["leadSource", "title"]})
    assert marketo.leads[7]["title"] == "theirs"


def test_a_guarded_create_that_is_repeated_is_still_guarded(build: Build, marketo: TableMarketo) -> None:
    creates_lost(marketo, executed=False)
    calls = calls_of(marketo)
    ((row, _, later),) = calls.write_by_key([row_of(calls, guarded(build))])
    assert isinstance(later, Later)
    _appear(marketo)
    assert only(calls.write_by_key([row])) == Found(7, "updated", None, {"kept": ["leadSource", "title"]})
    assert marketo.leads[7]["title"] == "theirs"


def test_two_people_who_appear_between_look_and_create_keep_what_a_guard_keeps(
    build: Build, marketo: TableMarketo
) -> None:
    """1007 in answer to the create: one of them is chosen, and treated as anybody who was there before."""
    marketo.before.append(
        lambda endpoint, _rows: _appear(marketo, 7, 8) if endpoint == "sync_leads" and not marketo.leads else None
    )
    calls = calls_of(marketo, duplicates="most_recently_updated")
    fate = only(calls.write_by_key([row_of(calls, guarded(build))]))
    assert fate == Found(8, "updated", None, {"lead_ids": [7, 8], "kept": ["leadSource", "title"]})
    assert [marketo.leads[lead_id]["title"] for lead_id in (7, 8)] == ["theirs", "theirs"]


def test_a_guarded_row_that_is_denied_by_id_can_be_asked_again_under_its_guard(
    build: Build, marketo: TableMarketo
) -> None:
    calls = calls_of(marketo)
    ((row, _, fate),) = calls.write_by_id([calls.row(7, [guarded(build, marketo_id=7)], by_id=True)])
    assert isinstance(fate, Gone)
    marketo.add(7, email=EMAIL)
    assert only(calls.write_by_id([row])) == Found(7, "updated", None, {"kept": ["leadSource"]})
    assert marketo.leads[7]["title"] == "Dr"


def _appear(marketo: TableMarketo, *lead_ids: int) -> None:
    for lead_id in lead_ids or (7,):
        marketo.leads.setdefault(lead_id, {"id": lead_id, "email": EMAIL, "title": "theirs", "updatedAt": f"{lead_id}"})


# --- when creates may be sent --------------------------------------------------------------------------------


def test_before_its_time_no_create_is_sent_and_everything_else_goes(build: Build, marketo: TableMarketo) -> None:
    marketo.add(7, email="there@x.org")
    calls = calls_of(marketo, not_before=marketo.now + 60.0)
    rows = key_rows(calls, build, "new@x.org", "there@x.org", city="x")
    fates = by_email(calls.write_by_key(rows))
    assert fates == {"new@x.org": HELD, "there@x.org": Found(7, "updated")}
    assert marketo.leads == {7: marketo.leads[7] | {"city": "x"}}
    marketo.now += 60.0
    # An import of an earlier run still runs: nobody knows whom it creates, and for how long.
    calls.creates.hold(held=True)
    assert only(calls.write_by_key(rows[:1])) == HELD
    calls.creates.hold(held=False)
    assert only(calls.write_by_key(rows[:1])) == Found(101, "created")


def test_creates_are_held_and_let_go_whatever_the_time(marketo: TableMarketo) -> None:
    creates = Creates(marketo.clock, 95.0, marketo.now + 60.0)
    creates.hold(held=True)
    marketo.now += 1_000.0
    assert (creates.allowed, creates.not_before) == (False, float("inf"))
    creates.hold(held=False)
    assert creates.allowed


def test_creates_are_told_before_they_are_sent_and_known_until_they_are_answered(marketo: TableMarketo) -> None:
    class Told:
        def __init__(self) -> None:
            self.times: list[tuple[float, bool]] = []

        def creating(self) -> None:
            self.times.append((marketo.now, creates.unanswered))

    journal = Told()
    creates = Creates(marketo.clock, 95.0, journal=journal)  # type: ignore[arg-type]
    assert not creates.unanswered
    with creates:
        assert creates.unanswered
    assert journal.times == [(marketo.now, False)]
    assert not creates.unanswered
    with pytest.raises(OutcomeUnknownError), creates:
        raise lost(marketo, "sync_leads")
    marketo.now += 94.0
    assert creates.unanswered
    marketo.now += 1.0
    assert not creates.unanswered


# --- lost answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["create_or_update", "create_missing"])
def test_a_create_that_was_executed_is_read_back_and_not_repeated(
    build: Build, marketo: TableMarketo, mode: str
) -> None:
    creates_lost(marketo, executed=True)
    calls = calls_of(marketo, mode)
    rows = key_rows(calls, build, *(f"{number}@x.org" for number in range(50)), firstName="x")
    fates = calls.write_by_key(rows)
    assert len(marketo.leads) == 50
    expected = "matched" if mode == "create_missing" else "updated"
    assert {fate.action for _, _, fate in fates if isinstance(fate, Found)} == {expected}
    assert len([action for action, _, _ in marketo.writes() if action != Action.UPDATE_ONLY]) == 1
    assert len(marketo.calls) == 3


@pytest.mark.parametrize("mode", ["create_or_update", "create_missing"])
def test_a_create_that_cannot_be_read_back_waits_until_it_cannot_be_running(
    build: Build, marketo: TableMarketo, mode: str
) -> None:
    creates_lost(marketo, executed=False)
    calls = calls_of(marketo, mode)
    (row,) = key_rows(calls, build, EMAIL, firstName="x")
    assert only(calls.write_by_key([row])) == Later(marketo.now + 95, 0)
    assert row.tries == 1
    assert marketo.leads == {}


def test_with_a_partition_nothing_is_taken_for_ours_because_it_is_there(build: Build, marketo: TableMarketo) -> None:
    """The query sees every partition; a lead of that address in another one is another lead."""
    creates_lost(marketo, executed=True)
    calls = calls_of(marketo, partition="EMEA")
    assert isinstance(only(calls.write_by_key(key_rows(calls, build, EMAIL))), Later)
    assert marketo.queries() == []


@pytest.mark.parametrize("code", ["604", "611"])
def test_a_batch_that_is_too_much_comes_back_as_two(build: Build, marketo: TableMarketo, code: str) -> None:
    creates_lost(marketo, executed=False, code=code)
    calls = calls_of(marketo)
    rows = key_rows(calls, build, *(f"{number}@x.org" for number in range(5)))
    fates = calls.write_by_key(rows)
    told = Counter(fate for _, _, fate in fates if isinstance(fate, Later))
    assert told == {Later(marketo.now + 95, 0): 2, Later(marketo.now + 95, 1): 3}
    assert [row.tries for row in rows] == [0] * 5


def test_a_create_that_is_lost_for_ever_ends_the_sync_and_rejects_nobody(build: Build, marketo: TableMarketo) -> None:
    creates_lost(marketo, executed=False, times=20)
    calls = calls_of(marketo, partition="EMEA")
    (row,) = key_rows(calls, build, EMAIL)
    for _ in range(MAX_LOST_CREATES):
        assert isinstance(only(calls.write_by_key([row])), Later)
    with pytest.raises(UnreachableError):
        calls.write_by_key([row])


def test_an_update_whose_answer_is_lost_is_the_transports_to_repeat(build: Build, marketo: TableMarketo) -> None:
    """Nothing is created, so that nothing has to be waited for: it ends the sync."""
    marketo.add(1, email=EMAIL)
    marketo.before.append(lambda endpoint, _rows: (_ for _ in ()).throw(UnreachableError(endpoint, "502")))
    calls = calls_of(marketo, "match_only")
    with pytest.raises(UnreachableError):
        calls.write_by_key(key_rows(calls, build, EMAIL, title="x"))


class Drive:
    """Sends rows as the stage does: what is to wait waits, what is lost in one batch comes back as one."""

    def __init__(self, marketo: TableMarketo, calls: LeadCalls) -> None:
        self.marketo = marketo
        self.calls = calls
        self.settled: list[tuple[Entry, Fate]] = []
        self.running: list[tuple[float, int, Callable[[], object]]] = []
        self.numbers = itertools.count()

    def run(self, rows: list[LeadRow]) -> None:
        waiting = [(self.marketo.now, next(self.numbers), rows)]
        while waiting:
            at, _, batch = heapq.heappop(waiting)
            self.marketo.now = max(self.marketo.now, at)
            self.let_run()
            delayed: dict[Later, list[LeadRow]] = {}
            for row, entries, fate in self.calls.write_by_key(batch):
                if isinstance(fate, Later):
                    assert fate.not_before >= self.marketo.now
                    delayed.setdefault(fate, []).append(row)
                else:
                    self.settled += [(entry, fate) for entry in entries]
            keys = [row.key for each in delayed.values() for row in each]
            assert len(keys) == len(set(keys)), "one person in two calls"
            for later, again in delayed.items():
                heapq.heappush(waiting, (later.not_before, next(self.numbers), again))

    def let_run(self) -> None:
        """Calls whose answer was lost end some time within Marketo's 90 seconds."""
        while self.running and self.running[0][0] <= self.marketo.now:
            heapq.heappop(self.running)[2]()


def digests_not(marketo: TableMarketo, bad: Callable[[dict[str, Any]], bool]) -> None:
    def poison(endpoint: str, rows: list[Any]) -> None:
        if endpoint == "sync_leads" and any(map(bad, rows)):
            raise lost(marketo, endpoint, "611")

    marketo.before.append(poison)


def test_one_record_that_marketo_cannot_digest_is_found_and_the_others_are_created(
    build: Build, marketo: TableMarketo
) -> None:
    digests_not(marketo, lambda row: row["email"] == "13@x.org")
    drive = Drive(marketo, calls_of(marketo))
    drive.run(key_rows(drive.calls, build, *(f"{number:02d}@x.org" for number in range(40))))
    rejected = [(entry.person.key, fate) for entry, fate in drive.settled if isinstance(fate, Refusal)]
    assert rejected == [("13@x.org", Refusal(Category.RECORD_REFUSED, "611", "text", "r#lost"))]
    assert len(drive.settled) == 40
    assert len(marketo.leads) == 39


def test_while_marketo_digests_nobody_nobody_is_rejected(build: Build, marketo: TableMarketo) -> None:
    calls = calls_of(marketo)
    calls.write_by_key(key_rows(calls, build, "before@x.org"))
    digests_not(marketo, lambda _row: True)
    drive = Drive(marketo, calls)
    with pytest.raises(UnreachableError):
        drive.run(key_rows(calls, build, *(f"{number}@x.org" for number in range(3))))
    assert [fate for _, fate in drive.settled if isinstance(fate, Refusal)] == []


events = st.sampled_from(["fine", "fine", "lost before", "lost after", "runs on", "refused"])


@given(
    people=st.lists(st.integers(0, 12), min_size=1, max_size=14, unique=True),
    existing=st.sets(st.integers(0, 12)),
    script=st.lists(st.tuples(events, st.floats(1, 89)), max_size=MAX_LOST_CREATES),
    mode=st.sampled_from(["create_or_update", "create_missing"]),
    partition=st.sampled_from(["", "EMEA"]),
    under_guard=st.booleans(),
)
@settings(max_examples=150)
def test_whatever_is_lost_everybody_is_settled_once_and_nobody_is_made_twice(
    build: Build,
    people: list[int],
    existing: set[int],
    script: list[tuple[str, float]],
    mode: str,
    partition: str,
    *,
    under_guard: bool,
) -> None:
    marketo = TableMarketo()
    for number in existing:
        marketo.add(email=f"{number}@x.org", firstName="old", title="old")
    drive = Drive(marketo, calls_of(marketo, mode, partition=partition))
    left = list(script)
    loses_answer = [False]

    def before(endpoint: str, rows: list[Any]) -> None:
        loses_answer[0] = False
        if endpoint != "sync_leads" or marketo.writes()[-1][0] == Action.UPDATE_ONLY or not left:
            return
        event, seconds = left.pop(0)
        action, name, _ = marketo.writes()[-1]
        match event:
            case "lost before":
                raise lost(marketo, endpoint)
            case "lost after":
                loses_answer[0] = True
            case "runs on":
                later = [dict(row) for row in rows]
                heapq.heappush(
                    drive.running,
                    (
                        marketo.now + seconds,
                        next(drive.numbers),
                        lambda: marketo.execute(later, action, name, partition),
                    ),
                )
                raise lost(marketo, endpoint, "604" if seconds > 45 else "502")
            case "refused":
                raise RefusedError(endpoint, "609")

    def after(endpoint: str, _rows: list[Any]) -> None:
        if loses_answer[0]:
            loses_answer[0] = False
            raise lost(marketo, endpoint)

    marketo.before.append(before)
    marketo.after.append(after)
    entries = [
        build.entry(f"{number}@x.org", {"firstName": "new"}, if_blank={"title": "new"} if under_guard else None)
        for number in people
    ]
    drive.run([row_of(drive.calls, entry) for entry in entries])
    marketo.now += 1_000
    left.clear()
    drive.let_run()
    assert sorted(map(id, entries)) == sorted(id(entry) for entry, _ in drive.settled)
    emails = Counter(str(lead["email"]) for lead in marketo.leads.values())
    assert all(count == 1 for count in emails.values())
    for entry, fate in drive.settled:
        email = str(entry.person.lookup_value)
        there = int(email.partition("@")[0]) in existing
        if isinstance(fate, Found):
            lead = marketo.leads[fate.lead_id]
            assert lead["email"] == email
            assert lead["firstName"] == ("old" if there and mode == "create_missing" else "new")
            assert lead.get("title") == ("old" if there else "new" if under_guard else None)
        else:
            assert isinstance(fate, Refusal)
            assert fate.code == "609"
