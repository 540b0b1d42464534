"""Which value of a person Marketo's answer is about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from destination_marketo_programs.mapping import field_detail
from destination_marketo_programs.mapping.values import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from destination_marketo_programs.model import Person
    from destination_marketo_programs.outcomes import Detail


def refused_value(person: Person, message: str) -> Detail | None:
    """The field and value that a refusal is about; None if it fits none of the fields that were sent, or several.

    Marketo's sentence quotes the value ("Invalid value '12 apples'. Required of type 'currency'"), or names the field.

    Args:
        person: with everything that the record says.
        message: as Marketo gave it.
    """
    sent = dict(_sent(person))
    quoting = [name for name, value in sent.items() if f"'{text_of(value)}'" in message]
    if len(quoting) != 1:
        words = set(re.findall(r"\w+", message))
        quoting = [name for name in quoting or sent if name in words]
    return field_detail(quoting[0], sent[quoting[0]]) if len(quoting) == 1 else None


def _sent(person: Person) -> Iterator[tuple[str, object]]:
    for fields in (person.on_create, person.if_blank, person.member_fields, person.fields):
        yield from (fields or {}).items()
