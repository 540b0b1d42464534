"""A stateful stand-in for Marketo over real HTTP, for trying and testing. Knows nothing of the connector.

`SandboxServer` runs it in a thread; `python -m destination_marketo_programs.sandbox` in a process of its own.
Needs the extra `sandbox` (aiohttp), which importing this package alone does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .calls import Call
from .catalogue import Channel, Folder, Program, Status
from .faults import CHAOS_KINDS, Chaos, Fault, RowFault
from .fields import Field
from .settings import FAST_CHANGES, Permission, Service, Settings
from .state import Seed, SeedLead, SeedMember

if TYPE_CHECKING:
    from .server import SandboxServer

__all__ = [
    "CHAOS_KINDS",
    "FAST_CHANGES",
    "Call",
    "Channel",
    "Chaos",
    "Fault",
    "Field",
    "Folder",
    "Permission",
    "Program",
    "RowFault",
    "SandboxServer",
    "Seed",
    "SeedLead",
    "SeedMember",
    "Service",
    "Settings",
    "Status",
]


def __getattr__(name: str) -> Any:
    if name == "SandboxServer":
        from .server import SandboxServer  # noqa: PLC0415 - aiohttp is an optional extra

        return SandboxServer
    raise AttributeError(name)
