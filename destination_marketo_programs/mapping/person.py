"""Who a record is about: Marketo lead id, lookup value, and the fields to write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from destination_marketo_programs.mapping.columns import ABSENT, Column, Reader, Record, RecordError, columns_of
from destination_marketo_programs.mapping.domains import ExcludedDomains
from destination_marketo_programs.mapping.fields import (
    LONGEST_VALUE,
    FieldCatalog,
    FieldRules,
    FieldSource,
    Guard,
    converter,
    field_detail,
    sendable,
)
from destination_marketo_programs.mapping.identity import fold_for
from destination_marketo_programs.mapping.sources import EMAIL, LEAD_ID
from destination_marketo_programs.mapping.values import is_rounded, lead_id, shown, text_of
from destination_marketo_programs.model import UNREADABLE, LeadFields, Person
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    from collections.abc import Iterable

    from destination_marketo_programs.config.settings import LeadSync

# Marketo takes ASCII only and hardly checks anything else, so that a malformed address would become a lead
# that no mail reaches. The characters are those RFC 5322 allows without quotes: a comma would also split the
# list of keys in a query.
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+", re.ASCII
).fullmatch
_LONGEST_ADDRESS: Final = 255


class PersonMapper:
    """Builds the person of a record.

    Args:
        sources: what fills which field; of several for one field the last counts. One for the lead's `id` gives the
            Marketo lead id, one for `email` the address.
        sync: how people are found, what blank values mean, and which domains are excluded.
        fields: what Marketo says of its fields.
        marketo_id: column of the Marketo lead id; comes before a source for `id`.

    Attributes:
        unreadable_ids: records so far whose Marketo lead id is not a number. They are delivered by their lookup
            value.
    """

    def __init__(
        self,
        sources: Iterable[FieldSource],
        sync: LeadSync,
        fields: FieldCatalog,
        marketo_id: Column | None = None,
    ) -> None:
        sources = tuple(sources)
        self._columns = (*(source.column for source in sources), *([] if marketo_id is None else [marketo_id]))
        lead: dict[str, FieldSource] = {}
        member: dict[str, FieldSource] = {}
        for source in sources:
            (lead if source.marketo_object == "lead" else member)[source.marketo_field] = source
        self.unreadable_ids = 0
        self._lookup_field = sync.lookup_field
        self._looks_up_email = sync.lookup_field == EMAIL
        self._clear_blanks = sync.blank_values == "clear"
        self._excluded = ExcludedDomains(sync.excluded_email_domains) or None
        mapped_id = lead.pop(LEAD_ID, None)
        self._read_id = _id_reader(marketo_id, None if mapped_id is None else mapped_id.column)
        email = lead.pop(EMAIL, None)
        self._email = None if email is None else email.column
        self._email_guard: Guard = "always" if email is None else email.guard
        lookup = email if self._looks_up_email else lead.pop(sync.lookup_field, None)
        self._lookup = None if lookup is None else lookup.column
        self._fold = fold_for(sync.lookup_field, fields)
        known = fields.lead.get(sync.lookup_field) if fields.lead is not None else None
        # Text in a field of numbers is a type mismatch to Marketo (1001), in the lookup field as in any other.
        self._to_lookup_type = converter(known.data_type if known is not None else "string")
        self._longest_lookup = LONGEST_VALUE if known is None or known.length is None else known.length

        def rules(found: Iterable[FieldSource], writable: Any, *, clear: bool) -> FieldRules | None:
            chosen = tuple(found)
            return FieldRules(chosen, writable, clear_blanks=clear) if chosen else None

        def guarded(guard: Guard) -> FieldRules | None:
            return rules((s for s in lead.values() if s.guard == guard), fields.lead, clear=False)

        always = (source for source in lead.values() if source.guard in {"always", "only_true"})
        self._lead_rules = FieldRules(always, fields.lead, clear_blanks=self._clear_blanks)
        self._member_rules = rules(member.values(), fields.member, clear=self._clear_blanks)
        self._on_create, self._if_blank = guarded("on_create"), guarded("if_blank")

    @property
    def columns(self) -> frozenset[str] | None:
        """Every top-level column that a person is built from; None if one of them may be any."""
        return columns_of(self._columns)

    @property
    def lookup_column(self) -> Column | None:
        """The column of the lookup field; None if nothing fills it."""
        return self._lookup

    def person(self, record: Record) -> Person:
        """Build the person.

        Raises:
            RecordError: EXCLUDED, MISSING_KEY, INVALID_EMAIL, FIELD_INVALID or INVALID_RECORD.
        """
        marketo_id, unreadable = None, None
        if self._read_id is not None:
            given = self._read_id(record)
            marketo_id = None if given is None else lead_id(given)
            if marketo_id is None and not _is_blank(given):
                unreadable = given
                self.unreadable_ids += 1
        email = None if self._email is None else self._read_email(self._email, record, marketo_id)
        if self._looks_up_email:
            lookup_value: str | int | None = None if email is ABSENT else email
        else:
            lookup_value = None if self._lookup is None else self._read_lookup(self._lookup, record)
        if lookup_value is None and marketo_id is None:
            raise self._missing_key(unreadable)
        person = Person(
            marketo_id,
            lookup_value,
            None if lookup_value is None else self._fold(lookup_value),
            self._lead_rules.collect(record),
            {} if self._member_rules is None else self._member_rules.collect(record),
        )
        if self._on_create is not None:
            person.on_create = self._on_create.collect(record) or None
        if self._if_blank is not None:
            person.if_blank = self._if_blank.collect(record) or None
        if not self._looks_up_email and self._email is not None and email is not ABSENT:
            self._put_email(person, email)
        return person

    def excluded(self, record: Record) -> RecordError | None:
        """The refusal of a person whose email domain is excluded, else None."""
        if self._excluded is None or self._email is None:
            return None
        try:
            domain = self._excluded.match(self._email.read(record))
        except RecordError:
            return None
        return None if domain is None else _excluded(domain)

    def _put_email(self, person: Person, email: str | None) -> None:
        """Beside another lookup field, the address is a field like others."""
        match self._email_guard:
            case "on_create":
                person.on_create = _with_email(person.on_create, email)
            case "if_blank":
                person.if_blank = _with_email(person.if_blank, email)
            case _ if email is not None or self._clear_blanks:
                person.fields[EMAIL] = email

    def _read_email(self, column: Column, record: Record, marketo_id: int | None) -> Any:
        """The trimmed address; None if the record's is blank, ABSENT if there is none to send."""
        value = record.get(column.name, ABSENT) if column.reader is None else column.reader(record)
        if self._excluded is not None and (domain := self._excluded.match(value)):
            raise _excluded(domain)
        if type(value) is str:
            value = value.strip()
            if not value:
                return None
            if len(value) <= _LONGEST_ADDRESS and _ADDRESS(value):
                return value
        elif value is None or value is ABSENT:
            return value
        elif value is UNREADABLE:
            raise column.unreadable()
        if marketo_id is not None:
            return ABSENT
        raise RecordError(
            Category.INVALID_EMAIL,
            f"{column.origin} does not hold a valid ASCII email address.",
            field_detail(EMAIL, value),
        )

    def _read_lookup(self, column: Column, record: Record) -> str | int | None:
        """The value of a lookup field other than email, in the field's type; None if the record has none."""
        value = column.read(record)
        if value is ABSENT:
            return None
        if is_rounded(value):
            raise RecordError(
                Category.INVALID_RECORD,
                f"{column.origin} holds a number without its last digits. Have the source send it as text.",
                field_detail(self._lookup_field, value),
            )
        text = text_of(sendable(value, column, self._lookup_field))
        if text is None:
            return None
        text = text.strip()
        if len(text) > self._longest_lookup:
            raise RecordError(
                Category.FIELD_INVALID,
                f"{column.origin} holds a text longer than the {self._longest_lookup:,} characters that "
                f"{self._lookup_field} takes.",
                field_detail(self._lookup_field, text),
            )
        converted: str | int = self._to_lookup_type(text)
        return converted

    def _missing_key(self, unreadable_id: object) -> RecordError:
        if unreadable_id is not None:
            what, detail = "a Marketo lead id that is not a number", {"field": LEAD_ID, "value": shown(unreadable_id)}
        else:
            what, detail = "no Marketo lead id", {"field": self._lookup_field}
        if self._lookup is None:
            rest = f"nothing is mapped to {self._lookup_field}."
        else:
            rest = f"no {self._lookup_field} in {self._lookup.origin}."
        return RecordError(Category.MISSING_KEY, f"The record has {what}, and {rest}", detail)


def _excluded(domain: str) -> RecordError:
    message = "The email domain is one of lead_sync.excluded_email_domains."
    return RecordError(Category.EXCLUDED, message, {"domain": domain}, rejected=False)


def _is_blank(value: object) -> bool:
    return value is None or value is ABSENT or (isinstance(value, str) and not value.strip())


def _with_email(fields: LeadFields | None, email: str | None) -> LeadFields | None:
    return fields if email is None else {**(fields or {}), EMAIL: email}


def _id_reader(given: Column | None, mapped: Column | None) -> Reader | None:
    if given is None or mapped is None:
        column = given or mapped
        return None if column is None else column.read

    def read_either(record: Record) -> object:
        first, second = given.read(record), mapped.read(record)
        return first if lead_id(first) is not None or _is_blank(second) else second

    return read_either
