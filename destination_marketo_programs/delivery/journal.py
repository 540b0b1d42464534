"""What other runs of the same Marketo instance have to know of this one, told before it happens."""

from __future__ import annotations

from typing import Protocol


class Journal(Protocol):
    """Any thread may tell; each method returns once it is written down where other runs look."""

    def creating(self) -> None:
        """A call that may create people is about to be sent."""

    def uploading(self, program_id: int, program_status: str) -> None:
        """A file of people is about to be uploaded."""

    def uploaded(self, program_id: int, batch_id: int) -> None:
        """It is an import job now."""

    def not_uploaded(self, program_id: int) -> None:
        """It certainly is not."""

    def job_ended(self, batch_id: int) -> None:
        """Marketo is done with an import job."""

    def in_doubt(self, text: str) -> None:
        """Nobody knows whether this was executed; text without person data."""


class NoJournal:
    """Without a storage nobody can be told."""

    def creating(self) -> None:
        """Nothing."""

    def uploading(self, program_id: int, program_status: str) -> None:
        """Nothing."""

    def uploaded(self, program_id: int, batch_id: int) -> None:
        """Nothing."""

    def not_uploaded(self, program_id: int) -> None:
        """Nothing."""

    def job_ended(self, batch_id: int) -> None:
        """Nothing."""

    def in_doubt(self, text: str) -> None:
        """Nothing."""
