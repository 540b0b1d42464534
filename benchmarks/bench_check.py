"""What `check` computes beside its calls, for configurations far beyond any real one.

Each case is read and judged against a Marketo that answers at once, so that the seconds are the connector's own.
The aim is 5 seconds for 10,000 links and 10,000 mappings, whatever is wrong with them.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from common import show

from destination_marketo_programs.config import load_settings
from destination_marketo_programs.marketo.assets import Folder, FolderRef, FoundPrograms, Program, Status
from destination_marketo_programs.marketo.leads import FieldInfo, LeadDescription
from destination_marketo_programs.preflight import run_preflight
from destination_marketo_programs.storage.store import NoStore

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Json = dict[str, Any]

MANY = 10_000
CHANNELS = 10
STATUSES_PER_CHANNEL = 1_000
FIELDS = 1_000
AIM_SECONDS = 5.0
NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)


class QuickMarketo:
    """Answers every question of the checks from memory."""

    def calls_today(self) -> int:
        """Nobody else calls."""
        return 0

    def lead_fields(self) -> LeadDescription:
        """Text fields with numbered names."""
        return LeadDescription(described("field"), None)

    def member_fields(self) -> dict[str, FieldInfo]:
        """As for people."""
        return described("member")

    def partitions(self) -> dict[str, int]:
        """The one that every instance has."""
        return {"Default": 1}

    def channels(self) -> dict[str, list[Status]]:
        """Every channel with as many statuses."""
        return {
            f"Channel {number}": [
                Status(f"Status {at}", 10 * (at // 2), hidden=False, success=at % 2 == 1)
                for at in range(STATUSES_PER_CHANNEL)
            ]
            for number in range(CHANNELS)
        }

    def channel(self, _name: str) -> list[Status] | None:
        """None is missing."""
        return None

    def programs(self, program_ids: Sequence[int]) -> FoundPrograms:
        """All of them."""
        place = FolderRef("Folder", 1)
        return FoundPrograms(
            {
                number: Program(number, f"Program {number}", "Event", f"Channel {number % CHANNELS}", "Default", place)
                for number in program_ids
            },
            [],
        )

    def program(self, _program_id: int) -> Program | None:
        """None is left open."""
        return None

    def folder(self, _reference: FolderRef) -> Folder | None:
        """In use, at the top."""
        return Folder("Events", archived=False, parent=None)


def described(name: str) -> dict[str, FieldInfo]:
    """Fields with numbered names."""
    return {
        f"{name}{number}": FieldInfo(f"{name}{number}", "string", 255, updateable=True, display_name=f"{name} {number}")
        for number in range(FIELDS)
    }


def config(status: Callable[[int], str], mapped: Callable[[int], str], **more: Any) -> Json:
    """As many links and mappings, the status of each given by its position."""
    return {
        "domain_url": "https://123-ABC-456.mktorest.com",
        "client_id": "id",
        "client_secret": "secret",
        "program_links": [
            {"event": str(at), "program_id": str(1_000 + at), "program_status": status(at)} for at in range(MANY)
        ],
        "qualifier_mappings": [
            {
                "program_id": str(1_000 + at) if at % 2 else "",
                "qualifier": f"answer {at}",
                "value": "Yes",
                "program_status": mapped(at),
            }
            for at in range(MANY)
        ],
        **more,
    }


def right(at: int) -> str:
    """A status that every channel has."""
    return f"Status {at % STATUSES_PER_CHANNEL}"


def mistyped(at: int) -> str:
    """One that none has, different for each position."""
    return f"Statsu {at}"


CASES: dict[str, Json] = {
    "nothing wrong": config(right, right),
    "every status mistyped": config(mistyped, mistyped),
    "one mistake everywhere": config(lambda _at: "status 1", lambda _at: "status 1"),
    "every field mistyped": config(
        right, right, field_mappings=[{"record_field": "x", "marketo_field": f"feild{at}"} for at in range(MANY)]
    ),
    "every key mistyped": config(right, right)
    | {"program_links": [{"event": str(at), "program_id": "1", "program_statsu": "x"} for at in range(MANY)]},
    "every value of a wrong type": config(right, right)
    | {"program_links": [{"event": [], "program_id": {}, "program_status": 1.5} for _ in range(MANY)]},
}


def seconds_for(raw: Json) -> tuple[float, int, int]:
    """Seconds, problems and characters of their text."""
    started = time.perf_counter()
    loaded = load_settings(raw, cloud=False)
    problems = loaded.problems
    if loaded.settings is not None:
        marketo: Any = QuickMarketo()
        problems = run_preflight(marketo, loaded.settings, NoStore(), loaded.problems, now=lambda: NOW).problems
    text = "\n".join(map(str, problems))
    return time.perf_counter() - started, len(problems), len(text)


def main() -> None:
    """Measure each case once and show them."""
    rows = [(name, *seconds_for(raw)) for name, raw in CASES.items()]
    show(
        "check",
        f"check of {MANY:,} links and {MANY:,} mappings, beside the calls (aim: {AIM_SECONDS:.0f} s)",
        ("what is wrong", "seconds", "problems", "characters"),
        rows,
    )


if __name__ == "__main__":
    main()
