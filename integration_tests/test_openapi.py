"""The connector's requests and the sandbox's answers, held against Adobe's own description of the API.

What that description gets wrong stands in `WRONG`, with the reason; everything else has to fit.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from harness import PROCESS_SECONDS, Connector, catalog_of, config_for, record, state
from jsonschema import Draft4Validator
from recording_proxy import Exchange, RecordingProxy

from marketo_sandbox import Service, Settings
from marketo_sandbox.server import SandboxServer

if TYPE_CHECKING:
    from collections.abc import Iterator

Json = dict[str, Any]
FOLDER = Path(__file__).with_name("openapi")
CROWD = 2_450
FILES = ("lead_database", "asset", "identity")


class Wrong(NamedTuple):
    """What the files get wrong: regular expressions for the endpoint and for what does not fit, and the reason."""

    endpoint: str
    problem: str
    why: str


WRONG = (
    Wrong(
        r"GET /rest/asset/v1/channel/byName\.json",
        r"query (name|Name is missing)",
        "The file writes `Name`; the documentation and Adobe's own examples write `name`.",
    ),
    Wrong(
        r"GET /rest/asset/v1/programs\.json",
        r"query filterValues",
        "The file has `filterType`, whose text says that `filterValues` goes with it, and then leaves that out.",
    ),
    Wrong(
        r"GET /rest/v1/programs/{programId}/members\.json",
        r"query filterValues is missing",
        "Required by the file; the documentation has `startAt` and `endAt` in its place with filterType=updatedAt.",
    ),
    Wrong(
        r"GET /rest/asset/v1/channel.*",
        r"answer result\.\[\]\.progressionStatuses\.\[\]\.description: None is not of type 'string'",
        "The documentation's example has null for a status without description.",
    ),
    Wrong(
        r"GET /rest/asset/v1/program.*",
        r"answer result\.\[\]\.folder: 'id' is a required property",
        "All examples of the documentation call the folder's id `value`.",
    ),
    Wrong(
        r"GET /rest/asset/v1/program.*",
        r"answer result\.\[\]\.status: '' is not one of .*",
        "The documentation's examples have an empty text for programs that are neither email nor engagement.",
    ),
    Wrong(
        r"GET /rest/asset/v1/program.*",
        r"answer result\.\[\]\.type: '(Default|Event|Email|Engagement)' is not one of .*",
        "All examples of the documentation spell the types as the user interface does; the file has no email program.",
    ),
    Wrong(
        r"GET /rest/asset/v1/program.*",
        r"answer result\.\[\]\.costs: None is not of type 'array'",
        "The documentation's examples have null for a program without costs.",
    ),
    Wrong(
        r"GET /rest/asset/v1/folder/{id}\.json",
        r"answer result\.\[\]\.parent: None is not of type 'object'",
        "The documentation's example of a root folder has null.",
    ),
    Wrong(
        r"POST /rest/v1/programs/{programId}/members/status\.json",
        r"answer result\.\[\]\.status: 'created' is not one of .*",
        "The documentation and its example have `created` for a new member.",
    ),
    Wrong(
        r"POST /rest/v1/programs/{programId}/members\.json",
        r"request input\.\[\]: '{fieldApiName}' is a required property",
        "`{fieldApiName}` stands for the name of any field, and is no name itself.",
    ),
    Wrong(
        r"POST /rest/v1/programs/{programId}/members/delete\.json",
        r"answer result\.\[\]: 'leadId' is a required property",
        "The documentation's example of a skipped row names no lead.",
    ),
)

ABSENT_BY_DOCUMENTATION = frozenset({"errors", "warnings", "result"})
"""Required of every envelope by the files. The documentation's answers have `errors` with a failure and `result` with a
success; `warnings` only those of the asset API."""


class Operation(NamedTuple):
    """What a file says of one method of one path."""

    endpoint: str
    parameters: list[Json]
    response: Json | None
    document: Json


@cache
def documents() -> list[Json]:
    return [_relaxed(json.loads((FOLDER / f"{name}.json").read_text())) for name in FILES]


def _relaxed(document: Json) -> Json:
    """The document without the members that its envelopes wrongly require."""
    for definition in document["definitions"].values():
        if {"requestId", "success"} <= set(definition.get("required", ())):
            definition["required"] = sorted(set(definition["required"]) - ABSENT_BY_DOCUMENTATION)
    return dict(document)


def operation_of(method: str, path: str) -> Operation:
    """The operation for a request.

    Raises:
        LookupError: the files have no such path, or not this method of it.
    """
    for document in documents():
        for template, methods in document["paths"].items():
            if (
                re.fullmatch(re.sub(r"\\\{\w+\\\}", r"[\\w-]+", re.escape(template)), path)
                and method.lower() in methods
            ):
                described = methods[method.lower()]
                response = described["responses"]["200"].get("schema")
                parameters = described.get("parameters", [])
                return Operation(f"{method} {template}", parameters, response, document)
    raise LookupError(f"{method} {path}")


def problems_of(exchange: Exchange) -> Iterator[tuple[str, str]]:
    """(endpoint, what does not fit) for everything that does not."""
    parts = urlsplit(exchange.target)
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    method, body = exchange.method, exchange.body
    if ("_method", "GET") in query.items():
        # Documented for long queries: a form in place of the address.
        assert exchange.content_type.startswith("application/x-www-form-urlencoded")
        del query["_method"]
        method, body = "GET", b""
        query |= dict(parse_qsl(exchange.body.decode(), keep_blank_values=True))
    operation = operation_of(method, parts.path)
    described = {parameter["name"]: parameter for parameter in operation.parameters if parameter["in"] == "query"}
    for name in query:
        if name not in described:
            yield operation.endpoint, f"query {name}"
    for name, parameter in described.items():
        if parameter.get("required") and name not in query:
            yield operation.endpoint, f"query {name} is missing"
    bodies = [parameter for parameter in operation.parameters if parameter["in"] == "body"]
    if bodies and body:
        yield from _misfits(operation, "request", bodies[0]["schema"], json.loads(body))
    elif body and not any(parameter["in"] == "formData" for parameter in operation.parameters):
        yield operation.endpoint, "a body"
    if operation.response is not None and exchange.answer_type.startswith("application/json"):
        yield from _misfits(operation, "answer", operation.response, json.loads(exchange.answer))


def _misfits(operation: Operation, what: str, schema: Json, value: Any) -> Iterator[tuple[str, str]]:
    validator = Draft4Validator({**schema, "definitions": operation.document["definitions"]})
    for error in validator.iter_errors(value):
        place = ".".join("[]" if isinstance(part, int) else str(part) for part in error.absolute_path)
        yield operation.endpoint, f"{what} {place}: {error.message[:120]}"


def record_of(number: int) -> bytes:
    return record(
        {"id": number, "email": f"p{number}@example.org", "event_id": number % 2, "name": "Ada", "seat": number}
    )


@pytest.fixture(scope="module")
def exchanges(tmp_path_factory: pytest.TempPathFactory) -> list[Exchange]:
    """All that is said by every command, and by a caller that tries everything that can be read."""
    service = Service(client_id="openapi", client_secret="secret", partitions=frozenset({"Default"}))
    settings = Settings(services=(service,), export_status_seconds=0.0, limits=False)
    with SandboxServer(settings) as marketo, RecordingProxy(marketo.url) as proxy:
        connector = Connector(tmp_path_factory.mktemp("connector"))
        twins = [marketo.state.add_lead({"email": "p1@example.org"}) for _ in range(2)]
        links = [
            {"event": "0", "program_id": "1004", "program_status": "Attended"},
            {"event": "1", "program_id": "1010", "program_status": "No Show"},
        ]
        mappings = [
            {"record_field": "name", "marketo_object": "lead", "marketo_field": "firstName"},
            {"record_field": "seat", "marketo_object": "program_member", "marketo_field": "seatNumber"},
        ]
        storage = {"storage_type": "Local", "path": str(tmp_path_factory.mktemp("outcomes"))}
        config = config_for(
            marketo,
            domain_url=proxy.url,
            program_links=links,
            field_mappings=mappings,
            object_storage_config=storage,
        )
        catalog = catalog_of("leads", primary_key=[["id"]])
        assert connector.check(config).code == 0
        assert connector.run("discover", config).code == 0
        assert connector.write(config, [*map(record_of, range(40)), state(1)], catalog).code == 0
        by_file = {**config, "delivery": {**config["delivery"], "method": "bulk"}}
        assert connector.write(by_file, [*map(record_of, range(30, 90)), state(1)], catalog).code == 0
        # More people in one program than are read one page after the other.
        many = {**config, "program_links": [{"event": "2", "program_id": "1001", "program_status": "On List"}]}
        crowd = [record({"id": n, "email": f"q{n}@example.org", "event_id": 2, "name": "Bo"}) for n in range(CROWD)]
        assert connector.write(many, [*crowd, state(1)], catalog).code == 0
        assert _reconcile(connector, config) == 0
        _read_everything(marketo, proxy.url, twins[0])
        exchanges = list(proxy.exchanges)
    endpoints = Counter(urlsplit(exchange.target).path.rpartition("/")[2] for exchange in exchanges)
    assert endpoints["import.json"] >= 2, "one of them the connector's"
    assert endpoints["enqueue.json"] >= 2
    return exchanges


def _reconcile(connector: Connector, config: Json) -> int:
    arguments = connector.arguments("reconcile", config)
    finished = subprocess.run(
        [*arguments, "--format", "json"], capture_output=True, text=True, timeout=PROCESS_SECONDS, check=False
    )
    assert finished.returncode in {0, 1}, finished.stderr[-2000:]
    return finished.returncode


def _read_everything(marketo: SandboxServer, url: str, lead_id: int) -> None:
    query = {"grant_type": "client_credentials", "client_id": marketo.client_id, "client_secret": marketo.client_secret}
    token = requests.get(f"{url}/identity/oauth/token", params=query, timeout=20).json()["access_token"]

    def send(method: str, path: str, **options: Any) -> Json:
        headers = {"Authorization": f"Bearer {token}"}
        answer = requests.request(method, url + path, headers=headers, timeout=20, **options)
        return dict(answer.json()) if "json" in answer.headers["Content-Type"] else {}

    for path in ("leads/describe", "leads/describe2", "leads/partitions", "programs/members/describe"):
        send("GET", f"/rest/v1/{path}.json")
    for path in ("usage", "usage/last7days", "errors", "errors/last7days"):
        send("GET", f"/rest/v1/stats/{path}.json")
    members = "/rest/v1/programs/1004/members"
    send("GET", f"{members}.json", params={"filterType": "statusName", "filterValues": "Attended", "batchSize": 5})
    span = {"startAt": "2026-01-01T00:00:00Z", "endAt": "2026-01-02T00:00:00Z"}
    send("GET", f"{members}.json", params={"filterType": "updatedAt", **span})
    send("POST", f"{members}/delete.json", json={"input": [{"leadId": lead_id}, {"leadId": 1}]})
    send("POST", "/rest/v1/leads/partitions.json", json={"input": [{"id": lead_id, "partitionName": "EMEA"}]})
    send("GET", "/rest/v1/leads/programs/1004.json", params={"batchSize": 5})
    for path in ("program/1004", "program/99", "folder/512", "channels", "programs"):
        send("GET", f"/rest/asset/v1/{path}.json", params={"type": "Folder"} if path.startswith("folder") else {})
    send("GET", "/rest/asset/v1/programs.json", params={"filterType": "id", "filterValues": "1004,1010"})
    send("GET", "/rest/asset/v1/program/byName.json", params={"name": "Spring Expo 2026"})
    send("GET", "/rest/asset/v1/channel/byName.json", params={"name": "Webinar"})
    exports = "/bulk/v1/program/members/export"
    body = {"fields": ["leadId", "statusName"], "filter": {"programIds": [1004, 1010]}, "format": "CSV"}
    job = send("POST", f"{exports}/create.json", json=body)["result"][0]["exportId"]
    send("GET", f"{exports}/{job}/status.json")
    send("POST", f"{exports}/{job}/enqueue.json")
    marketo.advance(5)
    for what in ("status", "file"):
        send("GET", f"{exports}/{job}/{what}.json")
    send("POST", f"{exports}/{job}/cancel.json")
    send("GET", f"{exports}.json")
    imports = "/bulk/v1/program"
    file = {"file": ("members.csv", "email,leadScore\na@example.org,1\nb@example.org,high\n", "text/csv")}
    chosen = {"programMemberStatus": "Attended", "format": "csv"}
    batch = send("POST", f"{imports}/1004/members/import.json", params=chosen, files=file)["result"][0]["batchId"]
    marketo.advance(5)
    for what in ("status", "failures", "warnings"):
        send("GET", f"{imports}/members/import/{batch}/{what}.json")


def excuse_for(endpoint: str, problem: str) -> Wrong | None:
    found = [
        wrong for wrong in WRONG if re.fullmatch(wrong.endpoint, endpoint) and re.fullmatch(wrong.problem, problem)
    ]
    return found[0] if found else None


def test_everything_said_fits_adobes_description(exchanges: list[Exchange]) -> None:
    found = Counter(problem for exchange in exchanges for problem in problems_of(exchange))
    excuses = {problem: excuse_for(*problem) for problem in found}
    assert [problem for problem, excuse in excuses.items() if excuse is None] == []
    assert set(excuses.values()) == set(WRONG), "what no longer differs needs no excuse"


def test_every_path_of_the_description_was_tried(exchanges: list[Exchange]) -> None:
    """The list that is held against the description is not empty by accident."""
    tried = set()
    for exchange in exchanges:
        parts = urlsplit(exchange.target)
        method = "GET" if "_method=GET" in parts.query else exchange.method
        tried.add(operation_of(method, parts.path).endpoint)
    described = {
        f"{method.upper()} {path}"
        for document in documents()
        for path, methods in document["paths"].items()
        for method in methods
    }
    others = {
        "POST /rest/asset/v1/folder/{id}.json",
        "POST /rest/asset/v1/program/{id}.json",
        "POST /rest/asset/v1/programs.json",
        "POST /identity/oauth/token",
        # Superseded by the path with `programs`.
        "GET /rest/v1/program/members/describe.json",
    }
    assert described - tried == others
