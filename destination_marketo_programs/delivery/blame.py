"""Which field Marketo means when it refuses a value: its answer has only a sentence for that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from destination_marketo_programs.mapping import field_detail
from destination_marketo_programs.mapping.values import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from destination_marketo_programs.model import Person
    from destination_marketo_programs.outcomes import Detail

_TYPE_WANTED = re.compile(r"\brequired of type\b.*$", re.IGNORECASE | re.DOTALL)
_AFTER_FIELD = re.compile(r"\bfield:? (\w+).*", re.DOTALL)
_NO_LETTER = re.compile(r"[\W_]+")
_QUOTED = "'{}'", '"{}"'


def refused_value(person: Person, message: str) -> Detail | None:
    """The field and value that a refusal is about; None if it fits none of the fields that were sent, or several.

    Marketo's sentence names the field, or quotes the value alone ("Invalid value '12 apples'. Required of type
    'currency'"): then it is the one field that was sent with this value.

    Args:
        person: with everything that the record says.
        message: as Marketo gave it.
    """
    sent = dict(_sent(person))
    sentence = _TYPE_WANTED.sub("", message).casefold()
    found = [name for name in sent if _names(sentence, name)]
    if not found:
        found = [name for name, value in sent.items() if (text := text_of(value)) and _quotes(sentence, text)]
    return field_detail(found[0], sent[found[0]]) if len(found) == 1 else None


def _sent(person: Person) -> Iterator[tuple[str, object]]:
    for fields in (person.on_create, person.if_blank, person.member_fields, person.fields):
        yield from (fields or {}).items()


def _quotes(sentence: str, text: str) -> bool:
    return any(quotes.format(text.casefold()) in sentence for quotes in _QUOTED)


def _names(sentence: str, name: str) -> bool:
    """Whether a sentence names a field: quoted, or bare behind the word, perhaps as people read it (Annual Revenue)."""
    if _quotes(sentence, name):
        return True
    after = _AFTER_FIELD.search(sentence)
    return after is not None and name.casefold() in {after[1], _NO_LETTER.sub("", after[0].removeprefix("field"))}
