"""Mobly's lead: one flat view of its accepted shapes, and what it says without any configuration.

Source: `LeadV0Response` of Mobly's REST API v0, with `event_id` and `event_name` beside its fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from destination_marketo_programs.mapping.columns import ABSENT, Reader, Record
from destination_marketo_programs.mapping.values import container, lead_id
from destination_marketo_programs.model import UNREADABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

_STRUCTURED: Final = ("company", "tags", "remoteIds", "phoneNumbers", "activations")
_OUTER_WINS: Final = ("event_id", "event_name")
_COLUMNS: Final = (
    "createdAt", "isEnriched", "firstName", "lastName", "jobTitle", "phoneNumbers", "numberOfScans",
    "lastScannedBy", "leadActivityEvents", "remoteIds", "checkedIn",
)  # fmt: skip
_FOLDED: Final = {name.lower(): name for name in _COLUMNS}
_FOLDED_NAMES: Final = frozenset(_FOLDED)


def lead_view(record: Record) -> Record:
    """The lead's columns with the event's beside them, whichever shape the record has.

    Accepted: flat; nested as `{"event_id", "registered", "checkedIn", "lead": {…}}`; objects and lists as
    JSON text, and column names in lower case, as PyAirbyte's cache hands them on. The record itself is not
    changed.
    """
    view = record
    lead = record.get("lead")
    if isinstance(lead, str):
        lead = container(lead)
    if isinstance(lead, dict):
        view = {**record, **lead, "lead": lead}
        for name in _OUTER_WINS:
            if record.get(name) is not None:
                view[name] = record[name]
    if "firstName" not in view and not _FOLDED_NAMES.isdisjoint(view):
        view = {**{_FOLDED.get(name, name): value for name, value in view.items()}, **view}
    for name in _STRUCTURED:
        value = view.get(name)
        if isinstance(value, str) and (parsed := container(value)) is not None:
            if view is record:
                view = record.copy()
            view[name] = parsed
    return view


def spellings(columns: Iterable[str]) -> set[str]:
    """Every top-level column in which `lead_view` may find one of these."""
    named = {*columns, "firstName", "lead"}
    return named | {name.lower() for name in named if name in _COLUMNS}


def marketo_lead_id(view: Record) -> object:
    """Marketo's id of the lead in `remoteIds`: the first that can be read, else the first that is there, else None."""
    entries = view.get("remoteIds")
    unreadable: object = None
    if isinstance(entries, list):
        for entry in entries:
            if isinstance(entry, dict) and entry.get("integrationType") == "MARKETO":
                given = entry.get("id")
                number = lead_id(given)
                if number is not None:
                    return number
                unreadable = unreadable or given
    return unreadable


def _company(member: str) -> Reader:
    def read(view: Record) -> Any:
        company = view.get("company", ABSENT)
        if isinstance(company, dict):
            return company.get(member, ABSENT)
        if isinstance(company, str) and member == "name":
            return company
        return company if company is None or company is UNREADABLE else ABSENT

    return read


def _phone(*, mobile: bool) -> Reader:
    """The first number of a kind: what the lead gave before what Mobly found, preferred before others."""

    def read(view: Record) -> Any:
        numbers = view.get("phoneNumbers", ABSENT)
        if not isinstance(numbers, dict):
            return numbers if numbers is None or numbers is UNREADABLE else ABSENT
        return _pick(numbers.get("leadProvided"), mobile) or _pick(numbers.get("moblyProvided"), mobile)

    return read


def _pick(entries: object, mobile: bool) -> str | None:
    first: str | None = None
    if isinstance(entries, list):
        for entry in entries:
            if isinstance(entry, dict) and (entry.get("type") == "MOBILE") is mobile:
                number = entry.get("number")
                if isinstance(number, str) and number.strip():
                    if entry.get("preferred") is True:
                        return number
                    first = first or number
    return first


DEFAULT_FIELDS: Final[dict[str, tuple[str, Reader | None]]] = {
    "firstName": ("firstName", None),
    "lastName": ("lastName", None),
    "title": ("jobTitle", None),
    "company": ("company.name", _company("name")),
    "phone": ("phoneNumbers", _phone(mobile=False)),
    "mobilePhone": ("phoneNumbers", _phone(mobile=True)),
    "address": ("address", None),
    "billingStreet": ("company.streetAddress", _company("streetAddress")),
    "billingCity": ("company.city", _company("city")),
    "billingState": ("company.state", _company("state")),
    "billingPostalCode": ("company.zip", _company("zip")),
    "billingCountry": ("company.country", _company("country")),
}
"""Marketo REST name -> the Mobly column it comes from, with a reader where a plain lookup does not do.

The company's address goes to the company's billing fields. Marketo's `city`, `state`, `postalCode` and `country` are
the person's own, and the country decides routing and consent."""
