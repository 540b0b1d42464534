"""Records to targets and verdicts: pure, without I/O or clock."""

from destination_marketo_programs.mapping.columns import Column, compile_column
from destination_marketo_programs.mapping.fields import FieldCatalog, FieldSource, WritableField, field_detail, guard_of
from destination_marketo_programs.mapping.identity import (
    can_be_queried,
    fold_address,
    fold_for,
    key_columns,
    primary_key_text,
)
from destination_marketo_programs.mapping.mapper import Mapper, RecordMapper, RuleMapper, Rules
from destination_marketo_programs.mapping.person import PersonMapper
from destination_marketo_programs.mapping.qualifiers import QualifierRules
from destination_marketo_programs.mapping.routing import Router

__all__ = [
    "Column",
    "FieldCatalog",
    "FieldSource",
    "Mapper",
    "PersonMapper",
    "QualifierRules",
    "RecordMapper",
    "Router",
    "RuleMapper",
    "Rules",
    "WritableField",
    "can_be_queried",
    "compile_column",
    "field_detail",
    "fold_address",
    "fold_for",
    "guard_of",
    "key_columns",
    "primary_key_text",
]
