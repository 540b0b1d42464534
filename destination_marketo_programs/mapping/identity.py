"""A record's key, as its outcome shows it, and a person's key, as people are told apart by it."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any, Final

from destination_marketo_programs.mapping.values import container, key_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from destination_marketo_programs.mapping.fields import FieldCatalog

_LEAD: Final = "lead"
_ASCII_LOWER: Final = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


def fold_for(lookup_field: str, fields: FieldCatalog) -> Callable[[object], str]:
    """How values of the lookup field are compared: addresses without regard to case, everything else as it is.

    Ids of other systems may differ in case alone and still mean two people. This is the only place that decides who
    is the same person: rows, result files and memory all compare what the function given here makes of a value.
    """
    known = fields.lead.get(lookup_field) if fields.lead is not None else None
    is_address = lookup_field == "email" or (known is not None and known.data_type.casefold() == "email")
    return fold_address if is_address else _fold_nothing


def fold_address(value: object) -> str:
    """An address as it is compared. Only ASCII letters are folded: straße and STRASSE are two addresses."""
    text = (value if type(value) is str else str(value)).strip()
    return text.lower() if text.isascii() else text.translate(_ASCII_LOWER)


def _fold_nothing(value: object) -> str:
    return str(value).strip()


def can_be_queried(value: object) -> bool:
    """Whether Marketo can be asked for leads with this value: it splits the values of a query at every comma."""
    return "," not in str(value)


def primary_key_text(data: object, paths: Sequence[Sequence[str]]) -> str | None:
    """Value of the stream's primary key: the text of a single one, a JSON list of texts for a composite one.

    A list says where one part ends: `a,b` and `c` are another key than `a` and `b,c`.

    Args:
        data: the record's `data`. A nested Mobly record is looked through to its lead, where the
            record itself has no such column.
        paths: `primary_key` of the configured stream: one path per part.

    Returns:
        None if there is no primary key, or a part is null, blank, no scalar or absent.
    """
    if not paths or not isinstance(data, dict):
        return None
    parts: list[str] = []
    for path in paths:
        part = key_text(_descend(data, path))
        if part is None:
            part = key_text(_descend(_lead_of(data), path))
        if part is None:
            return None
        parts.append(part)
    return parts[0] if len(parts) == 1 else json.dumps(parts, ensure_ascii=False, separators=(",", ":"))


def key_columns(paths: Iterable[Sequence[str]]) -> frozenset[str]:
    """Top-level columns that `primary_key_text` looks at for these paths, whichever stream they are of."""
    first = {path[0] for path in paths if path}
    return frozenset(first | {_LEAD} if first else first)


def _lead_of(data: dict[str, Any]) -> object:
    lead = data.get(_LEAD)
    return container(lead) if isinstance(lead, str) else lead


def _descend(value: object, path: Sequence[str]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
