"""From people to lead ids: every mode, every answer, and never a second lead."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from destination_marketo_programs.delivery.lead_writer import (
    MAX_LOST_CREATES,
    Found,
    Gone,
    Later,
    LeadWriter,
    Rejected,
)
from destination_marketo_programs.delivery.work import lead_row
from destination_marketo_programs.marketo.client import Reply
from destination_marketo_programs.marketo.errors import OutcomeUnknownError, RefusedError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from destination_marketo_programs.delivery.lead_writer import Fate, Fates
    from destination_marketo_programs.delivery.work import Item, LeadRow
    from destination_marketo_programs.marketo.client import Call
    from unit_tests.delivery.conftest import Build, FakeMarketo

EMAIL = "ada@example.org"


def lose(marketo: FakeMarketo, *, executed: bool, code: str = "502") -> Callable[[Call, Callable[[], Reply]], Reply]:
    """The answer is lost; whether Marketo did what it was asked is not seen from outside."""

    def fault(call: Call, execute: Callable[[], Reply]) -> Reply:
        if executed:
            execute()
        error = OutcomeUnknownError(call.endpoint, code, "text", "r#lost")
        error.sent_at = marketo.now
        raise error

    return fault


def refuse(code: str) -> Callable[[Call, Callable[[], Reply]], Reply]:
    def fault(call: Call, _execute: Callable[[], Reply]) -> Reply:
        raise RefusedError(call.endpoint, code)

    return fault


def only(fates: Fates) -> Fate:
    ((_, _, fate),) = fates
    return fate


def by_email(fates: Fates) -> dict[str, Fate]:
    assert len({id(item) for _, items, _ in fates for item in items}) == sum(len(items) for _, items, _ in fates)
    return {str(row.head[1]): fate for row, _, fate in fates}


# --- modes ---------------------------------------------------------------------------------------------------

DUPLICATE = Rejected("DUPLICATE_LEADS", "1007", None, None)
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
    mode: str,
    duplicates: str,
    there: int,
    fate: tuple[str, int | str],
    *,
    fields: bool,
    written: bool,
) -> None:
    marketo = build.marketo()
    for number in range(there):
        marketo.add(number + 1, email=EMAIL, firstName="old", updated_at=f"2026-01-0{number + 1}T00:00:00Z")
    row = build.lead_row(EMAIL, **({"firstName": "new"} if fields else {}))
    got = only(build.writer(marketo, mode, duplicates).write_by_key([row]))
    if isinstance(got, Found):
        assert (got.action, got.lead_id) == fate
        assert marketo.leads[got.lead_id].get("firstName") == (
            "new" if written and fields else ("old" if there else None)
        )
    else:
        assert isinstance(got, Rejected)
        assert ("rejected", got.category) == fate
    untouched = [lead for lead in marketo.leads.values() if not (isinstance(got, Found) and lead["id"] == got.lead_id)]
    assert all(lead["firstName"] == "old" for lead in untouched)
    assert len(marketo.leads) == max(there, 1 if fate[0] == "created" else 0)
    if mode == "match_only":
        assert all(body["action"] == "updateOnly" for body in marketo.writes)
    if mode == "create_missing":
        assert all(body["action"] == "createOnly" for body in marketo.writes)


def test_a_full_batch_takes_one_call(build: Build) -> None:
    marketo = build.marketo()
    rows = [build.lead_row(f"{number}@x.org", firstName="x") for number in range(300)]
    fates = build.writer(marketo).write_by_key(rows)
    assert [row.key for row, _, _ in fates] == [row.key for row in rows]
    assert len(marketo.calls) == 1
    marketo.calls.clear()
    build.writer(marketo, "create_missing").write_by_key([build.lead_row(f"{number}@x.org") for number in range(300)])
    assert len(marketo.calls) == 1
    assert len(marketo.leads) == 300


def test_the_newest_of_equal_leads_is_the_one_with_the_highest_id(build: Build) -> None:
    """Any rule will do, if two runs choose alike."""
    marketo = build.marketo()
    for lead_id in (3, 9, 5):
        marketo.add(lead_id, email=EMAIL)
    marketo.leads[9].pop("updatedAt")
    fate = only(build.writer(marketo, "match_only", "most_recently_updated").write_by_key([build.lead_row(EMAIL)]))
    assert fate == Found(5, "matched")


def test_keys_are_compared_without_case_and_blanks(build: Build) -> None:
    marketo = build.marketo()
    marketo.add(1, email="ADA@example.org")
    fate = only(build.writer(marketo, "match_only").write_by_key([build.lead_row("Ada@Example.org")]))
    assert fate == Found(1, "matched")


def test_a_key_with_a_comma_is_never_part_of_a_query(build: Build) -> None:
    """Marketo would read it as two values, and find somebody else."""
    marketo = build.marketo()
    marketo.add(1, email="a")
    marketo.add(2, email="a,b", firstName="old")
    plain, comma = build.lead_row("c"), build.lead_row("a,b")
    fates = by_email(build.writer(marketo, "match_only").write_by_key([plain, comma]))
    assert fates["a,b"] == Found(2, "updated")
    assert isinstance(fates["c"], Rejected)
    assert marketo.queries == [["c"]]
    missing = by_email(build.writer(marketo, "create_missing").write_by_key([build.lead_row("a,b")]))
    assert missing["a,b"] == Rejected("RECORD_REFUSED", "1005", "Lead already exists", missing["a,b"].request_id)  # type: ignore[union-attr]
    assert len(marketo.leads) == 2


@pytest.mark.parametrize("mode", ["create_or_update", "create_missing", "match_only"])
def test_an_address_that_thousands_of_leads_share_is_a_duplicate_and_no_reason_to_stop(build: Build, mode: str) -> None:
    """Marketo lists at most 1,000 leads; "noemail@example.org" has more in many an instance."""
    marketo = build.marketo()
    marketo.add(1, email="bob@x.org")
    for number in range(2):
        marketo.add(number + 10, email="none@x.org")

    def crowded(call: Call, execute: Callable[[], Reply]) -> Reply:
        values = dict(call.query)["filterValues"].split(",") if call.endpoint == "query_leads" else []
        if "none@x.org" in values:
            raise RefusedError(call.endpoint, "1003")
        return execute()

    marketo.faults = [crowded] * 20
    rows = [build.lead_row("none@x.org"), build.lead_row("bob@x.org")]
    fates = by_email(build.writer(marketo, mode, "most_recently_updated").write_by_key(rows))
    assert isinstance(fates["none@x.org"], Rejected)
    assert fates["none@x.org"].category == "DUPLICATE_LEADS"
    assert isinstance(fates["bob@x.org"], Found)


def test_a_lead_that_somebody_else_made_meanwhile_is_matched(build: Build) -> None:
    marketo = build.marketo()

    def create_between(_call: Call, execute: Callable[[], Reply]) -> Reply:
        marketo.add(7, email=EMAIL, firstName="theirs")
        return execute()

    marketo.faults = [None, create_between]
    rows = [build.lead_row(EMAIL, firstName="ours"), build.lead_row("bob@x.org")]
    fates = by_email(build.writer(marketo, "create_missing").write_by_key(rows))
    assert fates[EMAIL] == Found(7, "matched")
    assert marketo.leads[7]["firstName"] == "theirs"
    assert isinstance(fates["bob@x.org"], Found)


def test_duplicates_that_appear_between_look_and_create_stay_untouched_in_create_missing(build: Build) -> None:
    marketo = build.marketo()

    def two_appear(call: Call, _execute: Callable[[], Reply]) -> Reply:
        marketo.add(7, email=EMAIL, firstName="theirs")
        marketo.add(8, email=EMAIL, firstName="theirs", updated_at="2026-02-01T00:00:00Z")
        return Reply([{"status": "skipped", "reasons": [{"code": "1007"}]}], call.endpoint, {})

    marketo.faults = [None, two_appear]
    writer = build.writer(marketo, "create_missing", "most_recently_updated")
    assert only(writer.write_by_key([build.lead_row(EMAIL, firstName="ours")])) == Found(8, "matched")
    assert {lead["firstName"] for lead in marketo.leads.values()} == {"theirs"}


def test_an_accepted_row_without_id_is_looked_up(build: Build) -> None:
    """No optional member is certain; the lead was written, so that rejecting its record would be wrong."""
    marketo = build.marketo()

    def without_id(_call: Call, execute: Callable[[], Reply]) -> Reply:
        reply = execute()
        for row in reply.result:
            del row["id"]
        return reply

    marketo.faults = [without_id]
    assert only(build.writer(marketo).write_by_key([build.lead_row(EMAIL)])) == Found(101, "created")


@pytest.mark.parametrize(
    ("code", "category"),
    [("1001", "FIELD_INVALID"), ("1006", "FIELD_INVALID"), ("1008", "PARTITION_DENIED"), ("1099", "RECORD_REFUSED")],
)
def test_a_refusal_carries_marketos_words(build: Build, code: str, category: str) -> None:
    marketo = build.marketo()
    marketo.refuse = lambda row: (code, "Invalid value") if row["email"] == EMAIL else None
    fates = by_email(build.writer(marketo).write_by_key([build.lead_row(EMAIL), build.lead_row("bob@x.org")]))
    assert fates[EMAIL] == Rejected(category, code, "Invalid value", "r#1")
    assert isinstance(fates["bob@x.org"], Found)


def test_a_call_refused_as_a_whole_is_split_until_the_record_at_fault_is_alone(build: Build) -> None:
    marketo = build.marketo()

    def poison(call: Call, execute: Callable[[], Reply]) -> Reply:
        if b"3@x.org" in (call.body or b""):
            raise RefusedError(call.endpoint, "609", "Invalid JSON", "r#609")
        return execute()

    marketo.faults = [poison] * 20
    fates = by_email(build.writer(marketo).write_by_key([build.lead_row(f"{number}@x.org") for number in range(8)]))
    assert fates.pop("3@x.org") == Rejected("RECORD_REFUSED", "609", "Invalid JSON", "r#609")
    assert len(fates) == 7
    assert all(isinstance(fate, Found) for fate in fates.values())
    assert len(marketo.leads) == 7


# --- company fields ------------------------------------------------------------------------------------------


def refuse_company(row: dict[str, Any]) -> tuple[str, str] | None:
    return ("1021", "Company update not allowed in syncLead") if "company" in row or "industry" in row else None


def test_company_fields_that_an_instance_refuses_are_left_out_and_told(build: Build) -> None:
    marketo = build.marketo()
    marketo.refuse = refuse_company
    row = build.lead_row(EMAIL, firstName="Ada", company="Engines", industry="x")
    fate = only(build.writer(marketo).write_by_key([row]))
    assert fate == Found(101, "created", "1021", "Company update not allowed in syncLead")
    assert marketo.leads[101]["firstName"] == "Ada"
    assert len(marketo.writes) == 2


def test_1021_without_company_fields_is_a_refusal(build: Build) -> None:
    marketo = build.marketo()
    marketo.refuse = lambda _row: ("1021", "text")
    fate = only(build.writer(marketo).write_by_key([build.lead_row(EMAIL, firstName="Ada")]))
    assert isinstance(fate, Rejected)
    assert fate.code == "1021"
    assert len(marketo.calls) == 1


def test_company_fields_by_id(build: Build) -> None:
    marketo = build.marketo()
    marketo.add(7, email=EMAIL)
    marketo.refuse = refuse_company
    fate = only(build.writer(marketo).write_by_id([build.id_row(7, company="Engines", title="x")]))
    assert fate == Found(7, "updated", "1021", "Company update not allowed in syncLead")
    assert marketo.leads[7]["title"] == "x"


# --- several records in one row ------------------------------------------------------------------------------


def shared_row(build: Build, *fields: dict[str, Any]) -> tuple[LeadRow, list[Item]]:
    items = [build.item(EMAIL, each) for each in fields]
    row = lead_row(EMAIL, ("email", EMAIL), items[0])
    for item in items[1:]:
        row.add(item, fields_count=True)
    return row, items


def fate_of(fates: Fates, item: Item) -> Fate:
    (fate,) = [fate for _, items, fate in fates for each in items if each is item]
    return fate


def test_one_bad_record_of_a_person_does_not_reject_the_others(build: Build) -> None:
    marketo = build.marketo()
    marketo.refuse = lambda row: ("1001", "Invalid score") if row.get("score") == "bad" else None
    row, items = shared_row(build, {"title": "1"}, {"score": "bad"}, {"title": "3", "firstName": "Ada"})
    fates = build.writer(marketo).write_by_key([row])
    assert isinstance(fate_of(fates, items[0]), Found)
    assert isinstance(fate_of(fates, items[1]), Rejected)
    assert isinstance(fate_of(fates, items[2]), Found)
    assert marketo.leads[101] | {"title": "3", "firstName": "Ada"} == marketo.leads[101]
    assert len(marketo.leads) == 1


@pytest.mark.parametrize("executed", [False, True])
def test_a_part_whose_answer_is_lost_keeps_those_behind_it_waiting(build: Build, *, executed: bool) -> None:
    """Each as a call of its own would have the person in flight twice, or be forgotten."""
    marketo = build.marketo()
    marketo.refuse = lambda row: ("1001", "Invalid score") if row.get("score") == "bad" else None
    row, items = shared_row(build, {"score": "bad"}, {"title": "2"}, {"firstName": "Ada"})
    marketo.faults = [None, None, lose(marketo, executed=executed)]
    writer = build.writer(marketo, partition="EMEA")
    fates = writer.write_by_key([row])
    assert isinstance(fate_of(fates, items[0]), Rejected)
    later = fate_of(fates, items[1])
    assert later == fate_of(fates, items[2]) == Later(marketo.now + 95, 0)
    (waiting,) = [row for row, _, fate in fates if isinstance(fate, Later)]
    assert waiting.fields == {"title": "2", "firstName": "Ada"}
    assert waiting.tries == 1
    again = writer.write_by_key([waiting])
    assert only(again) == Found(101, "updated" if executed else "created")
    assert len(marketo.leads) == 1


# --- by id ---------------------------------------------------------------------------------------------------


def test_by_id_updates_and_never_creates(build: Build) -> None:
    marketo = build.marketo()
    marketo.add(7, email=EMAIL)
    rows = [build.id_row(7, title="x"), build.id_row(8, title="y")]
    (_, _, found), (_, _, gone) = build.writer(marketo).write_by_id(rows)
    assert found == Found(7, "updated")
    assert gone == Gone(Rejected("LEAD_NOT_FOUND", "1004", "Lead not found", "r#1"))
    assert marketo.writes[0]["lookupField"] == "id"
    assert marketo.writes[0]["action"] == "updateOnly"
    assert set(marketo.leads) == {7}


def test_1013_by_id_means_gone_as_well(build: Build) -> None:
    marketo = build.marketo()
    marketo.refuse = lambda _row: ("1013", "Object not found")
    assert isinstance(only(build.writer(marketo).write_by_id([build.id_row(7, title="x")])), Gone)


def test_a_chosen_duplicate_that_vanishes_is_rejected_not_looked_for_again(build: Build) -> None:
    """`Gone` would send it back to the key that led here, round and round."""
    marketo = build.marketo()
    for lead_id in (1, 2):
        marketo.add(lead_id, email=EMAIL)

    def vanish(_call: Call, execute: Callable[[], Reply]) -> Reply:
        del marketo.leads[2]
        return execute()

    marketo.faults = [None, None, vanish]
    writer = build.writer(marketo, duplicates="most_recently_updated")
    fate = only(writer.write_by_key([build.lead_row(EMAIL, title="x")]))
    assert isinstance(fate, Rejected)
    assert fate.category == "LEAD_NOT_FOUND"


def test_many_duplicates_are_resolved_in_a_few_calls(build: Build) -> None:
    marketo = build.marketo()
    for number, _ in itertools.product(range(100), range(2)):
        marketo.add(email=f"{number}@x.org")
    rows = [build.lead_row(f"{number}@x.org", title="x") for number in range(100)]
    fates = build.writer(marketo, duplicates="most_recently_updated").write_by_key(rows)
    assert len(fates) == 100
    assert len(marketo.calls) == 3


# --- lost answers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["create_or_update", "create_missing"])
def test_a_create_that_was_executed_is_read_back_and_not_repeated(build: Build, mode: str) -> None:
    marketo = build.marketo()
    look = [None] if mode == "create_missing" else []
    marketo.faults = [*look, lose(marketo, executed=True)]
    rows = [build.lead_row(f"{number}@x.org", firstName="x") for number in range(50)]
    fates = build.writer(marketo, mode).write_by_key(rows)
    assert len(marketo.leads) == 50
    assert {fate.action for _, _, fate in fates if isinstance(fate, Found)} == {
        "matched" if mode == "create_missing" else "updated"
    }
    creating = [body for body in marketo.writes if body["action"] != "updateOnly"]
    assert len(creating) == 1
    assert len(marketo.calls) == 3


@pytest.mark.parametrize("mode", ["create_or_update", "create_missing"])
def test_a_create_that_cannot_be_read_back_waits_until_it_cannot_be_running(build: Build, mode: str) -> None:
    marketo = build.marketo()
    look = [None] if mode == "create_missing" else []
    marketo.faults = [*look, lose(marketo, executed=False)]
    row = build.lead_row(EMAIL, firstName="x")
    fate = only(build.writer(marketo, mode).write_by_key([row]))
    assert fate == Later(marketo.now + 95, 0)
    assert row.tries == 1
    assert marketo.leads == {}


def test_with_a_partition_nothing_is_taken_for_ours_because_it_is_there(build: Build) -> None:
    """The query sees every partition; a lead of that address in another one is another lead."""
    marketo = build.marketo()
    marketo.faults = [lose(marketo, executed=True)]
    assert isinstance(only(build.writer(marketo, partition="EMEA").write_by_key([build.lead_row(EMAIL)])), Later)
    assert marketo.queries == []


def test_updates_whose_answer_is_lost_are_the_clients_to_repeat(build: Build) -> None:
    """`match_only` creates nothing, so there is nothing to wait for."""
    marketo = build.marketo()
    marketo.add(1, email=EMAIL)
    build.writer(marketo, "match_only").write_by_key([build.lead_row(EMAIL, title="x")])
    assert [call.repeatable for call in marketo.calls] == [True]
    build.writer(marketo).write_by_key([build.lead_row(EMAIL, title="x")])
    assert marketo.calls[-1].repeatable is False


@pytest.mark.parametrize("code", ["604", "611"])
def test_a_batch_that_is_too_much_comes_back_as_two(build: Build, code: str) -> None:
    marketo = build.marketo()
    marketo.faults = [lose(marketo, executed=False, code=code)]
    rows = [build.lead_row(f"{number}@x.org") for number in range(5)]
    fates = build.writer(marketo).write_by_key(rows)
    assert Counter(fate for _, _, fate in fates) == {Later(marketo.now + 95, 0): 2, Later(marketo.now + 95, 1): 3}
    assert [row.tries for row in rows] == [0] * 5


def test_a_create_that_is_lost_for_ever_ends_the_sync_and_rejects_nobody(build: Build) -> None:
    marketo = build.marketo()
    writer = build.writer(marketo, partition="EMEA")
    row = build.lead_row(EMAIL)
    marketo.faults = [lose(marketo, executed=False)] * 20
    for _ in range(MAX_LOST_CREATES):
        assert isinstance(only(writer.write_by_key([row])), Later)
    with pytest.raises(UnreachableError):
        writer.write_by_key([row])


class Drive:
    """Sends rows as delivery does: what is to wait waits, what is lost in one batch comes back as one."""

    def __init__(self, marketo: FakeMarketo, writer: LeadWriter) -> None:
        self.marketo = marketo
        self.writer = writer
        self.settled: list[tuple[Item, Fate]] = []
        self.running: list[tuple[float, int, Callable[[], Reply]]] = []
        self.numbers = itertools.count()

    def run(self, rows: list[LeadRow]) -> None:
        waiting = [(self.marketo.now, next(self.numbers), rows)]
        while waiting:
            at, _, batch = heapq.heappop(waiting)
            self.marketo.now = max(self.marketo.now, at)
            self.let_run()
            delayed: dict[Later, list[LeadRow]] = {}
            for row, items, fate in self.writer.write_by_key(batch):
                if isinstance(fate, Later):
                    assert fate.not_before >= self.marketo.now
                    delayed.setdefault(fate, []).append(row)
                else:
                    self.settled += [(item, fate) for item in items]
            keys = [row.key for each in delayed.values() for row in each]
            assert len(keys) == len(set(keys)), "one person in two calls"
            for later, again in delayed.items():
                heapq.heappush(waiting, (later.not_before, next(self.numbers), again))

    def let_run(self) -> None:
        """Calls whose answer was lost end some time within Marketo's 90 seconds."""
        while self.running and self.running[0][0] <= self.marketo.now:
            heapq.heappop(self.running)[2]()

    def lose_and_run_later(self, seconds: float) -> Callable[[Call, Callable[[], Reply]], Reply]:
        def fault(call: Call, execute: Callable[[], Reply]) -> Reply:
            if call.endpoint != "sync_leads":
                return execute()
            heapq.heappush(self.running, (self.marketo.now + seconds, next(self.numbers), execute))
            error = OutcomeUnknownError(call.endpoint, "604" if seconds > 45 else "502")
            error.sent_at = self.marketo.now
            raise error

        return fault


def test_one_record_that_marketo_cannot_digest_is_found_and_the_others_are_created(build: Build) -> None:
    marketo = build.marketo()

    def poison(call: Call, execute: Callable[[], Reply]) -> Reply:
        if call.endpoint == "sync_leads" and b"13@x.org" in (call.body or b""):
            return lose(marketo, executed=False, code="611")(call, execute)
        return execute()

    marketo.faults = [poison] * 1000
    drive = Drive(marketo, build.writer(marketo))
    drive.run([build.lead_row(f"{number:02d}@x.org") for number in range(40)])
    rejected = [(item.person.key, fate) for item, fate in drive.settled if isinstance(fate, Rejected)]
    assert rejected == [("13@x.org", Rejected("RECORD_REFUSED", "611", "text", "r#lost"))]
    assert len(drive.settled) == 40
    assert len(marketo.leads) == 39


def test_while_marketo_digests_nobody_nobody_is_rejected(build: Build) -> None:
    marketo = build.marketo()

    def outage(call: Call, execute: Callable[[], Reply]) -> Reply:
        if call.endpoint == "sync_leads":
            return lose(marketo, executed=False, code="611")(call, execute)
        return execute()

    marketo.faults = [None, *[outage] * 1000]
    writer = build.writer(marketo)
    writer.write_by_key([build.lead_row("before@x.org")])
    drive = Drive(marketo, writer)
    with pytest.raises(UnreachableError):
        drive.run([build.lead_row(f"{number}@x.org") for number in range(3)])
    assert [fate for _, fate in drive.settled if isinstance(fate, Rejected)] == []


events = st.sampled_from(["fine", "fine", "lost before", "lost after", "runs on", "refused"])


@given(
    people=st.lists(st.integers(0, 12), min_size=1, max_size=14, unique=True),
    existing=st.sets(st.integers(0, 12)),
    script=st.lists(st.tuples(events, st.floats(1, 89)), max_size=MAX_LOST_CREATES),
    mode=st.sampled_from(["create_or_update", "create_missing"]),
    partition=st.sampled_from(["", "EMEA"]),
)
@settings(max_examples=100)
def test_whatever_is_lost_everybody_is_settled_once_and_nobody_is_made_twice(
    build: Build,
    people: list[int],
    existing: set[int],
    script: list[tuple[str, float]],
    mode: str,
    partition: str,
) -> None:
    marketo = build.marketo()
    for number in existing:
        marketo.add(email=f"{number}@x.org", firstName="old")
    drive = Drive(marketo, build.writer(marketo, mode, partition=partition))
    marketo.faults = [
        {
            "fine": None,
            "lost before": lose(marketo, executed=False),
            "lost after": lose(marketo, executed=True),
            "runs on": drive.lose_and_run_later(seconds),
            "refused": refuse("609"),
        }[event]
        for event, seconds in script
    ]
    for number, fault in enumerate(marketo.faults):
        if fault is not None:
            marketo.faults[number] = only_writes(fault)
    rows = [build.lead_row(f"{number}@x.org", firstName="new") for number in people]
    items = [item for row in rows for item in row.items()]
    drive.run(rows)
    marketo.now += 1000
    drive.let_run()
    assert sorted(map(id, items)) == sorted(id(item) for item, _ in drive.settled)
    emails = Counter(str(lead["email"]) for lead in marketo.leads.values())
    assert all(count == 1 for count in emails.values())
    for item, fate in drive.settled:
        email = item.person.lookup_value
        if isinstance(fate, Found):
            assert marketo.leads[fate.lead_id]["email"] == email
            kept = mode == "create_missing" and int(str(email).partition("@")[0]) in existing
            assert marketo.leads[fate.lead_id]["firstName"] == ("old" if kept else "new")
        else:
            assert isinstance(fate, Rejected)
            assert fate.code == "609"


def only_writes(fault: Callable[[Call, Callable[[], Reply]], Reply]) -> Callable[[Call, Callable[[], Reply]], Reply]:
    """Reads are repeated by the client, and updates too: what is lost here are creates."""

    def wrapped(call: Call, execute: Callable[[], Reply]) -> Reply:
        return execute() if call.endpoint == "query_leads" or call.repeatable else fault(call, execute)

    return wrapped
