"""Stored outcomes to one page that a marketing-operations person can act on.

Doors: `write_report` for the page, `summary_of` for the same as data, `cli` for the command.
"""

from destination_marketo_programs.report.writing import Written, summary_of, write_report

__all__ = ["Written", "summary_of", "write_report"]
