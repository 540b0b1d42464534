"""Rules of the checks, each by the mistake or surprise that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from destination_marketo_programs.config import load_settings
from destination_marketo_programs.preflight.keeping import storage_problems
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.storage.store import NoStore
from marketo_sandbox import Channel, Fault, Program, Seed, Status

if TYPE_CHECKING:
    from .conftest import Checks

LINK = {"event": "4711", "program_id": "1004", "program_status": "Engaged"}
EMEA = {"partition_name": "EMEA"}


def mapping(column: str, field: str, **more: str) -> dict[str, str]:
    return {"record_field": column, "marketo_field": field, **more}


def paths(checks: Checks, **config: Any) -> list[str]:
    return [problem.path for problem in checks.run(config).problems]


# --- one slip is one problem -------------------------------------------------------------------------------------


def test_the_same_wrong_status_in_thirty_links_is_one_problem_that_lists_them(checks: Checks) -> None:
    """0.1.0 told it once for each program."""
    statuses = (Status("Not in Program", 0), Status("Attended", 30, success=True))
    checks.server.state.seed(
        Seed(
            channels=[Channel(100, "Fair", "event", statuses)],
            programs=[Program(5000 + number, f"Fair {number}", "Event", "Fair", 512) for number in range(30)],
        )
    )
    links = [
        {"event": str(number), "program_id": str(5000 + number), "program_status": "attended"} for number in range(30)
    ]

    (problem,) = checks.run({"program_links": links}).problems

    assert problem.path == "program_links[0].program_status"
    assert problem.also.startswith("program links 2 to 30 (program_links[1].program_status, ")
    assert '"Fair 0" (5000), "Fair 1" (5001), "Fair 2" (5002) and 27 more programs' in problem.message
    assert problem.fix == 'Did you mean "Attended"?'


def test_one_status_that_two_channels_lack_in_different_ways_is_two_problems(checks: Checks) -> None:
    links = [LINK | {"program_status": "attended"}, LINK | {"program_id": "1003", "program_status": "attended"}]

    assert paths(checks, program_links=links) == ["program_links[0].program_status", "program_links[1].program_status"]


def test_a_mistyped_program_is_not_told_again_by_its_mapping(checks: Checks) -> None:
    mappings = [{"program_id": "1004", "value": "Yes", "program_status": "Engaged"}]

    assert paths(checks, program_links=[LINK | {"program_id": "1040"}], qualifier_mappings=mappings) == [
        "program_links[0].program_id"
    ]
    mappings = [{"program_id": "77", "value": "Yes", "program_status": "Engaged"}]
    assert paths(checks, program_links=[LINK | {"program_id": "1040"}], qualifier_mappings=mappings) == [
        "program_links[0].program_id",
        "qualifier_mappings[0].program_id",
    ]


def test_a_mistyped_lookup_field_is_told_once(checks: Checks) -> None:
    assert paths(checks, lead_sync={"lookup_field": "sfdcLeadid"}) == ["lead_sync.lookup_field"]


# --- fields ------------------------------------------------------------------------------------------------------


def test_a_member_field_mapped_as_a_person_field_is_recognised(checks: Checks) -> None:
    """0.1.0 suggested "eventNotes", unless another member field was mapped."""
    (problem,) = checks.run({"field_mappings": [mapping("description", "boothNotes")]}).problems

    assert problem.path == "field_mappings[0].marketo_field"
    assert problem.fix.startswith("It is a program member field: set marketo_object to program_member")


def test_a_person_field_mapped_as_a_member_field_is_recognised(checks: Checks) -> None:
    mapped = mapping("description", "eventNotes", marketo_object="program_member")

    (problem,) = checks.run({"field_mappings": [mapped]}).problems

    assert problem.fix.startswith("It is a person field: set marketo_object to lead")


def test_member_fields_that_cannot_be_asked_for_leave_the_plain_answer(checks: Checks) -> None:
    checks.server.faults.add(Fault(endpoint="members.describe", code="603", times=None))

    told = checks.run({"field_mappings": [mapping("description", "eventNots")]}).problems

    assert told[-1].fix.startswith('Did you mean "eventNotes"?')


def test_a_field_that_points_to_another_record_can_be_mapped_if_it_can_be_written(checks: Checks) -> None:
    """0.1.0 refused every one, the acquisition program included."""
    assert paths(checks, field_mappings=[mapping("program", "acquisitionProgramId")]) == []


# --- programs and partitions -------------------------------------------------------------------------------------


def test_an_archived_program_needs_a_word_in_its_link(checks: Checks) -> None:
    link = LINK | {"program_id": "1007", "program_status": "Registered"}
    checks.server.state.seed(Seed())

    assert paths(checks, program_links=[link]) == ["program_links[0].program_id"]
    allowed = checks.run({"program_links": [link | {"allow_archived": True}]})
    assert allowed.problems == []
    assert any("1007" in note and "archived" in note for note in allowed.notes)


def test_of_two_links_to_an_archived_program_the_one_without_the_word_is_told(checks: Checks) -> None:
    link = LINK | {"program_id": "1007", "program_status": "Registered"}
    links = [link | {"allow_archived": True}, link | {"event": "2"}]

    assert paths(checks, program_links=links) == ["program_links[1].program_id"]


def test_several_partitions_and_none_chosen_are_noted(checks: Checks) -> None:
    told = checks.run({"delivery": {"method": "bulk"}})

    assert told.problems == []
    assert told.partitions == 3
    assert any("Marketo chooses the partition" in note for note in told.notes)
    assert any("bulk import is not used" in note for note in checks.run().notes)
    assert not any("partition" in note for note in checks.run({"lead_sync": EMEA}).notes)


# --- notes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("links", "note"),
    [
        ([LINK | {"event": ""}], "Program link 1 has no event, so it takes every record."),
        ([LINK | {"event": "", "stream": "a"}], "Program link 1 has no event, so it takes every record of its stream."),
        (
            [LINK | {"event": "", "stream": "a"}, LINK, LINK | {"event": ""}],
            "Program links 1 and 3 have no event, so they take every record (of their streams).",
        ),
    ],
)
def test_a_link_that_takes_every_record_is_noted(checks: Checks, links: list[dict[str, str]], note: str) -> None:
    assert checks.run({"program_links": links, "lead_sync": EMEA}).notes == [note]


def test_what_a_guard_costs_is_noted(checks: Checks) -> None:
    mapped = [mapping("a", "title", write="if_blank"), mapping("b", "company", write="on_create")]

    notes = checks.run({"program_links": [LINK], "lead_sync": EMEA, "field_mappings": mapped}).notes

    assert notes == [
        (
            "Field mappings 1 and 2 depend on what Marketo has: that costs one read per 300 people, and rules out bulk "
            "import."
        )
    ]


def test_what_is_meant_for_new_people_is_noted_where_nobody_is_created(checks: Checks) -> None:
    sync = EMEA | {"mode": "match_only", "acquisition_program": "first_program"}

    notes = checks.run(
        {"program_links": [LINK], "lead_sync": sync, "field_mappings": [mapping("b", "company", write="on_create")]}
    ).notes

    assert [("nobody is created" in note) for note in notes] == [False, True, True]


def test_text_that_is_read_as_the_name_of_a_column_is_noted(checks: Checks) -> None:
    """An invalid JMESPath is never accepted in silence."""
    custom = {"mapping_type": "custom", "email": "E-Mail (work)", "event": "Event name"}

    notes = checks.run({"program_links": [LINK], "lead_sync": EMEA, "record_mapping": custom}).notes

    assert notes == ['Not a valid JMESPath, so read as the name of a column: "E-Mail (work)".']


def test_statuses_of_one_step_are_noted(checks: Checks) -> None:
    notes = checks.run({"program_links": [LINK | {"program_status": "Registered"}], "lead_sync": EMEA}).notes

    assert notes == [
        (
            'In channel "Tradeshow", "Registered" and "Waitlisted" share step 20: people can move between them in both '
            "directions."
        )
    ]


# --- storage -----------------------------------------------------------------------------------------------------


class Store(NoStore):
    """A store with a place, that counts its probes."""

    location = "/local/marketo"  # type: ignore[assignment]

    def __init__(self, *, transient: bool | None = None) -> None:
        self.probes = 0
        self._transient = transient

    def probe(self) -> None:
        self.probes += 1
        if self._transient is not None:
            raise StorageError("object_storage_config.path", "Full.", "Free some.", transient=self._transient)


def settings_with(storage: dict[str, Any]) -> Any:
    raw = {"domain_url": "123-ABC-456", "client_id": "a", "client_secret": "b", "program_links": [LINK]}
    return load_settings(raw | {"object_storage_config": storage}, cloud=False).settings


LOCAL = settings_with({"storage_type": "Local", "path": "/local/marketo"})


@pytest.mark.parametrize(
    ("in_pod", "on_volume", "refused"), [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_folder_that_goes_with_the_pod_is_refused(in_pod: bool, on_volume: bool, refused: bool) -> None:
    """0.1.0 passed it, and what was "kept" was gone after the sync."""
    store = Store()

    problems = list(
        storage_problems(
            LOCAL, store, raise_transient=False, in_pod=lambda: in_pod, on_volume=lambda _folder: on_volume
        )
    )

    assert [problem.path for problem in problems] == (["object_storage_config.path"] if refused else [])
    assert store.probes == (0 if refused else 1)


def test_only_a_local_folder_goes_with_the_pod() -> None:
    for settings, store in ((settings_with({"storage_type": "None"}), NoStore()), (LOCAL, NoStore())):
        assert not list(storage_problems(settings, store, raise_transient=False, in_pod=lambda: True))


@pytest.mark.parametrize("transient", [False, True])
def test_a_store_that_fails_is_a_problem_unless_a_later_try_may_work(transient: bool) -> None:
    store = Store(transient=transient)
    (problem,) = storage_problems(LOCAL, store, raise_transient=False, in_pod=lambda: False)
    assert problem.path == "object_storage_config.path"
    if transient:
        with pytest.raises(StorageError):
            list(storage_problems(LOCAL, store, raise_transient=True, in_pod=lambda: False))
