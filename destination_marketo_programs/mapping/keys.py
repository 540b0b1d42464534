"""A record's key, as its outcome shows it, and a person's key, as people are told apart by it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from destination_marketo_programs.mapping.texts import container, key_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.mapping.fields import FieldCatalog


def fold_for(lookup_field: str, fields: FieldCatalog) -> Callable[[object], str]:
    """How values of the lookup field are compared: addresses without regard to case, everything else as it is.

    Ids of other systems may differ in case alone and still mean two people.
    """
    known = fields.lead.get(lookup_field) if fields.lead is not None else None
    is_address = lookup_field == "email" or (known is not None and known.data_type.casefold() == "email")
    return fold_address if is_address else _fold_nothing


def fold_address(value: object) -> str:
    """An address as it is compared."""
    return str(value).strip().casefold()


def _fold_nothing(value: object) -> str:
    return str(value).strip()


def primary_key_text(data: object, paths: Sequence[Sequence[str]]) -> str | None:
    """Value of the stream's primary key; the parts of a composite key are joined by a comma.

    Args:
        data: the record's `data`. A nested Mobly record is looked through to its lead, where the
            record itself has no such column.
        paths: `primary_key` of the configured stream: one path per part.

    Returns:
        None where there is no primary key, or a part is null, blank, no scalar or absent.
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
    return parts[0] if len(parts) == 1 else ",".join(parts)


def _lead_of(data: dict[str, Any]) -> object:
    lead = data.get("lead")
    return container(lead) if isinstance(lead, str) else lead


def _descend(value: object, path: Sequence[str]) -> object:
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return value
