"""Who a record is about: Marketo lead id, lookup value, and the fields to write."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from destination_marketo_programs.mapping.columns import ABSENT, Column, Compile, Reader, Record, compile_column
from destination_marketo_programs.mapping.errors import RecordError
from destination_marketo_programs.mapping.fields import (
    FieldCatalog,
    FieldRules,
    converter,
    sendable,
)
from destination_marketo_programs.mapping.keys import fold_for
from destination_marketo_programs.mapping.mobly import DEFAULT_FIELDS, marketo_lead_id
from destination_marketo_programs.mapping.texts import lead_id, text_of
from destination_marketo_programs.model import Person
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    from destination_marketo_programs.config import Settings

EMAIL: Final = "email"
LEAD_ID: Final = "id"

# Marketo takes ASCII only and hardly checks anything else, so that a malformed address would become a lead
# that no mail reaches. The characters are those RFC 5322 allows without quotes: a comma would also split the
# list of keys in a query.
_ADDRESS: Final = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+", re.ASCII
).fullmatch
_LONGEST_ADDRESS: Final = 255


class PersonMapper:
    """Builds the person of a record from the compiled record and field mappings.

    Attributes:
        dropped_defaults: fields that the mobly mapping fills by itself, left out because Marketo does not
            list them as writable. Fields that the user mapped are never left out.
    """

    def __init__(self, settings: Settings, fields: FieldCatalog, compiled: Compile = compile_column) -> None:
        sync = settings.lead_sync
        lead_columns: dict[str, Column] = {}
        member_columns: dict[str, Column] = {}
        for position, mapping in enumerate(settings.field_mappings):
            column = compiled(mapping.record_field, f"field_mappings[{position}].record_field")
            if mapping.marketo_object == "lead":
                lead_columns[mapping.marketo_field] = column
            else:
                member_columns[mapping.marketo_field] = column
        defaults = self._default_columns(settings, compiled)
        self.dropped_defaults: tuple[str, ...] = tuple(
            name
            for name in defaults
            if name not in lead_columns
            and name not in {sync.lookup_field, LEAD_ID}
            and fields.lead is not None
            and name not in fields.lead
        )
        for name, column in defaults.items():
            if name not in self.dropped_defaults:
                lead_columns.setdefault(name, column)

        self._lookup_field = sync.lookup_field
        self._clear_blanks = sync.blank_values == "clear"
        self._read_id = self._id_reader(settings, lead_columns.pop(LEAD_ID, None), compiled)
        self._email = lead_columns.pop(EMAIL, None)
        self._lookup = self._email if sync.lookup_field == EMAIL else lead_columns.pop(sync.lookup_field, None)
        self._looks_up_email = sync.lookup_field == EMAIL
        self._fold = fold_for(sync.lookup_field, fields)
        known = fields.lead.get(sync.lookup_field) if fields.lead is not None else None
        # Text in a field of numbers is a type mismatch to Marketo (1001), in the lookup field as in any other.
        self._to_lookup_type = converter(known.data_type if known is not None else "string")
        self._lead_rules = FieldRules(lead_columns, fields.lead, clear_blanks=self._clear_blanks)
        self._member_rules = (
            FieldRules(member_columns, fields.member, clear_blanks=self._clear_blanks) if member_columns else None
        )

    @staticmethod
    def _default_columns(settings: Settings, compiled: Compile) -> dict[str, Column]:
        mapping = settings.record_mapping
        if mapping.mapping_type == "custom":
            if not mapping.email:
                return {}
            return {EMAIL: compiled(mapping.email, "record_mapping.email")}
        named = {EMAIL: (EMAIL, None), **DEFAULT_FIELDS}
        return {name: Column(column, f'Mobly\'s "{column}"', reader) for name, (column, reader) in named.items()}

    @staticmethod
    def _id_reader(settings: Settings, mapped: Column | None, compiled: Compile) -> Reader | None:
        mapping = settings.record_mapping
        if mapping.mapping_type == "mobly":
            given: Reader | None = marketo_lead_id
        elif mapping.marketo_lead_id:
            given = compiled(mapping.marketo_lead_id, "record_mapping.marketo_lead_id").read
        else:
            given = None
        if mapped is None:
            return given
        if given is None:
            return mapped.read
        return lambda record: lead_id(given(record)) or mapped.read(record)

    def person(self, record: Record) -> Person:
        """Build the person.

        Raises:
            RecordError: MISSING_KEY, INVALID_EMAIL, FIELD_INVALID or INVALID_RECORD.
        """
        marketo_id = None if self._read_id is None else lead_id(self._read_id(record))
        if self._looks_up_email:
            email = None if self._email is None else self._read_email(self._email, record, marketo_id)
            lookup_value: str | int | None = None if email is ABSENT else email
        else:
            text = None if self._lookup is None else _lookup_text(self._lookup, record)
            lookup_value = None if text is None else self._to_lookup_type(text)
            email = ABSENT if self._email is None else self._read_email(self._email, record, marketo_id)
        if lookup_value is None and marketo_id is None:
            raise RecordError(Category.MISSING_KEY, self._missing_key())
        fields = self._lead_rules.collect(record)
        if not self._looks_up_email and email is not ABSENT and (email is not None or self._clear_blanks):
            fields[EMAIL] = email
        return Person(
            marketo_id,
            lookup_value,
            None if lookup_value is None else self._fold(lookup_value),
            fields,
            {} if self._member_rules is None else self._member_rules.collect(record),
        )

    def _read_email(self, column: Column, record: Record, marketo_id: int | None) -> Any:
        """The trimmed address; None where the record's is blank, ABSENT where there is none to send."""
        value = record.get(column.name, ABSENT) if column.reader is None else column.reader(record)
        if type(value) is str:
            value = value.strip()
            if not value:
                return None
            if len(value) <= _LONGEST_ADDRESS and _ADDRESS(value):
                return value
        elif value is None or value is ABSENT:
            return value
        if marketo_id is not None:
            return ABSENT
        raise RecordError(Category.INVALID_EMAIL, f"{column.origin} holds no valid ASCII email address.")

    def _missing_key(self) -> str:
        if self._lookup is None:
            return f"The record has no Marketo lead id, and nothing is mapped to {self._lookup_field}."
        return f"The record has no Marketo lead id, and no {self._lookup_field} in {self._lookup.origin}."


def _lookup_text(column: Column, record: Record) -> str | None:
    value = column.read(record)
    if value is ABSENT:
        return None
    text = text_of(sendable(value, column.origin))
    return None if text is None else text.strip()
