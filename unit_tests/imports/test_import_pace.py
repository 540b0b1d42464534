"""When a file pays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.config import load_settings
from destination_marketo_programs.imports.pace import (
    DEFAULT_PACE,
    MARGIN,
    START_SECONDS,
    bulk_forecast,
    job_calls,
    rest_calls,
    rows_worth_a_job,
    why_not_by_file,
)

if TYPE_CHECKING:
    from destination_marketo_programs.config import Settings


@pytest.mark.parametrize(("rows", "calls"), [(1, 2), (300, 2), (301, 4), (30_000, 200)])
def test_calls_over_rest(rows: int, calls: int) -> None:
    assert rest_calls(rows) == calls
    assert rest_calls(rows, member_fields=True) == calls // 2 * 3


@pytest.mark.parametrize("member_fields", [False, True])
def test_a_file_is_taken_from_where_it_saves_calls_with_a_margin(*, member_fields: bool) -> None:
    least = rows_worth_a_job(member_fields=member_fields)
    assert rest_calls(least, member_fields=member_fields) >= MARGIN * job_calls(least)
    assert rest_calls(least - 1, member_fields=member_fields) < MARGIN * job_calls(least - 1)
    assert 300 < least < 2_000


def test_membership_fields_cost_rest_a_third_call_so_that_a_file_pays_earlier() -> None:
    assert rows_worth_a_job(member_fields=True) < rows_worth_a_job()


@given(st.integers(1, 2_000_000))
def test_polls_keep_to_adobes_five_to_thirty_seconds(rows: int) -> None:
    interval = DEFAULT_PACE.first_poll(rows)
    for _ in range(20):
        assert 5.0 <= interval <= 30.0
        longer = DEFAULT_PACE.next_poll(interval)
        assert longer >= interval
        interval = longer


@given(st.integers(1, 3_000_000), st.integers(20, 300))
def test_a_forecast_has_a_job_for_each_file(rows: int, bytes_per_row: int) -> None:
    forecast = bulk_forecast(rows, rows * bytes_per_row)
    assert forecast.files * 9_500_000 >= rows * bytes_per_row
    assert (forecast.files - 1) * 9_500_000 < rows * bytes_per_row
    assert forecast.calls >= 4 * forecast.files
    assert forecast.seconds >= START_SECONDS


def test_nothing_costs_nothing() -> None:
    assert bulk_forecast(0, 0) == (0, 0, 0.0)


def settings_with(**changes: Any) -> Settings:
    lead_sync = {name: value for name, value in changes.items() if name in LEAD_SYNC}
    config = {
        "domain_url": "https://123-ABC-456.mktorest.com",
        "client_id": "id",
        "client_secret": "secret",
        "program_links": [{"event": "1", "program_id": "PG1234A1", "program_status": "Registered"}],
        "record_mapping": {"mapping_type": "mobly"},
        "lead_sync": lead_sync,
        "field_mappings": changes.get("field_mappings", []),
    }
    loaded = load_settings(config, cloud=False).settings
    assert loaded is not None
    return loaded


LEAD_SYNC = ("lookup_field", "mode", "partition_name", "duplicate_leads", "acquisition_program")
GUARDED = [{"record_field": "title", "marketo_object": "lead", "marketo_field": "title", "write": "if_blank"}]


@pytest.mark.parametrize(
    ("ruled_out", "partitions", "setting"),
    [
        ({}, 1, None),
        ({"mode": "create_missing"}, 1, "lead_sync.mode"),
        ({"mode": "match_only"}, 1, "lead_sync.mode"),
        ({"lookup_field": "badgeId"}, 1, "lead_sync.lookup_field"),
        ({"partition_name": "Europe"}, 2, "lead_sync.partition_name"),
        ({"duplicate_leads": "reject"}, 1, "lead_sync.duplicate_leads"),
        ({"acquisition_program": "first_program"}, 1, "lead_sync.acquisition_program"),
        ({"field_mappings": GUARDED}, 1, "field_mappings[0].write"),
        ({"field_mappings": [{**GUARDED[0], "write": "on_create"}]}, 1, "field_mappings[0].write"),
        ({"field_mappings": [{**GUARDED[0], "write": "always"}]}, 1, None),
        ({}, 2, "several lead partitions and a blank lead_sync.partition_name"),
    ],
)
def test_settings_that_an_import_cannot_promise(
    ruled_out: dict[str, Any], partitions: int, setting: str | None
) -> None:
    assert why_not_by_file(settings_with(**ruled_out), partitions) == setting


def test_a_lost_upload_is_looked_for_less_and_less_often() -> None:
    interval, looks = DEFAULT_PACE.lost_first_look_seconds, 0
    elapsed = 0.0
    while elapsed < DEFAULT_PACE.lost_patience_seconds:
        elapsed += interval
        looks += 1
        assert DEFAULT_PACE.next_look(interval) >= interval
        interval = DEFAULT_PACE.next_look(interval)
    assert interval == DEFAULT_PACE.lost_longest_look_seconds
    assert looks < 40
