"""Large bodies: read from nobody who may not send them, and only so much of them at a time."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from janus_mail.accounts import access
from janus_mail.events import endpoints as events
from janus_mail.keys import key as keys
from janus_mail.keys.key import create_key, revoke_key
from janus_mail.routing import endpoints as routing
from janus_mail.storage.database import Database
from janus_mail.suppressions import endpoints as suppressions
from janus_mail.web import body_limit
from janus_mail.web.body_limit import KIB, MIB, ROOM
from janus_mail.web.routes import ApiRoute
from janus_mail.workspaces import endpoints as workspaces
from tests.pages.serving import served

PIECE = b" " * MIB
EVENT = {
    "email_subject": "Hello", "email_content": "Hello", "expected_sent_at": "in 2 days", "recipients": "a@example.com",
}  # fmt: skip


@pytest.fixture
async def address(app: FastAPI) -> AsyncIterator[str]:
    async with served(app) as address:
        yield address


@pytest.fixture
async def open_address(anonymous_app: FastAPI) -> AsyncIterator[str]:
    """Where programs of this machine need no key."""
    async with served(anonymous_app) as address:
        yield address


class SlowPost:
    """A request whose body comes piece by piece, over a socket of its own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self.is_read = asyncio.Event()  # told to who sends `Expect: 100-continue`
        self.answered = asyncio.create_task(self._answer())

    @classmethod
    async def begin(
        cls, address: str, path: str, *headers: str, octets: int | None = 40 * MIB, kind: str = "application/json"
    ) -> "SlowPost":
        reader, writer = await asyncio.open_connection(urlsplit(address).hostname, urlsplit(address).port)
        length = "Transfer-Encoding: chunked" if octets is None else f"Content-Length: {octets}"
        lines = (f"POST {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}", length, *headers)
        writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        return cls(reader, writer)

    async def send(self, octets: bytes = PIECE) -> None:
        self._writer.write(octets)
        await self._writer.drain()

    async def _answer(self) -> tuple[int, dict[str, str], bytes]:
        head = await self._head()
        if head[0].split()[1] == "100":
            self.is_read.set()
            head = await self._head()
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), headers, await self._reader.readexactly(int(headers["content-length"]))

    async def _head(self) -> list[str]:
        return (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")

    async def cut(self) -> None:
        self.answered.cancel()
        self._writer.transport.abort()
        with suppress(asyncio.CancelledError, ConnectionError, asyncio.IncompleteReadError):
            await self.answered


async def until_empty() -> None:
    async with asyncio.timeout(5):
        while ROOM.octets:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "path",
    ["/api/events", "/api/events/batch", "/api/events/dry-run", "/api/providers", "/api/suppressions",
     "/api/events/cancel", "/api/events/0190b0a1-0000-7000-8000-000000000001/retry"],
)  # fmt: skip
@pytest.mark.parametrize("header", ["X-Nothing: 1", "Authorization: Bearer janus_aaaaaaaaaa_" + "x" * 43])
async def test_who_has_no_key_is_refused_before_the_body_is_sent(address: str, path: str, header: str) -> None:
    post = await SlowPost.begin(address, path, header, octets=40 * KIB)
    async with asyncio.timeout(5):
        status, headers, _ = await post.answered
    assert (status, headers["www-authenticate"][:6]) == (401, "bearer")
    await post.cut()


async def test_40_mib_without_a_key_are_refused_before_they_are_sent(address: str) -> None:
    posts = [await SlowPost.begin(address, "/api/events", octets=octets) for octets in (40 * MIB, None)]
    async with asyncio.timeout(5):
        assert [(await post.answered)[0] for post in posts] == [401, 401]
    for post in posts:
        await post.cut()


async def test_who_lacks_the_scope_is_refused_before_the_body_is_sent(
    address: str, database: Database, workspace_id: uuid.UUID
) -> None:
    key = await create_key(database, workspace="default", name="reader", scopes=["events:read"])
    post = await SlowPost.begin(address, "/api/events", f"Authorization: Bearer {key}")
    async with asyncio.timeout(5):
        assert (await post.answered)[0] == 403
    await post.cut()


async def test_what_comes_from_elsewhere_is_refused_before_its_body(open_address: str) -> None:
    far = await SlowPost.begin(open_address, "/api/events", "X-Forwarded-For: 203.0.113.5")
    async with asyncio.timeout(5):
        assert (await far.answered)[0] == 401
    near = await SlowPost.begin(open_address, "/api/events", octets=len(json.dumps(EVENT)))
    await near.send(json.dumps(EVENT).encode())
    async with asyncio.timeout(5):
        assert (await near.answered)[0] == 201
    await far.cut()
    await near.cut()


async def test_a_key_that_is_revoked_while_a_slow_body_comes_is_refused_at_its_end(
    address: str, api_key: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_FRESH_S", 0.0)
    body = json.dumps(EVENT).encode()
    post = await SlowPost.begin(
        address, "/api/events", f"Authorization: Bearer {api_key}", "Expect: 100-continue", octets=len(body)
    )
    async with asyncio.timeout(5):
        await post.is_read.wait()
    await revoke_key(database, workspace="default", prefix=api_key.split("_")[1])
    await post.send(body)
    async with asyncio.timeout(5):
        assert (await post.answered)[0] == 401
    await post.cut()


async def test_the_key_is_looked_up_once_a_request(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    async def counted(*given: object) -> object:
        nonlocal looked
        looked += 1
        return await prove(*given)  # type: ignore[arg-type]

    prove = keys.prove_key
    monkeypatch.setattr(access, "prove_key", counted)
    assert (await api.post("/api/events", json=EVENT)).status_code == 201
    assert looked == 1


def test_every_route_of_the_api_that_may_get_a_body_asks_who_sends_it_first() -> None:
    routers = (events.router, routing.router, suppressions.router, workspaces.router)
    routes = [route for router in routers for route in router.routes if isinstance(route, ApiRoute)]
    taking = [route for route in routes if {"POST", "PUT", "PATCH"} & (route.methods or set())]
    assert len(taking) > 15
    assert [route.path for route in taking if len(route._checks_before_body()) != 1] == []


async def test_of_ten_slow_uploads_those_that_fit_in_are_read_and_the_others_are_told_503(
    address: str, api_key: str, database: Database
) -> None:
    bearer = f"Authorization: Bearer {api_key}"
    another = f"Authorization: Bearer {await create_key(database, workspace='default', name='another')}"
    posts = [await SlowPost.begin(address, "/api/events", key) for key in (bearer, another) for _ in range(5)]
    most = 0
    for _ in range(39):  # and never the last
        for post in posts:
            if not post.answered.done():
                await post.send()
        most = max(most, ROOM.octets)
    refused = [post.answered.result() for post in posts if post.answered.done()]
    assert 3 <= len(refused) <= 6
    for status, headers, body in refused:
        assert (status, headers["retry-after"], json.loads(body)["code"]) == (503, "2", "unavailable")
    assert 150 * MIB < most <= ROOM.most
    late = await SlowPost.begin(address, "/api/events", bearer)
    async with asyncio.timeout(5):
        assert (await late.answered)[0] == 503  # and nothing of it was sent
        small = await SlowPost.begin(address, "/api/events", bearer, octets=len(json.dumps(EVENT)))
        await small.send(json.dumps(EVENT).encode())
        assert (await small.answered)[0] == 201
    for post in (*posts, late, small):
        await post.cut()
    await until_empty()


async def test_what_was_answered_leaves_its_room(api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "ROOM", room := body_limit.Room(10 * MIB))
    fits = EVENT | {"attachments": [{"filename": "a.bin", "content": "AAAA" * MIB}]}
    for _ in range(3):
        assert (await api.post("/api/events", json=fits)).status_code == 201
        assert room.octets == 0
    too_much = EVENT | {"attachments": [{"filename": "a.bin", "content": "AAAA" * MIB + "AAAA" * MIB}]}
    for headers in ({}, {"Transfer-Encoding": "chunked"}):
        request = api.build_request("POST", "/api/events", json=too_much, headers=headers)
        if headers:
            del request.headers["content-length"]
        answer = await api.send(request)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "2")
        assert (room.octets, room.held) == (0, {})


async def test_one_key_leaves_half_of_the_room_to_others(
    address: str, api_key: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "ROOM", room := body_limit.Room(8 * MIB))
    greedy = f"Authorization: Bearer {api_key}"
    another = f"Authorization: Bearer {await create_key(database, workspace='default', name='another')}"
    first = await SlowPost.begin(address, "/api/events", greedy, octets=4 * MIB)
    for _ in range(3):
        await first.send()
    async with asyncio.timeout(5):
        while room.octets < 3 * MIB:
            await asyncio.sleep(0.005)
    second = await SlowPost.begin(address, "/api/events", greedy, octets=2 * MIB)
    creeping = await SlowPost.begin(address, "/api/events", greedy, octets=None)
    for _ in range(2):
        with suppress(ConnectionError):
            await creeping.send(b"%x\r\n%b\r\n" % (MIB, PIECE))
    async with asyncio.timeout(5):
        assert (await second.answered)[0] == 503
        assert (await creeping.answered)[0] == 503
    body = json.dumps(EVENT | {"attachments": [{"filename": "a.bin", "content": "AAAA" * (MIB // 2)}]}).encode()
    other = await SlowPost.begin(address, "/api/events", another, octets=len(body))
    await other.send(body)
    async with asyncio.timeout(5):
        assert (await other.answered)[0] == 201
    for post in (first, second, creeping, other):
        await post.cut()
    async with asyncio.timeout(5):
        while room.octets:
            await asyncio.sleep(0.005)
    assert room.held == {}


@pytest.mark.parametrize("octets", [100, 2 * MIB, None], ids=["small", "large", "chunked"])
async def test_a_body_that_comes_too_slowly_is_answered_408(
    address: str, api_key: str, monkeypatch: pytest.MonkeyPatch, octets: int | None
) -> None:
    monkeypatch.setattr(body_limit, "PATIENCE_S", 0.1)
    post = await SlowPost.begin(address, "/api/events", f"Authorization: Bearer {api_key}", octets=octets)
    await post.send(b"2\r\n{ \r\n" if octets is None else b"{ ")
    async with asyncio.timeout(5):
        status, headers, body = await post.answered
    assert (status, headers["connection"], json.loads(body)["code"]) == (408, "close", "request_timeout")
    await post.cut()


async def test_a_body_that_comes_steadily_has_its_time(
    address: str, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limit, "PATIENCE_S", 0.15)
    monkeypatch.setattr(body_limit, "SLOWEST", 1_000)
    body = json.dumps(EVENT | {"email_content": "x" * 1_000}).encode()
    post = await SlowPost.begin(address, "/api/events", f"Authorization: Bearer {api_key}", octets=len(body))
    for start in range(0, len(body), 200):
        await post.send(body[start : start + 200])
        await asyncio.sleep(0.05)
    async with asyncio.timeout(5):
        assert (await post.answered)[0] == 201
    await post.cut()


async def test_a_form_that_comes_too_slowly_is_answered_408(open_address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_limit, "PATIENCE_S", 0.1)
    kind = "application/x-www-form-urlencoded"
    post = await SlowPost.begin(open_address, "/send_email/", octets=100, kind=kind)
    async with asyncio.timeout(5):
        assert (await post.answered)[0] == 408
    await post.cut()


async def test_a_chunked_body_is_refused_while_it_is_read(address: str, api_key: str) -> None:
    post = await SlowPost.begin(address, "/api/providers", f"Authorization: Bearer {api_key}", octets=None)
    sent = 0
    with suppress(ConnectionError):
        while not post.answered.done() and sent < 100:  # without an end
            await post.send(b"2000\r\n" + b" " * 0x2000 + b"\r\n")
            await asyncio.sleep(0.005)
            sent += 1
    async with asyncio.timeout(5):
        status, _, body = await post.answered
    assert (status, json.loads(body)["code"]) == (413, "too_large")
    assert sent < 20
    await post.cut()
