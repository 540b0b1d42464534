"""The executable with short times, so that many runs can be killed and resumed in a short time.

Arguments and standard input as for the executable.
"""

from __future__ import annotations

import os
import sys
from functools import partialmethod
from unittest import mock

from destination_marketo_programs import session
from destination_marketo_programs.imports.pace import ImportPace
from destination_marketo_programs.marketo.retry import RetryPolicy
from destination_marketo_programs.run import main

POLICY = RetryPolicy(window_seconds=20, first_delay_seconds=0.01, create_settle_seconds=2)
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
    lost_settled_seconds=1,
)

if __name__ == "__main__":
    deliver = partialmethod(session.Session.deliver, import_pace=PACE)
    with (
        mock.patch.object(session, "RetryPolicy", return_value=POLICY),
        mock.patch.object(session.Session, "deliver", deliver),
    ):
        os._exit(main(sys.argv[1:]))
