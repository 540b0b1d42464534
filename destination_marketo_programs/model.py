"""What flows through the connector: a record, the person on it, and the programs that person is meant for.

Nothing here does I/O or imports another module of the package but `outcomes` and `text`, which import none.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

import msgspec

from destination_marketo_programs.outcomes import Category, Detail, Refusal
from destination_marketo_programs.text import LONGEST_NAME, on_one_line

LeadFields = dict[str, Any]
"""REST API name -> JSON scalar, as one row of Sync Leads takes it (without the lookup field and `id`)."""


class _Unreadable(Enum):
    UNREADABLE = "unreadable"


UNREADABLE: Final = _Unreadable.UNREADABLE
"""Stands for a part of a record that is not kept: nested too deeply, or a number out of all bounds."""


class Person(msgspec.Struct, gc=False):
    """Who a record is about, as Marketo can find them.

    Attributes:
        marketo_id: Marketo's lead id given on the record; tried first.
        lookup_value: value of the lookup field, trimmed and of the field's type, as it is sent; None if the
            record has none.
        key: `lookup_value` as text, folded so that two spellings of one person are equal; None without lookup value.
        fields: lead fields to write, without lookup field and id. Blank values are already dropped or kept
            as None, as `lead_sync.blank_values` says.
        member_fields: fields of the program membership to write.
        on_create: lead fields to write only to a person whom this connector creates; None if there are none. None
            of them is blank.
        if_blank: lead fields to write only if Marketo has nothing in them; None if there are none. Likewise.
    """

    marketo_id: int | None
    lookup_value: str | int | None
    key: str | None
    fields: LeadFields
    member_fields: LeadFields
    on_create: LeadFields | None = None
    if_blank: LeadFields | None = None


class Target(msgspec.Struct, gc=False, frozen=True):
    """A program and status that a record's person is meant for.

    Attributes:
        program_id: numeric Marketo program id.
        program_status: progression status, exactly as Marketo spells it.
        event: the record's event as the outcome shows it; None if the record names none.
    """

    program_id: int
    program_status: str
    event: str | None


class Verdict(msgspec.Struct, gc=False, frozen=True):
    """A fate decided without asking Marketo: a skip or a rejection of a record, or of one of its programs.

    Attributes:
        category: it also tells skip from rejection, except UNMAPPED_QUALIFIER, which is either: `rejected` says.
        program_id: None if the verdict is about the whole record.
        message: what is wrong, with the configuration path or column name if there is one. Never a value
            that came from the record.
        detail: the values of the record that decided it; stored and shown on the page, never logged.
    """

    rejected: bool
    category: Category
    program_id: int | None = None
    program_status: str | None = None
    event: str | None = None
    message: str | None = None
    detail: Detail | None = None

    @property
    def refusal(self) -> Refusal:
        """The verdict as everything after mapping says it."""
        return Refusal(self.category, message=self.message, detail=self.detail)


class Mapped(msgspec.Struct, gc=False):
    """All that mapping says of one record: targets to deliver plus verdicts already final.

    `targets` and `verdicts` together are never empty, and name each program at most once. `person` is None
    exactly when `targets` is empty.

    Attributes:
        record_id: the record's own `id` as text, used as the record key if the stream has no primary key.
        unlinked_event: the event as outcomes show it, if no program link matches it.
        unmapped_values: the record's qualifier values, if no qualifier mapping applies to them.
    """

    person: Person | None
    targets: list[Target]
    verdicts: list[Verdict]
    record_id: str | None
    unlinked_event: str | None = None
    unmapped_values: tuple[str, ...] = ()


Location = tuple[str | int, ...]
"""Keys and list positions from the top, such as `("program_links", 2, "program_status")`."""


_LONGEST_OPTION = 400
"""An option of the command line stands with the path that follows it."""


def path_of(location: Location) -> str:
    """Return a location as users write it, such as `program_links[2].program_status`."""
    path = ""
    for step in location:
        if isinstance(step, int):
            path += f"[{step}]"
        else:
            longest = _LONGEST_OPTION if step.startswith("--") else LONGEST_NAME
            path += ("." if path else "") + on_one_line(step, longest)
    return path


class Problem(msgspec.Struct, frozen=True):
    """One mistake in the configuration, the catalog or Marketo's set-up, told so that its reader can fix it.

    Attributes:
        location: where in the configuration or the catalog; one step that is not a key (`--config file.json`) stands
            for itself.
        message: what is wrong. Never a secret.
        fix: what to do about it.
        place: where in the form's words, such as `Program link 3, event 4711`; "" for places that no form shows.
        also: further places of the same mistake; "" if there are none.
    """

    location: Location
    message: str
    fix: str
    place: str = ""
    also: str = ""

    @property
    def path(self) -> str:
        """The location as text, `program_links[2].program_status`."""
        return path_of(self.location)

    def __str__(self) -> str:
        where = f"{self.place} ({self.path})" if self.place else self.path
        also = f"Also applies to {self.also}. " if self.also else ""
        return f"{where}: {self.message} {also}{self.fix}".rstrip()
