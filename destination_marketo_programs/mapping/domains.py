"""Email domains whose people are not delivered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import idna

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_CACHED: Final = 10_000
_LONGEST_DOMAIN: Final = 255


class ExcludedDomains:
    """Finds the excluded domain that an address belongs to, whatever its case or spelling.

    Args:
        domains: as configured: `example.com`, `@Example.com`, `*.example.com` or `bücher.example`. Each covers its
            subdomains.
    """

    def __init__(self, domains: Iterable[str]) -> None:
        self._excluded = frozenset(filter(None, (_ascii_domain(domain.lstrip("@*. ")) for domain in domains)))
        self._known: dict[str, str | None] = {}

    def __bool__(self) -> bool:
        return bool(self._excluded)

    def match(self, address: object) -> str | None:
        """The excluded domain, as ASCII in lower case, that an address is of; None if there is none."""
        if not isinstance(address, str):
            return None
        text = address.rpartition("@")[2]
        if len(text) > _LONGEST_DOMAIN:
            return None
        if text not in self._known:
            if len(self._known) >= _MOST_CACHED:
                self._known.clear()
            self._known[text] = self._find(_ascii_domain(text))
        return self._known[text]

    def _find(self, domain: str) -> str | None:
        while domain:
            if domain in self._excluded:
                return domain
            domain = domain.partition(".")[2]
        return None


def _ascii_domain(text: str) -> str:
    """A domain as the DNS compares it: `BÜCHER.Example.` becomes `xn--bcher-kva.example`."""
    domain = text.strip().rstrip(".>").lower()
    if domain.isascii():
        return domain
    try:
        return idna.encode(domain, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError):
        return domain
