"""Who a rejected record is about, as far as it can be told without the configuration that mapped it."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_TEXT = 20_000
"""Longest value taken over, in characters; a record may hold anything."""

_EMAIL = ("email", "emailaddress", "workemail", "mail")
_NAME = ("fullname", "name", "displayname")
_COMPANY = ("company", "companyname", "organization", "organisation", "account", "accountname")
_NESTED = ("lead", "person", "contact", "data")
_COLUMNS = frozenset((*_EMAIL, *_NAME, *_COMPANY, "firstname", "lastname"))
_MAX_NAME = 40
_decoder = msgspec.json.Decoder()


class Who(NamedTuple):
    """What people recognise a lead by; each None if the record has no such value."""

    name: str | None
    email: str | None
    company: str | None


NOBODY = Who(None, None, None)


def who_is(data: bytes | msgspec.Raw) -> Who:
    """The person in a record's `data`, by the usual names of columns, at the top or one level below."""
    try:
        members = _decoder.decode(data)
    except msgspec.DecodeError:
        return NOBODY
    if not isinstance(members, dict):
        return NOBODY
    columns: dict[str, Any] = {}
    for layer in _layers(members):
        for name, value in layer.items():
            known = _folded(name) if len(name) <= _MAX_NAME else None
            if known in _COLUMNS:
                columns.setdefault(known, value)
    both = [_text(columns.get("firstname")), _text(columns.get("lastname"))]
    return Who(
        name=" ".join(part for part in both if part) or _first(columns, _NAME),
        email=_first(columns, _EMAIL),
        company=_first(columns, _COMPANY),
    )


def is_email_column(path: str) -> bool:
    """Whether a column, named by its path, is one of those that a person's email is taken from."""
    return _folded(path.rpartition(".")[2][:_MAX_NAME]) in _EMAIL


@lru_cache(maxsize=4096)
def _folded(name: str) -> str:
    return re.sub(r"[^a-z]", "", name.lower())


def _layers(members: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield members
    for name in _NESTED:
        below = members.get(name)
        if isinstance(below, dict):
            yield below


def _first(columns: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((text for name in names if (text := _text(columns.get(name)))), None)


def _text(value: Any) -> str | None:
    if isinstance(value, dict):
        value = value.get("name")
    return value.strip()[:MAX_TEXT] or None if isinstance(value, str) else None
