"""A proxy between worker and PostgreSQL that cuts the connection at the commit of a given statement.

It reads the frontend's half of protocol 3.0: Query, Parse, Bind and Sync tell what is committed when.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import parse_qs, quote, urlsplit

from tests.faults.proxy import Broken, first_of, reset

_SOCKET = ".s.PGSQL.5432"


class Cut(StrEnum):
    """On which side of the commit the line breaks: the client cannot tell."""

    LOST = "cut before the commit"
    UNHEARD = "cut after the commit, unheard"


@dataclass(frozen=True)
class Order:
    """To cut once, at the commit of this statement."""

    statement: str
    cut: Cut


class _Session:
    """One connection: what was prepared, what is about to be committed."""

    def __init__(self) -> None:
        self.prepared: dict[bytes, str] = {}
        self.bound: list[str] = []
        self.in_transaction = False
        self.unheard = asyncio.Event()

    def read(self, kind: bytes, body: bytes) -> list[str]:
        """Take note of a message; the statements that it commits."""
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self.prepared[name] = text.decode()
        elif kind == b"B":
            self.bound.append(self.prepared.get(body.split(b"\0", 2)[1], ""))
        elif kind == b"Q" and body.upper().startswith(b"BEGIN"):
            self.in_transaction = True
        elif kind == b"Q" and body.upper().startswith((b"COMMIT", b"ROLLBACK")):
            self.in_transaction = False
            return self._take() if body.upper().startswith(b"COMMIT") else []
        elif kind == b"S" and not self.in_transaction:
            return self._take()
        return []

    def _take(self) -> list[str]:
        committed, self.bound = self.bound, []
        return committed


class PostgresProxy:
    """`orders` are carried out in turn, each at the first commit that fits; `fired` counts them."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.orders: deque[Order] = deque()
        self.fired: Counter[Cut] = Counter()
        self.breaks: deque[int] = deque()  # the connection ends that says the n-th message
        self._heard = 0
        self._tasks: set[asyncio.Task[None]] = set()

    @classmethod
    @asynccontextmanager
    async def to(cls, dsn: str, folder: Path) -> AsyncIterator[tuple[Self, str]]:
        """The proxy and the DSN that goes through it. `folder` is made for its socket."""
        parts = urlsplit(dsn)
        (host,) = parse_qs(parts.query)["host"]
        proxy = cls(Path(host) / _SOCKET)
        folder.mkdir()  # noqa: ASYNC240
        server = await asyncio.start_unix_server(proxy._connected, folder / _SOCKET)
        try:
            yield proxy, parts._replace(query=f"host={quote(str(folder), safe='')}&port=5432").geturl()
        finally:
            server.close()
            for task in proxy._tasks:
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

    async def all_fired(self, within_s: float = 15) -> None:
        """A cut that does not come to pass fails the test."""
        async with asyncio.timeout(within_s):
            while self.orders or self.breaks:
                await asyncio.sleep(0.01)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            from_server, to_server = await asyncio.open_unix_connection(self._target)
        except OSError:
            to_client.close()
            return
        session = _Session()
        try:
            await first_of(self._up(from_client, to_server, session), _down(from_server, to_client, session))
        except (Broken, OSError, asyncio.IncompleteReadError):
            for writer in (to_client, to_server):
                reset(writer)
        finally:
            for writer in (to_client, to_server):
                writer.close()

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: _Session) -> None:
        size = await reader.readexactly(4)  # the startup message has no kind
        writer.write(size + await reader.readexactly(int.from_bytes(size) - 4))
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(int.from_bytes(head[1:]) - 4)
            self._heard += 1
            if self.breaks and self._heard >= self.breaks[0]:
                self.breaks.popleft()
                raise Broken
            order = self._order_for(session.read(head[:1], body))
            if order is Cut.LOST:
                raise Broken
            if order is Cut.UNHEARD:
                session.unheard.set()
            writer.write(head + body)
            await writer.drain()

    def _order_for(self, committed: list[str]) -> Cut | None:
        if self.orders and self.orders[0].statement in committed:
            cut = self.orders.popleft().cut
            self.fired[cut] += 1
            return cut
        return None


async def _down(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, session: _Session) -> None:
    while data := await reader.read(65536):
        if session.unheard.is_set():
            # ReadyForQuery, and in no transaction: it is committed.
            while not data.endswith(b"Z\0\0\0\5I"):
                data += await reader.read(65536)
            raise Broken
        writer.write(data)
        await writer.drain()
