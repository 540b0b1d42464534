"""From a file to JSON, and from raw JSON to `Settings` or to every problem in it at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError

from destination_marketo_programs.config.contradictions import Draft, contradictions, draft_of
from destination_marketo_programs.config.explain import explain_all, tell
from destination_marketo_programs.config.settings import (
    DeliverySettings,
    FieldMapping,
    LeadSync,
    OutcomeStorage,
    ProgramLink,
    QualifierMapping,
    RecordMapping,
    Settings,
)
from destination_marketo_programs.model import Problem
from destination_marketo_programs.text import on_one_line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

LARGEST_FILE_BYTES: Final = 64_000_000
"""A configuration or catalog is far smaller; a device or a data file given by mistake may have no end."""

_LONGEST_PATH = 300
_EXPECTED: Final = {
    "Expecting value": "a value",
    "Expecting property name enclosed in double quotes": "a key in double quotes",
    "Expecting ':' delimiter": "a colon after the key",
    "Expecting ',' delimiter": "a comma, or the end of the list or object",
    "Extra data": "the end of the file",
    "Unterminated string starting at": "a closing double quote for the text that starts here",
    "Invalid control character at": "text without line ends (write them as \\n)",
    "Invalid \\escape": "a valid escape after the backslash (write a backslash as \\\\)",
    "Invalid \\uXXXX escape": "four hexadecimal digits after \\u",
    "Illegal trailing comma before end of object": "no comma before the end of the object",
    "Illegal trailing comma before end of array": "no comma before the end of the list",
}
"""Python's words for what is wrong with JSON -> what stands there in sound JSON."""


# --- files -------------------------------------------------------------------------------------------------------


class JsonFileError(Exception):
    """A JSON file cannot be read.

    Attributes:
        problem: which file and why, never with anything that is in it.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def read_json_file(path: str, option: str) -> Any:
    """Read a JSON file that is named on the command line. UTF-8, UTF-16 and UTF-32 are read, with or without a mark.

    Args:
        path: of the file.
        option: the option that names it, such as `config`, for messages.

    Raises:
        JsonFileError: it cannot be opened, is too large, is not JSON, or holds what no JSON file needs.
    """
    if path.lstrip().startswith(("{", "[")):
        _refuse(option, "", "This is JSON itself, not the path of a file.", "Save it to a file and give its path.")
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_FILE_BYTES + 1)
    except OSError as error:
        _refuse(option, path, f"The file cannot be read: {error.strerror or 'unknown reason'}.", _GIVE_PATH)
    except ValueError:
        _refuse(option, "", "This is not the path of a file.", _GIVE_PATH)
    if len(content) > LARGEST_FILE_BYTES:
        _refuse(option, path, f"The file is larger than {LARGEST_FILE_BYTES // 1_000_000} MB.", _GIVE_PATH)
    try:
        return json.loads(content.decode(json.detect_encoding(content)), parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        _refuse(option, path, f"Byte {error.start + 1:,} of the file is not valid UTF-8.", "Save the file as UTF-8.")
    except json.JSONDecodeError as error:
        expected = _EXPECTED.get(error.msg, "something else")
        if not content.strip():
            _refuse(option, path, "The file is empty.", _GIVE_PATH)
        _refuse(
            option,
            path,
            f"The file is not valid JSON: line {error.lineno:,}, column {error.colno:,} should be {expected}.",
            "Correct it there; the mistake may be just before.",
        )
    except RecursionError:
        _refuse(option, path, "Lists and objects in the file are nested too deeply.", _GIVE_PATH)
    except ValueError:
        _refuse(option, path, "The file holds a number that is too long, or NaN or Infinity.", "Correct the number.")


_GIVE_PATH = "Give the path of a JSON file."


def _refuse(option: str, path: str, message: str, fix: str) -> NoReturn:
    """Raise, with the path unless it may be something else than a path."""
    shown = f" {on_one_line(path, _LONGEST_PATH)}" if path and len(path) <= _LONGEST_PATH else ""
    raise JsonFileError(Problem((f"--{option}{shown}",), message, fix)) from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


# --- configuration -----------------------------------------------------------------------------------------------


class LoadedSettings(msgspec.Struct, frozen=True):
    """What happened to a raw configuration.

    Attributes:
        settings: None if the configuration cannot be used. With settings there may still be problems: they
            forbid writing, but checks against Marketo can go on and report theirs as well.
        problems: in the order of the form; empty when all is well.
        readable: what can be read of a configuration that cannot be used, so that Marketo's part of the problems is
            found all the same; nothing is to be written with it. None if even that needs what is wrong.
    """

    settings: Settings | None
    problems: list[Problem]
    readable: Settings | None = None

    def secrets(self) -> tuple[str, ...]:
        """Return every secret text that could be read."""
        known = self.settings or self.readable
        return known.secrets() if known else ()


def load_settings(raw: Any, *, cloud: bool) -> LoadedSettings:
    """Read a configuration. Never raises, whatever JSON `raw` is.

    Args:
        raw: the decoded JSON of the configuration.
        cloud: whether the connector runs on Airbyte Cloud, where neither a local sandbox nor a local folder exists.

    Returns:
        The settings unless a value is missing, unknown or unusable; and all problems, those of single values as
        well as those between settings. No problem holds a secret.
    """
    try:
        settings = Settings.model_validate(raw, context={"cloud": cloud})
    except ValidationError as error:
        details = error.errors(include_url=False)
        problems = explain_all(details)
        if isinstance(raw, dict):
            problems += contradictions(_salvage(raw), cloud=cloud)
        told = tell(problems, lambda position: _raw_event(raw, position))
        return LoadedSettings(None, told, _readable(raw, [detail["loc"] for detail in details], cloud=cloud))
    return LoadedSettings(settings, tell(contradictions(draft_of(settings), cloud=cloud), events_of(settings)))


def events_of(settings: Settings) -> Callable[[int], str]:
    """Return what tells the event of a program link by its position, for `tell`."""
    events = {place: link.event for place, link in settings.placed_links()}
    return lambda position: events.get(position, "")


def _raw_event(raw: Any, position: int) -> str:
    """The event of a link that may not be one."""
    links = raw.get("program_links") if isinstance(raw, dict) else None
    link = links[position] if isinstance(links, list) and position < len(links) else None
    event = link.get("event") if isinstance(link, dict) else None
    return event if isinstance(event, str) else ""


_ENTRIES: Final[dict[str, type[BaseModel]]] = {
    "program_links": ProgramLink,
    "qualifier_mappings": QualifierMapping,
    "field_mappings": FieldMapping,
}


def _readable(raw: Any, wrong: Sequence[tuple[int | str, ...]], *, cloud: bool) -> Settings | None:
    """Return the configuration without what is wrong in it; None if it cannot do without.

    Args:
        raw: the configuration.
        wrong: where each unusable, unknown or missing value is, as pydantic says it.
        cloud: as for `load_settings`.
    """
    if not isinstance(raw, dict):
        return None
    kept = {key: _copied(value) for key, value in raw.items()}
    unread: dict[str, set[int]] = {}
    for location in wrong:
        match location:
            case (str(name), int(entry), str(key), *_) if name in _ENTRIES and not _is_needed(_ENTRIES[name], key):
                kept[name][entry].pop(key, None)
            case (str(name), int(entry), *_) if name in _ENTRIES:
                unread.setdefault(name, set()).add(entry)
            case ("record_mapping", *_):
                kept["record_mapping"] = {"mapping_type": "custom"}  # of which Marketo is asked nothing
            case (("lead_sync" | "delivery") as block, str(name), *_) if isinstance(kept.get(block), dict):
                kept[block].pop(name, None)
            case (name, *_):
                kept.pop(name, None)
    kept.setdefault("program_links", [])  # the credentials can be tried without any
    places: dict[str, tuple[int, ...]] = {}
    for name, entries in unread.items():
        places[name] = tuple(at for at in range(len(kept[name])) if at not in entries)
        kept[name] = [kept[name][at] for at in places[name]]
    try:
        return Settings.model_validate(kept, context={"cloud": cloud, "places": places})
    except ValidationError:
        return None


def _copied(value: Any) -> Any:
    """A copy as deep as the keys that may be taken out; what lies deeper may be nested without end."""
    if isinstance(value, list):
        return [dict(entry) if isinstance(entry, dict) else entry for entry in value]
    return dict(value) if isinstance(value, dict) else value


def _is_needed(kind: type[BaseModel], key: str) -> bool:
    """Whether Marketo would be asked about something else if an entry lacked this key."""
    field = kind.model_fields.get(key)
    return field is not None and (field.is_required() or key in {"program_id", "allow_archived", "marketo_object"})


def _salvage(raw: dict[Any, Any]) -> Draft:
    """Read every part on its own, so that one wrong value does not hide what contradicts elsewhere."""
    return Draft(
        program_links=_each(ProgramLink, raw.get("program_links")) or (None,),
        qualifier_mappings=_each(QualifierMapping, raw.get("qualifier_mappings")),
        record_mapping=_one(RecordMapping, raw.get("record_mapping") or {"mapping_type": "mobly"}),
        field_mappings=_each(FieldMapping, raw.get("field_mappings")),
        lead_sync=_one(LeadSync, raw.get("lead_sync") or {}),
        object_storage_config=_one(OutcomeStorage, raw.get("object_storage_config") or {"storage_type": "None"}),
        delivery=_one(DeliverySettings, raw.get("delivery") or {}),
    )


def _one(kind: Any, raw: Any) -> Any:
    """Return what `raw` reads as, or None if it cannot be read."""
    return _try(TypeAdapter(kind), raw)


def _try(adapter: TypeAdapter[Any], raw: Any) -> Any:
    try:
        return adapter.validate_python(raw)
    except ValidationError:
        return None


def _each(kind: Any, raw: Any) -> tuple[Any, ...]:
    """Return what each element reads as; anything but a list counts as one element that cannot be read."""
    if raw is None:
        return ()
    adapter = TypeAdapter(kind)
    return tuple(_try(adapter, element) for element in raw) if isinstance(raw, list) else (None,)
