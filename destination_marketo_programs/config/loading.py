"""From raw JSON to `Settings`, or to every problem in it at once, told for the person who fills in the form."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import TypeAdapter, ValidationError

from destination_marketo_programs.config.contradictions import Draft, contradictions, draft_of
from destination_marketo_programs.config.explain import explain
from destination_marketo_programs.config.places import in_form_order
from destination_marketo_programs.config.settings import (
    DeliverySettings,
    FieldMapping,
    LeadSync,
    OutcomeStorage,
    ProgramLink,
    QualifierMapping,
    RecordMapping,
    Settings,
)

if TYPE_CHECKING:
    from destination_marketo_programs.model import Problem


class LoadedSettings(msgspec.Struct, frozen=True):
    """What became of a raw configuration.

    Attributes:
        settings: None where the configuration cannot be read. With settings there may still be problems: they
            forbid writing, but checks against Marketo can go on and report theirs as well.
        problems: in the order of the form; empty when all is well.
    """

    settings: Settings | None
    problems: list[Problem]


def load_settings(raw: Any, *, cloud: bool) -> LoadedSettings:
    """Read a configuration. Never raises, whatever JSON `raw` is.

    Args:
        raw: the decoded JSON of the configuration.
        cloud: whether the connector runs on Airbyte Cloud, where neither a local sandbox nor a local folder exists.

    Returns:
        The settings unless a value is missing, unknown or unusable; and all problems, those of single values as
        well as those between settings. No problem holds a secret.
    """
    try:
        settings = Settings.model_validate(raw, context={"cloud": cloud})
    except ValidationError as error:
        findings = [explain(detail) for detail in error.errors(include_url=False)]
        if isinstance(raw, dict):
            findings += contradictions(_salvage(raw), cloud=cloud)
        return LoadedSettings(None, in_form_order(findings))
    return LoadedSettings(settings, in_form_order([*contradictions(draft_of(settings), cloud=cloud)]))


def _salvage(raw: dict[Any, Any]) -> Draft:
    """Read every part on its own, so that one wrong value does not hide what contradicts elsewhere."""
    return Draft(
        program_links=_each(ProgramLink, raw.get("program_links")) or (None,),
        qualifier_mappings=_each(QualifierMapping, raw.get("qualifier_mappings")),
        record_mapping=_one(RecordMapping, raw.get("record_mapping") or {"mapping_type": "mobly"}),
        field_mappings=_each(FieldMapping, raw.get("field_mappings")),
        lead_sync=_one(LeadSync, raw.get("lead_sync") or {}),
        object_storage_config=_one(OutcomeStorage, raw.get("object_storage_config") or {"storage_type": "None"}),
        delivery=_one(DeliverySettings, raw.get("delivery") or {}),
    )


def _one(kind: Any, raw: Any) -> Any:
    """Return what `raw` reads as, or None where it cannot be read."""
    try:
        return TypeAdapter(kind).validate_python(raw)
    except ValidationError:
        return None


def _each(kind: Any, raw: Any) -> tuple[Any, ...]:
    """Return what each element reads as; a list that is none counts as one element that cannot be read."""
    if raw is None:
        return ()
    return tuple(_one(kind, element) for element in raw) if isinstance(raw, list) else (None,)
