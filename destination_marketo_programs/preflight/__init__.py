"""Every read-only check of configuration, Marketo and storage, shared by `check`, `write` and `plan`.

Entry point: `run_preflight`. It asks (`asking`), and everything else judges what was answered: `programs`, `statuses`,
`fields`, `account`. None of the judging modules does I/O.
"""

from destination_marketo_programs.preflight.checks import Preflight, run_preflight
from destination_marketo_programs.preflight.statuses import StatusRank

__all__ = ["Preflight", "StatusRank", "run_preflight"]
