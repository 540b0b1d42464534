"""What the checks ask Marketo, each thing once and side by side; and what it would not answer."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import msgspec

from destination_marketo_programs.marketo.assets import Folder, FolderRef, Program, Status
from destination_marketo_programs.marketo.errors import (
    BadCredentialsError,
    ConfigurationFaultError,
    MarketoError,
    QuotaReachedError,
    StoppedError,
    UnreachableError,
)
from destination_marketo_programs.marketo.leads import FieldInfo, LeadDescription  # noqa: TC001 - types of a struct
from destination_marketo_programs.preflight.faults import (
    DENIED_CODES,
    OWN_BUDGET,
    Need,
    denied_problems,
    problem_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from datetime import datetime

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.marketo.api import Marketo
    from destination_marketo_programs.model import Problem

MOST_FOLDER_LEVELS = 30
"""Bounds the walk to the root; Marketo's trees are far flatter."""

Answer = TypeVar("Answer")


class Facts(msgspec.Struct):
    """What Marketo said. None or missing: it was not asked, or did not say; then `problems` tells why.

    Attributes:
        used_today: calls of this API user since midnight.
        leads, members: the fields; `members` only where a field mapping needs them, or seems to mean one of them.
        channels: statuses by channel name.
        partitions: names of the lead partitions that the API user sees.
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
    marketo: Marketo, settings: Settings, now: datetime, *, raise_transient: bool, member_fields: bool = False
) -> Facts:
    """Make the calls that the configuration needs, as many at once as `delivery.concurrent_calls` allows.

    Six calls and one for each folder above the programs, where Marketo answers a query for many programs; one more
    for each program if it does not.

    Args:
        marketo: is only read.
        settings: the configuration.
        now: UTC, for the time at which the quota starts anew.
        raise_transient: raise what may work later instead of noting it.
        member_fields: ask for the fields of program members even if no field mapping needs them.

    Raises:
        UnreachableError, QuotaReachedError: only with `raise_transient`.
        StoppedError: the process is ending.
    """
    pool = ThreadPoolExecutor(settings.delivery.concurrent_calls, thread_name_prefix="check")
    try:
        return _Inquiry(marketo, settings, now, pool, raise_transient=raise_transient).facts(
            member_fields=member_fields
        )
    finally:
        # Whoever ends this waits for no answer any more.
        pool.shutdown(wait=False, cancel_futures=True)


class _Inquiry:
    """One round of questions. Answers are taken by one thread, in the order of the questions."""

    def __init__(
        self,
        marketo: Marketo,
        settings: Settings,
        now: datetime,
        pool: ThreadPoolExecutor,
        *,
        raise_transient: bool,
    ) -> None:
        self._marketo = marketo
        self._settings = settings
        self._now = now
        self._pool = pool
        self._raise_transient = raise_transient
        self._facts = Facts()
        self._denied: dict[Need, list[str]] = {}
        self._answered = False
        self._over = False

    def facts(self, *, member_fields: bool) -> Facts:
        """Ask everything. The first question goes alone: with a wrong address or secret it is the only one."""
        facts, settings, marketo = self._facts, self._settings, self._marketo
        facts.used_today = self._ask("the number of calls made today", Need.NOTHING, marketo.calls_today)
        budget = settings.delivery.daily_call_budget
        if self._raise_transient and budget is not None and (facts.used_today or 0) >= budget:
            raise QuotaReachedError("usage", OWN_BUDGET)
        if not self._over:
            self._ask_first_round(member_fields=member_fields)
            self._ask_second_round()
            self._ask_folders()
        if self._denied:
            facts.problems += denied_problems(self._denied, all_denied=not self._answered)
        return facts

    def _ask_first_round(self, *, member_fields: bool) -> None:
        facts, settings, marketo = self._facts, self._settings, self._marketo
        linked = list(dict.fromkeys(link.program_id for link in settings.program_links))
        leads = self._pool.submit(marketo.lead_fields)
        channels = self._pool.submit(marketo.channels)
        partitions = self._pool.submit(marketo.partitions)
        members = None
        if member_fields or any(mapping.marketo_object == "program_member" for mapping in settings.field_mappings):
            members = self._pool.submit(marketo.member_fields)
        programs = self._pool.submit(marketo.programs, linked)
        facts.leads = self._take(leads, "the fields of people", Need.PERSON)
        facts.channels = self._take(channels, "the channels", Need.ASSETS)
        names = self._take(partitions, "the lead partitions", Need.PERSON)
        facts.partitions = None if names is None else list(names)
        if members is not None:
            facts.members = self._take(members, _MEMBER_FIELDS, Need.PERSON)
        found = self._take(programs, "the programs", Need.ASSETS)
        if found is not None:
            facts.programs = {number: found.found[number] for number in linked if number in found.found}
            self._ask_programs(found.left_open)

    def _ask_programs(self, left_open: Sequence[int]) -> None:
        """Programs that the query for many did not name: Marketo may still know them."""
        if Need.ASSETS in self._denied:
            return  # one call more for each program would only say the same
        facts = self._facts
        answers = [(number, self._pool.submit(self._look_up, number)) for number in left_open]
        for number, answer in answers:
            found = self._take(answer, "the programs", Need.ASSETS)
            if found is None:
                continue
            if found.program is not None:
                facts.programs[number] = found.program
            elif found.denied:
                facts.denied.add(number)
            else:
                facts.missing.add(number)

    def _look_up(self, program_id: int) -> _LookedUp:
        try:
            return _LookedUp(self._marketo.program(program_id))
        except ConfigurationFaultError as error:
            if error.code in DENIED_CODES and self._facts.channels is not None:
                # Roles hold by workspace: other assets are shown, so it is this program's workspace.
                return _LookedUp(None, denied=True)
            raise

    def _ask_second_round(self) -> None:
        """What the first answers make a question of."""
        facts, marketo = self._facts, self._marketo
        channels = facts.channels
        unlisted: list[tuple[str, Future[list[Status] | None]]] = []
        if channels is not None:
            # A channel created while the list was read, or left out of it, is still there by its name.
            names = dict.fromkeys(program.channel for program in facts.programs.values())
            unlisted = [
                (name, self._pool.submit(marketo.channel, name)) for name in names if name and name not in channels
            ]
        members = self._pool.submit(marketo.member_fields) if self._may_mean_a_member_field() else None
        for name, answer in unlisted:
            statuses = self._take(answer, "the channels", Need.ASSETS)
            if statuses is not None and channels is not None:
                channels[name] = statuses
        if members is not None:
            facts.members = self._take(members, _MEMBER_FIELDS, Need.PERSON)

    def _may_mean_a_member_field(self) -> bool:
        """Whether a person field is mapped that people do not have: it may be one of the program member."""
        facts = self._facts
        if facts.members is not None or self._over or facts.leads is None or not facts.leads.fields:
            return False
        return any(
            mapping.marketo_object == "lead" and mapping.marketo_field not in facts.leads.fields
            for mapping in self._settings.field_mappings
        )

    def _ask_folders(self) -> None:
        """Note programs in archived folders, at any level: a folder in an archived one need not say so itself."""
        folders: dict[FolderRef, Folder | None] = {}
        level = {program.folder for program in self._facts.programs.values()}
        for _ in range(MOST_FOLDER_LEVELS):
            unknown = sorted(reference for reference in level if reference is not None and reference not in folders)
            if not unknown or self._over or Need.ASSETS in self._denied:
                break
            answers = [(reference, self._pool.submit(self._marketo.folder, reference)) for reference in unknown]
            for reference, answer in answers:
                folders[reference] = self._take(answer, "the folders of the programs", Need.ASSETS)
            level = {folder.parent for reference in unknown if (folder := folders[reference]) and not folder.archived}
        for program in self._facts.programs.values():
            archived = _archived_above(program, folders)
            if archived is not None:
                self._facts.archived_in[program.id] = archived

    # --- answers ---------------------------------------------------------------------------------------------

    def _ask(self, what: str, need: Need, call: Callable[[], Answer]) -> Answer | None:
        return self._take(self._pool.submit(partial(call)), what, need)

    def _take(self, answer: Future[Answer], what: str, need: Need) -> Answer | None:
        """The answer, or None with the reason noted."""
        try:
            given = answer.result()
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
            elif need is not Need.NOTHING:
                self._note(error, what)
        else:
            self._answered = True
            return given
        return None

    def _give_up(self, error: MarketoError, what: str) -> None:
        """Note why nothing else can succeed; calls under way at that time only say it again."""
        if not self._over:
            self._note(error, what)
        self._over = True

    def _note(self, error: MarketoError, what: str) -> None:
        problem = problem_of(error, what, self._now, answered_before=self._answered)
        if problem not in self._facts.problems:
            self._facts.problems.append(problem)


_MEMBER_FIELDS = "the fields of program members"


def _archived_above(program: Program, folders: dict[FolderRef, Folder | None]) -> str | None:
    """Name of the nearest archived folder above a program."""
    reference, seen = program.folder, set[FolderRef]()
    while reference is not None and reference not in seen:
        seen.add(reference)
        folder = folders.get(reference)
        if folder is None:
            return None
        if folder.archived:
            return folder.name
        reference = folder.parent
    return None
