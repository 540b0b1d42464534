"""Which field Marketo means when it refuses a value: its answer has only a sentence for that."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from destination_marketo_programs.mapping.fields import field_detail
from destination_marketo_programs.mapping.values import text_of
from destination_marketo_programs.outcomes import Category

if TYPE_CHECKING:
    from destination_marketo_programs.model import LeadFields
    from destination_marketo_programs.outcomes import Refusal

_TYPE_WANTED = re.compile(r"\brequired of type\b.*$", re.IGNORECASE | re.DOTALL)
_AFTER_FIELD = re.compile(r"\bfield:? (\w+).*", re.DOTALL)
_NO_LETTER = re.compile(r"[\W_]+")
_QUOTED = "'{}'", '"{}"'


def with_field(refusal: Refusal, *sent: LeadFields | None) -> Refusal:
    """The refusal with the field at fault and its value as `detail`, if Marketo's sentence leaves no doubt.

    Marketo names the field, or quotes the value alone ("Invalid value '12 apples'. Required of type 'currency'"):
    then it is the one field that was sent with this value.

    Args:
        refusal: what Marketo said of a record; returned as it is unless a field is at fault.
        sent: the fields that were sent, by REST name.
    """
    if refusal.category is not Category.FIELD_INVALID or refusal.detail or not refusal.message:
        return refusal
    fields = {name: value for some in sent if some for name, value in some.items()}
    sentence = _TYPE_WANTED.sub("", refusal.message).casefold()
    named = [name for name in fields if _names(sentence, name)]
    found = named or [name for name, value in fields.items() if (text := text_of(value)) and _quotes(sentence, text)]
    if len(found) != 1:
        return refusal
    return refusal._replace(detail=field_detail(found[0], fields[found[0]]))


def _quotes(sentence: str, text: str) -> bool:
    return any(quotes.format(text.casefold()) in sentence for quotes in _QUOTED)


def _names(sentence: str, name: str) -> bool:
    """Whether a sentence names a field: quoted, or bare at its end, perhaps as people read it ("Annual Revenue")."""
    if _quotes(sentence, name):
        return True
    after = _AFTER_FIELD.search(sentence)
    return after is not None and name.casefold() in {after[1], _NO_LETTER.sub("", after[0].removeprefix("field"))}
