"""What the checks hand on, what they raise, and the judgements that need no Marketo."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.config import load_settings
from destination_marketo_programs.mapping import WritableField
from destination_marketo_programs.marketo.api import RestMarketo
from destination_marketo_programs.marketo.assets import NOT_IN_PROGRAM, FolderRef, Program, Status
from destination_marketo_programs.marketo.client import MarketoClient
from destination_marketo_programs.marketo.errors import QuotaReachedError, StoppedError, UnreachableError
from destination_marketo_programs.marketo.limits import Budget, Gate, Pace
from destination_marketo_programs.model import Problem
from destination_marketo_programs.preflight import Preflight, run_preflight
from destination_marketo_programs.preflight.asking import Facts
from destination_marketo_programs.preflight.programs import program_notes
from destination_marketo_programs.preflight.statuses import Judge, Statuses
from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.storage.store import NoStore
from destination_marketo_programs.text import folded, quoted
from marketo_sandbox import Fault, Permission, Service

if TYPE_CHECKING:
    import requests_mock
    from syrupy.assertion import SnapshotAssertion

    from .conftest import Checks

USER = "connector-api@example.com"
HOST = "https://123-ABC-456.mktorest.com"
LINK = {"event": "4711", "program_id": "1004", "program_status": "Registered"}


def links(*pairs: tuple[int, str]) -> dict[str, Any]:
    return {
        "program_links": [
            {"event": str(at), "program_id": number, "program_status": status}
            for at, (number, status) in enumerate(pairs)
        ]
    }


# --- what is handed on ---------------------------------------------------------------------------------------


def test_later_stages_learn_programs_steps_and_fields(checks: Checks) -> None:
    preflight = checks.run(
        {
            **links((1004, "Registered"), (1003, "Member")),
            "field_mappings": [{"record_field": "x", "marketo_object": "program_member", "marketo_field": "vip"}],
        }
    )

    address = "https://app-sb01.marketo.com/#ME1004A1"
    assert preflight.programs[1004] == Program(
        1004, "Spring Expo 2026", "Event", "Tradeshow", "Default", FolderRef("Folder", 512), address
    )
    assert preflight.app_address == "https://app-sb01.marketo.com"
    assert preflight.partitions == 3
    assert {key: rank.step for key, rank in preflight.steps.items() if key[0] == 1003} == {
        (1003, NOT_IN_PROGRAM): 0,
        (1003, "Member"): 10,
        (1003, "Engaged"): 20,
    }
    assert preflight.steps[1004, "Influenced"].step == 60, "hidden ones count: people may be there"
    assert [status.name for status in preflight.statuses[1003]] == [NOT_IN_PROGRAM, "Member", "Engaged"]
    assert preflight.fields.lead is not None
    assert preflight.fields.lead["title"] == WritableField("string", 255)
    assert "createdAt" not in preflight.fields.lead
    assert preflight.fields.member is not None
    assert preflight.fields.member["vip"] == WritableField("boolean")


def test_fields_that_were_not_asked_for_are_unknown(checks: Checks) -> None:
    assert checks.run().fields.member is None
    assert checks.server.calls.count("members.describe") == 0
    assert checks.server.calls.count("leads.partitions") == 1, "several of them rule out bulk import"


def test_of_several_statuses_the_step_counts_then_success_then_the_channel_s_order() -> None:
    ranks = Statuses(
        {1: Program(1, "A", "Event", "C", "Default", None)},
        {
            "C": [
                Status("Invited", 10, False, False),
                Status("Attended", 30, False, True),
                Status("No Show", 30, False, False),
                Status("Left early", 30, False, False),
                Status("Late", 40, False, False),
            ]
        },
    ).ranks()

    in_order = sorted(ranks, key=lambda key: ranks[key])

    assert [status for _, status in in_order] == ["Invited", "No Show", "Left early", "Attended", "Late"]


def test_an_instance_without_the_newer_describe(checks: Checks) -> None:
    checks.server.faults.add(Fault(endpoint="leads.describe2", code="610"))

    preflight = checks.run({"field_mappings": [{"record_field": "description", "marketo_field": "Event Notes"}]})

    assert [problem.fix.split("?")[0] for problem in preflight.problems] == ['Did you mean "eventNotes"']


@pytest.mark.parametrize("raise_transient", [False, True])
def test_the_calls_made_before_are_handed_on_and_nothing_is_written_into_the_client(
    raise_transient: bool, checks: Checks
) -> None:
    checks.server.state.set_usage(USER, 300)

    preflight = checks.run({"delivery": {"daily_call_budget": 1000}}, raise_transient=raise_transient)

    assert preflight.used_today == 300
    assert checks.client is not None
    budget = checks.client.gate.budget
    assert budget.used_before == 0
    assert preflight.used_today + budget.used_now == checks.server.state.calls_today(USER)


# --- what is raised ------------------------------------------------------------------------------------------


class TransientStore(NoStore):
    transient = True

    def probe(self) -> None:
        raise StorageError(
            "object_storage_config.path", "the disk is full.", "Free some space.", transient=self.transient
        )


class BrokenStore(TransientStore):
    transient = False


@pytest.mark.parametrize(
    "endpoint", ["identity.token", "usage.today", "leads.describe2", "programs.browse", "folder.get"]
)
def test_write_can_tell_what_may_work_later(endpoint: str, checks: Checks) -> None:
    checks.server.faults.add(Fault(endpoint=endpoint, http_status=503, times=None))
    with pytest.raises(UnreachableError):
        checks.run(raise_transient=True)


def test_write_can_tell_a_quota_that_is_used_up(checks: Checks) -> None:
    checks.server.faults.add(Fault(endpoint="channels.browse", code="607"))
    with pytest.raises(QuotaReachedError) as caught:
        checks.run(raise_transient=True)
    assert caught.value.code == "607"


def test_write_makes_one_call_of_a_budget_that_is_used_up(checks: Checks) -> None:
    checks.server.state.set_usage(USER, 100)
    with pytest.raises(QuotaReachedError) as caught:
        checks.run({"delivery": {"daily_call_budget": 100}}, raise_transient=True)
    assert caught.value.code == "daily_call_budget"
    assert checks.server.state.calls_today(USER) == 101


def test_write_can_tell_a_store_that_may_work_later(checks: Checks) -> None:
    with pytest.raises(StorageError):
        checks.run(store=TransientStore(), raise_transient=True)
    assert [problem.path for problem in checks.run(store=BrokenStore(), raise_transient=True).problems] == [
        "object_storage_config.path"
    ]


def test_mistakes_are_problems_for_write_as_well(checks: Checks) -> None:
    assert [p.path for p in checks.run({"client_secret": "x"}, raise_transient=True).problems] == ["client_secret"]
    checks.server.configure(services=(Service(client_id="x", client_secret="y", permissions=frozenset()),))
    config = {"client_id": "x", "client_secret": "y"}
    assert [p.path for p in checks.run(config, raise_transient=True).problems] == ["client_id", "client_id"]


@pytest.mark.parametrize("raise_transient", [False, True])
def test_a_process_that_ends_is_not_a_problem(raise_transient: bool, checks: Checks) -> None:
    settings = load_settings(checks.config, cloud=False).settings
    assert settings is not None
    gate = Gate(Pace(100, 10), Budget(None))
    gate.stop()
    client = MarketoClient(settings.domain_url, settings.client_id, settings.client_secret, gate)
    with pytest.raises(StoppedError):
        run_preflight(RestMarketo(client), settings, NoStore(), raise_transient=raise_transient)


# --- addresses that lead nowhere -----------------------------------------------------------------------------


def told(preflight: Preflight) -> str:
    return "\n".join(map(str, preflight.problems))


def test_nobody_at_the_address(checks: Checks, snapshot: SnapshotAssertion) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert told(checks.run({"domain_url": url}, store=BrokenStore())) == snapshot


@pytest.mark.parametrize("status", [301, 404, 403, 503])
def test_somebody_else_at_the_address(
    status: int, checks: Checks, requests_mock: requests_mock.Mocker, snapshot: SnapshotAssertion
) -> None:
    requests_mock.get(f"{HOST}/identity/oauth/token", status_code=status, text="<html>", headers={"Location": "/x"})

    assert told(checks.run({"domain_url": HOST})) == snapshot


# --- shapes that a sandbox does not give ---------------------------------------------------------------------


def asset(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"success": True, "requestId": "1#1", "result": list(rows)}


@pytest.fixture
def marketo(requests_mock: requests_mock.Mocker) -> requests_mock.Mocker:
    token = {"access_token": "t", "token_type": "bearer", "expires_in": 3600, "scope": USER}
    requests_mock.get(f"{HOST}/identity/oauth/token", json=token)
    requests_mock.get(f"{HOST}/rest/v1/stats/usage.json", json=asset())
    requests_mock.get(f"{HOST}/rest/v1/leads/partitions.json", json=asset({"id": 1, "name": "Default"}))
    requests_mock.get(f"{HOST}/rest/asset/v1/programs.json", json=asset())
    requests_mock.get(f"{HOST}/rest/v1/leads/describe2.json", json=asset({"name": "API Lead", "fields": []}))
    statuses = [{"name": "Registered", "step": 10, "hidden": False, "success": False}]
    requests_mock.get(
        f"{HOST}/rest/asset/v1/channels.json", json=asset({"name": "Fair", "progressionStatuses": statuses})
    )
    return requests_mock


def put_program(marketo: requests_mock.Mocker, folder: dict[str, Any] | None, **more: Any) -> None:
    row = {"id": 1004, "name": "Expo", "type": "Event", "channel": "Fair", "workspace": "Default", "folder": folder}
    marketo.get(f"{HOST}/rest/asset/v1/program/1004.json", json=asset(row | more))


def put_folder(marketo: requests_mock.Mocker, number: int, parent: dict[str, Any] | None, **more: Any) -> None:
    row = {"id": number, "name": f"Folder {number}", "isArchive": False, "parent": parent}
    marketo.get(f"{HOST}/rest/asset/v1/folder/{number}.json", json=asset(row | more))


def folder_calls(marketo: requests_mock.Mocker) -> int:
    return sum("/folder/" in request.path for request in marketo.request_history)


def test_folders_that_contain_each_other(checks: Checks, marketo: requests_mock.Mocker) -> None:
    put_program(marketo, {"type": "Folder", "value": 1})
    put_folder(marketo, 1, {"type": "Folder", "id": 2})
    put_folder(marketo, 2, {"type": "Folder", "id": 1})

    assert checks.run({"domain_url": HOST}).problems == []
    assert folder_calls(marketo) == 2


@pytest.mark.parametrize(("depth", "found"), [(30, True), (31, False)])
def test_the_walk_to_the_root_is_bounded(
    depth: int, found: bool, checks: Checks, marketo: requests_mock.Mocker
) -> None:
    put_program(marketo, {"type": "Folder", "id": 1})
    for number in range(1, 41):
        put_folder(marketo, number, {"type": "Folder", "id": number + 1}, isArchive=number == depth)

    paths = [problem.path for problem in checks.run({"domain_url": HOST}).problems]

    assert paths == (["program_links[0].program_id"] if found else [])
    assert folder_calls(marketo) == 30


@pytest.mark.parametrize("folder", [None, {"type": "Folder", "value": 7}], ids=["no folder", "hidden folder"])
def test_a_folder_that_cannot_be_seen_says_nothing(
    folder: dict[str, Any] | None, checks: Checks, marketo: requests_mock.Mocker
) -> None:
    put_program(marketo, folder)
    marketo.get(f"{HOST}/rest/asset/v1/folder/7.json", json={"success": True, "warnings": ["No assets found"]})

    assert checks.run({"domain_url": HOST}).problems == []


def test_a_describe_without_fields_checks_no_fields(checks: Checks, marketo: requests_mock.Mocker) -> None:
    put_program(marketo, None)

    preflight = checks.run(
        {
            "domain_url": HOST,
            "field_mappings": [{"record_field": "x", "marketo_field": "anything"}],
            "lead_sync": {"lookup_field": "anything"},
        }
    )

    assert preflight.problems == []
    assert preflight.fields.lead is None


def type_notes(kind: str) -> list[str]:
    raw = {"domain_url": HOST, "client_id": "a", "client_secret": "b", "program_links": [LINK]}
    settings = load_settings(raw, cloud=False).settings
    assert settings is not None
    return list(program_notes(settings, Facts(programs={1: Program(1, "A", kind, "C", "Default", None)})))


@pytest.mark.parametrize("kind", ["Engagement", "engagement", "nurture", "Nurture", "Email", "email"])
def test_types_are_known_in_every_spelling(kind: str) -> None:
    assert len(type_notes(kind)) == 1


@pytest.mark.parametrize("kind", ["Default", "program", "Event", "webinar", ""])
def test_other_types_need_no_note(kind: str) -> None:
    assert type_notes(kind) == []


# --- statuses ------------------------------------------------------------------------------------------------

names = st.text("AaBb é\u00a0ß", min_size=1, max_size=6)
channels = st.lists(st.builds(Status, names, st.integers(0, 3), st.booleans(), st.booleans()), max_size=6)


@given(names, channels)
def test_a_status_passes_if_and_only_if_marketo_shows_exactly_it(name: str, statuses: list[Status]) -> None:
    # A channel holds each name once.
    statuses = list({status.name: status for status in statuses}.values())

    finding = Judge("C", statuses).judge(name)

    assert (finding is None) == any(status.name == name and not status.hidden for status in statuses)


@given(names, channels)
def test_what_is_suggested_is_there_to_be_chosen(name: str, statuses: list[Status]) -> None:
    statuses = list({status.name: status for status in statuses}.values())

    finding = Judge("C", statuses).judge(name)

    if finding is not None and "Did you mean " in finding[1]:
        suggested = finding[1].removeprefix("Did you mean ").partition("?")[0]
        # A shown name has "?" in the place of what cannot be printed.
        assert any(quoted(s.name).startswith(suggested) and not s.hidden for s in statuses)
    if any(folded(status.name) == folded(name) and status.name != name and not status.hidden for status in statuses):
        assert finding is None or "Did you mean " in finding[1] or any(s.name == name for s in statuses)


@pytest.mark.parametrize("spelling", ["Not in Program", "not in program", " NOT  IN PROGRAM "])
def test_nobody_is_removed_in_any_spelling(spelling: str) -> None:
    finding = Judge("C", [Status(NOT_IN_PROGRAM, 0, False, False)]).judge(spelling)

    assert finding is not None
    assert "removes nobody" in finding[0]


# --- order and wording ---------------------------------------------------------------------------------------


def test_problems_of_the_configuration_are_merged_into_the_order_of_the_form(checks: Checks) -> None:
    given_problems = [
        Problem(("delivery", "method"), "d", ""),
        Problem(("program_links", 10), "b", ""),
        Problem(("program_links", 0), "a", ""),
        Problem(("domain_url",), "0", ""),
    ]
    settings = load_settings(checks.config | links((1004, "Registered"), (9999, "X")), cloud=False).settings
    assert settings is not None
    gate = Gate(Pace(100, 10), Budget(None))
    client = MarketoClient(settings.domain_url, settings.client_id, settings.client_secret, gate)

    preflight = run_preflight(RestMarketo(client), settings, NoStore(), given_problems)

    assert [problem.path for problem in preflight.problems] == [
        "domain_url",
        "program_links[0]",
        "program_links[1].program_id",
        "program_links[10]",
        "delivery.method",
    ]


def test_a_token_without_read_permission_is_told_once_per_permission(checks: Checks) -> None:
    checks.server.configure(
        services=(Service(client_id="x", client_secret="y", permissions=frozenset({Permission.READ_ASSETS})),)
    )
    preflight = checks.run(
        {"client_id": "x", "client_secret": "y", "lead_sync": {"partition_name": "EMEA"}, **links((1004, "Registered"))}
    )

    assert len(preflight.problems) == 1
