"""Where the connector runs, as far as that decides what can be configured."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MOUNTS: Final = Path("/proc/self/mountinfo")

_PASSING: Final = frozenset(
    {"overlay", "aufs", "tmpfs", "ramfs", "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue"}
)
"""Kinds of file systems that go with the pod, or take no files."""

_EMPTY_DIRECTORY: Final = "kubernetes.io~empty-dir"
"""Part of the source of a volume that Kubernetes makes for one pod and deletes with it."""


def runs_in_cloud(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is Airbyte Cloud, where addresses and folders of the machine itself are out of bounds.

    Pods of syncs are told by `DEPLOYMENT_MODE`, those of check and discover by `AIRBYTE_EDITION`, in either case.
    """
    return any(environment.get(name, "").strip().upper() == "CLOUD" for name in ("DEPLOYMENT_MODE", "AIRBYTE_EDITION"))


def runs_in_pod(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is a Kubernetes pod, whose own file system is deleted when it ends."""
    return bool(environment.get("KUBERNETES_SERVICE_HOST", "").strip())


class _Mount(NamedTuple):
    source: str
    point: Path
    kind: str


def is_on_volume(folder: str, mounts: Path = MOUNTS) -> bool:
    """Return whether a folder is on a mounted volume that outlives this pod. The folder need not exist yet.

    Args:
        folder: as configured; links on the way are followed.
        mounts: the mounts of this process, in the format of Linux' `/proc/self/mountinfo`.
    """
    path = Path(folder).resolve()
    above = [mount for mount in _mounts(mounts) if path.is_relative_to(mount.point)]
    if not above:
        return False
    # Of several mounts on one point the last one is in force.
    nearest = max(enumerate(above), key=lambda pair: (len(pair[1].point.parts), pair[0]))[1]
    return nearest.point != Path("/") and nearest.kind not in _PASSING and _EMPTY_DIRECTORY not in nearest.source


def _mounts(path: Path) -> Iterator[_Mount]:
    try:
        lines = path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return  # not Linux, or hidden: then nothing is known to be a volume
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) > 4 and kind:  # noqa: PLR2004 - id, parent, device, source, mount point, …
            yield _Mount(_unescaped(fields[3]), Path(_unescaped(fields[4])), kind[0])


def _unescaped(field: str) -> str:
    r"""Blanks and the like are written as octal numbers: `/my\040folder`."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)
