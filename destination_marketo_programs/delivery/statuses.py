"""How the statuses of a program compare: which of several is sent, and which one undoes another. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

UNKNOWN = -1


class Statuses:
    """Ranks of statuses by program.

    Of several statuses for one person and program the one of the highest step is sent; of equal steps one that counts
    as success, then the later one in the channel's list. Marketo never moves anybody to a lower step, but does move
    people between statuses of one step, in both directions: those need care from our side.

    Args:
        ranks: (program id, status) -> (step, counts as success, place in the channel's list, may be sent by this run).
    """

    def __init__(self, ranks: Mapping[tuple[int, str], tuple[int, bool, int, bool]]) -> None:
        self._steps = {key: rank[0] for key, rank in ranks.items()}
        of_step: dict[tuple[int, int], int] = {}
        for (program_id, _), (step, _, _, sent) in ranks.items():
            of_step[program_id, step] = of_step.get((program_id, step), 0) + sent
        self._sideways = frozenset(
            key for key, (step, _, _, sent) in ranks.items() if sent and of_step[key[0], step] > 1
        )
        ordered = sorted(ranks, key=lambda key: (key[0], *ranks[key]))
        self._ranks = {key: number for number, key in enumerate(ordered)}

    def rank(self, program_id: int, status: str) -> int:
        """A number that grows with how far a status is; `UNKNOWN` for a status that the channel does not have."""
        return self._ranks.get((program_id, status), UNKNOWN)

    def step(self, program_id: int, status: str) -> int | None:
        """The progression step; None for a status that the channel does not have."""
        return self._steps.get((program_id, status))

    def sideways(self, program_id: int, status: str) -> bool:
        """Whether this run may also send another status of the same step: Marketo would move people both ways."""
        return (program_id, status) in self._sideways

    def covers(self, program_id: int, held: str, wanted: str) -> bool:
        """Whether a member in `held` is where `wanted` would bring it, or further."""
        if held == wanted:
            return True
        rank = self.rank(program_id, held)
        return rank != UNKNOWN and rank >= self.rank(program_id, wanted)

    def further(self, program_id: int, status: str, than: str) -> bool:
        """Whether a status counts for more than another one of the program."""
        return self.rank(program_id, status) > self.rank(program_id, than)

    def moves(self, program_id: int, before: str, status: str) -> bool:
        """Whether Marketo would change a member's status: forward and sideways, never to a lower step.

        Of a status that the channel no longer has, Marketo does not say how it compares; taken as a change.
        """
        if before == status:
            return False
        now, wanted = self.step(program_id, before), self.step(program_id, status)
        return now is None or wanted is None or now <= wanted
