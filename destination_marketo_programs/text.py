"""What may be shown of a value, and how: quotes, lengths, unprintable characters, lists, and the nearest name.

Every module that puts a name or a value into a message, a log line or a table takes it from here. Two questions are
answered apart from each other:

* *How* a text is shown: `printable`, `on_one_line`, `quoted`, `code`, `listed`, `joined`, `counted`.
* *Whether* a value of a record may be shown at all: `shareable` and `frequent`. Names from the configuration and from
  Marketo's set-up (programs, statuses, fields) may always be shown; values of records, only by this rule.

Nothing here does I/O or imports another module of the package.
"""

from __future__ import annotations

import re
from collections import Counter
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

LONGEST_NAME: Final = 80
"""Characters of a name or key that a message shows; the rest is cut and the cut is marked."""

MOST_LISTED: Final = 20
"""Names that a message lists; the others are counted."""

SHARED_BY: Final = 2
"""A value of records is shown only if at least this many records have it."""

REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
"""Stands for a character that is not shown."""

_JOINERS: Final = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Not printable by Python's count, but part of ordinary words and emoji, and harmless."""


# --- how ---------------------------------------------------------------------------------------------------------


def printable(text: str) -> str:
    """Return the text without characters that a terminal obeys or that reorder what is shown.

    Spaces of every kind become plain ones; line ends, control, bidirectional and unassigned characters and lone
    surrogates become U+FFFD each, so the result can always be encoded and stays on one line.
    """
    if text.isprintable():
        return text
    return "".join(map(_printable_letter, text))


def _printable_letter(letter: str) -> str:
    if letter.isprintable() or letter in _JOINERS:
        return letter
    return (
        " "
        if letter
        in "\t\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
        else REPLACEMENT
    )


def on_one_line(text: str, longest: int = LONGEST_NAME) -> str:
    """Return the text made printable and cut to `longest` characters; a cut ends in `…`."""
    shown = printable(text[: longest + 1])
    return shown if len(text) <= longest else f"{shown[:longest]}…"


def quoted(name: str, longest: int = LONGEST_NAME) -> str:
    """Return a name in double quotes, on one line."""
    return f'"{on_one_line(name, longest)}"'


def code(name: str) -> str:
    """Return the name of a setting, or a value to copy into one, in backticks and on one line."""
    return f"`{on_one_line(name)}`"


class Named(Protocol):
    """Something in Marketo that has a name and a number, such as a program."""

    @property
    def name(self) -> str:
        """As people call it."""

    @property
    def id(self) -> int:
        """As Marketo counts it."""


def named(thing: Named) -> str:
    """Return a named thing with its id, such as `"Spring Expo 2026" (1004)`."""
    return f"{quoted(thing.name)} ({thing.id})"


def listed(names: Iterable[str], most: int = MOST_LISTED) -> str:
    """Return names in quotes, separated by commas; those beyond `most` are counted: `"A", "B" and 3 more`."""
    names = list(names)
    return _cut([quoted(name) for name in names[:most]], len(names) - most)


def codes(names: Iterable[str], most: int = MOST_LISTED) -> str:
    """Return names in backticks, separated by commas; those beyond `most` are counted."""
    names = list(names)
    return _cut([code(name) for name in names[:most]], len(names) - most)


def _cut(shown: Sequence[str], left: int) -> str:
    return ", ".join(shown) + (f" and {left:,} more" if left > 0 else "")


def joined(parts: Sequence[str]) -> str:
    """Return `a`, `a and b`, or `a, b and c`."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun: `1 record`, `1,204 records`, `2 people` for ("person", "people")."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"


def numbered(positions: Iterable[int], noun: str, most: int = MOST_LISTED) -> str:
    """Return places in a list as people count them, runs put together: `links 1, 4 to 33 and 40`.

    Args:
        positions: from 0, in any order.
        noun: singular, for one entry of the list.
        most: numbers and runs shown; the entries beyond them are counted.
    """
    runs: list[list[int]] = []
    for number in sorted({position + 1 for position in positions}):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [part for run in runs for part in ([f"{run[0]} to {run[-1]}"] if len(run) > 2 else map(str, run))]  # noqa: PLR2004 - two numbers are no run
    total = sum(map(len, runs))
    if len(parts) > most:
        parts = [*parts[:most], "others"]
    return f"{noun if total == 1 else f'{noun}s'} {joined(parts)}"


def encodable(text: str) -> str:
    r"""Return the text with lone surrogates written out as `\udxxx`, so that it can be stored as UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


# --- whether -----------------------------------------------------------------------------------------------------

_LONGEST_OPTION: Final = 40
_MOST_WORDS: Final = 4
_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WORD: Final = re.compile(r"[^\W_]+(?:[-_/&+'][^\W_]+)*[!?+]?|&|\+|-|/")
_MOST_DIGITS: Final = 8
_FEWEST_LETTERS: Final = 3
"""A longer number with fewer letters in it may be a telephone number."""
_PERIOD: Final = re.compile(r"20[0-9]{2}|[QH][1-4]", re.ASCII)


def shareable(value: str) -> bool:
    """Return whether a value that several records have may be shown in a log: it looks like a code or an option.

    A code is one word without blanks, such as `4711`, `EVT-2026-04` or a UUID; an option is up to four words of which
    only the first begins with a capital letter, such as `Not interested`, or that name a year or quarter, such as
    `Spring Summit 2026`. Refused is what may be a person or say how to reach one: addresses, names (`Roe, Jane`,
    `Jane Roe`, `jane.roe`), numbers of nine digits and more, dates, sentences and documents.

    Whoever shows values counts the records too: see `frequent`.
    """
    value = value.strip()
    if not value or len(value) > _LONGEST_OPTION or not value.isprintable():
        return False
    if _UUID.fullmatch(value):
        return True
    words = value.split(" ")
    if len(words) > _MOST_WORDS or not all(map(_WORD.fullmatch, words)):
        return False
    digits = sum(letter.isdigit() for letter in value)
    letters = sum(letter.isalpha() for letter in value)
    if digits > _MOST_DIGITS and letters < _FEWEST_LETTERS:
        return False
    if digits and not letters and not value.isdigit():
        return digits < 7  # noqa: PLR2004 - a telephone number, a birthday; `2026-04` is neither
    capitalised = [word for word in words[1:] if word[:1].isupper() and not word.isupper()]
    return not capitalised or any(map(_PERIOD.fullmatch, words))


def frequent(counts: Mapping[str, int], most: int) -> str:
    """Return the most frequent values of records with their counts, as far as they may be shown.

    `"Later" 21, "No" 3 and 2 more, 4 not shown`: values that fewer than `SHARED_BY` records have, or that do not look
    like a code or an option, are counted and not shown.

    Args:
        counts: value -> number of records that have it.
        most: values to show.
    """
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    open_ones = [(value, count) for value, count in ranked if count >= SHARED_BY and shareable(value)]
    parts = [f"{quoted(value)} {count:,}" for value, count in open_ones[:most]]
    if len(open_ones) > most:
        parts.append(f"{len(open_ones) - most:,} more")
    if len(open_ones) < len(ranked):
        parts.append(f"{counted(len(ranked) - len(open_ones), 'value')} not shown")
    return ", ".join(parts)


# --- what was meant ----------------------------------------------------------------------------------------------

_NEAR: Final = 0.6
"""Share of letters that two names must have in common, as `difflib` measures it."""

_MOST_COMPARED: Final = 12
_MOST_SHARING: Final = 1_000
"""Names looked at for the pairs of letters that they share; a pair that more of them have tells nothing."""
_MOST_GUESSES: Final = 100


def folded(name: str) -> str:
    """Return the name without what people get wrong most: case, and spaces in and around it."""
    return " ".join(name.split()).casefold()


class Names:
    """Names that a mistyped one may mean.

    Comparing every mistyped name with every known one takes minutes for thousands of each. Names are therefore found
    by the pairs of letters that they share, the nearest few are compared, answers are remembered, and after
    `_MOST_GUESSES` different guesses there are no more: by then nobody reads them.

    Args:
        known: every name that may be meant -> what to suggest for it; or just names, which suggest themselves.
    """

    def __init__(self, known: Mapping[str, str] | Iterable[str]) -> None:
        pairs = known.items() if hasattr(known, "items") else [(name, name) for name in known]
        self._suggestions: dict[str, str] = {}
        for name, suggestion in pairs:
            self._suggestions.setdefault(folded(name), suggestion)
        self._by_pair: dict[str, list[str]] = {}
        for name in self._suggestions:
            for pair in _letter_pairs(name):
                self._by_pair.setdefault(pair, []).append(name)
        self._guessed: dict[str, str | None] = {}

    def nearest(self, given: str) -> str | None:
        """Return the suggestion of the name that `given` most likely means, compared without case and spaces.

        None if no name is near, or if too many guesses were asked for.
        """
        name = folded(given)
        if name in self._suggestions:
            return self._suggestions[name]
        if name not in self._guessed:
            if len(self._guessed) >= _MOST_GUESSES:
                return None
            self._guessed[name] = self._guess(name)
        return self._guessed[name]

    def _guess(self, name: str) -> str | None:
        shared: Counter[str] = Counter()
        # The rarest pairs of letters first: they tell most.
        for known in sorted((self._by_pair.get(pair, ()) for pair in _letter_pairs(name)), key=len):
            if shared and shared.total() + len(known) > _MOST_SHARING:
                break
            shared.update(known[:_MOST_SHARING])
        ranked = [known for known, _ in shared.most_common(_MOST_COMPARED)]
        found = get_close_matches(name, ranked, n=1, cutoff=_NEAR)
        return self._suggestions[found[0]] if found else None


def _letter_pairs(name: str) -> set[str]:
    framed = f" {name[:LONGEST_NAME]} "
    return {framed[start : start + 2] for start in range(len(framed) - 1)}


def nearest(given: str, known: Mapping[str, str] | Iterable[str]) -> str | None:
    """Return the known name that a mistyped one most likely means; for many mistyped names keep a `Names`."""
    return Names(known).nearest(given)


def did_you_mean(near: str | None) -> str:
    """Return a question with a space behind it; "" if no name is near."""
    return f"Did you mean {quoted(near)}? " if near else ""
