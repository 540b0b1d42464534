"""Records to targets and verdicts: pure, without I/O or clock."""

from destination_marketo_programs.mapping.columns import Column
from destination_marketo_programs.mapping.errors import RecordError
from destination_marketo_programs.mapping.fields import FieldCatalog, WritableField
from destination_marketo_programs.mapping.keys import fold_address, fold_for, primary_key_text
from destination_marketo_programs.mapping.mapper import Mapper
from destination_marketo_programs.mapping.texts import text_of

__all__ = [
    "Column",
    "FieldCatalog",
    "Mapper",
    "RecordError",
    "WritableField",
    "fold_address",
    "fold_for",
    "primary_key_text",
    "text_of",
]
