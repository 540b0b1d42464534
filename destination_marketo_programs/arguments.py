"""The command line, read without repeating what was not understood: it may be a configuration with its secrets."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_UNKNOWN = re.compile(r"(unrecognized arguments): .*", re.DOTALL)
_VALUE = re.compile(r"(invalid (?:choice|\S+ value)): .*?( \(choose from .*\))?", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors name options and choices, and no values.

    Attributes:
        several: options that take several values, and what tells a further value from a positional argument.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.several: dict[str, Callable[[str], bool]] = {}

    def parse(self, args: Sequence[str]) -> argparse.Namespace:
        """As `parse_args`, after `one_value_each`."""
        return self.parse_args(one_value_each(args, self.several))

    def error(self, message: str) -> NoReturn:
        """Print how the command is used and what is wrong, and end with exit code 2."""
        super().error(without_values(message))


def add_several(parser: argparse.ArgumentParser, option: str, fits: Callable[[str], bool], **how: Any) -> None:
    """Declare an option that may be repeated, or followed by several values that `fits` knows.

    argparse's own `nargs="+"` would take the paths behind it for values as well.
    """
    parser.add_argument(option, action="append", default=[], **how)
    if isinstance(parser, Parser):
        parser.several[option] = fits


def one_value_each(arguments: Sequence[str], several: dict[str, Callable[[str], bool]]) -> list[str]:
    """Write `--program 1 2 folder` as `--program 1 --program 2 folder`."""
    return list(_one_value_each(arguments, several))


def _one_value_each(arguments: Sequence[str], several: dict[str, Callable[[str], bool]]) -> Iterator[str]:
    rest = iter(arguments)
    option = ""
    for argument in rest:
        if argument == "--":
            yield argument
            yield from rest
            return
        if argument in several:
            option = argument
            yield argument
            # The first value belongs to the option whatever it is: what is wrong with it is said there.
            yield from [value for value in [next(rest, None)] if value is not None]
        elif option and not argument.startswith("-") and several[option](argument):
            yield option
            yield argument
        else:
            option = ""
            yield argument


def without_values(message: str) -> str:
    """Return one of argparse's messages without the text that it quotes from the command line."""
    if unknown := _UNKNOWN.fullmatch(message):
        return f"{unknown[1]}. --config and --catalog take the path of a file, not JSON; quote a path with blanks."
    before, separator, after = message.rpartition("argument ")
    name, colon, fault = after.partition(": ")
    if value := _VALUE.fullmatch(fault):
        return f"{before}{separator}{name}{colon}{value[1]}{value[2] or ''}"
    return message
