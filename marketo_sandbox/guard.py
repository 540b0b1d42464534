"""Who may talk to the sandbox: programs of this machine and its own page, but no other page in the user's browser.

A page of any site can send requests to this machine, and by a name of its own that leads here (DNS rebinding) read the
answers too. The first is told by `Origin`, the second by `Host`.
"""

from __future__ import annotations

import re
from typing import Final

_LOOPBACK: Final = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?", re.IGNORECASE)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_OWN_SITES: Final = frozenset({"", "same-origin", "none"})


def refusal(method: str, host: str, origin: str, fetch_site: str) -> str | None:
    """Why a request is refused, or None.

    Args:
        method: HTTP method.
        host: the `Host` header; empty if it is missing, as for the three that follow.
        origin: the `Origin` header, which browsers send with every post.
        fetch_site: the `Sec-Fetch-Site` header.
    """
    if _LOOPBACK.fullmatch(host) is None:
        return "The sandbox only answers requests to localhost or 127.0.0.1."
    if method in _SAFE_METHODS:
        return None
    foreign = origin != "" and origin.lower() != f"http://{host.lower()}"
    if foreign or fetch_site not in _OWN_SITES:
        return "The sandbox does not accept posts from other websites."
    return None
