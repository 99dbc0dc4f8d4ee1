"""The head of a request is bounded in octets and in time."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from janus_mail.web import http_protocol
from janus_mail.web.http_protocol import BoundedHttp

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = 30_000_000


async def answer(scope: Scope, receive: Receive, send: Send) -> None:
    """What came; `/slow` thinks about it for longer than a head may take, `/early` reads nothing, and `/large` has
    much to say."""
    body = b"" if scope["path"] == "/early" else await Request(scope, receive).body()
    if scope["path"] == "/slow":
        await asyncio.sleep(0.4)
    said = "x" * LARGE if scope["path"] == "/large" else f"{len(scope['headers'])} {len(body)}"
    await PlainTextResponse(said)(scope, receive, send)


class Wire:
    """A connection on which octets are written as they are."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.held: set[Any] = set()  # the server's ends

    async def send(self, octets: bytes) -> None:
        self.writer.write(octets)
        await self.writer.drain()

    async def answered(self) -> tuple[int, bytes]:
        async with asyncio.timeout(5):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return int(head.split()[1]), await self.reader.readexactly(length)

    async def closed(self) -> bool:
        async with asyncio.timeout(5):
            try:
                return await self.reader.read(1) == b""
            except ConnectionError:
                return True


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(answer, http=BoundedHttp, lifespan="off", log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve(sockets=[listening]))
    wire = Wire(*await asyncio.open_connection(*listening.getsockname()))
    wire.held = server.server_state.connections
    yield wire
    wire.writer.transport.abort()
    server.should_exit = True
    await task


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_protocol, "HEAD_S", 0.2)
    monkeypatch.setattr(http_protocol, "UNREAD_S", 0.2)
    monkeypatch.setattr(http_protocol, "_LOOK_S", 0.05)


async def test_requests_follow_one_another_on_a_connection(wire: Wire) -> None:
    for _ in range(3):
        await wire.send(GET)
        assert await wire.answered() == (200, b"1 0")
    await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    await wire.send(b"llo")
    assert await wire.answered() == (200, b"2 5")
    await wire.send(GET + GET)
    assert [await wire.answered() for _ in range(2)] == [(200, b"1 0")] * 2


@pytest.mark.parametrize("octets", [70_000, 200_000])
async def test_a_body_that_comes_with_its_head_is_no_part_of_it(wire: Wire, octets: int) -> None:
    for _ in range(5):
        await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % octets + b"x" * octets)
        assert await wire.answered() == (200, b"2 %d" % octets)


async def test_a_large_body_is_no_large_head(wire: Wire) -> None:
    await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000 + GET)
    assert await wire.answered() == (200, b"2 1000000")
    assert await wire.answered() == (200, b"1 0")


@pytest.mark.parametrize(
    "piece", [b"X-Filler: " + b"x" * 1_000 + b"\r\n", b"x" * 1_000], ids=["many headers", "one header"]
)
async def test_a_head_without_an_end_is_refused(wire: Wire, piece: bytes) -> None:
    await wire.send(b"GET / HTTP/1.1\r\nX-Long: ")
    for _ in range(66):  # just beyond: who is cut off while sending may not see the answer
        await wire.send(piece)
        await asyncio.sleep(0)
    assert (await wire.answered())[0] == 431
    assert await wire.closed()


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "begun",
    [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\r\n", GET],
    ids=["nothing", "letter", "head", "blank", "second"],
)
async def test_who_does_not_end_a_head_is_left(wire: Wire, begun: bytes) -> None:
    if begun == GET:
        await wire.send(GET)
        assert (await wire.answered())[0] == 200
        begun = b"GET / HTT"
    await wire.send(begun)
    assert await wire.closed()


@pytest.mark.usefixtures("impatient")
async def test_who_sends_a_head_letter_by_letter_is_left(wire: Wire) -> None:
    closed = asyncio.create_task(wire.closed())
    for letter in GET:
        if closed.done():
            break
        wire.writer.write(bytes([letter]))
        await asyncio.sleep(0.02)
    assert await closed


@pytest.mark.usefixtures("impatient")
async def test_who_goes_on_with_a_body_after_the_answer_is_left(wire: Wire) -> None:
    await wire.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    assert await wire.answered() == (200, b"2 0")
    closed = asyncio.create_task(wire.closed())
    for _ in range(100):
        if closed.done():
            break
        wire.writer.write(b"x")
        await asyncio.sleep(0.02)
    assert await closed


@pytest.mark.usefixtures("impatient")
async def test_an_answer_and_a_body_have_their_own_time(wire: Wire) -> None:
    await wire.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
    assert await wire.answered() == (200, b"1 0")
    await wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nx")
    await asyncio.sleep(0.4)
    await wire.send(b"x")
    assert await wire.answered() == (200, b"2 2")


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("begun", [b"1\r\nx\r\n0\r\nX-After: ", b"1;x="], ids=["after the body", "of a chunk"])
async def test_what_comes_around_chunks_has_an_end(wire: Wire, begun: bytes) -> None:
    await wire.send(CHUNKED + begun)
    wire.writer.write(b"x" * 1_000_000)
    assert await wire.closed()


async def test_a_body_in_many_small_chunks_is_read_to_its_end(wire: Wire) -> None:
    await wire.send(CHUNKED)
    for _ in range(3):
        await wire.send(b"1;x=" + b"y" * 40_000)
        await wire.send(b"\r\nx\r\n")
    await wire.send(b"1\r\nx\r\n" * 30_000 + b"0\r\n\r\n" + GET)
    assert await wire.answered() == (200, b"2 30003")
    assert await wire.answered() == (200, b"1 0")


async def test_fields_after_a_body_are_no_headers_of_its_request_or_the_next(wire: Wire) -> None:
    await wire.send(CHUNKED + b"1\r\nx\r\n0\r\nAuthorization: Bearer x\r\nCookie: a=b\r\n\r\n")
    assert await wire.answered() == (200, b"2 1")
    await wire.send(GET)
    assert await wire.answered() == (200, b"1 0")


async def test_so_many_requests_may_wait_on_a_connection_and_no_more(wire: Wire) -> None:
    await wire.send(GET * (http_protocol.MOST_WAITING + 1))
    assert [await wire.answered() for _ in range(101)] == [(200, b"1 0")] * 101
    await wire.send(GET * (http_protocol.MOST_WAITING + 2))
    assert (await wire.answered())[0] == 400
    assert await wire.closed()


async def test_who_asks_for_a_web_socket_is_answered_as_anybody(wire: Wire, caplog: pytest.LogCaptureFixture) -> None:
    wanted = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n"
    await wire.send(GET[:-2] + wanted)
    assert await wire.answered() == (200, b"5 0")
    await wire.send(GET)
    assert await wire.answered() == (200, b"1 0")
    assert caplog.records == []


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_nobody_reads_is_not_kept(wire: Wire) -> None:
    await wire.send(GET.replace(b"/ ", b"/large ", 1))
    await wire.reader.readuntil(b"\r\n\r\n")
    assert wire.held
    async with asyncio.timeout(5):
        while wire.held:
            await asyncio.sleep(0.02)
    with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
        await wire.reader.readexactly(LARGE)


@pytest.mark.usefixtures("impatient")
async def test_an_answer_that_is_read_slowly_is_read_to_its_end(wire: Wire) -> None:
    await wire.send(GET.replace(b"/ ", b"/large ", 1))
    await wire.reader.readuntil(b"\r\n\r\n")
    for _ in range(20):  # for longer than one may take that is not read
        await wire.reader.readexactly(LARGE // 20)
        await asyncio.sleep(0.03)
    await wire.send(GET)
    assert await wire.answered() == (200, b"1 0")
