"""A connection over which nothing can be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from destination_marketo_programs.marketo.client import MarketoClient

if TYPE_CHECKING:
    from destination_marketo_programs.marketo.client import Call, Reply


class WriteAttemptedError(Exception):
    """Somebody tried to write during a dry run; the call was not sent."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(f"a dry run must not call {endpoint}")


class ReadOnlyClient(MarketoClient):
    """Sends reads, and refuses everything else before it leaves: a dry run stays one whatever is added to delivery."""

    def send(self, call: Call) -> Reply:
        """As `MarketoClient.send`.

        Raises:
            WriteAttemptedError: the call could change something.
        """
        if call.method != "GET" and ("_method", "GET") not in call.query:
            raise WriteAttemptedError(call.endpoint)
        return super().send(call)
