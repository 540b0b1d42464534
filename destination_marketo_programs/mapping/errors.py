"""How mapping says that a record cannot be used."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from destination_marketo_programs.outcomes import Category


class RecordError(Exception):
    """A record, or its person, cannot be delivered.

    Attributes:
        category: the outcome's category.
        message: what is wrong and where. Never a value that came from the record.
    """

    def __init__(self, category: Category, message: str) -> None:
        super().__init__(message)
        self.category = category
        self.message = message
