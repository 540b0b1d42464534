"""The table of explanations covers what can reach a user, reads well, and equals the documentation."""

from __future__ import annotations

import re

import pytest

from destination_marketo_programs.code_hints import CODES
from destination_marketo_programs.hints import (
    CATEGORIES,
    HintRow,
    explain,
    hint_rows,
    hint_text,
)
from destination_marketo_programs.marketo.errors import RECORD_CATEGORIES, RESPONSE_CODES
from destination_marketo_programs.outcomes import Category, Result

LONGEST_HINT = 300
LONGEST_SENTENCE = 20


def test_every_outcome_category_and_code_is_explained() -> None:
    explained = {row.key for row in hint_rows()}
    assert {str(member) for member in (*Category, *Result)} <= explained
    assert set(RESPONSE_CODES) | set(RECORD_CATEGORIES) <= explained


@pytest.mark.parametrize("row", hint_rows(), ids=lambda row: f"{row.kind}-{row.key}")
def test_texts_are_sentences(row: HintRow) -> None:
    title, explanation, fix = row.hint
    assert title[0].isupper()
    assert not title.endswith(".")
    for text in (explanation, fix):
        assert text[0].isupper()
        assert text.endswith(".")
        assert max(len(sentence.split()) for sentence in re.split(r"(?<=[.:]) ", text)) <= LONGEST_SENTENCE
    assert "  " not in f"{title} {explanation} {fix}"
    assert len(f"{title}. {fix}") <= LONGEST_HINT


def test_settings_named_in_fixes_exist() -> None:
    known = {
        "program_links",
        "qualifier_mappings",
        "record_mapping",
        "field_mappings",
        "lead_sync",
        "delivery",
        "domain_url",
        "program_id",
        "program_status",
        "unmapped_qualifier",
        "use_program_status",
        "lead_scan_threshold",
        "duplicate_leads",
        "most_recently_updated",
        "create_or_update",
        "partition_name",
        "lookup_field",
        "excluded_email_domains",
        "_ab_cdc_deleted_at",
        "blank_values",
        "calls_per_20_seconds",
        "concurrent_calls",
        "daily_call_budget",
    }  # fmt: skip - as many names as fit a line
    named = {
        word
        for row in hint_rows()
        for word in re.findall(r"_?[a-z0-9]+(?:_[a-z0-9]+)+", row.hint.fix + row.hint.explanation)
    }
    assert named <= known


def test_a_code_says_more_than_its_category() -> None:
    assert explain(Category.RECORD_REFUSED, "1021") == CODES["1021"]
    assert explain(Category.FIELD_INVALID, None) == CATEGORIES[Category.FIELD_INVALID]
    assert explain("RECORD_REFUSED", "9999") == CATEGORIES[Category.RECORD_REFUSED]
    assert explain("RECORD_REFUSED", "HTTP 413") == CODES["413"]
    assert "request ID" in explain(None, None).fix


def test_hint_text_holds_finding_and_remedy() -> None:
    text = hint_text("DUPLICATE_LEADS", "1007")
    assert text.startswith("Several people in Marketo share this email or key. Merge")
    assert "lead_sync.duplicate_leads" in text


def test_a_key_that_too_many_people_share_is_not_told_to_set_what_is_set() -> None:
    hint = explain("DUPLICATE_LEADS", "1003")
    assert "1,000" in hint.title
    assert "most_recently_updated" not in hint.fix
    assert explain("RECORD_REFUSED", "1003") != hint
