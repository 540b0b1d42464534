"""Bulk program member import over HTTP: create, status, result files."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .errors import ApiError
from .members import find_program, find_status
from .request import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

    from .importing import Job
    from .instance import Instance
    from .request import Request
    from .store import Json

_DELIMITERS = {"csv": ",", "tsv": "\t", "ssv": ";"}


def create(instance: Instance, request: Request) -> Callable[[], Answer]:
    """Import Program Members: take the file, queue a job."""
    program = find_program(instance, request.path_id())
    status = find_status(instance, program, request.required("programMemberStatus"))
    delimiter = _DELIMITERS.get(request.required("format").lower())
    if delimiter is None:
        raise ApiError("1003", "Invalid value for parameter 'format'")
    file = file_part(request.content_type, request.body)
    request.call.records = max(0, file.count(b"\n") - 1)

    def commit() -> Answer:
        with instance.store.lock:
            instance.imports.advance()
            if instance.imports.is_full():
                raise ApiError("1016")
            job = instance.imports.add(program, status, delimiter, file, request.fault)
        return Answer([_job_row(job)])

    return commit


def file_part(content_type: str, body: bytes) -> bytes:
    """Content of the multipart body's part named `file`.

    Raises:
        ApiError: 612 for another content type, 613 for a body that is not proper multipart with such a part.
    """
    kind, _, parameters = content_type.partition(";")
    if kind.strip().lower() != "multipart/form-data":
        raise ApiError("612")
    boundary = re.search(r'boundary=(?:"([^"]+)"|([^\s;]+))', parameters)
    if boundary is None:
        raise ApiError("613")
    mark = b"--" + (boundary[1] or boundary[2]).encode()
    if not body.startswith(mark) or (mark + b"--") not in body:
        raise ApiError("613")
    for part in body.split(mark)[1:-1]:
        head, blank, content = part.partition(b"\r\n\r\n")
        named = re.search(rb'content-disposition:[^\r\n]*[;\s]name="?file"?(?:[;\s]|$)', head, re.IGNORECASE)
        if blank and named and b"filename" in head:
            return content.removesuffix(b"\r\n")
    raise ApiError("613")


def _job_row(job: Job) -> Json:
    return {"batchId": job.id, "importId": str(job.id), "status": job.state}


def _job(instance: Instance, request: Request) -> Job:
    instance.imports.advance()
    job = instance.imports.get(request.path_id())
    if job is None:
        raise ApiError("1013", f"Batch '{request.path_id()}' not found")
    return job


def status(instance: Instance, request: Request) -> Answer:
    """Status of a job; the counters and the message come with its end."""
    job = _job(instance, request)
    row = _job_row(job)
    if job.state == "Complete":
        row |= {
            "numOfLeadsProcessed": job.processed,
            "numOfRowsFailed": len(job.failed),
            "numOfRowsWithWarning": len(job.warned),
        }
    if job.message and job.state in {"Complete", "Failed"}:
        row["message"] = job.message
    return Answer([row])


def failures(instance: Instance, request: Request) -> Answer:
    """Rows that failed, with the reason in one more column."""
    job = _job(instance, request)
    rows = job.failed if job.state == "Complete" else []
    return Answer(file=instance.imports.result_file(job, rows, "Import Failure Reason"))


def warnings(instance: Instance, request: Request) -> Answer:
    """Rows that were imported with a warning, which is in one more column."""
    job = _job(instance, request)
    return Answer(file=instance.imports.result_file(job, job.warned, "Import Warning Reason"))
