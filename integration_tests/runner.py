"""The executable with short times, so that many runs can be killed and resumed in a short time.

Arguments and standard input as for the executable. `RUNNER_SETTLE_SECONDS` (2) is how long Marketo may go on with a
create or an upload whose client has gone. `RUNNER_PATCH` names a function of a module beside this one (`module:name`)
that is called before anything else, to break something on purpose.
"""

from __future__ import annotations

import importlib
import os
import sys
from functools import partialmethod
from unittest import mock

from destination_marketo_programs import neighbours, session
from destination_marketo_programs.imports.pace import ImportPace
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.run import main

SETTLE_SECONDS = float(os.environ.get("RUNNER_SETTLE_SECONDS", "2"))
POLICY = RetryPolicy(window_seconds=20, first_delay_seconds=0.01, create_settle_seconds=SETTLE_SECONDS)
PACE = ImportPace(
    0.02,
    0.1,
    1e9,
    slot_seconds=0.05,
    longest_slot_seconds=0.2,
    retry_seconds=0.05,
    lost_first_look_seconds=0.05,
    lost_longest_look_seconds=0.2,
    lost_patience_seconds=30,
    lost_settled_seconds=SETTLE_SECONDS,
)

if __name__ == "__main__":
    deliver = partialmethod(session.Session.deliver, import_pace=PACE)
    broken = os.environ.get("RUNNER_PATCH", "")
    if broken:
        module, _, name = broken.partition(":")
        getattr(importlib.import_module(module), name)()
    with (
        mock.patch.object(session, "RetryPolicy", return_value=POLICY),
        mock.patch.object(session.Session, "deliver", deliver),
        mock.patch.object(neighbours, "LOOK_EVERY_SECONDS", 0.5),
    ):
        os._exit(main(sys.argv[1:]))
