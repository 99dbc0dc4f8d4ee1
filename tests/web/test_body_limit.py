"""Bodies that are too large are refused before they are read."""

import re
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from starlette.types import Message

from janus_mail.app import create_app
from janus_mail.settings import Settings
from janus_mail.web.body_limit import MIB


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://testserver") as client:
        yield client


async def test_an_announced_length_is_refused_without_reading(settings: Settings) -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("the body was read")

    async def send(message: Message) -> None:
        sent.append(message)

    await create_app(settings)(_scope("/api/events", b"41943041"), receive, send)
    assert sent[0]["status"] == 413
    assert b'"code":"too_large"' in sent[1]["body"]


async def test_an_unannounced_length_is_refused_as_soon_as_it_is_too_much(settings: Settings) -> None:
    read = 0
    sent: list[Message] = []

    async def receive() -> Message:
        nonlocal read
        read += MIB
        return {"type": "http.request", "body": b" " * MIB, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    app = create_app(settings)

    @app.post("/api/events/{event_id}")
    async def read_all(body: dict[str, Any]) -> None: ...

    await app(_scope("/api/events/1", None), receive, send)
    assert sent[0]["status"] == 413
    assert read == 41 * MIB


@pytest.mark.parametrize(
    ("path", "octets", "said"),
    [
        ("/api/events", 40 * MIB, "40 MiB"),
        ("/api/events/0199f2b8-6d0c-7a3e-9f5b-2f6f1d1c9a01", 40 * MIB, "40 MiB"),
        ("/api/events/batch", 32 * MIB, "32 MiB"),
        ("/api/providers", 64 * 1024, "64 KiB"),
        ("/whatever", 64 * 1024, "64 KiB"),
    ],
)
async def test_each_route_has_its_limit(client: httpx.AsyncClient, path: str, octets: int, said: str) -> None:
    over = await client.post(path, content=b"x" * (octets + 1))
    assert over.status_code == 413
    assert re.search(rf"at most {said}", over.json()["error"])
    assert f"at most {said}" not in (await client.post(path, content=b"x" * octets)).text


async def test_a_length_that_is_no_number_is_counted_instead(client: httpx.AsyncClient) -> None:
    answer = await client.post("/whatever", content=b"x", headers={"Content-Length": "many"})
    assert answer.status_code == 404


def _scope(path: str, length: bytes | None) -> dict[str, Any]:
    headers = [(b"content-type", b"application/json")]
    headers.append((b"content-length", length) if length else (b"transfer-encoding", b"chunked"))
    return {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": headers,
        "http_version": "1.1",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "root_path": "",
    }
