"""Whatever a library says, no secret and no address leaves the process."""

from __future__ import annotations

import json
import logging
import string
import time
import warnings
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from destination_marketo_programs.logs import AirbyteLogHandler, Scrubber, install, stack_of, trace_error
from destination_marketo_programs.protocol import Writer

if TYPE_CHECKING:
    from collections.abc import Iterator

SECRET = 's3cr/t+A b&c=d%é"quoted'
LOCAL_CHARACTERS = string.ascii_letters + string.digits + "!#$%*+/?^_`{|}~.-'"


class Output:
    """Messages as Airbyte reads them."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.writer = Writer(self.lines.append)

    def messages(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]

    def logs(self) -> list[tuple[str, str]]:
        return [(message["log"]["level"], message["log"]["message"]) for message in self.messages()]


@pytest.fixture
def output() -> Output:
    return Output()


@pytest.fixture
def scrubber() -> Scrubber:
    scrubber = Scrubber()
    scrubber.add([SECRET])
    return scrubber


@pytest.fixture
def log(output: Output, scrubber: Scrubber) -> Iterator[logging.Logger]:
    """A logger that speaks to the output and to nothing else."""
    logger = logging.getLogger("test.destination.logs")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.addHandler(AirbyteLogHandler(output.writer, scrubber))
    yield logger
    logger.handlers.clear()


# --- scrubbing -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "written",
    [SECRET, quote(SECRET), quote(SECRET, safe=""), quote_plus(SECRET), json.dumps(SECRET)[1:-1]],
    ids=["plain", "path", "path, all", "query", "json"],
)
def test_a_secret_is_blanked_however_a_library_quotes_it(scrubber: Scrubber, written: str) -> None:
    """Requests and urllib3 name addresses with their query, and the identity service takes the secret there."""
    assert scrubber.clean(f"url /token?client_secret={written}&x=1") == "url /token?client_secret=****&x=1"


def test_a_secret_inside_a_longer_one_does_not_leave_its_ends() -> None:
    scrubber = Scrubber()
    scrubber.add(["abc"])
    scrubber.add(["xabcx:sj"])
    assert scrubber.clean("token xabcx:sj, id abc") == "token ****, id ****"


def test_short_secrets_do_not_blank_every_text() -> None:
    scrubber = Scrubber()
    scrubber.add(["", "a", "ab"])
    assert scrubber.clean("a cab at a bar") == "a cab at a bar"


@pytest.mark.parametrize(
    "text",
    [
        "ada@example.org",
        "ADA.LOVELACE+x@Example.ORG",
        "o'brien@example.org",
        '"ada lovelace"@example.org',
        "ada%40example.org",
        "ada@localhost",
        "adá@exämple.org",
        "<ada@example.org>",
        "filterValues=ada@example.org,bob@example.org&fields=id",
        "'ada@example.org': mailto:ada@example.org;bob@example.org",
    ],
)
def test_addresses_are_blanked_in_all_their_forms(text: str) -> None:
    cleaned = Scrubber().clean(f"before {text} after").lower()
    for part in ("ada", "brien", "bob", "example", "lovelace", "exämple"):
        assert part not in cleaned
    assert cleaned.startswith("before ")
    assert cleaned.endswith(" after")


@given(st.text(LOCAL_CHARACTERS, min_size=1, max_size=64).filter(lambda local: local[0] != "'"), st.text(max_size=20))
def test_no_local_part_survives(local: str, before: str) -> None:
    cleaned = Scrubber().clean(f"{before} {local}@example.org")
    assert cleaned.endswith(" [address]")


def test_a_long_text_without_blanks_does_not_take_for_ever() -> None:
    text = "@ " + "x" * 100_000
    began = time.process_time()
    assert Scrubber().clean(text) == text
    assert time.process_time() - began < 5


# --- logs ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        (logging.DEBUG, "DEBUG"),
        (logging.INFO, "INFO"),
        (logging.WARNING, "WARN"),
        (logging.ERROR, "ERROR"),
        (logging.CRITICAL, "FATAL"),
        (35, "INFO"),
    ],
)
def test_levels_are_those_of_the_protocol(log: logging.Logger, output: Output, level: int, shown: str) -> None:
    log.log(level, "number %d", 5)
    assert output.messages() == [{"type": "LOG", "log": {"level": shown, "message": "number 5"}}]


def test_a_log_is_scrubbed_after_its_arguments_are_put_in(log: logging.Logger, output: Output) -> None:
    log.warning("failed for %s with %s", "ada@example.org", SECRET)
    assert output.logs() == [("WARN", "failed for [address] with ****")]


def test_an_exception_is_logged_by_type_and_place_not_by_text(log: logging.Logger, output: Output) -> None:
    person = "Ada Lovelace"
    try:
        int(person)
    except ValueError:
        log.exception("could not")
    level, message = output.logs()[0]
    assert level == "ERROR"
    assert "builtins.ValueError" in message
    assert "in test_an_exception_is_logged_by_type_and_place_not_by_text" in message
    assert "Lovelace" not in message


@pytest.mark.parametrize(
    ("text", "arguments", "shown"),
    [
        ("value %s", ("\ud800",), "value \\ud800"),
        ("%d records", ("many",), "%d records"),
        ("%(name)s", ({"other": 1},), "%(name)s"),
        ("%s and %s", ("one",), "%s and %s"),
    ],
)
def test_text_that_is_no_utf_8_and_formats_that_do_not_fit_do_not_end_a_sync(
    output: Output, scrubber: Scrubber, text: str, arguments: tuple[Any, ...], shown: str
) -> None:
    """A qualifier value with half a surrogate pair goes into the summary; a library's mistake is not ours."""
    record = logging.LogRecord("library", logging.INFO, __file__, 1, text, arguments, None)
    AirbyteLogHandler(output.writer, scrubber).handle(record)
    assert output.logs() == [("INFO", shown)]


# --- stack and trace -----------------------------------------------------------------------------------------


def _fail(*, hide: bool) -> None:
    try:
        int("https://x/identity?client_secret=hidden")
    except ValueError as error:
        if hide:
            raise RuntimeError("second") from None
        raise RuntimeError("second") from error


@pytest.mark.parametrize("hide", [False, True])
def test_the_stack_names_causes_that_were_not_suppressed(*, hide: bool) -> None:
    with pytest.raises(RuntimeError) as raised:
        _fail(hide=hide)
    stack = stack_of(raised.value)
    assert ("builtins.ValueError" in stack) is not hide
    assert "builtins.RuntimeError" in stack
    assert "in _fail" in stack


def test_a_circle_of_causes_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert stack_of(first).count("builtins.ValueError") == 2


def test_a_trace_holds_what_airbyte_asks_for_and_nothing_private(scrubber: Scrubber) -> None:
    with pytest.raises(RuntimeError) as raised:
        _fail(hide=False)
    began = time.time() * 1000
    trace = trace_error(scrubber, "system_error", f"No luck with {SECRET} of ada@example.org", raised.value)
    assert trace["type"] == "TRACE"
    assert trace["trace"]["type"] == "ERROR"
    assert began - 60_000 < trace["trace"]["emitted_at"] < began + 60_000
    error = trace["trace"]["error"]
    assert error["failure_type"] == "system_error"
    assert error["message"] == "No luck with **** of [address]"
    assert error["internal_message"] == "builtins.RuntimeError"
    assert "in _fail" in error["stack_trace"]


def test_a_trace_without_exception_has_no_stack(scrubber: Scrubber) -> None:
    error = trace_error(scrubber, "config_error", "Mend it")["trace"]["error"]
    assert error == {"message": "Mend it", "internal_message": "Mend it", "failure_type": "config_error"}


# --- installation --------------------------------------------------------------------------------------------


@pytest.fixture
def loggers() -> Iterator[None]:
    """Everything that `install` changes, put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("airbyte")
    before = [(each, list(each.handlers), each.level, each.propagate) for each in (root, ours)]
    yield
    logging.captureWarnings(capture=False)
    for logger, handlers, level, propagate in before:
        logger.handlers[:] = handlers
        logger.setLevel(level)
        logger.propagate = propagate


@pytest.mark.usefixtures("loggers")
@pytest.mark.parametrize("debug", [False, True])
def test_libraries_speak_from_warning_on_even_with_debug(output: Output, scrubber: Scrubber, *, debug: bool) -> None:
    """At DEBUG urllib3 prints every address it asks, the one with the client secret too."""
    install(AirbyteLogHandler(output.writer, scrubber), debug=debug)
    logging.getLogger("urllib3.connectionpool").debug("GET /identity/oauth/token?%s", urlencode({"s": SECRET}))
    logging.getLogger("urllib3.connectionpool").info("Starting new connection")
    logging.getLogger("botocore").warning("careful %s", "ada@example.org")
    logging.getLogger("airbyte.marketo").debug("ours")
    logging.getLogger("airbyte.delivery").info("ours too")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("deprecated for ada@example.org", stacklevel=1)
    shown = [("WARN", "careful [address]"), *([("DEBUG", "ours")] if debug else []), ("INFO", "ours too")]
    assert output.logs()[:-1] == shown
    level, warning = output.logs()[-1]
    assert level == "WARN"
    assert "deprecated for [address]" in warning
