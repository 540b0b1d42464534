"""Whether the storage keeps what is written to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.config import LocalStorage
from destination_marketo_programs.config.surroundings import is_on_volume, runs_in_pod
from destination_marketo_programs.model import Problem
from destination_marketo_programs.storage import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from destination_marketo_programs.config import Settings
    from destination_marketo_programs.storage import OutcomeStore


def storage_problems(
    settings: Settings,
    store: OutcomeStore,
    *,
    raise_transient: bool,
    in_pod: Callable[[], bool] = runs_in_pod,
    on_volume: Callable[[str], bool] = is_on_volume,
) -> Iterator[Problem]:
    """A storage that cannot be used, or whose files go with the pod that wrote them.

    Args:
        settings: the configuration.
        store: is probed: writes, reads and deletes an object.
        raise_transient: raise a fault of the storage that may pass.
        in_pod: whether this is a Kubernetes pod.
        on_volume: whether a folder is on a volume that outlives it.

    Raises:
        StorageError: with `raise_transient`, and only if it is transient.
    """
    storage = settings.object_storage_config
    if isinstance(storage, LocalStorage) and store.location and in_pod() and not on_volume(storage.path):
        yield Problem(
            ("object_storage_config", "path"),
            "This folder is inside the pod, and Kubernetes deletes it with the pod after the sync.",
            "Choose S3, or a folder on a mounted volume. Airbyte mounts /local only if "
            "global.jobs.kube.localVolume.enabled is set in its Helm chart.",
        )
        return
    try:
        store.probe()
    except StorageError as error:
        if error.transient and raise_transient:
            raise
        yield Problem(tuple(error.path.split(".")), error.message, error.fix)
