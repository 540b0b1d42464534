"""Reading page after page, and noticing paging that would never end."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from destination_marketo_programs.marketo.calls import Reply, get
from destination_marketo_programs.marketo.envelope import flag, misshapen
from destination_marketo_programs.marketo.errors import AnswerMisfitError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from destination_marketo_programs.marketo.client import MarketoClient

T = TypeVar("T")
NO_DATA = "702"


def pages(
    client: MarketoClient,
    endpoint: str,
    path: str,
    query: Mapping[str, str],
    read: Callable[[Reply], T],
    most_pages: int,
) -> Iterator[T]:
    """Pages of the lead database, which names the next one by a token. Code 702 means that there is no more.

    Args:
        client: reads.
        endpoint: short name for logs and errors.
        path: of the endpoint.
        query: of the first page.
        read: what a page holds; raises MisshapenError.
        most_pages: more than there can be.

    Raises:
        AnswerMisfitError: the pages begin anew, or are too many: following them would use up the day's calls.
    """
    asked: set[str] = set()
    token: str | None = None
    while True:
        page = query if token is None else {**query, "nextPageToken": token}
        try:
            held, token = client.send(get(endpoint, path, page), lambda reply: (read(reply), _next_token(reply)))
        except NotFoundError as error:
            if error.code == NO_DATA:
                return
            raise
        yield held
        if token is None:
            return
        if token in asked:
            raise AnswerMisfitError(endpoint, f"page {len(asked) + 1} names a page that was read before as the next")
        asked.add(token)
        if len(asked) >= most_pages:
            raise AnswerMisfitError(endpoint, f"more than {most_pages:,} pages")


def _next_token(reply: Reply) -> str | None:
    if not flag(reply.members, "moreResult"):
        return None
    token = reply.members.get("nextPageToken")
    if token is None or isinstance(token, str):
        return token or None
    raise misshapen("nextPageToken", token, "a text")
