"""The connector as the CDK's `Destination`, for PyAirbyte, the CDK's test suites and whoever calls it.

The executable does not come this way (`commands`): the CDK's classes lose keys of STATEs, and importing them takes over
a second.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
from typing import TYPE_CHECKING, Any

import orjson
from airbyte_cdk.destinations import Destination
from airbyte_cdk.models import (
    AirbyteConnectionStatus,
    AirbyteMessage,
    AirbyteMessageSerializer,
    ConfiguredAirbyteCatalogSerializer,
    ConnectorSpecification,
    ConnectorSpecificationSerializer,
    FailureType,
    Status,
)
from airbyte_cdk.utils.traced_exception import AirbyteTracedException

from destination_marketo_programs import commands
from destination_marketo_programs.catalog import read_catalog
from destination_marketo_programs.config import connector_spec
from destination_marketo_programs.delivery.intake import Intake
from destination_marketo_programs.failures import Doing, failure_of
from destination_marketo_programs.logs import Scrubber
from destination_marketo_programs.marketo.limits import utc_now
from destination_marketo_programs.run import main
from destination_marketo_programs.session import Stops

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Mapping

    from airbyte_cdk.models import ConfiguredAirbyteCatalog


class DestinationMarketoPrograms(Destination):
    """Adds each record's person to the right Marketo program, with the right status."""

    def spec(self, logger: logging.Logger) -> ConnectorSpecification:  # noqa: ARG002 - the CDK's signature
        """The specification of the configuration form."""
        return ConnectorSpecificationSerializer.load(connector_spec())

    def check(self, logger: logging.Logger, config: Mapping[str, Any]) -> AirbyteConnectionStatus:  # noqa: ARG002 - as above
        """Find every mistake, without writing anything to Marketo; never raises."""
        scrubber = Scrubber()
        problem = commands.check(config, scrubber, Stops())
        if problem is None:
            return AirbyteConnectionStatus(status=Status.SUCCEEDED)
        return AirbyteConnectionStatus(status=Status.FAILED, message=scrubber.clean(problem))

    def write(
        self,
        config: Mapping[str, Any],
        configured_catalog: ConfiguredAirbyteCatalog,
        input_messages: Iterable[AirbyteMessage],
    ) -> Iterable[AirbyteMessage]:
        """Deliver messages given as objects; yields the messages that the command would print.

        The command does not take this way: it keeps STATEs as received, which the CDK's classes cannot.

        Raises:
            AirbyteTracedException: as the command's TRACE.
        """
        read_end, write_end = os.pipe()
        printed: queue.SimpleQueue[bytes | BaseException | None] = queue.SimpleQueue()
        catalog = read_catalog(ConfiguredAirbyteCatalogSerializer.dump(configured_catalog))

        def feed() -> None:
            # A delivery that has ended reads no further.
            with contextlib.suppress(BrokenPipeError), os.fdopen(write_end, "wb") as pipe:
                for message in input_messages:
                    pipe.write(orjson.dumps(AirbyteMessageSerializer.dump(message)) + b"\n")

        def deliver() -> None:
            try:
                commands.write(config, catalog, Intake(read_end), printed.put, Scrubber(), Stops())
            except Exception as error:  # noqa: BLE001 - raised below, in the caller's thread
                printed.put(error)
            finally:
                os.close(read_end)
                printed.put(None)

        threading.Thread(target=feed, name="feed", daemon=True).start()
        threading.Thread(target=deliver, name="deliver", daemon=True).start()
        while (line := printed.get()) is not None:
            if isinstance(line, BaseException):
                failure = failure_of(line, utc_now(), Doing.WRITE)
                raise AirbyteTracedException(
                    message=str(failure), failure_type=FailureType(failure.kind.value), exception=line
                ) from line
            yield AirbyteMessageSerializer.load(orjson.loads(line))

    def run(self, args: list[str]) -> None:
        """Run a command of the protocol as the executable does, and end the process."""
        sys.exit(main(args))
