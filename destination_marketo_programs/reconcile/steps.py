"""The order of each program's statuses, asked for only if a member is in another status than was sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.reconcile.verdicts import Ranks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.marketo.assets import Status


class Steps:
    """Ranks by program; all programs are asked about together, once.

    Args:
        marketo: the calls.
        programs: those that may be asked for.
        channels: names of channels that are known already, by program.
    """

    def __init__(self, marketo: Marketo, programs: Sequence[int], channels: Mapping[int, str]) -> None:
        self._marketo = marketo
        self._programs = programs
        self._channels = {program: channels[program] for program in programs if channels.get(program)}
        self._ranks: dict[int, Ranks] | None = None

    def of(self, program: int) -> Ranks:
        """The ranks of a program's statuses; without any if Marketo does not show the program or its channel.

        Raises:
            MarketoError: Marketo cannot be asked.
        """
        if self._ranks is None:
            self._ranks = self._ask()
        return self._ranks.get(program) or Ranks()

    def _ask(self) -> dict[int, Ranks]:
        statuses = self._statuses(set(self._channels.values()))
        # What a run file says of a program may be old: its channel can have been renamed since.
        unknown = [program for program in self._programs if self._channels.get(program) not in statuses]
        if unknown:
            renamed = self._channels_of(unknown)
            statuses |= self._statuses(set(renamed.values()) - set(statuses))
            self._channels |= renamed
        return {program: Ranks(statuses[channel]) for program, channel in self._channels.items() if channel in statuses}

    def _channels_of(self, programs: Sequence[int]) -> dict[int, str]:
        answer = self._marketo.programs(programs)
        found = dict(answer.found)
        for program in answer.left_open:
            shown = self._marketo.program(program)
            if shown is not None:
                found[program] = shown
        return {number: program.channel for number, program in found.items()}

    def _statuses(self, names: set[str]) -> dict[str, Sequence[Status]]:
        if len(names) > 1:
            return {name: statuses for name, statuses in self._marketo.channels().items() if name in names}
        return {name: statuses for name in names if (statuses := self._marketo.channel(name)) is not None}
