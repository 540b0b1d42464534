"""Reading what people paste: addresses, program ids, folders and email domains.

Pure text functions. Whatever they refuse, they refuse with a sentence that says what the text is and what to
paste in its place. What they return of an address is put together from the recognised parts, never the input itself.
"""

from __future__ import annotations

import os.path
import re
from typing import Final

from destination_marketo_programs.text import on_one_line

MARKETO_ADDRESS_PATTERN: Final = r"[0-9]{3}-[A-Za-z]{3}-[0-9]{3}|localhost|127\.0\.0\.1|marketo|adobe"
"""For the form, in the subset of regular expressions that Java, JavaScript and Python read alike.

It refuses only what is nowhere near: what can be put right, and what `check` explains better, passes."""

PROGRAM_ID_PATTERN: Final = r"^[\s\uFEFF]*(#?[A-Za-z]{0,4}[0-9][A-Za-z0-9]*|\S*[#/]\S*)[\s\uFEFF]*$"
"""For the form. It lets ids of lists, folders and campaigns, and URLs of anything, pass: `check` says what they are."""

_INVISIBLE = "\u200b\u2060\ufeff"
_LONGEST_PASTED = 2_000
_HIGHEST_PORT = 65_535
_MOST_DIGITS = 18  # fits a 64-bit integer; far above any id that Marketo gives out

_FLAGS = re.ASCII | re.IGNORECASE
_MUNCHKIN_ID = r"[0-9]{3}-[a-z]{3}-[0-9]{3}"
_BEHIND = r"(?:/(?:rest|identity))?/*"
_INSTANCE = re.compile(rf"(?:https://)?({_MUNCHKIN_ID})(?:\.mktorest\.com)?{_BEHIND}", _FLAGS)
_INSTANCE_ELSEWHERE = re.compile(rf"https?://({_MUNCHKIN_ID})\.mktorest\.com(?:/[a-z0-9/._-]*)?", _FLAGS)
_SANDBOX = re.compile(rf"(?:http://)?(localhost|127\.0\.0\.1):([0-9]{{1,5}}){_BEHIND}", _FLAGS)
_MARKETO_APP = re.compile(r"https?://(?:[a-z0-9-]+\.)*(?:marketo|experience\.adobe)\.com(?:[/#?]\S*)?", _FLAGS)

_ENDPOINT = re.compile(r"https?://[a-z0-9._-]+(?::[0-9]{1,5})?(?:/[a-z0-9._/-]*)?", _FLAGS)
_LONGEST_DOMAIN = 253
_DOMAIN = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9_-]{1,63}(?<!-))*", re.ASCII)
_URL_TAIL = re.compile(r"([a-z]{2,4})([0-9]+)((?:[a-z]+[0-9]+)+)", _FLAGS)
_URL = re.compile(r"(?:https?://|(?:[a-z0-9-]+\.)+[a-z]+(?=[/#]))\S*[#/]([^#/?\s]+)/?(?:\?\S*)?", _FLAGS)

NO_PROGRAM_KINDS: Final = {"ST": "a static list", "MF": "a folder", "SC": "a smart campaign"}
"""First letters of the URL of things in Marketo that are not programs."""

PROGRAM_KINDS: Final = {
    "PG": "default program",
    "ME": "event program",
    "NP": "engagement program",
    "EBP": "email program",
}
"""First letters of a program's URL. Other letters are accepted too: Marketo does not document a full list."""

_WHERE_ADDRESS = (
    "In Marketo open Admin > Integration > Web Services, copy the Endpoint under REST API and paste it here."
)
_WHERE_PROGRAM = (
    "Open the program in Marketo and paste its URL, the end of that URL (such as PG1234A1), or the digits in it (1234)."
)


class UnusableTextError(ValueError):
    """A pasted text that cannot be used.

    Attributes:
        message: what is wrong, without the text itself.
        fix: what to do about it.
    """

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def pasted(text: str) -> str:
    """Return a text without what copying leaves around it: blanks, line ends, a byte order mark, zero-width spaces."""
    while (inner := text.strip().strip(_INVISIBLE)) != text:
        text = inner
    return text


def parse_domain_url(text: str, *, cloud: bool) -> str:
    """Return the bare origin of a Marketo instance or of a local sandbox, such as `https://123-ABC-456.mktorest.com`.

    Args:
        text: the address as pasted, with or without scheme and trailing `/`, `/rest` or `/identity`; or the Munchkin
            id alone. What surrounds it (blanks, a byte order mark) does not matter.
        cloud: whether the connector runs on Airbyte Cloud, where no sandbox can be reached.

    Raises:
        UnusableTextError: for every other address, so that no credential is ever sent there.
    """
    text = pasted(text)[:_LONGEST_PASTED]
    if instance := _INSTANCE.fullmatch(text):
        return f"https://{instance[1].upper()}.mktorest.com"
    if sandbox := _SANDBOX.fullmatch(text):
        host, port = sandbox[1].lower(), int(sandbox[2])
        if not 1 <= port <= _HIGHEST_PORT:
            raise UnusableTextError(f"The port of {host} is not between 1 and {_HIGHEST_PORT}.", _WHERE_ADDRESS)
        if cloud:
            raise UnusableTextError(f"{host} is a local sandbox, which Airbyte Cloud cannot reach.", _WHERE_ADDRESS)
        return f"http://{host}:{port}"
    if near := _INSTANCE_ELSEWHERE.fullmatch(text):
        raise UnusableTextError(
            "This names a Marketo instance, but is not its REST address.",
            f"Use https://{near[1].upper()}.mktorest.com instead.",
        )
    if _MARKETO_APP.fullmatch(text):
        raise UnusableTextError(
            "This is the address that people open in their browser, not the REST address.", _WHERE_ADDRESS
        )
    raise UnusableTextError(
        "This is not a Marketo REST address, such as https://123-ABC-456.mktorest.com. Credentials are sent to no "
        "other address.",
        _WHERE_ADDRESS,
    )


def instance_of(domain_url: str) -> str:
    """Return the name of an instance: its Munchkin id in capitals, or host and port of a local one.

    Args:
        domain_url: as `parse_domain_url` returns it.
    """
    host = domain_url.partition("://")[2]
    return host.removesuffix(".mktorest.com").upper() if host.endswith(".mktorest.com") else host


def parse_endpoint(text: str) -> str:
    """Return the address of an S3-compatible service as it was given.

    Raises:
        UnusableTextError: it is not an http or https address, or credentials stand in it.
    """
    if text and not _ENDPOINT.fullmatch(text):
        raise UnusableTextError(
            "This is not the address of a storage service.",
            "It looks like https://minio.example.com:9000. Keys belong in access_key_id and secret_access_key.",
        )
    return text


def parse_program_id(value: object) -> int:
    """Return the id of a program given as digits, as the tail of its URL, or as the whole URL.

    A URL may lack its scheme, and a slash may follow.

    Args:
        value: text, or a whole number from a hand-written configuration.

    Raises:
        UnusableTextError: the text is not a program id; kinds of asset that are not programs are named.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value) if abs(value) < 10**_MOST_DIGITS else "0"  # Python refuses to spell out the longest
    elif isinstance(value, str):
        text = pasted(value)[:_LONGEST_PASTED].rstrip("/")
    else:
        raise UnusableTextError("This is not a program ID.", _WHERE_PROGRAM)

    url = _URL.fullmatch(text)
    text = url[1] if url else text.removeprefix("#")
    if re.fullmatch(r"[0-9]+", text):
        if url:
            raise UnusableTextError("This URL does not name a program.", _WHERE_PROGRAM)
        digits = text
    elif tail := _URL_TAIL.fullmatch(text):
        kind = NO_PROGRAM_KINDS.get(tail[1].upper())
        if kind:
            raise UnusableTextError(
                f"{on_one_line(tail[0].upper(), 40)} is {kind}, not a program.",
                "Open the program itself in Marketo and copy the end of its URL: it starts with "
                "PG, ME, NP or EBP, as in PG1234A1.",
            )
        digits = tail[2]
    else:
        what = "This URL does not name a program." if url else "This is not a program ID."
        raise UnusableTextError(what, _WHERE_PROGRAM)
    if len(digits) > _MOST_DIGITS or int(digits) == 0:
        raise UnusableTextError("This is not a program ID: no program has this number.", _WHERE_PROGRAM)
    return int(digits)


def parse_folder(text: str) -> str:
    """Return the path of a folder; `~` at its beginning stands for the home folder.

    Raises:
        UnusableTextError: `~` stands for nobody's home folder here.
    """
    if not text.startswith("~"):
        return text
    path = os.path.expanduser(text)  # noqa: PTH111 - the text is kept as it is where it needs no expansion
    if path.startswith("~"):
        raise UnusableTextError("There is no such home folder here.", "Give the whole path, starting with /.")
    return path


def parse_email_domain(text: str) -> str:
    """Return a domain as mail servers compare it, in lower case and ASCII: `@Bücher.example.` is xn--bcher-kva.example.

    Args:
        text: a domain, perhaps with `@` or `*.` before it or a dot behind it.

    Raises:
        UnusableTextError: it is not a domain.
    """
    domain = text.lstrip("@*.").rstrip(".").lower()
    if not domain.isascii():
        import idna  # noqa: PLC0415 - its tables are large, and few configurations need them

        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            domain = ""
    if not _DOMAIN.fullmatch(domain) or len(domain) > _LONGEST_DOMAIN:
        what = "This is an email address, not a domain." if "@" in domain else "This is not an email domain."
        raise UnusableTextError(what, "Give what follows the @, such as example.com. Subdomains are included.")
    return domain
