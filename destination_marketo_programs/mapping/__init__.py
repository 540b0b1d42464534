"""Records to targets and verdicts: pure, without I/O or clock."""

from destination_marketo_programs.mapping.fields import FieldCatalog, WritableField
from destination_marketo_programs.mapping.keys import primary_key_text
from destination_marketo_programs.mapping.mapper import Mapper

__all__ = ["FieldCatalog", "Mapper", "WritableField", "primary_key_text"]
