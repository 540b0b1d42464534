"""Commands that people copy into a shell."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

NAME = "destination-marketo-programs"
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")


def shell_word(text: str) -> str:
    """The text quoted for a shell, without a character that a terminal would obey."""
    if _CONTROL.search(text) or any("\ud800" <= letter <= "\udfff" for letter in text):
        return "$'" + "".join(map(_escaped, text)) + "'"
    return shlex.quote(text)


def shell_path(path: str) -> str:
    """As `shell_word`, for a path: one that begins like an option is written so that it is not taken for one."""
    return shell_word(f"./{path}" if path.startswith("-") else path)


def program_name() -> str:
    """How a shell in this folder calls the executable."""
    beside = Path(sys.executable).with_name(NAME)
    if shutil.which(NAME) is None and beside.exists():
        return shell_word(os.path.relpath(beside))
    return NAME


def _escaped(letter: str) -> str:
    if letter in "'\\":
        return f"\\{letter}"
    if letter.isascii() and letter.isprintable():
        return letter
    return "".join(f"\\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))
