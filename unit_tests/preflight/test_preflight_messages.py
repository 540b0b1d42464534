"""What `check` says about each mistake, frozen as texts, against a sandbox over HTTP."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from destination_marketo_programs.storage import StorageError
from destination_marketo_programs.storage.store import NoStore
from marketo_sandbox import (
    Channel,
    Fault,
    Field,
    Folder,
    Permission,
    Program,
    Seed,
    Service,
    Status,
)

if TYPE_CHECKING:
    from syrupy.assertion import SnapshotAssertion

    from destination_marketo_programs.preflight import Preflight

    from .conftest import Checks

ODD_WORLD = Seed(
    channels=[
        Channel(20, "Dinner  & Talk", "event", (Status("Not in Program", 0), Status("Came  Along", 10))),
        Channel(21, "Bare", "event", (Status("Not in Program", 0), Status("Gone", 10, hidden=True))),
    ],
    programs=[
        Program(2001, "Dinner", "Event", "Dinner  & Talk", 512),
        Program(2004, "Bare one", "Event", "Bare", 512),
        Program(2006, "Old onboarding", "Engagement", "Nurture", 601),
        Program(2005, "Mail in old onboarding", "Email", "Email Send", 2006, folder_type="Program"),
    ],
    lead_fields=[
        Field("ageBand", "Age Band", "formula", updateable=False),
        Field("accountOwner", "Account Owner", "reference"),
    ],
)

NO_CHANNEL = (
    Program(2002, "Lost one", "Default", "", 512),
    Program(2003, "Other one", "Default", "Removed channel", 512),
)
"""What a sandbox refuses to be seeded with."""


def odd(checks: Checks) -> Checks:
    checks.server.state.seed(ODD_WORLD)
    checks.server.instance.store.programs.update({program.id: program for program in NO_CHANNEL})
    return checks


def link(program_id: object, status: str, **more: Any) -> dict[str, Any]:
    return {"event": f"{program_id} {status}", "program_id": str(program_id), "program_status": status, **more}


def links(*pairs: tuple[object, str]) -> dict[str, Any]:
    return {"program_links": [link(*pair) for pair in pairs]}


def fields(*triples: tuple[str, str] | tuple[str, str, str]) -> dict[str, Any]:
    return {
        "field_mappings": [
            {"record_field": column, "marketo_field": field, "marketo_object": (*more, "lead")[0]}
            for column, field, *more in triples
        ]
    }


PROBLEMS: dict[str, dict[str, Any]] = {
    # programs
    "program unknown": links((9999, "Registered"), (1004, "Registered")),
    "program unknown in several links": links((9999, "Registered"), (1004, "Registered"), (9999, "Attended")),
    "program in an archived folder": links((1007, "Registered")),
    "program within a program in an archived folder": links((2005, "Sent")),
    "program without a channel": links((2002, "Registered")),
    "program whose channel is not listed": links((2003, "Registered")),
    # statuses of links
    "status in another case": links((1004, "attended")),
    "status with other spaces": links((1004, "No  Show "), (2001, "Came Along")),
    "status mistyped": links((1004, "Atended")),
    "status unlike any other": links((1004, "Zzz")),
    "status of another channel": links((1234, "Waitlisted")),
    "status hidden": links((1004, "Influenced")),
    "status hidden and in another case": links((1004, "influenced")),
    "status not in program": links((1004, "not in  Program")),
    "status in a channel without usable ones": links((2004, "Gone")),
    "same wrong status in several links": {
        "program_links": [link(1004, "attended"), link(1004, "attended", stream="b"), link(1006, "attended")]
    },
    # statuses of qualifier mappings
    "mapping with a status of another channel": {
        "program_links": [link(1004, "Registered"), link(1234, "Registered")],
        "qualifier_mappings": [{"program_id": "1004", "value": "Yes", "program_status": "Member"}],
    },
    "mapping for every link that only some programs know": {
        "program_links": [link(1004, "Registered"), link(1006, "Registered"), link(1234, "Registered")],
        "qualifier_mappings": [{"value": "Yes", "program_status": "Member"}],
    },
    "mapping for every link that no program knows": {
        "program_links": [link(1004, "Registered"), link(1234, "Registered")],
        "qualifier_mappings": [{"value": "Yes", "program_status": "engaged"}],
    },
    # fields
    "field by its name on screen": fields(("jobTitle", "Job Title"), ("description", "Event Notes")),
    "field in another spelling": fields(("description", "event_notes"), ("createdAt", "LastScanAt")),
    "field mistyped": fields(("description", "eventNots"), ("createdAt", "Zzz")),
    "field of a membership mistyped": fields(("description", "boothnotes", "program_member")),
    "field of the other object": fields(("description", "eventNotes", "program_member"), ("isEnriched", "vip")),
    "field read-only": fields(("createdAt", "updatedAt"), ("description", "statusName", "program_member")),
    "field that nothing fits": fields(("description", "ageBand"), ("description", "accountOwner")),
    "text into other types": fields(
        ("firstName", "newsletterOptIn"),
        ("company.name", "numberOfScans"),
        ("jobTitle", "fitScore"),
        ("event_name", "lastEventDate"),
        ("lastScannedBy", "lastScanAt"),
        ("description", "vip", "program_member"),
    ),
    "other values into types that do not fit": fields(
        ("tags[].value", "newsletterOptIn"),
        ("isEnriched", "leadScore"),
        ("numberOfScans", "doNotCall"),
        ("createdAt", "lastEventDate"),
    ),
    "whole objects": fields(("company", "company"), ("tags", "eventNotes"), ("phoneNumbers", "phone")),
    # people
    "lookup field unknown": {"lead_sync": {"lookup_field": "badgeid"}, **fields(("id", "badgeid"))},
    "lookup field not searchable": {"lead_sync": {"lookup_field": "eventNotes"}, **fields(("id", "eventNotes"))},
    "partition unknown": {"lead_sync": {"partition_name": "EMAE"}},
    "partition in another case": {"lead_sync": {"partition_name": "emea"}},
}


def told(preflight: Preflight) -> str:
    return "\n".join(map(str, preflight.problems))


@pytest.mark.parametrize("case", PROBLEMS)
def test_problem(case: str, checks: Checks, snapshot: SnapshotAssertion) -> None:
    text = told(odd(checks).run(PROBLEMS[case]))

    assert text
    assert text == snapshot


NOTES: dict[str, dict[str, Any]] = {
    "engagement program": links((1003, "Member")),
    "email program": links((1002, "Sent")),
    "mapping to an earlier status": {
        "program_links": [
            link(1004, "Attended"),
            link(1004, "Engaged"),
            link(1004, "Attended", stream="b"),
            link(1006, "Registered"),
        ],
        "qualifier_mappings": [
            {"program_id": "1004", "value": "No", "program_status": "Registered"},
            {"value": "Yes", "program_status": "Engaged"},
        ],
    },
    "links of one program with different statuses": links((1004, "Registered"), (1006, "Invited"), (1004, "Attended")),
    "calls of today": {"delivery": {"daily_call_budget": 40000}},
}


@pytest.mark.parametrize("case", NOTES)
def test_note(case: str, checks: Checks, snapshot: SnapshotAssertion) -> None:
    preflight = odd(checks).run(NOTES[case])

    assert preflight.problems == []
    assert "\n".join(preflight.notes) == snapshot


def test_a_plain_configuration_has_neither_problems_nor_notes(checks: Checks) -> None:
    preflight = checks.run(
        {
            "program_links": [link(1004, "Engaged")],
            "qualifier_mappings": [{"value": "Yes", "program_status": "Engaged"}],
            "lead_sync": {"partition_name": "EMEA", "lookup_field": "sfdcLeadId"},
            **fields(
                ("id", "sfdcLeadId"),
                ("remote_id", "id"),
                ("numberOfScans", "numberOfScans"),
                ("tags[].value", "eventNotes"),
                ("createdAt", "lastScanAt"),
                ("checkedIn", "vip", "program_member"),
            ),
        }
    )

    assert preflight.problems == []
    assert preflight.notes == []


def test_columns_of_other_sources_are_not_guessed_at(checks: Checks) -> None:
    preflight = checks.run(
        {"record_mapping": {"mapping_type": "custom"}, **fields(("firstName", "newsletterOptIn"), ("tags", "vip"))}
    )

    assert [problem.path for problem in preflight.problems] == ["field_mappings[1].marketo_field"]


def test_fields_that_the_instance_lacks_are_left_out_with_a_note(checks: Checks, snapshot: SnapshotAssertion) -> None:
    for name in ("mobilePhone", "billingCity"):
        checks.server.state.seed(Seed(lead_fields=[Field(name, name, updateable=False)]))

    preflight = checks.run()

    assert preflight.problems == []
    assert "\n".join(preflight.notes) == snapshot


# --- what Marketo refuses ------------------------------------------------------------------------------------

ALL_READS = {
    "lead_sync": {"partition_name": "EMEA"},
    **fields(("checkedIn", "vip", "program_member")),
}
READS = ("leads.describe2", "leads.partitions", "members.describe", "channels.browse", "programs.browse", "folder.get")


@pytest.mark.parametrize("endpoint", READS)
def test_an_endpoint_that_is_refused(endpoint: str, checks: Checks, snapshot: SnapshotAssertion) -> None:
    checks.server.faults.add(Fault(endpoint=endpoint, code="603", times=None))

    assert told(checks.run(ALL_READS)) == snapshot


def service(*permissions: Permission) -> dict[str, Any]:
    return {"services": [Service(client_id="x", client_secret="y", permissions=frozenset(permissions))]}


@pytest.mark.parametrize("permissions", [(), (Permission.READ_ASSETS,), (Permission.WRITE_LEAD,)], ids=str)
def test_a_role_without_permissions(
    permissions: tuple[Permission, ...], checks: Checks, snapshot: SnapshotAssertion
) -> None:
    checks.server.configure(**service(*permissions))

    text = told(checks.run({"client_id": "x", "client_secret": "y", **ALL_READS, **links((1004, "X"), (1006, "X"))}))

    assert text == snapshot
    assert checks.server.calls.count("programs.browse") == 1
    assert checks.server.calls.count("program.get") == 0


def test_an_address_that_is_not_on_the_allowlist(checks: Checks, snapshot: SnapshotAssertion) -> None:
    checks.server.faults.add(Fault(path="^/rest/", code="603", times=None))

    assert told(checks.run(ALL_READS)) == snapshot


def test_a_wrong_secret(checks: Checks, snapshot: SnapshotAssertion) -> None:
    secret = "Wrong-and-never-shown"

    text = told(checks.run({"client_secret": secret, **links((9999, "X"))}))

    assert secret not in text
    assert text == snapshot
    assert checks.server.calls.count() == checks.server.calls.count("identity.token")


@pytest.mark.parametrize("endpoint", ["usage.today", "channels.browse"])
def test_a_daily_quota_that_is_used_up(endpoint: str, checks: Checks, snapshot: SnapshotAssertion) -> None:
    checks.server.faults.add(Fault(endpoint=endpoint, code="607", times=None))

    assert told(checks.run()) == snapshot


@pytest.mark.parametrize(
    "fault", [Fault(code="611"), Fault(code="616"), Fault(http_status=503)], ids=["611", "616", "503"]
)
def test_an_endpoint_that_fails(fault: Fault, checks: Checks, snapshot: SnapshotAssertion) -> None:
    checks.server.faults.add(msgspec.structs.replace(fault, endpoint="channels.browse", times=None))

    text = told(checks.run())

    assert re.sub(r"request \S+\)", "request …)", text) == snapshot


@pytest.mark.parametrize("code", ["603", "610"])
def test_usage_that_is_refused_is_a_note_only(checks: Checks, snapshot: SnapshotAssertion, code: str) -> None:
    checks.server.faults.add(Fault(endpoint="usage.today", code=code, times=None))

    preflight = checks.run({"delivery": {"daily_call_budget": 100}})

    assert preflight.problems == []
    assert preflight.used_today == 0
    assert "\n".join(preflight.notes) == snapshot


# --- budget and storage --------------------------------------------------------------------------------------


def test_a_budget_that_is_used_up_is_told_with_everything_else(checks: Checks, snapshot: SnapshotAssertion) -> None:
    checks.server.state.set_usage("connector-api@example.com", 40_120)

    preflight = checks.run({"delivery": {"daily_call_budget": 40_000}, **links((1004, "attended"))})

    assert told(preflight) == snapshot
    assert preflight.used_today == 40_120


def test_a_budget_that_is_used_up_and_too_small_for_the_checks_is_one_problem(checks: Checks) -> None:
    checks.server.state.set_usage("connector-api@example.com", 500)
    (problem,) = checks.run({"delivery": {"daily_call_budget": 2}}).problems
    assert "has made 500 calls today, and the budget is 2" in str(problem)


def test_a_budget_too_small_for_the_checks(checks: Checks, snapshot: SnapshotAssertion) -> None:
    assert told(checks.run({"delivery": {"daily_call_budget": 2}})) == snapshot


class BrokenStore(NoStore):
    def __init__(self, *, transient: bool = False) -> None:
        self.error = StorageError(
            "object_storage_config.s3_bucket_name", "there is no such bucket.", "Create it.", transient=transient
        )

    def probe(self) -> None:
        raise self.error


def test_a_store_that_does_not_work(checks: Checks, snapshot: SnapshotAssertion) -> None:
    assert told(checks.run(store=BrokenStore(transient=True))) == snapshot


# --- all at once ---------------------------------------------------------------------------------------------


def test_everything_is_told_at_once_in_the_order_of_the_form(checks: Checks, snapshot: SnapshotAssertion) -> None:
    checks.server.state.set_usage("connector-api@example.com", 500)
    checks.server.faults.add(Fault(endpoint="members.describe", code="603"))

    preflight = odd(checks).run(
        {
            "delivery": {"daily_call_budget": 100, "method": "bulk"},
            "lead_sync": {"partition_name": "emea", "lookup_field": "badge"},
            **fields(("jobTitle", "Title"), ("jobTitle", "Title"), ("x", "vip", "program_member")),
            "qualifier_mappings": [
                {"program_id": "77", "value": "a", "program_status": "b"},
                {"program_id": "1004", "value": "a", "program_status": "b"},
            ],
            **links((9999, "X"), (1004, "attended"), (1007, "Invited"), (1003, "member")),
        },
        BrokenStore(),
    )

    assert [problem.path for problem in preflight.problems] == [
        "client_id",
        "program_links[0].program_id",
        "program_links[1].program_status",
        "program_links[2].program_id",
        "program_links[3].program_status",
        "qualifier_mappings[0].program_id",
        "qualifier_mappings[1].program_status",
        "field_mappings[0].marketo_field",
        "field_mappings[1].marketo_field",
        "lead_sync.lookup_field",
        "lead_sync.partition_name",
        "object_storage_config.s3_bucket_name",
        "delivery.method",
        "delivery.method",
        "delivery.daily_call_budget",
    ]
    assert told(preflight) == snapshot


def test_folders_are_only_asked_for_once(checks: Checks) -> None:
    checks.server.state.seed(
        Seed(folders=[Folder(700, "Deep", 512)], programs=[Program(2010, "Deep", "Event", "Webinar", 700)])
    )

    preflight = checks.run(links((1004, "Registered"), (1006, "Registered"), (2010, "Registered"), (1004, "Invited")))

    assert preflight.problems == []
    assert checks.server.calls.counters() == {
        "channels.browse": {"200": 1},
        "folder.get": {"200": 3},  # 512, its root, and 700
        "identity.token": {"200": 1},
        "leads.describe2": {"200": 1},
        "leads.partitions": {"200": 1},
        "programs.browse": {"200": 1},
        "usage.today": {"200": 1},
    }
    assert checks.server.calls.writes() == []
