"""A stateful stand-in for Marketo over real HTTP, for trying and testing. Knows nothing of the connector.

`SandboxServer` runs it in a thread; `python -m marketo_sandbox` in a process of its own.
Needs the extra `sandbox` (aiohttp), which importing this package alone does not.

It does what Adobe documents. Where Adobe says nothing it does this; a client must not depend on it:

* Whole calls: over 300 records, unknown body members and unknown `action` are 1003; a missing parameter or an
  empty `input` 1002; an unknown program `Settings.unknown_program_code` (702); an unknown lookup or filter field
  1006, an unsupported one 1011; an unknown import job 1013. The token is looked at before limits, limits before the
  path, the path before the permission. 606, 607 and 615 count against the daily quota but not in the window.
* "1 MB", "8 KB", "10 MB" are decimal. The day begins at 06:00 UTC all year.
* Leads: text that is too long, email that is not ASCII, read-only fields and a missing or blank lookup value are
  1003, an unknown or unreachable partition 1008. Numbers pass as text and digits as numbers. Emails compare without
  regard to case and are not trimmed. `id` needs `updateOnly` together with `lookupField` "id". The same new key
  twice in one call creates two leads.
* Members: an unknown, hidden (if set so) or "Not in Program" status is 1025 for the whole call; status names compare
  exactly; equal steps switch back and forth; a present status that the channel has lost does not block.
* Import: values are trimmed; an empty cell clears the field; rows already past the status count as imported and keep
  it; a later row of the same person wins; of several leads with one email the one updated last is written to; a header
  that names an unknown, read-only or repeated column, a standard field of the membership, or no email, fails the job; a
  failure file without rows has its header. People are looked up when a job starts and created when it ends.
* Extract: leads that are not visible yet are left out; where a lead and a membership have a field of one name, the
  membership's is meant; a file can be fetched before its status says "Completed". An unknown job is 1013.
* Activities: what a write changes is one activity per field, of types 12, 13, 32, 37, 104 and 123 only.
* `Settings` has what is not documented, or told differently by different sources, in either way.
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
