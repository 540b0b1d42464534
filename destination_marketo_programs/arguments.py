"""The command line, read without repeating what was not understood: it may be a configuration with its secrets."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

_UNKNOWN = re.compile(r"(unrecognized arguments): .*", re.DOTALL)
_VALUE = re.compile(r"(invalid (?:choice|\S+ value)): .*?( \(choose from .*\))?", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors name options and choices, and no values."""

    def error(self, message: str) -> NoReturn:
        """Print how the command is used and what is wrong, and end with exit code 2."""
        super().error(without_values(message))


def without_values(message: str) -> str:
    """Return one of argparse's messages without the text that it quotes from the command line."""
    if unknown := _UNKNOWN.fullmatch(message):
        return f"{unknown[1]}. --config and --catalog take the path of a file, not JSON; quote a path with blanks."
    before, separator, after = message.rpartition("argument ")
    name, colon, fault = after.partition(": ")
    if value := _VALUE.fullmatch(fault):
        return f"{before}{separator}{name}{colon}{value[1]}{value[2] or ''}"
    return message
