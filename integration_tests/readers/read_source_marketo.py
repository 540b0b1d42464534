"""Airbyte's source for Marketo, asked by the command line as ever; only its pause of a minute between polls is shorter.

Runs in the environment that has this source.
"""

from __future__ import annotations

from source_marketo import source  # type: ignore[import-not-found] # in an environment of its own
from source_marketo.run import run  # type: ignore[import-not-found] # likewise

if __name__ == "__main__":
    source.MarketoExportBase.poll_interval = 0.5
    run()
