"""An email service on loopback: takes requests over HTTP, keeps a ledger of the mail, and does what a test scripts.

What one service checks and answers is said in a class of its own (`fake_<kind>.py`).
"""

import asyncio
import base64
import json
import random
import re
import socket
import ssl
import struct
import time
import uuid
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum, auto
from typing import Any, NamedTuple, Self

from janus_mail.providers.contract import Address, Attachment


class Act(Enum):
    """What it can do instead of answering."""

    CUT_BEFORE_BODY = auto()  # RST with the head in hand
    CUT_IN_BODY = auto()  # RST with some of the body
    CUT_UNTAKEN = auto()  # the whole request read, thrown away, and the line closed
    CUT_TAKEN = auto()  # the mail is taken, and the line closed without a word
    RESET_TAKEN = auto()  # the same with RST
    CUT_IN_ANSWER = auto()  # the mail is taken; the answer breaks off within its head
    HANG = auto()  # the request is read, and nothing happens until the client leaves
    DEAF = auto()  # the body is not read
    HANG_UP_AFTER = auto()  # it takes the mail, answers, then hangs up although it promised to keep the line
    TRICKLE = auto()  # the mail is taken; the answer comes bit by bit and never ends


# What a service takes for an address: ASCII, and the local part without quotes.
ADDRESS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
ID = "{the id}"  # stands in a reply for the id under which the mail is taken


class Complaint(Exception):
    """What makes up the answer of a service that refuses a request."""


class Refusal(NamedTuple):
    """A status, and the body that explains it."""

    status: int
    body: bytes


@dataclass(frozen=True)
class Reply:
    """This status and body, whatever the request."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    takes_it: bool = False  # into the ledger nevertheless


@dataclass(frozen=True)
class Raw:
    """These bytes instead of an answer, then the line is closed."""

    answer: bytes


@dataclass(frozen=True)
class Early:
    """This refusal with the head in hand; then the line is closed, the body unread."""

    refusal: Refusal


@dataclass(frozen=True)
class Held:
    """The usual answer, but only when the event is set."""

    event: asyncio.Event


Step = Act | Reply | Refusal | Raw | Early | Held


@dataclass(frozen=True)
class Request:
    """As it came; `body` is what there was of it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int  # which one, counted from 1

    @property
    def mail(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.body)
        return parsed


@dataclass(frozen=True, kw_only=True)
class TakenMail:
    """A line of the ledger: the mail as the service would deliver it, and the request's own words in `mail`."""

    id: str  # the service's
    janus_message_id: str | None
    sender: Address
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str
    text: str | None = None
    html: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # decoded, those of ours too
    attachments: tuple[Attachment, ...] = ()
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)  # without Janus's own id
    idempotency_key: str | None = None
    mail: Mapping[str, Any] = field(default_factory=dict)
    at: float = field(default_factory=time.time)

    @property
    def recipients(self) -> list[str]:
        return [address.email for address in (*self.to, *self.cc, *self.bcc)]

    def for_json(self) -> dict[str, Any]:
        return {
            "at": self.at, "id": self.id, "janus_message_id": self.janus_message_id,
            "message_id": self.headers.get("Message-ID"), "recipients": self.recipients, "subject": self.subject,
        }  # fmt: skip


class _Left(Exception):
    """The client is gone, or the script ends the connection."""


class FakeHttp(ABC):
    """`script(…)` says what to do with the coming requests, one each; then `always`, else what the service would."""

    def __init__(
        self,
        *steps: Step,
        always: Step | None = None,
        tls: ssl.SSLContext | None = None,
        receive_buffer: int | None = None,
        on_taken: Callable[[TakenMail], None] = lambda _: None,
    ) -> None:
        self.always = always
        self.ledger: list[TakenMail] = []
        self.requests: list[Request] = []
        self.connections = 0
        self.open_now = 0
        self.fired = 0  # how often it did what `misbehave` asked for
        self._act: Act | None = None
        self._share = 0.0
        self._steps = deque[Step](steps)
        self._tls = tls
        self._receive_buffer = receive_buffer
        self._on_taken = on_taken
        self._changed = asyncio.Condition()
        self._writers = set[asyncio.StreamWriter]()
        self._tasks = set[asyncio.Task[None]]()
        self._server: asyncio.Server

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def script(self, *steps: Step) -> None:
        self._steps.extend(steps)

    def misbehave(self, act: Act | None, share: float = 1.0) -> None:
        """Do this to so many of the coming requests."""
        self._act, self._share = act, share

    def _next(self) -> Step | None:
        if self._act is not None and random.random() < self._share:
            self.fired += 1
            return self._act
        return self._steps.popleft() if self._steps else self.always

    async def start(self, port: int = 0) -> Self:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._receive_buffer is not None:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        listening.bind(("127.0.0.1", port))
        self._server = await asyncio.start_server(self._serve, sock=listening, ssl=self._tls, limit=2**16)
        return self

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def hang_up(self, *, reset_too: bool = False) -> None:
        """Close every connection there is, idle or not."""
        for writer in self._writers:
            if reset_too:
                reset(writer)
            else:
                writer.close()
        await self.until(lambda: self.open_now == 0)

    def shut_down_sockets(self) -> None:
        """At once, before the event loop does anything else."""
        for writer in self._writers:
            writer.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    async def until(self, happened: Callable[[], bool]) -> None:
        async with asyncio.timeout(5), self._changed:
            await self._changed.wait_for(happened)

    async def _note(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        self.open_now += 1
        number = self.connections
        try:
            await self._note()
            while True:
                await self._one(reader, writer, number)
        except (_Left, ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        except asyncio.CancelledError:
            pass  # by `stop`; asyncio's streams complain of a task that ends so
        finally:
            self.open_now -= 1
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.close()
            await self._note()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = head[0].split(" ", 2)
        pairs = (line.partition(":") for line in head[1:] if line)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", 0))
        step = self._next()
        body = bytearray()
        try:
            match step:
                case Early(refusal):
                    writer.write(_answer(refusal.status, refusal.body, {"Connection": "close"}))
                    await writer.drain()
                    raise _Left
                case Act.DEAF:
                    writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio.Transport has it
                    await asyncio.Event().wait()
                case Act.CUT_BEFORE_BODY:
                    reset(writer)
                    raise _Left
                case Act.CUT_IN_BODY:
                    body += await reader.read(length // 2 or 1)
                    reset(writer)
                    raise _Left
            while len(body) < length:
                block = await reader.read(length - len(body))
                if not block:
                    raise _Left
                body += block
        finally:
            request = Request(method, path, headers, bytes(body), number)
            self.requests.append(request)
            await self._note()
        await self._answer(step, request, reader, writer)

    async def _answer(
        self, step: Step | None, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        match step:
            case Reply(status, body, headers, takes_it):
                if takes_it:
                    self._take(request)
                writer.write(_answer(status, body, headers))
            case Refusal(status, body):
                writer.write(_answer(status, body))
            case Raw(answer):
                writer.write(answer)
            case Act.CUT_UNTAKEN:
                pass
            case Act.HANG:
                await reader.read()
            case Held(event):
                await event.wait()
                writer.write(self._usual(request))
            case None | Act.HANG_UP_AFTER:
                writer.write(self._usual(request))
            case Act():
                await _cut_short(step, self._usual(request), writer)
        await writer.drain()
        await self._note()
        if isinstance(step, Act | Raw):
            raise _Left

    @abstractmethod
    def answer(self, request: Request) -> Reply:
        """What the real service says to this request, checked as strictly; with `takes_it` where it takes the mail."""

    @abstractmethod
    def read(self, request: Request, id_: str) -> TakenMail:
        """The mail of a request that is taken under this id."""

    def new_id(self) -> str:
        return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")

    def _usual(self, request: Request) -> bytes:
        reply = self.answer(request)
        if not reply.takes_it:
            return _answer(reply.status, reply.body, reply.headers)
        id_ = self._take(request).id
        headers = {name: value.replace(ID, id_) for name, value in reply.headers.items()}
        return _answer(reply.status, reply.body.replace(ID.encode(), id_.encode()), headers)

    def _take(self, request: Request) -> TakenMail:
        taken = self.read(request, self.new_id())
        self.ledger.append(taken)
        self._on_taken(taken)
        return taken


async def _cut_short(act: Act, answer: bytes, writer: asyncio.StreamWriter) -> None:
    """The mail is taken; what the client learns of it."""
    head, _, _ = answer.partition(b"\r\n\r\n")
    match act:
        case Act.RESET_TAKEN:
            reset(writer)
        case Act.CUT_IN_ANSWER:
            writer.write(head[:20])
        case Act.TRICKLE:
            writer.write(head)
            while True:
                writer.write(b"\r\nX-Slow: 1")
                await writer.drain()
                await asyncio.sleep(0.01)


def _answer(status: int, body: bytes, headers: Mapping[str, str] = {}) -> bytes:
    fields = {
        "Server": "nginx",
        "Date": formatdate(usegmt=True),
        "Content-Length": str(len(body)),
        **({"Content-Type": "application/json"} if body else {}),
        "Connection": "keep-alive",
        **headers,
    }
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
