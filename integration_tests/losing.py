"""Patches of the runner that break the core on purpose: each loses something without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from destination_marketo_programs.delivery.ledger import Ledger
from destination_marketo_programs.delivery.memberships import MembershipStage
from destination_marketo_programs.delivery.settlement import Settlement

if TYPE_CHECKING:
    from collections.abc import Callable


def _once(original: Callable[..., Any], instead: Any = None) -> Callable[..., Any]:
    """The first call does nothing."""
    calls = 0

    def lose(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return instead if calls == 1 else original(*given, **named)

    return lose


def an_entry() -> None:
    """A stage takes a record and forgets it."""
    MembershipStage.accept = _once(MembershipStage.accept)  # type: ignore[method-assign]


def an_outcome() -> None:
    """An outcome that is settled is not counted."""
    Settlement.deliver = _once(Settlement.deliver)  # type: ignore[method-assign]


def a_state() -> None:
    """A STATE is read and not noted."""
    Ledger.state = _once(Ledger.state)  # type: ignore[method-assign]
