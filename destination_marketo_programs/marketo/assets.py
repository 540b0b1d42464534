"""Asset endpoints: programs, channels, folders. Reads only; each needs the permission Read-Only Assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

from destination_marketo_programs.marketo.calls import Reply, get
from destination_marketo_programs.marketo.envelope import as_object, as_objects, flag, identity, name, number, text
from destination_marketo_programs.marketo.errors import (
    AnswerMisfitError,
    ConfigurationFaultError,
    NotFoundError,
    RefusedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from destination_marketo_programs.marketo.client import MarketoClient
    from destination_marketo_programs.marketo.envelope import JsonObject

PROGRAMS_PER_PAGE = 200
CHANNELS_PER_PAGE = 200
_NOT_OFFERED = frozenset({"605", "616", "703", "HTTP 405"})
"""Codes by which an instance says that it does not have the query, rather than that the API user may not make it."""
NOT_IN_PROGRAM = "Not in Program"

T = TypeVar("T")


class Status(NamedTuple):
    """A progression status of a channel; members only move to the same or a higher `step`."""

    name: str
    step: int
    hidden: bool
    success: bool


class FolderRef(NamedTuple):
    """Where an asset lies. A folder and a program may share an id, hence the type (`Folder` or `Program`)."""

    type: str
    id: int


class Program(NamedTuple):
    """A program; its statuses are those of its channel. `url` is its address in Marketo's application."""

    id: int
    name: str
    type: str
    channel: str
    workspace: str
    folder: FolderRef | None
    url: str = ""


class FoundPrograms(NamedTuple):
    """What one query for many programs gave.

    Attributes:
        found: by id.
        left_open: ids that the answer did not name. Marketo may not know them, not show them, or not offer the query.
    """

    found: dict[int, Program]
    left_open: list[int]


class Folder(NamedTuple):
    """One step on the way from a program to the root."""

    name: str
    archived: bool
    parent: FolderRef | None


def get_program(client: MarketoClient, program_id: int) -> Program | None:
    """The program, or None if Marketo has none of this id in a workspace that the API user sees."""
    return _first(
        client, "program", f"/rest/asset/v1/program/{program_id}.json", {}, lambda row: _program(program_id, row)
    )


def find_programs(client: MarketoClient, program_ids: Sequence[int]) -> FoundPrograms:
    """`GET /rest/asset/v1/programs.json` by id, 200 programs a call.

    The filter is in Adobe's specification only: if Marketo refuses it, or answers with programs that nobody asked for,
    what it did not name is left open.
    """
    wanted = list(dict.fromkeys(program_ids))
    found: dict[int, Program] = {}
    for start in range(0, len(wanted), PROGRAMS_PER_PAGE):
        asked = set(wanted[start : start + PROGRAMS_PER_PAGE])
        query = {
            "filterType": "id",
            "filterValues": ",".join(map(str, sorted(asked))),
            "maxReturn": str(PROGRAMS_PER_PAGE),
        }
        try:
            answered = client.send(get("programs", "/rest/asset/v1/programs.json", query, asset=True), _read_programs)
        except (RefusedError, NotFoundError, AnswerMisfitError):
            break
        except ConfigurationFaultError as error:
            if error.code not in _NOT_OFFERED:
                raise
            break
        found.update({number: answered[number] for number in asked & answered.keys()})
        if answered.keys() - asked:
            break  # the filter was ignored: further pages would be everything that the instance has
    return FoundPrograms(found, [number for number in wanted if number not in found])


def get_folder(client: MarketoClient, reference: FolderRef) -> Folder | None:
    """A folder by type and id."""
    path = f"/rest/asset/v1/folder/{reference.id}.json"
    return _first(client, "folder", path, {"type": reference.type}, _folder)


def list_channels(client: MarketoClient) -> dict[str, list[Status]]:
    """Statuses of every channel, by channel name.

    Raises:
        AnswerMisfitError: page after page holds the same channels.
        MarketoError: a call failed.
    """
    channels: dict[str, list[Status]] = {}
    offset = 0
    while True:
        query = {"maxReturn": str(CHANNELS_PER_PAGE), "offset": str(offset)}
        try:
            page = client.send(get("channels", "/rest/asset/v1/channels.json", query, asset=True), _read_channels)
        except NotFoundError as error:
            if error.code == "702":
                return channels
            raise
        known = len(channels)
        channels |= page
        if len(page) < CHANNELS_PER_PAGE:
            return channels
        if len(channels) == known:
            raise AnswerMisfitError("channels", f"the page from {offset} on holds only channels that were read before")
        offset += CHANNELS_PER_PAGE


def get_channel(client: MarketoClient, channel: str) -> list[Status] | None:
    """Statuses of one channel; None if there is none of this name."""
    return _first(client, "channel", "/rest/asset/v1/channel/byName.json", {"name": channel}, _statuses)


def _first(
    client: MarketoClient, endpoint: str, path: str, query: dict[str, str], read: Callable[[JsonObject], T]
) -> T | None:
    """The one asset asked for. "Not found" is an empty or missing `result`, or code 702 or 610."""
    try:
        return client.send(
            get(endpoint, path, query, asset=True),
            lambda reply: read(as_object(reply.result[0], "result[]")) if reply.result else None,
        )
    except NotFoundError:
        return None


def _read_programs(reply: Reply) -> dict[int, Program]:
    numbered = {identity(row): row for row in as_objects(reply.result, "result")}
    return {program_id: _program(program_id, row) for program_id, row in numbered.items()}


def _program(program_id: int, row: JsonObject) -> Program:
    return Program(
        program_id,
        text(row, "name"),
        text(row, "type"),
        text(row, "channel"),
        text(row, "workspace"),
        _reference(row, "folder", "value"),
        text(row, "url"),
    )


def _folder(row: JsonObject) -> Folder:
    return Folder(text(row, "name"), flag(row, "isArchive"), _reference(row, "parent", "id"))


def _reference(row: JsonObject, member: str, id_member: str) -> FolderRef | None:
    """`folder` of a program names its id `value` in samples and `id` in the schema; `parent` has `id`."""
    if row.get(member) is None:
        return None
    folder = as_object(row[member], member)
    numbers = (number(folder, each) for each in (id_member, "id", "value"))
    folder_id = next((each for each in numbers if each is not None), None)
    return None if folder_id is None else FolderRef(text(folder, "type") or "Folder", folder_id)


def _read_channels(reply: Reply) -> dict[str, list[Status]]:
    return {name(row): _statuses(row) for row in as_objects(reply.result, "result")}


def _statuses(channel: JsonObject) -> list[Status]:
    return [
        Status(name(row), number(row, "step") or 0, flag(row, "hidden"), flag(row, "success"))
        for row in as_objects(channel.get("progressionStatuses"), "progressionStatuses")
    ]
