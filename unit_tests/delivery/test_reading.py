"""From lines to entries: names, tickets, counts, and what mapping decides by itself."""

from __future__ import annotations

import json
from typing import Any

import pytest
from delivery_bench import Kept, wall

from destination_marketo_programs.delivery.entry import BYTES_BESIDE_LINE, BYTES_OF_FIELD, Entry, Holding, target_in
from destination_marketo_programs.delivery.ledger import Ledger
from destination_marketo_programs.delivery.reading import Reader, Reading, StreamRules
from destination_marketo_programs.delivery.settlement import Settlement
from destination_marketo_programs.delivery.tally import Tally
from destination_marketo_programs.model import Mapped, Person, Target, Verdict
from destination_marketo_programs.outcomes import Category, Outcome, Result
from destination_marketo_programs.protocol import UndecodableLineError
from destination_marketo_programs.storage.lines import append_rejected

STATE = b'{"type":"STATE","state":{"type":"GLOBAL","id":1}}'


def map_record(_stream: str, data: Any) -> Mapped:
    verdicts = [Verdict(data["reject"], Category.UNMAPPED_QUALIFIER, 9)] if "reject" in data else []
    targets = [Target(program, "Registered", None) for program in data.get("programs", [1])]
    person = Person(None, data["email"], data["email"], {}, {}) if targets else None
    return Mapped(
        person, targets, verdicts, data.get("id"), data.get("unlinked"), tuple(data.get("unmapped", ())),
    )  # fmt: skip


def line(stream: str = "leads", namespace: str | None = None, **data: Any) -> bytes:
    record = {"stream": stream, "data": {"email": "a@x.org", **data}}
    if namespace is not None:
        record["namespace"] = namespace
    return json.dumps({"type": "RECORD", "record": record}).encode()


class Bench:
    def __init__(self, *, acknowledge: bool = True, keep_names: bool = False, limit: int = 10**9) -> None:
        self.store, self.tally, self.holding = Kept(), Tally(), Holding(limit)
        self.ledger = Ledger(self.holding)
        self.settlement = Settlement(self.store, self.tally, self.holding, wall)
        self.reader = Reader(
            StreamRules(map_record),
            {("", "keyed"): StreamRules(map_record, (("a",), ("b", "c")))},
            self.settlement,
            self.ledger,
            self.holding,
            acknowledge=acknowledge,
            keep_names=keep_names,
        )

    def read(self, *lines: bytes, number: int = 1) -> Reading:
        return self.reader.read(lines, number, 77.0)


def names(entries: list[Entry]) -> list[tuple[str, bool]]:
    return [(entry.key, entry.key_is_position) for entry in entries]


def test_a_record_is_named_by_primary_key_then_id_then_position() -> None:
    entries, _ = Bench().read(
        line(),
        line(id="r-2"),
        line(),
        line("other"),
        line("keyed", a=1, b={"c": "x"}, id="r-5"),
        line("keyed", a=1, id="r-6"),
        line("keyed", a=1),
    )
    assert names(entries) == [
        ("1", True), ("r-2", False), ("3", True), ("1", True), ('["1","x"]', False), ("r-6", False), ("3", True)
    ]  # fmt: skip


def test_streams_of_two_namespaces_are_two_streams() -> None:
    entries, _ = Bench().read(line(namespace="one"), line(namespace="two"), line(namespace="one"))
    assert [(entry.stream, entry.key) for entry in entries] == [
        (("one", "leads"), "1"),
        (("two", "leads"), "1"),
        (("one", "leads"), "2"),
    ]


@pytest.mark.parametrize("keep_names", [True, False])
def test_a_record_of_a_rejected_file_keeps_its_name_if_that_is_wanted(*, keep_names: bool) -> None:
    rejected = bytearray()
    refused = Outcome("leads", "17", None, 1, "Registered", Result.REJECTED, category=Category.FIELD_INVALID)
    append_rejected(rejected, line(id="r-1"), [refused])
    (entry,), _ = Bench(keep_names=keep_names).read(bytes(rejected).rstrip())
    assert entry.key == ("17" if keep_names else "r-1")


def test_an_entry_holds_its_line_and_its_arrival_and_is_counted() -> None:
    bench = Bench(limit=1_200)
    one = line(programs=[1, 2])
    (entry,), _ = bench.read(one)
    assert (entry.line, entry.born, entry.open) == (one, 77.0, 2)
    assert target_in(entry, 2).program_id == 2
    with pytest.raises(KeyError):
        target_in(entry, 3)
    assert bench.holding.bytes == len(one) + BYTES_BESIDE_LINE + BYTES_OF_FIELD * len(entry.person.fields)
    assert bench.holding.room
    bench.read(one)
    assert not bench.holding.room
    assert (bench.tally.records_read, bench.tally.outcomes_due) == (2, 4)


def test_what_mapping_decides_is_settled_at_once() -> None:
    bench = Bench()
    entries, _ = bench.read(line(programs=[], reject=True), line(programs=[], reject=False), line(reject=True))
    assert len(entries) == 1
    assert entries[0].rejections is not None
    assert [(each.outcome, each.program_id) for each in bench.store.outcomes] == [
        ("rejected", 9), ("skipped", 9), ("rejected", 9)
    ]  # fmt: skip
    assert [done.rejected for done in bench.settlement.commit()] == [True, False]
    assert len(bench.store.rejected) == 1, "the other record is stored once all its programs are decided"
    assert bench.tally.outcomes_due == 4


def test_unmapped_values_and_unlinked_events_are_counted_on_arrival() -> None:
    bench = Bench()
    bench.read(
        line(unmapped=["Maybe", "Later"]),
        *[line(unlinked="999", reject=False, programs=[])] * 2,
        line(),
    )
    assert bench.tally.unlinked_events == {"999": 2}
    assert bench.tally.unmapped_values == {"Maybe": 1, "Later": 1}


def test_reading_stops_at_a_line_that_is_no_message() -> None:
    bench = Bench()
    entries, error = bench.read(line(), b"no JSON", line(), number=10)
    assert len(entries) == 1
    assert isinstance(error, UndecodableLineError)
    assert error.line_number == 11
    assert bench.tally.records_read == 1


def test_blank_lines_and_other_messages_are_passed_over() -> None:
    bench = Bench()
    entries, error = bench.read(b"", b'{"type":"LOG","log":{"level":"INFO","message":"x"}}', b'{"type":"NEW"}', line())
    assert (len(entries), error) == (1, None)


@pytest.mark.parametrize("acknowledge", [True, False])
def test_states_are_kept_only_if_they_will_be_echoed(*, acknowledge: bool) -> None:
    bench = Bench(acknowledge=acknowledge)
    bench.read(STATE, line())
    assert (bench.tally.states_read, bench.ledger.states_waiting) == ((1, 1) if acknowledge else (0, 0))
    assert len(list(bench.ledger.release())) == acknowledge
