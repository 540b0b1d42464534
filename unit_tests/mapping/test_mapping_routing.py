"""Which programs a record goes to, and with which status."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.config import ProgramLink, QualifierMapping, Settings
from destination_marketo_programs.mapping import Mapper, routing
from destination_marketo_programs.mapping.values import text_of
from destination_marketo_programs.model import Mapped, Target, Verdict

CREDENTIALS = {"domain_url": "https://123-ABC-456.mktorest.com", "client_id": "id", "client_secret": "s"}
CUSTOM = {"mapping_type": "custom", "event_name": "event_name", "scan_count": "scans"}


def link(program: int, status: str = "Registered", **more: Any) -> dict[str, Any]:
    return {"program_id": str(program), "program_status": status, **more}


def mapper(*links: dict[str, Any], **more: Any) -> Mapper:
    return Mapper(Settings.model_validate(CREDENTIALS | {"program_links": links, "record_mapping": CUSTOM} | more))


def mapped(*links: dict[str, Any], record: dict[str, Any], stream: str = "leads", **more: Any) -> Mapped:
    return mapper(*links, **more).map(stream, {"email": "ada@example.org"} | record)


def programs(result: Mapped) -> list[int]:
    return [target.program_id for target in result.targets]


def statuses(result: Mapped) -> list[str]:
    return [target.program_status for target in result.targets]


def test_an_event_is_found_by_its_id_or_its_name() -> None:
    links = (link(1, event="4711"), link(2, event="Summit"), link(3, event="4712"))
    result = mapped(*links, record={"event_id": "4711", "event_name": " Summit "})
    assert result.targets == [Target(1, "Registered", "4711"), Target(2, "Registered", "4711")]
    assert mapped(*links, record={"event_name": "Summit"}).targets == [Target(2, "Registered", "Summit")]


@pytest.mark.parametrize("event", ["4711", " 4711 ", 4711, 4711.0])
def test_one_event_in_each_spelling(event: object) -> None:
    assert mapped(link(1, event=" 4711 "), record={"event_id": event}).targets == [Target(1, "Registered", "4711")]


def test_a_decimal_that_a_cache_made_of_an_event_id_is_that_event() -> None:
    links = (link(1, event="4711"), link(2, event="4711.000"))
    assert programs(mapped(*links, record={"event_id": "4711.000"})) == [1, 2]
    assert programs(mapped(*links, record={"event_id": "4711.010"})) == []


@pytest.mark.parametrize("event", ["47110", None, "", [4711], {"id": 4711}, 4711.5, float("nan"), True])
def test_another_event_is_not_linked(event: object) -> None:
    result = mapped(link(1, event="4711"), record={"event_id": event})
    assert result.person is None
    assert [(v.rejected, v.category, v.program_id) for v in result.verdicts] == [(False, "NO_PROGRAM_LINK", None)]


def test_a_blank_event_links_every_record_and_true_is_no_one() -> None:
    assert programs(mapped(link(1), link(2, event="1"), record={})) == [1]
    assert programs(mapped(link(1), link(2, event="1"), record={"event_id": True})) == [1]
    assert programs(mapped(link(1), link(2, event="1"), record={"event_id": 1})) == [1, 2]


def test_a_cached_route_of_one_is_not_taken_for_true() -> None:
    reused = mapper(link(1, event="1"), link(2, event="true"))
    one, flag = ({"email": "ada@example.org", "event_id": event} for event in (1, True))
    assert programs(reused.map("s", one)) == [1]
    assert programs(reused.map("s", flag)) == [2]
    assert programs(reused.map("s", one)) == [1]


def test_a_stream_limits_its_link() -> None:
    links = (link(1, stream="leads"), link(2, stream="users"), link(3))
    assert programs(mapped(*links, record={}, stream="leads")) == [1, 3]
    assert programs(mapped(*links, record={}, stream="users")) == [2, 3]


def test_the_earlier_link_of_a_program_counts_even_if_it_skips() -> None:
    links = (link(1, "Attended", lead_scan_threshold=2), link(1, "Registered", event="4711"))
    assert statuses(mapped(*links, record={"event_id": "4711", "scans": 2})) == ["Attended"]
    below = mapped(*links, record={"event_id": "4711", "scans": 1})
    assert below.targets == []
    assert [v.category for v in below.verdicts] == ["BELOW_SCAN_THRESHOLD"]


def test_an_unlinked_event_is_named_for_the_summary() -> None:
    assert mapped(link(1, event="1"), record={"event_id": 4711}).unlinked_event == "4711"
    assert mapped(link(1, event="1"), record={}).unlinked_event is None
    with_person = mapped(link(1, event="1"), record={"event_id": "ada@example.org"})
    assert with_person.unlinked_event == "ada@example.org"  # whoever prints it asks `text.frequent`


def test_a_broken_surrogate_in_an_event_is_written_out() -> None:
    result = mapped(link(1), record={"event_id": "a\ud800"})
    assert result.targets == [Target(1, "Registered", "a\\ud800")]


@pytest.mark.parametrize(
    ("scans", "enough"),
    [(3, True), ("3", True), (3.0, True), ("3.0", True), (" 4 ", True), (2, False), ("2.9", False)]
    + [(garbage, False) for garbage in (None, "", "many", [3], True, "1e9", 3.5, float("inf"), -5)],
)
def test_scan_threshold(scans: object, enough: bool) -> None:
    result = mapped(link(1, lead_scan_threshold=3), record={"scans": scans})
    assert programs(result) == ([1] if enough else [])
    assert [(v.rejected, v.category, v.program_id, v.program_status) for v in result.verdicts] == (
        [] if enough else [(False, "BELOW_SCAN_THRESHOLD", 1, "Registered")]
    )


def test_a_threshold_without_scans_skips_and_zero_does_not() -> None:
    result = mapped(link(1, lead_scan_threshold=1), link(2), record={})
    assert programs(result) == [2]
    assert [v.program_id for v in result.verdicts] == [1]


def qualifier(value: str, status: str, **more: Any) -> dict[str, Any]:
    return {"qualifier": "answer", "value": value, "program_status": status, **more}


@pytest.mark.parametrize(
    ("value", "configured"),
    [
        ("Yes", "Yes"),
        (["No", "Yes"], "Yes"),
        ([{"tagOptionId": "t", "value": "Yes"}], "Yes"),
        ({"value": "Yes"}, "Yes"),
        ('["No", "Yes"]', "Yes"),
        ('[{"value": "Yes"}]', "Yes"),
        ("[odd", "[odd"),
        ("[1]", "[1]"),
        (True, "true"),
        (True, "True"),
        ([False], "false"),
        (1, "1"),
        (1.0, "1"),
        (1.0, "1.0"),
        (2.5, "2.5"),
        ([3], "3"),
    ],
)
def test_a_qualifier_value_decides(value: object, configured: str) -> None:
    result = mapped(link(1), qualifier_mappings=[qualifier(configured, "Engaged")], record={"answer": value})
    assert statuses(result) == ["Engaged"]
    assert result.unmapped_values == ()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("yes", ("yes",)),
        (" Yes", (" Yes",)),
        (["Maybe", "No"], ("Maybe", "No")),
        ('["Maybe", 2]', ("Maybe", "2")),
        (True, ("true",)),
        (None, ()),
        ("", ()),
        ([], ()),
        ({"other": "Yes"}, ()),
        ([["Yes"]], ()),
        ("ada@example.org", ("ada@example.org",)),
    ],
)
def test_no_mapping_applies(value: object, shown: tuple[str, ...]) -> None:
    result = mapped(link(1), qualifier_mappings=[qualifier("Yes", "Engaged")], record={"answer": value})
    assert statuses(result) == ["Registered"]
    assert result.unmapped_values == shown


@pytest.mark.parametrize(("choice", "rejected"), [("skip", False), ("reject", True)])
def test_unmapped_qualifier_choices(choice: str, rejected: bool) -> None:
    result = mapped(
        link(1, unmapped_qualifier=choice, event="7"),
        link(2, unmapped_qualifier=choice),
        qualifier_mappings=[qualifier("Yes", "Engaged", program_id="1")],
        record={"answer": "No", "event_id": 7},
    )
    assert programs(result) == [2]
    assert [(v.rejected, v.category, v.program_id, v.program_status, v.event) for v in result.verdicts] == [
        (rejected, "UNMAPPED_QUALIFIER", 1, "Registered", "7")
    ]
    assert result.unmapped_values == ("No",)


def test_the_first_mapping_in_the_list_decides_across_columns_and_programs() -> None:
    mappings = [
        qualifier("B", "second value", program_id="1"),
        {"qualifier": "other", "value": "X", "program_status": "other column"},
        qualifier("A", "first value"),
        qualifier("B", "for all"),
    ]
    record = {"answer": ["A", "B"], "other": "X"}
    links = (link(1), link(2))
    assert statuses(mapped(*links, qualifier_mappings=mappings, record=record)) == [
        "second value",
        "other column",
    ]
    assert statuses(mapped(*links, qualifier_mappings=mappings[2:], record=record)) == ["first value"] * 2


def test_the_earlier_of_two_mappings_for_one_value_decides() -> None:
    mappings = [qualifier("Yes", "Engaged"), qualifier("Yes", "Attended")]
    settings = Settings.model_construct(
        program_links=(ProgramLink.model_validate(link(1)),),
        qualifier_mappings=tuple(QualifierMapping.model_validate(mapping) for mapping in mappings),
    )
    assert statuses(Mapper(settings).map("s", {"email": "ada@example.org", "answer": "Yes"})) == ["Engaged"]


def test_the_threshold_comes_before_the_qualifier() -> None:
    result = mapped(
        link(1, lead_scan_threshold=5, unmapped_qualifier="reject"),
        qualifier_mappings=[qualifier("Yes", "Engaged")],
        record={"answer": "No"},
    )
    assert [v.category for v in result.verdicts] == ["BELOW_SCAN_THRESHOLD"]


def test_a_qualifier_that_cannot_be_evaluated_rejects_only_its_programs() -> None:
    mappings = [
        {"program_id": "1", "qualifier": "sum(answer)", "value": "3", "program_status": "Engaged"},
    ]
    assert statuses(mapped(link(1), qualifier_mappings=mappings, record={"answer": [1, 2]})) == ["Engaged"]
    result = mapped(link(1), link(2), qualifier_mappings=mappings, record={"answer": ["secret"]})
    assert programs(result) == [2]
    assert [(v.rejected, v.category, v.program_id) for v in result.verdicts] == [(True, "INVALID_RECORD", 1)]
    assert "qualifier_mappings[0].qualifier" in str(result.verdicts[0].message)
    assert "secret" not in str(result.verdicts[0].message)


def test_an_event_that_cannot_be_evaluated_rejects_the_record() -> None:
    custom = CUSTOM | {"event": "join('-', event)"}
    assert programs(mapped(link(1, event="a-b"), record_mapping=custom, record={"event": ["a", "b"]})) == [1]
    result = mapped(link(1), record_mapping=custom, record={"event": [7]})
    assert [(v.rejected, v.category, v.program_id) for v in result.verdicts] == [(True, "INVALID_RECORD", None)]
    assert "record_mapping.event" in str(result.verdicts[0].message)


def test_the_route_cache_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MOST_CACHED_ROUTES", 3)
    links = [{"event": "7", "program_id": "1", "program_status": "A"}, {"program_id": "2", "program_status": "A"}]
    router = routing.Router(Settings.model_validate(CREDENTIALS | {"program_links": links}).program_links)
    for event in [*map(str, range(20)), "x" * 5000]:
        expected = [1, 2] if event == "7" else [2]
        assert [found.program_id for found in router.route("s", event, None).links] == expected
        assert router.remembered <= 3


def test_targets_of_one_record_are_not_shared_with_the_next() -> None:
    reused = mapper(link(1))
    record = {"email": "ada@example.org"}
    reused.map("s", record).targets.clear()
    assert programs(reused.map("s", record)) == [1]


EVENTS = st.sampled_from(["", "1", "2", "Summit", "true"])
STATUSES = st.sampled_from(["Registered", "Attended", "Engaged"])
LINKS = st.lists(
    st.fixed_dictionaries(
        {
            "program_id": st.integers(1, 4).map(str),
            "program_status": STATUSES,
            "event": EVENTS,
            "stream": st.sampled_from(["", "a", "b"]),
            "lead_scan_threshold": st.integers(0, 3),
            "unmapped_qualifier": st.sampled_from(["use_program_status", "skip", "reject"]),
        }
    ),
    min_size=1,
    max_size=12,
)
QUALIFIERS = st.lists(
    st.fixed_dictionaries(
        {
            "program_id": st.sampled_from(["", "1", "2", "3", "4"]),
            "qualifier": st.sampled_from(["q", "r", "n.q"]),
            "value": st.sampled_from(["Yes", "No", "1", "true"]),
            "program_status": STATUSES,
        }
    ),
    max_size=8,
)
SCALARS = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["Yes", "No", "1", "2", "Summit", ""])
ANSWERS = SCALARS | st.lists(SCALARS, max_size=3)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "email": st.sampled_from(["ada@example.org", "no address", "", None]),
        "event_id": SCALARS,
        "event_name": SCALARS,
        "scans": SCALARS,
        "q": ANSWERS,
        "r": ANSWERS,
        "n": st.fixed_dictionaries({}, optional={"q": ANSWERS}),
    },
)


def naive_links(settings: Settings, stream: str, record: dict[str, Any]) -> list[ProgramLink]:
    """Scan every link, as the contract words it."""
    events = {text_of(record.get(column)) for column in ("event_id", "event_name")}
    found: list[ProgramLink] = []
    for candidate in settings.program_links:
        if candidate.event and candidate.event not in events:
            continue
        if candidate.stream and candidate.stream != stream:
            continue
        if candidate.program_id not in {earlier.program_id for earlier in found}:
            found.append(candidate)
    return found


def naive_fate(settings: Settings, chosen: ProgramLink, record: dict[str, Any]) -> tuple[str, str]:
    """(what becomes of the record at one link, status), one mapping after the other."""
    scans = record.get("scans")
    count = int(scans) if str(scans).isdigit() and scans is not None else 0
    if count < chosen.lead_scan_threshold:
        return "BELOW_SCAN_THRESHOLD", chosen.program_status
    meant = [m for m in settings.qualifier_mappings if m.program_id in {None, chosen.program_id}]
    for mapping in meant:
        value = (record.get("n") or {}).get("q") if mapping.qualifier == "n.q" else record.get(mapping.qualifier)
        if mapping.value in {text_of(one) for one in (value if isinstance(value, list) else [value])}:
            return "deliver", mapping.program_status
    if not meant or chosen.unmapped_qualifier == "use_program_status":
        return "deliver", chosen.program_status
    return f"UNMAPPED_QUALIFIER {chosen.unmapped_qualifier}", chosen.program_status


def fate_of(verdict: Verdict) -> str:
    if verdict.category == "UNMAPPED_QUALIFIER":
        return f"UNMAPPED_QUALIFIER {'reject' if verdict.rejected else 'skip'}"
    return str(verdict.category)


@given(
    links=LINKS,
    qualifiers=QUALIFIERS,
    records=st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), RECORDS), min_size=1, max_size=6),
)
def test_the_index_agrees_with_scanning_every_link(
    links: list[dict[str, Any]], qualifiers: list[dict[str, Any]], records: list[tuple[str, dict[str, Any]]]
) -> None:
    settings = Settings.model_validate(
        CREDENTIALS | {"program_links": links, "qualifier_mappings": qualifiers, "record_mapping": CUSTOM}
    )
    subject = Mapper(settings)
    for stream, record in records:
        result = subject.map(stream, record)

        named = [target.program_id for target in result.targets] + [v.program_id for v in result.verdicts]
        assert named
        assert len(named) == len(set(named))
        assert (result.person is None) == (not result.targets)

        found = naive_links(settings, stream, record)
        if not found:
            assert [v.category for v in result.verdicts] == ["NO_PROGRAM_LINK"]
            continue
        expected = {one.program_id: naive_fate(settings, one, record) for one in found}
        if record.get("email") != "ada@example.org":
            refused = "INVALID_EMAIL" if record.get("email") else "MISSING_KEY"
            expected = {
                program: (refused if fate == "deliver" else fate, status)
                for program, (fate, status) in expected.items()
            }
        fates = {target.program_id: ("deliver", target.program_status) for target in result.targets}
        for verdict in result.verdicts:
            assert verdict.program_id is not None
            assert verdict.program_status is not None
            fates[verdict.program_id] = (fate_of(verdict), verdict.program_status)
        assert fates == expected


def test_events_are_named_for_the_page_and_their_number_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MOST_NAMED_EVENTS", 2)
    reading = mapper(link(1))
    for record in (
        {"event_id": "4711", "event_name": "Summit"},
        {"event_id": "4711", "event_name": "Summit, renamed"},
        {"event_id": "4712"},
        {"event_name": "Nameless"},
        {"event_id": 4713, "event_name": "Dinner"},
        {"event_id": "4714", "event_name": "Too many"},
    ):
        reading.map("leads", {"email": "ada@example.org"} | record)
    assert reading.event_names == {"4711": "Summit", "4713": "Dinner"}


def test_people_in_the_column_of_event_names_are_not_kept() -> None:
    reading = mapper(link(1, event="Gala, Berlin"))
    names = ["Roe, Jane", "jane@example.org", "call me +1 555 010 9999", "Gala, Berlin", "Spring Summit 2026"]
    for number, name in enumerate([*names, "Dinner, Paris", "Dinner, Paris"]):
        event = min(number, len(names))
        reading.map("leads", {"email": "ada@example.org", "event_id": event, "event_name": name})
    assert reading.event_names == {"3": "Gala, Berlin", "4": "Spring Summit 2026", "5": "Dinner, Paris"}


def test_people_in_the_column_of_event_ids_are_not_kept() -> None:
    """A name that is known to be one of an event says nothing of what stands beside it."""
    reading = mapper(link(1, event="Spring Expo"), link(2, event="Day 1 - Berlin, Hall 3"))
    ids = ["jane.roe@example.org", "Roe, Jane", "jane.roe", "+1 555 010 9999", "Day 1 - Berlin, Hall 3", "EVT-2026-04"]
    for event in [*ids, "555010999900", "770010999900"] * 2 + ["990010999900"]:
        reading.map("leads", {"email": "ada@example.org", "event_id": event, "event_name": "Spring Expo"})
    for _ in range(2):
        reading.map("leads", {"email": "ada@example.org", "event_id": "1", "event_name": "jane@example.org"})
    assert set(reading.event_names) == {"Day 1 - Berlin, Hall 3", "EVT-2026-04", "555010999900", "770010999900"}
