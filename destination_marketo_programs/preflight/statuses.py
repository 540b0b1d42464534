"""Program statuses of links and qualifier mappings against the channels. Marketo compares them exactly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.marketo.assets import NOT_IN_PROGRAM
from destination_marketo_programs.model import Location, Problem
from destination_marketo_programs.text import Names, counted, did_you_mean, folded, joined, listed, named, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from destination_marketo_programs.config import ProgramLink, QualifierMapping, Settings
    from destination_marketo_programs.marketo.assets import Program, Status

_WHERE = "Admin > Tags > Channels"
_MOST_PROGRAMS = 3
_MOST_NOTES = 20
"""Notes of one kind; a configuration with more has other worries than the hundredth."""


class StatusRank(NamedTuple):
    """Which of several statuses of one program a person gets: the greatest. Compares as a tuple does.

    Attributes:
        step: of the channel; Marketo never moves anyone to a lower one.
        success: whether the status counts as success.
        position: in the channel's list.
    """

    step: int
    success: bool
    position: int


Scope = int | str
"""A program by its id, or all programs of a channel by its name."""


class Ranks(Mapping[tuple[int, str], StatusRank]):
    """(program id, status name) -> rank; programs of one channel share its ranks.

    Args:
        by_program: program id -> status name -> rank.
    """

    def __init__(self, by_program: Mapping[int, Mapping[str, StatusRank]]) -> None:
        self._by_program = by_program

    def __getitem__(self, key: tuple[int, str]) -> StatusRank:
        """Raises KeyError for programs and statuses that are not known."""
        program_id, status = key
        return self._by_program[program_id][status]

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Every known pair, program by program."""
        return ((program_id, status) for program_id, ranks in self._by_program.items() for status in ranks)

    def __len__(self) -> int:
        """Number of known pairs."""
        return sum(map(len, self._by_program.values()))


class Finding(NamedTuple):
    """What is wrong with a status in a channel; `{programs}` in `message` stands for the programs concerned."""

    message: str
    fix: str


class Statuses:
    """The statuses of every linked program whose channel is known.

    Args:
        programs: the programs found, by id.
        channels: statuses by channel name.
    """

    def __init__(self, programs: Mapping[int, Program], channels: Mapping[str, Sequence[Status]]) -> None:
        self._programs = {number: program for number, program in programs.items() if program.channel in channels}
        self._channels = channels
        self._by_channel: dict[str, list[Program]] = {}
        for program in self._programs.values():
            self._by_channel.setdefault(program.channel, []).append(program)
        self._judges = {name: Judge(name, channels[name]) for name in self._by_channel}
        self._ranks = {name: _ranks(channels[name]) for name in self._by_channel}

    def ranks(self) -> Ranks:
        """(program id, status name) -> rank, hidden statuses included."""
        return Ranks({program.id: self._ranks[program.channel] for program in self._programs.values()})

    def by_program(self) -> dict[int, Sequence[Status]]:
        """Program id -> statuses in the order of its channel."""
        return {program.id: self._channels[program.channel] for program in self._programs.values()}

    # --- problems --------------------------------------------------------------------------------------------

    def problems(self, settings: Settings) -> Iterator[Problem]:
        """Statuses that Marketo would not find, or that nobody should be given."""
        yield from self._of_links(settings.placed_links())
        yield from self._of_mappings(settings.placed_qualifier_mappings())

    def _of_links(self, links: Iterable[tuple[int, ProgramLink]]) -> Iterator[Problem]:
        slips = _Slips("program_links")
        for position, link in links:
            program = self._programs.get(link.program_id)
            finding = self._judges[program.channel].judge(link.program_status) if program else None
            if program and finding:
                slips.add(position, finding, [program.id])
        yield from slips.problems(self._named)

    def _of_mappings(self, mappings: Iterable[tuple[int, QualifierMapping]]) -> Iterator[Problem]:
        slips = _Slips("qualifier_mappings")
        found: dict[tuple[int | None, str], list[tuple[Finding, list[Scope]]]] = {}
        for position, mapping in mappings:
            key = (mapping.program_id, mapping.program_status)
            if key not in found:
                found[key] = self._of_mapping(*key)
            for finding, scopes in found[key]:
                slips.add(position, finding, scopes)
        yield from slips.problems(self._named)

    def _of_mapping(self, program_id: int | None, status: str) -> list[tuple[Finding, list[Scope]]]:
        """A mapping without program has to hold for all of them; one mistake in several channels is one finding."""
        if program_id is None:
            channels: dict[str, Scope] = {name: name for name in self._by_channel}
        else:
            program = self._programs.get(program_id)
            channels = {program.channel: program.id} if program else {}
        wrong: dict[str, tuple[list[Scope], dict[str, None]]] = {}
        right = 0
        for name, scope in channels.items():
            finding = self._judges[name].judge(status)
            if finding is None:
                right += 1
            else:
                of_message, fixes = wrong.setdefault(finding.message, ([], {}))
                of_message.append(scope)
                fixes[finding.fix] = None
        closing = " Or name in program_id the one program that this mapping is for." if wrong and right else ""
        return [
            (
                Finding(
                    message,
                    next(iter(fixes)) + (" Other channels have other statuses." if len(fixes) > 1 else "") + closing,
                ),
                scopes,
            )
            for message, (scopes, fixes) in wrong.items()
        ]

    def _named(self, scopes: Iterable[Scope]) -> str:
        """Programs by name and number; of many the first few, and how many more."""
        scopes = list(scopes)
        whole = {scope for scope in scopes if isinstance(scope, str)}
        single = [self._programs[scope] for scope in scopes if isinstance(scope, int)]
        single = [program for program in single if program.channel not in whole]
        first = islice(chain(single, *(self._by_channel[name] for name in scopes if name in whole)), _MOST_PROGRAMS)
        shown = [named(program) for program in first]
        left = len(single) + sum(len(self._by_channel[name]) for name in whole) - len(shown)
        return joined([*shown, counted(left, "more program")] if left > 0 else shown)

    # --- notes -----------------------------------------------------------------------------------------------

    def notes(self, settings: Settings) -> Iterator[str]:
        """What is allowed and may surprise."""
        links: dict[int, list[tuple[int, ProgramLink]]] = {}
        for position, link in enumerate(settings.program_links):
            program = self._programs.get(link.program_id)
            if program and link.program_status in self._ranks[program.channel]:
                links.setdefault(link.program_id, []).append((position, link))
        yield from _bounded(self._differing_links(links), "programs have links with different statuses")
        yield from _bounded(self._earlier_statuses(settings, links), "qualifier mappings set an earlier step")
        yield from _bounded(self._shared_steps(settings), "steps are shared by several statuses")

    def _differing_links(self, links: Mapping[int, list[tuple[int, ProgramLink]]]) -> Iterator[str]:
        for number, of_program in links.items():
            first: dict[str, int] = {}
            for position, link in of_program:
                first.setdefault(link.program_status, position)
            if len(first) > 1:
                places = joined([f"link {at + 1} ({quoted(status)})" for status, at in first.items()])
                yield (
                    f"{named(self._programs[number])} has links with different statuses: {places}. If a record matches "
                    "several of them, the first link wins. If several records of a person do, the highest step wins."
                )

    def _earlier_statuses(
        self, settings: Settings, links: Mapping[int, list[tuple[int, ProgramLink]]]
    ) -> Iterator[str]:
        own: dict[int | None, dict[str, int]] = {}
        for position, mapping in enumerate(settings.qualifier_mappings):
            own.setdefault(mapping.program_id, {}).setdefault(mapping.program_status, position)
        lowest = {
            name: min((ranks[status].step for status in own.get(None, ()) if status in ranks), default=None)
            for name, ranks in self._ranks.items()
        }
        for number, of_program in links.items():
            program = self._programs[number]
            ranks = self._ranks[program.channel]
            position, link = max(of_program, key=lambda pair: ranks[pair[1].program_status].step)
            highest = ranks[link.program_status].step
            of_all = lowest[program.channel]
            scopes = [own.get(number, {})] + ([own[None]] if of_all is not None and of_all < highest else [])
            for scope in scopes:
                for status, at in scope.items():
                    if status in ranks and ranks[status].step < highest:
                        yield (
                            f"Qualifier mapping {at + 1} sets {quoted(status)}, an earlier step than "
                            f"{quoted(link.program_status)} of link {position + 1} in {named(program)}. New members "
                            f"get {quoted(status)}; people already further along keep their status."
                        )

    def _shared_steps(self, settings: Settings) -> Iterator[str]:
        used: dict[str, dict[str, None]] = {name: {} for name in self._by_channel}
        for link in settings.program_links:
            if program := self._programs.get(link.program_id):
                used[program.channel][link.program_status] = None
        of_all: dict[str, None] = {}
        for mapping in settings.qualifier_mappings:
            if mapping.program_id is None:
                of_all[mapping.program_status] = None
            elif program := self._programs.get(mapping.program_id):
                used[program.channel][mapping.program_status] = None
        for name, statuses in used.items():
            ranks = self._ranks[name]
            given = statuses | of_all
            for step in dict.fromkeys(ranks[status].step for status in given if status in ranks):
                shared = [status.name for status in self._channels[name] if status.step == step and _is_usable(status)]
                if len(shared) > 1:
                    yield (
                        f"In channel {quoted(name)}, {joined([quoted(status) for status in shared])} share step "
                        f"{step}: people can move between them in both directions."
                    )


class _Slips:
    """The same mistake in several entries of a list is one, in however many programs it stands.

    Args:
        setting: the list, `program_links` or `qualifier_mappings`.
    """

    def __init__(self, setting: str) -> None:
        self._setting = setting
        self._found: dict[Finding, tuple[list[int], dict[Scope, None]]] = {}

    def add(self, position: int, finding: Finding, scopes: Iterable[Scope]) -> None:
        positions, concerned = self._found.setdefault(finding, ([], {}))
        positions.append(position)
        concerned.update(dict.fromkeys(scopes))

    def problems(self, names: Callable[[Iterable[Scope]], str]) -> Iterator[Problem]:
        for finding, (positions, concerned) in self._found.items():
            message = finding.message.format(programs=names(concerned))
            for position in positions:
                location: Location = (self._setting, position, "program_status")
                yield Problem(location, message, finding.fix)


class Judge:
    """Judges spellings of statuses against one channel, each once.

    Args:
        channel: its name.
        statuses: all of the channel, hidden ones included.
    """

    def __init__(self, channel: str, statuses: Sequence[Status]) -> None:
        usable = [status.name for status in statuses if _is_usable(status)]
        self._names = Names(usable)
        self._exact = {status.name: status for status in reversed(statuses)}
        self._alike = {folded(status.name): status for status in reversed(statuses)}
        has = f"Channel {quoted(channel)} has"
        self._choices = f"{has} {listed(usable)}." if usable else f"{has} no other that can be used."
        self._known: dict[str, Finding | None] = {}

    def judge(self, name: str) -> Finding | None:
        """Say why a status cannot be given to anyone; None if it can."""
        if name not in self._known:
            self._known[name] = self._judge(name)
        return self._known[name]

    def _judge(self, name: str) -> Finding | None:
        shown, choices = _literal(quoted(name)), self._choices
        if folded(name) == folded(NOT_IN_PROGRAM):
            return Finding(
                f"{shown} stands for people who are not members, and this connector removes nobody.",
                f"Choose another status. {choices}",
            )
        exact = self._exact.get(name)
        if exact is not None:
            if not exact.hidden:
                return None
            return Finding(
                f"{shown} is a hidden status in {{programs}}.",
                f"Show it again under {_WHERE}, or choose another one. {choices}",
            )
        alike = self._alike.get(folded(name))
        if alike is not None and not alike.hidden:
            return Finding(
                f"{shown} is not spelled as in {{programs}}: upper and lower case and spaces count.",
                f"Did you mean {quoted(alike.name)}?",
            )
        if alike is not None:
            hidden = quoted(alike.name)
            return Finding(
                f"{shown} is not spelled as in {{programs}}, where {_literal(hidden)} is a hidden status.",
                f"Show {hidden} again under {_WHERE} and spell it like that, or choose another one. {choices}",
            )
        return Finding(
            f"There is no status {shown} in {{programs}}.", f"{did_you_mean(self._names.nearest(name))}{choices}"
        )


def _literal(text: str) -> str:
    """A text that is put into a format as it is."""
    return text.replace("{", "{{").replace("}", "}}")


def _is_usable(status: Status) -> bool:
    return not status.hidden and folded(status.name) != folded(NOT_IN_PROGRAM)


def _ranks(statuses: Sequence[Status]) -> dict[str, StatusRank]:
    return {status.name: StatusRank(status.step, status.success, position) for position, status in enumerate(statuses)}


def _bounded(notes: Iterator[str], what: str) -> Iterator[str]:
    for number, note in enumerate(notes):
        if number >= _MOST_NOTES:
            yield f"More {what}; only the first {_MOST_NOTES} are listed."
            return
        yield note
