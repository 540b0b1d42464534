"""What becomes of every record, as its users read it: outcomes, rejected files, logs and the closing summary."""

from __future__ import annotations

import json
import re
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from harness import Connector, InProcess, Json, Run, catalog_of, config_for, record, state

from marketo_sandbox.faults import Fault, RowFault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from marketo_sandbox import SandboxServer

MEMBERS = [
    "stream", "record_key", "event", "program_id", "program_status", "outcome", "lead_id", "lead_action", "category",
    "code", "message", "hint", "detail", "retryable", "request_id", "at", "record_ref",
]  # fmt: skip
FIRST_NAME = {"record_field": "first", "marketo_object": "lead", "marketo_field": "firstName"}
ANSWERS = [
    {"qualifier": "answer", "value": status, "program_status": status}
    for status in ("Invited", "Waitlisted", "No Show", "Attended", "Engaged")
]


def stored(folder: Path, kind: str = "outcomes") -> list[Json]:
    return [json.loads(line) for path in sorted(folder.glob(f"**/{kind}-*.jsonl")) for line in path.open()]


def rejected_lines(folder: Path) -> list[bytes]:
    return [line for path in sorted(folder.glob("**/rejected-*.jsonl")) for line in path.read_bytes().splitlines()]


def storing(sandbox: SandboxServer, folder: Path, **changes: Any) -> Json:
    return config_for(sandbox, object_storage_config={"storage_type": "Local", "path": str(folder)}, **changes)


def deliver(
    sandbox: SandboxServer, folder: Path, made: Iterable[Json], catalog: Json | None = None, **changes: Any
) -> list[Json]:
    """One run; its outcomes in order of the records' keys, where those are numbers."""
    InProcess(storing(sandbox, folder, **changes), catalog).run(map(record, made))
    return stored(folder)


def by_key(outcomes: Iterable[Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for outcome in outcomes:
        assert outcome["record_key"] not in found, outcome
        found[outcome["record_key"]] = outcome
    return found


# --- shape -------------------------------------------------------------------------------------------------------


def test_the_members_of_an_outcome(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Each of them in every line, null where there is nothing to say, in the order of the contract."""
    known = sandbox.state.add_lead({"email": "known@example.org"})
    sandbox.state.add_member(1004, known, "Invited")
    past = sandbox.state.add_lead({"email": "past@example.org"})
    sandbox.state.add_member(1004, past, "Engaged")
    made: list[Json] = [
        {"id": 1, "email": "new@example.org", "event_id": 4711},
        {"id": "2", "email": "known@example.org", "event_id": "4711"},
        {"id": 3.0, "email": "past@example.org", "event_id": 4711.0},
        {"id": 4, "email": None, "event_id": "4711"},
        {"id": 5, "email": "else@example.org", "event_id": "4712"},
    ]
    links = [{"event": "4711", "program_id": "1004", "program_status": "Registered"}]
    outcomes = by_key(deliver(sandbox, tmp_path, made, program_links=links))
    for outcome in outcomes.values():
        assert list(outcome) == MEMBERS
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", outcome["at"])
        assert isinstance(outcome["record_key"], str)
        assert outcome["stream"] == "leads"
    new, updated, unchanged, missing, unlinked = (outcomes[str(number)] for number in range(1, 6))
    assert {**new, "lead_id": 0, "request_id": "", "at": ""} == {
        "stream": "leads", "record_key": "1", "event": "4711", "program_id": 1004, "program_status": "Registered",
        "outcome": "created", "lead_id": 0, "lead_action": "created", "category": None, "code": None, "message": None,
        "hint": None, "detail": None, "retryable": False, "request_id": "", "at": "", "record_ref": new["record_ref"],
    }  # fmt: skip
    assert new["lead_id"] in sandbox.state.members(1004)
    assert new["request_id"]
    assert (updated["outcome"], updated["lead_id"], updated["lead_action"]) == ("updated", known, "updated")
    assert (unchanged["outcome"], unchanged["category"], unchanged["retryable"]) == ("unchanged", None, False)
    assert unchanged["event"] == "4711"
    assert (missing["outcome"], missing["category"], missing["lead_id"], missing["lead_action"]) == (
        "rejected", "MISSING_KEY", None, None,
    )  # fmt: skip
    assert missing["program_id"] == 1004
    assert missing["hint"]
    assert (unlinked["outcome"], unlinked["category"], unlinked["program_id"], unlinked["program_status"]) == (
        "skipped", "NO_PROGRAM_LINK", None, None,
    )  # fmt: skip
    assert unlinked["event"] == "4712"


@pytest.mark.parametrize(
    ("catalog", "data", "key"),
    [
        (catalog_of("leads", primary_key=[["uid"]]), {"uid": "k-1", "id": 7}, "k-1"),
        (catalog_of("leads", primary_key=[["uid"]]), {"uid": None, "id": 7}, "7"),
        (catalog_of("leads", primary_key=[["uid"]]), {"id": 7}, "7"),
        (catalog_of("leads", primary_key=[["a", "b"]]), {"a": {"b": 12}, "id": 7}, "12"),
        (catalog_of("leads", primary_key=[["uid"], ["day"]]), {"uid": 5, "day": "2026-01-01"}, '["5","2026-01-01"]'),
        (catalog_of("leads"), {"id": "x-1"}, "x-1"),
        (catalog_of("leads"), {}, "3"),
        (catalog_of("leads"), {"id": ""}, "3"),
    ],
)
def test_record_keys(sandbox: SandboxServer, tmp_path: Path, catalog: Json, data: Json, key: str) -> None:
    """Primary key, else id, else position in the stream (here the third record of `leads`)."""
    lines = [
        record({"id": "first", "email": "a@example.org"}),
        record({"id": "other", "email": "o@example.org"}, "others"),
        record({"id": "second", "email": "b@example.org"}),
        record({"email": "c@example.org", **data}),
    ]
    InProcess(storing(sandbox, tmp_path), catalog).run(lines)
    assert key in {outcome["record_key"] for outcome in stored(tmp_path)}


# --- categories --------------------------------------------------------------------------------------------------


def test_a_record_with_several_programs_has_an_outcome_for_each(sandbox: SandboxServer, tmp_path: Path) -> None:
    links = [
        {"event": "expo", "program_id": "https://app-sj01.marketo.com/#ME1004A1", "program_status": "Registered"},
        {"event": "Spring Expo", "program_id": "PG1234A1", "program_status": "Invited", "lead_scan_threshold": 3},
        {"event": "", "program_id": "1001", "program_status": "On List", "unmapped_qualifier": "skip"},
        {"event": "expo", "program_id": "1006", "program_status": "Invited", "unmapped_qualifier": "reject"},
        {"event": "expo", "program_id": "1005", "program_status": "Registered", "stream": "others"},
        {"event": "Spring Expo", "program_id": "1004", "program_status": "Attended"},
    ]
    mappings = [
        {"program_id": "1001", "qualifier": "size", "value": "big", "program_status": "Member"},
        {"program_id": "ME1006A1", "qualifier": "size", "value": "big", "program_status": "Registered"},
    ]
    made: list[Json] = [
        {"id": 1, "email": "a@example.org", "event_id": "expo", "event": "Spring Expo", "n": "2", "size": "small"},
        {"id": 2, "email": "b@example.org", "event_id": "expo", "event": "Spring Expo", "n": "3", "size": "big"},
        {"id": 3, "email": "c@example.org", "event_id": " expo ", "n": 4},
        {"id": 4, "email": "d@example.org"},
        {"id": 5, "email": "broken", "event_id": "expo", "size": "big"},
    ]
    outcomes = deliver(
        sandbox,
        tmp_path,
        made,
        program_links=links,
        qualifier_mappings=mappings,
        record_mapping={"mapping_type": "custom", "event_name": "event", "scan_count": "n"},
    )
    found = {(o["record_key"], o["program_id"]): (o["program_status"], o["outcome"], o["category"]) for o in outcomes}
    assert len(found) == len(outcomes)
    assert found == {
        ("1", 1004): ("Registered", "created", None),
        ("1", 1234): ("Invited", "skipped", "BELOW_SCAN_THRESHOLD"),
        ("1", 1001): ("On List", "skipped", "UNMAPPED_QUALIFIER"),
        ("1", 1006): ("Invited", "rejected", "UNMAPPED_QUALIFIER"),
        ("2", 1004): ("Registered", "created", None),
        ("2", 1234): ("Invited", "created", None),
        ("2", 1001): ("Member", "created", None),
        ("2", 1006): ("Registered", "created", None),
        ("3", 1004): ("Registered", "created", None),
        ("3", 1001): ("On List", "skipped", "UNMAPPED_QUALIFIER"),
        ("3", 1006): ("Invited", "rejected", "UNMAPPED_QUALIFIER"),
        ("4", 1001): ("On List", "skipped", "UNMAPPED_QUALIFIER"),
        ("5", 1004): ("Registered", "rejected", "INVALID_EMAIL"),
        ("5", 1001): ("Member", "rejected", "INVALID_EMAIL"),
        ("5", 1006): ("Registered", "rejected", "INVALID_EMAIL"),
    }
    # A record is in the file of rejected ones once, however many programs rejected it.
    assert sorted(line["record"]["data"]["id"] for line in stored(tmp_path, "rejected")) == [1, 3, 5]


@pytest.mark.parametrize(
    ("value", "applies"),
    [
        ("Yes", True),
        ("yes", False),
        (" Yes", False),
        (["No", "Yes"], True),
        ([], False),
        (None, False),
        ('["Maybe", "Yes"]', True),
        ({"value": "Yes"}, True),
        ([{"value": "No"}, {"value": "Yes"}], True),
        (True, False),
    ],
)
def test_qualifier_values_compare_as_text(sandbox: SandboxServer, tmp_path: Path, value: Any, applies: bool) -> None:
    made = [{"id": 1, "email": "a@example.org", "answer": value}]
    mapping = {"qualifier": "answer", "value": "Yes", "program_status": "Engaged"}
    deliver(sandbox, tmp_path, made, qualifier_mappings=[mapping])
    assert sandbox.state.members_by_email(1004) == {"a@example.org": "Engaged" if applies else "Registered"}


@pytest.mark.parametrize(
    ("value", "text"), [(True, "true"), (False, "false"), (3, "3"), (3.0, "3"), (2.5, "2.5"), ("007", "007")]
)
def test_booleans_and_numbers_as_qualifiers(sandbox: SandboxServer, tmp_path: Path, value: Any, text: str) -> None:
    made = [{"id": 1, "email": "a@example.org", "deep": {"answers": [{"v": value}]}}]
    mapping = {"qualifier": "deep.answers[].v", "value": text, "program_status": "Engaged"}
    deliver(sandbox, tmp_path, made, qualifier_mappings=[mapping])
    assert sandbox.state.members_by_email(1004) == {"a@example.org": "Engaged"}


def test_the_first_mapping_in_the_list_decides(sandbox: SandboxServer, tmp_path: Path) -> None:
    """By its place in the list: not by the order of the record's values, nor because it names the program."""
    mappings = [
        {"program_id": "", "qualifier": "b", "value": "2", "program_status": "Attended"},
        {"program_id": "1004", "qualifier": "a", "value": "1", "program_status": "Engaged"},
        {"program_id": "1004", "qualifier": "b", "value": "3", "program_status": "No Show"},
    ]
    made: list[Json] = [
        {"id": 1, "email": "a@example.org", "a": "1", "b": [3, 2]},
        {"id": 2, "email": "b@example.org", "a": "1", "b": 3},
        {"id": 3, "email": "c@example.org", "b": ["3"]},
    ]
    deliver(sandbox, tmp_path, made, qualifier_mappings=mappings)
    assert sandbox.state.members_by_email(1004) == {
        "a@example.org": "Attended",
        "b@example.org": "Engaged",
        "c@example.org": "No Show",
    }


@pytest.mark.parametrize(
    ("code", "category"),
    [
        ("1001", "FIELD_INVALID"), ("1002", "RECORD_REFUSED"), ("1003", "RECORD_REFUSED"), ("1006", "FIELD_INVALID"),
        ("1007", "DUPLICATE_LEADS"), ("1008", "PARTITION_DENIED"), ("1009", "PARTITION_DENIED"),
        ("1010", "PARTITION_DENIED"), ("1011", "RECORD_REFUSED"), ("1036", "RECORD_REFUSED"),
        ("1099", "RECORD_REFUSED"), ("501", "RECORD_REFUSED"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("without_status", [False, True])
def test_a_refused_row_carries_marketos_words(
    sandbox: SandboxServer, tmp_path: Path, code: str, category: str, without_status: bool
) -> None:
    row = RowFault(code=code, message="Näme <b>of</b> Ada", email_contains="b@", without_status=without_status)
    sandbox.faults.add(Fault(endpoint="leads.sync", times=None, row=row))
    made = [{"id": n, "email": f"{letter}@example.org"} for n, letter in enumerate("abc")]
    outcomes = by_key(deliver(sandbox, tmp_path, made))
    refused = outcomes["1"]
    assert (refused["outcome"], refused["category"], refused["code"]) == ("rejected", category, code)
    assert refused["message"] == "Näme <b>of</b> Ada"
    assert refused["hint"]
    assert refused["request_id"]
    assert {outcomes["0"]["outcome"], outcomes["2"]["outcome"]} == {"created"}
    (line,) = stored(tmp_path, "rejected")
    assert line["rejection"]["code"] == code
    assert line["record"]["data"] == made[1]


def test_company_fields_that_an_instance_refuses_do_not_cost_the_membership(
    sandbox: SandboxServer, tmp_path: Path
) -> None:
    """1021: the company is left as it is, the rest is written, and the outcome says so."""
    sandbox.configure(refuse_company_updates=True)
    lead = sandbox.state.add_lead({"email": "a@example.org", "company": "Old"})
    mappings = [FIRST_NAME, {"record_field": "co", "marketo_object": "lead", "marketo_field": "company"}]
    made = [{"id": 1, "email": "a@example.org", "first": "Ada", "co": "New"}]
    (outcome,) = deliver(sandbox, tmp_path, made, field_mappings=mappings)
    assert (outcome["outcome"], outcome["lead_id"], outcome["code"]) == ("created", lead, "1021")
    assert sandbox.state.members_by_email(1004) == {"a@example.org": "Registered"}


@pytest.mark.parametrize(
    ("data", "category"),
    [
        ({"email": None}, "MISSING_KEY"),
        ({"email": "  "}, "MISSING_KEY"),
        ({}, "MISSING_KEY"),
        ({"email": "no address"}, "INVALID_EMAIL"),
        ({"email": "ädä@example.org"}, "INVALID_EMAIL"),
        ({"email": "a@example"}, "INVALID_EMAIL"),
        ({"email": "a b@example.org"}, "INVALID_EMAIL"),
        ({"email": ["a@example.org"]}, "INVALID_EMAIL"),
        ({"email": "a@example.org", "first": {"a": 1}}, "FIELD_INVALID"),
        (None, "INVALID_RECORD"),
        ([], "INVALID_RECORD"),
        ("text", "INVALID_RECORD"),
    ],
)
def test_records_that_cannot_be_used_are_rejections(
    sandbox: SandboxServer, tmp_path: Path, data: Any, category: str
) -> None:
    run = InProcess(storing(sandbox, tmp_path, field_mappings=[FIRST_NAME])).run(
        [record(data), record({"email": "fine@example.org"}), state(1)]
    )
    assert run.stats == (1, 1)
    (rejected,) = [o for o in stored(tmp_path) if o["outcome"] == "rejected"]
    assert (rejected["category"], rejected["record_key"]) == (category, "1")
    assert list(sandbox.state.members_by_email(1004)) == ["fine@example.org"]


# --- statuses ----------------------------------------------------------------------------------------------------


def wants(*answers: str, email: str = "a@example.org") -> list[Json]:
    return [{"id": number, "email": email, "answer": answer} for number, answer in enumerate(answers)]


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        (["Invited", "Engaged"], ["skipped SUPERSEDED", "created"]),
        (["Engaged", "Invited"], ["created", "skipped SUPERSEDED"]),
        (["Attended", "Attended", "Attended"], ["created", "unchanged", "unchanged"]),
        (
            ["Invited", "Attended", "Invited", "Attended"],
            ["skipped SUPERSEDED", "created", "skipped SUPERSEDED", "unchanged"],
        ),
        (["none", "Waitlisted"], ["skipped SUPERSEDED", "created"]),
        (["Waitlisted", "none"], ["created", "skipped SUPERSEDED"]),
    ],
)
def test_several_statuses_for_one_person(
    sandbox: SandboxServer, tmp_path: Path, answers: Sequence[str], expected: Sequence[str]
) -> None:
    """The highest step is sent, and its membership is created once; of equal steps (20: Registered, Waitlisted) the
    one that is later in the channel's list, whatever the order of the records."""
    outcomes = by_key(deliver(sandbox, tmp_path, wants(*answers), qualifier_mappings=ANSWERS))
    found = [
        " ".join(filter(None, (outcomes[str(n)]["outcome"], outcomes[str(n)]["category"]))) for n in range(len(answers))
    ]
    assert found == list(expected)
    assert len({o["request_id"] for o in outcomes.values() if o["outcome"] != "skipped"}) == 1
    assert len({o["lead_id"] for o in outcomes.values()}) == 1
    highest = max(answers, key=["Invited", "none", "Waitlisted", "No Show", "Attended", "Engaged"].index)
    final = "Registered" if highest == "none" else highest
    assert sandbox.state.members_by_email(1004) == {"a@example.org": final}
    assert sandbox.calls.count("members.status") == 1


@pytest.mark.parametrize(
    ("current", "answer", "outcome", "after"),
    [
        ("Invited", "Attended", "updated", "Attended"),
        ("Attended", "Attended", "unchanged", "Attended"),
        ("Engaged", "Attended", "unchanged", "Engaged"),
        ("Waitlisted", "none", "updated", "Registered"),
    ],
)
def test_nobody_moves_backwards(
    sandbox: SandboxServer, tmp_path: Path, current: str, answer: str, outcome: str, after: str
) -> None:
    lead = sandbox.state.add_lead({"email": "a@example.org"})
    sandbox.state.add_member(1004, lead, current)
    (found,) = deliver(sandbox, tmp_path, wants(answer), qualifier_mappings=ANSWERS)
    assert (found["outcome"], found["category"]) == (outcome, None)
    assert sandbox.state.members_by_email(1004) == {"a@example.org": after}


# --- mobly -------------------------------------------------------------------------------------------------------

MOBLY: Json = {
    "id": "0b9c2a34-1111-4222-8333-444455556666",
    "firstName": "Ada",
    "lastName": "Byron",
    "email": "ada@example.org",
    "jobTitle": "Engineer",
    "address": "1 High Street",
    "phoneNumbers": {
        "leadProvided": [{"number": "+1 555 0100", "type": "MOBILE", "preferred": False}],
        "moblyProvided": [{"number": "+1 555 0199", "type": "OFFICE", "preferred": True}],
    },
    "company": {"name": "Engines", "city": "London", "state": "LDN", "zip": "W1", "country": "GB"},
    "numberOfScans": 2,
    "tags": [{"tagOptionId": 1, "value": "Hot"}, {"tagOptionId": 2, "value": "Demo"}],
    "remoteIds": [{"id": "x", "integrationType": "HUB_SPOT"}],
}


def as_json_text(lead: Json) -> Json:
    """As PyAirbyte's cache hands it on."""
    return {key: json.dumps(value) if isinstance(value, list | dict) else value for key, value in lead.items()}


@pytest.mark.parametrize(
    "data",
    [
        {**MOBLY, "event_id": 4711, "event_name": "Expo"},
        {"event_id": "4711", "registered": True, "checkedIn": False, "lead": MOBLY},
        {**as_json_text(MOBLY), "event_id": "4711"},
        {"event_id": 4711, "registered": True, "checkedIn": True, "lead": json.dumps(MOBLY)},
    ],
    ids=["flat", "nested", "text", "nested text"],
)
def test_mobly_leads(sandbox: SandboxServer, tmp_path: Path, data: Json) -> None:
    """Nothing is configured but the link: fields, scans, qualifiers and key are known."""
    links = [{"event": "4711", "program_id": "1004", "program_status": "Registered", "lead_scan_threshold": 2}]
    mappings = [{"value": "Demo", "program_status": "Engaged"}]
    (outcome,) = deliver(
        sandbox, tmp_path, [data], program_links=links, qualifier_mappings=mappings, record_mapping=None
    )
    assert outcome["record_key"] == MOBLY["id"]
    assert (outcome["event"], outcome["outcome"]) == ("4711", "created")
    assert sandbox.state.members_by_email(1004) == {"ada@example.org": "Engaged"}
    lead = sandbox.state.lead(outcome["lead_id"])
    assert lead is not None
    assert {name: lead.get(name) for name in ("firstName", "lastName", "title", "company", "mobilePhone", "phone",
                                             "address", "billingCity", "billingState", "billingPostalCode",
                                             "billingCountry", "city", "state", "postalCode", "country")} == {
        "firstName": "Ada", "lastName": "Byron", "title": "Engineer", "company": "Engines",
        "mobilePhone": "+1 555 0100", "phone": "+1 555 0199", "address": "1 High Street",
        "billingCity": "London", "billingState": "LDN", "billingPostalCode": "W1", "billingCountry": "GB",
        "city": None, "state": None, "postalCode": None, "country": None,
    }  # fmt: skip


def test_mobly_event_name_scans_and_marketo_id(sandbox: SandboxServer, tmp_path: Path) -> None:
    lead = sandbox.state.add_lead({"email": "someone@example.org", "firstName": "Old"})
    links = [
        {"event": "Expo", "program_id": "1004", "program_status": "Registered"},
        {"event": "4711", "program_id": "1001", "program_status": "On List", "lead_scan_threshold": 3},
    ]
    remote = [{"id": str(lead), "integrationType": "MARKETO"}]
    made = [
        {**MOBLY, "id": "a", "event_id": 4711, "event_name": "Expo", "remoteIds": remote},
        {**MOBLY, "id": "b", "event_id": 4712, "event_name": "Other", "email": "b@example.org"},
        {**MOBLY, "id": "c", "event_id": 4711, "numberOfScans": None, "email": "c@example.org"},
    ]
    field = {"record_field": "company.name", "marketo_object": "lead", "marketo_field": "firstName"}
    outcomes = deliver(
        sandbox,
        tmp_path,
        made,
        program_links=links,
        record_mapping={"mapping_type": "mobly"},
        field_mappings=[field],
    )
    found = {(o["record_key"], o["program_id"]): (o["outcome"], o["category"]) for o in outcomes}
    assert found == {
        ("a", 1004): ("created", None),
        ("a", 1001): ("skipped", "BELOW_SCAN_THRESHOLD"),
        ("b", None): ("skipped", "NO_PROGRAM_LINK"),
        ("c", 1001): ("skipped", "BELOW_SCAN_THRESHOLD"),
    }
    assert list(sandbox.state.members(1004)) == [lead]
    assert (sandbox.state.lead(lead) or {})["firstName"] == "Engines"


def test_custom_columns_and_jmespath(sandbox: SandboxServer, tmp_path: Path) -> None:
    """A column of exactly the name wins over the expression."""
    lead = sandbox.state.add_lead({"email": "someone@example.org"})
    mapping = {
        "mapping_type": "custom", "email": "contact.email", "marketo_lead_id": "ids.marketo", "event": "visit.event",
        "event_name": "visit.name", "scan_count": "length(visit.scans)",
    }  # fmt: skip
    links = [
        {"event": "E1", "program_id": "1004", "program_status": "Registered", "lead_scan_threshold": 2},
        {"event": "The Expo", "program_id": "1006", "program_status": "Registered"},
    ]
    made: list[Json] = [
        {"id": 1, "contact": {"email": "one@example.org"}, "visit": {"event": "E1", "scans": [1, 2]}},
        {"id": 2, "contact": {"email": "two@example.org"}, "visit": {"event": "E1", "scans": [1]}},
        {"id": 3, "contact.email": "three@example.org", "contact": {"email": "x"}, "visit": {"name": "The Expo"}},
        {"id": 4, "ids": {"marketo": lead}, "visit": {"name": "The Expo"}},
        {"id": 5, "contact": {"email": "five@example.org"}, "visit": {"event": "E1", "scans": 7}},
    ]
    outcomes = deliver(sandbox, tmp_path, made, program_links=links, record_mapping=mapping)
    found = {o["record_key"]: (o["program_id"], o["outcome"], o["category"]) for o in outcomes}
    assert found == {
        "1": (1004, "created", None),
        "2": (1004, "skipped", "BELOW_SCAN_THRESHOLD"),
        "3": (1006, "created", None),
        "4": (1006, "created", None),
        "5": (1004, "rejected", "INVALID_RECORD"),
    }
    assert set(sandbox.state.members_by_email(1006)) == {"three@example.org", "someone@example.org"}


# --- rejected files ----------------------------------------------------------------------------------------------


def test_a_rejected_file_is_the_original_messages(sandbox: SandboxServer, tmp_path: Path) -> None:
    """Every member of the line is kept as it came, unknown ones and their numbers too."""
    line = (
        b'{"type": "RECORD", "emitted": 1.50, "record": {"stream": "leads", "namespace": "crm", "data": '
        b'{"id": 1, "email": "bad", "n": 12345678901234567890, "t": 1e2}, "emitted_at": 1, "meta": {"x": []}}}'
    )
    InProcess(storing(sandbox, tmp_path)).run([line])
    (stored_line,) = rejected_lines(tmp_path)
    assert b"12345678901234567890" in stored_line
    assert b'"t": 1e2' in stored_line
    message = json.loads(stored_line)
    rejection = message.pop("rejection")
    assert message == json.loads(line)
    assert rejection["category"] == "INVALID_EMAIL"


def test_replay_gives_what_the_first_run_would_have_given(
    sandbox: SandboxServer, connector: Connector, tmp_path: Path
) -> None:
    """The causes mended, the rejected file goes in as it is; a second time it changes nothing."""
    twice = [sandbox.state.add_lead({"email": "twice@example.org"}) for _ in range(2)]
    row = RowFault(code="1001", message="no", email_contains="p3@")
    sandbox.faults.add(Fault(endpoint="leads.sync", times=None, row=row))
    links = [
        {"program_id": "1004", "program_status": "Registered"},
        {"program_id": "1234", "program_status": "Invited", "unmapped_qualifier": "reject"},
    ]
    mapping = {"program_id": "1234", "qualifier": "answer", "value": "yes", "program_status": "Attended"}
    first = storing(
        sandbox,
        tmp_path / "first",
        program_links=links,
        qualifier_mappings=[mapping],
        lead_sync={"duplicate_leads": "reject"},
    )
    made: list[Json] = [
        {"id": n, "email": f"p{n}@example.org", "answer": "yes" if n % 2 else "perhaps"} for n in range(10)
    ]
    made.append({"id": 10, "email": "twice@example.org", "answer": "yes"})
    run = connector.write(first, [*map(record, made), state(1)], catalog_of("leads", primary_key=[["id"]]))
    assert run.code == 0, run.text
    assert run.stats == (4, 7)
    lines = rejected_lines(tmp_path / "first")
    assert len(lines) == 7
    # Mended: the duplicates merged, the value corrected, the mapping added.
    sandbox.state.remove_lead(twice[1])
    sandbox.faults.clear()
    mended = {"program_id": "1234", "qualifier": "answer", "value": "perhaps", "program_status": "Engaged"}
    expected_1004 = {data["email"]: "Registered" for data in made}
    expected_1234 = {data["email"]: "Attended" if data["answer"] == "yes" else "Engaged" for data in made}
    for number in (1, 2):
        folder = tmp_path / f"replay-{number}"
        again = storing(sandbox, folder, program_links=links, qualifier_mappings=[mapping, mended])
        replay = connector.write(again, lines, catalog_of("leads", primary_key=[["id"]]))
        assert replay.code == 0, replay.text
        assert sandbox.state.members_by_email(1004) == expected_1004
        assert sandbox.state.members_by_email(1234) == expected_1234
        outcomes = Counter(o["outcome"] for o in stored(folder))
        assert set(outcomes) <= ({"created", "unchanged"} if number == 1 else {"unchanged"})
        assert sum(outcomes.values()) == 14
        assert rejected_lines(folder) == []
    assert sandbox.state.lead_count() == 11


def test_a_replay_that_is_rejected_again_has_one_rejection(sandbox: SandboxServer, tmp_path: Path) -> None:
    InProcess(storing(sandbox, tmp_path / "1")).run([record({"id": 1, "email": "bad"})])
    (line,) = rejected_lines(tmp_path / "1")
    InProcess(storing(sandbox, tmp_path / "2")).run([line])
    (again,) = rejected_lines(tmp_path / "2")
    assert again.count(b'"rejection"') == 1
    assert json.loads(again)["record"] == json.loads(line)["record"]


def test_killed_while_it_stores(sandbox: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    """However far the files had got: resumed, their union has every record, and the file of rejected ones is whole."""
    made = [{"id": n, "email": f"p{n}@example.org" if n % 10 else "bad"} for n in range(1_200)]
    lines = [line for n, data in enumerate(made, 1) for line in (record(data), *([state(n)] if n % 50 == 0 else []))]
    settings = storing(sandbox, tmp_path / "out")
    with connector.start("write", settings, catalog_of("leads")) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"\n".join(lines[:-1]) + b"\n")
        process.stdin.flush()
        first = next(json.loads(line) for line in process.stdout if b'"STATE"' in line)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate(timeout=30)
    echoed = [first, *(json.loads(line) for line in out.splitlines() if line.endswith(b"}"))]
    resume = max(message["state"]["id"] for message in echoed if message["type"] == "STATE")
    kept = {o["record_key"] for o in whole_lines(tmp_path / "out", "outcomes")}
    assert {str(data["id"]) for data in made[:resume]} <= kept
    kept_rejected = {line["record"]["data"]["id"] for line in whole_lines(tmp_path / "out", "rejected")}
    assert {data["id"] for data in made[:resume] if data["email"] == "bad"} <= kept_rejected
    rest = [
        line
        for n, data in enumerate(made, 1)
        if n > resume
        for line in (record(data), *([state(n)] if n % 50 == 0 else []))
    ]
    assert connector.write(settings, rest).code == 0
    assert {o["record_key"] for o in whole_lines(tmp_path / "out", "outcomes")} == {str(n) for n in range(1_200)}
    assert len(sandbox.state.members(1004)) == 1_080
    assert sandbox.state.lead_count() == 1_080


def whole_lines(folder: Path, kind: str) -> list[Json]:
    """Lines of all files but the one that was cut off when its writer died."""
    return [
        json.loads(line)
        for path in sorted(folder.glob(f"**/{kind}-*.jsonl*"))
        for line in path.read_bytes().splitlines(keepends=True)
        if line.endswith(b"\n")
    ]


# --- what people read --------------------------------------------------------------------------------------------


def test_each_rejection_is_a_warning_up_to_a_hundred_of_a_category(
    sandbox: SandboxServer, connector: Connector
) -> None:
    made: list[Json] = [{"id": n, "email": "bad"} for n in range(130)]
    made += [{"id": n, "email": None} for n in range(130, 135)]
    made += [{"id": 200, "email": "good@example.org"}]
    run = connector.write(config_for(sandbox), [*map(record, made), state(1)])
    assert run.code == 0
    assert run.stats == (1, 135)
    warnings = [m["log"]["message"] for m in run.of("LOG") if m["log"]["level"] == "WARN"]
    assert len([text for text in warnings if "INVALID_EMAIL" in text and "record " in text]) == 100
    assert len([text for text in warnings if "MISSING_KEY" in text]) == 5
    assert any("only counted" in text for text in warnings)
    assert not [text for text in warnings if "@" in text]


def test_the_summary(sandbox: SandboxServer, connector: Connector) -> None:
    """Counts by outcome and category, what found no mapping and no link, calls and pace."""
    known = sandbox.state.add_lead({"email": "known@example.org"})
    sandbox.state.add_member(1004, known, "Engaged")
    mapping = {"qualifier": "answer", "value": "yes", "program_status": "Attended"}
    links = [{"event": "1", "program_id": "1004", "program_status": "Registered", "unmapped_qualifier": "skip"}]
    made: list[Json] = [{"id": n, "email": f"p{n}@example.org", "event_id": 1, "answer": "yes"} for n in range(7)]
    made += [
        {"id": 8, "email": "known@example.org", "event_id": 1, "answer": "yes"},
        {"id": 9, "email": "bad", "event_id": 1, "answer": "yes"},
        {"id": 10, "email": "x@example.org", "event_id": 1, "answer": "maybe"},
        {"id": 11, "email": "x@example.org", "event_id": 99},
        {"id": 12, "email": "x@example.org", "event_id": 99},
    ]
    settings = config_for(sandbox, program_links=links, qualifier_mappings=[mapping])
    run = connector.write(settings, [*map(record, made), state(1)])
    assert run.code == 0, run.text
    (summary,) = [m["log"]["message"] for m in run.of("LOG") if "Outcomes by program:" in m["log"]["message"]]
    (level,) = [m["log"]["level"] for m in run.of("LOG") if "Outcomes by program:" in m["log"]["message"]]
    assert level == "INFO"
    for part in (
        "Leads: 7 delivered, 1 unchanged, 3 skipped, 1 rejected.",
        "7 created, 0 updated, 1 unchanged, 0 imported, 3 skipped, 1 rejected.",
        '"Spring Expo 2026" (1004), "Attended": 7 created, 1 unchanged, 1 rejected',
        "INVALID_EMAIL",
        "NO_PROGRAM_LINK",
        "UNMAPPED_QUALIFIER",
        "1 value not shown",
        '"99" 2',
        "1004",
        "Calls:",
        "per second",
    ):
        assert part in summary, part
    assert "example.org" not in run.text


def test_storage_none_says_it_in_the_log(sandbox: SandboxServer, connector: Connector, tmp_path: Path) -> None:
    settings = config_for(sandbox, object_storage_config={"storage_type": "None"})
    run: Run = connector.write(settings, [record({"email": "bad"}), state(1)])
    assert (run.code, run.stats) == (0, (0, 1))
    assert "INVALID_EMAIL" in run.logs
    assert not list(tmp_path.glob("**/*.jsonl"))


def test_a_value_that_marketo_refuses_is_named_with_its_field(sandbox: SandboxServer, tmp_path: Path) -> None:
    mappings = [
        {"record_field": "revenue", "marketo_object": "lead", "marketo_field": "annualRevenue"},
        {"record_field": "seat", "marketo_object": "program_member", "marketo_field": "seatNumber"},
    ]
    made = [
        {"id": 1, "email": "a@example.org", "revenue": "12 apples"},
        {"id": 2, "email": "b@example.org", "revenue": "12", "seat": "front row"},
    ]
    outcomes = by_key(deliver(sandbox, tmp_path, made, field_mappings=mappings))
    assert {(each["category"], each["code"]) for each in outcomes.values()} == {("FIELD_INVALID", "1001")}
    assert outcomes["1"]["detail"] == {"field": "annualRevenue", "value": "12 apples"}
    assert outcomes["2"]["detail"] == {"field": "seatNumber", "value": "front row"}
    assert [line["rejection"]["detail"]["value"] for line in stored(tmp_path, "rejected")] == ["12 apples", "front row"]


def test_columns_that_no_record_had_are_warned_of(sandbox: SandboxServer, connector: Connector) -> None:
    settings = config_for(
        sandbox,
        program_links=[{"event": "1", "program_id": "1004", "program_status": "Registered"}],
        qualifier_mappings=[{"qualifier": "answer", "value": "yes", "program_status": "Attended"}],
        record_mapping={"mapping_type": "custom", "email": "mail", "event": "event"},
    )
    run = connector.write(settings, [record({"email": "a@example.org", "event_id": 1}), state(1)])
    assert (run.code, run.stats) == (0, (1, 0))
    warned = [m["log"]["message"] for m in run.of("LOG") if m["log"]["level"] == "WARN"]
    for column in ('"mail" (record_mapping.email)', '"event" (record_mapping.event)', '"answer" (qualifier'):
        assert sum(column in message for message in warned) == 1, column
