"""When a file pays."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.delivery.bulk import rule
from destination_marketo_programs.imports.pace import (
    DEFAULT_PACE,
    MARGIN,
    bulk_forecast,
    bulk_possible,
    job_calls,
    rest_calls,
    rows_worth_a_job,
)
from destination_marketo_programs.delivery.lead_writer import LeadPolicy


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
    assert forecast.seconds >= rule.START_SECONDS


def test_nothing_costs_nothing() -> None:
    assert bulk_forecast(0, 0) == (0, 0, 0.0)


@pytest.mark.parametrize(
    "ruled_out",
    [
        {"mode": "create_missing"},
        {"mode": "match_only"},
        {"lookup_field": "badgeId"},
        {"partition_name": "Europe"},
        {"duplicate_leads": "most_recently_updated"},
    ],
)
def test_settings_that_an_import_cannot_do(ruled_out: dict[str, Any]) -> None:
    policy = LeadPolicy("create_or_update", "email", "", "reject", 95.0)
    assert bulk_possible(policy)
    assert not bulk_possible(policy._replace(**ruled_out))
