"""Outcomes, categories and Marketo's codes in plain language: one table for stored outcomes, report and docs."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from destination_marketo_programs.code_hints import CODES, Hint
from destination_marketo_programs.outcomes import Category, Result


class HintRow(NamedTuple):
    """One line of the documentation: `kind` is `outcome`, `category` or `code`, `key` its name."""

    kind: str
    key: str
    hint: Hint


OUTCOMES: dict[Result, Hint] = {
    Result.CREATED: Hint(
        "Added to the program",
        "The lead was not a member before and now is, with the status shown.",
        "Nothing to do.",
    ),
    Result.UPDATED: Hint(
        "Moved to a new status",
        "The lead was already a member and moved to the status shown.",
        "Nothing to do.",
    ),
    Result.UNCHANGED: Hint(
        "Already there",
        "The lead already has this status or one of a higher step. Marketo never moves anyone to a lower step.",
        "Nothing to do.",
    ),
    Result.IMPORTED: Hint(
        "Accepted by bulk import",
        "Marketo accepted the row. A bulk import does not say whether the member is new or was changed.",
        "Nothing to do. To find out, run reconcile.",
    ),
    Result.SKIPPED: Hint(
        "Skipped by your configuration",
        "Your configuration excludes this lead from the program.",
        "Nothing to do, unless you expected it in a program: then the category names the setting that decided.",
    ),
    Result.REJECTED: Hint(
        "Not delivered",
        "The lead could not be added to the program. The record is kept and can be sent again.",
        "Follow the hint of its category, then send the rejected records again.",
    ),
}

CATEGORIES: dict[Category, Hint] = {
    Category.NO_PROGRAM_LINK: Hint(
        "No program is linked to this event",
        "No program link names the event of this record, so there is no program to add the lead to.",
        "If these leads belong in a program, add an entry to program_links with this event's ID or name. "
        "Otherwise nothing is wrong.",
    ),
    Category.BELOW_SCAN_THRESHOLD: Hint(
        "Below the scan threshold",
        "The program link asks for more scans than this lead has. A record without a number of scans counts as 0.",
        "Nothing is wrong. To include these leads, lower lead_scan_threshold of the program link.",
    ),
    Category.UNMAPPED_QUALIFIER: Hint(
        "No mapping matches this lead's answers",
        "The program has qualifier mappings, and none of them names an answer of this lead. Values must match exactly.",
        "Add the missing value to qualifier_mappings (copy it exactly). Or set unmapped_qualifier of the program "
        "link to use_program_status, so that these leads get that link's status.",
    ),
    Category.SUPERSEDED: Hint(
        "Replaced by a later status of the same lead",
        "This sync had several statuses for the same lead and program. Only the one of the highest step was sent.",
        "Nothing to do.",
    ),
    Category.EXCLUDED: Hint(
        "Excluded email domain",
        "The person's email belongs to a domain in lead_sync.excluded_email_domains.",
        "Nothing to do. To add these people, remove the domain from excluded_email_domains.",
    ),
    Category.DELETED_IN_SOURCE: Hint(
        "Deleted in the source",
        "The source marked this record as deleted (_ab_cdc_deleted_at). Nobody is removed from a program.",
        "Nothing to do. To remove the person from the program, do it in Marketo.",
    ),
    Category.MISSING_KEY: Hint(
        "No email or ID to match on",
        "Marketo finds people by email (or by the lookup field you chose). This record has neither a value for "
        "it nor a Marketo lead ID.",
        "Add the email in the source and sync again. If the records have one, check that record_mapping names "
        "the right column.",
    ),
    Category.INVALID_EMAIL: Hint(
        "The email address cannot be used",
        "It is incomplete, or it contains characters that Marketo does not accept in email addresses. Marketo accepts "
        "only unaccented letters, digits and common punctuation.",
        "Correct the address in the source (look for spaces, missing parts and typing errors) and send the record "
        "again.",
    ),
    Category.INVALID_RECORD: Hint(
        "The record does not have the expected shape",
        "A required field is missing or has an unexpected type, so nothing could be read from the record.",
        "Compare the record with record_mapping. Choose custom if the source is not Mobly, and check the names of "
        "its columns.",
    ),
    Category.LEAD_NOT_FOUND: Hint(
        "Marketo does not have this person",
        "The person is not in Marketo, or was deleted or merged into another one. The mode of lead_sync does not "
        "create people.",
        "Create the person in Marketo, correct the ID or email in the source, or set lead_sync.mode to "
        "create_or_update.",
    ),
    Category.DUPLICATE_LEADS: Hint(
        "Several people in Marketo share this email or key",
        "Marketo cannot decide which of them is meant, so it changes none of them.",
        "Merge the duplicates in Marketo and send the record again, or set lead_sync.duplicate_leads to "
        "most_recently_updated.",
    ),
    Category.PARTITION_DENIED: Hint(
        "The API user cannot access the person's partition",
        "This person is in a partition that the API user or partition_name does not cover.",
        "Ask your Marketo admin to give the API user's role access to that partition, or correct "
        "lead_sync.partition_name.",
    ),
    Category.FIELD_INVALID: Hint(
        "A field value was not accepted",
        "A value has another type than the Marketo field, is too long for it, or the field does not exist. "
        "Marketo's message names the field.",
        "Correct the value in the source, or map the column to a field of a matching type in field_mappings.",
    ),
    Category.STATUS_NOT_FOUND: Hint(
        "The program does not have this status",
        'Each channel has its own list of statuses. "attended" and "Attended" are different texts.',
        "Status text must match Marketo exactly. Open the program's channel under Admin > Tags > Channels and copy the "
        "status. Paste it into program_links or qualifier_mappings (or into the records, if they name the status). "
        "Then send the records again.",
    ),
    Category.RECORD_REFUSED: Hint(
        "Marketo refused this record",
        "Marketo's own message and code say why.",
        "Read the message, correct the record or the field it names, and send it again. Marketo support can "
        "look it up by request ID.",
    ),
}

CROWDED_KEY = Hint(
    "More than 1,000 people in Marketo share this key",
    "Marketo lists no more than 1,000 people for one value, so nobody can say which of them was updated last.",
    "Merge or delete them in Marketo, or use a lead_sync.lookup_field whose values differ. Then send the record again.",
)
"""Of a key that not even `most_recently_updated` can decide; its code is 1003, which elsewhere means something else."""

_UNKNOWN = Hint(
    "There is no further explanation",
    "Neither the category nor the code is in the connector's table.",
    "Read the message beside it; Marketo support can look it up by request ID.",
)


def explain(category: str | None, code: str | None) -> Hint:
    """The explanation of an outcome; a known code says more than its category.

    Args:
        category: a `Category`, or None.
        code: Marketo's code as text, with or without a leading `HTTP `; an unknown one is passed over.
    """
    if code == "1003" and category == Category.DUPLICATE_LEADS:
        return CROWDED_KEY
    if code is not None:
        by_code = CODES.get(code.removeprefix("HTTP "))
        if by_code is not None:
            return by_code
    return _BY_CATEGORY_NAME.get(category or "", _UNKNOWN)


@lru_cache(maxsize=1024)
def hint_text(category: str | None, code: str | None) -> str:
    """The `hint` member of an outcome: finding and remedy in a few sentences."""
    hint = explain(category, code)
    return f"{hint.title}. {hint.fix}"


def hint_rows() -> list[HintRow]:
    """The whole table, in the order of the documentation."""
    return [
        *(HintRow("outcome", str(key), hint) for key, hint in OUTCOMES.items()),
        *(HintRow("category", str(key), hint) for key, hint in CATEGORIES.items()),
        *(HintRow("code", key, CODES[key]) for key in sorted(CODES, key=lambda code: (len(code), code))),
        HintRow("code", "1003 of DUPLICATE_LEADS", CROWDED_KEY),
    ]


_BY_CATEGORY_NAME: dict[str, Hint] = {str(key): hint for key, hint in CATEGORIES.items()}
