"""Which programs are read by lead id and which by extract: whichever needs fewer calls. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.marketo.extracts import MAX_PROGRAMS_PER_EXTRACT
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from destination_marketo_programs.reconcile.expected import ProgramSize

MAX_READ_CALLS = 8
"""2,400 leads. An extract takes at least five calls and some minutes, and its polls come on top."""

BYTES_PER_MEMBER = 120
"""A line of an extract, rather too long than too short: two numbers, an email, a status and two times."""


class ReadPlan(NamedTuple):
    """How the members of each program are read.

    Attributes:
        extracts: the programs of each extract, at most 10.
        reads: programs that are read by lead id.
        too_large: those of `reads` whose extract would be larger than allowed.
    """

    extracts: list[list[int]]
    reads: list[int]
    too_large: list[int]


def read_calls(size: ProgramSize) -> int:
    """Calls that reading a program by lead id takes; people whose id is not known are looked up first."""
    return -(-(size.leads + size.keys) // MAX_ROWS_PER_CALL) + -(-size.keys // MAX_ROWS_PER_CALL)


def plan_reads(sizes: Sequence[ProgramSize], max_export_bytes: int) -> ReadPlan:
    """Put programs of more than 2,400 leads into extracts, and smaller ones where an extract has room for them.

    Args:
        sizes: of every program.
        max_export_bytes: what the extracts of one run may hold together, as far as it can be told beforehand.
    """
    by_calls = sorted(sizes, key=lambda size: (-read_calls(size), size.program_id))
    extracts: list[list[int]] = []
    reads: list[int] = []
    too_large: list[int] = []
    left = max_export_bytes
    for size in by_calls:
        calls, bytes_ = read_calls(size), (size.leads + size.keys) * BYTES_PER_MEMBER
        room = bool(extracts) and len(extracts[-1]) < MAX_PROGRAMS_PER_EXTRACT
        wanted = calls > MAX_READ_CALLS or (room and calls > 1)
        if wanted and bytes_ <= left:
            if not room:
                extracts.append([])
            extracts[-1].append(size.program_id)
            left -= bytes_
            continue
        reads.append(size.program_id)
        if calls > MAX_READ_CALLS:
            too_large.append(size.program_id)
    return ReadPlan(extracts, sorted(reads), sorted(too_large))
