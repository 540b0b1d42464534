"""Delivery against a Marketo that allows nothing but what its documentation says (see `strict_marketo`)."""

from __future__ import annotations

import itertools
import json
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest
from harness import QUICK, Connector, InProcess, Json, catalog_of, config_for, record, state
from strict_marketo import Answer, StrictMarketo, html, redirect, refuse

from destination_marketo_programs.delivery.new_leads import NewLeads
from destination_marketo_programs.failures import ConfigurationError
from destination_marketo_programs.marketo.errors import ConfigurationFaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from strict_marketo import Call

    from marketo_sandbox import SandboxServer

FIRST_NAME = {"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"}
CODE = {"record_field": "code", "marketo_object": "program_member", "marketo_field": "registrationCode"}


@pytest.fixture
def marketo() -> Iterator[StrictMarketo]:
    with StrictMarketo() as server:
        yield server


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "outcomes"


def config(marketo: StrictMarketo, folder: Path | None = None, **changes: Any) -> Json:
    # No sandbox, but it has what is needed of one: address, client id and secret.
    settings = config_for(cast("SandboxServer", marketo), **changes)
    if folder is not None:
        settings["object_storage_config"] = {"storage_type": "Local", "path": str(folder)}
    return settings


def write(settings: Json, records: Iterable[Json], catalog: Json | None = None) -> list[Json]:
    """Run, and return what was stored (one outcome for each record and program), or nothing without a store."""
    made = list(records)
    run = InProcess(settings, catalog or catalog_of("leads", primary_key=[["id"]])).run(
        [*map(record, made), state(len(made))]
    )
    assert [s["id"] for s in run.states] == [len(made)]
    assert sum(run.stats) == len(made)
    path = settings.get("object_storage_config", {}).get("path")
    return stored(path) if path else []


def stored(folder: str | Path, kind: str = "outcomes") -> list[Json]:
    from pathlib import Path  # noqa: PLC0415 - only a type elsewhere

    return [json.loads(line) for path in sorted(Path(folder).glob(f"**/{kind}-*.jsonl")) for line in path.open()]


def fates(outcomes: Iterable[Json]) -> dict[str, tuple[str, str | None]]:
    """Outcome and category by record key; for one program."""
    return {o["record_key"]: (o["outcome"], o["category"]) for o in outcomes}


def people(count: int, **more: Any) -> list[Json]:
    return [{"id": n, "email": f"p{n}@example.org", "first": f"P {n}", **more} for n in range(count)]


# --- whole flows -------------------------------------------------------------------------------------------------

VARIANTS: dict[str, Callable[[StrictMarketo], None]] = {
    "as documented": lambda _: None,
    "optional members missing": lambda m: setattr(m, "lean", True),
    "numeric codes": lambda m: setattr(m, "numeric_codes", True),
    "only describe": lambda m: setattr(m, "describes", ("describe",)),
    "only describe2": lambda m: setattr(m, "describes", ("describe2",)),
    "folder named by id": lambda m: setattr(m, "folder_id_member", "id"),
    "tokens that die young": lambda m: setattr(m, "calls_per_token", 2),
    "slow writes": lambda m: setattr(m, "sync_seconds", 0.05),
}


@pytest.mark.parametrize("method", ["rest", "auto"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_variant_of_marketo_gives_the_same_members(
    marketo: StrictMarketo, folder: Path, variant: str, method: str
) -> None:
    VARIANTS[variant](marketo)
    known = marketo.add_lead(email="p5@example.org", firstName="Old")
    marketo.members[1004][known] = {"statusName": "Attended"}
    for _ in range(2):
        marketo.add_lead(email="double@example.org")
    made = [
        {**person, "event_id": ("expo", "roadshow")[n % 2], "code": f"C{n}" if n % 3 else None}
        for n, person in enumerate(people(700))
    ]
    made += [{**made[n], "id": 1_000 + n, "email": f" P{n}@Example.ORG "} for n in range(0, 700, 7)]
    made += [{"id": 2_000, "email": "double@example.org", "event_id": "expo", "first": "D"}]
    made += [{"id": 2_001, "email": "p6@example.org", "event_id": "expo", "first": "X", "id_there": known}]
    settings = config(
        marketo,
        folder,
        program_links=[
            {"event": "expo", "program_id": "PG1004A1", "program_status": "Registered"},
            {"event": "roadshow", "program_id": "1234", "program_status": "Invited"},
            {"event": "roadshow", "program_id": "1001", "program_status": "On List"},
        ],
        record_mapping={"mapping_type": "custom", "marketo_lead_id": "id_there"},
        field_mappings=[FIRST_NAME, CODE],
        lead_sync={"duplicate_leads": "reject"},
        delivery={"method": method},
    )
    outcomes = write(settings, made)
    expected = {f"p{n}@example.org": "Registered" for n in range(0, 700, 2)} | {"p5@example.org": "Attended"}
    assert marketo.statuses(1004) == expected
    odd = {f"p{n}@example.org" for n in range(1, 700, 2)}
    assert marketo.statuses(1234) == dict.fromkeys(odd, "Invited")
    assert marketo.statuses(1001) == dict.fromkeys(odd, "On List")
    by_email = {fields["email"].lower(): fields for fields in marketo.leads.values()}
    assert by_email["p8@example.org"]["firstName"] == "P 8"
    assert {f["registrationCode"] for f in marketo.members[1004].values() if "registrationCode" in f} == {
        f"C{n}" for n in range(0, 700, 2) if n % 3
    }
    rejected = [o for o in outcomes if o["outcome"] == "rejected"]
    assert [(o["record_key"], o["category"], o["code"]) for o in rejected] == [("2000", "DUPLICATE_LEADS", "1007")]
    assert len(outcomes) == sum(2 if person["event_id"] == "roadshow" else 1 for person in made)


def test_auto_with_default_delivery_as_a_process(marketo: StrictMarketo, connector: Connector) -> None:
    """Nothing configured but what is required: a small load makes no file, and ends well."""
    settings = {
        "domain_url": marketo.url + "/rest/",
        "client_id": marketo.client_id,
        "client_secret": marketo.client_secret,
        "program_links": [{"program_id": "1004", "program_status": "Registered"}],
    }
    lines = [
        record({"id": f"u{n}", "email": f"m{n}@example.org", "firstName": "M", "event_id": 1, "tags": []})
        for n in range(40)
    ]
    run = connector.write(settings, [*lines, state(1)])
    assert run.code == 0, run.text
    assert len(marketo.statuses(1004)) == 40
    assert run.stats == (40, 0)


@pytest.mark.parametrize("concurrent_calls", [1, 10])
def test_a_person_is_never_in_two_calls_at_once(marketo: StrictMarketo, concurrent_calls: int) -> None:
    """The same people again and again with other fields and other statuses, while calls are slow."""
    marketo.sync_seconds = 0.1
    made = [
        {"id": n, "email": f"{'Pp'[n % 2]}{n % 90}@example.org", "first": f"F{n}", "answer": ("a", "b")[n % 2]}
        for n in range(2_000)
    ]
    settings = config(
        marketo,
        field_mappings=[FIRST_NAME],
        qualifier_mappings=[{"qualifier": "answer", "value": "b", "program_status": "Attended"}],
        delivery={"concurrent_calls": concurrent_calls, "max_batch_age_seconds": 1},
    )
    write(settings, made)
    assert len(marketo.leads) == 90
    expected = {f"p{n}@example.org": "Attended" if n % 2 else "Registered" for n in range(90)}
    assert marketo.statuses(1004) == expected


# --- sizes -------------------------------------------------------------------------------------------------------


def test_long_fields_of_leads_split_calls_by_bytes(marketo: StrictMarketo) -> None:
    notes = {"record_field": "notes", "marketo_object": "lead", "marketo_field": "notes"}
    write(config(marketo, field_mappings=[notes]), people(500, notes="ä" * 10_000))
    assert len(marketo.statuses(1004)) == 500


def test_long_fields_of_memberships_split_calls_by_bytes(marketo: StrictMarketo) -> None:
    """300 memberships with long texts are more than the 1 MB that Marketo takes."""
    notes = {"record_field": "notes", "marketo_object": "program_member", "marketo_field": "boothNotes"}
    write(config(marketo, field_mappings=[notes]), people(400, notes="ö" * 4_000))
    assert all(len(member["boothNotes"]) == 4_000 for member in marketo.members[1004].values())
    assert len(marketo.members[1004]) == 400


def test_long_look_ups_go_as_a_form(marketo: StrictMarketo) -> None:
    made = [{"id": n, "email": f"{'long' * 40}{n}@example.org"} for n in range(300)]
    write(config(marketo, lead_sync={"mode": "create_missing"}), made)
    assert len(marketo.statuses(1004)) == 300
    assert {call.method for call in marketo.of("leads.query")} == {"POST"}


def test_one_record_too_large_for_any_call_is_rejected_alone(marketo: StrictMarketo, folder: Path) -> None:
    notes = {"record_field": "notes", "marketo_object": "lead", "marketo_field": "notes"}
    made = people(5, notes="x")
    made[2]["notes"] = "y" * 1_200_000
    outcomes = write(config(marketo, folder, field_mappings=[notes]), made)
    assert fates(outcomes)["2"] == ("rejected", "FIELD_INVALID")
    assert len(marketo.statuses(1004)) == 4


# --- lead_sync ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["create_or_update", "create_missing", "match_only"])
@pytest.mark.parametrize("duplicates", ["reject", "most_recently_updated"])
@pytest.mark.parametrize("with_fields", [True, False])
def test_modes_with_existing_missing_and_duplicate_leads(
    marketo: StrictMarketo, folder: Path, mode: str, duplicates: str, with_fields: bool
) -> None:
    there = marketo.add_lead(email="There@example.org", firstName="Old")
    marketo.add_lead(email="twice@example.org", firstName="Old")
    latest = marketo.add_lead(email="twice@example.org", firstName="Old")
    by_id = marketo.add_lead(email="other@example.org", firstName="Old")
    made: list[Json] = [
        {"id": "there", "email": "there@example.org", "first": "New"},
        {"id": "missing", "email": "missing@example.org", "first": "New"},
        {"id": "twice", "email": "twice@example.org", "first": "New"},
        {"id": "by id", "email": "by-id@example.org", "first": "New", "mid": str(by_id)},
        {"id": "gone", "email": "there2@example.org", "first": "New", "mid": 99_999},
        {"id": "gone for good", "first": "New", "mid": 99_998},
        {"id": "no id", "email": "nid@example.org", "first": "New", "mid": "abc"},
    ]
    settings = config(
        marketo,
        folder,
        record_mapping={"mapping_type": "custom", "marketo_lead_id": "mid"},
        field_mappings=[FIRST_NAME] if with_fields else [],
        lead_sync={"mode": mode, "duplicate_leads": duplicates, "partition_name": "EMEA"},
    )
    outcomes = {o["record_key"]: o for o in write(settings, made)}
    creates = mode != "match_only"
    writes = with_fields and mode != "create_missing"
    assert (outcomes["there"]["outcome"], outcomes["there"]["lead_id"]) == ("created", there)
    assert outcomes["by id"]["lead_id"] == by_id
    assert outcomes["by id"]["lead_action"] == ("updated" if writes else "matched")
    assert marketo.leads[there]["firstName"] == ("New" if writes else "Old")
    assert marketo.leads[by_id]["firstName"] == ("New" if writes else "Old")
    for key in ("missing", "gone", "no id"):
        if creates:
            assert (outcomes[key]["outcome"], outcomes[key]["lead_action"]) == ("created", "created")
        else:
            assert (outcomes[key]["outcome"], outcomes[key]["category"]) == ("rejected", "LEAD_NOT_FOUND")
    assert (outcomes["gone for good"]["outcome"], outcomes["gone for good"]["category"]) == (
        "rejected",
        "LEAD_NOT_FOUND",
    )
    if duplicates == "reject":
        assert (outcomes["twice"]["category"], outcomes["twice"]["code"]) == ("DUPLICATE_LEADS", "1007")
    else:
        assert (outcomes["twice"]["outcome"], outcomes["twice"]["lead_id"]) == ("created", latest)
        assert marketo.leads[latest]["firstName"] == ("New" if writes else "Old")
    assert len(marketo.leads) == (4 + 3 if creates else 4)
    for call in marketo.of("leads.sync"):
        members = call.members
        assert ("partitionName" in members) == (members["action"] in ("createOrUpdate", "createOnly"))
        allowed = {
            "create_or_update": {"createOrUpdate", "updateOnly"},
            "create_missing": {"createOnly"},
            "match_only": {"updateOnly"},
        }
        assert members["action"] in allowed[mode]


@pytest.mark.parametrize("mode", ["create_or_update", "create_missing", "match_only"])
def test_a_number_as_lookup_field_goes_as_a_number(marketo: StrictMarketo, folder: Path, mode: str) -> None:
    """Text in an integer field is a type mismatch (1001)."""
    there = marketo.add_lead(email="n7@example.org", customerNumber=7)
    settings = config(
        marketo,
        folder,
        field_mappings=[
            {"record_field": "customer", "marketo_object": "lead", "marketo_field": "customerNumber"},
            FIRST_NAME,
        ],
        lead_sync={"mode": mode, "lookup_field": "customerNumber"},
    )
    made: list[Json] = [
        {"id": "text", "customer": " 7 ", "email": "n7@example.org", "first": "A"},
        {"id": "number", "customer": 8, "email": "n8@example.org", "first": "B"},
        {"id": "float", "customer": 9.0, "email": "n9@example.org", "first": "C"},
        {"id": "again", "customer": "8", "email": "n8@example.org", "first": "B"},
        {"id": "none", "customer": None, "email": "n0@example.org", "first": "D"},
    ]
    outcomes = {o["record_key"]: o for o in write(settings, made)}
    assert outcomes["none"]["category"] == "MISSING_KEY"
    assert outcomes["text"]["lead_id"] == there
    if mode == "match_only":
        assert {outcomes[key]["category"] for key in ("number", "float", "again")} == {"LEAD_NOT_FOUND"}
        return
    assert {fields["customerNumber"] for fields in marketo.leads.values()} == {7, 8, 9}
    assert sorted(marketo.statuses(1004)) == ["n7@example.org", "n8@example.org", "n9@example.org"]


def test_a_badge_as_lookup_field_takes_the_email_as_a_field(marketo: StrictMarketo, folder: Path) -> None:
    marketo.add_lead(badgeId="B1", email="old@example.org")
    settings = config(
        marketo,
        folder,
        field_mappings=[{"record_field": "badge", "marketo_object": "lead", "marketo_field": "badgeId"}],
        lead_sync={"lookup_field": "badgeId"},
    )
    made: list[Json] = [
        {"id": 1, "badge": "B1", "email": "new@example.org"},
        {"id": 2, "badge": "B2", "email": "two@example.org"},
        {"id": 3, "badge": "B3", "email": ""},
        {"id": 4, "badge": "", "email": "four@example.org"},
    ]
    outcomes = write(settings, made)
    assert fates(outcomes)["4"] == ("rejected", "MISSING_KEY")
    assert {(f["badgeId"], f.get("email")) for f in marketo.leads.values()} == {
        ("B1", "new@example.org"),
        ("B2", "two@example.org"),
        ("B3", None),
    }


@pytest.mark.parametrize("blank_values", ["keep", "clear"])
def test_blank_values(marketo: StrictMarketo, blank_values: str) -> None:
    """Blank clears only where it is asked for; a column that is not there clears nothing."""
    old = {"firstName": "Old", "lastName": "Old", "title": "Old", "phone": "Old"}
    lead = marketo.add_lead(email="a@example.org", **old)
    mappings = [
        {"record_field": column, "marketo_object": "lead", "marketo_field": name}
        for column, name in (("f", "firstName"), ("l", "lastName"), ("t", "title"), ("p", "phone"))
    ]
    member = {"record_field": "code", "marketo_object": "program_member", "marketo_field": "registrationCode"}
    marketo.members[1004][lead] = {"statusName": "Registered", "registrationCode": "Old"}
    settings = config(marketo, field_mappings=[*mappings, member], lead_sync={"blank_values": blank_values})
    write(settings, [{"id": 1, "email": "a@example.org", "f": None, "l": "", "t": "New", "code": ""}])
    names = [marketo.leads[lead][name] for name in ("firstName", "lastName", "title", "phone")]
    kept = blank_values == "keep"
    assert names == (["Old", "Old", "New", "Old"] if kept else [None, None, "New", "Old"])
    assert marketo.members[1004][lead]["registrationCode"] == ("Old" if kept else None)


def test_the_same_person_with_and_without_marketo_id(marketo: StrictMarketo) -> None:
    """One record names the lead, the other its email: one membership, one status."""
    lead = marketo.add_lead(email="a@example.org")
    settings = config(
        marketo,
        record_mapping={"mapping_type": "custom", "marketo_lead_id": "mid"},
        field_mappings=[FIRST_NAME],
        qualifier_mappings=[{"qualifier": "q", "value": "yes", "program_status": "Engaged"}],
    )
    made: list[Json] = [
        {"id": 1, "email": "a@example.org", "mid": lead, "first": "A", "q": "yes"},
        {"id": 2, "email": "A@example.org", "first": "A"},
    ]
    write(settings, made)
    assert marketo.statuses(1004) == {"a@example.org": "Engaged"}
    assert len(marketo.leads) == 1


@pytest.mark.parametrize("mode", ["create_or_update", "create_missing", "match_only"])
def test_more_leads_than_a_page(marketo: StrictMarketo, folder: Path, mode: str) -> None:
    """Look-ups go on with `nextPageToken`: each of 250 addresses has two leads."""
    for n in range(500):
        marketo.add_lead(email=f"p{n % 250}@example.org", firstName="Old")
    settings = config(marketo, folder, lead_sync={"mode": mode, "duplicate_leads": "most_recently_updated"})
    outcomes = write(settings, people(250))
    assert {o["outcome"] for o in outcomes} == {"created"}
    assert {o["lead_id"] for o in outcomes} == set(sorted(marketo.leads)[250:])
    assert len(marketo.leads) == 500
    assert any("nextPageToken" in call.query for call in marketo.of("leads.query"))


def test_addresses_with_every_character_that_is_allowed(marketo: StrictMarketo) -> None:
    emails = [f"a{sign}b@ex-ample.co.uk" for sign in "!#$%&'*+-/=?^_`{|}~."]
    for email in emails[::2]:
        marketo.add_lead(email=email.upper())
    made = [{"id": n, "email": email} for n, email in enumerate(emails)]
    write(config(marketo, lead_sync={"mode": "create_missing"}), made)
    assert sorted(marketo.statuses(1004)) == sorted(emails)
    assert len(marketo.leads) == len(emails)


def test_no_more_calls_at_once_than_configured(marketo: StrictMarketo) -> None:
    marketo.sync_seconds = 0.1
    settings = config(marketo, delivery={"concurrent_calls": 3, "max_batch_age_seconds": 1})
    write(settings, people(3_000))
    assert marketo.most_at_once == 3


def test_killed_in_the_middle_of_a_create(marketo: StrictMarketo, connector: Connector, folder: Path) -> None:
    """The next run sends the same people again: the same members, and nobody twice."""
    marketo.sync_seconds = 0.3
    begun = threading.Event()

    def begins(_call: Call) -> None:
        begun.set()

    marketo.always["leads.sync"] = begins
    lines = [*map(record, people(50)), state(50)]
    with connector.start("write", config(marketo, folder), catalog_of("leads")) as process:
        assert process.stdin is not None
        process.stdin.write(b"\n".join(lines) + b"\n")
        process.stdin.close()
        process.stdin = None
        assert begun.wait(60)
        process.kill()
        out, _ = process.communicate(timeout=30)
    assert b'"STATE"' not in out
    again = connector.write(config(marketo, folder), lines)
    assert again.code == 0, again.text
    assert len(marketo.statuses(1004)) == 50
    assert len(marketo.leads) == 50


# --- faults ------------------------------------------------------------------------------------------------------


def poisoned(marker: bytes, answer: Answer) -> Callable[[Call], Answer | None]:
    """Refuses every call that carries the marker."""
    return lambda call: answer if marker in call.body else None


@pytest.mark.parametrize("code", ["609", "611", "500", "1003", "6999"])
def test_a_poison_record_is_found_and_the_others_delivered(marketo: StrictMarketo, folder: Path, code: str) -> None:
    """A whole call refused for one record in it."""
    marketo.always["leads.sync"] = poisoned(b"p3@", refuse(code, "poison"))
    made = people(8)
    if code == "500":
        # A server error says nothing of a record: it is for ever retried, so here it passes in the end.
        marketo.always.clear()
        marketo.interrupt("leads.sync", refuse(code), refuse(code))
    outcomes = write(config(marketo, folder, field_mappings=[FIRST_NAME]), made)
    rejected = {o["record_key"]: (o["category"], o["code"], o["message"]) for o in outcomes if o["category"]}
    assert rejected == ({} if code == "500" else {"3": ("RECORD_REFUSED", code, "poison")})
    assert len(marketo.statuses(1004)) == len(made) - len(rejected)


def test_a_poison_membership_is_found(marketo: StrictMarketo, folder: Path) -> None:
    lead = marketo.add_lead(email="p3@example.org")
    marketo.always["members.status"] = poisoned(f'"leadId":{lead}}}'.encode(), refuse(609, "poison"))
    outcomes = write(config(marketo, folder), people(8))
    assert {o["record_key"] for o in outcomes if o["outcome"] == "rejected"} == {"3"}
    assert len(marketo.statuses(1004)) == 7


@pytest.mark.parametrize("endpoint", ["leads.sync", "members.status", "members.data"])
@pytest.mark.parametrize(
    "answer", [Answer(b"", 413), refuse("604"), refuse(604), html(413)], ids=["413", "604", "numeric", "html"]
)
def test_what_is_too_much_for_marketo_is_halved(marketo: StrictMarketo, endpoint: str, answer: Answer) -> None:
    """It takes no more than 40 rows at once today."""
    marketo.always[endpoint] = lambda call: answer if len(call.rows) > 40 else None
    write(config(marketo, field_mappings=[FIRST_NAME, CODE]), people(150, code="C"))
    assert len(marketo.statuses(1004)) == 150
    assert all(member["registrationCode"] == "C" for member in marketo.members[1004].values())


@pytest.mark.parametrize("endpoint", ["leads.sync", "members.status", "members.data"])
@pytest.mark.parametrize(
    "answer",
    [
        html(),
        html(502),
        html(503),
        Answer(b'{"requestId": "x", "success": true, "result": [{"id": 1'),
        Answer(b'{"success": false}'),
        Answer(b'{"success": false, "errors": []}'),
        Answer(b"[]"),
        Answer(b""),
        Answer(b'{"success": true}'),
        Answer(b'{"success": true, "result": []}'),
        Answer(b"", cut=True),
        refuse(602),
        refuse("601"),
        refuse("606"),
        refuse(608),
        refuse(615),
        refuse("713"),
        refuse("502"),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:40]!r}{' cut' if answer.cut else ''}",
)
def test_an_answer_that_says_nothing_is_no_outcome(marketo: StrictMarketo, endpoint: str, answer: Answer) -> None:
    marketo.interrupt(endpoint, answer)
    write(config(marketo, field_mappings=[FIRST_NAME, CODE]), people(10, code="C"))
    assert len(marketo.statuses(1004)) == 10
    assert all(member["registrationCode"] == "C" for member in marketo.members[1004].values())


@pytest.mark.parametrize("endpoint", ["leads.sync", "members.status", "members.data"])
def test_executed_and_the_answer_lost(marketo: StrictMarketo, endpoint: str) -> None:
    """The next one gets what it wanted, and never a second lead."""
    lost: list[int] = []

    def executes(call: Call) -> Answer | None:
        if lost:
            return None
        lost.append(1)
        marketo._execute(call)
        return Answer(b"", cut=True)

    marketo.always[endpoint] = executes
    write(config(marketo, field_mappings=[FIRST_NAME, CODE]), people(10, code="C"))
    assert len(marketo.statuses(1004)) == 10
    assert len(marketo.leads) == 10


def test_redirects_are_not_followed(marketo: StrictMarketo, connector: Connector) -> None:
    """Credentials go to the configured address and nowhere else."""
    with StrictMarketo() as elsewhere:
        marketo.always["leads.sync"] = lambda _: redirect(f"{elsewhere.url}/rest/v1/leads.json")
        run = connector.write(config(marketo), [*map(record, people(3)), state(1)])
        assert elsewhere.calls == []
        assert elsewhere.violations == []
    assert run.code == 1
    assert run.error["failure_type"] == "config_error"
    assert run.states == []


@pytest.mark.parametrize("code", ["610", 702])
def test_a_program_that_vanishes_ends_the_sync_as_configuration(
    marketo: StrictMarketo, connector: Connector, code: str | int
) -> None:
    marketo.always["members.status"] = lambda _: refuse(code, "Resource not found")
    run = connector.write(config(marketo), [*map(record, people(3)), state(1)])
    assert run.code == 1
    assert run.error["failure_type"] == "config_error"
    assert "program_links[0].program_id" in run.error["message"]
    assert run.states == []


def test_a_program_that_vanishes_in_process(marketo: StrictMarketo) -> None:
    marketo.always["members.data"] = lambda _: refuse("610")
    run = InProcess(config(marketo, field_mappings=[CODE]), catalog_of("leads"))
    with pytest.raises(ConfigurationError, match="no longer finds program 1004"):
        run.run([*map(record, people(3, code="C")), state(1)])
    assert run.lines == []


@pytest.mark.parametrize("code", ["603", "605", "612", "1009", "1018"])
def test_what_only_a_person_can_change_ends_the_sync(marketo: StrictMarketo, code: str) -> None:
    marketo.always["leads.sync"] = lambda _: refuse(code)
    run = InProcess(config(marketo), catalog_of("leads"))
    with pytest.raises(ConfigurationFaultError, match=code):
        run.run([*map(record, people(3)), state(1)])
    assert run.lines == []


def test_a_field_that_vanishes_does_not_cost_a_call_for_each_record(marketo: StrictMarketo, folder: Path) -> None:
    """1006 for the whole call refuses those who name the field, and them only."""
    marketo.always["leads.sync"] = poisoned(b'"title"', refuse("1006", "Field 'title' not found"))
    title = {"record_field": "job", "marketo_object": "lead", "marketo_field": "title"}
    made = people(600)
    for person in made[::2]:
        person["job"] = "Engineer"
    outcomes = write(config(marketo, folder, field_mappings=[FIRST_NAME, title]), made)
    rejected = {(o["category"], o["code"]) for o in outcomes if o["outcome"] == "rejected"}
    assert rejected == {("FIELD_INVALID", "1006")}
    assert set(marketo.statuses(1004)) == {person["email"] for person in made[1::2]}
    assert len(marketo.of("leads.sync")) <= 6


def test_a_membership_field_that_vanishes(marketo: StrictMarketo, folder: Path) -> None:
    marketo.always["members.data"] = poisoned(b"registrationCode", refuse(1006, "Field not found"))
    outcomes = write(config(marketo, folder, field_mappings=[CODE]), people(600, code="C"))
    assert {(o["category"], o["code"]) for o in outcomes} == {("FIELD_INVALID", "1006")}
    assert len(marketo.statuses(1004)) == 600
    assert len(marketo.of("members.data")) <= 4


def test_an_object_that_is_not_found_is_the_program_or_a_lead(marketo: StrictMarketo, folder: Path) -> None:
    """1013 for the whole call: whether it is the program can be asked."""
    lead = marketo.add_lead(email="p3@example.org")
    marketo.always["members.status"] = poisoned(f'"leadId":{lead}}}'.encode(), refuse("1013", "Object not found"))
    outcomes = write(config(marketo, folder), people(8))
    rejected = [(o["record_key"], o["category"], o["code"]) for o in outcomes if o["outcome"] == "rejected"]
    assert rejected == [("3", "LEAD_NOT_FOUND", "1013")]
    run = InProcess(config(marketo), catalog_of("leads"))
    marketo.always["members.status"] = lambda _: refuse("1013", "Object not found")
    marketo.always["program"] = lambda _: marketo._missing()
    with pytest.raises(ConfigurationError, match="no longer finds program 1004"):
        run.run([*map(record, people(300)), state(1)])
    assert run.lines == []


# --- members -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["response", "record"])
def test_a_status_that_marketo_does_not_find(marketo: StrictMarketo, folder: Path, level: str) -> None:
    """1025 for the higher status: the lower one that it stood for gets its own try."""

    def refuses(call: Call) -> Answer | None:
        if call.members["statusName"] != "Engaged":
            return None
        if level == "response":
            return refuse(1025, "Program status not found")
        rows = [
            {"seq": n, "status": "skipped", "reasons": [{"code": "1025", "message": "Program status not found"}]}
            for n, _ in enumerate(call.rows)
        ]
        return marketo._ok(rows)

    marketo.always["members.status"] = refuses
    settings = config(
        marketo,
        folder,
        qualifier_mappings=[{"qualifier": "q", "value": "yes", "program_status": "Engaged"}],
    )
    made: list[Json] = [
        {"id": "low", "email": "a@example.org"},
        {"id": "high", "email": "a@example.org", "q": "yes"},
        {"id": "only", "email": "b@example.org", "q": "yes"},
    ]
    outcomes = {o["record_key"]: o for o in write(settings, made)}
    assert outcomes["low"]["outcome"] == "created"
    for key in ("high", "only"):
        assert (outcomes[key]["category"], outcomes[key]["code"]) == ("STATUS_NOT_FOUND", "1025")
        assert outcomes[key]["message"] == "Program status not found"
        assert outcomes[key]["lead_action"] == "created"
    assert marketo.statuses(1004) == {"a@example.org": "Registered"}
    assert len(marketo.of("members.status")) <= 3


def test_a_new_lead_that_is_not_visible_at_once(
    marketo: StrictMarketo, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1004 right behind the create is asked again, once; a lead that is really gone is found by its key."""
    monkeypatch.setattr(NewLeads, "FIRST_PAUSE_SECONDS", 0.05)
    asked = itertools.count()

    def not_yet(_call: Call) -> Answer | None:
        if next(asked):
            return None
        rows = [{"seq": n, "status": "skipped", "reasons": [{"code": "1004", "message": "x"}]} for n in range(3)]
        return marketo._ok(rows)

    marketo.always["members.status"] = not_yet
    outcomes = write(config(marketo, folder), people(3))
    assert {o["outcome"] for o in outcomes} == {"created"}
    assert len(marketo.leads) == 3


def test_a_lead_that_is_always_denied(marketo: StrictMarketo, folder: Path) -> None:
    marketo.denied_leads = {marketo.add_lead(email="p1@example.org")}
    outcomes = write(config(marketo, folder, field_mappings=[FIRST_NAME]), people(3))
    (rejected,) = [o for o in outcomes if o["outcome"] == "rejected"]
    assert (rejected["record_key"], rejected["category"], rejected["code"]) == ("1", "LEAD_NOT_FOUND", "1004")
    assert rejected["message"] == "Lead not found"


def test_membership_fields_follow_the_membership(marketo: StrictMarketo, folder: Path) -> None:
    """Also where the status is kept (1037); a field that is refused rejects the record and keeps the member."""
    lead = marketo.add_lead(email="p0@example.org")
    marketo.members[1004][lead] = {"statusName": "Engaged"}
    seat = {"record_field": "seat", "marketo_object": "program_member", "marketo_field": "seatNumber"}
    made = people(4, code="C")
    made[0]["seat"], made[1]["seat"], made[2]["seat"] = "12", 13, "front row"
    outcomes = {o["record_key"]: o for o in write(config(marketo, folder, field_mappings=[CODE, seat]), made)}
    assert [outcomes[str(n)]["outcome"] for n in range(4)] == ["unchanged", "created", "rejected", "created"]
    assert (outcomes["2"]["category"], outcomes["2"]["code"]) == ("FIELD_INVALID", "1001")
    seats = {marketo.leads[i]["email"]: m.get("seatNumber") for i, m in marketo.members[1004].items()}
    assert seats == {"p0@example.org": 12, "p1@example.org": 13, "p2@example.org": None, "p3@example.org": None}


# --- look-ups before the first record ----------------------------------------------------------------------------


@pytest.mark.parametrize("not_found", ["no result", "702", "610", "404"])
def test_a_program_that_is_not_there(marketo: StrictMarketo, connector: Connector, not_found: str) -> None:
    marketo.not_found = not_found
    links = [
        {"event": "1", "program_id": "1004", "program_status": "registered"},
        {"event": "2", "program_id": "9999", "program_status": "Registered"},
    ]
    run = connector.check(config(marketo, program_links=links))
    status = run.of("CONNECTION_STATUS")[0]["connectionStatus"]
    assert status["status"] == "FAILED"
    assert "program_links[0].program_status" in status["message"]
    assert '"Registered"' in status["message"]
    assert "program_links[1].program_id" in status["message"]
    assert not marketo.of("leads.sync")
    failed = connector.write(config(marketo, program_links=links), [record({"email": "a@example.org"}), state(1)])
    assert failed.code == 1
    assert failed.error["failure_type"] == "config_error"
    assert "program_links[1].program_id" in failed.error["message"]
    assert not marketo.of("leads.sync")
    assert failed.states == []


def test_a_dry_run_only_reads(marketo: StrictMarketo, folder: Path) -> None:
    marketo.add_lead(email="p1@example.org")
    settings = config(marketo, folder, field_mappings=[FIRST_NAME, CODE], delivery={"dry_run": True})
    run = InProcess(settings).run([*map(record, people(5, code="C")), state(1)])
    assert run.states == []
    assert {call.endpoint for call in marketo.calls} <= {
        "identity", "describe2", "members.describe", "usage", "program", "channels", "folder", "partitions",
        "leads.query", "members.query", "programs",
    }  # fmt: skip
    assert len(stored(folder)) == 5
    assert all(outcome["dry_run"] is True for outcome in stored(folder))


def test_quick_is_quick() -> None:
    """The tests above wait for a lost create as long as this says."""
    assert QUICK.create_settle_seconds < 1
