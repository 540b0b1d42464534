"""The linked programs: there, alive, with a channel; and what their type brings along."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.model import Problem
from destination_marketo_programs.preflight.faults import denied_program
from destination_marketo_programs.text import joined, named, numbered, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from destination_marketo_programs.config import ProgramLink, Settings
    from destination_marketo_programs.marketo.assets import Program
    from destination_marketo_programs.preflight.asking import Facts

_COMPARE = (
    "Compare the ID with the digits at the end of the program's URL (in PG1234A1, ME1234A1, NP1234A1 or EBP1234A1 it "
    "is 1234). The ID of a list, folder or campaign does not work here. If it is right, the program was deleted, or "
    "the API user has no role in its workspace (Admin > Security > Users & Roles)."
)

_ENGAGEMENT = ("engagement", "nurture")
_EMAIL = ("email", "email batch")
_MOST_NOTES = 20


def program_problems(settings: Settings, facts: Facts) -> Iterator[Problem]:
    """Links to programs that nobody can become a member of, or should not; one problem for each link and mistake."""
    for position, link in settings.placed_links():
        for message, fix in _findings(link, facts):
            yield Problem(("program_links", position, "program_id"), message, fix)


def _findings(link: ProgramLink, facts: Facts) -> Iterator[tuple[str, str]]:
    program_id = link.program_id
    if program_id in facts.missing:
        yield f"The API user cannot see program {program_id} in Marketo.", _COMPARE
    if program_id in facts.denied:
        yield denied_program(program_id)
    program = facts.programs.get(program_id)
    if program is None:
        return
    folder = facts.archived_in.get(program_id)
    if folder is not None and not link.allow_archived:
        yield (
            f"{named(program)} is in the archived folder {quoted(folder)}, and Marketo turns campaigns in it off.",
            "Link a program in use, unarchive the folder, or set allow_archived to true in this link.",
        )
    if facts.channels is not None and program.channel not in facts.channels:
        yield (
            f"{named(program)} has the channel {quoted(program.channel)}, which Marketo does not list."
            if program.channel
            else f"{named(program)} has no channel, so there are no statuses to set.",
            "Look at the channel under Admin > Tags > Channels, or link a program with another one.",
        )


def link_notes(links: Sequence[ProgramLink]) -> Iterator[str]:
    """Links that take every record."""
    open_links = [position for position, link in enumerate(links) if not link.event]
    if len(open_links) == 1:
        of_stream = " of its stream" if links[open_links[0]].stream else ""
        yield f"Program {numbered(open_links, 'link')} has no event, so it takes every record{of_stream}."
    elif open_links:
        yield f"Program {numbered(open_links, 'link')} have no event, so they take every record (of their streams)."


def program_notes(settings: Settings, facts: Facts) -> Iterator[str]:
    """What happens to people in archived programs and in programs of special types, alike ones in one note."""
    yield from _archived_notes(settings, facts)
    engagement = [program for program in facts.programs.values() if program.type.casefold() in _ENGAGEMENT]
    if engagement:
        yield (
            f"{_are(engagement, 'an engagement program', 'engagement programs')}: everyone added enters the first "
            "stream and starts to receive its content."
        )
    email = [program for program in facts.programs.values() if program.type.casefold() in _EMAIL]
    if email:
        yield (
            f"{_are(email, 'an email program', 'email programs')}: members are usually added by the send, and people "
            "added by this connector are members before it."
        )


def _archived_notes(settings: Settings, facts: Facts) -> Iterator[str]:
    allowed = dict.fromkeys(link.program_id for link in settings.program_links if link.allow_archived)
    archived = [facts.programs[number] for number in allowed if number in facts.archived_in]
    if archived:
        yield (
            f"{_are(archived, 'archived', 'archived')}, and allow_archived is set: people are added, but Marketo turns "
            "campaigns in archived folders off."
        )


def _are(programs: Iterable[Program], singular: str, plural: str) -> str:
    """`"A" (1) is an email program`; `"A" (1) and "B" (2) are email programs`. Spellings of types vary at Adobe."""
    names = [named(program) for program in programs]
    if len(names) == 1:
        return f"{names[0]} is {singular}"
    shown = names[:_MOST_NOTES] + ([f"{len(names) - _MOST_NOTES} more"] if len(names) > _MOST_NOTES else [])
    return f"{joined(shown)} are {plural}"
