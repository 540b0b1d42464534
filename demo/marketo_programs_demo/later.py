"""The demo's second sync: the same captures, after one lead was corrected in Marketo and another one at the source."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from destination_marketo_programs.outcomes import Result
from destination_marketo_programs.storage.reader import iter_outcomes
from marketo_programs_demo import scenario
from marketo_programs_demo.steps import DemoError, run_write

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console

    from marketo_programs_demo.files import DemoFiles
    from marketo_sandbox.server import SandboxServer

Json = dict[str, Any]

CORRECTED: Final = "Chief Happiness Officer"
PROMOTED: Final = "Head of Everything"


class Told(NamedTuple):
    """What the second sync came to.

    Attributes:
        remembered: captures for which nothing was sent.
        kept: the job title in Marketo of whom sales corrected.
        sent: the job title in Marketo of whose capture changed.
    """

    remembered: int
    kept: str
    sent: str


def remembers(files: DemoFiles) -> bool:
    """Whether the configuration, which may be the user's own, asks to send only what changed."""
    config = json.loads(files.config.read_text(encoding="utf-8"))
    return (config.get("lead_sync") or {}).get("send") == "changes"


def sync_again(files: DemoFiles, sandbox: SandboxServer, sample: Sequence[Json], console: Console) -> Told | None:
    """Correct one lead in Marketo and one at the source, and sync the same captures again.

    Returns:
        What came of it; None if the sample is too small to have two such leads.

    Raises:
        DemoError: the sync failed, or did something else than it should.
    """
    found = _two_leads(sandbox, sample)
    if found is None:
        return None
    (_, corrected), (changed_email, changed) = found
    sandbox.state.change_lead(corrected, {"title": CORRECTED})
    later = copy.deepcopy(list(sample))
    for record in later:
        if record["email"] == changed_email:
            record["jobTitle"] = PROMOTED
    earlier = set(files.new_files("outcomes"))
    files.later_messages.write_text("".join(line + "\n" for line in scenario.messages(later)))
    run_write(files, files.later_messages, len(later), console)
    outcomes = list(iter_outcomes([name for name in files.new_files("outcomes") if name not in earlier]))
    actions: dict[str, set[str | None]] = {}
    for outcome in outcomes:
        if outcome.outcome != Result.SKIPPED:
            actions.setdefault(outcome.record_key, set()).add(outcome.lead_action)
    told = Told(
        sum(found == {"remembered"} for found in actions.values()),
        _title(sandbox, corrected),
        _title(sandbox, changed),
    )
    if (told.kept, told.sent) != (CORRECTED, PROMOTED):
        raise DemoError(f"the second sync left other job titles in Marketo: {told.kept}, {told.sent}")
    return told


def _two_leads(sandbox: SandboxServer, sample: Sequence[Json]) -> tuple[tuple[str, int], tuple[str, int]] | None:
    """Email and Marketo id of two leads with one capture each, which nobody shares."""
    captures = Counter((record["email"] or "").lower() for record in sample)
    found: list[tuple[str, int]] = []
    for record in sample:
        email = record["email"] or ""
        people = sandbox.state.leads_with("email", email) if captures[email.lower()] == 1 else []
        if len(people) == 1 and _is_member(sandbox, people[0]):
            found.append((email, people[0]))
            if len(found) > 1:
                return found[0], found[1]
    return None


def _is_member(sandbox: SandboxServer, lead_id: int) -> bool:
    return any(lead_id in sandbox.state.members(program.id) for program in sandbox.state.programs())


def _title(sandbox: SandboxServer, lead_id: int) -> str:
    lead = sandbox.state.lead(lead_id) or {}
    return str(lead.get("title"))
