"""Asset API: programs, channels, folders, with its own date format and its own way to say "not found"."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .catalogue import FOLDER_TYPES, URL_PREFIXES, Channel, Folder, Program
from .clock import asset_time
from .errors import ApiError
from .request import Answer, moment

if TYPE_CHECKING:
    from .instance import Instance
    from .request import Request
    from .store import Json

_NOT_FOUND = "No assets found for the given search criteria."
_MOST_ROWS = 200
_DEFAULT_ROWS = 20
_HIGHEST_OFFSET = 10_000_000
_WORKSPACE = "Default"
_YEAR_SECONDS = 365 * 86_400


def _found(rows: list[Json]) -> Answer:
    if not rows:
        return Answer(None, warnings=[_NOT_FOUND], asset=True)
    return Answer(rows, asset=True)


def _page(request: Request, rows: list[Json]) -> Answer:
    most = request.number("maxReturn", _DEFAULT_ROWS, _MOST_ROWS)
    offset = request.number("offset", 0, _HIGHEST_OFFSET, least=0)
    return _found(rows[offset : offset + most])


def _dates(instance: Instance) -> Json:
    started = instance.store.started_at
    return {"createdAt": asset_time(started - _YEAR_SECONDS), "updatedAt": asset_time(started)}


def _program(instance: Instance, program: Program, tags: bool = True) -> Json:
    store = instance.store
    if program.folder_type == "Program":
        folder_name = store.programs[program.folder_id].name
    else:
        folder_name = store.folders[program.folder_id].name
    row: Json = {"id": program.id, "name": program.name, "description": program.description}
    row |= _dates(instance)
    row |= {
        "url": f"https://app-sb01.marketo.com/#{URL_PREFIXES[program.type]}{program.id}A1",
        "type": program.type,
        "channel": program.channel,
        # Examples call the folder's id `value`; only the schema says `id`.
        "folder": {"type": program.folder_type, "value": program.folder_id, "folderName": folder_name},
        "status": program.status,
        "workspace": _WORKSPACE,
    }
    if tags:
        row["headStart"] = False
        row["tags"] = [{"tagType": kind, "tagValue": value} for kind, value in program.tags] or None
        row["costs"] = None
    return row


def _channel(instance: Instance, channel: Channel) -> Json:
    row: Json = {"id": channel.id, "name": channel.name}
    row["applicableProgramType"] = channel.applicable_program_type
    row |= _dates(instance)
    row["progressionStatuses"] = [
        {
            "name": status.name,
            "step": status.step,
            "description": None,
            "hidden": status.hidden,
            "success": status.success,
        }
        for status in channel.statuses
    ]
    return row


def _path(instance: Instance, folder: Folder) -> str:
    names = [folder.name]
    parent_id = folder.parent_id
    while parent_id is not None:
        parent = instance.store.folders[parent_id]
        names.append(parent.name)
        parent_id = parent.parent_id
    return "/".join(["/Marketing Activities", *reversed(names)])


def _folder(instance: Instance, folder: Folder) -> Json:
    parent = None if folder.parent_id is None else {"id": folder.parent_id, "type": "Folder"}
    row: Json = {"name": folder.name, "description": ""} | _dates(instance)
    return row | {
        "url": f"https://app-sb01.marketo.com/#MF{folder.id}A1",
        "folderId": {"id": folder.id, "type": "Folder"},
        "folderType": folder.folder_type,
        "parent": parent,
        "path": _path(instance, folder),
        "isArchive": folder.is_archive,
        "isSystem": folder.is_system,
        "accessZoneId": 1,
        "workspace": _WORKSPACE,
        "id": folder.id,
    }


def _program_folder(instance: Instance, program: Program) -> Json:
    store = instance.store
    within = program
    while within.folder_type == "Program":
        within = store.programs[within.folder_id]
    row: Json = {"name": program.name, "description": program.description} | _dates(instance)
    return row | {
        "url": f"https://app-sb01.marketo.com/#{URL_PREFIXES[program.type]}{program.id}A1",
        "folderId": {"id": program.id, "type": "Program"},
        "folderType": FOLDER_TYPES[program.type],
        "parent": {"id": program.folder_id, "type": program.folder_type},
        "path": f"{_path(instance, store.folders[within.folder_id])}/{program.name}",
        "isArchive": False,
        "isSystem": False,
        "accessZoneId": 1,
        "workspace": _WORKSPACE,
        "id": program.id,
    }


def program_by_id(instance: Instance, request: Request) -> Answer:
    """Get Program by Id."""
    program = instance.store.programs.get(request.path_id())
    return _found([_program(instance, program)] if program else [])


def program_by_name(instance: Instance, request: Request) -> Answer:
    """Get Program by Name."""
    name = request.required("name")
    return _found([_program(instance, p) for p in instance.store.programs.values() if p.name == name])


def programs(instance: Instance, request: Request) -> Answer:
    """Browse Programs, without tags, in order of id; by id, folder or workspace, and by the time of the last change."""
    ordered = sorted(instance.store.programs.values(), key=lambda program: program.id)
    found = _filtered(instance, request, ordered)
    # A program of the sandbox never changes.
    updated = int(instance.store.started_at)
    earliest, latest = request.query.get("earliestUpdatedAt"), request.query.get("latestUpdatedAt")
    if (earliest and updated < moment(earliest)) or (latest and updated > moment(latest)):
        found = []
    return _page(request, [_program(instance, program, tags=False) for program in found])


def _filtered(instance: Instance, request: Request, programs: list[Program]) -> list[Program]:
    kind = request.query.get("filterType", "")
    if not kind or instance.settings.programs_filter == "ignored":
        return programs
    if kind not in {"id", "programId", "folderId", "workspace"} or instance.settings.programs_filter == "refused":
        raise ApiError("1003", f"Invalid value for parameter 'filterType': '{kind}'")
    wanted = set(request.names("filterValues", ()))
    request.call.records = len(wanted)
    match kind:
        case "folderId":
            return [program for program in programs if str(program.folder_id) in wanted]
        case "workspace":
            return programs if _WORKSPACE in wanted else []
        case _:
            return [program for program in programs if str(program.id) in wanted]


def none_of_them(_instance: Instance, _request: Request) -> Answer:
    """Emails, segmentations, tokens: kinds of asset of which the sandbox has none."""
    return _found([])


def no_rows(_instance: Instance, _request: Request) -> Answer:
    """Static lists and campaigns, of which the sandbox has none."""
    return Answer([])


def channels(instance: Instance, request: Request) -> Answer:
    """Browse Channels."""
    return _page(request, [_channel(instance, channel) for channel in instance.store.channels.values()])


def channel_by_name(instance: Instance, request: Request) -> Answer:
    """Get Channel by Name."""
    channel = instance.store.channels.get(request.required("name"))
    return _found([_channel(instance, channel)] if channel else [])


def folder_by_id(instance: Instance, request: Request) -> Answer:
    """Get Folder by Id. A folder and a program may share an id, hence the required `type`."""
    kind = request.required("type")
    if kind == "Folder":
        folder = instance.store.folders.get(request.path_id())
        return _found([_folder(instance, folder)] if folder else [])
    if kind == "Program":
        program = instance.store.programs.get(request.path_id())
        return _found([_program_folder(instance, program)] if program else [])
    raise ApiError("1003", f"Invalid value for parameter 'type': '{kind}'")
