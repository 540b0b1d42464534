"""When a file pays: everything is counted in calls, because calls are what Marketo limits. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from destination_marketo_programs.config.bulk import bulk_obstacles
from destination_marketo_programs.marketo.bulk_import import MAX_FILE_BYTES
from destination_marketo_programs.marketo.rows import MAX_ROWS_PER_CALL

if TYPE_CHECKING:
    from destination_marketo_programs.config import Settings

START_SECONDS = 20.0
ROWS_PER_SECOND = 1_000
"""How long a job is taken to last. Marketo documents no duration; only forecasts and the rule below depend on it."""
JOBS_AT_ONCE = 2
"""Import jobs that Marketo runs at once, for all integrations together."""
RESULT_FILES = 2
MARGIN = 1.5
"""A file has to save this factor: a job takes longer than calls, and its outcomes say less."""


class ImportPace(NamedTuple):
    """How often Marketo is asked about import jobs, in seconds.

    Attributes:
        first_poll_seconds, longest_poll_seconds: the interval between two polls of one job grows from one to the
            other; Adobe asks for 5 to 30.
        rows_per_poll_second: a large file is asked about later: one second for so many rows.
        growth: factor from one interval to the next.
        slot_seconds, longest_slot_seconds: as above, for the next try after "too many imports" (1016).
        slot_patience_seconds: after so long without a slot the rows go over REST.
        retry_seconds: distance to the next try of a job that failed.
        lost_first_look_seconds, lost_longest_look_seconds: as above, for looking whether people of a file show up whose
            upload was not answered.
        lost_patience_seconds: after so long without a sign of them the sync ends.
        lost_settled_seconds: after so long without a further sign the job has ended, and its rows are read back.
        job_patience_seconds: a job that has not ended after so long ends the sync. Marketo documents no duration; its
            own samples of large jobs take an hour, and a job's number stays valid for seven days, in which later syncs
            can ask for it.
    """

    first_poll_seconds: float = 5.0
    longest_poll_seconds: float = 30.0
    rows_per_poll_second: float = 5_000.0
    growth: float = 1.5
    slot_seconds: float = 10.0
    longest_slot_seconds: float = 60.0
    slot_patience_seconds: float = 3_600.0
    retry_seconds: float = 30.0
    lost_first_look_seconds: float = 5.0
    lost_longest_look_seconds: float = 120.0
    lost_patience_seconds: float = 3_600.0
    lost_settled_seconds: float = 600.0
    job_patience_seconds: float = 86_400.0

    def first_poll(self, rows: int) -> float:
        """Seconds from the upload of a file to the first poll."""
        return min(self.longest_poll_seconds, max(self.first_poll_seconds, rows / self.rows_per_poll_second))

    def next_poll(self, seconds: float) -> float:
        """The interval after this one."""
        return min(self.longest_poll_seconds, seconds * self.growth)

    def next_slot(self, seconds: float) -> float:
        """The interval after this one, for 1016."""
        return min(self.longest_slot_seconds, seconds * self.growth)

    def next_look(self, seconds: float) -> float:
        """The interval after this one, for an upload that was not answered."""
        return min(self.lost_longest_look_seconds, seconds * self.growth)


DEFAULT_PACE = ImportPace()


def why_not_by_file(settings: Settings, partitions: int) -> str | None:
    """The setting that an import cannot keep its promise for; None if files may be used.

    Args:
        settings: the configuration.
        partitions: lead partitions that the API user sees.
    """
    obstacle = next(bulk_obstacles(settings.lead_sync, settings.field_mappings), None)
    if obstacle is not None:
        return obstacle.setting
    several = partitions > 1 and settings.delivery.method == "auto"
    return "several lead partitions and a blank lead_sync.partition_name" if several else None


class Forecast(NamedTuple):
    """What a bulk load takes."""

    files: int
    calls: int
    seconds: float


def rest_calls(rows: int, *, member_fields: bool = False) -> int:
    """Calls that deliver so many people to one program and status over REST: leads, statuses, membership fields."""
    return -(-rows // MAX_ROWS_PER_CALL) * (3 if member_fields else 2)


def job_seconds(rows: int) -> float:
    """How long a job of so many rows is taken to last."""
    return START_SECONDS + rows / ROWS_PER_SECOND


def polls(rows: int, pace: ImportPace = DEFAULT_PACE) -> int:
    """Polls until a job of so many rows is taken to have ended."""
    interval = pace.first_poll(rows)
    elapsed, number = interval, 1
    while elapsed < job_seconds(rows):
        interval = pace.next_poll(interval)
        elapsed += interval
        number += 1
    return number


def job_calls(rows: int, pace: ImportPace = DEFAULT_PACE) -> int:
    """Calls of one import job at most: its creation, its polls, its failure and its warning file."""
    return 1 + polls(rows, pace) + RESULT_FILES


def _break_even(*, member_fields: bool) -> int:
    rows = 1
    while rest_calls(rows, member_fields=member_fields) < MARGIN * job_calls(rows):
        rows += 1
    return rows


_BREAK_EVEN = {member_fields: _break_even(member_fields=member_fields) for member_fields in (False, True)}


def rows_worth_a_job(*, member_fields: bool = False) -> int:
    """Least rows, waiting for one program and status with the same columns, that go out as a file."""
    return _BREAK_EVEN[member_fields]


def bulk_forecast(rows: int, size_bytes: int) -> Forecast:
    """What it takes to import rows of one program, status and set of columns.

    Args:
        rows: people.
        size_bytes: their lines in the file, header not counted.

    Returns:
        Files, calls at most, and seconds with no other import in the way.
    """
    if rows <= 0:
        return Forecast(0, 0, 0.0)
    files = max(1, -(-size_bytes // MAX_FILE_BYTES))
    rows_per_file = -(-rows // files)
    calls = files * job_calls(rows_per_file)
    rounds = -(-files // JOBS_AT_ONCE)
    return Forecast(files, calls, rounds * job_seconds(rows_per_file))
