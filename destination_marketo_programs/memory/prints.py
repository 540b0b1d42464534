"""Fingerprints of what a record says. Pure."""

from __future__ import annotations

import hashlib
import os
from binascii import b2a_base64
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from destination_marketo_programs.model import Person

RECORD: Final = "#"
SALT: Final = "~"
MEMBER: Final = "+"
KEY: Final = "@"
LEAD_ID: Final = "="
"""Members of an outcome's `sent` beside the fields' own names: which record, the salt of its fingerprints, and the
fingerprints of all membership fields together, of the lookup value, and of the Marketo lead id on the record."""

_SALT_BYTES: Final = 6
_PRINT_BYTES: Final = 6
_ID_BYTES: Final = 8

_encode = msgspec.json.encode
_blake = hashlib.blake2b


def new_salt() -> str:
    """A salt for the fingerprints of one record; 8 characters."""
    return b2a_base64(os.urandom(_SALT_BYTES), newline=False).decode("ascii")


def fingerprint(value: Any, salt: bytes) -> str:
    """The fingerprint of a JSON value; 8 characters.

    Of 2^48 changed values one looks unchanged.
    """
    digest = _blake(_encode(value), digest_size=_PRINT_BYTES, salt=salt).digest()
    return b2a_base64(digest, newline=False).decode("ascii")


def prints_of(person: Person, salt: str) -> dict[str, str]:
    """Fingerprints of what a record says of its person and of who that is, and of the membership fields together.

    Fields that are written only to people who are created are not among them: nobody is created twice.
    """
    key = salt.encode("ascii")
    prints = {name: fingerprint(value, key) for name, value in person.fields.items()}
    if person.if_blank:
        prints.update({name: fingerprint(value, key) for name, value in person.if_blank.items()})
    if person.key is not None:
        prints[KEY] = fingerprint(person.key, key)
    if person.marketo_id is not None:
        prints[LEAD_ID] = fingerprint(person.marketo_id, key)
    if person.member_fields:
        prints[MEMBER] = fingerprint(sorted(person.member_fields.items()), key)
    return prints


def record_number(instance: str, namespace: str, stream: str, key: str) -> int:
    """What a record is remembered by: a 64-bit number of its name.

    Args:
        instance: of Marketo; the same record means somebody else in another one.
        namespace: of the record; "" without one.
        stream: its name.
        key: its key; for a record without one, event and person.
    """
    name = f"{namespace}\0{stream}\0{key}".encode("utf-8", "surrogatepass")
    digest = _blake(name, digest_size=_ID_BYTES, key=instance.encode("utf-8")[:64]).digest()
    return int.from_bytes(digest, "big", signed=True)


def sent_member(record: int, salt: str, prints: Mapping[str, str]) -> dict[str, str]:
    """The `sent` member of an outcome."""
    return {RECORD: f"{record & (1 << 64) - 1:016x}", SALT: salt, **prints}


def read_sent(sent: Mapping[str, str]) -> tuple[int, str, dict[str, str]] | None:
    """Record, salt and fingerprints of a `sent` member; None if it is of no known form."""
    prints = dict(sent)
    try:
        number = int(prints.pop(RECORD), 16)
        salt = prints.pop(SALT)
    except (KeyError, ValueError):
        return None
    if not 0 <= number < 1 << 64:
        return None
    return number - (1 << 64) if number >= 1 << 63 else number, salt, prints
