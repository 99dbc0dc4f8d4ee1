"""The OpenAPI document is complete, and Janus does what it says."""

import asyncio
import re
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest
import uvicorn
from fastapi import FastAPI

from janus_mail.app import create_app
from janus_mail.settings import Settings
from janus_mail.storage.database import Database
from tests.compat.conftest import sandboxes, worker

__all__ = ["sandboxes", "worker"]

Operation = tuple[str, str, dict[str, Any]]


# What is about whoever calls, and needs no scope.
FOR_ANY_CALLER = {"get /api/me", "get /api/workspaces", "post /api/workspaces", "post /api/workspace/leave"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without a line for each of the thousand requests."""
    return settings.model_copy(update={"log_level": "WARNING"})


@pytest.fixture(scope="session")
def document(settings_here: Settings) -> dict[str, Any]:
    return create_app(settings_here).openapi()


@pytest.fixture
def operations(document: dict[str, Any]) -> list[Operation]:
    """(method, path, operation) of everything under /api."""
    return [
        (method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if path.startswith("/api/")
    ]


def test_every_operation_of_the_api_says_who_may_what_it_does_and_how_it_fails(operations: list[Operation]) -> None:
    assert len(operations) >= 15
    for method, path, operation in operations:
        name = f"{method} {path}"
        if not path.startswith("/api/auth/"):  # there one says who one is
            assert operation["security"][0]["ApiKey"] or name in FOR_ANY_CALLER, name
        assert operation["tags"], name
        assert len(operation["summary"]) > 3, name
        assert len(operation["description"]) > 10, name
        answers = operation["responses"]
        wanted = {"400", "401", "403", "405", "429", "503"}
        wanted |= {"404"} if "{" in path else set()
        wanted |= {"413", "415"} if "requestBody" in operation else set()
        assert wanted <= set(answers), name
        assert "422" not in answers, name
        assert any(status.startswith("2") for status in answers), name


def test_every_answer_has_a_shape_and_names_its_request(operations: list[Operation]) -> None:
    for method, path, operation in operations:
        for status, answer in operation["responses"].items():
            name = f"{method} {path} {status}"
            assert "X-Request-ID" in answer["headers"], name
            (body,) = answer["content"].values()
            assert body["schema"], name
            is_json, is_bytes = "application/json" in answer["content"], body["schema"].get("format") == "binary"
            assert is_json or is_bytes or "example" in body, name
            if status >= "4":
                assert body["schema"]["$ref"].endswith("/ErrorBody"), name
                assert set(body["example"]) == {"error", "code", "details", "request_id"}, name
    assert "Retry-After" in operations[0][2]["responses"]["503"]["headers"]
    assert "WWW-Authenticate" in operations[0][2]["responses"]["401"]["headers"]


def test_every_field_that_travels_has_an_example_or_says_which_values_it_has(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    bare = [
        f"{name}.{field}"
        for name, schema in schemas.items()
        if not _has_example(schema)
        for field, shape in schema.get("properties", {}).items()
        if not _explains_itself(shape)
    ]
    assert bare == []


def test_every_field_that_callers_send_is_described_and_every_body_has_an_example(
    operations: list[Operation], document: dict[str, Any]
) -> None:
    for method, path, operation in operations:
        if "requestBody" not in operation or "application/json" not in operation["requestBody"]["content"]:
            continue
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        assert "examples" in schema or path.endswith("/order"), f"{method} {path}"
        bare = [name for name, shape in schema["properties"].items() if not _is_described(shape)]
        assert bare == [], f"{method} {path}"


def test_every_operation_has_a_summary_that_was_written_for_it(document: dict[str, Any]) -> None:
    for methods in document["paths"].values():
        for operation in methods.values():
            assert operation["summary"] != operation["operationId"].replace("_", " ").title()


@pytest.mark.parametrize(
    ("public_url", "address"),
    [(None, "http://localhost:8123"), ("https://mail.example.com/", "https://mail.example.com")],
)
def test_the_first_request_names_the_address_that_janus_is_reached_at(
    settings: Settings, public_url: str | None, address: str
) -> None:
    here = settings.model_copy(update={"port": 8123, "public_url": public_url})
    said = create_app(here).openapi()["info"]["description"]
    assert f"curl -X POST {address}/api/events " in said
    assert "{address}" not in said


def test_names_are_as_the_standard_wants_them_and_operations_have_short_ones(document: dict[str, Any]) -> None:
    for kind in document["components"].values():
        assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in kind)
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[a-z_]+", name) for name in names)


def test_every_reference_leads_somewhere_and_no_schema_is_left_over(document: dict[str, Any]) -> None:
    used = {reference.removeprefix("#/components/schemas/") for reference in _references(document)}
    assert used == set(document["components"]["schemas"])


async def test_the_example_of_every_body_is_accepted_as_it_stands(
    api: httpx.AsyncClient, operations: list[Operation], document: dict[str, Any]
) -> None:
    # What creates comes last: the other examples name nothing that is there.
    for method, path, operation in sorted(operations, key=lambda one: "201" in one[2]["responses"]):
        if "requestBody" in operation:
            kind, content = next(iter(operation["requestBody"]["content"].items()))
            example = _example(content, document)
            answer = await api.request(
                method, re.sub(r"\{\w+\}", "0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01", path),
                content=_sent(kind, example), headers={"Content-Type": kind},
            )  # fmt: skip
            # Signing in, and what only a person may do, have tests of their own.
            told = answer.json().get("code") if answer.status_code in (401, 403) else None
            assert answer.status_code in (200, 201, 404) or told in ("invalid_grant", "person_needed"), (
                method, path, answer.text
            )  # fmt: skip


def _sent(kind: str, example: Any) -> bytes:
    if kind == "text/csv":
        return str(example).encode()
    return urlencode(example).encode() if kind == "application/x-www-form-urlencoded" else orjson.dumps(example)


@pytest.mark.timeout(90)
@pytest.mark.usefixtures("sandboxes", "worker", "redis")
async def test_schemathesis_finds_no_failure_and_no_answer_that_is_not_described(
    app: FastAPI, api: httpx.AsyncClient, api_key: str, database: Database, tmp_path: Path
) -> None:
    event = {
        "email_subject": "Hello World", "email_content": "This is a test email.",
        "expected_sent_at": "2030-01-01T00:00:00Z", "recipients": "test@example.com",
    }  # fmt: skip
    event_id = (await api.post("/api/events", json=event)).json()["event"]["id"]
    message_id = (await api.get("/api/messages")).json()["data"][0]["id"]
    provider_id = (await api.get("/api/providers")).json()["data"][0]["id"]
    (tmp_path / "schemathesis.toml").write_text(
        f"""
        seed = 3
        headers = {{ Authorization = "Bearer {api_key}" }}
        [generation]
        max-examples = 3
        [checks]
        # What a field may say is not all in its schema: an address, a time, a name of ours.
        positive_data_acceptance = {{ enabled = false }}
        # DELETE cancels; the event stays to be seen.
        use_after_free = {{ enabled = false }}
        negative_data_rejection = {{ expected-statuses = ["4xx"] }}
        [dictionaries.ids]
        values = ["{event_id}", "{message_id}", "{provider_id}"]
        [parameters]
        "path.event_id" = {{ dictionary = "ids", probability = 0.7 }}
        "path.message_id" = {{ dictionary = "ids", probability = 0.7 }}
        "path.provider_id" = {{ dictionary = "ids", probability = 0.7 }}
        "query.TOKEN" = "{api_key}"
        [[operations]]
        include-path-regex = "^/api/suppressions"
        # What an Idempotency-Key answers again may have been removed since.
        checks = {{ ensure_resource_availability = {{ enabled = false }} }}
        """
    )
    async with served(app) as url:
        tool = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", f"{url}/openapi.json",
            cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await tool.communicate()
    assert tool.returncode == 0, said.decode()


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The running `app` on a port of its own."""
    # The protocol is named, for asyncio to turn Nagle's algorithm off: without it each answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


def _has_example(schema: dict[str, Any]) -> bool:
    return "examples" in schema or "example" in schema or "enum" in schema


def _explains_itself(shape: dict[str, Any]) -> bool:
    """It has an example or needs none: a fixed word, a yes or no, a number, an instant, an id, another schema."""
    if _has_example(shape) or "const" in shape or "$ref" in shape or shape.get("format") in ("uuid", "date-time"):
        return True
    if shape.get("type") in ("boolean", "integer", "number", "null"):
        return True
    if shape.get("type") == "array":
        return _explains_itself(shape["items"])
    choices = shape.get("anyOf", []) + shape.get("oneOf", [])
    return bool(choices) and all(_explains_itself(choice) for choice in choices)


def _is_described(shape: dict[str, Any]) -> bool:
    return "description" in shape or "$ref" in shape or any(_is_described(choice) for choice in shape.get("anyOf", []))


def _example(content: dict[str, Any], document: dict[str, Any]) -> Any:
    """What Swagger UI puts into the box: the body's own example, else one made of its fields'."""
    if "example" in content:
        return content["example"]
    schema = content["schema"]
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    return {name: _value(shape) for name, shape in schema["properties"].items()}


def _value(shape: dict[str, Any]) -> Any:
    if shape.get("type") == "array" and "examples" not in shape:
        return []
    given = shape.get("examples") or [shape[key] for key in ("example", "default") if key in shape] or shape.get("enum")
    assert given, f"no example: {shape}"
    return given[0]


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
