"""Asset endpoints: programs, channels, folders. Reads only; each needs the permission Read-Only Assets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from destination_marketo_programs.marketo.client import MarketoClient, get
from destination_marketo_programs.marketo.errors import NotFoundError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Sequence

PROGRAMS_PER_PAGE = 200
CHANNELS_PER_PAGE = 200
NOT_IN_PROGRAM = "Not in Program"


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
    """The program, or None where Marketo has none of this id in a workspace that the API user sees."""
    row = _first(client, "program", f"/rest/asset/v1/program/{program_id}.json")
    return None if row is None else _program(program_id, row)


def find_programs(client: MarketoClient, program_ids: Sequence[int]) -> FoundPrograms:
    """`GET /rest/asset/v1/programs.json` by id, 200 programs a call.

    The filter is in Adobe's specification only: where Marketo refuses it, or answers with programs that nobody asked
    for, what it did not name is left open.
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
            reply = client.send(get("programs", "/rest/asset/v1/programs.json", query, asset=True))
        except (RefusedError, NotFoundError):
            break
        answered = {row["id"]: row for row in reply.result if isinstance(row, dict) and type(row.get("id")) is int}
        found.update({number: _program(number, answered[number]) for number in asked & answered.keys()})
        if answered.keys() - asked:
            break  # the filter was ignored: further pages would be everything that the instance has
    return FoundPrograms(found, [number for number in wanted if number not in found])


def _program(program_id: int, row: dict[str, Any]) -> Program:
    return Program(
        program_id,
        str(row.get("name") or ""),
        str(row.get("type") or ""),
        str(row.get("channel") or ""),
        str(row.get("workspace") or ""),
        _reference(row.get("folder"), "value"),
        str(row.get("url") or ""),
    )


def get_folder(client: MarketoClient, reference: FolderRef) -> Folder | None:
    """A folder by type and id."""
    path = f"/rest/asset/v1/folder/{reference.id}.json"
    row = _first(client, "folder", path, {"type": reference.type})
    if row is None:
        return None
    return Folder(str(row.get("name") or ""), row.get("isArchive") is True, _reference(row.get("parent"), "id"))


def list_channels(client: MarketoClient) -> dict[str, list[Status]]:
    """Statuses of every channel, by channel name."""
    channels: dict[str, list[Status]] = {}
    offset = 0
    while True:
        page = {"maxReturn": str(CHANNELS_PER_PAGE), "offset": str(offset)}
        try:
            reply = client.send(get("channels", "/rest/asset/v1/channels.json", page, asset=True))
        except NotFoundError as error:
            if error.code == "702":
                return channels
            raise
        for row in reply.result:
            if isinstance(row, dict) and isinstance(row.get("name"), str):
                channels[row["name"]] = _statuses(row.get("progressionStatuses"))
        if len(reply.result) < CHANNELS_PER_PAGE:
            return channels
        offset += CHANNELS_PER_PAGE


def get_channel(client: MarketoClient, name: str) -> list[Status] | None:
    """Statuses of one channel; None where there is none of this name."""
    row = _first(client, "channel", "/rest/asset/v1/channel/byName.json", {"name": name})
    return None if row is None else _statuses(row.get("progressionStatuses"))


def _first(
    client: MarketoClient, endpoint: str, path: str, query: dict[str, str] | None = None
) -> dict[str, Any] | None:
    """The one asset asked for. "Not found" is an empty or missing `result`, or code 702 or 610."""
    try:
        reply = client.send(get(endpoint, path, query, asset=True))
    except NotFoundError:
        return None
    row = reply.result[0] if reply.result else None
    return row if isinstance(row, dict) else None


def _reference(value: Any, id_member: str) -> FolderRef | None:
    """`folder` of a program names its id `value` in samples and `id` in the schema; `parent` has `id`."""
    if not isinstance(value, dict):
        return None
    number = value.get(id_member, value.get("id", value.get("value")))
    if not isinstance(number, int):
        return None
    return FolderRef(str(value.get("type") or "Folder"), number)


def _statuses(value: Any) -> list[Status]:
    return [
        Status(row["name"], int(row.get("step") or 0), row.get("hidden") is True, row.get("success") is True)
        for row in value or []
        if isinstance(row, dict) and isinstance(row.get("name"), str)
    ]
