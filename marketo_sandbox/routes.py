"""The table of endpoints: path, method, permission, and who answers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from . import activity_query, assets, exports, imports, leads, member_query, members, usage
from .request import Answer
from .settings import Permission

if TYPE_CHECKING:
    from .exporting import ExportKind
    from .instance import Instance
    from .request import Request

Prepare = Callable[["Instance", "Request"], Callable[[], Answer]]
"""First half of an endpoint: reads and checks the call; what it returns does the work."""


class Route(msgspec.Struct, frozen=True):
    """One endpoint.

    Attributes:
        endpoint: its name in the call log and in faults.
        permission: what the API user's role has to allow; None for none.
        writes: whether it can change leads or members.
    """

    endpoint: str
    method: str
    path: str
    prepare: Prepare
    permission: Permission | None
    writes: bool = False


class Match(msgspec.Struct, frozen=True):
    """A path that exists. `route` is None if it does not take the method (605)."""

    route: Route | None
    path_ids: tuple[str, ...] = ()


def _reads(answer: Callable[[Instance, Request], Answer]) -> Prepare:
    def prepare(instance: Instance, request: Request) -> Callable[[], Answer]:
        def commit() -> Answer:
            with instance.store.lock:
                return answer(instance, request)

        return commit

    return prepare


_V1 = "/rest/v1"
_ASSET = "/rest/asset/v1"
_IMPORT = "/bulk/v1/program/members/import/{id}"

_READ = Permission.READ_LEAD
_WRITE = Permission.WRITE_LEAD
_ASSETS = Permission.READ_ASSETS
_ACTIVITIES = Permission.READ_ACTIVITY


def _export_routes(name: str, kind: ExportKind, select: exports.Select, permission: Permission) -> tuple[Route, ...]:
    """The six endpoints of one kind of extract."""
    base = f"/bulk/v1/{kind}/export"
    return (
        Route(f"{name}.export.create", "POST", f"{base}/create.json", exports.create(kind, select), permission),
        Route(f"{name}.export.enqueue", "POST", f"{base}/{{job}}/enqueue.json", exports.enqueue(kind), permission),
        Route(f"{name}.export.cancel", "POST", f"{base}/{{job}}/cancel.json", exports.cancel(kind), permission),
        Route(f"{name}.export.status", "GET", f"{base}/{{job}}/status.json", _reads(exports.status(kind)), permission),
        Route(f"{name}.export.file", "GET", f"{base}/{{job}}/file.json", _reads(exports.file(kind)), permission),
        Route(f"{name}.exports", "GET", f"{base}.json", _reads(exports.jobs(kind)), permission),
    )


ROUTES = (
    Route("leads.describe", "GET", f"{_V1}/leads/describe.json", _reads(leads.describe), _READ),
    Route("leads.describe2", "GET", f"{_V1}/leads/describe2.json", _reads(leads.describe2), _READ),
    Route("leads.sync", "POST", f"{_V1}/leads.json", leads.sync, _WRITE, writes=True),
    Route("leads.query", "GET", f"{_V1}/leads.json", _reads(leads.query), _READ),
    Route("lead.get", "GET", f"{_V1}/lead/{{id}}.json", _reads(leads.get_by_id), _READ),
    Route("leads.of_program", "GET", f"{_V1}/leads/programs/{{id}}.json", _reads(member_query.leads_of_program), _READ),
    Route("leads.partitions", "GET", f"{_V1}/leads/partitions.json", _reads(leads.partitions), _READ),
    Route(
        "leads.partitions.update",
        "POST",
        f"{_V1}/leads/partitions.json",
        leads.update_partitions,
        _WRITE,
        writes=True,
    ),
    Route("members.describe", "GET", f"{_V1}/programs/members/describe.json", _reads(members.describe), _READ),
    # Superseded, and still in Adobe's endpoint table.
    Route("members.describe", "GET", f"{_V1}/program/members/describe.json", _reads(members.describe), _READ),
    Route("members.query", "GET", f"{_V1}/programs/{{id}}/members.json", _reads(member_query.query), _READ),
    Route(
        "members.status",
        "POST",
        f"{_V1}/programs/{{id}}/members/status.json",
        members.sync_status,
        _WRITE,
        writes=True,
    ),
    Route("members.data", "POST", f"{_V1}/programs/{{id}}/members.json", members.sync_data, _WRITE, writes=True),
    Route(
        "members.delete",
        "POST",
        f"{_V1}/programs/{{id}}/members/delete.json",
        members.delete,
        _WRITE,
        writes=True,
    ),
    Route("usage.today", "GET", f"{_V1}/stats/usage.json", _reads(usage.usage_today), None),
    Route("usage.week", "GET", f"{_V1}/stats/usage/last7days.json", _reads(usage.usage_last_week), None),
    Route("errors.today", "GET", f"{_V1}/stats/errors.json", _reads(usage.errors_today), None),
    Route("errors.week", "GET", f"{_V1}/stats/errors/last7days.json", _reads(usage.errors_last_week), None),
    Route("program.get", "GET", f"{_ASSET}/program/{{id}}.json", _reads(assets.program_by_id), _ASSETS),
    Route("program.by_name", "GET", f"{_ASSET}/program/byName.json", _reads(assets.program_by_name), _ASSETS),
    Route("programs.browse", "GET", f"{_ASSET}/programs.json", _reads(assets.programs), _ASSETS),
    Route("emails.browse", "GET", f"{_ASSET}/emails.json", _reads(assets.none_of_them), _ASSETS),
    Route("segmentations.browse", "GET", f"{_ASSET}/segmentation.json", _reads(assets.none_of_them), _ASSETS),
    Route("folder.tokens", "GET", f"{_ASSET}/folder/{{id}}/tokens.json", _reads(assets.none_of_them), _ASSETS),
    Route("lists.browse", "GET", f"{_V1}/lists.json", _reads(assets.no_rows), _READ),
    Route("campaigns.browse", "GET", f"{_V1}/campaigns.json", _reads(assets.no_rows), _READ),
    Route("activities.types", "GET", f"{_V1}/activities/types.json", _reads(activity_query.types), _ACTIVITIES),
    Route(
        "activities.token",
        "GET",
        f"{_V1}/activities/pagingtoken.json",
        _reads(activity_query.paging_token),
        _ACTIVITIES,
    ),
    Route("activities.query", "GET", f"{_V1}/activities.json", _reads(activity_query.query), _ACTIVITIES),
    Route("channels.browse", "GET", f"{_ASSET}/channels.json", _reads(assets.channels), _ASSETS),
    Route("channel.by_name", "GET", f"{_ASSET}/channel/byName.json", _reads(assets.channel_by_name), _ASSETS),
    Route("folder.get", "GET", f"{_ASSET}/folder/{{id}}.json", _reads(assets.folder_by_id), _ASSETS),
    Route(
        "bulk.import.create",
        "POST",
        "/bulk/v1/program/{id}/members/import.json",
        imports.create,
        _WRITE,
        writes=True,
    ),
    Route("bulk.import.status", "GET", f"{_IMPORT}/status.json", _reads(imports.status), _WRITE),
    Route("bulk.import.failures", "GET", f"{_IMPORT}/failures.json", _reads(imports.failures), _WRITE),
    Route("bulk.import.warnings", "GET", f"{_IMPORT}/warnings.json", _reads(imports.warnings), _WRITE),
    *_export_routes("members", "program/members", exports.select_members, _READ),
    *_export_routes("leads", "leads", exports.select_leads, _READ),
    *_export_routes("activities", "activities", exports.select_activities, _ACTIVITIES),
)

_FIXED: dict[str, dict[str, Route]] = {}
_PATTERNS: dict[str, tuple[re.Pattern[str], dict[str, Route]]] = {}
for _route in ROUTES:
    if "{" in _route.path:
        _expression = re.escape(_route.path).replace(re.escape("{id}"), r"(\d{1,15})")
        _pattern = re.compile(_expression.replace(re.escape("{job}"), r"([0-9a-f-]{36})"))
        _PATTERNS.setdefault(_route.path, (_pattern, {}))[1][_route.method] = _route
    else:
        _FIXED.setdefault(_route.path, {})[_route.method] = _route


def find(method: str, path: str) -> Match | None:
    """The endpoint of a path; None for a path that no endpoint has (610)."""
    methods = _FIXED.get(path)
    if methods is not None:
        return Match(methods.get(method))
    for pattern, methods in _PATTERNS.values():
        match = pattern.fullmatch(path)
        if match is not None:
            return Match(methods.get(method), match.groups())
    return None
