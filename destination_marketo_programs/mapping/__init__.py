"""Records to targets and verdicts: pure, without I/O or clock."""

from destination_marketo_programs.mapping.fields import FieldCatalog, WritableField
from destination_marketo_programs.mapping.keys import fold_address, fold_for, primary_key_text
from destination_marketo_programs.mapping.mapper import Mapper

__all__ = ["FieldCatalog", "Mapper", "WritableField", "fold_address", "fold_for", "primary_key_text"]
