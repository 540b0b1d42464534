"""Reading the configuration: what is accepted, what it becomes, and what can never happen."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from destination_marketo_programs.config import (
    CustomMapping,
    LocalStorage,
    MoblyMapping,
    NoStorage,
    S3Storage,
    Settings,
    load_settings,
)
from destination_marketo_programs.config.addresses import (
    NO_PROGRAM_KINDS,
    PROGRAM_KINDS,
    UnusableTextError,
    parse_domain_url,
    parse_program_id,
)
from destination_marketo_programs.config.columns import is_read_as_name
from destination_marketo_programs.text import REPLACEMENT

LINK: dict[str, Any] = {"event": "4711", "program_id": "PG1234A1", "program_status": "Registered"}
VALID: dict[str, Any] = {
    "domain_url": "https://123-ABC-456.mktorest.com",
    "client_id": "0f3c-client",
    "client_secret": "hJ8k-secret",
    "program_links": [LINK],
}


def loaded(**changes: Any) -> Settings:
    outcome = load_settings(VALID | changes, cloud=False)
    assert outcome.problems == []
    assert outcome.settings is not None
    return outcome.settings


def paths(**changes: Any) -> list[str]:
    return [problem.path for problem in load_settings(VALID | changes, cloud=False).problems]


# --- defaults and readings ----------------------------------------------------------------------------------


def test_the_required_keys_are_enough_and_the_rest_has_the_documented_defaults() -> None:
    assert loaded().model_dump() == {
        "domain_url": "https://123-ABC-456.mktorest.com",
        "client_id": "0f3c-client",
        "client_secret": "hJ8k-secret",
        "program_links": (
            {
                "event": "4711",
                "program_id": 1234,
                "program_status": "Registered",
                "stream": "",
                "lead_scan_threshold": 0,
                "unmapped_qualifier": "use_program_status",
                "allow_archived": False,
            },
        ),
        "qualifier_mappings": (),
        "record_mapping": {"mapping_type": "mobly"},
        "field_mappings": (),
        "lead_sync": {
            "mode": "create_or_update",
            "lookup_field": "email",
            "partition_name": "",
            "blank_values": "keep",
            "duplicate_leads": "most_recently_updated",
            "send": "everything",
            "send_again_after_days": 30,
            "acquisition_program": "leave",
            "excluded_email_domains": (),
        },
        "object_storage_config": {"storage_type": "None"},
        "delivery": {
            "method": "auto",
            "calls_per_20_seconds": 50,
            "concurrent_calls": 5,
            "daily_call_budget": None,
            "max_batch_age_seconds": 60,
            "on_rejected": "continue",
            "dry_run": False,
            "wait_for_other_sync_minutes": 60,
        },
    }


@pytest.mark.parametrize("key", ["client_id", "client_secret", "domain_url", "program_links"])
def test_each_required_key_is_missed(key: str) -> None:
    assert paths(**{key: None}) == [key]


@pytest.mark.parametrize("blank", [None, "", "  "], ids=repr)
def test_an_optional_key_left_blank_has_its_default(blank: str | None) -> None:
    settings = loaded(
        program_links=[LINK | dict.fromkeys(["event", "stream", "lead_scan_threshold", "unmapped_qualifier"], blank)],
        qualifier_mappings=[{"program_id": blank, "qualifier": blank, "value": "Yes", "program_status": "Engaged"}],
        record_mapping=blank,
        field_mappings=blank,
        lead_sync={"lookup_field": blank, "partition_name": blank, "mode": blank},
        object_storage_config=blank,
        delivery={"daily_call_budget": blank, "dry_run": blank, "method": blank},
    )

    assert settings.program_links[0].event == ""
    assert settings.program_links[0].lead_scan_threshold == 0
    assert settings.qualifier_mappings[0].program_id is None
    assert settings.record_mapping == MoblyMapping()
    assert settings.lead_sync.lookup_field == "email"
    assert settings.object_storage_config == NoStorage()
    assert settings.delivery.daily_call_budget is None


def test_a_blank_custom_column_has_its_default() -> None:
    mapping = loaded(record_mapping={"mapping_type": "custom", "email": "", "event": None}).record_mapping

    assert mapping == CustomMapping(email="email", event="event_id")


def test_texts_lose_what_surrounds_them_and_an_answer_is_taken_exactly() -> None:
    """0.1.0 refused the status "Attended " and looked for the answer "Yes " alone: an answer may hold a blank."""
    settings = loaded(
        program_links=[
            LINK | {"event": " Spring Summit ", "stream": " leads\n", "program_status": "\ufeff Registered \u200b\n"}
        ],
        qualifier_mappings=[{"value": " Yes ", "program_status": "Engaged "}],
    )

    assert settings.program_links[0].event == "Spring Summit"
    assert settings.program_links[0].stream == "leads"
    assert settings.program_links[0].program_status == "Registered"
    assert settings.qualifier_mappings[0].value == " Yes "
    assert settings.qualifier_mappings[0].program_status == "Engaged"


def test_numbers_may_be_text_and_texts_may_be_numbers() -> None:
    settings = loaded(
        program_links=[LINK | {"event": 4711, "program_id": 1234, "lead_scan_threshold": "3"}],
        qualifier_mappings=[{"value": 1, "program_status": "Engaged"}],
        delivery={"daily_call_budget": "40000"},
    )

    assert settings.program_links[0].event == "4711"
    assert settings.program_links[0].lead_scan_threshold == 3
    assert settings.qualifier_mappings[0].value == "1"
    assert settings.delivery.daily_call_budget == 40_000


@pytest.mark.parametrize(
    ("block", "key", "lowest", "highest"),
    [
        ("delivery", "calls_per_20_seconds", 1, 100),
        ("delivery", "concurrent_calls", 1, 10),
        ("delivery", "daily_call_budget", 1, None),
        ("delivery", "max_batch_age_seconds", 1, 900),
    ],
)
def test_numbers_stay_in_range(block: str, key: str, lowest: int, highest: int | None) -> None:
    assert getattr(getattr(loaded(**{block: {key: lowest}}), block), key) == lowest
    assert paths(**{block: {key: lowest - 1}}) == [f"{block}.{key}"]
    if highest is not None:
        assert getattr(getattr(loaded(**{block: {key: highest}}), block), key) == highest
        assert paths(**{block: {key: highest + 1}}) == [f"{block}.{key}"]


def test_each_kind_of_storage_is_read() -> None:
    s3 = {"storage_type": "S3", "s3_bucket_name": "b", "s3_bucket_region": "eu-central-1", "bucket_path": "p"}

    assert loaded(object_storage_config={"storage_type": "Local"}).object_storage_config == LocalStorage(
        path="/local/marketo"
    )
    assert loaded(object_storage_config=s3).object_storage_config == S3Storage(
        s3_bucket_name="b", s3_bucket_region="eu-central-1", bucket_path="p"
    )


def test_an_endpoint_stands_in_for_a_region() -> None:
    storage = {"storage_type": "S3", "s3_bucket_name": "b", "s3_endpoint": "http://127.0.0.1:9000"}

    assert loaded(object_storage_config=storage).object_storage_config == S3Storage(
        s3_bucket_name="b", s3_endpoint="http://127.0.0.1:9000"
    )


def test_settings_are_frozen() -> None:
    settings = loaded()

    with pytest.raises(ValidationError):
        settings.delivery.dry_run = True


# --- contradictions -----------------------------------------------------------------------------------------


def test_contradictions_leave_the_settings_so_that_other_checks_go_on() -> None:
    outcome = load_settings(VALID | {"program_links": [LINK, LINK]}, cloud=False)

    assert outcome.settings is not None
    assert [problem.path for problem in outcome.problems] == ["program_links[1]"]


@pytest.mark.parametrize("change", [{"event": "4712"}, {"stream": "other"}, {"program_id": "99"}], ids=str)
def test_links_that_differ_in_event_stream_or_program_are_no_duplicates(change: dict[str, str]) -> None:
    assert paths(program_links=[LINK, LINK | change]) == []


def test_one_program_written_in_two_ways_is_a_duplicate() -> None:
    assert paths(program_links=[LINK, LINK | {"program_id": 1234, "event": " 4711"}]) == ["program_links[1]"]


def test_one_marketo_field_of_two_objects_may_be_mapped() -> None:
    mapping = {"record_field": "a", "marketo_field": "note"}

    assert paths(field_mappings=[mapping, mapping | {"marketo_object": "program_member"}]) == []


def test_a_lookup_field_is_filled_by_a_mapping_of_the_person_only() -> None:
    mapping = {"record_field": "a", "marketo_field": "employeeId"}
    sync = {"lookup_field": "employeeId"}

    assert paths(lead_sync=sync, field_mappings=[mapping]) == []
    assert paths(lead_sync=sync, field_mappings=[mapping | {"marketo_object": "program_member"}]) == [
        "lead_sync.lookup_field"
    ]


@pytest.mark.parametrize("method", ["auto", "rest"])
def test_only_bulk_is_limited_by_how_people_are_found(method: str) -> None:
    sync = {
        "mode": "match_only",
        "partition_name": "EMEA",
        "duplicate_leads": "reject",
        "acquisition_program": "first_program",
    }
    guarded = [{"record_field": "a", "marketo_field": "title", "write": "if_blank"}]

    assert paths(delivery={"method": method}, lead_sync=sync, field_mappings=guarded) == []


@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"lead_sync": {"mode": "match_only"}}, "lead_sync.mode"),
        ({"lead_sync": {"partition_name": "EMEA"}}, "lead_sync.partition_name"),
        ({"lead_sync": {"duplicate_leads": "reject"}}, "lead_sync.duplicate_leads"),
        ({"lead_sync": {"acquisition_program": "first_program"}}, "lead_sync.acquisition_program"),
        (
            {"field_mappings": [{"record_field": "a", "marketo_field": "title", "write": "on_create"}]},
            "field_mappings[0].write",
        ),
        (
            {"field_mappings": [{"record_field": "a", "marketo_field": "title", "write": "if_blank"}]},
            "field_mappings[0].write",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bulk_and_what_it_cannot_keep_are_named_together(changes: dict[str, Any], setting: str) -> None:
    """0.1.0 knew none of guards and attribution, and had it the other way round for duplicates."""
    (problem,) = load_settings(VALID | changes | {"delivery": {"method": "bulk"}}, cloud=False).problems

    assert problem.path == "delivery.method"
    assert setting in problem.message
    assert setting in problem.fix


def test_bulk_goes_with_everything_it_can_do() -> None:
    assert paths(delivery={"method": "bulk"}, lead_sync={"blank_values": "clear"}) == []


@pytest.mark.parametrize("write", ["on_create", "if_blank"])
def test_guards_are_for_people_only(write: str) -> None:
    mapping = {"record_field": "a", "marketo_field": "note", "write": write}

    assert paths(field_mappings=[mapping]) == []
    assert paths(field_mappings=[mapping | {"marketo_object": "program_member"}]) == ["field_mappings[0].write"]


def test_changes_are_remembered_in_a_storage() -> None:
    assert paths(lead_sync={"send": "changes"}) == ["lead_sync.send"]
    assert paths(lead_sync={"send": "changes"}, object_storage_config={"storage_type": "Local"}) == []


def test_a_threshold_needs_a_column_with_scans() -> None:
    """0.1.0 passed it and skipped everyone."""
    links = [LINK, LINK | {"event": "2", "lead_scan_threshold": 2}, LINK | {"event": "3", "lead_scan_threshold": 1}]
    custom = {"mapping_type": "custom"}

    assert paths(program_links=links) == []
    assert paths(program_links=links, record_mapping=custom | {"scan_count": "scans"}) == []
    (problem,) = load_settings(VALID | {"program_links": links, "record_mapping": custom}, cloud=False).problems
    assert problem.path == "program_links[1].lead_scan_threshold"
    assert problem.also == "program link 3 (program_links[2].lead_scan_threshold)"


def test_the_same_mistake_in_thirty_links_is_one_problem_that_lists_them() -> None:
    """0.1.0 told it thirty times."""
    links = [{"event": str(number), "program_id": "1234"} for number in range(30)]

    (problem,) = load_settings(VALID | {"program_links": links}, cloud=False).problems

    assert problem.place == "Program link 1, event 0, Program status"
    assert "program links 2 to 30 (program_links[1].program_status, " in problem.also
    assert " and 21 more)" in problem.also


def test_a_mistyped_key_is_not_missing_as_well() -> None:
    links = [{"event": "1", "program_id": "1234", "program_statsu": "Registered"}]

    assert paths(program_links=links) == ["program_links[0].program_statsu"]


def test_the_old_name_of_the_storage_says_the_new_one() -> None:
    (problem,) = load_settings(VALID | {"outcome_storage": {"storage_type": "None"}}, cloud=False).problems

    assert problem.path == "outcome_storage"
    assert "`object_storage_config`" in problem.fix


def test_excluded_domains_are_read_in_any_spelling() -> None:
    spellings = ["@Example.COM", "*.example.com.", "bücher.example", "", None, " partner.example\n"]
    read = loaded(lead_sync={"excluded_email_domains": spellings}).lead_sync.excluded_email_domains

    assert read == ("example.com", "example.com", "xn--bcher-kva.example", "partner.example")


@pytest.mark.parametrize(
    "domain", ["jane@example.com", "exa mple.com", "example..com", "-a.com", "x" * 300, "http://a"]
)
def test_what_is_not_a_domain_is_refused(domain: str) -> None:
    assert paths(lead_sync={"excluded_email_domains": [domain]}) == ["lead_sync.excluded_email_domains[0]"]


def test_a_folder_of_one_s_own_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.1.0 made a folder called `~`."""
    monkeypatch.setenv("HOME", "/home/somebody")
    storage = loaded(object_storage_config={"storage_type": "Local", "path": "~/marketo"}).object_storage_config

    assert storage == LocalStorage(path="/home/somebody/marketo")
    assert paths(object_storage_config={"storage_type": "Local", "path": "~nobody-of-this-name/x"}) == [
        "object_storage_config.path"
    ]


@pytest.mark.parametrize(
    "text", ["Phone (mobile)", "Job Title", "Phone [mobile]", "E-Mail*", "Größe", "50% off", "a.b"]
)
def test_column_names_may_look_like_anything(text: str) -> None:
    assert loaded(record_mapping={"mapping_type": "custom", "email": text}).record_mapping == CustomMapping(email=text)


@pytest.mark.parametrize(
    "text",
    ["tags[?x", "tags[", "length(a, b)", "a || ", "tags[*", "a..b", "[" * 5000, "a." * 600 + "b", "x" * 2000, "a{b"],
    ids=lambda text: text[:20],
)
def test_an_expression_that_is_none_is_refused(text: str) -> None:
    """0.1.0 took it for the name of a column that no record has."""
    assert paths(record_mapping={"mapping_type": "custom", "email": text}) == ["record_mapping.email"]
    assert paths(field_mappings=[{"record_field": text, "marketo_field": "title"}]) == [
        "field_mappings[0].record_field"
    ]
    assert paths(qualifier_mappings=[{"qualifier": text, "value": "a", "program_status": "b"}]) == [
        "qualifier_mappings[0].qualifier"
    ]


@pytest.mark.parametrize("text", ["Phone (mobile)", "lenght(tags)", "Phone [mobile]", "50% off"])
def test_text_that_could_be_an_expression_is_known_to_be_a_name(text: str) -> None:
    assert is_read_as_name(text)


@pytest.mark.parametrize("text", ["email", "Job Title", "contact.email", "tags[].value", "length(tags)", "sum(x)"])
def test_plain_names_and_expressions_need_no_note(text: str) -> None:
    assert not is_read_as_name(text)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "\ud800"},
        {"client_secret": "a\0b"},
        {"object_storage_config": {"storage_type": "Local", "path": "/a\0b"}},
        {"program_links": [LINK | {"event": "\udfff"}]},
        {"program_links": [LINK | {"program_id": 10**5000}]},
        {"program_links": [LINK | {"lead_scan_threshold": 10**5000}]},
        {"program_links": [LINK | {"event": 10**5000}]},
        {"delivery": {"daily_call_budget": 10**5000}},
        {"lead_sync": {"send_again_after_days": 10**5000}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_no_call_and_no_file_can_carry_is_refused(changes: dict[str, Any]) -> None:
    assert len(paths(**changes)) == 1


# --- secrets ------------------------------------------------------------------------------------------------


def test_secrets_are_listed_and_never_shown() -> None:
    storage = {
        "storage_type": "S3",
        "s3_bucket_name": "b",
        "s3_bucket_region": "eu-central-1",
        "access_key_id": "AKIA-one",
        "secret_access_key": " wJalr-two ",
    }
    settings = loaded(object_storage_config=storage)

    assert settings.secrets() == ("0f3c-client", "hJ8k-secret", "AKIA-one", "wJalr-two")
    for secret in settings.secrets():
        assert secret not in repr(settings)
        assert secret not in str(settings)


def test_blank_secrets_are_not_listed() -> None:
    storage = {"storage_type": "S3", "s3_bucket_name": "b", "s3_bucket_region": "eu-central-1"}

    assert loaded(object_storage_config=storage).secrets() == ("0f3c-client", "hJ8k-secret")


# --- domain_url ---------------------------------------------------------------------------------------------

INSTANCE = "https://123-ABC-456.mktorest.com"


@pytest.mark.parametrize("suffix", ["", "/", "/rest", "/rest/", "/identity", "/identity/", "/rest\n"])
@pytest.mark.parametrize("origin", [INSTANCE, "http://localhost:8700", "http://127.0.0.1:1"])
def test_domain_url_becomes_the_bare_origin(origin: str, suffix: str) -> None:
    assert parse_domain_url(origin + suffix, cloud=False) == origin


@pytest.mark.parametrize(
    "text",
    [
        " HTTPS://123-aBc-456.MktoRest.COM/Rest ",
        "\ufeff123-ABC-456.mktorest.com/rest\r\n",
        "123-abc-456",
        "123-ABC-456/",
    ],
)
def test_an_address_that_can_be_read_in_one_way_only_is_put_right(text: str) -> None:
    """0.1.0 answered all but the first with what to type instead."""
    assert parse_domain_url(text, cloud=False) == INSTANCE


def test_a_sandbox_needs_no_scheme() -> None:
    assert parse_domain_url(" localhost:8700/ ", cloud=False) == "http://localhost:8700"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://evil.example",
        "https://123-ABC-456.mktorest.com@evil.example",
        "https://123-ABC-456.mktorest.com:secret@evil.example/rest",
        "https://evil.example@123-ABC-456.mktorest.com",
        "https://123-ABC-456.mktorest.com.evil.example",
        "https://123-ABC-456.mktorest.com\n.evil.example",
        "https://evil.example/\nhttps://123-ABC-456.mktorest.com",
        "https://123-ABC-456.mktorest.com\\@evil.example",
        "https://123-ABC-456.mktorest.com#@evil.example",
        "https://123-ABC-456.mktorest.com?rest",
        "https://123-ABC-456.mktorest.com:8443",
        "https://123-ABC-456.mktorest.com//rest",
        "https://123-ABC-456mktorest.com",
        "https://123-ABC-456xmktorest.com",
        "https://1234-ABC-456.mktorest.com",
        "https://12३-ABC-456.mktorest.com",
        "https://123-ABC-456.mktore\N{LATIN SMALL LETTER LONG S}t.com",
        "https://123-ABC-456.mktorest.com/rest/v1",
        "http://123-ABC-456.mktorest.com",
        "https://localhost:8700",
        "http://localhost",
        "http://localhost:0",
        "http://localhost:65536",
        "http://localhost:8700@evil.example",
        "http://localhost.evil.example:8700",
        "http://127.0.0.1.evil.example:8700",
        "http://127.0.0.2:8700",
        "http://0.0.0.0:8700",
        "http://[::1]:8700",
    ],
)
def test_every_other_address_is_refused(text: str) -> None:
    with pytest.raises(UnusableTextError) as refusal:
        parse_domain_url(text, cloud=False)
    assert "evil" not in refusal.value.message + refusal.value.fix


@pytest.mark.parametrize("origin", ["http://localhost:8700", "http://127.0.0.1:8700/rest/"])
def test_no_sandbox_on_airbyte_cloud(origin: str) -> None:
    with pytest.raises(UnusableTextError):
        parse_domain_url(origin, cloud=True)


PIECES = st.sampled_from(
    [
        *("https://", "http://", "123-ABC-456", ".mktorest.com", "localhost", "127.0.0.1", ":8700", "/", "rest"),
        *("@", "#", "?", "\n", " ", "\t", "\\", ".", "evil.example", "%00", "\x00", "ſ", "identity", ":"),
    ]
)


@given(st.one_of(st.lists(PIECES, max_size=9).map("".join), st.text()))
def test_no_text_leads_to_a_foreign_host(text: str) -> None:
    try:
        origin = parse_domain_url(text, cloud=False)
    except UnusableTextError:
        return
    scheme, _, host = origin.partition("://")
    name, _, port = host.partition(":")
    if scheme == "https":
        assert port == ""
        assert name == "123-ABC-456.mktorest.com"
    else:
        assert scheme == "http"
        assert name in {"localhost", "127.0.0.1"}
        assert 1 <= int(port) <= 65_535


# --- program ids --------------------------------------------------------------------------------------------

APP = st.sampled_from(
    [
        "https://app-sj01.marketo.com/#",
        "http://localhost:8700/#",
        "https://engage-ab.marketo.com/?munchkinId=123-ABC-456#/classic/",
        "https://experience.adobe.com/#/@acme/so:123-ABC-456/marketo-engage/classic/",
    ]
)
IDS = st.integers(min_value=1, max_value=10**18 - 1)
LETTERS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=2, max_size=3)
TAIL_ENDS = st.from_regex(r"[A-Z][0-9]{1,2}([A-Z]{2}[0-9]{1,4})?", fullmatch=True)


@given(IDS, st.one_of(st.sampled_from(sorted(PROGRAM_KINDS)), LETTERS), TAIL_ENDS, APP, st.booleans())
def test_every_spelling_of_a_program_gives_its_number(number: int, kind: str, end: str, app: str, lower: bool) -> None:
    tail = f"{kind}{number}{end}"
    if lower:
        tail = tail.lower()
    spellings: list[Any] = [number, str(number), f" {number} "]
    if kind not in NO_PROGRAM_KINDS:
        spellings += [tail, f"#{tail}", f"\ufeff{tail}\r\n", f"{app}{tail}", f" {app}{tail}\n"]

    assert {parse_program_id(spelling) for spelling in spellings} == {number}


@given(IDS, st.sampled_from(sorted(NO_PROGRAM_KINDS.items())), TAIL_ENDS, st.one_of(st.just(""), APP))
def test_what_is_no_program_is_refused_by_name(number: int, kind: tuple[str, str], end: str, app: str) -> None:
    prefix, name = kind
    with pytest.raises(UnusableTextError, match=name):
        parse_program_id(f"{app}{prefix}{number}{end}")


@given(st.one_of(st.text(), st.text("#/PGSTA1:.hps"), st.none(), st.floats(), st.booleans(), st.integers()))
def test_a_program_id_is_a_positive_number_or_refused(value: Any) -> None:
    try:
        number = parse_program_id(value)
    except UnusableTextError:
        return
    assert 0 < number < 10**18


@pytest.mark.parametrize(
    "value",
    [
        *("", "PG", "PG1234", "1234A1", "12 34", "-5", "+5", "0", "00", "1.5", "1_000", "١٢٣", -1, 1.0),
        *("9" * 19, "9" * 5000, "https://app-sj01.marketo.com/", "https://app-sj01.marketo.com/#1234"),
        "https://app-sj01.marketo.com/#PG1234",
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_names_no_program_is_refused(value: Any) -> None:
    with pytest.raises(UnusableTextError):
        parse_program_id(value)


# --- anything at all ----------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=()), max_size=8)
NUMBERS = st.integers() | st.floats() | st.sampled_from([10**4000, -(10**4000), 2**63, -1])
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CANARY = "canary-7f3a91"
KEYS = st.sampled_from(
    ["mapping_type", "storage_type", "mode", "method", "event", "program_id", "value", "s3_bucket_name", "x", "path"]
)
BLOCKS = st.dictionaries(KEYS, JSON | st.just(CANARY) | st.just("S3") | st.just("custom"), max_size=4)


@given(
    st.dictionaries(
        st.sampled_from([*Settings.model_fields, "unknown"]),
        JSON | BLOCKS | st.lists(BLOCKS, max_size=3) | st.just(CANARY),
    )
)
def test_whatever_json_is_given_gets_settings_or_plain_problems(raw: dict[str, Any]) -> None:
    outcome = load_settings(raw, cloud=False)

    assert outcome.settings is not None or outcome.problems
    if outcome.readable:
        assert outcome.settings is None
        assert outcome.readable.is_partial
    for problem in outcome.problems:
        # The place may name a link's event, which is what people find the link by.
        text = f"{problem.path}\n{problem.message}\n{problem.fix}\n{problem.also}"
        assert problem.path
        assert problem.message.endswith(".")
        assert CANARY not in text
        str(problem).encode()
        assert not any(word in text for word in ("pydantic", "Input", "input_", "validation", "union", "literal"))


@given(
    st.dictionaries(st.sampled_from(sorted(set(Settings.model_fields) - {"client_secret"})), JSON | BLOCKS),
    st.sampled_from(["client_secret", "secret_access_key", "access_key_id"]),
)
def test_no_secret_is_ever_told_whatever_is_wrong_beside_it(raw: dict[str, Any], key: str) -> None:
    secret = "S3cr3t-of-42"
    storage = {"storage_type": "S3", "access_key_id": "x", "secret_access_key": "y", "bucket": 1}
    if key == "client_secret":
        raw["client_secret"] = secret
    else:
        raw["object_storage_config"] = storage | {key: secret}

    told = "\n".join(map(str, load_settings(raw, cloud=True).problems))

    assert secret not in told


@pytest.mark.parametrize("depth", [100, 100_000])
def test_a_configuration_of_any_depth_is_told(depth: int) -> None:
    nested: Any = "x"
    for _ in range(depth):
        nested = [nested]
    for changes in (
        {"program_links": nested},
        {"client_secret": nested},
        {"x": nested},
        {"delivery": {"dry_run": nested}},
    ):
        assert load_settings(VALID | changes, cloud=False).problems
    while isinstance(nested, list):  # else taking it apart would exhaust the stack
        nested = nested.pop()


def test_a_key_in_a_message_stays_short_and_on_one_line() -> None:
    (problem,) = load_settings(VALID | {"a\nb" + "c" * 500: 1}, cloud=False).problems

    assert problem.path.startswith(f"a{REPLACEMENT}bccc")
    assert len(problem.path) < 90


def test_importing_the_configuration_loads_neither_the_cdk_nor_a_client() -> None:
    code = (
        "import json, sys, destination_marketo_programs.config\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert not {"airbyte_cdk", "requests", "boto3", "jinja2", "aiohttp"} & set(json.loads(run.stdout))


ENTRY: dict[str, dict[str, Any]] = {
    "program_links": LINK,
    "qualifier_mappings": {"program_id": "1234", "qualifier": "demo", "value": "Yes", "program_status": "Engaged"},
    "field_mappings": {"record_field": "job", "marketo_object": "lead", "marketo_field": "title", "write": "auto"},
}
MISTAKES: dict[str, dict[str, Any]] = {
    "program_links": {"program_id": "ST1234A1", "program_status": "", "allow_archived": "perhaps"},
    "qualifier_mappings": {"program_id": "x", "value": "", "program_status": ""},
    "field_mappings": {"record_field": "", "marketo_object": "person", "marketo_field": ""},
}
"""What Marketo would be asked about without knowing what was meant: the entry is left out."""
SLIPS: dict[str, dict[str, Any]] = {
    "program_links": {"stream": 5.5, "lead_scan_threshold": -1, "unmapped_qualifier": "drop", "unknown": 1},
    "qualifier_mappings": {"qualifier": {}, "unknown": 1},
    "field_mappings": {"write": "never", "unknown": 1},
}
"""What Marketo knows nothing of: the rest of the entry is looked at all the same."""


@given(st.data())
def test_what_is_readable_keeps_its_place(data: st.DataObject) -> None:
    raw = {**VALID, "record_mapping": {"mapping_type": "custom"}}
    places: dict[str, list[int]] = {}
    wrong = False
    for setting, entry in ENTRY.items():
        kinds = data.draw(st.lists(st.sampled_from(["sound", "slip", "mistake"]), min_size=1, max_size=4), setting)
        raw[setting] = []
        for kind in kinds:
            options = {"sound": {}, "slip": SLIPS[setting], "mistake": MISTAKES[setting]}[kind]
            change = data.draw(st.sampled_from(sorted(options))) if options else None
            raw[setting].append(entry if change is None else {**entry, change: options[change]})
        places[setting] = [place for place, kind in enumerate(kinds) if kind != "mistake"]
        wrong = wrong or set(kinds) != {"sound"}
    given_raw = json.dumps(raw)

    outcome = load_settings(raw, cloud=False)

    assert json.dumps(raw) == given_raw
    assert (outcome.settings is None) is wrong
    read = outcome.readable if wrong else outcome.settings
    assert read is not None
    assert read.is_partial is wrong
    assert [list(read.places("program_links")), list(read.places("qualifier_mappings"))] == [
        places["program_links"],
        places["qualifier_mappings"],
    ]
    assert list(read.places("field_mappings")) == places["field_mappings"]
    for setting, kept in places.items():
        assert len(getattr(read, setting)) == len(kept)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"lead_sync": {"mode": "match", "partition_name": "EMEA"}}, ("lead_sync", {"partition_name": "EMEA"})),
        ({"delivery": {"method": "fax", "daily_call_budget": 7}}, ("delivery", {"daily_call_budget": 7})),
        ({"lead_sync": {"excluded_email_domains": ["a b", "c"]}}, ("lead_sync", {})),
        ({"lead_sync": 5}, ("lead_sync", {})),
        ({"record_mapping": {"mapping_type": "csv"}}, ("record_mapping", {"mapping_type": "custom"})),
        ({"object_storage_config": {"storage_type": "S3"}}, ("object_storage_config", {"storage_type": "None"})),
        ({"program_links": "4711"}, ("program_links", [])),
        ({"unknown": 1}, ("delivery", {})),
    ],
)
def test_one_wrong_setting_leaves_the_rest_readable(change: dict[str, Any], expected: tuple[str, Any]) -> None:
    outcome = load_settings({**VALID, **change}, cloud=False)

    assert outcome.settings is None
    assert outcome.readable is not None
    setting, value = expected
    whole = Settings.model_validate({**VALID, setting: value}, context={"places": {}})
    assert outcome.readable == whole


@pytest.mark.parametrize("change", [{"domain_url": "https://example.com"}, {"client_id": ""}, {"client_secret": 5}])
def test_without_address_and_credentials_nothing_can_be_asked(change: dict[str, Any]) -> None:
    outcome = load_settings({**VALID, **change}, cloud=False)

    assert (outcome.settings, outcome.readable) == (None, None)
