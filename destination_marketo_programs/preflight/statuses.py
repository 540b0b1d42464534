"""Program statuses of links and qualifier mappings against the channels. Marketo compares them exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.assets import NOT_IN_PROGRAM
from destination_marketo_programs.model import Location, Problem, path_of
from destination_marketo_programs.preflight.wording import also
from destination_marketo_programs.text import (
    did_you_mean,
    folded,
    joined,
    listed,
    named,
    nearest,
    quoted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from destination_marketo_programs.config import ProgramLink, QualifierMapping, Settings
    from destination_marketo_programs.marketo.assets import Program, Status

Finding = tuple[str, str]
"""Message and fix."""

_WHERE = "Admin > Tags > Channels"


class Statuses:
    """The statuses of every linked program whose channel is known.

    Args:
        programs: the programs found, by id.
        channels: statuses by channel name.
    """

    def __init__(self, programs: Mapping[int, Program], channels: Mapping[str, Sequence[Status]]) -> None:
        self._programs = {number: program for number, program in programs.items() if program.channel in channels}
        self._channels = channels

    def steps(self) -> dict[tuple[int, str], int]:
        """(program id, status name) -> step."""
        return {
            (program.id, status.name): status.step
            for program in self._programs.values()
            for status in self._channels[program.channel]
        }

    def by_program(self) -> dict[int, Sequence[Status]]:
        """Program id -> statuses in the order of its channel, hidden ones included."""
        return {program.id: self._channels[program.channel] for program in self._programs.values()}

    def problems(self, settings: Settings) -> Iterator[Problem]:
        """Statuses that Marketo would not find, or that nobody should be given."""
        yield from self._of_links(settings.program_links)
        for position, mapping in enumerate(settings.qualifier_mappings):
            yield from self._of_mapping(position, mapping)

    def _of_links(self, links: Sequence[ProgramLink]) -> Iterator[Problem]:
        places: dict[tuple[int, str], list[Location]] = {}
        for position, link in enumerate(links):
            location: Location = ("program_links", position, "program_status")
            places.setdefault((link.program_id, link.program_status), []).append(location)
        for (program_id, status), (location, *others) in places.items():
            program = self._programs.get(program_id)
            if program is not None and (finding := self._judge(status, [program])):
                message, fix = finding
                yield Problem(location, message + also(list(map(path_of, others))), fix)

    def _of_mapping(self, position: int, mapping: QualifierMapping) -> Iterator[Problem]:
        """A mapping without program has to hold for all of them; programs of one channel share the finding."""
        by_channel: dict[str, list[Program]] = {}
        for program in self._programs.values():
            if mapping.program_id in (None, program.id):
                by_channel.setdefault(program.channel, []).append(program)
        findings = [(programs, self._judge(mapping.program_status, programs)) for programs in by_channel.values()]
        wrong = [finding for _, finding in findings if finding is not None]
        only_some = mapping.program_id is None and len(wrong) < len(findings)
        for message, fix in wrong:
            closing = " Or name in program_id the one program that this mapping is for." if only_some else ""
            yield Problem(("qualifier_mappings", position, "program_status"), message, fix + closing)

    def _judge(self, name: str, programs: Sequence[Program]) -> Finding | None:
        """What is wrong with a status in programs of one channel."""
        statuses = self._channels[programs[0].channel]
        return judge(name, statuses, f"channel {quoted(programs[0].channel)}", _of(programs))

    def notes(self, settings: Settings) -> Iterator[str]:
        """What is allowed and may surprise."""
        steps = self.steps()
        for program in self._programs.values():
            links = [
                (position, link)
                for position, link in enumerate(settings.program_links)
                if link.program_id == program.id and (program.id, link.program_status) in steps
            ]
            yield from _differing_links(program, links)
            for position, mapping in enumerate(settings.qualifier_mappings):
                step = steps.get((program.id, mapping.program_status))
                if step is None or mapping.program_id not in (None, program.id):
                    continue
                later = {
                    link.program_status: f"program_links[{at}]"
                    for at, link in reversed(links)
                    if steps[program.id, link.program_status] > step
                }
                if later:
                    yield _earlier_status(program, position, mapping, later)


def judge(name: str, statuses: Sequence[Status], channel: str, programs: str) -> Finding | None:
    """Say why a status cannot be given to anyone; None if it can.

    Args:
        name: as configured.
        statuses: all of the channel, hidden ones included.
        channel: how messages name the channel.
        programs: how messages name the programs it belongs to.
    """
    usable = [status.name for status in statuses if not status.hidden and folded(status.name) != folded(NOT_IN_PROGRAM)]
    choices = f"The {channel} has {listed(usable)}." if usable else f"The {channel} has no other that can be used."
    if folded(name) == folded(NOT_IN_PROGRAM):
        return (
            f"{quoted(NOT_IN_PROGRAM)} stands for people who are no members, and this connector removes nobody.",
            f"Choose another status. {choices}",
        )
    exact = next((status for status in statuses if status.name == name), None)
    if exact is not None:
        if not exact.hidden:
            return None
        return (
            f"{quoted(name)} is a hidden status in {programs}.",
            f"Show it again under {_WHERE}, or choose another one. {choices}",
        )
    alike = next((status for status in statuses if folded(status.name) == folded(name)), None)
    if alike is not None and not alike.hidden:
        return (
            f"{quoted(name)} is not spelled as in {programs}: upper and lower case and spaces count.",
            f"Did you mean {quoted(alike.name)}?",
        )
    if alike is not None:
        return (
            f"{quoted(name)} is not spelled as in {programs}, where {quoted(alike.name)} is a hidden status.",
            f"Show {quoted(alike.name)} again under {_WHERE} and spell it like that, or choose another one. {choices}",
        )
    near = nearest(name, {status: status for status in usable})
    return f"There is no status {quoted(name)} in {programs}.", f"{did_you_mean(near)}{choices}"


def _of(programs: Sequence[Program]) -> str:
    return joined([named(program) for program in programs])


def _differing_links(program: Program, links: Sequence[tuple[int, ProgramLink]]) -> Iterator[str]:
    first = {link.program_status: position for position, link in reversed(links)}
    if len(first) > 1:
        places = joined(
            [f"program_links[{at}] ({quoted(status)})" for status, at in sorted(first.items(), key=_second)]
        )
        yield (
            f"{named(program)} has links with different statuses: {places}. Where a record matches several of them, "
            "the first one counts; where several records of a person do, the status furthest along stays."
        )


def _second(pair: tuple[str, int]) -> int:
    return pair[1]


def _earlier_status(program: Program, position: int, mapping: QualifierMapping, later: Mapping[str, str]) -> str:
    further = joined([f"{quoted(status)} of {path}" for status, path in later.items()])
    return (
        f"qualifier_mappings[{position}]: in {named(program)} {quoted(mapping.program_status)} comes before {further}. "
        f"New members get {quoted(mapping.program_status)} by it; people who are further along already stay where "
        "they are, because Marketo never moves anyone back."
    )
