"""People and memberships, whatever Marketo denies and in whichever order it answers: every outcome, once."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from delivery_bench import PROGRAMS, STATUSES, Build, TableMarketo, Way, statuses
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from destination_marketo_programs.delivery.loop import missing_from
from destination_marketo_programs.delivery.schedule import choose
from destination_marketo_programs.delivery.stage import NEVER
from destination_marketo_programs.mapping import fold_address
from destination_marketo_programs.marketo.errors import OutcomeUnknownError
from destination_marketo_programs.marketo.leads import Action
from destination_marketo_programs.outcomes import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.delivery.entry import Entry
    from destination_marketo_programs.delivery.stage import Call

MODES = ("create_or_update", "create_missing", "match_only")
EMAILS = ("a@x.org", "b@x.org", "c@x.org", "twins@x.org", "moved@x.org", "a,b@x.org")
IDS = (1, 2, 3, 4, 5, 999_999)


class Flight(NamedTuple):
    """A call in flight: executed when it was sent, or not yet."""

    call: Call
    answer: Any
    executed: bool


class Drive:
    """Makes the stages' calls without threads, and answers them in the order that it is told.

    Every call says what it touched; two calls in flight must not touch one person by key, nor one membership.
    """

    def __init__(self, way: Way, concurrent_calls: int) -> None:
        self.way = way
        self.marketo = way.marketo
        self.concurrent_calls = concurrent_calls
        self.flying: list[Flight] = []
        self.touched: list[set[object]] = []
        self._touching: set[object] = set()
        self.marketo.before.append(self._watch)

    def _watch(self, endpoint: str, rows: list[Any]) -> None:
        sent = self.marketo.calls[-1][1]
        if endpoint == "sync_leads" and sent[1] != "id":
            self._touching |= {("key", fold_address(row[sent[1]])) for row in rows}
        elif endpoint == "sync_status":
            self._touching |= {("membership", sent[0], lead) for lead in rows}
        elif endpoint == "sync_data":
            self._touching |= {("membership", sent[0], lead) for lead, _ in rows}

    def _execute(self, call: Call) -> Any:
        self._touching = set()
        answer = call.run()
        for other in self.touched:
            assert not other & self._touching, "one person, or one membership, in two calls at once"
        return answer

    def submit(self, *, ended: bool, execute: bool, born_before: float = -NEVER) -> bool:
        if len(self.flying) >= self.concurrent_calls:
            return False
        now = self.marketo.now
        for stage in self.way.stages:
            stage.advance(now, ended=ended)
        call = choose(self.way.stages, now, born_before, ended=ended)
        if call is None:
            return False
        if execute:
            answer = self._execute(call)
            self.flying.append(Flight(call, answer, executed=True))
            self.touched.append(self._touching)
        else:
            self.flying.append(Flight(call, None, executed=False))
            self.touched.append(set())
        return True

    def answer(self, which: int) -> None:
        if not self.flying:
            return
        place = which % len(self.flying)
        flight, _ = self.flying.pop(place), self.touched.pop(place)
        flight.call.finish(flight.answer if flight.executed else self._execute(flight.call))

    def finish(self) -> None:
        """The input has ended: go on until nothing waits."""
        for _ in range(3_000):
            while self.submit(ended=True, execute=False):
                pass
            if self.flying:
                self.answer(0)
                continue
            if not any(len(stage) for stage in self.way.stages):
                return
            due = min(stage.due_in(self.marketo.now) for stage in self.way.stages)
            assert due < NEVER, "somebody waits, and no call will ever be due"
            self.marketo.now += due
        raise AssertionError("it does not come to an end")


records = st.lists(
    st.tuples(
        st.sampled_from([None, *EMAILS]),
        st.sampled_from([None, None, None, *IDS]),
        st.lists(
            st.tuples(st.sampled_from(PROGRAMS), st.sampled_from(sorted(STATUSES))),
            min_size=1,
            max_size=3,
            unique_by=lambda target: target[0],
        ),
        st.dictionaries(st.sampled_from(["title", "bad"]), st.sampled_from(["x", "y"]), max_size=1),
        st.sampled_from([{}, {}, {"seat": "1"}, {"seat": "bad"}]),
        st.sampled_from([None, None, {"phone": "1"}]),
        st.one_of(st.none(), st.none(), st.tuples(st.sampled_from([None, *IDS]), st.sets(st.sampled_from(PROGRAMS)))),
    ),
    min_size=1,
    max_size=12,
)
meddling = st.tuples(st.sampled_from(["delete", "merge", "move", "twin", "appear", "hide"]), st.integers(0, 9))
steps = st.lists(
    st.one_of(
        st.just(("arrive", 0)),
        st.tuples(st.sampled_from(["send", "send later"]), st.just(0)),
        st.tuples(st.just("answer"), st.integers(0, 3)),
        st.tuples(st.just("time"), st.integers(1, 70)),
        meddling,
    ),
    max_size=60,
)


def filled(marketo: TableMarketo) -> None:
    """Some of those who come are there; two of them share an address, one is in a partition that denies."""
    for lead_id, email in ((1, "a@x.org"), (2, "b@x.org"), (3, "twins@x.org"), (4, "twins@x.org"), (5, "moved@x.org")):
        marketo.add(lead_id, email=email, updated_at=f"2026-01-0{lead_id}T00:00:00Z")
    marketo.members[1, 1] = "Attended"

    def judged(row: dict[str, Any]) -> str | None:
        if row.get("title") == "y" and row.get("email") != "b@x.org":
            return "1001"
        return "1008" if row.get("email") == "moved@x.org" and "bad" in row else None

    marketo.refuse = judged
    marketo.refuse_fields = lambda fields: "1013" if fields.get("seat") == "bad" else None
    marketo.refuse_member = lambda program, status, _lead: "1001" if (program, status) == (3, "Engaged") else None


def meddle(marketo: TableMarketo, what: str, which: int) -> None:
    """Somebody else works in Marketo meanwhile."""
    if what == "appear":
        marketo.add(email=EMAILS[which % len(EMAILS)])
        return
    if not marketo.leads:
        return
    lead_id = sorted(marketo.leads)[which % len(marketo.leads)]
    match what:
        case "delete":
            del marketo.leads[lead_id]
        case "merge" if len(marketo.leads) > 1:
            del marketo.leads[lead_id]
            marketo.merged[lead_id] = sorted(marketo.leads)[which % len(marketo.leads)]
        case "move":
            marketo.leads[lead_id]["email"] = f"other{lead_id}@x.org"
        case "twin":
            marketo.add(email=marketo.leads[lead_id].get("email"))
        case "hide":
            marketo.visible_at[lead_id] = marketo.now + 5.0 * which


def entry_of(build: Build, record: Any, born: float) -> Entry:
    email, marketo_id, targets, fields, member_fields, if_blank, memory = record
    entry = build.entry(
        email,
        fields,
        marketo_id=marketo_id,
        targets=[build.target(*target) for target in targets],
        member_fields=member_fields,
        if_blank=if_blank,
        born=born,
    )
    if memory is not None:
        remember(entry, *memory)
    return entry


def remember(entry: Entry, lead_id: int | None, quiet: set[int]) -> None:
    """Cut down an entry as memory does: to what is new, sent to the lead that it knows."""
    person = entry.whole = entry.person
    entry.lead_id = lead_id
    entry.quiet = frozenset(quiet & {target.program_id for target in entry.targets}) or None
    on_create = {**(person.if_blank or {}), **person.fields} if lead_id is None else None
    entry.person = structs.replace(person, fields={}, if_blank=None, on_create=on_create or None)


def check_all_told(way: Way, entries: Sequence[Entry]) -> None:
    told = way.told()
    assert {entry.key: {target.program_id for target in entry.targets} for entry in entries} == {
        key: set(of_record) for key, of_record in told.items()
    }
    assert Counter(map(id, way.settled)) == Counter(map(id, entries))
    way.settlement.commit()
    assert missing_from(way.tally) == ""
    assert way.holding.bytes == 0
    assert all(stage.in_flight == 0 and len(stage) == 0 for stage in way.stages)
    rejected = {entry.line for entry in entries if entry.rejections}
    assert sorted(line for line, _ in way.store.rejected) == sorted(rejected)


@given(
    load=records,
    script=steps,
    mode=st.sampled_from(MODES),
    duplicates=st.sampled_from(["most_recently_updated", "reject"]),
    concurrent_calls=st.integers(1, 3),
    highest=st.dictionaries(st.tuples(st.integers(1, 5), st.sampled_from(PROGRAMS)), st.sampled_from(sorted(STATUSES))),
)
@settings(max_examples=300)
def test_each_record_and_program_has_one_outcome_whatever_is_denied_and_whenever(
    build: Build,
    load: list[Any],
    script: list[tuple[str, int]],
    mode: str,
    duplicates: str,
    concurrent_calls: int,
    highest: dict[tuple[int, int], str],
) -> None:
    marketo = TableMarketo()
    filled(marketo)
    way = Way(marketo, mode, duplicates)
    if highest:
        way.connect(lambda lead_id, program_id: highest.get((lead_id, program_id)))
    drive = Drive(way, concurrent_calls)
    entries: list[Entry] = []
    left = list(load)

    def arrive() -> None:
        entry = entry_of(build, left.pop(0), marketo.now)
        entries.append(entry)
        way.accept(entry)

    for step, argument in script:
        match step:
            case "arrive":
                if left:
                    arrive()
            case "send" | "send later":
                drive.submit(ended=False, execute=step == "send", born_before=marketo.now)
            case "answer":
                drive.answer(argument)
            case "time":
                marketo.now += argument
            case _:
                meddle(marketo, step, argument)
    while left:
        arrive()
    drive.finish()
    check_all_told(way, entries)
    check_created_once(way)


class Losing:
    """Answers to creates that get lost: before Marketo executed them, after, or while it goes on for a while."""

    def __init__(self, marketo: TableMarketo) -> None:
        self.marketo = marketo
        self.next: list[tuple[str, int]] = []
        self.running: list[tuple[float, list[Any], Any, str]] = []
        self._lose_after = False
        marketo.before.append(self.before)
        marketo.after.append(self.after)

    def before(self, endpoint: str, rows: list[Any]) -> None:
        self.let_run()
        if endpoint != "sync_leads" or self.marketo.writes()[-1][0] == Action.UPDATE_ONLY or not self.next:
            return
        how, seconds = self.next.pop(0)
        action, name, _ = self.marketo.writes()[-1]
        if how == "after":
            self._lose_after = True
            return
        if how == "runs on":
            self.running.append((self.marketo.now + seconds, [dict(row) for row in rows], action, name))
        raise OutcomeUnknownError(endpoint, "604" if seconds > 45 else "502", None, None, self.marketo.now)

    def after(self, endpoint: str, _rows: list[Any]) -> None:
        if self._lose_after:
            self._lose_after = False
            raise OutcomeUnknownError(endpoint, "502", None, None, self.marketo.now)

    def let_run(self) -> None:
        due = [each for each in self.running if each[0] <= self.marketo.now]
        self.running = [each for each in self.running if each[0] > self.marketo.now]
        for _, rows, action, name in due:
            self.marketo.execute(rows, action, name, "")


new_people = st.lists(
    st.tuples(
        st.sampled_from(["a@x.org", "n1@x.org", "n2@x.org", "N2@x.org", "n3@x.org"]),
        st.none(),
        st.lists(
            st.tuples(st.sampled_from(PROGRAMS), st.sampled_from(sorted(STATUSES))),
            min_size=1,
            max_size=2,
            unique_by=lambda target: target[0],
        ),
        st.dictionaries(st.sampled_from(["title", "city"]), st.sampled_from(["x", "y"]), max_size=2),
        st.just({}),
        st.sampled_from([None, None, {"phone": "1"}]),
        st.none(),
    ),
    min_size=1,
    max_size=10,
)
losing_steps = st.lists(
    st.one_of(
        st.just(("arrive", 0)),
        st.tuples(st.sampled_from(["send", "send later"]), st.just(0)),
        st.tuples(st.just("answer"), st.integers(0, 3)),
        st.tuples(st.just("time"), st.integers(1, 70)),
        st.tuples(st.sampled_from(["before", "after", "runs on"]), st.integers(1, 89)),
    ),
    max_size=40,
)


@given(
    load=new_people,
    script=losing_steps,
    mode=st.sampled_from(["create_or_update", "create_missing"]),
    concurrent_calls=st.integers(1, 3),
    not_before=st.sampled_from([0.0, 0.0, 60.0]),
)
@settings(max_examples=200)
def test_whatever_answers_are_lost_nobody_is_created_twice(
    build: Build, load: list[Any], script: list[tuple[str, int]], mode: str, concurrent_calls: int, not_before: float
) -> None:
    marketo = TableMarketo()
    marketo.add(1, email="a@x.org", title="old", phone="old")
    marketo.members[1, 1] = "Attended"
    way = Way(marketo, mode, creates_not_before=marketo.now + not_before)
    losing = Losing(marketo)
    drive = Drive(way, concurrent_calls)
    entries: list[Entry] = []
    left = list(load)

    def arrive() -> None:
        entry = entry_of(build, left.pop(0), marketo.now)
        entries.append(entry)
        way.accept(entry)

    for step, argument in script:
        match step:
            case "arrive" if left:
                arrive()
            case "send" | "send later":
                drive.submit(ended=False, execute=step == "send", born_before=marketo.now)
            case "answer":
                drive.answer(argument)
            case "time":
                marketo.now += argument
            case "before" | "after" | "runs on" if len(losing.next) < 4:
                losing.next.append((step, argument))
    while left:
        arrive()
    drive.finish()
    marketo.now += 1_000.0
    losing.let_run()
    check_all_told(way, entries)
    check_created_once(way)
    emails = Counter(fold_address(lead["email"]) for lead in marketo.leads.values())
    assert all(count == 1 for count in emails.values()), "a second person"
    assert set(emails) == {"a@x.org", *(entry.person.key for entry in entries)}
    assert marketo.leads[1]["phone"] == "old"
    assert not way.store.rejected


def check_created_once(way: Way) -> None:
    """Of records of one membership one says that it was created; a membership that was there is never created."""
    created = [(outcome.program_id, outcome.lead_id) for outcome in way.store.outcomes if outcome.outcome == "created"]
    assert len(created) == len(set(created))
    assert (1, 1) not in created
    assert len(created) <= len(way.marketo.members)


# --- issue 11, A and B -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["match_only", "create_or_update"])
@pytest.mark.parametrize("order", [(0, 0, 0, 0), (1, 0, 1, 0), (0, 1, 0, 1), (1, 1, 1, 1)])
@pytest.mark.parametrize("concurrent_calls", [1, 2, 3])
def test_a_person_whom_nobody_knows_is_told_for_both_programs(
    build: Build, mode: str, order: tuple[int, ...], concurrent_calls: int
) -> None:
    marketo = TableMarketo()
    way = Way(marketo, mode)
    drive = Drive(way, concurrent_calls)
    entry = build.entry("nobody@x.org", marketo_id=999_999, targets=[build.target(1), build.target(2)])
    way.accept(entry)
    for which in order:
        while drive.submit(ended=True, execute=True):
            pass
        drive.answer(which)
    drive.finish()
    check_all_told(way, [entry])
    expected = "created" if mode == "create_or_update" else "LEAD_NOT_FOUND"
    assert way.told()[entry.key] == {1: expected, 2: expected}


@pytest.mark.parametrize("late", [0, 1])
@pytest.mark.parametrize("concurrent_calls", [1, 2])
def test_a_person_whom_the_key_finds_becomes_a_member_of_every_program(
    build: Build, late: int, concurrent_calls: int
) -> None:
    """The id on the record means nobody; one program is denied before the look by key has its answer, one after."""
    marketo = TableMarketo()
    marketo.add(7, email="ada@example.org")
    way = Way(marketo, "match_only")
    drive = Drive(way, concurrent_calls)
    entry = build.entry(marketo_id=999_999, targets=[build.target(program) for program in PROGRAMS])
    way.accept(entry)
    for _ in range(20):
        while drive.submit(ended=True, execute=True):
            pass
        drive.answer(late)
    drive.finish()
    assert way.told()[entry.key] == dict.fromkeys(PROGRAMS, "created")
    assert sorted(marketo.members) == [(program, 7) for program in PROGRAMS]


def delete_some(marketo: TableMarketo) -> None:
    if len(marketo.leads) > 400:
        for lead_id in sorted(marketo.leads)[::7]:
            del marketo.leads[lead_id]


def test_people_who_are_deleted_during_the_sync_are_told(build: Build) -> None:
    marketo = TableMarketo()
    for number in range(600):
        marketo.add(email=f"p{number}@x.org")
    way = Way(marketo, "match_only")
    drive = Drive(way, 3)
    targets = [build.target(program) for program in PROGRAMS]
    entries = [build.entry(f"p{number}@x.org", targets=targets) for number in range(600)]
    way.accept(*entries)
    marketo.before.append(lambda endpoint, _rows: delete_some(marketo) if endpoint == "sync_status" else None)
    drive.finish()
    check_all_told(way, entries)


def test_a_merged_person_is_found_by_the_key(build: Build) -> None:
    marketo = TableMarketo()
    marketo.merged[7] = 8
    marketo.add(8, email="ada@example.org")
    way = Way(marketo)
    entry = build.entry(marketo_id=7, fields={"title": "x"}, targets=[build.target(1), build.target(2)])
    way.accept(entry)
    Drive(way, 2).finish()
    assert way.told()[entry.key] == {1: "created", 2: "created"}
    assert sorted(marketo.members) == [(1, 8), (2, 8)]
    assert marketo.leads[8]["title"] == "x"


# --- equal steps, and what counts as created ---------------------------------------------------------------------

same_people = st.lists(
    st.tuples(
        st.sampled_from(["a@x.org", "new@x.org"]), st.sampled_from(PROGRAMS[:2]), st.sampled_from(sorted(STATUSES))
    ),
    min_size=1,
    max_size=8,
)


def final_statuses(build: Build, load: Sequence[tuple[str, int, str]], batches: Sequence[int]) -> dict[Any, str]:
    marketo = TableMarketo()
    marketo.add(1, email="a@x.org")
    way = Way(marketo)
    drive = Drive(way, 2)
    left = list(load)
    for size in [*batches, len(left)]:
        for email, program, status in left[:size]:
            way.accept(build.entry(email, targets=[build.target(program, status)], born=marketo.now))
        left = left[size:]
        if size % 2:
            drive.finish()
        else:
            drive.submit(ended=False, execute=True, born_before=marketo.now)
    drive.finish()
    return {(program, marketo.leads[lead]["email"]): status for (program, lead), status in marketo.members.items()}


@given(
    load=same_people,
    order=st.randoms(use_true_random=False),
    batches=st.lists(st.integers(0, 4), max_size=5),
    others=st.lists(st.integers(0, 4), max_size=5),
)
@settings(max_examples=200)
def test_the_same_records_in_any_order_end_in_the_same_statuses(
    build: Build, load: list[tuple[str, int, str]], order: Any, batches: list[int], others: list[int]
) -> None:
    shuffled = list(load)
    order.shuffle(shuffled)
    one = final_statuses(build, load, batches)
    assert one == final_statuses(build, shuffled, others)
    rank = statuses().rank
    best: dict[tuple[int, str], str] = {}
    for email, program, status in load:
        held = best.get((program, email))
        if held is None or rank(program, status) > rank(program, held):
            best[program, email] = status
    assert one == best


def test_a_status_of_the_same_step_that_counts_for_less_never_undoes_one_that_was_sent(build: Build) -> None:
    """Not even behind a lower one, which it would otherwise stand for."""
    way = Way(TableMarketo())
    drive = Drive(way, 1)
    way.accept(build.entry(targets=[build.target(1, "Attended")]))
    drive.finish()
    later = [build.entry(targets=[build.target(1, status)]) for status in ("Invited", "No Show")]
    way.accept(*later)
    drive.finish()
    assert list(way.marketo.members.values()) == ["Attended"]
    assert [way.told()[entry.key][1] for entry in later] == ["unchanged", "SUPERSEDED"]


def test_of_records_of_one_membership_the_first_says_that_it_was_created(build: Build) -> None:
    way = Way(TableMarketo())
    entries = [build.entry(targets=[build.target(1, status)]) for status in ("Invited", "Attended", "Attended")]
    way.accept(*entries)
    Drive(way, 1).finish()
    told = way.told()
    assert [told[entry.key][1] for entry in entries] == ["SUPERSEDED", "created", "unchanged"]
    by_outcome = way.tally.by_outcome()
    assert by_outcome[Result.CREATED] == len(way.marketo.members) == 1


def test_a_status_that_stood_for_lower_ones_and_is_refused_leaves_them_their_own_try(build: Build) -> None:
    marketo = TableMarketo()
    marketo.refuse_member = lambda _program, status, _lead: "1001" if status == "Engaged" else None
    way = Way(marketo)
    entries = [build.entry(targets=[build.target(1, status)]) for status in ("Registered", "Engaged", "Invited")]
    way.accept(*entries)
    Drive(way, 1).finish()
    told = way.told()
    assert [told[entry.key][1] for entry in entries] == ["created", "FIELD_INVALID", "SUPERSEDED"]


# --- people who were just created --------------------------------------------------------------------------------


def hidden_after_creation(marketo: TableMarketo, seconds: float) -> None:
    def hide(endpoint: str, _rows: list[Any]) -> None:
        if endpoint == "sync_leads":
            for lead_id in marketo.created:
                marketo.visible_at.setdefault(lead_id, marketo.now + seconds)

    marketo.after.append(hide)


@pytest.mark.parametrize("seconds", [0.4, 3.0, 30.0, 59.0])
def test_a_created_person_is_asked_for_again_until_marketo_shows_him(build: Build, seconds: float) -> None:
    """Any record of it: the second comes with other fields, so that it is written by id as well."""
    marketo = TableMarketo()
    hidden_after_creation(marketo, seconds)
    way = Way(marketo)
    drive = Drive(way, 1)
    first = build.entry("new@x.org", {"title": "1"}, targets=[build.target(1)])
    way.accept(first)
    while not marketo.leads:
        drive.submit(ended=True, execute=False)
        drive.answer(0)
    second = build.entry("new@x.org", {"title": "2"}, targets=[build.target(2)])
    way.accept(second)
    drive.finish()
    assert way.told() == {first.key: {1: "created"}, second.key: {2: "created"}}
    assert len(marketo.leads) == 1
    assert marketo.leads[101]["title"] == "2"


def test_pauses_grow_and_end_after_60_seconds_and_others_go_on_meanwhile(build: Build) -> None:
    marketo = TableMarketo()
    hidden_after_creation(marketo, 10_000.0)
    marketo.add(1, email="a@x.org")
    way = Way(marketo)
    drive = Drive(way, 1)
    new = build.entry("new@x.org")
    way.accept(new)
    while not marketo.calls or marketo.calls[-1][0] != "sync_status":
        drive.submit(ended=True, execute=False)
        drive.answer(0)
    other = build.entry("a@x.org", targets=[build.target(2)])
    way.accept(other)
    tried = [marketo.now]
    marketo.before.append(
        lambda endpoint, rows: tried.append(marketo.now) if endpoint == "sync_status" and rows == [101] else None
    )
    began = marketo.now
    while other.key not in way.told():
        assert drive.submit(ended=True, execute=True)
        drive.answer(0)
    assert marketo.now == began, "nobody else waits for the one who is not visible"
    drive.finish()
    pauses = [after - before for before, after in pairwise(tried)]
    assert pauses[:4] == [0.5, 1.0, 2.0, 4.0]
    assert max(pauses) <= 15.0
    assert tried[-1] - tried[0] == pytest.approx(60.0)
    assert way.told()[new.key] == {1: "LEAD_NOT_FOUND"}


@pytest.mark.parametrize("hidden", [5.0, 10_000.0])
def test_records_of_a_person_who_is_not_visible_yet_are_all_asked_for_again(build: Build, hidden: float) -> None:
    """Their common row is refused, and each alone is denied for now: none of them may be forgotten."""
    marketo = TableMarketo()
    way = Way(marketo)
    drive = Drive(way, 1)
    first = build.entry("new@x.org", {"title": "1"})
    way.accept(first)
    drive.finish()
    hidden_until = marketo.now + hidden

    def judged(row: dict[str, Any]) -> str | None:
        if "city" in row and "phone" in row:
            marketo.visible_at[101] = hidden_until
            return "1001"
        return None

    marketo.refuse = judged
    others = [build.entry("new@x.org", {"city": "2"}), build.entry("new@x.org", {"phone": "3"})]
    way.accept(*others)
    drive.finish()
    check_all_told(way, [first, *others])
    told = [way.told()[entry.key][1] for entry in others]
    if hidden < 60.0:
        assert told == ["unchanged", "unchanged"]
        assert marketo.leads[101] | {"city": "2", "phone": "3"} == marketo.leads[101]
    else:
        assert told == ["LEAD_NOT_FOUND", "LEAD_NOT_FOUND"]
        assert marketo.now - hidden_until + hidden < 200.0


def test_a_field_under_a_guard_is_looked_after_for_every_record_of_a_person(build: Build) -> None:
    """The first record has no title; the second one, which says the same otherwise, has."""
    marketo = TableMarketo()
    way = Way(marketo)
    drive = Drive(way, 1)
    way.accept(build.entry("new@x.org", {"city": "Paris"}))
    drive.finish()
    way.accept(build.entry("new@x.org", {"city": "Paris"}, if_blank={"title": "Dr"}))
    drive.finish()
    assert marketo.leads[101]["title"] == "Dr"
    calls = len(marketo.calls)
    way.accept(build.entry("new@x.org", {"city": "Paris"}, if_blank={"title": "Dr"}))
    drive.finish()
    assert [endpoint for endpoint, _ in marketo.calls[calls:]] == ["sync_status"]
