"""Marketo's codes in plain language; codes and their meaning: Adobe, "Error codes" of the Marketo REST API.

The reader is someone in marketing operations.
"""

from __future__ import annotations

from typing import NamedTuple


class Hint(NamedTuple):
    """What a category or code means to the person who has to act on it.

    Attributes:
        title: the finding as a short clause, without full stop; usable as a heading.
        explanation: why it happens, whole sentences.
        fix: what to do, whole sentences; understandable without the explanation.
    """

    title: str
    explanation: str
    fix: str


_SEND_AGAIN = "Nothing is wrong with the record. Send it again later."
_REPORT_BUG = "This is an error of the connector, not of your data. Report it with the request ID."

CODES: dict[str, Hint] = {
    "1001": Hint(
        "A value has the wrong type for its field",
        "For example text in a number field, or a date that is not written as 2026-11-23.",
        "Marketo's message names the field: correct its value in the source, or map the column to a field "
        "of a matching type in field_mappings.",
    ),
    "1002": Hint(
        "Something that Marketo requires is missing",
        "A value that this instance requires for a person or program member is missing.",
        "Marketo's message names it: fill it in the source and map it in field_mappings.",
    ),
    "1003": Hint(
        "Marketo calls the data invalid",
        "A value or combination is not allowed for this operation. The message says which.",
        "Correct what Marketo's message names and send the record again.",
    ),
    "1004": Hint(
        "Marketo does not have this person",
        "The person does not exist, or was deleted or merged in the meantime.",
        "Correct the Marketo lead ID or email in the source. Or set lead_sync.mode to create_or_update, which creates "
        "missing people.",
    ),
    "1005": Hint(
        "The person exists already",
        "Someone else created this person at the same moment.",
        "Send the record again: the person will then be found.",
    ),
    "1006": Hint(
        "The field does not exist in Marketo",
        "A mapped field name is unknown in this instance, or is hidden from the API. This affects every record alike.",
        "Use the REST API name of the field in field_mappings (Admin > Field Management > Export Field Names). "
        "Names are case-sensitive.",
    ),
    "1007": Hint(
        "Several people in Marketo share this email or key",
        "Marketo found more than one person and changes none, because it cannot tell which one is meant.",
        "Merge the duplicates in Marketo (the smart list Possible Duplicates finds them) and send the record again. "
        "Or set lead_sync.duplicate_leads to most_recently_updated.",
    ),
    "1008": Hint(
        "The API user cannot access the person's partition",
        "This person is in a partition that the API user's role does not cover.",
        "Ask your Marketo admin to give the API user's role access to that partition (Admin > Users & Roles). Or "
        "correct lead_sync.partition_name.",
    ),
    "1009": Hint(
        "Marketo needs a partition name",
        "This instance keeps people in several partitions and does not choose one by itself.",
        "Set lead_sync.partition_name to the partition that these people belong to.",
    ),
    "1010": Hint(
        "The person exists in another partition",
        "A sync never moves people from one partition to another.",
        "Move the person in Marketo, or use a configuration with that partition in lead_sync.partition_name "
        "for these records.",
    ),
    "1011": Hint(
        "This field cannot be used to find people",
        "Marketo looks people up only by certain fields, such as email or a custom field of type string.",
        "Choose another lead_sync.lookup_field; email always works.",
    ),
    "1013": Hint(
        "Marketo cannot find the program or its member",
        "The program was deleted, the API user cannot see it, or the person was removed from it in the meantime.",
        "Open the program in Marketo. Check the program_id and that the API user's role covers its workspace. Then "
        "send the record again.",
    ),
    "1014": Hint(
        "Marketo could not save it just now",
        "The error is on Marketo's side and usually passes.",
        _SEND_AGAIN,
    ),
    "1016": Hint(
        "Marketo's import queue is full",
        "An instance runs 2 imports at once and queues 10, shared by everything your company imports.",
        "Send it again when the other imports are done, or set delivery.method to rest.",
    ),
    "1017": Hint(
        "It exists in Marketo already",
        "Someone else created it at the same moment.",
        "Send the record again.",
    ),
    "1018": Hint(
        "The CRM owns this data",
        "Marketo is synchronized with Salesforce or Dynamics and does not let the API change this.",
        "Change it in the CRM, and remove the field from field_mappings.",
    ),
    "1019": Hint(
        "An import is still running",
        "Another import into the same place is still running.",
        _SEND_AGAIN,
    ),
    "1021": Hint(
        "Company fields cannot be changed with the person",
        "Marketo keeps company data (name, industry, address) in a separate record, shared by all people of the "
        "company.",
        "Remove the company fields from field_mappings; with the mobly mapping, map them to custom fields instead.",
    ),
    "1022": Hint("It is in use in Marketo", "Something else in Marketo depends on it.", _SEND_AGAIN),
    "1025": Hint(
        "The program does not have this status",
        'The status was renamed or removed, or differs in a letter: "attended" and "Attended" are different texts.',
        "Status text must match Marketo exactly. Open the program's channel under Admin > Tags > Channels and copy the "
        "status. Paste it into program_links or qualifier_mappings, and send the records again.",
    ),
    "1029": Hint("Marketo's queue is full", "Too many import or export jobs of your company are queued.", _SEND_AGAIN),
    "1036": Hint(
        "The same key came twice in one call",
        "Two records of one batch carry the same key, and Marketo took only one of them.",
        _SEND_AGAIN,
    ),
    "1037": Hint(
        "Already in this status or a higher step",
        "Marketo never moves anyone to a lower step of a program.",
        "Nothing to do.",
    ),
    "401": Hint(
        "Client ID or secret is wrong",
        "Marketo does not know this pair of client ID and secret.",
        "Copy both again from Admin > Integration > LaunchPoint > View Details.",
    ),
    "413": Hint(
        "The record is too large",
        "A single call to Marketo may hold 1 MB, and this record alone exceeds it.",
        "Shorten the long texts of this record, or remove them from field_mappings.",
    ),
    "414": Hint("The request is too long", "The address of the call is longer than Marketo accepts.", _REPORT_BUG),
    "500": Hint("Marketo had an internal error", "The error is on Marketo's side and usually passes.", _SEND_AGAIN),
    "501": Hint(
        "Marketo refused this record",
        "Marketo does not document this code.",
        "Read Marketo's message, and send the record again.",
    ),
    "502": Hint("Marketo did not answer in time", "Marketo was busy.", _SEND_AGAIN),
    "600": Hint(
        "The call had no access token",
        "Marketo did not see an access token.",
        "Check the custom service in Admin > Integration > LaunchPoint and send the record again.",
    ),
    "601": Hint(
        "The access token was rejected",
        "Marketo rejected the access token, even after a new one was fetched.",
        "Check that the custom service in Admin > Integration > LaunchPoint still exists, and send the record again.",
    ),
    "602": Hint(
        "The access token expired",
        "The access token expired, even after a new one was fetched.",
        "Check that the custom service in Admin > Integration > LaunchPoint still exists, and send the record again.",
    ),
    "603": Hint(
        "The API user is not allowed to do this",
        "The API user's role lacks a permission, or Marketo accepts calls only from listed addresses.",
        "Give the role Read-Write Person (Lead) and Read-Only Assets under Access API, in the workspace of the "
        "program. Then check Admin > Integration > Web Services > IP Restrictions.",
    ),
    "604": Hint("Marketo did not finish in time", "Marketo's database was busy.", _SEND_AGAIN),
    "605": Hint("Marketo does not support this kind of call", "The call had the wrong form.", _REPORT_BUG),
    "606": Hint(
        "Too many calls in 20 seconds",
        "All integrations of your company share 100 calls in 20 seconds.",
        "Send the record again; if it happens often, lower delivery.calls_per_20_seconds.",
    ),
    "607": Hint(
        "The daily API quota is used up",
        "All integrations of your company share a daily quota, which resets at midnight Central Time.",
        "Run the sync again after the reset. Set delivery.daily_call_budget so that other integrations keep "
        "their share.",
    ),
    "608": Hint("Marketo was unavailable for a moment", "The error is on Marketo's side.", _SEND_AGAIN),
    "609": Hint("Marketo could not read the call", "The call was not valid JSON.", _REPORT_BUG),
    "610": Hint(
        "Marketo cannot find the program",
        "The program ID does not exist in this instance, or the address of the instance is wrong.",
        "Open the program in Marketo, copy the ID from its URL into program_links, and check domain_url.",
    ),
    "611": Hint(
        "Marketo had a system error",
        "The error is on Marketo's side. If it comes back for the same record, a value of that record causes it.",
        "Send the record again; if that fails, give Marketo support the request ID.",
    ),
    "612": Hint("Marketo could not read the call", "The call had the wrong content type.", _REPORT_BUG),
    "613": Hint("Marketo could not read the file", "The upload was not well formed.", _REPORT_BUG),
    "614": Hint(
        "Marketo cannot reach your instance",
        "The instance is temporarily down, or the address is wrong.",
        "Check domain_url, and send the record again later.",
    ),
    "615": Hint(
        "Too many calls at the same time",
        "All integrations of your company share 10 calls at the same time.",
        "Send the record again; if it happens often, lower delivery.concurrent_calls.",
    ),
    "616": Hint(
        "Your Marketo edition does not include this",
        "The subscription lacks the feature that the call needs.",
        "Ask your Marketo account manager, or leave the feature out of the configuration.",
    ),
    "701": Hint(
        "A required field is blank",
        "Marketo requires a value in this field.",
        "Marketo's message names the field: fill it in the source, or set lead_sync.blank_values to keep.",
    ),
    "702": Hint(
        "Marketo found nothing",
        "What was asked for does not exist in this instance.",
        "Check that the program still exists and that its ID in program_links is right.",
    ),
    "703": Hint(
        "A feature is not switched on in Marketo",
        "The call needs a feature that this instance does not have.",
        "Ask your Marketo account manager to enable it.",
    ),
    "704": Hint(
        "A date is not in the format that Marketo expects",
        "Dates are 2026-11-23, times 2026-11-23T10:00:00+00:00.",
        "Correct the value in the source and send the record again.",
    ),
    "709": Hint(
        "A rule of your Marketo instance forbids it",
        "The message says which rule.",
        "Read Marketo's message, and ask your Marketo admin.",
    ),
    "713": Hint("Marketo was busy for a moment", "The error is on Marketo's side.", _SEND_AGAIN),
    "719": Hint("Marketo was busy for a moment", "Another process was changing the same data.", _SEND_AGAIN),
}
