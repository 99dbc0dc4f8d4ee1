"""A TCP proxy between worker and ledger that breaks the wire to order, and knows which mail it broke it for."""

import asyncio
import socket
import struct
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, ClassVar, Self

from tests.faults.stand import DOT_TIMEOUT_S, LEASE_S


class Fault(StrEnum):
    """What can happen to one mail on its way."""

    RESET_BEFORE_BODY = "reset before the body"  # SMTP: before 354; HTTP: before a byte of the request went on
    RESET_MID_BODY = "reset mid-body"
    SLOW_BODY = "body that stalls"  # for less than a lease, then it goes on
    RESET_AFTER_LAST_BYTE = "reset after the last byte"  # the server has it, the answer is dropped
    SLOW_ANSWER = "answer that takes a while"  # less than a lease
    LATE_PAST_LEASE = "answer later than a lease"
    LATE_PAST_TIMEOUT = "answer later than the timeout"

    @property
    def in_window(self) -> bool:
        """Whether the server has the mail and the worker cannot know."""
        return self in {Fault.RESET_AFTER_LAST_BYTE, Fault.LATE_PAST_TIMEOUT}

    @property
    def delay_s(self) -> float:
        """How long the answer waits; of `SLOW_BODY`, the body."""
        return _DELAYS_S.get(self, 0)


_DELAYS_S = {
    Fault.SLOW_BODY: LEASE_S * 0.8,
    Fault.SLOW_ANSWER: LEASE_S * 0.6,
    Fault.LATE_PAST_LEASE: LEASE_S * 1.6,
    Fault.LATE_PAST_TIMEOUT: DOT_TIMEOUT_S + 0.5,
}


class Broken(Exception):
    """This connection ends here, by RST on both sides."""


class Line:
    """One connection, both halves of it."""

    def __init__(
        self, client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:  # fmt: skip
        self.from_client, self.to_client = client
        self.from_server, self.to_server = server
        self.recipient = ""  # of the mail under way
        self.fault: Fault | None = None  # ordered for it
        self.unanswered = False  # its last byte has gone on, the answer has not come back
        self.swallows = False

    @property
    def within_mail(self) -> bool:
        """Whether a mail has begun on it and is not answered for."""
        return self.unanswered

    def reset(self) -> None:
        for writer in (self.to_client, self.to_server):
            reset(writer)


class Proxy(ABC):
    """`orders` strike the next mails in turn; then `chance`, asked for each mail, may. `black_hole` and `refuse` hold
    for all connections until `heal`."""

    line_type: ClassVar[type[Line]] = Line

    def __init__(self, target_port: int, *, narrow: bool = False) -> None:
        """`narrow`: the kernel holds so little that a writer of 600 kB is still writing while the first is read."""
        self._target_port = target_port
        self._narrow = narrow
        self.port = 0
        self.orders: deque[Fault] = deque()
        self.chance: Callable[[], Fault | None] = lambda: None
        self.answer_after_s = 0.0  # each mail's, as a server far away
        self.fired: Counter[str] = Counter()
        self.struck: dict[Fault, list[str]] = {fault: [] for fault in Fault}
        self.doubtful: set[str] = set()  # recipients whose mail the server has, and the worker cannot know
        self._server: asyncio.Server | None = None
        self._lines: set[Line] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._black_hole = False

    @classmethod
    @asynccontextmanager
    async def to(cls, target_port: int, *, narrow: bool = False) -> AsyncIterator[Self]:
        proxy = cls(target_port, narrow=narrow)
        await proxy._listen()
        try:
            yield proxy
        finally:
            proxy.refuse()
            for task in proxy._tasks:
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

    # Faults of the whole way

    def refuse(self) -> None:
        """Nobody listens any more; connections that are there end."""
        assert self._server is not None
        self._server.close()
        self._reset_all()

    def black_hole(self) -> None:
        """Connections are taken, and nothing is ever answered on any."""
        self._black_hole = True
        for line in self._lines:
            line.swallows = True

    async def heal(self) -> None:
        self._black_hole = False
        self._reset_all()
        if self._server is None or not self._server.is_serving():
            await self._listen()

    async def until_fired(self, fault: Fault, many: int = 1, within_s: float = 15) -> None:
        """A fault that does not come to pass fails the test."""
        async with asyncio.timeout(within_s):
            while self.fired[fault] < many:
                await asyncio.sleep(0.005)

    async def quiet(self, within_s: float = 15) -> None:
        """Wait until no mail is on its way."""
        async with asyncio.timeout(within_s):
            while any(line.within_mail for line in self._lines):
                await asyncio.sleep(0.01)

    # One connection

    @abstractmethod
    async def client_to_server(self, line: Line) -> None:
        """Until the client leaves. Raises `Broken`."""

    @abstractmethod
    async def server_to_client(self, line: Line) -> None:
        """Until the server leaves. Raises `Broken`."""

    def begin_mail(self, line: Line, recipient: str) -> None:
        """A mail to `recipient` is on its way: what is to happen to it?"""
        line.recipient = recipient
        line.fault = self.orders.popleft() if self.orders else self.chance()

    def strike(self, line: Line, fault: Fault) -> None:
        self.fired[fault] += 1
        self.struck[fault].append(line.recipient)
        if fault.in_window:
            self.doubtful.add(line.recipient)

    async def answer(self, line: Line, data: bytes) -> None:
        """The server's answer to a mail's last byte, as the fault that is ordered for it wants it."""
        fault, line.fault = line.fault, None
        if fault is Fault.RESET_AFTER_LAST_BYTE:
            self.strike(line, fault)
            raise Broken
        if fault is not None and fault in _DELAYS_S and fault is not Fault.SLOW_BODY:
            self.strike(line, fault)
            await asyncio.sleep(fault.delay_s)
        await asyncio.sleep(self.answer_after_s)
        await self.pass_on(line, line.to_client, data)
        line.unanswered = False

    async def pass_on(self, line: Line, writer: asyncio.StreamWriter, data: bytes) -> None:
        if not line.swallows:
            writer.write(data)
            await writer.drain()
        elif line.unanswered:
            self.doubtful.add(line.recipient)

    async def _listen(self) -> None:
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self._narrow:
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1400)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", self.port))
        self.port = listening.getsockname()[1]
        self._server = await asyncio.start_server(self._connected, sock=listening, backlog=1024)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._black_hole:
            self.fired["black hole"] += 1
            await reader.read()
            writer.close()
            return
        line = self.line_type((reader, writer), await asyncio.open_connection("127.0.0.1", self._target_port))
        self._lines.add(line)
        try:
            await first_of(self.client_to_server(line), self.server_to_client(line))
        except (Broken, OSError):
            line.reset()
        finally:
            if line.unanswered:
                self.doubtful.add(line.recipient)
            self._lines.discard(line)
            for side in (line.to_client, line.to_server):
                side.close()

    def _reset_all(self) -> None:
        for line in self._lines:
            line.reset()


async def first_of(*ways: Coroutine[Any, Any, None]) -> None:
    """Both ways at once, until one ends; raises what it raised."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def reset(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN."""
    found: socket.socket | None = writer.get_extra_info("socket")
    if found is not None and found.family == socket.AF_INET and not writer.is_closing():
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
