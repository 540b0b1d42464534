"""Airbyte destination that makes leads members of Marketo Programs."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from destination_marketo_programs.destination import DestinationMarketoPrograms

__all__ = ["DestinationMarketoPrograms", "__version__"]

try:
    __version__ = metadata.version("airbyte-destination-marketo-programs")
except metadata.PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0.0.0"


def __getattr__(name: str) -> Any:
    # Importing the CDK takes over a second; commands for people (report, sandbox) do not need it.
    if name == "DestinationMarketoPrograms":
        from destination_marketo_programs.destination import (  # noqa: PLC0415 - see above
            DestinationMarketoPrograms,
        )

        return DestinationMarketoPrograms
    raise AttributeError(name)
