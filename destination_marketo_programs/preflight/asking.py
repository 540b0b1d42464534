"""What the checks ask Marketo, each thing once; and what it would not answer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from destination_marketo_programs.marketo.assets import (
    Folder,
    FolderRef,
    Program,
    Status,
    get_channel,
    get_folder,
    get_program,
    list_channels,
)
from destination_marketo_programs.marketo.errors import (
    BadCredentialsError,
    ConfigurationFaultError,
    MarketoError,
    QuotaReachedError,
    StoppedError,
    UnreachableError,
)
from destination_marketo_programs.marketo.leads import FieldInfo, LeadDescription, describe_leads, list_partitions
from destination_marketo_programs.marketo.members import describe_members
from destination_marketo_programs.marketo.usage import calls_today
from destination_marketo_programs.preflight.faults import (
    DENIED_CODES,
    OWN_BUDGET,
    Need,
    denied_problems,
    problem_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.model import Problem

MOST_FOLDER_LEVELS = 30
"""Bounds the walk to the root; Marketo's trees are far flatter."""

Answer = TypeVar("Answer")


class Facts(msgspec.Struct):
    """What Marketo said. None or missing: it was not asked, or did not say; then `problems` tells why.

    Attributes:
        used_today: calls of this API user since midnight.
        leads, members: the fields; `members` only where a field mapping needs them.
        channels: statuses by channel name.
        programs: the linked programs that were found.
        missing: ids of linked programs that Marketo does not know.
        denied: ids of linked programs that it refuses to show while it shows other assets.
        archived_in: program id -> name of the nearest archived folder above it.
        problems: failed calls.
    """

    used_today: int | None = None
    leads: LeadDescription | None = None
    members: dict[str, FieldInfo] | None = None
    channels: dict[str, list[Status]] | None = None
    partitions: list[str] | None = None
    programs: dict[int, Program] = {}
    missing: set[int] = set()
    denied: set[int] = set()
    archived_in: dict[int, str] = {}
    problems: list[Problem] = []


class _LookedUp(NamedTuple):
    """A program, or that there is none (`denied`: that it is not shown)."""

    program: Program | None
    denied: bool = False


def ask_marketo(
    client: MarketoClient, settings: Settings, now: datetime, *, raise_transient: bool, member_fields: bool = False
) -> Facts:
    """Make the calls that the configuration calls for: about four, one per program, one per folder above them.

    Also tells the client's budget how many calls were made today. `member_fields` asks for the fields of memberships
    even if no field mapping needs them.

    Raises:
        UnreachableError, QuotaReachedError: only with `raise_transient`.
        StoppedError: the process is ending.
    """
    return _Inquiry(client, settings, now, raise_transient=raise_transient).facts(member_fields=member_fields)


class _Inquiry:
    def __init__(self, client: MarketoClient, settings: Settings, now: datetime, *, raise_transient: bool) -> None:
        self._client = client
        self._settings = settings
        self._now = now
        self._raise_transient = raise_transient
        self._facts = Facts()
        self._denied: dict[Need, list[str]] = {}
        self._answered = False
        self._over = False
        self._folders: dict[FolderRef, Folder | None] = {}

    def facts(self, *, member_fields: bool) -> Facts:
        """Ask everything, in an order that ends at once where nothing can succeed."""
        facts, settings = self._facts, self._settings
        budget = self._client.gate.budget
        made_before = budget.used_now
        facts.used_today = self._ask("the number of calls made today", Need.NOTHING, calls_today)
        used_before = max((facts.used_today or 0) - made_before, 0)
        if self._raise_transient:
            budget.used_before = used_before
            if budget.exhausted:
                raise QuotaReachedError("usage", OWN_BUDGET)
        facts.leads = self._ask("the fields of people", Need.PERSON, describe_leads)
        facts.channels = self._ask("the channels", Need.ASSETS, list_channels)
        if settings.lead_sync.partition_name:
            partitions = self._ask("the lead partitions", Need.PERSON, list_partitions)
            facts.partitions = None if partitions is None else list(partitions)
        if member_fields or any(mapping.marketo_object == "program_member" for mapping in settings.field_mappings):
            facts.members = self._ask("the fields of memberships", Need.PERSON, describe_members)
        self._ask_programs()
        for program in facts.programs.values():
            archived = self._archived_folder(program)
            if archived is not None:
                facts.archived_in[program.id] = archived
        # Only now: `check` reports every problem, the one of a budget that is used up among them.
        budget.used_before = used_before
        if self._denied:
            facts.problems += denied_problems(self._denied, all_denied=not self._answered)
        return facts

    def _ask(self, what: str, need: Need, call: Callable[[MarketoClient], Answer]) -> Answer | None:
        """The answer, or None with the reason noted."""
        if self._over:
            return None
        try:
            answer = call(self._client)
        except StoppedError:
            raise
        except (UnreachableError, QuotaReachedError) as error:
            if self._raise_transient:
                raise
            self._give_up(error, what)
        except BadCredentialsError as error:
            self._give_up(error, what)
        except MarketoError as error:
            if isinstance(error, ConfigurationFaultError) and error.code in DENIED_CODES:
                things = self._denied.setdefault(need, [])
                if what not in things:
                    things.append(what)
            else:
                self._note(error, what)
        else:
            self._answered = True
            return answer
        return None

    def _give_up(self, error: MarketoError, what: str) -> None:
        self._over = True
        self._note(error, what)

    def _note(self, error: MarketoError, what: str) -> None:
        problem = problem_of(error, what, self._now, answered_before=self._answered)
        if problem not in self._facts.problems:
            self._facts.problems.append(problem)

    def _ask_programs(self) -> None:
        facts = self._facts
        for program_id in dict.fromkeys(link.program_id for link in self._settings.program_links):
            found = self._ask("the programs", Need.ASSETS, partial(self._look_up, program_id))
            if found is None:
                if Need.ASSETS in self._denied:
                    return  # one call more for each program would only say the same
            elif found.program is not None:
                facts.programs[program_id] = found.program
                self._ask_unlisted_channel(found.program.channel)
            elif found.denied:
                facts.denied.add(program_id)
            else:
                facts.missing.add(program_id)

    def _ask_unlisted_channel(self, name: str) -> None:
        """A channel created while the list was read, or left out of it, is still there by its name."""
        channels = self._facts.channels
        if not name or channels is None or name in channels:
            return
        statuses = self._ask("the channels", Need.ASSETS, lambda client: get_channel(client, name))
        if statuses is not None:
            channels[name] = statuses

    def _look_up(self, program_id: int, client: MarketoClient) -> _LookedUp:
        try:
            return _LookedUp(get_program(client, program_id))
        except ConfigurationFaultError as error:
            if error.code in DENIED_CODES and self._facts.channels is not None:
                # Roles hold by workspace: other assets are shown, so it is this program's workspace.
                return _LookedUp(None, denied=True)
            raise

    def _archived_folder(self, program: Program) -> str | None:
        """Name of the nearest archived folder above a program. A folder in it need not say so itself."""
        reference, seen = program.folder, set[FolderRef]()
        while reference is not None and reference not in seen and len(seen) < MOST_FOLDER_LEVELS:
            seen.add(reference)
            if reference not in self._folders:
                self._folders[reference] = self._ask(
                    "the folders of the programs", Need.ASSETS, partial(_folder, reference)
                )
            folder = self._folders[reference]
            if folder is None:
                return None
            if folder.archived:
                return folder.name
            reference = folder.parent
        return None


def _folder(reference: FolderRef, client: MarketoClient) -> Folder | None:
    return get_folder(client, reference)
