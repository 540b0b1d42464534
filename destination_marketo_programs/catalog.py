"""The configured catalog: which streams come in, how their records are named, and what is asked of this destination.

Airbyte writes the catalog; people write it too, for the command line. Whatever JSON it is, it reads as streams or as
problems with a path such as `catalog.streams[2].primary_key`, and never as an exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from destination_marketo_programs.model import Location, Problem
from destination_marketo_programs.text import code, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from destination_marketo_programs.config import LeadSyncMode
    from destination_marketo_programs.protocol import StreamKey

DESTINATION_SYNC_MODES: Final = ("append", "overwrite", "append_dedup", "update", "soft_delete")
"""What the protocol knows; `update` and `soft_delete` come with data activation and are not always possible here."""

_LONGEST_SYNC_ID = 2**63


class ConfiguredStream(NamedTuple):
    """One stream of the configured catalog.

    Attributes:
        key: namespace ("" without one) and name.
        primary_key: column paths; () without a primary key.
        destination_sync_mode: one of `DESTINATION_SYNC_MODES`; "" if the catalog names none.
        destination_object_name: the object of `discover` that the records are for; "" for none.
        position: in the catalog, for messages.
        properties: top-level columns of the stream's schema; () if it has none.
    """

    key: StreamKey
    primary_key: tuple[tuple[str, ...], ...] = ()
    destination_sync_mode: str = ""
    destination_object_name: str = ""
    position: int = 0
    properties: tuple[str, ...] = ()

    @property
    def location(self) -> Location:
        """Where in the catalog the stream stands, for problems about it."""
        return ("catalog", "streams", self.position)


class Catalog(NamedTuple):
    """A configured catalog as far as it can be read.

    Attributes:
        streams: in the order of the catalog.
        sync_id: Airbyte's number of the sync, the same for all streams; None if it gives none.
        problems: what cannot be read; empty when all is well. With problems, nothing may be written.
    """

    streams: tuple[ConfiguredStream, ...]
    sync_id: int | None
    problems: tuple[Problem, ...]


def read_catalog(raw: Any) -> Catalog:
    """Read a configured catalog. Never raises, whatever JSON `raw` is; unknown members are passed over.

    Args:
        raw: the decoded JSON of the catalog.
    """
    if not isinstance(raw, dict):
        return Catalog((), None, (_not_a(("catalog",), "an object with a list of streams"),))
    entries = raw.get("streams")
    if not isinstance(entries, list):
        return Catalog((), None, (_not_a(("catalog", "streams"), "a list"),))
    problems: list[Problem] = []
    streams = []
    sync_id = None
    for position, entry in enumerate(entries):
        stream = _read_stream(entry, position, problems)
        if stream is not None:
            streams.append(stream)
            sync_id = sync_id if sync_id is not None else _sync_id(entry.get("sync_id"))
    return Catalog(tuple(streams), sync_id, (*problems, *_repeated(streams)))


def _read_stream(entry: Any, position: int, problems: list[Problem]) -> ConfiguredStream | None:
    location: Location = ("catalog", "streams", position)
    stream = entry.get("stream") if isinstance(entry, dict) else None
    if not isinstance(stream, dict):
        problems.append(_not_a((*location, "stream"), "an object with a name"))
        return None
    name, namespace = stream.get("name"), stream.get("namespace")
    if not isinstance(name, str) or not name:
        problems.append(_not_a((*location, "stream", "name"), "text"))
        return None
    if not isinstance(namespace, str | None):
        problems.append(_not_a((*location, "stream", "namespace"), "text or null"))
        return None
    member = "primary_key" if entry.get("primary_key") else "source_defined_primary_key"
    primary_key = _read_primary_key(entry.get("primary_key") or stream.get("source_defined_primary_key"))
    if primary_key is None:
        where = (*location, member) if member == "primary_key" else (*location, "stream", member)
        problems.append(_not_a(where, 'a list of column paths, such as [["id"]]'))
    texts = {}
    for member in ("destination_sync_mode", "destination_object_name"):
        value = entry.get(member)
        if not isinstance(value, str | None):
            problems.append(_not_a((*location, member), "text"))
        texts[member] = value if isinstance(value, str) else ""
    schema = stream.get("json_schema")
    columns = schema.get("properties") if isinstance(schema, dict) else None
    return ConfiguredStream(
        (namespace or "", name),
        primary_key or (),
        texts["destination_sync_mode"].strip(),
        texts["destination_object_name"].strip(),
        position,
        tuple(columns) if isinstance(columns, dict) else (),
    )


def _read_primary_key(value: Any) -> tuple[tuple[str, ...], ...] | None:
    """Read a list of paths; a path may be plain text. None if it is anything else."""
    if not value:
        return ()
    if not isinstance(value, list):
        return None
    paths = [path if isinstance(path, list) else [path] for path in value]
    if not all(path and all(isinstance(step, str) for step in path) for path in paths):
        return None
    return tuple(map(tuple, paths))


def _sync_id(value: Any) -> int | None:
    return value if type(value) is int and 0 <= value < _LONGEST_SYNC_ID else None


def _repeated(streams: Iterable[ConfiguredStream]) -> Iterator[Problem]:
    first: dict[StreamKey, int] = {}
    for stream in streams:
        earlier = first.setdefault(stream.key, stream.position)
        if earlier != stream.position:
            yield Problem(
                (*stream.location, "stream", "name"),
                f"catalog.streams[{earlier}] already has the stream {quoted(stream.key[1])} of this namespace.",
                "Remove one of the two.",
            )


def _not_a(location: Location, expected: str) -> Problem:
    return Problem(location, f"This must be {expected}.", "Airbyte writes the catalog: use the file as it made it.")


def refuse_object(stream: ConfiguredStream) -> Iterator[Problem]:
    """Refuse a stream that is meant for an object, for whoever knows no objects."""
    yield Problem(
        (*stream.location, "destination_object_name"),
        f"There is no object {quoted(stream.destination_object_name)} to write to.",
        "Leave destination_object_name out: records are routed by program_links.",
    )


def stream_problems(
    streams: Iterable[ConfiguredStream],
    lead_sync_mode: LeadSyncMode,
    object_problems: Callable[[ConfiguredStream], Iterable[Problem]] = refuse_object,
) -> list[Problem]:
    """Return what the streams ask for and this destination does not do, in the order of the catalog.

    Args:
        streams: of the configured catalog.
        lead_sync_mode: `lead_sync.mode` of the configuration.
        object_problems: judges a stream that has a `destination_object_name`.
    """
    problems: list[Problem] = []
    for stream in streams:
        problems += _mode_problems(stream, lead_sync_mode)
        if stream.destination_object_name:
            problems += object_problems(stream)
    return problems


def _mode_problems(stream: ConfiguredStream, lead_sync_mode: LeadSyncMode) -> Iterator[Problem]:
    location = (*stream.location, "destination_sync_mode")
    match stream.destination_sync_mode:
        case "soft_delete":
            yield Problem(
                location,
                f"Stream {quoted(stream.key[1])} asks to delete, but nobody is removed from a program.",
                "Choose another sync mode, such as append (Insert) or append_dedup (Upsert).",
            )
        case "update" if lead_sync_mode != "match_only":
            yield Problem(
                location,
                f"Stream {quoted(stream.key[1])} asks to update existing people only, but lead_sync.mode is "
                f"{lead_sync_mode}.",
                "Set lead_sync.mode to match_only, or choose another sync mode, such as append_dedup (Upsert).",
            )
        case mode if mode and mode not in DESTINATION_SYNC_MODES:
            yield Problem(
                location,
                f"Stream {quoted(stream.key[1])} has the sync mode {code(mode)}, which this destination does not know.",
                f"Choose one of {', '.join(map(code, DESTINATION_SYNC_MODES[:3]))}.",
            )
