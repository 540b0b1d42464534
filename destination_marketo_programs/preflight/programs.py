"""The linked programs: there, alive, with a channel; and what their type brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.model import Location, Problem, path_of
from destination_marketo_programs.preflight.faults import denied_program
from destination_marketo_programs.preflight.wording import also
from destination_marketo_programs.text import named, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.marketo.assets import Program
    from destination_marketo_programs.preflight.asking import Facts

_COMPARE = (
    "Open the program in Marketo and compare this number with the digits at the end of its URL (in PG1234A1, ME1234A1, "
    "NP1234A1 or EBP1234A1 it is 1234): the number of a list, folder or campaign names no program. If it is right, the "
    "program was deleted, or lies in a workspace for which the API user has no role (Admin > Security > Users & Roles)."
)

_ENGAGEMENT = ("engagement", "nurture")
_EMAIL = ("email", "email batch")


def program_problems(settings: Settings, facts: Facts) -> Iterator[Problem]:
    """Links to programs that nobody can become a member of, or should not."""
    places: dict[int, list[Location]] = {}
    for position, link in enumerate(settings.program_links):
        places.setdefault(link.program_id, []).append(("program_links", position, "program_id"))
    for program_id, (location, *others) in places.items():
        for message, fix in _findings(program_id, facts):
            yield Problem(location, message + also(list(map(path_of, others))), fix)


def _findings(program_id: int, facts: Facts) -> Iterator[tuple[str, str]]:
    if program_id in facts.missing:
        yield (
            f"Marketo shows the API user no program {program_id}.",
            _COMPARE,
        )
    if program_id in facts.denied:
        yield denied_program(program_id)
    program = facts.programs.get(program_id)
    if program is None:
        return
    folder = facts.archived_in.get(program_id)
    if folder is not None:
        yield (
            f"{named(program)} is archived: it lies in the archived folder {quoted(folder)}.",
            "Link a program in use, or unarchive the folder in Marketo or move the program out of it.",
        )
    if facts.channels is not None and program.channel not in facts.channels:
        yield (
            f"{named(program)} has the channel {quoted(program.channel)}, which Marketo does not list."
            if program.channel
            else f"{named(program)} has no channel, and so no statuses to give.",
            "Look at the channel under Admin > Tags > Channels, or link a program with another one.",
        )


def program_notes(programs: Iterable[Program]) -> Iterator[str]:
    """What happens to people in programs of special types. The spellings of types vary between Adobe's pages."""
    for program in programs:
        kind = program.type.casefold()
        if kind in _ENGAGEMENT:
            yield (
                f"{named(program)} is an engagement program: everyone added to it enters its first stream, and its "
                "content starts to flow to them."
            )
        elif kind in _EMAIL:
            yield (
                f"{named(program)} is an email program: its members are usually made by the send, and people added "
                "by this connector are members before it."
            )
