"""`python -m destination_marketo_programs`."""

from destination_marketo_programs.run import run

run()
