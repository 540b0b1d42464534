"""Leads that Marketo may not show yet, as this run has just created them."""

from __future__ import annotations

PAGE_BITS = 8
PAGE_MASK = (1 << PAGE_BITS) - 1


class NewLeads:
    """Leads that this run has created and that Marketo may not show yet (contract: for 60 seconds).

    A created lead is remembered for at least `REMEMBERED_SECONDS`. Marketo numbers leads one after the other, so that
    the bits of a few large numbers hold them: a set would take a hundred bytes for each.
    """

    VISIBLE_SECONDS = 60.0
    REMEMBERED_SECONDS = 120.0
    FIRST_PAUSE_SECONDS = 0.5
    LONGEST_PAUSE_SECONDS = 15.0

    def __init__(self) -> None:
        self._now: dict[int, int] = {}
        self._before: dict[int, int] = {}
        self._since = 0.0

    def note(self, lead_id: int, now: float) -> None:
        """This run has created this lead."""
        if now - self._since >= self.REMEMBERED_SECONDS:
            self._now, self._before, self._since = {}, self._now, now
        page = lead_id >> PAGE_BITS
        self._now[page] = self._now.get(page, 0) | 1 << (lead_id & PAGE_MASK)

    def __contains__(self, lead_id: object) -> bool:
        if not isinstance(lead_id, int):
            return False
        page, bit = lead_id >> PAGE_BITS, 1 << (lead_id & PAGE_MASK)
        return bool((self._now.get(page, 0) | self._before.get(page, 0)) & bit)

    def give_up(self, lead_id: int) -> None:
        """This lead was denied for so long that it is taken for gone: no further denial of it is waited out."""
        page, bit = lead_id >> PAGE_BITS, 1 << (lead_id & PAGE_MASK)
        for noted in (self._now, self._before):
            if page in noted:
                noted[page] &= ~bit

    def pause(self, denials: int, denied_since: float, now: float) -> float | None:
        """Seconds to the next try after so many denials; None if the lead should be visible by now."""
        left = denied_since + self.VISIBLE_SECONDS - now
        if left <= 0:
            return None
        return min(self.FIRST_PAUSE_SECONDS * 2.0 ** (denials - 1), self.LONGEST_PAUSE_SECONDS, max(left, 0.001))
